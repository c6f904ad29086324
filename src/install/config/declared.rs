//! Two settings that say of whole registries at once: `_auth` (tokens, and what they are for) and
//! `registries` (what each serves).

use indexmap::IndexMap;
use reqwest::Url;
use serde_json::{Map, Value};

use super::credentials::{Credential, Credentials, HostSettings, prefix_of};
use super::environment::Environment;
use super::error::{ConfigError, ConfigWarning};
use super::expand::expand;
use super::registries::registry_url;
use super::value::{Origin, Refusal, Setting, Written, object};

/// `_auth` as a map: address → `@` (everything) or `@scope` → `{authToken}`.
///
/// A token also says where packages come from: a scope's from that address, and everything else
/// from the one address that has a token for everything.
#[derive(Debug, Default)]
pub(super) struct DeclaredAuth {
    hosts: Vec<(String, HostSettings)>,
    /// Addresses with a token for everything, in order.
    defaults: Vec<Url>,
    /// `@scope` → address.
    pub(super) scopes: IndexMap<String, String>,
}

impl DeclaredAuth {
    /// Reads the value of `_auth` in `origin`.
    pub(super) fn read(
        value: &Value,
        origin: &str,
        environment: &Environment,
        warnings: &mut Vec<ConfigWarning>,
    ) -> Result<Self, ConfigError> {
        let refused = |reason: String| ConfigError::InvalidAuth {
            origin: origin.to_owned(),
            reason,
        };
        let map = value
            .as_object()
            .ok_or_else(|| refused("it is no map".to_owned()))?;
        let mut out = Self::default();
        for (address, tokens) in map {
            let url = plain_url(address).map_err(refused)?;
            let tokens = tokens
                .as_object()
                .ok_or_else(|| refused(format!("the entry of {url} is no map")))?;
            let mut settings = HostSettings::default();
            for (scope, entry) in tokens {
                let Some(name) = scope.strip_prefix('@') else {
                    if entry.get("authToken").is_some() {
                        let reason = format!("\"{scope}\" is no scope; did you mean \"@{scope}\"?");
                        return Err(refused(reason));
                    }
                    warnings.push(unknown_field(scope, &url, origin));
                    continue;
                };
                let token = token_of(entry).map_err(refused)?;
                let credential = Credential::bearer(&expand(token, environment).text);
                if name.is_empty() {
                    settings.credential = Some(credential);
                    out.defaults.push(url.clone());
                } else {
                    settings.scoped.insert(name.into(), credential);
                    out.scopes.insert(scope.clone(), url.to_string());
                }
            }
            out.hosts.push((prefix_of(&url), settings));
        }
        Ok(out)
    }

    /// The registry of everything, where the tokens leave no doubt about it.
    pub(super) fn default_registry(&self) -> Option<&Url> {
        match &self.defaults[..] {
            [only] => Some(only),
            _ => None,
        }
    }

    /// The registry of everything where nothing else names one.
    pub(super) fn last_registry(&self) -> Option<&Url> {
        self.defaults.last()
    }

    /// Adds the tokens below what `credentials` has.
    pub(super) fn add_to(&mut self, credentials: &mut Credentials) {
        for (prefix, settings) in std::mem::take(&mut self.hosts) {
            credentials.add(&prefix, settings);
        }
    }
}

/// The address `text` of a registry, without anything that only a request has.
fn plain_url(text: &str) -> Result<Url, String> {
    let url = Url::parse(text).map_err(|_| "a key is no http or https URL".to_owned())?;
    let has_more = url.query().is_some() || url.fragment().is_some();
    if !url.username().is_empty() || url.password().is_some() || has_more {
        return Err("a key has credentials, a query or a fragment".to_owned());
    }
    registry_url(text).ok_or_else(|| "a key is no http or https URL".to_owned())
}

