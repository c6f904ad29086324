//! A tree of which everything was removed, and whose mount goes: nothing of it is left in the
//! directory under the mount, and nothing comes there any more.

use std::num::NonZeroUsize;
use std::ops::ControlFlow;
use std::sync::PoisonError;
use std::sync::atomic::Ordering;
use std::thread;
use std::time::{Duration, Instant};

use super::attributes::Kind;
use super::lower::DOTS;
use super::node::Node;
use super::upper::{PRIVATE, orphan_path, remove_tree};
use super::vfs::{FILES_OPEN_MAX, Layers, Vfs};
use super::vfs_error::VfsError;

/// How many removed files may still be open in a tree that goes.
const ORPHANS_MAX: usize = 256;

/// How long the kernel may take to say which removed files nobody has open.
const FORGET_TIMEOUT: Duration = Duration::from_millis(500);

const BETWEEN_LOOKS: Duration = Duration::from_millis(5);

/// A name in the root that was shown when it was last looked for.
#[derive(Debug)]
pub(super) struct Witness {
    name: Box<[u8]>,
    is_installed: bool,
}

impl Vfs {
    /// Whether the root shows nothing.
    ///
    /// As long as one name is known to be there, no other is looked for: it is the last of the
    /// listing, which is what those who remove all come to last.
    pub(super) fn is_bare(&self) -> bool {
        let mut witness = self.witness.lock().unwrap_or_else(PoisonError::into_inner);
        let layers = self.layers();
        if let Some(known) = &*witness
            && shows(&layers, self.root, known)
        {
            return false;
        }
        let found = last_in_root(&layers, self.root);
        let is_bare = matches!(found, Ok(None));
        *witness = found.unwrap_or(None);
        is_bare
    }

    /// Whether the mount has gone, or is about to.
    pub(super) fn is_retired(&self) -> bool {
        self.retired.load(Ordering::SeqCst)
    }

    /// Leaves the directory under the mount empty and writes nothing into it any more. Files that
    /// were removed and are open stay so. Whether that could be done.
    ///
    /// # Errors
    /// When the file system under the mount fails.
    pub(super) fn retire(&self) -> Result<bool, VfsError> {
        self.wait_for_the_kernel_to_forget();
        let mut changes = self.changes.lock().unwrap_or_else(PoisonError::into_inner);
        if self.problem().is_some() || self.is_retired() || !self.is_bare() {
            return Ok(false);
        }
        let entries = self.host.list(b"")?;
        let is_private = |name: &[u8]| name == PRIVATE;
        if !entries.iter().all(|(name, _)| is_private(name)) || !self.hold_orphans()? {
            return Ok(false);
        }
        self.retired.store(true, Ordering::SeqCst);
        changes.journal = None;
        let removed = self
            .clear_spill()
            .and_then(|()| remove_tree(&self.host, PRIVATE));
        if removed.is_err() {
            self.go_on();
        }
        removed.map(|()| true)
    }

    /// The mount stays after all: what is written now begins anew.
    pub(super) fn go_on(&self) {
        self.retired.store(false, Ordering::SeqCst);
    }

    fn clear_spill(&self) -> Result<(), VfsError> {
        match self.host.spill() {
            Some(memory) => Ok(memory.set_len(0)?),
            None => Ok(()),
        }
    }

    fn removed_files(&self) -> Vec<Node> {
        let layers = self.layers();
        let known = layers.state.known.iter();
        let orphans = known.filter(|(_, known)| known.orphan && known.kind == Kind::File);
        orphans.map(|(node, _)| *node).collect()
    }

    fn wait_for_the_kernel_to_forget(&self) {
        let end = Instant::now() + FORGET_TIMEOUT;
        while self.removed_files().len() > ORPHANS_MAX && Instant::now() < end {
            thread::sleep(BETWEEN_LOOKS);
        }
    }

    /// Opens what is removed and not forgotten. Whether it was not too much.
    fn hold_orphans(&self) -> Result<bool, VfsError> {
        let orphans = self.removed_files();
        if orphans.len() > ORPHANS_MAX {
            return Ok(false);
        }
        let room = FILES_OPEN_MAX.saturating_add(orphans.len());
        self.files().resize(NonZeroUsize::max(room, FILES_OPEN_MAX));
        for node in orphans {
            match self.host.open(&orphan_path(node, self.root)) {
                Ok(file) => self.keep_open(node, file),
                // It was forgotten meanwhile.
                Err(rustix::io::Errno::NOENT) => {}
                Err(error) => return Err(error.into()),
            }
        }
        Ok(true)
    }
}

fn shows(layers: &Layers, root: Node, witness: &Witness) -> bool {
    match layers.state.named(root, &witness.name) {
        Some(named) => named.node.is_some() || witness.is_installed && !named.hides,
        None => witness.is_installed,
    }
}

fn last_in_root(layers: &Layers, root: Node) -> Result<Option<Witness>, VfsError> {
    let mut last: Option<Witness> = None;
    layers.lower.read_directory(root, DOTS, &mut |entry| {
        let witness = Witness {
            name: entry.name.into(),
            is_installed: true,
        };
        if shows(layers, root, &witness) {
            last = Some(witness);
        }
        ControlFlow::Continue(())
    })?;
    let overlay = layers.state.overlay(root);
    let written = overlay.and_then(|overlay| overlay.shown_from(0).last());
    Ok(written
        .map(|(_, name, _)| Witness {
            name: name.into(),
            is_installed: false,
        })
        .or(last))
}
