//! What may be written on the command line. Flags that pnpm has too are named as pnpm names them.

mod scripts;
mod upkeep;

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand, ValueEnum};
use serde::{Deserialize, Serialize};

pub(super) use scripts::{
    ApproveArguments, CreateArguments, DlxArguments, ExecArguments, RebuildArguments, RunArguments,
    ScriptArguments,
};
pub(super) use upkeep::{
    ProfileCommand, ServeArguments, ServiceCommand, StoreCommand, WalkArguments,
};

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

    /// Show nothing but errors and what scripts say: --reporter=silent
    #[arg(long, global = true, hide_short_help = true)]
    pub(super) silent: bool,

    /// Write a trace of the run that a trace viewer opens (filter: TRACE=…)
    #[arg(long, global = true, value_name = "FILE")]
    pub(super) trace: Option<PathBuf>,

    /// Set any setting of pnpm-workspace.yaml: --config.KEY=VALUE
    #[arg(long = "config", global = true, value_name = "KEY=VALUE", hide = true)]
    pub(super) config: Vec<String>,

    #[command(flatten)]
    pub(super) workspace: WorkspaceArguments,
}

impl GlobalArguments {
    /// How progress is shown, as far as the flags say it.
    pub(super) fn reporter_kind(&self) -> Option<ReporterKind> {
        match self.silent {
            true => Some(ReporterKind::Silent),
            false => self.reporter,
        }
    }
}

/// Which projects of a workspace a command is about, and how it goes through them.
#[derive(Debug, Clone, Args)]
#[command(next_help_heading = "Workspaces")]
pub(super) struct WorkspaceArguments {
    /// In every project of the workspace
    #[arg(short, long, global = true)]
    pub(super) recursive: bool,

    /// In these projects: a name, ./path, {dir}, [since], pkg..., ...pkg, !pkg
    #[arg(short = 'F', long, global = true, value_name = "PATTERN")]
    pub(super) filter: Vec<String>,

    /// As --filter, without following devDependencies
    #[arg(long, global = true, value_name = "PATTERN", hide_short_help = true)]
    pub(super) filter_prod: Vec<String>,

    /// At the root of the workspace
    #[arg(short, long, global = true)]
    pub(super) workspace_root: bool,

    /// In the root project too
    #[arg(
        long,
        global = true,
        hide_short_help = true,
        overrides_with = "no_include_workspace_root"
    )]
    pub(super) include_workspace_root: bool,

    /// Not in the root project
    #[arg(
        long,
        global = true,
        hide = true,
        overrides_with = "include_workspace_root"
    )]
    pub(super) no_include_workspace_root: bool,

    /// Fail where no project matches the filters
    #[arg(
        long,
        global = true,
        hide_short_help = true,
        overrides_with = "no_fail_if_no_match"
    )]
    pub(super) fail_if_no_match: bool,

    /// Do nothing where no project matches the filters (the default)
    #[arg(long, global = true, hide = true, overrides_with = "fail_if_no_match")]
    pub(super) no_fail_if_no_match: bool,

    /// Changes of these files concern no dependents, for [since]
    #[arg(long, global = true, value_name = "GLOB", hide_short_help = true)]
    pub(super) test_pattern: Vec<String>,

    /// Changes of these files do not count, for [since]
    #[arg(long, global = true, value_name = "GLOB", hide_short_help = true)]
    pub(super) changed_files_ignore_pattern: Vec<String>,

    /// In how many projects at once
    #[arg(
        long,
        global = true,
        value_name = "N",
        allow_hyphen_values = true,
        hide_short_help = true
    )]
    pub(super) workspace_concurrency: Option<String>,

    /// In every project at once, in no order
    #[arg(long, global = true, hide_short_help = true)]
    pub(super) parallel: bool,

    /// Dependencies before dependents (the default)
    #[arg(long, global = true, hide = true, overrides_with = "no_sort")]
    pub(super) sort: bool,

    /// In no order
    #[arg(long, global = true, hide_short_help = true, overrides_with = "sort")]
    pub(super) no_sort: bool,

    /// Dependents before dependencies
    #[arg(long, global = true, hide_short_help = true)]
    pub(super) reverse: bool,

    /// End at the first failure (the default)
    #[arg(long, global = true, hide = true, overrides_with = "no_bail")]
    pub(super) bail: bool,

    /// Go on after a failure with what does not depend on it
    #[arg(long, global = true, hide_short_help = true, overrides_with = "bail")]
    pub(super) no_bail: bool,

    /// Leave out what comes before this package
    #[arg(long, global = true, value_name = "PACKAGE", hide_short_help = true)]
    pub(super) resume_from: Option<String>,

    /// Write pnpm-exec-summary.json
    #[arg(long, global = true, hide_short_help = true)]
    pub(super) report_summary: bool,

    /// Show the output of scripts line by line, with the project in front
    #[arg(long, global = true, hide_short_help = true)]
    pub(super) stream: bool,

    /// Show the output of a script when it has ended
    #[arg(long, global = true, hide_short_help = true)]
    pub(super) aggregate_output: bool,

    /// Show the output of scripts without the project in front
    #[arg(long, global = true, hide_short_help = true)]
    pub(super) reporter_hide_prefix: bool,
}

