//! One server at a time for what was written into a tree.
//!
//! A directory may be reached by several paths, and from several containers: bind mounts and mount
//! namespaces show it where it is not mounted on. Two servers over it would each write a journal
//! of its own into the same file. So whoever mounts locks the directory (flock(2)). The lock
//! belongs to the descriptor, which supervisor and server share and hand on: it ends with the last
//! of them.

use std::fs::File;
use std::os::unix::fs::MetadataExt;
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
    if lock_within(directory, PATIENCE) {
        return Ok(());
    }
    Err(MountError::ServedElsewhere {
        path: mountpoint.to_owned(),
        process: holder(directory),
    })
}

/// Locks a directory; `false` where somebody else has had it for all of this time.
pub(super) fn lock_within(directory: &File, patience: Duration) -> bool {
    let began = Instant::now();
    while flock(directory, FlockOperation::NonBlockingLockExclusive) == Err(Errno::WOULDBLOCK) {
        if began.elapsed() > patience {
            return false;
        }
        sleep(BETWEEN_LOOKS);
    }
    true
}

/// The process that locked the directory, where it can be seen from here (proc(5), `locks`).
fn holder(directory: &File) -> Option<u32> {
    let inode = directory.metadata().ok()?.ino();
    process_in(&std::fs::read_to_string("/proc/locks").ok()?, inode)
}

/// Lines are `1: FLOCK  ADVISORY  WRITE 714 fe:00:9052 0 EOF`: the process, and device and inode.
fn process_in(locks: &str, inode: u64) -> Option<u32> {
    let inode = inode.to_string();
    locks.lines().find_map(|line| {
        let words: Vec<&str> = line.split_whitespace().collect();
        let [_, "FLOCK", _, "WRITE", process, file, ..] = words[..] else {
            return None;
        };
        let is_it = file.rsplit(':').next() == Some(&*inode);
        process.parse().ok().filter(|process| is_it && *process > 0)
    })
}

/// Lets others have the directory, whoever else has the descriptor.
pub(super) fn unlock(directory: &File) {
    if let Err(error) = flock(directory, FlockOperation::Unlock) {
        tracing::debug!(%error, "a directory stays locked until its server ends");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_holder_of_a_lock_is_found_by_the_inode() {
        let locks = "1: POSIX  ADVISORY  WRITE 3 fe:00:9052 0 EOF\n\
                     2: FLOCK  ADVISORY  WRITE 714 fe:00:9053 0 EOF\n\
                     2: -> FLOCK  ADVISORY  WRITE 5 fe:00:9052 0 EOF\n\
                     3: FLOCK  ADVISORY  WRITE 715 fe:00:9052 0 EOF\n\
                     4: FLOCK  ADVISORY  WRITE -1 fe:00:9054 0 EOF\n";
        assert_eq!(process_in(locks, 9052), Some(715));
        for inode in [9054, 52, 1] {
            assert_eq!(process_in(locks, inode), None);
        }
    }
}
