//! Everything that decides what an install makes, and its digest.

use std::collections::{BTreeMap, BTreeSet};
use std::io::Read;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use sha2::{Digest, Sha256};

use super::error::InstallError;
use super::linked;
use super::node;
use super::npm;
use super::patches::Patches;
use crate::install::config::{self, Config, Environment, PNPM_VERSION};
use crate::install::drafts::Drafts;
use crate::install::layout::{
    HoistingLimits, IncludedGroups, LayoutSettings, ManifestFacts, NodeLinker, linked_directories,
};
use crate::install::lockfile::{ImporterId, Lockfile, has_main_document};
use crate::install::manifest::{Manifest, ManifestError};
use crate::install::package_lock;
use crate::install::pnpmfile::pnpmfiles;
use crate::install::scripts::Children;
use crate::install::select::{Host, SupportedArchitectures, SupportedPlatforms};
use crate::install::semver::{Range, Version};
use crate::install::workspace::{self, Project, WorkspaceError};
use crate::limits::LOCKFILE_BYTES_MAX;
use crate::name::{PackageName, hexadecimal};
use crate::sys;

/// The lockfile that a project is installed from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LockfilePlace {
    /// Where it is, or would be.
    pub path: PathBuf,
    /// Whether it is one of npm, which is installed as it stands.
    pub is_of_npm: bool,
}

impl LockfilePlace {
    /// Looks for the lockfile of a project. Beside a `pnpm-lock.yaml`, and in a workspace of
    /// `pnpm-workspace.yaml`, those of npm count for nothing.
    pub fn find(config: &Config) -> Self {
        Self::drafted(config, &Drafts::default())
    }

    /// The same, where files may have drafts.
    fn drafted(config: &Config, drafts: &Drafts) -> Self {
        let own = config.lockfile_in(&config.lockfile_directory, |path| drafts.has(path));
        let has_own_projects = config
            .package_globs
            .as_ref()
            .is_some_and(|globs| !globs.is_empty());
        let of_npm = package_lock::FILE_NAMES.map(|name| config.lockfile_directory.join(name));
        let found = of_npm.into_iter().find(|path| path.is_file());
        match found.filter(|_| !has_own_projects && !own.exists()) {
            Some(path) => Self {
                path,
                is_of_npm: true,
            },
            None => Self {
                path: own,
                is_of_npm: false,
            },
        }
    }

    /// Refuses what would change a lockfile of npm.
    ///
    /// # Errors
    /// [`InstallError::LockedByNpm`].
    pub fn refuse_change(self) -> Result<(), InstallError> {
        match self.is_of_npm {
            true => Err(InstallError::LockedByNpm { path: self.path }),
            false => Ok(()),
        }
    }
}

/// Scripts that an install left pending where it was told to ignore scripts.
const INSTALL_SCRIPTS: [&str; 5] = [
    "preinstall",
    "install",
    "postinstall",
    "prepublish",
    "prepare",
];

/// What an install is made from.
#[derive(Debug)]
pub struct Inputs {
    /// The user's environment, for programs that an install runs.
    pub environment: Environment,
    /// Every project, the root's first.
    pub projects: Vec<Project>,
    /// The lockfile, as it stands.
    pub lockfile_text: String,
    /// The lockfile that this text is, where that is known without reading it.
    pub known_lockfile: Option<Arc<Lockfile>>,
    /// Where the lockfile is.
    pub lockfile: LockfilePlace,
    /// The projects that are installed; `None`: all.
    pub installed: Option<BTreeSet<ImporterId>>,
    /// The projects whose manifests the lockfile has to fit; `None`: all.
    pub checked: Option<BTreeSet<ImporterId>>,
    /// Which projects are in `workspaces` of the root's manifest, where the lockfile is npm's.
    pub npm_workspaces: BTreeSet<ImporterId>,
    /// The patch files.
    pub patches: Patches,
    /// Groups of dependencies.
    pub groups: IncludedGroups,
    /// Platforms for which optional packages are installed.
    pub platforms: SupportedPlatforms,
    /// The Node that `engines` are held against.
    pub node_version: Option<String>,
    /// Where processes that an install starts are registered.
    pub children: Children,
}

impl Inputs {
    /// Reads manifests, lockfile and patches, and looks at the machine.
    ///
    /// # Errors
    /// [`InstallError::NoLockfile`], or a file that cannot be read or used.
    pub fn read(
        config: &Config,
        environment: &Environment,
        groups: IncludedGroups,
    ) -> Result<Self, InstallError> {
        Self::drafted(config, environment, groups, &Drafts::default())
    }

