//! The walk of the manifests: from each project down, one depth after the other, so that a level's
//! versions are known before anything below it is chosen.
//!
//! A package's dependencies are chosen once, for the occurrence that is found first (and of
//! several at one depth for the one whose ancestors' ids sort first), and are the same everywhere.

use std::collections::BTreeMap;
use std::path::Path;
use std::rc::Rc;
use std::sync::Arc;

use rustc_hash::{FxHashMap, FxHashSet};

use super::circumstances::Circumstances;
use super::edges::{Answers, EdgeRequest, OptionalEdge};
use super::error::{ResolveError, ResolveFault};
use super::forest::{Direct, Edge, Forest, NodeId, Package, PackageIndex, PeerDependency};
use super::resolved::{Resolved, Via, dependencies, is_injected_project, is_leaf};
use super::reuse::Prior;
use super::scope::Scope;
use super::settings::Settings;
use super::source::Source;
use super::symbols::Symbol;
use crate::install::lockfile::DepPath;
use crate::name::PackageName;

/// Deepest nesting of dependencies.
const DEPTH_MAX: i32 = 1_000;

/// Versions that were chosen at the levels above, by the name of the package.
#[derive(Debug, Default)]
pub(super) struct Overlay {
    versions: FxHashMap<Symbol, Vec<Box<str>>>,
    parent: Option<Rc<Overlay>>,
}

impl Overlay {
    /// Every version of `name` above, sorted, and whether a project depends on it directly.
    pub(super) fn versions(&self, name: Symbol) -> Vec<(Box<str>, bool)> {
        let mut found: Vec<(Box<str>, bool)> = Vec::new();
        let mut level = Some(self);
        while let Some(current) = level {
            let is_direct = current.parent.is_none();
            let versions = current.versions.get(&name).into_iter().flatten();
            found.extend(versions.map(|version| (version.clone(), is_direct)));
            level = current.parent.as_deref();
        }
        found.sort_unstable_by(|left, right| (&left.0, right.1).cmp(&(&right.0, left.1)));
        found.dedup_by(|later, first| later.0 == first.0);
        found
    }
}

/// The project for which the walk goes on.
#[derive(Debug, Clone)]
pub(super) struct Walker {
    /// Place among the projects.
    pub(super) project: usize,
    /// The importer's id.
    pub(super) id: Arc<str>,
    pub(super) directory: Arc<Path>,
    /// Dependencies of this project are chosen lowest (`resolutionMode`); not so those that it
    /// gets as peers.
    pub(super) lowest_direct: bool,
}

/// Which occurrence of a package its dependencies are chosen for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Owner {
    updates: bool,
    depth: i32,
    pub(super) project: usize,
    ancestors: Rc<[PackageIndex]>,
}

impl Owner {
    pub(super) fn ancestors(&self) -> &[PackageIndex] {
        &self.ancestors
    }

    pub(super) fn depth(&self) -> i32 {
        self.depth
    }

    /// The same one level deeper, below `parent`.
    pub(super) fn below(&self, parent: PackageIndex) -> Self {
        Self {
            depth: self.depth + 1,
            ancestors: self.ancestors.iter().copied().chain([parent]).collect(),
            ..self.clone()
        }
    }
}

/// An occurrence of which only its package is known.
#[derive(Debug)]
pub(super) struct Pending {
    pub(super) package: PackageIndex,
    /// What the package was found to be here: one that was taken from the lockfile before does not
    /// know its dependencies.
    pub(super) resolved: Arc<Resolved>,
    pub(super) alias: Symbol,
    pub(super) node: NodeId,
    pub(super) depth: i32,
    /// The nearest optional dependency on the way to it.
    pub(super) below: Option<Arc<OptionalEdge>>,
    pub(super) ancestors: Rc<[PackageIndex]>,
    shadowed: Rc<FxHashSet<Symbol>>,
    pub(super) prior: Option<DepPath>,
    /// It may choose its package's dependencies.
    claim: Option<Claim>,
}

