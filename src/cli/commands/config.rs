//! `config`: settings in the files in which pnpm keeps them.
//!
//! Registries and credentials are lines of `.npmrc` (a project's) and `auth.ini` (the user's), all
//! else is in `pnpm-workspace.yaml` and in `config.yaml`.

use std::fs;
use std::io::ErrorKind;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use serde_json::{Map, Value};

use crate::cli::arguments::{
    ConfigArguments, ConfigCommand, ConfigFlags, ConfigLocation, GlobalArguments,
};
use crate::cli::context::{Context, generic};
use crate::cli::failure::Failure;
use crate::cli::print;
use crate::install::config::{
    Environment, Options, YamlFile, camel_case, in_effect, is_setting_of_users, said_of_settings,
    user_directory,
};
use crate::install::settings_file::{SettingsFile, WORKSPACE_FILE_NAME};
use crate::install::workspace::{find_project_directory, find_workspace_root};
use crate::limits::CONFIG_BYTES_MAX;
use crate::name::escaped;
use crate::sys;

/// The setting whose values are paths of the workspace.
const PATCHES: &str = "patchedDependencies";

/// Keys of lines in `.npmrc` and `auth.ini`, apart from those that begin with `@` or `//`.
const LINE_KEYS: [&str; 13] = [
    "registry",
    "_auth",
    "_authToken",
    "_password",
    "username",
    "email",
    "tokenHelper",
    "ca",
    "cafile",
    "cert",
    "certfile",
    "key",
    "keyfile",
];

/// Parts of keys whose values nobody should see over somebody's shoulder.
const SECRETS: [&str; 6] = [
    "_auth",
    "_authToken",
    "_password",
    "username",
    "tokenHelper",
    "key",
];

/// Settings that are numbers.
const NUMBERS: [&str; 16] = [
    "buildTimeoutSeconds",
    "childConcurrency",
    "dlxCacheMaxAge",
    "fetchMinSpeedKiBps",
    "fetchRetries",
    "fetchRetryFactor",
    "fetchRetryMaxtimeout",
    "fetchRetryMintimeout",
    "fetchTimeout",
    "fetchWarnTimeoutMs",
    "minimumReleaseAge",
    "modulesCacheMaxAge",
    "networkConcurrency",
    "peersSuffixMaxLength",
    "trustPolicyIgnoreAfter",
    "workspaceConcurrency",
];

pub(in crate::cli) fn run(
    global: &GlobalArguments,
    arguments: &ConfigArguments,
) -> Result<(), Failure> {
    let flags = &arguments.flags;
    match &arguments.command {
        ConfigCommand::Set { key, value } => set(global, key.as_deref(), value.as_deref(), flags),
        ConfigCommand::Get { key } => get(global, key.as_deref(), flags),
        ConfigCommand::Delete { key } => {
            let key = required(key.as_deref(), "delete")?;
            Places::of(global)?.change(key, None, flags)
        }
        ConfigCommand::List => get(global, None, flags),
    }
}

/// `config set`, also as `set`.
pub(in crate::cli) fn set(
    global: &GlobalArguments,
    key: Option<&str>,
    value: Option<&str>,
    flags: &ConfigFlags,
) -> Result<(), Failure> {
    let key = required(key, "set")?;
    let (key, text) = match (value, key.split_once('=')) {
        (Some(value), _) => (key, value),
        (None, Some((key, value))) => (key, value),
        (None, None) => (key, ""),
    };
    let value = match flags.json {
        true => serde_json::from_str(text).map_err(|error| {
            Failure::new(
                "ERR_PNPM_CONFIG_INVALID_JSON",
                format!("Invalid JSON value: {error}"),
                None,
            )
        })?,
        false => Value::from(text),
    };
    Places::of(global)?.change(key, Some(value), flags)
}

