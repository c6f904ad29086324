//! Whether a lockfile is up to date with settings and manifests, for installs that must not change
//! it (`--frozen-lockfile`).

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use indexmap::IndexMap;
use serde_json::Value as Json;

use super::manifest_drift::{self, ManifestDrift};
use super::{DependencyGroup, ImporterId, Lockfile, Resolution};
use crate::diagnostic::Diagnostic;
use crate::name::escaped;

/// `peersSuffixMaxLength` where it is not set.
pub const PEERS_SUFFIX_LENGTH_DEFAULT: u16 = 1000;

/// Alias → specifier.
pub type Specifiers = BTreeMap<Box<str>, Box<str>>;

/// What a `package.json` says that the lockfile depends on, with overrides, package extensions and
/// pnpmfile hooks applied.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct ProjectManifest {
    /// `name`.
    pub name: Option<Box<str>>,
    /// `version`.
    pub version: Option<Box<str>>,
    /// `dependencies`.
    pub dependencies: Specifiers,
    /// `devDependencies`.
    pub dev_dependencies: Specifiers,
    /// `optionalDependencies`.
    pub optional_dependencies: Specifiers,
    /// `peerDependencies`.
    pub peer_dependencies: Specifiers,
    /// What is `optional` in `peerDependenciesMeta`.
    pub optional_peers: BTreeSet<Box<str>>,
    /// `dependenciesMeta`.
    pub dependencies_meta: Option<Json>,
    /// `publishConfig.directory`.
    pub publish_directory: Option<Box<str>>,
    /// `publishConfig.linkDirectory` is false, and there is a directory.
    pub links_project: bool,
}

impl ProjectManifest {
    /// In which group a dependency counts, and how it is asked for. Peers count where they are
    /// installed too (`with_peers`).
    pub fn declared(&self, alias: &str, with_peers: bool) -> Option<(DependencyGroup, &str)> {
        use DependencyGroup::{Development, Optional, Production};
        let peers = with_peers.then_some((Production, &self.peer_dependencies));
        let groups = [
            Some((Optional, &self.optional_dependencies)),
            Some((Production, &self.dependencies)),
            Some((Development, &self.dev_dependencies)),
            peers,
        ];
        let mut groups = groups.into_iter().flatten();
        groups.find_map(|(group, specifiers)| Some((group, &**specifiers.get(alias)?)))
    }
}

/// The settings that a lockfile records, as they are now.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LockfileSettings {
    /// `autoInstallPeers`.
    pub auto_install_peers: bool,
    /// `dedupePeers`.
    pub dedupe_peers: bool,
    /// `addMissingPeerTypes`.
    pub adds_peer_types: bool,
    /// `projectScopedOptionalPeers`.
    pub scoped_optional_peers: bool,
    /// `excludeLinksFromLockfile`.
    pub exclude_links_from_lockfile: bool,
    /// `injectWorkspacePackages`.
    pub inject_workspace_packages: bool,
    /// `peersSuffixMaxLength`.
    pub peers_suffix_max_length: u64,
    /// `overrides`, with `$name` and `catalog:` replaced by what they stand for.
    pub overrides: IndexMap<Box<str>, Box<str>>,
    /// See [`package_extensions_checksum`](super::package_extensions_checksum).
    pub package_extensions_checksum: Option<Box<str>>,
    /// See [`pnpmfile_checksum`](super::pnpmfile_checksum).
    pub pnpmfile_checksum: Option<Box<str>>,
    /// Key → hash of the patch file, see [`patch_file_hash`](super::patch_file_hash).
    pub patched_dependencies: BTreeMap<Box<str>, Box<str>>,
    /// `ignoredOptionalDependencies`: patterns.
    pub ignored_optional_dependencies: Vec<Box<str>>,
    /// Catalog → alias → specifier.
    pub catalogs: BTreeMap<Box<str>, Specifiers>,
}

impl Default for LockfileSettings {
    /// pnpm's defaults.
    fn default() -> Self {
        Self {
            auto_install_peers: true,
            dedupe_peers: false,
            adds_peer_types: false,
            scoped_optional_peers: false,
            exclude_links_from_lockfile: false,
            inject_workspace_packages: false,
            peers_suffix_max_length: PEERS_SUFFIX_LENGTH_DEFAULT.into(),
            overrides: IndexMap::new(),
            package_extensions_checksum: None,
            pnpmfile_checksum: None,
            patched_dependencies: BTreeMap::new(),
            ignored_optional_dependencies: Vec::new(),
            catalogs: BTreeMap::new(),
        }
    }
}

