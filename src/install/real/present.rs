//! What an earlier install left in `node_modules`, as the state files tell it.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};

use serde::Deserialize;
use serde_json::{Value, json};

use crate::install::layout::Instance;
use crate::install::lockfile::{DepPath, Lockfile, Resolution, read_lockfile};
use crate::install::package_lock::{self, HIDDEN_FILE_NAME};
use crate::name::RelativePath;

/// What the state files say. A file that is missing or not understood says nothing: then every
/// package is written again.
#[derive(Debug, Default)]
pub(super) struct Present {
    /// depPaths whose content and dependencies are those of this install too.
    same: Same,
    /// depPaths and package ids whose scripts did not run.
    unbuilt: HashSet<Box<str>>,
    /// `hoistedLocations`: where each depPath is, relative to the lockfile's directory.
    locations: HashMap<Box<str>, HashSet<Box<str>>>,
    /// Aliases of direct dependencies, by importer.
    aliases: HashMap<Box<str>, HashSet<Box<str>>>,
    /// Places of npm's layout that have the content which they shall have.
    same_places: HashSet<Box<str>>,
}

#[derive(Debug, Default)]
enum Same {
    /// Nothing is known.
    #[default]
    Nothing,
    /// The lockfile is the same, to the byte; but for these, which are directories.
    AllBut(HashSet<Box<str>>),
    /// These.
    These(HashSet<Box<str>>),
}

/// The part of `.modules.yaml` that is looked at.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(super) struct ModulesFile {
    package_manager: Box<str>,
    hoisted_locations: BTreeMap<Box<str>, Vec<Box<str>>>,
    ignored_builds: Vec<Box<str>>,
    pending_builds: Vec<Box<str>>,
}

impl ModulesFile {
    /// Reads `.modules.yaml`, which this program and pnpm write as JSON.
    pub(super) fn parse(text: &str) -> Self {
        serde_json::from_str(text).unwrap_or_default()
    }

    /// Whether this program made the tree.
    pub(super) fn is_of_this_program(&self) -> bool {
        self.package_manager.starts_with("pacquet@")
    }

    /// As one that says what the lockfile of npm beside it says: which places are an installer's.
    pub(super) fn of_npm(hidden: &str) -> Self {
        let places = package_lock::places(hidden).unwrap_or_default();
        Self {
            package_manager: concat!("pacquet@", env!("CARGO_PKG_VERSION")).into(),
            hoisted_locations: BTreeMap::from([(
                HIDDEN_FILE_NAME.into(),
                places.into_keys().collect(),
            )]),
            ..Self::default()
        }
    }

    /// The text of `.modules.yaml`, while a tree of npm's layout is being written.
    pub(super) fn claim(&self) -> Vec<u8> {
        let map = json!({
            "packageManager": self.package_manager,
            "hoistedLocations": self.hoisted_locations,
        });
        serde_json::to_vec_pretty(&map).unwrap_or_default()
    }

    /// Adds the places of `other`.
    pub(super) fn add_places(&mut self, other: Self) {
        for (id, places) in other.hoisted_locations {
            self.hoisted_locations.entry(id).or_default().extend(places);
        }
    }

    /// The content `wanted` of `.modules.yaml`, with the places of this one added to its own.
    pub(super) fn united_with(&self, wanted: &[u8]) -> Vec<u8> {
        if self.hoisted_locations.is_empty() {
            return wanted.to_vec();
        }
        let Ok(Value::Object(mut map)) = serde_json::from_slice(wanted) else {
            return wanted.to_vec();
        };
        let mut united: BTreeMap<Box<str>, BTreeSet<Box<str>>> = BTreeMap::new();
        let new = Self::parse(std::str::from_utf8(wanted).unwrap_or_default());
        for (dep_path, places) in self.hoisted_locations.iter().chain(&new.hoisted_locations) {
            let entry = united.entry(dep_path.clone()).or_default();
            entry.extend(places.iter().cloned());
        }
        map.insert("hoistedLocations".to_owned(), json!(united));
        serde_json::to_vec_pretty(&map).unwrap_or_else(|_| wanted.to_vec())
    }
}

impl Present {
    /// Holds the lockfile of what is there against the one of what shall be there.
    pub(super) fn new(modules: &ModulesFile, current: Option<&str>, wanted: Option<&str>) -> Self {
        let mut locations: HashMap<Box<str>, HashSet<Box<str>>> = HashMap::new();
        for (dep_path, places) in &modules.hoisted_locations {
            let places = places.iter().filter(|place| is_location(place)).cloned();
            locations
                .entry(dep_path.clone())
                .or_default()
                .extend(places);
        }
        let unbuilt = modules.ignored_builds.iter().chain(&modules.pending_builds);
        let mut present = Self {
            unbuilt: unbuilt.cloned().collect(),
            locations,
            ..Self::default()
        };
        let current = current.and_then(|text| Some((text, read_lockfile(text).ok()?)));
        if let Some((text, current)) = current {
            present.aliases = aliases(&current);
            present.same = if wanted == Some(text) {
                Same::AllBut(directories(&current))
            } else {
                let wanted = wanted.and_then(|text| read_lockfile(text).ok());
                wanted.map_or(Same::Nothing, |wanted| Same::These(same(&current, &wanted)))
            };
        }
        present
    }

