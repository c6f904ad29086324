//! Which of the versions that are there anyway a project may be given as an optional peer.

use node_semver::Version;
use rustc_hash::{FxHashMap, FxHashSet};

use super::forest::PackageIndex;
use super::hoist::Hoist;
use super::pre_releases::allows_pre_releases;
use super::resolved::{Resolved, Via};
use super::symbols::Symbol;
use super::tree::Tree;
use super::versions::comparable_range;

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

    /// Whether the peers of `version` of `name` allow what the project has under their names, and
    /// so do the peers of those that the project would get for them.
    pub(super) fn goes_with<'n>(
        &'n self,
        at: usize,
        name: &'n str,
        version: &str,
        above: &mut Vec<&'n str>,
    ) -> bool {
        if above.contains(&name) {
            return true;
        }
        let Some(index) = self.tree.by_id.get(&*format!("{name}@{version}")) else {
            return true;
        };
        above.push(name);
        let fits = self.tree.forest.package(*index).peers.iter().all(|peer| {
            let range = comparable_range(&peer.range);
            let allows = |version: &str| {
                Version::parse(version)
                    .map_or(true, |version| allows_pre_releases(&range, &version))
            };
            if let Some(version) = self.provided(at, peer.name) {
                return allows(version);
            }
            let wanted = self.tree.forest.text(peer.name);
            let there = self.chosen.iter().flat_map(|(_, chosen)| chosen.of(wanted));
            let fitting = there.filter(|version| allows(version));
            let highest = fitting.max_by_key(|version| Version::parse(&***version).ok());
            peer.optional
                || highest.is_none_or(|version| self.goes_with(at, wanted, version, above))
        });
        above.pop();
        fits
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
