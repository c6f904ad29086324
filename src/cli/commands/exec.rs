//! `exec`: a program with the commands of a project in `PATH`.

use std::ffi::OsStr;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Mutex;
use std::time::Instant;

use crate::cli::Ending;
use crate::cli::arguments::{ExecArguments, GlobalArguments};
use crate::cli::context::Context;
use crate::cli::failure::Failure;
use crate::cli::interrupt;
use crate::cli::scripting::{
    Chosen, Order, ProjectResult, Root, Status, choose, interrupted, launcher, nothing_chosen,
    use_script_reporter, write_summary,
};
use crate::cli::serving;
use crate::install::config::Options;
use crate::install::scripts::schedule::{self, OnFailure, Outcome};
use crate::install::scripts::{Launcher, ScriptEnd, ScriptManifest, ScriptOutput};
use crate::name::escaped;

pub(in crate::cli) fn run(
    global: &GlobalArguments,
    arguments: &ExecArguments,
) -> Result<Ending, Failure> {
    let words = match arguments.words.split_first() {
        Some((first, rest)) if first == "--" => rest,
        _ => &arguments.words[..],
    };
    if words.is_empty() {
        return Err(Failure::new(
            "ERR_PNPM_EXEC_MISSING_COMMAND",
            "'pacquet exec' requires a command to run",
            Some("name it behind: `pacquet exec PROGRAM [ARGUMENT]...`"),
        ));
    }
    let mut context = Context::load(global, Options::default())?;
    use_script_reporter(&mut context, global);
    let program = match arguments.shell_mode {
        true => Program::Shell(words),
        false => Program::Words(words),
    };
    if !global.workspace.runs_everywhere() {
        return once(&context, program);
    }
    let chosen = choose(&context, &global.workspace, Root::LeftOut)?;
    if chosen.selection.projects.is_empty() {
        return Ok(nothing_chosen(&context, &chosen));
    }
    everywhere(&context, global, &chosen, program)
}

/// Runs `words` in the project of the command.
pub(super) fn in_project(context: &Context, words: &[String]) -> Result<Ending, Failure> {
    once(context, Program::Words(words))
}

/// Runs `words` in each of the chosen projects.
pub(super) fn in_projects(
    context: &Context,
    global: &GlobalArguments,
    chosen: &Chosen,
    words: &[String],
) -> Result<Ending, Failure> {
    everywhere(context, global, chosen, Program::Words(words))
}

