//! The server process: answers the kernel in threads of their own, and waits in its first thread
//! for what ends it: a signal, or the last unmount.
//!
//! What it serves from it gets from its supervisor: the layer, the devices, the socket that it
//! listens on. It mounts and unmounts nothing as long as there is a supervisor.

use std::ffi::OsString;
use std::fs::File;
use std::io::{self, Read};
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use super::adapter::{Adapter, Connection, handshake};
use super::attributes::Owner;
use super::control::{self, ControlAnswer, ControlRequest, ServerReport};
use super::counters::Counters;
use super::error::MountError;
use super::image::Image;
use super::kernel::{self, UnmountMode};
use super::lower::Lower;
use super::package::{CacheLimits, PackageCache, PackageSource};
use super::resent;
use super::supervisor::protocol::{Channel, FromServer, Resent, ToServer, TreeMessage};
use super::upper::Start;
use super::vfs::Vfs;
use crate::sys::fuse::{self as sys, Watch};

/// Threads that answer the kernel, where nothing else is asked for.
pub const THREADS_DEFAULT: usize = 2;

/// A server is idle when no request has come for this long.
const IDLE: Duration = Duration::from_millis(500);

/// What a server process is told by its arguments.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ServeArguments {
    /// The store, which the caller opens.
    pub store: PathBuf,
    /// Threads that answer the kernel, for each mount.
    pub threads: usize,
    /// Where `pacquet-mount-helper` was configured to be.
    pub mount_helper: Option<PathBuf>,
}

