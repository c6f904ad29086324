//! The last walk, and the graph that it comes to.

use std::collections::BTreeMap;
use std::rc::Rc;

use rustc_hash::{FxHashMap, FxHashSet};

use super::walk::{Walk, package_components};
use super::{PeerNodes, PeerOptions, Project, State};
use crate::install::resolve::components::components;
use crate::install::resolve::forest::{Forest, NodeId, PackageIndex};
use crate::install::resolve::symbols::{Symbol, Symbols};
use crate::install::resolve::versions;

/// What the last walk records.
#[derive(Debug, Default)]
pub(super) struct LastWalk {
    /// Node → the peers that it and everything below it took from above.
    pub(super) external: FxHashMap<NodeId, Rc<PeerNodes>>,
    pub(super) records: Vec<Record>,
}

/// A node that was visited, not found in the cache.
#[derive(Debug)]
pub(super) struct Record {
    pub(super) node: NodeId,
    pub(super) package: PackageIndex,
    /// Dependencies, and the node's own peers.
    pub(super) edges: FxHashMap<Symbol, NodeId>,
    /// Peers of what is below, found above or not at all.
    pub(super) passed_on: FxHashSet<Symbol>,
}

/// A package with its peers chosen.
#[derive(Debug)]
pub(in crate::install::resolve) struct Instance {
    pub(in crate::install::resolve) package: PackageIndex,
    /// Alias → dependency path.
    pub(in crate::install::resolve) children: BTreeMap<Symbol, Symbol>,
    pub(in crate::install::resolve) transitive_peers: FxHashSet<Symbol>,
    pub(in crate::install::resolve) resolved_peers: FxHashSet<Symbol>,
}

/// Every package with its peers chosen.
#[derive(Debug, Default)]
pub(in crate::install::resolve) struct Graph {
    /// The texts of the dependency paths.
    pub(in crate::install::resolve) paths: Symbols,
    pub(in crate::install::resolve) instances: FxHashMap<Symbol, Instance>,
    /// Of each project, in the order given: alias and dependency path (`link:…` is relative to the
    /// lockfile's directory).
    pub(in crate::install::resolve) direct: Vec<Vec<(Symbol, Symbol)>>,
}

impl Graph {
    pub(in crate::install::resolve) fn text(&self, path: Symbol) -> &str {
        self.paths.text(path)
    }
}

/// Walks all projects, sorted by id, and makes the graph.
pub(in crate::install::resolve) fn resolve(
    forest: &Forest,
    projects: &[Project],
    from_root: bool,
    options: &PeerOptions,
) -> Graph {
    let mut state = State {
        components: package_components(forest),
        ..State::default()
    };
    let mut walk = Walk::new(forest, &mut state, options, false);
    let root = projects
        .iter()
        .find(|project| from_root && &*project.id == ".");
    let root_parents = root.map(|root| walk.parents_of(root));
    for project in projects {
        walk.optional_peers.clone_from(&project.optional_peers);
        let own = walk.parents_of(project);
        let parents = match &root_parents {
            Some(root) if &*project.id != "." => {
                let mut parents = root.clone();
                parents.extend(own);
                parents
            }
            _ => own,
        };
        walk.visit_project(project, &project.direct, &Rc::new(parents));
    }
    let last = walk.last.take().unwrap_or_default();
    Finish::new(&walk, last).graph(projects)
}

struct Finish<'w, 'f> {
    walk: &'w Walk<'f>,
    last: LastWalk,
    paths: Symbols,
    finished: FxHashMap<NodeId, Symbol>,
    /// Component of the nodes that have peers, in the graph of who has whom as a peer.
    components: FxHashMap<NodeId, u32>,
    /// Names of packages that are, somewhere, peers of their own peers.
    cyclic_names: FxHashSet<Symbol>,
}

impl<'w, 'f> Finish<'w, 'f> {
    fn new(walk: &'w Walk<'f>, last: LastWalk) -> Self {
        let components = node_components(&last.external);
        let cyclic_names = cyclic_names(walk, &last.external);
        Self {
            walk,
            last,
            paths: Symbols::default(),
            finished: FxHashMap::default(),
            components,
            cyclic_names,
        }
    }

    /// The dependency path of `node`, of which every peer has its own suffix, but for those on a
    /// cycle.
    fn path(&mut self, node: NodeId) -> Symbol {
        if let Some(path) = self.finished.get(&node) {
            return *path;
        }
        let package = self.walk.forest.package(self.walk.node(node).package);
        let peers = self.last.external.get(&node).map(Rc::clone);
        let path = match peers {
            Some(peers) if !peers.is_empty() => {
                let segments: Vec<String> = peers
                    .iter()
                    .map(|(name, peer)| self.segment(node, *name, *peer))
                    .collect();
                let length_max = self.walk.options.suffix_length_max;
                let suffix = versions::peers_suffix(segments, length_max);
                self.paths.of(&format!("{}{suffix}", package.id))
            }
            _ => self.path_without_peers(node),
        };
        self.finished.insert(node, path);
        path
    }

    fn path_without_peers(&mut self, node: NodeId) -> Symbol {
        let state = &self.walk.state;
        if let Some(link) = state.renamed_links.get(&node) {
            return self.paths.of(link);
        }
        match state.node_paths.get(&node) {
            Some(path) => self.paths.of(state.paths.text(*path)),
            None => {
                let package = self.walk.forest.package(self.walk.node(node).package);
                self.paths.of(&package.id)
            }
        }
    }

