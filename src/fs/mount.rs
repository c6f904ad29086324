//! What the command line calls: mount and unmount.
//!
//! **Architecture Invariant:** nothing here touches a path inside a mount of ours without a
//! time-out: a server that hangs hangs everybody who looks. What is mounted is learned from
//! mountinfo, the run directory and the server's socket.

use std::ffi::OsString;
use std::fs::{File, OpenOptions};
use std::io::{self, BufRead, BufReader, Read, Write};
use std::os::fd::AsFd;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::mpsc;
use std::thread;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::adapter::end_where_no_answer_comes;
use super::asking::{ask_server, ask_supervisor, report};
use super::control::{
    self, ControlAnswer, ControlRequest, MountLock, RunDirectory, STOP_TIMEOUT, ServedMount,
    ServerState, SwapReport,
};
use super::error::MountError;
use super::kernel::{self, Access};
use super::mountinfo;
use super::mountpoint::{self, Place};
use super::server::{ServeArguments, Service, descriptors_wanted, serve};
use super::supervisor::protocol::{Channel, FromServer};
use super::supervisor::{Beginning, SERVE, SUPERVISE, SuperviseArguments, supervise};
use super::swap::{Forgotten, Terms};
use super::unmount::take_away;
use super::upgrade;
use super::upper;
use crate::diagnostic::Diagnostic;
use crate::store::PackId;
use crate::sys::fuse as sys;
use crate::sys::{channel, directory, process};

pub use super::unmount::{UnmountRequest, unmount, wait_unmounted};

/// How long a server process may take until its mounts can be used.
const START_TIMEOUT: Duration = Duration::from_secs(30);

/// The version of this program.
const OWN_VERSION: &str = env!("CARGO_PKG_VERSION");

/// How long a server may take to serve another layer.
const SWAP_TIMEOUT: Duration = Duration::from_secs(15);

/// How often what is mounted is repaired, or asked for another layer because its server died
/// meanwhile, before it is mounted anew.
const REPAIRS_MAX: u32 = 10;

/// What to do with real files at the mountpoint.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RealFiles {
    /// Refuse.
    Refuse,
    /// Move them aside (`--force`).
    MoveAside,
}

/// How supervisors and servers are started: this program again, with arguments that make it call
/// [`run_server`].
#[derive(Debug, Clone)]
pub struct ServerCommand {
    /// The program, such as `/proc/self/exe`.
    pub program: PathBuf,
    /// What comes before the arguments of [`run_server`], such as the name of a hidden subcommand.
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
    /// Packages in the mounts, at and below which nothing that was written counts any more, because
    /// the layer has it now.
    pub forgotten: Vec<PathBuf>,
    /// Whether trees of which everything was removed, or what says what is installed in them, show
    /// again what is installed.
    pub restores: bool,
    /// Whether packages that another layer of a live mount had are out of reach at once. Otherwise
    /// who knows their path finds them.
    pub clears: bool,
    /// Where `pacquet-mount-helper` is, where it was configured.
    pub mount_helper: Option<PathBuf>,
    /// Where profiles of first touches are; `None` touches nothing in advance.
    pub profiles: Option<PathBuf>,
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
    /// Another layer was mounted, and this one has taken its place.
    Swapped {
        /// Its server.
        server_pid: u32,
        /// What has changed.
        report: SwapReport,
    },
}

/// What has to be done so that the plan is served.
enum Preparation {
    /// Nothing any more.
    Served(MountOutcome),
    /// Its server goes on without a supervisor, whose files are named after this.
    Orphaned(Prepared, PathBuf),
    /// The mountpoints are ready, and after this a supervisor names its files.
    Free(Prepared, PathBuf),
}

struct Prepared {
    mounts: Vec<(u32, PathBuf)>,
    moved_aside: Vec<PathBuf>,
    lock: MountLock,
}

/// Whether enough files may be open. Where a server had too few, it would fail what it is asked.
fn check_descriptors(trees: usize) -> Result<(), MountError> {
    let most = process::raise_descriptor_limit().map_err(MountError::io("RLIMIT_NOFILE"))?;
    let wanted = descriptors_wanted(trees);
    if most < wanted {
        return Err(MountError::OpenFiles { most, wanted });
    }
    Ok(())
}

