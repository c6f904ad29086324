//! The form of a pack on disk. All integers are little endian.
//!
//! ```text
//!              ┌────────────────────────────────────────────────┐ 0
//!              │ contents, in any order, not overlapping         │
//! table offset ├────────────────────────────────────────────────┤
//!              │ u32 number of files      u32 bytes of paths     │
//!              │ u32 bytes of metadata    u32 zero               │
//!              │ for each file, 56 bytes:                        │
//!              │   u32 end of its path    u32 bits (0: execute)  │
//!              │   u64 size               u64 offset             │
//!              │   32 bytes SHA-256 of the content               │
//!              │ paths, one after the other                      │
//!              │ metadata: key and facts (see `codec`)           │
//!              ├────────────────────────────────────────────────┤
//!              │ trailer, 64 bytes:                              │
//!              │   "PACQPACK"   u32 version   u32 flags (zero)   │
//!              │   u64 table offset   u64 table length           │
//!              │   32 bytes SHA-256 of the table, the pack's id  │
//!              └────────────────────────────────────────────────┘
//! ```
//!
//! Files are in the order of their paths with `/` before every other byte, so that everything
//! below a directory is one run, and a file that is also a directory is next to what is below it.
//! The end of a path is counted from the beginning of the paths; each begins where the one before
//! ends. What lies between contents belongs to no file.
//!
//! **Architecture Invariant:** the readers take slices, check every field and never panic. They
//! allocate no more than a small multiple of what they were given.

use std::cmp::Ordering;

use sha2::{Digest, Sha256};

use crate::limits::PACKAGE_ENTRIES_MAX;
use crate::name::{NameError, RelativePath};

use super::FileEntry;

/// Bytes of the trailer.
pub(crate) const TRAILER_BYTES: usize = 64;
/// Largest table that is read.
pub(crate) const TABLE_BYTES_MAX: u64 = 512 << 20;

const MAGIC: [u8; 8] = *b"PACQPACK";
const VERSION: u32 = 1;
const HEADER_BYTES: usize = 16;
const RECORD_BYTES: usize = 56;
const DIGEST_IN_RECORD: usize = 24;
const EXECUTABLE: u32 = 1;

/// What is wrong with a pack.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum FormatError {
    /// It is a symlink, a directory or something else that is no regular file.
    #[error("it is not a regular file")]
    NotRegular,
    /// It is shorter than a pack can be, or than it says it is.
    #[error("it is truncated")]
    Truncated,
    /// It does not end with a trailer.
    #[error("it has no trailer of a pack")]
    Magic,
    /// It was written by a newer version.
    #[error("it has the unknown version {0}")]
    Version(u32),
    /// It uses a feature that this version does not know.
    #[error("it has unknown flags")]
    Flags,
    /// The trailer or the table's header contradicts the file's length.
    #[error("its lengths contradict each other")]
    Lengths,
    /// The table is not what its digest says.
    #[error("its table has another digest")]
    TableDigest,
    /// It is another pack than its name says.
    #[error("it is another pack")]
    OtherPack,
    /// A path of the table is no path.
    #[error("a path of its table {0}")]
    Path(NameError),
    /// The paths are not in order, or one occurs twice.
    #[error("its paths are not in order")]
    Order,
    /// A path is a file and has files below it.
    #[error("a path is both a file and a directory")]
    FileAndDirectory,
    /// A content is outside the contents, or two overlap.
    #[error("its contents overlap or are out of bounds")]
    Contents,
    /// Unknown bits of a record or reserved fields are set.
    #[error("a record of its table is not valid")]
    Record,
    /// Key and facts cannot be read.
    #[error("its metadata is not valid")]
    Metadata,
    /// The system did not let it be read.
    #[error("it could not be read ({0})")]
    Read(String),
}

/// The order of the paths in a table: bytewise, with `/` before every other byte.
pub(crate) fn path_order(left: &str, right: &str) -> Ordering {
    let rank = |byte: u8| if byte == b'/' { 0 } else { byte };
    let (left, right) = (left.as_bytes(), right.as_bytes());
    let shared = left.len().min(right.len());
    match (0..shared).find(|&at| left[at] != right[at]) {
        Some(at) => rank(left[at]).cmp(&rank(right[at])),
        None => left.len().cmp(&right.len()),
    }
}

/// Whether `path` lies below the directory `directory`.
pub(crate) fn is_below(path: &str, directory: &str) -> bool {
    path.strip_prefix(directory)
        .is_some_and(|rest| rest.starts_with('/'))
}

/// The fields of a trailer that a reader needs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Trailer {
    /// Where the table begins; contents end there.
    pub(crate) table_offset: u64,
    /// Bytes of the table.
    pub(crate) table_length: u64,
    /// SHA-256 of the table.
    pub(crate) digest: [u8; 32],
}

