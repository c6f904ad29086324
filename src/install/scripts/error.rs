//! Why a script could not be run at all.

use std::io;
use std::path::PathBuf;

use crate::diagnostic::Diagnostic;
use crate::install::manifest::ManifestError;
use crate::name::escaped;

/// Why a script could not be run. A script that ran and failed is no error of this kind.
#[derive(Debug, thiserror::Error)]
pub enum ScriptError {
    /// The manifest that should have it cannot be read.
    #[error(transparent)]
    Manifest(#[from] ManifestError),
    /// `scriptShell` names no program.
    #[error("The shell {} of the setting scriptShell cannot be run", shell.display())]
    Shell {
        /// As configured.
        shell: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// The shell cannot be started where the script belongs.
    #[error("The script {} cannot be started in {}", escaped(stage), directory.display())]
    Start {
        /// Its name.
        stage: String,
        /// Where.
        directory: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// Its end cannot be waited for.
    #[error("The end of the script {} cannot be waited for", escaped(stage))]
    Wait {
        /// Its name.
        stage: String,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// The command was interrupted before the script started.
    #[error(
        "The script {} was not started: the command is being ended",
        escaped(stage)
    )]
    Stopped {
        /// Its name.
        stage: String,
    },
}

impl Diagnostic for ScriptError {
    fn code(&self) -> &'static str {
        match self {
            Self::Manifest(error) => error.code(),
            Self::Shell { .. } => "ERR_PNPM_SCRIPT_SHELL_NOT_FOUND",
            Self::Start { .. } | Self::Wait { .. } => "ERR_PACQUET_SCRIPT_START",
            Self::Stopped { .. } => "ERR_PACQUET_INTERRUPTED",
        }
    }

    fn hint(&self) -> Option<String> {
        match self {
            Self::Manifest(error) => error.hint(),
            Self::Shell { .. } => Some("correct scriptShell, or remove it to use sh".to_owned()),
            _ => None,
        }
    }
}
