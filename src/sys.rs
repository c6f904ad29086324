//! The only module with `unsafe` and `libc`: small safe functions around system calls that `std`
//! does not have.
//!
//! Each function says which manual page it follows and returns `io::Result`.

#![allow(unsafe_code)]

pub(crate) mod channel;
pub(crate) mod directory;
pub(crate) mod file;
pub(crate) mod fuse;
pub(crate) mod memory;
pub(crate) mod process;
pub(crate) mod signal;
pub(crate) mod store;
pub(crate) mod watch;
