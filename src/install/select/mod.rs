//! Which packages of a lockfile an install needs: by project, by group of dependencies, and by
//! what runs on this machine.
//!
//! The rules are those of pnpm 12.21, found by experiment where they are not written down. A
//! package that does not fit the machine is skipped, with all that only it needs, where only
//! optional dependencies of packages that are there lead to it; else it is installed all the
//! same, with a warning, or refused where `engineStrict` is set.
//!
//! **Architecture Invariant:** nothing here touches the disk but [`Host::detect`], and nothing runs
//! a program. A walk over the graph uses a stack of its own, so that no lockfile is too deep.

mod current;
mod infer;
mod peers;
mod platform;
#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, HashMap};

use crate::diagnostic::Diagnostic;
use crate::install::config::NodeLinker;
use crate::install::lockfile::{
    DepPath, DependencyGroup, Importer, ImporterId, Lockfile, PackageInfo, Platforms, Reference,
    Snapshot,
};
use crate::install::semver::{Range, Version};
use crate::name::escaped;

pub use current::current_lockfile;
use infer::Inferred;
pub use peers::leave_out_peers;
use platform::NameTells;
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
    /// How it is laid out: the hoisted linker leaves out what does not fit and is marked optional
    /// even where a dependency that is not optional leads to it.
    pub node_linker: NodeLinker,
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
            Self::UnknownImporter { .. } => {
                Some("`pacquet install` adds it, without --frozen-lockfile".to_owned())
            }
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
        fits: vec![None; lockfile.snapshots.len()],
    };
    let is_there = walk.there(&importers);
    let wanted = walk.reached(&importers, |_| false);
    let refused: Vec<bool> = (0..wanted.len())
        .map(|index| wanted[index] && !is_there[index] && !walk.fits(index))
        .collect();
    let is_left_out = |index: usize| {
        refused[index] || (!options.included.optional && lockfile.snapshots[index].optional)
    };
    let picked = walk.reached(&importers, is_left_out);
    let without_refused = walk.reached(&importers, |index| refused[index]);
    let mut selection = Selection {
        packages: Vec::with_capacity(lockfile.snapshots.len()),
        skipped: Vec::new(),
        importers,
        incompatible: Vec::new(),
    };
    for index in 0..lockfile.snapshots.len() {
        let package = walk.at(index);
        let is_left_to_the_linker = options.node_linker == NodeLinker::Hoisted
            && picked[index]
            && package.snapshot.optional
            && !walk.fits(index);
        if is_left_to_the_linker || (wanted[index] && !without_refused[index]) {
            selection.skipped.push(package.dep_path);
        }
        if picked[index] && !is_left_to_the_linker {
            selection.packages.push(package);
            walk.warn_or_refuse(package, &mut selection.incompatible)?;
        }
    }
    selection.skipped.sort();
    Ok(selection)
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
    let groups = importer
        .groups()
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

/// Why a package cannot run on the machine: what its manifest says counts, not its name.
pub(crate) fn misfit(
    platforms_of_package: &Platforms,
    engines: &BTreeMap<Box<str>, Box<str>>,
    platforms: &SupportedPlatforms,
    node_version: Option<&str>,
) -> Option<Mismatch> {
    let of_machine = platforms.mismatch_with(platforms_of_package, &Inferred::default());
    of_machine.or_else(|| {
        let (wanted, current) = (engines.get("node")?, node_version?);
        (!allows_node(wanted, current)).then(|| Mismatch::Node {
            wanted: escaped(wanted),
            current: escaped(current),
        })
    })
}

/// pnpm allows a pre-release of Node where it would allow the release. A range that is none allows
/// nothing.
fn allows_node(wanted: &str, current: &str) -> bool {
    let (version, range) = (Version::parse(current), Range::parse(wanted));
    version.zip(range).is_some_and(|(version, range)| {
        range.contains(&version) || range.contains(&version.release())
    })
}

struct Walk<'a, 'o> {
    lockfile: &'a Lockfile,
    options: &'o SelectionOptions<'o>,
    /// Whether a range of `engines.node` allows the version that there is.
    node_ranges: HashMap<&'a str, bool>,
    /// Whether each snapshot fits the machine, as far as it was asked.
    fits: Vec<Option<bool>>,
}

