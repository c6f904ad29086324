//! The only module with `unsafe`: small safe functions around the system calls of this program.

#![allow(unsafe_code)]

use std::ffi::{CStr, CString};
use std::io;
use std::os::fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use crate::check::{Caller, DirectoryFacts};

// linux/mount.h
const FSOPEN_CLOEXEC: libc::c_uint = 1;
const FSMOUNT_CLOEXEC: libc::c_uint = 1;
const FSCONFIG_SET_FLAG: libc::c_uint = 0;
const FSCONFIG_SET_STRING: libc::c_uint = 1;
const FSCONFIG_CMD_CREATE: libc::c_uint = 6;
const MOUNT_ATTR_NOSUID: libc::c_uint = 2;
const MOUNT_ATTR_NODEV: libc::c_uint = 4;
const MOVE_MOUNT_F_EMPTY_PATH: libc::c_uint = 4;
const MOVE_MOUNT_T_EMPTY_PATH: libc::c_uint = 0x40;

fn check(result: libc::c_long) -> io::Result<libc::c_long> {
    if result < 0 {
        Err(io::Error::last_os_error())
    } else {
        Ok(result)
    }
}

fn owned(result: libc::c_long) -> io::Result<OwnedFd> {
    let descriptor = i32::try_from(check(result)?).map_err(io::Error::other)?;
    // SAFETY: the kernel has just handed this descriptor to us and nobody else knows it.
    Ok(unsafe { OwnedFd::from_raw_fd(descriptor) })
}

/// Writes a message to standard error, and does not mind when that fails.
pub(crate) fn say(message: &str) {
    // SAFETY: pointer and length are those of one live string.
    unsafe { libc::write(2, message.as_ptr().cast(), message.len()) };
}

/// The real user and group.
pub(crate) fn caller() -> Caller {
    // SAFETY: these calls have no preconditions and cannot fail.
    unsafe {
        Caller {
            user: libc::getuid(),
            group: libc::getgid(),
        }
    }
}

/// Fills the standard descriptors where the caller left them closed, closes every other one but
/// `kept`, and empties the environment.
pub(crate) fn isolate(kept: Option<i32>) -> io::Result<()> {
    // SAFETY: one thread runs, the strings are constants, and no descriptor above 2 but `kept` is
    // in use yet.
    unsafe {
        for descriptor in 0..3 {
            if libc::fcntl(descriptor, libc::F_GETFD) < 0 {
                let null = libc::open(c"/dev/null".as_ptr(), libc::O_RDWR);
                if null != descriptor {
                    return Err(io::Error::other("the standard descriptors are in disorder"));
                }
            }
        }
        let first = kept.map_or(3, |kept| kept + 1);
        check(libc::syscall(
            libc::SYS_close_range,
            first,
            libc::c_uint::MAX,
            0,
        ))?;
        if libc::clearenv() != 0 {
            return Err(io::Error::other("clearenv failed"));
        }
        libc::umask(0o077);
    }
    Ok(())
}

/// The caller's socket, if that descriptor is a unix socket.
pub(crate) fn socket(descriptor: i32) -> io::Result<OwnedFd> {
    let mut domain: libc::c_int = 0;
    let mut length = size_of::<libc::c_int>() as libc::socklen_t;
    // SAFETY: `domain` and `length` are live and of the sizes stated.
    let result = unsafe {
        libc::getsockopt(
            descriptor,
            libc::SOL_SOCKET,
            libc::SO_DOMAIN,
            (&raw mut domain).cast(),
            &raw mut length,
        )
    };
    check(result.into())?;
    if domain != libc::AF_UNIX {
        return Err(io::Error::from_raw_os_error(libc::ENOTSOCK));
    }
    // SAFETY: the caller passed this descriptor for us to use; nothing else here owns it.
    Ok(unsafe { OwnedFd::from_raw_fd(descriptor) })
}

/// Opens a directory without following a symlink at its end, with the caller's rights and not
/// with root's, so that it proves nothing about places that the caller cannot reach.
pub(crate) fn open_pinned(path: &Path, caller: Caller) -> io::Result<OwnedFd> {
    let path = CString::new(path.as_os_str().as_bytes())?;
    // SAFETY: setfsuid and setfsgid change this thread only and cannot fail for root; the string
    // is live during the call.
    unsafe {
        libc::setfsgid(caller.group);
        libc::setfsuid(caller.user);
        let flags = libc::O_PATH | libc::O_DIRECTORY | libc::O_NOFOLLOW | libc::O_CLOEXEC;
        let result = owned(libc::open(path.as_ptr(), flags).into());
        libc::setfsuid(libc::geteuid());
        libc::setfsgid(libc::getegid());
        result
    }
}

/// What a pinned descriptor says of its directory.
pub(crate) fn facts(directory: BorrowedFd<'_>) -> io::Result<DirectoryFacts> {
    // SAFETY: both structures are plain data for which zeroes are valid, live during the calls.
    unsafe {
        let mut stat: libc::stat = std::mem::zeroed();
        check(libc::fstat(directory.as_raw_fd(), &raw mut stat).into())?;
        let mut statfs: libc::statfs = std::mem::zeroed();
        check(libc::fstatfs(directory.as_raw_fd(), &raw mut statfs).into())?;
        Ok(DirectoryFacts {
            owner: stat.st_uid,
            mode: stat.st_mode & 0o7777,
            is_directory: stat.st_mode & libc::S_IFMT == libc::S_IFDIR,
            filesystem_magic: statfs.f_type,
        })
    }
}

