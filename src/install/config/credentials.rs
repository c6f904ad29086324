//! Who we are to which host: credentials and certificates by address prefix.
//!
//! A prefix is what npm calls a "nerf dart": `//host[:port]/path/`. The longest prefix of a
//! request's address decides. A prefix may have one more credential for each scope of packages,
//! which goes before all that are for everything.
//!
//! **Architecture Invariant:** a secret has no `Display`, and its `Debug` is `***`.

use std::collections::{BTreeMap, HashMap};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use reqwest::Url;

use super::error::ConfigError;
use super::process::answer_of;

/// How long a token helper may take.
const TOKEN_HELPER_TIMEOUT: Duration = Duration::from_secs(60);

/// Text that is never printed.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(Box<str>);

impl Secret {
    pub(crate) fn new(text: impl Into<Box<str>>) -> Self {
        Self(text.into())
    }

    /// The text, for the one header or handshake that needs it.
    pub(crate) fn expose(&self) -> &str {
        &self.0
    }
}

impl std::fmt::Debug for Secret {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str("***")
    }
}

/// A program that prints a token. It runs when a request first needs it, and once.
#[derive(Debug)]
pub(crate) struct TokenHelper {
    /// The program and its arguments.
    words: Vec<String>,
    token: OnceLock<Result<Secret, String>>,
}

impl TokenHelper {
    /// The helper that `command` names: a program and its arguments, with spaces between them.
    ///
    /// # Errors
    /// It names none, or has a character that a shell would not take as it stands.
    pub(super) fn new(command: &str) -> Result<Self, Option<char>> {
        const RESERVED: [char; 5] = ['$', '%', '`', '"', '\''];
        if let Some(character) = command.chars().find(|one| RESERVED.contains(one)) {
            return Err(Some(character));
        }
        let words: Vec<String> = command.split_whitespace().map(str::to_owned).collect();
        let program = words.first().ok_or(None)?;
        // A path is below the current directory, and that may be a repository's.
        if program.contains('/') && !Path::new(program).is_absolute() {
            return Err(None);
        }
        Ok(Self {
            words,
            token: OnceLock::new(),
        })
    }

    fn header(&self) -> Result<Secret, ConfigError> {
        let token = self.token.get_or_init(|| {
            let (program, arguments) = self.words.split_first().ok_or("it has no name")?;
            let mut command = Command::new(program);
            command.args(arguments);
            let answer = answer_of(command, TOKEN_HELPER_TIMEOUT)?;
            let token = answer.trim();
            if token.is_empty() || token.contains(char::is_control) {
                return Err("its answer is not one line of text".to_owned());
            }
            Ok(Secret::new(with_scheme(token)))
        });
        token.clone().map_err(|reason| ConfigError::TokenHelper {
            program: self.words.first().cloned().unwrap_or_default(),
            reason,
        })
    }
}

/// A helper may print a whole header (`Bearer …`, `Basic …`) or the bare token.
fn with_scheme(token: &str) -> String {
    match token.split_once(' ') {
        Some((scheme, _)) if scheme.bytes().all(|byte| byte.is_ascii_alphabetic()) => {
            token.to_owned()
        }
        _ => format!("Bearer {token}"),
    }
}

/// What a host is told.
#[derive(Debug, Clone)]
pub(crate) enum Credential {
    /// The whole value of `Authorization`.
    Header(Secret),
    /// A program gives it.
    Helper(Arc<TokenHelper>),
}

impl Credential {
    pub(super) fn bearer(token: &str) -> Self {
        Self::Header(Secret::new(format!("Bearer {token}")))
    }

    pub(super) fn basic(username: &str, password: &str) -> Self {
        Self::basic_pair(format!("{username}:{password}").as_bytes())
    }

    /// From name and password with a colon between them.
    pub(super) fn basic_pair(pair: &[u8]) -> Self {
        Self::Header(Secret::new(format!("Basic {}", STANDARD.encode(pair))))
    }
}

/// Certificates for one host, each the PEM text or the file that holds it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct TlsIdentity {
    /// Authorities to trust beside or instead of the system's.
    pub authorities: Vec<Pem>,
    /// Our certificate.
    pub certificate: Option<Pem>,
    /// Its key.
    pub key: Option<Pem>,
}

impl TlsIdentity {
    /// Whether there is nothing in it.
    pub fn is_empty(&self) -> bool {
        self.authorities.is_empty() && self.certificate.is_none() && self.key.is_none()
    }

