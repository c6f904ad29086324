//! The lockfile as a graph of numbered nodes, so that no step of a layout looks up a depPath twice.

use indexmap::IndexMap;

use crate::install::lockfile::{
    DepPath, Importer, ImporterDependency, ImporterId, PackageInfo, Reference, Snapshot,
};
use crate::name::PackageName;

use super::error::LayoutError;
use super::input::{InstalledPackage, LayoutInput, NodeLinker};

/// Place of a snapshot in the lockfile's `snapshots`.
pub(super) type NodeIndex = usize;

/// What an alias leads to.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) enum Target {
    /// A snapshot, installed or not.
    Node(NodeIndex),
    /// A directory, relative to the lockfile's and without `.` components; it may climb, and it is
    /// absolute where the lockfile has it so.
    Directory(Box<str>),
}

/// A dependency.
#[derive(Debug, Clone)]
pub(super) struct Edge<'a> {
    pub(super) alias: &'a PackageName,
    pub(super) target: Target,
}

/// A snapshot.
#[derive(Debug)]
pub(super) struct Node<'a> {
    pub(super) dep_path: &'a DepPath,
    pub(super) package: &'a PackageInfo,
    /// `transitivePeerDependencies`.
    pub(super) transitive_peers: &'a [Box<str>],
    /// `None`: it is not installed.
    pub(super) installed: Option<&'a InstalledPackage>,
    /// `dependencies`, then `optionalDependencies`, each sorted by alias, the latter also where they
    /// are left out: hoisting walks through what is not installed.
    pub(super) children: Vec<Edge<'a>>,
    /// How many of `children` belong to groups that are installed.
    included_count: usize,
}

impl<'a> Node<'a> {
    pub(super) fn name(&self) -> &'a PackageName {
        &self.package.name
    }

    /// The dependencies of the groups that are installed.
    pub(super) fn included_children(&self) -> &[Edge<'a>] {
        &self.children[..self.included_count]
    }

    /// Its peers, and those of packages that it depends on.
    pub(super) fn peer_names(&self) -> impl Iterator<Item = &'a str> {
        let own = self.package.peer_dependencies.keys();
        own.chain(self.transitive_peers).map(|name| &**name)
    }

    /// Whether `alias` is a peer that the package cannot do without.
    pub(super) fn requires_peer(&self, alias: &str) -> bool {
        let meta = self.package.peer_dependencies_meta.as_ref();
        let is_optional = meta
            .and_then(|meta| meta.get(alias)?.get("optional")?.as_bool())
            .unwrap_or_default();
        self.package.peer_dependencies.contains_key(alias) && !is_optional
    }
}

/// A project.
#[derive(Debug)]
pub(super) struct Project<'a> {
    pub(super) id: &'a ImporterId,
    /// The direct dependencies of the included groups, sorted by alias: for the isolated linker
    /// within each group (development, production, optional), for the hoisted one altogether.
    pub(super) direct: Vec<Edge<'a>>,
}

/// The lockfile, numbered.
#[derive(Debug)]
pub(super) struct Graph<'a> {
    /// In the order of the lockfile's `snapshots`.
    pub(super) nodes: Vec<Node<'a>>,
    /// Sorted by id, so the root project comes first where there is one.
    pub(super) projects: Vec<Project<'a>>,
    /// `autoInstallPeers` of the lockfile's settings.
    pub(super) installs_peers: bool,
}

impl<'a> Graph<'a> {
    pub(super) fn new(input: &LayoutInput<'a>) -> Result<Self, LayoutError> {
        let lockfile = input.lockfile;
        let index = &lockfile.snapshots;
        let mut nodes = Vec::with_capacity(lockfile.snapshots.len());
        for (dep_path, snapshot) in &lockfile.snapshots {
            let package = lockfile
                .packages
                .get(&dep_path.package_id())
                .ok_or_else(|| LayoutError::UnknownPackage {
                    dep_path: dep_path.as_str().into(),
                })?;
            let resolve = |alias, reference| {
                let dependent = dep_path.as_str();
                resolve(
                    index,
                    &Dependent {
                        name: dependent,
                        directory: "",
                    },
                    alias,
                    reference,
                )
            };
            let mut children = Vec::with_capacity(
                snapshot.dependencies.len() + snapshot.optional_dependencies.len(),
            );
            let optional = &snapshot.optional_dependencies;
            for (alias, reference) in &snapshot.dependencies {
                let reference = match optional.get(alias) {
                    Some(optional) if input.included.optional => optional,
                    _ => reference,
                };
                children.push(resolve(alias, reference)?);
            }
            let required_count = children.len();
            for (alias, reference) in optional {
                if !snapshot.dependencies.contains_key(alias) {
                    children.push(resolve(alias, reference)?);
                }
            }
            let included_count = if input.included.optional {
                children.len()
            } else {
                required_count
            };
            nodes.push(Node {
                dep_path,
                transitive_peers: &snapshot.transitive_peer_dependencies,
                package,
                installed: input.installed.get(dep_path),
                children,
                included_count,
            });
        }
        let mut projects = Vec::with_capacity(lockfile.importers.len());
        for (id, importer) in &lockfile.importers {
            let direct = direct_dependencies(input, index, id, importer)?;
            projects.push(Project { id, direct });
        }
        let installs_peers = lockfile
            .settings
            .as_ref()
            .and_then(|settings| settings.get("autoInstallPeers")?.as_bool())
            .unwrap_or(true);
        Ok(Self {
            nodes,
            projects,
            installs_peers,
        })
    }

