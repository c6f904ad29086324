//! Downloading documents: metadata that is asked for with conditions and read whole.

use std::io::Read;
use std::time::{Duration, Instant};

use flate2::read::MultiGzDecoder;
use reqwest::header::{
    ACCEPT, ACCEPT_ENCODING, AGE, CACHE_CONTROL, CONTENT_TYPE, ETAG, HeaderMap, HeaderName,
    HeaderValue, IF_MODIFIED_SINCE, IF_NONE_MATCH, LAST_MODIFIED,
};
use reqwest::{Method, Response, StatusCode, Url};
use tokio::sync::Semaphore;

use super::address::printable;
use super::client::{
    Client, NEAR_CONCURRENCY, PROGRESS_BYTES_MIN, Trip, is_end_of_file, is_loopback, is_packed,
};
use super::error::FetchError;
use crate::report::Event;

/// A release is seen after this time, whatever a server says of how long its answers stay true.
const FRESH_FOR_MAX: Duration = Duration::from_secs(300);

/// A document to ask for.
#[derive(Debug, Clone)]
pub struct DocumentRequest {
    /// For messages: the package's name.
    pub package: String,
    /// Where it is.
    pub url: Url,
    /// `Accept`.
    pub accept: &'static str,
    /// `If-None-Match`: the tag of what is there already.
    pub etag: Option<Box<str>>,
    /// `If-Modified-Since`: when what is there already was changed, as HTTP writes times.
    pub last_modified: Option<Box<str>>,
}

/// A document that arrived.
#[derive(Debug)]
pub struct Document {
    /// Its bytes, unpacked.
    pub bytes: Vec<u8>,
    /// `Content-Type` without parameters, in lower case.
    pub content_type: Option<Box<str>>,
    /// `ETag`.
    pub etag: Option<Box<str>>,
    /// `Last-Modified`.
    pub last_modified: Option<Box<str>>,
    /// For how long it need not be asked for again.
    pub fresh_for: Duration,
}

/// What the server says.
#[derive(Debug)]
pub enum DocumentAnswer {
    /// What is there already is still true.
    NotModified {
        /// For how long it need not be asked about again.
        fresh_for: Duration,
    },
    /// Here it is.
    Fresh(Document),
}

/// How many documents are asked for at once; few from a server on this machine, for which more
/// connections cost more than they bring.
pub(super) struct DocumentSlots {
    near: Semaphore,
    far: Semaphore,
}

impl DocumentSlots {
    pub(super) fn new(concurrency: usize) -> Self {
        let concurrency = concurrency.clamp(1, Semaphore::MAX_PERMITS);
        Self {
            near: Semaphore::new(concurrency.min(NEAR_CONCURRENCY)),
            far: Semaphore::new(concurrency),
        }
    }
}

impl Client {
    /// Asks for a document, again where that makes sense, once `networkConcurrency` lets it.
    ///
    /// # Errors
    /// What the last try met.
    pub async fn fetch_document(
        &self,
        request: &DocumentRequest,
    ) -> Result<DocumentAnswer, FetchError> {
        let slots = if is_loopback(&request.url) {
            &self.documents.near
        } else {
            &self.documents.far
        };
        let _slot = slots
            .acquire()
            .await
            .expect("invariant: the semaphore is never closed");
        let started = Instant::now();
        let headers = headers(request);
        let answer = self
            .with_retries(&request.package, async || {
                let response = self.request(Method::GET, &request.package, &request.url, &headers);
                self.read_document(request, response.await?).await
            })
            .await?;
        self.warn_if_late(started, &request.url);
        Ok(answer)
    }

    async fn read_document(
        &self,
        request: &DocumentRequest,
        response: Response,
    ) -> Result<DocumentAnswer, FetchError> {
        if response.status() == StatusCode::NOT_MODIFIED {
            let fresh_for = fresh_for(response.headers());
            return Ok(DocumentAnswer::NotModified { fresh_for });
        }
        let trip = Trip {
            client: self,
            package: &request.package,
            url: response.url().clone(),
        };
        let text = |name: HeaderName| {
            let value = response.headers().get(name)?.to_str().ok()?;
            Some(Box::<str>::from(value.trim()))
        };
        let (etag, last_modified) = (text(ETAG), text(LAST_MODIFIED));
        let fresh_for = fresh_for(response.headers());
        let content_type = text(CONTENT_TYPE).and_then(|text| {
            let media_type = text.split(';').next()?.trim().to_ascii_lowercase();
            Some(media_type.into())
        });
        let is_packed = is_packed(response.headers());
        let bytes = trip.receive_document(response).await?;
        let bytes = if is_packed {
            trip.unpack(&bytes)?
        } else {
            bytes
        };
        Ok(DocumentAnswer::Fresh(Document {
            bytes,
            content_type,
            etag,
            last_modified,
            fresh_for,
        }))
    }

    fn warn_if_late(&self, started: Instant, url: &Url) {
        let elapsed = started.elapsed();
        if elapsed > self.network.warn_timeout {
            let message = format!(
                "Request took {} ms: {}",
                elapsed.as_millis(),
                printable(url)
            );
            self.reporter.report(&Event::Warning {
                code: "ERR_PACQUET_SLOW_REQUEST",
                message: &message,
            });
        }
    }
}

