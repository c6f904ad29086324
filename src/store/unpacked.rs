//! Unpacked copies: the files of a pack, each as a file of its own, for installs that link them.
//!
//! ```text
//! <store>/unpacked/<2 hex>/<62 hex>/
//!   0, 1, 2 …   the files of the pack, named by their numbers in its table
//!   stamp       when the copy was made, and under which boot
//! ```
//!
//! Programs write through hard links. Therefore the stamp says when the copy was begun and when it
//! was done: a file with a time of modification outside of that, or with another size or kind, was
//! changed, and the whole copy is made anew from the pack. A copy of an earlier boot is compared
//! with the pack's digests before it is used, since a power cut may have taken its contents.
//!
//! **Architecture Invariant:** a copy appears by rename, whole, and is never repaired.

use std::fs::File;
use std::io::{self, Read, Write};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};

use rustix::fs::{AtFlags, FileType, Mode, OFlags, Stat, fstat, open, openat, statat};
use sha2::{Digest, Sha256};

use super::PackId;
use super::error::StoreError;
use super::pack::Pack;
use super::table::NodeKind;
use super::write::{make_directories, making_temporary, remove_temporary, temporary_prefix};

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
    /// When it was begun, and when it was done.
    made: (FileTime, FileTime),
    /// This process made it just now.
    is_new: bool,
}

impl AsFd for Unpacked {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.directory.as_fd()
    }
}