#[derive(Debug, Clone)]
struct Claim {
    owner: Owner,
    is_new_context: bool,
    shadowed: Rc<FxHashSet<Symbol>>,
}

/// A dependency that was looked at.
#[derive(Debug)]
pub(super) enum Seed {
    /// Left out: it closes a circle, or it is optional and cannot be found.
    Nothing,
    /// Known with everything below it.
    Done(Direct),
    Pending(Box<Pending>),
}

impl Seed {
    fn direct(&self) -> Option<Direct> {
        match self {
            Self::Nothing => None,
            Self::Done(direct) => Some(*direct),
            Self::Pending(pending) => Some(Direct {
                alias: pending.alias,
                node: pending.node,
                package: pending.package,
            }),
        }
    }
}

/// An occurrence whose dependencies are to be chosen.
struct Frontier {
    pending: Box<Pending>,
    claim: Claim,
    overlay: Rc<Overlay>,
    scope: Rc<Scope>,
}

/// The walk, and all that it has found.
pub(super) struct Tree<'a> {
    pub(super) forest: Forest,
    pub(super) settings: &'a Settings,
    pub(super) source: &'a dyn Source,
    pub(super) prior: Option<Prior<'a>>,
    pub(super) answers: Answers,
    pub(super) by_id: FxHashMap<Arc<str>, PackageIndex>,
    pub(super) owners: FxHashMap<PackageIndex, Owner>,
    circumstances: FxHashMap<PackageIndex, Circumstances>,
    /// Whether some package has a name as a dependency and as an optional peer.
    pub(super) has_doubled: bool,
    nodes_of: FxHashMap<PackageIndex, Vec<NodeId>>,
    /// Grows with what is known; the second number grows when something known changes.
    pub(super) revision: (u64, u64),
    pub(super) used_patches: FxHashSet<Box<str>>,
    /// Packages that were asked for by projects.
    pub(super) roots: FxHashSet<PackageIndex>,
    /// Optional dependencies below which something could not be resolved.
    pub(super) left_out: FxHashSet<Arc<OptionalEdge>>,
    /// Id of a package that cannot be had in one of its places, and so nowhere → why.
    pub(super) broken: FxHashMap<Arc<str>, ResolveError>,
    /// More optional dependencies that have to be left out, and why.
    pub(super) failed: Vec<(Arc<OptionalEdge>, ResolveError)>,
}

impl<'a> Tree<'a> {
    pub(super) fn new(
        settings: &'a Settings,
        source: &'a dyn Source,
        prior: Option<Prior<'a>>,
    ) -> Self {
        Self {
            forest: Forest::default(),
            settings,
            source,
            prior,
            answers: Answers::default(),
            by_id: FxHashMap::default(),
            owners: FxHashMap::default(),
            circumstances: FxHashMap::default(),
            has_doubled: false,
            nodes_of: FxHashMap::default(),
            revision: (0, 0),
            used_patches: FxHashSet::default(),
            roots: FxHashSet::default(),
            left_out: FxHashSet::default(),
            broken: FxHashMap::default(),
            failed: Vec::new(),
        }
    }

    /// Place of the project for which each package's dependencies were chosen.
    pub(super) fn owner_projects(&self) -> FxHashMap<PackageIndex, usize> {
        let owners = self.owners.iter();
        owners
            .map(|(package, owner)| (*package, owner.project))
            .collect()
    }

    /// Which occurrence owns each package now.
    pub(super) fn owners(&self) -> &FxHashMap<PackageIndex, Owner> {
        &self.owners
    }

    /// Chooses `requests`, dependencies of a project, and everything below them.
    pub(super) fn extend(
        &mut self,
        walker: &Walker,
        requests: Vec<EdgeRequest>,
        scope: &Rc<Scope>,
    ) -> Result<Vec<Direct>, ResolveError> {
        let seeds = self.seed(walker, requests)?;
        self.keep_direct_versions(walker, &seeds);
        let overlay = self.overlay_below(None, &seeds);
        let scope = self.scope_below(scope, &seeds);
        let direct = self.walk(walker, seeds, overlay, scope)?;
        self.roots
            .extend(direct.iter().map(|direct| direct.package));
        self.revision.0 += 1;
        Ok(direct)
    }

