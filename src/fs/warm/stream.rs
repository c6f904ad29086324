//! Programs that read whole directories, one after the other: `tar`, `cp -r`, `grep -r`, copies
//! into images.
//!
//! Each file that they read is a message, and nearly all of its time is the waking of a sleeping
//! server. So once most directories that were listed lately were read from their first file to
//! their last, the contents of what is listed next are pushed behind the listing. The first file of
//! each directory is left to the program: that it reads it says that it still goes on like that,
//! and gives the push a start. Where no first file was read any more for some listings, it is over.
//!
//! ```text
//! adapter ── "listed" ──► Streams ── files of a directory ──► stream thread ── contents ──► kernel
//!         ── "read" ────►
//! ```

use std::collections::VecDeque;
use std::fs::File;
use std::io;
use std::os::fd::OwnedFd;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use super::push::{Pushed, Pusher};
use super::touches::Touches;
use crate::fs::adapter::Invalidator;
use crate::fs::node::Node;
use crate::fs::vfs::Vfs;

/// Listings that are remembered.
const REMEMBERED: usize = 16;

/// Of them, those that were read whole before it is believed that the next ones are too.
const WHOLE_MIN: usize = 12;

/// Listings after the last first file was read before it is over.
const UNREAD_MAX: usize = 32;

/// Listings that wait to be pushed: who reads the files meanwhile needs no push.
const WAITING_MAX: usize = 64;

/// Largest file that is pushed, in bytes. Of larger ones the kernel reads ahead by itself.
const FILE_BYTES_MAX: u64 = 256 << 10;

/// Times that the contents of a file are offered.
const TRIES: usize = 3;

/// What the kernel needs to go through a few dozen entries of a listing.
const BETWEEN_TRIES: Duration = Duration::from_micros(100);

/// What is known of who reads whole directories.
#[derive(Default)]
pub struct Streams {
    state: Mutex<State>,
    /// Whether a read is of interest.
    watches: AtomicBool,
    is_on: AtomicBool,
    /// Id of the file that was read last.
    last_read: AtomicU64,
}

#[derive(Default)]
struct State {
    listings: VecDeque<Shown>,
    unread: usize,
    pusher: Option<SyncSender<Vec<u64>>>,
}

/// What is remembered of a listing.
struct Shown {
    first: u64,
    last: u64,
    was_first_read: bool,
    was_last_read: bool,
}

impl Streams {
    /// Whether what is listed will be read.
    pub fn is_on(&self) -> bool {
        self.is_on.load(Ordering::Relaxed)
    }

    /// A program was shown these files of a directory: ids of those that have contents.
    pub fn listed(&self, mut files: Vec<u64>) {
        let (Some(&first), Some(&last)) = (files.first(), files.last()) else {
            return;
        };
        let mut state = self.lock();
        if state.listings.len() == REMEMBERED {
            state.listings.pop_front();
        }
        state.listings.push_back(Shown {
            first,
            last,
            was_first_read: false,
            was_last_read: false,
        });
        self.watches.store(true, Ordering::Relaxed);
        if !self.is_on() {
            return;
        }
        state.unread += 1;
        if state.unread > UNREAD_MAX {
            self.is_on.store(false, Ordering::Relaxed);
            state.listings.clear();
            return;
        }
        files.remove(0);
        if let Some(pusher) = &state.pusher {
            // Where too many wait, the program is ahead.
            let _ = pusher.try_send(files);
        }
    }