/// For how long an answer with these headers stays true without asking again (RFC 9111): its
/// `max-age` without the time that it spent in caches on the way. Nothing is guessed where the
/// server says nothing.
fn fresh_for(headers: &HeaderMap) -> Duration {
    let values = headers.get_all(CACHE_CONTROL).into_iter();
    let values = values.filter_map(|value| value.to_str().ok());
    let mut max_age = 0;
    for directive in values.flat_map(|value| value.split(',')) {
        let (name, value) = directive.split_once('=').unwrap_or((directive, ""));
        match name.trim().to_ascii_lowercase().as_str() {
            "no-store" | "no-cache" => return Duration::ZERO,
            "max-age" => max_age = seconds(value.trim().trim_matches('"')),
            _ => {}
        }
    }
    let age = headers.get(AGE).and_then(|value| value.to_str().ok());
    let age = age.map_or(0, |text| seconds(text.trim()));
    Duration::from_secs(max_age.saturating_sub(age)).min(FRESH_FOR_MAX)
}

/// A number of seconds; 0 for what is none.
fn seconds(text: &str) -> u64 {
    text.parse().unwrap_or(0)
}

fn headers(request: &DocumentRequest) -> HeaderMap {
    let mut headers = HeaderMap::new();
    headers.insert(ACCEPT, HeaderValue::from_static(request.accept));
    headers.insert(ACCEPT_ENCODING, HeaderValue::from_static("gzip"));
    for (name, value) in [
        (IF_NONE_MATCH, &request.etag),
        (IF_MODIFIED_SINCE, &request.last_modified),
    ] {
        let value = value.as_ref().map(|text| HeaderValue::from_str(text));
        if let Some(Ok(value)) = value {
            headers.insert(name, value);
        }
    }
    headers
}

impl Trip<'_> {
    pub(super) async fn receive_document(
        &self,
        mut response: Response,
    ) -> Result<Vec<u8>, FetchError> {
        let announced = response.content_length();
        let limit = self.client.limits.document_bytes_max;
        if announced.is_some_and(|bytes| bytes > limit) {
            return Err(self.document_too_large());
        }
        let mut bytes = Vec::new();
        // An announcement is believed as far as it costs nothing to be wrong.
        let capacity = announced.unwrap_or(0).min(1 << 20);
        bytes.reserve(usize::try_from(capacity).unwrap_or(0));
        let timeout = self.client.network.inactivity_timeout;
        let mut deadline = tokio::time::Instant::now() + timeout;
        let mut since_deadline = 0;
        loop {
            let chunk = match tokio::time::timeout_at(deadline, response.chunk()).await {
                Ok(Ok(Some(chunk))) => chunk,
                Ok(Ok(None)) => break,
                Ok(Err(error)) if announced.is_some() && is_end_of_file(&error) => {
                    let actual = bytes.len() as u64;
                    return Err(self.truncated(announced.unwrap_or(actual), actual));
                }
                Ok(Err(error)) => return Err(self.network(error)),
                Err(_) => return Err(self.stalled()),
            };
            if (bytes.len() + chunk.len()) as u64 > limit {
                return Err(self.document_too_large());
            }
            bytes.extend_from_slice(&chunk);
            since_deadline += chunk.len() as u64;
            if since_deadline >= PROGRESS_BYTES_MIN {
                deadline = tokio::time::Instant::now() + timeout;
                since_deadline = 0;
            }
        }
        let actual = bytes.len() as u64;
        match announced {
            Some(expected) if expected != actual => Err(self.truncated(expected, actual)),
            _ => Ok(bytes),
        }
    }

    fn unpack(&self, packed: &[u8]) -> Result<Vec<u8>, FetchError> {
        let mut bytes = Vec::with_capacity(packed.len().saturating_mul(6).min(8 << 20));
        let limit = self.client.limits.document_bytes_max;
        let mut decoder = MultiGzDecoder::new(packed).take(limit.saturating_add(1));
        decoder
            .read_to_end(&mut bytes)
            .map_err(|error| FetchError::Network {
                package: self.package.to_owned(),
                url: printable(&self.url),
                reason: format!("the answer cannot be unpacked: {error}"),
            })?;
        if bytes.len() as u64 > limit {
            return Err(self.document_too_large());
        }
        Ok(bytes)
    }

    fn document_too_large(&self) -> FetchError {
        FetchError::TooLarge {
            package: self.package.to_owned(),
            url: printable(&self.url),
            limit: self.client.limits.document_bytes_max,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_stays_true_as_long_as_its_headers_say() {
        for (control, age, expected) in [
            (None, None, 0),
            (None, Some("10"), 0),
            (Some("public, max-age=300"), None, 300),
            (Some("public, Max-Age=\"60\""), None, 60),
            (Some("max-age=300"), Some("100"), 200),
            (Some("max-age=60"), Some("100"), 0),
            (Some("max-age=31536000, immutable"), None, 300),
            (Some("max-age=300, no-cache"), None, 0),
            (Some("no-store"), None, 0),
            (Some("max-age=-1"), None, 0),
            (Some("max-age"), None, 0),
            (Some("s-maxage=300"), None, 0),
        ] {
            let mut headers = HeaderMap::new();
            if let Some(control) = control {
                headers.insert(CACHE_CONTROL, HeaderValue::from_str(control).unwrap());
            }
            if let Some(age) = age {
                headers.insert(AGE, HeaderValue::from_str(age).unwrap());
            }
            let found = fresh_for(&headers);
            assert_eq!(found, Duration::from_secs(expected), "{control:?} {age:?}");
        }
    }
}
