//! What `stat` says, and how one directory entry is shown.

use super::node::Node;
use crate::store::PackId;

/// All times of directories in packages that nobody has changed: 1985-10-26 08:15:00 UTC, which npm
/// gives to everything that it publishes. Others have later ones, see [`Time::of_content`].
pub const FIXED_TIME: Time = Time {
    seconds: 499_162_500,
    nanoseconds: 0,
};

/// How many times there are for contents; they are spread over a little more than a year.
const CONTENT_TIMES: u32 = 1 << 24;

/// What is between two of them: archives of some kinds keep only every second second.
const CONTENT_STEP_SECONDS: i64 = 2;

/// Size that a directory claims, as ext4 has it.
const DIRECTORY_BYTES: u64 = 4096;

const BLOCK_BYTES: u64 = 512;

/// Whose something is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Owner {
    /// User id.
    pub uid: u32,
    /// Group id.
    pub gid: u32,
}

/// A point in time.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Time {
    /// Seconds since 1970, negative before.
    pub seconds: i64,
    /// Nanoseconds after that second.
    pub nanoseconds: u32,
}

impl Time {
    /// The time of what nobody has changed, by a number that stands for the content of the file,
    /// the target of the symlink or what the directory lists. Others have other times: programs
    /// that copy, sync, cache or watch (`rsync`, Metro, webpack) take what has the same size and
    /// time for the same. The same content has the same time everywhere.
    pub(super) fn of_content(number: u32) -> Self {
        let steps = i64::from(number % CONTENT_TIMES);
        Self {
            seconds: FIXED_TIME.seconds + steps * CONTENT_STEP_SECONDS,
            ..FIXED_TIME
        }
    }

    /// [`Self::of_content`] of a file that belongs to a pack.
    pub(super) fn of_pack(pack: &PackId) -> Self {
        let [first, second, third, fourth, ..] = pack.0;
        Self::of_content(u32::from_le_bytes([first, second, third, fourth]))
    }
}

/// What kind of node it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// A directory.
    Directory,
    /// A regular file.
    File,
    /// A symlink.
    Symlink,
    /// A named pipe.
    Fifo,
    /// A socket.
    Socket,
    /// A character device.
    CharacterDevice,
    /// A block device.
    BlockDevice,
}

/// What `stat` says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Attributes {
    /// The node.
    pub node: Node,
    /// Its kind.
    pub kind: Kind,
    /// Bytes.
    pub size: u64,
    /// Blocks of 512 bytes.
    pub blocks: u64,
    /// Permission bits, with set-user-ID, set-group-ID and sticky.
    pub mode: u16,
    /// Hard links.
    pub links: u32,
    /// Whose it is.
    pub owner: Owner,
    /// Number of a device.
    pub device: u32,
    /// When it was last read.
    pub accessed: Time,
    /// When its content last changed.
    pub modified: Time,
    /// When it itself last changed.
    pub changed: Time,
}

impl Attributes {
    fn installed(node: Node, kind: Kind, size: u64, mode: u16, owner: Owner) -> Self {
        Self {
            node,
            kind,
            size,
            blocks: size.div_ceil(BLOCK_BYTES),
            mode,
            links: 1,
            owner,
            device: 0,
            accessed: FIXED_TIME,
            modified: FIXED_TIME,
            changed: FIXED_TIME,
        }
    }

    /// The same with all times set to `time`.
    #[must_use]
    pub(super) fn at(self, time: Time) -> Self {
        Self {
            accessed: time,
            modified: time,
            changed: time,
            ..self
        }
    }

    /// Of an installed directory.
    pub(super) fn directory(node: Node, owner: Owner) -> Self {
        Self::installed(node, Kind::Directory, DIRECTORY_BYTES, 0o755, owner)
    }

    /// Of an installed file.
    pub(super) fn file(node: Node, size: u64, executable: bool, owner: Owner) -> Self {
        let mode = if executable { 0o755 } else { 0o644 };
        Self::installed(node, Kind::File, size, mode, owner)
    }

    /// Of an installed symlink to `target`.
    pub(super) fn symlink(node: Node, target: &[u8], owner: Owner) -> Self {
        let size = target.len() as u64;
        let found = Self::installed(node, Kind::Symlink, size, 0o777, owner);
        found.at(Time::of_content(crc32fast::hash(target)))
    }
}

/// An entry of a directory as `readdir` shows it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Entry<'name> {
    /// Its name.
    pub name: &'name [u8],
    /// Where reading goes on after it.
    pub cookie: u64,
    /// What `stat` says of it.
    pub attributes: Attributes,
}
