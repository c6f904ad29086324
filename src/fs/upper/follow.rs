//! What was written follows when another layer is mounted in the place of the one over which it was
//! written.
//!
//! A name that shows the same installed node in both layers keeps what was written there, and what
//! is in it. What was written at a name that now shows something else, or nothing, is moved to the
//! directory of what was discarded.

use std::collections::BTreeSet;
use std::io::{Read, Write};
use std::sync::Arc;

use rustix::io::Errno;

use super::journal::{Journal, Ledger};
use super::{
    DISCARDED, Host, JOURNAL, JournalError, Made, NewTime, PRIVATE, Start, UNTOLD, WORK, join,
    join_state, list, make_private, now, remove_tree, settle,
};
use crate::fs::attributes::Kind;
use crate::fs::lower::Lower;
use crate::fs::node::Node;
use crate::fs::vfs_error::VfsError;

/// What did not follow.
#[derive(Debug, Default)]
pub(in crate::fs) struct Discarded {
    /// Where it is, below the root of the tree, if there is any.
    pub(in crate::fs) place: Option<String>,
    /// Names of which the kernel does not know that they show something else now.
    pub(in crate::fs) untold: Untold,
}

/// Names in directories.
pub(in crate::fs) type Untold = Vec<(Node, Vec<u8>)>;

/// How many directories of what was discarded there may be.
const DISCARDED_MAX: u32 = 100_000;

/// Lets what is in `host` follow from `old` to `new`. Where it `restores`, what was removed or
/// moved shows again as it was installed. Nobody may write meanwhile. May be done again when it was
/// interrupted.
///
/// # Errors
/// When something cannot be read or moved.
pub(in crate::fs) fn follow(
    host: &Host,
    old: &Lower,
    new: &Arc<Lower>,
    root: Node,
    restores: bool,
) -> Result<Discarded, VfsError> {
    let replay = match Journal::read(host, JOURNAL) {
        Ok(Some(replay)) => replay,
        // Without a journal nothing was written; with a damaged one nothing of it is shown.
        Ok(None) => return Ok(Discarded::default()),
        Err(JournalError::Io(error)) => return Err(error.into()),
        Err(_) => return Ok(Discarded::default()),
    };
    make_private(host)?;
    let valid_bytes = replay.valid_bytes;
    let settled = settle(host, replay)?;
    let mut ledger = settled.ledger;
    let mut follower = Follower {
        host,
        old,
        new,
        root,
        lost: Vec::new(),
        untold: read_untold(host, root),
    };
    if restores {
        follower.hidden(&[], root, &ledger)?;
        ledger = Ledger::default();
    }
    follower.directory(&[], root, &mut ledger, true)?;
    let (lost, mut untold) = (follower.lost, follower.untold);
    // Once the journal tells nothing of them any more, nobody could find them out.
    note_untold(host, root, &untold)?;
    let place = discard(host, &lost)?;
    let found = join_state(host, new, root, ledger, Start::Resumed)?;
    let mut journal = Journal::open(host, JOURNAL, valid_bytes)?;
    let records = found.state.ledger(new)?;
    journal.rewrite(host, JOURNAL, records, &settled.requests)?;
    // What is discarded may have been so by a server before this one.
    untold.push((root, PRIVATE.to_vec()));
    let private = found.state.named(root, PRIVATE);
    if let Some(private) = private.and_then(|named| named.node) {
        untold.push((private, DISCARDED.to_vec()));
    }
    Ok(Discarded { place, untold })
}

/// Which names a server that died while it followed has left untold.
fn read_untold(host: &Host, root: Node) -> Untold {
    let Ok(mut file) = host.open_to_read(UNTOLD) else {
        return Untold::new();
    };
    let mut text = Vec::new();
    let read = file.read_to_end(&mut text);
    let names: Vec<(u64, Vec<u8>)> = match read.map(|_| serde_json::from_slice(&text)) {
        Ok(Ok(names)) => names,
        // It was cut off, so nothing that is in it was done.
        _ => Vec::new(),
    };
    let found = names
        .into_iter()
        .map(|(directory, name)| Some((Node::from_id(directory, number(root))?, name)));
    found.flatten().collect()
}

