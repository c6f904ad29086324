//! Bringing what is missing into the store: downloads on this thread, unpacking on the others.

use std::borrow::Cow;
use std::collections::HashSet;
use std::fs::File;
use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use jiff::Timestamp;

use super::error::InstallError;
use super::patches::Patches;
use super::policies::Fetched;
use super::sources::{Source, Wanted};
use super::{addresses, from_source, runtimes};
use crate::install::config::{Config, Environment};
use crate::install::git::{GitProgram, GitSource, pack_list_of_archive};
use crate::install::layout::LayoutError;
use crate::install::registry::{
    Body, Client, ClientLimits, Content, Delivery, FetchError, TarballRequest,
    canonical_tarball_url, remote_url,
};
use crate::install::scripts::Children;
use crate::limits::UNPACKED_BYTES_FLOOR;
use crate::name::RelativePath;
use crate::report::{Event, Reporter};
use crate::store::{
    Algorithm, IngestOptions, Integrity, PackageKey, Packed, PendingFile, Refusal, Store,
    StoreError, TarballSource, TransformError, Unpacker, start_workers,
};
use crate::sys;

/// Packages whose rows are written in one transaction. A killed install has to fetch at most this
/// many packages again.
const COMMIT_PACKAGES: usize = 128;

/// Bytes of archives that wait until their age is known: they take from what may be downloaded.
const HELD_BYTES_MAX: u64 = 16 << 20;

/// What a fetch works with.
pub(super) struct Fetcher<'a> {
    pub(super) store: &'a Store,
    pub(super) config: &'a Config,
    pub(super) environment: &'a Environment,
    pub(super) patches: &'a Patches,
    pub(super) children: &'a Children,
    pub(super) reporter: &'a Arc<dyn Reporter>,
    /// Whether addresses of archives are to be those that registries have.
    pub(super) checks_addresses: bool,
    /// How old what is fetched has to be.
    pub(super) ages: Option<Fetched>,
}

/// What the threads of a fetch share.
pub(super) struct Progress<'a> {
    fetcher: &'a Fetcher<'a>,
    pending: Mutex<Vec<Packed>>,
    done: Mutex<Vec<Packed>>,
    failure: Mutex<Option<InstallError>>,
    failed: AtomicBool,
    /// What did not arrive as it was sent and may be fetched again, and what is wrong with it.
    damaged: Mutex<Vec<(PackageKey, String)>>,
    /// How often.
    tries_left: AtomicU32,
}

