//! `run` in the projects of a workspace.

use super::graph::ScriptGraph;
use super::selector::Selector;
use super::tasks::{Task, TaskResult, Tasks};
use super::{Missing, Wanted, listing};
use crate::cli::Ending;
use crate::cli::arguments::{GlobalArguments, ReporterKind};
use crate::cli::commands::exec;
use crate::cli::context::Context;
use crate::cli::failure::Failure;
use crate::cli::interrupt;
use crate::cli::print;
use crate::cli::scripting::{
    Chosen, Order, ProjectResult, Root, Status, choose, interrupted, nothing_chosen, shown,
    write_summary,
};
use crate::cli::serving;
use crate::install::scripts::schedule::{OnFailure, Outcome, contracted, sequence};
use crate::install::scripts::{Children, ScriptManifest};
use crate::report::Event;

pub(super) fn run(
    context: &Context,
    global: &GlobalArguments,
    wanted: &Wanted<'_>,
) -> Result<Ending, Failure> {
    let arguments = &global.workspace;
    let chosen = choose(context, arguments, Root::LeftOut)?;
    let count = chosen.selection.projects.len();
    let Some((name, script_arguments)) = wanted.words.split_first() else {
        return list(context, &chosen);
    };
    let is_silent = context.reporter_kind == Some(ReporterKind::Silent);
    // pnpm says it of `run` and of `test`.
    let is_run = wanted.missing == Missing::Fail && (!wanted.is_short || name == "test");
    if count != 1 && is_run && !is_silent {
        print(&format!("Scope: {}\n", scope(count, chosen.projects.len())));
    }
    if count == 0 {
        return Ok(nothing_chosen(context, &chosen));
    }
    if wanted.missing == Missing::Fail && context.config.scripts.required.contains(name) {
        refuse_missing(name, &chosen)?;
    }
    let order = Order::of_tasks(context, arguments, &chosen, name)?;
    let selector = Selector::new(name)?;
    let plan = Plan::new(context, &chosen, &order, &selector, wanted.sequential)?;
    if plan.tasks.is_empty() {
        return match wanted.missing {
            Missing::Exec => exec::in_projects(context, global, &chosen, wanted.words),
            Missing::Fail if wanted.if_present || name == "test" => Ok(Ending::Success),
            Missing::Fail => Err(no_script(name, &chosen)),
        };
    }
    let children = Children::default();
    interrupt::forward(&children)?;
    serving::bring_up(context, &children, chosen.directories())?;
    let work = Tasks {
        packages: plan.packages,
        shown: plan.shown,
        tasks: plan.tasks,
        waits_for: plan.waits_for,
        arguments: script_arguments,
        concurrency: match wanted.sequential {
            true => 1,
            false => order.concurrency,
        },
        on_failure: order.on_failure,
        goes_through_servers: false,
    };
    let results = work.run(context, arguments, &children)?;
    if arguments.report_summary {
        let summary = summary(&order, &plan.positions, &work.tasks, &results);
        write_summary(context, &chosen, &summary, order.on_failure)?;
    }
    if let Some(ending) = interrupted(&children) {
        return Ok(ending);
    }
    ending(&work, &results)
}

pub(super) fn scope(selected: usize, total: usize) -> String {
    match selected == total {
        true => format!("all {total} workspace projects"),
        false => format!("{selected} of {total} workspace projects"),
    }
}

fn list(context: &Context, chosen: &Chosen) -> Result<Ending, Failure> {
    if chosen.selection.projects.len() != 1 {
        return Err(Failure::new(
            "ERR_PNPM_SCRIPT_NAME_IS_REQUIRED",
            "You must specify the script you want to run",
            None,
        ));
    }
    let directory = &chosen.project(0).directory;
    let root = context.config.workspace_root.as_ref();
    let root = root.filter(|root| *root != directory);
    let root = root.map(|root| ScriptManifest::read(root)).transpose()?;
    if let Some(manifest) = ScriptManifest::read(directory)? {
        let text = listing::of(&manifest, root.flatten().as_ref());
        print(&format!("{text}\n"));
    }
    Ok(Ending::Success)
}

