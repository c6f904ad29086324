//! The hoisted linker: packages themselves in `node_modules`, as high as their versions let them.
//!
//! ```text
//! node_modules/<alias>                                    the package
//! node_modules/<alias>/node_modules/<alias>               what must differ below it
//! node_modules/.bin, node_modules/<alias>/node_modules/.bin
//! <project>/node_modules/<alias>                          what must differ below the project
//! ```

use std::collections::{BTreeMap, HashMap};

use crate::install::lockfile::{ImporterId, Resolution};
use crate::name::PackageName;
use crate::sys::memory::stack_bytes;

use super::bins::{BinCandidates, Rank};
use super::error::LayoutError;
use super::flatten::{FlatTree, NameId, NodeSpec, WorkIndex, flatten};
use super::graph::{Edge, Graph, NodeIndex, Project, Target, relative_path, resolve_path};
use super::hoist::HoistPatterns;
use super::input::{BuiltLayout, HoistedDependency, HoistingLimits, LayoutInput};
use super::model::{DirectoryIndex, LayoutTree};
use super::tree::TreeBuilder;

/// The flattening follows chains of dependencies by recursion; this suffices for the longest that
/// it follows.
const STACK_BYTES: usize = 256 << 20;

pub(super) fn build(input: &LayoutInput<'_>) -> Result<BuiltLayout, LayoutError> {
    if input.settings.virtual_store_only {
        return Ok(nothing());
    }
    let graph = Graph::new(input)?;
    let mut plan = Plan::new(input, &graph);
    let specs = std::mem::take(&mut plan.specs);
    let flat = std::thread::scope(|scope| {
        let thread = std::thread::Builder::new().stack_size(stack_bytes(STACK_BYTES));
        let handle = thread
            .spawn_scoped(scope, || flatten(specs))
            .map_err(|source| LayoutError::Thread { source })?;
        handle.join().expect("invariant: flattening does not panic")
    })?;
    let mut linker = Linker {
        input,
        graph: &graph,
        plan: &plan,
        flat: &flat,
        tree: TreeBuilder::default(),
        built: BuiltLayout::default(),
        first_places: HashMap::new(),
        below_root: BTreeMap::new(),
    };
    linker.projects()?;
    linker.built.layout = linker.tree.layout;
    linker.built.injected_dependencies = injected(&graph, &linker.built.hoisted_locations);
    Ok(linker.built)
}

/// Where the instances whose content is a directory's are.
fn injected(
    graph: &Graph<'_>,
    locations: &BTreeMap<Box<str>, Vec<Box<str>>>,
) -> BTreeMap<Box<str>, Vec<Box<str>>> {
    let mut injected = BTreeMap::<_, Vec<_>>::new();
    for node in &graph.nodes {
        let Resolution::Directory { directory } = &node.package.resolution else {
            continue;
        };
        if let Some(places) = locations.get(node.dep_path.as_str()) {
            let entry = injected.entry(resolve_path("", directory)).or_default();
            entry.extend(places.iter().cloned());
        }
    }
    injected
}

/// What an identity of the flattened tree stands for.
#[derive(Debug, Clone, Copy)]
enum Meaning {
    Package(NodeIndex),
    Project(usize),
}

/// The graph as the flattening wants it.
struct Plan<'a> {
    specs: Vec<NodeSpec>,
    names: HashMap<&'a str, NameId>,
    aliases: Vec<&'a PackageName>,
    meanings: Vec<Meaning>,
    /// Which nodes the included groups lead to.
    is_included: Vec<bool>,
    /// The node of each spec that is a package.
    nodes: Vec<Option<NodeIndex>>,
    /// For each node the first one that stands for the same package, whatever their peers: all of
    /// them count as that one, unless the projects provide peers, which tells them apart.
    canonical: Vec<NodeIndex>,
    /// Spec by alias and node.
    known: HashMap<(NameId, NodeIndex), usize>,
}

