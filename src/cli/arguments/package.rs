//! Arguments of the commands that look at `package.json` and change it as they are told.

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
