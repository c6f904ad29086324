//! Packages in memory, and layouts made from paths: what tests and measurements mount instead of a
//! project and a store.

use std::collections::{BTreeMap, HashMap};
use std::io;
use std::sync::Arc;

use super::package::{Child, FileFacts, Package, PackageSource};
use crate::install::layout::{
    Backing, DirectoryIndex, Instance, InstanceIndex, Layout, LayoutDirectory, LayoutEntry,
    LayoutTree,
};
use crate::install::lockfile::ImporterId;
use crate::name::{EntryName, NameError, RelativePath};
use crate::store::{PackId, PackageKey};

/// A layout that is made path by path.
#[derive(Debug, Clone)]
pub struct LayoutSketch {
    layout: Layout,
}

impl LayoutSketch {
    /// A layout of one empty tree.
    pub fn new(importer: ImporterId) -> Self {
        let mut sketch = Self {
            layout: Layout::default(),
        };
        sketch.add_tree(importer);
        sketch
    }

    /// Adds another empty tree. Returns its root.
    pub fn add_tree(&mut self, importer: ImporterId) -> DirectoryIndex {
        let root = self.add_directory();
        self.layout.trees.push(LayoutTree { importer, root });
        root
    }

    fn add_directory(&mut self) -> DirectoryIndex {
        let index = self.layout.directories.len() as u32;
        self.layout.directories.push(LayoutDirectory::default());
        DirectoryIndex(index)
    }

    /// Makes the directory `path` of the tree with this root, and those above it. The empty path
    /// is the root.
    ///
    /// # Errors
    /// When a component is no name.
    pub fn directory(
        &mut self,
        root: DirectoryIndex,
        path: &str,
    ) -> Result<DirectoryIndex, NameError> {
        let mut directory = root;
        for component in path.split('/').filter(|component| !component.is_empty()) {
            let name = EntryName::new(component)?;
            let entries = &self.layout.directories[directory.0 as usize].entries;
            directory = match entries.get(&name) {
                Some(LayoutEntry::Directory(child)) => *child,
                _ => {
                    let child = self.add_directory();
                    self.insert(directory, name, LayoutEntry::Directory(child));
                    child
                }
            };
        }
        Ok(directory)
    }

    fn insert(&mut self, directory: DirectoryIndex, name: EntryName, entry: LayoutEntry) {
        let directory = &mut self.layout.directories[directory.0 as usize];
        directory.entries.insert(name, entry);
    }

    /// Puts an entry at `path`.
    ///
    /// # Errors
    /// When a component is no name.
    pub fn entry(
        &mut self,
        root: DirectoryIndex,
        path: &str,
        entry: LayoutEntry,
    ) -> Result<(), NameError> {
        let (parent, name) = path.rsplit_once('/').unwrap_or(("", path));
        let directory = self.directory(root, parent)?;
        self.insert(directory, EntryName::new(name)?, entry);
        Ok(())
    }

    /// Puts an instance of `pack` at `path`.
    ///
    /// # Errors
    /// When a component is no name.
    pub fn package(
        &mut self,
        root: DirectoryIndex,
        path: &str,
        pack: PackId,
    ) -> Result<InstanceIndex, NameError> {
        let instance = InstanceIndex(self.layout.instances.len() as u32);
        self.layout.instances.push(Instance {
            dep_path: path.into(),
            key: PackageKey::new(&pack.to_string(), path, None),
            pack,
        });
        self.back(root, path, instance, None)?;
        Ok(instance)
    }

    /// Lets the directory `shown` of an instance (`None`: its root) show through `path`.
    ///
    /// # Errors
    /// When a component is no name.
    pub fn back(
        &mut self,
        root: DirectoryIndex,
        path: &str,
        instance: InstanceIndex,
        shown: Option<&str>,
    ) -> Result<(), NameError> {
        let directory = shown.map(RelativePath::new).transpose()?;
        let index = self.directory(root, path)?;
        self.layout.directories[index.0 as usize].backing = Some(Backing {
            instance,
            directory,
        });
        Ok(())
    }

    /// The layout.
    pub fn into_layout(self) -> Layout {
        self.layout
    }
}

