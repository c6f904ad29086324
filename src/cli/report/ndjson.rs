//! One JSON object a line on standard output, named as pnpm names its own (`pnpm:progress`,
//! `pnpm:stage`, `pnpm:stats`), so that what reads pnpm's events reads these.

use std::collections::HashMap;
use std::io::Write;
use std::path::Path;
use std::sync::Mutex;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use serde_json::{Value, json};

use crate::install::scripts::ScriptEnd;
use crate::report::{Event, Phase, Reporter, ScriptStream};

/// Downloads from this size on tell of the bytes that have arrived, as pnpm's do.
const LARGE_BYTES: u64 = 5 << 20;

/// How often they do.
const PROGRESS_EVERY: Duration = Duration::from_millis(500);

/// Writes every event, but of the bytes of downloads only those of large ones, now and then.
#[derive(Debug)]
pub(super) struct Ndjson {
    prefix: String,
    /// Downloads that were tried again, and large ones, by package.
    downloads: Mutex<HashMap<String, Download>>,
}

#[derive(Debug, Default)]
struct Download {
    /// Which try this is, where it is not the first.
    attempt: Option<u32>,
    is_large: bool,
    bytes: u64,
    told: Option<Instant>,
}

impl Ndjson {
    pub(super) fn new(project: &Path) -> Self {
        Self {
            prefix: project.to_string_lossy().into_owned(),
            downloads: Mutex::default(),
        }
    }

    /// The bytes of a large download so far, when it is time to tell of them.
    fn arrived(&self, package: &str, bytes: u64) -> Option<u64> {
        let mut downloads = self.downloads.lock().ok()?;
        let download = downloads.get_mut(package).filter(|one| one.is_large)?;
        download.bytes += bytes;
        let is_due = |told: Instant| told.elapsed() >= PROGRESS_EVERY;
        if !download.told.is_none_or(is_due) {
            return None;
        }
        download.told = Some(Instant::now());
        Some(download.bytes)
    }

    /// Which try of a download begins now.
    fn begin(&self, package: &str, bytes: Option<u64>) -> u32 {
        let Ok(mut downloads) = self.downloads.lock() else {
            return 1;
        };
        let attempt = downloads.get(package).and_then(|one| one.attempt);
        if bytes.is_some_and(|bytes| bytes >= LARGE_BYTES) {
            let large = Download {
                attempt,
                is_large: true,
                ..Download::default()
            };
            downloads.insert(package.to_owned(), large);
        }
        attempt.unwrap_or(1)
    }

    fn again(&self, package: &str, attempt: u32) {
        if let Ok(mut downloads) = self.downloads.lock() {
            downloads.entry(package.to_owned()).or_default().attempt = Some(attempt);
        }
    }

    /// The objects that an event is worth, in their order.
    fn objects(&self, event: &Event<'_>) -> Vec<Value> {
        let mut objects: Vec<Value> = self.object(event).into_iter().collect();
        match event {
            Event::Resolved {
                package,
                is_stored: true,
            } => objects.push(self.progress(package, "found_in_store", json!({}))),
            Event::PhaseFinished(Phase::Mount | Phase::Write, _) => {
                objects.push(self.finish("debug", "pnpm:summary", json!({})));
            }
            _ => {}
        }
        objects
    }

    fn progress(&self, package: &str, status: &str, more: Value) -> Value {
        self.finish(
            "debug",
            "pnpm:progress",
            self.progress_fields(package, status, more),
        )
    }

    fn progress_fields(&self, package: &str, status: &str, mut more: Value) -> Value {
        more["packageId"] = package.into();
        more["requester"] = self.prefix.as_str().into();
        more["status"] = status.into();
        more
    }

    /// Adds what every object has.
    fn finish(&self, level: &str, name: &str, mut fields: Value) -> Value {
        fields["level"] = level.into();
        fields["name"] = name.into();
        fields["prefix"] = self.prefix.as_str().into();
        fields["pid"] = std::process::id().into();
        fields["time"] = milliseconds_since_epoch().into();
        fields
    }

    fn object(&self, event: &Event<'_>) -> Option<Value> {
        let (level, name, fields) = match event {
            Event::PhaseStarted(phase) => (
                "debug",
                "pnpm:stage",
                json!({ "stage": format!("{}_started", stage(*phase)) }),
            ),
            Event::PhaseFinished(phase, time) => (
                "debug",
                "pnpm:stage",
                json!({
                    "stage": format!("{}_done", stage(*phase)),
                    "durationMs": u64::try_from(time.as_millis()).unwrap_or(u64::MAX),
                }),
            ),
            Event::Planned { packages, reused } => (
                "debug",
                "pnpm:stats",
                json!({ "added": packages, "reused": reused }),
            ),
            Event::DownloadStarted { package, bytes } => {
                let attempt = self.begin(package, *bytes);
                let fields = json!({ "status": "started", "packageId": package, "size": bytes,
                    "attempt": attempt });
                ("debug", "pnpm:fetching-progress", fields)
            }
            Event::DownloadProgress { package, bytes } => {
                let downloaded = self.arrived(package, *bytes)?;
                let fields = json!({ "status": "in_progress", "packageId": package,
                    "downloaded": downloaded });
                ("debug", "pnpm:fetching-progress", fields)
            }
            Event::DownloadFinished { package } => {
                return Some(self.progress(package, "fetched", json!({})));
            }
            Event::Resolved { package, .. } => {
                return Some(self.progress(package, "resolved", json!({})));
            }
            Event::DownloadRetried {
                package,
                attempt,
                reason,
            } => {
                self.again(package, *attempt);
                let fields = json!({ "packageId": package, "attempt": attempt, "error": reason });
                ("debug", "pnpm:request-retry", fields)
            }
            Event::Stored {
                package,
                files,
                bytes,
            } => {
                let more = json!({ "files": files, "bytes": bytes });
                return Some(self.progress(package, "imported", more));
            }
            Event::Warning { code, message } => {
                ("warn", "pnpm", json!({ "code": code, "message": message }))
            }
            Event::Info(text) => ("info", "pnpm", json!({ "message": text })),
            Event::ScriptStarted { .. } | Event::ScriptLine { .. } | Event::ScriptEnded { .. } => {
                ("debug", "pnpm:lifecycle", script_fields(event)?)
            }
        };
        Some(self.finish(level, name, fields))
    }
}

