//! The store's packs as the packages of a file system.

use std::io;
use std::sync::Arc;

use super::package::{Child, FileFacts, Package, PackageSource};
use crate::store::{NodeKind, Pack, PackId, ROOT, Store, StoreError};

/// The packs of a store.
pub struct StoredPackages(Arc<Store>);

impl StoredPackages {
    /// The packs of `store`.
    pub fn new(store: Arc<Store>) -> Self {
        Self(store)
    }
}

impl PackageSource for StoredPackages {
    fn open(&self, pack: &PackId) -> io::Result<Arc<dyn Package>> {
        match self.0.open_pack(pack) {
            Ok(pack) => Ok(Arc::new(Stored(pack))),
            Err(StoreError::Io { source, .. }) => Err(source),
            Err(error) => Err(io::Error::other(error)),
        }
    }
}

/// Files and directories of a pack share one numbering, which serves both kinds of index.
struct Stored(Pack);

impl Stored {
    fn describe(&self, number: u32) -> Option<Child> {
        Some(match self.0.table().kind(number)? {
            NodeKind::Directory { .. } => Child::Directory(number),
            NodeKind::File { .. } => Child::File(number),
        })
    }
}

impl Package for Stored {
    fn child(&self, directory: u32, name: &[u8]) -> Option<Child> {
        self.describe(self.0.table().lookup(directory, name)?)
    }

    fn child_at(&self, directory: u32, position: u32) -> Option<(&[u8], Child)> {
        let table = self.0.table();
        let mut entries = table.entries(directory);
        let number = entries.nth(usize::try_from(position).ok()?)?;
        Some((table.name(number)?.as_bytes(), self.describe(number)?))
    }

    fn parent(&self, directory: u32) -> Option<u32> {
        match self.0.table().kind(directory)? {
            NodeKind::Directory { .. } => self.0.table().parent(directory),
            NodeKind::File { .. } => None,
        }
    }

    fn place(&self, child: Child) -> Option<(u32, &[u8])> {
        let table = self.0.table();
        let number = match child {
            Child::Directory(number) | Child::File(number) => number,
        };
        if self.describe(number)? != child || number == ROOT {
            return None;
        }
        Some((table.parent(number)?, table.name(number)?.as_bytes()))
    }

    fn file(&self, file: u32) -> Option<FileFacts> {
        match self.0.table().kind(file)? {
            NodeKind::File {
                size, executable, ..
            } => Some(FileFacts { size, executable }),
            NodeKind::Directory { .. } => None,
        }
    }

    fn read_at(&self, file: u32, offset: u64, buffer: &mut [u8]) -> io::Result<usize> {
        self.0.read_at(file, offset, buffer)
    }

    fn memory_bytes(&self) -> usize {
        self.0.memory_bytes()
    }
}
