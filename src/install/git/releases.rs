//! Commits and tags of the user's own repository, which releases are noted by.

use std::path::Path;

use super::ask;
use crate::diagnostic::Diagnostic;
use crate::install::config::Environment;
use crate::name::escaped;

/// Why something is not noted.
#[derive(Debug, thiserror::Error)]
pub enum ReleaseError {
    /// There are changes that are not committed.
    #[error("The working tree has changes that are not committed")]
    Unclean,
    /// git says no.
    #[error("`git {command}` failed: {}", escaped(said))]
    Git {
        /// What was asked.
        command: String,
        /// What it said.
        said: String,
    },
}

impl Diagnostic for ReleaseError {
    fn code(&self) -> &'static str {
        match self {
            Self::Unclean => "ERR_PNPM_UNCLEAN_WORKING_TREE",
            Self::Git { .. } => "ERR_PNPM_GIT_COMMAND_FAILED",
        }
    }

    fn hint(&self) -> Option<String> {
        let text = match self {
            Self::Unclean => "commit them or put them aside, or use --no-git-checks",
            Self::Git { .. } => return None,
        };
        Some(text.to_owned())
    }
}

/// The repository around a directory.
pub struct Releases<'a> {
    directory: &'a Path,
    environment: &'a Environment,
}

/// How a release is noted.
#[derive(Debug, Clone, Copy)]
pub struct Tag<'a> {
    /// The name of the tag.
    pub name: &'a str,
    /// What commit and tag say.
    pub message: &'a str,
    /// Whether hooks of the repository run.
    pub runs_hooks: bool,
    /// Whether the tag is signed.
    pub is_signed: bool,
}

impl<'a> Releases<'a> {
    /// `None` where there is no repository, or no git.
    pub fn around(directory: &'a Path, environment: &'a Environment) -> Option<Self> {
        let repository = Self {
            directory,
            environment,
        };
        let inside = repository.run(&["rev-parse", "--is-inside-work-tree"]);
        inside
            .ok()
            .filter(|said| said.trim() == "true")
            .map(|_| repository)
    }

    /// # Errors
    /// Something is not committed.
    pub fn refuse_changes(&self) -> Result<(), ReleaseError> {
        match self.run(&["status", "--porcelain"])?.trim().is_empty() {
            true => Ok(()),
            false => Err(ReleaseError::Unclean),
        }
    }

    /// # Errors
    /// There is a tag of this name already.
    pub fn refuse_tag(&self, name: &str) -> Result<(), ReleaseError> {
        let reference = format!("refs/tags/{name}");
        match self.run(&["rev-parse", "--quiet", "--verify", &reference]) {
            Ok(_) => Err(ReleaseError::Git {
                command: "tag".to_owned(),
                said: format!("there is a tag {name} already"),
            }),
            Err(_) => Ok(()),
        }
    }

    /// The name of the last tag; `None` where there is none.
    pub fn last_tag(&self) -> Option<String> {
        let said = self.run(&["describe", "--tags", "--abbrev=0"]).ok()?;
        Some(said.trim().to_owned())
    }

    /// Commits `path` and what is staged, and tags that.
    ///
    /// # Errors
    /// git says no.
    pub fn note(&self, path: &Path, tag: Tag<'_>) -> Result<(), ReleaseError> {
        let path = path.to_string_lossy();
        self.run(&["add", "--", &path])?;
        let mut commit = vec!["commit", "--allow-empty", "--message", tag.message];
        if !tag.runs_hooks {
            commit.push("--no-verify");
        }
        self.run(&commit)?;
        let kind = if tag.is_signed {
            "--sign"
        } else {
            "--annotate"
        };
        self.run(&["tag", kind, "--message", tag.message, "--", tag.name])?;
        Ok(())
    }

    fn run(&self, arguments: &[&str]) -> Result<String, ReleaseError> {
        let failed = |said: String| ReleaseError::Git {
            command: arguments.first().copied().unwrap_or_default().to_owned(),
            said,
        };
        let output = ask(self.directory, self.environment, arguments);
        let output = output.map_err(|error| failed(error.to_string()))?;
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).trim().to_owned();
        match output.status.success() {
            true => Ok(text(&output.stdout)),
            false => Err(failed(text(&output.stderr))),
        }
    }
}
