//! How often the kernel asked, by what it asked for.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

macro_rules! requests {
    ($($variant:ident => $name:literal,)*) => {
        /// A kind of request.
        #[derive(Debug, Clone, Copy, PartialEq, Eq)]
        #[allow(missing_docs, reason = "each is named as the kernel names it")]
        pub enum Request {
            $($variant,)*
        }

        /// Every kind with its name, in the order of the enum.
        const NAMES: &[&str] = &[$($name,)*];
    };
}

requests! {
    Lookup => "lookup",
    Getattr => "getattr",
    Readlink => "readlink",
    Open => "open",
    Read => "read",
    Opendir => "opendir",
    Readdir => "readdir",
    Readdirplus => "readdirplus",
    Forget => "forget",
    Statfs => "statfs",
    Xattr => "xattr",
    Flush => "flush",
    Release => "release",
    Releasedir => "releasedir",
    Fsync => "fsync",
    Access => "access",
    Lock => "lock",
    Ioctl => "ioctl",
    Poll => "poll",
    Lseek => "lseek",
    Setattr => "setattr",
    Write => "write",
    Change => "change",
    Other => "other",
}

/// Counters since the server began.
#[derive(Debug)]
pub struct Counters {
    requests: [AtomicU64; NAMES.len()],
    bytes_read: AtomicU64,
    failures: AtomicU64,
    is_full: AtomicBool,
}

impl Default for Counters {
    fn default() -> Self {
        Self {
            requests: std::array::from_fn(|_| AtomicU64::new(0)),
            bytes_read: AtomicU64::new(0),
            failures: AtomicU64::new(0),
            is_full: AtomicBool::new(false),
        }
    }
}

impl Counters {
    /// Counts a request.
    pub fn count(&self, request: Request) {
        self.requests[request as usize].fetch_add(1, Ordering::Relaxed);
    }

    /// Counts bytes that a READ was answered with.
    pub fn count_bytes(&self, bytes: usize) {
        self.bytes_read.fetch_add(bytes as u64, Ordering::Relaxed);
    }

    /// Counts a request that failed for a reason that is not the asker's.
    pub fn count_failure(&self) {
        self.failures.fetch_add(1, Ordering::Relaxed);
    }

    /// Notes whether there was room for what was last written.
    pub fn note_full(&self, is_full: bool) {
        // Every write says so; hardly any of them changes it.
        if self.is_full() != is_full {
            self.is_full.store(is_full, Ordering::Relaxed);
        }
    }

    /// Whether what was last written was refused for lack of room.
    pub fn is_full(&self) -> bool {
        self.is_full.load(Ordering::Relaxed)
    }

    /// All requests together.
    pub fn total(&self) -> u64 {
        let counts = self.requests.iter();
        counts.map(|count| count.load(Ordering::Relaxed)).sum()
    }

    /// The kinds that were asked for, with their counts.
    pub fn by_request(&self) -> Vec<(&'static str, u64)> {
        let counts = self.requests.iter();
        let counts = counts.map(|count| count.load(Ordering::Relaxed));
        let named = NAMES.iter().copied().zip(counts);
        named.filter(|(_, count)| *count > 0).collect()
    }

    /// Bytes that READs were answered with.
    pub fn bytes_read(&self) -> u64 {
        self.bytes_read.load(Ordering::Relaxed)
    }

    /// Requests that failed for a reason that is not the asker's.
    pub fn failures(&self) -> u64 {
        self.failures.load(Ordering::Relaxed)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counts_are_told_by_name() {
        let counters = Counters::default();
        assert_eq!(counters.by_request(), []);
        counters.count(Request::Lookup);
        counters.count(Request::Other);
        counters.count(Request::Lookup);
        assert_eq!(counters.by_request(), [("lookup", 2), ("other", 1)]);
        assert_eq!(counters.total(), 3);
    }
}
