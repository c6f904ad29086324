//! What is changed in manifests before anything else sees them: dependencies that packages forget
//! (`packageExtensions`, after those that are known to everybody), `overrides`, and optional
//! dependencies that nobody wants.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use node_semver::{Range, Version};
use rustc_hash::FxHashMap;
use serde_json::{Map, Value};

use super::error::ResolveFault;
use crate::install::layout::NamePatterns;
use crate::install::lockfile::{ProjectManifest, Specifiers};
use crate::install::manifest::DependencyMap;
use crate::install::metadata::VersionManifest;
use crate::install::overrides::{self, Override, Place};
use crate::install::pnpmfile::{PnpmfileError, PnpmfileHooks};
use crate::name::PackageName;

/// Packages that are known to forget dependencies; see the licence beside it.
const COMPATIBILITY: &str = include_str!("compatibility/packages.json");

/// What a package forgot.
#[derive(Debug, Clone, Default)]
struct Extension {
    /// Which versions; `None`: all.
    range: Option<Range>,
    dependencies: Vec<(PackageName, Box<str>)>,
    optional_dependencies: Vec<(PackageName, Box<str>)>,
    peer_dependencies: Vec<(PackageName, Box<str>)>,
    peer_dependencies_meta: Vec<(PackageName, bool)>,
}

/// Extensions by the name of the package.
type Extensions = FxHashMap<Box<str>, Vec<Extension>>;

/// Everything that changes manifests.
#[derive(Debug)]
pub struct Hooks {
    compatibility: Extensions,
    extensions: Extensions,
    overrides: Vec<Override>,
    ignored_optional: NamePatterns,
    ignores_optional: bool,
    /// `addMissingPeerTypes`: see [`add_types_of_peers`].
    adds_peer_types: bool,
    /// Paths in overrides are relative to this directory.
    root: PathBuf,
    pnpmfile: Option<Arc<PnpmfileHooks>>,
}

impl Hooks {
    /// From the settings.
    ///
    /// # Errors
    /// A selector of `packageExtensions` is none.
    pub(in crate::install) fn new(
        extensions: &Map<String, Value>,
        knows_compatibility: bool,
        overrides: Vec<Override>,
        ignored_optional: &[Box<str>],
        root: PathBuf,
        pnpmfile: Option<Arc<PnpmfileHooks>>,
    ) -> Result<Self, ResolveFault> {
        let mut compatibility = Extensions::default();
        if knows_compatibility {
            let known: Vec<(String, Value)> =
                serde_json::from_str(COMPATIBILITY).unwrap_or_default();
            for (selector, value) in &known {
                add_extension(&mut compatibility, selector, value)?;
            }
        }
        let mut own = Extensions::default();
        for (selector, value) in extensions {
            add_extension(&mut own, selector, value)?;
        }
        Ok(Self {
            compatibility,
            extensions: own,
            overrides,
            ignored_optional: NamePatterns::new(ignored_optional),
            ignores_optional: !ignored_optional.is_empty(),
            adds_peer_types: false,
            root,
            pnpmfile,
        })
    }

    /// The same, with `addMissingPeerTypes` as it is set.
    #[must_use]
    pub(in crate::install) fn with_peer_types(self, adds_peer_types: bool) -> Self {
        Self {
            adds_peer_types,
            ..self
        }
    }

    /// Whether a pnpmfile is asked about manifests.
    pub(super) fn has_pnpmfile(&self) -> bool {
        self.pnpmfile.is_some()
    }

    /// The hooks of pnpmfiles for packages, where there are any.
    fn read_package(&self) -> Option<&PnpmfileHooks> {
        let hooks = self.pnpmfile.as_deref();
        hooks.filter(|hooks| hooks.reads_packages())
    }

    /// The manifests of packages, each changed where a rule concerns it.
    ///
    /// # Errors
    /// A hook of a pnpmfile fails.
    pub(super) fn apply(
        &self,
        mut manifests: Vec<Arc<VersionManifest>>,
    ) -> Result<Vec<Arc<VersionManifest>>, ResolveFault> {
        if let Some(hooks) = self.read_package().filter(|_| !manifests.is_empty()) {
            let extended = manifests.into_iter().map(|one| self.extended(one));
            manifests = hooks.of_packages(&extended.collect::<Vec<_>>())?;
            return Ok(manifests
                .into_iter()
                .map(|one| self.overridden(one))
                .collect());
        }
        let manifests = manifests.into_iter();
        Ok(manifests
            .map(|one| self.overridden(self.extended(one)))
            .collect())
    }

