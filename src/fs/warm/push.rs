//! Contents that the kernel gets without having asked.
//!
//! Only of files that nobody has written to, and of which the kernel has nothing yet: it takes what
//! it gets for newer than what it has. Where a file was written to meanwhile, the kernel is made to
//! forget its pages.

use std::fs::File;
use std::io::{self, IoSlice, Write};

use super::contents::Contents;
use crate::fs::adapter::Invalidator;
use crate::fs::node::Node;
use crate::fs::vfs::Vfs;

/// `FUSE_NOTIFY_STORE` (`include/uapi/linux/fuse.h`).
const NOTIFY_STORE: i32 = 4;

/// Bytes of `struct fuse_out_header` and `struct fuse_notify_store_out`.
const HEADER_BYTES: usize = 16 + 24;

/// Bytes of one message: whole pages, because the kernel believes a part of one only at the end
/// of the file.
const CHUNK_BYTES: u32 = 256 << 10;

/// What came of a push.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Pushed {
    /// The kernel has it, or it cannot be pushed.
    Done,
    /// The kernel does not know the file.
    Unknown,
}

/// The device, and what is pushed to it.
pub(super) struct Pusher<'vfs> {
    pub(super) device: &'vfs File,
    pub(super) invalidator: &'vfs Invalidator,
    pub(super) vfs: &'vfs Vfs,
    pub(super) contents: &'vfs Contents,
    pub(super) root: u32,
    pub(super) buffer: Vec<u8>,
}

impl Pusher<'_> {
    /// Pushes a file's contents. A file that the kernel does not know, that cannot be read or that
    /// was written to is passed over.
    ///
    /// # Errors
    /// When the mount is gone.
    pub(super) fn push(&mut self, node: Node) -> io::Result<Pushed> {
        self.push_up_to(node, u64::MAX)
    }

    /// As [`Self::push`], unless the file has more bytes than `bytes_max`.
    ///
    /// # Errors
    /// As [`Self::push`].
    pub(super) fn push_up_to(&mut self, node: Node, bytes_max: u64) -> io::Result<Pushed> {
        let Ok(attributes) = self.vfs.attributes(node) else {
            return Ok(Pushed::Done);
        };
        let id = node.to_id(self.root);
        if attributes.size > bytes_max || !self.contents.claim(id) {
            return Ok(Pushed::Done);
        }
        let pushed = self.push_all(node, id, attributes.size);
        let is_known = !matches!(pushed, Ok(Pushed::Unknown));
        self.contents.release(id, is_known);
        pushed
    }

    /// Pushes a file that was claimed.
    fn push_all(&mut self, node: Node, id: u64, bytes: u64) -> io::Result<Pushed> {
        let mut offset = 0;
        while offset < bytes {
            let read = self.vfs.read(node, offset, CHUNK_BYTES, &mut self.buffer);
            let can = self.vfs.is_untouched(node) && self.contents.is_claimed(id);
            if read.is_err() || self.buffer.is_empty() || !can {
                break;
            }
            match store(self.device, id, offset, &self.buffer) {
                Err(error) if error.kind() == io::ErrorKind::NotFound => {
                    return Ok(Pushed::Unknown);
                }
                other => other?,
            }
            if !self.vfs.is_untouched(node) {
                self.invalidator.node(id)?;
                break;
            }
            offset += self.buffer.len() as u64;
        }
        Ok(Pushed::Done)
    }
}

fn store(mut device: &File, id: u64, offset: u64, data: &[u8]) -> io::Result<()> {
    let too_large = |_| io::Error::from(io::ErrorKind::InvalidInput);
    let size = u32::try_from(data.len()).map_err(too_large)?;
    let mut header = [0; HEADER_BYTES];
    header[0..4].copy_from_slice(&(size + HEADER_BYTES as u32).to_ne_bytes());
    header[4..8].copy_from_slice(&NOTIFY_STORE.to_ne_bytes());
    header[16..24].copy_from_slice(&id.to_ne_bytes());
    header[24..32].copy_from_slice(&offset.to_ne_bytes());
    header[32..36].copy_from_slice(&size.to_ne_bytes());
    device
        .write_vectored(&[IoSlice::new(&header), IoSlice::new(data)])
        .map(drop)
}