    /// A program has read the beginning of a file.
    pub fn read(&self, id: u64) {
        if !self.watches.load(Ordering::Relaxed) {
            return;
        }
        self.last_read.store(id, Ordering::Relaxed);
        let mut state = self.lock();
        let Some(shown) = state.listings.iter_mut().rev().find(|shown| shown.has(id)) else {
            return;
        };
        shown.was_first_read |= shown.first == id;
        shown.was_last_read |= shown.last == id;
        if shown.first == id {
            state.unread = 0;
        }
        let whole = state
            .listings
            .iter()
            .filter(|shown| shown.was_read())
            .count();
        if whole >= WHOLE_MIN && state.pusher.is_some() {
            self.is_on.store(true, Ordering::Relaxed);
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Shown {
    fn has(&self, id: u64) -> bool {
        self.first == id || self.last == id
    }

    fn was_read(&self) -> bool {
        self.was_first_read && self.was_last_read
    }
}

/// The thread that pushes, until it is dropped.
pub(super) struct Stream {
    streams: Arc<Streams>,
    thread: Option<JoinHandle<()>>,
}

impl Stream {
    pub(super) fn start(
        touches: &Arc<Touches>,
        vfs: Arc<Vfs>,
        root: u32,
        device: OwnedFd,
        invalidator: Invalidator,
    ) -> io::Result<Self> {
        let (sender, receiver) = sync_channel(WAITING_MAX);
        let streams = Arc::clone(&touches.streams);
        let (shared, touches) = (Arc::clone(&streams), Arc::clone(touches));
        let thread = thread::Builder::new()
            .name("stream".to_owned())
            .spawn(move || {
                let device = File::from(device);
                let pusher = Pusher {
                    device: &device,
                    invalidator: &invalidator,
                    vfs: &vfs,
                    contents: &touches.contents,
                    root,
                    buffer: Vec::new(),
                };
                if let Err(error) = push_all(&shared, pusher, &receiver) {
                    tracing::debug!(%error, "directories are not pushed any more");
                }
            })?;
        streams.lock().pusher = Some(sender);
        Ok(Self {
            streams,
            thread: Some(thread),
        })
    }
}

impl Drop for Stream {
    fn drop(&mut self) {
        self.streams.is_on.store(false, Ordering::Relaxed);
        self.streams.lock().pusher = None;
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

fn push_all(
    streams: &Streams,
    mut pusher: Pusher<'_>,
    waiting: &Receiver<Vec<u64>>,
) -> io::Result<()> {
    for files in waiting {
        let mut next = 0;
        while let Some(id) = files.get(next) {
            if !streams.is_on() {
                break;
            }
            let last_read = streams.last_read.load(Ordering::Relaxed);
            if let Some(ahead) = files[next..].iter().position(|id| *id == last_read) {
                // The one after it is being asked for by now.
                next += ahead + 2;
                continue;
            }
            next += 1;
            let Some(node) = Node::from_id(*id, pusher.root) else {
                continue;
            };
            // The kernel may not have gone through all of the listing yet.
            for _ in 0..TRIES {
                match pusher.push_up_to(node, FILE_BYTES_MAX)? {
                    Pushed::Unknown => thread::sleep(BETWEEN_TRIES),
                    Pushed::Done => break,
                }
            }
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    const LISTINGS: u64 = 1000;

    fn list(streams: &Streams, directory: u64) -> [u64; 3] {
        let files = [1, 2, 3].map(|file| directory * 10 + file);
        streams.listed(files.to_vec());
        streams.listed(Vec::new());
        files
    }

    fn with_pusher() -> (Streams, Receiver<Vec<u64>>) {
        let streams = Streams::default();
        let (sender, receiver) = sync_channel(WAITING_MAX);
        streams.lock().pusher = Some(sender);
        (streams, receiver)
    }

    #[test]
    fn what_is_read_whole_is_pushed_but_for_the_first_file_until_nobody_reads_it() {
        let (streams, pushed) = with_pusher();
        let mut directory = 0;
        while !streams.is_on() {
            directory += 1;
            assert!(directory < LISTINGS);
            for file in list(&streams, directory) {
                assert!(!streams.is_on() || directory as usize >= WHOLE_MIN);
                streams.read(file);
            }
        }
        assert!(pushed.try_recv().is_err());
        let files = list(&streams, LISTINGS);
        assert_eq!(pushed.try_recv(), Ok(files[1..].to_vec()));
        streams.read(files[0]);
        for directory in 1..=UNREAD_MAX as u64 {
            list(&streams, LISTINGS + directory);
            assert!(streams.is_on());
            assert!(pushed.try_recv().is_ok());
        }
        list(&streams, LISTINGS * 2);
        assert!(!streams.is_on());
        assert!(pushed.try_recv().is_err());
    }

    #[test]
    fn listings_alone_and_reads_of_some_files_push_nothing() {
        let (streams, pushed) = with_pusher();
        for directory in 1..LISTINGS {
            let files = list(&streams, directory);
            streams.read(files[0]);
            streams.read(files[1]);
        }
        assert!(!streams.is_on());
        assert!(pushed.try_recv().is_err());
    }
}
