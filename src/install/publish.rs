//! What a project is as a package: its manifest for others, its files, and the archive of them.
//!
//! **Architecture Invariant:** nothing is written and no script runs here.

mod archive;
mod files;

use std::collections::HashMap;

use indexmap::IndexMap;
use serde_json::{Map, Value};

use super::overrides::catalog_entry;
use crate::diagnostic::Diagnostic;
use crate::install::git::PackListError;
use crate::install::semver::Version;
use crate::name::{PackageName, escaped};

pub use archive::{LEVEL_DEFAULT, archive};
pub use files::{Content, contents, licences};

/// Scripts that are the project's own business.
const OWN_SCRIPTS: [&str; 6] = [
    "prepublishOnly",
    "prepack",
    "prepare",
    "postpack",
    "publish",
    "postpublish",
];

/// Fields of `publishConfig` that take the place of those of the manifest.
const PUBLISHED_FIELDS: [&str; 18] = [
    "bin",
    "type",
    "imports",
    "main",
    "module",
    "typings",
    "types",
    "exports",
    "browser",
    "esnext",
    "es2015",
    "unpkg",
    "umd:main",
    "os",
    "cpu",
    "libc",
    "typesVersions",
    "engines",
];

/// Why a project is no package.
#[derive(Debug, thiserror::Error)]
pub enum PublishError {
    /// It has no name.
    #[error("Package name is not defined in the package.json.")]
    NoName,
    /// It has no version.
    #[error("Package version is not defined in the package.json.")]
    NoVersion,
    /// Its name is none.
    #[error("Invalid package name \"{}\".", escaped(name))]
    Name {
        /// The name.
        name: String,
    },
    /// Its version is none.
    #[error("Invalid package version \"{}\".", escaped(version))]
    Version {
        /// The version.
        version: String,
    },
    /// It depends on a project that is not there.
    #[error(
        "Cannot resolve workspace protocol of dependency \"{}\"",
        escaped(alias)
    )]
    Workspace {
        /// The dependency.
        alias: String,
    },
    /// It depends on an entry of a catalog that is not there.
    #[error(
        "No catalog entry '{}' was found for \"{}\"",
        escaped(alias),
        escaped(specifier)
    )]
    Catalog {
        /// The dependency.
        alias: String,
        /// How it is asked for.
        specifier: String,
    },
    /// Its files cannot be listed.
    #[error(transparent)]
    List(#[from] PackListError),
    /// A file cannot be read.
    #[error("Cannot read {}", escaped(&path.to_string_lossy()))]
    Read {
        /// The file.
        path: std::path::PathBuf,
        /// Why.
        #[source]
        source: std::io::Error,
    },
}

impl Diagnostic for PublishError {
    fn code(&self) -> &'static str {
        match self {
            Self::NoName => "ERR_PNPM_PACKAGE_NAME_NOT_FOUND",
            Self::NoVersion => "ERR_PNPM_PACKAGE_VERSION_NOT_FOUND",
            Self::Name { .. } => "ERR_PNPM_INVALID_PACKAGE_NAME",
            Self::Version { .. } => "ERR_PNPM_INVALID_PACKAGE_VERSION",
            Self::Workspace { .. } => "ERR_PNPM_CANNOT_RESOLVE_WORKSPACE_PROTOCOL",
            Self::Catalog { .. } => "ERR_PNPM_CATALOG_ENTRY_NOT_FOUND_FOR_SPEC",
            Self::List(error) => error.code(),
            Self::Read { .. } => "ERR_PACQUET_PACK_READ",
        }
    }

    fn hint(&self) -> Option<String> {
        let text = match self {
            Self::NoName | Self::NoVersion => "what others install has a name and a version",
            Self::Workspace { .. } => "no project of the workspace has this name: install first",
            _ => return None,
        };
        Some(text.to_owned())
    }
}

/// Name and version of what is packed.
///
/// # Errors
/// One is missing, or is none.
pub fn identity(manifest: &Map<String, Value>) -> Result<(String, String), PublishError> {
    let text = |field: &str| {
        manifest
            .get(field)?
            .as_str()
            .filter(|text| !text.is_empty())
    };
    let name = text("name").ok_or(PublishError::NoName)?.to_owned();
    if PackageName::new(&name).is_err() {
        return Err(PublishError::Name { name });
    }
    let version = text("version").ok_or(PublishError::NoVersion)?.to_owned();
    if Version::parse_loose(&version).is_none() {
        return Err(PublishError::Version { version });
    }
    Ok((name, version))
}

