//! Keeps what a real registry serves for the packages of some lockfiles.
//!
//! The registry is the one that npm is configured with. Tarballs come first, packuments after;
//! what a recording already has is not asked for again, so an interrupted run is continued by
//! the same command.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;

use serde_json::{Map, Value, json};
use tokio::sync::Semaphore;
use tokio::task::JoinSet;

use crate::integrity;
use crate::package::tarball_path;
use crate::packument::{ABBREVIATED_TYPE, Form, abbreviate, rewrite_tarballs};
use crate::recording::{Index, PLACEHOLDER, PackumentFiles, Tarball, packument_path};

/// How often a request is tried before the run fails.
const ATTEMPTS: u32 = 4;

/// What to record, and where.
#[derive(Clone, Debug)]
pub struct Options {
    /// The `pnpm-lock.yaml` files whose packages are wanted.
    pub lockfiles: Vec<PathBuf>,
    /// The recording's folder; made if it is missing, continued if it is there.
    pub into: PathBuf,
    /// Which forms of packuments to ask for; none records only tarballs.
    pub packuments: Vec<Form>,
    /// Leave out versions published after this (ISO 8601 in UTC, as registries write it).
    pub before: Option<String>,
    /// `name@version`s to leave out of packuments.
    pub leave_out: Vec<String>,
    /// Further paths to record, as the replay lists them when they were asked for in vain:
    /// `/name` and `/name/-/name-1.0.0.tgz`.
    pub also: Vec<String>,
    /// Requests at a time.
    pub concurrency: usize,
}

/// Why a recording failed.
#[derive(Debug, thiserror::Error)]
pub enum RecordError {
    /// npm could not say which registry it uses.
    #[error("npm did not name a registry: {0}")]
    NoRegistry(String),
    /// A file could not be read or written.
    #[error("{path}: {source}")]
    File {
        /// Which file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// A lockfile has a line that is not understood.
    #[error("{path}: package {key} has no integrity")]
    Lockfile {
        /// Which lockfile.
        path: PathBuf,
        /// Which package.
        key: String,
    },
    /// The HTTP client could not be made.
    #[error("HTTP client: {0}")]
    Client(reqwest::Error),
    /// A request failed every time.
    #[error("{what}: {reason}")]
    Request {
        /// A package, without its address.
        what: String,
        /// The last failure.
        reason: String,
    },
    /// A tarball is not what the lockfile says.
    #[error("{package}: the lockfile says {expected}, the tarball is {actual}")]
    Integrity {
        /// `name@version`.
        package: String,
        /// From the lockfile.
        expected: String,
        /// Computed.
        actual: String,
    },
}

fn file_error(path: &Path) -> impl FnOnce(io::Error) -> RecordError + '_ {
    move |source| RecordError::File {
        path: path.to_owned(),
        source,
    }
}

/// A package that a lockfile names.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Locked {
    /// `name@version`.
    pub key: String,
    /// The package's name.
    pub name: String,
    /// Its version.
    pub version: String,
    /// `resolution.integrity`.
    pub integrity: String,
    /// Whether `os`, `cpu` and `libc` allow this machine.
    pub here: bool,
}

/// Finds the registry packages in the text of a `pnpm-lock.yaml` 9.0 (only its `packages`
/// section is looked at, and only entries of the form `name@version`).
pub fn locked_packages(path: &Path, text: &str) -> Result<Vec<Locked>, RecordError> {
    let mut found: Vec<Locked> = Vec::new();
    let mut key: Option<String> = None;
    // The package to which the lines after its `resolution` belong.
    let mut current: Option<usize> = None;
    let lines = text.lines().skip_while(|line| *line != "packages:").skip(1);
    for line in lines.take_while(|line| line.is_empty() || line.starts_with(' ')) {
        if let Some(text) = line
            .strip_prefix("  ")
            .filter(|text| !text.starts_with(' '))
        {
            key = Some(text.trim_end_matches(':').trim_matches('\'').to_owned());
            current = None;
        } else if let Some((here, wanted)) = platform_field(line.trim()) {
            if let Some(package) = current.and_then(|index| found.get_mut(index)) {
                package.here &= allows(wanted, here);
            }
        } else if let Some(resolution) = line.trim().strip_prefix("resolution: ") {
            let Some(key) = key.take().filter(|key| !key.contains(':')) else {
                continue;
            };
            let integrity = resolution
                .split(['{', ',', '}'])
                .find_map(|part| part.trim().strip_prefix("integrity: "))
                .ok_or_else(|| RecordError::Lockfile {
                    path: path.into(),
                    key: key.clone(),
                })?;
            let at = key.rfind('@').unwrap_or(key.len());
            let (name, version) = (key[..at].to_owned(), key[at + 1..].to_owned());
            current = Some(found.len());
            found.push(Locked {
                key,
                name,
                version,
                integrity: integrity.to_owned(),
                here: true,
            });
        }
    }
    Ok(found)
}

