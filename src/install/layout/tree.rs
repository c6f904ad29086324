//! Puts directories, links and instances into a [`Layout`] under construction.

use std::collections::btree_map::Entry;

use crate::install::lockfile::DepPath;
use crate::name::{EntryName, PackageName, RelativePath};

use super::error::LayoutError;
use super::input::InstalledPackage;
use super::model::{
    Backing, DirectoryIndex, Instance, InstanceIndex, Layout, LayoutDirectory, LayoutEntry,
};

/// A [`Layout`] under construction.
#[derive(Debug, Default)]
pub(super) struct TreeBuilder {
    pub(super) layout: Layout,
}

impl TreeBuilder {
    /// A directory without a parent.
    pub(super) fn root(&mut self) -> DirectoryIndex {
        self.push(LayoutDirectory::default())
    }

    /// The directory `name` of `parent`; made, and backed by the directory of that name of
    /// `parent`'s backing, where there is none.
    pub(super) fn directory(
        &mut self,
        parent: DirectoryIndex,
        name: &str,
    ) -> Result<DirectoryIndex, LayoutError> {
        let parent_directory = &self.layout.directories[parent.0 as usize];
        match parent_directory.entries.get(name) {
            Some(LayoutEntry::Directory(index)) => return Ok(*index),
            Some(_) => return Err(LayoutError::Collision { path: name.into() }),
            None => {}
        }
        let backing = match &parent_directory.backing {
            Some(backing) => Some(Backing {
                instance: backing.instance,
                directory: Some(deeper(backing.directory.as_ref(), name)?),
            }),
            None => None,
        };
        let index = self.push(LayoutDirectory {
            backing,
            ..LayoutDirectory::default()
        });
        self.insert(parent, name, LayoutEntry::Directory(index))?;
        Ok(index)
    }

    /// The directory `name` of `parent`, which is known not to be there and to have no backing.
    pub(super) fn new_directory(
        &mut self,
        parent: DirectoryIndex,
        name: &str,
    ) -> Result<DirectoryIndex, LayoutError> {
        let index = self.push(LayoutDirectory::default());
        self.insert(parent, name, LayoutEntry::Directory(index))?;
        Ok(index)
    }

    /// The directory that holds the last component of `name` below `parent`.
    fn scope(
        &mut self,
        parent: DirectoryIndex,
        name: &PackageName,
    ) -> Result<DirectoryIndex, LayoutError> {
        match name.as_str().split_once('/') {
            Some((scope, _)) => self.directory(parent, scope),
            None => Ok(parent),
        }
    }

    /// Puts an instance of `dep_path` at `name` below `parent`.
    pub(super) fn instance(
        &mut self,
        parent: DirectoryIndex,
        name: &PackageName,
        dep_path: &DepPath,
        package: &InstalledPackage,
    ) -> Result<DirectoryIndex, LayoutError> {
        let parent = self.scope(parent, name)?;
        let instance = InstanceIndex(index_of(self.layout.instances.len()));
        self.layout.instances.push(Instance {
            dep_path: dep_path.as_str().into(),
            key: package.key.clone(),
            pack: package.record.pack,
        });
        let backing = Some(Backing {
            instance,
            directory: None,
        });
        let directory = self.push(LayoutDirectory {
            backing,
            ..LayoutDirectory::default()
        });
        self.insert(parent, name.unscoped(), LayoutEntry::Directory(directory))?;
        Ok(directory)
    }

    /// Puts a symlink at `name` below `parent`. `target` is as seen from `parent`.
    pub(super) fn link(
        &mut self,
        parent: DirectoryIndex,
        name: &PackageName,
        target: &str,
    ) -> Result<(), LayoutError> {
        let scope = self.scope(parent, name)?;
        let in_scope = || {
            let own = name.scope()?;
            target
                .strip_prefix('@')?
                .strip_prefix(own)?
                .strip_prefix('/')
        };
        let target = match in_scope() {
            Some(beside) => beside.into(),
            None if scope == parent || target.starts_with('/') => target.into(),
            None => ["../", target].concat().into(),
        };
        self.insert(scope, name.unscoped(), LayoutEntry::Symlink(target))
    }

    /// Makes room at `name` below `parent`: a package that is there gets the name under which
    /// pnpm puts away what is in the way of a link.
    pub(super) fn set_aside(
        &mut self,
        parent: DirectoryIndex,
        name: &PackageName,
    ) -> Result<(), LayoutError> {
        if !self.has(parent, name) {
            return Ok(());
        }
        let scope = self.scope(parent, name)?;
        let entries = &mut self.layout.directories[scope.0 as usize].entries;
        match entries.remove(name.unscoped()) {
            Some(entry) => self.insert(scope, &format!(".ignored_{}", name.unscoped()), entry),
            None => Ok(()),
        }
    }

    /// Whether `directory` has no entries of its own.
    pub(super) fn is_empty(&self, directory: DirectoryIndex) -> bool {
        self.layout.directories[directory.0 as usize]
            .entries
            .is_empty()
    }

    /// Whether anything is at `name` below `parent`.
    pub(super) fn has(&self, parent: DirectoryIndex, name: &PackageName) -> bool {
        let entries = |index: DirectoryIndex| &self.layout.directories[index.0 as usize].entries;
        match name.as_str().split_once('/') {
            Some((scope, bare)) => match entries(parent).get(scope) {
                Some(LayoutEntry::Directory(scope)) => entries(*scope).contains_key(bare),
                _ => false,
            },
            None => entries(parent).contains_key(name.as_str()),
        }
    }

    /// Puts `entry` at `name` of `parent`.
    pub(super) fn insert(
        &mut self,
        parent: DirectoryIndex,
        name: &str,
        entry: LayoutEntry,
    ) -> Result<(), LayoutError> {
        let entry_name = EntryName::new(name).map_err(|source| LayoutError::Name {
            name: name.into(),
            source,
        })?;
        match self.layout.directories[parent.0 as usize]
            .entries
            .entry(entry_name)
        {
            Entry::Vacant(vacant) => {
                vacant.insert(entry);
                Ok(())
            }
            Entry::Occupied(_) => Err(LayoutError::Collision { path: name.into() }),
        }
    }

    fn push(&mut self, directory: LayoutDirectory) -> DirectoryIndex {
        let index = DirectoryIndex(index_of(self.layout.directories.len()));
        self.layout.directories.push(directory);
        index
    }
}

fn deeper(directory: Option<&RelativePath>, name: &str) -> Result<RelativePath, LayoutError> {
    let path = match directory {
        Some(directory) => format!("{}/{name}", directory.as_str()),
        None => name.to_owned(),
    };
    RelativePath::new(&path).map_err(|source| LayoutError::Name {
        name: path.into(),
        source,
    })
}

/// Places are 32 bits wide. A lockfile is at most 256 MiB, and each place costs it more than one
/// byte, so they suffice.
fn index_of(length: usize) -> u32 {
    u32::try_from(length).expect("invariant: a lockfile's size bounds the number of places")
}
