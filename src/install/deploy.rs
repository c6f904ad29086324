//! A project of a workspace with everything that it needs, to be installed somewhere else: what is
//! linked in the workspace becomes a package made of a directory.
//!
//! **Architecture Invariant:** nothing is resolved: every version is the one in the workspace's
//! lockfile. What comes of it is text; nothing is written here.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::path::{Path, PathBuf};

use indexmap::IndexMap;
use serde_json::{Map, Value};

use super::layout::IncludedGroups;
use super::lockfile::{
    DepPath, DepPathError, Importer, ImporterDependency, ImporterId, Lockfile, PackageId,
    PackageInfo, Platforms, Reference, Resolution, Snapshot,
};
use super::manifest::{Manifest, ManifestError};
use super::resolve::relative_text;
use super::workspace::Project;
use crate::diagnostic::Diagnostic;
use crate::lexical;
use crate::name::{PackageName, escaped};

/// Settings of a lockfile that hold for what is deployed too.
const SETTINGS_KEPT: [&str; 2] = ["autoInstallPeers", "excludeLinksFromLockfile"];

/// Why a project cannot be deployed.
#[derive(Debug, thiserror::Error)]
pub enum DeployError {
    /// The lockfile does not know it.
    #[error("The lockfile has no project {}", directory.display())]
    NotLocked {
        /// Its directory.
        directory: PathBuf,
    },
    /// The path of a project cannot stand in a lockfile.
    #[error("{} cannot be named in a lockfile", directory.display())]
    Path {
        /// Its directory.
        directory: PathBuf,
        /// What is wrong.
        #[source]
        source: DepPathError,
    },
    /// The manifest of something linked.
    #[error(transparent)]
    Manifest(#[from] ManifestError),
    /// What is linked has no name.
    #[error("{} has no name that a package may have", directory.display())]
    Name {
        /// Its directory.
        directory: PathBuf,
    },
    /// The lockfile lacks something that it names.
    #[error("The lockfile has no entry for {}", escaped(id))]
    Missing {
        /// What.
        id: Box<str>,
    },
}

impl Diagnostic for DeployError {
    fn code(&self) -> &'static str {
        match self {
            Self::NotLocked { .. } => "ERR_PNPM_OUTDATED_LOCKFILE",
            Self::Path { .. } | Self::Name { .. } => "ERR_PACQUET_DEPLOY",
            Self::Manifest(error) => error.code(),
            Self::Missing { .. } => "ERR_PNPM_LOCKFILE_MISSING_DEPENDENCY",
        }
    }

    fn hint(&self) -> Option<String> {
        match self {
            Self::NotLocked { .. } | Self::Missing { .. } => {
                Some("run `pacquet install` in the workspace first".to_owned())
            }
            Self::Path { .. } => {
                Some("move the workspace to a path without such characters".to_owned())
            }
            Self::Manifest(error) => error.hint(),
            Self::Name { .. } => Some("give it a name in its package.json".to_owned()),
        }
    }
}

/// A workspace, and where one of its projects goes.
#[derive(Debug, Clone, Copy)]
pub struct Deploy<'a> {
    /// The workspace's lockfile.
    pub lockfile: &'a Lockfile,
    /// The directory of the lockfile.
    pub root: &'a Path,
    /// All projects.
    pub projects: &'a [Project],
    /// The one that is deployed.
    pub project: &'a Project,
    /// Where to, absolute.
    pub target: &'a Path,
    /// Which of its dependencies come along.
    pub groups: IncludedGroups,
}

/// What is written at the target.
#[derive(Debug)]
pub struct Deployed {
    /// The lockfile.
    pub lockfile: Lockfile,
    /// The fields of the manifest that name dependencies.
    pub manifest_fields: Map<String, Value>,
    /// Packages made of directories, whose scripts are the workspace's own.
    pub own_packages: BTreeSet<Box<str>>,
}

/// What is still to be gone through.
enum Step {
    Snapshot(DepPath, DepPath),
    Project(PathBuf, DepPath),
}

struct Work<'a> {
    deploy: Deploy<'a>,
    deployed: &'a Importer,
    steps: VecDeque<Step>,
    known: BTreeSet<DepPath>,
    packages: BTreeMap<PackageId, PackageInfo>,
    snapshots: BTreeMap<DepPath, Snapshot>,
    own_packages: BTreeSet<Box<str>>,
}

