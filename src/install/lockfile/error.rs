//! Why a lockfile was refused.

use crate::diagnostic::Diagnostic;
use crate::name::NameError;

use super::yaml::SyntaxFault;

/// Why a text is not a lockfile that can be used. Lines count from 1, the environment document in
/// front of the main one included.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum LockfileError {
    /// There is no lockfile in it: nothing at all, or only an environment document.
    #[error("the lockfile is empty")]
    Empty,
    /// More than [`crate::limits::LOCKFILE_BYTES_MAX`].
    #[error("the lockfile has {bytes} bytes, which is more than is read")]
    TooLarge {
        /// How many it has.
        bytes: usize,
    },
    /// A merge was not resolved.
    #[error("the lockfile has a merge-conflict marker `<<<<<<<` in line {line}")]
    MergeConflict {
        /// Where.
        line: usize,
    },
    /// pnpm's experimental JSON form.
    #[error("the lockfile is in pnpm's experimental format v13 (JSON), which is not supported")]
    FormatThirteen,
    /// Another major version, or none.
    #[error("the lockfile has the version {found:?}, and only 9.x is supported")]
    Version {
        /// What stands there, made safe to print.
        found: String,
    },
    /// Not YAML, or YAML of a kind that lockfiles do not use.
    #[error("the lockfile is broken in line {line}: {fault}")]
    Syntax {
        /// Where.
        line: usize,
        /// What.
        #[source]
        fault: SyntaxFault,
    },
    /// YAML, but not what a lockfile has in this place.
    #[error("the lockfile is broken in line {line}: {what} is wanted for {key:?}")]
    Shape {
        /// Where.
        line: usize,
        /// What should stand there, with its article.
        what: &'static str,
        /// Of which key, made safe to print.
        key: String,
    },
    /// A name that must not become a directory.
    #[error("the lockfile has an unsafe name in line {line}: {name:?} {source}")]
    Name {
        /// Where.
        line: usize,
        /// Which, made safe to print.
        name: String,
        /// Why.
        #[source]
        source: NameError,
    },
    /// A key of `packages` or `snapshots`, or a reference, that is not `name@version`.
    #[error("the lockfile has {key:?} in line {line}, which is not the key of a package: {source}")]
    DepPath {
        /// Where.
        line: usize,
        /// Which, made safe to print.
        key: String,
        /// Why.
        #[source]
        source: super::DepPathError,
    },
    /// A reference to a snapshot that is not there.
    #[error("{dependent:?} depends on {missing:?}, which is not in the lockfile's snapshots")]
    DanglingReference {
        /// The importer or snapshot.
        dependent: String,
        /// What it names.
        missing: String,
    },
    /// A snapshot whose package is not there.
    #[error("the lockfile has the snapshot {snapshot:?}, but no package {missing:?}")]
    MissingPackage {
        /// The snapshot.
        snapshot: String,
        /// Its package.
        missing: String,
    },
    /// A key that says registry, and a resolution that says otherwise.
    #[error("the lockfile has the registry package {package:?} resolved to {resolution}")]
    ResolutionShape {
        /// The key of `packages`.
        package: String,
        /// What it is resolved to instead.
        resolution: &'static str,
    },
    /// A git commit that is not 40 or 64 hexadecimal digits.
    #[error("the lockfile pins {package:?} to {commit:?}, which is not a full git commit")]
    Commit {
        /// The key of `packages`.
        package: String,
        /// What stands there, made safe to print.
        commit: String,
    },
    /// An archive that nothing pins.
    #[error("the lockfile has no integrity for {package:?}, whose content is thus not pinned")]
    MissingIntegrity {
        /// The key of `packages`.
        package: String,
    },
}

impl Diagnostic for LockfileError {
    fn code(&self) -> &'static str {
        match self {
            Self::Empty => "ERR_PNPM_NO_LOCKFILE",
            Self::FormatThirteen | Self::Version { .. } => "ERR_PNPM_LOCKFILE_BREAKING_CHANGE",
            Self::TooLarge { .. }
            | Self::MergeConflict { .. }
            | Self::Syntax { .. }
            | Self::Shape { .. }
            | Self::DepPath { .. } => "ERR_PNPM_BROKEN_LOCKFILE",
            Self::Name { .. } => "ERR_PNPM_INVALID_DEPENDENCY_NAME",
            Self::DanglingReference { .. } | Self::MissingPackage { .. } => {
                "ERR_PNPM_LOCKFILE_MISSING_DEPENDENCY"
            }
            Self::ResolutionShape { .. } => "ERR_PNPM_RESOLUTION_SHAPE_MISMATCH",
            Self::Commit { .. } => "ERR_PNPM_INVALID_GIT_COMMIT",
            Self::MissingIntegrity { .. } => "ERR_PNPM_MISSING_TARBALL_INTEGRITY",
        }
    }

    fn hint(&self) -> Option<String> {
        let hint = match self {
            Self::MergeConflict { .. } => "Resolve the conflict, or let pnpm install resolve it",
            Self::FormatThirteen => {
                "Take the setting lockfile.format away and let pnpm write the lockfile again"
            }
            Self::Version { .. } => "Let pnpm 9 or newer write the lockfile again",
            Self::Name { .. } | Self::ResolutionShape { .. } | Self::Commit { .. } => {
                "pnpm never writes this; find out how it came into the lockfile"
            }
            Self::DanglingReference { .. } | Self::MissingPackage { .. } => {
                "It was probably merged by hand; `pacquet install --fix-lockfile` mends it"
            }
            Self::MissingIntegrity { .. } => "Let pnpm install write the lockfile again",
            Self::Syntax { .. } | Self::Shape { .. } | Self::DepPath { .. } => {
                "Take the lockfile from version control again, or remove it and install anew"
            }
            Self::Empty => "`pacquet install` writes one, without --frozen-lockfile",
            Self::TooLarge { .. } => {
                "Give each project a lockfile of its own (sharedWorkspaceLockfile: false)"
            }
        };
        Some(hint.to_owned())
    }
}

/// Something that a person should know of a lockfile that is used nevertheless.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LockfileWarning {
    /// Stable code.
    pub code: &'static str,
    /// One sentence.
    pub message: String,
}
