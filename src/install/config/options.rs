//! One layer of settings: each may be there or not. Layers are combined, highest first.

use std::any::TypeId;
use std::path::PathBuf;

use indexmap::IndexMap;
use serde_json::{Map, Value};

use super::credentials::Secret;
use super::declared::DeclaredRegistries;
use super::error::ConfigError;
use super::package_configs::PackageConfigs;
use super::packages::DeclaredPackages;
use super::peer_rules::PeerRules;
use super::tasks::Tasks;
use super::value::{
    AllowBuilds, CatalogMode, Concurrency, DeclaredExtensions, EngineReaction, HoistingLimits,
    HostList, InitialType, LinkWorkspacePackages, LogLevelName, NodeLinker, Origin,
    PackageImportMethod, PathList, PrependNodePath, Refusal, ReporterName, ResolutionMode,
    SaveWorkspaceProtocol, Setting, SupportedArchitectures, TrustPolicy, VerifyDependencies,
    VirtualMode, Written,
};

/// How a setting is written as a flag.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SettingForm {
    /// Alone it means that the setting is on.
    Switch,
    /// It has a value.
    Value,
}

/// How the setting `key` (in camel case) is written as a flag; `None`: there is no such setting.
pub fn setting_form(key: &str) -> Option<SettingForm> {
    let type_of = Options::type_of(key);
    let switches = [
        TypeId::of::<bool>(),
        TypeId::of::<LinkWorkspacePackages>(),
        TypeId::of::<SaveWorkspaceProtocol>(),
        TypeId::of::<VerifyDependencies>(),
    ];
    match type_of {
        Some(id) if switches.contains(&id) => Some(SettingForm::Switch),
        Some(_) => Some(SettingForm::Value),
        None => is_of_pnpm(key).then_some(SettingForm::Switch),
    }
}

