//! Processes: waiting with a limit, and signals to others and to oneself.

use std::collections::BTreeMap;
use std::io;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd, RawFd};
use std::sync::mpsc;
use std::thread;
use std::time::Duration;

/// Asks a process to end.
pub(crate) const TERMINATE: i32 = libc::SIGTERM;
/// Ends a process.
pub(crate) const KILL: i32 = libc::SIGKILL;
/// What a terminal sends for Ctrl-C.
pub(crate) const INTERRUPT: i32 = libc::SIGINT;

/// Whether the process runs as root (geteuid(2)).
pub(crate) fn is_root() -> bool {
    // SAFETY: geteuid has no arguments and cannot fail.
    unsafe { libc::geteuid() == 0 }
}

/// How many files this process may have open, and may let itself have open (getrlimit(2)).
fn open_files() -> io::Result<libc::rlimit> {
    let mut limit = libc::rlimit {
        rlim_cur: 0,
        rlim_max: 0,
    };
    // SAFETY: the pointer is to a live rlimit.
    if unsafe { libc::getrlimit(libc::RLIMIT_NOFILE, &raw mut limit) } < 0 {
        return Err(io::Error::last_os_error());
    }
    Ok(limit)
}

/// How many files this process may have open.
pub(crate) fn descriptor_limit() -> u64 {
    open_files().map_or(u64::MAX, |limit| limit.rlim_cur)
}

/// Lets this process open as many files as it is allowed to (setrlimit(2)). Returns the number.
pub(crate) fn raise_descriptor_limit() -> io::Result<u64> {
    let mut limit = open_files()?;
    limit.rlim_cur = limit.rlim_max;
    // SAFETY: as above.
    if unsafe { libc::setrlimit(libc::RLIMIT_NOFILE, &raw const limit) } < 0 {
        return Err(io::Error::last_os_error());
    }
    Ok(limit.rlim_cur)
}

/// Sets variables of this process, as long as it has no other thread, which might be reading them.
pub(crate) fn set_variables(variables: &BTreeMap<String, String>) -> io::Result<()> {
    if variables.is_empty() {
        return Ok(());
    }
    if std::fs::read_dir("/proc/self/task")?.count() > 1 {
        return Err(io::ErrorKind::ResourceBusy.into());
    }
    for (name, value) in variables {
        // SAFETY: this is the only thread, so nobody else reads or writes the environment.
        unsafe { std::env::set_var(name, value) };
    }
    Ok(())
}

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

/// Stack of a thread that does nothing.
const IDLE_STACK_BYTES: usize = 64 << 10;

/// Keeps `descriptor` open in a thread that has a table of descriptors of its own. It is closed as
/// soon as this process is killed, also where another of its threads cannot end yet and the
/// descriptors of the process therefore stay open (close_range(2), `CLOSE_RANGE_UNSHARE`).
pub(crate) fn keep_until_killed(descriptor: OwnedFd) -> io::Result<()> {
    let raw = descriptor.as_raw_fd();
    let (sender, receiver) = mpsc::channel();
    thread::Builder::new()
        .name("alive".to_owned())
        .stack_size(IDLE_STACK_BYTES)
        .spawn(move || {
            let unshared = unshare_all_but(raw);
            let is_alone = unshared.is_ok();
            let _ = sender.send(unshared);
            if is_alone {
                loop {
                    thread::park();
                }
            }
        })?;
    let unshared = receiver.recv().map_err(io::Error::other)?;
    // Of the process's own table; that of the thread still has it.
    drop(descriptor);
    unshared
}

/// Gives this thread a table of descriptors in which there is only `kept`.
fn unshare_all_but(kept: RawFd) -> io::Result<()> {
    // SAFETY: the first call makes the table that of this thread alone, which owns none of what
    // it closes.
    unsafe {
        close_range(kept + 1, RawFd::MAX, libc::CLOSE_RANGE_UNSHARE)?;
        match kept {
            0 => Ok(()),
            _ => close_range(0, kept - 1, 0),
        }
    }
}

/// Closes what this process was started with besides the three standard descriptors: a lock or a
/// pipe that a caller left open would be held for as long as this process lives. Only for the
/// beginning of a process, before it has opened anything itself.
pub(crate) fn close_inherited() -> io::Result<()> {
    // SAFETY: nothing in this process owns a descriptor yet but the standard ones.
    unsafe { close_range(rustix::stdio::raw_stderr() + 1, RawFd::MAX, 0) }
}

