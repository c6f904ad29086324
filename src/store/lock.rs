//! Advisory locks on files of the store, with an end to the waiting.

use std::fs::{File, OpenOptions, TryLockError};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;
use std::time::{Duration, Instant};

use super::error::StoreError;

/// How long a lock is waited for, in milliseconds.
pub(crate) const WAIT_MS: u64 = 10_000;
const POLL: Duration = Duration::from_millis(5);

fn open(path: &Path) -> Result<File, StoreError> {
    // An existing file is opened for reading, so that other owners' stores can be locked too.
    if let Ok(file) = File::open(path) {
        return Ok(file);
    }
    OpenOptions::new()
        .read(true)
        .write(true)
        .create(true)
        .truncate(false)
        .mode(0o644)
        .open(path)
        .map_err(StoreError::io("open the lock", path))
}

fn wait(
    path: &Path,
    limit_ms: u64,
    attempt: impl Fn(&File) -> Result<(), TryLockError>,
) -> Result<File, StoreError> {
    let file = open(path)?;
    wait_for(&file, path, limit_ms, attempt)?;
    Ok(file)
}

fn wait_for(
    file: &File,
    path: &Path,
    limit_ms: u64,
    attempt: impl Fn(&File) -> Result<(), TryLockError>,
) -> Result<(), StoreError> {
    let started = Instant::now();
    loop {
        match attempt(file) {
            Ok(()) => return Ok(()),
            Err(TryLockError::WouldBlock) => {}
            // Some network file systems have no locks; SQLite's own remain.
            Err(TryLockError::Error(error)) if error.kind() == std::io::ErrorKind::Unsupported => {
                return Ok(());
            }
            Err(TryLockError::Error(error)) => return Err(StoreError::io("lock", path)(error)),
        }
        if started.elapsed() >= Duration::from_millis(limit_ms) {
            return Err(StoreError::Busy {
                path: path.to_path_buf(),
                waited_ms: limit_ms,
            });
        }
        std::thread::sleep(POLL);
    }
}

/// A lock that others may hold at the same time, until the file is dropped.
pub(crate) fn shared(path: &Path) -> Result<File, StoreError> {
    wait(path, WAIT_MS, File::try_lock_shared)
}

/// Makes the lock on `file`, which is the one at `path`, one that nobody else holds.
pub(crate) fn upgrade(file: &File, path: &Path) -> Result<(), StoreError> {
    wait_for(file, path, WAIT_MS, File::try_lock)
}

/// A lock that nobody else holds, until the file is dropped.
pub(crate) fn exclusive(path: &Path) -> Result<File, StoreError> {
    wait(path, WAIT_MS, File::try_lock)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_lock_that_stays_taken_is_an_error_that_names_it() {
        let directory = tempfile::tempdir().expect("a directory");
        let path = directory.path().join("lock");
        let held = exclusive(&path).expect("free");
        for attempt in [File::try_lock, File::try_lock_shared] {
            let error = wait(&path, 20, attempt).expect_err("taken");
            assert!(error.to_string().contains("20 ms"), "{error}");
            assert!(matches!(error, StoreError::Busy { path: named, .. } if named == path));
        }
        drop(held);
        shared(&path)
            .and_then(|_held| shared(&path))
            .expect("shared by many");
    }
}
