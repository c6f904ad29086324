//! The server process: mounts its trees, answers the kernel in threads of their own, and waits in
//! its first thread for what ends it: a request on its socket, a signal, or the last unmount.

use std::ffi::OsString;
use std::io::{self, Read, Write};
use std::os::fd::AsFd;
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::thread;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use super::adapter::{Adapter, handshake};
use super::attributes::Owner;
use super::control::{
    ANSWER_TIMEOUT, ControlAnswer, ControlRequest, RunDirectory, ServedMount, ServerReport,
    ServerState, StopMode, process_start, read_line,
};
use super::counters::Counters;
use super::error::MountError;
use super::image::Image;
use super::kernel::{self, Access, UnmountMode};
use super::lower::Lower;
use super::mount::ServerCommand;
use super::mountinfo;
use super::package::{CacheLimits, PackageCache, PackageSource};
use super::upper::Start;
use super::vfs::Vfs;
use super::warm::{Warming, Warmth};
use crate::sys::fuse as sys;

/// Threads that answer the kernel, where nothing else is asked for.
pub const THREADS_DEFAULT: usize = 2;

/// A server is idle when no request has come for this long.
const IDLE: Duration = Duration::from_millis(500);

/// How often an unmount is tried while somebody uses the mount.
const BUSY_ATTEMPTS: u32 = 10;

const BUSY_PAUSE: Duration = Duration::from_millis(20);

/// What a server process is told.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ServeArguments {
    /// The saved project layer.
    pub layer: PathBuf,
    /// The store, which the caller opens.
    pub store: PathBuf,
    /// The project, for `status`.
    pub project: PathBuf,
    /// What to serve: trees of the layer, and where. The mountpoints are resolved, exist and are
    /// empty.
    pub mounts: Vec<(u32, PathBuf)>,
    /// Who may use the mounts.
    pub access: Access,
    /// Threads that answer the kernel, for each mount.
    pub threads: usize,
    /// Where sockets and state are.
    pub run_directory: PathBuf,
    /// Where `pacquet-mount-helper` was configured to be. An empty path is none.
    pub mount_helper: Option<PathBuf>,
}

impl ServeArguments {
    /// As arguments of a command.
    pub fn to_args(&self) -> Vec<OsString> {
        let access = match self.access {
            Access::Owner => "owner",
            Access::Everybody => "everybody",
        };
        let mut args: Vec<OsString> = vec![
            self.layer.clone().into(),
            self.store.clone().into(),
            self.project.clone().into(),
            self.run_directory.clone().into(),
            access.into(),
            self.threads.to_string().into(),
            self.mount_helper.clone().unwrap_or_default().into(),
        ];
        for (tree, mountpoint) in &self.mounts {
            args.push(tree.to_string().into());
            args.push(mountpoint.clone().into());
        }
        args
    }

    /// What [`Self::to_args`] made.
    ///
    /// # Errors
    /// When it is not that.
    pub fn from_args(args: impl IntoIterator<Item = OsString>) -> Result<Self, MountError> {
        let mut args = args.into_iter();
        let mut next = || args.next().ok_or(MountError::Arguments("one is missing"));
        let (layer, store, project) = (next()?.into(), next()?.into(), next()?.into());
        let run_directory = next()?.into();
        let access = match next()?.to_str() {
            Some("owner") => Access::Owner,
            Some("everybody") => Access::Everybody,
            _ => return Err(MountError::Arguments("no such access")),
        };
        let threads = number(next()?)? as usize;
        let mount_helper = Some(PathBuf::from(next()?)).filter(|path| path != Path::new(""));
        let mut mounts = Vec::new();
        while let Some(tree) = args.next() {
            let mountpoint = args.next().ok_or(MountError::Arguments("no mountpoint"))?;
            mounts.push((number(tree)?, mountpoint.into()));
        }
        if mounts.is_empty() || threads == 0 {
            return Err(MountError::Arguments("nothing to serve"));
        }
        Ok(Self {
            layer,
            store,
            project,
            mounts,
            access,
            threads,
            run_directory,
            mount_helper,
        })
    }
}