/// `config get` and `config list`, also as `get`.
pub(in crate::cli) fn get(
    global: &GlobalArguments,
    key: Option<&str>,
    flags: &ConfigFlags,
) -> Result<(), Failure> {
    let context = Context::load_anywhere(global, Options::default())?;
    let said = generic(&global.config)?;
    let record = Places::of(global)?.record(&context, flags.location, &said)?;
    let Some(key) = key.filter(|key| !key.is_empty()) else {
        let shown = record.into_iter().map(|(key, value)| {
            let is_secret = is_secret(&key);
            (
                key,
                if is_secret {
                    Value::from("(protected)")
                } else {
                    value
                },
            )
        });
        return show(&Value::Object(shown.collect()), true);
    };
    let found = record.get(key).or_else(|| record.get(&camel_case(key)));
    let value = match found {
        Some(value) => value.clone(),
        None => nested(&record, key),
    };
    show(&value, flags.json)
}

fn show(value: &Value, as_json: bool) -> Result<(), Failure> {
    let text = match value {
        Value::Array(_) | Value::Object(_) => serde_json::to_string_pretty(value),
        _ if as_json && !value.is_null() => serde_json::to_string(value),
        Value::String(text) => Ok(escaped(text)),
        Value::Null if as_json => Ok("null".to_owned()),
        Value::Null => Ok("undefined".to_owned()),
        other => Ok(other.to_string()),
    };
    print(&format!("{}\n", text.unwrap_or_default()));
    Ok(())
}

/// The value at a path as `overrides.name` or `overrides["@scope/name"]`.
fn nested(record: &Map<String, Value>, path: &str) -> Value {
    let mut value = Value::Object(record.clone());
    let mut rest = path;
    let mut is_first = true;
    while !rest.is_empty() {
        let (key, after) = match rest.strip_prefix('[') {
            Some(inside) => match inside.split_once(']') {
                Some((key, after)) => (key.trim_matches(['"', '\'']), after),
                None => return Value::Null,
            },
            None => {
                let end = rest.find(['.', '[']).unwrap_or(rest.len());
                (&rest[..end], &rest[end..])
            }
        };
        let camel = camel_case(key);
        let key = if is_first { &*camel } else { key };
        value = match &mut value {
            Value::Array(list) => {
                let at = key.parse::<usize>().ok();
                at.and_then(|at| list.get_mut(at)).map(Value::take)
            }
            other => other.get_mut(key).map(Value::take),
        }
        .unwrap_or_default();
        rest = after.strip_prefix('.').unwrap_or(after);
        is_first = false;
    }
    value
}

fn required<'k>(key: Option<&'k str>, command: &str) -> Result<&'k str, Failure> {
    key.filter(|key| !key.is_empty()).ok_or_else(|| {
        Failure::new(
            "ERR_PNPM_CONFIG_NO_PARAMS",
            format!("`pacquet config {command}` requires the config key"),
            Some("name a setting, as in `pacquet config set nodeLinker hoisted`"),
        )
    })
}

fn is_line_key(key: &str) -> bool {
    key.starts_with('@') || key.starts_with("//") || LINE_KEYS.contains(&key)
}

fn is_secret(key: &str) -> bool {
    let last = key.rsplit(':').next().unwrap_or(key);
    is_line_key(key) && SECRETS.contains(&last)
}

/// Where settings are.
struct Places {
    /// The project.
    directory: PathBuf,
    /// Where its `pnpm-workspace.yaml` is, or would be.
    root: PathBuf,
    /// The user's; `None`: there is no home.
    user: Option<PathBuf>,
    home: Option<PathBuf>,
}

impl Places {
    /// Without loading what is there: a setting that is wrong can be put right.
    fn of(global: &GlobalArguments) -> Result<Self, Failure> {
        let current = std::env::current_dir().map_err(|cause| {
            let sentence = "The current directory cannot be read";
            Failure::io("ERR_PACQUET_DIRECTORY", sentence, cause)
        })?;
        let environment = Environment::of_process(current.clone());
        let directory = match &global.dir {
            Some(directory) => current.join(directory),
            None => find_project_directory(&current).to_owned(),
        };
        Ok(Self {
            root: find_workspace_root(&directory).unwrap_or_else(|| directory.clone()),
            user: user_directory(&environment),
            home: environment.home().map(Path::to_owned),
            directory,
        })
    }

