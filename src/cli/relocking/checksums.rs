//! `--update-checksums`: the lockfile with the checksums that registries have today.

use super::{text_at, uses_lockfile};
use crate::cli::context::Context;
use crate::cli::failure::Failure;
use crate::cli::serving::open_store;
use crate::install::locked::{Supply, with_checksums_of_today};
use crate::install::lockfile::{environment_in, has_main_document, read_lockfile};
use crate::install::relock::draft;
use crate::store::Access;

/// Decides on it, where there is a lockfile.
pub(in crate::cli) fn update_checksums(context: &Context) -> Result<(), Failure> {
    let config = &context.config;
    if config.lockfile.frozen == Some(true) && !config.lockfile.frozen_is_implied {
        return Err(Failure::new(
            "ERR_PNPM_CONFIG_CONFLICT_FROZEN_LOCKFILE_WITH_UPDATE_CHECKSUMS",
            "Cannot use --frozen-lockfile together with --update-checksums, which writes the \
             lockfile",
            Some("leave out one of the two"),
        ));
    }
    let path = config.lockfile_path();
    let before = text_at(context, &path)?.filter(|text| has_main_document(text));
    let Some(before) = before.filter(|_| uses_lockfile(config)) else {
        return Ok(());
    };
    let lockfile = read_lockfile(&before)?;
    let store = open_store(config, Access::ReadWrite, Supply::Fetch)?;
    let reporter = &context.reporter;
    let mut new = with_checksums_of_today(&lockfile, config, &store, reporter)?;
    if new == lockfile {
        return Ok(());
    }
    new.environment_document = environment_in(&before).map(Into::into);
    let (draft, text) = draft(&new, &path, Some(&before))?;
    context.draft_lockfile(draft, text, new)
}