    /// This identity, and what `lower` has where it has nothing.
    pub fn or(self, lower: Self) -> Self {
        Self {
            authorities: if self.authorities.is_empty() {
                lower.authorities
            } else {
                self.authorities
            },
            certificate: self.certificate.or(lower.certificate),
            key: self.key.or(lower.key),
        }
    }
}

/// PEM text, in configuration or in a file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Pem {
    /// In configuration (a key may be among it).
    Inline(Secret),
    /// In a file.
    File(PathBuf),
}

impl Pem {
    /// The text.
    ///
    /// # Errors
    /// The file cannot be read.
    pub(crate) fn read(&self) -> Result<String, ConfigError> {
        match self {
            Self::Inline(text) => Ok(text.expose().to_owned()),
            Self::File(path) => std::fs::read_to_string(path).map_err(|source| ConfigError::Read {
                path: path.clone(),
                source,
            }),
        }
    }
}

/// What one prefix has.
#[derive(Debug, Clone, Default)]
pub(super) struct HostSettings {
    pub(super) credential: Option<Credential>,
    /// By scope, without `@`.
    pub(super) scoped: BTreeMap<Box<str>, Credential>,
    pub(super) tls: TlsIdentity,
}

/// Credentials and certificates of all layers.
#[derive(Debug, Clone, Default)]
pub struct Credentials {
    by_prefix: HashMap<Box<str>, HostSettings>,
    /// From files that name no registry: it belongs to the registry that applies when no file
    /// names one, and that takes npm to find out.
    for_default_registry: Option<Credential>,
}

impl Credentials {
    /// Adds what a lower layer has for `prefix`, as written. What is there already stays.
    pub(super) fn add(&mut self, prefix: &str, settings: HostSettings) {
        let entry = self
            .by_prefix
            .entry(normal_prefix(prefix).into())
            .or_default();
        let higher = std::mem::take(entry);
        let mut scoped = settings.scoped;
        scoped.extend(higher.scoped);
        *entry = HostSettings {
            credential: higher.credential.or(settings.credential),
            scoped,
            tls: higher.tls.or(settings.tls),
        };
    }

    /// Sets the credential of `prefix`, whatever is there.
    pub(super) fn set(&mut self, prefix: &str, credential: Credential) {
        let entry = self.by_prefix.entry(normal_prefix(prefix).into());
        entry.or_default().credential = Some(credential);
    }

    pub(super) fn add_for_default_registry(&mut self, credential: Credential) {
        self.for_default_registry.get_or_insert(credential);
    }

    /// Whether [`Credentials::authorization`] for `url` may have to run a program.
    pub(crate) fn may_block(&self, url: &Url, scope: Option<&str>) -> bool {
        match self.credential(url, scope) {
            Some(Credential::Helper(helper)) => helper.token.get().is_none(),
            Some(Credential::Header(_)) => false,
            None => self.for_default_registry.is_some(),
        }
    }

    /// The value of `Authorization` for a request to `url`, for a package of `scope` (without `@`).
    /// `default_registry` is asked only where a credential without a host could apply.
    ///
    /// # Errors
    /// A token helper fails.
    pub(crate) fn authorization(
        &self,
        url: &Url,
        scope: Option<&str>,
        default_registry: impl FnOnce() -> Result<Url, ConfigError>,
    ) -> Result<Option<Secret>, ConfigError> {
        let found = self.credential(url, scope);
        // Where the default registry cannot be found out, no address is known to be below it.
        let applies = |url| default_registry().is_ok_and(|registry| is_below(url, &registry));
        let credential = match (found, &self.for_default_registry) {
            (Some(credential), _) => credential,
            (None, Some(credential)) if applies(url) => credential,
            _ => return Ok(None),
        };
        match credential {
            Credential::Header(header) => Ok(Some(header.clone())),
            Credential::Helper(helper) => helper.header().map(Some),
        }
    }

    /// The prefix of `url` that has certificates of its own, and those.
    pub(crate) fn tls_identity(&self, url: &Url) -> Option<(Box<str>, &TlsIdentity)> {
        for prefix in prefixes(url) {
            let settings = self.by_prefix.get(prefix.as_str());
            if let Some(settings) = settings.filter(|settings| !settings.tls.is_empty()) {
                return Some((prefix.into(), &settings.tls));
            }
        }
        None
    }

