//! The supervisor: the process that holds the connection to the kernel, so that its server can
//! die, be replaced by another program, and be missed by nobody.
//!
//! It mounts, keeps the FUSE devices, the directories under the mounts, the project layer and the
//! server's socket open, starts the server and gives it copies of all that. When the server dies,
//! another gets the same; the kernel then sends again what the dead one had taken and not
//! answered. Programs wait for a few milliseconds, and see nothing else.
//!
//! When the supervisor itself dies, its server goes on, and whoever mounts next starts another
//! supervisor, to which the server hands everything over.
//!
//! **Architecture Invariant:** it answers no request of the kernel, reads no pack and no path
//! inside its mounts, and never waits for its server for longer than a bounded time.

mod alone;
mod arguments;
pub(super) mod estate;
mod process;
pub(super) mod protocol;
mod restarts;
mod unmounting;

use std::collections::VecDeque;
use std::fs::File;
use std::io::{self, Read};
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::Path;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use self::alone::Company;
use self::estate::{Estate, LayerFiles, Tree, exactly};
use self::process::ServerProcess;
use self::protocol::{Channel, FromServer, Resent, ToServer, TreeMessage};
use self::restarts::Restarts;
use self::unmounting::{Unmounting, Which};
use super::claim;
use super::control::{
    self, ANSWER_TIMEOUT, ControlAnswer, ControlRequest, ProcessName, RunDirectory, STOP_TIMEOUT,
    ServedMount, ServerState, StopMode,
};
use super::error::MountError;
use super::exclusive;
use super::image::Image;
use super::kernel::{self, Access, UnmountMode};
use super::mountinfo;
use crate::sys::channel;
use crate::sys::fuse as sys;
use crate::sys::watch::{Watch, wait};

pub(super) use self::arguments::{Beginning, SERVE, SUPERVISE, SuperviseArguments};
pub(super) use self::process::BEGIN_TIMEOUT;

/// A read of the device must have room for this much (`FUSE_MIN_READ_BUFFER`, which is 8192, or
/// more).
const INIT_BYTES_MAX: usize = 1 << 16;

const NOTHING_TO_TAKE_OVER: MountError = MountError::Arguments("there is nothing to take over");

/// How long those who still use mounts that were taken out of sight by a signal are served.
const LINGER: Duration = Duration::from_secs(1);

/// Supervises until nothing is mounted any more. `ready` is called when the mounts can be used.
///
/// # Errors
/// When a tree cannot be mounted or the first server cannot begin; then nothing is mounted.
pub(super) fn supervise(
    arguments: SuperviseArguments,
    ready: impl FnOnce(&ServerState),
) -> Result<(), MountError> {
    let signals = sys::end_signals().map_err(MountError::io("signalfd"))?;
    let run = RunDirectory::at(&arguments.run_directory)?;
    // What can fail, fails before anything is mounted.
    let before = match arguments.beginning {
        Beginning::Mount => beginning_state(&arguments, &run)?,
        Beginning::Adopt => state_of_mounted(arguments.first_mountpoint(), &run)?,
        Beginning::Inherit => own_state(&run)?,
    };
    let claimed = ServerState {
        supervisor: ProcessName::of(std::process::id()),
        ..before.clone()
    };
    let commands = run.claim(&claimed)?;
    let begun = match arguments.beginning {
        Beginning::Mount => mount(&arguments, &run.socket(claimed.name())),
        Beginning::Adopt => adopt(&run.socket(claimed.name()), before),
        Beginning::Inherit => inherit(before),
    };
    let begun = begun.inspect_err(|_| {
        // What another has left is still there, for the next one.
        if arguments.beginning == Beginning::Mount {
            run.release(&claimed);
        }
    })?;
    let state = describe(claimed, &begun);
    let mut supervisor = Supervisor {
        arguments,
        run,
        signals,
        commands,
        estate: Some(begun.estate),
        server: begun.server,
        state,
        restarts: Restarts::default(),
        start_at: None,
        end_at: None,
        company: None,
        unmounting: None,
        next: VecDeque::new(),
        is_stopping: false,
    };
    if let Err(error) = supervisor.save() {
        supervisor.take_down();
        return Err(error);
    }
    if supervisor.server.is_none() {
        supervisor.start_again();
    }
    if let Some(stream) = begun.asker {
        control::answer(&stream, &supervisor.restarted());
    }
    ready(&supervisor.state);
    supervisor.company = Company::of_private_namespace();
    supervisor.watch();
    Ok(())
}

