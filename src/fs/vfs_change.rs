//! What every change needs: its turn, the journal, real directories, copies.

use std::fs::File;
use std::sync::{Arc, MutexGuard, PoisonError};

use rustix::io::Errno;

use super::attributes::{Attributes, Kind, Time};
use super::lower::Lower;
use super::node::Node;
use super::swap::PASSING;
use super::upper::{
    self, DISCARDED, JOURNAL, Journal, Known, Made, NewTime, PRIVATE, Record, WORK, join,
    make_private, now, orphan_path, root_known,
};
use super::vfs::{Changes, Vfs};
use super::vfs_error::VfsError;
use crate::limits::NAME_BYTES_MAX;

/// Bytes that a copy moves at once.
const COPY_BYTES: u32 = 1 << 20;

/// The turn of one change. Nobody else changes anything while it lives.
pub(super) struct Change<'vfs> {
    pub(super) vfs: &'vfs Vfs,
    pub(super) lower: Arc<Lower>,
    pub(super) time: Time,
    changes: MutexGuard<'vfs, Changes>,
}

/// An entry as a change finds it.
#[derive(Debug, Clone, Copy)]
pub(super) struct Child {
    pub(super) node: Node,
    pub(super) kind: Kind,
    pub(super) real: bool,
}

impl Vfs {
    /// Waits for the turn to change something.
    pub(super) fn change(&self) -> Result<Change<'_>, VfsError> {
        if self.problem().is_some() {
            return Err(VfsError::ReadOnly);
        }
        if self.is_retired() {
            return Err(VfsError::NotFound);
        }
        let changes = self.changes.lock().unwrap_or_else(PoisonError::into_inner);
        let mut change = Change {
            vfs: self,
            lower: self.lower(),
            time: now(),
            changes,
        };
        change.shorten_journal();
        Ok(change)
    }
}

