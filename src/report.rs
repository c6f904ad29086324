//! How the library tells of its progress: one trait, one event type.
//!
//! **Architecture Invariant:** nothing outside `cli` prints. The library calls a [`Reporter`],
//! from any thread; a reporter must return quickly and must not fail.

use std::time::Duration;

/// A stretch of work that takes long enough to be told of.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Phase {
    /// Reading manifests, lockfile and configuration.
    Read,
    /// Asking the store what is missing.
    Plan,
    /// Downloading and storing what is missing.
    Fetch,
    /// Building the layout.
    Layout,
    /// Writing real files.
    Write,
    /// Mounting.
    Mount,
    /// Checking the store.
    Verify,
}

/// Something that happened.
#[derive(Debug, Clone, PartialEq)]
pub enum Event<'a> {
    /// A phase begins.
    PhaseStarted(Phase),
    /// A phase is over.
    PhaseFinished(Phase, Duration),
    /// What the lockfile asks for on this machine: how many packages, and how many of them the
    /// store has already.
    Planned {
        /// All packages of the install.
        packages: usize,
        /// Those that need no download.
        reused: usize,
    },
    /// A request for a package was sent.
    DownloadStarted {
        /// `name@version` or the address without credentials.
        package: &'a str,
        /// What `Content-Length` promises.
        bytes: Option<u64>,
    },
    /// Bytes of a package arrived.
    DownloadProgress {
        /// As in [`Event::DownloadStarted`].
        package: &'a str,
        /// Bytes since the last event of this package.
        bytes: u64,
    },
    /// A package has arrived whole.
    DownloadFinished {
        /// As in [`Event::DownloadStarted`].
        package: &'a str,
    },
    /// A request failed and is made again.
    DownloadRetried {
        /// As in [`Event::DownloadStarted`].
        package: &'a str,
        /// Which try comes now; the first was 1.
        attempt: u32,
        /// Why the last one failed.
        reason: &'a str,
    },
    /// A package is in the store.
    Stored {
        /// As in [`Event::DownloadStarted`].
        package: &'a str,
        /// Files in it.
        files: usize,
        /// Their bytes.
        bytes: u64,
    },
    /// Something a person should know that is no failure.
    Warning {
        /// Stable code, as [`crate::diagnostic::Diagnostic::code`].
        code: &'static str,
        /// One sentence.
        message: &'a str,
    },
    /// A plain statement of something done.
    Info(&'a str),
}

/// Takes events. Called from any thread.
pub trait Reporter: Send + Sync {
    /// Takes one event.
    fn report(&self, event: &Event<'_>);
}

/// Takes events and does nothing with them.
#[derive(Debug, Clone, Copy, Default)]
pub struct Silent;

impl Reporter for Silent {
    fn report(&self, _event: &Event<'_>) {}
}

/// Runs `work` between the two events of `phase`.
pub fn phase<T>(reporter: &dyn Reporter, phase: Phase, work: impl FnOnce() -> T) -> T {
    let started = std::time::Instant::now();
    reporter.report(&Event::PhaseStarted(phase));
    let result = work();
    reporter.report(&Event::PhaseFinished(phase, started.elapsed()));
    result
}