fn number(argument: OsString) -> Result<u32, MountError> {
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
    /// How mounts are warmed; `None` leaves them as they are.
    pub warming: Option<WarmingService>,
}

/// How the mounts of a server are warmed.
#[derive(Debug, Clone)]
pub struct WarmingService {
    /// The program of the walker.
    pub walker: ServerCommand,
    /// Where profiles are replayed from and recorded to; `None` does neither.
    pub profiles: Option<PathBuf>,
}

/// Mounts and serves until told to end or nothing is mounted any more. `ready` is called when the
/// mounts can be used.
///
/// # Errors
/// When a tree cannot be mounted; then none is.
pub fn serve(
    arguments: &ServeArguments,
    service: Service,
    ready: impl FnOnce(&ServerState),
) -> Result<(), MountError> {
    let signals = sys::end_signals().map_err(MountError::io("signalfd"))?;
    let descriptors = sys::raise_descriptor_limit().map_err(MountError::io("RLIMIT_NOFILE"))?;
    let run = RunDirectory::at(&arguments.run_directory)?;
    let image = Arc::new(Image::load(&arguments.layer)?);
    let layer_digest = image.digest_text();
    let limits = service.cache_limits.within(descriptors);
    let packages = Arc::new(PackageCache::new(service.packages, limits));
    let lower = Arc::new(Lower::new(image, packages, owner()));
    let counters = Arc::new(Counters::default());
    let (ended, ended_writer) = UnixStream::pair().map_err(MountError::io("socketpair"))?;
    let mut mounts = Mounts {
        standing: Vec::new(),
        warmths: Vec::new(),
        helper: arguments.mount_helper.clone(),
    };
    for (tree, mountpoint) in &arguments.mounts {
        if *tree >= lower.image().tree_count() {
            return Err(MountError::NoTree { tree: *tree });
        }
        let vfs = open_upper(&lower, *tree, mountpoint)?;
        let adapter = Adapter {
            vfs: Arc::new(vfs),
            root: *tree,
            counters: Arc::clone(&counters),
            touches: Arc::default(),
        };
        let writer = ended_writer
            .try_clone()
            .map_err(MountError::io("socketpair"))?;
        mounts.add(
            adapter,
            mountpoint,
            arguments,
            service.warming.as_ref(),
            writer,
        )?;
    }
    drop(ended_writer);
    let state = describe(arguments, layer_digest, mounts.standing.clone());
    let Some(first) = arguments.mounts.first() else {
        return Err(MountError::Arguments("nothing to serve"));
    };
    let socket_path = run.socket(&first.1);
    let _ = std::fs::remove_file(&socket_path);
    let socket = UnixListener::bind(&socket_path).map_err(MountError::io(&socket_path))?;
    state.save(&run.state(&first.1))?;
    ready(&state);
    let server = Server {
        lower,
        counters,
        state,
        run,
        ended,
    };
    server.wait(&mut mounts, socket, signals, service.settle);
    Ok(())
}

/// The file system of a tree, over what was written into the directory that it is mounted on.
fn open_upper(lower: &Arc<Lower>, tree: u32, mountpoint: &Path) -> Result<Vfs, MountError> {
    let io = MountError::io(mountpoint);
    let directory = std::fs::File::open(mountpoint).map_err(io)?;
    Vfs::new(Arc::clone(lower), tree, directory.into(), Start::Fresh).map_err(|source| {
        MountError::Upper {
            path: mountpoint.to_owned(),
            source,
        }
    })
}

fn owner() -> Owner {
    let (uid, gid) = sys::user_and_group();
    Owner { uid, gid }
}

fn describe(
    arguments: &ServeArguments,
    layer_digest: String,
    mounts: Vec<ServedMount>,
) -> ServerState {
    let pid = std::process::id();
    let now = SystemTime::now().duration_since(UNIX_EPOCH);
    ServerState {
        pid,
        process_start: process_start(pid).unwrap_or(0),
        version: env!("CARGO_PKG_VERSION").to_owned(),
        started_at_ms: now.map_or(0, |now| now.as_millis() as u64),
        project: arguments.project.clone(),
        store: arguments.store.clone(),
        layer_digest,
        access: match arguments.access {
            Access::Owner => "owner".to_owned(),
            Access::Everybody => "everybody".to_owned(),
        },
        mounts,
    }
}

