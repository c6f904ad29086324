//! `minimumReleaseAgeExcludePrune` and `trustPolicyExcludePrune`: exceptions for what the lockfile
//! does not have go out of `pnpm-workspace.yaml`.

use std::collections::{HashMap, HashSet};

use serde_json::Value;

use crate::cli::context::Context;
use crate::cli::failure::Failure;
use crate::cli::relocking::uses_lockfile;
use crate::install::config::Config;
use crate::install::locked::Groups;
use crate::install::lockfile::{Lockfile, read_lockfile};

/// Versions by package.
type Locked<'l> = HashMap<&'l str, HashSet<&'l str>>;

/// Decides to take them out.
pub(super) fn prune(context: &Context) -> Result<(), Failure> {
    let config = &context.config;
    let settings = pruned(config);
    if settings.is_empty() || !uses_lockfile(config) || config.has_lockfiles_apart() {
        return Ok(());
    }
    let inputs = context.inputs(Groups::ALL)?;
    if inputs.lockfile.is_of_npm {
        return Ok(());
    }
    let lockfile = read_lockfile(&inputs.lockfile_text)?;
    let locked = locked(&lockfile);
    let mut file = context.settings_file(config.root())?;
    for setting in settings {
        if let Some(Value::Array(list)) = file.get(&[setting])? {
            let kept: Vec<Option<Value>> = list.iter().map(|entry| kept(entry, &locked)).collect();
            file.retain(setting, &list, &kept)?;
        }
    }
    context.draft(file.draft())
}

/// The lists from which something goes.
fn pruned(config: &Config) -> Vec<&'static str> {
    let resolution = &config.resolution;
    let all = [
        (
            "minimumReleaseAgeExclude",
            resolution.minimum_release_age_exclude_prune,
        ),
        ("trustPolicyExclude", resolution.trust_policy_exclude_prune),
    ];
    let is_on = |(name, is_on): (&'static str, bool)| is_on.then_some(name);
    all.into_iter().filter_map(is_on).collect()
}

fn locked(lockfile: &Lockfile) -> Locked<'_> {
    let mut locked = Locked::new();
    for id in lockfile.packages.keys() {
        let version = id.version();
        // Of a named registry the version is behind its prefix.
        let version = version
            .rsplit_once(':')
            .map_or(version, |(_, version)| version);
        locked.entry(id.name_str()).or_default().insert(version);
    }
    locked
}

/// What is left of an entry: a pattern of names stays, and of versions those that are there.
fn kept(entry: &Value, locked: &Locked<'_>) -> Option<Value> {
    let Some(text) = entry.as_str() else {
        return Some(entry.clone());
    };
    let at = text.char_indices().skip(1).find(|(_, one)| *one == '@');
    let Some((at, _)) = at else {
        let stays = text.contains('*') || locked.contains_key(text);
        return stays.then(|| entry.clone());
    };
    let (name, versions) = (&text[..at], &text[at + 1..]);
    let there = locked.get(name)?;
    let all: Vec<&str> = versions.split("||").map(str::trim).collect();
    let left: Vec<&str> = all
        .iter()
        .copied()
        .filter(|version| there.contains(version))
        .collect();
    if left.len() == all.len() {
        return Some(entry.clone());
    }
    (!left.is_empty()).then(|| Value::from(format!("{name}@{}", left.join(" || "))))
}
