//! Arguments of the commands that look after the store and the servers.

use std::path::PathBuf;

use clap::{Args, Subcommand};

/// `store …`.
#[derive(Debug, Subcommand)]
pub(in crate::cli) enum StoreCommand {
    /// Print where the store is
    Path,
    /// Say what is in the store
    Status {
        /// As JSON
        #[arg(long)]
        json: bool,
    },
    /// Bring packages into the store, without what they depend on
    Add {
        /// Names, with or without @version
        #[arg(value_name = "PACKAGE")]
        packages: Vec<String>,
    },
    /// Check every byte in the store
    Verify {
        /// As JSON
        #[arg(long)]
        json: bool,
    },
    /// Take packages of the project from a store of pnpm instead of the network
    Import {
        /// The store; that of pnpm for this project where none is named
        #[arg(value_name = "DIR")]
        from: Option<PathBuf>,
        /// As JSON
        #[arg(long)]
        json: bool,
    },
    /// Make the index again from the packs
    RebuildIndex,
    /// Remove packages that no project, mount or saved layer needs
    Prune {
        /// Say what would be removed, and remove nothing
        #[arg(long)]
        dry_run: bool,
        /// As JSON
        #[arg(long)]
        json: bool,
    },
}

/// `clean`.
#[derive(Debug, Clone, Args)]
pub(in crate::cli) struct CleanArguments {
    /// Remove pnpm-lock.yaml too
    #[arg(short = 'l', long)]
    pub(in crate::cli) lockfile: bool,
}

/// `prune`.
#[derive(Debug, Clone, Args)]
pub(in crate::cli) struct PruneArguments {
    /// Remove devDependencies too
    #[arg(short = 'P', long, visible_alias = "production")]
    pub(in crate::cli) prod: bool,

    /// Keep devDependencies alone
    #[arg(short = 'D', long, conflicts_with = "prod")]
    pub(in crate::cli) dev: bool,

    /// Remove optionalDependencies too
    #[arg(long, overrides_with = "optional")]
    pub(in crate::cli) no_optional: bool,

    /// Keep optionalDependencies (the default)
    #[arg(long, hide = true, overrides_with = "no_optional")]
    pub(in crate::cli) optional: bool,

    /// Do not run the scripts of packages
    #[arg(long, overrides_with = "no_ignore_scripts")]
    pub(in crate::cli) ignore_scripts: bool,

    /// Run the scripts of packages that are allowed to
    #[arg(long, hide = true, overrides_with = "ignore_scripts")]
    pub(in crate::cli) no_ignore_scripts: bool,
}

/// The arguments that a server process gets from its parent.
#[derive(Debug, Clone, Args)]
pub(in crate::cli) struct ServeArguments {
    /// As `--verify-reads` of `mount`
    #[arg(long)]
    pub(in crate::cli) verify_reads: bool,

    /// Written and read by the serving code alone
    #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
    pub(in crate::cli) arguments: Vec<std::ffi::OsString>,
}

/// Where the walker walks.
#[derive(Debug, Clone, Args)]
pub(in crate::cli) struct WalkArguments {
    /// The mountpoint
    pub(in crate::cli) mountpoint: PathBuf,
}

/// `profile …`.
#[derive(Debug, Subcommand)]
pub(in crate::cli) enum ProfileCommand {
    /// Write it as text, which can be committed as pacquet.profile
    Export {
        /// The file; standard output without it
        file: Option<PathBuf>,
    },
    /// Read one that was exported
    Import {
        /// The file
        file: PathBuf,
    },
}

/// `service …`.
#[derive(Debug, Subcommand)]
pub(in crate::cli) enum ServiceCommand {
    /// Write the unit of this project: it mounts at login and unmounts at logout
    Install,
    /// Remove the unit of this project
    Remove,
}
