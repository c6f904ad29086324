//! Flattens a dependency graph into the tree of the hoisted linker.
//!
//! Each package starts below everything that depends on it. Then, from the root downwards, each
//! directory in turn takes in every package below it that nothing on the way would hide and that
//! loses sight of nothing by the move. Where several packages want one name, the one with most
//! dependents gets it. Rounds are made until nothing moves. The order of everything is pnpm's,
//! since the order decides which of equal candidates wins.

use std::collections::{HashMap, HashSet, VecDeque};
use std::sync::Arc;

use indexmap::IndexMap;

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
    hoisted: HashMap<NameId, Identity>,
    /// The names that must resolve as they do for its dependent.
    peers: Arc<HashSet<NameId>>,
    /// While it takes in, nothing leaves packages of these names.
    borders: Arc<HashSet<NameId>>,
    /// Whether no other place has this node, so that it may be changed.
    is_own: bool,
}

/// A node to be flattened.
#[derive(Debug, Default)]
pub(super) struct NodeSpec {
    pub(super) name: NameId,
    pub(super) identity: Identity,
    /// Indices into the list of specs, in order.
    pub(super) dependencies: Vec<(NameId, usize)>,
    pub(super) peers: HashSet<NameId>,
    pub(super) borders: HashSet<NameId>,
}

/// The tree; node 0 is the root.
#[derive(Debug)]
pub(super) struct FlatTree {
    pub(super) nodes: Vec<WorkNode>,
}

/// Flattens the graph of `specs`, whose first one is the root.
///
/// # Errors
/// [`LayoutError::TooDeep`].
pub(super) fn flatten(specs: Vec<NodeSpec>) -> Result<FlatTree, LayoutError> {
    let mut tree = FlatTree {
        nodes: specs.into_iter().map(WorkNode::new).collect(),
    };
    tree.nodes[0].is_own = true;
    let mut on_path = HashSet::from([tree.nodes[0].identity]);
    tree.fill(0, &mut on_path)?;
    Ok(tree)
}

impl WorkNode {
    fn new(spec: NodeSpec) -> Self {
        Self {
            name: spec.name,
            identity: spec.identity,
            dependencies: spec.dependencies.into_iter().collect(),
            hoisted: HashMap::new(),
            peers: Arc::new(spec.peers),
            borders: Arc::new(spec.borders),
            is_own: false,
        }
    }
}

/// For each name, who could have it in a directory, the best first.
type Candidates = HashMap<NameId, VecDeque<Identity>>;

/// What one directory takes in, and on which terms.
struct Pass {
    /// The directory.
    root: WorkIndex,
    /// What packages below it see from above it.
    used: HashMap<NameId, Identity>,
    candidates: Candidates,
    borders: Arc<HashSet<NameId>>,
}

/// What happens to a dependency of a package below the directory.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Verdict {
    /// It moves to the directory.
    Moves,
    /// The directory has it already.
    IsThere,
    Stays,
}

impl FlatTree {
    fn identity(&self, node: WorkIndex) -> Identity {
        self.nodes[node].identity
    }

    fn has(&self, node: WorkIndex, name: NameId) -> Option<Identity> {
        let dependency = self.nodes[node].dependencies.get(&name);
        dependency.map(|&dependency| self.identity(dependency))
    }

    /// The copy of `node` that is `parent`'s alone.
    fn own(&mut self, parent: WorkIndex, node: WorkIndex) -> WorkIndex {
        if self.nodes[node].is_own {
            return node;
        }
        let mut copy = self.nodes[node].clone();
        copy.is_own = true;
        let index = self.nodes.len();
        self.nodes[parent].dependencies.insert(copy.name, index);
        self.nodes.push(copy);
        index
    }

