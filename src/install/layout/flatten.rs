//! Flattens a dependency graph into the tree of the hoisted linker.
//!
//! Each package starts below everything that depends on it. Then, from the root downwards, each
//! directory in turn takes in every package below it that nothing on the way would hide and that
//! loses sight of nothing by the move. Where several packages want one name, the one with most
//! dependents gets it. Rounds are made until nothing moves. The order of everything is the one of
//! Yarn's `nm` linker, which pnpm uses, since the order decides which of equal candidates wins.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use indexmap::{IndexMap, IndexSet};

use super::error::LayoutError;

/// A name in a `node_modules` directory, interned by the caller.
pub(super) type NameId = u32;

/// What a package is, whatever it is called: two nodes of one identity are interchangeable.
pub(super) type Identity = u32;

/// Place of a node in [`FlatTree`].
pub(super) type WorkIndex = usize;

/// Deepest chain of dependencies. What follows a chain is recursive, on a stack made for this.
const DEPTH_MAX: usize = 20_000;

/// A package at a place.
#[derive(Debug, Clone)]
pub(super) struct WorkNode {
    pub(super) name: NameId,
    pub(super) identity: Identity,
    /// What is in its `node_modules`, by name, in the order in which it came there.
    pub(super) dependencies: IndexMap<NameId, WorkIndex>,
    /// What it depends on and finds higher up.
    hoisted: IndexMap<NameId, WorkIndex>,
    /// What it depends on.
    original: Arc<HashSet<NameId>>,
    /// The names that must resolve as they do for its dependent.
    pub(super) peers: Arc<HashSet<NameId>>,
    /// Whether other parents share this node, so that it must be copied before it is changed.
    is_shared: bool,
    /// Nothing leaves it.
    is_border: bool,
    /// It stays where it is.
    is_fixed: bool,
}

/// A node to be flattened.
#[derive(Debug, Default)]
pub(super) struct NodeSpec {
    pub(super) name: NameId,
    pub(super) identity: Identity,
    /// Indices into the list of specs, in order.
    pub(super) dependencies: Vec<(NameId, usize)>,
    pub(super) peers: HashSet<NameId>,
    pub(super) is_border: bool,
    /// It is never moved.
    pub(super) is_fixed: bool,
}

/// The tree; node 0 is the root.
#[derive(Debug)]
pub(super) struct FlatTree {
    pub(super) nodes: Vec<WorkNode>,
    path_count: Vec<u32>,
    /// The first round may look for hidden names in a quicker way.
    is_first_round: bool,
}

/// Flattens the graph of `specs`, whose first one is the root.
///
/// # Errors
/// [`LayoutError::TooDeep`].
pub(super) fn flatten(specs: Vec<NodeSpec>) -> Result<FlatTree, LayoutError> {
    let identities = specs
        .iter()
        .map(|spec| spec.identity as usize + 1)
        .max()
        .unwrap_or_default();
    let mut tree = FlatTree {
        nodes: specs.into_iter().map(WorkNode::new).collect(),
        path_count: vec![0; identities],
        is_first_round: true,
    };
    tree.mark_shared();
    loop {
        let root = tree.nodes[0].identity;
        tree.path_count[root as usize] += 1;
        let outcome = tree.hoist_to(&mut vec![0], &HashMap::new(), &mut HashSet::new())?;
        tree.path_count[root as usize] -= 1;
        if !outcome.is_changed && !outcome.needs_another_round {
            return Ok(tree);
        }
        tree.is_first_round = false;
    }
}

impl WorkNode {
    fn new(spec: NodeSpec) -> Self {
        let dependencies: IndexMap<NameId, WorkIndex> = spec.dependencies.into_iter().collect();
        Self {
            name: spec.name,
            identity: spec.identity,
            original: Arc::new(dependencies.keys().copied().collect()),
            dependencies,
            hoisted: IndexMap::new(),
            peers: Arc::new(spec.peers),
            is_shared: false,
            is_border: spec.is_border,
            is_fixed: spec.is_fixed,
        }
    }
}

