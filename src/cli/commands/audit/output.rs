//! Advisories as people read them.

use crate::cli::table::drawn;
use crate::install::audit::{Advisory, Patched, Severity};
use crate::name::escaped;

/// Most paths that are shown.
const PATHS_MAX: usize = 3;

/// One in a table of its own, with a newline at its end.
pub(super) fn table(advisory: &Advisory) -> String {
    let patched = match &advisory.patched {
        Patched::Since(range) => escaped(range),
        Patched::Unknown => "(unknown)".to_owned(),
        Patched::Unpublished => "None".to_owned(),
    };
    let row = |name: &str, value: String| vec![name.to_owned(), value];
    let rows = [
        row(advisory.severity.as_str(), escaped(&advisory.title)),
        row("Package", escaped(&advisory.name)),
        row("Vulnerable versions", escaped(&advisory.vulnerable)),
        row("Patched versions", patched),
        row("Paths", paths(advisory)),
        row("More info", escaped(&advisory.url)),
    ];
    format!("{}\n", drawn(&rows))
}

fn paths(advisory: &Advisory) -> String {
    let all = advisory.findings.iter().flat_map(|finding| &finding.paths);
    let all: Vec<String> = all.map(|path| escaped(path)).collect();
    let mut shown: Vec<String> = all.iter().take(PATHS_MAX).cloned().collect();
    if all.len() > PATHS_MAX {
        shown.push(format!(
            "... Found {} paths, run `pacquet why {}` for more information",
            all.len(),
            escaped(&advisory.name)
        ));
    }
    shown.join("\n\n")
}

/// How many were found, and how many of them nobody was told of.
pub(super) fn summary(found: &[(Severity, usize)], ignored: &[(Severity, usize)]) -> String {
    let sum = |counts: &[(Severity, usize)]| counts.iter().map(|(_, count)| count).sum::<usize>();
    let listed = |counts: &[(Severity, usize)]| {
        let counts = counts.iter().filter(|(_, count)| *count > 0);
        let texts = counts.map(|(severity, count)| format!("{count} {}", severity.as_str()));
        texts.collect::<Vec<_>>().join(" | ")
    };
    let left_out = match sum(ignored) {
        0 => String::new(),
        count => format!("\n{count} ignored: {}", listed(ignored)),
    };
    match (sum(found), left_out.is_empty()) {
        (0, true) => "No known vulnerabilities found\n".to_owned(),
        (0, false) => format!(
            "All found vulnerabilities were already reviewed and decided to be ignored{left_out}\n"
        ),
        (count, _) => format!(
            "{count} vulnerabilities found\nSeverity: {}{left_out}\n",
            listed(found)
        ),
    }
}

/// One line, to be chosen.
pub(super) fn label(advisory: &Advisory) -> String {
    format!(
        "({}) {} {}: {}",
        advisory.severity.as_str(),
        advisory.name,
        advisory.vulnerable,
        advisory.title
    )
}
