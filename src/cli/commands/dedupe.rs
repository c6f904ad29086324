//! `dedupe`: through all dependencies again, with the versions of the lockfile preferred.

use crate::cli::arguments::{DedupeArguments, GlobalArguments};
use crate::cli::building::ProjectScripts;
use crate::cli::commands::install;
use crate::cli::context::{Context, change_options};
use crate::cli::failure::Failure;
use crate::cli::relocking::Workspace;

pub(in crate::cli) fn run(
    global: &GlobalArguments,
    arguments: &DedupeArguments,
) -> Result<(), Failure> {
    let context = Context::load(global, change_options(&arguments.change))?;
    let lockfile_only = arguments.change.lockfile_only || arguments.check;
    let mut workspace = Workspace::read(&context)?;
    workspace.go_through_all();
    if arguments.check {
        return workspace.check_deduped(&context);
    }
    workspace.relock(&context)?;
    install::put_in_place(&context, lockfile_only, ProjectScripts::All)
}
