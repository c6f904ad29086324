//! Settings of pnpm that would change what an install does and have nothing to change here: who set
//! one is told, because the result is another than with pnpm.

use serde_json::Value;

use super::ConfigWarning;

/// A setting, and what is so without it.
const NOT_APPLIED: [(&str, &str); 9] = [
    ("concurrencyGroups", "scripts share no limit of their own"),
    ("executionEnv", "scripts run with the Node that PATH finds"),
    (
        "externalDependencies",
        "links of others in node_modules are not kept",
    ),
    ("nodePackageMap", "no map of packages is written"),
    ("pipelines", "there are no pipelines"),
    ("pnprServer", "resolution is not left to a server"),
    ("remoteCache", "results of scripts are not kept"),
    (
        "remoteSideEffectsCache",
        "what was built is kept on this machine alone",
    ),
    (
        "useNodeVersion",
        "scripts run with the Node that PATH finds, or that devEngines.runtime has locked",
    ),
];

/// What is said of the setting `key` of the file `name` that has this value, where it would be on.
pub(super) fn warning(key: &str, value: &Value, name: &str) -> Option<ConfigWarning> {
    let (key, reason) = NOT_APPLIED.iter().find(|(known, _)| *known == key)?;
    let is_off = match value {
        Value::Bool(is_on) => !is_on,
        Value::Object(map) => map.is_empty(),
        Value::Array(list) => list.is_empty(),
        Value::String(text) => text.is_empty(),
        Value::Null | Value::Number(_) => false,
    };
    (!is_off).then(|| ConfigWarning {
        code: "ERR_PACQUET_CONFIG_NOT_APPLIED",
        message: format!("\"{key}\" in {name} makes no difference: {reason}"),
    })
}
