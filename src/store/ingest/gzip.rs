//! Decompression: whole buffers with libdeflate, streams with zlib.
//!
//! Both check every member's CRC, accept several members one after the other, and accept nothing
//! after them but zeros.

use std::io::{self, BufRead, Read};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

use flate2::bufread::DeflateDecoder;
use libdeflater::Crc;

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

/// The decompressed bytes of a stream of members (RFC 1952).
pub(crate) struct GzipStream<R: BufRead> {
    /// `None` before the first member, between two, and after the last.
    member: Option<Member<R>>,
    /// What the next member is read from.
    stream: Option<R>,
}

/// A member that is being decompressed. What flate2 reads of the format itself it checks with a
/// checksum of its own, which takes a tenth of the time; libdeflate's takes a hundredth.
struct Member<R> {
    decoder: DeflateDecoder<R>,
    checksum: Crc,
    length: u32,
}

impl<R: BufRead> GzipStream<R> {
    pub(crate) fn new(stream: R) -> Self {
        Self {
            member: None,
            stream: Some(stream),
        }
    }

    /// Checks the end of a member, and looks at what follows: another one, zeros up to the end of
    /// the stream, or something else.
    fn end_member(&mut self) -> io::Result<()> {
        let Some(member) = self.member.take() else {
            return Ok(());
        };
        let mut stream = member.decoder.into_inner();
        let expected = [member.checksum.sum(), member.length].map(u32::to_le_bytes);
        let mut found = [0; 8];
        stream.read_exact(&mut found)?;
        if found[..] != *expected.as_flattened() {
            return Err(io::ErrorKind::InvalidData.into());
        }
        let mut zeros = 0_u64;
        loop {
            let buffered = stream.fill_buf()?;
            if buffered.is_empty() {
                return Ok(());
            }
            let blank = buffered.iter().take_while(|byte| **byte == 0).count();
            if blank < buffered.len() {
                if zeros > 0 || blank > 0 || buffered[0] != MAGIC[0] {
                    return Err(io::Error::other(GARBAGE));
                }
                self.stream = Some(stream);
                return Ok(());
            }
            zeros += blank as u64;
            stream.consume(blank);
        }
    }

    fn read_some(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        loop {
            if let Some(mut stream) = self.stream.take() {
                skip_header(&mut stream)?;
                self.member = Some(Member {
                    decoder: DeflateDecoder::new(stream),
                    checksum: Crc::new(),
                    length: 0,
                });
            }
            let Some(member) = &mut self.member else {
                return Ok(0);
            };
            match member.decoder.read(buffer)? {
                0 => self.end_member()?,
                read => {
                    member.checksum.update(&buffer[..read]);
                    // It is kept modulo 2^32.
                    member.length = member.length.wrapping_add(read as u32);
                    return Ok(read);
                }
            }
        }
    }
}

impl<R: BufRead> Read for GzipStream<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if buffer.is_empty() {
            return Ok(0);
        }
        self.read_some(buffer)
            .map_err(|error| match error.downcast::<Refusal>() {
                Ok(refusal) => io::Error::other(refusal),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => error,
                Err(_) => {
                    io::Error::other(Refusal::Gzip("it is truncated or its checksum is wrong"))
                }
            })
    }
}

/// Reads over the header of a member.
fn skip_header(stream: &mut impl BufRead) -> io::Result<()> {
    const DEFLATE: u8 = 8;
    const HEADER_CHECKSUM: u8 = 2;
    const EXTRA: u8 = 4;
    const NAME: u8 = 8;
    const COMMENT: u8 = 16;
    let mut head = [0; 10];
    stream.read_exact(&mut head)?;
    let flags = head[3];
    let is_known = is_gzip(&head) && head[2] == DEFLATE && flags < 2 * COMMENT;
    if !is_known {
        return Err(io::ErrorKind::InvalidData.into());
    }
    if flags & EXTRA != 0 {
        let mut length = [0; 2];
        stream.read_exact(&mut length)?;
        skip(stream, u16::from_le_bytes(length).into())?;
    }
    for text in [NAME, COMMENT] {
        if flags & text != 0 {
            stream.skip_until(0)?;
        }
    }
    if flags & HEADER_CHECKSUM != 0 {
        skip(stream, 2)?;
    }
    Ok(())
}

fn skip(stream: &mut impl BufRead, bytes: u64) -> io::Result<()> {
    let skipped = io::copy(&mut stream.take(bytes), &mut io::sink())?;
    match skipped == bytes {
        true => Ok(()),
        false => Err(io::ErrorKind::UnexpectedEof.into()),
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
    fn a_stream_reads_members_with_every_kind_of_header_and_checks_them() {
        let read = |bytes: &[u8]| {
            let mut content = Vec::new();
            let read = GzipStream::new(bytes).read_to_end(&mut content);
            read.map(|_| content)
        };
        let builder = flate2::GzBuilder::new().filename("name").comment("comment");
        let mut encoder = builder
            .extra(vec![7; 300])
            .write(Vec::new(), flate2::Compression::fast());
        encoder.write_all(b"first").unwrap();
        let first = encoder.finish().unwrap();
        let both = [&first[..], &gzip(b"second"), &[0; 9]].concat();
        assert_eq!(read(&both).unwrap(), b"firstsecond");
        for end in 0..first.len() {
            assert!(read(&first[..end]).is_err(), "{end} bytes");
        }
        for at in [1, 2, first.len() - 8, first.len() - 1] {
            let mut wrong = first.clone();
            wrong[at] ^= 0x40;
            assert!(read(&wrong).is_err(), "byte {at}");
        }
        assert!(read(&[&first[..], b"x"].concat()).is_err());
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
