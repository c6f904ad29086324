//! Asking about an archive without downloading it.

use std::time::Duration;

use reqwest::header::{CACHE_CONTROL, HeaderMap};
use reqwest::{Method, Url};

use super::client::{Client, REDIRECTS_MAX, Trip, is_redirect};
use super::error::FetchError;

/// How long an answer may take that only saves time.
const ANONYMOUS_TIMEOUT: Duration = Duration::from_secs(10);

/// How often it is asked for.
const ANONYMOUS_TRIES: u32 = 3;

/// The first wait between two tries; each is twice the one before.
const ANONYMOUS_WAIT: Duration = Duration::from_millis(500);

impl Client {
    /// The address at which the archive at `url` will always be: where redirects lead, if the
    /// server says that this never changes (`Cache-Control: immutable`), else `url` itself.
    ///
    /// # Errors
    /// The server cannot be reached, or a redirect may not be followed. An error that the server
    /// answers is none here: some do not know the method.
    pub async fn lasting_address(&self, package: &str, url: &Url) -> Result<Url, FetchError> {
        let none = HeaderMap::new();
        let answer = self.with_retries(package, async || {
            self.request(Method::HEAD, package, url, &none).await
        });
        let response = match answer.await {
            Ok(response) => response,
            Err(FetchError::Status { .. }) => return Ok(url.clone()),
            Err(error) => return Err(error),
        };
        let cache_control = response.headers().get(CACHE_CONTROL);
        let is_immutable = cache_control
            .and_then(|value| value.to_str().ok())
            .is_some_and(|value| value.contains("immutable"));
        Ok(if is_immutable {
            response.url().clone()
        } else {
            url.clone()
        })
    }

    /// Whether everybody can download what is at `url`: without credentials. An answer that does
    /// not come in time is a no.
    pub async fn is_public(&self, package: &str, url: &Url) -> bool {
        let mut wait = ANONYMOUS_WAIT;
        for attempt in 1..=ANONYMOUS_TRIES {
            let answer = tokio::time::timeout(ANONYMOUS_TIMEOUT, self.anonymous(package, url));
            match answer.await {
                Ok(Ok(status)) if (200..300).contains(&status) => return true,
                Ok(Ok(status)) if !matches!(status, 408 | 409 | 420 | 429 | 500..=599) => {
                    return false;
                }
                _ => {}
            }
            if attempt < ANONYMOUS_TRIES {
                tokio::time::sleep(wait).await;
                wait *= 2;
            }
        }
        false
    }

    async fn anonymous(&self, package: &str, url: &Url) -> Result<u16, FetchError> {
        let mut trip = Trip {
            client: self,
            package,
            url: url.clone(),
        };
        let none = HeaderMap::new();
        for _ in 0..=REDIRECTS_MAX {
            let response = trip.send(Method::HEAD, None, &none).await?;
            if !is_redirect(response.status()) {
                return Ok(response.status().as_u16());
            }
            trip.url = trip.target(&response)?;
        }
        Ok(0)
    }
}