/// Closes the descriptors from `first` to `last` (close_range(2)).
///
/// # Safety
/// Nobody may use one of them afterwards.
unsafe fn close_range(first: RawFd, last: RawFd, flags: libc::c_uint) -> io::Result<()> {
    // SAFETY: close_range takes three numbers; the caller answers for what is closed.
    match unsafe { libc::syscall(libc::SYS_close_range, first, last, flags) } {
        0 => Ok(()),
        _ => Err(io::Error::last_os_error()),
    }
}

/// Name, of at most 15 bytes, and state of each thread of the process `pid` (proc(5), `stat`).
/// Threads that end meanwhile are left out.
fn threads(pid: u32) -> io::Result<impl Iterator<Item = (String, char)>> {
    let threads = std::fs::read_dir(format!("/proc/{pid}/task"))?;
    Ok(threads.flatten().filter_map(|thread| {
        let stat = std::fs::read_to_string(thread.path().join("stat")).ok()?;
        // The name, in parentheses, may contain anything.
        let (before, state) = stat.rsplit_once(')')?;
        let (_, name) = before.split_once('(')?;
        Some((name.to_owned(), state.trim_start().chars().next()?))
    }))
}

/// Whether nothing runs any more of the process `pid` but threads with these names.
pub(crate) fn has_only_threads(pid: u32, names: &[&str]) -> bool {
    threads(pid).is_ok_and(|mut threads| {
        threads.all(|(name, state)| matches!(state, 'Z' | 'X') || names.contains(&&*name))
    })
}

/// Whether a thread of the process `pid` runs, waits for a processor, or for a disk.
pub(crate) fn is_busy(pid: u32) -> bool {
    threads(pid).is_ok_and(|mut threads| threads.any(|(_, state)| matches!(state, 'R' | 'D')))
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

#[cfg(test)]
mod tests {
    use std::os::fd::AsFd;
    use std::process::{Child, Command};
    use std::time::Instant;

    use super::*;
    use crate::sys::channel;
    use crate::sys::watch::{Watch, wait};

    #[test]
    fn what_is_kept_until_the_end_is_not_closed_before() {
        let (ours, theirs) = channel::pair().unwrap();
        keep_until_killed(theirs).unwrap();
        let watches = [Watch::Ended(ours.as_fd())];
        let limit = Some(Duration::from_millis(50));
        assert_eq!(wait(&watches, limit).unwrap(), [false]);
    }

    #[test]
    fn threads_that_run_are_told_by_their_names() {
        let mut child = Command::new("sleep").arg("60").spawn().unwrap();
        let pid = child.id();
        // It has the name of its parent until it runs its own program.
        while !has_only_threads(pid, &["other", "sleep"]) {
            thread::yield_now();
        }
        assert!(!has_only_threads(pid, &["other"]));
        child.kill().unwrap();
        assert!(wait_for_end(pid, None).unwrap());
        assert!(has_only_threads(pid, &[]));
        child.wait().unwrap();
        assert!(!has_only_threads(pid, &[]));
    }

    /// A process that is ended and waited for.
    struct Ended(Child);

    impl Drop for Ended {
        fn drop(&mut self) {
            let _ = self.0.kill();
            let _ = self.0.wait();
        }
    }

    fn begun(program: &str) -> Ended {
        let mut command = Command::new("sh");
        Ended(command.args(["-c", program]).spawn().unwrap())
    }

    #[test]
    fn who_waits_for_a_processor_is_busy_and_who_sleeps_or_was_stopped_is_not() {
        let spins = begun("while :; do :; done");
        let sleeps = begun("exec sleep 600");
        let until = |process: &Ended, expected| {
            let began = Instant::now();
            while is_busy(process.0.id()) != expected {
                assert!(began.elapsed() < Duration::from_secs(60), "{expected}");
                thread::sleep(Duration::from_millis(1));
            }
        };
        until(&spins, true);
        until(&sleeps, false);
        let pid = spins.0.id().to_string();
        let stopped = Command::new("kill").args(["-STOP", &pid]).status();
        assert!(stopped.unwrap().success());
        until(&spins, false);
        assert!(!is_busy(u32::MAX));
    }
}
