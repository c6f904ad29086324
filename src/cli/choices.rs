//! What the last `install` of a project chose on its command line, so that a later `mount` without
//! such flags serves the same tree, and whether it is served, so that it is so again after a
//! restart of the machine.
//!
//! One small file a project in the cache directory. It is a convenience: where it is missing or
//! cannot be read, `mount` goes by configuration alone, as for a project that was never installed.

use std::collections::BTreeSet;
use std::fs;
use std::path::PathBuf;

use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

use super::arguments::{
    GlobalArguments, InstallArguments, Linker, PlatformArguments, SelectionArguments,
};
use super::context::Context;
use crate::install::lockfile::ImporterId;
use crate::name::{RelativePath, hexadecimal};
use crate::sys;

/// The settings that decide a tree, in lower case and without hyphens. Others are not kept: some
/// of them are secrets.
const SETTINGS_KEPT: [&str; 15] = [
    "autoinstallpeers",
    ALL_BUILDS,
    "dedupedirectdeps",
    "enginestrict",
    "hoist",
    "hoistinglimits",
    "hoistpattern",
    "hoistworkspacepackages",
    "ignorescripts",
    "nodelinker",
    "nodeversion",
    "publichoistpattern",
    "runtime",
    "shamefullyhoist",
    "virtualstoredirmaxlength",
];

/// The setting that lets the scripts of all packages run.
const ALL_BUILDS: &str = "dangerouslyallowallbuilds";

/// What the flags of an `install` chose.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(super) struct Choices {
    prod: bool,
    dev: bool,
    no_optional: bool,
    cpu: Vec<String>,
    os: Vec<String>,
    libc: Vec<String>,
    node_linker: Option<Linker>,
    lockfile_dir: Option<PathBuf>,
    ignore_scripts: Option<bool>,
    store_dir: Option<PathBuf>,
    /// `--config.KEY=VALUE`, as `KEY=VALUE`.
    settings: Vec<String>,
    /// The projects of a workspace that are installed, where those are not all.
    projects: Vec<String>,
    /// Whether it was served, and nobody took it down.
    is_served: bool,
}

impl Choices {
    /// What `arguments` choose.
    pub(super) fn of(global: &GlobalArguments, arguments: &InstallArguments) -> Self {
        let ignore_scripts = match (arguments.ignore_scripts, arguments.no_ignore_scripts) {
            (true, _) => Some(true),
            (_, true) => Some(false),
            _ => None,
        };
        Self {
            ignore_scripts,
            ..Self::of_selection(global, &arguments.selection)
        }
    }

    /// What flags of `mount` choose.
    pub(super) fn of_selection(global: &GlobalArguments, arguments: &SelectionArguments) -> Self {
        let current = std::env::current_dir().unwrap_or_default();
        let called_in = match &global.dir {
            Some(dir) => current.join(dir),
            None => current.clone(),
        };
        let is_kept = |pair: &&String| SETTINGS_KEPT.contains(&name_and_value(pair).0.as_str());
        Self {
            prod: arguments.prod,
            dev: arguments.dev,
            no_optional: arguments.no_optional,
            cpu: arguments.platforms.cpu.clone(),
            os: arguments.platforms.os.clone(),
            libc: arguments.platforms.libc.clone(),
            node_linker: arguments.node_linker,
            lockfile_dir: arguments
                .lockfile_dir
                .as_ref()
                .map(|dir| called_in.join(dir)),
            ignore_scripts: None,
            store_dir: global.store_dir.as_ref().map(|dir| current.join(dir)),
            settings: global.config.iter().filter(is_kept).cloned().collect(),
            projects: Vec::new(),
            is_served: false,
        }
    }

    /// The same choices, of a project that is served or is not.
    pub(super) fn with_served(self, is_served: bool) -> Self {
        Self { is_served, ..self }
    }

    /// The same choices, for the projects that `context` has installed.
    pub(super) fn of_projects(self, context: &Context) -> Self {
        let installed = context.narrowed().into_iter().flatten();
        let projects = installed.map(|id| id.as_str().to_owned()).collect();
        Self { projects, ..self }
    }

