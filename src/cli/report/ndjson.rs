//! One JSON object a line on standard output, named as pnpm names its own (`pnpm:progress`,
//! `pnpm:stage`, `pnpm:stats`), so that what reads pnpm's events reads these.

use std::io::Write;
use std::path::Path;
use std::time::{SystemTime, UNIX_EPOCH};

use serde_json::{Value, json};

use crate::install::scripts::ScriptEnd;
use crate::report::{Event, Phase, Reporter, ScriptStream};

/// Writes every event but the bytes of downloads.
#[derive(Debug)]
pub(super) struct Ndjson {
    prefix: String,
}

impl Ndjson {
    pub(super) fn new(project: &Path) -> Self {
        Self {
            prefix: project.to_string_lossy().into_owned(),
        }
    }

    fn object(&self, event: &Event<'_>) -> Option<Value> {
        let (level, name, mut fields) = match event {
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
            Event::DownloadStarted { package, bytes } => (
                "debug",
                "pnpm:fetching-progress",
                json!({ "status": "started", "packageId": package, "size": bytes }),
            ),
            Event::DownloadProgress { .. } => return None,
            Event::DownloadFinished { package } => (
                "debug",
                "pnpm:progress",
                json!({ "status": "fetched", "packageId": package }),
            ),
            Event::DownloadRetried {
                package,
                attempt,
                reason,
            } => (
                "debug",
                "pnpm:request-retry",
                json!({ "packageId": package, "attempt": attempt, "error": reason }),
            ),
            Event::Stored {
                package,
                files,
                bytes,
            } => (
                "debug",
                "pnpm:progress",
                json!({
                    "status": "imported",
                    "packageId": package,
                    "files": files,
                    "bytes": bytes,
                }),
            ),
            Event::Warning { code, message } => {
                ("warn", "pnpm", json!({ "code": code, "message": message }))
            }
            Event::Info(text) => ("info", "pnpm", json!({ "message": text })),
            Event::ScriptStarted { .. } | Event::ScriptLine { .. } | Event::ScriptEnded { .. } => {
                ("debug", "pnpm:lifecycle", script_fields(event)?)
            }
        };
        let object = fields.as_object_mut()?;
        object.insert("level".into(), level.into());
        object.insert("name".into(), name.into());
        object.insert("prefix".into(), self.prefix.as_str().into());
        object.insert("pid".into(), std::process::id().into());
        object.insert("time".into(), milliseconds_since_epoch().into());
        Some(fields)
    }
}

impl Reporter for Ndjson {
    fn report(&self, event: &Event<'_>) {
        if let Some(object) = self.object(event) {
            let _ = writeln!(std::io::stdout().lock(), "{object}");
        }
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
