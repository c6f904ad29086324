//! The configuration that the rest of the program sees: every setting has a value.

use std::collections::{BTreeMap, HashMap};
use std::path::{Path, PathBuf};
use std::sync::{Arc, LazyLock};
use std::time::Duration;

use indexmap::IndexMap;
use reqwest::Url;
use serde_json::{Map, Value};

use super::audit::{AuditConfig, audit};
use super::branches::BranchLockfiles;
use super::credentials::{Credential, Credentials, Secret, prefix_of, user_of};
use super::environment::Environment;
use super::error::{ConfigError, ConfigWarning};
use super::flags::{DefaultFlags, flags};
use super::global::{GlobalPlaces, places};
use super::hoisting::{Hoisting, hoisting};
use super::network::{NetworkConfig, network};
use super::options::Options;
use super::packages::{CONFIG_PACKAGES_NAME, ConfigPackages};
use super::peer_rules::PeerRules;
use super::pnpm_store::pnpm_store_directory;
use super::publishing::{PublishingConfig, publishing};
use super::recorded::recorded;
use super::registries::{NpmRegistry, Registries, registry_url};
use super::resolution::{ResolutionConfig, resolution};
use super::save::{SaveConfig, save};
use super::scripts::{ScriptConfig, scripts};
use super::selection::{SelectionConfig, selection};
use super::tasks::Tasks;
use super::value::{
    AllowBuilds, Concurrency, EngineReaction, LinkWorkspacePackages, NodeLinker,
    PackageImportMethod, SupportedArchitectures, VirtualMode,
};
use crate::install::lockfile::PEERS_SUFFIX_LENGTH_DEFAULT;
use crate::install::semver::Version;
use crate::lexical;
use crate::store;

/// The pnpm whose behaviour scripts may rely on.
pub const PNPM_VERSION: &str = "12.21.0";

/// Compilers may take long, but nothing waits for ever.
const BUILD_TIMEOUT_SECONDS: u64 = 60 * 60;

/// Which packages may run install scripts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BuildPolicy {
    /// `ignoreScripts`.
    pub ignore_scripts: bool,
    /// `allowBuilds`.
    pub allow_builds: AllowBuilds,
    /// `strictDepBuilds`: unreviewed scripts are an error.
    pub strict: bool,
    /// `dangerouslyAllowAllBuilds`; only the user can set it.
    pub allow_all: bool,
}

/// How the scripts of packages are run, and what is kept of them. None of it decides which run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BuildRunning {
    /// `childConcurrency`: how many packages are built at once.
    pub concurrency: usize,
    /// `unsafePerm`; `None`: as the user is root or not.
    pub unsafe_permissions: Option<bool>,
    /// `sideEffectsCache`: what a build made is used again.
    pub reads_side_effects: bool,
    /// `sideEffectsCacheReadonly` turns this off: what a build made is stored.
    pub writes_side_effects: bool,
    /// `buildTimeoutSeconds`; `None` where it is 0.
    pub timeout: Option<Duration>,
}

/// How the lockfile is read and written: what pnpm records in its `settings`, and when it may
/// change.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LockfileConfig {
    /// `lockfile`.
    pub enabled: bool,
    /// `frozenLockfile`; `None`: not said, and no continuous integration (callers turn to
    /// `prefer_frozen`). Under continuous integration it is `Some(true)`, and
    /// `frozen_is_implied` is set: without a lockfile it does not apply.
    pub frozen: Option<bool>,
    /// Whether `frozen` comes from the presence of continuous integration only.
    pub frozen_is_implied: bool,
    /// `preferFrozenLockfile`.
    pub prefer_frozen: bool,
    /// `trustLockfile`: addresses of archives are not held against those of registries.
    pub is_trusted: bool,
    /// A frozen lockfile is not held against manifests (`--ignore-manifest-check`).
    pub ignores_manifests: bool,
    /// `sharedWorkspaceLockfile`.
    pub shared: bool,
    /// `gitBranchLockfile`.
    pub branches: BranchLockfiles,
    /// `excludeLinksFromLockfile`.
    pub exclude_links: bool,
    /// `autoInstallPeers`.
    pub auto_install_peers: bool,
    /// `strictPeerDependencies`.
    pub strict_peer_dependencies: bool,
    /// `dedupePeers`.
    pub dedupe_peers: bool,
    /// `addMissingPeerTypes`.
    pub adds_peer_types: bool,
    /// `projectScopedOptionalPeers`.
    pub scoped_optional_peers: bool,
    /// `peersSuffixMaxLength`.
    pub peers_suffix_max_length: usize,
    /// `injectWorkspacePackages`.
    pub inject_workspace_packages: bool,
}

