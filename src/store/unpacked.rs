//! Unpacked copies: the files of a pack, each as a file of its own, for installs that link them.
//!
//! ```text
//! <store>/unpacked/<2 hex>/<62 hex>/
//!   0, 1, 2 …   the files of the pack, named by their numbers in its table
//!   stamp       when the copy was made, and under which boot
//! ```
//!
//! Programs write through hard links. Therefore every file of a copy has the same time of
//! modification, which the stamp has too: a file with another time, size or kind was changed, and
//! the whole copy is made anew from the pack. A copy of an earlier boot is compared with the pack's
//! digests before it is used, since a power cut may have taken its contents.
//!
//! **Architecture Invariant:** a copy appears by rename, whole, and is never repaired.

use std::fs::File;
use std::io::{self, Read, Write};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};

use rustix::fs::{
    AtFlags, FileType, Mode, OFlags, Stat, Timespec, Timestamps, fstat, futimens, open, openat,
    statat,
};
use sha2::{Digest, Sha256};

use super::PackId;
use super::error::StoreError;
use super::pack::Pack;
use super::table::NodeKind;
use super::write::{make_directories, remove_temporary, temporary_prefix};

const STAMP: &str = "stamp";
/// Longest stamp that is read.
const STAMP_BYTES_MAX: u64 = 256;
const DIRECTORY: OFlags = OFlags::RDONLY
    .union(OFlags::DIRECTORY)
    .union(OFlags::NOFOLLOW)
    .union(OFlags::CLOEXEC);
const NEW_FILE: OFlags = OFlags::WRONLY
    .union(OFlags::CREATE)
    .union(OFlags::EXCL)
    .union(OFlags::NOFOLLOW)
    .union(OFlags::CLOEXEC);

/// Seconds and nanoseconds since 1970, as a file system gives them.
type FileTime = (i64, i64);

/// An unpacked copy that may be linked from.
#[derive(Debug)]
pub struct Unpacked {
    directory: OwnedFd,
    made_at: FileTime,
}

impl AsFd for Unpacked {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.directory.as_fd()
    }
}

impl Unpacked {
    /// Whether the file of this number is still as it was made. `size` is what the pack says.
    pub fn is_unchanged(&self, number: u32, size: u64) -> bool {
        statat(
            &self.directory,
            number.to_string(),
            AtFlags::SYMLINK_NOFOLLOW,
        )
        .is_ok_and(|facts| {
            FileType::from_raw_mode(facts.st_mode).is_file()
                && time_of(&facts) == self.made_at
                && u64::try_from(facts.st_size) == Ok(size)
        })
    }
}

#[allow(
    clippy::unnecessary_cast,
    reason = "the widths of these fields depend on the machine"
)]
fn time_of(facts: &Stat) -> FileTime {
    (facts.st_mtime as i64, facts.st_mtime_nsec as i64)
}

/// Where the copy of `id` is, or would be.
pub(crate) fn unpacked_path(root: &Path, id: PackId) -> PathBuf {
    let name = id.to_string();
    let (shard, rest) = name.split_at(2);
    root.join("unpacked").join(shard).join(rest)
}

/// The copy of `pack`, if there is one that may be used. Under another boot than that of its stamp
/// every content is compared first.
pub(crate) fn find(root: &Path, pack: &Pack, boot: &str) -> Option<Unpacked> {
    let path = unpacked_path(root, pack.id());
    let directory = open(&path, DIRECTORY, Mode::empty()).ok()?;
    let (made_at, stamped) = read_stamp(&directory).ok()?;
    let unpacked = Unpacked { directory, made_at };
    if stamped != boot {
        is_whole(&unpacked, pack).then_some(())?;
        // Another process may do the same; where it fails, the next install compares once more.
        let _ = replace_stamp(&unpacked, boot);
    }
    Some(unpacked)
}

/// Makes the copy of `pack`, in the place of one that is there.
pub(crate) fn make(root: &Path, pack: &Pack, boot: &str) -> Result<Unpacked, StoreError> {
    static COUNTER: AtomicU64 = AtomicU64::new(0);
    let path = unpacked_path(root, pack.id());
    let number = COUNTER.fetch_add(1, Ordering::Relaxed);
    let temporary = root
        .join("tmp")
        .join(format!("{}unpacked-{number}", temporary_prefix()));
    make_directories(&temporary)?;
    let made = fill(&temporary, pack, boot)
        .map_err(StoreError::io("unpack a package to", &temporary))
        .and_then(|unpacked| publish(&temporary, &path).map(|()| unpacked));
    if made.is_err() {
        let _ = remove_temporary(&temporary);
    }
    made
}

