//! Every integration test, in one binary to link once.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::print_stderr, clippy::print_stdout)]

mod config;
mod install;
mod layout;
mod mount;
mod network;
mod project;
mod registry;
mod store;
mod tidy;
