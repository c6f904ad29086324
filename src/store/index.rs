//! The index: which pack a package key names, and what is known of it.
//!
//! The only module that names SQLite. A connection is opened for each operation, which takes a
//! fraction of a millisecond and leaves no lock, no handle and no mutex between operations; an
//! operation is one statement or one transaction for all its keys.
//!
//! Every operation holds a shared lock on `index.lock`; creating and rebuilding hold it
//! exclusively, so nobody has the database open while its file is replaced.
//!
//! A row's `boot` is null once its pack is known to be on disk, otherwise the id of the boot under
//! which it was written.

use std::fs::File;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use rusqlite::config::DbConfig;
use rusqlite::{Connection, ErrorCode, OpenFlags, OptionalExtension, TransactionBehavior, params};

use super::codec::{decode_facts, encode_facts};
use super::error::StoreError;
use super::lock::{self, WAIT_MS};
use super::{PackId, PackageKey, PackageRecord};

const SCHEMA_VERSION: i64 = 1;
/// Frames in the write-ahead log at which a commit itself moves them to the database. `settle`
/// does it earlier and in the background, because it waits for the disk.
const CHECKPOINT_PAGES: u32 = 16_384;

/// Times of files move by ticks of the kernel's clock, of ten milliseconds at most.
const MARK_AGE_MIN: Duration = Duration::from_millis(100);

const SCHEMA: &str = "CREATE TABLE packages (
    key TEXT PRIMARY KEY,
    pack BLOB NOT NULL,
    facts BLOB NOT NULL,
    boot TEXT
) WITHOUT ROWID";

/// How the database may be opened.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum IndexAccess {
    /// Read and write; created where it is missing.
    Write,
    /// Read, beside processes that write.
    Read,
    /// Read from a directory in which nothing may be created.
    Immutable,
}

/// A row as it is stored.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Row {
    pub(crate) key: PackageKey,
    pub(crate) record: PackageRecord,
    /// The boot under which it was written, `None` once the pack is known to be on disk.
    pub(crate) boot: Option<String>,
}

/// Counts of rows.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Counts {
    pub(crate) durable: u64,
    pub(crate) pending: u64,
}

/// What an operation on the database can end with.
pub(crate) enum IndexFailure {
    /// The file is no database, or a damaged one: it can be rebuilt.
    Corrupt(rusqlite::Error),
    /// Anything else.
    Store(StoreError),
}

impl From<StoreError> for IndexFailure {
    fn from(error: StoreError) -> Self {
        Self::Store(error)
    }
}

/// The index of the store at one path.
#[derive(Debug)]
pub(crate) struct Index {
    path: PathBuf,
    lock_path: PathBuf,
    access: IndexAccess,
}

/// A connection and the lock under which it is used.
struct Session {
    connection: Connection,
    _lock: Option<File>,
}

type Outcome<T> = Result<T, IndexFailure>;

