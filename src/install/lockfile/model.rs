//! The lockfile's nouns, in pnpm's terms.

use std::collections::BTreeMap;

use indexmap::IndexMap;

use crate::name::{PackageName, RelativePath};

/// Key of `snapshots`: `name@version`, then `(patch_hash=…)` and the peers' suffixes in
/// parentheses. The text is kept as it stood.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct DepPath(pub(crate) Box<str>);

impl DepPath {
    /// The text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// Key of `packages`: a [`DepPath`] without its suffixes.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PackageId(pub(crate) Box<str>);

impl PackageId {
    /// The text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// Path of a project relative to the lockfile's directory; `None` is the root, written `.`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ImporterId(pub Option<RelativePath>);

impl ImporterId {
    /// As written in the lockfile: `.` for the root.
    pub fn as_str(&self) -> &str {
        self.0.as_ref().map_or(".", RelativePath::as_str)
    }
}

/// What a dependency resolved to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Reference {
    /// A snapshot of this lockfile.
    Package(DepPath),
    /// The path after `link:`. In an importer it is relative to the importer, in a snapshot to the
    /// lockfile's directory. It may climb (`../b`); it is only ever the target of a symlink.
    Link(Box<str>),
}

/// A dependency of an importer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ImporterDependency {
    /// As in `package.json`.
    pub specifier: Box<str>,
    /// `version` of the lockfile.
    pub reference: Reference,
}

/// The three groups of dependencies of an importer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum DependencyGroup {
    /// `dependencies`.
    Production,
    /// `devDependencies`.
    Development,
    /// `optionalDependencies`.
    Optional,
}

/// A project.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Importer {
    /// `dependencies`, sorted by alias.
    pub dependencies: BTreeMap<PackageName, ImporterDependency>,
    /// `devDependencies`.
    pub dev_dependencies: BTreeMap<PackageName, ImporterDependency>,
    /// `optionalDependencies`.
    pub optional_dependencies: BTreeMap<PackageName, ImporterDependency>,
    /// `dependenciesMeta`: alias → `injected`, and whatever else stands there, kept.
    pub dependencies_meta: Option<serde_json::Value>,
    /// `publishDirectory`.
    pub publish_directory: Option<Box<str>>,
    /// `linkDirectory: false`: links lead to the project, not to its publish directory.
    pub links_project: bool,
    /// Whatever else stands there, kept.
    pub other: IndexMap<Box<str>, serde_json::Value>,
}

impl Importer {
    /// Its groups, in the order of the lockfile's grammar.
    pub fn groups(&self) -> [(DependencyGroup, &BTreeMap<PackageName, ImporterDependency>); 3] {
        [
            (DependencyGroup::Production, &self.dependencies),
            (DependencyGroup::Development, &self.dev_dependencies),
            (DependencyGroup::Optional, &self.optional_dependencies),
        ]
    }

    /// The same, to be changed.
    pub fn groups_mut(&mut self) -> [&mut BTreeMap<PackageName, ImporterDependency>; 3] {
        [
            &mut self.dependencies,
            &mut self.dev_dependencies,
            &mut self.optional_dependencies,
        ]
    }

    /// The dependencies of all groups, one group after the other.
    pub fn all(&self) -> impl Iterator<Item = (&PackageName, &ImporterDependency)> {
        self.groups().into_iter().flat_map(|(_, group)| group)
    }

    /// The dependency with this alias, whatever its group.
    pub fn get(&self, alias: &str) -> Option<&ImporterDependency> {
        self.groups()
            .into_iter()
            .find_map(|(_, group)| group.get(alias))
    }
}

/// Where a package's content comes from, and what pins it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Resolution {
    /// From a registry (`tarball: None`) or from an address of its own.
    Tarball {
        /// The SRI string as it stood; only a git host's tarball may lack it.
        integrity: Option<Box<str>>,
        /// `http(s)://…` or `file:…`; `None`: the registry's canonical address.
        tarball: Option<Box<str>>,
        /// `gitHosted: true`: a code host's archive of a commit.
        git_hosted: bool,
        /// The directory of the package within the archive.
        path: Option<Box<str>>,
    },
    /// `type: git`.
    Git {
        /// Address of the repository.
        repo: Box<str>,
        /// 40 or 64 hexadecimal digits.
        commit: Box<str>,
        /// The directory of the package within the repository.
        path: Option<Box<str>>,
    },
    /// `type: directory`, relative to the lockfile's directory.
    Directory {
        /// May climb (`../d`).
        directory: Box<str>,
    },
    /// A form that this program does not install (`binary`, `variations`, `custom:…`), kept for
    /// writing.
    Other(serde_json::Value),
}

