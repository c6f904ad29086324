//! Writing into a mounted tree.

mod calls;
mod files;
mod journal;
mod model;
mod names;
