//! Whether the lockfile fits manifests and configuration.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use indexmap::IndexMap;
use serde_json::Value;

use super::error::InstallError;
use super::patches::Patches;
use crate::install::config::Config;
use crate::install::lockfile::{
    ImporterId, Lockfile, LockfileSettings, ProjectManifest, Resolution, Specifiers,
    check_directories, check_frozen, package_extensions_checksum,
};
use crate::install::manifest::{DependencyMap, Manifest};
use crate::install::overrides::{self, Override};
use crate::install::pnpmfile::{self, PnpmfileHooks};
use crate::install::resolve::Hooks;
use crate::install::workspace::Project;
use crate::report::Reporter;

/// What the lockfile need not have.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum MayLack {
    /// It has everything, or it is resolved anew.
    Nothing,
    /// Optional dependencies of projects, which are left out where they cannot be resolved: it
    /// stays as it is.
    Optional,
}

/// Holds the lockfile against manifests and settings.
///
/// The hooks of pnpmfiles run only where it does not fit without them.
///
/// # Errors
/// The first thing that does not fit, with pnpm's code.
pub fn fits(
    lockfile: &Lockfile,
    projects: &[Project],
    patches: &Patches,
    config: &Config,
    may_lack: MayLack,
    reporter: &Arc<dyn Reporter>,
) -> Result<(), InstallError> {
    let check = |checksum: Option<Box<str>>, pnpmfile: Option<&PnpmfileHooks>| {
        let check = |changes| {
            let checksum = checksum.clone();
            fits_with(
                lockfile, projects, patches, config, may_lack, checksum, changes,
            )
        };
        let mut changes = Changes {
            extensions: None,
            pnpmfile,
        };
        // Few extensions are about projects, and their table is long.
        let plain = check(changes);
        if plain.is_ok() {
            return plain;
        }
        match extensions(config) {
            Some(extensions) => {
                changes.extensions = Some(&extensions);
                check(changes)
            }
            None => plain,
        }
    };
    let paths = pnpmfile::pnpmfiles(config)?;
    let checksum = match config.pnpmfile.ignored {
        // As pnpm has it: who ignores hooks ignores whether they changed.
        true => lockfile.pnpmfile_checksum.clone(),
        false => unloaded(lockfile, config, &paths)?,
    };
    let is_told = paths.is_empty() || checksum.is_some();
    let first = check(checksum, None);
    if (is_told && first.is_ok()) || paths.is_empty() {
        return first;
    }
    let Some(hooks) = PnpmfileHooks::load(config, reporter)? else {
        return first;
    };
    let checksum = hooks.checksum().map(Into::into);
    check(checksum, Some(&hooks))
}

/// What changes the manifests of projects before overrides do.
#[derive(Clone, Copy)]
struct Changes<'a> {
    extensions: Option<&'a Hooks>,
    pnpmfile: Option<&'a PnpmfileHooks>,
}

/// `packageExtensions`, and those that are built in. `None`: a selector is none, which whoever
/// resolves says.
fn extensions(config: &Config) -> Option<Hooks> {
    let graph = &config.graph;
    let (extensions, knows_compatibility) =
        (&graph.package_extensions, !graph.ignore_compatibility_db);
    let root = config.lockfile_directory.clone();
    Hooks::new(extensions, knows_compatibility, Vec::new(), &[], root, None).ok()
}

fn fits_with(
    lockfile: &Lockfile,
    projects: &[Project],
    patches: &Patches,
    config: &Config,
    may_lack: MayLack,
    checksum: Option<Box<str>>,
    changes: Changes<'_>,
) -> Result<(), InstallError> {
    let root = projects.iter().find(|project| project.id.0.is_none());
    let overrides = overrides::resolved(config, root.map(|project| &project.manifest));
    let parsed = overrides::parsed(&overrides, &config.graph.catalogs);
    let settings = settings(patches, config, overrides, checksum);
    let projects = match config.lockfile.ignores_manifests {
        true => &[],
        false => projects,
    };
    let mut manifests: Vec<ProjectManifest> = projects
        .iter()
        .map(|project| checked(&project.manifest))
        .collect();
    if let Some(extensions) = changes.extensions {
        for manifest in &mut manifests {
            extensions.extend_project(manifest);
        }
    }
    if let Some(hooks) = changes.pnpmfile {
        let directories = projects.iter().map(|project| &*project.directory);
        let mut all: Vec<_> = directories.zip(&mut manifests).collect();
        hooks.of_projects(&mut all)?;
    }
    let projects: Vec<(ImporterId, ProjectManifest)> = projects
        .iter()
        .zip(manifests)
        .map(|(project, mut manifest)| {
            overrides::apply(&parsed, &place(config, &project.directory), &mut manifest);
            if let (MayLack::Optional, Some(importer)) =
                (may_lack, lockfile.importers.get(&project.id))
            {
                let is_locked = |alias: &str| importer.get(alias).is_some();
                let optional = std::mem::take(&mut manifest.optional_dependencies);
                let (locked, lacking): (Specifiers, Specifiers) = optional
                    .into_iter()
                    .partition(|(alias, _)| is_locked(alias));
                manifest.optional_dependencies = locked;
                // What stands in several fields is optional.
                let others = [&mut manifest.dependencies, &mut manifest.dev_dependencies];
                for others in others {
                    others.retain(|alias, _| !lacking.contains_key(alias));
                }
            }
            (project.id.clone(), manifest)
        })
        .collect();
    check_frozen(lockfile, &settings, &projects)?;
    let directories = directories(lockfile, &parsed, config);
    Ok(check_directories(lockfile, &settings, &directories)?)
}

