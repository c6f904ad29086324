//! Finding and reading the sources.

use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};

use serde_json::{Map, Value};

use super::credentials::{Credential, Credentials, HostSettings, Secret, prefix_of};
use super::declared::DeclaredAuth;
use super::environment::Environment;
use super::error::{ConfigError, ConfigWarning};
use super::npmrc::{Npmrc, Trust};
use super::options::{FILE_ONLY, Options, camel_case, setting_form};
use super::registries::registry_url;
use super::resolved::{Config, Layers, is_shared};
use super::users::user_directory;
use super::value::{Origin, Written};
use super::yaml::{Settings, YamlFile};
use super::{npmrc, yaml};
use crate::install::workspace::{find_workspace_root, is_member};
use crate::limits::CONFIG_BYTES_MAX;

/// What the command line says.
#[derive(Debug, Clone, Default)]
pub struct CliOverrides {
    /// From flags of their own.
    pub options: Options,
    /// From `--config.<key>=<value>`, in order; kebab or camel case.
    pub generic: Vec<(String, String)>,
    /// `--ignore-workspace`: behave as if there were no `pnpm-workspace.yaml`.
    pub ignore_workspace: bool,
    /// The `pnpm-workspace.yaml` of a root as it will be; without a text it will be gone.
    pub workspace_file: Option<(PathBuf, Option<String>)>,
    /// What the hook `updateConfig` says, by the names of settings; it goes before everything.
    pub updated: Option<Map<String, Value>>,
}

impl Config {
    /// Reads every source for the project in `directory` (absolute; `--dir` or the current
    /// directory).
    ///
    /// # Errors
    /// A source cannot be read, or a setting cannot be used.
    pub fn load(
        environment: &Environment,
        overrides: &CliOverrides,
        directory: &Path,
    ) -> Result<Self, ConfigError> {
        let mut warnings = Vec::new();
        let workspace_root = workspace_root(overrides, environment, directory);
        let root = workspace_root.as_deref().unwrap_or(directory);
        let cli = cli_options(overrides, environment, &mut warnings)?;
        let variables = variable_options(environment)?;
        let updated = updated_options(overrides, environment, root)?;
        let high = updated.or(cli).or(variables);
        let config_directory = user_directory(environment);
        let global = match &config_directory {
            Some(dir) => read_yaml(
                &dir.join("config.yaml"),
                YamlFile::Global,
                environment,
                &mut warnings,
            )?,
            None => Settings::default(),
        };
        let path = root.join("pnpm-workspace.yaml");
        let text = match &overrides.workspace_file {
            Some((drafted, text)) if drafted == root => text.clone(),
            _ => read_text(&path)?,
        };
        let file = YamlFile::Workspace;
        let workspace = match text {
            Some(text) => yaml::read(&text, &path, file, environment, &mut warnings)?.options,
            None => Options::default(),
        };
        let tokens = Tokens {
            of_variable: auth_variable(environment, &mut warnings)?,
            of_user: global.auth,
        };
        let global = global.options;
        let user_file = high
            .npmrc_auth_file
            .clone()
            .or_else(|| global.npmrc_auth_file.clone());
        let npmrcs = read_npmrcs(
            environment,
            directory,
            root,
            user_file,
            config_directory.as_deref(),
        )?;
        let of_pnpm = ["PNPM_CONFIG_STORE_DIR", "pnpm_config_store_dir"];
        let pnpm_store = environment
            .first_variable(&of_pnpm)
            .map(|path| environment.current_directory().join(path))
            .or_else(|| workspace.store_dir.clone())
            .or_else(|| global.store_dir.clone());
        let chosen = registry_option(tokens.of_variable.default_registry());
        let is_workspace = workspace_root.is_some();
        let of_project = of_project(&high, &workspace, (directory, is_workspace), &mut warnings);
        let high = high.or(chosen).or(of_project).or(workspace);
        let last = tokens.of_user.last_registry();
        let last = registry_option(last.or(tokens.of_variable.last_registry()));
        let flat = flat_settings(overrides, environment)?;
        let (mut layers, npmrc_options) = combine(flat, tokens, npmrcs, &mut warnings)?;
        layers.options = high.or(global).or(npmrc_options).or(last);
        layers.warnings = warnings;
        layers.is_updated = overrides.updated.is_some();
        layers.workspace_root = workspace_root;
        layers.pnpm_store = pnpm_store;
        let config = layers.resolve(environment, directory)?;
        Ok(with_flags(config, overrides))
    }
}

