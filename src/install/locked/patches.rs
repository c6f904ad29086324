//! The patch files that `patchedDependencies` names.

use std::path::PathBuf;

use crate::diagnostic::Diagnostic;
use crate::install::config::Config;
use crate::install::drafts::Drafts;
use crate::install::lockfile::patch_file_hash;
use crate::install::patch::{PackageFile, apply_patch};
use crate::name::escaped;
use crate::store::{PendingFile, TransformError};

/// A patch file cannot be read.
#[derive(Debug, thiserror::Error)]
#[error("Cannot read the patch {} of {}", path.display(), escaped(key))]
pub struct PatchFileError {
    /// Key of `patchedDependencies`.
    pub key: Box<str>,
    /// The patch file.
    pub path: PathBuf,
    /// Why.
    #[source]
    pub source: std::io::Error,
}

impl Diagnostic for PatchFileError {
    fn code(&self) -> &'static str {
        "ERR_PNPM_PATCH_NOT_FOUND"
    }

    fn hint(&self) -> Option<String> {
        Some("correct the path in patchedDependencies".to_owned())
    }
}

/// A patch file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Patch {
    /// Its key in `patchedDependencies`: `name`, `name@version` or `name@range`.
    pub key: Box<str>,
    /// Its content.
    text: Vec<u8>,
    /// SHA-256 of its content with LF line ends, hexadecimal, as the lockfile has it.
    pub hash: Box<str>,
}

/// All patches of a project.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Patches(Vec<Patch>);

impl Patches {
    /// Reads the files that `patchedDependencies` names, or their drafts.
    ///
    /// # Errors
    /// One cannot be read.
    pub fn read(config: &Config, drafts: &Drafts) -> Result<Self, PatchFileError> {
        let directory = config.root();
        let read = |(key, path): (&String, &String)| {
            let path = directory.join(path);
            let place = config.packages.located(&path);
            let text = drafts.read(&place).map_err(|source| PatchFileError {
                key: key.as_str().into(),
                path,
                source,
            })?;
            let hash = patch_file_hash(&text).into();
            Ok(Patch {
                key: key.as_str().into(),
                text,
                hash,
            })
        };
        let patched_dependencies = &config.graph.patched_dependencies;
        patched_dependencies
            .iter()
            .map(read)
            .collect::<Result<_, _>>()
            .map(Self)
    }

    /// The patches, in the order of the configuration.
    pub fn iter(&self) -> impl Iterator<Item = &Patch> {
        self.0.iter()
    }

    /// The patch whose file has this hash, which is how a depPath names it.
    pub fn by_hash(&self, hash: &str) -> Option<&Patch> {
        self.0.iter().find(|patch| *patch.hash == *hash)
    }
}

impl Patch {
    /// Applies it to the files of a package before they are packed.
    ///
    /// # Errors
    /// A content cannot be read, or the patch does not fit.
    pub(super) fn apply(&self, files: &mut Vec<PendingFile<'_>>) -> Result<(), TransformError> {
        let mut contents = Vec::with_capacity(files.len());
        for file in files.iter() {
            contents.push(PackageFile {
                path: file.path.clone(),
                executable: file.executable,
                content: file.read()?.into_owned(),
            });
        }
        apply_patch(&mut contents, &self.text)?;
        *files = contents
            .into_iter()
            .map(|file| PendingFile::new(file.path, file.executable, file.content))
            .collect();
        Ok(())
    }
}