/// This machine's value of a lockfile's platform field, and what the line asks for:
/// `os: [linux]`.
fn platform_field(line: &str) -> Option<(&'static str, &str)> {
    let (field, wanted) = line.split_once(": ")?;
    let here = match (field, std::env::consts::OS, std::env::consts::ARCH) {
        ("os", "macos", _) => "darwin",
        ("os", os, _) => os,
        ("cpu", _, "x86_64") => "x64",
        ("cpu", _, "aarch64") => "arm64",
        ("cpu", _, cpu) => cpu,
        ("libc", _, _) if cfg!(target_env = "musl") => "musl",
        ("libc", _, _) => "glibc",
        _ => return None,
    };
    Some((here, wanted))
}

/// Whether a list like `[linux, darwin]` or `['!win32']` allows `here`.
fn allows(list: &str, here: &str) -> bool {
    let mut words = list
        .split(['[', ']', ',', '\'', ' '])
        .filter(|word| !word.is_empty())
        .peekable();
    if words.peek().is_some_and(|word| word.starts_with('!')) {
        return words.all(|word| word.strip_prefix('!') != Some(here));
    }
    words.any(|word| word == here || word == "any")
}

/// What a path of a registry names: a package, or one version of it.
fn also(path: &str) -> Option<(String, Option<String>)> {
    let path = path.strip_prefix('/')?;
    if let Some((name, file)) = path.split_once("/-/") {
        let base = name.rsplit('/').next()?;
        let version = file
            .strip_prefix(base)?
            .strip_prefix('-')?
            .strip_suffix(".tgz")?;
        return Some((name.to_owned(), Some(version.to_owned())));
    }
    let slashes = path.matches('/').count();
    let is_name = slashes == usize::from(path.starts_with('@')) && !path.starts_with('-');
    is_name.then(|| (path.to_owned(), None))
}

/// Records, and calls `progress` with one line now and then. Returns the index.
pub fn record(options: &Options, progress: &dyn Fn(&str)) -> Result<Index, RecordError> {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .map_err(file_error(Path::new("runtime")))?;
    runtime.block_on(run(options, progress))
}

async fn run(options: &Options, progress: &dyn Fn(&str)) -> Result<Index, RecordError> {
    for folder in ["tarballs", "packuments"] {
        let path = options.into.join(folder);
        fs::create_dir_all(&path).map_err(file_error(&path))?;
    }
    let index_path = options.into.join("recording.json");
    let mut index = Index::read(&options.into).map_err(file_error(&index_path))?;
    let mut locked = BTreeMap::new();
    for path in &options.lockfiles {
        let text = fs::read_to_string(path).map_err(file_error(path))?;
        for package in locked_packages(path, &text)? {
            locked.insert(package.key.clone(), package);
        }
    }
    let fetcher = Arc::new(Fetcher::new(options)?);
    let mut names: BTreeSet<String> = locked
        .values()
        .map(|package| package.name.clone())
        .collect();
    for path in &options.also {
        match also(path) {
            Some((name, Some(version))) => {
                let package = fetcher.locked(&name, &version).await?;
                locked.insert(package.key.clone(), package);
            }
            Some((name, None)) => {
                names.insert(name);
            }
            None => {}
        }
    }
    progress(&format!(
        "{} packages in {} lockfiles",
        locked.len(),
        options.lockfiles.len()
    ));
    // No installer downloads what is for another platform, and some of it is large.
    let here = locked.values().filter(|package| package.here);
    fetch_tarballs(&fetcher, here, &mut index, progress).await?;
    index
        .write(&options.into)
        .map_err(file_error(&index_path))?;
    if !options.packuments.is_empty() {
        fetch_packuments(&fetcher, names, &mut index, progress).await?;
        index
            .write(&options.into)
            .map_err(file_error(&index_path))?;
    }
    Ok(index)
}