    /// Goes down from `seeds`, level by level.
    pub(super) fn walk(
        &mut self,
        walker: &Walker,
        mut seeds: Vec<Seed>,
        overlay: Rc<Overlay>,
        scope: Rc<Scope>,
    ) -> Result<Vec<Direct>, ResolveError> {
        self.assign_owners(walker, seeds.iter_mut());
        let direct = seeds.iter().filter_map(Seed::direct).collect();
        let mut frontier = Vec::new();
        self.settle(seeds, &overlay, &scope, &mut frontier);
        while !frontier.is_empty() {
            frontier = self.next_level(walker, frontier)?;
        }
        Ok(direct)
    }

    fn next_level(
        &mut self,
        walker: &Walker,
        level: Vec<Frontier>,
    ) -> Result<Vec<Frontier>, ResolveError> {
        let mut requests = Vec::new();
        let mut counts = Vec::with_capacity(level.len());
        for place in &level {
            let before = requests.len();
            self.child_requests(walker, place, &mut requests)?;
            counts.push(requests.len() - before);
        }
        let optional: Vec<bool> = requests.iter().map(|request| request.optional).collect();
        let mut seeds = self.seed(walker, requests)?;
        self.assign_owners(walker, seeds.iter_mut());
        let mut next = Vec::new();
        let mut done = 0;
        for (place, count) in level.into_iter().zip(counts) {
            let rest = seeds.split_off(count);
            let own = std::mem::replace(&mut seeds, rest);
            let flags = &optional[done..done + count];
            done += count;
            self.record(walker, &place, &own, flags);
            let overlay = self.overlay_below(Some(&place.overlay), &own);
            let scope = self.scope_below(&place.scope, &own);
            self.settle(own, &overlay, &scope, &mut next);
        }
        Ok(next)
    }

    fn child_requests(
        &mut self,
        walker: &Walker,
        place: &Frontier,
        requests: &mut Vec<EdgeRequest>,
    ) -> Result<(), ResolveError> {
        let pending = &place.pending;
        let resolved = Arc::clone(&pending.resolved);
        if pending.depth + 1 > DEPTH_MAX {
            let fault = ResolveFault::TooDeep(DEPTH_MAX as usize);
            return Err(self.error(walker, &pending.ancestors, fault));
        }
        let ancestors: Rc<[PackageIndex]> = pending
            .ancestors
            .iter()
            .copied()
            .chain([pending.package])
            .collect();
        let is_injected = is_injected_project(&resolved);
        let directory = self.directory_of(&resolved);
        for (alias, specifier, optional) in dependencies(&resolved) {
            let symbol = self.forest.symbols.of(alias.as_str());
            if !optional && place.claim.shadowed.contains(&symbol) {
                continue;
            }
            let mut specifier = specifier.clone();
            if is_injected && specifier.starts_with("catalog:") {
                let base = directory.as_deref().unwrap_or(&walker.directory);
                specifier = self
                    .settings
                    .catalog_specifier(alias.as_str(), &specifier, base)
                    .map_err(|fault| self.error(walker, &ancestors, fault))?;
            }
            let reference = self.prior_reference(pending, alias);
            let is_released = matches!(reference, Some(None));
            let prior = reference
                .flatten()
                .and_then(|reference| Self::prior_child(pending, reference, &specifier));
            let (specifier, prior) = self.refreshed(walker, alias, specifier, prior);
            requests.push(EdgeRequest {
                alias: alias.clone(),
                symbol,
                specifier,
                optional,
                below: pending.below.clone(),
                injected: resolved.manifest.injected.contains(alias),
                depth: pending.depth + 1,
                ancestors: Rc::clone(&ancestors),
                prior,
                is_released,
                allows_reuse: true,
                overlay: Some(Rc::clone(&place.overlay)),
                scope: Rc::clone(&place.scope),
                directory: directory.clone(),
                parent_is_project: resolved.via == Via::Workspace,
            });
        }
        Ok(())
    }

