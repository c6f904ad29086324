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
}