impl Index {
    pub(crate) fn new(root: &Path, access: IndexAccess) -> Self {
        Self {
            path: root.join("index.db"),
            lock_path: root.join("index.lock"),
            access,
        }
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    fn failure(&self, error: rusqlite::Error) -> IndexFailure {
        match error.sqlite_error_code() {
            Some(ErrorCode::DatabaseCorrupt | ErrorCode::NotADatabase) => {
                IndexFailure::Corrupt(error)
            }
            Some(ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked) => {
                IndexFailure::Store(StoreError::Busy {
                    path: self.path.clone(),
                    waited_ms: WAIT_MS,
                })
            }
            _ => IndexFailure::Store(self.error(error)),
        }
    }

    /// `error` as one of the store.
    pub(crate) fn error(&self, error: rusqlite::Error) -> StoreError {
        StoreError::Index {
            path: self.path.clone(),
            source: Box::new(error),
        }
    }

    fn connect(&self) -> Result<Connection, rusqlite::Error> {
        let (path, flags) = match self.access {
            IndexAccess::Write => (
                self.path.clone(),
                OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_CREATE,
            ),
            IndexAccess::Read => (self.path.clone(), OpenFlags::SQLITE_OPEN_READ_WRITE),
            IndexAccess::Immutable => {
                let uri = format!("file:{}?{}", uri_path(&self.path), self.immutable_query());
                let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_URI;
                (PathBuf::from(uri), flags)
            }
        };
        let flags = flags | OpenFlags::SQLITE_OPEN_NO_MUTEX;
        let connection = Connection::open_with_flags(path, flags)?;
        connection.busy_timeout(Duration::from_millis(WAIT_MS))?;
        if self.access != IndexAccess::Immutable {
            connection.set_db_config(DbConfig::SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, true)?;
        }
        Ok(connection)
    }

    /// Rows that no `settle` has moved yet are in the write-ahead log, which an immutable database
    /// does not read; where there is one, its shared memory must be there too.
    fn immutable_query(&self) -> &'static str {
        let beside = |suffix: &str| {
            let mut name = self.path.clone().into_os_string();
            name.push(suffix);
            std::fs::metadata(name).map_or(0, |attributes| attributes.len())
        };
        if beside("-wal") > 0 && beside("-shm") > 0 {
            "mode=ro"
        } else {
            "immutable=1"
        }
    }

    fn session(&self) -> Outcome<Session> {
        if self.access == IndexAccess::Immutable {
            let connection = self.connect().map_err(|error| self.failure(error))?;
            self.check_version(&connection)?;
            return Ok(Session {
                connection,
                _lock: None,
            });
        }
        let lock = lock::shared(&self.lock_path)?;
        if !self.path.exists() {
            drop(lock);
            self.create()?;
            return self.locked_session(lock::shared(&self.lock_path)?);
        }
        self.locked_session(lock)
    }

    fn locked_session(&self, lock: File) -> Outcome<Session> {
        let connection = self.connect().map_err(|error| self.failure(error))?;
        self.check_version(&connection)?;
        Ok(Session {
            connection,
            _lock: Some(lock),
        })
    }

    fn check_version(&self, connection: &Connection) -> Outcome<()> {
        let version: i64 = connection
            .pragma_query_value(None, "user_version", |row| row.get(0))
            .map_err(|error| self.failure(error))?;
        match version {
            SCHEMA_VERSION => Ok(()),
            version if version > SCHEMA_VERSION => {
                let reason = format!("its index has the newer version {version}");
                Err(StoreError::incompatible(&self.path, reason).into())
            }
            _ => Err(IndexFailure::Corrupt(rusqlite::Error::InvalidQuery)),
        }
    }

    /// Makes an empty database where there is none.
    fn create(&self) -> Outcome<()> {
        let _lock = lock::exclusive(&self.lock_path)?;
        if self.path.exists() {
            return Ok(());
        }
        self.publish(&[])
    }

