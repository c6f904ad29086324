//! What the commands that run scripts and programs share.

use std::path::Path;

use super::Ending;
use super::arguments::{GlobalArguments, WorkspaceArguments};
use super::context::Context;
use super::failure::Failure;
use super::print;
use super::report::{ScriptLines, make_for_scripts};
use crate::install::drafts::Drafts;
use crate::install::filter::{ChangeRules, Request, Selection, select};
use crate::install::scripts::schedule::{self, OnFailure, without_circles};
use crate::install::scripts::{
    Children, Launcher, Limits, NodeGyp, Script, ScriptEnd, ScriptManifest, ScriptOutput,
    ScriptPlaces, node_path_of,
};
use crate::install::workspace::{self, Project};
use crate::lexical;
use crate::name::escaped;
use crate::report::Event;

/// Makes the launcher of a command; `command` is what scripts see as `npm_command`.
pub(super) fn launcher(
    context: &Context,
    command: &'static str,
    output: ScriptOutput,
    children: &Children,
) -> Launcher {
    let config = &context.config;
    let root = config.workspace_root.as_ref();
    let shared = root.map(|root| root.join(&config.modules_directory).join(".bin"));
    Launcher {
        config: config.scripts.clone(),
        places: ScriptPlaces {
            environment: context.environment.clone(),
            command,
            called_in: context.environment.current_directory().to_owned(),
            bin_directories: shared.into_iter().collect(),
            program: std::env::current_exe().ok(),
            node_gyp: NodeGyp::of_npm(&context.environment),
            node_path: node_path_of(config),
            is_in_mount: false,
        },
        output,
        limits: Limits::default(),
        has_temporary_directory: false,
        children: children.clone(),
        reporter: context.reporter.clone(),
    }
}

/// The reporter of a command whose output is that of scripts.
pub(super) fn use_script_reporter(context: &mut Context, global: &GlobalArguments) {
    let hides = global.workspace.reporter_hide_prefix || context.config.flags.hides_prefix;
    let lines = match hides {
        true => ScriptLines::Bare,
        false => ScriptLines::Result,
    };
    context.reporter = make_for_scripts(context.reporter_kind, &context.config.directory, lines);
}

/// Runs those of these scripts of a project that there are, one after the other. None where scripts
/// are ignored.
pub(super) fn run_own_scripts(
    context: &Context,
    launcher: &Launcher,
    project: &Path,
    names: &[&str],
) -> Result<(), Failure> {
    let Some(manifest) = ScriptManifest::read(project)? else {
        return Ok(());
    };
    let shown = shown(project, &context.called_in);
    let ignored = context.config.builds.ignore_scripts;
    for name in names.iter().filter(|_| !ignored) {
        let Some(text) = manifest.script(name) else {
            continue;
        };
        let script = Script {
            package: &manifest,
            shown: &shown,
            dep_path: &project.to_string_lossy(),
            is_optional: false,
            stage: name,
            text,
            arguments: &[],
        };
        let end = launcher.run(&script)?;
        if !end.is_success() {
            return Err(Failure::new(
                "ERR_PNPM_EXECUTOR_LIFECYCLE_SCRIPT_FAILED",
                format!("{shown} {name}: `{}` ended with {end}", escaped(text)),
                None,
            ));
        }
    }
    Ok(())
}

/// How a project is called before the lines of its scripts.
pub(super) fn shown(project: &Path, base: &Path) -> String {
    let way = lexical::relative(base, project);
    match way.as_os_str().is_empty() {
        true => ".".to_owned(),
        false => way.display().to_string(),
    }
}

/// The projects of the workspace, and those of them that the command is about.
pub(super) struct Chosen {
    pub(super) projects: Vec<Project>,
    pub(super) selection: Selection,
}

impl Chosen {
    pub(super) fn project(&self, position: usize) -> &Project {
        &self.projects[self.selection.projects[position]]
    }

    /// Where the chosen projects are.
    pub(super) fn directories(&self) -> impl Iterator<Item = &Path> {
        let chosen = self.selection.projects.iter();
        chosen.map(|at| &*self.projects[*at].directory)
    }
}

/// The project at the root of a workspace, where the flags name nothing to leave in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Root {
    /// As commands do that run something, or add to projects.
    LeftOut,
    Kept,
}

