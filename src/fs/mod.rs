//! Serving: the project layer, the file system over it, the FUSE session and its server process.
//!
//! **Architecture Invariant:** it learns of a project only through a
//! [`crate::install::layout::Layout`]; it never reads a lockfile, a manifest or the network. The
//! store is only ever opened for reading.

pub mod adapter;
pub mod counters;
pub mod image;
pub mod layer;
pub mod memory;
pub mod node;
pub mod package;
pub mod vfs;
