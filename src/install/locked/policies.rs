//! Whether what a lockfile has of registries keeps to `minimumReleaseAge` and `trustPolicy`.
//!
//! Where somebody set one of them, every package of a registry is held against it, with what the
//! cache knows or else the registry says, once for each set of packages and policies: that it was
//! done is noted in the cache. An age that nobody set is held against what is fetched alone, and
//! nothing is asked unless an archive says itself that it was changed since ([`Fetched`]).

use std::fs;
use std::path::PathBuf;
use std::sync::Arc;

use jiff::Timestamp;
use sha2::{Digest, Sha256};

use super::addresses::registry_version;
use super::asking::ask_all;
use super::error::InstallError;
use super::sources::Wanted;
use crate::diagnostic::Diagnostic as _;
use crate::install::config::{Config, Registries, TrustPolicy};
use crate::install::lockfile::{Lockfile, Resolution};
use crate::install::metadata::{Form, Packument, Packuments};
use crate::install::pick::{PatternError, PickOptions};
use crate::install::registry::{Client, ClientLimits, Url};
use crate::name::{PackageName, hexadecimal};
use crate::report::Reporter;
use crate::store::Store;

/// Notes that are kept; then all are forgotten.
const NOTES_MAX: usize = 1000;

/// What is wrong with a package.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Violation {
    /// `name@version`.
    pub id: Box<str>,
    /// The code of an error that is about nothing else.
    pub code: &'static str,
    /// What is wrong, without the package.
    pub reason: String,
}

/// A package of a registry.
pub(super) struct Entry<'a> {
    pub(super) id: &'a str,
    pub(super) name: PackageName,
    pub(super) version: &'a str,
    pub(super) registry: Url,
}

impl<'a> Entry<'a> {
    fn new(registries: &Registries, id: &'a str) -> Result<Option<Self>, InstallError> {
        let Some((name, version)) = registry_version(id) else {
            return Ok(None);
        };
        let registry = registries.registry_of_id(&name, id)?;
        Ok(Some(Self {
            id,
            name,
            version,
            registry,
        }))
    }

    fn violates(&self, code: &'static str, reason: String) -> Answer {
        let id = self.id.into();
        Answer::Violates(Violation { id, code, reason })
    }
}

/// What was found out about an entry.
enum Answer {
    Keeps,
    Violates(Violation),
    /// Nothing: the cache does not tell, and nobody may be asked.
    Unknown,
}

/// What metadata says of the age of a version.
enum Age {
    Enough,
    Published(Timestamp),
    Unknown,
}

/// The policies.
struct Policies {
    options: PickOptions,
}

impl Policies {
    fn new(config: &Config) -> Result<Self, PatternError> {
        let options = PickOptions::new(&config.resolution, Timestamp::now())?;
        Ok(Self { options })
    }

    /// Those that somebody set, `None` where that is none.
    fn set(config: &Config) -> Result<Option<Self>, PatternError> {
        if !is_set(config) {
            return Ok(None);
        }
        let mut policies = Self::new(config)?;
        // Where every package is asked about for its trust, its age is told too.
        if config.resolution.minimum_release_age_is_implied && policies.options.trust.is_none() {
            policies.options.published_by = None;
        }
        Ok(Some(policies))
    }

