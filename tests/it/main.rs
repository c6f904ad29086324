//! Every integration test, in one binary to link once.

#![allow(clippy::unwrap_used, clippy::print_stderr, clippy::print_stdout)]

mod install;
mod project;
mod tidy;
