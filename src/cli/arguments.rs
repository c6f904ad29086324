//! What may be written on the command line. Flags that pnpm has too are named as pnpm names them.

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand, ValueEnum};

/// A JavaScript package installer whose node_modules is served, not written.
#[derive(Debug, Parser)]
#[command(
    name = "pacquet",
    version,
    about,
    disable_help_subcommand = true,
    max_term_width = 100,
    after_help = "Run `pacquet <command> --help` for the options of a command."
)]
pub(super) struct Arguments {
    #[command(flatten)]
    pub(super) global: GlobalArguments,

    #[command(subcommand)]
    pub(super) command: Command,
}

/// Options that every command takes.
#[derive(Debug, Clone, Args)]
#[command(next_help_heading = "Everywhere")]
pub(super) struct GlobalArguments {
    /// Run as if started in this directory
    #[arg(short = 'C', long, global = true, value_name = "DIR")]
    pub(super) dir: Option<PathBuf>,

    /// Where packages are kept
    #[arg(long, global = true, value_name = "DIR")]
    pub(super) store_dir: Option<PathBuf>,

    /// How progress is shown
    #[arg(long, global = true, value_enum, value_name = "KIND")]
    pub(super) reporter: Option<ReporterKind>,

    /// Write a trace of the run that a trace viewer opens (filter: TRACE=…)
    #[arg(long, global = true, value_name = "FILE")]
    pub(super) trace: Option<PathBuf>,

    /// Set any setting of pnpm-workspace.yaml: --config.KEY=VALUE
    #[arg(long = "config", global = true, value_name = "KEY=VALUE", hide = true)]
    pub(super) config: Vec<String>,
}

/// `--reporter`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(super) enum ReporterKind {
    /// Live progress on a terminal, plain lines elsewhere
    Default,
    /// Plain lines, nothing is redrawn
    AppendOnly,
    /// One JSON object a line
    Ndjson,
    /// Errors only
    Silent,
}

/// The commands.
#[derive(Debug, Subcommand)]
pub(super) enum Command {
    /// Bring the store up to date with the lockfile and put node_modules in place
    #[command(visible_alias = "i")]
    Install(InstallArguments),
    /// Serve the node_modules of a project whose packages are in the store already
    Mount(MountArguments),
    /// Take a served node_modules down
    #[command(visible_alias = "umount")]
    Unmount(UnmountArguments),
    /// Show what is served, how healthy it is and what it used
    Status(StatusArguments),
    /// Look after the store
    #[command(subcommand)]
    Store(StoreCommand),
    /// The server process of a mount
    #[command(hide = true)]
    Serve(ServeArguments),
    /// The process that asks a mount for names in advance
    #[command(hide = true)]
    Walk(WalkArguments),
}

/// What to install: shared by `install` and `mount`.
#[derive(Debug, Clone, Args)]
pub(super) struct SelectionArguments {
    /// Leave out devDependencies
    #[arg(
        short = 'P',
        long,
        visible_alias = "production",
        help_heading = "What to install"
    )]
    pub(super) prod: bool,

    /// Only devDependencies
    #[arg(
        short = 'D',
        long,
        conflicts_with = "prod",
        help_heading = "What to install"
    )]
    pub(super) dev: bool,

    /// Leave out optionalDependencies
    #[arg(long, overrides_with = "optional", help_heading = "What to install")]
    pub(super) no_optional: bool,

    /// Install optionalDependencies (the default)
    #[arg(long, hide = true, overrides_with = "no_optional")]
    pub(super) optional: bool,

    /// Processors to install optional packages for
    #[arg(long, value_name = "CPU", help_heading = "What to install")]
    pub(super) cpu: Vec<String>,

    /// Operating systems to install optional packages for
    #[arg(long, value_name = "OS", help_heading = "What to install")]
    pub(super) os: Vec<String>,

    /// C libraries to install optional packages for
    #[arg(long, value_name = "LIBC", help_heading = "What to install")]
    pub(super) libc: Vec<String>,

    /// How node_modules is laid out
    #[arg(
        long,
        value_enum,
        value_name = "LINKER",
        help_heading = "What to install"
    )]
    pub(super) node_linker: Option<Linker>,

    /// Where pnpm-lock.yaml is
    #[arg(long, value_name = "DIR", help_heading = "What to install")]
    pub(super) lockfile_dir: Option<PathBuf>,
}

/// `install`.
#[derive(Debug, Clone, Args)]
pub(super) struct InstallArguments {
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
    pub(super) virtual_mode: Option<VirtualMode>,

