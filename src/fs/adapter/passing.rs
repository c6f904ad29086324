//! What the process that announces a swap asks for: it is acknowledged and not carried out, so that
//! the kernel raises its events.

use fuser::{FileAttr, INodeNo};

use super::convert::attr;
use crate::fs::attributes::{Attributes, Owner};
use crate::fs::node::Node;
use crate::fs::swap::PASSING;

/// A number that no node has: what is asked about it is answered with ESTALE.
const NOBODY: INodeNo = INodeNo(7 << 48);

/// What a symlink with this target looks like, where it only passes.
pub(super) fn passing_link(target: &[u8]) -> Option<FileAttr> {
    if target != PASSING {
        return None;
    }
    let owner = Owner { uid: 0, gid: 0 };
    let like = Attributes::symlink(Node::Upper(0), PASSING.len() as u64, owner);
    Some(FileAttr {
        ino: NOBODY,
        ..attr(&like, 0)
    })
}

/// Whether a rename only passes.
pub(super) fn is_passing(name: &[u8], new_name: &[u8]) -> bool {
    name == PASSING || new_name == PASSING
}
