//! Telling those who watch the tree of what a swap changed.
//!
//! The kernel raises events (`inotify(7)`) for what programs do, not for names that a file system
//! makes it forget. So a process of its own does to each changed name what an install would do,
//! which the server acknowledges and does not carry out: it moves away what is gone
//! (`IN_MOVED_FROM`), makes what has come (`IN_CREATE`), and both of what is another now. It moves
//! to a directory that it alone is shown, so that nothing arrives where somebody watches. For that
//! the name has to be there, or not, as it was before: until its step is done the server says so to
//! that process alone. Where the kernel has asked for somebody else already, the process does the
//! other thing, as any event is better than none. The server knows these requests by [`PASSING`]
//! and by the number of the process. What has that name and is another's is refused, so that a
//! server that takes over in the middle carries nothing out.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::ffi::OsStr;
use std::io::{self, Write};
use std::ops::ControlFlow;
use std::os::fd::OwnedFd;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use rustix::fs::{Mode, OFlags};
use rustix::io::Errno;

use crate::fs::attributes::Kind;
use crate::fs::lower::{DOTS, Lower};
use crate::fs::mount::ServerCommand;
use crate::fs::node::Node;

/// The directory to which names are moved, in the root of the tree, and the target of a name that
/// is made.
pub(in crate::fs) const PASSING: &[u8] = b".pacquet-passing";

/// Most names that watchers are told of after one swap.
const NAMES_MAX: usize = 2000;

/// A name of which watchers shall be told.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Announcement {
    /// Its directory, from the root of the tree.
    pub(super) directory: String,
    /// The directory's node id.
    pub(super) node: u64,
    /// The name.
    pub(super) name: String,
    /// What was there before.
    pub(super) before: Option<Node>,
    /// Whether it is there now.
    pub(super) is_shown: bool,
}

/// The names of which watchers are told, in the order in which they are: those near the root first,
/// and before a directory that is gone what was in it in `lower`, as who removes it would begin
/// below, as far as there is room.
pub(super) fn in_order(
    mut names: Vec<Announcement>,
    lower: &Lower,
    tree: u32,
) -> Vec<Announcement> {
    names.sort_by_key(|name| name.directory.bytes().filter(|byte| *byte == b'/').count());
    names.truncate(NAMES_MAX);
    let mut room = NAMES_MAX - names.len();
    let mut ordered = Vec::new();
    for name in names {
        let below = name.below(lower, tree, room);
        room -= below.len();
        ordered.extend(below);
        ordered.push(name);
    }
    ordered
}

impl Announcement {
    /// At most `most` names of what was in it, where it is a directory that is gone; what is in a
    /// directory comes before that.
    fn below(&self, lower: &Lower, tree: u32, most: usize) -> Vec<Self> {
        let mut found: Vec<Self> = Vec::new();
        let gone = self.before.filter(|_| !self.is_shown);
        let mut queue: Vec<(String, Node)> =
            gone.map(|node| (self.path(), node)).into_iter().collect();
        while let Some((path, directory)) = queue.pop() {
            // What cannot be read has nothing to tell of, and what is no directory neither.
            let _ = lower.read_directory(directory, DOTS, &mut |entry| {
                if found.len() == most {
                    return ControlFlow::Break(());
                }
                if let Ok(name) = std::str::from_utf8(entry.name) {
                    let name = Self {
                        directory: path.clone(),
                        node: directory.to_id(tree),
                        name: name.to_owned(),
                        before: Some(entry.attributes.node),
                        is_shown: false,
                    };
                    if entry.attributes.kind == Kind::Directory {
                        queue.push((name.path(), entry.attributes.node));
                    }
                    found.push(name);
                }
                ControlFlow::Continue(())
            });
        }
        found.reverse();
        found
    }

    fn place(&self) -> Place {
        (self.node, self.name.as_bytes().into())
    }

    fn path(&self) -> String {
        match self.directory.as_str() {
            "" => self.name.clone(),
            directory => format!("{directory}/{}", self.name),
        }
    }
}

