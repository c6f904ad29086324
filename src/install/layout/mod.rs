//! The tree that an install makes: directories, symlinks, generated files, and which package sits
//! where. The sibling modules build it for each linker; the model is what `fs` sees.
//!
//! **Architecture Invariant:** building a layout never looks into a package and never touches the
//! disk. It is a function of lockfile, configuration, platform and the store's records.

mod bins;
mod error;
mod flatten;
mod graph;
mod hoist;
mod hoisted;
mod input;
mod isolated;
pub mod model;
mod pattern;
mod placed;
mod state;
mod tree;

pub use error::LayoutError;
pub use input::*;
pub use model::*;
pub(crate) use pattern::NamePatterns;
pub use placed::{PlacedInput, build_placed};

pub use state::*;

use std::collections::BTreeSet;

use crate::install::lockfile::{Lockfile, Reference};

/// Builds the layout of everything that is installed.
///
/// # Errors
/// Where the lockfile does not hang together, or a name cannot be that of a directory entry.
pub fn build_layout(input: &LayoutInput<'_>) -> Result<BuiltLayout, LayoutError> {
    match input.settings.node_linker {
        NodeLinker::Isolated => isolated::build(input),
        NodeLinker::Hoisted => hoisted::build(input),
    }
}

/// The directories whose manifests [`LayoutInput::manifests`] should have: every project's, and
/// those that a `link:` leads to. Relative to the lockfile's directory, `.` for that itself;
/// outside the workspace they climb (`../x`) or are absolute.
pub fn linked_directories(lockfile: &Lockfile) -> BTreeSet<Box<str>> {
    let mut directories = BTreeSet::new();
    let mut add = |from: &str, reference: &Reference| {
        if let Reference::Link(path) = reference {
            let path = graph::resolve_path(from, path);
            directories.insert(if path.is_empty() { ".".into() } else { path });
        }
    };
    for (id, importer) in &lockfile.importers {
        for (_, dependency) in importer.all() {
            add(id.as_str(), &dependency.reference);
        }
    }
    for snapshot in lockfile.snapshots.values() {
        for reference in snapshot
            .dependencies
            .values()
            .chain(snapshot.optional_dependencies.values())
        {
            add("", reference);
        }
    }
    directories.extend(lockfile.importers.keys().map(|id| id.as_str().into()));
    directories
}

/// Whether pnpm's `patterns` mean `name`.
pub fn matches_name(patterns: &[Box<str>], name: &str) -> bool {
    NamePatterns::new(patterns).matches(name)
}
