//! Known vulnerabilities of what a lockfile has, as the registry's advisories tell them.
//!
//! `graph` knows which packages there are, how they are reached and for what; `ask` asks the
//! registry; `report` joins the two; `fix` works out what to put in their place.
//!
//! **Architecture Invariant:** what the registry says is never believed further than it goes: an
//! advisory counts where its range has a version of the lockfile.

mod ask;
mod error;
mod fix;
mod graph;
mod report;

pub use ask::Registry;
pub use error::AuditError;
pub use fix::overrides;
pub use graph::{AuditGraph, Counts};
pub use report::{Advisory, Finding, Patched, Report, Severity, normal_ghsa};

#[cfg(test)]
mod tests;
