//! How a `package.json` and its importer in the lockfile can differ.

use std::collections::BTreeMap;
use std::fmt;

use serde_json::Value as Json;

use super::frozen::{LockfileSettings, ProjectManifest, Specifiers};
use super::{Importer, ImporterDependency, ImporterId, PackageInfo, Reference, Snapshot};
use crate::install::semver::{Range, Version};
use crate::name::{PackageName, escaped};

/// A difference that makes the lockfile outdated. `Display` names both sides.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ManifestDrift {
    /// Specifiers.
    #[error("specifiers do not match: {0}")]
    Specifiers(SpecifierDifference),
    /// The project is not in the lockfile.
    #[error("the lockfile does not have this project")]
    MissingImporter,
    /// `publishConfig.directory`.
    #[error("`publishDirectory` is {in_lockfile:?} in the lockfile and {in_manifest:?} in it")]
    PublishDirectory {
        /// What the lockfile has.
        in_lockfile: Option<String>,
        /// What the manifest has.
        in_manifest: Option<String>,
    },
    /// `publishConfig.linkDirectory`.
    #[error("`linkDirectory` is {in_lockfile} in the lockfile and {in_manifest} in it")]
    LinkDirectory {
        /// What the lockfile has.
        in_lockfile: bool,
        /// What the manifest has.
        in_manifest: bool,
    },
    /// `dependenciesMeta`.
    #[error("`dependenciesMeta` is {in_lockfile} in the lockfile and {in_manifest} in it")]
    DependenciesMeta {
        /// JSON.
        in_lockfile: String,
        /// JSON.
        in_manifest: String,
    },
    /// A dependency is in another field.
    #[error("{alias:?} is in the field {field} of only one of them")]
    Field {
        /// Which dependency.
        alias: String,
        /// `dependencies`, …
        field: &'static str,
    },
    /// The version in the lockfile is not one that the manifest asks for.
    #[error("the lockfile has {version} for {alias:?}, which is not in the range {range:?}")]
    Unsatisfied {
        /// Which dependency.
        alias: String,
        /// Its version.
        version: String,
        /// What is asked for.
        range: String,
    },
    /// A project that is linked to has moved out of the range.
    #[error("{alias:?} is linked to a project of version {version:?}, not in the range {range:?}")]
    LinkedProject {
        /// Which dependency.
        alias: String,
        /// The project's version.
        version: String,
        /// What is asked for.
        range: String,
    },
}

/// What was added, removed and changed.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct SpecifierDifference {
    /// Only in the manifest: alias and specifier.
    pub added: Vec<(String, String)>,
    /// Only in the lockfile: alias and specifier.
    pub removed: Vec<(String, String)>,
    /// Alias, specifier in the lockfile, specifier in the manifest.
    pub changed: Vec<(String, String, String)>,
}

impl fmt::Display for SpecifierDifference {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut parts = Vec::new();
        for (verb, list) in [("added", &self.added), ("removed", &self.removed)] {
            let list: Vec<String> = list
                .iter()
                .map(|(alias, specifier)| format!("{alias}@{specifier}"))
                .collect();
            if !list.is_empty() {
                parts.push(format!("{verb} {}", list.join(", ")));
            }
        }
        for (alias, in_lockfile, in_manifest) in &self.changed {
            parts.push(format!(
                "changed {alias} (lockfile: {in_lockfile}, manifest: {in_manifest})"
            ));
        }
        formatter.write_str(&parts.join("; "))
    }
}

fn is_link(specifier: &str) -> bool {
    specifier.starts_with("link:")
}

/// A manifest as the lockfile sees it: with automatic peers, without what is ignored.
struct Effective<'m> {
    production: BTreeMap<&'m str, &'m str>,
    development: BTreeMap<&'m str, &'m str>,
    optional: BTreeMap<&'m str, &'m str>,
}

