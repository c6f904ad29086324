//! A package of its own of what a package has become.

use std::fs::{self, File};
use std::io::{self, Read};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use super::BuildError;
use super::plan::Build;
use super::run::BuildPlace;
use crate::install::layout::{DirectoryIndex, Layout, LayoutEntry, WORKSPACE_STATE_NAME};
use crate::name::RelativePath;
use crate::store::{IngestOptions, NodeKind, Pack, Packed, Store};

/// Where scripts of a package put their temporary files.
const TEMPORARY: &str = "node_modules/.tmp";

/// Bytes that are read at once to compare a file.
const COMPARE_BYTES: usize = 64 << 10;

/// What tools and installers make in the root of a tree, whatever is built.
const TOOLS_OWN: [&str; 9] = [
    ".bin",
    ".cache",
    ".modules.yaml",
    ".package-lock.json",
    WORKSPACE_STATE_NAME,
    ".tmp",
    ".vite",
    ".vite-temp",
    ".vitest",
];

/// What became of a package that was built.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kept {
    /// It had no scripts after all.
    Nothing,
    /// It is in the store, as it is now.
    Stored,
    /// It has something that no package can have (a symlink, a socket, a name that is none), or
    /// something was made beside it, so only this tree has it.
    InTheTree,
}

/// Stores the package at `place` as it is now, under the key of `build`.
///
/// # Errors
/// It cannot be read, or not be stored.
pub fn keep(
    store: &Store,
    layout: &Layout,
    build: &Build,
    place: &BuildPlace,
) -> Result<Kept, BuildError> {
    let failed = |source| BuildError::Store {
        package: build.dep_path.as_str().to_owned(),
        source,
    };
    if store.is_read_only() {
        return Ok(Kept::InTheTree);
    }
    if has_strangers_beside(layout, place)? {
        return Ok(Kept::InTheTree);
    }
    let Some(files) = files_of(layout, place)? else {
        return Ok(Kept::InTheTree);
    };
    let pack = store.open_pack(&build.plain.record.pack).map_err(failed)?;
    let packed = match is_unchanged(&pack, &files, &place.path)? {
        // Then the package as it was published serves, and no bytes are written.
        true => Packed {
            key: build.key.clone(),
            record: build.plain.record.clone(),
            computed: None,
            skipped_links: 0,
            warnings: Vec::new(),
        },
        false => {
            let mut options = IngestOptions::new(build.key.clone());
            options.only = Some(&files);
            store
                .ingest_directory(&place.path, &options)
                .map_err(failed)?
        }
    };
    store.commit(&[packed]).map_err(failed)?;
    Ok(Kept::Stored)
}

/// Whether something is beside a package that the layout did not put there. Scripts make such
/// things (`@prisma/client` generates `.prisma`), and no other tree would have them.
fn has_strangers_beside(layout: &Layout, place: &BuildPlace) -> Result<bool, BuildError> {
    let Some((modules, path)) = modules_of(layout, place) else {
        return Ok(false);
    };
    let is_root = layout.trees.iter().any(|tree| tree.root == modules);
    let failed = |source| BuildError::Read {
        path: path.to_owned(),
        source,
    };
    for entry in fs::read_dir(path).map_err(failed)? {
        let name = entry.map_err(failed)?.file_name();
        let is_laid_out = name
            .to_str()
            .is_some_and(|name| own_entry(layout, modules, name).is_some());
        let is_of_tools = is_root && TOOLS_OWN.iter().any(|own| name == *own);
        if !(is_laid_out || is_of_tools) {
            return Ok(true);
        }
    }
    Ok(false)
}

/// The `node_modules` that a package is in: in the layout, and where it is.
fn modules_of<'a>(layout: &Layout, place: &'a BuildPlace) -> Option<(DirectoryIndex, &'a Path)> {
    let mut at = (place.directory, place.path.as_path());
    loop {
        let parent = layout.directories.iter().position(|directory| {
            let mut entries = directory.entries.values();
            entries.any(|entry| matches!(entry, LayoutEntry::Directory(next) if *next == at.0))
        })?;
        at = (DirectoryIndex(u32::try_from(parent).ok()?), at.1.parent()?);
        let is_scope = at.1.file_name()?.to_str()?.starts_with('@');
        if !is_scope {
            return Some(at);
        }
    }
}

