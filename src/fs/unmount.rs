//! Taking mounts down, with their supervisor or without it.

use std::io;
use std::path::{Path, PathBuf};
use std::thread;
use std::time::{Duration, Instant};

use super::asking::{ask_supervisor, heard_nobody};
use super::control::{
    ANSWER_TIMEOUT, ControlAnswer, ControlRequest, RunDirectory, STOP_TIMEOUT, ServerState,
    StopMode,
};
use super::error::MountError;
use super::holders::{self, Holder};
use super::kernel::{self, UnmountMode};
use super::mount::{Condition, condition};
use super::mountinfo::{self, MountEntry};
use super::mountpoint;
use super::status::{Probe, probe};
use super::supervisor::BEGIN_TIMEOUT;
use crate::sys::fuse as sys;

/// How long a process that a server started may take to end before it counts as one that uses the
/// mount.
const OWN_PATIENCE: Duration = Duration::from_secs(5);

/// The same where no process is found that uses it: it has ended meanwhile, or was about to run its
/// own program and held what its parent has open.
const ENDED_PATIENCE: Duration = Duration::from_secs(2);

/// How long to wait before another attempt where nobody is found.
const ENDED_PAUSE: Duration = Duration::from_millis(5);

/// How long a supervisor may take to answer that starts a server in the place of one that died.
/// A server may take [`BEGIN_TIMEOUT`], and the machine may be busy.
const REPLACING_PATIENCE: Duration = BEGIN_TIMEOUT.saturating_add(STOP_TIMEOUT);

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
        Some(entry) => Err(MountError::OtherMount { entry }),
    }
}

/// Unmounts one of ours: through its supervisor, or without it where that is dead or nobody can
/// reach it.
pub(super) fn take_away(
    entry: &MountEntry,
    run: &RunDirectory,
    request: UnmountRequest,
    helper: Option<&Path>,
) -> Result<(), MountError> {
    let state = run.states()?.into_iter().find(|state| state.serves(entry));
    let state = state.filter(|state| state.supervisor.is_alive());
    let through = state.map(|state| take_away_through(&state, entry, run, request, helper));
    match through.transpose()? {
        Some(Reached::Yes) => Ok(()),
        Some(Reached::No) | None => take_away_without_supervisor(entry, run, request, helper),
    }
}

/// Whether somebody listens for what a supervisor is told.
enum Reached {
    Yes,
    /// It has ended, or somebody has removed its socket: nobody's files in `/tmp` stay for ever.
    No,
}

/// How long a supervisor may take to say that it is there. It answers no request of the kernel, so
/// that only a busy machine makes it late, and a server that does not begin.
fn patience(state: &ServerState, request: UnmountRequest) -> Duration {
    match request {
        UnmountRequest::Force => ANSWER_TIMEOUT,
        _ if state.server.is_alive() => STOP_TIMEOUT,
        _ => REPLACING_PATIENCE,
    }
}

/// Unmounts one of ours through its supervisor.
fn take_away_through(
    state: &ServerState,
    entry: &MountEntry,
    run: &RunDirectory,
    request: UnmountRequest,
    helper: Option<&Path>,
) -> Result<Reached, MountError> {
    let path = entry.mountpoint.clone();
    let mode = match request {
        UnmountRequest::Strict => StopMode::Strict,
        UnmountRequest::Lazy => StopMode::Lazy,
        UnmountRequest::Force => StopMode::Force,
    };
    state.supervisor.go_on();
    // Whether it answers at all is known sooner than whether it could unmount.
    let patience = patience(state, request);
    let answers = ask_supervisor(run, state, ControlRequest::Status, patience);
    let stop = || match ask_supervisor(run, state, ControlRequest::Stop(mode), STOP_TIMEOUT) {
        Ok(ControlAnswer::Busy(path)) => Err(path),
        answer => Ok(answer),
    };
    let answer = match answers {
        Ok(_) => attempt_patiently(Some(state.server.pid), stop),
        Err(error) => Ok(Err(error)),
    };
    let answer = answer.map_err(|(path, holders)| match condition(run, state) {
        // Whoever waits for a server uses the mount, and does not show.
        Condition::Hung if holders.is_empty() => MountError::Hung { path },
        _ => MountError::Busy { path, holders },
    })?;
    match answer {
        Ok(ControlAnswer::Stopped) => Ok(Reached::Yes),
        Ok(ControlAnswer::Failed(message)) if request != UnmountRequest::Force => {
            Err(MountError::Unmount {
                path,
                source: io::Error::other(message),
            })
        }
        Err(error) if request != UnmountRequest::Force && heard_nobody(&error) => Ok(Reached::No),
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
            run.release(state);
            Ok(Reached::Yes)
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
    let is_there = |entries: Vec<MountEntry>| entries.contains(entry);
    if !is_there(mountinfo::read().map_err(MountError::io("/proc/self/mountinfo"))?) {
        // Its supervisor ended because somebody else has unmounted it.
        return Ok(());
    }
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
            unmount_patiently(path, mode, helper)?;
        }
    }
    for state in run.states()? {
        // One that lives ends by itself, and what it serves beside this one stays its own.
        if state.serves(entry) && !state.supervisor.is_alive() {
            run.release(&state);
        }
    }
    Ok(())
}

fn detach(entry: &MountEntry, helper: Option<&Path>) -> Result<(), MountError> {
    unmount_patiently(&entry.mountpoint, UnmountMode::Detach, helper)
}

/// Unmounts; tries again for a while where it is in use and nobody is found who uses it.
fn unmount_patiently(
    path: &Path,
    mode: UnmountMode,
    helper: Option<&Path>,
) -> Result<(), MountError> {
    let path = path.to_owned();
    let unmount = || match kernel::unmount(&path, mode, helper) {
        Err(error) if error.kind() == io::ErrorKind::ResourceBusy => Err(path.clone()),
        unmounted => Ok(unmounted),
    };
    match attempt_patiently(None, unmount) {
        Ok(unmounted) => unmounted.map_err(|source| MountError::Unmount { path, source }),
        Err((path, holders)) => Err(MountError::Busy { path, holders }),
    }
}

/// Tries again for a while where what is to be unmounted is in use, as `attempt` says with its
/// path, and nobody is found who uses it but children of `server`. What that started to ask for
/// names in advance ends with it, on a busy machine not at once.
///
/// # Errors
/// What is in use, and by whom.
fn attempt_patiently<T>(
    server: Option<u32>,
    mut attempt: impl FnMut() -> Result<T, PathBuf>,
) -> Result<T, (PathBuf, Vec<Holder>)> {
    let began = Instant::now();
    loop {
        let path = match attempt() {
            Ok(done) => return Ok(done),
            Err(path) => path,
        };
        let mut found = holders::find(&path);
        let patience = match found.is_empty() {
            true => ENDED_PATIENCE,
            false => OWN_PATIENCE,
        };
        found.retain(|holder| !server.is_some_and(|server| holder.is_child_of(server)));
        if !found.is_empty() || began.elapsed() >= patience {
            return Err((path, found));
        }
        thread::sleep(ENDED_PAUSE);
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