/// Makes the mountpoints ready: resolves them, repairs what is ours and can be repaired, takes
/// away what is ours and old, refuses what is not ours, makes missing directories.
fn prepare(
    plan: &MountPlan,
    run: &RunDirectory,
    command: &ServerCommand,
) -> Result<Preparation, MountError> {
    check_descriptors(plan.mounts.len())?;
    let mounts = resolve(plan)?;
    let Some((_, first)) = mounts.first() else {
        return Err(MountError::Arguments("nothing to serve"));
    };
    let lock = run.lock(first)?;
    let mut prepared = Prepared {
        mounts,
        moved_aside: Vec::new(),
        lock,
    };
    for _ in 0..REPAIRS_MAX {
        let Some(state) = live_state(plan, &prepared.mounts, run)? else {
            break;
        };
        let server_pid = state.server.pid;
        // It would neither keep another layer nor replace its server.
        state.supervisor.go_on();
        match condition(run, &state) {
            // A program that cannot be upgraded to serves what it can.
            Condition::Served { .. }
                if upgrade::is_newer(OWN_VERSION, &state.version)
                    && upgrade::upgrade(run, &state, command).is_ok() => {}
            // For the kernel a removed directory stays dead as long as somebody is in it.
            Condition::Served { emptied } if plan.restores && !emptied.is_empty() => {
                let helper = plan.mount_helper.as_deref();
                let (_, first) = &prepared.mounts[0];
                let found = mountinfo::find(first);
                if let Some(entry) = found.map_err(MountError::io("/proc/self/mountinfo"))? {
                    take_away(&entry, run, UnmountRequest::Lazy, helper)?;
                }
                break;
            }
            Condition::Served { .. } if state.layer_digest == plan.layer_digest => {
                let outcome = MountOutcome::AlreadyMounted { server_pid };
                return Ok(Preparation::Served(outcome));
            }
            Condition::Served { .. } => match swap(plan, run, &state, Vec::new())? {
                Swapped::Done(outcome) => return Ok(Preparation::Served(outcome)),
                Swapped::Lost => {}
                Swapped::Refused => break,
            },
            Condition::Orphaned => {
                return Ok(Preparation::Orphaned(prepared, state.name().to_owned()));
            }
            // A new server opens packs that have been replaced since.
            Condition::Hung | Condition::Damaged if restart(run, &state) => {}
            Condition::Hung | Condition::Damaged => break,
        }
    }
    take_away_rest(plan, &prepared.mounts, run)?;
    kernel::check_prerequisites(sys::user_and_group().0, plan.mount_helper.as_deref())?;
    for ((_, path), (_, named)) in prepared.mounts.iter().zip(&plan.mounts) {
        prepared.moved_aside.extend(clear(path, plan, run)?);
        forget(path, &forgotten_below(named, plan))?;
    }
    let name = run.free_name(&prepared.mounts[0].1)?;
    Ok(Preparation::Free(prepared, name))
}

/// Takes away what is left of mounts that one server serves, where one of them was removed: it does
/// not serve another in its place.
fn take_away_rest(
    plan: &MountPlan,
    mounts: &[(u32, PathBuf)],
    run: &RunDirectory,
) -> Result<(), MountError> {
    let entries = mountinfo::read().map_err(MountError::io("/proc/self/mountinfo"))?;
    let states = run.states()?;
    for (_, path) in mounts {
        let Some(entry) = entries.iter().rfind(|entry| entry.mountpoint == *path) else {
            continue;
        };
        let state = states.iter().find(|state| state.serves(entry));
        let is_gone =
            |served: &ServedMount| !entries.iter().any(|entry| entry.device == served.device);
        if state.is_some_and(|state| state.mounts.iter().any(is_gone)) {
            let helper = plan.mount_helper.as_deref();
            return take_away(entry, run, UnmountRequest::Lazy, helper);
        }
    }
    Ok(())
}

