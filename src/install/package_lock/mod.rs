//! Lockfiles of npm (`package-lock.json`, `npm-shrinkwrap.json`), installed as they lay a tree out.
//!
//! ```text
//! text ──► PackageLock ──► Graph ──► what fits and is wanted ──► Converted: snapshots and places
//!          every key a                who finds whom,            ──► .package-lock.json
//!          checked path               as Node looks
//! ```
//!
//! npm decides where a package is when it writes the lockfile; nothing is moved here. What is
//! worked out is what npm works out too: which packages the groups leave, which optional ones this
//! machine cannot have and what goes with them, and whether the manifests still fit.
//!
//! **Architecture Invariant:** a [`PackageLock`] that exists has only places that are below other
//! places of it or of the project, none of them below a link, and no key twice.

mod convert;
mod error;
mod fits;
mod graph;
mod hidden;
mod location;
mod order;
mod read;
mod select;

mod json;

use std::collections::{BTreeMap, BTreeSet, HashMap};

use serde_json::Value;

pub use convert::{Converted, Placed, PlacedContent};
pub use error::PackageLockError;
pub(in crate::install) use json::object as json_object;
pub use location::{Base, Location};
pub use order::compare_names;
pub use read::{Entry, Flags, PackageLock};

use crate::install::config::Registries;
use crate::install::lockfile::{DepPath, ImporterId};
use crate::install::select::{
    IncludedGroups, IncompatiblePackage, Mismatch, SupportedPlatforms, misfit,
};
use crate::install::workspace::Project;
use graph::{Edge, EdgeKind, Edges, Graph};

/// The lockfiles of npm, the one that counts first.
pub const FILE_NAMES: [&str; 2] = ["npm-shrinkwrap.json", "package-lock.json"];

/// Where npm records what it installed, in the project's `node_modules`.
pub const HIDDEN_FILE_NAME: &str = ".package-lock.json";

/// What decides what of a lockfile is installed.
#[derive(Debug, Clone, Copy)]
pub struct TreeOptions<'a> {
    /// Every project, the root's first, and the other directories that links lead to.
    pub projects: &'a [Project],
    /// Which of them the root has in `workspaces`.
    pub workspaces: &'a BTreeSet<ImporterId>,
    /// `overrides` of the root's manifest.
    pub overrides: Option<&'a Value>,
    /// The groups to install.
    pub groups: IncludedGroups,
    /// What is installed for.
    pub platforms: &'a SupportedPlatforms,
    /// The version of Node, where it is known.
    pub node_version: Option<&'a str>,
    /// Where packages come from.
    pub registries: &'a Registries,
}

/// A tree to install.
#[derive(Debug)]
pub struct Tree {
    /// The graph and the places.
    pub converted: Converted,
    /// The content of [`HIDDEN_FILE_NAME`].
    pub hidden: Vec<u8>,
    /// What is installed although it does not fit the machine.
    pub incompatible: Vec<IncompatiblePackage>,
}

/// Holds the lockfile against the manifests.
///
/// # Errors
/// [`PackageLockError::Stale`].
pub fn check(lock: &PackageLock, options: &TreeOptions<'_>) -> Result<(), PackageLockError> {
    let graph = graph_of(lock, options);
    fits::check(&graph, &fits::overridden_names(options.overrides))
}

/// Works out the tree, whether or not the manifests fit.
///
/// # Errors
/// Something that cannot be installed or trusted.
pub fn tree(lock: &PackageLock, options: &TreeOptions<'_>) -> Result<Tree, PackageLockError> {
    let graph = graph_of(lock, options);
    let flags: Vec<Flags> = match is_root_as_locked(lock, options) {
        true => as_locked(&graph),
        false => graph.flags(),
    };
    let misfit_of = |index| {
        let entry: &Entry = graph.entry(index);
        let (platforms, node) = (options.platforms, options.node_version);
        misfit(&entry.platforms, &entry.engines, platforms, node)
    };
    let is_there = select::chosen(&graph, &flags, options.groups, |index| {
        misfit_of(index).is_none()
    });
    let converted = convert::convert(&graph, &is_there, options.registries)?;
    let misfits: HashMap<&str, Mismatch> = (1..graph.len())
        .filter(|index| is_there[*index] && !flags[*index].optional)
        .filter_map(|index| Some((graph.location(index), misfit_of(index)?)))
        .collect();
    let incompatible = converted.places.iter().filter_map(|placed| {
        let PlacedContent::Package(dep_path) = &placed.content else {
            return None;
        };
        Some(IncompatiblePackage {
            dep_path: dep_path.clone(),
            mismatch: misfits.get(placed.location.as_str())?.clone(),
        })
    });
    Ok(Tree {
        incompatible: incompatible.collect(),
        hidden: hidden::text(&graph, &is_there, &flags),
        converted,
    })
}

