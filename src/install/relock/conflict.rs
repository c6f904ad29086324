//! A lockfile with the markers of a merge in it: both sides are read and put together; what does
//! not fit afterwards is resolved again.

use std::collections::BTreeMap;

use indexmap::IndexMap;

use crate::install::lockfile::{
    ImporterDependency, Lockfile, LockfileError, Reference, leave_out_dangling, read_side,
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
    let [ours, theirs] = [ours, theirs].map(|side| read_side(&joined(&side)));
    let mut lockfile = put_together(ours?, theirs?);
    // What one side took out may be what the other has come to need.
    leave_out_dangling(&mut lockfile);
    Ok(lockfile)
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

/// A side of a merge with each section once: where a conflict begins in one section and ends in
/// the next, that one's key stands in the conflict and after it.
fn joined(side: &str) -> String {
    let mut out = String::with_capacity(side.len());
    let mut sections: IndexMap<&str, String> = IndexMap::new();
    let mut key = "";
    for line in side.lines() {
        if line == "---" {
            // Another document begins.
            out.extend(sections.drain(..).map(|(_, section)| section));
            key = "";
        }
        if line.starts_with(|first: char| first.is_ascii_alphabetic()) {
            key = line;
        }
        let section = sections.entry(key).or_default();
        if line != key || section.is_empty() {
            section.push_str(line);
            section.push('\n');
        }
    }
    out.extend(sections.into_values());
    out
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
    fn a_section_that_a_conflict_ends_in_stands_there_once() {
        let side = "a: 1\n\nb:\n  - x\n\nc:\n\nc:\n\n  y: z\n";
        assert_eq!(joined(side), "a: 1\n\nb:\n  - x\n\nc:\n\n\n  y: z\n");
        let documents = "---\na: 1\n\n---\na: 1\nb: 2\n";
        assert_eq!(joined(documents), documents);
    }

    #[test]
    fn what_one_side_needs_and_the_other_took_out_is_left_out() {
        let entry = |version: &str, specifier: &str| {
            format!("      a:\n        specifier: {specifier}\n        version: {version}\n")
        };
        let integrity = format!("sha512-{}==", "A".repeat(86));
        let text = format!(
            "lockfileVersion: '9.0'\nimporters:\n  .:\n    dependencies:\n<<<<<<< HEAD\n{}\
             =======\n{}>>>>>>> b\n      b:\n        specifier: '1'\n        version: 1.0.0\n\
             packages:\n  a@1.0.0:\n    resolution: {{integrity: {integrity}}}\n  b@1.0.0:\n    \
             resolution: {{integrity: {integrity}}}\nsnapshots:\n  a@1.0.0: {{}}\n  b@1.0.0:\n    \
             dependencies:\n      c: 1.0.0\n",
            entry("1.0.0", "1.0.0"),
            entry("2.0.0", "^2.0.0"),
        );
        let lockfile = merged(&text).expect("a lockfile");
        assert_eq!(lockfile.snapshots.len(), 1);
        let importer = lockfile.importers.values().next().expect("an importer");
        assert!(importer.dependencies.is_empty());
    }

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
