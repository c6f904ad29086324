//! Which names have to be invalidated when one layer takes the place of another.

use crate::fs::image::{Image, LayerNode};

/// A name of a directory that is in both layers, which is there in only one of them, or stands for
/// something else.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::fs) struct Change {
    /// Which tree it is in.
    pub(in crate::fs) tree: u32,
    /// Slot of the directory.
    pub(in crate::fs) directory: u32,
    /// The name.
    pub(in crate::fs) name: Vec<u8>,
    /// What it stood for: its place in the layer before.
    pub(in crate::fs) before: Option<u32>,
}

impl Change {
    /// Which name it is.
    pub(super) fn key(&self) -> (u32, u32, &[u8]) {
        (self.tree, self.directory, &self.name)
    }
}

/// What changes when `new`, a successor of `previous`, takes its place. The changes of a directory
/// follow each other.
pub(in crate::fs) fn changes(new: &Image, previous: &Image) -> Vec<Change> {
    let mut found = Vec::new();
    // Tree, and the place of a directory in both layers.
    let mut queue: Vec<(u32, u32, u32)> = (0..new.tree_count())
        .map(|tree| (tree, tree, tree))
        .collect();
    while let Some((tree, after, before)) = queue.pop() {
        let directory = new.slot(after).unwrap_or_default();
        let mut change = |name: &[u8], before: Option<u32>| {
            found.push(Change {
                tree,
                directory,
                name: name.to_vec(),
                before,
            });
        };
        let (mut ours, mut theirs) = (children(new, after), children(previous, before));
        loop {
            let (left, right) = (ours.clone().next(), theirs.clone().next());
            let names = (
                left.and_then(|place| new.name(place)),
                right.and_then(|place| previous.name(place)),
            );
            match names {
                (None, None) => break,
                (Some(name), other) if other.is_none_or(|other| name < other) => {
                    change(name, None);
                    ours.next();
                }
                (Some(name), Some(other)) if name == other => {
                    ours.next();
                    theirs.next();
                    match (left, right) {
                        (Some(left), Some(right)) if new.slot(left) == previous.slot(right) => {
                            queue.push((tree, left, right));
                        }
                        _ => change(name, right),
                    }
                }
                (_, Some(other)) => {
                    change(other, right);
                    theirs.next();
                }
                (Some(_), None) => break,
            }
        }
    }
    found
}

fn children(image: &Image, place: u32) -> std::ops::Range<u32> {
    match image.node(place) {
        Some(LayerNode::Directory { first, count, .. }) => first..first.saturating_add(count),
        _ => 0..0,
    }
}