macro_rules! options {
    ($($(#[$meta:meta])* $field:ident: $type:ty = $key:literal,)*) => {
        /// Settings of one source. Their names and meanings are pnpm's.
        #[derive(Debug, Clone, Default, PartialEq)]
        pub struct Options {
            $($(#[$meta])* #[doc = concat!("`", $key, "`.")] pub $field: Option<$type>,)*
        }

        impl Options {
            /// These settings, and those of `lower` where these say nothing.
            #[must_use]
            pub fn or(self, lower: Self) -> Self {
                Self { $($field: self.$field.or(lower.$field),)* }
            }

            /// The type of the setting `key` (in camel case).
            fn type_of(key: &str) -> Option<TypeId> {
                match own_name(key) {
                    $($key => Some(TypeId::of::<$type>()),)*
                    _ => None,
                }
            }

            /// Takes the setting `key` (in camel case). `false`: there is no such setting.
            pub(super) fn set(
                &mut self,
                key: &str,
                written: Written<'_>,
                origin: &Origin<'_>,
            ) -> Result<bool, ConfigError> {
                match own_name(key) {
                    $($key => {
                        let value = <$type as Setting>::read(written, origin)
                            .map_err(|refusal| refusal.at(origin, key, written))?;
                        self.$field = Some(value);
                    })*
                    _ => return Ok(false),
                }
                Ok(true)
            }
        }
    };
}

options! {
    store_dir: PathBuf = "storeDir",
    cache_dir: PathBuf = "cacheDir",
    state_dir: PathBuf = "stateDir",
    node_linker: NodeLinker = "nodeLinker",
    virtual_store_dir: PathBuf = "virtualStoreDir",
    modules_dir: PathBuf = "modulesDir",
    virtual_store_dir_max_length: u64 = "virtualStoreDirMaxLength",
    enable_global_virtual_store: bool = "enableGlobalVirtualStore",
    enable_modules_dir: bool = "enableModulesDir",
    symlink: bool = "symlink",
    virtual_store_only: bool = "virtualStoreOnly",
    frozen_store: bool = "frozenStore",
    hoist: bool = "hoist",
    hoist_pattern: Vec<String> = "hoistPattern",
    public_hoist_pattern: Vec<String> = "publicHoistPattern",
    shamefully_hoist: bool = "shamefullyHoist",
    hoist_workspace_packages: bool = "hoistWorkspacePackages",
    hoisting_limits: HoistingLimits = "hoistingLimits",
    package_import_method: PackageImportMethod = "packageImportMethod",
    lockfile: bool = "lockfile",
    frozen_lockfile: bool = "frozenLockfile",
    prefer_frozen_lockfile: bool = "preferFrozenLockfile",
    trust_lockfile: bool = "trustLockfile",
    lockfile_dir: PathBuf = "lockfileDir",
    cleanup_unused_catalogs: bool = "cleanupUnusedCatalogs",
    shared_workspace_lockfile: bool = "sharedWorkspaceLockfile",
    git_branch_lockfile: bool = "gitBranchLockfile",
    merge_git_branch_lockfiles: bool = "mergeGitBranchLockfiles",
    merge_git_branch_lockfiles_branch_pattern: Vec<String> = "mergeGitBranchLockfilesBranchPattern",
    exclude_links_from_lockfile: bool = "excludeLinksFromLockfile",
    auto_install_peers: bool = "autoInstallPeers",
    strict_peer_dependencies: bool = "strictPeerDependencies",
    peer_dependency_rules: PeerRules = "peerDependencyRules",
    dedupe_peers: bool = "dedupePeers",
    add_missing_peer_types: bool = "addMissingPeerTypes",
    project_scoped_optional_peers: bool = "projectScopedOptionalPeers",
    peers_suffix_max_length: u64 = "peersSuffixMaxLength",
    inject_workspace_packages: bool = "injectWorkspacePackages",
    dedupe_direct_deps: bool = "dedupeDirectDeps",
    dedupe_peer_dependents: bool = "dedupePeerDependents",
    auto_dedupe: bool = "autoDedupe",
    dedupe_injected_deps: bool = "dedupeInjectedDeps",
    deploy_all_files: bool = "deployAllFiles",
    resolve_peers_from_workspace_root: bool = "resolvePeersFromWorkspaceRoot",
    auto_install_peers_from_highest_match: bool = "autoInstallPeersFromHighestMatch",
    ignore_compatibility_db: bool = "ignoreCompatibilityDb",
    prefer_workspace_packages: bool = "preferWorkspacePackages",
    lockfile_include_tarball_url: bool = "lockfileIncludeTarballUrl",
    save_exact: bool = "saveExact",
    save_prefix: String = "savePrefix",
    git_checks: bool = "gitChecks",
    git_tag_version: bool = "gitTagVersion",
    tag_version_prefix: String = "tagVersionPrefix",
    pack_gzip_level: u64 = "packGzipLevel",
    skip_manifest_obfuscation: bool = "skipManifestObfuscation",
    save_types: bool = "saveTypes",
    save_peer: bool = "savePeer",
    update: Map<String, Value> = "update",
    update_config: Map<String, Value> = "updateConfig",
    global_dir: PathBuf = "globalDir",
    global_bin_dir: PathBuf = "globalBinDir",
    catalog_mode: CatalogMode = "catalogMode",
    save_catalog_name: String = "saveCatalogName",
    save_workspace_protocol: SaveWorkspaceProtocol = "saveWorkspaceProtocol",
    link_workspace_packages: LinkWorkspacePackages = "linkWorkspacePackages",
    ignore_scripts: bool = "ignoreScripts",
    supported_architectures: SupportedArchitectures = "supportedArchitectures",
    ci: bool = "ci",
    runtime: bool = "runtime",
    runtime_on_fail: EngineReaction = "runtimeOnFail",
    pm_on_fail: EngineReaction = "pmOnFail",
    engine_strict: bool = "engineStrict",
    force_ignores_platform: bool = "forceIgnoresPlatform",
    node_version: String = "nodeVersion",
    ignored_optional_dependencies: Vec<String> = "ignoredOptionalDependencies",
    allowed_deprecated_versions: IndexMap<String, String> = "allowedDeprecatedVersions",
    overrides: IndexMap<String, String> = "overrides",
    package_extensions: DeclaredExtensions = "packageExtensions",
    patched_dependencies: IndexMap<String, String> = "patchedDependencies",
    allow_unused_patches: bool = "allowUnusedPatches",
    config_dependencies: DeclaredPackages = "configDependencies",
    patches_dir: String = "patchesDir",
    catalog: IndexMap<String, String> = "catalog",
    catalogs: IndexMap<String, IndexMap<String, String>> = "catalogs",
    packages: Vec<String> = "packages",
    package_configs: PackageConfigs = "packageConfigs",
    allow_builds: AllowBuilds = "allowBuilds",
    strict_dep_builds: bool = "strictDepBuilds",
    dangerously_allow_all_builds: bool = "dangerouslyAllowAllBuilds",
    prefer_symlinked_executables: bool = "preferSymlinkedExecutables",
    extend_node_path: bool = "extendNodePath",
    block_exotic_subdeps: bool = "blockExoticSubdeps",
    network_concurrency: u64 = "networkConcurrency",
    fetch_retries: u64 = "fetchRetries",
    fetch_retry_factor: u64 = "fetchRetryFactor",
    fetch_retry_mintimeout: u64 = "fetchRetryMintimeout",
    fetch_retry_maxtimeout: u64 = "fetchRetryMaxtimeout",
    fetch_timeout: u64 = "fetchTimeout",
    fetch_warn_timeout_ms: u64 = "fetchWarnTimeoutMs",
    max_tarball_unpacked_size: u64 = "maxTarballUnpackedSize",
    fetch_min_speed_ki_bps: u64 = "fetchMinSpeedKiBps",
    offline: bool = "offline",
    prefer_offline: bool = "preferOffline",
    verify_store_integrity: bool = "verifyStoreIntegrity",
    registry: Secret = "registry",
    registries: DeclaredRegistries = "registries",
    https_proxy: Secret = "httpsProxy",
    http_proxy: Secret = "httpProxy",
    proxy: Secret = "proxy",
    no_proxy: HostList = "noProxy",
    ca: Vec<String> = "ca",
    ca_file: PathBuf = "cafile",
    certificate: String = "cert",
    key: Secret = "key",
    strict_ssl: bool = "strictSsl",
    local_address: String = "localAddress",
    user_agent: String = "userAgent",
    npmrc_auth_file: PathBuf = "npmrcAuthFile",
    child_concurrency: Concurrency = "childConcurrency",
    workspace_concurrency: Concurrency = "workspaceConcurrency",
    enable_pre_post_scripts: bool = "enablePrePostScripts",
    script_shell: String = "scriptShell",
    required_scripts: Vec<String> = "requiredScripts",
    tasks: Tasks = "tasks",
    sync_injected_deps_after_scripts: Vec<String> = "syncInjectedDepsAfterScripts",
    scripts_prepend_node_path: PrependNodePath = "scriptsPrependNodePath",
    shell_emulator: bool = "shellEmulator",
    node_options: String = "nodeOptions",
    extra_env: IndexMap<String, String> = "extraEnv",
    sort: bool = "sort",
    reverse: bool = "reverse",
    bail: bool = "bail",
    stream: bool = "stream",
    aggregate_output: bool = "aggregateOutput",
    reporter_hide_prefix: bool = "reporterHidePrefix",
    reporter: ReporterName = "reporter",
    log_level: LogLevelName = "loglevel",
    init_type: InitialType = "initType",
    init_author_name: String = "initAuthorName",
    init_author_email: String = "initAuthorEmail",
    init_author_url: String = "initAuthorUrl",
    init_license: String = "initLicense",
    init_version: String = "initVersion",
    ignore_workspace_cycles: bool = "ignoreWorkspaceCycles",
    disallow_workspace_cycles: bool = "disallowWorkspaceCycles",
    unsafe_perm: bool = "unsafePerm",
    verify_deps_before_run: VerifyDependencies = "verifyDepsBeforeRun",
    side_effects_cache: bool = "sideEffectsCache",
    side_effects_cache_readonly: bool = "sideEffectsCacheReadonly",
    ignore_workspace_root_check: bool = "ignoreWorkspaceRootCheck",
    recursive_install: bool = "recursiveInstall",
    include_workspace_root: bool = "includeWorkspaceRoot",
    fail_if_no_match: bool = "failIfNoMatch",
    test_pattern: Vec<String> = "testPattern",
    changed_files_ignore_pattern: Vec<String> = "changedFilesIgnorePattern",
    dlx_cache_max_age: u64 = "dlxCacheMaxAge",
    /// Ours, no setting of pnpm: seconds after which the script of a package is killed.
    build_timeout_seconds: u64 = "buildTimeoutSeconds",
    pnpmfile: PathList = "pnpmfile",
    ignore_pnpmfile: bool = "ignorePnpmfile",
    global_pnpmfile: PathBuf = "globalPnpmfile",
    audit_config: Map<String, Value> = "auditConfig",
    audit_level: String = "auditLevel",
    tag: String = "tag",
    named_registries: IndexMap<String, String> = "namedRegistries",
    resolution_mode: ResolutionMode = "resolutionMode",
    registry_supports_time_field: bool = "registrySupportsTimeField",
    minimum_release_age: u64 = "minimumReleaseAge",
    minimum_release_age_exclude: Vec<String> = "minimumReleaseAgeExclude",
    minimum_release_age_exclude_prune: bool = "minimumReleaseAgeExcludePrune",
    minimum_release_age_ignore_missing_time: bool = "minimumReleaseAgeIgnoreMissingTime",
    minimum_release_age_strict: bool = "minimumReleaseAgeStrict",
    trust_policy: TrustPolicy = "trustPolicy",
    trust_policy_exclude: Vec<String> = "trustPolicyExclude",
    trust_policy_exclude_prune: bool = "trustPolicyExcludePrune",
    trust_policy_ignore_after: u64 = "trustPolicyIgnoreAfter",
    /// Ours, no setting of pnpm:
    virtual_mode: VirtualMode = "virtual",
    /// Ours, and only a user's to say:
    allow_other: bool = "allowOther",
    /// Ours, and only a user's to say:
    mount_helper: PathBuf = "mountHelper",
    mount_profile: bool = "mountProfile",
}

/// What a repository may not decide: who may look into a mount, which program is run, and scripts
/// of packages that it does not name.
pub(super) const USER_ONLY: [&str; 10] = [
    "ci",
    "_auth",
    "extraEnv",
    "allowOther",
    "mountHelper",
    "tokenHelper",
    "dangerouslyAllowAllBuilds",
    "npmrcAuthFile",
    "globalDir",
    "globalBinDir",
];

/// What only a workspace can decide, as with pnpm: it describes that workspace, its lockfile or its
/// tree, which are the same whoever installs them.
pub(super) const WORKSPACE_ONLY: [&str; 67] = [
    "addMissingPeerTypes",
    "allowBuilds",
    "allowUnusedPatches",
    "auditConfig",
    "autoDedupe",
    "autoInstallPeers",
    "autoInstallPeersFromHighestMatch",
    "catalog",
    "catalogs",
    "changedFilesIgnorePattern",
    "configDependencies",
    "dedupeDirectDeps",
    "dedupeInjectedDeps",
    "dedupePeerDependents",
    "dedupePeers",
    "deployAllFiles",
    "excludeLinksFromLockfile",
    "frozenLockfile",
    "gitBranchLockfile",
    "hoist",
    "hoistPattern",
    "hoistWorkspacePackages",
    "hoistingLimits",
    "ignoreCompatibilityDb",
    "ignorePnpmfile",
    "ignoreWorkspaceRootCheck",
    "ignoredOptionalDependencies",
    "injectWorkspacePackages",
    "linkWorkspacePackages",
    "lockfile",
    "lockfileDir",
    "lockfileIncludeTarballUrl",
    "mergeGitBranchLockfiles",
    "mergeGitBranchLockfilesBranchPattern",
    "modulesDir",
    "nodeLinker",
    "overrides",
    "packGzipLevel",
    "packageConfigs",
    "packageExtensions",
    "packages",
    "patchedDependencies",
    "pnpmfile",
    "preferWorkspacePackages",
    "projectScopedOptionalPeers",
    "publicHoistPattern",
    "recursiveInstall",
    "requiredScripts",
    "resolvePeersFromWorkspaceRoot",
    "reverse",
    "runtime",
    "saveCatalogName",
    "savePeer",
    "saveWorkspaceProtocol",
    "shamefullyHoist",
    "sharedWorkspaceLockfile",
    "skipManifestObfuscation",
    "sort",
    "strictPeerDependencies",
    "supportedArchitectures",
    "symlink",
    "syncInjectedDepsAfterScripts",
    "tasks",
    "testPattern",
    "update",
    "updateConfig",
    "virtualStoreDir",
];

/// What no variable says: it is written into files by commands, and read from there.
pub(super) const FILE_ONLY: [&str; 4] = [
    "catalog",
    "catalogs",
    "configDependencies",
    "patchedDependencies",
];

/// Settings of pnpm that have no bearing on what this program does, or that it handles elsewhere:
/// they are no mistake, so nobody is warned. Their types are pnpm's, where it refuses others.
const OF_PNPM: [(PnpmType, &[&str]); 6] = [
    (
        PnpmType::Any,
        &[
            "access",
            "autoConfirmAllPrompts",
            "confirmModulesPurge",
            "executionEnv",
            "fetchingConcurrency",
            "globalShims",
            "globalVirtualStoreDir",
            "ignoreDepScripts",
            "ignorePatchFailures",
            "macosBackup",
            "managePackageManagerVersions",
            "nodeMirror",
            "nodePackageMapType",
            "npmPath",
            "packageManagerStrict",
            "packageManagerStrictVersion",
            "pipelineBase",
            "pnprServer",
            "preserveAbsolutePaths",
            "publishBranch",
            "remoteCache",
            "remoteSideEffectsCache",
            "scope",
            "storeIndexFormat",
            "symlinkedLockfileTargetDirs",
            "useNodeVersion",
            "virtualStoreType",
            "workspaceDir",
        ],
    ),
    (
        PnpmType::Switch,
        &[
            "embedReadme",
            "forceLegacyDeploy",
            "initPackageManager",
            "legacyDirFiltering",
            "nodeExperimentalPackageMap",
            "optimisticRepeatInstall",
            "packageLock",
            "progress",
            "provenance",
            "strictStorePkgContentCheck",
            "updateNotifier",
            "useBetaCli",
            "useStderr",
        ],
    ),
    (PnpmType::Color, &["color"]),
    (
        PnpmType::Number,
        &["maxsockets", "modulesCacheMaxAge", "publishWaitTimeout"],
    ),
    (
        PnpmType::List,
        &[
            "externalDependencies",
            "gitShallowHosts",
            "ignoredBuiltDependencies",
            "onlyBuiltDependencies",
        ],
    ),
    (
        PnpmType::Map,
        &[
            "concurrencyGroups",
            "nodeDownloadMirrors",
            "nodePackageMap",
            "pipelines",
            "versioning",
        ],
    ),
];

/// The type of a setting that only pnpm uses.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum PnpmType {
    /// It is not looked at.
    Any,
    /// `true` or `false`.
    Switch,
    /// The same, or when there is colour.
    Color,
    /// A number.
    Number,
    /// A list of texts.
    List,
    /// A map.
    Map,
}

/// The name of a setting that has two.
fn own_name(key: &str) -> &str {
    match key {
        "noproxy" => "noProxy",
        "catalogPrune" => "cleanupUnusedCatalogs",
        key => key,
    }
}

/// The type of a setting that pnpm knows and this program leaves alone.
fn type_of_pnpm(key: &str) -> Option<PnpmType> {
    let found = OF_PNPM.iter().find(|(_, keys)| keys.contains(&key));
    found.map(|(kind, _)| *kind)
}

/// Whether pnpm knows the setting and this program leaves it alone.
pub(super) fn is_of_pnpm(key: &str) -> bool {
    type_of_pnpm(key).is_some()
}

/// The same of one that has this value: a mistake in it is told as pnpm would.
pub(super) fn checked_of_pnpm(
    key: &str,
    written: Written<'_>,
    origin: &Origin<'_>,
) -> Result<bool, ConfigError> {
    let Some(kind) = type_of_pnpm(key) else {
        return Ok(false);
    };
    let checked = match kind {
        PnpmType::Any => Ok(()),
        PnpmType::Switch => bool::read(written, origin).map(drop),
        PnpmType::Color => match String::read(written, origin).as_deref() {
            Ok("always" | "auto" | "never") => Ok(()),
            _ => bool::read(written, origin)
                .map(drop)
                .map_err(|_| Refusal::Expected("always, auto, never, true or false")),
        },
        PnpmType::Number => u64::read(written, origin).map(drop),
        PnpmType::List => Vec::<String>::read(written, origin).map(drop),
        PnpmType::Map => Map::read(written, origin).map(drop),
    };
    checked.map_err(|refusal| refusal.at(origin, key, written))?;
    Ok(true)
}

/// `store-dir`, `STORE_DIR` and `storeDir` become `storeDir`.
pub fn camel_case(key: &str) -> String {
    let is_shouted = !key.bytes().any(|byte| byte.is_ascii_lowercase());
    let mut out = String::with_capacity(key.len());
    let mut raise = false;
    for character in key.chars() {
        if character == '-' || character == '_' {
            raise = !out.is_empty();
        } else if raise {
            out.push(character.to_ascii_uppercase());
            raise = false;
        } else if is_shouted {
            out.push(character.to_ascii_lowercase());
        } else {
            out.push(character);
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use serde_json::json;

    use super::*;

    fn origin() -> Origin<'static> {
        Origin {
            name: "test",
            base: Path::new("/base"),
            home: None,
        }
    }

    #[test]
    fn keys_of_every_source_become_camel_case() {
        for (key, expected) in [
            ("storeDir", "storeDir"),
            ("store-dir", "storeDir"),
            ("STORE_DIR", "storeDir"),
            ("store_dir", "storeDir"),
            ("FETCH_MIN_SPEED_KI_BPS", "fetchMinSpeedKiBps"),
            ("registry", "registry"),
            ("", ""),
        ] {
            assert_eq!(camel_case(key), expected, "{key}");
        }
    }

    #[test]
    fn wrong_types_are_refused_with_key_and_place() {
        for (key, value) in [
            ("hoist", json!("no")),
            ("hoist", json!(1)),
            ("networkConcurrency", json!("abc")),
            ("networkConcurrency", json!(-1)),
            ("networkConcurrency", json!(1.5)),
            ("hoistPattern", json!("a")),
            ("hoistPattern", json!([1])),
            ("nodeLinker", json!("pnp")),
            ("nodeLinker", json!({"type": "loaded"})),
            ("storeDir", json!("")),
            ("storeDir", json!("a\u{0}b")),
            ("storeDir", json!(["x"])),
            ("overrides", json!(["x"])),
            ("packageExtensions", json!({"a": "x"})),
            ("packageExtensions", json!({"a": {"dependencies": "x"}})),
            (
                "packageExtensions",
                json!({"a": {"dependencies": {"b": 1}}}),
            ),
            (
                "packageExtensions",
                json!({"a": {"peerDependenciesMeta": {"b": 1}}}),
            ),
            ("supportedArchitectures", json!({"os": "linux"})),
            ("overrides", json!({"a": 1})),
            ("catalogs", json!({"a": "1"})),
            ("allowBuilds", json!({"a": 1})),
            ("childConcurrency", json!("many")),
            ("scriptsPrependNodePath", json!("maybe")),
            ("verifyDepsBeforeRun", json!("sometimes")),
            ("supportedArchitectures", json!("linux")),
            ("virtual", json!("maybe")),
        ] {
            let result = Options::default().set(key, Written::Typed(&value), &origin());
            let message = result.expect_err(key).to_string();
            assert!(
                message.contains(key) && message.contains("test"),
                "{message}"
            );
        }
    }

    #[test]
    fn text_is_read_as_the_type_of_the_setting() {
        let mut options = Options::default();
        for (key, text) in [
            ("hoist", "false"),
            ("networkConcurrency", "7"),
            ("hoistPattern", "a*"),
            ("publicHoistPattern", "[\"b\",\"c\"]"),
            ("overrides", "{\"a\":\"1\"}"),
            ("storeDir", "../s"),
            ("virtual", "auto"),
        ] {
            assert!(
                options
                    .set(key, Written::Text(text), &origin())
                    .is_ok_and(|known| known)
            );
        }
        assert_eq!(options.hoist, Some(false));
        assert_eq!(options.network_concurrency, Some(7));
        assert_eq!(options.hoist_pattern, Some(vec!["a*".to_owned()]));
        assert_eq!(
            options.public_hoist_pattern,
            Some(vec!["b".to_owned(), "c".to_owned()])
        );
        assert_eq!(options.overrides.as_ref().map(IndexMap::len), Some(1));
        assert_eq!(options.store_dir, Some("/s".into()));
        assert_eq!(options.virtual_mode, Some(VirtualMode::Auto));
        for (key, text) in [
            ("hoist", "1"),
            ("networkConcurrency", ""),
            ("storeDir", "~/x"),
        ] {
            assert!(
                options.set(key, Written::Text(text), &origin()).is_err(),
                "{key}={text}"
            );
        }
    }

    #[test]
    fn a_higher_layer_wins_and_a_lower_fills_in() {
        let high = Options {
            hoist: Some(false),
            ..Options::default()
        };
        let low = Options {
            hoist: Some(true),
            fetch_retries: Some(5),
            ..Options::default()
        };
        let both = high.or(low);
        assert_eq!((both.hoist, both.fetch_retries), (Some(false), Some(5)));
    }

    #[test]
    fn unknown_keys_are_said_to_be_unknown() {
        let mut options = Options::default();
        let value = json!(1);
        assert!(matches!(
            options.set("foo", Written::Typed(&value), &origin()),
            Ok(false)
        ));
        assert!(is_of_pnpm("useStderr") && !is_of_pnpm("foo"));
    }
}
