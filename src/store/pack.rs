//! An open pack: its table in memory, its contents by `pread`.

use std::fs::File;
use std::io::{self, IoSliceMut, Write};
use std::num::NonZeroU64;
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::fs::FileExt;
use std::path::Path;

use rustix::fs::Advice;
use rustix::io::{Errno, ReadWriteFlags};
use sha2::{Digest, Sha256};

use crate::name::RelativePath;
use crate::sys;

use super::codec::decode_metadata;
use super::error::StoreError;
use super::format::{FormatError, TRAILER_BYTES, TableView, Trailer};
use super::table::{NodeKind, PackTable};
use super::{FileEntry, PackId, PackageFacts, PackageKey};

/// How much of a pack's end is read at once: the tables of nearly all packages fit.
const TAIL_BYTES: u64 = 16 << 10;
const CHUNK_BYTES: usize = 128 << 10;
/// How much of a pack is read at once when its files are written out.
const READ_AHEAD_BYTES: u64 = 1 << 20;

/// How much is read at least where the last file that was written out was another's neighbour.
const JUMP_BYTES: u64 = 16 << 10;

/// An open pack. Its descriptor, length and table were checked; it may be shared by threads.
#[derive(Debug)]
pub struct Pack {
    id: PackId,
    file: File,
    trailer: Trailer,
    table: PackTable,
}

/// The end of a pack, read and checked against its id.
struct End {
    file: File,
    trailer: Trailer,
    table: Vec<u8>,
}

impl Pack {
    /// Opens the pack `id` at `path`: a regular file, not reached through a symlink, whose length,
    /// trailer and table agree with each other and with `id`. Reads nothing else.
    ///
    /// # Errors
    /// [`StoreError::Io`] where it is not there, [`StoreError::Pack`] where it is not whole.
    pub(crate) fn open(path: &Path, id: PackId) -> Result<Self, StoreError> {
        let end = read_end(path, id)?;
        let damaged = |source| StoreError::Pack { pack: id, source };
        let view = TableView::parse(&end.table, end.trailer.table_offset).map_err(damaged)?;
        let table = PackTable::build(&view).map_err(damaged)?;
        Ok(Self {
            id,
            file: end.file,
            trailer: end.trailer,
            table,
        })
    }

    /// The pack's name.
    pub fn id(&self) -> PackId {
        self.id
    }

    /// Files and directories.
    pub fn table(&self) -> &PackTable {
        &self.table
    }

    /// Bytes of memory that the open pack takes, its descriptor apart.
    pub fn memory_bytes(&self) -> usize {
        self.table.memory_bytes() + size_of::<Self>()
    }

    fn file_span(&self, number: u32) -> io::Result<(u64, u64)> {
        match self.table.kind(number) {
            Some(NodeKind::File { size, offset, .. }) => Ok((offset, size)),
            Some(NodeKind::Directory { .. }) => Err(io::ErrorKind::IsADirectory.into()),
            None => Err(io::ErrorKind::NotFound.into()),
        }
    }

    /// Reads from the file of this number, beginning `offset` bytes into it. Gives fewer bytes than
    /// `buffer` has only at the file's end.
    ///
    /// # Errors
    /// What `pread` gives; `UnexpectedEof` where the pack has become shorter than its table says.
    pub fn read_at(&self, number: u32, offset: u64, buffer: &mut [u8]) -> io::Result<usize> {
        let (start, size) = self.file_span(number)?;
        let left = usize::try_from(size.saturating_sub(offset)).unwrap_or(usize::MAX);
        let length = left.min(buffer.len());
        if length > 0 {
            self.file
                .read_exact_at(&mut buffer[..length], start + offset)?;
        }
        Ok(length)
    }

    /// Tells the system that the file of this number will be read.
    pub fn will_need(&self, number: u32) {
        let Ok((start, size)) = self.file_span(number) else {
            return;
        };
        // Whoever reads it finds out what is wrong.
        let _ = rustix::fs::fadvise(&self.file, start, NonZeroU64::new(size), Advice::WillNeed);
    }

    /// Whether the beginning of the file of this number can be read without waiting for the disk.
    /// Where the file system cannot tell, it can.
    pub fn is_cached(&self, number: u32) -> bool {
        let mut byte = [0];
        let read = self.file_span(number).map(|(start, _)| {
            let buffers = &mut [IoSliceMut::new(&mut byte)];
            rustix::io::preadv2(&self.file, buffers, start, ReadWriteFlags::NOWAIT)
        });
        !matches!(read, Ok(Err(Errno::AGAIN)))
    }

