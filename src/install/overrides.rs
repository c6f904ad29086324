//! `overrides`: as a lockfile records them, and applied to the manifests of projects and packages.

mod selector;

use std::cmp::Ordering;
use std::collections::BTreeMap;
use std::path::{Component, Path, PathBuf};

use indexmap::IndexMap;
use node_semver::{Range, Version};

use crate::install::config::Config;
use crate::install::lockfile::{ProjectManifest, Specifiers};
use crate::install::manifest::{DependencyMap, Manifest};
use crate::install::metadata::VersionManifest;

use crate::name::PackageName;

use selector::{Group, Key, Selector};

/// The value that takes a dependency out.
const REMOVED: &str = "-";

/// One entry of `overrides`.
#[derive(Debug, Clone)]
pub(super) struct Override {
    key: Key,
    specifier: Box<str>,
    /// What catalogs have for the target, by the name of the catalog.
    entries: Vec<(Box<str>, Box<str>)>,
}

impl Override {
    /// Whether it says something of dependencies of a group.
    fn is_of(&self, group: Option<Group>) -> bool {
        self.key.group.is_none() || self.key.group == group
    }

    /// Less of it goes before more.
    fn vagueness(&self) -> (bool, bool, bool) {
        let parent = self.key.parent.as_ref();
        (
            parent.is_some_and(Selector::is_wildcard),
            self.key.target.is_wildcard(),
            self.key.group.is_none(),
        )
    }

    /// What a dependency on the target asks for: what the catalog has that it names.
    fn asked<'s>(&'s self, specifier: &'s str) -> &'s str {
        let named = catalog_name(specifier);
        let named = named.and_then(|name| self.entries.iter().find(|(known, _)| **known == *name));
        named.map_or(specifier, |(_, entry)| entry)
    }
}

/// Where a project is, for overrides that name a path.
pub(super) struct Place<'a> {
    pub root: &'a Path,
    pub directory: &'a Path,
}

/// The overrides as a lockfile records them: with `$name` and `catalog:` replaced by what they
/// stand for. The `resolutions` of a `package.json` are none.
pub(super) fn resolved(config: &Config, root: Option<&Manifest>) -> IndexMap<Box<str>, Box<str>> {
    let direct = root.map(direct_specifiers).unwrap_or_default();
    let overrides = config.graph.overrides.iter();
    let mut all: IndexMap<Box<str>, Box<str>> = overrides
        .map(|(key, value)| (key.as_str().into(), value.as_str().into()))
        .collect();
    for (key, value) in &mut all {
        let target = Key::parse(key).target.name;
        let stands_for = match value.strip_prefix('$') {
            Some(name) => direct.get(name).copied(),
            None => catalog_entry(&config.graph.catalogs, &target, value),
        };
        if let Some(text) = stands_for {
            *value = text.into();
        }
    }
    all
}

/// Entry by entry, where these are the catalogs.
pub(super) fn parsed(
    overrides: &IndexMap<Box<str>, Box<str>>,
    catalogs: &IndexMap<String, IndexMap<String, String>>,
) -> Vec<Override> {
    let entries = |target: &str| {
        let entries = catalogs.iter();
        let entries = entries.filter_map(|(name, entries)| Some((name, entries.get(target)?)));
        let entries = entries.map(|(name, entry)| (name.as_str().into(), entry.as_str().into()));
        entries.collect()
    };
    overrides
        .iter()
        .map(|(key, specifier)| {
            let key = Key::parse(key);
            Override {
                entries: entries(&key.target.name),
                key,
                specifier: specifier.clone(),
            }
        })
        .collect()
}

/// The part of the key of an override that names no package, if there is one.
pub(super) fn invalid_selector(key: &str) -> Option<Box<str>> {
    Key::parse(key).invalid_name()
}

/// The package that the override `key` is about, where it is about all of its versions and
/// dependants.
pub(super) fn whole_target(key: &str) -> Option<Box<str>> {
    let Key {
        parent,
        target,
        group,
        converges,
    } = Key::parse(key);
    let is_whole = parent.is_none() && group.is_none() && target.range.is_none() && !converges;
    (is_whole && !target.is_wildcard()).then_some(target.name)
}

