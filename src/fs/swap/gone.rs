//! Which files went with the names that changed.

use std::ops::ControlFlow;

use super::Change;
use crate::fs::attributes::Kind;
use crate::fs::lower::{DOTS, Lower};
use crate::fs::node::Node;

/// Most files of which the kernel is told that they are gone.
pub(super) const FILES_MAX: usize = 20_000;

/// A file that was shown in the layer before, and is not any more.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct GoneFile {
    pub(super) directory: Node,
    pub(super) file: Node,
    pub(super) name: Vec<u8>,
}

/// At most `most` files that went with a name. Those of a package that is still somewhere stay:
/// they have the same nodes there. A package that cannot be read is passed over.
pub(super) fn gone_files(next: &Lower, change: &Change, most: usize) -> Vec<GoneFile> {
    let mut found = Vec::new();
    let Some(node) = change.before.map(Node::Layer).filter(|_| !change.lingers) else {
        return found;
    };
    let Ok(attributes) = next.attributes(node) else {
        return found;
    };
    let mut directories = Vec::new();
    match attributes.kind {
        Kind::Directory => directories.push(node),
        Kind::File if is_gone(next, node) => found.push(GoneFile {
            directory: Node::Layer(change.directory),
            file: node,
            name: change.name.clone(),
        }),
        _ => {}
    }
    while let Some(directory) = directories.pop() {
        let listed = next.read_directory(directory, DOTS, &mut |entry| {
            let node = entry.attributes.node;
            match entry.attributes.kind {
                Kind::Directory => directories.push(node),
                Kind::File if is_gone(next, node) => found.push(GoneFile {
                    directory,
                    file: node,
                    name: entry.name.to_vec(),
                }),
                _ => {}
            }
            match found.len() < most {
                true => ControlFlow::Continue(()),
                false => ControlFlow::Break(()),
            }
        });
        if listed.is_err() || found.len() >= most {
            break;
        }
    }
    found.truncate(most);
    found
}

fn is_gone(next: &Lower, node: Node) -> bool {
    match node {
        Node::Layer(slot) => next.image().place(slot).is_none(),
        Node::File { slot, .. } | Node::Directory { slot, .. } => {
            next.image().instance_by_slot(slot).is_none()
        }
        Node::Upper(_) => false,
    }
}
