//! `run`, its short forms, and scripts called by their names alone.

mod dry_run;
mod graph;
mod listing;
mod recursive;
mod selector;
mod tasks;

use crate::cli::Ending;
use crate::cli::absent;
use crate::cli::arguments::{GlobalArguments, RunArguments, ScriptArguments};
use crate::cli::commands::exec;
use crate::cli::context::Context;
use crate::cli::failure::Failure;
use crate::cli::interrupt;
use crate::cli::print;
use crate::cli::scripting::{interrupted, shown, use_script_reporter};
use crate::cli::serving;
use crate::install::config::Options;
use crate::install::manifest::ManifestError;
use crate::install::scripts::ScriptManifest;
use crate::install::scripts::schedule::OnFailure;

use selector::Selector;
use tasks::{Task, Tasks};

/// What is asked for.
struct Wanted<'a> {
    words: &'a [String],
    if_present: bool,
    sequential: bool,
    /// Whether the name of the script was the command.
    is_short: bool,
    /// In which projects.
    reach: Reach,
    /// What happens where there is no such script.
    missing: Missing,
}

/// In which projects a script is run.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Reach {
    /// In those that the flags choose.
    Chosen,
    /// In the one where the command works, whatever the flags choose.
    Here,
}

/// What happens where there is no such script.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Missing {
    /// The command fails.
    Fail,
    /// A program of the name is run.
    Exec,
}

pub(in crate::cli) fn run(
    global: &GlobalArguments,
    arguments: &RunArguments,
) -> Result<Ending, Failure> {
    if arguments.dry_run {
        return dry_run::run(global, arguments);
    }
    let wanted = Wanted {
        words: &arguments.words,
        if_present: arguments.if_present,
        sequential: arguments.sequential,
        is_short: false,
        reach: Reach::Chosen,
        missing: Missing::Fail,
    };
    run_wanted(global, &wanted)
}

/// A short form: `test`, `start`, `stop`.
pub(in crate::cli) fn script(
    global: &GlobalArguments,
    name: &str,
    arguments: &ScriptArguments,
) -> Result<Ending, Failure> {
    short(global, name, arguments, Reach::Chosen)
}

fn short(
    global: &GlobalArguments,
    name: &str,
    arguments: &ScriptArguments,
    reach: Reach,
) -> Result<Ending, Failure> {
    let mut words = vec![name.to_owned()];
    words.extend(arguments.arguments.iter().cloned());
    let wanted = Wanted {
        words: &words,
        if_present: arguments.if_present,
        sequential: false,
        is_short: true,
        reach,
        missing: Missing::Fail,
    };
    run_wanted(global, &wanted)
}

/// `restart`: three scripts, of which only the second may be missing. As with pnpm, it is about one
/// project alone.
pub(in crate::cli) fn restart(
    global: &GlobalArguments,
    arguments: &ScriptArguments,
) -> Result<Ending, Failure> {
    for name in ["stop", "restart", "start"] {
        let own = ScriptArguments {
            if_present: arguments.if_present || name == "restart",
            arguments: arguments.arguments.clone(),
        };
        let ending = short(global, name, &own, Reach::Here)?;
        if ending != Ending::Success {
            return Ok(ending);
        }
    }
    Ok(Ending::Success)
}

/// A word that is no command of this program: a script, else a program.
pub(in crate::cli) fn unknown(
    global: &GlobalArguments,
    words: &[String],
) -> Result<Ending, Failure> {
    let wanted = Wanted {
        words,
        if_present: false,
        sequential: false,
        is_short: false,
        reach: Reach::Chosen,
        missing: Missing::Exec,
    };
    run_wanted(global, &wanted)
}

fn run_wanted(global: &GlobalArguments, wanted: &Wanted<'_>) -> Result<Ending, Failure> {
    let mut context = Context::load(global, Options::default())?;
    use_script_reporter(&mut context, global);
    if wanted.reach == Reach::Chosen && global.workspace.runs_everywhere() {
        return recursive::run(&context, global, wanted);
    }
    let directory = context.config.directory.clone();
    let manifest = ScriptManifest::read(&directory)?;
    let Some(manifest) = manifest else {
        return match wanted.missing {
            Missing::Exec => program(&context, wanted.words),
            Missing::Fail => Err(ManifestError::Missing { directory }.into()),
        };
    };
    let Some((name, arguments)) = wanted.words.split_first() else {
        print(&format!("{}\n", listing::of(&manifest, None)));
        return Ok(Ending::Success);
    };
    let selector = Selector::new(name)?;
    let mut scripts = selector.select(&manifest);
    if scripts.is_empty() && name == "start" && wanted.missing == Missing::Fail {
        scripts.push(name.clone());
    }
    let scripts = selector::visible(scripts, name, &context.environment)?;
    if scripts.is_empty() {
        return match wanted.missing {
            _ if wanted.if_present => Ok(Ending::Success),
            // Nothing to test is no failure.
            Missing::Fail if wanted.is_short && name == "test" => Ok(Ending::Success),
            Missing::Exec => program(&context, wanted.words),
            Missing::Fail => Err(missing_script(name)),
        };
    }
    let tasks = scripts
        .into_iter()
        .map(|script| Task { package: 0, script });
    let tasks: Vec<Task> = tasks.collect();
    let work = Tasks {
        waits_for: match wanted.sequential {
            true => (0..tasks.len())
                .map(|at| at.checked_sub(1).into_iter().collect())
                .collect(),
            false => vec![Vec::new(); tasks.len()],
        },
        tasks,
        shown: vec![shown(&directory, &directory)],
        packages: vec![manifest],
        arguments,
        concurrency: context.config.scripts.workspace_concurrency.max(2),
        on_failure: OnFailure::Stop,
        goes_through_servers: wanted.missing == Missing::Fail,
    };
    let children = context.children.clone();
    interrupt::forward(&children)?;
    serving::bring_up(&context, &children, [&*directory])?;
    let results = work.run(&context, &global.workspace, &children)?;
    let failed = results.iter().find_map(|result| result.failure());
    let interrupted = || interrupted(&children).unwrap_or(Ending::Success);
    Ok(failed.map_or_else(interrupted, Ending::As))
}

/// A word that is no script: a program, unless it is one of pnpm's commands.
fn program(context: &Context, words: &[String]) -> Result<Ending, Failure> {
    match words.first().and_then(|word| absent::command(word)) {
        Some(failure) => Err(failure),
        None => exec::in_project(context, words),
    }
}

fn missing_script(name: &str) -> Failure {
    Failure::new(
        "ERR_PNPM_NO_SCRIPT",
        format!("Missing script: {}", crate::name::escaped(name)),
        Some("`pacquet run` lists the scripts of this project"),
    )
}
