//! The scripts that an install runs: of projects, before and after, and of packages, in the tree.

use std::borrow::Cow;
use std::collections::HashMap;
use std::path::{Path, PathBuf};

use super::context::Context;
use super::failure::Failure;
use super::scripting::shown;
use crate::fs::mountinfo;
use crate::install::builds::{
    self, Build, BuildError, BuildPlace, BuildReport, keep, places, tell_ignored,
};
use crate::install::filter::{Edges, ProjectGraph};
use crate::install::layout::Layout;
use crate::install::locked::Groups;
use crate::install::scripts::schedule::{self, OnFailure, Outcome, without_circles};
use crate::install::scripts::{
    Children, Launcher, Limits, ProjectStages, Script, ScriptManifest, ScriptOutput,
};
use crate::install::workspace::Project;
use crate::store::Store;

/// Which scripts of projects run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum ProjectScripts {
    /// Those of an install, where there is anything to install.
    All,
    /// The same, though everything may be in place.
    Always,
    /// `pnpm:devPreinstall` alone: somebody adds, removes or updates packages by their names.
    BeforeResolution,
    /// None: packages are built again.
    None,
}

/// Runs the scripts of one install.
pub(super) struct InstallScripts<'a> {
    context: &'a Context,
    children: Children,
    project_scripts: ProjectScripts,
    /// Somebody is going to work on the project.
    for_development: bool,
    /// The project is made ready to be used by others.
    prepares: bool,
}

impl<'a> InstallScripts<'a> {
    /// `children` is what has to end when the install is interrupted.
    pub(super) fn new(
        context: &'a Context,
        children: &Children,
        project_scripts: ProjectScripts,
    ) -> Self {
        Self {
            context,
            children: children.clone(),
            project_scripts,
            for_development: true,
            prepares: true,
        }
    }

    /// Without what is for those who develop the project, where `groups` leave that out: its tools
    /// are not there.
    pub(super) fn of_groups(mut self, groups: Groups) -> Self {
        self.for_development &= groups.development;
        self.prepares &= groups.development;
        self
    }

    /// The same of a copy that is deployed, which is not made ready again.
    pub(super) fn of_deployed(mut self, groups: Groups) -> Self {
        self.prepares = false;
        self.of_groups(groups)
    }

    /// Whether scripts run though everything is in place.
    pub(super) fn are_due_anyway(&self) -> bool {
        use ProjectScripts::{Always, BeforeResolution};
        matches!(self.project_scripts, Always | BeforeResolution)
    }

