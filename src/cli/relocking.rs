//! When the lockfile is made anew, and when it is left alone.

use std::fs;
use std::io::ErrorKind;

use super::context::Context;
use super::failure::Failure;
use super::serving::{UP_TO_DATE, open_store};
use crate::install::locked::{InstallError, Patches, Supply, fits};
use crate::install::lockfile::{Lockfile, read_lockfile};
use crate::install::relock::{Relock, write};
use crate::install::workspace::{self, Project};
use crate::report::Event;
use crate::store::Access;

/// The file name of the lockfile.
const LOCKFILE_NAME: &str = "pnpm-lock.yaml";

/// A project, and its lockfile so far.
struct Place {
    projects: Vec<Project>,
    patches: Patches,
    previous: Option<Lockfile>,
}

/// `--lockfile-only`.
pub(super) fn lockfile_only(context: &Context) -> Result<(), Failure> {
    let place = read(context)?;
    let may_change = may_change(context, place.previous.is_some());
    if let Some(previous) = &place.previous
        && (!may_change || context.config.lockfile.prefer_frozen)
    {
        let fit = fits(previous, &place.projects, &place.patches, &context.config);
        match fit {
            Ok(()) => {
                context.reporter.report(&Event::Info(UP_TO_DATE));
                return Ok(());
            }
            Err(error) if !may_change => return Err(error.into()),
            Err(_) => {}
        }
    } else if !may_change {
        let path = context.config.lockfile_directory.join(LOCKFILE_NAME);
        return Err(InstallError::NoLockfile { path }.into());
    }
    relock(context, &place)
}

/// Makes the lockfile anew where it does not fit, unless it is frozen.
pub(super) fn bring_up_to_date(context: &Context) -> Result<(), Failure> {
    let path = context.config.lockfile_directory.join(LOCKFILE_NAME);
    if !may_change(context, path.exists()) {
        return Ok(());
    }
    let place = read(context)?;
    if let Some(previous) = &place.previous
        && context.config.lockfile.prefer_frozen
        && fits(previous, &place.projects, &place.patches, &context.config).is_ok()
    {
        return Ok(());
    }
    relock(context, &place)
}

/// Under continuous integration a lockfile that is there is frozen.
fn may_change(context: &Context, is_there: bool) -> bool {
    let config = &context.config.lockfile;
    config.frozen != Some(true) || (config.frozen_is_implied && !is_there)
}

fn read(context: &Context) -> Result<Place, Failure> {
    let config = &context.config;
    let projects = workspace::projects(config).map_err(InstallError::from)?;
    let patch_root = config
        .workspace_root
        .as_deref()
        .unwrap_or(&config.directory);
    let patches = Patches::read(&config.graph.patched_dependencies, patch_root)
        .map_err(InstallError::from)?;
    let path = config.lockfile_directory.join(LOCKFILE_NAME);
    let previous = match fs::read_to_string(&path) {
        Ok(text) => Some(read_lockfile(&text).map_err(InstallError::from)?),
        Err(error) if error.kind() == ErrorKind::NotFound => None,
        Err(source) => return Err(InstallError::ReadLockfile { path, source }.into()),
    };
    Ok(Place {
        projects,
        patches,
        previous,
    })
}

fn relock(context: &Context, place: &Place) -> Result<(), Failure> {
    let config = &context.config;
    let store = open_store(&config.store_directory, Access::ReadWrite, Supply::Fetch)?;
    let relock = Relock {
        config,
        environment: &context.environment,
        projects: &place.projects,
        patches: &place.patches,
        previous: place.previous.as_ref(),
    };
    let lockfile = relock.run(&store, &context.reporter)?;
    write(&lockfile, &config.lockfile_directory.join(LOCKFILE_NAME))?;
    Ok(())
}