impl<'a> Plan<'a> {
    fn new(input: &LayoutInput<'a>, graph: &Graph<'a>) -> Self {
        let meanings = (0..graph.nodes.len()).map(Meaning::Package).collect();
        let mut plan = Self {
            specs: Vec::new(),
            names: HashMap::new(),
            aliases: Vec::new(),
            meanings,
            is_included: graph.included(),
            nodes: Vec::new(),
            canonical: if graph.installs_peers {
                canonical(graph)
            } else {
                (0..graph.nodes.len()).collect()
            },
            known: HashMap::new(),
        };
        let limits = input.settings.hoisting_limits;
        let root = graph
            .projects
            .iter()
            .position(|project| project.id.0.is_none());
        plan.project(graph, root.unwrap_or(usize::MAX), limits);
        for index in 0..graph.projects.len() {
            if Some(index) != root {
                plan.project(graph, index, limits);
            }
        }
        if !graph.installs_peers {
            plan.peers(graph);
        }
        plan
    }

    /// Tells each package its peers, where the projects have to provide them. With
    /// `autoInstallPeers` pnpm takes them for ordinary dependencies.
    fn peers(&mut self, graph: &Graph<'a>) {
        for (spec, node) in self.specs.iter_mut().zip(&self.nodes) {
            if let Some(node) = node {
                let names = graph.nodes[*node].peer_names();
                spec.peers = names
                    .filter_map(|name| self.names.get(name).copied())
                    .collect();
            }
        }
    }

    /// Adds a project and what it reaches; the root project, which is first, holds the others.
    fn project(&mut self, graph: &Graph<'a>, index: usize, limits: HoistingLimits) {
        let identity = self.meaning(Meaning::Project(index));
        let spec = self.specs.len();
        let is_root = spec == 0;
        let name = self.project_name(graph, index);
        self.nodes.push(None);
        self.specs.push(NodeSpec {
            name,
            identity,
            ..NodeSpec::default()
        });
        if !is_root {
            self.specs[0].dependencies.push((name, spec));
        }
        let Some(project) = graph.projects.get(index) else {
            return;
        };
        self.reach(graph, spec, &project.direct);
        let has_borders = match limits {
            HoistingLimits::None => false,
            HoistingLimits::Workspaces => is_root,
            HoistingLimits::Dependencies => true,
        };
        if has_borders {
            let names = project.direct.iter().map(|edge| edge.alias);
            let names: Vec<NameId> = names.map(|alias| self.name(alias)).collect();
            self.specs[spec].borders.extend(names);
        } else if limits == HoistingLimits::None {
            return;
        }
        if !is_root && graph.projects.iter().any(|project| project.id.0.is_none()) {
            self.specs[0].borders.insert(name);
        }
    }

    /// The name of a project among the packages of the root: no alias, unless its directory is
    /// called like one, which then stays below whoever needs it.
    fn project_name(&self, graph: &Graph<'a>, index: usize) -> NameId {
        let unique = u32::MAX - u32::try_from(self.specs.len()).unwrap_or_default();
        let id = graph.projects.get(index).map(|project| project.id.as_str());
        let known = id.and_then(|id| self.names.get(id).copied());
        let root = self.specs.first();
        let is_taken = |name: &NameId| {
            root.is_some_and(|root| root.dependencies.iter().any(|(taken, _)| taken == name))
        };
        known.filter(|name| !is_taken(name)).unwrap_or(unique)
    }

    /// Gives the spec `from` its dependencies, and those theirs. What does not fit the machine
    /// takes part, as with pnpm, which leaves it out afterwards: what it brought to the top stays
    /// there. Links take no part.
    fn reach<'g>(&mut self, graph: &'g Graph<'a>, from: usize, edges: &'g [Edge<'a>]) {
        let mut queue = vec![(from, edges)];
        while let Some((from, edges)) = queue.pop() {
            for edge in by_alias(edges) {
                let Target::Node(node) = edge.target else {
                    continue;
                };
                if !self.is_included[node] {
                    continue;
                }
                let name = self.name(edge.alias);
                let known = self.known.get(&(name, node)).copied();
                let spec = known.unwrap_or_else(|| {
                    let spec = self.package(name, node);
                    queue.push((spec, &graph.nodes[node].children));
                    spec
                });
                self.specs[from].dependencies.push((name, spec));
            }
        }
    }

