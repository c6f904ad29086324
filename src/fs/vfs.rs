//! The file system without FUSE: the tree as it was installed, and over it what was written.
//!
//! Here is what only looks; `vfs_names` has what changes names, `vfs_files` what changes files,
//! `vfs_follow` what another tree in the place of the installed one changes.
//!
//! **Architecture Invariant:** nothing here knows of the kernel, of file handles or of errno.
//!
//! **Architecture Invariant:** changes come one after the other, and each is made under the lock of
//! the state for as long as paths change. Those who look never wait for a copy, nor for a package
//! that is opened.

use std::fs::File;
use std::io;
use std::num::NonZeroUsize;
use std::ops::ControlFlow;
use std::os::fd::OwnedFd;
use std::sync::atomic::AtomicBool;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};

use lru::LruCache;
use rustix::io::Errno;

use super::attributes::{Attributes, Entry, Kind};
use super::lower::{DOTS, Lower};
use super::node::Node;
use super::package::is_short_of_files;
use super::upper::{
    self, Host, Journal, Known, Overlay, Requests, Start, State, UPPER_COOKIES, attributes,
    orphan_path, read_at,
};
use super::vfs_error::VfsError;
use super::vfs_retire::Witness;
use crate::limits::NAME_BYTES_MAX;

/// How many real files are kept open.
pub(super) const FILES_OPEN_MAX: NonZeroUsize = NonZeroUsize::MIN.saturating_add(127);

/// Links of a directory that was made and has no directory in it: its name and its own `.`.
pub(super) const EMPTY_DIRECTORY_LINKS: u32 = 2;

/// How many entries of the upper layer are taken at once while a directory is read.
const ENTRIES_AT_ONCE: usize = 64;

/// The file system of one tree.
pub struct Vfs {
    pub(super) root: Node,
    pub(super) layers: RwLock<Layers>,
    pub(super) host: Host,
    pub(super) changes: Mutex<Changes>,
    files: Mutex<LruCache<Node, Arc<File>>>,
    problem: Option<String>,
    pub(super) witness: Mutex<Option<Witness>>,
    /// The mount has gone, or is about to.
    pub(super) retired: AtomicBool,
}

/// What is shown.
pub(super) struct Layers {
    pub(super) lower: Arc<Lower>,
    pub(super) state: State,
}

/// What only those who change something need.
pub(super) struct Changes {
    pub(super) journal: Option<Journal>,
    /// The exchanges that may be asked for again.
    pub(super) requests: Requests,
    /// Makes names for copies.
    pub(super) serial: u64,
}

impl Layers {
    /// Where the real file of `node` is, where it has one.
    pub(super) fn real_path(&self, root: Node, node: Node) -> Result<Option<Vec<u8>>, VfsError> {
        match self.state.known.get(&node) {
            Some(known) if known.real && known.orphan => Ok(Some(orphan_path(node, root))),
            Some(known) if known.real => {
                let path = self.state.path(&self.lower, node)?;
                path.ok_or(VfsError::Stale).map(Some)
            }
            _ => Ok(None),
        }
    }

    /// What the listing of `directory` says of the one above it: which one it is.
    fn above(&self, directory: Node, like: Attributes) -> Result<Attributes, VfsError> {
        let above = self.state.parent(&self.lower, directory)?;
        Ok(Attributes {
            node: above.unwrap_or(directory),
            ..like
        })
    }
}

impl Vfs {
    /// The file system of the tree of `lower` with this root, over what was written into
    /// `directory`. The journal of that goes on in `spill` while the directory has no room for it.
    ///
    /// # Errors
    /// When the directory cannot be read.
    pub fn new(
        lower: Arc<Lower>,
        root: u32,
        (directory, spill): (OwnedFd, Option<File>),
        start: Start,
    ) -> Result<Self, VfsError> {
        let root = Node::Layer(root);
        let host = Host::new(directory, spill);
        let opened = upper::open(&host, &lower, root, start)?;
        let problem = opened.problem.map(|problem| problem.to_string());
        if let Some(problem) = &problem {
            tracing::error!(problem, "nothing can be written");
        }
        Ok(Self {
            root,
            layers: RwLock::new(Layers {
                lower,
                state: opened.state,
            }),
            host,
            changes: Mutex::new(Changes {
                journal: opened.journal,
                requests: opened.requests,
                serial: 0,
            }),
            files: Mutex::new(LruCache::new(FILES_OPEN_MAX)),
            problem,
            witness: Mutex::new(None),
            retired: AtomicBool::new(false),
        })
    }

