//! What can go wrong with packages that come from no registry.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::diagnostic::Diagnostic;
use crate::install::git::GitError;
use crate::install::metadata::ManifestRefusal;
use crate::install::registry::FetchError;
use crate::name::escaped;

/// Why a package that comes from no registry cannot be had.
#[derive(Debug, Clone, thiserror::Error)]
pub enum OriginError {
    /// It cannot be downloaded.
    #[error(transparent)]
    Fetch(#[from] FetchError),
    /// The `git` program fails.
    #[error(transparent)]
    Git(Arc<GitError>),
    /// The repository has no such branch, tag or commit.
    #[error(
        "Could not resolve {} to a commit of {repo}.{available}",
        escaped(wanted)
    )]
    Reference {
        /// What was asked for.
        wanted: String,
        /// The repository, printable.
        repo: String,
        /// A sentence about what there is, or nothing.
        available: String,
    },
    /// The beginning of a commit is that of another thing too.
    #[error(
        "resolved commit {commit} from commit-ish reference {}",
        escaped(wanted)
    )]
    Ambiguous {
        /// What was asked for.
        wanted: String,
        /// What it would be.
        commit: String,
    },
    /// There is no such file.
    #[error("Could not install from \"{}\" as it does not exist.", path.display())]
    Absent {
        /// Which.
        path: PathBuf,
    },
    /// A file cannot be read.
    #[error("Cannot read {}", path.display())]
    Read {
        /// Which.
        path: PathBuf,
        /// Why.
        #[source]
        source: Arc<std::io::Error>,
    },
    /// What is there is no archive of a package.
    #[error("{} is no archive of a package: {reason}", escaped(package))]
    Archive {
        /// The address or path.
        package: String,
        /// What is wrong with it.
        reason: String,
    },
    /// The manifest cannot be used.
    #[error("The manifest of {} is refused: {source}", escaped(package))]
    Manifest {
        /// The address or path.
        package: String,
        /// What is wrong with it.
        source: Arc<ManifestRefusal>,
    },
    /// The work was given up.
    #[error("A task ended early: {reason}")]
    Task {
        /// Why.
        reason: String,
    },
}

impl From<GitError> for OriginError {
    fn from(error: GitError) -> Self {
        Self::Git(Arc::new(error))
    }
}

impl OriginError {
    pub(super) fn read(path: &Path, error: &std::io::Error) -> Self {
        let path = path.to_path_buf();
        match error.kind() {
            std::io::ErrorKind::NotFound => Self::Absent { path },
            kind => Self::Read {
                path,
                source: Arc::new(kind.into()),
            },
        }
    }
}

impl Diagnostic for OriginError {
    fn code(&self) -> &'static str {
        match self {
            Self::Fetch(error) => error.code(),
            Self::Git(error) => match &**error {
                GitError::Failed {
                    step: "ls-remote", ..
                } => "ERR_PNPM_GIT_RESOLVE_FAILED",
                error => error.code(),
            },
            Self::Reference { .. } => "ERR_PACQUET_GIT_REFERENCE",
            Self::Ambiguous { .. } => "ERR_PNPM_GIT_AMBIGUOUS_REF",
            Self::Absent { .. } => "ERR_PNPM_LINKED_PKG_DIR_NOT_FOUND",
            Self::Read { .. } => "ERR_PACQUET_ARCHIVE_READ",
            Self::Archive { .. } => "ERR_PACQUET_NOT_AN_ARCHIVE",
            Self::Manifest { source, .. } => match &**source {
                ManifestRefusal::Name { .. } => "ERR_PNPM_INVALID_DEPENDENCY_NAME",
                _ => "ERR_PNPM_INVALID_PACKAGE_JSON",
            },
            Self::Task { .. } => "ERR_PACQUET_TASK",
        }
    }

    fn hint(&self) -> Option<String> {
        match self {
            Self::Fetch(error) => error.hint(),
            Self::Git(error) => error.hint(),
            Self::Absent { .. } => Some("correct the path, or make a package there".to_owned()),
            Self::Archive { .. } | Self::Manifest { .. } => {
                Some("ask those who make it for another archive".to_owned())
            }
            Self::Read { .. } => Some("check the path, and who owns it".to_owned()),
            Self::Reference { .. } | Self::Ambiguous { .. } => {
                Some("name a commit: it means the same for everybody".to_owned())
            }
            Self::Task { .. } => None,
        }
    }
}
