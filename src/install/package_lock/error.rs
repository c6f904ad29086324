//! Why a lockfile of npm cannot be installed.

use crate::diagnostic::Diagnostic;
use crate::name::{NameError, escaped};

/// Why a lockfile of npm cannot be installed.
#[derive(Debug, thiserror::Error)]
pub enum PackageLockError {
    /// Larger than is read.
    #[error("the lockfile is larger than is read")]
    TooLarge,
    /// It is not JSON, or has a key twice.
    #[error("the lockfile is not valid JSON")]
    Json {
        /// Where and why.
        #[source]
        source: serde_json::Error,
    },
    /// A form that has no places in it.
    #[error("the lockfile has the version 1, which does not say where packages are")]
    VersionOne,
    /// Another version.
    #[error(
        "the lockfile has the version {}, and only 2 and 3 are supported",
        escaped(version)
    )]
    Version {
        /// What stands there.
        version: String,
    },
    /// Not what a lockfile has in this place.
    #[error("{expected} is wanted for {} of the lockfile", escaped(field))]
    Shape {
        /// Where.
        field: String,
        /// What should stand there, with its article.
        expected: &'static str,
    },
    /// A key of `packages` that must not become a path.
    #[error(
        "the lockfile has an unsafe location: {:?} {source}",
        escaped(location)
    )]
    Location {
        /// Which.
        location: String,
        /// What is wrong with it.
        #[source]
        source: NameError,
    },
    /// A name that is none.
    #[error(
        "the lockfile has an unsafe name at {:?}: {:?} {source}",
        escaped(location),
        escaped(name)
    )]
    Name {
        /// Where.
        location: String,
        /// Which.
        name: String,
        /// What is wrong with it.
        #[source]
        source: NameError,
    },
    /// A place that cannot be.
    #[error("{:?} of the lockfile cannot be installed: {why}", escaped(location))]
    Misplaced {
        /// Which.
        location: String,
        /// Why.
        why: &'static str,
    },
    /// A link that leads to nothing in the lockfile.
    #[error(
        "the link {:?} of the lockfile leads to {:?}, which is not a directory of it",
        escaped(location),
        escaped(target)
    )]
    LinkTarget {
        /// The link.
        location: String,
        /// Where it leads.
        target: String,
    },
    /// Nothing pins the content.
    #[error("the lockfile has no integrity for {:?}", escaped(location))]
    NoIntegrity {
        /// Which.
        location: String,
    },
    /// An address that is not understood.
    #[error(
        "the lockfile has an address for {:?} that is not understood: {}",
        escaped(location),
        escaped(address)
    )]
    Address {
        /// Which.
        location: String,
        /// What stands there.
        address: String,
    },
    /// The lockfile does not fit the manifests. As npm says it, one line each.
    #[error("the lockfile and package.json are not in sync: {}", listed(problems))]
    Stale {
        /// What does not fit.
        problems: Vec<String>,
    },
}

/// The first few, and how many more.
fn listed(problems: &[String]) -> String {
    const SHOWN: usize = 8;
    let mut text = problems
        .iter()
        .take(SHOWN)
        .map(|problem| escaped(problem))
        .collect::<Vec<_>>()
        .join("; ");
    if problems.len() > SHOWN {
        text.push_str(&format!("; and {} more", problems.len() - SHOWN));
    }
    text
}

impl PackageLockError {
    pub(super) fn shape(field: &str, expected: &'static str) -> Self {
        Self::Shape {
            field: field.to_owned(),
            expected,
        }
    }
}

impl Diagnostic for PackageLockError {
    fn code(&self) -> &'static str {
        match self {
            Self::VersionOne | Self::Version { .. } => "ERR_PNPM_LOCKFILE_BREAKING_CHANGE",
            Self::TooLarge
            | Self::Json { .. }
            | Self::Shape { .. }
            | Self::Misplaced { .. }
            | Self::LinkTarget { .. }
            | Self::Address { .. } => "ERR_PNPM_BROKEN_LOCKFILE",
            Self::Location { .. } | Self::Name { .. } => "ERR_PNPM_INVALID_DEPENDENCY_NAME",
            Self::NoIntegrity { .. } => "ERR_PNPM_MISSING_TARBALL_INTEGRITY",
            Self::Stale { .. } => "ERR_PNPM_OUTDATED_LOCKFILE",
        }
    }

    fn hint(&self) -> Option<String> {
        Some(match self {
            Self::VersionOne => "write it anew with npm 7 or later".into(),
            Self::Stale { .. } => "run `npm install` to write it anew".into(),
            Self::NoIntegrity { .. } => {
                "remove it from the lockfile, and let `npm install` write it anew".into()
            }
            Self::LinkTarget { .. } => "write it anew with npm".into(),
            Self::Json { .. } | Self::Shape { .. } => {
                "take it from version control again, or remove it and let npm write it anew".into()
            }
            _ => return None,
        })
    }
}
