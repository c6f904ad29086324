//! Getting packuments.

use std::sync::Arc;

use super::error::MetadataError;
use super::manifest::VersionManifest;
use super::packument::{Packument, VersionIndex};
use crate::install::config::Config;
use crate::install::pick::{PickOptions, Preferred, RegistrySpecifier};
use crate::install::registry::{Client, Url};
use crate::name::PackageName;

/// The forms in which registries give packuments.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Form {
    /// What an installer needs mostly.
    Abbreviated,
    /// With times, `libc` and evidence of origin.
    Full,
}

/// What is to be chosen.
#[derive(Debug, Clone, Copy)]
pub struct Wanted<'a> {
    /// Package, version and registry.
    pub specifier: &'a RegistrySpecifier,
    /// Versions of it that are preferred.
    pub preferred: &'a Preferred,
    /// How to choose.
    pub options: &'a PickOptions,
    /// Whether it is an optional dependency: then `libc` counts, which only the full form has.
    pub optional: bool,
    /// Whether only the registry's word of today counts (`--update-checksums`, `update`).
    pub fresh: bool,
}

/// A version that was chosen.
#[derive(Debug, Clone)]
pub struct Picked {
    /// The packument in which it is.
    pub packument: Arc<Packument>,
    /// Which.
    pub version: VersionIndex,
    /// Its manifest.
    pub manifest: Arc<VersionManifest>,
    /// Whether `published_by` is not kept because nothing older satisfies the specifier
    /// (`ERR_PNPM_MINIMUM_RELEASE_AGE_VIOLATION` where that is to be strict).
    pub is_immature: bool,
}

/// Gives packuments, each fetched at most once; to be shared by everything in one run.
#[derive(Debug)]
pub struct Packuments {
    client: Arc<Client>,
}

impl Packuments {
    /// With the cache in `config.cache_directory`, and the network through `client`.
    pub fn new(config: &Config, client: Arc<Client>) -> Self {
        let _ = config;
        Self { client }
    }

    /// The packument of `name` at `registry`, from the cache where the registry says that it is
    /// still true, else from the registry.
    ///
    /// # Errors
    /// The registry cannot be asked or does not have it, or what it gives is no packument of
    /// `name`; offline, the cache does not have it.
    pub async fn packument(
        &self,
        name: &PackageName,
        registry: &Url,
        form: Form,
    ) -> Result<Arc<Packument>, MetadataError> {
        let _ = (name, registry, form, &self.client);
        todo!()
    }

    /// The manifest of a version of `packument`.
    ///
    /// # Errors
    /// As [`Packument::manifest`]; what was damaged in the cache is fetched again first.
    pub async fn manifest(
        &self,
        packument: &Arc<Packument>,
        version: VersionIndex,
    ) -> Result<Arc<VersionManifest>, MetadataError> {
        packument.manifest(version)
    }

    /// Chooses a version as pnpm does, with as few requests as that takes: none where the cache
    /// has the exact version that is wanted, or is younger than `published_by`.
    ///
    /// # Errors
    /// As [`Packuments::packument`]; nothing satisfies the specifier.
    pub async fn pick(&self, wanted: &Wanted<'_>) -> Result<Picked, MetadataError> {
        let _ = wanted;
        todo!()
    }
}