    /// What is wrong with `entries`, sorted. Whether everything could be found out is told too:
    /// offline, what the cache does not know is let through.
    fn violations(
        &self,
        entries: &[Entry<'_>],
        config: &Config,
        client: Client,
    ) -> Result<(Vec<Violation>, bool), InstallError> {
        let packuments = Packuments::new(config, Arc::new(client));
        let is_offline = config.network.offline;
        let mut found = Vec::new();
        let mut is_complete = true;
        let checks = entries
            .iter()
            .map(|entry| self.check(entry, &packuments, is_offline));
        ask_all(checks, |answer| match answer {
            Answer::Keeps => {}
            Answer::Violates(violation) => found.push(violation),
            Answer::Unknown => is_complete = false,
        })?;
        found.sort();
        Ok((found, is_complete))
    }

    /// The first policy that an entry does not keep to is told.
    async fn check(
        &self,
        entry: &Entry<'_>,
        packuments: &Packuments,
        is_offline: bool,
    ) -> Result<Answer, InstallError> {
        match self.check_age(entry, packuments, is_offline).await? {
            Answer::Keeps => self.check_trust(entry, packuments, is_offline).await,
            answer => Ok(answer),
        }
    }

    fn concerns_age_of(&self, entry: &Entry<'_>) -> bool {
        let excluded = self.options.published_by_exclude.of(&entry.name);
        self.options.published_by.is_some() && !excluded.covers(entry.version)
    }

    async fn check_age(
        &self,
        entry: &Entry<'_>,
        packuments: &Packuments,
        is_offline: bool,
    ) -> Result<Answer, InstallError> {
        let Some(until) = self.options.published_by else {
            return Ok(Answer::Keeps);
        };
        if !self.concerns_age_of(entry) {
            return Ok(Answer::Keeps);
        }
        let (name, registry) = (&entry.name, &entry.registry);
        for form in [Form::Abbreviated, Form::Full] {
            let known = packuments.cached(name, registry, form);
            if let Some(told) = known.and_then(|known| age_told_by(&known, entry, until)) {
                return Ok(told);
            }
        }
        if is_offline {
            return Ok(Answer::Unknown);
        }
        // The full form is asked for once where it is needed for the trust.
        let forms: &[Form] = match self.options.trust {
            Some(_) => &[Form::Full],
            None => &[Form::Abbreviated, Form::Full],
        };
        for form in forms {
            let packument = packuments.packument(name, registry, *form).await?;
            if let Some(told) = age_told_by(&packument, entry, until) {
                return Ok(told);
            }
            if packument.find(entry.version).is_none() {
                return Ok(entry.violates(YOUNG, ABSENT.to_owned()));
            }
        }
        let reason = "was published at a time that its registry does not tell".to_owned();
        Ok(match self.options.ignore_missing_time {
            true => Answer::Keeps,
            false => entry.violates(YOUNG, reason),
        })
    }

    async fn check_trust(
        &self,
        entry: &Entry<'_>,
        packuments: &Packuments,
        is_offline: bool,
    ) -> Result<Answer, InstallError> {
        let Some(trust) = &self.options.trust else {
            return Ok(Answer::Keeps);
        };
        let (name, registry) = (&entry.name, &entry.registry);
        let known = packuments
            .cached(name, registry, Form::Full)
            .and_then(|known| Some((known.find(entry.version)?, known)));
        let (version, packument) = match known {
            Some(known) => known,
            None if is_offline => return Ok(Answer::Unknown),
            None => {
                let packument = packuments.packument(name, registry, Form::Full).await?;
                let Some(version) = packument.find(entry.version) else {
                    return Ok(entry.violates("ERR_PNPM_TRUST_CHECK_FAIL", ABSENT.to_owned()));
                };
                (version, packument)
            }
        };
        Ok(match trust.check(&packument, version) {
            Ok(()) => Answer::Keeps,
            Err(error) => entry.violates(error.code(), error.to_string()),
        })
    }

    /// Where it is noted that `entries` were found to keep to these policies.
    fn note(&self, entries: &[Entry<'_>], config: &Config) -> PathBuf {
        let resolution = &config.resolution;
        let mut digest = Sha256::new();
        let age = (self.options.published_by).and(resolution.minimum_release_age);
        let policies = (
            age,
            &resolution.minimum_release_age_exclude,
            resolution.minimum_release_age_ignore_missing_time,
            resolution.trust_policy,
            &resolution.trust_policy_exclude,
            resolution.trust_policy_ignore_after,
        );
        digest.update(format!("{policies:?}\n"));
        for entry in entries {
            digest.update(format!("{} {}\n", entry.id, entry.registry));
        }
        let notes = config.cache_directory.join("verified-lockfiles");
        notes.join(hexadecimal(&digest.finalize()))
    }
}

const YOUNG: &str = "ERR_PNPM_MINIMUM_RELEASE_AGE_VIOLATION";

/// What is wrong with a version that metadata does not know.
const ABSENT: &str = "is not in its registry";

/// Whether the entry is old enough, where `packument` tells.
fn age_told_by(packument: &Packument, entry: &Entry<'_>, until: Timestamp) -> Option<Answer> {
    match age(packument, entry.version, until) {
        Age::Enough => Some(Answer::Keeps),
        Age::Published(time) => Some(too_young(entry, time, until)),
        Age::Unknown => None,
    }
}

fn age(packument: &Packument, version: &str, until: Timestamp) -> Age {
    let Some(index) = packument.find(version) else {
        return Age::Unknown;
    };
    match (packument.time(index), packument.modified()) {
        (Some(time), _) if time > until => Age::Published(time),
        (Some(_), _) => Age::Enough,
        (None, Some(modified)) if modified <= until => Age::Enough,
        _ => Age::Unknown,
    }
}

fn too_young(entry: &Entry<'_>, time: Timestamp, until: Timestamp) -> Answer {
    let reason =
        format!("was published at {time:.3}, within the minimumReleaseAge cutoff ({until:.3})");
    entry.violates(YOUNG, reason)
}

/// Whether somebody set a policy that locked packages are held against.
fn is_set(config: &Config) -> bool {
    let resolution = &config.resolution;
    let has_age = resolution.minimum_release_age.is_some();
    !config.lockfile.is_trusted
        && ((has_age && !resolution.minimum_release_age_is_implied)
            || resolution.trust_policy != TrustPolicy::Off)
}

/// The packages of registries in `lockfile`.
pub(super) fn entries<'a>(
    lockfile: &'a Lockfile,
    registries: &Registries,
) -> Result<Vec<Entry<'a>>, InstallError> {
    let mut entries = Vec::with_capacity(lockfile.packages.len());
    for (id, package) in &lockfile.packages {
        if matches!(package.resolution, Resolution::Tarball { .. }) {
            entries.extend(Entry::new(registries, id.as_str())?);
        }
    }
    Ok(entries)
}