/// Why a frozen install is refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum FrozenError {
    /// A setting is not what it was when the lockfile was written.
    #[error(
        "the setting {setting:?} does not match the lockfile: the lockfile has {in_lockfile}, \
         now it is {now}"
    )]
    ConfigMismatch {
        /// In the words of pnpm.
        setting: &'static str,
        /// What the lockfile has, made safe to print.
        in_lockfile: String,
        /// What is set, made safe to print.
        now: String,
    },
    /// A manifest is not what it was.
    #[error("the lockfile is not up to date with {manifest}: {drift}")]
    Outdated {
        /// Path of the `package.json`, relative to the lockfile's directory.
        manifest: String,
        /// How they differ.
        #[source]
        drift: ManifestDrift,
    },
}

impl Diagnostic for FrozenError {
    fn code(&self) -> &'static str {
        match self {
            Self::ConfigMismatch { .. } => "ERR_PNPM_LOCKFILE_CONFIG_MISMATCH",
            Self::Outdated { .. } => "ERR_PNPM_OUTDATED_LOCKFILE",
        }
    }

    fn hint(&self) -> Option<String> {
        Some("Update the lockfile with `pacquet install --lockfile-only`".to_owned())
    }
}

/// Checks that `lockfile` is what resolving would find, as far as can be told without the network.
///
/// # Errors
/// The first difference, in pnpm's order: settings, then manifests in the order given.
pub fn check_frozen(
    lockfile: &Lockfile,
    settings: &LockfileSettings,
    projects: &[(ImporterId, ProjectManifest)],
) -> Result<(), FrozenError> {
    check_settings(lockfile, settings)?;
    for (id, manifest) in projects {
        let outdated = |drift| FrozenError::Outdated {
            manifest: match &id.0 {
                None => "package.json".to_owned(),
                Some(path) => format!("{path}/package.json"),
            },
            drift,
        };
        let importer = lockfile.importers.get(id);
        manifest_drift::check_importer(importer, manifest, settings).map_err(outdated)?;
        if let Some(importer) = importer {
            manifest_drift::check_links(id, importer, projects).map_err(outdated)?;
        }
    }
    Ok(())
}

/// Checks that the directories that are packages still have the dependencies that the lockfile has
/// for them. `manifests` are theirs, by directory.
///
/// # Errors
/// The first difference, in the lockfile's order.
pub fn check_directories(
    lockfile: &Lockfile,
    settings: &LockfileSettings,
    manifests: &BTreeMap<Box<str>, ProjectManifest>,
) -> Result<(), FrozenError> {
    for (dep_path, snapshot) in &lockfile.snapshots {
        let Some(package) = lockfile.packages.get(dep_path.package_id_str()) else {
            continue;
        };
        let Resolution::Directory { directory } = &package.resolution else {
            continue;
        };
        // What was deployed is named so. The workspace from which it comes says what its overrides
        // make of it, and its lockfile fitted.
        if dep_path.version().starts_with("file:///") {
            continue;
        }
        if let Some(manifest) = manifests.get(directory) {
            let has_all = manifest_drift::check_directory(snapshot, manifest, settings);
            let checked =
                has_all.and_then(|()| manifest_drift::check_peers(package, manifest, settings));
            checked.map_err(|drift| FrozenError::Outdated {
                manifest: escaped(&format!("{directory}/package.json")),
                drift,
            })?;
        }
    }
    Ok(())
}

/// Refuses where `now` differs from what the lockfile has.
fn compare<T: PartialEq>(
    setting: &'static str,
    in_lockfile: &T,
    now: &T,
    show: impl Fn(&T) -> String,
) -> Result<(), FrozenError> {
    if in_lockfile == now {
        return Ok(());
    }
    Err(FrozenError::ConfigMismatch {
        setting,
        in_lockfile: show(in_lockfile),
        now: show(now),
    })
}

