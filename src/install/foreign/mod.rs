//! Lockfiles of other installers, as far as `import` goes: which versions they pin.
//!
//! ```text
//! yarn.lock (classic, berry)
//! package-lock.json           name and versions: preferred while
//! npm-shrinkwrap.json         everything is resolved
//! bun.lock
//! ```
//!
//! Ranges still decide which versions are eligible; of those the pinned ones are taken. Addresses
//! and digests are not carried over: they come from the registries, as for any resolution.
//!
//! **Architecture Invariant:** nothing here writes, and no name that is none leaves this module.

mod bun;
mod error;
mod npm;
mod versions;
mod yarn_berry;
mod yarn_classic;

use std::collections::BTreeMap;
use std::path::Path;

pub use error::{ForeignError, ForeignFault};
pub use versions::Versions;

use crate::install::lockfile::ImporterId;
use crate::install::relock::has_conflict;
use crate::install::workspace::Project;
use crate::limits::LOCKFILE_BYTES_MAX;
use crate::name::PackageName;
use crate::sys;

const YARN: &str = "yarn.lock";

const BUN: &str = "bun.lock";

/// bun's lockfile of old, which is no text.
const BUN_BINARY: &str = "bun.lockb";

/// The lockfiles, the one that counts first.
const FILES: [(&str, Reader); 4] = [
    (YARN, read_yarn),
    ("package-lock.json", npm::read),
    ("npm-shrinkwrap.json", npm::read),
    (BUN, bun::read),
];

type Reader = fn(&str) -> Result<Versions, ForeignFault>;

/// What other installers pin.
#[derive(Debug, Clone, Default)]
pub struct Pinned {
    /// For every project.
    pub all: Versions,
    /// What projects have in a `yarn.lock` of their own: it replaces what `all` has of a name.
    pub own: BTreeMap<ImporterId, Versions>,
    /// What is pinned goes before what a dist-tag names now.
    pub before_tags: bool,
}

/// Reads the lockfile in `directory`, and every `yarn.lock` of a project.
///
/// # Errors
/// There is none in `directory`, or one that cannot be read or trusted.
pub fn read(directory: &Path, projects: &[Project]) -> Result<Pinned, ForeignError> {
    let found = FILES
        .iter()
        .find(|(name, _)| directory.join(name).is_file());
    let Some((name, reader)) = found else {
        let binary = directory.join(BUN_BINARY);
        return Err(match binary.is_file() {
            true => ForeignError::Binary { path: binary },
            false => ForeignError::NotFound {
                directory: directory.to_owned(),
            },
        });
    };
    let mut pinned = Pinned {
        all: read_file(&directory.join(name), reader)?,
        own: BTreeMap::new(),
        // pnpm asks the registry where a tag is wanted, and has no say about this one.
        before_tags: *name == BUN,
    };
    for project in projects {
        let path = project.directory.join(YARN);
        if project.directory != directory && path.is_file() {
            let versions = read_file(&path, read_yarn)?;
            pinned.own.insert(project.id.clone(), versions);
        }
    }
    Ok(pinned)
}

/// What the lockfile in `directory` says that packages are replaced by; other installers than bun
/// do not write it down.
///
/// # Errors
/// The lockfile cannot be read or trusted.
pub fn overrides(directory: &Path) -> Result<Vec<(PackageName, String)>, ForeignError> {
    let mut files = FILES.iter().map(|(name, _)| *name);
    match files.find(|name| directory.join(name).is_file()) {
        Some(BUN) => read_file(&directory.join(BUN), bun::overrides),
        _ => Ok(Vec::new()),
    }
}

fn read_file<T>(
    path: &Path,
    reader: impl Fn(&str) -> Result<T, ForeignFault>,
) -> Result<T, ForeignError> {
    let text =
        sys::file::read_text(path, LOCKFILE_BYTES_MAX).map_err(|source| ForeignError::Read {
            path: path.to_owned(),
            source,
        })?;
    if has_conflict(&text) {
        return Err(ForeignError::Conflict {
            path: path.to_owned(),
        });
    }
    reader(&text).map_err(|source| ForeignError::Broken {
        path: path.to_owned(),
        source,
    })
}

/// Only later versions of yarn write what they know of the file itself.
fn read_yarn(text: &str) -> Result<Versions, ForeignFault> {
    match text.lines().any(|line| line.starts_with("__metadata:")) {
        true => yarn_berry::read(text),
        false => yarn_classic::read(text),
    }
}
