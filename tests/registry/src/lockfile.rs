//! Writes the `pnpm-lock.yaml` 9.0 of packages that a test made.
//!
//! Resolution is the simple kind: an exact version, a range (the highest version that satisfies
//! it), an alias (`npm:name@range`), or `workspace:` for another importer. Peer dependencies are
//! ignored, so give packages that have them to a real resolver.

use std::collections::{BTreeMap, BTreeSet};

use node_semver::{Range, Version};
use serde_json::Value;

use crate::package::{Built, Package};

/// A dependency that no package of the test satisfies.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UnknownDependency {
    /// Who depends: an importer's path or `name@version`.
    pub dependent: String,
    /// The name as written.
    pub name: String,
    /// The specifier as written.
    pub specifier: String,
}

impl std::fmt::Display for UnknownDependency {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self {
            dependent,
            name,
            specifier,
        } = self;
        write!(
            formatter,
            "{dependent} depends on {name}@{specifier}, which is not in the test"
        )
    }
}

impl std::error::Error for UnknownDependency {}

/// Writes the lockfile of a project with one importer.
pub fn write(manifest: &Value, packages: &[Package]) -> Result<String, UnknownDependency> {
    write_workspace(&[(".", manifest.clone())], packages)
}

/// Writes the lockfile of a workspace: importers are (path relative to the root, manifest).
pub fn write_workspace(
    importers: &[(&str, Value)],
    packages: &[Package],
) -> Result<String, UnknownDependency> {
    let mut writer = Writer {
        packages: packages.iter().map(Package::build).collect(),
        snapshots: BTreeMap::new(),
        required: BTreeSet::new(),
    };
    let sections = writer.importers(importers)?;
    let mut text = String::from(
        "lockfileVersion: '9.0'\n\nsettings:\n  autoInstallPeers: true\n  \
         excludeLinksFromLockfile: false\n\nimporters:\n",
    );
    text.push_str(&sections);
    if !writer.snapshots.is_empty() {
        text.push_str(&writer.packages_section());
        text.push_str(&writer.snapshots_section());
    }
    Ok(text)
}

/// The edges of one resolved package, each a name and its reference.
#[derive(Default)]
struct Snapshot {
    index: usize,
    dependencies: BTreeMap<String, String>,
    optional_dependencies: BTreeMap<String, String>,
}

struct Writer {
    packages: Vec<Built>,
    snapshots: BTreeMap<String, Snapshot>,
    required: BTreeSet<String>,
}

/// Whether something fails without the dependency.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Need {
    Required,
    Optional,
}

const IMPORTER_FIELDS: [&str; 3] = ["dependencies", "devDependencies", "optionalDependencies"];

impl Writer {
    fn importers(&mut self, importers: &[(&str, Value)]) -> Result<String, UnknownDependency> {
        let mut text = String::new();
        let mut sorted: Vec<&(&str, Value)> = importers.iter().collect();
        sorted.sort_by_key(|(path, _)| *path);
        for (path, manifest) in sorted {
            let mut section = String::new();
            for field in IMPORTER_FIELDS {
                let edges = importer_edges(manifest, field);
                if edges.is_empty() {
                    continue;
                }
                section.push_str(&format!("    {field}:\n"));
                for (name, specifier) in edges {
                    let link = workspace_link(importers, path, &name, &specifier);
                    let need = if field == "optionalDependencies" {
                        Need::Optional
                    } else {
                        Need::Required
                    };
                    let version = match link {
                        Some(link) => link,
                        None => self.resolve(path, &name, &specifier, need)?,
                    };
                    section.push_str(&format!(
                        "      {}:\n        specifier: {}\n        version: {}\n",
                        scalar(&name),
                        scalar(&specifier),
                        scalar(&version)
                    ));
                }
            }
            if section.is_empty() {
                text.push_str(&format!("\n  {}: {{}}\n", scalar(path)));
            } else {
                text.push_str(&format!("\n  {}:\n{section}", scalar(path)));
            }
        }
        Ok(text)
    }

