//! Fewer instances of the same package: copies of projects that would be what the project has
//! anyway become links, and an instance with fewer peers gives way to one with more.

use std::path::Path;

use rustc_hash::{FxHashMap, FxHashSet};

use super::forest::{Forest, PackageIndex};
use super::peers::{Graph, Instance, Project, Segment};
use super::symbols::Symbol;

/// Dependencies and peers of an instance.
fn size(instance: &Instance) -> usize {
    instance.children.len() + instance.resolved_peers.len()
}

/// Instance → peers that a project which needs it was not given though they were there.
type Skipped = FxHashMap<Symbol, FxHashSet<Symbol>>;

/// What each project was not given, for every instance that it needs.
fn skipped(graph: &Graph, projects: &[Project]) -> Skipped {
    let mut skipped = Skipped::default();
    for (project, direct) in projects.iter().zip(&graph.direct) {
        if project.skipped_peers.is_empty() {
            continue;
        }
        for path in reached(graph, direct.iter().map(|(_, path)| *path)) {
            let names = skipped.entry(path).or_default();
            names.extend(&project.skipped_peers);
        }
    }
    skipped
}

/// Whether `larger` has a peer that nobody who needs `smaller` may be given.
fn has_skipped(graph: &Graph, skipped: &Skipped, larger: Symbol, smaller: Symbol) -> bool {
    let peers = |path: Symbol| graph.instances.get(&path).map(|one| &one.resolved_peers);
    let (Some(names), Some(larger), Some(smaller)) =
        (skipped.get(&smaller), peers(larger), peers(smaller))
    else {
        return false;
    };
    let mut added = larger.difference(smaller);
    added.any(|name| names.contains(name))
}

/// Whether everything that `smaller` has is what `larger` has.
fn absorbs(larger: &Instance, smaller: &Instance) -> bool {
    if size(larger) < size(smaller) {
        return false;
    }
    let children: FxHashSet<Symbol> = larger.children.values().copied().collect();
    smaller
        .children
        .values()
        .all(|child| children.contains(child))
        && smaller.resolved_peers.is_subset(&larger.resolved_peers)
}

/// Projects' dependencies on copies of projects become links where the copy would have nothing
/// but what the project has.
pub(super) fn injected(
    graph: &mut Graph,
    forest: &Forest,
    projects: &[Project],
    lockfile_directory: &Path,
) {
    let place: FxHashMap<&str, usize> = projects
        .iter()
        .enumerate()
        .map(|(at, project)| (&*project.id, at))
        .collect();
    let mut changes = Vec::new();
    for (at, direct) in graph.direct.iter().enumerate() {
        for (dependency, (_, path)) in direct.iter().enumerate() {
            let Some(instance) = graph.instances.get(path) else {
                continue;
            };
            let id = &*forest.package(instance.package).id;
            let directory = id
                .strip_prefix("file:")
                .or_else(|| id.split_once("@file:").map(|(_, path)| path));
            let target = directory.and_then(|directory| {
                place.get(if directory.is_empty() { "." } else { directory })
            });
            if let Some(target) = target
                && has_same_children(
                    graph,
                    instance,
                    &graph.direct[*target],
                    (&projects[*target].directory, lockfile_directory),
                )
            {
                changes.push((at, dependency, *target));
            }
        }
    }
    if changes.is_empty() {
        return;
    }
    for (at, dependency, target) in changes {
        let link = format!("link:{}", projects[target].id);
        graph.direct[at][dependency].1 = graph.paths.of(&link);
    }
    prune(graph);
}

/// Whether `project` has all that its copy has. Of links pnpm compares the texts, and those are
/// relative to the project and to the lockfile.
fn has_same_children(
    graph: &Graph,
    copy: &Instance,
    project: &[(Symbol, Symbol)],
    (directory, lockfile_directory): (&Path, &Path),
) -> bool {
    copy.children.iter().all(|(alias, child)| {
        let Some((_, own)) = project.iter().find(|(name, _)| name == alias) else {
            return false;
        };
        match graph.text(*own).strip_prefix("link:") {
            Some(target) => {
                let link = link_from(directory, lockfile_directory, target);
                graph.text(*child).strip_prefix("link:") == Some(&*link)
            }
            None => has_all_of(graph, *own, *child, &mut FxHashSet::default()),
        }
    })
}

