//! Whose the names in a run directory are.
//!
//! They are made of the first mountpoint's path, so the next supervisor there has the same ones as
//! the last, which may not have ended yet: somebody else has unmounted, or it was stopped for a
//! while. Whose they are says the state file. Who begins takes it over before it listens, and
//! nobody removes or writes what is another's. The run directory is locked (flock(2)) for the
//! moment between the look and the act.

use std::fs::{self, File};
use std::os::unix::net::UnixListener;
use std::path::Path;
use std::time::Duration;

use super::control::{ProcessName, RunDirectory, ServerState, read_state};
use super::error::MountError;
use super::exclusive;

/// How long a supervisor may take to write a few names before it counts as one that was stopped
/// in the middle.
const PATIENCE: Duration = Duration::from_secs(1);

impl RunDirectory {
    /// Takes the names of the mountpoint `first` over, and listens for what its supervisor, which
    /// `state` names, is told.
    ///
    /// # Errors
    /// When the state cannot be written, or nobody can listen.
    pub(super) fn claim(
        &self,
        first: &Path,
        state: &ServerState,
    ) -> Result<UnixListener, MountError> {
        let _lock = self.lock_names();
        self.write(first, state)?;
        listen(&self.supervisor_socket(first))
    }

    /// Writes what a supervisor says, unless another has its names by now.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn save(&self, first: &Path, state: &ServerState) -> Result<(), MountError> {
        let _lock = self.lock_names();
        let present = read_state(&self.state(first));
        if present.is_some_and(|present| present.supervisor != state.supervisor) {
            return Ok(());
        }
        self.write(first, state)
    }

    /// Removes what this supervisor has left here, unless another has its names by now.
    pub fn release(&self, first: &Path, supervisor: ProcessName) {
        let _lock = self.lock_names();
        let path = self.state(first);
        if read_state(&path).is_none_or(|present| present.supervisor != supervisor) {
            return;
        }
        let _ = fs::remove_file(self.socket(first));
        let _ = fs::remove_file(self.supervisor_socket(first));
        // What a server had to say of its end is kept.
        let log = self.log(first);
        if fs::metadata(&log).is_ok_and(|metadata| metadata.len() == 0) {
            let _ = fs::remove_file(log);
        }
        let _ = fs::remove_file(path);
    }

    /// Where readers see all of it or nothing.
    fn write(&self, first: &Path, state: &ServerState) -> Result<(), MountError> {
        let path = self.state(first);
        let text = serde_json::to_vec(state).map_err(|error| MountError::Io {
            path: path.clone(),
            source: error.into(),
        })?;
        let temporary = path.with_extension(format!("{}.tmp", state.supervisor.pid));
        fs::write(&temporary, text)
            .and_then(|()| fs::rename(&temporary, &path))
            .inspect_err(|_| {
                let _ = fs::remove_file(&temporary);
            })
            .map_err(MountError::io(path))
    }

    /// Keeps others from the names until it is dropped. A file system that cannot lock, and one who
    /// was stopped while he had the lock, are nobody's obstacle.
    fn lock_names(&self) -> Option<File> {
        let directory = File::open(self.path()).ok()?;
        exclusive::lock_within(&directory, PATIENCE);
        Some(directory)
    }
}

/// Listens at `path`, whoever did so before.
///
/// # Errors
/// When nobody can listen there.
pub(super) fn listen(path: &Path) -> Result<UnixListener, MountError> {
    let _ = fs::remove_file(path);
    UnixListener::bind(path).map_err(MountError::io(path))
}
