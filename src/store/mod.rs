//! The store: one immutable pack per package, and a bulk index over them.
//!
//! It turns a downloaded archive (or a directory) into a pack, answers in one query which packages
//! are there, and opens packs for reading. The truth is in the packs; the SQLite index can be
//! rebuilt from them.
//!
//! **Architecture Invariant:** it knows nothing of projects, lockfiles, networks or mounts. What it
//! is given is bytes and a key.
//!
//! **Architecture Invariant:** nothing in the store is written after it has got its final name. A
//! pack appears by rename, whole; a row names a pack only after the pack has appeared.

pub mod model;

pub use model::{Bin, BinRunner, FileEntry, PackId, PackageFacts, PackageKey, PackageRecord};