impl Deploy<'_> {
    /// Makes the lockfile and the manifest of the target.
    ///
    /// # Errors
    /// The lockfile does not know the project, or something linked cannot become a package.
    pub fn run(&self) -> Result<Deployed, DeployError> {
        let deployed = importer_of(self.lockfile, &self.project.id, &self.project.directory)?;
        let mut work = Work {
            deploy: *self,
            deployed,
            steps: VecDeque::new(),
            known: BTreeSet::new(),
            packages: BTreeMap::new(),
            snapshots: BTreeMap::new(),
            own_packages: BTreeSet::new(),
        };
        let groups = self.groups;
        let mut importer = Importer {
            dependencies_meta: deployed.dependencies_meta.clone(),
            ..Importer::default()
        };
        if groups.production {
            importer.dependencies = work.group(&deployed.dependencies)?;
        }
        if groups.development {
            importer.dev_dependencies = work.group(&deployed.dev_dependencies)?;
        }
        if groups.optional {
            importer.optional_dependencies = work.group(&deployed.optional_dependencies)?;
        }
        while let Some(step) = work.steps.pop_front() {
            match step {
                Step::Snapshot(old, new) => work.snapshot(&old, new)?,
                Step::Project(directory, new) => work.project(&directory, new)?,
            }
        }
        let manifest_fields = fields(&importer);
        let settings = self.lockfile.settings.clone().map(|mut settings| {
            settings.retain(|name, _| SETTINGS_KEPT.contains(&&**name));
            settings
        });
        let lockfile = Lockfile {
            version: self.lockfile.version.clone(),
            settings,
            patched_dependencies: self.lockfile.patched_dependencies.clone(),
            importers: BTreeMap::from([(ImporterId(None), importer)]),
            packages: work.packages.into_iter().collect(),
            snapshots: work.snapshots.into_iter().collect(),
            ..Lockfile::default()
        };
        Ok(Deployed {
            lockfile,
            manifest_fields,
            own_packages: work.own_packages,
        })
    }
}

fn importer_of<'a>(
    lockfile: &'a Lockfile,
    id: &ImporterId,
    directory: &Path,
) -> Result<&'a Importer, DeployError> {
    lockfile
        .importers
        .get(id)
        .ok_or_else(|| DeployError::NotLocked {
            directory: directory.to_owned(),
        })
}

