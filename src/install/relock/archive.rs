//! What an archive says of itself: its manifest and its integrity.

use std::fs::File;
use std::io::{Read, Seek};
use std::path::Path;
use std::sync::Arc;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use flate2::read::MultiGzDecoder;
use sha2::{Digest, Sha512};

use crate::install::lockfile::Resolution;
use crate::install::metadata::VersionManifest;
use crate::install::registry::{Body, Content, Url};
use crate::install::resolve::{Resolved, SourceError, Via, relative_text};
use crate::limits::{MANIFEST_BYTES_MAX, PACKAGE_ENTRIES_MAX};
use crate::name::PackageName;

/// What a gzip stream begins with.
const GZIP_MAGIC: [u8; 2] = [0x1f, 0x8b];

/// An archive that was downloaded from `url`.
pub(super) fn of_body(body: Body, url: &Url, alias: &PackageName) -> Result<Resolved, SourceError> {
    // The permit holds the download budget until the archive has been dealt with.
    let (content, _permit) = body.into_parts();
    let (manifest, integrity) = match content {
        Content::Memory(bytes) => read(std::io::Cursor::new(&bytes), url.as_str(), alias)?,
        Content::File { path, .. } => read(open(&path)?, url.as_str(), alias)?,
    };
    let id = url.as_str();
    Ok(resolved(
        id.into(),
        id.into(),
        manifest,
        integrity,
        Via::Tarball,
    ))
}

/// An archive of this machine.
pub(super) fn of_file(
    path: &Path,
    alias: &PackageName,
    lockfile_directory: &Path,
) -> Result<Resolved, SourceError> {
    let (manifest, integrity) = read(open(path)?, &path.display().to_string(), alias)?;
    let id = format!("file:{}", relative_text(lockfile_directory, path));
    Ok(resolved(
        id.as_str().into(),
        id.into(),
        manifest,
        integrity,
        Via::Local,
    ))
}

fn resolved(
    id: Box<str>,
    tarball: Box<str>,
    manifest: VersionManifest,
    integrity: String,
    via: Via,
) -> Resolved {
    Resolved {
        id,
        version: None,
        manifest: Arc::new(manifest),
        resolution: Resolution::Tarball {
            integrity: Some(integrity.into()),
            tarball: Some(tarball),
            git_hosted: false,
            path: None,
        },
        via,
        published: None,
        is_immature: false,
        is_locked: false,
    }
}

fn open(path: &Path) -> Result<File, SourceError> {
    File::open(path).map_err(|source| SourceError::Read {
        path: path.to_owned(),
        source: Arc::new(source),
    })
}

/// The manifest in an archive, and the integrity of its bytes.
fn read(
    mut archive: impl Read + Seek,
    label: &str,
    alias: &PackageName,
) -> Result<(VersionManifest, String), SourceError> {
    let refused = |reason: String| SourceError::Fetch {
        reason: format!("The archive {} {reason}", crate::name::escaped(label)),
        code: "ERR_PNPM_TARBALL_EXTRACT",
    };
    let unreadable = |error: std::io::Error| refused(format!("cannot be read: {error}"));
    let mut digest = Sha512::new();
    std::io::copy(&mut archive, &mut digest).map_err(unreadable)?;
    let integrity = format!("sha512-{}", STANDARD.encode(digest.finalize()));
    archive.rewind().map_err(unreadable)?;
    let mut magic = [0; 2];
    let is_gzip = archive.read_exact(&mut magic).is_ok() && magic == GZIP_MAGIC;
    archive.rewind().map_err(unreadable)?;
    let json = if is_gzip {
        manifest_json(MultiGzDecoder::new(archive))
    } else {
        manifest_json(archive)
    };
    let json = json.map_err(unreadable)?;
    let json = json.unwrap_or_else(|| b"{}".to_vec());
    let manifest = VersionManifest::of_package(&json, alias)
        .map_err(|refusal| refused(format!("has a manifest that cannot be used: {refusal}")))?;
    Ok((manifest, integrity))
}

/// `package.json` of the archive's one directory.
fn manifest_json(archive: impl Read) -> std::io::Result<Option<Vec<u8>>> {
    let mut archive = tar::Archive::new(archive);
    for entry in archive.entries()?.take(PACKAGE_ENTRIES_MAX) {
        let entry = entry?;
        let is_manifest = {
            let path = entry.path_bytes();
            let mut parts = path.splitn(2, |byte| *byte == b'/');
            let _directory = parts.next();
            parts.next() == Some(b"package.json")
        };
        if is_manifest {
            let mut json = Vec::new();
            entry.take(MANIFEST_BYTES_MAX).read_to_end(&mut json)?;
            return Ok(Some(json));
        }
    }
    Ok(None)
}
