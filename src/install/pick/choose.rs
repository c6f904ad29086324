//! The choice of a version.

use std::collections::BTreeMap;

use jiff::Timestamp;

use super::options::{Exclusion, PickOptions, Preferred, PreferredSelector, WEIGHT_LOCKED};
use super::selector::Selector;
use crate::diagnostic::Diagnostic;
use crate::install::metadata::{Packument, VersionIndex};
use crate::install::semver::{Range, Version};

/// Why no choice can be made.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PickError {
    /// The packument has no versions.
    #[error("No versions available for {package}. The package may be unpublished.")]
    NoVersions {
        /// The package.
        package: String,
    },
    /// All versions were taken back.
    #[error("No versions available for {package} because it was unpublished")]
    Unpublished {
        /// The package.
        package: String,
    },
    /// Times are needed and the packument has none.
    #[error("The metadata of {package} is missing the \"time\" field")]
    MissingTime {
        /// The package.
        package: String,
    },
}

impl Diagnostic for PickError {
    fn code(&self) -> &'static str {
        match self {
            Self::NoVersions { .. } => "ERR_PNPM_NO_VERSIONS",
            Self::Unpublished { .. } => "ERR_PNPM_UNPUBLISHED_PKG",
            Self::MissingTime { .. } => "ERR_PNPM_MISSING_TIME",
        }
    }

    fn hint(&self) -> Option<String> {
        let hint = match self {
            Self::NoVersions { .. } | Self::Unpublished { .. } => {
                "depend on another package, or name the registry that has it in .npmrc"
            }
            Self::MissingTime { .. } => {
                "the registry does not say when versions were published: leave out \
                 resolutionMode: time-based, or set minimumReleaseAgeIgnoreMissingTime"
            }
        };
        Some(hint.to_owned())
    }
}

/// Chooses a version of `packument`; `None`: nothing satisfies `selector`. Where nothing that was
/// published until `options.published_by` does, the lowest of the others is chosen, which
/// [`is_immature`] tells.
///
/// # Errors
/// There are no versions at all; times are needed and missing.
pub fn pick(
    packument: &Packument,
    selector: &Selector,
    preferred: &Preferred,
    options: &PickOptions,
) -> Result<Option<VersionIndex>, PickError> {
    pick_without(packument, selector, preferred, options, &[])
}

/// As [`pick`], of the versions that are not in `refused`.
///
/// # Errors
/// As [`pick`].
pub fn pick_without(
    packument: &Packument,
    selector: &Selector,
    preferred: &Preferred,
    options: &PickOptions,
    refused: &[VersionIndex],
) -> Result<Option<VersionIndex>, PickError> {
    let choose = |selector: &Selector| choose(packument, selector, preferred, options, refused);
    let chosen = choose(selector)?;
    if !options.include_latest_tag {
        return Ok(chosen);
    }
    // The order of indexes is that of precedence.
    Ok(chosen.max(choose(&Selector::Tag("latest".into()))?))
}

fn choose(
    packument: &Packument,
    selector: &Selector,
    preferred: &Preferred,
    options: &PickOptions,
    refused: &[VersionIndex],
) -> Result<Option<VersionIndex>, PickError> {
    let view = View::new(packument, options, refused)?;
    if view.is_limited() {
        let mature = view.choose(selector, preferred, options.lowest);
        if mature.is_some() {
            return Ok(mature);
        }
    }
    if packument.is_empty() {
        let package = packument.name().as_str().to_owned();
        return Err(if packument.is_unpublished() {
            PickError::Unpublished { package }
        } else {
            PickError::NoVersions { package }
        });
    }
    let lowest = options.lowest || options.published_by.is_some();
    Ok(View::whole(packument, refused).choose(selector, preferred, lowest))
}

/// Whether the version was published after `options.published_by`, as far as is known, and is not
/// excepted.
pub fn is_immature(packument: &Packument, version: VersionIndex, options: &PickOptions) -> bool {
    let Some(cutoff) = options.published_by else {
        return false;
    };
    let excluded = options.published_by_exclude.of(packument.name());
    !excluded.covers(packument.version(version))
        && packument.time(version).is_some_and(|time| time > cutoff)
}

