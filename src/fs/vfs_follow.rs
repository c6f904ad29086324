//! Another tree in the place of the one that was installed: what was written follows.

use std::fs::File;
use std::ops::ControlFlow;
use std::os::fd::OwnedFd;
use std::sync::{Arc, PoisonError};

use rustix::io::Errno;

use super::attributes::Kind;
use super::lower::{DOTS, Lower};
use super::node::Node;
use super::upper::{
    self, Discarded, Host, Start, UNTOLD, Untold, attributes, join, orphan_path,
    remove_empty_parents,
};
use super::vfs::{Layers, Vfs};
use super::vfs_error::VfsError;

impl Vfs {
    /// Shows `lower` from now on, a tree that takes the place of the one that was installed. What
    /// was written follows, but for what is in `forgotten` packages: `lower` has it. An empty path
    /// among them lets everything show again that was removed. Says what does not follow.
    ///
    /// # Errors
    /// When what was written cannot be read or moved. Then it shows `lower` all the same.
    pub(super) fn follow(
        &self,
        lower: Arc<Lower>,
        forgotten: &[&str],
    ) -> Result<Discarded, VfsError> {
        let mut changes = self.changes.lock().unwrap_or_else(PoisonError::into_inner);
        let mut layers = self.layers_mut();
        let restores = forgotten.contains(&"");
        for package in forgotten.iter().filter(|package| !package.is_empty()) {
            if let Err(error) = self.forget_package(&layers, package.as_bytes()) {
                // Then it is discarded like everything that has no place any more.
                tracing::warn!(%error, package, "not all of what was built could be forgotten");
            }
        }
        let followed = upper::follow(&self.host, &layers.lower, &lower, self.root, restores);
        if let Err(error) = &followed {
            tracing::error!(%error, "not all that was written could follow to the new layer");
        }
        let opened = upper::open(&self.host, &lower, self.root, Start::Resumed)?;
        *layers = Layers {
            lower,
            state: opened.state,
        };
        changes.journal = opened.journal;
        changes.requests = opened.requests;
        *self.witness.lock().unwrap_or_else(PoisonError::into_inner) = None;
        // Their nodes may have other files now.
        self.files().clear();
        followed
    }

    /// As [`Self::follow`], for what a server before this one may not have finished.
    ///
    /// # Errors
    /// As [`Self::follow`].
    pub(super) fn finish_following(
        (directory, spill): (OwnedFd, Option<File>),
        before: &Lower,
        lower: &Arc<Lower>,
        root: u32,
    ) -> Result<Untold, VfsError> {
        let host = Host::new(directory, spill);
        let followed = upper::follow(&host, before, lower, Node::Layer(root), false)?;
        Ok(followed.untold)
    }

    /// Whether everything that was installed in the root was removed, or the files there, which say
    /// what is installed.
    pub(super) fn is_emptied(&self) -> bool {
        let layers = self.layers();
        if layers.state.is_empty() {
            return false;
        }
        let (mut shown, mut removed, mut files_removed) = (0, 0, 0);
        let listed = layers.lower.read_directory(self.root, DOTS, &mut |entry| {
            let named = layers.state.named(self.root, entry.name);
            if named.is_none_or(|named| named.node.is_some() || !named.hides) {
                shown += 1;
            } else {
                removed += 1;
                files_removed += u32::from(entry.attributes.kind == Kind::File);
            }
            ControlFlow::Continue(())
        });
        listed.is_ok() && (files_removed > 0 || removed > 0 && shown == 0)
    }

    /// The kernel was told of all names that another server may not have told it of.
    pub(super) fn forget_untold(&self) {
        let _ = self.host.remove(UNTOLD, false);
    }

    /// Takes away what was written into the package at `path`, and the directories above it that
    /// were made for that alone. Whoever has some of it open goes on with it.
    fn forget_package(&self, layers: &Layers, path: &[u8]) -> Result<(), VfsError> {
        let mut package = Some(self.root);
        for name in path.split(|byte| *byte == b'/') {
            package = match package {
                Some(directory) => child(layers, directory, name)?,
                None => None,
            };
        }
        let Some(package) = package.filter(|package| package.is_lower()) else {
            return Ok(());
        };
        match self.host.stat(path) {
            Ok(stat) if attributes(&stat, package).kind == Kind::Directory => {}
            Ok(_) => return Ok(()),
            Err(Errno::NOENT | Errno::NOTDIR) => return Ok(()),
            Err(error) => return Err(error.into()),
        }
        self.orphan_entries(layers, package, path)?;
        self.host.remove(path, true)?;
        remove_empty_parents(&self.host, path);
        Ok(())
    }

    /// Moves everything in the real directory at `path` to the orphans, where it stays until the
    /// kernel forgets it: until then its inode numbers must not be given out again.
    fn orphan_entries(
        &self,
        layers: &Layers,
        directory: Node,
        path: &[u8],
    ) -> Result<(), VfsError> {
        for (name, stat) in self.host.list(path)? {
            let Some(node) = child(layers, directory, &name)? else {
                continue;
            };
            let below = join(path, &name);
            let is_directory = attributes(&stat, node).kind == Kind::Directory;
            let leaves_nothing = if is_directory {
                self.orphan_entries(layers, node, &below)?;
                node.is_lower()
            } else {
                self.host.stat(&below)?.st_nlink > 1
            };
            if leaves_nothing {
                self.host.remove(&below, is_directory)?;
            } else {
                self.host.rename(&below, &orphan_path(node, self.root))?;
            }
        }
        Ok(())
    }
}

/// What `directory` shows under `name`.
fn child(layers: &Layers, directory: Node, name: &[u8]) -> Result<Option<Node>, VfsError> {
    match layers.state.named(directory, name) {
        Some(named) if named.node.is_some() || named.hides => Ok(named.node),
        _ if directory.is_lower() => {
            let found = layers.lower.lookup(directory, name)?;
            Ok(found.map(|found| found.node))
        }
        _ => Ok(None),
    }
}
