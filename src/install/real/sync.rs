//! Brings a tree into the state of the layout: what is right stays, what is missing or other is
//! written, what is gone goes.
//!
//! Not everything in `node_modules` is an installer's. Directly in it (and in its scopes) only what
//! the state files tell of, links into `.pnpm`, `.bin` and `.pnpm-config` are; a real directory in
//! the way of a dependency is moved to `.ignored_<name>`, as pnpm does it. `.pnpm` is the
//! installer's whole.

use std::collections::HashMap;

use rayon::prelude::*;
use rustix::fs::FileType;

use super::RealFiles;
use super::directory::{Directory, Found, TEMPORARY, temporary_name};
use super::error::RealError;
use super::package::MARKER;
use crate::install::config::CONFIG_PACKAGES_NAME;
use crate::install::layout::{DirectoryIndex, LayoutEntry, WORKSPACE_STATE_NAME};
use crate::install::package_lock::HIDDEN_FILE_NAME;
use crate::name::EntryName;

/// Files that say what an install did: they are written when it is done.
pub(super) const STATE_FILES: [&str; 2] = [".modules.yaml", WORKSPACE_STATE_NAME];
/// The lockfile of what is installed, in `.pnpm`.
pub(super) const CURRENT_LOCKFILE: &str = "lock.yaml";

/// Directories with fewer entries are not worth several threads.
const PARALLEL_ENTRIES: usize = 16;

/// Where a directory is, which decides whose the entries are that the layout does not have.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Area {
    /// A project's `node_modules`, or a scope in it.
    Shared,
    /// `.pnpm`, which also has the current lockfile.
    VirtualStore,
    /// The installer's alone.
    Managed,
    /// Within a package that stays as it is: its own files are there too.
    Package,
}

/// A place in a tree.
#[derive(Clone, Copy)]
pub(super) struct Place<'p> {
    pub(super) area: Area,
    /// The project.
    pub(super) importer: &'p str,
    /// The path relative to the lockfile's directory, as `hoistedLocations` has it.
    pub(super) location: &'p str,
    /// The scope whose directory this is.
    pub(super) scope: Option<&'p str>,
}

type Listing = HashMap<String, FileType>;