impl WorkspaceArguments {
    /// Whether the command is about projects of the workspace, and not about the one where it runs.
    pub(super) fn is_recursive(&self) -> bool {
        self.recursive || !self.filter.is_empty() || !self.filter_prod.is_empty()
    }
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
    /// Add dependencies
    Add(AddArguments),
    /// Remove dependencies
    #[command(visible_aliases = ["rm", "un", "uninstall"])]
    Remove(RemoveArguments),
    /// Bring dependencies to later versions
    #[command(visible_aliases = ["up", "upgrade"])]
    Update(UpdateArguments),
    /// Go through all dependencies again, so that there are no more versions than needed
    Dedupe(DedupeArguments),
    /// Serve the node_modules of a project whose packages are in the store already
    Mount(MountArguments),
    /// Take a served node_modules down
    #[command(visible_alias = "umount")]
    Unmount(UnmountArguments),
    /// Show what is served, how healthy it is and what it used
    Status(StatusArguments),
    /// Let this program take over from the one that serves, under the mount
    UpgradeServer(UpgradeServerArguments),
    /// Fetch what the lockfile names into the store, without a package.json
    Fetch(FetchArguments),
    /// Write a package.json
    Init(InitArguments),
    /// Print a script that makes a shell complete commands
    Completion {
        /// Which shell
        #[arg(value_enum)]
        shell: clap_complete::Shell,
    },
    /// List what is installed
    #[command(visible_alias = "ls")]
    List(ListArguments),
    /// List what is installed, with what the packages say of themselves
    #[command(name = "ll", alias = "la", hide = true)]
    ListLong(ListArguments),
    /// Show why a package is installed
    Why(ListArguments),
    /// Print where node_modules is
    Root,
    /// Print where the commands of the project are
    Bin,
    /// Run a script of package.json; without a name, list them
    #[command(visible_alias = "run-script")]
    Run(RunArguments),
    /// Run the script "test"
    #[command(visible_aliases = ["t", "tst"])]
    Test(ScriptArguments),
    /// Run the script "start", or server.js
    Start(ScriptArguments),
    /// Run the script "stop"
    Stop(ScriptArguments),
    /// Run the scripts "stop", "restart" and "start"
    Restart(ScriptArguments),
    /// Run a command with the commands of the project in PATH
    Exec(ExecArguments),
    /// Run a command of a package that is no dependency
    Dlx(DlxArguments),
    /// Begin a project with a create-* package
    Create(CreateArguments),
    /// Run the scripts of packages again
    #[command(visible_alias = "rb")]
    Rebuild(RebuildArguments),
    /// List packages whose scripts were ignored
    IgnoredBuilds,
    /// Decide which packages may run scripts
    ApproveBuilds(ApproveArguments),
    /// Carry over what programs touch first in a served node_modules
    #[command(subcommand)]
    Profile(ProfileCommand),
    /// Mount at login, by a systemd user unit
    #[command(subcommand)]
    Service(ServiceCommand),
    /// Look after the store
    #[command(subcommand)]
    Store(StoreCommand),
    /// The server process of a mount
    #[command(hide = true)]
    Serve(ServeArguments),
    /// The process that asks a mount for names in advance
    #[command(hide = true)]
    Walk(WalkArguments),
    /// A script or a command, called without `run` and `exec`
    #[command(external_subcommand)]
    Unknown(Vec<String>),
}

/// `fetch`.
#[derive(Debug, Clone, Args)]
pub(super) struct FetchArguments {
    /// Leave out devDependencies
    #[arg(short = 'P', long, visible_alias = "production")]
    pub(super) prod: bool,

