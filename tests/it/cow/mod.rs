//! Writing into a mounted tree.

mod files;
mod names;