    /// Write real files, whatever the setting says
    #[arg(
        long,
        overrides_with = "virtual_mode",
        help_heading = "How node_modules is put in place"
    )]
    pub(super) no_virtual: bool,

    /// Move a node_modules with the files of another installer aside
    #[arg(long, help_heading = "How node_modules is put in place")]
    pub(super) force: bool,

    #[command(flatten)]
    pub(super) selection: SelectionArguments,

    /// Fail if the lockfile does not fit package.json (the default in CI)
    #[arg(long, overrides_with = "no_frozen_lockfile", help_heading = "Lockfile")]
    pub(super) frozen_lockfile: bool,

    /// Do not insist on a lockfile that fits
    #[arg(long, hide = true, overrides_with = "frozen_lockfile")]
    pub(super) no_frozen_lockfile: bool,

    /// Use the lockfile as it is where it fits package.json (the default)
    #[arg(long, hide = true)]
    pub(super) prefer_frozen_lockfile: bool,

    /// Do not run the scripts of packages
    #[arg(long, overrides_with = "no_ignore_scripts", help_heading = "Scripts")]
    pub(super) ignore_scripts: bool,

    /// Run the scripts of packages that are allowed to
    #[arg(long, hide = true, overrides_with = "ignore_scripts")]
    pub(super) no_ignore_scripts: bool,

    #[command(flatten)]
    pub(super) network: NetworkArguments,
}

/// Network options of `install`.
#[derive(Debug, Clone, Args)]
#[command(next_help_heading = "Network")]
pub(super) struct NetworkArguments {
    /// Use only what the store has
    #[arg(long, overrides_with = "no_offline")]
    pub(super) offline: bool,

    /// Use the network (the default)
    #[arg(long, hide = true, overrides_with = "offline")]
    pub(super) no_offline: bool,

    /// Prefer what the store has
    #[arg(long)]
    pub(super) prefer_offline: bool,

    /// The registry for packages without a scope of their own
    #[arg(long, value_name = "URL")]
    pub(super) registry: Option<String>,

    /// Requests under way at once
    #[arg(long, value_name = "N")]
    pub(super) network_concurrency: Option<u32>,

    /// Milliseconds without progress after which a request is given up
    #[arg(long, value_name = "MS")]
    pub(super) fetch_timeout: Option<u64>,

    /// How often a failed request is made again
    #[arg(long, value_name = "N")]
    pub(super) fetch_retries: Option<u32>,
}

/// `--virtual[=auto]`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(super) enum VirtualMode {
    /// Serve; fail where that is not possible
    #[value(alias = "always")]
    True,
    /// Serve where that is possible, else write files
    Auto,
    /// Write files
    False,
}

/// `--node-linker`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(super) enum Linker {
    /// A virtual store and symlinks
    Isolated,
    /// A flat tree
    Hoisted,
}

/// `mount`.
#[derive(Debug, Clone, Args)]
pub(super) struct MountArguments {
    /// Serve from this process, until it is interrupted
    #[arg(long)]
    pub(super) foreground: bool,

    /// Move a node_modules with the files of another installer aside
    #[arg(long)]
    pub(super) force: bool,

    #[command(flatten)]
    pub(super) selection: SelectionArguments,
}

/// `unmount`.
#[derive(Debug, Clone, Args)]
pub(super) struct UnmountArguments {
    /// Take it out of the tree now, and end when the last user is gone
    #[arg(long)]
    pub(super) lazy: bool,

    /// Cut a server off that does not answer
    #[arg(long)]
    pub(super) force: bool,

    /// Every mount of this user
    #[arg(long)]
    pub(super) all: bool,
}

/// `status`.
#[derive(Debug, Clone, Args)]
pub(super) struct StatusArguments {
    /// One JSON array with an object a mount
    #[arg(long)]
    pub(super) json: bool,
}

/// `store …`.
#[derive(Debug, Subcommand)]
pub(super) enum StoreCommand {
    /// Print where the store is
    Path,
    /// Say what is in the store
    Status {
        /// As JSON
        #[arg(long)]
        json: bool,
    },
    /// Check every byte in the store
    Verify {
        /// As JSON
        #[arg(long)]
        json: bool,
    },
    /// Make the index again from the packs
    RebuildIndex,
}

/// The arguments that a server process gets from its parent.
#[derive(Debug, Clone, Args)]
pub(super) struct ServeArguments {
    /// Written and read by the serving code alone
    #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
    pub(super) arguments: Vec<std::ffi::OsString>,
}

/// Where the walker walks.
#[derive(Debug, Clone, Args)]
pub(super) struct WalkArguments {
    /// The mountpoint
    pub(super) mountpoint: PathBuf,
}
