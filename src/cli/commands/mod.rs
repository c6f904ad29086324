//! One module a command.

pub(super) mod add;
pub(super) mod dedupe;
pub(super) mod exec;
pub(super) mod install;
pub(super) mod mount;
pub(super) mod profile;
pub(super) mod remove;
pub(super) mod run;
pub(super) mod serve;
pub(super) mod status;
pub(super) mod store;
pub(super) mod update;
