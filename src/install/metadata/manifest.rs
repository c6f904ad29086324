//! The manifest of one version.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use serde_json::{Map, Value, json};

use super::error::ManifestRefusal;
use super::wire::{Wire, WireDistribution};

use crate::install::lockfile::Platforms;
use crate::install::manifest::DependencyMap;
use crate::install::registry::{Url, printable_text};
use crate::name::PackageName;
use crate::store::Integrity;

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
    /// `dependenciesMeta`: projects that it wants copies of.
    pub injected: BTreeSet<PackageName>,
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
    /// The JSON that it was read from, where something may want to see the rest of it.
    pub json: Option<Arc<str>>,
}

impl VersionManifest {
    /// It as JSON: all that was read, with what was changed since in its place.
    pub fn to_json(&self) -> Value {
        let read = self.json.as_deref().map(serde_json::from_str);
        let mut fields: Map<String, Value> = read.and_then(Result::ok).unwrap_or_default();
        let texts = [
            ("dependencies", &self.dependencies),
            ("optionalDependencies", &self.optional_dependencies),
            ("peerDependencies", &self.peer_dependencies),
        ];
        fields.insert("name".to_owned(), self.name.as_str().into());
        fields.insert("version".to_owned(), (*self.version).into());
        for (key, map) in texts {
            let map = map.iter();
            let map = map.map(|(name, text)| (name.as_str().to_owned(), Value::from(&**text)));
            fields.insert(key.to_owned(), Value::Object(map.collect()));
        }
        if !self.peer_dependencies_meta.is_empty() {
            let meta = self.peer_dependencies_meta.iter().map(|(name, optional)| {
                (name.as_str().to_owned(), json!({ "optional": optional }))
            });
            let meta = Value::Object(meta.collect());
            fields.insert("peerDependenciesMeta".to_owned(), meta);
        }
        Value::Object(fields)
    }

    /// It after a hook has made `json` of it. Which package it is, and its archive, cannot change.
    ///
    /// # Errors
    /// A name in it is none.
    pub fn changed(&self, json: &str) -> Result<Self, ManifestRefusal> {
        let mut wire: Wire = serde_json::from_str(json)?;
        wire.dist = None;
        Self::of(
            wire,
            self.name.clone(),
            self.version.clone(),
            self.dist.clone(),
        )
    }

    /// Reads the manifest of `version` of the package `name`, as the registry at `registry` or the
    /// cache has it.
    ///
    /// # Errors
    /// It is not JSON of at most 128 levels; it is of another version; a name in it is none; the
    /// archive's address is neither http nor https, or would leave an encrypted connection; the
    /// integrity is malformed.
    pub(super) fn of_registry(
        json: &[u8],
        name: &PackageName,
        version: &str,
        registry: &Url,
    ) -> Result<Self, ManifestRefusal> {
        let wire: Wire = serde_json::from_slice(json)?;
        match wire.version.as_deref() {
            None => return Err(ManifestRefusal::NoVersion),
            Some(own) if own != version => {
                return Err(ManifestRefusal::OtherVersion { found: own.into() });
            }
            Some(_) => {}
        }
        let dist = wire.dist.as_ref().ok_or(ManifestRefusal::NoArchive)?;
        let dist = Distribution::read(dist, registry)?;
        Self::of(wire, name.clone(), version.into(), Some(dist))
    }

    /// Reads a `package.json` that became a dependency. Without a name it gets `fallback`, and
    /// without a version `0.0.0`.
    ///
    /// # Errors
    /// It is not JSON of at most 128 levels, or a name in it is none.
    pub fn of_package(json: &[u8], fallback: &PackageName) -> Result<Self, ManifestRefusal> {
        let json = json.strip_prefix(b"\xef\xbb\xbf").unwrap_or(json);
        let wire: Wire = serde_json::from_slice(json)?;
        let name = match &wire.name {
            Some(name) => PackageName::new(name).map_err(|source| ManifestRefusal::Name {
                field: "name",
                name: name.clone().into(),
                source,
            })?,
            None => fallback.clone(),
        };
        let version = wire.version.as_deref().unwrap_or("0.0.0").into();
        let json = std::str::from_utf8(json).ok().map(Arc::from);
        Ok(Self {
            json,
            ..Self::of(wire, name, version, None)?
        })
    }