/// Whether something fails without the dependency.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Need {
    Required,
    Optional,
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

    /// Which snapshots are there: what fits, wherever something that is there depends on it, and
    /// what does not, where such a dependency is not optional.
    fn there(&mut self, importers: &[(&'a ImporterId, &'a Importer)]) -> Vec<bool> {
        let included = self.options.included;
        let mut is_there = vec![false; self.lockfile.snapshots.len()];
        let mut pending: Vec<(usize, Need)> = Vec::new();
        for (_, importer) in importers {
            for (group, dependencies) in importer.groups() {
                let need = match group {
                    DependencyGroup::Optional => Need::Optional,
                    DependencyGroup::Production | DependencyGroup::Development => Need::Required,
                };
                let references = dependencies.values().map(|one| &one.reference);
                let indices = references.filter_map(|reference| self.index(reference));
                pending.extend(
                    indices
                        .filter(|_| included.has(group))
                        .map(|index| (index, need)),
                );
            }
        }
        while let Some((index, need)) = pending.pop() {
            if is_there[index] || (need == Need::Optional && !self.fits(index)) {
                continue;
            }
            is_there[index] = true;
            let snapshot = self.at(index).snapshot;
            let required = snapshot.dependencies.values();
            let required = required.map(|reference| (reference, Need::Required));
            let optional = included.optional.then_some(&snapshot.optional_dependencies);
            let optional = optional.into_iter().flat_map(|group| group.values());
            let optional = optional.map(|reference| (reference, Need::Optional));
            pending.extend(
                required
                    .chain(optional)
                    .filter_map(|(reference, need)| Some((self.index(reference)?, need))),
            );
        }
        is_there
    }

    /// Which snapshots the included groups of `importers` lead to, without going through those
    /// that are left out.
    fn reached(
        &self,
        importers: &[(&ImporterId, &Importer)],
        is_left_out: impl Fn(usize) -> bool,
    ) -> Vec<bool> {
        let included = self.options.included;
        let roots = importers.iter().flat_map(|(_, importer)| {
            importer_references(importer, included).filter_map(|reference| self.index(reference))
        });
        let mut pending: Vec<usize> = roots.collect();
        let mut is_reached = vec![false; self.lockfile.snapshots.len()];
        while let Some(index) = pending.pop() {
            if is_reached[index] || is_left_out(index) {
                continue;
            }
            is_reached[index] = true;
            let references = snapshot_references(self.at(index).snapshot, included);
            let indices = references.filter_map(|reference| self.index(reference));
            pending.extend(indices.filter(|index| !is_reached[*index]));
        }
        is_reached
    }

    /// Whether a snapshot fits the machine, if what its name tells counts too.
    fn fits(&mut self, index: usize) -> bool {
        if let Some(fits) = self.fits[index] {
            return fits;
        }
        let package = self.at(index).package;
        let platforms = self.options.platforms;
        let fits = platforms.mismatch(package, NameTells::Platform).is_none()
            && self.node_mismatch(package).is_none();
        self.fits[index] = Some(fits);
        fits
    }

    /// Warns of a package that must be there though it does not fit, or refuses it. What its name
    /// tells of platforms does not count here.
    fn warn_or_refuse(
        &mut self,
        selected: SelectedPackage<'a>,
        incompatible: &mut Vec<IncompatiblePackage>,
    ) -> Result<(), SelectError> {
        let package = selected.package;
        let mismatch = self.options.platforms.mismatch(package, NameTells::Nothing);
        let Some(mismatch) = mismatch.or_else(|| self.node_mismatch(package)) else {
            return Ok(());
        };
        if self.options.incompatible == Incompatible::Refuse {
            return Err(SelectError::Incompatible {
                package: escaped(selected.dep_path.as_str()),
                source: mismatch,
            });
        }
        incompatible.push(IncompatiblePackage {
            dep_path: selected.dep_path.clone(),
            mismatch,
        });
        Ok(())
    }

    fn node_mismatch(&mut self, package: &'a PackageInfo) -> Option<Mismatch> {
        let current = self.options.node_version?;
        let wanted: &str = package.engines.get("node")?;
        let satisfies = self
            .node_ranges
            .entry(wanted)
            .or_insert_with(|| allows_node(wanted, current));
        (!*satisfies).then(|| Mismatch::Node {
            wanted: escaped(wanted),
            current: escaped(current),
        })
    }
}
