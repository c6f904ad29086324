//! When the lockfile is made anew, and when it is left alone; and the changes of manifests that go
//! with it. Nothing is written here: it is what the context has decided.

mod branches;
mod checksums;
mod standing;
mod undecided;
mod widening;

use std::collections::{BTreeMap, HashSet};
use std::fs;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::arguments::{ChangeArguments, WorkspaceArguments};
use super::commands::add::catalog;
use super::commands::install;
use super::context::Context;
use super::exceptions::{self, Exceptions};
use super::failure::Failure;
use super::scripting::{self, Root};
use super::serving::{UP_TO_DATE, open_store};
use crate::install::config::Config;
use crate::install::drafts::Drafts;
use crate::install::foreign::{self, Pinned};
use crate::install::locked::{
    Groups, InstallError, LockfilePlace, MayLack, Patches, Supply, check_engines, fits,
    registry_version, verify_policies,
};
use crate::install::lockfile::{
    ImporterId, LOCKFILE_VERSION, Lockfile, Reference, environment_in, has_main_document,
    read_current_lockfile, read_lockfile, read_mended, with_plain_lines, write_lockfile,
};
use crate::install::manifest::ManifestError;
use crate::install::manifest_edit::{Field, ManifestEdit};
use crate::install::pick::Selector;
use crate::install::relock::{
    Keep, Relock, Specifiers, draft, has_conflict, merged, pin, specifiers,
};
use crate::install::resolve::Update;
use crate::install::semver::Range;
use crate::install::workspace::{self, Project};
use crate::name::PackageName;
use crate::report::Event;
use crate::store::{Access, Store};

pub(super) use branches::merge_branches;
pub(super) use checksums::update_checksums;
pub(super) use standing::stands;

/// All projects, their lockfile so far, and what is to change.
pub(super) struct Workspace {
    projects: Vec<Project>,
    /// Projects of the workspace that have lockfiles of their own.
    siblings: Vec<Project>,
    patches: Patches,
    previous: Option<Arc<Lockfile>>,
    /// The text of the lockfile so far.
    text_before: Option<String>,
    /// A merge left two versions of the lockfile.
    has_conflict_markers: bool,
    requested: Vec<(PackageName, Selector)>,
    /// Names of dependencies that the user added.
    added: Vec<PackageName>,
    edits: Vec<(usize, ManifestEdit)>,
    updates: Vec<(ImporterId, Update)>,
    keep: Keep,
    store: Arc<Store>,
    resolved: Option<Lockfile>,
    /// Versions for which `minimumReleaseAge` would have been too long.
    exceptions: Exceptions,
    /// What the lockfile of another installer pins.
    pinned: Option<Pinned>,
    /// What is chosen is installed afterwards.
    installs: bool,
}

/// Ranges of entries of catalogs, by catalog and alias.
pub(super) type CatalogEntries = BTreeMap<(String, String), String>;

/// The catalog that `specifier` names, and the range that it has for `alias`.
pub(super) fn entry_of<'c>(
    context: &'c Context,
    specifier: &str,
    alias: &str,
) -> Option<(&'c str, &'c str)> {
    let name = match specifier.strip_prefix("catalog:")? {
        "" => catalog::DEFAULT,
        name => name,
    };
    let (catalog, entries) = context.config.graph.catalogs.get_key_value(name)?;
    Some((catalog, entries.get(alias)?))
}

impl Workspace {
    /// Reads all manifests, and the lockfile where there is one.
    pub(super) fn read(context: &Context) -> Result<Self, Failure> {
        let config = &context.config;
        LockfilePlace::find(config).refuse_change()?;
        merge_branches(context)?;
        let projects = context.projects().map_err(InstallError::from)?;
        check_engines(&projects, config, &context.environment)?;
        let path = read_from(context);
        let mut has_conflict_markers = false;
        let text = match uses_lockfile(config) {
            true => text_at(context, &path)?,
            false => None,
        };
        let previous = match &text {
            Some(text) if !has_main_document(text) => None,
            Some(text) if has_conflict(text) => {
                has_conflict_markers = true;
                Some(Arc::new(merged(text).map_err(InstallError::from)?))
            }
            Some(text) => Some(match context.written(text) {
                Some(written) => written,
                None => {
                    let read = match context.mends {
                        true => read_mended(text),
                        false => read_lockfile(text),
                    };
                    Arc::new(read.map_err(InstallError::from)?)
                }
            }),
            None if uses_lockfile(config) => None,
            None => installed(config).map(Arc::new),
        };
        Ok(Self {
            previous,
            text_before: text,
            has_conflict_markers,
            ..Self::without_lockfile(context, projects)?
        })
    }

