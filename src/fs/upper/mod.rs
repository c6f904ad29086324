//! The upper layer: what was written into a mounted tree. It is the real directory under the mount,
//! opened before mounting and used by descriptor.
//!
//! ```text
//! node_modules/            the directory under the mount
//!   <path>                 what was written, where it was written
//!   .pacquet/journal       what is hidden, and what is shown elsewhere than it was installed
//!   .pacquet/orphans/<id>  removed while the kernel knew it, until it forgets it
//!   .pacquet/work/         copies before they get their name
//!   .pacquet/untold        names that a swap changed, until the kernel was told of them
//!   .pacquet/discarded/    what lost its place; the only one of these that the mount shows
//! ```
//!
//! Nothing of this exists before the first change. Removing the directory resets the tree. On a
//! full file system the journal goes on in memory (`spill`).
//!
//! **Architecture Invariant:** the state in memory is a function of the journal, the real files and
//! the installed tree. A new server computes the same state, node ids too; nothing else is saved.
//!
//! **Architecture Invariant:** the journal tells of a change before the change is made, and what is
//! copied up appears by rename, whole. So whatever is killed, each name shows what it showed
//! before or what it shows afterwards.

mod follow;
mod forget;
mod host;
mod journal;
mod record;
mod spill;
mod state;

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;
use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

use rustix::fs::Stat;
use rustix::io::Errno;

pub(super) use forget::{forget, remove_empty_parents};
pub use host::{Made, NewTime};
pub use journal::JournalError;

pub(super) use follow::{Discarded, Untold, follow};
pub(super) use host::{Host, attributes, read_at, write_at};
pub(super) use journal::{Journal, Ledger, Replay, Requests};
pub(super) use record::{Back, Move, Record, Witness};
pub(super) use state::{Found, Known, Overlay, Real, State, UPPER_COOKIES, join};

use super::attributes::{Kind, Time};
use super::lower::Lower;
use super::node::Node;
use super::vfs_error::VfsError;

/// The directory that the upper layer keeps for itself, in the root of the tree.
pub(super) const PRIVATE: &[u8] = b".pacquet";
pub(super) const JOURNAL: &[u8] = b".pacquet/journal";
pub(super) const ORPHANS: &[u8] = b".pacquet/orphans";
pub(super) const WORK: &[u8] = b".pacquet/work";
pub(super) const UNTOLD: &[u8] = b".pacquet/untold";

/// The only entry of the private directory that is shown.
pub(super) const DISCARDED: &[u8] = b"discarded";

/// Whether the kernel knows nodes of this tree from before.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Start {
    /// It was just mounted: nobody has anything open.
    Fresh,
    /// Another server served it until now.
    Resumed,
}

/// Whether what is in `directory` was written through a mount.
pub(super) fn is_upper(directory: &Path) -> bool {
    let journal = directory.join(OsStr::from_bytes(JOURNAL));
    std::fs::symlink_metadata(journal).is_ok_and(|metadata| metadata.is_file())
}

/// The upper layer as it was found.
pub(super) struct Opened {
    pub(super) state: State,
    /// The journal, where there is one.
    pub(super) journal: Option<Journal>,
    /// The exchanges that may be asked for again.
    pub(super) requests: Requests,
    /// Why nothing may be written.
    pub(super) problem: Option<JournalError>,
}

