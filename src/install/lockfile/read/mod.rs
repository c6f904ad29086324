//! From text to [`Lockfile`].

mod environment;
mod importers;
mod node;
mod packages;
mod snapshots;
#[cfg(test)]
mod tests;

use std::borrow::Cow;

use indexmap::IndexMap;

pub use environment::read_environment;
pub use snapshots::{check_whole, leave_out_dangling};

use super::yaml::{self, Value};
use super::{CatalogEntry, Lockfile, LockfileError, LockfileWarning, Resolution};
use crate::limits::LOCKFILE_BYTES_MAX;
use crate::name::escaped;
use crate::store::start_workers;
use node::Reader;
use snapshots::References;

/// The minor version of which everything that a lockfile says is known here.
const MINOR_VERSION_KNOWN: u32 = 0;

/// The key under which a lockfile has them.
const SNAPSHOTS: &str = "snapshots";

/// Lockfiles of fewer bytes are read faster than a second thread wakes up.
const BYTES_IN_TWO_MIN: usize = 32 << 10;

/// Reads `pnpm-lock.yaml` or `node_modules/.pnpm/lock.yaml`.
///
/// # Errors
/// [`LockfileError::Empty`] where there is only an environment document or nothing; else the first
/// thing that makes the text not a lockfile 9.x, or not one that is safe to install.
pub fn read_lockfile(text: &str) -> Result<Lockfile, LockfileError> {
    let mut lockfile = read_unlinked(text)?;
    snapshots::settle_references(&mut lockfile)?;
    Ok(lockfile)
}

/// Reads `node_modules/.pnpm/lock.yaml`. It differs from the other in one thing: what was not
/// installed is not in it, but snapshots still name their optional dependencies.
///
/// # Errors
/// As [`read_lockfile`].
pub fn read_current_lockfile(text: &str) -> Result<Lockfile, LockfileError> {
    let lockfile = read_unlinked(text)?;
    snapshots::check_references(&lockfile, References::OptionalMayLack)?;
    Ok(lockfile)
}

/// Reads a lockfile that is to be mended: without whatever refers to what is not there.
///
/// # Errors
/// As [`read_lockfile`] otherwise.
pub fn read_mended(text: &str) -> Result<Lockfile, LockfileError> {
    let mut lockfile = read_unlinked(text)?;
    leave_out_dangling(&mut lockfile);
    Ok(lockfile)
}

/// Reads one side of a merge, of which not everything need be there.
///
/// # Errors
/// As [`read_lockfile`], but for what refers to nothing.
pub fn read_side(text: &str) -> Result<Lockfile, LockfileError> {
    read_unlinked(text)
}

/// `text` as it is read: without a byte order mark, and with lines that end as they are written.
pub fn with_plain_lines(text: &str) -> Cow<'_, str> {
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    match memchr::memchr(b'\r', text.as_bytes()) {
        Some(_) => Cow::Owned(text.replace("\r\n", "\n")),
        None => Cow::Borrowed(text),
    }
}

/// Reads a lockfile without asking whether what it refers to is there.
fn read_unlinked(text: &str) -> Result<Lockfile, LockfileError> {
    if u64::try_from(text.len()).is_ok_and(|bytes| bytes > LOCKFILE_BYTES_MAX) {
        return Err(LockfileError::TooLarge { bytes: text.len() });
    }
    let text = with_plain_lines(text);
    refuse_conflict_markers(&text)?;
    let (environment, main) = split_documents(&text);
    if let Some(environment) = environment {
        environment::check(&text, environment)?;
    }
    let start = text.len() - main.len();
    let mut lockfile = match read_in_two(&text, start) {
        Some(lockfile) => lockfile,
        None => read_main(&text, start)?,
    };
    lockfile.environment_document = environment.map(Into::into);
    Ok(lockfile)
}

/// Refuses packages whose archive nothing pins; for installs that must not change the lockfile.
///
/// # Errors
/// [`LockfileError::MissingIntegrity`] for the first of them.
pub fn check_integrity(lockfile: &Lockfile) -> Result<(), LockfileError> {
    for (id, package) in &lockfile.packages {
        let Resolution::Tarball {
            integrity: None, ..
        } = package.resolution
        else {
            continue;
        };
        return Err(LockfileError::MissingIntegrity {
            package: escaped(id.as_str()),
        });
    }
    Ok(())
}