fn resolve(plan: &MountPlan) -> Result<Vec<(u32, PathBuf)>, MountError> {
    let mounts = plan.mounts.iter();
    mounts
        .map(|(tree, path)| Ok((*tree, mountpoint::resolve(path)?)))
        .collect()
}

/// Makes one mountpoint ready. Returns where real files were moved.
fn clear(path: &Path, plan: &MountPlan, run: &RunDirectory) -> Result<Option<PathBuf>, MountError> {
    let (user, _) = sys::user_and_group();
    let helper = plan.mount_helper.as_deref();
    let make = || directory::make_new(path).map_err(MountError::io(path));
    match mountpoint::inspect(path, user) {
        Ok(Place::Empty) => {}
        Ok(Place::Absent) => make()?,
        Ok(Place::Ours(entry)) => {
            take_away(&entry, run, UnmountRequest::Strict, helper)?;
            // Under it may be another one, or real files.
            match mountpoint::inspect(path, user)? {
                Place::Absent => make()?,
                Place::Empty => {}
                Place::Ours(entry) => {
                    take_away(&entry, run, UnmountRequest::Strict, helper)?;
                }
            }
        }
        Err(MountError::RealFiles { .. }) if plan.real_files == RealFiles::MoveAside => {
            let aside = mountpoint::move_aside(path)?;
            make()?;
            return Ok(Some(aside));
        }
        Err(error) => return Err(error),
    }
    Ok(None)
}

/// The places that the plan forgets below a mountpoint, as it names that.
fn forgotten_below(named: &Path, plan: &MountPlan) -> Vec<String> {
    let places = plan.forgotten.iter();
    let below = places.filter_map(|place| place.strip_prefix(named).ok());
    let below = below.filter_map(|path| path.to_str().map(str::to_owned));
    below.filter(|path| !path.is_empty()).collect()
}

/// Forgets what was written below a mountpoint and is in the layer now.
fn forget(mountpoint: &Path, below: &[String]) -> Result<(), MountError> {
    if below.is_empty() {
        return Ok(());
    }
    upper::forget(mountpoint, below).map_err(|error| MountError::Io {
        path: mountpoint.to_owned(),
        source: io::Error::other(error),
    })
}

/// What serves at exactly these mountpoints, from the same store and for the same users, whatever
/// its layer.
fn live_state(
    plan: &MountPlan,
    mounts: &[(u32, PathBuf)],
    run: &RunDirectory,
) -> Result<Option<ServerState>, MountError> {
    let (user, _) = sys::user_and_group();
    let entries = mountinfo::read().map_err(MountError::io("/proc/self/mountinfo"))?;
    let states = run.states()?;
    Ok(states.into_iter().find(|state| {
        state.store == plan.store
            && state.access == access_word(plan.access)
            && state.mounts.len() == mounts.len()
            && state.is_alive()
            && mounts
                .iter()
                .zip(&state.mounts)
                .all(|((tree, path), mount)| {
                    let top = entries.iter().rfind(|entry| entry.mountpoint == *path);
                    *tree == mount.tree
                        && top.is_some_and(|top| top.is_ours(user) && state.serves(top))
                })
    }))
}

/// What became of a swap.
enum Swapped {
    Done(MountOutcome),
    /// The server cannot: the layer has to be mounted anew.
    Refused,
    /// The server died before it had begun; another is there or begins.
    Lost,
}