    /// The same, where files may have drafts.
    ///
    /// # Errors
    /// As [`Inputs::read`].
    pub fn drafted(
        config: &Config,
        environment: &Environment,
        groups: IncludedGroups,
        drafts: &Drafts,
    ) -> Result<Self, InstallError> {
        let projects = workspace::drafted_projects(config, drafts)?;
        Self::with_projects(config, environment, groups, projects, drafts)
    }

    /// Reads lockfile and patches, for an install that is about no project.
    ///
    /// # Errors
    /// As [`Inputs::read`].
    pub fn of_lockfile(
        config: &Config,
        environment: &Environment,
        groups: IncludedGroups,
    ) -> Result<Self, InstallError> {
        Self::with_projects(config, environment, groups, Vec::new(), &Drafts::default())
    }

    fn with_projects(
        config: &Config,
        environment: &Environment,
        groups: IncludedGroups,
        mut projects: Vec<Project>,
        drafts: &Drafts,
    ) -> Result<Self, InstallError> {
        let _span = tracing::info_span!("read_inputs").entered();
        let lockfile = LockfilePlace::drafted(config, drafts);
        let lockfile_text = match lockfile_text(&lockfile, drafts) {
            // There is nothing that it could have.
            Err(InstallError::NoLockfile { .. }) if is_nothing_to_lock(config, &projects) => {
                empty_lockfile(&projects)
            }
            read => read?,
        };
        let npm_workspaces = match lockfile.is_of_npm {
            true => npm::add_projects(config, &lockfile_text, &mut projects)?,
            false => BTreeSet::new(),
        };
        let patches = Patches::read(config, drafts)?;
        Ok(Self {
            environment: environment.clone(),
            projects,
            lockfile_text,
            known_lockfile: None,
            installed: None,
            checked: None,
            lockfile,
            npm_workspaces,
            patches,
            groups,
            platforms: platforms(config),
            node_version: node_version(config, environment),
            children: Children::default(),
        })
    }

    /// SHA-256, hexadecimal, of everything that decides the layout, this program's own sources
    /// among it: two installs of the same digest make the same tree.
    pub fn digest(&self, config: &Config) -> String {
        let mut digest = Sha256::new();
        let mut part = |name: &str, content: &[u8]| {
            digest.update(name.as_bytes());
            digest.update((content.len() as u64).to_le_bytes());
            digest.update(content);
        };
        part("program", env!("PACQUET_SOURCES_DIGEST").as_bytes());
        part("lockfile", self.lockfile_text.as_bytes());
        part("of npm", &[u8::from(self.lockfile.is_of_npm)]);
        for project in &self.projects {
            part("project", project.directory.as_os_str().as_encoded_bytes());
            part("manifest", format!("{:?}", project.manifest).as_bytes());
            // Projects of a workspace have each other's commands, which begin as their files say.
            if !self.is_single_project() {
                let commands = linked::commands(&project.manifest, &project.directory);
                if !commands.is_empty() {
                    part("commands", format!("{commands:?}").as_bytes());
                }
            }
        }
        for patch in self.patches.iter() {
            part("patch", format!("{} {}", patch.key, patch.hash).as_bytes());
        }
        let machine = format!("{:?} {:?}", self.platforms, self.node_version);
        part("machine", machine.as_bytes());
        part("installed", format!("{:?}", self.installed).as_bytes());
        part("groups", format!("{:?}", self.groups).as_bytes());
        let modules = config.modules_directory.as_os_str();
        part("modules", modules.as_encoded_bytes());
        part(
            "layout",
            format!("{:?}", self.layout_settings(config)).as_bytes(),
        );
        part("settings", settings_text(config).as_bytes());
        part("is trusted", &[u8::from(config.lockfile.is_trusted)]);
        let ignores_manifests = config.lockfile.ignores_manifests;
        part("manifests count", &[u8::from(!ignores_manifests)]);
        hexadecimal(&digest.finalize())
    }

    /// The projects that have scripts which an install runs.
    pub(super) fn projects_with_scripts(&self) -> Vec<Box<str>> {
        let has_scripts = |project: &&Project| {
            INSTALL_SCRIPTS
                .iter()
                .any(|name| project.manifest.scripts.contains_key(*name))
        };
        let projects = self.projects.iter().filter(has_scripts);
        projects.map(|project| project.id.as_str().into()).collect()
    }