    /// Resolves one edge and everything below it; the answer is its reference.
    fn resolve(
        &mut self,
        dependent: &str,
        name: &str,
        specifier: &str,
        need: Need,
    ) -> Result<String, UnknownDependency> {
        let (real, range) = real_name(name, specifier);
        let unknown = || UnknownDependency {
            dependent: dependent.to_owned(),
            name: name.to_owned(),
            specifier: specifier.to_owned(),
        };
        let index = self.pick(real, range).ok_or_else(unknown)?;
        let key = format!("{real}@{}", self.packages[index].version);
        self.visit(index, &key, need)?;
        Ok(if real == name {
            self.packages[index].version.clone()
        } else {
            key
        })
    }

    fn pick(&self, name: &str, range: &str) -> Option<usize> {
        let candidates = || {
            self.packages
                .iter()
                .enumerate()
                .filter(|(_, b)| b.name == name)
        };
        if let Some((index, _)) = candidates().find(|(_, built)| built.version == range) {
            return Some(index);
        }
        let range = Range::parse(range).ok()?;
        candidates()
            .filter_map(|(index, built)| Some((Version::parse(&built.version).ok()?, index)))
            .filter(|(version, _)| range.satisfies(version))
            .max()
            .map(|(_, index)| index)
    }

    fn visit(&mut self, index: usize, key: &str, need: Need) -> Result<(), UnknownDependency> {
        // A package seen before is walked again only when it turns out to be required.
        let newly_required = need == Need::Required && self.required.insert(key.to_owned());
        if self.snapshots.contains_key(key) && !newly_required {
            return Ok(());
        }
        self.snapshots.insert(
            key.to_owned(),
            Snapshot {
                index,
                ..Snapshot::default()
            },
        );
        let manifest = self.packages[index].packument_entry.clone();
        let bundled = bundled_names(&manifest);
        let optional = edges(&manifest, "optionalDependencies");
        for (name, specifier) in edges(&manifest, "dependencies") {
            if optional.contains_key(&name) || bundled.contains(&name) {
                continue;
            }
            let reference = self.resolve(key, &name, &specifier, need)?;
            if let Some(snapshot) = self.snapshots.get_mut(key) {
                snapshot.dependencies.insert(name, reference);
            }
        }
        for (name, specifier) in optional {
            // As in a real resolution, an optional dependency that cannot be had is left out.
            if let Ok(reference) = self.resolve(key, &name, &specifier, Need::Optional)
                && let Some(snapshot) = self.snapshots.get_mut(key)
            {
                snapshot.optional_dependencies.insert(name, reference);
            }
        }
        Ok(())
    }

    fn packages_section(&self) -> String {
        let mut text = String::from("\npackages:\n");
        for (key, snapshot) in &self.snapshots {
            let built = &self.packages[snapshot.index];
            let manifest = &built.packument_entry;
            text.push_str(&format!("\n  {}:\n", scalar(key)));
            let integrity = &built.integrity;
            text.push_str(&format!("    resolution: {{integrity: {integrity}}}\n"));
            if let Some(engines) = manifest["engines"].as_object() {
                let list: Vec<String> = engines
                    .iter()
                    .filter_map(|(name, range)| Some((name, range.as_str()?)))
                    .map(|(name, range)| format!("{}: {}", scalar(name), flow_scalar(range)))
                    .collect();
                text.push_str(&format!("    engines: {{{}}}\n", list.join(", ")));
            }
            for field in ["cpu", "os", "libc"] {
                if let Some(list) = manifest[field].as_array() {
                    let list: Vec<String> = list
                        .iter()
                        .filter_map(Value::as_str)
                        .map(flow_scalar)
                        .collect();
                    text.push_str(&format!("    {field}: [{}]\n", list.join(", ")));
                }
            }
            if let Some(message) = manifest["deprecated"].as_str() {
                text.push_str(&format!("    deprecated: {}\n", scalar(message)));
            }
            if has_bin(manifest) {
                text.push_str("    hasBin: true\n");
            }
            let bundled = bundled_names(manifest);
            if !bundled.is_empty() {
                text.push_str("    bundledDependencies:\n");
                for name in bundled {
                    text.push_str(&format!("      - {}\n", scalar(&name)));
                }
            }
        }
        text
    }