/// Lets the server serve the plan's layer in the place of its own, and show again all that is
/// installed in trees that were `emptied`.
fn swap(
    plan: &MountPlan,
    run: &RunDirectory,
    state: &ServerState,
    emptied: Vec<u32>,
) -> Result<Swapped, MountError> {
    let layer = File::open(&plan.layer).map_err(MountError::io(&plan.layer))?;
    let mounts = plan.mounts.iter();
    let forgotten: Vec<Forgotten> = mounts
        .flat_map(|(tree, named)| {
            let below = forgotten_below(named, plan).into_iter();
            below.map(|path| Forgotten { tree: *tree, path })
        })
        .chain(emptied.into_iter().map(Forgotten::all))
        .collect();
    let terms = Terms {
        forgotten,
        clears: plan.clears,
    };
    let text = serde_json::to_vec(&terms).map_err(io::Error::from);
    let text = text.and_then(|bytes| channel::unnamed_file(&bytes));
    let text = text.map_err(MountError::io("the list of what was built"))?;
    let descriptors = [layer.as_fd(), text.as_fd()];
    let sent = if terms == Terms::default() { 1 } else { 2 };
    let socket = run.socket(state.name());
    let request = ControlRequest::Swap;
    match control::ask_with(&socket, request, &descriptors[..sent], SWAP_TIMEOUT) {
        Ok(ControlAnswer::Swapped(mut report)) => {
            if let Some((_, first)) = plan.mounts.first() {
                for path in &mut report.discarded {
                    *path = first.join(&path);
                }
            }
            Ok(Swapped::Done(MountOutcome::Swapped {
                server_pid: state.server.pid,
                report,
            }))
        }
        Ok(answer) => {
            tracing::warn!(?answer, "the layer cannot be swapped, and is mounted anew");
            Ok(Swapped::Refused)
        }
        // The server died; the next one finishes what it has begun.
        Err(_) if wait_swapped(plan, run, state)? => Ok(Swapped::Done(MountOutcome::Swapped {
            server_pid: state.server.pid,
            report: SwapReport::default(),
        })),
        Err(error) => Ok(match error.kind() {
            io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut => Swapped::Refused,
            _ => Swapped::Lost,
        }),
    }
}

/// Waits until the successor of a server that died in the middle of a swap answers.
fn wait_swapped(
    plan: &MountPlan,
    run: &RunDirectory,
    before: &ServerState,
) -> Result<bool, MountError> {
    let answer = ask_server(run, before, ControlRequest::Status, STOP_TIMEOUT);
    let states = run.states()?;
    let now = states
        .iter()
        .find(|state| state.supervisor == before.supervisor);
    let is_swapped = now.is_some_and(|state| state.layer_digest == plan.layer_digest);
    Ok(is_swapped && matches!(answer, Ok(ControlAnswer::Report(_))))
}

/// How a server and its supervisor are.
pub(super) enum Condition {
    /// Both are there, and every pack could be read.
    Served {
        /// Trees of which everything was removed, or what says what is installed in them.
        emptied: Vec<u32>,
    },
    /// The server answers and has no supervisor.
    Orphaned,
    /// The server could not read its packs, and may hold what has been replaced since.
    Damaged,
    /// It does not answer.
    Hung,
}

pub(super) fn condition(run: &RunDirectory, state: &ServerState) -> Condition {
    match report(run, state) {
        Some(report) if !report.unreadable_packs.is_empty() => Condition::Damaged,
        Some(report) if state.supervisor.is_alive() => Condition::Served {
            emptied: report.emptied,
        },
        Some(_) => Condition::Orphaned,
        None => Condition::Hung,
    }
}

/// Lets the supervisor replace its server. Whether there is another one now.
fn restart(run: &RunDirectory, state: &ServerState) -> bool {
    let answer = ask_supervisor(run, state, ControlRequest::Restart, STOP_TIMEOUT);
    matches!(answer, Ok(ControlAnswer::Restarted))
}

