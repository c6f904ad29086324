//! What is mounted, and how it is.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::mpsc;
use std::thread;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use super::asking::report;
use super::control::{ANSWER_TIMEOUT, RunDirectory, ServerReport, ServerState};
use super::error::MountError;
use super::mountinfo::{self, MountEntry};
use crate::sys::fuse as sys;

/// What a mount does when it is looked at.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Probe {
    Alive,
    Dead,
    Hung,
}

/// Looks at a mount from a thread that may stay behind.
pub(super) fn probe(mountpoint: &Path, timeout: Duration) -> Probe {
    let (sender, receiver) = mpsc::channel();
    let path = mountpoint.to_owned();
    let looker = thread::Builder::new().spawn(move || {
        // A name that no tree has and nobody has asked for: what the kernel has cached says
        // nothing of the server, and it caches that a name is missing too.
        let asked = SystemTime::now().duration_since(UNIX_EPOCH);
        let asked = asked.unwrap_or_default().as_nanos();
        let name = format!(".pacquet-probe-{}-{asked}", std::process::id());
        let looked = fs::symlink_metadata(path.join(name));
        let _ = sender.send(looked.map_err(|error| error.kind()));
    });
    if looker.is_err() {
        // Nothing is known against it.
        return Probe::Alive;
    }
    match receiver.recv_timeout(timeout) {
        Ok(Err(io::ErrorKind::NotConnected | io::ErrorKind::ConnectionAborted)) => Probe::Dead,
        Ok(_) => Probe::Alive,
        Err(_) => Probe::Hung,
    }
}

/// How a server is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Health {
    /// It answers, and could read every pack.
    Healthy,
    /// It answers, and could not read some packs.
    Damaged,
    /// It answers, and nobody would replace it.
    Orphaned,
    /// It cannot begin, or crashes again and again.
    Failing,
    /// It lives and does not answer.
    Hung,
    /// It is dead, and the mount fails everything.
    Dead,
}

/// One mount, as `status` tells of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MountStatus {
    /// Where.
    pub mountpoint: PathBuf,
    /// How its server is.
    pub health: Health,
    /// What the supervisor has said last, where that is known.
    pub state: Option<ServerState>,
    /// What the server says now, where it answers. It counts all mounts of the server.
    pub report: Option<ServerReport>,
}

/// All mounts of this user.
///
/// # Errors
/// When `/proc` or the run directory cannot be read.
pub fn status(run: &RunDirectory) -> Result<Vec<MountStatus>, MountError> {
    status_where(run, |_| true)
}

/// Those mounts of this user of which `is_wanted`; the others are not looked at.
///
/// # Errors
/// As [`status`].
pub fn status_where(
    run: &RunDirectory,
    is_wanted: impl Fn(&Path) -> bool,
) -> Result<Vec<MountStatus>, MountError> {
    let mut mounts = mounts(run)?;
    mounts.retain(|(entry, _)| is_wanted(&entry.mountpoint));
    let described = mounts
        .into_iter()
        .map(|(entry, state)| describe(entry, state, run));
    Ok(described.collect())
}

/// All mounts of this user, and what their supervisors have said last. No server is asked.
///
/// # Errors
/// As [`status`].
pub fn mounts(run: &RunDirectory) -> Result<Vec<(MountEntry, Option<ServerState>)>, MountError> {
    let (user, _) = sys::user_and_group();
    let entries = mountinfo::read().map_err(MountError::io("/proc/self/mountinfo"))?;
    let states = run.states()?;
    let ours = entries.into_iter().filter(|entry| entry.is_ours(user));
    let with_state = ours.map(|entry| {
        let state = states.iter().find(|state| state.serves(&entry)).cloned();
        (entry, state)
    });
    Ok(with_state.collect())
}

fn describe(entry: MountEntry, state: Option<ServerState>, run: &RunDirectory) -> MountStatus {
    let alive = state.as_ref().filter(|state| state.is_alive());
    let answer = alive.map(|state| (state, report(run, state)));
    let (health, report) = match answer {
        Some((state, Some(report))) => {
            let health = if !state.supervisor.is_alive() {
                Health::Orphaned
            } else if !report.unreadable_packs.is_empty() {
                Health::Damaged
            } else {
                Health::Healthy
            };
            (health, Some(report))
        }
        Some((state, _)) if state.trouble.is_some() => (Health::Failing, None),
        Some(_) => (Health::Hung, None),
        None => match probe(&entry.mountpoint, ANSWER_TIMEOUT) {
            Probe::Alive => (Health::Healthy, None),
            Probe::Dead => (Health::Dead, None),
            Probe::Hung => (Health::Hung, None),
        },
    };
    MountStatus {
        mountpoint: entry.mountpoint,
        health,
        state,
        report,
    }
}