    /// The scripts of a stage that run, in their order.
    fn names(&self, stages: ProjectStages) -> impl Iterator<Item = &'static str> + use<> {
        let (for_development, prepares) = (self.for_development, self.prepares);
        let names = stages.names().iter().copied();
        names.filter(move |name| match *name {
            "pnpm:devPreinstall" => for_development,
            "preprepare" | "prepare" | "postprepare" => prepares,
            _ => true,
        })
    }

    fn launcher(&self, output: ScriptOutput, bin_directories: Vec<PathBuf>) -> Launcher {
        Launcher::of_install(
            &self.context.config,
            &self.context.environment,
            output,
            bin_directories,
            &self.children,
            &self.context.aside,
        )
    }

    /// Runs what comes before the lockfile is looked at. Says whether that was anything: then the
    /// project may have changed. `known` are the projects, where they were read a moment ago.
    pub(super) fn before(&self, known: Option<&[Project]>) -> Result<bool, Failure> {
        if self.are_off() {
            return Ok(false);
        }
        let stages = [
            ProjectStages::BeforeResolution,
            ProjectStages::BeforeLinking,
        ];
        let projects = match known {
            Some(known) => Cow::Borrowed(known),
            None => Cow::Owned(self.context.projects()?),
        };
        let mut names = stages
            .iter()
            .filter(|stages| self.runs(**stages))
            .flat_map(|stages| self.names(*stages));
        let has = |name: &str| {
            let concerned = self.context.concerned(&projects);
            let mut scripts = concerned.iter().map(|project| &project.manifest.scripts);
            scripts.any(|scripts| scripts.contains_key(name))
        };
        if !names.any(has) {
            return Ok(false);
        }
        for stages in stages {
            self.of_projects(&projects, stages)?;
        }
        Ok(true)
    }

    /// Whether no script of a project runs.
    fn are_off(&self) -> bool {
        let config = &self.context.config;
        config.builds.ignore_scripts || config.virtual_store_only
    }

    fn runs(&self, stages: ProjectStages) -> bool {
        !self.are_off()
            && match self.project_scripts {
                ProjectScripts::All | ProjectScripts::Always => true,
                ProjectScripts::BeforeResolution => stages == ProjectStages::BeforeResolution,
                ProjectScripts::None => false,
            }
    }

    /// Runs stages of every project, dependencies first. None where scripts are ignored.
    pub(super) fn of_projects(
        &self,
        projects: &[Project],
        stages: ProjectStages,
    ) -> Result<(), Failure> {
        let config = &self.context.config;
        if !self.runs(stages) {
            return Ok(());
        }
        let root = config.workspace_root.as_ref();
        let shared = root.map(|root| root.join(&config.modules_directory).join(".bin"));
        let launcher = self.launcher(ScriptOutput::Lines, shared.into_iter().collect());
        let link = config.graph.link_workspace_packages;
        let projects = &*self.context.concerned(projects);
        let graph = ProjectGraph::new(projects, Edges::All, link);
        let waits_for: Vec<Vec<usize>> = (0..projects.len())
            .map(|place| graph.of(place).to_vec())
            .collect();
        let failure = std::sync::Mutex::new(None);
        let work = |place: usize| match self.of_project(&launcher, &projects[place], stages) {
            Ok(outcome) => outcome,
            Err(error) => {
                if let Ok(mut failure) = failure.lock() {
                    failure.get_or_insert(error);
                }
                self.children.stop();
                Outcome::Failed
            }
        };
        let concurrency = config.scripts.workspace_concurrency;
        schedule::run(
            &without_circles(&waits_for),
            concurrency,
            OnFailure::Stop,
            work,
        );
        match failure.into_inner() {
            Ok(Some(error)) => Err(Failure::from(error)),
            _ => Ok(()),
        }
    }

    fn of_project(
        &self,
        launcher: &Launcher,
        project: &Project,
        stages: ProjectStages,
    ) -> Result<Outcome, BuildError> {
        let base = &self.context.config.lockfile_directory;
        let is_root = project.directory == *base;
        let has_any = self
            .names(stages)
            .any(|stage| project.manifest.scripts.contains_key(stage));
        let is_native =
            stages == ProjectStages::AfterLinking && project.directory.join("binding.gyp").exists();
        if (!has_any && !is_native) || (stages == ProjectStages::BeforeResolution && !is_root) {
            return Ok(Outcome::Skipped);
        }
        let failed = |source| BuildError::Script {
            package: project.directory.display().to_string(),
            source,
        };
        let manifest =
            ScriptManifest::read(&project.directory).map_err(|error| failed(error.into()))?;
        let Some(manifest) = manifest else {
            return Ok(Outcome::Skipped);
        };
        let shown = shown(&project.directory, &self.context.called_in);
        for stage in self.names(stages) {
            let Some(text) = manifest.stage(stage) else {
                continue;
            };
            let script = Script {
                package: &manifest,
                shown: &shown,
                dep_path: &project.directory.to_string_lossy(),
                is_optional: false,
                stage,
                text,
                arguments: &[],
            };
            let end = launcher.run(&script).map_err(failed)?;
            if !end.is_success() {
                return Err(BuildError::Failed {
                    what: format!("{shown} {stage}"),
                    script: text.to_owned(),
                    end,
                });
            }
        }
        Ok(Outcome::Passed)
    }

    /// Builds packages in the tree of `layout`, whose trees are at `roots`, and stores them.
    pub(super) fn of_packages(
        &self,
        store: &Store,
        layout: &Layout,
        builds: &[Build],
        roots: &[PathBuf],
    ) -> BuildReport {
        let config = &self.context.config;
        let modules = roots.first().map_or(Path::new("."), PathBuf::as_path);
        let bins = vec![
            modules.join(".pnpm/node_modules/.bin"),
            modules.join(".bin"),
        ];
        let mut launcher = self.launcher(ScriptOutput::HeldForFailure, bins);
        launcher.limits = Limits {
            timeout: config.build_running.timeout,
            ends_alone: true,
        };
        launcher.places.is_in_mount = mountinfo::find(modules).is_ok_and(|entry| entry.is_some());
        let mut by_dep_path: HashMap<&str, Vec<BuildPlace>> = HashMap::new();
        for (instance, place) in places(layout, roots) {
            if let Some(instance) = layout.instances.get(instance.0 as usize) {
                by_dep_path
                    .entry(&instance.dep_path)
                    .or_default()
                    .push(place);
            }
        }
        let after = |build: &Build, place: &BuildPlace| keep(store, layout, build, place);
        let concurrency = config.build_running.concurrency;
        builds::run(builds, &by_dep_path, &launcher, concurrency, &after)
    }

    /// Tells of packages with scripts on which nobody has decided: an error, where that is strict.
    pub(super) fn ignored(&self, ignored: &[Box<str>]) -> Result<(), Failure> {
        let policy = &self.context.config.builds;
        if ignored.is_empty() || policy.ignore_scripts {
            return Ok(());
        }
        if policy.strict {
            let packages = ignored.to_vec();
            return Err(BuildError::Ignored { packages }.into());
        }
        tell_ignored(&*self.context.reporter, ignored);
        Ok(())
    }
}
