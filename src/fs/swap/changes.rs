//! Which names have to be invalidated when one layer takes the place of another.

use std::collections::BTreeMap;

use crate::fs::image::{Image, LayerNode};
use crate::fs::lower::Lower;

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
    /// What it stood for: its slot.
    pub(in crate::fs) before: Option<u32>,
    /// It is not listed any more, and stands for what it stood for.
    pub(in crate::fs) lingers: bool,
}

impl Change {
    /// Which name it is.
    pub(super) fn key(&self) -> (u32, u32, &[u8]) {
        (self.tree, self.directory, &self.name)
    }
}

/// What changes for those who use the tree when `after` takes the place of `before`: also what
/// packages that went do not linger any longer.
pub(super) fn changes_between(after: &Lower, before: &Lower) -> Vec<Change> {
    let mut found = changes(after.image(), before.image());
    let (lingering, mut lingered) = (by_name(after), by_name(before));
    for change in &mut found {
        let key = (change.tree, change.directory, change.name.clone());
        change.lingers = lingering.contains_key(&key);
        change.before = change.before.or(lingered.remove(&key));
    }
    let ended = lingered
        .into_iter()
        .filter(|(key, _)| !lingering.contains_key(key));
    found.extend(ended.map(|((tree, directory, name), slot)| Change {
        tree,
        directory,
        name,
        before: Some(slot),
        lingers: false,
    }));
    found
}

fn by_name(lower: &Lower) -> BTreeMap<(u32, u32, Vec<u8>), u32> {
    let names = lower.lingering_names().into_iter();
    names
        .map(|name| ((name.tree, name.directory, name.name), name.slot))
        .collect()
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
                before: before.and_then(|place| previous.slot(place)),
                lingers: false,
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
