//! `dedupe`: through all dependencies again, with the versions of the lockfile preferred.

use crate::cli::apart::{self, Concerns};
use crate::cli::arguments::{DedupeArguments, GlobalArguments};
use crate::cli::building::ProjectScripts;
use crate::cli::commands::install;
use crate::cli::context::{Context, change_options};
use crate::cli::failure::Failure;
use crate::cli::narrowing;
use crate::cli::relocking::Workspace;
use crate::cli::scripting::Root;

pub(in crate::cli) fn run(
    global: &GlobalArguments,
    arguments: &DedupeArguments,
) -> Result<(), Failure> {
    let context = Context::load_to_install(global, change_options(&arguments.change))?;
    let global = &*narrowing::called(&context, global);
    if let Some(projects) = apart::projects(&context, global, Concerns::All, Root::Kept)? {
        return apart::each(global, projects, |global| run(global, arguments));
    }
    if !context.narrow(global)? {
        return Ok(());
    }
    let lockfile_only = arguments.change.lockfile_only || arguments.check;
    let mut workspace = Workspace::read(&context)?;
    workspace.go_through_all();
    if arguments.check {
        return workspace.check_deduped(&context);
    }
    workspace.relock(&context)?;
    install::put_in_place(&context, lockfile_only, ProjectScripts::Always)
}