/// The graph of what is installed: of everything, where `hidden`, the content of
/// [`HIDDEN_FILE_NAME`], is not there.
///
/// # Errors
/// As [`tree`].
pub fn installed(
    lock: &PackageLock,
    hidden: Option<&str>,
    options: &TreeOptions<'_>,
) -> Result<Converted, PackageLockError> {
    let hidden = hidden.map(PackageLock::read_hidden).transpose()?;
    let graph = graph_of(lock, options);
    let is_there: Vec<bool> = (0..graph.len())
        .map(|index| {
            let location = graph.location(index);
            hidden
                .as_ref()
                .is_none_or(|hidden| hidden.get(location).is_some())
        })
        .collect();
    convert::convert(&graph, &is_there, options.registries)
}

/// The places of what [`HIDDEN_FILE_NAME`] says is installed, by their content: the key of a
/// package together with everything that pins it.
///
/// # Errors
/// It is not what npm or this program writes.
pub fn places(hidden: &str) -> Result<BTreeMap<Box<str>, Box<str>>, PackageLockError> {
    let lock = PackageLock::read_hidden(hidden)?;
    let one = |(location, entry): (Box<str>, Entry)| {
        let is_place = entry.location.as_ref().is_some_and(|at| at.depth() > 0);
        let text = |text: &Option<Box<str>>| text.as_deref().unwrap_or_default().to_owned();
        let name = entry
            .package_name()
            .map_or("", |name| name.as_str())
            .to_owned();
        let parts = [
            name,
            text(&entry.version),
            text(&entry.resolved),
            text(&entry.integrity),
        ];
        is_place.then(|| (location, parts.join("\n").into()))
    };
    Ok(lock.entries.into_iter().filter_map(one).collect())
}

/// The places by depPath, in the form of `hoistedLocations`.
pub fn locations(places: &[Placed]) -> BTreeMap<Box<str>, Vec<Box<str>>> {
    let mut locations = BTreeMap::<Box<str>, Vec<Box<str>>>::new();
    for placed in places {
        if let PlacedContent::Package(dep_path) = &placed.content {
            let entry = locations.entry(DepPath::as_str(dep_path).into());
            entry.or_default().push(placed.location.as_str().into());
        }
    }
    locations
}

fn graph_of<'a>(lock: &'a PackageLock, options: &TreeOptions<'_>) -> Graph<'a> {
    // An install that is about no project takes the lockfile at its word.
    let has_root = options
        .projects
        .iter()
        .any(|project| project.id.0.is_none());
    let mut edges = match has_root {
        true => Vec::new(),
        false => graph::edges_of(&lock.root),
    };
    let mut of_directories = HashMap::new();
    for project in options.projects {
        let own = graph::edges_of_manifest(&project.manifest);
        if project.id.0.is_none() {
            edges.extend(own);
        } else {
            of_directories.insert(project.id.as_str(), own);
        }
    }
    let mut all = Edges::default();
    for edge in &edges {
        all.put(edge.kind, &edge.alias, &edge.specifier);
    }
    for project in options.projects {
        let is_workspace = options.workspaces.contains(&project.id);
        let name = project.manifest.name.as_deref();
        let name = name.and_then(|name| crate::name::PackageName::new(name).ok());
        if let Some(name) = name.filter(|_| is_workspace) {
            let specifier = format!("file:{}", project.id.as_str());
            all.put(EdgeKind::Workspace, &name, &specifier);
        }
    }
    Graph::new(lock, all.into_vec(), |directory| {
        of_directories.get(directory).cloned()
    })
}

/// What the lockfile says each package is there for.
fn as_locked(graph: &Graph<'_>) -> Vec<Flags> {
    let needed = graph.needed();
    let flags = needed.iter().enumerate().map(|(index, is_needed)| {
        let flags = graph.entry(index).flags;
        // Others that nobody seems to need are believed.
        let is_optional_peer = flags.peer && flags.optional;
        let extraneous = flags.extraneous || (is_optional_peer && !is_needed);
        Flags {
            extraneous,
            ..flags
        }
    });
    flags.collect()
}

/// Whether the project's dependencies are those that were locked: then what the lockfile says each
/// package is there for still holds.
fn is_root_as_locked(lock: &PackageLock, options: &TreeOptions<'_>) -> bool {
    let set = |edges: Vec<Edge>| -> BTreeSet<(EdgeKind, Box<str>, Box<str>)> {
        let one = |edge: Edge| (edge.kind, edge.alias.as_str().into(), edge.specifier);
        edges.into_iter().map(one).collect()
    };
    let root = options
        .projects
        .iter()
        .find(|project| project.id.0.is_none());
    root.is_none_or(|root| {
        set(graph::edges_of_manifest(&root.manifest)) == set(graph::edges_of(&lock.root))
    })
}
