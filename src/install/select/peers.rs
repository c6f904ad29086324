//! Optional peers that are there only for a group that is left out.

use std::collections::HashSet;

use super::{IncludedGroups, importer_references};
use crate::install::lockfile::{
    DepPath, DependencyGroup, Importer, Lockfile, PackageInfo, Reference,
};

/// Takes from every snapshot the optional peers that a project has only in a group that is left
/// out: with `--prod`, a package of production that *may* use TypeScript does not bring in the
/// TypeScript that the project has for development. What an included package needs otherwise stays.
pub fn leave_out_peers(lockfile: &mut Lockfile, included: IncludedGroups) {
    let importers = lockfile.importers.clone();
    let excluded = excluded_dependencies(importers.values(), included);
    if excluded.is_empty() {
        return;
    }
    let needed = needed(lockfile, included, &excluded);
    let is_left_out = |package: Option<&PackageInfo>, alias: &str, reference: &Reference| {
        let Reference::Package(target) = reference else {
            return false;
        };
        excluded.contains(&(alias, target))
            && !needed.contains(target)
            && package.is_some_and(|package| package.is_optional_peer(alias))
    };
    let packages = &lockfile.packages;
    for (dep_path, snapshot) in &mut lockfile.snapshots {
        let package = packages.get(dep_path.package_id_str());
        snapshot
            .optional_dependencies
            .retain(|alias, reference| !is_left_out(package, alias.as_str(), reference));
        snapshot
            .dependencies
            .retain(|alias, reference| !is_left_out(package, alias.as_str(), reference));
    }
}

/// What projects depend on in the groups that are left out, by the name by which they do.
fn excluded_dependencies<'a>(
    importers: impl Iterator<Item = &'a Importer>,
    included: IncludedGroups,
) -> HashSet<(&'a str, &'a DepPath)> {
    let groups = importers.flat_map(Importer::groups);
    // With `--no-optional` nothing goes through optional dependencies anyway.
    let excluded = groups.filter(|(group, _)| match group {
        DependencyGroup::Optional => included.optional && !included.has(*group),
        DependencyGroup::Production | DependencyGroup::Development => !included.has(*group),
    });
    let dependencies = excluded.flat_map(|(_, dependencies)| dependencies);
    dependencies
        .filter_map(|(alias, dependency)| match &dependency.reference {
            Reference::Package(dep_path) => Some((alias.as_str(), dep_path)),
            Reference::Link(_) => None,
        })
        .collect()
}

/// What the included groups reach without an optional peer that `excluded` has.
fn needed<'a>(
    lockfile: &'a Lockfile,
    included: IncludedGroups,
    excluded: &HashSet<(&str, &DepPath)>,
) -> HashSet<DepPath> {
    let mut needed = HashSet::new();
    let mut pending: Vec<&'a Reference> = lockfile
        .importers
        .values()
        .flat_map(|importer| importer_references(importer, included))
        .collect();
    while let Some(reference) = pending.pop() {
        let Reference::Package(dep_path) = reference else {
            continue;
        };
        let Some(snapshot) = lockfile.snapshots.get(dep_path) else {
            continue;
        };
        if !needed.insert(dep_path.clone()) {
            continue;
        }
        let package = lockfile.packages.get(dep_path.package_id_str());
        let optional = included.optional.then_some(&snapshot.optional_dependencies);
        let edges = snapshot
            .dependencies
            .iter()
            .chain(optional.into_iter().flatten());
        pending.extend(edges.filter_map(|(alias, reference)| {
            let may_miss = matches!(reference, Reference::Package(target)
                if excluded.contains(&(alias.as_str(), target)))
                && package.is_some_and(|package| package.is_optional_peer(alias.as_str()));
            (!may_miss).then_some(reference)
        }));
    }
    needed
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::install::lockfile::read_lockfile;

    const LOCKFILE: &str = "lockfileVersion: '9.0'

importers:

  .:
    dependencies:
      tool:
        specifier: 1.0.0
        version: 1.0.0(dev@1.0.0)(both@1.0.0)(deep@1.0.0)
      user:
        specifier: 1.0.0
        version: 1.0.0
    devDependencies:
      both:
        specifier: 1.0.0
        version: 1.0.0
      brings:
        specifier: 1.0.0
        version: 1.0.0
      dev:
        specifier: 1.0.0
        version: 1.0.0

packages:

  both@1.0.0:
    resolution: {integrity: sha512-YQ==}

  brings@1.0.0:
    resolution: {integrity: sha512-YQ==}

  deep@1.0.0:
    resolution: {integrity: sha512-YQ==}

  dev@1.0.0:
    resolution: {integrity: sha512-YQ==}

  tool@1.0.0:
    resolution: {integrity: sha512-YQ==}
    peerDependencies:
      both: '*'
      deep: '*'
      dev: '*'
    peerDependenciesMeta:
      both:
        optional: true
      deep:
        optional: true
      dev:
        optional: true

  user@1.0.0:
    resolution: {integrity: sha512-YQ==}

snapshots:

  both@1.0.0: {}

  brings@1.0.0:
    dependencies:
      deep: 1.0.0

  deep@1.0.0: {}

  dev@1.0.0: {}

  tool@1.0.0(dev@1.0.0)(both@1.0.0)(deep@1.0.0):
    optionalDependencies:
      both: 1.0.0
      deep: 1.0.0
      dev: 1.0.0

  user@1.0.0:
    dependencies:
      both: 1.0.0
";

    fn peers_of_tool(included: IncludedGroups) -> Vec<String> {
        let mut lockfile = read_lockfile(LOCKFILE).expect("a lockfile");
        leave_out_peers(&mut lockfile, included);
        let mut snapshots = lockfile.snapshots.iter();
        let (_, tool) = snapshots
            .find(|(dep_path, _)| dep_path.as_str().starts_with("tool@"))
            .expect("the tool");
        tool.optional_dependencies
            .keys()
            .map(|alias| alias.as_str().to_owned())
            .collect()
    }

    #[test]
    fn peers_that_only_development_has_are_left_out_with_it() {
        assert_eq!(peers_of_tool(IncludedGroups::ALL), ["both", "deep", "dev"]);
        let production = IncludedGroups {
            development: false,
            ..IncludedGroups::ALL
        };
        assert_eq!(peers_of_tool(production), ["both", "deep"]);
    }
}
