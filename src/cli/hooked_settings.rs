//! What the hook `updateConfig` of pnpmfiles is shown, and what it changes.

use std::sync::Arc;

use serde_json::{Map, Value, json};

use super::failure::Failure;
use crate::install::config::{CliOverrides, Config, parse_settings};
use crate::install::pnpmfile::updated_config;
use crate::install::settings_file::WORKSPACE_FILE_NAME;
use crate::limits::CONFIG_BYTES_MAX;
use crate::report::Reporter;
use crate::sys;

/// The settings that a hook changes; `None`: there is no such hook.
pub(super) fn updated(
    config: &Config,
    overrides: &CliOverrides,
    reporter: &Arc<dyn Reporter>,
) -> Result<Option<Map<String, Value>>, Failure> {
    let Some(mut changed) = updated_config(config, &shown(config, overrides), reporter)? else {
        return Ok(None);
    };
    // One catalog has a setting of its own, which would hide what was said.
    if let Some(Value::Object(catalogs)) = changed.get("catalogs") {
        let default = catalogs.get("default").cloned();
        changed.insert("catalog".to_owned(), default.unwrap_or_else(|| json!({})));
    }
    Ok(Some(changed))
}

/// What the workspace's file says, and what hooks look at though nobody has set it.
fn shown(config: &Config, overrides: &CliOverrides) -> Map<String, Value> {
    let root = config.workspace_root.as_ref();
    let root = root.unwrap_or(&config.lockfile_directory);
    let text = match &overrides.workspace_file {
        Some((drafted, text)) if drafted == root => text.clone(),
        _ => sys::file::read_text(&root.join(WORKSPACE_FILE_NAME), CONFIG_BYTES_MAX).ok(),
    };
    let text = text.unwrap_or_default();
    let mut settings = match parse_settings(&text) {
        Ok(Value::Object(settings)) => settings,
        _ => Map::new(),
    };
    for (name, value) in [
        ("catalogs", json!(config.graph.catalogs)),
        ("nodeLinker", json!(config.node_linker.as_str())),
        (
            "autoInstallPeers",
            json!(config.lockfile.auto_install_peers),
        ),
        ("dedupeDirectDeps", json!(config.dedupe_direct_deps)),
        ("hoistPattern", json!(config.hoisting.private_patterns)),
        ("publicHoistPattern", json!(config.hoisting.public_patterns)),
        ("extraEnv", json!(config.scripts.extra_environment)),
        ("dir", json!(config.directory)),
        ("lockfileDir", json!(config.lockfile_directory)),
        ("workspaceDir", json!(config.workspace_root)),
    ] {
        settings.insert(name.to_owned(), value);
    }
    settings
}
