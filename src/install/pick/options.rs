//! What a choice depends on beside packument and specifier.

use std::collections::BTreeMap;

use jiff::Timestamp;

use super::Selector;

/// Weight of what a direct dependency of a project asks for.
pub const WEIGHT_DIRECT: u64 = 1_000;

/// Weight of a version that the lockfile has.
pub const WEIGHT_LOCKED: u64 = 1_000_000;

/// A selector that is preferred, and how much.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PreferredSelector {
    /// What is preferred.
    pub selector: Selector,
    /// 1, [`WEIGHT_DIRECT`] or [`WEIGHT_LOCKED`], or sums of them.
    pub weight: u64,
}

/// Versions of one package that are preferred, by the text of their selectors.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Preferred {
    selectors: BTreeMap<Box<str>, PreferredSelector>,
}

impl Preferred {
    /// No preference.
    pub fn none() -> Self {
        Self::default()
    }

    /// Prefers `selector` with `weight`; a later call for the same text replaces an earlier one.
    pub fn insert(&mut self, selector: Selector, weight: u64) {
        let text = selector.as_str().into();
        self.selectors
            .insert(text, PreferredSelector { selector, weight });
    }

    /// The weight of the selector `text`.
    pub fn weight(&self, text: &str) -> Option<u64> {
        Some(self.selectors.get(text)?.weight)
    }

    /// Whether nothing is preferred.
    pub fn is_empty(&self) -> bool {
        self.selectors.is_empty()
    }

    /// All of them, sorted by text.
    pub fn iter(&self) -> impl Iterator<Item = &PreferredSelector> {
        self.selectors.values()
    }
}

/// How a version is chosen.
#[derive(Debug, Clone, Default)]
pub struct PickOptions {
    /// The lowest version of a range instead of the highest.
    pub lowest: bool,
    /// The higher of what the specifier and what `latest` chooses.
    pub include_latest_tag: bool,
    /// Only versions published until then count (`minimumReleaseAge`, or `time-based`).
    pub published_by: Option<Timestamp>,
    /// `minimumReleaseAgeExclude`: packages and versions that `published_by` does not concern.
    pub published_by_exclude: PackagePatterns,
}

/// Patterns of packages: `name`, `@scope/*`, `name@1.0.0 || 2.0.0`.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct PackagePatterns {
    pub(super) rules: Vec<PackageRule>,
}

/// One of [`PackagePatterns`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct PackageRule {
    pub(super) name: Box<str>,
    /// Empty: all versions.
    pub(super) versions: Vec<Box<str>>,
}
