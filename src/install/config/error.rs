//! What can be wrong with configuration.

use std::path::PathBuf;

use crate::diagnostic::Diagnostic;
use crate::name::escaped;

/// Why configuration could not be loaded, or why a value that was asked of it cannot be had.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// A file is there and cannot be read.
    #[error("Cannot read the configuration file {}", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// Why.
        #[source]
        source: std::io::Error,
    },
    /// A file is larger than [`crate::limits::CONFIG_BYTES_MAX`].
    #[error("The configuration file {} has more than {limit} bytes", path.display())]
    TooLarge {
        /// The file.
        path: PathBuf,
        /// The limit in bytes.
        limit: u64,
    },
    /// A file is not UTF-8.
    #[error("The configuration file {} is not UTF-8", path.display())]
    Encoding {
        /// The file.
        path: PathBuf,
    },
    /// A file is not YAML, or has a key twice.
    #[error("The configuration file {} is not valid YAML", path.display())]
    Yaml {
        /// The file.
        path: PathBuf,
        /// Why.
        #[source]
        source: serde_norway::Error,
    },
    /// The document is not a map.
    #[error("The configuration file {} must contain a map at its top level", path.display())]
    NotAMap {
        /// The file.
        path: PathBuf,
    },
    /// A value has the wrong type.
    #[error(
        "\"{}\" in {origin} must be {expected}, and is {}",
        escaped(key),
        escaped(found)
    )]
    WrongType {
        /// File, environment variable or flag.
        origin: String,
        /// The setting as it was written.
        key: String,
        /// What it should be, with its article.
        expected: &'static str,
        /// What it is, with its article.
        found: String,
    },
    /// A path begins with `~/` and the home directory is not known.
    #[error("\"{key}\" in {origin} begins with \"~\", and HOME is not set")]
    NoHome {
        /// File, environment variable or flag.
        origin: String,
        /// The setting.
        key: String,
    },
    /// A default path depends on the home directory, which is not known.
    #[error("Cannot choose a default for \"{key}\", because HOME is not set")]
    NoDefault {
        /// The setting.
        key: &'static str,
    },
    /// A value is of the right type and not supported.
    #[error("\"{key}\" is {}, which is not supported: {reason}", escaped(value))]
    Unsupported {
        /// The setting.
        key: &'static str,
        /// Its value.
        value: String,
        /// What would be.
        reason: &'static str,
    },
    /// An address is none.
    #[error("\"{}\" in {origin} is not an http or https URL", escaped(key))]
    InvalidUrl {
        /// File, environment variable or flag.
        origin: String,
        /// The setting.
        key: String,
    },
    /// A file of the repository wants a variable of the user's in a registry's address.
    #[error(
        "\"{}\" in {} contains an environment variable, and the file is part of the project",
        escaped(key),
        path.display()
    )]
    RegistryNotExpanded {
        /// The file.
        path: PathBuf,
        /// The setting.
        key: String,
    },
    /// A credential's value cannot be decoded.
    #[error("\"{}\" in {origin} is not valid base64", escaped(key))]
    InvalidCredential {
        /// The file.
        origin: String,
        /// The setting.
        key: String,
    },
    /// `_auth` has no colon between name and password.
    #[error(
        "\"{}\" in {origin} has no colon between name and password",
        escaped(key)
    )]
    NoSeparator {
        /// The file.
        origin: String,
        /// The setting.
        key: String,
    },
    /// `tokenHelper` is not usable.
    #[error(
        "\"{}\" in {origin} must name a program, by its absolute path or as the PATH has it",
        escaped(key)
    )]
    InvalidTokenHelper {
        /// The file.
        origin: String,
        /// The setting.
        key: String,
    },
    /// `tokenHelper` has a character that a shell would not take as it stands.
    #[error("\"{}\" in {origin} contains the character {character}", escaped(key))]
    TokenHelperCharacter {
        /// The file.
        origin: String,
        /// The setting.
        key: String,
        /// The character.
        character: char,
    },
    /// A file of the repository names a token helper.
    #[error(
        "\"{}\" is in {origin}, and a project may not name a program to run",
        escaped(key)
    )]
    ProjectTokenHelper {
        /// The file.
        origin: String,
        /// The setting.
        key: String,
    },
    /// A token helper ran and gave no token.
    #[error("The token helper {} gave no token: {reason}", escaped(program))]
    TokenHelper {
        /// The program.
        program: String,
        /// What happened.
        reason: String,
    },
    /// `_auth`, as a map of registries, is not understood.
    #[error("\"_auth\" in {origin} cannot be used: {}", escaped(reason))]
    InvalidAuth {
        /// File or environment variable.
        origin: String,
        /// What is wrong with it; no value of it is repeated.
        reason: String,
    },
    /// `registries` is not understood.
    #[error("\"registries\" in {origin} cannot be used: {}", escaped(reason))]
    InvalidRegistries {
        /// File or environment variable.
        origin: String,
        /// What is wrong with it.
        reason: String,
    },
    /// A prefix of a registry could not be told from something else.
    #[error("\"{}\" cannot be the prefix of a registry: {reason}", escaped(prefix))]
    RegistryPrefix {
        /// The prefix.
        prefix: String,
        /// Why.
        reason: &'static str,
    },
    /// The address of a registry with a prefix is none.
    #[error(
        "The registry with the prefix \"{}\" has no http or https URL",
        escaped(prefix)
    )]
    PrefixUrl {
        /// The prefix.
        prefix: String,
    },
    /// `nodeVersion` is none.
    #[error(
        "The nodeVersion setting is \"{}\", which is not exact semver version",
        escaped(text)
    )]
    NodeVersion {
        /// As written.
        text: String,
    },
    /// `catalog` and `catalogs.default`.
    #[error("The 'default' catalog was defined multiple times")]
    TwoDefaultCatalogs,
    /// No file names a registry and npm cannot say which it uses.
    #[error("No registry is configured, and npm cannot be asked for its own: {reason}")]
    NoRegistry {
        /// What happened.
        reason: String,
    },
}

