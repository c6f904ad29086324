//! Trees without package content: the `node_modules` of a workspace's projects beside a mounted
//! root, which hold only symlinks and commands.
//!
//! What is right already stays, so a warm install of a workspace costs a listing for each of their
//! directories and a `readlinkat` for each link. What an earlier install put there and this one
//! does not have is removed; real directories and files of others stay.

use std::collections::{BTreeMap, HashMap};
use std::path::PathBuf;

use rayon::prelude::*;
use rustix::fs::FileType;

use super::directory::Directory;
use super::error::RealError;
use crate::name::EntryName;
use crate::store;
use crate::sys;

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

/// Writes each tree to its place. Where nothing is in one, nothing is made.
///
/// # Errors
/// A system call fails, or a real file or directory is where a link belongs.
pub fn write_links(trees: &[(LinkDirectory, PathBuf)]) -> Result<(), RealError> {
    match has_workers(trees) {
        true => trees.par_iter().try_for_each(write_tree),
        false => trees.iter().try_for_each(write_tree),
    }
}

/// Whether everything of each tree is at its place. Nothing is changed.
pub fn are_written(trees: &[(LinkDirectory, PathBuf)]) -> bool {
    match has_workers(trees) {
        true => trees.par_iter().all(is_tree_written),
        false => trees.iter().all(is_tree_written),
    }
}

/// Whether there is something to share out, and somebody to do it.
fn has_workers(trees: &[(LinkDirectory, PathBuf)]) -> bool {
    trees.len() > 1 && store::start_workers().is_ok()
}

fn write_tree((directory, target): &(LinkDirectory, PathBuf)) -> Result<(), RealError> {
    if directory.entries.is_empty() {
        return Ok(());
    }
    sys::directory::make(target).map_err(RealError::io("make", target))?;
    write_into(&Directory::open_through_links(target)?, directory)
}

fn write_into(place: &Directory, wanted: &LinkDirectory) -> Result<(), RealError> {
    let present: HashMap<String, FileType> = place.entries()?.into_iter().collect();
    // A symlink in `node_modules` was made by an installer; real directories and files may be a
    // person's or a tool's.
    for (name, kind) in &present {
        let is_wanted =
            || EntryName::new(name).is_ok_and(|name| wanted.entries.contains_key(&name));
        if kind.is_symlink() && !is_wanted() {
            place.remove(name)?;
        }
    }
    for (name, entry) in &wanted.entries {
        let name = name.as_str();
        let found = present.get(name).copied();
        match entry {
            LinkEntry::Directory(below) => {
                if found.is_some_and(FileType::is_symlink) {
                    place.remove(name)?;
                }
                write_into(&place.make(name)?.0, below)?;
            }
            LinkEntry::Symlink(target) => write_link(place, name, found, target)?,
            LinkEntry::File {
                content,
                executable,
            } => place.write(name, content, *executable)?,
        }
    }
    Ok(())
}

fn write_link(
    place: &Directory,
    name: &str,
    found: Option<FileType>,
    target: &str,
) -> Result<(), RealError> {
    match found {
        None => {}
        Some(kind) if kind.is_symlink() => {
            if place.link_target(name)?.as_deref() == Some(target.as_bytes()) {
                return Ok(());
            }
            place.remove(name)?;
        }
        Some(_) => {
            return Err(RealError::InTheWay {
                path: place.path().join(name),
            });
        }
    }
    place.link(name, target)
}

fn is_tree_written((directory, target): &(LinkDirectory, PathBuf)) -> bool {
    directory.entries.is_empty()
        || Directory::open_through_links(target).is_ok_and(|place| is_written(&place, directory))
}

fn is_written(place: &Directory, wanted: &LinkDirectory) -> bool {
    wanted.entries.iter().all(|(name, entry)| {
        let name = name.as_str();
        match entry {
            LinkEntry::Directory(below) => {
                let child = place.child(name);
                child.is_ok_and(|child| is_written(&child, below))
            }
            LinkEntry::Symlink(target) => place
                .link_target(name)
                .is_ok_and(|present| present.as_deref() == Some(target.as_bytes())),
            LinkEntry::File {
                content,
                executable,
            } => place.has(name, content, *executable),
        }
    })
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::PermissionsExt;
    use std::path::Path;

    use super::*;

    fn links(entries: &[(&str, LinkEntry)]) -> LinkDirectory {
        let entries = entries
            .iter()
            .map(|(name, entry)| (EntryName::new(name).expect("a name"), entry.clone()));
        LinkDirectory {
            entries: entries.collect(),
        }
    }

    fn is_there(directory: &LinkDirectory, target: &Path) -> bool {
        are_written(&[(directory.clone(), target.to_owned())])
    }

    fn write(directory: &LinkDirectory, target: &Path) -> Result<(), RealError> {
        write_links(&[(directory.clone(), target.to_owned())])
    }

    fn link(target: &str) -> LinkEntry {
        LinkEntry::Symlink(target.into())
    }

    #[test]
    fn links_follow_the_layout_and_real_files_stay() {
        let scratch = tempfile::tempdir().expect("scratch");
        let target = scratch.path().join("node_modules");
        let first = links(&[("a", link("../x/a")), ("b", link("../x/b"))]);
        assert!(!is_there(&first, &target));
        write(&first, &target).expect("written");
        assert!(is_there(&first, &target));
        fs::create_dir(target.join(".cache")).expect("a directory of a tool");
        fs::write(target.join(".state"), "kept").expect("a file of a tool");
        let second = links(&[("a", link("../y/a"))]);
        assert!(!is_there(&second, &target));
        write(&second, &target).expect("written again");
        assert!(is_there(&second, &target) && !is_there(&first, &target));
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
        assert!(!is_there(&directory, scratch.path()));
        let result = write(&directory, scratch.path());
        assert!(
            matches!(result, Err(RealError::InTheWay { .. })),
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
        write(&bins, scratch.path()).expect("written");
        let path = scratch.path().join(".bin/shim");
        let mode = fs::metadata(&path).expect("there").permissions().mode();
        assert_eq!(mode & 0o777, 0o755);
        assert_eq!(fs::read(&path).expect("content"), b"#!/bin/sh\n");
        assert!(is_there(&bins, scratch.path()));
        fs::write(&path, "#!/bin/bash").expect("another one");
        assert!(!is_there(&bins, scratch.path()));
    }
}
