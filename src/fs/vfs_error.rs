//! Why the file system refuses.

use std::io;

/// Why a question has no answer, or a change is not made.
#[derive(Debug, thiserror::Error)]
pub enum VfsError {
    /// No node has this id.
    #[error("no such node")]
    Stale,
    /// Nothing has this name.
    #[error("no such entry")]
    NotFound,
    /// Something has this name already.
    #[error("it exists already")]
    Exists,
    /// The node is not a directory.
    #[error("not a directory")]
    NotDirectory,
    /// The node is a directory.
    #[error("is a directory")]
    IsDirectory,
    /// The directory has entries.
    #[error("the directory is not empty")]
    NotEmpty,
    /// The node is not a symlink.
    #[error("not a symlink")]
    NotSymlink,
    /// The mode does not allow it.
    #[error("permission denied")]
    Denied,
    /// Nobody may do this.
    #[error("not permitted")]
    NotPermitted,
    /// The name is longer than [`crate::limits::NAME_BYTES_MAX`].
    #[error("name too long")]
    NameTooLong,
    /// What was asked for makes no sense.
    #[error("invalid")]
    Invalid,
    /// The name is one that the upper layer keeps for itself.
    #[error("the name is reserved")]
    Reserved,
    /// There is no such extended attribute.
    #[error("no such attribute")]
    NoAttribute,
    /// Such an attribute cannot be kept.
    #[error("not supported")]
    Unsupported,
    /// Nothing is beyond this offset.
    #[error("nothing is there")]
    NoData,
    /// The journal of the upper layer cannot be read, so nothing may be written.
    #[error("the mount is read-only")]
    ReadOnly,
    /// The pack cannot be read.
    #[error("a pack cannot be read")]
    Pack(#[source] io::Error),
    /// The directory under the mount refuses.
    #[error("the upper layer cannot be read or written")]
    Upper(#[source] io::Error),
}

impl VfsError {
    /// Whether there is no room for it.
    pub(super) fn is_full(&self) -> bool {
        matches!(self, Self::Upper(error) if is_full(error))
    }
}

/// Whether a file system, or the user's part of it, has no room.
pub(super) fn is_full(error: &io::Error) -> bool {
    [io::ErrorKind::StorageFull, io::ErrorKind::QuotaExceeded].contains(&error.kind())
}

impl From<rustix::io::Errno> for VfsError {
    fn from(errno: rustix::io::Errno) -> Self {
        Self::Upper(errno.into())
    }
}

impl From<io::Error> for VfsError {
    fn from(error: io::Error) -> Self {
        Self::Upper(error)
    }
}
