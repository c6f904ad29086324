//! Mounting, unmounting, passing descriptors, and what a background process needs.

use std::ffi::CString;
use std::fs::{File, OpenOptions};
use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{FileTypeExt, MetadataExt, OpenOptionsExt};
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

/// Character device of FUSE (`Documentation/admin-guide/devices.txt`).
const FUSE_DEVICE: (u32, u32) = (10, 229);

/// How a mount is taken away.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum UnmountMode {
    /// Fails with `EBUSY` while somebody uses it.
    Strict,
    /// It disappears at once, and lives on for those who use it.
    Detach,
}

/// Opens the directory at `path` (open(2)). A symlink in the last place is refused.
pub(crate) fn open_directory(path: &Path) -> io::Result<File> {
    OpenOptions::new()
        .read(true)
        .custom_flags(libc::O_DIRECTORY | libc::O_NOFOLLOW)
        .open(path)
}

/// Opens `/dev/fuse` (fuse(4)).
pub(crate) fn open_device(path: &Path) -> io::Result<OwnedFd> {
    let device = OpenOptions::new().read(true).write(true).open(path)?;
    Ok(device.into())
}

/// Whether `descriptor` is the FUSE device (fstat(2)).
pub(crate) fn is_fuse_device(descriptor: BorrowedFd<'_>) -> io::Result<bool> {
    let metadata = File::from(descriptor.try_clone_to_owned()?).metadata()?;
    let device = (libc::major(metadata.rdev()), libc::minor(metadata.rdev()));
    Ok(metadata.file_type().is_char_device() && device == FUSE_DEVICE)
}

/// Mounts the file system of `device` on the open directory, read-only where the directory is
/// (mount(2), fuse(4), statvfs(3)).
pub(crate) fn mount(
    mountpoint: &File,
    device: BorrowedFd<'_>,
    fs_type: &str,
    source: &str,
    options: &str,
) -> io::Result<()> {
    let data = CString::new(format!("fd={},{options}", device.as_raw_fd()))?;
    let target = CString::new(format!("/proc/self/fd/{}", mountpoint.as_raw_fd()))?;
    let (fs_type, source) = (CString::new(fs_type)?, CString::new(source)?);
    let mut flags = libc::MS_NOSUID | libc::MS_NODEV;
    if is_read_only(mountpoint)? {
        flags |= libc::MS_RDONLY;
    }
    // SAFETY: all pointers are to NUL-terminated strings that outlive the call.
    let result = unsafe {
        libc::mount(
            source.as_ptr(),
            target.as_ptr(),
            fs_type.as_ptr(),
            flags,
            data.as_ptr().cast(),
        )
    };
    check(result).map(drop)
}

/// Whether the file system of `directory` is mounted read-only (statvfs(3)).
pub(crate) fn is_read_only(directory: impl AsFd) -> io::Result<bool> {
    let flags = rustix::fs::fstatvfs(directory)?.f_flag;
    Ok(flags.contains(rustix::fs::StatVfsMountFlags::RDONLY))
}

/// Unmounts what is mounted at `path` (umount2(2)). Symlinks are not followed.
pub(crate) fn unmount(path: &Path, mode: UnmountMode) -> io::Result<()> {
    let path = CString::new(path.as_os_str().as_bytes())?;
    let flags = match mode {
        UnmountMode::Strict => libc::UMOUNT_NOFOLLOW,
        UnmountMode::Detach => libc::UMOUNT_NOFOLLOW | libc::MNT_DETACH,
    };
    // SAFETY: the path is a NUL-terminated string that outlives the call.
    check(unsafe { libc::umount2(path.as_ptr(), flags) }).map(drop)
}

/// Makes the program that `command` starts have `descriptor` as its descriptor `number` (dup2(2)).
///
/// The process that starts it must have a descriptor `number` too, as it has when `descriptor` is
/// not below it: otherwise the pipe on which a failed exec is reported could be in its place.
pub(crate) fn pass_descriptor(command: &mut Command, descriptor: OwnedFd, number: i32) {
    // SAFETY: the closure calls nothing but dup2 and fcntl, which are async-signal-safe.
    unsafe {
        command.pre_exec(move || {
            let raw = descriptor.as_raw_fd();
            if raw == number {
                check(libc::fcntl(raw, libc::F_SETFD, 0)).map(drop)
            } else {
                check(libc::dup2(raw, number)).map(drop)
            }
        });
    }
}

/// Real user and group id of this process (getuid(2)).
pub(crate) fn user_and_group() -> (u32, u32) {
    // SAFETY: neither can fail.
    unsafe { (libc::getuid(), libc::getgid()) }
}

/// Ends a process that does not end by itself (kill(2), `SIGKILL`).
pub(crate) fn kill(pid: u32) -> io::Result<()> {
    let pid = libc::pid_t::try_from(pid).map_err(io::Error::other)?;
    // SAFETY: no pointers.
    check(unsafe { libc::kill(pid, libc::SIGKILL) }).map(drop)
}

