//! `run --dry-run`: what would run in the projects of a workspace, in which order.

use serde_json::{Value, json};

use super::recursive::scope;
use super::selector::Selector;
use crate::cli::Ending;
use crate::cli::arguments::{GlobalArguments, ReporterKind, RunArguments};
use crate::cli::context::Context;
use crate::cli::failure::Failure;
use crate::cli::print;
use crate::cli::scripting::{Order, Root, choose, nothing_chosen, shown, use_script_reporter};
use crate::install::config::Options;
use crate::install::scripts::ScriptManifest;
use crate::install::scripts::schedule::sequence;
use crate::name::escaped;

/// The script in one project.
struct Task {
    project: String,
    is_missing: bool,
}

/// Lists them: a line each in the order in which they would begin, or as JSON by project.
pub(super) fn run(global: &GlobalArguments, arguments: &RunArguments) -> Result<Ending, Failure> {
    if !global.workspace.runs_everywhere() {
        return Err(Failure::new(
            "ERR_PNPM_DRY_RUN_NOT_RECURSIVE",
            "The --dry-run option is only supported with recursive runs",
            Some("`pacquet -r run --dry-run <script>` lists what a recursive run would do"),
        ));
    }
    let Some(name) = arguments.words.first() else {
        return Err(Failure::new(
            "ERR_PNPM_SCRIPT_NAME_IS_REQUIRED",
            "You must specify the script you want to run",
            None,
        ));
    };
    let mut context = Context::load(global, Options::default())?;
    use_script_reporter(&mut context, global);
    let chosen = choose(&context, &global.workspace, Root::LeftOut)?;
    let count = chosen.selection.projects.len();
    if count != 1 && context.reporter_kind != Some(ReporterKind::Silent) {
        print(&format!("Scope: {}\n", scope(count, chosen.projects.len())));
    }
    if count == 0 {
        return Ok(nothing_chosen(&context, &chosen));
    }
    let order = Order::of_tasks(&context, &global.workspace, &chosen, name)?;
    let selector = Selector::new(name)?;
    let base = context.config.workspace_root.as_deref();
    let base = base.unwrap_or(&context.config.directory);
    let mut tasks = Vec::with_capacity(count);
    for position in 0..count {
        let directory = &chosen.project(position).directory;
        let manifest = ScriptManifest::read(directory)?;
        let has = |manifest: &ScriptManifest| !selector.select(manifest).is_empty();
        tasks.push(Task {
            project: shown(directory, base),
            is_missing: !manifest.as_ref().is_some_and(has),
        });
    }
    match arguments.json {
        true => print(&format!("{:#}\n", as_json(&tasks, &order, name))),
        false => print(&as_lines(&tasks, &order, name)),
    }
    Ok(Ending::Success)
}

fn as_lines(tasks: &[Task], order: &Order, name: &str) -> String {
    let positions = sequence(&order.waits_for).into_iter();
    let positions = positions.filter(|position| !order.passed_over[*position]);
    let line = |position: usize| {
        let Task {
            project,
            is_missing,
        } = &tasks[position];
        let note = match is_missing {
            true => " (skipped: no such script)",
            false => "",
        };
        format!("{}#{}{note}\n", escaped(project), escaped(name))
    };
    positions.map(line).collect()
}

fn as_json(tasks: &[Task], order: &Order, name: &str) -> Value {
    let mut positions: Vec<usize> = (0..tasks.len()).collect();
    positions.retain(|position| !order.passed_over[*position]);
    positions.sort_by(|one, other| tasks[*one].project.cmp(&tasks[*other].project));
    let reference = |position: &usize| json!({"project": tasks[*position].project, "script": name});
    let entry = |position: &usize| {
        let waits_for = order.waits_for[*position].iter();
        json!({
            "project": tasks[*position].project,
            "script": name,
            "missingScript": tasks[*position].is_missing,
            "dependsOn": waits_for.map(reference).collect::<Vec<_>>(),
        })
    };
    json!({"tasks": positions.iter().map(entry).collect::<Vec<_>>()})
}