async fn fetch_tarballs(
    fetcher: &Arc<Fetcher>,
    locked: impl Iterator<Item = &Locked>,
    index: &mut Index,
    progress: &dyn Fn(&str),
) -> Result<(), RecordError> {
    let mut tasks = JoinSet::new();
    for package in locked.filter(|package| !index.tarballs.contains_key(&package.key)) {
        let (fetcher, package) = (Arc::clone(fetcher), package.clone());
        tasks.spawn(async move { fetcher.tarball(package).await });
    }
    let total = tasks.len();
    while let Some(result) = tasks.join_next().await {
        let (key, tarball) = result.map_err(panicked)??;
        index.tarballs.insert(key, tarball);
        if (total - tasks.len()).is_multiple_of(200) {
            index
                .write(&fetcher.options.into)
                .map_err(file_error(&fetcher.options.into))?;
            progress(&format!("tarballs: {} of {total}", total - tasks.len()));
        }
    }
    Ok(())
}

async fn fetch_packuments(
    fetcher: &Arc<Fetcher>,
    names: BTreeSet<String>,
    index: &mut Index,
    progress: &dyn Fn(&str),
) -> Result<(), RecordError> {
    let mut tasks = JoinSet::new();
    let before = &fetcher.options.before;
    let known = |name: &String| {
        index
            .packuments
            .get(name)
            .is_some_and(|p| p.before == *before)
    };
    for name in names.into_iter().filter(|name| !known(name)) {
        let fetcher = Arc::clone(fetcher);
        tasks.spawn(async move { fetcher.packuments(name).await });
    }
    let total = tasks.len();
    while let Some(result) = tasks.join_next().await {
        let (name, files) = result.map_err(panicked)??;
        index.packuments.insert(name, files);
        if (total - tasks.len()).is_multiple_of(100) {
            index
                .write(&fetcher.options.into)
                .map_err(file_error(&fetcher.options.into))?;
            progress(&format!("packuments: {} of {total}", total - tasks.len()));
        }
    }
    Ok(())
}

fn panicked(error: tokio::task::JoinError) -> RecordError {
    RecordError::Request {
        what: "a task".to_owned(),
        reason: error.to_string(),
    }
}

struct Fetcher {
    client: reqwest::Client,
    registry: String,
    options: Options,
    slots: Semaphore,
}

impl Fetcher {
    fn new(options: &Options) -> Result<Self, RecordError> {
        let slots = Semaphore::new(options.concurrency.max(1));
        Ok(Self {
            client: client()?,
            registry: npm_registry()?,
            options: options.clone(),
            slots,
        })
    }

    /// Asks until there is an answer; the body and its content type.
    async fn get(
        &self,
        what: &str,
        path: &str,
        accept: &str,
    ) -> Result<(Vec<u8>, String), RecordError> {
        let url = format!("{}{path}", self.registry);
        let mut reason = String::new();
        for attempt in 0..ATTEMPTS {
            if attempt > 0 {
                tokio::time::sleep(std::time::Duration::from_secs(1 << attempt)).await;
            }
            let slot = self.slots.acquire().await;
            let answer = self.client.get(&url).header("accept", accept).send().await;
            let body = match answer.and_then(reqwest::Response::error_for_status) {
                Ok(response) => {
                    let header = response.headers().get("content-type");
                    let kind = header
                        .and_then(|v| v.to_str().ok())
                        .unwrap_or("")
                        .to_owned();
                    response.bytes().await.map(|bytes| (bytes.to_vec(), kind))
                }
                Err(error) => Err(error),
            };
            drop(slot);
            match body {
                Ok(body) => return Ok(body),
                // The address may hold credentials, so it is not shown.
                Err(error) => reason = error.without_url().to_string(),
            }
        }
        Err(RecordError::Request {
            what: what.to_owned(),
            reason,
        })
    }

    /// Asks for the integrity of a version that no lockfile names.
    async fn locked(&self, name: &str, version: &str) -> Result<Locked, RecordError> {
        let key = format!("{name}@{version}");
        let path = format!("/{}/{version}", name.replace('/', "%2f"));
        let (bytes, _) = self.get(&key, &path, "application/json").await?;
        let manifest = parse(name, &bytes)?;
        let Some(integrity) = manifest["dist"]["integrity"].as_str() else {
            return Err(RecordError::Request {
                what: key,
                reason: "no integrity".to_owned(),
            });
        };
        let integrity = integrity.to_owned();
        Ok(Locked {
            key,
            name: name.to_owned(),
            version: version.to_owned(),
            integrity,
            here: true,
        })
    }