/// What is run.
#[derive(Clone, Copy)]
enum Program<'a> {
    /// A program and its arguments.
    Words(&'a [String]),
    /// A line of shell, in words.
    Shell(&'a [String]),
}

fn once(context: &Context, program: Program<'_>) -> Result<Ending, Failure> {
    let children = context.children.clone();
    interrupt::forward(&children)?;
    serving::bring_up(context, &children, [&*context.config.directory])?;
    let mut launcher = launcher(context, "exec", ScriptOutput::Terminal, &children);
    let config = &context.config;
    if context.called_in != config.directory {
        let own = config
            .directory
            .join(&config.modules_directory)
            .join(".bin");
        launcher.places.bin_directories.insert(0, own);
    }
    let end = run_in(&launcher, &config.directory, &context.called_in, program)?;
    Ok(match end {
        ScriptEnd::Code(0) => Ending::Success,
        other => Ending::As(other),
    })
}

fn everywhere(
    context: &Context,
    global: &GlobalArguments,
    chosen: &Chosen,
    program: Program<'_>,
) -> Result<Ending, Failure> {
    let arguments = &global.workspace;
    let (Program::Shell(words) | Program::Words(words)) = program;
    let name = words.first().map_or("", |word| &**word);
    let order = Order::of_tasks(context, arguments, chosen, name)?;
    let children = context.children.clone();
    interrupt::forward(&children)?;
    serving::bring_up(context, &children, chosen.directories())?;
    let launcher = launcher(context, "exec", ScriptOutput::Terminal, &children);
    let empty = |passed_over: &bool| (!passed_over).then(ProjectResult::default);
    let results: Mutex<Vec<Option<ProjectResult>>> =
        Mutex::new(order.passed_over.iter().map(empty).collect());
    let work = |position: usize| {
        if order.passed_over[position] {
            return Outcome::Skipped;
        }
        let started = Instant::now();
        let directory = &chosen.project(position).directory;
        let message = match run_in(&launcher, directory, directory, program) {
            Ok(ScriptEnd::Code(0)) => None,
            Ok(end) => Some(format!("command failed with {end}")),
            Err(failure) => Some(failure.sentence()),
        };
        let is_passed = message.is_none();
        // What another's failure ended did not fail itself.
        let was_ended = !is_passed && children.is_stopped();
        if !was_ended && let Ok(mut results) = results.lock() {
            results[position] = Some(ProjectResult {
                status: if is_passed {
                    Status::Passed
                } else {
                    Status::Failure
                },
                duration_ms: Some(started.elapsed().as_secs_f64() * 1e3),
                message,
            });
        }
        if !is_passed && order.on_failure == OnFailure::Stop {
            children.stop();
        }
        if is_passed {
            Outcome::Passed
        } else {
            Outcome::Failed
        }
    };
    schedule::run(&order.waits_for, order.concurrency, order.on_failure, work);
    let results = results.into_inner().unwrap_or_default();
    if arguments.report_summary {
        write_summary(context, chosen, &results, order.on_failure)?;
    }
    if let Some(ending) = interrupted(&children) {
        return Ok(ending);
    }
    ending(chosen, &order, &results)
}

fn ending(
    chosen: &Chosen,
    order: &Order,
    results: &[Option<ProjectResult>],
) -> Result<Ending, Failure> {
    let is_failure = |result: &Option<ProjectResult>| {
        result
            .as_ref()
            .is_some_and(|result| result.status == Status::Failure)
    };
    let Some(first) = results.iter().position(is_failure) else {
        return Ok(Ending::Success);
    };
    if order.on_failure == OnFailure::GoOn {
        let count = results.iter().filter(|result| is_failure(result)).count();
        let sentence = format!("\"pacquet recursive exec\" failed in {count} packages");
        return Err(Failure::new("ERR_PNPM_RECURSIVE_FAIL", sentence, None));
    }
    let directory = chosen.project(first).directory.display();
    let sentence = format!("\"pacquet recursive exec\" failed in {directory}");
    let message = results[first]
        .as_ref()
        .and_then(|result| result.message.clone());
    Err(Failure::new("ERR_PNPM_RECURSIVE_EXEC_FIRST_FAIL", sentence, None).because(message))
}

/// Runs a program for `project`, in `directory`.
fn run_in(
    launcher: &Launcher,
    project: &Path,
    directory: &Path,
    program: Program<'_>,
) -> Result<ScriptEnd, Failure> {
    // A manifest that cannot be read is the program's business, if at all.
    let manifest = ScriptManifest::read(project).ok().flatten();
    let name = manifest.as_ref().and_then(ScriptManifest::name);
    let environment = launcher.environment_of_command(directory, name);
    let mut command = match program {
        Program::Shell(words) => {
            let mut command = Command::new("sh");
            command.arg("-c").arg(words.join(" "));
            command
        }
        Program::Words(words) => {
            let (first, rest) = words
                .split_first()
                .ok_or_else(|| Failure::usage("No command"))?;
            let path = environment.set.get("PATH").map(|path| path.as_os_str());
            let program = find(first, path, directory).ok_or_else(|| not_found(first))?;
            let mut command = Command::new(program);
            command.args(rest);
            command
        }
    };
    command.current_dir(directory);
    environment.apply(&mut command);
    let ended = launcher.run_on_terminal(&mut command).map_err(|cause| {
        let program = command.get_program().to_string_lossy();
        let sentence = format!("The command {} cannot be started", escaped(&program));
        Failure::io("ERR_PACQUET_EXEC", &sentence, cause)
    })?;
    Ok(ended.unwrap_or(ScriptEnd::Code(1)))
}

fn not_found(command: &str) -> Failure {
    Failure::new(
        "ERR_PNPM_RECURSIVE_EXEC_FIRST_FAIL",
        format!("Command \"{}\" not found", escaped(command)),
        Some("it is no command of pacquet, no script of the project and no program in PATH"),
    )
}

/// The program that `name` means, as a shell in `directory` would find it.
fn find(name: &str, path: Option<&OsStr>, directory: &Path) -> Option<PathBuf> {
    let is_program = |path: &PathBuf| {
        path.metadata()
            .is_ok_and(|facts| facts.is_file() && facts.permissions().mode() & 0o111 != 0)
    };
    if name.contains('/') {
        return Some(directory.join(name)).filter(is_program);
    }
    std::env::split_paths(path?)
        .map(|place| directory.join(place).join(name))
        .find(is_program)
}
