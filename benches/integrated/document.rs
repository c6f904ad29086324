//! The generated parts of `docs/PERFORMANCE.md` and `README.md`, and the charts beside a result.

use std::collections::{BTreeMap, BTreeSet};
use std::error::Error;
use std::fmt::Write as _;
use std::fs;
use std::path::Path;
use std::process::Command;

use crate::chart;
use crate::measure::Account;
use crate::peers::Kind;
use crate::report::{self, brief, milliseconds, wall};
use crate::result::Results;
use crate::rows::rows;
use crate::verdicts;

/// The result that is committed.
pub(crate) const COMMITTED: &str = "benches/results/integrated.json";

/// What surrounds generated text in a document.
const BEGIN: &str = "<!-- figures: made by `cargo bench --bench integrated -- report` -->";
const END: &str = "<!-- end of the figures -->";

/// The five rows of the README.
const README_ROWS: [(&str, &str); 6] = [
    ("fresh-restore.cold-cache.cold-store", "empty store, locked"),
    (
        "fresh-restore.hot-cache.hot-store.again",
        "warm store, no `node_modules`",
    ),
    ("fresh-install.hot-cache.hot-store", "no lockfile, all warm"),
    ("repeat-install.hot-cache.hot-store", "nothing to do"),
    ("mount.warm", "mount"),
    ("remove.again", "removal"),
];
const README_PEERS: [Kind; 6] = [
    Kind::Pacquet,
    Kind::Pnpm,
    Kind::PnpmGlobal,
    Kind::BunHoisted,
    Kind::BunIsolated,
    Kind::BunGlobal,
];

/// Reads a result.
pub(crate) fn read(path: &Path) -> Result<Results, Box<dyn Error>> {
    let bytes = fs::read(path).map_err(|error| format!("{}: {error}", path.display()))?;
    Ok(serde_json::from_slice(&bytes)?)
}

/// Writes everything that comes from a result: its Markdown and charts beside it, and the
/// generated parts of the documents.
pub(crate) fn write_all(path: &Path, root: &Path) -> Result<(), Box<dyn Error>> {
    let results = read(path)?;
    let before = result_before(root, &results);
    let details = report::details(&results, before.as_ref());
    fs::write(path.with_extension("md"), details)?;
    let charts = path.with_extension("charts");
    chart::write_all(&results, &charts)?;
    let performance = performance(&results, before.as_ref(), path, root);
    replace(&root.join("docs/PERFORMANCE.md"), &performance)?;
    replace(&root.join("README.md"), &readme(&results))
}

/// The last committed result that is not this one.
pub(crate) fn result_before(root: &Path, results: &Results) -> Option<Results> {
    let git = |arguments: &[&str]| {
        let output = Command::new("git")
            .arg("-C")
            .arg(root)
            .args(arguments)
            .output();
        output
            .ok()
            .filter(|output| output.status.success())
            .map(|output| output.stdout)
    };
    let commits = git(&["log", "--format=%H", "-n", "10", "--", COMMITTED])?;
    String::from_utf8_lossy(&commits)
        .lines()
        .filter_map(|commit| git(&["show", &format!("{commit}:{COMMITTED}")]))
        .filter_map(|bytes| serde_json::from_slice::<Results>(&bytes).ok())
        .find(|found| found.started != results.started)
}

/// Puts text between the markers of a document.
fn replace(path: &Path, text: &str) -> Result<(), Box<dyn Error>> {
    let old = fs::read_to_string(path)?;
    let (head, rest) = old
        .split_once(BEGIN)
        .ok_or_else(|| format!("{} has no line {BEGIN}", path.display()))?;
    let (_, tail) = rest
        .split_once(END)
        .ok_or_else(|| format!("{} has no line {END}", path.display()))?;
    fs::write(path, format!("{head}{BEGIN}\n{text}{END}{tail}"))?;
    Ok(())
}

fn performance(results: &Results, before: Option<&Results>, path: &Path, root: &Path) -> String {
    let mut text = String::from("\n");
    report::header(&mut text, results);
    let charts = path.with_extension("charts");
    let beside = path.strip_prefix(root).unwrap_or(path);
    let _ = writeln!(
        text,
        "- every sample: `{}`; spread, user and system time: `{}`",
        beside.display(),
        beside.with_extension("md").display()
    );
    text.push_str(&verdicts::verdicts(results));
    text.push_str(&report::compared(results, before));
    for fixture in results.fixtures() {
        let _ = writeln!(text, "\n## {fixture}\n");
        for (scenario, title) in chart::CHARTS {
            let file = charts.join(chart::file_name(fixture, scenario));
            if file.exists() {
                let link = file.strip_prefix(root).unwrap_or(&file);
                let _ = writeln!(text, "![{title}](../{})", link.display());
            }
        }
        overview(&mut text, fixture, results);
        usage(&mut text, fixture, results);
        accounts(&mut text, fixture, results);
        messages(&mut text, fixture, results);
    }
    text
}