    /// Nobody changes anything any more: writes down what had no room until now.
    ///
    /// # Errors
    /// When there still is none.
    pub(super) fn end(&self) -> io::Result<()> {
        let mut changes = self.changes.lock().unwrap_or_else(PoisonError::into_inner);
        changes.journal.as_mut().map_or(Ok(()), Journal::come_home)
    }

    /// The tree as it was installed.
    pub fn lower(&self) -> Arc<Lower> {
        Arc::clone(&self.layers().lower)
    }

    /// Where a node is shown, from the root of the tree.
    pub(super) fn path(&self, node: Node) -> Option<Vec<u8>> {
        let layers = self.layers();
        layers.state.path(&layers.lower, node).ok().flatten()
    }

    /// Why nothing can be written, where that is so.
    pub fn problem(&self) -> Option<&str> {
        self.problem.as_deref()
    }

    /// A thread that panicked while it held a lock left the state whole: what can panic is asked
    /// before anything is changed.
    pub(super) fn layers(&self) -> RwLockReadGuard<'_, Layers> {
        self.layers.read().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn layers_mut(&self) -> RwLockWriteGuard<'_, Layers> {
        self.layers.write().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn files(&self) -> MutexGuard<'_, LruCache<Node, Arc<File>>> {
        self.files.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The child of `parent` with this name; `None` where there is none.
    ///
    /// # Errors
    /// When `parent` is not a directory, the name is too long or the pack cannot be read.
    pub fn lookup(&self, parent: Node, name: &[u8]) -> Result<Option<Attributes>, VfsError> {
        if name.len() > NAME_BYTES_MAX {
            return Err(VfsError::NameTooLong);
        }
        let layers = self.layers();
        if let Some(named) = layers.state.named(parent, name) {
            match named.node {
                Some(node) => return self.attributes_in(&layers, node).map(Some),
                None if named.hides => return Ok(None),
                None => {}
            }
        }
        if !parent.is_lower() {
            return match layers.state.known.get(&parent) {
                Some(known) if known.kind != Kind::Directory => Err(VfsError::NotDirectory),
                Some(_) => Ok(None),
                None => Err(VfsError::Stale),
            };
        }
        let (lower, untouched) = (Arc::clone(&layers.lower), layers.state.is_empty());
        drop(layers);
        let found = lower.lookup(parent, name)?;
        match found {
            Some(found) if !untouched => {
                let layers = self.layers();
                self.overlaid(&layers, found).map(Some)
            }
            found => Ok(found),
        }
    }

    /// The directory of a package that went with a layer before this one, for those who know its
    /// path.
    pub(super) fn lingering(&self, parent: Node, name: &[u8]) -> Option<Attributes> {
        let layers = self.layers();
        let is_changed = layers.state.named(parent, name).is_some();
        let lower = (!is_changed).then(|| Arc::clone(&layers.lower));
        drop(layers);
        lower?.lingering(parent, name)
    }

    /// Whether root may use a node: modes bind it where something is to be executed that is no
    /// directory and that nobody may execute (access(2), `generic_permission` in `fs/namei.c`).
    ///
    /// # Errors
    /// [`VfsError::Denied`]; what [`Self::attributes`] fails with.
    pub fn allows_root(&self, node: Node, executes: bool) -> Result<(), VfsError> {
        if !executes {
            return Ok(());
        }
        let attributes = self.attributes(node)?;
        match attributes.kind == Kind::Directory || attributes.mode & 0o111 != 0 {
            true => Ok(()),
            false => Err(VfsError::Denied),
        }
    }

    /// What `stat` says of `node`.
    ///
    /// # Errors
    /// When there is no such node or the pack cannot be read.
    pub fn attributes(&self, node: Node) -> Result<Attributes, VfsError> {
        let layers = self.layers();
        if layers.state.is_empty() {
            let lower = Arc::clone(&layers.lower);
            drop(layers);
            return lower.attributes(node);
        }
        let mut attributes = self.attributes_in(&layers, node)?;
        // What was installed has one link until it is removed.
        if !layers.state.is_real(node) && attributes.kind != Kind::Directory {
            match layers.state.path(&layers.lower, node) {
                Ok(Some(_)) => {}
                Ok(None) | Err(VfsError::Stale) => attributes.links = 0,
                Err(error) => return Err(error),
            }
        }
        Ok(attributes)
    }

    fn attributes_in(&self, layers: &Layers, node: Node) -> Result<Attributes, VfsError> {
        match layers.real_path(self.root, node)? {
            Some(path) => self.real_attributes(layers, node, &path),
            None => self.overlaid(layers, layers.lower.attributes(node)?),
        }
    }

