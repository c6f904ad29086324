//! Which transitive dependencies the isolated linker makes visible to everyone.
//!
//! The order of the walk decides which of several versions gets a name, and it is written into
//! `.modules.yaml`, so it is pnpm's: level by level within a subtree, subtree after subtree.

use std::borrow::Cow;
use std::collections::{HashMap, HashSet};

use indexmap::IndexMap;

use crate::install::lockfile::ImporterId;
use crate::name::PackageName;

use super::graph::{Edge, Graph, NodeIndex, Target};
use super::input::{HoistKind, HoistedDependency, LayoutInput, LayoutSettings};
use super::pattern::NamePatterns;

/// A hoisted dependency.
#[derive(Debug)]
pub(super) struct Hoisted<'a> {
    pub(super) alias: &'a PackageName,
    pub(super) target: Target,
    pub(super) kind: HoistKind,
}

/// What is hoisted.
#[derive(Debug)]
pub(super) struct Hoisting<'a> {
    pub(super) hoisted: Vec<Hoisted<'a>>,
    /// `hoistedDependencies` of `.modules.yaml`.
    pub(super) record: Vec<HoistedDependency>,
}

/// Chooses what is hoisted.
pub(super) fn hoist<'a>(
    input: &LayoutInput<'a>,
    graph: &Graph<'a>,
    locations: &[String],
) -> Hoisting<'a> {
    let settings = input.settings;
    let mut hoister = Hoister {
        patterns: HoistPatterns::new(settings),
        ..Hoister::default()
    };
    // Names that the root project has from a package are taken, whether it is installed or not;
    // those that it links are not.
    for project in graph
        .projects
        .iter()
        .filter(|project| project.id.0.is_none())
    {
        let packages = project
            .direct
            .iter()
            .filter(|edge| matches!(edge.target, Target::Node(_)));
        hoister
            .taken
            .extend(packages.map(|edge| lower_case(edge.alias)));
    }
    let workspace = if settings.hoist_workspace_packages {
        workspace_packages(input, graph)
    } else {
        Vec::new()
    };
    for edge in direct_in_order(graph, &workspace) {
        hoister.offer_edge(graph, edge);
    }
    for (id, name) in workspace {
        hoister.offer_project(id, name);
    }
    let mut entries = walk(graph);
    entries.sort_by(|a, b| (a.0, &locations[a.1]).cmp(&(b.0, &locations[b.1])));
    for (_, node) in entries {
        for edge in &graph.nodes[node].children {
            hoister.offer_edge(graph, edge);
        }
    }
    Hoisting {
        hoisted: hoister.hoisted,
        record: hoister.record,
    }
}

/// Which names are hoisted where.
#[derive(Default)]
pub(super) struct HoistPatterns {
    private: NamePatterns,
    public: NamePatterns,
}

impl HoistPatterns {
    pub(super) fn new(settings: &LayoutSettings) -> Self {
        Self {
            private: NamePatterns::new(settings.hoist_pattern.as_deref().unwrap_or_default()),
            public: NamePatterns::new(&settings.public_hoist_pattern),
        }
    }

    pub(super) fn kind(&self, name: &PackageName) -> Option<HoistKind> {
        if self.public.matches(name.as_str()) {
            Some(HoistKind::Public)
        } else {
            let is_private = self.private.matches(name.as_str());
            is_private.then_some(HoistKind::Private)
        }
    }
}

#[derive(Default)]
struct Hoister<'a> {
    patterns: HoistPatterns,
    taken: HashSet<Cow<'a, str>>,
    hoisted: Vec<Hoisted<'a>>,
    record: Vec<HoistedDependency>,
    recorded: HashMap<NodeIndex, usize>,
}

impl<'a> Hoister<'a> {
    fn take(&mut self, alias: &'a PackageName) -> Option<HoistKind> {
        let kind = self.patterns.kind(alias)?;
        self.taken.insert(lower_case(alias)).then_some(kind)
    }

    fn offer_edge(&mut self, graph: &Graph<'a>, edge: &Edge<'a>) {
        let Target::Node(node) = edge.target else {
            return;
        };
        if graph.nodes[node].installed.is_none() {
            return;
        }
        if self.taken.contains(lower_case(edge.alias).as_ref()) {
            return;
        }
        let Some(kind) = self.take(edge.alias) else {
            return;
        };
        self.hoisted.push(Hoisted {
            alias: edge.alias,
            target: edge.target.clone(),
            kind,
        });
        let at = *self.recorded.entry(node).or_insert_with(|| {
            let id = graph.nodes[node].dep_path.as_str().into();
            self.record.push(HoistedDependency {
                id,
                aliases: Vec::new(),
            });
            self.record.len() - 1
        });
        self.record[at].aliases.push((edge.alias.clone(), kind));
    }

