//! Arguments of the commands that change manifests.

use std::path::PathBuf;

use clap::{Args, ValueEnum};

use super::install::{NetworkArguments, PlatformArguments, VirtualMode};

/// `init`.
#[derive(Debug, Clone, Args)]
pub(in crate::cli) struct InitArguments {
    /// Only what has to be there
    #[arg(long)]
    pub(in crate::cli) bare: bool,

    /// How Node reads the files of the package
    #[arg(long, value_enum)]
    pub(in crate::cli) init_type: Option<InitType>,

    /// No package manager in it (the default)
    #[arg(long, hide = true)]
    pub(in crate::cli) no_init_package_manager: bool,
}

/// `--init-type`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(in crate::cli) enum InitType {
    /// `require`
    Commonjs,
    /// `import`
    Module,
}

/// What the commands that change dependencies share.
#[derive(Debug, Clone, Default, Args)]
pub(in crate::cli) struct ChangeArguments {
    /// Serve node_modules from the store instead of writing files (the setting `virtual`)
    #[arg(
        long = "virtual",
        num_args = 0..=1,
        require_equals = true,
        default_missing_value = "true",
        value_name = "auto",
        help_heading = "How node_modules is put in place"
    )]
    pub(in crate::cli) virtual_mode: Option<VirtualMode>,

    /// Change package.json and pnpm-lock.yaml and nothing else
    #[arg(long, help_heading = "Lockfile")]
    pub(in crate::cli) lockfile_only: bool,

    /// Neither read a lockfile nor write one (the setting `lockfile`)
    #[arg(long, hide_short_help = true, help_heading = "Lockfile")]
    pub(in crate::cli) no_lockfile: bool,

    /// Where pnpm-lock.yaml is
    #[arg(long, value_name = "DIR", help_heading = "Lockfile")]
    pub(in crate::cli) lockfile_dir: Option<PathBuf>,

    /// Do not run the scripts of packages
    #[arg(long, overrides_with = "no_ignore_scripts", help_heading = "Scripts")]
    pub(in crate::cli) ignore_scripts: bool,

    /// Run the scripts of packages that are allowed to
    #[arg(long, hide = true, overrides_with = "ignore_scripts")]
    pub(in crate::cli) no_ignore_scripts: bool,

    /// Do not hold addresses, ages and origins in the lockfile against what registries say
    #[arg(
        long,
        overrides_with = "no_trust_lockfile",
        hide_short_help = true,
        help_heading = "Lockfile"
    )]
    pub(in crate::cli) trust_lockfile: bool,

    /// Hold them against it (the default)
    #[arg(long, hide = true, overrides_with = "trust_lockfile")]
    pub(in crate::cli) no_trust_lockfile: bool,

    /// Go through all dependencies, so that there are no more versions than needed
    #[arg(
        long,
        overrides_with = "no_auto_dedupe",
        hide_short_help = true,
        help_heading = "Lockfile"
    )]
    pub(in crate::cli) auto_dedupe: bool,

    /// Do not, whatever the setting says
    #[arg(long, hide = true, overrides_with = "auto_dedupe")]
    pub(in crate::cli) no_auto_dedupe: bool,

    /// In the root of the workspace
    #[arg(short = 'w', long, help_heading = "Which projects")]
    pub(in crate::cli) workspace_root: bool,

    /// In every project of the workspace
    #[arg(short = 'r', long, help_heading = "Which projects")]
    pub(in crate::cli) recursive: bool,

    #[command(flatten)]
    pub(in crate::cli) network: NetworkArguments,
}

/// `add`.
#[derive(Debug, Clone, Default, Args)]
pub(in crate::cli) struct AddArguments {
    /// Packages: name, name@version, alias@npm:name, a path, or an address
    #[arg(required = true, value_name = "PACKAGE")]
    pub(in crate::cli) packages: Vec<String>,

    /// To dependencies
    #[arg(short = 'P', long, help_heading = "Where it is written")]
    pub(in crate::cli) save_prod: bool,

    /// To devDependencies
    #[arg(short = 'D', long, help_heading = "Where it is written")]
    pub(in crate::cli) save_dev: bool,

    /// To optionalDependencies
    #[arg(short = 'O', long, help_heading = "Where it is written")]
    pub(in crate::cli) save_optional: bool,

