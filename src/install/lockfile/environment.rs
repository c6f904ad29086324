//! The document in front of the lockfile: what pins packages of configuration, and pnpm itself.

use std::collections::BTreeMap;

use serde_json::{Map, Value, json};

use super::LOCKFILE_VERSION;
use super::read::split_documents;
use super::write::environment_text;
use crate::name::PackageName;

/// A package of configuration that a lockfile pins.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PinnedPackage {
    /// What was asked for.
    pub specifier: Box<str>,
    /// The version chosen.
    pub version: Box<str>,
    /// The digest of its archive.
    pub integrity: Box<str>,
    /// Where its archive is, if that does not follow from the registry.
    pub tarball: Option<Box<str>>,
}

impl PinnedPackage {
    /// Its key among the packages of a lockfile.
    pub fn key(&self, name: &PackageName) -> String {
        format!("{name}@{}", self.version)
    }

    /// What a lockfile says of where it is.
    pub fn resolution(&self) -> Value {
        match &self.tarball {
            Some(tarball) => json!({ "integrity": self.integrity, "tarball": tarball }),
            None => json!({ "integrity": self.integrity }),
        }
    }
}

/// The document, as it was read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EnvironmentDocument(pub(super) Value);

impl EnvironmentDocument {
    /// One that pins nothing yet.
    pub fn empty() -> Self {
        Self(json!({ "lockfileVersion": LOCKFILE_VERSION }))
    }

    /// The packages of configuration that it pins. What is not whole is left out.
    pub fn packages(&self) -> BTreeMap<PackageName, PinnedPackage> {
        let pinned = self.0.pointer("/importers/./configDependencies");
        let pinned = pinned.and_then(Value::as_object).into_iter().flatten();
        let whole = pinned.filter_map(|(name, entry)| {
            let text = |key: &str| entry.get(key).and_then(Value::as_str);
            let version = text("version")?;
            let package = self.0.get("packages")?.get(format!("{name}@{version}"))?;
            let resolution = package.get("resolution")?;
            let of_archive = |key: &str| resolution.get(key).and_then(Value::as_str);
            let pinned = PinnedPackage {
                specifier: text("specifier")?.into(),
                version: version.into(),
                integrity: of_archive("integrity")?.into(),
                tarball: of_archive("tarball").map(Into::into),
            };
            Some((PackageName::new(name).ok()?, pinned))
        });
        whole.collect()
    }

    /// Pins these packages of configuration and no others.
    pub fn pin(&mut self, packages: &BTreeMap<PackageName, PinnedPackage>) {
        let before = self.packages();
        let keys = before.iter().map(|(name, pinned)| pinned.key(name));
        let keys: Vec<String> = keys.filter(|key| !self.is_of_pnpm(key)).collect();
        for section in ["packages", "snapshots"] {
            let entries = section_of(&mut self.0, section);
            entries.retain(|key, _| !keys.contains(key));
            for (name, pinned) in packages {
                let value = match section {
                    "packages" => json!({ "resolution": pinned.resolution() }),
                    _ => json!({}),
                };
                entries.entry(pinned.key(name)).or_insert(value);
            }
        }
        let dependencies = packages.iter().map(|(name, pinned)| {
            let entry = json!({ "specifier": pinned.specifier, "version": pinned.version });
            (name.as_str().to_owned(), entry)
        });
        let dependencies: Map<String, Value> = dependencies.collect();
        let importers = section_of(&mut self.0, "importers");
        let root = importers.entry(".").or_insert_with(|| json!({}));
        if let Some(root) = root.as_object_mut() {
            root.insert("configDependencies".to_owned(), dependencies.into());
        }
    }

    /// Whether pnpm itself is pinned to a package with this key.
    fn is_of_pnpm(&self, key: &str) -> bool {
        let of_pnpm = self.0.pointer("/importers/./packageManagerDependencies");
        let of_pnpm = of_pnpm.and_then(Value::as_object).into_iter().flatten();
        of_pnpm
            .filter_map(|(name, entry)| Some(format!("{name}@{}", entry.get("version")?.as_str()?)))
            .any(|known| known == key)
    }

    /// `lockfile` with this document in the place of its own; `None`: no lockfile so far.
    pub fn in_front_of(&self, lockfile: Option<&str>) -> String {
        let main = lockfile.map_or("", |text| split_documents(text).1);
        format!("---\n{}\n---\n{main}", environment_text(&self.0))
    }
}

/// Whether there is more in the text of a lockfile than the document that is in front of it, or
/// nothing at all.
pub fn has_main_document(text: &str) -> bool {
    !split_documents(text).1.trim().is_empty()
}

/// The document in front of a lockfile, as it stands.
pub fn environment_in(text: &str) -> Option<&str> {
    split_documents(text).0
}

/// A mapping of the document, which is made where there is none.
fn section_of<'d>(document: &'d mut Value, name: &str) -> &'d mut Map<String, Value> {
    if !document.get(name).is_some_and(Value::is_object) {
        document[name] = json!({});
    }
    document[name]
        .as_object_mut()
        .expect("invariant: it was made an object")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::install::lockfile::read_environment;

    const OF_PNPM: &str = "---
lockfileVersion: '9.0'

importers:

  .:
    packageManagerDependencies:
      pnpm:
        specifier: 12.0.0
        version: 12.0.0

packages:

  pnpm@12.0.0:
    resolution: {integrity: sha512-AA==}
    engines: {node: '>=22'}
    hasBin: true

snapshots:

  pnpm@12.0.0: {}

---
";

    fn pins(version: &str) -> BTreeMap<PackageName, PinnedPackage> {
        let pinned = PinnedPackage {
            specifier: "^1.0.0".into(),
            version: version.into(),
            integrity: "sha512-BB==".into(),
            tarball: None,
        };
        BTreeMap::from([(PackageName::new("@a/config").unwrap(), pinned)])
    }

    #[test]
    fn what_is_pinned_is_read_again() {
        let mut document = EnvironmentDocument::empty();
        document.pin(&pins("1.2.0"));
        let text = document.in_front_of(None);
        assert!(text.starts_with("---\nlockfileVersion: '9.0'\n\nimporters:\n\n  .:\n"));
        assert!(text.ends_with("snapshots:\n\n  '@a/config@1.2.0': {}\n\n---\n"));
        assert!(!has_main_document(&text));
        let read = read_environment(&text).unwrap().unwrap();
        assert_eq!(read.packages(), pins("1.2.0"));
    }

    #[test]
    fn what_pins_pnpm_stays() {
        let mut document = read_environment(OF_PNPM).unwrap().unwrap();
        document.pin(&pins("1.2.0"));
        document.pin(&pins("1.3.0"));
        let text = document.in_front_of(Some(OF_PNPM));
        assert!(
            text.contains("engines: {node: '>=22'}\n    hasBin: true\n"),
            "{text}"
        );
        assert!(
            text.contains("'@a/config@1.3.0'") && !text.contains("1.2.0"),
            "{text}"
        );
        document.pin(&BTreeMap::new());
        let without = "  .:\n    configDependencies: {}\n    packageManagerDependencies:\n";
        assert!(document.in_front_of(None).contains(without));
    }
}