/// What a supervisor begins with.
struct Begun {
    estate: Estate,
    /// The first server, where it was started already.
    server: Option<ServerProcess>,
    /// The server's process, or that of the last one.
    name: ProcessName,
    /// The digest of the present layer as it was built.
    layer_digest: String,
    restarts: u64,
    /// Who asked for this supervisor.
    asker: Option<UnixStream>,
}

impl Begun {
    /// With what another supervisor has left.
    fn with(estate: Estate, before: ServerState, asker: Option<UnixStream>) -> Self {
        Self {
            estate,
            server: None,
            name: before.server,
            layer_digest: before.layer_digest,
            restarts: before.restarts,
            asker,
        }
    }
}

/// Mounts everything and starts the first server, which listens at `socket`.
fn mount(arguments: &SuperviseArguments, socket: &Path) -> Result<Begun, MountError> {
    let layer = File::open(&arguments.layer).map_err(MountError::io(&arguments.layer))?;
    // Whether layer and store can be used is known before anything is mounted.
    let layer_digest = Image::digest_text_of(&layer).unwrap_or_default();
    let layers = LayerFiles::first(layer);
    let mut server = ServerProcess::start(arguments, &layers)?;
    server.wait_prepared()?;
    let mut mounting = Mounting {
        arguments,
        trees: Vec::new(),
    };
    for (tree, mountpoint) in &arguments.mounts {
        mounting.add(*tree, mountpoint)?;
    }
    let estate = Estate {
        layers,
        trees: std::mem::take(&mut mounting.trees),
        listener: claim::listen(socket)?,
    };
    let served = server.serve(&estate, Resent::Nothing);
    if let Err(error) = served {
        mounting.trees = estate.trees;
        return Err(error);
    }
    Ok(Begun {
        name: server.name(),
        estate,
        server: Some(server),
        layer_digest,
        restarts: 0,
        asker: None,
    })
}

/// Takes over what a server without a supervisor, which listens at `socket`, has, and replaces it.
fn adopt(socket: &Path, before: ServerState) -> Result<Begun, MountError> {
    let failed = || MountError::io(socket);
    let stream = control::request(socket, ControlRequest::HandOver, ANSWER_TIMEOUT);
    let channel = Channel::from(OwnedFd::from(stream.map_err(failed())?));
    let layers = LayerFiles::receive(&channel).map_err(failed())?;
    let (estate, _) = Estate::receive(&channel, layers).map_err(failed())?;
    if before.server.is_alive() {
        let _ = sys::kill(before.server.pid);
        // Only a process that has ended takes no request any more.
        before.server.wait_end(STOP_TIMEOUT);
    }
    Ok(Begun::with(estate, before, None))
}

/// Takes over what this process had before it became this program. Its server is dead.
fn inherit(before: ServerState) -> Result<Begun, MountError> {
    let failed = || MountError::io("the standard input");
    let channel = io::stdin().as_fd().try_clone_to_owned();
    let channel = Channel::from(channel.map_err(failed())?);
    let layers = LayerFiles::receive(&channel).map_err(failed())?;
    let (estate, _) = Estate::receive(&channel, layers).map_err(failed())?;
    let asker = match channel.receive().map_err(failed())? {
        Some((ToServer::Asker, descriptors)) => exactly(descriptors).ok(),
        _ => None,
    };
    let asker = asker.map(|[stream]: [OwnedFd; 1]| stream.into());
    Ok(Begun::with(estate, before, asker))
}

/// What was said of what is mounted at `first`. Its project may have been moved since.
fn state_of_mounted(first: &Path, run: &RunDirectory) -> Result<ServerState, MountError> {
    let entry = mountinfo::find(first).map_err(MountError::io("/proc/self/mountinfo"))?;
    let states = run.states()?.into_iter();
    let mut served = states.filter(|state| entry.iter().any(|entry| state.serves(entry)));
    served.next().ok_or(NOTHING_TO_TAKE_OVER)
}

/// What this process has said when it was another program.
fn own_state(run: &RunDirectory) -> Result<ServerState, MountError> {
    let own = ProcessName::of(std::process::id());
    let mut states = run.states()?.into_iter();
    let own = states.find(|state| state.supervisor == own);
    own.ok_or(NOTHING_TO_TAKE_OVER)
}

