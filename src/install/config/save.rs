//! How commands write dependencies into manifests.

use serde_json::{Map, Value};

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
    /// `savePeer`: to peerDependencies too.
    pub peer: bool,
    /// `update.ignoreDeps`, or where there is none `updateConfig.ignoreDependencies`: patterns of
    /// what has to be named to be updated.
    pub held: Vec<String>,
    /// `cleanupUnusedCatalogs`: entries of catalogs that nobody refers to go.
    pub cleans_catalogs: bool,
}

pub(super) fn save(options: &Options) -> SaveConfig {
    SaveConfig {
        exact: options.save_exact.unwrap_or(false),
        prefix: prefix(options.save_prefix.as_deref()),
        catalog_mode: options.catalog_mode.unwrap_or(CatalogMode::Manual),
        catalog_name: options.save_catalog_name.clone(),
        workspace_protocol: options
            .save_workspace_protocol
            .unwrap_or(SaveWorkspaceProtocol::Rolling),
        types: options.save_types.unwrap_or(false),
        peer: options.save_peer.unwrap_or(false),
        held: held(options),
        cleans_catalogs: options.cleanup_unused_catalogs.unwrap_or(false),
    }
}

/// What stands in front of a version that is saved. As with pnpm, what is no such prefix counts as
/// the default.
fn prefix(written: Option<&str>) -> String {
    let known = written.filter(|text| matches!(*text, "" | "~" | "=" | "^"));
    known.unwrap_or("^").to_owned()
}

fn held(options: &Options) -> Vec<String> {
    let list = |map: &Option<Map<String, Value>>, field: &str| {
        let list = map.as_ref()?.get(field)?.as_array()?;
        let patterns = list.iter().filter_map(Value::as_str);
        Some(patterns.map(str::to_owned).collect())
    };
    list(&options.update, "ignoreDeps")
        .or_else(|| list(&options.update_config, "ignoreDependencies"))
        .unwrap_or_default()
}
