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

use super::layout::{DirectoryIndex, Layout, LayoutEntry};
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

/// Whether the tree below `root` shows no package content, so that [`write_links`] can write it.
pub fn holds_only_links(layout: &Layout, root: DirectoryIndex) -> bool {
    let mut open = vec![root];
    while let Some(index) = open.pop() {
        let Some(directory) = layout.directories.get(index.0 as usize) else {
            return false;
        };
        if directory.backing.is_some() {
            return false;
        }
        open.extend(directory.entries.values().filter_map(|entry| match entry {
            LayoutEntry::Directory(child) => Some(*child),
            _ => None,
        }));
    }
    true
}

/// Writes the tree below `root`, which [`holds_only_links`], to the directory `target`.
///
/// # Errors
/// A system call fails, or a real file or directory is where a link belongs.
pub fn write_links(
    layout: &Layout,
    root: DirectoryIndex,
    target: &Path,
) -> Result<(), MaterialiseError> {
    let mut open = vec![(root, target.to_owned())];
    while let Some((index, path)) = open.pop() {
        let Some(directory) = layout.directories.get(index.0 as usize) else {
            continue;
        };
        if directory.entries.is_empty() && index == root {
            continue;
        }
        at(&path, sys::directory::make(&path))?;
        remove_stale(&path, &directory.entries)?;
        for (name, entry) in &directory.entries {
            let child = path.join(name.as_str());
            match entry {
                LayoutEntry::Directory(index) => open.push((*index, child)),
                LayoutEntry::Symlink(link) => write_link(&child, link)?,
                LayoutEntry::File {
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
    wanted: &BTreeMap<EntryName, LayoutEntry>,
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

fn write_file(path: &Path, content: &[u8], executable: bool) -> Result<(), MaterialiseError> {
    let mode = if executable { 0o755 } else { 0o644 };
    let same = fs::symlink_metadata(path)
        .is_ok_and(|facts| facts.is_file() && facts.permissions().mode() & 0o777 == mode);
    if same && fs::read(path).is_ok_and(|present| present == content) {
        return Ok(());
    }
    at(path, sys::file::replace(path, content, Some(mode)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::install::layout::{Backing, InstanceIndex, LayoutDirectory};

    fn layout(entries: &[(&str, LayoutEntry)]) -> Layout {
        let entries = entries
            .iter()
            .map(|(name, entry)| (EntryName::new(name).expect("a name"), entry.clone()))
            .collect();
        Layout {
            directories: vec![LayoutDirectory {
                entries,
                backing: None,
            }],
            ..Layout::default()
        }
    }

    fn link(target: &str) -> LayoutEntry {
        LayoutEntry::Symlink(target.into())
    }

    const ROOT: DirectoryIndex = DirectoryIndex(0);

    #[test]
    fn links_follow_the_layout_and_real_files_stay() {
        let scratch = tempfile::tempdir().expect("scratch");
        let target = scratch.path().join("node_modules");
        write_links(
            &layout(&[("a", link("../x/a")), ("b", link("../x/b"))]),
            ROOT,
            &target,
        )
        .expect("written");
        fs::create_dir(target.join(".cache")).expect("a directory of a tool");
        fs::write(target.join(".state"), "kept").expect("a file of a tool");
        write_links(&layout(&[("a", link("../y/a"))]), ROOT, &target).expect("written again");
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
        let result = write_links(&layout(&[("a", link("../x"))]), ROOT, scratch.path());
        assert!(
            matches!(result, Err(MaterialiseError::InTheWay { .. })),
            "{result:?}"
        );
    }

    #[test]
    fn a_shim_is_written_whole_and_executable() {
        let scratch = tempfile::tempdir().expect("scratch");
        let entry = LayoutEntry::File {
            content: (*b"#!/bin/sh\n").into(),
            executable: true,
        };
        write_links(&layout(&[("shim", entry)]), ROOT, scratch.path()).expect("written");
        let path = scratch.path().join("shim");
        let mode = fs::metadata(&path).expect("there").permissions().mode();
        assert_eq!(mode & 0o777, 0o755);
        assert_eq!(fs::read(&path).expect("content"), b"#!/bin/sh\n");
    }

    #[test]
    fn a_tree_with_package_content_is_not_for_this() {
        let mut with_content = layout(&[]);
        assert!(holds_only_links(&with_content, ROOT));
        with_content.directories[0].backing = Some(Backing {
            instance: InstanceIndex(0),
            directory: None,
        });
        assert!(!holds_only_links(&with_content, ROOT));
    }
}
