//! From the graph to the lockfile.

use std::collections::BTreeMap;

use indexmap::IndexMap;
use rustc_hash::{FxHashMap, FxHashSet};
use serde_json::{Value, json};

use super::dedupe::link_from;
use super::forest::{Forest, PackageIndex};
use super::local::DIRECTORY_PROTOCOLS;
use super::peers::{Graph, Instance, Project};
use super::symbols::Symbol;
use super::{RecordedSettings, ResolveProject};
use crate::install::lockfile::{
    CatalogEntry, DepPath, DependencyGroup, Importer, ImporterDependency, LOCKFILE_VERSION,
    Lockfile, PEERS_SUFFIX_LENGTH_DEFAULT, PackageId, PackageInfo, Reference, Resolution, Snapshot,
};
use crate::install::metadata::{Bundled, VersionManifest};
use crate::name::PackageName;

/// What a lockfile is made from.
pub(super) struct Output<'a> {
    pub(super) forest: &'a Forest,
    pub(super) graph: &'a Graph,
    /// Sorted by id, as in the graph.
    pub(super) projects: &'a [Project],
    /// The same, as given.
    pub(super) given: &'a [&'a ResolveProject],
    pub(super) recorded: &'a RecordedSettings,
    pub(super) previous: Option<&'a Lockfile>,
    /// The lockfile so far, whether or not anything else is taken from it.
    pub(super) replaced: Option<&'a Lockfile>,
    pub(super) lockfile_directory: &'a std::path::Path,
}

