//! Dependencies that are added to projects whose others are all in the lockfile already.
//!
//! What is added is chosen beside the projects' other dependencies, and these are not gone into:
//! the lockfile has what is below them, and would get it again. That is so where the two parts
//! have nothing to say to each other: nothing that is added has peers or is a peer of anything,
//! and what both parts have depends on the same in both. Else nothing is found here, and all is
//! gone through.

use std::collections::BTreeSet;

use rustc_hash::{FxHashMap, FxHashSet};

use super::hoist::Declared;
use super::reuse::{Prior, Update, references, stays};
use super::tree::Tree;
use super::versions::satisfies;
use super::{Resolution, ResolveError, ResolveProject, Settings, Source};
use crate::install::lockfile::{
    DepPath, DependencyGroup, Importer, ImporterDependency, Lockfile, PackageInfo, Reference,
    Snapshot,
};
use crate::name::PackageName;

/// What is added, and to what.
struct Addition<'a> {
    previous: &'a Lockfile,
    /// Aliases that projects declare and the lockfile does not have for them, by place.
    added: Vec<FxHashSet<&'a str>>,
    /// Packages that projects depend on: what is below them was not gone into.
    direct: FxHashSet<&'a str>,
    /// Peers of packages and projects.
    peers: FxHashSet<&'a str>,
}

impl Resolution<'_> {
    /// The lockfile with what projects ask for beside what it has. `None`: it takes more than
    /// that to tell.
    pub(super) fn with_additions(
        &self,
        settings: &Settings,
        source: &dyn Source,
        given: &[&ResolveProject],
        declared: &[Vec<Declared>],
    ) -> Result<Option<Lockfile>, ResolveError> {
        let _span = tracing::info_span!("add").entered();
        let Some(addition) = self.addition(settings, given, declared) else {
            return Ok(None);
        };
        let updates = given.iter().map(|project| project.update.clone()).collect();
        let mut prior = Prior::new(addition.previous, true, updates);
        prior.takes_direct_alone = true;
        let mut tree = Tree::new(settings, source, Some(prior));
        let options = settings.peer_options();
        // The copy takes as long as the choice.
        std::thread::scope(|scope| {
            let previous = addition.previous;
            let builder = std::thread::Builder::new().name("copy".to_owned());
            let copy = builder.spawn_scoped(scope, || previous.clone());
            let projects = self.walk(&mut tree, &options, given, declared)?;
            if !tree.failed.is_empty() {
                return Ok(None);
            }
            let chosen = self.finish(settings, &tree, &projects, given, &options);
            let copy = || match copy.map(std::thread::ScopedJoinHandle::join) {
                Ok(Ok(copy)) => copy,
                Ok(Err(panic)) => std::panic::resume_unwind(panic),
                Err(_) => previous.clone(),
            };
            Ok(addition.joined(chosen, copy, given))
        })
    }

    fn addition<'s>(
        &'s self,
        settings: &Settings,
        given: &[&'s ResolveProject],
        declared: &'s [Vec<Declared>],
    ) -> Option<Addition<'s>> {
        let (previous, takes_subtrees) = self.previous?;
        let is_same = takes_subtrees
            && previous.settings.as_ref() == Some(&self.recorded.written())
            && previous.patched_dependencies.is_empty()
            && self.recorded.patched_dependencies.is_empty()
            && previous.importers.len() == given.len();
        if !is_same || settings.time_based {
            return None;
        }
        if settings.auto_install_peers && has_peers_to_give(previous) {
            return None;
        }
        let mut addition = Addition {
            previous,
            added: Vec::with_capacity(given.len()),
            direct: FxHashSet::default(),
            peers: peers(previous, given.iter().copied()),
        };
        for (project, declared) in given.iter().zip(declared) {
            let importer = previous.importers.get(&project.id)?;
            if !keeps_all(previous, importer, project, settings) {
                return None;
            }
            addition.direct.extend(packages_of(importer));
            let is_new = |alias: &&str| importer.get(alias).is_none();
            let aliases = declared.iter().map(|one| one.alias.as_str());
            addition.added.push(aliases.filter(is_new).collect());
        }
        addition.is_apart(given).then_some(addition)
    }
}

