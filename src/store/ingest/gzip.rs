//! Decompression: whole buffers with libdeflate, streams with zlib.
//!
//! Both check every member's CRC, accept several members one after the other, and accept nothing
//! after them but zeros.

use std::io::{self, BufRead, Read};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

use flate2::bufread::GzDecoder;

use crate::store::error::Refusal;
use crate::sys::store::{GzipDecompressor, GzipMember};

use super::tar::stream_error;

/// Archives that unpack to more than this are streamed.
const BUFFER_BYTES_MAX: usize = 64 << 20;
/// What all buffers of one store may have together; an archive that needs more is streamed.
const POOL_BYTES_MAX: usize = 128 << 20;
/// How many buffers are kept between archives, and how large they may be.
const KEPT_BUFFERS: usize = 4;
const KEPT_BUFFER_BYTES: usize = 16 << 20;
const GROWTH_BYTES: usize = 256 << 10;

const MAGIC: [u8; 2] = [0x1f, 0x8b];
const GARBAGE: Refusal = Refusal::Gzip("something follows the compressed data");

/// Whether `bytes` begin like gzip.
pub(crate) fn is_gzip(bytes: &[u8]) -> bool {
    bytes.starts_with(&MAGIC)
}

/// A decompressor and the buffer that it fills. Reused, because fresh memory costs a page fault
/// for every 4 KiB.
struct Inflater {
    decompressor: GzipDecompressor,
    buffer: Vec<u8>,
}

/// The inflaters of a store.
#[derive(Default)]
pub(crate) struct InflaterPool {
    idle: Mutex<Vec<Inflater>>,
    /// Bytes of all buffers, idle and lent.
    bytes: AtomicUsize,
}

/// An inflater that goes back to its pool when it is dropped.
pub(crate) struct Lease<'a> {
    pool: &'a InflaterPool,
    /// Taken only by `drop`.
    inflater: Option<Inflater>,
}

/// What came of inflating into memory.
pub(crate) enum Inflated<'a> {
    /// All of it.
    Whole(&'a [u8]),
    /// It does not fit; stream it.
    TooLarge,
}

impl InflaterPool {
    /// An inflater, or `None` where there is no memory for one.
    pub(crate) fn lease(&self) -> Option<Lease<'_>> {
        let idle = self.idle().pop();
        let inflater = match idle {
            Some(inflater) => inflater,
            None => Inflater {
                decompressor: GzipDecompressor::new()?,
                buffer: Vec::new(),
            },
        };
        Some(Lease {
            pool: self,
            inflater: Some(inflater),
        })
    }

    fn idle(&self) -> MutexGuard<'_, Vec<Inflater>> {
        self.idle.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Counts `bytes` more, unless that is more than all buffers may have.
    fn reserve(&self, bytes: usize) -> bool {
        let before = self.bytes.fetch_add(bytes, Ordering::Relaxed);
        let granted = before.saturating_add(bytes) <= POOL_BYTES_MAX;
        if !granted {
            self.release(bytes);
        }
        granted
    }

    fn release(&self, bytes: usize) {
        self.bytes.fetch_sub(bytes, Ordering::Relaxed);
    }
}

impl Drop for Lease<'_> {
    fn drop(&mut self) {
        let Some(inflater) = self.inflater.take() else {
            return;
        };
        let bytes = inflater.buffer.len();
        if bytes <= KEPT_BUFFER_BYTES {
            let mut idle = self.pool.idle();
            if idle.len() < KEPT_BUFFERS {
                idle.push(inflater);
                return;
            }
        }
        self.pool.release(bytes);
    }
}

impl Lease<'_> {
    /// Decompresses all members of `archive`.
    ///
    /// # Errors
    /// [`Refusal::Gzip`] for damage and for what follows the last member.
    pub(crate) fn inflate(&mut self, archive: &[u8]) -> Result<Inflated<'_>, Refusal> {
        let inflater = self
            .inflater
            .as_mut()
            .expect("invariant: a lease has its inflater until it is dropped");
        inflater.inflate(archive, self.pool)
    }
}

impl Inflater {
    fn inflate(&mut self, archive: &[u8], pool: &InflaterPool) -> Result<Inflated<'_>, Refusal> {
        if !self.grow(expected_size(archive), 0, pool) {
            return Ok(Inflated::TooLarge);
        }
        let mut input = archive;
        let mut filled = 0;
        loop {
            match self.decompressor.member(input, &mut self.buffer[filled..]) {
                GzipMember::Done { consumed, produced } => {
                    filled += produced;
                    input = &input[consumed..];
                    if is_zero(input) {
                        return Ok(Inflated::Whole(&self.buffer[..filled]));
                    }
                    if !is_gzip(input) {
                        return Err(GARBAGE);
                    }
                }
                GzipMember::OutputFull => {
                    if !self.grow(self.buffer.len().max(1) * 2, filled, pool) {
                        return Ok(Inflated::TooLarge);
                    }
                }
                GzipMember::Bad => {
                    return Err(Refusal::Gzip("it is truncated or its checksum is wrong"));
                }
            }
        }
    }

    /// Makes the buffer at least `length` bytes long and keeps its first `filled`. Says no where
    /// that is more than a buffer, or all of them together, may have.
    fn grow(&mut self, length: usize, filled: usize, pool: &InflaterPool) -> bool {
        if length > BUFFER_BYTES_MAX {
            return false;
        }
        let length = length.next_multiple_of(GROWTH_BYTES);
        if length <= self.buffer.len() {
            return true;
        }
        if !pool.reserve(length) {
            return false;
        }
        let mut buffer = vec![0; length];
        buffer[..filled].copy_from_slice(&self.buffer[..filled]);
        pool.release(self.buffer.len());
        self.buffer = buffer;
        true
    }
}

