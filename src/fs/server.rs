//! The server process: answers the kernel in threads of their own, and waits in its first thread
//! for what ends it: a signal, or the last unmount.
//!
//! What it serves from it gets from its supervisor: the layer, the devices, the socket that it
//! listens on. It mounts and unmounts nothing as long as there is a supervisor.

use std::ffi::OsString;
use std::fs::File;
use std::io::{self, Read, Write};
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use super::adapter::{Adapter, Connection, Invalidator, handshake};
use super::attributes::Owner;
use super::control::{self, ControlAnswer, ControlRequest, ServerReport, SwapReport};
use super::counters::Counters;
use super::error::MountError;
use super::image::Image;
use super::kernel::{self, UnmountMode};
use super::lower::Lower;
use super::mount::ServerCommand;
use super::package::{CacheLimits, PackageCache, PackageSource};
use super::removal::Removal;
use super::resent;
use super::supervisor::estate::{Estate, LayerFiles, Tree, exactly};
use super::supervisor::protocol::{Channel, FromServer, Resent, ToServer, TreeMessage};
use super::swap::{Announcer, Announcing, LiveTree, LiveTrees, SwapError, Terms};
use super::upper::Start;
use super::upper::Untold;
use super::vfs::Vfs;
use super::warm::{Touches, Warming, Warmth};
use crate::sys::channel;
use crate::sys::fuse as sys;
use crate::sys::process;
use crate::sys::watch::{Watch, wait};

/// Threads that answer the kernel, where nothing else is asked for.
pub const THREADS_DEFAULT: usize = 2;

/// Files that a server has open: sockets, the store, a pack for each part of the cache.
const DESCRIPTORS_MIN: u64 = 28;

/// Files that it has open for each tree, most of them the device.
const DESCRIPTORS_PER_TREE: u64 = 16;

/// How many files a server of so many trees must be able to have open.
pub(super) fn descriptors_wanted(trees: usize) -> u64 {
    DESCRIPTORS_MIN + DESCRIPTORS_PER_TREE * trees as u64
}

/// A server is idle when no request has come for this long.
const IDLE: Duration = Duration::from_millis(500);

/// How long the supervisor may take to keep a layer.
const KEEP_TIMEOUT: Duration = Duration::from_secs(5);

/// What a server process is told by its arguments.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ServeArguments {
    /// The store, which the caller opens.
    pub store: PathBuf,
    /// Threads that answer the kernel, for each mount.
    pub threads: usize,
    /// Where `pacquet-mount-helper` was configured to be.
    pub mount_helper: Option<PathBuf>,
    /// Where profiles of first touches are; `None` touches nothing in advance.
    pub profiles: Option<PathBuf>,
}

impl ServeArguments {
    /// As arguments of a command.
    pub fn to_args(&self) -> Vec<OsString> {
        vec![
            self.store.clone().into(),
            self.threads.to_string().into(),
            self.mount_helper.clone().unwrap_or_default().into(),
            self.profiles.clone().unwrap_or_default().into(),
        ]
    }

    /// What [`Self::to_args`] made, from the beginning of `args`.
    ///
    /// # Errors
    /// When it is not that.
    pub fn from_args(args: &mut impl Iterator<Item = OsString>) -> Result<Self, MountError> {
        let mut next = || args.next().ok_or(MountError::Arguments("one is missing"));
        let store = next()?.into();
        let threads = number(next()?)? as usize;
        let path = |text: OsString| Some(PathBuf::from(text)).filter(|path| path != Path::new(""));
        let (mount_helper, profiles) = (path(next()?), path(next()?));
        if threads == 0 {
            return Err(MountError::Arguments("no threads"));
        }
        Ok(Self {
            store,
            threads,
            mount_helper,
            profiles,
        })
    }
}

pub(super) fn number(argument: OsString) -> Result<u32, MountError> {
    let number = argument.to_str().and_then(|text| text.parse().ok());
    number.ok_or(MountError::Arguments("not a number"))
}

/// What the caller lends a server.
pub struct Service {
    /// The store's packs.
    pub packages: Box<dyn PackageSource>,
    /// How much of them is kept open.
    pub cache_limits: CacheLimits,
    /// Called once, in a thread of its own, when the mounts are first idle.
    pub settle: Box<dyn FnOnce() + Send>,
    /// The program that asks fresh mounts for names in advance, with the mountpoint as its last
    /// argument; `None` leaves them as they are.
    pub walker: Option<ServerCommand>,
}

