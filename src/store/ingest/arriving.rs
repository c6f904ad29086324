//! Archives that are unpacked while they arrive.
//!
//! Inflating a large archive takes as long as receiving it, so that both are done at once, and
//! hashing and writing of what was inflated beside them. Nothing of it becomes a pack before all of
//! the archive was hashed and is what was promised.
//!
//! ```text
//! bytes as they come ──► inflating thread ──► buffers ──► collecting thread ──► temporary file
//!        │ hashed by who receives them                                              │
//!        └──────────────► what was promised? ──────────────► pack ◄─────────────────┘
//! ```

use std::fmt;
use std::io::{self, BufRead, Cursor, Read};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::thread::{self, JoinHandle};

use sha2::{Digest, Sha512};

use crate::store::error::{Refusal, StoreError};
use crate::store::integrity::Integrity;

use super::gzip::{GzipStream, drain, is_gzip};
use super::names::Stripper;
use super::stream::{CHUNK_BYTES, Collector, Failure, collect, read_full};
use super::tar::Skipped;
use super::{IngestOptions, Packed, Workshop, unpacked_limit, wants_digest};

/// Archives at once. Most of the time they wait for the network; each takes about 3 MiB.
const PLACES: usize = 8;

/// Buffers between the two threads of an archive.
const BUFFERS: usize = 4;

type Collected = Result<(Collector, Skipped), Failure>;

/// Unpacks archives while they arrive, a few at once.
#[derive(Debug, Clone)]
pub struct Unpacker {
    root: PathBuf,
    busy: Arc<AtomicUsize>,
}

/// An archive that is unpacked while it arrives. Dropped before its end, it leaves nothing; who has
/// the other end of what it reads gives that up before.
pub struct Unpacking {
    /// Taken where it is waited for.
    thread: Option<JoinHandle<Collected>>,
    hasher: Box<Sha512>,
    _slot: Slot,
}

/// One of the places of an [`Unpacker`], until it is dropped.
struct Slot(Arc<AtomicUsize>);

impl Unpacker {
    pub(crate) fn new(root: &Path) -> Self {
        Self {
            root: root.to_owned(),
            busy: Arc::default(),
        }
    }

    /// Begins to unpack the `bytes` that `archive` will give, which waits for them, and gives an
    /// error where they do not come. `None` where all places are taken or there are no threads.
    pub fn begin(&self, bytes: u64, archive: impl BufRead + Send + 'static) -> Option<Unpacking> {
        let slot = self.take_slot()?;
        let root = self.root.clone();
        let thread = thread::Builder::new()
            .name("collect".to_owned())
            .spawn(move || unpack(&root, archive, unpacked_limit(bytes)))
            .ok()?;
        Some(Unpacking {
            thread: Some(thread),
            hasher: Box::default(),
            _slot: slot,
        })
    }

    fn take_slot(&self) -> Option<Slot> {
        let slot = Slot(Arc::clone(&self.busy));
        (self.busy.fetch_add(1, Ordering::Relaxed) < PLACES).then_some(slot)
    }
}

impl Drop for Slot {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

impl Drop for Unpacking {
    fn drop(&mut self) {
        if let Some(thread) = self.thread.take() {
            // What it collected is removed with its result.
            let _ = thread.join();
        }
    }
}

impl fmt::Debug for Unpacking {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("Unpacking").finish_non_exhaustive()
    }
}

impl Unpacking {
    /// Takes the next bytes of the archive into its hash.
    pub fn hash(&mut self, bytes: &[u8]) {
        self.hasher.update(bytes);
    }

    /// Makes a pack of it, once it has arrived.
    pub(super) fn finish(
        mut self,
        workshop: Workshop<'_>,
        options: &IngestOptions<'_>,
    ) -> Result<Packed, StoreError> {
        let collected = self.thread.take().and_then(|thread| thread.join().ok());
        let collected = collected.unwrap_or_else(|| {
            let ended = io::Error::other("the thread that unpacked it has ended");
            Err(read_failure(ended))
        });
        if let Err(Failure::Store(error)) = collected {
            return Err(error);
        }
        // What did not arrive as it was promised need not be an archive at all.
        let computed = Integrity::of_sha512(*std::mem::take(&mut self.hasher));
        if let Some(promised) = options.integrity {
            promised
                .check_computed(&computed)
                .map_err(|mismatch| mismatch.of(options.package()))?;
        }
        let (collector, skipped) = collected.map_err(|failure| failure.into_error(options))?;
        let mut packed = collector.finish(workshop, skipped, options)?;
        packed.computed = wants_digest(options.integrity).then_some(computed);
        Ok(packed)
    }
}

