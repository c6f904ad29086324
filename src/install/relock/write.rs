//! Replacing the lockfile.

use std::fs;
use std::io::Write;
use std::path::Path;

use super::error::RelockError;
use crate::install::lockfile::{Lockfile, write_lockfile};

/// Writes `lockfile` to `path`, whole or not at all. Returns the text that is there now.
///
/// # Errors
/// The file is a link, or cannot be written.
pub fn write(lockfile: &Lockfile, path: &Path) -> Result<String, RelockError> {
    let failed = |source| RelockError::Write {
        path: path.to_owned(),
        source,
    };
    let text = write_lockfile(lockfile);
    let metadata = match fs::symlink_metadata(path) {
        Ok(metadata) if metadata.is_symlink() => {
            return Err(RelockError::Symlink {
                path: path.to_owned(),
            });
        }
        Ok(metadata) => Some(metadata),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => None,
        Err(source) => return Err(failed(source)),
    };
    if metadata.is_some() && fs::read(path).is_ok_and(|known| known == text.as_bytes()) {
        return Ok(text);
    }
    let directory = path.parent().unwrap_or(Path::new("."));
    let mut file = tempfile::Builder::new()
        .prefix(".pnpm-lock.")
        .tempfile_in(directory)
        .map_err(failed)?;
    file.write_all(text.as_bytes()).map_err(failed)?;
    let permissions = match metadata {
        Some(metadata) => metadata.permissions(),
        None => readable_by_all(),
    };
    file.as_file()
        .set_permissions(permissions)
        .map_err(failed)?;
    file.as_file().sync_all().map_err(failed)?;
    file.persist(path).map_err(|error| failed(error.error))?;
    Ok(text)
}

fn readable_by_all() -> fs::Permissions {
    use std::os::unix::fs::PermissionsExt;
    fs::Permissions::from_mode(0o644)
}