/// What is said before anything is mounted.
fn beginning_state(
    arguments: &SuperviseArguments,
    run: &RunDirectory,
) -> Result<ServerState, MountError> {
    let own = ProcessName::of(std::process::id());
    Ok(ServerState {
        named_after: run.free_name(arguments.first_mountpoint())?,
        server: own,
        supervisor: own,
        restarts: 0,
        trouble: None,
        source: String::new(),
        version: String::new(),
        started_at_ms: 0,
        project: arguments.project.clone(),
        store: arguments.serve.store.clone(),
        layer_digest: String::new(),
        access: match arguments.access {
            Access::Owner => "owner".to_owned(),
            Access::Everybody => "everybody".to_owned(),
        },
        mounts: Vec::new(),
    })
}

/// What is said when everything is mounted.
fn describe(claimed: ServerState, begun: &Begun) -> ServerState {
    let now = SystemTime::now().duration_since(UNIX_EPOCH);
    let messages = begun.estate.trees.iter().map(|tree| &tree.message);
    ServerState {
        server: begun.name,
        restarts: begun.restarts,
        trouble: None,
        source: messages
            .clone()
            .next()
            .map_or_else(String::new, |message| message.source.clone()),
        version: env!("CARGO_PKG_VERSION").to_owned(),
        started_at_ms: now.map_or(0, |now| now.as_millis() as u64),
        layer_digest: begun.layer_digest.clone(),
        mounts: messages.map(|message| message.mount.clone()).collect(),
        ..claimed
    }
}

/// Mounts that are unmounted again when not all of them can be made.
struct Mounting<'a> {
    arguments: &'a SuperviseArguments,
    trees: Vec<Tree>,
}

impl Mounting<'_> {
    fn add(&mut self, tree: u32, mountpoint: &Path) -> Result<(), MountError> {
        let helper = self.arguments.serve.mount_helper.as_deref();
        let (device, directory) = kernel::mount(mountpoint, self.arguments.access, helper)?;
        let mut mount = ServedMount {
            mountpoint: mountpoint.to_owned(),
            tree,
            device: kernel::NO_DEVICE,
        };
        let found = mountinfo::find(mountpoint).map_err(MountError::io("/proc/self/mountinfo"));
        if let Ok(Some(entry)) = &found {
            mount.device = entry.device;
        }
        let mut init = vec![0; INIT_BYTES_MAX];
        let mut reader = File::from(device);
        // From here on it must be unmounted, also when the next step fails.
        let read = reader.read(&mut init);
        init.truncate(*read.as_ref().unwrap_or(&0));
        self.trees.push(Tree {
            message: TreeMessage {
                mount,
                source: kernel::source_of(std::process::id()),
                init,
            },
            device: reader.into(),
            directory,
            // Without it, removing needs room.
            spill: channel::unnamed_file(&[]).ok(),
            is_removed: false,
        });
        found?;
        read.map_err(|source| MountError::Mount {
            path: mountpoint.to_owned(),
            source,
        })?;
        Ok(())
    }
}

impl Drop for Mounting<'_> {
    fn drop(&mut self) {
        take_away(std::mem::take(&mut self.trees), self.arguments);
    }
}

/// Takes mounts away that could not be served.
fn take_away(trees: Vec<Tree>, arguments: &SuperviseArguments) {
    // Their descriptors are closed first: where there were too few, unmounting needs some.
    let messages: Vec<TreeMessage> = trees.into_iter().map(|tree| tree.message).collect();
    let helper = arguments.serve.mount_helper.as_deref();
    for TreeMessage { mount, source, .. } in messages.iter().rev() {
        if let Err((path, error)) =
            kernel::unmount_served(mount, source, UnmountMode::Detach, helper)
        {
            tracing::error!(path = %path.display(), %error, "a mount stays behind");
        }
    }
}

struct Supervisor {
    arguments: SuperviseArguments,
    run: RunDirectory,
    signals: File,
    commands: UnixListener,
    /// What servers get; `None` once the connections to the kernel are given up.
    estate: Option<Estate>,
    server: Option<ServerProcess>,
    state: ServerState,
    restarts: Restarts,
    /// When the next server is started, where there is none.
    start_at: Option<Instant>,
    /// When everything ends, after a signal.
    end_at: Option<Instant>,
    /// Who may see the mounts, where that is not everybody.
    company: Option<Company>,
    unmounting: Option<Unmounting>,
    /// What is to be unmounted when that is over, and who waits for it.
    next: VecDeque<(StopMode, Which, Option<UnixStream>)>,
    /// Nothing is started any more.
    is_stopping: bool,
}

