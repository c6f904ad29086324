//! The targets beside what was found: reached or missed, never asserted.

use std::fmt::Write as _;

use crate::peers::Kind;
use crate::report::{milliseconds, summary, wall};
use crate::result::Results;
use crate::rows::{LIMITS, rows};

/// The project of all targets that are not times.
const STANDARD: &str = "alotta-files";

/// System time of an install into an empty store, as a share of pnpm's.
const SYSTEM_SHARE: f64 = 0.2;

/// At most so much memory in an install: scenario, what it is, MiB.
const PEAKS: [(&str, &str, u64); 2] = [
    (
        "fresh-restore.cold-cache.cold-store",
        "peak memory of an install into an empty store, server included",
        300,
    ),
    (
        "fresh-resolve.hot-cache.offline",
        "peak memory of resolving",
        250,
    ),
];

/// At most so much of the server after a full walk and read, in MiB.
const SERVER_MIB: u64 = 60;

/// At most so much of the kernel for what the walker looked up, in MiB.
const WALKER_MIB: u64 = 100;

/// A line of the table.
struct Verdict {
    fixture: String,
    what: String,
    target: String,
    found: String,
    is_reached: bool,
}

/// Every target that was measured, missed ones first.
pub(crate) fn verdicts(results: &Results) -> String {
    let mut all = shares(results);
    all.extend(limits(results));
    all.extend(system_time(results));
    all.extend(memory(results));
    if all.is_empty() {
        return String::new();
    }
    all.sort_by_key(|verdict| verdict.is_reached);
    let missed = all.iter().filter(|verdict| !verdict.is_reached).count();
    let mut text = format!(
        "\n### Targets: {} reached, {missed} missed\n\n| fixture | | at most | found | |\n\
         | --- | --- | ---: | ---: | --- |\n",
        all.len() - missed
    );
    for verdict in &all {
        let word = if verdict.is_reached {
            "reached"
        } else {
            "**missed**"
        };
        let _ = writeln!(
            text,
            "| {} | {} | {} | {} | {word} |",
            verdict.fixture, verdict.what, verdict.target, verdict.found
        );
    }
    text
}

/// Wall times against those of others.
fn shares(results: &Results) -> Vec<Verdict> {
    let mut found = Vec::new();
    for (fixture, scenarios) in &results.samples {
        for row in rows().iter().filter(|row| row.is_judged(fixture)) {
            let Some(peers) = scenarios.get(&row.scenario) else {
                continue;
            };
            for target in &row.targets {
                let both = (
                    wall(peers, target.ours.id()),
                    wall(peers, target.theirs.id()),
                );
                let (Some(ours), Some(theirs)) = both else {
                    continue;
                };
                let whose = match target.ours {
                    Kind::Pacquet => String::new(),
                    other => format!("{}: ", other.title()),
                };
                found.push(Verdict {
                    fixture: fixture.clone(),
                    what: format!("{whose}{} (`{}`)", row.title, row.scenario),
                    target: format!("{:.3} of {}", target.share, target.theirs.title()),
                    found: format!(
                        "{:.3} ({} of {} ms)",
                        ours / theirs,
                        milliseconds(ours),
                        milliseconds(theirs)
                    ),
                    is_reached: ours <= theirs * target.share,
                });
            }
        }
    }
    found
}

/// Wall times by themselves.
fn limits(results: &Results) -> Vec<Verdict> {
    let titles = rows();
    let judge = |(fixture, scenario, limit): &(&str, &str, f64)| {
        let peers = results.samples.get(*fixture)?.get(*scenario)?;
        let ours = wall(peers, Kind::Pacquet.id())?;
        let row = titles.iter().find(|row| row.scenario == *scenario)?;
        Some(Verdict {
            fixture: (*fixture).to_owned(),
            what: format!("{} (`{scenario}`)", row.title),
            target: format!("{limit} ms"),
            found: format!("{ours:.1} ms"),
            is_reached: ours <= *limit,
        })
    };
    LIMITS.iter().filter_map(judge).collect()
}

fn system_time(results: &Results) -> Option<Verdict> {
    let peers = results.samples.get(STANDARD)?.get(PEAKS[0].0)?;
    let system = |kind: Kind| {
        let samples = peers.get(kind.id())?;
        Some(summary(samples, |sample| sample.system_ms).0)
    };
    let (ours, theirs) = (system(Kind::Pacquet)?, system(Kind::Pnpm)?);
    Some(Verdict {
        fixture: STANDARD.to_owned(),
        what: "system time of an install into an empty store".to_owned(),
        target: format!("{SYSTEM_SHARE:.3} of {}", Kind::Pnpm.title()),
        found: format!(
            "{:.3} ({} of {} ms)",
            ours / theirs,
            milliseconds(ours),
            milliseconds(theirs)
        ),
        is_reached: ours <= theirs * SYSTEM_SHARE,
    })
}

/// Memory of processes and of the kernel.
fn memory(results: &Results) -> Vec<Verdict> {
    let judge = |what: &str, limit_mib: u64, found_kib: u64| Verdict {
        fixture: STANDARD.to_owned(),
        what: what.to_owned(),
        target: format!("{limit_mib} MiB"),
        found: format!("{} MiB", found_kib >> 10),
        is_reached: found_kib <= limit_mib << 10,
    };
    let mut found = Vec::new();
    for (scenario, what, limit) in PEAKS {
        let accounts = results.accounts.get(STANDARD);
        let account = accounts.and_then(|all| all.get(scenario)?.get(Kind::Pacquet.id()));
        found.extend(account.map(|account| judge(what, limit, account.peak_kib)));
    }
    let server = results.memory.get(STANDARD).and_then(|list| list.last());
    let what = "the server after a full walk and read, resident";
    found.extend(server.map(|memory| judge(what, SERVER_MIB, memory.resident_kib)));
    let kernel = results.kernel.get(STANDARD).and_then(|list| list.last());
    let what = "kernel memory (slab) added by the walker";
    found.extend(kernel.map(|memory| judge(what, WALKER_MIB, memory.slab_kib)));
    found
}