impl Unpacked {
    /// Whether the file of this number is still as it was made. `size` is what the pack says.
    pub fn is_unchanged(&self, number: u32, size: u64) -> bool {
        if self.is_new {
            return true;
        }
        let (begun, done) = self.made;
        statat(
            &self.directory,
            number.to_string(),
            AtFlags::SYMLINK_NOFOLLOW,
        )
        .is_ok_and(|facts| {
            FileType::from_raw_mode(facts.st_mode).is_file()
                && (begun..=done).contains(&time_of(&facts))
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
    let (made, stamped) = read_stamp(&directory).ok()?;
    let unpacked = Unpacked {
        directory,
        made,
        is_new: false,
    };
    if stamped != boot {
        is_whole(&unpacked, pack).then_some(())?;
        // Another process may do the same; where it fails, the next install compares once more.
        let _ = replace_stamp(&unpacked, boot);
    }
    Some(unpacked)
}

/// Makes the copy of `pack`, in the place of one that is there, unless somebody else made that one
/// meanwhile: others link from it.
pub(crate) fn make(root: &Path, pack: &Pack, boot: &str) -> Result<Unpacked, StoreError> {
    static COUNTER: AtomicU64 = AtomicU64::new(0);
    let path = unpacked_path(root, pack.id());
    let number = COUNTER.fetch_add(1, Ordering::Relaxed);
    let temporary = root
        .join("tmp")
        .join(format!("{}unpacked-{number}", temporary_prefix()));
    let making = making_temporary();
    make_directories(&temporary)?;
    drop(making);
    let made = fill(&temporary, pack, boot)
        .map_err(StoreError::io("unpack a package to", &temporary))
        .and_then(|unpacked| {
            let (begun, _) = unpacked.made;
            let others = || find(root, pack, boot).filter(|there| there.made.1 >= begun);
            let there = publish(&temporary, &path, others)?;
            Ok((there.is_none(), there.unwrap_or(unpacked)))
        });
    if !matches!(made, Ok((true, _))) {
        let _ = remove_temporary(&temporary);
    }
    made.map(|(_, unpacked)| unpacked)
}

fn fill(directory: &Path, pack: &Pack, boot: &str) -> io::Result<Unpacked> {
    let directory = open(directory, DIRECTORY, Mode::empty())?;
    // Times as this file system gives them: its clock is coarser than the system's.
    let begun = time_of(&fstat(&directory)?);
    let mut contents = pack.reader();
    for number in pack.files_in_order() {
        let Some(NodeKind::File { executable, .. }) = pack.table().kind(number) else {
            continue;
        };
        let mode = file_mode(executable);
        let file = File::from(openat(&directory, number.to_string(), NEW_FILE, mode)?);
        contents.copy(number, &file)?;
    }
    let stamp = File::from(openat(&directory, STAMP, NEW_FILE, file_mode(false))?);
    let done = time_of(&fstat(&stamp)?);
    let unpacked = Unpacked {
        directory,
        made: (begun, done),
        is_new: true,
    };
    write_stamp(&unpacked, &stamp, boot)?;
    Ok(unpacked)
}

fn file_mode(executable: bool) -> Mode {
    Mode::from_raw_mode(if executable { 0o755 } else { 0o644 })
}

/// Gives the copy its name. Returns the one that `others` find there by that name, where they do;
/// one that is no good goes away.
fn publish(
    temporary: &Path,
    path: &Path,
    others: impl FnOnce() -> Option<Unpacked>,
) -> Result<Option<Unpacked>, StoreError> {
    let failed = StoreError::io("publish the unpacked copy", path);
    if let Some(shard) = path.parent()
        && !shard.is_dir()
    {
        make_directories(shard)?;
    }
    match std::fs::rename(temporary, path) {
        Err(error) if error.kind() == io::ErrorKind::DirectoryNotEmpty => {
            if let Some(there) = others() {
                return Ok(Some(there));
            }
            let old = temporary.with_extension("old");
            std::fs::rename(path, &old)
                .and_then(|()| std::fs::rename(temporary, path))
                .map_err(failed)?;
            remove_temporary(&old).map_err(StoreError::io("remove", &old))?;
        }
        other => other.map_err(failed)?,
    }
    Ok(None)
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

fn write_stamp(unpacked: &Unpacked, mut stamp: &File, boot: &str) -> io::Result<()> {
    let (begun, done) = unpacked.made;
    let text = format!("{} {} {} {}\n{boot}\n", begun.0, begun.1, done.0, done.1);
    stamp.write_all(text.as_bytes())
}

fn replace_stamp(unpacked: &Unpacked, boot: &str) -> io::Result<()> {
    let temporary = format!("{STAMP}.{}", temporary_prefix());
    let stamp = File::from(openat(unpacked, &temporary, NEW_FILE, file_mode(false))?);
    write_stamp(unpacked, &stamp, boot)?;
    rustix::fs::renameat(unpacked, &temporary, unpacked, STAMP)?;
    Ok(())
}

fn read_stamp(directory: &OwnedFd) -> io::Result<((FileTime, FileTime), String)> {
    let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::CLOEXEC | OFlags::NONBLOCK;
    let file = File::from(openat(directory, STAMP, flags, Mode::empty())?);
    let mut text = String::new();
    file.take(STAMP_BYTES_MAX).read_to_string(&mut text)?;
    parse_stamp(&text).ok_or_else(|| io::ErrorKind::InvalidData.into())
}

fn parse_stamp(text: &str) -> Option<((FileTime, FileTime), String)> {
    let (times, boot) = text.strip_suffix('\n')?.split_once('\n')?;
    let mut numbers = times.split(' ').map(|number| number.parse::<i64>().ok());
    let mut next = || numbers.next().flatten();
    let begun = (next()?, next()?);
    let done = (next()?, next()?);
    next().is_none().then(|| ((begun, done), boot.to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stamp_is_read_as_it_was_written_and_nothing_else_is() {
        let made = ((1, 2), (3, 4));
        assert_eq!(
            parse_stamp("1 2 3 4\nboot\n"),
            Some((made, "boot".to_owned()))
        );
        for text in [
            "",
            "1 2 3\nboot\n",
            "1 2 3 4\nboot",
            "1 2 3 4",
            "a 2 3 4\nb\n",
            "\n\n",
        ] {
            assert_eq!(parse_stamp(text), None, "{text:?}");
        }
    }
}
