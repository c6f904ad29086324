//! Which registry serves which package.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;
use std::time::{Duration, UNIX_EPOCH};

use reqwest::Url;

use super::environment::Environment;
use super::error::ConfigError;
use super::process::answer_of;
use crate::name::{PackageName, hexadecimal};

/// How long npm may take to say which registry it uses.
const NPM_TIMEOUT: Duration = Duration::from_secs(20);

/// The registries of a project.
#[derive(Debug)]
pub struct Registries {
    /// The one that configuration names, where it does.
    pub(super) default: Option<Url>,
    /// By scope, without `@`.
    pub(super) scopes: HashMap<Box<str>, Url>,
    /// By prefix (`namedRegistries`, or `prefix` in `registries`).
    pub(super) named: BTreeMap<Box<str>, Url>,
    /// Those whose archives of scoped packages have the scope in their file name.
    pub(super) repeating_scope: HashSet<String>,
    /// What applies when configuration names none.
    pub(super) fallback: NpmRegistry,
}

impl Registries {
    /// The registry of packages without a scope, and of scopes that have none of their own.
    ///
    /// # Errors
    /// Configuration names none and npm cannot be asked.
    pub fn default_registry(&self) -> Result<Url, ConfigError> {
        match &self.default {
            Some(url) => Ok(url.clone()),
            None => self.fallback.get(),
        }
    }

    /// The registry that applies when no file and no flag names one.
    ///
    /// # Errors
    /// npm cannot be asked.
    pub(crate) fn fallback_registry(&self) -> Result<Url, ConfigError> {
        self.fallback.get()
    }

    /// The registry that serves `name`.
    ///
    /// # Errors
    /// As [`Registries::default_registry`].
    pub fn registry_of(&self, name: &PackageName) -> Result<Url, ConfigError> {
        match name.scope().and_then(|scope| self.scopes.get(scope)) {
            Some(url) => Ok(url.clone()),
            None => self.default_registry(),
        }
    }

    /// The registry with a scope of its own that serves `name`.
    pub fn registry_of_scope(&self, name: &PackageName) -> Option<&Url> {
        self.scopes.get(name.scope()?)
    }

    /// The registry with the prefix `prefix` (`namedRegistries`).
    pub fn named(&self, prefix: &str) -> Option<&Url> {
        self.named.get(prefix)
    }

    /// All prefixes of `namedRegistries`.
    pub fn prefixes(&self) -> impl Iterator<Item = &str> {
        self.named.keys().map(|prefix| &**prefix)
    }

    /// The prefix under which the lockfile has packages of `registry`: its first one, unless it is
    /// the default registry.
    pub fn prefix_of(&self, registry: &Url) -> Option<&str> {
        let found = self.named.iter().find(|(_, url)| *url == registry);
        let (prefix, _) = found?;
        let is_default = self.default_registry().is_ok_and(|url| url == *registry);
        (!is_default).then_some(&**prefix)
    }

    /// The registry of the package `name` that the lockfile has as `id`.
    ///
    /// # Errors
    /// As [`Registries::default_registry`].
    pub fn registry_of_id(&self, name: &PackageName, id: &str) -> Result<Url, ConfigError> {
        let prefix = prefixed_version(id).and_then(|(prefix, _)| self.named(prefix));
        prefix.map_or_else(|| self.registry_of(name), |url| Ok(url.clone()))
    }

    /// Whether archives of scoped packages at `registry` have the scope in their file name.
    pub fn repeats_scope(&self, registry: &Url) -> bool {
        self.repeating_scope.contains(registry.as_str())
    }

    /// `@scope` and address of each scope that has a registry of its own, sorted.
    pub fn scopes(&self) -> Vec<(String, &Url)> {
        let mut scopes: Vec<_> = self
            .scopes
            .iter()
            .map(|(scope, url)| (format!("@{scope}"), url))
            .collect();
        scopes.sort();
        scopes
    }
}

/// The prefix and the version of a package that the lockfile has as `<name>@<prefix>:<version>`.
pub fn prefixed_version(id: &str) -> Option<(&str, &str)> {
    let at = id.get(1..)?.find('@')? + 2;
    let (prefix, version) = id[at..].split_once(':')?;
    let is_version = version.starts_with(|first: char| first.is_ascii_digit());
    (is_version && !prefix.contains('/')).then_some((prefix, version))
}

/// An address of a registry with a slash at its end, or `None` where it is no http(s) address.
pub(super) fn registry_url(text: &str) -> Option<Url> {
    let mut url = Url::parse(text.trim()).ok()?;
    if !matches!(url.scheme(), "http" | "https") || url.host_str().is_none() {
        return None;
    }
    url.set_query(None);
    url.set_fragment(None);
    if !url.path().ends_with('/') {
        let path = format!("{}/", url.path());
        url.set_path(&path);
    }
    Some(url)
}

/// What the user's npm says its registry is. Asked when it is first needed; remembered in a file,
/// because starting npm takes longer than a warm install.
#[derive(Debug)]
pub(super) struct NpmRegistry {
    program: Option<PathBuf>,
    memory: Option<PathBuf>,
    environment: Environment,
    answer: OnceLock<Result<Url, String>>,
}

impl NpmRegistry {
    /// `memory`: the file that keeps the answer.
    pub(super) fn new(environment: &Environment, memory: Option<PathBuf>) -> Self {
        Self {
            program: find_npm(environment),
            memory,
            environment: environment.clone(),
            answer: OnceLock::new(),
        }
    }

    fn get(&self) -> Result<Url, ConfigError> {
        let answer = self.answer.get_or_init(|| self.find());
        answer
            .clone()
            .map_err(|reason| ConfigError::NoRegistry { reason })
    }

