//! Archives of the lockfile that nothing pins: their digests are computed, and written down.

use std::io::Read as _;
use std::sync::Arc;

use sha2::{Digest, Sha512};

use super::RelockError;
use crate::install::config::{Config, prefixed_version};
use crate::install::locked::InstallError;
use crate::install::lockfile::{Lockfile, PackageId, Resolution};
use crate::install::registry::{
    Body, Client, ClientLimits, Content, TarballRequest, canonical_tarball_url, remote_url,
};
use crate::name::escaped;
use crate::report::{Event, Reporter};
use crate::store::{Integrity, Store};

/// Bytes of a file that are hashed at once.
const CHUNK_BYTES: usize = 64 << 10;

/// Downloads what `lockfile` does not pin, pins it to the bytes that came, and tells of each.
/// `false`: everything is pinned already, or nothing may be downloaded.
///
/// # Errors
/// An archive cannot be had.
pub fn pin(
    lockfile: &mut Arc<Lockfile>,
    config: &Config,
    store: &Store,
    reporter: &Arc<dyn Reporter>,
) -> Result<bool, RelockError> {
    let requests = unpinned(lockfile, config)?;
    if requests.is_empty() || config.network.offline {
        return Ok(false);
    }
    let client = Client::new(config, ClientLimits::beside(store), Arc::clone(reporter));
    let mut pinned: Vec<(PackageId, Integrity)> = Vec::new();
    let mut failure = None;
    let fetched = client.fetch_tarballs(requests, |id: PackageId, result| {
        let found = result.map_err(InstallError::from);
        match found.and_then(|body| integrity_of(&id, &body)) {
            Ok(integrity) => pinned.push((id, integrity)),
            Err(error) => failure = Some(error),
        }
        failure.is_none()
    });
    fetched.map_err(InstallError::from)?;
    if let Some(error) = failure {
        return Err(error.into());
    }
    pinned.sort_by(|(one, _), (other, _)| one.as_str().cmp(other.as_str()));
    let lockfile = Arc::make_mut(lockfile);
    for (id, computed) in pinned {
        let info = lockfile.packages.get_mut(id.as_str());
        if let Some(Resolution::Tarball { integrity, .. }) = info.map(|info| &mut info.resolution) {
            let message = format!(
                "nothing pinned {}; it is pinned to what came now, {computed}",
                escaped(id.as_str())
            );
            reporter.report(&Event::Warning {
                code: "ERR_PACQUET_PINNED",
                message: &message,
            });
            *integrity = Some(computed.to_string().into());
        }
    }
    Ok(true)
}

fn unpinned(
    lockfile: &Lockfile,
    config: &Config,
) -> Result<Vec<(PackageId, TarballRequest)>, RelockError> {
    let mut requests = Vec::new();
    for (id, info) in &lockfile.packages {
        let Resolution::Tarball {
            integrity: None,
            tarball,
            ..
        } = &info.resolution
        else {
            continue;
        };
        let url = match (tarball, &info.version) {
            // A file of this machine is pinned where the lockfile is made anew.
            (Some(address), _) if address.starts_with("file:") => continue,
            (Some(address), _) => remote_url(id.as_str(), address),
            (None, version) => {
                let of_prefix = || Some(prefixed_version(id.as_str())?.1);
                let Some(version) = version.as_deref().or_else(of_prefix) else {
                    continue;
                };
                let registry = config.registries.registry_of_id(&info.name, id.as_str())?;
                let repeats_scope = config.registries.repeats_scope(&registry);
                canonical_tarball_url(&registry, &info.name, version, repeats_scope)
            }
        };
        let package = id.as_str().to_owned();
        let url = url.map_err(InstallError::from)?;
        requests.push((id.clone(), TarballRequest { package, url }));
    }
    Ok(requests)
}

fn integrity_of(id: &PackageId, body: &Body) -> Result<Integrity, InstallError> {
    let hash = || -> std::io::Result<Integrity> {
        let path = match body.content() {
            Content::Memory(bytes) => return Ok(Integrity::of(bytes)),
            Content::File { path, .. } => path,
        };
        let mut file = std::fs::File::open(path)?;
        let (mut hasher, mut chunk) = (Sha512::new(), vec![0; CHUNK_BYTES]);
        loop {
            match file.read(&mut chunk)? {
                0 => return Ok(Integrity::of_sha512(hasher)),
                length => hasher.update(&chunk[..length]),
            }
        }
    };
    hash().map_err(|source| InstallError::Local {
        package: id.as_str().to_owned(),
        path: match body.content() {
            Content::File { path, .. } => path.to_path_buf(),
            Content::Memory(_) => Default::default(),
        },
        source,
    })
}
