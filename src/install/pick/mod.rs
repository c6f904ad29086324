//! Specifiers, and the choice of a version: a function of a packument, a specifier and preferences.
//!
//! **Architecture Invariant:** nothing here touches disk or network, and the same inputs choose the
//! same version.

mod choose;
mod git;
mod options;
mod selector;
mod specifier;
mod trust;

pub use choose::{PickError, is_immature, pick, pick_without};
pub use git::{GitHost, GitReference, GitSpecifier, HostedRepository};
pub use options::{
    Exclusion, PackagePatterns, PatternError, PatternSetting, PickOptions, Preferred,
    PreferredSelector, WEIGHT_ABOVE, WEIGHT_DIRECT, WEIGHT_HELD, WEIGHT_LOCKED,
};
pub use selector::Selector;
pub use specifier::{
    LocalKind, LocalSpecifier, RegistryChoice, RegistrySpecifier, Specifier, SpecifierContext,
    SpecifierError, WorkspaceSpecifier,
};
pub use trust::{TrustCheck, TrustError};

#[cfg(test)]
mod tests;
