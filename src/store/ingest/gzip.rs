//! Decompression: whole buffers with libdeflate, streams with zlib.
//!
//! Both check every member's CRC, accept several members one after the other, and accept nothing
//! after them but zeros.

use std::io::{self, BufRead, Read};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};

use flate2::bufread::GzDecoder;

use crate::store::error::Refusal;
use crate::sys::store::{GzipDecompressor, GzipMember};

use super::tar::stream_error;

/// Archives that unpack to more than this are streamed.
pub(crate) const BUFFER_BYTES_MAX: usize = 32 << 20;
/// What all buffers of one store may have together; beyond it archives are streamed.
const POOL_BYTES_MAX: u64 = 128 << 20;
/// How many buffers are kept between archives.
const KEPT_BUFFERS: usize = 4;
const BUFFER_BYTES_MIN: usize = 256 << 10;

const MAGIC: [u8; 2] = [0x1f, 0x8b];
const GARBAGE: Refusal = Refusal::Gzip("something follows the compressed data");

/// Whether `bytes` begin like gzip.
pub(crate) fn is_gzip(bytes: &[u8]) -> bool {
    bytes.starts_with(&MAGIC)
}

/// A decompressor and the buffer that it fills. Reused, because fresh memory costs a page fault
/// for every 4 KiB.
pub(crate) struct Inflater {
    decompressor: GzipDecompressor,
    buffer: Vec<u8>,
}

/// The inflaters of a store.
#[derive(Default)]
pub(crate) struct InflaterPool {
    idle: Mutex<Vec<Inflater>>,
    lent_bytes: AtomicU64,
}

/// An inflater that goes back to its pool when it is dropped.
pub(crate) struct Lease<'a> {
    pool: &'a InflaterPool,
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
    /// An inflater, or `None` where so many are lent that their memory is at its limit.
    pub(crate) fn lease(&self) -> Option<Lease<'_>> {
        let one = BUFFER_BYTES_MAX as u64;
        let before = self.lent_bytes.fetch_add(one, Ordering::Relaxed);
        let mut lease = Lease {
            pool: self,
            inflater: None,
        };
        if before + one > POOL_BYTES_MAX {
            return None;
        }
        let idle = self
            .idle
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .pop();
        lease.inflater = match idle {
            Some(inflater) => Some(inflater),
            None => Some(Inflater {
                decompressor: GzipDecompressor::new()?,
                buffer: Vec::new(),
            }),
        };
        Some(lease)
    }
}

impl Drop for Lease<'_> {
    fn drop(&mut self) {
        self.pool
            .lent_bytes
            .fetch_sub(BUFFER_BYTES_MAX as u64, Ordering::Relaxed);
        if let Some(inflater) = self.inflater.take() {
            let mut idle = self
                .pool
                .idle
                .lock()
                .unwrap_or_else(PoisonError::into_inner);
            if idle.len() < KEPT_BUFFERS {
                idle.push(inflater);
            }
        }
    }
}

impl Lease<'_> {
    /// Decompresses all members of `archive`.
    ///
    /// # Errors
    /// [`Refusal::Gzip`] for damage and for what follows the last member.
    pub(crate) fn inflate(&mut self, archive: &[u8]) -> Result<Inflated<'_>, Refusal> {
        let Some(inflater) = &mut self.inflater else {
            return Ok(Inflated::TooLarge);
        };
        inflater.inflate(archive)
    }
}

impl Inflater {
    fn inflate(&mut self, archive: &[u8]) -> Result<Inflated<'_>, Refusal> {
        if !self.grow(expected_size(archive), 0) {
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
                    if !self.grow(self.buffer.len() * 2, filled) {
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
    /// that is more than a buffer may have.
    fn grow(&mut self, length: usize, filled: usize) -> bool {
        if length > BUFFER_BYTES_MAX {
            return false;
        }
        if length > self.buffer.len() {
            let length = length.next_power_of_two().max(BUFFER_BYTES_MIN);
            let mut buffer = vec![0; length];
            buffer[..filled].copy_from_slice(&self.buffer[..filled]);
            self.buffer = buffer;
        }
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