/// Changes the dependencies of a project as the overrides say.
pub(super) fn apply(overrides: &[Override], place: &Place<'_>, manifest: &mut ProjectManifest) {
    let choice = Choice::of(
        overrides,
        manifest.name.as_deref(),
        manifest.version.as_deref(),
    );
    let choose = |group: Group, alias: &str, specifier: &str| {
        let chosen = choice.choose(Some(group), alias, specifier)?;
        Some(located(chosen, Some(place)))
    };
    let optional = &mut manifest.optional_dependencies;
    for gone in change(optional, |alias, text| choose(Group::Optional, alias, text)) {
        manifest.dependencies.remove(&gone);
    }
    for (group, dependencies) in [
        (Group::Production, &mut manifest.dependencies),
        (Group::Development, &mut manifest.dev_dependencies),
    ] {
        change(dependencies, |alias, text| choose(group, alias, text));
    }
    for (alias, specifier) in manifest.peer_dependencies.clone() {
        match choose(Group::Peer, &alias, &specifier).as_deref() {
            None => {}
            Some(REMOVED) => {
                manifest.peer_dependencies.remove(&alias);
            }
            Some(text) if is_peer_range(text) => {
                manifest.peer_dependencies.insert(alias, text.into());
            }
            // What is no range says nothing of a peer.
            Some(_) => {}
        }
    }
}

/// Whether `overrides` change anything of a package.
pub(super) fn concern(overrides: &[Override], manifest: &VersionManifest) -> bool {
    if overrides.is_empty() {
        return false;
    }
    let choice = Choice::of(
        overrides,
        Some(manifest.name.as_str()),
        Some(&manifest.version),
    );
    let changes = |group: Group, alias: &PackageName, specifier: &str| {
        choice
            .choose(Some(group), alias.as_str(), specifier)
            .is_some()
    };
    let mut groups = [
        (Group::Production, &manifest.dependencies),
        (Group::Optional, &manifest.optional_dependencies),
        (Group::Peer, &manifest.peer_dependencies),
    ]
    .into_iter();
    let mut meta = manifest.peer_dependencies_meta.keys();
    groups.any(|(group, dependencies)| {
        let mut dependencies = dependencies.iter();
        dependencies.any(|(alias, specifier)| changes(group, alias, specifier))
    }) || meta.any(|alias| changes(Group::Peer, alias, "*"))
}

/// Whether an override says something of a dependency of the project `manifest`.
pub(super) fn is_about(
    overrides: &[Override],
    manifest: &Manifest,
    alias: &str,
    specifier: &str,
) -> bool {
    let (name, version) = (manifest.name.as_deref(), manifest.version.as_deref());
    let choice = Choice::of(overrides, name, version);
    let mut groups = Group::ALL.into_iter();
    groups.any(|group| choice.choose(Some(group), alias, specifier).is_some())
}

/// What the overrides make of a dependency of the project `manifest` that asks for any version;
/// `None`: nothing.
pub(super) fn of_any(
    overrides: &[Override],
    place: &Place<'_>,
    manifest: &Manifest,
    alias: &str,
) -> Option<Box<str>> {
    let (name, version) = (manifest.name.as_deref(), manifest.version.as_deref());
    let chosen = Choice::of(overrides, name, version).choose(None, alias, "*")?;
    (chosen != REMOVED).then(|| located(chosen, Some(place)))
}

/// As [`apply`], of a package.
pub(super) fn apply_to_package(
    overrides: &[Override],
    root: &Path,
    manifest: &mut VersionManifest,
) {
    let name = manifest.name.clone();
    let version = manifest.version.clone();
    let choice = Choice::of(overrides, Some(name.as_str()), Some(&version));
    let choose = |group: Group, alias: &str, specifier: &str| -> Option<Box<str>> {
        let chosen = choice.choose(Some(group), alias, specifier)?;
        Some(absolute(chosen, root))
    };
    let optional = &mut manifest.optional_dependencies;
    for gone in change_names(optional, |alias, text| choose(Group::Optional, alias, text)) {
        manifest.dependencies.shift_remove(&gone);
    }
    change_names(&mut manifest.dependencies, |alias, text| {
        choose(Group::Production, alias, text)
    });
    for (alias, specifier) in manifest.peer_dependencies.clone() {
        match choose(Group::Peer, alias.as_str(), &specifier).as_deref() {
            None => {}
            Some(REMOVED) => {
                manifest.peer_dependencies.shift_remove(&alias);
                manifest.peer_dependencies_meta.remove(&alias);
            }
            Some(text) if is_peer_range(text) => {
                manifest.peer_dependencies.insert(alias, text.into());
            }
            // What is no range says nothing of a peer.
            Some(_) => {}
        }
    }
    let ranges = &manifest.peer_dependencies;
    manifest.peer_dependencies_meta.retain(|alias, _| {
        ranges.contains_key(alias)
            || choose(Group::Peer, alias.as_str(), "*").as_deref() != Some(REMOVED)
    });
}

