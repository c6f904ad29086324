//! Peers that the lockfile has for a place: they stay as long as they are there and still fit,
//! also where another version is nearer.
//!
//! Whether something that is locked without peers is there without peers is known only after a
//! walk, so there is a second one where the first has found other peers than the lockfile has.

use std::rc::Rc;

use node_semver::Version;
use rustc_hash::FxHashSet;

use super::context::{Parent, Parents};
use super::walk::Walk;
use crate::install::resolve::forest::{NodeId, PackageIndex};
use crate::install::resolve::pre_releases::allows_pre_releases;
use crate::install::resolve::symbols::Symbol;
use crate::install::resolve::versions::comparable_range;

impl Walk<'_> {
    /// Takes note of it where `node` has other peers than the lockfile has for it.
    pub(super) fn note_locked(&mut self, node: NodeId, index: PackageIndex, parents: &Parents) {
        let mut locked = self.locked_for(node, index, parents).into_iter();
        self.differs_from_locked |= locked.any(|(name, locked)| {
            let current = parents.get(&name);
            current.is_none_or(|current| current.package != locked.package)
        });
    }

    /// The nodes that the lockfile has without peers, and that have none after this walk.
    pub(super) fn locked_providers(&self) -> FxHashSet<NodeId> {
        let nodes = self.forest.locked_providers.iter();
        let nodes = nodes.filter(|(id, node)| {
            let path = self.state.node_paths.get(node);
            path.is_some_and(|path| **self.state.paths.text(*path) == ***id)
        });
        nodes.map(|(_, node)| *node).collect()
    }

    /// What is in sight of `node`, with the peers that the lockfile has for it.
    pub(super) fn with_locked(
        &self,
        node: NodeId,
        index: PackageIndex,
        mut parents: Rc<Parents>,
    ) -> Rc<Parents> {
        if self.providers.is_some() {
            let locked = self.locked_for(node, index, &parents);
            if !locked.is_empty() {
                Rc::make_mut(&mut parents).extend(locked);
            }
        }
        parents
    }

    fn locked_for(
        &self,
        node: NodeId,
        index: PackageIndex,
        parents: &Parents,
    ) -> Vec<(Symbol, Parent)> {
        let locked = self.forest.locked_peers.get(&node).into_iter().flatten();
        let package = self.forest.package(index);
        let fitting = locked.filter_map(|(name, id)| {
            let provider = *self.forest.locked_providers.get(id)?;
            let peer = package.peers.iter().find(|peer| peer.name == *name)?;
            let gives_way = match parents.get(name) {
                Some(current) => !self.wins(*name, current),
                None => !peer.optional,
            };
            if !(gives_way && self.may_provide(provider)) {
                return None;
            }
            let there = self.node(provider);
            let given = self.forest.package(there.package);
            let version = Version::parse(given.resolved.peer_version()).ok()?;
            let parent = Parent {
                node: provider,
                package: there.package,
                alias: (given.name != *name).then_some(*name),
                depth: there.depth,
                occurrence: 0,
            };
            let range = comparable_range(&peer.range);
            allows_pre_releases(&range, &version).then_some((*name, parent))
        });
        fitting.collect()
    }

    /// Whether what is in sight as `name` comes before what is locked: it is new here, or the
    /// project calls it otherwise.
    fn wins(&self, name: Symbol, current: &Parent) -> bool {
        let is_renamed = current.alias.is_some_and(|alias| alias != name);
        self.changed.contains(&current.node)
            || self.changed_of_root.contains(&current.node)
            || self.forest.changed.contains(&current.node)
            || (current.depth == 0 && is_renamed)
    }

    fn may_provide(&self, provider: NodeId) -> bool {
        let Some(providers) = &self.providers else {
            return true;
        };
        let path = self.state.node_paths.get(&provider);
        let id = &self.forest.package(self.node(provider).package).id;
        providers.contains(&provider)
            && path.is_none_or(|path| **self.state.paths.text(*path) == **id)
    }
}