/// Whether `larger` is `smaller`, or an instance of the same package that has all its peers, and
/// the same is true of everything below them. `above`: pairs that are being looked at.
fn has_all_of(
    graph: &Graph,
    larger: Symbol,
    smaller: Symbol,
    above: &mut FxHashSet<(Symbol, Symbol)>,
) -> bool {
    if larger == smaller || above.contains(&(larger, smaller)) {
        return true;
    }
    let instances = &graph.instances;
    let (Some(one), Some(other)) = (instances.get(&larger), instances.get(&smaller)) else {
        return false;
    };
    if one.package != other.package || !other.resolved_peers.is_subset(&one.resolved_peers) {
        return false;
    }
    above.insert((larger, smaller));
    other.children.iter().all(|(alias, child)| {
        let own = one.children.get(alias);
        own.is_some_and(|own| has_all_of(graph, *own, *child, above))
    })
}

/// Instances of one package of which one has all that another has become that one. Suffixes are
/// at most `suffix_length_max` bytes.
pub(super) fn peer_dependents(
    graph: &mut Graph,
    forest: &Forest,
    projects: &[Project],
    suffix_length_max: usize,
) {
    let skipped = skipped(graph, projects);
    let mut by_package: FxHashMap<PackageIndex, Vec<Symbol>> = FxHashMap::default();
    for (path, instance) in &graph.instances {
        by_package.entry(instance.package).or_default().push(*path);
    }
    let mut several: Groups = by_package
        .into_values()
        .filter(|paths| paths.len() > 1)
        .collect();
    let mut merged = Merged::default();
    while !several.is_empty() {
        let before = several.len();
        let (mut round, mut rest) = one_round(graph, &several, |larger, smaller| {
            absorbs(&graph.instances[&larger], &graph.instances[&smaller])
                && !has_skipped(graph, &skipped, larger, smaller)
        });
        let is_last = rest.len() == before || round.is_empty();
        if is_last {
            replace(graph, &round);
            merged.extend(round);
            let pairs = absorbed_on_cycles(graph, &skipped, &rest);
            (round, rest) = one_round(graph, &rest, |larger, smaller| {
                pairs.contains(&(smaller, larger))
            });
        }
        replace(graph, &round);
        let is_done = is_last && round.is_empty();
        merged.extend(round);
        if is_done {
            break;
        }
        several = rest;
    }
    if merged.is_empty() {
        return;
    }
    for (_, path) in graph.direct.iter_mut().flatten() {
        if let Some(target) = merged.get(path) {
            *path = *target;
        }
    }
    prune(graph);
    rename(graph, forest, &merged, suffix_length_max);
}

/// Gives those whose suffix names what became another the name of that other in it.
fn rename(graph: &mut Graph, forest: &Forest, merged: &Merged, length_max: usize) {
    let mut renamed = Merged::default();
    let paths: Vec<Symbol> = graph.instances.keys().copied().collect();
    for path in paths {
        name_anew(graph, forest, merged, length_max, path, &mut renamed);
    }
    renamed.retain(|path, new| path != new);
    if renamed.is_empty() {
        return;
    }
    replace(graph, &renamed);
    for (_, path) in graph.direct.iter_mut().flatten() {
        if let Some(new) = renamed.get(path) {
            *path = *new;
        }
    }
    for (path, new) in renamed {
        if let Some(instance) = graph.instances.remove(&path) {
            graph.instances.entry(new).or_insert(instance);
        }
    }
}

/// The path that takes the place of `path`.
fn name_anew(
    graph: &mut Graph,
    forest: &Forest,
    merged: &Merged,
    length_max: usize,
    path: Symbol,
    renamed: &mut Merged,
) -> Symbol {
    if let Some(known) = renamed.get(&path) {
        return *known;
    }
    let target = merged.get(&path).copied().unwrap_or(path);
    let mut new = target;
    if let Some(mut segments) = graph.suffixes.get(&target).cloned()
        && let Some(instance) = graph.instances.get(&target)
    {
        let id = &forest.package(instance.package).id;
        let mut changes = false;
        for segment in &mut segments {
            if let Segment::Path(peer) = segment {
                let other = name_anew(graph, forest, merged, length_max, *peer, renamed);
                changes |= other != *peer;
                *peer = other;
            }
        }
        if changes {
            new = graph.path_of(id, segments, length_max);
        }
    }
    renamed.insert(path, new);
    new
}