impl Fetcher<'_> {
    /// Fetches and stores `missing`. Whatever arrived whole stays in the store even where another
    /// package fails.
    pub(super) fn fetch(&self, missing: &[&Wanted]) -> Result<Vec<Packed>, InstallError> {
        for wanted in missing {
            if let Source::Git { repository, commit } = &wanted.source {
                let path = wanted.subdirectory.as_ref().map(RelativePath::as_str);
                GitSource {
                    repo: repository,
                    commit,
                    path,
                }
                .check()?;
            }
        }
        if self.checks_addresses {
            addresses::check(self, missing)?;
        }
        let mut requests = Vec::new();
        let mut local = Vec::new();
        for wanted in missing {
            match self.request(wanted)? {
                Some(request) => requests.push((*wanted, request)),
                None => local.push(*wanted),
            }
        }
        start_workers().map_err(|source| LayoutError::Thread { source })?;
        let retries = self.config.network.retry.retries;
        let progress = Progress::new(self, missing.len()).with_tries(retries);
        let mut fetched = self.fetch_all(local, requests, &progress);
        for attempt in 2..=retries.saturating_add(1) {
            let damaged = progress.take_damaged();
            if fetched.is_err() || progress.has_failed() || damaged.is_empty() {
                break;
            }
            fetched = self.fetch_again(missing, &damaged, attempt, &progress);
        }
        progress.finish(fetched)
    }

    fn fetch_all<'s>(
        &'s self,
        local: Vec<&'s Wanted>,
        requests: Vec<(&'s Wanted, TarballRequest)>,
        progress: &'s Progress<'_>,
    ) -> Result<(), InstallError> {
        rayon::in_place_scope(|scope| {
            for wanted in local {
                scope.spawn(move |_| progress.take(wanted, None));
            }
            if requests.is_empty() {
                return Ok(());
            }
            let client = self.client();
            let mut suspects = Suspects::new(self.ages.as_ref());
            let screen = |wanted, delivery| suspects.screen(wanted, delivery);
            download(&client, requests, scope, progress, screen)?;
            if suspects.list.is_empty() || progress.has_failed() {
                return Ok(());
            }
            self.check_ages(&suspects)?;
            let mut requests = Vec::new();
            for (wanted, body) in suspects.list {
                match body {
                    Some(body) => {
                        let delivery = Delivery::Whole(body);
                        scope.spawn(move |_| progress.take(wanted, Some(delivery)));
                    }
                    None => {
                        requests.extend(self.request(wanted)?.map(|request| (wanted, request)));
                    }
                }
            }
            let all = |_: &Wanted, delivery| Some(delivery);
            Ok(download(&client, requests, scope, progress, all)?)
        })
    }

    /// Fetches once more what arrived other than it was sent. Nothing has to be waited for: who
    /// sent it can be reached.
    fn fetch_again(
        &self,
        missing: &[&Wanted],
        damaged: &[(PackageKey, String)],
        attempt: u32,
        progress: &Progress<'_>,
    ) -> Result<(), InstallError> {
        let mut requests = Vec::new();
        for wanted in missing {
            let Some((_, reason)) = damaged.iter().find(|(key, _)| *key == wanted.key) else {
                continue;
            };
            self.reporter.report(&Event::DownloadRetried {
                package: &wanted.label,
                attempt,
                reason,
            });
            requests.extend(self.request(wanted)?.map(|request| (*wanted, request)));
        }
        rayon::in_place_scope(|scope| {
            let all = |_: &Wanted, delivery| Some(delivery);
            Ok(download(&self.client(), requests, scope, progress, all)?)
        })
    }

    fn check_ages(&self, suspects: &Suspects<'_>) -> Result<(), InstallError> {
        let list = suspects.list.iter();
        let wanted: Vec<&Wanted> = list.map(|(wanted, _)| *wanted).collect();
        match suspects.ages {
            Some(ages) => ages.check(&wanted, self.config, self.client()),
            None => Ok(()),
        }
    }

    /// A client that puts large archives beside those of the store.
    pub(super) fn client(&self) -> Client {
        let limits = ClientLimits::beside(self.store);
        Client::new(self.config, limits, Arc::clone(self.reporter))
    }

    /// The request for a package, `None` where it is local.
    pub(super) fn request(&self, wanted: &Wanted) -> Result<Option<TarballRequest>, InstallError> {
        let url = match &wanted.source {
            Source::Registry { name, version } => {
                let registries = &self.config.registries;
                let registry = registries.registry_of_id(name, &wanted.label)?;
                let repeats_scope = registries.repeats_scope(&registry);
                canonical_tarball_url(&registry, name, version, repeats_scope)?
            }
            Source::Address(address) => remote_url(&wanted.label, address)?,
            Source::LocalArchive(_) | Source::LocalDirectory(_) | Source::Git { .. } => {
                return Ok(None);
            }
        };
        Ok(Some(TarballRequest {
            package: wanted.label.clone(),
            url,
        }))
    }

    /// What may unpack the archive of `wanted`, last modified at `modified`, while it arrives:
    /// nothing where more has to be known of it before, or it does not become the package as it is.
    pub(super) fn unpacker(
        &self,
        wanted: &Wanted,
        modified: Option<Timestamp>,
    ) -> Option<&Unpacker> {
        let ages = self.ages.as_ref();
        let is_suspect = ages.is_some_and(|ages| ages.suspects(wanted, modified));
        let is_plain = !wanted.is_git_hosted && wanted.subdirectory.is_none();
        let promised = wanted.integrity.as_ref().map(Integrity::algorithm);
        let is_hashed = promised.is_none_or(|algorithm| algorithm == Algorithm::Sha512);
        // It goes by the limit that nobody has set.
        let bytes_max = self.config.network.unpacked_bytes_max;
        let is_limited = bytes_max.is_none_or(|bytes| bytes <= UNPACKED_BYTES_FLOOR);
        (is_plain && is_hashed && is_limited && !is_suspect).then(|| self.store.unpacker())
    }

    fn store(&self, wanted: &Wanted, delivery: Option<Delivery>) -> Result<Packed, InstallError> {
        let transform = |files: &mut Vec<PendingFile<'_>>| self.transform(wanted, files);
        let mut options = IngestOptions::new(wanted.key.clone());
        options.integrity = wanted.integrity.as_ref();
        options.subdirectory = wanted.subdirectory.as_ref();
        options.unpacked_bytes_max = self.config.network.unpacked_bytes_max;
        let is_runtime = wanted.runtime_manifest.is_some();
        if wanted.patch_hash.is_some() || wanted.is_git_hosted || is_runtime {
            options.transform = Some(&transform);
        }
        let refused = |source| InstallError::Package {
            package: wanted.label.clone(),
            source,
        };
        match delivery {
            Some(Delivery::Whole(body)) => return self.store_body(wanted, body, &options),
            Some(Delivery::Unpacked(unpacking)) => {
                let source = TarballSource::Unpacking(unpacking);
                return self.store.ingest_tarball(source, &options).map_err(refused);
            }
            None => {}
        }
        match &wanted.source {
            Source::LocalArchive(path) => {
                let (file, length) = open_sized(path).map_err(local(wanted, path))?;
                let source = TarballSource::File(file, length);
                self.store.ingest_tarball(source, &options).map_err(refused)
            }
            Source::LocalDirectory(path) => self.pack_directory(wanted, path, &options),
            Source::Git { repository, commit } => {
                let subdirectory = wanted.subdirectory.as_ref().map(RelativePath::as_str);
                let source = GitSource {
                    repo: repository,
                    commit,
                    path: subdirectory,
                };
                let parent = self.store.path().join("tmp");
                let checkout = GitProgram::new(self.environment).check_out(
                    &source,
                    &parent,
                    &Store::temporary_prefix(),
                )?;
                let directory = checkout.package_directory();
                self.prepare_in(wanted, checkout.root(), directory)?;
                checkout.forget_history()?;
                self.pack_directory(wanted, directory, &options)
            }
            Source::Registry { .. } | Source::Address(_) => {
                let missing = vec![wanted.label.clone()];
                Err(InstallError::NotInStore {
                    missing,
                    offline: false,
                })
            }
        }
    }

    fn store_body(
        &self,
        wanted: &Wanted,
        body: Body,
        options: &IngestOptions<'_>,
    ) -> Result<Packed, InstallError> {
        // The permit holds the download budget until the archive has been dealt with.
        let (content, _permit) = body.into_parts();
        let refused = |source| InstallError::Package {
            package: wanted.label.clone(),
            source,
        };
        match content {
            Content::Memory(bytes) if wanted.is_git_hosted => {
                self.store_hosted(wanted, &from_source::reopen(bytes), options)
            }
            Content::File { path, bytes } if wanted.is_git_hosted => {
                let open = || Ok(TarballSource::File(File::open(&path)?, bytes));
                self.store_hosted(wanted, &open, options)
            }
            Content::Memory(bytes) => {
                let source = TarballSource::from(bytes);
                self.store.ingest_tarball(source, options).map_err(refused)
            }
            Content::File { path, bytes } => {
                let file = File::open(&path).map_err(local(wanted, &path))?;
                let source = TarballSource::File(file, bytes);
                self.store.ingest_tarball(source, options).map_err(refused)
            }
        }
    }

    /// Leaves out of a code host's archive what would not be published, and applies the patch.
    pub(super) fn transform(
        &self,
        wanted: &Wanted,
        files: &mut Vec<PendingFile<'_>>,
    ) -> Result<(), TransformError> {
        if wanted.is_git_hosted {
            keep_published(&wanted.label, files)?;
        }
        if let Some(manifest) = &wanted.runtime_manifest {
            runtimes::shape(files, manifest)?;
        }
        let Some(hash) = wanted.patch_hash.as_deref() else {
            return Ok(());
        };
        match self.patches.by_hash(hash) {
            Some(chosen) => chosen.apply(files),
            None => Err(format!("there is no patch with the hash {hash}").into()),
        }
    }
}