    fn offer_project(&mut self, id: &ImporterId, name: &'a PackageName) {
        let Some(kind) = self.take(name) else { return };
        let target = Target::Directory(id.as_str().into());
        self.hoisted.push(Hoisted {
            alias: name,
            target,
            kind,
        });
        let aliases = vec![(name.clone(), kind)];
        self.record.push(HoistedDependency {
            id: id.as_str().into(),
            aliases,
        });
    }
}

/// Every project below the root that has a name, ordered by the components of their paths. Of
/// several with one name, the last counts, in the place of the first.
fn workspace_packages<'a>(
    input: &LayoutInput<'a>,
    graph: &Graph<'a>,
) -> Vec<(&'a ImporterId, &'a PackageName)> {
    let below_root = graph
        .projects
        .iter()
        .filter(|project| project.id.0.is_some());
    let mut named: Vec<_> = below_root
        .filter_map(|project| {
            let manifest = input.manifests.get(project.id.as_str())?;
            Some((project.id, manifest.name.as_ref()?))
        })
        .collect();
    named.sort_by(|(one, _), (other, _)| one.as_str().split('/').cmp(other.as_str().split('/')));
    let mut packages = IndexMap::with_capacity(named.len());
    for (id, name) in named {
        packages.insert(name, id);
    }
    packages.into_iter().map(|(name, id)| (id, name)).collect()
}

/// The direct dependencies of all projects; where two use one alias, the first project's, whether
/// that is installed or not. Those that have a workspace package's name come first (an injected
/// one is such).
fn direct_in_order<'g, 'a>(
    graph: &'g Graph<'a>,
    workspace: &[(&ImporterId, &PackageName)],
) -> Vec<&'g Edge<'a>> {
    let mut seen = HashSet::new();
    let edges = graph.projects.iter().flat_map(|project| &project.direct);
    let mut direct: Vec<&Edge<'a>> = edges
        .filter(|edge| matches!(edge.target, Target::Node(_)) && seen.insert(edge.alias))
        .filter(|edge| graph.is_installed(&edge.target))
        .collect();
    let place = |edge: &Edge<'a>| workspace.iter().position(|(_, name)| *name == edge.alias);
    direct.sort_by_key(|edge| place(edge).unwrap_or(usize::MAX));
    direct
}

/// Every node that the projects reach, with its depth. pnpm goes on through packages that do not
/// fit the machine: they are not hoisted themselves, but their dependencies are, where they are
/// there. It goes through optional
/// dependencies even where they are left out, but never to what only they lead to.
fn walk(graph: &Graph<'_>) -> Vec<(u32, NodeIndex)> {
    let mut entries = Vec::with_capacity(graph.nodes.len());
    let mut seen: Vec<bool> = graph.included().iter().map(|included| !included).collect();
    let direct = graph.projects.iter().flat_map(|project| &project.direct);
    // Each item is one step: nodes that were new when their parent was looked at. Steps are taken
    // from the end, so those of one step's nodes are put there in reverse.
    let mut steps = vec![(0, step(direct, &mut seen))];
    while let Some((depth, nodes)) = steps.pop() {
        let first = steps.len();
        for node in nodes {
            entries.push((depth, node));
            let next = step(&graph.nodes[node].children, &mut seen);
            if !next.is_empty() {
                steps.push((depth + 1, next));
            }
        }
        steps[first..].reverse();
    }
    entries
}

fn step<'g, 'a: 'g>(
    edges: impl IntoIterator<Item = &'g Edge<'a>>,
    seen: &mut [bool],
) -> Vec<NodeIndex> {
    let mut nodes = Vec::new();
    for edge in edges {
        let Target::Node(node) = edge.target else {
            continue;
        };
        if !std::mem::replace(&mut seen[node], true) {
            nodes.push(node);
        }
    }
    nodes
}

fn lower_case(name: &PackageName) -> Cow<'_, str> {
    if name.as_str().bytes().any(|byte| byte.is_ascii_uppercase()) {
        Cow::Owned(name.as_str().to_ascii_lowercase())
    } else {
        Cow::Borrowed(name.as_str())
    }
}
