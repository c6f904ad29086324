//! What may be written on the command line. Flags that pnpm has too are named as pnpm names them.

mod audit;
mod change;
pub(super) mod deferred;
mod deploy;
mod inquiry;
mod install;
mod mounting;
mod package;
mod patching;
mod scripts;
mod settings;
mod upkeep;
mod workspace;

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand, ValueEnum};

pub(super) use audit::{AuditArguments, AuditFix, PeersArguments};
pub(super) use change::{
    AddArguments, ChangeArguments, DedupeArguments, InitArguments, InitType, RemoveArguments,
    UpdateArguments,
};
pub(super) use deploy::DeployArguments;
pub(super) use inquiry::{
    DoctorArguments, GroupArguments, LicensesArguments, ListArguments, OutdatedArguments,
    OutdatedFormat, OutdatedOrder, ViewArguments,
};
pub(super) use install::{
    FetchArguments, InstallArguments, Linker, NetworkArguments, PlatformArguments,
    SelectionArguments, VirtualMode,
};
pub(super) use mounting::{
    MountArguments, StatusArguments, UnmountArguments, UpgradeServerArguments,
};
pub(super) use package::{
    PackArguments, PkgArguments, PkgCommand, SetScriptArguments, VersionArguments,
};
pub(super) use patching::{
    LinkArguments, PatchArguments, PatchCommitArguments, PatchRemoveArguments, UnlinkArguments,
};
pub(super) use scripts::{
    ApproveArguments, CreateArguments, DlxArguments, ExecArguments, RebuildArguments, RunArguments,
    ScriptArguments,
};
pub(super) use settings::{
    ConfigArguments, ConfigCommand, ConfigFlags, ConfigKey, ConfigLocation, SetArguments,
};
pub(super) use upkeep::{
    CleanArguments, ProfileCommand, PruneArguments, ServeArguments, ServiceCommand, StoreCommand,
    WalkArguments,
};
pub(super) use workspace::WorkspaceArguments;

use deferred::Deferred;

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
    #[arg(
        short = 'C',
        long,
        visible_alias = "prefix",
        global = true,
        value_name = "DIR"
    )]
    pub(super) dir: Option<PathBuf>,

    /// Where packages are kept
    #[arg(long, visible_alias = "store", global = true, value_name = "DIR")]
    pub(super) store_dir: Option<PathBuf>,

    /// How progress is shown
    #[arg(long, global = true, value_enum, value_name = "KIND")]
    pub(super) reporter: Option<ReporterKind>,

    /// Show nothing but errors and what scripts say: --reporter=silent, -s
    #[arg(long, global = true, hide_short_help = true)]
    pub(super) silent: bool,

    /// Write a trace of the run that a trace viewer opens (filter: TRACE=…)
    #[arg(long, global = true, value_name = "FILE")]
    pub(super) trace: Option<PathBuf>,

    /// Do not run the hooks of pnpmfiles
    #[arg(long, global = true, hide_short_help = true)]
    pub(super) ignore_pnpmfile: bool,

    /// The pnpmfile of the project
    #[arg(long, global = true, value_name = "FILE", hide_short_help = true)]
    pub(super) pnpmfile: Option<String>,

    /// A pnpmfile of yours, whose hooks come first
    #[arg(long, global = true, value_name = "FILE", hide_short_help = true)]
    pub(super) global_pnpmfile: Option<String>,

    /// A file with variables, NAME=value a line; those of the environment stay
    #[arg(long, global = true, value_name = "FILE", hide_short_help = true)]
    pub(super) env_file: Vec<PathBuf>,

    /// Globs of projects, instead of `packages` of pnpm-workspace.yaml
    #[arg(long, global = true, value_name = "GLOB", hide_short_help = true)]
    pub(super) workspace_packages: Vec<String>,

    /// As if there were no pnpm-workspace.yaml
    #[arg(long, global = true, hide_short_help = true)]
    pub(super) ignore_workspace: bool,

    /// The .npmrc with credentials, instead of yours
    #[arg(
        long,
        global = true,
        value_name = "FILE",
        alias = "userconfig",
        hide_short_help = true
    )]
    pub(super) npmrc_auth_file: Option<String>,

    /// Where this program keeps what it knows of this machine
    #[arg(long, global = true, value_name = "DIR", hide_short_help = true)]
    pub(super) state_dir: Option<String>,

    /// The proxy for https
    #[arg(long, global = true, value_name = "URL", hide_short_help = true)]
    pub(super) https_proxy: Option<String>,

    /// The proxy for http
    #[arg(long, global = true, value_name = "URL", hide_short_help = true)]
    pub(super) http_proxy: Option<String>,

    /// Hosts that are asked without a proxy
    #[arg(long, global = true, value_name = "HOSTS", hide_short_help = true)]
    pub(super) no_proxy: Option<String>,

    /// No live progress: --reporter=append-only
    #[arg(
        long,
        global = true,
        overrides_with = "progress",
        hide_short_help = true
    )]
    pub(super) no_progress: bool,

    /// Live progress where there is a terminal (the default)
    #[arg(long, global = true, hide = true, overrides_with = "no_progress")]
    pub(super) progress: bool,

    /// The registry for packages without a scope of their own
    #[arg(long, global = true, value_name = "URL", hide_short_help = true)]
    pub(super) registry: Option<String>,

    /// How much is said: error is --silent, warn leaves progress out
    #[arg(
        long,
        global = true,
        value_enum,
        value_name = "LEVEL",
        hide_short_help = true
    )]
    pub(super) loglevel: Option<LogLevel>,

    /// As with pnpm, nothing is asked; without it neither
    #[arg(short = 'y', long, global = true, hide = true)]
    pub(super) yes: bool,

    /// Scripts for pnpm may say it: the output has no colours
    #[arg(
        long,
        global = true,
        hide = true,
        num_args = 0..=1,
        require_equals = true,
        default_missing_value = "",
        value_name = "WHEN"
    )]
    pub(super) color: Option<String>,

    /// It has none
    #[arg(long, global = true, hide = true)]
    pub(super) no_color: bool,

    /// Progress and warnings go to standard error without it
    #[arg(long, global = true, hide = true)]
    pub(super) use_stderr: bool,

    /// Set any setting of pnpm-workspace.yaml: --config.KEY=VALUE
    #[arg(long = "config", global = true, value_name = "KEY=VALUE", hide = true)]
    pub(super) config: Vec<String>,

    #[command(flatten)]
    pub(super) workspace: WorkspaceArguments,
}