    /// To peerDependencies, and to devDependencies
    #[arg(
        long,
        overrides_with = "no_save_peer",
        help_heading = "Where it is written"
    )]
    pub(in crate::cli) save_peer: bool,

    /// Not to peerDependencies (the default)
    #[arg(long, hide = true, overrides_with = "save_peer")]
    pub(in crate::cli) no_save_peer: bool,

    /// The @types packages of those without types of their own, to devDependencies
    #[arg(
        long,
        overrides_with = "no_save_types",
        help_heading = "Where it is written"
    )]
    pub(in crate::cli) save_types: bool,

    /// No @types packages beside them (the default)
    #[arg(long, hide = true, overrides_with = "save_types")]
    pub(in crate::cli) no_save_types: bool,

    /// The version alone, not a range
    #[arg(short = 'E', long, help_heading = "Where it is written")]
    pub(in crate::cli) save_exact: bool,

    /// Into the catalog of pnpm-workspace.yaml, to which package.json then refers
    #[arg(long, help_heading = "Where it is written")]
    pub(in crate::cli) save_catalog: bool,

    /// The same for the catalog of this name
    #[arg(long, value_name = "NAME", help_heading = "Where it is written")]
    pub(in crate::cli) save_catalog_name: Option<String>,

    /// To configDependencies of pnpm-workspace.yaml (as pnpm has it: --config)
    #[arg(long = "config-dependency", help_heading = "Where it is written")]
    pub(in crate::cli) configuration: bool,

    /// What stands in front of the version: ^, ~, = or nothing
    #[arg(
        long,
        value_name = "PREFIX",
        value_parser = ["^", "~", "=", ""],
        help_heading = "Where it is written"
    )]
    pub(in crate::cli) save_prefix: Option<String>,

    /// As --save-prefix=~
    #[arg(
        long,
        conflicts_with = "save_prefix",
        help_heading = "Where it is written"
    )]
    pub(in crate::cli) tilde: bool,

    /// Only what a project of the workspace provides, by the protocol `workspace:`
    #[arg(long, help_heading = "Where it is written")]
    pub(in crate::cli) workspace: bool,

    /// Leave devDependencies out of node_modules
    #[arg(long, visible_alias = "production", help_heading = "What to install")]
    pub(in crate::cli) prod: bool,

    /// Leave dependencies out of node_modules
    #[arg(long, conflicts_with = "prod", help_heading = "What to install")]
    pub(in crate::cli) dev: bool,

    /// Leave optionalDependencies out of node_modules
    #[arg(long, overrides_with = "optional", help_heading = "What to install")]
    pub(in crate::cli) no_optional: bool,

    /// Install optionalDependencies (the default)
    #[arg(long, hide = true, overrides_with = "no_optional")]
    pub(in crate::cli) optional: bool,

    #[command(flatten)]
    pub(in crate::cli) platforms: PlatformArguments,

    /// Move a node_modules with the files of another installer aside
    #[arg(long, help_heading = "How node_modules is put in place")]
    pub(in crate::cli) force: bool,

    /// A package that may run scripts from now on; with ! in front, one that may not
    #[arg(long, value_name = "PACKAGE", help_heading = "Scripts")]
    pub(in crate::cli) allow_build: Vec<String>,

    /// To the root of a workspace too, without -w
    #[arg(long, hide_short_help = true, help_heading = "Which projects")]
    pub(in crate::cli) ignore_workspace_root_check: bool,

    /// For no project: its commands go where `pacquet bin --global` says
    #[arg(short = 'g', long, help_heading = "Which projects")]
    pub(in crate::cli) global: bool,

    #[command(flatten)]
    pub(in crate::cli) change: ChangeArguments,
}

/// `remove`.
#[derive(Debug, Clone, Args)]
pub(in crate::cli) struct RemoveArguments {
    /// Names
    #[arg(value_name = "NAME")]
    pub(in crate::cli) names: Vec<String>,

    /// Only from dependencies
    #[arg(short = 'P', long, help_heading = "Where it is removed from")]
    pub(in crate::cli) save_prod: bool,

    /// Only from devDependencies
    #[arg(short = 'D', long, help_heading = "Where it is removed from")]
    pub(in crate::cli) save_dev: bool,

    /// Only from optionalDependencies
    #[arg(short = 'O', long, help_heading = "Where it is removed from")]
    pub(in crate::cli) save_optional: bool,

    /// For no project: its commands go where `pacquet bin --global` says
    #[arg(short = 'g', long, help_heading = "Which projects")]
    pub(in crate::cli) global: bool,

    #[command(flatten)]
    pub(in crate::cli) change: ChangeArguments,
}

/// `update`.
#[derive(Debug, Clone, Default, Args)]
pub(in crate::cli) struct UpdateArguments {
    /// Names or patterns, name@version for a version of your choice; all where there are none
    #[arg(value_name = "PACKAGE")]
    pub(in crate::cli) packages: Vec<String>,

    /// To the latest version, whatever package.json allows
    #[arg(short = 'L', long, help_heading = "How far")]
    pub(in crate::cli) latest: bool,

    /// Choose among what has later versions
    #[arg(short = 'i', long, help_heading = "How far")]
    pub(in crate::cli) interactive: bool,

    /// The version alone, not a range
    #[arg(short = 'E', long, help_heading = "How far")]
    pub(in crate::cli) save_exact: bool,

    /// How many levels of dependencies
    #[arg(long, value_name = "N", help_heading = "How far")]
    pub(in crate::cli) depth: Option<u32>,

    /// Leave package.json as it is
    #[arg(long, help_heading = "How far")]
    pub(in crate::cli) no_save: bool,

    /// Link what projects of the workspace provide, by the protocol `workspace:`
    #[arg(long, help_heading = "How far")]
    pub(in crate::cli) workspace: bool,

    /// Only dependencies
    #[arg(
        short = 'P',
        long,
        visible_alias = "production",
        help_heading = "How far"
    )]
    pub(in crate::cli) prod: bool,

    /// Only devDependencies
    #[arg(short = 'D', long, help_heading = "How far")]
    pub(in crate::cli) dev: bool,

    /// Only optionalDependencies
    #[arg(long, help_heading = "How far")]
    pub(in crate::cli) optional: bool,

    /// And peerDependencies
    #[arg(long, help_heading = "How far")]
    pub(in crate::cli) peer: bool,

    /// Leave optionalDependencies out of node_modules
    #[arg(long, help_heading = "What to install")]
    pub(in crate::cli) no_optional: bool,

    /// For no project: its commands go where `pacquet bin --global` says
    #[arg(short = 'g', long, help_heading = "Which projects")]
    pub(in crate::cli) global: bool,

    #[command(flatten)]
    pub(in crate::cli) platforms: PlatformArguments,

    #[command(flatten)]
    pub(in crate::cli) change: ChangeArguments,
}

/// `dedupe`.
#[derive(Debug, Clone, Args)]
pub(in crate::cli) struct DedupeArguments {
    /// Change nothing; fail where there is something to do
    #[arg(long)]
    pub(in crate::cli) check: bool,

    #[command(flatten)]
    pub(in crate::cli) change: ChangeArguments,
}