impl LockfileConfig {
    /// Does not hold a lockfile that is frozen against the manifests, if `ignores`.
    pub fn ignore_manifests(&mut self, ignores: bool) {
        self.ignores_manifests = ignores && self.frozen == Some(true);
    }

    /// What is there for changing the lockfile is not held back by continuous integration, but by
    /// who says that it is frozen.
    pub fn thaw_where_implied(&mut self) {
        if self.frozen_is_implied {
            self.frozen = None;
            self.frozen_is_implied = false;
        }
    }
}

/// What changes the graph of packages that manifests ask for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GraphConfig {
    /// `ignoredOptionalDependencies`.
    pub ignored_optional_dependencies: Vec<String>,
    /// `peerDependencyRules`.
    pub peer_rules: PeerRules,
    /// `allowedDeprecatedVersions`: name → range.
    pub allowed_deprecated: IndexMap<String, String>,
    /// `overrides`, as written.
    pub overrides: IndexMap<String, String>,
    /// `packageExtensions`, as written.
    pub package_extensions: Map<String, Value>,
    /// `patchedDependencies`: key → path as written, relative to the workspace's root.
    pub patched_dependencies: IndexMap<String, String>,
    /// `patchesDir`: where `patch-commit` writes, relative to the workspace's root.
    pub patches_directory: Option<String>,
    /// `allowUnusedPatches`.
    pub allow_unused_patches: bool,
    /// `catalogs`, with `catalog` as `default`.
    pub catalogs: IndexMap<String, IndexMap<String, String>>,
    /// `linkWorkspacePackages`.
    pub link_workspace_packages: bool,
    /// `linkWorkspacePackages: deep`.
    pub links_deep: bool,
    /// `blockExoticSubdeps`.
    pub block_exotic_subdeps: bool,
    /// `dedupePeerDependents`.
    pub dedupe_peer_dependents: bool,
    /// `autoDedupe`.
    pub auto_dedupe: bool,
    /// `dedupeInjectedDeps`.
    pub dedupe_injected_deps: bool,
    /// `resolvePeersFromWorkspaceRoot`.
    pub peers_from_workspace_root: bool,
    /// `autoInstallPeersFromHighestMatch`.
    pub peers_from_highest_match: bool,
    /// `ignoreCompatibilityDb`.
    pub ignore_compatibility_db: bool,
    /// `preferWorkspacePackages`.
    pub prefer_workspace_packages: bool,
    /// `lockfileIncludeTarballUrl`.
    pub include_tarball_url: bool,
}

/// Programs of the project that change manifests.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct PnpmfileConfig {
    /// `ignorePnpmfile`: none of them runs.
    pub ignored: bool,
    /// `globalPnpmfile`, absolute: the user's, which comes before the project's.
    pub global: Option<PathBuf>,
    /// What the hook `updateConfig` had to say is in this configuration.
    pub has_updated: bool,
    /// `pnpmfile`, absolute; `None`: those that have the usual names.
    pub paths: Option<Vec<PathBuf>>,
}

