//! Arguments of the commands that bring packages, and what they share with others.

use std::path::PathBuf;

use clap::{Args, ValueEnum};
use serde::{Deserialize, Serialize};

/// `fetch`.
#[derive(Debug, Clone, Args)]
pub(in crate::cli) struct FetchArguments {
    /// Leave out devDependencies
    #[arg(short = 'P', long, visible_alias = "production")]
    pub(in crate::cli) prod: bool,

    /// Only devDependencies
    #[arg(short = 'D', long, conflicts_with = "prod")]
    pub(in crate::cli) dev: bool,

    #[command(flatten)]
    pub(in crate::cli) network: NetworkArguments,
}

/// For which platforms optional packages are installed.
#[derive(Debug, Clone, Default, Args)]
pub(in crate::cli) struct PlatformArguments {
    /// Processors to install optional packages for
    #[arg(
        long,
        value_name = "CPU",
        value_delimiter = ',',
        help_heading = "What to install"
    )]
    pub(in crate::cli) cpu: Vec<String>,

    /// Operating systems to install optional packages for
    #[arg(
        long,
        value_name = "OS",
        value_delimiter = ',',
        help_heading = "What to install"
    )]
    pub(in crate::cli) os: Vec<String>,

    /// C libraries to install optional packages for
    #[arg(
        long,
        value_name = "LIBC",
        value_delimiter = ',',
        help_heading = "What to install"
    )]
    pub(in crate::cli) libc: Vec<String>,
}

/// What to install: shared by `install` and `mount`.
#[derive(Debug, Clone, Args)]
pub(in crate::cli) struct SelectionArguments {
    /// Leave out devDependencies
    #[arg(
        short = 'P',
        long,
        visible_alias = "production",
        help_heading = "What to install"
    )]
    pub(in crate::cli) prod: bool,

    /// Only devDependencies
    #[arg(
        short = 'D',
        long,
        conflicts_with = "prod",
        help_heading = "What to install"
    )]
    pub(in crate::cli) dev: bool,

    /// Leave out optionalDependencies
    #[arg(long, overrides_with = "optional", help_heading = "What to install")]
    pub(in crate::cli) no_optional: bool,

    /// Install optionalDependencies (the default)
    #[arg(long, hide = true, overrides_with = "no_optional")]
    pub(in crate::cli) optional: bool,

    #[command(flatten)]
    pub(in crate::cli) platforms: PlatformArguments,

    /// How node_modules is laid out
    #[arg(
        long,
        value_enum,
        value_name = "LINKER",
        help_heading = "What to install"
    )]
    pub(in crate::cli) node_linker: Option<Linker>,

    /// Where pnpm-lock.yaml is
    #[arg(long, value_name = "DIR", help_heading = "What to install")]
    pub(in crate::cli) lockfile_dir: Option<PathBuf>,
}

/// `install`.
#[derive(Debug, Clone, Args)]
pub(in crate::cli) struct InstallArguments {
    /// Packages to add first, as `add` does
    #[arg(value_name = "PACKAGE")]
    pub(in crate::cli) packages: Vec<String>,

