//! Reporters: how a run is shown to a person or a program.

mod lines;
mod live;
mod ndjson;
mod tally;

use std::io::IsTerminal;
use std::path::Path;
use std::sync::Arc;

use super::arguments::ReporterKind;
use crate::report::{Event, Reporter, Silent};

pub(super) use lines::ScriptLines;
pub(super) use tally::{human_bytes, human_time};

/// Makes the reporter that the user asked for. Live progress needs a terminal; without one the
/// default is plain lines.
pub(super) fn make(kind: Option<ReporterKind>, project: &Path) -> Arc<dyn Reporter> {
    match kind.unwrap_or(ReporterKind::Default) {
        ReporterKind::Default if std::io::stderr().is_terminal() => Arc::new(live::Live::new()),
        ReporterKind::Default | ReporterKind::AppendOnly => {
            Arc::new(lines::Lines::new(ScriptLines::Aside))
        }
        ReporterKind::Ndjson => Arc::new(ndjson::Ndjson::new(project)),
        ReporterKind::Silent => Arc::new(Silent),
        ReporterKind::Warnings => Arc::new(Warnings(lines::Lines::new(ScriptLines::Aside))),
    }
}

/// Makes the reporter of `run`, whose lines are the scripts'.
pub(super) fn make_for_scripts(
    kind: Option<ReporterKind>,
    project: &Path,
    lines: ScriptLines,
) -> Arc<dyn Reporter> {
    match kind {
        Some(ReporterKind::Ndjson) => Arc::new(ndjson::Ndjson::new(project)),
        Some(ReporterKind::Silent) => Arc::new(Silent),
        Some(ReporterKind::Warnings) => Arc::new(Warnings(lines::Lines::new(lines))),
        _ => Arc::new(lines::Lines::new(lines)),
    }
}

/// Tells of warnings alone.
struct Warnings(lines::Lines);

impl Reporter for Warnings {
    fn report(&self, event: &Event<'_>) {
        if matches!(event, Event::Warning { .. }) {
            self.0.report(event);
        }
    }
}
