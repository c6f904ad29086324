//! What the lockfile knows already: dependencies that it has and that still fit stay as they are,
//! with everything below them, and nobody is asked about them.

use std::path::Path;
use std::rc::Rc;
use std::sync::Arc;

use node_semver::{Range, Version};
use rustc_hash::{FxHashMap, FxHashSet};

use super::circumstances::Circumstances;
use super::edges::{EdgeRequest, OptionalEdge, real_name};
use super::error::ResolveError;
use super::forest::{Direct, PackageIndex, PeerDependency};
use super::hoist::Declared;
use super::local;
use super::locked_peers::stays_beside;
use super::refresh::DirectVersions;
use super::resolved::{Resolved, Via, is_injected_project};
use super::tree::{Overlay, Pending, Seed, Tree, Walker};
use super::versions::{of_alias, satisfies, satisfies_strictly, suffix_names};
use crate::install::lockfile::{
    DepPath, Importer, ImporterDependency, Lockfile, PackageInfo, Reference, Resolution, Snapshot,
};
use crate::install::manifest::DependencyMap;
use crate::install::metadata::{Bundled, VersionManifest};
use crate::name::PackageName;

/// What is updated for a project.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub enum Update {
    /// Nothing: what still fits is kept.
    #[default]
    Nothing,
    /// All, down to a depth (`None`: however deep).
    Everything(Option<i32>),
    /// These packages, by name, down to a depth.
    Packages(FxHashSet<Box<str>>, Option<i32>),
}

impl Update {
    fn reaches(&self, depth: i32) -> bool {
        match self {
            Self::Nothing => false,
            Self::Everything(depth_max) | Self::Packages(_, depth_max) => {
                depth_max.is_none_or(|depth_max| depth <= depth_max)
            }
        }
    }

    /// Whether the user asked for all, or for `name`, however deep.
    pub fn concerns_name(&self, name: &str) -> bool {
        match self {
            Self::Nothing => false,
            Self::Everything(_) => true,
            Self::Packages(names, _) => names.contains(name),
        }
    }

    /// Whether the package `name` is to move.
    pub(super) fn concerns(&self, name: &str, depth: i32) -> bool {
        self.reaches(depth) && self.concerns_name(name)
    }
}

/// A lockfile to take from.
pub(super) struct Prior<'a> {
    pub(super) lockfile: &'a Lockfile,
    /// Whether whole subtrees may be taken; else versions only.
    pub(super) takes_subtrees: bool,
    /// Projects' dependencies are taken without anything below them.
    pub(super) takes_direct_alone: bool,
    /// By place of the project.
    pub(super) updates: Vec<Update>,
    /// Whether everything below a snapshot can be taken.
    known: FxHashMap<(Option<usize>, DepPath, i32), bool>,
    /// Dependencies of projects that are not as in the lockfile, by place of the project.
    pub(super) changed: FxHashMap<usize, FxHashSet<Box<str>>>,
    /// Versions of projects' dependencies.
    pub(super) direct_versions: FxHashMap<usize, DirectVersions>,
    /// Versions of those dependencies of all projects that are not as in the lockfile.
    pub(super) changed_versions: DirectVersions,
}

impl<'a> Prior<'a> {
    pub(super) fn new(lockfile: &'a Lockfile, takes_subtrees: bool, updates: Vec<Update>) -> Self {
        Self {
            lockfile,
            takes_subtrees,
            takes_direct_alone: false,
            updates,
            known: FxHashMap::default(),
            changed: FxHashMap::default(),
            direct_versions: FxHashMap::default(),
            changed_versions: DirectVersions::default(),
        }
    }

    pub(super) fn update(&self, project: usize) -> &Update {
        self.updates.get(project).unwrap_or(&Update::Nothing)
    }

