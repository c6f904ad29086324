//! Trees of dependents, as `why` shows them.

use std::collections::{HashMap, HashSet};
use std::iter;
use std::path::PathBuf;

use sha2::{Digest, Sha256};

use super::{Group, Installed, Node, Search};
use crate::install::layout::IncludedGroups;
use crate::install::lockfile::{DepPath, ImporterId};
use crate::install::pnpmfile::{Candidate, Found};
use crate::limits::SHOWN_DEPTH_MAX;

/// What to show.
#[derive(Clone, Copy)]
pub struct DependentsOptions<'a> {
    /// The packages asked for.
    pub search: &'a Search,
    /// How many levels of dependents, the first of which is always there; `None` is all.
    pub depth: Option<usize>,
    /// Which groups of direct dependencies count.
    pub groups: IncludedGroups,
}

/// A package, and who depends on it.
#[derive(Debug, Clone)]
pub struct Dependents {
    /// Its name in the registry.
    pub name: String,
    /// Its version.
    pub version: String,
    /// Which peers and which patch it has, where it has some: four hexadecimal digits.
    pub peers_hash: Option<String>,
    /// Its directory.
    pub path: PathBuf,
    /// What finders say of it.
    pub message: Option<String>,
    /// Sorted by name.
    pub dependents: Vec<Dependent>,
}

/// Who depends on something.
#[derive(Debug, Clone)]
pub struct Dependent {
    /// Its name.
    pub name: String,
    /// Its version.
    pub version: String,
    /// As [`Dependents::peers_hash`].
    pub peers_hash: Option<String>,
    /// Of a project: in which group.
    pub group: Option<Group>,
    /// It is above.
    pub is_circular: bool,
    /// Its dependents were shown before.
    pub is_repeated: bool,
    /// Who depends on it.
    pub dependents: Vec<Dependent>,
}

/// Who depends on each package.
#[derive(Default)]
struct Reverse<'a> {
    dependents: HashMap<&'a DepPath, Vec<(Node<'a>, Option<Group>)>>,
    /// As what other than its name somebody depends on a package.
    aliases: HashSet<(&'a DepPath, &'a str)>,
}

impl<'a> Reverse<'a> {
    fn add(&mut self, target: &'a DepPath, alias: &'a str, dependent: (Node<'a>, Option<Group>)) {
        if alias != target.name_str() {
            self.aliases.insert((target, alias));
        }
        self.dependents.entry(target).or_default().push(dependent);
    }
}

struct Walk<'w, 'a> {
    installed: &'w Installed<'a>,
    reverse: &'w Reverse<'a>,
    shown: HashSet<&'a DepPath>,
    path: Vec<&'a DepPath>,
}

impl<'a> Installed<'a> {
    /// Every package that is asked for with its dependents, sorted by name and version.
    pub fn dependents(&self, options: DependentsOptions<'_>) -> Vec<Dependents> {
        let reverse = self.reverse(options.groups);
        let reached = self.lockfile.snapshots.keys();
        let reached = reached.filter(|dep_path| reverse.dependents.contains_key(dep_path));
        let mut found: Vec<(&'a DepPath, Found)> = reached
            .filter_map(|dep_path| {
                let found = self.found(dep_path, &reverse, options.search)?;
                Some((dep_path, found))
            })
            .collect();
        found.sort_by(|(one, _), (other, _)| {
            let version =
                |dep_path: &'a DepPath| node_semver::Version::parse(self.version(dep_path)).ok();
            let names = one.name_str().cmp(other.name_str());
            let versions = names.then_with(|| version(one).cmp(&version(other)));
            versions.then_with(|| peers_hash(one).cmp(&peers_hash(other)))
        });
        let tree = |(dep_path, found): (&'a DepPath, Found)| {
            let mut walk = Walk {
                installed: self,
                reverse: &reverse,
                shown: HashSet::new(),
                path: vec![dep_path],
            };
            let mut dependents = walk.dependents(dep_path);
            // What is repeated is so by the whole tree, of which a part is shown.
            if let Some(depth) = options.depth {
                cut(&mut dependents, depth.max(1));
            }
            Dependents {
                name: dep_path.name_str().to_owned(),
                version: self.version(dep_path).to_owned(),
                peers_hash: peers_hash(dep_path),
                path: self.path(dep_path),
                message: found.message,
                dependents,
            }
        };
        found.into_iter().map(tree).collect()
    }

    /// What is said of a package that is asked for, by its name or by one of its aliases.
    fn found(
        &self,
        dep_path: &'a DepPath,
        reverse: &Reverse<'a>,
        search: &Search,
    ) -> Option<Found> {
        let name = dep_path.name_str();
        let directory = self.path(dep_path);
        let of_package = reverse.aliases.iter();
        let of_package = of_package.filter(|(target, _)| *target == dep_path);
        let aliases = of_package.map(|(_, alias)| *alias);
        iter::once(name).chain(aliases).find_map(|alias| {
            search.find(Candidate {
                alias,
                name,
                version: self.version(dep_path),
                directory: &directory,
            })
        })
    }

    fn reverse(&self, groups: IncludedGroups) -> Reverse<'a> {
        let mut reverse = Reverse::default();
        let mut open: Vec<&'a DepPath> = Vec::new();
        for id in self.lockfile.importers.keys() {
            let node = Node::Project(id);
            for (alias, reference, group) in self.project_edges(id, groups) {
                if let (Some(Node::Package(target)), _) = self.target(node, reference) {
                    reverse.add(target, alias.as_str(), (node, Some(group)));
                    open.push(target);
                }
            }
        }
        let mut seen: HashSet<&DepPath> = HashSet::new();
        while let Some(dep_path) = open.pop() {
            if !seen.insert(dep_path) {
                continue;
            }
            let node = Node::Package(dep_path);
            for (alias, reference, _) in self.edges(node, groups) {
                if let (Some(Node::Package(target)), _) = self.target(node, reference) {
                    reverse.add(target, alias.as_str(), (node, None));
                    open.push(target);
                }
            }
        }
        reverse
    }

