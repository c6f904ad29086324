//! The lockfile in this program's own terms: the same graph as snapshots, and where each of them
//! goes.

use std::cmp::Ordering;
use std::collections::BTreeMap;

use super::error::PackageLockError;
use super::graph::{EdgeKind, EntryIndex, Graph};
use super::location::{Base, Location};
use super::read::Entry;
use crate::install::config::Registries;
use crate::install::lockfile::{
    DepPath, Importer, ImporterDependency, ImporterId, LOCKFILE_VERSION, Lockfile, PackageId,
    PackageInfo, Reference, Resolution, Snapshot,
};
use crate::install::pick::{GitReference, GitSpecifier};
use crate::install::registry::canonical_tarball_url;
use crate::name::PackageName;
use crate::store::Integrity;

/// Something that is placed in a `node_modules`.
#[derive(Debug, Clone)]
pub struct Placed {
    /// Where.
    pub location: Location,
    /// What.
    pub content: PlacedContent,
    /// The names of its commands.
    pub bins: Vec<Box<str>>,
}

/// What is at a place.
#[derive(Debug, Clone)]
pub enum PlacedContent {
    /// A package.
    Package(DepPath),
    /// A package that the archive of the one around it brings along.
    Carried,
    /// A link to a directory, relative to the project.
    Link(Box<str>),
}

/// A lockfile of npm as one of ours, with the places.
#[derive(Debug, Default)]
pub struct Converted {
    /// The graph of what is installed.
    pub lockfile: Lockfile,
    /// The places, in the order of the lockfile.
    pub places: Vec<Placed>,
}

/// Converts the entries of `graph` for which `is_there` is set.
pub(super) fn convert(
    graph: &Graph<'_>,
    is_there: &[bool],
    registries: &Registries,
) -> Result<Converted, PackageLockError> {
    let mut converter = Converter {
        graph,
        is_there,
        registries,
        dep_paths: vec![None; graph.len()],
        converted: Converted::default(),
    };
    converter.packages()?;
    converter.snapshots();
    converter.importers();
    converter.converted.lockfile.version = LOCKFILE_VERSION.into();
    Ok(converter.converted)
}

/// Whether the archive of a package around it has this one.
pub(super) fn is_carried(graph: &Graph<'_>, index: EntryIndex) -> bool {
    let entry = graph.entry(index);
    let mut above = entry.location.as_ref().and_then(Location::parent);
    while let Some(at) = above.filter(|_| entry.in_bundle) {
        let Some(around) = graph.lock.get(at) else {
            return false;
        };
        let Some(location) = around.location.as_ref().filter(|at| at.depth() > 0) else {
            return false;
        };
        if around.bundles {
            return true;
        }
        above = location.parent();
    }
    false
}

struct Converter<'g, 'a> {
    graph: &'g Graph<'a>,
    is_there: &'g [bool],
    registries: &'g Registries,
    /// Of every entry that is a package.
    dep_paths: Vec<Option<DepPath>>,
    converted: Converted,
}

impl Converter<'_, '_> {
    fn packages(&mut self) -> Result<(), PackageLockError> {
        for index in (1..self.graph.len()).filter(|index| self.is_there[*index]) {
            let entry = self.graph.entry(index);
            let Some(location) = entry.location.clone().filter(|at| at.depth() > 0) else {
                continue;
            };
            let bins = entry.bins.clone();
            let content = if entry.is_link {
                PlacedContent::Link(entry.resolved.clone().unwrap_or_default())
            } else if is_carried(self.graph, index) {
                PlacedContent::Carried
            } else {
                PlacedContent::Package(self.package(index, entry, &location)?)
            };
            self.converted.places.push(Placed {
                location,
                content,
                bins,
            });
        }
        Ok(())
    }

    fn package(
        &mut self,
        index: EntryIndex,
        entry: &Entry,
        location: &Location,
    ) -> Result<DepPath, PackageLockError> {
        let misplaced = |why| PackageLockError::Misplaced {
            location: location.as_str().to_owned(),
            why,
        };
        let name = entry
            .package_name()
            .ok_or_else(|| misplaced("it has no name"))?;
        let resolution = resolution(entry, name, location, self.registries)?;
        let id = package_id(entry, name, &resolution);
        let info = package_info(entry, name, resolution);
        let packages = &mut self.converted.lockfile.packages;
        let known = packages
            .entry(PackageId(id.as_str().into()))
            .or_insert_with(|| info.clone());
        known.resolution = united(&known.resolution, &info.resolution)
            .ok_or_else(|| misplaced("another place has other content for the same version"))?;
        let is_at_top = location.depth() == 1 && *location.base() == Base::Root;
        let text = match is_at_top && *location.names()[0].as_str() == *name.as_str() {
            true => id,
            false => format!(
                "{id}({})",
                location.as_str().replace('(', "{").replace(')', "}")
            ),
        };
        let dep_path = DepPath(text.into());
        let snapshot = Snapshot::default();
        let snapshots = &mut self.converted.lockfile.snapshots;
        if snapshots.insert(dep_path.clone(), snapshot).is_some() {
            return Err(misplaced(
                "another place has a name that is too much like it",
            ));
        }
        self.dep_paths[index] = Some(dep_path.clone());
        Ok(dep_path)
    }

