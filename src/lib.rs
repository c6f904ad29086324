//! pacquet: a JavaScript package installer whose `node_modules` is served by a FUSE mount.
//!
//! The rooms, and which may name which: [`cli`] → [`fs`], [`install`] → [`store`]. `fs` learns of
//! a project only through the [`install::layout::Layout`] that `install` builds.
//!
//! **Architecture Invariant:** the library never prints. Progress leaves it through
//! [`report::Reporter`], failures through one error enum per area, each of which is a
//! [`diagnostic::Diagnostic`].

pub mod cli;
pub mod diagnostic;
pub mod fs;
pub mod install;
pub(crate) mod lexical;
pub mod limits;
pub mod name;
pub mod report;
pub mod store;
pub(crate) mod sys;