/// The configuration of one project or workspace.
#[derive(Debug, Clone)]
pub struct Config {
    /// Where the command works: `--dir` or the current directory.
    pub directory: PathBuf,
    /// The directory of `pnpm-workspace.yaml`, where there is one at or above `directory`.
    pub workspace_root: Option<PathBuf>,
    /// The directory of `pnpm-lock.yaml`: `lockfileDir`, else the workspace's root, else
    /// `directory`; in a workspace whose projects have lockfiles of their own, `directory`.
    pub lockfile_directory: PathBuf,
    /// `packages`: globs of projects; `None` where the workspace file does not say.
    pub package_globs: Option<Vec<String>>,
    /// `storeDir`: as configured, without this program's own subdirectory.
    pub store_directory: PathBuf,
    /// Whether `store_directory` was configured and is not the default.
    pub store_directory_is_configured: bool,
    /// The store that pnpm would use for this project, where one can be told.
    pub pnpm_store_directory: Option<PathBuf>,
    /// Where packages are installed that belong to no project; `None` where HOME would be needed.
    pub global: Option<GlobalPlaces>,
    /// `cacheDir`.
    pub cache_directory: PathBuf,
    /// `stateDir`; `None` where HOME would be needed to choose one and is not set.
    pub state_directory: Option<PathBuf>,
    /// `nodeLinker`.
    pub node_linker: NodeLinker,
    /// `modulesDir`, relative to each project.
    pub modules_directory: PathBuf,
    /// `virtualStoreDirMaxLength`.
    pub virtual_store_dir_max_length: usize,
    /// `symlink`: the isolated linker links dependencies.
    pub symlink: bool,
    /// `virtualStoreOnly`: an install leaves out what belongs to projects, and their scripts.
    pub virtual_store_only: bool,
    /// `frozenStore`: nothing is added to the store.
    pub frozen_store: bool,
    /// Hoisting.
    pub hoisting: Hoisting,
    /// `packageImportMethod`.
    pub package_import_method: PackageImportMethod,
    /// `virtual`.
    pub virtual_mode: VirtualMode,
    /// `allowOther`: other users may look into the mount. Only the user can set it.
    pub allow_other: bool,
    /// `mountHelper`. Only the user can set it.
    pub mount_helper: Option<PathBuf>,
    /// `mountProfile`: whether what programs touch first is remembered, and touched in advance
    /// after the next mount.
    pub mount_profile: bool,
    /// Reading and writing the lockfile.
    pub lockfile: LockfileConfig,
    /// What changes the graph of packages.
    pub graph: GraphConfig,
    /// What `audit` tells.
    pub audit: AuditConfig,
    /// How projects are packed.
    pub publishing: PublishingConfig,
    /// Packages that configuration is made of.
    pub packages: ConfigPackages,
    /// Programs that change manifests.
    pub pnpmfile: PnpmfileConfig,
    /// `dedupeDirectDeps`.
    pub dedupe_direct_deps: bool,
    /// `deployAllFiles`: copies of projects have every file, not only what would be published.
    pub copies_every_file: bool,
    /// `enableModulesDir`: an install makes `node_modules`.
    pub makes_modules: bool,
    /// Which install scripts are run.
    pub builds: BuildPolicy,
    /// How they are run.
    pub build_running: BuildRunning,
    /// `supportedArchitectures`.
    pub supported_architectures: SupportedArchitectures,
    /// `runtime`: runtimes that the lockfile has are installed.
    pub installs_runtimes: bool,
    /// `runtimeOnFail`: what manifests say of runtimes that are other ones does not count.
    pub runtime_on_fail: Option<EngineReaction>,
    /// `pmOnFail`: the same of the package manager.
    pub package_manager_on_fail: Option<EngineReaction>,
    /// `engineStrict`.
    pub engine_strict: bool,
    /// `forceIgnoresPlatform`: what is forced is installed for all platforms.
    pub force_ignores_platform: bool,
    /// `nodeVersion`.
    pub node_version: Option<String>,
    /// `preferSymlinkedExecutables`.
    pub prefer_symlinked_executables: Option<bool>,
    /// `extendNodePath`.
    pub extend_node_path: bool,
    /// `verifyStoreIntegrity`.
    pub verify_store_integrity: bool,
    /// Scripts of projects.
    pub scripts: ScriptConfig,
    /// Which projects of a workspace.
    pub selection: SelectionConfig,
    /// What flags of single commands mean where they are not written.
    pub flags: DefaultFlags,
    /// `dlxCacheMaxAge`, in minutes.
    pub dlx_cache_max_age_minutes: u64,
    /// How versions are chosen.
    pub resolution: ResolutionConfig,
    /// What the state files record of the settings of resolving, by name.
    pub recorded: BTreeMap<Box<str>, Value>,
    /// How commands change manifests.
    pub save: SaveConfig,
    /// Network.
    pub network: NetworkConfig,
    /// Registries.
    pub registries: Arc<Registries>,
    /// Credentials and certificates by host.
    pub credentials: Credentials,
    /// What a person should know.
    pub warnings: Vec<ConfigWarning>,
}