    /// With what the package forgot.
    fn extended(&self, manifest: Arc<VersionManifest>) -> Arc<VersionManifest> {
        let name = manifest.name.as_str();
        let version = Version::parse(&*manifest.version).ok();
        let concerns = |extensions: &Extensions| {
            let entries = extensions.get(name).map_or(&[][..], Vec::as_slice);
            entries.iter().any(|entry| entry.fits(version.as_ref()))
        };
        let has_peers = self.adds_peer_types && !manifest.peer_dependencies.is_empty();
        if !has_peers && !concerns(&self.compatibility) && !concerns(&self.extensions) {
            return manifest;
        }
        let mut changed = (*manifest).clone();
        for extensions in [&self.compatibility, &self.extensions] {
            let entries = extensions.get(name).map_or(&[][..], Vec::as_slice);
            for entry in entries.iter().filter(|entry| entry.fits(version.as_ref())) {
                entry.extend(&mut changed);
            }
        }
        if self.adds_peer_types {
            add_types_of_peers(&mut changed);
        }
        Arc::new(changed)
    }

    /// With overrides, and without optional dependencies that nobody wants.
    fn overridden(&self, manifest: Arc<VersionManifest>) -> Arc<VersionManifest> {
        let is_concerned = overrides::concern(&self.overrides, &manifest)
            || (self.ignores_optional && !manifest.optional_dependencies.is_empty());
        if !is_concerned {
            return manifest;
        }
        let mut changed = (*manifest).clone();
        overrides::apply_to_package(&self.overrides, &self.root, &mut changed);
        self.drop_ignored(&mut changed);
        Arc::new(changed)
    }

    fn drop_ignored(&self, manifest: &mut VersionManifest) {
        if !self.ignores_optional {
            return;
        }
        let is_ignored = |name: &PackageName| self.ignored_optional.matches(name.as_str());
        let ignored: Vec<PackageName> = manifest
            .optional_dependencies
            .keys()
            .filter(|name| is_ignored(name))
            .cloned()
            .collect();
        for name in ignored {
            manifest.optional_dependencies.shift_remove(&name);
            manifest.dependencies.shift_remove(&name);
        }
    }

    /// Changes the manifests of projects, each with its directory, likewise. Says whether
    /// overrides, or what is ignored, changed what a project depends on.
    ///
    /// # Errors
    /// A hook of a pnpmfile fails.
    pub(in crate::install) fn apply_to_projects(
        &self,
        projects: &mut [(&Path, &mut ProjectManifest)],
    ) -> Result<bool, PnpmfileError> {
        for (_, manifest) in &mut *projects {
            self.extend_project(manifest);
        }
        if let Some(hooks) = self.read_package() {
            hooks.of_projects(projects)?;
        }
        let mut are_overridden = false;
        for (directory, manifest) in &mut *projects {
            let place = Place {
                root: &self.root,
                directory,
            };
            let before = dependencies(manifest);
            self.override_project(&place, manifest);
            are_overridden |= before != dependencies(manifest);
        }
        Ok(are_overridden)
    }

    /// What extensions make of a project.
    pub(in crate::install) fn extend_project(&self, manifest: &mut ProjectManifest) {
        let version = manifest
            .version
            .as_deref()
            .and_then(|text| Version::parse(text).ok());
        if let Some(name) = manifest.name.clone() {
            for extensions in [&self.compatibility, &self.extensions] {
                let entries = extensions.get(&*name).map_or(&[][..], Vec::as_slice);
                for entry in entries.iter().filter(|entry| entry.fits(version.as_ref())) {
                    entry.extend_project(manifest);
                }
            }
        }
    }

    fn override_project(&self, place: &Place<'_>, manifest: &mut ProjectManifest) {
        overrides::apply(&self.overrides, place, manifest);
        if self.ignores_optional {
            let ignored: Vec<Box<str>> = manifest
                .optional_dependencies
                .keys()
                .filter(|name| self.ignored_optional.matches(name))
                .cloned()
                .collect();
            for name in ignored {
                manifest.optional_dependencies.remove(&name);
                manifest.dependencies.remove(&name);
            }
        }
    }

    /// What the overrides make of a peer that a project gets without declaring it.
    pub(super) fn of_undeclared(
        &self,
        directory: &Path,
        name: &str,
        range: &str,
    ) -> Option<Box<str>> {
        let place = Place {
            root: &self.root,
            directory,
        };
        overrides::of_undeclared(&self.overrides, &place, name, range)
    }
}

/// What a project depends on.
fn dependencies(manifest: &ProjectManifest) -> [Specifiers; 3] {
    [
        manifest.dependencies.clone(),
        manifest.dev_dependencies.clone(),
        manifest.optional_dependencies.clone(),
    ]
}

