//! The store as its callers see it.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use rayon::prelude::*;

use crate::sys;

use super::error::StoreError;
use super::index::{Index, IndexAccess, IndexFailure, RebuildWhen, Row};
use super::ingest::{InflaterPool, IngestOptions, Packed, TarballSource, Unpacker, Workshop};
use super::layout::{self, Permitted};
use super::pack::{Pack, PackSummary};
use super::prune::{self, Pruner};
use super::scan::{self, ScannedPack};
use super::unpacked::{self, Unpacked};
use super::verify::{self, Finding};
use super::write::{self, pack_path};
use super::{PackId, PackageKey, PackageRecord, RebuildReport, StoreStatus, lock};

/// Files in `tmp` that are older belong to nobody who is still alive.
const TEMPORARY_AGE: Duration = Duration::from_secs(24 * 60 * 60);

/// What a store is opened for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Access {
    /// Reading and writing; it is made where it is missing. A store that the system does not let
    /// be written is opened for reading, see [`Store::is_read_only`].
    ReadWrite,
    /// Reading alone; it must be there.
    ReadOnly,
}

/// An open store. Any number of threads may use one, and any number of processes the same path.
pub struct Store {
    root: PathBuf,
    index: Index,
    inflaters: InflaterPool,
    unpacker: Unpacker,
    boot: String,
    writable: bool,
    /// Held while packs may be made, so that nothing cleans up under them.
    lock: Option<File>,
}

impl Store {
    /// Opens the store at `path`.
    ///
    /// # Errors
    /// [`StoreError::Incompatible`] for a store of another version, [`StoreError::Io`] where it is
    /// missing or cannot be made, [`StoreError::Busy`] while another process cleans it up.
    pub fn open(path: &Path, access: Access) -> Result<Self, StoreError> {
        let permitted = match access {
            Access::ReadOnly => layout::open(path)?,
            Access::ReadWrite if path.exists() && !sys::store::is_writable(path) => {
                layout::open(path)?;
                Permitted::Read
            }
            Access::ReadWrite => layout::create(path)?,
        };
        let writable = access == Access::ReadWrite && permitted == Permitted::Write;
        let index_access = if writable {
            IndexAccess::Write
        } else if sys::store::is_writable(path) {
            IndexAccess::Read
        } else {
            IndexAccess::Immutable
        };
        let lock = match writable {
            true => Some(lock::shared(&path.join("lock"))?),
            false => None,
        };
        Ok(Self {
            root: path.to_path_buf(),
            index: Index::new(path, index_access),
            inflaters: InflaterPool::default(),
            unpacker: Unpacker::new(path),
            boot: boot_id(),
            writable,
            lock,
        })
    }

    /// Where the store is.
    pub fn path(&self) -> &Path {
        &self.root
    }

    /// Whether nothing can be added: by its access, its file system or its version file.
    pub fn is_read_only(&self) -> bool {
        !self.writable
    }

    /// What unpacks archives for this store while they arrive.
    pub fn unpacker(&self) -> &Unpacker {
        &self.unpacker
    }

    fn check_writable(&self) -> Result<(), StoreError> {
        if self.writable {
            Ok(())
        } else {
            Err(StoreError::ReadOnly {
                path: self.root.clone(),
            })
        }
    }

