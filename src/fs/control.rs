//! The run directory: what servers there are, and how to speak with them.
//!
//! For each server it holds `<name>.json`, which says what it serves, `<name>.sock`, on which it
//! answers one line with one line, `<name>.supervisor`, on which its supervisor does, and
//! `<name>.log`. The name is made of the first mountpoint's path. The directory is entered by
//! nobody but its owner.
//!
//! A server is asked for `status`, its supervisor for `status`, `stop <mode>` and `restart`;
//! answers are JSON.

use std::fs::{self, DirBuilder, File};
use std::io::{self, BufRead, BufReader, Read, Write};
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{DirBuilderExt, MetadataExt};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::thread;
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use super::error::MountError;
use super::mountinfo::MountEntry;
use super::supervisor::protocol;
use crate::name::hexadecimal;
use crate::sys::channel;
use crate::sys::fuse as sys;

/// How long a server may take to answer before it is called hung, unless the machine is busy.
pub const ANSWER_TIMEOUT: Duration = Duration::from_secs(2);

/// How often it is looked whether a process has ended.
const END_PAUSE: Duration = Duration::from_millis(1);

/// How long somebody who has connected may take to say what he wants, and to take the answer.
const ASK_TIMEOUT: Duration = Duration::from_millis(500);

/// How long a server may take to unmount.
pub const STOP_TIMEOUT: Duration = Duration::from_secs(10);

/// Longest request.
const REQUEST_BYTES_MAX: usize = 64;

/// Longest line that is read from a socket.
const LINE_BYTES_MAX: u64 = 1 << 20;

/// Longest state file that is read.
const STATE_BYTES_MAX: u64 = 1 << 20;

/// Longest path of a socket: `sun_path` of unix(7) without its end.
const SOCKET_PATH_BYTES_MAX: usize = 107;

/// The longest name of a socket below `$XDG_RUNTIME_DIR`.
const SOCKET_NAME_BYTES: usize = "/pacquet/0123456789abcdef01234567.supervisor".len();

/// The directory of sockets and state of one user.
#[derive(Debug, Clone)]
pub struct RunDirectory {
    path: PathBuf,
}

/// Whether sockets of the user `uid` can be below this directory.
fn is_runtime_directory(path: &Path, uid: u32) -> bool {
    let is_own = |metadata: fs::Metadata| metadata.is_dir() && metadata.uid() == uid;
    path.is_absolute()
        && path.as_os_str().len() + SOCKET_NAME_BYTES <= SOCKET_PATH_BYTES_MAX
        && fs::metadata(path).is_ok_and(is_own)
}

impl RunDirectory {
    /// The user's: `$XDG_RUNTIME_DIR/pacquet`, or `/tmp/pacquet-<uid>` where that is not set or
    /// cannot be used: it is somebody else's (`su`, `sudo -E`), or too long for sockets.
    ///
    /// # Errors
    /// When it cannot be made, or others can enter it.
    pub fn of_user() -> Result<Self, MountError> {
        let (uid, _) = sys::user_and_group();
        let runtime = std::env::var_os("XDG_RUNTIME_DIR").map(PathBuf::from);
        match runtime.filter(|path| is_runtime_directory(path, uid)) {
            Some(runtime) => Self::at(&runtime.join("pacquet")),
            None => Self::at(Path::new(&format!("/tmp/pacquet-{uid}"))),
        }
    }

    /// The run directory at `path`, which is made when it is not there.
    ///
    /// # Errors
    /// When it cannot be made, is a symlink, belongs to somebody else or others can enter it.
    pub fn at(path: &Path) -> Result<Self, MountError> {
        let (uid, _) = sys::user_and_group();
        match DirBuilder::new().mode(0o700).create(path) {
            Ok(()) => {}
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
            Err(error) => return Err(MountError::io(path)(error)),
        }
        let metadata = fs::symlink_metadata(path).map_err(MountError::io(path))?;
        let private =
            metadata.is_dir() && metadata.uid() == uid && metadata.mode().trailing_zeros() >= 6;
        if !private {
            return Err(MountError::RunDirectory {
                path: path.to_owned(),
            });
        }
        Ok(Self {
            path: path.to_owned(),
        })
    }

