//! `status`: what is served, how healthy it is and what it used.

use std::fmt::Write as _;
use std::path::Path;

use serde_json::{Map, Value, json};

use crate::cli::arguments::StatusArguments;
use crate::cli::failure::Failure;
use crate::cli::print;
use crate::cli::report::{human_bytes, human_time};
use crate::fs::control::RunDirectory;
use crate::fs::status::{self, Health, MountStatus};

pub(in crate::cli) fn run(arguments: &StatusArguments) -> Result<(), Failure> {
    let mounts = status::status(&RunDirectory::of_user()?)?;
    if arguments.json {
        let list: Vec<Value> = mounts.iter().map(object).collect();
        print(&format!("{}\n", Value::Array(list)));
    } else if mounts.is_empty() {
        print("Nothing is mounted\n");
    } else {
        for mount in &mounts {
            print(&text(mount));
        }
    }
    Ok(())
}

fn health(mount: &MountStatus) -> &'static str {
    match mount.health {
        Health::Healthy => "healthy",
        Health::Damaged => "damaged",
        Health::Orphaned => "orphaned",
        Health::Failing => "failing",
        Health::Hung => "hung",
        Health::Dead => "dead",
    }
}

/// One object a mount: `mountpoint`, `health`, `project`, `store`, `server_pid`, `supervisor_pid`,
/// `restarts`, `trouble`, `counters` and more.
fn object(mount: &MountStatus) -> Value {
    let mut object = Map::new();
    let mut put = |key: &str, value: Value| object.insert(key.to_owned(), value);
    put("mountpoint", json!(mount.mountpoint));
    put("health", json!(health(mount)));
    let state = mount.state.as_ref();
    put("project", json!(state.map(|state| &state.project)));
    put("store", json!(state.map(|state| &state.store)));
    put("server_pid", json!(state.map(|state| state.server.pid)));
    put(
        "supervisor_pid",
        json!(state.map(|state| state.supervisor.pid)),
    );
    put("restarts", json!(state.map(|state| state.restarts)));
    let trouble = state.and_then(|state| state.trouble.as_ref());
    put("trouble", json!(trouble.map(|trouble| &trouble.message)));
    put("version", json!(state.map(|state| &state.version)));
    put(
        "started_at_ms",
        json!(state.map(|state| state.started_at_ms)),
    );
    put("layer", json!(state.map(|state| &state.layer_digest)));
    put("access", json!(state.map(|state| &state.access)));
    if let Some(report) = &mount.report {
        let requests: Map<String, Value> = report
            .requests
            .iter()
            .map(|(kind, count)| (kind.clone(), json!(count)))
            .collect();
        put(
            "counters",
            json!({
                "requests": requests,
                "requests_total": report.total_requests(),
                "bytes_read": report.bytes_read,
                "table_hits": report.table_hits,
                "table_misses": report.table_misses,
                "failures": report.failures,
                "resident_bytes": report.resident_bytes,
            }),
        );
        let unreadable: Vec<Value> = report
            .unreadable_packs
            .iter()
            .map(|(pack, reason)| json!({ "pack": pack, "reason": reason }))
            .collect();
        put("unreadable_packs", Value::Array(unreadable));
        put("read_only", json!(report.read_only));
        put("is_full", json!(report.is_full));
    }
    Value::Object(object)
}

/// A path as a line can show it: control characters escaped.
fn on_one_line(path: &Path) -> String {
    let text = path.to_string_lossy();
    let shown = text.chars().map(|character| match character.is_control() {
        true => character.escape_default().to_string(),
        false => character.to_string(),
    });
    shown.collect()
}

fn text(mount: &MountStatus) -> String {
    let mut text = format!("{}  {}\n", on_one_line(&mount.mountpoint), health(mount));
    // Writing to a string cannot fail.
    if let Some(state) = &mount.state {
        let age_ms = std::time::SystemTime::now()
            .duration_since(std::time::UNIX_EPOCH)
            .map_or(0, |now| u64::try_from(now.as_millis()).unwrap_or(u64::MAX))
            .saturating_sub(state.started_at_ms);
        let age = human_time(std::time::Duration::from_millis(age_ms));
        let _ = writeln!(
            text,
            "  server {} (version {}), since {age}, supervised by {}",
            state.server.pid, state.version, state.supervisor.pid
        );
        if state.restarts > 0 {
            let _ = writeln!(text, "  replaced {} times", state.restarts);
        }
        if let Some(trouble) = &state.trouble {
            let _ = writeln!(text, "  {} ({} times)", trouble.message, trouble.times);
        }
        let _ = writeln!(text, "  store {}", on_one_line(&state.store));
    }
    if let Some(report) = &mount.report {
        let _ = writeln!(
            text,
            "  {} requests, {} read, {} resident",
            report.total_requests(),
            human_bytes(report.bytes_read),
            human_bytes(report.resident_bytes),
        );
        for (pack, reason) in &report.unreadable_packs {
            let _ = writeln!(text, "  pack {pack} cannot be read: {reason}");
        }
        if let Some(reason) = &report.read_only {
            let _ = writeln!(
                text,
                "  read-only, and shown as installed: the journal of what was removed cannot be \
                 used: {reason}"
            );
            text.push_str(
                "  hint: unmount, save what was written from node_modules, remove it, and mount \
                 again\n",
            );
        }
        if report.is_full {
            text.push_str(
                "  full: the file system under the tree had no room for what was last written\n  \
                 hint: make room there, and do it again\n",
            );
        }
        if !report.unreadable_packs.is_empty() {
            text.push_str("  hint: run `pacquet store verify`, then `pacquet install` again\n");
        }
    }
    match mount.health {
        Health::Healthy | Health::Damaged => {}
        Health::Orphaned => text.push_str(
            "  hint: its supervisor is dead; `pacquet install --virtual` or `pacquet mount` brings \
             another\n",
        ),
        Health::Failing | Health::Hung | Health::Dead => text.push_str(
            "  hint: `pacquet install --virtual` or `pacquet mount` replaces it; `pacquet unmount \
             --force` takes it down\n",
        ),
    }
    text
}
