//! pnpmfiles: programs of a project that change what is resolved, through the hooks `readPackage`
//! and `afterAllResolved`, and say which packages are meant, by their finders.
//!
//! Hooks run in one node process, which is started when it is first needed and asked for many
//! manifests at once.
//!
//! **Architecture Invariant:** nothing runs where `ignorePnpmfile` is set, and only files of the
//! project, or those that its configuration names, are run.

mod error;
mod finders;
mod worker;

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use serde_json::{Map, Value, json};

pub use error::PnpmfileError;
pub use finders::{Candidate, Finders, Found};

use super::config::Config;
use super::lockfile::{
    Lockfile, ProjectManifest, Specifiers, pnpmfile_checksum, pnpmfiles_checksum, read_lockfile,
    write_lockfile,
};
use super::metadata::VersionManifest;
use crate::install::manifest::Manifest;
use crate::limits::CONFIG_BYTES_MAX;
use crate::report::{Event, Reporter};
use crate::sys;
use worker::Worker;

/// The hook that changes settings.
const HOOK: &str = "updateConfig";

/// Where hooks are looked for if the configuration does not say; the first that is there counts.
const DEFAULT_NAMES: [&str; 2] = [".pnpmfile.mjs", ".pnpmfile.cjs"];

/// The pnpmfiles of a project, as it sees them, in the order in which their hooks are called.
///
/// # Errors
/// One that the configuration names is not there.
pub fn pnpmfiles(config: &Config) -> Result<Vec<PathBuf>, PnpmfileError> {
    if config.pnpmfile.ignored {
        return Ok(Vec::new());
    }
    let global = config.pnpmfile.global.iter();
    let named = global.chain(config.pnpmfile.paths.iter().flatten());
    let mut found: Vec<PathBuf> = Vec::new();
    let plugins: Vec<PathBuf> = config.packages.pnpmfiles().collect();
    for path in plugins.iter().chain(named) {
        if !config.packages.located(path).exists() {
            return Err(PnpmfileError::NotFound { path: path.clone() });
        }
        if !found.contains(path) {
            found.push(path.clone());
        }
    }
    if config.pnpmfile.paths.is_none() {
        let directory = match &config.workspace_root {
            Some(root) if config.has_lockfiles_apart() => root,
            _ => &config.lockfile_directory,
        };
        let paths = DEFAULT_NAMES.map(|name| directory.join(name));
        found.extend(paths.into_iter().find(|path| path.exists()));
    }
    Ok(found)
}

/// What the hooks `updateConfig` of a project make of `settings`, settings by name: those that
/// are not as they were. `None`: there is no such hook.
///
/// A pnpmfile is run for it only where its text names the hook.
///
/// # Errors
/// One cannot be loaded, or a hook throws.
pub fn updated_config(
    config: &Config,
    settings: &Map<String, Value>,
    reporter: &Arc<dyn Reporter>,
) -> Result<Option<Map<String, Value>>, PnpmfileError> {
    let paths = pnpmfiles(config)?;
    let names_hook = |path: &PathBuf| {
        sys::file::read(&config.packages.located(path), CONFIG_BYTES_MAX)
            .is_ok_and(|text| memchr::memmem::find(&text, HOOK.as_bytes()).is_some())
    };
    let Some(first) = paths.first().filter(|_| paths.iter().any(names_hook)) else {
        return Ok(None);
    };
    let mut worker = Worker::start(&config.lockfile_directory, first, reporter)?;
    worker.load(config, &paths)?;
    let changed = worker.ask(&json!({ "request": HOOK, "config": settings }))?;
    let Value::Object(mut changed) = changed else {
        return Ok(None);
    };
    changed.retain(|key, value| settings.get(key) != Some(value));
    Ok(Some(changed))
}

