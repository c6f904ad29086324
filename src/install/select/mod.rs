//! Which packages of a lockfile an install needs: by project, by group of dependencies, and by
//! what runs on this machine.
//!
//! The rules are those of pnpm 12.21, found by experiment where they are not written down. An
//! optional package that does not fit the machine is skipped with all that only it needs; one that
//! is not optional is installed all the same, with a warning, or refused where `engineStrict` is
//! set.
//!
//! **Architecture Invariant:** nothing here touches the disk but [`Host::detect`], and nothing runs
//! a program. A walk over the graph uses a stack of its own, so that no lockfile is too deep.

mod current;
mod infer;
mod peers;
mod platform;
#[cfg(test)]
mod tests;

use std::collections::HashMap;

use crate::diagnostic::Diagnostic;
use crate::install::lockfile::{
    DepPath, DependencyGroup, Importer, ImporterId, Lockfile, PackageInfo, Reference, Snapshot,
};
use crate::install::semver::{Range, Version};
use crate::name::escaped;

pub use current::current_lockfile;
pub use peers::leave_out_peers;
pub use platform::{Host, SupportedArchitectures, SupportedPlatforms, cpu_name, os_name};

/// Which groups of dependencies are installed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct IncludedGroups {
    /// `dependencies`.
    pub production: bool,
    /// `devDependencies`.
    pub development: bool,
    /// `optionalDependencies`, of projects and of packages.
    pub optional: bool,
}

impl Default for IncludedGroups {
    fn default() -> Self {
        Self::ALL
    }
}

impl IncludedGroups {
    /// Everything.
    pub const ALL: Self = Self {
        production: true,
        development: true,
        optional: true,
    };

    /// Whether the dependencies of a project in `group` are installed.
    ///
    /// A project's optional dependencies go with its production dependencies: with `--dev` pnpm
    /// leaves them out although it records the group as included, which is then said only of the
    /// optional dependencies of packages.
    pub fn has(self, group: DependencyGroup) -> bool {
        match group {
            DependencyGroup::Production => self.production,
            DependencyGroup::Development => self.development,
            DependencyGroup::Optional => self.optional && self.production,
        }
    }
}

/// What to do with a package that is not optional and does not fit the machine.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Incompatible {
    /// Install it and say so.
    Warn,
    /// `engineStrict`: refuse.
    Refuse,
}

/// What to select for.
#[derive(Debug, Clone, Copy)]
pub struct SelectionOptions<'a> {
    /// The projects to install; `None` means all.
    pub importers: Option<&'a [ImporterId]>,
    /// The groups to install.
    pub included: IncludedGroups,
    /// What is installed for.
    pub platforms: &'a SupportedPlatforms,
    /// The version of Node without `v`, where it is known; `engines.node` is not looked at
    /// otherwise.
    pub node_version: Option<&'a str>,
    /// What to do with packages that must be there and do not fit.
    pub incompatible: Incompatible,
}

/// A package to install.
#[derive(Debug, Clone, Copy)]
pub struct SelectedPackage<'a> {
    /// Key of the snapshot.
    pub dep_path: &'a DepPath,
    /// Its dependencies.
    pub snapshot: &'a Snapshot,
    /// What it is.
    pub package: &'a PackageInfo,
}

/// A package that is installed although it does not fit.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct IncompatiblePackage {
    /// Key of the snapshot.
    pub dep_path: DepPath,
    /// What it wants, and what there is.
    pub mismatch: Mismatch,
}

/// Why a package does not fit.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Mismatch {
    /// `os`, `cpu` or `libc`.
    #[error("it wants {wanted}, and this is {current}")]
    Platform {
        /// What the package says.
        wanted: String,
        /// What is installed for.
        current: String,
    },
    /// `engines.node`.
    #[error("it wants Node {wanted}, and this is {current}")]
    Node {
        /// The range.
        wanted: String,
        /// The version.
        current: String,
    },
}

/// What an install needs.
#[derive(Debug, Clone)]
pub struct Selection<'a> {
    /// The packages to install, in the order of the lockfile's snapshots.
    pub packages: Vec<SelectedPackage<'a>>,
    /// The snapshots that are not installed because they, or those that need them, do not fit;
    /// sorted. This is `skipped` of `.modules.yaml`.
    pub skipped: Vec<&'a DepPath>,
    /// The projects, in the order of their ids.
    pub importers: Vec<(&'a ImporterId, &'a Importer)>,
    /// Packages to warn of, in the order of the lockfile's snapshots.
    pub incompatible: Vec<IncompatiblePackage>,
}