impl RealFiles<'_> {
    /// Brings `directory` into the state of the directory `index` of the layout.
    pub(super) fn sync(
        &self,
        directory: &Directory,
        found: Found,
        index: DirectoryIndex,
        place: Place<'_>,
    ) -> Result<(), RealError> {
        let own = &self.layout.directories[index.0 as usize];
        let listing: Listing = match found {
            Found::New => Listing::new(),
            Found::Old => directory.entries()?.into_iter().collect(),
        };
        for (name, kind) in &listing {
            if !own.entries.contains_key(name.as_str()) {
                self.remove_stale(directory, name, *kind, place)?;
            }
        }
        let one = |(name, entry): (&EntryName, &LayoutEntry)| {
            let present = listing.get(name.as_str()).copied();
            self.sync_entry(directory, name.as_str(), entry, present, place)
        };
        if own.entries.len() < PARALLEL_ENTRIES {
            return own.entries.iter().try_for_each(one);
        }
        let entries: Vec<_> = own.entries.iter().collect();
        entries.into_par_iter().with_max_len(1).try_for_each(one)
    }

    fn sync_entry(
        &self,
        directory: &Directory,
        name: &str,
        entry: &LayoutEntry,
        present: Option<FileType>,
        place: Place<'_>,
    ) -> Result<(), RealError> {
        match entry {
            LayoutEntry::Symlink(target) => {
                if present == Some(FileType::Symlink) {
                    let there = directory.link_target(name)?;
                    if there.as_deref() == Some(target.as_bytes()) {
                        return Ok(());
                    }
                }
                self.make_way(directory, name, present, place)?;
                directory.link(name, target)
            }
            LayoutEntry::File { .. } if is_deferred(name, place) => Ok(()),
            LayoutEntry::File {
                content,
                executable,
            } => {
                if present.is_none() {
                    return directory.write_new(name, content, *executable);
                }
                if present != Some(FileType::RegularFile) {
                    self.make_way(directory, name, present, place)?;
                }
                directory.write(name, content, *executable)
            }
            LayoutEntry::Directory(index) => {
                self.sync_directory(directory, name, *index, present, place)
            }
        }
    }

    fn sync_directory(
        &self,
        parent: &Directory,
        name: &str,
        index: DirectoryIndex,
        present: Option<FileType>,
        place: Place<'_>,
    ) -> Result<(), RealError> {
        let own = &self.layout.directories[index.0 as usize];
        let location = format!("{}/{name}", place.location);
        let is_directory = present == Some(FileType::Directory);
        let package = own
            .backing
            .as_ref()
            .filter(|backing| backing.directory.is_none());
        if let Some(backing) = package {
            let instance = &self.layout.instances[backing.instance.0 as usize];
            let is_known = match place.area {
                Area::VirtualStore | Area::Managed => true,
                Area::Shared | Area::Package => self.present.is_at(&instance.dep_path, &location),
            };
            let is_same = (is_known && self.present.is_same(instance))
                || self.present.is_same_at(instance, &location);
            if is_directory && is_same && is_whole(parent, name)? {
                if own.entries.is_empty() && !self.nesting_locations.contains(&*location) {
                    return Ok(());
                }
                let child = parent.child(name)?;
                let place = Place {
                    area: Area::Package,
                    location: &location,
                    scope: None,
                    ..place
                };
                return self.sync(&child, Found::Old, index, place);
            }
            if present.is_some() && !(is_directory && self.is_ours(&location, place)) {
                self.make_way(parent, name, present, place)?;
            }
            return self.write_package(parent, name, index);
        }
        if present.is_some() && !is_directory {
            self.make_way(parent, name, present, place)?;
        }
        let (child, found) = parent.make(name)?;
        let scope = name.starts_with('@') && place.area == Area::Shared;
        let area = match place.area {
            Area::Shared if scope => Area::Shared,
            Area::Shared if name == ".pnpm" => Area::VirtualStore,
            Area::Package => Area::Package,
            _ => Area::Managed,
        };
        let place = Place {
            area,
            location: &location,
            scope: scope.then_some(name),
            ..place
        };
        self.sync(&child, found, index, place)
    }

    fn is_ours(&self, location: &str, place: Place<'_>) -> bool {
        place.area != Area::Shared
            || self.known_locations.contains(location)
            || self.is_set_aside(location)
    }

    /// Whether an installer's package was put away at `location`, for a link in its place.
    fn is_set_aside(&self, location: &str) -> bool {
        let name = location.rsplit_once("/.ignored_");
        name.is_some_and(|(holder, name)| {
            let place = format!("{holder}/{name}");
            self.known_locations.contains(place.as_str())
        })
    }

    /// Takes away what is at `name`, where something else has to be.
    fn make_way(
        &self,
        directory: &Directory,
        name: &str,
        present: Option<FileType>,
        place: Place<'_>,
    ) -> Result<(), RealError> {
        let Some(kind) = present else {
            return Ok(());
        };
        let location = format!("{}/{name}", place.location);
        let is_link = kind == FileType::Symlink;
        let is_ours = self.is_ours(&location, place) || is_link || is_of_installers(name);
        if is_ours {
            return directory.remove(name);
        }
        let ignored = format!(".ignored_{name}");
        if directory.kind(&ignored)?.is_some() {
            let numbered = format!("{ignored}{}", temporary_name().replace(TEMPORARY, "-"));
            return directory.rename(name, &numbered);
        }
        directory.rename(name, &ignored)
    }

    /// Removes what the layout does not have, where an installer put it there.
    pub(super) fn remove_stale(
        &self,
        directory: &Directory,
        name: &str,
        kind: FileType,
        place: Place<'_>,
    ) -> Result<(), RealError> {
        if name.starts_with(TEMPORARY) {
            return directory.remove(name);
        }
        match place.area {
            Area::Managed => directory.remove(name),
            Area::VirtualStore if name == CURRENT_LOCKFILE => Ok(()),
            Area::VirtualStore => directory.remove(name),
            Area::Package => self.remove_stale_in_package(directory, name, kind, place),
            Area::Shared => self.remove_stale_of_project(directory, name, kind, place),
        }
    }

    fn remove_stale_of_project(
        &self,
        directory: &Directory,
        name: &str,
        kind: FileType,
        place: Place<'_>,
    ) -> Result<(), RealError> {
        if kind == FileType::Symlink {
            let target = directory.link_target(name)?.unwrap_or_default();
            let alias = match place.scope {
                Some(scope) => format!("{scope}/{name}"),
                None => name.to_owned(),
            };
            let location = format!("{}/{name}", place.location);
            let is_ours = leads_into_virtual_store(&target)
                || self.present.has_alias(place.importer, &alias)
                || self.known_locations.contains(location.as_str());
            return if is_ours {
                directory.remove(name)
            } else {
                Ok(())
            };
        }
        if kind != FileType::Directory || STATE_FILES.contains(&name) {
            return Ok(());
        }
        let location = format!("{}/{name}", place.location);
        if self.known_locations.contains(location.as_str()) || is_of_installers(name) {
            return directory.remove(name);
        }
        if !name.starts_with('@') || place.scope.is_some() {
            return Ok(());
        }
        let scope = directory.child(name)?;
        let inner = Place {
            location: &location,
            scope: Some(name),
            ..place
        };
        for (entry, kind) in scope.entries()? {
            self.remove_stale(&scope, &entry, kind, inner)?;
        }
        directory.remove_if_empty(name)
    }

    /// Packages that the hoisted linker nested are known by their places; commands by `.bin`. What
    /// else is there came with the package.
    fn remove_stale_in_package(
        &self,
        directory: &Directory,
        name: &str,
        kind: FileType,
        place: Place<'_>,
    ) -> Result<(), RealError> {
        let location = format!("{}/{name}", place.location);
        let is_bin = place.location.ends_with("/node_modules/.bin");
        if self.known_locations.contains(location.as_str()) || (is_bin && kind == FileType::Symlink)
        {
            return directory.remove(name);
        }
        let is_nested = place.location.ends_with("/node_modules");
        let holds_packages =
            name == "node_modules" || (is_nested && (name.starts_with('@') || name == ".bin"));
        if kind != FileType::Directory || !holds_packages {
            return Ok(());
        }
        let holder = directory.child(name)?;
        let inner = Place {
            location: &location,
            ..place
        };
        for (entry, kind) in holder.entries()? {
            self.remove_stale_in_package(&holder, &entry, kind, inner)?;
        }
        directory.remove_if_empty(name)
    }
}

