//! From a project to a lockfile that fits it: what is known already is kept, the rest is resolved,
//! and the file is replaced in one step.
//!
//! **Architecture Invariant:** the lockfile is the only file that is written, and only when all of
//! it is known.

mod error;
mod settings;
mod source;
mod write;

use std::sync::Arc;

pub use error::RelockError;
pub use write::write;

use crate::install::config::{Config, Environment};
use crate::install::locked::Patches;
use crate::install::lockfile::Lockfile;
use crate::install::registry::{Client, ClientLimits};
use crate::install::resolve::Resolution;
use crate::install::workspace::Project;
use crate::report::Reporter;
use crate::store::Store;
use source::PackageSource;

/// What a lockfile is made from.
#[derive(Debug, Clone, Copy)]
pub struct Relock<'a> {
    /// The configuration.
    pub config: &'a Config,
    /// For the `git` program.
    pub environment: &'a Environment,
    /// Every project.
    pub projects: &'a [Project],
    /// The patch files.
    pub patches: &'a Patches,
    /// The lockfile so far.
    pub previous: Option<&'a Lockfile>,
}

impl Relock<'_> {
    /// The lockfile that fits.
    ///
    /// # Errors
    /// A dependency that cannot be resolved, or a setting that cannot be used.
    pub fn run(
        &self,
        store: &Store,
        reporter: &Arc<dyn Reporter>,
    ) -> Result<Lockfile, RelockError> {
        let _span = tracing::info_span!("resolve").entered();
        let config = self.config;
        let mut recorded = settings::recorded(config, self.projects, self.patches);
        let hooks = settings::hooks(config, &recorded)?;
        let projects = settings::projects(config, self.projects, &hooks);
        if let Some(previous) = self.previous {
            recorded
                .pnpmfile_checksum
                .clone_from(&previous.pnpmfile_checksum);
        }
        let settings = settings::settings(
            config,
            self.projects,
            &projects,
            self.previous,
            self.patches,
            hooks,
            reporter,
        )?;
        let mut limits = ClientLimits::new(store.path().join("tmp"));
        limits.spool_prefix = Store::temporary_prefix();
        let client = Arc::new(Client::new(config, limits, Arc::clone(reporter)));
        let temporary = store.path().join("tmp");
        let source = PackageSource::new(config, client, self.environment, temporary)?;
        let resolution = Resolution {
            projects: &projects,
            recorded: &recorded,
            previous: self.previous.map(|previous| (previous, true)),
            modules_directory: &config.modules_directory,
        };
        Ok(resolution.run(&settings, &source)?)
    }
}
