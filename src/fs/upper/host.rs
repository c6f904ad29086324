//! The real directory under the mount, by descriptor: every path is relative to it.
//!
//! **Architecture Invariant:** no symlink is followed in the last component of a path, and the
//! components before it are directories that this module made.

use std::fs::File;
use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::fs::FileExt;

use rustix::fs::{
    AtFlags, Dev, Dir, FileType, Gid, Mode, OFlags, RenameFlags, Stat, StatVfs, Timespec,
    Timestamps, Uid,
};
use rustix::io::Errno;

use crate::fs::attributes::{Attributes, Kind, Owner, Time};
use crate::fs::node::Node;
use crate::sys::fuse as sys;

/// What is made when something is created.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Made<'target> {
    /// A regular file.
    File,
    /// A directory.
    Directory,
    /// A symlink to this.
    Symlink(&'target [u8]),
    /// A named pipe.
    Fifo,
    /// A socket.
    Socket,
    /// A character device of this number.
    CharacterDevice(u32),
    /// A block device of this number.
    BlockDevice(u32),
}

/// The time that something is given.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NewTime {
    /// The one that it has.
    Keep,
    /// Now.
    Now,
    /// This one.
    At(Time),
}

impl NewTime {
    fn timespec(self) -> Timespec {
        let (tv_sec, tv_nsec) = match self {
            Self::Keep => (0, rustix::fs::UTIME_OMIT),
            Self::Now => (0, rustix::fs::UTIME_NOW),
            Self::At(time) => (time.seconds, time.nanoseconds.into()),
        };
        Timespec { tv_sec, tv_nsec }
    }
}

/// The directory.
pub(crate) struct Host {
    root: OwnedFd,
    /// Bits that this process takes from the mode of what it makes.
    umask: u32,
    /// Whose what it makes is.
    owner: Owner,
    /// Memory for the journal where there is no room here.
    spill: Option<File>,
}

/// An empty path is the directory itself.
fn named(path: &[u8]) -> &[u8] {
    if path.is_empty() { b"." } else { path }
}

/// The permission bits of `bits`.
fn mode(bits: u32) -> Mode {
    Mode::from_raw_mode(bits & 0o7777)
}

impl Host {
    pub(crate) fn new(root: OwnedFd, spill: Option<File>) -> Self {
        let umask = rustix::process::umask(Mode::empty());
        rustix::process::umask(umask);
        Self {
            root,
            umask: umask.bits(),
            owner: Owner {
                uid: rustix::process::geteuid().as_raw(),
                gid: rustix::process::getegid().as_raw(),
            },
            spill,
        }
    }

    /// Memory for the journal where there is no room here.
    pub(crate) fn spill(&self) -> Option<&File> {
        self.spill.as_ref()
    }

    /// Whose what it makes is.
    pub(crate) fn owner(&self) -> Owner {
        self.owner
    }

    pub(crate) fn stat(&self, path: &[u8]) -> Result<Stat, Errno> {
        rustix::fs::statat(&self.root, named(path), AtFlags::SYMLINK_NOFOLLOW)
    }

    pub(crate) fn statfs(&self) -> Result<StatVfs, Errno> {
        rustix::fs::fstatvfs(&self.root)
    }

    /// Makes something at `path` with this mode for `owner`, and returns it open where it is a
    /// file. Where its set-group-ID bit says so, a directory's group goes to what is made in it.
    pub(crate) fn make(
        &self,
        path: &[u8],
        made: Made<'_>,
        bits: u32,
        owner: Owner,
    ) -> Result<Option<File>, Errno> {
        let (root, bits) = (&self.root, bits & 0o7777);
        let device = |number: u32| {
            // The kernel's own encoding: 12 bits of major between 8 and 12 bits of minor.
            let (major, minor) = (
                (number & 0xf_ff00) >> 8,
                number & 0xff | number >> 12 & 0xf_ff00,
            );
            rustix::fs::makedev(major, minor)
        };
        let node = |kind, device: Dev| rustix::fs::mknodat(root, path, kind, mode(bits), device);
        let mut file = None;
        match made {
            Made::File => {
                let flags = OFlags::RDWR | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW;
                let opened = rustix::fs::openat(root, path, flags | OFlags::CLOEXEC, mode(bits));
                opened.map(|opened| file = Some(opened.into()))
            }
            Made::Directory => rustix::fs::mkdirat(root, path, mode(bits)),
            Made::Symlink(target) => rustix::fs::symlinkat(target, root, path),
            Made::Fifo => node(FileType::Fifo, 0),
            Made::Socket => node(FileType::Socket, 0),
            Made::CharacterDevice(number) => node(FileType::CharacterDevice, device(number)),
            Made::BlockDevice(number) => node(FileType::BlockDevice, device(number)),
        }?;
        let adopted = self.adopt(path, made, bits, owner);
        if adopted.is_err() {
            let _ = self.remove(path, made == Made::Directory);
        }
        adopted.map(|()| file)
    }

