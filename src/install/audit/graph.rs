//! The packages of a lockfile: names and versions, groups, and the ways that lead to them.

use std::collections::{BTreeMap, HashSet};

use crate::install::layout::IncludedGroups;
use crate::install::lockfile::{
    DependencyGroup, Importer, ImporterId, Lockfile, Reference, Snapshot,
};
use crate::install::select::{SelectError, current_lockfile};

/// Most paths that are told of one version.
const PATHS_MAX: usize = 100;

/// Most places that are gone through for paths: there can be more paths than anybody can wait for.
const STEPS_MAX: usize = 500_000;

/// How many versions there are.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Counts {
    /// Neither for development alone nor optional.
    pub production: usize,
    /// For development alone.
    pub development: usize,
    /// Reached only by optional dependencies.
    pub optional: usize,
    /// All.
    pub all: usize,
}

/// A version of a package.
#[derive(Debug, Clone, Copy)]
pub(super) struct Use {
    pub(super) is_development: bool,
    pub(super) is_optional: bool,
}

/// The packages that are looked at.
#[derive(Debug)]
pub struct AuditGraph {
    lockfile: Lockfile,
    /// By name and version.
    pub(super) versions: BTreeMap<Box<str>, BTreeMap<Box<str>, Use>>,
}

impl AuditGraph {
    /// What `lockfile` has for `importers` (`None`: all) and the groups `included`.
    ///
    /// # Errors
    /// The lockfile knows nothing of an importer.
    pub fn new(
        lockfile: &Lockfile,
        importers: Option<&[ImporterId]>,
        included: IncludedGroups,
    ) -> Result<Self, SelectError> {
        let whole = current_lockfile(lockfile, importers, IncludedGroups::ALL)?;
        let chosen = current_lockfile(lockfile, importers, included)?;
        let used = IncludedGroups {
            development: false,
            ..IncludedGroups::ALL
        };
        let used = reached(&whole, used, true);
        let needed = reached(&chosen, included, false);
        let mut versions: BTreeMap<Box<str>, BTreeMap<Box<str>, Use>> = BTreeMap::new();
        for (dep_path, _) in &chosen.snapshots {
            let Some(info) = chosen.packages.get(&dep_path.package_id()) else {
                continue;
            };
            let Some(version) = &info.version else {
                continue;
            };
            let is_in = |list: &HashSet<&str>| list.contains(dep_path.as_str());
            let (is_development, is_optional) = (!is_in(&used), !is_in(&needed));
            let known = versions.entry(info.name.as_str().into()).or_default();
            let known = known.entry(version.clone()).or_insert(Use {
                is_development,
                is_optional,
            });
            known.is_development &= is_development;
            known.is_optional &= is_optional;
        }
        Ok(Self {
            lockfile: chosen,
            versions,
        })
    }

    /// What the registry is asked about: versions by name.
    pub fn request(&self) -> BTreeMap<&str, Vec<&str>> {
        let versions = self.versions.iter();
        versions
            .map(|(name, versions)| (&**name, versions.keys().map(|one| &**one).collect()))
            .collect()
    }

    /// How many versions there are.
    pub fn counts(&self) -> Counts {
        let mut counts = Counts::default();
        for one in self.versions.values().flat_map(BTreeMap::values) {
            counts.all += 1;
            counts.development += usize::from(one.is_development);
            counts.optional += usize::from(one.is_optional);
            counts.production += usize::from(!one.is_development && !one.is_optional);
        }
        counts
    }

    /// The ways from projects to the versions of `name`, by version: names with `>` between.
    pub(super) fn paths(&self, name: &str) -> BTreeMap<Box<str>, Vec<String>> {
        let targets: Vec<Option<Box<str>>> = self.targets(name);
        let leads = self.leads_to(&targets);
        let mut walk = Walk {
            graph: self,
            targets: &targets,
            leads: &leads,
            found: BTreeMap::new(),
            steps: 0,
        };
        for (id, importer) in &self.lockfile.importers {
            let start = id.as_str().replace('/', "__");
            for reference in references(importer) {
                if let Some(place) = self.place(reference) {
                    walk.from(place, &start);
                }
            }
        }
        walk.found
    }

    /// By place of a snapshot: the version, where it is one of `name`.
    fn targets(&self, name: &str) -> Vec<Option<Box<str>>> {
        let version = |dep_path: &crate::install::lockfile::DepPath| {
            let info = self.lockfile.packages.get(&dep_path.package_id())?;
            (info.name.as_str() == name).then(|| info.version.clone())?
        };
        self.lockfile.snapshots.keys().map(version).collect()
    }

