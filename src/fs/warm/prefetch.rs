//! What a profile names, read from the disk before anybody waits for it.
//!
//! Where the store is not in the page cache, as after a reboot, a replay waits for the disk file by
//! file, and so does the program that overtakes it. So the packs are opened and the system is told
//! of their spans in advance, in the order of the profile, as fast as it takes them. Where the
//! first files are in the page cache, nothing is done: it would cost a replay a tenth more.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{self, JoinHandle};

use super::plan::find_directory;
use super::profile::{Profile, UseKind};
use crate::fs::attributes::Kind;
use crate::fs::node::Node;
use crate::fs::vfs::Vfs;

/// Files that tell whether the store is in the page cache.
const SAMPLES: usize = 16;

/// Of them, those that may be missing there.
const MISSING_MAX: usize = 3;

/// Bytes that are read in advance.
const BYTES_MAX: u64 = 256 << 20;

/// The thread that reads in advance, until it is dropped.
pub(super) struct Prefetch {
    is_over: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Prefetch {
    /// Begins to read what `profile` names in the tree at `root`. Without a thread for it, it is
    /// read when it is wanted.
    pub(super) fn start(vfs: &Arc<Vfs>, root: u32, profile: &Arc<Profile>) -> Self {
        let is_over = Arc::new(AtomicBool::new(false));
        let (vfs, profile, stopped) = (Arc::clone(vfs), Arc::clone(profile), Arc::clone(&is_over));
        let thread = thread::Builder::new()
            .name("prefetch".to_owned())
            .spawn(move || {
                let missing = files(&vfs, root, &profile)
                    .take(SAMPLES)
                    .filter(|(node, _)| !vfs.lower().is_cached(*node))
                    .count();
                if missing > MISSING_MAX {
                    read(&vfs, files(&vfs, root, &profile), &stopped);
                }
            });
        Self {
            is_over,
            thread: thread.ok(),
        }
    }
}

impl Drop for Prefetch {
    fn drop(&mut self) {
        self.is_over.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

/// The files that a profile says are read, with their bytes.
fn files<'profile>(
    vfs: &'profile Vfs,
    root: u32,
    profile: &'profile Profile,
) -> impl Iterator<Item = (Node, u64)> + 'profile {
    profile
        .directories
        .iter()
        .flat_map(move |(path, directory)| {
            let node = find_directory(vfs, root, path);
            let names = directory.names.iter();
            names
                .filter(|(_, known)| known.kind == UseKind::Read)
                .filter_map(move |(name, _)| {
                    let found = vfs.lower().lookup(node?, name.as_bytes()).ok()??;
                    let is_file = found.kind == Kind::File && found.size > 0;
                    is_file.then_some((found.node, found.size))
                })
        })
}

fn read(vfs: &Vfs, files: impl Iterator<Item = (Node, u64)>, is_over: &AtomicBool) {
    let mut left = BYTES_MAX;
    for (node, bytes) in files {
        if is_over.load(Ordering::Relaxed) {
            return;
        }
        if bytes <= left {
            left -= bytes;
            vfs.lower().will_need(node);
        }
    }
}