    /// Reads all manifests, and what the lockfile of another installer pins. A lockfile that is
    /// there already counts for nothing.
    pub(super) fn import(context: &Context) -> Result<Self, Failure> {
        let config = &context.config;
        let projects = context.projects().map_err(InstallError::from)?;
        let pinned = foreign::read(&config.directory, &projects)?;
        Ok(Self {
            pinned: Some(pinned),
            text_before: text_at(context, &config.lockfile_path())?,
            ..Self::without_lockfile(context, projects)?
        })
    }

    fn without_lockfile(context: &Context, projects: Vec<Project>) -> Result<Self, Failure> {
        let config = &context.config;
        let read = |drafts: &Drafts| Patches::read(config, drafts);
        let patches = context.with_drafts(read).map_err(InstallError::from)?;
        Ok(Self {
            siblings: siblings(context)?,
            projects,
            patches,
            previous: None,
            text_before: None,
            has_conflict_markers: false,
            requested: Vec::new(),
            added: Vec::new(),
            edits: Vec::new(),
            updates: Vec::new(),
            keep: Keep::default(),
            store: open_store(config, Access::ReadWrite, Supply::Fetch)?,
            resolved: None,
            exceptions: Exceptions::new(),
            pinned: None,
            installs: false,
        })
    }

    /// The lockfile so far.
    pub(super) fn previous(&self) -> Option<&Lockfile> {
        self.previous.as_deref()
    }

    /// The lockfile that an install would write; `None` where it leaves it as it is.
    pub(super) fn would_be(&mut self, context: &Context) -> Result<Option<Lockfile>, Failure> {
        if let Some(previous) = &self.previous {
            let config = &context.config.lockfile;
            match self.fits(context, previous) {
                Ok(()) if config.frozen == Some(true) => return Ok(None),
                Ok(()) if config.prefer_frozen && !self.has_gone_projects(previous) => {
                    return Ok(None);
                }
                Err(error) if !may_change(context, true) => return Err(error.into()),
                _ => {}
            }
        }
        self.resolve(context)?;
        Ok(self.resolved.take())
    }

    /// Every project, the root's first.
    pub(super) fn projects(&self) -> &[Project] {
        &self.projects
    }

    /// The project of this name.
    pub(super) fn project(&self, name: &str) -> Option<&Project> {
        let mut projects = self.projects.iter().chain(&self.siblings);
        projects.find(|project| project.manifest.name.as_deref() == Some(name))
    }

    /// The projects that a command is about: those that are filtered, all, the root, or the one
    /// where it works.
    pub(super) fn targets(
        &self,
        context: &Context,
        (filters, arguments): (&WorkspaceArguments, &ChangeArguments),
        of_root: Root,
    ) -> Result<Vec<usize>, Failure> {
        let config = &context.config;
        if filters.is_alone {
            return Ok((0..self.projects.len()).collect());
        }
        let is_filtered = filters.is_filtered();
        if is_filtered || (arguments.recursive && of_root == Root::LeftOut) {
            let chosen = scripting::choose(context, filters, of_root)?;
            if chosen.selection.projects.is_empty() {
                scripting::nothing_chosen(context, &chosen);
            }
            return Ok(chosen.selection.projects);
        }
        if arguments.recursive && !arguments.workspace_root {
            return Ok((0..self.projects.len()).collect());
        }
        let directory = match (&config.workspace_root, arguments.workspace_root) {
            (Some(root), true) => root,
            _ => &config.directory,
        };
        let found = self
            .projects
            .iter()
            .position(|project| project.directory == *directory);
        match found {
            Some(at) => Ok(vec![at]),
            None => Err(InstallError::from(workspace::WorkspaceError::from(
                ManifestError::Missing {
                    directory: directory.clone(),
                },
            ))
            .into()),
        }
    }

