//! The last walk, and the graph that it comes to.

use std::collections::BTreeMap;
use std::rc::Rc;

use rustc_hash::{FxHashMap, FxHashSet};

use super::cycles::Cycles;
use super::walk::{Walk, package_components};
use super::{PeerNodes, PeerOptions, Project, State};
use crate::install::resolve::forest::{Forest, NodeId, PackageIndex};
use crate::install::resolve::symbols::{Symbol, Symbols};
use crate::install::resolve::versions;

/// What the last walk records.
#[derive(Debug, Default)]
pub(super) struct LastWalk {
    /// Node → the peers that it and everything below it took from above.
    pub(super) external: FxHashMap<NodeId, Rc<PeerNodes>>,
    pub(super) records: Vec<Record>,
    /// Those of `external` that only tell a node from another, see [`Cycles`].
    added: FxHashMap<NodeId, PeerNodes>,
}

impl LastWalk {
    fn add_peers(&mut self, node: NodeId, added: PeerNodes) {
        let mut peers = PeerNodes::clone(&self.external.remove(&node).unwrap_or_default());
        peers.extend(&added);
        self.external.insert(node, Rc::new(peers));
        self.added.insert(node, added);
    }
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

/// What a suffix says of one peer.
#[derive(Debug, Clone)]
pub(in crate::install::resolve) enum Segment {
    /// The peer without its own peers.
    Text(Box<str>),
    /// A dependency path.
    Path(Symbol),
}

/// Every package with its peers chosen.
#[derive(Debug, Default)]
pub(in crate::install::resolve) struct Graph {
    /// The texts of the dependency paths.
    pub(in crate::install::resolve) paths: Symbols,
    pub(in crate::install::resolve) instances: FxHashMap<Symbol, Instance>,
    /// What the suffixes of dependency paths are made of.
    pub(in crate::install::resolve) suffixes: FxHashMap<Symbol, Vec<Segment>>,
    /// Of each project, in the order given: alias and dependency path (`link:` is relative to the
    /// lockfile's directory).
    pub(in crate::install::resolve) direct: Vec<Vec<(Symbol, Symbol)>>,
}

impl Graph {
    pub(in crate::install::resolve) fn text(&self, path: Symbol) -> &str {
        self.paths.text(path)
    }