/// Begins a new session, away from the terminal (setsid(2)). Fails for a group leader, which
/// leaves things as they are.
pub(crate) fn new_session() -> io::Result<()> {
    // SAFETY: no arguments.
    check(unsafe { libc::setsid() }).map(drop)
}

/// Takes the signals that end a process from now on as messages on a descriptor (signalfd(2)), in
/// this thread and those that it starts.
pub(crate) fn end_signals() -> io::Result<File> {
    // SAFETY: all-zero bytes are a valid sigset_t, and the pointers are to it.
    let descriptor = unsafe {
        let mut set: libc::sigset_t = std::mem::zeroed();
        check(libc::sigemptyset(&raw mut set))?;
        for signal in [libc::SIGTERM, libc::SIGINT, libc::SIGHUP] {
            check(libc::sigaddset(&raw mut set, signal))?;
        }
        let result = libc::pthread_sigmask(libc::SIG_BLOCK, &raw const set, std::ptr::null_mut());
        if result != 0 {
            return Err(io::Error::from_raw_os_error(result));
        }
        check(libc::signalfd(
            -1,
            &raw const set,
            libc::SFD_CLOEXEC | libc::SFD_NONBLOCK,
        ))?
    };
    // SAFETY: signalfd has just made it.
    Ok(unsafe { File::from_raw_fd(descriptor) })
}

/// What is waited for on a descriptor.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Watch<'fd> {
    /// Bytes, a connection, or the end.
    Readable(BorrowedFd<'fd>),
    /// The end alone: of the FUSE device, that its connection is over.
    Ended(BorrowedFd<'fd>),
}

/// Waits until something has happened on one of `watches`, and says on which (poll(2)). All are
/// `false` when the time is over.
pub(crate) fn wait(watches: &[Watch<'_>], timeout: Option<Duration>) -> io::Result<Vec<bool>> {
    let mut entries: Vec<libc::pollfd> = watches
        .iter()
        .map(|watch| {
            let (descriptor, events) = match watch {
                Watch::Readable(descriptor) => (descriptor, libc::POLLIN),
                Watch::Ended(descriptor) => (descriptor, 0),
            };
            libc::pollfd {
                fd: descriptor.as_raw_fd(),
                events,
                revents: 0,
            }
        })
        .collect();
    // Rounded up: a wait that ends too early would be repeated until the time has come.
    let timeout_ms = timeout.map_or(-1, |timeout| {
        i32::try_from(timeout.as_micros().div_ceil(1000)).unwrap_or(i32::MAX)
    });
    let count = entries.len() as libc::nfds_t;
    // SAFETY: the pointer and the count are those of one vector.
    let result = unsafe { libc::poll(entries.as_mut_ptr(), count, timeout_ms) };
    match check(result) {
        Ok(_) => Ok(entries.iter().map(|entry| entry.revents != 0).collect()),
        Err(error) if error.kind() == io::ErrorKind::Interrupted => Ok(vec![false; entries.len()]),
        Err(error) => Err(error),
    }
}

fn check(result: libc::c_int) -> io::Result<libc::c_int> {
    if result < 0 {
        Err(io::Error::last_os_error())
    } else {
        Ok(result)
    }
}

#[cfg(test)]
mod tests {
    use std::os::fd::AsFd;
    use std::os::unix::net::UnixStream;

    use super::*;

    #[test]
    fn a_symlink_is_no_directory_to_open() {
        let directory = tempfile::tempdir().unwrap();
        let link = directory.path().join("link");
        std::os::unix::fs::symlink("/", &link).unwrap();
        assert!(open_directory(&link).is_err());
        assert!(open_directory(&directory.path().join("absent")).is_err());
        assert!(open_directory(directory.path()).is_ok());
    }

    #[test]
    fn only_the_fuse_device_is_the_fuse_device() {
        let null = File::open("/dev/null").unwrap();
        assert!(!is_fuse_device(null.as_fd()).unwrap());
        let file = tempfile::tempfile().unwrap();
        assert!(!is_fuse_device(file.as_fd()).unwrap());
    }

    #[test]
    fn waiting_tells_which_can_be_read() {
        let (ours, theirs) = UnixStream::pair().unwrap();
        io::Write::write_all(&mut &theirs, b"x").unwrap();
        let watches = [
            Watch::Readable(ours.as_fd()),
            Watch::Readable(theirs.as_fd()),
            Watch::Ended(ours.as_fd()),
        ];
        assert_eq!(wait(&watches, None).unwrap(), [true, false, false]);
        drop(theirs);
        let watches = [Watch::Ended(ours.as_fd())];
        assert_eq!(wait(&watches, None).unwrap(), [true]);
    }
}