    /// The manifest of a project, to be changed.
    pub(super) fn edit(
        &mut self,
        context: &Context,
        at: usize,
    ) -> Result<&mut ManifestEdit, Failure> {
        let place = match self.edits.iter().position(|(project, _)| *project == at) {
            Some(place) => place,
            None => {
                let directory = &self.projects[at].directory;
                let edit = context
                    .with_drafts(|drafts| ManifestEdit::read(directory, drafts))
                    .map_err(workspace::WorkspaceError::from)
                    .map_err(InstallError::from)?;
                self.edits.push((at, edit));
                self.edits.len() - 1
            }
        };
        Ok(&mut self.edits[place].1)
    }

    /// What is updated for these projects.
    pub(super) fn update(&mut self, projects: &[usize], update: &Update) {
        let ids = projects.iter().map(|at| self.projects[*at].id.clone());
        self.updates.extend(ids.map(|id| (id, update.clone())));
    }

    /// Whether anything is updated for any project.
    pub(super) fn has_updates(&self) -> bool {
        !self.updates.is_empty()
    }

    /// Keeps the name of a dependency that the user added.
    pub(super) fn add(&mut self, alias: PackageName) {
        self.added.push(alias);
    }

    /// Prefers a version that the user named.
    pub(super) fn prefer(&mut self, name: &PackageName, version: &str) {
        if let Some(selector @ Selector::Version(_)) = Selector::parse(version) {
            self.requested.push((name.clone(), selector));
        }
    }

    /// What is chosen will be installed: it is fetched as soon as it is known.
    pub(super) fn install_afterwards(&mut self) {
        self.installs = true;
    }

    /// Prefers the versions of the lockfile and keeps nothing else of it.
    pub(super) fn go_through_all(&mut self) {
        self.keep = Keep::Versions;
    }

    /// Names of all packages in the lockfile.
    pub(super) fn locked_names(&self) -> Vec<Box<str>> {
        let packages = self
            .previous
            .iter()
            .flat_map(|lockfile| lockfile.packages.values());
        packages
            .map(|package| package.name.as_str().into())
            .collect()
    }

    /// Names of all packages that the lockfile has below some dependencies of a project, without
    /// the peers that these were given and what the project has itself.
    pub(super) fn locked_names_below(
        &self,
        at: usize,
        aliases: &[(Field, String)],
    ) -> HashSet<Box<str>> {
        let mut names = HashSet::new();
        let Some(lockfile) = &self.previous else {
            return names;
        };
        let Some(importer) = lockfile.importers.get(&self.projects[at].id) else {
            return names;
        };
        let direct = aliases.iter().filter_map(|(_, alias)| importer.get(alias));
        let mut open: Vec<&Reference> = direct.map(|direct| &direct.reference).collect();
        let own = importer.all().filter_map(|(_, own)| match &own.reference {
            Reference::Package(path) => Some(path.package_id_str()),
            Reference::Link(_) => None,
        });
        let own: HashSet<&str> = own.collect();
        let mut seen = HashSet::new();
        while let Some(reference) = open.pop() {
            let Reference::Package(path) = reference else {
                continue;
            };
            if !seen.insert(path) {
                continue;
            }
            if !own.contains(path.package_id_str()) {
                names.insert(path.name_str().into());
            }
            let peers = lockfile.packages.get(path.package_id_str());
            let is_peer = |alias: &PackageName| {
                peers.is_some_and(|info| info.peer_dependencies.contains_key(alias.as_str()))
            };
            if let Some(snapshot) = lockfile.snapshots.get(path) {
                let both = [&snapshot.dependencies, &snapshot.optional_dependencies];
                let children = both.into_iter().flatten();
                let children = children.filter(|(alias, _)| !is_peer(alias));
                open.extend(children.map(|(_, child)| child));
            }
        }
        names
    }

    /// The version of a direct dependency in the lockfile, of the first project that has it.
    pub(super) fn locked_version(&self, alias: &PackageName) -> Option<Box<str>> {
        let importers = self
            .previous
            .iter()
            .flat_map(|lockfile| lockfile.importers.values());
        let mut found =
            importers.filter_map(|importer| match &importer.get(alias.as_str())?.reference {
                Reference::Package(path) => Some(path.version().into()),
                Reference::Link(_) => None,
            });
        found.next()
    }