    /// Add the packages for no project, as `add --global` does
    #[arg(
        short = 'g',
        long,
        requires = "packages",
        help_heading = "What to install"
    )]
    pub(in crate::cli) global: bool,

    /// Say what would change, and change nothing
    #[arg(long, help_heading = "What to install")]
    pub(in crate::cli) dry_run: bool,

    /// A package that may run scripts from now on; with ! in front, one that may not
    #[arg(long, value_name = "PACKAGE", help_heading = "Scripts")]
    pub(in crate::cli) allow_build: Vec<String>,

    /// Go through all dependencies where the lockfile does not fit (the setting `autoDedupe`)
    #[arg(long, overrides_with = "no_auto_dedupe", help_heading = "Lockfile")]
    pub(in crate::cli) auto_dedupe: bool,

    /// Do not, whatever the setting says
    #[arg(long, hide = true, overrides_with = "auto_dedupe")]
    pub(in crate::cli) no_auto_dedupe: bool,

    /// Serve node_modules from the store instead of writing files (the setting `virtual`)
    #[arg(
        long = "virtual",
        overrides_with = "no_virtual",
        num_args = 0..=1,
        require_equals = true,
        default_missing_value = "true",
        value_name = "auto",
        help_heading = "How node_modules is put in place"
    )]
    pub(in crate::cli) virtual_mode: Option<VirtualMode>,

    /// Write real files, whatever the setting says
    #[arg(
        long,
        overrides_with = "virtual_mode",
        help_heading = "How node_modules is put in place"
    )]
    pub(in crate::cli) no_virtual: bool,

    /// Move a node_modules with the files of another installer aside
    #[arg(long, help_heading = "How node_modules is put in place")]
    pub(in crate::cli) force: bool,

    /// Check each served file against its digest when it is first read
    #[arg(long, help_heading = "How node_modules is put in place")]
    pub(in crate::cli) verify_reads: bool,

    #[command(flatten)]
    pub(in crate::cli) selection: SelectionArguments,

    /// Fail if the lockfile does not fit package.json (the default in CI)
    #[arg(long, overrides_with = "no_frozen_lockfile", help_heading = "Lockfile")]
    pub(in crate::cli) frozen_lockfile: bool,

    /// Do not insist on a lockfile that fits
    #[arg(long, hide = true, overrides_with = "frozen_lockfile")]
    pub(in crate::cli) no_frozen_lockfile: bool,

    /// Use the lockfile as it is where it fits package.json (the default)
    #[arg(long, hide = true, overrides_with = "no_prefer_frozen_lockfile")]
    pub(in crate::cli) prefer_frozen_lockfile: bool,

    /// Go through all dependencies even where the lockfile fits
    #[arg(long, hide = true, overrides_with = "prefer_frozen_lockfile")]
    pub(in crate::cli) no_prefer_frozen_lockfile: bool,

    /// Bring the lockfile up to date and nothing else
    #[arg(long, help_heading = "Lockfile")]
    pub(in crate::cli) lockfile_only: bool,

    /// Neither read a lockfile nor write one (the setting `lockfile`)
    #[arg(
        long,
        overrides_with = "lockfile",
        hide_short_help = true,
        help_heading = "Lockfile"
    )]
    pub(in crate::cli) no_lockfile: bool,

    /// Read one and write it (the default)
    #[arg(long, hide = true, overrides_with = "no_lockfile")]
    pub(in crate::cli) lockfile: bool,

    /// Mend what is broken in the lockfile
    #[arg(long, help_heading = "Lockfile")]
    pub(in crate::cli) fix_lockfile: bool,

    /// Put the checksums that registries have today into the lockfile
    #[arg(long, hide_short_help = true, help_heading = "Lockfile")]
    pub(in crate::cli) update_checksums: bool,

    /// Do not hold a frozen lockfile against the manifests
    #[arg(long, hide_short_help = true, help_heading = "Lockfile")]
    pub(in crate::cli) ignore_manifest_check: bool,

    /// Do not hold addresses, ages and origins in the lockfile against what registries say
    #[arg(long, overrides_with = "no_trust_lockfile", help_heading = "Lockfile")]
    pub(in crate::cli) trust_lockfile: bool,

    /// Hold them against it (the default)
    #[arg(long, hide = true, overrides_with = "trust_lockfile")]
    pub(in crate::cli) no_trust_lockfile: bool,

    /// Do not run the scripts of packages
    #[arg(long, overrides_with = "no_ignore_scripts", help_heading = "Scripts")]
    pub(in crate::cli) ignore_scripts: bool,

    /// Run the scripts of packages that are allowed to
    #[arg(long, hide = true, overrides_with = "ignore_scripts")]
    pub(in crate::cli) no_ignore_scripts: bool,

    #[command(flatten)]
    pub(in crate::cli) network: NetworkArguments,
}

/// Network options of `install`.
#[derive(Debug, Clone, Default, Args)]
#[command(next_help_heading = "Network")]
pub(in crate::cli) struct NetworkArguments {
    /// Use only what the store has
    #[arg(long, overrides_with = "no_offline")]
    pub(in crate::cli) offline: bool,

    /// Use the network (the default)
    #[arg(long, hide = true, overrides_with = "offline")]
    pub(in crate::cli) no_offline: bool,

    /// Prefer what the store has
    #[arg(long, overrides_with = "no_prefer_offline")]
    pub(in crate::cli) prefer_offline: bool,

    /// Ask the registry whether that is the latest (the default)
    #[arg(long, hide = true, overrides_with = "prefer_offline")]
    pub(in crate::cli) no_prefer_offline: bool,

    /// Requests under way at once
    #[arg(long, value_name = "N")]
    pub(in crate::cli) network_concurrency: Option<u32>,

    /// Milliseconds without progress after which a request is given up
    #[arg(long, value_name = "MS")]
    pub(in crate::cli) fetch_timeout: Option<u64>,

    /// How often a failed request is made again
    #[arg(long, value_name = "N")]
    pub(in crate::cli) fetch_retries: Option<u32>,

    /// Milliseconds after which an answer to a question about metadata is worth a warning
    #[arg(long, value_name = "MS", hide_short_help = true)]
    pub(in crate::cli) fetch_warn_timeout_ms: Option<u64>,

    /// KiB a second below which a download is worth a warning
    #[arg(long, value_name = "KIB", hide_short_help = true)]
    pub(in crate::cli) fetch_min_speed_ki_bps: Option<u64>,

    /// What registries are told this program is
    #[arg(long, value_name = "TEXT", hide_short_help = true)]
    pub(in crate::cli) user_agent: Option<String>,
}

/// `--virtual[=auto]`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(in crate::cli) enum VirtualMode {
    /// Serve; fail where that is not possible
    #[value(alias = "always")]
    True,
    /// Serve where that is possible, else write files
    Auto,
    /// Write files
    False,
}

/// `--node-linker`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(in crate::cli) enum Linker {
    /// A virtual store and symlinks
    Isolated,
    /// A flat tree
    Hoisted,
}
