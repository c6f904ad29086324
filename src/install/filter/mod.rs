//! Which projects of a workspace a command is about, and in which order.
//!
//! [`select`] takes the texts of `--filter` and `--filter-prod` and the projects that
//! [`workspace::projects`](super::workspace::projects) lists; the [`Selection`] names them by their
//! places in that list.
//!
//! **Architecture Invariant:** nothing is written, and of programs only git is run, and only where
//! a `[since]` asks for it. A revision is never taken for an option.

mod changed;
mod graph;
mod selector;

use std::collections::{HashMap, HashSet};
use std::path::{Path, PathBuf};

use globset::GlobBuilder;
use indexmap::IndexSet;

use crate::diagnostic::Diagnostic;
use crate::install::config::Environment;
use crate::install::layout::NamePatterns;
use crate::install::workspace::Project;
use crate::name::escaped;

pub use changed::ChangeRules;
pub use graph::{Edges, ProjectGraph};
pub use selector::{DirectoryPattern, Selector};

use changed::{Changed, changed_since};

/// Why no selection could be made.
#[derive(Debug, thiserror::Error)]
pub enum FilterError {
    /// Git refused.
    #[error("Filtering by changed packages failed: {}", escaped(reason))]
    Changed {
        /// The first line that it said.
        reason: String,
    },
    /// Git cannot be run.
    #[error("Filtering by changed packages failed: git cannot be run")]
    Git {
        /// Why.
        #[source]
        source: std::io::Error,
    },
    /// A pattern is none.
    #[error("The pattern \"{}\" is not valid: {reason}", escaped(pattern))]
    Pattern {
        /// The pattern.
        pattern: String,
        /// What is wrong.
        reason: String,
    },
    /// A filter names nothing.
    #[error(
        "The filter \"{}\" names neither a package nor a directory nor a revision",
        escaped(text)
    )]
    Empty {
        /// As written.
        text: String,
    },
}

impl Diagnostic for FilterError {
    fn code(&self) -> &'static str {
        match self {
            Self::Changed { .. } | Self::Git { .. } => "ERR_PNPM_FILTER_CHANGED",
            Self::Pattern { .. } => "ERR_PNPM_WORKSPACE_PROJECTS_FILTER_INVALID_PATTERN",
            Self::Empty { .. } => "ERR_PNPM_WORKSPACE_PROJECTS_FILTER_UNSUPPORTED_SELECTOR",
        }
    }

    fn hint(&self) -> Option<String> {
        Some(match self {
            Self::Changed { .. } => {
                "name a revision of the repository, as in `--filter \"[main]\"`".to_owned()
            }
            Self::Git { .. } => "install git".to_owned(),
            Self::Pattern { .. } => "correct the pattern".to_owned(),
            Self::Empty { .. } => {
                "name a package, a directory or a revision: `NAME`, `./DIRECTORY`, `[REVISION]`"
                    .to_owned()
            }
        })
    }
}

/// What to select by.
#[derive(Debug, Clone, Copy)]
pub struct Request<'a> {
    /// `--filter`.
    pub filters: &'a [String],
    /// `--filter-prod`: edges of `devDependencies` are not followed.
    pub production_filters: &'a [String],
    /// What paths are relative to.
    pub prefix: &'a Path,
    /// Where git is asked, where a filter names no directory.
    pub workspace_root: &'a Path,
    /// The project in this directory is not selected.
    pub left_out: Option<&'a Path>,
    /// `linkWorkspacePackages`.
    pub link_workspace_packages: bool,
    /// Which changes count for `[since]`.
    pub changes: ChangeRules<'a>,
    /// The user's environment.
    pub environment: &'a Environment,
}

/// Projects, by their places in the list that was selected from.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Selection {
    /// In the order in which they were selected, which is pnpm's: those of `--filter-prod` first,
    /// and what dots lead to before what is named alone.
    pub projects: Vec<usize>,
    /// Filters that matched nothing, as names or paths.
    pub unmatched: Vec<String>,
    /// For each of `projects`: which others of the selection must come before it, as places in
    /// `projects`.
    waits_for: Vec<Vec<usize>>,
}

