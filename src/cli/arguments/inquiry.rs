//! Arguments of the commands that tell about dependencies and change nothing.

use clap::{Args, ValueEnum};

use super::install::NetworkArguments;
use crate::install::layout::IncludedGroups;

/// `list`, `why`.
#[derive(Debug, Clone, Default, Args)]
pub(in crate::cli) struct ListArguments {
    /// Packages: a name, name* or name@range
    #[arg(value_name = "PACKAGE")]
    pub(in crate::cli) words: Vec<String>,

    /// Packages that this function of a pnpmfile finds; may be repeated
    #[arg(long, value_name = "FINDER")]
    pub(in crate::cli) find_by: Vec<String>,

    /// Of what belongs to no project
    #[arg(short = 'g', long)]
    pub(in crate::cli) global: bool,

    /// How many levels to show, or Infinity; -1 of `list`: projects alone
    #[arg(long, value_name = "N", allow_hyphen_values = true)]
    pub(in crate::cli) depth: Option<String>,

    /// As JSON
    #[arg(long)]
    pub(in crate::cli) json: bool,

    /// One line a package: its directory
    #[arg(long)]
    pub(in crate::cli) parseable: bool,

    /// What the packages say of themselves too
    #[arg(long)]
    pub(in crate::cli) long: bool,

    #[command(flatten)]
    pub(in crate::cli) groups: GroupArguments,

    /// Leave out peers that have no dependencies to show
    #[arg(long)]
    pub(in crate::cli) exclude_peers: bool,

    /// Only projects of the workspace
    #[arg(long)]
    pub(in crate::cli) only_projects: bool,

    /// From pnpm-lock.yaml, whatever is installed
    #[arg(long)]
    pub(in crate::cli) lockfile_only: bool,
}

/// Which groups of dependencies are looked at.
#[derive(Debug, Clone, Default, Args)]
pub(in crate::cli) struct GroupArguments {
    /// Leave out devDependencies
    #[arg(short = 'P', long, visible_alias = "production")]
    pub(in crate::cli) prod: bool,

    /// Only devDependencies
    #[arg(short = 'D', long)]
    pub(in crate::cli) dev: bool,

    /// Leave out optionalDependencies
    #[arg(long, overrides_with = "optional")]
    pub(in crate::cli) no_optional: bool,

    /// With optionalDependencies, which is the default
    #[arg(long, overrides_with = "no_optional", hide = true)]
    pub(in crate::cli) optional: bool,
}

impl GroupArguments {
    /// The groups that the flags leave; with both `--prod` and `--dev`, all.
    pub(in crate::cli) fn included(&self) -> IncludedGroups {
        let is_both = self.prod && self.dev;
        IncludedGroups {
            production: !self.dev || is_both,
            development: !self.prod || is_both,
            optional: !self.no_optional,
        }
    }
}

/// `outdated`.
#[derive(Debug, Clone, Args)]
pub(in crate::cli) struct OutdatedArguments {
    /// Names or patterns; all direct dependencies where there are none
    #[arg(value_name = "PACKAGE")]
    pub(in crate::cli) patterns: Vec<String>,

    /// Only versions that package.json allows
    #[arg(long)]
    pub(in crate::cli) compatible: bool,

    #[command(flatten)]
    pub(in crate::cli) groups: GroupArguments,

    /// What the packages say of themselves too
    #[arg(long)]
    pub(in crate::cli) long: bool,

    /// In which order; small changes come first otherwise
    #[arg(long, value_enum, value_name = "KEY")]
    pub(in crate::cli) sort_by: Option<OutdatedOrder>,

    /// How they are shown
    #[arg(long, value_enum, value_name = "KIND", default_value_t = OutdatedFormat::Table)]
    format: OutdatedFormat,

    /// As --format=json
    #[arg(long)]
    json: bool,

    /// As --format=list
    #[arg(long)]
    no_table: bool,

    /// Of what belongs to no project
    #[arg(short = 'g', long)]
    pub(in crate::cli) global: bool,

    #[command(flatten)]
    pub(in crate::cli) network: NetworkArguments,
}

impl OutdatedArguments {
    /// How they are shown, whichever way it was said.
    pub(in crate::cli) fn format(&self) -> OutdatedFormat {
        match (self.json, self.no_table) {
            (true, _) => OutdatedFormat::Json,
            (false, true) => OutdatedFormat::List,
            (false, false) => self.format,
        }
    }
}

/// `--format` of `outdated`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(in crate::cli) enum OutdatedFormat {
    /// A line each, in columns
    Table,
    /// A paragraph each
    List,
    /// An object
    Json,
}

/// `--sort-by` of `outdated`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(in crate::cli) enum OutdatedOrder {
    /// By name
    Name,
}

/// `licenses`.
#[derive(Debug, Clone, Args)]
pub(in crate::cli) struct LicensesArguments {
    /// list
    #[arg(value_name = "COMMAND")]
    pub(in crate::cli) words: Vec<String>,

    /// As JSON
    #[arg(long)]
    pub(in crate::cli) json: bool,

    /// What the packages say of themselves too
    #[arg(long)]
    pub(in crate::cli) long: bool,

    /// Only dependencies
    #[arg(short = 'P', long, visible_alias = "production")]
    pub(in crate::cli) prod: bool,

    /// Only devDependencies
    #[arg(short = 'D', long)]
    pub(in crate::cli) dev: bool,

    /// Leave out optionalDependencies
    #[arg(long, conflicts_with = "optional")]
    pub(in crate::cli) no_optional: bool,

    /// Only optionalDependencies
    #[arg(short = 'O', long)]
    pub(in crate::cli) optional: bool,
}

/// `doctor`.
#[derive(Debug, Clone, Args)]
pub(in crate::cli) struct DoctorArguments {
    /// As JSON
    #[arg(long)]
    pub(in crate::cli) json: bool,
}

/// `view`.
#[derive(Debug, Clone, Args)]
pub(in crate::cli) struct ViewArguments {
    /// NAME or NAME@VERSION, and fields: version, dist.tarball, dist-tags.latest
    #[arg(value_name = "PACKAGE FIELD")]
    pub(in crate::cli) words: Vec<String>,

    /// Print JSON
    #[arg(long)]
    pub(in crate::cli) json: bool,
}
