//! Installing: configuration, manifests, lockfile, network, and the layout of `node_modules`.
//!
//! **Architecture Invariant:** it never mounts and never prints. Its product is a
//! [`layout::Layout`], which the `fs` room serves.

pub mod layout;
pub mod lockfile;
pub mod patch;
pub mod select;
pub mod semver;