impl Change<'_> {
    /// Writes the journal anew where it is long: what was removed together with its directory needs
    /// no word of its own. It says what it said before where that fails.
    fn shorten_journal(&mut self) {
        let Changes {
            journal, requests, ..
        } = &mut *self.changes;
        let Some(journal) = journal.as_mut().filter(|journal| journal.is_long()) else {
            return;
        };
        let (host, records) = (&self.vfs.host, self.vfs.layers().state.ledger(&self.lower));
        let rewritten =
            records.and_then(|records| Ok(journal.rewrite(host, JOURNAL, records, requests)?));
        if let Err(error) = rewritten {
            tracing::warn!(%error, "the journal could not be written anew");
            journal.want_more();
        }
    }

    /// What `parent` shows under `name`.
    pub(super) fn child(&self, parent: Node, name: &[u8]) -> Result<Option<Child>, VfsError> {
        let layers = self.vfs.layers();
        let named = layers
            .state
            .named(parent, name)
            .and_then(|named| named.node);
        if let Some(node) = named
            && let Some(known) = layers.state.known.get(&node)
        {
            let (kind, real) = (known.kind, known.real);
            return Ok(Some(Child { node, kind, real }));
        }
        drop(layers);
        let Some(found) = self.vfs.lookup(parent, name)? else {
            return Ok(None);
        };
        Ok(Some(Child {
            node: found.node,
            kind: found.kind,
            real: self.vfs.layers().state.is_real(found.node),
        }))
    }

    /// Whether something was installed under this name, hidden or not.
    pub(super) fn is_installed(&self, parent: Node, name: &[u8]) -> Result<bool, VfsError> {
        Ok(parent.is_lower() && self.lower.lookup(parent, name)?.is_some())
    }

    /// The path of `node` in the tree.
    pub(super) fn path(&self, node: Node) -> Result<Vec<u8>, VfsError> {
        let layers = self.vfs.layers();
        let path = layers.state.path(&layers.lower, node)?;
        path.ok_or(VfsError::NotFound)
    }

    pub(super) fn entry_path(&self, parent: Node, name: &[u8]) -> Result<Vec<u8>, VfsError> {
        Ok(join(&self.path(parent)?, name))
    }

    pub(super) fn real_path(&self, node: Node) -> Result<Option<Vec<u8>>, VfsError> {
        self.vfs.layers().real_path(self.vfs.root, node)
    }

    /// Refuses names that the upper layer keeps for itself, and what cannot be a name.
    pub(super) fn check_name(&self, parent: Node, name: &[u8]) -> Result<(), VfsError> {
        if name.len() > NAME_BYTES_MAX {
            return Err(VfsError::NameTooLong);
        }
        if name.is_empty() || name == b"." || name == b".." || name.contains(&b'/') {
            return Err(VfsError::Invalid);
        }
        let private = if parent == self.vfs.root {
            name == PRIVATE || name == PASSING
        } else {
            name != DISCARDED && self.path(parent)? == PRIVATE
        };
        if private {
            return Err(VfsError::Reserved);
        }
        Ok(())
    }

    /// Writes a record down, before what it tells of is done.
    pub(super) fn record(&mut self, record: &Record) -> Result<(), VfsError> {
        match self.prepare() {
            Err(error) if error.is_full() && self.vfs.host.spill().is_some() => {
                self.go_on_in_memory()?;
            }
            prepared => prepared?,
        }
        let time = self.time;
        let journal = self.changes.journal.as_mut().ok_or(VfsError::ReadOnly)?;
        Ok(journal.append(record, time)?)
    }

    /// Says what became of an intent. Where that cannot be written, nothing may follow it.
    pub(super) fn conclude(&mut self, outcome: &Record) {
        if let Some(journal) = &mut self.changes.journal {
            journal.conclude(outcome, self.time);
        }
    }

    /// Whether the exchange that `request` is for was made, and not acknowledged.
    pub(super) fn has_exchanged(&self, request: u64) -> bool {
        self.changes.requests.contains(request)
    }

    /// From now on it was.
    pub(super) fn note_exchanged(&mut self, request: u64) {
        self.changes.requests.made(request);
    }

    /// Makes what the upper layer needs before anything is written into it.
    fn prepare(&mut self) -> Result<(), VfsError> {
        let begun = self.changes.journal.as_ref();
        if begun.is_some_and(Journal::has_file) {
            return Ok(());
        }
        let bytes = begun.map_or(0, Journal::bytes);
        let host = &self.vfs.host;
        let journal = host.unseen(b"", || {
            make_private(host)?;
            Journal::open(host, JOURNAL, bytes).map_err(VfsError::from)
        })?;
        // It shows the time of what was installed until something in it changes.
        let shown = self.vfs.layers().lower.attributes(self.vfs.root)?;
        let shown = NewTime::At(shown.modified);
        host.set_times(b"", shown, shown)?;
        self.changes.journal = Some(journal);
        let root = self.vfs.root;
        let mut layers = self.vfs.layers_mut();
        layers.state.set_name(root, PRIVATE, true, None);
        layers.state.known.insert(root, root_known());
        Ok(())
    }

    /// Lets the journal be without a file where there is no room for one.
    fn go_on_in_memory(&mut self) -> Result<(), VfsError> {
        if self.changes.journal.is_none() {
            self.changes.journal = Some(Journal::without_file(&self.vfs.host, 0)?);
        }
        Ok(())
    }

    /// Makes the directory `node` real, and those above it. Returns where it is.
    pub(super) fn make_real(&mut self, node: Node) -> Result<Vec<u8>, VfsError> {
        self.prepare()?;
        let path = self.path(node)?;
        let mut missing = Vec::new();
        let mut at = node;
        while !self.vfs.layers().state.is_real(at) {
            missing.push(at);
            at = self.parent(at)?;
        }
        for directory in missing.into_iter().rev() {
            self.make_directory_real(directory)?;
        }
        Ok(path)
    }

    fn make_directory_real(&mut self, node: Node) -> Result<(), VfsError> {
        let path = self.path(node)?;
        let shown = self.vfs.attributes(node)?;
        if shown.kind != Kind::Directory {
            return Err(VfsError::NotDirectory);
        }
        let host = &self.vfs.host;
        host.unseen(above(&path), || -> Result<(), VfsError> {
            host.make(&path, Made::Directory, shown.mode.into(), shown.owner)?;
            let modified = NewTime::At(shown.modified);
            Ok(host.set_times(&path, NewTime::At(shown.accessed), modified)?)
        })?;
        let mut layers = self.vfs.layers_mut();
        set_real(&mut layers.state, node, Kind::Directory, false);
        Ok(())
    }

    fn parent(&self, node: Node) -> Result<Node, VfsError> {
        let layers = self.vfs.layers();
        let parent = layers.state.parent(&layers.lower, node)?;
        parent.ok_or(VfsError::NotFound)
    }

    /// Copies `node` up, where it is not real yet; a file with this size. Returns where the copy
    /// is.
    pub(super) fn copy_up(&mut self, node: Node, size: Option<u64>) -> Result<Vec<u8>, VfsError> {
        if let Some(path) = self.real_path(node)? {
            return Ok(path);
        }
        let installed = self.lower.attributes(node)?;
        if installed.kind == Kind::Directory {
            return self.make_real(node);
        }
        let path = {
            let layers = self.vfs.layers();
            layers.state.path(&layers.lower, node)?
        };
        let parent = match &path {
            Some(_) => Some(self.parent(node)?),
            None => None,
        };
        let work = self.work_path()?;
        let copied = self.copy_to(&installed, &work, size);
        let placed = copied.and_then(|file| {
            let placed = match (path, parent) {
                (Some(path), Some(parent)) => {
                    self.make_real(parent)?;
                    self.place_copy(node, installed.kind, &work, &path, false)?;
                    path
                }
                // Somebody has it open, and no name leads to it any more.
                _ => {
                    let orphan = orphan_path(node, self.vfs.root);
                    self.place_copy(node, installed.kind, &work, &orphan, true)?;
                    orphan
                }
            };
            // It is changed next. Could it not be opened then, a part of it would be all that there
            // is.
            if let Some(file) = file {
                self.vfs.keep_open(node, file);
            }
            Ok(placed)
        });
        if placed.is_err() {
            let _ = self.vfs.host.remove(&work, false);
        }
        placed
    }

    fn place_copy(
        &self,
        node: Node,
        kind: Kind,
        work: &[u8],
        path: &[u8],
        orphan: bool,
    ) -> Result<(), VfsError> {
        let host = &self.vfs.host;
        let mut layers = self.vfs.layers_mut();
        host.unseen(above(path), || host.rename(work, path))?;
        set_real(&mut layers.state, node, kind, orphan);
        Ok(())
    }

    /// A name that no other copy has.
    pub(super) fn work_path(&mut self) -> Result<Vec<u8>, VfsError> {
        self.prepare()?;
        self.changes.serial += 1;
        Ok(join(WORK, self.changes.serial.to_string().as_bytes()))
    }

    /// Makes a copy at `work`, and gives it where it is a file.
    fn copy_to(
        &self,
        installed: &Attributes,
        work: &[u8],
        size: Option<u64>,
    ) -> Result<Option<File>, VfsError> {
        let host = &self.vfs.host;
        // A server that was killed may have left one.
        let _ = host.remove(work, false);
        let mode = u32::from(installed.mode);
        let made = if installed.kind == Kind::Symlink {
            let target = self.lower.read_link(installed.node)?;
            host.make(work, Made::Symlink(target), mode, installed.owner)?
        } else {
            let made = host.make(work, Made::File, mode, installed.owner)?;
            let file = made.as_ref().ok_or(VfsError::Invalid)?;
            let size = size.unwrap_or(installed.size);
            self.copy_content(installed.node, file, installed.size.min(size))?;
            if size > installed.size {
                file.set_len(size)?;
            }
            made
        };
        let (accessed, modified) = (installed.accessed, installed.modified);
        host.set_times(work, NewTime::At(accessed), NewTime::At(modified))?;
        Ok(made)
    }

    fn copy_content(&self, node: Node, file: &File, bytes: u64) -> Result<(), VfsError> {
        let mut buffer = Vec::new();
        let mut offset = 0;
        while offset < bytes {
            let wanted = u64::from(COPY_BYTES).min(bytes - offset);
            let wanted = u32::try_from(wanted).unwrap_or(COPY_BYTES);
            self.lower.read(node, offset, wanted, &mut buffer)?;
            let written = upper::write_at(file, &buffer, offset)?;
            if written < buffer.len() {
                return Err(Errno::NOSPC.into());
            }
            if buffer.is_empty() {
                break;
            }
            offset += written as u64;
        }
        Ok(())
    }

    /// Lets a directory that is really there show that an entry of it came or went that is not.
    pub(super) fn touch_real(&self, directory: Node) {
        let touch = |path: &[u8]| {
            let host = &self.vfs.host;
            host.set_times(path, NewTime::Keep, NewTime::Now)
        };
        let path = self.real_path(directory);
        let touched = path.and_then(|path| Ok(path.as_deref().map(touch).transpose()?));
        if let Err(error) = touched {
            tracing::warn!(%error, "a directory does not show when it changed");
        }
    }

    /// Makes what was written down survive a power cut.
    pub(super) fn sync_journal(&mut self) -> Result<(), VfsError> {
        match &mut self.changes.journal {
            Some(journal) => Ok(journal.sync()?),
            None => Ok(()),
        }
    }
}

/// The directory of a path.
pub(super) fn above(path: &[u8]) -> &[u8] {
    &path[..path.iter().rposition(|byte| *byte == b'/').unwrap_or(0)]
}

fn set_real(state: &mut upper::State, node: Node, kind: Kind, orphan: bool) {
    let known = state.known.entry(node).or_insert_with(|| Known {
        places: Vec::new(),
        real: true,
        kind,
        orphan,
    });
    (known.real, known.orphan) = (true, orphan);
}
