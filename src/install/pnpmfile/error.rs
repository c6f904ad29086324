//! Why hooks could not run.

use std::path::PathBuf;

use crate::diagnostic::Diagnostic;
use crate::name::escaped;

/// Why the hooks of a pnpmfile could not run, or what is wrong with what they gave.
#[derive(Debug, thiserror::Error)]
pub enum PnpmfileError {
    /// The setting `pnpmfile` names a file that is not there.
    #[error("pnpmfile at \"{}\" is not found", path.display())]
    NotFound {
        /// Which.
        path: PathBuf,
    },
    /// It cannot be read.
    #[error("Cannot read {}", path.display())]
    Read {
        /// Which.
        path: PathBuf,
        /// Why.
        #[source]
        source: std::io::Error,
    },
    /// There is no node.
    #[error("node could not be started, which runs the hooks of {}", path.display())]
    Node {
        /// The first pnpmfile.
        path: PathBuf,
        /// Why.
        #[source]
        source: std::io::Error,
    },
    /// The process ended, or said something that is no answer.
    #[error(
        "Error during pnpmfile execution. pnpmfile: \"{}\". Error: \"{reason}\"",
        path.display()
    )]
    Worker {
        /// The first pnpmfile.
        path: PathBuf,
        /// What happened.
        reason: String,
    },
    /// A hook threw, or gave something else than it should.
    #[error("{}", shown(message))]
    Hook {
        /// pnpm's code.
        code: &'static str,
        /// What node says, with the place.
        message: String,
    },
    /// `readPackage` made something of a manifest that cannot be used.
    #[error(
        "The readPackage hook returned a manifest of {} that cannot be used: {reason}",
        escaped(package)
    )]
    Manifest {
        /// Which package.
        package: String,
        /// What is wrong with it.
        reason: String,
    },
    /// `afterAllResolved` made something of the lockfile that cannot be used.
    #[error("The afterAllResolved hook returned a lockfile that cannot be used: {reason}")]
    Lockfile {
        /// What is wrong with it.
        reason: String,
    },
    /// No pnpmfile has a finder of this name.
    #[error("No finder with name {} is found", escaped(name))]
    FinderNotFound {
        /// What was asked for.
        name: String,
    },
    /// There is a hook that has not run.
    #[error("{} has the hook updateConfig without saying so in its own text", path.display())]
    UpdateConfig {
        /// Which pnpmfile.
        path: PathBuf,
    },
}

/// A message of several lines, without control characters.
fn shown(message: &str) -> String {
    let lines: Vec<String> = message.lines().map(escaped).collect();
    lines.join("\n")
}

impl Diagnostic for PnpmfileError {
    fn code(&self) -> &'static str {
        match self {
            Self::NotFound { .. } => "ERR_PNPM_PNPMFILE_NOT_FOUND",
            Self::Hook { code, .. } => code,
            Self::FinderNotFound { .. } => "ERR_PNPM_FINDER_NOT_FOUND",
            Self::Manifest { .. } => "ERR_PNPM_BAD_READ_PACKAGE_HOOK_RESULT",
            Self::Read { .. } | Self::Node { .. } | Self::Worker { .. } | Self::Lockfile { .. } => {
                "ERR_PNPM_PNPMFILE_FAIL"
            }
            Self::UpdateConfig { .. } => "ERR_PACQUET_PNPMFILE",
        }
    }

    fn hint(&self) -> Option<String> {
        match self {
            Self::Node { .. } => Some("Install node, or use --ignore-pnpmfile".to_owned()),
            Self::UpdateConfig { .. } => {
                Some("Name updateConfig in the pnpmfile itself: it is looked for there".to_owned())
            }
            Self::FinderNotFound { .. } => {
                Some("Finders are functions in the export finders of a pnpmfile".to_owned())
            }
            Self::NotFound { .. } => {
                Some("Correct the path in the setting that names it".to_owned())
            }
            _ => Some("Correct the pnpmfile, or use --ignore-pnpmfile".to_owned()),
        }
    }
}
