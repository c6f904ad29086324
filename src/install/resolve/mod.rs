//! Resolving: from the manifests of projects to a lockfile, as pnpm 12 would choose.
//!
//! [`tree`] walks the manifests and chooses a version for every dependency, [`hoist`] gives
//! projects the peers that are missing, [`peers`] finds out which instance of each package uses
//! which instances of its peers, [`dedupe`] leaves out instances that others can stand in for, and
//! [`output`] writes the result down as a [`Lockfile`]. Where projects only ask for more,
//! [`addition`] chooses that alone, and where nothing has to be chosen, [`edited`] edits the
//! lockfile.
//!
//! Nothing of the result depends on the order in which answers arrive: a level of the tree is
//! asked for at once, and then gone through in its own order.
//!
//! **Architecture Invariant:** it never writes a file, never prints, and asks for packages only
//! through a [`Source`].

mod addition;
mod circumstances;
mod components;
mod cutoff;
mod dedupe;
mod edges;
mod edited;
mod error;
mod first_met;
mod forest;
mod hoist;
mod hooks;
mod local;
mod locked_peers;
mod missing_peers;
mod offered;
mod output;
mod peers;
mod pre_releases;
mod refresh;
mod resolved;
mod reuse;
mod scope;
mod settings;
mod source;
mod symbols;
mod tree;
mod versions;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use indexmap::IndexMap;
use rustc_hash::{FxHashMap, FxHashSet};

use crate::install::lockfile::{DependencyGroup, Importer, ImporterId, Lockfile, ProjectManifest};
use crate::install::manifest::Manifest;
use crate::install::semver::Range;
use crate::name::PackageName;
use crate::sys::memory::stack_bytes;

pub use edited::{edited, says_nothing_new};
pub use error::{ResolveError, ResolveFault, SourceError};
pub use hooks::Hooks;
pub use local::{WorkspacePackage, WorkspacePackages, relative_text};
pub use resolved::{Resolved, Via};
pub use reuse::Update;
pub use settings::{PatchKeys, Preferences, PreferredFrom, ProjectPreferences, Settings};
pub use source::{Choice, Question, Source};
pub use versions::{have_common_version, of_alias};

use hoist::{Declared, Hoist};
use output::Output;
use peers::{PeerOptions, Project};
use reuse::Prior;
use tree::{Tree, Walker};

/// Stack of the thread that resolves. Visits of peers nest as deep as dependencies do.
const STACK_BYTES: usize = 512 << 20;

/// A project whose dependencies are to be chosen.
#[derive(Debug, Clone)]
pub struct ResolveProject {
    /// Its importer.
    pub id: ImporterId,
    /// Absolute.
    pub directory: PathBuf,
    /// Aliases in the order of the manifest.
    pub order: Vec<PackageName>,
    /// Its manifest with hooks applied: what is resolved and recorded.
    pub recorded: ProjectManifest,
    /// What is updated.
    pub update: Update,
}

impl ResolveProject {
    /// A project as its manifest has it. Hooks are applied by [`Settings::apply_to`].
    pub fn new(id: ImporterId, directory: PathBuf, manifest: &Manifest) -> Self {
        let specifiers = |map: &crate::install::manifest::DependencyMap| {
            map.iter()
                .map(|(alias, text)| (alias.as_str().into(), text.clone()))
                .collect()
        };
        let groups = [
            &manifest.peer_dependencies,
            &manifest.dev_dependencies,
            &manifest.dependencies,
            &manifest.optional_dependencies,
        ];
        let mut order: Vec<PackageName> = Vec::new();
        for alias in groups.into_iter().flat_map(|group| group.keys()) {
            if !order.contains(alias) {
                order.push(alias.clone());
            }
        }
        Self {
            id,
            directory,
            order,
            recorded: ProjectManifest {
                name: manifest.name.clone(),
                version: manifest.version.clone(),
                dependencies: specifiers(&manifest.dependencies),
                dev_dependencies: specifiers(&manifest.dev_dependencies),
                optional_dependencies: specifiers(&manifest.optional_dependencies),
                peer_dependencies: specifiers(&manifest.peer_dependencies),
                optional_peers: manifest.optional_peers(),
                dependencies_meta: manifest
                    .dependencies_meta
                    .clone()
                    .map(serde_json::Value::Object),
                publish_directory: manifest.publish_directory.clone(),
                links_project: manifest.links_project(),
            },
            update: Update::Nothing,
        }
    }

    /// Its importer, without any dependency.
    fn without_dependencies(&self) -> Importer {
        let manifest = &self.recorded;
        let meta = manifest.dependencies_meta.clone();
        Importer {
            dependencies_meta: meta
                .filter(|meta| meta.as_object().is_some_and(|meta| !meta.is_empty())),
            publish_directory: manifest.publish_directory.clone(),
            links_project: manifest.links_project,
            ..Importer::default()
        }
    }

