//! What whoever asks for a swap says of it, beside the layer.

use std::fs::File;
use std::io::{self, Read, Seek};
use std::os::fd::OwnedFd;

use serde::{Deserialize, Serialize};

/// Longest list of packages that were built.
const BYTES_MAX: u64 = 64 << 20;

/// How one layer takes the place of another.
#[derive(Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(in crate::fs) struct Terms {
    pub(in crate::fs) forgotten: Vec<Forgotten>,
    /// Whether packages that go, and those that went before, are out of reach at once.
    pub(in crate::fs) clears: bool,
}

/// A package of which nothing that was written counts any more, because the next layer has it.
#[derive(Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(in crate::fs) struct Forgotten {
    pub(in crate::fs) tree: u32,
    /// Where it is in the tree. Where this is empty, what was removed is forgotten, everywhere.
    pub(in crate::fs) path: String,
}

impl Forgotten {
    /// What was removed from a tree.
    pub(in crate::fs) fn all(tree: u32) -> Self {
        let path = String::new();
        Self { tree, path }
    }
}

impl Terms {
    /// Reads what whoever asks for a swap has put into a file.
    pub(in crate::fs) fn read(file: OwnedFd) -> io::Result<Self> {
        let mut text = Vec::new();
        let mut file = File::from(file);
        // Whoever wrote it stands at its end.
        file.rewind()?;
        file.take(BYTES_MAX).read_to_end(&mut text)?;
        Ok(serde_json::from_slice(&text)?)
    }
}
