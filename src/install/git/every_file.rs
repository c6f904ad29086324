//! Every file of a directory (`deployAllFiles`).

use std::path::Path;

use super::packlist::{PackList, PackListError};
use super::tree::{Disk, EntryKind, PackTree};
use crate::limits::PACKAGE_ENTRIES_MAX;
use crate::name::{NameError, RelativePath};

/// Lists everything in `directory` but what is in a `node_modules`. Symlinks are not followed.
///
/// # Errors
/// Something cannot be read, or has a name that no package may have.
pub(super) fn every_file(directory: &Path) -> Result<PackList, PackListError> {
    let mut list = PackList::default();
    enter(directory, "", &mut list)?;
    list.files.sort();
    list.links.sort();
    Ok(list)
}

/// Lists the directory `base` (a path with a slash at its end, or nothing).
fn enter(root: &Path, base: &str, list: &mut PackList) -> Result<(), PackListError> {
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
        if name == "node_modules" || kind == EntryKind::Other {
            continue;
        }
        let path = format!("{base}{name}");
        let packed = RelativePath::new(&path).map_err(refused)?;
        match kind {
            EntryKind::Directory => enter(root, &format!("{path}/"), list)?,
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