#[derive(Debug, Default, Clone, Copy)]
struct Outcome {
    is_changed: bool,
    needs_another_round: bool,
}

impl Outcome {
    fn add(&mut self, other: Self) {
        self.is_changed |= other.is_changed;
        self.needs_another_round |= other.needs_another_round;
    }
}

/// Whether a node can move up to the directory in question.
enum Verdict {
    Yes,
    No,
    /// It can if these nodes, its peers beside it, can.
    With(Vec<WorkIndex>),
}

/// Names that kept a node's dependency from moving past it.
type Shadows = HashMap<WorkIndex, HashSet<NameId>>;

/// What one directory takes in, and on which terms.
struct Pass<'p> {
    /// The directory.
    root: WorkIndex,
    /// What packages below it see from above it.
    used: IndexMap<NameId, Identity>,
    /// Who may have each name there now.
    preferred: HashMap<NameId, Identity>,
    parent_shadows: &'p Shadows,
    shadows: Shadows,
    seen: HashSet<WorkIndex>,
    outcome: Outcome,
}

impl FlatTree {
    /// Nodes that have more than one dependent, and all below them.
    fn mark_shared(&mut self) {
        let mut dependents = vec![0_u32; self.nodes.len()];
        for node in &self.nodes {
            for &child in node.dependencies.values() {
                dependents[child] += 1;
            }
        }
        let shared = |count: &u32| *count > 1;
        let mut queue: Vec<WorkIndex> = (0..self.nodes.len())
            .filter(|&node| shared(&dependents[node]))
            .collect();
        while let Some(node) = queue.pop() {
            if !std::mem::replace(&mut self.nodes[node].is_shared, true) {
                queue.extend(self.nodes[node].dependencies.values());
            }
        }
    }

    fn identity(&self, node: WorkIndex) -> Identity {
        self.nodes[node].identity
    }

    /// `node`'s dependencies that it does not want from its dependent, peers before those that
    /// need them.
    fn regular(&self, node: WorkIndex) -> IndexSet<WorkIndex> {
        let own = &self.nodes[node];
        let mut regular = IndexSet::with_capacity(own.dependencies.len());
        for (name, &dependency) in &own.dependencies {
            if !own.peers.contains(name) {
                self.add_regular(node, dependency, &mut HashSet::new(), &mut regular);
            }
        }
        regular
    }

    fn add_regular(
        &self,
        node: WorkIndex,
        dependency: WorkIndex,
        seen: &mut HashSet<WorkIndex>,
        regular: &mut IndexSet<WorkIndex>,
    ) {
        if !self.nodes[dependency].peers.is_empty() {
            if !seen.insert(dependency) {
                return;
            }
            let own = &self.nodes[node];
            // In the order of the dependencies, since a set has none.
            for (name, &peer) in &own.dependencies {
                let is_wanted = self.nodes[dependency].peers.contains(name);
                if is_wanted && !own.peers.contains(name) && !regular.contains(&peer) {
                    self.add_regular(node, peer, seen, regular);
                }
            }
        }
        regular.insert(dependency);
    }

    /// The copy of `node` that belongs to `parent` alone.
    fn unshared(&mut self, parent: WorkIndex, node: WorkIndex) -> WorkIndex {
        if !self.nodes[node].is_shared {
            return node;
        }
        let mut copy = self.nodes[node].clone();
        copy.is_shared = false;
        let index = self.nodes.len();
        let own = copy.dependencies.get(&copy.name).copied();
        if own.is_some_and(|own| self.identity(own) == copy.identity) {
            copy.dependencies.insert(copy.name, index);
        }
        let name = copy.name;
        self.nodes.push(copy);
        self.nodes[parent].dependencies.insert(name, index);
        index
    }

