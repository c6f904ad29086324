//! Which packages are lifted out of their place.

use super::options::Options;
use super::value::HoistingLimits;

/// Which packages are lifted out of their place.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Hoisting {
    /// `hoistPattern`: into `node_modules/.pnpm/node_modules`; `None` with `hoist: false`.
    pub private_patterns: Option<Vec<String>>,
    /// `publicHoistPattern`: into `node_modules`; `["*"]` with `shamefullyHoist`.
    pub public_patterns: Vec<String>,
    /// `hoistWorkspacePackages`.
    pub workspace_packages: bool,
    /// `hoistingLimits`, of the hoisted linker.
    pub limits: HoistingLimits,
}

pub(super) fn hoisting(options: &Options) -> Hoisting {
    let everything = || vec!["*".to_owned()];
    // The next install without `virtualStoreOnly` learns from the patterns that are recorded that
    // nothing was lifted.
    let is_nothing_lifted = options.virtual_store_only == Some(true);
    Hoisting {
        private_patterns: match options.hoist {
            _ if is_nothing_lifted => Some(Vec::new()),
            Some(false) => None,
            _ => Some(options.hoist_pattern.clone().unwrap_or_else(everything)),
        },
        public_patterns: match options.shamefully_hoist {
            _ if is_nothing_lifted => Vec::new(),
            Some(true) => everything(),
            _ => options.public_hoist_pattern.clone().unwrap_or_default(),
        },
        workspace_packages: options.hoist_workspace_packages.unwrap_or(true),
        limits: options.hoisting_limits.unwrap_or(HoistingLimits::None),
    }
}
