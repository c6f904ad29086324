//! When the dependencies of a package that comes up again have to be chosen again.

use std::rc::Rc;
use std::sync::Arc;

use rustc_hash::{FxHashMap, FxHashSet};

use super::forest::PackageIndex;
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
    /// nobody before it has that.
    pub(super) fn pass_on(&mut self, package: PackageIndex, owner: &Owner, scope: &Rc<Scope>) {
        let mut seen = FxHashSet::from_iter([package]);
        let place = Occurrence {
            owner: owner.clone(),
            scope: Rc::clone(scope),
        };
        let mut level = vec![(package, place)];
        while !level.is_empty() {
            let mut next = self.best_below(&level);
            next.retain(|(index, below)| {
                self.comes_first(*index, &below.owner) && seen.insert(*index)
            });
            for (index, below) in &next {
                self.owners.insert(*index, below.owner.clone());
            }
            level = next;
        }
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
