//! Walks over the store's directories.

use std::ffi::OsStr;
use std::fs::DirEntry;
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use super::PackId;
use super::error::StoreError;

/// Something below `packs` whose name is a pack's.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct ScannedPack {
    pub(crate) id: PackId,
    pub(crate) path: PathBuf,
    pub(crate) bytes: u64,
    pub(crate) modified: SystemTime,
    pub(crate) mode: u32,
    pub(crate) is_directory: bool,
}

/// What is below `packs`.
#[derive(Debug, Default)]
pub(crate) struct PackScan {
    pub(crate) packs: Vec<ScannedPack>,
    /// Whatever has no name of a pack or of a directory of packs.
    pub(crate) foreign: Vec<PathBuf>,
}

/// A file in `tmp`.
#[derive(Debug)]
pub(crate) struct TemporaryEntry {
    pub(crate) path: PathBuf,
    pub(crate) bytes: u64,
    /// The later of its times of modification and change.
    pub(crate) changed: SystemTime,
}

fn entries(directory: &Path) -> Result<Vec<DirEntry>, StoreError> {
    let list = match std::fs::read_dir(directory) {
        Ok(list) => list,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(StoreError::io("list", directory)(error)),
    };
    list.collect::<io::Result<_>>()
        .map_err(StoreError::io("list", directory))
}

/// Lists `packs` without following symlinks.
pub(crate) fn packs(root: &Path) -> Result<PackScan, StoreError> {
    named_by_pack(&root.join("packs"))
}

/// Lists `unpacked`, whose directories are named as packs are, without following symlinks.
pub(crate) fn unpacked(root: &Path) -> Result<PackScan, StoreError> {
    let mut scan = named_by_pack(&root.join("unpacked"))?;
    let (copies, others): (Vec<_>, _) = scan.packs.into_iter().partition(|one| one.is_directory);
    scan.packs = copies;
    scan.foreign.extend(others.into_iter().map(|one| one.path));
    Ok(scan)
}

fn named_by_pack(directory: &Path) -> Result<PackScan, StoreError> {
    let mut scan = PackScan::default();
    for shard in entries(directory)? {
        let name = shard.file_name();
        let is_shard = hexadecimal(&name, 2) && shard.file_type().is_ok_and(|kind| kind.is_dir());
        if !is_shard {
            scan.foreign.push(shard.path());
            continue;
        }
        for entry in entries(&shard.path())? {
            let rest = entry.file_name();
            let Some(id) = pack_id(&name, &rest) else {
                scan.foreign.push(entry.path());
                continue;
            };
            let Ok(attributes) = entry.metadata() else {
                // Removed while the directory was read.
                continue;
            };
            scan.packs.push(ScannedPack {
                id,
                path: entry.path(),
                bytes: attributes.len(),
                modified: attributes.modified().unwrap_or(SystemTime::UNIX_EPOCH),
                mode: attributes.mode(),
                is_directory: attributes.is_dir(),
            });
        }
    }
    Ok(scan)
}

/// Lists the regular files and the directories (checkouts) in `tmp`.
pub(crate) fn temporary_files(root: &Path) -> Result<Vec<TemporaryEntry>, StoreError> {
    let mut files = Vec::new();
    for entry in entries(&root.join("tmp"))? {
        let Ok(attributes) = entry.metadata() else {
            continue;
        };
        if !attributes.is_file() && !attributes.is_dir() {
            continue;
        }
        let modified = attributes.modified().unwrap_or(SystemTime::UNIX_EPOCH);
        let seconds = u64::try_from(attributes.ctime()).unwrap_or(0);
        let changed = SystemTime::UNIX_EPOCH + Duration::from_secs(seconds);
        files.push(TemporaryEntry {
            path: entry.path(),
            bytes: attributes.len(),
            changed: modified.max(changed),
        });
    }
    Ok(files)
}

fn hexadecimal(name: &OsStr, length: usize) -> bool {
    let bytes = name.as_encoded_bytes();
    bytes.len() == length
        && bytes
            .iter()
            .all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'))
}

fn pack_id(shard: &OsStr, rest: &OsStr) -> Option<PackId> {
    if !hexadecimal(rest, 62) {
        return None;
    }
    let text = format!("{}{}", shard.to_str()?, rest.to_str()?);
    let mut id = [0; 32];
    for (byte, at) in id.iter_mut().zip((0..64).step_by(2)) {
        *byte = u8::from_str_radix(text.get(at..at + 2)?, 16).ok()?;
    }
    Some(PackId(id))
}
