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

    /// What is answered, and for how long, of a package that went with an earlier layer. Who
    /// announces that it went makes its name, and has to find none.
    pub(super) fn lingering(
        &self,
        request: &Request,
        parent: INodeNo,
        name: &OsStr,
    ) -> Option<(Duration, FileAttr)> {
        let parent = self.node(parent).ok()?;
        let found = self.adapter.vfs.lingering(parent, name.as_bytes())?;
        if self.adapter.announcing.has(request.pid()) {
            Some((Duration::ZERO, missing()))
        } else {
            Some((YEAR, self.attr(&found)))
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
