//! Peers on cycles: where a suffix ends, and what tells apart what it would name alike.
//!
//! A package on a cycle of peers is named without its own peers, for these lead back to it. So
//! several instances of it have one name. Whoever has it as a peer names those of its peers too
//! by which they differ.

use std::rc::Rc;

use rustc_hash::{FxHashMap, FxHashSet};

use super::PeerNodes;
use super::walk::Walk;
use crate::install::resolve::components::components;
use crate::install::resolve::forest::{NodeId, PackageIndex};
use crate::install::resolve::symbols::Symbol;

/// Node → the peers that it and everything below it took from above.
type External = FxHashMap<NodeId, Rc<PeerNodes>>;

/// The cycles in the graph of who has whom as a peer.
pub(super) struct Cycles {
    /// Component of the nodes that have peers.
    components: FxHashMap<NodeId, u32>,
    /// Names of packages that are, somewhere, peers of their own peers.
    names: FxHashSet<Symbol>,
    /// Node → the names that are on a cycle with it, where packages are peers under other names
    /// than their own (`npm:`).
    aliased: FxHashMap<NodeId, Rc<FxHashSet<Symbol>>>,
}

impl Cycles {
    pub(super) fn of(walk: &Walk<'_>, external: &External) -> Self {
        Self {
            components: node_components(external),
            names: NameGraph::of(walk, external, &FxHashMap::default()).cyclic(),
            aliased: aliased(walk, external),
        }
    }

    /// Whether `node` names `peer`, its peer `name`, without the peers that that has.
    pub(super) fn is_cut(&self, node: NodeId, name: Symbol, peer: NodeId) -> bool {
        let component = |node: NodeId| self.components.get(&node);
        let is_on_cycle = component(node).is_some() && component(node) == component(peer);
        let is_aliased = || {
            self.aliased
                .get(&node)
                .is_some_and(|names| names.contains(&name))
        };
        is_on_cycle || self.names.contains(&name) || is_aliased()
    }

    /// The peers of peers that nodes have to name beside their own. With `dedupePeers` suffixes
    /// never tell.
    pub(super) fn distinguishing_peers(
        &self,
        walk: &Walk<'_>,
        external: &External,
    ) -> Vec<(NodeId, PeerNodes)> {
        if walk.options.dedupe_peers {
            return Vec::new();
        }
        let differing = self.differing_names(walk, external);
        if differing.is_empty() {
            return Vec::new();
        }
        let package = |node: NodeId| walk.node(node).package;
        let mut found = Vec::new();
        for (node, peers) in external {
            let own = package(*node);
            let mut added = PeerNodes::new();
            let mut open: Vec<NodeId> = self.cut_peers(*node, peers).collect();
            while let Some(cut) = open.pop() {
                let (Some(names), Some(of_cut)) =
                    (differing.get(&package(cut)), external.get(&cut))
                else {
                    continue;
                };
                for (name, peer) in of_cut.iter().filter(|(name, _)| names.contains(name)) {
                    let is_itself = package(*peer) == own;
                    if is_itself || peers.contains_key(name) || added.contains_key(name) {
                        continue;
                    }
                    added.insert(*name, *peer);
                    if self.is_cut(*node, *name, *peer) {
                        open.push(*peer);
                    }
                }
            }
            if !added.is_empty() {
                found.push((*node, added));
            }
        }
        found
    }