    /// Its path.
    pub fn path(&self) -> &Path {
        &self.path
    }

    fn file(&self, mountpoint: &Path, ending: &str) -> PathBuf {
        let digest = Sha256::digest(mountpoint.as_os_str().as_bytes());
        let name = hexadecimal(&digest[..12]);
        self.path.join(format!("{name}.{ending}"))
    }

    /// Where the server of `mountpoint` says what it serves.
    pub fn state(&self, mountpoint: &Path) -> PathBuf {
        self.file(mountpoint, "json")
    }

    /// Where the server of `mountpoint` listens.
    pub fn socket(&self, mountpoint: &Path) -> PathBuf {
        self.file(mountpoint, "sock")
    }

    /// Where the supervisor of the server of `mountpoint` listens.
    pub fn supervisor_socket(&self, mountpoint: &Path) -> PathBuf {
        self.file(mountpoint, "supervisor")
    }

    /// Where the server of `mountpoint` writes its log.
    pub fn log(&self, mountpoint: &Path) -> PathBuf {
        self.file(mountpoint, "log")
    }

    /// Waits until no other process mounts or unmounts at `mountpoint`, and keeps others waiting
    /// until the lock is dropped.
    ///
    /// # Errors
    /// When the lock file cannot be made.
    pub fn lock(&self, mountpoint: &Path) -> Result<MountLock, MountError> {
        let path = self.file(mountpoint, "lock");
        loop {
            let file = File::create(&path).map_err(MountError::io(&path))?;
            file.lock().map_err(MountError::io(&path))?;
            let own = file.metadata().map_err(MountError::io(&path))?;
            // Who had the lock has removed the file, and somebody may have made another one.
            let is_current = fs::metadata(&path)
                .is_ok_and(|named| (named.dev(), named.ino()) == (own.dev(), own.ino()));
            if is_current {
                return Ok(MountLock { path, file });
            }
        }
    }

    /// What all servers say that they serve. Damaged files are left out.
    ///
    /// # Errors
    /// When the directory cannot be read.
    pub fn states(&self) -> Result<Vec<ServerState>, MountError> {
        let entries = fs::read_dir(&self.path).map_err(MountError::io(&self.path))?;
        let mut states: Vec<ServerState> = entries
            .filter_map(|entry| {
                let path = entry.ok()?.path();
                (path.extension()? == "json").then(|| read_state(&path))?
            })
            .collect();
        states.sort_by_key(|state| state.started_at_ms);
        Ok(states)
    }
}

/// Keeps other processes from mounting and unmounting somewhere until it is dropped.
#[derive(Debug)]
pub struct MountLock {
    path: PathBuf,
    file: File,
}

impl MountLock {
    /// A standard input for a child, which keeps others waiting too as long as it has that.
    ///
    /// # Errors
    /// When too many files are open.
    pub fn share(&self) -> io::Result<Stdio> {
        self.file.try_clone().map(Stdio::from)
    }
}

impl Drop for MountLock {
    /// Removes the file while the lock is still held, or one would be left for each mountpoint that
    /// there ever was.
    fn drop(&mut self) {
        let _ = fs::remove_file(&self.path);
    }
}

pub(super) fn read_state(path: &Path) -> Option<ServerState> {
    let mut text = Vec::new();
    let file = File::open(path).ok()?;
    file.take(STATE_BYTES_MAX).read_to_end(&mut text).ok()?;
    serde_json::from_slice(&text).ok()
}

/// A tree that a server serves.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ServedMount {
    /// Where.
    pub mountpoint: PathBuf,
    /// Which tree of the project layer.
    pub tree: u32,
    /// The mount's device, `major:minor`.
    pub device: (u32, u32),
}

/// A process, named beyond doubt: ids are given out again.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct ProcessName {
    /// Its id.
    pub pid: u32,
    /// When it began, in the kernel's clock ticks since boot.
    pub start: u64,
}

