//! Whether the lockfile fits manifests and configuration.

use super::error::InstallError;
use super::inputs::Inputs;
use crate::install::config::Config;
use crate::install::lockfile::Lockfile;

/// Holds the lockfile against manifests and settings.
///
/// # Errors
/// The first thing that does not fit, with pnpm's code.
pub(super) fn fits(
    _lockfile: &Lockfile,
    _inputs: &Inputs,
    _config: &Config,
) -> Result<(), InstallError> {
    Ok(())
}
