//! The state files of `node_modules`, which other tools read.

use std::collections::{BTreeMap, BTreeSet};
use std::time::{SystemTime, UNIX_EPOCH};

use jiff::Timestamp;
use serde_json::{Value, json};

use super::inputs::{Inputs, recorded_pnpmfiles};
use crate::install::builds::BuildPlan;
use crate::install::config::Config;
use crate::install::layout::{
    BuiltLayout, IncludedGroups, LayoutSettings, LayoutTree, ModulesState, NodeLinker,
    ProjectState, StateFiles, WorkspaceState, modules_yaml, workspace_state,
};
use crate::install::lockfile::{Importer, ImporterId, Lockfile, write_lockfile};
use crate::install::select::{Selection, current_lockfile as current_lockfile_of};

/// What the state files are made from.
pub(super) struct StateInput<'a> {
    pub(super) inputs: &'a Inputs,
    pub(super) config: &'a Config,
    pub(super) selection: &'a Selection<'a>,
    pub(super) built: &'a BuiltLayout,
    pub(super) settings: &'a LayoutSettings,
    pub(super) builds: &'a BuildPlan,
    /// Projects whose own scripts did not run.
    pub(super) pending_projects: &'a [Box<str>],
}

/// Makes the three state files, of which `current` is the current lockfile.
pub(super) fn files(input: &StateInput<'_>, current: Option<Vec<u8>>) -> StateFiles {
    let now = now();
    let skipped: Vec<Box<str>> = input
        .selection
        .skipped
        .iter()
        .map(|dep_path| dep_path.as_str().into())
        .collect();
    let allow_builds: BTreeMap<Box<str>, bool> = input
        .config
        .builds
        .allow_builds
        .0
        .iter()
        .filter_map(|(key, allowed)| Some((key.as_str().into(), (*allowed)?)))
        .collect();
    let config = input.config;
    let store_directory = match &config.pnpm_store_directory {
        Some(directory) => directory,
        None => &config.store_directory,
    };
    let pending: Vec<Box<str>> = input
        .pending_projects
        .iter()
        .chain(&input.builds.pending)
        .cloned()
        .collect();
    let modules_yaml = modules_yaml(
        input.built,
        &ModulesState {
            settings: input.settings,
            included: input.inputs.groups,
            pending_builds: &pending,
            ignored_builds: &input.builds.ignored,
            pruned_at: now,
            skipped: &skipped,
            store_directory: &store_directory.to_string_lossy(),
            allow_builds: &allow_builds,
        },
    );
    StateFiles {
        modules_yaml,
        workspace_state: workspace(input, now),
        current_lockfile: current,
    }
}

fn now() -> Timestamp {
    let since = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap_or_default();
    let milliseconds = i64::try_from(since.as_millis()).unwrap_or_default();
    Timestamp::from_millisecond(milliseconds).unwrap_or_default()
}

fn workspace(input: &StateInput<'_>, now: Timestamp) -> Vec<u8> {
    let layout = &input.built.layout;
    let projects: BTreeMap<Box<str>, ProjectState> = input
        .inputs
        .projects
        .iter()
        .map(|project| {
            let has_tree = |tree: &LayoutTree| {
                let place = layout.directories.get(tree.root.0 as usize);
                let holds_something = place.is_some_and(|place| !place.entries.is_empty());
                // The root's holds at least the state files, which are being made.
                tree.importer == project.id && (project.id.0.is_none() || holds_something)
            };
            let state = ProjectState {
                name: project.manifest.name.clone(),
                version: project.manifest.version.clone(),
                has_modules_directory: input.settings.node_linker == NodeLinker::Hoisted
                    && layout.trees.iter().any(has_tree),
            };
            (project.directory.to_string_lossy().into(), state)
        })
        .collect();
    let config = input.config;
    let settings = settings(config, input.inputs.groups);
    let packages = &config.packages.declared;
    let packages = (!packages.0.is_empty()).then(|| packages.to_json());
    workspace_state(&WorkspaceState {
        last_validated: now,
        projects: &projects,
        pnpmfiles: &recorded_pnpmfiles(config),
        filtered_install: input.inputs.installed.is_some(),
        config_packages: packages.as_ref(),
        settings: &settings,
    })
}

