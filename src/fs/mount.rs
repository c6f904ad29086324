//! What the command line calls: mount, unmount, and what is mounted.
//!
//! **Architecture Invariant:** nothing here touches a path inside a mount of ours without a
//! time-out: a server that hangs hangs everybody who looks. What is mounted is learned from
//! mountinfo, the run directory and the server's socket.

use std::ffi::OsString;
use std::fs::{self, File, OpenOptions};
use std::io::{self, BufRead, BufReader, Read, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::mpsc;
use std::thread;
use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize};

use super::control::{
    ANSWER_TIMEOUT, ControlAnswer, ControlRequest, RunDirectory, STOP_TIMEOUT, ServerReport,
    ServerState, StopMode, ask,
};
use super::error::MountError;
use super::holders;
use super::kernel::{self, Access, UnmountMode};
use super::mountinfo::{self, MountEntry};
use super::mountpoint::{self, Place};
use super::server::{ServeArguments, Service, serve};
use crate::diagnostic::Diagnostic;
use crate::store::PackId;
use crate::sys::fuse as sys;

/// How long a server process may take until its mounts can be used.
const START_TIMEOUT: Duration = Duration::from_secs(30);

/// What to do with real files at the mountpoint.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RealFiles {
    /// Refuse.
    Refuse,
    /// Move them aside (`--force`).
    MoveAside,
}

/// How the server process is started: this program again, with arguments that make it call
/// [`run_server`].
#[derive(Debug, Clone)]
pub struct ServerCommand {
    /// The program, such as `/proc/self/exe`.
    pub program: PathBuf,
    /// What comes before [`ServeArguments::to_args`], such as the name of a hidden subcommand.
    pub leading_args: Vec<OsString>,
}

/// What to mount.
#[derive(Debug, Clone)]
pub struct MountPlan {
    /// The saved project layer.
    pub layer: PathBuf,
    /// Its [`Image::digest_text`].
    pub layer_digest: String,
    /// The store.
    pub store: PathBuf,
    /// The project.
    pub project: PathBuf,
    /// Trees of the layer, and where each goes.
    pub mounts: Vec<(u32, PathBuf)>,
    /// Who may use the mounts.
    pub access: Access,
    /// Threads that answer the kernel.
    pub threads: usize,
    /// What to do with real files.
    pub real_files: RealFiles,
    /// Where `pacquet-mount-helper` is, where it was configured.
    pub mount_helper: Option<PathBuf>,
}

/// What mounting did.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum MountOutcome {
    /// A server began.
    Mounted {
        /// Its process.
        server_pid: u32,
        /// Where real files were moved.
        moved_aside: Vec<PathBuf>,
    },
    /// The same layer was mounted already.
    AlreadyMounted {
        /// Its server.
        server_pid: u32,
    },
}

/// Makes the mountpoints ready: resolves them, takes away what is ours and old, refuses what is
/// not ours, makes missing directories. `Ok(Err(pid))` means that all of it is mounted already.
fn prepare(plan: &MountPlan, run: &RunDirectory) -> Result<Result<Prepared, u32>, MountError> {
    let (user, _) = sys::user_and_group();
    let mut mounts = Vec::new();
    for (tree, path) in &plan.mounts {
        mounts.push((*tree, mountpoint::resolve(path)?));
    }
    let Some((_, first)) = mounts.first() else {
        return Err(MountError::Arguments("nothing to serve"));
    };
    let lock = run.lock(first)?;
    if let Some(pid) = already_mounted(plan, &mounts, run)? {
        return Ok(Err(pid));
    }
    let helper = plan.mount_helper.as_deref();
    kernel::check_prerequisites(user, helper)?;
    let mut moved_aside = Vec::new();
    for (_, path) in &mounts {
        match mountpoint::inspect(path, user) {
            Ok(Place::Empty) => {}
            Ok(Place::Absent) => fs::create_dir(path).map_err(MountError::io(path))?,
            Ok(Place::Ours(entry)) => {
                take_away(&entry, run, UnmountRequest::Strict, helper)?;
                // Under it may be another one, or real files.
                match mountpoint::inspect(path, user)? {
                    Place::Absent => fs::create_dir(path).map_err(MountError::io(path))?,
                    Place::Empty => {}
                    Place::Ours(entry) => {
                        take_away(&entry, run, UnmountRequest::Strict, helper)?;
                    }
                }
            }
            Err(MountError::RealFiles { .. }) if plan.real_files == RealFiles::MoveAside => {
                moved_aside.push(mountpoint::move_aside(path)?);
                fs::create_dir(path).map_err(MountError::io(path))?;
            }
            Err(error) => return Err(error),
        }
    }
    Ok(Ok(Prepared {
        mounts,
        moved_aside,
        _lock: lock,
    }))
}

