//! Who needs what, and the removal of what nobody needs.
//!
//! ```text
//! <store>/roots/<32 hex>    one JSON file a root: a path, and the packs that are needed while
//!                           there is something at that path
//! ```
//!
//! **Architecture Invariant:** what is removed was planned while nobody else had the store open for
//! writing, and is removed before anybody has it again. A root that cannot be read ends the plan.

use std::collections::HashSet;
use std::fs::{self, OpenOptions};
use std::io::{self, Write as _};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use super::error::StoreError;
use super::facade::Store;
use super::unpacked::unpacked_path;
use super::write::{make_directories, pack_path, remove_temporary, temporary_prefix};
use super::{PackId, PackageKey, scan};
use crate::name::hexadecimal;

/// Bytes of a file that describes a root, at most.
const ROOT_BYTES_MAX: u64 = 64 << 20;

#[derive(Serialize, Deserialize)]
struct RootFile {
    path: PathBuf,
    packs: Vec<String>,
}

/// The roots of a store.
#[derive(Debug, Default)]
pub(super) struct Roots {
    /// Packs that some root needs.
    pub(super) packs: HashSet<PackId>,
    /// Files of roots whose path is gone.
    pub(super) gone: Vec<PathBuf>,
    /// What is in the directory of roots and is none.
    pub(super) foreign: Vec<PathBuf>,
}

/// What a prune would remove.
#[derive(Debug, Default)]
pub struct PrunePlan {
    /// Packages that nobody needs, sorted.
    pub packages: Vec<PackageKey>,
    /// Packs that are removed, and their bytes.
    pub packs: Vec<(PackId, u64)>,
    /// Unpacked copies that are removed: of those packs, and those that nothing is linked to.
    pub unpacked: Vec<PathBuf>,
    /// Bytes that this frees.
    pub bytes: u64,
    /// What does not belong to a store; it stays.
    pub foreign: Vec<PathBuf>,
    rows: Vec<(PackageKey, PackId)>,
    gone_roots: Vec<PathBuf>,
}

fn root_path(store: &Path, path: &Path) -> PathBuf {
    let digest = Sha256::digest(path.as_os_str().as_bytes());
    store.join("roots").join(hexadecimal(&digest[..16]))
}

/// Notes that `packs` are needed while there is something at `path`.
pub(super) fn write_root(
    store: &Path,
    path: &Path,
    packs: impl IntoIterator<Item = PackId>,
) -> Result<(), StoreError> {
    let mut packs: Vec<PackId> = packs.into_iter().collect();
    packs.sort_unstable();
    packs.dedup();
    let file = RootFile {
        path: path.to_owned(),
        packs: packs.iter().map(ToString::to_string).collect(),
    };
    let text = serde_json::to_vec(&file).expect("invariant: a list of names is JSON");
    let target = root_path(store, path);
    if fs::read(&target).is_ok_and(|there| there == text) {
        return Ok(());
    }
    make_directories(&store.join("roots"))?;
    let temporary = store
        .join("tmp")
        .join(format!("{}root", temporary_prefix()));
    OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o644)
        .open(&temporary)
        .and_then(|mut file| file.write_all(&text))
        .and_then(|()| fs::rename(&temporary, &target))
        .map_err(StoreError::io("write", &target))
}

/// Reads all roots.
pub(super) fn read_roots(store: &Path) -> Result<Roots, StoreError> {
    let directory = store.join("roots");
    let mut roots = Roots::default();
    let entries = match fs::read_dir(&directory) {
        Ok(entries) => entries,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(roots),
        Err(error) => return Err(StoreError::io("list", &directory)(error)),
    };
    for entry in entries {
        let path = entry.map_err(StoreError::io("list", &directory))?.path();
        let facts = fs::symlink_metadata(&path).map_err(StoreError::io("look at", &path))?;
        if !facts.is_file() {
            roots.foreign.push(path);
            continue;
        }
        let root = read_root(&path, facts.len())?;
        if root_path(store, &root.path) != path {
            return Err(unreadable(&path, "it is not the root that its name says"));
        }
        match fs::symlink_metadata(&root.path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => roots.gone.push(path),
            // What cannot be looked at may well be there.
            _ => {
                for name in &root.packs {
                    let pack = PackId::from_hexadecimal(name);
                    roots
                        .packs
                        .insert(pack.ok_or_else(|| unreadable(&path, "a pack's name"))?);
                }
            }
        }
    }
    Ok(roots)
}

