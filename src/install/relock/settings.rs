//! The settings of a resolution, out of the configuration.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::sync::Arc;

use indexmap::IndexMap;
use rustc_hash::FxHashSet;
use serde_json::Value;

use super::error::RelockError;
use crate::install::config::{Config, ResolutionMode};
use crate::install::foreign::{Pinned, Versions};
use crate::install::locked::Patches;
use crate::install::lockfile::{Lockfile, Reference, package_extensions_checksum};
use crate::install::manifest::Manifest;
use crate::install::metadata::VersionManifest;
use crate::install::overrides;
use crate::install::pick::{Selector, SpecifierContext, WEIGHT_DIRECT, WEIGHT_LOCKED};
use crate::install::pnpmfile::PnpmfileHooks;
use crate::install::resolve::{
    Hooks, PatchKeys, Preferences, PreferredFrom, ProjectPreferences, RecordedSettings,
    ResolveProject, Settings, Update, WorkspacePackage, WorkspacePackages,
};
use crate::install::workspace::Project;
use crate::name::PackageName;
use crate::report::Reporter;

/// Weight of a version that another installer pins.
const WEIGHT_PINNED: u64 = WEIGHT_DIRECT;

/// Weight of a version that the user named: more than all others together.
const WEIGHT_REQUESTED: u64 = 1_000 * WEIGHT_DIRECT;

/// What the lockfile records of the settings.
pub(super) fn recorded(
    config: &Config,
    projects: &[Project],
    patches: &Patches,
) -> RecordedSettings {
    let graph = &config.graph;
    let root = projects.iter().find(|project| project.id.0.is_none());
    let mut patched: Vec<(Box<str>, Box<str>)> = patches
        .iter()
        .map(|patch| (patch.key.clone(), patch.hash.clone()))
        .collect();
    patched.sort();
    let extensions = Value::Object(graph.package_extensions.clone());
    RecordedSettings {
        auto_install_peers: config.lockfile.auto_install_peers,
        dedupe_peers: config.lockfile.dedupe_peers,
        adds_peer_types: config.lockfile.adds_peer_types,
        scoped_optional_peers: config.lockfile.scoped_optional_peers,
        exclude_links: config.lockfile.exclude_links,
        inject_workspace_packages: config.lockfile.inject_workspace_packages,
        peers_suffix_max_length: config.lockfile.peers_suffix_max_length as u64,
        overrides: overrides::resolved(config, root.map(|project| &project.manifest)),
        package_extensions_checksum: package_extensions_checksum(&extensions).map(Into::into),
        pnpmfile_checksum: None,
        patched_dependencies: patched.into_iter().collect::<IndexMap<_, _>>(),
        ignored_optional_dependencies: graph
            .ignored_optional_dependencies
            .iter()
            .map(|pattern| pattern.as_str().into())
            .collect(),
        catalogs: graph.catalogs.clone(),
    }
}

/// The projects as they are resolved, with hooks applied, and whether overrides changed what any
/// depends on.
pub(super) fn projects(
    projects: &[Project],
    hooks: &Hooks,
) -> Result<(Vec<ResolveProject>, bool), RelockError> {
    let read = |project: &Project| {
        let directory = project.directory.clone();
        ResolveProject::new(project.id.clone(), directory, &project.manifest)
    };
    let mut all: Vec<ResolveProject> = projects.iter().map(read).collect();
    let mut manifests: Vec<_> = all
        .iter_mut()
        .map(|one| (&*one.directory, &mut one.recorded))
        .collect();
    let are_overridden = hooks.apply_to_projects(&mut manifests)?;
    Ok((all, are_overridden))
}

/// What changes manifests.
pub(super) fn hooks(
    config: &Config,
    recorded: &RecordedSettings,
    pnpmfile: Option<Arc<PnpmfileHooks>>,
) -> Result<Hooks, RelockError> {
    for (key, value) in &recorded.overrides {
        if let Some(name) = value.strip_prefix('$') {
            return Err(RelockError::OverrideVersion { name: name.into() });
        }
        if let Some(selector) = overrides::invalid_selector(key) {
            return Err(RelockError::OverrideSelector { selector });
        }
    }
    Ok(Hooks::new(
        &config.graph.package_extensions,
        !config.graph.ignore_compatibility_db,
        overrides::parsed(&recorded.overrides, &recorded.catalogs),
        &recorded.ignored_optional_dependencies,
        config.lockfile_directory.clone(),
        pnpmfile,
    )?
    .with_peer_types(recorded.adds_peer_types))
}