    /// The projects of a workspace that are installed; none: that is all.
    pub(super) fn projects(&self) -> BTreeSet<ImporterId> {
        let ids = self.projects.iter().filter_map(|text| match &**text {
            "." => Some(ImporterId(None)),
            path => RelativePath::new(path)
                .ok()
                .map(|path| ImporterId(Some(path))),
        });
        ids.collect()
    }

    /// Whether the project was served, and nobody took it down.
    pub(super) fn is_served(&self) -> bool {
        self.is_served
    }

    /// Whether the scripts of all packages could run.
    pub(super) fn allow_all_builds(&self) -> bool {
        let mut said = self.settings.iter().rev().map(|pair| name_and_value(pair));
        said.find(|(name, _)| name == ALL_BUILDS)
            .is_some_and(|(_, value)| value == "true")
    }

    /// Keeps whether the project is served after an install, and which projects are there, beside
    /// what was chosen before.
    pub(super) fn keep_installed(context: &Context, is_served: bool) {
        let kept = Self::kept(context).unwrap_or_default();
        let now = kept.clone().with_served(is_served).of_projects(context);
        if now != kept {
            now.write(context);
        }
    }

    /// Keeps whether the project is served, beside what was chosen before.
    pub(super) fn keep_served(context: &Context, is_served: bool) {
        let kept = Self::kept(context).unwrap_or_default();
        if kept.is_served != is_served {
            kept.with_served(is_served).write(context);
        }
    }

    /// Whether no flag chose anything that decides the tree; where packages are kept does not.
    pub(super) fn is_empty(&self) -> bool {
        let of_tree = Self {
            store_dir: None,
            ..self.clone().with_served(false)
        };
        of_tree == Self::default()
    }

    /// The flags of `mount` that choose the same, and whether scripts are to be ignored.
    pub(super) fn arguments(
        self,
        global: &GlobalArguments,
    ) -> (GlobalArguments, SelectionArguments, Option<bool>) {
        let mut global = global.clone();
        // What the command line has comes last, and wins.
        global.config.splice(0..0, self.settings);
        global.store_dir = global.store_dir.or(self.store_dir);
        let arguments = SelectionArguments {
            prod: self.prod,
            dev: self.dev,
            no_optional: self.no_optional,
            optional: false,
            platforms: PlatformArguments {
                cpu: self.cpu,
                os: self.os,
                libc: self.libc,
            },
            node_linker: self.node_linker,
            lockfile_dir: self.lockfile_dir,
        };
        (global, arguments, self.ignore_scripts)
    }

    /// Keeps them for the project of `context`. Where that fails a later `mount` needs the flags
    /// again, which is no reason to fail an install.
    pub(super) fn keep(&self, context: &Context) {
        if Self::kept(context).as_ref() != Some(self) {
            self.write(context);
        }
    }

    fn write(&self, context: &Context) {
        let path = path(context);
        let written = || -> std::io::Result<()> {
            if *self == Self::default() {
                return match fs::remove_file(&path) {
                    Err(error) if error.kind() != std::io::ErrorKind::NotFound => Err(error),
                    _ => Ok(()),
                };
            }
            sys::directory::make(path.parent().unwrap_or(&path))?;
            sys::file::replace(&path, &serde_json::to_vec(self)?, None)
        };
        if let Err(error) = written() {
            let path = path.display();
            tracing::warn!(%path, %error, "the flags of this install are not kept");
        }
    }

    /// What was kept for the project of `context`.
    pub(super) fn kept(context: &Context) -> Option<Self> {
        let bytes = fs::read(path(context)).ok()?;
        serde_json::from_slice(&bytes).ok()
    }
}

/// A setting as [`SETTINGS_KEPT`] has its name, and what it is set to.
fn name_and_value(pair: &str) -> (String, &str) {
    let (name, value) = pair.split_once('=').unwrap_or((pair, "true"));
    (name.replace('-', "").to_ascii_lowercase(), value)
}

fn path(context: &Context) -> PathBuf {
    let config = &context.config;
    let project = match &config.workspace_root {
        Some(root) if config.lockfile.shared => root,
        _ => &config.directory,
    };
    let digest = Sha256::digest(project.as_os_str().as_encoded_bytes());
    let name = hexadecimal(&digest);
    let choices = config.cache_directory.join("choices");
    choices.join(format!("{name}.json"))
}