/// Chooses by the flags.
pub(super) fn choose(
    context: &Context,
    arguments: &WorkspaceArguments,
    of_root: Root,
) -> Result<Chosen, Failure> {
    let config = &context.config;
    let projects = workspace::all_projects(config, &Drafts::default())?;
    let root = config.root();
    let mut filters = arguments.filter.clone();
    if arguments.workspace_root {
        filters.push("{.}".to_owned());
    }
    let includes = |list: &[String]| list.iter().any(|filter| !filter.starts_with('!'));
    let is_root_alone = config.package_globs.as_deref() == Some(&[".".to_owned()]);
    let leaves_root_out = of_root == Root::LeftOut
        && config.workspace_root.is_some()
        && !config.selection.includes_root
        && !is_root_alone
        && !includes(&filters)
        && !includes(&arguments.filter_prod);
    let selection = select(
        &projects,
        &Request {
            filters: &filters,
            production_filters: &arguments.filter_prod,
            prefix: &config.directory,
            workspace_root: root,
            left_out: leaves_root_out.then_some(root),
            link_workspace_packages: config.graph.link_workspace_packages,
            changes: ChangeRules {
                test_patterns: &config.selection.test_patterns,
                ignored_patterns: &config.selection.ignored_patterns,
            },
            environment: &context.environment,
        },
    )?;
    let chosen = Chosen {
        projects,
        selection,
    };
    if chosen.selection.projects.is_empty() && config.selection.fails_without_match {
        nothing_chosen(context, &chosen);
        return Err(Failure::told(sentence_of_nothing(context, &chosen)));
    }
    Ok(chosen)
}

fn sentence_of_nothing(context: &Context, chosen: &Chosen) -> String {
    let config = &context.config;
    let root = config.root();
    match chosen.projects.is_empty() {
        true => format!("No projects found in \"{}\"", root.display()),
        false => format!("No projects matched the filters in \"{}\"", root.display()),
    }
}

/// Says that no project was chosen, which is no failure.
pub(super) fn nothing_chosen(context: &Context, chosen: &Chosen) -> Ending {
    print(&format!("{}\n", sentence_of_nothing(context, chosen)));
    Ending::Success
}

/// The code of tasks that wait for each other in a circle.
const TASK_CYCLE: &str = "ERR_PNPM_TASK_CYCLE";

/// What the flags say of the order, for the chosen projects.
pub(super) struct Order {
    /// For each position what it waits for, without circles.
    pub(super) waits_for: Vec<Vec<usize>>,
    /// Positions that are passed over.
    pub(super) passed_over: Vec<bool>,
    pub(super) concurrency: usize,
    pub(super) on_failure: OnFailure,
    /// Nothing waits for anything.
    pub(super) is_free: bool,
}

impl Order {
    /// The same for tasks of this name, which wait for each other: they do not run in a circle.
    pub(super) fn of_tasks(
        context: &Context,
        arguments: &WorkspaceArguments,
        chosen: &Chosen,
        name: &str,
    ) -> Result<Self, Failure> {
        let order = Self::new(context, arguments, chosen)?;
        if order.is_free {
            return Ok(order);
        }
        let mut waits_for = chosen.selection.waits_for().to_vec();
        for (others, is_passed_over) in waits_for.iter_mut().zip(&order.passed_over) {
            others.retain(|other| !is_passed_over && !order.passed_over[*other]);
        }
        let Some(circle) = schedule::circle(&waits_for) else {
            return Ok(order);
        };
        let task = |position: &usize| {
            let project = chosen.project(*position);
            let directory = project.directory.to_string_lossy();
            let of = project.manifest.name.as_deref().unwrap_or(&directory);
            format!("{}#{}", escaped(of), escaped(name))
        };
        refuse_circle(context, circle.iter().chain(circle.first()).map(task))?;
        Ok(order)
    }

    pub(super) fn new(
        context: &Context,
        arguments: &WorkspaceArguments,
        chosen: &Chosen,
    ) -> Result<Self, Failure> {
        let count = chosen.selection.projects.len();
        let flags = &context.config.flags;
        let is_sorted = arguments.sort || (flags.sorts && !arguments.no_sort);
        let unordered = !is_sorted || arguments.parallel;
        let is_reversed = arguments.reverse || flags.reverses;
        let mut waits_for = match unordered {
            true => vec![Vec::new(); count],
            false => without_circles(chosen.selection.waits_for()),
        };
        if is_reversed {
            waits_for = schedule::reversed(&waits_for);
        }
        let mut passed_over = vec![false; count];
        if let Some(name) = &arguments.resume_from {
            let all = match (unordered, is_reversed) {
                (true, _) => waits_for.clone(),
                (false, true) => schedule::reversed(chosen.selection.waits_for()),
                (false, false) => chosen.selection.waits_for().to_vec(),
            };
            pass_over(&mut passed_over, &all, name, chosen)?;
            for others in &mut waits_for {
                others.retain(|other| !passed_over[*other]);
            }
        }
        Ok(Self {
            waits_for,
            passed_over,
            concurrency: match arguments.parallel {
                true => usize::MAX,
                false => context.config.scripts.workspace_concurrency,
            },
            on_failure: match arguments.bail || (flags.bails && !arguments.no_bail) {
                true => OnFailure::Stop,
                false => OnFailure::GoOn,
            },
            is_free: unordered,
        })
    }
}