/// Why there are no samples, by scenario and peer.
type Remarks = BTreeMap<String, BTreeMap<String, String>>;

/// Medians in milliseconds: a row for each scenario, a column for each peer.
fn overview(text: &mut String, fixture: &str, results: &Results) {
    let nothing = (BTreeMap::new(), BTreeMap::new());
    let samples = results.samples.get(fixture).unwrap_or(&nothing.0);
    let remarks = results.remarks.get(fixture).unwrap_or(&nothing.1);
    let present = |id: &String| {
        let sampled = samples.values().any(|peers| peers.contains_key(id));
        sampled || remarks.values().any(|peers| peers.contains_key(id))
    };
    let peers: Vec<_> = results
        .peers
        .iter()
        .filter(|(id, ..)| present(id))
        .collect();
    text.push_str("\n| median ms | scenario |");
    for (_, title, _) in &peers {
        let _ = write!(text, " {title} |");
    }
    let _ = writeln!(text, "\n| --- | --- |{}", " ---: |".repeat(peers.len()));
    for row in rows() {
        let (found, said) = (samples.get(&row.scenario), remarks.get(&row.scenario));
        if found.is_none() && said.is_none() {
            continue;
        }
        let _ = write!(text, "| {} | `{}` |", row.title, row.scenario);
        for (id, ..) in &peers {
            let value = found
                .and_then(|samples| wall(samples, id))
                .map(milliseconds);
            let remark = said.and_then(|remarks| remarks.get(id));
            let remark = remark.map(|text| text.split(':').next().unwrap_or_default().to_owned());
            let _ = write!(text, " {} |", value.or(remark).unwrap_or_default());
        }
        text.push('\n');
    }
    text.push('\n');
    reasons(text, remarks);
}

/// Why there are no figures: what failed, one by one, and what was not done, by reason.
fn reasons(text: &mut String, remarks: &Remarks) {
    let mut others: BTreeMap<&str, (BTreeSet<&str>, BTreeSet<&str>)> = BTreeMap::new();
    for (scenario, peers) in remarks {
        for (peer, message) in peers {
            if message.starts_with("failed") {
                let _ = writeln!(text, "- failed: {peer}, `{scenario}`: {}", brief(message));
            } else {
                let (who, what) = others.entry(message).or_default();
                who.insert(peer);
                what.insert(scenario);
            }
        }
    }
    for (reason, (who, what)) in others {
        let join = |names: BTreeSet<&str>| names.into_iter().collect::<Vec<_>>().join("`, `");
        let _ = writeln!(text, "- {reason}: `{}` (`{}`)", join(who), join(what));
    }
}

/// Some file systems do not count their inodes.
fn counted(inodes: u64) -> String {
    match inodes {
        0 => "not counted".to_owned(),
        _ => inodes.to_string(),
    }
}

/// Disk, and the server's memory.
fn usage(text: &mut String, fixture: &str, results: &Results) {
    let tables = [
        (
            "On disk after an install into an empty store",
            &results.disk,
        ),
        ("Added by ten checkouts", &results.worktrees),
    ];
    for (title, table) in tables {
        let Some(peers) = table.get(fixture) else {
            continue;
        };
        let _ = writeln!(
            text,
            "\n{title}:\n\n| | MiB | inodes |\n| --- | ---: | ---: |"
        );
        for (id, name, _) in &results.peers {
            if let Some(usage) = peers.get(id) {
                let (mib, inodes) = (usage.bytes >> 20, counted(usage.inodes));
                let _ = writeln!(text, "| {name} | {mib} | {inodes} |");
            }
        }
    }
    if let Some(memory) = results.memory.get(fixture).and_then(|list| list.last()) {
        let _ = writeln!(
            text,
            "\nServer after a full walk and read: resident {} MiB (anonymous {} MiB), at most \
             {} MiB.",
            memory.resident_kib >> 10,
            memory.anonymous_kib >> 10,
            memory.peak_kib >> 10
        );
    }
    if let Some(memory) = results.kernel.get(fixture).and_then(|list| list.last()) {
        let _ = writeln!(
            text,
            "\nAdded to the kernel's memory by what is looked up in advance after a mount, when \
             the profile knows of a full walk: slab {} MiB, contents {} MiB.",
            memory.slab_kib >> 10,
            memory.cached_kib >> 10
        );
    }
}