/// The mounts that stand. What is dropped before its time is unmounted.
struct Mounts {
    standing: Vec<ServedMount>,
    warmths: Vec<Warmth>,
    /// Where the mount helper was configured to be.
    helper: Option<PathBuf>,
}

impl Mounts {
    fn add(
        &mut self,
        adapter: Adapter,
        mountpoint: &Path,
        arguments: &ServeArguments,
        warming: Option<&WarmingService>,
        ended: UnixStream,
    ) -> Result<(), MountError> {
        let tree = adapter.root;
        let device = kernel::mount(mountpoint, arguments.access, self.helper.as_deref())?;
        // From here on it must be unmounted, also when the next step fails.
        self.standing.push(ServedMount {
            mountpoint: mountpoint.to_owned(),
            tree,
            device: (0, 0),
        });
        let failed = |source| MountError::Mount {
            path: mountpoint.to_owned(),
            source,
        };
        let entry = mountinfo::find(mountpoint).map_err(failed)?;
        if let (Some(entry), Some(mount)) = (entry, self.standing.last_mut()) {
            mount.device = entry.device;
        }
        let warming = match warming {
            Some(service) => Some(Warming {
                walker: service.walker.clone(),
                vfs: Arc::clone(&adapter.vfs),
                root: tree,
                mountpoint: mountpoint.to_owned(),
                device: device.try_clone().map_err(failed)?,
                touches: Arc::clone(&adapter.touches),
                project: arguments.project.clone(),
                profiles: service.profiles.clone(),
            }),
            None => None,
        };
        let session = handshake(adapter, device, arguments.threads).map_err(failed)?;
        thread::Builder::new()
            .name("session".to_owned())
            .spawn(move || {
                if let Err(error) = session.run() {
                    tracing::error!(%error, "a session ended with an error");
                }
                // Its end is what wakes the first thread.
                drop(ended);
            })
            .map_err(failed)?;
        self.warmths.extend(warming.map(Warmth::start));
        Ok(())
    }

    /// Takes all mounts away, the last first. Returns the mountpoint that somebody uses, or the
    /// reason why it did not work; the mounts that stand then stay.
    fn unmount(&mut self, mode: UnmountMode) -> Result<(), (PathBuf, io::Error)> {
        for warmth in &mut self.warmths {
            warmth.stop_walking();
        }
        while let Some(mount) = self.standing.last() {
            // A project may have been moved since; the device has not.
            let entries = mountinfo::read().unwrap_or_default();
            let source = kernel::source_of(std::process::id());
            let entry = entries
                .iter()
                .rfind(|entry| entry.device == mount.device && entry.source == *source);
            if let Some(entry) = entry
                && let Err(error) =
                    unmount_patiently(&entry.mountpoint, mode, self.helper.as_deref())
            {
                return Err((entry.mountpoint.clone(), error));
            }
            self.standing.pop();
        }
        Ok(())
    }
}

/// Unmounts, and tries again for a moment while it is in use: a process that is just being started
/// holds what its parent had open until it runs its own program.
fn unmount_patiently(
    mountpoint: &Path,
    mode: UnmountMode,
    helper: Option<&Path>,
) -> io::Result<()> {
    let mut attempts = 1;
    loop {
        match kernel::unmount(mountpoint, mode, helper) {
            Err(error)
                if error.kind() == io::ErrorKind::ResourceBusy && attempts < BUSY_ATTEMPTS =>
            {
                attempts += 1;
                thread::sleep(BUSY_PAUSE);
            }
            result => return result,
        }
    }
}

impl Drop for Mounts {
    fn drop(&mut self) {
        let _ = self.unmount(UnmountMode::Detach);
    }
}

struct Server {
    lower: Arc<Lower>,
    counters: Arc<Counters>,
    state: ServerState,
    run: RunDirectory,
    ended: UnixStream,
}

