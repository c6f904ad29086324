//! What a result says: medians, ratios, targets, and how it compares with the one before.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use crate::measure::Sample;
use crate::peers::Kind;
use crate::result::Results;
use crate::rows::{Row, rows};
use crate::verdicts;

/// The samples of one scenario by peer.
pub(crate) type Samples = BTreeMap<String, Vec<Sample>>;

/// The middle of some numbers (the lower one of two).
pub(crate) fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values
        .get(values.len().saturating_sub(1) / 2)
        .copied()
        .unwrap_or(f64::NAN)
}

pub(crate) fn summary(samples: &[Sample], value: fn(&Sample) -> f64) -> (f64, f64, f64) {
    let values: Vec<f64> = samples.iter().map(value).collect();
    let smallest = values.iter().copied().fold(f64::INFINITY, f64::min);
    let largest = values.iter().copied().fold(0.0, f64::max);
    (median(values), smallest, largest)
}

/// A peer's median wall time.
pub(crate) fn wall(peers: &Samples, id: &str) -> Option<f64> {
    peers
        .get(id)
        .map(|samples| summary(samples, |sample| sample.wall_ms).0)
}

/// Milliseconds as tables show them.
pub(crate) fn milliseconds(value: f64) -> String {
    match value {
        _ if value < 10.0 => format!("{value:.1}"),
        _ => format!("{value:.0}"),
    }
}

/// Every sample's summary, a table for each scenario.
pub(crate) fn details(results: &Results, before: Option<&Results>) -> String {
    let mut text = String::new();
    header(&mut text, results);
    text.push_str(&verdicts::verdicts(results));
    text.push_str(&compared(results, before));
    for (fixture, scenarios) in &results.samples {
        let _ = writeln!(text, "\n## {fixture}");
        for row in &rows() {
            let remarks = results.remarks.get(fixture);
            let remarks = remarks.and_then(|scenarios| scenarios.get(&row.scenario));
            let samples = scenarios.get(&row.scenario);
            if samples.is_some() || remarks.is_some() {
                let nobody = (Samples::new(), BTreeMap::new());
                let samples = samples.unwrap_or(&nobody.0);
                let remarks = remarks.unwrap_or(&nobody.1);
                table(&mut text, row, samples, remarks, results);
            }
        }
    }
    text
}

/// How, where and by whom it was made.
pub(crate) fn header(text: &mut String, results: &Results) {
    let _ = writeln!(
        text,
        "Made by `{}` on commit {}.\n",
        results.command, results.commit
    );
    for (key, value) in &results.machine {
        let _ = writeln!(text, "- {key}: {value}");
    }
    let _ = writeln!(
        text,
        "- at most {} rounds, peers in turn; medians",
        results.rounds
    );
    for note in &results.notes {
        let _ = writeln!(text, "- {note}");
    }
    for (_, title, version) in &results.peers {
        let _ = writeln!(text, "- {title}: {version}");
    }
    for (peer, reason) in &results.missing {
        let _ = writeln!(text, "- **missing:** {peer}: {reason}");
    }
    for (fixture, peer, message) in &results.failures {
        let _ = writeln!(
            text,
            "- **failed:** {peer} on {fixture}: {}",
            brief(message)
        );
    }
}

/// The most telling line of a failure.
pub(crate) fn brief(message: &str) -> String {
    const LENGTH_MAX: usize = 160;
    let lines: Vec<&str> = message.lines().map(str::trim).collect();
    let error = |line: &&&str| {
        let line = line.to_lowercase();
        line.contains("error") || line.contains("eacces") || line.contains("cannot")
    };
    let after = lines.get(1..).unwrap_or_default();
    let line = after
        .iter()
        .find(error)
        .or_else(|| after.iter().rev().find(|line| !line.is_empty()))
        .or(lines.first());
    let text = line.map_or(String::new(), |line| line.replace(['|', '`'], " "));
    text.chars().take(LENGTH_MAX).collect()
}

fn table(
    text: &mut String,
    row: &Row,
    peers: &Samples,
    remarks: &BTreeMap<String, String>,
    results: &Results,
) {
    let _ = writeln!(text, "\n### {} (`{}`)\n", row.title, row.scenario);
    text.push_str(
        "| | wall ms | min | max | samples | pacquet's share | user ms | system ms | \
         left running ms | largest process MiB |\n\
         | --- | ---: | ---: | ---: | ---: | ---: | ---: | ---: | ---: | ---: |\n",
    );
    let ours = wall(peers, Kind::Pacquet.id());
    for (id, title, _) in &results.peers {
        if let Some(remark) = remarks.get(id).filter(|_| !peers.contains_key(id)) {
            let first = remark.lines().next().unwrap_or_default();
            let _ = writeln!(text, "| {title} | {} |", first.replace('|', " "));
            continue;
        }
        let Some(samples) = peers.get(id) else {
            continue;
        };
        let (middle, smallest, largest) = summary(samples, |sample| sample.wall_ms);
        let share = ours.map_or_else(String::new, |ours| format!("{:.3}", ours / middle));
        let _ = writeln!(
            text,
            "| {title} | {} | {} | {} | {} | {share} | {} | {} | {} | {:.0} |",
            milliseconds(middle),
            milliseconds(smallest),
            milliseconds(largest),
            samples.len(),
            milliseconds(summary(samples, |sample| sample.user_ms).0),
            milliseconds(summary(samples, |sample| sample.system_ms).0),
            milliseconds(summary(samples, |sample| sample.left_running_ms).0),
            summary(samples, |sample| sample.peak_kib as f64 / 1024.0).0,
        );
    }
}

/// What became slower since the result before, spread or not.
pub(crate) fn compared(results: &Results, before: Option<&Results>) -> String {
    let Some(before) = before else {
        return "\nThere is no committed result to compare with.\n".to_owned();
    };
    let mut text = format!(
        "\n### Slower than the result before (commit {})\n\n",
        before.commit
    );
    let mut slower = 0;
    for (fixture, scenarios) in &results.samples {
        for (scenario, peers) in scenarios {
            let old = before.samples.get(fixture);
            let old = old.and_then(|scenarios| scenarios.get(scenario)?.get(Kind::Pacquet.id()));
            let (Some(new), Some(old)) = (peers.get(Kind::Pacquet.id()), old) else {
                continue;
            };
            let (now, least, _) = summary(new, |sample| sample.wall_ms);
            let (then, _, most) = summary(old, |sample| sample.wall_ms);
            if now > then {
                slower += 1;
                let spread = if least <= most {
                    ", within the spread"
                } else {
                    ""
                };
                let _ = writeln!(
                    text,
                    "- {fixture}, `{scenario}`: {} ms instead of {} ms ({:.2}{spread})",
                    milliseconds(now),
                    milliseconds(then),
                    now / then
                );
            }
        }
    }
    if slower == 0 {
        text.push_str("Nothing.\n");
    }
    text
}