    /// Sets a setting, or removes it.
    fn change(&self, key: &str, value: Option<Value>, flags: &ConfigFlags) -> Result<(), Failure> {
        let is_global = flags.location != Some(ConfigLocation::Project);
        if is_line_key(key) {
            let text = match value {
                None | Some(Value::Null) => None,
                Some(Value::String(text)) => Some(text),
                Some(other) => {
                    let key = escaped(key);
                    return Err(Failure::new(
                        "ERR_PNPM_CONFIG_SET_AUTH_NON_STRING",
                        format!("Cannot set {key} to a non-string value ({other})"),
                        None,
                    ));
                }
            };
            let path = match is_global {
                true => self.user()?.join("auth.ini"),
                false => self.directory.join(".npmrc"),
            };
            return change_line(&path, key, text.as_deref());
        }
        let setting = simple(key)?;
        let path = match is_global {
            true => {
                if !is_setting_of_users(&setting) {
                    return Err(Failure::new(
                        "ERR_PNPM_CONFIG_SET_UNSUPPORTED_YAML_CONFIG_KEY",
                        format!(
                            "The key \"{}\" isn't supported by the global config.yaml file",
                            escaped(key)
                        ),
                        Some("set it in the project, with --location=project"),
                    ));
                }
                self.user()?.join("config.yaml")
            }
            false => self.root.join(WORKSPACE_FILE_NAME),
        };
        let mut file = SettingsFile::read(&path)?;
        match value.map(|value| cast(&setting, value)) {
            None | Some(Value::Null) => file.remove(&[&setting])?,
            Some(value) => file.set(&[&setting], &value)?,
        };
        Ok(file.write()?)
    }

    fn user(&self) -> Result<&Path, Failure> {
        self.user.as_deref().ok_or_else(|| {
            Failure::new(
                "ERR_PNPM_CONFIG_NO_GLOBAL_DIR",
                "The global config directory could not be determined",
                Some("set HOME or XDG_CONFIG_HOME"),
            )
        })
    }

    /// Everything that somebody set, and the registry that counts; sorted.
    fn record(
        &self,
        context: &Context,
        location: Option<ConfigLocation>,
        flags: &[(String, String)],
    ) -> Result<Map<String, Value>, Failure> {
        let mut record = Map::new();
        if let Some(user) = &self.user {
            let settings = settings_of(&user.join("config.yaml"))?;
            record.extend(in_effect(settings, YamlFile::Global, &context.environment));
        }
        let mut files = Vec::new();
        files.extend(self.home.as_ref().map(|home| home.join(".npmrc")));
        files.extend(self.user.as_ref().map(|user| user.join("auth.ini")));
        if location != Some(ConfigLocation::Global) {
            let settings = settings_of(&self.root.join(WORKSPACE_FILE_NAME))?;
            let settings = in_effect(settings, YamlFile::Workspace, &context.environment);
            record.extend(self.with_paths(settings));
            files.push(self.root.join(".npmrc"));
            files.push(self.directory.join(".npmrc"));
        }
        files.dedup();
        for path in files {
            let text = read(&path)?.unwrap_or_default();
            let pairs = text.lines().filter_map(pair);
            let pairs = pairs.filter(|(key, _)| is_line_key(key));
            record.extend(pairs.map(|(key, value)| (key.to_owned(), Value::from(value))));
        }
        record.extend(said_of_settings(&context.environment, flags));
        let registries = &context.config.registries;
        if let Ok(registry) = registries.default_registry() {
            record.insert("registry".to_owned(), Value::from(registry.as_str()));
        }
        for (scope, registry) in registries.scopes() {
            record.insert(format!("{scope}:registry"), Value::from(registry.as_str()));
        }
        let agent = &*context.config.network.user_agent;
        record
            .entry("userAgent")
            .or_insert_with(|| Value::from(agent));
        record.sort_keys();
        Ok(record)
    }

    /// The settings of a workspace, with the paths of patches as they are looked for.
    fn with_paths(&self, mut settings: Map<String, Value>) -> Map<String, Value> {
        let patches = settings.get_mut(PATCHES).and_then(Value::as_object_mut);
        for path in patches.into_iter().flat_map(|patches| patches.values_mut()) {
            if let Some(text) = path.as_str() {
                *path = Value::from(self.root.join(text).display().to_string());
            }
        }
        settings
    }
}

