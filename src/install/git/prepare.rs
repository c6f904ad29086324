//! Building a package from its sources, as its author would before publishing it.
//!
//! A repository may hold only sources. Where its manifest has a `prepare` script, or a
//! `prepublish`, `prepack` or `publish` script and no main file, the package's dependencies are
//! installed by the package manager that it is developed with, which runs `prepare`, and then the
//! other scripts run. What they leave is packed, without `node_modules`.

use std::path::Path;

use serde_json::{Map, Value};

use super::GitError;
use crate::diagnostic::Diagnostic;
use crate::install::builds::{Decision, Rules};
use crate::install::lockfile::DepPath;
use crate::install::manifest::ManifestError;
use crate::install::scripts::{Launcher, Script, ScriptEnd, ScriptError, ScriptManifest, quoted};
use crate::name::escaped;

/// Scripts that run after the install, in this order. npm, Yarn and pnpm leave `prepublishOnly`
/// out for packages of repositories.
const BEFORE_PUBLISHING: [&str; 3] = ["prepublish", "prepack", "publish"];

/// Files at the root of a repository that tell which package manager it is developed with.
const LOCKFILES: [(&str, &str); 5] = [
    ("pnpm-lock.yaml", "pnpm"),
    ("yarn.lock", "yarn"),
    ("package-lock.json", "npm"),
    ("bun.lockb", "bun"),
    ("bun.lock", "bun"),
];

const MANAGERS: [&str; 4] = ["pnpm", "npm", "yarn", "bun"];

/// Why a package could not be built from its sources.
#[derive(Debug, thiserror::Error)]
pub enum PrepareError {
    /// Nobody has allowed it.
    #[error(
        "The git-hosted package \"{}\" needs to execute build scripts but is not in the \
         \"allowBuilds\" allowlist",
        escaped(package)
    )]
    NotAllowed {
        /// Its id, which is the key.
        package: String,
    },
    /// Its manifest cannot be used.
    #[error(transparent)]
    Manifest(#[from] ManifestError),
    /// A script could not be run.
    #[error("The package {} cannot be prepared", escaped(package))]
    Script {
        /// Its id.
        package: String,
        /// Why.
        #[source]
        source: ScriptError,
    },
    /// A script failed.
    #[error(
        "Failed to prepare the git-hosted package {}: `{}` ended with {end}",
        escaped(package),
        escaped(script)
    )]
    Failed {
        /// Its id.
        package: String,
        /// The line of shell.
        script: String,
        /// How it ended.
        end: ScriptEnd,
    },
    /// What the install left cannot be removed.
    #[error(transparent)]
    Directory(#[from] GitError),
}

impl Diagnostic for PrepareError {
    fn code(&self) -> &'static str {
        match self {
            Self::NotAllowed { .. } => "ERR_PNPM_GIT_DEP_PREPARE_NOT_ALLOWED",
            Self::Manifest(error) => error.code(),
            Self::Script { source, .. } => source.code(),
            Self::Failed { .. } => "ERR_PNPM_PREPARE_PACKAGE",
            Self::Directory(error) => error.code(),
        }
    }

    fn hint(&self) -> Option<String> {
        match self {
            Self::NotAllowed { package } => Some(format!(
                "to allow it, write into pnpm-workspace.yaml:\nallowBuilds:\n  '{}': true",
                escaped(package)
            )),
            Self::Manifest(error) => error.hint(),
            Self::Script { source, .. } => source.hint(),
            Self::Failed { .. } => None,
            Self::Directory(error) => error.hint(),
        }
    }
}

/// Whether a package with these fields is built before it is packed. `has` says whether it has a
/// file or directory.
pub fn must_be_prepared(manifest: &Map<String, Value>, has: impl Fn(&str) -> bool) -> bool {
    let script = |name: &str| {
        let text = manifest
            .get("scripts")
            .and_then(|scripts| scripts.get(name));
        text.and_then(Value::as_str)
            .is_some_and(|text| !text.is_empty())
    };
    if script("prepare") {
        return true;
    }
    let main = manifest.get("main").and_then(Value::as_str);
    let main = main.unwrap_or("index.js");
    BEFORE_PUBLISHING.iter().any(|name| script(name))
        && !has(main.trim_start_matches("./").trim_end_matches('/'))
}

/// Builds the package in `directory`, of the repository or archive in `root`, where it has to be
/// built. `id` is what `allowBuilds` calls it.
///
/// # Errors
/// It may not be built, or its scripts fail.
pub fn prepare(
    launcher: &Launcher,
    rules: &Rules,
    id: &str,
    root: &Path,
    directory: &Path,
) -> Result<(), PrepareError> {
    let Some(manifest) = ScriptManifest::read(directory)? else {
        return Ok(());
    };
    let has = |path: &str| directory.join(path).exists();
    if !must_be_prepared(manifest.fields(), has) {
        return Ok(());
    }
    let is_allowed = DepPath::new(id).is_ok_and(|id| rules.decide(&id) == Decision::Allowed);
    if !is_allowed {
        let package = id.to_owned();
        return Err(PrepareError::NotAllowed { package });
    }
    let manager = manager_of(root, manifest.fields());
    let command = command_of(launcher, manager);
    let run = |stage: &str, text: &str| run_one(launcher, &manifest, id, stage, text);
    run(&format!("{manager}-install"), &format!("{command} install"))?;
    for name in BEFORE_PUBLISHING {
        match manifest.script(name) {
            Some(text) if manager == "pnpm" => run(name, text)?,
            Some(_) => run(
                &format!("{manager}-run-{name}"),
                &format!("{command} run {name}"),
            )?,
            None => {}
        }
    }
    let modules = directory.join("node_modules");
    match std::fs::remove_dir_all(&modules) {
        Err(source) if source.kind() != std::io::ErrorKind::NotFound => Err(GitError::Directory {
            path: modules,
            source,
        }
        .into()),
        _ => Ok(()),
    }
}