/// Serves what comes over `channel` until the mounts are gone.
///
/// # Errors
/// When it cannot begin.
pub(super) fn serve(
    arguments: &ServeArguments,
    channel: Channel,
    open: impl FnOnce(&ServeArguments) -> Result<Service, MountError>,
) -> Result<(), MountError> {
    let signals = sys::end_signals().map_err(MountError::io("signalfd"))?;
    // Signals that end the process are no threads' from here on.
    tell_alive(&channel);
    let descriptors = process::raise_descriptor_limit().map_err(MountError::io("RLIMIT_NOFILE"))?;
    let lost = || MountError::io("the connection to the supervisor");
    let layers = LayerFiles::receive(&channel).map_err(lost())?;
    let images = read_images(&layers)?;
    let service = open(arguments)?;
    let trees = images.first().map_or(0, |image| image.tree_count());
    let spare = descriptors.saturating_sub(descriptors_wanted(trees as usize));
    let limits = service.cache_limits.within(spare);
    let packages = Arc::new(PackageCache::new(service.packages, limits));
    let lower = Arc::new(lower(images, &packages));
    channel.send(&FromServer::Prepared, &[]).map_err(lost())?;
    let (estate, resent) = Estate::receive(&channel, layers).map_err(lost())?;
    let counters = Arc::new(Counters::default());
    let (ended, ended_writer) = UnixStream::pair().map_err(MountError::io("socketpair"))?;
    let begin = Begin {
        lower: &lower,
        counters: &counters,
        threads: arguments.threads,
        resent,
        is_unsettled: estate.layers.is_unsettled,
        channel: &channel,
        walker: service.walker.as_ref(),
        profiles: arguments.profiles.as_deref(),
    };
    let (mut trees, mut warmths) = (Vec::new(), Vec::new());
    for tree in &estate.trees {
        let writer = ended_writer.try_clone();
        let writer = writer.map_err(MountError::io("socketpair"))?;
        let (tree, warmth) = begin.tree(tree, writer)?;
        trees.push(tree);
        warmths.extend(warmth);
    }
    drop(ended_writer);
    channel.send(&FromServer::Ready, &[]).map_err(lost())?;
    let (announced, announced_writer) = UnixStream::pair().map_err(MountError::io("socketpair"))?;
    let mut server = Server {
        live: LiveTrees::new(trees, lower, announced_writer),
        packages,
        counters,
        estate,
        channel: Some(channel),
        is_ending: false,
        mount_helper: arguments.mount_helper.clone(),
        ended,
        announced,
        warmths,
    };
    server.settle();
    server.wait(signals, service.settle);
    for tree in &server.live.trees {
        if let Err(error) = tree.vfs.end() {
            tracing::error!(%error, "what was removed last is not written down");
        }
    }
    Ok(())
}

/// Lets the supervisor know at once when this process is killed. Where that cannot be, it knows
/// when the process has ended.
fn tell_alive(supervisor: &Channel) {
    let told = || -> io::Result<()> {
        let (theirs, ours) = channel::pair()?;
        process::keep_until_killed(ours)?;
        supervisor.send(&FromServer::Alive, &[theirs.as_fd()])
    };
    if let Err(error) = told() {
        tracing::debug!(%error, "the supervisor is told late of the end");
    }
}

fn read_images(layers: &LayerFiles) -> Result<Vec<Arc<Image>>, MountError> {
    let path = Path::new("the project layer");
    let files = layers.files.iter();
    files
        .map(|file| Ok(Arc::new(Image::read(file, path)?)))
        .collect()
}

fn lower(mut images: Vec<Arc<Image>>, packages: &Arc<PackageCache>) -> Lower {
    let present = images.remove(0);
    Lower::new(present, Arc::clone(packages), owner()).after(images)
}

/// What all trees begin with.
struct Begin<'a> {
    lower: &'a Arc<Lower>,
    counters: &'a Arc<Counters>,
    threads: usize,
    resent: Resent,
    is_unsettled: bool,
    channel: &'a Channel,
    walker: Option<&'a ServerCommand>,
    profiles: Option<&'a Path>,
}

