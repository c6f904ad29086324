//! Arguments of `deploy`.

use std::path::PathBuf;

use clap::Args;

use super::{NetworkArguments, SelectionArguments};

/// `deploy`.
#[derive(Debug, Clone, Args)]
pub(in crate::cli) struct DeployArguments {
    /// Where to: a directory that is empty or not there
    #[arg(value_name = "DIR")]
    pub(in crate::cli) directories: Vec<PathBuf>,

    /// Empty the directory first
    #[arg(long)]
    pub(in crate::cli) force: bool,

    /// Scripts for pnpm may say it: the lockfile counts all the same
    #[arg(long, hide = true)]
    pub(in crate::cli) legacy: bool,

    /// A package that may run scripts there; with ! in front, one that may not
    #[arg(long, value_name = "PACKAGE")]
    pub(in crate::cli) allow_build: Vec<String>,

    #[command(flatten)]
    pub(in crate::cli) selection: SelectionArguments,

    /// Run no scripts
    #[arg(long, overrides_with = "no_ignore_scripts")]
    pub(in crate::cli) ignore_scripts: bool,

    /// Run them though the configuration says not to
    #[arg(long, hide = true, overrides_with = "ignore_scripts")]
    pub(in crate::cli) no_ignore_scripts: bool,

    #[command(flatten)]
    pub(in crate::cli) network: NetworkArguments,
}
