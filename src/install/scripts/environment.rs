//! The environment of a script: what npm's and pnpm's scripts may rely on.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::{Map, Value};

use super::manifest::ScriptManifest;
use crate::install::config::{Config, Environment, PrependNodePath, ScriptConfig};

/// Fields of a manifest that scripts see as variables.
const SEEN_FIELDS: [&str; 5] = ["name", "version", "config", "engines", "bin"];

/// Deepest value of a manifest that becomes a variable.
const DEPTH_MAX: usize = 16;

/// Names that are set anew for every script.
const SET_ANEW: [&str; 3] = ["NODE", "INIT_CWD", "PNPM_SCRIPT_SRC_DIR"];

/// Where the program of a `node-gyp` is.
const GYP_VARIABLE: &str = "npm_config_node_gyp";

/// What the environment of a child has other than this process has.
///
/// Variables that are not UTF-8 stay as they are, so it is a difference and no whole.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct EnvironmentChange {
    /// Left out.
    pub removed: Vec<String>,
    /// Set.
    pub set: BTreeMap<String, OsString>,
}

impl EnvironmentChange {
    /// Makes the difference for `command`.
    pub fn apply(&self, command: &mut Command) {
        for name in &self.removed {
            command.env_remove(name);
        }
        command.envs(&self.set);
    }

    fn put(&mut self, name: &str, value: impl Into<OsString>) {
        self.set.insert(name.to_owned(), value.into());
    }
}

/// The `node-gyp` that npm brings along.
#[derive(Debug, Clone)]
pub struct NodeGyp {
    /// Of the command, for the end of `PATH`.
    directory: PathBuf,
    /// What the command starts, which it learns from `npm_config_node_gyp` and from nothing else:
    /// without that it starts a Node that does nothing and ends well.
    program: PathBuf,
}

impl NodeGyp {
    /// That of the npm in `PATH`, where there is one that has it.
    pub fn of_npm(environment: &Environment) -> Option<Self> {
        let path = environment.variable("PATH")?;
        let npm = std::env::split_paths(path)
            .map(|directory| directory.join("npm"))
            .find(|candidate| candidate.is_file())?;
        // `<npm>/bin/npm-cli.js`, behind a symlink.
        let modules = npm.canonicalize().ok()?;
        let modules = modules.parent()?.parent()?.join("node_modules");
        let directory = modules.join("@npmcli/run-script/lib/node-gyp-bin");
        let program = modules.join("node-gyp/bin/node-gyp.js");
        let is_whole = directory.join("node-gyp").is_file() && program.is_file();
        is_whole.then_some(Self { directory, program })
    }
}

/// Where Node finds what was hoisted, for scripts and commands of projects whose own commands are
/// symlinks and so cannot say it themselves.
pub fn node_path_of(config: &Config) -> Option<PathBuf> {
    let modules = config.lockfile_directory.join(&config.modules_directory);
    let is_wanted = config.prefer_symlinked_executables == Some(true);
    is_wanted.then(|| modules.join(".pnpm/node_modules"))
}

/// What the scripts of one command share.
#[derive(Debug, Clone)]
pub struct ScriptPlaces {
    /// The environment of the user.
    pub environment: Environment,
    /// `npm_command`: what the user called.
    pub command: &'static str,
    /// `INIT_CWD`: where the user called it.
    pub called_in: PathBuf,
    /// Directories of commands behind the package's own, strongest first.
    pub bin_directories: Vec<PathBuf>,
    /// This program, for scripts that call the package manager again.
    pub program: Option<PathBuf>,
    /// For scripts of those who have none.
    pub node_gyp: Option<NodeGyp>,
    /// `NODE_PATH`, where something has to be found that is in nobody's `node_modules`.
    pub node_path: Option<PathBuf>,
    /// Whether they run in a mount: `git` looks no further up than that by itself.
    pub is_in_mount: bool,
}

impl ScriptPlaces {
    /// The Node that `PATH` finds.
    fn node(&self) -> Option<PathBuf> {
        let path = self.environment.variable("PATH")?;
        std::env::split_paths(path)
            .map(|directory| directory.join("node"))
            .find(|candidate| candidate.is_file())
    }

    /// What both scripts and the commands of `exec` see.
    fn common(&self, config: &ScriptConfig) -> EnvironmentChange {
        let mut change = EnvironmentChange::default();
        change.put("npm_command", self.command);
        change.put("npm_config_user_agent", &*config.user_agent);
        // A script that calls the package manager again must not start an install.
        change.put("pnpm_config_verify_deps_before_run", "false");
        if let Some(program) = &self.program {
            change.put("npm_execpath", program);
        }
        if let Some(options) = &config.node_options {
            change.put("NODE_OPTIONS", &**options);
        }
        for (name, value) in &config.extra_environment {
            let is_name = !name.is_empty() && !name.contains(['=', '\0']);
            if is_name && !value.contains('\0') {
                change.put(name, &**value);
            }
        }
        change.put("INIT_CWD", &self.called_in);
        if let Some(path) = &self.node_path {
            change.put("NODE_PATH", path);
        }
        if self.is_in_mount {
            change.put("GIT_DISCOVERY_ACROSS_FILESYSTEM", "true");
        }
        if let Some(node) = self.node() {
            change.put("npm_node_execpath", &node);
            change.put("NODE", node);
        }
        change
    }

