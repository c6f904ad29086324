//! Files that are replaced whole.

use std::fs::{File, Permissions};
use std::io::{self, Write as _};
use std::os::fd::AsRawFd as _;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::thread::{self, JoinHandle};

use rustix::fs::{AtFlags, CWD, Mode, OFlags, StatxAttributes, StatxFlags};

/// Puts `content` in the place of `path`, whole (rename(2)): a reader has the old or the new.
/// `mode` is that of the new file; without one only its owner can read it. The directory must be
/// there.
pub(crate) fn replace(path: &Path, content: &[u8], mode: Option<u32>) -> io::Result<()> {
    let directory = path.parent().unwrap_or(Path::new("."));
    let mut file = tempfile::NamedTempFile::new_in(directory)?;
    file.write_all(content)?;
    if let Some(mode) = mode {
        file.as_file()
            .set_permissions(Permissions::from_mode(mode))?;
    }
    file.persist(path).map_err(|error| error.error)?;
    Ok(())
}

/// Whether nothing can take the place of `path` though its directory can be written: it is
/// immutable, or something is mounted on it (statx(2)).
pub(crate) fn is_fixed(path: &Path) -> bool {
    let fixing = StatxAttributes::IMMUTABLE | StatxAttributes::APPEND | StatxAttributes::MOUNT_ROOT;
    rustix::fs::statx(CWD, path, AtFlags::SYMLINK_NOFOLLOW, StatxFlags::empty())
        .is_ok_and(|facts| facts.stx_attributes.intersects(fixing))
}

/// A file without a name (`O_TMPFILE`, open(2)) whose content is on its way to the disk. It goes
/// with the process, unless it is given a name.
#[derive(Debug)]
pub(crate) struct Unnamed {
    file: File,
    /// Who brings it to the disk; without a thread, whoever waits does.
    sync: Option<JoinHandle<io::Result<()>>>,
}

impl Unnamed {
    /// Begins one in `directory`. Not every file system has such files.
    pub(crate) fn begin(
        directory: &Path,
        content: &[u8],
        permissions: Permissions,
    ) -> io::Result<Self> {
        let flags = OFlags::TMPFILE | OFlags::WRONLY | OFlags::CLOEXEC;
        let file = File::from(rustix::fs::open(directory, flags, Mode::RUSR | Mode::WUSR)?);
        (&file).write_all(content)?;
        file.set_permissions(permissions)?;
        let other = file.try_clone()?;
        let sync = thread::Builder::new().spawn(move || other.sync_all());
        Ok(Self {
            file,
            sync: sync.ok(),
        })
    }

    /// The file, when its content is on the disk.
    pub(crate) fn wait(self) -> io::Result<File> {
        let synced = match self.sync.map(JoinHandle::join) {
            Some(Ok(synced)) => synced,
            Some(Err(panic)) => std::panic::resume_unwind(panic),
            None => self.file.sync_all(),
        };
        synced.map(|()| self.file)
    }
}

/// Gives a file without a name the name `path`, which must be free (linkat(2)).
pub(crate) fn give_name(file: &File, path: &Path) -> io::Result<()> {
    let own = format!("/proc/self/fd/{}", file.as_raw_fd());
    rustix::fs::linkat(CWD, own, CWD, path, AtFlags::SYMLINK_FOLLOW)?;
    Ok(())
}
