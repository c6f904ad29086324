//! What the lockfile has for the nodes of the tree: which peers, and whether any at all.

use std::sync::Arc;

use rustc_hash::{FxHashMap, FxHashSet};

use super::edges::{EdgeRequest, real_name};
use super::forest::{NodeId, PackageIndex};
use super::resolved::is_injected_project;
use super::reuse::{Prior, all_dependencies, references};
use super::symbols::Symbol;
use super::tree::{Tree, Walker};
use super::versions::suffix_names;
use crate::install::lockfile::{DepPath, Reference};
use crate::install::pick::{Selector, WEIGHT_DIRECT};
use crate::install::semver::Version;

/// Peer → versions that the lockfile has for dependencies of a project.
pub(super) type LockedPeers = FxHashMap<Symbol, FxHashSet<Box<str>>>;

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

    /// Which peers the lockfile has for those of the project's dependencies that are asked for in
    /// the same words.
    pub(super) fn locked_peers(&mut self, walker: &Walker) -> LockedPeers {
        let mut locked = LockedPeers::default();
        let Some(prior) = &self.prior else {
            return locked;
        };
        let found: Vec<&DepPath> = match prior.importer(&walker.id) {
            Some(importer) => all_dependencies(importer)
                .filter(|(alias, _)| !prior.is_changed(walker.project, alias))
                .filter_map(|(_, dependency)| match &dependency.reference {
                    Reference::Package(path) => Some(path),
                    _ => None,
                })
                .collect(),
            None => prior.lockfile.snapshots.keys().collect(),
        };
        let symbols = &mut self.forest.symbols;
        for path in found {
            for (name, version) in locked_peers_of(prior, path) {
                locked.entry(symbols.of(&name)).or_default().insert(version);
            }
        }
        locked
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
            // pnpm finds again only what is the same everywhere: what depends on nothing.
            if known.is_leaf {
                forest.locked_providers.insert(Arc::clone(&known.id), node);
            }
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

/// Name and version of the peers in a snapshot's key, or of its dependencies where the key has a
/// hash.
fn locked_peers_of(prior: &Prior<'_>, path: &DepPath) -> Vec<(String, Box<str>)> {
    let suffix = path.peers_suffix();
    let mut found: Vec<(String, Box<str>)> = Vec::new();
    for segment in suffix
        .split(['(', ')'])
        .filter(|segment| !segment.is_empty())
    {
        if let Some((name, version)) = segment.rsplit_once('@')
            && !name.is_empty()
        {
            found.push((name.to_owned(), version.into()));
        }
    }
    if !found.is_empty() || suffix.is_empty() || suffix_names(path.as_str()).next().is_some() {
        return found;
    }
    let (Some(snapshot), Some(info)) = (prior.snapshot(path), prior.package(path)) else {
        return found;
    };
    for (alias, reference, _) in references(snapshot) {
        if let Reference::Package(child) = reference
            && info.peer_dependencies.contains_key(alias.as_str())
        {
            found.push((alias.as_str().to_owned(), child.version().into()));
        }
    }
    found
}
