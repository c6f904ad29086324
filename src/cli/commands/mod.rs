//! One module a command.

pub(super) mod builds;
pub(super) mod dlx;
pub(super) mod exec;
pub(super) mod install;
pub(super) mod mount;
pub(super) mod run;
pub(super) mod serve;
pub(super) mod status;
pub(super) mod store;
