//! Which projects of a workspace an install is about, where it is not about all: those that
//! filters choose, and the root. What was installed before stays installed.

use std::borrow::Cow;
use std::collections::BTreeSet;
use std::path::Path;

use serde::Deserialize;

use super::arguments::GlobalArguments;
use super::choices::Choices;
use super::context::Context;
use super::failure::Failure;
use super::installed::read_in_time;
use super::scripting::{self, Root};
use super::serving::modules_of;
use crate::install::layout::WORKSPACE_STATE_NAME;
use crate::install::locked::{InstallError, check_engines};
use crate::install::lockfile::{ImporterId, read_current_lockfile};
use crate::install::workspace::Project;

/// Projects of a workspace.
#[derive(Debug, Clone, Default)]
pub(super) struct Narrowing {
    /// Those that the command is about.
    about: BTreeSet<ImporterId>,
    /// Those that are installed then; `None`: all.
    installed: Option<BTreeSet<ImporterId>>,
}

/// The flags of an install as `recursiveInstall` wants them: where that is off, an install is about
/// the project where it is called, and what that needs.
pub(super) fn called<'a>(
    context: &Context,
    global: &'a GlobalArguments,
) -> Cow<'a, GlobalArguments> {
    let config = &context.config;
    let workspace = &global.workspace;
    let is_about_all = config.selection.installs_all || config.workspace_root.is_none();
    if is_about_all || workspace.is_recursive() || workspace.is_alone || workspace.workspace_root {
        return Cow::Borrowed(global);
    }
    let mut global = global.clone();
    global.workspace.filter.push("{.}...".to_owned());
    Cow::Owned(global)
}

impl Context {
    /// Lets the install be about the projects that the flags choose. `false`: they choose none.
    pub(super) fn narrow(&self, global: &GlobalArguments) -> Result<bool, Failure> {
        let (config, arguments) = (&self.config, &global.workspace);
        let may_be_narrow = config.workspace_root.is_some() && config.lockfile.shared;
        if !may_be_narrow
            || arguments.is_alone
            || !(arguments.is_filtered() || arguments.workspace_root)
        {
            return Ok(true);
        }
        let chosen = scripting::choose(self, arguments, Root::Kept)?;
        check_engines(&chosen.projects, config, &self.environment)?;
        let selected = &chosen.selection.projects;
        if selected.is_empty() {
            scripting::nothing_chosen(self, &chosen);
            return Ok(false);
        }
        let is_root =
            |project: &Project| config.workspace_root.as_ref() == Some(&project.directory);
        let projects = chosen.projects.iter().enumerate();
        let about = projects.filter(|(at, project)| selected.contains(at) || is_root(project));
        let about: BTreeSet<ImporterId> = about.map(|(_, project)| project.id.clone()).collect();
        let mut installed = self.importers_there().unwrap_or_default();
        installed.extend(about.iter().cloned());
        let is_whole = chosen
            .projects
            .iter()
            .all(|project| installed.contains(&project.id));
        let narrowing = Narrowing {
            about,
            installed: (!is_whole).then_some(installed),
        };
        // A command narrows once.
        let _ = self.narrowing.set(narrowing);
        Ok(true)
    }

    /// The same of a command that changes projects: one at the root of the workspace is about all.
    pub(super) fn narrow_change(&self, global: &GlobalArguments) -> Result<bool, Failure> {
        match global.workspace.is_filtered() {
            true => self.narrow(global),
            false => Ok(true),
        }
    }

    /// Lets an install be about what is installed, where that is not all and has the projects in
    /// `directories`, for which something is going to be done.
    pub(super) fn narrow_to_installed<'a>(
        &self,
        directories: impl IntoIterator<Item = &'a Path>,
    ) -> Result<(), Failure> {
        let config = &self.config;
        if config.workspace_root.is_none() || !config.lockfile.shared || !self.is_narrow_tree() {
            return Ok(());
        }
        // What was served and is not now is served as it was.
        let kept = || Choices::kept(self).map(|kept| kept.projects());
        let installed = self.importers_there().or_else(kept).unwrap_or_default();
        let projects = self.projects().map_err(InstallError::from)?;
        let mut directories = directories.into_iter();
        let has = |directory: &Path| {
            let found = projects
                .iter()
                .find(|project| project.directory == directory);
            found.is_none_or(|project| installed.contains(&project.id))
        };
        if !installed.is_empty() && directories.all(has) {
            let _ = self.narrowing.set(Narrowing {
                about: installed.clone(),
                installed: Some(installed),
            });
        }
        Ok(())
    }

    /// The projects that are installed, where those are not all.
    pub(super) fn narrowed(&self) -> Option<&BTreeSet<ImporterId>> {
        self.narrowing.get()?.installed.as_ref()
    }

    /// The projects that the command is about, where those are not all.
    pub(super) fn about(&self) -> Option<&BTreeSet<ImporterId>> {
        Some(&self.narrowing.get()?.about)
    }

    /// Those of `projects` that the command is about.
    pub(super) fn concerned<'p>(&self, projects: &'p [Project]) -> Cow<'p, [Project]> {
        let Some(about) = self.about() else {
            return Cow::Borrowed(projects);
        };
        let concerned = projects
            .iter()
            .filter(|project| about.contains(&project.id));
        Cow::Owned(concerned.cloned().collect())
    }

    /// What the lockfile beside the tree has; `None`: there is no tree.
    fn importers_there(&self) -> Option<BTreeSet<ImporterId>> {
        let current = modules_of(self, ".").join(".pnpm/lock.yaml");
        let text = read_in_time(current).ok().flatten()?;
        let current = read_current_lockfile(&text).ok()?;
        Some(current.importers.into_keys().collect())
    }

    /// Whether some projects are not installed, by what the tree says or was said last.
    fn is_narrow_tree(&self) -> bool {
        let state = modules_of(self, ".").join(WORKSPACE_STATE_NAME);
        match read_in_time(state).ok().flatten() {
            Some(text) => {
                serde_json::from_str(&text)
                    .unwrap_or(State::default())
                    .filtered_install
            }
            None => Choices::kept(self).is_some_and(|kept| !kept.projects().is_empty()),
        }
    }
}

/// What is read of `.pnpm-workspace-state-v1.json`.
#[derive(Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct State {
    filtered_install: bool,
}
