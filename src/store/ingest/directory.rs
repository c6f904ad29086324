//! A directory of files instead of an archive: `file:` dependencies and git checkouts.
//!
//! **Architecture Invariant:** nothing outside the directory is read. Each component is opened
//! relative to the directory above it and never through a symbolic link.

use std::io::{self, Read};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use walkdir::WalkDir;

use crate::limits::{PACKAGE_ENTRIES_MAX, UNPACKED_BYTES_FLOOR};
use crate::name::{NameError, RelativePath};
use crate::store::error::{Refusal, StoreError};
use crate::sys;

use super::stream::Collector;
use super::tar::Skipped;
use super::{IngestOptions, Packed, Workshop};

/// Stores the regular files of the directory `root` as a pack.
pub(crate) fn ingest(
    workshop: Workshop<'_>,
    root: &Path,
    options: &IngestOptions<'_>,
) -> Result<Packed, StoreError> {
    let refused = |refusal| options.refused(refusal);
    let base = match options.subdirectory {
        Some(directory) => root.join(directory.as_str()),
        None => root.to_path_buf(),
    };
    let mut skipped = Skipped::default();
    let listed;
    let paths = match options.only {
        Some(paths) => paths,
        None => {
            listed = list(&base, &mut skipped).map_err(refused)?;
            &listed
        }
    };
    let directory =
        sys::store::open_directory(root).map_err(StoreError::io("open the directory", root))?;
    let mut collector = Collector::new(workshop.root)?;
    for path in paths {
        let below = match options.subdirectory {
            Some(directory) => format!("{directory}/{path}"),
            None => path.as_str().to_owned(),
        };
        let file = match sys::store::open_beneath(&directory, &below) {
            Ok(file) => file,
            Err(error) if sys::store::is_not_regular_refusal(&error) => {
                skipped.links += 1;
                continue;
            }
            Err(error) => return Err(StoreError::io("read", base.join(path.as_str()))(error)),
        };
        let attributes = file
            .metadata()
            .map_err(StoreError::io("read", base.join(path.as_str())))?;
        if !attributes.is_file() {
            return Err(refused(Refusal::EntryType {
                path: path.as_str().to_owned(),
                kind: "of no regular file".to_owned(),
            }));
        }
        let executable = attributes.permissions().mode() & 0o111 != 0;
        let left = UNPACKED_BYTES_FLOOR.saturating_sub(collector.length());
        let mut content = file.take(left + 1);
        collector
            .add(path.clone(), executable, &mut content)
            .map_err(|failure| failure.into_error(options))?;
        if collector.length() > UNPACKED_BYTES_FLOOR {
            return Err(refused(Refusal::TooLarge {
                what: "bytes",
                limit: UNPACKED_BYTES_FLOOR,
            }));
        }
    }
    collector.finish(workshop, skipped, options)
}

/// Every regular file below `base` that is not in a directory called `node_modules`.
fn list(base: &Path, skipped: &mut Skipped) -> Result<Vec<RelativePath>, Refusal> {
    let mut paths = Vec::new();
    let walk = WalkDir::new(base)
        .follow_links(false)
        .follow_root_links(false)
        .into_iter()
        .filter_entry(|entry| {
            entry.depth() == 0 || !entry.file_type().is_dir() || entry.file_name() != "node_modules"
        });
    for entry in walk {
        let entry = entry.map_err(|error| {
            let error = error.into_io_error();
            Refusal::Read(error.unwrap_or_else(|| io::ErrorKind::Other.into()))
        })?;
        if entry.file_type().is_symlink() {
            skipped.links += 1;
        }
        if !entry.file_type().is_file() {
            continue;
        }
        if paths.len() == PACKAGE_ENTRIES_MAX {
            return Err(Refusal::TooLarge {
                what: "files",
                limit: PACKAGE_ENTRIES_MAX as u64,
            });
        }
        let below = entry.path().strip_prefix(base).unwrap_or(entry.path());
        let refuse = |reason| Refusal::Path {
            path: below.to_string_lossy().into_owned(),
            reason,
        };
        let text = below.to_str().ok_or_else(|| refuse(NameError::Encoding))?;
        paths.push(RelativePath::new(text).map_err(refuse)?);
    }
    Ok(paths)
}
