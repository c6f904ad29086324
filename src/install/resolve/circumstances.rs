//! When the dependencies of a package that comes up again have to be chosen again.

use std::rc::Rc;

use rustc_hash::FxHashSet;

use super::symbols::Symbol;
use super::tree::Scope;
use crate::install::lockfile::DepPath;

/// What the dependencies of a package depend on beside its manifest.
#[derive(Debug, Clone)]
pub(super) struct Circumstances {
    /// Dependencies that the package's own peers take the place of.
    pub(super) shadowed: Rc<FxHashSet<Symbol>>,
    pub(super) prior: Option<DepPath>,
    pub(super) updates: bool,
    /// Names of what is above its dependencies.
    pub(super) scope: Rc<Scope>,
}

impl Circumstances {
    /// Whether these are the same. Of what is above, the names that are `doubled` count: deeper
    /// down they take the place of dependencies.
    pub(super) fn are(&self, other: &Self, doubled: &FxHashSet<Symbol>) -> bool {
        self.prior == other.prior
            && self.updates == other.updates
            && self.take_the_same_places(other, doubled)
    }

    fn take_the_same_places(&self, other: &Self, doubled: &FxHashSet<Symbol>) -> bool {
        let is_same = |name: &Symbol| self.scope.contains(*name) == other.scope.contains(*name);
        self.shadowed == other.shadowed && doubled.iter().all(is_same)
    }

    /// Whether the lockfile chose these, and `other` would choose again for no reason.
    pub(super) fn is_pinned_against(&self, other: &Self, doubled: &FxHashSet<Symbol>) -> bool {
        self.take_the_same_places(other, doubled)
            && self.prior.is_some()
            && other.prior.is_none()
            && !other.updates
    }
}
