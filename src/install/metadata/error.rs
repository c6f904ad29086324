//! What can go wrong with metadata.

use crate::install::registry::FetchError;

/// Why a package's metadata, or a version of it, cannot be had.
#[derive(Debug, Clone, thiserror::Error)]
pub enum MetadataError {
    /// It cannot be fetched.
    #[error(transparent)]
    Fetch(#[from] FetchError),
}