fn no_script(name: &str, chosen: &Chosen) -> Failure {
    let of = match chosen.selection.projects.len() == chosen.projects.len() {
        true => "None of the packages",
        false => "None of the selected packages",
    };
    let name = crate::name::escaped(name);
    Failure::new(
        "ERR_PNPM_RECURSIVE_RUN_NO_SCRIPT",
        format!("{of} has a \"{name}\" script"),
        None,
    )
}

/// `requiredScripts`: each of the projects has the script.
fn refuse_missing(name: &str, chosen: &Chosen) -> Result<(), Failure> {
    let mut without = Vec::new();
    for project in &chosen.selection.projects {
        let project = &chosen.projects[*project];
        let manifest = ScriptManifest::read(&project.directory)?;
        if manifest.is_none_or(|manifest| manifest.script(name).is_none()) {
            let own = project.manifest.name.as_deref().map(str::to_owned);
            without.push(own.unwrap_or_else(|| project.directory.display().to_string()));
        }
    }
    if without.is_empty() {
        return Ok(());
    }
    let [name, without] = [name, &without.join(", ")].map(crate::name::escaped);
    Err(Failure::new(
        "ERR_PNPM_RECURSIVE_RUN_NO_SCRIPT",
        format!("Missing script \"{name}\" in packages: {without}"),
        Some("give each of them the script, or take it out of requiredScripts"),
    ))
}

/// The scripts to run, in which projects, and in which order.
struct Plan {
    packages: Vec<ScriptManifest>,
    shown: Vec<String>,
    /// The position among the chosen projects of each of `packages`.
    positions: Vec<usize>,
    tasks: Vec<Task>,
    waits_for: Vec<Vec<usize>>,
}

impl Plan {
    fn new(
        context: &Context,
        chosen: &Chosen,
        order: &Order,
        selector: &Selector<'_>,
        sequential: bool,
    ) -> Result<Self, Failure> {
        let mut manifests = Vec::new();
        for position in 0..order.waits_for.len() {
            manifests.push(ScriptManifest::read(&chosen.project(position).directory)?);
        }
        let mut roots = Vec::new();
        for position in sequence(&order.waits_for) {
            let manifest = manifests[position].as_ref();
            let Some(manifest) = manifest.filter(|_| !order.passed_over[position]) else {
                continue;
            };
            let scripts = selector.select(manifest);
            let mut scripts = super::selector::visible(scripts, "", &context.environment)?;
            if scripts.is_empty() {
                // What it would wait for runs all the same.
                scripts.extend(selector.name().map(str::to_owned));
            }
            roots.extend(scripts.into_iter().map(|script| (position, script)));
        }
        if order.is_free && !context.config.scripts.tasks.is_empty() {
            context.reporter.report(&Event::Warning {
                code: "ERR_PACQUET_CONFIG_NOT_APPLIED",
                message: "The tasks declarations in pnpm-workspace.yaml are ignored because \
                          sorting is disabled (--no-sort or --parallel)",
            });
        }
        let graph = ScriptGraph::new(context, chosen, order, &roots)?;
        Ok(Self::of_graph(
            context,
            chosen,
            (graph, &roots),
            manifests,
            sequential,
        ))
    }

