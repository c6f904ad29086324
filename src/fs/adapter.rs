//! FUSE requests become questions to the [`Vfs`]; its answers become replies.
//!
//! OPEN, OPENDIR and FLUSH are answered with ENOSYS once, after which the kernel opens without
//! asking and keeps what it has cached. Entries, attributes and missing names may be cached for a
//! year, because nothing changes while a mount lives. So a warm path costs no message.
//!
//! What would change something is refused with EACCES, because tools handle that where they do not
//! handle EROFS. The kernel checks modes itself (`default_permissions`), which stops everybody but
//! root at `open`; root, whom modes do not bind, is stopped here at the first change.
//!
//! **Architecture Invariant:** the only module that names `fuser`, and the only one that turns an
//! error into an errno.
//!
//! **Architecture Invariant:** a request that makes this program panic is answered with EIO and
//! counted; the next one is served.

use std::cell::RefCell;
use std::ffi::OsStr;
use std::io;
use std::ops::ControlFlow;
use std::os::fd::OwnedFd;
use std::os::unix::ffi::OsStrExt;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;
use std::sync::Arc;
use std::sync::mpsc::{self, Sender};
use std::thread;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use fuser::{
    AccessFlags, BsdFileFlags, Config, CopyFileRangeFlags, Errno, FileAttr, FileHandle, FileType,
    Filesystem, Generation, INodeNo, InitFlags, IoctlFlags, KernelConfig, LockOwner, OpenFlags,
    PollEvents, PollFlags, PollNotifier, RenameFlags, ReplyAttr, ReplyCreate, ReplyData,
    ReplyDirectory, ReplyDirectoryPlus, ReplyEmpty, ReplyEntry, ReplyIoctl, ReplyLock, ReplyLseek,
    ReplyOpen, ReplyPoll, ReplyStatfs, ReplyWrite, ReplyXattr, Session, SessionACL, TimeOrNow,
    WriteFlags,
};

use super::counters::{Counters, Request};
use super::node::Node;
use super::vfs::{Attributes, FIXED_TIME_SECONDS, Kind, Vfs, VfsError};
use super::warm::Touches;
use crate::limits::NAME_BYTES_MAX;

/// How long the kernel may believe an answer.
const YEAR: Duration = Duration::from_secs(365 * 24 * 60 * 60);

const BLOCK_BYTES: u64 = 512;
const BLOCK_SIZE: u32 = 4096;

/// Largest READ that is asked for.
const REQUEST_BYTES_MAX: u32 = 1 << 20;

/// Requests that the kernel may have in flight on its own account (readahead).
const BACKGROUND_MAX: u16 = 64;

/// Whose the files of a mount are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Owner {
    /// User id.
    pub uid: u32,
    /// Group id.
    pub gid: u32,
}

/// One mounted tree.
pub struct Adapter {
    /// The file system.
    pub vfs: Arc<Vfs>,
    /// The tree's root in the project layer.
    pub root: u32,
    /// Whose the files are.
    pub owner: Owner,
    /// Where requests are counted.
    pub counters: Arc<Counters>,
    /// Where first touches are noted.
    pub touches: Arc<Touches>,
}

/// The adapter while a session runs.
struct Serving {
    adapter: Adapter,
    /// Ids of files whose pages the kernel shall forget.
    forget_pages: Sender<u64>,
}

/// Answers the kernel's requests on `device` with `threads` threads until the mount is gone.
///
/// The handshake with the kernel is over when this returns; the requests are answered by the
/// session's [`Session::run`].
///
/// # Errors
/// When the handshake fails.
pub fn handshake(adapter: Adapter, device: OwnedFd, threads: usize) -> io::Result<Running> {
    let mut config = Config::default();
    config.n_threads = Some(threads);
    // The kernel itself lets nobody in but the user who mounted. A second check here would refuse
    // requests that it makes on its own account, which have no user.
    let (forget_pages, forgotten) = mpsc::channel();
    let serving = Serving {
        adapter,
        forget_pages,
    };
    let session = Session::from_fd(serving, device, SessionACL::All, config)?;
    let notifier = session.notifier();
    // Never from a thread that answers requests: the kernel waits here for pages that a READ in
    // the queue of that thread may hold.
    thread::Builder::new()
        .name("forget-pages".to_owned())
        .spawn(move || {
            for id in forgotten {
                let _ = notifier.inval_inode(INodeNo(id), 0, 0);
            }
        })?;
    Ok(Running(session))
}

