//! The two forms of a package's metadata, and the short one derived from the full one.

use serde_json::{Map, Value, json};

/// The media type of the abbreviated form.
pub const ABBREVIATED_TYPE: &str = "application/vnd.npm.install-v1+json";

/// What an entry of `versions` keeps in the abbreviated form.
const ABBREVIATED_FIELDS: [&str; 18] = [
    "name",
    "version",
    "deprecated",
    "dependencies",
    "optionalDependencies",
    "devDependencies",
    "bundleDependencies",
    "bundledDependencies",
    "peerDependencies",
    "peerDependenciesMeta",
    "acceptDependencies",
    "bin",
    "directories",
    "dist",
    "engines",
    "cpu",
    "os",
    "hasInstallScript",
];

/// Which form of a packument a client asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Form {
    /// Everything that was published.
    Full,
    /// What an installer needs.
    Abbreviated,
}

impl Form {
    /// What an `Accept` header asks for: the abbreviated form if it is named at all.
    pub fn wanted(accept: &str) -> Self {
        if accept.contains(ABBREVIATED_TYPE) {
            Self::Abbreviated
        } else {
            Self::Full
        }
    }

    /// The content type of an answer in this form.
    pub fn content_type(self) -> &'static str {
        match self {
            Self::Full => "application/json",
            Self::Abbreviated => ABBREVIATED_TYPE,
        }
    }
}

/// Derives the abbreviated form from the full one.
pub fn abbreviate(full: &Value) -> Value {
    let mut versions = Map::new();
    for (version, manifest) in full["versions"].as_object().into_iter().flatten() {
        versions.insert(version.clone(), abbreviate_version(manifest));
    }
    let mut short = json!({
        "name": full["name"],
        "dist-tags": full["dist-tags"],
        "versions": versions,
    });
    let modified = full["time"]
        .get("modified")
        .or_else(|| full.get("modified"));
    if let Some(modified) = modified {
        short["modified"] = modified.clone();
    }
    short
}

fn abbreviate_version(manifest: &Value) -> Value {
    let mut short = Map::new();
    for field in ABBREVIATED_FIELDS {
        if let Some(value) = manifest.get(field) {
            short.insert(field.to_owned(), value.clone());
        }
    }
    let scripts = ["preinstall", "install", "postinstall"];
    if scripts
        .iter()
        .any(|script| manifest["scripts"].get(script).is_some())
    {
        short.insert("hasInstallScript".to_owned(), json!(true));
    }
    if manifest.get("_hasShrinkwrap") == Some(&json!(true)) {
        short.insert("_hasShrinkwrap".to_owned(), json!(true));
    }
    Value::Object(short)
}

/// Calls `change` with each version's `dist.tarball` and puts what it returns in its place.
pub fn rewrite_tarballs(packument: &mut Value, mut change: impl FnMut(&str, &str) -> String) {
    let Some(versions) = packument.get_mut("versions").and_then(Value::as_object_mut) else {
        return;
    };
    for (version, manifest) in versions {
        if let Some(tarball) = manifest.pointer_mut("/dist/tarball") {
            let old = tarball.as_str().unwrap_or_default().to_owned();
            *tarball = json!(change(version, &old));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_short_form_keeps_what_an_installer_needs() {
        let full = json!({
            "name": "a",
            "dist-tags": {"latest": "1.0.0"},
            "time": {"modified": "2026-01-01T00:00:00.000Z"},
            "readme": "long",
            "versions": {"1.0.0": {
                "name": "a", "version": "1.0.0", "libc": ["glibc"], "os": ["linux"],
                "scripts": {"postinstall": "x"}, "readme": "long",
                "dist": {"tarball": "t"},
            }},
        });
        let short = abbreviate(&full);
        assert_eq!(
            short,
            json!({
                "name": "a",
                "dist-tags": {"latest": "1.0.0"},
                "versions": {"1.0.0": {
                    "name": "a", "version": "1.0.0", "dist": {"tarball": "t"}, "os": ["linux"],
                    "hasInstallScript": true,
                }},
                "modified": "2026-01-01T00:00:00.000Z",
            })
        );
    }

    #[test]
    fn tarball_addresses_are_rewritten() {
        let mut packument = json!({"versions": {"1.0.0": {"dist": {"tarball": "old"}}, "2": {}}});
        rewrite_tarballs(&mut packument, |version, old| format!("{version} {old}"));
        assert_eq!(
            packument["versions"]["1.0.0"]["dist"]["tarball"],
            json!("1.0.0 old")
        );
    }
}
