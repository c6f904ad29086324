//! Packages in memory: what tests and measurements mount instead of a store.

use std::collections::{BTreeMap, HashMap};
use std::io;
use std::sync::Arc;

use super::package::{Child, FileFacts, Package, PackageSource};
use crate::store::PackId;

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

    fn memory_bytes(&self) -> usize {
        self.files.len() * 64
    }
}