impl Config {
    /// Lets an install that is forced be for all platforms, where that is set.
    pub fn force(&mut self) {
        self.supported_architectures.all |= self.force_ignores_platform;
    }

    /// Where `pnpm-workspace.yaml` is, or would be.
    pub fn root(&self) -> &Path {
        self.workspace_root.as_deref().unwrap_or(&self.directory)
    }

    /// Whether each project of the workspace has a lockfile of its own
    /// (`sharedWorkspaceLockfile: false`).
    pub fn has_lockfiles_apart(&self) -> bool {
        self.workspace_root.is_some() && !self.lockfile.shared
    }
}

/// All layers combined, not yet resolved.
#[derive(Debug, Default)]
pub(super) struct Layers {
    pub(super) options: Options,
    /// `@scope` → address, of what is above every file.
    pub(super) scopes_over: IndexMap<String, String>,
    /// Of `.npmrc` files and below.
    pub(super) scopes: IndexMap<String, String>,
    pub(super) credentials: Credentials,
    pub(super) warnings: Vec<ConfigWarning>,
    pub(super) workspace_root: Option<PathBuf>,
    /// A hook has had its say.
    pub(super) is_updated: bool,
    /// `storeDir` as pnpm would find it.
    pub(super) pnpm_store: Option<PathBuf>,
}

impl Layers {
    /// Tells of settings that are on, and have nothing to change here.
    fn warn_of_no_difference(&mut self, options: &Options) {
        let tasks = options.tasks.as_ref();
        self.warnings.extend(tasks.and_then(Tasks::ignored));
        let without_effect = [
            (
                options.enable_global_virtual_store == Some(true),
                "enableGlobalVirtualStore makes no difference: every project is served from the \
                     one store anyway, and its real paths stay inside the project",
            ),
            (
                options.shell_emulator == Some(true),
                "shellEmulator makes no difference: scripts run in a real shell, which knows what \
                     the emulator knows",
            ),
        ];
        for (applies, message) in without_effect {
            if applies {
                self.warnings.push(ConfigWarning {
                    code: "ERR_PACQUET_CONFIG_NOT_APPLIED",
                    message: message.to_owned(),
                });
            }
        }
    }

