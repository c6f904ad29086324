//! Downloading.

use std::iter::Peekable;
use std::net::IpAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant, SystemTime};

use futures_util::StreamExt;
use futures_util::stream::FuturesUnordered;
use jiff::Timestamp;
use reqwest::header::{
    ACCEPT, AUTHORIZATION, CONTENT_ENCODING, CONTENT_TYPE, HeaderMap, HeaderValue,
    IF_MODIFIED_SINCE, IF_NONE_MATCH, LOCATION, RETRY_AFTER,
};
use reqwest::{Method, Response, StatusCode, Url};

use super::address::{printable, redirect_target};
use super::body::{Body, Delivery};
use super::budget::Budget;
use super::document::DocumentSlots;
use super::error::FetchError;
use super::receive::Opened;
use super::retry::{parse_retry_after, wait_before};
use super::transport::{Transports, chain};
use crate::install::config::{Config, Credentials, NetworkConfig, Registries, Secret};
use crate::install::runtime;
use crate::limits::{
    DOWNLOAD_BUDGET_BYTES, DOWNLOAD_SPOOL_BYTES, PACKUMENT_BYTES_MAX, TARBALL_BYTES_MAX,
};
use crate::report::{Event, Reporter};
use crate::store::{Store, Unpacker};
use crate::sys::process::raise_descriptor_limit;

/// Most redirects in a row.
pub(super) const REDIRECTS_MAX: usize = 10;

/// Fewer bytes than this within the time-out are no progress.
pub(super) const PROGRESS_BYTES_MIN: u64 = 16 << 10;

/// How much a [`Client`] takes.
#[derive(Debug, Clone)]
pub struct ClientLimits {
    /// Largest archive in bytes.
    pub tarball_bytes_max: u64,
    /// Largest document in bytes, unpacked.
    pub document_bytes_max: u64,
    /// Bytes of archives in memory at once.
    pub budget_bytes: u64,
    /// A larger archive goes to a file.
    pub spool_bytes: u64,
    /// The directory of such files; it must exist.
    pub spool_directory: PathBuf,
    /// What the names of such files begin with.
    pub spool_prefix: String,
}

impl ClientLimits {
    /// The limits of [`crate::limits`], with temporary files in `spool_directory`.
    pub fn new(spool_directory: PathBuf) -> Self {
        Self {
            tarball_bytes_max: TARBALL_BYTES_MAX,
            document_bytes_max: PACKUMENT_BYTES_MAX,
            budget_bytes: DOWNLOAD_BUDGET_BYTES,
            spool_bytes: DOWNLOAD_SPOOL_BYTES,
            spool_directory,
            spool_prefix: String::new(),
        }
    }

    /// The same, with temporary files beside those of `store`, which removes what is left of them.
    pub fn beside(store: &Store) -> Self {
        Self {
            spool_prefix: Store::temporary_prefix(),
            ..Self::new(store.path().join("tmp"))
        }
    }
}

/// Requests at once to a server on this machine, as long as it answers within [`NEAR_WAIT_MAX`]:
/// 1,343 archives of 68 MB cost 48 ms of processor time with 16 connections and 77 ms with 64.
pub(super) const NEAR_CONCURRENCY: usize = 16;
const NEAR_WAIT_MAX: Duration = Duration::from_millis(10);

/// Files that are open beside connections: the store's, pipes, what is being written.
const OTHER_FILES: u64 = 40;

/// How many connections at once leave enough files that may be open, where there are few: archives
/// and documents are fetched side by side, and a connection that ends is open a little longer.
fn connections_max() -> usize {
    let files = raise_descriptor_limit().unwrap_or(u64::MAX);
    let connections = files.saturating_sub(OTHER_FILES) / 2;
    usize::try_from(connections).unwrap_or(usize::MAX).max(1)
}

/// What to download.
#[derive(Debug, Clone)]
pub struct TarballRequest {
    /// For progress and messages: `name@version`.
    pub package: String,
    /// Where it is: from [`super::canonical_tarball_url`] or [`super::remote_url`].
    pub url: Url,
}

