//! Finders: functions of pnpmfiles that say which packages are meant.

use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};

use serde_json::{Value, json};

use super::error::PnpmfileError;
use super::pnpmfiles;
use super::worker::Worker;
use crate::install::config::Config;
use crate::report::Reporter;

/// A package that may be one of those that are meant.
#[derive(Debug, Clone, Copy)]
pub struct Candidate<'c> {
    /// As its dependent calls it.
    pub alias: &'c str,
    /// Its name in the registry.
    pub name: &'c str,
    /// Its version.
    pub version: &'c str,
    /// Its directory.
    pub directory: &'c Path,
}

/// What is said of a package that is meant.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Found {
    /// What finders say of it, if they say more than that it is meant.
    pub message: Option<String>,
}

/// The finders that somebody asks for, of the pnpmfiles of a project.
#[derive(Debug)]
pub struct Finders {
    worker: Mutex<Worker>,
    names: Vec<String>,
    /// The first that failed: nothing is found after it.
    failure: Mutex<Option<PnpmfileError>>,
}

impl Finders {
    /// Loads the finders of these names; `None` where there are no names.
    ///
    /// # Errors
    /// There is none of such a name, or a pnpmfile cannot be loaded.
    pub fn load(
        config: &Config,
        names: &[String],
        reporter: &Arc<dyn Reporter>,
    ) -> Result<Option<Self>, PnpmfileError> {
        let Some(name) = names.first() else {
            return Ok(None);
        };
        let unknown = |name: &str| PnpmfileError::FinderNotFound {
            name: name.to_owned(),
        };
        let paths = pnpmfiles(config)?;
        let Some(first) = paths.first() else {
            return Err(unknown(name));
        };
        let mut worker = Worker::start(&config.lockfile_directory, first, reporter)?;
        worker.load(config, &paths)?;
        let missing = worker.ask(&json!({ "request": "unknownFinder", "names": names }))?;
        if let Some(name) = missing.as_str() {
            return Err(unknown(name));
        }
        Ok(Some(Self {
            worker: Mutex::new(worker),
            names: names.to_vec(),
            failure: Mutex::default(),
        }))
    }

    /// Whether a finder says that this package is meant, and what they say of it.
    pub fn find(&self, candidate: Candidate<'_>) -> Option<Found> {
        let mut failure = self.failure.lock().unwrap_or_else(PoisonError::into_inner);
        if failure.is_some() {
            return None;
        }
        let Candidate {
            alias,
            name,
            version,
            directory,
        } = candidate;
        let request = json!({
            "request": "find",
            "names": self.names,
            "candidate": { "alias": alias, "name": name, "version": version },
            "directory": directory.to_string_lossy(),
        });
        let mut worker = self.worker.lock().unwrap_or_else(PoisonError::into_inner);
        match worker.ask(&request) {
            Ok(Value::Null) => None,
            Ok(found) => {
                let message = found["message"].as_str().filter(|text| !text.is_empty());
                let message = message.map(str::to_owned);
                Some(Found { message })
            }
            Err(error) => {
                *failure = Some(error);
                None
            }
        }
    }

    /// Whether all that was asked was answered.
    ///
    /// # Errors
    /// A finder failed.
    pub fn finish(self) -> Result<(), PnpmfileError> {
        let failure = self.failure.into_inner();
        let failure = failure.unwrap_or_else(PoisonError::into_inner);
        failure.map_or(Ok(()), Err)
    }
}
