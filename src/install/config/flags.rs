//! Settings that stand for flags of single commands, where those are not written.

use super::options::Options;
use super::value::{InitialType, ReporterName};

/// What flags of single commands mean where they are not written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct DefaultFlags {
    /// `sort`: scripts of projects wait for those of what they depend on.
    pub sorts: bool,
    /// `reverse`: they wait for those of what depends on them.
    pub reverses: bool,
    /// `bail`: nothing else is begun after a failure.
    pub bails: bool,
    /// `stream`: output of scripts is shown line by line.
    pub streams: bool,
    /// `reporter`.
    pub reporter: Option<ReporterName>,
    /// `initType`.
    pub initial_type: Option<InitialType>,
}

pub(super) fn flags(options: &Options) -> DefaultFlags {
    DefaultFlags {
        sorts: options.sort.unwrap_or(true),
        reverses: options.reverse.unwrap_or(false),
        bails: options.bail.unwrap_or(true),
        streams: options.stream.unwrap_or(false),
        reporter: options.reporter,
        initial_type: options.init_type,
    }
}