    /// Gives every setting its value.
    pub(super) fn resolve(
        mut self,
        environment: &Environment,
        directory: &Path,
    ) -> Result<Config, ConfigError> {
        let options = std::mem::take(&mut self.options);
        // What hooks are shown has the default catalog under both names.
        if !self.is_updated {
            refuse_two_default_catalogs(&options)?;
        }
        refuse_unsupported(&options, directory, self.workspace_root.as_deref())?;
        self.warn_of_no_difference(&options);
        let root = self
            .workspace_root
            .clone()
            .unwrap_or_else(|| directory.to_path_buf());
        let state_directory = directory_of(
            options.state_dir.clone(),
            environment,
            "stateDir",
            "XDG_STATE_HOME",
            ".local/state",
        )
        .ok();
        let registries = self.registries(&options, environment, state_directory.as_deref())?;
        let network = network(&options, environment)?;
        let has_pnpm_store = self.pnpm_store.is_some();
        let pnpm_store_directory = pnpm_store_directory(
            self.pnpm_store.take(),
            environment,
            options.lockfile_dir.as_deref().unwrap_or(&root),
        );
        let pnpm_store = pnpm_store_directory.as_deref().filter(|_| has_pnpm_store);
        let recorded = recorded(&options, &registries, &root, pnpm_store);
        let store_directory_is_configured = options.store_dir.is_some();
        Ok(Config {
            directory: directory.to_path_buf(),
            lockfile_directory: lockfile_directory(&options, directory, &root),
            workspace_root: self.workspace_root,
            package_globs: options.packages.clone(),
            store_directory_is_configured,
            store_directory: store_directory(&options, environment)?,
            pnpm_store_directory,
            global: places(&options, environment),
            cache_directory: directory_of(
                options.cache_dir.clone(),
                environment,
                "cacheDir",
                "XDG_CACHE_HOME",
                ".cache",
            )?,
            state_directory,
            node_linker: options.node_linker.unwrap_or(NodeLinker::Isolated),
            modules_directory: modules_directory(&options, &root),
            virtual_store_dir_max_length: size(options.virtual_store_dir_max_length, 120),
            symlink: options.symlink.unwrap_or(true),
            virtual_store_only: options.virtual_store_only.unwrap_or(false),
            frozen_store: options.frozen_store.unwrap_or(false),
            hoisting: hoisting(&options),
            package_import_method: options
                .package_import_method
                .unwrap_or(PackageImportMethod::Auto),
            virtual_mode: options.virtual_mode.unwrap_or_default(),
            allow_other: options.allow_other.unwrap_or(false),
            mount_helper: options.mount_helper.clone(),
            mount_profile: options.mount_profile.unwrap_or(true),
            dedupe_direct_deps: options.dedupe_direct_deps.unwrap_or(false),
            copies_every_file: options.deploy_all_files.unwrap_or(false),
            makes_modules: options.enable_modules_dir.unwrap_or(true),
            builds: build_policy(&options),
            build_running: build_running(&options),
            lockfile: lockfile(&options, environment, directory),
            graph: graph(&options),
            audit: audit(&options),
            publishing: publishing(&options),
            packages: ConfigPackages {
                declared: options.config_dependencies.clone().unwrap_or_default(),
                directory: root
                    .join(modules_directory(&options, &root))
                    .join(CONFIG_PACKAGES_NAME),
                ..ConfigPackages::default()
            },
            pnpmfile: PnpmfileConfig {
                ignored: options.ignore_pnpmfile.unwrap_or(false),
                global: options.global_pnpmfile.clone(),
                has_updated: self.is_updated,
                paths: options.pnpmfile.clone().map(|list| list.0),
            },
            supported_architectures: options.supported_architectures.clone().unwrap_or_default(),
            runtime_on_fail: options.runtime_on_fail,
            package_manager_on_fail: options.pm_on_fail,
            installs_runtimes: options.runtime.unwrap_or(true),
            engine_strict: options.engine_strict.unwrap_or(false),
            force_ignores_platform: options.force_ignores_platform.unwrap_or(false),
            node_version: node_version(&options)?,
            prefer_symlinked_executables: options.prefer_symlinked_executables,
            extend_node_path: options.extend_node_path.unwrap_or(true),
            verify_store_integrity: options.verify_store_integrity.unwrap_or(true),
            scripts: scripts(&options),
            selection: selection(&options),
            flags: flags(&options),
            dlx_cache_max_age_minutes: options.dlx_cache_max_age.unwrap_or(1440),
            resolution: resolution(&options),
            recorded,
            save: save(&options),
            network,
            registries: Arc::new(registries),
            credentials: self.credentials,
            warnings: self.warnings,
        })
    }

