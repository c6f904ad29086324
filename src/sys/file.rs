//! Files that are read or replaced whole.

use std::fs::{File, OpenOptions, Permissions};
use std::io::{self, Read as _, Write as _};
use std::os::fd::AsRawFd as _;
use std::os::unix::fs::{OpenOptionsExt as _, PermissionsExt as _};
use std::path::Path;
use std::thread::{self, JoinHandle};

use rustix::fs::{AtFlags, CWD, Mode, OFlags, StatxAttributes, StatxFlags};

/// Opens a regular file for reading, or what a link that leads to one stands for. Whoever wrote the
/// directory decides what is there: nobody waits for the other end of a fifo (open(2),
/// `O_NONBLOCK`), and a device has no end.
pub(crate) fn open(path: &Path) -> io::Result<File> {
    let file = OpenOptions::new()
        .read(true)
        .custom_flags(libc::O_NONBLOCK)
        .open(path)?;
    let kind = file.metadata()?.file_type();
    match kind.is_file() {
        true => Ok(file),
        false if kind.is_dir() => Err(io::ErrorKind::IsADirectory.into()),
        false => Err(io::Error::new(
            io::ErrorKind::InvalidInput,
            "it is no regular file",
        )),
    }
}

/// The content of a regular file, which is refused where it has more than `bytes_max`.
pub(crate) fn read(path: &Path, bytes_max: u64) -> io::Result<Vec<u8>> {
    let mut content = Vec::new();
    open(path)?.take(bytes_max + 1).read_to_end(&mut content)?;
    match u64::try_from(content.len()).is_ok_and(|bytes| bytes <= bytes_max) {
        true => Ok(content),
        false => Err(io::ErrorKind::FileTooLarge.into()),
    }
}

/// The same of a text.
pub(crate) fn read_text(path: &Path, bytes_max: u64) -> io::Result<String> {
    String::from_utf8(read(path, bytes_max)?)
        .map_err(|error| io::Error::new(io::ErrorKind::InvalidData, error))
}

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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_has_no_end_or_never_begins_is_not_read() {
        let scratch = tempfile::tempdir().expect("a directory");
        let path = |name: &str| scratch.path().join(name);
        std::os::unix::fs::symlink("/dev/zero", path("endless")).expect("a link");
        let mode = Mode::from_raw_mode(0o600);
        rustix::fs::mknodat(CWD, path("fifo"), rustix::fs::FileType::Fifo, mode, 0)
            .expect("a fifo");
        for name in ["endless", "fifo"] {
            let error = read(&path(name), 10).expect_err(name);
            assert_eq!(error.kind(), io::ErrorKind::InvalidInput, "{name}");
        }
        let error = read(scratch.path(), 10).expect_err("a directory");
        assert_eq!(error.kind(), io::ErrorKind::IsADirectory);
        std::fs::write(path("file"), "text").expect("written");
        std::os::unix::fs::symlink("file", path("link")).expect("a link");
        assert_eq!(read_text(&path("link"), 4).expect("a text"), "text");
        let error = read(&path("link"), 3).expect_err("too large");
        assert_eq!(error.kind(), io::ErrorKind::FileTooLarge);
    }
}
