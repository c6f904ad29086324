//! `run --dry-run`: what would run in the projects of a workspace, in which order.

use serde_json::{Value, json};

use super::graph::ScriptGraph;
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

/// A script in one project.
struct Task {
    project: String,
    script: String,
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
    let positions = sequence(&order.waits_for).into_iter();
    let positions = positions.filter(|position| !order.passed_over[*position]);
    let roots: Vec<_> = positions.map(|position| (position, name.clone())).collect();
    let graph = ScriptGraph::new(&context, &chosen, &order, &roots)?;
    let base = context.config.workspace_root.as_deref();
    let base = base.unwrap_or(&context.config.directory);
    let mut tasks = Vec::with_capacity(graph.nodes.len());
    for (position, script) in &graph.nodes {
        let directory = &chosen.project(*position).directory;
        let manifest = ScriptManifest::read(directory)?;
        let has = |manifest: &ScriptManifest| match script == name {
            true => !selector.select(manifest).is_empty(),
            false => manifest.script(script).is_some(),
        };
        tasks.push(Task {
            project: shown(directory, base),
            script: script.clone(),
            is_missing: !manifest.as_ref().is_some_and(has),
        });
    }
    match arguments.json {
        true => print(&format!("{:#}\n", as_json(&tasks, &graph))),
        false => print(&tasks.iter().map(as_line).collect::<String>()),
    }
    Ok(Ending::Success)
}

fn as_line(task: &Task) -> String {
    let note = match task.is_missing {
        true => " (skipped: no such script)",
        false => "",
    };
    format!(
        "{}#{}{note}\n",
        escaped(&task.project),
        escaped(&task.script)
    )
}

fn as_json(tasks: &[Task], graph: &ScriptGraph) -> Value {
    let name = |at: &usize| (&tasks[*at].project, &tasks[*at].script);
    let mut places: Vec<usize> = (0..tasks.len()).collect();
    places.sort_by(|one, other| name(one).cmp(&name(other)));
    let reference = |at: &usize| json!({"project": name(at).0, "script": name(at).1});
    let entry = |at: &usize| {
        let mut waits_for = graph.waits_for[*at].clone();
        waits_for.sort_by(|one, other| name(one).cmp(&name(other)));
        json!({
            "project": name(at).0,
            "script": name(at).1,
            "missingScript": tasks[*at].is_missing,
            "dependsOn": waits_for.iter().map(reference).collect::<Vec<_>>(),
        })
    };
    json!({"tasks": places.iter().map(entry).collect::<Vec<_>>()})
}