/// Refuses a lockfile of which packages do not keep to policies that somebody set. Whether all of
/// them could be looked into.
///
/// # Errors
/// [`InstallError::Policies`]; metadata cannot be had.
pub fn verify_policies(
    lockfile: &Lockfile,
    config: &Config,
    store: &Store,
    reporter: &Arc<dyn Reporter>,
) -> Result<bool, InstallError> {
    let Some(policies) = Policies::set(config)? else {
        return Ok(true);
    };
    let _span = tracing::info_span!("verify_policies").entered();
    let entries = entries(lockfile, &config.registries)?;
    let note = policies.note(&entries, config);
    if note.exists() {
        return Ok(true);
    }
    let client = Client::new(config, ClientLimits::beside(store), Arc::clone(reporter));
    let (violations, is_complete) = policies.violations(&entries, config, client)?;
    if !violations.is_empty() {
        return Err(InstallError::Policies { violations });
    }
    if is_complete {
        write_note(&note);
    }
    Ok(is_complete)
}

/// Notes that `lockfile`, which was just made, keeps to the policies.
pub fn note_policies(lockfile: &Lockfile, config: &Config) -> Result<(), InstallError> {
    if let Some(policies) = Policies::set(config)? {
        let entries = entries(lockfile, &config.registries)?;
        write_note(&policies.note(&entries, config));
    }
    Ok(())
}

/// A note that cannot be written costs the next install some requests.
fn write_note(note: &std::path::Path) {
    let Some(directory) = note.parent() else {
        return;
    };
    let notes = fs::read_dir(directory).map(Iterator::count);
    if notes.is_ok_and(|count| count >= NOTES_MAX) {
        let _ = fs::remove_dir_all(directory);
    }
    let written = crate::sys::directory::make(directory)
        .and_then(|()| crate::sys::file::replace(note, b"", None));
    if let Err(error) = written {
        tracing::debug!(%error, path = %note.display(), "the note was not written");
    }
}

/// An age that nobody set, held against what is fetched.
pub(super) struct Fetched {
    policies: Policies,
}

impl Fetched {
    /// `None` where there is no such age, or the lockfile is trusted.
    pub(super) fn new(config: &Config) -> Result<Option<Self>, InstallError> {
        let resolution = &config.resolution;
        if config.lockfile.is_trusted
            || !resolution.minimum_release_age_is_implied
            || resolution.minimum_release_age.is_none()
        {
            return Ok(None);
        }
        let mut policies = Policies::new(config)?;
        policies.options.trust = None;
        Ok(Some(Self { policies }))
    }

    /// Whether the archive of a registry's package, which was last modified at `modified`, may be
    /// too young.
    pub(super) fn suspects(&self, wanted: &Wanted, modified: Option<Timestamp>) -> bool {
        let until = self.policies.options.published_by;
        let is_young = match (until, modified) {
            (Some(until), Some(time)) => time > until,
            _ => false,
        };
        let is_of_registry =
            wanted.runtime_manifest.is_none() && registry_version(&wanted.label).is_some();
        is_young && is_of_registry
    }

    /// Refuses those of `suspects` that are too young by their metadata.
    pub(super) fn check(
        &self,
        suspects: &[&Wanted],
        config: &Config,
        client: Client,
    ) -> Result<(), InstallError> {
        let mut entries = Vec::with_capacity(suspects.len());
        for suspect in suspects {
            entries.extend(Entry::new(&config.registries, &suspect.label)?);
        }
        let (violations, _) = self.policies.violations(&entries, config, client)?;
        match violations.is_empty() {
            true => Ok(()),
            false => Err(InstallError::Policies { violations }),
        }
    }
}
