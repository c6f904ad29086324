//! Integration tests, one module an area.

mod lockfile;
