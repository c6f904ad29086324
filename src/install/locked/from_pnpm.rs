//! Packages out of pnpm's store instead of from a registry: `store import`.
//!
//! pnpm's index says which files a package of a given integrity has, and its store has each file
//! under the digest of its content. That digest is held against the content; that the files are
//! those of the package, pnpm's index is believed, as pnpm believes it.

mod records;

use std::fs::{self, OpenOptions};
use std::io::{Read as _, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;

use rayon::prelude::*;
use serde_json::Value;
use sha2::{Digest, Sha512};

use super::error::InstallError;
use super::inputs::Inputs;
use super::sources::{Source, Wanted, WantedPackages};
use super::{read_lockfile, selected};
use crate::install::config::Config;
use crate::install::lockfile::PackageId;
use crate::limits::TARBALL_BYTES_MAX;
use crate::name::{RelativePath, hexadecimal};
use crate::report::Reporter;
use crate::store::{IngestOptions, PackageKey, Packed, Store, pnpm_rows};
use crate::sys;
use records::StoredFile;

/// What pnpm puts into a package that has no manifest.
const PLACEHOLDER: &[u8] = b"{\"_pnpmPlaceholder\"";

/// Packages whose rows are written in one transaction.
const COMMIT_PACKAGES: usize = 128;

/// What an import came to.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Imported {
    /// Packages that were not in the store before.
    pub imported: usize,
    /// Packages that were.
    pub known: usize,
    /// Packages that pnpm's store does not have, or has damaged, sorted.
    pub missing: Vec<String>,
}

/// Takes what the lockfile names and `store` lacks from pnpm's store at `from` (`…/v11`).
///
/// # Errors
/// The lockfile or one of the stores cannot be read, or nothing can be written.
pub fn import_from_pnpm(
    inputs: &Inputs,
    config: &Config,
    store: &Store,
    from: &Path,
    reporter: &std::sync::Arc<dyn Reporter>,
) -> Result<Imported, InstallError> {
    let lockfile = read_lockfile(&inputs.lockfile_text)?;
    let selection = selected(&lockfile, inputs, config, reporter)?;
    let wanted = WantedPackages::of(&selection, &inputs.patches, config)?;
    let keys: Vec<PackageKey> = (wanted.packages.iter())
        .map(|wanted| wanted.key.clone())
        .collect();
    let records = store.lookup_many(&keys)?;
    let mut imported = Imported::default();
    let mut asked = Vec::new();
    for (wanted, record) in wanted.packages.iter().zip(&records) {
        match (record, key_of_pnpm(wanted)) {
            (Some(_), _) => imported.known += 1,
            (None, Some(key)) => asked.push((wanted, key)),
            (None, None) => imported.missing.push(wanted.label.clone()),
        }
    }
    let keys: Vec<String> = asked.iter().map(|(_, key)| key.clone()).collect();
    let rows = pnpm_rows(&from.join("index.db"), &keys)?;
    let asked: Vec<_> = asked.into_iter().zip(rows).collect();
    for batch in asked.chunks(COMMIT_PACKAGES) {
        let taken = batch.par_iter().map(|((wanted, _), row)| {
            let files = row.as_deref().and_then(records::files);
            files.map_or(Ok(None), |files| take(wanted, &files, store, from))
        });
        let taken: Vec<Option<Packed>> = taken.collect::<Result<_, _>>()?;
        for ((wanted, _), packed) in batch.iter().map(|(asked, _)| asked).zip(&taken) {
            match packed {
                Some(_) => imported.imported += 1,
                None => imported.missing.push(wanted.label.clone()),
            }
        }
        let packed: Vec<Packed> = taken.into_iter().flatten().collect();
        store.commit(&packed)?;
    }
    imported.missing.sort();
    Ok(imported)
}