    fn registries(
        &mut self,
        options: &Options,
        environment: &Environment,
        state_directory: Option<&Path>,
    ) -> Result<Registries, ConfigError> {
        let listed = options.registries.clone().unwrap_or_default();
        let default = options
            .registry
            .as_ref()
            .map(Secret::expose)
            .or(listed.scopes.get("default").map(String::as_str));
        let default = default
            .map(|text| self.registry("registry", text))
            .transpose()?;
        let mut scopes = HashMap::new();
        let over = std::mem::take(&mut self.scopes_over).into_iter();
        let under = std::mem::take(&mut self.scopes);
        for (scope, text) in over.chain(listed.scopes).chain(under) {
            let Some(name) = scope.strip_prefix('@') else {
                continue;
            };
            let url = self.registry(&format!("{scope}:registry"), &text)?;
            scopes.entry(name.into()).or_insert(url);
        }
        let mut named = BTreeMap::new();
        let prefixes = options.named_registries.clone().unwrap_or_default();
        for (prefix, text) in prefixes.into_iter().chain(listed.prefixes) {
            check_prefix(&prefix)?;
            let url = registry_url(&text);
            let url = url.ok_or_else(|| ConfigError::PrefixUrl {
                prefix: prefix.clone(),
            })?;
            named.insert(prefix.into(), url);
        }
        for what in listed.without_effect {
            self.warnings.push(ConfigWarning {
                code: "ERR_PACQUET_CONFIG_NOT_APPLIED",
                message: format!("{what} makes no difference"),
            });
        }
        let repeating_scope = listed.repeating_scope.into_iter().collect();
        let memory = state_directory.map(|directory| directory.join("npm-registry"));
        let fallback = NpmRegistry::new(environment, memory);
        Ok(Registries {
            default,
            scopes,
            named,
            repeating_scope,
            fallback,
        })
    }

    /// The address `text`, of which credentials are taken out and kept for that address.
    fn registry(&mut self, key: &str, text: &str) -> Result<Url, ConfigError> {
        let invalid = || ConfigError::InvalidUrl {
            origin: "the configuration".to_owned(),
            key: key.to_owned(),
        };
        let mut url = registry_url(text).ok_or_else(invalid)?;
        if !url.username().is_empty() || url.password().is_some() {
            let (username, password) = user_of(&url);
            url.set_username("")
                .and_then(|()| url.set_password(None))
                .map_err(|()| invalid())?;
            let credential = Credential::basic(&username, &password);
            self.credentials.set(&prefix_of(&url), credential);
        }
        Ok(url)
    }
}

/// A prefix must not be mistaken for a protocol or a version.
fn check_prefix(prefix: &str) -> Result<(), ConfigError> {
    const RESERVED: [&str; 20] = [
        "bitbucket",
        "catalog",
        "crate",
        "file",
        "git",
        "github",
        "gitlab",
        "gist",
        "http",
        "https",
        "jsr",
        "link",
        "npm",
        "patch",
        "pkg",
        "portal",
        "pypi",
        "runtime",
        "ssh",
        "workspace",
    ];
    let refused = |reason| {
        Err(ConfigError::RegistryPrefix {
            prefix: prefix.to_owned(),
            reason,
        })
    };
    let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'_' | b'-');
    if !prefix.starts_with(|first: char| first.is_ascii_alphabetic())
        || !prefix.bytes().all(is_plain)
    {
        return refused(
            "it begins with a letter, and has only letters, digits, \".\", \"_\" and \"-\"",
        );
    }
    if RESERVED.contains(&prefix) || prefix.starts_with("git+") {
        return refused("it already means something at the beginning of a specifier");
    }
    Ok(())
}

pub(super) fn size(value: Option<u64>, default: usize) -> usize {
    value.map_or(default, |value| {
        usize::try_from(value).unwrap_or(usize::MAX)
    })
}

pub(super) fn cores() -> usize {
    // Each question reads the files of a control group.
    static CORES: LazyLock<usize> =
        LazyLock::new(|| std::thread::available_parallelism().map_or(1, std::num::NonZero::get));
    *CORES
}

