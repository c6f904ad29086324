//! A directory held open: everything below it is reached by one name at a time, and never through
//! a symlink.

use std::ffi::OsString;
use std::fs::File;
use std::io::{self, Read, Write};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::os::unix::ffi::OsStringExt;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};

use rustix::fs::{
    AtFlags, Dir, FileType, Mode, OFlags, RenameFlags, mkdirat, open, openat, readlinkat, renameat,
    renameat_with, statat, symlinkat, unlinkat,
};
use rustix::io::Errno;

use super::error::RealError;

/// What the names of everything unfinished begin with.
pub(super) const TEMPORARY: &str = ".pacquet-tmp-";

const OPEN: OFlags = OFlags::RDONLY
    .union(OFlags::DIRECTORY)
    .union(OFlags::NOFOLLOW)
    .union(OFlags::CLOEXEC);
pub(super) const NEW_FILE: OFlags = OFlags::WRONLY
    .union(OFlags::CREATE)
    .union(OFlags::EXCL)
    .union(OFlags::NOFOLLOW)
    .union(OFlags::CLOEXEC);

/// The mode of a new file.
pub(super) fn file_mode(executable: bool) -> Mode {
    Mode::from_raw_mode(if executable { 0o755 } else { 0o644 })
}

/// A name that nothing else has.
pub(super) fn temporary_name() -> String {
    static COUNTER: AtomicU64 = AtomicU64::new(0);
    let number = COUNTER.fetch_add(1, Ordering::Relaxed);
    format!("{TEMPORARY}{}-{number}", std::process::id())
}

/// An open directory, and its path for messages.
#[derive(Debug)]
pub(super) struct Directory {
    descriptor: OwnedFd,
    path: PathBuf,
}

impl AsFd for Directory {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.descriptor.as_fd()
    }
}

/// Whether a directory was there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Found {
    /// It was.
    Old,
    /// It was made, and is empty.
    New,
}

impl Directory {
    /// Opens `path`, of which everything but the last component is trusted.
    pub(super) fn open(path: &Path) -> Result<Self, RealError> {
        let opened = open(path, OPEN, Mode::empty());
        Self::opened(opened, path.to_owned())
    }

    /// Opens `path`, which may be a symlink of its owner's.
    pub(super) fn open_through_links(path: &Path) -> Result<Self, RealError> {
        let opened = open(path, OPEN.difference(OFlags::NOFOLLOW), Mode::empty());
        Self::opened(opened, path.to_owned())
    }

    fn opened(opened: rustix::io::Result<OwnedFd>, path: PathBuf) -> Result<Self, RealError> {
        match opened {
            Ok(descriptor) => Ok(Self { descriptor, path }),
            Err(Errno::NOTDIR | Errno::LOOP) => Err(RealError::NotDirectory { path }),
            Err(error) => Err(RealError::io("open", path)(error.into())),
        }
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// An error about the entry `name`.
    pub(super) fn failed(&self, action: &'static str, name: &str, error: Errno) -> RealError {
        RealError::io(action, self.path.join(name))(error.into())
    }

    /// The directory `name` in it.
    pub(super) fn child(&self, name: &str) -> Result<Self, RealError> {
        let opened = openat(self, name, OPEN, Mode::empty());
        Self::opened(opened, self.path.join(name))
    }

    /// Makes the directory `name`, which must not be there.
    pub(super) fn make_new(&self, name: &str) -> Result<Self, RealError> {
        mkdirat(self, name, Mode::from_raw_mode(0o755))
            .map_err(|error| self.failed("make", name, error))?;
        self.child(name)
    }

    /// The directory `name`, made where there is nothing.
    pub(super) fn make(&self, name: &str) -> Result<(Self, Found), RealError> {
        match mkdirat(self, name, Mode::from_raw_mode(0o755)) {
            Ok(()) => Ok((self.child(name)?, Found::New)),
            Err(Errno::EXIST) => Ok((self.child(name)?, Found::Old)),
            Err(error) => Err(self.failed("make", name, error)),
        }
    }

    /// What the entry `name` is, `None` where there is nothing.
    pub(super) fn kind(&self, name: &str) -> Result<Option<FileType>, RealError> {
        match statat(self, name, AtFlags::SYMLINK_NOFOLLOW) {
            Ok(facts) => Ok(Some(FileType::from_raw_mode(facts.st_mode))),
            Err(Errno::NOENT) => Ok(None),
            Err(error) => Err(self.failed("look at", name, error)),
        }
    }

    /// Its entries. Names that are no text are nobody's whom this program knows.
    pub(super) fn entries(&self) -> Result<Vec<(String, FileType)>, RealError> {
        let failed = |error: Errno| RealError::io("list", &self.path)(error.into());
        let mut entries = Vec::new();
        for entry in Dir::read_from(self).map_err(failed)? {
            let entry = entry.map_err(failed)?;
            let name = OsString::from_vec(entry.file_name().to_bytes().to_vec());
            let Ok(name) = name.into_string() else {
                continue;
            };
            if name == "." || name == ".." {
                continue;
            }
            let kind = match entry.file_type() {
                FileType::Unknown => match self.kind(&name)? {
                    Some(kind) => kind,
                    None => continue,
                },
                kind => kind,
            };
            entries.push((name, kind));
        }
        Ok(entries)
    }

    /// The target of the symlink `name`; `None` where it is none.
    pub(super) fn link_target(&self, name: &str) -> Result<Option<Vec<u8>>, RealError> {
        match readlinkat(self, name, Vec::with_capacity(256)) {
            Ok(target) => Ok(Some(target.into_bytes())),
            Err(Errno::INVAL | Errno::NOENT) => Ok(None),
            Err(error) => Err(self.failed("read the link", name, error)),
        }
    }

    pub(super) fn link(&self, name: &str, target: &str) -> Result<(), RealError> {
        symlinkat(target, self, name).map_err(|error| self.failed("link", name, error))
    }

    /// Gives `from` the name `to`; what has that name goes away.
    pub(super) fn put(&self, from: &str, to: &str) -> Result<(), RealError> {
        let failed = |error| self.failed("put in place", to, error);
        match renameat_with(self, from, self, to, RenameFlags::NOREPLACE) {
            Ok(()) => return Ok(()),
            // File systems without the flag say EINVAL.
            Err(Errno::EXIST | Errno::INVAL | Errno::NOSYS) => {}
            Err(error) => return Err(failed(error)),
        }
        match renameat_with(self, from, self, to, RenameFlags::EXCHANGE) {
            Ok(()) => self.remove(from),
            Err(Errno::INVAL | Errno::NOSYS | Errno::NOENT) => {
                if self.kind(to)?.is_some() {
                    let old = temporary_name();
                    self.rename(to, &old)?;
                    self.rename(from, to)?;
                    self.remove(&old)
                } else {
                    self.rename(from, to)
                }
            }
            Err(error) => Err(failed(error)),
        }
    }

    pub(super) fn rename(&self, from: &str, to: &str) -> Result<(), RealError> {
        renameat(self, from, self, to).map_err(|error| self.failed("rename", from, error))
    }

    /// Removes whatever `name` is, with everything in it. Nothing there is no failure.
    pub(super) fn remove(&self, name: &str) -> Result<(), RealError> {
        match unlinkat(self, name, AtFlags::empty()) {
            Ok(()) | Err(Errno::NOENT) => return Ok(()),
            Err(Errno::ISDIR | Errno::PERM) => {}
            Err(error) => return Err(self.failed("remove", name, error)),
        }
        // The standard library follows no symlink below the path, and the descriptor none above.
        let path = format!("/proc/self/fd/{}/{name}", self.descriptor.as_raw_fd());
        match std::fs::remove_dir_all(path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                Err(RealError::io("remove", self.path.join(name))(error))
            }
            _ => Ok(()),
        }
    }