    fn snapshots_section(&self) -> String {
        let mut text = String::from("\nsnapshots:\n");
        for (key, snapshot) in &self.snapshots {
            let mut section = String::new();
            let fields = [
                ("dependencies", &snapshot.dependencies),
                ("optionalDependencies", &snapshot.optional_dependencies),
            ];
            for (field, edges) in fields {
                if !edges.is_empty() {
                    section.push_str(&format!("    {field}:\n"));
                }
                for (name, reference) in edges {
                    section.push_str(&format!("      {}: {}\n", scalar(name), scalar(reference)));
                }
            }
            if !self.required.contains(key) {
                section.push_str("    optional: true\n");
            }
            if section.is_empty() {
                text.push_str(&format!("\n  {}: {{}}\n", scalar(key)));
            } else {
                text.push_str(&format!("\n  {}:\n{section}", scalar(key)));
            }
        }
        text
    }
}

/// The edges of an importer's field, without those that a stronger field also names.
fn importer_edges(manifest: &Value, field: &str) -> BTreeMap<String, String> {
    let mut found = edges(manifest, field);
    let stronger: &[&str] = match field {
        "dependencies" => &["optionalDependencies"],
        "devDependencies" => &["optionalDependencies", "dependencies"],
        _ => &[],
    };
    for other in stronger {
        let names = edges(manifest, other);
        found.retain(|name, _| !names.contains_key(name));
    }
    found
}

fn edges(manifest: &Value, field: &str) -> BTreeMap<String, String> {
    let map = manifest.get(field).and_then(Value::as_object);
    map.into_iter()
        .flatten()
        .filter_map(|(name, specifier)| Some((name.clone(), specifier.as_str()?.to_owned())))
        .collect()
}

fn bundled_names(manifest: &Value) -> Vec<String> {
    let list = manifest
        .get("bundleDependencies")
        .or_else(|| manifest.get("bundledDependencies"));
    let list = list.and_then(Value::as_array).into_iter().flatten();
    list.filter_map(Value::as_str).map(str::to_owned).collect()
}

fn has_bin(manifest: &Value) -> bool {
    let bin = match &manifest["bin"] {
        Value::String(target) => !target.is_empty(),
        Value::Object(map) => !map.is_empty(),
        _ => false,
    };
    bin || manifest.pointer("/directories/bin").is_some()
}

fn real_name<'a>(name: &'a str, specifier: &'a str) -> (&'a str, &'a str) {
    let Some(target) = specifier.strip_prefix("npm:") else {
        return (name, specifier);
    };
    match target.get(1..).and_then(|rest| rest.find('@')) {
        Some(at) => (&target[..=at], &target[at + 2..]),
        None => (target, "*"),
    }
}

fn workspace_link(
    importers: &[(&str, Value)],
    from: &str,
    name: &str,
    specifier: &str,
) -> Option<String> {
    specifier.strip_prefix("workspace:")?;
    let (to, _) = importers
        .iter()
        .find(|(_, manifest)| manifest["name"] == name)?;
    let split = |path: &str| -> Vec<String> {
        path.split('/')
            .filter(|part| *part != ".")
            .map(str::to_owned)
            .collect()
    };
    let (from, to) = (split(from), split(to));
    let common = from
        .iter()
        .zip(&to)
        .take_while(|(left, right)| left == right)
        .count();
    let mut parts = vec!["..".to_owned(); from.len() - common];
    parts.extend_from_slice(&to[common..]);
    Some(format!("link:{}", parts.join("/")))
}

/// A scalar as pnpm writes it in block style.
fn scalar(text: &str) -> String {
    if is_plain(text, &[]) {
        text.to_owned()
    } else {
        quoted(text)
    }
}

/// The same inside `{…}` and `[…]`.
fn flow_scalar(text: &str) -> String {
    if is_plain(text, &[',', '[', ']', '{', '}']) {
        text.to_owned()
    } else {
        quoted(text)
    }
}

