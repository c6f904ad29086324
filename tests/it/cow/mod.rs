//! Writing into a mounted tree.

mod calls;
mod exchange;
mod files;
mod journal;
mod model;
mod modes;
mod names;
mod store;
