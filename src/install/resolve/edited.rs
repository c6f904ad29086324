//! Lockfiles that fit changed manifests without anything being chosen: dependencies were taken
//! away or moved to another group, projects are gone, or what is asked for now is there already.
//! Then the lockfile is edited, and every version stays, whatever would be chosen today.
//!
//! What comes of it has to be held against manifests and settings as every lockfile is: other
//! changes are not looked for here.

use std::collections::BTreeMap;

use node_semver::{Range, Version};
use rustc_hash::FxHashSet;
use serde_json::Value;

use super::ResolveProject;
use super::addition::{has_peers, peers};
use super::reuse::references;
use crate::install::lockfile::{
    DepPath, DependencyGroup, Importer, ImporterDependency, ImporterId, Lockfile, Reference,
    Resolution, linked_importer,
};
use crate::name::PackageName;

/// How the dependencies of a project are declared, by alias.
type Declared<'p> = BTreeMap<PackageName, (DependencyGroup, &'p str)>;

/// A lockfile that is being edited.
struct Edit<'a> {
    previous: &'a Lockfile,
    /// Names of projects: what is called so may be a directory.
    project_names: FxHashSet<&'a str>,
    /// What packages and projects have as peers.
    peers: FxHashSet<&'a str>,
    /// Projects' dependencies are chosen lowest (`resolutionMode`).
    picks_lowest: bool,
    /// What somebody no longer depends on, as suffixes name it: `name@version`, or `name@` where
    /// it has no version of a registry.
    severed: FxHashSet<String>,
    /// Something was asked for in another group.
    moves_groups: bool,
}

/// Whether names that the user `added` can leave the lockfile as it is where it fits: no package
/// of it has one of them as a peer, which it is given now whatever it had.
pub fn says_nothing_new(previous: &Lockfile, added: &[PackageName]) -> bool {
    let peers = peers(previous, []);
    let is_free = |name: &PackageName| !peers.contains(name.as_str());
    !added.is_empty() && added.iter().all(is_free)
}

/// The lockfile for `projects`. `None`: something has to be chosen, or manifests say what they
/// said.
pub fn edited(
    previous: &Lockfile,
    projects: &[ResolveProject],
    picks_lowest: bool,
) -> Option<Lockfile> {
    let mut edit = Edit {
        previous,
        project_names: projects
            .iter()
            .filter_map(|project| project.recorded.name.as_deref())
            .collect(),
        peers: peers(previous, projects),
        picks_lowest,
        severed: FxHashSet::default(),
        moves_groups: false,
    };
    let mut importers = BTreeMap::new();
    for project in projects {
        importers.insert(project.id.clone(), edit.importer(project)?);
    }
    edit.leave_out_projects(&importers)?;
    if importers == previous.importers {
        return None;
    }
    if edit.has_changed_copies(&importers) {
        return None;
    }
    let mut lockfile = Lockfile {
        importers,
        ..previous.clone()
    };
    if !edit.severed.is_empty() {
        prune(&mut lockfile);
        if edit.has_let_go_of_peers(&lockfile) {
            return None;
        }
        edit.sever_pruned(&lockfile);
        let mut paths = lockfile.snapshots.keys();
        if paths.any(|path| edit.is_in_suffix_of(path)) {
            return None;
        }
        prune_catalogs(&mut lockfile);
    }
    if !edit.severed.is_empty() || edit.moves_groups {
        mark_optional(&mut lockfile);
    }
    Some(lockfile)
}

impl<'a> Edit<'a> {
    fn importer(&mut self, project: &'a ResolveProject) -> Option<Importer> {
        let manifest = &project.recorded;
        let groups = [
            &manifest.dependencies,
            &manifest.dev_dependencies,
            &manifest.optional_dependencies,
        ];
        let mut declared = Declared::new();
        for alias in groups.into_iter().flat_map(|group| group.keys()) {
            declared.insert(
                PackageName::new(alias).ok()?,
                manifest.declared(alias, false)?,
            );
        }
        let known = self.previous.importers.get(&project.id);
        match known.filter(|known| known.all().next().is_some()) {
            Some(known) => self.changed(known, &declared),
            None if declared.is_empty() => known.cloned(),
            None => self.unknown(project, &declared),
        }
    }