impl Trailer {
    /// Reads the trailer of a pack of `pack_length` bytes.
    ///
    /// # Errors
    /// Whatever contradicts the form.
    pub(crate) fn parse(
        bytes: &[u8; TRAILER_BYTES],
        pack_length: u64,
    ) -> Result<Self, FormatError> {
        if bytes[..8] != MAGIC {
            return Err(FormatError::Magic);
        }
        let version = read_u32(bytes, 8);
        if version != VERSION {
            return Err(FormatError::Version(version));
        }
        if read_u32(bytes, 12) != 0 {
            return Err(FormatError::Flags);
        }
        let table_offset = read_u64(bytes, 16);
        let table_length = read_u64(bytes, 24);
        let end = table_offset
            .checked_add(table_length)
            .and_then(|end| end.checked_add(TRAILER_BYTES as u64));
        if end != Some(pack_length)
            || table_length < HEADER_BYTES as u64
            || table_length > TABLE_BYTES_MAX
        {
            return Err(FormatError::Lengths);
        }
        let mut digest = [0; 32];
        digest.copy_from_slice(&bytes[32..]);
        Ok(Self {
            table_offset,
            table_length,
            digest,
        })
    }

    fn encode(&self) -> [u8; TRAILER_BYTES] {
        let mut bytes = [0; TRAILER_BYTES];
        bytes[..8].copy_from_slice(&MAGIC);
        bytes[8..12].copy_from_slice(&VERSION.to_le_bytes());
        bytes[16..24].copy_from_slice(&self.table_offset.to_le_bytes());
        bytes[24..32].copy_from_slice(&self.table_length.to_le_bytes());
        bytes[32..].copy_from_slice(&self.digest);
        bytes
    }

    /// Where in the pack the digest of the file with this number in the table is.
    pub(crate) fn digest_offset(&self, record: u32) -> u64 {
        self.table_offset
            + HEADER_BYTES as u64
            + u64::from(record) * RECORD_BYTES as u64
            + DIGEST_IN_RECORD as u64
    }
}

fn read_u32(bytes: &[u8], at: usize) -> u32 {
    let mut field = [0; 4];
    field.copy_from_slice(&bytes[at..at + 4]);
    u32::from_le_bytes(field)
}

fn read_u64(bytes: &[u8], at: usize) -> u64 {
    let mut field = [0; 8];
    field.copy_from_slice(&bytes[at..at + 8]);
    u64::from_le_bytes(field)
}

/// A file of a table, borrowed from the table's bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct FileView<'a> {
    pub(crate) path: &'a str,
    pub(crate) executable: bool,
    pub(crate) size: u64,
    pub(crate) offset: u64,
    pub(crate) digest: &'a [u8; 32],
}

/// A table whose every field was checked.
#[derive(Debug, Clone, Copy)]
pub(crate) struct TableView<'a> {
    records: &'a [[u8; RECORD_BYTES]],
    paths: &'a str,
    metadata: &'a [u8],
}

impl<'a> TableView<'a> {
    /// Reads the table of a pack whose contents have `contents_length` bytes.
    ///
    /// # Errors
    /// Whatever contradicts the form.
    pub(crate) fn parse(bytes: &'a [u8], contents_length: u64) -> Result<Self, FormatError> {
        let (header, rest) = bytes
            .split_at_checked(HEADER_BYTES)
            .ok_or(FormatError::Lengths)?;
        let count = read_u32(header, 0) as usize;
        let paths_length = read_u32(header, 4) as usize;
        let metadata_length = read_u32(header, 8) as usize;
        if read_u32(header, 12) != 0 {
            return Err(FormatError::Record);
        }
        // The one file more is the placeholder that stands for a missing manifest.
        if count > PACKAGE_ENTRIES_MAX + 1 {
            return Err(FormatError::Lengths);
        }
        let (records, rest) = rest
            .split_at_checked(count * RECORD_BYTES)
            .ok_or(FormatError::Lengths)?;
        let (paths, metadata) = rest
            .split_at_checked(paths_length)
            .ok_or(FormatError::Lengths)?;
        if metadata.len() != metadata_length {
            return Err(FormatError::Lengths);
        }
        let view = Self {
            records: records.as_chunks().0,
            paths: std::str::from_utf8(paths)
                .map_err(|_| FormatError::Path(NameError::Encoding))?,
            metadata,
        };
        view.check_paths()?;
        view.check_contents(contents_length)?;
        Ok(view)
    }

