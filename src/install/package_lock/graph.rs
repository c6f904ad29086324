//! Who depends on whom: what Node would find for each dependency of each entry.

use std::collections::VecDeque;

use indexmap::IndexMap;

use super::location::{child, next_up};
use super::read::{Entry, Flags, PackageLock};
use crate::install::manifest::Manifest;
use crate::name::PackageName;

/// Place of an entry: 0 is the project, the others follow in the order of the lockfile.
pub(super) type EntryIndex = usize;

/// Why something is depended on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum EdgeKind {
    /// `dependencies`.
    Production,
    /// `devDependencies`.
    Development,
    /// `optionalDependencies`.
    Optional,
    /// `peerDependencies`.
    Peer,
    /// The same, with `optional` in `peerDependenciesMeta`.
    OptionalPeer,
    /// The project has it in `workspaces`.
    Workspace,
}

impl EdgeKind {
    /// Whether nothing fails without it.
    pub(super) fn is_optional(self) -> bool {
        matches!(self, Self::Optional | Self::OptionalPeer)
    }
}

/// A dependency.
#[derive(Debug, Clone)]
pub(super) struct Edge {
    /// Why.
    pub kind: EdgeKind,
    /// Under which name.
    pub alias: PackageName,
    /// What is asked for.
    pub specifier: Box<str>,
    /// What Node finds: a package, or a link. `None`: nothing.
    pub to: Option<EntryIndex>,
}

/// The entries of a lockfile as a graph.
#[derive(Debug)]
pub(super) struct Graph<'a> {
    /// The lockfile.
    pub lock: &'a PackageLock,
    /// The dependencies of each entry. Those of a link are its target's.
    pub edges: Vec<Vec<Edge>>,
}

impl<'a> Graph<'a> {
    /// Looks up every dependency. `root_edges` are those of the project, without what they lead
    /// to; `of_directory` gives those of a linked directory where its manifest is known.
    pub(super) fn new(
        lock: &'a PackageLock,
        root_edges: Vec<Edge>,
        of_directory: impl Fn(&str) -> Option<Vec<Edge>>,
    ) -> Self {
        let mut graph = Self {
            lock,
            edges: Vec::with_capacity(lock.entries.len() + 1),
        };
        graph.add("", root_edges);
        for (location, entry) in &lock.entries {
            let is_directory = entry
                .location
                .as_ref()
                .is_some_and(|location| location.depth() == 0);
            let edges = match is_directory.then(|| of_directory(location)).flatten() {
                Some(edges) => edges,
                None => edges_of(entry),
            };
            graph.add(location, edges);
        }
        graph
    }

    fn add(&mut self, from: &str, mut edges: Vec<Edge>) {
        for edge in &mut edges {
            edge.to = self.find(from, edge.alias.as_str());
        }
        self.edges.push(edges);
    }

    /// What Node finds for `name` in a file at `from`.
    pub(super) fn find(&self, from: &str, name: &str) -> Option<EntryIndex> {
        let mut at = Some(from);
        while let Some(place) = at {
            let key = child(place, name);
            if let Some(index) = self.lock.entries.get_index_of(key.as_str()) {
                return Some(index + 1);
            }
            at = next_up(place);
        }
        None
    }

