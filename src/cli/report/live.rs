//! Live progress on a terminal: one line that is redrawn, and what is slow below it.

use std::collections::HashMap;
use std::sync::Mutex;
use std::time::{Duration, Instant};

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

use super::lines::line_of;
use super::tally::Tally;
use crate::name::escaped;
use crate::report::{Event, Phase, Reporter};

/// A download that takes longer than this is named.
const SLOW_AFTER: Duration = Duration::from_secs(3);

/// Redraws one line, ten times a second at most.
pub(super) struct Live {
    tally: Tally,
    bar: ProgressBar,
    under_way: Mutex<HashMap<String, Instant>>,
}

impl Live {
    pub(super) fn new() -> Self {
        let bar = ProgressBar::with_draw_target(None, ProgressDrawTarget::stderr_with_hz(10));
        if let Ok(style) = ProgressStyle::with_template("{spinner} {wide_msg}") {
            bar.set_style(style);
        }
        Self {
            tally: Tally::new(),
            bar,
            under_way: Mutex::new(HashMap::new()),
        }
    }

    fn track(&self, event: &Event<'_>) {
        let Ok(mut under_way) = self.under_way.lock() else {
            return;
        };
        match event {
            Event::DownloadStarted { package, .. } => {
                under_way.insert((*package).to_owned(), Instant::now());
            }
            Event::DownloadFinished { package } => {
                under_way.remove(*package);
            }
            _ => {}
        }
    }

    fn slowest(&self) -> Option<String> {
        let under_way = self.under_way.lock().ok()?;
        let (package, since) = under_way.iter().min_by_key(|(_, since)| **since)?;
        (since.elapsed() > SLOW_AFTER).then(|| {
            let seconds = since.elapsed().as_secs();
            format!(" (waiting for {} since {seconds} s)", escaped(package))
        })
    }
}

impl Reporter for Live {
    fn report(&self, event: &Event<'_>) {
        self.tally.count(event);
        self.track(event);
        match event {
            Event::PhaseFinished(Phase::Fetch, _) => self.bar.finish_and_clear(),
            Event::DownloadProgress { .. }
            | Event::Stored { .. }
            | Event::DownloadFinished { .. } => {
                let slow = self.slowest().unwrap_or_default();
                self.bar.set_message(format!("{}{slow}", self.tally.line()));
                self.bar.tick();
                return;
            }
            _ => {}
        }
        if let Some(line) = line_of(event, &self.tally) {
            self.bar.suspend(|| {
                use std::io::Write;
                let _ = writeln!(std::io::stderr().lock(), "{line}");
            });
        }
    }
}
