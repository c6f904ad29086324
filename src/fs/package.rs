//! What the file system needs of a package, and the cache of opened ones.
//!
//! **Architecture Invariant:** a package is opened when somebody looks into it, and never sooner.
//! No lock is held while a package is opened or read.

use std::collections::BTreeMap;
use std::io;
use std::num::NonZeroUsize;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use lru::LruCache;

use crate::store::PackId;

/// A child of a package's directory.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Child {
    /// The directory of this index.
    Directory(u32),
    /// The file of this index.
    File(u32),
}

/// What `stat` says of a package's file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FileFacts {
    /// Bytes.
    pub size: u64,
    /// Whether it can be executed.
    pub executable: bool,
}

/// An opened package: its table, and a way to read its files.
///
/// Directories and files have indexes that depend on nothing but the pack. Directory 0 is the
/// root. Implementations are immutable and are asked from several threads.
pub trait Package: Send + Sync {
    /// The child of `directory` with this name.
    fn child(&self, directory: u32, name: &[u8]) -> Option<Child>;

    /// The child at this position, with its name. The order never changes.
    fn child_at(&self, directory: u32, position: u32) -> Option<(&[u8], Child)>;

    /// The directory that `directory` is in; the root is its own. `None` where there is no such
    /// directory.
    fn parent(&self, directory: u32) -> Option<u32>;

    /// The directory that has `child`, and its name there; `None` for the root and for what is not
    /// there.
    fn place(&self, child: Child) -> Option<(u32, &[u8])>;

    /// What is known of a file; `None` where there is no such file.
    fn file(&self, file: u32) -> Option<FileFacts>;

    /// Reads bytes of `file` from `offset` into `buffer` and returns how many: all that fit, or
    /// all up to the file's end.
    ///
    /// # Errors
    /// When the pack cannot be read or is shorter than its table says. Never fewer bytes than the
    /// file has.
    fn read_at(&self, file: u32, offset: u64, buffer: &mut [u8]) -> io::Result<usize>;

    /// Tells the system that `file` will be read.
    fn will_need(&self, file: u32);

    /// Whether `file` can be read without waiting for a disk.
    fn is_cached(&self, file: u32) -> bool;

    /// Bytes of memory that it takes, for the cache.
    fn memory_bytes(&self) -> usize;
}

/// Where packages come from.
pub trait PackageSource: Send + Sync + 'static {
    /// Opens the package of `pack`.
    ///
    /// # Errors
    /// When it is not there, is no regular file, or is damaged.
    fn open(&self, pack: &PackId) -> io::Result<Arc<dyn Package>>;
}

/// How much the cache keeps.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CacheLimits {
    /// Bytes of tables.
    pub table_bytes: usize,
    /// Opened packages; each holds a file descriptor.
    pub open_packages: usize,
}

impl Default for CacheLimits {
    /// Tables of 39,700 files take about 3 MB.
    fn default() -> Self {
        Self {
            table_bytes: 24 << 20,
            open_packages: 4096,
        }
    }
}

impl CacheLimits {
    /// The same, for a process that may open this many files: half of them at most.
    pub fn within(self, descriptors: u64) -> Self {
        let half = usize::try_from(descriptors / 2).unwrap_or(usize::MAX);
        Self {
            open_packages: self.open_packages.min(half),
            ..self
        }
    }
}

const SHARDS: usize = 8;

/// Failures are remembered for this many packs.
const FAILURES_MAX: usize = 64;

struct Shard {
    packages: LruCache<u32, Arc<dyn Package>>,
    bytes: usize,
}

/// Opened packages, the least recently used of which are closed.
pub struct PackageCache {
    source: Box<dyn PackageSource>,
    shards: [Mutex<Shard>; SHARDS],
    limits: CacheLimits,
    hits: AtomicU64,
    misses: AtomicU64,
    failures: Mutex<BTreeMap<PackId, String>>,
}

