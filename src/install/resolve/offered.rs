//! Which of the versions that are there anyway a project may be given as an optional peer.

use std::sync::Arc;

use node_semver::Version;
use rustc_hash::{FxHashMap, FxHashSet};

use super::forest::PackageIndex;
use super::hoist::Hoist;
use super::local::absolute;
use super::pre_releases::allows_pre_releases;
use super::resolved::{Resolved, Via};
use super::symbols::Symbol;
use super::tree::Tree;
use super::versions::{comparable_range, of_alias};

/// A peer of a version that may be given.
struct OfferedPeer<'t> {
    name: &'t str,
    range: Arc<str>,
    optional: bool,
}

/// Versions by the names of their packages.
#[derive(Debug, Default)]
pub(super) struct Versions(FxHashMap<Box<str>, Vec<Box<str>>>);

impl Versions {
    /// Those that are reached from `roots`.
    pub(super) fn below(tree: &Tree<'_>, roots: impl Iterator<Item = PackageIndex>) -> Self {
        let mut versions = Self::default();
        let mut open: Vec<PackageIndex> = roots.collect();
        let mut seen: FxHashSet<PackageIndex> = open.iter().copied().collect();
        while let Some(index) = open.pop() {
            let package = tree.forest.package(index);
            versions.add(&package.resolved);
            for edge in package.children.iter().flat_map(|children| children.iter()) {
                if seen.insert(edge.package) {
                    open.push(edge.package);
                }
            }
        }
        versions
    }

    fn add(&mut self, resolved: &Resolved) {
        let Some(version) = identity(resolved) else {
            return;
        };
        let name = resolved.manifest.name.as_str();
        let known = self.0.entry(name.into()).or_default();
        if !known.iter().any(|one| **one == *version) {
            known.push(version.into());
        }
    }

    /// Those of `name`.
    pub(super) fn of(&self, name: &str) -> &[Box<str>] {
        self.0.get(name).map_or(&[], Vec::as_slice)
    }

    /// Whether `version` of `name` is among them.
    pub(super) fn has(&self, name: &str, version: &str) -> bool {
        self.of(name).iter().any(|one| **one == *version)
    }
}

/// The version that a package counts as.
fn identity(resolved: &Resolved) -> Option<&str> {
    match (&resolved.version, resolved.via) {
        (Some(version), _) => Some(version),
        (None, Via::Workspace) => Some(&resolved.manifest.version),
        (None, _) => None,
    }
}

impl Hoist<'_, '_> {
    /// The only versions that a project may be given, where instances are not to be made equal to
    /// those of other projects (`dedupePeerDependents`, `projectScopedOptionalPeers`): its own, and
    /// what the root project has.
    pub(super) fn own_versions(&self, at: usize) -> Option<Versions> {
        let settings = self.tree.settings;
        if settings.dedupe_peer_dependents && !settings.scoped_optional_peers {
            return None;
        }
        let direct = self.states[at].project.direct.iter();
        let mut own = Versions::below(self.tree, direct.map(|direct| direct.package));
        for direct in self.root_direct() {
            own.add(&self.tree.forest.package(direct).resolved);
        }
        Some(own)
    }

    fn root_direct(&self) -> impl Iterator<Item = PackageIndex> {
        let from_root = self.tree.settings.peers_from_root;
        let root = self.states.iter();
        let root = root.filter(move |state| from_root && &*state.project.id == ".");
        root.flat_map(|state| state.project.direct.iter().map(|direct| direct.package))
    }

    /// Whether the peers of `version` of `name` allow what the project has under their names or
    /// would be given for them, and so do the peers of what it would be given.
    pub(super) fn goes_with(
        &self,
        at: usize,
        name: &str,
        version: &str,
        above: &mut Vec<Box<str>>,
    ) -> bool {
        if above.iter().any(|one| **one == *name) {
            return true;
        }
        above.push(name.into());
        let mut peers = self.peers_of_version(name, version).into_iter();
        let fits = peers.all(|peer| {
            let range = comparable_range(&peer.range);
            let allows = |version: &str| {
                Version::parse(version)
                    .map_or(true, |version| allows_pre_releases(&range, &version))
            };
            let symbol = self.tree.forest.symbols.find(peer.name);
            if let Some(version) = symbol.and_then(|symbol| self.provided(at, symbol)) {
                return allows(version);
            }
            peer.optional
                || self
                    .given_as(at, peer.name, &peer.range)
                    .is_none_or(|(name, version)| {
                        allows(&version) && self.goes_with(at, &name, &version, above)
                    })
        });
        above.pop();
        fits
    }

    /// Peers of a version that was chosen, or that the lockfile has.
    fn peers_of_version(&self, name: &str, version: &str) -> Vec<OfferedPeer<'_>> {
        let id = format!("{name}@{version}");
        if let Some(index) = self.tree.by_id.get(&*id) {
            let peers = self.tree.forest.package(*index).peers.iter();
            let peers = peers.map(|peer| OfferedPeer {
                name: self.tree.forest.text(peer.name),
                range: Arc::clone(&peer.range),
                optional: peer.optional,
            });
            return peers.collect();
        }
        let prior = self.tree.prior.as_ref();
        let info = prior.and_then(|prior| prior.lockfile.packages.get(&*id));
        let Some(info) = info else {
            return Vec::new();
        };
        let meta = info.peer_dependencies_meta.as_ref();
        let is_optional = |name: &str| {
            meta.and_then(|meta| meta.get(name)?.get("optional")?.as_bool()) == Some(true)
        };
        let peers = info.peer_dependencies.iter();
        let peers = peers.map(|(name, range)| OfferedPeer {
            name,
            range: Arc::from(&**range),
            optional: is_optional(name),
        });
        peers.collect()
    }

    /// Name and version of what a project would be given for a missing peer, as far as that is
    /// known.
    fn given_as(&self, at: usize, name: &str, range: &str) -> Option<(Box<str>, Box<str>)> {
        let specifier = self.specifier_of_required(at, name, range)?;
        let (name, wanted) = of_alias(&specifier).unwrap_or((name, &specifier));
        if Version::parse(wanted).is_ok() {
            return Some((name.into(), wanted.into()));
        }
        if let Some(path) = wanted.strip_prefix("link:") {
            let path = absolute(&self.states[at].project.directory, path);
            let project = self.tree.settings.workspace.at(&path)?;
            return Some((name.into(), project.manifest.version.clone()));
        }
        let candidates = self.known_candidates(at, name)?;
        let wanted = comparable_range(wanted);
        let version = candidates.highest(|version| allows_pre_releases(&wanted, version))?;
        Some((name.into(), version.into()))
    }

    /// The version that a project, or the root for it, has under `alias`.
    fn provided(&self, at: usize, alias: Symbol) -> Option<&str> {
        let root = self.states.iter();
        let from_root = self.tree.settings.peers_from_root;
        let root = root.filter(move |state| from_root && &*state.project.id == ".");
        let places = std::iter::once(&self.states[at]).chain(root);
        let mut direct = places.flat_map(|state| state.project.direct.iter());
        let direct = direct.find(|direct| direct.alias == alias)?;
        Some(
            &self
                .tree
                .forest
                .package(direct.package)
                .resolved
                .manifest
                .version,
        )
    }
}
