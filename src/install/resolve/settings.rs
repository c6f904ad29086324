//! What the result depends on beside manifests, lockfile and registries.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use indexmap::IndexMap;
use node_semver::{Range, Version};
use rustc_hash::{FxHashMap, FxHashSet};

use super::error::{ResolveError, ResolveFault};
use super::hooks::Hooks;
use super::local::{DIRECTORY_PROTOCOLS, WorkspacePackages, relative_text};
use super::peers::PeerOptions;
use crate::install::pick::{Preferred, Selector, SpecifierContext};
use crate::name::{PackageName, escaped};
use crate::report::{Event, Reporter};

/// Preferences: package → selector and weight.
pub type Preferences = FxHashMap<Box<str>, Vec<(Selector, u64)>>;

/// What is preferred for each project.
#[derive(Debug, Default)]
pub struct ProjectPreferences {
    /// What manifests ask for, by place of the project.
    pub declared: Vec<Arc<Preferences>>,
    /// Versions that a lockfile has.
    pub locked: Preferences,
    /// The same of projects for which it is another: for example, something is updated for them.
    pub locked_of: FxHashMap<usize, Preferences>,
    /// Where they come from.
    pub from: PreferredFrom,
}

impl ProjectPreferences {
    /// What the manifests that count for a project ask for of `name`.
    pub(super) fn declared(&self, project: usize, name: &str) -> &[(Selector, u64)] {
        let declared = self.declared.get(project).and_then(|all| all.get(name));
        declared.map_or(&[], Vec::as_slice)
    }

    /// The project itself, where its preferences are not those of all.
    pub(super) fn own_place(&self, project: usize) -> Option<usize> {
        self.locked_of.contains_key(&project).then_some(project)
    }

    fn locked(&self, project: usize, name: &str) -> &[(Selector, u64)] {
        let locked = self.locked_of.get(&project).unwrap_or(&self.locked);
        locked.get(name).map_or(&[], Vec::as_slice)
    }
}

/// Where preferences come from.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum PreferredFrom {
    /// Manifests and the lockfile so far.
    #[default]
    Project,
    /// What another installer pins. A version that a level above has goes before others that are
    /// pinned, and for missing peers one that is chosen.
    Pinned,
    /// The same, and what is pinned goes before what a dist-tag names.
    PinnedTags,
}

/// Settings of one resolution.
pub struct Settings {
    /// Absolute.
    pub lockfile_directory: PathBuf,
    /// `autoInstallPeers`.
    pub auto_install_peers: bool,
    /// `autoInstallPeersFromHighestMatch`.
    pub highest_match_of_peers: bool,
    /// `dedupePeers`.
    pub dedupe_peers: bool,
    /// `projectScopedOptionalPeers`.
    pub scoped_optional_peers: bool,
    /// `dedupePeerDependents`.
    pub dedupe_peer_dependents: bool,
    /// `dedupeInjectedDeps`.
    pub dedupe_injected_deps: bool,
    /// `resolvePeersFromWorkspaceRoot`.
    pub peers_from_root: bool,
    /// `excludeLinksFromLockfile`.
    pub exclude_links: bool,
    /// `injectWorkspacePackages`.
    pub inject_workspace_packages: bool,
    /// `peersSuffixMaxLength`, bytes.
    pub suffix_length_max: usize,
    /// `linkWorkspacePackages`.
    pub link_workspace_packages: bool,
    /// `linkWorkspacePackages: deep`.
    pub links_deep: bool,
    /// `preferWorkspacePackages`.
    pub prefer_workspace_packages: bool,
    /// `blockExoticSubdeps`.
    pub block_exotic_subdeps: bool,
    /// `allowUnusedPatches`.
    pub allows_unused_patches: bool,
    /// `resolutionMode` is `lowest-direct` or `time-based`.
    pub lowest_direct: bool,
    /// `resolutionMode` is `time-based`.
    pub time_based: bool,
    /// Catalog → alias → specifier.
    pub catalogs: IndexMap<String, IndexMap<String, String>>,
    /// `patchedDependencies`.
    pub patches: PatchKeys,
    /// How specifiers are read.
    pub specifiers: SpecifierContext,
    /// The projects that may be depended on.
    pub workspace: WorkspacePackages,
    /// What changes manifests.
    pub hooks: Hooks,
    /// What is preferred.
    pub preferences: ProjectPreferences,
    /// Who is told of what is left out.
    pub reporter: Arc<dyn Reporter>,
}

impl Settings {
    /// Whether a project may take the place of a registry's package at this depth.
    pub(super) fn links_at(&self, depth: i32) -> bool {
        self.link_workspace_packages && (depth == 0 || self.links_deep)
    }

    /// What is preferred of `name` for a project. A version that is asked for exactly weighs no
    /// more where the lockfile has it too, unless a range that is asked for contains it.
    pub(super) fn preferred(&self, project: usize, name: &str) -> Preferred {
        let mut preferred = Preferred::none();
        for (selector, weight) in self.preferences.declared(project, name) {
            preferred.insert(selector.clone(), *weight);
        }
        for (selector, weight) in self.preferences.locked(project, name) {
            let weight = match preferred.weight(selector.as_str()) {
                None => *weight,
                Some(declared) if preferred.has_range_of(selector.as_str()) => declared + *weight,
                Some(declared) => declared,
            };
            preferred.insert(selector.clone(), weight);
        }
        preferred
    }

