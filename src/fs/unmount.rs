//! Taking mounts down, with their supervisor or without it.

use std::io;
use std::path::Path;
use std::thread;
use std::time::{Duration, Instant};

use super::control::{
    ANSWER_TIMEOUT, ControlAnswer, ControlRequest, RunDirectory, STOP_TIMEOUT, StopMode,
};
use super::error::MountError;
use super::holders;
use super::kernel::{self, UnmountMode};
use super::mount::{Condition, ask_supervisor, condition};
use super::mountinfo::{self, MountEntry};
use super::mountpoint;
use super::status::{Probe, probe};
use crate::sys::fuse as sys;

/// How long a process that a server started may take to end before it counts as one that uses the
/// mount.
const OWN_PATIENCE: Duration = Duration::from_secs(5);

/// The same where no process is found that uses it.
const ENDED_PATIENCE: Duration = Duration::from_millis(500);

/// How to unmount.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum UnmountRequest {
    /// Not while somebody uses it.
    Strict,
    /// Out of sight at once; the server ends when nobody uses it any more.
    Lazy,
    /// Also where the server hangs: everything that waits for it fails.
    Force,
}

/// Unmounts what this user mounted at `mountpoint`. `mount_helper` is as in
/// [`MountPlan::mount_helper`].
///
/// # Errors
/// When nothing of ours is mounted there, somebody uses it, or the server hangs.
pub fn unmount(
    mountpoint: &Path,
    run: &RunDirectory,
    request: UnmountRequest,
    mount_helper: Option<&Path>,
) -> Result<(), MountError> {
    let path = mountpoint::resolve(mountpoint)?;
    let _lock = run.lock(&path)?;
    let (user, _) = sys::user_and_group();
    match mountinfo::find(&path).map_err(MountError::io("/proc/self/mountinfo"))? {
        None => Err(MountError::NotMounted { path }),
        Some(entry) if entry.is_ours(user) => take_away(&entry, run, request, mount_helper),
        Some(entry) => Err(MountError::OtherMount {
            path,
            fs_type: entry.fs_type,
        }),
    }
}

/// Unmounts one of ours: through its supervisor, or without it where that is dead.
pub(super) fn take_away(
    entry: &MountEntry,
    run: &RunDirectory,
    request: UnmountRequest,
    helper: Option<&Path>,
) -> Result<(), MountError> {
    let state = run.states()?.into_iter().find(|state| state.serves(entry));
    let path = entry.mountpoint.clone();
    let Some(state) = state.filter(|state| state.supervisor.is_alive()) else {
        return take_away_without_supervisor(entry, run, request, helper);
    };
    let mode = match request {
        UnmountRequest::Strict => StopMode::Strict,
        UnmountRequest::Lazy => StopMode::Lazy,
        UnmountRequest::Force => StopMode::Force,
    };
    state.supervisor.go_on();
    // Whether it answers at all is known sooner than whether it could unmount.
    let answers = ask_supervisor(run, &state, ControlRequest::Status, ANSWER_TIMEOUT);
    let stop = || ask_supervisor(run, &state, ControlRequest::Stop(mode), STOP_TIMEOUT);
    let mut answer = answers.and_then(|_| stop());
    let began = Instant::now();
    let mut found = Vec::new();
    while let Ok(ControlAnswer::Busy(path)) = &answer {
        found = holders::find(path);
        let is_own = |holder: &holders::Holder| holder.is_child_of(state.server.pid);
        // What the server itself started to ask for names in advance ends with it, on a busy
        // machine not at once. Where nobody is found, it has ended meanwhile.
        let patience = match found.is_empty() {
            true => ENDED_PATIENCE,
            false => OWN_PATIENCE,
        };
        found.retain(|holder| !is_own(holder));
        if !found.is_empty() || began.elapsed() >= patience {
            break;
        }
        answer = stop();
    }
    match answer {
        Ok(ControlAnswer::Stopped) => Ok(()),
        Ok(ControlAnswer::Busy(path)) => {
            // Whoever waits for a server uses the mount, and does not show.
            match condition(run, &state) {
                Condition::Hung if found.is_empty() => Err(MountError::Hung { path }),
                _ => Err(MountError::Busy {
                    path,
                    holders: found,
                }),
            }
        }
        Ok(ControlAnswer::Failed(message)) if request != UnmountRequest::Force => {
            Err(MountError::Unmount {
                path,
                source: io::Error::other(message),
            })
        }
        _ if request != UnmountRequest::Force => Err(MountError::Hung { path }),
        _ => {
            for process in [state.supervisor, state.server] {
                if process.is_alive() {
                    let killed = sys::kill(process.pid);
                    killed.map_err(MountError::io(format!("process {}", process.pid)))?;
                }
            }
            // Where the control file system is not mounted, the end of the processes does the same.
            let _ = kernel::abort(entry.device);
            detach(entry, helper)?;
            run.clean(&state);
            Ok(())
        }
    }
}

/// Unmounts a mount without a supervisor that answers for it. One whose server is dead goes at
/// once; one that still answers the kernel has lost its supervisor, or has one that another run
/// directory knows.
fn take_away_without_supervisor(
    entry: &MountEntry,
    run: &RunDirectory,
    request: UnmountRequest,
    helper: Option<&Path>,
) -> Result<(), MountError> {
    let path = &entry.mountpoint;
    match probe(path, ANSWER_TIMEOUT) {
        Probe::Dead => detach(entry, helper)?,
        Probe::Hung if request != UnmountRequest::Force => {
            return Err(MountError::Hung { path: path.clone() });
        }
        Probe::Hung => {
            let _ = kernel::abort(entry.device);
            detach(entry, helper)?;
        }
        Probe::Alive => {
            let mode = match request {
                UnmountRequest::Strict => UnmountMode::Strict,
                UnmountRequest::Lazy | UnmountRequest::Force => UnmountMode::Detach,
            };
            kernel::unmount(path, mode, helper).map_err(|error| unmount_failed(path, error))?;
        }
    }
    for state in run.states()? {
        if state.serves(entry) {
            run.clean(&state);
        }
    }
    Ok(())
}

fn detach(entry: &MountEntry, helper: Option<&Path>) -> Result<(), MountError> {
    let path = &entry.mountpoint;
    kernel::unmount(path, UnmountMode::Detach, helper).map_err(|error| unmount_failed(path, error))
}

fn unmount_failed(path: &Path, error: io::Error) -> MountError {
    let path = path.to_owned();
    if error.kind() == io::ErrorKind::ResourceBusy {
        let holders = holders::find(&path);
        return MountError::Busy { path, holders };
    }
    MountError::Unmount {
        path,
        source: error,
    }
}

/// Waits until nothing of ours is mounted at `mountpoint` any more; `false` when the time is over.
///
/// # Errors
/// When `/proc` cannot be read.
pub fn wait_unmounted(mountpoint: &Path, timeout: Duration) -> Result<bool, MountError> {
    let end = Instant::now() + timeout;
    loop {
        let entry = mountinfo::find(mountpoint).map_err(MountError::io("/proc/self/mountinfo"))?;
        if entry.is_none() {
            return Ok(true);
        }
        if Instant::now() >= end {
            return Ok(false);
        }
        thread::sleep(Duration::from_millis(5));
    }
}
