//! Whether the lockfile fits manifests and configuration.

use std::fs;

use indexmap::IndexMap;
use serde_json::Value;

use super::error::InstallError;
use super::patches::Patches;
use crate::install::config::Config;
use crate::install::lockfile::{
    ImporterId, Lockfile, LockfileSettings, ProjectManifest, Specifiers, check_frozen,
    package_extensions_checksum, pnpmfile_checksum,
};
use crate::install::manifest::DependencyMap;
use crate::install::overrides::{self, Override};
use crate::install::workspace::Project;

/// Files whose hooks pnpm runs, in the order in which it looks for them.
const PNPMFILES: [&str; 2] = [".pnpmfile.mjs", ".pnpmfile.cjs"];

/// Holds the lockfile against manifests and settings.
///
/// # Errors
/// The first thing that does not fit, with pnpm's code.
pub fn fits(
    lockfile: &Lockfile,
    projects: &[Project],
    patches: &Patches,
    config: &Config,
) -> Result<(), InstallError> {
    let root = projects.iter().find(|project| project.id.0.is_none());
    let overrides = overrides::resolved(config, root.map(|project| &project.manifest));
    let parsed = overrides::parsed(&overrides);
    let settings = settings(lockfile, patches, config, overrides)?;
    let projects: Vec<(ImporterId, ProjectManifest)> = projects
        .iter()
        .map(|project| (project.id.clone(), manifest(project, &parsed, config)))
        .collect();
    Ok(check_frozen(lockfile, &settings, &projects)?)
}

fn settings(
    lockfile: &Lockfile,
    patches: &Patches,
    config: &Config,
    overrides: IndexMap<Box<str>, Box<str>>,
) -> Result<LockfileSettings, InstallError> {
    let graph = &config.graph;
    let extensions = Value::Object(graph.package_extensions.clone());
    let specifiers = |catalog: &IndexMap<String, String>| -> Specifiers {
        catalog
            .iter()
            .map(|(alias, text)| (alias.as_str().into(), text.as_str().into()))
            .collect()
    };
    let patch = |patch: &super::patches::Patch| (patch.key.clone(), patch.hash.clone());
    Ok(LockfileSettings {
        auto_install_peers: config.lockfile.auto_install_peers,
        dedupe_peers: config.lockfile.dedupe_peers,
        exclude_links_from_lockfile: config.lockfile.exclude_links,
        inject_workspace_packages: config.lockfile.inject_workspace_packages,
        peers_suffix_max_length: config.lockfile.peers_suffix_max_length as u64,
        overrides,
        package_extensions_checksum: package_extensions_checksum(&extensions).map(Into::into),
        pnpmfile_checksum: pnpmfile(lockfile, config)?,
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
    })
}

/// The checksum of the pnpmfile. pnpm records one only for a file with hooks, which cannot be told
/// without running it; so a lockfile without a checksum fits every file.
fn pnpmfile(lockfile: &Lockfile, config: &Config) -> Result<Option<Box<str>>, InstallError> {
    if lockfile.pnpmfile_checksum.is_none() {
        return Ok(None);
    }
    for name in PNPMFILES {
        let path = config.lockfile_directory.join(name);
        match fs::read(&path) {
            Ok(content) => return Ok(Some(pnpmfile_checksum(&content).into())),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {}
            Err(source) => return Err(InstallError::Directory { path, source }),
        }
    }
    Ok(None)
}

fn manifest(project: &Project, overrides: &[Override], config: &Config) -> ProjectManifest {
    let manifest = &project.manifest;
    let specifiers = |map: &DependencyMap| -> Specifiers {
        map.iter()
            .map(|(alias, text)| (alias.as_str().into(), text.clone()))
            .collect()
    };
    let mut result = ProjectManifest {
        name: manifest.name.clone(),
        version: manifest.version.clone(),
        dependencies: specifiers(&manifest.dependencies),
        dev_dependencies: specifiers(&manifest.dev_dependencies),
        optional_dependencies: specifiers(&manifest.optional_dependencies),
        peer_dependencies: specifiers(&manifest.peer_dependencies),
        dependencies_meta: manifest.dependencies_meta.clone().map(Value::Object),
        publish_directory: manifest.publish_directory.clone(),
    };
    let place = overrides::Place {
        root: config
            .workspace_root
            .as_deref()
            .unwrap_or(&config.directory),
        directory: &project.directory,
    };
    overrides::apply(overrides, &place, &mut result);
    result
}
