//! One module a command.

pub(super) mod add;
pub(super) mod builds;
pub(super) mod completion;
pub(super) mod dedupe;
pub(super) mod dlx;
pub(super) mod exec;
pub(super) mod fetch;
pub(super) mod import;
pub(super) mod init;
pub(super) mod install;
pub(super) mod list;
pub(super) mod mount;
pub(super) mod place;
pub(super) mod profile;
pub(super) mod remove;
pub(super) mod run;
pub(super) mod serve;
pub(super) mod service;
pub(super) mod status;
pub(super) mod store;
pub(super) mod update;
pub(super) mod why;
