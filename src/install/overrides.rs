//! `overrides`: as a lockfile records them, and applied to the manifests of projects and packages.

use std::collections::BTreeMap;
use std::path::{Component, Path, PathBuf};

use indexmap::IndexMap;
use node_semver::{Range, Version};

use crate::install::config::Config;
use crate::install::lockfile::{ProjectManifest, Specifiers};
use crate::install::manifest::{DependencyMap, Manifest};
use crate::install::metadata::VersionManifest;
use crate::name::PackageName;

/// The value that takes a dependency out.
const REMOVED: &str = "-";

/// One entry of `overrides`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Override {
    parent: Option<Selector>,
    target: Selector,
    specifier: Box<str>,
    /// The key ends in `@`: the version of all whose range allows it.
    converges: bool,
    /// What catalogs have for the target, by the name of the catalog.
    entries: Vec<(Box<str>, Box<str>)>,
}

impl Override {
    /// What a dependency on the target asks for: what the catalog has that it names.
    fn asked<'s>(&'s self, specifier: &'s str) -> &'s str {
        let named = catalog_name(specifier);
        let named = named.and_then(|name| self.entries.iter().find(|(known, _)| **known == *name));
        named.map_or(specifier, |(_, entry)| entry)
    }
}

/// `name` or `name@range`.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Selector {
    name: Box<str>,
    range: Option<Box<str>>,
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
        let target = parse_key(key).1.name;
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
            let (converges, key) = match key.strip_suffix('@') {
                Some(name) if !name.is_empty() => (true, name),
                _ => (false, &**key),
            };
            let (parent, target) = parse_key(key);
            Override {
                entries: entries(&target.name),
                parent,
                target,
                specifier: specifier.clone(),
                converges,
            }
        })
        .collect()
}

/// The part of the key of an override that names no package, if there is one.
pub(super) fn invalid_selector(key: &str) -> Option<Box<str>> {
    let key = key
        .strip_suffix('@')
        .filter(|name| !name.is_empty())
        .unwrap_or(key);
    let (parent, target) = parse_key(key);
    let selectors = parent.into_iter().chain([target]);
    let mut names = selectors.map(|selector| selector.name);
    names.find(|name| PackageName::new(name).is_err())
}

/// A `>` parts parent and child where it does not belong to a range.
fn parse_key(key: &str) -> (Option<Selector>, Selector) {
    let bytes = key.as_bytes();
    let delimiter = (1..bytes.len())
        .find(|at| bytes[*at] == b'>' && !matches!(bytes[*at - 1], b' ' | b'|' | b'@'));
    match delimiter {
        Some(at) => (Some(selector(&key[..at])), selector(&key[at + 1..])),
        None => (None, selector(key)),
    }
}

fn selector(text: &str) -> Selector {
    let at = text
        .char_indices()
        .skip(1)
        .find(|(_, letter)| *letter == '@')
        .map(|(at, _)| at);
    match at {
        Some(at) => Selector {
            name: text[..at].into(),
            range: Some(text[at + 1..].into()),
        },
        None => Selector {
            name: text.into(),
            range: None,
        },
    }
}

/// The package that the override `key` is about, where it is about all of its versions and
/// dependants.
pub(super) fn whole_target(key: &str) -> Option<Box<str>> {
    let (parent, target) = parse_key(key);
    let is_whole = parent.is_none() && target.range.is_none() && !key.ends_with('@');
    is_whole.then_some(target.name)
}

