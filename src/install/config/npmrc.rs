//! `.npmrc` and `auth.ini`: of them only what concerns registries, credentials and the network.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use base64::Engine;
use base64::alphabet;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};
use indexmap::IndexMap;

use super::credentials::{Credential, HostSettings, Pem, Secret, TlsIdentity, TokenHelper};
use super::environment::Environment;
use super::error::{ConfigError, ConfigWarning};
use super::expand::{expand, has_placeholder};
use super::options::{Options, camel_case};
use super::value::{Origin, Written};

/// Who wrote a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Trust {
    /// The user: placeholders are expanded and programs may be named.
    User,
    /// The repository: neither.
    Project,
    /// An environment variable: its value stands for itself, and names no program.
    Variable,
}

/// What one file says.
#[derive(Debug, Default)]
pub(super) struct Npmrc {
    pub(super) options: Options,
    /// `@scope` → address.
    pub(super) scopes: IndexMap<String, String>,
    /// `//host/path/` → settings.
    pub(super) hosts: Vec<(String, HostSettings)>,
    /// Credentials without a host.
    pub(super) unscoped: Option<Credential>,
    pub(super) warnings: Vec<ConfigWarning>,
}

impl Npmrc {
    /// Takes certificate and key without a host out of the settings.
    pub(super) fn take_identity(&mut self) -> TlsIdentity {
        let inline = |text: String| Pem::Inline(Secret::new(text.replace("\\n", "\n")));
        let key = self.options.key.take();
        TlsIdentity {
            authorities: Vec::new(),
            certificate: self.options.certificate.take().map(inline),
            key: key.map(|key| inline(key.expose().to_owned())),
        }
    }
}

/// Settings without a host that are read from these files.
const NETWORK_KEYS: [&str; 12] = [
    "registry",
    "httpsProxy",
    "httpProxy",
    "proxy",
    "noproxy",
    "noProxy",
    "ca",
    "cafile",
    "cert",
    "key",
    "strictSsl",
    "localAddress",
];

/// Parts of a credential.
const CREDENTIAL_KEYS: [&str; 5] = [
    "_authToken",
    "_auth",
    "username",
    "_password",
    "tokenHelper",
];

/// What people write as base64 may lack the padding at its end, or have too much of it.
const BASE64: GeneralPurpose = GeneralPurpose::new(
    &alphabet::STANDARD,
    GeneralPurposeConfig::new()
        .with_decode_padding_mode(DecodePaddingMode::RequireNone)
        .with_decode_allow_trailing_bits(true),
);

#[derive(Debug, Default)]
struct RawHost {
    values: BTreeMap<String, String>,
    /// By scope, without `@`.
    scopes: BTreeMap<String, RawHost>,
}

struct Reader<'a> {
    path: &'a Path,
    trust: Trust,
    environment: &'a Environment,
    out: Npmrc,
    hosts: IndexMap<String, RawHost>,
    unscoped: RawHost,
    ignored: Vec<String>,
}

/// Reads `text`, the content of the file at `path`.
///
/// # Errors
/// A value cannot be used. What is merely not ours to read is passed over.
pub(super) fn read(
    text: &str,
    path: &Path,
    trust: Trust,
    environment: &Environment,
) -> Result<Npmrc, ConfigError> {
    read_entries(entries(text), path, trust, environment)
}

/// Reads `entries`, which `path` names the place of.
///
/// # Errors
/// As [`read`].
pub(super) fn read_entries(
    entries: impl Iterator<Item = (String, String)>,
    path: &Path,
    trust: Trust,
    environment: &Environment,
) -> Result<Npmrc, ConfigError> {
    let mut reader = Reader {
        path,
        trust,
        environment,
        out: Npmrc::default(),
        hosts: IndexMap::new(),
        unscoped: RawHost::default(),
        ignored: Vec::new(),
    };
    let mut authorities = Vec::new();
    for (key, value) in entries {
        if key == "ca" || key == "ca[]" {
            authorities.push(value.replace("\\n", "\n"));
        } else {
            reader.take(&key, &value)?;
        }
    }
    if !authorities.is_empty() {
        reader.out.options.ca = Some(authorities);
    }
    reader.finish()
}