impl Addition<'_> {
    /// Whether there is something new, and no package that is there knows it by name.
    fn is_apart(&self, given: &[&ResolveProject]) -> bool {
        let mut names: FxHashSet<&str> = self.added.iter().flatten().copied().collect();
        if names.is_empty() || names.iter().any(|name| self.peers.contains(name)) {
            return false;
        }
        for project in given {
            match &project.update {
                Update::Nothing => {}
                Update::Everything(_) => return false,
                Update::Packages(updated, _) => names.extend(updated.iter().map(|name| &**name)),
            }
        }
        let is_known = |info: &PackageInfo| names.contains(info.name.as_str());
        let asks = |snapshot: &Snapshot| {
            references(snapshot).any(|(alias, ..)| names.contains(alias.as_str()))
        };
        !self.previous.packages.values().any(is_known)
            && !self.previous.snapshots.values().any(asks)
    }

    /// The lockfile so far with what was `chosen` for the new dependencies. `None`: the two parts
    /// would change each other.
    /// `copy`: of the lockfile so far.
    fn joined(
        &self,
        mut chosen: Lockfile,
        copy: impl FnOnce() -> Lockfile,
        given: &[&ResolveProject],
    ) -> Option<Lockfile> {
        let mut roots: Vec<(DepPath, bool)> = Vec::new();
        for (project, added) in given.iter().zip(&self.added) {
            let importer = chosen.importers.get(&project.id)?;
            for (group, dependencies) in importer.groups() {
                for (alias, dependency) in dependencies {
                    if !added.contains(alias.as_str()) {
                        continue;
                    }
                    let Reference::Package(path) = &dependency.reference else {
                        return None;
                    };
                    let is_catalog = dependency.specifier.starts_with("catalog:");
                    if is_catalog || self.previous.packages.contains_key(&path.package_id()) {
                        return None;
                    }
                    roots.push((path.clone(), group == DependencyGroup::Optional));
                }
            }
        }
        let new = self.new_below(&chosen, &roots)?;
        let mut lockfile = copy();
        for path in new {
            let id = path.package_id();
            lockfile
                .packages
                .insert(id.clone(), chosen.packages.swap_remove(&id)?);
            let snapshot = chosen.snapshots.swap_remove(&path)?;
            lockfile.snapshots.insert(path, snapshot);
        }
        lockfile.packages.sort_unstable_keys();
        lockfile.snapshots.sort_unstable_keys();
        lockfile.importers = chosen.importers;
        for (id, importer) in &mut lockfile.importers {
            keep_references(importer, self.previous.importers.get(id)?);
        }
        require(&mut lockfile, roots);
        Some(lockfile)
    }

    /// What is below `roots` and not in the lockfile yet. `None`: it has to do with peers, is not
    /// from a registry, or gives something that is there other dependencies.
    fn new_below(&self, chosen: &Lockfile, roots: &[(DepPath, bool)]) -> Option<BTreeSet<DepPath>> {
        let mut new = BTreeSet::new();
        let mut seen: FxHashSet<&DepPath> = FxHashSet::default();
        let mut open: Vec<&DepPath> = roots.iter().map(|(path, _)| path).collect();
        while let Some(path) = open.pop() {
            if !seen.insert(path) {
                continue;
            }
            let info = chosen.packages.get(path.package_id_str())?;
            let snapshot = chosen.snapshots.get(path)?;
            if !path.peers_suffix().is_empty() || has_peers(info, snapshot) {
                return None;
            }
            match self.previous.packages.get(path.package_id_str()) {
                Some(known) => {
                    let before = self.previous.snapshots.get(path)?;
                    if has_peers(known, before) {
                        return None;
                    }
                    if self.direct.contains(path.package_id_str()) {
                        continue;
                    }
                    let is_same = before.dependencies == snapshot.dependencies
                        && before.optional_dependencies == snapshot.optional_dependencies;
                    if !is_same {
                        return None;
                    }
                }
                None => {
                    if !path.is_from_registry() || self.peers.contains(path.name_str()) {
                        return None;
                    }
                    new.insert(path.clone());
                }
            }
            for (_, reference, _) in references(snapshot) {
                match reference {
                    Reference::Package(child) => open.push(child),
                    Reference::Link(_) => return None,
                }
            }
        }
        Some(new)
    }
}

pub(super) fn has_peers(info: &PackageInfo, snapshot: &Snapshot) -> bool {
    !info.peer_dependencies.is_empty()
        || info.peer_dependencies_meta.is_some()
        || !snapshot.transitive_peer_dependencies.is_empty()
}

