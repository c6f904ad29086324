//! Why no report can be made.

use crate::diagnostic::Diagnostic;
use crate::install::config::ConfigError;
use crate::install::runtime::MORE_THREADS;
use crate::install::select::SelectError;

/// Why no report can be made.
#[derive(Debug, thiserror::Error)]
pub enum AuditError {
    /// No registry is configured.
    #[error("No registry can be asked")]
    Config(#[source] ConfigError),
    /// The lockfile does not know a project.
    #[error(transparent)]
    Select(#[from] SelectError),
    /// The system cannot do it.
    #[error("The registry cannot be asked")]
    Runtime(#[source] std::io::Error),
    /// There is no such address.
    #[error("The audit endpoint (at {url}) doesn't exist.")]
    NoEndpoint {
        /// The address.
        url: String,
    },
    /// Anything else that is no answer.
    #[error("The audit endpoint (at {url}) {what}")]
    BadResponse {
        /// The address.
        url: String,
        /// What it did.
        what: String,
    },
    /// The request fails.
    #[error("Failed to request the audit endpoint (at {url}): {reason}")]
    Request {
        /// The address.
        url: String,
        /// Why.
        reason: String,
    },
}

impl AuditError {
    /// Whether it is the registry's doing.
    pub fn is_of_the_registry(&self) -> bool {
        matches!(
            self,
            Self::NoEndpoint { .. } | Self::BadResponse { .. } | Self::Request { .. }
        )
    }
}

impl Diagnostic for AuditError {
    fn code(&self) -> &'static str {
        match self {
            Self::Config(error) => error.code(),
            Self::Select(_) => "ERR_PNPM_AUDIT_MISSING_IMPORTERS",
            Self::Runtime(_) => "ERR_PACQUET_AUDIT",
            Self::NoEndpoint { .. } => "ERR_PNPM_AUDIT_ENDPOINT_NOT_EXISTS",
            Self::BadResponse { .. } | Self::Request { .. } => "ERR_PNPM_AUDIT_BAD_RESPONSE",
        }
    }

    fn hint(&self) -> Option<String> {
        let hint = match self {
            Self::NoEndpoint { .. } => {
                "a private registry need not have advisories; --registry asks another one"
            }
            Self::Select(_) => "run `pacquet install` to bring pnpm-lock.yaml up to date",
            Self::BadResponse { .. } | Self::Request { .. } => {
                "--ignore-registry-errors makes this no failure"
            }
            Self::Config(error) => return error.hint(),
            Self::Runtime(_) => MORE_THREADS,
        };
        Some(hint.to_owned())
    }
}