/// What is done next to a name that is announced.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::fs) enum Step {
    /// It is moved away.
    Away,
    /// It is made.
    Make,
}

/// What a process has yet to do to a name.
#[derive(Debug, Clone, Copy)]
struct Due {
    step: Step,
    then: Option<Step>,
    /// What the name stood for.
    before: Option<Node>,
}

/// A name in the directory with this id.
type Place = (u64, Box<[u8]>);

/// What is being announced in a tree.
#[derive(Debug, Default)]
pub struct Announcing {
    underway: Mutex<Underway>,
    /// Whether there is anything: each lookup of a name asks.
    is_any: AtomicBool,
}

#[derive(Debug, Default)]
struct Underway {
    /// The processes that announce names, and what each has yet to do.
    processes: HashMap<u32, HashMap<Place, Due>>,
    /// The names that are announced now or soon, and how often.
    expected: HashMap<Place, u32>,
}

impl Announcing {
    /// Whether the process `pid` is one of them.
    pub(in crate::fs) fn has(&self, pid: u32) -> bool {
        self.is_any.load(Ordering::SeqCst) && self.lock().processes.contains_key(&pid)
    }

    /// What the process `pid` does next to this name, and what that stood for.
    pub(in crate::fs) fn next(
        &self,
        pid: u32,
        directory: u64,
        name: &[u8],
    ) -> Option<(Step, Option<Node>)> {
        if !self.is_any.load(Ordering::SeqCst) {
            return None;
        }
        let underway = self.lock();
        let steps = underway.processes.get(&pid)?;
        let due = steps.get(&(directory, name.into()))?;
        Some((due.step, due.before))
    }

    /// The process `pid` has done to this name what was next.
    pub(in crate::fs) fn done(&self, pid: u32, directory: u64, name: &[u8]) {
        let mut underway = self.lock();
        let Some(steps) = underway.processes.get_mut(&pid) else {
            return;
        };
        let key = (directory, name.into());
        if let Some(due) = steps.remove(&key)
            && let Some(step) = due.then
        {
            let then = None;
            steps.insert(key, Due { step, then, ..due });
        }
    }

    fn begin(&self, pid: u32, names: &[Announcement]) {
        let steps = names.iter().filter_map(|name| {
            let (step, then) = match (name.before, name.is_shown) {
                (Some(_), true) => (Step::Away, Some(Step::Make)),
                (Some(_), false) => (Step::Away, None),
                (None, true) => (Step::Make, None),
                (None, false) => return None,
            };
            let before = name.before;
            let due = Due { step, then, before };
            Some((name.place(), due))
        });
        self.lock().processes.insert(pid, steps.collect());
    }

    fn end(&self, pid: u32) {
        self.lock().processes.remove(&pid);
    }

    /// Whether this name is announced now or soon. The kernel must not remember what others are
    /// told of it: it would not ask for who announces it.
    pub(in crate::fs) fn expects(&self, directory: u64, name: &[u8]) -> bool {
        self.is_any.load(Ordering::SeqCst)
            && self.lock().expected.contains_key(&(directory, name.into()))
    }

    /// These names will be announced.
    pub(super) fn expect(&self, names: &[Announcement]) {
        let mut underway = self.lock();
        for name in names {
            *underway.expected.entry(name.place()).or_default() += 1;
        }
        self.is_any
            .store(!underway.expected.is_empty(), Ordering::SeqCst);
    }

    /// These names were announced, or will not be.
    pub(super) fn release(&self, names: &[Announcement]) {
        let mut underway = self.lock();
        for name in names {
            if let Entry::Occupied(mut expected) = underway.expected.entry(name.place()) {
                match expected.get() {
                    0 | 1 => drop(expected.remove()),
                    times => *expected.get_mut() = times - 1,
                }
            }
        }
        self.is_any
            .store(!underway.expected.is_empty(), Ordering::SeqCst);
    }

