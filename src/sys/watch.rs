//! Waiting for descriptors.

use std::io;
use std::os::fd::{AsRawFd, BorrowedFd};
use std::time::Duration;

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
    if result >= 0 {
        return Ok(entries.iter().map(|entry| entry.revents != 0).collect());
    }
    match io::Error::last_os_error() {
        error if error.kind() == io::ErrorKind::Interrupted => Ok(vec![false; entries.len()]),
        error => Err(error),
    }
}

#[cfg(test)]
mod tests {
    use std::os::fd::AsFd;
    use std::os::unix::net::UnixStream;

    use super::*;

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
