//! Lockfiles of branches that go into the one of all (`mergeGitBranchLockfiles`).

use std::path::Path;

use super::{text_at, uses_lockfile};
use crate::cli::context::Context;
use crate::cli::failure::Failure;
use crate::install::config::BranchLockfiles;
use crate::install::drafts::{Draft, DraftKind, Drafts};
use crate::install::locked::InstallError;
use crate::install::lockfile::{Lockfile, environment_in, has_main_document, read_lockfile};
use crate::install::relock::{draft, has_conflict, merged, put_together};

/// Decides on the lockfile of all with what those of branches have, which go away.
pub(in crate::cli) fn merge_branches(context: &Context) -> Result<(), Failure> {
    let config = &context.config;
    if !config.lockfile.branches.are_merged() || !uses_lockfile(config) {
        return Ok(());
    }
    let directory = &config.lockfile_directory;
    let mut paths = BranchLockfiles::all_in(directory).map_err(|source| {
        let path = directory.clone();
        InstallError::ReadLockfile { path, source }
    })?;
    paths.retain(|path| context.with_drafts(|drafts: &Drafts| drafts.has(path)));
    if paths.is_empty() {
        return Ok(());
    }
    let of_all = config.lockfile_path();
    let before = text_at(context, &of_all)?;
    let mut whole = before.as_deref().map(read).transpose()?.flatten();
    for path in &paths {
        let text = text_at(context, path)?;
        let Some(other) = text.as_deref().map(read).transpose()?.flatten() else {
            continue;
        };
        whole = Some(match whole {
            Some(ours) => put_together(ours, other),
            None => other,
        });
    }
    if let Some(mut lockfile) = whole {
        let environment = before.as_deref().and_then(environment_in);
        lockfile.environment_document = environment.map(Into::into);
        let (draft, text) = draft(&lockfile, &of_all, before.as_deref())?;
        context.draft_lockfile(draft, text, lockfile)?;
    }
    for path in &paths {
        context.draft(removal(path, text_at(context, path)?))?;
    }
    Ok(())
}

fn read(text: &str) -> Result<Option<Lockfile>, InstallError> {
    Ok(match () {
        () if !has_main_document(text) => None,
        () if has_conflict(text) => Some(merged(text)?),
        () => Some(read_lockfile(text)?),
    })
}

fn removal(path: &Path, text: Option<String>) -> Draft {
    Draft {
        path: path.to_owned(),
        kind: DraftKind::Lockfile,
        before: text.map(String::into_bytes),
        after: None,
    }
}
