//! `clean`, and `ci`, which installs what is locked into a clean project.

use std::fs;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use crate::cli::apart::{self, Concerns};
use crate::cli::arguments::{CleanArguments, GlobalArguments, InstallArguments};
use crate::cli::commands::install;
use crate::cli::context::Context;
use crate::cli::failure::Failure;
use crate::cli::scripting::Root;
use crate::cli::writing;
use crate::fs::control::RunDirectory;
use crate::fs::mountinfo;
use crate::install::config::Options;
use crate::install::locked::{Groups, Inputs, MayLack, fits};
use crate::install::lockfile::read_lockfile;
use crate::install::manifest::ManifestError;
use crate::install::workspace::{self, WorkspaceError};

/// `clean`.
pub(in crate::cli) fn run(
    global: &GlobalArguments,
    arguments: &CleanArguments,
) -> Result<(), Failure> {
    let context = Context::load(global, Options::default())?;
    if let Some(projects) = apart::projects(&context, global, Concerns::All, Root::Kept)? {
        return apart::each(global, projects, |global| run(global, arguments));
    }
    clean(&context)?;
    if arguments.lockfile {
        let path = context.config.lockfile_path();
        match fs::remove_file(&path) {
            Err(error) if error.kind() != ErrorKind::NotFound => return Err(failed(&path, error)),
            _ => {}
        }
    }
    Ok(())
}

/// `ci`.
pub(in crate::cli) fn ci(
    global: &GlobalArguments,
    arguments: &InstallArguments,
) -> Result<(), Failure> {
    let mut arguments = arguments.clone();
    arguments.frozen_lockfile = true;
    arguments.no_frozen_lockfile = false;
    let context = Context::load(global, Options::default())?;
    if let Some(projects) = apart::projects(&context, global, Concerns::All, Root::Kept)? {
        return apart::each(global, projects, |global| ci(global, &arguments));
    }
    let config = &context.config;
    // What cannot be installed is no reason to remove what is.
    let inputs = Inputs::read(config, &context.environment, Groups::ALL)?;
    if !inputs.lockfile.is_of_npm {
        let lockfile = read_lockfile(&inputs.lockfile_text)?;
        let Inputs {
            projects, patches, ..
        } = &inputs;
        let may_lack = MayLack::Optional;
        let reporter = &context.reporter;
        fits(&lockfile, projects, patches, config, may_lack, reporter)?;
    }
    clean(&context)?;
    install::run(global, &arguments)
}

/// Takes down what is served, and removes `node_modules` of every project, with what was written
/// into it.
fn clean(context: &Context) -> Result<(), Failure> {
    let config = &context.config;
    let mut places: Vec<PathBuf> = match workspace::projects(config) {
        Ok(projects) => projects
            .into_iter()
            .map(|project| project.directory)
            .collect(),
        Err(WorkspaceError::Manifest(ManifestError::Missing { .. })) => Vec::new(),
        Err(error) => return Err(error.into()),
    };
    places.push(config.lockfile_directory.clone());
    let run = RunDirectory::of_user()?;
    writing::take_down(context, &run)?;
    for place in places {
        remove(&place.join(&config.modules_directory))?;
    }
    writing::forget_note(context)
}

fn remove(modules: &Path) -> Result<(), Failure> {
    // Whatever else is mounted there is not ours to empty.
    if mountinfo::find(modules).is_ok_and(|entry| entry.is_some()) {
        return Err(Failure::new(
            "ERR_PACQUET_FOREIGN_MOUNT",
            format!("{} is a mount of another program", modules.display()),
            Some("unmount it first"),
        ));
    }
    let removed = match fs::symlink_metadata(modules) {
        Ok(facts) if facts.is_dir() => fs::remove_dir_all(modules),
        Ok(_) => fs::remove_file(modules),
        Err(error) => Err(error),
    };
    match removed {
        Err(error) if error.kind() != ErrorKind::NotFound => Err(failed(modules, error)),
        _ => Ok(()),
    }
}

fn failed(path: &Path, cause: std::io::Error) -> Failure {
    let sentence = format!("{} cannot be removed", path.display());
    Failure::io("ERR_PACQUET_REMOVE", &sentence, cause)
}