    fn segment(&mut self, node: NodeId, name: Symbol, peer: NodeId) -> String {
        if let Some(segment) = self.walk.link_segment(name, peer) {
            return segment;
        }
        let component = |node: NodeId| self.components.get(&node);
        let is_on_cycle = component(node).is_some() && component(node) == component(peer);
        if self.walk.options.dedupe_peers || is_on_cycle || self.cyclic_names.contains(&name) {
            return self.walk.forest.peer_pair(self.walk.node(peer).package);
        }
        let path = self.path(peer);
        self.paths.text(path).to_string()
    }

    fn graph(mut self, projects: &[Project]) -> Graph {
        let mut graph = Graph::default();
        for project in projects {
            let direct = project.direct.iter();
            let direct = direct.map(|direct| (direct.alias, self.path(direct.node)));
            graph.direct.push(direct.collect());
        }
        let records = std::mem::take(&mut self.last.records);
        let mut transitive: FxHashMap<Symbol, FxHashSet<Symbol>> = FxHashMap::default();
        for record in &records {
            let path = self.path(record.node);
            transitive
                .entry(path)
                .or_default()
                .extend(&record.passed_on);
        }
        for record in records {
            self.add(&mut graph, record, &transitive);
        }
        for (path, names) in transitive {
            if let Some(instance) = graph.instances.get_mut(&path) {
                instance.transitive_peers = names;
            }
        }
        graph.paths = self.paths;
        graph
    }

    /// Adds a record to the graph; of several records of one path the first counts, and edges of
    /// others where they fit better.
    fn add(
        &mut self,
        graph: &mut Graph,
        record: Record,
        transitive: &FxHashMap<Symbol, FxHashSet<Symbol>>,
    ) {
        let path = self.path(record.node);
        let mut children = BTreeMap::new();
        for (alias, child) in &record.edges {
            children.insert(*alias, self.path(*child));
        }
        let Some(known) = graph.instances.get_mut(&path) else {
            let external = self.last.external.get(&record.node);
            let instance = Instance {
                package: record.package,
                children,
                transitive_peers: FxHashSet::default(),
                resolved_peers: external
                    .map(|peers| peers.keys().copied().collect())
                    .unwrap_or_default(),
            };
            graph.instances.insert(path, instance);
            return;
        };
        if known.children == children {
            return;
        }
        let available = self.available(path, record.package);
        for (alias, candidate) in children {
            let current = *known.children.entry(alias).or_insert(candidate);
            if self.is_better(candidate, current, &available, transitive) {
                known.children.insert(alias, candidate);
            }
        }
    }

    /// Names in a path's suffix, and the package's own.
    fn available(&self, path: Symbol, package: PackageIndex) -> FxHashSet<String> {
        let mut names: FxHashSet<String> = versions::suffix_names(self.paths.text(path))
            .map(str::to_owned)
            .collect();
        let forest = self.walk.forest;
        names.insert(forest.text(forest.package(package).name).to_owned());
        names
    }

    /// Whether `candidate` has fewer peers that its parent does not have, or else more that it has.
    fn is_better(
        &self,
        candidate: Symbol,
        current: Symbol,
        available: &FxHashSet<String>,
        transitive: &FxHashMap<Symbol, FxHashSet<Symbol>>,
    ) -> bool {
        if candidate == current {
            return false;
        }
        let count = |path: Symbol| {
            let passed_on = transitive.get(&path);
            let symbols = &self.walk.forest.symbols;
            let is_passed_on = |name: &str| {
                let symbol = symbols.find(name);
                passed_on.is_some_and(|names| symbol.is_some_and(|symbol| names.contains(&symbol)))
            };
            let (mut there, mut missing) = (0_usize, 0_usize);
            for name in versions::suffix_names(self.paths.text(path)) {
                if available.contains(name) {
                    there += 1;
                } else if !is_passed_on(name) {
                    missing += 1;
                }
            }
            (there, missing)
        };
        let (there, missing) = count(candidate);
        let (there_now, missing_now) = count(current);
        missing < missing_now || (missing == missing_now && missing == 0 && there > there_now)
    }
}

fn node_components(external: &FxHashMap<NodeId, Rc<PeerNodes>>) -> FxHashMap<NodeId, u32> {
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

fn cyclic_names(walk: &Walk<'_>, external: &FxHashMap<NodeId, Rc<PeerNodes>>) -> FxHashSet<Symbol> {
    let mut place: FxHashMap<Symbol, u32> = FxHashMap::default();
    let mut neighbours: Vec<FxHashSet<u32>> = Vec::new();
    let mut number = |name: Symbol, neighbours: &mut Vec<FxHashSet<u32>>| {
        *place.entry(name).or_insert_with(|| {
            neighbours.push(FxHashSet::default());
            u32::try_from(neighbours.len() - 1).unwrap_or(u32::MAX)
        })
    };
    for (node, peers) in external {
        if peers.is_empty() {
            continue;
        }
        let name = walk.forest.package(walk.node(*node).package).name;
        let from = number(name, &mut neighbours);
        for peer in peers.keys() {
            let to = number(*peer, &mut neighbours);
            neighbours[from as usize].insert(to);
        }
    }
    let lists: Vec<Vec<u32>> = neighbours
        .iter()
        .map(|list| list.iter().copied().collect())
        .collect();
    let found = components(lists.len(), &lists);
    let mut size: FxHashMap<u32, usize> = FxHashMap::default();
    for component in &found {
        *size.entry(*component).or_default() += 1;
    }
    place
        .into_iter()
        .filter(|(_, at)| {
            let at = *at as usize;
            size.get(&found[at]).is_some_and(|size| *size > 1)
                || neighbours[at].contains(&(at as u32))
        })
        .map(|(name, _)| name)
        .collect()
}
