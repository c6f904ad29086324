//! `yarn.lock` of yarn 2 and later, which is YAML.

use serde_norway::Value;

use super::error::ForeignFault;
use super::versions::{Versions, split};

/// What yarn says of the file itself.
const METADATA: &str = "__metadata";

pub(super) fn read(text: &str) -> Result<Versions, ForeignFault> {
    let entries = match serde_norway::from_str(text).map_err(ForeignFault::Yaml)? {
        Value::Mapping(entries) => entries,
        _ => return Err(ForeignFault::shape("the file", "a mapping")),
    };
    let mut versions = Versions::default();
    for (key, entry) in &entries {
        let Some(key) = key.as_str() else {
            return Err(ForeignFault::shape(
                "the file",
                "a mapping with texts as keys",
            ));
        };
        if key == METADATA {
            continue;
        }
        let Value::Mapping(entry) = entry else {
            return Err(ForeignFault::shape(key, "a mapping"));
        };
        let Some(Value::String(version)) = entry.get("version") else {
            return Err(ForeignFault::shape(key, "a version"));
        };
        for descriptor in key.split(',').map(str::trim) {
            add(descriptor, version, &mut versions)?;
        }
    }
    Ok(versions)
}

/// `name@npm:range`. An alias has another name in its range, and pins nothing of its own name;
/// what is patched has an entry of its own besides.
fn add(descriptor: &str, version: &str, versions: &mut Versions) -> Result<(), ForeignFault> {
    let (name, range) =
        split(descriptor).ok_or_else(|| ForeignFault::shape(descriptor, "a name and a range"))?;
    let range = range.strip_prefix("npm:").unwrap_or(range);
    let is_of_registry = !range.contains([':', '@']);
    let version = if is_of_registry { version } else { "" };
    versions.add(name, version)
}
