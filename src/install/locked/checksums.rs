//! Checksums of a lockfile as registries have them now (`--update-checksums`).

use std::sync::Arc;

use super::asking::ask_all;
use super::error::InstallError;
use super::policies::{Entry, entries};
use crate::install::config::Config;
use crate::install::lockfile::{Lockfile, PackageId, Resolution};
use crate::install::metadata::{Form, Packuments};
use crate::install::registry::{Client, ClientLimits};
use crate::report::Reporter;
use crate::store::Store;

/// The lockfile with the checksums that the registries of its packages have today. What a registry
/// no longer has stays as it is.
///
/// # Errors
/// Metadata cannot be had.
pub fn with_checksums_of_today(
    lockfile: &Lockfile,
    config: &Config,
    store: &Store,
    reporter: &Arc<dyn Reporter>,
) -> Result<Lockfile, InstallError> {
    let client = Client::new(config, ClientLimits::beside(store), Arc::clone(reporter));
    let packuments = Packuments::new(config, Arc::new(client));
    let entries = entries(lockfile, &config.registries)?;
    let asked = entries.iter().map(|entry| checksum(entry, &packuments));
    let mut new = lockfile.clone();
    ask_all(asked, |answer| {
        let Some((id, checksum)) = answer else {
            return;
        };
        let package = new.packages.get_mut(&id);
        let resolution = package.map(|package| &mut package.resolution);
        if let Some(Resolution::Tarball { integrity, .. }) = resolution {
            *integrity = Some(checksum);
        }
    })?;
    Ok(new)
}

async fn checksum(
    entry: &Entry<'_>,
    packuments: &Packuments,
) -> Result<Option<(PackageId, Box<str>)>, InstallError> {
    let (name, registry) = (&entry.name, &entry.registry);
    let packument = packuments
        .packument(name, registry, Form::Abbreviated)
        .await?;
    let Some(version) = packument.find(entry.version) else {
        return Ok(None);
    };
    let manifest = packument.manifest(version)?;
    let checksum = manifest
        .dist
        .as_ref()
        .and_then(|dist| dist.integrity.clone());
    Ok(checksum.and_then(|checksum| Some((PackageId::new(entry.id).ok()?, checksum))))
}