    fn cut_peers<'p>(
        &'p self,
        node: NodeId,
        peers: &'p PeerNodes,
    ) -> impl Iterator<Item = NodeId> + 'p {
        peers
            .iter()
            .filter(move |(name, peer)| self.is_cut(node, **name, **peer))
            .map(|(_, peer)| *peer)
    }

    /// Of every package that somebody names without its peers: those that its nodes do not have
    /// in common.
    fn differing_names(
        &self,
        walk: &Walk<'_>,
        external: &External,
    ) -> FxHashMap<PackageIndex, FxHashSet<Symbol>> {
        let mut cut: FxHashSet<PackageIndex> = FxHashSet::default();
        for (node, peers) in external {
            let packages = self.cut_peers(*node, peers);
            cut.extend(packages.map(|peer| walk.node(peer).package));
        }
        let mut nodes: FxHashMap<PackageIndex, Vec<NodeId>> = FxHashMap::default();
        for node in external.keys() {
            let package = walk.node(*node).package;
            if cut.contains(&package) {
                nodes.entry(package).or_default().push(*node);
            }
        }
        nodes.retain(|_, nodes| nodes.len() > 1);
        if nodes.is_empty() {
            return FxHashMap::default();
        }
        let classes = classes(walk, external, nodes.values().flatten().copied());
        let mut differing: FxHashMap<PackageIndex, FxHashSet<Symbol>> = FxHashMap::default();
        for (package, nodes) in nodes {
            let class =
                |node: &NodeId, name: &Symbol| external[node].get(name).map(|peer| classes[peer]);
            let names: FxHashSet<Symbol> = nodes
                .iter()
                .flat_map(|node| external[node].keys().copied())
                .collect();
            let differ = |name: &Symbol| {
                nodes
                    .iter()
                    .any(|node| class(node, name) != class(&nodes[0], name))
            };
            let names: FxHashSet<Symbol> = names.into_iter().filter(differ).collect();
            if !names.is_empty() {
                differing.insert(package, names);
            }
        }
        differing
    }
}

/// A number for each of `nodes` and of what they reach: nodes have the same one where they are the
/// same package with the same peers, and these too, all the way.
fn classes(
    walk: &Walk<'_>,
    external: &External,
    nodes: impl Iterator<Item = NodeId>,
) -> FxHashMap<NodeId, u32> {
    let mut classes: FxHashMap<NodeId, u32> = FxHashMap::default();
    let mut open: Vec<NodeId> = nodes.collect();
    while let Some(node) = open.pop() {
        if classes.insert(node, walk.node(node).package.0).is_none()
            && let Some(peers) = external.get(&node)
        {
            open.extend(peers.values());
        }
    }
    let mut count = classes.values().collect::<FxHashSet<_>>().len();
    loop {
        let mut numbers: FxHashMap<(u32, Vec<(Symbol, u32)>), u32> = FxHashMap::default();
        let mut next: FxHashMap<NodeId, u32> = FxHashMap::default();
        for (node, class) in &classes {
            let peers = external.get(node).map(|peers| {
                peers
                    .iter()
                    .map(|(name, peer)| (*name, classes[peer]))
                    .collect()
            });
            let number = u32::try_from(numbers.len()).unwrap_or(u32::MAX);
            let number = *numbers
                .entry((*class, peers.unwrap_or_default()))
                .or_insert(number);
            next.insert(*node, number);
        }
        let is_stable = numbers.len() == count;
        count = numbers.len();
        classes = next;
        if is_stable {
            return classes;
        }
    }
}

fn node_components(external: &External) -> FxHashMap<NodeId, u32> {
    let nodes: Vec<NodeId> = external
        .iter()
        .filter(|(_, peers)| !peers.is_empty())
        .map(|(node, _)| *node)
        .collect();
    let place: FxHashMap<NodeId, u32> = nodes.iter().copied().zip(0..).collect();
    let neighbours: Vec<Vec<u32>> = nodes
        .iter()
        .map(|node| {
            let peers = external[node].values();
            peers.filter_map(|peer| place.get(peer).copied()).collect()
        })
        .collect();
    nodes
        .iter()
        .copied()
        .zip(components(nodes.len(), &neighbours))
        .collect()
}

fn name_of(walk: &Walk<'_>, node: NodeId) -> Symbol {
    walk.forest.package(walk.node(node).package).name
}

/// Package → the other names under which it is a peer.
type Aliases = FxHashMap<Symbol, FxHashSet<Symbol>>;

