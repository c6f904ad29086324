//! How commands write dependencies into manifests.

use super::options::Options;
use super::value::{CatalogMode, SaveWorkspaceProtocol};

/// How commands write dependencies into manifests.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SaveConfig {
    /// `saveExact`: no prefix.
    pub exact: bool,
    /// `savePrefix`.
    pub prefix: String,
    /// `catalogMode`.
    pub catalog_mode: CatalogMode,
    /// `saveCatalogName`: the catalog that new dependencies are written into.
    pub catalog_name: Option<String>,
    /// `saveWorkspaceProtocol`.
    pub workspace_protocol: SaveWorkspaceProtocol,
    /// `saveTypes`: the `@types` packages of what brings no types of its own.
    pub types: bool,
    /// `cleanupUnusedCatalogs`: entries of catalogs that nobody refers to go.
    pub cleans_catalogs: bool,
}

pub(super) fn save(options: &Options) -> SaveConfig {
    SaveConfig {
        exact: options.save_exact.unwrap_or(false),
        prefix: options
            .save_prefix
            .clone()
            .unwrap_or_else(|| "^".to_owned()),
        catalog_mode: options.catalog_mode.unwrap_or(CatalogMode::Manual),
        catalog_name: options.save_catalog_name.clone(),
        workspace_protocol: options
            .save_workspace_protocol
            .unwrap_or(SaveWorkspaceProtocol::Rolling),
        types: options.save_types.unwrap_or(false),
        cleans_catalogs: options.cleanup_unused_catalogs.unwrap_or(false),
    }
}