    /// A project of which the lockfile has nothing.
    fn unknown(&mut self, project: &ResolveProject, declared: &Declared<'_>) -> Option<Importer> {
        let mut importer = project.without_dependencies();
        for (alias, (group, specifier)) in declared {
            let dependency = self.added(alias, specifier)?;
            of_group(&mut importer, *group).insert(alias.clone(), dependency);
        }
        self.moves_groups = true;
        Some(importer)
    }

    fn changed(&mut self, known: &Importer, declared: &Declared<'_>) -> Option<Importer> {
        let mut importer = known.clone();
        for group in importer.groups_mut() {
            group.retain(|alias, dependency| {
                let stays = declared.contains_key(alias);
                if !stays {
                    self.sever(alias, &dependency.reference);
                }
                stays
            });
        }
        for (alias, (group, specifier)) in declared {
            let before = group_of(&importer, alias);
            let dependency = match before {
                Some(before) => {
                    let dependency = of_group(&mut importer, before).remove(alias)?;
                    self.reworded(alias, dependency, specifier)?
                }
                None => self
                    .added(alias, specifier)
                    .filter(|one| self.is_dated(one))?,
            };
            of_group(&mut importer, *group).insert(alias.clone(), dependency);
            self.moves_groups |= before != Some(*group);
        }
        Some(importer)
    }

    /// A dependency in other words, at the version that these would have out of the lockfile.
    fn reworded(
        &mut self,
        alias: &PackageName,
        mut dependency: ImporterDependency,
        specifier: &str,
    ) -> Option<ImporterDependency> {
        if &*dependency.specifier == specifier {
            return Some(dependency);
        }
        let Reference::Package(path) = &dependency.reference else {
            return None;
        };
        if path.name_str() != alias.as_str() || !path.is_from_registry() {
            return None;
        }
        let wanted = self.locked(alias, specifier)?;
        if wanted != Version::parse(path.version()).ok()? {
            if path.as_str() != path.package_id_str() {
                return None;
            }
            let reference = self.reference(alias, &wanted)?;
            self.sever(alias, &dependency.reference);
            dependency.reference = reference;
        }
        dependency.specifier = specifier.into();
        Some(dependency)
    }

    /// A dependency that the project did not have, at a version that the lockfile has.
    fn added(&self, alias: &PackageName, specifier: &str) -> Option<ImporterDependency> {
        let protocols = ["workspace:", "link:", "file:"];
        let is_directory = protocols
            .iter()
            .any(|protocol| specifier.starts_with(protocol));
        let names = [&self.project_names, &self.peers];
        if is_directory || names.iter().any(|names| names.contains(alias.as_str())) {
            return None;
        }
        let version = self.locked(alias, specifier)?;
        Some(ImporterDependency {
            specifier: specifier.into(),
            reference: self.reference(alias, &version)?,
        })
    }

    /// Whether it is known when `dependency` was published, where the lockfile says that of what
    /// projects depend on: else it has to be asked for. pnpm does so for what a project gets, and
    /// does without for all that a project has which is new.
    fn is_dated(&self, dependency: &ImporterDependency) -> bool {
        let Some(times) = self.previous.other.get("time") else {
            return true;
        };
        match &dependency.reference {
            Reference::Package(path) => times.get(path.package_id_str()).is_some(),
            Reference::Link(_) => true,
        }
    }

    /// The highest version in the lockfile that fits.
    fn locked(&self, alias: &PackageName, specifier: &str) -> Option<Version> {
        let range = Range::parse(specifier).ok()?;
        let mut fitting: Vec<Version> = Vec::new();
        for id in self.previous.packages.keys() {
            if id.name_str() == alias.as_str() {
                let version = Version::parse(id.version()).ok()?;
                if range.satisfies(&version) {
                    fitting.push(version);
                }
            }
        }
        if fitting.len() > 1 && self.picks_lowest {
            return None;
        }
        fitting.into_iter().max()
    }