    /// Lets the last directory of `path` take in what it can, then those below it.
    fn hoist_to(
        &mut self,
        path: &mut Vec<WorkIndex>,
        parent_shadows: &Shadows,
        seen: &mut HashSet<WorkIndex>,
    ) -> Result<Outcome, LayoutError> {
        let root = path.last().copied().unwrap_or_default();
        if !seen.insert(root) {
            return Ok(Outcome::default());
        }
        let mut candidates = self.candidates(root)?;
        let used = if path.len() == 1 {
            IndexMap::new()
        } else {
            self.used(path)
        };
        let preferred = candidates
            .iter()
            .filter_map(|(name, identities)| Some((*name, *identities.first()?)))
            .collect();
        let mut pass = Pass {
            root,
            used,
            preferred,
            parent_shadows,
            shadows: Shadows::new(),
            seen: HashSet::new(),
            outcome: Outcome::default(),
        };
        loop {
            pass.seen.clear();
            self.take_in(&mut pass)?;
            let mut has_next = false;
            for (name, identities) in &mut candidates {
                if identities.len() > 1 && !self.nodes[root].dependencies.contains_key(name) {
                    identities.remove(0);
                    pass.preferred.insert(*name, identities[0]);
                    has_next = true;
                }
            }
            if !has_next {
                break;
            }
        }
        let Pass {
            shadows,
            mut outcome,
            ..
        } = pass;
        let below: Vec<WorkIndex> = self.nodes[root].dependencies.values().copied().collect();
        for node in below {
            let identity = self.identity(node) as usize;
            let is_peer = self.nodes[root].peers.contains(&self.nodes[node].name);
            if is_peer || self.path_count[identity] > 0 {
                continue;
            }
            self.path_count[identity] += 1;
            path.push(node);
            // Each subtree has its own set of seen nodes, as they are never shared.
            outcome.add(self.hoist_to(path, &shadows, &mut HashSet::new())?);
            path.pop();
            self.path_count[identity] -= 1;
        }
        Ok(outcome)
    }

    /// For each name, who could have it in `root`, the best first.
    fn candidates(&self, root: WorkIndex) -> Result<IndexMap<NameId, Vec<Identity>>, LayoutError> {
        let own = &self.nodes[root];
        let mut candidates: IndexMap<NameId, Vec<Identity>> =
            IndexMap::from([(own.name, vec![own.identity])]);
        for (name, &dependency) in &own.dependencies {
            if !own.peers.contains(name) {
                candidates.insert(*name, vec![self.identity(dependency)]);
            }
        }
        let mut dependents = IndexMap::new();
        let mut seen = HashSet::from([root]);
        for (name, &dependency) in &own.dependencies {
            if !own.peers.contains(name) {
                self.count_dependents(root, dependency, &mut seen, &mut dependents, 0)?;
            }
        }
        dependents.sort_by(|_, a: &Dependents, _, b| b.count().cmp(&a.count()));
        for (name, identity) in dependents.into_keys() {
            if !own.peers.contains(&name) {
                let identities = candidates.entry(name).or_default();
                if !identities.contains(&identity) {
                    identities.push(identity);
                }
            }
        }
        Ok(candidates)
    }

    fn count_dependents(
        &self,
        dependent: WorkIndex,
        node: WorkIndex,
        seen: &mut HashSet<WorkIndex>,
        dependents: &mut IndexMap<(NameId, Identity), Dependents>,
        depth: usize,
    ) -> Result<(), LayoutError> {
        if depth > DEPTH_MAX {
            return Err(LayoutError::TooDeep {
                depth_max: DEPTH_MAX,
            });
        }
        let own = &self.nodes[node];
        let entry = dependents.entry((own.name, own.identity)).or_default();
        entry.regular.insert(self.identity(dependent));
        if !seen.insert(node) {
            return Ok(());
        }
        for (name, &dependency) in &own.dependencies {
            let child = &self.nodes[dependency];
            let entry = dependents.entry((child.name, child.identity)).or_default();
            if own.peers.contains(name) {
                entry.peers.insert(own.identity);
            } else {
                self.count_dependents(node, dependency, seen, dependents, depth + 1)?;
            }
        }
        Ok(())
    }