/// Everything that a resolution depends on. `given` are the projects of the lockfile, and those
/// beside it.
pub(super) fn settings(
    config: &Config,
    given: (&[Project], &[Project]),
    patches: &Patches,
    preferences: ProjectPreferences,
    hooks: Hooks,
    reporter: &Arc<dyn Reporter>,
) -> Result<Settings, RelockError> {
    let (resolution, graph) = (&config.resolution, &config.graph);
    let patch_keys = patches.iter().map(|patch| (&*patch.key, &*patch.hash));
    Ok(Settings {
        lockfile_directory: config.lockfile_directory.clone(),
        auto_install_peers: config.lockfile.auto_install_peers,
        highest_match_of_peers: graph.peers_from_highest_match,
        dedupe_peers: config.lockfile.dedupe_peers,
        scoped_optional_peers: config.lockfile.scoped_optional_peers,
        dedupe_peer_dependents: graph.dedupe_peer_dependents,
        dedupe_injected_deps: graph.dedupe_injected_deps,
        peers_from_root: graph.peers_from_workspace_root,
        exclude_links: config.lockfile.exclude_links,
        inject_workspace_packages: config.lockfile.inject_workspace_packages,
        suffix_length_max: config.lockfile.peers_suffix_max_length,
        link_workspace_packages: graph.link_workspace_packages,
        links_deep: graph.links_deep,
        prefer_workspace_packages: graph.prefer_workspace_packages,
        block_exotic_subdeps: graph.block_exotic_subdeps,
        // Another project may need one that this does not.
        allows_unused_patches: graph.allow_unused_patches || config.has_lockfiles_apart(),
        lowest_direct: resolution.mode != ResolutionMode::Highest,
        time_based: resolution.mode == ResolutionMode::TimeBased,
        catalogs: graph.catalogs.clone(),
        patches: PatchKeys::new(patch_keys)?,
        specifiers: specifiers(config),
        workspace: workspace(given.0.iter().chain(given.1)),
        hooks,
        preferences,
        reporter: Arc::clone(reporter),
    })
}

/// How specifiers are read.
pub(super) fn specifiers(config: &Config) -> SpecifierContext {
    SpecifierContext {
        default_tag: config.resolution.default_tag.as_str().into(),
        registry: config.registries.default_registry().ok(),
        named_registries: config.registries.prefixes().map(Into::into).collect(),
    }
}

/// Whether a lockfile was made with the same settings: then whatever it has below a dependency is
/// what would be chosen again.
pub(super) fn is_same(previous: &Lockfile, now: &RecordedSettings) -> bool {
    let is_catalog_same = previous.catalogs.iter().all(|(name, catalog)| {
        catalog.iter().all(|(alias, entry)| {
            let current = now
                .catalogs
                .get(&**name)
                .and_then(|catalog| catalog.get(&**alias));
            current.is_some_and(|current| **current == *entry.specifier)
        })
    });
    let flag = |key: &str| {
        let settings = previous.settings.as_ref();
        settings
            .and_then(|settings| settings.get(key))
            .and_then(Value::as_bool)
    };
    let sorted = |list: &[Box<str>]| {
        let mut list = list.to_vec();
        list.sort();
        list
    };
    is_catalog_same
        && previous.overrides == now.overrides
        && previous.package_extensions_checksum == now.package_extensions_checksum
        && previous.pnpmfile_checksum == now.pnpmfile_checksum
        && sorted(&previous.ignored_optional_dependencies)
            == sorted(&now.ignored_optional_dependencies)
        && flag("autoInstallPeers").is_none_or(|flag| flag == now.auto_install_peers)
        && flag("dedupePeers").unwrap_or(false) == now.dedupe_peers
        && flag("addMissingPeerTypes").unwrap_or(false) == now.adds_peer_types
        && flag("projectScopedOptionalPeers").unwrap_or(false) == now.scoped_optional_peers
}

