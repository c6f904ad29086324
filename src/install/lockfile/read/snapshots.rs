//! `snapshots`, and whether everything that is referred to is there.

use std::collections::BTreeMap;

use indexmap::IndexMap;
use rustc_hash::{FxHashMap, FxHashSet};

use super::node::Reader;
use crate::install::lockfile::yaml::{Entry, Node};
use crate::install::lockfile::{DepPath, Importer, Lockfile, LockfileError, Reference, Snapshot};
use crate::name::{PackageName, escaped};

pub(super) fn read<'a>(
    reader: &Reader<'a>,
    node: &Node<'a>,
) -> Result<IndexMap<DepPath, Snapshot>, LockfileError> {
    let entries = reader.mapping(node, "snapshots")?;
    let mut snapshots = IndexMap::with_capacity(entries.len());
    for entry in entries {
        let dep_path = DepPath::new(&entry.key)
            .map_err(|source| reader.dep_path_error(entry.at, &entry.key, source))?;
        snapshots.insert(dep_path, read_snapshot(reader, entry)?);
    }
    Ok(snapshots)
}

fn read_snapshot<'a>(reader: &Reader<'a>, snapshot: &Entry<'a>) -> Result<Snapshot, LockfileError> {
    let mut result = Snapshot::default();
    for entry in reader.mapping(&snapshot.value, &snapshot.key)? {
        let value = &entry.value;
        match &*entry.key {
            "dependencies" => result.dependencies = read_group(reader, entry)?,
            "optionalDependencies" => result.optional_dependencies = read_group(reader, entry)?,
            "transitivePeerDependencies" => {
                result.transitive_peer_dependencies = reader.text_list(value, &entry.key)?;
            }
            "optional" => result.optional = reader.boolean(value, &entry.key)?,
            "id" | "patched" => {
                result
                    .other
                    .insert((&*entry.key).into(), reader.json(value));
            }
            // What pnpm does not know it drops.
            _ => {}
        }
    }
    Ok(result)
}

fn read_group<'a>(
    reader: &Reader<'a>,
    group: &Entry<'a>,
) -> Result<BTreeMap<PackageName, Reference>, LockfileError> {
    let entries = reader.mapping(&group.value, &group.key)?.iter();
    let entries = entries.map(|entry| {
        let alias = reader.package_name(entry.at, &entry.key)?;
        let text = reader.text(&entry.value, &entry.key)?;
        let reference = Reference::parse(&alias, text)
            .map_err(|source| reader.dep_path_error(entry.at, text, source))?;
        Ok((alias, reference))
    });
    entries.collect()
}

/// Which references must name a snapshot that is there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum References {
    /// All of them.
    Whole,
    /// All but the optional dependencies of snapshots.
    OptionalMayLack,
}

/// Checks that everything that projects depend on is there. What no project depends on any more,
/// as merges leave it behind, is left out where something of it is missing: pnpm never looks at it.
pub(super) fn settle_references(lockfile: &mut Lockfile) -> Result<(), LockfileError> {
    let Err(error) = check_whole(lockfile) else {
        return Ok(());
    };
    let reached = reached(lockfile);
    if reached.len() == lockfile.snapshots.len() {
        return Err(error);
    }
    lockfile.snapshots.retain(|path, _| reached.contains(path));
    let ids: FxHashSet<&str> = reached.iter().map(DepPath::package_id_str).collect();
    lockfile.packages.retain(|id, _| ids.contains(id.as_str()));
    lockfile.leaves_out = true;
    check_whole(lockfile)
}

/// The snapshots that projects depend on, however far away.
fn reached(lockfile: &Lockfile) -> FxHashSet<DepPath> {
    let mut open: Vec<&Reference> = lockfile
        .importers
        .values()
        .flat_map(importer_references)
        .collect();
    let mut reached = FxHashSet::default();
    while let Some(reference) = open.pop() {
        let Reference::Package(path) = reference else {
            continue;
        };
        if let Some(snapshot) = lockfile.snapshots.get(path)
            && reached.insert(path.clone())
        {
            open.extend(snapshot.dependencies.values());
            open.extend(snapshot.optional_dependencies.values());
        }
    }
    reached
}

/// Leaves out whatever needs something that is not there, and has it chosen anew.
pub fn leave_out_dangling(lockfile: &mut Lockfile) {
    let mut dependants: FxHashMap<&DepPath, Vec<&DepPath>> = FxHashMap::default();
    let mut gone: FxHashSet<DepPath> = FxHashSet::default();
    let mut open: Vec<&DepPath> = Vec::new();
    for (path, snapshot) in &lockfile.snapshots {
        let mut is_whole = lockfile.packages.contains_key(path.package_id_str());
        let references = snapshot.dependencies.values();
        for reference in references.chain(snapshot.optional_dependencies.values()) {
            if let Reference::Package(needed) = reference {
                is_whole &= lockfile.snapshots.contains_key(needed);
                dependants.entry(needed).or_default().push(path);
            }
        }
        if !is_whole {
            open.push(path);
        }
    }
    while let Some(path) = open.pop() {
        if gone.insert(path.clone()) {
            open.extend(dependants.get(path).into_iter().flatten());
        }
    }
    lockfile.snapshots.retain(|path, _| !gone.contains(path));
    let snapshots = &lockfile.snapshots;
    for importer in lockfile.importers.values_mut() {
        for group in [
            &mut importer.dependencies,
            &mut importer.dev_dependencies,
            &mut importer.optional_dependencies,
        ] {
            group.retain(|_, dependency| match &dependency.reference {
                Reference::Link(_) => true,
                Reference::Package(path) => snapshots.contains_key(path),
            });
        }
    }
}

/// Every reference names a snapshot, and every snapshot has its package.
///
/// # Errors
/// The first that does not.
pub fn check_whole(lockfile: &Lockfile) -> Result<(), LockfileError> {
    check_references(lockfile, References::Whole)
}

/// The same, but for `references` that may lack.
pub(super) fn check_references(
    lockfile: &Lockfile,
    references: References,
) -> Result<(), LockfileError> {
    for (dep_path, snapshot) in &lockfile.snapshots {
        let package = dep_path.package_id_str();
        if !lockfile.packages.contains_key(package) {
            return Err(LockfileError::MissingPackage {
                snapshot: escaped(dep_path.as_str()),
                missing: escaped(package),
            });
        }
        for reference in snapshot.dependencies.values() {
            check_reference(lockfile, dep_path.as_str(), reference)?;
        }
        if references == References::Whole {
            for reference in snapshot.optional_dependencies.values() {
                check_reference(lockfile, dep_path.as_str(), reference)?;
            }
        }
    }
    for (id, importer) in &lockfile.importers {
        for reference in importer_references(importer) {
            check_reference(lockfile, id.as_str(), reference)?;
        }
    }
    Ok(())
}

fn importer_references(importer: &Importer) -> impl Iterator<Item = &Reference> {
    importer.all().map(|(_, dependency)| &dependency.reference)
}

fn check_reference(
    lockfile: &Lockfile,
    dependent: &str,
    reference: &Reference,
) -> Result<(), LockfileError> {
    match reference {
        Reference::Link(_) => Ok(()),
        Reference::Package(dep_path) if lockfile.snapshots.contains_key(dep_path) => Ok(()),
        Reference::Package(dep_path) => Err(LockfileError::DanglingReference {
            dependent: escaped(dependent),
            missing: escaped(dep_path.as_str()),
        }),
    }
}