    fn workshop(&self) -> Workshop<'_> {
        Workshop {
            root: &self.root,
            inflaters: &self.inflaters,
        }
    }

    /// Runs an operation of the index, and once more after rebuilding it where it was damaged.
    fn with_index<T>(
        &self,
        operation: impl Fn(&Index) -> Result<T, IndexFailure>,
    ) -> Result<T, StoreError> {
        let corrupt = match operation(&self.index) {
            Ok(value) => return Ok(value),
            Err(IndexFailure::Store(error)) => return Err(error),
            Err(IndexFailure::Corrupt(error)) => error,
        };
        if !self.writable {
            return Err(self.index.error(corrupt));
        }
        tracing::warn!(path = %self.index.path().display(), "rebuilding the damaged index");
        self.rebuild(RebuildWhen::Damaged)?;
        operation(&self.index).map_err(|failure| match failure {
            IndexFailure::Store(error) => error,
            IndexFailure::Corrupt(error) => self.index.error(error),
        })
    }

    /// The records of these packages, `None` for those that are missing. One query; no file of any
    /// package is touched, unless a row was written before the last boot and never made durable:
    /// then its pack is checked, and counts as missing where it is not whole.
    ///
    /// # Errors
    /// [`StoreError::Index`], [`StoreError::Busy`], [`StoreError::Incompatible`].
    pub fn lookup_many(
        &self,
        keys: &[PackageKey],
    ) -> Result<Vec<Option<PackageRecord>>, StoreError> {
        if keys.is_empty() || (!self.writable && !self.index.path().exists()) {
            return Ok(vec![None; keys.len()]);
        }
        let rows = self.with_index(|index| index.lookup_many(keys))?;
        let doubtful: Vec<&Row> = rows
            .iter()
            .flatten()
            .filter(|row| row.boot.as_ref().is_some_and(|boot| *boot != self.boot))
            .collect();
        if doubtful.is_empty() {
            return Ok(rows.into_iter().map(|row| Some(row?.record)).collect());
        }
        let lost = self.settle_doubts(&doubtful)?;
        let mut records = Vec::with_capacity(rows.len());
        for row in rows {
            records.push(
                row.filter(|row| !lost.contains(&row.record.pack))
                    .map(|row| row.record),
            );
        }
        Ok(records)
    }

    /// How many of these packages the store does not have with these packs. As
    /// [`Self::lookup_many`], for who needs to know nothing else.
    ///
    /// # Errors
    /// As [`Self::lookup_many`].
    pub fn missing_of(&self, packages: &[(&str, PackId)]) -> Result<usize, StoreError> {
        let keys: Vec<&str> = packages.iter().map(|(key, _)| *key).collect();
        let found = match self.index.path().exists() {
            true => self.with_index(|index| index.packs_of(&keys))?,
            false => vec![None; keys.len()],
        };
        let is_doubtful = |boot: &Option<String>| boot.as_ref().is_some_and(|id| *id != self.boot);
        if found.iter().flatten().any(|(_, boot)| is_doubtful(boot)) {
            let keys: Vec<_> = keys
                .iter()
                .map(|key| PackageKey::from_stored(key))
                .collect();
            let records = self.lookup_many(&keys)?;
            let packs = records.into_iter().map(|record| Some(record?.pack));
            return Ok(unequal(packs, packages));
        }
        let packs = found.into_iter().map(|found| Some(found?.0));
        Ok(unequal(packs, packages))
    }

    /// A text that stays the same as long as no row of the index changes and the machine is not
    /// started anew; `None` where that cannot be told.
    pub fn mark(&self) -> Option<String> {
        let index = self.index.mark()?;
        Some(format!("{index} {}", self.boot))
    }

    /// Checks the packs of rows that an earlier boot left unsettled, and gives those that are not
    /// whole. What was read back after a boot is on disk.
    fn settle_doubts(
        &self,
        rows: &[&Row],
    ) -> Result<std::collections::HashSet<PackId>, StoreError> {
        let verdicts: Vec<bool> = rows
            .par_iter()
            .map(|row| {
                let id = row.record.pack;
                PackSummary::read(&pack_path(&self.root, id), id)
                    .and_then(|summary| summary.check_contents())
                    .is_ok()
            })
            .collect();
        let mut kept = Vec::new();
        let mut lost = Vec::new();
        for (row, whole) in rows.iter().zip(verdicts) {
            let list = if whole { &mut kept } else { &mut lost };
            list.push((row.key.clone(), row.record.pack));
        }
        if self.writable {
            // Rows first: a pack must never be missing while a row names it.
            if !lost.is_empty() {
                self.with_index(|index| index.remove_many(&lost))?;
            }
            for (_, pack) in &lost {
                let _ = std::fs::remove_file(pack_path(&self.root, *pack));
            }
            if !kept.is_empty() {
                self.with_index(|index| index.mark_durable(&kept))?;
            }
        }
        Ok(lost.into_iter().map(|(_, pack)| pack).collect())
    }

    /// Checks an archive against its integrity and makes a pack of its files. The package is found
    /// once [`Store::commit`] has named it.
    ///
    /// # Errors
    /// [`StoreError::Integrity`] for other bytes than promised, [`StoreError::Refused`] for an
    /// archive that breaks a rule, [`StoreError::Transform`], [`StoreError::Io`],
    /// [`StoreError::ReadOnly`].
    pub fn ingest_tarball(
        &self,
        source: impl Into<TarballSource>,
        options: &IngestOptions<'_>,
    ) -> Result<Packed, StoreError> {
        self.check_writable()?;
        self.workshop().tarball(source.into(), options)
    }

    /// Makes a pack of the regular files of a directory. Symbolic links are passed over, and
    /// nothing outside the directory is read.
    ///
    /// # Errors
    /// As [`Store::ingest_tarball`].
    pub fn ingest_directory(
        &self,
        path: &Path,
        options: &IngestOptions<'_>,
    ) -> Result<Packed, StoreError> {
        self.check_writable()?;
        self.workshop().directory(path, options)
    }

    /// Makes packages findable, all in one transaction.
    ///
    /// # Errors
    /// [`StoreError::Index`], [`StoreError::Busy`], [`StoreError::ReadOnly`].
    pub fn commit(&self, packages: &[Packed]) -> Result<(), StoreError> {
        self.check_writable()?;
        let rows: Vec<Row> = packages
            .iter()
            .map(|packed| self.row(&packed.key, &packed.record))
            .collect();
        if rows.is_empty() {
            return Ok(());
        }
        self.with_index(|index| index.insert_many(&rows))
    }

    fn row(&self, key: &PackageKey, record: &PackageRecord) -> Row {
        Row {
            key: key.clone(),
            record: record.clone(),
            boot: Some(self.boot.clone()),
        }
    }

    /// Forgets packages, so that they count as missing and are fetched again. For those whose pack
    /// turned out to be damaged.
    ///
    /// # Errors
    /// [`StoreError::Index`], [`StoreError::Busy`], [`StoreError::ReadOnly`].
    pub fn forget(&self, keys: &[PackageKey]) -> Result<(), StoreError> {
        self.check_writable()?;
        self.with_index(|index| index.forget_many(keys))
    }

    /// Forgets the packages of these packs, as [`Store::forget`] does.
    ///
    /// # Errors
    /// As [`Store::forget`].
    pub fn forget_packs(&self, packs: &[PackId]) -> Result<(), StoreError> {
        self.check_writable()?;
        self.with_index(|index| index.forget_packs(packs))
    }

    /// Opens a pack. Reads its trailer and table, nothing else.
    ///
    /// # Errors
    /// [`StoreError::Io`] where it is missing, [`StoreError::Pack`] where it is not whole; for both
    /// [`StoreError::is_damage`] holds.
    pub fn open_pack(&self, id: &PackId) -> Result<Pack, StoreError> {
        Pack::open(&pack_path(&self.root, *id), *id)
    }

    /// The unpacked copy of a pack, to be linked from; made where there is none.
    ///
    /// # Errors
    /// [`StoreError::Io`], [`StoreError::ReadOnly`].
    pub fn unpacked(&self, pack: &Pack) -> Result<Unpacked, StoreError> {
        match unpacked::find(&self.root, pack, &self.boot) {
            Some(found) => Ok(found),
            None => self.unpack_again(pack),
        }
    }

    /// Makes the unpacked copy of a pack in the place of the one that is there, of which a file was
    /// changed. Files that are links to it stay as they are.
    ///
    /// # Errors
    /// As [`Store::unpacked`].
    pub fn unpack_again(&self, pack: &Pack) -> Result<Unpacked, StoreError> {
        self.check_writable()?;
        unpacked::make(&self.root, pack, &self.boot)
    }

    /// Notes that `packs`, and no others, are needed while there is something at `path`: no prune
    /// removes them. Does nothing for a store that cannot be written, which cannot be pruned.
    ///
    /// # Errors
    /// [`StoreError::Io`].
    pub fn set_root(
        &self,
        path: &Path,
        packs: impl IntoIterator<Item = PackId>,
    ) -> Result<(), StoreError> {
        match self.writable {
            true => prune::write_root(&self.root, path, packs),
            false => Ok(()),
        }
    }

    /// Runs `work` while no other process has the store open for writing. Waits for it.
    ///
    /// # Errors
    /// [`StoreError::Busy`] where others do not end, [`StoreError::ReadOnly`], and those of `work`.
    pub fn prune<T, E: From<StoreError>>(
        &self,
        work: impl FnOnce(Pruner<'_>) -> Result<T, E>,
    ) -> Result<T, E> {
        self.check_writable()?;
        let Some(lock) = &self.lock else {
            return Err(StoreError::ReadOnly {
                path: self.root.clone(),
            }
            .into());
        };
        let path = self.root.join("lock");
        // To make a shared lock exclusive gives it up first, so nobody waits for the other.
        let result = lock::upgrade(lock, &path)
            .map_err(E::from)
            .and_then(|()| work(Pruner::new(self)));
        lock.lock_shared().map_err(StoreError::io("lock", path))?;
        result
    }

    pub(super) fn all_rows(&self) -> Result<Vec<(PackageKey, PackId)>, StoreError> {
        let rows = self.with_index(Index::all)?;
        Ok(rows
            .into_iter()
            .map(|row| (row.key, row.record.pack))
            .collect())
    }

    pub(super) fn remove_rows(&self, rows: &[(PackageKey, PackId)]) -> Result<(), StoreError> {
        self.with_index(|index| index.remove_many(rows))
    }

    pub(super) fn remove_old_temporary_files_now(&self) -> Result<usize, StoreError> {
        self.remove_old_temporary_files(SystemTime::now())
    }

    /// Makes everything that was committed under this boot durable, and empties the write-ahead
    /// log. Waits for the disk: to be called when nobody waits for the caller.
    ///
    /// # Errors
    /// [`StoreError::Io`] where flushing fails; then nothing is marked.
    pub fn settle(&self) -> Result<(), StoreError> {
        self.check_writable()?;
        let pending = self.with_index(|index| index.pending(&self.boot))?;
        if !pending.is_empty() {
            let directory = sys::store::open_directory(&self.root)
                .map_err(StoreError::io("open", &self.root))?;
            sys::store::sync_file_system(&directory)
                .map_err(StoreError::io("flush the file system of", &self.root))?;
            self.with_index(|index| index.mark_durable(&pending))?;
        }
        self.with_index(Index::checkpoint)
    }

    /// Checks every pack and every row.
    ///
    /// # Errors
    /// What keeps it from looking; what it finds is no error.
    pub fn verify(&self) -> Result<Vec<Finding>, StoreError> {
        let rows = if self.writable || self.index.path().exists() {
            self.with_index(Index::all)?
        } else {
            Vec::new()
        };
        verify::verify(&self.root, &rows)
    }

    /// Makes the index anew from the packs, of which every byte is checked.
    ///
    /// # Errors
    /// [`StoreError::Io`], [`StoreError::Index`], [`StoreError::Busy`], [`StoreError::ReadOnly`].
    pub fn rebuild_index(&self) -> Result<RebuildReport, StoreError> {
        self.check_writable()?;
        self.rebuild(RebuildWhen::Asked)
    }

    fn rebuild(&self, when: RebuildWhen) -> Result<RebuildReport, StoreError> {
        let mut report = RebuildReport::default();
        self.index.rebuild(when, || {
            let (rows, damaged) = self.rows_of_packs()?;
            report.packages = rows.len();
            report.damaged = damaged;
            Ok(rows)
        })?;
        Ok(report)
    }

    fn rows_of_packs(&self) -> Result<(Vec<Row>, Vec<PackId>), StoreError> {
        let scan = scan::packs(&self.root)?;
        let read: Vec<_> = scan
            .packs
            .par_iter()
            .map(|pack: &ScannedPack| {
                let summary = PackSummary::read(&pack.path, pack.id)?;
                summary.check_contents()?;
                Ok::<_, StoreError>(summary)
            })
            .collect();
        let mut newest: std::collections::HashMap<PackageKey, (SystemTime, Row)> =
            std::collections::HashMap::new();
        let mut damaged = Vec::new();
        for (pack, summary) in scan.packs.iter().zip(read) {
            let Ok(summary) = summary else {
                damaged.push(pack.id);
                continue;
            };
            let record = PackageRecord {
                pack: pack.id,
                facts: summary.facts,
            };
            let row = self.row(&summary.key, &record);
            let place = newest.entry(summary.key);
            place
                .and_modify(|known| {
                    if (pack.modified, pack.id) > (known.0, known.1.record.pack) {
                        *known = (pack.modified, row.clone());
                    }
                })
                .or_insert((pack.modified, row));
        }
        Ok((newest.into_values().map(|(_, row)| row).collect(), damaged))
    }

    /// Counts.
    ///
    /// # Errors
    /// What keeps it from looking.
    pub fn status(&self) -> Result<StoreStatus, StoreError> {
        let counts = if self.writable || self.index.path().exists() {
            self.with_index(Index::counts)?
        } else {
            super::index::Counts::default()
        };
        let scan = scan::packs(&self.root)?;
        let temporary = scan::temporary_files(&self.root)?;
        Ok(StoreStatus {
            packages: counts.durable + counts.pending,
            durable: counts.durable,
            not_durable: counts.pending,
            packs: scan.packs.len() as u64,
            pack_bytes: scan.packs.iter().map(|pack| pack.bytes).sum(),
            temporary_files: temporary.len() as u64,
            temporary_bytes: temporary.iter().map(|file| file.bytes).sum(),
        })
    }

    /// Removes what killed processes left in `tmp` more than a day ago, and tells how many files
    /// that were. Does nothing while another process writes to the store.
    ///
    /// # Errors
    /// [`StoreError::Io`], [`StoreError::ReadOnly`].
    pub fn clean_temporary_files(&self) -> Result<usize, StoreError> {
        self.clean_temporary_files_at(SystemTime::now())
    }

    fn clean_temporary_files_at(&self, now: SystemTime) -> Result<usize, StoreError> {
        self.check_writable()?;
        let Some(lock) = &self.lock else {
            return Ok(0);
        };
        if lock.try_lock().is_err() {
            // The failed attempt gave up the shared lock.
            lock.lock_shared()
                .map_err(StoreError::io("lock", self.root.join("lock")))?;
            return Ok(0);
        }
        let removed = self.remove_old_temporary_files(now);
        lock.lock_shared()
            .map_err(StoreError::io("lock", self.root.join("lock")))?;
        removed
    }

    fn remove_old_temporary_files(&self, now: SystemTime) -> Result<usize, StoreError> {
        let mut removed = 0;
        for file in scan::temporary_files(&self.root)? {
            let age = now.duration_since(file.changed).unwrap_or_default();
            if age > TEMPORARY_AGE {
                write::remove_temporary(&file.path)
                    .map_err(StoreError::io("remove", &file.path))?;
                removed += 1;
            }
        }
        Ok(removed)
    }

    /// What the names of all temporary files and directories of this process begin with.
    pub fn temporary_prefix() -> String {
        write::temporary_prefix()
    }

    /// Lets no thread of this process begin a temporary file of a store any more: whoever wants to
    /// waits for the end of the process.
    pub fn begin_no_more_temporary_files() {
        write::make_no_more_temporaries();
    }

    /// Removes the temporary files of this process from the store at `path`, for a process that is
    /// about to end, and tells how many there were. Whatever still wants to publish one of them
    /// fails. A directory that another thread is just filling may stay; the others go all the same.
    ///
    /// # Errors
    /// [`StoreError::Io`] where they cannot be listed.
    pub fn remove_own_temporary_files(path: &Path) -> Result<usize, StoreError> {
        let prefix = write::temporary_prefix();
        let mut found = 0;
        for file in scan::temporary_files(path)? {
            let name = file.path.file_name().unwrap_or_default();
            if name.as_encoded_bytes().starts_with(prefix.as_bytes()) {
                found += 1;
                if let Err(error) = write::remove_temporary(&file.path) {
                    tracing::debug!(path = %file.path.display(), %error, "it is still used");
                }
            }
        }
        Ok(found)
    }
}

