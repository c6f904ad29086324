//! Two names that change places (`RENAME_EXCHANGE` of renameat2(2)).
//!
//! Nothing is copied: what is really there moves, what was installed is said to be elsewhere.

use super::attributes::Time;
use super::node::Node;
use super::upper::{Back, Known, Move, Record, State, Witness};
use super::vfs::Vfs;
use super::vfs_change::{Change, Child};
use super::vfs_error::VfsError;
use super::vfs_names::End;

impl Vfs {
    /// Lets what has one name have the other, and the other way round. An exchange that was made
    /// for the same `request` before is not made again.
    ///
    /// # Errors
    /// When one is not there or is within the other, or the file system under the mount refuses.
    pub fn exchange(
        &self,
        (parent, name): (Node, &[u8]),
        (other_parent, other_name): (Node, &[u8]),
        request: u64,
    ) -> Result<(), VfsError> {
        let mut change = self.change()?;
        if change.has_exchanged(request) {
            return Ok(());
        }
        change.check_name(parent, name)?;
        change.check_name(other_parent, other_name)?;
        let child = change.child(parent, name)?.ok_or(VfsError::NotFound)?;
        let other = change.child(other_parent, other_name)?;
        let other = other.ok_or(VfsError::NotFound)?;
        if child.node == other.node {
            return Ok(());
        }
        let from = change.end(parent, name)?;
        let to = change.end(other_parent, other_name)?;
        if from.is_above(&to) || to.is_above(&from) {
            return Err(VfsError::Invalid);
        }
        change.exchange((child, other), (&from, &to), request)?;
        change.note_exchanged(request);
        Ok(())
    }
}

impl Change<'_> {
    fn exchange(
        &mut self,
        (child, other): (Child, Child),
        (from, to): (&End, &End),
        request: u64,
    ) -> Result<(), VfsError> {
        if child.real {
            self.make_real(to.parent)?;
        }
        if other.real {
            self.make_real(from.parent)?;
        }
        let change = Move {
            from: from.path.clone(),
            to: to.path.clone(),
            origin: self.origin(child)?,
            back: Some(Back {
                origin: self.origin(other)?,
                request,
            }),
        };
        let apply = |state: &mut State, time| {
            apply_exchange(state, time, (child, other), (from, to));
        };
        let host = &self.vfs.host;
        if child.real {
            let witness = Witness::Arrived(host.stat(&from.path)?.st_ino);
            return self.rename_real(change, Some(witness), apply, |_| {
                let moved = match other.real {
                    true => host.exchange(&from.path, &to.path),
                    false => host.rename(&from.path, &to.path),
                };
                Ok(moved?)
            });
        }
        if other.real {
            let witness = Witness::Left(host.stat(&to.path)?.st_ino);
            return self.rename_real(change, Some(witness), apply, |_| {
                Ok(host.rename(&to.path, &from.path)?)
            });
        }
        self.record(&Record::Move(change))?;
        apply(&mut self.vfs.layers_mut().state, self.time);
        self.touch_real(from.parent);
        self.touch_real(to.parent);
        Ok(())
    }

    fn origin(&self, child: Child) -> Result<Option<Vec<u8>>, VfsError> {
        let is_installed = child.node.is_lower();
        is_installed
            .then(|| self.lower.path(child.node))
            .transpose()
    }
}

fn apply_exchange(
    state: &mut State,
    time: Time,
    (child, other): (Child, Child),
    (from, to): (&End, &End),
) {
    for (child, end) in [(child, from), (other, to)] {
        state.known.entry(child.node).or_insert_with(|| Known {
            places: Vec::new(),
            real: false,
            kind: child.kind,
            orphan: false,
        });
        state.unname(end.parent, &end.name, end.installed, child.node);
    }
    for (child, end) in [(child, to), (other, from)] {
        state.name(end.parent, &end.name, end.installed, child.node);
        state.touch(end.parent, time);
    }
}
