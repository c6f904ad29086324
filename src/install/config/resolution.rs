//! How versions are chosen.

use std::time::Duration;

use super::options::Options;
use super::value::{ResolutionMode, TrustPolicy};

/// `minimumReleaseAge` where nobody says otherwise: a day.
pub(super) const MINIMUM_RELEASE_AGE_MINUTES: u64 = 1440;

/// How versions are chosen.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ResolutionConfig {
    /// `tag`: what no version means.
    pub default_tag: String,
    /// `resolutionMode`.
    pub mode: ResolutionMode,
    /// `registrySupportsTimeField`: abbreviated metadata tells when versions were published.
    pub registry_supports_time_field: bool,
    /// `minimumReleaseAge`: younger versions are not chosen; `None`: any age will do.
    pub minimum_release_age: Option<Duration>,
    /// Nobody set that age.
    pub minimum_release_age_is_implied: bool,
    /// `minimumReleaseAgeExclude`, as written.
    pub minimum_release_age_exclude: Vec<String>,
    /// `minimumReleaseAgeExcludePrune`: what is in the list and not in the lockfile goes.
    pub minimum_release_age_exclude_prune: bool,
    /// `minimumReleaseAgeIgnoreMissingTime`: a registry that does not tell times is no obstacle.
    pub minimum_release_age_ignore_missing_time: bool,
    /// `minimumReleaseAgeStrict`: a lockfile with younger versions is refused. Where nobody says,
    /// whoever sets an age means it.
    pub minimum_release_age_strict: bool,
    /// `trustPolicy`.
    pub trust_policy: TrustPolicy,
    /// `trustPolicyExclude`, as written.
    pub trust_policy_exclude: Vec<String>,
    /// `trustPolicyExcludePrune`: what is in the list and not in the lockfile goes.
    pub trust_policy_exclude_prune: bool,
    /// `trustPolicyIgnoreAfter`: older versions are not looked at.
    pub trust_policy_ignore_after: Option<Duration>,
}

pub(super) fn resolution(options: &Options) -> ResolutionConfig {
    let minutes = |minutes: u64| Duration::from_secs(minutes.saturating_mul(60));
    let age = options.minimum_release_age;
    let age = age.unwrap_or(MINIMUM_RELEASE_AGE_MINUTES);
    ResolutionConfig {
        default_tag: options.tag.clone().unwrap_or_else(|| "latest".to_owned()),
        mode: options.resolution_mode.unwrap_or(ResolutionMode::Highest),
        registry_supports_time_field: options.registry_supports_time_field.unwrap_or(false),
        minimum_release_age: (age > 0).then(|| minutes(age)),
        minimum_release_age_is_implied: options.minimum_release_age.is_none(),
        minimum_release_age_exclude: options
            .minimum_release_age_exclude
            .clone()
            .unwrap_or_default(),
        minimum_release_age_exclude_prune: options
            .minimum_release_age_exclude_prune
            .unwrap_or(false),
        minimum_release_age_ignore_missing_time: options
            .minimum_release_age_ignore_missing_time
            .unwrap_or(true),
        minimum_release_age_strict: options
            .minimum_release_age_strict
            .unwrap_or(options.minimum_release_age.is_some()),
        trust_policy: options.trust_policy.unwrap_or(TrustPolicy::Off),
        trust_policy_exclude: options.trust_policy_exclude.clone().unwrap_or_default(),
        trust_policy_exclude_prune: options.trust_policy_exclude_prune.unwrap_or(false),
        trust_policy_ignore_after: options.trust_policy_ignore_after.map(minutes),
    }
}
