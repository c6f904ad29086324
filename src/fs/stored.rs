//! The store's packs as the packages of a file system.

use std::io;
use std::path::PathBuf;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};

use super::package::{Child, FileFacts, Package, PackageSource};
use crate::store::{Access, NodeKind, Pack, PackId, ROOT, Store, StoreError};

/// Whether content is held against its digest.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reads {
    /// A pack that can be opened is taken for what it was when it was written.
    Trusted,
    /// Each file is checked whole when something of it is read for the first time.
    Verified,
}

/// The packs of a store.
pub struct StoredPackages {
    path: PathBuf,
    store: OnceLock<Arc<Store>>,
    reads: Reads,
}

impl StoredPackages {
    /// The packs of `store`.
    pub fn new(store: Arc<Store>, reads: Reads) -> Self {
        Self {
            path: store.path().to_owned(),
            store: OnceLock::from(store),
            reads,
        }
    }

    /// The packs of the store at `path`, which is not there now: until it is, none can be opened.
    pub fn of_absent(path: PathBuf, reads: Reads) -> Self {
        Self {
            path,
            store: OnceLock::new(),
            reads,
        }
    }

    fn store(&self) -> Result<&Arc<Store>, StoreError> {
        if let Some(store) = self.store.get() {
            return Ok(store);
        }
        let store = Store::open(&self.path, Access::ReadOnly)?;
        Ok(self.store.get_or_init(|| Arc::new(store)))
    }
}

impl PackageSource for StoredPackages {
    fn open(&self, pack: &PackId) -> io::Result<Arc<dyn Package>> {
        match self.store().and_then(|store| store.open_pack(pack)) {
            Ok(pack) => Ok(Arc::new(Stored::new(pack, self.reads))),
            Err(StoreError::Io { source, .. }) => Err(source),
            Err(error) => Err(io::Error::other(error)),
        }
    }
}

/// Files and directories of a pack share one numbering, which serves both kinds of index.
struct Stored {
    pack: Pack,
    /// A bit for each number: whether the file was checked. Empty where none is.
    verified: Box<[AtomicU64]>,
}

impl Stored {
    fn new(pack: Pack, reads: Reads) -> Self {
        let words = match reads {
            Reads::Trusted => 0,
            Reads::Verified => pack.table().len().div_ceil(u64::BITS),
        };
        let verified = (0..words).map(|_| AtomicU64::new(0)).collect();
        Self { pack, verified }
    }

    /// Checks the file, if files are checked and this one was not yet. Two threads may do it at
    /// once.
    fn verify(&self, file: u32) -> io::Result<()> {
        let Some(word) = self.verified.get((file / u64::BITS) as usize) else {
            return Ok(());
        };
        let bit = 1 << (file % u64::BITS);
        if word.load(Ordering::Relaxed) & bit == 0 {
            self.pack.verify_file(file).map_err(io::Error::other)?;
            word.fetch_or(bit, Ordering::Relaxed);
        }
        Ok(())
    }

    fn describe(&self, number: u32) -> Option<Child> {
        Some(match self.pack.table().kind(number)? {
            NodeKind::Directory { .. } => Child::Directory(number),
            NodeKind::File { .. } => Child::File(number),
        })
    }
}

impl Package for Stored {
    fn child(&self, directory: u32, name: &[u8]) -> Option<Child> {
        self.describe(self.pack.table().lookup(directory, name)?)
    }

    fn child_at(&self, directory: u32, position: u32) -> Option<(&[u8], Child)> {
        let table = self.pack.table();
        let mut entries = table.entries(directory);
        let number = entries.nth(usize::try_from(position).ok()?)?;
        Some((table.name(number)?.as_bytes(), self.describe(number)?))
    }

    fn parent(&self, directory: u32) -> Option<u32> {
        match self.pack.table().kind(directory)? {
            NodeKind::Directory { .. } => self.pack.table().parent(directory),
            NodeKind::File { .. } => None,
        }
    }

    fn place(&self, child: Child) -> Option<(u32, &[u8])> {
        let table = self.pack.table();
        let number = match child {
            Child::Directory(number) | Child::File(number) => number,
        };
        if self.describe(number)? != child || number == ROOT {
            return None;
        }
        Some((table.parent(number)?, table.name(number)?.as_bytes()))
    }

    fn file(&self, file: u32) -> Option<FileFacts> {
        match self.pack.table().kind(file)? {
            NodeKind::File {
                size, executable, ..
            } => Some(FileFacts { size, executable }),
            NodeKind::Directory { .. } => None,
        }
    }

    fn read_at(&self, file: u32, offset: u64, buffer: &mut [u8]) -> io::Result<usize> {
        self.verify(file)?;
        self.pack.read_at(file, offset, buffer)
    }

    fn will_need(&self, file: u32) {
        self.pack.will_need(file);
    }

    fn is_cached(&self, file: u32) -> bool {
        self.pack.is_cached(file)
    }

    fn memory_bytes(&self) -> usize {
        self.pack.memory_bytes() + self.verified.len() * size_of::<AtomicU64>()
    }
}
