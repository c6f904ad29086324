//! Whether a lockfile fits the manifests: what `npm ci` asks before it installs.

use std::collections::HashSet;
use std::path::Path;

use serde_json::Value;

use super::error::PackageLockError;
use super::graph::{Edge, EdgeKind, EntryIndex, Graph};
use super::read::Entry;
use crate::install::pick::SpecifierContext;
use crate::install::pick::{GitReference, GitSpecifier, LocalKind, Selector, Specifier};
use crate::install::semver::Version;
use crate::name::PackageName;

/// Holds the lockfile against what the projects ask for.
///
/// Every dependency must be there and be one that is asked for; optional ones too, which npm
/// records even where they do not fit the machine. Peers must be there where a project has them;
/// how packages get along with each other's peers was npm's business when it wrote the lockfile.
/// Of what linked projects alone bring along, npm asks nothing; it leaves some of that out of
/// lockfiles, as what is for other machines.
///
/// # Errors
/// [`PackageLockError::Stale`], with a line for everything that does not fit.
pub(super) fn check(
    graph: &Graph<'_>,
    overridden: &HashSet<Box<str>>,
) -> Result<(), PackageLockError> {
    let mut problems = Vec::new();
    let context = SpecifierContext::default();
    for (index, is_reached) in graph.reached_beside_links().into_iter().enumerate() {
        let entry = graph.entry(index);
        let is_own = is_project(entry);
        let is_asked = is_own || is_reached;
        if !is_asked || entry.is_link || entry.flags.extraneous || entry.in_bundle {
            continue;
        }
        let bundled = bundled_names(entry);
        for edge in &graph.edges[index] {
            if !is_own && (bundled.contains(edge.alias.as_str()) || is_peer(edge.kind)) {
                continue;
            }
            if let Some(problem) = problem(graph, index, edge, overridden, &context) {
                problems.push(problem);
            }
        }
    }
    if problems.is_empty() {
        return Ok(());
    }
    problems.sort();
    problems.dedup();
    Err(PackageLockError::Stale { problems })
}

/// The names that `overrides` of a manifest are about, at any depth: what is asked for under those
/// is not what a package's own manifest says.
pub(super) fn overridden_names(overrides: Option<&Value>) -> HashSet<Box<str>> {
    let mut names = HashSet::new();
    let mut open: Vec<&Value> = overrides.into_iter().collect();
    while let Some(value) = open.pop() {
        for (key, value) in value.as_object().into_iter().flatten() {
            let at = key
                .char_indices()
                .skip(1)
                .find(|(_, letter)| *letter == '@');
            let name = at.map_or(key.as_str(), |(at, _)| &key[..at]);
            names.insert(name.into());
            open.push(value);
        }
    }
    names
}

fn is_project(entry: &Entry) -> bool {
    let location = entry.location.as_ref();
    location.is_some_and(|location| location.depth() == 0)
}

fn is_peer(kind: EdgeKind) -> bool {
    matches!(kind, EdgeKind::Peer | EdgeKind::OptionalPeer)
}

fn bundled_names(entry: &Entry) -> HashSet<&str> {
    match entry.fields.get("bundleDependencies") {
        Some(Value::Array(list)) => list.iter().filter_map(Value::as_str).collect(),
        Some(Value::Bool(true)) => entry.dependencies.keys().map(PackageName::as_str).collect(),
        _ => HashSet::new(),
    }
}