/// The settings of pnpm's list. Those without a value are left out, as
/// pnpm does.
fn settings(config: &Config, groups: IncludedGroups) -> BTreeMap<Box<str>, Value> {
    let (graph, lockfile, hoisting) = (&config.graph, &config.lockfile, &config.hoisting);
    let always = [
        ("autoInstallPeers", json!(lockfile.auto_install_peers)),
        ("catalogs", json!(graph.catalogs)),
        ("dangerouslyAllowAllBuilds", json!(config.builds.allow_all)),
        ("dedupeDirectDeps", json!(config.dedupe_direct_deps)),
        ("dedupePeers", json!(lockfile.dedupe_peers)),
        ("dev", json!(groups.development)),
        ("excludeLinksFromLockfile", json!(lockfile.exclude_links)),
        ("hoistWorkspacePackages", json!(hoisting.workspace_packages)),
        (
            "injectWorkspacePackages",
            json!(lockfile.inject_workspace_packages),
        ),
        (
            "linkWorkspacePackages",
            match graph.links_deep {
                true => json!("deep"),
                false => json!(graph.link_workspace_packages),
            },
        ),
        ("nodeLinker", json!(config.node_linker.as_str())),
        ("optional", json!(groups.optional)),
        (
            "peersSuffixMaxLength",
            json!(lockfile.peers_suffix_max_length),
        ),
        ("production", json!(groups.production)),
        ("publicHoistPattern", json!(hoisting.public_patterns)),
        (
            "virtualStoreDirMaxLength",
            json!(config.virtual_store_dir_max_length),
        ),
    ];
    let mut settings: BTreeMap<Box<str>, Value> =
        always.map(|(name, value)| (name.into(), value)).into();
    settings.extend(settings_with_a_value(config));
    settings.extend(config.recorded.clone());
    settings
}

/// The settings that are recorded only where they are not empty.
fn settings_with_a_value(config: &Config) -> impl Iterator<Item = (Box<str>, Value)> {
    let graph = &config.graph;
    let sometimes = [
        ("allowBuilds", json!(config.builds.allow_builds.0)),
        (
            "ignoredOptionalDependencies",
            json!(graph.ignored_optional_dependencies),
        ),
        ("overrides", json!(graph.overrides)),
        ("packageExtensions", json!(graph.package_extensions)),
        ("patchedDependencies", json!(graph.patched_dependencies)),
        ("supportedArchitectures", architectures(config)),
    ];
    let is_empty = |value: &Value| match value {
        Value::Array(list) => list.is_empty(),
        Value::Object(map) => map.is_empty(),
        other => other.is_null(),
    };
    // An empty list of patterns is not the same as none.
    let hoisting = config.hoisting.private_patterns.as_ref();
    let workspace = match (&config.workspace_root, &config.package_globs) {
        (None, _) => None,
        (Some(_), Some(patterns)) => Some(json!(patterns)),
        (Some(_), None) => Some(json!(["."])),
    };
    let patterns = [
        ("hoistPattern", hoisting.map(|patterns| json!(patterns))),
        ("workspacePackagePatterns", workspace),
    ];
    let patterns = patterns
        .into_iter()
        .filter_map(|(name, patterns)| Some((name, patterns?)));
    sometimes
        .into_iter()
        .filter(move |(_, value)| !is_empty(value))
        .chain(patterns)
        .map(|(name, value)| (name.into(), value))
}

fn architectures(config: &Config) -> Value {
    let wanted = &config.supported_architectures;
    let lists = [
        ("os", &wanted.os),
        ("cpu", &wanted.cpu),
        ("libc", &wanted.libc),
    ];
    lists
        .into_iter()
        .filter_map(|(name, list)| Some((name.to_owned(), json!(list.as_ref()?))))
        .collect::<serde_json::Map<_, _>>()
        .into()
}

/// The lockfile reduced to what is installed, written as pnpm writes it, however the original is
/// written; `None` where no project has a dependency.
pub fn current_lockfile(
    lockfile: &Lockfile,
    installed: Option<&BTreeSet<ImporterId>>,
    groups: IncludedGroups,
) -> Option<Vec<u8>> {
    let is_there = |id: &&ImporterId| lockfile.importers.contains_key(*id);
    let importers = installed.map(|installed| {
        let there = installed.iter().filter(is_there);
        there.cloned().collect::<Vec<ImporterId>>()
    });
    let current = current_lockfile_of(lockfile, importers.as_deref(), groups).ok()?;
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::install::lockfile::read_lockfile;

    #[test]
    fn the_current_lockfile_is_written_as_pnpm_writes_it() {
        let json = r#"{"lockfileVersion": 9.0, "snapshots": {"a@1.0.0": {}}, "packages":
            {"a@1.0.0": {"resolution": {"integrity": "sha512-AA=="}}}, "importers": {".":
            {"dependencies": {"a": {"version": "1.0.0", "specifier": "^1.0.0"}}}}} # a comment
        "#;
        let current = current_lockfile(&read_lockfile(json).unwrap(), None, IncludedGroups::ALL);
        let expected = "lockfileVersion: '9.0'\n\nimporters:\n\n  .:\n    dependencies:\n\
                        \x20     a:\n        specifier: ^1.0.0\n        version: 1.0.0\n\n\
                        packages:\n\n  a@1.0.0:\n    resolution: {integrity: sha512-AA==}\n\n\
                        snapshots:\n\n  a@1.0.0: {}\n";
        assert_eq!(current.as_deref(), Some(expected.as_bytes()));
    }
}
