//! `install`: up to the layout, and then a mount or real files.

use crate::cli::arguments::{GlobalArguments, InstallArguments};
use crate::cli::building::InstallScripts;
use crate::cli::choices::Choices;
use crate::cli::context::{Context, groups, install_options};
use crate::cli::failure::Failure;
use crate::cli::interrupt;
use crate::cli::relocking;
use crate::cli::serving::{self, Place};
use crate::cli::writing;
use crate::fs::mount::{RealFiles, check_prerequisites};
use crate::install::config::VirtualMode;
use crate::install::locked::{Groups, Supply};
use crate::report::Event;

pub(in crate::cli) fn run(
    global: &GlobalArguments,
    arguments: &InstallArguments,
) -> Result<(), Failure> {
    let context = Context::load(global, install_options(arguments))?;
    if arguments.lockfile_only {
        return relocking::lockfile_only(&context, arguments.fix_lockfile);
    }
    let place = Place {
        groups: groups(&arguments.selection),
        supply: Supply::Fetch,
        real_files: if arguments.force {
            RealFiles::MoveAside
        } else {
            RealFiles::Refuse
        },
        verify_reads: arguments.verify_reads,
    };
    let is_served = mount_or_write(&context, &place)?;
    let choices = Choices::of(global, arguments).with_served(is_served);
    choices.keep(&context);
    Ok(())
}

/// Puts `node_modules` in place, after a command changed the lockfile. What is served stays served,
/// whoever asked for that.
pub(in crate::cli) fn put_in_place(context: &Context, lockfile_only: bool) -> Result<(), Failure> {
    if lockfile_only {
        return Ok(());
    }
    let place = Place {
        groups: Groups::ALL,
        supply: Supply::Fetch,
        real_files: RealFiles::Refuse,
        verify_reads: false,
    };
    let is_served = mount_or_write(context, &place)?;
    Choices::keep_served(context, is_served);
    Ok(())
}

/// Mounts or writes, as the settings say, and answers whether it is served now. Where that was left
/// to what the machine can do, a line says why it cannot mount.
fn mount_or_write(context: &Context, place: &Place) -> Result<bool, Failure> {
    let children = context.children.clone();
    interrupt::watch(&context.config.store_directory, &children)?;
    let scripts = &InstallScripts::new(context, &children);
    let write = || writing::install(context, place.groups, scripts).map(|()| false);
    let serve = || serving::install(context, place, scripts).map(|()| true);
    match serving::mode(context)? {
        VirtualMode::Off | VirtualMode::AsItIs => write(),
        VirtualMode::On => serve(),
        VirtualMode::Auto => {
            let able = check_prerequisites(context.config.mount_helper.as_deref());
            let served = able.map_err(Failure::from).and_then(|()| serve());
            match served {
                Err(failure) if failure.is_inability_to_mount() => {
                    let why = failure.sentence();
                    let text = format!("Writing real files, because nothing can be served: {why}");
                    context.reporter.report(&Event::Info(&text));
                    write()
                }
                other => other,
            }
        }
    }
}
