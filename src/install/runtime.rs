//! Asynchronous runtimes, where they can have the threads that they need.
//!
//! Names are looked up, and documents are read, on threads that may wait. The runtime panics where
//! it cannot start the first of these, and waits for ever where it has none but its own workers. So
//! it is known that there is one before anything depends on it, and it stays.

use std::io;
use std::sync::mpsc;
use std::thread;
use std::time::Duration;

use tokio::runtime::{Builder, Runtime};

/// What to do where there are none.
pub(crate) const MORE_THREADS: &str =
    "Raise the limits of processes and of memory (ulimit -u, ulimit -v, those of the container)";

/// How long the first thread may take to begin.
const PATIENCE: Duration = Duration::from_secs(10);

/// Longer than any command.
const KEPT: Duration = Duration::from_secs(7 * 24 * 3600);

/// A runtime that works on the calling thread.
///
/// # Errors
/// There are no threads to be had.
pub(crate) fn on_this_thread() -> io::Result<Runtime> {
    begin(Builder::new_current_thread(), 0)
}

/// A runtime with `workers` threads of this name.
///
/// # Errors
/// There are no threads to be had.
pub(crate) fn with_workers(workers: usize, name: &str) -> io::Result<Runtime> {
    let mut builder = Builder::new_multi_thread();
    builder.worker_threads(workers).thread_name(name);
    begin(builder, workers)
}

fn begin(mut builder: Builder, workers: usize) -> io::Result<Runtime> {
    try_threads(workers + 1)?;
    let runtime = builder.enable_all().thread_keep_alive(KEPT).build()?;
    let first = async {
        let waiting = tokio::task::spawn_blocking(|| ());
        tokio::time::timeout(PATIENCE, waiting).await
    };
    match runtime.block_on(first) {
        Ok(Ok(())) => Ok(runtime),
        Ok(Err(error)) => Err(io::Error::other(error)),
        Err(_) => {
            runtime.shutdown_background();
            Err(io::ErrorKind::WouldBlock.into())
        }
    }
}

/// Whether so many threads can be there at once.
fn try_threads(count: usize) -> io::Result<()> {
    let mut waiting = Vec::new();
    for _ in 0..count {
        let (sender, receiver) = mpsc::channel::<()>();
        let thread = thread::Builder::new().spawn(move || receiver.recv())?;
        waiting.push((sender, thread));
    }
    for (sender, thread) in waiting {
        drop(sender);
        let _ = thread.join();
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_kinds_run_what_may_wait() {
        for runtime in [on_this_thread(), with_workers(2, "two")] {
            let runtime = runtime.unwrap();
            let done = runtime.block_on(async { tokio::task::spawn_blocking(|| 1).await });
            assert_eq!(done.unwrap(), 1);
        }
    }
}