/// The versions that may be chosen.
struct View<'a> {
    packument: &'a Packument,
    /// Until when they must have been published, and which need not.
    limit: Option<(Timestamp, Exclusion<'a>)>,
    /// Whether a limit is asked for; all versions may keep it.
    is_limited: bool,
    /// Versions that were chosen before, and refused.
    refused: &'a [VersionIndex],
}

impl<'a> View<'a> {
    fn whole(packument: &'a Packument, refused: &'a [VersionIndex]) -> Self {
        Self {
            packument,
            refused,
            limit: None,
            is_limited: false,
        }
    }

    fn new(
        packument: &'a Packument,
        options: &'a PickOptions,
        refused: &'a [VersionIndex],
    ) -> Result<Self, PickError> {
        let mut view = Self::whole(packument, refused);
        let Some(cutoff) = options.published_by else {
            return Ok(view);
        };
        view.is_limited = true;
        let excluded = options.published_by_exclude.of(packument.name());
        if matches!(excluded, Exclusion::All) {
            return Ok(view);
        }
        if packument.has_times() {
            view.limit = Some((cutoff, excluded));
            return Ok(view);
        }
        // Nothing was published since, whatever the times are.
        match packument.modified() {
            Some(modified) if modified <= cutoff => Ok(view),
            _ => Err(PickError::MissingTime {
                package: packument.name().as_str().to_owned(),
            }),
        }
    }

    fn is_limited(&self) -> bool {
        self.is_limited
    }

    fn has(&self, index: VersionIndex) -> bool {
        if self.refused.contains(&index) {
            return false;
        }
        match &self.limit {
            None => true,
            Some((cutoff, excluded)) => {
                excluded.covers(self.packument.version(index))
                    || self
                        .packument
                        .time(index)
                        .is_some_and(|time| time <= *cutoff)
            }
        }
    }

    fn find(&self, text: &str) -> Option<VersionIndex> {
        self.packument.find(text).filter(|index| self.has(*index))
    }

    /// All that are versions for npm, the lowest first.
    fn ordered(&self) -> impl DoubleEndedIterator<Item = (VersionIndex, Version)> {
        let visible = self.packument.ordered().filter(|index| self.has(*index));
        visible
            .filter_map(|index| Some((index, Version::parse_loose(self.packument.version(index))?)))
    }

    fn choose(
        &self,
        selector: &Selector,
        preferred: &Preferred,
        lowest: bool,
    ) -> Option<VersionIndex> {
        match selector {
            Selector::Version(text) => self.find(text),
            Selector::Tag(tag) => self.tagged(tag),
            Selector::Range { text, range } if lowest => self.lowest(text, range, preferred),
            Selector::Range { text, range } => self.highest(text, range, preferred),
        }
    }

    fn highest(&self, text: &str, range: &Range, preferred: &Preferred) -> Option<VersionIndex> {
        let latest = self.tagged("latest");
        for group in self.groups(text, preferred) {
            let is_in = |index: &VersionIndex| self.satisfies(*index, range);
            let mut fitting: Vec<VersionIndex> = group.into_iter().filter(is_in).collect();
            fitting.sort_unstable_by(|left, right| right.cmp(left));
            let latest = latest.filter(|latest| fitting.contains(latest));
            if let Some(best) = self.best(latest, fitting.into_iter()) {
                return Some(best);
            }
        }
        // `*` takes a `latest` that is a pre-release too, though no range but its own does.
        let latest = latest.filter(|latest| text == "*" || self.satisfies(*latest, range));
        let fitting = self.ordered().rev();
        let fitting = fitting.filter(|(_, version)| range.contains(version));
        self.best(latest, fitting.map(|(index, _)| index))
    }