    pub(super) fn snapshot(&self, path: &DepPath) -> Option<&'a Snapshot> {
        self.lockfile.snapshots.get(path)
    }

    pub(super) fn importer(&self, id: &str) -> Option<&'a Importer> {
        let importers = self.lockfile.importers.iter();
        importers
            .into_iter()
            .find(|(importer, _)| importer.as_str() == id)
            .map(|(_, importer)| importer)
    }

    pub(super) fn package(&self, path: &DepPath) -> Option<&'a PackageInfo> {
        self.lockfile.packages.get(path.package_id_str())
    }

    /// Whether a dependency is taken with everything below it.
    fn takes_all_below(&mut self, walker: &Walker, path: &DepPath, depth: i32) -> bool {
        if !self.takes_subtrees {
            return false;
        }
        let update = self.update(walker.project);
        if matches!(update, Update::Everything(_)) && update.reaches(depth) {
            return false;
        }
        self.is_whole(walker.project, path, depth)
    }

    /// Whether `path` and everything below it can be taken from the lockfile.
    fn is_whole(&mut self, project: usize, path: &DepPath, depth: i32) -> bool {
        let mut open = vec![(path, depth)];
        let mut seen = FxHashSet::default();
        let mut is_whole = true;
        while let Some((path, depth)) = open.pop().filter(|_| is_whole) {
            let key = self.key(project, path, depth);
            match self.known.get(&key) {
                Some(true) => continue,
                Some(false) => is_whole = false,
                None if seen.contains(&key) => continue,
                None => match self.children_if_taken(project, path, depth) {
                    Some(children) => {
                        seen.insert(key);
                        open.extend(children.into_iter().map(|child| (child, depth + 1)));
                    }
                    None => {
                        self.known.insert(key, false);
                        is_whole = false;
                    }
                },
            }
        }
        match is_whole {
            true => self.known.extend(seen.into_iter().map(|key| (key, true))),
            false => _ = self.known.insert(self.key(project, path, depth), false),
        }
        is_whole
    }

    /// What makes the answer for a snapshot another one: the project where that changed or updates
    /// something, and the depth as far as updates go.
    fn key(&self, project: usize, path: &DepPath, depth: i32) -> (Option<usize>, DepPath, i32) {
        let update = self.update(project);
        let changed = self.changed.get(&project);
        let is_own = *update != Update::Nothing || changed.is_some_and(|names| !names.is_empty());
        let bucket = match update {
            Update::Everything(Some(depth_max)) | Update::Packages(_, Some(depth_max)) => {
                depth.min(depth_max.saturating_add(1))
            }
            _ => 0,
        };
        (is_own.then_some(project), path.clone(), bucket)
    }

    /// What a snapshot depends on, where the snapshot can be taken. It cannot where it has peers,
    /// for those that its manifest has today count, as with pnpm, nor where it depends on what the
    /// project changed itself, or another in favour of a higher version.
    fn children_if_taken(
        &self,
        project: usize,
        path: &DepPath,
        depth: i32,
    ) -> Option<Vec<&'a DepPath>> {
        let info = self.package(path)?;
        let moves = self.update(project).concerns(path.name_str(), depth);
        if moves || !info.peer_dependencies.is_empty() || taken(path, info).is_none() {
            return None;
        }
        let children = references(self.snapshot(path)?);
        let children = children.map(|(alias, reference, _)| match reference {
            Reference::Package(child) if !self.gives_way(project, alias, child) => Some(child),
            _ => None,
        });
        children.collect()
    }

    /// Whether a dependency of a package may have to move with those of projects.
    fn gives_way(&self, project: usize, alias: &PackageName, path: &DepPath) -> bool {
        let changed = self.changed_versions.get(alias.as_str());
        self.is_changed(project, alias)
            || changed.is_some_and(|changed| {
                let pinned = Version::parse(path.version());
                pinned.is_ok_and(|pinned| changed.iter().any(|version| *version > pinned))
            })
    }

    /// Whether a dependency of a project is not as in the lockfile.
    pub(super) fn is_changed(&self, project: usize, alias: &PackageName) -> bool {
        let changed = self.changed.get(&project);
        changed.is_some_and(|changed| changed.contains(alias.as_str()))
    }
}

/// Alias, snapshot, and whether it is optional.
type TakenChild = (PackageName, DepPath, bool);

