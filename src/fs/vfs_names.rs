//! Changes of names: create, remove, rename, link.

use std::io;
use std::ops::ControlFlow;

use super::attributes::{Attributes, Kind, Owner, Time};
use super::node::Node;
use super::upper::{
    Known, Made, Move, PRIVATE, Record, State, Witness, attributes, join, orphan_path,
};
use super::vfs::{EMPTY_DIRECTORY_LINKS, Vfs};
use super::vfs_change::{Change, Child};
use super::vfs_error::VfsError;

/// What to do where the new name of a rename is taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Replace {
    /// Put it in the place of what is there.
    Allowed,
    /// Refuse.
    Refused,
}

/// One end of a rename.
#[derive(Debug, Clone)]
pub(super) struct End {
    pub(super) parent: Node,
    pub(super) name: Box<[u8]>,
    pub(super) path: Vec<u8>,
    /// Something was installed under this name.
    pub(super) installed: bool,
}

impl End {
    /// Whether the other is within it.
    pub(super) fn is_above(&self, other: &Self) -> bool {
        other.path.starts_with(&self.path) && other.path.get(self.path.len()) == Some(&b'/')
    }
}

impl Vfs {
    /// Makes something new in `parent`, with these permission bits, for `owner`.
    ///
    /// # Errors
    /// When the name is taken or reserved, or the file system under the mount refuses.
    pub fn create(
        &self,
        parent: Node,
        name: &[u8],
        made: Made<'_>,
        mode: u32,
        owner: Owner,
    ) -> Result<Attributes, VfsError> {
        let mut change = self.change()?;
        change.check_name(parent, name)?;
        if change.child(parent, name)?.is_some() {
            return Err(VfsError::Exists);
        }
        let hides = change.is_installed(parent, name)?;
        let path = join(&change.make_real(parent)?, name);
        let file = self.host.make(&path, made, mode, owner)?;
        let stat = match &file {
            Some(file) => rustix::fs::fstat(file)?,
            None => self.host.stat(&path)?,
        };
        let node = Node::of_upper(stat.st_ino);
        if let Some(file) = file {
            self.keep_open(node, file);
        }
        let mut attributes = attributes(&stat, node);
        if attributes.kind == Kind::Directory {
            attributes.links = EMPTY_DIRECTORY_LINKS;
        }
        let mut layers = self.layers_mut();
        let known = Known {
            places: Vec::new(),
            real: true,
            kind: attributes.kind,
            orphan: false,
        };
        layers.state.known.insert(node, known);
        layers.state.name(parent, name, hides, node);
        Ok(attributes)
    }

    /// Removes what is not a directory.
    ///
    /// # Errors
    /// When it is not there or is a directory, or the file system under the mount refuses.
    pub fn unlink(&self, parent: Node, name: &[u8]) -> Result<(), VfsError> {
        let mut change = self.change()?;
        let child = match change.child(parent, name) {
            Err(VfsError::Pack(error)) => return change.remove_unread(parent, name, error),
            child => child?.ok_or(VfsError::NotFound)?,
        };
        if child.kind == Kind::Directory {
            return Err(VfsError::IsDirectory);
        }
        change.remove(parent, name, child)
    }

    /// Removes an empty directory.
    ///
    /// # Errors
    /// When it is not there, is no directory or not empty, or the file system under the mount
    /// refuses.
    pub fn rmdir(&self, parent: Node, name: &[u8]) -> Result<(), VfsError> {
        let mut change = self.change()?;
        let child = match change.child(parent, name) {
            Err(VfsError::Pack(error)) => return change.remove_unread(parent, name, error),
            child => child?.ok_or(VfsError::NotFound)?,
        };
        if child.kind != Kind::Directory {
            return Err(VfsError::NotDirectory);
        }
        change.check_empty(child.node)?;
        if parent == self.root && name == PRIVATE {
            // The journal stays; only what was shown of the directory goes.
            let mut layers = self.layers_mut();
            layers.state.unname(parent, name, true, child.node);
            layers.state.known.remove(&child.node);
            return Ok(());
        }
        change.remove(parent, name, child)
    }

