//! Packages of repositories: built where their author would build them, and then packed.

use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};

use bytes::Bytes;
use serde_json::Value;

use super::error::InstallError;
use super::fetch::Fetcher;
use super::sources::{Source, Wanted};
use crate::install::builds::Rules;
use crate::install::git::{copied_files, must_be_prepared, pack_list, prepare};
use crate::install::scripts::{Launcher, Limits, ScriptOutput};
use crate::store::{IngestOptions, Packed, PendingFile, Store, TarballSource, TransformError};

/// Ends an ingest of which only the files were wanted.
#[derive(Debug, thiserror::Error)]
#[error("the package has to be prepared")]
struct OnlyTheFiles;

impl Fetcher<'_> {
    /// Runs the scripts that make a package of what is in `directory`, which lies in the
    /// repository `root`.
    pub(super) fn prepare_in(
        &self,
        wanted: &Wanted,
        root: &Path,
        directory: &Path,
    ) -> Result<(), InstallError> {
        if self.config.builds.ignore_scripts {
            return Ok(());
        }
        let rules = Rules::new(&self.config.builds)?;
        let mut launcher = Launcher::of_install(
            self.config,
            self.environment,
            ScriptOutput::HeldForFailure,
            Vec::new(),
            self.children,
            self.reporter,
        );
        launcher.places.called_in = directory.to_owned();
        launcher.limits = Limits {
            timeout: self.config.build_running.timeout,
            ends_alone: true,
        };
        Ok(prepare(&launcher, &rules, &wanted.label, root, directory)?)
    }

    /// Packs what of `directory` would be published; of a project, what its copies have.
    pub(super) fn pack_directory(
        &self,
        wanted: &Wanted,
        directory: &Path,
        options: &IngestOptions<'_>,
    ) -> Result<Packed, InstallError> {
        let list = match &wanted.source {
            Source::LocalDirectory(_) => copied_files(directory, self.config)?,
            _ => pack_list(directory)?,
        };
        let mut options = options.clone();
        options.subdirectory = None;
        options.integrity = None;
        options.only = Some(&list.files);
        let packed = self.store.ingest_directory(directory, &options);
        packed.map_err(|source| InstallError::Package {
            package: wanted.label.clone(),
            source,
        })
    }

    /// Stores a code host's archive: as it is, or, where its package has to be built, what the
    /// build makes of it. `open` gives the archive, from its beginning.
    pub(super) fn store_hosted(
        &self,
        wanted: &Wanted,
        open: &dyn Fn() -> std::io::Result<TarballSource>,
        options: &IngestOptions<'_>,
    ) -> Result<Packed, InstallError> {
        let refused = |source| InstallError::Package {
            package: wanted.label.clone(),
            source,
        };
        let again = || open().map_err(self.spool_failed(wanted));
        let needs_build = AtomicBool::new(false);
        let look = |files: &mut Vec<PendingFile<'_>>| -> Result<(), TransformError> {
            if !self.config.builds.ignore_scripts && must_be_built(files) {
                needs_build.store(true, Ordering::Relaxed);
                return Err(OnlyTheFiles.into());
            }
            self.transform(wanted, files)
        };
        let mut looking = options.clone();
        looking.transform = Some(&look);
        let stored = self.store.ingest_tarball(again()?, &looking);
        if !needs_build.load(Ordering::Relaxed) {
            return stored.map_err(refused);
        }
        let parent = self.store.path().join("tmp");
        let temporary = tempfile::Builder::new()
            .prefix(&Store::temporary_prefix())
            .tempdir_in(&parent)
            .map_err(self.spool_failed(wanted))?;
        let root = temporary.path();
        let is_written = AtomicBool::new(false);
        let write = |files: &mut Vec<PendingFile<'_>>| -> Result<(), TransformError> {
            for file in files.iter() {
                write_file(root, file)?;
            }
            is_written.store(true, Ordering::Relaxed);
            Err(OnlyTheFiles.into())
        };
        let mut writing = options.clone();
        writing.subdirectory = None;
        writing.transform = Some(&write);
        let stored = self.store.ingest_tarball(again()?, &writing);
        if !is_written.load(Ordering::Relaxed) {
            return stored.map_err(refused);
        }
        let directory = match &wanted.subdirectory {
            Some(path) => root.join(path.as_str()),
            None => root.to_owned(),
        };
        self.prepare_in(wanted, root, &directory)?;
        self.pack_directory(wanted, &directory, options)
    }

    fn spool_failed(&self, wanted: &Wanted) -> impl Fn(std::io::Error) -> InstallError + use<> {
        let (package, path) = (wanted.label.clone(), self.store.path().join("tmp"));
        move |source| InstallError::Local {
            package: package.clone(),
            path: path.clone(),
            source,
        }
    }
}

fn must_be_built(files: &[PendingFile<'_>]) -> bool {
    let is_manifest = |file: &&PendingFile<'_>| file.path.as_str() == "package.json";
    let Some(manifest) = files.iter().find(is_manifest) else {
        return false;
    };
    // One that cannot be read is refused by the ingest.
    let Ok(text) = manifest.read() else {
        return false;
    };
    let text = text.strip_prefix(b"\xef\xbb\xbf").unwrap_or(&text);
    let Ok(Value::Object(fields)) = serde_json::from_slice(text) else {
        return false;
    };
    must_be_prepared(&fields, |path| {
        let below = format!("{path}/");
        files.iter().any(|file| {
            let file = file.path.as_str();
            file == path || file.starts_with(&below)
        })
    })
}

fn write_file(root: &Path, file: &PendingFile<'_>) -> std::io::Result<()> {
    let path = root.join(file.path.as_str());
    if let Some(parent) = path.parent() {
        std::fs::create_dir_all(parent)?;
    }
    // The archive's last file of a path counts, as where it is packed.
    let mut to = std::fs::OpenOptions::new()
        .write(true)
        .create(true)
        .truncate(true)
        .mode(if file.executable { 0o755 } else { 0o644 })
        .open(&path)?;
    std::io::Write::write_all(&mut to, &file.read()?)
}

/// The archive's bytes, to be read more than once.
pub(super) fn reopen(bytes: Vec<u8>) -> impl Fn() -> std::io::Result<TarballSource> {
    let bytes = Bytes::from(bytes);
    move || Ok(TarballSource::Bytes(bytes.clone()))
}
