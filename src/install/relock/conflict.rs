//! A lockfile with the markers of a merge in it: both sides are read and put together; what does
//! not fit afterwards is resolved again.

use std::collections::BTreeMap;

use crate::install::lockfile::{
    ImporterDependency, Lockfile, LockfileError, Reference, read_lockfile,
};
use crate::install::semver::Version;
use crate::name::PackageName;

const OURS: &str = "<<<<<<<";
const BASE: &str = "|||||||";
const MIDDLE: &str = "=======";
const THEIRS: &str = ">>>>>>>";

/// Whether a merge left its markers in `text`.
pub fn has_conflict(text: &str) -> bool {
    text.lines().any(|line| line.starts_with(OURS))
}

/// Both sides of a merge, put together: the higher version of a project's dependency, and
/// everything that either side has beyond that.
///
/// # Errors
/// A side is no lockfile.
pub fn merged(text: &str) -> Result<Lockfile, LockfileError> {
    let (ours, theirs) = sides(text);
    Ok(put_together(read_lockfile(&ours)?, read_lockfile(&theirs)?))
}

/// Two lockfiles as one, as for the sides of a merge.
pub fn put_together(ours: Lockfile, theirs: Lockfile) -> Lockfile {
    let mut merged = ours;
    for (id, importer) in theirs.importers {
        let Some(known) = merged.importers.get_mut(&id) else {
            merged.importers.insert(id, importer);
            continue;
        };
        merge(&mut known.dependencies, importer.dependencies);
        merge(&mut known.dev_dependencies, importer.dev_dependencies);
        merge(
            &mut known.optional_dependencies,
            importer.optional_dependencies,
        );
    }
    for (id, package) in theirs.packages {
        merged.packages.entry(id).or_insert(package);
    }
    for (path, snapshot) in theirs.snapshots {
        merged.snapshots.entry(path).or_insert(snapshot);
    }
    merged
}

fn merge(
    ours: &mut BTreeMap<PackageName, ImporterDependency>,
    theirs: BTreeMap<PackageName, ImporterDependency>,
) {
    for (alias, dependency) in theirs {
        let is_higher = ours
            .get(&alias)
            .is_none_or(|known| version(&dependency) > version(known));
        if is_higher {
            ours.insert(alias, dependency);
        }
    }
}

fn version(dependency: &ImporterDependency) -> Option<Version> {
    match &dependency.reference {
        Reference::Package(path) => Version::parse(path.version()),
        Reference::Link(_) => None,
    }
}

fn sides(text: &str) -> (String, String) {
    let (mut ours, mut theirs) = (String::new(), String::new());
    let mut place = Place::Both;
    for line in text.lines() {
        place = match place {
            _ if line.starts_with(OURS) => Place::Ours,
            Place::Ours if line.starts_with(BASE) => Place::Base,
            Place::Ours | Place::Base if line.starts_with(MIDDLE) => Place::Theirs,
            Place::Theirs if line.starts_with(THEIRS) => Place::Both,
            place => {
                for (side, is_wanted) in [
                    (&mut ours, matches!(place, Place::Both | Place::Ours)),
                    (&mut theirs, matches!(place, Place::Both | Place::Theirs)),
                ] {
                    if is_wanted {
                        side.push_str(line);
                        side.push('\n');
                    }
                }
                place
            }
        };
    }
    (ours, theirs)
}

/// Where a line stands.
#[derive(Clone, Copy)]
enum Place {
    Both,
    Ours,
    Base,
    Theirs,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_sides_come_out_of_a_conflict() {
        let text = "a\n<<<<<<< HEAD\nb\n||||||| base\nx\n=======\nc\n>>>>>>> other\nd\n";
        assert!(has_conflict(text));
        assert_eq!(
            sides(text),
            ("a\nb\nd\n".to_owned(), "a\nc\nd\n".to_owned())
        );
    }
}