impl Reporter for Ndjson {
    fn report(&self, event: &Event<'_>) {
        for object in self.objects(event) {
            let _ = writeln!(std::io::stdout().lock(), "{object}");
        }
    }

    fn wants_packages(&self) -> bool {
        true
    }
}

/// The fields of an event of a script.
fn script_fields(event: &Event<'_>) -> Option<Value> {
    let (name, more) = match event {
        Event::ScriptStarted { name, script, .. } => (
            name,
            json!({ "optional": name.is_optional, "script": script }),
        ),
        Event::ScriptLine { name, stream, line } => {
            (name, json!({ "line": line, "stdio": stdio(*stream) }))
        }
        Event::ScriptEnded { name, end, .. } => (
            name,
            json!({ "exitCode": exit_code(*end), "optional": name.is_optional }),
        ),
        _ => return None,
    };
    let mut fields = json!({
        "depPath": name.dep_path,
        "stage": name.stage,
        "wd": name.directory,
    });
    let more = more.as_object()?.clone();
    fields.as_object_mut()?.extend(more);
    Some(fields)
}

fn stdio(stream: ScriptStream) -> &'static str {
    match stream {
        ScriptStream::Output => "stdout",
        ScriptStream::Error => "stderr",
    }
}

/// As a shell would say it.
fn exit_code(end: ScriptEnd) -> i32 {
    match end {
        ScriptEnd::Code(code) => code,
        ScriptEnd::Signal(signal) => 128 + signal,
        ScriptEnd::TimedOut => 1,
    }
}

fn milliseconds_since_epoch() -> u64 {
    let since = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap_or_default();
    u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
}

fn stage(phase: Phase) -> &'static str {
    match phase {
        Phase::Read => "reading",
        Phase::Plan => "resolution",
        Phase::Fetch => "fetching",
        Phase::Layout => "layout",
        Phase::Write | Phase::Mount => "importing",
        Phase::Verify => "verifying",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn statuses(reporter: &Ndjson, event: &Event<'_>) -> Vec<Value> {
        let objects = reporter.objects(event);
        objects
            .iter()
            .map(|object| object["status"].clone())
            .collect()
    }

    #[test]
    fn a_stored_package_is_resolved_and_then_found() {
        let reporter = Ndjson::new(Path::new("project"));
        let mut event = Event::Resolved {
            package: "a@1.0.0",
            is_stored: true,
        };
        assert_eq!(statuses(&reporter, &event), ["resolved", "found_in_store"]);
        if let Event::Resolved { is_stored, .. } = &mut event {
            *is_stored = false;
        }
        assert_eq!(statuses(&reporter, &event), ["resolved"]);
        assert_eq!(reporter.objects(&event)[0]["requester"], "project");
    }

    #[test]
    fn a_large_download_tells_of_its_bytes_and_of_its_tries() {
        let reporter = Ndjson::new(Path::new("project"));
        let started = Event::DownloadStarted {
            package: "a@1.0.0",
            bytes: Some(LARGE_BYTES),
        };
        assert_eq!(reporter.object(&started).expect("one")["attempt"], 1);
        let arrived = Event::DownloadProgress {
            package: "a@1.0.0",
            bytes: 7,
        };
        assert_eq!(reporter.object(&arrived).expect("one")["downloaded"], 7);
        let retried = Event::DownloadRetried {
            package: "a@1.0.0",
            attempt: 2,
            reason: "it ended early",
        };
        assert!(reporter.object(&retried).is_some());
        assert_eq!(reporter.object(&started).expect("one")["attempt"], 2);
        assert_eq!(reporter.object(&arrived).expect("one")["downloaded"], 7);
    }

    #[test]
    fn every_event_but_bytes_is_an_object_with_the_common_fields() {
        let reporter = Ndjson::new(Path::new("project"));
        let object = reporter
            .object(&Event::Stored {
                package: "a@1.0.0",
                files: 2,
                bytes: 10,
            })
            .expect("an object");
        assert_eq!(object["name"], "pnpm:progress");
        assert_eq!(object["status"], "imported");
        assert_eq!(object["packageId"], "a@1.0.0");
        assert_eq!(object["prefix"], "project");
        assert!(object["time"].is_u64());
        assert!(
            reporter
                .object(&Event::DownloadProgress {
                    package: "a",
                    bytes: 1
                })
                .is_none()
        );
    }
}
