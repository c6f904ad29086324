//! Packages of configuration, before anything else is looked at.

use std::fs;
use std::io::Read;
use std::path::Path;
use std::sync::Arc;

use super::failure::Failure;
use super::relocking::{if_there, uses_lockfile};
use super::serving::open_store;
use crate::install::config::{Config, Environment, LOCKFILE_NAME};
use crate::install::config_packages::{self, ConfigPackageError, Fetching, Pins};
use crate::install::drafts::{Draft, DraftKind};
use crate::install::locked::{InstallError, Supply};
use crate::install::lockfile::{EnvironmentDocument, read_environment};
use crate::name::escaped;
use crate::report::{Event, Reporter};
use crate::store::Access;

/// Whether a command does without those that it would have to fetch.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Need {
    /// It fails where one cannot be had.
    All,
    /// It makes do with those that are there.
    Known,
}

/// Brings what `configDependencies` declares into the cache, and into `config` where each is.
/// What has to be chosen for it is a draft of the lockfile, of which `drafted` is the text so far.
pub(super) fn bring(
    config: &mut Config,
    environment: &Environment,
    reporter: &Arc<dyn Reporter>,
    drafted: Option<String>,
    need: Need,
) -> Result<Option<Draft>, Failure> {
    let path = config.root().join(LOCKFILE_NAME);
    let declares_none = config.packages.declared.0.is_empty();
    // Only who may change the lockfile minds what nobody declares any more.
    if declares_none && (need == Need::Known || !uses_lockfile(config) || !has_document(&path)) {
        return Ok(None);
    }
    let text = match (uses_lockfile(config), drafted) {
        (false, _) => None,
        (true, Some(drafted)) => Some(drafted),
        (true, None) => if_there(fs::read_to_string(&path), &path)?,
    };
    let document = match &text {
        Some(text) => read_environment(text).map_err(InstallError::from)?,
        None => None,
    };
    if declares_none && document.is_none() {
        return Ok(None);
    }
    let mut document = document.unwrap_or_else(EnvironmentDocument::empty);
    let (mut pins, open) = config_packages::pinned(config, &document)?;
    let mut is_changed = document.packages().len() != pins.len();
    if need == Need::All && (!open.is_empty() || is_changed) {
        refuse_frozen(config, text.is_some())?;
    }
    let mut chosen = Vec::new();
    if need == Need::All {
        for (name, declared) in &open {
            is_changed = true;
            let pinned = with_store(config, environment, reporter, |fetching| {
                config_packages::choose(fetching, name, declared)
            })?;
            chosen.push(format!("{name}@{}", pinned.version));
            pins.insert(name.clone(), pinned);
        }
    }
    put(config, environment, reporter, &pins, need)?;
    if !chosen.is_empty() {
        let text = format!("Installed config dependencies: {}", chosen.join(", "));
        reporter.report(&Event::Info(&escaped(&text)));
    }
    if need == Need::Known || !is_changed || !uses_lockfile(config) {
        return Ok(None);
    }
    document.pin(&pins);
    Ok(Some(Draft {
        path,
        kind: DraftKind::Lockfile,
        after: Some(document.in_front_of(text.as_deref()).into_bytes()),
        before: text.map(String::into_bytes),
    }))
}

/// Puts those that are missing into the cache, and tells `config` where they are.
fn put(
    config: &mut Config,
    environment: &Environment,
    reporter: &Arc<dyn Reporter>,
    pins: &Pins,
    need: Need,
) -> Result<(), Failure> {
    for (name, pinned) in pins {
        let place = config_packages::place_of(config, name, pinned);
        if !place.exists() {
            if need == Need::Known {
                continue;
            }
            with_store(config, environment, reporter, |fetching| {
                config_packages::install(fetching, name, pinned)
            })?;
        }
        config.packages.installed.insert(name.clone(), place);
    }
    Ok(())
}

fn with_store<T>(
    config: &Config,
    environment: &Environment,
    reporter: &Arc<dyn Reporter>,
    work: impl FnOnce(Fetching<'_>) -> Result<T, ConfigPackageError>,
) -> Result<T, Failure> {
    let store = open_store(config, Access::ReadWrite, Supply::Fetch)?;
    let fetching = Fetching {
        config,
        environment,
        store: &store,
        reporter,
    };
    Ok(work(fetching)?)
}

/// Under continuous integration a lockfile that is there is frozen.
fn refuse_frozen(config: &Config, is_there: bool) -> Result<(), ConfigPackageError> {
    let lockfile = &config.lockfile;
    match lockfile.frozen == Some(true) && (is_there || !lockfile.frozen_is_implied) {
        true => Err(ConfigPackageError::Frozen),
        false => Ok(()),
    }
}

/// Whether something is in front of the lockfile. It is looked at by every command, so no more is
/// read of it than that takes.
fn has_document(path: &Path) -> bool {
    let mut start = [0; 4];
    let read = fs::File::open(path).and_then(|mut file| file.read_exact(&mut start));
    read.is_ok() && start == *b"---\n"
}