    /// Writes a database of these rows beside the index and renames it into place. The caller
    /// holds the exclusive lock.
    fn publish(&self, rows: &[Row]) -> Outcome<()> {
        let fresh = self.path.with_extension("new");
        let remove = |path: &Path| match std::fs::remove_file(path) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
                Err(StoreError::io("remove", path)(error))
            }
            _ => Ok(()),
        };
        for suffix in ["", "-wal", "-shm", "-journal"] {
            remove(&with_suffix(&fresh, suffix))?;
        }
        self.fill(&fresh, rows)
            .map_err(|error| self.failure(error))?;
        for suffix in ["-wal", "-shm"] {
            remove(&with_suffix(&self.path, suffix))?;
        }
        std::fs::rename(&fresh, &self.path)
            .map_err(StoreError::io("publish the index", &self.path))?;
        Ok(())
    }

    fn fill(&self, path: &Path, rows: &[Row]) -> Result<(), rusqlite::Error> {
        let mut connection = Connection::open(path)?;
        // The order of writes does not matter before the rename, and the packs remain the truth.
        connection.pragma_update(None, "synchronous", "OFF")?;
        let transaction = connection.transaction()?;
        transaction.execute(SCHEMA, [])?;
        insert(&transaction, rows)?;
        transaction.pragma_update(None, "user_version", SCHEMA_VERSION)?;
        transaction.commit()?;
        connection.pragma_update_and_check(None, "journal_mode", "WAL", |_| Ok(()))
    }

    /// Moves a damaged database aside and puts one with these rows in its place.
    ///
    /// `rows` is called under the exclusive lock, and only where the database is still damaged or
    /// `always` says so.
    pub(crate) fn rebuild(
        &self,
        when: RebuildWhen,
        rows: impl FnOnce() -> Result<Vec<Row>, StoreError>,
    ) -> Result<(), StoreError> {
        let _lock = lock::exclusive(&self.lock_path)?;
        if when == RebuildWhen::Damaged && self.is_sound() {
            return Ok(());
        }
        let rows = rows()?;
        let aside = self.path.with_extension("db.damaged");
        match std::fs::rename(&self.path, &aside) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
                return Err(StoreError::io("move the index aside", &self.path)(error));
            }
            _ => {}
        }
        self.publish(&rows).map_err(|failure| match failure {
            IndexFailure::Corrupt(error) => self.error(error),
            IndexFailure::Store(error) => error,
        })?;
        if when == RebuildWhen::Asked {
            // It was not damaged, so nobody will want to look at it.
            let _ = std::fs::remove_file(&aside);
        }
        Ok(())
    }

    /// Whether the database passes SQLite's check and every row can be read.
    fn is_sound(&self) -> bool {
        let Ok(connection) = self.connect() else {
            return false;
        };
        let verdict =
            connection.query_row("PRAGMA quick_check(1)", [], |row| row.get::<_, String>(0));
        verdict.is_ok_and(|verdict| verdict == "ok")
            && self.check_version(&connection).is_ok()
            && read_all(&connection).is_ok()
    }

    /// The rows of these keys, in the order of the keys. One statement and one read transaction,
    /// gone through key by key: a list of a thousand keys in the statement itself would be sorted
    /// first, which costs three times as much.
    pub(crate) fn lookup_many(&self, keys: &[PackageKey]) -> Outcome<Vec<Option<Row>>> {
        let session = self.session()?;
        let query = || -> Result<Vec<Option<Row>>, rusqlite::Error> {
            let snapshot = session.connection.unchecked_transaction()?;
            let mut statement =
                snapshot.prepare("SELECT key, pack, facts, boot FROM packages WHERE key = ?")?;
            keys.iter()
                .map(|key| statement.query_row([key.as_str()], read_row).optional())
                .collect()
        };
        query().map_err(|error| self.failure(error))
    }

    /// The packs that these keys name, in the order of the keys, and the boots under which their
    /// rows were written. As [`Self::lookup_many`], without reading what else is known.
    pub(crate) fn packs_of(&self, keys: &[&str]) -> Outcome<Vec<Option<(PackId, Option<String>)>>> {
        let session = self.session()?;
        let query = || -> Result<Vec<_>, rusqlite::Error> {
            let snapshot = session.connection.unchecked_transaction()?;
            let mut statement =
                snapshot.prepare("SELECT pack, boot FROM packages WHERE key = ?")?;
            let read = |row: &rusqlite::Row<'_>| Ok((PackId(row.get(0)?), row.get(1)?));
            keys.iter()
                .map(|key| statement.query_row([key], read).optional())
                .collect()
        };
        query().map_err(|error| self.failure(error))
    }

    /// A text that is another one after every change of a row: inodes, sizes and times of the
    /// database and its log. `None` where there is no database, or where it changed so lately that
    /// the next change might leave the same times.
    pub(crate) fn mark(&self) -> Option<String> {
        let part = |path: &Path| -> std::io::Result<(String, SystemTime)> {
            let facts = std::fs::metadata(path)?;
            let changed = facts.modified()?;
            let (inode, size) = (facts.ino(), facts.len());
            let (seconds, nanoseconds) = (facts.mtime(), facts.mtime_nsec());
            Ok((format!("{inode} {size} {seconds}.{nanoseconds}"), changed))
        };
        let (database, changed) = part(&self.path).ok()?;
        let (log, logged) = match part(&with_suffix(&self.path, "-wal")) {
            Ok(part) => part,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => ("-".to_owned(), changed),
            Err(_) => return None,
        };
        let age = SystemTime::now().duration_since(changed.max(logged)).ok()?;
        (age > MARK_AGE_MIN).then(|| format!("{database} {log}"))
    }

    /// Every row.
    pub(crate) fn all(&self) -> Outcome<Vec<Row>> {
        let session = self.session()?;
        read_all(&session.connection).map_err(|error| self.failure(error))
    }

    /// How many rows there are.
    pub(crate) fn counts(&self) -> Outcome<Counts> {
        let session = self.session()?;
        session
            .connection
            .query_row(
                "SELECT count(*) - count(boot), count(boot) FROM packages",
                [],
                |row| {
                    Ok(Counts {
                        durable: row.get::<_, i64>(0)?.unsigned_abs(),
                        pending: row.get::<_, i64>(1)?.unsigned_abs(),
                    })
                },
            )
            .map_err(|error| self.failure(error))
    }

    fn write(&self, work: impl FnOnce(&Connection) -> Result<(), rusqlite::Error>) -> Outcome<()> {
        let mut session = self.session()?;
        let run = |connection: &mut Connection| -> Result<(), rusqlite::Error> {
            connection.pragma_update(None, "synchronous", "NORMAL")?;
            connection.pragma_update(None, "wal_autocheckpoint", CHECKPOINT_PAGES)?;
            let transaction =
                connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
            work(&transaction)?;
            transaction.commit()
        };
        run(&mut session.connection).map_err(|error| self.failure(error))
    }

    /// Inserts or replaces rows in one transaction.
    pub(crate) fn insert_many(&self, rows: &[Row]) -> Outcome<()> {
        self.write(|connection| insert(connection, rows))
    }

    /// Deletes the rows that still name these packs, in one transaction.
    pub(crate) fn remove_many(&self, rows: &[(PackageKey, PackId)]) -> Outcome<()> {
        self.write(|connection| {
            let mut statement =
                connection.prepare("DELETE FROM packages WHERE key = ?1 AND pack = ?2")?;
            for (key, pack) in rows {
                statement.execute(params![key.as_str(), pack.0])?;
            }
            Ok(())
        })
    }

    /// Deletes the rows of these keys, in one transaction.
    pub(crate) fn forget_many(&self, keys: &[PackageKey]) -> Outcome<()> {
        self.write(|connection| {
            let mut statement = connection.prepare("DELETE FROM packages WHERE key = ?1")?;
            for key in keys {
                statement.execute([key.as_str()])?;
            }
            Ok(())
        })
    }

    /// Deletes the rows that name these packs, in one transaction.
    pub(crate) fn forget_packs(&self, packs: &[PackId]) -> Outcome<()> {
        self.write(|connection| {
            let mut statement = connection.prepare("DELETE FROM packages WHERE pack = ?1")?;
            for pack in packs {
                statement.execute([pack.0.as_slice()])?;
            }
            Ok(())
        })
    }

    /// Marks the rows that still name these packs as durable, in one transaction.
    pub(crate) fn mark_durable(&self, rows: &[(PackageKey, PackId)]) -> Outcome<()> {
        self.write(|connection| {
            let mut statement = connection
                .prepare("UPDATE packages SET boot = NULL WHERE key = ?1 AND pack = ?2")?;
            for (key, pack) in rows {
                statement.execute(params![key.as_str(), pack.0])?;
            }
            Ok(())
        })
    }

    /// The rows written under this boot that are not durable yet.
    pub(crate) fn pending(&self, boot: &str) -> Outcome<Vec<(PackageKey, PackId)>> {
        let session = self.session()?;
        let query = || -> Result<Vec<(PackageKey, PackId)>, rusqlite::Error> {
            let mut statement = session
                .connection
                .prepare("SELECT key, pack FROM packages WHERE boot = ?1")?;
            let rows = statement.query_map([boot], |row| {
                let key: String = row.get(0)?;
                Ok((PackageKey::from_stored(&key), PackId(row.get(1)?)))
            })?;
            rows.collect()
        };
        query().map_err(|error| self.failure(error))
    }

    /// Moves the write-ahead log into the database and empties it. Waits for the disk.
    pub(crate) fn checkpoint(&self) -> Outcome<()> {
        let session = self.session()?;
        session
            .connection
            .query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |_| Ok(()))
            .map_err(|error| self.failure(error))
    }
}

