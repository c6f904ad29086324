//! Whether real files are those that manifests and lockfile ask for, as it is asked before a script
//! or a program runs. As long as nothing was written since the install, only times are looked at.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::{SystemTime, UNIX_EPOCH};

use serde::Deserialize;
use serde::de::IgnoredAny;

use super::context::Context;
use super::failure::Failure;
use super::recorded;
use super::relocking;
use super::serving::modules_of;
use crate::install::config::NodeLinker;
use crate::install::layout::WORKSPACE_STATE_NAME;
use crate::install::locked::{Groups, LockfilePlace};
use crate::install::manifest::ManifestError;
use crate::install::pnpmfile::pnpmfiles;
use crate::install::settings_file::WORKSPACE_FILE_NAME;
use crate::install::workspace::{Project, WorkspaceError};

/// What is read of `.pnpm-workspace-state-v1.json`.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct InstalledState {
    /// Milliseconds since 1970.
    last_validated_timestamp: u64,
    /// By directory.
    projects: BTreeMap<PathBuf, IgnoredAny>,
}

impl InstalledState {
    fn read(modules: &Path) -> Option<Self> {
        let text = fs::read(modules.join(WORKSPACE_STATE_NAME)).ok()?;
        serde_json::from_slice(&text).ok()
    }

    /// Whether `path` is there, and was written later.
    fn is_before(&self, path: &Path) -> bool {
        let written = fs::metadata(path).and_then(|facts| facts.modified());
        let written = written.unwrap_or(UNIX_EPOCH);
        let moment = u128::from(self.last_validated_timestamp);
        since_epoch(written) > moment
    }

    /// Whether it is about these projects.
    fn is_of(&self, projects: &[Project]) -> bool {
        let is_known = |project: &Project| self.projects.contains_key(&project.directory);
        self.projects.len() == projects.len() && projects.iter().all(is_known)
    }
}

fn since_epoch(time: SystemTime) -> u128 {
    let since = time.duration_since(UNIX_EPOCH).unwrap_or_default();
    since.as_millis()
}

/// Whether an install is due. Of a project that npm has locked, and where nothing is depended on,
/// none is.
pub(super) fn is_out_of_date(context: &Context) -> Result<bool, Failure> {
    let config = &context.config;
    if LockfilePlace::find(config).is_of_npm {
        return Ok(false);
    }
    let projects = match context.projects() {
        Err(WorkspaceError::Manifest(ManifestError::Missing { .. })) => return Ok(false),
        read => read?,
    };
    if !projects.iter().any(depends) {
        return Ok(false);
    }
    let modules = modules_of(context, ".");
    let Some(state) = InstalledState::read(&modules) else {
        return Ok(true);
    };
    let groups = recorded::groups(context).unwrap_or(Groups::ALL);
    let there = context.concerned(&projects);
    if there
        .iter()
        .any(|project| lacks_tree(context, project, groups))
    {
        return Ok(true);
    }
    if state.is_of(&projects) && !is_changed_since(context, &state, &projects)? {
        return Ok(false);
    }
    let current = fs::read_to_string(modules.join(".pnpm/lock.yaml")).ok();
    // What cannot be told the install will tell of.
    let stands = relocking::stands(context, groups, current.as_deref());
    Ok(!stands.unwrap_or(false))
}

/// Whether something was written that decides what is installed.
fn is_changed_since(
    context: &Context,
    state: &InstalledState,
    projects: &[Project],
) -> Result<bool, Failure> {
    let config = &context.config;
    let root = config.root();
    let manifests = projects
        .iter()
        .map(|one| one.directory.join("package.json"));
    let patches = config.graph.patched_dependencies.values();
    let mut decisive: Vec<PathBuf> = manifests.collect();
    decisive.push(config.lockfile_to_read());
    decisive.push(root.join(WORKSPACE_FILE_NAME));
    decisive.extend(patches.map(|path| root.join(path)));
    decisive.extend(pnpmfiles(config)?);
    Ok(decisive.iter().any(|path| state.is_before(path)))
}

fn depends(project: &Project) -> bool {
    let manifest = &project.manifest;
    !manifest.dependencies.is_empty()
        || !manifest.dev_dependencies.is_empty()
        || !manifest.optional_dependencies.is_empty()
}

/// Whether a project that has something in a tree of its own has none.
fn lacks_tree(context: &Context, project: &Project, groups: Groups) -> bool {
    let config = &context.config;
    let manifest = &project.manifest;
    let has_own = (groups.production && !manifest.dependencies.is_empty())
        || (groups.development && !manifest.dev_dependencies.is_empty());
    let is_elsewhere = config.node_linker == NodeLinker::Hoisted
        || config.dedupe_direct_deps
        || config.virtual_store_only
        || !config.symlink;
    has_own && !is_elsewhere && !modules_of(context, project.id.as_str()).exists()
}