/// Downloads, and has stored what `screen` gives back.
fn download<'s>(
    client: &Client,
    requests: Vec<(&'s Wanted, TarballRequest)>,
    scope: &rayon::Scope<'s>,
    progress: &'s Progress<'_>,
    mut screen: impl FnMut(&'s Wanted, Delivery) -> Option<Delivery>,
) -> Result<(), FetchError> {
    if requests.is_empty() {
        return Ok(());
    }
    let unpacker =
        |wanted: &&Wanted, modified: Option<Timestamp>| progress.fetcher.unpacker(wanted, modified);
    client.fetch_packages(requests, unpacker, |wanted, result| {
        match result.map(|delivery| screen(wanted, delivery)) {
            Ok(Some(delivery)) => scope.spawn(move |_| progress.take(wanted, Some(delivery))),
            Ok(None) => {}
            Err(error) => progress.fail(error.into()),
        }
        !progress.has_failed()
    })
}

/// Archives that wait until their age is known.
struct Suspects<'a> {
    ages: Option<&'a Fetched>,
    /// Bytes.
    held: u64,
    /// Without what would be too much to hold: it is fetched again.
    list: Vec<(&'a Wanted, Option<Body>)>,
}

impl<'a> Suspects<'a> {
    fn new(ages: Option<&'a Fetched>) -> Self {
        Self {
            ages,
            held: 0,
            list: Vec::new(),
        }
    }

    /// Gives back what nobody suspects.
    fn screen(&mut self, wanted: &'a Wanted, delivery: Delivery) -> Option<Delivery> {
        let body = match (self.ages, delivery) {
            (Some(ages), Delivery::Whole(body)) if ages.suspects(wanted, body.last_modified()) => {
                body
            }
            (_, other) => return Some(other),
        };
        self.held += body.size();
        let is_held = self.held <= HELD_BYTES_MAX;
        self.list.push((wanted, is_held.then_some(body)));
        None
    }
}

fn keep_published(label: &str, files: &mut Vec<PendingFile<'_>>) -> Result<(), TransformError> {
    let kept: HashSet<RelativePath> = {
        let read = |path: &str| {
            let file = files.iter().find(|file| file.path.as_str() == path)?;
            file.read().ok().map(Cow::into_owned)
        };
        let paths = files.iter().map(|file| &file.path);
        pack_list_of_archive(label, paths, read)?
            .files
            .into_iter()
            .collect()
    };
    files.retain(|file| kept.contains(&file.path));
    Ok(())
}

/// Whether the archive may have been damaged on its way. One that has the promised hash was not.
fn is_damaged(wanted: &Wanted, error: &InstallError) -> bool {
    let InstallError::Package { source, .. } = error else {
        return false;
    };
    match source {
        StoreError::Integrity { .. } => true,
        StoreError::Refused { source, .. } => {
            wanted.integrity.is_none() && matches!(source, Refusal::Gzip(_) | Refusal::Tar(_))
        }
        _ => false,
    }
}

fn local<'w>(
    wanted: &'w Wanted,
    path: &'w Path,
) -> impl FnOnce(std::io::Error) -> InstallError + use<'w> {
    move |source| InstallError::Local {
        package: wanted.label.clone(),
        path: path.to_owned(),
        source,
    }
}