fn store_directory(options: &Options, environment: &Environment) -> Result<PathBuf, ConfigError> {
    let data_home = environment.variable("XDG_DATA_HOME").map(Path::new);
    let default = || store::default_path(data_home, environment.home());
    let path = options.store_dir.clone().or_else(default);
    path.ok_or(ConfigError::NoDefault { key: "storeDir" })
}

fn directory_of(
    configured: Option<PathBuf>,
    environment: &Environment,
    key: &'static str,
    variable: &str,
    fallback: &str,
) -> Result<PathBuf, ConfigError> {
    if let Some(path) = configured {
        return Ok(path);
    }
    let base = environment.xdg_directory(variable, fallback);
    let base = base.ok_or(ConfigError::NoDefault { key })?;
    Ok(base.join("pacquet"))
}

fn refuse_unsupported(
    options: &Options,
    directory: &Path,
    workspace_root: Option<&Path>,
) -> Result<(), ConfigError> {
    let root = workspace_root.unwrap_or(directory);
    if let Some(path) = &options.virtual_store_dir
        && *path != root.join("node_modules/.pnpm")
    {
        return Err(ConfigError::Unsupported {
            key: "virtualStoreDir",
            value: path.display().to_string(),
            reason: "only node_modules/.pnpm is",
        });
    }
    if options
        .modules_dir
        .as_ref()
        .is_some_and(|path| !path.starts_with(root) || path == root)
    {
        let value = options
            .modules_dir
            .as_ref()
            .map(|path| path.display().to_string());
        return Err(ConfigError::Unsupported {
            key: "modulesDir",
            value: value.unwrap_or_default(),
            reason: "only a directory of the project is",
        });
    }
    Ok(())
}

fn modules_directory(options: &Options, root: &Path) -> PathBuf {
    match &options.modules_dir {
        Some(path) => path.strip_prefix(root).unwrap_or(path).to_path_buf(),
        None => PathBuf::from("node_modules"),
    }
}

fn build_policy(options: &Options) -> BuildPolicy {
    BuildPolicy {
        ignore_scripts: options.ignore_scripts.unwrap_or(false),
        allow_builds: options.allow_builds.clone().unwrap_or_default(),
        strict: options.strict_dep_builds.unwrap_or(true),
        allow_all: options.dangerously_allow_all_builds.unwrap_or(false),
    }
}

fn build_running(options: &Options) -> BuildRunning {
    let caches = options.side_effects_cache.unwrap_or(true);
    let only_reads = options.side_effects_cache_readonly.unwrap_or(false);
    BuildRunning {
        concurrency: concurrency(options.child_concurrency),
        unsafe_permissions: options.unsafe_perm,
        reads_side_effects: caches || only_reads,
        writes_side_effects: caches && !only_reads,
        timeout: match options.build_timeout_seconds {
            Some(0) => None,
            seconds => Some(Duration::from_secs(
                seconds.unwrap_or(BUILD_TIMEOUT_SECONDS),
            )),
        },
    }
}

pub(super) fn concurrency(setting: Option<Concurrency>) -> usize {
    setting.map_or_else(|| cores().min(4), |setting| setting.number(cores()))
}

/// Whether all projects of a workspace are in one lockfile: one that has a place of its own is of
/// all.
pub(super) fn is_shared(options: &Options) -> bool {
    options.lockfile_dir.is_some() || options.shared_workspace_lockfile.unwrap_or(true)
}

fn lockfile_directory(options: &Options, directory: &Path, root: &Path) -> PathBuf {
    let own = || match is_shared(options) {
        true => root.to_owned(),
        false => directory.to_owned(),
    };
    let named = options.lockfile_dir.as_deref().map(lexical::normal);
    named.unwrap_or_else(own)
}

