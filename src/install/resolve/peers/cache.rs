//! Results of earlier visits, and when they hold at another place.

use std::collections::btree_map::Entry;
use std::rc::Rc;

use super::context::{Context, Parent, Parents};
use super::missing::MissingSummary;
use super::walk::Walk;
use super::{Missing, MissingPeers, Outcome, PeerNodes};
use crate::install::resolve::forest::{NodeId, PackageIndex};
use crate::install::resolve::symbols::Symbol;

/// What one visit of a package came to.
#[derive(Debug)]
pub(super) struct CachedResult {
    pub(super) path: Symbol,
    /// Whether `path` names every peer with its own peers, as far as it has any.
    pub(super) is_complete: bool,
    /// Whether something below has the package itself as a peer, which is not in `external`.
    pub(super) takes_itself: bool,
    pub(super) external: Rc<PeerNodes>,
    pub(super) missing: Rc<MissingPeers>,
    pub(super) summary: Option<Rc<MissingSummary>>,
}

impl CachedResult {
    /// Providers belong to the first visit only.
    pub(super) fn outcome(&self) -> Outcome {
        Outcome {
            path: self.path,
            is_complete: self.is_complete,
            external: Rc::clone(&self.external),
            providers: PeerNodes::new(),
            missing: Rc::clone(&self.missing),
            summary: self.summary.clone(),
        }
    }
}

impl Walk<'_> {
    /// An earlier result for `package` that is right where `parents` are in sight: the same peers
    /// are found, and nothing that was missing is there.
    pub(super) fn cached(&self, package: PackageIndex, parents: &Parents) -> Option<&CachedResult> {
        let own_name = self.forest.package(package).name;
        let itself = parents.get(&own_name);
        let is_itself = itself.is_some_and(|current| current.package == package);
        self.state.cache.get(&package)?.iter().find(|result| {
            let fits = is_itself || !result.takes_itself;
            fits && result.external.iter().all(|(name, cached)| {
                parents
                    .get(name)
                    .is_some_and(|current| self.is_same_provider(current, *cached))
            }) && !result.missing.keys().any(|name| parents.contains_key(name))
        })
    }

    fn is_same_provider(&self, current: &Parent, cached: NodeId) -> bool {
        if current.node == cached {
            return true;
        }
        let path = |node: NodeId| {
            let path = self.state.node_paths.get(&node);
            path.filter(|_| !self.state.incomplete.contains(&node))
        };
        if let (Some(cached), Some(current)) = (path(cached), path(current.node))
            && cached == current
        {
            return true;
        }
        self.node(cached).package == current.package
            && (self.state.pure.contains(&current.package)
                || self.is_same_place(cached, current.node))
    }

    /// Whether the same packages are in sight of both nodes.
    fn is_same_place(&self, cached: NodeId, current: NodeId) -> bool {
        let context = |node: NodeId| self.state.contexts.get(&node);
        let (Some(cached), Some(current)) = (context(cached), context(current)) else {
            return false;
        };
        Rc::ptr_eq(cached, current) && !cached.is_shadowed || self.is_same_context(cached, current)
    }

    fn is_same_context(&self, cached: &Context, current: &Context) -> bool {
        if cached.seen.len() != current.seen.len() {
            return false;
        }
        let is_shadowed = cached.is_shadowed || current.is_shadowed;
        cached.seen.iter().all(|(name, cached)| {
            current.seen.get(name).is_some_and(|now| {
                cached.package == now.package
                    && (!is_shadowed
                        || now.depth == current.depth_max
                        || self.state.pure.contains(&cached.package))
            })
        })
    }

    /// Reports again, for the place of `node`, what is missing below it.
    pub(super) fn reuse(
        &mut self,
        node: NodeId,
        outcome: Outcome,
        above: &super::Chain,
    ) -> Outcome {
        let package = self.node(node).package;
        if !outcome.missing.is_empty() {
            let below = above.pushed(package);
            let own = &self.forest.package(package).peers;
            for (name, all) in outcome.missing.iter() {
                let own = own.iter().find(|peer| peer.name == *name);
                let own = own.map(Missing::of);
                for missing in all.iter() {
                    let is_own = own.as_ref() == Some(missing);
                    self.report_missing(*name, missing, if is_own { above } else { &below });
                }
            }
        }
        self.remember(node, outcome.path, outcome.is_complete);
        if let Some(last) = &mut self.last {
            last.external.insert(node, Rc::clone(&outcome.external));
        }
        outcome
    }
}

/// Names and nodes of `from` into `into`, those of `from` before.
pub(super) fn extend(into: &mut PeerNodes, from: &PeerNodes) {
    for (name, node) in from {
        into.insert(*name, *node);
    }
}

/// What is missing of `from` too.
pub(super) fn extend_missing(into: &mut MissingPeers, from: &MissingPeers) {
    for (name, missing) in from {
        match into.entry(*name) {
            Entry::Vacant(entry) => _ = entry.insert(Rc::clone(missing)),
            Entry::Occupied(entry) if Rc::ptr_eq(entry.get(), missing) => {}
            Entry::Occupied(entry) => {
                let known = entry.into_mut();
                let new = missing.iter().filter(|one| !known.contains(one));
                let new: Vec<Missing> = new.cloned().collect();
                if !new.is_empty() {
                    Rc::make_mut(known).extend(new);
                }
            }
        }
    }
}

/// Whether `alias` is among `aliases`, of which there are few.
pub(super) fn is_among(aliases: &[Symbol], alias: Symbol) -> bool {
    aliases.contains(&alias)
}
