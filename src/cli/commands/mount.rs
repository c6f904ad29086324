//! `mount` and `unmount`.

use std::path::PathBuf;
use std::sync::Arc;

use crate::cli::arguments::{GlobalArguments, MountArguments, UnmountArguments};
use crate::cli::context::{Context, groups, selection_options};
use crate::cli::failure::Failure;
use crate::cli::serving::{self, Place};
use crate::fs::control::RunDirectory;
use crate::fs::error::MountError;
use crate::fs::mount::{self, MountStatus, RealFiles, UnmountRequest};
use crate::install::config::Options;
use crate::install::locked::Supply;
use crate::report::Event;

pub(in crate::cli) fn mount(
    global: &GlobalArguments,
    arguments: &MountArguments,
) -> Result<(), Failure> {
    let context = Context::load(global, selection_options(&arguments.selection))?;
    let place = Place {
        groups: groups(&arguments.selection),
        supply: Supply::StoreOnly,
        real_files: if arguments.force {
            RealFiles::MoveAside
        } else {
            RealFiles::Refuse
        },
    };
    if !arguments.foreground {
        return serving::install_and_mount(&context, &place);
    }
    let ready = serving::Start::new(&context, &place)?.make_ready(&context, &place)?;
    let service = super::serve::service(Arc::clone(&ready.store), ready.plan.layer.parent());
    mount::mount_in_foreground(&ready.plan, &ready.run, service, |outcome| {
        serving::tell(&context, &ready, outcome);
    })?;
    Ok(())
}

pub(in crate::cli) fn unmount(
    global: &GlobalArguments,
    arguments: &UnmountArguments,
) -> Result<(), Failure> {
    let context = Context::load(global, Options::default())?;
    let run = RunDirectory::of_user()?;
    let request = match (arguments.force, arguments.lazy) {
        (true, _) => UnmountRequest::Force,
        (_, true) => UnmountRequest::Lazy,
        _ => UnmountRequest::Strict,
    };
    let mount_helper = context.config.mount_helper.as_deref();
    for (number, mountpoint) in mountpoints(&context, &run, arguments)?.iter().enumerate() {
        match mount::unmount(mountpoint, &run, request, mount_helper) {
            // One server holds every mount of a workspace and takes them down together.
            Err(MountError::NotMounted { .. }) if number > 0 => {}
            other => other?,
        }
        let text = format!("Unmounted {}", mountpoint.display());
        context.reporter.report(&Event::Info(&text));
    }
    Ok(())
}

/// The mounts of the project, deepest first; the root's `node_modules` where there is none, so
/// that the error names it.
fn mountpoints(
    context: &Context,
    run: &RunDirectory,
    arguments: &UnmountArguments,
) -> Result<Vec<PathBuf>, Failure> {
    let config = &context.config;
    let mut found = if arguments.all {
        deepest_first(mount::status(run)?)
    } else {
        mountpoints_of(context, run)?
    };
    if found.is_empty() && !arguments.all {
        found.push(config.lockfile_directory.join(&config.modules_directory));
    }
    Ok(found)
}

/// Where the project is served, deepest first.
pub(in crate::cli) fn mountpoints_of(
    context: &Context,
    run: &RunDirectory,
) -> Result<Vec<PathBuf>, Failure> {
    let config = &context.config;
    let root = &config.lockfile_directory;
    let is_of_project = |mount: &MountStatus| match &mount.state {
        Some(state) => state.project == *root,
        None => mount.mountpoint == root.join(&config.modules_directory),
    };
    let mut mounts = mount::status(run)?;
    mounts.retain(is_of_project);
    Ok(deepest_first(mounts))
}

fn deepest_first(mounts: Vec<MountStatus>) -> Vec<PathBuf> {
    let mut paths: Vec<PathBuf> = mounts.into_iter().map(|mount| mount.mountpoint).collect();
    paths.sort_by_key(|path| std::cmp::Reverse(path.components().count()));
    paths
}
