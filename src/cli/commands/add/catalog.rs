//! What `add` writes into catalogs of `pnpm-workspace.yaml`, and into manifests instead of a range.

use serde_json::json;

use crate::cli::arguments::AddArguments;
use crate::cli::context::Context;
use crate::cli::failure::Failure;
use crate::install::config::{CatalogMode, Config};
use crate::install::lockfile::Lockfile;
use crate::install::relock::Named;
use crate::install::semver::{Range, Version};
use crate::name::PackageName;
use crate::report::Event;

/// The catalog without a name.
pub(in crate::cli) const DEFAULT: &str = "default";

/// The catalog that new dependencies go into, and what goes there.
pub(super) struct Catalog {
    mode: CatalogMode,
    /// The one that was asked for.
    asked: Option<String>,
    added: Vec<(PackageName, String)>,
    /// Versions that were named, and are within what the catalog has.
    named: Vec<(PackageName, String)>,
}

impl Catalog {
    pub(super) fn new(config: &Config, arguments: &AddArguments) -> Self {
        let named = arguments.save_catalog_name.clone();
        let named = named.or_else(|| arguments.save_catalog.then(|| DEFAULT.to_owned()));
        Self {
            mode: config.save.catalog_mode,
            asked: named.or_else(|| config.save.catalog_name.clone()),
            added: Vec::new(),
            named: Vec::new(),
        }
    }

    /// The version of an entry that was named, where the lockfile has another one.
    pub(super) fn moves(&self, alias: &PackageName, locked: Option<&Lockfile>) -> Option<String> {
        let mut named = self.named.iter();
        let (_, version) = named.find(|(name, _)| name == alias)?;
        let catalog = locked.and_then(|locked| locked.catalogs.get(self.name()));
        let entry = catalog.and_then(|catalog| catalog.get(alias.as_str()));
        let is_locked = entry.is_some_and(|entry| *entry.version == **version);
        (!is_locked).then(|| version.clone())
    }

    /// What an entry becomes whose version moves, where its range says that version.
    pub(super) fn put(&mut self, alias: &PackageName, range: String) {
        self.added.push((alias.clone(), range));
    }

    /// The range that the catalog has.
    pub(super) fn entry<'c>(&self, context: &'c Context, alias: &PackageName) -> Option<&'c str> {
        let catalog = context.config.graph.catalogs.get(self.name())?;
        catalog.get(alias.as_str()).map(String::as_str)
    }

    fn name(&self) -> &str {
        self.asked.as_deref().unwrap_or(DEFAULT)
    }

    /// What stands in a manifest for an entry of the catalog.
    fn reference(&self) -> String {
        match self.name() {
            DEFAULT => "catalog:".to_owned(),
            name => format!("catalog:{name}"),
        }
    }

    /// What is written into a manifest for `alias`, where `range` would be without catalogs.
    /// `is_known`: the manifest has it already.
    pub(super) fn written(
        &mut self,
        context: &Context,
        named: &Named,
        alias: &PackageName,
        range: String,
        is_known: bool,
    ) -> Result<String, Failure> {
        let wants = self.asked.is_some() || self.mode != CatalogMode::Manual;
        let stays = is_known && named.specifier.is_none() && !wants;
        let is_of_workspace = range.starts_with("workspace:");
        if !(is_of_registry(&range) || is_of_workspace) || stays {
            return Ok(range);
        }
        let catalogs = &context.config.graph.catalogs;
        let known = catalogs.get(self.name());
        let known = known.and_then(|catalog| catalog.get(alias.as_str()));
        let is_new = || self.added.iter().any(|(other, _)| other == alias);
        let Some(known) = known else {
            if !wants {
                return Ok(range);
            }
            if !is_new() {
                self.added.push((alias.clone(), range));
            }
            return Ok(self.reference());
        };
        let version = named.specifier.as_deref();
        let version = version.filter(|text| Version::parse(text).is_some());
        let is_covered = range == *known || version.is_some_and(|text| is_within(text, known));
        let is_any = named.specifier.is_none() && !is_of_workspace;
        if is_any || (wants && is_covered) {
            if let Some(version) = version {
                self.named.push((alias.clone(), version.to_owned()));
            }
            return Ok(self.reference());
        }
        mismatch(context, alias, &range, known)?;
        Ok(range)
    }

    /// Lets the configuration have what is new.
    pub(super) fn show(&self, config: &mut Config) {
        for (alias, range) in &self.added {
            let catalog = config.graph.catalogs.entry(self.name().to_owned());
            let catalog = catalog.or_default();
            catalog.insert(alias.as_str().to_owned(), range.clone());
        }
    }

    /// Decides on what is new in the workspace's file.
    pub(super) fn decide(&self, context: &Context) -> Result<(), Failure> {
        let added = self.added.iter();
        let entries = added.map(|(alias, range)| (self.name(), alias.as_str(), &**range));
        decide_entries(context, entries)
    }
}

/// What `catalogMode` says of a range beside which the catalog has another one.
pub(in crate::cli::commands) fn mismatch(
    context: &Context,
    alias: &PackageName,
    range: &str,
    known: &str,
) -> Result<(), Failure> {
    match context.config.save.catalog_mode {
        CatalogMode::Strict => Err(Failure::new(
            "ERR_PNPM_CATALOG_VERSION_MISMATCH",
            "Wanted dependency outside the version range defined in catalog",
            Some("change the catalog in pnpm-workspace.yaml, or set catalogMode to prefer"),
        )),
        CatalogMode::Prefer => {
            context.reporter.report(&Event::Warning {
                code: "ERR_PACQUET_CATALOG",
                message: &format!(
                    "Catalog version mismatch for \"{}\": using direct version \"{range}\" \
                     instead of catalog version \"{known}\".",
                    alias.as_str()
                ),
            });
            Ok(())
        }
        CatalogMode::Manual => Ok(()),
    }
}

/// Whether a range is one of a registry, which a catalog may have.
pub(in crate::cli::commands) fn is_of_registry(range: &str) -> bool {
    !range.contains(':') || range.starts_with("npm:")
}

/// Decides on entries of catalogs in the workspace's file: catalog, alias, range.
pub(in crate::cli::commands) fn decide_entries<'e>(
    context: &Context,
    entries: impl IntoIterator<Item = (&'e str, &'e str, &'e str)>,
) -> Result<(), Failure> {
    let mut entries = entries.into_iter().peekable();
    if entries.peek().is_none() {
        return Ok(());
    }
    let config = &context.config;
    let root = config.workspace_root.as_ref();
    let root = root.unwrap_or(&config.lockfile_directory);
    let mut file = context.settings_file(root)?;
    let has_named_default = file.get(&["catalogs", DEFAULT])?.is_some();
    for (catalog, alias, range) in entries {
        let value = json!(range);
        match catalog != DEFAULT || has_named_default {
            true => file.set(&["catalogs", catalog, alias], &value)?,
            false => file.set(&["catalog", alias], &value)?,
        };
    }
    context.draft(file.draft())
}

/// Whether a version is in the range `known`.
fn is_within(version: &str, known: &str) -> bool {
    let known = known.rsplit_once('@').map_or(known, |(_, known)| known);
    match (Version::parse(version), Range::parse(known)) {
        (Some(version), Some(known)) => known.contains(&version),
        _ => false,
    }
}