/// The manifests of the directories that are packages. One that cannot be read is left to whoever
/// packs the directory, and says why.
fn directories(
    lockfile: &Lockfile,
    overrides: &[Override],
    config: &Config,
) -> BTreeMap<Box<str>, ProjectManifest> {
    let mut manifests = BTreeMap::new();
    for package in lockfile.packages.values() {
        let Resolution::Directory { directory } = &package.resolution else {
            continue;
        };
        let path = config.lockfile_directory.join(&**directory);
        if let Ok(Some(read)) = Manifest::read_optional(&path) {
            let mut checked = checked(&read);
            overrides::apply(overrides, &place(config, &path), &mut checked);
            manifests.insert(directory.clone(), checked);
        }
    }
    manifests
}

fn settings(
    patches: &Patches,
    config: &Config,
    overrides: IndexMap<Box<str>, Box<str>>,
    pnpmfile_checksum: Option<Box<str>>,
) -> LockfileSettings {
    let graph = &config.graph;
    let extensions = Value::Object(graph.package_extensions.clone());
    let specifiers = |catalog: &IndexMap<String, String>| -> Specifiers {
        catalog
            .iter()
            .map(|(alias, text)| (alias.as_str().into(), text.as_str().into()))
            .collect()
    };
    let patch = |patch: &super::patches::Patch| (patch.key.clone(), patch.hash.clone());
    LockfileSettings {
        auto_install_peers: config.lockfile.auto_install_peers,
        dedupe_peers: config.lockfile.dedupe_peers,
        adds_peer_types: config.lockfile.adds_peer_types,
        scoped_optional_peers: config.lockfile.scoped_optional_peers,
        exclude_links_from_lockfile: config.lockfile.exclude_links,
        inject_workspace_packages: config.lockfile.inject_workspace_packages,
        peers_suffix_max_length: config.lockfile.peers_suffix_max_length as u64,
        overrides,
        package_extensions_checksum: package_extensions_checksum(&extensions).map(Into::into),
        pnpmfile_checksum,
        patched_dependencies: patches.iter().map(patch).collect(),
        ignored_optional_dependencies: graph
            .ignored_optional_dependencies
            .iter()
            .map(|pattern| pattern.as_str().into())
            .collect(),
        catalogs: graph
            .catalogs
            .iter()
            .map(|(name, catalog)| (name.as_str().into(), specifiers(catalog)))
            .collect(),
    }
}

/// What is known of the pnpmfiles without running them.
fn unloaded(
    lockfile: &Lockfile,
    config: &Config,
    paths: &[PathBuf],
) -> Result<Option<Box<str>>, InstallError> {
    // Only files with hooks count, and that the lockfile has a checksum says that one has some.
    match (&lockfile.pnpmfile_checksum, paths) {
        (Some(_), [_]) => Ok(pnpmfile::checksum(config, paths)?.map(Into::into)),
        _ => Ok(None),
    }
}

fn place<'a>(config: &'a Config, directory: &'a Path) -> overrides::Place<'a> {
    overrides::Place {
        root: config.root(),
        directory,
    }
}

/// What is checked of a manifest.
fn checked(manifest: &Manifest) -> ProjectManifest {
    let specifiers = |map: &DependencyMap| -> Specifiers {
        map.iter()
            .map(|(alias, text)| (alias.as_str().into(), text.clone()))
            .collect()
    };
    ProjectManifest {
        name: manifest.name.clone(),
        version: manifest.version.clone(),
        dependencies: specifiers(&manifest.dependencies),
        dev_dependencies: specifiers(&manifest.dev_dependencies),
        optional_dependencies: specifiers(&manifest.optional_dependencies),
        peer_dependencies: specifiers(&manifest.peer_dependencies),
        optional_peers: manifest.optional_peers(),
        dependencies_meta: manifest.dependencies_meta.clone().map(Value::Object),
        publish_directory: manifest.publish_directory.clone(),
        links_project: manifest.links_project(),
    }
}