struct Prepared {
    mounts: Vec<(u32, PathBuf)>,
    moved_aside: Vec<PathBuf>,
    _lock: File,
}

/// The server that serves exactly this already, where there is a healthy one.
fn already_mounted(
    plan: &MountPlan,
    mounts: &[(u32, PathBuf)],
    run: &RunDirectory,
) -> Result<Option<u32>, MountError> {
    let (user, _) = sys::user_and_group();
    let entries = mountinfo::read().map_err(MountError::io("/proc/self/mountinfo"))?;
    let states = run.states()?;
    let same = states.into_iter().find(|state| {
        state.layer_digest == plan.layer_digest
            && state.access == access_word(plan.access)
            && state.mounts.len() == mounts.len()
            && state.is_alive()
            && mounts
                .iter()
                .zip(&state.mounts)
                .all(|((tree, path), mount)| {
                    let top = entries.iter().rfind(|entry| entry.mountpoint == *path);
                    *tree == mount.tree
                        && top.is_some_and(|top| top.is_ours(user) && top.device == mount.device)
                })
    });
    let Some(state) = same else {
        return Ok(None);
    };
    match ask_server(run, &state, ControlRequest::Status, ANSWER_TIMEOUT) {
        // One that could not read its packs may hold what has been replaced since.
        Ok(ControlAnswer::Report(report)) if report.unreadable_packs.is_empty() => {
            Ok(Some(state.pid))
        }
        _ => Ok(None),
    }
}

/// Whether exactly this is mounted already, by a server that answers and could read every pack.
///
/// # Errors
/// When `/proc` or the run directory cannot be read.
pub fn is_mounted(plan: &MountPlan, run: &RunDirectory) -> Result<bool, MountError> {
    let mut mounts = Vec::new();
    for (tree, path) in &plan.mounts {
        mounts.push((*tree, mountpoint::resolve(path)?));
    }
    Ok(already_mounted(plan, &mounts, run)?.is_some())
}

/// The packs of `store` that the servers of `project` could not read.
///
/// # Errors
/// When the run directory cannot be read.
pub fn unreadable_packs(
    project: &Path,
    store: &Path,
    run: &RunDirectory,
) -> Result<Vec<PackId>, MountError> {
    let mut packs = Vec::new();
    for state in run.states()? {
        if state.project != project || state.store != store || !state.is_alive() {
            continue;
        }
        let answer = ask_server(run, &state, ControlRequest::Status, ANSWER_TIMEOUT);
        if let Ok(ControlAnswer::Report(report)) = answer {
            let named = report.unreadable_packs.iter();
            packs.extend(named.filter_map(|(name, _)| PackId::from_hexadecimal(name)));
        }
    }
    packs.sort();
    packs.dedup();
    Ok(packs)
}

fn access_word(access: Access) -> &'static str {
    match access {
        Access::Owner => "owner",
        Access::Everybody => "everybody",
    }
}

fn ask_server(
    run: &RunDirectory,
    state: &ServerState,
    request: ControlRequest,
    timeout: Duration,
) -> io::Result<ControlAnswer> {
    let first = state.mounts.first().ok_or(io::ErrorKind::NotFound)?;
    ask(&run.socket(&first.mountpoint), request, timeout)
}

/// Checks that this user can mount here at all, without mounting anything. `mount_helper` is as in
/// [`MountPlan::mount_helper`].
///
/// # Errors
/// What is missing.
pub fn check_prerequisites(mount_helper: Option<&Path>) -> Result<(), MountError> {
    kernel::check_prerequisites(sys::user_and_group().0, mount_helper)
}

/// Mounts in a server process in the background. Returns when the mounts can be used.
///
/// # Errors
/// What is in the way, what is missing, or what the server process said.
pub fn mount(
    plan: &MountPlan,
    run: &RunDirectory,
    command: &ServerCommand,
) -> Result<MountOutcome, MountError> {
    let prepared = match prepare(plan, run)? {
        Ok(prepared) => prepared,
        Err(server_pid) => return Ok(MountOutcome::AlreadyMounted { server_pid }),
    };
    let arguments = serve_arguments(plan, run, &prepared);
    let server_pid = start(&arguments, run, command)?;
    Ok(MountOutcome::Mounted {
        server_pid,
        moved_aside: prepared.moved_aside,
    })
}