    fn check_paths(&self) -> Result<(), FormatError> {
        let mut start = 0;
        let mut previous: Option<&str> = None;
        for record in self.records {
            if read_u32(record, 4) & !EXECUTABLE != 0 {
                return Err(FormatError::Record);
            }
            let end = read_u32(record, 0) as usize;
            let path = self.paths.get(start..end).ok_or(FormatError::Lengths)?;
            RelativePath::check(path).map_err(FormatError::Path)?;
            if let Some(previous) = previous {
                if path_order(previous, path) != Ordering::Less {
                    return Err(FormatError::Order);
                }
                if is_below(path, previous) {
                    return Err(FormatError::FileAndDirectory);
                }
            }
            previous = Some(path);
            start = end;
        }
        if start == self.paths.len() {
            Ok(())
        } else {
            Err(FormatError::Lengths)
        }
    }

    fn check_contents(&self, contents_length: u64) -> Result<(), FormatError> {
        let mut spans: Vec<(u64, u64)> = self
            .records
            .iter()
            .map(|record| (read_u64(record, 16), read_u64(record, 8)))
            .filter(|(_, size)| *size > 0)
            .collect();
        spans.sort_unstable();
        let mut end = 0;
        for (offset, size) in spans {
            if offset < end {
                return Err(FormatError::Contents);
            }
            end = offset.checked_add(size).ok_or(FormatError::Contents)?;
        }
        let empty_within = self
            .records
            .iter()
            .all(|record| read_u64(record, 16) <= contents_length);
        if end <= contents_length && empty_within {
            Ok(())
        } else {
            Err(FormatError::Contents)
        }
    }

    /// Number of files.
    pub(crate) fn len(&self) -> usize {
        self.records.len()
    }

    /// The files, in the table's order.
    pub(crate) fn files(&self) -> impl Iterator<Item = FileView<'a>> + use<'a> {
        let paths = self.paths;
        let mut start = 0;
        self.records.iter().map(move |record| {
            let end = read_u32(record, 0) as usize;
            let path = &paths[start..end];
            start = end;
            FileView {
                path,
                executable: read_u32(record, 4) & EXECUTABLE != 0,
                size: read_u64(record, 8),
                offset: read_u64(record, 16),
                digest: record
                    .last_chunk()
                    .expect("invariant: a record ends with a digest"),
            }
        })
    }

    /// Key and facts, undecoded.
    pub(crate) fn metadata(&self) -> &'a [u8] {
        self.metadata
    }
}