/// The projects that others may depend on.
fn workspace<'p>(projects: impl Iterator<Item = &'p Project>) -> WorkspacePackages {
    let mut packages = WorkspacePackages::default();
    for project in projects {
        let manifest = &project.manifest;
        let name = manifest.name.as_deref().map(PackageName::new);
        let Some(Ok(name)) = name else {
            continue;
        };
        let json = Manifest::read_bytes(&project.directory).ok().flatten();
        let json = json.unwrap_or_else(|| b"{}".to_vec());
        let Ok(mut package) = VersionManifest::of_package(&json, &name) else {
            continue;
        };
        package.name = name;
        let published = manifest
            .publish_directory
            .as_deref()
            .filter(|_| manifest.link_publish_directory);
        let directory = match published {
            Some(below) => project.directory.join(below),
            None => project.directory.clone(),
        };
        packages.add(WorkspacePackage {
            directory,
            manifest: Arc::new(package),
        });
    }
    packages
}

/// The lockfile without what overrides that are gone were about: that is chosen anew.
pub(super) fn without_released<'a>(
    previous: Option<&'a Lockfile>,
    now: &RecordedSettings,
) -> Option<Cow<'a, Lockfile>> {
    let previous = previous?;
    let gone = previous
        .overrides
        .keys()
        .filter(|key| !now.overrides.contains_key(*key));
    let released: FxHashSet<Box<str>> = gone
        .filter_map(|key| overrides::whole_target(key))
        .collect();
    if released.is_empty() {
        return Some(Cow::Borrowed(previous));
    }
    let is_kept = |reference: &Reference| match reference {
        Reference::Package(path) => !released.contains(path.name_str()),
        Reference::Link(_) => true,
    };
    let mut left = previous.clone();
    for importer in left.importers.values_mut() {
        for group in importer.groups_mut() {
            group.retain(|_, dependency| is_kept(&dependency.reference));
        }
    }
    left.snapshots
        .retain(|path, _| !released.contains(path.name_str()));
    for snapshot in left.snapshots.values_mut() {
        snapshot
            .dependencies
            .retain(|_, reference| is_kept(reference));
        snapshot
            .optional_dependencies
            .retain(|_, reference| is_kept(reference));
    }
    Some(Cow::Owned(left))
}

/// What a project asks for and what the lockfile has is preferred; the latter not of what is
/// updated. What a project has as peers only is preferred as all projects ask for it, and where
/// versions are to be as few as possible (`dedupes`), so is everything.
pub(super) fn preferences(
    config: &Config,
    projects: &[ResolveProject],
    dedupes: bool,
    (previous, requested): (Option<&Lockfile>, &[(PackageName, Selector)]),
) -> ProjectPreferences {
    let mut sorted: Vec<&ResolveProject> = projects.iter().collect();
    sorted.sort_by(|left, right| left.id.as_str().cmp(right.id.as_str()));
    let mut all = Preferences::default();
    for project in projects {
        add_declared(&mut all, project, &config.graph.catalogs);
    }
    let all = Arc::new(all);
    // Where nothing is updated, what was named is added: whoever asks for it anew gets it.
    let is_addition = projects
        .iter()
        .all(|project| project.update == Update::Nothing);
    let of = |project: &&ResolveProject| match dedupes {
        true => Arc::clone(&all),
        false => {
            let mut own = own(project, &all, &config.graph.catalogs);
            for (name, selector) in requested.iter().filter(|_| is_addition) {
                put(&mut own, name.as_str(), selector.clone(), WEIGHT_REQUESTED);
            }
            Arc::new(own)
        }
    };
    let declared = sorted.iter().map(of).collect();
    let updated = sorted.iter().enumerate();
    let updated = updated.filter(|(_, project)| project.update != Update::Nothing);
    let locked_of = updated.map(|(at, project)| {
        let mut locked = locked(previous, &project.update);
        for (name, selector) in requested {
            put(
                &mut locked,
                name.as_str(),
                selector.clone(),
                WEIGHT_REQUESTED,
            );
        }
        (at, locked)
    });
    ProjectPreferences {
        declared,
        locked: locked(previous, &Update::Nothing),
        locked_of: locked_of.collect(),
        from: PreferredFrom::Project,
    }
}