impl ProcessName {
    /// The name of the process with this id.
    pub fn of(pid: u32) -> Self {
        Self {
            pid,
            start: process_start(pid).unwrap_or(0),
        }
    }

    /// Whether it is still there.
    pub fn is_alive(self) -> bool {
        process_start(self.pid) == Some(self.start)
    }

    /// Lets it go on where somebody has stopped it (kill(2), `SIGCONT`).
    pub(super) fn go_on(self) {
        let pid = i32::try_from(self.pid).ok().and_then(Pid::from_raw);
        if let Some(pid) = pid.filter(|_| self.is_alive()) {
            // One of another user is not ours to wake.
            let _ = kill_process(pid, Signal::CONT);
        }
    }

    /// Waits until it is not there any more, for at most `timeout`.
    pub(super) fn wait_end(self, timeout: Duration) {
        let end = Instant::now() + timeout;
        while self.is_alive() && Instant::now() < end {
            thread::sleep(END_PAUSE);
        }
    }
}

/// What a supervisor says of itself and its server.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ServerState {
    /// The path after which its files in the run directory are named. Empty in what a program
    /// before this one has written, which named them after the first mountpoint.
    #[serde(default)]
    pub named_after: PathBuf,
    /// The server process.
    pub server: ProcessName,
    /// Its supervisor.
    pub supervisor: ProcessName,
    /// How many servers this one has replaced.
    pub restarts: u64,
    /// What is wrong with the servers, where they cannot begin or crash again and again.
    pub trouble: Option<Trouble>,
    /// What the mount table names as the source of the mounts.
    pub source: String,
    /// The version of this program.
    pub version: String,
    /// When it began, in milliseconds since 1970.
    pub started_at_ms: u64,
    /// The project.
    pub project: PathBuf,
    /// The store.
    pub store: PathBuf,
    /// SHA-256 of the project layer.
    pub layer_digest: String,
    /// Who may use the mounts: `owner` or `everybody`.
    pub access: String,
    /// What it serves.
    pub mounts: Vec<ServedMount>,
}

impl ServerState {
    /// Whether somebody is there to serve: the server, or the supervisor, who replaces it.
    pub fn is_alive(&self) -> bool {
        self.supervisor.is_alive() || self.server.is_alive()
    }

    /// The path after which its files in the run directory are named.
    pub fn name(&self) -> &Path {
        match self.mounts.first() {
            Some(first) if self.named_after.as_os_str().is_empty() => &first.mountpoint,
            _ => &self.named_after,
        }
    }

    /// Whether it serves this mount.
    pub fn serves(&self, entry: &MountEntry) -> bool {
        entry.source == *self.source && self.mounts.iter().any(|mount| mount.device == entry.device)
    }

    /// The project of a mount that it serves, where it is now: projects are moved while they are
    /// served.
    pub fn project_of<'a>(&'a self, entry: &'a MountEntry) -> &'a Path {
        let mut mounts = self.mounts.iter();
        let mount = mounts.find(|mount| mount.device == entry.device);
        let way = mount.and_then(|mount| mount.mountpoint.strip_prefix(&self.project).ok());
        let moved = way
            .filter(|way| entry.mountpoint.ends_with(way))
            .and_then(|way| {
                let mut above = entry.mountpoint.ancestors();
                above.nth(way.components().count())
            });
        moved.unwrap_or(&self.project)
    }
}

/// When process `pid` began (proc(5), field 22 of `stat`); `None` where there is no such process
/// or it has ended and nobody has waited for it.
pub fn process_start(pid: u32) -> Option<u64> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    // The name, in parentheses, may contain anything.
    let (_, rest) = stat.rsplit_once(')')?;
    let mut fields = rest.split_ascii_whitespace();
    let state = fields.next()?;
    if state == "Z" || state == "X" {
        return None;
    }
    fields.nth(18)?.parse().ok()
}

