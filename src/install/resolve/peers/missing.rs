//! What is missing, for whom.

use std::rc::Rc;
use std::sync::Arc;

use rustc_hash::{FxHashMap, FxHashSet};

use super::Chain;
use crate::install::resolve::forest::PackageIndex;
use crate::install::resolve::symbols::Symbol;

/// A peer that a package asks for and nobody offers.
#[derive(Debug, Clone)]
pub(in crate::install::resolve) struct MissingIssue {
    /// As written.
    pub(in crate::install::resolve) range: Arc<str>,
    pub(in crate::install::resolve) optional: bool,
    /// The packages above the one that asks.
    pub(in crate::install::resolve) ancestors: Chain,
}

/// What is missing below a package, with what is missing deeper. Shared, for the same subtree is
/// met again and again.
#[derive(Debug)]
pub(super) struct MissingSummary {
    pub(super) own: Option<(PackageIndex, Vec<Symbol>)>,
    pub(super) children: Vec<Rc<MissingSummary>>,
}

/// Package → names that are missing below it, in any of `roots`.
pub(super) fn by_package(
    roots: &[Rc<MissingSummary>],
) -> FxHashMap<PackageIndex, FxHashSet<Symbol>> {
    let mut found: FxHashMap<PackageIndex, FxHashSet<Symbol>> = FxHashMap::default();
    let mut seen: FxHashSet<*const MissingSummary> = FxHashSet::default();
    let mut open: Vec<&Rc<MissingSummary>> = roots.iter().collect();
    while let Some(summary) = open.pop() {
        if !seen.insert(Rc::as_ptr(summary)) {
            continue;
        }
        if let Some((package, names)) = &summary.own {
            found.entry(*package).or_default().extend(names);
        }
        open.extend(&summary.children);
    }
    found
}

/// Which missing peers are none of a project's business: a package's dependencies are chosen once,
/// for the project that needs it first; what they miss was reported there.
#[derive(Debug)]
pub(in crate::install::resolve) struct MissingScope<'a> {
    /// Place of the project.
    pub(in crate::install::resolve) project: usize,
    /// Package → place of the project for which its dependencies were chosen.
    pub(in crate::install::resolve) owners: &'a FxHashMap<PackageIndex, usize>,
    /// Package → names that were missing below it for its owner.
    pub(in crate::install::resolve) owners_missing: &'a FxHashMap<PackageIndex, FxHashSet<Symbol>>,
}

impl MissingScope<'_> {
    /// Whether `name`, missing for a package below `ancestors`, is left out.
    pub(in crate::install::resolve) fn leaves_out(&self, ancestors: &Chain, name: Symbol) -> bool {
        ancestors.iter().any(|package| self.covers(package, name))
    }

    fn covers(&self, package: PackageIndex, name: Symbol) -> bool {
        let is_foreign = self
            .owners
            .get(&package)
            .is_some_and(|owner| *owner != self.project);
        let missing = self.owners_missing.get(&package);
        is_foreign && missing.is_some_and(|names| !names.contains(&name))
    }
}