/// A client of registries. Making one opens nothing and loads nothing.
pub struct Client {
    pub(super) network: NetworkConfig,
    credentials: Credentials,
    registries: Arc<Registries>,
    transports: Transports,
    pub(super) budget: Budget,
    pub(super) limits: ClientLimits,
    pub(super) reporter: Arc<dyn Reporter>,
    pub(super) documents: DocumentSlots,
    /// Whether a server took longer than [`NEAR_WAIT_MAX`] to begin an answer.
    waits: AtomicBool,
    /// Whether the last of the downloads has begun.
    all_begun: AtomicBool,
}

impl std::fmt::Debug for Client {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter
            .debug_struct("Client")
            .field("limits", &self.limits)
            .finish_non_exhaustive()
    }
}

impl Client {
    /// A client with the network settings and credentials of `config`.
    pub fn new(config: &Config, mut limits: ClientLimits, reporter: Arc<dyn Reporter>) -> Self {
        limits.spool_bytes = limits.spool_bytes.min(limits.budget_bytes);
        let mut network = config.network.clone();
        network.concurrency = network.concurrency.min(connections_max());
        Self {
            documents: DocumentSlots::new(network.concurrency),
            network,
            credentials: config.credentials.clone(),
            registries: Arc::clone(&config.registries),
            transports: Transports::new(),
            budget: Budget::new(limits.budget_bytes),
            limits,
            reporter,
            waits: AtomicBool::new(false),
            all_begun: AtomicBool::new(false),
        }
    }

    /// Downloads all `requests`, several at once, and calls `take` with each result as it comes,
    /// on the calling thread, which does all the network's work meanwhile: `take` must hand the
    /// body on quickly. Bodies that are not dropped hold the rest back when they reach the budget.
    /// `take` returning `false` ends it: what is under way is dropped, and what is left is not
    /// begun.
    ///
    /// Must not be called from within an asynchronous runtime.
    ///
    /// # Errors
    /// No runtime can be made; everything else comes to `take`.
    pub fn fetch_tarballs<T>(
        &self,
        requests: impl IntoIterator<Item = (T, TarballRequest)>,
        take: impl FnMut(T, Result<Body, FetchError>) -> bool,
    ) -> Result<(), FetchError> {
        let fetch = async |_: &T, request: &TarballRequest| self.fetch_tarball(request).await;
        self.fetch_all(requests, fetch, take)
    }