/// What protocols of specifiers stand for.
pub struct Protocols<'a> {
    /// Catalogs by name.
    pub catalogs: &'a IndexMap<String, IndexMap<String, String>>,
    /// Versions of projects by name.
    pub versions: &'a HashMap<String, String>,
    /// Name and version of what is installed under an alias, or is at a path.
    pub found: &'a dyn Fn(&str) -> Option<(String, String)>,
}

/// The manifest that others see. `keeps_own` leaves what is the project's own business in it.
///
/// # Errors
/// A specifier stands for nothing.
pub fn published_manifest(
    mut manifest: Map<String, Value>,
    protocols: &Protocols<'_>,
    keeps_own: bool,
) -> Result<Map<String, Value>, PublishError> {
    manifest.shift_remove("pnpm");
    if !keeps_own {
        manifest.shift_remove("packageManager");
        if let Some(mut scripts) = manifest.shift_remove("scripts") {
            if let Some(map) = scripts.as_object_mut() {
                map.retain(|name, _| !OWN_SCRIPTS.contains(&name.as_str()));
            }
            manifest.insert("scripts".to_owned(), scripts);
        }
    }
    for (field, is_peer) in [
        ("dependencies", false),
        ("devDependencies", false),
        ("optionalDependencies", false),
        ("peerDependencies", true),
    ] {
        let Some(map) = manifest.get_mut(field).and_then(Value::as_object_mut) else {
            continue;
        };
        for (alias, specifier) in map.iter_mut() {
            if let Some(text) = specifier.as_str() {
                *specifier = Value::from(protocols.published(alias, text, is_peer)?);
            }
        }
    }
    move_published_fields(&mut manifest);
    Ok(manifest)
}

fn move_published_fields(manifest: &mut Map<String, Value>) {
    let Some(Value::Object(mut config)) = manifest.get("publishConfig").cloned() else {
        return;
    };
    let moved: Vec<String> = config
        .keys()
        .filter(|field| PUBLISHED_FIELDS.contains(&field.as_str()))
        .cloned()
        .collect();
    for field in moved {
        if let Some(value) = config.shift_remove(&field) {
            manifest.insert(field, value);
        }
    }
    match config.is_empty() {
        true => _ = manifest.shift_remove("publishConfig"),
        false => _ = manifest.insert("publishConfig".to_owned(), Value::Object(config)),
    }
}

impl Protocols<'_> {
    /// The specifier that others understand.
    fn published(
        &self,
        alias: &str,
        specifier: &str,
        is_peer: bool,
    ) -> Result<String, PublishError> {
        let specifier = match specifier.starts_with("catalog:") {
            true => catalog_entry(self.catalogs, alias, specifier).ok_or_else(|| {
                let (alias, specifier) = (alias.to_owned(), specifier.to_owned());
                PublishError::Catalog { alias, specifier }
            })?,
            false => specifier,
        };
        if let Some(rest) = specifier.strip_prefix("workspace:") {
            return self.of_workspace(alias, rest, is_peer);
        }
        if let Some(rest) = specifier.strip_prefix("jsr:") {
            return Ok(of_jsr(alias, rest).unwrap_or_else(|| specifier.to_owned()));
        }
        Ok(specifier.to_owned())
    }

    fn of_workspace(&self, alias: &str, rest: &str, is_peer: bool) -> Result<String, PublishError> {
        let missing = || PublishError::Workspace {
            alias: alias.to_owned(),
        };
        if rest.starts_with('.') || rest.starts_with('/') {
            let (name, version) = (self.found)(rest).ok_or_else(missing)?;
            return Ok(match name == alias {
                true => version,
                false => format!("npm:{name}@{version}"),
            });
        }
        let (name, range) = match rest.rfind('@').filter(|at| *at > 0) {
            Some(at) => (&rest[..at], &rest[at + 1..]),
            None => (alias, rest),
        };
        let range = match range {
            "*" | "^" | "~" | "" => {
                let known = self.versions.get(name).cloned();
                let installed = || (self.found)(alias).map(|(_, version)| version);
                let version = known.or_else(installed).ok_or_else(missing)?;
                let prefix = if range == "*" { "" } else { range };
                format!("{prefix}{version}")
            }
            range => range.to_owned(),
        };
        Ok(match name == alias || is_peer {
            true => range,
            false => format!("npm:{name}@{range}"),
        })
    }
}

