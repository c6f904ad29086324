//! Why there is no lockfile that fits.

use std::path::PathBuf;

use crate::diagnostic::Diagnostic;
use crate::install::config::ConfigError;
use crate::install::locked::InstallError;
use crate::install::lockfile::LockfileError;
use crate::install::pick::{PatternError, SpecifierError};
use crate::install::pnpmfile::PnpmfileError;
use crate::install::resolve::{ResolveError, ResolveFault};
use crate::install::runtime::MORE_THREADS;
use crate::name::escaped;

/// Why a lockfile could not be made.
#[derive(Debug, thiserror::Error)]
pub enum RelockError {
    /// A dependency.
    #[error(transparent)]
    Resolve(#[from] ResolveError),
    /// What is to be added is of no known form.
    #[error(transparent)]
    Specifier(#[from] SpecifierError),
    /// A setting.
    #[error(transparent)]
    Pattern(#[from] PatternError),
    /// The configuration.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// Reading the project, or writing the lockfile.
    #[error(transparent)]
    Install(#[from] InstallError),
    /// The lockfile is a link, and what it leads to is none of this project's.
    #[error("{} is a symbolic link", path.display())]
    Symlink {
        /// The lockfile.
        path: PathBuf,
    },
    /// The hooks of a pnpmfile.
    #[error(transparent)]
    Pnpmfile(#[from] PnpmfileError),
    /// `minimumReleaseAgeStrict`: there is nothing old enough.
    #[error(
        "{} {} not meet the minimumReleaseAge constraint:\n  {}",
        young.len(),
        if young.len() == 1 { "version does" } else { "versions do" },
        young.join("\n  ")
    )]
    Immature {
        /// A sentence about each.
        young: Vec<String>,
    },
    /// The key of an override names no package.
    #[error("Cannot parse the \"{}\" selector of overrides", escaped(selector))]
    OverrideSelector {
        /// The part of it.
        selector: Box<str>,
    },
    /// `$name` in an override, and nothing depends on that.
    #[error(
        "Cannot resolve version ${0} in overrides. The direct dependencies don't have dependency \
         \"{0}\".",
        escaped(name)
    )]
    OverrideVersion {
        /// The name.
        name: Box<str>,
    },
    /// Peers are missing or do not fit, and `strictPeerDependencies` is on.
    #[error("Unmet peer dependencies\n\n{report}")]
    Peers {
        /// What is wrong, over several lines; safe to print.
        report: String,
        /// Whether a peer is missing.
        has_missing: bool,
    },
    /// What was chosen names something that it lacks.
    #[error("What was chosen is no lockfile that could be used: {0}")]
    Incomplete(LockfileError),
    /// Threads cannot be started.
    #[error("Cannot start the threads that fetch metadata")]
    Runtime(#[source] std::io::Error),
}

impl From<ResolveFault> for RelockError {
    fn from(fault: ResolveFault) -> Self {
        Self::Resolve(fault.into())
    }
}

impl Diagnostic for RelockError {
    fn code(&self) -> &'static str {
        match self {
            Self::Resolve(error) => error.code(),
            Self::Specifier(error) => error.code(),
            Self::Pattern(error) => error.code(),
            Self::Config(error) => error.code(),
            Self::Install(error) => error.code(),
            Self::Runtime(_) => "ERR_PACQUET_NETWORK_SETUP",
            Self::Immature { .. } => "ERR_PNPM_NO_MATURE_MATCHING_VERSION",
            Self::OverrideSelector { .. } => "ERR_PNPM_INVALID_SELECTOR",
            Self::OverrideVersion { .. } => "ERR_PNPM_CANNOT_RESOLVE_OVERRIDE_VERSION",
            Self::Peers { .. } => "ERR_PNPM_PEER_DEP_ISSUES",
            Self::Symlink { .. } => "ERR_PNPM_LOCKFILE_IS_SYMLINK",
            Self::Incomplete(_) => "ERR_PACQUET_INCOMPLETE_LOCKFILE",
            Self::Pnpmfile(error) => error.code(),
        }
    }

    fn hint(&self) -> Option<String> {
        match self {
            Self::Resolve(error) => error.hint(),
            Self::Config(error) => error.hint(),
            Self::Install(error) => error.hint(),
            Self::Immature { .. } => Some(
                "Add them to minimumReleaseAgeExclude in pnpm-workspace.yaml, or wait for the \
                 packages to mature."
                    .to_owned(),
            ),
            Self::Peers { has_missing, .. } => {
                let missing = "to have missing peers installed, set in pnpm-workspace.yaml:\n\n  \
                               autoInstallPeers: true\n\nhint: ";
                let strict = "to go on with peers that do not fit, set in pnpm-workspace.yaml:\
                              \n\n  strictPeerDependencies: false";
                let missing = if *has_missing { missing } else { "" };
                Some(format!("{missing}{strict}"))
            }
            Self::Symlink { .. } => Some("Replace it by the file".to_owned()),
            Self::Incomplete(_) => Some(
                "Nothing was written, and this is a fault of pacquet: please report it with the \
                 manifests. `pacquet dedupe` chooses everything anew"
                    .to_owned(),
            ),
            Self::Pnpmfile(error) => error.hint(),
            Self::OverrideSelector { .. } => {
                Some("it is `name`, `name@range` or `parent>name`".to_owned())
            }
            Self::OverrideVersion { .. } => Some(
                "`$name` stands for what the root's package.json depends on: add it there, or \
                 write the version out"
                    .to_owned(),
            ),
            Self::Runtime(_) => Some(MORE_THREADS.to_owned()),
            Self::Specifier(error) => error.hint(),
            Self::Pattern(error) => error.hint(),
        }
    }
}
