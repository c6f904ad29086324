//! Medians, ratios and the Markdown table.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use crate::measure::Sample;
use crate::peers::Kind;
use crate::result::Results;

/// A scenario's title, and the targets that are set for pacquet's median wall time.
struct Row {
    scenario: &'static str,
    title: &'static str,
    /// At most this share of that peer.
    targets: &'static [(Kind, f64)],
    /// At most this many milliseconds.
    limit_ms: Option<f64>,
}

const fn row(scenario: &'static str, title: &'static str) -> Row {
    Row {
        scenario,
        title,
        targets: &[],
        limit_ms: None,
    }
}

const fn against(
    scenario: &'static str,
    title: &'static str,
    targets: &'static [(Kind, f64)],
) -> Row {
    Row {
        scenario,
        title,
        targets,
        limit_ms: None,
    }
}

const COLD: &[(Kind, f64)] = &[(Kind::Pnpm, 0.25), (Kind::BunHoisted, 0.8)];
const WARM: &[(Kind, f64)] = &[
    (Kind::Pnpm, 1.0 / 15.0),
    (Kind::PnpmGlobal, 0.2),
    (Kind::BunGlobal, 0.6),
];

const ROWS: [Row; 21] = [
    against(
        "fresh-restore.cold-cache.cold-store",
        "empty store, frozen lockfile",
        COLD,
    ),
    Row {
        scenario: "fresh-restore.hot-cache.hot-store.first",
        title: "warm store, no node_modules, first time",
        targets: WARM,
        limit_ms: Some(30.0),
    },
    Row {
        scenario: "fresh-restore.hot-cache.hot-store.again",
        title: "warm store, no node_modules, again",
        targets: WARM,
        limit_ms: Some(30.0),
    },
    Row {
        scenario: "repeat-install.hot-cache.hot-store",
        title: "nothing to do",
        targets: &[],
        limit_ms: Some(8.0),
    },
    row(
        "repeat-install.after-cold",
        "nothing to do, right after the first install",
    ),
    row("remove.first", "removal after the first install"),
    row("remove.again", "removal"),
    against(
        "tree.read.warm",
        "whole-tree read, warm",
        &[(Kind::Pnpm, 1.1)],
    ),
    against(
        "tree.read.caches-dropped",
        "whole-tree read, caches dropped",
        &[(Kind::Pnpm, 1.0)],
    ),
    row("tree.tar.warm", "tar, warm"),
    row("tree.tar.caches-dropped", "tar, caches dropped"),
    row("tree.find.warm", "find, warm"),
    against(
        "tree.find.caches-dropped",
        "find, caches dropped",
        &[(Kind::Pnpm, 0.9)],
    ),
    row(
        "tool.require-eslint.first",
        "require('eslint'), first after a mount",
    ),
    against(
        "tool.require-eslint.second",
        "require('eslint')",
        &[(Kind::Pnpm, 1.03)],
    ),
    row(
        "tool.require-typescript.first",
        "require('typescript'), first after a mount",
    ),
    against(
        "tool.require-typescript.second",
        "require('typescript')",
        &[(Kind::Pnpm, 1.03)],
    ),
    row("tool.eslint.first", "eslint ., first after a mount"),
    against("tool.eslint.second", "eslint .", &[(Kind::Pnpm, 1.03)]),
    row("tool.tsc.first", "tsc --noEmit, first after a mount"),
    against("tool.tsc.second", "tsc --noEmit", &[(Kind::Pnpm, 1.03)]),
];

/// The middle of some numbers (the lower one of two).
pub(crate) fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values
        .get(values.len().saturating_sub(1) / 2)
        .copied()
        .unwrap_or(f64::NAN)
}

fn summary(samples: &[Sample], value: fn(&Sample) -> f64) -> (f64, f64, f64) {
    let values: Vec<f64> = samples.iter().map(value).collect();
    let smallest = values.iter().copied().fold(f64::INFINITY, f64::min);
    let largest = values.iter().copied().fold(0.0, f64::max);
    (median(values), smallest, largest)
}

fn milliseconds(value: f64) -> String {
    if value < 100.0 {
        format!("{value:.1}")
    } else {
        format!("{value:.0}")
    }
}