/// A session whose handshake is over.
pub struct Running(Session<Serving>);

impl Running {
    /// Answers requests until the mount is gone.
    ///
    /// # Errors
    /// When the device fails.
    pub fn run(self) -> io::Result<()> {
        self.0.run()
    }
}

thread_local! {
    /// What READ answers with. One a thread, so that no request allocates.
    static BUFFER: RefCell<Vec<u8>> = const { RefCell::new(Vec::new()) };
}

fn errno(error: &VfsError) -> Errno {
    match error {
        VfsError::Stale => Errno::ESTALE,
        VfsError::NotDirectory => Errno::ENOTDIR,
        VfsError::IsDirectory => Errno::EISDIR,
        VfsError::NotSymlink => Errno::EINVAL,
        VfsError::NameTooLong => Errno::ENAMETOOLONG,
        VfsError::Pack(_) => Errno::EIO,
    }
}

fn file_type(kind: Kind) -> FileType {
    match kind {
        Kind::Directory => FileType::Directory,
        Kind::File => FileType::RegularFile,
        Kind::Symlink => FileType::Symlink,
    }
}

impl Serving {
    fn node(&self, id: INodeNo) -> Result<Node, VfsError> {
        Node::from_id(id.0, self.adapter.root).ok_or(VfsError::Stale)
    }

    /// The attributes as the kernel wants them; `None` makes the entry of a missing name, whose
    /// id is 0.
    fn attr(&self, attributes: Option<&Attributes>) -> FileAttr {
        let time: SystemTime = UNIX_EPOCH + Duration::from_secs(FIXED_TIME_SECONDS);
        let (id, size, kind, perm) = match attributes {
            Some(attributes) => (
                attributes.node.to_id(self.adapter.root),
                attributes.size,
                attributes.kind,
                attributes.mode,
            ),
            None => (0, 0, Kind::File, 0),
        };
        FileAttr {
            ino: INodeNo(id),
            size,
            blocks: size.div_ceil(BLOCK_BYTES),
            atime: time,
            mtime: time,
            ctime: time,
            crtime: time,
            kind: file_type(kind),
            perm,
            nlink: 1,
            uid: self.adapter.owner.uid,
            gid: self.adapter.owner.gid,
            rdev: 0,
            blksize: BLOCK_SIZE,
            flags: 0,
        }
    }

    fn failed(&self, error: &VfsError) -> Errno {
        if matches!(error, VfsError::Pack(_)) {
            self.adapter.counters.count_failure();
        }
        errno(error)
    }

    /// Counts and answers a request. When `answer` panics, its reply is dropped, which fuser
    /// answers with EIO.
    fn answer(&self, request: Request, answer: impl FnOnce()) {
        self.adapter.counters.count(request);
        if catch_unwind(AssertUnwindSafe(answer)).is_err() {
            self.adapter.counters.count_failure();
            tracing::error!(?request, "a request was answered with EIO because of a bug");
        }
    }
}

impl Filesystem for Serving {
    fn init(&mut self, _request: &fuser::Request, config: &mut KernelConfig) -> io::Result<()> {
        // Not asked for: the write-back cache (it makes every stat after a close cost a GETATTR)
        // and atomic O_TRUNC (truncation shall come as SETATTR).
        let wanted = InitFlags::FUSE_DO_READDIRPLUS
            | InitFlags::FUSE_PARALLEL_DIROPS
            | InitFlags::FUSE_NO_OPEN_SUPPORT
            | InitFlags::FUSE_NO_OPENDIR_SUPPORT
            | InitFlags::FUSE_CACHE_SYMLINKS
            | InitFlags::FUSE_EXPLICIT_INVAL_DATA
            | InitFlags::FUSE_HAS_RESEND;
        let offered = config.capabilities();
        let _ = config.add_capabilities(wanted & offered);
        let _ = config.set_max_write(REQUEST_BYTES_MAX);
        if let Err(most) = config.set_max_readahead(REQUEST_BYTES_MAX) {
            let _ = config.set_max_readahead(most);
        }
        let _ = config.set_max_background(BACKGROUND_MAX);
        Ok(())
    }

