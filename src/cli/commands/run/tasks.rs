//! Scripts of one or many projects, each with those before and after it.

use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use crate::cli::arguments::WorkspaceArguments;
use crate::cli::context::Context;
use crate::cli::failure::Failure;
use crate::cli::scripting::launcher;
use crate::install::real::copies;
use crate::install::scripts::schedule::{self, OnFailure, Outcome};
use crate::install::scripts::{
    Children, Launcher, Script, ScriptEnd, ScriptError, ScriptManifest, ScriptOutput,
};

/// A script of a project.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Task {
    /// Place in [`Tasks::packages`].
    pub(super) package: usize,
    pub(super) script: String,
}

/// Scripts and their order.
pub(super) struct Tasks<'a> {
    pub(super) packages: Vec<ScriptManifest>,
    /// How each of `packages` is called.
    pub(super) shown: Vec<String>,
    /// Of those that can begin, the first does.
    pub(super) tasks: Vec<Task>,
    /// For each of `tasks`, which others come first.
    pub(super) waits_for: Vec<Vec<usize>>,
    pub(super) arguments: &'a [String],
    pub(super) concurrency: usize,
    pub(super) on_failure: OnFailure,
    /// Whether `start` without a script is `node server.js`.
    pub(super) goes_through_servers: bool,
}

/// What became of a task.
#[derive(Debug, Clone, Copy)]
pub(super) struct TaskResult {
    pub(super) outcome: Outcome,
    pub(super) end: Option<ScriptEnd>,
    pub(super) duration: Duration,
}

impl TaskResult {
    /// How it failed, if it did.
    pub(super) fn failure(&self) -> Option<ScriptEnd> {
        self.end.filter(|end| !end.is_success())
    }
}

impl Tasks<'_> {
    /// Runs them. The results are in the order of `tasks`, but the one that failed first is the
    /// only one that failed: what was ended because of it counts as not begun.
    pub(super) fn run(
        &self,
        context: &Context,
        arguments: &WorkspaceArguments,
        children: &Children,
    ) -> Result<Vec<TaskResult>, Failure> {
        let one_at_once = self.concurrency == 1 || schedule::is_a_line(&self.waits_for);
        // What runs beside others is told apart, also where it happens to be alone.
        let streams = arguments.stream || arguments.parallel || context.config.flags.streams;
        let aggregates = arguments.aggregate_output || context.config.flags.aggregates;
        let output = match (one_at_once && !streams, aggregates) {
            (true, _) => ScriptOutput::Terminal,
            (false, true) => ScriptOutput::Held,
            (false, false) => ScriptOutput::Lines,
        };
        let launcher = launcher(context, "run-script", output, children);
        let begun = Mutex::new(vec![None; self.tasks.len()]);
        let error: Mutex<Option<Failure>> = Mutex::new(None);
        let stopped = AtomicBool::new(false);
        let work = |at: usize| {
            let started = Instant::now();
            let ended = self.run_and_renew(context, &launcher, &self.tasks[at]);
            let outcome = match ended {
                Ok(end) => {
                    // Another's failure may have ended this one.
                    let counts = end.is_success() || !stopped.load(Ordering::Relaxed);
                    if counts && let Ok(mut begun) = begun.lock() {
                        begun[at] = Some((end, started.elapsed()));
                    }
                    if end.is_success() {
                        Outcome::Passed
                    } else {
                        Outcome::Failed
                    }
                }
                Err(failure) => {
                    if !children.is_stopped()
                        && let Ok(mut first) = error.lock()
                    {
                        first.get_or_insert(failure);
                    }
                    Outcome::Failed
                }
            };
            if outcome == Outcome::Failed && self.on_failure == OnFailure::Stop {
                stopped.store(true, Ordering::Relaxed);
                children.stop();
            }
            outcome
        };
        let order: Vec<usize> = (0..self.tasks.len()).collect();
        let outcomes = schedule::run_in_order(
            &self.waits_for,
            &order,
            self.concurrency,
            self.on_failure,
            work,
        );
        if let Ok(Some(failure)) = error.into_inner() {
            return Err(failure);
        }
        let begun = begun.into_inner().unwrap_or_default();
        let result = |(outcome, begun): (Outcome, Option<(ScriptEnd, Duration)>)| TaskResult {
            outcome,
            end: begun.map(|(end, _)| end),
            duration: begun.map_or(Duration::ZERO, |(_, duration)| duration),
        };
        Ok(outcomes.into_iter().zip(begun).map(result).collect())
    }

    fn run_and_renew(
        &self,
        context: &Context,
        launcher: &Launcher,
        task: &Task,
    ) -> Result<ScriptEnd, Failure> {
        let end = self.run_one(launcher, task)?;
        let config = &context.config;
        if end.is_success() && config.scripts.renewing_copies.contains(&task.script) {
            copies::renew(config, self.packages[task.package].directory())?;
        }
        Ok(end)
    }

    fn run_one(&self, launcher: &Launcher, task: &Task) -> Result<ScriptEnd, Failure> {
        let package = &self.packages[task.package];
        let name = task.script.as_str();
        let main = match package.script(name) {
            Some(script) => script,
            None if self.goes_through_servers && name == "start" => server_of(package)?,
            None => return Ok(ScriptEnd::Code(0)),
        };
        let dep_path = package.directory().to_string_lossy();
        let run =
            |stage: &str, text: &str, arguments: &[String]| -> Result<ScriptEnd, ScriptError> {
                launcher.run(&Script {
                    package,
                    shown: &self.shown[task.package],
                    dep_path: &dep_path,
                    is_optional: false,
                    stage,
                    text,
                    arguments,
                })
            };
        // A script that calls the one before it itself would run it twice.
        let beside = |prefix: &str| {
            let stage = format!("{prefix}{name}");
            let text = package.script(&stage)?;
            let wanted = launcher.config.runs_pre_and_post && !main.contains(&stage);
            wanted.then_some((stage, text))
        };
        if let Some((stage, text)) = beside("pre") {
            let end = run(&stage, text, &[])?;
            if !end.is_success() {
                return Ok(end);
            }
        }
        let end = run(name, main, self.arguments)?;
        match beside("post").filter(|_| end.is_success()) {
            Some((stage, text)) => Ok(run(&stage, text, &[])?),
            None => Ok(end),
        }
    }
}

fn server_of(package: &ScriptManifest) -> Result<&'static str, Failure> {
    match package.directory().join("server.js").exists() {
        true => Ok("node server.js"),
        false => Err(Failure::new(
            "ERR_PNPM_NO_SCRIPT_OR_SERVER",
            "Missing script start or file server.js",
            Some("write the script into package.json"),
        )),
    }
}
