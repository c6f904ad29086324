//! What pacquet does today.
//!
//! What it does not do is shown in the tables as "not yet", never left out in silence. When it
//! comes, its line here changes, and nothing else.

use crate::peers::Kind;

/// Something that a scenario needs of pacquet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Capability {
    /// `pacquet install` without a lockfile.
    Resolve,
    /// `pacquet add`.
    Add,
    /// `pacquet install` that writes real files.
    RealFiles,
}

/// The ones that are there.
const DONE: &[Capability] = &[Capability::Resolve, Capability::Add, Capability::RealFiles];

/// Whether pacquet can.
pub(crate) fn has(capability: Capability) -> bool {
    DONE.contains(&capability)
}

/// Why a mode of pacquet takes no part.
pub(crate) fn missing_mode(kind: Kind) -> Option<&'static str> {
    (kind == Kind::PacquetReal && !has(Capability::RealFiles)).then_some("not yet")
}