    fn lookup(&self, request: &fuser::Request, parent: INodeNo, name: &OsStr, reply: ReplyEntry) {
        self.answer(Request::Lookup, || {
            let found = self
                .node(parent)
                .and_then(|parent| self.adapter.vfs.lookup(parent, name.as_bytes()));
            match found {
                Ok(attributes) => {
                    let attr = self.attr(attributes.as_ref());
                    reply.entry(&YEAR, &attr, Generation(0));
                    let found = attributes.is_some().then_some(attr.ino.0);
                    let touches = &self.adapter.touches;
                    touches.name(request.pid(), parent.0, name.as_bytes(), found);
                }
                Err(error) => reply.error(self.failed(&error)),
            }
        });
    }

    fn forget(&self, _: &fuser::Request, _: INodeNo, _: u64) {
        self.adapter.counters.count(Request::Forget);
    }

    fn getattr(&self, _: &fuser::Request, id: INodeNo, _: Option<FileHandle>, reply: ReplyAttr) {
        self.answer(Request::Getattr, || {
            let found = self
                .node(id)
                .and_then(|node| self.adapter.vfs.attributes(node));
            match found {
                Ok(attributes) => reply.attr(&YEAR, &self.attr(Some(&attributes))),
                Err(error) => reply.error(self.failed(&error)),
            }
        });
    }

    fn readlink(&self, request: &fuser::Request, id: INodeNo, reply: ReplyData) {
        self.answer(Request::Readlink, || {
            match self
                .node(id)
                .and_then(|node| self.adapter.vfs.read_link(node))
            {
                Ok(target) => {
                    reply.data(target);
                    self.adapter.touches.read(request.pid(), id.0);
                }
                Err(error) => reply.error(self.failed(&error)),
            }
        });
    }

    fn open(&self, _: &fuser::Request, _: INodeNo, _: OpenFlags, reply: ReplyOpen) {
        self.answer(Request::Open, || reply.error(Errno::ENOSYS));
    }

    fn opendir(&self, _: &fuser::Request, _: INodeNo, _: OpenFlags, reply: ReplyOpen) {
        self.answer(Request::Opendir, || reply.error(Errno::ENOSYS));
    }

    fn flush(
        &self,
        _: &fuser::Request,
        _: INodeNo,
        _: FileHandle,
        _: LockOwner,
        reply: ReplyEmpty,
    ) {
        self.answer(Request::Flush, || reply.error(Errno::ENOSYS));
    }

    fn read(
        &self,
        request: &fuser::Request,
        id: INodeNo,
        _: FileHandle,
        offset: u64,
        size: u32,
        _: OpenFlags,
        _: Option<LockOwner>,
        reply: ReplyData,
    ) {
        self.answer(Request::Read, || {
            BUFFER.with_borrow_mut(|buffer| {
                let size = size.min(REQUEST_BYTES_MAX);
                let read = self
                    .node(id)
                    .and_then(|node| self.adapter.vfs.read(node, offset, size, buffer));
                match read {
                    Ok(()) => {
                        self.adapter.counters.count_bytes(buffer.len());
                        reply.data(buffer);
                        if offset == 0 {
                            self.adapter.touches.read(request.pid(), id.0);
                        }
                    }
                    Err(error) => reply.error(self.failed(&error)),
                }
            });
        });
    }

    fn readdir(
        &self,
        _: &fuser::Request,
        id: INodeNo,
        _: FileHandle,
        offset: u64,
        mut reply: ReplyDirectory,
    ) {
        self.answer(Request::Readdir, || {
            let shown = self.node(id).and_then(|node| {
                self.adapter.vfs.read_directory(node, offset, &mut |entry| {
                    let full = reply.add(
                        INodeNo(entry.attributes.node.to_id(self.adapter.root)),
                        entry.cookie,
                        file_type(entry.attributes.kind),
                        OsStr::from_bytes(entry.name),
                    );
                    if full {
                        ControlFlow::Break(())
                    } else {
                        ControlFlow::Continue(())
                    }
                })
            });
            match shown {
                Ok(()) => reply.ok(),
                Err(error) => reply.error(self.failed(&error)),
            }
        });
    }

