//! Arguments of the commands that tell about dependencies and change nothing.

use clap::Args;

/// `list`, `why`.
#[derive(Debug, Clone, Args)]
pub(in crate::cli) struct ListArguments {
    /// Packages: a name, name* or name@range
    #[arg(value_name = "PACKAGE")]
    pub(in crate::cli) words: Vec<String>,

    /// How many levels to show, or Infinity; -1 of `list`: projects alone
    #[arg(long, value_name = "N", allow_hyphen_values = true)]
    pub(in crate::cli) depth: Option<String>,

    /// As JSON
    #[arg(long, conflicts_with = "parseable")]
    pub(in crate::cli) json: bool,

    /// One line a package: its directory
    #[arg(long)]
    pub(in crate::cli) parseable: bool,

    /// What the packages say of themselves too
    #[arg(long)]
    pub(in crate::cli) long: bool,

    /// Leave out devDependencies
    #[arg(short = 'P', long, visible_alias = "production")]
    pub(in crate::cli) prod: bool,

    /// Leave out dependencies
    #[arg(short = 'D', long)]
    pub(in crate::cli) dev: bool,

    /// Leave out optionalDependencies
    #[arg(long)]
    pub(in crate::cli) no_optional: bool,

    /// Only projects of the workspace
    #[arg(long)]
    pub(in crate::cli) only_projects: bool,

    /// From pnpm-lock.yaml, whatever is installed
    #[arg(long)]
    pub(in crate::cli) lockfile_only: bool,
}
