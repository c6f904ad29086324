//! What a specifier came to.

use std::path::Path;
use std::sync::Arc;

use super::local;
use crate::install::lockfile::Resolution;
use crate::install::metadata::{Bundled, VersionManifest};
use crate::name::PackageName;

/// By what kind of specifier a package was found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Via {
    /// A registry.
    Registry,
    /// `workspace:`, or a project that stands in for a registry's package.
    Workspace,
    /// A path of this machine.
    Local,
    /// The address of an archive.
    Tarball,
    /// A repository.
    Git,
    /// `runtime:`.
    Runtime,
}

impl Via {
    /// Whether only the project itself may ask for it (`blockExoticSubdeps`).
    pub(super) fn is_exotic(self) -> bool {
        matches!(self, Self::Tarball | Self::Git)
    }

    /// As pnpm calls it.
    pub(super) fn as_str(self) -> &'static str {
        match self {
            Self::Registry => "npm-registry",
            Self::Workspace => "workspace",
            Self::Local => "local-filesystem",
            Self::Tarball => "url",
            Self::Git => "git-repository",
            Self::Runtime => "runtime",
        }
    }
}

/// A package that a specifier came to.
#[derive(Debug, Clone)]
pub struct Resolved {
    /// `name@version`, or what stands after the name in the key of a package of another origin:
    /// `file:…`, an address; `link:` and a path relative to the lockfile's directory.
    pub id: Box<str>,
    /// The registry's version; `None` for other origins.
    pub version: Option<Box<str>>,
    /// The manifest, with hooks applied.
    pub manifest: Arc<VersionManifest>,
    /// What the lockfile has of it.
    pub resolution: Resolution,
    /// By what it was found.
    pub via: Via,
    /// When it was published, where that is known.
    pub published: Option<Box<str>>,
    /// Younger than `minimumReleaseAge` allows, and there is nothing older.
    pub is_immature: bool,
    /// Whether the manifest is of the lockfile, which has no dependencies in it.
    pub is_locked: bool,
}

impl Resolved {
    /// A directory that is copied.
    pub fn copied(path: &Path, manifest: Arc<VersionManifest>, lockfile_directory: &Path) -> Self {
        local::directory(path, manifest, true, lockfile_directory, Via::Local)
    }

    /// The version that peers are held against.
    pub(super) fn peer_version(&self) -> &str {
        self.version.as_deref().unwrap_or(&self.id)
    }

    /// The key of `packages`: with the name in front.
    pub(super) fn package_id(&self) -> String {
        let name = self.manifest.name.as_str();
        let has_name = self
            .id
            .strip_prefix(name)
            .is_some_and(|rest| rest.starts_with('@'));
        if has_name || self.id.starts_with("link:") {
            self.id.to_string()
        } else {
            format!("{name}@{}", self.id)
        }
    }

    /// The name by which it is known to peers: that of the registry, or else the alias.
    pub(super) fn peer_name<'a>(&'a self, alias: &'a PackageName) -> &'a PackageName {
        match self.version {
            Some(_) => &self.manifest.name,
            None => alias,
        }
    }
}

/// A project whose files are copied: its dependencies follow the catalogs of who asks.
pub(super) fn is_injected_project(resolved: &Resolved) -> bool {
    resolved.via == Via::Workspace && resolved.id.starts_with("file:")
}

/// Neither dependencies nor peers are written in its manifest.
pub(super) fn is_leaf(resolved: &Resolved) -> bool {
    let manifest = &resolved.manifest;
    manifest.dependencies.is_empty()
        && manifest.optional_dependencies.is_empty()
        && manifest.peer_dependencies.is_empty()
        && manifest.peer_dependencies_meta.is_empty()
}

/// Dependencies that are to be installed, sorted by alias: alias, specifier, whether optional.
#[expect(clippy::borrowed_box, reason = "who asks keeps the box")]
pub(super) fn dependencies(resolved: &Resolved) -> Vec<(&PackageName, &Box<str>, bool)> {
    let manifest = &resolved.manifest;
    let is_bundled = |name: &PackageName| match &manifest.bundled {
        Bundled::None => false,
        Bundled::All => manifest.dependencies.contains_key(name),
        Bundled::Names(names) => names.iter().any(|bundled| **bundled == *name.as_str()),
    };
    let optional = &manifest.optional_dependencies;
    let plain = manifest
        .dependencies
        .iter()
        .map(|(name, text)| (name, text, optional.contains_key(name)));
    let more = optional
        .iter()
        .filter(|(name, _)| !manifest.dependencies.contains_key(*name))
        .map(|(name, text)| (name, text, true));
    let mut all: Vec<_> = plain
        .chain(more)
        .filter(|(name, ..)| !is_bundled(name))
        .collect();
    all.sort_unstable_by(|left, right| left.0.as_str().cmp(right.0.as_str()));
    all
}