    fn readdirplus(
        &self,
        request: &fuser::Request,
        id: INodeNo,
        _: FileHandle,
        offset: u64,
        mut reply: ReplyDirectoryPlus,
    ) {
        self.answer(Request::Readdirplus, || {
            let shown = self.node(id).and_then(|node| {
                self.adapter.vfs.read_directory(node, offset, &mut |entry| {
                    let full = reply.add(
                        INodeNo(entry.attributes.node.to_id(self.adapter.root)),
                        entry.cookie,
                        OsStr::from_bytes(entry.name),
                        &YEAR,
                        &self.attr(Some(&entry.attributes)),
                        Generation(0),
                    );
                    if full {
                        ControlFlow::Break(())
                    } else {
                        ControlFlow::Continue(())
                    }
                })
            });
            match shown {
                Ok(()) => {
                    reply.ok();
                    if offset == 0 {
                        self.adapter.touches.listed(request.pid(), id.0);
                    }
                }
                Err(error) => reply.error(self.failed(&error)),
            }
        });
    }

    fn statfs(&self, _: &fuser::Request, _: INodeNo, reply: ReplyStatfs) {
        self.answer(Request::Statfs, || {
            let nodes = u64::from(self.adapter.vfs.image().node_count());
            let name_bytes = NAME_BYTES_MAX as u32;
            reply.statfs(0, 0, 0, nodes, 0, BLOCK_SIZE, name_bytes, BLOCK_SIZE);
        });
    }

    // No extended attributes: after one ENOSYS of each kind the kernel answers by itself.

    fn getxattr(&self, _: &fuser::Request, _: INodeNo, _: &OsStr, _: u32, reply: ReplyXattr) {
        self.answer(Request::Xattr, || reply.error(Errno::ENOSYS));
    }

    fn listxattr(&self, _: &fuser::Request, _: INodeNo, _: u32, reply: ReplyXattr) {
        self.answer(Request::Xattr, || reply.error(Errno::ENOSYS));
    }

    fn setxattr(
        &self,
        _: &fuser::Request,
        _: INodeNo,
        _: &OsStr,
        _: &[u8],
        _: i32,
        _: u32,
        reply: ReplyEmpty,
    ) {
        self.answer(Request::Xattr, || reply.error(Errno::ENOSYS));
    }

    fn removexattr(&self, _: &fuser::Request, _: INodeNo, _: &OsStr, reply: ReplyEmpty) {
        self.answer(Request::Xattr, || reply.error(Errno::ENOSYS));
    }

    // After one ENOSYS the kernel does these by itself, as it does for a local file system.

    fn access(&self, _: &fuser::Request, _: INodeNo, _: AccessFlags, reply: ReplyEmpty) {
        self.answer(Request::Access, || reply.error(Errno::ENOSYS));
    }

    fn fsync(&self, _: &fuser::Request, _: INodeNo, _: FileHandle, _: bool, reply: ReplyEmpty) {
        self.answer(Request::Fsync, || reply.error(Errno::ENOSYS));
    }

    fn fsyncdir(&self, _: &fuser::Request, _: INodeNo, _: FileHandle, _: bool, reply: ReplyEmpty) {
        self.answer(Request::Fsync, || reply.error(Errno::ENOSYS));
    }

    fn poll(
        &self,
        _: &fuser::Request,
        _: INodeNo,
        _: FileHandle,
        _: PollNotifier,
        _: PollEvents,
        _: PollFlags,
        reply: ReplyPoll,
    ) {
        self.answer(Request::Poll, || reply.error(Errno::ENOSYS));
    }

    fn lseek(
        &self,
        _: &fuser::Request,
        _: INodeNo,
        _: FileHandle,
        _: i64,
        _: i32,
        reply: ReplyLseek,
    ) {
        self.answer(Request::Lseek, || reply.error(Errno::ENOSYS));
    }

    fn copy_file_range(
        &self,
        _: &fuser::Request,
        _: INodeNo,
        _: FileHandle,
        _: u64,
        _: INodeNo,
        _: FileHandle,
        _: u64,
        _: u64,
        _: CopyFileRangeFlags,
        reply: ReplyWrite,
    ) {
        self.answer(Request::Change, || reply.error(Errno::ENOSYS));
    }

    fn getlk(
        &self,
        _: &fuser::Request,
        _: INodeNo,
        _: FileHandle,
        _: LockOwner,
        _: u64,
        _: u64,
        _: i32,
        _: u32,
        reply: ReplyLock,
    ) {
        self.answer(Request::Lock, || reply.error(Errno::ENOSYS));
    }

    fn setlk(
        &self,
        _: &fuser::Request,
        _: INodeNo,
        _: FileHandle,
        _: LockOwner,
        _: u64,
        _: u64,
        _: i32,
        _: u32,
        _: bool,
        reply: ReplyEmpty,
    ) {
        self.answer(Request::Lock, || reply.error(Errno::ENOSYS));
    }