/// The checksum of `paths` if all of them have hooks.
///
/// # Errors
/// One cannot be read.
pub fn checksum(config: &Config, paths: &[PathBuf]) -> Result<Option<String>, PnpmfileError> {
    let mut sums = Vec::new();
    let mut paths: Vec<&PathBuf> = paths.iter().collect();
    paths.sort();
    for path in paths {
        let read = sys::file::read(&config.packages.located(path), CONFIG_BYTES_MAX);
        let content = read.map_err(|source| PnpmfileError::Read {
            path: path.clone(),
            source,
        })?;
        sums.push(pnpmfile_checksum(&content));
    }
    Ok(pnpmfiles_checksum(&sums))
}

/// The hooks of a project.
#[derive(Debug)]
pub struct PnpmfileHooks {
    worker: Mutex<Worker>,
    checksum: Option<String>,
    reads_packages: bool,
    sees_lockfile: bool,
}

impl PnpmfileHooks {
    /// Loads the pnpmfiles of a project; `None` where there are none.
    ///
    /// # Errors
    /// One cannot be loaded, or has a hook that is not supported.
    pub fn load(
        config: &Config,
        reporter: &Arc<dyn Reporter>,
    ) -> Result<Option<Arc<Self>>, PnpmfileError> {
        let paths = pnpmfiles(config)?;
        let Some(first) = paths.first() else {
            return Ok(None);
        };
        let mut worker = Worker::start(&config.lockfile_directory, first, reporter)?;
        let found = worker.load(config, &paths)?;
        let has = |at: usize, hook: &str| found[at][hook] == true;
        let any = |hook: &str| (0..paths.len()).any(|at| has(at, hook));
        let is_late = |at: &usize| !config.pnpmfile.has_updated && has(*at, HOOK);
        if let Some(at) = (0..paths.len()).find(is_late) {
            let path = paths[at].clone();
            return Err(PnpmfileError::UpdateConfig { path });
        }
        if any("filterLog") {
            reporter.report(&Event::Warning {
                code: "ERR_PACQUET_PNPMFILE",
                message: "The pnpmfile filterLog hook is deprecated and is not supported",
            });
        }
        let with_hooks: Vec<PathBuf> = (0..paths.len())
            .filter(|at| has(*at, "hooks"))
            .map(|at| paths[at].clone())
            // The user's own is not what the lockfile depends on.
            .filter(|path| config.pnpmfile.global.as_ref() != Some(path))
            .collect();
        Ok(Some(Arc::new(Self {
            checksum: checksum(config, &with_hooks)?,
            reads_packages: any("readPackage"),
            sees_lockfile: any("afterAllResolved"),
            worker: Mutex::new(worker),
        })))
    }

    /// `pnpmfileChecksum`; `None` where no file has hooks.
    pub fn checksum(&self) -> Option<&str> {
        self.checksum.as_deref()
    }

    /// Whether there is a `readPackage`.
    pub fn reads_packages(&self) -> bool {
        self.reads_packages
    }

    fn ask(&self, request: &Value) -> Result<Value, PnpmfileError> {
        let mut worker = self.worker.lock().unwrap_or_else(PoisonError::into_inner);
        worker.ask(request)
    }

    fn read_packages(&self, manifests: &[Value]) -> Result<Vec<Value>, PnpmfileError> {
        let request = json!({ "request": "readPackage", "manifests": manifests });
        match self.ask(&request)? {
            Value::Array(changed) if changed.len() == manifests.len() => Ok(changed),
            _ => Err(PnpmfileError::Manifest {
                package: "a package".to_owned(),
                reason: "it cannot be written as JSON".to_owned(),
            }),
        }
    }

    /// What `readPackage` makes of the manifests of packages.
    ///
    /// # Errors
    /// It throws, or returns what is no manifest.
    pub fn of_packages(
        &self,
        manifests: &[Arc<VersionManifest>],
    ) -> Result<Vec<Arc<VersionManifest>>, PnpmfileError> {
        let written: Vec<Value> = manifests.iter().map(|one| one.to_json()).collect();
        let changed = self.read_packages(&written)?;
        let read = |(manifest, changed): (&Arc<VersionManifest>, &Value)| {
            let changed = manifest.changed(&changed.to_string());
            changed
                .map(Arc::new)
                .map_err(|refusal| PnpmfileError::Manifest {
                    package: format!("{}@{}", manifest.name, manifest.version),
                    reason: refusal.to_string(),
                })
        };
        manifests.iter().zip(&changed).map(read).collect()
    }