    /// The environment of a command that is run in `directory`, as by `exec`.
    pub fn of_command(
        &self,
        config: &ScriptConfig,
        directory: &Path,
        package_name: Option<&str>,
    ) -> EnvironmentChange {
        let mut change = self.common(config);
        // A shell sets it by itself, a program that is started without one does not.
        change.put("PWD", directory);
        if let Some(name) = package_name {
            change.put("PNPM_PACKAGE_NAME", name);
        }
        let own = vec![directory.join("node_modules/.bin")];
        change.put("PATH", self.path(own, PrependNodePath::Never, None));
        change
    }

    /// The environment of the script `stage`, which is `script`, of a package.
    pub fn of_script(
        &self,
        config: &ScriptConfig,
        package: &ScriptManifest,
        stage: &str,
        script: &str,
        temporary: Option<&Path>,
    ) -> EnvironmentChange {
        let mut change = self.common(config);
        let names = self.environment.variables().map(|(name, _)| name);
        change.removed = names
            .filter(|name| is_left_out(name))
            .map(str::to_owned)
            .collect();
        let mut fields = BTreeMap::new();
        let seen = package.fields().iter();
        for (name, value) in seen.filter(|(name, _)| SEEN_FIELDS.contains(&name.as_str())) {
            add_field(&mut fields, &format!("npm_package_{name}"), value, 0);
        }
        let directory = package.directory();
        change.set.extend(fields);
        change.put("npm_lifecycle_event", stage);
        change.put("npm_lifecycle_script", script);
        change.put("npm_package_json", directory.join("package.json"));
        change.put("PNPM_SCRIPT_SRC_DIR", directory);
        if let Some(temporary) = temporary {
            change.put("TMPDIR", temporary);
        }
        let own = own_bin_directories(directory);
        let gyp = self.node_gyp.as_ref();
        let gyp_directory = gyp.map(|gyp| &*gyp.directory);
        change.put(
            "PATH",
            self.path(own, config.prepend_node_path, gyp_directory),
        );
        if let Some(gyp) = gyp
            && self.environment.variable(GYP_VARIABLE).is_none()
        {
            change.put(GYP_VARIABLE, &gyp.program);
        }
        change
    }

    /// The directories are not checked for separators: a shell would read the path in the same way.
    fn path(
        &self,
        own: Vec<PathBuf>,
        prepend_node: PrependNodePath,
        last: Option<&Path>,
    ) -> OsString {
        let mut directories = own;
        directories.extend(self.bin_directories.iter().cloned());
        if prepend_node == PrependNodePath::Always {
            let node = self.node();
            directories.extend(node.and_then(|node| Some(node.parent()?.to_owned())));
        }
        let mut path = OsString::new();
        let users = self.environment.variable("PATH").map(OsString::from);
        let last = last.map(OsString::from);
        let all = directories.into_iter().map(PathBuf::into_os_string);
        for part in all.chain(users).chain(last) {
            if !path.is_empty() {
                path.push(":");
            }
            path.push(part);
        }
        path
    }
}

/// Variables of another package's scripts, and credentials.
fn is_left_out(name: &str) -> bool {
    if name.starts_with("npm_package_") || SET_ANEW.contains(&name) {
        return true;
    }
    let rest = ["npm_config_", "pnpm_config_"]
        .iter()
        .find_map(|prefix| name.strip_prefix(prefix));
    rest.is_some_and(|rest| rest.starts_with(['_', '/', '@']) || rest.contains(":_"))
}

/// `node_modules/.bin` of the package and of each directory above it that holds packages.
fn own_bin_directories(directory: &Path) -> Vec<PathBuf> {
    let mut out = vec![directory.join("node_modules/.bin")];
    for above in directory.ancestors() {
        if above.file_name().is_some_and(|name| name == "node_modules") {
            out.push(above.join(".bin"));
        }
    }
    out
}

fn add_field(out: &mut BTreeMap<String, OsString>, name: &str, value: &Value, depth: usize) {
    let text = match value {
        Value::Object(map) => return add_fields(out, name, map, depth),
        Value::Array(list) => {
            let indexed = list.iter().enumerate();
            let map = indexed.map(|(index, value)| (index.to_string(), value.clone()));
            return add_fields(out, name, &map.collect(), depth);
        }
        // A line break would end the variable for many a reader.
        Value::String(text) if text.contains('\n') => value.to_string(),
        Value::String(text) => text.clone(),
        Value::Null => String::new(),
        other => other.to_string(),
    };
    // The system knows no NUL in a variable.
    if !text.contains('\0') {
        out.insert(variable_name(name), text.into());
    }
}

fn add_fields(
    out: &mut BTreeMap<String, OsString>,
    name: &str,
    map: &Map<String, Value>,
    depth: usize,
) {
    if depth == DEPTH_MAX {
        return;
    }
    for (key, value) in map.iter().filter(|(key, _)| !key.starts_with('_')) {
        add_field(out, &format!("{name}_{key}"), value, depth + 1);
    }
}

fn variable_name(name: &str) -> String {
    let fits = |character: char| character.is_ascii_alphanumeric() || character == '_';
    name.chars()
        .map(|character| if fits(character) { character } else { '_' })
        .collect()
}
