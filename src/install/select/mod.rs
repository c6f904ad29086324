//! Which packages of a lockfile an install needs: by project, by group, by platform.
//!
//! **Architecture Invariant:** a function of its arguments; the facts about this machine are
//! gathered in [`host`] and passed in.

pub mod host;
mod platform;

use std::collections::{BTreeSet, HashSet};

pub use host::Host;
pub use platform::{Architectures, Incompatibility};

use crate::diagnostic::Diagnostic;
use crate::install::layout::IncludedGroups;
use crate::install::lockfile::{
    DepPath, ImporterDependency, ImporterId, Lockfile, PackageInfo, Reference, Snapshot,
};
use crate::name::{PackageName, escaped};

/// What is asked for.
#[derive(Debug, Clone, Copy)]
pub struct SelectionInput<'a> {
    /// The lockfile.
    pub lockfile: &'a Lockfile,
    /// Groups of dependencies.
    pub groups: IncludedGroups,
    /// The platforms for which optional packages are installed.
    pub architectures: &'a Architectures,
    /// The Node version that `engines.node` is held against; `None`: it is not looked at.
    pub node_version: Option<&'a node_semver::Version>,
    /// `engineStrict`: a package that does not fit is a failure even where it is not optional.
    pub engine_strict: bool,
}

/// What is installed.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Selection {
    /// The snapshots to install, in the order of the lockfile.
    pub installed: Vec<DepPath>,
    /// Optional snapshots that this platform leaves out (`skipped` of `.modules.yaml`).
    pub skipped: BTreeSet<DepPath>,
    /// Packages that do not fit this platform and are installed all the same, since they are not
    /// optional.
    pub unfit: Vec<(DepPath, Incompatibility)>,
}

/// A required package does not fit, and `engineStrict` is on.
#[derive(Debug, thiserror::Error)]
#[error("The package {} does not fit: {incompatibility}", escaped(.dep_path.as_str()))]
pub struct UnfitPackage {
    /// Which.
    pub dep_path: DepPath,
    /// In what.
    pub incompatibility: Incompatibility,
}

impl Diagnostic for UnfitPackage {
    fn code(&self) -> &'static str {
        match self.incompatibility {
            Incompatibility::Engine { .. } => "ERR_PNPM_UNSUPPORTED_ENGINE",
            Incompatibility::Platform { .. } => "ERR_PNPM_UNSUPPORTED_PLATFORM",
        }
    }

    fn hint(&self) -> Option<String> {
        Some("use another version of Node or of the package, or set engineStrict to false".into())
    }
}

/// Walks the lockfile from its importers and chooses.
///
/// A package that does not fit is left out where the lockfile says that it is optional, and with
/// it everything that only it needs (pnpm's rule).
///
/// # Errors
/// [`UnfitPackage`] under `engine_strict`.
pub fn select(input: &SelectionInput<'_>) -> Result<Selection, UnfitPackage> {
    let mut walk = Walk::new(input);
    for importer in input.lockfile.importers.keys() {
        walk.start(importer);
    }
    walk.follow_installed()?;
    walk.follow_left_out();
    Ok(walk.finish())
}

struct Walk<'a> {
    input: &'a SelectionInput<'a>,
    open: Vec<usize>,
    installed: HashSet<usize>,
    left_out: Vec<usize>,
    unfit: Vec<(DepPath, Incompatibility)>,
}

impl<'a> Walk<'a> {
    fn new(input: &'a SelectionInput<'a>) -> Self {
        let capacity = input.lockfile.snapshots.len();
        Self {
            input,
            open: Vec::with_capacity(capacity),
            installed: HashSet::with_capacity(capacity),
            left_out: Vec::new(),
            unfit: Vec::new(),
        }
    }

    fn start(&mut self, id: &ImporterId) {
        let Some(importer) = self.input.lockfile.importers.get(id) else { return };
        let groups = self.input.groups;
        let chosen = [
            (groups.production, &importer.dependencies),
            (groups.development, &importer.dev_dependencies),
            (groups.optional, &importer.optional_dependencies),
        ];
        for (included, dependencies) in chosen {
            if included {
                let references = dependencies.values().map(|d: &ImporterDependency| &d.reference);
                self.open.extend(references.filter_map(|r| position(self.input.lockfile, r)));
            }
        }
    }

    fn follow_installed(&mut self) -> Result<(), UnfitPackage> {
        let mut seen: HashSet<usize> = HashSet::with_capacity(self.open.capacity());
        while let Some(at) = self.open.pop() {
            if !seen.insert(at) {
                continue;
            }
            let Some((dep_path, snapshot)) = self.input.lockfile.snapshots.get_index(at) else {
                continue;
            };
            if let Some(incompatibility) = self.incompatibility(dep_path) {
                if snapshot.optional {
                    self.left_out.push(at);
                    continue;
                }
                let dep_path = dep_path.clone();
                if self.input.engine_strict {
                    return Err(UnfitPackage { dep_path, incompatibility });
                }
                self.unfit.push((dep_path, incompatibility));
            }
            self.installed.insert(at);
            self.open.extend(self.children(snapshot));
        }
        Ok(())
    }

    /// What hangs below a package that was left out, and is not installed by another way, is left
    /// out too.
    fn follow_left_out(&mut self) {
        let mut seen: HashSet<usize> = HashSet::new();
        let mut open = self.left_out.clone();
        while let Some(at) = open.pop() {
            if self.installed.contains(&at) || !seen.insert(at) {
                continue;
            }
            if let Some((_, snapshot)) = self.input.lockfile.snapshots.get_index(at) {
                open.extend(self.children(snapshot));
            }
        }
        self.left_out = seen.into_iter().collect();
    }

    fn children(&self, snapshot: &'a Snapshot) -> impl Iterator<Item = usize> + use<'a> {
        let lockfile = self.input.lockfile;
        let optional = self.input.groups.optional.then_some(&snapshot.optional_dependencies);
        snapshot
            .dependencies
            .iter()
            .chain(optional.into_iter().flatten())
            .filter_map(move |(_, reference): (&PackageName, &Reference)| {
                position(lockfile, reference)
            })
    }

    fn incompatibility(&self, dep_path: &DepPath) -> Option<Incompatibility> {
        let info: &PackageInfo = self.input.lockfile.packages.get(dep_path.package_id_str())?;
        platform::check(info, self.input.architectures, self.input.node_version)
    }

    fn finish(mut self) -> Selection {
        let snapshots = &self.input.lockfile.snapshots;
        let mut installed: Vec<usize> = self.installed.into_iter().collect();
        installed.sort_unstable();
        let dep_path = |at: usize| snapshots.get_index(at).map(|(dep_path, _)| dep_path.clone());
        self.unfit.sort_by(|left, right| left.0.cmp(&right.0));
        Selection {
            installed: installed.into_iter().filter_map(dep_path).collect(),
            skipped: self.left_out.into_iter().filter_map(dep_path).collect(),
            unfit: self.unfit,
        }
    }
}

fn position(lockfile: &Lockfile, reference: &Reference) -> Option<usize> {
    match reference {
        Reference::Package(dep_path) => lockfile.snapshots.get_index_of(dep_path),
        Reference::Link(_) => None,
    }
}
