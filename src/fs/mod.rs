//! Serving: the project layer, the file system over it, the FUSE session and its server process.
//!
//! **Architecture Invariant:** it learns of a project only through a
//! [`crate::install::layout::Layout`]; it never reads a lockfile, a manifest or the network. The
//! store is only ever opened for reading.

pub mod adapter;
mod asking;
pub mod attributes;
mod claim;
pub mod control;
pub mod counters;
pub mod error;
mod exclusive;
pub mod holders;
pub mod image;
pub mod kernel;
pub mod layer;
pub mod links;
pub mod lower;
pub mod memory;
pub mod mount;
pub mod mountinfo;
pub mod mountpoint;
pub mod node;
pub mod package;
mod removal;
mod resent;
pub mod server;
pub mod status;
pub mod stored;
pub mod supervisor;
mod swap;
mod unmount;
pub mod upgrade;
pub mod upper;
pub mod vfs;
mod vfs_change;
pub mod vfs_error;
mod vfs_exchange;
pub mod vfs_files;
mod vfs_follow;
pub mod vfs_names;
mod vfs_retire;
pub mod warm;

#[cfg(test)]
mod image_tests;
