//! Where the content of each selected package comes from, and by what the store knows it.

use std::collections::HashMap;
use std::path::{Path, PathBuf};

use super::error::InstallError;
use super::inputs::platforms;
use super::patches::Patches;
use super::runtimes;
use crate::install::config::{Config, prefixed_version};
use crate::install::lockfile::{DepPath, Resolution};
use crate::install::select::Selection;
use crate::name::{PackageName, RelativePath};
use crate::store::{Integrity, PackageKey};

/// Where a package's content comes from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Source {
    /// The canonical address of its registry.
    Registry {
        /// Name in the registry.
        name: PackageName,
        /// Version.
        version: Box<str>,
    },
    /// An archive at an address of its own.
    Address(Box<str>),
    /// An archive of this machine.
    LocalArchive(PathBuf),
    /// A directory of this machine; read anew at every install.
    LocalDirectory(PathBuf),
    /// A commit, through the git program.
    Git {
        /// Address of the repository.
        repository: Box<str>,
        /// Hexadecimal.
        commit: Box<str>,
    },
}

/// A package that an install needs.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Wanted {
    pub(super) key: PackageKey,
    /// For people: the package's id.
    pub(super) label: String,
    pub(super) source: Source,
    pub(super) integrity: Option<Integrity>,
    pub(super) patch_hash: Option<Box<str>>,
    pub(super) subdirectory: Option<RelativePath>,
    /// A code host's archive of a commit: everything of the repository, of which only what would
    /// be published is the package.
    pub(super) is_git_hosted: bool,
    /// A runtime's archive has no manifest: this is it.
    pub(super) runtime_manifest: Option<Box<str>>,
}

/// Every package of a selection once, and which of them each snapshot shows.
#[derive(Debug, Default)]
pub(super) struct WantedPackages {
    pub(super) packages: Vec<Wanted>,
    /// Snapshot and place in `packages`.
    pub(super) snapshots: Vec<(DepPath, usize)>,
}

impl WantedPackages {
    /// Works out what `selection` needs. Snapshots that differ only in their peers share a package.
    pub(super) fn of(
        selection: &Selection<'_>,
        patches: &Patches,
        config: &Config,
    ) -> Result<Self, InstallError> {
        let mut wanted = Self::default();
        let prepares = !config.builds.ignore_scripts;
        let mut known: HashMap<(Box<str>, Option<Box<str>>), usize> =
            HashMap::with_capacity(selection.packages.len());
        for selected in &selection.packages {
            let (dep_path, info) = (selected.dep_path, selected.package);
            let id = dep_path.package_id_str();
            let patch_hash: Option<Box<str>> = dep_path.patch_hash().map(Into::into);
            let at = match known.get(&(id.into(), patch_hash.clone())) {
                Some(at) => *at,
                None => {
                    if let Some(hash) = &patch_hash
                        && patches.by_hash(hash).is_none()
                    {
                        let package = dep_path.as_str().to_owned();
                        return Err(InstallError::PatchMissing { package });
                    }
                    let content = Content {
                        id,
                        name: &info.name,
                        version: info.version.as_deref(),
                        resolution: &info.resolution,
                    };
                    let package = match &info.resolution {
                        Resolution::Other(value) => {
                            let (name, version) = (content.name, content.version);
                            runtimes::wanted(id, name, version, value, &platforms(config))?
                        }
                        _ => {
                            let directory = &config.lockfile_directory;
                            content.wanted(patch_hash.clone(), directory, prepares)?
                        }
                    };
                    wanted.packages.push(package);
                    known.insert((id.into(), patch_hash), wanted.packages.len() - 1);
                    wanted.packages.len() - 1
                }
            };
            wanted.snapshots.push((dep_path.clone(), at));
        }
        Ok(wanted)
    }
}

/// What decides where a package's content comes from.
#[derive(Debug, Clone, Copy)]
pub(super) struct Content<'a> {
    /// The package's id.
    pub(super) id: &'a str,
    pub(super) name: &'a PackageName,
    pub(super) version: Option<&'a str>,
    pub(super) resolution: &'a Resolution,
}

