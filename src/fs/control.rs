//! The run directory: what servers there are, and how to speak with them.
//!
//! For each server it holds `<name>.json`, which says what it serves, `<name>.sock`, on which it
//! answers one line with one line, and `<name>.log`. The name is made of the first mountpoint's
//! path. The directory is entered by nobody but its owner.
//!
//! Requests are `status` and `stop <mode>`; answers are JSON.

use std::fs::{self, DirBuilder, File};
use std::io::{self, BufRead, BufReader, Read, Write};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{DirBuilderExt, MetadataExt};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use super::error::MountError;
use super::kernel;
use super::mountinfo::MountEntry;
use crate::sys::fuse as sys;

/// How long a server may take to answer before it is called hung.
pub const ANSWER_TIMEOUT: Duration = Duration::from_secs(2);

/// How long a server may take to unmount.
pub const STOP_TIMEOUT: Duration = Duration::from_secs(10);

/// Longest line that is read from a socket.
const LINE_BYTES_MAX: u64 = 1 << 20;

/// Longest state file that is read.
const STATE_BYTES_MAX: u64 = 1 << 20;

/// The directory of sockets and state of one user.
#[derive(Debug, Clone)]
pub struct RunDirectory {
    path: PathBuf,
}

impl RunDirectory {
    /// The user's: `$XDG_RUNTIME_DIR/pacquet`, or `/tmp/pacquet-<uid>` where that is not set.
    ///
    /// # Errors
    /// When it cannot be made, or others can enter it.
    pub fn of_user() -> Result<Self, MountError> {
        let (uid, _) = sys::user_and_group();
        let runtime = std::env::var_os("XDG_RUNTIME_DIR").map(PathBuf::from);
        match runtime.filter(|path| path.is_absolute() && path.is_dir()) {
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
        let name: String = digest[..12]
            .iter()
            .map(|byte| format!("{byte:02x}"))
            .collect();
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

    /// Where the server of `mountpoint` writes its log.
    pub fn log(&self, mountpoint: &Path) -> PathBuf {
        self.file(mountpoint, "log")
    }

    /// Waits until no other process mounts or unmounts at `mountpoint`, and keeps others waiting
    /// while the returned file is open.
    ///
    /// # Errors
    /// When the lock file cannot be made.
    pub fn lock(&self, mountpoint: &Path) -> Result<File, MountError> {
        let path = self.file(mountpoint, "lock");
        let file = File::create(&path).map_err(MountError::io(&path))?;
        file.lock().map_err(MountError::io(&path))?;
        Ok(file)
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

    /// Removes what a server of `pid` has left here.
    pub fn clean(&self, state: &ServerState) {
        let Some(first) = state.mounts.first() else {
            return;
        };
        let path = self.state(&first.mountpoint);
        if read_state(&path).is_some_and(|found| found.pid == state.pid) {
            let _ = fs::remove_file(self.socket(&first.mountpoint));
            let _ = fs::remove_file(path);
        }
    }
}

fn read_state(path: &Path) -> Option<ServerState> {
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

/// What a server says of itself when it begins.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ServerState {
    /// Its process.
    pub pid: u32,
    /// When the process began, in the kernel's clock ticks since boot: with the id, it names one
    /// process.
    pub process_start: u64,
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
    /// Writes the state where readers see all of it or nothing.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn save(&self, path: &Path) -> Result<(), MountError> {
        let failed = MountError::io(path);
        let text = serde_json::to_vec(self).map_err(|error| MountError::Io {
            path: path.to_owned(),
            source: error.into(),
        })?;
        let temporary = path.with_extension(format!("{}.tmp", self.pid));
        fs::write(&temporary, text)
            .and_then(|()| fs::rename(&temporary, path))
            .map_err(failed)
    }

    /// Whether the process is still there.
    pub fn is_alive(&self) -> bool {
        process_start(self.pid) == Some(self.process_start)
    }

    /// Whether it serves this mount.
    pub fn serves(&self, entry: &MountEntry) -> bool {
        entry.source == *kernel::source_of(self.pid)
            && self.mounts.iter().any(|mount| mount.device == entry.device)
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
    /// Memory that is resident, in bytes.
    pub resident_bytes: u64,
}

impl ServerReport {
    /// All requests together.
    pub fn total_requests(&self) -> u64 {
        self.requests.iter().map(|(_, count)| count).sum()
    }
}

/// How a server shall stop.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum StopMode {
    /// Not while somebody uses a mount.
    Strict,
    /// Take the mounts out of sight and end when nobody uses them any more.
    Lazy,
}

impl StopMode {
    fn word(self) -> &'static str {
        match self {
            Self::Strict => "strict",
            Self::Lazy => "lazy",
        }
    }
}

/// A request to a server.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ControlRequest {
    /// Report.
    Status,
    /// Unmount and end.
    Stop(StopMode),
}

impl ControlRequest {
    /// The line that is sent, without its end.
    pub fn line(self) -> String {
        match self {
            Self::Status => "status".to_owned(),
            Self::Stop(mode) => format!("stop {}", mode.word()),
        }
    }

    /// Reads a line.
    pub fn parse(line: &str) -> Option<Self> {
        [
            Self::Status,
            Self::Stop(StopMode::Strict),
            Self::Stop(StopMode::Lazy),
        ]
        .into_iter()
        .find(|request| request.line() == line)
    }
}

/// A server's answer.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ControlAnswer {
    /// To `status`.
    Report(ServerReport),
    /// To `stop`: the mounts are gone.
    Stopped,
    /// To `stop`: somebody uses this mountpoint.
    Busy(PathBuf),
    /// It could not be done.
    Failed(String),
}

/// Asks the server that listens at `socket`.
///
/// # Errors
/// When nobody listens (`ConnectionRefused`, `NotFound`), or the answer takes longer than
/// `timeout` (`WouldBlock`, `TimedOut`).
pub fn ask(socket: &Path, request: ControlRequest, timeout: Duration) -> io::Result<ControlAnswer> {
    let mut stream = UnixStream::connect(socket)?;
    stream.set_read_timeout(Some(timeout))?;
    stream.set_write_timeout(Some(timeout))?;
    stream.write_all(format!("{}\n", request.line()).as_bytes())?;
    let line = read_line(stream)?;
    serde_json::from_str(&line).map_err(io::Error::from)
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

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

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
    fn requests_come_back_and_others_are_none() {
        for request in [
            ControlRequest::Status,
            ControlRequest::Stop(StopMode::Lazy),
            ControlRequest::Stop(StopMode::Strict),
        ] {
            assert_eq!(ControlRequest::parse(&request.line()), Some(request));
        }
        for line in ["", "stop", "stop now", "STATUS", "status ", "status\n"] {
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
        let listener = std::os::unix::net::UnixListener::bind(&socket).unwrap();
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
