//! Every integration test, in one binary to link once.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::print_stderr,
    clippy::print_stdout
)]

mod additions;
mod apart;
mod approve;
mod auditing;
mod branches;
mod builds;
mod compare;
mod config;
mod config_cli;
mod config_packages;
mod copies;
mod cow;
mod deploy;
mod early;
mod faults_lockfile;
mod faults_mount;
mod faults_registry;
mod faults_table;
mod faults_tarball;
mod filtered;
mod freshness;
mod given_peers;
mod global;
mod import;
mod inquiries;
mod inspect;
mod install;
mod kept;
mod kill;
mod large;
mod layout;
mod limits;
mod lockfile;
mod metadata;
mod mount;
mod mount_damage;
mod mount_fixture;
mod mount_helper;
mod mount_resent;
mod mount_supervisor;
mod mount_swap;
mod mount_warm;
mod mount_watch;
mod network;
mod offline;
mod origins;
mod outdated;
mod package_fields;
mod package_lock;
mod packing;
mod patching;
mod peers;
mod pnpmfile;
mod policies;
mod project;
mod prune;
mod real;
mod real_faults;
mod refreshed;
mod registry;
mod removal;
mod repositories;
mod resolve;
mod run;
mod runtimes;
mod semantics;
mod service;
mod settings;
mod store;
mod store_faults;
mod store_import;
mod tidy;
mod transaction;
mod updates;
mod usage;
mod versions;
mod viewing;
mod workspaces;
