//! `package-lock.json` and `npm-shrinkwrap.json` of any version.

use serde_json::{Map, Value};

use super::error::ForeignFault;
use super::versions::Versions;
use crate::install::package_lock::{Location, json_object};

/// The first version that has `packages` alone.
const VERSION_OF_PACKAGES: u64 = 3;

pub(super) fn read(text: &str) -> Result<Versions, ForeignFault> {
    let top = json_object(text)?;
    let mut versions = Versions::default();
    let is_tree = top
        .get("lockfileVersion")
        .and_then(Value::as_u64)
        .is_some_and(|version| version < VERSION_OF_PACKAGES);
    if is_tree {
        tree(&top, &mut versions)?;
    } else {
        for field in ["dependencies", "packages"] {
            for (key, entry) in entries(&top, field)? {
                package(key, entry, &mut versions)?;
            }
        }
    }
    Ok(versions)
}

fn entries<'e>(
    of: &'e Map<String, Value>,
    field: &str,
) -> Result<impl Iterator<Item = (&'e String, &'e Map<String, Value>)>, ForeignFault> {
    let map = match of.get(field) {
        None => None,
        Some(Value::Object(map)) => Some(map),
        Some(_) => return Err(ForeignFault::shape(field, "an object")),
    };
    let mut found = Vec::new();
    for (key, entry) in map.into_iter().flatten() {
        let Value::Object(entry) = entry else {
            return Err(ForeignFault::shape(key, "an object"));
        };
        found.push((key, entry));
    }
    Ok(found.into_iter())
}

/// `dependencies` of the versions 1 and 2: one in another, as they are in `node_modules`.
fn tree(of: &Map<String, Value>, versions: &mut Versions) -> Result<(), ForeignFault> {
    let mut open = vec![of];
    while let Some(of) = open.pop() {
        for (name, entry) in entries(of, "dependencies")? {
            versions.add(name, text(entry, "version").unwrap_or_default())?;
            open.push(entry);
        }
    }
    Ok(())
}

/// An entry of `packages`. What it asks for pins versions too, where it asks for one.
fn package(
    key: &str,
    entry: &Map<String, Value>,
    versions: &mut Versions,
) -> Result<(), ForeignFault> {
    let location = Location::parse(key).map_err(|source| ForeignFault::Location {
        location: key.to_owned(),
        source,
    })?;
    if let (Some(name), Some(version)) = (location.name(), text(entry, "version")) {
        versions.add(name.as_str(), version)?;
    }
    let asked = entry.get("dependencies").and_then(Value::as_object);
    for (name, range) in asked.into_iter().flatten() {
        versions.add(name, range.as_str().unwrap_or_default())?;
    }
    Ok(())
}

fn text<'e>(entry: &'e Map<String, Value>, field: &str) -> Option<&'e str> {
    entry.get(field).and_then(Value::as_str)
}
