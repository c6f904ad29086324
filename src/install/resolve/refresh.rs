//! Versions of the lockfile that give way to higher ones: what a project asks for in other words
//! takes the place of what dependencies of packages were locked to, as far as these allow it.

use node_semver::{Range, Version};
use rustc_hash::FxHashMap;

use super::error::ResolveError;
use super::hoist::{Declared, Hoist};
use super::reuse::{all_dependencies, importer_dependency, is_same_catalog_entry};
use super::scope::Scope;
use super::tree::{Seed, Tree, Walker};
use crate::install::lockfile::DepPath;
use crate::name::PackageName;

/// Versions by the name of their package.
pub(super) type DirectVersions = FxHashMap<Box<str>, Vec<Version>>;

impl Hoist<'_, '_> {
    /// Finds out which dependencies of the projects are not as in the lockfile, and what they come
    /// to: that is known before anything below a project is chosen.
    pub(super) fn keep_changed(
        &mut self,
        walkers: &[Walker],
        declared: &[Vec<Declared>],
    ) -> Result<(), ResolveError> {
        let mut found = DirectVersions::default();
        for (walker, declared) in walkers.iter().zip(declared) {
            self.tree.keep_changed(walker, declared);
            let changed = |one: &&Declared| {
                let prior = self.tree.prior.as_ref();
                prior.is_some_and(|prior| prior.is_changed(walker.project, &one.alias))
            };
            let changed: Vec<&Declared> = declared.iter().filter(changed).collect();
            // A project alone has all of it itself.
            if changed.is_empty() || walkers.len() < 2 {
                continue;
            }
            let symbols = &mut self.tree.forest.symbols;
            let aliases = declared.iter().map(|one| symbols.of(one.alias.as_str()));
            let scope = Scope::of(aliases.collect());
            let changed = changed.into_iter();
            let requests = changed.map(|one| self.request(walker, one, &scope));
            let requests = requests.collect();
            for (name, version) in self.tree.versions_of(walker, requests)? {
                add(&mut found, &name, &version);
            }
        }
        if let Some(prior) = &mut self.tree.prior {
            prior.changed_versions = found;
        }
        Ok(())
    }
}

impl Tree<'_> {
    /// A version of the lockfile gives way to a higher one that the project itself has or, where
    /// it has none, that another one asks for in other words than before.
    pub(super) fn refreshed(
        &mut self,
        walker: &Walker,
        alias: &PackageName,
        specifier: Box<str>,
        prior: Option<DepPath>,
    ) -> (Box<str>, Option<DepPath>) {
        let higher = prior.as_ref().and_then(|path| {
            let pinned = Version::parse(path.version()).ok()?;
            let range = Range::parse(&*specifier).ok()?;
            let prior = self.prior.as_ref()?;
            let own = prior.direct_versions.get(&walker.project);
            let own = own.and_then(|own| own.get(alias.as_str()));
            let versions = own.or_else(|| prior.changed_versions.get(alias.as_str()))?;
            let versions = versions.iter();
            versions
                .filter(|version| **version > pinned && range.satisfies(version))
                .max()
                .map(ToString::to_string)
        });
        match higher {
            Some(version) => (version.into(), None),
            None => (specifier, prior),
        }
    }

    /// Keeps the versions of the project's own dependencies.
    pub(super) fn keep_direct_versions(&mut self, walker: &Walker, seeds: &[Seed]) {
        let Some(prior) = &mut self.prior else {
            return;
        };
        let known = prior.direct_versions.entry(walker.project).or_default();
        for seed in seeds {
            let package = match seed {
                Seed::Nothing => continue,
                Seed::Done(direct) => self.forest.package(direct.package),
                Seed::Pending(pending) => self.forest.package(pending.package),
            };
            if let Some(version) = package.resolved.version.as_deref() {
                add(known, self.forest.text(package.name), version);
            }
        }
    }

    /// Keeps which dependencies of a project are not as in the lockfile.
    pub(super) fn keep_changed(&mut self, walker: &Walker, declared: &[Declared]) {
        let Some(prior) = &mut self.prior else {
            return;
        };
        let importer = prior.importer(&walker.id);
        let is_changed = |one: &&Declared| {
            let known = importer.and_then(|importer| importer_dependency(importer, &one.alias));
            !known.is_some_and(|known| {
                known.specifier == one.specifier
                    || is_same_catalog_entry(prior.lockfile, &known.specifier, one)
            })
        };
        let changed = declared.iter().filter(is_changed).map(|one| &one.alias);
        let is_gone = |alias: &&PackageName| declared.iter().all(|one| one.alias != **alias);
        let known = importer.into_iter().flat_map(all_dependencies);
        let gone = known.map(|(alias, _)| alias).filter(is_gone);
        let names = changed.chain(gone).map(|alias| alias.as_str().into());
        let names = names.collect();
        prior.changed.insert(walker.project, names);
    }
}

fn add(known: &mut DirectVersions, name: &str, version: &str) {
    if let Ok(version) = Version::parse(version) {
        let versions = known.entry(name.into()).or_default();
        if !versions.contains(&version) {
            versions.push(version);
        }
    }
}