/// A package of JSR as the registries of npm have it.
fn of_jsr(alias: &str, rest: &str) -> Option<String> {
    let (name, range) = match rest.starts_with('@') {
        true => match rest.rfind('@').filter(|at| *at > 0) {
            Some(at) => (&rest[..at], Some(&rest[at + 1..])),
            None => (rest, None),
        },
        false => (alias, Some(rest)),
    };
    let (scope, unscoped) = name.strip_prefix('@')?.split_once('/')?;
    let range = range.map(|range| format!("@{range}")).unwrap_or_default();
    Some(format!("npm:@jsr/{scope}__{unscoped}{range}"))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn published(manifest: Value) -> Result<Value, PublishError> {
        let catalog = [("b".to_owned(), "^1.0.0".to_owned())]
            .into_iter()
            .collect();
        let catalogs = [("default".to_owned(), catalog)].into_iter().collect();
        let versions = HashMap::from([("y".to_owned(), "3.1.0".to_owned())]);
        let found = |text: &str| (text == "../y").then(|| ("y".to_owned(), "3.1.0".to_owned()));
        let protocols = Protocols {
            catalogs: &catalogs,
            versions: &versions,
            found: &found,
        };
        let Value::Object(fields) = manifest else {
            unreachable!("an object is given")
        };
        published_manifest(fields, &protocols, false).map(Value::Object)
    }

    #[test]
    fn protocols_become_what_everybody_understands() {
        for (alias, specifier, expected) in [
            ("b", "catalog:", "^1.0.0"),
            ("y", "workspace:*", "3.1.0"),
            ("y", "workspace:^", "^3.1.0"),
            ("y", "workspace:~", "~3.1.0"),
            ("y", "workspace:^3.0.0", "^3.0.0"),
            ("y", "workspace:../y", "3.1.0"),
            ("other", "workspace:y@^", "npm:y@^3.1.0"),
            ("other", "workspace:../y", "npm:y@3.1.0"),
            ("one", "jsr:@x/y@1", "npm:@jsr/x__y@1"),
            ("@x/z", "jsr:^2", "npm:@jsr/x__z@^2"),
            ("plain", "^1.0.0", "^1.0.0"),
        ] {
            let manifest = json!({ "dependencies": { alias: specifier } });
            let written = published(manifest).expect(specifier);
            assert_eq!(written["dependencies"][alias], expected, "{specifier}");
        }
        for (specifier, code) in [
            ("workspace:*", "ERR_PNPM_CANNOT_RESOLVE_WORKSPACE_PROTOCOL"),
            (
                "workspace:../q",
                "ERR_PNPM_CANNOT_RESOLVE_WORKSPACE_PROTOCOL",
            ),
            ("catalog:", "ERR_PNPM_CATALOG_ENTRY_NOT_FOUND_FOR_SPEC"),
        ] {
            let manifest = json!({ "dependencies": { "q": specifier } });
            assert_eq!(published(manifest).unwrap_err().code(), code);
        }
    }

    #[test]
    fn what_is_published_takes_the_place_of_what_is_developed_with() {
        let manifest = json!({
            "name": "x", "main": "src.js", "packageManager": "pnpm@12", "pnpm": {},
            "scripts": { "prepare": "x", "test": "y" },
            "publishConfig": { "main": "dist.js", "types": "x.d.ts", "access": "public" },
        });
        let expected = [
            r#"{"name":"x","main":"dist.js","publishConfig":{"access":"public"},"#,
            r#""scripts":{"test":"y"},"types":"x.d.ts"}"#,
        ]
        .concat();
        assert_eq!(published(manifest).unwrap().to_string(), expected);
        let manifest = json!({ "publishConfig": { "main": "a" }, "scripts": { "prepack": "x" } });
        let expected = r#"{"scripts":{},"main":"a"}"#;
        assert_eq!(published(manifest).unwrap().to_string(), expected);
    }
}
