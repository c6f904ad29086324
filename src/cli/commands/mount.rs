//! `mount` and `unmount`.

use std::path::PathBuf;

use crate::cli::apart::{self, Concerns};
use crate::cli::arguments::{
    GlobalArguments, MountArguments, SelectionArguments, UnmountArguments, UpgradeServerArguments,
};
use crate::cli::choices::Choices;
use crate::cli::context::{Context, groups, selection_options};
use crate::cli::failure::Failure;
use crate::cli::scripting::Root;
use crate::cli::serving::{self, Place};
use crate::fs::control::{RunDirectory, ServerState};
use crate::fs::error::MountError;
use crate::fs::mount::{self, RealFiles, UnmountRequest};
use crate::fs::mountinfo::MountEntry;
use crate::fs::status;
use crate::fs::upgrade;
use crate::install::config::Options;
use crate::install::locked::{Groups, Supply};
use crate::report::Event;

pub(in crate::cli) fn mount(
    global: &GlobalArguments,
    arguments: &MountArguments,
) -> Result<(), Failure> {
    let context = Context::load(global, selection_options(&arguments.selection))?;
    if let Some(projects) = apart::projects(&context, global, Concerns::All, Root::Kept)? {
        return apart::each(global, projects, |global| mount(global, arguments));
    }
    let (context, groups) = as_installed(context, global, &arguments.selection)?;
    context.narrow_to_installed([])?;
    let place = Place {
        groups,
        supply: Supply::StoreOnly,
        real_files: if arguments.force {
            RealFiles::MoveAside
        } else {
            RealFiles::Refuse
        },
        verify_reads: arguments.verify_reads,
    };
    if !arguments.foreground {
        serving::install_and_mount(&context, &place)?;
        Choices::keep_served(&context, true);
        return Ok(());
    }
    let ready = serving::Start::new(&context, &place)?.make_ready(&context, &place)?;
    ready.write_links()?;
    let command = serving::server_command(place.verify_reads);
    mount::mount_in_foreground(&ready.plan, &ready.run, &command, |outcome| {
        serving::tell(&context, &ready, outcome);
    })?;
    Ok(())
}

/// What to serve: where no flag says it, what the last `install` of the project chose.
fn as_installed(
    context: Context,
    global: &GlobalArguments,
    arguments: &SelectionArguments,
) -> Result<(Context, Groups), Failure> {
    let chosen = Choices::of_selection(global, arguments);
    let kept = Choices::kept(&context).filter(|_| chosen.is_empty());
    let Some(kept) = kept else {
        return Ok((context, groups(arguments)));
    };
    let (global, arguments, ignore_scripts) = kept.arguments(global);
    let mut options = selection_options(&arguments);
    options.ignore_scripts = ignore_scripts;
    let context = Context::load_again(&global, options, &context)?;
    Ok((context, groups(&arguments)))
}

pub(in crate::cli) fn unmount(
    global: &GlobalArguments,
    arguments: &UnmountArguments,
) -> Result<(), Failure> {
    let context = Context::load_anywhere(global, Options::default())?;
    if !arguments.all
        && let Some(projects) = apart::projects(&context, global, Concerns::All, Root::Kept)?
    {
        return apart::each(global, projects, |global| unmount(global, arguments));
    }
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
    if !arguments.all {
        Choices::keep_served(&context, false);
    }
    Ok(())
}

pub(in crate::cli) fn upgrade_server(
    global: &GlobalArguments,
    arguments: &UpgradeServerArguments,
) -> Result<(), Failure> {
    let context = Context::load_anywhere(global, Options::default())?;
    let run = RunDirectory::of_user()?;
    let root = &context.config.lockfile_directory;
    let mounts = status::mounts(&run)?;
    let wanted = mounts.into_iter().filter_map(|(entry, state)| {
        state.filter(|state| arguments.all || state.project_of(&entry) == *root)
    });
    let mut states: Vec<_> = wanted.collect();
    // One server may have several mounts.
    states.dedup_by_key(|state| state.supervisor);
    if states.is_empty() && !arguments.all {
        let path = root.join(&context.config.modules_directory);
        return Err(MountError::NotMounted { path }.into());
    }
    for state in states {
        upgrade::upgrade(&run, &state, &serving::server_command(false))?;
        for mount in &state.mounts {
            let text = format!(
                "Version {} serves {} now",
                env!("CARGO_PKG_VERSION"),
                mount.mountpoint.display()
            );
            context.reporter.report(&Event::Info(&text));
        }
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
        deepest_first(status::mounts(run)?)
    } else {
        mountpoints_of(context, run)?
    };
    if found.is_empty() && !arguments.all {
        found.push(config.lockfile_directory.join(&config.modules_directory));
    }
    Ok(found)
}

/// Where the project is served, deepest first. No server is asked: another one may hang.
pub(in crate::cli) fn mountpoints_of(
    context: &Context,
    run: &RunDirectory,
) -> Result<Vec<PathBuf>, Failure> {
    let config = &context.config;
    let root = &config.lockfile_directory;
    let mut mounts = status::mounts(run)?;
    mounts.retain(|(entry, state)| match state {
        Some(state) => state.project_of(entry) == *root,
        None => entry.mountpoint == root.join(&config.modules_directory),
    });
    Ok(deepest_first(mounts))
}

fn deepest_first(mounts: Vec<(MountEntry, Option<ServerState>)>) -> Vec<PathBuf> {
    let mut paths: Vec<PathBuf> = mounts
        .into_iter()
        .map(|(entry, _)| entry.mountpoint)
        .collect();
    paths.sort_by_key(|path| std::cmp::Reverse(path.components().count()));
    paths
}
