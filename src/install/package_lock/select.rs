//! What of a lockfile is installed: by group, and by what runs on this machine.

use std::collections::BTreeSet;

use super::graph::{EdgeKind, EntryIndex, Graph};
use super::read::Flags;
use crate::install::select::IncludedGroups;

/// Which entries are installed. `fits` tells of an entry whether the machine can have it.
pub(super) fn chosen(
    graph: &Graph<'_>,
    flags: &[Flags],
    groups: IncludedGroups,
    fits: impl Fn(EntryIndex) -> bool,
) -> Vec<bool> {
    let mut is_there: Vec<bool> = (0..graph.len())
        .map(|index| !flags[index].extraneous && !is_omitted(graph, index, flags[index], groups))
        .collect();
    if !groups.production {
        let wanted = graph.reached(|_| true);
        let development: Vec<_> = graph.edges[0]
            .iter()
            .filter(|edge| edge.kind == EdgeKind::Development)
            .cloned()
            .collect();
        let of_development = graph.reached_from(&development, |_| true);
        for (index, is_there) in is_there.iter_mut().enumerate() {
            *is_there &= of_development[index] || !wanted[index];
        }
    }
    let incoming = incoming(graph);
    let mut is_inert = vec![false; graph.len()];
    for index in 1..graph.len() {
        if flags[index].optional && !is_inert[index] && !fits(index) {
            for gone in optional_set(graph, &incoming, &is_inert, index) {
                is_inert[gone] = true;
            }
        }
    }
    for (is_there, is_inert) in is_there.iter_mut().zip(is_inert) {
        *is_there &= !is_inert;
    }
    is_there
}

/// Entries below a directory that is linked from elsewhere are never omitted.
fn is_omitted(graph: &Graph<'_>, index: EntryIndex, flags: Flags, groups: IncludedGroups) -> bool {
    let entry = graph.entry(index);
    let is_directory = entry
        .location
        .as_ref()
        .is_some_and(|location| location.depth() == 0);
    let (no_dev, no_optional) = (!groups.development, !groups.optional);
    !is_directory
        && ((flags.dev && no_dev)
            || (flags.optional && no_optional)
            || (flags.dev_optional && no_dev && no_optional))
}

/// Who depends on each entry, and whether by an optional dependency.
fn incoming(graph: &Graph<'_>) -> Vec<Vec<(EntryIndex, bool)>> {
    let mut incoming = vec![Vec::new(); graph.len()];
    for (from, edges) in graph.edges.iter().enumerate() {
        for edge in edges {
            if let Some(to) = edge.to {
                incoming[to].push((from, edge.kind.is_optional()));
            }
        }
    }
    incoming
}

/// What has to go with an optional package that cannot be there: those that cannot do without it,
/// up to where something is optional, and what only they need.
fn optional_set(
    graph: &Graph<'_>,
    incoming: &[Vec<(EntryIndex, bool)>],
    is_inert: &[bool],
    start: EntryIndex,
) -> BTreeSet<EntryIndex> {
    let mut set = BTreeSet::from([start]);
    let mut open = vec![start];
    while let Some(index) = open.pop() {
        for (from, is_optional) in &incoming[index] {
            if !is_optional && *from != 0 && set.insert(*from) {
                open.push(*from);
            }
        }
    }
    let boundary = set.clone();
    let mut open: Vec<EntryIndex> = set.iter().copied().collect();
    while let Some(index) = open.pop() {
        for to in graph.edges[index].iter().filter_map(|edge| edge.to) {
            if set.insert(to) {
                open.push(to);
            }
        }
    }
    loop {
        let needed = |index: &EntryIndex| {
            !boundary.contains(index)
                && incoming[*index]
                    .iter()
                    .any(|(from, _)| !set.contains(from) && !is_inert[*from])
        };
        let kept: Vec<EntryIndex> = set.iter().copied().filter(|index| needed(index)).collect();
        if kept.is_empty() {
            return set;
        }
        for index in kept {
            set.remove(&index);
        }
    }
}
