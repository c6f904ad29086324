//! Questions that have a body, and answers that count whatever their status is.

use std::sync::{Mutex, PoisonError};

use reqwest::header::{ACCEPT, CONTENT_TYPE, HeaderMap, HeaderValue};
use reqwest::{Method, Url};

use super::client::{Client, Trip};
use super::error::FetchError;

/// What a server answered.
#[derive(Debug, Clone, Default)]
pub struct Answer {
    /// The status.
    pub status: u16,
    /// The body.
    pub bytes: Vec<u8>,
}

impl Client {
    /// Posts the JSON `body` to `url`, again where that makes sense. A redirect is an answer like
    /// any other.
    ///
    /// # Errors
    /// There is no answer.
    pub async fn post(&self, url: &Url, body: &[u8]) -> Result<Answer, FetchError> {
        let headers = HeaderMap::from_iter([
            (ACCEPT, HeaderValue::from_static("*/*")),
            (CONTENT_TYPE, HeaderValue::from_static("application/json")),
        ]);
        let last: Mutex<Option<Answer>> = Mutex::default();
        let result = self
            .with_retries("audit", async || {
                let mut trip = Trip {
                    client: self,
                    package: "audit",
                    url: url.clone(),
                };
                let authorization = trip.authorization().await?;
                let with_credentials = authorization.is_some();
                let body = Some(body.to_vec());
                let method = Method::POST;
                let response = trip
                    .send_with(method, authorization, &headers, body)
                    .await?;
                let status = response.status();
                let failure = trip.status(&response, with_credentials);
                let bytes = trip.receive_document(response).await?;
                let answer = Answer {
                    status: status.as_u16(),
                    bytes,
                };
                if status.is_success() || !failure.is_transient() {
                    return Ok(answer);
                }
                *last.lock().unwrap_or_else(PoisonError::into_inner) = Some(answer);
                Err(failure)
            })
            .await;
        let last = last.into_inner().unwrap_or_else(PoisonError::into_inner);
        match (result, last) {
            (Err(FetchError::Status { .. }), Some(answer)) => Ok(answer),
            (result, _) => result,
        }
    }
}