fn note_untold(host: &Host, root: Node, untold: &Untold) -> Result<(), VfsError> {
    if untold.is_empty() {
        return Ok(());
    }
    let names: Vec<(u64, &[u8])> = untold
        .iter()
        .map(|(directory, name)| (directory.to_id(number(root)), &**name))
        .collect();
    let text = serde_json::to_vec(&names).map_err(std::io::Error::from)?;
    let work = join(WORK, b"untold");
    let _ = host.remove(&work, false);
    let made = host.make(&work, Made::File, 0o600, host.owner())?;
    if let Some(mut file) = made {
        file.write_all(&text)?;
    }
    Ok(host.rename(&work, UNTOLD)?)
}

/// The number of a tree.
fn number(root: Node) -> u32 {
    match root {
        Node::Layer(number) => number,
        _ => 0,
    }
}

struct Follower<'a> {
    host: &'a Host,
    old: &'a Lower,
    new: &'a Arc<Lower>,
    root: Node,
    /// Paths of what does not follow.
    lost: Vec<Vec<u8>>,
    /// Names that show something else than before because of what did not follow.
    untold: Untold,
}

impl Follower<'_> {
    /// Goes through the names of `directory`, which is installed in both layers.
    fn directory(
        &mut self,
        path: &[u8],
        directory: Node,
        ledger: &mut Ledger,
        is_real: bool,
    ) -> Result<(), VfsError> {
        let mut reals = std::collections::BTreeMap::new();
        let time = |lower: &Lower| lower.attributes(directory).ok().map(|found| found.modified);
        if time(self.old) != time(self.new) {
            if is_real {
                self.host.set_times(path, NewTime::Keep, NewTime::Now)?;
            }
            ledger.changed = ledger.changed.map(|_| now());
        }
        if is_real {
            let listed = list(self.host, self.root, path)?;
            reals.extend(listed.into_iter().map(|real| (real.name, real.kind)));
        }
        let names: BTreeSet<Box<[u8]>> = ledger
            .children
            .keys()
            .chain(reals.keys())
            .cloned()
            .collect();
        for name in names {
            if path.is_empty() && *name == *PRIVATE {
                continue;
            }
            let below = join(path, &name);
            let real = reals.get(&name).copied();
            let installed = installed(self.old, directory, &name)?;
            let is_same = installed == self::installed(self.new, directory, &name)?;
            let child = ledger.children.get_mut(&name);
            let origin = child.as_ref().and_then(|child| child.origin.clone());
            let moved = match &origin {
                None => None,
                Some(origin) => {
                    let before = self.old.resolve(self.root, origin)?;
                    let after = self.new.resolve(self.root, origin)?;
                    Some(before.filter(|_| before == after))
                }
            };
            if !is_same || moved == Some(None) {
                ledger.children.remove(&name);
                self.untold.push((directory, name.to_vec()));
                if real.is_some() {
                    self.lost.push(below);
                }
                continue;
            }
            // What shows here: what was moved here, or what is installed and not hidden.
            let hides = child.as_ref().is_some_and(|child| child.hides);
            let shows = moved.flatten().or(installed.filter(|_| !hides));
            let is_directory = real.is_none_or(|kind| kind == Kind::Directory);
            let mut none = Ledger::default();
            match shows {
                Some(node) if is_directory && self.is_directory(node)? => {
                    let child = ledger.children.get_mut(&name).unwrap_or(&mut none);
                    self.directory(&below, node, child, real.is_some())?;
                }
                // Only what was written is here, and in it may be what was moved there.
                _ => {
                    if let Some(child) = ledger.children.get_mut(&name) {
                        self.written(&below, child)?;
                    }
                }
            }
        }
        Ok(())
    }

    /// Goes through what was written below a directory that is not installed: only what was moved
    /// there from elsewhere can be lost.
    fn written(&mut self, path: &[u8], ledger: &mut Ledger) -> Result<(), VfsError> {
        let mut gone = Vec::new();
        let directory = self.host.stat(path).map(|stat| Node::of_upper(stat.st_ino));
        for (name, child) in &mut ledger.children {
            let below = join(path, name);
            match child.origin.clone() {
                None => self.written(&below, child)?,
                Some(origin) => {
                    let before = self.old.resolve(self.root, &origin)?;
                    let after = self.new.resolve(self.root, &origin)?;
                    let real = self.host.stat(&below).is_ok();
                    match before.filter(|_| before == after) {
                        None => {
                            gone.push(name.clone());
                            let directory = directory.ok();
                            let told = directory.map(|directory| (directory, name.to_vec()));
                            self.untold.extend(told);
                            if real {
                                self.lost.push(below);
                            }
                        }
                        Some(node) if self.is_directory(node)? => {
                            self.directory(&below, node, child, real)?;
                        }
                        Some(_) => {}
                    }
                }
            }
        }
        for name in gone {
            ledger.children.remove(&name);
        }
        Ok(())
    }

    /// Goes through everything that the ledger tells of: all of it shows something else now.
    fn hidden(&mut self, path: &[u8], directory: Node, ledger: &Ledger) -> Result<(), VfsError> {
        for (name, child) in &ledger.children {
            let below = join(path, name);
            if child.hides || child.origin.is_some() {
                self.untold.push((directory, name.to_vec()));
            }
            if child.children.is_empty() {
                continue;
            }
            let node = match &child.origin {
                Some(origin) => self.old.resolve(self.root, origin)?,
                None if child.hides => None,
                None => installed(self.old, directory, name)?,
            };
            let made = || {
                self.host
                    .stat(&below)
                    .map(|stat| Node::of_upper(stat.st_ino))
            };
            if let Some(node) = node.or_else(|| made().ok()) {
                self.hidden(&below, node, child)?;
            }
        }
        Ok(())
    }

    fn is_directory(&self, node: Node) -> Result<bool, VfsError> {
        Ok(self.new.attributes(node)?.kind == Kind::Directory)
    }
}

