//! Messages between two processes of this program, with descriptors among them.

use std::ffi::{CString, OsString};
use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::os::fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;

/// Most descriptors of one message (`SCM_MAX_FD` of the kernel is 253).
const DESCRIPTORS_MAX: usize = 8;

/// Room for the header and the descriptors, in units that are aligned for the header.
type Control = [u64; 4 + DESCRIPTORS_MAX];

/// Two ends on which each message is received as it was sent (socketpair(2), `SOCK_SEQPACKET`).
pub(crate) fn pair() -> io::Result<(OwnedFd, OwnedFd)> {
    let mut ends = [0; 2];
    // SAFETY: the pointer is to two descriptors.
    let result = unsafe {
        libc::socketpair(
            libc::AF_UNIX,
            libc::SOCK_SEQPACKET | libc::SOCK_CLOEXEC,
            0,
            ends.as_mut_ptr(),
        )
    };
    if result < 0 {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: socketpair has just made both.
    Ok(unsafe { (OwnedFd::from_raw_fd(ends[0]), OwnedFd::from_raw_fd(ends[1])) })
}

/// Sends one message with copies of `descriptors` (sendmsg(2), unix(7)).
pub(crate) fn send(
    socket: BorrowedFd<'_>,
    bytes: &[u8],
    descriptors: &[BorrowedFd<'_>],
) -> io::Result<()> {
    if descriptors.len() > DESCRIPTORS_MAX {
        return Err(io::ErrorKind::InvalidInput.into());
    }
    let mut vector = libc::iovec {
        iov_base: bytes.as_ptr().cast_mut().cast(),
        iov_len: bytes.len(),
    };
    let mut control: Control = [0; 4 + DESCRIPTORS_MAX];
    let room = size_of::<libc::c_int>() * descriptors.len();
    // SAFETY: all-zero bytes are a valid msghdr; the control buffer has room for one header and
    // DESCRIPTORS_MAX descriptors, and everything lives until the end of this function.
    let sent = unsafe {
        let mut message: libc::msghdr = std::mem::zeroed();
        message.msg_iov = &raw mut vector;
        message.msg_iovlen = 1;
        if !descriptors.is_empty() {
            message.msg_control = control.as_mut_ptr().cast();
            message.msg_controllen = libc::CMSG_SPACE(room as u32) as usize;
            let header = libc::CMSG_FIRSTHDR(&raw const message);
            (*header).cmsg_level = libc::SOL_SOCKET;
            (*header).cmsg_type = libc::SCM_RIGHTS;
            (*header).cmsg_len = libc::CMSG_LEN(room as u32) as usize;
            let first = libc::CMSG_DATA(header).cast::<libc::c_int>();
            for (index, descriptor) in descriptors.iter().enumerate() {
                first.add(index).write_unaligned(descriptor.as_raw_fd());
            }
        }
        libc::sendmsg(socket.as_raw_fd(), &raw const message, libc::MSG_NOSIGNAL)
    };
    match usize::try_from(sent) {
        Ok(count) if count == bytes.len() => Ok(()),
        Ok(_) => Err(io::ErrorKind::WriteZero.into()),
        Err(_) => Err(io::Error::last_os_error()),
    }
}

/// Receives one message of at most `bytes_max` bytes with its descriptors (recvmsg(2), unix(7)).
/// No bytes means that the other end is closed.
///
/// # Errors
/// When the message or its descriptors were cut short.
pub(crate) fn receive(
    socket: BorrowedFd<'_>,
    bytes_max: usize,
) -> io::Result<(Vec<u8>, Vec<OwnedFd>)> {
    let mut bytes = vec![0; bytes_max];
    let mut vector = libc::iovec {
        iov_base: bytes.as_mut_ptr().cast(),
        iov_len: bytes.len(),
    };
    let mut control: Control = [0; 4 + DESCRIPTORS_MAX];
    // SAFETY: all-zero bytes are a valid msghdr.
    let mut message: libc::msghdr = unsafe { std::mem::zeroed() };
    message.msg_iov = &raw mut vector;
    message.msg_iovlen = 1;
    message.msg_control = control.as_mut_ptr().cast();
    message.msg_controllen = size_of_val(&control);
    // SAFETY: the message points to buffers that live until the end of this function.
    let received =
        unsafe { libc::recvmsg(socket.as_raw_fd(), &raw mut message, libc::MSG_CMSG_CLOEXEC) };
    let count = usize::try_from(received).map_err(|_| io::Error::last_os_error())?;
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
    if message.msg_flags & (libc::MSG_CTRUNC | libc::MSG_TRUNC) != 0 {
        return Err(io::Error::other("the message was cut short"));
    }
    bytes.truncate(count);
    Ok((bytes, descriptors))
}

/// Makes a file that exists as long as somebody has it open (memfd_create(2)).
pub(crate) fn unnamed_file(bytes: &[u8]) -> io::Result<File> {
    // SAFETY: the name is NUL-terminated.
    let descriptor = unsafe { libc::memfd_create(c"pacquet".as_ptr(), libc::MFD_CLOEXEC) };
    if descriptor < 0 {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: memfd_create has just made it.
    let mut file = unsafe { File::from_raw_fd(descriptor) };
    file.write_all(bytes)?;
    Ok(file)
}

/// Turns this process into the program that `program` is open on, with `input` as its standard
/// input and a standard output that nobody reads (execveat(2)). Returns only when that fails; then
/// both may be others.
pub(crate) fn become_program(
    program: BorrowedFd<'_>,
    args: &[OsString],
    input: BorrowedFd<'_>,
) -> io::Error {
    let text = |text: &OsString| CString::new(text.as_bytes());
    let environment = std::env::vars_os().map(|(key, value)| {
        let mut pair = key;
        pair.push("=");
        pair.push(value);
        pair
    });
    let args: Result<Vec<_>, _> = args.iter().map(text).collect();
    let environment: Result<Vec<_>, _> = environment.map(|pair| text(&pair)).collect();
    let (Ok(args), Ok(environment)) = (args, environment) else {
        return io::ErrorKind::InvalidInput.into();
    };
    // Whoever started this process has what he waited for, and a pipe without a reader is an error.
    let output = match OpenOptions::new().write(true).open("/dev/null") {
        Ok(output) => output,
        Err(error) => return error,
    };
    let pointers = |texts: &[CString]| -> Vec<*const libc::c_char> {
        let pointers = texts.iter().map(|text| text.as_ptr());
        pointers.chain([std::ptr::null()]).collect()
    };
    let (argv, envp) = (pointers(&args), pointers(&environment));
    // SAFETY: both vectors end with a null pointer, and they and the strings that they point to
    // live until the call fails. Numbers 0 and 1 are nobody's but the standard streams'.
    unsafe {
        if libc::dup2(input.as_raw_fd(), 0) == 0 && libc::dup2(output.as_raw_fd(), 1) == 1 {
            libc::syscall(
                libc::SYS_execveat,
                program.as_raw_fd(),
                c"".as_ptr(),
                argv.as_ptr(),
                envp.as_ptr(),
                libc::AT_EMPTY_PATH,
            );
        }
    }
    io::Error::last_os_error()
}

/// Makes the descriptor number of `over` stand for what `by` stands for (dup3(2)).
pub(crate) fn replace(over: BorrowedFd<'_>, by: BorrowedFd<'_>) -> io::Result<()> {
    // SAFETY: no pointers; both are open, and the owner of the number keeps owning it.
    let result = unsafe { libc::dup3(by.as_raw_fd(), over.as_raw_fd(), libc::O_CLOEXEC) };
    if result < 0 {
        return Err(io::Error::last_os_error());
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::io::Read;
    use std::os::fd::AsFd;
    use std::os::unix::net::UnixStream;

    use super::*;

    #[test]
    fn messages_keep_their_bounds_and_descriptors() {
        let (ours, theirs) = pair().unwrap();
        let (mut left, right) = UnixStream::pair().unwrap();
        send(ours.as_fd(), b"one", &[right.as_fd()]).unwrap();
        send(ours.as_fd(), b"two", &[]).unwrap();
        let (bytes, mut descriptors) = receive(theirs.as_fd(), 64).unwrap();
        assert_eq!((bytes.as_slice(), descriptors.len()), (&b"one"[..], 1));
        let (bytes, none) = receive(theirs.as_fd(), 64).unwrap();
        assert_eq!((bytes.as_slice(), none.len()), (&b"two"[..], 0));
        drop(right);
        File::from(descriptors.remove(0))
            .write_all(b"through")
            .unwrap();
        let mut text = String::new();
        left.read_to_string(&mut text).unwrap();
        assert_eq!(text, "through");
        drop(ours);
        assert!(receive(theirs.as_fd(), 64).unwrap().0.is_empty());
    }

    #[test]
    fn what_does_not_fit_is_an_error() {
        let (ours, theirs) = pair().unwrap();
        send(ours.as_fd(), b"longer", &[]).unwrap();
        assert!(receive(theirs.as_fd(), 3).is_err());
        let many = [theirs.as_fd(); DESCRIPTORS_MAX + 1];
        assert!(send(ours.as_fd(), b"x", &many).is_err());
    }

    #[test]
    fn a_number_stands_for_something_else_after_it_was_replaced() {
        let (mut left, right) = UnixStream::pair().unwrap();
        let null = File::open("/dev/null").unwrap();
        replace(null.as_fd(), right.as_fd()).unwrap();
        drop(right);
        (&null).write_all(b"x").unwrap();
        let mut byte = [0];
        left.read_exact(&mut byte).unwrap();
        assert_eq!(&byte, b"x");
    }
}