    /// What the packages below the last directory of `path` see of the directories above it.
    fn used(&self, path: &[WorkIndex]) -> IndexMap<NameId, Identity> {
        let root = path.last().copied().unwrap_or_default();
        let mut used = IndexMap::new();
        let mut seen = HashSet::new();
        let mut queue = vec![(root, Arc::new(HashSet::new()))];
        while let Some((node, hidden)) = queue.pop() {
            if !seen.insert(node) {
                continue;
            }
            let own = &self.nodes[node];
            for (name, &hoisted) in &own.hoisted {
                if self.is_first_round {
                    used.insert(*name, self.identity(hoisted));
                } else if !hidden.contains(name) {
                    let reachable = path.iter().rev();
                    let mut reachable =
                        reachable.filter_map(|&above| self.nodes[above].dependencies.get(name));
                    if let Some(&above) = reachable.next() {
                        used.insert(*name, self.identity(above));
                    }
                }
            }
            let names = Arc::new(
                own.dependencies
                    .keys()
                    .copied()
                    .collect::<HashSet<NameId>>(),
            );
            for (name, &dependency) in own.dependencies.iter().rev() {
                if !own.peers.contains(name) {
                    queue.push((dependency, Arc::clone(&names)));
                }
            }
        }
        used
    }

    /// One pass over everything below the directory.
    fn take_in(&mut self, pass: &mut Pass<'_>) -> Result<(), LayoutError> {
        let mut fresh = self.regular(pass.root);
        while !fresh.is_empty() {
            let mut next = IndexSet::new();
            for node in fresh {
                if self.identity(node) == self.identity(pass.root) || self.nodes[node].is_border {
                    continue;
                }
                let node = self.unshared(pass.root, node);
                self.take_from(pass, &mut vec![pass.root], node, &mut next)?;
            }
            fresh = next;
        }
        Ok(())
    }

    /// Takes what can be taken out of `parent`, then out of what is left in it. `path` leads from
    /// the directory to `parent`, without it.
    fn take_from(
        &mut self,
        pass: &mut Pass<'_>,
        path: &mut Vec<WorkIndex>,
        parent: WorkIndex,
        fresh: &mut IndexSet<WorkIndex>,
    ) -> Result<(), LayoutError> {
        if path.len() > DEPTH_MAX {
            return Err(LayoutError::TooDeep {
                depth_max: DEPTH_MAX,
            });
        }
        if !pass.seen.insert(parent) {
            return Ok(());
        }
        path.push(parent);
        let mut has_moved = false;
        for node in self.movable(pass, path, parent) {
            has_moved = true;
            self.take(pass, parent, node, fresh);
        }
        pass.outcome.is_changed |= has_moved;
        let identity = self.identity(parent) as usize;
        self.path_count[identity] += 1;
        for node in self.regular(parent) {
            if self.path_count[self.identity(node) as usize] == 0 {
                let node = self.unshared(parent, node);
                self.take_from(pass, path, node, fresh)?;
            }
        }
        self.path_count[identity] -= 1;
        path.pop();
        Ok(())
    }

    fn take(
        &mut self,
        pass: &mut Pass<'_>,
        parent: WorkIndex,
        node: WorkIndex,
        fresh: &mut IndexSet<WorkIndex>,
    ) {
        let name = self.nodes[node].name;
        let was_hidden = pass
            .parent_shadows
            .get(&parent)
            .is_some_and(|names| names.contains(&name));
        pass.outcome.needs_another_round |= was_hidden;
        self.nodes[parent].dependencies.shift_remove(&name);
        self.nodes[parent].hoisted.insert(name, node);
        let is_there = self.nodes[pass.root].dependencies.contains_key(&name);
        if !is_there && self.identity(pass.root) != self.identity(node) {
            self.nodes[pass.root].dependencies.insert(name, node);
            fresh.insert(node);
        }
    }

