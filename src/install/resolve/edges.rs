//! From a dependency as written to the package that it comes to.

use std::path::Path;
use std::rc::Rc;
use std::sync::Arc;

use rustc_hash::FxHashMap;

use super::error::{ResolveError, ResolveFault, SourceError};
use super::first_met::FirstMet;
use super::forest::PackageIndex;
use super::local;
use super::resolved::{Resolved, Via};
use super::scope::Scope;
use super::settings::PreferredFrom;
use super::source::{Choice, Question};
use super::symbols::Symbol;
use super::tree::{Overlay, Seed, Tree, Walker};
use super::versions::of_alias;
use crate::diagnostic::Diagnostic;
use crate::install::lockfile::DepPath;
use crate::install::pick::{
    LocalKind, LocalSpecifier, Preferred, RegistryChoice, RegistrySpecifier, Selector, Specifier,
    WEIGHT_ABOVE, WEIGHT_DIRECT, WEIGHT_HELD, WEIGHT_LOCKED, WorkspaceSpecifier,
};
use crate::install::semver::Version;
use crate::name::PackageName;

/// A dependency of a project or package, as written.
#[derive(Debug, Clone)]
pub(super) struct EdgeRequest {
    pub(super) alias: PackageName,
    /// `alias`.
    pub(super) symbol: Symbol,
    pub(super) specifier: Box<str>,
    pub(super) optional: bool,
    /// The nearest optional dependency on the way to who asks.
    pub(super) below: Option<Arc<OptionalEdge>>,
    /// `dependenciesMeta` wants a copy of the project.
    pub(super) injected: bool,
    /// 0: of a project.
    pub(super) depth: i32,
    pub(super) ancestors: Rc<[PackageIndex]>,
    /// What the lockfile has for it.
    pub(super) prior: Option<DepPath>,
    /// The lockfile has its dependent, and had something for it that overrides were about.
    pub(super) is_released: bool,
    /// Whether what the lockfile has below it may be taken as it is.
    pub(super) allows_reuse: bool,
    pub(super) overlay: Option<Rc<Overlay>>,
    pub(super) scope: Rc<Scope>,
    /// The directory that paths are relative to, where it is not the project's.
    pub(super) directory: Option<Arc<Path>>,
    pub(super) parent_is_project: bool,
}

/// The name behind an alias.
pub(super) fn real_name(request: &EdgeRequest) -> &str {
    let alias = request.alias.as_str();
    let Some(rest) = request.specifier.strip_prefix("npm:") else {
        return alias;
    };
    if node_semver::Range::parse(rest).is_ok() {
        return alias;
    }
    of_alias(&request.specifier).map_or(alias, |(name, _)| name)
}

/// An optional dependency of a project or package.
#[derive(Debug, PartialEq, Eq, Hash)]
pub(super) struct OptionalEdge {
    /// The project's or the package's id.
    dependent: Arc<str>,
    pub(super) alias: PackageName,
}

/// What an answer depends on.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
struct Key {
    alias: Symbol,
    specifier: Symbol,
    choice: Choice,
    injected: bool,
    /// Where paths begin, where the specifier has some: of what is copied at the dependent, of
    /// links at the project.
    directories: Option<(Arc<Path>, Arc<Path>)>,
    overlay: Vec<(Box<str>, bool)>,
    /// The version that goes before all others.
    held: Option<Box<str>>,
    /// What the manifests that count for the project ask for; below projects, answers are shared.
    declared: Vec<Box<str>>,
    /// Whose updates, where they are not those of all; whose dependency, where it was released.
    project: Option<usize>,
}

type Answer = Result<Arc<Resolved>, Arc<SourceError>>;

/// What specifiers came to.
#[derive(Debug, Default)]
pub(super) struct Answers {
    by_key: FxHashMap<Key, Answer>,
    specifiers: FxHashMap<(Symbol, Symbol), Specifier>,
    preferred: FxHashMap<(usize, Symbol), Arc<Preferred>>,
    pub(super) first_met: FirstMet,
}

