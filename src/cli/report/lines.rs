//! Plain lines: for logs, pipes and CI.
//!
//! They go to standard error, which leaves standard output to results. What scripts of `run` say
//! *is* the result, so there they go to standard output.

use std::io::Write;

use super::tally::{Tally, human_time};
use crate::cli::print;
use crate::install::scripts::{ScriptEnd, ScriptOutput};
use crate::report::{Event, Phase, Reporter, ScriptName};

/// Where the lines of scripts go, and how they begin.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::cli) enum ScriptLines {
    /// To standard error, with a prefix.
    Aside,
    /// To standard output, with a prefix.
    Result,
    /// To standard output, as they are.
    Bare,
}

/// Prints a line where something worth a line happened; nothing is redrawn.
#[derive(Debug)]
pub(super) struct Lines {
    tally: Tally,
    scripts: ScriptLines,
}

impl Lines {
    pub(super) fn new(scripts: ScriptLines) -> Self {
        Self {
            tally: Tally::new(),
            scripts,
        }
    }
}

impl Reporter for Lines {
    fn report(&self, event: &Event<'_>) {
        self.tally.count(event);
        if self.scripts != ScriptLines::Aside
            && let Some(line) = script_line(event, self.scripts)
        {
            print(&format!("{line}\n"));
        } else if let Some(line) = line_of(event, &self.tally) {
            // A closed pipe must not end the install.
            let _ = writeln!(std::io::stderr().lock(), "{line}");
        }
    }
}

/// The line that an event is worth, where it is worth one.
pub(super) fn line_of(event: &Event<'_>, tally: &Tally) -> Option<String> {
    match event {
        Event::PhaseFinished(Phase::Fetch, _) => Some(format!(
            "{} in {}",
            tally.line(),
            human_time(tally.elapsed())
        )),
        Event::DownloadRetried {
            package,
            attempt,
            reason,
        } => Some(format!("retrying {package} (attempt {attempt}): {reason}")),
        Event::Warning { code, message } => Some(format!("warning: {message} [{code}]")),
        Event::Info(text) => Some((*text).to_owned()),
        Event::ScriptStarted {
            script,
            output: ScriptOutput::Terminal,
            ..
        } => Some(format!("$ {script}")),
        Event::ScriptEnded {
            name,
            end,
            output: ScriptOutput::Terminal,
        } if !end.is_success() => Some(failure_line(name.stage, *end)),
        other => script_line(other, ScriptLines::Aside),
    }
}

/// The sentence that pnpm has for a script that failed on the terminal.
fn failure_line(stage: &str, end: ScriptEnd) -> String {
    match stage {
        "test" => "[ELIFECYCLE] Test failed. See above for more details.".to_owned(),
        _ => format!("[ELIFECYCLE] Command failed with {end}."),
    }
}

/// The line of a script whose output is not the terminal's. What a script says is shown as it is:
/// it could write to the terminal just as well.
fn script_line(event: &Event<'_>, lines: ScriptLines) -> Option<String> {
    let prefix = |name: &ScriptName<'_>| format!("{} {}", name.shown, name.stage);
    match event {
        Event::ScriptStarted {
            name,
            script,
            output: ScriptOutput::Lines | ScriptOutput::Held,
        } => Some(format!("{}$ {script}", prefix(name))),
        Event::ScriptLine { line, .. } if lines == ScriptLines::Bare => Some((*line).to_owned()),
        Event::ScriptLine { name, line, .. } => Some(format!("{}: {line}", prefix(name))),
        Event::ScriptEnded {
            output: ScriptOutput::Terminal,
            ..
        } => None,
        Event::ScriptEnded { name, end, .. } if end.is_success() => {
            Some(format!("{}: Done", prefix(name)))
        }
        Event::ScriptEnded { name, end, .. } => Some(format!(
            "{0}: Failed\n{1}",
            prefix(name),
            failure_line("", *end)
        )),
        _ => None,
    }
}
