//! `store verify`: every pack against its name, every content against its digest, every row
//! against its pack.

use std::collections::{HashMap, HashSet};
use std::fmt;
use std::path::{Path, PathBuf};

use rayon::prelude::*;

use crate::name::escaped;

use super::error::StoreError;
use super::format::FormatError;
use super::index::Row;
use super::pack::PackSummary;
use super::scan::{self, ScannedPack};
use super::{PackId, PackageKey};

const OTHERS_MAY_WRITE: u32 = 0o022;

/// How much a finding matters.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Severity {
    /// Nothing is wrong; something is left over.
    Notice,
    /// A package cannot be used as it is. Installing it again mends it.
    Damage,
}

/// Something that [`super::Store::verify`] found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Finding {
    /// A row names a pack that is not there.
    MissingPack {
        /// The row's key.
        key: PackageKey,
        /// The pack.
        pack: PackId,
    },
    /// A pack is not a regular file, truncated, or otherwise not what its name says.
    DamagedPack {
        /// The pack.
        pack: PackId,
        /// What is wrong with it.
        reason: FormatError,
    },
    /// A content is not what its digest says.
    DamagedFile {
        /// The pack.
        pack: PackId,
        /// Path within the package.
        file: String,
    },
    /// Somebody but the owner may write to a pack.
    WritablePack {
        /// The pack.
        pack: PackId,
    },
    /// A row tells something else of a package than its pack does.
    ContradictingRow {
        /// The row's key.
        key: PackageKey,
        /// The pack.
        pack: PackId,
    },
    /// No row names the pack: an install was interrupted, or the package was replaced.
    PackWithoutRow {
        /// The pack.
        pack: PackId,
    },
    /// Something below `packs` is no pack.
    ForeignFile {
        /// Where it is.
        path: PathBuf,
    },
}

impl Finding {
    /// A stable name of the kind.
    pub fn id(&self) -> &'static str {
        match self {
            Self::MissingPack { .. } => "missing-pack",
            Self::DamagedPack { reason, .. } => match reason {
                FormatError::NotRegular => "pack-not-regular",
                FormatError::Truncated => "pack-truncated",
                FormatError::TableDigest => "table-digest-mismatch",
                FormatError::OtherPack => "pack-name-mismatch",
                FormatError::Read(_) => "pack-unreadable",
                _ => "pack-malformed",
            },
            Self::DamagedFile { .. } => "file-digest-mismatch",
            Self::WritablePack { .. } => "pack-writable-by-others",
            Self::ContradictingRow { .. } => "row-contradicts-pack",
            Self::PackWithoutRow { .. } => "pack-without-row",
            Self::ForeignFile { .. } => "foreign-file",
        }
    }

    /// The pack that must be fetched again, where the finding is damage.
    pub fn damaged_pack(&self) -> Option<PackId> {
        match self {
            Self::MissingPack { pack, .. }
            | Self::DamagedPack { pack, .. }
            | Self::DamagedFile { pack, .. }
            | Self::WritablePack { pack }
            | Self::ContradictingRow { pack, .. } => Some(*pack),
            Self::PackWithoutRow { .. } | Self::ForeignFile { .. } => None,
        }
    }

    /// How much it matters.
    pub fn severity(&self) -> Severity {
        match self {
            Self::PackWithoutRow { .. } | Self::ForeignFile { .. } => Severity::Notice,
            _ => Severity::Damage,
        }
    }
}

impl fmt::Display for Finding {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::MissingPack { key, pack } => {
                write!(formatter, "the pack {pack} of {} is missing", package(key))
            }
            Self::DamagedPack { pack, reason } => {
                write!(formatter, "the pack {pack} is damaged: {reason}")
            }
            Self::DamagedFile { pack, file } => {
                write!(
                    formatter,
                    "the file {} of the pack {pack} is damaged",
                    escaped(file)
                )
            }
            Self::WritablePack { pack } => {
                write!(
                    formatter,
                    "others than its owner may write to the pack {pack}"
                )
            }
            Self::ContradictingRow { key, pack } => write!(
                formatter,
                "the index contradicts the pack {pack} of {}",
                package(key)
            ),
            Self::PackWithoutRow { pack } => write!(formatter, "no package uses the pack {pack}"),
            Self::ForeignFile { path } => write!(
                formatter,
                "{} does not belong to the store",
                escaped(&path.to_string_lossy())
            ),
        }
    }
}

fn package(key: &PackageKey) -> String {
    escaped(key.as_str().split('\t').nth(1).unwrap_or_default())
}

/// Checks the store at `root` against the rows of its index.
pub(crate) fn verify(root: &Path, rows: &[Row]) -> Result<Vec<Finding>, StoreError> {
    let scan = scan::packs(root)?;
    let mut by_pack: HashMap<PackId, Vec<&Row>> = HashMap::new();
    for row in rows {
        by_pack.entry(row.record.pack).or_default().push(row);
    }
    let mut findings: Vec<Finding> = scan
        .packs
        .par_iter()
        .flat_map_iter(|pack| {
            let rows = by_pack.get(&pack.id).map_or(&[][..], Vec::as_slice);
            check_pack(pack, rows)
        })
        .collect();
    let present: HashSet<PackId> = scan.packs.iter().map(|pack| pack.id).collect();
    for row in rows {
        if !present.contains(&row.record.pack) {
            findings.push(Finding::MissingPack {
                key: row.key.clone(),
                pack: row.record.pack,
            });
        }
    }
    let foreign = scan.foreign.into_iter();
    findings.extend(foreign.map(|path| Finding::ForeignFile { path }));
    Ok(findings)
}

fn check_pack(pack: &ScannedPack, rows: &[&Row]) -> Vec<Finding> {
    let id = pack.id;
    let mut findings = Vec::new();
    if rows.is_empty() {
        findings.push(Finding::PackWithoutRow { pack: id });
    }
    let summary = match PackSummary::read(&pack.path, id) {
        Ok(summary) => summary,
        Err(error) => {
            let reason = match error {
                StoreError::Pack { source, .. } => source,
                other => FormatError::Read(
                    std::error::Error::source(&other)
                        .map_or_else(|| other.to_string(), ToString::to_string),
                ),
            };
            findings.push(Finding::DamagedPack { pack: id, reason });
            return findings;
        }
    };
    if pack.mode & OTHERS_MAY_WRITE != 0 {
        findings.push(Finding::WritablePack { pack: id });
    }
    for row in rows {
        // What its scripts did not change is the package as it was published.
        let is_of_pack = row.key == summary.key || row.key.is_built_from(&summary.key);
        if !is_of_pack || row.record.facts != summary.facts {
            findings.push(Finding::ContradictingRow {
                key: row.key.clone(),
                pack: id,
            });
        }
    }
    let damaged = summary.damaged_files().into_iter();
    findings.extend(damaged.map(|file| Finding::DamagedFile { pack: id, file }));
    findings
}