    /// Only devDependencies
    #[arg(short = 'D', long, conflicts_with = "prod")]
    pub(super) dev: bool,

    #[command(flatten)]
    pub(super) network: NetworkArguments,
}

/// `init`.
#[derive(Debug, Clone, Args)]
pub(super) struct InitArguments {
    /// Only what has to be there
    #[arg(long)]
    pub(super) bare: bool,

    /// How Node reads the files of the package
    #[arg(long, value_enum, default_value_t = InitType::Module)]
    pub(super) init_type: InitType,
}

/// `--init-type`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(super) enum InitType {
    /// `require`
    Commonjs,
    /// `import`
    Module,
}

/// `list`, `why`.
#[derive(Debug, Clone, Args)]
pub(super) struct ListArguments {
    /// Packages: a name, name* or name@range
    #[arg(value_name = "PACKAGE")]
    pub(super) words: Vec<String>,

    /// How many levels to show, or Infinity; -1 of `list`: projects alone
    #[arg(long, value_name = "N", allow_hyphen_values = true)]
    pub(super) depth: Option<String>,

    /// As JSON
    #[arg(long, conflicts_with = "parseable")]
    pub(super) json: bool,

    /// One line a package: its directory
    #[arg(long)]
    pub(super) parseable: bool,

    /// What the packages say of themselves too
    #[arg(long)]
    pub(super) long: bool,

    /// Leave out devDependencies
    #[arg(short = 'P', long, visible_alias = "production")]
    pub(super) prod: bool,

    /// Leave out dependencies
    #[arg(short = 'D', long)]
    pub(super) dev: bool,

    /// Leave out optionalDependencies
    #[arg(long)]
    pub(super) no_optional: bool,

    /// Only projects of the workspace
    #[arg(long)]
    pub(super) only_projects: bool,

    /// From pnpm-lock.yaml, whatever is installed
    #[arg(long)]
    pub(super) lockfile_only: bool,
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

    /// Check each served file against its digest when it is first read
    #[arg(long, help_heading = "How node_modules is put in place")]
    pub(super) verify_reads: bool,

    #[command(flatten)]
    pub(super) selection: SelectionArguments,

    /// Fail if the lockfile does not fit package.json (the default in CI)
    #[arg(long, overrides_with = "no_frozen_lockfile", help_heading = "Lockfile")]
    pub(super) frozen_lockfile: bool,

    /// Do not insist on a lockfile that fits
    #[arg(long, hide = true, overrides_with = "frozen_lockfile")]
    pub(super) no_frozen_lockfile: bool,

    /// Use the lockfile as it is where it fits package.json (the default)
    #[arg(long, hide = true, overrides_with = "no_prefer_frozen_lockfile")]
    pub(super) prefer_frozen_lockfile: bool,

    /// Go through all dependencies even where the lockfile fits
    #[arg(long, hide = true, overrides_with = "prefer_frozen_lockfile")]
    pub(super) no_prefer_frozen_lockfile: bool,

    /// Bring the lockfile up to date and nothing else
    #[arg(long, help_heading = "Lockfile")]
    pub(super) lockfile_only: bool,

    /// Mend what is broken in the lockfile
    #[arg(long, help_heading = "Lockfile")]
    pub(super) fix_lockfile: bool,

    /// Do not run the hooks of .pnpmfile.cjs
    #[arg(long, help_heading = "Lockfile")]
    pub(super) ignore_pnpmfile: bool,

    /// Do not run the scripts of packages
    #[arg(long, overrides_with = "no_ignore_scripts", help_heading = "Scripts")]
    pub(super) ignore_scripts: bool,

    /// Run the scripts of packages that are allowed to
    #[arg(long, hide = true, overrides_with = "ignore_scripts")]
    pub(super) no_ignore_scripts: bool,

    #[command(flatten)]
    pub(super) network: NetworkArguments,
}