/// Refuses scripts that wait for each other, or tells of them where that is wanted.
pub(super) fn refuse_circle(
    context: &Context,
    tasks: impl Iterator<Item = String>,
) -> Result<(), Failure> {
    let tasks = tasks.collect::<Vec<_>>().join(" → ");
    if context.config.selection.ignores_cycles {
        let message = format!(
            "The tasks form a dependency cycle and run in an arbitrary order relative to each \
             other because ignoreWorkspaceCycles is set: {tasks}"
        );
        context.reporter.report(&Event::Warning {
            code: TASK_CYCLE,
            message: &message,
        });
        return Ok(());
    }
    Err(Failure::new(
        TASK_CYCLE,
        format!("The tasks form a dependency cycle: {tasks}"),
        Some(
            "If the cycles are deliberate, set ignoreWorkspaceCycles to true to run their tasks \
             in an arbitrary order.",
        ),
    ))
}

/// Passes over what the package `name` waits for, directly or not.
fn pass_over(
    passed_over: &mut [bool],
    waits_for: &[Vec<usize>],
    name: &str,
    chosen: &Chosen,
) -> Result<(), Failure> {
    let is_named =
        |position: &usize| chosen.project(*position).manifest.name.as_deref() == Some(name);
    let Some(named) = (0..waits_for.len()).find(is_named) else {
        let name = escaped(name);
        return Err(Failure::new(
            "ERR_PNPM_RESUME_FROM_NOT_FOUND",
            format!("Cannot find package {name}. Could not determine where to resume from"),
            None,
        ));
    };
    let mut open = waits_for[named].clone();
    while let Some(position) = open.pop() {
        // A circle leads back to it.
        if position != named && !std::mem::replace(&mut passed_over[position], true) {
            open.extend(&waits_for[position]);
        }
    }
    Ok(())
}

/// What `pnpm-exec-summary.json` says of a project.
#[derive(Debug, Clone, Default)]
pub(super) struct ProjectResult {
    pub(super) status: Status,
    pub(super) duration_ms: Option<f64>,
    pub(super) message: Option<String>,
}

/// What became of a project.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) enum Status {
    #[default]
    Queued,
    Skipped,
    Passed,
    Failure,
}

impl Status {
    fn as_str(self) -> &'static str {
        match self {
            Self::Queued => "queued",
            Self::Skipped => "skipped",
            Self::Passed => "passed",
            Self::Failure => "failure",
        }
    }
}

/// Writes `pnpm-exec-summary.json`, in pnpm's form, at the root of the workspace.
pub(super) fn write_summary(
    context: &Context,
    chosen: &Chosen,
    results: &[Option<ProjectResult>],
    on_failure: OnFailure,
) -> Result<(), Failure> {
    let mut projects = serde_json::Map::new();
    for (position, result) in results.iter().enumerate() {
        let Some(result) = result else { continue };
        let directory = chosen
            .project(position)
            .directory
            .to_string_lossy()
            .into_owned();
        // What waits for a failure is not waited for where the rest goes on.
        let status = match (result.status, on_failure) {
            (Status::Queued, OnFailure::GoOn) => Status::Skipped,
            (status, _) => status,
        };
        let mut entry = serde_json::json!({ "status": status.as_str() });
        if let Some(duration) = result.duration_ms {
            entry["duration"] = duration.into();
        }
        if let Some(message) = &result.message {
            entry["prefix"] = directory.as_str().into();
            entry["message"] = message.as_str().into();
        }
        projects.insert(directory, entry);
    }
    let summary = serde_json::json!({ "executionStatus": projects });
    let path = context.config.root().join("pnpm-exec-summary.json");
    let written = write_json(&path, &summary);
    written.map_err(|cause| {
        let sentence = format!("The summary {} cannot be written", path.display());
        Failure::io("ERR_PACQUET_WRITE", &sentence, cause)
    })
}

fn write_json(path: &Path, value: &serde_json::Value) -> std::io::Result<()> {
    let text = format!("{value:#}\n");
    std::fs::File::create(path)
        .and_then(|mut file| std::io::Write::write_all(&mut file, text.as_bytes()))
}

/// The ending of a command whose children were interrupted, if they were.
pub(super) fn interrupted(children: &Children) -> Option<Ending> {
    children
        .signal()
        .map(|signal| Ending::As(ScriptEnd::Signal(signal)))
}
