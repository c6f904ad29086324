//! Whether what is installed is what manifests and lockfile ask for.

use std::borrow::Cow;

use super::Workspace;
use crate::cli::context::Context;
use crate::cli::failure::Failure;
use crate::install::locked::{Groups, current_lockfile, leave_out_runtimes};

/// Whether the lockfile fits the manifests, and `current`, the text of the lockfile beside the
/// tree, is what it comes to for `groups`. Where there is no lockfile, `current` has to fit.
pub(in crate::cli) fn stands(
    context: &Context,
    groups: Groups,
    current: Option<&str>,
) -> Result<bool, Failure> {
    let workspace = Workspace::read(context)?;
    let found;
    let lockfile = match (&workspace.previous, current) {
        (Some(previous), _) => &**previous,
        (None, Some(current)) => match super::read_current_lockfile(current) {
            Ok(read) => {
                found = read;
                &found
            }
            Err(_) => return Ok(false),
        },
        (None, None) => return Ok(false),
    };
    if workspace.fits(context, lockfile).is_err() || workspace.has_gone_projects(lockfile) {
        return Ok(false);
    }
    let mut lockfile = Cow::Borrowed(lockfile);
    if !context.config.installs_runtimes {
        leave_out_runtimes(lockfile.to_mut());
    }
    let wanted = current_lockfile(&lockfile, context.narrowed(), groups);
    Ok(wanted.as_deref() == current.map(str::as_bytes))
}
