//! Telling those who watch the tree of what a swap changed.
//!
//! The kernel raises events (`inotify(7)`) for what programs do, not for names that a file system
//! makes it forget. So a process of its own does something to each changed name that the server
//! acknowledges and does not carry out: it moves a name that is shown away (`IN_MOVED_FROM`), and
//! makes one that is gone (`IN_CREATE`). Whoever looks then asks the server, who says what is
//! there. The server knows these by [`PASSING`] and by the number of the process. What has that
//! name and is another's is refused, so that a server that takes over in the middle carries nothing
//! out.

use std::ffi::OsStr;
use std::io::{self, Write};
use std::os::fd::OwnedFd;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use rustix::fs::{Mode, OFlags};

use crate::fs::mount::ServerCommand;

/// The name that a shown name has for a moment, and the target of a name that is gone.
pub(in crate::fs) const PASSING: &[u8] = b".pacquet-passing";

/// Most names that watchers are told of after one swap.
pub(super) const NAMES_MAX: usize = 2000;

/// A name of which watchers shall be told.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Announcement {
    /// Its directory, from the root of the tree.
    pub(super) directory: String,
    /// The directory's node id.
    pub(super) node: u64,
    /// The name.
    pub(super) name: String,
    /// Whether it is there now.
    pub(super) is_shown: bool,
}

/// The numbers of the processes that announce names in a tree now.
#[derive(Debug, Default)]
pub struct Announcing(Mutex<Vec<u32>>);

impl Announcing {
    /// Whether the process `pid` is one of them.
    pub(in crate::fs) fn has(&self, pid: u32) -> bool {
        self.lock().contains(&pid)
    }

    fn lock(&self) -> MutexGuard<'_, Vec<u32>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What starts the process that announces names in a tree.
#[derive(Debug, Clone)]
pub(in crate::fs) struct Announcer {
    /// The walker.
    pub(in crate::fs) command: ServerCommand,
    /// Where the tree is mounted.
    pub(in crate::fs) mountpoint: PathBuf,
    /// Device number of the mount, in which alone anything may be done.
    pub(in crate::fs) device: (u32, u32),
    /// Where the tree's requests are answered it is looked up here.
    pub(in crate::fs) announcing: Arc<Announcing>,
}

impl Announcer {
    /// Announces names, the uppermost directories first, and waits until that is done.
    pub(super) fn announce(&self, names: &mut Vec<Announcement>) -> io::Result<()> {
        if names.is_empty() {
            return Ok(());
        }
        names.sort_by_key(|name| name.directory.bytes().filter(|byte| *byte == b'/').count());
        names.truncate(NAMES_MAX);
        let mut child = Command::new(&self.command.program)
            .args(&self.command.leading_args)
            .arg(&self.mountpoint)
            .current_dir("/")
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()?;
        let pid = child.id();
        self.announcing.lock().push(pid);
        let words = encode(self.device, names);
        let written = child
            .stdin
            .take()
            .map_or(Ok(()), |mut input| input.write_all(&words));
        let ended = child.wait();
        self.announcing.lock().retain(|known| *known != pid);
        ended?;
        written
    }
}

/// As the walker reads it.
fn encode(device: (u32, u32), names: &[Announcement]) -> Vec<u8> {
    let mut bytes = format!("v{}:{}\0", device.0, device.1).into_bytes();
    for name in names {
        let letter = if name.is_shown { 'm' } else { 'g' };
        let step = format!("d{}\0{letter}{}\0", name.directory, name.name);
        bytes.extend_from_slice(step.as_bytes());
    }
    bytes
}

/// The device number in a word of the walker's.
pub(in crate::fs) fn device(text: &str) -> Option<(u32, u32)> {
    let (major, minor) = text.split_once(':')?;
    Some((major.parse().ok()?, minor.parse().ok()?))
}

/// Moves a name that is shown away, in the mount with this device number alone.
pub(in crate::fs) fn pass(directory: &Path, name: &str, device: (u32, u32)) -> io::Result<()> {
    let directory = open(directory, device)?;
    let passing = OsStr::from_bytes(PASSING);
    Ok(rustix::fs::renameat(&directory, name, &directory, passing)?)
}

/// Makes a name that is gone, in the mount with this device number alone.
pub(in crate::fs) fn go(directory: &Path, name: &str, device: (u32, u32)) -> io::Result<()> {
    let directory = open(directory, device)?;
    let passing = OsStr::from_bytes(PASSING);
    Ok(rustix::fs::symlinkat(passing, &directory, name)?)
}

/// Another file system may be at the path by now, where all this would be carried out.
fn open(directory: &Path, (major, minor): (u32, u32)) -> io::Result<OwnedFd> {
    let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let directory = rustix::fs::open(directory, flags, Mode::empty())?;
    if rustix::fs::fstat(&directory)?.st_dev == rustix::fs::makedev(major, minor) {
        Ok(directory)
    } else {
        Err(io::ErrorKind::CrossesDevices.into())
    }
}