impl PackageCache {
    /// An empty cache.
    pub fn new(source: Box<dyn PackageSource>, limits: CacheLimits) -> Self {
        let capacity =
            NonZeroUsize::new(limits.open_packages / SHARDS).unwrap_or(NonZeroUsize::MIN);
        Self {
            source,
            shards: std::array::from_fn(|_| {
                Mutex::new(Shard {
                    packages: LruCache::new(capacity),
                    bytes: 0,
                })
            }),
            limits,
            hits: AtomicU64::new(0),
            misses: AtomicU64::new(0),
            failures: Mutex::new(BTreeMap::new()),
        }
    }

    /// The package of `pack`, which has this slot.
    ///
    /// # Errors
    /// When it cannot be opened. The failure is logged and kept for [`Self::failures`]; the next
    /// call tries again.
    pub fn get(&self, slot: u32, pack: &PackId) -> io::Result<Arc<dyn Package>> {
        let shard = &self.shards[slot as usize % SHARDS];
        let cached = lock(shard).packages.get(&slot).cloned();
        if let Some(package) = cached {
            self.hits.fetch_add(1, Ordering::Relaxed);
            return Ok(package);
        }
        self.misses.fetch_add(1, Ordering::Relaxed);
        let package = self
            .open(pack)
            .inspect_err(|error| self.failed(pack, error))?;
        let dropped = self.insert(shard, slot, Arc::clone(&package));
        drop(dropped);
        Ok(package)
    }

    /// Opens a package. Others are closed for it where too many files are open.
    fn open(&self, pack: &PackId) -> io::Result<Arc<dyn Package>> {
        loop {
            match self.source.open(pack) {
                Err(error) if is_short_of_files(&error) && self.close_some() => {}
                opened => return opened,
            }
        }
    }

    /// Closes half of the packages that are open, those that were not used for the longest time.
    /// Whether there were any.
    fn close_some(&self) -> bool {
        let mut dropped = Vec::new();
        for shard in &self.shards {
            let mut shard = lock(shard);
            for _ in 0..shard.packages.len().div_ceil(2) {
                if let Some((_, old)) = shard.packages.pop_lru() {
                    shard.bytes -= old.memory_bytes();
                    dropped.push(old);
                }
            }
        }
        !dropped.is_empty()
    }

    /// Remembers that `pack` could not be read.
    pub fn failed(&self, pack: &PackId, error: &io::Error) {
        tracing::error!(%pack, %error, "a pack cannot be read; run \"pacquet store verify\"");
        let mut failures = self.failures.lock().unwrap_or_else(PoisonError::into_inner);
        if failures.len() < FAILURES_MAX || failures.contains_key(pack) {
            failures.insert(*pack, error.to_string());
        }
    }

    /// The packs that could not be read, with the last reason of each.
    pub fn failures(&self) -> Vec<(PackId, String)> {
        let failures = self.failures.lock().unwrap_or_else(PoisonError::into_inner);
        failures
            .iter()
            .map(|(pack, reason)| (*pack, reason.clone()))
            .collect()
    }

    /// How often a package was open already, and how often it had to be opened.
    pub fn hits_and_misses(&self) -> (u64, u64) {
        (
            self.hits.load(Ordering::Relaxed),
            self.misses.load(Ordering::Relaxed),
        )
    }

    /// Adds the package and returns what had to go, to be closed outside the lock.
    fn insert(
        &self,
        shard: &Mutex<Shard>,
        slot: u32,
        package: Arc<dyn Package>,
    ) -> Vec<Arc<dyn Package>> {
        let budget = self.limits.table_bytes / SHARDS;
        let mut dropped = Vec::new();
        let mut shard = lock(shard);
        shard.bytes += package.memory_bytes();
        if let Some((_, old)) = shard.packages.push(slot, package) {
            shard.bytes -= old.memory_bytes();
            dropped.push(old);
        }
        while shard.bytes > budget && shard.packages.len() > 1 {
            if let Some((_, old)) = shard.packages.pop_lru() {
                shard.bytes -= old.memory_bytes();
                dropped.push(old);
            }
        }
        dropped
    }
}

