//! `--allow-build`: which packages may run scripts, said with the install that brings them.

use serde_json::Value;

use crate::cli::context::Context;
use crate::cli::failure::Failure;

/// The package of a word, and whether it may.
fn decision(word: &str) -> (&str, bool) {
    match word.strip_prefix('!') {
        Some(name) => (name, false),
        None => (word, true),
    }
}

/// Lets the configuration of this command have the decisions.
pub(in crate::cli) fn allow(context: &mut Context, words: &[String]) {
    let allowed = &mut context.config.builds.allow_builds.0;
    for (name, may) in words.iter().map(|word| decision(word)) {
        allowed.insert(name.to_owned(), Some(may));
    }
}

/// Decides on them in `pnpm-workspace.yaml`.
pub(in crate::cli) fn decide(context: &Context, words: &[String]) -> Result<(), Failure> {
    if words.is_empty() {
        return Ok(());
    }
    let config = &context.config;
    let mut file = context.settings_file(config.root())?;
    for (name, may) in words.iter().map(|word| decision(word)) {
        file.set(&["allowBuilds", name], &Value::Bool(may))?;
    }
    context.draft(file.draft())
}