impl Reader<'_> {
    fn take(&mut self, key: &str, value: &str) -> Result<(), ConfigError> {
        let is_ours = is_read_from_npmrc(key);
        if !is_ours {
            return Ok(());
        }
        let Some((key, value)) = self.expanded(key, value)? else {
            return Ok(());
        };
        if let Some(HostKey {
            prefix,
            scope,
            field,
        }) = host_key(&key)
        {
            let mut host = self.hosts.entry(prefix.to_owned()).or_default();
            if let Some(scope) = scope {
                host = host.scopes.entry(scope.to_owned()).or_default();
            }
            host.values.insert(field.to_owned(), value);
        } else if CREDENTIAL_KEYS.contains(&key.as_str()) {
            self.unscoped.values.insert(key, value);
        } else if let Some(scope) = key.strip_suffix(":registry") {
            self.out.scopes.insert(scope.to_owned(), value);
        } else {
            self.take_setting(&key, &value)?;
        }
        Ok(())
    }

    fn take_setting(&mut self, key: &str, value: &str) -> Result<(), ConfigError> {
        if value.is_empty() || value == "null" {
            return Ok(());
        }
        let name = self.path.display().to_string();
        let base = self.path.parent().unwrap_or(Path::new("/"));
        let origin = Origin {
            name: &name,
            base,
            home: self.environment.home(),
        };
        self.out
            .options
            .set(&camel_case(key), Written::Text(value), &origin)?;
        Ok(())
    }

    /// The key and value with placeholders replaced; `None` where the repository wrote one, which
    /// would send a variable of the user's to a place that the repository chooses.
    fn expanded(
        &mut self,
        key: &str,
        value: &str,
    ) -> Result<Option<(String, String)>, ConfigError> {
        let is_plain = !has_placeholder(key) && !has_placeholder(value);
        if is_plain || self.trust == Trust::Variable {
            return Ok(Some((key.to_owned(), value.to_owned())));
        }
        if self.trust == Trust::Project {
            if key == "registry" || key.ends_with(":registry") {
                return Err(ConfigError::RegistryNotExpanded {
                    path: self.path.to_path_buf(),
                    key: key.to_owned(),
                });
            }
            self.ignored.push(key.to_owned());
            return Ok(None);
        }
        let (key, value) = (
            expand(key, self.environment),
            expand(value, self.environment),
        );
        for name in key.unresolved.iter().chain(&value.unresolved) {
            let message = format!(
                "{} uses the environment variable {name}, which is not set",
                self.path.display()
            );
            self.out.warnings.push(ConfigWarning {
                code: "ERR_PACQUET_ENV_NOT_SET",
                message,
            });
        }
        Ok(Some((key.text, value.text)))
    }

    fn finish(mut self) -> Result<Npmrc, ConfigError> {
        if !self.ignored.is_empty() {
            let message = format!(
                "{} is part of the project, so environment variables are not expanded in it; \
                 ignored: {}",
                self.path.display(),
                crate::name::escaped(&self.ignored.join(", "))
            );
            let code = "ERR_PACQUET_ENV_NOT_EXPANDED";
            self.out.warnings.push(ConfigWarning { code, message });
        }
        for (prefix, raw) in std::mem::take(&mut self.hosts) {
            let credential = self.credential(&raw, &prefix)?;
            let mut scoped = BTreeMap::new();
            for (scope, raw) in &raw.scopes {
                let credential = self.credential(raw, &format!("{prefix}:@{scope}"))?;
                scoped.extend(credential.map(|found| (scope.as_str().into(), found)));
            }
            let settings = HostSettings {
                credential,
                scoped,
                tls: self.tls(&raw),
            };
            self.out.hosts.push((prefix, settings));
        }
        let unscoped = std::mem::take(&mut self.unscoped);
        self.out.unscoped = self.credential(&unscoped, "")?;
        Ok(self.out)
    }

    fn credential(&self, raw: &RawHost, prefix: &str) -> Result<Option<Credential>, ConfigError> {
        let get = |field: &str| raw.values.get(field).filter(|value| !value.is_empty());
        let named = |field: &str| match prefix {
            "" => field.to_owned(),
            prefix => format!("{prefix}:{field}"),
        };
        if let Some(helper) = get("tokenHelper")
            && let Some(credential) = self.helper(helper, named("tokenHelper"))?
        {
            return Ok(Some(credential));
        }
        if let Some(token) = get("_authToken") {
            return Ok(Some(Credential::bearer(token)));
        }
        let decoded = |field: &'static str, encoded: &str| {
            let packed: String = encoded.split_whitespace().collect();
            let decoded = BASE64.decode(packed.trim_end_matches('='));
            decoded.map_err(|_| ConfigError::InvalidCredential {
                origin: self.path.display().to_string(),
                key: named(field),
            })
        };
        if let Some(encoded) = get("_auth") {
            let pair = decoded("_auth", encoded)?;
            if !pair.contains(&b':') {
                return Err(ConfigError::NoSeparator {
                    origin: self.path.display().to_string(),
                    key: named("_auth"),
                });
            }
            return Ok(Some(Credential::basic_pair(&pair)));
        }
        let (Some(username), Some(password)) = (get("username"), get("_password")) else {
            return Ok(None);
        };
        let mut pair = format!("{username}:").into_bytes();
        pair.extend(decoded("_password", password)?);
        Ok(Some(Credential::basic_pair(&pair)))
    }

    fn helper(&self, command: &str, key: String) -> Result<Option<Credential>, ConfigError> {
        let origin = self.path.display().to_string();
        match self.trust {
            Trust::User => {}
            Trust::Variable => return Ok(None),
            Trust::Project => return Err(ConfigError::ProjectTokenHelper { origin, key }),
        }
        let helper = TokenHelper::new(command).map_err(|character| match character {
            Some(character) => ConfigError::TokenHelperCharacter {
                origin: origin.clone(),
                key: key.clone(),
                character,
            },
            None => ConfigError::InvalidTokenHelper {
                origin: origin.clone(),
                key: key.clone(),
            },
        })?;
        Ok(Some(Credential::Helper(Arc::new(helper))))
    }

    fn tls(&self, raw: &RawHost) -> TlsIdentity {
        let pem = |inline: &str, file: &str| {
            let text = raw
                .values
                .get(inline)
                .map(|text| Pem::Inline(Secret::new(text.replace("\\n", "\n"))));
            text.or_else(|| {
                raw.values
                    .get(file)
                    .map(|path| Pem::File(self.absolute(path)))
            })
        };
        TlsIdentity {
            authorities: pem("ca", "cafile").into_iter().collect(),
            certificate: pem("cert", "certfile"),
            key: pem("key", "keyfile"),
        }
    }

    fn absolute(&self, path: &str) -> PathBuf {
        self.path.parent().unwrap_or(Path::new("/")).join(path)
    }
}

