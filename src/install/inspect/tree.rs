//! Trees of dependencies, as `list` shows them.

use std::collections::HashMap;
use std::path::PathBuf;

use super::{Group, Installed, Node, Search};
use crate::install::layout::IncludedGroups;
use crate::install::lockfile::Reference;
use crate::install::workspace::Project;
use crate::limits::SHOWN_DEPTH_MAX;

/// What to show.
#[derive(Clone, Copy)]
pub struct TreeOptions<'a> {
    /// How many levels below the direct dependencies; `None` is all.
    pub depth: Option<usize>,
    /// Which groups of direct dependencies.
    pub groups: IncludedGroups,
    /// Only what leads to these.
    pub search: Option<&'a Search>,
    /// Only projects of the workspace.
    pub only_projects: bool,
}

/// A project with what it depends on.
pub struct ListedProject<'a> {
    /// Whose it is.
    pub project: &'a Project,
    /// Its dependencies by group, sorted by alias; groups without any are left out.
    pub groups: Vec<(Group, Vec<Dependency>)>,
}

/// A dependency in a tree.
#[derive(Debug, Clone)]
pub struct Dependency {
    /// As its dependent calls it.
    pub alias: String,
    /// Its name in the registry; of a link, the alias.
    pub name: String,
    /// Its version, or `link:` and a path.
    pub version: String,
    /// Where its archive is.
    pub resolved: Option<String>,
    /// Its directory.
    pub path: PathBuf,
    /// Whether its dependent has it as a peer.
    pub is_peer: bool,
    /// What it depends on, sorted by alias.
    pub dependencies: Vec<Dependency>,
    /// Where that was left out because it was shown before: how many nodes are below it.
    pub repeated: Option<usize>,
}

struct Walk<'w, 'a> {
    installed: &'w Installed<'a>,
    options: TreeOptions<'w>,
    /// Nodes whose dependencies were shown.
    shown: Shown<'a>,
    /// Nodes from the project to where the walk is.
    path: Vec<Node<'a>>,
}

/// What is below a node that was shown.
#[derive(Clone, Copy, Default)]
struct Below {
    /// Nodes that were shown.
    count: usize,
    /// The longest way down.
    height: usize,
    /// Nothing was left out because of the depth.
    is_whole: bool,
}

/// Subtrees that were shown, by their node and how many levels they were given. What was whole is
/// the same for every number that suffices.
#[derive(Default)]
struct Shown<'a> {
    cut: HashMap<(Node<'a>, Option<usize>), Below>,
    whole: HashMap<Node<'a>, Below>,
}

impl<'a> Shown<'a> {
    fn find(&self, node: Node<'a>, depth: Option<usize>) -> Option<Below> {
        let whole = self.whole.get(&node);
        let whole = whole.filter(|one| depth.is_none_or(|depth| one.height <= depth));
        whole.or_else(|| self.cut.get(&(node, depth))).copied()
    }

    fn add(&mut self, node: Node<'a>, depth: Option<usize>, below: Below) {
        if below.is_whole {
            self.whole.insert(node, below);
        } else {
            self.cut.insert((node, depth), below);
        }
    }
}

impl<'a> Installed<'a> {
    /// The trees of `projects`. What has been shown in one is not shown again in another.
    pub fn trees<'p>(
        &self,
        projects: impl IntoIterator<Item = &'p Project>,
        options: TreeOptions<'_>,
    ) -> Vec<ListedProject<'p>> {
        let mut walk = Walk {
            installed: self,
            options,
            shown: Shown::default(),
            path: Vec::new(),
        };
        projects
            .into_iter()
            .map(|project| walk.project(project))
            .collect()
    }
}

impl<'a> Walk<'_, 'a> {
    fn project<'p>(&mut self, project: &'p Project) -> ListedProject<'p> {
        let mut groups = Vec::new();
        let id = self.installed.lockfile.importers.get_key_value(&project.id);
        for group in Group::ALL {
            let Some((id, _)) = id.filter(|_| group.is_in(self.options.groups)) else {
                continue;
            };
            let from = Node::Project(id);
            self.path.push(from);
            let direct: Vec<_> = self.installed.direct(id, group).collect();
            let dependencies: Vec<Dependency> = direct
                .into_iter()
                .filter_map(|(alias, reference)| {
                    let mut below = Gathered::default();
                    let depth = self.options.depth;
                    self.dependency(from, (alias.as_str(), reference, false), depth, &mut below)
                })
                .collect();
            self.path.pop();
            if !dependencies.is_empty() {
                groups.push((group, dependencies));
            }
        }
        ListedProject { project, groups }
    }

    fn dependency(
        &mut self,
        from: Node<'a>,
        (alias, reference, is_peer): (&str, &'a Reference, bool),
        depth: Option<usize>,
        gathered: &mut Gathered,
    ) -> Option<Dependency> {
        let (target, path) = self.installed.target(from, reference);
        if self.options.only_projects && !matches!(target, Some(Node::Project(_))) {
            return None;
        }
        let (name, version, resolved) = match reference {
            Reference::Package(dep_path) => (
                dep_path.name_str().to_owned(),
                self.installed.version(dep_path).to_owned(),
                self.installed.resolved(dep_path),
            ),
            Reference::Link(link) => (alias.to_owned(), format!("link:{link}"), None),
        };
        let search = self.options.search;
        let is_found = search.is_some_and(|search| search.matches(alias, &name, &version));
        let mut dependency = Dependency {
            alias: alias.to_owned(),
            name,
            version,
            resolved,
            path,
            is_peer,
            dependencies: Vec::new(),
            repeated: None,
        };
        if let Some(target) = target {
            if depth == Some(0) || self.path.len() >= SHOWN_DEPTH_MAX {
                gathered.is_cut |= !self.installed.edges(target).is_empty();
                gathered.add(Below::default());
            } else {
                let below = self.expand(target, &mut dependency, depth.map(|depth| depth - 1));
                gathered.is_cut |= !below.is_whole;
                gathered.add(below);
            }
        }
        let leads_there = !dependency.dependencies.is_empty() || dependency.repeated.is_some();
        (search.is_none() || is_found || leads_there).then_some(dependency)
    }

    fn expand(
        &mut self,
        target: Node<'a>,
        dependency: &mut Dependency,
        depth: Option<usize>,
    ) -> Below {
        if self.path.contains(&target) {
            return Below {
                is_whole: true,
                ..Below::default()
            };
        }
        if let Some(below) = self.shown.find(target, depth.map(|depth| depth + 1)) {
            dependency.repeated = (below.count > 0).then_some(below.count);
            return below;
        }
        self.path.push(target);
        let mut gathered = Gathered::default();
        for (alias, reference, is_peer) in self.installed.edges(target) {
            let edge = (alias.as_str(), reference, is_peer);
            let child = self.dependency(target, edge, depth, &mut gathered);
            dependency.dependencies.extend(child);
        }
        self.path.pop();
        let below = Below {
            count: shown(&dependency.dependencies),
            height: gathered.height,
            is_whole: !gathered.is_cut,
        };
        self.shown.add(target, depth.map(|depth| depth + 1), below);
        below
    }
}

fn shown(dependencies: &[Dependency]) -> usize {
    let below = dependencies.iter().map(|one| 1 + shown(&one.dependencies));
    below.sum()
}

/// What is below a node while it is walked.
#[derive(Default)]
struct Gathered {
    height: usize,
    is_cut: bool,
}

impl Gathered {
    fn add(&mut self, below: Below) {
        self.height = self.height.max(below.height + 1);
    }
}
