//! Unmounting in a thread of its own: the system may wait for the server with it, and the server
//! may have to be replaced meanwhile.

use std::io;
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::net::UnixStream;
use std::path::PathBuf;
use std::sync::mpsc::{self, Receiver};
use std::thread;

use super::protocol::TreeMessage;
use crate::fs::control::{ControlAnswer, StopMode};
use crate::fs::kernel::{self, UnmountMode};

/// What is to be unmounted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Which {
    /// Everything.
    All,
    /// The tree with this number, of which everything was removed.
    Removed(u32),
}

impl Which {
    pub(super) fn has(self, tree: &TreeMessage) -> bool {
        self == Self::All || self == Self::Removed(tree.mount.tree)
    }
}

/// An unmount that is under way.
pub(super) struct Unmounting {
    mode: StopMode,
    which: Which,
    asker: Option<UnixStream>,
    done: UnixStream,
    answer: Receiver<ControlAnswer>,
}

/// An unmount that is over.
pub(super) struct Finished {
    pub(super) mode: StopMode,
    pub(super) which: Which,
    /// `Stopped`, or why not all is unmounted.
    pub(super) answer: ControlAnswer,
    /// Who waits for the answer.
    pub(super) asker: Option<UnixStream>,
}

impl Unmounting {
    /// Begins to unmount `trees`, the last first.
    pub(super) fn begin(
        trees: Vec<TreeMessage>,
        mode: StopMode,
        which: Which,
        helper: Option<PathBuf>,
        asker: Option<UnixStream>,
    ) -> io::Result<Self> {
        let (done, theirs) = UnixStream::pair()?;
        let (sender, answer) = mpsc::channel();
        thread::Builder::new()
            .name("unmount".to_owned())
            .spawn(move || {
                let _ = sender.send(unmount(&trees, mode, helper));
                // Its end is what wakes the supervisor.
                drop(theirs);
            })?;
        Ok(Self {
            mode,
            which,
            asker,
            done,
            answer,
        })
    }

    /// What came of it; to be called when its descriptor can be read.
    pub(super) fn finish(self) -> Finished {
        let answer = self.answer.recv();
        let answer = answer.unwrap_or_else(|error| ControlAnswer::Failed(error.to_string()));
        Finished {
            mode: self.mode,
            which: self.which,
            answer,
            asker: self.asker,
        }
    }
}

impl AsFd for Unmounting {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.done.as_fd()
    }
}

fn unmount(trees: &[TreeMessage], mode: StopMode, helper: Option<PathBuf>) -> ControlAnswer {
    let mode = match mode {
        StopMode::Strict => UnmountMode::Strict,
        StopMode::Lazy | StopMode::Force => UnmountMode::Detach,
    };
    for TreeMessage { mount, source, .. } in trees.iter().rev() {
        match kernel::unmount_served(mount, source, mode, helper.as_deref()) {
            Ok(()) => {}
            Err((path, error)) if error.kind() == io::ErrorKind::ResourceBusy => {
                return ControlAnswer::Busy(path);
            }
            Err((path, error)) => {
                return ControlAnswer::Failed(format!("{}: {error}", path.display()));
            }
        }
    }
    ControlAnswer::Stopped
}
