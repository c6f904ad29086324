//! The manifest of one version.

use std::collections::BTreeMap;

use crate::install::lockfile::Platforms;
use crate::install::manifest::DependencyMap;
use crate::name::PackageName;

/// Which packages a package brings inside its own archive.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub enum Bundled {
    /// None.
    #[default]
    None,
    /// All of its dependencies.
    All,
    /// These.
    Names(Vec<Box<str>>),
}

/// How strong the evidence is that a version comes from where it says.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord)]
pub enum TrustEvidence {
    /// There is none.
    #[default]
    None,
    /// A provenance attestation.
    Provenance,
    /// A provenance attestation, and published by a trusted publisher.
    TrustedPublisher,
    /// Published in stages, with an approval.
    StagedPublish,
}

/// Where a version's archive is, and what pins it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Distribution {
    /// An SRI string; of `shasum` where the registry gives nothing better. `None`: it gives
    /// neither.
    pub integrity: Option<Box<str>>,
    /// The archive's address, http or https, as the registry wrote it.
    pub tarball: Box<str>,
}

/// What an installer reads of a version's manifest. It is also what a `package.json` in a
/// directory, an archive or a repository is read as when it becomes a dependency.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct VersionManifest {
    /// The package's name; for one from a registry, the packument's.
    pub name: PackageName,
    /// The version, as written.
    pub version: Box<str>,
    /// `dependencies`.
    pub dependencies: DependencyMap,
    /// `optionalDependencies`.
    pub optional_dependencies: DependencyMap,
    /// `peerDependencies`.
    pub peer_dependencies: DependencyMap,
    /// `peerDependenciesMeta`: name → `optional`.
    pub peer_dependencies_meta: BTreeMap<PackageName, bool>,
    /// `bundledDependencies` or `bundleDependencies`.
    pub bundled: Bundled,
    /// Whether it has commands: `bin`, or `directories.bin`.
    pub has_bin: bool,
    /// `engines`; entries that are no strings are left out.
    pub engines: BTreeMap<Box<str>, Box<str>>,
    /// `os`, `cpu` and `libc`.
    pub platforms: Platforms,
    /// `deprecated`: why.
    pub deprecated: Option<Box<str>>,
    /// `hasInstallScript`, of registries.
    pub has_install_script: bool,
    /// `dist`, of registries.
    pub dist: Option<Distribution>,
    /// What is known of its origin; only full packuments tell.
    pub trust: TrustEvidence,
}
