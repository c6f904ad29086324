//! What the process that announces a swap asks for: it is acknowledged and not carried out, so that
//! the kernel raises its events.
//!
//! Everybody else is refused. The announcing process of a server that died goes on, and the next
//! server, which does not know it, must not carry out what it asks for.

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::time::Duration;

use fuser::{FileAttr, INodeNo, Request};

use super::convert::{attr, missing};
use super::{Serving, YEAR};
use crate::fs::attributes::{Attributes, Kind, Owner};
use crate::fs::node::Node;
use crate::fs::swap::{PASSING, Step};
use crate::fs::vfs_error::VfsError;

/// A number that no node has: what is asked about it is answered with ESTALE.
const NOBODY: INodeNo = INodeNo(7 << 48);

/// The number of the directory to which names are moved. Nothing is ever in it.
pub(super) const AWAY: INodeNo = INodeNo(7 << 48 | 1);

impl Serving {
    /// Whether a rename to this directory only passes.
    ///
    /// # Errors
    /// When it would, and somebody else asks.
    pub(super) fn passes_to(&self, request: &Request, parent: INodeNo) -> Result<bool, VfsError> {
        self.passes(request, parent == AWAY)
    }

    /// Whether the making of a symlink with this target only passes.
    ///
    /// # Errors
    /// When it would, and somebody else asks.
    pub(super) fn passes_as(&self, request: &Request, target: &[u8]) -> Result<bool, VfsError> {
        self.passes(request, target == PASSING)
    }

    fn passes(&self, request: &Request, would: bool) -> Result<bool, VfsError> {
        if !would {
            Ok(false)
        } else if self.adapter.announcing.has(request.pid()) {
            Ok(true)
        } else {
            Err(VfsError::Reserved)
        }
    }

    /// What was asked for by a request that only passes is done.
    pub(super) fn passed(&self, request: &Request, parent: INodeNo, name: &OsStr) {
        let announcing = &self.adapter.announcing;
        announcing.done(request.pid(), parent.0, name.as_bytes());
    }

    /// What is said of the directory to which names are moved, and of names in it: it is shown to
    /// who moves them.
    pub(super) fn said_of_away(
        &self,
        request: &Request,
        parent: INodeNo,
        name: &OsStr,
    ) -> Option<FileAttr> {
        if parent == AWAY {
            return Some(missing());
        }
        if name.as_bytes() != PASSING {
            return None;
        }
        let is_shown = parent == INodeNo::ROOT && self.adapter.announcing.has(request.pid());
        Some(if is_shown { away() } else { missing() })
    }

    /// What is said of a name, and for how long, where that is something else than what is there:
    /// to who announces it, what was there before; of a package that went with an earlier layer,
    /// that it is there.
    pub(super) fn said_of(
        &self,
        request: &Request,
        parent: INodeNo,
        name: &OsStr,
        is_there: bool,
    ) -> Option<(Duration, FileAttr)> {
        let (announcing, name) = (&self.adapter.announcing, name.as_bytes());
        match announcing.next(request.pid(), parent.0, name) {
            Some((Step::Make, _)) => Some((Duration::ZERO, missing())),
            // What is there now stays where it is: the kernel moves what it was told of, and does
            // not find its way back to a directory that is elsewhere while others are moved.
            Some((Step::Away, before)) => {
                let shown = before.and_then(|before| self.was(before));
                Some((Duration::ZERO, shown.unwrap_or_else(passing_link)))
            }
            None if is_there => None,
            None => {
                let lingering = self.adapter.vfs.lingering(self.node(parent).ok()?, name)?;
                Some((YEAR, self.attr(&lingering)))
            }
        }
    }

    /// For how long the kernel may believe what is said of a name.
    pub(super) fn entry_ttl(&self, parent: INodeNo, name: &OsStr) -> Duration {
        match self.adapter.announcing.expects(parent.0, name.as_bytes()) {
            true => Duration::ZERO,
            false => YEAR,
        }
    }

    /// A directory as it was in a layer before, so that who watches it is told that it moved.
    fn was(&self, before: Node) -> Option<FileAttr> {
        let found = self.adapter.vfs.lower().attributes(before).ok()?;
        (found.kind == Kind::Directory).then(|| self.attr(&found))
    }
}

/// What the directory to which names are moved looks like, where it is that.
pub(super) fn away_of(id: INodeNo) -> Option<FileAttr> {
    (id == AWAY).then(away)
}

fn away() -> FileAttr {
    let owner = Owner { uid: 0, gid: 0 };
    let like = Attributes::directory(Node::Upper(0), owner);
    FileAttr {
        ino: AWAY,
        perm: 0o777,
        ..attr(&like, 0)
    }
}

/// What a symlink that only passes looks like.
pub(super) fn passing_link() -> FileAttr {
    let owner = Owner { uid: 0, gid: 0 };
    let like = Attributes::symlink(Node::Upper(0), PASSING, owner);
    FileAttr {
        ino: NOBODY,
        ..attr(&like, 0)
    }
}
