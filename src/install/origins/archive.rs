//! What an archive is: its digest and its manifest, read in one pass.

use std::io::{self, BufReader, Read};
use std::sync::Arc;

use flate2::read::MultiGzDecoder;
use sha2::{Digest, Sha512};

use super::error::OriginError;
use crate::install::metadata::VersionManifest;
use crate::limits::{MANIFEST_BYTES_MAX, PACKAGE_ENTRIES_MAX, UNPACKED_BYTES_FLOOR};
use crate::name::{PackageName, RelativePath};
use crate::store::Integrity;

/// What is read of an archive.
#[derive(Debug)]
pub(super) struct ArchiveFacts {
    /// SHA-512 of the archive as it is, as SRI.
    pub(super) integrity: Box<str>,
    json: Option<Vec<u8>>,
}

/// What is wrong with an archive.
#[derive(Debug, thiserror::Error)]
pub(super) enum ArchiveFault {
    /// It cannot be read.
    #[error("{0}")]
    Read(#[from] io::Error),
    /// It is larger than a package may be.
    #[error("{0}")]
    Refused(&'static str),
}

impl ArchiveFault {
    pub(super) fn about(self, package: &str) -> OriginError {
        OriginError::Archive {
            package: package.to_owned(),
            reason: self.to_string(),
        }
    }
}

impl ArchiveFacts {
    /// The manifest; one that only has the name `alias` where there is none.
    pub(super) fn manifest(
        &self,
        package: &str,
        alias: &PackageName,
    ) -> Result<VersionManifest, OriginError> {
        parse_manifest(self.json.as_deref().unwrap_or(b"{}"), package, alias)
    }
}

pub(super) fn parse_manifest(
    json: &[u8],
    package: &str,
    alias: &PackageName,
) -> Result<VersionManifest, OriginError> {
    VersionManifest::of_package(json, alias).map_err(|source| OriginError::Manifest {
        package: package.to_owned(),
        source: Arc::new(source),
    })
}

/// Reads an archive, compressed or not, to its end. The manifest is that of the package in
/// `subdirectory`.
pub(super) fn read(
    source: impl Read,
    subdirectory: Option<&str>,
) -> Result<ArchiveFacts, ArchiveFault> {
    let refused = |_| ArchiveFault::Refused("the path within it is none");
    let subdirectory = subdirectory.map(|path| path.trim_matches('/'));
    let subdirectory = subdirectory.filter(|path| !path.is_empty());
    let subdirectory = subdirectory
        .map(RelativePath::new)
        .transpose()
        .map_err(refused)?;
    let mut hashing = Hashing {
        source: BufReader::with_capacity(64 << 10, source),
        hasher: Sha512::new(),
    };
    let mut start = Vec::with_capacity(2);
    hashing.by_ref().take(2).read_to_end(&mut start)?;
    let is_packed = start == [0x1f, 0x8b];
    let whole = io::Cursor::new(start).chain(&mut hashing);
    let json = if is_packed {
        manifest_in(MultiGzDecoder::new(whole), subdirectory.as_ref())?
    } else {
        manifest_in(whole, subdirectory.as_ref())?
    };
    io::copy(&mut hashing, &mut io::sink())?;
    let integrity = Integrity::of_sha512(hashing.hasher);
    Ok(ArchiveFacts {
        integrity: integrity.to_string().into(),
        json,
    })
}

/// `package.json`, one directory deep, or in `subdirectory` of that; the last, of several.
fn manifest_in(
    archive: impl Read,
    subdirectory: Option<&RelativePath>,
) -> Result<Option<Vec<u8>>, ArchiveFault> {
    let wanted = match subdirectory {
        Some(path) => format!("{}/package.json", path.as_str()),
        None => "package.json".to_owned(),
    };
    let mut archive = tar::Archive::new(archive.take(UNPACKED_BYTES_FLOOR));
    let mut json = None;
    for (count, entry) in archive.entries()?.enumerate() {
        if count == PACKAGE_ENTRIES_MAX {
            return Err(ArchiveFault::Refused("it has too many entries"));
        }
        let mut entry = entry?;
        let path = entry.path_bytes();
        let path = String::from_utf8_lossy(&path);
        let path = path.strip_prefix("./").unwrap_or(&path);
        let inner = path.split_once('/').map(|(_, inner)| inner);
        if inner != Some(wanted.as_str()) || !entry.header().entry_type().is_file() {
            continue;
        }
        let mut bytes = Vec::new();
        entry
            .by_ref()
            .take(MANIFEST_BYTES_MAX + 1)
            .read_to_end(&mut bytes)?;
        if bytes.len() as u64 > MANIFEST_BYTES_MAX {
            return Err(ArchiveFault::Refused("its manifest is too large"));
        }
        json = Some(bytes);
    }
    Ok(json)
}

/// Hashes what is read through it.
struct Hashing<R> {
    source: R,
    hasher: Sha512,
}

impl<R: Read> Read for Hashing<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let count = self.source.read(buffer)?;
        self.hasher.update(buffer.get(..count).unwrap_or_default());
        Ok(count)
    }
}
