//! Downloads that begin while versions are still being chosen.
//!
//! What was chosen is nearly always installed, so that its archive is fetched and stored at once,
//! in threads of their own, instead of when the last version is known.
//!
//! **Architecture Invariant:** nothing depends on it. What it stored is found in the store as if it
//! had always been there; what it did not get is fetched once the lockfile is complete, and only
//! then told of where it fails again.

use std::collections::{HashSet, VecDeque};
use std::io;
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

use futures_util::StreamExt;
use futures_util::stream::FuturesUnordered;
use tokio::sync::Notify;
use tokio::time::Instant;

use super::error::InstallError;
use super::fetch::{Fetcher, Progress};
use super::inputs::platforms;
use super::patches::Patches;
use super::sources::{Content, Wanted};
use crate::install::config::{Config, Environment};
use crate::install::lockfile::{Platforms, Resolution};
use crate::install::registry::{Delivery, TarballRequest};
use crate::install::runtime;
use crate::install::scripts::Children;
use crate::install::select::SupportedPlatforms;
use crate::name::{PackageName, name_in_key};
use crate::report::Reporter;
use crate::store::{PackageKey, Store, start_workers};

/// How long what was chosen is collected before the store is asked for all of it.
const COLLECT: Duration = Duration::from_millis(4);

/// The longest such time: it doubles while the store lacks nothing.
const COLLECT_MAX: Duration = Duration::from_millis(64);

/// Downloads under way. Dropping it gives up what has not arrived.
#[derive(Debug)]
pub struct EarlyFetch {
    chosen: ChosenSender,
    thread: Option<JoinHandle<HashSet<PackageKey>>>,
}

/// Tells an [`EarlyFetch`] what was chosen.
#[derive(Debug, Clone)]
pub struct ChosenSender {
    inbox: Arc<Inbox>,
    platforms: Arc<SupportedPlatforms>,
    /// Names of packages that are patched: they are stored under other keys.
    patched: Arc<HashSet<Box<str>>>,
}

/// A version of a registry's package that was chosen.
#[derive(Debug, Clone, Copy)]
pub struct Chosen<'a> {
    /// The key of `packages`: `name@version`.
    pub id: &'a str,
    /// Name in the registry.
    pub name: &'a PackageName,
    /// Version.
    pub version: &'a str,
    /// What the lockfile will have of it.
    pub resolution: &'a Resolution,
    /// Where it runs.
    pub platforms: &'a Platforms,
    /// Whether it is left out where it does not run.
    pub is_optional: bool,
}

/// What was chosen and not looked at yet.
#[derive(Debug, Default)]
struct Inbox {
    mail: Mutex<Mail>,
    came: Notify,
}

#[derive(Debug, Default)]
struct Mail {
    chosen: Vec<Wanted>,
    /// Nothing more is chosen, and only these are wanted.
    complete: Option<HashSet<PackageKey>>,
    /// Whether the thread looks here by itself before long: waking it for each of a thousand
    /// packages costs as much as a tenth of choosing them.
    is_looked_at: bool,
}

impl Inbox {
    fn lock(&self) -> MutexGuard<'_, Mail> {
        self.mail.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn put(&self, wanted: Wanted) {
        let mut mail = self.lock();
        mail.chosen.push(wanted);
        if !std::mem::replace(&mut mail.is_looked_at, true) {
            drop(mail);
            self.came.notify_one();
        }
    }

    fn complete(&self, wanted: HashSet<PackageKey>) {
        self.lock().complete = Some(wanted);
        self.came.notify_one();
    }
}

impl ChosenSender {
    /// Has the archive of a package fetched, if it is likely to be needed.
    pub fn send(&self, chosen: &Chosen<'_>) {
        let Chosen { name, version, .. } = *chosen;
        if self.patched.contains(name.as_str())
            || (chosen.is_optional && !self.platforms.fits(name, chosen.platforms))
        {
            return;
        }
        let content = Content {
            id: chosen.id,
            name,
            version: Some(version),
            resolution: chosen.resolution,
        };
        // What cannot be used is told of by who uses the lockfile.
        if let Ok(wanted) = content.wanted(None, Path::new(""), true)
            && wanted.integrity.is_some()
        {
            self.inbox.put(wanted);
        }
    }
}

impl EarlyFetch {
    /// Starts the threads.
    ///
    /// # Errors
    /// No thread can be made.
    pub fn start(
        config: &Config,
        environment: &Environment,
        store: &Arc<Store>,
        reporter: &Arc<dyn Reporter>,
    ) -> io::Result<Self> {
        start_workers()?;
        let inbox = Arc::new(Inbox::default());
        let runtime = runtime::on_this_thread()?;
        let patched = config.graph.patched_dependencies.keys();
        let chosen = ChosenSender {
            inbox: Arc::clone(&inbox),
            platforms: Arc::new(platforms(config)),
            patched: Arc::new(patched.map(|key| name_in_key(key).into()).collect()),
        };
        let (config, environment) = (config.clone(), environment.clone());
        let (store, reporter) = (Arc::clone(store), Arc::clone(reporter));
        let work = move || {
            let fetcher = Fetcher {
                store: &store,
                config: &config,
                environment: &environment,
                patches: &Patches::default(),
                // What a registry serves is not prepared.
                children: &Children::default(),
                reporter: &reporter,
                checks_addresses: false,
                ages: None,
            };
            let progress = Progress::new(&fetcher, 0);
            rayon::in_place_scope(|scope| {
                let take = |wanted: Wanted, delivery| {
                    let progress = &progress;
                    scope.spawn(move |_| progress.take(&wanted, Some(delivery)));
                };
                runtime.block_on(Early::new(&fetcher, &progress, &inbox).run(take));
            });
            runtime.shutdown_background();
            let stored = progress.stored().into_iter();
            stored.map(|packed| packed.key).collect()
        };
        let thread = std::thread::Builder::new().name("early".to_owned());
        Ok(Self {
            chosen,
            thread: Some(thread.spawn(work)?),
        })
    }