    /// `None`: it is not there, or it has peers, which another place may give it or not.
    fn reference(&self, alias: &PackageName, version: &Version) -> Option<Reference> {
        let path = DepPath::new(&format!("{}@{version}", alias.as_str())).ok()?;
        let snapshot = self.previous.snapshots.get(&path)?;
        let info = self.previous.packages.get(path.package_id_str())?;
        (!has_peers(info, snapshot)).then_some(Reference::Package(path))
    }

    fn sever(&mut self, alias: &PackageName, reference: &Reference) {
        self.severed.insert(match reference {
            Reference::Package(path) if path.is_from_registry() => path.package_id_str().into(),
            Reference::Package(path) => format!("{}@", path.name_str()),
            Reference::Link(_) => format!("{}@", alias.as_str()),
        });
    }

    /// Whether a project of which there are copies has other dependencies now.
    fn has_changed_copies(&self, importers: &BTreeMap<ImporterId, Importer>) -> bool {
        let mut packages = self.previous.packages.values();
        packages.any(|info| match &info.resolution {
            Resolution::Directory { directory } => {
                let mut changed = importers
                    .iter()
                    .filter(|(id, importer)| self.previous.importers.get(*id) != Some(importer));
                changed.any(|(id, _)| id.as_str() == &**directory)
            }
            _ => false,
        })
    }

    /// Whether what is gone had a peer that stays and has peers itself: it was offered that as it
    /// is in one place, and without it another place may count.
    fn has_let_go_of_peers(&self, left: &Lockfile) -> bool {
        let mut peers: FxHashSet<&str> = FxHashSet::default();
        for (path, snapshot) in &self.previous.snapshots {
            if left.snapshots.contains_key(path) {
                continue;
            }
            peers.extend(suffix_segments(path));
            // A suffix that is a hash names nothing.
            let info = self.previous.packages.get(path.package_id_str());
            let is_peer = |alias: &PackageName| {
                info.is_some_and(|info| info.peer_dependencies.contains_key(alias.as_str()))
            };
            let own = references(snapshot).filter(|(alias, ..)| is_peer(alias));
            peers.extend(own.filter_map(|(_, reference, _)| match reference {
                Reference::Package(peer) => Some(peer.package_id_str()),
                Reference::Link(_) => None,
            }));
        }
        let mut staying = left.snapshots.iter();
        staying.any(|(path, snapshot)| {
            let info = left.packages.get(path.package_id_str());
            let has_peers = !path.peers_suffix().is_empty()
                || !snapshot.transitive_peer_dependencies.is_empty()
                || info.is_some_and(|info| !info.peer_dependencies.is_empty());
            has_peers && peers.contains(path.package_id_str())
        })
    }

    /// What is gone depends on nothing any more.
    fn sever_pruned(&mut self, left: &Lockfile) {
        for (path, snapshot) in &self.previous.snapshots {
            if !left.snapshots.contains_key(path) {
                for (alias, reference, _) in references(snapshot) {
                    self.sever(alias, reference);
                }
            }
        }
    }

    /// Leaves out the dependencies of projects that are gone. `None`: others are linked to them.
    fn leave_out_projects(&mut self, left: &BTreeMap<ImporterId, Importer>) -> Option<()> {
        let previous = &self.previous.importers;
        let gone: BTreeMap<&str, &Importer> = previous
            .iter()
            .filter(|(id, _)| !left.contains_key(*id))
            .map(|(id, importer)| (id.as_str(), importer))
            .collect();
        if gone.is_empty() {
            return Some(());
        }
        for (id, importer) in left {
            for (_, dependency) in importer.all() {
                if let Reference::Link(target) = &dependency.reference
                    && linked_importer(id, target).is_some_and(|id| gone.contains_key(&*id))
                {
                    return None;
                }
            }
        }
        for (alias, dependency) in gone.into_values().flat_map(Importer::all) {
            self.sever(alias, &dependency.reference);
        }
        Some(())
    }

    /// Whether a package has something as a peer that somebody no longer depends on: then its key
    /// would have to change.
    fn is_in_suffix_of(&self, path: &DepPath) -> bool {
        suffix_segments(path).any(|segment| {
            let at = segment.get(1..).and_then(|rest| rest.find('@'));
            // A suffix that would be too long is a hash, of which nothing can be told.
            at.is_none_or(|at| {
                self.severed.contains(segment) || self.severed.contains(&segment[..at + 2])
            })
        })
    }
}