impl Selection {
    /// For each of `projects`, which others of it must come before it, as places in `projects`.
    /// What they depend on through projects outside of the selection counts too.
    pub fn waits_for(&self) -> &[Vec<usize>] {
        &self.waits_for
    }

    /// Places in `projects`, dependencies first: what is in one chunk does not depend on each
    /// other. Projects in a circle share the first chunk that the others allow.
    pub fn chunks(&self) -> Vec<Vec<usize>> {
        chunks(&self.waits_for)
    }
}

/// Sorts the nodes of a graph, given by what each waits for, into chunks of which each depends on
/// earlier ones only. Where only circles are left, they make one chunk.
pub fn chunks(waits_for: &[Vec<usize>]) -> Vec<Vec<usize>> {
    let mut done = vec![false; waits_for.len()];
    let mut left: Vec<usize> = (0..waits_for.len()).collect();
    let mut out = Vec::new();
    while !left.is_empty() {
        let is_ready = |node: &usize| {
            waits_for[*node]
                .iter()
                .all(|other| done[*other] || other == node)
        };
        let (mut ready, rest): (Vec<usize>, Vec<usize>) =
            left.iter().partition(|node| is_ready(node));
        if ready.is_empty() {
            ready = circle(waits_for, &done, &rest);
        }
        for node in &ready {
            done[*node] = true;
        }
        left.retain(|node| !done[*node]);
        out.push(ready);
    }
    out
}

/// The nodes of the first circle among `left` that waits for no other circle.
fn circle(waits_for: &[Vec<usize>], done: &[bool], left: &[usize]) -> Vec<usize> {
    let reachable = |from: usize| -> HashSet<usize> {
        let mut seen = HashSet::new();
        let mut open = vec![from];
        while let Some(node) = open.pop() {
            for other in &waits_for[node] {
                if !done[*other] && seen.insert(*other) {
                    open.push(*other);
                }
            }
        }
        seen
    };
    let smallest = left
        .iter()
        .map(|node| reachable(*node))
        .min_by_key(HashSet::len)
        .unwrap_or_default();
    let nodes: Vec<usize> = left
        .iter()
        .copied()
        .filter(|node| smallest.contains(node))
        .collect();
    if nodes.is_empty() {
        left.to_vec()
    } else {
        nodes
    }
}

/// Selects from `projects`. Without any filter that is all of them.
///
/// # Errors
/// Git refuses, or a pattern is none.
pub fn select(projects: &[Project], request: &Request<'_>) -> Result<Selection, FilterError> {
    let link = request.link_workspace_packages;
    let all = ProjectGraph::new(projects, Edges::All, link);
    let production = (!request.production_filters.is_empty())
        .then(|| ProjectGraph::new(projects, Edges::Production, link));
    let mut unmatched = Vec::new();
    let mut regular: IndexSet<usize> = IndexSet::new();
    if !request.filters.is_empty() {
        let pass = Pass {
            projects,
            graph: &all,
            request,
        };
        regular = pass.run(request.filters, &mut unmatched)?;
    } else if production.is_none() {
        regular.extend(0..projects.len());
    }
    let mut by_production = IndexSet::new();
    if let Some(graph) = &production {
        let pass = Pass {
            projects,
            graph,
            request,
        };
        by_production = pass.run(request.production_filters, &mut unmatched)?;
    }
    let is_kept = |place: &usize| request.left_out != Some(projects[*place].directory.as_path());
    let both = by_production.union(&regular).copied();
    let selected = both.filter(is_kept).collect();
    by_production.retain(|place| !regular.contains(place));
    let graphs = Graphs {
        all: &all,
        production: production.as_ref(),
    };
    Ok(graphs.selection(selected, &by_production, unmatched))
}

struct Graphs<'a> {
    all: &'a ProjectGraph,
    production: Option<&'a ProjectGraph>,
}

