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
    attempt: impl Fn(&File) -> Result<(), TryLockError>,
) -> Result<File, StoreError> {
    let file = open(path)?;
    let started = Instant::now();
    loop {
        match attempt(&file) {
            Ok(()) => return Ok(file),
            Err(TryLockError::WouldBlock) => {}
            // Some network file systems have no locks; SQLite's own remain.
            Err(TryLockError::Error(error)) if error.kind() == std::io::ErrorKind::Unsupported => {
                return Ok(file);
            }
            Err(TryLockError::Error(error)) => return Err(StoreError::io("lock", path)(error)),
        }
        if started.elapsed() >= Duration::from_millis(WAIT_MS) {
            return Err(StoreError::Busy {
                path: path.to_path_buf(),
                waited_ms: WAIT_MS,
            });
        }
        std::thread::sleep(POLL);
    }
}

/// A lock that others may hold at the same time, until the file is dropped.
pub(crate) fn shared(path: &Path) -> Result<File, StoreError> {
    wait(path, File::try_lock_shared)
}

/// A lock that nobody else holds, until the file is dropped.
pub(crate) fn exclusive(path: &Path) -> Result<File, StoreError> {
    wait(path, File::try_lock)
}