impl Begin<'_> {
    /// Begins to serve a tree. What it is served from keeps `ended` until its session ends.
    fn tree(
        &self,
        tree: &Tree,
        ended: UnixStream,
    ) -> Result<(LiveTree, Option<Warmth>), MountError> {
        let number = tree.message.mount.tree;
        if number >= self.lower.image().tree_count() {
            return Err(MountError::NoTree { tree: number });
        }
        let (vfs, untold) = self.upper(tree)?;
        let vfs = Arc::new(vfs);
        let touches = Arc::<Touches>::default();
        let announcing = Arc::<Announcing>::default();
        let (mount, source) = (tree.message.mount.clone(), tree.message.source.clone());
        let supervisor = self.channel.try_clone().map_err(MountError::io("dup"))?;
        let removal = Arc::new(Removal::new(mount, source, supervisor));
        let adapter = Adapter {
            vfs: Arc::clone(&vfs),
            root: number,
            counters: Arc::clone(self.counters),
            touches: Arc::clone(&touches),
            announcing: Arc::clone(&announcing),
            removal,
        };
        let failed = |source| MountError::Mount {
            path: tree.message.mount.mountpoint.clone(),
            source,
        };
        let invalidator = self.session(adapter, tree, ended).map_err(failed)?;
        let warmth = self
            .warm(tree, &vfs, touches, invalidator.clone())
            .map_err(failed)?;
        let tree = LiveTree {
            number,
            vfs,
            invalidator,
            untold,
            announcer: self.walker.map(|command| Announcer {
                command: command.clone(),
                mountpoint: tree.message.mount.mountpoint.clone(),
                device: tree.message.mount.device,
                announcing,
            }),
        };
        Ok((tree, warmth))
    }

    /// Touches a tree in advance, and follows those who touch it.
    fn warm(
        &self,
        tree: &Tree,
        vfs: &Arc<Vfs>,
        touches: Arc<Touches>,
        invalidator: Invalidator,
    ) -> io::Result<Option<Warmth>> {
        let (Some(walker), Some(profiles)) = (self.walker, self.profiles) else {
            return Ok(None);
        };
        Ok(Some(Warmth::start(Warming {
            walker: walker.clone(),
            vfs: Arc::clone(vfs),
            root: tree.message.mount.tree,
            mountpoint: tree.message.mount.mountpoint.clone(),
            device: tree.device.try_clone()?,
            invalidator,
            touches,
            profiles: profiles.to_owned(),
            is_fresh: self.resent == Resent::Nothing,
        })))
    }

    fn session(
        &self,
        adapter: Adapter,
        tree: &Tree,
        mut ended: UnixStream,
    ) -> io::Result<Invalidator> {
        let connection = Connection {
            device: tree.device.try_clone()?,
            init: tree.message.init.clone(),
        };
        let session = handshake(adapter, &connection, self.threads)?;
        let invalidator = session.invalidator();
        let mut device = File::from(connection.device);
        if self.resent == Resent::Failed {
            resent::fail_all(&mut device)?;
        }
        thread::Builder::new()
            .name("session".to_owned())
            .spawn(move || {
                if let Err(error) = session.run() {
                    tracing::error!(%error, "a session ended with an error");
                }
                // Wakes the first thread, with a byte for a mount and the end for the last one.
                let _ = ended.write_all(&[0]);
            })?;
        Ok(invalidator)
    }

    /// The file system of a tree, over what was written into the directory that it is mounted on,
    /// and the names of which the kernel may not have been told.
    fn upper(&self, tree: &Tree) -> Result<(Vfs, Untold), MountError> {
        let mount = &tree.message.mount;
        let failed = |source| MountError::Upper {
            path: mount.mountpoint.clone(),
            source,
        };
        let start = match self.resent {
            Resent::Nothing => Start::Fresh,
            Resent::Answered | Resent::Failed => Start::Resumed,
        };
        let directory = || {
            let spill = tree.spill.as_ref().map(File::try_clone).transpose();
            let both = || Ok((OwnedFd::from(tree.directory.try_clone()?), spill?));
            both().map_err(|error: io::Error| failed(error.into()))
        };
        let mut untold = Untold::new();
        if self.is_unsettled {
            let (before, lower) = (self.lower.as_it_was(), self.lower);
            if let Some(before) = before {
                let followed = Vfs::finish_following(directory()?, &before, lower, mount.tree);
                untold = followed.map_err(failed)?;
            }
        }
        let lower = Arc::clone(self.lower);
        let vfs = Vfs::new(lower, mount.tree, directory()?, start).map_err(failed)?;
        Ok((vfs, untold))
    }
}

fn owner() -> Owner {
    let (uid, gid) = sys::user_and_group();
    Owner { uid, gid }
}

struct Server {
    live: LiveTrees,
    packages: Arc<PackageCache>,
    counters: Arc<Counters>,
    estate: Estate,
    /// To the supervisor, while there is one.
    channel: Option<Channel>,
    /// The supervisor was told to end the mounts.
    is_ending: bool,
    mount_helper: Option<PathBuf>,
    ended: UnixStream,
    /// Readable when those who watch were told of a swap.
    announced: UnixStream,
    warmths: Vec<Warmth>,
}