    /// Refuses peers that are asked for by what is neither a range nor has a protocol.
    fn check_peers(&self) -> Result<(), ResolveFault> {
        for (alias, specifier) in &self.recorded.peer_dependencies {
            let is_range = !specifier.trim().is_empty() && Range::parse(specifier).is_some();
            if !is_range && !specifier.contains(':') {
                let directory = || self.directory.display().to_string();
                return Err(ResolveFault::PeerSpecifier {
                    package: self
                        .recorded
                        .name
                        .as_deref()
                        .map_or_else(directory, str::to_owned),
                    alias: alias.to_string(),
                    specifier: specifier.to_string(),
                });
            }
        }
        Ok(())
    }

    /// What it declares, once each, with catalogs' entries in place.
    fn declared(&self, settings: &Settings) -> Result<Vec<Declared>, ResolveFault> {
        let manifest = &self.recorded;
        let mut declared = Vec::new();
        let mut names: Vec<&str> = self.order.iter().map(PackageName::as_str).collect();
        let groups = [
            &manifest.peer_dependencies,
            &manifest.dev_dependencies,
            &manifest.dependencies,
            &manifest.optional_dependencies,
        ];
        for alias in groups.iter().flat_map(|group| group.keys()) {
            if !names.contains(&&**alias) {
                names.push(alias);
            }
        }
        for name in names {
            let with_peers = settings.auto_install_peers;
            let Some((group, specifier)) = manifest.declared(name, with_peers) else {
                continue;
            };
            let meta = manifest.dependencies_meta.as_ref();
            let injected = meta.and_then(|meta| meta.get(name)?.get("injected")?.as_bool());
            let alias = PackageName::new(name).map_err(|source| ResolveFault::Name {
                name: name.to_owned(),
                source,
            })?;
            declared.push(Declared {
                specifier: settings.catalog_specifier(name, specifier, &self.directory)?,
                alias,
                optional: group == DependencyGroup::Optional,
                injected: injected.unwrap_or(false),
                is_peer: !groups[1..].iter().any(|group| group.contains_key(name)),
            });
        }
        Ok(declared)
    }
}

/// Settings that the lockfile records.
#[derive(Debug, Clone, Default)]
pub struct RecordedSettings {
    /// `autoInstallPeers`.
    pub auto_install_peers: bool,
    /// `dedupePeers`.
    pub dedupe_peers: bool,
    /// `addMissingPeerTypes`.
    pub adds_peer_types: bool,
    /// `projectScopedOptionalPeers`.
    pub scoped_optional_peers: bool,
    /// `excludeLinksFromLockfile`.
    pub exclude_links: bool,
    /// `injectWorkspacePackages`.
    pub inject_workspace_packages: bool,
    /// `peersSuffixMaxLength`.
    pub peers_suffix_max_length: u64,
    /// `overrides`, resolved.
    pub overrides: IndexMap<Box<str>, Box<str>>,
    /// `packageExtensionsChecksum`.
    pub package_extensions_checksum: Option<Box<str>>,
    /// `pnpmfileChecksum`.
    pub pnpmfile_checksum: Option<Box<str>>,
    /// Key → hash.
    pub patched_dependencies: IndexMap<Box<str>, Box<str>>,
    /// As declared.
    pub ignored_optional_dependencies: Vec<Box<str>>,
    /// Catalog → alias → specifier.
    pub catalogs: IndexMap<String, IndexMap<String, String>>,
}

/// What is to be resolved.
#[derive(Debug)]
pub struct Resolution<'a> {
    /// The projects.
    pub projects: &'a [ResolveProject],
    /// What the lockfile records.
    pub recorded: &'a RecordedSettings,
    /// The lockfile so far, and whether whole subtrees of it may be taken.
    pub previous: Option<(&'a Lockfile, bool)>,
    /// The lockfile so far, also where versions are chosen as if there were none: what it says of
    /// packages, and the registry does not say any more, stays.
    pub replaced: Option<&'a Lockfile>,
    /// `modulesDir`, relative to each project.
    pub modules_directory: &'a Path,
}

