//! Live progress on a terminal: one line that is redrawn, with what is slow at its end.

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

use super::lines::line_of;
use super::tally::Tally;
use crate::name::escaped;
use crate::report::{Event, Phase, Reporter};

/// A download that takes longer than this is named.
const SLOW_AFTER: Duration = Duration::from_secs(3);

/// How often the line is redrawn, also when nothing arrives.
const REDRAW_EVERY: Duration = Duration::from_millis(100);

/// Redraws one line while packages are fetched.
pub(super) struct Live {
    state: Arc<State>,
    redrawing: Mutex<Option<JoinHandle<()>>>,
}

struct State {
    tally: Tally,
    bar: ProgressBar,
    under_way: Mutex<HashMap<String, Instant>>,
    fetching: AtomicBool,
}

impl Live {
    pub(super) fn new() -> Self {
        let bar = ProgressBar::with_draw_target(None, ProgressDrawTarget::stderr_with_hz(10));
        if let Ok(style) = ProgressStyle::with_template("{spinner} {wide_msg}") {
            bar.set_style(style);
        }
        Self {
            state: Arc::new(State {
                tally: Tally::new(),
                bar,
                under_way: Mutex::new(HashMap::new()),
                fetching: AtomicBool::new(false),
            }),
            redrawing: Mutex::new(None),
        }
    }

    /// Redraws from a thread of its own: what is slow is slow because no event comes.
    fn start(&self) {
        self.state.fetching.store(true, Ordering::Relaxed);
        let state = Arc::clone(&self.state);
        let thread = std::thread::Builder::new().spawn(move || {
            while state.fetching.load(Ordering::Relaxed) {
                state.bar.set_message(state.message(Instant::now()));
                state.bar.tick();
                std::thread::park_timeout(REDRAW_EVERY);
            }
        });
        if let Ok(mut redrawing) = self.redrawing.lock() {
            // Without a thread for it, the line changes when something happens.
            *redrawing = thread.ok();
        }
    }

    /// Ends the redrawing, at once, and removes the line.
    fn stop(&self) {
        self.state.fetching.store(false, Ordering::Relaxed);
        let thread = self
            .redrawing
            .lock()
            .ok()
            .and_then(|mut thread| thread.take());
        if let Some(thread) = thread {
            thread.thread().unpark();
            // It does nothing that panics; if it did, the line would only stay as it is.
            let _ = thread.join();
        }
        self.state.bar.finish_and_clear();
    }
}

impl State {
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

    fn message(&self, now: Instant) -> String {
        let slow = self.slowest(now).unwrap_or_default();
        format!("{}{slow}", self.tally.line())
    }

    /// The download that has been under way for longest, where that is long.
    fn slowest(&self, now: Instant) -> Option<String> {
        let under_way = self.under_way.lock().ok()?;
        let (package, since) = under_way.iter().min_by_key(|(_, since)| **since)?;
        let time = now.saturating_duration_since(*since);
        (time > SLOW_AFTER).then(|| {
            let seconds = time.as_secs();
            format!(" (waiting for {} since {seconds} s)", escaped(package))
        })
    }
}

impl Reporter for Live {
    fn report(&self, event: &Event<'_>) {
        let state = &self.state;
        state.tally.count(event);
        state.track(event);
        match event {
            Event::PhaseStarted(Phase::Fetch) => self.start(),
            Event::PhaseFinished(Phase::Fetch, _) => self.stop(),
            _ => {}
        }
        if let Some(line) = line_of(event, &state.tally) {
            state.bar.suspend(|| {
                use std::io::Write;
                let _ = writeln!(std::io::stderr().lock(), "{line}");
            });
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_download_that_hangs_is_named() {
        let state = Live::new().state;
        state.track(&Event::DownloadStarted {
            package: "a@1.0.0",
            bytes: None,
        });
        let now = Instant::now();
        assert!(!state.message(now).contains("a@1.0.0"));
        let later = now + Duration::from_secs(5);
        assert!(
            state
                .message(later)
                .contains("waiting for a@1.0.0 since 5 s")
        );
        state.track(&Event::DownloadFinished { package: "a@1.0.0" });
        assert!(!state.message(later).contains("a@1.0.0"));
    }
}
