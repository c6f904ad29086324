//! `update --workspace`: what projects of the workspace provide is linked.

use std::collections::{BTreeMap, HashSet};

use super::Wanted;
use crate::cli::arguments::UpdateArguments;
use crate::cli::commands::add::provider::refuse_outside;
use crate::cli::context::Context;
use crate::cli::failure::Failure;
use crate::cli::relocking::Workspace;
use crate::install::manifest_edit::{Field, ManifestEdit};
use crate::install::relock::Specifiers;
use crate::install::semver::{Range, Version};
use crate::name::{PackageName, escaped};

/// Versions of projects, by their names.
pub(super) type Provided = BTreeMap<String, Option<String>>;

/// It needs a workspace, and what is linked has no latest version.
pub(super) fn refuse(context: &Context, arguments: &UpdateArguments) -> Result<(), Failure> {
    if arguments.latest {
        return Err(Failure::new(
            "ERR_PNPM_BAD_OPTIONS",
            "Cannot use --latest with --workspace simultaneously",
            None,
        ));
    }
    refuse_outside(context)
}

pub(super) fn provided(workspace: &Workspace) -> Provided {
    let projects = workspace.projects().iter().filter_map(|project| {
        let manifest = &project.manifest;
        let version = manifest.version.as_deref().map(str::to_owned);
        Some((manifest.name.as_deref()?.to_owned(), version))
    });
    projects.collect()
}

/// Writes the protocol for those of `names` that are provided, and gives their names. Where none
/// is, it is an update like any other.
pub(super) fn put(
    edit: &mut ManifestEdit,
    names: &[(Field, String)],
    wanted: &Wanted,
    provided: &Provided,
    specifiers: &Specifiers<'_>,
) -> Result<HashSet<Box<str>>, Failure> {
    let mut linked = HashSet::new();
    if provided.is_empty() {
        return Ok(linked);
    }
    for (field, name) in names {
        let Some(version) = provided.get(name).map(Option::as_deref) else {
            if wanted.patterns.is_empty() {
                continue;
            }
            return Err(Failure::new(
                "ERR_PNPM_WORKSPACE_PACKAGE_NOT_FOUND",
                format!("\"{}\" not found in the workspace", escaped(name)),
                Some("leave out --workspace to have it from the registry"),
            ));
        };
        let (Ok(alias), Some((_, known))) = (PackageName::new(name), edit.find(name)) else {
            continue;
        };
        let asked = wanted.specifiers.get(name);
        let asked = asked.map(|text| text.strip_prefix("workspace:").unwrap_or(text));
        let specifier = match asked.filter(|range| !fits(range, version)) {
            Some(range) => format!("workspace:{range}"),
            None => specifiers.linked(&alias, (name, version), Some(known), None),
        };
        edit.put(*field, &alias, &specifier);
        linked.insert(name.as_str().into());
    }
    Ok(linked)
}

fn fits(range: &str, version: Option<&str>) -> bool {
    match (Range::parse(range), version.and_then(Version::parse)) {
        (Some(range), Some(version)) => range.contains(&version),
        _ => matches!(range, "" | "*" | "^" | "~"),
    }
}