fn open_sized(path: &Path) -> std::io::Result<(File, u64)> {
    let file = sys::file::open(path)?;
    let length = file.metadata()?.len();
    Ok((file, length))
}

impl<'a> Progress<'a> {
    pub(super) fn new(fetcher: &'a Fetcher<'a>, packages: usize) -> Self {
        Self {
            fetcher,
            pending: Mutex::default(),
            done: Mutex::new(Vec::with_capacity(packages)),
            failure: Mutex::default(),
            failed: AtomicBool::new(false),
            damaged: Mutex::default(),
            tries_left: AtomicU32::new(0),
        }
    }

    /// Lets what was damaged on its way be fetched again, this often.
    fn with_tries(self, tries: u32) -> Self {
        Self {
            tries_left: AtomicU32::new(tries),
            ..self
        }
    }

    /// What is to be fetched again now, which is one try.
    fn take_damaged(&self) -> Vec<(PackageKey, String)> {
        let mut damaged = self.damaged.lock().unwrap_or_else(PoisonError::into_inner);
        let tries = self.tries_left.load(Ordering::Relaxed);
        self.tries_left
            .store(tries.saturating_sub(1), Ordering::Relaxed);
        std::mem::take(&mut *damaged)
    }

    pub(super) fn has_failed(&self) -> bool {
        self.failed.load(Ordering::Relaxed)
    }

