//! `fetch`: what the lockfile names into the store, and nothing else.

use crate::cli::arguments::{FetchArguments, GlobalArguments};
use crate::cli::context::{Context, network_options};
use crate::cli::failure::Failure;
use crate::cli::interrupt;
use crate::cli::serving::open_store;
use crate::install::config::Options;
use crate::install::locked::{self, Groups, Inputs, Supply};
use crate::report::Event;
use crate::store::Access;

pub(in crate::cli) fn run(
    global: &GlobalArguments,
    arguments: &FetchArguments,
) -> Result<(), Failure> {
    let mut options = Options::default();
    network_options(&arguments.network, &mut options);
    let context = Context::load(global, options)?;
    let config = &context.config;
    interrupt::watch(&config.store_directory, &context.children)?;
    let groups = Groups {
        production: !arguments.dev,
        development: !arguments.prod,
        optional: true,
    };
    let mut inputs = Inputs::of_lockfile(config, &context.environment, groups)?;
    inputs.children = context.children.clone();
    let store = open_store(config, Access::ReadWrite, Supply::Fetch)?;
    let packages = locked::fetch_all(&inputs, config, &store, &context.reporter)?;
    let text = format!("{packages} packages are in the store");
    context.reporter.report(&Event::Info(&text));
    Ok(())
}