    /// As [`Self::fetch_tarballs`], for the store: what `unpacker` gives, who is told when the
    /// server says that an archive was last modified, unpacks large ones while they arrive.
    ///
    /// # Errors
    /// As [`Self::fetch_tarballs`].
    pub fn fetch_packages<'u, T>(
        &self,
        requests: impl IntoIterator<Item = (T, TarballRequest)>,
        unpacker: impl Fn(&T, Option<Timestamp>) -> Option<&'u Unpacker>,
        take: impl FnMut(T, Result<Delivery, FetchError>) -> bool,
    ) -> Result<(), FetchError> {
        let fetch = async |tag: &T, request: &TarballRequest| {
            let deliver = async || {
                let opened = self.open(request).await?;
                opened.deliver(|modified| unpacker(tag, modified)).await
            };
            self.with_retries(&request.package, deliver).await
        };
        self.fetch_all(requests, fetch, take)
    }

    fn fetch_all<T, D>(
        &self,
        requests: impl IntoIterator<Item = (T, TarballRequest)>,
        fetch: impl AsyncFn(&T, &TarballRequest) -> Result<D, FetchError>,
        mut take: impl FnMut(T, Result<D, FetchError>) -> bool,
    ) -> Result<(), FetchError> {
        let runtime = runtime::on_this_thread().map_err(|error| FetchError::Threads {
            reason: error.to_string(),
        })?;
        runtime.block_on(async {
            let mut requests = requests.into_iter().peekable();
            let is_near = requests
                .peek()
                .is_some_and(|(_, first)| is_loopback(&first.url));
            let mut running = FuturesUnordered::new();
            let fetch = &fetch;
            let start = |(tag, request): (T, TarballRequest)| async move {
                let result = fetch(&tag, &request).await;
                (tag, result)
            };
            let full = self.network.concurrency;
            let first = if is_near {
                full.min(NEAR_CONCURRENCY)
            } else {
                full
            };
            let begin_more =
                |running: &mut FuturesUnordered<_>, requests: &mut Peekable<_>, more| {
                    running.extend(requests.by_ref().take(more).map(start));
                    let all_begun = requests.peek().is_none();
                    self.all_begun.store(all_begun, Ordering::Relaxed);
                };
            begin_more(&mut running, &mut requests, first);
            while let Some((tag, result)) = running.next().await {
                if !take(tag, result) {
                    break;
                }
                let is_full = is_near && !self.waits.load(Ordering::Relaxed);
                let wanted = if is_full { first } else { full };
                let more = wanted.saturating_sub(running.len());
                begin_more(&mut running, &mut requests, more);
            }
        });
        // Dropping it would wait for look-ups of names that nobody needs any more: ten seconds
        // where a name server does not answer for one of the connections that were begun at once.
        runtime.shutdown_background();
        Ok(())
    }

    /// Downloads one archive, trying again where that makes sense.
    ///
    /// # Errors
    /// What the last try met.
    pub async fn fetch_tarball(&self, request: &TarballRequest) -> Result<Body, FetchError> {
        let keep = async || self.open(request).await?.keep().await;
        self.with_retries(&request.package, keep).await
    }

    /// Downloads a package with a single try, for who can do without it. See
    /// [`Self::fetch_packages`].
    ///
    /// # Errors
    /// What the try met.
    pub async fn fetch_package_once<'u>(
        &self,
        request: &TarballRequest,
        unpacker: impl FnOnce(Option<Timestamp>) -> Option<&'u Unpacker>,
    ) -> Result<Delivery, FetchError> {
        self.open(request).await?.deliver(unpacker).await
    }

    /// How many archives are downloaded at once beside documents: half of what there is.
    pub fn early_concurrency(&self, request: &TarballRequest) -> usize {
        let is_near = self.is_near(&request.url);
        let full = self.network.concurrency;
        let all = if is_near {
            full.min(NEAR_CONCURRENCY)
        } else {
            full
        };
        all.div_ceil(2)
    }

    /// Calls `make` until it succeeds, fails for good, or was called often enough.
    pub(super) async fn with_retries<T>(
        &self,
        package: &str,
        make: impl AsyncFn() -> Result<T, FetchError>,
    ) -> Result<T, FetchError> {
        if self.network.offline {
            return Err(FetchError::Offline {
                package: package.to_owned(),
            });
        }
        let mut attempt = 1;
        loop {
            let error = match make().await {
                Ok(answer) => return Ok(answer),
                Err(error) => error,
            };
            if !error.is_transient() || attempt > self.network.retry.retries {
                return Err(error);
            }
            attempt += 1;
            let reason = error.to_string();
            self.reporter.report(&Event::DownloadRetried {
                package,
                attempt,
                reason: &reason,
            });
            let wait = wait_before(attempt, &self.network.retry, error.retry_after());
            tokio::time::sleep(wait).await;
        }
    }

    /// Begins a download.
    async fn open<'a>(&'a self, request: &'a TarballRequest) -> Result<Opened<'a>, FetchError> {
        let started = Instant::now();
        let accept = HeaderMap::from_iter([(ACCEPT, HeaderValue::from_static("*/*"))]);
        let response = self
            .request(Method::GET, &request.package, &request.url, &accept)
            .await?;
        if started.elapsed() > NEAR_WAIT_MAX {
            self.waits.store(true, Ordering::Relaxed);
        }
        let announced = response.content_length();
        let trip = Trip {
            client: self,
            package: &request.package,
            url: response.url().clone(),
        };
        if announced.is_some_and(|bytes| bytes > self.limits.tarball_bytes_max) {
            return Err(trip.too_large());
        }
        if is_web_page(&response) {
            return Err(FetchError::WebPage {
                package: request.package.clone(),
                url: printable(&trip.url),
            });
        }
        self.reporter.report(&Event::DownloadStarted {
            package: &request.package,
            bytes: announced,
        });
        Ok(Opened {
            trip,
            response,
            announced,
            started,
        })
    }

    /// Whether nothing but processors will be waited for: there is more to download, from a server
    /// on this machine.
    pub(super) fn is_busy_with(&self, url: &Url) -> bool {
        self.is_near(url) && !self.all_begun.load(Ordering::Relaxed)
    }

    /// Whether a server is on this machine, and does not let wait.
    fn is_near(&self, url: &Url) -> bool {
        is_loopback(url) && !self.waits.load(Ordering::Relaxed)
    }

    /// Sends the request and follows redirects until there is a success, or the answer that what
    /// the headers describe is still true.
    pub(super) async fn request(
        &self,
        method: Method,
        package: &str,
        url: &Url,
        headers: &HeaderMap,
    ) -> Result<Response, FetchError> {
        let mut trip = Trip {
            client: self,
            package,
            url: url.clone(),
        };
        let is_conditional =
            headers.contains_key(IF_NONE_MATCH) || headers.contains_key(IF_MODIFIED_SINCE);
        for _ in 0..=REDIRECTS_MAX {
            let authorization = trip.authorization().await?;
            let with_credentials = authorization.is_some();
            let response = trip.send(method.clone(), authorization, headers).await?;
            let status = response.status();
            if !is_redirect(status) {
                let is_answer =
                    status.is_success() || (is_conditional && status == StatusCode::NOT_MODIFIED);
                return match is_answer {
                    true => Ok(response),
                    false => Err(trip.status(&response, with_credentials)),
                };
            }
            trip.url = trip.target(&response)?;
        }
        let last = printable(&trip.url);
        Err(trip.redirect(&last, "there are too many in a row"))
    }
}

