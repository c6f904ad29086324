//! What a package's `package.json` says that an installer needs: name, version, commands, scripts.
//!
//! Rules of pnpm 12: a string `bin` is named like the package without its scope; the keys of an
//! object `bin` lose theirs; without `bin`, every file below `directories.bin` is a command.

use std::borrow::Cow;
use std::fmt;

use serde::de::{DeserializeSeed, Deserializer, IgnoredAny, MapAccess, Visitor};
use serde_json::{Map, Value};

use crate::limits::MANIFEST_BYTES_MAX;
use crate::name::{BinName, NameError};
use crate::store::codec::TEXT_BYTES_MAX;
use crate::store::error::Refusal;
use crate::store::{Bin, BinRunner, BundledBin, PackageFacts};

use super::IngestWarning;
use super::pending::{PendingFile, find, find_mut};

/// Most commands of one package.
const BINS_MAX: usize = u16::MAX as usize;
const INSTALL_SCRIPTS: [&str; 3] = ["preinstall", "install", "postinstall"];

/// The fields that are read; every other one is passed over without being kept.
#[derive(Default)]
struct Manifest {
    name: Option<String>,
    version: Option<String>,
    bin: Value,
    bin_directory: Option<String>,
    has_install_script: bool,
    bundles_dependencies: bool,
}

impl<'de> Visitor<'de> for Manifest {
    type Value = Self;

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("an object")
    }

    /// By hand rather than derived, because of two equal keys the last one counts, and because a
    /// field of an unexpected type is no reason to refuse a package.
    fn visit_map<A: MapAccess<'de>>(mut self, mut map: A) -> Result<Self, A::Error> {
        while let Some(key) = map.next_key::<Cow<'de, str>>()? {
            match key.as_ref() {
                "name" => self.name = text(map.next_value()?),
                "version" => self.version = text(map.next_value()?),
                "bin" => self.bin = map.next_value()?,
                "directories" => {
                    let directories: Value = map.next_value()?;
                    self.bin_directory = directories.get("bin").cloned().and_then(text);
                }
                "scripts" => {
                    let scripts: Value = map.next_value()?;
                    self.has_install_script = INSTALL_SCRIPTS.iter().any(|script| {
                        let script = scripts.get(script).and_then(Value::as_str);
                        script.is_some_and(|command| !command.is_empty())
                    });
                }
                "bundledDependencies" | "bundleDependencies" => {
                    let bundled: Value = map.next_value()?;
                    self.bundles_dependencies |= match bundled {
                        Value::Array(names) => !names.is_empty(),
                        Value::Bool(all) => all,
                        _ => false,
                    };
                }
                _ => {
                    map.next_value::<IgnoredAny>()?;
                }
            }
        }
        Ok(self)
    }
}

impl<'de> DeserializeSeed<'de> for Manifest {
    type Value = Self;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_map(self)
    }
}

fn text(value: Value) -> Option<String> {
    match value {
        Value::String(text) if text.len() <= TEXT_BYTES_MAX => Some(text),
        _ => None,
    }
}

fn parse(bytes: &[u8]) -> Result<Manifest, Refusal> {
    let refuse = |reason: String| Refusal::Manifest { reason };
    // As other installers do: what is not UTF-8 (old authors' names) becomes U+FFFD.
    let text = String::from_utf8_lossy(bytes);
    let text = text.strip_prefix('\u{feff}').unwrap_or(&text);
    let mut deserializer = serde_json::Deserializer::from_str(text);
    let manifest = Manifest::default()
        .deserialize(&mut deserializer)
        .map_err(|error| refuse(error.to_string()))?;
    deserializer
        .end()
        .map_err(|error| refuse(error.to_string()))?;
    Ok(manifest)
}