fn check_settings(lockfile: &Lockfile, now: &LockfileSettings) -> Result<(), FrozenError> {
    check_catalogs(lockfile, now)?;
    let unordered = |overrides: &IndexMap<Box<str>, Box<str>>| -> Specifiers {
        overrides
            .iter()
            .map(|(key, value)| (key.clone(), value.clone()))
            .collect()
    };
    compare(
        "overrides",
        &unordered(&lockfile.overrides),
        &unordered(&now.overrides),
        show_map,
    )?;
    compare(
        "packageExtensionsChecksum",
        &lockfile.package_extensions_checksum,
        &now.package_extensions_checksum,
        show_option,
    )?;
    let sorted = |list: &[Box<str>]| {
        let mut list = list.to_vec();
        list.sort();
        list
    };
    compare(
        "ignoredOptionalDependencies",
        &sorted(&lockfile.ignored_optional_dependencies),
        &sorted(&now.ignored_optional_dependencies),
        |list| escaped(&list.join(", ")),
    )?;
    compare(
        "patchedDependencies",
        &unordered(&lockfile.patched_dependencies),
        &now.patched_dependencies,
        show_map,
    )?;
    check_recorded_settings(lockfile, now)
}

/// What stands under `settings`, and the pnpmfile in between, in pnpm's order.
fn check_recorded_settings(lockfile: &Lockfile, now: &LockfileSettings) -> Result<(), FrozenError> {
    let recorded = |key: &str| lockfile.settings.as_ref()?.get(key);
    let flag = |key: &str| recorded(key).and_then(Json::as_bool);
    // A lockfile without these two was written before they were recorded.
    if let Some(in_lockfile) = flag("autoInstallPeers") {
        let setting = "settings.autoInstallPeers";
        compare(setting, &in_lockfile, &now.auto_install_peers, show)?;
    }
    let dedupe_peers = flag("dedupePeers").unwrap_or(false);
    compare(
        "settings.dedupePeers",
        &dedupe_peers,
        &now.dedupe_peers,
        show,
    )?;
    let adds_peer_types = flag("addMissingPeerTypes").unwrap_or(false);
    compare(
        "settings.addMissingPeerTypes",
        &adds_peer_types,
        &now.adds_peer_types,
        show,
    )?;
    let scoped = flag("projectScopedOptionalPeers").unwrap_or(false);
    compare(
        "settings.projectScopedOptionalPeers",
        &scoped,
        &now.scoped_optional_peers,
        show,
    )?;
    if let Some(in_lockfile) = flag("excludeLinksFromLockfile") {
        let setting = "settings.excludeLinksFromLockfile";
        compare(
            setting,
            &in_lockfile,
            &now.exclude_links_from_lockfile,
            show,
        )?;
    }
    let length = recorded("peersSuffixMaxLength").and_then(Json::as_u64);
    let length = length.unwrap_or(PEERS_SUFFIX_LENGTH_DEFAULT.into());
    compare(
        "settings.peersSuffixMaxLength",
        &length,
        &now.peers_suffix_max_length,
        show,
    )?;
    let pnpmfile = &lockfile.pnpmfile_checksum;
    compare(
        "pnpmfileChecksum",
        pnpmfile,
        &now.pnpmfile_checksum,
        show_option,
    )?;
    let inject = flag("injectWorkspacePackages").unwrap_or(false);
    compare(
        "settings.injectWorkspacePackages",
        &inject,
        &now.inject_workspace_packages,
        show,
    )
}

/// Every entry that the lockfile used must still say the same; others may come and go.
fn check_catalogs(lockfile: &Lockfile, now: &LockfileSettings) -> Result<(), FrozenError> {
    for (name, entries) in &lockfile.catalogs {
        for (alias, entry) in entries {
            let current = now
                .catalogs
                .get(name)
                .and_then(|catalog| catalog.get(alias));
            let in_lockfile = Some(entry.specifier.clone());
            compare("catalogs", &in_lockfile, &current.cloned(), |specifier| {
                format!(
                    "{}.{}: {}",
                    escaped(name),
                    escaped(alias),
                    show_option(specifier)
                )
            })?;
        }
    }
    Ok(())
}

fn show<T: fmt::Display>(value: &T) -> String {
    value.to_string()
}

fn show_option(value: &Option<Box<str>>) -> String {
    value
        .as_deref()
        .map_or_else(|| "nothing".to_owned(), escaped)
}

fn show_map(map: &Specifiers) -> String {
    if map.is_empty() {
        return "nothing".to_owned();
    }
    let entries = map
        .iter()
        .map(|(key, value)| format!("{}: {}", escaped(key), escaped(value)));
    entries.collect::<Vec<_>>().join(", ")
}

#[cfg(test)]
#[path = "frozen/tests.rs"]
mod tests;