fn read_root(path: &Path, length: u64) -> Result<RootFile, StoreError> {
    if length > ROOT_BYTES_MAX {
        return Err(unreadable(path, "it is too large"));
    }
    let text = fs::read(path).map_err(StoreError::io("read", path))?;
    serde_json::from_slice(&text).map_err(|error| unreadable(path, &error.to_string()))
}

fn unreadable(path: &Path, reason: &str) -> StoreError {
    StoreError::Root {
        path: path.to_owned(),
        reason: reason.to_owned(),
    }
}

/// Sole use of a store, for removing from it.
pub struct Pruner<'a> {
    store: &'a Store,
}

impl<'a> Pruner<'a> {
    pub(super) fn new(store: &'a Store) -> Self {
        Self { store }
    }

    /// Plans to remove everything but what the roots and `used` need. Changes nothing.
    ///
    /// # Errors
    /// [`StoreError::Root`] for a root that cannot be understood; what cannot be read.
    pub fn plan(&self, used: &HashSet<PackId>) -> Result<PrunePlan, StoreError> {
        let path = self.store.path();
        let roots = read_roots(path)?;
        let is_used = |pack: &PackId| used.contains(pack) || roots.packs.contains(pack);
        let rows = self.store.all_rows()?;
        let scan = scan::packs(path)?;
        let mut plan = PrunePlan {
            rows: rows
                .into_iter()
                .filter(|(_, pack)| !is_used(pack))
                .collect(),
            gone_roots: roots.gone,
            foreign: roots.foreign,
            ..PrunePlan::default()
        };
        plan.packages = plan.rows.iter().map(|(key, _)| key.clone()).collect();
        plan.packages.sort();
        plan.foreign.extend(scan.foreign);
        for pack in scan.packs.iter().filter(|pack| !is_used(&pack.id)) {
            plan.packs.push((pack.id, pack.bytes));
            plan.bytes += pack.bytes;
        }
        let copies = scan::unpacked(path)?;
        plan.foreign.extend(copies.foreign);
        for copy in copies.packs {
            let bytes = unlinked_bytes(&copy.path)?;
            if !is_used(&copy.id) || bytes.is_some() {
                plan.bytes += bytes.unwrap_or_default();
                plan.unpacked.push(copy.path);
            }
        }
        Ok(plan)
    }

    /// Carries a plan out.
    ///
    /// # Errors
    /// What cannot be removed. What was removed until then stays removed.
    pub fn execute(self, plan: PrunePlan) -> Result<(), StoreError> {
        let root = self.store.path();
        // Rows first: a pack must never be missing while a row names it.
        self.store.remove_rows(&plan.rows)?;
        for (pack, _) in &plan.packs {
            let path = pack_path(root, *pack);
            remove_temporary(&path).map_err(StoreError::io("remove", &path))?;
            let copy = unpacked_path(root, *pack);
            remove_temporary(&copy).map_err(StoreError::io("remove", &copy))?;
        }
        for path in plan.unpacked.iter().chain(&plan.gone_roots) {
            remove_temporary(path).map_err(StoreError::io("remove", path))?;
        }
        self.store.remove_old_temporary_files_now()?;
        Ok(())
    }
}

/// The bytes of an unpacked copy, where no file of it is linked from anywhere else.
fn unlinked_bytes(copy: &Path) -> Result<Option<u64>, StoreError> {
    let mut bytes = 0;
    for entry in fs::read_dir(copy).map_err(StoreError::io("list", copy))? {
        let entry = entry.map_err(StoreError::io("list", copy))?;
        let facts = entry
            .metadata()
            .map_err(StoreError::io("look at", entry.path()))?;
        if facts.nlink() > 1 {
            return Ok(None);
        }
        bytes += facts.len();
    }
    Ok(Some(bytes))
}