    fn lock(&self) -> MutexGuard<'_, Underway> {
        self.underway.lock().unwrap_or_else(PoisonError::into_inner)
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
    /// Announces names, and waits until that is done.
    pub(super) fn announce(&self, names: &[Announcement]) -> io::Result<()> {
        if names.is_empty() {
            return Ok(());
        }
        let mut child = Command::new(&self.command.program)
            .args(&self.command.leading_args)
            .arg(&self.mountpoint)
            .current_dir("/")
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()?;
        let pid = child.id();
        self.announcing.begin(pid, names);
        let words = encode(self.device, names);
        let written = child
            .stdin
            .take()
            .map_or(Ok(()), |mut input| input.write_all(&words));
        let ended = child.wait();
        self.announcing.end(pid);
        ended?;
        written
    }
}

/// As the walker reads it.
fn encode(device: (u32, u32), names: &[Announcement]) -> Vec<u8> {
    let mut bytes = format!("v{}:{}\0", device.0, device.1).into_bytes();
    for name in names {
        let mut step = format!("d{}\0", name.directory);
        for (letter, is_due) in [('m', name.before.is_some()), ('g', name.is_shown)] {
            if is_due {
                step.push(letter);
                step.push_str(&name.name);
                step.push('\0');
            }
        }
        bytes.extend_from_slice(step.as_bytes());
    }
    bytes
}

/// What the process that announces does, in the mount with one device number alone.
#[derive(Debug)]
pub(in crate::fs) struct Passage<'mount> {
    mountpoint: &'mount Path,
    device: (u32, u32),
    /// Where names are moved.
    away: Option<OwnedFd>,
    /// How many were.
    moved: u32,
}

impl<'mount> Passage<'mount> {
    /// In the mount at `mountpoint`, whose device number a word of the walker's says.
    pub(in crate::fs) fn of(mountpoint: &'mount Path, device: &str) -> Option<Self> {
        let (major, minor) = device.split_once(':')?;
        Some(Self {
            mountpoint,
            device: (major.parse().ok()?, minor.parse().ok()?),
            away: None,
            moved: 0,
        })
    }

    /// Moves a name away.
    pub(in crate::fs) fn pass(&mut self, directory: &Path, name: &str) -> io::Result<()> {
        let directory = open(directory, self.device)?;
        match self.move_away(&directory, name) {
            // Somebody else has asked, and was told that it is gone. Of what is made the kernel
            // asks anew.
            Err(Errno::NOENT) => match make(&directory, name) {
                Err(Errno::EXIST) => Ok(self.move_away(&directory, name)?),
                made => Ok(made?),
            },
            moved => Ok(moved?),
        }
    }

    /// Makes a name.
    pub(in crate::fs) fn come(&self, directory: &Path, name: &str) -> io::Result<()> {
        Ok(make(&open(directory, self.device)?, name)?)
    }

    /// Each gets a name of its own there: the kernel takes the last one to be there still.
    fn move_away(&mut self, directory: &OwnedFd, name: &str) -> Result<(), Errno> {
        let away = match &self.away {
            Some(away) => away,
            None => {
                let root = open(self.mountpoint, self.device).map_err(|_| Errno::XDEV)?;
                let away = rustix::fs::openat(&root, PASSING, FLAGS, Mode::empty())?;
                self.away.insert(away)
            }
        };
        self.moved += 1;
        rustix::fs::renameat(directory, name, away, self.moved.to_string())
    }
}

fn make(directory: &OwnedFd, name: &str) -> Result<(), Errno> {
    rustix::fs::symlinkat(OsStr::from_bytes(PASSING), directory, name)
}

/// How directories are opened.
const FLAGS: OFlags = OFlags::PATH
    .union(OFlags::DIRECTORY)
    .union(OFlags::NOFOLLOW)
    .union(OFlags::CLOEXEC);

/// Another file system may be at the path by now, where all this would be carried out.
fn open(directory: &Path, (major, minor): (u32, u32)) -> io::Result<OwnedFd> {
    let directory = rustix::fs::open(directory, FLAGS, Mode::empty())?;
    if rustix::fs::fstat(&directory)?.st_dev == rustix::fs::makedev(major, minor) {
        Ok(directory)
    } else {
        Err(io::ErrorKind::CrossesDevices.into())
    }
}