/// Packages in memory.
#[derive(Default, Clone)]
pub struct MemoryPackages {
    packages: HashMap<PackId, Arc<MemoryPackage>>,
}

impl MemoryPackages {
    /// Adds a package of `files`: path, content, whether it can be executed.
    pub fn add(&mut self, pack: PackId, files: &[(&str, &[u8], bool)]) {
        let mut package = MemoryPackage::default();
        package.directories.push(MemoryDirectory::default());
        for (path, content, executable) in files {
            package.add(path, content, *executable);
        }
        for directory in &mut package.directories {
            directory.order = directory.children.keys().cloned().collect();
        }
        self.packages.insert(pack, Arc::new(package));
    }
}

impl PackageSource for MemoryPackages {
    fn open(&self, pack: &PackId) -> io::Result<Arc<dyn Package>> {
        match self.packages.get(pack) {
            Some(package) => Ok(Arc::clone(package) as Arc<dyn Package>),
            None => Err(io::Error::new(io::ErrorKind::NotFound, "no such pack")),
        }
    }
}

#[derive(Default)]
struct MemoryDirectory {
    parent: u32,
    children: BTreeMap<Vec<u8>, Child>,
    order: Vec<Vec<u8>>,
}

#[derive(Default)]
struct MemoryPackage {
    directories: Vec<MemoryDirectory>,
    files: Vec<(Vec<u8>, bool)>,
}

impl MemoryPackage {
    fn add(&mut self, path: &str, content: &[u8], executable: bool) {
        let mut directory = 0_usize;
        let mut components: Vec<&str> = path.split('/').collect();
        let name = components.pop().unwrap_or_default();
        for component in components {
            let fresh = self.directories.len();
            let child = self.directories[directory]
                .children
                .entry(component.into())
                .or_insert(Child::Directory(fresh as u32));
            let parent = directory;
            directory = match child {
                Child::Directory(index) => *index as usize,
                Child::File(_) => return,
            };
            if directory == fresh {
                self.directories.push(MemoryDirectory {
                    parent: parent as u32,
                    ..MemoryDirectory::default()
                });
            }
        }
        let file = Child::File(self.files.len() as u32);
        self.files.push((content.to_vec(), executable));
        self.directories[directory]
            .children
            .insert(name.into(), file);
    }
}

impl Package for MemoryPackage {
    fn child(&self, directory: u32, name: &[u8]) -> Option<Child> {
        let directory = self.directories.get(directory as usize)?;
        directory.children.get(name).copied()
    }

    fn child_at(&self, directory: u32, position: u32) -> Option<(&[u8], Child)> {
        let directory = self.directories.get(directory as usize)?;
        let name = directory.order.get(position as usize)?;
        Some((name, *directory.children.get(name)?))
    }

    fn parent(&self, directory: u32) -> Option<u32> {
        Some(self.directories.get(directory as usize)?.parent)
    }

    fn place(&self, child: Child) -> Option<(u32, &[u8])> {
        (0..)
            .zip(&self.directories)
            .find_map(|(number, directory)| {
                let mut children = directory.children.iter();
                let (name, _) = children.find(|(_, found)| **found == child)?;
                Some((number, name.as_slice()))
            })
    }

    fn file(&self, file: u32) -> Option<FileFacts> {
        let (content, executable) = self.files.get(file as usize)?;
        Some(FileFacts {
            size: content.len() as u64,
            executable: *executable,
        })
    }

    fn read_at(&self, file: u32, offset: u64, buffer: &mut [u8]) -> io::Result<usize> {
        let Some((content, _)) = self.files.get(file as usize) else {
            return Err(io::ErrorKind::NotFound.into());
        };
        let start = usize::try_from(offset)
            .unwrap_or(usize::MAX)
            .min(content.len());
        let length = buffer.len().min(content.len() - start);
        buffer[..length].copy_from_slice(&content[start..start + length]);
        Ok(length)
    }

    fn will_need(&self, _: u32) {}

    fn is_cached(&self, _: u32) -> bool {
        true
    }

    fn memory_bytes(&self) -> usize {
        self.files.len() * 64
    }
}
