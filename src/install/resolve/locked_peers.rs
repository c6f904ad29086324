//! What the lockfile has for the nodes of the tree: which peers, and whether any at all.

use std::sync::Arc;

use super::edges::{EdgeRequest, real_name};
use super::forest::{NodeId, PackageIndex};
use super::resolved::is_injected_project;
use super::reuse::references;
use super::symbols::Symbol;
use super::tree::{Tree, Walker};
use crate::install::lockfile::{DepPath, Reference};
use crate::install::pick::{Selector, WEIGHT_DIRECT};
use crate::install::semver::Version;

impl Tree<'_> {
    /// What the lockfile has for a dependency, where that is not to move.
    pub(super) fn kept<'r>(
        &self,
        walker: &Walker,
        request: &'r EdgeRequest,
    ) -> Option<&'r DepPath> {
        let update = self.prior.as_ref()?.update(walker.project);
        let moves = update.concerns(real_name(request), request.depth);
        request.prior.as_ref().filter(|_| !moves)
    }

    /// Keeps which peers the lockfile has for a node, and whether it has the node without any.
    pub(super) fn keep_locked(
        &mut self,
        walker: &Walker,
        request: &EdgeRequest,
        package: PackageIndex,
        node: NodeId,
    ) {
        let (Some(path), Some(prior)) = (self.kept(walker, request), &self.prior) else {
            return;
        };
        let forest = &mut self.forest;
        let known = &forest.packages[package.0 as usize];
        let suffix = path.peers_suffix();
        let is_same = path.as_str().strip_suffix(suffix) == Some(&*known.id);
        // A copy of a project is looked at again.
        if !is_same || is_injected_project(&known.resolved) {
            return;
        }
        if suffix.is_empty() {
            let id = Arc::clone(&known.id);
            forest.locked_providers.entry(id).or_insert(node);
            return;
        }
        let is_peer = |alias: Symbol| known.peers.iter().any(|peer| peer.name == alias);
        let peers = prior.snapshot(path).into_iter().flat_map(references);
        let peers = peers.filter_map(|(alias, reference, _)| match reference {
            Reference::Package(peer) if peer.peers_suffix().is_empty() => {
                let alias = forest.symbols.find(alias.as_str())?;
                is_peer(alias).then(|| (alias, Arc::from(peer.as_str())))
            }
            _ => None,
        });
        let peers: Vec<(Symbol, Arc<str>)> = peers.collect();
        if !peers.is_empty() {
            forest.locked_peers.insert(node, peers);
        }
    }
}

/// Whether the version of a peer stays beside what projects ask for themselves: it is in a range of
/// them, or they name it, and nobody names another or, where no range has it, a range.
pub(super) fn stays_beside(asked: &[(Selector, u64)], version: &str) -> bool {
    let parsed = Version::parse(version);
    let (mut ranges, mut in_range, mut named) = (false, false, false);
    for (selector, weight) in asked {
        match selector {
            _ if *weight != WEIGHT_DIRECT => return false,
            Selector::Version(other) if **other != *version => return false,
            Selector::Version(_) => named = true,
            Selector::Range { range, .. } => {
                ranges = true;
                in_range |= parsed.as_ref().is_some_and(|parsed| range.contains(parsed));
            }
            Selector::Tag(_) => {}
        }
    }
    in_range || (named && !ranges)
}
