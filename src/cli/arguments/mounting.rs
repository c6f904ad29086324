//! Arguments of the commands about mounts.

use clap::Args;

use super::install::SelectionArguments;

/// `mount`.
#[derive(Debug, Clone, Args)]
pub(in crate::cli) struct MountArguments {
    /// Serve from this process, until it is interrupted
    #[arg(long)]
    pub(in crate::cli) foreground: bool,

    /// Move a node_modules with the files of another installer aside
    #[arg(long)]
    pub(in crate::cli) force: bool,

    /// Check each served file against its digest when it is first read
    #[arg(long)]
    pub(in crate::cli) verify_reads: bool,

    #[command(flatten)]
    pub(in crate::cli) selection: SelectionArguments,
}

/// `unmount`.
#[derive(Debug, Clone, Args)]
pub(in crate::cli) struct UnmountArguments {
    /// Take it out of the tree now, and end when the last user is gone
    #[arg(long)]
    pub(in crate::cli) lazy: bool,

    /// Cut a server off that does not answer
    #[arg(long)]
    pub(in crate::cli) force: bool,

    /// Every mount of this user
    #[arg(long)]
    pub(in crate::cli) all: bool,
}

/// `upgrade-server`.
#[derive(Debug, Clone, Args)]
pub(in crate::cli) struct UpgradeServerArguments {
    /// Every mount of this user
    #[arg(long)]
    pub(in crate::cli) all: bool,
}

/// `status`.
#[derive(Debug, Clone, Args)]
pub(in crate::cli) struct StatusArguments {
    /// One JSON array with an object a mount
    #[arg(long)]
    pub(in crate::cli) json: bool,
}
