//! A deploy where no lockfile has all projects: what the project needs is chosen anew, with the
//! versions of its own lockfile preferred where it has one.

use std::fs;
use std::path::Path;

use serde_json::{Map, Value, json};

use crate::cli::building::{InstallScripts, ProjectScripts};
use crate::cli::context::Context;
use crate::cli::failure::Failure;
use crate::cli::interrupt;
use crate::cli::writing;
use crate::install::config::{BranchLockfiles, LOCKFILE_NAME, VirtualMode};
use crate::install::locked::Groups;
use crate::install::workspace::Project;

use super::{Style, unwritten, write_manifest};

/// Whether it has to be done so.
pub(super) fn is_due(context: &Context) -> bool {
    let config = &context.config;
    config.has_lockfiles_apart() || !config.lockfile_to_read().exists()
}

/// Installs the copy of `project` in `target`, where projects of the workspace are copies too. As
/// with pnpm, no lockfile stays there.
pub(super) fn install(
    context: &mut Context,
    project: &Project,
    target: &Path,
    groups: Groups,
) -> Result<(), Failure> {
    let path = target.join(LOCKFILE_NAME);
    if context.config.has_lockfiles_apart()
        && let Ok(own) = fs::read(context.config.lockfile_in(&project.directory, Path::exists))
    {
        fs::write(&path, own).map_err(|cause| unwritten(&path, cause))?;
    }
    write_manifest(project, target, &with_copies(project), Style::Kept)?;
    let config = &mut context.config;
    config.directory = target.to_owned();
    config.lockfile_directory = target.to_owned();
    config.virtual_mode = VirtualMode::Off;
    config.lockfile.branches = BranchLockfiles::default();
    config.lockfile.shared = false;
    config.lockfile.enabled = true;
    config.lockfile.frozen = Some(false);
    config.lockfile.inject_workspace_packages = true;
    let children = context.children.clone();
    interrupt::watch(&context.config.store_directory, &children)?;
    let scripts = InstallScripts::new(context, &children, ProjectScripts::All);
    let scripts = scripts.of_deployed(groups);
    writing::install(context, groups, &scripts)?;
    context.settle()?;
    fs::remove_file(&path).map_err(|cause| unwritten(&path, cause))
}

/// `dependenciesMeta`, with every project that is depended on as a copy.
fn with_copies(project: &Project) -> Map<String, Value> {
    let manifest = &project.manifest;
    let mut meta = manifest.dependencies_meta.clone().unwrap_or_default();
    for group in [
        &manifest.dependencies,
        &manifest.dev_dependencies,
        &manifest.optional_dependencies,
    ] {
        for (alias, specifier) in group {
            if specifier.starts_with("workspace:") {
                let entry = meta.entry(alias.as_str()).or_insert_with(|| json!({}));
                entry["injected"] = Value::Bool(true);
            }
        }
    }
    Map::from_iter([("dependenciesMeta".to_owned(), Value::Object(meta))])
}