    async fn tarball(&self, package: Locked) -> Result<(String, Tarball), RecordError> {
        let path = tarball_path(&package.name, &package.version);
        let (bytes, _) = self.get(&package.key, &path, "*/*").await?;
        let actual = match package.integrity.split('-').next() {
            Some("sha512") => integrity::sha512(&bytes),
            Some("sha256") => integrity::sha256(&bytes),
            _ => integrity::sha1(&bytes),
        };
        if actual != package.integrity {
            let (package, expected) = (package.key, package.integrity);
            return Err(RecordError::Integrity {
                package,
                expected,
                actual,
            });
        }
        let file = format!("{}.tgz", integrity::sha256_hexadecimal(&bytes));
        let target = self.options.into.join("tarballs").join(&file);
        fs::write(&target, &bytes).map_err(file_error(&target))?;
        let bytes = bytes.len() as u64;
        Ok((
            package.key,
            Tarball {
                path,
                file,
                bytes,
                integrity: package.integrity,
            },
        ))
    }

    async fn packuments(&self, name: String) -> Result<(String, PackumentFiles), RecordError> {
        let path = format!("/{}", name.replace('/', "%2f"));
        let (bytes, _) = self.get(&name, &path, "application/json").await?;
        let mut full = parse(&name, &bytes)?;
        drop(bytes);
        self.cut(&name, &mut full);
        let mut short = None;
        if self.options.packuments.contains(&Form::Abbreviated) {
            let (bytes, kind) = self.get(&name, &path, ABBREVIATED_TYPE).await?;
            if kind.starts_with(ABBREVIATED_TYPE) {
                short = Some(follow(parse(&name, &bytes)?, &full));
            }
        }
        let short = short.unwrap_or_else(|| abbreviate(&full));
        for (form, mut packument) in [(Form::Full, full), (Form::Abbreviated, short)] {
            rewrite_tarballs(&mut packument, |version, _| {
                format!("{PLACEHOLDER}{}", tarball_path(&name, version))
            });
            let target = packument_path(&self.options.into, &name, form);
            fs::write(&target, packument.to_string()).map_err(file_error(&target))?;
            if form == Form::Abbreviated {
                let versions = packument["versions"].as_object().map_or(0, Map::len);
                let before = self.options.before.clone();
                return Ok((name, PackumentFiles { before, versions }));
            }
        }
        Ok((name, PackumentFiles::default()))
    }

    /// Drops the versions that were published too late or are not wanted, and the tags on them.
    fn cut(&self, name: &str, full: &mut Value) {
        let times = full["time"].as_object().cloned().unwrap_or_default();
        let time = |version: &str| {
            times
                .get(version)
                .and_then(Value::as_str)
                .unwrap_or_default()
        };
        let before = self.options.before.as_deref();
        let kept = |version: &str| {
            let late = before.is_some_and(|before| later(time(version), before));
            !late
                && !self
                    .options
                    .leave_out
                    .contains(&format!("{name}@{version}"))
        };
        if let Some(versions) = full["versions"].as_object_mut() {
            versions.retain(|version, _| kept(version));
        }
        let versions = full["versions"].as_object().cloned().unwrap_or_default();
        if let Some(tags) = full["dist-tags"].as_object_mut() {
            tags.retain(|_, version| version.as_str().is_some_and(|v| versions.contains_key(v)));
            if !tags.contains_key("latest")
                && let Some(latest) = highest(versions.keys())
            {
                tags.insert("latest".to_owned(), json!(latest));
            }
        }
        let last = versions
            .keys()
            .map(|version| time(version))
            .max()
            .unwrap_or_default();
        if let Some(times) = full["time"].as_object_mut() {
            times.retain(|key, _| versions.contains_key(key) || key == "created");
            times.insert("modified".to_owned(), json!(last));
        }
    }
}

/// Whether an ISO 8601 time in UTC is later than another; both may have milliseconds.
fn later(time: &str, than: &str) -> bool {
    time.trim_end_matches('Z') > than.trim_end_matches('Z')
}

/// The highest stable version, or else the highest.
fn highest<'a>(versions: impl Iterator<Item = &'a String>) -> Option<&'a String> {
    versions
        .filter_map(|text| Some((node_semver::Version::parse(text).ok()?, text)))
        .max_by(|(left, _), (right, _)| {
            let stable = |version: &node_semver::Version| version.pre_release.is_empty();
            stable(left)
                .cmp(&stable(right))
                .then_with(|| left.cmp(right))
        })
        .map(|(_, text)| text)
}

/// Brings an abbreviated packument to the versions and tags of the full one.
fn follow(mut short: Value, full: &Value) -> Value {
    if let (Some(versions), Some(kept)) = (
        short["versions"].as_object_mut(),
        full["versions"].as_object(),
    ) {
        versions.retain(|version, _| kept.contains_key(version));
    }
    short["dist-tags"] = full["dist-tags"].clone();
    short["modified"] = full["time"]["modified"].clone();
    short
}

