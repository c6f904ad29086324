//! What becomes of a mount of which everything is removed.
//!
//! A directory that something is mounted on cannot be removed, and the file system is not asked
//! about that. Whoever removes a `node_modules` (`rm -rf`, `git clean`, `fs.rm`) would empty it,
//! name by name, and fail at the end. So the mount goes out of sight before the removal of the last
//! name in its root is acknowledged; under it is an empty directory.
//!
//! The last name: `rm -rf node_modules/*` leaves what begins with a dot, and so the mount.

use std::fs;
use std::io;
use std::os::fd::AsFd;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

use super::control::{self, ControlAnswer, ServedMount};
use super::holders;
use super::mountinfo::{self, is_inside};
use super::mountpoint;
use super::supervisor::protocol::{Channel, FromServer};
use super::vfs::Vfs;
use crate::sys::{directory, process};

/// How long the supervisor may take to take a mount away: who waits for it cannot be interrupted.
const TIMEOUT: Duration = Duration::from_secs(5);

/// How often it is looked whether a process has ended.
const BETWEEN_LOOKS: Duration = Duration::from_millis(50);

/// How often it is looked whether somebody still is in a mount in which nothing is left: whoever
/// just passes through is gone soon.
const LOOKS_MAX: usize = 200;

/// Programs that go through directories by fts(3), which finds its way up by `..`.
const BY_DOTS: [&str; 2] = ["rm", "find"];

/// Takes one mount away when everything in it is removed.
pub struct Removal {
    mount: ServedMount,
    source: String,
    supervisor: Channel,
    is_waiting: AtomicBool,
}

/// When a mount can go.
#[derive(Debug, PartialEq, Eq)]
enum Moment {
    /// At once.
    Now,
    /// When the process that removed everything has ended.
    Later,
    /// Not for this removal.
    Never,
}

impl Removal {
    /// Of the mount that the mount table shows with this source.
    pub(super) fn new(mount: ServedMount, source: String, supervisor: Channel) -> Self {
        Self {
            mount,
            source,
            supervisor,
            is_waiting: AtomicBool::new(false),
        }
    }

    /// The thread `remover` has removed something in the root: takes the mount away where it was
    /// the last.
    pub(super) fn removed(self: &Arc<Self>, vfs: &Arc<Vfs>, remover: u32) {
        if !vfs.is_bare() {
            return;
        }
        let Some(mountpoint) = self.mountpoint() else {
            return;
        };
        match moment(remover, &mountpoint) {
            Moment::Now => self.take_away(vfs),
            Moment::Later if !self.is_waiting.swap(true, Ordering::SeqCst) => {
                let (removal, vfs) = (Arc::clone(self), Arc::clone(vfs));
                let wait = move || removal.take_away_after(&vfs, remover, &mountpoint);
                let spawned = thread::Builder::new()
                    .name("removal".to_owned())
                    .spawn(wait);
                if spawned.is_err() {
                    self.is_waiting.store(false, Ordering::SeqCst);
                }
            }
            Moment::Later | Moment::Never => {}
        }
    }

    /// Where it is by now: a project may have been moved.
    fn mountpoint(&self) -> Option<PathBuf> {
        let mut entries = mountinfo::read().ok()?.into_iter();
        let own = |entry: &mountinfo::MountEntry| {
            entry.device == self.mount.device && entry.source == *self.source
        };
        Some(entries.rfind(own)?.mountpoint)
    }

    fn take_away_after(&self, vfs: &Vfs, remover: u32, mountpoint: &Path) {
        // Who removes it again at once shall find it gone. What cannot be waited for is looked at.
        if process::wait_for_end(remover, None).is_err() {
            while holders::path_of(remover).exists() {
                thread::sleep(BETWEEN_LOOKS);
            }
        }
        for _ in 0..LOOKS_MAX {
            if !vfs.is_bare() {
                break;
            }
            if holders::find(mountpoint).is_empty() {
                self.take_away(vfs);
                break;
            }
            thread::sleep(BETWEEN_LOOKS);
        }
        self.is_waiting.store(false, Ordering::SeqCst);
    }

    fn take_away(&self, vfs: &Vfs) {
        match vfs.retire() {
            Ok(true) => {}
            Ok(false) => return,
            Err(error) => {
                tracing::warn!(%error, "what was removed stays mounted");
                return;
            }
        }
        if let Err(error) = self.ask() {
            tracing::warn!(%error, "what was removed stays mounted");
            vfs.go_on();
        }
    }

    fn ask(&self) -> io::Result<()> {
        let (ours, theirs) = UnixStream::pair()?;
        ours.set_read_timeout(Some(TIMEOUT))?;
        let tree = self.mount.tree;
        self.supervisor
            .send(&FromServer::Removed { tree }, &[theirs.as_fd()])?;
        // Where the supervisor is gone, this is the end of the line.
        drop(theirs);
        match serde_json::from_str(&control::read_line(ours)?)? {
            ControlAnswer::Stopped => Ok(()),
            other => Err(io::Error::other(format!("{other:?}"))),
        }
    }
}

/// When the mount can go that `remover` has emptied. Only `/proc` is read, where links are text.
fn moment(remover: u32, mountpoint: &Path) -> Moment {
    let place = holders::path_of(remover);
    // Who cannot be seen is in another container.
    let Ok(inside) = fs::read_link(place.join("cwd")) else {
        return Moment::Never;
    };
    let parent = mountpoint.parent().unwrap_or(Path::new("/"));
    // Who is in it does not remove it, but empties it; nor does who may not.
    if is_inside(&inside, mountpoint) || !directory::is_writable(parent) {
        return Moment::Never;
    }
    if goes_up_by_dots(&place) && !names(&place, &inside, mountpoint) {
        // From a mount that is out of sight no way leads up, and the program would end there.
        return Moment::Later;
    }
    Moment::Now
}

fn goes_up_by_dots(process: &Path) -> bool {
    let name = fs::read_to_string(process.join("comm")).unwrap_or_default();
    BY_DOTS.contains(&name.trim_end())
}

/// Whether an argument of the program is the mountpoint: then it need not go up from there.
fn names(process: &Path, directory: &Path, mountpoint: &Path) -> bool {
    let arguments = fs::read(process.join("cmdline")).unwrap_or_default();
    let mut arguments = arguments.split(|byte| *byte == 0);
    arguments.any(|argument| {
        use std::os::unix::ffi::OsStrExt;
        let path = directory.join(std::ffi::OsStr::from_bytes(argument));
        path.file_name() == mountpoint.file_name()
            && mountpoint::resolve(&path).is_ok_and(|path| path == mountpoint)
    })
}