fn installed(lower: &Lower, directory: Node, name: &[u8]) -> Result<Option<Node>, VfsError> {
    Ok(lower.lookup(directory, name)?.map(|found| found.node))
}

/// Moves what is lost to a directory of its own. Returns its path, where it has something in it.
fn discard(host: &Host, lost: &[Vec<u8>]) -> Result<Option<String>, VfsError> {
    let mut place = None;
    for path in lost {
        if holds_only_directories(host, path)? {
            remove_tree(host, path)?;
            continue;
        }
        let place = match &place {
            Some(place) => place,
            None => place.insert(new_place(host)?),
        };
        let target = join(place.as_bytes(), path);
        let mut above = Vec::new();
        for name in super::parent(&target).split(|byte| *byte == b'/') {
            above = join(&above, name);
            match host.make(&above, Made::Directory, 0o755, host.owner()) {
                Ok(_) | Err(Errno::EXIST) => {}
                Err(error) => return Err(error.into()),
            }
        }
        host.rename(path, &target)?;
    }
    Ok(place)
}

fn new_place(host: &Host) -> Result<String, VfsError> {
    let owner = host.owner();
    let base = format!(
        "{}/{}",
        String::from_utf8_lossy(PRIVATE),
        String::from_utf8_lossy(DISCARDED)
    );
    match host.make(base.as_bytes(), Made::Directory, 0o755, owner) {
        Ok(_) | Err(Errno::EXIST) => {}
        Err(error) => return Err(error.into()),
    }
    for number in 1..DISCARDED_MAX {
        let place = format!("{base}/{number}");
        match host.make(place.as_bytes(), Made::Directory, 0o755, owner) {
            Ok(_) => return Ok(place),
            Err(Errno::EXIST) => {}
            Err(error) => return Err(error.into()),
        }
    }
    Err(Errno::EXIST.into())
}

/// Directories are made on the way to what is written; without that they tell nothing.
fn holds_only_directories(host: &Host, path: &[u8]) -> Result<bool, VfsError> {
    let mut queue = vec![path.to_vec()];
    while let Some(path) = queue.pop() {
        let stat = host.stat(&path)?;
        if super::attributes(&stat, Node::Upper(0)).kind != Kind::Directory {
            return Ok(false);
        }
        let entries = host.list(&path)?;
        queue.extend(entries.iter().map(|(name, _)| join(&path, name)));
    }
    Ok(true)
}
