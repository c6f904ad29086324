//! Packages that configuration is made of (`configDependencies`): the lockfile pins them, and each
//! is in a directory of the cache before anything else of a project is looked at.
//!
//! **Architecture Invariant:** they are what their digest says, they bring no other package along,
//! and no script of theirs runs.

use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use serde_json::json;
use sha2::{Digest, Sha256};

use super::layout::IncludedGroups;
use super::locked::{
    Inputs, InstallError, LockfilePlace, Patches, Supply, fetch_all, platforms, prepare,
};
use super::lockfile::{EnvironmentDocument, ImporterId, PinnedPackage, Resolution};
use super::manifest::Manifest;
use super::real::{self, RealError, RealPlan};
use super::relock::{RelockError, specifiers};
use super::scripts::Children;
use super::workspace::Project;
use crate::diagnostic::Diagnostic;
use crate::install::config::{Config, DeclaredPackage, Environment, LOCKFILE_NAME, NodeLinker};
use crate::name::{NameError, PackageName, escaped, hexadecimal};
use crate::report::{Reporter, Silent};
use crate::store::Store;

/// Packages of configuration, by name.
pub type Pins = BTreeMap<PackageName, PinnedPackage>;

/// Why packages of configuration cannot be had.
#[derive(Debug, thiserror::Error)]
pub enum ConfigPackageError {
    /// It cannot be the name of a package.
    #[error(
        "The configuration dependency \"{}\" has an unsafe name",
        escaped(name)
    )]
    Name {
        /// As written.
        name: String,
        /// Why.
        #[source]
        source: NameError,
    },
    /// It is no package of a registry.
    #[error(
        "Cannot resolve {}@{} as a configuration dependency because it has no integrity",
        escaped(name.as_str()),
        escaped(specifier)
    )]
    NoIntegrity {
        /// Which.
        name: PackageName,
        /// What was asked for.
        specifier: String,
    },
    /// No version of it can be had.
    #[error(
        "Failed to resolve config dependency {}@{}",
        escaped(name.as_str()),
        escaped(specifier)
    )]
    Resolve {
        /// Which.
        name: PackageName,
        /// What was asked for.
        specifier: String,
        /// Why.
        #[source]
        source: Box<RelockError>,
    },
    /// The lockfile may not change, and does not pin what is asked for.
    #[error(
        "Cannot update configDependencies with \"frozen-lockfile\" because the lockfile is not up \
         to date"
    )]
    Frozen,
    /// It cannot be fetched.
    #[error(transparent)]
    Install(#[from] InstallError),
    /// It cannot be written.
    #[error(transparent)]
    Real(#[from] RealError),
    /// The cache cannot be written.
    #[error("The directory {} cannot be written", path.display())]
    Write {
        /// Which.
        path: PathBuf,
        /// Why.
        #[source]
        source: std::io::Error,
    },
}

impl Diagnostic for ConfigPackageError {
    fn code(&self) -> &'static str {
        match self {
            Self::Name { .. } | Self::NoIntegrity { .. } | Self::Resolve { .. } => {
                "ERR_PNPM_BAD_CONFIG_DEP"
            }
            Self::Frozen => "ERR_PNPM_FROZEN_LOCKFILE_WITH_OUTDATED_LOCKFILE",
            Self::Install(error) => error.code(),
            Self::Real(error) => error.code(),
            Self::Write { .. } => "ERR_PACQUET_WRITE",
        }
    }

    fn hint(&self) -> Option<String> {
        match self {
            Self::Name { .. } => Some("correct its name in configDependencies".to_owned()),
            Self::NoIntegrity { .. } => {
                Some("only packages of registries can be configuration".to_owned())
            }
            Self::Resolve { source, .. } => source.hint(),
            Self::Frozen => Some("run `pacquet install --no-frozen-lockfile`".to_owned()),
            Self::Install(error) => error.hint(),
            Self::Real(error) => error.hint(),
            Self::Write { .. } => None,
        }
    }
}