impl Server {
    fn wait(&mut self, mut signals: File, settle: Box<dyn FnOnce() + Send>) {
        let mut settle = Some(settle);
        let mut requests = self.counters.total();
        loop {
            let mut watches = vec![
                Watch::Readable(self.ended.as_fd()),
                Watch::Readable(signals.as_fd()),
                Watch::Readable(self.estate.listener.as_fd()),
                Watch::Readable(self.announced.as_fd()),
            ];
            watches.extend(
                self.channel
                    .as_ref()
                    .map(|channel| Watch::Readable(channel.as_fd())),
            );
            let timeout = settle.is_some().then_some(IDLE);
            let Ok(happened) = wait(&watches, timeout) else {
                break;
            };
            if happened[0] && self.all_ended() {
                break;
            }
            if happened[1] {
                let mut signal = [0; 128];
                let _ = signals.read(&mut signal);
                self.end();
            }
            if happened[2] {
                self.answer();
            }
            if happened[3] {
                self.finish_announcing();
            }
            if happened.get(4) == Some(&true) {
                self.hear_supervisor();
            }
            let total = self.counters.total();
            if !happened.contains(&true)
                && total == requests
                && let Some(settle) = settle.take()
            {
                // Where there is no thread for it, the next server does it.
                let _ = thread::Builder::new().spawn(settle);
            }
            requests = total;
        }
    }

    /// Tells the supervisor of mounts that are gone, and says whether all are.
    fn all_ended(&mut self) -> bool {
        let mut ended = [0; 64];
        if !matches!(self.ended.read(&mut ended), Ok(count) if count > 0) {
            return true;
        }
        if let Some(supervisor) = &self.channel {
            let _ = supervisor.send(&FromServer::Ended, &[]);
        }
        false
    }

    /// Ends the mounts, upon a signal. Nobody is there to ask whether they are in use, so they go
    /// out of sight.
    fn end(&mut self) {
        // One that is being killed still takes the message, and does nothing: its end is heard
        // later.
        self.is_ending = self
            .channel
            .as_ref()
            .is_some_and(|channel| channel.send(&FromServer::Stop, &[]).is_ok());
        if !self.is_ending {
            let mounts = self.estate.trees.iter().map(|tree| &tree.message);
            for TreeMessage { mount, source, .. } in mounts {
                let helper = self.mount_helper.as_deref();
                let _ = kernel::unmount_served(mount, source, UnmountMode::Detach, helper);
            }
        }
    }

    /// What is not waited for is late, but for the wish to have the mounts left alone.
    fn hear_supervisor(&mut self) {
        match self.channel.as_ref().map(Channel::receive::<ToServer>) {
            Some(Ok(Some((ToServer::KeepOff, _)))) => {
                self.warmths.iter_mut().for_each(Warmth::keep_off);
            }
            Some(Ok(Some(_))) => {}
            _ => {
                tracing::error!("the supervisor is gone; the next install brings another");
                self.channel = None;
                if self.is_ending {
                    self.end();
                }
            }
        }
    }

    /// Answers one request on the socket.
    fn answer(&mut self) {
        let Some((stream, request)) = control::accept(&self.estate.listener) else {
            return;
        };
        let answer = match request {
            Some(ControlRequest::Status) => ControlAnswer::Report(self.report()),
            Some(ControlRequest::HandOver) => {
                self.hand_over(stream);
                return;
            }
            Some(ControlRequest::Swap) => match self.swap(&stream) {
                Ok(report) => ControlAnswer::Swapped(report),
                Err(error) => ControlAnswer::Failed(error.to_string()),
            },
            _ => ControlAnswer::Failed("no such request".to_owned()),
        };
        control::answer(&stream, &answer);
    }

    /// Gives everything that this server has from its supervisor to the next one.
    fn hand_over(&self, stream: UnixStream) {
        let heir = Channel::from(OwnedFd::from(stream));
        let layers = &self.estate.layers;
        let sent = layers
            .send(&heir)
            .and_then(|()| self.estate.send(&heir, Resent::Answered));
        if let Err(error) = sent {
            tracing::error!(%error, "the mounts could not be handed over");
        }
    }