/// Opens the upper layer in `host`.
///
/// # Errors
/// When it cannot be read. A journal that is damaged is no error: the tree is then shown as it was
/// installed, and [`Opened::problem`] says why. A read-only file system is none either: the tree is
/// shown as it was left.
pub(super) fn open(
    host: &Host,
    lower: &Arc<Lower>,
    root: Node,
    start: Start,
) -> Result<Opened, VfsError> {
    let is_read_only = host.is_read_only()?;
    let replay = match Journal::read(host, JOURNAL) {
        Ok(Some(replay)) => replay,
        // Without a journal, nothing here was written through a mount.
        Ok(None) => {
            return Ok(Opened::empty(
                is_read_only.then_some(JournalError::ReadOnly),
            ));
        }
        Err(JournalError::Io(error)) => return Err(error.into()),
        Err(problem) => return Ok(Opened::empty(Some(problem))),
    };
    if is_read_only {
        let settled = settle(host, replay)?;
        return Ok(Opened {
            state: join_state(host, lower, root, settled.ledger, start)?.state,
            journal: None,
            requests: settled.requests,
            problem: Some(JournalError::ReadOnly),
        });
    }
    let is_private_there = match make_private(host) {
        Err(error) if error.is_full() && host.spill().is_some() => false,
        made => made.map(|()| true)?,
    };
    for path in leftovers(host, start)? {
        remove_tree(host, &path)?;
    }
    if replay.torn_bytes > 0 {
        tracing::warn!(
            bytes = replay.torn_bytes,
            "the journal's torn end was dropped"
        );
    }
    let valid_bytes = replay.valid_bytes;
    let Settled {
        ledger,
        mut requests,
        outcome,
    } = settle(host, replay)?;
    let found = join_state(host, lower, root, ledger, start)?;
    let mut journal = if is_private_there {
        Journal::open(host, JOURNAL, valid_bytes)?
    } else {
        Journal::without_file(host, valid_bytes)?
    };
    if let Some((record, time)) = outcome {
        journal.append(&record, time)?;
    }
    if start == Start::Fresh && !requests.is_empty() {
        journal.append(&Record::Begun, now())?;
        requests = Requests::default();
    }
    // What has no place because a pack cannot be read must not be forgotten.
    if !found.incomplete && journal.is_long() {
        journal.rewrite(host, JOURNAL, found.state.ledger(lower)?, &requests)?;
    }
    Ok(Opened {
        state: found.state,
        journal: Some(journal),
        requests,
        problem: None,
    })
}

/// Joins what the journal says, what is really there and what is installed.
fn join_state(
    host: &Host,
    lower: &Arc<Lower>,
    root: Node,
    ledger: Ledger,
    start: Start,
) -> Result<Found, VfsError> {
    let mut found = state::build(lower, root, ledger, &mut |path| list(host, root, path))?;
    found.state.known.insert(root, root_known());
    hide_private(&mut found.state, root);
    if start == Start::Resumed {
        find_orphans(host, &mut found.state, root)?;
    }
    Ok(found)
}

impl Opened {
    fn empty(problem: Option<JournalError>) -> Self {
        Self {
            state: State::default(),
            journal: None,
            requests: Requests::default(),
            problem,
        }
    }
}

pub(super) fn root_known() -> Known {
    Known {
        places: Vec::new(),
        real: true,
        kind: Kind::Directory,
        orphan: false,
    }
}

/// What a journal says once it is decided what became of a move that was begun.
struct Settled {
    ledger: Ledger,
    requests: Requests,
    /// What became of it.
    outcome: Option<(Record, Time)>,
}

/// Decides what became of a move that was begun, and says so in a record.
fn settle(host: &Host, mut replay: Replay) -> Result<Settled, VfsError> {
    let mut outcome = None;
    if let Some((change, witness, time)) = replay.pending.take() {
        let found = match host.stat(&change.to) {
            Ok(stat) => Some(stat.st_ino),
            Err(Errno::NOENT | Errno::NOTDIR) => None,
            Err(error) => return Err(error.into()),
        };
        let done = match witness {
            Witness::Arrived(inode) => found == Some(inode),
            Witness::Left(inode) => found != Some(inode),
        };
        if done {
            replay.made(change, time);
        }
        let record = if done { Record::Done } else { Record::GivenUp };
        outcome = Some((record, time));
    }
    Ok(Settled {
        ledger: replay.ledger,
        requests: replay.requests,
        outcome,
    })
}

/// Makes the directories that the upper layer keeps for itself.
pub(super) fn make_private(host: &Host) -> Result<(), VfsError> {
    let owner = host.owner();
    for path in [PRIVATE, ORPHANS, WORK] {
        match host.make(path, Made::Directory, 0o755, owner) {
            Ok(_) | Err(Errno::EXIST) => {}
            Err(error) => return Err(error.into()),
        }
    }
    Ok(())
}

