//! The files of a package, and where they are.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use serde_json::{Map, Value};

use super::PublishError;
use crate::install::git::{pack_list, whole_list};
use crate::lexical;
use crate::name::{PackageName, RelativePath};

/// What is in an archive.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Content {
    /// Where it is on disk.
    pub source: PathBuf,
    /// Whether it can be executed.
    pub is_executable: bool,
}

/// The files of the package in `directory`, of which `manifest` is what others see. Where it has no
/// licence, it has the one of its workspace at `root`.
///
/// # Errors
/// They cannot be listed.
pub fn contents(
    directory: &Path,
    manifest: &Map<String, Value>,
    root: Option<&Path>,
) -> Result<BTreeMap<RelativePath, Content>, PublishError> {
    let mut paths: BTreeSet<RelativePath> = pack_list(directory)?.files.into_iter().collect();
    for name in bundled(directory, manifest) {
        let below = format!("node_modules/{name}");
        let files = whole_list(&directory.join(&below))?.files;
        let files = files
            .iter()
            .map(|path| format!("{below}/{}", path.as_str()));
        paths.extend(files.filter_map(|path| RelativePath::new(&path).ok()));
    }
    let executables = executables(manifest);
    let has_licence = paths.iter().any(|path| is_licence(path.as_str()));
    let mut contents: BTreeMap<RelativePath, Content> = paths
        .into_iter()
        .map(|path| {
            let content = Content {
                source: directory.join(path.as_str()),
                is_executable: executables.has(path.as_str()),
            };
            (path, content)
        })
        .collect();
    if let Some(root) = root.filter(|root| !has_licence && *root != directory) {
        for (path, source) in licences(root) {
            let is_executable = false;
            contents.insert(
                path,
                Content {
                    source,
                    is_executable,
                },
            );
        }
    }
    Ok(contents)
}

/// The licences that are in `directory` itself.
pub fn licences(directory: &Path) -> Vec<(RelativePath, PathBuf)> {
    let entries = std::fs::read_dir(directory).into_iter().flatten().flatten();
    let files = entries.filter(|entry| entry.file_type().is_ok_and(|kind| kind.is_file()));
    let licences = files.filter_map(|entry| {
        let name = entry.file_name().into_string().ok()?;
        let path = RelativePath::new(&name)
            .ok()
            .filter(|_| is_licence(&name))?;
        Some((path, entry.path()))
    });
    licences.collect()
}

fn is_licence(path: &str) -> bool {
    let name = path.to_ascii_lowercase();
    let stem = name.split_once('.').map_or(&*name, |(stem, _)| stem);
    matches!(stem, "license" | "licence")
}

/// Names of the packages that come along: those that are named, as far as they are real
/// directories, and what those need of the same `node_modules`.
fn bundled(directory: &Path, manifest: &Map<String, Value>) -> BTreeSet<String> {
    let named = manifest
        .get("bundleDependencies")
        .or_else(|| manifest.get("bundledDependencies"));
    let mut open: Vec<String> = match named {
        Some(Value::Bool(true)) => dependencies(manifest),
        Some(Value::Array(names)) => {
            let names = names.iter().filter_map(Value::as_str);
            names.map(str::to_owned).collect()
        }
        _ => Vec::new(),
    };
    let mut found = BTreeSet::new();
    while let Some(name) = open.pop() {
        let place = directory.join("node_modules").join(&name);
        let is_real = std::fs::symlink_metadata(&place).is_ok_and(|facts| facts.is_dir());
        if PackageName::new(&name).is_err() || !is_real || !found.insert(name) {
            continue;
        }
        let text = std::fs::read(place.join("package.json")).unwrap_or_default();
        if let Ok(manifest) = serde_json::from_slice(&text) {
            open.extend(dependencies(&manifest));
        }
    }
    found
}

fn dependencies(manifest: &Map<String, Value>) -> Vec<String> {
    let fields = ["dependencies", "optionalDependencies"];
    let maps = fields
        .iter()
        .filter_map(|field| manifest.get(*field)?.as_object());
    maps.flat_map(|map| map.keys().cloned()).collect()
}

/// Which files can be executed: commands, and what `publishConfig.executableFiles` names.
struct Executables {
    files: BTreeSet<String>,
    /// `directories.bin`, with a slash at its end.
    directory: Option<String>,
}

impl Executables {
    fn has(&self, path: &str) -> bool {
        let is_below = |directory: &String| path.starts_with(&**directory);
        self.files.contains(path) || self.directory.as_ref().is_some_and(is_below)
    }
}

fn executables(manifest: &Map<String, Value>) -> Executables {
    let bins: Vec<&str> = match manifest.get("bin") {
        Some(Value::String(path)) => vec![path],
        Some(Value::Object(map)) => map.values().filter_map(Value::as_str).collect(),
        _ => Vec::new(),
    };
    let config = manifest.get("publishConfig");
    let more = config.and_then(|config| config.get("executableFiles")?.as_array());
    let more = more.into_iter().flatten().filter_map(Value::as_str);
    let directory = manifest.get("directories");
    let directory = directory.and_then(|map| map.get("bin")?.as_str());
    Executables {
        files: bins.into_iter().chain(more).map(normal).collect(),
        directory: directory.map(|path| format!("{}/", normal(path))),
    }
}

fn normal(path: &str) -> String {
    let path = lexical::normal(Path::new(path.trim_start_matches('/')));
    path.to_string_lossy().into_owned()
}