/// What `packageConfigs` has for the project in `directory`.
fn of_project(
    high: &Options,
    workspace: &Options,
    (directory, is_workspace): (&Path, bool),
    warnings: &mut Vec<ConfigWarning>,
) -> Options {
    let Some(configs) = &workspace.package_configs else {
        return Options::default();
    };
    if is_workspace && !is_shared(&high.clone().or(workspace.clone())) {
        return configs.of_project(directory);
    }
    warnings.extend(configs.ignored());
    Options::default()
}

/// The root of the workspace, where its file may be there later or no longer.
fn workspace_root(
    overrides: &CliOverrides,
    environment: &Environment,
    directory: &Path,
) -> Option<PathBuf> {
    if overrides.ignore_workspace {
        return None;
    }
    if let Some(root) = environment.variable("NPM_CONFIG_WORKSPACE_DIR") {
        return Some(directory.join(root));
    }
    let found = find_workspace_root(directory);
    let found = match &overrides.workspace_file {
        Some((root, Some(_))) if found.is_none() && directory.starts_with(root) => {
            Some(root.clone())
        }
        Some((root, None)) if found.as_ref() == Some(root) => None,
        _ => found,
    };
    found.filter(|root| !is_stranger(overrides, environment, root, directory))
}

/// Whether `directory` has a project that is none of the workspace around it. What is wrong with
/// the workspace's file is told by who reads it for its settings.
fn is_stranger(
    overrides: &CliOverrides,
    environment: &Environment,
    root: &Path,
    directory: &Path,
) -> bool {
    if root == directory || !directory.join("package.json").is_file() {
        return false;
    }
    let path = root.join("pnpm-workspace.yaml");
    let text = match &overrides.workspace_file {
        Some((drafted, text)) if drafted == root => text.clone(),
        _ => read_text(&path).ok().flatten(),
    };
    let read = |text: String| {
        let (file, mut warnings) = (YamlFile::Workspace, Vec::new());
        yaml::read(&text, &path, file, environment, &mut warnings).ok()
    };
    let Some(settings) = text.and_then(read) else {
        return false;
    };
    let globs = overrides.options.packages.clone();
    let globs = globs.or(settings.options.packages).unwrap_or_default();
    is_member(root, &globs, directory).is_ok_and(|is_member| !is_member)
}

/// What a hook says. Much of what it is given and gives back are no settings of this program.
fn updated_options(
    overrides: &CliOverrides,
    environment: &Environment,
    root: &Path,
) -> Result<Options, ConfigError> {
    let mut options = Options::default();
    let origin = Origin {
        name: "the updateConfig hook",
        base: root,
        home: environment.home(),
    };
    for (key, value) in overrides.updated.iter().flatten() {
        options.set(key, Written::Typed(value), &origin)?;
    }
    Ok(options)
}

/// Lists of which pnpm has one element a flag.
const REPEATED: [&str; 2] = ["hoistPattern", "publicHoistPattern"];

/// What flags say of `setting`, each time; one that is a JSON list says several things.
fn texts_of(overrides: &CliOverrides, setting: &str) -> Vec<String> {
    let named = overrides.generic.iter();
    let named = named.filter(|(key, _)| camel_case(key) == setting);
    let texts = named.flat_map(|(_, text)| {
        let list = serde_json::from_str::<Vec<String>>(text);
        list.unwrap_or_else(|_| vec![text.clone()])
    });
    texts.collect()
}

fn cli_options(
    overrides: &CliOverrides,
    environment: &Environment,
    warnings: &mut Vec<ConfigWarning>,
) -> Result<Options, ConfigError> {
    let mut generic = Options::default();
    for (key, text) in &overrides.generic {
        let name = format!("--config.{key}");
        let origin = Origin {
            name: &name,
            base: environment.current_directory(),
            home: environment.home(),
        };
        let key = match npmrc::is_of_registry(key) {
            true => key.clone(),
            false => camel_case(key),
        };
        let all = Value::from(texts_of(overrides, &key));
        let written = match REPEATED.contains(&&*key) {
            true => Written::Typed(&all),
            false => Written::Text(text),
        };
        let known = npmrc::is_of_registry(&key) || generic.set(&key, written, &origin)?;
        if !known && !super::options::is_of_pnpm(&key) {
            let message = format!("{} is an unknown setting", crate::name::escaped(&name));
            warnings.push(ConfigWarning {
                code: "ERR_PACQUET_UNKNOWN_SETTING",
                message,
            });
        }
    }
    // What trusts a lockfile for one command is not what state files record of the settings.
    let flags = Options {
        trust_lockfile: None,
        ..overrides.options.clone()
    };
    Ok(flags.or(generic))
}

/// With what only a flag says.
fn with_flags(mut config: Config, overrides: &CliOverrides) -> Config {
    if let Some(is_trusted) = overrides.options.trust_lockfile {
        config.lockfile.is_trusted = is_trusted;
    }
    config
}