/// What the overrides make of a peer that a project gets though it does not declare it; `-`:
/// nothing.
pub(super) fn of_undeclared(
    overrides: &[Override],
    place: &Place<'_>,
    alias: &str,
    specifier: &str,
) -> Option<Box<str>> {
    let choice = Choice::of(overrides, None, None);
    let chosen = choice.choose(None, alias, specifier)?;
    Some(located(chosen, Some(place)))
}

/// What may stand in `peerDependencies`.
fn is_peer_range(text: &str) -> bool {
    Range::parse(text).is_ok() || text.contains("workspace:") || text.contains("catalog:")
}

/// The overrides that count for one manifest.
struct Choice<'a> {
    with_parent: Vec<&'a Override>,
    general: Vec<&'a Override>,
    converging: Vec<&'a Override>,
}

impl<'a> Choice<'a> {
    fn of(overrides: &'a [Override], name: Option<&str>, version: Option<&str>) -> Self {
        let mut choice = Self {
            with_parent: Vec::new(),
            general: Vec::new(),
            converging: Vec::new(),
        };
        for one in overrides {
            match &one.key.parent {
                _ if one.key.converges => choice.converging.push(one),
                Some(parent) if parent.is_package(name, version) => choice.with_parent.push(one),
                Some(_) => {}
                None => choice.general.push(one),
            }
        }
        choice
    }

    /// What a dependency of a group is to ask for; without a group, overrides of one do not count.
    fn choose(&self, group: Option<Group>, alias: &str, specifier: &str) -> Option<&'a str> {
        most_specific(&self.with_parent, group, alias, specifier)
            .or_else(|| most_specific(&self.general, group, alias, specifier))
            .or_else(|| self.converging(group, alias, specifier))
            .map(|chosen| &*chosen.specifier)
    }

    fn converging(
        &self,
        group: Option<Group>,
        alias: &str,
        specifier: &str,
    ) -> Option<&'a Override> {
        let mut converging = self.converging.iter();
        let one = converging.find(|one| one.is_of(group) && one.key.target.names(alias))?;
        let range = match specifier {
            "" => Range::any(),
            text => Range::parse(text).ok()?,
        };
        let version = Version::parse(&one.specifier).ok()?;
        range.satisfies(&version).then_some(*one)
    }
}

/// Changes a group of a project's dependencies. Gives those that are taken out.
fn change(
    group: &mut Specifiers,
    choose: impl Fn(&str, &str) -> Option<Box<str>>,
) -> Vec<Box<str>> {
    let mut gone = Vec::new();
    for (alias, specifier) in group.clone() {
        match choose(&alias, &specifier) {
            None => {}
            Some(text) if &*text == REMOVED => {
                group.remove(&alias);
                gone.push(alias);
            }
            Some(text) => {
                group.insert(alias, text);
            }
        }
    }
    gone
}

/// As [`change`], of a package.
fn change_names(
    group: &mut DependencyMap,
    choose: impl Fn(&str, &str) -> Option<Box<str>>,
) -> Vec<PackageName> {
    let mut gone = Vec::new();
    for (alias, specifier) in group.clone() {
        match choose(alias.as_str(), &specifier) {
            None => {}
            Some(text) if &*text == REMOVED => {
                group.shift_remove(&alias);
                gone.push(alias);
            }
            Some(text) => {
                group.insert(alias, text);
            }
        }
    }
    gone
}

