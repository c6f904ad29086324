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
use crate::fs::attributes::{Attributes, Owner};
use crate::fs::node::Node;
use crate::fs::swap::{PASSING, Step};
use crate::fs::vfs_error::VfsError;

/// A number that no node has: what is asked about it is answered with ESTALE.
const NOBODY: INodeNo = INodeNo(7 << 48);

impl Serving {
    /// Whether a request that has these names only passes.
    ///
    /// # Errors
    /// When it would, and somebody else asks.
    pub(super) fn passes(&self, request: &Request, names: [&[u8]; 2]) -> Result<bool, VfsError> {
        if !names.contains(&PASSING) {
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
        let step = announcing.next(request.pid(), parent.0, name);
        if step == Some(Step::Make) {
            return Some((Duration::ZERO, missing()));
        }
        if is_there {
            return None;
        }
        let lingering = self.adapter.vfs.lingering(self.node(parent).ok()?, name);
        match (lingering, step) {
            (Some(found), _) => Some((YEAR, self.attr(&found))),
            (None, Some(Step::Away)) => Some((Duration::ZERO, passing_link())),
            (None, _) => None,
        }
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