    /// By place of a snapshot: whether a target can be reached from it, or is it.
    fn leads_to(&self, targets: &[Option<Box<str>>]) -> Vec<bool> {
        let mut parents: Vec<Vec<usize>> = vec![Vec::new(); targets.len()];
        for (place, snapshot) in self.lockfile.snapshots.values().enumerate() {
            for child in self.children(snapshot) {
                parents[child].push(place);
            }
        }
        let mut leads = vec![false; targets.len()];
        let is_target = |place: &usize| targets[*place].is_some();
        let mut pending: Vec<usize> = (0..targets.len()).filter(is_target).collect();
        while let Some(place) = pending.pop() {
            if !std::mem::replace(&mut leads[place], true) {
                pending.extend(&parents[place]);
            }
        }
        leads
    }

    fn place(&self, reference: &Reference) -> Option<usize> {
        match reference {
            Reference::Package(dep_path) => self.lockfile.snapshots.get_index_of(dep_path),
            Reference::Link(_) => None,
        }
    }

    fn children(&self, snapshot: &Snapshot) -> impl Iterator<Item = usize> {
        let references = snapshot.dependencies.values();
        let references = references.chain(snapshot.optional_dependencies.values());
        references.filter_map(|reference| self.place(reference))
    }
}

/// Goes along every way, depth first.
struct Walk<'a> {
    graph: &'a AuditGraph,
    targets: &'a [Option<Box<str>>],
    leads: &'a [bool],
    found: BTreeMap<Box<str>, Vec<String>>,
    steps: usize,
}

impl Walk<'_> {
    fn from(&mut self, root: usize, start: &str) {
        // Places on the way, each with the children that are still to be gone to.
        let mut way: Vec<(usize, Vec<usize>)> = Vec::new();
        let mut next = Some(root);
        loop {
            if let Some(place) = next.take() {
                self.steps += 1;
                let is_on_the_way = way.iter().any(|(one, _)| *one == place);
                if self.leads[place] && !is_on_the_way && self.steps <= STEPS_MAX {
                    way.push((place, Vec::new()));
                    self.note(start, &way);
                    let snapshot = self.graph.lockfile.snapshots.get_index(place);
                    let children = snapshot.map(|(_, snapshot)| self.graph.children(snapshot));
                    let mut children: Vec<usize> = children.into_iter().flatten().collect();
                    children.reverse();
                    if let Some((_, waiting)) = way.last_mut() {
                        *waiting = children;
                    }
                }
            }
            let Some((_, waiting)) = way.last_mut() else {
                return;
            };
            next = waiting.pop();
            if next.is_none() {
                way.pop();
            }
        }
    }

    /// Notes the way where it ends at a target.
    fn note(&mut self, start: &str, way: &[(usize, Vec<usize>)]) {
        let Some((end, _)) = way.last() else { return };
        let Some(version) = &self.targets[*end] else {
            return;
        };
        let paths = self.found.entry(version.clone()).or_default();
        let is_first_of_project = !paths.iter().any(|path| {
            path.strip_prefix(start)
                .is_some_and(|rest| rest.starts_with('>'))
        });
        if paths.len() >= PATHS_MAX && !is_first_of_project {
            return;
        }
        let snapshots = &self.graph.lockfile.snapshots;
        let names = way.iter().filter_map(|(place, _)| {
            let (dep_path, _) = snapshots.get_index(*place)?;
            Some(dep_path.name_str())
        });
        let path: Vec<&str> = std::iter::once(start).chain(names).collect();
        let path = path.join(">");
        if !paths.contains(&path) {
            paths.push(path);
        }
    }
}

fn references(importer: &Importer) -> impl Iterator<Item = &Reference> {
    importer.all().map(|(_, dependency)| &dependency.reference)
}

/// What is reached from the dependencies in `groups`; `with_optional`: by optional dependencies
/// too.
fn reached(lockfile: &Lockfile, groups: IncludedGroups, with_optional: bool) -> HashSet<&str> {
    let mut pending: Vec<&Reference> = Vec::new();
    for importer in lockfile.importers.values() {
        for (group, list) in importer.groups() {
            let is_wanted =
                groups.has(group) && (with_optional || group != DependencyGroup::Optional);
            if is_wanted {
                pending.extend(list.values().map(|dependency| &dependency.reference));
            }
        }
    }
    let mut found = HashSet::new();
    while let Some(reference) = pending.pop() {
        let Reference::Package(dep_path) = reference else {
            continue;
        };
        let Some(snapshot) = lockfile.snapshots.get(dep_path) else {
            continue;
        };
        if found.insert(dep_path.as_str()) {
            pending.extend(snapshot.dependencies.values());
            if with_optional {
                pending.extend(snapshot.optional_dependencies.values());
            }
        }
    }
    found
}