    /// The value of `Authorization` that user and password of `url` itself make.
    pub(crate) fn of_address(url: &Url) -> Secret {
        let (username, password) = user_of(url);
        Secret::new(format!(
            "Basic {}",
            STANDARD.encode(format!("{username}:{password}"))
        ))
    }

    fn credential(&self, url: &Url, scope: Option<&str>) -> Option<&Credential> {
        let scoped = scope.and_then(|scope| self.lookup(url, |found| found.scoped.get(scope)));
        scoped.or_else(|| self.lookup(url, |found| found.credential.as_ref()))
    }

    fn lookup<'a, T>(
        &'a self,
        url: &Url,
        get: impl Fn(&'a HostSettings) -> Option<&'a T>,
    ) -> Option<&'a T> {
        if self.by_prefix.is_empty() {
            return None;
        }
        prefixes(url).find_map(|prefix| self.by_prefix.get(prefix.as_str()).and_then(&get))
    }
}

/// User and password of `url`, decoded.
pub(super) fn user_of(url: &Url) -> (String, String) {
    let decode = |text| {
        percent_encoding::percent_decode_str(text)
            .decode_utf8_lossy()
            .into_owned()
    };
    (
        decode(url.username()),
        decode(url.password().unwrap_or_default()),
    )
}

/// `//host[:port]/path/` of an address, without its last, fileless component.
pub(super) fn prefix_of(url: &Url) -> String {
    prefixes(url).next().unwrap_or_default()
}

fn is_below(url: &Url, registry: &Url) -> bool {
    url.scheme() == registry.scheme()
        && url.host_str() == registry.host_str()
        && url.port_or_known_default() == registry.port_or_known_default()
        && url.path().starts_with(registry.path())
}

/// Every prefix of `url`, longest first; for each depth with the port written out and, where it is
/// the scheme's own, without it.
fn prefixes(url: &Url) -> impl Iterator<Item = String> {
    let host = url.host_str().unwrap_or_default().to_ascii_lowercase();
    let with_port = url
        .port_or_known_default()
        .map(|port| format!("{host}:{port}"));
    let path = url.path().to_owned();
    let explicit = url.port().is_some();
    let ends: Vec<usize> = path.match_indices('/').map(|(at, _)| at + 1).collect();
    ends.into_iter().rev().flat_map(move |end| {
        let bare = (!explicit).then(|| format!("//{host}{}", &path[..end]));
        let full = with_port
            .as_ref()
            .map(|host| format!("//{host}{}", &path[..end]));
        bare.into_iter().chain(full)
    })
}