/// By what pnpm's index has a package; `None`: it is of no kind that is taken from there.
fn key_of_pnpm(wanted: &Wanted) -> Option<String> {
    if wanted.patch_hash.is_some()
        || wanted.is_git_hosted
        || wanted.subdirectory.is_some()
        || wanted.runtime_manifest.is_some()
    {
        return None;
    }
    let integrity = wanted.integrity.as_ref()?;
    match &wanted.source {
        Source::Registry { .. } => Some(format!("{integrity}\t{}", wanted.label)),
        Source::Address(address) => {
            let id = PackageId::new(&wanted.label).ok()?;
            let is_of_registry = id.is_from_registry();
            let id = if is_of_registry {
                &wanted.label
            } else {
                &**address
            };
            Some(format!("{integrity}\t{id}"))
        }
        Source::LocalArchive(_) | Source::LocalDirectory(_) | Source::Git { .. } => None,
    }
}

/// Stores a package of these files; `None` where one of them is not what it should be.
fn take(
    wanted: &Wanted,
    files: &[StoredFile],
    store: &Store,
    from: &Path,
) -> Result<Option<Packed>, InstallError> {
    let temporary = store.path().join("tmp");
    let failed = |source| InstallError::Directory {
        path: temporary.clone(),
        source,
    };
    let prefix = Store::temporary_prefix();
    let directory = tempfile::Builder::new()
        .prefix(&prefix)
        .tempdir_in(&temporary)
        .map_err(failed)?;
    let mut paths = Vec::new();
    for file in files {
        let Ok(path) = RelativePath::new(&file.path) else {
            return Ok(None);
        };
        let Some(content) = content(file, from) else {
            return Ok(None);
        };
        if file.path == "package.json" {
            if content.starts_with(PLACEHOLDER) {
                continue;
            }
            if !is_manifest_of(&content, &wanted.label) {
                return Ok(None);
            }
        }
        let place = directory.path().join(path.as_str());
        let written = fs::create_dir_all(place.parent().unwrap_or(directory.path()));
        let mut options = OpenOptions::new();
        options.write(true).create_new(true);
        options.mode(if file.is_executable { 0o700 } else { 0o600 });
        let written = written.and_then(|()| options.open(&place)?.write_all(&content));
        written.map_err(failed)?;
        paths.push(path);
    }
    if paths.is_empty() {
        return Ok(None);
    }
    let mut options = IngestOptions::new(wanted.key.clone());
    options.only = Some(&paths);
    let packed = store.ingest_directory(directory.path(), &options);
    packed.map(Some).map_err(|source| InstallError::Package {
        package: wanted.label.clone(),
        source,
    })
}

/// The content of a file, if it is there and has its digest.
fn content(file: &StoredFile, from: &Path) -> Option<Vec<u8>> {
    let digest = &file.digest;
    if digest.len() != 128 || !digest.bytes().all(|byte| byte.is_ascii_hexdigit()) {
        return None;
    }
    let suffix = if file.is_executable { "-exec" } else { "" };
    let path = format!("files/{}/{}{suffix}", &digest[..2], &digest[2..]);
    let root = sys::store::open_directory(from).ok()?;
    let opened = sys::store::open_beneath(&root, &path).ok()?;
    if !opened.metadata().ok()?.is_file() {
        return None;
    }
    let mut content = Vec::new();
    opened
        .take(TARBALL_BYTES_MAX)
        .read_to_end(&mut content)
        .ok()?;
    let actual = hexadecimal(&Sha512::digest(&content));
    actual.eq_ignore_ascii_case(digest).then_some(content)
}

/// Whether the manifest is that of the package that the lockfile names; one that says nothing of
/// itself may be.
fn is_manifest_of(content: &[u8], label: &str) -> bool {
    let Ok(id) = PackageId::new(label) else {
        return false;
    };
    if !id.is_from_registry() {
        return true;
    }
    let Ok(manifest) = serde_json::from_slice::<Value>(content) else {
        return true;
    };
    let name = manifest.get("name").and_then(Value::as_str);
    name.is_none_or(|name| name.eq_ignore_ascii_case(id.name_str()))
}
