//! What is installed, as the lockfile of `node_modules` tells it: trees of dependencies for `list`,
//! trees of dependents for `why`.
//!
//! **Architecture Invariant:** it reads a lockfile that was read already, and no file of any
//! package. What packages say of themselves is looked up by whoever shows it, or by finders.

mod dependents;
mod tree;

use std::collections::{BTreeSet, HashMap};
use std::path::{Path, PathBuf};

use crate::install::config::{Config, prefixed_version};
use crate::install::layout::{IncludedGroups, NamePatterns};
use crate::install::lockfile::{DepPath, ImporterId, Lockfile, Reference, Resolution};
use crate::install::pnpmfile::{Candidate, Finders, Found, PnpmfileError};
use crate::install::registry::canonical_tarball_url;
use crate::install::workspace::Project;
use crate::lexical;
use crate::name::PackageName;

pub use dependents::{Dependent, Dependents, DependentsOptions};
pub use tree::{Dependency, ListedProject, TreeOptions};

/// What a lockfile says, together with where packages are.
pub struct Installed<'a> {
    lockfile: &'a Lockfile,
    config: &'a Config,
    projects: &'a [Project],
    /// `hoistedLocations` of the hoisted linker: the first place of each depPath.
    locations: HashMap<Box<str>, Box<str>>,
}

/// What a person asks for: names and versions (`name`, `name*`, `name@range`), and finders.
pub struct Search {
    queries: Vec<(NamePatterns, Option<node_semver::Range>)>,
    finders: Option<Finders>,
}

impl Search {
    /// The patterns of the command line, and its finders; `None` where there are neither.
    pub fn new(words: &[String], finders: Option<Finders>) -> Option<Self> {
        let query = |word: &String| {
            let at = word
                .char_indices()
                .skip(1)
                .find(|(_, letter)| *letter == '@');
            let (name, range) = match at {
                Some((at, _)) => (&word[..at], node_semver::Range::parse(&word[at + 1..]).ok()),
                None => (word.as_str(), None),
            };
            (NamePatterns::new(&[name.into()]), range)
        };
        let queries: Vec<_> = words.iter().map(query).collect();
        let is_any = !queries.is_empty() || finders.is_some();
        is_any.then_some(Self { queries, finders })
    }

    /// Whether everything that was looked at could be.
    ///
    /// # Errors
    /// A finder failed.
    pub fn finish(self) -> Result<(), PnpmfileError> {
        self.finders.map_or(Ok(()), Finders::finish)
    }

    /// What is said of a package that is asked for. Finders are not asked about what has the name.
    fn find(&self, candidate: Candidate<'_>) -> Option<Found> {
        if self.matches(candidate) {
            return Some(Found::default());
        }
        self.finders.as_ref()?.find(candidate)
    }

    fn matches(&self, candidate: Candidate<'_>) -> bool {
        let Candidate {
            alias,
            name,
            version,
            ..
        } = candidate;
        self.queries.iter().any(|(names, range)| {
            let is_named = names.matches(name) || names.matches(alias);
            is_named
                && range.as_ref().is_none_or(|range| {
                    node_semver::Version::parse(version)
                        .is_ok_and(|version| version.satisfies(range))
                })
        })
    }
}

/// A group of a project's dependencies.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Group {
    /// `dependencies`.
    Production,
    /// `devDependencies`.
    Development,
    /// `optionalDependencies`.
    Optional,
}

impl Group {
    /// All, in the order in which they are shown.
    pub const ALL: [Self; 3] = [Self::Production, Self::Development, Self::Optional];

    /// As in `package.json`.
    pub fn field(self) -> &'static str {
        match self {
            Self::Production => "dependencies",
            Self::Development => "devDependencies",
            Self::Optional => "optionalDependencies",
        }
    }

    fn is_in(self, groups: IncludedGroups) -> bool {
        match self {
            Self::Production => groups.production,
            Self::Development => groups.development,
            Self::Optional => groups.optional,
        }
    }
}