/// Whether a directory of this name in a project's `node_modules` is an installer's whole.
fn is_of_installers(name: &str) -> bool {
    matches!(name, ".bin" | ".pnpm" | CONFIG_PACKAGES_NAME)
}

/// Whether the package at `name` is there to its last file.
fn is_whole(parent: &Directory, name: &str) -> Result<bool, RealError> {
    let marker = format!("{name}/{MARKER}");
    Ok(parent.kind(&marker)? == Some(FileType::RegularFile))
}

fn is_deferred(name: &str, place: Place<'_>) -> bool {
    match place.area {
        Area::Shared => STATE_FILES.contains(&name) || name == HIDDEN_FILE_NAME,
        Area::VirtualStore => name == CURRENT_LOCKFILE,
        Area::Managed | Area::Package => false,
    }
}

/// Whether a link in a project's `node_modules` leads to a package of the isolated linker.
fn leads_into_virtual_store(target: &[u8]) -> bool {
    memchr::memmem::find(target, b".pnpm/").is_some_and(|at| {
        let lead = &target[..at];
        lead.split(|byte| *byte == b'/')
            .all(|part| part.is_empty() || part == b".." || part == b"node_modules")
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn links_into_the_virtual_store_are_known_by_their_target() {
        for (target, expected) in [
            (".pnpm/a@1/node_modules/a", true),
            ("../.pnpm/a@1/node_modules/@s/a", true),
            ("../../../node_modules/.pnpm/a@1/node_modules/a", true),
            ("../packages/a", false),
            ("/home/x/.pnpm/a", false),
            ("../other/.pnpm/a", false),
            ("", false),
        ] {
            assert_eq!(
                leads_into_virtual_store(target.as_bytes()),
                expected,
                "{target}"
            );
        }
    }
}
