//! Which project of a workspace depends on which.

use std::collections::HashMap;
use std::path::PathBuf;

use indexmap::IndexMap;

use crate::install::semver::{Range, Version};
use crate::install::workspace::Project;
use crate::lexical;

/// Which dependencies make an edge.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Edges {
    /// All.
    All,
    /// Not `devDependencies`.
    Production,
}

/// For each project, by its place in the list, the places of those that it depends on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ProjectGraph(Vec<Vec<usize>>);

impl ProjectGraph {
    /// Finds the edges as pnpm does: what begins with `workspace:` always is one, a path to a
    /// project is, and a range that a project fits is with `linkWorkspacePackages`.
    pub fn new(projects: &[Project], edges: Edges, link_workspace_packages: bool) -> Self {
        let mut by_name: HashMap<&str, Vec<usize>> = HashMap::new();
        let mut by_directory = HashMap::new();
        for (place, project) in projects.iter().enumerate() {
            if let Some(name) = &project.manifest.name {
                by_name.entry(name).or_default().push(place);
            }
            by_directory.insert(lexical::normal(&project.directory), place);
        }
        let index = Index {
            projects,
            by_name,
            by_directory,
            link_workspace_packages,
        };
        let targets = |project: &Project| {
            let mut found: Vec<usize> = Vec::new();
            for (alias, specifier) in dependencies(project, edges) {
                if let Some(place) = index.target(project, alias, specifier)
                    && !found.contains(&place)
                {
                    found.push(place);
                }
            }
            found
        };
        Self(projects.iter().map(targets).collect())
    }

    /// What the project at `place` depends on.
    pub fn of(&self, place: usize) -> &[usize] {
        self.0.get(place).map_or(&[], Vec::as_slice)
    }

    /// The projects that depend on each other in circles, group by group.
    pub fn cycles(&self) -> Vec<Vec<usize>> {
        let reached: Vec<Vec<bool>> = (0..self.0.len()).map(|from| self.reached(from)).collect();
        let mut is_told = vec![false; self.0.len()];
        let mut cycles = Vec::new();
        for from in 0..self.0.len() {
            if is_told[from] || !reached[from][from] {
                continue;
            }
            let on_circle = |other: &usize| reached[from][*other] && reached[*other][from];
            let cycle: Vec<usize> = (0..self.0.len()).filter(on_circle).collect();
            for place in &cycle {
                is_told[*place] = true;
            }
            cycles.push(cycle);
        }
        cycles
    }

    /// Which projects are depended on by the one at `from`, over any number of others.
    fn reached(&self, from: usize) -> Vec<bool> {
        let mut reached = vec![false; self.0.len()];
        let mut open = vec![from];
        while let Some(place) = open.pop() {
            for target in self.of(place) {
                if !std::mem::replace(&mut reached[*target], true) {
                    open.push(*target);
                }
            }
        }
        reached
    }

    /// The same with every edge turned round.
    pub(super) fn reversed(&self) -> Self {
        let mut out = vec![Vec::new(); self.0.len()];
        for (place, targets) in self.0.iter().enumerate() {
            for target in targets {
                if let Some(dependents) = out.get_mut(*target) {
                    dependents.push(place);
                }
            }
        }
        Self(out)
    }
}

/// Alias and specifier; of one alias in several groups the strongest counts.
fn dependencies(project: &Project, edges: Edges) -> IndexMap<&str, &str> {
    let manifest = &project.manifest;
    let mut groups = vec![&manifest.peer_dependencies];
    if edges == Edges::All {
        groups.push(&manifest.dev_dependencies);
    }
    groups.extend([&manifest.optional_dependencies, &manifest.dependencies]);
    let entries = groups.into_iter().flatten();
    entries
        .map(|(alias, specifier)| (alias.as_str(), &**specifier))
        .collect()
}

struct Index<'a> {
    projects: &'a [Project],
    by_name: HashMap<&'a str, Vec<usize>>,
    by_directory: HashMap<PathBuf, usize>,
    link_workspace_packages: bool,
}

impl Index<'_> {
    fn target(&self, from: &Project, alias: &str, specifier: &str) -> Option<usize> {
        let Some(rest) = specifier.strip_prefix("workspace:") else {
            if let Some(path) = path_of(specifier) {
                return self.at(from, path);
            }
            Range::parse(specifier)?;
            return self
                .link_workspace_packages
                .then(|| self.named(alias, specifier))?;
        };
        let (name, version) = match rest.rsplit_once('@') {
            Some((name, version)) if !name.is_empty() && !name.starts_with(['.', '_', '/']) => {
                (name, version)
            }
            _ => (alias, rest),
        };
        if let Some(path) = path_of(version) {
            return self.at(from, path);
        }
        let versionless = || {
            self.candidates(name)
                .iter()
                .copied()
                .find(|place| self.projects[*place].manifest.version.is_none())
        };
        self.named(name, version).or_else(versionless)
    }

    fn at(&self, from: &Project, path: &str) -> Option<usize> {
        let target = lexical::normal(&from.directory.join(path));
        self.by_directory.get(&target).copied()
    }

    fn candidates(&self, name: &str) -> &[usize] {
        self.by_name.get(name).map_or(&[], Vec::as_slice)
    }

    /// The project of that name whose version is `range` itself, else the highest that fits.
    fn named(&self, name: &str, range: &str) -> Option<usize> {
        let version = |place: &usize| self.projects[*place].manifest.version.as_deref();
        let candidates = self.candidates(name);
        let exact = candidates
            .iter()
            .find(|place| version(place) == Some(range));
        if let Some(place) = exact {
            return Some(*place);
        }
        let range = match range {
            "*" | "^" | "~" | "" => None,
            other => Some(Range::parse(other)?),
        };
        let parsed = candidates
            .iter()
            .filter_map(|place| Some((Version::parse(version(place)?)?, *place)));
        // Of a workspace a pre-release is as good as a release.
        let fits = |version: &Version| {
            range
                .as_ref()
                .is_none_or(|range| range.contains(version) || range.contains(&version.release()))
        };
        let fitting = parsed.filter(|(version, _)| fits(version));
        fitting.max_by(|a, b| a.0.cmp(&b.0)).map(|(_, place)| place)
    }
}

fn path_of(specifier: &str) -> Option<&str> {
    for prefix in ["file:", "link:"] {
        if let Some(path) = specifier.strip_prefix(prefix) {
            return Some(path);
        }
    }
    let is_path = matches!(specifier, "." | "..")
        || ["./", "../", "/"]
            .iter()
            .any(|start| specifier.starts_with(start));
    is_path.then_some(specifier)
}