/// The id of the running boot. Without one, no row is ever believed to be of this boot.
fn boot_id() -> String {
    std::fs::read_to_string("/proc/sys/kernel/random/boot_id")
        .map(|id| id.trim().to_owned())
        .ok()
        .filter(|id| !id.is_empty())
        .unwrap_or_else(|| format!("process {}", std::process::id()))
}

/// How many of `packages` have other packs here, or none.
fn unequal(packs: impl Iterator<Item = Option<PackId>>, packages: &[(&str, PackId)]) -> usize {
    let pairs = packs.zip(packages);
    pairs
        .filter(|(found, (_, pack))| *found != Some(*pack))
        .count()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn archive() -> Vec<u8> {
        let mut builder = tar::Builder::new(Vec::new());
        for (path, content) in [("p/package.json", &b"{}"[..]), ("p/x", b"content")] {
            let mut header = tar::Header::new_ustar();
            header.set_size(content.len() as u64);
            header.set_mode(0o644);
            builder.append_data(&mut header, path, content).unwrap();
        }
        builder.into_inner().unwrap()
    }

    /// A store with packages written under another boot, as after a crash of the machine.
    fn after_reboot(names: &[&str], settled: bool) -> (tempfile::TempDir, Store, Vec<Packed>) {
        let directory = tempfile::tempdir().unwrap();
        let mut store = Store::open(directory.path(), Access::ReadWrite).unwrap();
        store.boot = "the boot before".to_owned();
        let packed: Vec<Packed> = names
            .iter()
            .map(|name| {
                let options = IngestOptions::new(PackageKey::new("i", name, None));
                store.ingest_tarball(archive(), &options).unwrap()
            })
            .collect();
        store.commit(&packed).unwrap();
        if settled {
            store.settle().unwrap();
        }
        drop(store);
        let store = Store::open(directory.path(), Access::ReadWrite).unwrap();
        (directory, store, packed)
    }

    fn found(store: &Store, packed: &[Packed]) -> Vec<bool> {
        let keys: Vec<PackageKey> = packed.iter().map(|packed| packed.key.clone()).collect();
        let records = store.lookup_many(&keys).unwrap();
        records.iter().map(Option::is_some).collect()
    }

    /// Writes other bytes of the same length over the content, as a power cut may leave them.
    fn damage(store: &Store, packed: &Packed) {
        let path = pack_path(&store.root, packed.record.pack);
        let mut bytes = std::fs::read(&path).unwrap();
        bytes[..7].fill(0);
        std::fs::remove_file(&path).unwrap();
        std::fs::write(&path, bytes).unwrap();
    }

    #[test]
    fn an_unsettled_row_of_an_earlier_boot_is_verified_and_then_durable() {
        let (_directory, store, packed) = after_reboot(&["a", "b"], false);
        assert_eq!(store.status().unwrap().not_durable, 2);
        damage(&store, &packed[1]);
        assert_eq!(found(&store, &packed), [true, false]);
        let status = store.status().unwrap();
        assert_eq!((status.packages, status.durable, status.packs), (1, 1, 1));
        assert_eq!(found(&store, &packed), [true, false]);
    }

    #[test]
    fn a_mark_lasts_until_a_row_changes_and_what_is_missing_is_counted() {
        let (_directory, store, packed) = after_reboot(&["a"], true);
        let index = store.index.path().to_owned();
        let age = |seconds| {
            for path in [index.clone(), index.with_file_name("index.db-wal")] {
                let file = File::options().write(true).open(path).unwrap();
                file.set_modified(SystemTime::now() - Duration::from_secs(seconds))
                    .unwrap();
            }
        };
        age(0);
        assert_eq!(store.mark(), None);
        age(60);
        let mark = store.mark();
        let own = (packed[0].key.as_str(), packed[0].record.pack);
        let other = (own.0, PackId([7; 32]));
        let absent = ("none", own.1);
        assert_eq!(store.missing_of(&[own, other, absent]).unwrap(), 2);
        assert!(mark.is_some() && store.mark() == mark);
        store.forget_packs(&[own.1]).unwrap();
        assert_ne!(store.mark(), mark);
        assert_eq!(store.missing_of(&[own]).unwrap(), 1);
    }

    #[test]
    fn rows_that_are_durable_or_of_this_boot_are_believed_without_opening_a_pack() {
        let (_directory, store, packed) = after_reboot(&["a"], true);
        std::fs::remove_dir_all(store.root.join("packs")).unwrap();
        assert_eq!(found(&store, &packed), [true]);
        let (_directory, store, _) = after_reboot(&[], false);
        let options = IngestOptions::new(PackageKey::new("i", "c", None));
        let packed = [store.ingest_tarball(archive(), &options).unwrap()];
        store.commit(&packed).unwrap();
        std::fs::remove_dir_all(store.root.join("packs")).unwrap();
        assert_eq!(found(&store, &packed), [true]);
    }

    #[test]
    fn a_read_only_store_reads_its_index_without_making_a_file() {
        let (directory, store, packed) = after_reboot(&["a"], true);
        drop(store);
        let list = || {
            let entries = std::fs::read_dir(directory.path()).unwrap();
            let mut names: Vec<_> = entries.map(|entry| entry.unwrap().file_name()).collect();
            names.sort();
            names
        };
        for suffix in ["-wal", "-shm"] {
            let _ = std::fs::remove_file(directory.path().join(format!("index.db{suffix}")));
        }
        std::fs::remove_file(directory.path().join("index.lock")).unwrap();
        let mut store = Store::open(directory.path(), Access::ReadOnly).unwrap();
        store.index = Index::new(directory.path(), IndexAccess::Immutable);
        let before = list();
        assert_eq!(found(&store, &packed), [true]);
        assert_eq!(list(), before);
    }

    #[test]
    fn an_index_of_a_newer_version_is_refused_and_kept() {
        let (directory, store, packed) = after_reboot(&["a"], true);
        let path = directory.path().join("index.db");
        let mut bytes = std::fs::read(&path).unwrap();
        bytes[63] = 2;
        std::fs::write(&path, &bytes).unwrap();
        let error = store.lookup_many(&[packed[0].key.clone()]).unwrap_err();
        assert!(
            matches!(error, StoreError::Incompatible { .. }),
            "{error:?}"
        );
        assert_eq!(std::fs::read(&path).unwrap(), bytes);
    }

    #[test]
    fn own_temporary_files_go_beside_a_directory_that_is_being_filled() {
        let directory = tempfile::tempdir().unwrap();
        Store::open(directory.path(), Access::ReadWrite).unwrap();
        let temporary = directory.path().join("tmp");
        let own = |name: &str| temporary.join(format!("{}{name}", Store::temporary_prefix()));
        let (filled, done) = (own("filled"), std::sync::atomic::AtomicBool::new(false));
        std::thread::scope(|scope| {
            scope.spawn(|| {
                for number in 0_u64.. {
                    if done.load(std::sync::atomic::Ordering::SeqCst) {
                        break;
                    }
                    let _ = std::fs::create_dir(&filled);
                    let _ = std::fs::write(filled.join(number.to_string()), "x");
                }
            });
            for round in 0..50 {
                let others = [own(&format!("a{round}")), own(&format!("z{round}"))];
                for other in &others {
                    std::fs::write(other, "x").unwrap();
                }
                assert!(Store::remove_own_temporary_files(directory.path()).unwrap() >= 2);
                assert!(!others.iter().any(|other| other.exists()), "{round}");
            }
            done.store(true, std::sync::atomic::Ordering::SeqCst);
        });
    }

    #[test]
    fn old_temporary_files_go_when_nobody_else_writes_and_fresh_ones_stay() {
        let directory = tempfile::tempdir().unwrap();
        let store = Store::open(directory.path(), Access::ReadWrite).unwrap();
        let other = Store::open(directory.path(), Access::ReadWrite).unwrap();
        std::fs::write(directory.path().join("tmp/x"), "x").unwrap();
        let later = SystemTime::now() + 2 * TEMPORARY_AGE;
        let sooner = SystemTime::now();
        assert_eq!(store.clean_temporary_files_at(later).unwrap(), 0);
        drop(other);
        assert_eq!(store.clean_temporary_files_at(sooner).unwrap(), 0);
        assert_eq!(store.clean_temporary_files_at(later).unwrap(), 1);
        assert_eq!(store.status().unwrap().temporary_files, 0);
    }
}
