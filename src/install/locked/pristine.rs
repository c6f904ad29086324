//! The files of a package as its author published them, without the project's patch.

use std::collections::HashSet;
use std::sync::Arc;

use super::sources::{Content, WantedPackages};
use super::{Inputs, InstallError, Supply, supply_all};
use crate::install::config::Config;
use crate::install::lockfile::{Lockfile, PackageId};
use crate::install::patch::PackageFile;
use crate::name::RelativePath;
use crate::report::Reporter;
use crate::store::{NodeKind, Store, StoreError};

/// Reads the files of the package `id` of `lockfile`, after fetching it where the store does not
/// have it.
///
/// # Errors
/// There is no such package, or it cannot be had.
pub fn pristine(
    inputs: &Inputs,
    config: &Config,
    store: &Store,
    lockfile: &Lockfile,
    id: &PackageId,
    reporter: &Arc<dyn Reporter>,
) -> Result<Vec<PackageFile>, InstallError> {
    let missing = || InstallError::NotInStore {
        missing: vec![id.as_str().to_owned()],
        offline: config.network.offline,
    };
    let info = lockfile.packages.get(id).ok_or_else(missing)?;
    let content = Content {
        id: id.as_str(),
        name: &info.name,
        version: info.version.as_deref(),
        resolution: &info.resolution,
    };
    let prepares = !config.builds.ignore_scripts;
    let wanted = WantedPackages {
        packages: vec![content.wanted(None, &config.lockfile_directory, prepares)?],
        snapshots: Vec::new(),
    };
    let fetched = HashSet::new();
    let supply = Supply::Fetch;
    let records = supply_all(&wanted, &fetched, inputs, config, store, supply, reporter)?;
    let record = records.first().ok_or_else(missing)?;
    let pack = store.open_pack(&record.pack)?;
    let mut files = Vec::new();
    for number in 0..pack.table().len() {
        let Some(NodeKind::File { executable, .. }) = pack.table().kind(number) else {
            continue;
        };
        let path = pack.table().path(number).unwrap_or_default();
        let path = RelativePath::new(&path).map_err(|_| missing())?;
        let content = pack.read_file(number).map_err(|source| StoreError::Io {
            action: "read",
            path: store.path().to_owned(),
            source,
        })?;
        files.push(PackageFile {
            path,
            executable,
            content,
        });
    }
    Ok(files)
}
