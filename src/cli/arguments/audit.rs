//! Arguments of `audit` and `peers`.

use clap::{Args, ValueEnum};

use super::inquiry::GroupArguments;
use super::install::NetworkArguments;
use crate::install::audit::Severity;

/// `audit`.
#[derive(Debug, Clone, Args)]
pub(in crate::cli) struct AuditArguments {
    /// No subcommand is known
    #[arg(value_name = "COMMAND", hide = true)]
    pub(in crate::cli) words: Vec<String>,

    /// As JSON
    #[arg(long)]
    pub(in crate::cli) json: bool,

    #[command(flatten)]
    pub(in crate::cli) groups: GroupArguments,

    /// Leave out what is less severe
    #[arg(long, value_enum, value_name = "SEVERITY")]
    pub(in crate::cli) audit_level: Option<AuditLevel>,

    /// End with 0 where the registry gives no answer
    #[arg(long)]
    pub(in crate::cli) ignore_registry_errors: bool,

    /// Add overrides to pnpm-workspace.yaml that put patched versions in place
    #[arg(long, num_args = 0..=1, default_missing_value = "override", value_name = "HOW")]
    fix: Option<String>,

    /// Choose what to fix
    #[arg(short = 'i', long)]
    pub(in crate::cli) interactive: bool,

    /// Say nothing of this GHSA id any more
    #[arg(long, value_name = "ID")]
    pub(in crate::cli) ignore: Vec<String>,

    /// Say nothing any more of what has no patched version
    #[arg(long)]
    pub(in crate::cli) ignore_unfixable: bool,

    #[command(flatten)]
    pub(in crate::cli) network: NetworkArguments,
}

impl AuditArguments {
    /// How to fix what was found, where that was asked for. What is no way to do so is the error.
    pub(in crate::cli) fn fix(&self) -> Result<Option<AuditFix>, &str> {
        match self.fix.as_deref() {
            None => Ok(self.interactive.then_some(AuditFix::Override)),
            Some("override") => Ok(Some(AuditFix::Override)),
            Some("update") => Ok(Some(AuditFix::Update)),
            Some(other) => Err(other),
        }
    }

    /// Whether `--fix` was written.
    pub(in crate::cli) fn has_fix(&self) -> bool {
        self.fix.is_some()
    }
}

/// `--fix` of `audit`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::cli) enum AuditFix {
    /// With overrides
    Override,
    /// With later versions
    Update,
}

/// `--audit-level`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(in crate::cli) enum AuditLevel {
    /// All
    Info,
    /// All but information
    Low,
    /// Moderate, high and critical
    Moderate,
    /// High and critical
    High,
    /// Critical
    Critical,
}

impl AuditLevel {
    /// The severity from which on something counts.
    pub(in crate::cli) fn severity(self) -> Severity {
        match self {
            Self::Info => Severity::Info,
            Self::Low => Severity::Low,
            Self::Moderate => Severity::Moderate,
            Self::High => Severity::High,
            Self::Critical => Severity::Critical,
        }
    }
}

/// `peers`.
#[derive(Debug, Clone, Args)]
pub(in crate::cli) struct PeersArguments {
    /// check
    #[arg(value_name = "COMMAND")]
    pub(in crate::cli) words: Vec<String>,

    /// As JSON
    #[arg(long)]
    pub(in crate::cli) json: bool,

    /// From pnpm-lock.yaml, whatever is installed
    #[arg(long)]
    pub(in crate::cli) lockfile_only: bool,
}
