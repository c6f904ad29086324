//! `trustPolicy: no-downgrade`: a version must not have less evidence of its origin than one that
//! was published before it.

use std::time::Duration;

use jiff::Timestamp;

use super::options::{PackagePatterns, PatternError, PatternSetting};
use crate::diagnostic::Diagnostic;
use crate::install::config::{ResolutionConfig, TrustPolicy};
use crate::install::metadata::{Packument, TrustEvidence, VersionIndex};
use crate::install::semver::Version;
use crate::name::escaped;

/// How `trustPolicy: no-downgrade` is applied.
#[derive(Debug, Clone)]
pub struct TrustCheck {
    /// `trustPolicyExclude`.
    exclude: PackagePatterns,
    /// Versions published before are not looked at.
    ignored_before: Option<Timestamp>,
}

/// Why a version is not trusted.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum TrustError {
    /// It cannot be told.
    #[error(
        "The trust of {}@{} cannot be checked: its metadata does not say when it was published",
        escaped(package),
        escaped(version)
    )]
    NoTime {
        /// The package.
        package: String,
        /// The version.
        version: String,
    },
    /// Earlier versions had better evidence.
    #[error(
        "High-risk trust downgrade for \"{}@{}\" (possible package takeover)",
        escaped(package),
        escaped(version)
    )]
    Downgrade {
        /// The package.
        package: String,
        /// The version.
        version: String,
        /// What earlier ones had.
        past: TrustEvidence,
        /// What this one has.
        current: TrustEvidence,
    },
}

impl Diagnostic for TrustError {
    fn code(&self) -> &'static str {
        match self {
            Self::NoTime { .. } => "ERR_PNPM_TRUST_CHECK_FAIL",
            Self::Downgrade { .. } => "ERR_PNPM_TRUST_DOWNGRADE",
        }
    }

    fn hint(&self) -> Option<String> {
        let Self::Downgrade { past, current, .. } = self else {
            return None;
        };
        Some(format!(
            "Trust checks are based solely on publish date, not semver. A package cannot be \
             installed if any earlier-published version had stronger trust evidence. Earlier \
             versions had {}, but this version has {}. A trust downgrade may indicate a supply \
             chain incident.",
            described(*past),
            described(*current)
        ))
    }
}

fn described(evidence: TrustEvidence) -> &'static str {
    match evidence {
        TrustEvidence::None => "no trust evidence",
        TrustEvidence::Provenance => "provenance attestation",
        TrustEvidence::TrustedPublisher => "trusted publisher",
        TrustEvidence::StagedPublish => "staged publish",
    }
}

impl TrustCheck {
    /// As `config` says, at the time `now`; `None`: nothing is checked.
    ///
    /// # Errors
    /// A pattern of `trustPolicyExclude` is none.
    pub fn new(config: &ResolutionConfig, now: Timestamp) -> Result<Option<Self>, PatternError> {
        let exclude = PackagePatterns::parse(&config.trust_policy_exclude, PatternSetting::Trust)?;
        if config.trust_policy == TrustPolicy::Off {
            return Ok(None);
        }
        let before = |age: Duration| now.checked_sub(age).ok();
        Ok(Some(Self {
            exclude,
            ignored_before: config.trust_policy_ignore_after.and_then(before),
        }))
    }

    /// Compares a version with those that were published before it. A release is compared with
    /// releases only.
    ///
    /// # Errors
    /// One of them has better evidence; the packument does not say when the version was published.
    pub fn check(&self, packument: &Packument, version: VersionIndex) -> Result<(), TrustError> {
        let text = packument.version(version);
        if self.exclude.of(packument.name()).covers(text) {
            return Ok(());
        }
        let package = || packument.name().as_str().to_owned();
        let published = packument.time(version).ok_or_else(|| TrustError::NoTime {
            package: package(),
            version: text.to_owned(),
        })?;
        if self.ignored_before.is_some_and(|limit| published < limit) {
            return Ok(());
        }
        let is_pre_release =
            |text| Version::parse_loose(text).is_some_and(|one| one.is_pre_release());
        let takes_pre_releases = is_pre_release(text);
        let earlier = packument.versions().filter(|(index, text)| {
            (takes_pre_releases || !is_pre_release(text))
                && packument.time(*index).is_some_and(|time| time < published)
        });
        let past = earlier.map(|(index, _)| packument.trust(index)).max();
        let (past, current) = (past.unwrap_or_default(), packument.trust(version));
        if current >= past {
            return Ok(());
        }
        Err(TrustError::Downgrade {
            package: package(),
            version: text.to_owned(),
            past,
            current,
        })
    }
}