/// What is wrong with a dependency, as npm says it.
fn problem(
    graph: &Graph<'_>,
    from: EntryIndex,
    edge: &Edge,
    overridden: &HashSet<Box<str>>,
    context: &SpecifierContext,
) -> Option<String> {
    let alias = edge.alias.as_str();
    let Some(to) = edge.to else {
        let is_missing = edge.kind != EdgeKind::OptionalPeer;
        return is_missing.then(|| format!("Missing: {alias}@{} from lock file", edge.specifier));
    };
    if edge.kind == EdgeKind::OptionalPeer || overridden.contains(alias) {
        return None;
    }
    let (found, target) = (graph.entry(to), graph.entry(graph.target(to)));
    let specifier = Specifier::parse(Some(&edge.alias), &edge.specifier, context);
    let is_right = match specifier {
        // npm knows forms of its own, and has accepted it.
        Err(_) => true,
        Ok(specifier) => is_asked_for(graph, from, &specifier, found, target),
    };
    (!is_right).then(|| {
        let version = target.version.as_deref().unwrap_or("?");
        format!(
            "Invalid: lock file's {alias}@{version} does not satisfy {alias}@{}",
            edge.specifier
        )
    })
}

fn is_asked_for(
    graph: &Graph<'_>,
    from: EntryIndex,
    specifier: &Specifier,
    found: &Entry,
    target: &Entry,
) -> bool {
    let resolved = found.resolved.as_deref();
    match specifier {
        Specifier::Registry(registry) => {
            let is_named = found.is_link
                || found
                    .package_name()
                    .is_none_or(|name| *name == registry.name);
            is_named && is_selected(&registry.selector, target.version.as_deref())
        }
        Specifier::Git(git) => is_repository(git, resolved, target.version.as_deref()),
        Specifier::Tarball(url) => resolved == Some(url.as_str()),
        Specifier::Local(local) => {
            let path = joined(graph.location(from), &local.path);
            match (local.kind, found.is_link) {
                (LocalKind::Archive, false) => {
                    resolved.and_then(|text| text.strip_prefix("file:")) == Some(&*path)
                }
                (LocalKind::Archive, true) => false,
                (_, true) => resolved == Some(&*path),
                // `install-links` makes packages of directories.
                (_, false) => resolved.is_some_and(|text| text.starts_with("file:")),
            }
        }
        // npm has no such forms: whoever wrote the lockfile took them otherwise.
        Specifier::Workspace(_) | Specifier::Catalog(_) | Specifier::Runtime(_) => true,
    }
}

fn is_selected(selector: &Selector, version: Option<&str>) -> bool {
    let Some(version) = version.and_then(Version::parse_loose) else {
        return matches!(selector, Selector::Tag(_)) || selector.as_str() == "*";
    };
    match selector {
        Selector::Version(text) => Version::parse_loose(text).is_some_and(|text| text == version),
        Selector::Tag(_) => true,
        Selector::Range { text, range } => &**text == "*" || range.contains(&version),
    }
}

fn is_repository(wanted: &GitSpecifier, resolved: Option<&str>, version: Option<&str>) -> bool {
    let Some(locked) = resolved.and_then(GitSpecifier::parse) else {
        return false;
    };
    let is_same = match (&wanted.hosted, &locked.hosted) {
        (Some(wanted), Some(locked)) => wanted == locked,
        _ => wanted.url == locked.url,
    };
    let is_commit = |name: &str| {
        matches!(name.len(), 40 | 64) && name.bytes().all(|byte| byte.is_ascii_hexdigit())
    };
    is_same
        && match &wanted.reference {
            GitReference::Head => true,
            GitReference::Name(name) if is_commit(name) => {
                locked.reference == GitReference::Name(name.clone())
            }
            GitReference::Name(_) => true,
            GitReference::Range(range) => {
                Selector::parse(range).is_some_and(|range| is_selected(&range, version))
            }
        }
}

/// `path` as seen from `from`, relative to the project.
fn joined(from: &str, path: &str) -> String {
    let mut parts: Vec<&str> = from.split('/').filter(|part| !part.is_empty()).collect();
    if Path::new(path).is_absolute() {
        return path.to_owned();
    }
    for part in path.split('/') {
        match part {
            "" | "." => {}
            ".." if parts.last().is_some_and(|last| *last != "..") => {
                parts.pop();
            }
            part => parts.push(part),
        }
    }
    parts.join("/")
}