impl Tree<'_> {
    /// Whether something is updated for the project.
    pub(super) fn updates(&self, walker: &Walker) -> bool {
        let prior = self.prior.as_ref();
        prior.is_some_and(|prior| *prior.update(walker.project) != Update::Nothing)
    }

    /// Whether the user asked to update this package by its name.
    pub(super) fn is_update_target(&self, walker: &Walker, request: &EdgeRequest) -> bool {
        let Some(prior) = &self.prior else {
            return false;
        };
        match prior.update(walker.project) {
            Update::Nothing | Update::Everything(_) => false,
            update => update.concerns(real_name(request), request.depth),
        }
    }

    /// Whether a dependency of a project stays what the lockfile has for it as long as that fits. A
    /// peer follows what some project asks for itself.
    pub(super) fn stays(&self, walker: &Walker, declared: &Declared, prior: &DepPath) -> bool {
        let preferences = &self.settings.preferences;
        let asked = preferences.declared(walker.project, declared.alias.as_str());
        !declared.is_peer || asked.is_empty() || stays_beside(asked, prior.version())
    }

    /// What the lockfile has for a dependency of a project, if that still fits.
    pub(super) fn prior_direct(&self, walker: &Walker, declared: &Declared) -> Option<DepPath> {
        let prior = self.prior.as_ref()?;
        let name = declared.alias.as_str();
        let dependency = importer_dependency(prior.importer(&walker.id)?, &declared.alias)?;
        let Reference::Package(path) = &dependency.reference else {
            return None;
        };
        let info = prior.package(path)?;
        let is_same = dependency.specifier == declared.specifier;
        // A copy of a project is looked at again; what it depends on keeps its versions.
        let is_copy = matches!(info.resolution, Resolution::Directory { .. });
        if is_same && (prior.takes_direct_alone || is_copy || is_pinned(path, info)) {
            return Some(path.clone());
        }
        let is_known =
            is_same || is_same_catalog_entry(prior.lockfile, &dependency.specifier, declared);
        let plain = (name, &*declared.specifier);
        let (name, range) = of_alias(&declared.specifier).unwrap_or(plain);
        let fits = match is_known {
            true => satisfies(path.version(), range),
            // Other words are read as they are: `2.x` does not ask for a pre-release.
            false => satisfies_strictly(path.version(), range),
        };
        let is_it = path.is_from_registry() && path.name_str() == name;
        (is_it && fits).then(|| path.clone())
    }

    /// The package that the lockfile has for a dependency, where it still fits.
    pub(super) fn prior_child(
        pending: &Pending,
        reference: &Reference,
        specifier: &str,
    ) -> Option<DepPath> {
        let Reference::Package(child) = reference else {
            return None;
        };
        // The words of a project may have become others.
        let fits = match is_injected_project(&pending.resolved) {
            true => satisfies_strictly(child.version(), specifier),
            false => satisfies(child.version(), specifier),
        };
        fits.then(|| child.clone())
    }

    /// What the lockfile has for a dependency of a package that came out as it was, if anything.
    pub(super) fn prior_reference(
        &self,
        pending: &Pending,
        alias: &PackageName,
    ) -> Option<Option<&Reference>> {
        let prior = self.prior.as_ref()?;
        let path = pending.prior.as_ref()?;
        let id = self.forest.package(pending.package).resolved.package_id();
        if path.package_id_str() != id {
            return None;
        }
        let snapshot = prior.snapshot(path)?;
        let dependencies = &snapshot.dependencies;
        let optional = || snapshot.optional_dependencies.get(alias);
        Some(dependencies.get(alias).or_else(optional))
    }

    /// Whether the lockfile has a version that an optional dependency allows.
    pub(super) fn prior_has_satisfying(&self, request: &EdgeRequest) -> bool {
        let Some(prior) = &self.prior else {
            return false;
        };
        let plain = (request.alias.as_str(), &*request.specifier);
        let (name, range) = of_alias(&request.specifier).unwrap_or(plain);
        let Ok(range) = Range::parse(range) else {
            return false;
        };
        prior.lockfile.packages.iter().any(|(id, info)| {
            let version = id.as_str().rsplit_once('@').map(|(_, version)| version);
            info.name.as_str() == name
                && version
                    .and_then(|version| Version::parse(version).ok())
                    .is_some_and(|version| range.satisfies(&version))
        })
    }

    /// The version that a project's dependency keeps as long as the registry has it.
    pub(super) fn held(&self, walker: &Walker, request: &EdgeRequest) -> Option<Box<str>> {
        let (prior, path) = (self.prior.as_ref()?, request.prior.as_ref()?);
        let update = prior.update(walker.project);
        let stays =
            request.depth == 0 && request.allows_reuse && !update.concerns(real_name(request), 0);
        (stays && path.is_from_registry()).then(|| path.version().into())
    }

    /// A dependency of a package keeps its version where that still fits.
    pub(super) fn pin(&self, walker: &Walker, request: &mut EdgeRequest) {
        let (Some(prior), Some(path)) = (&self.prior, &request.prior) else {
            return;
        };
        let update = prior.update(walker.project);
        if request.depth == 0 || update.concerns(real_name(request), request.depth) {
            return;
        }
        let is_range = Range::parse(&*request.specifier).is_ok();
        if is_range && Version::parse(path.version()).is_ok() {
            request.specifier = path.version().into();
        }
    }

    /// The directory that a package's `file:` dependencies are relative to.
    pub(super) fn directory_of(&self, resolved: &Resolved) -> Option<Arc<Path>> {
        match &resolved.resolution {
            Resolution::Directory { directory } if resolved.id.starts_with("file:") => {
                let base = &self.settings.lockfile_directory;
                Some(local::absolute(base, directory).into())
            }
            _ => None,
        }
    }

    /// Takes a dependency with everything below it from the lockfile.
    pub(super) fn reused(
        &mut self,
        walker: &Walker,
        request: &EdgeRequest,
    ) -> Result<Option<Seed>, ResolveError> {
        let Some(path) = request.prior.clone().filter(|_| request.allows_reuse) else {
            return Ok(None);
        };
        let Some(prior) = &mut self.prior else {
            return Ok(None);
        };
        if !prior.takes_direct_alone && !prior.takes_all_below(walker, &path, request.depth) {
            return Ok(None);
        }
        let taken = prior.package(&path).and_then(|info| taken(&path, info));
        match taken {
            Some(resolved) => self
                .take(walker, request, path, Arc::new(resolved))
                .map(Some),
            None => Ok(None),
        }
    }

    fn take(
        &mut self,
        walker: &Walker,
        request: &EdgeRequest,
        path: DepPath,
        resolved: Arc<Resolved>,
    ) -> Result<Seed, ResolveError> {
        let id = self.patched_id(walker, request, &resolved)?;
        if self.closes_circle(&request.ancestors, &id) {
            return Ok(Seed::Nothing);
        }
        let below = self.optional_edge(walker, request);
        let optional = below.is_some();
        let (peers, children) = self.below_taken(&path, &resolved);
        let package = match self.by_id.get(&*id) {
            Some(package) => {
                let known = self.forest.package_mut(*package);
                known.optional = known.optional && optional;
                *package
            }
            None => {
                let is_leaf = children.is_empty() && peers.is_empty();
                self.add_package(request, &resolved, &id, peers, is_leaf, optional)
            }
        };
        let node = self.add_node(package, request.depth);
        self.keep_locked(walker, request, package, node);
        let direct = Direct {
            alias: request.symbol,
            node,
            package,
        };
        self.take_children(walker, request, direct, path, children, below)?;
        Ok(Seed::Done(direct))
    }

    /// Peers and dependencies of a package that is taken.
    fn below_taken(
        &mut self,
        path: &DepPath,
        resolved: &Resolved,
    ) -> (Vec<PeerDependency>, Vec<TakenChild>) {
        if self
            .prior
            .as_ref()
            .is_some_and(|prior| prior.takes_direct_alone)
        {
            return (Vec::new(), Vec::new());
        }
        let own = self.prior_own(path, resolved);
        let mut peers = self.peers_of(resolved, &FxHashSet::default());
        let symbols = &self.forest.symbols;
        peers.retain(|peer| !own.contains(&**symbols.text(peer.name)));
        let children = self.prior_children(path, resolved, &own);
        (peers, children)
    }

    fn take_children(
        &mut self,
        walker: &Walker,
        request: &EdgeRequest,
        direct: Direct,
        path: DepPath,
        children: Vec<TakenChild>,
        below: Option<Arc<OptionalEdge>>,
    ) -> Result<(), ResolveError> {
        let owner = self.owner_of(walker, request.depth, &request.ancestors);
        let shadowed = Rc::new(FxHashSet::default());
        let Some(is_new_context) = self.try_own(direct.package, &owner, &shadowed) else {
            return Ok(());
        };
        let circumstances = Circumstances {
            shadowed,
            prior: Some(path),
            updates: self.updates(walker),
        };
        if self.is_recorded_for(direct.package, &circumstances) {
            return Ok(());
        }
        let ancestors: Rc<[PackageIndex]> = request
            .ancestors
            .iter()
            .copied()
            .chain([direct.package])
            .collect();
        let mut found = Vec::with_capacity(children.len());
        for (alias, child, is_optional) in children {
            let request = EdgeRequest {
                symbol: self.forest.symbols.of(alias.as_str()),
                alias,
                specifier: child.version().into(),
                optional: false,
                below: below.clone(),
                injected: false,
                depth: request.depth + 1,
                ancestors: Rc::clone(&ancestors),
                prior: Some(child),
                is_released: false,
                allows_reuse: true,
                overlay: None,
                scope: Rc::clone(&request.scope),
                directory: None,
                parent_is_project: false,
            };
            let scope = Rc::clone(&request.scope);
            let seeds = self.seed(walker, vec![request])?;
            let nothing_above = Rc::new(Overlay::default());
            let taken = self.walk(walker, seeds, nothing_above, scope)?;
            found.extend(taken.into_iter().map(|direct| (direct, is_optional)));
        }
        let place = (direct.package, direct.node);
        self.record_children(place, &owner, &found, circumstances, is_new_context);
        Ok(())
    }

    /// Peers of a package that it depends on anyway: it has them without their being in its key,
    /// which calls a peer by the name of the package that is behind it.
    fn prior_own(&self, path: &DepPath, resolved: &Resolved) -> FxHashSet<Box<str>> {
        let snapshot = self.prior.as_ref().and_then(|prior| prior.snapshot(path));
        let suffix = path.peers_suffix();
        let is_hash = !suffix.is_empty() && !suffix.contains('@');
        if is_hash {
            return FxHashSet::default();
        }
        let is_own = |alias: &PackageName, reference: &Reference| {
            let real = match reference {
                Reference::Package(child) => child.name_str(),
                Reference::Link(_) => alias.as_str(),
            };
            is_peer_of(resolved, alias)
                && !suffix_names(path.as_str()).any(|name| name == alias.as_str() || name == real)
        };
        let dependencies = snapshot.map(|snapshot| snapshot.dependencies.iter());
        let dependencies = dependencies.into_iter().flatten();
        dependencies
            .filter(|(alias, reference)| is_own(alias, reference))
            .map(|(alias, _)| alias.as_str().into())
            .collect()
    }

    /// Alias, snapshot and whether it is optional, of what a snapshot depends on itself: peers are
    /// among its dependencies too, and are found anew.
    fn prior_children(
        &self,
        path: &DepPath,
        resolved: &Resolved,
        own: &FxHashSet<Box<str>>,
    ) -> Vec<TakenChild> {
        let Some(snapshot) = self.prior.as_ref().and_then(|prior| prior.snapshot(path)) else {
            return Vec::new();
        };
        let is_peer = |alias: &PackageName| {
            let passed_on = &snapshot.transitive_peer_dependencies;
            !own.contains(alias.as_str())
                && (is_peer_of(resolved, alias)
                    || passed_on.iter().any(|name| **name == *alias.as_str()))
        };
        let mut children: Vec<TakenChild> = references(snapshot)
            .filter(|(alias, ..)| !is_peer(alias))
            .filter_map(|(alias, reference, is_optional)| match reference {
                Reference::Package(child) => Some((alias.clone(), child.clone(), is_optional)),
                Reference::Link(_) => None,
            })
            .collect();
        children.sort_unstable_by(|left, right| left.0.as_str().cmp(right.0.as_str()));
        children
    }
}