    /// Gives what is not a directory another name.
    ///
    /// # Errors
    /// When it is a directory, the name is taken or reserved, or the file system under the mount
    /// refuses.
    pub fn link(&self, node: Node, parent: Node, name: &[u8]) -> Result<Attributes, VfsError> {
        let mut change = self.change()?;
        change.check_name(parent, name)?;
        if self.attributes(node)?.kind == Kind::Directory {
            return Err(VfsError::NotPermitted);
        }
        if change.child(parent, name)?.is_some() {
            return Err(VfsError::Exists);
        }
        change.path(node)?;
        let hides = change.is_installed(parent, name)?;
        let from = change.copy_up(node, None)?;
        let to = join(&change.make_real(parent)?, name);
        self.host.link(&from, &to)?;
        if node.is_lower() {
            let origin = change.lower.path(node)?;
            change.record(&Record::Show {
                path: to.clone(),
                origin,
            })?;
            let installed = change.lower.place(node)?;
            let mut layers = self.layers_mut();
            if let (Some(known), Some(place)) = (layers.state.known.get_mut(&node), installed)
                && known.places.is_empty()
            {
                known.places.push(place);
            }
        }
        self.layers_mut().state.name(parent, name, hides, node);
        self.attributes(node)
    }

    /// Gives something another place.
    ///
    /// # Errors
    /// When it is not there, what is at the new place cannot be replaced, or the file system under
    /// the mount refuses.
    pub fn rename(
        &self,
        (parent, name): (Node, &[u8]),
        (new_parent, new_name): (Node, &[u8]),
        replace: Replace,
    ) -> Result<(), VfsError> {
        let mut change = self.change()?;
        change.check_name(parent, name)?;
        change.check_name(new_parent, new_name)?;
        let child = change.child(parent, name)?.ok_or(VfsError::NotFound)?;
        let target = change.child(new_parent, new_name)?;
        if let Some(target) = target {
            if replace == Replace::Refused {
                return Err(VfsError::Exists);
            }
            if target.node == child.node {
                return Ok(());
            }
            match (child.kind, target.kind) {
                (Kind::Directory, Kind::Directory) => change.check_empty(target.node)?,
                (Kind::Directory, _) => return Err(VfsError::NotDirectory),
                (_, Kind::Directory) => return Err(VfsError::IsDirectory),
                _ => {}
            }
        }
        let from = change.end(parent, name)?;
        let to = change.end(new_parent, new_name)?;
        if from.is_above(&to) {
            return Err(VfsError::Invalid);
        }
        change.rename(child, target, &from, &to)
    }
}