    /// Lets `root` take in what it can, then each of what is in it then.
    fn fill(
        &mut self,
        root: WorkIndex,
        on_path: &mut HashSet<Identity>,
    ) -> Result<(), LayoutError> {
        if on_path.len() > DEPTH_MAX {
            return Err(too_deep());
        }
        let used = if root == 0 {
            HashMap::new()
        } else {
            self.used(root)
        };
        let mut pass = Pass {
            root,
            used,
            candidates: self.candidates(root)?,
            borders: Arc::clone(&self.nodes[root].borders),
        };
        loop {
            let mut is_changed = self.take_in(&pass)?;
            for (name, candidates) in &mut pass.candidates {
                if candidates.len() > 1 && !self.nodes[root].dependencies.contains_key(name) {
                    candidates.pop_front();
                    is_changed = true;
                }
            }
            if !is_changed {
                break;
            }
        }
        let inside: Vec<WorkIndex> = self.nodes[root].dependencies.values().copied().collect();
        for node in inside {
            let identity = self.identity(node);
            let is_peer = self.nodes[root].peers.contains(&self.nodes[node].name);
            if is_peer || !on_path.insert(identity) {
                continue;
            }
            let node = self.own(root, node);
            self.fill(node, on_path)?;
            on_path.remove(&identity);
        }
        Ok(())
    }

    /// What the packages below `root` see of the directories above it.
    fn used(&self, root: WorkIndex) -> HashMap<NameId, Identity> {
        let mut used = HashMap::new();
        let mut seen = HashSet::new();
        let mut pending = vec![root];
        while let Some(node) = pending.pop() {
            if !seen.insert(node) {
                continue;
            }
            let own = &self.nodes[node];
            used.extend(
                own.hoisted
                    .iter()
                    .map(|(name, identity)| (*name, *identity)),
            );
            let regular = own.dependencies.iter();
            let regular = regular.filter(|(name, _)| !own.peers.contains(name));
            pending.extend(regular.map(|(_, dependency)| *dependency));
        }
        used
    }