impl<'m> Effective<'m> {
    fn new(manifest: &'m ProjectManifest, settings: &LockfileSettings) -> Self {
        let keep = |specifier: &str| !(settings.exclude_links_from_lockfile && is_link(specifier));
        let group = |specifiers: &'m Specifiers| -> BTreeMap<&'m str, &'m str> {
            let specifiers = specifiers
                .iter()
                .map(|(alias, specifier)| (&**alias, &**specifier));
            specifiers
                .filter(|(_, specifier)| keep(specifier))
                .collect()
        };
        let mut optional = group(&manifest.optional_dependencies);
        let mut production = group(&manifest.dependencies);
        let mut development = group(&manifest.dev_dependencies);
        for alias in manifest.optional_dependencies.keys() {
            if is_ignored(alias, &settings.ignored_optional_dependencies) {
                optional.remove(&**alias);
                production.remove(&**alias);
            }
        }
        // A dependency counts once: optional before production before development.
        production.retain(|alias, _| !optional.contains_key(alias));
        development
            .retain(|alias, _| !optional.contains_key(alias) && !production.contains_key(alias));
        if settings.auto_install_peers {
            for (alias, specifier) in group(&manifest.peer_dependencies) {
                let is_there = optional.contains_key(alias) || development.contains_key(alias);
                if !is_there {
                    production.entry(alias).or_insert(specifier);
                }
            }
        }
        Self {
            production,
            development,
            optional,
        }
    }

    fn fields(&self) -> [(&'static str, &BTreeMap<&'m str, &'m str>); 3] {
        [
            ("optionalDependencies", &self.optional),
            ("dependencies", &self.production),
            ("devDependencies", &self.development),
        ]
    }
}

/// pnpm's patterns: `*` stands for anything, `!` in front excludes, the last match decides.
fn is_ignored(alias: &str, patterns: &[Box<str>]) -> bool {
    let mut is_ignored = false;
    for pattern in patterns {
        match pattern.strip_prefix('!') {
            Some(pattern) if matches_pattern(alias, pattern) => is_ignored = false,
            None if matches_pattern(alias, pattern) => is_ignored = true,
            _ => {}
        }
    }
    is_ignored
}

fn matches_pattern(text: &str, pattern: &str) -> bool {
    let mut parts = pattern.split('*');
    let first = parts.next().unwrap_or("");
    let Some(mut rest) = text.strip_prefix(first) else {
        return false;
    };
    let parts: Vec<&str> = parts.collect();
    let Some((last, middle)) = parts.split_last() else {
        return rest.is_empty();
    };
    for part in middle {
        match rest.find(part) {
            Some(at) => rest = &rest[at + part.len()..],
            None => return false,
        }
    }
    rest.ends_with(last)
}

/// Compares a project's manifest with what the lockfile has of it.
pub(super) fn check_importer(
    importer: Option<&Importer>,
    manifest: &ProjectManifest,
    settings: &LockfileSettings,
) -> Result<(), ManifestDrift> {
    let effective = Effective::new(manifest, settings);
    let Some(importer) = importer else {
        let is_empty = effective.fields().iter().all(|(_, group)| group.is_empty());
        return is_empty.then_some(()).ok_or(ManifestDrift::MissingImporter);
    };
    check_specifiers(importer, &effective, settings)?;
    if importer.publish_directory != manifest.publish_directory {
        let show = |directory: &Option<Box<str>>| directory.as_deref().map(escaped);
        return Err(ManifestDrift::PublishDirectory {
            in_lockfile: show(&importer.publish_directory),
            in_manifest: show(&manifest.publish_directory),
        });
    }
    if importer.links_project != manifest.links_project {
        return Err(ManifestDrift::LinkDirectory {
            in_lockfile: !importer.links_project,
            in_manifest: !manifest.links_project,
        });
    }
    let meta = |meta: &Option<Json>| {
        let meta = meta.clone().filter(|meta| !meta.is_null());
        meta.unwrap_or_else(|| Json::Object(serde_json::Map::new()))
    };
    let in_lockfile = meta(&importer.dependencies_meta);
    let in_manifest = meta(&manifest.dependencies_meta);
    if in_lockfile != in_manifest {
        return Err(ManifestDrift::DependenciesMeta {
            in_lockfile: escaped(&in_lockfile.to_string()),
            in_manifest: escaped(&in_manifest.to_string()),
        });
    }
    let groups = importer_groups(importer);
    for ((field, wanted), (_, found)) in effective.fields().into_iter().zip(groups) {
        check_field(field, wanted, found, settings)?;
    }
    Ok(())
}