    /// The entry.
    pub(super) fn entry(&self, index: EntryIndex) -> &'a Entry {
        match index {
            0 => &self.lock.root,
            index => &self.lock.entries[index - 1],
        }
    }

    /// Its location.
    pub(super) fn location(&self, index: EntryIndex) -> &'a str {
        match index.checked_sub(1) {
            None => "",
            Some(index) => self
                .lock
                .entries
                .get_index(index)
                .map_or("", |(location, _)| location),
        }
    }

    /// How many entries there are, the project among them.
    pub(super) fn len(&self) -> usize {
        self.edges.len()
    }

    /// What a link leads to; anything else is itself.
    pub(super) fn target(&self, index: EntryIndex) -> EntryIndex {
        let entry = self.entry(index);
        if !entry.is_link {
            return index;
        }
        let target = entry.resolved.as_deref().unwrap_or_default();
        if target.is_empty() {
            return 0;
        }
        let found = self.lock.entries.get_index_of(target);
        found.map_or(index, |found| found + 1)
    }

    /// What each entry is there for, worked out from the project's dependencies.
    pub(super) fn flags(&self) -> Vec<Flags> {
        let none = |_: EdgeKind| true;
        let dev = |kind| kind != EdgeKind::Development;
        let optional = |kind: EdgeKind| !kind.is_optional();
        let both = |kind| dev(kind) && optional(kind);
        let peer = |kind| !matches!(kind, EdgeKind::Peer | EdgeKind::OptionalPeer);
        let reached = self.reached(none);
        let needed = self.needed();
        let without_dev = self.reached(dev);
        let without_optional = self.reached(optional);
        let without_both = self.reached(both);
        let without_peer = self.reached(peer);
        (0..self.len())
            .map(|index| {
                let (dev, optional) = (!without_dev[index], !without_optional[index]);
                let is_reached = reached[index];
                Flags {
                    dev: is_reached && dev,
                    optional: is_reached && optional,
                    dev_optional: is_reached && !without_both[index] && !dev && !optional,
                    peer: is_reached && !without_peer[index],
                    extraneous: !needed[index],
                }
            })
            .collect()
    }

    /// What somebody needs, and what that is in the way to. Optional peers are not needed, also
    /// where they are locked: npm leaves them out since version 11.
    pub(super) fn needed(&self) -> Vec<bool> {
        let mut needed = self.reached(|kind| kind != EdgeKind::OptionalPeer);
        for index in 1..self.len() {
            let mut above = next_up(self.location(index)).filter(|_| needed[index]);
            while let Some(outer) = above {
                if let Some(found) = self.lock.entries.get_index_of(outer) {
                    needed[found + 1] = true;
                }
                above = next_up(outer);
            }
        }
        needed
    }

    /// What the project leads to by edges that `follows` admits.
    pub(super) fn reached(&self, follows: impl Fn(EdgeKind) -> bool) -> Vec<bool> {
        self.reached_from(&self.edges[0], follows)
    }

    /// What the project leads to without going through a link.
    pub(super) fn reached_beside_links(&self) -> Vec<bool> {
        let mut reached = vec![false; self.len()];
        let mut open: Vec<EntryIndex> = vec![0];
        while let Some(index) = open.pop() {
            let is_new = !std::mem::replace(&mut reached[index], true);
            if is_new && !self.entry(index).is_link {
                open.extend(self.edges[index].iter().filter_map(|edge| edge.to));
            }
        }
        reached
    }

    /// What `edges` lead to.
    pub(super) fn reached_from(
        &self,
        edges: &[Edge],
        follows: impl Fn(EdgeKind) -> bool,
    ) -> Vec<bool> {
        let mut reached = vec![false; self.len()];
        reached[0] = true;
        let mut queue: VecDeque<EntryIndex> = VecDeque::new();
        let mut take = |edge: &Edge, queue: &mut VecDeque<EntryIndex>| {
            if let Some(to) = edge.to.filter(|_| follows(edge.kind)) {
                for to in [to, self.target(to)] {
                    if !std::mem::replace(&mut reached[to], true) {
                        queue.push_back(to);
                    }
                }
            }
        };
        for edge in edges {
            take(edge, &mut queue);
        }
        while let Some(index) = queue.pop_front() {
            for edge in &self.edges[index] {
                take(edge, &mut queue);
            }
        }
        reached
    }
}

/// The dependencies of an entry, without what they lead to.
pub(super) fn edges_of(entry: &Entry) -> Vec<Edge> {
    let is_project = entry
        .location
        .as_ref()
        .is_some_and(|location| location.depth() == 0);
    let mut edges = Edges::default();
    for (alias, specifier) in &entry.peer_dependencies {
        let kind = match entry.optional_peers.contains(alias) {
            true => EdgeKind::OptionalPeer,
            false => EdgeKind::Peer,
        };
        edges.put(kind, alias, specifier);
    }
    edges.put_all(EdgeKind::Production, &entry.dependencies);
    edges.put_all(EdgeKind::Optional, &entry.optional_dependencies);
    if is_project {
        edges.put_all(EdgeKind::Development, &entry.dev_dependencies);
    }
    edges.into_vec()
}

/// The dependencies of a project as its manifest has them.
pub(super) fn edges_of_manifest(manifest: &Manifest) -> Vec<Edge> {
    let mut edges = Edges::default();
    let meta = manifest.peer_dependencies_meta.as_ref();
    for (alias, specifier) in &manifest.peer_dependencies {
        let own = meta.and_then(|meta| meta.get(alias.as_str()));
        let kind = match own.and_then(|own| own["optional"].as_bool()) {
            Some(true) => EdgeKind::OptionalPeer,
            _ => EdgeKind::Peer,
        };
        edges.put(kind, alias, specifier);
    }
    edges.put_all(EdgeKind::Production, &manifest.dependencies);
    edges.put_all(EdgeKind::Optional, &manifest.optional_dependencies);
    edges.put_all(EdgeKind::Development, &manifest.dev_dependencies);
    edges.into_vec()
}

/// Dependencies by name. As npm has it, the group that is put in last has the name.
#[derive(Default)]
pub(super) struct Edges(IndexMap<PackageName, Edge>);

impl Edges {
    pub(super) fn put(&mut self, kind: EdgeKind, alias: &PackageName, specifier: &str) {
        let edge = Edge {
            kind,
            alias: alias.clone(),
            specifier: specifier.into(),
            to: None,
        };
        self.0.insert(alias.clone(), edge);
    }

    fn put_all<'m>(
        &mut self,
        kind: EdgeKind,
        map: impl IntoIterator<Item = (&'m PackageName, &'m Box<str>)>,
    ) {
        for (alias, specifier) in map {
            self.put(kind, alias, specifier);
        }
    }

    pub(super) fn into_vec(self) -> Vec<Edge> {
        self.0.into_values().collect()
    }
}
