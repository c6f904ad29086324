//! Asking servers and supervisors how they are.
//!
//! Whether a server hangs is a question of patience: one that waits for a processor of a busy
//! machine works, and nothing is gained by replacing it. Nobody here changes anything.

use std::fs;
use std::io;
use std::thread;
use std::time::{Duration, Instant};

use super::control::{
    ANSWER_TIMEOUT, ControlAnswer, ControlRequest, RunDirectory, ServerReport, ServerState, ask,
};

/// How long a server may take to answer while it waits for a processor or a disk.
const BUSY_TIMEOUT: Duration = Duration::from_secs(20);

/// How long to wait before who broke off is asked again.
const AGAIN_PAUSE: Duration = Duration::from_millis(5);

pub(super) fn ask_server(
    run: &RunDirectory,
    state: &ServerState,
    request: ControlRequest,
    timeout: Duration,
) -> io::Result<ControlAnswer> {
    ask(&run.socket(state.name()), request, timeout)
}

pub(super) fn ask_supervisor(
    run: &RunDirectory,
    state: &ServerState,
    request: ControlRequest,
    timeout: Duration,
) -> io::Result<ControlAnswer> {
    ask(&run.supervisor_socket(state.name()), request, timeout)
}

/// What the server says of itself; `None` where it does not answer.
pub(super) fn report(run: &RunDirectory, state: &ServerState) -> Option<ServerReport> {
    let began = Instant::now();
    loop {
        match ask_server(run, state, ControlRequest::Status, ANSWER_TIMEOUT) {
            Ok(ControlAnswer::Report(report)) => return Some(report),
            Ok(_) => return None,
            Err(error) if listens_nobody(&error) => return None,
            // It was too late to hear what it was asked, or died over it.
            Err(_) if began.elapsed() < ANSWER_TIMEOUT => thread::sleep(AGAIN_PAUSE),
            Err(_) if began.elapsed() < BUSY_TIMEOUT && is_busy(state.server.pid) => {}
            Err(_) => return None,
        }
    }
}

fn listens_nobody(error: &io::Error) -> bool {
    let kinds = [io::ErrorKind::NotFound, io::ErrorKind::ConnectionRefused];
    kinds.contains(&error.kind())
}

/// Whether nobody has heard what was asked for.
pub(super) fn heard_nobody(error: &io::Error) -> bool {
    use io::ErrorKind::{BrokenPipe, ConnectionReset, UnexpectedEof};
    let kinds = [ConnectionReset, BrokenPipe, UnexpectedEof];
    listens_nobody(error) || kinds.contains(&error.kind())
}

/// Whether a thread of the process runs, waits for a processor, or for a disk (proc(5), field 3 of
/// `stat`).
fn is_busy(pid: u32) -> bool {
    let threads = fs::read_dir(format!("/proc/{pid}/task"));
    threads.into_iter().flatten().flatten().any(|thread| {
        let stat = fs::read_to_string(thread.path().join("stat")).unwrap_or_default();
        // The name, in parentheses, may contain anything.
        let state = stat
            .rsplit_once(')')
            .and_then(|(_, rest)| rest.trim_start().chars().next());
        matches!(state, Some('R' | 'D'))
    })
}

#[cfg(test)]
mod tests {
    use std::process::{Child, Command};

    use super::*;

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