/// What a running server says on its socket.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ServerReport {
    /// Requests by kind.
    pub requests: Vec<(String, u64)>,
    /// Bytes that reads were answered with.
    pub bytes_read: u64,
    /// How often a package's table was there already.
    pub table_hits: u64,
    /// How often it had to be read.
    pub table_misses: u64,
    /// Requests that failed because of the store or of a bug.
    pub failures: u64,
    /// Packs that could not be read, with the reason.
    pub unreadable_packs: Vec<(String, String)>,
    /// Why nothing can be written into a tree, where that is so.
    pub read_only: Option<String>,
    /// Whether there was no room for what was last written.
    #[serde(default)]
    pub is_full: bool,
    /// Trees of which everything was removed, or what says what is installed in them.
    #[serde(default)]
    pub emptied: Vec<u32>,
    /// Memory that is resident, in bytes.
    pub resident_bytes: u64,
}

impl ServerReport {
    /// All requests together.
    pub fn total_requests(&self) -> u64 {
        self.requests.iter().map(|(_, count)| count).sum()
    }
}

/// What another layer changed.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct SwapReport {
    /// How many names came, went, or stand for something else.
    pub changed_names: u64,
    /// Where what was written into packages that are gone was moved, below the mountpoint.
    pub discarded: Vec<PathBuf>,
    /// Why some of what was written could not be moved there.
    pub problem: Option<String>,
}

/// How a server shall stop.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum StopMode {
    /// Not while somebody uses a mount.
    Strict,
    /// Take the mounts out of sight and end when nobody uses them any more.
    Lazy,
    /// Take the mounts out of sight and fail whatever uses them.
    Force,
}

impl StopMode {
    fn word(self) -> &'static str {
        match self {
            Self::Strict => "strict",
            Self::Lazy => "lazy",
            Self::Force => "force",
        }
    }
}

/// A server that cannot be replaced at once.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Trouble {
    /// What happened last.
    pub message: String,
    /// How often it happened in a row.
    pub times: u32,
}

/// A request to a server or a supervisor.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ControlRequest {
    /// Report.
    Status,
    /// To a supervisor: unmount and end.
    Stop(StopMode),
    /// To a supervisor: replace the server.
    Restart,
    /// To a server whose supervisor is dead: give everything to the one that asks.
    HandOver,
    /// To a server: serve another layer, whose descriptor follows, and where there are places at
    /// which nothing that was written counts any more, that of a file that names them.
    Swap,
    /// To a supervisor: become the program whose descriptor follows, which speaks this version of
    /// the protocol, and replace the server.
    Upgrade(u32),
}

impl ControlRequest {
    /// The line that is sent, without its end.
    pub fn line(self) -> String {
        match self {
            Self::Status => "status".to_owned(),
            Self::Stop(mode) => format!("stop {}", mode.word()),
            Self::Restart => "restart".to_owned(),
            Self::HandOver => "hand-over".to_owned(),
            Self::Swap => "swap".to_owned(),
            Self::Upgrade(version) => format!("upgrade {version}"),
        }
    }

    /// Reads a line.
    pub fn parse(line: &str) -> Option<Self> {
        [
            Self::Status,
            Self::Stop(StopMode::Strict),
            Self::Stop(StopMode::Lazy),
            Self::Stop(StopMode::Force),
            Self::Restart,
            Self::HandOver,
            Self::Swap,
            Self::Upgrade(protocol::VERSION),
        ]
        .into_iter()
        .find(|request| request.line() == line)
    }
}

/// An answer.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ControlAnswer {
    /// Of a server to `status`.
    Report(ServerReport),
    /// Of a supervisor to `status`: it is there.
    Watching,
    /// To `restart`: another server serves.
    Restarted,
    /// To `swap`: the other layer is served.
    Swapped(SwapReport),
    /// To `stop`: the mounts are gone.
    Stopped,
    /// To `stop`: somebody uses this mountpoint.
    Busy(PathBuf),
    /// It could not be done.
    Failed(String),
}

