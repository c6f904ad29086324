//! Which version of a missing peer a project is given.

use std::sync::Arc;

use node_semver::{Range, Version};
use rustc_hash::FxHashSet;

use super::hoist::Declared;
use super::pre_releases::{allows_pre_releases, with_whole_bounds};
use super::resolved::Resolved;
use super::versions::{comparable_range, have_common_version, intersection, of_alias};
use crate::install::pick::{Preferred, Selector};

/// In front of ranges that a project of the workspace has to be in.
const WORKSPACE: &str = "workspace:";

/// A dependency of the root project.
#[derive(Debug, Clone)]
pub(super) struct RootDependency {
    alias: Box<str>,
    name: Box<str>,
    /// What stands for it elsewhere; `None`: a path without a version.
    specifier: Option<Box<str>>,
}

impl RootDependency {
    pub(super) fn new(declared: &Declared, resolved: Option<&Arc<Resolved>>) -> Self {
        let name = match resolved {
            Some(resolved) => resolved.manifest.name.as_str(),
            None => of_alias(&declared.specifier).map_or(declared.alias.as_str(), |(name, _)| name),
        };
        let specifier = &declared.specifier;
        let is_path = ["link:", "file:", "workspace:."]
            .iter()
            .any(|protocol| specifier.starts_with(protocol));
        let version = resolved.map(|resolved| resolved.manifest.version.clone());
        Self {
            alias: declared.alias.as_str().into(),
            name: name.into(),
            specifier: match is_path {
                true => version.filter(|version| Version::parse(&**version).is_ok()),
                false => Some(specifier.clone()),
            },
        }
    }
}

/// What stands in the root project for the package `name`: under that alias, else the first of
/// that name.
pub(super) fn of_root<'r>(root: &'r [RootDependency], name: &str) -> Option<&'r str> {
    let candidates = || root.iter().filter(|one| one.specifier.is_some());
    let found = candidates().find(|one| *one.alias == *name).or_else(|| {
        candidates()
            .filter(|one| *one.name == *name)
            .min_by(|left, right| left.alias.cmp(&right.alias))
    });
    found?.specifier.as_deref()
}

/// What is preferred of a package.
#[derive(Debug, Clone, Default)]
pub(super) struct Candidates {
    versions: Vec<Box<str>>,
    others: Vec<Box<str>>,
}

impl Candidates {
    /// Everything that is preferred.
    pub(super) fn of(preferred: &Preferred) -> Self {
        let mut candidates = Self::default();
        for one in preferred.iter() {
            candidates.add_selector(&one.selector);
        }
        candidates
    }

    pub(super) fn is_empty(&self) -> bool {
        self.versions.is_empty() && self.others.is_empty()
    }

    fn add_selector(&mut self, selector: &Selector) {
        match selector {
            Selector::Version(version) => self.add_version(version),
            Selector::Tag(text) | Selector::Range { text, .. } => self.others.push(text.clone()),
        }
    }

    pub(super) fn add_version(&mut self, version: &str) {
        if !self.versions.iter().any(|known| **known == *version) {
            self.versions.push(version.into());
        }
    }

    /// Only versions that were chosen for something (`there`), where one of them is in `range`:
    /// what the lockfile has besides was there for the peer alone.
    pub(super) fn there(self, there: &[Box<str>], range: &str) -> Self {
        let comparable = comparable_range(range);
        let is_in_range = |text: &str| {
            Version::parse(text).is_ok_and(|version| allows_pre_releases(&comparable, &version))
        };
        if !there.iter().any(|text| is_in_range(text)) {
            return self;
        }
        self.only(there)
    }

    /// Only versions that are `there`, with nothing else where there is none.
    pub(super) fn only(self, there: &[Box<str>]) -> Self {
        let found = self.where_version(|version| there.iter().any(|one| **one == *version));
        match found.versions.is_empty() {
            true => Self::default(),
            false => found,
        }
    }

    /// Only the versions that `allows` says yes to.
    pub(super) fn where_version(&self, allows: impl Fn(&str) -> bool) -> Self {
        let versions = self.versions.iter().filter(|version| allows(version));
        Self {
            versions: versions.cloned().collect(),
            others: self.others.clone(),
        }
    }

