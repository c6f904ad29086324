//! The first touch of a mount, taken in advance.
//!
//! A served tree is free once the kernel knows it; the first program that touches it pays a
//! message for every name and every file. Nearly all of that is the waking of a sleeping server,
//! not work (`docs/PERFORMANCE.md`). So what the last run touched is remembered in a profile, and
//! touched again in the background after the next mount: names by a small process of its own that
//! lists directories and asks for names, contents and link targets by FUSE_NOTIFY_STORE
//! (`include/uapi/linux/fuse.h`), which needs no program at all.
//!
//! ```text
//! adapter ──► Touches ──► Recorder thread ──► profile on disk
//!                                                │ next mount
//!                                                ▼
//! walker process ◄── steps ── Plan ◄──────── Profile
//!       │ "directory 17 is known"
//!       ▼
//! pusher thread ── contents, link targets ──► kernel
//! ```
//!
//! Programs that read whole directories one after the other ([`Streams`]) get the contents behind
//! the listings, without any profile.
//!
//! What was written is made known in the same way ([`written`]).
//!
//! It never answers a request, and nothing waits for it: a mount without it serves the same tree.
//!
//! **Architecture Invariant:** no thread of the server process looks into a mount of its own: a
//! process that waits for itself cannot be ended by the system when it is killed. The walker is
//! another process, which does not hold the device.
//!
//! **Architecture Invariant:** contents are pushed by a thread that answers no requests: the kernel
//! makes it wait for pages that a READ in the queue may hold.

mod ahead;
mod contents;
mod plan;
mod prefetch;
mod profile;
mod push;
mod record;
mod selection;
mod shortage;
mod stream;
mod touches;
mod walk;
mod walker;
mod written;

pub use profile::{Profile, ProfileError};
pub use record::ProfilePlace;
pub use stream::Streams;
pub use touches::Touches;
pub use walk::{WALK, walk};

use std::os::fd::OwnedFd;
use std::path::PathBuf;
use std::sync::Arc;

use super::adapter::Invalidator;
use super::mount::ServerCommand;
use super::vfs::Vfs;
use plan::Plan;
use record::{Recorder, Sought};
use stream::Stream;
use walker::{Replay, Task};

/// What the warming of one mounted tree needs.
pub struct Warming {
    /// The program that is started with the mountpoint as its last argument and calls [`walk`].
    pub walker: ServerCommand,
    /// The file system.
    pub vfs: Arc<Vfs>,
    /// The tree's root in the project layer.
    pub root: u32,
    /// Where the tree is mounted.
    pub mountpoint: PathBuf,
    /// The device of the mount, to push contents to.
    pub device: OwnedFd,
    /// Makes the kernel forget what was pushed too late.
    pub invalidator: Invalidator,
    /// What the adapter saw.
    pub touches: Arc<Touches>,
    /// Where profiles are replayed from and recorded to.
    pub profiles: PathBuf,
    /// Whether the kernel knows nothing of the tree yet.
    pub is_fresh: bool,
}

/// The warming of a mounted tree, while it goes on. Dropped, it ends and saves what it learned.
pub struct Warmth {
    replay: Option<Replay>,
    recorder: Option<Recorder>,
    stream: Option<Stream>,
}

impl Warmth {
    /// Begins to replay and to record. What fails is logged: the mount serves without it.
    pub fn start(warming: Warming) -> Self {
        let Warming {
            walker,
            vfs,
            root,
            mountpoint,
            device,
            invalidator,
            touches,
            profiles,
            is_fresh,
        } = warming;
        if !is_fresh {
            touches.contents.resume();
        }
        let stream = device.try_clone().and_then(|device| {
            Stream::start(
                &touches,
                Arc::clone(&vfs),
                root,
                device,
                invalidator.clone(),
            )
        });
        let sought = Sought {
            directory: profiles,
            mountpoint: mountpoint.clone(),
        };
        let task = Task {
            command: walker,
            mountpoint,
            device,
            invalidator,
            vfs: Arc::clone(&vfs),
            root,
            touches: Arc::clone(&touches),
        };
        let place = sought.clone();
        let replay = Replay::start(task, is_fresh, move |vfs| {
            if !is_fresh {
                return Plan::default();
            }
            match place.find(vfs, root).load() {
                Some(profile) => Plan::of_profile(profile),
                None => Plan::of_dependencies(),
            }
        });
        let recorder = Recorder::start(vfs, root, touches, sought);
        Self {
            replay: replay
                .inspect_err(|error| tracing::debug!(%error, "the mount is not warmed"))
                .ok(),
            recorder: recorder
                .inspect_err(|error| tracing::debug!(%error, "no profile is recorded"))
                .ok(),
            stream: stream
                .inspect_err(|error| tracing::debug!(%error, "directories are not pushed"))
                .ok(),
        }
    }
}

impl Warmth {
    /// Touches nothing in advance any more: a walker that walks keeps the mount in use.
    pub fn keep_off(&mut self) {
        self.replay = None;
        self.stream = None;
    }
}

impl Drop for Warmth {
    fn drop(&mut self) {
        // The walker ends before anything is saved.
        self.keep_off();
        self.recorder = None;
    }
}