/// What woke the supervisor.
#[derive(Default)]
struct Happened {
    signal: bool,
    command: bool,
    server: bool,
    unmounted: bool,
}

impl Supervisor {
    /// Ends what has just begun.
    fn take_down(&mut self) {
        if let Some(mut server) = self.server.take() {
            server.kill();
        }
        if let Some(estate) = self.estate.take() {
            take_away(estate.trees, &self.arguments);
        }
    }

    fn save(&self) -> Result<(), MountError> {
        self.run.save(&self.state)
    }

    fn watch(&mut self) {
        while self
            .estate
            .as_ref()
            .is_some_and(|estate| !estate.trees.is_empty())
        {
            let Ok(happened) = self.wait() else {
                break;
            };
            if happened.server {
                self.hear_server();
            }
            if happened.unmounted {
                self.finish_unmounting();
            }
            if happened.signal {
                let mut signal = [0; 128];
                let _ = self.signals.read(&mut signal);
                self.end();
            }
            if happened.command {
                self.obey();
            }
            let now = Instant::now();
            if self.start_at.is_some_and(|at| at <= now) {
                self.start_again();
            }
            if self.end_at.is_some_and(|at| at <= now) {
                break;
            }
            if self.company.as_mut().is_some_and(Company::is_gone) {
                self.end();
            }
        }
        self.finish();
    }

    /// Ends, upon a signal. Nobody is there to ask whether the mounts are in use, so they go out
    /// of sight, and those who use them are served for a moment.
    fn end(&mut self) {
        self.end_at = Some(Instant::now() + LINGER);
        self.begin_unmounting(StopMode::Lazy, Which::All, None);
    }

    /// Waits for something to happen. Trees whose mounts are gone are forgotten on the way.
    ///
    /// Whoever polls a FUSE device is woken by every request that comes to it, so that each message
    /// would cost two wake-ups. A server tells of mounts that end; the devices are watched while
    /// there is none that could, and while mounts are about to go.
    fn wait(&mut self) -> io::Result<Happened> {
        let is_told = self.server.is_some() && self.unmounting.is_none() && !self.is_stopping;
        let trees = self.estate.iter().flat_map(|estate| &estate.trees);
        let devices = || trees.clone().map(|tree| Watch::Ended(tree.device.as_fd()));
        let mut watches = vec![
            Watch::Readable(self.signals.as_fd()),
            Watch::Readable(self.commands.as_fd()),
        ];
        let before_server = watches.len();
        watches.extend(self.server.iter().flat_map(ServerProcess::watches));
        let of_server = watches.len() - before_server;
        watches.extend(
            self.unmounting
                .as_ref()
                .map(|one| Watch::Readable(one.as_fd())),
        );
        let first_tree = watches.len();
        if !is_told {
            watches.extend(devices());
        }
        let look_at = self.company.as_ref().map(Company::next_look);
        let times = [self.start_at, self.end_at, look_at];
        let next = times.into_iter().flatten().min();
        let timeout = next.map(|at| at.saturating_duration_since(Instant::now()));
        let seen = wait(&watches, timeout)?;
        let ended = wait(&devices().collect::<Vec<_>>(), Some(Duration::ZERO))?;
        let mut others = seen.into_iter().take(first_tree);
        let happened = Happened {
            signal: others.next() == Some(true),
            command: others.next() == Some(true),
            server: others.by_ref().take(of_server).filter(|seen| *seen).count() > 0,
            unmounted: self.unmounting.is_some() && others.next() == Some(true),
        };
        if let Some(estate) = &mut self.estate {
            let mut ended = ended.iter();
            estate.trees.retain(|_| ended.next() != Some(&true));
        }
        Ok(happened)
    }