/// Whether exactly this is mounted already, by a server that answers and could read every pack.
///
/// # Errors
/// When `/proc` or the run directory cannot be read.
pub fn is_mounted(plan: &MountPlan, run: &RunDirectory) -> Result<bool, MountError> {
    let state = live_state(plan, &resolve(plan)?, run)?;
    Ok(state.is_some_and(|state| {
        state.layer_digest == plan.layer_digest
            && matches!(
                condition(run, &state),
                Condition::Served { emptied } if !plan.restores || emptied.is_empty()
            )
    }))
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
        if let Some(report) = report(run, &state) {
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

/// Checks that this user can mount here at all, without mounting anything. `mount_helper` is as in
/// [`MountPlan::mount_helper`].
///
/// # Errors
/// What is missing.
pub fn check_prerequisites(mount_helper: Option<&Path>) -> Result<(), MountError> {
    kernel::check_prerequisites(sys::user_and_group().0, mount_helper)
}

/// Mounts, and serves in the background. Returns when the mounts can be used.
///
/// # Errors
/// What is in the way, what is missing, or what the server process said.
pub fn mount(
    plan: &MountPlan,
    run: &RunDirectory,
    command: &ServerCommand,
) -> Result<MountOutcome, MountError> {
    loop {
        let (beginning, prepared, name) = match prepare(plan, run, command)? {
            Preparation::Served(outcome) => return Ok(outcome),
            Preparation::Orphaned(prepared, name) => (Beginning::Adopt, prepared, name),
            Preparation::Free(prepared, name) => (Beginning::Mount, prepared, name),
        };
        let mut mountpoints = prepared.mounts.iter();
        let was_written = mountpoints.any(|(_, path)| upper::is_upper(path));
        let arguments = arguments(plan, run, &prepared, beginning, command);
        let server_pid = start(&arguments, &run.log(&name), &prepared.lock)?;
        if beginning == Beginning::Mount {
            // What was never written through a mount cannot have been emptied.
            if plan.restores
                && was_written
                && let Some(state) = live_state(plan, &prepared.mounts, run)?
                && let Condition::Served { emptied } = condition(run, &state)
                && !emptied.is_empty()
            {
                swap(plan, run, &state, emptied)?;
            }
            return Ok(MountOutcome::Mounted {
                server_pid,
                moved_aside: prepared.moved_aside,
            });
        }
        // What has a supervisor again may have another layer than the plan's.
    }
}

/// Mounts and supervises in this process (`--foreground`). `ready` is called when the mounts can
/// be used; returns when they are gone.
///
/// # Errors
/// As [`mount`].
pub fn mount_in_foreground(
    plan: &MountPlan,
    run: &RunDirectory,
    command: &ServerCommand,
    ready: impl FnOnce(&MountOutcome),
) -> Result<(), MountError> {
    let (beginning, prepared) = match prepare(plan, run, command)? {
        Preparation::Served(outcome) => {
            ready(&outcome);
            return Ok(());
        }
        Preparation::Orphaned(prepared, _) => (Beginning::Adopt, prepared),
        Preparation::Free(prepared, _) => (Beginning::Mount, prepared),
    };
    let arguments = arguments(plan, run, &prepared, beginning, command);
    supervise(arguments, |state| {
        let Prepared {
            moved_aside, lock, ..
        } = prepared;
        drop(lock);
        ready(&MountOutcome::Mounted {
            server_pid: state.server.pid,
            moved_aside,
        });
    })
}

fn arguments(
    plan: &MountPlan,
    run: &RunDirectory,
    prepared: &Prepared,
    beginning: Beginning,
    command: &ServerCommand,
) -> SuperviseArguments {
    SuperviseArguments {
        beginning,
        run_directory: run.path().to_owned(),
        layer: plan.layer.clone(),
        project: plan.project.clone(),
        access: plan.access,
        mounts: prepared.mounts.clone(),
        serve: ServeArguments {
            store: plan.store.clone(),
            threads: plan.threads,
            mount_helper: plan.mount_helper.clone(),
            profiles: plan.profiles.clone(),
        },
        server: command.clone(),
    }
}

/// What a supervisor tells the process that started it, as one line on standard output.
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

/// Starts a supervisor and waits until it serves. Where this process is killed meanwhile, the next
/// one waits in its place: the supervisor has the lock too, as its standard input.
fn start(
    arguments: &SuperviseArguments,
    log_path: &Path,
    lock: &MountLock,
) -> Result<u32, MountError> {
    let failed = |message: String| MountError::Server {
        message,
        hint: None,
    };
    let log = OpenOptions::new()
        .create(true)
        .write(true)
        .truncate(true)
        .mode(0o600)
        .open(log_path)
        .map_err(MountError::io(log_path))?;
    let mut child = Command::new(&arguments.server.program)
        .args(&arguments.server.leading_args)
        .arg(SUPERVISE)
        .args(arguments.to_args())
        .current_dir("/")
        .stdin(lock.share().map_err(MountError::io("the lock"))?)
        .stdout(Stdio::piped())
        .stderr(log)
        .spawn()
        .map_err(|error| failed(error.to_string()))?;
    let Some(output) = child.stdout.take() else {
        return Err(failed("it has no output".to_owned()));
    };
    let (sender, receiver) = mpsc::channel();
    let reader = thread::Builder::new().spawn(move || {
        // A library that is loaded into every program may write lines of its own first.
        let lines = BufReader::new(output.take(1 << 16)).lines();
        let message = lines
            .map_while(Result::ok)
            .find_map(|line| serde_json::from_str(&line).ok());
        let _ = sender.send(message);
    });
    let error = match (reader, receiver.recv_timeout(START_TIMEOUT)) {
        (Err(error), _) => failed(error.to_string()),
        (_, Ok(Some(StartMessage::Ready { pid }))) => return Ok(pid),
        (_, Ok(Some(StartMessage::Failed { message, hint }))) => {
            MountError::Server { message, hint }
        }
        (_, Ok(None)) => failed(format!("it ended; see {}", log_path.display())),
        (_, Err(_)) => MountError::ServerTimeout {
            seconds: START_TIMEOUT.as_secs(),
        },
    };
    let _ = child.kill();
    let _ = child.wait();
    Err(error)
}

/// A supervisor or a server process, as [`ServerCommand`] starts it; `args` say which, and `open`
/// opens the store for a server. Reports to the process that started it, and returns when nothing
/// is mounted any more.
///
/// # Errors
/// What was reported too.
pub fn run_server<E: Diagnostic>(
    args: impl IntoIterator<Item = OsString>,
    open: impl FnOnce(&ServeArguments) -> Result<Service, E>,
) -> Result<(), MountError> {
    let mut args = args.into_iter();
    match args.next() {
        Some(word) if word == SUPERVISE => run_supervisor(args),
        Some(word) if word == SERVE => run_supervised(args, open),
        _ => Err(MountError::Arguments("neither a server nor a supervisor")),
    }
}

fn run_supervisor(args: impl Iterator<Item = OsString>) -> Result<(), MountError> {
    // A kernel before 5.9 has no such call: what a caller left open stays open there.
    let _ = process::close_inherited();
    // Fails where a shell has made it a group leader, which does no harm.
    let _ = sys::new_session();
    let supervised = SuperviseArguments::from_args(args).and_then(|arguments| {
        supervise(arguments, |state| {
            let null = File::open("/dev/null");
            let _ = null.and_then(|null| Ok(rustix::stdio::dup2_stdin(null)?));
            tell(&StartMessage::Ready {
                pid: state.server.pid,
            });
        })
    });
    if let Err(error) = &supervised {
        tracing::error!(%error, "the supervisor ended");
        tell(&StartMessage::Failed {
            message: chain(error),
            hint: error.hint(),
        });
    }
    supervised
}

fn run_supervised<E: Diagnostic>(
    mut args: impl Iterator<Item = OsString>,
    open: impl FnOnce(&ServeArguments) -> Result<Service, E>,
) -> Result<(), MountError> {
    end_where_no_answer_comes();
    let arguments = ServeArguments::from_args(&mut args)?;
    let channel = io::stdin().as_fd().try_clone_to_owned();
    let channel = channel.map_err(MountError::io("the standard input"))?;
    let to_supervisor = Channel::from(channel.try_clone().map_err(MountError::io("dup"))?);
    let served = serve(&arguments, Channel::from(channel), |arguments| {
        open(arguments).map_err(|error| MountError::Server {
            message: error.to_string(),
            hint: error.hint(),
        })
    });
    if let Err(error) = &served {
        tracing::error!(%error, "the server ended");
        let message = FromServer::Failed {
            message: chain(error),
            hint: error.hint(),
        };
        let _ = to_supervisor.send(&message, &[]);
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
