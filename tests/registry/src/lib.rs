//! A package registry of our own, on loopback, for tests and benchmarks.
//!
//! - [`Registry`] serves packages that a test makes on the fly ([`Package`], [`TarballBuilder`]),
//!   records every request, and misbehaves on request ([`Fault`]).
//! - [`lockfile`] writes the `pnpm-lock.yaml` of such packages, [`generate`] makes whole projects
//!   with everything in them, [`workspace`] plain ones of any size.
//! - [`program`] writes what a test runs.
//! - [`record`] keeps what a real registry serves; [`replay`] serves it again, cheaply.
//!
//! **Architecture Invariant:** it knows nothing of pacquet, and listens on loopback only.

#![cfg_attr(test, allow(clippy::unwrap_used))]

pub mod fault;
pub mod generate;
mod http;
pub mod integrity;
pub mod lockfile;
pub mod package;
pub mod packument;
pub mod program;
pub mod record;
pub mod recording;
mod registry;
pub mod replay;
pub mod tarball;
pub mod workspace;

pub use fault::{Fault, When};
pub use http::Request;
pub use package::{Built, Digests, Package, tarball_path};
pub use registry::{Registry, Shortcomings};
pub use tarball::{Entry, LongName, TarballBuilder};