    /// Removes the directory `name` if it is empty.
    pub(super) fn remove_if_empty(&self, name: &str) -> Result<(), RealError> {
        match unlinkat(self, name, AtFlags::REMOVEDIR) {
            Ok(()) | Err(Errno::NOTEMPTY | Errno::NOENT | Errno::EXIST | Errno::NOTDIR) => Ok(()),
            Err(error) => Err(self.failed("remove", name, error)),
        }
    }

    /// The content of the regular file `name`, if it is one and has `length` bytes.
    fn content(&self, name: &str, length: usize) -> Option<Vec<u8>> {
        let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::CLOEXEC | OFlags::NONBLOCK;
        let mut file = File::from(openat(self, name, flags, Mode::empty()).ok()?);
        let facts = file.metadata().ok()?;
        if !facts.is_file() || facts.len() != length as u64 {
            return None;
        }
        let mut content = Vec::with_capacity(length);
        file.read_to_end(&mut content).ok()?;
        Some(content)
    }

    /// The text of the regular file `name`, if it is one of at most `limit` bytes.
    pub(super) fn text(&self, name: &str, limit: u64) -> Option<String> {
        let facts = statat(self, name, AtFlags::SYMLINK_NOFOLLOW).ok()?;
        let length = u64::try_from(facts.st_size).ok()?;
        if length > limit {
            return None;
        }
        let content = self.content(name, usize::try_from(length).ok()?)?;
        String::from_utf8(content).ok()
    }

    /// Whether the regular file `name` is this one.
    pub(super) fn has(&self, name: &str, content: &[u8], executable: bool) -> bool {
        let is_right = statat(self, name, AtFlags::SYMLINK_NOFOLLOW).is_ok_and(|facts| {
            FileType::from_raw_mode(facts.st_mode).is_file()
                && (facts.st_mode & 0o100 != 0) == executable
        });
        is_right && self.content(name, content.len()).as_deref() == Some(content)
    }

    /// Makes the file `name`, which must not be there.
    pub(super) fn write_new(
        &self,
        name: &str,
        content: &[u8],
        executable: bool,
    ) -> Result<(), RealError> {
        let failed = |error: io::Error| RealError::io("write", self.path.join(name))(error);
        let opened = openat(self, name, NEW_FILE, file_mode(executable));
        let mut file = File::from(opened.map_err(|error| failed(error.into()))?);
        file.write_all(content).map_err(failed)
    }

    /// Makes or replaces the file `name`; one that is right already stays as it is.
    pub(super) fn write(
        &self,
        name: &str,
        content: &[u8],
        executable: bool,
    ) -> Result<(), RealError> {
        if self.has(name, content, executable) {
            return Ok(());
        }
        let temporary = temporary_name();
        let written = self
            .write_new(&temporary, content, executable)
            .and_then(|()| self.put(&temporary, name));
        if written.is_err() {
            let _ = self.remove(&temporary);
        }
        written
    }
}