/// `os`, `cpu` and `libc` of a package: lists with `!` for negation; `None` means any.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Platforms {
    /// As `process.platform` of Node.
    pub os: Option<Vec<Box<str>>>,
    /// As `process.arch` of Node.
    pub cpu: Option<Vec<Box<str>>>,
    /// `glibc` or `musl`.
    pub libc: Option<Vec<Box<str>>>,
    /// Whether `libc` stood there as a plain string and not as a list (kept for writing).
    pub libc_is_scalar: bool,
    /// The same of `os`.
    pub os_is_scalar: bool,
    /// The same of `cpu`.
    pub cpu_is_scalar: bool,
}

/// `packages` entry: what does not depend on peers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PackageInfo {
    /// Name as in the registry (the alias may be another).
    pub name: PackageName,
    /// Version: from the key for registry packages, from `version` for others, where present.
    pub version: Option<Box<str>>,
    /// Where it comes from.
    pub resolution: Resolution,
    /// `engines`, sorted by key.
    pub engines: BTreeMap<Box<str>, Box<str>>,
    /// Where it may be installed.
    pub platforms: Platforms,
    /// `deprecated`.
    pub deprecated: Option<Box<str>>,
    /// `hasBin`.
    pub has_bin: bool,
    /// `bundledDependencies` (`true` or a list), kept as it stood.
    pub bundled_dependencies: Option<serde_json::Value>,
    /// `peerDependencies`.
    pub peer_dependencies: BTreeMap<Box<str>, Box<str>>,
    /// `peerDependenciesMeta`, kept as it stood.
    pub peer_dependencies_meta: Option<serde_json::Value>,
    /// What else pnpm keeps: `prepare`, and `engines` and `deprecated` of an unexpected type.
    pub other: IndexMap<Box<str>, serde_json::Value>,
    /// Keys of a [`Resolution::Tarball`], [`Resolution::Git`] or [`Resolution::Directory`] that
    /// have no field there (`revision`, keys to come), kept.
    pub other_of_resolution: IndexMap<Box<str>, serde_json::Value>,
    /// Whether the file had `version` written out (kept for writing).
    pub version_is_written: bool,
}

impl PackageInfo {
    /// Whether this peer may be missing (`peerDependenciesMeta`).
    pub fn is_optional_peer(&self, alias: &str) -> bool {
        let meta = self.peer_dependencies_meta.as_ref();
        let is_optional = meta.and_then(|meta| meta.get(alias)?.get("optional")?.as_bool());
        is_optional.unwrap_or_default()
    }
}

/// `snapshots` entry: a package with its peers chosen.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Snapshot {
    /// Sorted by alias.
    pub dependencies: BTreeMap<PackageName, Reference>,
    /// Sorted by alias.
    pub optional_dependencies: BTreeMap<PackageName, Reference>,
    /// `transitivePeerDependencies`.
    pub transitive_peer_dependencies: Vec<Box<str>>,
    /// `optional: true`: reached only through optional dependencies.
    pub optional: bool,
    /// What else pnpm keeps: `id` and `patched`.
    pub other: IndexMap<Box<str>, serde_json::Value>,
}

/// `catalogs`: catalog name → alias → entry.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CatalogEntry {
    /// The range of the catalog.
    pub specifier: Box<str>,
    /// The version chosen.
    pub version: Box<str>,
}

/// The version of the format that is written.
pub const LOCKFILE_VERSION: &str = "9.0";

/// A lockfile.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Lockfile {
    /// `lockfileVersion`, major 9.
    pub version: Box<str>,
    /// `settings`, in the order in which it stood.
    pub settings: Option<IndexMap<Box<str>, serde_json::Value>>,
    /// `catalogs`.
    pub catalogs: BTreeMap<Box<str>, BTreeMap<Box<str>, CatalogEntry>>,
    /// `overrides`, in the order in which they stood.
    pub overrides: IndexMap<Box<str>, Box<str>>,
    /// `packageExtensionsChecksum`.
    pub package_extensions_checksum: Option<Box<str>>,
    /// `pnpmfileChecksum`.
    pub pnpmfile_checksum: Option<Box<str>>,
    /// `patchedDependencies`: key → SHA-256 of the patch file, hexadecimal.
    pub patched_dependencies: IndexMap<Box<str>, Box<str>>,
    /// `ignoredOptionalDependencies`.
    pub ignored_optional_dependencies: Vec<Box<str>>,
    /// `importers`, sorted.
    pub importers: BTreeMap<ImporterId, Importer>,
    /// `packages`, in file order (pnpm sorts it).
    pub packages: IndexMap<PackageId, PackageInfo>,
    /// `snapshots`, in file order.
    pub snapshots: IndexMap<DepPath, Snapshot>,
    /// `time` and whatever else stands at the top, kept.
    pub other: IndexMap<Box<str>, serde_json::Value>,
    /// The environment document in front of the main one, verbatim, where there is one.
    pub environment_document: Option<Box<str>>,
    /// Snapshots that no project needs were left out, because something of them is missing.
    pub leaves_out: bool,
}