/// Whether a package lacks an optional peer that the lockfile has a version for. What pnpm chooses
/// today has none such, or hardly any: it was chosen by an older one, and is gone through.
fn has_peers_to_give(lockfile: &Lockfile) -> bool {
    let mut versions: FxHashMap<&str, Vec<&str>> = FxHashMap::default();
    for path in lockfile.snapshots.keys() {
        let known = versions.entry(path.name_str()).or_default();
        known.push(path.version());
    }
    lockfile.snapshots.iter().any(|(path, snapshot)| {
        let info = lockfile.packages.get(path.package_id_str());
        info.is_some_and(|info| {
            let lacks = |name: &str, range: &str| {
                let known = versions.get(name).map_or(&[][..], Vec::as_slice);
                info.is_optional_peer(name)
                    && known.iter().any(|version| satisfies(version, range))
                    && !references(snapshot).any(|(alias, ..)| alias.as_str() == name)
            };
            let mut peers = info.peer_dependencies.iter();
            peers.any(|(name, range)| lacks(name, range))
        })
    })
}

/// Names that something asks for as a peer.
pub(super) fn peers<'a>(
    previous: &'a Lockfile,
    given: impl IntoIterator<Item = &'a ResolveProject>,
) -> FxHashSet<&'a str> {
    let mut peers: FxHashSet<&str> = FxHashSet::default();
    for info in previous.packages.values() {
        peers.extend(info.peer_dependencies.keys().map(|name| &**name));
        let meta = info.peer_dependencies_meta.as_ref();
        let meta = meta.and_then(serde_json::Value::as_object);
        peers.extend(
            meta.into_iter()
                .flat_map(|meta| meta.keys().map(String::as_str)),
        );
    }
    for project in given {
        peers.extend(
            project
                .recorded
                .peer_dependencies
                .keys()
                .map(|name| &**name),
        );
    }
    peers
}

/// Whether a project still declares all that the lockfile has for it, and in the same words.
fn keeps_all(
    previous: &Lockfile,
    importer: &Importer,
    project: &ResolveProject,
    settings: &Settings,
) -> bool {
    let is_same = |(group, alias, dependency): (DependencyGroup, &PackageName, _)| {
        let dependency: &ImporterDependency = dependency;
        let alias = alias.as_str();
        let is_there = match &dependency.reference {
            Reference::Package(path) => {
                let info = previous.packages.get(path.package_id_str());
                let directory = &project.directory;
                let specifier = settings.catalog_specifier(alias, &dependency.specifier, directory);
                info.zip(specifier.ok())
                    .is_some_and(|(info, specifier)| stays(path, info, &specifier))
            }
            Reference::Link(_) => true,
        };
        is_there && project.recorded.declared(alias, false) == Some((group, &*dependency.specifier))
    };
    let groups = importer.groups().into_iter();
    let mut all = groups.flat_map(|(group, dependencies)| {
        let dependencies = dependencies.iter();
        dependencies.map(move |(alias, dependency)| (group, alias, dependency))
    });
    all.all(is_same)
}

fn packages_of(importer: &Importer) -> impl Iterator<Item = &str> {
    importer.all().filter_map(|(_, one)| match &one.reference {
        Reference::Package(path) => Some(path.package_id_str()),
        Reference::Link(_) => None,
    })
}

/// What a project had stays as it was: the peers of it were not looked for.
fn keep_references(importer: &mut Importer, before: &Importer) {
    for (alias, dependency) in importer.groups_mut().into_iter().flatten() {
        if let Some(known) = before.get(alias.as_str()) {
            dependency.reference.clone_from(&known.reference);
        }
    }
}

/// What was there for optional dependencies alone is no longer optional where something new needs
/// it.
fn require(lockfile: &mut Lockfile, roots: Vec<(DepPath, bool)>) {
    let needed = roots.into_iter().filter(|(_, is_optional)| !is_optional);
    let mut open: Vec<DepPath> = needed.map(|(path, _)| path).collect();
    let mut seen: FxHashSet<DepPath> = FxHashSet::default();
    while let Some(path) = open.pop() {
        let Some(snapshot) = lockfile.snapshots.get_mut(&path) else {
            continue;
        };
        if !seen.insert(path) {
            continue;
        }
        snapshot.optional = false;
        for reference in snapshot.dependencies.values() {
            if let Reference::Package(child) = reference {
                open.push(child.clone());
            }
        }
    }
}
