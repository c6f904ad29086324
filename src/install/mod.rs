//! Installing: configuration, manifests, lockfile, network, and the layout of `node_modules`.
//!
//! **Architecture Invariant:** it never mounts and never prints. Its product is a
//! [`layout::Layout`], which the `fs` room serves.

pub mod audit;
pub mod builds;
pub mod config;
pub mod config_packages;
pub mod deploy;
pub mod drafts;
pub mod filter;
pub mod foreign;
pub mod git;
pub mod inspect;
pub mod layout;
pub mod locked;
pub mod lockfile;
pub mod manifest;
pub mod manifest_edit;
pub mod metadata;
pub mod origins;
mod overrides;
pub mod package_lock;
pub mod patch;
pub mod pick;
pub mod pnpmfile;
pub mod property_path;
pub mod publish;
pub mod real;
pub mod registry;
pub mod relock;
pub mod resolve;
mod runtime;
pub mod scripts;
pub mod select;
pub mod semver;
pub mod settings_file;
pub mod workspace;