/// The override that says most about the dependency: names go before patterns of names, the
/// parent's first; then one of a group goes before others, and then one whose range lies within
/// those of the others.
fn most_specific<'a>(
    overrides: &[&'a Override],
    group: Option<Group>,
    alias: &str,
    specifier: &str,
) -> Option<&'a Override> {
    let fits = |one: &&&'a Override| {
        let range = one.key.target.range.as_deref();
        one.is_of(group) && one.key.target.names(alias) && intersects(range, one.asked(specifier))
    };
    let range = |one: &Override| one.key.target.range.clone().unwrap_or_default();
    // Ranges are ordered only partly, so this is no sorting.
    overrides.iter().filter(fits).copied().reduce(|best, next| {
        let (best_range, next_range) = (range(best), range(next));
        let is_narrower = || {
            intersects(Some(&best_range), &next_range)
                && !intersects(Some(&next_range), &best_range)
        };
        let is_better = match next.vagueness().cmp(&best.vagueness()) {
            Ordering::Less => true,
            Ordering::Equal => is_narrower(),
            Ordering::Greater => false,
        };
        if is_better { next } else { best }
    })
}

/// Whether an override for `range` (or for all) concerns a dependency on `specifier`.
fn intersects(range: Option<&str>, specifier: &str) -> bool {
    let Some(range) = range.filter(|range| !range.is_empty() && *range != specifier) else {
        return true;
    };
    Range::parse(range)
        .ok()
        .zip(Range::parse(specifier).ok())
        .is_some_and(|(left, right)| left.allows_any(&right))
}

/// A path in an override is relative to the root, and in a manifest to the project.
fn located(specifier: &str, place: Option<&Place<'_>>) -> Box<str> {
    for protocol in ["link:", "file:"] {
        if let Some(path) = specifier.strip_prefix(protocol).map(Path::new)
            && let Some(place) = place
            && path.is_relative()
        {
            let path = relative(place.directory, &place.root.join(path));
            return format!("{protocol}{}", path.display()).into();
        }
    }
    specifier.into()
}

/// A path in an override of a package's dependency does not depend on where the package is.
fn absolute(specifier: &str, root: &Path) -> Box<str> {
    for protocol in ["link:", "file:"] {
        if let Some(path) = specifier.strip_prefix(protocol) {
            let names = normal(&root.join(path));
            let path: PathBuf = names.iter().collect();
            return format!("{protocol}/{}", path.display()).into();
        }
    }
    specifier.into()
}

/// A catalog's entry, for `catalog:` and `catalog:name`.
pub(super) fn catalog_entry<'a>(
    catalogs: &'a IndexMap<String, IndexMap<String, String>>,
    alias: &str,
    specifier: &str,
) -> Option<&'a str> {
    let entries = catalogs.get(catalog_name(specifier)?)?;
    entries.get(alias).map(String::as_str)
}

/// The catalog that `catalog:` and `catalog:name` are about.
fn catalog_name(specifier: &str) -> Option<&str> {
    Some(match specifier.strip_prefix("catalog:")?.trim() {
        "" => "default",
        name => name,
    })
}

/// Aliases and specifiers of a project, for `$name` in overrides: optional dependencies before
/// dependencies before devDependencies.
fn direct_specifiers(manifest: &Manifest) -> BTreeMap<&str, &str> {
    [
        &manifest.dev_dependencies,
        &manifest.dependencies,
        &manifest.optional_dependencies,
    ]
    .into_iter()
    .flatten()
    .map(|(alias, specifier)| (alias.as_str(), &**specifier))
    .collect()
}

fn relative(from: &Path, to: &Path) -> PathBuf {
    let (from, to) = (normal(from), normal(to));
    let common = from
        .iter()
        .zip(&to)
        .take_while(|(left, right)| left == right)
        .count();
    let climb = from.iter().skip(common).map(|_| "..".into());
    climb.chain(to.iter().skip(common).cloned()).collect()
}

