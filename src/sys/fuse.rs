//! Mounting, unmounting, passing descriptors, and what a background process needs.

use std::ffi::CString;
use std::fs::{File, OpenOptions};
use std::io;
use std::os::fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{FileTypeExt, MetadataExt, OpenOptionsExt};
use std::os::unix::net::UnixStream;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

/// Character device of FUSE (`Documentation/admin-guide/devices.txt`).
const FUSE_DEVICE: (u32, u32) = (10, 229);

/// Most descriptors that are taken from one message; more than one is refused anyway.
const DESCRIPTORS_MAX: usize = 8;

/// How a mount is taken away.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum UnmountMode {
    /// Fails with `EBUSY` while somebody uses it.
    Strict,
    /// It disappears at once, and lives on for those who use it.
    Detach,
}

/// Pins the directory at `path` (open(2), `O_PATH`). A symlink in the last place is refused.
pub(crate) fn pin_directory(path: &Path) -> io::Result<File> {
    OpenOptions::new()
        .read(true)
        .custom_flags(libc::O_PATH | libc::O_DIRECTORY | libc::O_NOFOLLOW)
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

/// Mounts the file system of `device` on the pinned directory (mount(2), fuse(4)).
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
    // SAFETY: all pointers are to NUL-terminated strings that outlive the call.
    let result = unsafe {
        libc::mount(
            source.as_ptr(),
            target.as_ptr(),
            fs_type.as_ptr(),
            libc::MS_NOSUID | libc::MS_NODEV,
            data.as_ptr().cast(),
        )
    };
    check(result).map(drop)
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

/// Receives one message with its descriptors (recvmsg(2), unix(7)).
pub(crate) fn receive_descriptors(socket: &UnixStream) -> io::Result<Vec<OwnedFd>> {
    let mut byte = [0_u8; 1];
    let mut vector = libc::iovec {
        iov_base: byte.as_mut_ptr().cast(),
        iov_len: byte.len(),
    };
    // Room for the header and the descriptors, in units that are aligned for the header.
    let mut control = [0_u64; 4 + DESCRIPTORS_MAX];
    // SAFETY: all-zero bytes are a valid msghdr.
    let mut message: libc::msghdr = unsafe { std::mem::zeroed() };
    message.msg_iov = &raw mut vector;
    message.msg_iovlen = 1;
    message.msg_control = control.as_mut_ptr().cast();
    message.msg_controllen = size_of_val(&control);
    // SAFETY: the message points to buffers that live until the end of this function.
    let result =
        unsafe { libc::recvmsg(socket.as_raw_fd(), &raw mut message, libc::MSG_CMSG_CLOEXEC) };
    if result < 0 {
        return Err(io::Error::last_os_error());
    }
    let mut descriptors = Vec::new();
    // SAFETY: recvmsg has filled `message`; the CMSG macros stay within `msg_controllen`, and
    // each descriptor of an SCM_RIGHTS message is new and ours.
    unsafe {
        let mut header = libc::CMSG_FIRSTHDR(&raw const message);
        while !header.is_null() {
            if (*header).cmsg_level == libc::SOL_SOCKET && (*header).cmsg_type == libc::SCM_RIGHTS {
                let length = (*header).cmsg_len - libc::CMSG_LEN(0) as usize;
                let first = libc::CMSG_DATA(header).cast::<libc::c_int>();
                for index in 0..length / size_of::<libc::c_int>() {
                    let raw = first.add(index).read_unaligned();
                    descriptors.push(OwnedFd::from_raw_fd(raw));
                }
            }
            header = libc::CMSG_NXTHDR(&raw const message, header);
        }
    }
    if message.msg_flags & libc::MSG_CTRUNC != 0 {
        return Err(io::Error::other("the message was cut short"));
    }
    Ok(descriptors)
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

/// Lets this process open as many files as it is allowed to (setrlimit(2)). Returns the number.
pub(crate) fn raise_descriptor_limit() -> io::Result<u64> {
    let mut limit = libc::rlimit {
        rlim_cur: 0,
        rlim_max: 0,
    };
    // SAFETY: the pointer is to a live rlimit.
    check(unsafe { libc::getrlimit(libc::RLIMIT_NOFILE, &raw mut limit) })?;
    limit.rlim_cur = limit.rlim_max;
    // SAFETY: as above.
    check(unsafe { libc::setrlimit(libc::RLIMIT_NOFILE, &raw const limit) })?;
    Ok(limit.rlim_cur)
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

/// Waits until one of `descriptors` can be read, and says which can (poll(2)). All are `false`
/// when the time is over.
pub(crate) fn wait_readable<const N: usize>(
    descriptors: [BorrowedFd<'_>; N],
    timeout: Option<Duration>,
) -> io::Result<[bool; N]> {
    let mut entries = descriptors.map(|descriptor| libc::pollfd {
        fd: descriptor.as_raw_fd(),
        events: libc::POLLIN,
        revents: 0,
    });
    let timeout_ms = timeout.map_or(-1, |timeout| {
        i32::try_from(timeout.as_millis()).unwrap_or(i32::MAX)
    });
    // SAFETY: the pointer and the count are those of one array.
    let result = unsafe { libc::poll(entries.as_mut_ptr(), N as libc::nfds_t, timeout_ms) };
    match check(result) {
        Ok(_) => Ok(entries.map(|entry| entry.revents != 0)),
        Err(error) if error.kind() == io::ErrorKind::Interrupted => Ok([false; N]),
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

    use super::*;

    #[test]
    fn a_symlink_is_no_directory_to_pin() {
        let directory = tempfile::tempdir().unwrap();
        let link = directory.path().join("link");
        std::os::unix::fs::symlink("/", &link).unwrap();
        assert!(pin_directory(&link).is_err());
        assert!(pin_directory(&directory.path().join("absent")).is_err());
        assert!(pin_directory(directory.path()).is_ok());
    }

    #[test]
    fn only_the_fuse_device_is_the_fuse_device() {
        let null = File::open("/dev/null").unwrap();
        assert!(!is_fuse_device(null.as_fd()).unwrap());
        let file = tempfile::tempfile().unwrap();
        assert!(!is_fuse_device(file.as_fd()).unwrap());
    }

    #[test]
    fn a_message_without_descriptors_gives_none() {
        let (ours, theirs) = UnixStream::pair().unwrap();
        io::Write::write_all(&mut &theirs, b"x").unwrap();
        assert!(receive_descriptors(&ours).unwrap().is_empty());
        drop(theirs);
        assert!(receive_descriptors(&ours).unwrap().is_empty());
    }

    #[test]
    fn waiting_tells_which_can_be_read() {
        let (ours, theirs) = UnixStream::pair().unwrap();
        io::Write::write_all(&mut &theirs, b"x").unwrap();
        let ready = wait_readable([ours.as_fd(), theirs.as_fd()], None).unwrap();
        assert_eq!(ready, [true, false]);
    }
}
