//! From an archive or a directory to a pack.
//!
//! Integrity is checked on the bytes that were downloaded, before anything becomes a pack. The
//! archive is inflated into memory where it is small enough, otherwise streamed through a
//! temporary file, a large one while it still arrives; its regular files become entries of a pack.
//!
//! **Architecture Invariant:** no entry of an archive ever becomes a path of the file system. Only
//! regular files are kept, of their modes one execute bit; links and directories have no code path.
//!
//! **Architecture Invariant:** nothing is visible until the pack is whole: a failure at any point
//! leaves at most a file in `tmp`, which its guard removes.

mod arriving;
mod directory;
mod gzip;
mod manifest;
mod names;
mod pack;
mod pending;
mod stream;
mod tar;

use std::fmt;
use std::fs::File;
use std::path::Path;

use bytes::Bytes;

use crate::limits::{UNPACKED_BYTES_FLOOR, UNPACKED_RATIO_MAX};
use crate::name::{RelativePath, escaped};

use super::error::{Refusal, StoreError, TransformError};
use super::integrity::{Algorithm, Integrity};
use super::{PackageKey, PackageRecord};

pub use arriving::{Unpacker, Unpacking};
pub(crate) use gzip::InflaterPool;
pub use pending::PendingFile;

/// Changes the files of a package before they are packed (a patch, for example). It may add,
/// remove and change files; the result is checked as an archive is.
pub type Transform<'a> =
    &'a (dyn Fn(&mut Vec<PendingFile<'_>>) -> Result<(), TransformError> + Send + Sync);

/// A downloaded archive.
#[derive(Debug)]
pub enum TarballSource {
    /// In memory.
    Bytes(Bytes),
    /// In a file, from its beginning, and how many bytes it has. For what is too large to hold.
    File(File, u64),
    /// Arrived, and unpacked meanwhile.
    Unpacking(Unpacking),
}

impl From<Vec<u8>> for TarballSource {
    fn from(bytes: Vec<u8>) -> Self {
        Self::Bytes(bytes.into())
    }
}

impl From<Bytes> for TarballSource {
    fn from(bytes: Bytes) -> Self {
        Self::Bytes(bytes)
    }
}

/// How a package is ingested.
#[derive(Clone)]
pub struct IngestOptions<'a> {
    /// What it will be looked up by.
    pub key: PackageKey,
    /// What its archive must hash to.
    pub integrity: Option<&'a Integrity>,
    /// Only what lies below this directory (counted after the first component has gone), as for
    /// the `path` of a git-hosted package.
    pub subdirectory: Option<&'a RelativePath>,
    /// For directories: only these files. `None` takes every regular file outside `node_modules`.
    pub only: Option<&'a [RelativePath]>,
    /// Changes the files before they are packed.
    pub transform: Option<Transform<'a>>,
    /// The most bytes that the files of an archive may have together; `None`: what follows from
    /// its size.
    pub unpacked_bytes_max: Option<u64>,
}

impl IngestOptions<'_> {
    /// Options with nothing but a key.
    pub fn new(key: PackageKey) -> Self {
        Self {
            key,
            integrity: None,
            subdirectory: None,
            only: None,
            transform: None,
            unpacked_bytes_max: None,
        }
    }

    /// The package as errors name it: the key without its hash.
    fn package(&self) -> String {
        let key = self.key.as_str();
        escaped(key.split('\t').nth(1).unwrap_or(key))
    }

    fn refused(&self, source: Refusal) -> StoreError {
        StoreError::Refused {
            package: self.package(),
            source,
        }
    }
}

/// Something odd about a package that is no reason to refuse it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum IngestWarning {
    /// Its archive has two different files of one path; the last was kept.
    DuplicatePath {
        /// The path.
        path: RelativePath,
    },
    /// A command's target is no file of the package; there is no such command.
    MissingBinTarget {
        /// The command.
        name: String,
        /// Its target, as declared.
        target: String,
    },
}

impl fmt::Display for IngestWarning {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::DuplicatePath { path } => write!(
                formatter,
                "the archive has different files {path}; the last one was taken"
            ),
            Self::MissingBinTarget { name, target } => write!(
                formatter,
                "the command \"{}\" points to \"{}\", which is no file of the package",
                escaped(name),
                escaped(target)
            ),
        }
    }
}

