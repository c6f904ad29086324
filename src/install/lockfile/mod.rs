//! `pnpm-lock.yaml` 9.0: its model, and (in the sibling modules) reading, writing and checking it.
//!
//! **Architecture Invariant:** a [`model::Lockfile`] that exists is well-formed: names are
//! [`crate::name::PackageName`]s, every reference names a snapshot that is there, every snapshot
//! has its package. Reading refuses everything else. Nothing here touches the disk or the network.

mod checksum;
mod dep_path;
mod environment;
mod error;
mod frozen;
mod manifest_drift;
pub mod model;
mod read;
mod write;
mod yaml;

pub use checksum::{
    package_extensions_checksum, patch_file_hash, pnpmfile_checksum, pnpmfiles_checksum,
};
pub use dep_path::DepPathError;
pub use environment::{EnvironmentDocument, PinnedPackage, environment_in, has_main_document};
pub use error::{LockfileError, LockfileWarning};
pub use frozen::{
    FrozenError, LockfileSettings, PEERS_SUFFIX_LENGTH_DEFAULT, ProjectManifest, Specifiers,
    check_directories, check_frozen,
};
pub use manifest_drift::{ManifestDrift, SpecifierDifference, linked_importer};
pub use model::*;
pub use read::{
    check_integrity, check_whole, leave_out_dangling, read_current_lockfile, read_environment,
    read_lockfile, read_mended, read_side, with_plain_lines,
};
pub use write::write_lockfile;
pub use yaml::SyntaxFault;
