//! Everything that can go wrong in the store.

use std::io;
use std::path::{Path, PathBuf};

use crate::diagnostic::Diagnostic;
use crate::name::{NameError, escaped};
use crate::sys::process;

use super::PackId;
use super::format::FormatError;

/// With fewer files than this SQLite may not have those that it opens, and does not say so.
const DESCRIPTORS_MIN: u64 = 32;

/// An error that a transform of the caller (a patch) gives.
pub type TransformError = Box<dyn std::error::Error + Send + Sync>;

/// A failure of the store.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// A system call failed.
    #[error("could not {action} {}", escaped(&path.to_string_lossy()))]
    Io {
        /// What was tried, as an infinitive.
        action: &'static str,
        /// On what.
        path: PathBuf,
        /// Why it failed.
        #[source]
        source: io::Error,
    },
    /// The store may not be written, by its access mode or by the file system.
    #[error("the store {} is read-only", escaped(&path.to_string_lossy()))]
    ReadOnly {
        /// The store.
        path: PathBuf,
    },
    /// The directory is no store, or one of another version.
    #[error(
        "{} is not a store that this version can use: {reason}",
        escaped(&path.to_string_lossy())
    )]
    Incompatible {
        /// The store.
        path: PathBuf,
        /// Why.
        reason: String,
    },
    /// The index failed.
    #[error("the index {} failed", escaped(&path.to_string_lossy()))]
    Index {
        /// Its file.
        path: PathBuf,
        /// What SQLite says.
        #[source]
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// A file of the store was locked for longer than the store waits.
    #[error(
        "{} was locked by another process for {waited_ms} ms",
        escaped(&path.to_string_lossy())
    )]
    Busy {
        /// Its file.
        path: PathBuf,
        /// How long was waited.
        waited_ms: u64,
    },
    /// A file that says who needs which packs cannot be understood.
    #[error("{} cannot be understood: {reason}", escaped(&path.to_string_lossy()))]
    Root {
        /// The file.
        path: PathBuf,
        /// Why.
        reason: String,
    },
    /// A pack is not what its name says.
    #[error("the pack {pack} is damaged")]
    Pack {
        /// The pack.
        pack: PackId,
        /// What is wrong with it.
        #[source]
        source: FormatError,
    },
    /// A file of a pack is not what the table says.
    #[error("the file {} of the pack {pack} is damaged", escaped(file))]
    PackFile {
        /// The pack.
        pack: PackId,
        /// The path within the package.
        file: String,
    },
    /// A hash of the lockfile or registry cannot be used.
    #[error("the integrity \"{}\" is not valid: {reason}", escaped(text))]
    IntegritySyntax {
        /// The text.
        text: String,
        /// What is wrong with it.
        reason: &'static str,
    },
    /// The bytes are not the ones that were promised.
    #[error("{package} failed its integrity check: expected {expected}, got {actual}")]
    Integrity {
        /// The package.
        package: String,
        /// What was promised, as SRI.
        expected: String,
        /// What the bytes hash to, by the same algorithm.
        actual: String,
    },
    /// The archive or directory of a package is refused.
    #[error("{package} cannot be stored")]
    Refused {
        /// The package.
        package: String,
        /// Why.
        #[source]
        source: Refusal,
    },
    /// The transform that the caller asked for failed.
    #[error("{package} could not be changed before it was stored")]
    Transform {
        /// The package.
        package: String,
        /// Why.
        #[source]
        source: TransformError,
    },
}

/// Why the content of a package is refused.
#[derive(Debug, thiserror::Error)]
pub enum Refusal {
    /// The compressed stream is broken.
    #[error("the archive is not valid gzip: {0}")]
    Gzip(&'static str),
    /// The archive cannot be read.
    #[error("the archive is not a valid tar file: {0}")]
    Tar(&'static str),
    /// An entry's path could leave the package or cannot be represented.
    #[error("the path \"{}\" {reason}", escaped(path))]
    Path {
        /// The path as it was in the archive; what is not UTF-8 is replaced.
        path: String,
        /// Which rule it breaks.
        #[source]
        reason: NameError,
    },
    /// A device, fifo, socket, sparse file or unknown type.
    #[error("\"{}\" has the unsupported type {kind}", escaped(path))]
    EntryType {
        /// The entry.
        path: String,
        /// The type byte, escaped.
        kind: String,
    },
    /// The same path is a file and a directory of other files.
    #[error("\"{}\" is both a file and a directory", escaped(path))]
    FileAndDirectory {
        /// The path.
        path: String,
    },
    /// There are two different files `package.json`.
    #[error("the archive has two different files package.json")]
    AmbiguousManifest,
    /// There is nothing in it.
    #[error("the archive has no files")]
    Empty,
    /// The directory asked for is not there.
    #[error("the archive has no files under \"{}\"", escaped(path))]
    NoSubdirectory {
        /// The directory.
        path: String,
    },
    /// A limit of [`crate::limits`] was met.
    #[error("it has more than {limit} {what}")]
    TooLarge {
        /// Of what there is too much.
        what: &'static str,
        /// The limit.
        limit: u64,
    },
    /// `package.json` cannot be understood.
    #[error("its package.json is not valid: {reason}")]
    Manifest {
        /// Why.
        reason: String,
    },
    /// A command has a name that cannot be one path component of harmless characters.
    #[error("its command \"{}\" {reason}", escaped(name))]
    BinName {
        /// The name.
        name: String,
        /// Which rule it breaks.
        #[source]
        reason: NameError,
    },
    /// A command's target is outside the package.
    #[error(
        "its command \"{}\" points outside the package: \"{}\"",
        escaped(name),
        escaped(target)
    )]
    BinTarget {
        /// The command.
        name: String,
        /// Where it points.
        target: String,
    },
    /// Reading the archive or directory failed.
    #[error("it could not be read")]
    Read(#[source] io::Error),
}

impl StoreError {
    pub(crate) fn io(
        action: &'static str,
        path: impl Into<PathBuf>,
    ) -> impl FnOnce(io::Error) -> Self {
        let path = path.into();
        move |source| Self::Io {
            action,
            path,
            source,
        }
    }