    /// Takes what is chosen from now on.
    pub fn sender(&self) -> ChosenSender {
        self.chosen.clone()
    }

    /// Waits for those of `wanted` that were chosen before, and gives up the rest. Gives what was
    /// stored.
    pub fn finish(mut self, wanted: impl IntoIterator<Item = PackageKey>) -> HashSet<PackageKey> {
        self.end(wanted.into_iter().collect())
    }

    fn end(&mut self, wanted: HashSet<PackageKey>) -> HashSet<PackageKey> {
        self.chosen.inbox.complete(wanted);
        let thread = self.thread.take();
        thread
            .and_then(|thread| thread.join().ok())
            .unwrap_or_default()
    }
}

impl Drop for EarlyFetch {
    fn drop(&mut self) {
        if self.thread.is_some() {
            self.end(HashSet::new());
        }
    }
}

/// The state of the downloads.
struct Early<'a> {
    fetcher: &'a Fetcher<'a>,
    progress: &'a Progress<'a>,
    inbox: &'a Inbox,
    /// Everything that was ever chosen.
    known: HashSet<PackageKey>,
    /// The store has not been asked for these.
    fresh: Vec<Wanted>,
    queue: VecDeque<(Wanted, TarballRequest)>,
    under_way: HashSet<PackageKey>,
    complete: Option<HashSet<PackageKey>>,
    /// For how long packages are collected before the store is asked for them.
    collect: Duration,
}

impl<'a> Early<'a> {
    fn new(fetcher: &'a Fetcher<'a>, progress: &'a Progress<'a>, inbox: &'a Inbox) -> Self {
        Self {
            fetcher,
            progress,
            inbox,
            known: HashSet::new(),
            fresh: Vec::new(),
            queue: VecDeque::new(),
            under_way: HashSet::new(),
            complete: None,
            collect: COLLECT,
        }
    }

    /// Downloads until everything that is wanted has come, or something fails.
    async fn run(mut self, take: impl Fn(Wanted, Delivery)) {
        let client = self.fetcher.client();
        let mut running = FuturesUnordered::new();
        // Set while what was chosen is collected.
        let mut ask_at = None;
        while !self.is_over() {
            while let Some((_, request)) = self.queue.front()
                && running.len() < client.early_concurrency(request)
                && let Some((wanted, request)) = self.queue.pop_front()
            {
                self.under_way.insert(wanted.key.clone());
                let client = &client;
                let fetcher = self.fetcher;
                running.push(async move {
                    let unpacker = |modified| fetcher.unpacker(&wanted, modified);
                    let fetched = client.fetch_package_once(&request, unpacker).await;
                    (wanted, fetched)
                });
            }
            tokio::select! {
                () = self.inbox.came.notified() => {
                    if self.inbox.lock().complete.is_some() {
                        self.look();
                    }
                    ask_at = ask_at.or_else(|| Some(Instant::now() + self.collect));
                }
                () = at(ask_at), if ask_at.is_some() => {
                    ask_at = None;
                    self.look();
                    if self.ask().is_err() {
                        return;
                    }
                }
                Some((wanted, result)) = running.next() => {
                    let wanted: Wanted = wanted;
                    self.under_way.remove(&wanted.key);
                    match result {
                        Ok(delivery) => take(wanted, delivery),
                        Err(error) => {
                            tracing::debug!(%error, "an early download failed");
                            return;
                        }
                    }
                }
            }
        }
    }

    /// Whether nothing more is to come, or nothing more can.
    fn is_over(&self) -> bool {
        let has_failed = self.progress.has_failed();
        let is_wanted = |key| self.complete.as_ref().is_none_or(|set| set.contains(key));
        let is_done = self.complete.is_some()
            && self.fresh.is_empty()
            && self.queue.is_empty()
            && !self.under_way.iter().any(is_wanted);
        has_failed || is_done
    }

    /// Takes what was chosen meanwhile.
    fn look(&mut self) {
        let Mail {
            chosen, complete, ..
        } = std::mem::take(&mut *self.inbox.lock());
        for wanted in chosen {
            if self.complete.is_none() && self.known.insert(wanted.key.clone()) {
                self.fresh.push(wanted);
            }
        }
        if let Some(set) = complete {
            self.fresh.retain(|wanted| set.contains(&wanted.key));
            // The install asks the store for all of them next.
            if self.collect > COLLECT {
                self.fresh.clear();
            }
            self.queue.retain(|(wanted, _)| set.contains(&wanted.key));
            self.complete = Some(set);
        }
    }

    /// Asks the store what of the fresh it has, and queues the rest.
    fn ask(&mut self) -> Result<(), InstallError> {
        let fresh = std::mem::take(&mut self.fresh);
        let keys: Vec<PackageKey> = fresh.iter().map(|wanted| wanted.key.clone()).collect();
        let records = self.fetcher.store.lookup_many(&keys)?;
        self.collect = match records.iter().any(Option::is_none) {
            true => COLLECT,
            false => (self.collect * 2).min(COLLECT_MAX),
        };
        for (wanted, record) in fresh.into_iter().zip(records) {
            if record.is_none()
                && let Some(request) = self.fetcher.request(&wanted)?
            {
                self.queue.push_back((wanted, request));
            }
        }
        Ok(())
    }
}

/// Sleeps until then.
async fn at(time: Option<Instant>) {
    tokio::time::sleep_until(time.unwrap_or_else(Instant::now)).await;
}
