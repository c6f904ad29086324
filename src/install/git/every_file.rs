//! Every file of a directory (`deployAllFiles`).

use std::path::Path;

use super::packlist::{PackList, PackListError};
use super::tree::{Disk, EntryKind, PackTree};
use crate::limits::PACKAGE_ENTRIES_MAX;
use crate::name::{NameError, RelativePath};

/// What becomes of a `node_modules`.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Below {
    /// It is left out.
    LeftOut,
    /// It is listed too.
    Kept,
}

/// Lists everything in `directory`. Symlinks are not followed.
///
/// # Errors
/// Something cannot be read, or has a name that no package may have.
pub(super) fn every_file(directory: &Path, below: Below) -> Result<PackList, PackListError> {
    let mut list = PackList::default();
    enter(directory, ("", below), &mut list)?;
    list.files.sort();
    list.links.sort();
    Ok(list)
}

/// Lists the directory `base` (a path with a slash at its end, or nothing).
fn enter(
    root: &Path,
    (base, below): (&str, Below),
    list: &mut PackList,
) -> Result<(), PackListError> {
    let directory = root.join(base);
    let failed = |source| PackListError::Read {
        path: directory.clone(),
        source,
    };
    for (name, kind) in Disk::new(root).list(base).map_err(failed)? {
        let refused = |source| PackListError::Name {
            name: name.to_string_lossy().into_owned(),
            directory: directory.clone(),
            source,
        };
        let name = name.to_str().ok_or_else(|| refused(NameError::Encoding))?;
        if (name == "node_modules" && below == Below::LeftOut) || kind == EntryKind::Other {
            continue;
        }
        let path = format!("{base}{name}");
        let packed = RelativePath::new(&path).map_err(refused)?;
        match kind {
            EntryKind::Directory => enter(root, (&format!("{path}/"), below), list)?,
            EntryKind::Symlink => list.links.push(packed),
            EntryKind::File | EntryKind::Other => list.files.push(packed),
        }
        if list.files.len() > PACKAGE_ENTRIES_MAX {
            let directory = root.to_path_buf();
            return Err(PackListError::TooMany { directory });
        }
    }
    Ok(())
}