/// Whether a package is what it is for as long as its dependent's specifier stays.
fn is_pinned(path: &DepPath, info: &PackageInfo) -> bool {
    let is_git = matches!(
        info.resolution,
        Resolution::Git { .. }
            | Resolution::Tarball {
                git_hosted: true,
                ..
            }
    );
    is_git || is_runtime(path, &info.resolution)
}

/// Whether a project's dependency is known to stay when its specifier does. A tag may have moved.
pub(super) fn stays(path: &DepPath, info: &PackageInfo, specifier: &str) -> bool {
    let (_, range) = of_alias(specifier).unwrap_or(("", specifier));
    let fits = path.is_from_registry() && satisfies(path.version(), range);
    (fits || is_pinned(path, info)) && taken(path, info).is_some()
}

fn is_peer_of(resolved: &Resolved, alias: &PackageName) -> bool {
    let manifest = &resolved.manifest;
    manifest.peer_dependencies.contains_key(alias)
        || manifest.peer_dependencies_meta.contains_key(alias)
}

/// Alias, what it resolved to, and whether it is optional.
pub(super) fn references(
    snapshot: &Snapshot,
) -> impl Iterator<Item = (&PackageName, &Reference, bool)> {
    let plain = snapshot.dependencies.iter();
    let plain = plain.map(|(alias, reference)| (alias, reference, false));
    let optional = snapshot.optional_dependencies.iter();
    plain.chain(optional.map(|(alias, reference)| (alias, reference, true)))
}

