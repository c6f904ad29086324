//! The state files of `node_modules`, which other tools read.

use std::collections::{BTreeMap, HashMap};
use std::time::{SystemTime, UNIX_EPOCH};

use jiff::Timestamp;
use serde_json::{Value, json};

use super::inputs::Inputs;
use crate::install::config::Config;
use crate::install::layout::{
    BuiltLayout, InstalledPackage, LayoutSettings, ModulesState, ProjectState, StateFiles,
    WorkspaceState, modules_yaml, workspace_state,
};
use crate::install::lockfile::{DepPath, Importer, Lockfile, write_lockfile};
use crate::install::select::{Selection, current_lockfile as current_lockfile_of};

/// What the state files are made from.
pub(super) struct StateInput<'a> {
    pub(super) inputs: &'a Inputs,
    pub(super) config: &'a Config,
    pub(super) lockfile: &'a Lockfile,
    pub(super) selection: &'a Selection<'a>,
    pub(super) built: &'a BuiltLayout,
    pub(super) settings: &'a LayoutSettings,
    pub(super) ignored_builds: &'a [Box<str>],
}

/// Packages that have scripts to run and are neither allowed to nor forbidden, sorted.
pub(super) fn ignored_builds(
    installed: &HashMap<DepPath, InstalledPackage>,
    config: &Config,
) -> Vec<Box<str>> {
    if config.builds.ignore_scripts {
        return Vec::new();
    }
    let decided = |dep_path: &DepPath| {
        let (name, version) = (dep_path.name_str(), dep_path.version());
        config.builds.allow_builds.keys().any(|key| match key.rsplit_once('@') {
            Some((named, versions)) if !named.is_empty() => {
                named == name && versions.split("||").any(|one| one.trim() == version)
            }
            _ => key == name,
        })
    };
    let mut ignored: Vec<Box<str>> = installed
        .iter()
        .filter(|(dep_path, package)| package.record.facts.requires_build && !decided(dep_path))
        .map(|(dep_path, _)| dep_path.package_id_str().into())
        .collect();
    ignored.sort();
    ignored.dedup();
    ignored
}

/// Makes the three state files.
pub(super) fn files(input: &StateInput<'_>) -> StateFiles {
    let now = now();
    let skipped: Vec<Box<str>> =
        input.selection.skipped.iter().map(|dep_path| dep_path.as_str().into()).collect();
    let allow_builds: BTreeMap<Box<str>, bool> = input
        .config
        .builds
        .allow_builds
        .iter()
        .map(|(key, allowed)| (key.as_str().into(), *allowed))
        .collect();
    let modules_yaml = modules_yaml(
        input.built,
        &ModulesState {
            settings: input.settings,
            included: input.inputs.groups,
            pending_builds: &[],
            ignored_builds: input.ignored_builds,
            pruned_at: now,
            skipped: &skipped,
            store_directory: &input.config.store_directory.to_string_lossy(),
            allow_builds: &allow_builds,
        },
    );
    StateFiles {
        modules_yaml,
        workspace_state: workspace(input, now),
        current_lockfile: current_lockfile(input),
    }
}

fn now() -> Timestamp {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    let milliseconds = i64::try_from(since.as_millis()).unwrap_or_default();
    Timestamp::from_millisecond(milliseconds).unwrap_or_default()
}

fn workspace(input: &StateInput<'_>, now: Timestamp) -> Vec<u8> {
    let projects: BTreeMap<Box<str>, ProjectState> = input
        .inputs
        .projects
        .iter()
        .map(|project| {
            let state = ProjectState {
                name: project.manifest.name.clone(),
                version: project.manifest.version.clone(),
            };
            (project.directory.to_string_lossy().into(), state)
        })
        .collect();
    let config = input.config;
    let mut settings: BTreeMap<Box<str>, Value> = BTreeMap::new();
    for (name, value) in [
        ("autoInstallPeers", json!(config.lockfile.auto_install_peers)),
        ("dedupeDirectDeps", json!(config.dedupe_direct_deps)),
        ("excludeLinksFromLockfile", json!(config.lockfile.exclude_links)),
        ("hoistPattern", json!(config.hoisting.private_patterns)),
        ("hoistWorkspacePackages", json!(config.hoisting.workspace_packages)),
        ("injectWorkspacePackages", json!(config.lockfile.inject_workspace_packages)),
        ("nodeLinker", json!(config.node_linker.as_str())),
        ("overrides", json!(config.graph.overrides)),
        ("patchedDependencies", json!(config.graph.patched_dependencies)),
        ("peersSuffixMaxLength", json!(config.lockfile.peers_suffix_max_length)),
        ("production", json!(input.inputs.groups.production)),
        ("dev", json!(input.inputs.groups.development)),
        ("optional", json!(input.inputs.groups.optional)),
        ("publicHoistPattern", json!(config.hoisting.public_patterns)),
    ] {
        settings.insert(name.into(), value);
    }
    workspace_state(&WorkspaceState {
        last_validated: now,
        projects: &projects,
        pnpmfiles: &[],
        filtered_install: false,
        settings: &settings,
    })
}

/// The lockfile reduced to what is installed; `None` where no project has a dependency.
///
/// Where nothing is left out, that is the text as it stands: writing 12,000 lines anew would be a
/// sixth of the work of a warm install.
fn current_lockfile(input: &StateInput<'_>) -> Option<Vec<u8>> {
    if !input.lockfile.importers.values().any(has_dependencies) {
        return None;
    }
    let text = &input.inputs.lockfile_text;
    let is_plain = !text.starts_with(['\u{feff}', '-']) && memchr::memchr(b'\r', text.as_bytes()).is_none();
    let seen = input.selection.packages.len() + input.selection.skipped.len();
    if is_plain && seen == input.lockfile.snapshots.len() {
        return Some(text.clone().into_bytes());
    }
    let groups = input.inputs.selected_groups();
    let current = current_lockfile_of(input.lockfile, None, groups).ok()?;
    current
        .importers
        .values()
        .any(has_dependencies)
        .then(|| write_lockfile(&current).into_bytes())
}

fn has_dependencies(importer: &Importer) -> bool {
    !importer.dependencies.is_empty()
        || !importer.dev_dependencies.is_empty()
        || !importer.optional_dependencies.is_empty()
}
