//! How the library tells of its progress: one trait, one event type.
//!
//! **Architecture Invariant:** nothing outside `cli` prints. The library calls a [`Reporter`],
//! from any thread; a reporter must return quickly and must not fail.

use std::time::Duration;

use crate::install::scripts::{ScriptEnd, ScriptOutput};

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

/// A script that runs, as reporters name it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ScriptName<'a> {
    /// For people: a project's directory, relative, or `name@version`.
    pub shown: &'a str,
    /// The depPath of a package, or the directory of a project.
    pub dep_path: &'a str,
    /// Where it runs.
    pub directory: &'a str,
    /// Its name in `scripts`.
    pub stage: &'a str,
    /// Whether the install goes on when it fails.
    pub is_optional: bool,
}

/// Which of its two outputs a script wrote to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ScriptStream {
    /// Standard output.
    Output,
    /// Standard error.
    Error,
}

/// Something that happened.
#[derive(Debug, Clone, PartialEq)]
pub enum Event<'a> {
    /// A phase begins.
    PhaseStarted(Phase),
    /// A phase is over.
    PhaseFinished(Phase, Duration),
    /// A package that the lockfile asks for on this machine. Told only where
    /// [`Reporter::wants_packages`].
    Resolved {
        /// As in [`Event::DownloadStarted`].
        package: &'a str,
        /// Whether the store has it already.
        is_stored: bool,
    },
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
    /// A script was started.
    ScriptStarted {
        /// Which.
        name: &'a ScriptName<'a>,
        /// The line of shell, with its arguments.
        script: &'a str,
        /// Where its output goes.
        output: ScriptOutput,
    },
    /// A script wrote a line, without its end.
    ScriptLine {
        /// Which.
        name: &'a ScriptName<'a>,
        /// Where to.
        stream: ScriptStream,
        /// The line; what was not UTF-8 is replaced.
        line: &'a str,
    },
    /// A script has ended.
    ScriptEnded {
        /// Which.
        name: &'a ScriptName<'a>,
        /// How.
        end: ScriptEnd,
        /// Where its output went.
        output: ScriptOutput,
    },
}

/// Takes events. Called from any thread.
pub trait Reporter: Send + Sync {
    /// Takes one event.
    fn report(&self, event: &Event<'_>);

    /// Whether it does something with each package by name, and not only with their number.
    fn wants_packages(&self) -> bool {
        false
    }
}

/// Takes events and does nothing with them.
#[derive(Debug, Clone, Copy, Default)]
pub struct Silent;

impl Reporter for Silent {
    fn report(&self, _event: &Event<'_>) {}
}

/// Runs `work` between the two events of `phase`, in a span of its own.
pub fn phase<T>(reporter: &dyn Reporter, phase: Phase, work: impl FnOnce() -> T) -> T {
    let _span = tracing::info_span!("phase", name = ?phase).entered();
    let started = std::time::Instant::now();
    reporter.report(&Event::PhaseStarted(phase));
    let result = work();
    reporter.report(&Event::PhaseFinished(phase, started.elapsed()));
    result
}
