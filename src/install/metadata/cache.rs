//! The cache on disk: one image a package, registry and form.
//!
//! ```text
//! <cacheDir>/metadata/v1/<abbreviated|full>/<registry>/<name>
//! ```
//!
//! A file appears whole, by rename, and is never changed: whoever reads it while another process
//! replaces it reads the old one. Its time of modification is when the registry last said that it
//! is true. Its time of access, where that is later, is until when the registry need not be asked
//! again; whatever else sets that time sets one that has passed.
//!
//! **Architecture Invariant:** the cache may lose anything at any time. What cannot be read, or is
//! not what was written, is not there.

use std::fs::{File, FileTimes, Metadata};
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use jiff::Timestamp;
use sha2::{Digest, Sha256};

use super::image::{Image, index_bytes};
use super::packuments::Form;
use crate::install::registry::Url;
use crate::limits::{NAME_BYTES_MAX, PACKUMENT_BYTES_MAX};
use crate::name::{EntryName, PackageName, hexadecimal};

/// The first read of a file: of most packages, all of it.
const FIRST_READ_BYTES: u64 = 16 << 10;

/// The cache.
#[derive(Debug)]
pub(super) struct Cache {
    root: PathBuf,
}

/// What the cache has of a package.
pub(super) struct Cached {
    pub(super) image: Image,
    /// When the registry last said that it is true.
    pub(super) confirmed: Option<Timestamp>,
    /// Whether the registry said that it would still be true now.
    pub(super) is_fresh: bool,
}

impl Cache {
    pub(super) fn new(cache_directory: &Path) -> Self {
        Self {
            root: cache_directory.join("metadata/v1"),
        }
    }

    /// The file of a package.
    pub(super) fn path(&self, name: &PackageName, registry: &Url, form: Form) -> PathBuf {
        let form = match form {
            Form::Abbreviated => "abbreviated",
            Form::Full => "full",
        };
        let registry = component(registry.as_str());
        let name = component(name.as_str());
        let directory = self.root.join(form).join(registry.as_str());
        directory.join(name.as_str())
    }

    /// What is in the file at `path`, of the package `name`.
    pub(super) fn load(path: &Path, name: &PackageName) -> Option<Cached> {
        let mut file = File::open(path).ok()?;
        let metadata = file.metadata().ok()?;
        let total = metadata.len();
        if total > PACKUMENT_BYTES_MAX * 2 {
            return None;
        }
        let mut bytes = Vec::new();
        read_up_to(&mut file, &mut bytes, total.min(FIRST_READ_BYTES)).ok()?;
        let index = index_bytes(&bytes)? as u64;
        if index > total {
            return None;
        }
        read_up_to(&mut file, &mut bytes, index).ok()?;
        let image = Image::open(bytes, total)?;
        let confirmed = metadata.modified().ok();
        let confirmed = confirmed.and_then(|time| Timestamp::try_from(time).ok());
        (image.name() == name.as_str()).then_some(Cached {
            image,
            confirmed,
            is_fresh: is_fresh(&metadata, SystemTime::now()),
        })
    }

    /// Puts `image` at `path`, which the registry says is true and stays so for `fresh_for`.
    pub(super) fn store(path: &Path, image: &Image, fresh_for: Duration) -> io::Result<()> {
        let Some(directory) = path.parent() else {
            return Err(io::ErrorKind::InvalidInput.into());
        };
        let mut file = match temporary(directory) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                crate::sys::directory::make(directory)?;
                temporary(directory)?
            }
            other => other?,
        };
        file.write_all(image.bytes())?;
        if fresh_for > Duration::ZERO {
            file.as_file().set_times(times(fresh_for))?;
        }
        file.persist(path)?;
        Ok(())
    }

    /// Notes that the registry says now that the file at `path` is true, and stays so for
    /// `fresh_for`.
    pub(super) fn confirm(path: &Path, fresh_for: Duration) -> io::Result<()> {
        File::open(path)?.set_times(times(fresh_for))
    }

    /// Takes the file at `path` away.
    pub(super) fn remove(path: &Path) {
        if let Err(error) = std::fs::remove_file(path) {
            tracing::debug!(%error, path = %path.display(), "cached metadata was not removed");
        }
    }
}

/// The times of a file that the registry confirms now.
fn times(fresh_for: Duration) -> FileTimes {
    let now = SystemTime::now();
    FileTimes::new()
        .set_modified(now)
        .set_accessed(now + fresh_for)
}

/// Whether `now` is between the times of a file. A clock that was set back makes nothing fresh.
fn is_fresh(metadata: &Metadata, now: SystemTime) -> bool {
    match (metadata.modified(), metadata.accessed()) {
        (Ok(confirmed), Ok(until)) => confirmed <= now && now < until,
        _ => false,
    }
}

fn temporary(directory: &Path) -> io::Result<tempfile::NamedTempFile> {
    tempfile::Builder::new()
        .prefix(".new-")
        .tempfile_in(directory)
}

/// Reads until `bytes` has `wanted` bytes.
fn read_up_to(file: &mut File, bytes: &mut Vec<u8>, wanted: u64) -> io::Result<()> {
    let more = wanted.saturating_sub(bytes.len() as u64);
    if more == 0 {
        return Ok(());
    }
    bytes.reserve_exact(usize::try_from(more).map_err(|_| io::ErrorKind::OutOfMemory)?);
    match file.take(more).read_to_end(bytes)? as u64 == more {
        true => Ok(()),
        false => Err(io::ErrorKind::UnexpectedEof.into()),
    }
}

/// A text as the name of a file: letters, digits and `-._@` as they are, everything else escaped,
/// and a digest in place of what would be too long.
fn component(text: &str) -> EntryName {
    let mut name = String::with_capacity(text.len());
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || b"-_.@".contains(&byte) {
            name.push(char::from(byte));
        } else {
            name.push_str(&format!("%{byte:02x}"));
        }
    }
    let is_long = name.len() > NAME_BYTES_MAX;
    if !is_long && let Ok(name) = EntryName::new(&name) {
        return name;
    }
    let digest = hexadecimal(&Sha256::digest(text.as_bytes()));
    EntryName::new(&digest).expect("invariant: hexadecimal digits are a name")
}
