//! Packuments: what registries say about packages, fetched once a run, kept in a cache on disk.
//!
//! A packument is read as an index: its versions, tags and times, and for each version where its
//! manifest stands. A manifest is parsed when somebody asks for that version, for a package may
//! have thousands of them and one is chosen.
//!
//! **Architecture Invariant:** it never chooses a version (see [`super::pick`]) and never touches
//! a project or the store.
//!
//! **Architecture Invariant:** a [`Packument`] is the one that was asked for (its name was
//! compared), and a [`VersionManifest`] has only valid names, a tarball address of http or https,
//! and an integrity. What the cache holds is checked as what the network gives.

mod cache;
mod document;
mod error;
mod image;
mod manifest;
mod packument;
mod packuments;
mod request;
mod time;
mod whole;
mod wire;

pub use error::{ManifestRefusal, MetadataError};
pub use manifest::{Bundled, Distribution, TrustEvidence, VersionManifest};
pub use packument::{Packument, VersionIndex};
pub use packuments::{Form, Packuments};
pub use request::{Picked, Wanted};
pub use whole::WholeDocument;

#[cfg(test)]
pub(crate) mod tests;