/// Asks the server or supervisor that listens at `socket`.
///
/// # Errors
/// When nobody listens (`ConnectionRefused`, `NotFound`), or the answer takes longer than
/// `timeout` (`WouldBlock`, `TimedOut`).
pub fn ask(socket: &Path, request: ControlRequest, timeout: Duration) -> io::Result<ControlAnswer> {
    let line = read_line(self::request(socket, request, timeout)?)?;
    serde_json::from_str(&line).map_err(io::Error::from)
}

/// Asks the server or supervisor that listens at `socket`, and sends it descriptors.
///
/// # Errors
/// As [`ask`].
pub(super) fn ask_with(
    socket: &Path,
    request: ControlRequest,
    descriptors: &[BorrowedFd<'_>],
    timeout: Duration,
) -> io::Result<ControlAnswer> {
    let stream = self::request(socket, request, timeout)?;
    channel::send(stream.as_fd(), b"\n", descriptors)?;
    serde_json::from_str(&read_line(stream)?).map_err(io::Error::from)
}

/// Sends a request to whoever listens at `socket`. The answer comes over what is returned.
pub(super) fn request(
    socket: &Path,
    request: ControlRequest,
    timeout: Duration,
) -> io::Result<UnixStream> {
    let mut stream = UnixStream::connect(socket)?;
    stream.set_read_timeout(Some(timeout))?;
    stream.set_write_timeout(Some(timeout))?;
    stream.write_all(format!("{}\n", request.line()).as_bytes())?;
    Ok(stream)
}

/// Sends an answer. Whoever asked may be gone.
pub(super) fn answer(mut stream: &UnixStream, answer: &ControlAnswer) {
    let mut line = serde_json::to_vec(answer).unwrap_or_default();
    line.push(b'\n');
    let _ = stream.write_all(&line);
}

/// Accepts a connection and reads what it asks, without waiting for long.
pub(super) fn accept(listener: &UnixListener) -> Option<(UnixStream, Option<ControlRequest>)> {
    let (stream, _) = listener.accept().ok()?;
    stream.set_read_timeout(Some(ASK_TIMEOUT)).ok()?;
    stream.set_write_timeout(Some(ASK_TIMEOUT)).ok()?;
    let line = read_request(&stream).ok()?;
    Some((stream, ControlRequest::parse(&line)))
}

/// Reads one line of bounded length.
///
/// # Errors
/// When there is none.
pub fn read_line(stream: UnixStream) -> io::Result<String> {
    let mut line = String::new();
    BufReader::new(stream.take(LINE_BYTES_MAX)).read_line(&mut line)?;
    if line.ends_with('\n') {
        line.pop();
        Ok(line)
    } else {
        Err(io::ErrorKind::UnexpectedEof.into())
    }
}

/// Reads a request, and not a byte more: a descriptor may follow.
fn read_request(mut stream: &UnixStream) -> io::Result<String> {
    let mut line = Vec::new();
    let mut byte = [0];
    while line.len() < REQUEST_BYTES_MAX {
        stream.read_exact(&mut byte)?;
        if byte == *b"\n" {
            return String::from_utf8(line).map_err(io::Error::other);
        }
        line.extend_from_slice(&byte);
    }
    Err(io::ErrorKind::InvalidData.into())
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;
    use std::sync::atomic::{AtomicU32, Ordering};

    use super::*;

    #[test]
    fn a_runtime_directory_of_somebody_else_or_too_long_for_sockets_is_not_used() {
        let (uid, _) = sys::user_and_group();
        let parent = tempfile::tempdir().unwrap();
        assert!(is_runtime_directory(parent.path(), uid));
        assert!(!is_runtime_directory(parent.path(), uid + 1));
        assert!(!is_runtime_directory(Path::new("run"), uid));
        assert!(!is_runtime_directory(&parent.path().join("absent"), uid));
        let room = SOCKET_PATH_BYTES_MAX - SOCKET_NAME_BYTES - parent.path().as_os_str().len();
        for (bytes, is_used) in [(room - 1, true), (room, false)] {
            let path = parent.path().join("r".repeat(bytes));
            fs::create_dir(&path).unwrap();
            assert_eq!(is_runtime_directory(&path, uid), is_used, "{bytes}");
            let run = RunDirectory {
                path: path.join("pacquet"),
            };
            let socket = run.supervisor_socket(Path::new("/project/node_modules"));
            assert_eq!(socket.as_os_str().len() <= SOCKET_PATH_BYTES_MAX, is_used);
        }
    }

    #[test]
    fn a_run_directory_that_others_enter_is_refused() {
        let parent = tempfile::tempdir().unwrap();
        let path = parent.path().join("run");
        assert!(RunDirectory::at(&path).is_ok());
        assert!(RunDirectory::at(&path).is_ok());
        for mode in [0o777, 0o710, 0o701, 0o704] {
            fs::set_permissions(&path, fs::Permissions::from_mode(mode)).unwrap();
            assert!(matches!(
                RunDirectory::at(&path),
                Err(MountError::RunDirectory { .. })
            ));
        }
        let link = parent.path().join("link");
        std::os::unix::fs::symlink(parent.path(), &link).unwrap();
        assert!(RunDirectory::at(&link).is_err());
        let file = parent.path().join("file");
        fs::write(&file, "").unwrap();
        assert!(RunDirectory::at(&file).is_err());
    }

    #[test]
    fn one_at_a_time_has_the_lock_and_nothing_is_left_of_it() {
        let parent = tempfile::tempdir().unwrap();
        let run = RunDirectory::at(&parent.path().join("run")).unwrap();
        let holders = AtomicU32::new(0);
        thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(|| {
                    for _ in 0..100 {
                        let lock = run.lock(Path::new("/project/node_modules")).unwrap();
                        assert_eq!(holders.fetch_add(1, Ordering::SeqCst), 0);
                        thread::yield_now();
                        assert_eq!(holders.fetch_sub(1, Ordering::SeqCst), 1);
                        drop(lock);
                    }
                });
            }
        });
        assert_eq!(fs::read_dir(run.path()).unwrap().count(), 0);
    }

    #[test]
    fn requests_come_back_and_others_are_none() {
        for request in [
            ControlRequest::Status,
            ControlRequest::Stop(StopMode::Lazy),
            ControlRequest::Stop(StopMode::Strict),
            ControlRequest::Stop(StopMode::Force),
            ControlRequest::Restart,
            ControlRequest::HandOver,
            ControlRequest::Swap,
            ControlRequest::Upgrade(protocol::VERSION),
        ] {
            assert_eq!(ControlRequest::parse(&request.line()), Some(request));
        }
        for line in [
            "upgrade 0",
            "",
            "stop",
            "stop now",
            "STATUS",
            "status ",
            "status\n",
        ] {
            assert_eq!(ControlRequest::parse(line), None);
        }
    }

    #[test]
    fn a_process_is_named_by_its_start() {
        assert!(process_start(std::process::id()).is_some());
        assert_eq!(process_start(u32::MAX), None);
    }

    #[test]
    fn a_server_that_does_not_answer_is_given_up() {
        let directory = tempfile::tempdir().unwrap();
        let socket = directory.path().join("socket");
        let listener = UnixListener::bind(&socket).unwrap();
        let error = ask(&socket, ControlRequest::Status, Duration::from_millis(20)).unwrap_err();
        assert!(matches!(
            error.kind(),
            io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut
        ));
        drop(listener);
        let error = ask(&socket, ControlRequest::Status, ANSWER_TIMEOUT).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::ConnectionRefused);
    }

    #[test]
    fn damaged_states_are_left_out() {
        let parent = tempfile::tempdir().unwrap();
        let run = RunDirectory::at(&parent.path().join("run")).unwrap();
        fs::write(run.path().join("a.json"), "{").unwrap();
        fs::write(run.path().join("b.json"), "[1]").unwrap();
        fs::write(run.path().join("c.sock"), "").unwrap();
        assert_eq!(run.states().unwrap(), []);
    }
}