/// A node of the graph.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
enum Node<'a> {
    Package(&'a DepPath),
    Project(&'a ImporterId),
}

impl<'a> Installed<'a> {
    /// What `lockfile` says of the install that `config` is about. `locations` is the text of
    /// `.modules.yaml`, where there is one.
    pub fn new(
        lockfile: &'a Lockfile,
        config: &'a Config,
        projects: &'a [Project],
        modules: Option<&str>,
    ) -> Self {
        let modules: serde_json::Value = modules
            .and_then(|text| serde_json::from_str(text).ok())
            .unwrap_or_default();
        let locations = modules["hoistedLocations"].as_object();
        let first = |(dep_path, places): (&String, &serde_json::Value)| {
            let place = places.get(0)?.as_str()?;
            Some((dep_path.as_str().into(), place.into()))
        };
        Self {
            lockfile,
            config,
            projects,
            locations: locations.into_iter().flatten().filter_map(first).collect(),
        }
    }

    fn root(&self) -> &Path {
        &self.config.lockfile_directory
    }

    /// The directory of a package.
    pub fn path(&self, dep_path: &DepPath) -> PathBuf {
        if let Some(place) = self.locations.get(dep_path.as_str()) {
            return self.root().join(&**place);
        }
        let length = self.config.virtual_store_dir_max_length;
        let directory = dep_path.virtual_store_directory_name(length);
        let modules = self.root().join(&self.config.modules_directory);
        match directory {
            Ok(directory) => modules
                .join(".pnpm")
                .join(directory.as_str())
                .join("node_modules")
                .join(dep_path.name_str()),
            Err(_) => modules,
        }
    }

    /// The version of a package as a person knows it.
    fn version(&self, dep_path: &'a DepPath) -> &'a str {
        dep_path.version()
    }

    /// Where the archive of a package is.
    fn resolved(&self, dep_path: &DepPath) -> Option<String> {
        let package = self.lockfile.packages.get(&dep_path.package_id())?;
        match &package.resolution {
            Resolution::Tarball {
                tarball: Some(address),
                ..
            } => Some(address.to_string()),
            Resolution::Tarball { .. } => {
                let registries = &self.config.registries;
                let id = dep_path.package_id_str();
                let registry = registries.registry_of_id(&package.name, id).ok()?;
                let of_prefix = || Some(prefixed_version(id)?.1);
                let version = package.version.as_deref().or_else(of_prefix)?;
                let repeats_scope = registries.repeats_scope(&registry);
                let url = canonical_tarball_url(&registry, &package.name, version, repeats_scope);
                let url = url.ok()?;
                Some(url.to_string())
            }
            _ => None,
        }
    }

    /// The direct dependencies of a project in these groups, sorted by alias.
    fn project_edges(
        &self,
        id: &ImporterId,
        groups: IncludedGroups,
    ) -> Vec<(&'a PackageName, &'a Reference, Group)> {
        let included = Group::ALL.into_iter().filter(|group| group.is_in(groups));
        let mut edges: Vec<_> = included
            .flat_map(|group| {
                self.direct(id, group)
                    .map(move |(alias, to)| (alias, to, group))
            })
            .collect();
        edges.sort_by_key(|(alias, ..)| *alias);
        edges
    }

    /// The dependencies of a node, sorted by alias: alias, reference, and whether it is a peer.
    fn edges(
        &self,
        node: Node<'a>,
        groups: IncludedGroups,
    ) -> Vec<(&'a PackageName, &'a Reference, bool)> {
        match node {
            Node::Package(dep_path) => {
                let Some(snapshot) = self.lockfile.snapshots.get(dep_path) else {
                    return Vec::new();
                };
                let package = self.lockfile.packages.get(&dep_path.package_id());
                let is_peer = |alias: &PackageName| {
                    package.is_some_and(|one| one.peer_dependencies.contains_key(alias.as_str()))
                };
                let optional = groups.optional.then_some(&snapshot.optional_dependencies);
                let both = snapshot
                    .dependencies
                    .iter()
                    .chain(optional.into_iter().flatten());
                let mut edges: Vec<_> = both
                    .map(|(alias, reference)| (alias, reference, is_peer(alias)))
                    .collect();
                edges.sort_by_key(|(alias, ..)| *alias);
                edges
            }
            Node::Project(id) => self
                .project_edges(id, groups)
                .into_iter()
                .map(|(alias, reference, _)| (alias, reference, false))
                .collect(),
        }
    }

    /// The direct dependencies of a project, sorted by alias.
    fn direct(
        &self,
        id: &ImporterId,
        group: Group,
    ) -> impl Iterator<Item = (&'a PackageName, &'a Reference)> + use<'a> {
        let importer = self.lockfile.importers.get(id);
        let list = importer.map(|importer| match group {
            Group::Production => &importer.dependencies,
            Group::Development => &importer.dev_dependencies,
            Group::Optional => &importer.optional_dependencies,
        });
        list.into_iter()
            .flatten()
            .map(|(alias, dependency)| (alias, &dependency.reference))
    }

    /// The node that a reference leads to from a node, and its directory.
    fn target(&self, from: Node<'a>, reference: &'a Reference) -> (Option<Node<'a>>, PathBuf) {
        match reference {
            Reference::Package(dep_path) => (Some(Node::Package(dep_path)), self.path(dep_path)),
            Reference::Link(path) => {
                let base = match from {
                    Node::Project(ImporterId(Some(id))) => self.root().join(id.as_str()),
                    _ => self.root().to_owned(),
                };
                let directory = lexical::normal(&base.join(&**path));
                let project = self.projects.iter().find(|one| one.directory == directory);
                let id = project.and_then(|project| {
                    let (id, _) = self.lockfile.importers.get_key_value(&project.id)?;
                    Some(Node::Project(id))
                });
                (id, directory)
            }
        }
    }

    /// These projects and those that they are linked to. A copy of a project is none of them.
    pub fn with_linked<'p>(
        &self,
        projects: impl IntoIterator<Item = &'p ImporterId>,
    ) -> BTreeSet<ImporterId> {
        let importers = &self.lockfile.importers;
        let mut kept = BTreeSet::new();
        let mut open: Vec<&'a ImporterId> = projects
            .into_iter()
            .filter_map(|id| Some(importers.get_key_value(id)?.0))
            .collect();
        while let Some(id) = open.pop() {
            if !kept.insert(id.clone()) {
                continue;
            }
            for (_, reference, _) in self.project_edges(id, IncludedGroups::ALL) {
                if let (Some(Node::Project(linked)), _) = self.target(Node::Project(id), reference)
                {
                    open.push(linked);
                }
            }
        }
        kept
    }
}
