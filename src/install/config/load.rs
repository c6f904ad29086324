//! Finding and reading the sources.

use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};

use indexmap::IndexMap;

use super::credentials::{Credential, Credentials, HostSettings, TlsIdentity, prefix_of};
use super::environment::Environment;
use super::error::{ConfigError, ConfigWarning};
use super::npmrc::{Npmrc, Trust};
use super::options::{Options, camel_case};
use super::registries::registry_url;
use super::resolved::{Config, Layers};
use super::value::{Origin, Written};
use super::yaml::YamlFile;
use super::{npmrc, yaml};
use crate::install::workspace::find_workspace_root;
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
        let workspace_root = match overrides.ignore_workspace {
            true => None,
            false => match environment.variable("NPM_CONFIG_WORKSPACE_DIR") {
                Some(root) => Some(directory.join(root)),
                None => find_workspace_root(directory),
            },
        };
        let root = workspace_root.as_deref().unwrap_or(directory);
        let cli = cli_options(overrides, environment, &mut warnings)?;
        let variables = variable_options(environment)?;
        let high = cli.or(variables);
        let config_directory = environment
            .xdg_directory("XDG_CONFIG_HOME", ".config")
            .map(|dir| dir.join("pnpm"));
        let global = match &config_directory {
            Some(dir) => read_yaml(
                &dir.join("config.yaml"),
                YamlFile::Global,
                environment,
                &mut warnings,
            )?,
            None => Options::default(),
        };
        let workspace = read_yaml(
            &root.join("pnpm-workspace.yaml"),
            YamlFile::Workspace,
            environment,
            &mut warnings,
        )?;
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
        let high = high.or(workspace);
        let (mut layers, npmrc_options) = combine_npmrcs(npmrcs, &mut warnings)?;
        layers.options = high.or(npmrc_options).or(global);
        layers.warnings = warnings;
        layers.workspace_root = workspace_root;
        layers.pnpm_store = pnpm_store;
        layers.resolve(environment, directory)
    }
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
        let key = camel_case(key);
        let known = generic.set(&key, Written::Text(text), &origin)?;
        if !known && !super::options::is_of_pnpm(&key) {
            let message = format!("{} is an unknown setting", crate::name::escaped(&name));
            warnings.push(ConfigWarning {
                code: "ERR_PACQUET_UNKNOWN_SETTING",
                message,
            });
        }
    }
    Ok(overrides.options.clone().or(generic))
}

/// `PACQUET_*` over `PNPM_CONFIG_*` over `pnpm_config_*`.
fn variable_options(environment: &Environment) -> Result<Options, ConfigError> {
    let mut combined = Options::default();
    for prefix in ["PACQUET_", "PNPM_CONFIG_", "pnpm_config_"] {
        let mut layer = Options::default();
        for (name, value) in environment.variables() {
            let Some(key) = name.strip_prefix(prefix) else {
                continue;
            };
            if value.is_empty() || key.is_empty() {
                continue;
            }
            let origin = Origin {
                name,
                base: environment.current_directory(),
                home: environment.home(),
            };
            // Unknown ones belong to other programs or to the command line itself.
            layer.set(&camel_case(key), Written::Text(value), &origin)?;
        }
        combined = combined.or(layer);
    }
    Ok(combined)
}

fn read_yaml(
    path: &Path,
    file: YamlFile,
    environment: &Environment,
    warnings: &mut Vec<ConfigWarning>,
) -> Result<Options, ConfigError> {
    match read_text(path)? {
        Some(text) => yaml::read(&text, path, file, environment, warnings),
        None => Ok(Options::default()),
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
            let names = ["NPM_CONFIG_USERCONFIG", "npm_config_userconfig"];
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

/// The layers of `.npmrc` files as one. A credential without a host is bound here to the registry
/// that its own file names.
fn combine_npmrcs(
    files: Vec<Npmrc>,
    warnings: &mut Vec<ConfigWarning>,
) -> Result<(Layers, Options), ConfigError> {
    let mut options = Options::default();
    let mut scopes = IndexMap::new();
    let mut credentials = Credentials::default();
    for file in files {
        warnings.extend(file.warnings);
        for (prefix, settings) in file.hosts {
            credentials.add(&prefix, settings);
        }
        if let Some(credential) = file.unscoped {
            match file
                .options
                .registry
                .as_ref()
                .and_then(|url| registry_url(url.expose()))
            {
                Some(registry) => add_credential(&mut credentials, &registry, credential),
                None => credentials.add_for_default_registry(credential),
            }
        }
        for (scope, url) in file.scopes {
            scopes.entry(scope).or_insert(url);
        }
        options = options.or(file.options);
    }
    Ok((
        Layers {
            scopes,
            credentials,
            ..Layers::default()
        },
        options,
    ))
}

pub(super) fn add_credential(
    credentials: &mut Credentials,
    registry: &reqwest::Url,
    credential: Credential,
) {
    let settings = HostSettings {
        credential: Some(credential),
        tls: TlsIdentity::default(),
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