    /// The highest version that `allows` says yes to.
    pub(super) fn highest(&self, allows: impl Fn(&Version) -> bool) -> Option<&str> {
        let parsed = self
            .versions
            .iter()
            .filter_map(|text| Some((Version::parse(&**text).ok()?, text)));
        parsed
            .filter(|(version, _)| allows(version))
            .max_by(|left, right| left.0.cmp(&right.0))
            .map(|(_, text)| &**text)
    }
}

/// The specifier for a required peer; `None`: it stays missing.
pub(super) fn required(
    range: &str,
    candidates: Option<&Candidates>,
    installs: bool,
) -> Option<String> {
    let as_it_is = || installs.then(|| range.to_owned());
    // What has a protocol or is a path is no package of a registry.
    let is_exotic = range.contains(':') || range.starts_with(['.', '/']);
    let Some(candidates) = candidates.filter(|_| !is_exotic) else {
        return as_it_is();
    };
    let comparable = comparable_range(range);
    let is_range = Range::parse(&comparable).is_ok();
    let joined = |first: Option<&str>| {
        let others = candidates.others.iter().map(|text| &**text);
        let parts: Vec<&str> = first.into_iter().chain(others).collect();
        (!parts.is_empty()).then(|| parts.join(" || "))
    };
    if is_range {
        let fitting = candidates.highest(|version| allows_pre_releases(&comparable, version));
        if let Some(fitting) = fitting {
            return Some(fitting.to_owned());
        }
        if !candidates.versions.is_empty() {
            return as_it_is();
        }
    }
    joined(candidates.highest(|_| true))
}

/// The version for an optional peer: one that is there anyway, that all ranges allow, and that the
/// lockfile has for it (`locked`), if it has any.
pub(super) fn optional(
    ranges: &[String],
    candidates: &Candidates,
    root: Option<&str>,
    locked: Option<&FxHashSet<Box<str>>>,
) -> Option<String> {
    let parsed = |range: &str| Range::parse(with_whole_bounds(range)).ok();
    let root = root.and_then(|specifier| parsed(&comparable_range(specifier)));
    let parsed: Option<Vec<Range>> = ranges.iter().map(|range| parsed(range)).collect();
    let parsed = parsed?;
    let allows = |version: &Version| {
        parsed.iter().all(|range| range.satisfies(version))
            && root.as_ref().is_none_or(|range| range.satisfies(version))
    };
    let candidates = match locked {
        None => candidates.clone(),
        Some(locked) => Candidates {
            versions: candidates
                .versions
                .iter()
                .filter(|version| locked.contains(*version))
                .cloned()
                .collect(),
            others: Vec::new(),
        },
    };
    candidates.highest(allows).map(str::to_owned)
}

/// Whether what the root project asks for may be a version that each of `ranges` allows.
pub(super) fn may_be_of_root(ranges: &[String], root: &str) -> bool {
    let root = comparable_range(root);
    ranges
        .iter()
        .all(|range| have_common_version(&[&root, range]))
}

/// One specifier for all `ranges`; `None` where they do not go together.
pub(super) fn merged(ranges: &[&str], highest: bool) -> Option<String> {
    let mut unique: Vec<&str> = Vec::new();
    for range in ranges {
        if !unique.contains(range) {
            unique.push(range);
        }
    }
    if let [only] = unique.as_slice() {
        return Some((*only).to_owned());
    }
    let plain: Vec<&str> = unique
        .iter()
        .map(|range| without_workspace(range))
        .collect();
    let are_ranges = || plain.iter().all(|range| Range::parse(*range).is_ok());
    let merged =
        intersection(&plain).or_else(|| (highest && are_ranges()).then(|| plain.join(" || ")))?;
    // What one of them wants of the workspace is of the workspace.
    Some(match plain == unique {
        true => merged,
        false => format!("{WORKSPACE}{merged}"),
    })
}

fn without_workspace(range: &str) -> &str {
    range.strip_prefix(WORKSPACE).unwrap_or(range)
}

