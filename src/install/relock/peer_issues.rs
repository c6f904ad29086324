//! Peers of a lockfile that are missing or do not fit, and how they are told.
//!
//! A package is looked at once, for the project that reaches it first.

use std::collections::{BTreeMap, HashSet};
use std::fmt::Write as _;

use serde_json::{Map, Value, json};

use crate::install::config::PeerRules;
use crate::install::layout::matches_name;
use crate::install::lockfile::{DepPath, Importer, Lockfile, PackageInfo, Reference, Snapshot};
use crate::install::resolve::have_common_version;
use crate::install::semver::{Range, Version};
use crate::install::workspace::Project;
use crate::name::{PackageName, escaped};

/// Range → the packages that ask for it, nearest to the project first.
type Wanted<'a> = BTreeMap<&'a str, Vec<Asking<'a>>>;

/// A package that asks for a peer.
#[derive(Debug)]
struct Asking<'a> {
    /// From the project's dependency to the package itself.
    way: Vec<&'a PackageInfo>,
    is_optional: bool,
}

impl Asking<'_> {
    /// The package: `name@version`.
    fn label(&self) -> String {
        let info = self.way.last();
        let version = info.and_then(|info| info.version.as_deref());
        let name = info.map_or("", |info| info.name.as_str());
        format!("{name}@{}", version.unwrap_or_default())
    }
}

/// What is wrong in one project.
#[derive(Debug, Default)]
struct ProjectIssues<'a> {
    /// Peer and the version that is there.
    unmet: BTreeMap<(&'a str, &'a str), Wanted<'a>>,
    missing: BTreeMap<&'a str, Wanted<'a>>,
}

/// What is wrong with peers, by project.
#[derive(Debug, Default)]
pub struct PeerIssues<'a>(BTreeMap<&'a str, ProjectIssues<'a>>);

/// Looks at the peers of every package of `lockfile`.
pub fn peer_issues<'a>(
    lockfile: &'a Lockfile,
    projects: &'a [Project],
    rules: &'a PeerRules,
) -> PeerIssues<'a> {
    let versions = projects.iter().filter_map(|project| {
        let version = project.manifest.version.as_deref()?;
        Some((project.id.as_str(), version))
    });
    let mut search = Search {
        lockfile,
        rules,
        project_versions: versions.collect(),
        seen: HashSet::new(),
    };
    let mut found = PeerIssues::default();
    for (id, importer) in &lockfile.importers {
        found.0.insert(id.as_str(), search.project(importer));
    }
    found
}

struct Search<'a> {
    lockfile: &'a Lockfile,
    rules: &'a PeerRules,
    /// Importer → version.
    project_versions: BTreeMap<&'a str, &'a str>,
    seen: HashSet<&'a DepPath>,
}