/// The projects; where versions are to be as few as possible (`dedupes`), all is chosen anew, and
/// the lockfile says which peers were taken.
pub(super) fn updated(mut projects: Vec<ResolveProject>, dedupes: bool) -> Vec<ResolveProject> {
    for project in projects.iter_mut().filter(|_| dedupes) {
        project.update = Update::Everything(None);
    }
    projects
}

/// What a project asks for itself, and of what it has as a peer only, what all ask for.
fn own(project: &ResolveProject, all: &Preferences, catalogs: &Catalogs) -> Preferences {
    let mut own = Preferences::default();
    let manifest = &project.recorded;
    for name in manifest.peer_dependencies.keys() {
        if let Some(selectors) = all.get(name) {
            own.insert(name.clone(), selectors.clone());
        }
    }
    for group in groups(project) {
        for name in group.keys() {
            own.remove(name);
        }
    }
    add_declared(&mut own, project, catalogs);
    own
}

fn groups(project: &ResolveProject) -> [&BTreeMap<Box<str>, Box<str>>; 3] {
    let manifest = &project.recorded;
    [
        &manifest.dev_dependencies,
        &manifest.dependencies,
        &manifest.optional_dependencies,
    ]
}

/// Catalog → alias → specifier.
type Catalogs = IndexMap<String, IndexMap<String, String>>;

/// What a project asks for, with the entries of `catalogs` in place.
fn add_declared(preferences: &mut Preferences, project: &ResolveProject, catalogs: &Catalogs) {
    for (name, specifier) in groups(project).into_iter().flatten() {
        let entry = || {
            let catalog = specifier.strip_prefix("catalog:")?.trim();
            let catalog = if catalog.is_empty() {
                "default"
            } else {
                catalog
            };
            catalogs.get(catalog)?.get(&**name)
        };
        let specifier = entry().map_or(&**specifier, String::as_str);
        if let Some(selector) = Selector::parse(specifier) {
            put(preferences, name, selector, WEIGHT_DIRECT);
        }
    }
}

/// What another installer's lockfile pins is preferred, and nothing else.
pub(super) fn pinned(projects: &[ResolveProject], pinned: &Pinned) -> ProjectPreferences {
    let locked: Preferences = selectors(&pinned.all).collect();
    let mut sorted: Vec<&ResolveProject> = projects.iter().collect();
    sorted.sort_by(|left, right| left.id.as_str().cmp(right.id.as_str()));
    let own = sorted.iter().enumerate().filter_map(|(at, project)| {
        let mut own = locked.clone();
        own.extend(selectors(pinned.own.get(&project.id)?));
        Some((at, own))
    });
    ProjectPreferences {
        declared: Vec::new(),
        locked_of: own.collect(),
        locked,
        from: match pinned.before_tags {
            true => PreferredFrom::PinnedTags,
            false => PreferredFrom::Pinned,
        },
    }
}

fn selectors(versions: &Versions) -> impl Iterator<Item = (Box<str>, Vec<(Selector, u64)>)> {
    versions.iter().map(|(name, versions)| {
        let versions = versions.iter();
        let selectors = versions.map(|one| (Selector::Version(one.clone()), WEIGHT_PINNED));
        (name.into(), selectors.collect())
    })
}

fn put(preferences: &mut Preferences, name: &str, selector: Selector, weight: u64) {
    let known = preferences.entry(name.into()).or_default();
    match known
        .iter_mut()
        .find(|(other, _)| other.as_str() == selector.as_str())
    {
        Some(entry) => *entry = (selector, weight),
        None => known.push((selector, weight)),
    }
}

/// The versions that the lockfile has.
pub(super) fn locked(previous: Option<&Lockfile>, update: &Update) -> Preferences {
    let mut all = Preferences::default();
    let snapshots = previous
        .into_iter()
        .flat_map(|previous| previous.snapshots.keys());
    for path in snapshots.filter(|path| path.is_from_registry()) {
        if update.concerns_name(path.name_str()) {
            continue;
        }
        if let Some(selector @ Selector::Version(_)) = Selector::parse(path.version()) {
            put(&mut all, path.name_str(), selector, WEIGHT_LOCKED);
        }
    }
    all
}
