//! The layout's nouns.

use std::collections::BTreeMap;

use crate::install::lockfile::ImporterId;
use crate::name::{EntryName, RelativePath};
use crate::store::{PackId, PackageKey};

/// Place of a directory in [`Layout::directories`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct DirectoryIndex(pub u32);

/// Place of a package instance in [`Layout::instances`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct InstanceIndex(pub u32);

/// One place in the tree where a package's content appears.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Instance {
    /// The snapshot's depPath (unique among instances of the isolated linker; the hoisted linker
    /// may place one depPath several times).
    pub dep_path: Box<str>,
    /// What the store knows it by.
    pub key: PackageKey,
    /// Its content.
    pub pack: PackId,
}

/// A directory of the pack of an instance that shows through a directory of the layout.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Backing {
    /// Whose pack.
    pub instance: InstanceIndex,
    /// Which directory of it; `None` is the package's root.
    pub directory: Option<RelativePath>,
}

/// A directory of the layout.
///
/// Where it has a backing, it shows its own entries and those of the backing; its own win. A
/// directory that must show entries of its own below a package's root (`<package>/node_modules/
/// .bin`) is backed by the same instance at the longer path, so that bundled dependencies still
/// show. A backing whose pack has no such directory adds nothing.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct LayoutDirectory {
    /// Its own entries.
    pub entries: BTreeMap<EntryName, LayoutEntry>,
    /// What shows through.
    pub backing: Option<Backing>,
}

/// An entry of a directory.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum LayoutEntry {
    /// A directory. Each has exactly one parent.
    Directory(DirectoryIndex),
    /// A symlink with its target, relative.
    Symlink(Box<str>),
    /// A generated file (a bin's shim, a state file).
    File {
        /// Its content.
        content: Box<[u8]>,
        /// Mode 0755 instead of 0644.
        executable: bool,
    },
}

/// The `node_modules` of one project.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LayoutTree {
    /// Whose it is.
    pub importer: ImporterId,
    /// Its root.
    pub root: DirectoryIndex,
}

/// Everything that an install puts under the `node_modules` directories of a workspace.
///
/// `trees[0]` is the root project's and holds the virtual store. A tree that holds no package
/// instance (only symlinks and bins, as in every other project under the isolated linker) can be
/// written out as real files.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Layout {
    /// Every directory; a directory comes after its parent.
    pub directories: Vec<LayoutDirectory>,
    /// Every package instance.
    pub instances: Vec<Instance>,
    /// The trees, the root project's first.
    pub trees: Vec<LayoutTree>,
}
