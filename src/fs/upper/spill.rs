//! Where the journal goes on while the file system under the mount has no room for it.
//!
//! What was installed takes no room where the mount is, and the word that it was removed does.
//! Whoever removes something to make room must not be refused for want of it. So then the records
//! go into memory that the supervisor holds too, until there is room in the file.
//!
//! ```text
//! start    8   u64: where in the journal the records belong
//! records      as in the journal
//! ```
//!
//! A server that is killed while they are copied into the file leaves them here, and what is in the
//! file from `start` on does not count.
//!
//! **Architecture Invariant:** what is here is known to the next server, and lost with a power cut,
//! as is what no program asked to be synced.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;

use super::host::{read_at, write_at};

const START_BYTES: usize = 8;

/// So many bytes of memory are taken at most.
const BYTES_MAX: usize = 64 << 20;

/// The memory, and how much of the journal is in it.
#[derive(Debug)]
pub(crate) struct Spill {
    memory: File,
    bytes: usize,
}

impl Spill {
    /// What `memory` holds for the journal: where it begins, and the bytes.
    pub(crate) fn read(memory: &File) -> io::Result<Option<(usize, Vec<u8>)>> {
        let length = usize::try_from(memory.metadata()?.len()).unwrap_or(usize::MAX);
        if length <= START_BYTES || length > BYTES_MAX {
            return Ok(None);
        }
        let mut bytes = vec![0; length];
        read_at(memory, &mut bytes, 0)?;
        let records = bytes.split_off(START_BYTES.min(bytes.len()));
        let start = bytes.try_into().map(u64::from_le_bytes);
        let start = start.ok().and_then(|start| usize::try_from(start).ok());
        Ok(start.map(|start| (start, records)))
    }

    /// Goes on with the first `bytes` of what is in `memory`.
    pub(crate) fn new(memory: File, bytes: usize) -> io::Result<Self> {
        let spill = Self { memory, bytes };
        spill.cut()?;
        Ok(spill)
    }

    /// How much of the journal is here.
    pub(crate) fn bytes(&self) -> usize {
        self.bytes
    }

    /// Adds records, which belong to `place` in the journal.
    pub(crate) fn append(&mut self, records: &[u8], place: usize) -> io::Result<()> {
        let mut content = Vec::new();
        if self.bytes == 0 {
            content.extend_from_slice(&(place as u64).to_le_bytes());
        }
        content.extend_from_slice(records);
        let offset = self.length();
        let fits = offset + content.len() <= BYTES_MAX;
        if fits && write_at(&self.memory, &content, offset as u64)? == content.len() {
            self.bytes += records.len();
            return Ok(());
        }
        self.cut()?;
        Err(io::ErrorKind::StorageFull.into())
    }

    /// Everything that is here.
    pub(crate) fn records(&self) -> io::Result<Vec<u8>> {
        let mut records = vec![0; self.bytes];
        self.memory
            .read_exact_at(&mut records, START_BYTES as u64)?;
        Ok(records)
    }

    /// It is in the journal's file.
    pub(crate) fn clear(&mut self) -> io::Result<()> {
        self.bytes = 0;
        self.cut()
    }

    fn length(&self) -> usize {
        match self.bytes {
            0 => 0,
            bytes => START_BYTES + bytes,
        }
    }

    fn cut(&self) -> io::Result<()> {
        self.memory.set_len(self.length() as u64)
    }
}