impl Lockfile {
    /// What to tell of a lockfile that a newer pnpm wrote.
    pub fn compatibility_warning(&self) -> Option<LockfileWarning> {
        let minor = self.version.split_once('.')?.1;
        if minor
            .parse()
            .is_ok_and(|minor: u32| minor == MINOR_VERSION_KNOWN)
        {
            return None;
        }
        Some(LockfileWarning {
            code: "ERR_PNPM_LOCKFILE_NEWER_MINOR",
            message: format!(
                "the lockfile has the version {}, of which only 9.{MINOR_VERSION_KNOWN} is known \
                 here; what is new in it may be ignored",
                escaped(&self.version)
            ),
        })
    }
}

/// A line that starts with seven `<` is where git begins a conflict; no YAML of ours does.
fn refuse_conflict_markers(text: &str) -> Result<(), LockfileError> {
    let is_line_start = |at: usize| at == 0 || text.as_bytes()[at - 1] == b'\n';
    let mut markers = memchr::memmem::find_iter(text.as_bytes(), b"<<<<<<<");
    match markers.find(|at| is_line_start(*at)) {
        None => Ok(()),
        Some(at) => Err(LockfileError::MergeConflict {
            line: 1 + memchr::memchr_iter(b'\n', &text.as_bytes()[..at]).count(),
        }),
    }
}

/// The environment document, if there is one, and the main one.
pub(super) fn split_documents(text: &str) -> (Option<&str>, &str) {
    let Some(rest) = text.strip_prefix("---\n") else {
        return (None, text);
    };
    match rest.split_once("\n---\n") {
        Some((environment, main)) => (Some(environment), main),
        None => (Some(rest), ""),
    }
}

/// Reads the main document, which starts at byte `start` of `text`.
fn read_main(text: &str, start: usize) -> Result<Lockfile, LockfileError> {
    let reader = Reader::new(text, start);
    let root = reader.parse(&text[start..])?;
    if root.value == Value::Empty {
        return Err(LockfileError::Empty);
    }
    let entries = reader.mapping(&root, "lockfile")?;
    let version = read_version(&reader, entries)?;
    let mut lockfile = read_entries(&reader, entries)?;
    lockfile.version = version;
    Ok(lockfile)
}

/// Reads snapshots beside the rest: they are half of a lockfile. `None` where the two halves do
/// not stand for themselves, or where something is wrong, which who reads all of it can name.
fn read_in_two(text: &str, start: usize) -> Option<Lockfile> {
    let main = &text[start..];
    if main.len() < BYTES_IN_TWO_MIN || start_workers().is_err() {
        return None;
    }
    let middle = start + 1 + memchr::memmem::rfind(main.as_bytes(), b"\nsnapshots:\n")?;
    let front = || {
        let reader = Reader::new(&text[..middle], start);
        let root = reader.parse(&text[start..middle]).ok()?;
        let entries = reader.mapping(&root, "lockfile").ok()?;
        if entries.iter().any(|entry| entry.key == SNAPSHOTS) {
            return None;
        }
        let version = read_version(&reader, entries).ok()?;
        Some((version, read_entries(&reader, entries).ok()?))
    };
    let back = || {
        let reader = Reader::new(text, middle);
        let root = reader.parse(&text[middle..]).ok()?;
        let entries = reader.mapping(&root, "lockfile").ok()?;
        read_entries(&reader, entries).ok()
    };
    let (front, back) = rayon::join(front, back);
    let ((version, mut lockfile), mut back) = front.zip(back)?;
    lockfile.version = version;
    lockfile.snapshots = std::mem::take(&mut back.snapshots);
    for (key, value) in std::mem::take(&mut back.other) {
        if lockfile.other.insert(key, value).is_some() {
            return None;
        }
    }
    (back == Lockfile::default()).then_some(lockfile)
}