    fn adopt(&self, path: &[u8], made: Made<'_>, bits: u32, owner: Owner) -> Result<(), Errno> {
        let own = owner == self.owner;
        // Only root can give files away.
        if !own && self.owner.uid == 0 {
            let parent = path.iter().rposition(|byte| *byte == b'/').unwrap_or(0);
            let parent = self.stat(&path[..parent])?;
            let inherited = parent.st_mode & Mode::SGID.bits() != 0;
            let gid = if inherited { parent.st_gid } else { owner.gid };
            self.set_owner(path, Some(owner.uid), Some(gid))?;
        }
        if !matches!(made, Made::Symlink(_)) && (bits & self.umask != 0 || !own && bits > 0o777) {
            self.set_mode(path, bits)?;
        }
        Ok(())
    }

    /// Opens the regular file at `path` for reading and writing, whatever its mode is.
    pub(crate) fn open(&self, path: &[u8]) -> Result<File, Errno> {
        let flags = OFlags::RDWR | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
        let open = || rustix::fs::openat(&self.root, path, flags, Mode::empty());
        match open() {
            Ok(file) => Ok(file.into()),
            // The kernel has checked who may do what; its mode does not bind this process.
            Err(Errno::ACCESS) => {
                let bits = self.stat(path)?.st_mode & 0o7777;
                self.set_mode(path, bits | 0o600)?;
                let opened = open();
                self.set_mode(path, bits)?;
                Ok(opened?.into())
            }
            Err(Errno::ROFS) => self.open_to_read(path),
            Err(error) => Err(error),
        }
    }

    /// Opens the directory at `path`.
    pub(crate) fn open_directory(&self, path: &[u8]) -> Result<OwnedFd, Errno> {
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        rustix::fs::openat(&self.root, named(path), flags, Mode::empty())
    }

    /// Opens the file at `path` to read it.
    pub(crate) fn open_to_read(&self, path: &[u8]) -> Result<File, Errno> {
        let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
        Ok(rustix::fs::openat(&self.root, path, flags, Mode::empty())?.into())
    }

    /// Whether nothing can be written, because its file system is mounted read-only.
    pub(crate) fn is_read_only(&self) -> io::Result<bool> {
        sys::is_read_only(&self.root)
    }

    /// Opens the file at `path` to add to it, and makes it where it is missing.
    pub(crate) fn open_journal(&self, path: &[u8]) -> Result<File, Errno> {
        let flags = OFlags::RDWR | OFlags::CREATE | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        Ok(rustix::fs::openat(&self.root, path, flags, mode(0o600))?.into())
    }

    /// The names in the directory at `path`, with what `stat` says of each.
    pub(crate) fn list(&self, path: &[u8]) -> Result<Vec<(Box<[u8]>, Stat)>, Errno> {
        let directory = self.open_directory(path)?;
        let mut found = Vec::new();
        for entry in Dir::read_from(&directory)? {
            let entry = entry?;
            let name = entry.file_name();
            if name.to_bytes() == b"." || name.to_bytes() == b".." {
                continue;
            }
            let stat = rustix::fs::statat(&directory, name, AtFlags::SYMLINK_NOFOLLOW)?;
            found.push((name.to_bytes().into(), stat));
        }
        Ok(found)
    }

    pub(crate) fn read_link(&self, path: &[u8]) -> Result<Vec<u8>, Errno> {
        let target = rustix::fs::readlinkat(&self.root, path, Vec::new())?;
        Ok(target.into_bytes())
    }

    /// Renames; what was at `to` is gone.
    pub(crate) fn rename(&self, from: &[u8], to: &[u8]) -> Result<(), Errno> {
        rustix::fs::renameat(&self.root, from, &self.root, to)
    }

    /// What is at one path comes to the other, and the other way round.
    pub(crate) fn exchange(&self, one: &[u8], other: &[u8]) -> Result<(), Errno> {
        let flags = RenameFlags::EXCHANGE;
        rustix::fs::renameat_with(&self.root, one, &self.root, other, flags)
    }

    pub(crate) fn link(&self, from: &[u8], to: &[u8]) -> Result<(), Errno> {
        rustix::fs::linkat(&self.root, from, &self.root, to, AtFlags::empty())
    }

    pub(crate) fn remove(&self, path: &[u8], directory: bool) -> Result<(), Errno> {
        let flags = if directory {
            AtFlags::REMOVEDIR
        } else {
            AtFlags::empty()
        };
        rustix::fs::unlinkat(&self.root, path, flags)
    }

    pub(crate) fn set_mode(&self, path: &[u8], bits: u32) -> Result<(), Errno> {
        rustix::fs::chmodat(&self.root, named(path), mode(bits), AtFlags::empty())
    }