pub(super) fn all_dependencies(
    importer: &Importer,
) -> impl Iterator<Item = (&PackageName, &ImporterDependency)> {
    let groups = [
        &importer.dependencies,
        &importer.optional_dependencies,
        &importer.dev_dependencies,
    ];
    groups.into_iter().flatten()
}

pub(super) fn importer_dependency<'i>(
    importer: &'i Importer,
    alias: &PackageName,
) -> Option<&'i ImporterDependency> {
    importer
        .dependencies
        .get(alias)
        .or_else(|| importer.optional_dependencies.get(alias))
        .or_else(|| importer.dev_dependencies.get(alias))
}

pub(super) fn is_same_catalog_entry(lockfile: &Lockfile, recorded: &str, now: &Declared) -> bool {
    let Some(name) = recorded.strip_prefix("catalog:") else {
        return false;
    };
    let name = if name.is_empty() { "default" } else { name };
    lockfile
        .catalogs
        .get(name)
        .and_then(|catalog| catalog.get(now.alias.as_str()))
        .is_some_and(|entry| entry.specifier == now.specifier)
}

/// Whether a package is a runtime, of which nothing but the lockfile knows.
fn is_runtime(path: &DepPath, resolution: &Resolution) -> bool {
    path.version().starts_with("runtime:") && matches!(resolution, Resolution::Other(_))
}