    /// Whether one `node_modules` serves the whole install.
    pub fn is_single_project(&self) -> bool {
        self.projects.len() == 1
    }

    /// The settings of the layout.
    pub(super) fn layout_settings(&self, config: &Config) -> LayoutSettings {
        let patterns = |list: &[String]| list.iter().map(|text| text.as_str().into()).collect();
        let hoisting = &config.hoisting;
        LayoutSettings {
            node_linker: match config.node_linker {
                config::NodeLinker::Hoisted => NodeLinker::Hoisted,
                _ => NodeLinker::Isolated,
            },
            hoist_pattern: hoisting.private_patterns.as_deref().map(patterns),
            public_hoist_pattern: patterns(&hoisting.public_patterns),
            hoist_workspace_packages: hoisting.workspace_packages,
            hoisting_limits: match hoisting.limits {
                config::HoistingLimits::None => HoistingLimits::None,
                config::HoistingLimits::Workspaces => HoistingLimits::Workspaces,
                config::HoistingLimits::Dependencies => HoistingLimits::Dependencies,
            },
            dedupe_direct_deps: config.dedupe_direct_deps,
            extend_node_path: config.extend_node_path
                && config.prefer_symlinked_executables != Some(true),
            modules_directory: config.modules_directory.to_string_lossy().into(),
            virtual_store_dir_max_length: config.virtual_store_dir_max_length,
            symlink: config.symlink,
            virtual_store_only: config.virtual_store_only,
        }
    }

    /// What the layout must know of the directories that a `link:` leads to, and of the projects.
    pub(super) fn linked_manifests(
        &self,
        lockfile: &Lockfile,
        config: &Config,
    ) -> BTreeMap<Box<str>, ManifestFacts> {
        let mut manifests: BTreeMap<Box<str>, ManifestFacts> = BTreeMap::new();
        for project in &self.projects {
            let facts = manifest_facts(&project.manifest, &project.directory);
            manifests.insert(project.id.as_str().into(), facts);
        }
        for directory in linked_directories(lockfile) {
            if manifests.contains_key(&directory) {
                continue;
            }
            let path = config.lockfile_directory.join(&*directory);
            // A link may lead anywhere, and to what is no package: then it offers no command.
            let manifest = Manifest::read_optional(&path)
                .ok()
                .flatten()
                .unwrap_or_default();
            manifests.insert(directory, manifest_facts(&manifest, &path));
        }
        manifests
    }
}

/// What is installed for.
pub fn platforms(config: &Config) -> SupportedPlatforms {
    let wanted = &config.supported_architectures;
    let list = |list: &Option<Vec<String>>| -> Option<Vec<Box<str>>> {
        list.as_ref()
            .map(|list| list.iter().map(|name| name.as_str().into()).collect())
    };
    let setting = SupportedArchitectures {
        os: list(&wanted.os),
        cpu: list(&wanted.cpu),
        libc: list(&wanted.libc),
        all: wanted.all,
    };
    SupportedPlatforms::new(&Host::detect(), &setting)
}

pub(super) fn manifest_facts(manifest: &Manifest, directory: &Path) -> ManifestFacts {
    ManifestFacts {
        name: manifest
            .name
            .as_deref()
            .and_then(|name| PackageName::new(name).ok()),
        version: manifest.version.clone(),
        bins: linked::commands(manifest, directory),
    }
}

/// Whether no project depends on anything. An install that is about no project looks for some.
fn is_nothing_to_lock(config: &Config, projects: &[Project]) -> bool {
    let depends_on_nothing = |project: &Project| {
        let manifest = &project.manifest;
        manifest.dependencies.is_empty()
            && manifest.dev_dependencies.is_empty()
            && manifest.optional_dependencies.is_empty()
            && manifest.peer_dependencies.is_empty()
    };
    if !projects.is_empty() {
        return projects.iter().all(depends_on_nothing);
    }
    match workspace::projects(config) {
        Ok(found) => found.iter().all(depends_on_nothing),
        Err(WorkspaceError::Manifest(ManifestError::Missing { .. })) => true,
        Err(_) => false,
    }
}

/// Refuses projects that need another version of pnpm than this program stands for and, where
/// `engineStrict` is set, projects that do not run with the Node that there is.
///
/// # Errors
/// [`InstallError::PnpmEngine`] and [`InstallError::Engine`].
pub fn check_engines(
    projects: &[Project],
    config: &Config,
    environment: &Environment,
) -> Result<(), InstallError> {
    for project in projects {
        if let Some(wanted) = project.manifest.engines.get("pnpm")
            && !is_own_version(wanted)
        {
            return Err(InstallError::PnpmEngine {
                directory: project.directory.clone(),
                wanted: wanted.clone(),
            });
        }
    }
    check_node(projects, config, environment)
}