    pub(crate) fn set_owner(
        &self,
        path: &[u8],
        uid: Option<u32>,
        gid: Option<u32>,
    ) -> Result<(), Errno> {
        let (uid, gid) = (uid.map(Uid::from_raw), gid.map(Gid::from_raw));
        let flags = AtFlags::SYMLINK_NOFOLLOW;
        rustix::fs::chownat(&self.root, named(path), uid, gid, flags)
    }

    pub(crate) fn set_times(
        &self,
        path: &[u8],
        accessed: NewTime,
        modified: NewTime,
    ) -> Result<(), Errno> {
        let times = Timestamps {
            last_access: accessed.timespec(),
            last_modification: modified.timespec(),
        };
        let flags = AtFlags::SYMLINK_NOFOLLOW;
        rustix::fs::utimensat(&self.root, named(path), &times, flags)
    }

    /// Does `change` to an entry of the directory at `path` without its times showing it.
    pub(crate) fn unseen<T, E: From<Errno>>(
        &self,
        path: &[u8],
        change: impl FnOnce() -> Result<T, E>,
    ) -> Result<T, E> {
        let before = self.stat(path)?;
        let changed = change()?;
        let (accessed, modified) = (accessed(&before), modified(&before));
        self.set_times(path, NewTime::At(accessed), NewTime::At(modified))?;
        Ok(changed)
    }

    /// Makes what the directory at `path` contains survive a power cut.
    pub(crate) fn sync_directory(&self, path: &[u8]) -> Result<(), Errno> {
        rustix::fs::fsync(self.open_directory(path)?)
    }
}

/// Writes all of `content` from `offset` on, or as much as fits.
pub(crate) fn write_at(file: &File, content: &[u8], offset: u64) -> io::Result<usize> {
    let mut written = 0;
    while written < content.len() {
        match file.write_at(&content[written..], offset + written as u64) {
            Ok(0) => break,
            Ok(count) => written += count,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(_) if written > 0 => break,
            Err(error) => return Err(error),
        }
    }
    Ok(written)
}

/// Fills `buffer` from `offset` on; shorter where the file ends.
pub(crate) fn read_at(file: &File, buffer: &mut Vec<u8>, offset: u64) -> io::Result<()> {
    let mut read = 0;
    while read < buffer.len() {
        match file.read_at(&mut buffer[read..], offset + read as u64) {
            Ok(0) => break,
            Ok(count) => read += count,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    buffer.truncate(read);
    Ok(())
}

pub(crate) fn kind(stat: &Stat) -> Kind {
    match FileType::from_raw_mode(stat.st_mode) {
        FileType::Directory => Kind::Directory,
        FileType::Symlink => Kind::Symlink,
        FileType::Fifo => Kind::Fifo,
        FileType::Socket => Kind::Socket,
        FileType::CharacterDevice => Kind::CharacterDevice,
        FileType::BlockDevice => Kind::BlockDevice,
        FileType::RegularFile | FileType::Unknown => Kind::File,
    }
}

// The types of these fields differ from one architecture to another.
#[allow(clippy::unnecessary_cast, clippy::cast_lossless)]
pub(crate) fn accessed(stat: &Stat) -> Time {
    Time {
        seconds: stat.st_atime as i64,
        nanoseconds: stat.st_atime_nsec as u32,
    }
}

#[allow(clippy::unnecessary_cast, clippy::cast_lossless)]
pub(crate) fn modified(stat: &Stat) -> Time {
    Time {
        seconds: stat.st_mtime as i64,
        nanoseconds: stat.st_mtime_nsec as u32,
    }
}

/// What `stat` says, as the attributes of `node`. Directories have one link, as everywhere in the
/// tree.
#[allow(clippy::unnecessary_cast, clippy::cast_lossless)]
pub(crate) fn attributes(stat: &Stat, node: Node) -> Attributes {
    let kind = kind(stat);
    let links = match kind {
        Kind::Directory => 1,
        _ => u32::try_from(stat.st_nlink).unwrap_or(u32::MAX),
    };
    let device = stat.st_rdev as u64;
    let (major, minor) = (rustix::fs::major(device), rustix::fs::minor(device));
    Attributes {
        node,
        kind,
        size: u64::try_from(stat.st_size).unwrap_or(0),
        blocks: u64::try_from(stat.st_blocks).unwrap_or(0),
        mode: (stat.st_mode & 0o7777) as u16,
        links,
        owner: Owner {
            uid: stat.st_uid,
            gid: stat.st_gid,
        },
        device: minor & 0xff | major << 8 | (minor & !0xff) << 12,
        accessed: accessed(stat),
        modified: modified(stat),
        changed: Time {
            seconds: stat.st_ctime as i64,
            nanoseconds: stat.st_ctime_nsec as u32,
        },
    }
}
