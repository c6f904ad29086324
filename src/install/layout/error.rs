//! Why a layout could not be built.

use crate::diagnostic::Diagnostic;
use crate::install::runtime::MORE_THREADS;
use crate::name::{NameError, escaped};

/// Why a layout could not be built.
#[derive(Debug, thiserror::Error)]
pub enum LayoutError {
    /// A dependency names a snapshot that the lockfile does not have.
    #[error(
        "the lockfile has no snapshot {} that {} depends on",
        escaped(.dep_path),
        escaped(.dependent)
    )]
    UnknownSnapshot {
        /// Who depends on it.
        dependent: Box<str>,
        /// What is missing.
        dep_path: Box<str>,
    },
    /// A snapshot has no entry in `packages`.
    #[error("the lockfile has no package for the snapshot {}", escaped(.dep_path))]
    UnknownPackage {
        /// The snapshot.
        dep_path: Box<str>,
    },
    /// A name cannot be that of a directory entry.
    #[error("the name {} of a directory entry {source}", escaped(.name))]
    Name {
        /// The name.
        name: Box<str>,
        /// What is wrong with it.
        #[source]
        source: NameError,
    },
    /// The target of a `link:` holds a control character.
    #[error(
        "the target of the link {} of {} contains a control character",
        escaped(.alias),
        escaped(.dependent)
    )]
    LinkTarget {
        /// Whose link it is.
        dependent: Box<str>,
        /// Its alias.
        alias: Box<str>,
    },
    /// A chain of dependencies is longer than the hoisted linker follows.
    #[error("a chain of dependencies is longer than {depth_max}")]
    TooDeep {
        /// The longest that is followed.
        depth_max: usize,
    },
    /// The system gave no thread to compute in.
    #[error("no thread could be started")]
    Thread {
        /// What the system said.
        #[source]
        source: std::io::Error,
    },
    /// Two things would be at one place.
    #[error("two packages would be at {}", escaped(.path))]
    Collision {
        /// The place, as far as it is known.
        path: Box<str>,
    },
}

impl Diagnostic for LayoutError {
    fn code(&self) -> &'static str {
        match self {
            Self::UnknownSnapshot { .. } | Self::UnknownPackage { .. } => {
                "ERR_PNPM_LOCKFILE_MISSING_DEPENDENCY"
            }
            Self::Name { .. } => "ERR_PNPM_INVALID_DEPENDENCY_NAME",
            Self::LinkTarget { .. } => "ERR_PACQUET_LINK_TARGET",
            Self::TooDeep { .. } => "ERR_PACQUET_DEPENDENCIES_TOO_DEEP",
            Self::Thread { .. } => "ERR_PACQUET_LAYOUT_THREAD",
            Self::Collision { .. } => "ERR_PACQUET_LAYOUT_COLLISION",
        }
    }

    fn hint(&self) -> Option<String> {
        match self {
            Self::UnknownSnapshot { .. } | Self::UnknownPackage { .. } => Some(
                "The lockfile is damaged; restore it from version control or make it again".into(),
            ),
            Self::Collision { .. } => {
                Some("Rename one of the two dependencies with an npm: alias".into())
            }
            Self::Name { .. } | Self::LinkTarget { .. } => {
                Some("Take the lockfile from version control again, or make it again".into())
            }
            Self::TooDeep { .. } => Some("Set nodeLinker: isolated, which nests nothing".into()),
            Self::Thread { .. } => Some(MORE_THREADS.into()),
        }
    }
}
