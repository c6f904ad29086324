//! Whose preferences count for a dependency that several projects come upon.
//!
//! pnpm looks at the dependencies of a package as soon as it knows the package, for the project
//! that comes upon it first, and keeps what it finds for all projects. So with `debug: 4.3.4` in a
//! project, a dependency on `debug@^4` comes to 4.3.4 in those after it too, where neither
//! something above the dependency nor the project itself says otherwise.

use rustc_hash::{FxHashMap, FxHashSet};

use super::edges::EdgeRequest;
use super::forest::PackageIndex;
use super::resolved::{Resolved, dependencies};
use super::symbols::Symbol;
use super::tree::{Tree, Walker};

/// Alias, specifier, whether it is optional, and the project where that does not share answers.
type Place = (Symbol, Symbol, bool, Option<usize>);

/// Which project came upon a dependency first.
#[derive(Debug, Default)]
pub(super) struct FirstMet {
    packages: FxHashSet<PackageIndex>,
    projects: FxHashMap<Place, usize>,
}

impl Tree<'_> {
    /// Keeps the project for the dependencies of a package that was not met before.
    pub(super) fn meet(
        &mut self,
        walker: &Walker,
        package: PackageIndex,
        resolved: &Resolved,
        shadowed: &FxHashSet<Symbol>,
    ) {
        let is_alone = self.settings.preferences.declared.len() < 2;
        let hides = self.settings.hooks.has_pnpmfile();
        if is_alone || hides || !self.answers.first_met.packages.insert(package) {
            return;
        }
        let own = self.settings.preferences.own_place(walker.project);
        for (alias, specifier, optional) in dependencies(resolved) {
            let alias = self.forest.symbols.of(alias.as_str());
            if !optional && shadowed.contains(&alias) {
                continue;
            }
            let specifier = self.forest.symbols.of(specifier);
            let places = &mut self.answers.first_met.projects;
            let place = (alias, specifier, optional, own);
            places.entry(place).or_insert(walker.project);
        }
    }

    /// The project whose manifest counts for a dependency below which nothing of its name is.
    pub(super) fn first_met(&mut self, walker: &Walker, request: &EdgeRequest) -> usize {
        if request.depth == 0 || request.prior.is_some() || request.is_released {
            return walker.project;
        }
        let specifier = self.forest.symbols.of(&request.specifier);
        let own = self.settings.preferences.own_place(walker.project);
        let place = (request.symbol, specifier, request.optional, own);
        let known = self.answers.first_met.projects.get(&place);
        known.copied().unwrap_or(walker.project)
    }
}
