//! Packages that went with an earlier layer, and stay where they were for who knows their path.

use std::collections::HashSet;

use super::{HOISTED, Lower, VIRTUAL_STORE};
use crate::fs::attributes::{Attributes, Kind};
use crate::fs::image::{Image, LayerNode};
use crate::fs::node::Node;

/// The name of a directory that is not listed any more.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::fs) struct Lingering {
    /// Which tree it is in.
    pub(in crate::fs) tree: u32,
    /// Slot of the virtual store.
    pub(in crate::fs) directory: u32,
    /// The name.
    pub(in crate::fs) name: Vec<u8>,
    /// Slot of what it stands for.
    pub(in crate::fs) slot: u32,
}

impl Lower {
    /// The directory that `parent` had under this name in a layer before this one, where `parent`
    /// is the virtual store: programs that found a package before it went load more of it later,
    /// and an installer that writes to a disk leaves it there for them. It is not listed.
    pub(in crate::fs) fn lingering(&self, parent: Node, name: &[u8]) -> Option<Attributes> {
        let Node::Layer(slot) = parent else {
            return None;
        };
        let place = self.image.place(slot)?;
        let is_in_root = self.image.parent(place)? < self.image.tree_count();
        // What is hoisted is found by name: who looks there shall find what is there now.
        if !is_in_root || self.image.name(place)? != VIRTUAL_STORE || name == HOISTED {
            return None;
        }
        let mut earlier = self.in_reach();
        let child = earlier.find_map(|image| image.slot(image.child(image.place(slot)?, name)?))?;
        let found = self.attributes(Node::Layer(child)).ok()?;
        (found.kind == Kind::Directory).then_some(found)
    }

    /// All names for which that is so.
    pub(in crate::fs) fn lingering_names(&self) -> Vec<Lingering> {
        let mut found = Vec::new();
        for tree in 0..self.image.tree_count() {
            let store = self.image.child(tree, VIRTUAL_STORE);
            let Some((store, directory)) = store.and_then(|at| Some((at, self.image.slot(at)?)))
            else {
                continue;
            };
            let mut taken = HashSet::new();
            for image in self.in_reach() {
                let Some(LayerNode::Directory { first, count, .. }) =
                    image.place(directory).and_then(|place| image.node(place))
                else {
                    continue;
                };
                for child in first..first.saturating_add(count) {
                    let (Some(name), Some(slot)) = (image.name(child), image.slot(child)) else {
                        continue;
                    };
                    let is_shown = self.image.child(store, name).is_some();
                    let is_directory =
                        matches!(image.node(child), Some(LayerNode::Directory { .. }));
                    if is_directory && !is_shown && name != HOISTED && taken.insert(name) {
                        found.push(Lingering {
                            tree,
                            directory,
                            name: name.to_vec(),
                            slot,
                        });
                    }
                }
            }
        }
        found
    }

    /// The earlier layers of which packages stay.
    fn in_reach(&self) -> impl Iterator<Item = &Image> {
        let layers = std::iter::once(&self.image).chain(&self.retired);
        let count = layers.take_while(|image| !image.clears()).count();
        self.retired.iter().take(count).map(|image| &**image)
    }
}