/// The files of a package, sorted; `None` where it has something that no package can have. What
/// the layout put there (commands, other packages) is not the package's.
fn files_of(layout: &Layout, place: &BuildPlace) -> Result<Option<Vec<RelativePath>>, BuildError> {
    let mut files = Vec::new();
    let mut open = vec![(String::new(), Some(place.directory))];
    while let Some((below, index)) = open.pop() {
        let path = place.path.join(&below);
        let failed = |source| BuildError::Read {
            path: path.clone(),
            source,
        };
        for entry in fs::read_dir(&path).map_err(failed)? {
            let entry = entry.map_err(failed)?;
            let kind = entry.file_type().map_err(failed)?;
            let Ok(name) = entry.file_name().into_string() else {
                return Ok(None);
            };
            let child = match below.is_empty() {
                true => name.clone(),
                false => format!("{below}/{name}"),
            };
            let laid_out = index.and_then(|index| own_entry(layout, index, &name));
            match laid_out {
                Some(LayoutEntry::Directory(next)) if is_same(layout, place.directory, *next) => {
                    open.push((child, Some(*next)));
                }
                Some(_) => {}
                None if child == TEMPORARY => {}
                None if kind.is_dir() => open.push((child, None)),
                None if kind.is_file() => match RelativePath::new(&child) {
                    Ok(path) => files.push(path),
                    Err(_) => return Ok(None),
                },
                None => return Ok(None),
            }
        }
    }
    files.sort();
    Ok(Some(files))
}

fn own_entry<'a>(layout: &'a Layout, index: DirectoryIndex, name: &str) -> Option<&'a LayoutEntry> {
    layout.directories.get(index.0 as usize)?.entries.get(name)
}

/// Whether two directories of the layout show the same package.
fn is_same(layout: &Layout, one: DirectoryIndex, other: DirectoryIndex) -> bool {
    let instance = |index: DirectoryIndex| {
        let directory = layout.directories.get(index.0 as usize)?;
        directory.backing.as_ref().map(|backing| backing.instance)
    };
    instance(one).is_some() && instance(one) == instance(other)
}

/// Whether the files are those of the pack, to the byte.
fn is_unchanged(pack: &Pack, files: &[RelativePath], root: &Path) -> Result<bool, BuildError> {
    let table = pack.table();
    if usize::try_from(table.files()).ok() != Some(files.len()) {
        return Ok(false);
    }
    for path in files {
        let Some(number) = table.find(path.as_str()) else {
            return Ok(false);
        };
        let full = root.join(path.as_str());
        let same = is_same_file(&full, pack, number);
        if !same.map_err(|source| BuildError::Read { path: full, source })? {
            return Ok(false);
        }
    }
    Ok(true)
}

fn is_same_file(path: &Path, pack: &Pack, number: u32) -> io::Result<bool> {
    let Some(NodeKind::File {
        size, executable, ..
    }) = pack.table().kind(number)
    else {
        return Ok(false);
    };
    let mut file = File::open(path)?;
    let facts = file.metadata()?;
    if facts.len() != size || (facts.permissions().mode() & 0o111 != 0) != executable {
        return Ok(false);
    }
    let (mut ours, mut theirs) = (vec![0; COMPARE_BYTES], vec![0; COMPARE_BYTES]);
    let mut offset = 0;
    while offset < size {
        let wanted =
            usize::try_from(size - offset).map_or(COMPARE_BYTES, |left| left.min(COMPARE_BYTES));
        file.read_exact(&mut ours[..wanted])?;
        let mut filled = 0;
        while filled < wanted {
            let at = offset + filled as u64;
            match pack.read_at(number, at, &mut theirs[filled..wanted])? {
                0 => return Ok(false),
                read => filled += read,
            }
        }
        if ours[..wanted] != theirs[..wanted] {
            return Ok(false);
        }
        offset += wanted as u64;
    }
    Ok(true)
}