    /// Serves the layer that comes over `stream` from now on.
    fn swap(&mut self, stream: &UnixStream) -> Result<SwapReport, SwapError> {
        let mut descriptors = channel::receive(stream.as_fd(), 1)?.1;
        let terms = match (descriptors.len(), descriptors.pop()) {
            (2, Some(terms)) => Terms::read(terms)?,
            (_, last) => {
                descriptors.extend(last);
                Terms::default()
            }
        };
        let [file] = exactly(descriptors)?;
        let built = Image::read(&file.into(), Path::new("the project layer"))?;
        let digest = built.digest_text();
        let Some(supervisor) = &self.channel else {
            return Err(SwapError::NoSupervisor);
        };
        let layers = &mut self.estate.layers;
        let report = self.live.swap(&built, &terms, |file| {
            supervisor.send(&FromServer::Layer { digest }, &[file.as_fd()])?;
            match supervisor.receive_within(KEEP_TIMEOUT)? {
                Some((ToServer::Kept, _)) => {
                    layers.swap(file);
                    Ok(())
                }
                _ => Err(io::ErrorKind::UnexpectedEof.into()),
            }
        })?;
        layers.is_unsettled = false;
        let _ = supervisor.send(&FromServer::Settled, &[]);
        Ok(report)
    }

    /// Finishes the swap in the middle of which the server before this one ended.
    fn settle(&mut self) {
        let layers = &mut self.estate.layers;
        if !layers.is_unsettled && layers.unannounced == 0 {
            return;
        }
        self.live.settle(layers.is_unsettled, layers.unannounced);
        layers.is_unsettled = false;
        if let Some(supervisor) = &self.channel {
            let _ = supervisor.send(&FromServer::Settled, &[]);
        }
    }

    /// Says that those who watch were told of every swap, where that is so.
    fn finish_announcing(&mut self) {
        let mut done = [0; 64];
        let _ = self.announced.read(&mut done);
        if self.live.is_announcing() {
            return;
        }
        self.estate.layers.unannounced = 0;
        if let Some(supervisor) = &self.channel {
            let _ = supervisor.send(&FromServer::Announced, &[]);
        }
    }

    fn report(&self) -> ServerReport {
        let (table_hits, table_misses) = self.packages.hits_and_misses();
        let named = self.counters.by_request().into_iter();
        let failures = self.packages.failures().into_iter();
        let mut trees = self.live.trees.iter();
        let emptied = trees.clone().filter(|tree| tree.vfs.is_emptied());
        let read_only = trees.find_map(|tree| tree.vfs.problem().map(str::to_owned));
        ServerReport {
            requests: named
                .map(|(name, count)| (name.to_owned(), count))
                .collect(),
            bytes_read: self.counters.bytes_read(),
            table_hits,
            table_misses,
            failures: self.counters.failures(),
            unreadable_packs: failures
                .map(|(pack, reason)| (pack.to_string(), reason))
                .collect(),
            read_only,
            is_full: self.counters.is_full(),
            emptied: emptied.map(|tree| tree.number).collect(),
            resident_bytes: resident_bytes().unwrap_or(0),
        }
    }
}

/// Resident memory of this process (proc(5), `status`).
fn resident_bytes() -> Option<u64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status
        .lines()
        .find_map(|line| line.strip_prefix("VmRSS:"))?;
    let kibibytes: u64 = line.trim().strip_suffix(" kB")?.parse().ok()?;
    Some(kibibytes * 1024)
}

#[cfg(test)]
mod tests {
    use std::os::unix::ffi::OsStringExt;

    use super::*;

    fn arguments() -> ServeArguments {
        ServeArguments {
            store: OsString::from_vec(b"/\xff".to_vec()).into(),
            threads: 3,
            mount_helper: Some("/lib exec/helper".into()),
            profiles: Some("/cache/profiles".into()),
        }
    }

    #[test]
    fn arguments_come_back() {
        let mut arguments = arguments();
        for helper in [arguments.mount_helper.clone(), None] {
            arguments.mount_helper = helper;
            let mut args = arguments.to_args().into_iter();
            assert_eq!(ServeArguments::from_args(&mut args).unwrap(), arguments);
            assert_eq!(args.next(), None);
        }
    }

    #[test]
    fn arguments_that_are_none_are_refused() {
        let whole = arguments().to_args();
        for length in 0..whole.len() {
            let cut = whole[..length].to_vec();
            assert!(
                ServeArguments::from_args(&mut cut.into_iter()).is_err(),
                "{length}"
            );
        }
        for value in ["0", "x", "-1"] {
            let mut wrong = whole.clone();
            wrong[1] = value.into();
            assert!(
                ServeArguments::from_args(&mut wrong.into_iter()).is_err(),
                "{value}"
            );
        }
    }
}