    fn real_attributes(
        &self,
        layers: &Layers,
        node: Node,
        path: &[u8],
    ) -> Result<Attributes, VfsError> {
        let stat = match self.host.stat(path) {
            // It lives for those who have it open alone.
            Err(Errno::NOENT) if self.is_retired() => {
                let file = self.files().get(&node).cloned().ok_or(VfsError::Stale)?;
                rustix::fs::fstat(&*file)
            }
            stat => stat,
        };
        let mut found = attributes(&stat?, node);
        let orphan = layers.state.known.get(&node).map(|known| known.orphan);
        found.links = match (found.kind, orphan) {
            (Kind::Directory, Some(true)) => 0,
            (Kind::Directory, _) if node.is_lower() => 1,
            (Kind::Directory, _) => {
                let overlay = layers.state.overlay(node);
                EMPTY_DIRECTORY_LINKS + overlay.map_or(0, Overlay::directories)
            }
            (_, Some(true)) => found.links.saturating_sub(1),
            _ => found.links,
        };
        Ok(found)
    }

    /// What `stat` says of what was installed, where it may have been copied up.
    fn overlaid(&self, layers: &Layers, installed: Attributes) -> Result<Attributes, VfsError> {
        let node = installed.node;
        if let Some(path) = layers.real_path(self.root, node)? {
            return self.real_attributes(layers, node, &path);
        }
        let overlay = layers.state.overlay(node);
        let Some(changed) = overlay.and_then(|overlay| overlay.changed) else {
            return Ok(installed);
        };
        Ok(Attributes {
            modified: changed,
            changed,
            ..installed
        })
    }

    /// The target of a symlink.
    ///
    /// # Errors
    /// When `node` is not a symlink.
    pub fn read_link(&self, node: Node) -> Result<Vec<u8>, VfsError> {
        let layers = self.layers();
        match layers.state.known.get(&node) {
            Some(Known { kind, .. }) if *kind != Kind::Symlink => Err(VfsError::NotSymlink),
            _ => match layers.real_path(self.root, node)? {
                Some(path) => Ok(self.host.read_link(&path)?),
                None => layers.lower.read_link(node).map(<[u8]>::to_vec),
            },
        }
    }

    /// Puts up to `size` bytes of a file from `offset` into `buffer`: fewer only at its end.
    ///
    /// # Errors
    /// When `node` is not a file or it cannot be read.
    pub fn read(
        &self,
        node: Node,
        offset: u64,
        size: u32,
        buffer: &mut Vec<u8>,
    ) -> Result<(), VfsError> {
        match self.real_file(node)? {
            Some(file) => {
                buffer.clear();
                if i64::try_from(offset).is_ok() {
                    buffer.resize(size as usize, 0);
                    read_at(&file, buffer, offset)?;
                }
                Ok(())
            }
            None => self.lower().read(node, offset, size, buffer),
        }
    }

    /// Whether `node` is as it was installed: nothing was written into it.
    pub fn is_untouched(&self, node: Node) -> bool {
        node.is_lower() && !self.layers().state.is_real(node)
    }

    /// Whether a name leads to `node`: it was not removed.
    pub fn is_shown(&self, node: Node) -> bool {
        let layers = self.layers();
        let path = || layers.state.path(&layers.lower, node);
        layers.state.is_empty() || path().is_ok_and(|path| path.is_some())
    }

    /// The open real file of `node`, where it has one.
    pub(super) fn real_file(&self, node: Node) -> Result<Option<Arc<File>>, VfsError> {
        let layers = self.layers();
        if !layers.state.is_real(node) {
            return Ok(None);
        }
        if let Some(file) = self.files().get(&node) {
            return Ok(Some(Arc::clone(file)));
        }
        match layers.state.known.get(&node).map(|known| known.kind) {
            Some(Kind::File) => {}
            Some(Kind::Directory) => return Err(VfsError::IsDirectory),
            _ => return Err(VfsError::Invalid),
        }
        let Some(path) = layers.real_path(self.root, node)? else {
            return Ok(None);
        };
        let file = match self.host.open(&path) {
            Err(error) if is_short_of_files(&error.into()) => {
                self.files().clear();
                self.host.open(&path)
            }
            opened => opened,
        };
        let file = Arc::new(file?);
        self.files().put(node, Arc::clone(&file));
        Ok(Some(file))
    }

    /// Keeps a file open that was just made: it will be written.
    pub(super) fn keep_open(&self, node: Node, file: File) {
        self.files().put(node, Arc::new(file));
    }