fn token_of(entry: &Value) -> Result<&str, String> {
    let fields = entry.as_object().ok_or("a scope's entry is no map")?;
    if let Some(unknown) = fields.keys().find(|field| *field != "authToken") {
        return Err(format!(
            "\"{unknown}\" is none of its fields, only authToken is"
        ));
    }
    let token = fields.get("authToken").and_then(Value::as_str);
    token.ok_or_else(|| "authToken is no text".to_owned())
}

fn unknown_field(field: &str, url: &Url, origin: &str) -> ConfigWarning {
    let field = crate::name::escaped(field);
    ConfigWarning {
        code: "ERR_PACQUET_UNKNOWN_SETTING",
        message: format!("\"{field}\" below {url} in _auth of {origin} is unknown; it is ignored"),
    }
}

/// `registries`: by address what each serves, or, as it was written before, by scope its address.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct DeclaredRegistries {
    /// `@scope` or `default` → address.
    pub(super) scopes: IndexMap<String, String>,
    /// Prefix of specifiers → address.
    pub(super) prefixes: IndexMap<String, String>,
    /// Addresses whose archives of scoped packages have the scope in their file name.
    pub(super) repeating_scope: Vec<String>,
    /// Fields that make no difference here.
    pub(super) without_effect: Vec<String>,
}

impl Setting for DeclaredRegistries {
    fn read(written: Written<'_>, _origin: &Origin<'_>) -> Result<Self, Refusal> {
        let map = object(written, "a map of registries")?;
        if map.values().any(Value::is_object) {
            return by_address(&map).map_err(Refusal::Registries);
        }
        let mut out = Self::default();
        for (key, value) in map {
            let value = value.as_str();
            let value = value.ok_or(Refusal::Expected("a map of registries"))?;
            if key.contains("://") {
                let reason = format!("the entry of {key} is a text, and should be a map");
                return Err(Refusal::Registries(reason));
            }
            out.scopes.insert(key, value.to_owned());
        }
        Ok(out)
    }
}

fn by_address(map: &Map<String, Value>) -> Result<DeclaredRegistries, String> {
    let mut out = DeclaredRegistries::default();
    for (address, entry) in map {
        let entry = entry.as_object().ok_or_else(|| {
            format!(
                "it has addresses, and the entry {address} that routes a scope; list scopes \
                     in the entry of their address"
            )
        })?;
        let url = plain_url(address)?.to_string();
        let text = |field: &str| entry.get(field).and_then(Value::as_str);
        if text("ecosystem").is_some_and(|ecosystem| ecosystem != "npm") {
            continue;
        }
        for (field, value) in entry {
            match field.as_str() {
                "scopes" => scopes_of(&mut out, &url, value)?,
                "prefix" => {
                    let prefix = value.as_str().ok_or("a prefix is no text")?;
                    out.prefixes.insert(prefix.to_owned(), url.clone());
                }
                "serverType" => match value.as_str() {
                    Some("npm") => {}
                    Some("artifactory") => out.repeating_scope.push(url.clone()),
                    Some("pnpr") => out.without_effect.push(format!("serverType of {url}")),
                    _ => return Err("serverType is neither npm, artifactory nor pnpr".to_owned()),
                },
                "ecosystem" => {}
                "networkConcurrency" | "supportsTimeField" => {
                    out.without_effect.push(format!("{field} of {url}"));
                }
                other => return Err(format!("\"{other}\" of {url} is unknown")),
            }
        }
    }
    Ok(out)
}

fn scopes_of(out: &mut DeclaredRegistries, url: &str, value: &Value) -> Result<(), String> {
    for scope in value.as_array().ok_or("scopes is no list")? {
        let scope = scope.as_str().filter(|scope| scope.starts_with('@'));
        let scope = scope.ok_or_else(|| format!("scopes of {url} has what is no @scope"))?;
        let key = if scope == "@" { "default" } else { scope };
        if let Some(other) = out.scopes.insert(key.to_owned(), url.to_owned()) {
            return Err(format!("{scope} is of two registries, {other} and {url}"));
        }
    }
    Ok(())
}
