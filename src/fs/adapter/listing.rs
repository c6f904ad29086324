//! Listings that make the kernel know directories only.
//!
//! An answer to READDIRPLUS makes the kernel know every entry, which costs it about 5 µs an entry
//! (measured: two thirds of a `find` over 52,000 entries). Programs that list a directory and then
//! ask about its files gain by it: each question would be a message. Those that only want names,
//! as `find` and globs do, lose. So a listing names files without making them known, until
//! somebody asks about a file of a directory listed that way; then the next listings make
//! everything known. What was written is always made known: after a write the kernel asks for the
//! attributes of each file, unless a listing has told it before.
//!
//! An entry with node id 0 is shown and not made known (`fs/fuse/readdir.c`,
//! `fuse_direntplus_link`). `fuser` takes the id of the node and the number that programs see from
//! one value, so such an answer is written here, in the form of `include/uapi/linux/fuse.h`:
//!
//! ```text
//! u32 length, i32 error, u64 unique, then for each entry
//! u64 node, generation, entry valid s, attributes valid s, u32 entry valid ns,
//! u32 attributes valid ns,
//! u64 inode, size, blocks, atime, mtime, ctime, u32 atime ns, mtime ns, ctime ns, mode, links,
//! uid, gid, device, block size, flags,
//! u64 inode, u64 next offset, u32 name length, u32 type, name, zeros up to a multiple of 8
//! ```

use std::ffi::OsStr;
use std::fs::File;
use std::io::{self, Write};
use std::ops::ControlFlow;
use std::os::unix::ffi::OsStrExt;
use std::sync::atomic::{AtomicU32, AtomicU64, AtomicUsize, Ordering};
use std::time::SystemTime;

use fuser::{Errno, FileAttr, Generation, INodeNo, ReplyDirectoryPlus};

use super::convert::{from_system, mode};
use super::{Serving, YEAR};
use crate::fs::attributes::{Attributes, Kind};
use crate::fs::node::Node;
use crate::fs::vfs_error::VfsError;

/// What of its log a server writes down: not that `fuser` could not answer what is answered here.
pub const LOG_FILTER: &str = "warn,fuser::reply=off";

/// Bytes of the header of an answer.
const HEADER_BYTES: usize = 16;

/// Bytes of what is said of an entry's node.
const NODE_BYTES: usize = 128;

/// Directories of which it is remembered that their files were not made known.
const REMEMBERED: usize = 32;

/// Listings that make everything known after somebody asked about a file.
const LISTINGS_AFTER_QUESTION: u32 = 256;

/// What is known of the interest in the files of listed directories.
#[derive(Debug, Default)]
pub(super) struct Interest {
    directories: [AtomicU64; REMEMBERED],
    next: AtomicUsize,
    listings: AtomicU32,
}

impl Interest {
    /// Whether a listing of `directory` shall make its files known.
    pub(super) fn in_files_of(&self, directory: u64) -> bool {
        let one_less = |left: u32| left.checked_sub(1);
        let wanted = self
            .listings
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, one_less);
        if wanted.is_err() {
            let place = self.next.fetch_add(1, Ordering::Relaxed) % REMEMBERED;
            self.directories[place].store(directory, Ordering::Relaxed);
        }
        wanted.is_ok()
    }

    /// Somebody asked about an entry of `directory` that is no directory.
    pub(super) fn asked(&self, directory: u64) {
        let mut remembered = self.directories.iter();
        if remembered.any(|known| known.load(Ordering::Relaxed) == directory) {
            self.listings
                .store(LISTINGS_AFTER_QUESTION, Ordering::Relaxed);
        }
    }
}

/// The bytes of an answer.
#[derive(Debug)]
pub(super) struct Listing(Vec<u8>);

impl Listing {
    pub(super) fn new() -> Self {
        Self(vec![0; HEADER_BYTES])
    }

    /// Adds an entry, of which `cookie` is the offset of the next one.
    pub(super) fn add(&mut self, attr: &FileAttr, is_known: bool, cookie: u64, name: &[u8]) {
        if is_known {
            self.node(attr);
        } else {
            self.0.resize(self.0.len() + NODE_BYTES, 0);
        }
        self.words(&[attr.ino.0, cookie]);
        let length = u32::try_from(name.len()).unwrap_or(u32::MAX);
        self.halves(&[length, mode(attr) >> 12]);
        self.0.extend_from_slice(name);
        self.0.resize(self.0.len().next_multiple_of(8), 0);
    }

    fn node(&mut self, attr: &FileAttr) {
        let (year, inode) = (YEAR.as_secs(), attr.ino.0);
        self.words(&[inode, 0, year, year]);
        self.halves(&[0, 0]);
        let times = [attr.atime, attr.mtime, attr.ctime].map(since_epoch);
        self.words(&[inode, attr.size, attr.blocks]);
        self.words(&times.map(|(seconds, _)| seconds));
        self.halves(&times.map(|(_, nanoseconds)| nanoseconds));
        self.halves(&[mode(attr), attr.nlink, attr.uid, attr.gid]);
        self.halves(&[attr.rdev, attr.blksize, 0]);
    }

    fn words(&mut self, words: &[u64]) {
        for word in words {
            self.0.extend_from_slice(&word.to_ne_bytes());
        }
    }

    fn halves(&mut self, halves: &[u32]) {
        for half in halves {
            self.0.extend_from_slice(&half.to_ne_bytes());
        }
    }

    /// Answers the request that has this number.
    ///
    /// # Errors
    /// When the kernel does not take it.
    pub(super) fn send(mut self, mut device: &File, unique: u64) -> io::Result<()> {
        let length = u32::try_from(self.0.len()).unwrap_or(u32::MAX);
        self.0[..4].copy_from_slice(&length.to_ne_bytes());
        self.0[8..HEADER_BYTES].copy_from_slice(&unique.to_ne_bytes());
        device.write_all(&self.0)
    }
}

