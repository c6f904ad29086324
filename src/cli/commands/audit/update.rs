//! `audit --fix=update`: vulnerable packages to the latest versions that ranges allow.

use crate::cli::Ending;
use crate::cli::arguments::{AuditArguments, ChangeArguments, GlobalArguments, UpdateArguments};
use crate::cli::commands::update;
use crate::cli::context::Context;
use crate::cli::failure::Failure;
use crate::cli::print;
use crate::install::audit::{Advisory, Report, Severity};
use crate::name::escaped;

/// Updates, asks again, and tells what was fixed and what remains. Ends with 1 where anything does.
pub(super) fn fix(
    context: &Context,
    (global, arguments): (&GlobalArguments, &AuditArguments),
    report: Report,
    level: Severity,
) -> Result<Ending, Failure> {
    let that_count = |mut report: Report| {
        report.take_ignored(&context.config.audit.ignored);
        let mut advisories = report.advisories;
        advisories.retain(|one| one.severity >= level);
        advisories.sort_by_key(|one| std::cmp::Reverse(one.severity));
        advisories
    };
    let before = that_count(report);
    let wanted = match arguments.interactive {
        true => super::chosen(before.clone())?,
        false => before.clone(),
    };
    let mut packages: Vec<String> = wanted.into_iter().map(|one| one.name).collect();
    packages.sort();
    packages.dedup();
    if !packages.is_empty() {
        let updating = UpdateArguments {
            packages,
            change: ChangeArguments {
                recursive: true,
                network: arguments.network.clone(),
                ..ChangeArguments::default()
            },
            ..UpdateArguments::default()
        };
        update::run(global, &updating)?;
    }
    let graph = super::graph(global, arguments)?;
    let remaining = that_count(super::ask(context, &graph)?);
    let is_gone = |one: &&Advisory| !remaining.iter().any(|other| other.id == one.id);
    let fixed: Vec<&Advisory> = before.iter().filter(is_gone).collect();
    print(&told(&fixed, &remaining.iter().collect::<Vec<_>>()));
    Ok(super::ending(!remaining.is_empty()))
}

fn told(fixed: &[&Advisory], remaining: &[&Advisory]) -> String {
    let count = |list: &[&Advisory]| match list.len() {
        1 => "1 vulnerability".to_owned(),
        count => format!("{count} vulnerabilities"),
    };
    let were = if fixed.len() == 1 { "was" } else { "were" };
    let remain = if remaining.len() == 1 {
        "remains"
    } else {
        "remain"
    };
    let mut text = format!(
        "{} {were} fixed, {} {remain}.\n",
        count(fixed),
        count(remaining)
    );
    for (title, list) in [("fixed", fixed), ("remaining", remaining)] {
        if list.is_empty() {
            continue;
        }
        text.push_str(&format!("\nThe {title} vulnerabilities are:\n"));
        for one in list {
            let (severity, title) = (one.severity.as_str(), escaped(&one.title));
            text.push_str(&format!(
                "- ({severity}) \"{title}\" {}\n",
                escaped(&one.name)
            ));
        }
    }
    text
}