impl Server {
    fn wait(
        &self,
        mounts: &mut Mounts,
        socket: UnixListener,
        mut signals: std::fs::File,
        settle: Box<dyn FnOnce() + Send>,
    ) {
        let mut settle = Some(settle);
        let mut requests = self.counters.total();
        let mut socket = Some(socket);
        loop {
            let listener = socket.as_ref().map_or(self.ended.as_fd(), AsFd::as_fd);
            let descriptors = [self.ended.as_fd(), signals.as_fd(), listener];
            let timeout = settle.is_some().then_some(IDLE);
            let Ok(readable) = sys::wait_readable(descriptors, timeout) else {
                break;
            };
            if readable[0] {
                break;
            }
            if readable[1] {
                let mut signal = [0; 128];
                let _ = signals.read(&mut signal);
                // Nobody is there to ask whether the mount is in use, so it goes out of sight.
                let _ = mounts.unmount(UnmountMode::Detach);
                break;
            }
            if readable[2] {
                let stopped = socket
                    .as_ref()
                    .and_then(|socket| socket.accept().ok())
                    .map(|(stream, _)| self.answer(mounts, stream));
                if stopped.flatten() == Some(StopMode::Lazy) {
                    // Another server may take over the names while this one serves the rest.
                    self.run.clean(&self.state);
                    socket = None;
                }
            }
            let total = self.counters.total();
            if readable == [false; 3]
                && total == requests
                && let Some(settle) = settle.take()
            {
                thread::spawn(settle);
            }
            requests = total;
        }
        self.run.clean(&self.state);
    }

    /// Answers one request on the socket. Returns how it stopped, where it did.
    fn answer(&self, mounts: &mut Mounts, stream: UnixStream) -> Option<StopMode> {
        let _ = stream.set_read_timeout(Some(ANSWER_TIMEOUT));
        let _ = stream.set_write_timeout(Some(ANSWER_TIMEOUT));
        let mut writer = stream.try_clone().ok()?;
        let request = ControlRequest::parse(&read_line(stream).ok()?);
        let (answer, stopped) = match request {
            Some(ControlRequest::Status) => (ControlAnswer::Report(self.report()), None),
            Some(ControlRequest::Stop(mode)) => stop(mounts, mode),
            None => (ControlAnswer::Failed("no such request".to_owned()), None),
        };
        let mut line = serde_json::to_vec(&answer).unwrap_or_default();
        line.push(b'\n');
        let _ = writer.write_all(&line);
        stopped
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

fn stop(mounts: &mut Mounts, mode: StopMode) -> (ControlAnswer, Option<StopMode>) {
    let unmounted = mounts.unmount(match mode {
        StopMode::Strict => UnmountMode::Strict,
        StopMode::Lazy => UnmountMode::Detach,
    });
    match unmounted {
        Ok(()) => (ControlAnswer::Stopped, Some(mode)),
        Err((mountpoint, error)) if error.kind() == io::ErrorKind::ResourceBusy => {
            (ControlAnswer::Busy(mountpoint), None)
        }
        Err((_, error)) => (ControlAnswer::Failed(error.to_string()), None),
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
            layer: "/a b/layer".into(),
            store: OsString::from_vec(b"/\xff".to_vec()).into(),
            project: "/p".into(),
            mounts: vec![
                (0, "/p/node_modules".into()),
                (3, "/p/a/node_modules".into()),
            ],
            access: Access::Everybody,
            threads: 3,
            run_directory: "/run/x".into(),
            mount_helper: Some("/lib exec/helper".into()),
        }
    }

    #[test]
    fn arguments_come_back() {
        let mut arguments = arguments();
        for helper in [arguments.mount_helper.clone(), None] {
            arguments.mount_helper = helper;
            assert_eq!(
                ServeArguments::from_args(arguments.to_args()).unwrap(),
                arguments
            );
        }
    }

    #[test]
    fn arguments_that_are_none_are_refused() {
        let whole = arguments().to_args();
        for length in [0, 1, 5, 6, 7, 8, 10] {
            let cut = whole[..length].to_vec();
            assert!(ServeArguments::from_args(cut).is_err(), "{length}");
        }
        for (place, value) in [(4, "all"), (5, "0"), (5, "x"), (7, "-1")] {
            let mut wrong = whole.clone();
            wrong[place] = value.into();
            assert!(ServeArguments::from_args(wrong).is_err(), "{value}");
        }
    }
}
