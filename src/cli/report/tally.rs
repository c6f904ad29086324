//! What the reporters that speak to people count.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use crate::report::Event;

/// Running totals of an install.
#[derive(Debug)]
pub(super) struct Tally {
    started: Instant,
    packages: AtomicU64,
    reused: AtomicU64,
    downloaded: AtomicU64,
    stored: AtomicU64,
    bytes: AtomicU64,
}

impl Tally {
    pub(super) fn new() -> Self {
        Self {
            started: Instant::now(),
            packages: AtomicU64::new(0),
            reused: AtomicU64::new(0),
            downloaded: AtomicU64::new(0),
            stored: AtomicU64::new(0),
            bytes: AtomicU64::new(0),
        }
    }

    /// Takes an event into the totals.
    pub(super) fn count(&self, event: &Event<'_>) {
        match event {
            Event::Planned { packages, reused } => {
                self.packages.store(*packages as u64, Ordering::Relaxed);
                self.reused.store(*reused as u64, Ordering::Relaxed);
            }
            Event::DownloadProgress { bytes, .. } => {
                self.bytes.fetch_add(*bytes, Ordering::Relaxed);
            }
            Event::DownloadFinished { .. } => {
                self.downloaded.fetch_add(1, Ordering::Relaxed);
            }
            Event::Stored { .. } => {
                self.stored.fetch_add(1, Ordering::Relaxed);
            }
            _ => {}
        }
    }

    /// One line: counts, bytes and rate.
    pub(super) fn line(&self) -> String {
        let bytes = self.bytes.load(Ordering::Relaxed);
        let mut line = format!(
            "resolved {}, reused {}, downloaded {}, stored {}",
            self.packages.load(Ordering::Relaxed),
            self.reused.load(Ordering::Relaxed),
            self.downloaded.load(Ordering::Relaxed),
            self.stored.load(Ordering::Relaxed),
        );
        if bytes > 0 {
            let seconds = self.started.elapsed().as_secs_f64().max(0.001);
            #[expect(clippy::cast_precision_loss, reason = "shown with three digits")]
            let rate = bytes as f64 / seconds;
            line.push_str(&format!(
                ", {} at {}/s",
                human_bytes(bytes),
                human_bytes(rate as u64)
            ));
        }
        line
    }

    /// Since the beginning.
    pub(super) fn elapsed(&self) -> Duration {
        self.started.elapsed()
    }
}

/// Bytes as a person reads them: `68.1 MB` (powers of 1000).
pub(in crate::cli) fn human_bytes(bytes: u64) -> String {
    const UNITS: [&str; 5] = ["B", "kB", "MB", "GB", "TB"];
    #[expect(clippy::cast_precision_loss, reason = "shown with three digits")]
    let mut value = bytes as f64;
    let mut unit = 0;
    while value >= 1000.0 && unit + 1 < UNITS.len() {
        value /= 1000.0;
        unit += 1;
    }
    if unit == 0 {
        format!("{bytes} B")
    } else {
        format!("{value:.1} {}", UNITS[unit])
    }
}

/// A time as a person reads it: `12 ms`, `1.4 s`.
pub(in crate::cli) fn human_time(time: Duration) -> String {
    if time < Duration::from_secs(1) {
        format!("{} ms", time.as_millis())
    } else {
        format!("{:.1} s", time.as_secs_f64())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_are_shown_with_one_decimal() {
        for (bytes, text) in [
            (0, "0 B"),
            (999, "999 B"),
            (1000, "1.0 kB"),
            (68_123_456, "68.1 MB"),
            (5_000_000_000_000_000, "5000.0 TB"),
        ] {
            assert_eq!(human_bytes(bytes), text);
        }
    }

    #[test]
    fn the_line_follows_the_events() {
        let tally = Tally::new();
        tally.count(&Event::Planned {
            packages: 3,
            reused: 1,
        });
        tally.count(&Event::DownloadFinished { package: "a@1.0.0" });
        tally.count(&Event::Stored {
            package: "a@1.0.0",
            files: 1,
            bytes: 1,
        });
        assert_eq!(tally.line(), "resolved 3, reused 1, downloaded 1, stored 1");
    }
}