impl Extension {
    fn fits(&self, version: Option<&Version>) -> bool {
        self.range
            .as_ref()
            .is_none_or(|range| version.is_some_and(|version| range.satisfies(version)))
    }

    fn extend(&self, manifest: &mut VersionManifest) {
        let add = |map: &mut DependencyMap, more: &[(PackageName, Box<str>)]| {
            for (name, text) in more {
                map.entry(name.clone()).or_insert_with(|| text.clone());
            }
        };
        add(&mut manifest.dependencies, &self.dependencies);
        add(
            &mut manifest.optional_dependencies,
            &self.optional_dependencies,
        );
        add(&mut manifest.peer_dependencies, &self.peer_dependencies);
        for (name, optional) in &self.peer_dependencies_meta {
            let meta = &mut manifest.peer_dependencies_meta;
            meta.entry(name.clone()).or_insert(*optional);
        }
    }

    fn extend_project(&self, manifest: &mut ProjectManifest) {
        for (map, more) in [
            (&mut manifest.dependencies, &self.dependencies),
            (
                &mut manifest.optional_dependencies,
                &self.optional_dependencies,
            ),
            (&mut manifest.peer_dependencies, &self.peer_dependencies),
        ] {
            for (name, text) in more {
                map.entry(name.as_str().into())
                    .or_insert_with(|| text.clone());
            }
        }
    }
}

/// Lets the package see the types of its peers (`@types/react` of `react`) where whoever brings the
/// peer has them: as an optional peer, unless it says something of them itself.
fn add_types_of_peers(manifest: &mut VersionManifest) {
    let peers: Vec<PackageName> = manifest.peer_dependencies.keys().cloned().collect();
    for peer in peers {
        let Some(types) = types_of(&peer) else {
            continue;
        };
        let is_known = [
            &manifest.dependencies,
            &manifest.optional_dependencies,
            &manifest.peer_dependencies,
        ]
        .iter()
        .any(|map| map.contains_key(&types));
        if !is_known {
            manifest.peer_dependencies.insert(types.clone(), "*".into());
            manifest.peer_dependencies_meta.insert(types, true);
        }
    }
}

/// The package with the types of another one, as DefinitelyTyped names it.
fn types_of(package: &PackageName) -> Option<PackageName> {
    let name = package.as_str();
    if name.starts_with("@types/") {
        return None;
    }
    let flat = name
        .strip_prefix('@')
        .map(|rest| rest.replacen('/', "__", 1));
    PackageName::new(&format!("@types/{}", flat.as_deref().unwrap_or(name))).ok()
}

fn add_extension(
    extensions: &mut Extensions,
    selector: &str,
    value: &Value,
) -> Result<(), ResolveFault> {
    let refused = || ResolveFault::Selector {
        setting: "packageExtensions",
        selector: selector.to_owned(),
        code: "ERR_PNPM_INVALID_PACKAGE_EXTENSION_SELECTOR",
    };
    let at = selector
        .char_indices()
        .skip(1)
        .find(|(_, letter)| *letter == '@')
        .map(|(at, _)| at);
    let (name, range) = match at {
        Some(at) => (&selector[..at], Some(&selector[at + 1..])),
        None => (selector, None),
    };
    let range = range.map(Range::parse).transpose().map_err(|_| refused())?;
    let extension = Extension {
        range,
        dependencies: texts(value, "dependencies"),
        optional_dependencies: texts(value, "optionalDependencies"),
        peer_dependencies: texts(value, "peerDependencies"),
        peer_dependencies_meta: entries(value, "peerDependenciesMeta")
            .filter_map(|(name, meta)| {
                let optional = meta.get("optional").and_then(Value::as_bool);
                Some((PackageName::new(name).ok()?, optional.unwrap_or(false)))
            })
            .collect(),
    };
    extensions.entry(name.into()).or_default().push(extension);
    Ok(())
}

fn entries<'v>(value: &'v Value, key: &str) -> impl Iterator<Item = (&'v String, &'v Value)> {
    let map = value.get(key).and_then(Value::as_object);
    map.into_iter().flatten()
}

fn texts(value: &Value, key: &str) -> Vec<(PackageName, Box<str>)> {
    entries(value, key)
        .filter_map(|(name, text)| Some((PackageName::new(name).ok()?, text.as_str()?.into())))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_of_forgotten_dependencies_is_readable() {
        let known: Vec<(String, Value)> = serde_json::from_str(COMPATIBILITY).expect("JSON");
        let mut extensions = Extensions::default();
        for (selector, value) in &known {
            add_extension(&mut extensions, selector, value).expect(selector);
        }
        let vite = &extensions["@nuxt/vite-builder"];
        assert!(vite.len() >= 2 && vite.iter().all(|entry| !entry.dependencies.is_empty()));
    }
}
