//! Files of a project that a command has decided on and not written yet: they are written when all
//! else that the command does has succeeded, and until then read from here.
//!
//! **Architecture Invariant:** a file is replaced by rename, and only where it is still what the
//! command read: what somebody else wrote meanwhile is not lost. Either all of them are replaced,
//! or those that were are put back.

use std::fs::{self, Permissions};
use std::io::{self, ErrorKind, Write as _};
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};

use tempfile::NamedTempFile;

use crate::diagnostic::Diagnostic;
use crate::limits::LOCKFILE_BYTES_MAX;
use crate::sys::{
    self,
    file::{Unnamed, give_name},
};

/// The mode of a file that was not there before.
const NEW_FILE_MODE: u32 = 0o644;

/// What kind of file it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DraftKind {
    /// The lockfile.
    Lockfile,
    /// The manifest of a project. Where it is a link, what it leads to is replaced.
    Manifest,
    /// Settings of a workspace.
    Settings,
    /// A patch, or another file of the project's own.
    Other,
}

/// Why files were not written.
#[derive(Debug, thiserror::Error)]
pub enum DraftError {
    /// It cannot be written.
    #[error("Cannot write {}", path.display())]
    Write {
        /// Which.
        path: PathBuf,
        /// What it is.
        kind: DraftKind,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// Nothing can be written into its directory.
    #[error(
        "Cannot write {}: its directory belongs to user {owner} and cannot be written",
        path.display()
    )]
    Forbidden {
        /// Which.
        path: PathBuf,
        /// What it is.
        kind: DraftKind,
        /// Whose the directory is.
        owner: u32,
    },
    /// It is immutable, or something is mounted on it.
    #[error(
        "Cannot write {}: it is immutable, or mounted, so that no file can take its place",
        path.display()
    )]
    Fixed {
        /// Which.
        path: PathBuf,
        /// What it is.
        kind: DraftKind,
    },
    /// Somebody else changed it while the command ran.
    #[error("{} was changed by something else while the command ran", path.display())]
    Changed {
        /// Which.
        path: PathBuf,
    },
}

impl Diagnostic for DraftError {
    fn code(&self) -> &'static str {
        match self {
            Self::Write { kind, .. } | Self::Forbidden { kind, .. } | Self::Fixed { kind, .. } => {
                match kind {
                    DraftKind::Lockfile => "ERR_PACQUET_LOCKFILE_WRITE",
                    DraftKind::Manifest => "ERR_PACQUET_MANIFEST_WRITE",
                    DraftKind::Settings => "ERR_PNPM_WORKSPACE_MANIFEST_WRITER_WRITE",
                    DraftKind::Other => "ERR_PACQUET_WRITE",
                }
            }
            Self::Changed { .. } => "ERR_PACQUET_CHANGED_MEANWHILE",
        }
    }

    fn hint(&self) -> Option<String> {
        match self {
            Self::Write { path, .. } => Some(format!(
                "check that {} is a file, and that there is room on its file system",
                path.display()
            )),
            Self::Fixed { path, .. } => Some(format!(
                "`chattr -i -a {}`, or mount its directory instead of the file",
                path.display()
            )),
            Self::Forbidden { path, .. } => {
                let directory = path.parent().unwrap_or(Path::new(".")).display();
                Some(format!(
                    "run the command as the owner of {directory}, or give that directory to who \
                     runs it"
                ))
            }
            Self::Changed { .. } => Some("run the command again".to_owned()),
        }
    }
}

/// A file that is to be written, or removed.
#[derive(Debug, Clone)]
pub struct Draft {
    /// Where it is.
    pub path: PathBuf,
    /// What it is.
    pub kind: DraftKind,
    /// What was there when the command read it.
    pub before: Option<Vec<u8>>,
    /// What is to be there.
    pub after: Option<Vec<u8>>,
}

/// All of a command.
#[derive(Debug, Default)]
pub struct Drafts(Vec<Begun>);

/// A draft whose content is on its way to the disk while the command does the rest.
#[derive(Debug)]
struct Begun {
    draft: Draft,
    file: Option<Unnamed>,
}

impl Begun {
    fn new(draft: Draft) -> Self {
        let begin = |content: &Vec<u8>| {
            let target = draft.target().ok()?;
            Unnamed::begin(directory_of(&target), content, permissions(&target)).ok()
        };
        let file = draft.after.as_ref().and_then(begin);
        Self { draft, file }
    }
}

impl Drafts {
    /// Whether there is nothing to write.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Drops those of this kind.
    pub fn leave_out(&mut self, kind: DraftKind) {
        self.0.retain(|begun| begun.draft.kind != kind);
    }

    /// What the file at `path` will be; `None` where it stays as it is.
    pub fn content(&self, path: &Path) -> Option<Option<&[u8]>> {
        let mut drafts = self.0.iter().map(|begun| &begun.draft);
        let found = drafts.find(|draft| draft.path == path);
        found.map(|draft| draft.after.as_deref())
    }

