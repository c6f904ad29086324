//! How projects are packed.

use super::options::Options;
use crate::install::publish::LEVEL_DEFAULT;

/// How projects are packed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PublishingConfig {
    /// `packGzipLevel`: 0 to 9.
    pub level: u32,
    /// `skipManifestObfuscation`: the manifest keeps what is the project's own business.
    pub keeps_own_fields: bool,
}

pub(super) fn publishing(options: &Options) -> PublishingConfig {
    let level = options.pack_gzip_level.map(u32::try_from);
    PublishingConfig {
        level: level.map_or(LEVEL_DEFAULT, |level| level.unwrap_or(9).min(9)),
        keeps_own_fields: options.skip_manifest_obfuscation.unwrap_or(false),
    }
}
