//! Archives that a server compressed once more for the way (`Content-Encoding: gzip`).

use std::fs::File;
use std::io::{BufReader, Read};

use flate2::read::MultiGzDecoder;

use super::body::{Collector, Content};
use super::client::Trip;
use super::error::FetchError;

/// How compressed data begins.
const MAGIC: [u8; 2] = [0x1f, 0x8b];

const CHUNK_BYTES: usize = 64 << 10;

impl Trip<'_> {
    /// The archive in `content`, of which the server says that it is compressed with gzip. Many
    /// servers say that of the archive's own compression; so only what is compressed underneath
    /// was compressed for the way. What cannot be unpacked stays: its digest will tell.
    pub(super) fn without_encoding(&self, content: Content) -> Result<Content, FetchError> {
        let packed: Box<dyn Read + '_> = match &content {
            Content::Memory(bytes) => Box::new(bytes.as_slice()),
            Content::File { path, .. } => match File::open(path) {
                Ok(file) => Box::new(BufReader::new(file)),
                Err(_) => return Ok(content),
            },
        };
        let unpacked = self.unpacked(packed)?;
        Ok(unpacked.unwrap_or(content))
    }

    /// What is in `packed`, where that is compressed itself.
    fn unpacked(&self, packed: Box<dyn Read + '_>) -> Result<Option<Content>, FetchError> {
        let limits = &self.client.limits;
        let mut decoder = MultiGzDecoder::new(packed);
        let mut head = [0; MAGIC.len()];
        if decoder.read_exact(&mut head).is_err() || head != MAGIC {
            return Ok(None);
        }
        let (directory, prefix) = (&limits.spool_directory, &limits.spool_prefix);
        let mut collector = Collector::new(None, limits.spool_bytes, directory, prefix)?;
        collector.push(&head)?;
        let mut chunk = vec![0; CHUNK_BYTES];
        loop {
            let read = match decoder.read(&mut chunk) {
                Ok(0) => return Ok(Some(collector.finish())),
                Ok(read) => read,
                Err(_) => return Ok(None),
            };
            if collector.bytes() + read as u64 > limits.tarball_bytes_max {
                return Err(self.too_large());
            }
            collector.push(&chunk[..read])?;
        }
    }
}