    /// The range that every project has that depends on `alias`, where it is one and the same: a
    /// project that begins to depend on it takes it over, as with pnpm.
    pub(super) fn common_range(&self, alias: &PackageName) -> Option<&str> {
        let projects = self.projects.iter().chain(&self.siblings);
        let ranges = projects.filter_map(|project| {
            let manifest = &project.manifest;
            let optional = manifest.optional_dependencies.get(alias.as_str());
            let found = optional.or_else(|| manifest.dependencies.get(alias.as_str()));
            found.or_else(|| manifest.dev_dependencies.get(alias.as_str()))
        });
        let mut ranges = ranges.map(|range| &**range);
        let first = ranges.next()?;
        let is_common = !first.contains(':') && ranges.all(|range| range == first);
        (is_common && Range::parse(first).is_some()).then_some(first)
    }

    /// Finds out what is written for dependencies.
    pub(super) fn specifiers<'c>(&self, context: &'c Context) -> Result<Specifiers<'c>, Failure> {
        let Context {
            config,
            environment,
            reporter,
            ..
        } = context;
        let previous = self.previous.clone();
        Ok(specifiers(
            config,
            environment,
            &self.store,
            reporter,
            previous,
        )?)
    }

    /// Pins what the lockfile so far has without a digest. Whether there was any such package.
    fn pin(&mut self, context: &Context) -> Result<bool, Failure> {
        let Some(previous) = &mut self.previous else {
            return Ok(false);
        };
        Ok(pin(
            previous,
            &context.config,
            &self.store,
            &context.reporter,
        )?)
    }

    /// Resolves with the changes, without writing anything.
    pub(super) fn resolve(&mut self, context: &Context) -> Result<(), Failure> {
        self.pin(context)?;
        if let Some(previous) = &self.previous {
            verify_policies(previous, &context.config, &self.store, &context.reporter)?;
        }
        for (at, edit) in &self.edits {
            self.projects[*at].manifest = edit
                .manifest()
                .map_err(workspace::WorkspaceError::from)
                .map_err(InstallError::from)?
                .with_reaction(context.config.runtime_on_fail);
        }
        // Which of several projects needs a package is not known either.
        let chosen = match self.installs && context.narrowed().is_none() {
            true => context.begin_early(&self.store),
            false => None,
        };
        let relock = Relock {
            config: &context.config,
            environment: &context.environment,
            projects: &self.projects,
            siblings: &self.siblings,
            patches: &self.patches,
            previous: self.previous.as_deref(),
            keep: self.keep,
            pinned: self.pinned.as_ref(),
            updates: &self.updates,
            requested: &self.requested,
            chosen: chosen.as_ref(),
            // Who names packages wants to know what there is of them now.
            trusts_cache: self.edits.is_empty() && self.updates.is_empty(),
            added: &self.added,
        };
        let relocked = relock.run(&self.store, &context.reporter)?;
        for id in &relocked.immature {
            if let Some((name, version)) = registry_version(id) {
                let versions = self.exceptions.entry(name.as_str().into()).or_default();
                versions.push(version.into());
            }
        }
        self.resolved = Some(relocked.lockfile);
        Ok(())
    }

    /// Decides on the lockfile and the manifests: the context knows them from now on, and writes
    /// them when all else has succeeded.
    pub(super) fn decide(&mut self, context: &Context) -> Result<(), Failure> {
        if let Some(lockfile) = self.resolved.take() {
            self.decide_lockfile(context, lockfile)?;
        }
        for (_, edit) in &self.edits {
            if let Some(draft) = edit.draft() {
                context.draft(draft)?;
            }
        }
        exceptions::record(context, &self.exceptions)
    }

    fn decide_lockfile(&self, context: &Context, mut lockfile: Lockfile) -> Result<(), Failure> {
        let environment = self.text_before.as_deref().and_then(environment_in);
        lockfile.environment_document = environment.map(Into::into);
        lockfile.leaves_out = false;
        lockfile.version = LOCKFILE_VERSION.into();
        let path = context.config.lockfile_path();
        let (draft, text) = match read_from(context) == path {
            true => draft(&lockfile, &path, self.text_before.as_deref())?,
            // It was the lockfile of another branch, or of all.
            false => draft(&lockfile, &path, text_at(context, &path)?.as_deref())?,
        };
        context.draft_lockfile(draft, text, lockfile)
    }

    /// Resolves with the changes, and decides on what comes of it.
    pub(super) fn relock(&mut self, context: &Context) -> Result<(), Failure> {
        self.resolve(context)?;
        self.decide(context)
    }

    /// Leaves a lockfile that fits as it is, but for what nothing pinned. Whether it was written.
    fn keep_pinned(&mut self, context: &Context, may_change: bool) -> Result<bool, Failure> {
        if may_change
            && self.pin(context)?
            && let Some(previous) = self.previous.take()
        {
            self.decide_lockfile(context, Arc::unwrap_or_clone(previous))?;
            return Ok(true);
        }
        Ok(false)
    }

    /// Writes a lockfile that stays as it is in the form in which it would be written today, but
    /// for one with something that is left alone. How its lines end stays.
    fn write_again(&mut self, context: &Context) -> Result<(), Failure> {
        let Some(previous) = self.previous.take().filter(|previous| !previous.leaves_out) else {
            return Ok(());
        };
        let before = self.text_before.as_deref().map(with_plain_lines);
        let is_same = *previous.version == *LOCKFILE_VERSION
            && before.is_some_and(|before| *before == *write_lockfile(&previous));
        if is_same {
            return Ok(());
        }
        self.decide_lockfile(context, Arc::unwrap_or_clone(previous))
    }

    /// `dedupe --check`.
    pub(super) fn check_deduped(&mut self, context: &Context) -> Result<(), Failure> {
        self.resolve(context)?;
        if self.resolved.as_ref() == self.previous.as_deref() {
            return Ok(());
        }
        Err(Failure::new(
            "ERR_PNPM_DEDUPE_CHECK_ISSUES",
            "Dedupe --check found changes to the lockfile",
            Some("run `pacquet dedupe` to apply them"),
        ))
    }

    /// Whether the lockfile has projects that are gone: only who may change it minds.
    fn has_gone_projects(&self, lockfile: &Lockfile) -> bool {
        let projects: HashSet<&ImporterId> =
            self.projects.iter().map(|project| &project.id).collect();
        !lockfile.importers.keys().all(|id| projects.contains(id))
    }

    /// Whether the lockfile can stay as it is.
    fn fits(&self, context: &Context, lockfile: &Lockfile) -> Result<(), InstallError> {
        if self.has_conflict_markers {
            let path = context.config.lockfile_path();
            return Err(InstallError::Conflict { path });
        }
        let reporter = &context.reporter;
        let may_lack = match may_change(context, true) {
            true => MayLack::Nothing,
            false => MayLack::Optional,
        };
        fits(
            lockfile,
            &context.concerned(&self.projects),
            &self.patches,
            &context.config,
            may_lack,
            reporter,
        )
    }
}