/// A package as the lockfile has it; its dependencies are not in its manifest. `None`: of an
/// origin that has to be looked at again.
fn taken(path: &DepPath, info: &PackageInfo) -> Option<Resolved> {
    let (version, via) = match &info.resolution {
        Resolution::Tarball {
            git_hosted: true, ..
        }
        | Resolution::Git { .. } => (None, Via::Git),
        Resolution::Tarball {
            integrity: Some(_), ..
        } => {
            Version::parse(path.version()).ok()?;
            (Some(path.version().into()), Via::Registry)
        }
        other if is_runtime(path, other) => (None, Via::Runtime),
        _ => return None,
    };
    let written = info.version.clone();
    Some(Resolved {
        id: match via {
            Via::Git | Via::Runtime => path.version().into(),
            _ => path.package_id_str().into(),
        },
        manifest: Arc::new(manifest(
            info,
            written.unwrap_or_else(|| path.version().into()),
        )),
        version,
        resolution: info.resolution.clone(),
        via,
        published: None,
        is_immature: false,
        is_locked: true,
    })
}

fn manifest(info: &PackageInfo, version: Box<str>) -> VersionManifest {
    let mut manifest = local::bare_manifest(info.name.clone(), version);
    manifest.peer_dependencies = info
        .peer_dependencies
        .iter()
        .filter_map(|(name, range)| Some((PackageName::new(name).ok()?, range.clone())))
        .collect::<DependencyMap>();
    let meta = info.peer_dependencies_meta.as_ref();
    let meta = meta
        .and_then(serde_json::Value::as_object)
        .into_iter()
        .flatten();
    manifest.peer_dependencies_meta = meta
        .filter_map(|(name, meta)| {
            let optional = meta.get("optional").and_then(serde_json::Value::as_bool);
            Some((PackageName::new(name).ok()?, optional.unwrap_or(false)))
        })
        .collect();
    manifest.bundled = match &info.bundled_dependencies {
        Some(serde_json::Value::Bool(true)) => Bundled::All,
        Some(serde_json::Value::Array(names)) => Bundled::Names(
            names
                .iter()
                .filter_map(|name| Some(name.as_str()?.into()))
                .collect(),
        ),
        _ => Bundled::None,
    };
    manifest.has_bin = info.has_bin;
    manifest.engines = info.engines.clone();
    manifest.platforms = info.platforms.clone();
    manifest.deprecated = info.deprecated.clone();
    manifest
}