/// Reads the facts of a package from its files, and gives the targets of its commands the execute
/// bit. `files` are sorted; the sizes of the facts are filled in by the caller.
///
/// # Errors
/// [`Refusal::Manifest`], [`Refusal::BinName`] or [`Refusal::BinTarget`]; [`Refusal::Read`] where a
/// stored content cannot be read back.
pub(crate) fn read_facts(
    files: &mut [PendingFile<'_>],
    warnings: &mut Vec<IngestWarning>,
) -> Result<PackageFacts, Refusal> {
    let builds_natively = files.iter().any(|file| {
        let path = file.path.as_str();
        path == "binding.gyp" || path.starts_with(".hooks/")
    });
    let Some(file) = find(files, "package.json") else {
        return Ok(PackageFacts {
            requires_build: builds_natively,
            ..PackageFacts::default()
        });
    };
    if file.size() > MANIFEST_BYTES_MAX {
        return Err(Refusal::TooLarge {
            what: "bytes in its package.json",
            limit: MANIFEST_BYTES_MAX,
        });
    }
    let manifest = parse(&file.read().map_err(Refusal::Read)?)?;
    let bins = read_bins(&manifest, files, warnings)?;
    let bundled_bins = match manifest.bundles_dependencies {
        true => read_bundled_bins(files)?,
        false => Vec::new(),
    };
    for bin in bins
        .iter()
        .chain(bundled_bins.iter().map(|bundled| &bundled.bin))
    {
        if let Some(target) = find_mut(files, bin.target.as_str()) {
            target.executable = true;
        }
    }
    Ok(PackageFacts {
        name: manifest.name.map(Into::into),
        version: manifest.version.map(Into::into),
        bins,
        requires_build: manifest.has_install_script || builds_natively,
        has_manifest: true,
        bundles_dependencies: manifest.bundles_dependencies,
        bundled_bins,
        files: 0,
        bytes: 0,
    })
}

fn read_bins(
    manifest: &Manifest,
    files: &[PendingFile<'_>],
    warnings: &mut Vec<IngestWarning>,
) -> Result<Vec<Bin>, Refusal> {
    let mut bins = match &manifest.bin {
        Value::String(target) if !target.is_empty() => {
            let name = manifest.name.as_deref().ok_or_else(|| Refusal::Manifest {
                reason: "it has a command but no name".to_owned(),
            })?;
            declared_bin(name, target, files, warnings)?
                .into_iter()
                .collect()
        }
        Value::Object(commands) => object_bins(commands, files, warnings)?,
        _ => match &manifest.bin_directory {
            Some(directory) => directory_bins(directory, files)?,
            None => Vec::new(),
        },
    };
    if bins.len() > BINS_MAX {
        return Err(Refusal::TooLarge {
            what: "commands",
            limit: BINS_MAX as u64,
        });
    }
    // Two keys may become one name when their scopes go; of those the last counts.
    bins.sort_by(|left, right| left.name.cmp(&right.name));
    bins.reverse();
    bins.dedup_by(|later, earlier| later.name == earlier.name);
    bins.reverse();
    Ok(bins)
}

fn object_bins(
    commands: &Map<String, Value>,
    files: &[PendingFile<'_>],
    warnings: &mut Vec<IngestWarning>,
) -> Result<Vec<Bin>, Refusal> {
    let mut bins = Vec::new();
    for (name, target) in commands {
        if let Value::String(target) = target {
            bins.extend(declared_bin(name, target, files, warnings)?);
        } else {
            bin_name(name)?;
        }
    }
    Ok(bins)
}

fn bin_name(name: &str) -> Result<BinName, Refusal> {
    let bare = match name.strip_prefix('@') {
        Some(scoped) => scoped.split_once('/').map_or(name, |(_, bare)| bare),
        None => name,
    };
    let refuse = |reason| Refusal::BinName {
        name: name.to_owned(),
        reason,
    };
    if matches!(bare, "." | "..") {
        return Err(refuse(NameError::Dots));
    }
    BinName::new(bare).map_err(refuse)
}

/// A command of the manifest, or `None`, with a warning, where its target is no file.
fn declared_bin(
    name: &str,
    target: &str,
    files: &[PendingFile<'_>],
    warnings: &mut Vec<IngestWarning>,
) -> Result<Option<Bin>, Refusal> {
    let bin_name = bin_name(name)?;
    let outside = || Refusal::BinTarget {
        name: name.to_owned(),
        target: target.to_owned(),
    };
    let resolved = resolve(target).ok_or_else(outside)?;
    if let Some(file) = find(files, &resolved) {
        return Ok(Some(Bin {
            name: bin_name,
            runner: runner(file)?,
            target: file.path.clone(),
        }));
    }
    warnings.push(IngestWarning::MissingBinTarget {
        name: name.to_owned(),
        target: target.to_owned(),
    });
    Ok(None)
}

/// Resolves `.` and `..` by the letters alone. `None` for what is absolute or leaves the package.
fn resolve(target: &str) -> Option<String> {
    let bytes = target.as_bytes();
    let drive = bytes.len() >= 2 && bytes[0].is_ascii_alphabetic() && bytes[1] == b':';
    if target.starts_with(['/', '\\']) || drive || target.contains("..\\") {
        return None;
    }
    let mut components: Vec<&str> = Vec::new();
    for component in target.split('/') {
        match component {
            "" | "." => {}
            ".." => {
                components.pop()?;
            }
            name => components.push(name),
        }
    }
    Some(components.join("/"))
}

fn directory_bins(directory: &str, files: &[PendingFile<'_>]) -> Result<Vec<Bin>, Refusal> {
    let resolved = resolve(directory).ok_or_else(|| Refusal::BinTarget {
        name: "directories.bin".to_owned(),
        target: directory.to_owned(),
    })?;
    let lead = match resolved.as_str() {
        "" => String::new(),
        directory => format!("{directory}/"),
    };
    let mut bins = Vec::new();
    for file in files {
        let path = file.path.as_str();
        if !path.starts_with(&lead) {
            continue;
        }
        let name = path.rsplit_once('/').map_or(path, |(_, name)| name);
        bins.push(Bin {
            name: bin_name(name)?,
            target: file.path.clone(),
            runner: runner(file)?,
        });
    }
    Ok(bins)
}

fn runner(file: &PendingFile<'_>) -> Result<BinRunner, Refusal> {
    let start = file.start(BinRunner::START_BYTES).map_err(Refusal::Read)?;
    Ok(BinRunner::of(&start, file.path.as_str()))
}

/// The commands of every package directly in `node_modules`: pnpm links those that are not listed
/// as bundled, too. A carried package whose manifest or command is unusable offers none; it is not
/// what was asked for, so that is no reason to refuse the one that carries it.
fn read_bundled_bins(files: &[PendingFile<'_>]) -> Result<Vec<BundledBin>, Refusal> {
    let mut found = Vec::new();
    for file in files {
        let path = file.path.as_str();
        let Some(directory) = bundled_directory(path) else {
            continue;
        };
        if file.size() > MANIFEST_BYTES_MAX {
            continue;
        }
        let Ok(manifest) = parse(&file.read().map_err(Refusal::Read)?) else {
            continue;
        };
        let lead = format!("node_modules/{directory}/");
        let name = manifest.name.as_deref().unwrap_or(directory);
        for (bin, target) in bundled_targets(&manifest, name, &lead, files) {
            if let (Ok(bin), Some(target)) = (bin_name(&bin), find(files, &target)) {
                found.push(BundledBin {
                    package: name.into(),
                    bin: Bin {
                        name: bin,
                        target: target.path.clone(),
                        runner: runner(target)?,
                    },
                });
            }
        }
    }
    found.sort_by(|left, right| {
        (&left.package, &left.bin.name).cmp(&(&right.package, &right.bin.name))
    });
    found.truncate(BINS_MAX);
    Ok(found)
}

/// `name` or `@scope/name` of the path `node_modules/<it>/package.json`.
fn bundled_directory(path: &str) -> Option<&str> {
    let directory = path
        .strip_prefix("node_modules/")?
        .strip_suffix("/package.json")?;
    let components = if directory.starts_with('@') { 2 } else { 1 };
    let fits = directory.split('/').count() == components && !directory.starts_with('.');
    fits.then_some(directory)
}

/// Commands of a carried package and the paths of their targets within the carrying one.
fn bundled_targets(
    manifest: &Manifest,
    name: &str,
    lead: &str,
    files: &[PendingFile<'_>],
) -> Vec<(String, String)> {
    let declared =
        |bin: &str, target: &str| Some((bin.to_owned(), format!("{lead}{}", resolve(target)?)));
    match &manifest.bin {
        Value::String(target) => declared(name, target).into_iter().collect(),
        Value::Object(commands) => commands
            .iter()
            .filter_map(|(bin, target)| declared(bin, target.as_str()?))
            .collect(),
        _ => {
            let Some(directory) = manifest.bin_directory.as_deref().and_then(resolve) else {
                return Vec::new();
            };
            let lead = format!("{lead}{directory}/");
            let paths = files.iter().map(|file| file.path.as_str());
            paths
                .filter(|path| path.starts_with(&lead))
                .map(|path| {
                    let name = path.rsplit('/').next().unwrap_or_default();
                    (name.to_owned(), path.to_owned())
                })
                .collect()
        }
    }
}
