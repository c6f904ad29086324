//! `install` without a `node_modules` (`enableModulesDir: false`): the lockfile, and what it names
//! in the store. No script runs, because there is nothing that one could use.

use crate::cli::context::Context;
use crate::cli::failure::Failure;
use crate::cli::relocking;
use crate::cli::serving::open_store;
use crate::install::locked::{self, Groups, MayLack, Supply, fits};
use crate::install::lockfile::read_lockfile;
use crate::report::Event;
use crate::store::Access;

pub(super) fn install(context: &Context, groups: Groups) -> Result<(), Failure> {
    let config = &context.config;
    relocking::bring_up_to_date(context, groups)?;
    let inputs = context.inputs(groups)?;
    if !inputs.lockfile.is_of_npm {
        let lockfile = read_lockfile(&inputs.lockfile_text)?;
        let (projects, patches) = (&inputs.projects, &inputs.patches);
        let reporter = &context.reporter;
        fits(
            &lockfile,
            projects,
            patches,
            config,
            MayLack::Optional,
            reporter,
        )?;
    }
    let store = open_store(config, Access::ReadWrite, Supply::Fetch)?;
    let packages = locked::fetch_all(&inputs, config, &store, &context.reporter)?;
    let text = format!("{packages} packages are in the store");
    context.reporter.report(&Event::Info(&text));
    Ok(())
}