/// Unpacks an archive, and takes all of it even where it is refused, so that all is hashed.
fn unpack(root: &Path, mut archive: impl BufRead + Send, limit: u64) -> Collected {
    let mut head = [0; 2];
    let read = read_full(&mut archive, &mut head).map_err(read_failure)?;
    let head = &head[..read];
    let mut whole = Cursor::new(head).chain(&mut archive);
    let stripper = Stripper::new(None);
    let collected = match is_gzip(head) {
        true => inflated(root, whole, limit, &stripper),
        false => collect(root, &mut whole, limit, &stripper),
    };
    if !matches!(collected, Err(Failure::Store(_))) {
        drain(&mut archive)?;
    }
    collected
}

/// Collects on this thread what another one inflates.
fn inflated(
    root: &Path,
    archive: impl BufRead + Send,
    limit: u64,
    stripper: &Stripper<'_>,
) -> Collected {
    let (full, buffers) = sync_channel(BUFFERS);
    let (used, empty) = sync_channel(BUFFERS + 2);
    thread::scope(|scope| {
        thread::Builder::new()
            .name("inflate".to_owned())
            .spawn_scoped(scope, move || inflate(archive, &full, &empty))
            .map_err(read_failure)?;
        let stream = Buffers {
            buffers,
            used,
            current: Vec::new(),
            position: 0,
            is_over: false,
        };
        collect(root, stream, limit, stripper)
    })
}

fn inflate(
    archive: impl BufRead,
    full: &SyncSender<io::Result<Vec<u8>>>,
    empty: &Receiver<Vec<u8>>,
) {
    let mut stream = GzipStream::new(archive);
    loop {
        let mut buffer = empty.try_recv().unwrap_or_default();
        buffer.resize(CHUNK_BYTES, 0);
        let read = read_full(&mut stream, &mut buffer).map(|read| {
            buffer.truncate(read);
            buffer
        });
        let is_over = read.as_ref().map_or(true, Vec::is_empty);
        // Nobody takes it where the archive was refused.
        if full.send(read).is_err() || is_over {
            return;
        }
    }
}

/// What was inflated, as a stream. It ends with an empty buffer.
struct Buffers {
    buffers: Receiver<io::Result<Vec<u8>>>,
    /// Takes those that were read.
    used: SyncSender<Vec<u8>>,
    current: Vec<u8>,
    position: usize,
    is_over: bool,
}

impl Read for Buffers {
    fn read(&mut self, target: &mut [u8]) -> io::Result<usize> {
        if self.position == self.current.len() && !self.is_over {
            let ended = |_| Err(io::ErrorKind::UnexpectedEof.into());
            let next = self.buffers.recv().unwrap_or_else(ended)?;
            let used = std::mem::replace(&mut self.current, next);
            self.position = 0;
            self.is_over = self.current.is_empty();
            // Where there are enough, it is given up.
            let _ = self.used.try_send(used);
        }
        let read = (&self.current[self.position..]).read(target)?;
        self.position += read;
        Ok(read)
    }
}

