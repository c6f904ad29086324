//! Where the files of a package to be are: on disk, or in an archive.

use std::collections::{BTreeMap, BTreeSet};
use std::ffi::OsString;
use std::io;
use std::path::Path;

use crate::name::RelativePath;

/// What an entry of a directory is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum EntryKind {
    File,
    Directory,
    Symlink,
    Other,
}

/// Directories and small text files. Paths have slashes; a directory's has one at its end, or is
/// empty for the root.
pub(super) trait PackTree {
    /// The entries of a directory.
    fn list(&self, directory: &str) -> io::Result<Vec<(OsString, EntryKind)>>;

    /// The text (what is not UTF-8 of it replaced) of a regular file of at most `limit` bytes;
    /// `None` where there is none.
    fn read(&self, path: &str, limit: u64) -> io::Result<Option<String>>;
}

/// A directory on disk. Symlinks are not followed.
pub(super) struct Disk<'a> {
    root: &'a Path,
}

impl<'a> Disk<'a> {
    pub(super) fn new(root: &'a Path) -> Self {
        Self { root }
    }
}

impl PackTree for Disk<'_> {
    fn list(&self, directory: &str) -> io::Result<Vec<(OsString, EntryKind)>> {
        let mut out = Vec::new();
        for entry in std::fs::read_dir(self.root.join(directory))? {
            let entry = entry?;
            let kind = entry.file_type()?;
            let kind = if kind.is_file() {
                EntryKind::File
            } else if kind.is_dir() {
                EntryKind::Directory
            } else if kind.is_symlink() {
                EntryKind::Symlink
            } else {
                EntryKind::Other
            };
            out.push((entry.file_name(), kind));
        }
        Ok(out)
    }

    fn read(&self, path: &str, limit: u64) -> io::Result<Option<String>> {
        let path = self.root.join(path);
        let metadata = match std::fs::symlink_metadata(&path) {
            Ok(metadata) if metadata.is_file() => metadata,
            Ok(_) => return Ok(None),
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(error),
        };
        if metadata.len() > limit {
            return Err(io::ErrorKind::FileTooLarge.into());
        }
        std::fs::read(path).map(|bytes| Some(text(&bytes)))
    }
}

/// The files of an archive.
pub(super) struct Listed<R> {
    directories: BTreeMap<String, BTreeSet<(OsString, EntryKind)>>,
    read: R,
}

impl<R: Fn(&str) -> Option<Vec<u8>>> Listed<R> {
    pub(super) fn new<'a>(files: impl IntoIterator<Item = &'a RelativePath>, read: R) -> Self {
        let mut directories = BTreeMap::<String, BTreeSet<_>>::new();
        for file in files {
            let mut rest = file.as_str();
            let mut kind = EntryKind::File;
            loop {
                let (parent, name) = match rest.rsplit_once('/') {
                    Some((parent, name)) => (Some(parent), name),
                    None => (None, rest),
                };
                let base = parent.map_or_else(String::new, |parent| format!("{parent}/"));
                let is_new = directories
                    .entry(base)
                    .or_default()
                    .insert((name.into(), kind));
                match parent {
                    Some(parent) if is_new => rest = parent,
                    _ => break,
                }
                kind = EntryKind::Directory;
            }
        }
        Self { directories, read }
    }
}

impl<R: Fn(&str) -> Option<Vec<u8>>> PackTree for Listed<R> {
    fn list(&self, directory: &str) -> io::Result<Vec<(OsString, EntryKind)>> {
        let entries = self.directories.get(directory).into_iter().flatten();
        Ok(entries.cloned().collect())
    }

    fn read(&self, path: &str, limit: u64) -> io::Result<Option<String>> {
        let Some(bytes) = (self.read)(path) else {
            return Ok(None);
        };
        if bytes.len() as u64 > limit {
            return Err(io::ErrorKind::FileTooLarge.into());
        }
        Ok(Some(text(&bytes)))
    }
}

/// Ignore files in old encodings exist, and their patterns are ASCII all the same.
fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}