    fn package(&mut self, name: NameId, node: NodeIndex) -> usize {
        let identity = u32::try_from(self.canonical[node])
            .expect("invariant: a lockfile's size bounds its snapshots");
        let spec = self.specs.len();
        self.nodes.push(Some(node));
        self.specs.push(NodeSpec {
            name,
            identity,
            ..NodeSpec::default()
        });
        self.known.insert((name, node), spec);
        spec
    }

    fn meaning(&mut self, meaning: Meaning) -> u32 {
        self.meanings.push(meaning);
        u32::try_from(self.meanings.len() - 1)
            .expect("invariant: a lockfile's size bounds its snapshots")
    }

    fn name(&mut self, alias: &'a PackageName) -> NameId {
        let aliases = &mut self.aliases;
        *self.names.entry(alias.as_str()).or_insert_with(|| {
            aliases.push(alias);
            u32::try_from(aliases.len() - 1)
                .expect("invariant: a lockfile's size bounds its aliases")
        })
    }
}

/// The first node of each package, in the order in which the projects reach them.
fn canonical(graph: &Graph<'_>) -> Vec<NodeIndex> {
    let mut canonical: Vec<NodeIndex> = (0..graph.nodes.len()).collect();
    let mut first = HashMap::new();
    let mut is_seen = vec![false; graph.nodes.len()];
    for project in &graph.projects {
        let mut pending: Vec<&Edge<'_>> = by_alias(&project.direct);
        pending.reverse();
        while let Some(edge) = pending.pop() {
            let Target::Node(index) = edge.target else {
                continue;
            };
            if std::mem::replace(&mut is_seen[index], true) {
                continue;
            }
            let node = &graph.nodes[index];
            canonical[index] = *first.entry(node.dep_path.package_id_str()).or_insert(index);
            pending.extend(by_alias(&node.children).into_iter().rev());
        }
    }
    canonical
}

fn by_alias<'e, 'a>(edges: &'e [Edge<'a>]) -> Vec<&'e Edge<'a>> {
    let mut sorted: Vec<&Edge<'a>> = edges.iter().collect();
    sorted.sort_by_key(|edge| edge.alias);
    sorted
}

/// A `node_modules` directory that is being filled.
#[derive(Clone, Copy)]
struct Modules<'p, 'a> {
    directory: DirectoryIndex,
    /// Relative to the lockfile's directory.
    path: &'p str,
    /// What its owner depends on.
    direct: &'p [Edge<'a>],
}

struct Linker<'i, 'g, 'a> {
    input: &'i LayoutInput<'a>,
    graph: &'g Graph<'a>,
    plan: &'i Plan<'a>,
    flat: &'i FlatTree,
    tree: TreeBuilder,
    built: BuiltLayout,
    /// Where the walk placed each package first.
    first_places: HashMap<NodeIndex, String>,
    /// The projects below the root, by their place in the graph.
    below_root: BTreeMap<usize, ProjectTree<'a>>,
}

/// The `node_modules` of a project below the root.
struct ProjectTree<'a> {
    root: DirectoryIndex,
    path: String,
    bins: BinCandidates<'a>,
}

/// There is no virtual store where packages are in the projects.
fn nothing() -> BuiltLayout {
    let mut tree = TreeBuilder::default();
    let root = tree.root();
    tree.layout.trees.push(LayoutTree {
        importer: ImporterId(None),
        root,
    });
    BuiltLayout {
        layout: tree.layout,
        ..BuiltLayout::default()
    }
}

