//! Every integration test, in one binary to link once.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::print_stderr, clippy::print_stdout)]

mod config;
mod faults_tarball;
mod install;
mod layout;
mod lockfile;
mod mount;
mod mount_fixture;
mod network;
mod project;
mod registry;
mod semantics;
mod store;
mod tidy;