/// What the commands that change dependencies share.
#[derive(Debug, Clone, Args)]
pub(super) struct ChangeArguments {
    /// Serve node_modules from the store instead of writing files (the setting `virtual`)
    #[arg(
        long = "virtual",
        num_args = 0..=1,
        require_equals = true,
        default_missing_value = "true",
        value_name = "auto",
        help_heading = "How node_modules is put in place"
    )]
    pub(super) virtual_mode: Option<VirtualMode>,

    /// Change package.json and pnpm-lock.yaml and nothing else
    #[arg(long, help_heading = "Lockfile")]
    pub(super) lockfile_only: bool,

    /// Where pnpm-lock.yaml is
    #[arg(long, value_name = "DIR", help_heading = "Lockfile")]
    pub(super) lockfile_dir: Option<PathBuf>,

    /// In the root of the workspace
    #[arg(short = 'w', long, help_heading = "Which projects")]
    pub(super) workspace_root: bool,

    /// In every project of the workspace
    #[arg(short = 'r', long, help_heading = "Which projects")]
    pub(super) recursive: bool,

    #[command(flatten)]
    pub(super) network: NetworkArguments,
}

/// `add`.
#[derive(Debug, Clone, Args)]
pub(super) struct AddArguments {
    /// Packages: name, name@version, alias@npm:name, a path, or an address
    #[arg(required = true, value_name = "PACKAGE")]
    pub(super) packages: Vec<String>,

    /// To dependencies
    #[arg(short = 'P', long, help_heading = "Where it is written")]
    pub(super) save_prod: bool,

    /// To devDependencies
    #[arg(short = 'D', long, help_heading = "Where it is written")]
    pub(super) save_dev: bool,

    /// To optionalDependencies
    #[arg(short = 'O', long, help_heading = "Where it is written")]
    pub(super) save_optional: bool,

    /// To peerDependencies, and to devDependencies
    #[arg(long, help_heading = "Where it is written")]
    pub(super) save_peer: bool,

    /// The version alone, not a range
    #[arg(short = 'E', long, help_heading = "Where it is written")]
    pub(super) save_exact: bool,

    /// Add to the root of a workspace without --workspace-root
    #[arg(long, hide = true)]
    pub(super) ignore_workspace_root_check: bool,

    #[command(flatten)]
    pub(super) change: ChangeArguments,
}

/// `remove`.
#[derive(Debug, Clone, Args)]
pub(super) struct RemoveArguments {
    /// Names
    #[arg(value_name = "NAME")]
    pub(super) names: Vec<String>,

    /// Only from dependencies
    #[arg(short = 'P', long, help_heading = "Where it is removed from")]
    pub(super) save_prod: bool,

    /// Only from devDependencies
    #[arg(short = 'D', long, help_heading = "Where it is removed from")]
    pub(super) save_dev: bool,

    /// Only from optionalDependencies
    #[arg(short = 'O', long, help_heading = "Where it is removed from")]
    pub(super) save_optional: bool,

    #[command(flatten)]
    pub(super) change: ChangeArguments,
}

/// `update`.
#[derive(Debug, Clone, Args)]
pub(super) struct UpdateArguments {
    /// Names or patterns, name@version for a version of your choice; all where there are none
    #[arg(value_name = "PACKAGE")]
    pub(super) packages: Vec<String>,

    /// To the latest version, whatever package.json allows
    #[arg(short = 'L', long, help_heading = "How far")]
    pub(super) latest: bool,

    /// How many levels of dependencies
    #[arg(long, value_name = "N", help_heading = "How far")]
    pub(super) depth: Option<u32>,

    /// Leave package.json as it is
    #[arg(long, help_heading = "How far")]
    pub(super) no_save: bool,

    /// Only dependencies and optionalDependencies
    #[arg(
        short = 'P',
        long,
        visible_alias = "production",
        help_heading = "How far"
    )]
    pub(super) prod: bool,

    /// Only devDependencies
    #[arg(short = 'D', long, help_heading = "How far")]
    pub(super) dev: bool,

    /// Not optionalDependencies
    #[arg(long, help_heading = "How far")]
    pub(super) no_optional: bool,

    #[command(flatten)]
    pub(super) change: ChangeArguments,
}

/// `dedupe`.
#[derive(Debug, Clone, Args)]
pub(super) struct DedupeArguments {
    /// Change nothing; fail where there is something to do
    #[arg(long)]
    pub(super) check: bool,

    #[command(flatten)]
    pub(super) change: ChangeArguments,
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
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
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

    /// Check each served file against its digest when it is first read
    #[arg(long)]
    pub(super) verify_reads: bool,

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

/// `upgrade-server`.
#[derive(Debug, Clone, Args)]
pub(super) struct UpgradeServerArguments {
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
