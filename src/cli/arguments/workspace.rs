//! Which projects of a workspace a command is about.

use clap::Args;

/// Which projects of a workspace a command is about, and how it goes through them.
#[derive(Debug, Clone, Default, Args)]
#[command(next_help_heading = "Workspaces")]
pub(in crate::cli) struct WorkspaceArguments {
    /// In every project of the workspace
    #[arg(short, long, global = true)]
    pub(in crate::cli) recursive: bool,

    /// In these projects: a name, ./path, {dir}, [since], pkg..., ...pkg, !pkg
    #[arg(short = 'F', long, global = true, value_name = "PATTERN")]
    pub(in crate::cli) filter: Vec<String>,

    /// As --filter, without following devDependencies
    #[arg(long, global = true, value_name = "PATTERN", hide_short_help = true)]
    pub(in crate::cli) filter_prod: Vec<String>,

    /// At the root of the workspace
    #[arg(short, long, global = true)]
    pub(in crate::cli) workspace_root: bool,

    /// In the root project too
    #[arg(
        long,
        global = true,
        hide_short_help = true,
        overrides_with = "no_include_workspace_root"
    )]
    pub(in crate::cli) include_workspace_root: bool,

    /// Not in the root project
    #[arg(
        long,
        global = true,
        hide = true,
        overrides_with = "include_workspace_root"
    )]
    pub(in crate::cli) no_include_workspace_root: bool,

    /// Fail where no project matches the filters
    #[arg(
        long,
        global = true,
        hide_short_help = true,
        overrides_with = "no_fail_if_no_match"
    )]
    pub(in crate::cli) fail_if_no_match: bool,

    /// Do nothing where no project matches the filters (the default)
    #[arg(long, global = true, hide = true, overrides_with = "fail_if_no_match")]
    pub(in crate::cli) no_fail_if_no_match: bool,

    /// Changes of these files concern no dependents, for [since]
    #[arg(long, global = true, value_name = "GLOB", hide_short_help = true)]
    pub(in crate::cli) test_pattern: Vec<String>,

    /// Changes of these files do not count, for [since]
    #[arg(long, global = true, value_name = "GLOB", hide_short_help = true)]
    pub(in crate::cli) changed_files_ignore_pattern: Vec<String>,

    /// In how many projects at once
    #[arg(
        long,
        global = true,
        value_name = "N",
        allow_hyphen_values = true,
        hide_short_help = true
    )]
    pub(in crate::cli) workspace_concurrency: Option<String>,

    /// In every project at once, in no order
    #[arg(long, global = true, hide_short_help = true)]
    pub(in crate::cli) parallel: bool,

    /// Dependencies before dependents (the default)
    #[arg(long, global = true, hide = true, overrides_with = "no_sort")]
    pub(in crate::cli) sort: bool,

    /// In no order
    #[arg(long, global = true, hide_short_help = true, overrides_with = "sort")]
    pub(in crate::cli) no_sort: bool,

    /// Dependents before dependencies
    #[arg(long, global = true, hide_short_help = true)]
    pub(in crate::cli) reverse: bool,

    /// End at the first failure (the default)
    #[arg(long, global = true, hide = true, overrides_with = "no_bail")]
    pub(in crate::cli) bail: bool,

    /// Go on after a failure with what does not depend on it
    #[arg(long, global = true, hide_short_help = true, overrides_with = "bail")]
    pub(in crate::cli) no_bail: bool,

    /// Leave out what comes before this package
    #[arg(long, global = true, value_name = "PACKAGE", hide_short_help = true)]
    pub(in crate::cli) resume_from: Option<String>,

    /// Write pnpm-exec-summary.json
    #[arg(long, global = true, hide_short_help = true)]
    pub(in crate::cli) report_summary: bool,

    /// Show the output of scripts line by line, with the project in front
    #[arg(long, global = true, hide_short_help = true)]
    pub(in crate::cli) stream: bool,

    /// Show the output of a script when it has ended
    #[arg(long, global = true, hide_short_help = true)]
    pub(in crate::cli) aggregate_output: bool,

    /// Show the output of scripts without the project in front
    #[arg(long, global = true, hide_short_help = true)]
    pub(in crate::cli) reporter_hide_prefix: bool,

    /// The command goes through projects that have lockfiles of their own, and is at one of them.
    #[arg(skip)]
    pub(in crate::cli) is_alone: bool,
}

impl WorkspaceArguments {
    /// Whether the command is about projects of the workspace, and not about the one where it runs.
    pub(in crate::cli) fn is_recursive(&self) -> bool {
        self.recursive || self.is_filtered()
    }

    /// Whether filters choose among the projects.
    pub(in crate::cli) fn is_filtered(&self) -> bool {
        !self.filter.is_empty() || !self.filter_prod.is_empty()
    }

    /// The same of a command that runs something: `--parallel` means all projects too.
    pub(in crate::cli) fn runs_everywhere(&self) -> bool {
        self.is_recursive() || self.parallel
    }
}