    /// The whole content of the file of this number.
    ///
    /// # Errors
    /// As [`Pack::read_at`]; `OutOfMemory` where there is no memory for it.
    pub fn read_file(&self, number: u32) -> io::Result<Vec<u8>> {
        let (_, size) = self.file_span(number)?;
        let length = usize::try_from(size).map_err(|_| io::ErrorKind::OutOfMemory)?;
        let mut content = Vec::new();
        content
            .try_reserve_exact(length)
            .map_err(|_| io::ErrorKind::OutOfMemory)?;
        content.resize(length, 0);
        self.read_at(number, 0, &mut content)?;
        Ok(content)
    }

    /// Reads one file after the other, with few calls where they are small.
    pub fn reader(&self) -> PackReader<'_> {
        PackReader {
            pack: self,
            buffer: Vec::new(),
            buffered: 0..0,
        }
    }

    /// The SHA-256 of the file of this number, as the table on disk has it.
    ///
    /// # Errors
    /// What `pread` gives; `NotFound` where there is no such file.
    pub(crate) fn digest(&self, number: u32) -> io::Result<[u8; 32]> {
        let record = self.table.record(number).ok_or(io::ErrorKind::NotFound)?;
        let mut digest = [0; 32];
        let at = self.trailer.digest_offset(record);
        self.file.read_exact_at(&mut digest, at)?;
        Ok(digest)
    }

    /// The numbers of all files, in the order of their contents.
    pub(crate) fn files_in_order(&self) -> Vec<u32> {
        let offset = |number: &u32| match self.table.kind(*number) {
            Some(NodeKind::File { offset, .. }) => Some(offset),
            _ => None,
        };
        let mut numbers: Vec<u32> = (0..self.table.len())
            .filter(|number| offset(number).is_some())
            .collect();
        numbers.sort_by_key(offset);
        numbers
    }

    /// Reads the file of this number and compares its SHA-256 with the table's.
    ///
    /// # Errors
    /// [`StoreError::PackFile`] where they differ or it cannot be read whole.
    pub fn verify_file(&self, number: u32) -> Result<(), StoreError> {
        let checked = self.digest(number).is_ok_and(|expected| {
            self.file_span(number)
                .and_then(|(offset, size)| digest_span(&self.file, offset, size))
                .is_ok_and(|actual| actual == expected)
        });
        if checked {
            Ok(())
        } else {
            Err(StoreError::PackFile {
                pack: self.id,
                file: self.table.path(number).unwrap_or_default(),
            })
        }
    }
}

/// Reads the files of a pack ahead: most packs are read whole by one call.
#[derive(Debug)]
pub struct PackReader<'a> {
    pack: &'a Pack,
    buffer: Vec<u8>,
    /// Which bytes of the pack are in the buffer.
    buffered: std::ops::Range<u64>,
}

impl PackReader<'_> {
    /// Writes the content of the file of this number to `target`.
    ///
    /// # Errors
    /// As [`Pack::read_at`], and what writing gives.
    pub fn copy(&mut self, number: u32, mut target: impl Write) -> io::Result<()> {
        let (mut offset, mut left) = self.pack.file_span(number)?;
        while left > 0 {
            if !self.buffered.contains(&offset) {
                self.fill(offset, left)?;
            }
            let start = (offset - self.buffered.start) as usize;
            let length = (self.buffered.end - offset).min(left);
            target.write_all(&self.buffer[start..start + length as usize])?;
            offset += length;
            left -= length;
        }
        Ok(())
    }

    /// Reads on from `offset`, where `wanted` bytes are needed. Who jumps about gets little more.
    fn fill(&mut self, offset: u64, wanted: u64) -> io::Result<()> {
        let end = self.pack.trailer.table_offset;
        let reads_on = offset == self.buffered.end;
        let most = match reads_on {
            true => READ_AHEAD_BYTES,
            false => wanted.clamp(JUMP_BYTES, READ_AHEAD_BYTES),
        };
        let length = end.saturating_sub(offset).min(most);
        if length == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        self.buffer.resize(length as usize, 0);
        self.buffered = 0..0;
        self.pack.file.read_exact_at(&mut self.buffer, offset)?;
        self.buffered = offset..offset + length;
        Ok(())
    }
}

impl AsFd for Pack {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.file.as_fd()
    }
}