/// One request: where it is, and for what.
pub(super) struct Trip<'a> {
    pub(super) client: &'a Client,
    pub(super) package: &'a str,
    pub(super) url: Url,
}

impl Trip<'_> {
    /// The value of `Authorization`: what the address itself says, else what is configured for it.
    pub(super) async fn authorization(&mut self) -> Result<Option<Secret>, FetchError> {
        if !self.url.username().is_empty() || self.url.password().is_some() {
            let header = Credentials::of_address(&self.url);
            // Neither can fail for http and https addresses.
            let _ = self.url.set_username("");
            let _ = self.url.set_password(None);
            return Ok(Some(header));
        }
        let client = self.client;
        let scope = scope_of(self.package);
        if !client.credentials.may_block(&self.url, scope) {
            return look_up(&client.credentials, &client.registries, &self.url, scope);
        }
        let scope = scope.map(str::to_owned);
        let (credentials, registries, url) = (
            client.credentials.clone(),
            Arc::clone(&client.registries),
            self.url.clone(),
        );
        let looking = move || look_up(&credentials, &registries, &url, scope.as_deref());
        tokio::task::spawn_blocking(looking)
            .await
            .map_err(|error| FetchError::Setup {
                reason: error.to_string(),
            })?
    }

    pub(super) async fn send(
        &self,
        method: Method,
        authorization: Option<Secret>,
        headers: &HeaderMap,
    ) -> Result<Response, FetchError> {
        self.send_with(method, authorization, headers, None).await
    }

    pub(super) async fn send_with(
        &self,
        method: Method,
        authorization: Option<Secret>,
        headers: &HeaderMap,
        body: Option<Vec<u8>>,
    ) -> Result<Response, FetchError> {
        let Client {
            network,
            credentials,
            transports,
            ..
        } = self.client;
        let mut builder = transports
            .get(&self.url, network, credentials)?
            .request(method, self.url.clone())
            .headers(headers.clone());
        if let Some(header) = authorization {
            let mut value =
                HeaderValue::from_str(header.expose()).map_err(|_| FetchError::Credentials {
                    url: printable(&self.url),
                    reason: "they contain a character that no header can have".to_owned(),
                    code: "ERR_PNPM_AUTH_CONFIG",
                })?;
            value.set_sensitive(true);
            builder = builder.header(AUTHORIZATION, value);
        }
        if let Some(body) = body {
            builder = builder.body(body);
        }
        match tokio::time::timeout(network.inactivity_timeout, builder.send()).await {
            Ok(Ok(response)) => Ok(response),
            Ok(Err(error)) => Err(self.network(error)),
            Err(_) => Err(self.stalled()),
        }
    }

    /// Where a redirect leads, if it may be followed.
    pub(super) fn target(&self, response: &Response) -> Result<Url, FetchError> {
        let location = response
            .headers()
            .get(LOCATION)
            .and_then(|value| value.to_str().ok());
        let location = location.ok_or_else(|| self.redirect("nowhere", "it has no Location"))?;
        redirect_target(&self.url, location)
            .map_err(|(target, reason)| self.redirect(&target, reason))
    }

    fn package(&self) -> String {
        self.package.to_owned()
    }

    pub(super) fn network(&self, error: reqwest::Error) -> FetchError {
        let reason = chain(&error.without_url());
        FetchError::Network {
            package: self.package(),
            url: printable(&self.url),
            reason,
        }
    }

    pub(super) fn stalled(&self) -> FetchError {
        let after = self.client.network.inactivity_timeout;
        FetchError::Stalled {
            package: self.package(),
            url: printable(&self.url),
            after,
        }
    }

    pub(super) fn truncated(&self, expected: u64, actual: u64) -> FetchError {
        let url = printable(&self.url);
        FetchError::Truncated {
            package: self.package(),
            url,
            expected,
            actual,
        }
    }

    pub(super) fn too_large(&self) -> FetchError {
        let limit = self.client.limits.tarball_bytes_max;
        FetchError::TooLarge {
            package: self.package(),
            url: printable(&self.url),
            limit,
        }
    }

    fn redirect(&self, target: &str, reason: &'static str) -> FetchError {
        let (url, target) = (printable(&self.url), target.to_owned());
        FetchError::Redirect {
            package: self.package(),
            url,
            target,
            reason,
        }
    }

    pub(super) fn status(&self, response: &Response, with_credentials: bool) -> FetchError {
        let retry_after = response.headers().get(RETRY_AFTER);
        let retry_after = retry_after.and_then(|value| value.to_str().ok());
        FetchError::Status {
            package: self.package(),
            url: printable(&self.url),
            status: response.status().as_u16(),
            with_credentials,
            retry_after: retry_after.and_then(|value| parse_retry_after(value, SystemTime::now())),
        }
    }
}