/// What the suffix of a key names, however deep.
fn suffix_segments(path: &DepPath) -> impl Iterator<Item = &str> {
    let suffix = path.peers_suffix();
    let segments = suffix.split(['(', ')']);
    segments.filter(|segment| !segment.is_empty() && !segment.starts_with("patch_hash="))
}

fn of_group(
    importer: &mut Importer,
    group: DependencyGroup,
) -> &mut BTreeMap<PackageName, ImporterDependency> {
    match group {
        DependencyGroup::Production => &mut importer.dependencies,
        DependencyGroup::Development => &mut importer.dev_dependencies,
        DependencyGroup::Optional => &mut importer.optional_dependencies,
    }
}

fn group_of(importer: &Importer, alias: &PackageName) -> Option<DependencyGroup> {
    let groups = importer.groups().into_iter();
    let mut having = groups.filter(|(_, group)| group.contains_key(alias));
    having.next().map(|(group, _)| group)
}

/// Leaves out what nothing depends on any more, and the times of what no project depends on itself.
fn prune(lockfile: &mut Lockfile) {
    let reached: FxHashSet<DepPath> = reached(lockfile)
        .into_iter()
        .map(|(path, _)| path)
        .collect();
    lockfile.snapshots.retain(|path, _| reached.contains(path));
    let ids: FxHashSet<&str> = reached.iter().map(DepPath::package_id_str).collect();
    lockfile.packages.retain(|id, _| ids.contains(id.as_str()));
    let direct = lockfile.importers.values().flat_map(Importer::all);
    let direct: FxHashSet<&str> = direct
        .filter_map(|(_, dependency)| match &dependency.reference {
            Reference::Package(path) => Some(path.package_id_str()),
            Reference::Link(_) => None,
        })
        .collect();
    if let Some(Value::Object(times)) = lockfile.other.get_mut("time") {
        times.retain(|id, _| direct.contains(id.as_str()));
    }
}

/// Leaves out entries of catalogs that no project uses any more.
fn prune_catalogs(lockfile: &mut Lockfile) {
    let mut used: FxHashSet<(&str, &str)> = FxHashSet::default();
    for (alias, dependency) in lockfile.importers.values().flat_map(Importer::all) {
        if let Some(name) = dependency.specifier.strip_prefix("catalog:") {
            let name = match name.trim() {
                "" => "default",
                name => name,
            };
            used.insert((name, alias.as_str()));
        }
    }
    for (name, entries) in &mut lockfile.catalogs {
        entries.retain(|alias, _| used.contains(&(name, alias)));
    }
    lockfile.catalogs.retain(|_, entries| !entries.is_empty());
}

/// Optional is what is reached through optional dependencies alone.
fn mark_optional(lockfile: &mut Lockfile) {
    let reached = reached(lockfile);
    for (path, snapshot) in &mut lockfile.snapshots {
        let is_needed = reached.contains(&(path.clone(), false));
        snapshot.optional = !is_needed;
    }
}

/// What projects depend on, and whether on a way through an optional dependency.
fn reached(lockfile: &Lockfile) -> FxHashSet<(DepPath, bool)> {
    let mut open: Vec<(&Reference, bool)> = Vec::new();
    for (group, dependencies) in lockfile.importers.values().flat_map(Importer::groups) {
        let is_optional = group == DependencyGroup::Optional;
        let references = dependencies.values().map(|one| &one.reference);
        open.extend(references.map(|reference| (reference, is_optional)));
    }
    let mut reached = FxHashSet::default();
    while let Some((reference, is_optional)) = open.pop() {
        let Reference::Package(path) = reference else {
            continue;
        };
        if !reached.insert((path.clone(), is_optional)) {
            continue;
        }
        let children = lockfile
            .snapshots
            .get(path)
            .into_iter()
            .flat_map(references);
        open.extend(children.map(|(_, child, by_option)| (child, is_optional || by_option)));
    }
    reached
}