impl Change<'_> {
    pub(super) fn end(&self, parent: Node, name: &[u8]) -> Result<End, VfsError> {
        Ok(End {
            parent,
            name: name.into(),
            path: self.entry_path(parent, name)?,
            installed: self.is_installed(parent, name)?,
        })
    }

    fn check_empty(&self, directory: Node) -> Result<(), VfsError> {
        let mut empty = true;
        let read = self.vfs.read_directory(directory, 0, &mut |entry| {
            empty = entry.name == b"." || entry.name == b"..";
            if empty {
                ControlFlow::Continue(())
            } else {
                ControlFlow::Break(())
            }
        });
        match read {
            // Whoever cannot read it can remove it all the same, with what nobody wrote.
            Err(VfsError::Pack(_)) => empty = self.has_nothing_written(directory)?,
            read => read?,
        }
        if empty {
            Ok(())
        } else {
            Err(VfsError::NotEmpty)
        }
    }

    fn has_nothing_written(&self, directory: Node) -> Result<bool, VfsError> {
        if let Some(path) = self.real_path(directory)?
            && !self.vfs.host.list(&path)?.is_empty()
        {
            return Ok(false);
        }
        let layers = self.vfs.layers();
        let overlay = layers.state.overlay(directory);
        Ok(overlay.is_none_or(|overlay| overlay.shown_from(0).next().is_none()))
    }

    /// Takes away a name of a package that cannot be read, where nothing was written: who was
    /// shown it before can ask for that. Where nobody knows its path any more, the journal says
    /// nothing of it until a directory above it is removed too.
    fn remove_unread(
        &mut self,
        parent: Node,
        name: &[u8],
        error: io::Error,
    ) -> Result<(), VfsError> {
        let is_written = {
            let layers = self.vfs.layers();
            layers.state.is_real(parent) || layers.state.named(parent, name).is_some()
        };
        if is_written {
            return Err(VfsError::Pack(error));
        }
        match self.entry_path(parent, name) {
            Err(VfsError::Pack(_)) => {}
            path => self.record(&Record::Hide(path?))?,
        }
        let mut layers = self.vfs.layers_mut();
        layers.state.set_name(parent, name, true, None);
        layers.state.touch(parent, self.time);
        Ok(())
    }

    /// Takes away a name that has been checked.
    fn remove(&mut self, parent: Node, name: &[u8], child: Child) -> Result<(), VfsError> {
        let path = self.entry_path(parent, name)?;
        let hides = self.is_installed(parent, name)?;
        if hides || child.node.is_lower() {
            self.record(&Record::Hide(path.clone()))?;
        }
        let vfs = self.vfs;
        let mut layers = vfs.layers_mut();
        if child.real
            && let Err(error) = vfs.remove_real(&layers.state, child, &path)
        {
            drop(layers);
            if child.node.is_lower() {
                let origin = self.lower.path(child.node)?;
                self.record(&Record::Show { path, origin })?;
            }
            return Err(error);
        }
        let last = layers.state.unname(parent, name, hides, child.node);
        end_node(&mut layers.state, child, last);
        layers.state.touch(parent, self.time);
        drop(layers);
        if !child.real {
            self.touch_real(parent);
        }
        Ok(())
    }

    fn rename(
        &mut self,
        child: Child,
        target: Option<Child>,
        from: &End,
        to: &End,
    ) -> Result<(), VfsError> {
        if child.real {
            self.make_real(to.parent)?;
        }
        let vfs = self.vfs;
        let real_target = target.filter(|target| target.real);
        if let Some(target) = real_target {
            if target.kind == Kind::Directory {
                // It is empty: nobody misses it should this end here.
                let layers = vfs.layers_mut();
                vfs.remove_real(&layers.state, target, &to.path)?;
            } else if child.real {
                vfs.keep_linked(target, &to.path)?;
            }
        }
        let origin = child.node.is_lower().then(|| self.lower.path(child.node));
        let change = Move {
            from: from.path.clone(),
            to: to.path.clone(),
            origin: origin.transpose()?,
            back: None,
        };
        let replaced = real_target.filter(|target| target.kind != Kind::Directory);
        let apply = |state: &mut State, time| apply_rename(state, time, child, target, from, to);
        if child.real {
            let inode = vfs.host.stat(&from.path)?.st_ino;
            let told = child.kind == Kind::Directory
                || child.node.is_lower()
                || from.installed
                || to.installed
                || target.is_some_and(|target| target.node.is_lower());
            let witness = told.then_some(Witness::Arrived(inode));
            return self.rename_real(change, witness, apply, |_| {
                Ok(vfs.host.rename(&from.path, &to.path)?)
            });
        }
        if let Some(replaced) = replaced {
            let inode = vfs.host.stat(&to.path)?.st_ino;
            let witness = Some(Witness::Left(inode));
            self.rename_real(change, witness, apply, |state| {
                vfs.remove_real(state, replaced, &to.path)
            })?;
        } else {
            self.record(&Record::Move(change))?;
            apply(&mut vfs.layers_mut().state, self.time);
        }
        self.touch_real(from.parent);
        self.touch_real(to.parent);
        Ok(())
    }

    /// Does a rename that moves or removes something real, and says so in the journal before and
    /// after where it must know.
    pub(super) fn rename_real(
        &mut self,
        change: Move,
        witness: Option<Witness>,
        apply: impl FnOnce(&mut State, Time),
        act: impl FnOnce(&State) -> Result<(), VfsError>,
    ) -> Result<(), VfsError> {
        if let Some(witness) = witness {
            self.record(&Record::Intent(change, witness))?;
        }
        let mut layers = self.vfs.layers_mut();
        let acted = act(&layers.state);
        if acted.is_ok() {
            apply(&mut layers.state, self.time);
        }
        drop(layers);
        if witness.is_some() {
            let outcome = match acted {
                Ok(()) => Record::Done,
                Err(_) => Record::GivenUp,
            };
            self.conclude(&outcome);
        }
        acted
    }
}

