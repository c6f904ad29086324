//! Node ids: 64-bit numbers that a new server process computes anew, without any table.
//!
//! ```text
//! 1                                              the root of the mounted tree
//! bits 48..50   bits 24..48      bits 0..24
//! 1             -- slot (bits 0..32) --          a directory, symlink or file of the project layer
//! 2             instance slot    directory       a directory inside a package instance
//! 3             instance slot    file            a file of a package instance
//! 4             -- number (bits 0..48) --        something of the upper layer only
//! ```
//!
//! The number of what is only in the upper layer is made of its inode number there, which stays
//! taken as long as the kernel knows the node.
//!
//! Every id is below 2^53, because JavaScript programs hold inode numbers in doubles and compare
//! them.

/// Id that the kernel has for the root of a mount.
pub const ROOT: u64 = 1;

const KIND_SHIFT: u32 = 48;
const SLOT_SHIFT: u32 = 24;
const LAYER: u64 = 1;
const DIRECTORY: u64 = 2;
const FILE: u64 = 3;
const UPPER: u64 = 4;

/// Inode numbers below this are taken as they are; larger ones are folded.
const PLAIN_LIMIT: u64 = 1 << (KIND_SHIFT - 1);

/// Slots and indexes within a pack are smaller than this.
pub const INDEX_LIMIT: u32 = 1 << SLOT_SHIFT;

/// What a node id stands for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Node {
    /// A node of the project layer, by its slot.
    Layer(u32),
    /// A directory of a package instance that the layer does not list.
    Directory {
        /// Slot of the instance.
        slot: u32,
        /// Index of the directory in the pack's table.
        directory: u32,
    },
    /// A file of a package instance.
    File {
        /// Slot of the instance.
        slot: u32,
        /// Index of the file in the pack's table.
        file: u32,
    },
    /// What is only in the upper layer.
    Upper(u64),
}

impl Node {
    /// The node of what has this inode number in the upper layer.
    ///
    /// File systems that give out numbers of 48 bits and more get them folded to 47, which two
    /// among a million files share with a probability of 1 in 300.
    pub fn of_upper(inode: u64) -> Self {
        if inode < PLAIN_LIMIT {
            Self::Upper(inode)
        } else {
            let folded = inode.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> (64 - (KIND_SHIFT - 1));
            Self::Upper(PLAIN_LIMIT | folded)
        }
    }

    /// Whether it comes from the project layer or a package.
    pub fn is_lower(self) -> bool {
        !matches!(self, Self::Upper(_))
    }

    /// The id of this node in a mount whose root is the layer node `root`.
    pub fn to_id(self, root: u32) -> u64 {
        match self {
            Self::Layer(node) if node == root => ROOT,
            Self::Layer(node) => LAYER << KIND_SHIFT | u64::from(node),
            Self::Directory { slot, directory } => {
                DIRECTORY << KIND_SHIFT | u64::from(slot) << SLOT_SHIFT | u64::from(directory)
            }
            Self::File { slot, file } => {
                FILE << KIND_SHIFT | u64::from(slot) << SLOT_SHIFT | u64::from(file)
            }
            Self::Upper(number) => UPPER << KIND_SHIFT | number,
        }
    }

    /// The node that `id` stands for in a mount whose root is the layer node `root`; `None` for a
    /// number that no node can have. Whether the node exists is for the tables to say.
    pub fn from_id(id: u64, root: u32) -> Option<Self> {
        if id == ROOT {
            return Some(Self::Layer(root));
        }
        let low = u32::try_from(id & u64::from(INDEX_LIMIT - 1)).ok()?;
        let slot = u32::try_from(id >> SLOT_SHIFT & u64::from(INDEX_LIMIT - 1)).ok()?;
        match id >> KIND_SHIFT {
            LAYER => {
                let node = u32::try_from(id & ((1 << KIND_SHIFT) - 1)).ok()?;
                (node != root).then_some(Self::Layer(node))
            }
            DIRECTORY => Some(Self::Directory {
                slot,
                directory: low,
            }),
            FILE => Some(Self::File { slot, file: low }),
            UPPER => Some(Self::Upper(id & ((1 << KIND_SHIFT) - 1))),
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_come_back_and_fit_a_double() {
        let top = INDEX_LIMIT - 1;
        for node in [
            Node::Layer(0),
            Node::Layer(7),
            Node::Layer(u32::MAX),
            Node::Directory {
                slot: 0,
                directory: 0,
            },
            Node::Directory {
                slot: top,
                directory: top,
            },
            Node::File { slot: 0, file: 0 },
            Node::File {
                slot: top,
                file: top,
            },
            Node::of_upper(0),
            Node::of_upper(12),
            Node::of_upper(PLAIN_LIMIT),
            Node::of_upper(u64::MAX),
        ] {
            for root in [0, 7] {
                let id = node.to_id(root);
                assert_eq!(Node::from_id(id, root), Some(node));
                assert!(id < 1 << 53);
                assert_eq!(id == ROOT, node == Node::Layer(root));
            }
        }
    }

    #[test]
    fn numbers_that_no_node_has_are_refused() {
        for id in [
            0,
            2,
            1 << 47,
            LAYER << KIND_SHIFT,
            LAYER << KIND_SHIFT | 1 << 32,
            5 << KIND_SHIFT,
            u64::MAX,
        ] {
            assert_eq!(Node::from_id(id, 0), None, "{id:#x}");
        }
    }
}
