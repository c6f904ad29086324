//! Archives that are too large for memory: through zlib and a fixed buffer into the temporary file.

use std::fs::File;
use std::io::{self, BufReader, IoSlice, Read, Seek, SeekFrom};
use std::path::Path;
use std::sync::Arc;

use sha2::{Digest, Sha256};

use crate::name::RelativePath;
use crate::store::error::{Refusal, StoreError};
use crate::store::integrity::Integrity;
use crate::store::write::TemporaryFile;

use super::gzip::{GzipStream, drain, is_gzip};
use super::names::Stripper;
use super::pack::{Begun, finish};
use super::pending::{Contents, PendingFile, Stored};
use super::tar::{self, stream_error};
use super::{IngestOptions, Packed, Workshop, unpacked_limit_of, wants_digest};

pub(crate) const CHUNK_BYTES: usize = 256 << 10;

/// Takes contents one after the other into a temporary file.
pub(crate) struct Collector {
    temporary: TemporaryFile,
    shared: Arc<File>,
    length: u64,
    buffer: Vec<u8>,
    pub(crate) files: Vec<PendingFile<'static>>,
}

impl Collector {
    pub(crate) fn new(root: &Path) -> Result<Self, StoreError> {
        let temporary = TemporaryFile::create(root)?;
        let shared = temporary
            .file()
            .try_clone()
            .map_err(StoreError::io("share", temporary.path()))?;
        Ok(Self {
            temporary,
            shared: Arc::new(shared),
            length: 0,
            buffer: vec![0; CHUNK_BYTES],
            files: Vec::new(),
        })
    }

    /// Bytes so far.
    pub(crate) fn length(&self) -> u64 {
        self.length
    }

    /// Stores all that `content` gives as the file `path`.
    pub(crate) fn add(
        &mut self,
        path: RelativePath,
        executable: bool,
        content: &mut impl Read,
    ) -> Result<(), Failure> {
        let offset = self.length;
        let mut hasher = Sha256::new();
        loop {
            let read = read_full(content, &mut self.buffer).map_err(stream_error)?;
            if read == 0 {
                break;
            }
            let chunk = &self.buffer[..read];
            hasher.update(chunk);
            self.temporary
                .append(&mut [IoSlice::new(chunk)])
                .map_err(Failure::Store)?;
            self.length += read as u64;
        }
        self.files.push(PendingFile {
            path,
            executable,
            contents: Contents::Stored(Stored {
                file: Arc::clone(&self.shared),
                offset,
                size: self.length - offset,
                digest: hasher.finalize().into(),
            }),
        });
        Ok(())
    }

    /// Makes the pack.
    pub(crate) fn finish(
        self,
        workshop: Workshop<'_>,
        skipped: tar::Skipped,
        options: &IngestOptions<'_>,
    ) -> Result<Packed, StoreError> {
        let begun = Begun {
            file: self.temporary,
            length: self.length,
        };
        finish(workshop.root, self.files, Some(begun), skipped, options)
    }
}

/// Reads until the buffer is full or the stream ends.
pub(crate) fn read_full(stream: &mut impl Read, buffer: &mut [u8]) -> io::Result<usize> {
    let mut filled = 0;
    while filled < buffer.len() {
        match stream.read(&mut buffer[filled..]) {
            Ok(0) => break,
            Ok(read) => filled += read,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(filled)
}

/// Gives an error where more bytes come than a limit allows.
struct Limited<R> {
    stream: R,
    left: u64,
    limit: u64,
}

pub(super) fn too_large(limit: u64) -> Refusal {
    Refusal::TooLarge {
        what: "unpacked bytes",
        limit,
    }
}

impl<R: Read> Read for Limited<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let read = self.stream.read(buffer)?;
        match self.left.checked_sub(read as u64) {
            Some(left) => {
                self.left = left;
                Ok(read)
            }
            None => Err(io::Error::other(too_large(self.limit))),
        }
    }
}

/// Stores an archive that is in memory but whose content would not be.
pub(crate) fn bytes(
    workshop: Workshop<'_>,
    archive: &[u8],
    options: &IngestOptions<'_>,
) -> Result<Packed, StoreError> {
    let limit = unpacked_limit_of(archive.len() as u64, options);
    unpack(workshop, GzipStream::new(archive), limit, options)
}

/// Stores an archive that is in a file.
pub(crate) fn file(
    workshop: Workshop<'_>,
    file: &File,
    length: u64,
    options: &IngestOptions<'_>,
) -> Result<Packed, StoreError> {
    let read_error = |error| options.refused(Refusal::Read(error));
    let (head, computed) = check(file, length, options)?;
    let mut file = file;
    file.seek(SeekFrom::Start(0)).map_err(read_error)?;
    let stream = BufReader::with_capacity(CHUNK_BYTES, file.take(length));
    let limit = unpacked_limit_of(length, options);
    let mut packed = if is_gzip(&head) {
        unpack(workshop, GzipStream::new(stream), limit, options)
    } else {
        unpack(workshop, stream, limit, options)
    }?;
    packed.computed = computed;
    Ok(packed)
}