/// When [`Index::rebuild`] rebuilds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum RebuildWhen {
    /// Only where the database is damaged: another process may have mended it meanwhile.
    Damaged,
    /// In any case.
    Asked,
}

fn with_suffix(path: &Path, suffix: &str) -> PathBuf {
    let mut name = path.to_path_buf().into_os_string();
    name.push(suffix);
    name.into()
}

/// The path as it is written in a URI, with what has a meaning there escaped.
/// What the index of pnpm's store at `path` has under these keys. Nothing is written there.
///
/// # Errors
/// [`StoreError::Index`] where it is missing, or is none.
pub fn pnpm_rows(path: &Path, keys: &[String]) -> Result<Vec<Option<Vec<u8>>>, StoreError> {
    let failed = |error: rusqlite::Error| StoreError::Index {
        path: path.to_owned(),
        source: Box::new(error),
    };
    let query = || -> Result<Vec<Option<Vec<u8>>>, rusqlite::Error> {
        let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
        let connection = Connection::open_with_flags(path, flags)?;
        connection.busy_timeout(Duration::from_millis(WAIT_MS))?;
        let mut statement = connection.prepare("SELECT data FROM package_index WHERE key = ?1")?;
        keys.iter()
            .map(|key| statement.query_row([key], |row| row.get(0)).optional())
            .collect()
    };
    query().map_err(failed)
}