fn settings_of(path: &Path) -> Result<Map<String, Value>, Failure> {
    let value = SettingsFile::read(path)?.get(&[])?;
    Ok(match value {
        Some(Value::Object(map)) => map,
        _ => Map::new(),
    })
}

/// The setting's name in camel case. Nested ones are not set one by one.
fn simple(key: &str) -> Result<String, Failure> {
    if key.contains(['.', '[']) {
        return Err(Failure::new(
            "ERR_PNPM_CONFIG_SET_DEEP_KEY",
            "Setting deep property path is not supported",
            Some("set the whole map, with --json"),
        ));
    }
    let name = camel_case(key);
    match name.bytes().all(|byte| byte.is_ascii_alphanumeric()) {
        true => Ok(name),
        false => Err(Failure::new(
            "ERR_PNPM_CONFIG_SET_UNSUPPORTED_WORKSPACE_KEY",
            format!("The key \"{}\" is the name of no setting", escaped(key)),
            None,
        )),
    }
}

/// What a text means for a setting.
fn cast(setting: &str, value: Value) -> Value {
    let Value::String(text) = &value else {
        return value;
    };
    let text = text.trim();
    match text {
        "true" => Value::Bool(true),
        "false" => Value::Bool(false),
        "null" | "undefined" => Value::Null,
        _ if NUMBERS.contains(&setting) => text
            .parse::<i64>()
            .map_or_else(|_| Value::from(text), Value::from),
        _ => Value::from(text),
    }
}

/// Key and value of a line of an `.npmrc`.
fn pair(line: &str) -> Option<(&str, &str)> {
    let line = line.trim();
    if line.starts_with(['#', ';', '[']) {
        return None;
    }
    let (key, value) = line.split_once('=')?;
    Some((key.trim(), value.trim()))
}

fn read(path: &Path) -> Result<Option<String>, Failure> {
    match sys::file::read_text(path, CONFIG_BYTES_MAX) {
        Ok(text) => Ok(Some(text)),
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
        Err(error) => {
            let sentence = format!("Cannot read {}", path.display());
            Err(Failure::io("ERR_PACQUET_READ", &sentence, error))
        }
    }
}

/// Sets or removes one line; all others stay. The file is for its owner alone where it is new.
fn change_line(path: &Path, key: &str, value: Option<&str>) -> Result<(), Failure> {
    if [key, value.unwrap_or_default()]
        .iter()
        .any(|text| text.contains(char::is_control))
    {
        // It may be a secret: it is not shown.
        return Err(Failure::new(
            "ERR_PNPM_CLI_CONFIG_SET_INVALID_CONTROL_CHARACTER",
            "Cannot write a value containing a control character to an INI config file",
            None,
        ));
    }
    let before = read(path)?;
    let mut lines: Vec<String> = before
        .as_deref()
        .unwrap_or_default()
        .lines()
        .map(str::to_owned)
        .collect();
    let first = lines
        .iter()
        .position(|line| pair(line).is_some_and(|(name, _)| name == key));
    if value.is_none() && first.is_none() {
        return Ok(());
    }
    let new = value.map(|value| format!("{key}={value}"));
    lines.retain(|line| pair(line).is_none_or(|(name, _)| name != key));
    if let Some(new) = new {
        lines.insert(first.unwrap_or(lines.len()).min(lines.len()), new);
    }
    let failed = |cause| {
        let sentence = format!("Cannot write {}", path.display());
        Failure::io("ERR_PACQUET_WRITE", &sentence, cause)
    };
    let parent = path.parent().unwrap_or(Path::new("/"));
    sys::directory::make(parent).map_err(failed)?;
    let text: String = lines.iter().map(|line| format!("{line}\n")).collect();
    let mode = match before {
        Some(_) => Some(fs::metadata(path).map_err(failed)?.permissions().mode() & 0o777),
        None => None,
    };
    sys::file::replace(path, text.as_bytes(), mode).map_err(failed)
}
