//! Directories into which only their owner may write, whatever the umask is.

use std::io;
use std::os::unix::fs::DirBuilderExt;
use std::path::Path;

const MODE: u32 = 0o755;

/// Makes `path` and what is missing above it (mkdir(2)). One that is there already stays as it is.
pub(crate) fn make(path: &Path) -> io::Result<()> {
    std::fs::DirBuilder::new()
        .recursive(true)
        .mode(MODE)
        .create(path)
}
