//! Integration tests.

#![allow(
    clippy::unwrap_used,
    clippy::print_stdout,
    reason = "tests fail by panicking, and say what they skip"
)]

mod mount;
mod mount_fixture;
mod semantics;