    /// The same for a tree as npm lays it out, of which [`HIDDEN_FILE_NAME`] tells.
    pub(super) fn of_npm(modules: &ModulesFile, current: Option<&str>, wanted: &str) -> Self {
        let mut present = Self::new(modules, None, None);
        let of = |text: &str| package_lock::places(text).unwrap_or_default();
        let (current, wanted) = (current.map(of).unwrap_or_default(), of(wanted));
        present.same_places = wanted
            .into_iter()
            .filter(|(place, content)| current.get(place) == Some(content))
            .map(|(place, _)| place)
            .collect();
        present
    }

    /// Whether the content of `instance` is as it was at `location`, where the layout is npm's.
    pub(super) fn is_same_at(&self, instance: &Instance, location: &str) -> bool {
        self.same_places.contains(location) && !instance.key.is_built()
    }

    /// Whether the content of `instance`, and what its dependencies are, is as it was.
    pub(super) fn is_same(&self, instance: &Instance) -> bool {
        if instance.key.is_built() && self.was_not_built(&instance.dep_path) {
            return false;
        }
        match &self.same {
            Same::Nothing => false,
            Same::AllBut(others) => !others.contains(&instance.dep_path),
            Same::These(these) => these.contains(&instance.dep_path),
        }
    }

    fn was_not_built(&self, dep_path: &str) -> bool {
        let id = DepPath::new(dep_path).ok();
        let id = id.as_ref().map(DepPath::package_id_str);
        self.unbuilt.contains(dep_path) || id.is_some_and(|id| self.unbuilt.contains(id))
    }

    /// Whether the hoisted linker put this depPath at `location`.
    pub(super) fn is_at(&self, dep_path: &str, location: &str) -> bool {
        let places = self.locations.get(dep_path);
        places.is_some_and(|places| places.contains(location))
    }

    /// Every directory that the hoisted linker made.
    pub(super) fn locations(&self) -> impl Iterator<Item = &str> {
        self.locations.values().flatten().map(|place| &**place)
    }

    /// Whether `importer` had direct dependencies.
    pub(super) fn has_any(&self, importer: &str) -> bool {
        let aliases = self.aliases.get(importer);
        aliases.is_some_and(|aliases| !aliases.is_empty())
    }

    /// Whether `alias` was a direct dependency of `importer`.
    pub(super) fn has_alias(&self, importer: &str, alias: &str) -> bool {
        let aliases = self.aliases.get(importer);
        aliases.is_some_and(|aliases| aliases.contains(alias))
    }
}

/// Whether a recorded location can be one: relative, climbing nowhere, in a `node_modules`.
fn is_location(place: &str) -> bool {
    RelativePath::new(place).is_ok_and(|path| {
        let mut components = path.components();
        components.any(|component| component == "node_modules") && components.next().is_some()
    })
}

fn aliases(lockfile: &Lockfile) -> HashMap<Box<str>, HashSet<Box<str>>> {
    let of = |importer: &crate::install::lockfile::Importer| {
        let names = importer.all();
        names.map(|(alias, _)| alias.as_str().into()).collect()
    };
    let importers = lockfile.importers.iter();
    importers
        .map(|(id, importer)| (id.as_str().into(), of(importer)))
        .collect()
}

fn is_directory(lockfile: &Lockfile, dep_path: &DepPath) -> bool {
    let package = lockfile.packages.get(&dep_path.package_id());
    package.is_none_or(|package| matches!(package.resolution, Resolution::Directory { .. }))
}

/// Packages whose content is a directory of this machine, which may change at any time.
fn directories(lockfile: &Lockfile) -> HashSet<Box<str>> {
    let dep_paths = lockfile.snapshots.keys();
    dep_paths
        .filter(|dep_path| is_directory(lockfile, dep_path))
        .map(|dep_path| dep_path.as_str().into())
        .collect()
}

fn same(current: &Lockfile, wanted: &Lockfile) -> HashSet<Box<str>> {
    let is_same = |dep_path: &DepPath| {
        let package = dep_path.package_id();
        !is_directory(wanted, dep_path)
            && current.snapshots.get(dep_path) == wanted.snapshots.get(dep_path)
            && current.packages.get(&package) == wanted.packages.get(&package)
    };
    let dep_paths = wanted.snapshots.keys();
    dep_paths
        .filter(|dep_path| current.snapshots.contains_key(*dep_path) && is_same(dep_path))
        .map(|dep_path| dep_path.as_str().into())
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn recorded_places_that_are_none_are_passed_over() {
        for (place, expected) in [
            ("node_modules/a", true),
            ("packages/x/node_modules/@s/b", true),
            ("src", false),
            ("node_modules", false),
            ("packages/node_modules", false),
            ("../node_modules/a", false),
            ("/node_modules/a", false),
            ("node_modules/../../a", false),
        ] {
            assert_eq!(is_location(place), expected, "{place}");
        }
    }

    #[test]
    fn a_state_file_that_is_not_understood_says_nothing() {
        for text in ["", "[]", "{\"hoistedLocations\": 3}", "layoutVersion: 5\n"] {
            let present = Present::new(&ModulesFile::parse(text), Some("x"), Some("x"));
            assert_eq!(present.locations().count(), 0, "{text}");
        }
    }
}