    /// The content of the file at `path`: what it will be, or what it is.
    ///
    /// # Errors
    /// It cannot be read, or there is none.
    pub fn read(&self, path: &Path) -> io::Result<Vec<u8>> {
        match self.content(path) {
            Some(Some(content)) => Ok(content.to_vec()),
            Some(None) => Err(ErrorKind::NotFound.into()),
            None => sys::file::read(path, LOCKFILE_BYTES_MAX),
        }
    }

    /// Whether there is a file at `path`, or will be.
    pub fn has(&self, path: &Path) -> bool {
        self.content(path)
            .map_or_else(|| path.exists(), |content| content.is_some())
    }

    /// Adds one. A second one of the same file takes the place of the first.
    ///
    /// # Errors
    /// [`DraftError::Forbidden`] and [`DraftError::Fixed`]: they are found out before all the rest
    /// is done.
    pub fn put(&mut self, draft: Draft) -> Result<(), DraftError> {
        let known = self.0.iter_mut();
        let mut known = known.filter(|known| known.draft.path == draft.path);
        if let Some(known) = known.next() {
            let before = known.draft.before.take();
            *known = Begun::new(Draft { before, ..draft });
            return Ok(());
        }
        if draft.before == draft.after {
            return Ok(());
        }
        draft.refuse_forbidden()?;
        self.0.push(Begun::new(draft));
        Ok(())
    }

    /// Writes all of them. There are none left then, whatever came of it.
    ///
    /// # Errors
    /// One was changed by somebody else, or cannot be written: then all are as they were.
    pub fn write(&mut self) -> Result<(), DraftError> {
        let drafts = std::mem::take(&mut self.0);
        let mut staged = Vec::with_capacity(drafts.len());
        let mut all = Vec::with_capacity(drafts.len());
        for Begun { draft, file } in drafts {
            staged.push(draft.stage(file)?);
            all.push(draft);
        }
        let mut done: Vec<(&Draft, PathBuf)> = Vec::new();
        for (draft, staged) in all.iter().zip(staged) {
            let target = staged.target.clone();
            match staged.put_in_place() {
                Ok(()) => done.push((draft, target)),
                Err(source) => {
                    for (draft, target) in done.iter().rev() {
                        put_back(draft, target);
                    }
                    return Err(draft.failed(source));
                }
            }
        }
        Ok(())
    }
}

/// A file beside the one in whose place it goes; without one, that goes away.
struct Staged {
    target: PathBuf,
    file: Option<NamedTempFile>,
}

impl Staged {
    fn put_in_place(self) -> io::Result<()> {
        match self.file {
            Some(file) => file
                .persist(&self.target)
                .map(drop)
                .map_err(|error| error.error),
            None => fs::remove_file(&self.target),
        }
    }
}

/// What is said is the failure that led here; a file that cannot be put back has the new content.
fn put_back(draft: &Draft, target: &Path) {
    let _ = match &draft.before {
        Some(content) => {
            let mode = fs::metadata(target).map(|facts| facts.permissions().mode());
            sys::file::replace(target, content, Some(mode.unwrap_or(NEW_FILE_MODE)))
        }
        None => fs::remove_file(target),
    };
}

impl Draft {
    fn failed(&self, source: io::Error) -> DraftError {
        DraftError::Write {
            path: self.path.clone(),
            kind: self.kind,
            source,
        }
    }

    /// The file itself, where a link leads to it.
    fn target(&self) -> io::Result<PathBuf> {
        match self.kind {
            DraftKind::Manifest | DraftKind::Settings if self.before.is_some() => {
                self.path.canonicalize()
            }
            _ => Ok(self.path.clone()),
        }
    }

    fn refuse_forbidden(&self) -> Result<(), DraftError> {
        let target = self.target().map_err(|error| self.failed(error))?;
        let directory = directory_of(&target);
        match directory.metadata() {
            Ok(facts) if !sys::directory::is_writable(directory) => Err(DraftError::Forbidden {
                path: target,
                kind: self.kind,
                owner: facts.uid(),
            }),
            _ if sys::file::is_fixed(&target) => Err(DraftError::Fixed {
                path: target,
                kind: self.kind,
            }),
            _ => Ok(()),
        }
    }

    fn stage(&self, begun: Option<Unnamed>) -> Result<Staged, DraftError> {
        let failed = |error| self.failed(error);
        let now = match sys::file::read(&self.path, LOCKFILE_BYTES_MAX) {
            Ok(content) => Some(content),
            Err(error) if error.kind() == ErrorKind::NotFound => None,
            Err(error) => return Err(failed(error)),
        };
        if now != self.before && now != self.after {
            return Err(DraftError::Changed {
                path: self.path.clone(),
            });
        }
        let target = self.target().map_err(failed)?;
        let file = match &self.after {
            Some(content) => Some(stage(&target, content, begun).map_err(failed)?),
            None => None,
        };
        Ok(Staged { target, file })
    }
}

