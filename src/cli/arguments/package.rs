//! Arguments of the commands that look at `package.json` and change it as they are told.

use std::path::PathBuf;

use clap::{Args, Subcommand};

/// `pkg …`.
#[derive(Debug, Clone, Args)]
pub(in crate::cli) struct PkgArguments {
    /// Values are JSON
    #[arg(long, global = true)]
    pub(in crate::cli) json: bool,

    #[command(subcommand)]
    pub(in crate::cli) command: PkgCommand,
}

/// What stands behind `pkg`.
#[derive(Debug, Clone, Subcommand)]
pub(in crate::cli) enum PkgCommand {
    /// Print values of package.json; without a key, all of it
    Get {
        /// Paths: name, scripts.build, files[0], exports["./x"]
        keys: Vec<String>,
    },
    /// Set values of package.json
    Set {
        /// KEY=VALUE, where KEY is a path
        #[arg(required = true, value_name = "KEY=VALUE")]
        pairs: Vec<String>,
    },
    /// Take values out of package.json
    Delete {
        /// Paths
        #[arg(required = true)]
        keys: Vec<String>,
    },
}

/// `pack`.
#[derive(Debug, Clone, Args)]
pub(in crate::cli) struct PackArguments {
    /// Write nothing
    #[arg(long)]
    pub(in crate::cli) dry_run: bool,

    /// Print an object for programs
    #[arg(long)]
    pub(in crate::cli) json: bool,

    /// Where the archive is written
    #[arg(long, value_name = "DIR")]
    pub(in crate::cli) pack_destination: Option<PathBuf>,

    /// The path of the archive: %s is the name, %v the version
    #[arg(long, value_name = "PATH")]
    pub(in crate::cli) out: Option<String>,

    /// Run no scripts
    #[arg(long)]
    pub(in crate::cli) ignore_scripts: bool,
}

/// `set-script`.
#[derive(Debug, Clone, Args)]
pub(in crate::cli) struct SetScriptArguments {
    /// The name of the script, and the command
    #[arg(
        trailing_var_arg = true,
        allow_hyphen_values = true,
        value_name = "NAME COMMAND"
    )]
    pub(in crate::cli) words: Vec<String>,
}