    /// `latest`, else the first of `fitting`; one that is not deprecated, if there is one.
    fn best(
        &self,
        latest: Option<VersionIndex>,
        mut fitting: impl Iterator<Item = VersionIndex>,
    ) -> Option<VersionIndex> {
        let is_sound = |index: &VersionIndex| !self.packument.is_deprecated(*index);
        if latest.as_ref().is_some_and(is_sound) {
            return latest;
        }
        let first = fitting.next();
        let sound = first.into_iter().chain(fitting).find(is_sound);
        sound.or(latest).or(first)
    }

    fn lowest(&self, text: &str, range: &Range, preferred: &Preferred) -> Option<VersionIndex> {
        for group in self.groups(text, preferred) {
            let satisfying = group
                .into_iter()
                .filter(|index| self.satisfies(*index, range));
            if let Some(lowest) = satisfying.min() {
                return Some(lowest);
            }
        }
        let mut ordered = self.ordered();
        let lowest = ordered.find(|(_, version)| text == "*" || range.contains(version));
        lowest.map(|(index, _)| index)
    }

    fn satisfies(&self, index: VersionIndex, range: &Range) -> bool {
        Version::parse_loose(self.packument.version(index))
            .is_some_and(|version| range.contains(&version))
    }

    /// The versions that are preferred, grouped by their weights, the heaviest first. A preference
    /// for the range `text` itself says nothing. That the lockfile has a version says nothing
    /// beside a tag for it, unless a range that is preferred contains it.
    fn groups(&self, text: &str, preferred: &Preferred) -> Vec<Vec<VersionIndex>> {
        let is_tagged = |index| {
            let mut tags = preferred.iter();
            tags.any(|one| match &one.selector {
                Selector::Tag(tag) => self.tagged(tag) == Some(index),
                _ => false,
            })
        };
        let is_only_locked = |one: &PreferredSelector, index| {
            one.weight == WEIGHT_LOCKED
                && is_tagged(index)
                && !preferred.has_range_of(self.packument.version(index))
        };
        let mut weights: BTreeMap<VersionIndex, u64> = BTreeMap::new();
        let mut add = |index, weight: u64| {
            let sum = weights.entry(index).or_insert(0);
            *sum = sum.saturating_add(weight);
        };
        for one in preferred.iter().filter(|one| one.selector.as_str() != text) {
            match &one.selector {
                Selector::Version(version) => {
                    let index = self.find(version);
                    if let Some(index) = index.filter(|index| !is_only_locked(one, *index)) {
                        add(index, one.weight);
                    }
                }
                Selector::Tag(tag) => {
                    if let Some(index) = self.tagged(tag) {
                        add(index, one.weight);
                    }
                }
                Selector::Range { range, .. } => {
                    for (index, version) in self.ordered() {
                        if range.contains(&version) {
                            add(index, one.weight);
                        }
                    }
                }
            }
        }
        let mut groups: BTreeMap<u64, Vec<VersionIndex>> = BTreeMap::new();
        for (index, weight) in weights {
            groups.entry(weight).or_default().push(index);
        }
        groups.into_values().rev().collect()
    }

    /// What a tag names; where that is not to be chosen, the best that is: not newer, of the same
    /// kind, except for `latest` of the same major version, and not deprecated if possible.
    fn tagged(&self, tag: &str) -> Option<VersionIndex> {
        let text = self.packument.dist_tag(tag)?;
        let target = self.packument.find(text);
        if let Some(target) = target.filter(|target| self.has(*target)) {
            return Some(target);
        }
        let is_refused = target.is_some_and(|target| self.refused.contains(&target));
        if self.limit.is_none() && !is_refused {
            return None;
        }
        let original = Version::parse_loose(text)?;
        let fits = |version: &Version| {
            (is_refused || *version <= original)
                && (tag == "latest" || version.major() == original.major())
                && version.is_pre_release() == original.is_pre_release()
        };
        let fitting = self.ordered().rev().filter(|(_, version)| fits(version));
        self.best(None, fitting.map(|(index, _)| index))
    }
}
