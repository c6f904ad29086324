//! The lockfile of what is installed, `node_modules/.pnpm/lock.yaml`.

use super::{
    IncludedGroups, SelectError, chosen_importers, importer_references, snapshot_references,
};
use crate::install::lockfile::{DependencyGroup, Importer, ImporterId, Lockfile, Reference};

/// What pnpm keeps of `lockfile` beside an install of `importers` (`None` means all) with the
/// groups `included`.
///
/// Packages that do not fit the machine stay in it. So do the names of optional dependencies in
/// snapshots whose own entries are left out, which is why it is read back with
/// [`read_current_lockfile`](crate::install::lockfile::read_current_lockfile). Where no importer of
/// the result has a dependency pnpm writes no file.
///
/// # Errors
/// [`SelectError::UnknownImporter`].
pub fn current_lockfile(
    lockfile: &Lockfile,
    importers: Option<&[ImporterId]>,
    included: IncludedGroups,
) -> Result<Lockfile, SelectError> {
    let chosen = chosen_importers(lockfile, importers)?;
    let mut is_kept = vec![false; lockfile.snapshots.len()];
    let mut pending: Vec<&Reference> = Vec::new();
    for (_, importer) in &chosen {
        pending.extend(importer_references(importer, included));
    }
    while let Some(reference) = pending.pop() {
        let Reference::Package(dep_path) = reference else {
            continue;
        };
        let Some((index, _, snapshot)) = lockfile.snapshots.get_full(dep_path) else {
            continue;
        };
        if !std::mem::replace(&mut is_kept[index], true) {
            pending.extend(snapshot_references(snapshot, included));
        }
    }
    let snapshots = lockfile.snapshots.iter().zip(&is_kept);
    let snapshots = snapshots.filter(|(_, is_kept)| **is_kept);
    let snapshots: indexmap::IndexMap<_, _> = snapshots
        .map(|((dep_path, snapshot), _)| (dep_path.clone(), snapshot.clone()))
        .collect();
    let kept_packages: std::collections::HashSet<&str> = snapshots
        .keys()
        .map(|dep_path| dep_path.package_id_str())
        .collect();
    let packages = lockfile.packages.iter();
    let packages = packages.filter(|(id, _)| kept_packages.contains(id.as_str()));
    let packages = packages
        .map(|(id, package)| (id.clone(), package.clone()))
        .collect();
    let importers = chosen.into_iter();
    let importers = importers.map(|(id, importer)| (id.clone(), filtered(importer, included)));
    Ok(Lockfile {
        importers: importers.collect(),
        packages,
        snapshots,
        environment_document: None,
        leaves_out: false,
        version: lockfile.version.clone(),
        settings: lockfile.settings.clone(),
        catalogs: lockfile.catalogs.clone(),
        overrides: lockfile.overrides.clone(),
        package_extensions_checksum: lockfile.package_extensions_checksum.clone(),
        pnpmfile_checksum: lockfile.pnpmfile_checksum.clone(),
        patched_dependencies: lockfile.patched_dependencies.clone(),
        ignored_optional_dependencies: lockfile.ignored_optional_dependencies.clone(),
        other: lockfile.other.clone(),
    })
}

fn filtered(importer: &Importer, included: IncludedGroups) -> Importer {
    let mut importer = importer.clone();
    if !included.has(DependencyGroup::Production) {
        importer.dependencies.clear();
    }
    if !included.has(DependencyGroup::Development) {
        importer.dev_dependencies.clear();
    }
    if !included.has(DependencyGroup::Optional) {
        importer.optional_dependencies.clear();
    }
    importer
}