fn read_failure(error: io::Error) -> Failure {
    Failure::Refusal(Refusal::Read(error))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::ingest::InflaterPool;
    use crate::store::{Algorithm, PackageKey};
    use std::io::Write;

    /// An archive of `files` that hold a number each.
    fn archive(files: u32) -> Vec<u8> {
        let level = flate2::Compression::fast();
        let mut builder = ::tar::Builder::new(flate2::write::GzEncoder::new(Vec::new(), level));
        for number in 0..files {
            let content = number.to_string().repeat(5000);
            let mut header = ::tar::Header::new_ustar();
            header.set_size(content.len() as u64);
            header.set_mode(0o644);
            let path = format!("p/{number}");
            builder
                .append_data(&mut header, path, content.as_bytes())
                .unwrap();
        }
        builder.into_inner().unwrap().finish().unwrap()
    }

    /// Lets `bytes` arrive in pieces, all of them or not.
    fn arrive(root: &Path, bytes: &[u8], is_whole: bool) -> Unpacking {
        let (reader, mut writer) = io::pipe().unwrap();
        let end: Box<dyn Read + Send> = match is_whole {
            true => Box::new(io::empty()),
            false => Box::new(Broken),
        };
        let stream = io::BufReader::with_capacity(7000, reader.chain(end));
        let mut unpacking = Unpacker::new(root)
            .begin(bytes.len() as u64, stream)
            .unwrap();
        for piece in bytes.chunks(10_000) {
            unpacking.hash(piece);
            // Nobody reads it where the store has failed.
            let _ = writer.write_all(piece);
        }
        unpacking
    }

    struct Broken;

    impl Read for Broken {
        fn read(&mut self, _: &mut [u8]) -> io::Result<usize> {
            Err(io::ErrorKind::UnexpectedEof.into())
        }
    }

    fn root() -> tempfile::TempDir {
        let root = tempfile::tempdir().unwrap();
        std::fs::create_dir(root.path().join("tmp")).unwrap();
        root
    }

    fn finish(
        root: &Path,
        unpacking: Unpacking,
        promised: Option<&Integrity>,
    ) -> Result<Packed, StoreError> {
        let inflaters = InflaterPool::default();
        let workshop = Workshop {
            root,
            inflaters: &inflaters,
        };
        let mut options = IngestOptions::new(PackageKey::new("i", "a@1", None));
        options.integrity = promised;
        let result = unpacking.finish(workshop, &options);
        let left = std::fs::read_dir(root.join("tmp")).unwrap().count();
        assert_eq!(left, 0, "a temporary file is left");
        result
    }

    #[test]
    fn what_arrives_becomes_a_package_whether_it_is_compressed_or_not() {
        let root = root();
        let compressed = archive(200);
        let mut plain = Vec::new();
        GzipStream::new(&compressed[..])
            .read_to_end(&mut plain)
            .unwrap();
        for bytes in [compressed, plain] {
            let promised = Integrity::of(&bytes);
            let unpacking = arrive(root.path(), &bytes, true);
            let packed = finish(root.path(), unpacking, Some(&promised)).unwrap();
            assert_eq!(packed.record.facts.files, 201);
            assert_eq!(packed.computed, None);
            let packed = finish(root.path(), arrive(root.path(), &bytes, true), None).unwrap();
            assert_eq!(packed.computed, Some(promised));
        }
    }

    #[test]
    fn other_bytes_than_promised_are_told_of_before_anything_else() {
        let root = root();
        let whole = archive(20);
        let promised = Integrity::of(&whole);
        let mut changed = whole.clone();
        // The checksum of its content.
        changed[whole.len() - 8] ^= 1;
        let cut = &whole[..whole.len() / 2];
        for bytes in [&changed[..], cut, b"x", b""] {
            let unpacking = arrive(root.path(), bytes, true);
            let error = finish(root.path(), unpacking, Some(&promised)).unwrap_err();
            assert!(matches!(error, StoreError::Integrity { .. }), "{error:?}");
            let unpacking = arrive(root.path(), bytes, true);
            let error = finish(root.path(), unpacking, None).unwrap_err();
            assert!(matches!(error, StoreError::Refused { .. }), "{error:?}");
        }
        assert_eq!(promised.algorithm(), Algorithm::Sha512);
    }

    #[test]
    fn what_does_not_arrive_whole_leaves_nothing() {
        let root = root();
        let whole = archive(2000);
        drop(arrive(root.path(), &whole[..whole.len() / 2], false));
        let left = std::fs::read_dir(root.path().join("tmp")).unwrap().count();
        assert_eq!(left, 0);
        assert!(finish(root.path(), arrive(root.path(), &whole, false), None).is_err());
    }

    #[test]
    fn there_are_places_for_some_at_once() {
        let unpacker = Unpacker::new(Path::new("/does/not/exist"));
        let taken: Vec<_> = (0..PLACES)
            .map(|_| unpacker.begin(1, &b"x"[..]).unwrap())
            .collect();
        assert!(unpacker.begin(1, &b"x"[..]).is_none());
        drop(taken);
        assert!(unpacker.begin(1, &b"x"[..]).is_some());
    }
}
