//! Plain lines on standard error: for logs, pipes and CI.

use std::io::Write;

use super::tally::{Tally, human_time};
use crate::report::{Event, Phase, Reporter};

/// Prints a line where something worth a line happened; nothing is redrawn.
#[derive(Debug)]
pub(super) struct Lines {
    tally: Tally,
}

impl Lines {
    pub(super) fn new() -> Self {
        Self {
            tally: Tally::new(),
        }
    }
}

impl Reporter for Lines {
    fn report(&self, event: &Event<'_>) {
        self.tally.count(event);
        if let Some(line) = line_of(event, &self.tally) {
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
        _ => None,
    }
}
