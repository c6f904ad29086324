//! Settings that `.pnpm-workspace-state-v1.json` records of those that only resolving uses, in the
//! form in which pnpm looks whether one of them has changed.

use std::collections::BTreeMap;
use std::path::Path;

use serde_json::{Map, Value, json};

use super::options::Options;
use super::registries::Registries;
use super::resolution::MINIMUM_RELEASE_AGE_MINUTES;
use super::value::{EngineReaction, TrustPolicy};

/// By name. A setting that nobody has set, and whose default pnpm does not record, is left out.
///
/// `root` is the workspace's, `pnpm_store` the store of pnpm where one is configured.
pub(super) fn recorded(
    options: &Options,
    registries: &Registries,
    root: &Path,
    pnpm_store: Option<&Path>,
) -> BTreeMap<Box<str>, Value> {
    let on = |setting: Option<bool>| json!(setting.unwrap_or(true));
    let age = options.minimum_release_age;
    let strict = options.minimum_release_age_strict;
    let strict = strict.or(age.map(|_| true));
    let virtual_store = options.virtual_store_dir.as_ref();
    let all = [
        (
            "addMissingPeerTypes",
            json!(options.add_missing_peer_types.filter(|adds| *adds)),
        ),
        ("autoDedupe", json!(options.auto_dedupe)),
        ("dedupeInjectedDeps", on(options.dedupe_injected_deps)),
        ("dedupePeerDependents", on(options.dedupe_peer_dependents)),
        (
            "extendNodePath",
            json!(options.extend_node_path.filter(|extends| !extends)),
        ),
        (
            "minimumReleaseAge",
            json!(age.unwrap_or(MINIMUM_RELEASE_AGE_MINUTES)),
        ),
        (
            "minimumReleaseAgeExclude",
            json!(options.minimum_release_age_exclude),
        ),
        (
            "minimumReleaseAgeIgnoreMissingTime",
            on(options.minimum_release_age_ignore_missing_time),
        ),
        ("minimumReleaseAgeStrict", json!(strict)),
        (
            "preferWorkspacePackages",
            json!(options.prefer_workspace_packages.unwrap_or(false)),
        ),
        ("registryRoutes", routes(registries)),
        (
            "runtimeOnFail",
            json!(options.runtime_on_fail.map(EngineReaction::as_str)),
        ),
        ("storeDir", json!(pnpm_store)),
        (
            "trustLockfile",
            json!(options.trust_lockfile.filter(|is_trusted| *is_trusted)),
        ),
        (
            "trustPolicy",
            json!(options.trust_policy.map(TrustPolicy::as_str)),
        ),
        ("trustPolicyExclude", json!(options.trust_policy_exclude)),
        (
            "trustPolicyIgnoreAfter",
            json!(options.trust_policy_ignore_after),
        ),
        (
            "virtualStoreDir",
            json!(virtual_store.map(|path| root.join(path))),
        ),
    ];
    all.into_iter()
        .filter(|(_, value)| !value.is_null())
        .map(|(name, value)| (name.into(), value))
        .collect()
}

/// The registries of scopes. pnpm knows one for `@jsr`, so that without it the list is of no use
/// to it.
fn routes(registries: &Registries) -> Value {
    let routes: Map<String, Value> = registries
        .scopes()
        .into_iter()
        .map(|(scope, url)| (scope, json!(url.as_str())))
        .collect();
    match routes.contains_key("@jsr") {
        true => Value::Object(routes),
        false => Value::Null,
    }
}
