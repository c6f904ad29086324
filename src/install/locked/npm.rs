//! The same for a project that npm has locked: the lockfile says what goes where.

use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::path::Path;
use std::sync::Arc;

use super::error::InstallError;
use super::inputs::{Inputs, manifest_facts};
use super::sources::WantedPackages;
use super::{
    Prepared, Supply, built_or_plain, is_repeatable, packs_with_scripts, report_incompatible,
    supply_all, unpinned,
};
use crate::install::config::Config;
use crate::install::layout::{ManifestFacts, PlacedInput, build_placed};
use crate::install::lockfile::{ImporterId, Lockfile};
use crate::install::manifest::Manifest;
use crate::install::package_lock::{
    self, Base, PackageLock, Placed, PlacedContent, Tree, TreeOptions,
};
use crate::install::select::{SelectError, SelectedPackage, Selection};
use crate::install::workspace::{self, Project, WorkspaceError};
use crate::name::escaped;
use crate::report::{Phase, Reporter, phase};
use crate::store::Store;

/// Adds the directories of the project that have a part in the tree: those in `workspaces` of the
/// root's manifest, which are returned, and those that links lead to.
pub(super) fn add_projects(
    config: &Config,
    text: &str,
    projects: &mut Vec<Project>,
) -> Result<BTreeSet<ImporterId>, InstallError> {
    let mut workspaces = BTreeSet::new();
    let Some(root) = projects.iter().find(|project| project.id.0.is_none()) else {
        return Ok(workspaces);
    };
    if !root.manifest.workspaces.is_empty() {
        let below =
            workspace::projects_below(&config.lockfile_directory, &root.manifest.workspaces)?;
        workspaces.extend(below.iter().map(|project| project.id.clone()));
        projects.extend(below);
    }
    // Most lockfiles have no links, and then there is nothing to read it for.
    if !text.contains("\"link\"") {
        return Ok(workspaces);
    }
    for (location, entry) in PackageLock::read(text)?.entries {
        let base = entry.location.as_ref().filter(|at| at.depth() == 0);
        let Some(Base::Inside(path)) = base.map(|at| at.base()) else {
            continue;
        };
        let id = ImporterId(Some(path.clone()));
        if projects.iter().any(|project| project.id == id) {
            continue;
        }
        let directory = config.lockfile_directory.join(&*location);
        let manifest = Manifest::read_optional(&directory).map_err(WorkspaceError::from)?;
        if let Some(manifest) = manifest {
            projects.push(Project {
                id,
                directory,
                manifest,
            });
        }
    }
    Ok(workspaces)
}

fn options<'a>(inputs: &'a Inputs, config: &'a Config) -> TreeOptions<'a> {
    let root = inputs
        .projects
        .iter()
        .find(|project| project.id.0.is_none());
    TreeOptions {
        projects: &inputs.projects,
        workspaces: &inputs.npm_workspaces,
        overrides: root.and_then(|root| root.manifest.npm_overrides.as_ref()),
        groups: inputs.groups,
        platforms: &inputs.platforms,
        node_version: inputs.node_version.as_deref(),
        registries: &config.registries,
    }
}

fn tree(
    inputs: &Inputs,
    config: &Config,
    reporter: &Arc<dyn Reporter>,
    lock: &PackageLock,
) -> Result<Tree, InstallError> {
    let tree = package_lock::tree(lock, &options(inputs, config))?;
    if let Some(first) = tree.incompatible.first().filter(|_| config.engine_strict) {
        return Err(InstallError::Select(SelectError::Incompatible {
            package: escaped(first.dep_path.as_str()),
            source: first.mismatch.clone(),
        }));
    }
    report_incompatible(&tree.incompatible, reporter);
    Ok(tree)
}

/// Everything of the tree.
fn selection(tree: &Tree) -> Selection<'_> {
    let lockfile = &tree.converted.lockfile;
    let packages = lockfile
        .snapshots
        .iter()
        .map(|(dep_path, snapshot)| SelectedPackage {
            dep_path,
            snapshot,
            package: &lockfile.packages[dep_path.package_id_str()],
        });
    Selection {
        packages: packages.collect(),
        skipped: Vec::new(),
        importers: lockfile.importers.iter().collect(),
        incompatible: Vec::new(),
    }
}