    /// What an edge leads to, where it is installed and not brought along.
    fn reference(&self, to: Option<EntryIndex>) -> Option<Reference> {
        let to = to.filter(|to| self.is_there[*to])?;
        let entry = self.graph.entry(to);
        if entry.is_link {
            return Some(Reference::Link(entry.resolved.clone().unwrap_or_default()));
        }
        self.dep_paths[to].clone().map(Reference::Package)
    }

    fn snapshots(&mut self) {
        for index in 1..self.graph.len() {
            let Some(dep_path) = &self.dep_paths[index] else {
                continue;
            };
            let mut snapshot = Snapshot {
                optional: self.graph.entry(index).flags.optional,
                ..Snapshot::default()
            };
            for edge in &self.graph.edges[index] {
                let Some(reference) = self.reference(edge.to) else {
                    continue;
                };
                let group = match edge.kind.is_optional() {
                    true => &mut snapshot.optional_dependencies,
                    false => &mut snapshot.dependencies,
                };
                group.insert(edge.alias.clone(), reference);
            }
            self.converted
                .lockfile
                .snapshots
                .insert(dep_path.clone(), snapshot);
        }
    }

    fn importers(&mut self) {
        for index in 0..self.graph.len() {
            let Some(location) = &self.graph.entry(index).location else {
                continue;
            };
            let id = match location.base() {
                _ if location.depth() > 0 => continue,
                Base::Root => ImporterId(None),
                Base::Inside(path) => ImporterId(Some(path.clone())),
                Base::Outside(_) => continue,
            };
            let mut importer = Importer::default();
            for edge in &self.graph.edges[index] {
                let Some(reference) = self.reference(edge.to) else {
                    continue;
                };
                let group = match edge.kind {
                    EdgeKind::Production => &mut importer.dependencies,
                    EdgeKind::Development => &mut importer.dev_dependencies,
                    EdgeKind::Optional => &mut importer.optional_dependencies,
                    EdgeKind::Peer | EdgeKind::OptionalPeer | EdgeKind::Workspace => continue,
                };
                let dependency = ImporterDependency {
                    specifier: edge.specifier.clone(),
                    reference: seen_from(&id, reference),
                };
                group.insert(edge.alias.clone(), dependency);
            }
            self.converted.lockfile.importers.insert(id, importer);
        }
    }
}

/// A link of an importer is relative to that.
fn seen_from(id: &ImporterId, reference: Reference) -> Reference {
    match (&id.0, reference) {
        (Some(path), Reference::Link(target)) => {
            let up = "../".repeat(path.components().count());
            Reference::Link(format!("{up}{target}").into())
        }
        (_, reference) => reference,
    }
}

fn package_id(entry: &Entry, name: &PackageName, resolution: &Resolution) -> String {
    let address = match resolution {
        Resolution::Tarball {
            tarball: Some(address),
            ..
        } => address.clone(),
        Resolution::Git { repo, commit, .. } => format!("git+{repo}#{commit}").into(),
        Resolution::Directory { directory } => format!("file:{directory}").into(),
        _ => entry.version.clone().unwrap_or_default(),
    };
    format!("{}@{address}", name.as_str())
}

fn package_info(entry: &Entry, name: &PackageName, resolution: Resolution) -> PackageInfo {
    let text = |map: &BTreeMap<PackageName, Box<str>>| {
        map.iter()
            .map(|(name, range)| (name.as_str().into(), range.clone()))
            .collect()
    };
    PackageInfo {
        name: name.clone(),
        version: entry.version.clone(),
        resolution,
        engines: entry.engines.clone(),
        platforms: entry.platforms.clone(),
        deprecated: entry.deprecated.clone(),
        has_bin: !entry.bins.is_empty(),
        bundled_dependencies: entry.fields.get("bundleDependencies").cloned(),
        peer_dependencies: text(&entry.peer_dependencies),
        peer_dependencies_meta: entry.fields.get("peerDependenciesMeta").cloned(),
        other: indexmap::IndexMap::new(),
        other_of_resolution: indexmap::IndexMap::new(),
        version_is_written: false,
    }
}