/// Whether `key` is about one registry: something for a host, or the registry of a scope.
pub(super) fn is_of_registry(key: &str) -> bool {
    host_key(key).is_some() || (key.starts_with('@') && key.ends_with(":registry"))
}

fn is_read_from_npmrc(key: &str) -> bool {
    is_of_registry(key)
        || CREDENTIAL_KEYS.contains(&key)
        || NETWORK_KEYS.contains(&camel_case(key).as_str())
        // Ours, where people look for it first.
        || key == "virtual"
}

/// `//host/path/:field` or `//host/path/:@scope:field` in its parts.
struct HostKey<'a> {
    prefix: &'a str,
    /// Without `@`.
    scope: Option<&'a str>,
    field: &'a str,
}

fn host_key(key: &str) -> Option<HostKey<'_>> {
    const TLS_FIELDS: [&str; 6] = ["ca", "cafile", "cert", "certfile", "key", "keyfile"];
    let (prefix, field) = key.rsplit_once(':')?;
    let is_credential = CREDENTIAL_KEYS.contains(&field);
    if !prefix.starts_with("//") || !(is_credential || TLS_FIELDS.contains(&field)) {
        return None;
    }
    let (prefix, scope) = match prefix.rsplit_once(":@") {
        Some((prefix, scope)) if is_credential && !scope.contains('/') => (prefix, Some(scope)),
        _ => (prefix, None),
    };
    Some(HostKey {
        prefix,
        scope,
        field,
    })
}

/// The entries of an INI text in order, as pnpm reads them: a line that begins with `;` or `#` is
/// a comment, the rest of a line after `=` is the value, whatever is in it. Names of sections and
/// lines without `=` say nothing.
fn entries(text: &str) -> impl Iterator<Item = (String, String)> {
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    text.lines()
        .map(str::trim)
        .filter(|line| !line.is_empty() && !line.starts_with([';', '#']))
        .filter_map(|line| line.split_once('='))
        .map(|(key, value)| (unquoted(key.trim()), unquoted(value.trim())))
}

fn unquoted(text: &str) -> String {
    let is_quoted = |quote| text.len() >= 2 && text.starts_with(quote) && text.ends_with(quote);
    if is_quoted('"') {
        return serde_json::from_str(text).unwrap_or_else(|_| text.to_owned());
    }
    if is_quoted('\'') {
        return text[1..text.len() - 1].to_owned();
    }
    text.to_owned()
}
