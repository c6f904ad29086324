//! One server at a time for what was written into a tree.
//!
//! A directory may be reached by several paths, and from several containers: bind mounts and mount
//! namespaces show it where it is not mounted on. Two servers over it would each write a journal of
//! its own into the same file. So whoever mounts locks the directory (flock(2)). The lock belongs to
//! the descriptor, which supervisor and server share and hand on: it ends with the last of them.

use std::fs::File;
use std::path::Path;
use std::thread::sleep;
use std::time::{Duration, Instant};

use rustix::fs::{FlockOperation, flock};
use rustix::io::Errno;

use super::error::MountError;

/// How long a server that is ending may take to let go.
const PATIENCE: Duration = Duration::from_secs(3);

const BETWEEN_LOOKS: Duration = Duration::from_millis(10);

/// Locks the directory at `mountpoint`.
///
/// # Errors
/// When another server has it. A file system that cannot lock is nobody's obstacle.
pub(super) fn lock(directory: &File, mountpoint: &Path) -> Result<(), MountError> {
    let began = Instant::now();
    while flock(directory, FlockOperation::NonBlockingLockExclusive) == Err(Errno::WOULDBLOCK) {
        if began.elapsed() > PATIENCE {
            return Err(MountError::ServedElsewhere {
                path: mountpoint.to_owned(),
            });
        }
        sleep(BETWEEN_LOOKS);
    }
    Ok(())
}

/// Lets others have the directory, whoever else has the descriptor.
pub(super) fn unlock(directory: &File) {
    if let Err(error) = flock(directory, FlockOperation::Unlock) {
        tracing::debug!(%error, "a directory stays locked until its server ends");
    }
}
