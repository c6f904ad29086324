//! Which runtimes a project says that it needs, and which are there.

use std::collections::HashSet;

use serde_json::Value;

use super::context::Context;
use super::failure::Failure;
use crate::install::config::EngineReaction;
use crate::install::locked::program_version;
use crate::install::semver::{Range, Version};
use crate::name::escaped;
use crate::report::Event;

const CODE: &str = "ERR_PNPM_BAD_RUNTIME_VERSION";

/// Refuses a project whose runtimes (`devEngines.runtime`, `engines.runtime`) are other ones than
/// those of this machine, or warns of it, as it says itself, or as `runtimeOnFail` does.
pub(super) fn check(context: &Context, manifest: &Value) -> Result<(), Failure> {
    let set = context.config.runtime_on_fail.map(EngineReaction::as_str);
    let mut seen = HashSet::new();
    for field in ["devEngines", "engines"] {
        let declared = manifest.get(field).and_then(|all| all.get("runtime"));
        let declared = match declared {
            Some(Value::Array(list)) => list.as_slice(),
            Some(one) => std::slice::from_ref(one),
            None => continue,
        };
        for runtime in declared {
            let text = |key: &str| runtime.get(key).and_then(Value::as_str);
            let Some((name, shown)) = text("name").and_then(known) else {
                continue;
            };
            let reaction = set.or(text("onFail")).unwrap_or("ignore");
            if !seen.insert(name) || matches!(reaction, "ignore" | "download") {
                continue;
            }
            if let Some(sentence) = mismatch(context, (name, shown), text("version")) {
                react(context, reaction, sentence)?;
            }
        }
    }
    Ok(())
}

/// The program of a runtime, and its name as people write it.
fn known(name: &str) -> Option<(&'static str, &'static str)> {
    match name {
        "node" => Some(("node", "Node.js")),
        "deno" => Some(("deno", "Deno")),
        "bun" => Some(("bun", "Bun")),
        _ => None,
    }
}

/// What is wrong with the runtime of this machine.
fn mismatch(
    context: &Context,
    (name, shown): (&str, &str),
    wanted: Option<&str>,
) -> Option<String> {
    let Some(wanted) = wanted.map(str::trim).filter(|wanted| !wanted.is_empty()) else {
        return Some(format!(
            "This project requires a {shown} runtime but does not specify a version range"
        ));
    };
    let range = escaped(wanted);
    let Some(wanted) = Range::parse(wanted) else {
        return Some(format!(
            "This project requires an invalid {shown} version range: {range}"
        ));
    };
    let there = program_version(name, &context.config, &context.environment);
    let Some(there) = there else {
        return Some(format!(
            "This project requires {shown} {range}, but {shown} was not found on the system"
        ));
    };
    let fits = Version::parse(&there).is_some_and(|version| wanted.contains(&version));
    (!fits)
        .then(|| format!("This project requires {shown} {range}. Your current {shown} is v{there}"))
}

fn react(context: &Context, reaction: &str, sentence: String) -> Result<(), Failure> {
    if reaction == "error" {
        let hint = "use such a runtime, or set runtimeOnFail to \"warn\" or \"ignore\"";
        return Err(Failure::new(CODE, sentence, Some(hint)));
    }
    context.reporter.report(&Event::Warning {
        code: CODE,
        message: &sentence,
    });
    Ok(())
}
