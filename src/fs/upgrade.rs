//! Replacing a running supervisor and its server by another program, under their mounts.

use std::fs::File;
use std::os::fd::AsFd;

use super::control::{
    self, ControlAnswer, ControlRequest, RunDirectory, STOP_TIMEOUT, ServerState,
};
use super::error::MountError;
use super::mount::ServerCommand;
use super::supervisor::protocol;

/// Lets the supervisor of this state become the program of `command`, which starts a server of its
/// own.
///
/// # Errors
/// When the program cannot be opened, the supervisor does not answer or speaks another version of
/// the protocol, or no server could begin.
pub fn upgrade(
    run: &RunDirectory,
    state: &ServerState,
    command: &ServerCommand,
) -> Result<(), MountError> {
    let failed = |message: String| MountError::Upgrade {
        pid: state.supervisor.pid,
        message,
    };
    let program = File::open(&command.program).map_err(MountError::io(&command.program))?;
    let socket = run.supervisor_socket(state.name());
    let request = ControlRequest::Upgrade(protocol::VERSION);
    match control::ask_with(&socket, request, &[program.as_fd()], STOP_TIMEOUT) {
        Ok(ControlAnswer::Restarted) => Ok(()),
        Ok(ControlAnswer::Failed(message)) => Err(failed(message)),
        Ok(_) => Err(failed("it answers something else".to_owned())),
        Err(error) => Err(failed(error.to_string())),
    }
}

/// Whether version `ours` comes after `theirs`. One that is no version comes before all others.
pub(super) fn is_newer(ours: &str, theirs: &str) -> bool {
    let parse = |text: &str| node_semver::Version::parse(text).ok();
    match (parse(ours), parse(theirs)) {
        (Some(ours), Some(theirs)) => ours > theirs,
        (Some(_), None) => true,
        (None, _) => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_are_compared_by_their_numbers() {
        for (ours, theirs, newer) in [
            ("0.1.0", "0.1.0", false),
            ("0.10.0", "0.9.9", true),
            ("0.9.9", "0.10.0", false),
            ("1.0.0", "1.0.0-rc.1", true),
            ("1.0.0", "", true),
        ] {
            assert_eq!(is_newer(ours, theirs), newer, "{ours} {theirs}");
        }
    }
}