/// Mounts and serves in this process (`--foreground`). `ready` is called when the mounts can be
/// used; returns when they are gone.
///
/// # Errors
/// As [`mount`].
pub fn mount_in_foreground(
    plan: &MountPlan,
    run: &RunDirectory,
    service: Service,
    ready: impl FnOnce(&MountOutcome),
) -> Result<(), MountError> {
    let prepared = match prepare(plan, run)? {
        Ok(prepared) => prepared,
        Err(server_pid) => {
            ready(&MountOutcome::AlreadyMounted { server_pid });
            return Ok(());
        }
    };
    let arguments = serve_arguments(plan, run, &prepared);
    serve(&arguments, service, |state| {
        let Prepared {
            moved_aside, _lock, ..
        } = prepared;
        ready(&MountOutcome::Mounted {
            server_pid: state.pid,
            moved_aside,
        });
    })
}

fn serve_arguments(plan: &MountPlan, run: &RunDirectory, prepared: &Prepared) -> ServeArguments {
    ServeArguments {
        layer: plan.layer.clone(),
        store: plan.store.clone(),
        project: plan.project.clone(),
        mounts: prepared.mounts.clone(),
        access: plan.access,
        threads: plan.threads,
        run_directory: run.path().to_owned(),
        mount_helper: plan.mount_helper.clone(),
    }
}

/// What the server process tells the one that started it, as one line on standard output.
#[derive(Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
enum StartMessage {
    Ready {
        pid: u32,
    },
    Failed {
        message: String,
        hint: Option<String>,
    },
}

fn start(
    arguments: &ServeArguments,
    run: &RunDirectory,
    command: &ServerCommand,
) -> Result<u32, MountError> {
    let failed = |message: String| MountError::Server {
        message,
        hint: None,
    };
    let log_path = run.log(&arguments.mounts[0].1);
    let log = OpenOptions::new()
        .create(true)
        .write(true)
        .truncate(true)
        .mode(0o600)
        .open(&log_path)
        .map_err(MountError::io(&log_path))?;
    let mut child = Command::new(&command.program)
        .args(&command.leading_args)
        .args(arguments.to_args())
        .current_dir("/")
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(log)
        .spawn()
        .map_err(|error| failed(error.to_string()))?;
    let Some(output) = child.stdout.take() else {
        return Err(failed("it has no output".to_owned()));
    };
    let (sender, receiver) = mpsc::channel();
    thread::spawn(move || {
        // A library that is loaded into every program may write lines of its own first.
        let lines = BufReader::new(output.take(1 << 16)).lines();
        let message = lines
            .map_while(Result::ok)
            .find_map(|line| serde_json::from_str(&line).ok());
        let _ = sender.send(message);
    });
    let error = match receiver.recv_timeout(START_TIMEOUT) {
        Ok(Some(StartMessage::Ready { pid })) => return Ok(pid),
        Ok(Some(StartMessage::Failed { message, hint })) => MountError::Server { message, hint },
        Ok(None) => failed(format!("it ended; see {}", log_path.display())),
        Err(_) => MountError::ServerTimeout {
            seconds: START_TIMEOUT.as_secs(),
        },
    };
    let _ = child.kill();
    let _ = child.wait();
    Err(error)
}

/// The server process, as [`ServerCommand`] starts it: `args` are what [`ServeArguments::to_args`]
/// made, `open` opens the store. Reports to the process that started it, and returns when nothing
/// is mounted any more.
///
/// # Errors
/// What was reported too.
pub fn run_server<E: Diagnostic>(
    args: impl IntoIterator<Item = OsString>,
    open: impl FnOnce(&ServeArguments) -> Result<Service, E>,
) -> Result<(), MountError> {
    // Fails where a shell has made it a group leader, which does no harm.
    let _ = sys::new_session();
    let served = ServeArguments::from_args(args).and_then(|arguments| {
        let service = open(&arguments).map_err(|error| MountError::Server {
            message: error.to_string(),
            hint: error.hint(),
        })?;
        serve(&arguments, service, |state| {
            tell(&StartMessage::Ready { pid: state.pid });
        })
    });
    if let Err(error) = &served {
        tracing::error!(%error, "the server ended");
        tell(&StartMessage::Failed {
            message: chain(error),
            hint: error.hint(),
        });
    }
    served
}

/// The sentences of an error and its causes.
fn chain(error: &MountError) -> String {
    let mut text = error.to_string();
    let mut cause = std::error::Error::source(error);
    while let Some(error) = cause {
        text.push_str(": ");
        text.push_str(&error.to_string());
        cause = error.source();
    }
    text
}

