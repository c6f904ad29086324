//! The choice of a version.

use super::options::{PickOptions, Preferred};
use super::selector::Selector;
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