    /// The scripts that are there. Those that are not are waited through.
    fn of_graph(
        context: &Context,
        chosen: &Chosen,
        (graph, roots): (ScriptGraph, &[(usize, String)]),
        mut manifests: Vec<Option<ScriptManifest>>,
        sequential: bool,
    ) -> Self {
        let is_there = |(position, script): &(usize, String)| {
            let manifest = manifests[*position].as_ref();
            manifest.is_some_and(|manifest| {
                manifest.script(script).is_some() && !calls_itself(context, manifest, script)
            })
        };
        let mut plan = Self {
            packages: Vec::new(),
            shown: Vec::new(),
            positions: Vec::new(),
            tasks: Vec::new(),
            waits_for: Vec::new(),
        };
        // Without what was asked for there is nothing to do.
        if !roots.iter().any(is_there) {
            return plan;
        }
        let keep: Vec<bool> = graph.nodes.iter().map(is_there).collect();
        plan.waits_for = contracted(&graph.waits_for, &keep);
        let mut package_at = vec![None; manifests.len()];
        let kept = graph.nodes.into_iter().zip(keep);
        for (position, script) in kept.filter_map(|(node, keeps)| keeps.then_some(node)) {
            let package = *package_at[position].get_or_insert(plan.packages.len());
            if let Some(manifest) = manifests[position].take() {
                plan.packages.push(manifest);
                plan.positions.push(position);
                let directory = &chosen.project(position).directory;
                plan.shown.push(shown(directory, &context.called_in));
            }
            plan.tasks.push(Task { package, script });
        }
        if sequential {
            plan.line_up();
        }
        plan
    }

    /// Lets each script of a project wait for the one before it.
    fn line_up(&mut self) {
        for at in 1..self.tasks.len() {
            let before = self.tasks[..at].iter();
            let package = self.tasks[at].package;
            if let Some(before) = before.rev().position(|task| task.package == package) {
                self.waits_for[at].push(at - 1 - before);
            }
        }
    }
}

/// A script that runs itself in every project must not do so in its own.
fn calls_itself(context: &Context, manifest: &ScriptManifest, script: &str) -> bool {
    let variable = |name| context.environment.variable(name);
    variable("npm_lifecycle_event") == Some(script)
        && variable("PNPM_SCRIPT_SRC_DIR") == manifest.directory().to_str()
}

fn summary(
    order: &Order,
    positions: &[usize],
    tasks: &[Task],
    results: &[TaskResult],
) -> Vec<Option<ProjectResult>> {
    let skipped = |passed_over: &bool| {
        (!passed_over).then(|| ProjectResult {
            status: Status::Skipped,
            ..ProjectResult::default()
        })
    };
    let mut out: Vec<Option<ProjectResult>> = order.passed_over.iter().map(skipped).collect();
    for (task, result) in tasks.iter().zip(results) {
        let Some(entry) = &mut out[positions[task.package]] else {
            continue;
        };
        if entry.status == Status::Failure {
            continue;
        }
        entry.status = match (result.outcome, result.end) {
            (_, Some(end)) if !end.is_success() => Status::Failure,
            (Outcome::Passed, _) => Status::Passed,
            _ => Status::Queued,
        };
        entry.duration_ms = result.end.map(|_| result.duration.as_secs_f64() * 1e3);
        let message = |end| format!("command failed with {end}");
        entry.message = result.failure().map(message);
    }
    out
}

fn ending(work: &Tasks<'_>, results: &[TaskResult]) -> Result<Ending, Failure> {
    let mut failed: Vec<usize> = Vec::new();
    for (task, result) in work.tasks.iter().zip(results) {
        if result.failure().is_some() && !failed.contains(&task.package) {
            failed.push(task.package);
        }
    }
    let Some(first) = failed.first() else {
        return Ok(Ending::Success);
    };
    let directory = work.packages[*first].directory().display();
    Err(match work.on_failure {
        OnFailure::Stop => Failure::new(
            "ERR_PNPM_RECURSIVE_RUN_FIRST_FAIL",
            format!("\"pacquet recursive run\" failed in {directory}"),
            None,
        ),
        OnFailure::GoOn => Failure::new(
            "ERR_PNPM_RECURSIVE_FAIL",
            format!(
                "\"pacquet recursive run\" failed in {} packages",
                failed.len()
            ),
            None,
        ),
    })
}
