//! `pnpm-lock.yaml` 9.0: its model, and (in the sibling modules) reading, writing and checking it.
//!
//! **Architecture Invariant:** a [`model::Lockfile`] that exists is well-formed: names are
//! [`crate::name::PackageName`]s, every reference names a snapshot that is there, every snapshot
//! has its package. Reading refuses everything else. Nothing here touches the disk or the network.

mod dep_path;
mod error;
pub mod model;
mod read;
mod write;
mod yaml;

pub use dep_path::DepPathError;
pub use error::{LockfileError, LockfileWarning};
pub use model::*;
pub use read::{check_integrity, read_current_lockfile, read_lockfile};
pub use write::write_lockfile;
pub use yaml::SyntaxFault;
