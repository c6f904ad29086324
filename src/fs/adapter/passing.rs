//! What the process that announces a swap asks for: it is acknowledged and not carried out, so that
//! the kernel raises its events.
//!
//! Everybody else is refused. The announcing process of a server that died goes on, and the next
//! server, which does not know it, must not carry out what it asks for.

use fuser::{FileAttr, INodeNo, Request};

use super::Serving;
use super::convert::attr;
use crate::fs::attributes::{Attributes, Owner};
use crate::fs::node::Node;
use crate::fs::swap::PASSING;
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
}

/// What a symlink that only passes looks like.
pub(super) fn passing_link() -> FileAttr {
    let owner = Owner { uid: 0, gid: 0 };
    let like = Attributes::symlink(Node::Upper(0), PASSING.len() as u64, owner);
    FileAttr {
        ino: NOBODY,
        ..attr(&like, 0)
    }
}