fn lockfile(options: &Options, environment: &Environment, directory: &Path) -> LockfileConfig {
    let is_ci = options.ci.unwrap_or_else(|| environment.is_ci());
    let frozen_is_implied =
        options.frozen_lockfile.is_none() && options.prefer_frozen_lockfile != Some(false) && is_ci;
    LockfileConfig {
        enabled: options.lockfile.unwrap_or(true),
        frozen: options
            .frozen_lockfile
            .or(frozen_is_implied.then_some(true)),
        frozen_is_implied,
        prefer_frozen: options.prefer_frozen_lockfile.unwrap_or(true),
        is_trusted: options.trust_lockfile.unwrap_or(false),
        ignores_manifests: false,
        shared: is_shared(options),
        branches: BranchLockfiles::of(options, directory, environment),
        exclude_links: options.exclude_links_from_lockfile.unwrap_or(false),
        auto_install_peers: options.auto_install_peers.unwrap_or(true),
        strict_peer_dependencies: options.strict_peer_dependencies.unwrap_or(false),
        dedupe_peers: options.dedupe_peers.unwrap_or(false),
        adds_peer_types: options.add_missing_peer_types.unwrap_or(false),
        scoped_optional_peers: options.project_scoped_optional_peers.unwrap_or(false),
        peers_suffix_max_length: size(
            options.peers_suffix_max_length,
            PEERS_SUFFIX_LENGTH_DEFAULT.into(),
        ),
        inject_workspace_packages: options.inject_workspace_packages.unwrap_or(false),
    }
}

fn refuse_two_default_catalogs(options: &Options) -> Result<(), ConfigError> {
    let named = options.catalogs.as_ref();
    let is_named = named.is_some_and(|catalogs| catalogs.contains_key("default"));
    match options.catalog.is_some() && is_named {
        true => Err(ConfigError::TwoDefaultCatalogs),
        false => Ok(()),
    }
}

fn graph(options: &Options) -> GraphConfig {
    let mut catalogs = options.catalogs.clone().unwrap_or_default();
    if let Some(default) = options.catalog.clone() {
        catalogs.insert("default".to_owned(), default);
    }
    let ignored = options.ignored_optional_dependencies.clone();
    GraphConfig {
        ignored_optional_dependencies: ignored.unwrap_or_default(),
        peer_rules: options.peer_dependency_rules.clone().unwrap_or_default(),
        allowed_deprecated: options
            .allowed_deprecated_versions
            .clone()
            .unwrap_or_default(),
        overrides: options.overrides.clone().unwrap_or_default(),
        package_extensions: options.package_extensions.clone().unwrap_or_default().0,
        patched_dependencies: options.patched_dependencies.clone().unwrap_or_default(),
        patches_directory: options.patches_dir.clone(),
        allow_unused_patches: options.allow_unused_patches.unwrap_or(false),
        catalogs,
        link_workspace_packages: options
            .link_workspace_packages
            .is_some_and(|link| link != LinkWorkspacePackages::Off),
        links_deep: options.link_workspace_packages == Some(LinkWorkspacePackages::Deep),
        block_exotic_subdeps: options.block_exotic_subdeps.unwrap_or(true),
        dedupe_peer_dependents: options.dedupe_peer_dependents.unwrap_or(true),
        auto_dedupe: options.auto_dedupe.unwrap_or(false),
        dedupe_injected_deps: options.dedupe_injected_deps.unwrap_or(true),
        peers_from_workspace_root: options.resolve_peers_from_workspace_root.unwrap_or(true),
        peers_from_highest_match: options
            .auto_install_peers_from_highest_match
            .unwrap_or(false),
        ignore_compatibility_db: options.ignore_compatibility_db.unwrap_or(false),
        prefer_workspace_packages: options.prefer_workspace_packages.unwrap_or(false),
        include_tarball_url: options.lockfile_include_tarball_url.unwrap_or(false),
    }
}

/// `nodeVersion`.
fn node_version(options: &Options) -> Result<Option<String>, ConfigError> {
    let is_version = |text: &String| Version::parse(text).is_some();
    match &options.node_version {
        Some(text) if !is_version(text) => Err(ConfigError::NodeVersion { text: text.clone() }),
        version => Ok(version.clone()),
    }
}
