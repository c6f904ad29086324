//! Where the bytes of an archive go while they arrive: to memory or a file, or to who unpacks them.

use std::io::{self, BufRead, Read};

use bytes::{Buf, Bytes};
use tokio::sync::mpsc::{Receiver, Sender, channel};

use super::body::Collector;
use super::error::FetchError;
use crate::limits::DOWNLOAD_SPOOL_BYTES;
use crate::store::{Unpacker, Unpacking};

/// Pieces that wait to be unpacked.
const PIECES: usize = 64;

/// Larger archives, in bytes, are unpacked while they arrive.
const BYTES_MIN: u64 = 1 << 20;

/// The same while processors have enough to do: streams are inflated at half the speed of buffers.
const BUSY_BYTES_MIN: u64 = DOWNLOAD_SPOOL_BYTES;

/// Bytes of a piece that are reckoned with.
const PIECE_BYTES: u64 = 16 << 10;

/// Where an archive's bytes go.
pub(super) trait Arrival {
    /// How many came.
    fn bytes(&self) -> u64;

    /// Takes the next ones.
    async fn take(&mut self, piece: Bytes) -> Result<(), FetchError>;
}

impl Arrival for Collector {
    fn bytes(&self) -> u64 {
        self.bytes()
    }

    async fn take(&mut self, piece: Bytes) -> Result<(), FetchError> {
        self.push(&piece)
    }
}

/// Hands an archive on, piece by piece.
pub(super) struct Handing {
    // Given up before it is waited for what reads from it.
    pieces: Sender<Bytes>,
    unpacking: Unpacking,
    bytes: u64,
}

impl Handing {
    /// Whether that makes sense for an archive of so many bytes.
    pub(super) fn is_worth(bytes: u64, is_busy: bool) -> bool {
        let bytes_min = match is_busy {
            true => BUSY_BYTES_MIN,
            false => BYTES_MIN,
        };
        bytes > bytes_min
    }

    /// For an archive of `bytes`, if somebody has time for it.
    pub(super) fn begin(unpacker: &Unpacker, bytes: u64) -> Option<Self> {
        let (pieces, receiver) = channel(PIECES);
        let archive = Pieces {
            receiver,
            current: Bytes::new(),
            is_whole: false,
        };
        Some(Self {
            pieces,
            unpacking: unpacker.begin(bytes, archive)?,
            bytes: 0,
        })
    }

    /// Bytes that wait, at most.
    pub(super) fn held_bytes(&self) -> u64 {
        PIECES as u64 * PIECE_BYTES
    }

    /// Says that it has arrived whole.
    pub(super) async fn finish(self) -> Unpacking {
        // Who has failed already takes no more.
        let _ = self.pieces.send(Bytes::new()).await;
        self.unpacking
    }
}

impl Arrival for Handing {
    fn bytes(&self) -> u64 {
        self.bytes
    }

    async fn take(&mut self, piece: Bytes) -> Result<(), FetchError> {
        self.bytes += piece.len() as u64;
        self.unpacking.hash(&piece);
        if !piece.is_empty() {
            // Why nobody takes it is told where it is asked for what was unpacked.
            let _ = self.pieces.send(piece).await;
        }
        Ok(())
    }
}

/// The other end: an archive that ends with an empty piece, or has not arrived whole.
struct Pieces {
    receiver: Receiver<Bytes>,
    current: Bytes,
    is_whole: bool,
}

impl BufRead for Pieces {
    fn fill_buf(&mut self) -> io::Result<&[u8]> {
        if self.current.is_empty() && !self.is_whole {
            let next = self.receiver.blocking_recv();
            self.current = next.ok_or(io::ErrorKind::UnexpectedEof)?;
            self.is_whole = self.current.is_empty();
        }
        Ok(&self.current)
    }

    fn consume(&mut self, amount: usize) {
        self.current.advance(amount);
    }
}

impl Read for Pieces {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let read = self.fill_buf()?.read(buffer)?;
        self.consume(read);
        Ok(read)
    }
}