impl Diagnostic for ConfigError {
    fn code(&self) -> &'static str {
        match self {
            Self::Read { .. } | Self::TooLarge { .. } | Self::Encoding { .. } => {
                "ERR_PACQUET_CONFIG_READ"
            }
            Self::Yaml { .. }
            | Self::NotAMap { .. }
            | Self::WrongType { .. }
            | Self::InvalidUrl { .. } => "ERR_PNPM_INVALID_SETTING",
            Self::NoHome { .. } | Self::NoDefault { .. } => "ERR_PACQUET_NO_HOME",
            Self::Unsupported { .. } => "ERR_PACQUET_CONFIG_UNSUPPORTED",
            Self::RegistryNotExpanded { .. } => "ERR_PNPM_REGISTRY_ENV_NOT_EXPANDED",
            Self::InvalidCredential { .. } => "ERR_PNPM_AUTH_INVALID_BASE64",
            Self::NoSeparator { .. } => "ERR_PNPM_AUTH_MISSING_SEPARATOR",
            Self::InvalidAuth { .. } | Self::InvalidRegistries { .. } => "ERR_PNPM_INVALID_SETTING",
            Self::RegistryPrefix { .. } => "ERR_PNPM_RESERVED_NAMED_REGISTRY_NAME",
            Self::PrefixUrl { .. } => "ERR_PNPM_INVALID_NAMED_REGISTRY_URL",
            Self::TokenHelperCharacter { .. } => "ERR_PNPM_TOKEN_HELPER_UNSUPPORTED_CHARACTER",
            Self::ProjectTokenHelper { .. } => "ERR_PNPM_TOKEN_HELPER_IN_PROJECT_CONFIG",
            Self::InvalidTokenHelper { .. } => "ERR_PNPM_BAD_TOKEN_HELPER_PATH",
            Self::TokenHelper { .. } => "ERR_PNPM_TOKEN_HELPER_ERROR_STATUS",
            Self::NodeVersion { .. } => "ERR_PNPM_INVALID_NODE_VERSION",
            Self::TwoDefaultCatalogs => "ERR_PNPM_INVALID_CATALOGS_CONFIGURATION",
            Self::NoRegistry { .. } => "ERR_PACQUET_NO_REGISTRY",
        }
    }

    fn hint(&self) -> Option<String> {
        match self {
            Self::NodeVersion { .. } => {
                Some("Write the whole version of Node, as in 22.11.0.".to_owned())
            }
            Self::TwoDefaultCatalogs => {
                Some("Use \"catalog\" or \"catalogs.default\", and not both.".to_owned())
            }
            Self::NoHome { .. } | Self::NoDefault { .. } => {
                Some("Set HOME, or give the directory as an absolute path.".to_owned())
            }
            Self::NoRegistry { .. } => {
                Some("Write \"registry=<URL>\" to ~/.npmrc, or pass --registry=<URL>.".to_owned())
            }
            Self::RegistryNotExpanded { .. } => Some(
                "Write the address out, or move the setting to ~/.npmrc or the user's config.yaml."
                    .to_owned(),
            ),
            Self::InvalidCredential { .. } | Self::NoSeparator { .. } => Some(
                "_auth is the base64 form of <name>:<password>, and _password that of a password."
                    .to_owned(),
            ),
            Self::TokenHelperCharacter { .. } | Self::InvalidTokenHelper { .. } => {
                Some("Write the command into a script, and give its absolute path.".to_owned())
            }
            Self::ProjectTokenHelper { .. } => {
                Some("Move it to ~/.npmrc or to auth.ini beside pnpm's config.yaml.".to_owned())
            }
            Self::Unsupported { key, .. } => Some(format!(
                "Leave \"{key}\" out of the settings, or install this project with pnpm."
            )),
            Self::InvalidAuth { .. } => Some(
                "It maps addresses to \"@\" or scopes, and those to {\"authToken\": \"…\"}."
                    .to_owned(),
            ),
            Self::Read { path, .. } => Some(format!(
                "Make {} a file that this user can read.",
                path.display()
            )),
            Self::TooLarge { .. } => Some("Take out what is no setting.".to_owned()),
            Self::Encoding { .. } => Some("Save it as UTF-8.".to_owned()),
            Self::Yaml { .. } => Some("Correct the file at that place.".to_owned()),
            Self::NotAMap { .. } => {
                Some("Write each setting as `name: value` on a line of its own.".to_owned())
            }
            Self::WrongType { key, .. } => Some(format!(
                "Correct \"{}\" there, or take it out: then its default counts.",
                escaped(key)
            )),
            Self::InvalidUrl { .. } | Self::PrefixUrl { .. } => {
                Some("Write the whole address, with https:// or http:// in front.".to_owned())
            }
            Self::InvalidRegistries { .. } => Some(
                "It maps \"default\" and scopes to addresses, or addresses to \
                 {\"scopes\": [\"@scope\"]}."
                    .to_owned(),
            ),
            Self::RegistryPrefix { .. } => Some("Choose another prefix.".to_owned()),
            Self::TokenHelper { .. } => {
                Some("Run it by hand: it must print the token and end with 0.".to_owned())
            }
        }
    }
}

/// Something about configuration that a person should know and that stops nothing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ConfigWarning {
    /// As [`Diagnostic::code`].
    pub code: &'static str,
    /// One sentence.
    pub message: String,
}
