//! How projects are packed, and how their versions are noted.

use super::options::Options;
use crate::install::publish::LEVEL_DEFAULT;

/// How projects are packed, and how their versions are noted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PublishingConfig {
    /// `packGzipLevel`: 0 to 9.
    pub level: u32,
    /// `skipManifestObfuscation`: the manifest keeps what is the project's own business.
    pub keeps_own_fields: bool,
    /// `gitChecks`: nothing may be left to commit.
    pub checks_repository: bool,
    /// `gitTagVersion`: with a commit and a tag.
    pub tags_versions: bool,
    /// `tagVersionPrefix`.
    pub tag_prefix: String,
}

pub(super) fn publishing(options: &Options) -> PublishingConfig {
    let level = options.pack_gzip_level.map(u32::try_from);
    PublishingConfig {
        level: level.map_or(LEVEL_DEFAULT, |level| level.unwrap_or(9).min(9)),
        keeps_own_fields: options.skip_manifest_obfuscation.unwrap_or(false),
        checks_repository: options.git_checks.unwrap_or(true),
        tags_versions: options.git_tag_version.unwrap_or(true),
        tag_prefix: options
            .tag_version_prefix
            .clone()
            .unwrap_or_else(|| "v".to_owned()),
    }
}
