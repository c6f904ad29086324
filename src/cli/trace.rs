//! Spans of a run, written where the user asked for them.

use std::path::Path;

use crate::fs::adapter::LOG_FILTER;
use tracing_subscriber::EnvFilter;
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;

/// The environment variable with the filter, in the syntax of `tracing_subscriber::EnvFilter`.
const FILTER_VARIABLE: &str = "TRACE";

/// Keeps the trace open; dropping it writes the rest.
pub(super) struct TraceGuard(#[expect(dead_code, reason = "held for its Drop")] TraceKind);

#[expect(dead_code, reason = "held for its Drop")]
enum TraceKind {
    File(tracing_chrome::FlushGuard),
    Lines,
}

/// Starts tracing to `file` (the trace-event format that Perfetto and chrome://tracing open), or,
/// where only `TRACE` is set, as lines to standard error. Without either nothing is set up, and a
/// span costs a load and a branch.
pub(super) fn start(file: Option<&Path>) -> Option<TraceGuard> {
    let filter = std::env::var(FILTER_VARIABLE).ok();
    let filter_or = |default: &str| {
        EnvFilter::try_new(filter.as_deref().unwrap_or(default))
            .unwrap_or_else(|_| EnvFilter::new(default))
    };
    if let Some(path) = file {
        let (layer, guard) = tracing_chrome::ChromeLayerBuilder::new()
            .file(path)
            .include_args(true)
            .build();
        let set = tracing_subscriber::registry()
            .with(filter_or("pacquet=trace"))
            .with(layer);
        return set
            .try_init()
            .ok()
            .map(|()| TraceGuard(TraceKind::File(guard)));
    }
    filter.as_ref()?;
    let lines = tracing_subscriber::fmt::layer()
        .with_writer(std::io::stderr)
        .with_span_events(tracing_subscriber::fmt::format::FmtSpan::CLOSE);
    let set = tracing_subscriber::registry()
        .with(filter_or("pacquet=debug"))
        .with(lines);
    set.try_init().ok().map(|()| TraceGuard(TraceKind::Lines))
}

/// Starts the log of a server process: warnings and errors on standard error, which its parent has
/// made the log file, and more of it where `TRACE` says so.
pub(super) fn start_log() {
    let filter = std::env::var(FILTER_VARIABLE)
        .ok()
        .and_then(|filter| EnvFilter::try_new(filter).ok())
        .unwrap_or_else(|| EnvFilter::new(LOG_FILTER));
    let lines = tracing_subscriber::fmt::layer()
        .with_ansi(false)
        .with_writer(std::io::stderr);
    // Fails only where one is set up already.
    let _ = tracing_subscriber::registry()
        .with(filter)
        .with(lines)
        .try_init();
}