impl Output<'_> {
    /// The lockfile.
    pub(super) fn lockfile(&self) -> Lockfile {
        let optional = self.optional();
        let mut lockfile = Lockfile {
            version: LOCKFILE_VERSION.into(),
            settings: Some(self.recorded.written()),
            overrides: self.recorded.overrides.clone(),
            package_extensions_checksum: self.recorded.package_extensions_checksum.clone(),
            pnpmfile_checksum: self.recorded.pnpmfile_checksum.clone(),
            patched_dependencies: self.recorded.patched_dependencies.clone(),
            ignored_optional_dependencies: self.recorded.ignored_optional_dependencies.clone(),
            ..Lockfile::default()
        };
        for (at, project) in self.given.iter().enumerate() {
            lockfile
                .importers
                .insert(project.id.clone(), self.importer(at));
        }
        lockfile.catalogs = self.catalogs(&lockfile);
        let mut paths: Vec<Symbol> = self.graph.instances.keys().copied().collect();
        paths.sort_unstable_by_key(|path| self.graph.text(*path));
        for path in paths {
            let instance = &self.graph.instances[&path];
            let text = self.graph.text(path);
            let Ok(dep_path) = DepPath::new(text) else {
                continue;
            };
            let id = dep_path.package_id();
            if !lockfile.packages.contains_key(&id) {
                let info = self.package(instance.package, &id);
                lockfile.packages.insert(id, info);
            }
            let is_optional = optional.get(&path).copied();
            let is_optional = is_optional.unwrap_or(self.forest.package(instance.package).optional);
            let snapshot = self.snapshot(instance, is_optional);
            lockfile.snapshots.insert(dep_path, snapshot);
        }
        if let Some(previous) = self.previous {
            lockfile
                .environment_document
                .clone_from(&previous.environment_document);
            lockfile.other.clone_from(&previous.other);
        }
        lockfile
    }

    fn importer(&self, at: usize) -> Importer {
        let project = self.given[at];
        let manifest = &project.recorded;
        let mut importer = project.without_dependencies();
        for (alias, path) in &self.graph.direct[at] {
            let alias_text = self.forest.text(*alias);
            let Some((group, specifier)) =
                manifest.declared(alias_text, self.recorded.auto_install_peers)
            else {
                continue;
            };
            let Ok(alias) = PackageName::new(alias_text) else {
                continue;
            };
            let text = self.graph.text(*path);
            let reference = match text.strip_prefix("link:") {
                Some(target) => {
                    if self.recorded.exclude_links && !specifier.starts_with("workspace:") {
                        continue;
                    }
                    let directory = &self.projects[at].directory;
                    Reference::Link(link_from(directory, self.lockfile_directory, target).into())
                }
                None => match DepPath::new(text) {
                    Ok(path) => Reference::Package(path),
                    Err(_) => continue,
                },
            };
            let dependency = ImporterDependency {
                specifier: specifier.into(),
                reference,
            };
            let group = match group {
                DependencyGroup::Production => &mut importer.dependencies,
                DependencyGroup::Development => &mut importer.dev_dependencies,
                DependencyGroup::Optional => &mut importer.optional_dependencies,
            };
            group.insert(alias, dependency);
        }
        importer
    }

    /// The entries of catalogs that some project uses.
    fn catalogs(
        &self,
        lockfile: &Lockfile,
    ) -> BTreeMap<Box<str>, BTreeMap<Box<str>, CatalogEntry>> {
        let mut catalogs: BTreeMap<Box<str>, BTreeMap<Box<str>, CatalogEntry>> = BTreeMap::new();
        for importer in lockfile.importers.values() {
            for (alias, dependency) in importer.all() {
                let Some(name) = dependency.specifier.strip_prefix("catalog:") else {
                    continue;
                };
                let name = match name.trim() {
                    "" => "default",
                    name => name,
                };
                let catalog = self.recorded.catalogs.get(name);
                let Some(specifier) = catalog.and_then(|catalog| catalog.get(alias.as_str()))
                else {
                    continue;
                };
                let mut protocols = DIRECTORY_PROTOCOLS.iter();
                let is_directory = protocols.any(|protocol| specifier.starts_with(protocol));
                let version = match &dependency.reference {
                    Reference::Package(path) => path.version(),
                    Reference::Link(_) if is_directory => specifier,
                    Reference::Link(_) => continue,
                };
                let entry = CatalogEntry {
                    specifier: specifier.as_str().into(),
                    version: version.into(),
                };
                let catalog = catalogs.entry(name.into()).or_default();
                catalog.insert(alias.as_str().into(), entry);
            }
        }
        catalogs
    }

    fn package(&self, index: PackageIndex, id: &PackageId) -> PackageInfo {
        let package = self.forest.package(index);
        let manifest = &package.resolved.manifest;
        let resolution = package.resolved.resolution.clone();
        let is_directory = matches!(resolution, Resolution::Directory { .. });
        let from_registry = package.resolved.version.is_some();
        let version = manifest.version.clone();
        let engines = manifest
            .engines
            .iter()
            .filter(|(_, range)| &***range != "*")
            .map(|(name, range)| (name.clone(), range.clone()))
            .collect();
        let peers = recorded_peers(manifest);
        let optional_peers: serde_json::Map<String, Value> = peers
            .iter()
            .filter(|(_, (_, optional))| *optional)
            .map(|(name, _)| ((*name).to_owned(), json!({"optional": true})))
            .collect();
        let mut info = PackageInfo {
            name: manifest.name.clone(),
            version_is_written: id.as_str().contains(':') && !from_registry && !is_directory,
            version: (!is_directory).then_some(version),
            resolution,
            engines,
            platforms: manifest.platforms.clone(),
            deprecated: manifest.deprecated.clone().filter(|text| !text.is_empty()),
            has_bin: manifest.has_bin,
            bundled_dependencies: match &manifest.bundled {
                Bundled::None => None,
                Bundled::All => Some(json!(true)),
                Bundled::Names(names) if names.is_empty() => None,
                Bundled::Names(names) => Some(json!(names)),
            },
            peer_dependencies: peers
                .iter()
                .map(|(name, (range, _))| ((*name).into(), (*range).into()))
                .collect(),
            peer_dependencies_meta: (!optional_peers.is_empty())
                .then_some(Value::Object(optional_peers)),
            other: IndexMap::new(),
            other_of_resolution: IndexMap::new(),
        };
        let known = self.replaced.and_then(|replaced| replaced.packages.get(id));
        let known = known.filter(|known| known.resolution == info.resolution);
        if let Some(known) = known.filter(|_| info.deprecated.is_none()) {
            info.deprecated.clone_from(&known.deprecated);
        }
        let previous = self.previous.and_then(|previous| previous.packages.get(id));
        if let Some(previous) = previous.filter(|known| known.resolution == info.resolution)
            && package.resolved.is_locked
        {
            info.other.clone_from(&previous.other);
            info.other_of_resolution
                .clone_from(&previous.other_of_resolution);
            info.bundled_dependencies
                .clone_from(&previous.bundled_dependencies);
        }
        info
    }

    fn snapshot(&self, instance: &Instance, optional: bool) -> Snapshot {
        let optional_children = self.optional_children(instance);
        let mut snapshot = Snapshot {
            optional,
            ..Snapshot::default()
        };
        for (alias, child) in &instance.children {
            let Ok(name) = PackageName::new(self.forest.text(*alias)) else {
                continue;
            };
            let text = self.graph.text(*child);
            let reference = match text.strip_prefix("link:") {
                Some(target) => Reference::Link(target.into()),
                None => match DepPath::new(text) {
                    Ok(path) => Reference::Package(path),
                    Err(_) => continue,
                },
            };
            if optional_children.contains(alias) {
                snapshot.optional_dependencies.insert(name, reference);
            } else {
                snapshot.dependencies.insert(name, reference);
            }
        }
        let mut peers: Vec<Box<str>> = instance
            .transitive_peers
            .iter()
            .map(|name| self.forest.text(*name).into())
            .collect();
        peers.sort_unstable();
        snapshot.transitive_peer_dependencies = peers;
        snapshot
    }

    /// Dependencies and peers of an instance that it can do without.
    fn optional_children(&self, instance: &Instance) -> FxHashSet<Symbol> {
        let package = self.forest.package(instance.package);
        let mut optional: FxHashSet<Symbol> = package
            .peers
            .iter()
            .filter(|peer| peer.optional)
            .map(|peer| peer.name)
            .collect();
        let edges = package.children();
        optional.extend(
            edges
                .iter()
                .filter(|edge| edge.optional)
                .map(|edge| edge.alias),
        );
        let names = package.resolved.manifest.optional_dependencies.keys();
        optional.extend(names.filter_map(|name| self.forest.symbols.find(name.as_str())));
        optional
    }

    /// Whether each instance is reached from what projects declare only through something
    /// optional.
    fn optional(&self) -> FxHashMap<Symbol, bool> {
        let mut open: Vec<(Symbol, bool)> = Vec::new();
        for (at, project) in self.given.iter().enumerate() {
            for (alias, path) in &self.graph.direct[at] {
                let alias = self.forest.text(*alias);
                let with_peers = self.recorded.auto_install_peers;
                if let Some((group, _)) = project.recorded.declared(alias, with_peers) {
                    open.push((*path, group == DependencyGroup::Optional));
                }
            }
        }
        let mut walked: FxHashSet<(Symbol, bool)> = FxHashSet::default();
        let mut found: FxHashMap<Symbol, bool> = FxHashMap::default();
        while let Some((path, is_optional)) = open.pop() {
            if !walked.insert((path, is_optional)) {
                continue;
            }
            let Some(instance) = self.graph.instances.get(&path) else {
                continue;
            };
            let known = found.entry(path).or_insert(true);
            *known = *known && is_optional;
            let children = self.optional_children(instance);
            for (alias, child) in &instance.children {
                open.push((*child, is_optional || children.contains(alias)));
            }
        }
        found
    }
}