fn importer_groups(
    importer: &Importer,
) -> [(&'static str, &BTreeMap<PackageName, ImporterDependency>); 3] {
    [
        ("optionalDependencies", &importer.optional_dependencies),
        ("dependencies", &importer.dependencies),
        ("devDependencies", &importer.dev_dependencies),
    ]
}

/// All specifiers, whatever field they are in.
fn check_specifiers(
    importer: &Importer,
    effective: &Effective<'_>,
    settings: &LockfileSettings,
) -> Result<(), ManifestDrift> {
    let mut in_lockfile: BTreeMap<&str, &str> = BTreeMap::new();
    for (_, group) in importer_groups(importer) {
        for (alias, dependency) in group {
            if !(settings.exclude_links_from_lockfile && is_link(&dependency.specifier)) {
                in_lockfile
                    .entry(alias.as_str())
                    .or_insert(&dependency.specifier);
            }
        }
    }
    let mut difference = SpecifierDifference::default();
    for (_, group) in effective.fields() {
        for (&alias, &specifier) in group {
            match in_lockfile.remove(alias) {
                None => difference.added.push((escaped(alias), escaped(specifier))),
                Some(recorded) if recorded != specifier => {
                    difference.changed.push((
                        escaped(alias),
                        escaped(recorded),
                        escaped(specifier),
                    ));
                }
                Some(_) => {}
            }
        }
    }
    let removed = in_lockfile.into_iter();
    difference.removed = removed
        .map(|(alias, old)| (escaped(alias), escaped(old)))
        .collect();
    if difference == SpecifierDifference::default() {
        return Ok(());
    }
    difference.added.sort();
    difference.changed.sort();
    Err(ManifestDrift::Specifiers(difference))
}

fn check_field(
    field: &'static str,
    wanted: &BTreeMap<&str, &str>,
    found: &BTreeMap<PackageName, ImporterDependency>,
    settings: &LockfileSettings,
) -> Result<(), ManifestDrift> {
    for (alias, range) in wanted {
        let Some(dependency) = found.get(*alias) else {
            return Err(ManifestDrift::Field {
                alias: escaped(alias),
                field,
            });
        };
        check_range(alias, range, &dependency.reference)?;
    }
    for (alias, dependency) in found {
        let is_left_out = settings.exclude_links_from_lockfile && is_link(&dependency.specifier);
        if !is_left_out && !wanted.contains_key(alias.as_str()) {
            return Err(ManifestDrift::Field {
                alias: escaped(alias.as_str()),
                field,
            });
        }
    }
    Ok(())
}

/// Only plain ranges of registry packages of that very name can be told to be wrong. `*` chooses a
/// prerelease where there is nothing else.
fn check_range(alias: &str, range: &str, reference: &Reference) -> Result<(), ManifestDrift> {
    if matches!(range, "*" | "") {
        return Ok(());
    }
    let Reference::Package(dep_path) = reference else {
        return Ok(());
    };
    if !dep_path.is_from_registry() || dep_path.name_str() != alias {
        return Ok(());
    }
    let parsed = (Range::parse(range), Version::parse(dep_path.version()));
    match parsed {
        (Some(parsed), Some(version)) if !parsed.contains(&version) => {
            Err(ManifestDrift::Unsatisfied {
                alias: escaped(alias),
                version: escaped(dep_path.version()),
                range: escaped(range),
            })
        }
        _ => Ok(()),
    }
}

/// A directory that is a package must still have the dependencies that its snapshot has. The
/// lockfile has no specifiers of them, so that only names and plain ranges can be told.
pub(super) fn check_directory(
    snapshot: &Snapshot,
    manifest: &ProjectManifest,
    settings: &LockfileSettings,
) -> Result<(), ManifestDrift> {
    let locked = |alias: &str| {
        let of = |group: &BTreeMap<PackageName, Reference>| {
            let mut entries = group.iter();
            let found = entries.find(|(name, _)| name.as_str() == alias);
            found.map(|(_, reference)| reference.clone())
        };
        of(&snapshot.optional_dependencies).or_else(|| of(&snapshot.dependencies))
    };
    let mut difference = SpecifierDifference::default();
    let is_optional = |alias: &str| manifest.optional_dependencies.contains_key(alias);
    // What is a peer too comes from the dependents, in the peer's range, or is left out.
    let is_peer =
        |alias: &str| settings.auto_install_peers && manifest.peer_dependencies.contains_key(alias);
    let groups = [&manifest.dependencies, &manifest.optional_dependencies];
    for (alias, specifier) in groups.into_iter().flatten() {
        if is_peer(alias) || is_ignored(alias, &settings.ignored_optional_dependencies) {
            continue;
        }
        match locked(alias) {
            Some(reference) => check_range(alias, specifier, &reference)?,
            // An optional dependency that could not be resolved is not in the lockfile.
            None if is_optional(alias) => {}
            None => difference.added.push((escaped(alias), escaped(specifier))),
        }
    }
    let is_wanted = |alias: &str| {
        let groups = [
            &manifest.dependencies,
            &manifest.optional_dependencies,
            &manifest.peer_dependencies,
        ];
        groups.iter().any(|group| group.contains_key(alias))
    };
    let locked = snapshot
        .dependencies
        .iter()
        .chain(&snapshot.optional_dependencies);
    for (alias, reference) in locked {
        // Extensions may have added it.
        let is_extra = settings.package_extensions_checksum.is_none() && !is_wanted(alias.as_str());
        if is_extra {
            let reference = match reference {
                Reference::Package(dep_path) => dep_path.as_str(),
                Reference::Link(path) => path,
            };
            difference
                .removed
                .push((escaped(alias.as_str()), escaped(reference)));
        }
    }
    if difference == SpecifierDifference::default() {
        return Ok(());
    }
    Err(ManifestDrift::Specifiers(difference))
}

/// A directory that is a package must still have the peers that the lockfile has for it.
pub(super) fn check_peers(
    package: &PackageInfo,
    manifest: &ProjectManifest,
    settings: &LockfileSettings,
) -> Result<(), ManifestDrift> {
    if settings.package_extensions_checksum.is_some() || settings.pnpmfile_checksum.is_some() {
        // What they make of the peers is in the lockfile.
        return Ok(());
    }
    let mut wanted: BTreeMap<&str, (&str, bool)> = BTreeMap::new();
    for (alias, range) in &manifest.peer_dependencies {
        wanted.insert(alias, (range, false));
    }
    for alias in &manifest.optional_peers {
        wanted.entry(alias).or_insert(("*", true)).1 = true;
    }
    wanted.retain(|alias, _| {
        manifest.name.as_deref() != Some(*alias)
            && !manifest.optional_dependencies.contains_key(*alias)
    });
    let meta = package.peer_dependencies_meta.as_ref();
    let is_optional =
        |alias: &str| meta.and_then(|meta| meta.get(alias)?.get("optional")?.as_bool());
    let shown = |range: &str, is_optional: bool| match is_optional {
        true => format!("{} (optional)", escaped(range)),
        false => escaped(range),
    };
    let mut difference = SpecifierDifference::default();
    for (alias, range) in &package.peer_dependencies {
        let locked = (&**range, is_optional(alias) == Some(true));
        let (name, before) = (escaped(alias), shown(locked.0, locked.1));
        match wanted.remove(&**alias) {
            Some(now) if now == locked => {}
            // Entries of catalogs and the like are in the lockfile as what they mean.
            Some((now, optional)) if now.contains(':') && optional == locked.1 => {}
            Some(now) => difference.changed.push((name, before, shown(now.0, now.1))),
            None => difference.removed.push((name, before)),
        }
    }
    for (alias, (range, optional)) in wanted {
        difference
            .added
            .push((escaped(alias), shown(range, optional)));
    }
    match difference == SpecifierDifference::default() {
        true => Ok(()),
        false => Err(ManifestDrift::Specifiers(difference)),
    }
}

/// A dependency that is linked to a project because of its range must still be in it.
pub(super) fn check_links(
    id: &ImporterId,
    importer: &Importer,
    projects: &[(ImporterId, ProjectManifest)],
) -> Result<(), ManifestDrift> {
    for (alias, dependency) in importer_groups(importer)
        .into_iter()
        .flat_map(|(_, group)| group)
    {
        let Reference::Link(path) = &dependency.reference else {
            continue;
        };
        let Some(range) = workspace_range(&dependency.specifier) else {
            continue;
        };
        let Some(directory) = linked_importer(id, path) else {
            continue;
        };
        let target = projects.iter().find(|(id, _)| id.as_str() == directory);
        let Some(version) = target.and_then(|(_, manifest)| manifest.version.as_deref()) else {
            continue;
        };
        let parsed = (Range::parse(range), Version::parse(version));
        if let (Some(range_parsed), Some(version_parsed)) = parsed
            && !range_parsed.contains(&version_parsed)
        {
            return Err(ManifestDrift::LinkedProject {
                alias: escaped(alias.as_str()),
                version: escaped(version),
                range: escaped(range),
            });
        }
    }
    Ok(())
}

/// `range`, `workspace:range` or `workspace:name@range`, where it is one that can fail.
fn workspace_range(specifier: &str) -> Option<&str> {
    let range = specifier.strip_prefix("workspace:").unwrap_or(specifier);
    let range = match range.rfind('@') {
        Some(at_sign) if at_sign > 0 => &range[at_sign + 1..],
        _ => range,
    };
    let is_any = matches!(range, "" | "*" | "^" | "~") || range.starts_with(['.', '/']);
    (!is_any).then_some(range)
}

/// `path` seen from the project `id`, as an importer's id; `None` where it leaves the workspace.
pub fn linked_importer(id: &ImporterId, path: &str) -> Option<String> {
    let mut components: Vec<&str> = match &id.0 {
        None => Vec::new(),
        Some(path) => path.components().collect(),
    };
    for component in path.split('/') {
        match component {
            "" | "." => {}
            ".." => {
                components.pop()?;
            }
            component => components.push(component),
        }
    }
    if components.is_empty() {
        return Some(".".to_owned());
    }
    Some(components.join("/"))
}