/// Makes the table and trailer of a pack, to be written after `contents_length` bytes of contents,
/// and tells the digest that is the pack's id.
///
/// `files` must be in the order of [`path_order`], without a file that is also a directory.
pub(crate) fn encode_end(
    files: &[FileEntry],
    metadata: &[u8],
    contents_length: u64,
) -> (Vec<u8>, [u8; 32]) {
    let length = |bytes: usize| -> [u8; 4] {
        u32::try_from(bytes)
            .expect("invariant: the limits keep a table below 4 GiB")
            .to_le_bytes()
    };
    let paths_length: usize = files.iter().map(|file| file.path.as_str().len()).sum();
    let table_length = HEADER_BYTES + files.len() * RECORD_BYTES + paths_length + metadata.len();
    let mut bytes = Vec::with_capacity(table_length + TRAILER_BYTES);
    bytes.extend_from_slice(&length(files.len()));
    bytes.extend_from_slice(&length(paths_length));
    bytes.extend_from_slice(&length(metadata.len()));
    bytes.extend_from_slice(&[0; 4]);
    let mut end = 0;
    for file in files {
        end += file.path.as_str().len();
        bytes.extend_from_slice(&length(end));
        bytes.extend_from_slice(&u32::from(file.executable).to_le_bytes());
        bytes.extend_from_slice(&file.size.to_le_bytes());
        bytes.extend_from_slice(&file.offset.to_le_bytes());
        bytes.extend_from_slice(&file.digest);
    }
    for file in files {
        bytes.extend_from_slice(file.path.as_str().as_bytes());
    }
    bytes.extend_from_slice(metadata);
    let digest: [u8; 32] = Sha256::digest(&bytes).into();
    let trailer = Trailer {
        table_offset: contents_length,
        table_length: bytes.len() as u64,
        digest,
    };
    bytes.extend_from_slice(&trailer.encode());
    (bytes, digest)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::table::PackTable;
    use proptest::prelude::*;

    fn entry(path: &str, offset: u64, size: u64) -> FileEntry {
        FileEntry {
            path: RelativePath::new(path).unwrap(),
            executable: path.len().is_multiple_of(2),
            size,
            offset,
            digest: [7; 32],
        }
    }

    fn sample() -> Vec<FileEntry> {
        vec![
            entry("a/b/c", 0, 5),
            entry("a/x", 9, 1),
            entry("a-b", 5, 4),
            entry("package.json", 10, 0),
        ]
    }

    /// Table and contents' length of a pack of these files.
    fn table(files: &[FileEntry]) -> Vec<u8> {
        let (mut bytes, _) = encode_end(files, b"metadata", 10);
        bytes.truncate(bytes.len() - TRAILER_BYTES);
        bytes
    }

    #[test]
    fn a_table_is_read_back_as_it_was_written() {
        let files = sample();
        let bytes = table(&files);
        let view = TableView::parse(&bytes, 10).unwrap();
        assert_eq!(view.metadata(), b"metadata");
        assert_eq!(view.len(), files.len());
        for (file, read) in files.iter().zip(view.files()) {
            assert_eq!(read.path, file.path.as_str());
            assert_eq!(read.executable, file.executable);
            assert_eq!((read.size, read.offset), (file.size, file.offset));
            assert_eq!(*read.digest, file.digest);
        }
    }

    #[test]
    fn tables_that_contradict_themselves_are_refused() {
        let below = vec![entry("a", 0, 1), entry("a/b", 1, 1)];
        let twice = vec![entry("a", 0, 1), entry("a", 1, 1)];
        let unsorted = vec![entry("a-b", 0, 1), entry("a/b", 1, 1)];
        let overlap = vec![entry("a", 0, 2), entry("b", 1, 2)];
        let outside = vec![entry("a", 9, 2)];
        let empty_outside = vec![entry("a", 11, 0)];
        let wraps = vec![entry("a", u64::MAX, 2)];
        for (files, reason) in [
            (below, FormatError::FileAndDirectory),
            (twice, FormatError::Order),
            (unsorted, FormatError::Order),
            (overlap, FormatError::Contents),
            (outside, FormatError::Contents),
            (empty_outside, FormatError::Contents),
            (wraps, FormatError::Contents),
        ] {
            assert_eq!(TableView::parse(&table(&files), 10).unwrap_err(), reason);
        }
        let bytes = table(&sample());
        for length in 0..bytes.len() {
            assert!(TableView::parse(&bytes[..length], 10).is_err(), "{length}");
        }
        let mut bits = bytes.clone();
        bits[HEADER_BYTES + 4] |= 2;
        assert_eq!(
            TableView::parse(&bits, 10).unwrap_err(),
            FormatError::Record
        );
        let mut reserved = bytes;
        reserved[12] = 1;
        assert_eq!(
            TableView::parse(&reserved, 10).unwrap_err(),
            FormatError::Record
        );
    }

    #[test]
    fn trailers_of_other_versions_flags_or_lengths_are_refused() {
        let (bytes, digest) = encode_end(&sample(), b"", 10);
        let good: [u8; TRAILER_BYTES] = *bytes.last_chunk().unwrap();
        let length = 10 + bytes.len() as u64;
        assert_eq!(Trailer::parse(&good, length).unwrap().digest, digest);
        assert_eq!(Trailer::parse(&good, length + 1), Err(FormatError::Lengths));
        let change = |at: usize, value: u8| {
            let mut bytes = good;
            bytes[at] = value;
            Trailer::parse(&bytes, length).unwrap_err()
        };
        assert_eq!(change(0, 0), FormatError::Magic);
        assert_eq!(change(8, 2), FormatError::Version(2));
        assert_eq!(change(12, 1), FormatError::Flags);
        for at in 16..32 {
            assert_eq!(change(at, 0xfe), FormatError::Lengths, "{at}");
        }
    }

    proptest! {
        #[test]
        fn no_bytes_make_the_reader_panic(
            bytes in proptest::collection::vec(any::<u8>(), 0..512),
            contents in any::<u64>(),
        ) {
            let _ = TableView::parse(&bytes, contents);
        }

        #[test]
        fn whatever_a_changed_table_is_read_as_is_sound(
            changes in proptest::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..8),
        ) {
            let mut bytes = table(&sample());
            for (at, value) in changes {
                let at = at.index(bytes.len());
                bytes[at] = value;
            }
            if let Ok(view) = TableView::parse(&bytes, 10) {
                let built = PackTable::build(&view).unwrap();
                for file in view.files() {
                    prop_assert!(file.size == 0 || file.offset + file.size <= 10);
                    prop_assert!(built.find(file.path).is_some());
                }
            }
        }

        #[test]
        fn the_order_of_paths_is_that_of_their_components(
            left in "[a-c./-]{1,6}",
            right in "[a-c./-]{1,6}",
        ) {
            let by_components = left.split('/').map(str::as_bytes)
                .cmp(right.split('/').map(str::as_bytes));
            prop_assert_eq!(path_order(&left, &right), by_components);
        }
    }
}