/// The names of a path, with `.` and `..` worked out.
fn normal(path: &Path) -> Vec<std::ffi::OsString> {
    let mut names = Vec::new();
    for component in path.components() {
        match component {
            Component::Normal(name) => names.push(name.to_owned()),
            Component::ParentDir => {
                names.pop();
            }
            _ => {}
        }
    }
    names
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dependencies_of_projects_are_overridden() {
        let overrides: IndexMap<Box<str>, Box<str>> = [
            ("gone", "-"),
            ("all", "2.0.0"),
            ("some@^1", "1.5.0"),
            ("app>own", "3.0.0"),
            ("other>all", "9.0.0"),
            ("near", "link:./lib"),
            ("peer", "^7.0.0"),
            ("listed@^1", "1.2.3"),
        ]
        .map(|(key, value)| (key.into(), value.into()))
        .into();
        let entry = |range: &str| IndexMap::from([("listed".to_owned(), range.to_owned())]);
        let catalogs = [("default", "1"), ("other", "2")];
        let catalogs = catalogs.map(|(name, range)| (name.to_owned(), entry(range)));
        let catalogs = IndexMap::from(catalogs);
        let list = |list: &[(&str, &str)]| -> Specifiers {
            list.iter()
                .map(|(alias, text)| ((*alias).into(), (*text).into()))
                .collect()
        };
        let mut manifest = ProjectManifest {
            name: Some("app".into()),
            dependencies: list(&[
                ("gone", "1"),
                ("all", "^1"),
                ("some", "^2"),
                ("own", "1"),
                ("near", "1"),
            ]),
            dev_dependencies: list(&[("some", "1.0.0"), ("listed", "catalog:")]),
            optional_dependencies: list(&[("listed", "catalog:other")]),
            peer_dependencies: list(&[("peer", "^6"), ("listed", "catalog:")]),
            ..ProjectManifest::default()
        };
        let place = Place {
            root: Path::new("/w"),
            directory: Path::new("/w/packages/app"),
        };
        apply(&parsed(&overrides, &catalogs), &place, &mut manifest);
        let wanted = [
            ("all", "2.0.0"),
            ("near", "link:../../lib"),
            ("own", "3.0.0"),
            ("some", "^2"),
        ];
        assert_eq!(manifest.dependencies, list(&wanted));
        let development = [("some", "1.5.0"), ("listed", "1.2.3")];
        assert_eq!(manifest.dev_dependencies, list(&development));
        let optional = [("listed", "catalog:other")];
        assert_eq!(manifest.optional_dependencies, list(&optional));
        let peers = [("peer", "^7.0.0"), ("listed", "1.2.3")];
        assert_eq!(manifest.peer_dependencies, list(&peers));
    }

    #[test]
    fn names_go_before_patterns_and_groups_before_all() {
        let chosen = |keys: &[&str], group: Group| {
            let versions = ["1.0.0", "1.1.0"];
            let overrides = keys.iter().zip(versions);
            let overrides = overrides.map(|(key, version)| ((*key).into(), version.into()));
            let overrides = parsed(&overrides.collect(), &IndexMap::new());
            let choice = Choice::of(&overrides, Some("bb"), Some("1.0.0"));
            choice
                .choose(Some(group), "aa", "^1.0.0")
                .map(str::to_owned)
        };
        let table: [(&[&str], Option<&str>); 14] = [
            (&["*"], Some("1.0.0")),
            (&["b*>a*"], Some("1.0.0")),
            (&["c*>aa"], None),
            (&["aa:peer"], None),
            (&["a*", "aa"], Some("1.1.0")),
            (&["a*", "*a"], Some("1.0.0")),
            (&["a*", "a*@^1"], Some("1.1.0")),
            (&["aa@^1", "aa:prod"], Some("1.1.0")),
            (&["aa", "a*:prod"], Some("1.0.0")),
            (&["aa", "*>a*"], Some("1.1.0")),
            (&["*>aa", "bb>a*"], Some("1.1.0")),
            (&["b*@1>aa:prod", "bb>aa"], Some("1.1.0")),
            (&["a*", "aa@"], Some("1.0.0")),
            (&["bb>aa", "bb>aa@^1"], Some("1.1.0")),
        ];
        for (keys, wanted) in table {
            assert_eq!(
                chosen(keys, Group::Production).as_deref(),
                wanted,
                "{keys:?}"
            );
        }
        let of_group = ["aa", "aa:optional"];
        let development = chosen(&of_group, Group::Development);
        assert_eq!(development.as_deref(), Some("1.0.0"));
        assert_eq!(chosen(&of_group, Group::Optional).as_deref(), Some("1.1.0"));
    }
}
