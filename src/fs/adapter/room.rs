//! Room on a full file system.
//!
//! What was removed stays among the orphans until the kernel forgets it, and FORGET comes when it
//! comes: after a large removal it is one of thousands, and what a killed server had taken of them
//! never comes again. Whoever is refused for want of room meanwhile would not be in a real
//! directory. So then the kernel is asked which orphans it does not know any more. Their contents
//! go; their inodes stay until FORGET, because the number of one that is gone may be given out
//! again, and FORGET has only the number.

use std::fs::File;
use std::io::{self, Write};
use std::sync::Arc;
use std::sync::mpsc::{self, Sender, SyncSender};
use std::thread;
use std::time::Duration;

use crate::fs::node::Node;
use crate::fs::vfs::Vfs;
use crate::fs::vfs_error::VfsError;

/// `FUSE_NOTIFY_INVAL_INODE` (`include/uapi/linux/fuse.h`).
const NOTIFY_INVAL_INODE: i32 = 2;

/// Bytes of `struct fuse_out_header` and `struct fuse_notify_inval_inode_out`.
const MESSAGE_BYTES: usize = 16 + 24;

/// How long somebody who needs room waits for it.
const PATIENCE: Duration = Duration::from_secs(1);

/// Who wait for room at most; others are refused at once.
const WAITING_MAX: usize = 64;

/// Makes room where there may be some.
pub(super) struct Room {
    vfs: Arc<Vfs>,
    wanted: SyncSender<Sender<()>>,
}

impl Room {
    /// For the tree with this root.
    pub(super) fn start(vfs: Arc<Vfs>, root: u32, device: File) -> io::Result<Self> {
        let (wanted, asked) = mpsc::sync_channel::<Sender<()>>(WAITING_MAX);
        let shared = Arc::clone(&vfs);
        // Never in a thread that answers requests: an inode that is just being dropped may wait
        // for a READ that is in the queue.
        thread::Builder::new()
            .name("room".to_owned())
            .spawn(move || {
                for done in asked {
                    make_room(&shared, root, &device);
                    let _ = done.send(());
                }
            })?;
        Ok(Self { vfs, wanted })
    }

    /// Does something; once more where it was refused for want of room and there may be some now.
    pub(super) fn with<T>(&self, act: impl Fn() -> Result<T, VfsError>) -> Result<T, VfsError> {
        match act() {
            Err(error) if error.is_full() && self.vfs.has_orphans() => {
                let (done, told) = mpsc::channel();
                if self.wanted.try_send(done).is_err() || told.recv_timeout(PATIENCE).is_err() {
                    return Err(error);
                }
                act()
            }
            done => done,
        }
    }
}

fn make_room(vfs: &Vfs, root: u32, device: &File) {
    for orphan in vfs.orphans() {
        if is_known(device, orphan.to_id(root)) {
            continue;
        }
        if let Err(error) = vfs.empty_orphan(orphan) {
            tracing::warn!(%error, "what was removed keeps its room");
        }
    }
}

/// Whether the kernel knows a node. Where it cannot be asked, it does.
fn is_known(mut device: &File, id: u64) -> bool {
    let mut message = [0; MESSAGE_BYTES];
    message[0..4].copy_from_slice(&(MESSAGE_BYTES as u32).to_ne_bytes());
    message[4..8].copy_from_slice(&NOTIFY_INVAL_INODE.to_ne_bytes());
    message[16..24].copy_from_slice(&id.to_ne_bytes());
    // Attributes alone, no pages.
    message[24..32].copy_from_slice(&(-1_i64).to_ne_bytes());
    match device.write_all(&message) {
        Ok(()) => true,
        Err(error) => error.kind() != io::ErrorKind::NotFound,
    }
}

impl Vfs {
    /// What was removed, and the kernel has not forgotten.
    fn orphans(&self) -> Vec<Node> {
        // A FORGET that is under way frees what it frees first.
        let _change = self.change();
        let layers = self.layers();
        let known = layers.state.known.iter();
        let orphans = known.filter(|(_, known)| known.orphan);
        orphans.map(|(node, _)| *node).collect()
    }

    fn has_orphans(&self) -> bool {
        let layers = self.layers();
        layers.state.known.values().any(|known| known.orphan)
    }
}
