//! Every integration test, in one binary to link once.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::print_stderr,
    clippy::print_stdout
)]

mod compare;
mod config;
mod config_cli;
mod faults_lockfile;
mod faults_mount;
mod faults_registry;
mod faults_table;
mod faults_tarball;
mod install;
mod kill;
mod large;
mod layout;
mod lockfile;
mod metadata;
mod mount;
mod mount_damage;
mod mount_fixture;
mod mount_helper;
mod network;
mod offline;
mod origins;
mod project;
mod registry;
mod resolve;
mod semantics;
mod store;
mod store_faults;
mod tidy;