    /// Forgets the open file of a node that is no more.
    pub(super) fn close_file(&self, node: Node) {
        self.files().pop(&node);
    }

    /// Shows the entries of `directory` after `cookie` (0: all) until `visit` breaks. A cookie
    /// that no entry had shows nothing of the lower layer, and in the upper layer what follows it.
    ///
    /// # Errors
    /// When `directory` is not a directory or the pack cannot be read.
    pub fn read_directory(
        &self,
        directory: Node,
        cookie: u64,
        visit: &mut dyn FnMut(Entry<'_>) -> ControlFlow<()>,
    ) -> Result<(), VfsError> {
        let layers = self.layers();
        let (lower, untouched) = (Arc::clone(&layers.lower), layers.state.is_empty());
        let known = layers.state.known.get(&directory).map(|known| known.kind);
        drop(layers);
        if known.is_some_and(|kind| kind != Kind::Directory) {
            return Err(VfsError::NotDirectory);
        }
        let mut broke = false;
        if !directory.is_lower() {
            self.read_dots(directory, cookie, &mut broke, visit)?;
        } else if cookie < UPPER_COOKIES {
            let mut failed = None;
            lower.read_directory(directory, cookie, &mut |entry| {
                let shown = if untouched {
                    Ok(Some(entry.attributes))
                } else {
                    self.shown(directory, &entry)
                };
                let flow = match shown {
                    Ok(Some(attributes)) => visit(Entry {
                        attributes,
                        ..entry
                    }),
                    Ok(None) => ControlFlow::Continue(()),
                    Err(error) => {
                        failed = Some(error);
                        ControlFlow::Break(())
                    }
                };
                broke = flow.is_break();
                flow
            })?;
            if let Some(error) = failed {
                return Err(error);
            }
        }
        if broke || untouched {
            return Ok(());
        }
        self.read_upper(
            directory,
            cookie.saturating_add(1).max(UPPER_COOKIES),
            visit,
        )
    }

    fn read_dots(
        &self,
        directory: Node,
        cookie: u64,
        broke: &mut bool,
        visit: &mut dyn FnMut(Entry<'_>) -> ControlFlow<()>,
    ) -> Result<(), VfsError> {
        let layers = self.layers();
        let own = self.attributes_in(&layers, directory)?;
        let above = layers.above(directory, own)?;
        drop(layers);
        for (position, (name, attributes)) in (1..=DOTS).zip([(&b"."[..], own), (b"..", above)]) {
            let entry = Entry {
                name,
                cookie: position,
                attributes,
            };
            if position > cookie && visit(entry).is_break() {
                *broke = true;
                break;
            }
        }
        Ok(())
    }

    /// What an installed entry shows now; `None` where it is hidden or shown elsewhere.
    fn shown(&self, directory: Node, entry: &Entry<'_>) -> Result<Option<Attributes>, VfsError> {
        let layers = self.layers();
        if entry.name == b".." {
            return layers.above(directory, entry.attributes).map(Some);
        }
        match layers.state.named(directory, entry.name) {
            Some(named) if named.hides || named.node.is_some() => Ok(None),
            _ => self.overlaid(&layers, entry.attributes).map(Some),
        }
    }

    fn read_upper(
        &self,
        directory: Node,
        mut cookie: u64,
        visit: &mut dyn FnMut(Entry<'_>) -> ControlFlow<()>,
    ) -> Result<(), VfsError> {
        loop {
            let layers = self.layers();
            let Some(overlay) = layers.state.overlay(directory) else {
                return Ok(());
            };
            let mut taken: Vec<(u64, Vec<u8>, Attributes)> = Vec::new();
            for (cookie, name, node) in overlay.shown_from(cookie).take(ENTRIES_AT_ONCE) {
                let attributes = self.attributes_in(&layers, node)?;
                taken.push((cookie, name.to_vec(), attributes));
            }
            drop(layers);
            let Some((last, ..)) = taken.last() else {
                return Ok(());
            };
            let next = last + 1;
            for (position, name, attributes) in &taken {
                let entry = Entry {
                    name,
                    cookie: *position,
                    attributes: *attributes,
                };
                if visit(entry).is_break() {
                    return Ok(());
                }
            }
            cookie = next;
        }
    }

    /// What the file system under the mount has and has left.
    ///
    /// # Errors
    /// When it does not tell.
    pub fn space(&self) -> io::Result<rustix::fs::StatVfs> {
        Ok(self.host.statfs()?)
    }
}
