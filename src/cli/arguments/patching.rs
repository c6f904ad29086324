//! Arguments of the commands that change packages where they are used.

use std::path::PathBuf;

use clap::Args;

/// `patch`.
#[derive(Debug, Clone, Args)]
pub(in crate::cli) struct PatchArguments {
    /// name or name@version
    #[arg(value_name = "PACKAGE")]
    pub(in crate::cli) package: Option<String>,

    /// Where its files are put to be changed
    #[arg(short = 'd', long, value_name = "DIR")]
    pub(in crate::cli) edit_dir: Option<PathBuf>,

    /// Without the patch that there is
    #[arg(long)]
    pub(in crate::cli) ignore_existing: bool,
}

/// `patch-commit`.
#[derive(Debug, Clone, Args)]
pub(in crate::cli) struct PatchCommitArguments {
    /// The directory that `patch` made
    #[arg(value_name = "DIR")]
    pub(in crate::cli) directory: PathBuf,

    /// Where the patch is written, instead of `patches`
    #[arg(long, value_name = "DIR")]
    pub(in crate::cli) patches_dir: Option<String>,
}

/// `patch-remove`.
#[derive(Debug, Clone, Args)]
pub(in crate::cli) struct PatchRemoveArguments {
    /// Keys of patchedDependencies
    #[arg(value_name = "PATCH")]
    pub(in crate::cli) patches: Vec<String>,
}

/// `link`.
#[derive(Debug, Clone, Args)]
pub(in crate::cli) struct LinkArguments {
    /// Directories of packages
    #[arg(value_name = "DIR")]
    pub(in crate::cli) directories: Vec<String>,
}

/// `unlink`.
#[derive(Debug, Clone, Args)]
pub(in crate::cli) struct UnlinkArguments {
    /// Names; all that are linked where there are none
    #[arg(value_name = "NAME")]
    pub(in crate::cli) names: Vec<String>,
}