fn stage(target: &Path, content: &[u8], begun: Option<Unnamed>) -> io::Result<NamedTempFile> {
    let directory = directory_of(target);
    sys::directory::make(directory)?;
    let name = target.file_name().unwrap_or_default().to_string_lossy();
    let prefix = format!(".{name}.");
    let mut builder = tempfile::Builder::new();
    builder.prefix(&prefix);
    if let Some(begun) = begun {
        let file = begun.wait()?;
        let named = builder.make_in(directory, |path| {
            give_name(&file, path)?;
            file.try_clone()
        });
        // Where such a file cannot be named (no `/proc`), it is written again.
        if let Ok(named) = named {
            return Ok(named);
        }
    }
    let mut file = builder.tempfile_in(directory)?;
    file.write_all(content)?;
    file.as_file().set_permissions(permissions(target))?;
    file.as_file().sync_all()?;
    Ok(file)
}

fn directory_of(target: &Path) -> &Path {
    target.parent().unwrap_or(Path::new("."))
}

/// Those of the file that is there.
fn permissions(target: &Path) -> Permissions {
    match fs::metadata(target) {
        Ok(facts) => facts.permissions(),
        Err(_) => Permissions::from_mode(NEW_FILE_MODE),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn draft(path: PathBuf, before: Option<&str>, after: Option<&str>) -> Draft {
        Draft {
            path,
            kind: DraftKind::Other,
            before: before.map(|text| text.as_bytes().to_vec()),
            after: after.map(|text| text.as_bytes().to_vec()),
        }
    }

    fn names(directory: &Path) -> Vec<String> {
        let entries = fs::read_dir(directory).expect("listed");
        let mut names: Vec<String> = entries
            .map(|entry| {
                entry
                    .expect("read")
                    .file_name()
                    .to_string_lossy()
                    .into_owned()
            })
            .collect();
        names.sort();
        names
    }

    #[test]
    fn all_are_written_at_once_and_read_before() {
        let scratch = tempfile::tempdir().expect("a directory");
        let path = |name: &str| scratch.path().join(name);
        fs::write(path("old"), "1").expect("written");
        fs::write(path("gone"), "1").expect("written");
        let mut drafts = Drafts::default();
        for one in [
            draft(path("old"), Some("1"), Some("2")),
            draft(path("gone"), Some("1"), None),
            draft(path("below/new"), None, Some("3")),
            draft(path("same"), None, None),
        ] {
            drafts.put(one).expect("put");
        }
        assert_eq!(drafts.read(&path("old")).expect("read"), b"2");
        assert_eq!(drafts.content(&path("gone")), Some(None));
        assert_eq!(drafts.content(&path("same")), None);
        assert_eq!(names(scratch.path()), ["gone", "old"]);
        drafts.write().expect("written");
        assert_eq!(names(scratch.path()), ["below", "old"]);
        assert_eq!(fs::read(path("old")).expect("read"), b"2");
        assert_eq!(fs::read(path("below/new")).expect("read"), b"3");
        assert!(drafts.is_empty());
    }

    #[test]
    fn what_somebody_else_changed_stays_and_so_do_the_others() {
        let scratch = tempfile::tempdir().expect("a directory");
        let path = |name: &str| scratch.path().join(name);
        fs::write(path("a"), "1").expect("written");
        fs::write(path("b"), "1").expect("written");
        let mut drafts = Drafts::default();
        for name in ["a", "b"] {
            let one = draft(path(name), Some("1"), Some("2"));
            drafts.put(one).expect("put");
        }
        fs::write(path("b"), "mine").expect("written");
        let error = drafts.write().expect_err("refused");
        assert_eq!(error.code(), "ERR_PACQUET_CHANGED_MEANWHILE");
        assert_eq!(fs::read(path("a")).expect("read"), b"1");
        assert_eq!(fs::read(path("b")).expect("read"), b"mine");
        assert_eq!(names(scratch.path()), ["a", "b"]);
    }

    #[test]
    fn what_was_replaced_is_put_back_where_another_cannot_be() {
        let scratch = tempfile::tempdir().expect("a directory");
        let path = |name: &str| scratch.path().join(name);
        fs::write(path("a"), "1").expect("written");
        let mut drafts = Drafts::default();
        for one in [
            draft(path("a"), Some("1"), Some("2")),
            draft(path("new"), None, Some("2")),
        ] {
            drafts.put(one).expect("put");
        }
        // It is gone before it is removed.
        drafts.0.push(Begun::new(draft(path("c"), None, None)));
        let error = drafts.write().expect_err("refused");
        assert_eq!(error.code(), "ERR_PACQUET_WRITE");
        assert_eq!(fs::read(path("a")).expect("read"), b"1");
        assert_eq!(names(scratch.path()), ["a"]);
    }
}
