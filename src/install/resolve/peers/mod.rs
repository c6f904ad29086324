//! Peers: which occurrence of a package uses which occurrence of its peers, and so how many
//! instances of each package there are.
//!
//! A walk goes down from each project with the packages that are in sight there. A package's peer
//! is the nearest one of that name. What a package and everything below it took from above makes
//! its suffix; what nobody offered is missing, and is recorded all the way up.
//!
//! There are two kinds of walks. While peers are being added to projects, only what is missing is
//! of interest ([`Discovery`]). Afterwards one last walk makes the graph ([`resolve`]).
//!
//! Cycles are cut before walking: of the edges between packages of one cycle only those remain
//! that lead to a package whose id sorts later. So every occurrence of a package sees the same
//! tree below itself, whichever way it was reached, and every walk ends.

mod cache;
mod context;
mod cycles;
mod finish;
mod locked;
mod missing;
mod walk;

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::rc::Rc;
use std::sync::Arc;

use rustc_hash::{FxHashMap, FxHashSet};

use super::forest::{Direct, Forest, Node, NodeId, PackageIndex, PeerDependency};
use super::symbols::{Symbol, Symbols};

pub(super) use finish::{Graph, Instance, Segment, resolve};
pub(super) use missing::{MissingIssue, MissingScope};

use cache::CachedResult;
use context::Context;
use missing::MissingSummary;

/// Peer name → the node that was taken.
type PeerNodes = BTreeMap<Symbol, NodeId>;

/// Peer name → what was asked for and is not there, once each.
type MissingPeers = BTreeMap<Symbol, Rc<Vec<Missing>>>;

/// A peer that is not there.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Missing {
    /// As written.
    range: Arc<str>,
    optional: bool,
}

impl Missing {
    fn of(peer: &PeerDependency) -> Self {
        Self {
            range: Arc::clone(&peer.range),
            optional: peer.optional,
        }
    }
}

/// What decides how suffixes look.
#[derive(Debug, Clone)]
pub(super) struct PeerOptions {
    /// `peersSuffixMaxLength`, bytes.
    pub(super) suffix_length_max: usize,
    /// `dedupePeers`: peers are named without their own peers.
    pub(super) dedupe_peers: bool,
    /// `excludeLinksFromLockfile`.
    pub(super) exclude_links: bool,
    /// Where the lockfile is, absolute.
    pub(super) lockfile_directory: PathBuf,
}

/// What a walk goes down from.
#[derive(Debug, Clone)]
pub(super) struct Project {
    /// The importer's id.
    pub(super) id: Arc<str>,
    /// Absolute.
    pub(super) directory: PathBuf,
    /// `modulesDir`, absolute.
    pub(super) modules_directory: PathBuf,
    pub(super) direct: Vec<Direct>,
    /// Nodes of `direct` that are deep in the tree and offer their package to all.
    pub(super) providers: FxHashSet<NodeId>,
    /// Optional peers that are there for others, and that it must not have.
    pub(super) skipped_peers: FxHashSet<Symbol>,
    /// Nodes of what it declares and the lockfile does not have.
    pub(super) changed: FxHashSet<NodeId>,
}

/// An ancestor list that shares its tail.
#[derive(Debug, Clone, Default)]
pub(super) struct Chain(Option<Rc<ChainLink>>);

#[derive(Debug)]
struct ChainLink {
    package: PackageIndex,
    parent: Chain,
}

impl Chain {
    fn pushed(&self, package: PackageIndex) -> Self {
        let parent = self.clone();
        Self(Some(Rc::new(ChainLink { package, parent })))
    }

    /// From the nearest to the farthest.
    pub(super) fn iter(&self) -> impl Iterator<Item = PackageIndex> + '_ {
        let mut next = self.0.as_deref();
        std::iter::from_fn(move || {
            let link = next?;
            next = link.parent.0.as_deref();
            Some(link.package)
        })
    }
}

impl Drop for ChainLink {
    /// One after the other: dropping nested links in one go would need as much stack as the chain
    /// is long.
    fn drop(&mut self) {
        let mut next = std::mem::take(&mut self.parent);
        while let Some(mut link) = next.0.take().and_then(Rc::into_inner) {
            next = std::mem::take(&mut link.parent);
        }
    }
}

/// What a node's parent needs to know of it.
struct Outcome {
    path: Symbol,
    /// Whether `path` names every peer with its own peers.
    is_complete: bool,
    /// Taken from above the node, by it or by what is below it.
    external: Rc<PeerNodes>,
    /// Every peer that was found, wherever: what a project could offer to all.
    providers: PeerNodes,
    missing: Rc<MissingPeers>,
    summary: Option<Rc<MissingSummary>>,
}

/// What a walk found out. Valid for as long as what was recorded of packages does not change.
#[derive(Debug, Default)]
struct State {
    /// Nodes that the walk added.
    nodes: Vec<Node>,
    /// The nodes of the edges of nodes that the forest has not laid out.
    laid_out: FxHashMap<NodeId, Arc<[NodeId]>>,
    /// Depth paths as found during the walk: peers that were not finished yet have no suffix.
    paths: Symbols,
    node_paths: FxHashMap<NodeId, Symbol>,
    /// Nodes whose path lacks peers of a peer, because that was not finished then: equal paths of
    /// such nodes do not make them the same.
    incomplete: FxHashSet<NodeId>,
    /// Packages that take nothing from above and miss nothing, nor does anything below them.
    pure: FxHashSet<PackageIndex>,
    cache: FxHashMap<PackageIndex, Vec<CachedResult>>,
    /// What was in sight of nodes that others may have as peers.
    contexts: FxHashMap<NodeId, Rc<Context>>,
    /// The one node for all edges that lead back to a package.
    back_nodes: FxHashMap<PackageIndex, NodeId>,
    /// Nodes of `back_nodes` that have not been visited.
    pending_back_nodes: Vec<NodeId>,
    /// Component of each package.
    components: Vec<u32>,
    /// Links to directories outside the lockfile's, as the lockfile is to name them.
    renamed_links: FxHashMap<NodeId, Arc<str>>,
}

/// What one discovery found.
#[derive(Debug, Default)]
pub(super) struct Discovered {
    /// Name → node of what was found for a peer anywhere.
    pub(super) providers: BTreeMap<Symbol, NodeId>,
    pub(super) missing: BTreeMap<Symbol, Vec<MissingIssue>>,
    summaries: Vec<Rc<MissingSummary>>,
}

impl Discovered {
    /// Package → names of peers that are missing below it.
    pub(super) fn missing_by_package(&self) -> FxHashMap<PackageIndex, FxHashSet<Symbol>> {
        missing::by_package(&self.summaries)
    }
}

/// Finds missing peers, again and again while projects get more dependencies.
#[derive(Debug, Default)]
pub(super) struct Discovery {
    state: State,
    revision: Option<(u64, u64)>,
}

impl Discovery {
    /// Walks `walked`, some of the dependencies of `project`.
    pub(super) fn discover(
        &mut self,
        forest: &Forest,
        revision: (u64, u64),
        project: &Project,
        walked: &[Direct],
        options: &PeerOptions,
        scope: Option<&MissingScope<'_>>,
    ) -> Discovered {
        if self.revision != Some(revision) {
            if self
                .revision
                .is_some_and(|(_, rewrites)| rewrites != revision.1)
            {
                self.state = State::default();
            }
            self.state.components = walk::package_components(forest);
            self.revision = Some(revision);
        }
        let mut walk = walk::Walk::new(forest, &mut self.state, options, true);
        walk.scope = scope;
        walk.discover(project, walked)
    }
}
