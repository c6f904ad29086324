//! From a project to a lockfile that fits it: what is known already is kept, the rest is resolved,
//! and what comes of it is a draft of the file.
//!
//! **Architecture Invariant:** nothing of the project is written here.

mod change;
mod conflict;
mod deprecated;
mod error;
mod newest;
mod peer_issues;
mod pin;
mod settings;
mod source;
mod write;

use std::cell::OnceCell;
use std::sync::Arc;

pub use change::{Named, Specifiers};
pub use conflict::{has_conflict, merged, put_together};
pub use error::RelockError;
pub use newest::{Newest, Reach};
pub use peer_issues::{PeerIssues, peer_issues};
pub use pin::pin;
pub use write::{draft, whole_text};

use crate::install::config::{Config, Environment, ResolutionMode};
use crate::install::foreign::Pinned;
use crate::install::locked::{ChosenSender, MayLack, Patches, fits};
use crate::install::lockfile::{ImporterId, Lockfile};
use crate::install::pick::Selector;
use crate::install::pnpmfile::PnpmfileHooks;
use crate::install::registry::{Client, ClientLimits};
use crate::install::resolve::{Resolution, ResolveProject, Update, edited, says_nothing_new};
use crate::install::workspace::Project;
use crate::name::PackageName;
use crate::report::{Event, Reporter};
use crate::store::Store;
use source::PackageSource;

/// How much of the lockfile so far is kept.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Keep {
    /// What still fits, with everything below it.
    #[default]
    Subtrees,
    /// Its versions are preferred, and everything is gone through again.
    Versions,
}

/// What a lockfile is made from.
#[derive(Debug, Clone, Copy)]
pub struct Relock<'a> {
    /// The configuration.
    pub config: &'a Config,
    /// For the programs that are run.
    pub environment: &'a Environment,
    /// Every project of the lockfile.
    pub projects: &'a [Project],
    /// Projects of the workspace that have lockfiles of their own, and may be depended on.
    pub siblings: &'a [Project],
    /// The patch files.
    pub patches: &'a Patches,
    /// The lockfile so far.
    pub previous: Option<&'a Lockfile>,
    /// How much of it is kept.
    pub keep: Keep,
    /// What another installer's lockfile pins: then nothing else is preferred.
    pub pinned: Option<&'a Pinned>,
    /// What is updated, by importer; others keep what they have.
    pub updates: &'a [(ImporterId, Update)],
    /// Versions that the user named.
    pub requested: &'a [(PackageName, Selector)],
    /// Who fetches what is chosen, at once.
    pub chosen: Option<&'a ChosenSender>,
    /// Whether metadata is believed for as long as the registry said that it stays true.
    pub trusts_cache: bool,
    /// Names of dependencies that the user added.
    pub added: &'a [PackageName],
}

/// What came of it.
#[derive(Debug)]
pub struct Relocked {
    /// The lockfile.
    pub lockfile: Lockfile,
    /// Its packages that are younger than `minimumReleaseAge` allows, for there was nothing older.
    pub immature: Vec<Box<str>>,
}

/// The specifiers that commands write, where the lockfile so far is `previous`.
///
/// # Errors
/// A setting that cannot be used.
pub fn specifiers<'a>(
    config: &'a Config,
    environment: &Environment,
    store: &Store,
    reporter: &Arc<dyn Reporter>,
    previous: Option<Arc<Lockfile>>,
) -> Result<Specifiers<'a>, RelockError> {
    Ok(Specifiers {
        previous,
        locked: OnceCell::new(),
        config,
        source: source(config, environment, store, reporter)?,
        context: settings::specifiers(config),
    })
}

