//! `cleanupUnusedCatalogs`: entries of catalogs that nobody refers to go out of
//! `pnpm-workspace.yaml`.

use std::collections::HashSet;

use super::exceptions;
use crate::cli::commands::add::catalog::DEFAULT;
use crate::cli::context::Context;
use crate::cli::failure::Failure;
use crate::install::drafts::Drafts;
use crate::install::workspace::{Project, all_projects};

/// Writes what is decided, after an install, without what is unused.
pub(in crate::cli) fn settle(context: &Context) -> Result<(), Failure> {
    exceptions::prune(context)?;
    let config = &context.config;
    let catalogs = &config.graph.catalogs;
    let Some(root) = &config.workspace_root else {
        return context.settle();
    };
    if !config.save.cleans_catalogs || catalogs.is_empty() {
        return context.settle();
    }
    let read = |drafts: &Drafts| all_projects(config, drafts);
    let projects = context.with_drafts(read)?;
    let used = used(&projects);
    let is_used = |alias: &str, catalog: &str| {
        let overrides = &config.graph.overrides;
        used.contains(&(alias.to_owned(), catalog.to_owned()))
            || overrides.iter().any(|(key, specifier)| {
                key.contains(alias) && catalog_of(specifier) == Some(catalog)
            })
    };
    let mut file = context.settings_file(root)?;
    for (catalog, entries) in catalogs {
        for alias in entries.keys() {
            // An entry of any catalog stays for whom the default one is named, as with pnpm.
            if is_used(alias, catalog) || is_used(alias, DEFAULT) {
                continue;
            }
            if catalog != DEFAULT || !file.remove(&["catalog", alias])? {
                file.remove(&["catalogs", catalog, alias])?;
            }
        }
    }
    context.draft(file.draft())?;
    context.settle()
}

/// Alias and catalog of every entry that a project names.
fn used(projects: &[Project]) -> HashSet<(String, String)> {
    let mut used = HashSet::new();
    for project in projects {
        let manifest = &project.manifest;
        for group in [
            &manifest.dependencies,
            &manifest.dev_dependencies,
            &manifest.optional_dependencies,
            &manifest.peer_dependencies,
        ] {
            for (alias, specifier) in group {
                if let Some(catalog) = catalog_of(specifier) {
                    used.insert((alias.as_str().to_owned(), catalog.to_owned()));
                }
            }
        }
    }
    used
}

/// The catalog that a specifier names.
fn catalog_of(specifier: &str) -> Option<&str> {
    let catalog = specifier.strip_prefix("catalog:")?;
    Some(if catalog.is_empty() { DEFAULT } else { catalog })
}
