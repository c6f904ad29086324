//! The files in which pnpm records what it installed, so that either program can go on where the
//! other left off.

use std::collections::BTreeMap;

use jiff::Timestamp;
use jiff::tz::TimeZone;
use serde_json::{Map, Value, json};

use super::error::LayoutError;
use super::input::{BuiltLayout, HoistKind, IncludedGroups, LayoutSettings, NodeLinker};
use super::model::LayoutEntry;
use super::tree::TreeBuilder;
use crate::install::config::CONFIG_PACKAGES_NAME;
use crate::name::PackageName;

/// What `.modules.yaml` records beside the layout itself.
#[derive(Debug, Clone, Copy)]
pub struct ModulesState<'a> {
    /// The layout's settings.
    pub settings: &'a LayoutSettings,
    /// `included`.
    pub included: IncludedGroups,
    /// `pendingBuilds`: depPaths and importer ids whose scripts have not run.
    pub pending_builds: &'a [Box<str>],
    /// `ignoredBuilds`: depPaths whose scripts nobody has decided about; left out where empty.
    pub ignored_builds: &'a [Box<str>],
    /// `prunedAt`.
    pub pruned_at: Timestamp,
    /// `skipped`: depPaths of optional packages that this platform cannot have, in any order.
    pub skipped: &'a [Box<str>],
    /// `storeDir`, absolute.
    pub store_directory: &'a str,
    /// `allowBuilds`: key → whether it may run scripts.
    pub allow_builds: &'a BTreeMap<Box<str>, bool>,
}

/// The content of `.modules.yaml` (which is JSON), without a newline at its end.
pub fn modules_yaml(built: &BuiltLayout, state: &ModulesState<'_>) -> Vec<u8> {
    let settings = state.settings;
    let mut map = Map::new();
    let mut put = |key: &str, value: Value| map.insert(key.to_owned(), value);
    put("hoistedDependencies", hoisted_dependencies(built));
    if let Some(patterns) = &settings.hoist_pattern {
        put("hoistPattern", json!(patterns));
    }
    put(
        "included",
        json!({
            "dependencies": state.included.production,
            "devDependencies": state.included.development,
            "optionalDependencies": state.included.optional,
        }),
    );
    put("layoutVersion", json!(5));
    put(
        "nodeLinker",
        json!(match settings.node_linker {
            NodeLinker::Isolated => "isolated",
            NodeLinker::Hoisted => "hoisted",
        }),
    );
    put(
        "packageManager",
        json!(concat!("pacquet@", env!("CARGO_PKG_VERSION"))),
    );
    put("pendingBuilds", json!(state.pending_builds));
    if !state.ignored_builds.is_empty() {
        put("ignoredBuilds", json!(state.ignored_builds));
    }
    put("prunedAt", json!(http_date(state.pruned_at)));
    put("publicHoistPattern", json!(settings.public_hoist_pattern));
    let mut skipped = state.skipped.to_vec();
    skipped.sort();
    put("skipped", json!(skipped));
    put("storeDir", json!(state.store_directory));
    put("virtualStoreDir", json!(".pnpm"));
    put(
        "virtualStoreDirMaxLength",
        json!(settings.virtual_store_dir_max_length),
    );
    if !built.injected_dependencies.is_empty() {
        put("injectedDeps", json!(built.injected_dependencies));
    }
    if settings.node_linker == NodeLinker::Hoisted && !built.hoisted_locations.is_empty() {
        put("hoistedLocations", json!(built.hoisted_locations));
    }
    put("allowBuilds", json!(state.allow_builds));
    if settings.virtual_store_only {
        put("virtualStoreOnly", json!(true));
    }
    pretty(&Value::Object(map))
}

fn hoisted_dependencies(built: &BuiltLayout) -> Value {
    let entries = built.hoisted_dependencies.iter().map(|entry| {
        let aliases = entry.aliases.iter().map(|(alias, kind)| {
            let kind = match kind {
                HoistKind::Private => "private",
                HoistKind::Public => "public",
            };
            (alias.as_str().to_owned(), json!(kind))
        });
        (entry.id.to_string(), Value::Object(aliases.collect()))
    });
    Value::Object(entries.collect())
}

/// As in HTTP: `Mon, 23 Nov 2026 00:18:59 GMT`.
fn http_date(time: Timestamp) -> String {
    time.to_zoned(TimeZone::UTC)
        .strftime("%a, %d %b %Y %H:%M:%S GMT")
        .to_string()
}

/// A project as `.pnpm-workspace-state-v1.json` names it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ProjectState {
    /// `name` of its manifest.
    pub name: Option<Box<str>>,
    /// `version` of its manifest.
    pub version: Option<Box<str>>,
    /// `hasModulesDir`: it has a `node_modules`. Recorded with the hoisted linker only.
    pub has_modules_directory: bool,
}