fn read_end(path: &Path, id: PackId) -> Result<End, StoreError> {
    let damaged = |source| StoreError::Pack { pack: id, source };
    let unread = |source: io::Error| StoreError::Io {
        action: "read the pack",
        path: path.to_path_buf(),
        source,
    };
    let file = match sys::store::open_no_follow(path) {
        Ok(file) => file,
        Err(error) if sys::store::is_not_regular_refusal(&error) => {
            return Err(damaged(FormatError::NotRegular));
        }
        Err(error) => return Err(unread(error)),
    };
    let attributes = file.metadata().map_err(unread)?;
    if !attributes.is_file() {
        return Err(damaged(FormatError::NotRegular));
    }
    let length = attributes.len();
    if length < TRAILER_BYTES as u64 {
        return Err(damaged(FormatError::Truncated));
    }
    let tail_length = length.min(TAIL_BYTES);
    let mut tail = vec![0; tail_length as usize];
    file.read_exact_at(&mut tail, length - tail_length)
        .map_err(unread)?;
    let trailer_bytes = tail
        .last_chunk()
        .expect("invariant: the tail holds a trailer");
    let trailer = Trailer::parse(trailer_bytes, length).map_err(damaged)?;
    if trailer.digest != id.0 {
        return Err(damaged(FormatError::OtherPack));
    }
    // `parse` has bounded the table's length by the file's and by TABLE_BYTES_MAX.
    let table_length = trailer.table_length as usize;
    let before_trailer = tail.len() - TRAILER_BYTES;
    let table = if table_length <= before_trailer {
        tail.truncate(before_trailer);
        tail.split_off(before_trailer - table_length)
    } else {
        let mut table = Vec::new();
        table
            .try_reserve_exact(table_length)
            .map_err(|_| unread(io::ErrorKind::OutOfMemory.into()))?;
        table.resize(table_length, 0);
        file.read_exact_at(&mut table, trailer.table_offset)
            .map_err(unread)?;
        table
    };
    if Sha256::digest(&table)[..] != trailer.digest {
        return Err(damaged(FormatError::TableDigest));
    }
    Ok(End {
        file,
        trailer,
        table,
    })
}

/// What a pack says of itself, and its files.
pub(crate) struct PackSummary {
    pub(crate) key: PackageKey,
    pub(crate) facts: PackageFacts,
    pub(crate) files: Vec<FileEntry>,
    file: File,
    id: PackId,
}

impl PackSummary {
    /// Reads everything of the pack but the contents.
    pub(crate) fn read(path: &Path, id: PackId) -> Result<Self, StoreError> {
        let end = read_end(path, id)?;
        let damaged = |source| StoreError::Pack { pack: id, source };
        let view = TableView::parse(&end.table, end.trailer.table_offset).map_err(damaged)?;
        let (key, facts) = decode_metadata(view.metadata()).map_err(damaged)?;
        let mut files = Vec::with_capacity(view.len());
        for file in view.files() {
            files.push(FileEntry {
                path: RelativePath::new(file.path)
                    .map_err(|reason| damaged(FormatError::Path(reason)))?,
                executable: file.executable,
                size: file.size,
                offset: file.offset,
                digest: *file.digest,
            });
        }
        Ok(Self {
            key,
            facts,
            files,
            file: end.file,
            id,
        })
    }

    /// Compares every content with its digest and gives the paths of those that differ.
    pub(crate) fn damaged_files(&self) -> Vec<String> {
        self.files
            .iter()
            .filter(|file| {
                !digest_span(&self.file, file.offset, file.size)
                    .is_ok_and(|actual| actual == file.digest)
            })
            .map(|file| file.path.as_str().to_owned())
            .collect()
    }

    /// Compares every content with its digest.
    pub(crate) fn check_contents(&self) -> Result<(), StoreError> {
        match self.damaged_files().into_iter().next() {
            None => Ok(()),
            Some(file) => Err(StoreError::PackFile {
                pack: self.id,
                file,
            }),
        }
    }
}

fn digest_span(file: &File, offset: u64, size: u64) -> io::Result<[u8; 32]> {
    let mut hasher = Sha256::new();
    let mut buffer = vec![0; CHUNK_BYTES.min(usize::try_from(size).unwrap_or(CHUNK_BYTES))];
    let mut done = 0;
    while done < size {
        let length = buffer.len().min((size - done) as usize);
        file.read_exact_at(&mut buffer[..length], offset + done)?;
        hasher.update(&buffer[..length]);
        done += length as u64;
    }
    Ok(hasher.finalize().into())
}
