//! Pages that the kernel has and must not believe any more.
//!
//! **Architecture Invariant:** no thread that answers requests forgets pages: the kernel waits here
//! for those that a READ in the queue of that thread may hold.

use std::sync::mpsc::{Receiver, SendError};

use fuser::{FileHandle, INodeNo, Notifier, ReplyWrite};

use super::{PAST_CACHE, Serving};

/// Whose pages are to be forgotten, and whom that is told.
pub(super) struct Forgotten {
    id: INodeNo,
    written: Option<(ReplyWrite, u32)>,
}

impl Forgotten {
    /// Nobody waits for it.
    pub(super) fn of(id: INodeNo) -> Self {
        Self { id, written: None }
    }

    fn acknowledge(self) {
        if let Some((reply, bytes)) = self.written {
            reply.written(bytes);
        }
    }
}

impl Serving {
    /// Acknowledges a write; one that went past the page cache when no page is older than it.
    pub(super) fn wrote(&self, id: INodeNo, handle: FileHandle, count: usize, reply: ReplyWrite) {
        let contents = &self.adapter.touches.contents;
        let bytes = u32::try_from(count).unwrap_or(u32::MAX);
        if handle != PAST_CACHE {
            contents.wrote(id.0);
            reply.written(bytes);
        } else if contents.wrote_past(id.0) {
            let written = Some((reply, bytes));
            if let Err(SendError(unsent)) = self.forget_pages.send(Forgotten { id, written }) {
                unsent.acknowledge();
            }
        } else {
            reply.written(bytes);
        }
    }
}

/// Has the kernel forget pages, until nobody is left who could want it.
pub(super) fn forget(wanted: &Receiver<Forgotten>, notifier: &Notifier) {
    for forgotten in wanted {
        // What the kernel does not know has no pages.
        let _ = notifier.inval_inode(forgotten.id, 0, 0);
        forgotten.acknowledge();
    }
}