/// Writes the tables of a run.
pub(crate) fn markdown(results: &Results) -> String {
    let mut text = String::new();
    header(&mut text, results);
    for (fixture, scenarios) in &results.samples {
        let _ = writeln!(text, "\n## {fixture}");
        for row in &ROWS {
            if let Some(peers) = scenarios.get(row.scenario) {
                table(&mut text, row, peers, results);
            }
        }
        disk_table(&mut text, fixture, results);
        if let Some(memory) = results.memory.get(fixture).and_then(|list| list.last()) {
            let _ = writeln!(
                text,
                "\nServer after a full walk and read: resident {} MiB (anonymous {} MiB), at \
                 most {} MiB.",
                memory.resident_kib >> 10,
                memory.anonymous_kib >> 10,
                memory.peak_kib >> 10
            );
        }
    }
    for (fixture, peer, message) in &results.failures {
        let first = message.lines().next().unwrap_or_default();
        let _ = writeln!(text, "\n**Failed:** {peer} on {fixture}: {first}");
    }
    text
}

fn header(text: &mut String, results: &Results) {
    let _ = writeln!(
        text,
        "Made by `{}` on commit {}.\n",
        results.command, results.commit
    );
    for (key, value) in &results.machine {
        let _ = writeln!(text, "- {key}: {value}");
    }
    let _ = writeln!(text, "- rounds: {}, peers in turn; medians", results.rounds);
    let _ = writeln!(
        text,
        "- user and system time count every descendant that has ended; processor time of a \
         server left behind is in its own column"
    );
    for (_, title, version) in &results.peers {
        let _ = writeln!(text, "- {title}: {version}");
    }
    for (peer, reason) in &results.missing {
        let _ = writeln!(text, "- **missing:** {peer}: {reason}");
    }
}

fn table(text: &mut String, row: &Row, peers: &BTreeMap<String, Vec<Sample>>, results: &Results) {
    let _ = writeln!(text, "\n### {} (`{}`)\n", row.title, row.scenario);
    text.push_str(
        "| | wall ms | min | max | pacquet's share | user ms | system ms | left running ms | \
         peak MiB |\n| --- | ---: | ---: | ---: | ---: | ---: | ---: | ---: | ---: |\n",
    );
    let wall = |kind: Kind| {
        peers
            .get(kind.id())
            .map(|s| summary(s, |sample| sample.wall_ms).0)
    };
    let ours = wall(Kind::Pacquet);
    for (id, title, _) in &results.peers {
        let Some(samples) = peers.get(id) else {
            continue;
        };
        let (middle, smallest, largest) = summary(samples, |sample| sample.wall_ms);
        let share = ours.map_or_else(String::new, |ours| format!("{:.3}", ours / middle));
        let _ = writeln!(
            text,
            "| {title} | {} | {} | {} | {share} | {} | {} | {} | {:.0} |",
            milliseconds(middle),
            milliseconds(smallest),
            milliseconds(largest),
            milliseconds(summary(samples, |sample| sample.user_ms).0),
            milliseconds(summary(samples, |sample| sample.system_ms).0),
            milliseconds(summary(samples, |sample| sample.left_running_ms).0),
            summary(samples, |sample| sample.peak_kib as f64 / 1024.0).0,
        );
    }
    let Some(ours) = ours else { return };
    for (kind, share) in row.targets {
        if let Some(theirs) = wall(*kind) {
            verdict(
                text,
                &format!("{:.3} of {}", share, kind.title()),
                ours / theirs,
                *share,
            );
        }
    }
    if let Some(limit) = row.limit_ms {
        verdict(text, &format!("{limit} ms"), ours, limit);
    }
}

/// What an install into an empty store leaves on the disk: store and tree together.
fn disk_table(text: &mut String, fixture: &str, results: &Results) {
    let Some(peers) = results.disk.get(fixture) else {
        return;
    };
    text.push_str("\n### on disk, store and tree\n\n| | MiB | inodes |\n| --- | ---: | ---: |\n");
    for (id, title, _) in &results.peers {
        if let Some(usage) = peers.get(id) {
            let _ = writeln!(
                text,
                "| {title} | {} | {} |",
                usage.bytes >> 20,
                usage.inodes
            );
        }
    }
}

fn verdict(text: &mut String, target: &str, found: f64, limit: f64) {
    let word = if found <= limit {
        "reached"
    } else {
        "**missed**"
    };
    let _ = writeln!(
        text,
        "\nTarget: at most {target}; found {found:.3}: {word}."
    );
}