/// A package whose pack is in the store. It is found once its row is committed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Packed {
    /// What it will be looked up by.
    pub key: PackageKey,
    /// Pack and facts.
    pub record: PackageRecord,
    /// The archive's SHA-512, computed where nothing as strong was promised, to be pinned.
    pub computed: Option<Integrity>,
    /// Symbolic and hard links of the archive that were passed over.
    pub skipped_links: usize,
    /// What was odd.
    pub warnings: Vec<IngestWarning>,
}

/// Where packs are made.
#[derive(Clone, Copy)]
pub(crate) struct Workshop<'a> {
    pub(crate) root: &'a Path,
    pub(crate) inflaters: &'a InflaterPool,
}

impl Workshop<'_> {
    /// Stores the archive's files as a pack.
    pub(crate) fn tarball(
        self,
        source: TarballSource,
        options: &IngestOptions<'_>,
    ) -> Result<Packed, StoreError> {
        match source {
            TarballSource::Bytes(bytes) => self.bytes(&bytes, options),
            TarballSource::File(file, length) => stream::file(self, &file, length, options),
            TarballSource::Unpacking(unpacking) => unpacking.finish(self, options),
        }
    }

    fn bytes(self, archive: &[u8], options: &IngestOptions<'_>) -> Result<Packed, StoreError> {
        if let Some(integrity) = options.integrity {
            integrity
                .check(archive)
                .map_err(|mismatch| mismatch.of(options.package()))?;
        }
        let computed = wants_digest(options.integrity).then(|| Integrity::of(archive));
        let mut packed = self.unpack(archive, options)?;
        packed.computed = computed;
        Ok(packed)
    }

    fn unpack(self, archive: &[u8], options: &IngestOptions<'_>) -> Result<Packed, StoreError> {
        if !gzip::is_gzip(archive) {
            return self.slice(archive, options);
        }
        if let Some(mut lease) = self.inflaters.lease() {
            let inflated = lease
                .inflate(archive)
                .map_err(|refusal| options.refused(refusal))?;
            if let gzip::Inflated::Whole(tar) = inflated {
                return self.slice(tar, options);
            }
        }
        stream::bytes(self, archive, options)
    }

    fn slice(self, archive: &[u8], options: &IngestOptions<'_>) -> Result<Packed, StoreError> {
        let stripper = names::Stripper::new(options.subdirectory);
        let mut files = Vec::new();
        let skipped = tar::read_slice(archive, |entry, content| {
            if let Some(path) = stripper.strip(entry.path)? {
                files.push(PendingFile::borrowed(path, entry.executable, content));
            }
            Ok(())
        })
        .map_err(|refusal| options.refused(refusal))?;
        pack::finish(self.root, files, None, skipped, options)
    }

    /// Stores the regular files of a directory as a pack. Symbolic links are passed over.
    pub(crate) fn directory(
        self,
        path: &Path,
        options: &IngestOptions<'_>,
    ) -> Result<Packed, StoreError> {
        directory::ingest(self, path, options)
    }
}

/// Whether a SHA-512 must be computed because nothing as strong was promised.
fn wants_digest(integrity: Option<&Integrity>) -> bool {
    integrity.is_none_or(|integrity| integrity.algorithm() < Algorithm::Sha512)
}

/// The most bytes that an archive of `length` bytes may unpack to, headers included.
fn unpacked_limit_of(length: u64, options: &IngestOptions<'_>) -> u64 {
    let implied = unpacked_limit(length);
    match options.unpacked_bytes_max {
        // The files are counted when all have been read.
        Some(bytes) if bytes > UNPACKED_BYTES_FLOOR => {
            implied.max(bytes.saturating_add(UNPACKED_BYTES_FLOOR))
        }
        _ => implied,
    }
}

/// The same where nobody says otherwise.
fn unpacked_limit(length: u64) -> u64 {
    UNPACKED_BYTES_FLOOR.max(length.saturating_mul(UNPACKED_RATIO_MAX))
}
