//! What a command has decided about the files of a project, until all else has succeeded.

use std::path::{Path, PathBuf};
use std::sync::{Arc, MutexGuard, PoisonError};

use super::context::Context;
use super::failure::Failure;
use super::relocking::uses_lockfile;
use super::serving::served_layer;
use crate::install::config::LOCKFILE_NAME;
use crate::install::drafts::{Draft, DraftKind, Drafts};
use crate::install::locked::{Groups, Inputs, InstallError, note_policies};
use crate::install::lockfile::Lockfile;
use crate::install::settings_file::{SettingsFile, SettingsFileError, WORKSPACE_FILE_NAME};
use crate::install::workspace::{Project, WorkspaceError, drafted_projects};
use crate::report::Event;

/// What is decided and not written.
#[derive(Default)]
pub(super) struct Pending {
    drafts: Drafts,
    lockfile: Option<Arc<Lockfile>>,
    /// The layer that was served when the first file was decided on.
    served_before: Option<String>,
    /// What is said when it is written.
    notes: Vec<String>,
}

impl Pending {
    /// The digest of the layer that was served when the first file was decided on; `None` where
    /// none was, or nothing is decided.
    pub(super) fn served_before(&self) -> Option<&str> {
        self.served_before.as_deref()
    }

    /// The `pnpm-workspace.yaml` below `root` as it will be, where it changes.
    pub(super) fn workspace_file(&self, root: &Path) -> Option<(PathBuf, Option<String>)> {
        let content = self.drafts.content(&root.join(WORKSPACE_FILE_NAME))?;
        let text = content.map(|content| String::from_utf8_lossy(content).into_owned());
        Some((root.to_owned(), text))
    }

    /// The lockfile below `root` as it will be, where it changes.
    pub(super) fn lockfile_text(&self, root: &Path) -> Option<String> {
        let content = self.drafts.content(&root.join(LOCKFILE_NAME))??;
        Some(String::from_utf8_lossy(content).into_owned())
    }
}

impl Context {
    fn pending(&self) -> MutexGuard<'_, Pending> {
        self.pending.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What is decided, which is no longer this context's.
    pub(super) fn take_pending(&self) -> Pending {
        std::mem::take(&mut *self.pending())
    }

    /// Writes a file when all else has succeeded.
    pub(super) fn draft(&self, draft: Draft) -> Result<(), Failure> {
        let mut pending = self.pending();
        let was_empty = pending.drafts.is_empty();
        pending.drafts.put(draft)?;
        if was_empty && !pending.drafts.is_empty() {
            pending.served_before = served_layer(self);
        }
        Ok(())
    }

    /// Says something when what is decided is written.
    pub(super) fn note(&self, text: String) {
        self.pending().notes.push(text);
    }

    /// The lockfile that was decided on.
    pub(super) fn draft_lockfile(
        &self,
        draft: Draft,
        text: String,
        lockfile: Lockfile,
    ) -> Result<(), Failure> {
        self.draft(draft)?;
        let lockfile = self.keep_written(text, lockfile);
        self.pending().lockfile = Some(lockfile);
        Ok(())
    }

    /// Looks at what is decided.
    pub(super) fn with_drafts<T>(&self, look: impl FnOnce(&Drafts) -> T) -> T {
        look(&self.pending().drafts)
    }

    /// What an install is made from, with what is decided.
    pub(super) fn inputs(&self, groups: Groups) -> Result<Inputs, InstallError> {
        let read =
            |drafts: &Drafts| Inputs::drafted(&self.config, &self.environment, groups, drafts);
        let mut inputs = self.with_drafts(read)?;
        inputs.children = self.children.clone();
        inputs.known_lockfile = self.written(&inputs.lockfile_text);
        inputs.installed = self.narrowed().cloned();
        inputs.checked = self.about().cloned();
        Ok(inputs)
    }

    /// All projects, with what is decided.
    pub(super) fn projects(&self) -> Result<Vec<Project>, WorkspaceError> {
        self.with_drafts(|drafts| drafted_projects(&self.config, drafts))
    }

    /// The settings of the workspace or project in `root`, with what is decided.
    pub(super) fn settings_file(&self, root: &Path) -> Result<SettingsFile, SettingsFileError> {
        self.with_drafts(|drafts| SettingsFile::drafted(root, drafts))
    }

    /// Writes what is decided.
    pub(super) fn settle(&self) -> Result<(), Failure> {
        let mut pending = self.take_pending();
        if !uses_lockfile(&self.config) {
            pending.drafts.leave_out(DraftKind::Lockfile);
        }
        if let Err(error) = pending.drafts.write() {
            // Whoever puts that back which was served asks what it was.
            self.pending().served_before = pending.served_before;
            return Err(error.into());
        }
        if let Some(lockfile) = &pending.lockfile {
            note_policies(lockfile, &self.config)?;
        }
        for note in &pending.notes {
            self.reporter.report(&Event::Info(note));
        }
        Ok(())
    }
}