fn look_up(
    credentials: &Credentials,
    registries: &Registries,
    url: &Url,
    scope: Option<&str>,
) -> Result<Option<Secret>, FetchError> {
    credentials
        .authorization(url, scope, || registries.fallback_registry())
        .map_err(|error| FetchError::credentials(url, &error))
}

/// The scope of a package that is called `name` or `name@version`, without `@`.
fn scope_of(package: &str) -> Option<&str> {
    let (scope, _) = package.strip_prefix('@')?.split_once('/')?;
    Some(scope)
}

pub(super) fn is_loopback(url: &Url) -> bool {
    let host = url.host_str().unwrap_or_default().trim_matches(['[', ']']);
    host == "localhost"
        || host
            .parse()
            .is_ok_and(|address: IpAddr| address.is_loopback())
}

pub(super) fn is_redirect(status: StatusCode) -> bool {
    matches!(status.as_u16(), 301 | 302 | 303 | 307 | 308)
}

/// Whether a body was compressed for the way, by its headers.
pub(super) fn is_packed(headers: &HeaderMap) -> bool {
    let encoding = headers.get(CONTENT_ENCODING);
    let encoding = encoding.and_then(|value| value.to_str().ok());
    encoding.is_some_and(|text| text.trim().eq_ignore_ascii_case("gzip"))
}

pub(super) fn is_web_page(response: &Response) -> bool {
    let content_type = response.headers().get(CONTENT_TYPE);
    content_type.is_some_and(|value| value.as_bytes().starts_with(b"text/html"))
}

/// Whether the connection ended before the body did.
pub(super) fn is_end_of_file(error: &reqwest::Error) -> bool {
    let mut source = std::error::Error::source(error);
    while let Some(cause) = source {
        if let Some(error) = cause.downcast_ref::<std::io::Error>()
            && error.kind() == std::io::ErrorKind::UnexpectedEof
        {
            return true;
        }
        source = cause.source();
    }
    chain(error).contains("end of file before message")
}
