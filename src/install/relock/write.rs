//! What replaces the lockfile.

use std::path::Path;

use super::error::RelockError;
use crate::install::drafts::{Draft, DraftKind};
use crate::install::lockfile::{Lockfile, write_lockfile};

/// What is written of `lockfile` to `path`, where `before` is now; and its text.
///
/// # Errors
/// The file is a link.
pub fn draft(
    lockfile: &Lockfile,
    path: &Path,
    before: Option<&str>,
) -> Result<(Draft, String), RelockError> {
    if path.is_symlink() {
        return Err(RelockError::Symlink {
            path: path.to_owned(),
        });
    }
    let text = write_lockfile(lockfile);
    let draft = Draft {
        path: path.to_owned(),
        kind: DraftKind::Lockfile,
        before: before.map(|text| text.as_bytes().to_vec()),
        after: Some(text.clone().into_bytes()),
    };
    Ok((draft, text))
}
