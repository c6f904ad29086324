//! Where packages come from, as the resolver sees it.

use std::path::PathBuf;
use std::sync::Arc;

use jiff::Timestamp;

use super::error::SourceError;
use super::resolved::Resolved;
use crate::install::pick::{GitSpecifier, Preferred, RegistrySpecifier};
use crate::install::registry::Url;
use crate::name::PackageName;

/// How the version of a registry's package is chosen beside its specifier.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash)]
pub struct Choice {
    /// The lowest version of a range.
    pub lowest: bool,
    /// It is a dependency of a project and not of a package.
    pub direct: bool,
    /// An optional dependency: its `libc` counts.
    pub optional: bool,
    /// The user asked to update this package.
    pub update: bool,
    /// The version of the dist-tag `latest`, where that is higher than what fits.
    pub or_latest: bool,
}

/// What is asked of a [`Source`].
#[derive(Debug, Clone)]
pub enum Question {
    /// A version of a registry's package.
    Registry {
        /// Which.
        specifier: RegistrySpecifier,
        /// Versions that are preferred.
        preferred: Arc<Preferred>,
        /// How to choose.
        choice: Choice,
    },
    /// A commit of a repository.
    Git {
        /// Which.
        specifier: GitSpecifier,
        /// For packages without a manifest.
        alias: PackageName,
    },
    /// An archive.
    Tarball {
        /// Its address.
        url: Url,
        /// For packages without a manifest.
        alias: PackageName,
    },
    /// An archive of this machine.
    Archive {
        /// Absolute.
        path: PathBuf,
        /// For packages without a manifest.
        alias: PackageName,
    },
    /// A directory of this machine.
    Directory {
        /// Absolute.
        path: PathBuf,
        /// For packages without a manifest.
        alias: PackageName,
    },
}

/// Finds packages.
pub trait Source {
    /// The answers to `questions`, in their order. May ask for many things at once.
    fn answer(&self, questions: &[Question]) -> Vec<Result<Resolved, SourceError>>;

    /// From now on, only what was published until then is chosen for packages.
    fn limit(&self, until: Timestamp);
}