fn fill(directory: &Path, pack: &Pack, boot: &str) -> io::Result<Unpacked> {
    let directory = open(directory, DIRECTORY, Mode::empty())?;
    // A time that this file system can represent.
    let made_at = time_of(&fstat(&directory)?);
    let time = Timespec {
        tv_sec: made_at.0,
        tv_nsec: made_at.1,
    };
    let times = Timestamps {
        last_access: time,
        last_modification: time,
    };
    let mut contents = pack.reader();
    for number in 0..pack.table().len() {
        let Some(NodeKind::File { executable, .. }) = pack.table().kind(number) else {
            continue;
        };
        let mode = Mode::from_raw_mode(if executable { 0o755 } else { 0o644 });
        let file = File::from(openat(&directory, number.to_string(), NEW_FILE, mode)?);
        contents.copy(number, &file)?;
        futimens(&file, &times)?;
    }
    let unpacked = Unpacked { directory, made_at };
    write_stamp(&unpacked, STAMP, boot)?;
    Ok(unpacked)
}

/// Gives the copy its name. One that is there already may be in use by another process, but only
/// through its descriptor, so it may go.
fn publish(temporary: &Path, path: &Path) -> Result<(), StoreError> {
    let failed = StoreError::io("publish the unpacked copy", path);
    if let Some(shard) = path.parent()
        && !shard.is_dir()
    {
        make_directories(shard)?;
    }
    match std::fs::rename(temporary, path) {
        Err(error) if error.kind() == io::ErrorKind::DirectoryNotEmpty => {
            let old = temporary.with_extension("old");
            std::fs::rename(path, &old)
                .and_then(|()| std::fs::rename(temporary, path))
                .map_err(failed)?;
            remove_temporary(&old).map_err(StoreError::io("remove", &old))
        }
        other => other.map_err(failed),
    }
}

fn is_whole(unpacked: &Unpacked, pack: &Pack) -> bool {
    (0..pack.table().len()).all(|number| match pack.table().kind(number) {
        Some(NodeKind::File { size, .. }) => {
            unpacked.is_unchanged(number, size)
                && digest(unpacked, number)
                    .is_ok_and(|digest| pack.digest(number).is_ok_and(|known| known == digest))
        }
        _ => true,
    })
}

fn digest(unpacked: &Unpacked, number: u32) -> io::Result<[u8; 32]> {
    let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let name = number.to_string();
    let mut file = File::from(openat(unpacked, name, flags, Mode::empty())?);
    let mut hasher = Sha256::new();
    io::copy(&mut file, &mut hasher)?;
    Ok(hasher.finalize().into())
}

fn write_stamp(unpacked: &Unpacked, name: &str, boot: &str) -> io::Result<()> {
    let mode = Mode::from_raw_mode(0o644);
    let mut file = File::from(openat(unpacked, name, NEW_FILE, mode)?);
    let (seconds, nanoseconds) = unpacked.made_at;
    file.write_all(format!("{seconds} {nanoseconds}\n{boot}\n").as_bytes())
}

fn replace_stamp(unpacked: &Unpacked, boot: &str) -> io::Result<()> {
    let temporary = format!("{STAMP}.{}", temporary_prefix());
    write_stamp(unpacked, &temporary, boot)?;
    rustix::fs::renameat(unpacked, &temporary, unpacked, STAMP)?;
    Ok(())
}

fn read_stamp(directory: &OwnedFd) -> io::Result<(FileTime, String)> {
    let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::CLOEXEC | OFlags::NONBLOCK;
    let file = File::from(openat(directory, STAMP, flags, Mode::empty())?);
    let mut text = String::new();
    file.take(STAMP_BYTES_MAX).read_to_string(&mut text)?;
    parse_stamp(&text).ok_or_else(|| io::ErrorKind::InvalidData.into())
}

fn parse_stamp(text: &str) -> Option<(FileTime, String)> {
    let (time, boot) = text.strip_suffix('\n')?.split_once('\n')?;
    let (seconds, nanoseconds) = time.split_once(' ')?;
    let time = (seconds.parse().ok()?, nanoseconds.parse().ok()?);
    Some((time, boot.to_owned()))
}