/// Where the content of an entry is. What is of a registry may have no integrity.
fn resolution(
    entry: &Entry,
    name: &PackageName,
    location: &Location,
    registries: &Registries,
) -> Result<Resolution, PackageLockError> {
    let place = || location.as_str().to_owned();
    let archive = |tarball: Option<Box<str>>| Resolution::Tarball {
        integrity: entry.integrity.clone(),
        tarball,
        git_hosted: false,
        path: None,
    };
    let version = entry.version.as_deref();
    let Some(resolved) = entry.resolved.as_deref() else {
        if version.is_none() {
            return Err(PackageLockError::NoIntegrity { location: place() });
        }
        return Ok(archive(None));
    };
    let is_text = !resolved.chars().any(char::is_control);
    let not_understood = || PackageLockError::Address {
        location: place(),
        address: resolved.to_owned(),
    };
    if let Some(path) = resolved.strip_prefix("file:").filter(|_| is_text) {
        let is_archive = [".tgz", ".tar", ".tar.gz"]
            .iter()
            .any(|end| path.ends_with(end));
        return Ok(match is_archive || entry.integrity.is_some() {
            true => archive(Some(resolved.into())),
            false => Resolution::Directory {
                directory: path.into(),
            },
        });
    }
    if resolved.starts_with("http://") || resolved.starts_with("https://") {
        let is_of_registry =
            version.is_some_and(|version| is_canonical(resolved, name, version, registries));
        if entry.integrity.is_none() && !is_of_registry {
            return Err(PackageLockError::NoIntegrity { location: place() });
        }
        return Ok(archive((!is_of_registry).then(|| resolved.into())));
    }
    let git = GitSpecifier::parse(resolved).filter(|_| is_text);
    git.and_then(|git| repository(&git))
        .ok_or_else(not_understood)
}

/// What two places of one package say of its content; `None` where they contradict each other.
/// Lockfiles that are older than SHA-512 have a weaker hash in some places: the stronger one holds
/// for all of them.
fn united(one: &Resolution, other: &Resolution) -> Option<Resolution> {
    if one == other {
        return Some(one.clone());
    }
    let (first, second) = match (integrity_of(one), integrity_of(other)) {
        (Some(first), Some(second)) => (first, second),
        (Some(_), None) if is_of_registry(other) => return Some(one.clone()),
        (None, Some(_)) if is_of_registry(one) => return Some(other.clone()),
        _ => return None,
    };
    let mut renamed = other.clone();
    if let Resolution::Tarball { integrity, .. } = &mut renamed {
        *integrity = Some(first.into());
    }
    let algorithm = |text: &str| Some(Integrity::parse(text).ok()?.algorithm());
    match algorithm(first)?.cmp(&algorithm(second)?) {
        Ordering::Less if renamed == *one => Some(other.clone()),
        Ordering::Greater if renamed == *one => Some(one.clone()),
        _ => None,
    }
}

fn integrity_of(resolution: &Resolution) -> Option<&str> {
    match resolution {
        Resolution::Tarball { integrity, .. } => integrity.as_deref(),
        _ => None,
    }
}

fn is_of_registry(resolution: &Resolution) -> bool {
    matches!(resolution, Resolution::Tarball { tarball: None, .. })
}

/// A commit: of a host that serves archives as one of these, as npm does.
fn repository(git: &GitSpecifier) -> Option<Resolution> {
    let GitReference::Name(commit) = &git.reference else {
        return None;
    };
    let is_commit =
        matches!(commit.len(), 40 | 64) && commit.bytes().all(|byte| byte.is_ascii_hexdigit());
    if !is_commit {
        return None;
    }
    Some(match &git.hosted {
        Some(hosted) => Resolution::Tarball {
            integrity: None,
            tarball: Some(hosted.archive(commit).into()),
            git_hosted: true,
            path: git.path.clone(),
        },
        None => Resolution::Git {
            repo: git.url.clone(),
            commit: commit.clone(),
            path: git.path.clone(),
        },
    })
}

/// Whether an address is the one that the package's registry has for the version. One of the
/// registry that applies where none is configured stands for the configured one, as with npm.
fn is_canonical(address: &str, name: &PackageName, version: &str, registries: &Registries) -> bool {
    let of = |registry| {
        let repeats_scope = registries.repeats_scope(&registry);
        canonical_tarball_url(&registry, name, version, repeats_scope)
    };
    let is = |registry: Result<_, _>| {
        let canonical = registry.ok().and_then(|registry| of(registry).ok());
        canonical.is_some_and(|canonical| canonical.as_str() == address)
    };
    is(registries.registry_of(name))
        || (registries.registry_of_scope(name).is_none() && is(registries.fallback_registry()))
}
