//! Why real files could not be written.

use std::io;
use std::path::PathBuf;

use crate::diagnostic::Diagnostic;
use crate::name::escaped;
use crate::store::StoreError;

/// A failure while `node_modules` is written as real files. What was there before is still whole,
/// package by package; the next install goes on.
#[derive(Debug, thiserror::Error)]
pub enum RealError {
    /// A system call failed.
    #[error("Cannot {action} {}", escaped(&path.to_string_lossy()))]
    Io {
        /// What was tried, as an infinitive.
        action: &'static str,
        /// On what.
        path: PathBuf,
        /// Why it failed.
        #[source]
        source: io::Error,
    },
    /// `node_modules`, or something above a package, is a symlink or a file.
    #[error("{} is not a directory", escaped(&path.to_string_lossy()))]
    NotDirectory {
        /// What.
        path: PathBuf,
    },
    /// A directory of the tree cannot be written, or a file of it cannot be replaced.
    #[error("{} cannot be written", escaped(&path.to_string_lossy()))]
    Fixed {
        /// What.
        path: PathBuf,
    },
    /// Something that is not a symlink is where a link belongs.
    #[error("{} is in the way of a dependency's link", escaped(&path.to_string_lossy()))]
    InTheWay {
        /// What.
        path: PathBuf,
    },
    /// `packageImportMethod: clone`, and the file system has no reflinks.
    #[error(
        "{} cannot be cloned: the file system has no reflinks",
        escaped(&path.to_string_lossy())
    )]
    NoReflink {
        /// The file.
        path: PathBuf,
    },
    /// The store failed.
    #[error("The package {} cannot be read from the store", escaped(package))]
    Store {
        /// Its depPath.
        package: Box<str>,
        /// Why.
        #[source]
        source: StoreError,
    },
}

impl RealError {
    pub(super) fn io(
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
}

impl Diagnostic for RealError {
    fn code(&self) -> &'static str {
        match self {
            Self::Io { source, .. } if source.kind() == io::ErrorKind::StorageFull => {
                "ERR_PACQUET_DISK_FULL"
            }
            Self::Io { .. } | Self::Fixed { .. } => "ERR_PACQUET_WRITE",
            Self::NotDirectory { .. } | Self::InTheWay { .. } => "ERR_PACQUET_IN_THE_WAY",
            Self::NoReflink { .. } => "ERR_PACQUET_NO_REFLINK",
            Self::Store { source, .. } => source.code(),
        }
    }

    fn hint(&self) -> Option<String> {
        match self {
            Self::Io { path, source, .. } => match source.kind() {
                io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => Some(format!(
                    "make room on the file system of {} and install again; \
                     `pacquet store prune` removes packages that nobody uses",
                    path.display()
                )),
                io::ErrorKind::PermissionDenied | io::ErrorKind::ReadOnlyFilesystem => {
                    Some(format!(
                        "make the directory of {} writable for this user",
                        path.display()
                    ))
                }
                _ => None,
            },
            Self::Fixed { path } => Some(format!(
                "make {} writable for this user (it can belong to another one, be immutable or be \
                 on a file system that is mounted read-only)",
                path.display()
            )),
            Self::NotDirectory { path } | Self::InTheWay { path } => {
                Some(format!("move {} away", path.display()))
            }
            Self::NoReflink { .. } => {
                Some("set packageImportMethod to auto, hardlink or copy".to_owned())
            }
            Self::Store { source, .. } => source.hint(),
        }
    }
}