/// Writes to the pipe that the starting process reads. It may be gone.
fn tell(message: &StartMessage) {
    let mut line = serde_json::to_vec(message).unwrap_or_default();
    line.push(b'\n');
    let mut output = io::stdout().lock();
    let _ = output.write_all(&line).and_then(|()| output.flush());
}

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

/// Unmounts one of ours: through its server, or without it where that is dead.
fn take_away(
    entry: &MountEntry,
    run: &RunDirectory,
    request: UnmountRequest,
    helper: Option<&Path>,
) -> Result<(), MountError> {
    let state = run.states()?.into_iter().find(|state| state.serves(entry));
    let path = entry.mountpoint.clone();
    let Some(state) = state.filter(ServerState::is_alive) else {
        return take_away_without_server(entry, run, request, helper);
    };
    let mode = match request {
        UnmountRequest::Strict => StopMode::Strict,
        UnmountRequest::Lazy | UnmountRequest::Force => StopMode::Lazy,
    };
    // Whether it answers at all is known sooner than whether it could unmount.
    let answer = ask_server(run, &state, ControlRequest::Status, ANSWER_TIMEOUT)
        .and_then(|_| ask_server(run, &state, ControlRequest::Stop(mode), STOP_TIMEOUT));
    match answer {
        Ok(ControlAnswer::Stopped) => Ok(()),
        Ok(ControlAnswer::Busy(path)) => {
            let holders = holders::find(&path);
            Err(MountError::Busy { path, holders })
        }
        Ok(ControlAnswer::Failed(message)) => Err(MountError::Unmount {
            path,
            source: io::Error::other(message),
        }),
        Ok(ControlAnswer::Report(_)) | Err(_) if request != UnmountRequest::Force => {
            Err(MountError::Hung { path })
        }
        Ok(ControlAnswer::Report(_)) | Err(_) => {
            // Where the control file system is not mounted, the end of the process does the same.
            let _ = kernel::abort(entry.device);
            if state.is_alive() {
                sys::kill(state.pid).map_err(|source| MountError::Unmount { path, source })?;
            }
            detach(entry, helper)?;
            run.clean(&state);
            Ok(())
        }
    }
}

/// Unmounts a mount without a server that answers for it. One whose server is dead goes at once;
/// one that still answers the kernel belongs to a server that another run directory knows.
fn take_away_without_server(
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

/// What a mount does when it is looked at.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Probe {
    Alive,
    Dead,
    Hung,
}

/// Looks at a mount from a thread that may stay behind.
fn probe(mountpoint: &Path, timeout: Duration) -> Probe {
    let (sender, receiver) = mpsc::channel();
    let path = mountpoint.to_owned();
    thread::spawn(move || {
        // A name that no tree has: what the kernel has cached says nothing of the server.
        let name = format!(".pacquet-probe-{}", std::process::id());
        let looked = fs::symlink_metadata(path.join(name));
        let _ = sender.send(looked.map_err(|error| error.kind()));
    });
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
    /// What the server said when it began, where that is known.
    pub state: Option<ServerState>,
    /// What the server says now, where it answers. It counts all mounts of the server.
    pub report: Option<ServerReport>,
}

/// All mounts of this user.
///
/// # Errors
/// When `/proc` or the run directory cannot be read.
pub fn status(run: &RunDirectory) -> Result<Vec<MountStatus>, MountError> {
    let (user, _) = sys::user_and_group();
    let entries = mountinfo::read().map_err(MountError::io("/proc/self/mountinfo"))?;
    let states = run.states()?;
    let mounts = entries.into_iter().filter(|entry| entry.is_ours(user));
    Ok(mounts
        .map(|entry| {
            let state = states.iter().find(|state| state.serves(&entry));
            describe(entry, state, run)
        })
        .collect())
}

fn describe(entry: MountEntry, state: Option<&ServerState>, run: &RunDirectory) -> MountStatus {
    let answer = state
        .filter(|state| state.is_alive())
        .map(|state| ask_server(run, state, ControlRequest::Status, ANSWER_TIMEOUT));
    let (health, report) = match answer {
        Some(Ok(ControlAnswer::Report(report))) if report.unreadable_packs.is_empty() => {
            (Health::Healthy, Some(report))
        }
        Some(Ok(ControlAnswer::Report(report))) => (Health::Damaged, Some(report)),
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
        state: state.cloned(),
        report,
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
