//! How a pack comes to its place: a temporary file, written in a few large calls, then renamed.
//!
//! **Architecture Invariant:** nothing opens a file below `packs` for writing. A pack gets its name
//! when it is whole; where the name is taken already, the same content replaces it.

use std::collections::hash_map::RandomState;
use std::fs::{File, OpenOptions};
use std::hash::BuildHasher;
use std::io::{self, IoSlice, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{LazyLock, PoisonError, RwLock, RwLockReadGuard};

use super::PackId;
use super::error::StoreError;

/// Nobody writes to a pack again, not even its owner.
const PACK_MODE: u32 = 0o444;
const NAME_ATTEMPTS: u32 = 64;

/// Makes the directory `path` and what is missing above it.
pub(crate) fn make_directories(path: &Path) -> Result<(), StoreError> {
    crate::sys::directory::make(path).map_err(StoreError::io("make the directory", path))
}

/// Where the pack `id` lies below the store's root.
pub(crate) fn pack_path(root: &Path, id: PackId) -> PathBuf {
    let name = id.to_string();
    let (shard, rest) = name.split_at(2);
    let mut path = PathBuf::with_capacity(root.as_os_str().len() + 80);
    path.push(root);
    path.push("packs");
    path.push(shard);
    path.push(rest);
    path
}

/// What the names of this process's files in `tmp` begin with.
pub(crate) fn temporary_prefix() -> String {
    // Process ids repeat after a crash and between containers that share a store.
    static NONCE: LazyLock<u64> = LazyLock::new(|| RandomState::new().hash_one(0_u8));
    format!("{}-{:016x}-", std::process::id(), *NONCE)
}

/// Who makes a file or directory in `tmp` reads this while he does.
static MAKING: RwLock<()> = RwLock::new(());

/// To be held while a file or directory is made in `tmp`. Waits for ever in a process that is about
/// to end.
pub(crate) fn making_temporary() -> RwLockReadGuard<'static, ()> {
    MAKING.read().unwrap_or_else(PoisonError::into_inner)
}

/// Lets no thread of this process make anything in `tmp` any more.
pub(crate) fn make_no_more_temporaries() {
    let guard = MAKING.write().unwrap_or_else(PoisonError::into_inner);
    std::mem::forget(guard);
}

/// Removes a file or directory of `tmp`; one that is gone already is no failure.
pub(crate) fn remove_temporary(path: &Path) -> io::Result<()> {
    let is_directory = path.symlink_metadata().is_ok_and(|facts| facts.is_dir());
    let removed = match is_directory {
        true => std::fs::remove_dir_all(path),
        false => std::fs::remove_file(path),
    };
    match removed {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}

/// A file in `tmp` that is removed unless it is published.
#[derive(Debug)]
pub(crate) struct TemporaryFile {
    file: File,
    path: PathBuf,
    published: bool,
}

impl TemporaryFile {
    /// Makes a new file that only this process has open.
    pub(crate) fn create(root: &Path) -> Result<Self, StoreError> {
        static COUNTER: AtomicU64 = AtomicU64::new(0);
        let directory = root.join("tmp");
        let prefix = temporary_prefix();
        let mut attempts = 0;
        loop {
            let number = COUNTER.fetch_add(1, Ordering::Relaxed);
            let path = directory.join(format!("{prefix}{number}"));
            let making = making_temporary();
            let opened = OpenOptions::new()
                .read(true)
                .write(true)
                .create_new(true)
                .mode(PACK_MODE)
                .open(&path);
            drop(making);
            match opened {
                Ok(file) => {
                    return Ok(Self {
                        file,
                        path,
                        published: false,
                    });
                }
                // Left by a killed process that had the same id.
                Err(error)
                    if error.kind() == io::ErrorKind::AlreadyExists && attempts < NAME_ATTEMPTS =>
                {
                    attempts += 1;
                }
                Err(source) => {
                    return Err(StoreError::Io {
                        action: "create the temporary file",
                        path,
                        source,
                    });
                }
            }
        }
    }

    pub(crate) fn file(&self) -> &File {
        &self.file
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// Appends all slices, in as few calls as the system allows.
    pub(crate) fn append(&mut self, mut slices: &mut [IoSlice<'_>]) -> Result<(), StoreError> {
        IoSlice::advance_slices(&mut slices, 0);
        while !slices.is_empty() {
            match (&self.file).write_vectored(slices) {
                Ok(0) => return Err(self.failed(io::ErrorKind::WriteZero.into())),
                Ok(written) => IoSlice::advance_slices(&mut slices, written),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(self.failed(error)),
            }
        }
        Ok(())
    }

    fn failed(&self, source: io::Error) -> StoreError {
        StoreError::Io {
            action: "write the temporary file",
            path: self.path.clone(),
            source,
        }
    }

    /// Gives the file its name as the pack `id`.
    pub(crate) fn publish(mut self, root: &Path, id: PackId) -> Result<(), StoreError> {
        let target = pack_path(root, id);
        let renamed = match std::fs::rename(&self.path, &target) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                if let Some(shard) = target.parent() {
                    make_directories(shard)?;
                }
                std::fs::rename(&self.path, &target)
            }
            // An empty directory in the place of a pack is damage; one with content is somebody's.
            Err(error) if error.kind() == io::ErrorKind::IsADirectory => {
                let _ = std::fs::remove_dir(&target);
                std::fs::rename(&self.path, &target)
            }
            other => other,
        };
        renamed.map_err(StoreError::io("publish the pack", target))?;
        self.published = true;
        Ok(())
    }

    /// Gives the file the name `target`, in the place of what may be there.
    pub(crate) fn publish_at(mut self, target: &Path) -> Result<(), StoreError> {
        std::fs::rename(&self.path, target).map_err(StoreError::io("write", target))?;
        self.published = true;
        Ok(())
    }
}

impl Drop for TemporaryFile {
    fn drop(&mut self) {
        if !self.published {
            // It may be gone already; what stays is removed when it is a day old.
            let _ = std::fs::remove_file(&self.path);
        }
    }
}