impl ServeArguments {
    /// As arguments of a command.
    pub fn to_args(&self) -> Vec<OsString> {
        vec![
            self.store.clone().into(),
            self.threads.to_string().into(),
            self.mount_helper.clone().unwrap_or_default().into(),
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
        let mount_helper = Some(PathBuf::from(next()?)).filter(|path| path != Path::new(""));
        if threads == 0 {
            return Err(MountError::Arguments("no threads"));
        }
        Ok(Self {
            store,
            threads,
            mount_helper,
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
}

/// What a supervisor hands to its server, and an orphaned server to its next supervisor.
#[derive(Debug)]
pub(super) struct Estate {
    pub(super) layer: File,
    pub(super) trees: Vec<Tree>,
    pub(super) listener: UnixListener,
}

/// A tree with what it is served through.
#[derive(Debug)]
pub(super) struct Tree {
    pub(super) message: TreeMessage,
    pub(super) device: OwnedFd,
    /// The directory under the mount.
    pub(super) directory: File,
}

impl Estate {
    /// Sends everything that the other end needs to serve. The layer went before.
    pub(super) fn send(&self, channel: &Channel, resent: Resent) -> io::Result<()> {
        for tree in &self.trees {
            let message = ToServer::Tree(tree.message.clone());
            channel.send(&message, &[tree.device.as_fd(), tree.directory.as_fd()])?;
        }
        channel.send(&ToServer::Serve { resent }, &[self.listener.as_fd()])
    }

    /// Receives what [`Self::send`] sends.
    pub(super) fn receive(channel: &Channel, layer: File) -> io::Result<(Self, Resent)> {
        let mut trees = Vec::new();
        loop {
            let Some((message, descriptors)) = channel.receive()? else {
                return Err(io::ErrorKind::UnexpectedEof.into());
            };
            match message {
                ToServer::Layer => return Err(io::ErrorKind::InvalidData.into()),
                ToServer::Tree(message) => {
                    let [device, directory] = exactly(descriptors)?;
                    trees.push(Tree {
                        message,
                        device,
                        directory: directory.into(),
                    });
                }
                ToServer::Serve { resent } => {
                    let [listener] = exactly(descriptors)?;
                    let listener = listener.into();
                    let estate = Self {
                        layer,
                        trees,
                        listener,
                    };
                    return Ok((estate, resent));
                }
            }
        }
    }

    /// Receives the layer, which comes first.
    pub(super) fn receive_layer(channel: &Channel) -> io::Result<File> {
        match channel.receive()? {
            Some((ToServer::Layer, descriptors)) => {
                let [layer] = exactly(descriptors)?;
                Ok(layer.into())
            }
            Some(_) => Err(io::ErrorKind::InvalidData.into()),
            None => Err(io::ErrorKind::UnexpectedEof.into()),
        }
    }
}

fn exactly<const N: usize>(descriptors: Vec<OwnedFd>) -> io::Result<[OwnedFd; N]> {
    <[OwnedFd; N]>::try_from(descriptors).map_err(|_| io::ErrorKind::InvalidData.into())
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
    let descriptors = sys::raise_descriptor_limit().map_err(MountError::io("RLIMIT_NOFILE"))?;
    let lost = MountError::io("the connection to the supervisor");
    let layer = Estate::receive_layer(&channel).map_err(lost)?;
    let image = Arc::new(Image::read(&layer, Path::new("the project layer"))?);
    let service = open(arguments)?;
    let limits = service.cache_limits.within(descriptors);
    let packages = Arc::new(PackageCache::new(service.packages, limits));
    let lower = Arc::new(Lower::new(image, packages, owner()));
    let counters = Arc::new(Counters::default());
    let lost = || MountError::io("the connection to the supervisor");
    channel.send(&FromServer::Prepared, &[]).map_err(lost())?;
    let (estate, resent) = Estate::receive(&channel, layer).map_err(lost())?;
    let (ended, ended_writer) = UnixStream::pair().map_err(MountError::io("socketpair"))?;
    for tree in &estate.trees {
        let number = tree.message.mount.tree;
        if number >= lower.image().tree_count() {
            return Err(MountError::NoTree { tree: number });
        }
        let vfs = open_upper(&lower, tree, resent)?;
        let adapter = Adapter {
            vfs: Arc::new(vfs),
            root: number,
            counters: Arc::clone(&counters),
        };
        let writer = ended_writer
            .try_clone()
            .map_err(MountError::io("socketpair"))?;
        begin_session(adapter, tree, arguments.threads, resent, writer).map_err(|source| {
            MountError::Mount {
                path: tree.message.mount.mountpoint.clone(),
                source,
            }
        })?;
    }
    drop(ended_writer);
    channel.send(&FromServer::Ready, &[]).map_err(lost())?;
    let mut server = Server {
        lower,
        counters,
        estate,
        channel: Some(channel),
        mount_helper: arguments.mount_helper.clone(),
        ended,
    };
    server.wait(signals, service.settle);
    Ok(())
}

fn begin_session(
    adapter: Adapter,
    tree: &Tree,
    threads: usize,
    resent: Resent,
    ended: UnixStream,
) -> io::Result<()> {
    let connection = Connection {
        device: tree.device.try_clone()?,
        init: tree.message.init.clone(),
    };
    let session = handshake(adapter, &connection, threads)?;
    let mut device = File::from(connection.device);
    if resent == Resent::Failed {
        resent::fail_all(&mut device)?;
    }
    thread::Builder::new()
        .name("session".to_owned())
        .spawn(move || {
            if let Err(error) = session.run() {
                tracing::error!(%error, "a session ended with an error");
            }
            // Its end is what wakes the first thread.
            drop(ended);
        })?;
    Ok(())
}

/// The file system of a tree, over what was written into the directory that it is mounted on.
fn open_upper(lower: &Arc<Lower>, tree: &Tree, resent: Resent) -> Result<Vfs, MountError> {
    let mount = &tree.message.mount;
    let failed = |source| MountError::Upper {
        path: mount.mountpoint.clone(),
        source,
    };
    let start = match resent {
        Resent::Nothing => Start::Fresh,
        Resent::Answered | Resent::Failed => Start::Resumed,
    };
    let directory = tree
        .directory
        .try_clone()
        .map_err(|error| failed(error.into()))?;
    Vfs::new(Arc::clone(lower), mount.tree, directory.into(), start).map_err(failed)
}

fn owner() -> Owner {
    let (uid, gid) = sys::user_and_group();
    Owner { uid, gid }
}

struct Server {
    lower: Arc<Lower>,
    counters: Arc<Counters>,
    estate: Estate,
    /// To the supervisor, while there is one.
    channel: Option<Channel>,
    mount_helper: Option<PathBuf>,
    ended: UnixStream,
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
            ];
            watches.extend(
                self.channel
                    .as_ref()
                    .map(|channel| Watch::Readable(channel.as_fd())),
            );
            let timeout = settle.is_some().then_some(IDLE);
            let Ok(happened) = sys::wait(&watches, timeout) else {
                break;
            };
            if happened[0] {
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
            if happened.get(3) == Some(&true) {
                tracing::error!("the supervisor is gone; the next install brings another");
                self.channel = None;
            }
            let total = self.counters.total();
            if !happened.contains(&true)
                && total == requests
                && let Some(settle) = settle.take()
            {
                thread::spawn(settle);
            }
            requests = total;
        }
    }

    /// Ends the mounts, upon a signal. Nobody is there to ask whether they are in use, so they go
    /// out of sight.
    fn end(&self) {
        let told = self
            .channel
            .as_ref()
            .is_some_and(|channel| channel.send(&FromServer::Stop, &[]).is_ok());
        if !told {
            let mounts = self.estate.trees.iter().map(|tree| &tree.message);
            for TreeMessage { mount, source, .. } in mounts {
                let helper = self.mount_helper.as_deref();
                let _ = kernel::unmount_served(mount, source, UnmountMode::Detach, helper);
            }
        }
    }

    /// Answers one request on the socket.
    fn answer(&self) {
        let Some((stream, request)) = control::accept(&self.estate.listener) else {
            return;
        };
        let answer = match request {
            Some(ControlRequest::Status) => ControlAnswer::Report(self.report()),
            Some(ControlRequest::HandOver) => {
                self.hand_over(stream);
                return;
            }
            _ => ControlAnswer::Failed("no such request".to_owned()),
        };
        control::answer(&stream, &answer);
    }

    /// Gives everything that this server has from its supervisor to the next one.
    fn hand_over(&self, stream: UnixStream) {
        let heir = Channel::from(OwnedFd::from(stream));
        let sent = heir
            .send(&ToServer::Layer, &[self.estate.layer.as_fd()])
            .and_then(|()| self.estate.send(&heir, Resent::Answered));
        if let Err(error) = sent {
            tracing::error!(%error, "the mounts could not be handed over");
        }
    }

    fn report(&self) -> ServerReport {
        let (table_hits, table_misses) = self.lower.packages().hits_and_misses();
        let named = self.counters.by_request().into_iter();
        let failures = self.lower.packages().failures().into_iter();
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
