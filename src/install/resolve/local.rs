//! Packages of this machine: projects of the workspace, directories and archives.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Component, Path, PathBuf};
use std::sync::Arc;

use node_semver::{Range, Version};

use super::error::ResolveFault;
use super::resolved::{Resolved, Via};
use crate::install::lockfile::{Platforms, Resolution};
use crate::install::manifest::DependencyMap;
use crate::install::metadata::{Bundled, VersionManifest};
use crate::install::pick::Selector;
use crate::name::PackageName;

/// A project that others may depend on.
#[derive(Debug, Clone)]
pub struct WorkspacePackage {
    /// Where a dependency on it leads: the project's directory, or its `publishConfig.directory`.
    pub directory: PathBuf,
    /// Its manifest as a package's.
    pub manifest: Arc<VersionManifest>,
}

/// The projects of a workspace: name → version → project.
#[derive(Debug, Clone, Default)]
pub struct WorkspacePackages(BTreeMap<Box<str>, BTreeMap<Box<str>, WorkspacePackage>>);

/// What stands in front of a path in specifiers of directories, or may.
pub(super) const DIRECTORY_PROTOCOLS: [&str; 3] = ["workspace:", "link:", "file:"];

impl WorkspacePackages {
    /// Adds a project; of two with the same name and version the first counts.
    pub fn add(&mut self, package: WorkspacePackage) {
        let manifest = &package.manifest;
        let (name, version) = (manifest.name.as_str().into(), manifest.version.clone());
        let versions = self.0.entry(name).or_default();
        versions.entry(version).or_insert(package);
    }

    /// The project that `name` and `range` (as after `workspace:`) stand for.
    pub(super) fn find(
        &self,
        directory: &Path,
        name: &str,
        range: &str,
        specifier: &str,
    ) -> Result<&WorkspacePackage, ResolveFault> {
        let Some(versions) = self.0.get(name) else {
            return Err(ResolveFault::NoProject {
                directory: directory.to_path_buf(),
                name: name.to_owned(),
                specifier: specifier.to_owned(),
                projects: self.0.keys().map(ToString::to_string).collect(),
            });
        };
        fitting(versions, range).ok_or_else(|| ResolveFault::NoProjectVersion {
            directory: directory.to_path_buf(),
            name: name.to_owned(),
            specifier: specifier.to_owned(),
            versions: versions.keys().rev().map(ToString::to_string).collect(),
        })
    }

    /// The project to whose directory a path leads.
    pub(super) fn at(&self, directory: &Path) -> Option<&WorkspacePackage> {
        let mut packages = self.0.values().flat_map(BTreeMap::values);
        packages.find(|package| package.directory == *directory)
    }

    /// The project that stands in for a registry's package.
    pub(super) fn instead_of(&self, name: &str, selector: &Selector) -> Option<&WorkspacePackage> {
        let versions = self.0.get(name)?;
        match selector {
            Selector::Tag(_) => fitting(versions, "*"),
            Selector::Version(version) => versions.get(&**version),
            Selector::Range { text, .. } => fitting(versions, text),
        }
    }

    /// The project that is used though a registry has `version`: it has the same, or a later one
    /// that is asked for.
    pub(super) fn in_front_of(
        &self,
        name: &str,
        version: &str,
        selector: &Selector,
    ) -> Option<&WorkspacePackage> {
        if let Some(same) = self.0.get(name)?.get(version) {
            return Some(same);
        }
        let local = self.instead_of(name, selector)?;
        let parse = |text: &str| Version::parse(text).ok();
        (parse(&local.manifest.version)? > parse(version)?).then_some(local)
    }
}

/// The highest version that a range allows; `*`, `^` and `~` allow pre-releases too, and a tag is
/// that of whatever version a project has.
fn fitting<'v>(
    versions: &'v BTreeMap<Box<str>, WorkspacePackage>,
    range: &str,
) -> Option<&'v WorkspacePackage> {
    let parsed = Range::parse(range);
    if matches!(range, "*" | "^" | "~" | "") || (parsed.is_err() && !versions.contains_key(range)) {
        let highest = versions.iter().max_by(|left, right| {
            let parse = |text: &str| Version::parse(text).ok();
            parse(left.0).cmp(&parse(right.0))
        });
        return highest.map(|(_, package)| package);
    }
    if let Some(package) = versions.get(range) {
        return Some(package);
    }
    let range = parsed.ok()?;
    let allowed = versions
        .iter()
        .filter_map(|(text, package)| Some((Version::parse(&**text).ok()?, package)));
    allowed
        .filter(|(version, _)| range.satisfies(version))
        .max_by(|left, right| left.0.cmp(&right.0))
        .map(|(_, package)| package)
}

/// A dependency on a project.
pub(super) fn of_workspace(
    package: &WorkspacePackage,
    injected: bool,
    lockfile_directory: &Path,
) -> Resolved {
    directory(
        &package.directory,
        Arc::clone(&package.manifest),
        injected,
        lockfile_directory,
        Via::Workspace,
    )
}

/// A directory, as a link or as a package that is copied.
pub(super) fn directory(
    target: &Path,
    manifest: Arc<VersionManifest>,
    copied: bool,
    lockfile_directory: &Path,
    via: Via,
) -> Resolved {
    let relative = relative_text(lockfile_directory, target);
    let id = match (copied, relative.is_empty()) {
        (true, _) => format!("file:{relative}"),
        (false, true) => "link:.".to_owned(),
        (false, false) => format!("link:{relative}"),
    };
    Resolved {
        id: id.into(),
        version: None,
        manifest,
        resolution: Resolution::Directory {
            directory: relative.into(),
        },
        via,
        published: None,
        is_immature: false,
        is_locked: false,
    }
}

/// Whether `path` is `base` or below it.
pub(super) fn is_below(base: &Path, path: &Path) -> bool {
    names(path).starts_with(&names(base))
}

/// `target` relative to `base`, with slashes; empty where they are the same.
pub fn relative_text(base: &Path, target: &Path) -> String {
    let (base, target) = (names(base), names(target));
    let common = base
        .iter()
        .zip(&target)
        .take_while(|(left, right)| left == right)
        .count();
    let climb = base[common..].iter().map(|_| "..".to_owned());
    let parts: Vec<String> = climb.chain(target[common..].iter().cloned()).collect();
    parts.join("/")
}

/// The names of a path, with `.` and `..` worked out.
fn names(path: &Path) -> Vec<String> {
    let mut names = Vec::new();
    for component in path.components() {
        match component {
            Component::Normal(name) => names.push(name.to_string_lossy().into_owned()),
            Component::ParentDir => {
                names.pop();
            }
            Component::Prefix(_) | Component::RootDir | Component::CurDir => {}
        }
    }
    names
}

/// The absolute path that a relative one means, with `.` and `..` worked out.
pub(super) fn absolute(base: &Path, path: &str) -> PathBuf {
    let mut out = PathBuf::from("/");
    out.extend(names(&base.join(path)));
    out
}

/// A manifest that says nothing but name and version.
pub(super) fn bare_manifest(name: PackageName, version: Box<str>) -> VersionManifest {
    VersionManifest {
        name,
        version,
        dependencies: DependencyMap::new(),
        optional_dependencies: DependencyMap::new(),
        peer_dependencies: DependencyMap::new(),
        peer_dependencies_meta: BTreeMap::new(),
        injected: BTreeSet::new(),
        bundled: Bundled::None,
        has_bin: false,
        engines: BTreeMap::new(),
        platforms: Platforms::default(),
        deprecated: None,
        has_install_script: false,
        dist: None,
        json: None,
    }
}