/// What is needed to find and fetch packages.
#[derive(Clone, Copy)]
pub struct Fetching<'a> {
    /// The configuration.
    pub config: &'a Config,
    /// For programs that are run.
    pub environment: &'a Environment,
    /// Where packages are kept.
    pub store: &'a Store,
    /// Who is told of what is odd.
    pub reporter: &'a Arc<dyn Reporter>,
}

/// The packages that the settings declare, as far as `document` pins them; and which it does not.
///
/// # Errors
/// [`ConfigPackageError::Name`].
pub fn pinned(
    config: &Config,
    document: &EnvironmentDocument,
) -> Result<(Pins, Vec<(PackageName, DeclaredPackage)>), ConfigPackageError> {
    let mut known = document.packages();
    let (mut pins, mut open) = (Pins::new(), Vec::new());
    for (text, declared) in &config.packages.declared.0 {
        let name = PackageName::new(text).map_err(|source| ConfigPackageError::Name {
            name: text.clone(),
            source,
        })?;
        let pinned = known.remove(&name);
        match pinned.filter(|pinned| *pinned.specifier == *declared.specifier) {
            Some(pinned) => drop(pins.insert(name, pinned)),
            None => open.push((name, declared.clone())),
        }
    }
    Ok((pins, open))
}

/// Chooses a version.
///
/// # Errors
/// There is none, or it is no package of a registry.
pub fn choose(
    fetching: Fetching<'_>,
    name: &PackageName,
    declared: &DeclaredPackage,
) -> Result<PinnedPackage, ConfigPackageError> {
    let specifier = declared.specifier.clone();
    if let Some(integrity) = &declared.integrity {
        return Ok(PinnedPackage {
            version: specifier.as_str().into(),
            specifier: specifier.into(),
            integrity: integrity.as_str().into(),
            tarball: None,
        });
    }
    let Fetching {
        config,
        environment,
        store,
        reporter,
    } = fetching;
    let found = specifiers(config, environment, store, reporter, None)
        .and_then(|specifiers| specifiers.package(name, &specifier))
        .map_err(|source| ConfigPackageError::Resolve {
            name: name.clone(),
            specifier: specifier.clone(),
            source: Box::new(source),
        })?;
    if let Some((
        version,
        Resolution::Tarball {
            integrity, tarball, ..
        },
    )) = found
        && let Some(integrity) = integrity
    {
        return Ok(PinnedPackage {
            specifier: specifier.into(),
            version,
            integrity,
            tarball,
        });
    }
    Err(ConfigPackageError::NoIntegrity {
        name: name.clone(),
        specifier,
    })
}

/// The directory of the cache in which a package is, whether it is there or not.
pub fn place_of(config: &Config, name: &PackageName, pinned: &PinnedPackage) -> PathBuf {
    let modules = home_of(config, name, pinned).join("node_modules");
    modules.join(name.as_str())
}

fn home_of(config: &Config, name: &PackageName, pinned: &PinnedPackage) -> PathBuf {
    let mut digest = Sha256::new();
    digest.update(format!("{} {}", pinned.key(name), pinned.integrity));
    let digest = hexadecimal(&digest.finalize()[..16]);
    config.cache_directory.join("config").join(digest)
}

/// Fetches a package and puts it where [`place_of`] says.
///
/// # Errors
/// It cannot be fetched, or the cache cannot be written.
pub fn install(
    fetching: Fetching<'_>,
    name: &PackageName,
    pinned: &PinnedPackage,
) -> Result<(), ConfigPackageError> {
    let home = home_of(fetching.config, name, pinned);
    let failed = |source| ConfigPackageError::Write {
        path: home.clone(),
        source,
    };
    let base = home.parent().unwrap_or(Path::new("/"));
    fs::create_dir_all(base).map_err(failed)?;
    let temporary = tempfile::tempdir_in(base).map_err(failed)?;
    write(fetching, name, pinned, temporary.path())?;
    match fs::rename(temporary.path(), &home) {
        Ok(()) => drop(temporary.keep()),
        // Somebody else was faster.
        Err(_) if place_of(fetching.config, name, pinned).exists() => {}
        Err(error) => return Err(failed(error)),
    }
    Ok(())
}