/// Checks the file's integrity, and gives its first two bytes and the SHA-512 where it is wanted.
fn check(
    mut file: &File,
    length: u64,
    options: &IngestOptions<'_>,
) -> Result<(Vec<u8>, Option<Integrity>), StoreError> {
    let read_error = |error| options.refused(Refusal::Read(error));
    file.seek(SeekFrom::Start(0)).map_err(read_error)?;
    let mut checker = options.integrity.map(Integrity::checker);
    let mut digest = wants_digest(options.integrity).then(sha2::Sha512::new);
    let mut buffer = vec![0; CHUNK_BYTES];
    let mut head = Vec::new();
    let mut left = length;
    while left > 0 {
        let wanted = buffer
            .len()
            .min(usize::try_from(left).unwrap_or(CHUNK_BYTES));
        let read = read_full(&mut file, &mut buffer[..wanted]).map_err(read_error)?;
        if read == 0 {
            return Err(read_error(io::ErrorKind::UnexpectedEof.into()));
        }
        let chunk = &buffer[..read];
        if head.is_empty() {
            head.extend_from_slice(&chunk[..chunk.len().min(2)]);
        }
        if let Some(checker) = &mut checker {
            checker.update(chunk);
        }
        if let Some(digest) = &mut digest {
            digest.update(chunk);
        }
        left -= read as u64;
    }
    if let Some(checker) = checker {
        checker
            .finish()
            .map_err(|mismatch| mismatch.of(options.package()))?;
    }
    Ok((head, digest.map(Integrity::of_sha512)))
}

fn unpack(
    workshop: Workshop<'_>,
    stream: impl Read,
    limit: u64,
    options: &IngestOptions<'_>,
) -> Result<Packed, StoreError> {
    let stripper = Stripper::new(options.subdirectory);
    let (collector, skipped) = collect(workshop.root, stream, limit, &stripper)
        .map_err(|failure| failure.into_error(options))?;
    collector.finish(workshop, skipped, options)
}

/// Takes the files of an archive into a temporary file.
pub(crate) fn collect(
    root: &Path,
    stream: impl Read,
    limit: u64,
    stripper: &Stripper<'_>,
) -> Result<(Collector, tar::Skipped), Failure> {
    let mut stream = Limited {
        stream,
        left: limit,
        limit,
    };
    let mut collector = Collector::new(root).map_err(Failure::Store)?;
    let skipped = tar::read_stream(&mut stream, |entry, content| {
        if entry.size > limit {
            return Err(Failure::Refusal(too_large(limit)));
        }
        match stripper.strip(entry.path).map_err(Failure::Refusal)? {
            Some(path) => collector.add(path, entry.executable, content),
            None => drain(content).map_err(Failure::Refusal),
        }
    })?;
    Ok((collector, skipped))
}

/// What can fail while an archive is streamed: the archive, or the store that takes it.
pub(crate) enum Failure {
    Refusal(Refusal),
    Store(StoreError),
}

impl From<Refusal> for Failure {
    fn from(refusal: Refusal) -> Self {
        Self::Refusal(refusal)
    }
}

impl Failure {
    pub(crate) fn into_error(self, options: &IngestOptions<'_>) -> StoreError {
        match self {
            Self::Refusal(refusal) => options.refused(refusal),
            Self::Store(error) => error,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::ingest::InflaterPool;
    use crate::store::{PackageKey, Refusal};

    fn unpack_zeros(file_bytes: u64, limit: u64) -> Result<Packed, StoreError> {
        let root = tempfile::tempdir().unwrap();
        std::fs::create_dir(root.path().join("tmp")).unwrap();
        let mut header = ::tar::Header::new_ustar();
        header.set_path("p/x").unwrap();
        header.set_size(file_bytes);
        header.set_mode(0o644);
        header.set_cksum();
        let inflaters = InflaterPool::default();
        let workshop = Workshop {
            root: root.path(),
            inflaters: &inflaters,
        };
        let options = IngestOptions::new(PackageKey::new("i", "a@1", None));
        let stream = header.as_bytes().chain(io::repeat(0).take(4 << 20));
        let result = unpack(workshop, stream, limit, &options);
        let left = std::fs::read_dir(root.path().join("tmp")).unwrap().count();
        assert_eq!(left, 0, "a temporary file is left");
        result
    }

    #[test]
    fn an_archive_that_unpacks_to_more_than_the_limit_is_refused_and_leaves_nothing() {
        for (file_bytes, limit) in [(1 << 20, 1 << 20), (10 << 30, 5 << 20), (512, 2 << 20)] {
            let error = unpack_zeros(file_bytes, limit).unwrap_err();
            let StoreError::Refused { source, .. } = error else {
                panic!("{error:?}");
            };
            assert!(matches!(source, Refusal::TooLarge { .. }), "{source}");
        }
        assert!(unpack_zeros(1 << 20, 5 << 20).is_ok());
    }
}