/// Why nothing can be selected.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SelectError {
    /// A project was asked for that is not there.
    #[error("the lockfile has no project {importer:?}")]
    UnknownImporter {
        /// Its id.
        importer: String,
    },
    /// `engineStrict`, and a package that must be there does not fit.
    #[error("the package {package:?} does not fit: {source}")]
    Incompatible {
        /// Key of the snapshot.
        package: String,
        /// Why.
        #[source]
        source: Mismatch,
    },
}

impl Diagnostic for SelectError {
    fn code(&self) -> &'static str {
        match self {
            Self::UnknownImporter { .. } => "ERR_PNPM_OUTDATED_LOCKFILE",
            Self::Incompatible {
                source: Mismatch::Platform { .. },
                ..
            } => "ERR_PNPM_UNSUPPORTED_PLATFORM",
            Self::Incompatible {
                source: Mismatch::Node { .. },
                ..
            } => "ERR_PNPM_UNSUPPORTED_ENGINE",
        }
    }

    fn hint(&self) -> Option<String> {
        match self {
            Self::UnknownImporter { .. } => None,
            Self::Incompatible { .. } => {
                Some("Switch engineStrict off to install it nevertheless".to_owned())
            }
        }
    }
}

/// Selects what `options` asks for.
///
/// # Errors
/// [`SelectError`].
pub fn select<'a>(
    lockfile: &'a Lockfile,
    options: &SelectionOptions<'_>,
) -> Result<Selection<'a>, SelectError> {
    let importers = chosen_importers(lockfile, options.importers)?;
    let mut walk = Walk {
        lockfile,
        options,
        node_ranges: HashMap::new(),
        states: vec![State::Unseen; lockfile.snapshots.len()],
        refused: Vec::new(),
        incompatible: Vec::new(),
    };
    let mut pending = Vec::new();
    for (_, importer) in &importers {
        for reference in importer_references(importer, options.included) {
            pending.extend(walk.index(reference));
        }
    }
    walk.pick(pending)?;
    walk.skip();
    Ok(walk.finish(importers))
}

fn chosen_importers<'a>(
    lockfile: &'a Lockfile,
    chosen: Option<&[ImporterId]>,
) -> Result<Vec<(&'a ImporterId, &'a Importer)>, SelectError> {
    let Some(chosen) = chosen else {
        return Ok(lockfile.importers.iter().collect());
    };
    let mut importers = Vec::with_capacity(chosen.len());
    for id in chosen {
        let found = lockfile.importers.get_key_value(id);
        importers.push(found.ok_or_else(|| SelectError::UnknownImporter {
            importer: escaped(id.as_str()),
        })?);
    }
    importers.sort_by_key(|(id, _)| *id);
    importers.dedup_by_key(|(id, _)| *id);
    Ok(importers)
}

/// What the included groups of a project refer to.
fn importer_references(
    importer: &Importer,
    included: IncludedGroups,
) -> impl Iterator<Item = &Reference> {
    let groups = [
        (DependencyGroup::Production, &importer.dependencies),
        (DependencyGroup::Development, &importer.dev_dependencies),
        (DependencyGroup::Optional, &importer.optional_dependencies),
    ];
    let groups = groups
        .into_iter()
        .filter(move |(group, _)| included.has(*group));
    groups.flat_map(|(_, group)| group.values().map(|dependency| &dependency.reference))
}

/// What a package refers to.
fn snapshot_references(
    snapshot: &Snapshot,
    included: IncludedGroups,
) -> impl Iterator<Item = &Reference> {
    let optional = included.optional.then_some(&snapshot.optional_dependencies);
    let optional = optional.into_iter().flat_map(|group| group.values());
    snapshot.dependencies.values().chain(optional)
}

/// What is known of a snapshot.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    Unseen,
    /// It is installed.
    Picked,
    /// It does not fit.
    Refused,
    /// It is needed only by what does not fit.
    Orphaned,
}

struct Walk<'a, 'o> {
    lockfile: &'a Lockfile,
    options: &'o SelectionOptions<'o>,
    /// Whether a range of `engines.node` allows the version that there is.
    node_ranges: HashMap<&'a str, bool>,
    states: Vec<State>,
    refused: Vec<usize>,
    incompatible: Vec<(usize, Mismatch)>,
}