/// Each of `ranges` once, as it can be compared. Of the workspace there is nothing to compare.
pub(super) fn comparable<'r>(ranges: impl Iterator<Item = &'r str>) -> Vec<String> {
    let mut found: Vec<String> = Vec::new();
    for range in ranges {
        let range = match range.starts_with(WORKSPACE) {
            true => range.to_owned(),
            false => comparable_range(range),
        };
        if !found.contains(&range) {
            found.push(range);
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    fn candidates(versions: &[&str], others: &[&str]) -> Candidates {
        Candidates {
            versions: versions.iter().map(|&text| text.into()).collect(),
            others: others.iter().map(|&text| text.into()).collect(),
        }
    }

    #[test]
    fn required_peers_take_what_is_there_if_it_fits() {
        let here = candidates(&["1.0.0", "1.5.0", "2.0.0"], &["^1"]);
        for (range, found, expected) in [
            ("^1.0.0", Some(&here), Some("1.5.0")),
            ("^3.0.0", Some(&here), Some("^3.0.0")),
            ("latest", Some(&here), Some("2.0.0")),
            ("latest", Some(&candidates(&[], &["^1"])), Some("^1")),
            ("^1.0.0", None, Some("^1.0.0")),
            (
                "^18.x",
                Some(&candidates(&["18.0.0-rc.1"], &[])),
                Some("18.0.0-rc.1"),
            ),
            (
                "^18.0.0",
                Some(&candidates(&["18.0.0-rc.1"], &[])),
                Some("^18.0.0"),
            ),
        ] {
            assert_eq!(required(range, found, true).as_deref(), expected, "{range}");
        }
        assert_eq!(required("^3.0.0", Some(&here), false), None);
        for range in ["workspace:^1", "workspace:*", "npm:other@^1", "./lib"] {
            assert_eq!(required(range, Some(&here), true).as_deref(), Some(range));
            assert_eq!(required(range, Some(&here), false), None, "{range}");
        }
    }

    #[test]
    fn optional_peers_take_only_what_is_there() {
        let here = candidates(&["1.0.0", "1.5.0", "2.0.0"], &["^1"]);
        let ranges = |list: &[&str]| list.iter().map(|&text| text.to_owned()).collect::<Vec<_>>();
        let found = |list: &[&str]| optional(&ranges(list), &here, None, None);
        assert_eq!(found(&["^1", ">=1"]).as_deref(), Some("1.5.0"));
        assert_eq!(found(&["^1", "^2"]), None);
        assert_eq!(found(&["workspace:^1"]), None);
        let bounded = optional(&ranges(&["*"]), &here, Some("1.0.0"), None);
        assert_eq!(bounded.as_deref(), Some("1.0.0"));
        for (list, root, expected) in [
            (&["^1"][..], "^2", false),
            (&["^1", "*"], "^2", false),
            (&["^1"], ">=1.7 <2.1", true),
            (&["^2.0.0"], "2.1.0-rc.1", true),
            (&["~2.0.0"], "2.1.0-rc.1", false),
            (&["^1"], "latest", true),
        ] {
            assert_eq!(
                may_be_of_root(&ranges(list), root),
                expected,
                "{list:?} {root}"
            );
        }
    }

    #[test]
    fn ranges_of_several_dependants_are_merged() {
        assert_eq!(merged(&["^1", "^1"], false).as_deref(), Some("^1"));
        assert_eq!(merged(&["^1", "^2"], false), None);
        assert_eq!(merged(&["^1", "^2"], true).as_deref(), Some("^1 || ^2"));
        for ranges in [["^1", "latest"], ["^1", "npm:other@^1"]] {
            assert_eq!(merged(&ranges, true), None, "{ranges:?}");
        }
        let of_workspace = merged(&["workspace:^1.2.0", "^1.0.0"], false);
        assert!(of_workspace.is_some_and(|range| range.starts_with("workspace:")));
        let both = merged(&["2", "^2.2.0"], false).expect("they go together");
        let range = Range::parse(&both).expect("a range");
        assert!(range.satisfies(&Version::from((2, 3, 0))));
        assert!(!range.satisfies(&Version::from((2, 1, 0))));
    }
}
