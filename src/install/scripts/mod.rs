//! Scripts of projects and packages: their environment, their processes, and the order in which
//! they run.
//!
//! A script is a line of shell from a `package.json`. [`Launcher`] knows everything that the
//! scripts of one command share, [`Launcher::run`] runs one to its end; [`schedule`] runs many in
//! an order.
//!
//! **Architecture Invariant:** nothing is printed here. What a script says goes to the terminal by
//! itself or, line by line, to the [`Reporter`](crate::report::Reporter).
//!
//! **Architecture Invariant:** no script outlives its command by accident: every process is in
//! [`Children`] from its start to its end, and whoever ends the command ends those first. (A
//! daemon that starts a session of its own escapes, as it does from a shell.)

mod draining;
mod environment;
mod error;
mod lifecycle;
mod manifest;
mod output;
mod process;
pub mod schedule;
mod shell;

pub use environment::{EnvironmentChange, NodeGyp, ScriptPlaces, node_path_of};
pub use error::ScriptError;
pub use lifecycle::{Launcher, ProjectStages, Script};
pub use manifest::ScriptManifest;
pub use output::ScriptOutput;
pub use process::{Children, Limits, ScriptEnd};
pub use shell::{quoted, with_arguments};