/// Whether `pnpm-lock.yaml` is read and written. Who insists on a frozen one wants it read.
pub(super) fn uses_lockfile(config: &Config) -> bool {
    let lockfile = &config.lockfile;
    lockfile.enabled || (lockfile.frozen == Some(true) && !lockfile.frozen_is_implied)
}

/// The projects of the workspace beside the one of the lockfile, where each has its own.
fn siblings(context: &Context) -> Result<Vec<Project>, Failure> {
    let config = &context.config;
    if !config.has_lockfiles_apart() {
        return Ok(Vec::new());
    }
    let read = |drafts: &Drafts| workspace::all_projects(config, drafts);
    let mut projects = context.with_drafts(read).map_err(InstallError::from)?;
    projects.retain(|project| project.directory != config.directory);
    Ok(projects)
}

/// What is installed: without a lockfile its versions are kept, as with pnpm.
fn installed(config: &Config) -> Option<Lockfile> {
    let modules = config.lockfile_directory.join(&config.modules_directory);
    let text = fs::read_to_string(modules.join(".pnpm/lock.yaml")).ok()?;
    read_lockfile(&text).ok()
}

/// Where the lockfile, or its draft, is read.
fn read_from(context: &Context) -> PathBuf {
    let config = &context.config;
    let directory = &config.lockfile_directory;
    context.with_drafts(|drafts| config.lockfile_in(directory, |path| drafts.has(path)))
}

