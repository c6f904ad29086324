//! Integration tests.

mod mount;
mod mount_fixture;
mod semantics;
