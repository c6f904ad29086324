//! Whose the names in a run directory are.
//!
//! They are made of the first mountpoint's path, so the next supervisor there has the same ones as
//! the last, which may not have ended yet: somebody else has unmounted, or it was stopped for a
//! while. Only one whose project was moved keeps them. Whose they are says the state file. Who
//! begins takes it over before it listens, and nobody removes or writes what is another's. The run
//! directory is locked (flock(2)) for the moment between the look and the act.

use std::fs::{self, File};
use std::os::unix::net::UnixListener;
use std::path::{Path, PathBuf};
use std::time::Duration;

use super::control::{RunDirectory, ServerState, read_state};
use super::error::MountError;
use super::exclusive;
use super::mountinfo;

/// How long a supervisor may take to write a few names before it counts as one that was stopped
/// in the middle.
const PATIENCE: Duration = Duration::from_secs(1);

impl RunDirectory {
    /// After what a supervisor names its files that will mount at `first`, where nothing of ours
    /// is mounted: after that path. Where who has those names serves a project that was moved away
    /// from there, he keeps them, and the next ones are free.
    ///
    /// # Errors
    /// When `/proc` cannot be read.
    pub(super) fn free_name(&self, first: &Path) -> Result<PathBuf, MountError> {
        let mut name = first.to_owned();
        while let Some(state) = read_state(&self.state(&name)).filter(ServerState::is_alive) {
            let entries = mountinfo::read().map_err(MountError::io("/proc/self/mountinfo"))?;
            if !entries.iter().any(|entry| state.serves(entry)) {
                break;
            }
            // No mountpoint is called so, because they are resolved.
            name.push("..");
        }
        Ok(name)
    }

    /// Takes the names of `state` over, and listens for what its supervisor is told.
    ///
    /// # Errors
    /// When the state cannot be written, or nobody can listen.
    pub(super) fn claim(&self, state: &ServerState) -> Result<UnixListener, MountError> {
        let _lock = self.lock_names();
        self.write(state)?;
        listen(&self.supervisor_socket(state.name()))
    }

    /// Writes what a supervisor says, unless another has its names by now.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn save(&self, state: &ServerState) -> Result<(), MountError> {
        let _lock = self.lock_names();
        let present = read_state(&self.state(state.name()));
        if present.is_some_and(|present| present.supervisor != state.supervisor) {
            return Ok(());
        }
        self.write(state)
    }

    /// Removes what the supervisor of `state` has left here, unless another has its names by now.
    pub fn release(&self, state: &ServerState) {
        let _lock = self.lock_names();
        let name = state.name();
        let path = self.state(name);
        if read_state(&path).is_none_or(|present| present.supervisor != state.supervisor) {
            return;
        }
        let _ = fs::remove_file(self.socket(name));
        let _ = fs::remove_file(self.supervisor_socket(name));
        // What a server had to say of its end is kept.
        let log = self.log(name);
        if fs::metadata(&log).is_ok_and(|metadata| metadata.len() == 0) {
            let _ = fs::remove_file(log);
        }
        let _ = fs::remove_file(path);
    }

    /// Where readers see all of it or nothing.
    fn write(&self, state: &ServerState) -> Result<(), MountError> {
        let path = self.state(state.name());
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
