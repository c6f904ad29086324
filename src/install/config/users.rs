//! Which settings a user has for all projects, and where.

use std::path::PathBuf;

use super::environment::Environment;

/// The directory of the user's `config.yaml` and `auth.ini`. `None`: there is no home.
pub fn user_directory(environment: &Environment) -> Option<PathBuf> {
    environment
        .xdg_directory("XDG_CONFIG_HOME", ".config")
        .map(|directory| directory.join("pnpm"))
}

/// Settings that pnpm lets a user make for all projects, and those of this program. Others decide
/// what a project's lockfile or tree is, and belong to the project.
const OF_USERS: [&str; 86] = [
    "allowOther",
    "bail",
    "blockExoticSubdeps",
    "buildTimeoutSeconds",
    "cacheDir",
    "childConcurrency",
    "ci",
    "color",
    "dangerouslyAllowAllBuilds",
    "dlxCacheMaxAge",
    "enableGlobalVirtualStore",
    "enableModulesDir",
    "engineStrict",
    "extendNodePath",
    "fetchMinSpeedKiBps",
    "fetchRetries",
    "fetchRetryFactor",
    "fetchRetryMaxtimeout",
    "fetchRetryMintimeout",
    "fetchTimeout",
    "fetchWarnTimeoutMs",
    "fetchingConcurrency",
    "frozenStore",
    "gitChecks",
    "gitShallowHosts",
    "globalBinDir",
    "globalDir",
    "globalPath",
    "globalPnpmfile",
    "globalVirtualStoreDir",
    "httpProxy",
    "httpsProxy",
    "ignoreScripts",
    "initPackageManager",
    "initType",
    "localAddress",
    "loglevel",
    "maxsockets",
    "minimumReleaseAge",
    "minimumReleaseAgeExclude",
    "minimumReleaseAgeIgnoreMissingTime",
    "minimumReleaseAgeStrict",
    "modulesCacheMaxAge",
    "mountHelper",
    "mountProfile",
    "namedRegistries",
    "networkConcurrency",
    "noProxy",
    "nodeOptions",
    "nodeVersion",
    "noproxy",
    "npmrcAuthFile",
    "offline",
    "packageImportMethod",
    "preferFrozenLockfile",
    "preferOffline",
    "preferSymlinkedExecutables",
    "proxy",
    "registries",
    "registrySupportsTimeField",
    "reporter",
    "resolutionMode",
    "saveExact",
    "savePrefix",
    "scriptShell",
    "scriptsPrependNodePath",
    "shellEmulator",
    "sideEffectsCache",
    "sideEffectsCacheReadonly",
    "stateDir",
    "storeDir",
    "strictDepBuilds",
    "strictSsl",
    "tag",
    "trustLockfile",
    "trustPolicy",
    "trustPolicyExclude",
    "trustPolicyIgnoreAfter",
    "unsafePerm",
    "updateNotifier",
    "useStderr",
    "userAgent",
    "verifyDepsBeforeRun",
    "verifyStoreIntegrity",
    "virtual",
    "virtualStoreDirMaxLength",
];

/// Whether a setting (in camel case) may be in a user's `config.yaml`.
pub fn is_setting_of_users(setting: &str) -> bool {
    OF_USERS.binary_search(&setting).is_ok()
}

#[cfg(test)]
mod tests {
    use super::super::options::WORKSPACE_ONLY;
    use super::*;

    #[test]
    fn the_list_is_sorted() {
        assert!(OF_USERS.is_sorted());
        assert!(is_setting_of_users("storeDir"));
        for setting in WORKSPACE_ONLY {
            assert!(!is_setting_of_users(setting), "{setting}");
        }
    }
}
