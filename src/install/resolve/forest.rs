//! What the walk of the manifests found: every package once, and the occurrences of packages in
//! the trees below the projects.
//!
//! The same package may need other peers at every place where it occurs, so places have nodes of
//! their own. Packages without dependencies and peers are the same everywhere and have one node.

use std::sync::Arc;

use rustc_hash::{FxHashMap, FxHashSet};

use super::resolved::Resolved;
use super::symbols::{Symbol, Symbols};
use crate::install::metadata::VersionManifest;

/// A package: an index of [`Forest::packages`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) struct PackageIndex(pub(super) u32);

/// An occurrence: an index of [`Forest::nodes`], or of the nodes of a walk over them (see
/// [`NodeId::local`]).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) struct NodeId(u32);

const LOCAL_BIT: u32 = 1 << 31;

impl NodeId {
    /// The node at `index` of the forest.
    pub(super) fn shared(index: usize) -> Self {
        Self(u32::try_from(index).unwrap_or(LOCAL_BIT - 1))
    }

    /// The node at `index` of the nodes that a walk over the forest added for itself.
    pub(super) fn local(index: usize) -> Self {
        Self(u32::try_from(index).unwrap_or(LOCAL_BIT - 1) | LOCAL_BIT)
    }

    /// Where the node is: its index, and whether it belongs to a walk.
    pub(super) fn place(self) -> (usize, bool) {
        ((self.0 & !LOCAL_BIT) as usize, self.0 & LOCAL_BIT != 0)
    }
}

/// The depth of nodes of linked projects, which resolve their dependencies themselves.
pub(super) const LINK_DEPTH: i32 = -1;

/// An occurrence of a package.
#[derive(Debug, Clone, Copy)]
pub(super) struct Node {
    pub(super) package: PackageIndex,
    /// Edges from a project; [`LINK_DEPTH`] for linked projects.
    pub(super) depth: i32,
}

/// A dependency of a package that was chosen.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Edge {
    /// The name in `node_modules`.
    pub(super) alias: Symbol,
    pub(super) package: PackageIndex,
    /// Whether it comes from `optionalDependencies`.
    pub(super) optional: bool,
}

/// A peer that a package asks for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct PeerDependency {
    pub(super) name: Symbol,
    /// As written.
    pub(super) range: Arc<str>,
    pub(super) optional: bool,
}

/// A package, with its patch.
#[derive(Debug)]
pub(super) struct Package {
    /// Key of `packages`, with the hash of the patch; `link:…` relative to the lockfile's
    /// directory for linked projects.
    pub(super) id: Arc<str>,
    /// The name that peers are looked up by.
    pub(super) name: Symbol,
    pub(super) resolved: Arc<Resolved>,
    /// Sorted by the text of the name.
    pub(super) peers: Vec<PeerDependency>,
    /// What was chosen for its dependencies, sorted by the text of the alias; `None` until an
    /// occurrence was walked.
    pub(super) children: Option<Arc<[Edge]>>,
    /// Neither dependencies nor peers.
    pub(super) is_leaf: bool,
    /// Whether every way to it that was seen goes through an optional dependency.
    pub(super) optional: bool,
    /// The one node of a leaf or link.
    pub(super) only_node: Option<NodeId>,
}

impl Package {
    /// Whether it is a project that is linked to.
    pub(super) fn is_link(&self) -> bool {
        self.id.starts_with("link:")
    }

    pub(super) fn children(&self) -> Arc<[Edge]> {
        self.children.clone().unwrap_or_else(|| Arc::from([]))
    }
}

/// A dependency of a project that was chosen.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Direct {
    pub(super) alias: Symbol,
    pub(super) node: NodeId,
    pub(super) package: PackageIndex,
}

/// Everything that was found.
#[derive(Debug, Default)]
pub(super) struct Forest {
    pub(super) symbols: Symbols,
    pub(super) packages: Vec<Package>,
    pub(super) nodes: Vec<Node>,
    /// The nodes of a node's edges, in the order of [`Package::children`]; `None`: not laid out.
    pub(super) laid_out: Vec<Option<Arc<[NodeId]>>>,
    /// Every name that some package has as a peer.
    pub(super) peer_names: FxHashSet<Symbol>,
    /// Node → name and id of the peers that the lockfile has for it, of those without peers.
    pub(super) locked_peers: FxHashMap<NodeId, Vec<(Symbol, Arc<str>)>>,
    /// Id of a package that the lockfile has without peers → its first such node.
    pub(super) locked_providers: FxHashMap<Arc<str>, NodeId>,
    /// Nodes of dependencies that are not what the lockfile has for their dependents.
    pub(super) changed: FxHashSet<NodeId>,
}

impl Forest {
    pub(super) fn package(&self, index: PackageIndex) -> &Package {
        &self.packages[index.0 as usize]
    }

    pub(super) fn package_mut(&mut self, index: PackageIndex) -> &mut Package {
        &mut self.packages[index.0 as usize]
    }

    /// Gives a package the peers that `manifest` has. Says whether they are others.
    pub(super) fn set_peers(
        &mut self,
        index: PackageIndex,
        peers: Vec<PeerDependency>,
        manifest: &Arc<VersionManifest>,
    ) -> bool {
        if self.package(index).peers == peers {
            return false;
        }
        self.peer_names.extend(peers.iter().map(|peer| peer.name));
        let package = self.package_mut(index);
        package.peers = peers;
        if !Arc::ptr_eq(&package.resolved.manifest, manifest) {
            package.resolved = Arc::new(Resolved {
                manifest: Arc::clone(manifest),
                ..Resolved::clone(&package.resolved)
            });
        }
        true
    }

    pub(super) fn text(&self, symbol: Symbol) -> &str {
        self.symbols.text(symbol)
    }

    /// Adds an occurrence, or finds the one that leaves and links have.
    pub(super) fn add_node(&mut self, package: PackageIndex, depth: i32) -> NodeId {
        let depth = if self.package(package).is_link() {
            LINK_DEPTH
        } else {
            depth
        };
        if let Some(node) = self.package(package).only_node {
            let (at, _) = node.place();
            self.nodes[at].depth = self.nodes[at].depth.min(depth);
            return node;
        }
        let node = NodeId::shared(self.nodes.len());
        self.nodes.push(Node { package, depth });
        self.laid_out.push(None);
        let entry = self.package_mut(package);
        if entry.is_leaf || entry.is_link() {
            entry.only_node = Some(node);
        }
        node
    }

    /// `name@version` of a package, as a peer is named in a suffix.
    pub(super) fn peer_pair(&self, index: PackageIndex) -> String {
        let package = self.package(index);
        format!(
            "{}@{}",
            self.text(package.name),
            package.resolved.peer_version()
        )
    }
}