/// The file in the root of a tree in which an install records what it was about.
pub const WORKSPACE_STATE_NAME: &str = ".pnpm-workspace-state-v1.json";

/// What `.pnpm-workspace-state-v1.json` records.
#[derive(Debug, Clone, Copy)]
pub struct WorkspaceState<'a> {
    /// `lastValidatedTimestamp`.
    pub last_validated: Timestamp,
    /// `projects`, by absolute directory.
    pub projects: &'a BTreeMap<Box<str>, ProjectState>,
    /// `pnpmfiles`, absolute.
    pub pnpmfiles: &'a [Box<str>],
    /// `filteredInstall`: not every project was installed.
    pub filtered_install: bool,
    /// `configDependencies`, where there are some.
    pub config_packages: Option<&'a Value>,
    /// `settings`: those of pnpm's list that are set, by name.
    pub settings: &'a BTreeMap<Box<str>, Value>,
}

/// The content of `.pnpm-workspace-state-v1.json`, with a newline at its end.
///
/// pnpm's `validation` block is left out: its digests are private to it, and pnpm then takes its
/// slower path once.
pub fn workspace_state(state: &WorkspaceState<'_>) -> Vec<u8> {
    let projects: Map<String, Value> = state
        .projects
        .iter()
        .map(|(directory, project)| {
            let mut entry = Map::new();
            if let Some(name) = &project.name {
                entry.insert("name".to_owned(), json!(name));
            }
            if let Some(version) = &project.version {
                entry.insert("version".to_owned(), json!(version));
            }
            if project.has_modules_directory {
                entry.insert("hasModulesDir".to_owned(), json!(true));
            }
            (directory.to_string(), Value::Object(entry))
        })
        .collect();
    let mut fields = json!({
        "lastValidatedTimestamp": state.last_validated.as_millisecond(),
        "projects": projects,
        "pnpmfiles": state.pnpmfiles,
        "filteredInstall": state.filtered_install,
    });
    if let Some(packages) = state.config_packages {
        fields["configDependencies"] = packages.clone();
    }
    fields["settings"] = json!(state.settings);
    let mut bytes = pretty(&fields);
    bytes.push(b'\n');
    bytes
}

/// Two spaces of indentation, as `JSON.stringify(…, null, 2)`.
fn pretty(value: &Value) -> Vec<u8> {
    serde_json::to_vec_pretty(value).expect("invariant: a tree of JSON values can be written")
}

/// The state files, ready to be placed.
#[derive(Debug, Clone, Default)]
pub struct StateFiles {
    /// See [`modules_yaml`].
    pub modules_yaml: Vec<u8>,
    /// See [`workspace_state`].
    pub workspace_state: Vec<u8>,
    /// `.pnpm/lock.yaml`, the lockfile reduced to what is installed; `None` where no project has a
    /// dependency.
    pub current_lockfile: Option<Vec<u8>>,
}

impl BuiltLayout {
    /// Puts the state files into the root project's tree.
    ///
    /// # Errors
    /// Where they are there already.
    pub fn insert_state_files(&mut self, files: StateFiles) -> Result<(), LayoutError> {
        let Some(root) = self.layout.trees.first().map(|tree| tree.root) else {
            return Ok(());
        };
        let mut tree = TreeBuilder {
            layout: std::mem::take(&mut self.layout),
        };
        let result = insert_all(&mut tree, root, files);
        self.layout = tree.layout;
        result
    }
}

impl BuiltLayout {
    /// Puts links to packages of configuration into the root project's tree.
    ///
    /// # Errors
    /// Something is there already.
    pub fn insert_config_packages<'a>(
        &mut self,
        links: impl Iterator<Item = (&'a PackageName, String)>,
    ) -> Result<(), LayoutError> {
        let mut links = links.peekable();
        let root = self.layout.trees.first().map(|tree| tree.root);
        let (Some(root), Some(_)) = (root, links.peek()) else {
            return Ok(());
        };
        let mut tree = TreeBuilder {
            layout: std::mem::take(&mut self.layout),
        };
        let directory = tree.directory(root, CONFIG_PACKAGES_NAME);
        let result = directory.and_then(|directory| {
            links.try_for_each(|(name, target)| tree.link(directory, name, &target))
        });
        self.layout = tree.layout;
        result
    }
}

fn insert_all(
    tree: &mut TreeBuilder,
    root: super::model::DirectoryIndex,
    files: StateFiles,
) -> Result<(), LayoutError> {
    let file = |content: Vec<u8>| LayoutEntry::File {
        content: content.into(),
        executable: false,
    };
    tree.insert(root, ".modules.yaml", file(files.modules_yaml))?;
    tree.insert(root, WORKSPACE_STATE_NAME, file(files.workspace_state))?;
    if let Some(lockfile) = files.current_lockfile {
        let store = tree.directory(root, ".pnpm")?;
        tree.insert(store, "lock.yaml", file(lockfile))?;
    }
    Ok(())
}
