//! What the kernel sends and gets, and what the file system calls it.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use fuser::{
    Errno, FileAttr, FileHandle, FileType, FopenFlags, INodeNo, OpenAccMode, OpenFlags, TimeOrNow,
};

use super::PAST_CACHE;
use crate::fs::attributes::{Attributes, Kind, Time};
use crate::fs::upper::{Made, NewTime};
use crate::fs::vfs_error::VfsError;
use crate::fs::vfs_files::{AttributeFlag, Sought};

/// What a file system of this kind reads and writes at once.
pub(super) const BLOCK_SIZE: u32 = 4096;

/// Bits of a mode that say what kind of file it is (`inode(7)`).
const KIND_BITS: u32 = 0o170_000;

pub(super) fn errno(error: &VfsError) -> Errno {
    match error {
        VfsError::Stale => Errno::ESTALE,
        VfsError::NotFound => Errno::ENOENT,
        VfsError::Exists => Errno::EEXIST,
        VfsError::NotDirectory => Errno::ENOTDIR,
        VfsError::IsDirectory => Errno::EISDIR,
        VfsError::NotEmpty => Errno::ENOTEMPTY,
        VfsError::NotSymlink | VfsError::Invalid => Errno::EINVAL,
        VfsError::NotPermitted => Errno::EPERM,
        VfsError::NameTooLong => Errno::ENAMETOOLONG,
        // Tools handle it where they do not handle EROFS.
        VfsError::Denied | VfsError::Reserved | VfsError::ReadOnly => Errno::EACCES,
        VfsError::NoAttribute => Errno::ENODATA,
        VfsError::Unsupported => Errno::EOPNOTSUPP,
        VfsError::NoData => Errno::ENXIO,
        VfsError::Pack(_) => Errno::EIO,
        VfsError::Upper(error) => error
            .raw_os_error()
            .map_or_else(|| of_kind(error.kind()), Errno::from_i32),
    }
}

fn of_kind(kind: std::io::ErrorKind) -> Errno {
    match kind {
        std::io::ErrorKind::StorageFull => Errno::ENOSPC,
        _ => Errno::EIO,
    }
}

pub(super) fn file_type(kind: Kind) -> FileType {
    match kind {
        Kind::Directory => FileType::Directory,
        Kind::File => FileType::RegularFile,
        Kind::Symlink => FileType::Symlink,
        Kind::Fifo => FileType::NamedPipe,
        Kind::Socket => FileType::Socket,
        Kind::CharacterDevice => FileType::CharDevice,
        Kind::BlockDevice => FileType::BlockDevice,
    }
}

/// What `mknod` with this mode makes; `None` where it makes nothing of the kind.
pub(super) fn made(mode: u32, device: u32) -> Option<Made<'static>> {
    match mode & KIND_BITS {
        0 | 0o100_000 => Some(Made::File),
        0o010_000 => Some(Made::Fifo),
        0o140_000 => Some(Made::Socket),
        0o020_000 => Some(Made::CharacterDevice(device)),
        0o060_000 => Some(Made::BlockDevice(device)),
        _ => None,
    }
}

/// How a file that was just made is opened for who said these flags (open(2)). Who only writes does
/// so past the page cache.
pub(super) fn opened(flags: i32) -> (FileHandle, FopenFlags) {
    let opened = FopenFlags::FOPEN_KEEP_CACHE | FopenFlags::FOPEN_NOFLUSH;
    match OpenFlags(flags).acc_mode() {
        OpenAccMode::O_WRONLY => (PAST_CACHE, opened | FopenFlags::FOPEN_DIRECT_IO),
        OpenAccMode::O_RDONLY | OpenAccMode::O_RDWR => (FileHandle(0), opened),
    }
}

/// What lseek(2) calls it.
pub(super) fn sought(whence: i32) -> Result<Sought, VfsError> {
    match whence {
        3 => Ok(Sought::Data),
        4 => Ok(Sought::Hole),
        _ => Err(VfsError::Invalid),
    }
}

/// What setxattr(2) calls it.
pub(super) fn attribute_flag(flags: i32) -> Result<AttributeFlag, VfsError> {
    match flags {
        0 => Ok(AttributeFlag::Any),
        1 => Ok(AttributeFlag::Create),
        2 => Ok(AttributeFlag::Replace),
        _ => Err(VfsError::Invalid),
    }
}