/// What is asked for at once.
#[derive(Default)]
struct Questions {
    keys: Vec<Key>,
    questions: Vec<Question>,
}

/// A dependency on the way to its answer.
enum Step {
    Done(Seed),
    Asked(Key),
}

impl Tree<'_> {
    /// Whether something below it could not be resolved.
    fn is_left_out(&self, walker: &Walker, request: &EdgeRequest) -> bool {
        !self.left_out.is_empty()
            && request.optional
            && self
                .optional_edge(walker, request)
                .is_some_and(|edge| self.left_out.contains(&edge))
    }

    /// Goes on without what failed where something optional can be left out for it, and with it
    /// the package that cannot do without.
    fn left_out_for(
        &mut self,
        walker: &Walker,
        request: &EdgeRequest,
        mut error: ResolveError,
    ) -> Result<Seed, ResolveError> {
        if !error.fault.is_unresolved() {
            return Err(error);
        }
        let Some(edge) = self.optional_edge(walker, request) else {
            return Err(error);
        };
        let dependent = request.ancestors.last().filter(|_| !request.optional);
        let package = dependent.map(|package| Arc::clone(&self.forest.package(*package).id));
        error.broken = error.broken.or(package);
        self.failed.push((edge, error));
        Ok(Seed::Nothing)
    }

    /// The nearest optional dependency on the way to what is asked for.
    pub(super) fn optional_edge(
        &self,
        walker: &Walker,
        request: &EdgeRequest,
    ) -> Option<Arc<OptionalEdge>> {
        if !request.optional {
            return request.below.clone();
        }
        let dependent = match request.ancestors.last() {
            Some(package) => Arc::clone(&self.forest.package(*package).id),
            None => Arc::clone(&walker.id),
        };
        let alias = request.alias.clone();
        Some(Arc::new(OptionalEdge { dependent, alias }))
    }

    /// Finds what `requests` come to. All that has to be asked for is asked for at once.
    pub(super) fn seed(
        &mut self,
        walker: &Walker,
        requests: Vec<EdgeRequest>,
    ) -> Result<Vec<Seed>, ResolveError> {
        let mut steps = Vec::with_capacity(requests.len());
        let mut asked = Questions::default();
        let mut requests = requests;
        for request in &mut requests {
            if self.is_left_out(walker, request) {
                steps.push(Step::Done(Seed::Nothing));
                continue;
            }
            let reused = match self.reused(walker, request) {
                Err(error) => Some(self.left_out_for(walker, request, error)?),
                Ok(reused) => reused,
            };
            if let Some(seed) = reused {
                steps.push(Step::Done(seed));
                continue;
            }
            self.pin(walker, request);
            steps.push(match self.ask(walker, request, &mut asked)? {
                Ok(key) => Step::Asked(key),
                Err(error) => Step::Done(self.left_out_for(walker, request, error)?),
            });
        }
        self.answer(asked)?;
        let mut seeds = Vec::with_capacity(requests.len());
        for (request, step) in requests.iter().zip(steps) {
            seeds.push(match step {
                Step::Done(seed) => seed,
                Step::Asked(key) => self
                    .finish(walker, request, &key)
                    .or_else(|error| self.left_out_for(walker, request, error))?,
            });
        }
        Ok(seeds)
    }

    /// What has to be known for an answer; asks for it where nobody did before.
    fn ask(
        &mut self,
        walker: &Walker,
        request: &EdgeRequest,
        asked: &mut Questions,
    ) -> Result<Result<Key, ResolveError>, ResolveError> {
        let key = self.key(walker, request);
        if !self.answers.by_key.contains_key(&key) && !asked.keys.contains(&key) {
            match self.question(walker, request, &key) {
                Ok(Asked::Known(resolved)) => self.keep_all(vec![(key.clone(), Ok(resolved))])?,
                Ok(Asked::Question(question)) => {
                    asked.keys.push(key.clone());
                    asked.questions.push(question);
                }
                Err(error) => return Ok(Err(error)),
            }
        }
        Ok(Ok(key))
    }

    fn answer(&mut self, asked: Questions) -> Result<(), ResolveError> {
        if asked.keys.is_empty() {
            return Ok(());
        }
        let answers = self.source.answer(&asked.questions);
        self.keep_all(asked.keys.into_iter().zip(answers).collect())
    }

    /// Names and versions that dependencies of a project come to. What fails does so again where
    /// it is chosen.
    pub(super) fn versions_of(
        &mut self,
        walker: &Walker,
        requests: Vec<EdgeRequest>,
    ) -> Result<Vec<(Box<str>, Box<str>)>, ResolveError> {
        let mut found: Vec<(Box<str>, Box<str>)> = Vec::new();
        let mut asked = Questions::default();
        let mut keys = Vec::new();
        for request in requests {
            match self.held(walker, &request) {
                Some(version) => found.push((real_name(&request).into(), version)),
                None if self.is_left_out(walker, &request) => {}
                None => {
                    let key = self.ask(walker, &request, &mut asked)?;
                    keys.extend(key.ok().map(|key| (request, key)));
                }
            }
        }
        self.answer(asked)?;
        for (request, key) in keys {
            let Some(Ok(resolved)) = self.answers.by_key.get(&key) else {
                continue;
            };
            let resolved = Arc::clone(resolved);
            let is_project = self.project_instead(&request, Some(&resolved)).is_some();
            if let Some(version) = resolved.version.clone().filter(|_| !is_project) {
                found.push((resolved.manifest.name.as_str().into(), version));
            }
        }
        Ok(found)
    }

    /// Keeps answers, with what hooks make of their manifests. A link's manifest is a project's,
    /// and a locked one was changed when it was locked.
    fn keep_all(
        &mut self,
        answers: Vec<(Key, Result<Resolved, SourceError>)>,
    ) -> Result<(), ResolveError> {
        let hooks = &self.settings.hooks;
        let is_changed = |resolved: &&Resolved| !resolved.id.starts_with("link:");
        let found = answers
            .iter()
            .filter_map(|(_, answer)| answer.as_ref().ok());
        let manifests = found.filter(is_changed);
        let manifests = manifests.map(|resolved| Arc::clone(&resolved.manifest));
        let mut changed = hooks.apply(manifests.collect())?.into_iter();
        for (key, answer) in answers {
            let answer = match answer {
                Ok(mut resolved) => {
                    if is_changed(&&resolved)
                        && let Some(manifest) = changed.next()
                    {
                        resolved.manifest = manifest;
                    }
                    Ok(Arc::new(resolved))
                }
                Err(error) => Err(Arc::new(error)),
            };
            self.answers.by_key.insert(key, answer);
        }
        Ok(())
    }

    fn finish(
        &mut self,
        walker: &Walker,
        request: &EdgeRequest,
        key: &Key,
    ) -> Result<Seed, ResolveError> {
        let answer = match self.answers.by_key.get(key) {
            Some(Ok(resolved)) => Ok(Arc::clone(resolved)),
            Some(Err(error)) => Err(SourceError::clone(error)),
            None => return Ok(Seed::Nothing),
        };
        let resolved = match (self.project_instead(request, answer.as_ref().ok()), answer) {
            (Some(mut project), _) => {
                let manifests = self.settings.hooks.apply(vec![project.manifest.clone()])?;
                project.manifest = manifests.into_iter().next().unwrap_or(project.manifest);
                Arc::new(project)
            }
            (None, Ok(resolved)) => resolved,
            (None, Err(error)) => return self.failed(walker, request, error),
        };
        if self.settings.block_exotic_subdeps
            && request.depth > 0
            && !request.parent_is_project
            && resolved.via.is_exotic()
        {
            let fault = ResolveFault::Exotic {
                specifier: request.alias.as_str().to_owned(),
                via: resolved.via.as_str(),
            };
            return Err(self.error(walker, &request.ancestors, fault));
        }
        let id = self.patched_id(walker, request, &resolved)?;
        if let Some(error) = self.broken.get(&*id) {
            return Err(error.clone());
        }
        Ok(self.seed_of(walker, request, &resolved, &id))
    }

    /// An optional dependency that cannot be found is left out, unless the lockfile has it.
    fn failed(
        &mut self,
        walker: &Walker,
        request: &EdgeRequest,
        error: SourceError,
    ) -> Result<Seed, ResolveError> {
        if !request.optional {
            let fault = self.not_among_projects(walker, request, &error);
            let fault = fault.unwrap_or(ResolveFault::Source(error));
            return Err(self.error(walker, &request.ancestors, fault));
        }
        if self.prior_has_satisfying(request) {
            let fault = ResolveFault::LockedOptional(error);
            return Err(self.error(walker, &request.ancestors, fault));
        }
        self.settings.skipped_optional(&request.alias, &error);
        Ok(Seed::Nothing)
    }

    /// A package that no registry has, and the workspace has in other versions.
    fn not_among_projects(
        &mut self,
        walker: &Walker,
        request: &EdgeRequest,
        error: &SourceError,
    ) -> Option<ResolveFault> {
        let settings = self.settings;
        if error.code() != "ERR_PNPM_FETCH_404" || !settings.links_at(request.depth) {
            return None;
        }
        let Ok(Specifier::Registry(specifier)) = self.specifier(request) else {
            return None;
        };
        let (Selector::Range { text, .. } | Selector::Version(text)) = &specifier.selector else {
            return None;
        };
        let (name, directory) = (specifier.name.as_str(), &walker.directory);
        let found = settings
            .workspace
            .find(directory, name, text, &request.specifier);
        found
            .err()
            .filter(|fault| matches!(fault, ResolveFault::NoProjectVersion { .. }))
    }

    /// The key of `packages` with the hash of the patch that the package gets.
    pub(super) fn patched_id(
        &mut self,
        walker: &Walker,
        request: &EdgeRequest,
        resolved: &Resolved,
    ) -> Result<String, ResolveError> {
        let id = resolved.package_id();
        let Some(version) = &resolved.version else {
            return Ok(id);
        };
        let patch = self
            .settings
            .patches
            .of(resolved.manifest.name.as_str(), version)
            .map_err(|fault| self.error(walker, &request.ancestors, fault))?;
        match patch {
            Some((key, hash)) => {
                self.used_patches.insert(key);
                Ok(format!("{id}(patch_hash={hash})"))
            }
            None => Ok(id),
        }
    }

    fn key(&mut self, walker: &Walker, request: &EdgeRequest) -> Key {
        let specifier = self.forest.symbols.of(&request.specifier);
        let is_relative = ["link:", "file:", "workspace:"]
            .iter()
            .any(|protocol| request.specifier.starts_with(protocol));
        let (mut overlay, mut declared) = (Vec::new(), Vec::new());
        let preferences = &self.settings.preferences;
        if let Some(name) = self.registry_name(request) {
            let symbol = self.forest.symbols.of(name.as_str());
            if let Some(above) = &request.overlay {
                overlay = above.versions(symbol);
            }
            // What a project is given for others has nothing of the project's own above it.
            if request.depth == 0 || overlay.is_empty() {
                let selectors = preferences.declared(walker.project, name.as_str());
                declared = selectors
                    .iter()
                    .map(|(one, _)| one.as_str().into())
                    .collect();
            }
        }
        Key {
            alias: request.symbol,
            specifier,
            choice: self.choice(walker, request),
            injected: request.injected,
            directories: is_relative
                .then(|| (self.base(walker, request), Arc::clone(&walker.directory))),
            overlay,
            held: self.held(walker, request),
            declared,
            project: preferences
                .own_place(walker.project)
                .or_else(|| request.is_released.then_some(walker.project)),
        }
    }

    fn base(&self, walker: &Walker, request: &EdgeRequest) -> Arc<Path> {
        match &request.directory {
            Some(directory) if !request.specifier.starts_with("link:") => Arc::clone(directory),
            _ => Arc::clone(&walker.directory),
        }
    }

    fn choice(&self, walker: &Walker, request: &EdgeRequest) -> Choice {
        Choice {
            lowest: request.depth == 0 && walker.lowest_direct,
            direct: request.depth == 0,
            optional: request.optional,
            update: self.is_update_target(walker, request),
            or_latest: false,
        }
    }

    /// The name in the registry, where the specifier is one of a registry.
    fn registry_name(&mut self, request: &EdgeRequest) -> Option<PackageName> {
        match self.specifier(request) {
            Ok(Specifier::Registry(specifier)) => Some(specifier.name.clone()),
            _ => None,
        }
    }

    /// The specifier, read once.
    pub(super) fn specifier(&mut self, request: &EdgeRequest) -> Result<&Specifier, ResolveFault> {
        let text = self.forest.symbols.of(&request.specifier);
        match self.answers.specifiers.entry((request.symbol, text)) {
            std::collections::hash_map::Entry::Occupied(entry) => Ok(entry.into_mut()),
            std::collections::hash_map::Entry::Vacant(entry) => {
                let context = &self.settings.specifiers;
                let parsed = Specifier::parse(Some(&request.alias), &request.specifier, context)?;
                Ok(entry.insert(parsed))
            }
        }
    }

    fn question(
        &mut self,
        walker: &Walker,
        request: &EdgeRequest,
        key: &Key,
    ) -> Result<Asked, ResolveError> {
        let specifier = match self.specifier(request) {
            Ok(specifier) => specifier.clone(),
            Err(fault) => return Err(self.error(walker, &request.ancestors, fault)),
        };
        let alias = request.alias.clone();
        Ok(match specifier {
            Specifier::Registry(specifier) => {
                if let Some(resolved) = self.preferred_project(request, &specifier) {
                    return Ok(Asked::Known(resolved));
                }
                let whose = match key.overlay.is_empty() && key.declared.is_empty() {
                    true => self.first_met(walker, request),
                    false => walker.project,
                };
                let preferred = self.preferred(whose, &specifier.name, key);
                let is_pinned = self.settings.preferences.from == PreferredFrom::PinnedTags
                    && matches!(specifier.selector, Selector::Tag(_))
                    && !preferred.is_empty();
                let specifier = match is_pinned {
                    true => RegistrySpecifier {
                        selector: Selector::any(),
                        ..specifier
                    },
                    false => specifier,
                };
                Asked::Question(Question::Registry {
                    preferred,
                    specifier,
                    choice: key.choice,
                })
            }
            Specifier::Workspace(WorkspaceSpecifier { name, text, .. }) => {
                let name = name.as_ref().unwrap_or(&request.alias).as_str();
                let package = self
                    .settings
                    .workspace
                    .find(&walker.directory, name, &text, &request.specifier)
                    .map_err(|fault| self.error(walker, &request.ancestors, fault))?;
                let injected = request.injected || self.settings.inject_workspace_packages;
                let root = &self.settings.lockfile_directory;
                Asked::Known(local::of_workspace(package, injected, root))
            }
            Specifier::Local(specifier) => self.local_question(walker, request, &specifier),
            Specifier::Git(specifier) => Asked::Question(Question::Git { specifier, alias }),
            Specifier::Tarball(url) => Asked::Question(Question::Tarball { url, alias }),
            Specifier::Catalog(_) | Specifier::Runtime(_) => {
                let fault = ResolveFault::Unsupported {
                    alias: alias.as_str().to_owned(),
                    specifier: request.specifier.to_string(),
                };
                return Err(self.error(walker, &request.ancestors, fault));
            }
        })
    }

    /// What is asked about a path.
    fn local_question(
        &self,
        walker: &Walker,
        request: &EdgeRequest,
        specifier: &LocalSpecifier,
    ) -> Asked {
        let (path, alias) = (&specifier.path, request.alias.clone());
        let base = self.base(walker, request);
        let injected = request.injected || self.settings.inject_workspace_packages;
        if injected && request.specifier.starts_with("workspace:") {
            let target = local::absolute(&base, path);
            if let Some(package) = self.settings.workspace.at(&target) {
                let root = &self.settings.lockfile_directory;
                return Asked::Known(local::of_workspace(package, true, root));
            }
        }
        let path_there = || local::absolute(&base, path);
        match specifier.kind {
            LocalKind::Link => self.linked(walker, path, alias),
            LocalKind::Directory => Asked::Question(Question::Directory {
                path: path_there(),
                alias,
            }),
            LocalKind::Archive => Asked::Question(Question::Archive {
                path: path_there(),
                alias,
            }),
        }
    }

    /// A directory that is linked; it need not be there.
    fn linked(&self, walker: &Walker, path: &str, alias: PackageName) -> Asked {
        let target = local::absolute(&walker.directory, path);
        // What it says in there is its own importer's business.
        let manifest = Arc::new(local::bare_manifest(alias, "0.0.0".into()));
        let root = &self.settings.lockfile_directory;
        Asked::Known(local::directory(&target, manifest, false, root, Via::Local))
    }

    /// A project instead of what a registry has (`linkWorkspacePackages`): where it has nothing
    /// that fits, or nothing better.
    fn project_instead(
        &mut self,
        request: &EdgeRequest,
        answer: Option<&Arc<Resolved>>,
    ) -> Option<Resolved> {
        let settings = self.settings;
        if !settings.links_at(request.depth) {
            return None;
        }
        let Ok(Specifier::Registry(specifier)) = self.specifier(request) else {
            return None;
        };
        if specifier.registry != RegistryChoice::Configured {
            return None;
        }
        let (name, selector) = (specifier.name.as_str(), &specifier.selector);
        let package = match answer {
            None => settings.workspace.instead_of(name, selector)?,
            Some(resolved) => {
                let version = resolved.version.as_deref()?;
                settings.workspace.in_front_of(name, version, selector)?
            }
        };
        let injected = request.injected || settings.inject_workspace_packages;
        let root = &settings.lockfile_directory;
        Some(local::of_workspace(package, injected, root))
    }

    /// A project instead of a registry's package, where that is preferred
    /// (`preferWorkspacePackages`).
    fn preferred_project(
        &self,
        request: &EdgeRequest,
        specifier: &RegistrySpecifier,
    ) -> Option<Resolved> {
        let settings = self.settings;
        let injected = request.injected || settings.inject_workspace_packages;
        if !settings.links_at(request.depth)
            || !settings.prefer_workspace_packages
            || injected
            || specifier.registry != RegistryChoice::Configured
        {
            return None;
        }
        let name = specifier.name.as_str();
        let package = settings.workspace.instead_of(name, &specifier.selector)?;
        Some(local::of_workspace(
            package,
            false,
            &settings.lockfile_directory,
        ))
    }

    /// The versions of `name` that are preferred, with the one that is held and those of the
    /// levels above.
    fn preferred(&mut self, project: usize, name: &PackageName, key: &Key) -> Arc<Preferred> {
        let symbol = self.forest.symbols.of(name.as_str());
        let place = (project, symbol);
        let base = match self.answers.preferred.get(&place) {
            Some(base) => Arc::clone(base),
            None => {
                let base = Arc::new(self.settings.preferred(project, name.as_str()));
                self.answers.preferred.insert(place, Arc::clone(&base));
                base
            }
        };
        if key.overlay.is_empty() && key.held.is_none() {
            return base;
        }
        let mut preferred = (*base).clone();
        if let Some(version) = &key.held {
            preferred.insert(Selector::Version(version.clone()), WEIGHT_HELD);
        }
        let is_pinned = self.settings.preferences.from != PreferredFrom::Project;
        for (version, is_direct) in &key.overlay {
            let weight = match is_direct {
                // What another installer pins weighs more than what was chosen above.
                _ if is_pinned => WEIGHT_LOCKED,
                true => WEIGHT_DIRECT,
                false => WEIGHT_ABOVE,
            };
            let known = preferred.weight(version);
            if known.is_some() || Version::parse(version).is_some() {
                let weight = known.unwrap_or(0) + weight;
                preferred.insert(Selector::Version(version.clone()), weight);
            }
        }
        Arc::new(preferred)
    }
}

enum Asked {
    Known(Resolved),
    Question(Question),
}