/// Whether the version of pnpm that this program stands for is one of a range. What is no range
/// asks for nothing.
fn is_own_version(wanted: &str) -> bool {
    let own = Version::parse(PNPM_VERSION);
    let range = Range::parse(wanted);
    range.is_none_or(|range| own.is_none_or(|own| range.contains(&own)))
}

fn check_node(
    projects: &[Project],
    config: &Config,
    environment: &Environment,
) -> Result<(), InstallError> {
    let declares = |project: &&Project| project.manifest.engines.contains_key("node");
    if !config.engine_strict || !projects.iter().any(|project| declares(&project)) {
        return Ok(());
    }
    let Some(current) = node_version(config, environment) else {
        return Ok(());
    };
    let Some(version) = Version::parse_loose(&current) else {
        return Ok(());
    };
    for project in projects.iter().filter(declares) {
        let wanted = &project.manifest.engines["node"];
        if Range::parse(wanted).is_some_and(|range| !range.contains(&version)) {
            return Err(InstallError::Engine {
                directory: project.directory.clone(),
                wanted: wanted.clone(),
                current,
            });
        }
    }
    Ok(())
}

fn empty_lockfile(projects: &[Project]) -> String {
    let mut text = "lockfileVersion: '9.0'\n".to_owned();
    if !projects.is_empty() {
        text.push_str("\nimporters:\n");
    }
    for project in projects {
        // The text of JSON is one of YAML.
        let key = serde_json::Value::from(project.id.as_str());
        text.push_str(&format!("\n  {key}: {{}}\n"));
    }
    text
}

fn lockfile_text(place: &LockfilePlace, drafts: &Drafts) -> Result<String, InstallError> {
    let path = &*place.path;
    let text = match drafts.content(path) {
        Some(Some(content)) => String::from_utf8_lossy(content).into_owned(),
        _ => read_lockfile_text(path)?,
    };
    match place.is_of_npm || has_main_document(&text) {
        true => Ok(text),
        false => Err(InstallError::NoLockfile {
            path: path.to_owned(),
        }),
    }
}

fn read_lockfile_text(path: &Path) -> Result<String, InstallError> {
    let failed = |source: std::io::Error| match source.kind() {
        std::io::ErrorKind::NotFound => InstallError::NoLockfile {
            path: path.to_owned(),
        },
        _ => InstallError::ReadLockfile {
            path: path.to_owned(),
            source,
        },
    };
    let file = sys::file::open(path).map_err(failed)?;
    let mut text = String::new();
    // One byte more than the limit is enough for the reader to refuse it by its size.
    file.take(LOCKFILE_BYTES_MAX + 1)
        .read_to_string(&mut text)
        .map_err(failed)?;
    Ok(text)
}

fn node_version(config: &Config, environment: &Environment) -> Option<String> {
    match &config.node_version {
        Some(version) => Some(version.clone()),
        None => node::program_version("node", config, environment),
    }
}

/// The pnpmfiles that are there, which state files name.
pub(super) fn recorded_pnpmfiles(config: &Config) -> Vec<Box<str>> {
    // One that is missing matters only where something is resolved.
    let paths = pnpmfiles(config).unwrap_or_default();
    let texts = paths.iter().map(|path| path.to_string_lossy().into());
    texts.collect()
}

/// The settings that the check of the lockfile and the state files depend on.
fn settings_text(config: &Config) -> String {
    format!(
        "{:?}",
        (
            &config.graph.overrides,
            &config.graph.package_extensions,
            &config.graph.catalogs,
            &config.graph.ignored_optional_dependencies,
            &config.builds,
            (
                config.lockfile.auto_install_peers,
                config.lockfile.exclude_links,
                config.lockfile.dedupe_peers,
                config.lockfile.scoped_optional_peers,
                config.lockfile.peers_suffix_max_length,
                config.lockfile.inject_workspace_packages,
                config.engine_strict,
                config.installs_runtimes,
            ),
            (&config.store_directory, &config.pnpm_store_directory),
            &config.recorded,
            recorded_pnpmfiles(config),
            &config.packages,
            &config.lockfile_directory,
        )
    )
}
