//! When the dependencies of a package that comes up again have to be chosen again.

use std::rc::Rc;
use std::sync::Arc;

use rustc_hash::{FxHashMap, FxHashSet};

use super::forest::{NodeId, PackageIndex};
use super::scope::Scope;
use super::symbols::Symbol;
use super::tree::{Owner, Tree};
use crate::install::lockfile::DepPath;

/// What the dependencies of a package depend on beside its manifest.
#[derive(Debug, Clone)]
pub(super) struct Circumstances {
    /// Dependencies that the package's own peers take the place of.
    pub(super) shadowed: Rc<FxHashSet<Symbol>>,
    pub(super) prior: Option<DepPath>,
    pub(super) updates: bool,
}

impl Circumstances {
    /// Whether these are the same.
    pub(super) fn are(&self, other: &Self) -> bool {
        self.prior == other.prior
            && self.updates == other.updates
            && self.shadowed == other.shadowed
    }

    /// Whether the lockfile chose these, and `other` would choose again for no reason.
    pub(super) fn is_pinned_against(&self, other: &Self) -> bool {
        self.shadowed == other.shadowed
            && self.prior.is_some()
            && other.prior.is_none()
            && (self.updates || !other.updates)
    }
}

/// A package of a level, as one of its dependants comes upon it.
struct Occurrence {
    owner: Owner,
    scope: Rc<Scope>,
}

impl Tree<'_> {
    /// Whether something below `package` would have other dependencies if `owner` chose all that
    /// is below it: what is in `scope` there would take the place of others. Only what nobody
    /// before it chooses counts.
    pub(super) fn shadows_otherwise(
        &mut self,
        package: PackageIndex,
        owner: &Owner,
        scope: &Rc<Scope>,
    ) -> bool {
        if !self.has_doubled {
            return false;
        }
        let mut seen = FxHashSet::from_iter([package]);
        let place = Occurrence {
            owner: owner.clone(),
            scope: Rc::clone(scope),
        };
        let mut level = vec![(package, place)];
        while !level.is_empty() {
            let mut next = Vec::new();
            for (index, below) in self.best_below(&level) {
                let known = self.forest.package(index);
                let resolved = Arc::clone(&known.resolved);
                let aliases = known.children().iter().map(|edge| edge.alias).collect();
                if !self.comes_first(index, &below.owner) || !seen.insert(index) {
                    continue;
                }
                let shadowed = self.shadowed(&resolved, &below.scope);
                let chosen = self.shadowed_where_chosen(index);
                if chosen.is_some_and(|chosen| *chosen != shadowed) {
                    return true;
                }
                let scope = below.scope.below(aliases);
                let owner = below.owner;
                next.push((index, Occurrence { owner, scope }));
            }
            level = next;
        }
        false
    }

    /// Passes what is below `package`, which is known already, on to its new owner, as far as
    /// nobody before it has that. The owner's nodes offer what is below them.
    pub(super) fn pass_on(
        &mut self,
        (package, node): (PackageIndex, NodeId),
        owner: &Owner,
        scope: &Rc<Scope>,
    ) {
        let mut seen = FxHashSet::from_iter([package]);
        let place = Occurrence {
            owner: owner.clone(),
            scope: Rc::clone(scope),
        };
        let mut nodes = FxHashMap::from_iter([(package, node)]);
        let mut level = vec![(package, place)];
        while !level.is_empty() {
            for (index, below) in &level {
                if let Some(node) = nodes.get(index) {
                    self.lay_out(*index, *node, below.owner.depth());
                }
            }
            let mut next = self.best_below(&level);
            next.retain(|(index, below)| {
                self.comes_first(*index, &below.owner) && seen.insert(*index)
            });
            for (index, below) in &next {
                self.owners.insert(*index, below.owner.clone());
                let parent = below.owner.ancestors().last();
                let parent = parent.and_then(|parent| Some((*parent, *nodes.get(parent)?)));
                if let Some(node) = parent.and_then(|parent| self.node_below(parent, *index)) {
                    nodes.insert(*index, node);
                }
            }
            level = next;
        }
    }

    /// Gives the dependencies of `node` nodes.
    fn lay_out(&mut self, package: PackageIndex, node: NodeId, depth: i32) {
        let children = self.forest.package(package).children();
        let nodes = children.iter();
        let nodes = nodes
            .map(|edge| self.add_node(edge.package, depth + 1))
            .collect();
        self.forest.laid_out[node.place().0] = Some(nodes);
    }

    /// The node of a dependency of one that is laid out.
    fn node_below(
        &self,
        (parent, node): (PackageIndex, NodeId),
        child: PackageIndex,
    ) -> Option<NodeId> {
        let nodes = self.forest.laid_out[node.place().0].as_ref()?;
        let children = self.forest.package(parent).children();
        let at = children.iter().position(|edge| edge.package == child)?;
        nodes.get(at).copied()
    }

    /// The packages that those of a level depend on, each as the first of its dependants comes
    /// upon it.
    fn best_below(&self, level: &[(PackageIndex, Occurrence)]) -> Vec<(PackageIndex, Occurrence)> {
        let mut order = Vec::new();
        let mut best: FxHashMap<PackageIndex, Occurrence> = FxHashMap::default();
        for (parent, place) in level {
            let owner = place.owner.below(*parent);
            for edge in self.forest.package(*parent).children().iter() {
                let child = self.forest.package(edge.package);
                if child.is_link() || self.closes_circle(owner.ancestors(), &child.id) {
                    continue;
                }
                let standing = best.get(&edge.package);
                if standing.is_none() {
                    order.push(edge.package);
                }
                if standing.is_none_or(|standing| self.is_before(&owner, &standing.owner)) {
                    let (owner, scope) = (owner.clone(), Rc::clone(&place.scope));
                    best.insert(edge.package, Occurrence { owner, scope });
                }
            }
        }
        let found = order.into_iter();
        found
            .filter_map(|package| Some((package, best.remove(&package)?)))
            .collect()
    }
}