fn source(
    config: &Config,
    environment: &Environment,
    store: &Store,
    reporter: &Arc<dyn Reporter>,
) -> Result<PackageSource, RelockError> {
    let limits = ClientLimits::beside(store);
    let temporary = limits.spool_directory.clone();
    let client = Arc::new(Client::new(config, limits, Arc::clone(reporter)));
    PackageSource::new(config, client, environment, temporary)
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
    ) -> Result<Relocked, RelockError> {
        let _span = tracing::info_span!("resolve").entered();
        let config = self.config;
        let mut recorded = settings::recorded(config, self.projects, self.patches);
        let pnpmfile = PnpmfileHooks::load(config, reporter)?;
        let checksum = pnpmfile.as_ref().and_then(|hooks| hooks.checksum());
        recorded.pnpmfile_checksum = checksum.map(Into::into);
        let hooks = settings::hooks(config, &recorded, pnpmfile.clone())?;
        let (mut projects, are_overridden) = settings::projects(self.projects, &hooks)?;
        for project in &mut projects {
            let update = self.updates.iter().find(|(id, _)| *id == project.id);
            if let Some((_, update)) = update {
                project.update.clone_from(update);
            }
        }
        if let Some(lockfile) = self.edited(&projects, are_overridden, reporter) {
            let immature = Vec::new();
            return Ok(Relocked { lockfile, immature });
        }
        let dedupes = self.keep == Keep::Versions || config.graph.auto_dedupe;
        let previous = settings::without_released(self.previous, &recorded);
        let previous = previous.as_deref();
        let preferences = match self.pinned {
            Some(pinned) => settings::pinned(&projects, pinned),
            None => settings::preferences(config, &projects, dedupes, (previous, self.requested)),
        };
        let settings = settings::settings(
            config,
            (self.projects, self.siblings),
            self.patches,
            preferences,
            hooks,
            reporter,
        )?;
        let mut source = source(config, self.environment, store, reporter)?;
        if let Some(chosen) = self.chosen {
            source.tell(chosen.clone());
        }
        source.trust_cache(self.trusts_cache);
        source.keep_json(
            pnpmfile
                .as_ref()
                .is_some_and(|hooks| hooks.reads_packages()),
        );
        let projects = settings::updated(projects, dedupes);
        let resolution = Resolution {
            projects: &projects,
            recorded: &recorded,
            previous: previous.map(|previous| (previous, settings::is_same(previous, &recorded))),
            replaced: previous,
            modules_directory: &config.modules_directory,
        };
        let lockfile = resolution.run(&settings, &source)?;
        let immature = source.immature(&lockfile);
        // Freeing a thousand packuments takes milliseconds that nobody has to wait for.
        let release = std::thread::Builder::new().name("release".to_owned());
        let _ = release.spawn(move || drop(source));
        self.refuse_young(&immature)?;
        self.tell_peer_issues(&lockfile, reporter)?;
        deprecated::warn(&lockfile, &config.graph.allowed_deprecated, &**reporter);
        let lockfile = match pnpmfile {
            Some(hooks) => hooks.of_lockfile(lockfile)?,
            None => lockfile,
        };
        let immature = immature.into_iter().map(|(id, _)| id).collect();
        Ok(Relocked { lockfile, immature })
    }

    fn refuse_young(&self, immature: &[(Box<str>, Box<str>)]) -> Result<(), RelockError> {
        if !self.config.resolution.minimum_release_age_strict || immature.is_empty() {
            return Ok(());
        }
        let sentence = |(id, time): &(_, _)| format!("{id} was published at {time}");
        let young = immature.iter().map(sentence).collect();
        Err(RelockError::Immature { young })
    }

    /// The lockfile, where it fits after an edit that chooses nothing.
    fn edited(
        &self,
        projects: &[ResolveProject],
        are_overridden: bool,
        reporter: &Arc<dyn Reporter>,
    ) -> Option<Lockfile> {
        let config = self.config;
        let chooses = self.keep == Keep::Versions || !self.updates.is_empty();
        let previous = self
            .previous
            .filter(|_| !chooses && config.lockfile.prefer_frozen)?;
        let picks_lowest = config.resolution.mode != ResolutionMode::Highest;
        let fitting = |lockfile: &Lockfile| {
            let (projects, patches, lacks) = (self.projects, self.patches, MayLack::Nothing);
            fits(lockfile, projects, patches, config, lacks, reporter).is_ok()
        };
        // pnpm edits by what manifests say themselves, and what comes of it does not fit where
        // overrides say something else.
        let lockfile = (!are_overridden)
            .then(|| edited(previous, projects, picks_lowest))
            .flatten()
            .filter(fitting);
        lockfile.or_else(|| {
            let stays = says_nothing_new(previous, self.added) && fitting(previous);
            stays.then(|| previous.clone())
        })
    }

    fn tell_peer_issues(
        &self,
        lockfile: &Lockfile,
        reporter: &Arc<dyn Reporter>,
    ) -> Result<(), RelockError> {
        let rules = &self.config.graph.peer_rules;
        let issues = peer_issues(lockfile, self.projects, rules);
        if issues.is_empty() {
            return Ok(());
        }
        if self.config.lockfile.strict_peer_dependencies {
            return Err(RelockError::Peers {
                report: issues.report(),
                has_missing: issues.has_missing(),
            });
        }
        reporter.report(&Event::Warning {
            code: "ERR_PNPM_PEER_DEP_ISSUES",
            message: "Issues with peer dependencies found. Run \"pacquet peers check\" to list \
                      them.",
        });
        Ok(())
    }
}