fn read_entries(
    reader: &Reader<'_>,
    entries: &[yaml::Entry<'_>],
) -> Result<Lockfile, LockfileError> {
    let mut lockfile = Lockfile::default();
    for entry in entries {
        let value = &entry.value;
        let key = &*entry.key;
        match key {
            "lockfileVersion" => {}
            "settings" => lockfile.settings = Some(reader.json_mapping(value, key)?),
            "catalogs" => read_catalogs(reader, value, &mut lockfile)?,
            "overrides" => lockfile.overrides = reader.text_mapping(value, key)?,
            "packageExtensionsChecksum" => {
                lockfile.package_extensions_checksum = Some(reader.text(value, key)?.into());
            }
            "pnpmfileChecksum" => {
                lockfile.pnpmfile_checksum = Some(reader.text(value, key)?.into());
            }
            "patchedDependencies" => {
                lockfile.patched_dependencies = read_patches(reader, value)?;
            }
            "ignoredOptionalDependencies" => {
                lockfile.ignored_optional_dependencies = reader.text_list(value, key)?;
            }
            "importers" => lockfile.importers = importers::read(reader, value)?,
            "packages" => lockfile.packages = packages::read(reader, value)?,
            SNAPSHOTS => lockfile.snapshots = snapshots::read(reader, value)?,
            _ => {
                lockfile.other.insert(key.into(), reader.json(value));
            }
        }
    }
    Ok(lockfile)
}

fn read_version(
    reader: &Reader<'_>,
    entries: &[yaml::Entry<'_>],
) -> Result<Box<str>, LockfileError> {
    let entry = entries.iter().find(|entry| entry.key == "lockfileVersion");
    let entry = entry.ok_or_else(|| reader.shape(0, "`lockfileVersion`", "lockfile"))?;
    // Versions 5 and before were numbers, so any scalar will do to say which it is.
    let (Value::Plain(version) | Value::Text(version)) = &entry.value.value else {
        return Err(reader.shape(entry.at, "a version", "lockfileVersion"));
    };
    match version.split_once('.') {
        Some(("9", minor)) if minor.parse::<u32>().is_ok() => Ok((**version).into()),
        Some(("13", _)) => Err(LockfileError::FormatThirteen),
        _ => Err(LockfileError::Version {
            found: escaped(version),
        }),
    }
}

fn read_catalogs(
    reader: &Reader<'_>,
    node: &yaml::Node<'_>,
    lockfile: &mut Lockfile,
) -> Result<(), LockfileError> {
    for catalog in reader.mapping(node, "catalogs")? {
        let mut entries = std::collections::BTreeMap::new();
        for dependency in reader.mapping(&catalog.value, &catalog.key)? {
            let fields = reader.mapping(&dependency.value, &dependency.key)?;
            let field = |name: &'static str| {
                let entry = fields.iter().find(|entry| entry.key == name);
                let entry = entry.ok_or_else(|| {
                    reader.shape(dependency.at, "specifier and version", &dependency.key)
                })?;
                reader.text(&entry.value, name)
            };
            let entry = CatalogEntry {
                specifier: field("specifier")?.into(),
                version: field("version")?.into(),
            };
            entries.insert((&*dependency.key).into(), entry);
        }
        lockfile.catalogs.insert((&*catalog.key).into(), entries);
    }
    Ok(())
}

/// Values are hashes; pnpm 9 and 10 wrote `{hash, path}`.
fn read_patches(
    reader: &Reader<'_>,
    node: &yaml::Node<'_>,
) -> Result<IndexMap<Box<str>, Box<str>>, LockfileError> {
    let mut patches = IndexMap::new();
    for entry in reader.mapping(node, "patchedDependencies")? {
        let hash = match &entry.value.value {
            Value::Mapping(fields) => {
                let hash = fields.iter().find(|field| field.key == "hash");
                let hash = hash.ok_or_else(|| reader.shape(entry.at, "a hash", &entry.key))?;
                reader.text(&hash.value, "hash")?
            }
            _ => reader.text(&entry.value, &entry.key)?,
        };
        if hash.is_empty() || !hash.bytes().all(|byte| byte.is_ascii_alphanumeric()) {
            return Err(reader.shape(entry.at, "a hash", &entry.key));
        }
        patches.insert((&*entry.key).into(), hash.into());
    }
    Ok(patches)
}