impl Graphs<'_> {
    /// What `--filter-prod` alone selected waits for less: the edges that it does not follow do
    /// not order either.
    fn selection(
        &self,
        projects: Vec<usize>,
        by_production: &IndexSet<usize>,
        unmatched: Vec<String>,
    ) -> Selection {
        let positions: HashMap<usize, usize> = projects.iter().copied().zip(0..).collect();
        let waits = |place: &usize| {
            let graph = match self.production {
                Some(graph) if by_production.contains(place) => graph,
                _ => self.all,
            };
            let mut found = Vec::new();
            let mut seen = HashSet::from([*place]);
            let mut open: Vec<usize> = graph.of(*place).to_vec();
            while let Some(next) = open.pop() {
                if !seen.insert(next) {
                    continue;
                }
                match positions.get(&next) {
                    Some(at) => found.push(*at),
                    None => open.extend(graph.of(next)),
                }
            }
            found.sort_unstable();
            found
        };
        let waits_for = projects.iter().map(waits).collect();
        Selection {
            projects,
            unmatched,
            waits_for,
        }
    }
}

/// One kind of filters over the graph that it follows.
struct Pass<'a> {
    projects: &'a [Project],
    graph: &'a ProjectGraph,
    request: &'a Request<'a>,
}

impl Pass<'_> {
    fn run(
        &self,
        texts: &[String],
        unmatched: &mut Vec<String>,
    ) -> Result<IndexSet<usize>, FilterError> {
        let parsed = texts
            .iter()
            .map(|text| (text.as_str(), Selector::parse(text, self.request.prefix)));
        let (excluding, including): (Vec<_>, Vec<_>) =
            parsed.partition(|(_, selector)| selector.exclude);
        let mut selected = match including.is_empty() {
            true => (0..self.projects.len()).collect(),
            false => self.union(&including, unmatched)?,
        };
        let excluded = self.union(&excluding, unmatched)?;
        selected.retain(|place| !excluded.contains(place));
        Ok(selected)
    }

    fn union(
        &self,
        selectors: &[(&str, Selector)],
        unmatched: &mut Vec<String>,
    ) -> Result<IndexSet<usize>, FilterError> {
        let mut walk = Walk::new(self.graph);
        for (text, selector) in selectors {
            let matches = self.matches(text, selector)?;
            if matches.in_source.is_empty() && matches.in_tests.is_empty() {
                unmatched.extend(selector.name.as_deref().map(str::to_owned));
                let directory = selector.directory.as_ref();
                unmatched.extend(directory.map(|one| one.path().display().to_string()));
            }
            let alone = Selector {
                with_dependents: false,
                ..(*selector).clone()
            };
            walk.extend(&alone, &matches.in_tests);
            walk.extend(selector, &matches.in_source);
        }
        Ok(walk.selected())
    }

    /// The projects that a selector names, before its dots.
    fn matches(&self, text: &str, selector: &Selector) -> Result<Changed, FilterError> {
        let mut found = Changed::default();
        let directory = selector.directory.as_ref();
        match (&selector.since, directory) {
            (Some(revision), _) => {
                let below = directory.map(DirectoryPattern::literal);
                let below = below.as_deref().unwrap_or(self.request.workspace_root);
                let changes = self.request.changes;
                found = changed_since(
                    revision,
                    below,
                    self.projects,
                    changes,
                    self.request.environment,
                )?;
                if let Some(pattern) = directory.filter(|pattern| pattern.has_wildcards()) {
                    let inside = self.in_directories(pattern)?;
                    found.in_source.retain(|place| inside.contains(place));
                    found.in_tests.retain(|place| inside.contains(place));
                }
            }
            (None, Some(pattern)) => found.in_source = self.in_directories(pattern)?,
            (None, None) if selector.name.is_some() => {
                found.in_source = (0..self.projects.len()).collect();
            }
            (None, None) => {
                return Err(FilterError::Empty {
                    text: text.to_owned(),
                });
            }
        }
        if let Some(pattern) = &selector.name {
            found.in_source = self.named(&found.in_source, pattern);
        }
        Ok(found)
    }

    fn in_directories(&self, pattern: &DirectoryPattern) -> Result<Vec<usize>, FilterError> {
        let places = || 0..self.projects.len();
        let directory = |place: &usize| self.projects[*place].directory.as_path();
        if pattern.glob.is_empty() {
            return Ok(places()
                .filter(|place| directory(place) == pattern.base)
                .collect());
        }
        let glob = GlobBuilder::new(&pattern.glob)
            .literal_separator(true)
            .build()
            .map_err(|error| FilterError::Pattern {
                pattern: pattern.glob.to_string(),
                reason: error.kind().to_string(),
            })?
            .compile_matcher();
        // As in pnpm, `a/**` is `a` itself too.
        let itself: Option<PathBuf> = pattern
            .glob
            .strip_suffix("/**")
            .map(|start| pattern.base.join(start));
        let fits = |place: &usize| {
            let below = directory(place).strip_prefix(&pattern.base);
            below.is_ok_and(|path| glob.is_match(path))
                || Some(directory(place)) == itself.as_deref()
        };
        Ok(places().filter(fits).collect())
    }

    /// Those of `places` whose names fit. Where none does, a name without a scope stands for the
    /// only one that has it in some scope.
    fn named(&self, places: &[usize], pattern: &str) -> Vec<usize> {
        let matching = |pattern: &str| -> Vec<usize> {
            let patterns = NamePatterns::new(&[pattern.into()]);
            let name = |place: &usize| self.projects[*place].manifest.name.as_deref();
            let fits = |place: &usize| name(place).is_some_and(|name| patterns.matches(name));
            places.iter().copied().filter(fits).collect()
        };
        let found = matching(pattern);
        if !found.is_empty() || pattern.starts_with('@') || pattern.contains('/') {
            return found;
        }
        let scoped = matching(&format!("@*/{pattern}"));
        if scoped.len() == 1 {
            scoped
        } else {
            Vec::new()
        }
    }
}