impl Content<'_> {
    /// What has to be fetched. `prepares`: packages of repositories may be built.
    pub(super) fn wanted(
        &self,
        patch_hash: Option<Box<str>>,
        lockfile_directory: &Path,
        prepares: bool,
    ) -> Result<Wanted, InstallError> {
        let origin = origin(self, lockfile_directory)?;
        let subdirectory = origin
            .path
            .map(|path| subdirectory_of(self.id, path))
            .transpose()?
            .flatten();
        let mut pin = origin.pinned_by;
        if let Some(path) = &subdirectory {
            pin.push_str("&path:");
            pin.push_str(path.as_str());
        }
        let is_of_repository = origin.is_git_hosted || matches!(origin.source, Source::Git { .. });
        if is_of_repository && prepares {
            // Its own build may have made other files of it than those of the commit.
            pin.push_str("&prepared");
        }
        let key = PackageKey::new(&pin, self.id, patch_hash.as_deref());
        Ok(Wanted {
            key,
            label: self.id.to_owned(),
            source: origin.source,
            integrity: origin.integrity,
            patch_hash,
            subdirectory,
            is_git_hosted: origin.is_git_hosted,
            runtime_manifest: None,
        })
    }
}

/// What a resolution says of a package's content.
struct Origin<'a> {
    source: Source,
    integrity: Option<Integrity>,
    /// The part of the key that no other content has.
    pinned_by: String,
    path: Option<&'a str>,
    is_git_hosted: bool,
}

fn origin<'a>(
    content: &Content<'a>,
    lockfile_directory: &Path,
) -> Result<Origin<'a>, InstallError> {
    let id = content.id;
    let local = |source, pinned_by, path| Origin {
        source,
        integrity: None,
        pinned_by,
        path,
        is_git_hosted: false,
    };
    match content.resolution {
        Resolution::Tarball {
            integrity,
            tarball,
            path,
            git_hosted,
        } => {
            let integrity = integrity.as_deref().map(Integrity::parse).transpose();
            let integrity = integrity.map_err(|source| InstallError::Package {
                package: id.to_owned(),
                source,
            })?;
            let pinned_by = integrity.as_ref().map_or_else(
                || format!("address:{}", tarball.as_deref().unwrap_or_default()),
                ToString::to_string,
            );
            Ok(Origin {
                source: archive_source(content, tarball.as_deref(), lockfile_directory)?,
                integrity,
                pinned_by,
                path: path.as_deref(),
                is_git_hosted: *git_hosted,
            })
        }
        Resolution::Git { repo, commit, path } => {
            let source = Source::Git {
                repository: repo.clone(),
                commit: commit.clone(),
            };
            Ok(local(
                source,
                format!("git:{repo}#{commit}"),
                path.as_deref(),
            ))
        }
        Resolution::Directory { directory } => {
            let path = lockfile_directory.join(&**directory);
            let pinned_by = format!("directory:{}", path.display());
            Ok(local(Source::LocalDirectory(path), pinned_by, None))
        }
        Resolution::Other(value) => {
            let kind = value.get("type").and_then(|kind| kind.as_str());
            Err(InstallError::Unsupported {
                package: id.to_owned(),
                kind: kind.unwrap_or("unknown").to_owned(),
            })
        }
    }
}

/// The directory of a package within an archive or a repository; `None` for its root.
fn subdirectory_of(label: &str, path: &str) -> Result<Option<RelativePath>, InstallError> {
    let path = path.trim_start_matches('/');
    if path.is_empty() {
        return Ok(None);
    }
    RelativePath::new(path)
        .map(Some)
        .map_err(|_| InstallError::Unsupported {
            package: label.to_owned(),
            kind: format!("path {path}"),
        })
}

fn archive_source(
    content: &Content<'_>,
    tarball: Option<&str>,
    lockfile_directory: &Path,
) -> Result<Source, InstallError> {
    match tarball {
        Some(address) => match address.strip_prefix("file:") {
            Some(path) => Ok(Source::LocalArchive(lockfile_directory.join(path))),
            None => Ok(Source::Address(address.into())),
        },
        None => {
            let of_prefix = || Some(prefixed_version(content.id)?.1);
            let version =
                content
                    .version
                    .or_else(of_prefix)
                    .ok_or_else(|| InstallError::NoVersion {
                        package: content.id.to_owned(),
                    })?;
            Ok(Source::Registry {
                name: content.name.clone(),
                version: version.into(),
            })
        }
    }
}
