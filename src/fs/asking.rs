//! Asking servers and supervisors how they are.
//!
//! Whether a server hangs is a question of patience: one that waits for a processor of a busy
//! machine works, and nothing is gained by replacing it.

use std::io;
use std::thread;
use std::time::{Duration, Instant};

use super::control::{
    ANSWER_TIMEOUT, ControlAnswer, ControlRequest, RunDirectory, ServerReport, ServerState, ask,
};
use crate::sys::process;

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
            Err(_) if began.elapsed() < BUSY_TIMEOUT && process::is_busy(state.server.pid) => {}
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