fn parse(name: &str, bytes: &[u8]) -> Result<Value, RecordError> {
    let value: Value = serde_json::from_slice(bytes).map_err(|error| RecordError::Request {
        what: name.into(),
        reason: error.to_string(),
    })?;
    if value["name"] != json!(name) {
        let reason = format!("the packument is of {}", value["name"]);
        return Err(RecordError::Request {
            what: name.to_owned(),
            reason,
        });
    }
    Ok(value)
}

/// The registry that npm is configured with, without a slash at its end.
pub fn npm_registry() -> Result<String, RecordError> {
    let output = Command::new("npm")
        .args(["config", "get", "registry"])
        .output()
        .map_err(|error| RecordError::NoRegistry(error.to_string()))?;
    let text = String::from_utf8_lossy(&output.stdout)
        .trim()
        .trim_end_matches('/')
        .to_owned();
    if text.starts_with("http") {
        Ok(text)
    } else {
        Err(RecordError::NoRegistry(text))
    }
}

fn client() -> Result<reqwest::Client, RecordError> {
    let mut roots = rustls::RootCertStore::empty();
    roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let tls = rustls::ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .expect("invariant: the provider supports the default protocol versions")
        .with_root_certificates(roots)
        .with_no_client_auth();
    reqwest::Client::builder()
        .tls_backend_preconfigured(tls)
        .read_timeout(std::time::Duration::from_secs(60))
        .build()
        .map_err(RecordError::Client)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn registry_packages_are_found_in_a_lockfile() {
        let text = "importers:\n\n  .: {}\n\npackages:\n\n  '@s/a@1.0.0':\n    resolution: \
            {integrity: sha512-x==}\n    engines: {node: '>=4'}\n\n  b@https://host/b.tgz:\n    \
            resolution: {tarball: https://host/b.tgz}\n    os: [none]\n\n  d@1.0.0:\n    \
            resolution: {integrity: sha512-y==}\n    os: [none]\n\nsnapshots:\n\n  c@1.0.0: {}\n";
        let found = locked_packages(Path::new("lock"), text).unwrap();
        let wanted = Locked {
            key: "@s/a@1.0.0".into(),
            name: "@s/a".into(),
            version: "1.0.0".into(),
            integrity: "sha512-x==".into(),
            here: true,
        };
        assert_eq!(found[0], wanted);
        assert_eq!((found.len(), found[1].here), (2, false));
        let bad = "packages:\n\n  a@1.0.0:\n    resolution: {directory: a, type: directory}\n";
        assert!(locked_packages(Path::new("lock"), bad).is_err());
    }

    #[test]
    fn platforms_are_told_apart() {
        for (list, allowed) in [
            ("[linux]", true),
            ("[darwin, linux]", true),
            ("['!linux']", false),
            ("['!win32', '!aix']", true),
            ("[darwin]", false),
        ] {
            assert_eq!(allows(list, "linux"), allowed, "{list}");
        }
        assert_eq!(platform_field("engines: {node: '>=4'}"), None);
    }

    #[test]
    fn paths_name_packages_and_versions() {
        let version = |name: &str, version: &str| Some((name.into(), Some(version.into())));
        assert_eq!(also("/a/-/a-1.0.0-rc.1.tgz"), version("a", "1.0.0-rc.1"));
        assert_eq!(also("/@s/a/-/a-1.0.0.tgz"), version("@s/a", "1.0.0"));
        assert_eq!(also("/@s/a"), Some(("@s/a".into(), None)));
        for path in [
            "/a/b",
            "a",
            "/-/ping",
            "/@s",
            "/a/-/b-1.0.0.tgz",
            "/@s/a/1.0.0",
        ] {
            assert_eq!(also(path), None, "{path}");
        }
    }

    #[test]
    fn times_are_compared_with_and_without_milliseconds() {
        assert!(later("2026-11-01T12:00:00.001Z", "2026-11-01T12:00:00Z"));
        assert!(!later("2026-10-31T23:00:00.000Z", "2026-11-01T12:00:00Z"));
        assert!(later("2026-11-02T00:00:00.000Z", "2026-11-01T12:00:00Z"));
    }

    #[test]
    fn the_latest_tag_falls_back_to_the_highest_stable_version() {
        let versions = ["1.0.0", "2.0.0-beta.1", "1.10.0", "1.9.0"].map(str::to_owned);
        assert_eq!(highest(versions.iter()).unwrap(), "1.10.0");
        assert_eq!(highest(versions[1..2].iter()).unwrap(), "2.0.0-beta.1");
    }
}