impl Work<'_> {
    fn group(
        &mut self,
        group: &BTreeMap<PackageName, ImporterDependency>,
    ) -> Result<BTreeMap<PackageName, ImporterDependency>, DeployError> {
        let base = self.deploy.project.directory.clone();
        let mut out = BTreeMap::new();
        for (alias, dependency) in group {
            let reference = self.reference(&base, &dependency.reference)?;
            let specifier = specifier(alias, &reference);
            out.insert(
                alias.clone(),
                ImporterDependency {
                    specifier,
                    reference,
                },
            );
        }
        Ok(out)
    }

    /// The same reference at the target. A link is relative to `base`.
    fn reference(&mut self, base: &Path, reference: &Reference) -> Result<Reference, DeployError> {
        let new = match reference {
            Reference::Package(old) => {
                let new = self.moved(old)?;
                if self.known.insert(new.clone()) {
                    self.steps
                        .push_back(Step::Snapshot(old.clone(), new.clone()));
                }
                new
            }
            Reference::Link(path) => {
                let directory = lexical::normal(&base.join(&**path));
                let new = own(&name_of(&self.deploy, &directory)?, &directory, "")?;
                if self.known.insert(new.clone()) {
                    self.steps.push_back(Step::Project(directory, new.clone()));
                }
                new
            }
        };
        Ok(Reference::Package(new))
    }

    fn references(
        &mut self,
        base: &Path,
        references: &BTreeMap<PackageName, Reference>,
    ) -> Result<BTreeMap<PackageName, Reference>, DeployError> {
        let references = references.iter();
        let moved = references
            .map(|(alias, reference)| Ok((alias.clone(), self.reference(base, reference)?)));
        moved.collect()
    }

    /// A package made of a directory is named after where that is.
    fn moved(&self, old: &DepPath) -> Result<DepPath, DeployError> {
        match &self.info(old)?.resolution {
            Resolution::Directory { directory } => {
                let directory = lexical::normal(&self.deploy.root.join(&**directory));
                own(&old.name(), &directory, old.peers_suffix())
            }
            _ => Ok(old.clone()),
        }
    }

    fn info(&self, path: &DepPath) -> Result<&PackageInfo, DeployError> {
        let id = path.package_id();
        let found = self.deploy.lockfile.packages.get(&id);
        found.ok_or_else(|| DeployError::Missing {
            id: id.as_str().into(),
        })
    }

    fn snapshot(&mut self, old: &DepPath, new: DepPath) -> Result<(), DeployError> {
        let lockfile = self.deploy.lockfile;
        let found = lockfile.snapshots.get(old);
        let snapshot = found.ok_or_else(|| DeployError::Missing {
            id: old.as_str().into(),
        })?;
        let base = self.deploy.root.to_owned();
        let moved = Snapshot {
            dependencies: self.references(&base, &snapshot.dependencies)?,
            optional_dependencies: self.references(&base, &snapshot.optional_dependencies)?,
            transitive_peer_dependencies: snapshot.transitive_peer_dependencies.clone(),
            optional: snapshot.optional,
            other: snapshot.other.clone(),
        };
        let mut info = self.info(old)?.clone();
        if let Resolution::Directory { directory } = &mut info.resolution {
            let source = lexical::normal(&base.join(&**directory));
            *directory = relative_text(self.deploy.target, &source).into();
            self.own_packages.insert(new.package_id_str().into());
        }
        self.packages.insert(new.package_id(), info);
        self.snapshots.insert(new, moved);
        Ok(())
    }

    /// A project that was linked, as a package of its dependencies. Its peers are those that the
    /// deployed project has, or that it is developed with.
    fn project(&mut self, directory: &Path, new: DepPath) -> Result<(), DeployError> {
        let manifest = Manifest::read(directory)?;
        let projects = self.deploy.projects;
        let project = projects.iter().find(|one| one.directory == directory);
        let importer = match project {
            Some(project) => importer_of(self.deploy.lockfile, &project.id, directory)?.clone(),
            None => Importer::default(),
        };
        let mut snapshot = Snapshot::default();
        for (alias, dependency) in &importer.dependencies {
            let reference = self.reference(directory, &dependency.reference)?;
            snapshot.dependencies.insert(alias.clone(), reference);
        }
        for (alias, dependency) in &importer.optional_dependencies {
            let reference = self.reference(directory, &dependency.reference)?;
            snapshot
                .optional_dependencies
                .insert(alias.clone(), reference);
        }
        for alias in manifest.peer_dependencies.keys() {
            let of_deployed = self.deployed.get(alias.as_str());
            let of_deployed = of_deployed.map(|found| (&*self.deploy.project.directory, found));
            let own = importer.dev_dependencies.get(alias);
            let found = of_deployed.or(own.map(|found| (directory, found)));
            if let Some((base, found)) = found {
                let reference = found.reference.clone();
                let base = base.to_owned();
                let reference = self.reference(&base, &reference)?;
                snapshot.dependencies.insert(alias.clone(), reference);
            }
        }
        let peers = manifest.peer_dependencies.iter();
        let info = PackageInfo {
            name: new.name(),
            version: manifest.version.clone(),
            resolution: Resolution::Directory {
                directory: relative_text(self.deploy.target, directory).into(),
            },
            engines: BTreeMap::new(),
            platforms: Platforms::default(),
            deprecated: None,
            has_bin: manifest.bin.is_some() || manifest.bin_directory.is_some(),
            bundled_dependencies: None,
            peer_dependencies: peers
                .map(|(alias, range)| (alias.as_str().into(), range.clone()))
                .collect(),
            peer_dependencies_meta: manifest.peer_dependencies_meta.clone().map(Value::Object),
            other: IndexMap::new(),
            other_of_resolution: IndexMap::new(),
            version_is_written: false,
        };
        self.own_packages.insert(new.package_id_str().into());
        self.packages.insert(new.package_id(), info);
        self.snapshots.insert(new, snapshot);
        Ok(())
    }
}

/// The package that is made of `directory`.
fn own(name: &PackageName, directory: &Path, suffix: &str) -> Result<DepPath, DeployError> {
    let text = format!("{}@file://{}{suffix}", name.as_str(), directory.display());
    DepPath::new(&text).map_err(|source| DeployError::Path {
        directory: directory.to_owned(),
        source,
    })
}

fn name_of(deploy: &Deploy<'_>, directory: &Path) -> Result<PackageName, DeployError> {
    let mut projects = deploy.projects.iter();
    let name = match projects.find(|project| project.directory == directory) {
        Some(project) => project.manifest.name.clone(),
        None => Manifest::read(directory)?.name,
    };
    let name = name.and_then(|name| PackageName::new(&name).ok());
    name.ok_or_else(|| DeployError::Name {
        directory: directory.to_owned(),
    })
}

/// What the manifest of the target has for a dependency.
fn specifier(alias: &PackageName, reference: &Reference) -> Box<str> {
    let Reference::Package(path) = reference else {
        return "".into();
    };
    if !path.is_from_registry() {
        return path.package_id_str().into();
    }
    match path.name_str() == alias.as_str() {
        true => path.version().into(),
        false => format!("npm:{}", path.package_id_str()).into(),
    }
}

fn fields(importer: &Importer) -> Map<String, Value> {
    let mut fields = Map::new();
    for (name, group) in [
        ("dependencies", &importer.dependencies),
        ("devDependencies", &importer.dev_dependencies),
        ("optionalDependencies", &importer.optional_dependencies),
    ] {
        let entries = group.iter();
        let entries = entries.map(|(alias, dependency)| {
            let specifier = Value::from(&*dependency.specifier);
            (alias.as_str().to_owned(), specifier)
        });
        fields.insert(name.to_owned(), Value::Object(entries.collect()));
    }
    fields
}