/// As [`prepare`](super::prepare).
pub(super) fn prepare(
    inputs: &Inputs,
    config: &Config,
    store: &Store,
    supply: Supply,
    reporter: &Arc<dyn Reporter>,
) -> Result<Prepared, InstallError> {
    let mut tree = phase(&**reporter, Phase::Read, || {
        let lock = PackageLock::read(&inputs.lockfile_text)?;
        package_lock::check(&lock, &options(inputs, config))?;
        tree(inputs, config, reporter, &lock)
    })?;
    unpinned::pin(
        &mut tree.converted.lockfile,
        config,
        store,
        supply,
        reporter,
    )?;
    let (selection, lockfile) = (selection(&tree), &tree.converted.lockfile);
    let wanted = WantedPackages::of(&selection, &inputs.patches, config)?;
    let records = supply_all(
        &wanted,
        &HashSet::new(),
        inputs,
        config,
        store,
        supply,
        reporter,
    )?;
    let _span = tracing::info_span!("layout").entered();
    phase(&**reporter, Phase::Layout, || {
        let (installed, builds) =
            built_or_plain(inputs, config, store, lockfile, &wanted, &records)?;
        let manifests = linked_manifests(&tree.converted.places, &config.lockfile_directory);
        let built = build_placed(&PlacedInput {
            places: &tree.converted.places,
            installed: &installed,
            manifests: &manifests,
            hidden: &tree.hidden,
        })?;
        Ok(Prepared {
            built,
            // Whether the commands of linked directories are there may change at any time.
            is_repeatable: is_repeatable(&wanted) && manifests.is_empty(),
            builds,
            packs_with_scripts: packs_with_scripts(&records),
        })
    })
}

/// What is installed of a project that npm has locked, and the places by depPath: `hidden` is the
/// content of npm's own record of it.
///
/// # Errors
/// The lockfile or the record cannot be read.
pub fn installed_by_npm(
    inputs: &Inputs,
    config: &Config,
    hidden: Option<&str>,
) -> Result<(Lockfile, Locations), InstallError> {
    let lock = PackageLock::read(&inputs.lockfile_text)?;
    let converted = package_lock::installed(&lock, hidden, &options(inputs, config))?;
    let locations = package_lock::locations(&converted.places);
    Ok((converted.lockfile, locations))
}

/// Where packages are, by depPath.
pub type Locations = BTreeMap<Box<str>, Vec<Box<str>>>;

/// As [`fetch_all`](super::fetch_all).
pub(super) fn fetch_all(
    inputs: &Inputs,
    config: &Config,
    store: &Store,
    reporter: &Arc<dyn Reporter>,
) -> Result<usize, InstallError> {
    let lock = PackageLock::read(&inputs.lockfile_text)?;
    let mut tree = tree(inputs, config, reporter, &lock)?;
    let supply = Supply::Fetch;
    unpinned::pin(
        &mut tree.converted.lockfile,
        config,
        store,
        supply,
        reporter,
    )?;
    let selection = selection(&tree);
    let wanted = WantedPackages::of(&selection, &inputs.patches, config)?;
    let records = supply_all(
        &wanted,
        &HashSet::new(),
        inputs,
        config,
        store,
        supply,
        reporter,
    )?;
    Ok(records.len())
}

/// What links lead to, with the commands that are there.
fn linked_manifests(places: &[Placed], root: &Path) -> BTreeMap<Box<str>, ManifestFacts> {
    let mut manifests = BTreeMap::new();
    for placed in places {
        let PlacedContent::Link(target) = &placed.content else {
            continue;
        };
        let directory = root.join(&**target);
        let manifest = Manifest::read_optional(&directory).ok().flatten();
        let mut facts = manifest_facts(&manifest.unwrap_or_default(), &directory);
        facts.bins.retain(|bin| {
            directory
                .join(bin.target.as_str())
                .symlink_metadata()
                .is_ok()
        });
        let key: Box<str> = if target.is_empty() {
            ".".into()
        } else {
            target.clone()
        };
        manifests.insert(key, facts);
    }
    manifests
}