    /// Registers what an edge came to.
    pub(super) fn seed_of(
        &mut self,
        walker: &Walker,
        request: &EdgeRequest,
        resolved: &Arc<Resolved>,
        id: &str,
    ) -> Seed {
        let below = self.optional_edge(walker, request);
        let optional = below.is_some();
        if self.closes_circle(&request.ancestors, id) {
            return Seed::Nothing;
        }
        let shadowed = Rc::new(self.shadowed(resolved, &request.scope));
        let package = match self.by_id.get(id) {
            Some(package) => {
                let known = self.forest.package_mut(*package);
                known.optional = known.optional && optional;
                *package
            }
            None => {
                let peers = self.peers_of(resolved, &shadowed);
                let is_leaf = is_leaf(resolved);
                self.add_package(request, resolved, id, peers, is_leaf, optional)
            }
        };
        if !self.forest.package(package).is_link() {
            self.meet(walker, package, resolved, &shadowed);
        }
        let node = self.add_node(package, request.depth);
        self.keep_locked(walker, request, package, node);
        Seed::Pending(Box::new(Pending {
            package,
            resolved: Arc::clone(resolved),
            alias: request.symbol,
            node,
            depth: request.depth,
            below,
            ancestors: Rc::clone(&request.ancestors),
            shadowed,
            prior: request.prior.clone(),
            claim: None,
        }))
    }

    pub(super) fn add_node(&mut self, package: PackageIndex, depth: i32) -> NodeId {
        let before = self.forest.nodes.len();
        let node = self.forest.add_node(package, depth);
        if self.forest.nodes.len() > before {
            self.nodes_of.entry(package).or_default().push(node);
        }
        node
    }

    pub(super) fn add_package(
        &mut self,
        request: &EdgeRequest,
        resolved: &Arc<Resolved>,
        id: &str,
        peers: Vec<PeerDependency>,
        is_leaf: bool,
        optional: bool,
    ) -> PackageIndex {
        let id: Arc<str> = id.into();
        let is_link = id.starts_with("link:");
        let index = PackageIndex(u32::try_from(self.forest.packages.len()).unwrap_or(u32::MAX));
        let name = self
            .forest
            .symbols
            .of(resolved.peer_name(&request.alias).as_str());
        let peers = if is_link { Vec::new() } else { peers };
        self.forest
            .peer_names
            .extend(peers.iter().map(|peer| peer.name));
        self.forest.packages.push(Package {
            id: Arc::clone(&id),
            name,
            resolved: Arc::clone(resolved),
            peers,
            children: None,
            is_leaf,
            optional,
            only_node: None,
        });
        self.by_id.insert(id, index);
        index
    }

    /// A package that depends on itself, directly or the second time around a circle.
    pub(super) fn closes_circle(&self, ancestors: &[PackageIndex], id: &str) -> bool {
        let Some(parent) = ancestors.last() else {
            return false;
        };
        let Some(package) = self.by_id.get(id) else {
            return false;
        };
        if parent == package {
            return true;
        }
        let first = ancestors.iter().position(|one| one == parent);
        let last = ancestors.iter().rposition(|one| one == package);
        first.is_some_and(|first| {
            first != ancestors.len() - 1 && last.is_some_and(|last| first < last)
        })
    }

    /// Dependencies that the package also has as peers, and that others provide.
    pub(super) fn shadowed(&mut self, resolved: &Resolved, scope: &Scope) -> FxHashSet<Symbol> {
        let manifest = &resolved.manifest;
        let mut shadowed = FxHashSet::default();
        if manifest.peer_dependencies.is_empty() {
            return shadowed;
        }
        for name in manifest.dependencies.keys() {
            if manifest.peer_dependencies.contains_key(name) {
                let symbol = self.forest.symbols.of(name.as_str());
                let is_optional = manifest.peer_dependencies_meta.get(name) == Some(&true);
                let is_given = self.settings.auto_install_peers && !is_optional;
                self.has_doubled |= !is_given;
                if is_given || scope.contains(symbol) {
                    shadowed.insert(symbol);
                }
            }
        }
        shadowed
    }