/// What the filters of one kind have selected so far.
struct Walk<'a> {
    graph: &'a ProjectGraph,
    reversed: ProjectGraph,
    dependencies: IndexSet<usize>,
    dependents: IndexSet<usize>,
    dependencies_of_dependents: IndexSet<usize>,
    named: IndexSet<usize>,
}

impl<'a> Walk<'a> {
    fn new(graph: &'a ProjectGraph) -> Self {
        Self {
            graph,
            reversed: graph.reversed(),
            dependencies: IndexSet::new(),
            dependents: IndexSet::new(),
            dependencies_of_dependents: IndexSet::new(),
            named: IndexSet::new(),
        }
    }

    fn extend(&mut self, selector: &Selector, matches: &[usize]) {
        let with_start = !selector.exclude_self;
        if selector.with_dependencies {
            reach(self.graph, matches, with_start, &mut self.dependencies);
        }
        if selector.with_dependents {
            reach(&self.reversed, matches, with_start, &mut self.dependents);
        }
        if selector.with_dependencies && selector.with_dependents {
            let dependents: Vec<usize> = self.dependents.iter().copied().collect();
            let found = &mut self.dependencies_of_dependents;
            reach(self.graph, &dependents, false, found);
        }
        if !selector.with_dependencies && !selector.with_dependents {
            self.named.extend(matches);
        }
    }

    fn selected(self) -> IndexSet<usize> {
        let mut selected = self.dependencies;
        selected.extend(self.dependents);
        selected.extend(self.dependencies_of_dependents);
        selected.extend(self.named);
        selected
    }
}

/// Adds what can be reached from `from`, each before what it leads to; these themselves where
/// `with_start`, or where an edge leads to them.
fn reach(graph: &ProjectGraph, from: &[usize], with_start: bool, found: &mut IndexSet<usize>) {
    for place in from {
        if found.contains(place) {
            continue;
        }
        let mut open: Vec<usize> = match with_start {
            true => vec![*place],
            false => graph.of(*place).iter().rev().copied().collect(),
        };
        while let Some(place) = open.pop() {
            if found.insert(place) {
                open.extend(graph.of(place).iter().rev());
            }
        }
    }
}

#[cfg(test)]
mod tests;
