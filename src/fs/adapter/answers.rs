//! What all answers have in common: counting, errors, and bugs that end one answer alone.

use std::cell::Cell;
use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::panic::{self, AssertUnwindSafe, catch_unwind};
use std::{process, thread};

use fuser::{Errno, FileAttr, Generation, INodeNo, ReplyEmpty, ReplyEntry, ReplyXattr};

use super::convert::{attr, errno};
use super::resending::is_again;
use super::{Serving, YEAR};
use crate::fs::attributes::Attributes;
use crate::fs::counters::Request;
use crate::fs::node::Node;
use crate::fs::vfs::Vfs;
use crate::fs::vfs_error::VfsError;

/// How the threads that answer requests are called, before their number.
const THREAD_NAME: &str = "fuser-";

thread_local! {
    static IS_ANSWERING: Cell<bool> = const { Cell::new(false) };
}

/// Ends this process where a request makes `fuser` itself panic, as one with a time of the year
/// -292 billion does: the thread that took it would be gone, and nobody would ever be answered.
/// The next server gets the request again, and in the end it fails.
pub fn end_where_no_answer_comes() {
    let report = panic::take_hook();
    panic::set_hook(Box::new(move |panicked| {
        let thread = thread::current();
        let answers = thread
            .name()
            .is_some_and(|name| name.starts_with(THREAD_NAME));
        if answers && !IS_ANSWERING.get() {
            // A trace would take so long that the server seemed to have served well.
            tracing::error!("a request cannot be taken: {panicked}");
            process::abort();
        }
        report(panicked);
    }));
}

impl Serving {
    pub(super) fn node(&self, id: INodeNo) -> Result<Node, VfsError> {
        Node::from_id(id.0, self.adapter.root).ok_or(VfsError::Stale)
    }

    pub(super) fn attr(&self, attributes: &Attributes) -> FileAttr {
        attr(attributes, self.adapter.root)
    }

    /// Makes the entry `name` of `parent`. Where that is asked for again, it may be there already.
    pub(super) fn make(
        &self,
        request: &fuser::Request,
        (parent, name): (INodeNo, &OsStr),
        make: impl Fn(&Vfs, Node, &[u8]) -> Result<Attributes, VfsError>,
    ) -> Result<Attributes, VfsError> {
        let vfs = &self.adapter.vfs;
        let (parent, name) = (self.node(parent)?, name.as_bytes());
        let made = match self.room.with(|| make(vfs, parent, name)) {
            Err(VfsError::Exists) if is_again(request) => {
                vfs.lookup(parent, name)?.ok_or(VfsError::Exists)
            }
            made => made,
        }?;
        self.adapter.counters.note_full(false);
        Ok(made)
    }

    /// Answers a request that makes an entry.
    pub(super) fn answer_made(
        &self,
        request: &fuser::Request,
        place: (INodeNo, &OsStr),
        reply: ReplyEntry,
        make: impl Fn(&Vfs, Node, &[u8]) -> Result<Attributes, VfsError>,
    ) {
        self.answer(Request::Change, || match self.make(request, place, make) {
            Ok(attributes) => reply.entry(&YEAR, &self.attr(&attributes), Generation(0)),
            Err(error) => reply.error(self.failed(&error)),
        });
    }

    /// Answers a request whose answer is only whether it was done.
    pub(super) fn answer_empty(
        &self,
        request: Request,
        reply: ReplyEmpty,
        ask: impl Fn(&Vfs) -> Result<(), VfsError>,
    ) {
        let asked = || self.room.with(|| ask(&self.adapter.vfs));
        self.answer(request, || match asked() {
            Ok(()) => reply.ok(),
            Err(error) => reply.error(self.failed(&error)),
        });
    }

    /// What comes after something was removed from `parent`, before that is acknowledged.
    pub(super) fn after_removal(
        &self,
        request: &fuser::Request,
        parent: INodeNo,
        removed: Result<(), VfsError>,
    ) -> Result<(), VfsError> {
        if removed.is_ok() && parent == INodeNo::ROOT {
            let adapter = &self.adapter;
            adapter.removal.removed(&adapter.vfs, request.pid());
        }
        removed
    }

    /// Answers a request for bytes of which the kernel may first ask the number.
    pub(super) fn answer_bytes(
        &self,
        size: u32,
        reply: ReplyXattr,
        ask: impl FnOnce(&Vfs) -> Result<Vec<u8>, VfsError>,
    ) {
        self.answer(Request::Xattr, || match ask(&self.adapter.vfs) {
            Ok(bytes) if size == 0 => reply.size(u32::try_from(bytes.len()).unwrap_or(u32::MAX)),
            Ok(bytes) if bytes.len() > size as usize => reply.error(Errno::ERANGE),
            Ok(bytes) => reply.data(&bytes),
            Err(error) => reply.error(self.failed(&error)),
        });
    }

    pub(super) fn failed(&self, error: &VfsError) -> Errno {
        let errno = errno(error);
        match errno {
            Errno::EIO => self.adapter.counters.count_failure(),
            Errno::ENOSPC | Errno::EDQUOT => self.adapter.counters.note_full(true),
            _ => {}
        }
        errno
    }

    /// Counts and answers a request. When `answer` panics, its reply is dropped, which fuser
    /// answers with EIO.
    pub(super) fn answer(&self, request: Request, answer: impl FnOnce()) {
        self.adapter.counters.count(request);
        IS_ANSWERING.set(true);
        let answered = catch_unwind(AssertUnwindSafe(answer));
        IS_ANSWERING.set(false);
        if answered.is_err() {
            self.adapter.counters.count_failure();
            tracing::error!(?request, "a request was answered with EIO because of a bug");
        }
    }
}
