//! Packages of registries whose content a lockfile of npm does not pin: where npm wrote it from a
//! tree that was there, it has neither addresses nor integrities. What the registry has for a
//! version is the same at any time, so the registry is asked once, and what its metadata says pins
//! what is fetched.

use std::sync::Arc;

use super::Supply;
use super::asking::ask_all;
use super::error::InstallError;
use crate::install::config::Config;
use crate::install::lockfile::{Lockfile, PackageInfo, Resolution};
use crate::install::metadata::{Form, Packument, Packuments, VersionIndex};
use crate::install::package_lock::PackageLockError;
use crate::install::registry::{Client, ClientLimits, Url, canonical_tarball_url};
use crate::report::Reporter;
use crate::store::Store;

/// Gives every package of a registry its integrity.
///
/// # Errors
/// Metadata that cannot be had, or that does not pin the content either.
pub(super) fn pin(
    lockfile: &mut Lockfile,
    config: &Config,
    store: &Store,
    supply: Supply,
    reporter: &Arc<dyn Reporter>,
) -> Result<(), InstallError> {
    let unpinned: Vec<&mut PackageInfo> = lockfile
        .packages
        .values_mut()
        .filter(|info| is_unpinned(&info.resolution))
        .collect();
    if unpinned.is_empty() {
        return Ok(());
    }
    let _span = tracing::info_span!("pin", packages = unpinned.len()).entered();
    let client = Client::new(config, ClientLimits::beside(store), Arc::clone(reporter));
    let packuments = Packuments::new(config, Arc::new(client));
    let pins = unpinned
        .into_iter()
        .map(|info| pin_one(info, &packuments, config, supply));
    ask_all(pins, |()| ())
}

fn is_unpinned(resolution: &Resolution) -> bool {
    matches!(
        resolution,
        Resolution::Tarball {
            integrity: None,
            tarball: None,
            ..
        }
    )
}

async fn pin_one(
    info: &mut PackageInfo,
    packuments: &Packuments,
    config: &Config,
    supply: Supply,
) -> Result<(), InstallError> {
    let version = info.version.clone().unwrap_or_default();
    let label = format!("{}@{version}", info.name);
    let registry = config.registries.registry_of(&info.name)?;
    let form = packuments.form(false);
    let (packument, at) = match known(packuments, info, &registry, &version) {
        Some(known) => known,
        None if supply == Supply::StoreOnly => {
            return Err(InstallError::NotInStore {
                missing: vec![label],
                offline: false,
            });
        }
        None => {
            let packument = packuments.packument(&info.name, &registry, form).await?;
            let at = packument.find(&version);
            let at = at.ok_or_else(|| unpinned(&label))?;
            (packument, at)
        }
    };
    let manifest = packuments.manifest(&packument, at).await?;
    let published = manifest.dist.as_ref();
    let (integrity, address) = published
        .and_then(|dist| Some((dist.integrity.clone()?, &dist.tarball)))
        .ok_or_else(|| unpinned(&label))?;
    let repeats_scope = config.registries.repeats_scope(&registry);
    let canonical = canonical_tarball_url(&registry, &info.name, &version, repeats_scope);
    let is_canonical = canonical.is_ok_and(|canonical| canonical.as_str() == &**address);
    info.resolution = Resolution::Tarball {
        integrity: Some(integrity),
        tarball: (!is_canonical).then(|| address.clone()),
        git_hosted: false,
        path: None,
    };
    Ok(())
}

/// What the cache has of a version; that does not change.
fn known(
    packuments: &Packuments,
    info: &PackageInfo,
    registry: &Url,
    version: &str,
) -> Option<(Arc<Packument>, VersionIndex)> {
    [Form::Abbreviated, Form::Full]
        .into_iter()
        .find_map(|form| {
            let packument = packuments.cached(&info.name, registry, form)?;
            let at = packument.find(version)?;
            Some((packument, at))
        })
}

fn unpinned(label: &str) -> InstallError {
    InstallError::PackageLock(PackageLockError::NoIntegrity {
        location: label.to_owned(),
    })
}