impl<'a> Search<'a> {
    fn project(&mut self, importer: &'a Importer) -> ProjectIssues<'a> {
        let mut open: Vec<(&DepPath, Option<usize>)> = importer
            .all()
            .filter_map(|(_, dependency)| Some((package(&dependency.reference)?, None)))
            .collect();
        open.sort_unstable();
        open.reverse();
        // What was looked at, with the place of what led there.
        let mut ways: Vec<(&PackageInfo, Option<usize>)> = Vec::new();
        let mut issues = ProjectIssues::default();
        while let Some((path, parent)) = open.pop() {
            let Some(snapshot) = self.lockfile.snapshots.get(path) else {
                continue;
            };
            if !self.seen.insert(path) {
                continue;
            }
            let Some(info) = self.lockfile.packages.get(&path.package_id()) else {
                continue;
            };
            ways.push((info, parent));
            let place = ways.len() - 1;
            self.package(info, snapshot, &|| way(&ways, place), &mut issues);
            let below = snapshot.optional_dependencies.values().rev();
            let below = below.chain(snapshot.dependencies.values().rev());
            open.extend(below.filter_map(|below| Some((package(below)?, Some(place)))));
        }
        issues
    }

    fn package(
        &self,
        info: &'a PackageInfo,
        snapshot: &'a Snapshot,
        way: &dyn Fn() -> Vec<&'a PackageInfo>,
        issues: &mut ProjectIssues<'a>,
    ) {
        for (peer, range) in &info.peer_dependencies {
            let range = range.strip_prefix("workspace:").unwrap_or(range);
            let wanted = match found(snapshot, peer) {
                None if info.is_optional_peer(peer)
                    || matches_name(&self.rules.ignore_missing, peer) =>
                {
                    continue;
                }
                None => issues.missing.entry(peer).or_default(),
                Some(reference) => {
                    let Some(version) = self.version(reference) else {
                        continue;
                    };
                    if satisfies(version, range) || self.is_allowed(info, peer, version) {
                        continue;
                    }
                    issues.unmet.entry((peer, version)).or_default()
                }
            };
            let asking = Asking {
                way: way(),
                is_optional: info.is_optional_peer(peer),
            };
            let all = wanted.entry(range).or_default();
            if all.iter().all(|other| other.label() != asking.label()) {
                all.push(asking);
            }
        }
    }

    /// The version behind `reference`; `None`: it has none that could be compared.
    fn version(&self, reference: &'a Reference) -> Option<&'a str> {
        match reference {
            Reference::Package(path) => {
                let info = self.lockfile.packages.get(&path.package_id())?;
                info.version.as_deref()
            }
            Reference::Link(target) => self.project_versions.get(&**target).copied(),
        }
    }

    fn is_allowed(&self, info: &PackageInfo, peer: &str, version: &str) -> bool {
        let allows = |(key, range): (&String, &String)| {
            let (asking, allowed) = match key.rsplit_once('>') {
                Some((asking, allowed)) => (Some(asking), allowed),
                None => (None, &**key),
            };
            allowed.trim() == peer
                && asking.is_none_or(|asking| is_package(info, asking.trim()))
                && satisfies(version, range)
        };
        matches_name(&self.rules.allow_any, peer) || self.rules.allowed_versions.iter().any(allows)
    }
}

/// From the project's dependency to what is at `place`.
fn way<'a>(ways: &[(&'a PackageInfo, Option<usize>)], place: usize) -> Vec<&'a PackageInfo> {
    let mut found = Vec::new();
    let mut next = Some(place);
    while let Some((info, parent)) = next.and_then(|place| ways.get(place)) {
        found.push(*info);
        next = *parent;
    }
    found.reverse();
    found
}

fn package(reference: &Reference) -> Option<&DepPath> {
    match reference {
        Reference::Package(path) => Some(path),
        Reference::Link(_) => None,
    }
}

fn found<'a>(snapshot: &'a Snapshot, peer: &str) -> Option<&'a Reference> {
    let name = PackageName::new(peer).ok()?;
    let dependencies = snapshot.dependencies.get(&name);
    dependencies.or_else(|| snapshot.optional_dependencies.get(&name))
}

/// Whether `text`, `name` or `name@range`, is about the package.
fn is_package(info: &PackageInfo, text: &str) -> bool {
    let name = info.name.as_str();
    text.strip_prefix(name).is_some_and(|rest| {
        let range = rest.strip_prefix('@');
        let version = info.version.as_deref();
        rest.is_empty()
            || range
                .zip(version)
                .is_some_and(|(range, at)| satisfies(at, range))
    })
}

/// Whether a peer's version fits. A pre-release fits where its release does.
fn satisfies(version: &str, range: &str) -> bool {
    let (Some(version), Some(range)) = (Version::parse_loose(version), Range::parse_loose(range))
    else {
        return range == "*";
    };
    range.contains(&version) || range.contains(&version.release())
}

impl PeerIssues<'_> {
    /// Whether all peers are there and fit.
    pub fn is_empty(&self) -> bool {
        self.0.values().all(ProjectIssues::is_empty)
    }

    /// Whether a peer is missing.
    pub(super) fn has_missing(&self) -> bool {
        self.0.values().any(|issues| !issues.missing.is_empty())
    }

    /// As people read it, over several lines.
    pub fn report(&self) -> String {
        let projects = self.0.iter().filter(|(_, issues)| !issues.is_empty());
        let projects = projects.map(|(id, issues)| {
            let blocks = issues.blocks();
            match *id {
                "." => blocks.join("\n\n"),
                id => format!("{}\n{}", escaped(id), indented(&blocks.join("\n\n"))),
            }
        });
        projects.collect::<Vec<_>>().join("\n\n")
    }

    /// As people read it, each project by its directory.
    pub fn listing(&self) -> String {
        let projects = self.0.iter().filter(|(_, issues)| !issues.is_empty());
        let projects = projects.map(|(id, issues)| {
            let text = issues.blocks().join("\n\n");
            format!("{}\n{}", escaped(id), indented(&text))
        });
        projects.collect::<Vec<_>>().join("\n\n")
    }

    /// As programs read it.
    pub fn json(&self) -> Value {
        let projects = self.0.iter();
        let projects = projects.map(|(id, issues)| ((*id).to_owned(), issues.json()));
        Value::Object(projects.collect())
    }
}