    /// Hears what the server says, or that it is dead.
    fn hear_server(&mut self) {
        let Some(server) = &mut self.server else {
            return;
        };
        match server.hear() {
            Ok(Some((FromServer::Stop, _))) => self.end(),
            Ok(Some((FromServer::Layer { digest }, descriptors))) => {
                self.keep_layer(digest, descriptors);
            }
            Ok(Some((FromServer::Settled, _))) => {
                if let Some(estate) = &mut self.estate {
                    estate.layers.is_unsettled = false;
                }
            }
            Ok(Some((FromServer::Announced, _))) => {
                if let Some(estate) = &mut self.estate {
                    estate.layers.unannounced = 0;
                }
            }
            Ok(Some((FromServer::Removed { tree }, descriptors))) => {
                let asker = exactly(descriptors).ok();
                let asker = asker.map(|[stream]: [OwnedFd; 1]| stream.into());
                self.begin_unmounting(StopMode::Lazy, Which::Removed(tree), asker);
            }
            // The devices are looked at after each message.
            Ok(Some(_)) => {}
            Ok(None) | Err(_) => {
                let death = server.bury();
                self.server = None;
                // A server ends by itself when its mounts are gone.
                let watches: Vec<Watch<'_>> = self
                    .estate
                    .iter()
                    .flat_map(|estate| &estate.trees)
                    .map(|tree| Watch::Ended(tree.device.as_fd()))
                    .collect();
                let gone = wait(&watches, Some(Duration::ZERO));
                if self.is_stopping || gone.is_ok_and(|gone| !gone.contains(&false)) {
                    return;
                }
                tracing::warn!(%death, "the server died and is replaced");
                self.state.trouble = self.restarts.died(death);
                self.start_at = Some(Instant::now() + self.restarts.delay());
            }
        }
    }

    /// Keeps a layer for the servers to come. What is served next is this one, whether the server
    /// finishes what it has begun or not.
    fn keep_layer(&mut self, digest: String, descriptors: Vec<OwnedFd>) {
        let (Some(estate), Ok([file])) = (&mut self.estate, exactly(descriptors)) else {
            return;
        };
        estate.layers.swap(file.into());
        self.state.layer_digest = digest;
        if let Err(error) = self.save() {
            tracing::error!(%error, "the state could not be saved");
        }
        if let Some(server) = &self.server {
            let _ = server.tell_kept();
        }
    }

    fn start_again(&mut self) {
        self.start_at = None;
        let Some(estate) = &mut self.estate else {
            return;
        };
        estate.trees.retain(|tree| !tree.is_removed);
        if estate.trees.is_empty() {
            return;
        }
        let resent = self.restarts.resent();
        let started = ServerProcess::start(&self.arguments, &estate.layers)
            .and_then(|mut server| server.serve(estate, resent).map(|()| server));
        match started {
            Ok(server) => {
                self.state.server = server.name();
                self.state.restarts += 1;
                self.server = Some(server);
            }
            Err(error) => {
                tracing::error!(%error, "no server could be started");
                self.state.trouble = Some(self.restarts.failed(&error));
                if self.restarts.is_hopeless() {
                    tracing::error!("given up: whatever uses the mounts fails now");
                    self.estate = None;
                } else {
                    self.start_at = Some(Instant::now() + self.restarts.delay());
                }
            }
        }
        if let Err(error) = self.save() {
            tracing::error!(%error, "the state could not be saved");
        }
    }

    /// Does what somebody asks for.
    fn obey(&mut self) {
        let Some((stream, request)) = control::accept(&self.commands) else {
            return;
        };
        let answer = match request {
            Some(ControlRequest::Status) => ControlAnswer::Watching,
            Some(ControlRequest::Stop(mode)) => {
                self.begin_unmounting(mode, Which::All, Some(stream));
                return;
            }
            Some(ControlRequest::Restart) => self.restart(),
            Some(ControlRequest::Upgrade(_)) => self.upgrade(&stream),
            Some(ControlRequest::HandOver | ControlRequest::Swap) | None => {
                ControlAnswer::Failed("no such request".to_owned())
            }
        };
        control::answer(&stream, &answer);
    }

    /// Becomes the program whose descriptor comes over `stream`, which answers there. Returns only
    /// when that fails.
    fn upgrade(&mut self, stream: &UnixStream) -> ControlAnswer {
        let Some(estate) = &self.estate else {
            return ControlAnswer::Failed("nothing is mounted any more".to_owned());
        };
        let sent = || -> io::Result<(OwnedFd, Channel, OwnedFd)> {
            let [program] = exactly(channel::receive(stream.as_fd(), 1)?.1)?;
            let (ours, theirs) = Channel::pair()?;
            estate.layers.send(&ours)?;
            estate.send(&ours, Resent::Answered)?;
            ours.send(&ToServer::Asker, &[stream.as_fd()])?;
            Ok((program, ours, theirs))
        };
        let error = match sent() {
            Ok((program, _ours, theirs)) => {
                if let Some(mut server) = self.server.take() {
                    server.kill();
                }
                let args = self.arguments.as_successor();
                channel::become_program(program.as_fd(), &args, theirs.as_fd())
            }
            Err(error) => error,
        };
        if self.server.is_none() {
            self.start_again();
        }
        ControlAnswer::Failed(error.to_string())
    }