/// Peak memory of the whole process tree, and system calls.
fn accounts(text: &mut String, fixture: &str, results: &Results) {
    let Some(scenarios) = results.accounts.get(fixture) else {
        return;
    };
    text.push_str(
        "\nMemory (largest sum of proportional set sizes of all processes, server included) and \
         system calls, in runs that are not timed:\n\n\
         | | peer | MiB | system calls | most of them |\n| --- | --- | ---: | ---: | --- |\n",
    );
    for row in rows() {
        let Some(peers) = scenarios.get(&row.scenario) else {
            continue;
        };
        for (id, title, _) in &results.peers {
            if let Some(account) = peers.get(id) {
                let all = account.system_calls.get("all");
                let all = all.map_or("not counted".to_owned(), u64::to_string);
                let _ = writeln!(
                    text,
                    "| {} | {title} | {} | {all} | {} |",
                    row.title,
                    account.peak_kib >> 10,
                    most_frequent(account)
                );
            }
        }
    }
    let seen = |id: &String| scenarios.values().any(|peers| peers.contains_key(id));
    let unseen = results.peers.iter().filter(|(id, ..)| !seen(id));
    let titles: Vec<&str> = unseen.map(|(_, title, _)| title.as_str()).collect();
    if !titles.is_empty() {
        let _ = writeln!(text, "\nNot looked at here: {}.", titles.join("; "));
    }
}

fn most_frequent(account: &Account) -> String {
    const SHOWN: usize = 5;
    let mut kinds: Vec<(&String, &u64)> = account
        .system_calls
        .iter()
        .filter(|(kind, count)| *kind != "all" && **count > 0)
        .collect();
    kinds.sort_by_key(|(_, count)| std::cmp::Reverse(**count));
    let words = kinds
        .iter()
        .take(SHOWN)
        .map(|(kind, count)| format!("{kind} {count}"));
    words.collect::<Vec<_>>().join(", ")
}

/// What the kernel asked the server while a program ran: a column for each kind.
fn messages(text: &mut String, fixture: &str, results: &Results) {
    let Some(scenarios) = results.messages.get(fixture) else {
        return;
    };
    let mut totals: BTreeMap<&str, u64> = BTreeMap::new();
    for (kind, count) in scenarios.values().flatten() {
        *totals.entry(kind).or_default() += count;
    }
    let mut kinds: Vec<(&str, u64)> = totals.into_iter().collect();
    kinds.sort_by_key(|(_, count)| std::cmp::Reverse(*count));
    text.push_str("\nMessages that the server answered (those of the walker too):\n\n| | all |");
    for (kind, _) in &kinds {
        let _ = write!(text, " {kind} |");
    }
    let _ = writeln!(text, "\n| --- |{}", " ---: |".repeat(kinds.len() + 1));
    for row in rows() {
        let Some(counts) = scenarios.get(&row.scenario) else {
            continue;
        };
        let all: u64 = counts.values().sum();
        let _ = write!(text, "| {} | {all} |", row.title);
        for (kind, _) in &kinds {
            let count = counts.get(*kind).copied().unwrap_or_default();
            let _ = write!(text, " {count} |");
        }
        text.push('\n');
    }
}

/// The README's table: the standard project of the field.
fn readme(results: &Results) -> String {
    const FIXTURE: &str = "alotta-files";
    let mut text = String::from("\n| median ms |");
    for kind in README_PEERS {
        let _ = write!(text, " {} |", kind.title());
    }
    let _ = writeln!(text, "\n| --- |{}", " ---: |".repeat(README_PEERS.len()));
    let samples = results.samples.get(FIXTURE);
    for (scenario, title) in README_ROWS {
        let Some(peers) = samples.and_then(|scenarios| scenarios.get(scenario)) else {
            continue;
        };
        let _ = write!(text, "| {title} |");
        for kind in README_PEERS {
            let value = wall(peers, kind.id()).map(milliseconds);
            let _ = write!(text, " {} |", value.unwrap_or_default());
        }
        text.push('\n');
    }
    if let Some(peers) = results.disk.get(FIXTURE) {
        text.push_str("| inodes on disk |");
        for kind in README_PEERS {
            let inodes = peers.get(kind.id()).map(|usage| counted(usage.inodes));
            let _ = write!(text, " {} |", inodes.unwrap_or_default());
        }
        text.push('\n');
    }
    let slower = slower_than_real(results);
    if !slower.is_empty() {
        let _ = writeln!(text, "\nSlower than in a real tree: {}.", slower.join("; "));
    }
    let _ = writeln!(text, "\nMade by `{}`.\n", results.command);
    text
}

/// Where using the served tree takes longer than using pnpm's.
fn slower_than_real(results: &Results) -> Vec<String> {
    let mut found = Vec::new();
    for (fixture, scenarios) in &results.samples {
        for row in rows() {
            let is_use = row.scenario.starts_with("tree.") || row.scenario.starts_with("tool.");
            let Some(peers) = scenarios.get(&row.scenario).filter(|_| is_use) else {
                continue;
            };
            let both = (
                wall(peers, Kind::Pacquet.id()),
                wall(peers, Kind::Pnpm.id()),
            );
            if let (Some(ours), Some(theirs)) = both
                && ours > theirs * 1.05
            {
                found.push(format!("{fixture}, {}: {:.2}", row.title, ours / theirs));
            }
        }
    }
    found
}