    fn project_name(&self, id: &ImporterId) -> (String, String) {
        let project = self.projects.iter().find(|project| project.id == *id);
        let manifest = project.map(|project| &project.manifest);
        let name = manifest.and_then(|manifest| manifest.name.as_deref());
        let version = manifest.and_then(|manifest| manifest.version.as_deref());
        let place = match id.0 {
            Some(_) => id.as_str(),
            None => "the root project",
        };
        (
            name.unwrap_or(place).to_owned(),
            version.unwrap_or_default().to_owned(),
        )
    }
}

impl<'a> Walk<'_, 'a> {
    fn dependents(&mut self, dep_path: &'a DepPath) -> Vec<Dependent> {
        if self.path.len() >= SHOWN_DEPTH_MAX {
            return Vec::new();
        }
        let mut nodes = self
            .reverse
            .dependents
            .get(dep_path)
            .cloned()
            .unwrap_or_default();
        nodes.sort_by_cached_key(|(node, _)| self.name(*node));
        nodes
            .into_iter()
            .map(|(node, group)| self.dependent(node, group))
            .collect()
    }

    fn name(&self, node: Node<'a>) -> (String, String) {
        match node {
            Node::Project(id) => self.installed.project_name(id),
            Node::Package(dep_path) => {
                let version = self.installed.version(dep_path);
                (dep_path.name_str().to_owned(), version.to_owned())
            }
        }
    }

    fn dependent(&mut self, node: Node<'a>, group: Option<Group>) -> Dependent {
        let (name, version) = self.name(node);
        let mut dependent = Dependent {
            name,
            version,
            peers_hash: None,
            group,
            is_circular: false,
            is_repeated: false,
            dependents: Vec::new(),
        };
        let Node::Package(dep_path) = node else {
            return dependent;
        };
        dependent.peers_hash = peers_hash(dep_path);
        if self.path.contains(&dep_path) {
            dependent.is_circular = true;
        } else if !self.shown.insert(dep_path) {
            dependent.is_repeated = true;
        } else {
            self.path.push(dep_path);
            dependent.dependents = self.dependents(dep_path);
            self.path.pop();
        }
        dependent
    }
}

fn cut(dependents: &mut Vec<Dependent>, depth: usize) {
    if depth == 0 {
        dependents.clear();
    }
    for dependent in dependents {
        cut(&mut dependent.dependents, depth - 1);
    }
}

/// As pnpm names a choice of peers: the beginning of the SHA-256 of the suffix, a patch among it.
pub(super) fn peers_hash(dep_path: &DepPath) -> Option<String> {
    let suffix = &dep_path.as_str()[dep_path.package_id_str().len()..];
    if suffix.is_empty() {
        return None;
    }
    let digest = Sha256::digest(suffix.as_bytes());
    Some(format!("{:02x}{:02x}", digest[0], digest[1]))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_choice_of_peers_and_a_patch_are_told_apart() {
        let hash = |text: &str| peers_hash(&DepPath::new(text).unwrap());
        let patch = "59ca603a1f88348ce2eb3ee9c45f50fbd5dc38fea400bc1ab4b76a01b99324f2";
        let patched = format!("is-odd@3.0.1(patch_hash={patch})");
        assert_eq!(hash("is-odd@3.0.1"), None);
        assert_eq!(hash(&patched).as_deref(), Some("23a0"));
        let with_peer = hash(&format!("{patched}(a@1.0.0)"));
        assert!(with_peer.is_some() && with_peer != hash("is-odd@3.0.1(a@1.0.0)"));
    }
}
