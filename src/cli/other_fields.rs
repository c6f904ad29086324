//! Fields of a `package.json` that other installers read, and that this one does not: their
//! projects become a workspace of pnpm's, and who has settings there is told where they belong.

use serde_json::{Map, Value};

use super::arguments::GlobalArguments;
use super::context::Context;
use super::failure::Failure;
use super::package_manager::root_manifest;
use crate::install::config::setting_form;
use crate::install::drafts::Draft;
use crate::install::locked::LockfilePlace;
use crate::install::settings_file::SettingsFile;
use crate::name::escaped;
use crate::report::Event;

/// The key of a list of projects in `pnpm-workspace.yaml`.
const PACKAGES: &str = "packages";

/// Tells of fields that are not read. Gives the `pnpm-workspace.yaml` that a project gets which
/// says of itself that it is a workspace, and is none yet.
pub(super) fn begun(context: &Context, global: &GlobalArguments) -> Result<Option<Draft>, Failure> {
    let config = &context.config;
    let manifest = root_manifest(config);
    let warn = |message: &str| {
        context.reporter.report(&Event::Warning {
            code: "ERR_PACQUET_FIELD_NOT_READ",
            message,
        });
    };
    let settings = settings_of(&manifest);
    if !settings.is_empty() {
        warn(&format!(
            "\"pnpm\" in package.json is not read; pnpm-workspace.yaml is the place of: {}",
            settings.join(", ")
        ));
    }
    let globs = globs_of(&manifest);
    // A lockfile of npm says itself which projects there are.
    if globs.is_empty() || LockfilePlace::find(config).is_of_npm {
        return Ok(None);
    }
    if global.ignore_workspace {
        warn("\"workspaces\" in package.json is not read");
        return Ok(None);
    }
    if config.workspace_root.is_some() {
        if config.package_globs.as_ref() != Some(&globs) {
            warn(
                "\"workspaces\" in package.json is not read: it differs from \"packages\" in \
                 pnpm-workspace.yaml, which counts",
            );
        }
        return Ok(None);
    }
    let mut file = SettingsFile::of_workspace(config.root())?;
    file.set(&[PACKAGES], &Value::from(globs))?;
    warn("\"workspaces\" in package.json becomes \"packages\" in a new pnpm-workspace.yaml");
    Ok(Some(file.draft()))
}

/// The settings of pnpm in the field `pnpm`, where they once were read.
fn settings_of(manifest: &Value) -> Vec<String> {
    let field = manifest.get("pnpm").and_then(Value::as_object);
    let keys = field.into_iter().flat_map(Map::keys);
    let settings = keys.filter(|key| setting_form(key).is_some());
    settings.map(|key| escaped(key)).collect()
}

/// The projects that `workspaces` lists.
fn globs_of(manifest: &Value) -> Vec<String> {
    let list = manifest.get("workspaces").and_then(Value::as_array);
    let globs = list.into_iter().flatten().filter_map(Value::as_str);
    globs.map(str::to_owned).collect()
}