/// Of each node the names on cycles with its own, where a package counts under all the names under
/// which it is a peer. Who asks for another name cannot know the package's own, so that a cycle
/// would seem to end there. Empty where there are no other names.
fn aliased(walk: &Walk<'_>, external: &External) -> FxHashMap<NodeId, Rc<FxHashSet<Symbol>>> {
    let mut aliases = Aliases::default();
    for (alias, peer) in external.values().flat_map(|peers| peers.iter()) {
        let name = name_of(walk, *peer);
        if name != *alias {
            aliases.entry(name).or_default().insert(*alias);
        }
    }
    if aliases.is_empty() {
        return FxHashMap::default();
    }
    let graph = NameGraph::of(walk, external, &aliases);
    let mut with: FxHashMap<Symbol, Option<Rc<FxHashSet<Symbol>>>> = FxHashMap::default();
    let mut names_of = |node: NodeId| {
        let name = name_of(walk, node);
        let names = with.entry(name).or_insert_with(|| {
            let names = graph.on_cycles_of(name, aliases.get(&name));
            (!names.is_empty()).then(|| Rc::new(names))
        });
        names.clone()
    };
    let nodes = external.keys();
    let known = nodes.filter_map(|node| Some((*node, names_of(*node)?)));
    known.collect()
}

/// Which names have which as peers.
struct NameGraph {
    place: FxHashMap<Symbol, u32>,
    neighbours: Vec<Vec<u32>>,
    /// Component of each place, and how many places it has.
    components: Vec<u32>,
    sizes: FxHashMap<u32, usize>,
}

impl NameGraph {
    /// A package has its peers under its own name and `aliases` of it.
    fn of(walk: &Walk<'_>, external: &External, aliases: &Aliases) -> Self {
        let mut place: FxHashMap<Symbol, u32> = FxHashMap::default();
        let mut sets: Vec<FxHashSet<u32>> = Vec::new();
        let mut number = |name: Symbol, sets: &mut Vec<FxHashSet<u32>>| {
            *place.entry(name).or_insert_with(|| {
                sets.push(FxHashSet::default());
                u32::try_from(sets.len() - 1).unwrap_or(u32::MAX)
            })
        };
        for (node, peers) in external {
            if peers.is_empty() {
                continue;
            }
            let name = name_of(walk, *node);
            let others = aliases.get(&name).into_iter().flatten();
            for name in std::iter::once(&name).chain(others) {
                let from = number(*name, &mut sets);
                for peer in peers.keys() {
                    let to = number(*peer, &mut sets);
                    sets[from as usize].insert(to);
                }
            }
        }
        let lists = sets.iter().map(|list| list.iter().copied().collect());
        let neighbours: Vec<Vec<u32>> = lists.collect();
        let components = components(neighbours.len(), &neighbours);
        let mut sizes: FxHashMap<u32, usize> = FxHashMap::default();
        for component in &components {
            *sizes.entry(*component).or_default() += 1;
        }
        Self {
            place,
            neighbours,
            components,
            sizes,
        }
    }

    fn is_cyclic(&self, at: u32) -> bool {
        let component = self.components[at as usize];
        self.sizes.get(&component).is_some_and(|size| *size > 1)
            || self.neighbours[at as usize].contains(&at)
    }

    /// The names on cycles.
    fn cyclic(&self) -> FxHashSet<Symbol> {
        let places = self.place.iter();
        let on_cycles = places.filter(|(_, at)| self.is_cyclic(**at));
        on_cycles.map(|(name, _)| *name).collect()
    }

    /// The names on cycles through a package's own name or one of its others.
    fn on_cycles_of(&self, own: Symbol, others: Option<&FxHashSet<Symbol>>) -> FxHashSet<Symbol> {
        let component = |at: &u32| self.components[*at as usize];
        let names = std::iter::once(&own).chain(others.into_iter().flatten());
        let places = names.filter_map(|name| self.place.get(name));
        let cyclic = places.filter(|at| self.is_cyclic(**at));
        let wanted: FxHashSet<u32> = cyclic.map(component).collect();
        let all = self.place.iter();
        let there = all.filter(|(_, at)| wanted.contains(&component(at)));
        there.map(|(name, _)| *name).collect()
    }
}