/// Instances of the same package.
type Groups = Vec<Vec<Symbol>>;

/// Who became whom.
type Merged = FxHashMap<Symbol, Symbol>;

/// Lets everybody have `merged` in place of what became that.
fn replace(graph: &mut Graph, merged: &Merged) {
    for instance in graph.instances.values_mut() {
        for child in instance.children.values_mut() {
            if let Some(target) = merged.get(child) {
                *child = *target;
            }
        }
    }
}

/// Smaller and larger instances of which the larger has all that the smaller has, or has instances
/// of which the same is true: on a cycle no instance could become another before the others did.
fn absorbed_on_cycles(
    graph: &Graph,
    skipped: &Skipped,
    groups: &[Vec<Symbol>],
) -> FxHashSet<(Symbol, Symbol)> {
    let mut pairs: FxHashSet<(Symbol, Symbol)> = FxHashSet::default();
    for group in groups {
        let ordered = group
            .iter()
            .flat_map(|smaller| group.iter().map(move |larger| (*smaller, *larger)));
        pairs.extend(ordered.filter(|(smaller, larger)| {
            let (one, other) = (&graph.instances[smaller], &graph.instances[larger]);
            smaller != larger
                && size(one) <= size(other)
                && one.resolved_peers.is_subset(&other.resolved_peers)
                && !has_skipped(graph, skipped, *larger, *smaller)
        }));
    }
    loop {
        let fits = |(smaller, larger): &(Symbol, Symbol)| {
            let larger = &graph.instances[larger].children;
            let mut children = graph.instances[smaller].children.iter();
            children.all(|(alias, child)| {
                larger
                    .get(alias)
                    .is_some_and(|other| child == other || pairs.contains(&(*child, *other)))
            })
        };
        let left: FxHashSet<(Symbol, Symbol)> = pairs.iter().copied().filter(fits).collect();
        if left.len() == pairs.len() {
            return pairs;
        }
        pairs = left;
    }
}

/// Who becomes whom, and the groups of which some are left.
fn one_round(
    graph: &Graph,
    groups: &[Vec<Symbol>],
    absorbs: impl Fn(Symbol, Symbol) -> bool,
) -> (Merged, Groups) {
    let mut merged = Merged::default();
    let mut rest = Vec::new();
    let by_size = |paths: &mut Vec<Symbol>| {
        paths.sort_by(|left, right| {
            let key = |path: &Symbol| (size(&graph.instances[path]), graph.text(*path));
            key(left).cmp(&key(right))
        });
    };
    for group in groups {
        let mut left: FxHashSet<Symbol> = group.iter().copied().collect();
        let mut current = group.clone();
        by_size(&mut current);
        while let Some(largest) = current.pop() {
            let mut next = Vec::new();
            while let Some(candidate) = current.pop() {
                if absorbs(largest, candidate) {
                    merged.insert(candidate, largest);
                    left.remove(&largest);
                    left.remove(&candidate);
                } else {
                    next.push(candidate);
                }
            }
            current = next;
            by_size(&mut current);
        }
        if !left.is_empty() {
            rest.push(left.into_iter().collect());
        }
    }
    (merged, rest)
}

/// Drops instances that nothing leads to any more.
fn prune(graph: &mut Graph) {
    let direct = graph.direct.iter().flatten();
    let reached = reached(graph, direct.map(|(_, path)| *path));
    graph.instances.retain(|path, _| reached.contains(path));
}

/// All that is reached from `paths`.
fn reached(graph: &Graph, paths: impl Iterator<Item = Symbol>) -> FxHashSet<Symbol> {
    let mut reached: FxHashSet<Symbol> = FxHashSet::default();
    let mut open: Vec<Symbol> = paths.collect();
    while let Some(path) = open.pop() {
        if reached.insert(path)
            && let Some(instance) = graph.instances.get(&path)
        {
            open.extend(instance.children.values());
        }
    }
    reached
}

/// Where a link of a project leads, as text relative to the project.
pub(super) fn link_from(project: &Path, lockfile_directory: &Path, link: &str) -> String {
    let target = super::local::absolute(lockfile_directory, link);
    super::local::relative_text(project, &target)
}