/// Whether this process, or the machine, may not have another file open.
pub(super) fn is_short_of_files(error: &io::Error) -> bool {
    let limits = [rustix::io::Errno::MFILE, rustix::io::Errno::NFILE];
    let number = error.raw_os_error();
    limits
        .iter()
        .any(|limit| number == Some(limit.raw_os_error()))
}

/// A thread that panicked while it held the lock left the map whole: every change is one call.
fn lock(shard: &Mutex<Shard>) -> std::sync::MutexGuard<'_, Shard> {
    shard.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fs::memory::MemoryPackages;

    fn packages(count: u8) -> MemoryPackages {
        let mut packages = MemoryPackages::default();
        for number in 0..count {
            packages.add(PackId([number; 32]), &[("index.js", b"1", false)]);
        }
        packages
    }

    #[test]
    fn a_package_is_opened_once_while_it_fits() {
        let cache = PackageCache::new(Box::new(packages(4)), CacheLimits::default());
        for _ in 0..3 {
            for number in 0..4 {
                assert!(cache.get(number.into(), &PackId([number; 32])).is_ok());
            }
        }
        assert_eq!(cache.hits_and_misses(), (8, 4));
    }

    #[test]
    fn the_least_recently_used_is_closed_when_memory_or_descriptors_run_out() {
        for limits in [
            CacheLimits {
                table_bytes: 1,
                open_packages: 512,
            },
            CacheLimits {
                table_bytes: 24 << 20,
                open_packages: SHARDS,
            },
        ] {
            let cache = PackageCache::new(Box::new(packages(20)), limits);
            for number in 0..20 {
                assert!(cache.get(number.into(), &PackId([number; 32])).is_ok());
            }
            let open: usize = cache
                .shards
                .iter()
                .map(|shard| lock(shard).packages.len())
                .sum();
            assert_eq!(open, SHARDS);
        }
    }

    #[test]
    fn half_of_the_descriptors_are_left() {
        let limits = CacheLimits::default();
        assert_eq!(limits.within(1024).open_packages, 512);
        assert_eq!(limits.within(u64::MAX), limits);
    }

    #[test]
    fn others_are_closed_where_no_file_may_be_opened() {
        /// Lets so many be open, and no more.
        struct Few(MemoryPackages, Mutex<Vec<std::sync::Weak<dyn Package>>>);
        impl PackageSource for Few {
            fn open(&self, pack: &PackId) -> io::Result<Arc<dyn Package>> {
                let mut open = self.1.lock().unwrap();
                // One is the source's own.
                open.retain(|package| package.strong_count() > 1);
                if open.len() == 3 {
                    return Err(rustix::io::Errno::MFILE.into());
                }
                let package = self.0.open(pack)?;
                open.push(Arc::downgrade(&package));
                Ok(package)
            }
        }
        let few = Few(packages(20), Mutex::default());
        let cache = PackageCache::new(Box::new(few), CacheLimits::default());
        for number in 0..20 {
            assert!(cache.get(number.into(), &PackId([number; 32])).is_ok());
        }
        assert!(cache.failures().is_empty());
        let held: Vec<_> = (0..3)
            .map(|number| cache.get(number.into(), &PackId([number; 32])).unwrap())
            .collect();
        assert!(cache.get(9, &PackId([9; 32])).is_err());
        drop(held);
        assert!(cache.get(9, &PackId([9; 32])).is_ok());
    }

    #[test]
    fn a_missing_pack_is_named_and_tried_again() {
        let cache = PackageCache::new(Box::new(packages(1)), CacheLimits::default());
        let missing = PackId([9; 32]);
        assert!(cache.get(9, &missing).is_err());
        assert!(cache.get(9, &missing).is_err());
        assert_eq!(cache.hits_and_misses(), (0, 2));
        let failures = cache.failures();
        assert_eq!(failures.len(), 1);
        assert_eq!(failures[0].0, missing);
    }
}
