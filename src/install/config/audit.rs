//! `auditConfig` and `auditLevel`.

use serde_json::Value;

use super::options::Options;

/// What `audit` tells.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct AuditConfig {
    /// `auditLevel`: what is less severe does not count.
    pub level: Option<String>,
    /// `auditConfig.ignoreGhsas`: what was looked at before.
    pub ignored: Vec<String>,
}

pub(super) fn audit(options: &Options) -> AuditConfig {
    let ignored = options.audit_config.as_ref();
    let ignored = ignored.and_then(|map| map.get("ignoreGhsas")?.as_array());
    let ignored = ignored.into_iter().flatten().filter_map(Value::as_str);
    AuditConfig {
        level: options.audit_level.clone(),
        ignored: ignored.map(str::to_owned).collect(),
    }
}