impl<'a> Linker<'_, '_, 'a> {
    fn projects(&mut self) -> Result<(), LayoutError> {
        let root = self.tree.root();
        self.tree.layout.trees.push(LayoutTree {
            importer: ImporterId(None),
            root,
        });
        let mut bins = BinCandidates::default();
        let graph = self.graph;
        let project = graph.projects.iter().find(|project| project.id.0.is_none());
        let direct = project.map_or(&[][..], |project| &project.direct);
        let place = Modules {
            directory: root,
            path: "node_modules",
            direct,
        };
        self.modules(0, &place, &mut bins)?;
        if let Some(project) = project {
            self.links(project, root, "node_modules", &mut bins)?;
        }
        self.workspace_packages(root, &mut bins)?;
        self.link_bins(bins, root, "node_modules")?;
        for (index, tree) in std::mem::take(&mut self.below_root) {
            self.finish(&graph.projects[index], tree)?;
        }
        Ok(())
    }

    /// Fills the `node_modules` of a project below the root with what could not leave it.
    fn project(&mut self, node: WorkIndex, index: usize) -> Result<(), LayoutError> {
        let project = &self.graph.projects[index];
        let mut tree = ProjectTree {
            root: self.tree.root(),
            path: format!("{}/node_modules", project.id.as_str()),
            bins: BinCandidates::default(),
        };
        let place = Modules {
            directory: tree.root,
            path: &tree.path,
            direct: &project.direct,
        };
        self.modules(node, &place, &mut tree.bins)?;
        self.below_root.insert(index, tree);
        Ok(())
    }

    /// Links what a project below the root would not find by walking up, and its commands.
    fn finish(&mut self, project: &Project<'a>, tree: ProjectTree<'a>) -> Result<(), LayoutError> {
        let ProjectTree {
            root,
            path,
            mut bins,
        } = tree;
        for Edge { alias, target } in &project.direct {
            let Target::Node(node) = target else { continue };
            let Some(place) = self.first_places.get(node) else {
                continue;
            };
            let is_at_root = *place == format!("node_modules/{}", alias.as_str());
            if is_at_root || self.tree.has(root, alias) {
                continue;
            }
            let link = relative_path(&path, place);
            bins.offer(self.input, self.graph, target, Rank::Direct, || {
                format!("../{}/", alias.as_str())
            });
            self.tree.link(root, alias, &link)?;
        }
        self.links(project, root, &path, &mut bins)?;
        self.link_bins(bins, root, &path)?;
        if !self.tree.is_empty(root) {
            self.tree.layout.trees.push(LayoutTree {
                importer: project.id.clone(),
                root,
            });
        }
        Ok(())
    }

    /// Fills `place` with the packages of `node`.
    fn modules(
        &mut self,
        node: WorkIndex,
        place: &Modules<'_, 'a>,
        bins: &mut BinCandidates<'a>,
    ) -> Result<(), LayoutError> {
        let dependencies: Vec<WorkIndex> = self.flat.nodes[node]
            .dependencies
            .values()
            .copied()
            .collect();
        let mut offers: Vec<(&PackageName, NodeIndex)> = Vec::new();
        for dependency in dependencies {
            let work = &self.flat.nodes[dependency];
            let index = match self.plan.meanings[work.identity as usize] {
                Meaning::Package(index) => index,
                Meaning::Project(project) => {
                    self.project(dependency, project)?;
                    continue;
                }
            };
            let is_installed = self.graph.nodes[index].installed.is_some();
            if is_installed {
                let alias = self.plan.aliases[work.name as usize];
                self.package(dependency, index, alias, place)?;
                offers.push((alias, index));
            }
        }
        // Of one package at two places the one whose path comes first has the command.
        offers.sort_by(|a, b| a.0.as_str().split('/').cmp(b.0.as_str().split('/')));
        for (alias, index) in offers {
            let is_direct = place.direct.iter().any(|edge| {
                let stands_for = |node: NodeIndex| self.plan.canonical[node] == index;
                edge.alias == alias && matches!(edge.target, Target::Node(node) if stands_for(node))
            });
            let rank = if is_direct {
                Rank::Direct
            } else {
                Rank::Hoisted
            };
            bins.offer(self.input, self.graph, &Target::Node(index), rank, || {
                format!("../{}/", alias.as_str())
            });
        }
        Ok(())
    }