impl GlobalArguments {
    /// How progress is shown, as far as the flags say it.
    pub(super) fn reporter_kind(&self) -> Option<ReporterKind> {
        match (self.reporter, self.no_progress) {
            _ if self.silent => Some(ReporterKind::Silent),
            (None | Some(ReporterKind::Default), true) => Some(ReporterKind::AppendOnly),
            (kind, _) => kind,
        }
    }
}

/// `--loglevel`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(super) enum LogLevel {
    /// Nothing but failures
    Silent,
    /// Nothing but failures
    Error,
    /// And warnings
    Warn,
    /// As without it
    Info,
    /// As without it
    Debug,
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
    /// Warnings and errors: what `--loglevel=warn` leaves of plain lines
    #[value(skip)]
    Warnings,
}

/// The commands.
#[derive(Debug, Subcommand)]
pub(super) enum Command {
    /// Bring the store up to date with the lockfile and put node_modules in place
    #[command(visible_alias = "i")]
    Install(Deferred<InstallArguments>),
    /// Remove node_modules, and install what is locked
    #[command(visible_aliases = ["clean-install", "ic", "install-clean"])]
    Ci(Deferred<InstallArguments>),
    /// Install, and run the script "test"
    #[command(visible_alias = "it")]
    InstallTest(Deferred<InstallArguments>),
    /// Remove node_modules of all projects
    #[command(visible_alias = "purge")]
    Clean(Deferred<CleanArguments>),
    /// Remove what package.json does not ask for
    Prune(Deferred<PruneArguments>),
    /// Add dependencies
    Add(Deferred<AddArguments>),
    /// Remove dependencies
    #[command(visible_aliases = ["rm", "un", "uninstall"], alias = "uni")]
    Remove(Deferred<RemoveArguments>),
    /// Bring dependencies to later versions
    #[command(visible_aliases = ["up", "upgrade"])]
    Update(Deferred<UpdateArguments>),
    /// Go through all dependencies again, so that there are no more versions than needed
    Dedupe(Deferred<DedupeArguments>),
    /// Write a pnpm-lock.yaml with the versions that yarn.lock, package-lock.json or bun.lock has
    Import,
    /// Serve the node_modules of a project whose packages are in the store already
    Mount(Deferred<MountArguments>),
    /// Take a served node_modules down
    #[command(visible_alias = "umount")]
    Unmount(Deferred<UnmountArguments>),
    /// Show what is served, how healthy it is and what it used
    Status(Deferred<StatusArguments>),
    /// Let this program take over from the one that serves, under the mount
    UpgradeServer(Deferred<UpgradeServerArguments>),
    /// Fetch what the lockfile names into the store, without a package.json
    Fetch(Deferred<FetchArguments>),
    /// Put a project of the workspace and what it needs into a directory of its own
    Deploy(Deferred<DeployArguments>),
    /// Write a package.json
    Init(Deferred<InitArguments>),
    /// Print a script that makes a shell complete commands
    Completion {
        /// Which shell: bash, fish, zsh, pwsh or elvish
        shell: Option<String>,
    },
    /// List what is installed
    #[command(visible_alias = "ls")]
    List(Deferred<ListArguments>),
    /// List what is installed, with what the packages say of themselves
    #[command(name = "ll", alias = "la", hide = true)]
    ListLong(Deferred<ListArguments>),
    /// Show why a package is installed
    Why(Deferred<ListArguments>),
    /// Show which dependencies have later versions
    Outdated(Deferred<OutdatedArguments>),
    /// Show what a registry says of a package
    #[command(visible_aliases = ["info", "show", "v"])]
    View(Deferred<ViewArguments>),
    /// Look for known vulnerabilities in what the lockfile has
    Audit(Deferred<AuditArguments>),
    /// Show which peers are missing or do not fit
    Peers(Deferred<PeersArguments>),
    /// List the licences of what is installed
    #[command(alias = "licences")]
    Licenses(Deferred<LicensesArguments>),
    /// Look for what is wrong on this machine
    Doctor(Deferred<DoctorArguments>),
    /// Settings in the files in which they are kept
    #[command(visible_alias = "c")]
    Config(Deferred<ConfigArguments>),
    /// Print and change fields of package.json
    Pkg(Deferred<PkgArguments>),
    /// Make the archive of a project that a registry would have of it
    Pack(Deferred<PackArguments>),
    /// Give a project its next version, with a commit and a tag
    Version(Deferred<VersionArguments>),
    /// Set a script of package.json
    #[command(visible_alias = "ss")]
    SetScript(Deferred<SetScriptArguments>),
    /// As `config get`
    #[command(hide = true)]
    Get(Deferred<ConfigKey>),
    /// As `config set`
    #[command(hide = true)]
    Set(Deferred<SetArguments>),
    /// Put the files of a package where they can be changed
    Patch(Deferred<PatchArguments>),
    /// Make a patch of what was changed, and install with it
    PatchCommit(Deferred<PatchCommitArguments>),
    /// Remove patches
    PatchRemove(Deferred<PatchRemoveArguments>),
    /// Put directories of this machine in the place of packages
    #[command(visible_alias = "ln")]
    Link(Deferred<LinkArguments>),
    /// Put packages in the place of such directories again
    #[command(visible_alias = "dislink")]
    Unlink(Deferred<UnlinkArguments>),
    /// Print where node_modules is
    Root {
        /// Of what belongs to no project
        #[arg(short = 'g', long)]
        global: bool,
    },
    /// Print where the commands of the project are
    Bin {
        /// Of what belongs to no project
        #[arg(short = 'g', long)]
        global: bool,
    },
    /// Print where the project is
    Prefix {
        /// Of what belongs to no project
        #[arg(short = 'g', long)]
        global: bool,
    },
    /// Run a script of package.json; without a name, list them
    #[command(visible_alias = "run-script")]
    Run(Deferred<RunArguments>),
    /// Run the script "test"
    #[command(visible_aliases = ["t", "tst"])]
    Test(Deferred<ScriptArguments>),
    /// Run the script "start", or server.js
    Start(Deferred<ScriptArguments>),
    /// Run the script "stop"
    Stop(Deferred<ScriptArguments>),
    /// Run the scripts "stop", "restart" and "start"
    Restart(Deferred<ScriptArguments>),
    /// Run a command with the commands of the project in PATH
    Exec(Deferred<ExecArguments>),
    /// Run a command of a package that is no dependency
    Dlx(Deferred<DlxArguments>),
    /// Begin a project with a create-* package
    Create(Deferred<CreateArguments>),
    /// Run the scripts of packages again
    #[command(visible_alias = "rb")]
    Rebuild(Deferred<RebuildArguments>),
    /// List packages whose scripts were ignored
    IgnoredBuilds,
    /// Decide which packages may run scripts
    ApproveBuilds(Deferred<ApproveArguments>),
    /// Carry over what programs touch first in a served node_modules
    #[command(subcommand)]
    Profile(Deferred<ProfileCommand>),
    /// Mount at login, by a systemd user unit
    #[command(subcommand)]
    Service(Deferred<ServiceCommand>),
    /// Look after the store
    #[command(subcommand)]
    Store(Deferred<StoreCommand>),
    /// The server process of a mount
    #[command(hide = true)]
    Serve(Deferred<ServeArguments>),
    /// The process that asks a mount for names in advance
    #[command(hide = true)]
    Walk(Deferred<WalkArguments>),
    /// A script or a command, called without `run` and `exec`
    #[command(external_subcommand)]
    Unknown(Vec<String>),
}
