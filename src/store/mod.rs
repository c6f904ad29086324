//! The store: one immutable pack per package, and a bulk index over them.
//!
//! It turns a downloaded archive (or a directory) into a pack, answers in one query which packages
//! are there, and opens packs for reading. The truth is in the packs; the SQLite index can be
//! rebuilt from them. `docs/STORE.md` has the promises.
//!
//! **Architecture Invariant:** it knows nothing of projects, lockfiles, networks or mounts. What it
//! is given is bytes and a key.
//!
//! **Architecture Invariant:** nothing in the store is written after it has got its final name. A
//! pack appears by rename, whole; a row names a pack only after the pack has appeared.

mod codec;
mod error;
mod facade;
mod format;
mod index;
mod ingest;
mod integrity;
mod layout;
mod lock;
pub mod model;
mod pack;
mod prune;
mod scan;
mod table;
mod unpacked;
mod verify;
mod workers;
mod write;

pub use error::{Refusal, StoreError, TransformError};
pub use facade::{Access, Store};
pub use format::FormatError;
pub use index::pnpm_rows;
pub use ingest::{
    IngestOptions, IngestWarning, Packed, PendingFile, TarballSource, Transform, Unpacker,
    Unpacking,
};
pub use integrity::{Algorithm, Integrity, IntegrityChecker, Mismatch};
pub use layout::default_path;
pub use model::{
    Bin, BinRunner, BundledBin, FileEntry, PackId, PackageFacts, PackageKey, PackageRecord,
    RebuildReport, StoreStatus,
};
pub use pack::{Pack, PackReader};
pub use prune::{PrunePlan, Pruner};
pub use table::{NodeKind, PackTable, ROOT};
pub use unpacked::Unpacked;
pub use verify::{Finding, Severity};
pub use workers::start_workers;