fn quoted(text: &str) -> String {
    format!("'{}'", text.replace('\'', "''"))
}

fn is_plain(text: &str, forbidden: &[char]) -> bool {
    let Some(first) = text.chars().next() else {
        return false;
    };
    let indicator = "-?:,[]{}#&*!|=>'\"%@` ".contains(first) || text.ends_with([':', ' ']);
    let number = text.parse::<f64>().is_ok();
    let keyword = ["~", "true", "false", "null"].contains(&text.to_lowercase().as_str());
    let comment = text.contains(" #") || text.contains(": ");
    let other = text.contains(forbidden) || text.contains(char::is_control);
    !(indicator || number || keyword || comment || other)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_small_graph_is_written_as_pnpm_writes_it() {
        let packages = [
            Package::new("a", "1.0.0")
                .dependency("b", "^1.0.0")
                .dependency("alias", "npm:b@1.1.0"),
            Package::new("b", "1.0.0")
                .engine(">=4")
                .optional_dependency("@s/native", "1.0.0"),
            Package::new("b", "1.1.0").bin("b", "b.js"),
            Package::new("@s/native", "1.0.0").os("darwin").cpu("arm64"),
        ];
        let manifest = json!({"dependencies": {"a": "1.0.0"}, "devDependencies": {"b": "1.0.0"}});
        let text = write(&manifest, &packages).unwrap();
        let wanted = [
            "  .:\n    dependencies:\n      a:\n        specifier: 1.0.0\n        version: 1.0.0\n",
            "  b@1.0.0:\n    resolution: {integrity: sha512-",
            "    engines: {node: '>=4'}\n",
            "    cpu: [arm64]\n    os: [darwin]\n",
            "  a@1.0.0:\n    dependencies:\n      alias: b@1.1.0\n      b: 1.1.0\n",
            "  b@1.0.0:\n    optionalDependencies:\n      '@s/native': 1.0.0\n",
            "  '@s/native@1.0.0':\n    optional: true\n",
            "  b@1.1.0: {}\n",
            "    hasBin: true\n",
        ];
        for part in wanted {
            assert!(text.contains(part), "{part} is not in\n{text}");
        }
    }

    #[test]
    fn a_missing_dependency_is_named() {
        let manifest = json!({"dependencies": {"gone": "1.0.0"}});
        let error = write(&manifest, &[]).unwrap_err();
        assert_eq!(
            error.to_string(),
            ". depends on gone@1.0.0, which is not in the test"
        );
    }

    #[test]
    fn a_cycle_ends() {
        let packages = [
            Package::new("a", "1.0.0").dependency("b", "1.0.0"),
            Package::new("b", "1.0.0").dependency("a", "1.0.0"),
        ];
        let text = write(&json!({"dependencies": {"a": "1.0.0"}}), &packages).unwrap();
        assert!(
            text.contains("  b@1.0.0:\n    dependencies:\n      a: 1.0.0\n"),
            "{text}"
        );
    }

    #[test]
    fn workspace_links_are_relative_to_the_importer() {
        let importers = [
            (".", json!({"name": "root"})),
            (
                "packages/a",
                json!({"name": "a", "dependencies": {"b": "workspace:*"}}),
            ),
            ("packages/b", json!({"name": "b"})),
        ];
        let text = write_workspace(&importers, &[]).unwrap();
        assert!(text.contains("version: link:../b\n"), "{text}");
        assert!(text.contains("\n  packages/b: {}\n"), "{text}");
    }

    #[test]
    fn scalars_are_quoted_where_yaml_needs_it() {
        let table = [
            ("^1.0.0", "^1.0.0"),
            ("7.4", "'7.4'"),
            ("7.4.0", "7.4.0"),
            (">=12", "'>=12'"),
            ("~1.2", "~1.2"),
            ("*", "'*'"),
            (".", "."),
            ("npm:b@1", "npm:b@1"),
            ("workspace:*", "workspace:*"),
            ("it's", "it's"),
            ("true", "'true'"),
        ];
        for (text, wanted) in table {
            assert_eq!(scalar(text), wanted);
        }
    }
}