    fn find(&self) -> Result<Url, String> {
        let program = self.program.as_ref().ok_or("there is no npm on the PATH")?;
        let key = self.key(program);
        if let Some(url) = self.recall(&key) {
            return Ok(url);
        }
        let mut command = Command::new(program);
        command.args(["config", "get", "registry"]);
        command.env_clear().envs(self.environment.variables());
        // Not the current directory: a project's own file must not be remembered for others.
        command.current_dir(self.environment.home().unwrap_or(Path::new("/")));
        let answer = answer_of(command, NPM_TIMEOUT)?;
        let url = registry_url(&answer).ok_or("its answer is not an http or https URL")?;
        self.remember(&key, &url);
        Ok(url)
    }

    /// What the answer depends on: the program, the variables for it, its global file and the
    /// user's.
    fn key(&self, program: &Path) -> String {
        let stamp = |path: &Path| {
            let metadata = std::fs::metadata(path).ok()?;
            let modified = metadata.modified().ok()?.duration_since(UNIX_EPOCH).ok()?;
            Some(format!("{}:{}", modified.as_nanos(), metadata.len()))
        };
        let mut parts = vec![
            program.display().to_string(),
            stamp(program).unwrap_or_default(),
        ];
        let global = program
            .parent()
            .and_then(Path::parent)
            .map(|prefix| prefix.join("etc"));
        for directory in self.environment.home().into_iter().chain(global.as_deref()) {
            let name = if Some(directory) == self.environment.home() {
                ".npmrc"
            } else {
                "npmrc"
            };
            parts.push(stamp(&directory.join(name)).unwrap_or_default());
        }
        for (name, value) in self.environment.variables() {
            if name.to_ascii_lowercase().starts_with("npm_config_") && name.len() < 64 {
                parts.push(format!("{name}={value}"));
            }
        }
        let digest = <sha2::Sha256 as sha2::Digest>::digest(parts.join("\n").as_bytes());
        hexadecimal(&digest)
    }

    fn recall(&self, key: &str) -> Option<Url> {
        let text = std::fs::read_to_string(self.memory.as_ref()?).ok()?;
        let (stored_key, url) = text.trim_end().split_once('\n')?;
        (stored_key == key).then(|| registry_url(url)).flatten()
    }

    /// Failing to remember costs the next run the time to ask again, so it is no error.
    fn remember(&self, key: &str, url: &Url) {
        let Some(memory) = &self.memory else { return };
        let Some(directory) = memory.parent() else {
            return;
        };
        let write = || -> std::io::Result<()> {
            crate::sys::directory::make(directory)?;
            crate::sys::file::replace(memory, format!("{key}\n{url}\n").as_bytes(), None)
        };
        if let Err(error) = write() {
            tracing::debug!(%error, "the registry of npm was not remembered");
        }
    }
}

fn find_npm(environment: &Environment) -> Option<PathBuf> {
    let path = environment.variable("PATH")?;
    std::env::split_paths(path)
        .filter(|directory| directory.is_absolute())
        .map(|directory| directory.join("npm"))
        .find(|candidate| candidate.is_file())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_registry_is_an_http_address_with_a_slash() {
        for (text, expected) in [
            ("https://h.test", Some("https://h.test/")),
            ("https://h.test/a", Some("https://h.test/a/")),
            ("http://h.test:4873/?q#f", Some("http://h.test:4873/")),
            (" https://h.test/\n", Some("https://h.test/")),
            ("file:///etc/passwd", None),
            ("ftp://h.test/", None),
            ("h.test", None),
            ("javascript:x", None),
            ("", None),
            ("https://", None),
            ("undefined", None),
        ] {
            assert_eq!(
                registry_url(text).as_ref().map(Url::as_str),
                expected,
                "{text}"
            );
        }
    }

    #[test]
    fn npm_is_asked_once_and_remembered_until_it_changes() {
        let directory = tempfile::tempdir().expect("a directory");
        let npm = directory.path().join("npm");
        let log = directory.path().join("log");
        let memory = directory.path().join("state/registry");
        let write_npm = |answer: &str| {
            let text = format!("#!/bin/sh\necho run >> {}\necho {answer}\n", log.display());
            pacquet_test_registry::program::write(&npm, text);
        };
        let ask = || {
            let path = format!("{}:/usr/bin:/bin", directory.path().display());
            let environment = Environment::new([("PATH".into(), path.into())], "/".into());
            NpmRegistry::new(&environment, Some(memory.clone()))
                .get()
                .map(String::from)
        };
        let runs = || std::fs::read_to_string(&log).map_or(0, |text| text.lines().count());
        write_npm("https://one.test/");
        assert_eq!(ask().expect("an answer"), "https://one.test/");
        assert_eq!(ask().expect("an answer"), "https://one.test/");
        assert_eq!(runs(), 1);
        write_npm("https://the-second.test/");
        assert_eq!(ask().expect("an answer"), "https://the-second.test/");
        assert_eq!(runs(), 2);
        std::fs::write(&memory, "garbage").expect("written");
        assert_eq!(ask().expect("an answer"), "https://the-second.test/");
        write_npm("this is no address at all");
        assert!(matches!(ask(), Err(ConfigError::NoRegistry { .. })));
        std::fs::remove_file(&npm).expect("removed");
    }

    #[test]
    fn without_npm_the_error_says_what_to_write() {
        let environment = Environment::new([("PATH".into(), "/does/not/exist".into())], "/".into());
        let error = NpmRegistry::new(&environment, None)
            .get()
            .expect_err("no npm");
        let hint = crate::diagnostic::Diagnostic::hint(&error);
        assert!(hint.is_some_and(|hint| hint.contains("registry=")));
    }
}