    fn ioctl(
        &self,
        _: &fuser::Request,
        _: INodeNo,
        _: FileHandle,
        _: IoctlFlags,
        _: u32,
        _: &[u8],
        _: u32,
        reply: ReplyIoctl,
    ) {
        self.answer(Request::Ioctl, || reply.error(Errno::ENOTTY));
    }

    // With OPEN answered by ENOSYS these do not come; a kernel that sends them gets its way.

    fn release(
        &self,
        _: &fuser::Request,
        _: INodeNo,
        _: FileHandle,
        _: OpenFlags,
        _: Option<LockOwner>,
        _: bool,
        reply: ReplyEmpty,
    ) {
        self.answer(Request::Release, || reply.ok());
    }

    fn releasedir(
        &self,
        _: &fuser::Request,
        _: INodeNo,
        _: FileHandle,
        _: OpenFlags,
        reply: ReplyEmpty,
    ) {
        self.answer(Request::Releasedir, || reply.ok());
    }

    // What would change something.

    fn setattr(
        &self,
        _: &fuser::Request,
        _: INodeNo,
        _: Option<u32>,
        _: Option<u32>,
        _: Option<u32>,
        _: Option<u64>,
        _: Option<TimeOrNow>,
        _: Option<TimeOrNow>,
        _: Option<SystemTime>,
        _: Option<FileHandle>,
        _: Option<SystemTime>,
        _: Option<SystemTime>,
        _: Option<SystemTime>,
        _: Option<BsdFileFlags>,
        reply: ReplyAttr,
    ) {
        self.answer(Request::Setattr, || reply.error(Errno::EACCES));
    }

    fn write(
        &self,
        _: &fuser::Request,
        id: INodeNo,
        _: FileHandle,
        _: u64,
        _: &[u8],
        _: WriteFlags,
        _: OpenFlags,
        _: Option<LockOwner>,
        reply: ReplyWrite,
    ) {
        self.answer(Request::Write, || {
            reply.error(Errno::EACCES);
            // What root has put into a shared mapping stays in the page cache otherwise.
            let _ = self.forget_pages.send(id.0);
        });
    }

    fn mknod(
        &self,
        _: &fuser::Request,
        _: INodeNo,
        _: &OsStr,
        _: u32,
        _: u32,
        _: u32,
        reply: ReplyEntry,
    ) {
        self.answer(Request::Change, || reply.error(Errno::EACCES));
    }

    fn mkdir(&self, _: &fuser::Request, _: INodeNo, _: &OsStr, _: u32, _: u32, reply: ReplyEntry) {
        self.answer(Request::Change, || reply.error(Errno::EACCES));
    }

    fn unlink(&self, _: &fuser::Request, _: INodeNo, _: &OsStr, reply: ReplyEmpty) {
        self.answer(Request::Change, || reply.error(Errno::EACCES));
    }

    fn rmdir(&self, _: &fuser::Request, _: INodeNo, _: &OsStr, reply: ReplyEmpty) {
        self.answer(Request::Change, || reply.error(Errno::EACCES));
    }

    fn symlink(&self, _: &fuser::Request, _: INodeNo, _: &OsStr, _: &Path, reply: ReplyEntry) {
        self.answer(Request::Change, || reply.error(Errno::EACCES));
    }

    fn rename(
        &self,
        _: &fuser::Request,
        _: INodeNo,
        _: &OsStr,
        _: INodeNo,
        _: &OsStr,
        _: RenameFlags,
        reply: ReplyEmpty,
    ) {
        self.answer(Request::Change, || reply.error(Errno::EACCES));
    }

    fn link(&self, _: &fuser::Request, _: INodeNo, _: INodeNo, _: &OsStr, reply: ReplyEntry) {
        self.answer(Request::Change, || reply.error(Errno::EACCES));
    }

    fn create(
        &self,
        _: &fuser::Request,
        _: INodeNo,
        _: &OsStr,
        _: u32,
        _: u32,
        _: i32,
        reply: ReplyCreate,
    ) {
        self.answer(Request::Change, || reply.error(Errno::EACCES));
    }

    fn fallocate(
        &self,
        _: &fuser::Request,
        _: INodeNo,
        _: FileHandle,
        _: u64,
        _: u64,
        _: i32,
        reply: ReplyEmpty,
    ) {
        self.answer(Request::Change, || reply.error(Errno::EACCES));
    }
}
