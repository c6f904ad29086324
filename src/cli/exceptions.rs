//! `minimumReleaseAgeExclude` of a workspace, where a lockfile got versions for which there was
//! nothing older: who installs it elsewhere is to find them allowed.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use super::context::Context;
use super::failure::Failure;
use crate::install::semver::Version;

const SETTING: &str = "minimumReleaseAgeExclude";

/// Versions by package.
pub(super) type Exceptions = BTreeMap<Box<str>, Vec<Box<str>>>;

/// Adds what is new, and lets it be said.
pub(super) fn record(context: &Context, exceptions: &Exceptions) -> Result<(), Failure> {
    let config = &context.config;
    // What is made in the cache is nobody's project.
    let is_projects = !config
        .lockfile_directory
        .starts_with(&config.cache_directory);
    if exceptions.is_empty() || !is_projects {
        return Ok(());
    }
    let root = config.workspace_root.as_ref();
    let mut file = context.settings_file(root.unwrap_or(&config.lockfile_directory))?;
    let mut list = match file.get(&[SETTING])? {
        Some(Value::Array(list)) => list,
        _ => Vec::new(),
    };
    let mut told = Vec::new();
    for (name, versions) in exceptions {
        told.push(union(name, versions));
        let place = list.iter().position(|entry| {
            let entry = entry.as_str().and_then(|text| text.strip_prefix(&**name));
            entry.is_some_and(|rest| rest.starts_with('@'))
        });
        match place {
            Some(place) => {
                let known = list[place].as_str().unwrap_or_default();
                let known = known[name.len() + 1..].split("||");
                let mut all: Vec<Box<str>> = known.map(|text| text.trim().into()).collect();
                all.extend(versions.iter().cloned());
                list[place] = json!(union(name, &all));
            }
            None => list.push(json!(union(name, versions))),
        }
    }
    file.set(&[SETTING], &Value::Array(list))?;
    context.draft(file.draft())?;
    let count = told.len();
    let entries = if count == 1 { "entry" } else { "entries" };
    context.note(format!(
        "Added {count} {entries} to {SETTING} in pnpm-workspace.yaml (set \
         minimumReleaseAgeStrict to true to have such versions refused):\n  {}",
        told.join("\n  ")
    ));
    Ok(())
}

/// `name@1.0.0 || 2.0.0`
fn union(name: &str, versions: &[Box<str>]) -> String {
    let mut versions: Vec<&str> = versions.iter().map(|version| &**version).collect();
    versions.sort_by_cached_key(|text| (Version::parse(text), *text));
    versions.dedup();
    format!("{name}@{}", versions.join(" || "))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_are_in_the_order_of_versions() {
        let versions = ["10.0.0", "2.0.0", "2.0.0"].map(Into::into);
        assert_eq!(union("@s/x", &versions), "@s/x@2.0.0 || 10.0.0");
    }
}