    /// Stores one package; the first failure ends the rest.
    pub(super) fn take(&self, wanted: &Wanted, delivery: Option<Delivery>) {
        if self.has_failed() {
            return;
        }
        let _span = tracing::debug_span!("store", package = wanted.label).entered();
        let may_be_fetched_again =
            delivery.is_some() && self.tries_left.load(Ordering::Relaxed) > 0;
        match self.fetcher.store(wanted, delivery) {
            Ok(packed) => self.keep(wanted, packed),
            Err(error) if may_be_fetched_again && is_damaged(wanted, &error) => {
                let mut damaged = self.damaged.lock().unwrap_or_else(PoisonError::into_inner);
                damaged.push((wanted.key.clone(), error.to_string()));
            }
            Err(error) => self.fail(error),
        }
    }

    fn keep(&self, wanted: &Wanted, packed: Packed) {
        for warning in &packed.warnings {
            self.fetcher.reporter.report(&Event::Warning {
                code: "ERR_PACQUET_PACKAGE_WARNING",
                message: &format!("{}: {warning}", crate::name::escaped(&wanted.label)),
            });
        }
        self.fetcher.reporter.report(&Event::Stored {
            package: &wanted.label,
            files: packed.record.facts.files as usize,
            bytes: packed.record.facts.bytes,
        });
        let full = {
            let mut pending = self.pending.lock().unwrap_or_else(PoisonError::into_inner);
            pending.push(packed);
            (pending.len() >= COMMIT_PACKAGES).then(|| std::mem::take(&mut *pending))
        };
        if let Some(batch) = full {
            self.commit(batch);
        }
    }

    fn commit(&self, batch: Vec<Packed>) {
        match self.fetcher.store.commit(&batch) {
            Ok(()) => {
                self.done
                    .lock()
                    .unwrap_or_else(PoisonError::into_inner)
                    .extend(batch);
            }
            Err(error) => self.fail(error.into()),
        }
    }

    fn fail(&self, error: InstallError) {
        self.failed.store(true, Ordering::Relaxed);
        self.failure
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .get_or_insert(error);
    }

    fn commit_rest(&self) {
        let rest = {
            let mut pending = self.pending.lock().unwrap_or_else(PoisonError::into_inner);
            std::mem::take(&mut *pending)
        };
        if !rest.is_empty() {
            self.commit(rest);
        }
    }

    /// The packages that were stored, whatever failed beside them.
    pub(super) fn stored(self) -> Vec<Packed> {
        self.commit_rest();
        let done = self.done.into_inner();
        done.unwrap_or_else(PoisonError::into_inner)
    }

    fn finish(self, fetched: Result<(), InstallError>) -> Result<Vec<Packed>, InstallError> {
        self.commit_rest();
        fetched?;
        match self
            .failure
            .into_inner()
            .unwrap_or_else(PoisonError::into_inner)
        {
            Some(error) => Err(error),
            None => Ok(self
                .done
                .into_inner()
                .unwrap_or_else(PoisonError::into_inner)),
        }
    }
}
