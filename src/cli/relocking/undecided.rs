//! Entries of `allowBuilds` that wait for a decision, as pnpm writes them.

use serde_json::Value;

use super::Workspace;
use crate::cli::context::Context;
use crate::cli::failure::Failure;
use crate::name::name_in_key;

/// The setting.
const ALLOW_BUILDS: &str = "allowBuilds";

/// What stands there until somebody decides.
const UNDECIDED: &str = "set this to true or false";

impl Workspace {
    /// Takes out the entries that wait for a decision on packages that the lockfile has no longer.
    pub(in crate::cli) fn forget_undecided(&self, context: &Context) -> Result<(), Failure> {
        let config = &context.config;
        let lockfile = self.resolved.as_ref().or(self.previous());
        // What others of the workspace need stands in lockfiles of theirs.
        let Some(lockfile) = lockfile.filter(|_| !config.has_lockfiles_apart()) else {
            return Ok(());
        };
        let mut file = context.settings_file(config.root())?;
        let Some(Value::Object(entries)) = file.get(&[ALLOW_BUILDS])? else {
            return Ok(());
        };
        for (key, decision) in &entries {
            let name = name_in_key(key);
            let is_gone = || lockfile.packages.keys().all(|id| id.name_str() != name);
            if decision.as_str() == Some(UNDECIDED) && is_gone() {
                file.remove(&[ALLOW_BUILDS, key])?;
            }
        }
        context.draft(file.draft())
    }
}
