//! Arguments of the commands that run scripts and programs.

use clap::Args;

use super::install::PlatformArguments;

/// `run`.
#[derive(Debug, Clone, Default, Args)]
pub(in crate::cli) struct RunArguments {
    /// Do not fail where there is no such script
    #[arg(long)]
    pub(in crate::cli) if_present: bool,

    /// Several scripts of one /pattern/ one after the other
    #[arg(short, long)]
    pub(in crate::cli) sequential: bool,

    /// Run nothing: list what would run in the projects of the workspace, in order
    #[arg(long)]
    pub(in crate::cli) dry_run: bool,

    /// The list as JSON, with what waits for what
    #[arg(long, requires = "dry_run")]
    pub(in crate::cli) json: bool,

    /// A script, or a /pattern/ of scripts, and its arguments
    #[arg(
        trailing_var_arg = true,
        allow_hyphen_values = true,
        value_name = "SCRIPT"
    )]
    pub(in crate::cli) words: Vec<String>,
}

/// `test`, `start`, `stop`, `restart`.
#[derive(Debug, Clone, Default, Args)]
pub(in crate::cli) struct ScriptArguments {
    /// Do not fail where there is no such script
    #[arg(long)]
    pub(in crate::cli) if_present: bool,

    /// Arguments of the script
    #[arg(
        trailing_var_arg = true,
        allow_hyphen_values = true,
        value_name = "ARGUMENT"
    )]
    pub(in crate::cli) arguments: Vec<String>,
}

/// `dlx`.
#[derive(Debug, Clone, Args)]
pub(in crate::cli) struct DlxArguments {
    /// A package to install; without it the command is its name
    #[arg(long, value_name = "PACKAGE")]
    pub(in crate::cli) package: Vec<String>,

    /// A package that may run scripts
    #[arg(long, value_name = "PACKAGE")]
    pub(in crate::cli) allow_build: Vec<String>,

    /// Let a shell read the command
    #[arg(short = 'c', long)]
    pub(in crate::cli) shell_mode: bool,

    #[command(flatten)]
    pub(in crate::cli) platforms: PlatformArguments,

    /// A command and its arguments
    #[arg(
        trailing_var_arg = true,
        allow_hyphen_values = true,
        value_name = "COMMAND"
    )]
    pub(in crate::cli) words: Vec<String>,
}

/// `create`.
#[derive(Debug, Clone, Args)]
pub(in crate::cli) struct CreateArguments {
    /// A package that may run scripts
    #[arg(long, value_name = "PACKAGE")]
    pub(in crate::cli) allow_build: Vec<String>,

    /// Let a shell read the command
    #[arg(short = 'c', long)]
    pub(in crate::cli) shell_mode: bool,

    #[command(flatten)]
    pub(in crate::cli) platforms: PlatformArguments,

    /// What is behind create- in the package's name, and arguments
    #[arg(
        trailing_var_arg = true,
        allow_hyphen_values = true,
        value_name = "NAME"
    )]
    pub(in crate::cli) words: Vec<String>,
}

/// `rebuild`.
#[derive(Debug, Clone, Args)]
pub(in crate::cli) struct RebuildArguments {
    /// Only these packages: a name, or name@version
    pub(in crate::cli) packages: Vec<String>,

    /// Only those whose scripts have not run yet
    #[arg(long)]
    pub(in crate::cli) pending: bool,
}

/// `approve-builds`.
#[derive(Debug, Clone, Args)]
pub(in crate::cli) struct ApproveArguments {
    /// Packages that may, and with ! in front such that may not
    pub(in crate::cli) packages: Vec<String>,

    /// All that were ignored
    #[arg(long, conflicts_with = "packages")]
    pub(in crate::cli) all: bool,
}

/// `exec`.
#[derive(Debug, Clone, Args)]
pub(in crate::cli) struct ExecArguments {
    /// Let a shell read the command
    #[arg(short = 'c', long)]
    pub(in crate::cli) shell_mode: bool,

    /// A command and its arguments
    #[arg(
        trailing_var_arg = true,
        allow_hyphen_values = true,
        value_name = "COMMAND"
    )]
    pub(in crate::cli) words: Vec<String>,
}