pub(super) fn new_time(time: Option<TimeOrNow>) -> NewTime {
    match time {
        None => NewTime::Keep,
        Some(TimeOrNow::Now) => NewTime::Now,
        Some(TimeOrNow::SpecificTime(time)) => NewTime::At(from_kernel(time)),
    }
}

/// A time that the kernel sent. Of one before 1970 `fuser` takes the nanoseconds away instead of
/// adding them.
fn from_kernel(time: SystemTime) -> Time {
    match time.duration_since(UNIX_EPOCH) {
        Ok(_) => from_system(time),
        Err(error) => Time {
            seconds: -i64::try_from(error.duration().as_secs()).unwrap_or(i64::MAX),
            nanoseconds: error.duration().subsec_nanos(),
        },
    }
}

pub(super) fn from_system(time: SystemTime) -> Time {
    match time.duration_since(UNIX_EPOCH) {
        Ok(since) => Time {
            seconds: i64::try_from(since.as_secs()).unwrap_or(i64::MAX),
            nanoseconds: since.subsec_nanos(),
        },
        Err(error) => {
            let before = error.duration();
            let seconds = i64::try_from(before.as_secs()).unwrap_or(i64::MAX);
            match before.subsec_nanos() {
                0 => Time {
                    seconds: -seconds,
                    nanoseconds: 0,
                },
                nanoseconds => Time {
                    seconds: -seconds - 1,
                    nanoseconds: 1_000_000_000 - nanoseconds,
                },
            }
        }
    }
}

fn to_system(time: Time) -> SystemTime {
    let nanoseconds = Duration::from_nanos(time.nanoseconds.into());
    let seconds = Duration::from_secs(time.seconds.unsigned_abs());
    let whole = if time.seconds < 0 {
        UNIX_EPOCH.checked_sub(seconds)
    } else {
        UNIX_EPOCH.checked_add(seconds)
    };
    let exact = whole.and_then(|whole| whole.checked_add(nanoseconds));
    exact.unwrap_or(UNIX_EPOCH)
}

/// `st_mode` of these attributes (`inode(7)`).
pub(super) fn mode(attr: &FileAttr) -> u32 {
    let kind = match attr.kind {
        FileType::NamedPipe => 0o010_000,
        FileType::CharDevice => 0o020_000,
        FileType::Directory => 0o040_000,
        FileType::BlockDevice => 0o060_000,
        FileType::RegularFile => 0o100_000,
        FileType::Symlink => 0o120_000,
        FileType::Socket => 0o140_000,
    };
    kind | u32::from(attr.perm)
}

/// The attributes as the kernel wants them.
pub(super) fn attr(attributes: &Attributes, root: u32) -> FileAttr {
    let modified = to_system(attributes.modified);
    FileAttr {
        ino: INodeNo(attributes.node.to_id(root)),
        size: attributes.size,
        blocks: attributes.blocks,
        atime: to_system(attributes.accessed),
        mtime: modified,
        ctime: to_system(attributes.changed),
        crtime: modified,
        kind: file_type(attributes.kind),
        perm: attributes.mode,
        nlink: attributes.links,
        uid: attributes.owner.uid,
        gid: attributes.owner.gid,
        rdev: attributes.device,
        blksize: BLOCK_SIZE,
        flags: 0,
    }
}

/// What makes the entry of a missing name: its id is 0.
pub(super) fn missing() -> FileAttr {
    FileAttr {
        ino: INodeNo(0),
        size: 0,
        blocks: 0,
        atime: UNIX_EPOCH,
        mtime: UNIX_EPOCH,
        ctime: UNIX_EPOCH,
        crtime: UNIX_EPOCH,
        kind: FileType::RegularFile,
        perm: 0,
        nlink: 0,
        uid: 0,
        gid: 0,
        rdev: 0,
        blksize: BLOCK_SIZE,
        flags: 0,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_come_back() {
        for (seconds, nanoseconds) in [(0, 0), (1, 5), (-1, 0), (-1, 999_999_999), (1 << 40, 1)] {
            let time = Time {
                seconds,
                nanoseconds,
            };
            assert_eq!(from_system(to_system(time)), time);
        }
    }
}