    /// Changes the manifests of projects (each with its directory) as `readPackage` says.
    ///
    /// # Errors
    /// It throws, or returns what is no manifest.
    pub fn of_projects(
        &self,
        projects: &mut [(&Path, &mut ProjectManifest)],
    ) -> Result<(), PnpmfileError> {
        if !self.reads_packages {
            return Ok(());
        }
        let written: Vec<Value> = projects
            .iter_mut()
            .map(|(directory, manifest)| project_json(directory, manifest))
            .collect();
        let changed = self.read_packages(&written)?;
        for ((directory, manifest), changed) in projects.iter_mut().zip(&changed) {
            for (key, map) in maps(manifest) {
                *map = specifiers(changed, key).map_err(|reason| PnpmfileError::Manifest {
                    package: directory.display().to_string(),
                    reason,
                })?;
            }
            manifest.dependencies_meta = changed.get("dependenciesMeta").cloned();
        }
        Ok(())
    }

    /// What `afterAllResolved` makes of `lockfile`.
    ///
    /// # Errors
    /// It throws, or returns what is no lockfile.
    pub fn of_lockfile(&self, lockfile: Lockfile) -> Result<Lockfile, PnpmfileError> {
        if !self.sees_lockfile {
            return Ok(lockfile);
        }
        let refused = |reason: String| PnpmfileError::Lockfile { reason };
        let environment_document = lockfile.environment_document.clone();
        let plain = Lockfile {
            environment_document: None,
            ..lockfile
        };
        let before: Value = serde_norway::from_str(&write_lockfile(&plain))
            .map_err(|error| refused(error.to_string()))?;
        let after = self.ask(&json!({ "request": "afterAllResolved", "lockfile": before }))?;
        let mut changed = match after == before {
            true => plain,
            // Every JSON document is a YAML document.
            false => {
                let text = serde_norway::to_string(&after);
                let text = text.map_err(|error| refused(error.to_string()))?;
                read_lockfile(&text).map_err(|error| refused(error.to_string()))?
            }
        };
        changed.environment_document = environment_document;
        Ok(changed)
    }
}

/// The maps of a project's manifest that hooks may change.
fn maps(manifest: &mut ProjectManifest) -> [(&'static str, &mut Specifiers); 4] {
    [
        ("dependencies", &mut manifest.dependencies),
        ("devDependencies", &mut manifest.dev_dependencies),
        ("optionalDependencies", &mut manifest.optional_dependencies),
        ("peerDependencies", &mut manifest.peer_dependencies),
    ]
}

/// `package.json` of a project, with what was changed in it already.
fn project_json(directory: &Path, manifest: &mut ProjectManifest) -> Value {
    let read = Manifest::read_bytes(directory);
    let mut fields: Map<String, Value> = read
        .ok()
        .flatten()
        .and_then(|bytes| serde_json::from_slice(&bytes).ok())
        .unwrap_or_default();
    for (key, map) in maps(manifest) {
        let map = map.iter();
        let map = map.map(|(name, text)| (name.to_string(), Value::from(&**text)));
        fields.insert(key.to_owned(), Value::Object(map.collect()));
    }
    Value::Object(fields)
}

fn specifiers(manifest: &Value, key: &str) -> Result<Specifiers, String> {
    let map = manifest.get(key).and_then(Value::as_object);
    map.into_iter()
        .flatten()
        .map(|(name, value)| match value.as_str() {
            Some(text) => Ok((name.as_str().into(), text.into())),
            None => Err(format!("{key}.{name} is not a string")),
        })
        .collect()
}