/// The text of the lockfile, or of its draft.
fn text_at(context: &Context, path: &Path) -> Result<Option<String>, Failure> {
    let read = |drafts: &Drafts| drafts.read(path);
    let text = context.with_drafts(read).and_then(|bytes| {
        String::from_utf8(bytes).map_err(|error| std::io::Error::new(ErrorKind::InvalidData, error))
    });
    Ok(if_there(text, path)?)
}

/// The text of a lockfile, where there is one.
pub(super) fn if_there(
    text: std::io::Result<String>,
    path: &Path,
) -> Result<Option<String>, InstallError> {
    match text {
        Ok(text) => Ok(Some(text)),
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
        Err(source) => Err(InstallError::ReadLockfile {
            path: path.to_owned(),
            source,
        }),
    }
}

/// `install --lockfile-only`.
pub(super) fn lockfile_only(context: &Context, fixes: bool) -> Result<(), Failure> {
    if !uses_lockfile(&context.config) {
        return Err(Failure::new(
            "ERR_PNPM_CONFIG_CONFLICT_LOCKFILE_ONLY_WITH_NO_LOCKFILE",
            "Cannot generate a pnpm-lock.yaml because lockfile is set to false",
            Some("unset the setting lockfile, or leave out --no-lockfile"),
        ));
    }
    let mut workspace = Workspace::read(context)?;
    let may_change = may_change(context, workspace.previous.is_some());
    match &workspace.previous {
        Some(previous) if !may_change || context.config.lockfile.prefer_frozen => {
            match workspace.fits(context, previous) {
                Ok(()) if !may_change || !workspace.has_gone_projects(previous) => {
                    let (config, store) = (&context.config, &workspace.store);
                    verify_policies(previous, config, store, &context.reporter)?;
                    if !workspace.keep_pinned(context, may_change)? {
                        workspace.write_again(context)?;
                    }
                    install::settle(context)?;
                    context.reporter.report(&Event::Info(UP_TO_DATE));
                    return Ok(());
                }
                Err(error) if !may_change => return Err(error.into()),
                _ => {}
            }
        }
        None if !may_change => {
            let path = context.config.lockfile_path();
            return Err(InstallError::NoLockfile { path }.into());
        }
        _ => {}
    }
    if fixes {
        workspace.go_through_all();
    }
    workspace.relock(context)?;
    install::settle(context)
}

/// What became of the lockfile.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Relocked {
    /// It is as it was.
    Kept,
    /// It is another one.
    Changed,
}

/// Makes the lockfile anew where it does not fit, unless it is frozen. `groups` are installed
/// afterwards.
pub(super) fn bring_up_to_date(context: &Context, groups: Groups) -> Result<Relocked, Failure> {
    let LockfilePlace { path, is_of_npm } = LockfilePlace::find(&context.config);
    // One of npm is installed as it stands, or refused where it does not fit.
    let is_used = uses_lockfile(&context.config);
    // An empty file is none.
    let is_there = || fs::metadata(&path).is_ok_and(|file| file.len() > 0);
    if is_of_npm || !may_change(context, is_used && is_there()) {
        return Ok(Relocked::Kept);
    }
    let mut workspace = Workspace::read(context)?;
    if let Some(previous) = &workspace.previous
        && is_used
        && context.config.lockfile.prefer_frozen
        && workspace.fits(context, previous).is_ok()
        && !workspace.has_gone_projects(previous)
    {
        return Ok(match workspace.keep_pinned(context, true)? {
            true => Relocked::Changed,
            false => Relocked::Kept,
        });
    }
    // Which group needs a package is not known while it is chosen.
    if groups == Groups::ALL {
        workspace.install_afterwards();
    }
    workspace.relock(context)?;
    Ok(Relocked::Changed)
}

/// Under continuous integration a lockfile that is there is frozen.
fn may_change(context: &Context, is_there: bool) -> bool {
    let config = &context.config.lockfile;
    config.frozen != Some(true) || (config.frozen_is_implied && !is_there)
}
