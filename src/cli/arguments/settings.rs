//! Arguments of `config`.

use clap::{Args, Subcommand, ValueEnum};

/// `config …`.
#[derive(Debug, Clone, Args)]
pub(in crate::cli) struct ConfigArguments {
    #[command(flatten)]
    pub(in crate::cli) flags: ConfigFlags,

    #[command(subcommand)]
    pub(in crate::cli) command: ConfigCommand,
}

/// What stands behind `config`.
#[derive(Debug, Clone, Subcommand)]
pub(in crate::cli) enum ConfigCommand {
    /// Set a setting: KEY VALUE or KEY=VALUE
    Set {
        /// Its name, in camel case or with hyphens
        key: Option<String>,
        /// What it is set to
        #[arg(allow_hyphen_values = true)]
        value: Option<String>,
    },
    /// Print a setting
    Get {
        /// Its name, in camel case or with hyphens; of nested ones a path: overrides.name
        key: Option<String>,
    },
    /// Remove a setting
    #[command(visible_alias = "rm")]
    Delete {
        /// Its name, in camel case or with hyphens; of nested ones a path: overrides.name
        key: Option<String>,
    },
    /// Print all settings that somebody made
    #[command(visible_alias = "ls")]
    List,
}

/// `get`: as `config get`.
#[derive(Debug, Clone, Args)]
pub(in crate::cli) struct ConfigKey {
    /// Its name, in camel case or with hyphens; of nested ones a path: overrides.name
    pub(in crate::cli) key: Option<String>,

    #[command(flatten)]
    pub(in crate::cli) flags: ConfigFlags,
}

/// Flags of all of `config`, in front of what it is to do or behind it.
#[derive(Debug, Clone, Default, Args)]
pub(in crate::cli) struct ConfigFlags {
    /// In the user's files (the default)
    #[arg(short = 'g', long, global = true)]
    pub(in crate::cli) global: bool,

    /// In whose files
    #[arg(long, global = true, value_enum, value_name = "WHOSE")]
    pub(in crate::cli) location: Option<ConfigLocation>,

    /// The value is JSON
    #[arg(long, global = true)]
    pub(in crate::cli) json: bool,
}

/// `--location`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(in crate::cli) enum ConfigLocation {
    /// The project's
    Project,
    /// The user's
    Global,
}

/// `set`: as `config set`.
#[derive(Debug, Clone, Args)]
pub(in crate::cli) struct SetArguments {
    /// Its name, in camel case or with hyphens
    pub(in crate::cli) key: Option<String>,

    /// What it is set to
    #[arg(allow_hyphen_values = true)]
    pub(in crate::cli) value: Option<String>,

    #[command(flatten)]
    pub(in crate::cli) flags: ConfigFlags,
}