fn is_zero(bytes: &[u8]) -> bool {
    bytes.iter().all(|byte| *byte == 0)
}

/// The length that the last member claims to have, which is true for nearly every archive and a
/// first guess for the rest.
fn expected_size(archive: &[u8]) -> usize {
    match archive.last_chunk() {
        Some(length) => u32::from_le_bytes(*length) as usize,
        None => 0,
    }
}

/// The decompressed bytes of a stream of members.
pub(crate) struct GzipStream<R: BufRead> {
    /// `None` only while a member follows another.
    decoder: Option<GzDecoder<R>>,
    ended: bool,
}

impl<R: BufRead> GzipStream<R> {
    pub(crate) fn new(stream: R) -> Self {
        Self {
            decoder: Some(GzDecoder::new(stream)),
            ended: false,
        }
    }

    /// Looks at what follows a member: another one, zeros up to the end, or something else.
    fn next_member(&mut self) -> io::Result<()> {
        let Some(mut stream) = self.decoder.take().map(GzDecoder::into_inner) else {
            self.ended = true;
            return Ok(());
        };
        let mut zeros = 0_u64;
        loop {
            let buffered = stream.fill_buf()?;
            if buffered.is_empty() {
                self.ended = true;
                return Ok(());
            }
            let blank = buffered.iter().take_while(|byte| **byte == 0).count();
            if blank < buffered.len() {
                if zeros > 0 || blank > 0 || buffered[0] != MAGIC[0] {
                    return Err(io::Error::other(GARBAGE));
                }
                self.decoder = Some(GzDecoder::new(stream));
                return Ok(());
            }
            zeros += blank as u64;
            stream.consume(blank);
        }
    }
}

impl<R: BufRead> Read for GzipStream<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if buffer.is_empty() {
            return Ok(0);
        }
        while let Some(decoder) = &mut self.decoder {
            match decoder.read(buffer) {
                Ok(0) => self.next_member()?,
                Ok(read) => return Ok(read),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => return Err(error),
                Err(_) => {
                    return Err(io::Error::other(Refusal::Gzip(
                        "it is truncated or its checksum is wrong",
                    )));
                }
            }
        }
        Ok(0)
    }
}

/// Reads to the end, so that the last checksum is checked.
pub(crate) fn drain(stream: &mut impl Read) -> Result<(), Refusal> {
    io::copy(stream, &mut io::sink())
        .map(|_| ())
        .map_err(stream_error)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write;

    fn gzip(bytes: &[u8]) -> Vec<u8> {
        let level = flate2::Compression::fast();
        let mut encoder = flate2::write::GzEncoder::new(Vec::new(), level);
        encoder.write_all(bytes).unwrap();
        encoder.finish().unwrap()
    }

    fn whole(pool: &InflaterPool, archive: &[u8]) -> Option<usize> {
        match pool.lease().unwrap().inflate(archive).unwrap() {
            Inflated::Whole(bytes) => Some(bytes.len()),
            Inflated::TooLarge => None,
        }
    }

    #[test]
    fn a_buffer_grows_where_the_last_member_claims_less_than_there_is() {
        let pool = InflaterPool::default();
        let two = [gzip(&vec![1; 3 << 20]), gzip(b"x")].concat();
        assert_eq!(whole(&pool, &two), Some((3 << 20) + 1));
    }

    #[test]
    fn what_does_not_fit_the_buffers_is_left_to_the_stream() {
        let pool = InflaterPool::default();
        let large = gzip(&vec![0; BUFFER_BYTES_MAX + 1]);
        assert_eq!(whole(&pool, &large), None);
        let fits = gzip(&vec![0; 1 << 20]);
        pool.bytes.store(POOL_BYTES_MAX - 1, Ordering::Relaxed);
        assert_eq!(whole(&pool, &fits), None);
        pool.bytes.store(0, Ordering::Relaxed);
        assert_eq!(whole(&pool, &fits), Some(1 << 20));
    }

    #[test]
    fn large_buffers_are_given_back_and_small_ones_are_kept() {
        let pool = InflaterPool::default();
        whole(&pool, &gzip(&vec![0; KEPT_BUFFER_BYTES + 1]));
        assert_eq!(pool.bytes.load(Ordering::Relaxed), 0);
        whole(&pool, &gzip(b"x"));
        assert_eq!(pool.bytes.load(Ordering::Relaxed), GROWTH_BYTES);
        assert_eq!(pool.idle().len(), 1);
    }
}