impl Resolution<'_> {
    /// Chooses everything.
    ///
    /// # Errors
    /// The first dependency that cannot be resolved, with those who need it.
    pub fn run<S: Source + Sync>(
        &self,
        settings: &Settings,
        source: &S,
    ) -> Result<Lockfile, ResolveError> {
        std::thread::scope(|scope| {
            let resolve = || self.resolve(settings, source);
            let thread = std::thread::Builder::new()
                .name("resolve".to_owned())
                .stack_size(stack_bytes(STACK_BYTES))
                .spawn_scoped(scope, resolve);
            match thread.map(std::thread::ScopedJoinHandle::join) {
                Ok(Ok(result)) => result,
                Ok(Err(panic)) => std::panic::resume_unwind(panic),
                Err(_) => resolve(),
            }
        })
    }

    fn resolve(&self, settings: &Settings, source: &dyn Source) -> Result<Lockfile, ResolveError> {
        let mut given: Vec<&ResolveProject> = self.projects.iter().collect();
        given.sort_by(|left, right| left.id.as_str().cmp(right.id.as_str()));
        let prior = || {
            self.previous.map(|(lockfile, takes_subtrees)| {
                let updates = given.iter().map(|project| project.update.clone()).collect();
                Prior::new(lockfile, takes_subtrees, updates)
            })
        };
        for project in &given {
            project.check_peers()?;
        }
        let declared = given.iter().map(|project| project.declared(settings));
        let declared = declared.collect::<Result<Vec<_>, _>>()?;
        if let Some(lockfile) = self.with_additions(settings, source, &given, &declared)? {
            return Ok(lockfile);
        }
        let mut times = BTreeMap::new();
        if settings.time_based {
            let previous = self.previous.map(|(lockfile, _)| lockfile);
            times = cutoff::published(settings, source, &declared, previous)?;
            if let Some(until) = cutoff::cutoff(&times) {
                source.limit(until);
            }
        }
        let options = settings.peer_options();
        let mut left_out = FxHashSet::default();
        let mut broken = FxHashMap::default();
        let (tree, projects) = loop {
            let mut tree = Tree::new(settings, source, prior());
            tree.left_out.clone_from(&left_out);
            tree.broken.clone_from(&broken);
            let projects = self.walk(&mut tree, &options, &given, &declared)?;
            if tree.failed.is_empty() {
                break (tree, projects);
            }
            let known = left_out.len();
            for (edge, error) in std::mem::take(&mut tree.failed) {
                if left_out.insert(Arc::clone(&edge)) {
                    settings.skipped_optional(&edge.alias, &error);
                } else if left_out.len() == known {
                    // Each round leaves out one more, so this ends.
                    return Err(error);
                }
                if let Some(package) = error.broken.clone() {
                    broken.entry(package).or_insert(error);
                }
            }
        };
        settings.check_patches(&tree.used_patches)?;
        let mut lockfile = self.finish(settings, &tree, &projects, &given, &options);
        if !times.is_empty() {
            let times = serde_json::to_value(times).unwrap_or_default();
            lockfile.other.insert("time".into(), times);
        }
        Ok(lockfile)
    }

    /// Chooses a version for every dependency.
    fn walk(
        &self,
        tree: &mut Tree<'_>,
        options: &PeerOptions,
        given: &[&ResolveProject],
        declared: &[Vec<Declared>],
    ) -> Result<Vec<Project>, ResolveError> {
        let lowest_direct = tree.settings.lowest_direct;
        let mut hoist = Hoist::new(tree, options);
        {
            let _span = tracing::info_span!("walk").entered();
            let walkers = given.iter().enumerate().map(|(at, project)| Walker {
                project: at,
                id: project.id.as_str().into(),
                directory: project.directory.as_path().into(),
                lowest_direct,
            });
            let walkers: Vec<Walker> = walkers.collect();
            hoist.keep_changed(&walkers, declared)?;
            for ((walker, project), declared) in walkers.into_iter().zip(given).zip(declared) {
                let modules = project.directory.join(self.modules_directory);
                hoist.add(walker, modules, declared.clone())?;
            }
        }
        {
            let _span = tracing::info_span!("hoist").entered();
            hoist.run()?;
        }
        let states = std::mem::take(&mut hoist.states);
        Ok(states.into_iter().map(|state| state.project).collect())
    }

    fn finish(
        &self,
        settings: &Settings,
        tree: &Tree<'_>,
        projects: &[Project],
        given: &[&ResolveProject],
        options: &PeerOptions,
    ) -> Lockfile {
        let mut graph = {
            let _span = tracing::info_span!("peers").entered();
            peers::resolve(&tree.forest, projects, settings.peers_from_root, options)
        };
        let _span = tracing::info_span!("write").entered();
        let root = &settings.lockfile_directory;
        if settings.dedupe_injected_deps {
            dedupe::injected(&mut graph, &tree.forest, projects, root);
        }
        if settings.dedupe_peer_dependents {
            dedupe::peer_dependents(
                &mut graph,
                &tree.forest,
                projects,
                settings.suffix_length_max,
            );
            if settings.dedupe_injected_deps {
                // Now a project may have what its copy has.
                dedupe::injected(&mut graph, &tree.forest, projects, root);
            }
        }
        let output = Output {
            forest: &tree.forest,
            graph: &graph,
            projects,
            given,
            recorded: self.recorded,
            previous: self.previous.map(|(lockfile, _)| lockfile),
            replaced: self.replaced,
            lockfile_directory: &settings.lockfile_directory,
        };
        output.lockfile()
    }
}