impl<'a> Walk<'a, '_> {
    fn index(&self, reference: &Reference) -> Option<usize> {
        match reference {
            Reference::Link(_) => None,
            Reference::Package(dep_path) => self.lockfile.snapshots.get_index_of(dep_path),
        }
    }

    fn at(&self, index: usize) -> SelectedPackage<'a> {
        let (dep_path, snapshot) = &self
            .lockfile
            .snapshots
            .get_index(index)
            .expect("invariant: indices come from the snapshots");
        SelectedPackage {
            dep_path,
            snapshot,
            package: &self.lockfile.packages[dep_path.package_id_str()],
        }
    }

    /// Picks everything that is reached through packages that fit.
    fn pick(&mut self, mut pending: Vec<usize>) -> Result<(), SelectError> {
        while let Some(index) = pending.pop() {
            if self.states[index] != State::Unseen {
                continue;
            }
            let selected = self.at(index);
            if let Some(mismatch) = self.mismatch(selected.package) {
                if selected.snapshot.optional {
                    self.states[index] = State::Refused;
                    self.refused.push(index);
                    continue;
                }
                if self.options.incompatible == Incompatible::Refuse {
                    return Err(SelectError::Incompatible {
                        package: escaped(selected.dep_path.as_str()),
                        source: mismatch,
                    });
                }
                self.incompatible.push((index, mismatch));
            }
            self.states[index] = State::Picked;
            self.push_references(selected.snapshot, &mut pending);
        }
        Ok(())
    }

    /// Marks what only packages that do not fit would need.
    fn skip(&mut self) {
        let mut pending = Vec::new();
        for index in self.refused.clone() {
            self.push_references(self.at(index).snapshot, &mut pending);
        }
        while let Some(index) = pending.pop() {
            if self.states[index] == State::Unseen {
                self.states[index] = State::Orphaned;
                self.push_references(self.at(index).snapshot, &mut pending);
            }
        }
    }

    fn push_references(&self, snapshot: &Snapshot, pending: &mut Vec<usize>) {
        for reference in snapshot_references(snapshot, self.options.included) {
            let index = self.index(reference);
            pending.extend(index.filter(|index| self.states[*index] == State::Unseen));
        }
    }

    fn mismatch(&mut self, package: &'a PackageInfo) -> Option<Mismatch> {
        let mismatch = self.options.platforms.mismatch(package);
        mismatch.or_else(|| self.node_mismatch(package))
    }

    fn node_mismatch(&mut self, package: &'a PackageInfo) -> Option<Mismatch> {
        let current = self.options.node_version?;
        let wanted: &str = package.engines.get("node")?;
        let satisfies = self.node_ranges.entry(wanted).or_insert_with(|| {
            let (version, range) = (Version::parse(current), Range::parse(wanted));
            // pnpm allows a pre-release of Node where it would allow the release. A range that is
            // none allows nothing.
            version.zip(range).is_some_and(|(version, range)| {
                range.contains(&version) || range.contains(&version.release())
            })
        });
        (!*satisfies).then(|| Mismatch::Node {
            wanted: escaped(wanted),
            current: escaped(current),
        })
    }

    fn finish(self, importers: Vec<(&'a ImporterId, &'a Importer)>) -> Selection<'a> {
        let mut packages = Vec::with_capacity(self.states.len());
        let mut skipped = Vec::new();
        for (index, state) in self.states.iter().enumerate() {
            match state {
                State::Unseen => {}
                State::Picked => packages.push(self.at(index)),
                State::Refused => skipped.push(self.at(index).dep_path),
                State::Orphaned if self.at(index).snapshot.optional => {
                    skipped.push(self.at(index).dep_path);
                }
                State::Orphaned => {}
            }
        }
        skipped.sort();
        let mut incompatible = self.incompatible.clone();
        incompatible.sort_by_key(|(index, _)| *index);
        let incompatible = incompatible.into_iter().map(|(index, mismatch)| {
            let dep_path = self.at(index).dep_path.clone();
            IncompatiblePackage { dep_path, mismatch }
        });
        Selection {
            incompatible: incompatible.collect(),
            packages,
            skipped,
            importers,
        }
    }
}