    fn candidates(&self, root: WorkIndex) -> Result<Candidates, LayoutError> {
        let own = &self.nodes[root];
        let mut candidates = Candidates::from([(own.name, VecDeque::from([own.identity]))]);
        let mut dependents = IndexMap::new();
        let mut seen = HashSet::from([root]);
        for (name, &dependency) in &own.dependencies {
            if !own.peers.contains(name) {
                candidates.insert(*name, VecDeque::from([self.identity(dependency)]));
                self.count_dependents(root, dependency, &mut seen, &mut dependents, 0)?;
            }
        }
        dependents.sort_by(|_, a: &Dependents, _, b| b.count().cmp(&a.count()));
        for (name, identity) in dependents.into_keys() {
            if !own.peers.contains(&name) {
                let identities = candidates.entry(name).or_default();
                if !identities.contains(&identity) {
                    identities.push_back(identity);
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
            return Err(too_deep());
        }
        let own = &self.nodes[node];
        let entry = dependents.entry((own.name, own.identity)).or_default();
        entry.regular.insert(self.identity(dependent));
        if !seen.insert(node) {
            return Ok(());
        }
        for (name, &dependency) in &own.dependencies {
            if own.peers.contains(name) {
                let key = (*name, self.identity(dependency));
                dependents
                    .entry(key)
                    .or_default()
                    .peers
                    .insert(own.identity);
            } else {
                self.count_dependents(node, dependency, seen, dependents, depth + 1)?;
            }
        }
        Ok(())
    }

    /// One pass over everything below the directory; says whether anything moved.
    fn take_in(&mut self, pass: &Pass) -> Result<bool, LayoutError> {
        let own = self.nodes[pass.root].dependencies.values();
        let mut fresh: Vec<WorkIndex> = own.copied().collect();
        let mut is_changed = false;
        while !fresh.is_empty() {
            let mut next = Vec::new();
            for node in fresh {
                if self.is_on(&[pass.root], node) {
                    let name = self.nodes[node].name;
                    self.nodes[pass.root].dependencies.shift_remove(&name);
                    continue;
                }
                let node = self.own(pass.root, node);
                is_changed |= self.take_from(pass, &mut vec![pass.root], node, false, &mut next)?;
            }
            fresh = next;
        }
        Ok(is_changed)
    }

    /// Takes what can be taken out of `parent`, then out of what is left in it. `path` leads from
    /// the directory to `parent`, without it.
    fn take_from(
        &mut self,
        pass: &Pass,
        path: &mut Vec<WorkIndex>,
        parent: WorkIndex,
        is_behind_border: bool,
        fresh: &mut Vec<WorkIndex>,
    ) -> Result<bool, LayoutError> {
        if path.len() > DEPTH_MAX {
            return Err(too_deep());
        }
        let is_behind_border = is_behind_border || pass.borders.contains(&self.nodes[parent].name);
        let mut is_changed = false;
        path.push(parent);
        let dependencies: Vec<WorkIndex> =
            self.nodes[parent].dependencies.values().copied().collect();
        for &node in &dependencies {
            let WorkNode { name, identity, .. } = self.nodes[node];
            if self.is_on(path, node) {
                // It finds itself on the way up.
                self.nodes[parent].dependencies.shift_remove(&name);
                is_changed = true;
                continue;
            }
            let verdict = if is_behind_border {
                Verdict::Stays
            } else {
                self.verdict(pass, path, node)
            };
            if verdict != Verdict::Stays {
                self.nodes[parent].dependencies.shift_remove(&name);
                self.nodes[parent].hoisted.insert(name, identity);
                is_changed = true;
            }
            if verdict == Verdict::Moves {
                self.nodes[pass.root].dependencies.insert(name, node);
                fresh.push(node);
            }
        }
        let left: Vec<WorkIndex> = self.nodes[parent].dependencies.values().copied().collect();
        for node in left {
            let node = self.own(parent, node);
            is_changed |= self.take_from(pass, path, node, is_behind_border, fresh)?;
        }
        path.pop();
        Ok(is_changed)
    }

    /// Whether a package of this name and identity is on the way.
    fn is_on(&self, path: &[WorkIndex], node: WorkIndex) -> bool {
        let node = &self.nodes[node];
        path.iter().any(|&above| {
            let above = &self.nodes[above];
            (above.name, above.identity) == (node.name, node.identity)
        })
    }

    /// `path` leads from the directory to the node's parent, both included.
    fn verdict(&self, pass: &Pass, path: &[WorkIndex], node: WorkIndex) -> Verdict {
        let WorkNode { name, identity, .. } = self.nodes[node];
        let present = self.has(pass.root, name);
        let may_have = match present {
            Some(present) => present == identity,
            None => {
                let candidates = pass.candidates.get(&name);
                let preferred = candidates.and_then(|candidates| candidates.front());
                preferred.is_none_or(|preferred| *preferred == identity)
            }
        };
        let is_other = |other: Option<Identity>| other.is_some_and(|other| other != identity);
        let is_hidden = || {
            path[1..]
                .iter()
                .any(|&above| is_other(self.has(above, name)))
        };
        let stays = !may_have
            || is_other(pass.used.get(&name).copied())
            || is_hidden()
            || self.loses_peer(pass.root, path, node);
        if stays {
            Verdict::Stays
        } else if present.is_some() {
            Verdict::IsThere
        } else {
            Verdict::Moves
        }
    }

    /// Whether the node would see another peer from the directory than it does now.
    fn loses_peer(&self, root: WorkIndex, path: &[WorkIndex], node: WorkIndex) -> bool {
        let own = &self.nodes[node];
        let is_lost = |name: &NameId| {
            let seen = path.iter().rev().find_map(|&above| self.has(above, *name));
            seen.is_some() && seen != self.has(root, *name)
        };
        self.nodes[root].peers.contains(&own.name) || own.peers.iter().any(is_lost)
    }
}

fn too_deep() -> LayoutError {
    LayoutError::TooDeep {
        depth_max: DEPTH_MAX,
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