    /// The dependencies of `parent` that can move to the directory.
    fn movable(
        &self,
        pass: &mut Pass<'_>,
        path: &[WorkIndex],
        parent: WorkIndex,
    ) -> Vec<WorkIndex> {
        let regular = self.regular(parent);
        let mut stays = HashSet::new();
        let mut queue = Vec::new();
        let mut needed_by: HashMap<WorkIndex, Vec<WorkIndex>> = HashMap::new();
        for &node in &regular {
            match self.verdict(pass, path, node) {
                Verdict::Yes => {}
                Verdict::No => queue.push(node),
                Verdict::With(peers) => {
                    for peer in peers {
                        needed_by.entry(peer).or_default().push(node);
                    }
                }
            }
        }
        while let Some(node) = queue.pop() {
            if stays.insert(node) {
                queue.extend(needed_by.get(&node).into_iter().flatten());
            }
        }
        regular
            .into_iter()
            .filter(|node| !stays.contains(node))
            .collect()
    }

    /// `path` leads from the directory to the node's parent, both included.
    fn verdict(&self, pass: &mut Pass<'_>, path: &[WorkIndex], node: WorkIndex) -> Verdict {
        let own = &self.nodes[node];
        let parent = path.last().copied().unwrap_or_default();
        let root = &self.nodes[pass.root];
        let is_free = own.identity != self.identity(parent)
            && !own.is_fixed
            && !root.peers.contains(&own.name)
            && pass
                .used
                .get(&own.name)
                .is_none_or(|used| *used == own.identity)
            && pass.preferred.get(&own.name) == Some(&own.identity);
        if !is_free {
            return Verdict::No;
        }
        for &above in path[1..].iter().rev() {
            let same_name = self.nodes[above].dependencies.get(&own.name);
            if same_name.is_some_and(|&other| self.identity(other) != own.identity) {
                pass.shadows.entry(parent).or_default().insert(own.name);
                return Verdict::No;
            }
        }
        let peers = self.peers_on_the_way(pass.root, path, node);
        let Some(peers) = peers else {
            return Verdict::No;
        };
        if !self.is_first_round {
            for (name, &needed) in &own.hoisted {
                let above = root
                    .dependencies
                    .get(name)
                    .map(|&above| self.identity(above));
                let seen = pass.used.get(name).copied().or(above);
                if seen != Some(self.identity(needed)) {
                    return Verdict::No;
                }
            }
        }
        if peers.is_empty() {
            Verdict::Yes
        } else {
            Verdict::With(peers)
        }
    }

    /// The peers of `node` beside it that must move with it; `None` where one of them is on the
    /// way, so that it would be lost.
    fn peers_on_the_way(
        &self,
        root: WorkIndex,
        path: &[WorkIndex],
        node: WorkIndex,
    ) -> Option<Vec<WorkIndex>> {
        let mut wanted: Vec<NameId> = self.nodes[node].peers.iter().copied().collect();
        wanted.sort_unstable();
        let mut beside = Vec::new();
        for (depth, &above) in path.iter().enumerate().skip(1).rev() {
            let above = &self.nodes[above];
            let mut is_lost = false;
            wanted.retain(|name| {
                if above.peers.contains(name) && above.original.contains(name) {
                    return true;
                }
                if let Some(&peer) = above.dependencies.get(name)
                    && self.nodes[root].dependencies.get(name) != Some(&peer)
                {
                    if depth == path.len() - 1 {
                        beside.push(peer);
                    } else {
                        is_lost = true;
                    }
                }
                false
            });
            if is_lost {
                return None;
            }
        }
        Some(beside)
    }
}

/// Who depends on a node.
#[derive(Debug, Default)]
struct Dependents {
    regular: HashSet<Identity>,
    peers: HashSet<Identity>,
}

impl Dependents {
    fn count(&self) -> usize {
        self.regular.len() + self.peers.len()
    }
}
