//! Contents that the kernel gets without having asked.
//!
//! Only of files that nobody has written to: the kernel takes what it gets for newer than what it
//! has. Where a file was written to meanwhile, the kernel is made to forget its pages.

use std::fs::File;
use std::io::{self, IoSlice, Write};

use crate::fs::node::Node;
use crate::fs::vfs::Vfs;

/// `FUSE_NOTIFY_STORE` (`include/uapi/linux/fuse.h`).
const NOTIFY_STORE: i32 = 4;

/// `FUSE_NOTIFY_INVAL_INODE`.
const NOTIFY_INVAL_INODE: i32 = 2;

/// Bytes of `struct fuse_out_header` and `struct fuse_notify_inval_inode_out`.
const FORGET_BYTES: usize = 16 + 24;

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
    pub(super) vfs: &'vfs Vfs,
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
        if attributes.size > bytes_max || !self.vfs.is_untouched(node) {
            return Ok(Pushed::Done);
        }
        let id = node.to_id(self.root);
        let mut offset = 0;
        while offset < attributes.size {
            let read = self.vfs.read(node, offset, CHUNK_BYTES, &mut self.buffer);
            if read.is_err() || self.buffer.is_empty() || !self.vfs.is_untouched(node) {
                break;
            }
            match store(self.device, id, offset, &self.buffer) {
                Err(error) if error.kind() == io::ErrorKind::NotFound => {
                    return Ok(Pushed::Unknown);
                }
                other => other?,
            }
            if !self.vfs.is_untouched(node) {
                forget_pages(self.device, id)?;
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

/// Makes the kernel ask anew for all of a file.
fn forget_pages(mut device: &File, id: u64) -> io::Result<()> {
    let mut message = [0; FORGET_BYTES];
    message[0..4].copy_from_slice(&(FORGET_BYTES as u32).to_ne_bytes());
    message[4..8].copy_from_slice(&NOTIFY_INVAL_INODE.to_ne_bytes());
    // From offset 0 on, and no length: to the end.
    message[16..24].copy_from_slice(&id.to_ne_bytes());
    match device.write_all(&message) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        other => other,
    }
}