    /// The peers of a package, without those that it depends on anyway.
    pub(super) fn peers_of(
        &mut self,
        resolved: &Resolved,
        shadowed: &FxHashSet<Symbol>,
    ) -> Vec<PeerDependency> {
        let manifest = &resolved.manifest;
        let mut peers: BTreeMap<&str, (Arc<str>, bool)> = BTreeMap::new();
        let symbols = &mut self.forest.symbols;
        let mut is_own = |name: &PackageName| {
            *name == manifest.name
                || manifest.optional_dependencies.contains_key(name)
                || (manifest.dependencies.contains_key(name)
                    && !shadowed.contains(&symbols.of(name.as_str())))
        };
        for (name, range) in &manifest.peer_dependencies {
            if !is_own(name) {
                peers.insert(name.as_str(), (Arc::from(&**range), false));
            }
        }
        for (name, optional) in &manifest.peer_dependencies_meta {
            if *optional && !is_own(name) {
                let peer = peers
                    .entry(name.as_str())
                    .or_insert_with(|| ("*".into(), true));
                peer.1 = true;
            }
        }
        peers
            .into_iter()
            .map(|(name, (range, optional))| PeerDependency {
                name: self.forest.symbols.of(name),
                range,
                optional,
            })
            .collect()
    }

    /// Decides for each package of a level which of its occurrences chooses its dependencies.
    fn assign_owners<'s>(&mut self, walker: &Walker, seeds: impl Iterator<Item = &'s mut Seed>) {
        let mut level: Vec<&mut Box<Pending>> = seeds
            .filter_map(|seed| match seed {
                Seed::Pending(pending) if !self.forest.package(pending.package).is_link() => {
                    Some(pending)
                }
                _ => None,
            })
            .collect();
        let mut best: FxHashMap<PackageIndex, usize> = FxHashMap::default();
        for (at, pending) in level.iter().enumerate() {
            let standing = *best.entry(pending.package).or_insert(at);
            if standing != at && self.comes_before(pending, level[standing]) {
                best.insert(pending.package, at);
            }
        }
        let mut winners: Vec<usize> = best.into_values().collect();
        winners.sort_unstable();
        for at in winners {
            self.claim(walker, level[at]);
        }
    }

    fn comes_before(&self, one: &Pending, other: &Pending) -> bool {
        let depths = one.depth.cmp(&other.depth);
        let order = depths.then_with(|| self.compare_paths(&one.ancestors, &other.ancestors));
        order.is_lt()
    }

    fn compare_paths(&self, one: &[PackageIndex], other: &[PackageIndex]) -> std::cmp::Ordering {
        let id = |index: &PackageIndex| &self.forest.package(*index).id;
        one.iter().map(id).cmp(other.iter().map(id))
    }

    pub(super) fn owner_of(
        &self,
        walker: &Walker,
        depth: i32,
        ancestors: &Rc<[PackageIndex]>,
    ) -> Owner {
        Owner {
            updates: self.updates(walker),
            depth,
            project: walker.project,
            ancestors: Rc::clone(ancestors),
        }
    }

    /// Whether `owner` comes before the one for which `package` is chosen.
    pub(super) fn comes_first(&self, package: PackageIndex, owner: &Owner) -> bool {
        let standing = self.owners.get(&package);
        standing.is_none_or(|standing| self.is_before(owner, standing))
    }

    pub(super) fn is_before(&self, one: &Owner, other: &Owner) -> bool {
        let paths = || self.compare_paths(&one.ancestors, &other.ancestors);
        let places = (!one.updates, one.depth, one.project);
        let order = places.cmp(&(!other.updates, other.depth, other.project));
        order.then_with(paths).is_lt()
    }

    /// Makes `owner` the one for which `package` is chosen, if it comes before the one that is.
    /// Says whether the shadowed dependencies differ from those of the one before.
    pub(super) fn try_own(
        &mut self,
        package: PackageIndex,
        owner: &Owner,
        shadowed: &Rc<FxHashSet<Symbol>>,
    ) -> Option<bool> {
        if !self.comes_first(package, owner) {
            return None;
        }
        let known = self.circumstances.get(&package);
        let is_new_context = self.owners.contains_key(&package)
            && known.is_none_or(|known| known.shadowed != *shadowed);
        let before = self.owners.insert(package, owner.clone());
        if before.is_some_and(|before| before.updates == owner.updates) {
            // Other occurrences offer nothing of what is below them any more. What another project
            // updates changes nothing of that where it comes out as it was.
            let mut changes = false;
            for node in self.nodes_of.get(&package).into_iter().flatten() {
                changes |= self.forest.laid_out[node.place().0].take().is_some();
            }
            self.revision.1 += u64::from(changes);
        }
        Some(is_new_context)
    }

    fn claim(&mut self, walker: &Walker, pending: &mut Pending) {
        let owner = self.owner_of(walker, pending.depth, &pending.ancestors);
        let shadowed = Rc::clone(&pending.shadowed);
        let Some(is_new_context) = self.try_own(pending.package, &owner, &shadowed) else {
            return;
        };
        let manifest = &pending.resolved.manifest;
        // What was taken from the lockfile has the peers that its manifest had then.
        let known = &self.forest.package(pending.package).resolved.manifest;
        if is_new_context || !Arc::ptr_eq(known, manifest) {
            let peers = self.peers_of(&pending.resolved, &shadowed);
            let changes = self.forest.set_peers(pending.package, peers, manifest);
            self.revision.1 += u64::from(changes);
        }
        pending.claim = Some(Claim {
            owner,
            is_new_context,
            shadowed,
        });
    }

    /// Sorts out who of a level goes on.
    fn settle(
        &mut self,
        seeds: Vec<Seed>,
        overlay: &Rc<Overlay>,
        scope: &Rc<Scope>,
        next: &mut Vec<Frontier>,
    ) {
        for seed in seeds {
            let Seed::Pending(mut pending) = seed else {
                continue;
            };
            let Some(claim) = pending.claim.take() else {
                continue;
            };
            let known = self.circumstances.get(&pending.package);
            if pending.prior.is_none() && !claim.owner.updates {
                // What the lockfile chose stays when it is gone through once more.
                pending.prior = known.and_then(|known| known.prior.clone());
            }
            let now = Circumstances {
                shadowed: Rc::clone(&claim.shadowed),
                prior: pending.prior.clone(),
                updates: claim.owner.updates,
            };
            let is_known =
                known.is_some_and(|known| known.are(&now) || known.is_pinned_against(&now));
            if is_known
                && !is_injected_project(&self.forest.package(pending.package).resolved)
                && !self.shadows_otherwise(pending.package, &claim.owner, scope)
            {
                self.pass_on((pending.package, pending.node), &claim.owner, scope);
                continue;
            }
            next.push(Frontier {
                pending,
                claim,
                overlay: Rc::clone(overlay),
                scope: Rc::clone(scope),
            });
        }
    }

    /// Keeps what was chosen for the dependencies of a package.
    fn record(&mut self, walker: &Walker, place: &Frontier, seeds: &[Seed], optional: &[bool]) {
        let pending = &place.pending;
        if pending.prior.is_some() {
            let changed = seeds.iter().filter_map(|seed| match seed {
                Seed::Pending(child) if child.prior.is_none() => Some(child.node),
                _ => None,
            });
            self.forest.changed.extend(changed);
        }
        let children: Vec<(Direct, bool)> = seeds
            .iter()
            .zip(optional)
            .filter_map(|(seed, optional)| Some((seed.direct()?, *optional)))
            .collect();
        let circumstances = Circumstances {
            shadowed: Rc::clone(&place.claim.shadowed),
            prior: pending.prior.clone(),
            updates: self.updates(walker),
        };
        self.record_children(
            (pending.package, pending.node),
            &place.claim.owner,
            &children,
            circumstances,
            place.claim.is_new_context,
        );
    }

    /// Whether a package's dependencies were chosen under the same circumstances already.
    pub(super) fn is_recorded_for(&self, package: PackageIndex, now: &Circumstances) -> bool {
        let known = self.circumstances.get(&package);
        known.is_some_and(|known| known.are(now))
    }

    /// What a package's own peers took the place of where its dependencies were chosen.
    pub(super) fn shadowed_where_chosen(
        &self,
        package: PackageIndex,
    ) -> Option<&FxHashSet<Symbol>> {
        Some(&*self.circumstances.get(&package)?.shadowed)
    }

    pub(super) fn record_children(
        &mut self,
        (package, node): (PackageIndex, NodeId),
        owner: &Owner,
        children: &[(Direct, bool)],
        circumstances: Circumstances,
        is_new_context: bool,
    ) {
        if self.owners.get(&package) != Some(owner) {
            return;
        }
        let known = self.circumstances.get(&package);
        if known.is_some_and(|known| known.is_pinned_against(&circumstances)) {
            return;
        }
        let edges: Arc<[Edge]> = children
            .iter()
            .map(|(child, optional)| Edge {
                alias: child.alias,
                package: child.package,
                optional: *optional,
            })
            .collect();
        let was = self.forest.package(package).children.clone();
        let changes = was.as_ref().is_some_and(|was| **was != *edges);
        if was.is_none() || changes {
            self.forest.package_mut(package).children = Some(edges);
        }
        self.circumstances.insert(package, circumstances);
        if changes || is_new_context {
            self.forget_layout(package, node);
        }
        let (at, _) = node.place();
        let nodes = children.iter().map(|(child, _)| child.node).collect();
        self.forest.laid_out[at] = Some(nodes);
    }

    /// The other occurrences of a package take its new dependencies.
    fn forget_layout(&mut self, package: PackageIndex, except: NodeId) {
        let mut changed = false;
        for node in self.nodes_of.get(&package).into_iter().flatten() {
            let (at, _) = node.place();
            if *node != except && self.forest.laid_out[at].take().is_some() {
                changed = true;
            }
        }
        if changed {
            self.revision.1 += 1;
        }
    }

    /// The versions of a level, in front of those above.
    pub(super) fn overlay_below(&self, above: Option<&Rc<Overlay>>, seeds: &[Seed]) -> Rc<Overlay> {
        let mut versions: FxHashMap<Symbol, Vec<Box<str>>> = FxHashMap::default();
        for direct in seeds.iter().filter_map(Seed::direct) {
            let package = self.forest.package(direct.package);
            if let Some(version) = &package.resolved.version {
                let known = versions.entry(package.name).or_default();
                if !known.contains(version) {
                    known.push(version.clone());
                }
            }
        }
        Rc::new(Overlay {
            versions,
            parent: above.map(Rc::clone),
        })
    }

    fn scope_below(&self, above: &Rc<Scope>, seeds: &[Seed]) -> Rc<Scope> {
        let direct = seeds.iter().filter_map(Seed::direct);
        above.below(direct.map(|direct| direct.alias).collect())
    }

    /// `fault`, with those who led to it.
    pub(super) fn error(
        &self,
        walker: &Walker,
        ancestors: &[PackageIndex],
        fault: impl Into<ResolveFault>,
    ) -> ResolveError {
        let name = |index: &PackageIndex| {
            let package = self.forest.package(*index);
            let manifest = &package.resolved.manifest;
            format!("{}@{}", manifest.name.as_str(), manifest.version)
        };
        ResolveError {
            fault: Arc::new(fault.into()),
            dependants: ancestors.iter().map(name).collect(),
            project: Some(walker.id.to_string()),
            broken: None,
        }
    }
}