/// The number of the mount that a descriptor is on, from `/proc/self/fdinfo`: unlike statx(2) it
/// does not ask the file system, which might be dead.
pub(crate) fn mount_id(descriptor: BorrowedFd<'_>) -> io::Result<u64> {
    let text = std::fs::read_to_string(format!("/proc/self/fdinfo/{}", descriptor.as_raw_fd()))?;
    text.lines()
        .find_map(|line| line.strip_prefix("mnt_id:")?.trim().parse().ok())
        .ok_or_else(|| io::Error::other("fdinfo has no mnt_id"))
}

/// Opens the FUSE device.
pub(crate) fn open_fuse() -> io::Result<OwnedFd> {
    // SAFETY: the string is a constant.
    owned(unsafe { libc::open(c"/dev/fuse".as_ptr(), libc::O_RDWR | libc::O_CLOEXEC) }.into())
}

/// Makes a detached FUSE mount for the caller with the fixed options of this program.
pub(crate) fn mount_fuse(device: BorrowedFd<'_>, caller: Caller) -> io::Result<OwnedFd> {
    // SAFETY: the strings are constants.
    let context =
        owned(unsafe { libc::syscall(libc::SYS_fsopen, c"fuse".as_ptr(), FSOPEN_CLOEXEC) })?;
    for (key, value) in [
        // The server that asks for the mount started this program, and tells its mounts by it.
        (
            c"source",
            format!("pacquet-{}", std::os::unix::process::parent_id()),
        ),
        (c"subtype", "pacquet".to_owned()),
        (c"fd", device.as_raw_fd().to_string()),
        (c"rootmode", "40000".to_owned()),
        (c"user_id", caller.user.to_string()),
        (c"group_id", caller.group.to_string()),
    ] {
        set_string(&context, key, &value)?;
    }
    // SAFETY: the strings are constants and the descriptor is live.
    unsafe {
        let null = std::ptr::null::<libc::c_char>();
        let flag = c"default_permissions".as_ptr();
        let raw = context.as_raw_fd();
        check(libc::syscall(
            libc::SYS_fsconfig,
            raw,
            FSCONFIG_SET_FLAG,
            flag,
            null,
            0,
        ))?;
        check(libc::syscall(
            libc::SYS_fsconfig,
            raw,
            FSCONFIG_CMD_CREATE,
            null,
            null,
            0,
        ))?;
        let attributes = MOUNT_ATTR_NOSUID | MOUNT_ATTR_NODEV;
        owned(libc::syscall(
            libc::SYS_fsmount,
            raw,
            FSMOUNT_CLOEXEC,
            attributes,
        ))
    }
}

fn set_string(context: &OwnedFd, key: &CStr, value: &str) -> io::Result<()> {
    let value = CString::new(value)?;
    // SAFETY: both strings are live during the call.
    let result = unsafe {
        libc::syscall(
            libc::SYS_fsconfig,
            context.as_raw_fd(),
            FSCONFIG_SET_STRING,
            key.as_ptr(),
            value.as_ptr(),
            0,
        )
    };
    check(result).map(drop)
}

/// Puts a detached mount onto the pinned directory, wherever that has been moved meanwhile.
pub(crate) fn attach(mount: BorrowedFd<'_>, directory: BorrowedFd<'_>) -> io::Result<()> {
    // SAFETY: the strings are constants and the descriptors are live.
    let result = unsafe {
        libc::syscall(
            libc::SYS_move_mount,
            mount.as_raw_fd(),
            c"".as_ptr(),
            directory.as_raw_fd(),
            c"".as_ptr(),
            MOVE_MOUNT_F_EMPTY_PATH | MOVE_MOUNT_T_EMPTY_PATH,
        )
    };
    check(result).map(drop)
}

/// Takes a mount out of the tree; it ends when its last user is gone.
pub(crate) fn detach(root: BorrowedFd<'_>) -> io::Result<()> {
    let path = CString::new(format!("/proc/self/fd/{}", root.as_raw_fd()))?;
    // SAFETY: the string is live during the call.
    check(unsafe { libc::umount2(path.as_ptr(), libc::MNT_DETACH) }.into()).map(drop)
}

/// Sends one byte and one descriptor (unix(7), SCM_RIGHTS).
pub(crate) fn send_descriptor(socket: BorrowedFd<'_>, sent: BorrowedFd<'_>) -> io::Result<()> {
    let mut byte = [0_u8];
    let mut part = libc::iovec {
        iov_base: byte.as_mut_ptr().cast(),
        iov_len: 1,
    };
    // Room for one header and one descriptor, aligned as a header must be.
    let mut control = [0_u64; 8];
    // SAFETY: the message points to live buffers of the lengths stated; `control` has room for
    // CMSG_SPACE(4) bytes, which is 24 on 64-bit Linux, and is aligned for `cmsghdr`.
    unsafe {
        let mut message: libc::msghdr = std::mem::zeroed();
        message.msg_iov = &raw mut part;
        message.msg_iovlen = 1;
        message.msg_control = control.as_mut_ptr().cast();
        message.msg_controllen = libc::CMSG_SPACE(size_of::<libc::c_int>() as u32) as usize;
        let header = libc::CMSG_FIRSTHDR(&raw const message);
        (*header).cmsg_level = libc::SOL_SOCKET;
        (*header).cmsg_type = libc::SCM_RIGHTS;
        (*header).cmsg_len = libc::CMSG_LEN(size_of::<libc::c_int>() as u32) as usize;
        libc::CMSG_DATA(header)
            .cast::<libc::c_int>()
            .write_unaligned(sent.as_raw_fd());
        check(libc::sendmsg(socket.as_raw_fd(), &raw const message, libc::MSG_NOSIGNAL) as i64)?;
    }
    Ok(())
}