/// Prefixes of the variables that say something, those that win first.
const VARIABLE_PREFIXES: [&str; 3] = ["PACQUET_", "PNPM_CONFIG_", "pnpm_config_"];

/// The setting (in camel case) that the variable `name` is about, and whether it counts with this
/// value.
fn setting_of_variable(name: &str, prefix: &str, value: &str) -> Option<String> {
    let key = camel_case(name.strip_prefix(prefix)?);
    // Without a prefix is a choice; every other variable without a value is not set.
    let is_set = !value.is_empty() || key == "savePrefix";
    (!key.is_empty() && is_set && !FILE_ONLY.contains(&&*key)).then_some(key)
}

/// What variables and `--config.KEY=VALUE` (`flags`) say of settings, by their names.
pub fn said_of_settings(
    environment: &Environment,
    flags: &[(String, String)],
) -> Map<String, Value> {
    let mut out = Map::new();
    let mut put = |key: String, text: &str| {
        if setting_form(&key).is_some() {
            let value = serde_json::from_str(text).unwrap_or_else(|_| Value::from(text));
            out.insert(key, value);
        }
    };
    for prefix in VARIABLE_PREFIXES.iter().rev() {
        for (name, value) in environment.variables() {
            if let Some(key) = setting_of_variable(name, prefix, value) {
                put(key, value);
            }
        }
    }
    for (key, text) in flags {
        put(camel_case(key), text);
    }
    out
}

/// What variables say of settings.
fn variable_options(environment: &Environment) -> Result<Options, ConfigError> {
    let mut combined = Options::default();
    for prefix in VARIABLE_PREFIXES {
        let mut layer = Options::default();
        for (name, value) in environment.variables() {
            let Some(key) = setting_of_variable(name, prefix, value) else {
                continue;
            };
            let origin = Origin {
                name,
                base: environment.current_directory(),
                home: environment.home(),
            };
            // Unknown ones belong to other programs or to the command line itself.
            layer.set(&key, Written::Text(value), &origin)?;
        }
        combined = combined.or(layer);
    }
    Ok(combined)
}

/// `_auth` as a map, which only the user's own places can have.
struct Tokens {
    of_variable: DeclaredAuth,
    of_user: DeclaredAuth,
}

fn auth_variable(
    environment: &Environment,
    warnings: &mut Vec<ConfigWarning>,
) -> Result<DeclaredAuth, ConfigError> {
    let names = ["PACQUET__AUTH", "PNPM_CONFIG__AUTH", "pnpm_config__auth"];
    let found = names
        .iter()
        .find_map(|name| Some((name, environment.variable(name)?)));
    let Some((name, text)) = found else {
        return Ok(DeclaredAuth::default());
    };
    let value = serde_json::from_str(text).map_err(|error| ConfigError::InvalidAuth {
        origin: (*name).to_owned(),
        reason: format!(
            "it is no JSON at line {} column {}",
            error.line(),
            error.column()
        ),
    })?;
    DeclaredAuth::read(&value, name, environment, warnings)
}

fn registry_option(registry: Option<&reqwest::Url>) -> Options {
    Options {
        registry: registry.map(|url| Secret::new(url.as_str())),
        ..Options::default()
    }
}

/// What has the form of an `.npmrc` entry and stands elsewhere: `--config.//host/:_authToken=x` and
/// `--config.@scope:registry=…`; `pnpm_config_//host/:_authToken` and with npm's prefix.
fn flat_settings(
    overrides: &CliOverrides,
    environment: &Environment,
) -> Result<[Npmrc; 3], ConfigError> {
    let of_flags = overrides.generic.iter();
    let of_flags = of_flags
        .filter(|(key, _)| npmrc::is_of_registry(key))
        .cloned();
    let place = environment.current_directory().join("--config");
    let flags = npmrc::read_entries(of_flags, &place, Trust::User, environment)?;
    let of_variables = |prefix: &'static str| {
        let entries = environment.variables().filter_map(move |(name, value)| {
            let (start, key) = name.split_at_checked(prefix.len())?;
            let is_ours = start.eq_ignore_ascii_case(prefix) && key.starts_with("//");
            (is_ours && !value.is_empty()).then(|| (key.to_owned(), value.to_owned()))
        });
        let place = environment.current_directory().join(format!("{prefix}*"));
        npmrc::read_entries(entries, &place, Trust::Variable, environment)
    };
    Ok([
        flags,
        of_variables("pnpm_config_")?,
        of_variables("npm_config_")?,
    ])
}

fn read_yaml(
    path: &Path,
    file: YamlFile,
    environment: &Environment,
    warnings: &mut Vec<ConfigWarning>,
) -> Result<Settings, ConfigError> {
    match read_text(path)? {
        Some(text) => yaml::read(&text, path, file, environment, warnings),
        None => Ok(Settings::default()),
    }
}

