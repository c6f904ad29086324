//! `.npmrc` and `auth.ini`: of them only what concerns registries, credentials and the network.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use indexmap::IndexMap;

use super::credentials::{
    Credential, HostSettings, Pem, Secret, TlsIdentity, TokenHelper, is_acceptable_helper,
};
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

#[derive(Debug, Default)]
struct RawHost {
    values: BTreeMap<String, String>,
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
    for (key, value) in entries(text) {
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
        if let Some((prefix, field)) = host_key(&key) {
            let host = self.hosts.entry(prefix.to_owned()).or_default();
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
        let camel = match camel_case(key).as_str() {
            "noproxy" => "noProxy".to_owned(),
            other => other.to_owned(),
        };
        let name = self.path.display().to_string();
        let base = self.path.parent().unwrap_or(Path::new("/"));
        let origin = Origin {
            name: &name,
            base,
            home: self.environment.home(),
        };
        self.out
            .options
            .set(&camel, Written::Text(value), &origin)?;
        Ok(())
    }

    /// The key and value with placeholders replaced; `None` where the repository wrote one, which
    /// would send a variable of the user's to a place that the repository chooses.
    fn expanded(
        &mut self,
        key: &str,
        value: &str,
    ) -> Result<Option<(String, String)>, ConfigError> {
        if !has_placeholder(key) && !has_placeholder(value) {
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
            let tls = self.tls(&raw);
            self.out
                .hosts
                .push((prefix, HostSettings { credential, tls }));
        }
        let unscoped = std::mem::take(&mut self.unscoped);
        self.out.unscoped = self.credential(&unscoped, "")?;
        Ok(self.out)
    }

    fn credential(
        &mut self,
        raw: &RawHost,
        prefix: &str,
    ) -> Result<Option<Credential>, ConfigError> {
        let get = |field: &str| raw.values.get(field).filter(|value| !value.is_empty());
        let named = |field: &str| match prefix {
            "" => field.to_owned(),
            prefix => format!("{prefix}:{field}"),
        };
        if let Some(helper) = get("tokenHelper") {
            match self.helper(helper, named("tokenHelper"))? {
                Some(credential) => return Ok(Some(credential)),
                None if raw.values.len() == 1 => return Ok(None),
                None => {}
            }
        }
        if let Some(token) = get("_authToken") {
            return Ok(Some(Credential::bearer(token)));
        }
        let invalid = |field: &str| ConfigError::InvalidCredential {
            origin: self.path.display().to_string(),
            key: named(field),
        };
        if let Some(encoded) = get("_auth") {
            let decoded = STANDARD.decode(encoded).map_err(|_| invalid("_auth"))?;
            if !decoded.contains(&b':') {
                return Err(invalid("_auth"));
            }
            return Ok(Some(Credential::basic_encoded(encoded)));
        }
        let (Some(username), Some(password)) = (get("username"), get("_password")) else {
            return Ok(None);
        };
        let password = STANDARD
            .decode(password)
            .map_err(|_| invalid("_password"))?;
        let password = String::from_utf8(password).map_err(|_| invalid("_password"))?;
        Ok(Some(Credential::basic(username, &password)))
    }

    fn helper(&mut self, path: &str, key: String) -> Result<Option<Credential>, ConfigError> {
        if self.trust == Trust::Project {
            let message = format!(
                "{} is part of the project and may not name a tokenHelper; it is ignored",
                self.path.display()
            );
            let code = "ERR_PACQUET_PROJECT_SETTING_IGNORED";
            self.out.warnings.push(ConfigWarning { code, message });
            return Ok(None);
        }
        let helper = PathBuf::from(path);
        if !is_acceptable_helper(&helper) {
            let origin = self.path.display().to_string();
            return Err(ConfigError::InvalidTokenHelper { origin, key });
        }
        Ok(Some(Credential::Helper(Arc::new(TokenHelper::new(helper)))))
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

fn is_read_from_npmrc(key: &str) -> bool {
    host_key(key).is_some()
        || CREDENTIAL_KEYS.contains(&key)
        || (key.starts_with('@') && key.ends_with(":registry"))
        || NETWORK_KEYS.contains(&camel_case(key).as_str())
        // Ours, where people look for it first.
        || key == "virtual"
}

/// `//host/path/:field` in its two parts.
fn host_key(key: &str) -> Option<(&str, &str)> {
    const FIELDS: [&str; 11] = [
        "_authToken",
        "_auth",
        "username",
        "_password",
        "tokenHelper",
        "ca",
        "cafile",
        "cert",
        "certfile",
        "key",
        "keyfile",
    ];
    let (prefix, field) = key.rsplit_once(':')?;
    (prefix.starts_with("//") && FIELDS.contains(&field)).then_some((prefix, field))
}

/// The entries of an INI text in order, by the rules of npm's parser: `;` and `#` begin comments,
/// also in the middle of an unquoted value unless escaped; a key without `=` is `true`. What
/// stands in a section belongs to something else and is passed over.
fn entries(text: &str) -> impl Iterator<Item = (String, String)> {
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    text.lines()
        .map(str::trim)
        .take_while(|line| !(line.starts_with('[') && line.ends_with(']')))
        .filter(|line| !line.is_empty() && !line.starts_with([';', '#']))
        .map(|line| match line.split_once('=') {
            Some((key, value)) => (unquoted(key.trim()), unquoted(value.trim())),
            None => (unquoted(line), "true".to_owned()),
        })
}

fn unquoted(text: &str) -> String {
    let is_quoted = |quote| text.len() >= 2 && text.starts_with(quote) && text.ends_with(quote);
    if is_quoted('"') {
        return serde_json::from_str(text).unwrap_or_else(|_| text[1..text.len() - 1].to_owned());
    }
    if is_quoted('\'') {
        return text[1..text.len() - 1].to_owned();
    }
    let mut out = String::with_capacity(text.len());
    let mut characters = text.chars().peekable();
    while let Some(character) = characters.next() {
        match character {
            ';' | '#' => break,
            '\\' if matches!(characters.peek(), Some(';' | '#' | '\\')) => {
                out.extend(characters.next());
            }
            other => out.push(other),
        }
    }
    out.truncate(out.trim_end().len());
    out
}