impl Serving {
    /// Answers READDIRPLUS, or gives the reply back.
    pub(super) fn list(
        &self,
        request: &fuser::Request,
        id: INodeNo,
        offset: u64,
        mut reply: ReplyDirectoryPlus,
    ) -> Result<(), (VfsError, ReplyDirectoryPlus)> {
        let is_walker = self.adapter.touches.is_walker(request.pid());
        if is_walker && let Some(selected) = self.adapter.touches.selections.at(offset) {
            return self.show(id, &selected, reply);
        }
        let streams = &self.adapter.touches.streams;
        // What the walker lists to the end is kept; what of it shall be known it asks for.
        let is_full = !is_walker && (streams.is_on() || self.interest.in_files_of(id.0));
        let mut names = Listing::new();
        let mut files = Vec::new();
        let shown = self.node(id).and_then(|node| {
            self.adapter.vfs.read_directory(node, offset, &mut |entry| {
                let (attr, cookie) = (self.attr(&entry.attributes), entry.cookie);
                let name = OsStr::from_bytes(entry.name);
                // It alone knows how much fits, which is the same for both answers.
                let ttl = self.entry_ttl(id, name);
                if reply.add(attr.ino, cookie, name, &ttl, &attr, Generation(0)) {
                    return ControlFlow::Break(());
                }
                if is_installed_file(&entry.attributes) {
                    files.push(attr.ino.0);
                }
                if !is_full {
                    let is_known = ttl == YEAR && is_known(&entry.attributes);
                    names.add(&attr, is_known, cookie, entry.name);
                }
                ControlFlow::Continue(())
            })
        });
        if let Err(error) = shown {
            return Err((error, reply));
        }
        if is_full {
            reply.ok();
        } else {
            let sent = names.send(&self.device, request.unique().0);
            // What is answered already cannot be answered again; where it is not, this does.
            reply.error(sent.map_or(Errno::EIO, |()| Errno::EALREADY));
        }
        if !is_walker {
            streams.listed(files);
        }
        Ok(())
    }

    /// Shows what the walker has chosen of a directory, as far as there is room.
    fn show(
        &self,
        id: INodeNo,
        selected: &[(Box<str>, u64)],
        mut reply: ReplyDirectoryPlus,
    ) -> Result<(), (VfsError, ReplyDirectoryPlus)> {
        let node = match self.node(id) {
            Ok(node) => node,
            Err(error) => return Err((error, reply)),
        };
        for (name, cookie) in selected {
            let attr = match self.adapter.vfs.lookup(node, name.as_bytes()) {
                Ok(Some(found)) => self.attr(&found),
                Ok(None) => continue,
                Err(error) => return Err((error, reply)),
            };
            let name = OsStr::new(&**name);
            let ttl = self.entry_ttl(id, name);
            if reply.add(attr.ino, *cookie, name, &ttl, &attr, Generation(0)) {
                break;
            }
        }
        reply.ok();
        Ok(())
    }
}

/// Whether it is a file of what is installed that has contents.
fn is_installed_file(attributes: &Attributes) -> bool {
    let is_lower = attributes.node.is_lower();
    is_lower && attributes.kind == Kind::File && attributes.size > 0
}

/// Whether a listing makes an entry known, whoever lists. Of what was written the kernel knows the
/// node and not what the last write made of its size and times.
fn is_known(attributes: &Attributes) -> bool {
    attributes.kind == Kind::Directory || matches!(attributes.node, Node::Upper(_))
}

/// As two's complement, which is how the kernel reads it.
fn since_epoch(time: SystemTime) -> (u64, u32) {
    let time = from_system(time);
    (time.seconds.cast_unsigned(), time.nanoseconds)
}

#[cfg(test)]
mod tests {
    use std::time::UNIX_EPOCH;

    use fuser::FileType;

    use super::*;

    fn attr(kind: FileType) -> FileAttr {
        FileAttr {
            ino: INodeNo(7),
            kind,
            perm: 0o755,
            ..super::super::convert::missing()
        }
    }

    #[test]
    fn everything_is_made_known_after_a_question_and_not_for_ever() {
        let interest = Interest::default();
        assert!(!interest.in_files_of(1));
        interest.asked(2);
        assert!(!interest.in_files_of(3));
        interest.asked(1);
        for _ in 0..LISTINGS_AFTER_QUESTION {
            assert!(interest.in_files_of(4));
        }
        assert!(!interest.in_files_of(5));
    }

    #[test]
    fn only_what_is_made_known_has_a_node_and_all_have_an_inode_number() {
        for (is_known, node) in [(true, 7), (false, 0)] {
            let mut listing = Listing::new();
            listing.add(&attr(FileType::RegularFile), is_known, 9, b"name");
            let bytes = &listing.0;
            let word = |at: usize| u64::from_ne_bytes(bytes[at..at + 8].try_into().unwrap());
            assert_eq!(bytes.len(), HEADER_BYTES + NODE_BYTES + 24 + 8);
            assert_eq!(word(HEADER_BYTES), node);
            let entry = HEADER_BYTES + NODE_BYTES;
            assert_eq!((word(entry), word(entry + 8)), (7, 9));
            assert_eq!(bytes[entry + 24..], *b"name\0\0\0\0");
        }
    }

    #[test]
    fn times_before_the_epoch_are_negative_for_the_kernel() {
        let before = UNIX_EPOCH - std::time::Duration::from_secs(2);
        assert_eq!(since_epoch(before), ((-2_i64).cast_unsigned(), 0));
    }
}
