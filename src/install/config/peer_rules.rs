//! `peerDependencyRules`: which peers that do not fit are no issue.

use indexmap::IndexMap;
use serde_json::Value;

use super::value::{Origin, Refusal, Setting, Written, object};

/// `peerDependencyRules`.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct PeerRules {
    /// `ignoreMissing`: patterns of peers that may be missing.
    pub ignore_missing: Vec<Box<str>>,
    /// `allowAny`: patterns of peers that may have any version.
    pub allow_any: Vec<Box<str>>,
    /// `allowedVersions`: `peer` or `package>peer` → range that is as good as the one asked for.
    pub allowed_versions: IndexMap<String, String>,
}

impl Setting for PeerRules {
    fn read(written: Written<'_>, origin: &Origin<'_>) -> Result<Self, Refusal> {
        let map = object(
            written,
            "a map of \"ignoreMissing\", \"allowAny\" and \"allowedVersions\"",
        )?;
        let patterns = |key: &str| match map.get(key) {
            None | Some(Value::Null) => Ok(Vec::new()),
            Some(value) => {
                let list = Vec::<String>::read(Written::Typed(value), origin)?;
                Ok(list.into_iter().map(String::into_boxed_str).collect())
            }
        };
        let allowed_versions = match map.get("allowedVersions") {
            None | Some(Value::Null) => IndexMap::new(),
            Some(value) => IndexMap::read(Written::Typed(value), origin)?,
        };
        Ok(Self {
            ignore_missing: patterns("ignoreMissing")?,
            allow_any: patterns("allowAny")?,
            allowed_versions,
        })
    }
}
