//! The tree that an install makes: directories, symlinks, generated files, and which package sits
//! where. The sibling modules build it for each linker; this one is what `fs` sees.
//!
//! **Architecture Invariant:** building a layout never looks into a package and never touches the
//! disk. It is a function of lockfile, configuration, platform and the store's records.

pub mod model;

pub use model::*;