/// Changes the dependencies of a project as the overrides say.
pub(super) fn apply(overrides: &[Override], place: &Place<'_>, manifest: &mut ProjectManifest) {
    let choice = Choice::of(
        overrides,
        manifest.name.as_deref(),
        manifest.version.as_deref(),
    );
    let choose = |alias: &str, specifier: &str| {
        let chosen = choice.choose(alias, specifier)?;
        Some(located(chosen, Some(place)))
    };
    for group in [
        &mut manifest.dependencies,
        &mut manifest.dev_dependencies,
        &mut manifest.optional_dependencies,
    ] {
        change(group, &choose);
    }
    for (alias, specifier) in manifest.peer_dependencies.clone() {
        match choose(&alias, &specifier).as_deref() {
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
    [
        &manifest.dependencies,
        &manifest.optional_dependencies,
        &manifest.peer_dependencies,
    ]
    .into_iter()
    .flatten()
    .map(|(alias, specifier)| (alias, &**specifier))
    .chain(
        manifest
            .peer_dependencies_meta
            .keys()
            .map(|alias| (alias, "*")),
    )
    .any(|(alias, specifier)| choice.choose(alias.as_str(), specifier).is_some())
}

/// Whether an override says something of a dependency of the project `manifest`.
pub(super) fn is_about(
    overrides: &[Override],
    manifest: &Manifest,
    alias: &str,
    specifier: &str,
) -> bool {
    let (name, version) = (manifest.name.as_deref(), manifest.version.as_deref());
    Choice::of(overrides, name, version)
        .choose(alias, specifier)
        .is_some()
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
    let chosen = Choice::of(overrides, name, version).choose(alias, "*")?;
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
    let choose = |alias: &str, specifier: &str| -> Option<Box<str>> {
        let chosen = choice.choose(alias, specifier)?;
        Some(absolute(chosen, root))
    };
    for group in [
        &mut manifest.dependencies,
        &mut manifest.optional_dependencies,
    ] {
        change_names(group, &choose);
    }
    for (alias, specifier) in manifest.peer_dependencies.clone() {
        match choose(alias.as_str(), &specifier).as_deref() {
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
        ranges.contains_key(alias) || choose(alias.as_str(), "*").as_deref() != Some(REMOVED)
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
    let chosen = choice.choose(alias, specifier)?;
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
            match &one.parent {
                _ if one.converges => choice.converging.push(one),
                Some(parent) if is_parent(parent, name, version) => choice.with_parent.push(one),
                Some(_) => {}
                None => choice.general.push(one),
            }
        }
        choice
    }

    fn choose(&self, alias: &str, specifier: &str) -> Option<&'a str> {
        most_specific(&self.with_parent, alias, specifier)
            .or_else(|| most_specific(&self.general, alias, specifier))
            .or_else(|| self.converging(alias, specifier))
            .map(|chosen| &*chosen.specifier)
    }

    fn converging(&self, alias: &str, specifier: &str) -> Option<&'a Override> {
        let one = self
            .converging
            .iter()
            .find(|one| *one.target.name == *alias)?;
        let range = match specifier {
            "" => Range::any(),
            text => Range::parse(text).ok()?,
        };
        let version = Version::parse(&one.specifier).ok()?;
        range.satisfies(&version).then_some(*one)
    }
}

fn change(group: &mut Specifiers, choose: &impl Fn(&str, &str) -> Option<Box<str>>) {
    for (alias, specifier) in group.clone() {
        match choose(&alias, &specifier) {
            None => {}
            Some(text) if &*text == REMOVED => {
                group.remove(&alias);
            }
            Some(text) => {
                group.insert(alias, text);
            }
        }
    }
}

fn change_names(group: &mut DependencyMap, choose: &impl Fn(&str, &str) -> Option<Box<str>>) {
    for (alias, specifier) in group.clone() {
        match choose(alias.as_str(), &specifier) {
            None => {}
            Some(text) if &*text == REMOVED => {
                group.shift_remove(&alias);
            }
            Some(text) => {
                group.insert(alias, text);
            }
        }
    }
}

fn is_parent(parent: &Selector, name: Option<&str>, version: Option<&str>) -> bool {
    if name != Some(&*parent.name) {
        return false;
    }
    let Some(range) = &parent.range else {
        return true;
    };
    let version = version.and_then(|text| Version::parse(text).ok());
    let range = Range::parse(range).ok();
    range
        .zip(version)
        .is_some_and(|(range, version)| range.satisfies(&version))
}

/// The override whose range lies within those of the others.
fn most_specific<'a>(
    overrides: &[&'a Override],
    alias: &str,
    specifier: &str,
) -> Option<&'a Override> {
    let fits = |one: &&&'a Override| {
        let range = one.target.range.as_deref();
        *one.target.name == *alias && intersects(range, one.asked(specifier))
    };
    let range = |one: &Override| one.target.range.clone().unwrap_or_default();
    // Ranges are ordered only partly, so this is no sorting.
    overrides.iter().filter(fits).copied().reduce(|best, next| {
        let (best_range, next_range) = (range(best), range(next));
        let is_narrower = intersects(Some(&best_range), &next_range)
            && !intersects(Some(&next_range), &best_range);
        if is_narrower { next } else { best }
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
    fn keys_are_parted_at_the_arrow_that_is_no_comparison() {
        let parts = |key: &str| {
            let (parent, target) = parse_key(key);
            (
                parent.map(|parent| parent.name.to_string()),
                target.name,
                target.range,
            )
        };
        let table = [
            ("foo", (None, "foo", None)),
            ("@s/foo@>=1", (None, "@s/foo", Some(">=1"))),
            ("bar@1>foo", (Some("bar"), "foo", None)),
            (
                "@s/bar>@s/foo@<2 || >3",
                (Some("@s/bar"), "@s/foo", Some("<2 || >3")),
            ),
        ];
        for (key, (parent, name, range)) in table {
            let wanted = (
                parent.map(str::to_owned),
                name.into(),
                range.map(Into::into),
            );
            assert_eq!(parts(key), wanted, "{key}");
        }
    }

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
}
