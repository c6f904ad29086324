//! `peers check`: which peers are missing or do not fit.

use crate::cli::Ending;
use crate::cli::arguments::{GlobalArguments, ListArguments, PeersArguments};
use crate::cli::failure::Failure;
use crate::cli::installed::Source;
use crate::cli::print;
use crate::install::relock::peer_issues;
use crate::install::scripts::ScriptEnd;

/// Ends with 1 where there is anything to tell.
pub(in crate::cli) fn run(
    global: &GlobalArguments,
    arguments: &PeersArguments,
) -> Result<Ending, Failure> {
    if !matches!(arguments.words.as_slice(), [] | [_]) || !is_check(arguments) {
        return Err(Failure::usage("the only subcommand of `peers` is `check`"));
    }
    let listed = ListArguments {
        lockfile_only: arguments.lockfile_only,
        ..ListArguments::default()
    };
    let source = Source::read(global, &listed)?;
    let rules = &source.context.config.graph.peer_rules;
    let issues = peer_issues(&source.lockfile, &source.projects, rules);
    let text = match (arguments.json, issues.is_empty()) {
        (true, _) => serde_json::to_string_pretty(&issues.json()).unwrap_or_default(),
        (false, true) => "No peer dependency issues found".to_owned(),
        (false, false) => format!(
            "Issues with peer dependencies found\n\n{}",
            issues.listing()
        ),
    };
    print(&format!("{text}\n"));
    Ok(match issues.is_empty() {
        true => Ending::Success,
        false => Ending::As(ScriptEnd::Code(1)),
    })
}

fn is_check(arguments: &PeersArguments) -> bool {
    arguments.words.first().is_none_or(|word| word == "check")
}
