//! Integration tests.

mod mount;