fn apply_rename(
    state: &mut State,
    time: Time,
    child: Child,
    target: Option<Child>,
    from: &End,
    to: &End,
) {
    if let Some(target) = target {
        let last = state.unname(to.parent, &to.name, to.installed, target.node);
        end_node(state, target, last);
    }
    state.known.entry(child.node).or_insert_with(|| Known {
        places: Vec::new(),
        real: false,
        kind: child.kind,
        orphan: false,
    });
    state.unname(from.parent, &from.name, from.installed, child.node);
    state.name(to.parent, &to.name, to.installed, child.node);
    state.touch(from.parent, time);
    state.touch(to.parent, time);
}

/// What becomes of a node that lost a name.
fn end_node(state: &mut State, child: Child, last: bool) {
    if !last {
        return;
    }
    if child.kind == Kind::Directory {
        state.drop_overlay(child.node);
    }
    let kept = child.real && (child.kind != Kind::Directory || !child.node.is_lower());
    if kept && let Some(known) = state.known.get_mut(&child.node) {
        known.orphan = true;
    } else {
        state.known.remove(&child.node);
    }
}

impl Vfs {
    /// Takes away the real part of a name. What nothing else leads to is kept until the kernel
    /// forgets it, so that whoever has it open goes on, and its inode number is not given out
    /// again.
    fn remove_real(&self, state: &State, child: Child, path: &[u8]) -> Result<(), VfsError> {
        let directory = child.kind == Kind::Directory;
        let forgotten = if directory {
            child.node.is_lower()
        } else {
            has_other_names(state, child.node)
        };
        if forgotten {
            return Ok(self.host.remove(path, directory)?);
        }
        Ok(self
            .host
            .rename(path, &orphan_path(child.node, self.root))?)
    }

    /// Gives what is about to be replaced a name among the orphans, where it has no other.
    fn keep_linked(&self, child: Child, path: &[u8]) -> Result<(), VfsError> {
        if !has_other_names(&self.layers().state, child.node) {
            let orphan = orphan_path(child.node, self.root);
            let _ = self.host.remove(&orphan, false);
            self.host.link(path, &orphan)?;
        }
        Ok(())
    }

    /// The kernel knows `node` no more: what was removed can go.
    pub fn forget(&self, node: Node) {
        let orphan = |state: &State| state.known.get(&node).is_some_and(|known| known.orphan);
        if !orphan(&self.layers().state) {
            return;
        }
        if self.is_retired() {
            self.close_file(node);
            return;
        }
        let Ok(_change) = self.change() else {
            return;
        };
        let known = {
            let mut layers = self.layers_mut();
            if !orphan(&layers.state) {
                return;
            }
            layers.state.known.remove(&node)
        };
        self.close_file(node);
        let directory = known.is_some_and(|known| known.kind == Kind::Directory);
        let path = orphan_path(node, self.root);
        if let Err(error) = self.host.remove(&path, directory) {
            tracing::warn!(%error, "what was removed could not be deleted");
        }
    }
}

impl Vfs {
    /// Takes away the content of what was removed, if no other link has it.
    pub(super) fn empty_orphan(&self, node: Node) -> Result<(), VfsError> {
        let _change = self.change()?;
        let is_orphan = {
            let layers = self.layers();
            let known = layers.state.known.get(&node);
            known.is_some_and(|known| known.orphan && known.kind == Kind::File)
        };
        let path = orphan_path(node, self.root);
        if !is_orphan || self.host.stat(&path)?.st_nlink > 1 {
            return Ok(());
        }
        Ok(self.host.open(&path)?.set_len(0)?)
    }
}

/// Whether more than one name leads to what is really there.
fn has_other_names(state: &State, node: Node) -> bool {
    let known = state.known.get(&node);
    known.is_some_and(|known| known.places.len() > 1)
}
