//! Trees of dependencies, as `list` shows them.

use std::collections::HashMap;
use std::path::PathBuf;

use super::dependents::peers_hash;
use super::{Group, Installed, Node, Search};
use crate::install::layout::IncludedGroups;
use crate::install::lockfile::Reference;
use crate::install::pnpmfile::Candidate;
use crate::install::workspace::Project;
use crate::lexical;
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
    /// Which peers it has, where it has some: four hexadecimal digits.
    pub peers_hash: Option<String>,
    /// What finders say of it.
    pub message: Option<String>,
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
    /// The directory of the project, which links are shown relative to.
    base: Option<PathBuf>,
}

/// How many nodes are below those that were shown, by node and how many levels it was given: with
/// another number it is shown once more, as pnpm does.
type Shown<'a> = HashMap<(Node<'a>, Option<usize>), usize>;

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
            shown: Shown::new(),
            path: Vec::new(),
            base: None,
        };
        projects
            .into_iter()
            .map(|project| walk.project(project))
            .collect()
    }
}

impl<'a> Walk<'_, 'a> {
    fn project<'p>(&mut self, project: &'p Project) -> ListedProject<'p> {
        let mut groups: Vec<(Group, Vec<Dependency>)> = Vec::new();
        if let Some((id, _)) = self.installed.lockfile.importers.get_key_value(&project.id) {
            let from = Node::Project(id);
            self.path.push(from);
            self.base = Some(project.directory.clone());
            // All groups together: which dependency is shown whole depends on the order.
            let edges = self.installed.project_edges(id, self.options.groups);
            let mut found = Vec::new();
            for (alias, reference, group) in edges {
                let edge = (alias.as_str(), reference, false);
                let dependency = self.dependency(from, edge, self.options.depth);
                found.extend(dependency.map(|dependency| (group, dependency)));
            }
            self.path.pop();
            for group in Group::ALL {
                let of_group = found.iter().filter(|(of, _)| *of == group);
                let of_group: Vec<_> = of_group.map(|(_, one)| one.clone()).collect();
                if !of_group.is_empty() {
                    groups.push((group, of_group));
                }
            }
        }
        ListedProject { project, groups }
    }

    fn dependency(
        &mut self,
        from: Node<'a>,
        (alias, reference, is_peer): (&str, &'a Reference, bool),
        depth: Option<usize>,
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
            Reference::Link(_) => {
                let base = self.base.as_deref().unwrap_or(self.installed.root());
                let link = lexical::relative(base, &path);
                let version = format!("link:{}", link.display());
                (alias.to_owned(), version, None)
            }
        };
        let search = self.options.search;
        let found = search.and_then(|search| {
            search.find(Candidate {
                alias,
                name: &name,
                version: &version,
                directory: &path,
            })
        });
        let is_found = found.is_some();
        let mut dependency = Dependency {
            alias: alias.to_owned(),
            name,
            version,
            resolved,
            path,
            is_peer,
            peers_hash: match reference {
                Reference::Package(dep_path) => peers_hash(dep_path),
                Reference::Link(_) => None,
            },
            message: found.and_then(|found| found.message),
            dependencies: Vec::new(),
            repeated: None,
        };
        let is_end = depth == Some(0) || self.path.len() >= SHOWN_DEPTH_MAX;
        if let Some(target) = target.filter(|_| !is_end) {
            self.expand(target, &mut dependency, depth);
        }
        let leads_there = !dependency.dependencies.is_empty() || dependency.repeated.is_some();
        (search.is_none() || is_found || leads_there).then_some(dependency)
    }

    fn expand(&mut self, target: Node<'a>, dependency: &mut Dependency, depth: Option<usize>) {
        if self.path.contains(&target) {
            return;
        }
        if let Some(count) = self.shown.get(&(target, depth)) {
            dependency.repeated = (*count > 0).then_some(*count);
            return;
        }
        self.path.push(target);
        let below = depth.map(|depth| depth - 1);
        for (alias, reference, is_peer) in self.installed.edges(target, self.options.groups) {
            let child = self.dependency(target, (alias.as_str(), reference, is_peer), below);
            dependency.dependencies.extend(child);
        }
        self.path.pop();
        let count = shown(&dependency.dependencies);
        self.shown.insert((target, depth), count);
    }
}

fn shown(dependencies: &[Dependency]) -> usize {
    let below = dependencies.iter().map(|one| 1 + shown(&one.dependencies));
    below.sum()
}
