//! What a registry can do wrong, one answer at a time.

use std::time::Duration;

/// A fault that replaces or damages one answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Fault {
    /// This status with a short JSON body.
    Status(u16),
    /// This status with a `Retry-After` in seconds.
    RetryAfter {
        /// The status, usually 429 or 503.
        status: u16,
        /// The value of `Retry-After`, in seconds.
        seconds: u64,
    },
    /// This status with `Location`.
    Redirect {
        /// 301, 302, 303, 307 or 308.
        status: u16,
        /// The value of `Location`, as it is.
        location: String,
    },
    /// Status 200 and a page of HTML, as a captive portal answers.
    Html,
    /// Status 200 and this body with this content type.
    Body {
        /// The value of `Content-Type`.
        content_type: String,
        /// The body.
        bytes: Vec<u8>,
    },
    /// `Content-Length` is this much larger than the body; then the connection closes.
    ContentLengthTooLong(u64),
    /// `Content-Length` is this much smaller than the body, all of which is sent; then the
    /// connection closes.
    ContentLengthTooShort(u64),
    /// `Content-Length` is this, whatever the body is (for instance `u64::MAX`).
    ContentLength(u64),
    /// No `Content-Length` and no chunks: the body ends where the connection closes.
    NoContentLength,
    /// The body is sent in chunks of this many bytes, correctly.
    Chunked(usize),
    /// Chunks without end: the body, and then zeros until the client goes away.
    EndlessChunks,
    /// The first chunk is never followed by a last one; then the connection closes.
    UnfinishedChunks,
    /// The connection is reset after this many bytes of the body.
    ResetAfter(usize),
    /// The connection closes after this many bytes of the body, in the usual way.
    CloseAfter(usize),
    /// The connection is reset before any answer.
    Reset,
    /// One byte at a time, with this pause after each.
    SlowLoris(Duration),
    /// The head and half of the body, then nothing until the client or the registry goes away.
    StallHalfWay,
    /// Nothing at all until the client or the registry goes away.
    Hang,
    /// The right answer after this time.
    Delay(Duration),
    /// The first byte of the body's second half is changed.
    FlipByte,
    /// The body is compressed once more than its headers say.
    CompressedTwice,
    /// The body is compressed once more, as its headers say.
    CompressedForTheWay,
    /// `Content-Encoding: gzip` on a body that is not compressed.
    FalseContentEncoding,
}

/// When a fault happens. Attempts of one path count from one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum When {
    /// On every attempt.
    Always,
    /// On the first this many attempts.
    First(u32),
    /// On these attempts.
    Attempts(Vec<u32>),
}

impl When {
    pub(crate) fn includes(&self, attempt: u32) -> bool {
        match self {
            Self::Always => true,
            Self::First(count) => attempt <= *count,
            Self::Attempts(list) => list.contains(&attempt),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn attempts_count_from_one() {
        assert!(When::Always.includes(9));
        assert!(When::First(2).includes(2));
        assert!(!When::First(2).includes(3));
        assert!(When::Attempts(vec![2]).includes(2));
        assert!(!When::Attempts(vec![2]).includes(1));
    }
}
