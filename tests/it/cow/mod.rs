//! Writing into a mounted tree.

mod files;
mod journal;
mod names;
