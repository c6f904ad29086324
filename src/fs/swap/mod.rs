//! Taking the project layer of a live mount away and putting another in its place.
//!
//! What is the same in both has the same node id afterwards ([`successor`]); what is not has one
//! that nothing has had. So the kernel's caches stay right but for names in directories that are in
//! both, and only these are invalidated ([`changes`]). Whoever has a file open that is not there
//! any more goes on reading it from the layer before.

mod announce;
mod changes;
mod gone;
mod live;
mod successor;
mod terms;
#[cfg(test)]
mod tests;

pub(super) use announce::{Announcer, Announcing, PASSING, Passage, Step};
pub(super) use live::{LiveTree, LiveTrees, SwapError};
pub(super) use terms::{Forgotten, Terms};

use changes::{Change, changes_between};
use successor::successor;