    fn restart(&mut self) -> ControlAnswer {
        if let Some(mut server) = self.server.take() {
            server.kill();
        }
        self.restarts = Restarts::default();
        self.state.trouble = None;
        self.start_again();
        self.restarted()
    }

    /// Whether there is a server now.
    fn restarted(&self) -> ControlAnswer {
        match (&self.server, &self.state.trouble) {
            (Some(_), _) => ControlAnswer::Restarted,
            (None, Some(trouble)) => ControlAnswer::Failed(trouble.message.clone()),
            (None, None) => ControlAnswer::Failed("nothing is mounted any more".to_owned()),
        }
    }

    fn begin_unmounting(&mut self, mode: StopMode, which: Which, asker: Option<UnixStream>) {
        if self.unmounting.is_some() {
            match asker {
                // Whoever wants it by force does not wait for one that may hang.
                Some(stream) if mode == StopMode::Force => {
                    let message = "it is being unmounted already".to_owned();
                    control::answer(&stream, &ControlAnswer::Failed(message));
                }
                asker => self.next.push_back((mode, which, asker)),
            }
            return;
        }
        if mode == StopMode::Force {
            self.is_stopping = true;
            if let Some(mut server) = self.server.take() {
                server.kill();
            }
        }
        if let Some(server) = self.server.as_ref().filter(|_| which == Which::All) {
            server.keep_off();
        }
        let trees = self.estate.iter().flat_map(|estate| &estate.trees);
        let messages = trees.map(|tree| tree.message.clone());
        let messages = messages.filter(|message| which.has(message)).collect();
        let helper = self.arguments.serve.mount_helper.clone();
        match Unmounting::begin(messages, mode, which, helper, asker) {
            Ok(unmounting) => self.unmounting = Some(unmounting),
            Err(error) => tracing::error!(%error, "no thread to unmount in"),
        }
    }

    fn finish_unmounting(&mut self) {
        let Some(unmounting) = self.unmounting.take() else {
            return;
        };
        let finished = unmounting.finish();
        if finished.answer == ControlAnswer::Stopped {
            self.let_go(finished.which);
            match finished.mode {
                StopMode::Strict => self.is_stopping = true,
                StopMode::Lazy => {}
                StopMode::Force => self.estate = None,
            }
        } else if finished.mode == StopMode::Force {
            // It could not be taken away, so it shall be served.
            self.is_stopping = false;
            self.start_again();
        }
        if let Some(stream) = finished.asker {
            control::answer(&stream, &finished.answer);
        }
        if let Some((mode, which, asker)) = self.next.pop_front() {
            self.begin_unmounting(mode, which, asker);
        }
    }

    /// Lets others have the directories under mounts that are out of sight.
    fn let_go(&mut self, which: Which) {
        let trees = self.estate.iter_mut().flat_map(|estate| &mut estate.trees);
        let mut is_all = true;
        let mut directories = Vec::new();
        for tree in trees {
            if which.has(&tree.message) {
                tree.is_removed |= which != Which::All;
                directories.push(&tree.directory);
            } else {
                is_all &= tree.is_removed;
            }
        }
        // Another supervisor may take over the names while this one serves the rest.
        if is_all {
            self.run.release(&self.state);
        }
        directories.into_iter().for_each(exclusive::unlock);
    }

    /// The mounts are gone, or given up.
    fn finish(&mut self) {
        let is_given_up = self.estate.is_none() && !self.is_stopping;
        if let Some(mut server) = self.server.take() {
            server.end(LINGER);
        }
        // The mounts may be gone before the thread that unmounts them has said so.
        let asked = self.unmounting.take().map(Unmounting::finish);
        if is_given_up {
            // The mounts are still there, and `status` shall tell why they are dead.
            let _ = self.save();
        } else {
            self.run.release(&self.state);
        }
        if let Some(finished) = asked
            && let Some(stream) = finished.asker
        {
            control::answer(&stream, &finished.answer);
        }
        for (_, _, asker) in self.next.drain(..) {
            let answer = match is_given_up {
                true => ControlAnswer::Failed("its server was given up".to_owned()),
                false => ControlAnswer::Stopped,
            };
            if let Some(stream) = asker {
                control::answer(&stream, &answer);
            }
        }
    }
}