    /// What `catalog:` or `catalog:name` stands for in a manifest of `directory`.
    pub(super) fn catalog_specifier(
        &self,
        alias: &str,
        specifier: &str,
        directory: &Path,
    ) -> Result<Box<str>, ResolveFault> {
        let Some(name) = specifier.strip_prefix("catalog:") else {
            return Ok(specifier.into());
        };
        let name = match name.trim() {
            "" => "default",
            name => name,
        };
        let entry = self
            .catalogs
            .get(name)
            .and_then(|catalog| catalog.get(alias));
        let Some(entry) = entry else {
            return Err(ResolveFault::CatalogEntry {
                catalog: name.to_owned(),
                alias: alias.to_owned(),
            });
        };
        if entry.starts_with("catalog:") {
            return Err(ResolveFault::CatalogInCatalog {
                catalog: name.to_owned(),
                alias: alias.to_owned(),
            });
        }
        Ok(self.of_root(entry, directory))
    }

    /// A path that is relative to the root, as `directory` has it.
    fn of_root(&self, specifier: &str, directory: &Path) -> Box<str> {
        let root = &self.lockfile_directory;
        for protocol in DIRECTORY_PROTOCOLS {
            if let Some(path) = specifier.strip_prefix(protocol)
                && (protocol != "workspace:" || path.starts_with('.'))
                && Path::new(path).is_relative()
                && directory != root
            {
                let path = relative_text(directory, &root.join(path));
                let here = match path.starts_with("..") {
                    true => "",
                    false => "./",
                };
                return format!("{protocol}{here}{path}").into();
            }
        }
        specifier.into()
    }

    /// How suffixes look.
    pub(super) fn peer_options(&self) -> PeerOptions {
        PeerOptions {
            suffix_length_max: self.suffix_length_max,
            dedupe_peers: self.dedupe_peers,
            exclude_links: self.exclude_links,
            lockfile_directory: self.lockfile_directory.clone(),
        }
    }

    /// Refuses patches that no package needs.
    pub(super) fn check_patches(&self, used: &FxHashSet<Box<str>>) -> Result<(), ResolveError> {
        let keys = self.patches.unused(used);
        if keys.is_empty() || self.allows_unused_patches {
            return Ok(());
        }
        Err(ResolveFault::UnusedPatches { keys }.into())
    }

    /// Says that an optional dependency was left out.
    pub(super) fn skipped_optional(&self, alias: &PackageName, error: &impl std::fmt::Display) {
        let message = format!(
            "the optional dependency {} is left out: {}",
            escaped(alias.as_str()),
            error
        );
        self.reporter.report(&Event::Warning {
            code: "ERR_PACQUET_OPTIONAL_SKIPPED",
            message: &message,
        });
    }
}

/// Which patch a package gets.
#[derive(Debug, Default)]
pub struct PatchKeys {
    by_name: FxHashMap<Box<str>, Vec<PatchKey>>,
}

#[derive(Debug)]
struct PatchKey {
    key: Box<str>,
    which: Which,
    hash: Box<str>,
}

#[derive(Debug)]
enum Which {
    All,
    Version(Box<str>),
    Range(Range),
}

impl PatchKeys {
    /// From key and hash of every patch.
    ///
    /// # Errors
    /// What stands after the name is no range.
    pub fn new<'p>(
        patches: impl Iterator<Item = (&'p str, &'p str)>,
    ) -> Result<Self, ResolveFault> {
        let mut keys = Self::default();
        for (key, hash) in patches {
            let at = key
                .char_indices()
                .skip(1)
                .find(|(_, letter)| *letter == '@');
            let (name, which) = match at.map(|(at, _)| (&key[..at], &key[at + 1..])) {
                None => (key, Which::All),
                Some((name, "*")) => (name, Which::All),
                Some((name, text)) if Version::parse(text).is_ok() => {
                    (name, Which::Version(text.into()))
                }
                Some((name, text)) => {
                    let range = Range::parse(text).map_err(|_| ResolveFault::Selector {
                        setting: "patchedDependencies",
                        selector: key.to_owned(),
                        code: "ERR_PNPM_PATCH_NON_SEMVER_RANGE",
                    })?;
                    (name, Which::Range(range))
                }
            };
            keys.by_name.entry(name.into()).or_default().push(PatchKey {
                key: key.into(),
                which,
                hash: hash.into(),
            });
        }
        Ok(keys)
    }

    /// Key and hash of the patch for a version: exact before range before all.
    pub(super) fn of(
        &self,
        name: &str,
        version: &str,
    ) -> Result<Option<(Box<str>, Box<str>)>, ResolveFault> {
        let Some(keys) = self.by_name.get(name) else {
            return Ok(None);
        };
        let found = |key: &PatchKey| Some((key.key.clone(), key.hash.clone()));
        for key in keys {
            if matches!(&key.which, Which::Version(exact) if **exact == *version) {
                return Ok(found(key));
            }
        }
        let parsed = Version::parse(version).ok();
        let fits = |key: &&PatchKey| match (&key.which, &parsed) {
            (Which::Range(range), Some(version)) => range.satisfies(version),
            _ => false,
        };
        let fitting: Vec<&PatchKey> = keys.iter().filter(fits).collect();
        match fitting.as_slice() {
            [] => {}
            [one] => return Ok(found(one)),
            several => {
                return Err(ResolveFault::PatchConflict {
                    package: format!("{name}@{version}"),
                    keys: several.iter().map(|key| key.key.to_string()).collect(),
                });
            }
        }
        let all = keys.iter().find(|key| matches!(key.which, Which::All));
        Ok(all.and_then(found))
    }

    /// Keys that are not among `used`.
    pub(super) fn unused(&self, used: &FxHashSet<Box<str>>) -> Vec<String> {
        let mut unused: Vec<String> = self
            .by_name
            .values()
            .flatten()
            .filter(|key| !used.contains(&key.key))
            .map(|key| key.key.to_string())
            .collect();
        unused.sort();
        unused
    }
}