fn indented(text: &str) -> String {
    let lines = text.lines().map(|line| match line {
        "" => String::new(),
        line => format!("  {line}"),
    });
    lines.collect::<Vec<_>>().join("\n")
}

impl ProjectIssues<'_> {
    fn is_empty(&self) -> bool {
        self.unmet.is_empty() && self.missing.is_empty()
    }

    fn json(&self) -> Value {
        let mut bad: Map<String, Value> = Map::new();
        for ((peer, version), wanted) in &self.unmet {
            let list = bad.entry(*peer).or_insert_with(|| json!([]));
            if let Some(list) = list.as_array_mut() {
                list.extend(asked(wanted, Some(version)));
            }
        }
        let missing = self.missing.iter();
        let missing: Map<String, Value> = missing
            .map(|(peer, wanted)| ((*peer).to_owned(), asked(wanted, None).collect()))
            .collect();
        let (mut conflicts, mut intersections) = (Vec::new(), Map::new());
        for (peer, wanted) in &self.missing {
            match fits(wanted) {
                true => drop(intersections.insert((*peer).to_owned(), json!(common(wanted)))),
                false => conflicts.push(*peer),
            }
        }
        json!({
            "bad": bad,
            "missing": missing,
            "conflicts": conflicts,
            "intersections": intersections,
        })
    }

    fn blocks(&self) -> Vec<String> {
        let unmet = self.unmet.iter().map(|((peer, version), wanted)| {
            let installed = format!("\n  Installed: {}", escaped(version));
            block("unmet", peer, &installed, wanted)
        });
        let missing = |is_conflict: bool| {
            let word = if is_conflict {
                "conflicting"
            } else {
                "missing"
            };
            let peers = self.missing.iter();
            let peers = peers.filter(move |(_, wanted)| fits(wanted) != is_conflict);
            peers.map(move |(peer, wanted)| block(word, peer, "", wanted))
        };
        unmet.chain(missing(false)).chain(missing(true)).collect()
    }
}

/// Whether one version can be in all ranges.
fn fits(wanted: &Wanted<'_>) -> bool {
    let ranges: Vec<&str> = wanted.keys().copied().collect();
    ranges.len() < 2 || have_common_version(&ranges)
}

/// What all ranges have in common, as a range.
fn common(wanted: &Wanted<'_>) -> String {
    let mut found: Vec<String> = vec![String::new()];
    for range in wanted.keys() {
        let alternatives: Vec<&str> = range.split("||").map(str::trim).collect();
        let with = |before: &String| {
            let joined = |one: &&str| format!("{before} {one}").trim().to_owned();
            alternatives.iter().map(joined).collect::<Vec<_>>()
        };
        found = found.iter().flat_map(with).collect();
    }
    found.join(" || ")
}

/// Who asks for which range.
fn asked<'w>(
    wanted: &'w Wanted<'_>,
    installed: Option<&'w str>,
) -> impl Iterator<Item = Value> + 'w {
    let all = wanted.iter();
    let all = all.flat_map(|(range, asking)| asking.iter().map(move |one| (range, one)));
    all.map(move |(range, asking)| {
        let parents: Vec<Value> = asking
            .way
            .iter()
            .map(|info| json!({ "name": info.name.as_str(), "version": info.version }))
            .collect();
        let mut map = Map::new();
        let mut put = |key: &str, value: Value| map.insert(key.to_owned(), value);
        put("parents", json!(parents));
        put("optional", json!(asking.is_optional));
        put("wantedRange", json!(range));
        if let Some(version) = installed {
            put("foundVersion", json!(version));
            put("resolvedFrom", json!([]));
        }
        Value::Object(map)
    })
}

fn block(word: &str, peer: &str, installed: &str, wanted: &Wanted<'_>) -> String {
    let mut text = format!("✕ {word} peer {}{installed}\n  Wanted:", escaped(peer));
    for (range, asking) in wanted {
        let quote = if range.contains(' ') || *range == "*" {
            "\""
        } else {
            ""
        };
        // Writing to a string cannot fail.
        let _ = write!(text, "\n    {quote}{}{quote}:", escaped(range));
        for one in asking {
            let _ = write!(text, "\n      {}", escaped(&one.label()));
        }
    }
    text
}