    /// The dependency path of a package with the id `package` and a suffix of `segments`.
    pub(in crate::install::resolve) fn path_of(
        &mut self,
        package: &str,
        segments: Vec<Segment>,
        length_max: usize,
    ) -> Symbol {
        let texts = segments.iter().map(|segment| match segment {
            Segment::Text(text) => text.to_string(),
            Segment::Path(path) => self.paths.text(*path).to_string(),
        });
        let suffix = versions::peers_suffix(texts.collect(), length_max);
        let path = self.paths.of(&format!("{package}{suffix}"));
        self.suffixes.insert(path, segments);
        path
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
    walk_all(&mut walk, projects, from_root);
    if !walk.differs_from_locked {
        return finish(walk, projects);
    }
    let providers = walk.locked_providers();
    let mut state = State {
        components: state.components,
        ..State::default()
    };
    let mut walk = Walk::new(forest, &mut state, options, false);
    walk.providers = Some(providers);
    walk_all(&mut walk, projects, from_root);
    finish(walk, projects)
}

fn finish(mut walk: Walk<'_>, projects: &[Project]) -> Graph {
    let last = walk.last.take().unwrap_or_default();
    Finish::new(&walk, last).graph(projects)
}

fn walk_all(walk: &mut Walk<'_>, projects: &[Project], from_root: bool) {
    let root = projects
        .iter()
        .find(|project| from_root && &*project.id == ".");
    let root_parents = root.map(|root| walk.parents_of(root));
    if let Some(root) = root {
        walk.changed_of_root.clone_from(&root.changed);
    }
    for project in projects {
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
}

struct Finish<'w, 'f> {
    walk: &'w Walk<'f>,
    last: LastWalk,
    graph: Graph,
    finished: FxHashMap<NodeId, Symbol>,
    cycles: Cycles,
}

impl<'w, 'f> Finish<'w, 'f> {
    fn new(walk: &'w Walk<'f>, mut last: LastWalk) -> Self {
        let cycles = Cycles::of(walk, &last.external);
        for (node, added) in cycles.distinguishing_peers(walk, &last.external) {
            last.add_peers(node, added);
        }
        Self {
            walk,
            last,
            graph: Graph::default(),
            finished: FxHashMap::default(),
            cycles,
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
                let segments: Vec<Segment> = peers
                    .iter()
                    .map(|(name, peer)| self.segment(node, *name, *peer))
                    .collect();
                let length_max = self.walk.options.suffix_length_max;
                self.graph.path_of(&package.id, segments, length_max)
            }
            _ => self.path_without_peers(node),
        };
        self.finished.insert(node, path);
        path
    }

    fn path_without_peers(&mut self, node: NodeId) -> Symbol {
        let state = &self.walk.state;
        if let Some(link) = state.renamed_links.get(&node) {
            return self.graph.paths.of(link);
        }
        match state.node_paths.get(&node) {
            Some(path) => self.graph.paths.of(state.paths.text(*path)),
            None => {
                let package = self.walk.forest.package(self.walk.node(node).package);
                self.graph.paths.of(&package.id)
            }
        }
    }

    fn segment(&mut self, node: NodeId, name: Symbol, peer: NodeId) -> Segment {
        if let Some(segment) = self.walk.link_segment(name, peer) {
            return Segment::Text(segment.into());
        }
        if self.walk.options.dedupe_peers || self.cycles.is_cut(node, name, peer) {
            let pair = self.walk.forest.peer_pair(self.walk.node(peer).package);
            return Segment::Text(pair.into());
        }
        Segment::Path(self.path(peer))
    }

    fn graph(mut self, projects: &[Project]) -> Graph {
        for project in projects {
            let direct = project.direct.iter();
            let direct = direct.map(|direct| (direct.alias, self.path(direct.node)));
            let direct = direct.collect();
            self.graph.direct.push(direct);
        }
        let records = std::mem::take(&mut self.last.records);
        let mut transitive: FxHashMap<Symbol, FxHashSet<Symbol>> = FxHashMap::default();
        for record in &records {
            let path = self.path(record.node);
            let names = transitive.entry(path).or_default();
            names.extend(&record.passed_on);
            if let Some(added) = self.last.added.get(&record.node) {
                names.extend(added.keys());
            }
        }
        for record in records {
            self.add(record, &transitive);
        }
        for (path, names) in transitive {
            if let Some(instance) = self.graph.instances.get_mut(&path) {
                instance.transitive_peers = names;
            }
        }
        self.graph
    }

    /// Adds a record to the graph; of several records of one path the first counts, and edges of
    /// others where they fit better.
    fn add(&mut self, record: Record, transitive: &FxHashMap<Symbol, FxHashSet<Symbol>>) {
        let path = self.path(record.node);
        let mut children = BTreeMap::new();
        for (alias, child) in &record.edges {
            children.insert(*alias, self.path(*child));
        }
        let Some(known) = self.graph.instances.get(&path) else {
            let external = self.last.external.get(&record.node);
            let instance = Instance {
                package: record.package,
                children,
                transitive_peers: FxHashSet::default(),
                resolved_peers: external
                    .map(|peers| peers.keys().copied().collect())
                    .unwrap_or_default(),
            };
            self.graph.instances.insert(path, instance);
            return;
        };
        if known.children == children {
            return;
        }
        let available = self.available(path, record.package);
        let mut better = Vec::new();
        for (alias, candidate) in children {
            let current = known.children.get(&alias);
            if current
                .is_none_or(|current| self.is_better(candidate, *current, &available, transitive))
            {
                better.push((alias, candidate));
            }
        }
        if let Some(known) = self.graph.instances.get_mut(&path) {
            known.children.extend(better);
        }
    }

    /// Names in a path's suffix, and the package's own.
    fn available(&self, path: Symbol, package: PackageIndex) -> FxHashSet<String> {
        let mut names: FxHashSet<String> = versions::suffix_names(self.graph.text(path))
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
            for name in versions::suffix_names(self.graph.text(path)) {
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
