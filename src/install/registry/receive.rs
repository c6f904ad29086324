//! Taking the bytes of an archive.

use std::time::{Duration, Instant};

use jiff::Timestamp;
use reqwest::Response;

use super::address::printable;
use super::arrival::{Arrival, Handing};
use super::body::{Body, Collector, Delivery, last_modified};
use super::budget::BodyPermit;
use super::client::{Client, PROGRESS_BYTES_MIN, Trip, is_end_of_file, is_packed};
use super::error::FetchError;
use crate::report::Event;
use crate::store::Unpacker;

/// A download that takes less than this is not slow, whatever its rate.
const SLOW_AFTER: Duration = Duration::from_secs(1);

/// A download that has begun.
pub(super) struct Opened<'a> {
    pub(super) trip: Trip<'a>,
    pub(super) response: Response,
    /// Bytes, where the server says how many.
    pub(super) announced: Option<u64>,
    pub(super) started: Instant,
}

impl Opened<'_> {
    /// Keeps the bytes, in memory or in a file.
    pub(super) async fn keep(mut self) -> Result<Body, FetchError> {
        let limits = &self.trip.client.limits;
        let (budget, spool) = (&self.trip.client.budget, limits.spool_bytes);
        // A file needs only the chunk that is on its way; a body of unknown size may become as
        // large as what is still kept in memory.
        let mut permit: BodyPermit = match self.announced {
            Some(bytes) if bytes > spool => budget.take(PROGRESS_BYTES_MIN).await,
            Some(bytes) => budget.take(bytes).await,
            None => budget.take(spool).await,
        };
        let (directory, prefix) = (&limits.spool_directory, &limits.spool_prefix);
        let mut collector = Collector::new(self.announced, spool, directory, prefix)?;
        self.receive(&mut collector).await?;
        let actual = collector.bytes();
        let mut content = collector.finish();
        if is_packed(self.response.headers()) {
            content = self.trip.without_encoding(content)?;
        }
        let held = if actual > spool { 0 } else { actual };
        budget.shrink(&mut permit, held);
        let body = Body::new(content, permit).modified_as(self.response.headers());
        self.tell(body.size());
        Ok(body)
    }

    /// Has the bytes unpacked while they arrive, where that is worth it.
    pub(super) async fn deliver<'u>(
        mut self,
        unpacker: impl FnOnce(Option<Timestamp>) -> Option<&'u Unpacker>,
    ) -> Result<Delivery, FetchError> {
        let client = self.trip.client;
        let is_busy = client.is_busy_with(&self.trip.url);
        let headers = self.response.headers();
        let handing = self
            .announced
            .filter(|bytes| !is_packed(headers) && Handing::is_worth(*bytes, is_busy))
            .and_then(|bytes| Handing::begin(unpacker(last_modified(headers))?, bytes));
        let Some(mut handing) = handing else {
            return self.keep().await.map(Delivery::Whole);
        };
        let _permit = client.budget.take(handing.held_bytes()).await;
        self.receive(&mut handing).await?;
        let bytes = handing.bytes();
        let unpacking = handing.finish().await;
        self.tell(bytes);
        Ok(Delivery::Unpacked(unpacking))
    }

    async fn receive(&mut self, arrival: &mut impl Arrival) -> Result<(), FetchError> {
        let Client {
            limits,
            network,
            reporter,
            ..
        } = self.trip.client;
        let timeout = network.inactivity_timeout;
        let mut deadline = tokio::time::Instant::now() + timeout;
        let mut since_deadline = 0;
        loop {
            let chunk = match tokio::time::timeout_at(deadline, self.response.chunk()).await {
                Ok(Ok(Some(chunk))) => chunk,
                Ok(Ok(None)) => break,
                Ok(Err(error)) => return Err(self.interrupted(error, arrival.bytes())),
                Err(_) => return Err(self.trip.stalled()),
            };
            let bytes = chunk.len() as u64;
            if arrival.bytes() + bytes > limits.tarball_bytes_max {
                return Err(self.trip.too_large());
            }
            arrival.take(chunk).await?;
            since_deadline += bytes;
            if since_deadline >= PROGRESS_BYTES_MIN {
                deadline = tokio::time::Instant::now() + timeout;
                since_deadline = 0;
            }
            let package = self.trip.package;
            reporter.report(&Event::DownloadProgress { package, bytes });
        }
        let actual = arrival.bytes();
        match self.announced.filter(|expected| *expected != actual) {
            Some(expected) => Err(self.trip.truncated(expected, actual)),
            None => Ok(()),
        }
    }

    fn interrupted(&self, error: reqwest::Error, bytes: u64) -> FetchError {
        match self.announced {
            Some(expected) if is_end_of_file(&error) => self.trip.truncated(expected, bytes),
            _ => self.trip.network(error),
        }
    }

    /// Tells that it has arrived, and whether that was slow.
    fn tell(&self, bytes: u64) {
        let elapsed = self.started.elapsed();
        let client = self.trip.client;
        let minimum = client.network.warn_speed_kib_per_second;
        let speed = u128::from(bytes / 1024) * 1000 / elapsed.as_millis().max(1);
        if elapsed > SLOW_AFTER && speed < u128::from(minimum) {
            let message = format!(
                "Tarball download average speed {speed} KiB/s (size {} KiB) is below {minimum} \
                 KiB/s: {} (GET)",
                bytes / 1024,
                printable(&self.trip.url)
            );
            let code = "ERR_PACQUET_SLOW_DOWNLOAD";
            client.reporter.report(&Event::Warning {
                code,
                message: &message,
            });
        }
        let package = self.trip.package;
        client.reporter.report(&Event::DownloadFinished { package });
    }
}
