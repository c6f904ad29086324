//! `run` in the projects of a workspace.

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
        let base = &context.called_in;
        let mut plan = Self {
            packages: Vec::new(),
            shown: Vec::new(),
            positions: Vec::new(),
            tasks: Vec::new(),
            waits_for: Vec::new(),
        };
        let mut of_package: Vec<Vec<usize>> = Vec::new();
        for position in sequence(&order.waits_for) {
            let project = chosen.project(position);
            let manifest = ScriptManifest::read(&project.directory)?;
            let Some(manifest) = manifest.filter(|_| !order.passed_over[position]) else {
                continue;
            };
            let mut scripts = selector.select(&manifest);
            scripts.retain(|script| !calls_itself(context, &manifest, script));
            let scripts = super::selector::visible(scripts, "", &context.environment)?;
            if scripts.is_empty() {
                continue;
            }
            let package = plan.packages.len();
            let first = plan.tasks.len();
            of_package.push((first..first + scripts.len()).collect());
            let tasks = scripts.into_iter().map(|script| Task { package, script });
            plan.tasks.extend(tasks);
            plan.shown.push(shown(&project.directory, base));
            plan.positions.push(position);
            plan.packages.push(manifest);
        }
        plan.order(order, &of_package, sequential);
        Ok(plan)
    }

    /// The scripts of a project wait for all scripts of those that it waits for.
    fn order(&mut self, order: &Order, of_package: &[Vec<usize>], sequential: bool) {
        let count = order.waits_for.len();
        let mut keep = vec![false; count];
        let mut package_at = vec![None; count];
        for (package, position) in self.positions.iter().enumerate() {
            keep[*position] = true;
            package_at[*position] = Some(package);
        }
        // Places among the kept ones are in the order of the projects.
        let packages: Vec<usize> = package_at.into_iter().flatten().collect();
        let mut between = vec![Vec::new(); packages.len()];
        for (place, others) in contracted(&order.waits_for, &keep).into_iter().enumerate() {
            between[packages[place]] = others;
        }
        for (at, task) in self.tasks.iter().enumerate() {
            let others = between[task.package].iter();
            let mut waits: Vec<usize> = others
                .flat_map(|place| of_package[packages[*place]].iter().copied())
                .collect();
            if sequential && of_package[task.package].first() != Some(&at) {
                waits.push(at - 1);
            }
            self.waits_for.push(waits);
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
