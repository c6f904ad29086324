//! Trees without package content, written out as real files: the `node_modules` of a workspace's
//! projects, which hold only symlinks and bins.
//!
//! Writing is idempotent and leaves what is right alone, so a warm install of a workspace costs a
//! `readlink` per link. What an earlier install put there and this one does not have is removed;
//! real directories and files of others stay.

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::{Path, PathBuf};

use crate::diagnostic::Diagnostic;
use crate::name::EntryName;
use crate::sys;

/// Why a project's `node_modules` could not be written.
#[derive(Debug, thiserror::Error)]
pub enum MaterialiseError {
    /// A system call failed.
    #[error("Cannot write {}", path.display())]
    Write {
        /// Where.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// Something that is not a symlink is where a link belongs.
    #[error("{} is in the way of a dependency's link", path.display())]
    InTheWay {
        /// Where.
        path: PathBuf,
    },
}

impl Diagnostic for MaterialiseError {
    fn code(&self) -> &'static str {
        match self {
            Self::Write { .. } => "ERR_PACQUET_WRITE",
            Self::InTheWay { .. } => "ERR_PACQUET_IN_THE_WAY",
        }
    }

    fn hint(&self) -> Option<String> {
        match self {
            Self::Write { source, .. } if source.kind() == io::ErrorKind::PermissionDenied => {
                Some("make the project's directory writable for this user".to_owned())
            }
            Self::Write { .. } => None,
            Self::InTheWay { path } => Some(format!("move {} away", path.display())),
        }
    }
}

/// A directory of links and generated files.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct LinkDirectory {
    /// What is in it.
    pub entries: BTreeMap<EntryName, LinkEntry>,
}

/// What is in a [`LinkDirectory`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum LinkEntry {
    /// A directory of more of it.
    Directory(LinkDirectory),
    /// A symlink with its target.
    Symlink(Box<str>),
    /// A generated file.
    File {
        /// Its bytes.
        content: Box<[u8]>,
        /// Whether it can be executed.
        executable: bool,
    },
}

/// Writes `directory` to `target`. Where nothing is in it, nothing is made.
///
/// # Errors
/// A system call fails, or a real file or directory is where a link belongs.
pub fn write_links(directory: &LinkDirectory, target: &Path) -> Result<(), MaterialiseError> {
    if directory.entries.is_empty() {
        return Ok(());
    }
    let mut open = vec![(directory, target.to_owned())];
    while let Some((directory, path)) = open.pop() {
        at(&path, sys::directory::make(&path))?;
        remove_stale(&path, &directory.entries)?;
        for (name, entry) in &directory.entries {
            let child = path.join(name.as_str());
            match entry {
                LinkEntry::Directory(directory) => open.push((directory, child)),
                LinkEntry::Symlink(link) => write_link(&child, link)?,
                LinkEntry::File {
                    content,
                    executable,
                } => {
                    write_file(&child, content, *executable)?;
                }
            }
        }
    }
    Ok(())
}

/// Whether everything of `directory` is at `target`. Nothing is changed.
pub fn are_written(directory: &LinkDirectory, target: &Path) -> bool {
    directory.entries.iter().all(|(name, entry)| {
        let path = target.join(name.as_str());
        match entry {
            LinkEntry::Directory(directory) => are_written(directory, &path),
            LinkEntry::Symlink(link) => {
                fs::read_link(&path).is_ok_and(|present| present == Path::new(&**link))
            }
            LinkEntry::File {
                content,
                executable,
            } => is_file(&path, content, *executable),
        }
    })
}

fn at<T>(path: &Path, result: io::Result<T>) -> Result<T, MaterialiseError> {
    result.map_err(|source| MaterialiseError::Write {
        path: path.to_owned(),
        source,
    })
}

/// Removes the symlinks of a directory that the layout does not have. A symlink in `node_modules`
/// was made by an installer; real directories and files may be a person's or a tool's.
fn remove_stale(
    directory: &Path,
    wanted: &BTreeMap<EntryName, LinkEntry>,
) -> Result<(), MaterialiseError> {
    for entry in at(directory, fs::read_dir(directory))? {
        let entry = at(directory, entry)?;
        let known = entry
            .file_name()
            .to_str()
            .is_some_and(|name| wanted.contains_key(name));
        let is_link = entry.file_type().is_ok_and(|kind| kind.is_symlink());
        if is_link && !known {
            at(&entry.path(), fs::remove_file(entry.path()))?;
        }
    }
    Ok(())
}

