//! The files of a package between its archive and its pack.

use std::borrow::Cow;
use std::cmp::Ordering;
use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;
use std::sync::Arc;

use crate::name::RelativePath;
use crate::store::error::Refusal;
use crate::store::format::{is_below, path_order};

use super::IngestWarning;

/// Where a content is.
pub(crate) enum Contents<'a> {
    /// In the inflated archive.
    Borrowed(&'a [u8]),
    /// In memory of its own.
    Owned(Vec<u8>),
    /// In the temporary file already, hashed on the way.
    Stored(Stored),
}

/// A content that was streamed into the temporary file.
pub(crate) struct Stored {
    pub(crate) file: Arc<File>,
    pub(crate) offset: u64,
    pub(crate) size: u64,
    pub(crate) digest: [u8; 32],
}

/// A file of a package before it is packed.
pub struct PendingFile<'a> {
    /// Path within the package.
    pub path: RelativePath,
    /// Whether it gets the execute bit.
    pub executable: bool,
    pub(crate) contents: Contents<'a>,
}

impl<'a> PendingFile<'a> {
    /// A file with this content.
    pub fn new(path: RelativePath, executable: bool, content: Vec<u8>) -> Self {
        Self {
            path,
            executable,
            contents: Contents::Owned(content),
        }
    }

    pub(crate) fn borrowed(path: RelativePath, executable: bool, content: &'a [u8]) -> Self {
        Self {
            path,
            executable,
            contents: Contents::Borrowed(content),
        }
    }

    /// Bytes.
    pub fn size(&self) -> u64 {
        match &self.contents {
            Contents::Stored(stored) => stored.size,
            Contents::Borrowed(bytes) => bytes.len() as u64,
            Contents::Owned(bytes) => bytes.len() as u64,
        }
    }

    /// The content.
    ///
    /// # Errors
    /// What reading back gives, for a content that is on disk already.
    pub fn read(&self) -> io::Result<Cow<'_, [u8]>> {
        match &self.contents {
            Contents::Borrowed(bytes) => Ok(Cow::Borrowed(bytes)),
            Contents::Owned(bytes) => Ok(Cow::Borrowed(bytes)),
            Contents::Stored(stored) => {
                let length =
                    usize::try_from(stored.size).map_err(|_| io::ErrorKind::OutOfMemory)?;
                let mut bytes = vec![0; length];
                stored.file.read_exact_at(&mut bytes, stored.offset)?;
                Ok(Cow::Owned(bytes))
            }
        }
    }

    /// Replaces the content.
    pub fn set_contents(&mut self, content: Vec<u8>) {
        self.contents = Contents::Owned(content);
    }

    /// What is in memory and must be written; nothing for a stored content.
    pub(crate) fn memory(&self) -> Option<&[u8]> {
        match &self.contents {
            Contents::Borrowed(bytes) => Some(bytes),
            Contents::Owned(bytes) => Some(bytes),
            Contents::Stored(_) => None,
        }
    }

    /// The first `length` bytes of the content, or all of it.
    ///
    /// # Errors
    /// As [`Self::read`].
    pub(crate) fn start(&self, length: usize) -> io::Result<Cow<'_, [u8]>> {
        match &self.contents {
            Contents::Borrowed(bytes) => Ok(Cow::Borrowed(&bytes[..length.min(bytes.len())])),
            Contents::Owned(bytes) => Ok(Cow::Borrowed(&bytes[..length.min(bytes.len())])),
            Contents::Stored(stored) => {
                let size = usize::try_from(stored.size).unwrap_or(usize::MAX);
                let mut bytes = vec![0; length.min(size)];
                stored.file.read_exact_at(&mut bytes, stored.offset)?;
                Ok(Cow::Owned(bytes))
            }
        }
    }

    fn same_content(&self, other: &Self) -> Result<bool, Refusal> {
        match (&self.contents, &other.contents) {
            (Contents::Stored(left), Contents::Stored(right)) => {
                Ok(left.size == right.size && left.digest == right.digest)
            }
            _ => Ok(self.read().map_err(Refusal::Read)? == other.read().map_err(Refusal::Read)?),
        }
    }
}

/// The file of this path among sorted files.
pub(crate) fn find<'f, 'a>(
    files: &'f [PendingFile<'a>],
    path: &str,
) -> Option<&'f PendingFile<'a>> {
    let at = position(files, path)?;
    files.get(at)
}

/// As [`find`].
pub(crate) fn find_mut<'f, 'a>(
    files: &'f mut [PendingFile<'a>],
    path: &str,
) -> Option<&'f mut PendingFile<'a>> {
    let at = position(files, path)?;
    files.get_mut(at)
}

fn position(files: &[PendingFile<'_>], path: &str) -> Option<usize> {
    files
        .binary_search_by(|file| path_order(file.path.as_str(), path))
        .ok()
}

/// Brings the files into the table's order and keeps the last of each path.
///
/// # Errors
/// [`Refusal::AmbiguousManifest`] where there are two different `package.json`.
pub(crate) fn sort_and_merge(
    files: &mut Vec<PendingFile<'_>>,
    warnings: &mut Vec<IngestWarning>,
) -> Result<(), Refusal> {
    let order = |left: &PendingFile<'_>, right: &PendingFile<'_>| {
        path_order(left.path.as_str(), right.path.as_str())
    };
    if files.is_sorted_by(|left, right| order(left, right) == Ordering::Less) {
        return Ok(());
    }
    files.sort_by(order);
    let mut failure = None;
    // `dedup_by` drops its first argument, which comes later; so the earlier takes its content.
    files.dedup_by(|later, earlier| {
        if failure.is_some() || later.path != earlier.path {
            return false;
        }
        match later.same_content(earlier) {
            Ok(true) => {}
            Ok(false) if later.path.as_str() == "package.json" => {
                failure = Some(Refusal::AmbiguousManifest);
            }
            Ok(false) => warnings.push(IngestWarning::DuplicatePath {
                path: later.path.clone(),
            }),
            Err(error) => failure = Some(error),
        }
        std::mem::swap(later, earlier);
        true
    });
    failure.map_or(Ok(()), Err)
}

/// Refuses a path that is a file and has files below it. `files` are sorted.
///
/// # Errors
/// [`Refusal::FileAndDirectory`].
pub(crate) fn check_tree(files: &[PendingFile<'_>]) -> Result<(), Refusal> {
    for pair in files.windows(2) {
        if is_below(pair[1].path.as_str(), pair[0].path.as_str()) {
            return Err(Refusal::FileAndDirectory {
                path: pair[0].path.as_str().to_owned(),
            });
        }
    }
    Ok(())
}
