//! `install`: up to the layer, and then a mount.

use crate::cli::arguments::{GlobalArguments, InstallArguments};
use crate::cli::context::{Context, groups, install_options};
use crate::cli::failure::Failure;
use crate::cli::interrupt;
use crate::cli::relocking;
use crate::cli::serving::{self, Place};
use crate::fs::mount::{RealFiles, check_prerequisites};
use crate::install::config::VirtualMode;
use crate::install::locked::{Groups, Supply};

pub(in crate::cli) fn run(
    global: &GlobalArguments,
    arguments: &InstallArguments,
) -> Result<(), Failure> {
    let context = Context::load(global, install_options(arguments))?;
    if arguments.lockfile_only {
        return relocking::lockfile_only(&context, arguments.fix_lockfile);
    }
    insist_on_a_mount(&context)?;
    interrupt::watch(&context.config.store_directory)?;
    let place = Place {
        groups: groups(&arguments.selection),
        supply: Supply::Fetch,
        real_files: if arguments.force {
            RealFiles::MoveAside
        } else {
            RealFiles::Refuse
        },
    };
    serving::install_and_mount(&context, &place)
}

/// Whether `node_modules` can be put in place, before anything is changed.
pub(in crate::cli) fn insist_on_a_way(
    context: &Context,
    lockfile_only: bool,
) -> Result<(), Failure> {
    if lockfile_only {
        return Ok(());
    }
    insist_on_a_mount(context)
}

/// Puts `node_modules` in place, after a command changed the lockfile.
pub(in crate::cli) fn put_in_place(context: &Context, lockfile_only: bool) -> Result<(), Failure> {
    if lockfile_only {
        return Ok(());
    }
    interrupt::watch(&context.config.store_directory)?;
    let place = Place {
        groups: Groups::ALL,
        supply: Supply::Fetch,
        real_files: RealFiles::Refuse,
    };
    serving::install_and_mount(context, &place)
}

/// Real files are not written yet, so anything but a mount must be refused before work is done.
fn insist_on_a_mount(context: &Context) -> Result<(), Failure> {
    match context.config.virtual_mode {
        VirtualMode::On => Ok(()),
        VirtualMode::Auto
            if check_prerequisites(context.config.mount_helper.as_deref()).is_ok() =>
        {
            Ok(())
        }
        VirtualMode::Auto | VirtualMode::Off => Err(Failure::new(
            "ERR_PACQUET_REAL_FILES",
            "Writing node_modules as real files is not supported yet",
            Some(
                "serve it with `pacquet install --virtual`, or set `virtual: true` in \
                  pnpm-workspace.yaml",
            ),
        )),
    }
}
