//! Processes: waiting with a limit, and signals to others and to oneself.

use std::io;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};
use std::time::Duration;

/// Asks a process to end.
pub(crate) const TERMINATE: i32 = libc::SIGTERM;
/// Ends a process.
pub(crate) const KILL: i32 = libc::SIGKILL;
/// What a terminal sends for Ctrl-C.
pub(crate) const INTERRUPT: i32 = libc::SIGINT;

/// Sends `signal` to the process `pid` (kill(2)).
pub(crate) fn send(pid: u32, signal: i32) -> io::Result<()> {
    kill(pid_of(pid)?, signal)
}

/// Sends `signal` to every process of the group that `leader` leads (kill(2)).
pub(crate) fn send_to_group(leader: u32, signal: i32) -> io::Result<()> {
    kill(-pid_of(leader)?, signal)
}

fn pid_of(pid: u32) -> io::Result<libc::pid_t> {
    let invalid = |_| io::Error::from(io::ErrorKind::InvalidInput);
    let pid = libc::pid_t::try_from(pid).map_err(invalid)?;
    // Zero and one would be everybody's group and the system's own process.
    if pid > 1 {
        Ok(pid)
    } else {
        Err(io::ErrorKind::InvalidInput.into())
    }
}

fn kill(target: libc::pid_t, signal: i32) -> io::Result<()> {
    // SAFETY: kill takes two numbers.
    match unsafe { libc::kill(target, signal) } {
        0 => Ok(()),
        _ => Err(io::Error::last_os_error()),
    }
}

/// Waits until the child `pid` has ended, at most for `limit`, and says whether it has. It stays to
/// be reaped, so that its number is nobody else's (pidfd_open(2), poll(2)).
pub(crate) fn wait_for_end(pid: u32, limit: Option<Duration>) -> io::Result<bool> {
    // SAFETY: pidfd_open takes two numbers; the result is checked before it is owned.
    let descriptor = unsafe { libc::syscall(libc::SYS_pidfd_open, pid_of(pid)?, 0) };
    let descriptor = i32::try_from(descriptor).map_err(|_| io::ErrorKind::InvalidData)?;
    if descriptor < 0 {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: the descriptor is new and nobody else's.
    let descriptor = unsafe { OwnedFd::from_raw_fd(descriptor) };
    let deadline = limit.and_then(|limit| std::time::Instant::now().checked_add(limit));
    loop {
        let left = deadline.map(|at| at.saturating_duration_since(std::time::Instant::now()));
        let milliseconds = left.map_or(-1, |left| {
            // Rounded up, so that the loop does not spin in the last millisecond.
            i32::try_from(left.as_millis().saturating_add(1)).unwrap_or(i32::MAX)
        });
        let mut poll = libc::pollfd {
            fd: descriptor.as_raw_fd(),
            events: libc::POLLIN,
            revents: 0,
        };
        // SAFETY: the pointer is to one live pollfd.
        let ready = unsafe { libc::poll(&raw mut poll, 1, milliseconds) };
        match ready {
            1.. => return Ok(true),
            0 if left.is_some_and(|left| left.is_zero()) => return Ok(false),
            0 => {}
            _ => {
                let error = io::Error::last_os_error();
                if error.kind() != io::ErrorKind::Interrupted {
                    return Err(error);
                }
            }
        }
    }
}

/// Ends this process by `signal`, as the child did whose end it passes on: whoever waits for it
/// learns the same (signal(7)). Where the signal does not end it, the exit code says it.
pub(crate) fn end_by(signal: i32) -> ! {
    // SAFETY: the default action is a valid one for every signal; raise takes a number, and _exit
    // does not return.
    unsafe {
        libc::signal(signal, libc::SIG_DFL);
        libc::raise(signal);
        libc::_exit(128 + (signal & 127));
    }
}