fn write_link(path: &Path, target: &str) -> Result<(), MaterialiseError> {
    match fs::read_link(path) {
        Ok(present) if present == Path::new(target) => return Ok(()),
        Ok(_) => at(path, fs::remove_file(path))?,
        Err(error) if error.kind() == io::ErrorKind::NotFound => {}
        Err(error) if error.kind() == io::ErrorKind::InvalidInput => {
            return Err(MaterialiseError::InTheWay {
                path: path.to_owned(),
            });
        }
        Err(error) => return at(path, Err(error)),
    }
    at(path, symlink(target, path))
}

fn mode_of(executable: bool) -> u32 {
    if executable { 0o755 } else { 0o644 }
}

fn is_file(path: &Path, content: &[u8], executable: bool) -> bool {
    let mode = mode_of(executable);
    fs::symlink_metadata(path)
        .is_ok_and(|facts| facts.is_file() && facts.permissions().mode() & 0o777 == mode)
        && fs::read(path).is_ok_and(|present| present == content)
}

fn write_file(path: &Path, content: &[u8], executable: bool) -> Result<(), MaterialiseError> {
    if is_file(path, content, executable) {
        return Ok(());
    }
    let mode = Some(mode_of(executable));
    at(path, sys::file::replace(path, content, mode))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn links(entries: &[(&str, LinkEntry)]) -> LinkDirectory {
        let entries = entries
            .iter()
            .map(|(name, entry)| (EntryName::new(name).expect("a name"), entry.clone()));
        LinkDirectory {
            entries: entries.collect(),
        }
    }

    fn link(target: &str) -> LinkEntry {
        LinkEntry::Symlink(target.into())
    }

    #[test]
    fn links_follow_the_layout_and_real_files_stay() {
        let scratch = tempfile::tempdir().expect("scratch");
        let target = scratch.path().join("node_modules");
        let first = links(&[("a", link("../x/a")), ("b", link("../x/b"))]);
        assert!(!are_written(&first, &target));
        write_links(&first, &target).expect("written");
        assert!(are_written(&first, &target));
        fs::create_dir(target.join(".cache")).expect("a directory of a tool");
        fs::write(target.join(".state"), "kept").expect("a file of a tool");
        let second = links(&[("a", link("../y/a"))]);
        assert!(!are_written(&second, &target));
        write_links(&second, &target).expect("written again");
        assert!(are_written(&second, &target) && !are_written(&first, &target));
        assert_eq!(
            fs::read_link(target.join("a")).expect("a link"),
            Path::new("../y/a")
        );
        assert!(fs::symlink_metadata(target.join("b")).is_err());
        assert!(target.join(".cache").is_dir() && target.join(".state").is_file());
    }

    #[test]
    fn a_real_directory_in_the_place_of_a_link_is_refused() {
        let scratch = tempfile::tempdir().expect("scratch");
        fs::create_dir(scratch.path().join("a")).expect("a directory");
        let directory = links(&[("a", link("../x"))]);
        assert!(!are_written(&directory, scratch.path()));
        let result = write_links(&directory, scratch.path());
        assert!(
            matches!(result, Err(MaterialiseError::InTheWay { .. })),
            "{result:?}"
        );
    }

    #[test]
    fn a_shim_is_written_whole_and_executable() {
        let scratch = tempfile::tempdir().expect("scratch");
        let shim = LinkEntry::File {
            content: (*b"#!/bin/sh\n").into(),
            executable: true,
        };
        let bins = links(&[(".bin", LinkEntry::Directory(links(&[("shim", shim)])))]);
        write_links(&bins, scratch.path()).expect("written");
        let path = scratch.path().join(".bin/shim");
        let mode = fs::metadata(&path).expect("there").permissions().mode();
        assert_eq!(mode & 0o777, 0o755);
        assert_eq!(fs::read(&path).expect("content"), b"#!/bin/sh\n");
        assert!(are_written(&bins, scratch.path()));
        fs::write(&path, "#!/bin/bash").expect("another one");
        assert!(!are_written(&bins, scratch.path()));
    }
}
