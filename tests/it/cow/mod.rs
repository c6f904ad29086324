//! Writing into a mounted tree.

mod files;
mod journal;
mod model;
mod names;