fn normal_prefix(prefix: &str) -> String {
    let rest = prefix.trim_start_matches('/');
    let (host, path) = rest.split_once('/').unwrap_or((rest, ""));
    let path = path.trim_end_matches('/');
    let slash = if path.is_empty() { "" } else { "/" };
    format!("//{}/{path}{slash}", host.to_ascii_lowercase())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn table(entries: &[(&str, &str)]) -> Credentials {
        let mut credentials = Credentials::default();
        for (prefix, token) in entries {
            let credential = Some(Credential::bearer(token));
            credentials.add(
                prefix,
                HostSettings {
                    credential,
                    ..HostSettings::default()
                },
            );
        }
        credentials
    }

    fn token(credentials: &Credentials, url: &str) -> Option<String> {
        let url = Url::parse(url).expect("a URL");
        let registry = || Url::parse("https://default.test/npm/").map_err(|_| unreachable!());
        let header = credentials
            .authorization(&url, None, registry)
            .expect("no helper");
        header.map(|secret| secret.expose().replace("Bearer ", ""))
    }

    #[test]
    fn the_longest_prefix_decides_and_hosts_never_share() {
        let credentials = table(&[
            ("//h.test/", "root"),
            ("//h.test/a/", "a"),
            ("//h.test/a/b", "ab"),
            ("//H.test:8080/", "port"),
            ("//tls.test:443/", "tls"),
        ]);
        for (url, expected) in [
            ("https://h.test/x", Some("root")),
            ("https://h.test", Some("root")),
            ("http://h.test/x", Some("root")),
            ("https://h.test/a/x.tgz", Some("a")),
            ("https://h.test/a", Some("root")),
            ("https://h.test/a/b/c/d.tgz", Some("ab")),
            ("https://h.test/ab/c", Some("root")),
            ("https://h.test:8080/a/x", Some("port")),
            ("https://h.test:443/a/x", Some("a")),
            ("https://tls.test/x", Some("tls")),
            ("http://tls.test/x", None),
            ("https://h.test:8081/x", None),
            ("https://h.test.evil.test/x", None),
            ("https://evil.test/h.test/", None),
            ("https://sub.h.test/", None),
            ("https://h.test@evil.test/", None),
            ("https://evil.test/?//h.test/", None),
        ] {
            assert_eq!(token(&credentials, url).as_deref(), expected, "{url}");
        }
    }

    #[test]
    fn an_unscoped_credential_belongs_to_the_default_registry_only() {
        let mut credentials = table(&[("//h.test/", "h")]);
        credentials.add_for_default_registry(Credential::bearer("unscoped"));
        for (url, expected) in [
            ("https://default.test/npm/x", Some("unscoped")),
            ("https://default.test/other", None),
            ("http://default.test/npm/x", None),
            ("https://default.test:444/npm/x", None),
            ("https://other.test/npm/x", None),
            ("https://h.test/npm/x", Some("h")),
        ] {
            assert_eq!(token(&credentials, url).as_deref(), expected, "{url}");
        }
    }

    #[test]
    fn a_higher_layer_stays_and_nothing_prints_a_secret() {
        let credentials = table(&[("//h.test/", "high"), ("//h.test", "low")]);
        assert_eq!(
            token(&credentials, "https://h.test/x").as_deref(),
            Some("high")
        );
        assert!(!format!("{credentials:?}").contains("high"));
    }

    #[test]
    fn a_token_helper_runs_once_and_its_failure_is_told() {
        let directory = tempfile::tempdir().expect("a directory");
        let script = directory.path().join("helper");
        let log = directory.path().join("log");
        let text = format!("#!/bin/sh\necho run >> {}\necho tok\n", log.display());
        pacquet_test_registry::program::write(&script, text);
        let helper = TokenHelper::new(&script.display().to_string()).expect("a helper");
        assert_eq!(helper.header().expect("a token").expose(), "Bearer tok");
        assert_eq!(helper.header().expect("a token").expose(), "Bearer tok");
        assert_eq!(std::fs::read_to_string(&log).expect("a log"), "run\n");
        let missing = TokenHelper::new("/does/not/exist x").expect("a helper");
        assert!(matches!(
            missing.header(),
            Err(ConfigError::TokenHelper { .. })
        ));
        for (answer, expected) in [
            ("Basic eDp5", "Basic eDp5"),
            ("t", "Bearer t"),
            ("s3 cr", "Bearer s3 cr"),
        ] {
            assert_eq!(with_scheme(answer), expected);
        }
    }

    #[test]
    fn a_token_helper_is_a_program_with_arguments_and_no_shell() {
        let helper = TokenHelper::new("/bin/echo  a b").expect("a helper");
        assert_eq!(helper.header().expect("a token").expose(), "a b");
        for (command, expected) in [
            ("/bin/echo $HOME", Some('$')),
            ("/bin/echo `id`", Some('`')),
            ("\"/a b\"", Some('"')),
            ("./helper", None),
            ("a/../helper", None),
            ("  ", None),
        ] {
            assert_eq!(TokenHelper::new(command).err(), Some(expected), "{command}");
        }
    }

    #[test]
    fn a_scope_has_a_credential_of_its_own_and_else_that_of_everything() {
        let mut credentials = table(&[("//h.test/a/", "all")]);
        let mut settings = HostSettings::default();
        settings
            .scoped
            .insert("s".into(), Credential::bearer("scope"));
        credentials.add("//h.test/", settings);
        for (url, scope, expected) in [
            ("https://h.test/a/x", Some("s"), Some("Bearer scope")),
            ("https://h.test/a/x", Some("other"), Some("Bearer all")),
            ("https://h.test/a/x", None, Some("Bearer all")),
            ("https://h.test/x", None, None),
            ("https://other.test/x", Some("s"), None),
        ] {
            let url = Url::parse(url).expect("a URL");
            let nowhere = || Url::parse("https://default.test/").map_err(|_| unreachable!());
            let header = credentials
                .authorization(&url, scope, nowhere)
                .expect("no helper");
            assert_eq!(
                header.as_ref().map(Secret::expose),
                expected,
                "{url} {scope:?}"
            );
        }
    }
}