/// A lockfile of one project that depends on one package, which depends on nothing.
fn lockfile_text(name: &PackageName, pinned: &PinnedPackage) -> String {
    let (resolution, id) = (pinned.resolution(), pinned.key(name));
    let entry = json!({ "specifier": pinned.specifier, "version": pinned.version });
    let dependency = json!({ name.as_str(): entry });
    // The text of JSON is one of YAML.
    let sections = [
        ("importers", json!({ ".": { "dependencies": dependency } })),
        ("packages", json!({ &id: { "resolution": resolution } })),
        ("snapshots", json!({ id: {} })),
    ];
    let sections = sections.map(|(key, value)| format!("{key}: {value}\n"));
    format!("lockfileVersion: '9.0'\n{}", sections.concat())
}

/// Brings a package of a registry into the store, and nothing that it depends on.
///
/// # Errors
/// It cannot be fetched.
pub fn store(
    fetching: Fetching<'_>,
    name: &PackageName,
    pinned: &PinnedPackage,
) -> Result<(), ConfigPackageError> {
    let (config, inputs) = alone(fetching, name, pinned, &fetching.config.cache_directory);
    fetch_all(&inputs, &config, fetching.store, fetching.reporter)?;
    Ok(())
}

/// What an install of this package alone into `directory` is made from.
fn alone(
    fetching: Fetching<'_>,
    name: &PackageName,
    pinned: &PinnedPackage,
    directory: &Path,
) -> (Config, Inputs) {
    let mut config = fetching.config.clone();
    config.isolate(directory);
    config.node_linker = NodeLinker::Hoisted;
    config.builds.ignore_scripts = true;
    let mut manifest = Manifest::default();
    let dependencies = &mut manifest.dependencies;
    dependencies.insert(name.clone(), pinned.specifier.clone());
    let inputs = Inputs {
        environment: fetching.environment.clone(),
        projects: vec![Project {
            id: ImporterId(None),
            directory: directory.to_owned(),
            manifest,
        }],
        lockfile_text: lockfile_text(name, pinned),
        known_lockfile: None,
        installed: None,
        checked: None,
        lockfile: LockfilePlace {
            path: directory.join(LOCKFILE_NAME),
            is_of_npm: false,
        },
        npm_workspaces: BTreeSet::new(),
        patches: Patches::default(),
        groups: IncludedGroups::ALL,
        platforms: platforms(&config),
        node_version: None,
        children: Children::default(),
    };
    (config, inputs)
}

/// Writes a package into the `node_modules` of a directory.
fn write(
    fetching: Fetching<'_>,
    name: &PackageName,
    pinned: &PinnedPackage,
    directory: &Path,
) -> Result<(), ConfigPackageError> {
    let (config, inputs) = alone(fetching, name, pinned, directory);
    // Its progress is none of the project's.
    let quiet: Arc<dyn Reporter> = Arc::new(Silent);
    let store = fetching.store;
    let prepared = prepare(&inputs, &config, store, Supply::Fetch, None, &quiet)?;
    let layout = &prepared.built.layout;
    let packs = layout.instances.iter().map(|instance| instance.pack);
    // Programs of the project may write into it, and the store is not theirs.
    let private: HashSet<_> = packs.collect();
    let places = [directory.join("node_modules")];
    real::write(&RealPlan {
        layout,
        places: &places,
        without: &[],
        store,
        method: config.package_import_method,
        private: &private,
        verify: config.verify_store_integrity,
    })?;
    Ok(())
}