fn uri_path(path: &Path) -> String {
    use std::os::unix::ffi::OsStrExt;
    const KEPT: &percent_encoding::AsciiSet = &percent_encoding::NON_ALPHANUMERIC.remove(b'/');
    percent_encoding::percent_encode(path.as_os_str().as_bytes(), KEPT).to_string()
}

fn insert(connection: &Connection, rows: &[Row]) -> Result<(), rusqlite::Error> {
    let mut statement = connection
        .prepare("INSERT OR REPLACE INTO packages (key, pack, facts, boot) VALUES (?1,?2,?3,?4)")?;
    let mut facts = Vec::new();
    for row in rows {
        facts.clear();
        encode_facts(&row.record.facts, &mut facts);
        statement.execute(params![
            row.key.as_str(),
            row.record.pack.0,
            facts,
            row.boot
        ])?;
    }
    Ok(())
}

fn read_all(connection: &Connection) -> Result<Vec<Row>, rusqlite::Error> {
    let mut statement = connection.prepare("SELECT key, pack, facts, boot FROM packages")?;
    statement.query_map([], read_row)?.collect()
}

fn read_row(row: &rusqlite::Row<'_>) -> Result<Row, rusqlite::Error> {
    let key = row.get_ref(0)?.as_str()?;
    let facts = decode_facts(row.get_ref(2)?.as_blob()?).map_err(|error| {
        rusqlite::Error::SqliteFailure(
            rusqlite::ffi::Error::new(rusqlite::ffi::SQLITE_CORRUPT),
            Some(error.to_string()),
        )
    })?;
    Ok(Row {
        key: PackageKey::from_stored(key),
        record: PackageRecord {
            pack: PackId(row.get(1)?),
            facts,
        },
        boot: row.get(3)?,
    })
}
