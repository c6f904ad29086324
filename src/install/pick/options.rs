//! What a choice depends on beside packument and specifier.

use std::collections::BTreeMap;

use jiff::Timestamp;

use super::Selector;
use super::trust::TrustCheck;
use crate::diagnostic::Diagnostic;
use crate::install::config::ResolutionConfig;
use crate::install::layout::NamePatterns;
use crate::install::semver::Version;
use crate::name::{PackageName, escaped};

/// Weight of a version that the lockfile has.
pub const WEIGHT_LOCKED: u64 = 1;

/// Weight of a version that was chosen at a level above the dependency.
pub const WEIGHT_ABOVE: u64 = 1_000;

/// Weight of what a direct dependency of a project asks for, and of the version chosen for it.
pub const WEIGHT_DIRECT: u64 = 1_000_000;

/// Weight of the version that the lockfile has for the very dependency that is chosen.
pub const WEIGHT_HELD: u64 = 1_000_000 * WEIGHT_DIRECT;

/// A selector that is preferred, and how much.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PreferredSelector {
    /// What is preferred.
    pub selector: Selector,
    /// [`WEIGHT_DIRECT`], [`WEIGHT_ABOVE`] or [`WEIGHT_LOCKED`], or sums of them.
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

    /// Whether no version that is not known yet can weigh more than `version`, which is preferred
    /// itself.
    pub fn is_settled(&self, version: &str) -> bool {
        let others = || self.iter().map(|one| &one.selector);
        self.weight(version).is_some()
            && Version::parse(version).is_some_and(|version| {
                others().all(|other| match other {
                    Selector::Version(_) => true,
                    Selector::Range { range, .. } => range.contains(&version),
                    Selector::Tag(_) => false,
                })
            })
    }

    /// Whether a range that is preferred contains `version`.
    pub fn has_range_of(&self, version: &str) -> bool {
        let version = Version::parse_loose(version);
        version.is_some_and(|version| {
            self.iter().any(|one| match &one.selector {
                Selector::Range { range, .. } => range.contains(&version),
                Selector::Version(_) | Selector::Tag(_) => false,
            })
        })
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
    /// `minimumReleaseAgeIgnoreMissingTime`: where a registry does not tell times, `published_by`
    /// does not count.
    pub ignore_missing_time: bool,
    /// `trustPolicy`, where it asks for something.
    pub trust: Option<TrustCheck>,
}

impl PickOptions {
    /// As `config` says, at the time `now`: the highest, of versions that are old enough.
    ///
    /// # Errors
    /// A pattern of `minimumReleaseAgeExclude` or `trustPolicyExclude` is none.
    pub fn new(config: &ResolutionConfig, now: Timestamp) -> Result<Self, PatternError> {
        let age = config.minimum_release_age;
        Ok(Self {
            lowest: false,
            include_latest_tag: false,
            published_by: age.and_then(|age| now.checked_sub(age).ok()),
            published_by_exclude: PackagePatterns::parse(
                &config.minimum_release_age_exclude,
                PatternSetting::ReleaseAge,
            )?,
            ignore_missing_time: config.minimum_release_age_ignore_missing_time,
            trust: TrustCheck::new(config, now)?,
        })
    }
}

/// Patterns of packages: `name`, `@scope/*`, `name@1.0.0 || 2.0.0`.
#[derive(Debug, Clone, Default)]
pub struct PackagePatterns {
    rules: Vec<PackageRule>,
}

#[derive(Debug, Clone)]
struct PackageRule {
    name: NamePatterns,
    /// Empty: all versions.
    versions: Vec<Box<str>>,
}

/// The setting that has patterns of packages.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PatternSetting {
    /// `minimumReleaseAgeExclude`.
    ReleaseAge,
    /// `trustPolicyExclude`.
    Trust,
}

impl std::fmt::Display for PatternSetting {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str(match self {
            Self::ReleaseAge => "minimumReleaseAgeExclude",
            Self::Trust => "trustPolicyExclude",
        })
    }
}

/// A pattern of packages is none.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PatternError {
    /// A version in it is not exact.
    #[error(
        "Invalid value in {setting}: Invalid versions union. Found: \"{}\". Use exact versions \
         only.",
        escaped(pattern)
    )]
    Versions {
        /// Where.
        setting: PatternSetting,
        /// The pattern.
        pattern: String,
    },
    /// It has both an asterisk and versions.
    #[error(
        "Invalid value in {setting}: Name patterns are not allowed with version unions. Found: \
         \"{}\"",
        escaped(pattern)
    )]
    NameAndVersions {
        /// Where.
        setting: PatternSetting,
        /// The pattern.
        pattern: String,
    },
}

impl Diagnostic for PatternError {
    fn code(&self) -> &'static str {
        let (Self::Versions { setting, .. } | Self::NameAndVersions { setting, .. }) = self;
        match setting {
            PatternSetting::ReleaseAge => "ERR_PNPM_INVALID_MINIMUM_RELEASE_AGE_EXCLUDE",
            PatternSetting::Trust => "ERR_PNPM_INVALID_TRUST_POLICY_EXCLUDE",
        }
    }

    fn hint(&self) -> Option<String> {
        let text = "write a name, a pattern of names, or `name@1.0.0 || 1.0.1`";
        Some(text.to_owned())
    }
}

/// What of one package [`PackagePatterns`] cover.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Exclusion<'a> {
    /// These versions, often none.
    Versions(Vec<&'a str>),
    /// All versions.
    All,
}

impl Exclusion<'_> {
    /// Whether `version` is among them.
    pub fn covers(&self, version: &str) -> bool {
        match self {
            Self::All => true,
            Self::Versions(versions) => versions.contains(&version),
        }
    }
}

impl PackagePatterns {
    /// Reads `patterns`.
    ///
    /// # Errors
    /// A version in one is not exact; one has both an asterisk and versions.
    pub fn parse<T: AsRef<str>>(
        patterns: &[T],
        setting: PatternSetting,
    ) -> Result<Self, PatternError> {
        let rules = patterns
            .iter()
            .map(|text| PackageRule::parse(text.as_ref(), setting));
        Ok(Self {
            rules: rules.collect::<Result<_, _>>()?,
        })
    }

    /// What they cover of `name`.
    pub fn of(&self, name: &PackageName) -> Exclusion<'_> {
        let mut versions = Vec::new();
        for rule in &self.rules {
            if rule.name.matches(name.as_str()) {
                if rule.versions.is_empty() {
                    return Exclusion::All;
                }
                versions.extend(rule.versions.iter().map(|version| &**version));
            }
        }
        Exclusion::Versions(versions)
    }
}

impl PackageRule {
    fn parse(text: &str, setting: PatternSetting) -> Result<Self, PatternError> {
        let at = text
            .char_indices()
            .skip(1)
            .find(|(_, letter)| *letter == '@');
        let (name, versions) = match at {
            Some((at, _)) => (&text[..at], Some(&text[at + 1..])),
            None => (text, None),
        };
        let exact = |version: &str| match Version::parse(version) {
            Some(version) => Ok(version.to_string().into()),
            None => Err(PatternError::Versions {
                setting,
                pattern: text.to_owned(),
            }),
        };
        let versions = versions.into_iter().flat_map(|union| union.split("||"));
        let versions: Vec<Box<str>> = versions.map(exact).collect::<Result<_, _>>()?;
        if !versions.is_empty() && name.contains('*') {
            return Err(PatternError::NameAndVersions {
                setting,
                pattern: text.to_owned(),
            });
        }
        Ok(Self {
            name: NamePatterns::new(&[name.into()]),
            versions,
        })
    }
}