/// The `.npmrc` files, highest first.
fn read_npmrcs(
    environment: &Environment,
    directory: &Path,
    root: &Path,
    user_file: Option<PathBuf>,
    config_directory: Option<&Path>,
) -> Result<Vec<Npmrc>, ConfigError> {
    let user_file = user_file
        .or_else(|| {
            let names = [
                "PNPM_CONFIG_USERCONFIG",
                "pnpm_config_userconfig",
                "NPM_CONFIG_USERCONFIG",
                "npm_config_userconfig",
            ];
            environment.first_variable(&names).map(PathBuf::from)
        })
        .or_else(|| environment.home().map(|home| home.join(".npmrc")));
    let mut files = vec![(directory.join(".npmrc"), Trust::Project)];
    if root != directory {
        files.push((root.join(".npmrc"), Trust::Project));
    }
    // In the home directory the two are one file, and it is the user's.
    files.retain(|(path, _)| Some(path) != user_file.as_ref());
    files.extend(config_directory.map(|dir| (dir.join("auth.ini"), Trust::User)));
    files.extend(user_file.map(|path| (path, Trust::User)));
    let mut out = Vec::new();
    for (path, trust) in files {
        if let Some(text) = read_text(&path)? {
            out.push(npmrc::read(&text, &path, trust, environment)?);
        }
    }
    Ok(out)
}

/// Everything that has the form of `.npmrc` files, and tokens, as one. A credential or a
/// certificate without a host is bound here to the registry that its own file names.
fn combine(
    flat: [Npmrc; 3],
    mut tokens: Tokens,
    files: Vec<Npmrc>,
    warnings: &mut Vec<ConfigWarning>,
) -> Result<(Layers, Options), ConfigError> {
    let [flags, of_pnpm, of_npm] = flat;
    let mut layers = Layers::default();
    let credentials = &mut layers.credentials;
    layers.scopes_over = flags.scopes;
    for (prefix, settings) in flags.hosts {
        credentials.add(&prefix, settings);
    }
    tokens.of_variable.add_to(credentials);
    for (scope, url) in tokens.of_variable.scopes {
        layers.scopes_over.entry(scope).or_insert(url);
    }
    tokens.of_user.add_to(credentials);
    let mut options = Options::default();
    for mut file in [of_pnpm, of_npm].into_iter().chain(files) {
        warnings.append(&mut file.warnings);
        for (prefix, settings) in std::mem::take(&mut file.hosts) {
            credentials.add(&prefix, settings);
        }
        let named = file.options.registry.as_ref();
        let registry = named.and_then(|url| registry_url(url.expose()));
        if let Some(credential) = file.unscoped.take() {
            match &registry {
                Some(registry) => add_credential(credentials, registry, credential),
                None => credentials.add_for_default_registry(credential),
            }
        }
        if let Some(registry) = &registry {
            let settings = HostSettings {
                tls: file.take_identity(),
                ..HostSettings::default()
            };
            credentials.add(&prefix_of(registry), settings);
        }
        for (scope, url) in file.scopes {
            layers.scopes.entry(scope).or_insert(url);
        }
        options = options.or(file.options);
    }
    for (scope, url) in tokens.of_user.scopes {
        layers.scopes.entry(scope).or_insert(url);
    }
    Ok((layers, options))
}

fn add_credential(credentials: &mut Credentials, registry: &reqwest::Url, credential: Credential) {
    let settings = HostSettings {
        credential: Some(credential),
        ..HostSettings::default()
    };
    credentials.add(&prefix_of(registry), settings);
}

/// The text of a configuration file, or `None` where there is none.
fn read_text(path: &Path) -> Result<Option<String>, ConfigError> {
    let failed = |source| ConfigError::Read {
        path: path.to_path_buf(),
        source,
    };
    let file = match File::open(path) {
        Ok(file) => file,
        Err(error) if is_absent(&error) => return Ok(None),
        Err(error) => return Err(failed(error)),
    };
    let mut bytes = Vec::new();
    file.take(CONFIG_BYTES_MAX + 1)
        .read_to_end(&mut bytes)
        .map_err(failed)?;
    if bytes.len() as u64 > CONFIG_BYTES_MAX {
        let path = path.to_path_buf();
        return Err(ConfigError::TooLarge {
            path,
            limit: CONFIG_BYTES_MAX,
        });
    }
    String::from_utf8(bytes)
        .map(Some)
        .map_err(|_| ConfigError::Encoding {
            path: path.to_path_buf(),
        })
}

fn is_absent(error: &std::io::Error) -> bool {
    matches!(
        error.kind(),
        std::io::ErrorKind::NotFound | std::io::ErrorKind::NotADirectory
    )
}