/// What nobody needs any more.
fn leftovers(host: &Host, start: Start) -> Result<Vec<Vec<u8>>, VfsError> {
    let mut found = Vec::new();
    for directory in [WORK, ORPHANS] {
        if directory == WORK || start == Start::Fresh {
            let entries = entries_of(host, directory)?;
            found.extend(entries.iter().map(|(name, _)| join(directory, name)));
        }
    }
    if start == Start::Fresh {
        found.push(UNTOLD.to_vec());
    }
    Ok(found)
}

/// The entries of a directory for which there may have been no room.
fn entries_of(host: &Host, directory: &[u8]) -> Result<Vec<(Box<[u8]>, Stat)>, VfsError> {
    match host.list(directory) {
        Err(Errno::NOENT) => Ok(Vec::new()),
        listed => Ok(listed?),
    }
}

/// Removes what is at `path`, and what is in it. Symlinks are not followed.
pub(super) fn remove_tree(host: &Host, path: &[u8]) -> Result<(), VfsError> {
    let mut queue = vec![(path.to_vec(), false)];
    while let Some((path, emptied)) = queue.pop() {
        let removed = host.remove(&path, emptied);
        match removed {
            Ok(()) | Err(Errno::NOENT) => {}
            Err(Errno::ISDIR) if !emptied => {
                let entries = host.list(&path)?;
                queue.push((path.clone(), true));
                queue.extend(entries.iter().map(|(name, _)| (join(&path, name), false)));
            }
            Err(error) => return Err(error.into()),
        }
    }
    Ok(())
}

fn list(host: &Host, root: Node, path: &[u8]) -> Result<Vec<Real>, VfsError> {
    let mut found = Vec::new();
    for (name, stat) in host.list(path)? {
        // Of what the upper layer keeps for itself, only what it discarded is shown.
        if path == PRIVATE && *name != *DISCARDED {
            continue;
        }
        let kind = attributes(&stat, root).kind;
        found.push(Real {
            name,
            inode: stat.st_ino,
            kind,
            #[allow(clippy::unnecessary_cast, clippy::cast_lossless)]
            links: stat.st_nlink as u64,
        });
    }
    Ok(found)
}

/// Lets the private directory show only where it has something to show.
fn hide_private(state: &mut State, root: Node) {
    let Some(node) = state.named(root, PRIVATE).and_then(|named| named.node) else {
        return;
    };
    if !state.overlay(node).is_some_and(Overlay::shows_any) {
        state.unname(root, PRIVATE, true, node);
        state.known.remove(&node);
    }
}

/// Orphans have their node ids as names.
pub(super) fn orphan_path(node: Node, root: Node) -> Vec<u8> {
    let Node::Layer(number) = root else {
        return ORPHANS.to_vec();
    };
    join(ORPHANS, format!("{:x}", node.to_id(number)).as_bytes())
}

fn find_orphans(host: &Host, state: &mut State, root: Node) -> Result<(), VfsError> {
    let Node::Layer(number) = root else {
        return Ok(());
    };
    for (name, stat) in entries_of(host, ORPHANS)? {
        let id = std::str::from_utf8(&name).ok();
        let id = id.and_then(|name| u64::from_str_radix(name, 16).ok());
        let Some(node) = id.and_then(|id| Node::from_id(id, number)) else {
            continue;
        };
        let known = Known {
            places: Vec::new(),
            real: true,
            kind: attributes(&stat, node).kind,
            orphan: true,
        };
        // A name still leads to it where a server ended in the middle of a rename.
        state.known.entry(node).or_insert(known);
    }
    Ok(())
}

/// The path of the directory that has `path`.
pub(super) fn parent(path: &[u8]) -> &[u8] {
    let end = path.iter().rposition(|byte| *byte == b'/').unwrap_or(0);
    &path[..end]
}

pub(super) fn now() -> Time {
    let since = SystemTime::now().duration_since(UNIX_EPOCH);
    let since = since.unwrap_or_default();
    Time {
        seconds: i64::try_from(since.as_secs()).unwrap_or(i64::MAX),
        nanoseconds: since.subsec_nanos(),
    }
}
