//! Commits, checked out by the git program.

use tempfile::TempDir;

use super::error::InstallError;

/// Checks a commit out into a temporary directory.
///
/// # Errors
/// Git fails, or the commit is none.
pub(super) fn check_out(repo: &str, commit: &str, package: &str) -> Result<TempDir, InstallError> {
    let _ = (repo, commit);
    Err(InstallError::Unsupported { package: package.to_owned(), kind: "git".to_owned() })
}
