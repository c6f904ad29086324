//! Why a lockfile of another installer cannot be imported.

use std::path::{Path, PathBuf};

use crate::diagnostic::Diagnostic;
use crate::install::package_lock::PackageLockError;
use crate::name::{NameError, escaped};

/// Why a lockfile of another installer cannot be imported.
#[derive(Debug, thiserror::Error)]
pub enum ForeignError {
    /// There is none.
    #[error("No lockfile found in {}", directory.display())]
    NotFound {
        /// Where it was looked for.
        directory: PathBuf,
    },
    /// It is no text.
    #[error("{} is a binary lockfile", path.display())]
    Binary {
        /// The lockfile.
        path: PathBuf,
    },
    /// It cannot be read.
    #[error("Cannot read {}", path.display())]
    Read {
        /// The lockfile.
        path: PathBuf,
        /// Why.
        #[source]
        source: std::io::Error,
    },
    /// A merge left its markers.
    #[error("{} has the markers of a merge conflict", path.display())]
    Conflict {
        /// The lockfile.
        path: PathBuf,
    },
    /// Its content is not what it should be.
    #[error("Cannot use {}", path.display())]
    Broken {
        /// The lockfile.
        path: PathBuf,
        /// What is wrong.
        #[source]
        source: ForeignFault,
    },
}

/// What is wrong in a lockfile.
#[derive(Debug, thiserror::Error)]
pub enum ForeignFault {
    /// A line of a classic `yarn.lock`.
    #[error("line {number}: {why}")]
    Line {
        /// Counted from one.
        number: usize,
        /// What is wrong with it.
        why: &'static str,
    },
    /// It is not YAML.
    #[error("it is not valid YAML")]
    Yaml(#[source] serde_norway::Error),
    /// It is not the JSON that it should be.
    #[error(transparent)]
    Json(#[from] PackageLockError),
    /// A name that is none.
    #[error("unsafe name {:?}: {source}", escaped(name))]
    Name {
        /// As it stands.
        name: String,
        /// What is wrong with it.
        #[source]
        source: NameError,
    },
    /// A key of `packages` that must not become a path.
    #[error("unsafe location {:?}: {source}", escaped(location))]
    Location {
        /// As it stands.
        location: String,
        /// What is wrong with it.
        #[source]
        source: NameError,
    },
    /// Something else is wanted.
    #[error("{expected} is wanted for {}", escaped(entry))]
    Shape {
        /// Where.
        entry: String,
        /// What should stand there, with its article.
        expected: &'static str,
    },
}

impl ForeignFault {
    pub(super) fn shape(entry: &str, expected: &'static str) -> Self {
        let entry = entry.to_owned();
        Self::Shape { entry, expected }
    }
}

fn is_of_yarn(path: &Path) -> bool {
    path.file_name().is_some_and(|name| name == super::YARN)
}

impl Diagnostic for ForeignError {
    fn code(&self) -> &'static str {
        match self {
            Self::NotFound { .. } | Self::Binary { .. } => "ERR_PNPM_LOCKFILE_NOT_FOUND",
            Self::Read { .. } => "ERR_PACQUET_READ_LOCKFILE",
            Self::Broken {
                source: ForeignFault::Name { .. } | ForeignFault::Location { .. },
                ..
            } => "ERR_PNPM_INVALID_DEPENDENCY_NAME",
            Self::Conflict { path } | Self::Broken { path, .. } if is_of_yarn(path) => {
                "ERR_PNPM_YARN_LOCKFILE_PARSE_FAILED"
            }
            Self::Conflict { .. } | Self::Broken { .. } => "ERR_PNPM_BROKEN_LOCKFILE",
        }
    }

    fn hint(&self) -> Option<String> {
        Some(match self {
            Self::NotFound { .. } => "run it where there is a yarn.lock, package-lock.json, \
                                      npm-shrinkwrap.json or bun.lock"
                .to_owned(),
            Self::Binary { .. } => "write it as text first: \
                                    `bun install --save-text-lockfile --lockfile-only`"
                .to_owned(),
            Self::Conflict { .. } => {
                "resolve the conflict, then run `pacquet import` again".to_owned()
            }
            Self::Broken { .. } => {
                "write it anew with the installer whose it is, or run `pacquet install` without it"
                    .to_owned()
            }
            Self::Read { .. } => return None,
        })
    }
}