impl RecordedSettings {
    /// `settings` of a lockfile.
    pub(super) fn written(&self) -> IndexMap<Box<str>, Value> {
        let mut settings = IndexMap::new();
        let mut put = |key: &str, value: Value| settings.insert(key.into(), value);
        if self.adds_peer_types {
            put("addMissingPeerTypes", json!(true));
        }
        put("autoInstallPeers", json!(self.auto_install_peers));
        if self.dedupe_peers {
            put("dedupePeers", json!(true));
        }
        put("excludeLinksFromLockfile", json!(self.exclude_links));
        if self.inject_workspace_packages {
            put("injectWorkspacePackages", json!(true));
        }
        if self.peers_suffix_max_length != u64::from(PEERS_SUFFIX_LENGTH_DEFAULT) {
            put("peersSuffixMaxLength", json!(self.peers_suffix_max_length));
        }
        if self.scoped_optional_peers {
            put("projectScopedOptionalPeers", json!(true));
        }
        settings
    }
}

/// The peers that the lockfile has of a package: those that it depends on anyway among them, but
/// not as optional dependencies. Name → range and whether it is optional.
fn recorded_peers(manifest: &VersionManifest) -> BTreeMap<&str, (&str, bool)> {
    let is_own = |name: &PackageName| {
        *name == manifest.name || manifest.optional_dependencies.contains_key(name)
    };
    let mut peers: BTreeMap<&str, (&str, bool)> = manifest
        .peer_dependencies
        .iter()
        .filter(|(name, _)| !is_own(name))
        .map(|(name, range)| (name.as_str(), (&**range, false)))
        .collect();
    for (name, optional) in &manifest.peer_dependencies_meta {
        if *optional && !is_own(name) {
            peers.entry(name.as_str()).or_insert(("*", true)).1 = true;
        }
    }
    peers
}