fn run_one(
    launcher: &Launcher,
    manifest: &ScriptManifest,
    id: &str,
    stage: &str,
    text: &str,
) -> Result<(), PrepareError> {
    let script = Script {
        package: manifest,
        shown: id,
        dep_path: id,
        is_optional: false,
        stage,
        text,
        arguments: &[],
    };
    let end = launcher.run(&script);
    let end = end.map_err(|source| PrepareError::Script {
        package: id.to_owned(),
        source,
    })?;
    match end.is_success() {
        true => Ok(()),
        false => Err(PrepareError::Failed {
            package: id.to_owned(),
            script: text.to_owned(),
            end,
        }),
    }
}

/// The package manager that a repository is developed with.
fn manager_of(root: &Path, manifest: &Map<String, Value>) -> &'static str {
    let known = |name: &str| MANAGERS.into_iter().find(|manager| *manager == name);
    let engines = manifest
        .get("devEngines")
        .and_then(|engines| engines.get("packageManager"));
    let listed = match engines {
        Some(Value::Array(list)) => list.as_slice(),
        Some(single) => std::slice::from_ref(single),
        None => &[],
    };
    let engine = listed
        .iter()
        .filter_map(|engine| engine.get("name")?.as_str())
        .find_map(known);
    let pinned = manifest.get("packageManager").and_then(Value::as_str);
    let pinned = pinned.and_then(|pin| known(pin.split('@').next().unwrap_or(pin)));
    let locked = LOCKFILES
        .into_iter()
        .find(|(file, _)| root.join(file).exists());
    engine
        .or(pinned)
        .or(locked.map(|(_, manager)| manager))
        .unwrap_or("npm")
}

/// How `manager` is called: this program stands in for a pnpm that is not there.
fn command_of(launcher: &Launcher, manager: &str) -> String {
    let path = launcher.places.environment.variable("PATH");
    let is_there = path.is_some_and(|path| {
        std::env::split_paths(path).any(|directory| directory.join(manager).is_file())
    });
    match &launcher.places.program {
        Some(program) if manager == "pnpm" && !is_there => {
            quoted(&program.to_string_lossy()).to_string()
        }
        _ => manager.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fields(value: Value) -> Map<String, Value> {
        value.as_object().expect("an object").clone()
    }

    #[test]
    fn sources_are_built_where_their_author_would() {
        for (manifest, files, expected) in [
            (r#"{}"#, vec![], false),
            (r#"{"scripts":{"prepare":"x"}}"#, vec!["index.js"], true),
            (r#"{"scripts":{"prepare":""}}"#, vec![], false),
            (r#"{"scripts":{"prepack":"x"}}"#, vec!["index.js"], false),
            (r#"{"scripts":{"prepack":"x"}}"#, vec![], true),
            (
                r#"{"scripts":{"publish":"x"},"main":"./a.js"}"#,
                vec!["a.js"],
                false,
            ),
            (
                r#"{"scripts":{"prepublish":"x"},"main":"lib"}"#,
                vec!["index.js"],
                true,
            ),
            (
                r#"{"scripts":{"prepublishOnly":"x","build":"y"}}"#,
                vec![],
                false,
            ),
            (r#"{"scripts":["prepare"]}"#, vec![], false),
        ] {
            let manifest_fields = fields(serde_json::from_str(manifest).expect(manifest));
            let found = must_be_prepared(&manifest_fields, |path| files.contains(&path));
            assert_eq!(found, expected, "{manifest} {files:?}");
        }
    }

    #[test]
    fn the_package_manager_is_the_one_that_is_declared_or_left_its_lockfile() {
        let directory = tempfile::tempdir().expect("a directory");
        let manager = |manifest: &str| {
            manager_of(
                directory.path(),
                &fields(serde_json::from_str(manifest).expect(manifest)),
            )
        };
        assert_eq!(manager("{}"), "npm");
        std::fs::write(directory.path().join("yarn.lock"), "").expect("written");
        assert_eq!(manager("{}"), "yarn");
        assert_eq!(manager(r#"{"packageManager":"bun@1.2.0"}"#), "bun");
        assert_eq!(manager(r#"{"packageManager":"other@1.2.0"}"#), "yarn");
        let engines = r#"{"devEngines":{"packageManager":[{"name":"x"},{"name":"pnpm"}]},
            "packageManager":"npm@10.0.0"}"#;
        assert_eq!(manager(engines), "pnpm");
    }
}
