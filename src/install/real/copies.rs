//! Copies of a project in `node_modules` (`injectedDeps`), made what the project is now
//! (`syncInjectedDepsAfterScripts`). In a mount they are written to as by any program.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use rustix::fs::FileType;
use serde::Deserialize;

use super::RealError;
use super::directory::Directory;
use super::sync::STATE_FILES;
use crate::diagnostic::Diagnostic;
use crate::install::config::Config;
use crate::install::git::{PackListError, copied_files};
use crate::install::resolve::relative_text;
use crate::limits::LOCKFILE_BYTES_MAX;
use crate::name::RelativePath;

/// Why copies of a project could not be renewed.
#[derive(Debug, thiserror::Error)]
pub enum CopiesError {
    /// What the project has cannot be listed.
    #[error(transparent)]
    List(#[from] PackListError),
    /// A file cannot be read or written.
    #[error(transparent)]
    Files(#[from] RealError),
}

impl Diagnostic for CopiesError {
    fn code(&self) -> &'static str {
        match self {
            Self::List(error) => error.code(),
            Self::Files(error) => error.code(),
        }
    }

    fn hint(&self) -> Option<String> {
        match self {
            Self::List(error) => error.hint(),
            Self::Files(error) => error.hint(),
        }
    }
}

/// The part of `.modules.yaml` that tells of copies.
#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct Injected {
    /// By project: paths relative to the lockfile's directory.
    injected_deps: HashMap<String, Vec<String>>,
}

/// The files of a directory of the project, and what is below it.
#[derive(Default)]
struct Wanted {
    files: BTreeSet<String>,
    directories: BTreeMap<String, Wanted>,
}

/// Brings the copies of the project in `directory` up to date. Its dependencies stay as they are.
///
/// # Errors
/// Something cannot be read or written.
pub fn renew(config: &Config, directory: &Path) -> Result<(), CopiesError> {
    let root = &config.lockfile_directory;
    let modules = root.join(&config.modules_directory);
    let Ok(modules) = Directory::open(&modules) else {
        return Ok(());
    };
    let text = modules.text(STATE_FILES[0], LOCKFILE_BYTES_MAX);
    let injected = text.and_then(|text| serde_json::from_str(&text).ok());
    let Injected { mut injected_deps } = injected.unwrap_or_default();
    let id = Some(relative_text(root, directory)).filter(|id| !id.is_empty());
    let id = id.unwrap_or_else(|| ".".to_owned());
    let Some(places) = injected_deps.remove(&id) else {
        return Ok(());
    };
    let mut wanted = Wanted::default();
    for path in copied_files(directory, config)?.files {
        wanted.add(path.as_str());
    }
    let root = Directory::open_through_links(root)?;
    for place in places {
        if let Some(copy) = opened(&root, &place)? {
            wanted.write(&copy, directory, Level::Package)?;
        }
    }
    Ok(())
}

/// The directory at `place`; `None` where there is none, as where a link to the project is.
fn opened(root: &Directory, place: &str) -> Result<Option<Directory>, RealError> {
    let Ok(path) = RelativePath::new(place) else {
        return Ok(None);
    };
    let mut found: Option<Directory> = None;
    for name in path.components() {
        let parent = found.as_ref().unwrap_or(root);
        if parent.kind(name)? != Some(FileType::Directory) {
            return Ok(None);
        }
        found = Some(parent.child(name)?);
    }
    Ok(found)
}

/// Where in a package a directory is.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Level {
    /// It is the package, whose `node_modules` is the installer's.
    Package,
    Below,
}

impl Wanted {
    fn add(&mut self, path: &str) {
        let (directories, file) = match path.rsplit_once('/') {
            Some((directories, file)) => (Some(directories), file),
            None => (None, path),
        };
        let mut place = self;
        for name in directories.into_iter().flat_map(|path| path.split('/')) {
            place = place.directories.entry(name.to_owned()).or_default();
        }
        place.files.insert(file.to_owned());
    }

    fn write(&self, copy: &Directory, source: &Path, level: Level) -> Result<(), RealError> {
        for (name, kind) in copy.entries()? {
            let stays = match kind {
                FileType::Directory => {
                    self.directories.contains_key(&name)
                        || (level == Level::Package && name == "node_modules")
                }
                _ => self.files.contains(&name),
            };
            if !stays {
                copy.remove(&name)?;
            }
        }
        for name in &self.files {
            let path = source.join(name);
            let failed = |error| RealError::io("read", &path)(error);
            let content = fs::read(&path).map_err(failed)?;
            let facts = fs::metadata(&path).map_err(failed)?;
            copy.write(name, &content, facts.permissions().mode() & 0o111 != 0)?;
        }
        for (name, below) in &self.directories {
            let (child, _) = copy.make(name)?;
            below.write(&child, &source.join(name), Level::Below)?;
        }
        Ok(())
    }
}
