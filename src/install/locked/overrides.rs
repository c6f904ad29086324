//! `overrides` as the check of the lockfile needs them: resolved, and applied to the manifests of
//! projects.

use std::path::{Component, Path, PathBuf};

use indexmap::IndexMap;

use super::check::{catalog_entry, direct_specifiers};
use crate::install::config::Config;
use crate::install::lockfile::{ProjectManifest, Specifiers};
use crate::install::manifest::Manifest;
use crate::install::semver::{Range, Version};

/// The value that takes a dependency out.
const REMOVED: &str = "-";

/// One entry of `overrides`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Override {
    parent: Option<Selector>,
    target: Selector,
    specifier: Box<str>,
}

/// `name` or `name@range`.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Selector {
    name: Box<str>,
    range: Option<Box<str>>,
}

/// Where a project is, for overrides that name a path.
pub(super) struct Place<'a> {
    pub(super) root: &'a Path,
    pub(super) directory: &'a Path,
}

/// The overrides as a lockfile records them: with the `resolutions` of the root project, and with
/// `$name` and `catalog:` replaced by what they stand for.
pub(super) fn resolved(config: &Config, root: Option<&Manifest>) -> IndexMap<Box<str>, Box<str>> {
    let direct = root.map(direct_specifiers).unwrap_or_default();
    let resolutions = root.and_then(|manifest| manifest.resolutions.as_ref());
    let mut all: IndexMap<Box<str>, Box<str>> = IndexMap::new();
    for (key, value) in resolutions.into_iter().flatten() {
        if let Some(value) = value.as_str() {
            all.insert(key.as_str().into(), value.into());
        }
    }
    for (key, value) in &config.graph.overrides {
        all.insert(key.as_str().into(), value.as_str().into());
    }
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

/// Entry by entry.
pub(super) fn parsed(overrides: &IndexMap<Box<str>, Box<str>>) -> Vec<Override> {
    overrides
        .iter()
        .map(|(key, specifier)| {
            let (parent, target) = parse_key(key);
            Override {
                parent,
                target,
                specifier: specifier.clone(),
            }
        })
        .collect()
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

/// Changes the dependencies of a project as the overrides say.
pub(super) fn apply(overrides: &[Override], place: &Place<'_>, manifest: &mut ProjectManifest) {
    let (with_parent, general): (Vec<&Override>, Vec<&Override>) = overrides
        .iter()
        .filter(|one| {
            one.parent
                .as_ref()
                .is_none_or(|parent| is_parent(parent, manifest))
        })
        .partition(|one| one.parent.is_some());
    let choose = |alias: &str, specifier: &str| {
        most_specific(&with_parent, alias, specifier)
            .or_else(|| most_specific(&general, alias, specifier))
            .map(|chosen| located(&chosen.specifier, place))
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
            Some(text) if Range::parse(text).is_some() => {
                manifest.peer_dependencies.insert(alias, text.into());
            }
            Some(text) => {
                manifest.dependencies.insert(alias, text.into());
            }
        }
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

fn is_parent(parent: &Selector, manifest: &ProjectManifest) -> bool {
    if manifest.name.as_deref() != Some(&*parent.name) {
        return false;
    }
    let Some(range) = &parent.range else {
        return true;
    };
    let version = manifest.version.as_deref().and_then(Version::parse);
    Range::parse(range)
        .zip(version)
        .is_some_and(|(range, version)| range.contains(&version))
}

/// An override with a range before one without.
fn most_specific<'a>(
    overrides: &[&'a Override],
    alias: &str,
    specifier: &str,
) -> Option<&'a Override> {
    let fits = |one: &&&'a Override| {
        *one.target.name == *alias
            && one
                .target
                .range
                .as_deref()
                .is_none_or(|range| intersects(range, specifier))
    };
    let mut fitting: Vec<&'a Override> = overrides.iter().filter(fits).copied().collect();
    fitting.sort_by_key(|one| one.target.range.is_none());
    fitting.first().copied()
}

fn intersects(left: &str, right: &str) -> bool {
    left == right
        || Range::parse(left)
            .zip(Range::parse(right))
            .is_some_and(|(left, right)| left.intersects(&right))
}

/// A path in an override is relative to the root, and in a manifest to the project.
fn located(specifier: &str, place: &Place<'_>) -> Box<str> {
    for protocol in ["link:", "file:"] {
        if let Some(path) = specifier.strip_prefix(protocol).map(Path::new)
            && path.is_relative()
        {
            let path = relative(place.directory, &place.root.join(path));
            return format!("{protocol}{}", path.display()).into();
        }
    }
    specifier.into()
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
        ]
        .map(|(key, value)| (key.into(), value.into()))
        .into();
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
            dev_dependencies: list(&[("some", "1.0.0")]),
            peer_dependencies: list(&[("peer", "^6")]),
            ..ProjectManifest::default()
        };
        let place = Place {
            root: Path::new("/w"),
            directory: Path::new("/w/packages/app"),
        };
        apply(&parsed(&overrides), &place, &mut manifest);
        let wanted = [
            ("all", "2.0.0"),
            ("near", "link:../../lib"),
            ("own", "3.0.0"),
            ("some", "^2"),
        ];
        assert_eq!(manifest.dependencies, list(&wanted));
        assert_eq!(manifest.dev_dependencies, list(&[("some", "1.5.0")]));
        assert_eq!(manifest.peer_dependencies, list(&[("peer", "^7.0.0")]));
    }
}
