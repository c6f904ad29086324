//! The hoisted linker: packages themselves in `node_modules`, as high as their versions let them.
//!
//! ```text
//! node_modules/<alias>                                    the package
//! node_modules/<alias>/node_modules/<alias>               what must differ below it
//! node_modules/.bin, node_modules/<alias>/node_modules/.bin
//! <project>/node_modules/<alias>                          what must differ below the project
//! ```

use std::collections::{HashMap, HashSet};

use crate::install::lockfile::{ImporterId, Resolution};
use crate::name::PackageName;

use super::bins::{BinCandidates, Rank};
use super::error::LayoutError;
use super::flatten::{FlatTree, NameId, NodeSpec, WorkIndex, flatten};
use super::graph::{Edge, Graph, NodeIndex, Project, Target, relative_path, resolve_path};
use super::input::{BuiltLayout, HoistKind, HoistedDependency, HoistingLimits, LayoutInput};
use super::model::{DirectoryIndex, LayoutTree};
use super::tree::TreeBuilder;

/// The flattening follows chains of dependencies by recursion; this suffices for the longest that
/// it follows.
const STACK_BYTES: usize = 256 << 20;

pub(super) fn build(input: &LayoutInput<'_>) -> Result<BuiltLayout, LayoutError> {
    let graph = Graph::new(input)?;
    let mut plan = Plan::new(input, &graph);
    let specs = std::mem::take(&mut plan.specs);
    let flat = std::thread::scope(|scope| {
        let thread = std::thread::Builder::new().stack_size(STACK_BYTES);
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
        on_path: HashSet::new(),
    };
    linker.projects()?;
    linker.built.layout = linker.tree.layout;
    linker.built.injected_dependencies = injected(&graph, &linker.built.hoisted_locations);
    Ok(linker.built)
}

/// Where the instances whose content is a directory's are.
fn injected(
    graph: &Graph<'_>,
    locations: &std::collections::BTreeMap<Box<str>, Vec<Box<str>>>,
) -> std::collections::BTreeMap<Box<str>, Vec<Box<str>>> {
    let mut injected = std::collections::BTreeMap::<_, Vec<_>>::new();
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
    Link,
    Project(usize),
}

/// The graph as the flattening wants it.
struct Plan<'g, 'a> {
    specs: Vec<NodeSpec>,
    names: HashMap<&'a str, NameId>,
    aliases: Vec<&'a PackageName>,
    meanings: Vec<Meaning>,
    /// Spec by alias, target and whether it is a border.
    known: HashMap<(NameId, &'g Target, bool), usize>,
    links: HashMap<&'g str, u32>,
}

impl<'g, 'a> Plan<'g, 'a> {
    fn new(input: &LayoutInput<'a>, graph: &'g Graph<'a>) -> Self {
        let meanings = (0..graph.nodes.len()).map(Meaning::Package).collect();
        let mut plan = Self {
            specs: Vec::new(),
            names: HashMap::new(),
            aliases: Vec::new(),
            meanings,
            known: HashMap::new(),
            links: HashMap::new(),
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
    fn peers(&mut self, graph: &'g Graph<'a>) {
        for spec in &mut self.specs {
            if let Meaning::Package(node) = self.meanings[spec.identity as usize] {
                let names = graph.nodes[node].peer_names();
                spec.peers = names
                    .filter_map(|name| self.names.get(name).copied())
                    .collect();
            }
        }
    }

    /// Adds a project and what it reaches; the root project, which is first, holds the others.
    fn project(&mut self, graph: &'g Graph<'a>, index: usize, limits: HoistingLimits) {
        let identity = self.meaning(Meaning::Project(index));
        let name = u32::MAX - u32::try_from(self.specs.len()).unwrap_or_default();
        let spec = self.specs.len();
        let is_root = spec == 0;
        self.specs.push(NodeSpec {
            name,
            identity,
            is_border: !is_root && limits != HoistingLimits::None,
            is_fixed: true,
            ..NodeSpec::default()
        });
        if !is_root {
            self.specs[0].dependencies.push((name, spec));
        }
        let Some(project) = graph.projects.get(index) else {
            return;
        };
        let is_border = match limits {
            HoistingLimits::None => false,
            HoistingLimits::Workspaces => is_root,
            HoistingLimits::Dependencies => true,
        };
        self.reach(graph, spec, &project.direct, is_border);
    }

    /// Gives the spec `from` its dependencies, and those theirs. What is not installed takes part,
    /// as with pnpm, which leaves it out afterwards: what it brought to the top stays there.
    fn reach(&mut self, graph: &'g Graph<'a>, from: usize, edges: &'g [Edge<'a>], is_border: bool) {
        let mut queue = vec![(from, edges, is_border)];
        while let Some((from, edges, is_border)) = queue.pop() {
            for edge in edges {
                let name = self.name(edge.alias);
                let known = self.known.get(&(name, &edge.target, is_border)).copied();
                let spec = known.unwrap_or_else(|| {
                    let spec = self.package(name, &edge.target, is_border);
                    if let Target::Node(node) = edge.target {
                        queue.push((spec, &graph.nodes[node].children, false));
                    }
                    spec
                });
                self.specs[from].dependencies.push((name, spec));
            }
        }
    }

    fn package(&mut self, name: NameId, target: &'g Target, is_border: bool) -> usize {
        let identity = match target {
            Target::Node(node) => {
                u32::try_from(*node).expect("invariant: a lockfile's size bounds its snapshots")
            }
            Target::Directory(path) => match self.links.get(&**path) {
                Some(identity) => *identity,
                None => {
                    let identity = self.meaning(Meaning::Link);
                    self.links.insert(path, identity);
                    identity
                }
            },
        };
        let spec = self.specs.len();
        self.specs.push(NodeSpec {
            name,
            identity,
            is_border,
            // A link is where its project wants it, and nowhere else.
            is_fixed: matches!(target, Target::Directory(_)),
            ..NodeSpec::default()
        });
        self.known.insert((name, target, is_border), spec);
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
    plan: &'i Plan<'g, 'a>,
    flat: &'i FlatTree,
    tree: TreeBuilder,
    built: BuiltLayout,
    /// Nodes from the root to where the walk is: a cycle ends there.
    on_path: HashSet<WorkIndex>,
}

impl<'a> Linker<'_, '_, 'a> {
    fn projects(&mut self) -> Result<(), LayoutError> {
        let root = self.tree.root();
        self.tree.layout.trees.push(LayoutTree {
            importer: ImporterId(None),
            root,
        });
        let mut bins = BinCandidates::default();
        let project = self
            .graph
            .projects
            .iter()
            .find(|project| project.id.0.is_none());
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
        self.workspace_packages(root)?;
        self.link_bins(bins, root, "node_modules")?;
        let dependencies: Vec<WorkIndex> =
            self.flat.nodes[0].dependencies.values().copied().collect();
        for node in dependencies {
            let identity = self.flat.nodes[node].identity as usize;
            let Meaning::Project(project) = self.plan.meanings[identity] else {
                continue;
            };
            let project = &self.graph.projects[project];
            let has_link = project
                .direct
                .iter()
                .any(|edge| matches!(edge.target, Target::Directory(_)));
            let has_package = self.flat.nodes[node].dependencies.values().any(|&node| {
                let identity = self.flat.nodes[node].identity as usize;
                matches!(self.plan.meanings[identity], Meaning::Package(_))
            });
            if !has_link && !has_package {
                continue;
            }
            let root = self.tree.root();
            self.tree.layout.trees.push(LayoutTree {
                importer: project.id.clone(),
                root,
            });
            let path = format!("{}/node_modules", project.id.as_str());
            let mut bins = BinCandidates::default();
            let place = Modules {
                directory: root,
                path: &path,
                direct: &project.direct,
            };
            self.modules(node, &place, &mut bins)?;
            self.links(project, root, &path, &mut bins)?;
            self.link_bins(bins, root, &path)?;
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
        let &Modules {
            directory,
            path,
            direct,
        } = place;
        self.on_path.insert(node);
        let dependencies: Vec<WorkIndex> = self.flat.nodes[node]
            .dependencies
            .values()
            .copied()
            .collect();
        for dependency in dependencies {
            let work = &self.flat.nodes[dependency];
            if self.flat.nodes[node].peers.contains(&work.name) {
                continue;
            }
            let Meaning::Package(index) = self.plan.meanings[work.identity as usize] else {
                continue;
            };
            if self.on_path.contains(&dependency) {
                continue;
            }
            let package = &self.graph.nodes[index];
            let Some(installed) = package.installed else {
                continue;
            };
            let alias = self.plan.aliases[work.name as usize];
            let place = self.tree.instance(directory, alias, package, installed)?;
            let package_path = format!("{path}/{}", alias.as_str());
            let key = package.dep_path.as_str().into();
            let places = self.built.hoisted_locations.entry(key).or_default();
            places.push(package_path.as_str().into());
            let target = Target::Node(index);
            let mut edges = direct.iter();
            let is_direct = edges.any(|edge| edge.alias == alias && edge.target == target);
            let rank = if is_direct {
                Rank::Direct
            } else {
                Rank::Hoisted
            };
            bins.offer(self.input, self.graph, &target, rank, || {
                format!("../{}/", alias.as_str())
            });
            let holds_packages = self.holds_packages(dependency);
            let mut own_bins = BinCandidates::default();
            own_bins.offer_bundled(installed);
            if holds_packages || !own_bins.is_empty() {
                let modules = self.tree.directory(place, "node_modules")?;
                let modules_path = format!("{package_path}/node_modules");
                let place = Modules {
                    directory: modules,
                    path: &modules_path,
                    direct: &package.children,
                };
                if holds_packages {
                    self.modules(dependency, &place, &mut own_bins)?;
                }
                own_bins.link(&mut self.tree, modules)?;
            }
        }
        self.on_path.remove(&node);
        Ok(())
    }

    fn holds_packages(&self, node: WorkIndex) -> bool {
        let own = &self.flat.nodes[node];
        own.dependencies.iter().any(|(name, dependency)| {
            let identity = self.flat.nodes[*dependency].identity as usize;
            let is_package = matches!(self.plan.meanings[identity], Meaning::Package(_));
            let is_new = *dependency != node && !self.on_path.contains(dependency);
            is_package && is_new && !own.peers.contains(name)
        })
    }

    /// The `link:` dependencies of a project, which are always in its own `node_modules`.
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
            self.tree.link(root, alias, &link)?;
        }
        Ok(())
    }

    /// Links every workspace package into the root, where its name is free.
    fn workspace_packages(&mut self, root: DirectoryIndex) -> Result<(), LayoutError> {
        if !self.input.settings.hoist_workspace_packages {
            return Ok(());
        }
        for project in self
            .graph
            .projects
            .iter()
            .filter(|project| project.id.0.is_some())
        {
            let manifest = self.input.manifests.get(project.id.as_str());
            let Some(name) = manifest.and_then(|manifest| manifest.name.as_ref()) else {
                continue;
            };
            if !self.tree.has(root, name) {
                self.tree
                    .link(root, name, &format!("../{}", project.id.as_str()))?;
                self.built.hoisted_dependencies.push(HoistedDependency {
                    id: project.id.as_str().into(),
                    aliases: vec![(name.clone(), HoistKind::Private)],
                });
            }
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
