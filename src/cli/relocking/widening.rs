//! `update`: ranges of dependencies that the chosen versions are written into.

use super::{CatalogEntries, Workspace, entry_of};
use crate::cli::context::Context;
use crate::cli::failure::Failure;
use crate::install::lockfile::{ImporterDependency, ImporterId, Reference};
use crate::install::manifest_edit::Field;
use crate::install::relock::Specifiers;
use crate::name::PackageName;

impl Workspace {
    /// Writes the versions that were chosen into the ranges of a project's dependencies, and into
    /// `entries` those of catalogs.
    pub(in crate::cli) fn widen(
        &mut self,
        context: &Context,
        at: usize,
        names: &[(Field, String)],
        specifiers: &Specifiers<'_>,
        entries: &mut CatalogEntries,
    ) -> Result<(), Failure> {
        let id = self.projects[at].id.clone();
        for (field, name) in names {
            let Ok(alias) = PackageName::new(name) else {
                continue;
            };
            let updated = match field {
                Field::Peer => self.updated_peer(context, at, &alias, specifiers)?,
                field => self.locked(&id, *field, &alias).and_then(updated),
            };
            let Some((specifier, version)) = updated else {
                continue;
            };
            let is_declared = {
                let mut declared = self.edit(context, at)?.entries(*field);
                declared.any(|(known, text)| known == name && *text == *specifier)
            };
            let manifest = &self.projects[at].manifest;
            if !is_declared || specifiers.is_overridden(manifest, name, &specifier) {
                // An override or a hook says what counts, and goes on saying so.
                continue;
            }
            if let Some((catalog, known)) = entry_of(context, &specifier, name) {
                if let Some(new) = specifiers.updated(name, known, &version) {
                    let resolved = self.resolved.as_mut();
                    let catalogs = resolved.and_then(|lockfile| lockfile.catalogs.get_mut(catalog));
                    if let Some(entry) = catalogs.and_then(|entries| entries.get_mut(&**name)) {
                        entry.specifier = new.as_str().into();
                    }
                    entries.insert((catalog.to_owned(), name.clone()), new);
                }
                continue;
            }
            if let Some(new) = specifiers.updated(name, &specifier, &version) {
                let edit = self.edit(context, at)?;
                // A peer that nothing else asks for is locked as a dependency.
                let locked_as = match edit.find(name) {
                    Some((Field::Peer, _)) => Field::Production,
                    _ => *field,
                };
                edit.set(*field, &alias, &new);
                if let Some(dependency) = self.locked(&id, locked_as, &alias) {
                    dependency.specifier = new.as_str().into();
                }
            }
        }
        Ok(())
    }

    fn locked(
        &mut self,
        id: &ImporterId,
        field: Field,
        alias: &PackageName,
    ) -> Option<&mut ImporterDependency> {
        let importer = self.resolved.as_mut()?.importers.get_mut(id)?;
        match field {
            Field::Production => importer.dependencies.get_mut(alias),
            Field::Development => importer.dev_dependencies.get_mut(alias),
            Field::Optional => importer.optional_dependencies.get_mut(alias),
            Field::Peer => None,
        }
    }

    /// What a project asks for as a peer, and the version that it has of it: the one of its
    /// dependencies, or, where nothing is locked for it, the one that would be chosen. What is
    /// there for its development says nothing of others.
    fn updated_peer(
        &mut self,
        context: &Context,
        at: usize,
        alias: &PackageName,
        specifiers: &Specifiers<'_>,
    ) -> Result<Option<(Box<str>, String)>, Failure> {
        let id = self.projects[at].id.clone();
        let edit = self.edit(context, at)?;
        let mut peers = edit.entries(Field::Peer);
        let Some((_, specifier)) = peers.find(|(known, _)| *known == alias.as_str()) else {
            return Ok(None);
        };
        let specifier: Box<str> = specifier.into();
        let is_alone = matches!(edit.find(alias.as_str()), Some((Field::Peer, _)));
        drop(peers);
        let version = match self.locked(&id, Field::Production, alias) {
            Some(dependency) => updated(dependency).map(|(_, version)| version),
            None if is_alone => specifiers.version_in(alias, &specifier)?,
            None => None,
        };
        Ok(version.map(|version| (specifier, version)))
    }
}

/// The specifier of what is locked, and its version.
fn updated(dependency: &mut ImporterDependency) -> Option<(Box<str>, String)> {
    let Reference::Package(path) = &dependency.reference else {
        return None;
    };
    Some((dependency.specifier.clone(), path.version().to_owned()))
}
