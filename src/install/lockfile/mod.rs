//! `pnpm-lock.yaml` 9.0: its model, and (in the sibling modules) reading, writing and checking it.
//!
//! **Architecture Invariant:** a [`model::Lockfile`] that exists is well-formed: names are
//! [`crate::name::PackageName`]s, every reference names a snapshot that is there, every snapshot
//! has its package. Reading refuses everything else.

pub mod model;

pub use model::*;
