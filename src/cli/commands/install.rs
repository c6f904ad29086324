//! `install`: up to the layout, and then a mount or real files.

use crate::cli::arguments::{GlobalArguments, InstallArguments};
use crate::cli::context::{Context, groups, install_options};
use crate::cli::failure::Failure;
use crate::cli::interrupt;
use crate::cli::serving::{self, Place};
use crate::cli::writing;
use crate::fs::mount::{RealFiles, check_prerequisites};
use crate::install::config::VirtualMode;
use crate::install::locked::Supply;
use crate::report::Event;

pub(in crate::cli) fn run(
    global: &GlobalArguments,
    arguments: &InstallArguments,
) -> Result<(), Failure> {
    let context = Context::load(global, install_options(arguments))?;
    interrupt::watch(&context.config.store_directory)?;
    if !is_served(&context) {
        return writing::install(&context, groups(&arguments.selection));
    }
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

/// Whether `node_modules` is to be served. Where that was left to what the machine can do, a line
/// says why it cannot.
fn is_served(context: &Context) -> bool {
    match context.config.virtual_mode {
        VirtualMode::On => true,
        VirtualMode::Off => false,
        VirtualMode::Auto => match check_prerequisites(context.config.mount_helper.as_deref()) {
            Ok(()) => true,
            Err(error) => {
                let text =
                    format!("Real files are written, because nothing can be served: {error}");
                context.reporter.report(&Event::Info(&text));
                false
            }
        },
    }
}