    /// Puts a package at `alias` in `place`, with what is below it.
    fn package(
        &mut self,
        dependency: WorkIndex,
        index: NodeIndex,
        alias: &'a PackageName,
        place: &Modules<'_, 'a>,
    ) -> Result<(), LayoutError> {
        let package = &self.graph.nodes[index];
        let Some(installed) = package.installed else {
            return Ok(());
        };
        let directory = self
            .tree
            .instance(place.directory, alias, package.dep_path, installed)?;
        let path = format!("{}/{}", place.path, alias.as_str());
        self.first_places
            .entry(index)
            .or_insert_with(|| path.clone());
        let holds_packages = self.holds_packages(dependency);
        let mut bins = BinCandidates::default();
        bins.offer_bundled(installed);
        if holds_packages || !bins.is_empty() {
            let modules = self.tree.directory(directory, "node_modules")?;
            let below = Modules {
                directory: modules,
                path: &format!("{path}/node_modules"),
                direct: &package.children,
            };
            if holds_packages {
                self.modules(dependency, &below, &mut bins)?;
            }
            bins.link(&mut self.tree, modules)?;
        }
        let key = package.dep_path.as_str().into();
        let places = self.built.hoisted_locations.entry(key).or_default();
        places.push(path.into());
        Ok(())
    }

    fn holds_packages(&self, node: WorkIndex) -> bool {
        let mut dependencies = self.flat.nodes[node].dependencies.values();
        dependencies.any(|&dependency| {
            let identity = self.flat.nodes[dependency].identity as usize;
            match self.plan.meanings[identity] {
                Meaning::Package(package) => self.graph.nodes[package].installed.is_some(),
                Meaning::Project(_) => false,
            }
        })
    }

    /// The `link:` dependencies of a project, which are always in its own `node_modules`, even
    /// where a package has come to be called so.
    fn links(
        &mut self,
        project: &Project<'a>,
        root: DirectoryIndex,
        path: &str,
        bins: &mut BinCandidates<'a>,
    ) -> Result<(), LayoutError> {
        for Edge { alias, target } in &project.direct {
            let Target::Directory(directory) = target else {
                continue;
            };
            let link = relative_path(path, directory);
            bins.offer(self.input, self.graph, target, Rank::Direct, || {
                if directory.starts_with('/') {
                    format!("{link}/")
                } else {
                    format!("../{link}/")
                }
            });
            if self.input.settings.symlink {
                self.tree.set_aside(root, alias)?;
                self.tree.link(root, alias, &link)?;
            }
        }
        Ok(())
    }

    /// Links the workspace packages that a pattern wants into the root, where their names are free.
    fn workspace_packages(
        &mut self,
        root: DirectoryIndex,
        bins: &mut BinCandidates<'a>,
    ) -> Result<(), LayoutError> {
        let settings = self.input.settings;
        if !settings.hoist_workspace_packages {
            return Ok(());
        }
        let patterns = HoistPatterns::new(settings);
        for project in self
            .graph
            .projects
            .iter()
            .filter(|project| project.id.0.is_some())
        {
            let id = project.id.as_str();
            let manifest = self.input.manifests.get(id);
            let Some(name) = manifest.and_then(|manifest| manifest.name.as_ref()) else {
                continue;
            };
            let Some(kind) = patterns.kind(name).filter(|_| !self.tree.has(root, name)) else {
                continue;
            };
            self.tree.link(root, name, &format!("../{id}"))?;
            let target = Target::Directory(id.into());
            bins.offer(self.input, self.graph, &target, Rank::Hoisted, || {
                format!("../{}/", name.as_str())
            });
            self.built.hoisted_dependencies.push(HoistedDependency {
                id: id.into(),
                aliases: vec![(name.clone(), kind)],
            });
        }
        Ok(())
    }

    fn link_bins(
        &mut self,
        bins: BinCandidates<'a>,
        parent: DirectoryIndex,
        path: &str,
    ) -> Result<(), LayoutError> {
        bins.link_and_warn(&mut self.tree, parent, path, &mut self.built.warnings)
    }
}
