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

/// `version`.
#[derive(Debug, Clone, Args)]
pub(in crate::cli) struct VersionArguments {
    /// A version, or major, minor, patch, premajor, preminor, prepatch, prerelease, from-git
    #[arg(value_name = "VERSION")]
    pub(in crate::cli) version: Option<String>,

    /// How pre-releases are called: beta
    #[arg(long, value_name = "NAME")]
    pub(in crate::cli) preid: Option<String>,

    /// Change nothing
    #[arg(long)]
    pub(in crate::cli) dry_run: bool,

    /// Print JSON
    #[arg(long)]
    pub(in crate::cli) json: bool,

    /// Though the version is the same
    #[arg(long)]
    pub(in crate::cli) allow_same_version: bool,

    /// What commit and tag say; %s is the version
    #[arg(short, long, value_name = "TEXT")]
    pub(in crate::cli) message: Option<String>,

    /// Whatever is not committed
    #[arg(long)]
    pub(in crate::cli) no_git_checks: bool,

    /// No commit and no tag
    #[arg(long)]
    pub(in crate::cli) no_git_tag_version: bool,

    /// Run no hooks of git
    #[arg(long)]
    pub(in crate::cli) no_commit_hooks: bool,

    /// Sign the tag
    #[arg(long)]
    pub(in crate::cli) sign_git_tag: bool,

    /// What stands in front of the version in the tag: v
    #[arg(long, value_name = "PREFIX")]
    pub(in crate::cli) tag_version_prefix: Option<String>,

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