    fn of(
        wire: Wire,
        name: PackageName,
        version: Box<str>,
        dist: Option<Distribution>,
    ) -> Result<Self, ManifestRefusal> {
        Ok(Self {
            name,
            version,
            dependencies: named("dependencies", wire.dependencies)?,
            optional_dependencies: named("optionalDependencies", wire.optional_dependencies)?,
            peer_dependencies: named("peerDependencies", wire.peer_dependencies)?,
            peer_dependencies_meta: named(
                "peerDependenciesMeta",
                wire.peer_dependencies_meta.optional(),
            )?,
            injected: wire
                .dependencies_meta
                .injected()
                .filter_map(|name| PackageName::new(&name).ok())
                .collect(),
            bundled: (wire.bundled_dependencies.0)
                .or(wire.bundle_dependencies.0)
                .unwrap_or_default(),
            has_bin: wire.bin.0 || wire.directories.0,
            engines: wire.engines.0.into_iter().collect(),
            platforms: Platforms {
                os: wire.os.list(),
                cpu: wire.cpu.list(),
                libc_is_scalar: wire.libc.is_scalar(),
                libc: wire.libc.any(),
                ..Platforms::default()
            },
            deprecated: wire.deprecated.0,
            has_install_script: wire.has_install_script.0,
            dist,
            json: None,
        })
    }
}

/// `pairs` with their names checked.
fn named<V, M: FromIterator<(PackageName, V)>>(
    field: &'static str,
    pairs: impl IntoIterator<Item = (Box<str>, V)>,
) -> Result<M, ManifestRefusal> {
    let check = |(name, value): (Box<str>, V)| match PackageName::new(&name) {
        Ok(name) => Ok((name, value)),
        Err(source) => Err(ManifestRefusal::Name {
            field,
            name: name.into(),
            source,
        }),
    };
    pairs.into_iter().map(check).collect()
}

/// The hashes of an SRI string in the order in which they count, as lockfiles have them.
fn strongest_first(text: &str) -> Box<str> {
    let mut hashes: Vec<&str> = text.split_ascii_whitespace().collect();
    let strength = |hash: &&str| Integrity::parse(hash).ok().map(|one| one.algorithm());
    hashes.sort_by_key(|hash| Reverse(strength(hash)));
    hashes.join(" ").into()
}

impl Distribution {
    fn read(wire: &WireDistribution, registry: &Url) -> Result<Self, ManifestRefusal> {
        let tarball = wire
            .tarball
            .0
            .as_deref()
            .ok_or(ManifestRefusal::NoArchive)?;
        let refuse = |reason| ManifestRefusal::Archive {
            url: printable_text(tarball),
            reason,
        };
        let url = Url::parse(tarball).map_err(|_| refuse("it is not a URL"))?;
        if !matches!(url.scheme(), "http" | "https") || url.host_str().is_none() {
            return Err(refuse("it is neither http nor https"));
        }
        if registry.scheme() == "https" && url.scheme() == "http" {
            return Err(refuse("that would leave the encrypted connection"));
        }
        if !url.username().is_empty() || url.password().is_some() {
            return Err(refuse("a registry may not give credentials"));
        }
        let integrity = match (wire.integrity.0.as_deref(), wire.shasum.0.as_deref()) {
            (Some(text), _) if !text.is_empty() => {
                Integrity::parse(text)?;
                Some(strongest_first(text))
            }
            (_, Some(shasum)) if !shasum.is_empty() => {
                Some(Integrity::from_shasum(shasum)?.to_string().into())
            }
            _ => None,
        };
        Ok(Self {
            integrity,
            tarball: tarball.into(),
        })
    }
}
