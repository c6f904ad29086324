//! Which directories are being edited, in a file that pnpm shares.

use std::collections::BTreeMap;
use std::fs;
use std::io::{ErrorKind, Read as _};
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::EDIT_DIRECTORY;
use crate::cli::failure::Failure;
use crate::sys;

/// The file is small; one that is not is none of ours.
const BYTES_MAX: u64 = 1 << 20;

/// What `patch` knows of a directory.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct EditState {
    /// As the user named it.
    #[serde(rename = "patchedPkg")]
    pub(super) patched_package: String,
    #[serde(rename = "applyToAll")]
    pub(super) applies_to_all: bool,
    /// The package in the lockfile.
    #[serde(
        rename = "packageKey",
        default,
        skip_serializing_if = "Option::is_none"
    )]
    pub(super) id: Option<String>,
}

impl EditState {
    /// What is known of `directory`, whose path is resolved.
    pub(super) fn of(modules: &Path, directory: &Path) -> Result<Option<Self>, Failure> {
        Ok(read(&path(modules))?.remove(&directory.display().to_string()))
    }

    /// Keeps it for `directory`.
    pub(super) fn keep(self, modules: &Path, directory: &Path) -> Result<(), Failure> {
        let path = path(modules);
        let mut all = read(&path)?;
        all.insert(directory.display().to_string(), self);
        let failed = |cause| super::unwritten(&path, cause);
        let parent = path.parent().unwrap_or(modules);
        fs::create_dir_all(parent).map_err(failed)?;
        let text = serde_json::to_string_pretty(&all).map_err(|error| failed(error.into()))?;
        sys::file::replace(&path, text.as_bytes(), None).map_err(failed)
    }
}

fn path(modules: &Path) -> PathBuf {
    modules.join(EDIT_DIRECTORY).join("state.json")
}

fn read(path: &Path) -> Result<BTreeMap<String, EditState>, Failure> {
    let failed = |cause| {
        let sentence = format!("Failed to read patch state file {}", path.display());
        Failure::io("ERR_PNPM_PATCH_STATE_READ", &sentence, cause)
    };
    let file = match fs::File::open(path) {
        Ok(file) => file,
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(BTreeMap::new()),
        Err(error) => return Err(failed(error)),
    };
    let mut text = String::new();
    file.take(BYTES_MAX)
        .read_to_string(&mut text)
        .map_err(failed)?;
    serde_json::from_str(&text).map_err(|error| failed(error.into()))
}
