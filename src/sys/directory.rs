//! Directories into which only their owner may write, whatever the umask is.

use std::io;
use std::os::unix::fs::DirBuilderExt;
use std::path::Path;

const MODE: u32 = 0o755;

/// Whether files can be made in `path`, or where it is missing, in what is above it (access(2)).
pub(crate) fn is_writable(path: &Path) -> bool {
    let mut ancestors = path.ancestors();
    let accessed = ancestors.find_map(|ancestor| {
        match rustix::fs::access(ancestor, rustix::fs::Access::WRITE_OK) {
            Err(rustix::io::Errno::NOENT) => None,
            accessed => Some(accessed.is_ok()),
        }
    });
    accessed.unwrap_or(false)
}

/// Makes `path`, which may not be there yet (mkdir(2)).
pub(crate) fn make_new(path: &Path) -> io::Result<()> {
    std::fs::DirBuilder::new().mode(MODE).create(path)
}

/// Makes `path` and what is missing above it (mkdir(2)). One that is there already stays as it is.
pub(crate) fn make(path: &Path) -> io::Result<()> {
    std::fs::DirBuilder::new()
        .recursive(true)
        .mode(MODE)
        .create(path)
}