    /// Which nodes the included groups lead to, installed or not.
    pub(super) fn included(&self) -> Vec<bool> {
        let mut is_included = vec![false; self.nodes.len()];
        let mut pending: Vec<&Edge<'a>> = self
            .projects
            .iter()
            .flat_map(|project| &project.direct)
            .collect();
        while let Some(edge) = pending.pop() {
            if let Target::Node(node) = edge.target
                && !std::mem::replace(&mut is_included[node], true)
            {
                pending.extend(self.nodes[node].included_children());
            }
        }
        is_included
    }

    pub(super) fn is_installed(&self, target: &Target) -> bool {
        match target {
            Target::Node(node) => self.nodes[*node].installed.is_some(),
            Target::Directory(_) => true,
        }
    }
}

/// Who depends, for messages and for what its links are relative to.
struct Dependent<'a> {
    name: &'a str,
    directory: &'a str,
}

fn direct_dependencies<'a>(
    input: &LayoutInput<'a>,
    index: &IndexMap<DepPath, Snapshot>,
    id: &'a ImporterId,
    importer: &'a Importer,
) -> Result<Vec<Edge<'a>>, LayoutError> {
    let included = input.included;
    // `--dev` leaves out a project's optional dependencies, but not those of packages.
    let groups = [
        (included.development, &importer.dev_dependencies),
        (included.production, &importer.dependencies),
        (
            included.optional && included.production,
            &importer.optional_dependencies,
        ),
    ];
    let dependent = Dependent {
        name: id.as_str(),
        directory: id.0.as_ref().map_or("", crate::name::RelativePath::as_str),
    };
    let mut direct: Vec<Edge<'a>> = Vec::new();
    for (_, group) in groups.iter().filter(|(is_included, _)| *is_included) {
        let seen = direct.len();
        for (alias, ImporterDependency { reference, .. }) in *group {
            let edge = resolve(index, &dependent, alias, reference)?;
            // Optional wins over production, and that over development, at the first one's place.
            match direct[..seen]
                .iter_mut()
                .find(|earlier| earlier.alias == alias)
            {
                Some(earlier) => *earlier = edge,
                None => direct.push(edge),
            }
        }
    }
    if input.settings.node_linker == NodeLinker::Hoisted {
        direct.sort_by_key(|edge| edge.alias);
    }
    Ok(direct)
}

fn resolve<'a>(
    index: &IndexMap<DepPath, Snapshot>,
    dependent: &Dependent<'_>,
    alias: &'a PackageName,
    reference: &Reference,
) -> Result<Edge<'a>, LayoutError> {
    let target = match reference {
        Reference::Package(dep_path) => {
            Target::Node(index.get_index_of(dep_path).ok_or_else(|| {
                LayoutError::UnknownSnapshot {
                    dependent: dependent.name.into(),
                    dep_path: dep_path.as_str().into(),
                }
            })?)
        }
        Reference::Link(path) if path.chars().any(char::is_control) => {
            return Err(LayoutError::LinkTarget {
                dependent: dependent.name.into(),
                alias: alias.as_str().into(),
            });
        }
        Reference::Link(path) => Target::Directory(resolve_path(dependent.directory, path)),
    };
    Ok(Edge { alias, target })
}

/// `path` seen from `directory`, without `.` and with `..` only in front. The directory itself is
/// empty. An absolute path stays as it is.
pub(super) fn resolve_path(directory: &str, path: &str) -> Box<str> {
    if path.starts_with('/') {
        return path.into();
    }
    let mut components: Vec<&str> = Vec::new();
    for component in directory.split('/').chain(path.split('/')) {
        match component {
            "" | "." => {}
            ".." if components.last().is_some_and(|last| *last != "..") => {
                components.pop();
            }
            _ => components.push(component),
        }
    }
    components.join("/").into()
}

/// The relative path that leads from `directory` to `path`, both as [`resolve_path`] gives them;
/// `directory` does not climb.
pub(super) fn relative_path(directory: &str, path: &str) -> String {
    if path.starts_with('/') {
        return path.to_owned();
    }
    let mut from = directory
        .split('/')
        .filter(|part| !part.is_empty())
        .peekable();
    let mut to = path.split('/').filter(|part| !part.is_empty()).peekable();
    while from.peek().is_some() && from.peek() == to.peek() {
        from.next();
        to.next();
    }
    let parts: Vec<&str> = from.map(|_| "..").chain(to).collect();
    if parts.is_empty() {
        ".".to_owned()
    } else {
        parts.join("/")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_are_resolved_lexically() {
        for (directory, path, expected) in [
            ("", ".", ""),
            ("", "./d2", "d2"),
            ("packages/a", "../b", "packages/b"),
            ("packages/a", "../..", ""),
            ("packages/a", "../../../x", "../x"),
            ("", "../../x/../y", "../../y"),
            ("a", "/abs", "/abs"),
        ] {
            assert_eq!(
                &*resolve_path(directory, path),
                expected,
                "{directory} {path}"
            );
        }
    }

    #[test]
    fn relative_paths_climb_to_the_common_directory() {
        for (directory, path, expected) in [
            ("node_modules", "d2", "../d2"),
            ("packages/a/node_modules/@x", "packages/b", "../../../b"),
            ("packages/a/node_modules", "packages/a", ".."),
            ("a/node_modules", "", "../.."),
            ("a/node_modules", "../x", "../../../x"),
            ("node_modules", "node_modules", "."),
            ("a", "/abs", "/abs"),
        ] {
            assert_eq!(
                relative_path(directory, path),
                expected,
                "{directory} {path}"
            );
        }
    }
}