    pub(crate) fn incompatible(path: &Path, reason: impl Into<String>) -> Self {
        Self::Incompatible {
            path: path.to_path_buf(),
            reason: reason.into(),
        }
    }

    /// Whether the fault is in the stored pack, so that fetching the package again mends it.
    pub fn is_damage(&self) -> bool {
        match self {
            Self::Pack { .. } | Self::PackFile { .. } => true,
            Self::Io { source, .. } => source.kind() == io::ErrorKind::NotFound,
            _ => false,
        }
    }
}

impl Refusal {
    fn code(&self) -> &'static str {
        match self {
            Self::Gzip(_) | Self::Tar(_) | Self::Empty | Self::Read(_) => {
                "ERR_PNPM_TARBALL_EXTRACT"
            }
            Self::Path { .. } => "ERR_PNPM_PATH_TRAVERSAL",
            Self::EntryType { .. } => "ERR_PACQUET_ENTRY_TYPE",
            Self::FileAndDirectory { .. } => "ERR_PACQUET_FILE_AND_DIRECTORY",
            Self::AmbiguousManifest => "ERR_PACQUET_AMBIGUOUS_MANIFEST",
            Self::NoSubdirectory { .. } => "ERR_PNPM_PATH_DOES_NOT_EXIST",
            Self::TooLarge { .. } => "ERR_PACQUET_PACKAGE_TOO_LARGE",
            Self::Manifest { .. } => "ERR_PNPM_BAD_PACKAGE_JSON",
            Self::BinName { .. } => "ERR_PACQUET_BIN_NAME",
            Self::BinTarget { .. } => "ERR_PACQUET_BIN_TARGET",
        }
    }
}

impl Diagnostic for StoreError {
    fn code(&self) -> &'static str {
        match self {
            Self::Io { .. } => "ERR_PACQUET_STORE_IO",
            Self::ReadOnly { .. } => "ERR_PNPM_FROZEN_STORE_WRITE",
            Self::Incompatible { .. } => "ERR_PACQUET_STORE_INCOMPATIBLE",
            Self::Index { .. } => "ERR_PACQUET_STORE_INDEX",
            Self::Busy { .. } => "ERR_PACQUET_STORE_BUSY",
            Self::Root { .. } => "ERR_PACQUET_STORE_ROOT",
            Self::Pack { .. } | Self::PackFile { .. } => "ERR_PACQUET_PACK_DAMAGED",
            Self::IntegritySyntax { .. } => "ERR_PACQUET_INTEGRITY_SYNTAX",
            Self::Integrity { .. } => "ERR_PNPM_TARBALL_INTEGRITY",
            Self::Refused { source, .. } => source.code(),
            Self::Transform { .. } => "ERR_PACQUET_TRANSFORM",
        }
    }

    fn hint(&self) -> Option<String> {
        let hint = match self {
            Self::Io { source, .. } => match source.kind() {
                io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => {
                    "free space on the file system of the store, or move it with --store-dir"
                }
                io::ErrorKind::PermissionDenied | io::ErrorKind::ReadOnlyFilesystem => {
                    "check who owns the store, or use another one with --store-dir"
                }
                io::ErrorKind::NotFound | io::ErrorKind::NotADirectory => {
                    "check that the store is there, or use another one with --store-dir"
                }
                _ => return None,
            },
            Self::ReadOnly { .. } => {
                "use a store that you may write with --store-dir, and leave out frozenStore"
            }
            Self::Incompatible { .. } => {
                "use another store with --store-dir, or a version of pacquet that knows this one"
            }
            Self::Refused {
                source: Refusal::TooLarge { .. },
                ..
            } => "if it is meant to be that large, raise the setting maxTarballUnpackedSize",
            Self::Refused {
                source: Refusal::NoSubdirectory { .. },
                ..
            } => "what stands behind `&path:` has to be a directory of the archive",
            Self::Refused { .. } => {
                "choose another version of the package (overrides do so for dependencies of \
                 dependencies), and tell those who publish it"
            }
            Self::IntegritySyntax { .. } => {
                "take the lockfile from version control again, or let `pacquet dedupe` write it"
            }
            Self::Busy { .. } => "wait until the other process has finished, then try again",
            Self::Root { .. } => {
                "nothing is removed while it is not known who needs what; remove the file if \
                 nobody does"
            }
            Self::Pack { .. } | Self::PackFile { .. } => {
                "run \"pacquet store verify\"; installing again replaces what is damaged"
            }
            Self::Integrity { .. } => {
                "the registry or a proxy sent other bytes than the lockfile names; find out why \
                 before you change the lockfile"
            }
            Self::Index { .. } if process::descriptor_limit() < DESCRIPTORS_MIN => {
                "raise the limit of open files (ulimit -n)"
            }
            Self::Index { .. } => "run \"pacquet store rebuild-index\"",
            _ => return None,
        };
        Some(hint.to_owned())
    }
}
