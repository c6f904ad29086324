//! What replaces the lockfile.

use std::path::Path;

use super::error::RelockError;
use crate::install::drafts::{Draft, DraftKind};
use crate::install::lockfile::{Lockfile, check_whole, write_lockfile};

/// The text of a lockfile that can be used.
///
/// # Errors
/// Something that it names is missing in it: nobody could read it.
pub fn whole_text(lockfile: &Lockfile) -> Result<String, RelockError> {
    check_whole(lockfile).map_err(RelockError::Incomplete)?;
    Ok(write_lockfile(lockfile))
}

/// What is written of `lockfile` to `path`, where `before` is now; and its text.
///
/// # Errors
/// The file is a link, or something that the lockfile names is missing in it: nobody could read it.
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
    let text = whole_text(lockfile)?;
    let draft = Draft {
        path: path.to_owned(),
        kind: DraftKind::Lockfile,
        before: before.map(|text| text.as_bytes().to_vec()),
        after: Some(text.clone().into_bytes()),
    };
    Ok((draft, text))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::diagnostic::Diagnostic;
    use crate::install::lockfile::read_lockfile;

    const LOCKFILE: &str = "lockfileVersion: '9.0'

importers:

  .:
    dependencies:
      a:
        specifier: '1'
        version: 1.0.0

packages:

  a@1.0.0:
    resolution: {integrity: INTEGRITY}

  b@1.0.0:
    resolution: {integrity: INTEGRITY}

snapshots:

  a@1.0.0:
    dependencies:
      b: 1.0.0

  b@1.0.0: {}
";

    #[test]
    fn what_names_something_that_is_missing_is_never_written() {
        let integrity = format!("sha512-{}==", "A".repeat(86));
        let whole = read_lockfile(&LOCKFILE.replace("INTEGRITY", &integrity)).unwrap();
        let path = Path::new("/nowhere/pnpm-lock.yaml");
        let (_, text) = draft(&whole, path, None).unwrap();
        assert!(text.contains("snapshots:"), "{text}");
        for part in ["snapshots", "packages"] {
            let mut lockfile = whole.clone();
            match part {
                "snapshots" => lockfile.snapshots.retain(|path, _| path.name_str() != "b"),
                _ => lockfile.packages.retain(|id, _| id.name_str() != "b"),
            }
            let error = draft(&lockfile, path, None).unwrap_err();
            assert_eq!(error.code(), "ERR_PACQUET_INCOMPLETE_LOCKFILE");
            assert!(error.to_string().contains("b@1.0.0"), "{error}");
            assert!(error.hint().is_some());
        }
    }
}
