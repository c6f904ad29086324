//! FUSE requests become questions to the [`Vfs`]; its answers become replies.
//!
//! OPEN, OPENDIR and FLUSH are answered with ENOSYS once, after which the kernel opens without
//! asking and keeps what it has cached. Entries, attributes and missing names may be cached for a
//! year, because nothing changes but through the kernel. So a warm path costs no message.
//!
//! A file that is made and opened for writing alone is written past the page cache
//! (`FOPEN_DIRECT_IO`): its bytes are copied twice instead of three times, and the kernel does not
//! ask for capabilities before the first of them. What others have read of it meanwhile is dropped
//! before a write is acknowledged. Where OPEN is not asked, the kernel sends no RELEASE either.
//! Kernels before 6.6 drop no pages before such a write; there CREATE is answered with ENOSYS, and
//! files are made by MKNOD.
//!
//! The kernel checks modes itself (`default_permissions`), but not in a mount of root's that nobody
//! else may use ([`super::kernel`]): there a check could only cost a GETATTR after each change, and
//! ACCESS is answered for the one thing that root may not do.
//!
//! **Architecture Invariant:** with [`convert`], the only module that names `fuser`, and the only
//! one that turns an error into an errno.
//!
//! **Architecture Invariant:** a request that makes this program panic is answered with EIO and
//! counted; the next one is served.

mod answers;
mod convert;
mod forgetting;
mod listing;
mod passing;
mod resending;
mod room;
mod session;

use std::cell::RefCell;
use std::ffi::OsStr;
use std::fs::File;
use std::io;
use std::ops::ControlFlow;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;
use std::sync::Arc;
use std::sync::mpsc::Sender;
use std::time::{Duration, SystemTime};

use fuser::{
    AccessFlags, BsdFileFlags, CopyFileRangeFlags, Errno, FileHandle, Filesystem, Generation,
    INodeNo, InitFlags, IoctlFlags, KernelConfig, LockOwner, OpenFlags, PollEvents, PollFlags,
    PollNotifier, RenameFlags, ReplyAttr, ReplyCreate, ReplyData, ReplyDirectory,
    ReplyDirectoryPlus, ReplyEmpty, ReplyEntry, ReplyIoctl, ReplyLock, ReplyLseek, ReplyOpen,
    ReplyPoll, ReplyStatfs, ReplyWrite, ReplyXattr, TimeOrNow, WriteFlags,
};

pub use self::answers::end_where_no_answer_comes;
pub use self::listing::LOG_FILTER;
pub use self::session::{Connection, Invalidator, Running, handshake};

use self::convert::{
    BLOCK_SIZE, attribute_flag, file_type, made, missing, new_time, opened, sought,
};
use self::forgetting::Forgotten;
use self::listing::Interest;
use self::passing::{away_of, passing_link};
use self::resending::{asker, is_again, number, unless_done};
use self::room::Room;
use super::attributes::Kind;
use super::counters::{Counters, Request};
use super::removal::Removal;
use super::swap::Announcing;
use super::upper::Made;
use super::vfs::Vfs;
use super::vfs_error::VfsError;
use super::vfs_files::NewAttributes;
use super::vfs_names::Replace;
use super::warm::Touches;
use crate::limits::NAME_BYTES_MAX;

/// How long the kernel may believe an answer.
const YEAR: Duration = Duration::from_secs(365 * 24 * 60 * 60);

/// Largest READ that is asked for.
const REQUEST_BYTES_MAX: u32 = 1 << 20;

/// What WRITE says of a file whose writes go past the page cache.
const PAST_CACHE: FileHandle = FileHandle(1);

/// Requests that the kernel may have in flight on its own account (readahead).
const BACKGROUND_MAX: u16 = 64;

/// One mounted tree.
pub struct Adapter {
    /// The file system.
    pub vfs: Arc<Vfs>,
    /// The tree's root in the project layer.
    pub root: u32,
    /// Where requests are counted.
    pub counters: Arc<Counters>,
    /// Where first touches are noted.
    pub touches: Arc<Touches>,
    /// The processes that announce a swap.
    pub announcing: Arc<Announcing>,
    /// Takes the mount away when everything in it is removed.
    pub removal: Arc<Removal>,
}

/// The adapter while a session runs.
struct Serving {
    adapter: Adapter,
    /// What the kernel shall forget the pages of.
    forget_pages: Sender<Forgotten>,
    /// Whether the kernel takes care of its pages where a file is written past them.
    writes_past_cache: bool,
    room: Room,
    /// For answers that `fuser` cannot give.
    device: File,
    interest: Interest,
}

thread_local! {
    /// What READ answers with. One a thread, so that no request allocates.
    static BUFFER: RefCell<Vec<u8>> = const { RefCell::new(Vec::new()) };
}

impl Filesystem for Serving {
    fn init(&mut self, _request: &fuser::Request, config: &mut KernelConfig) -> io::Result<()> {
        // Not asked for: the write-back cache (it makes every stat after a close cost a GETATTR)
        // and atomic O_TRUNC (truncation shall come as SETATTR). Where the kernel leaves it to us
        // to drop privileges, it does not ask for capabilities before every write.
        let wanted = InitFlags::FUSE_DO_READDIRPLUS
            | InitFlags::FUSE_PARALLEL_DIROPS
            | InitFlags::FUSE_NO_OPEN_SUPPORT
            | InitFlags::FUSE_NO_OPENDIR_SUPPORT
            | InitFlags::FUSE_CACHE_SYMLINKS
            | InitFlags::FUSE_EXPLICIT_INVAL_DATA
            | InitFlags::FUSE_HANDLE_KILLPRIV_V2
            | InitFlags::FUSE_HAS_RESEND;
        let offered = config.capabilities();
        let _ = config.add_capabilities(wanted & offered);
        // With this came what drops pages (Linux 6.6). It is not asked for: who only writes maps
        // nothing.
        self.writes_past_cache = offered.contains(InitFlags::FUSE_DIRECT_IO_ALLOW_MMAP);
        let _ = config.set_max_write(REQUEST_BYTES_MAX);
        if let Err(most) = config.set_max_readahead(REQUEST_BYTES_MAX) {
            let _ = config.set_max_readahead(most);
        }
        let _ = config.set_max_background(BACKGROUND_MAX);
        Ok(())
    }

    fn lookup(&self, request: &fuser::Request, parent: INodeNo, name: &OsStr, reply: ReplyEntry) {
        self.answer(Request::Lookup, || {
            if let Some(attr) = self.said_of_away(request, parent, name) {
                reply.entry(&Duration::ZERO, &attr, Generation(0));
                return;
            }
            let found = self
                .node(parent)
                .and_then(|parent| self.adapter.vfs.lookup(parent, name.as_bytes()));
            match found {
                Ok(attributes) => {
                    let is_there = attributes.is_some();
                    if let Some((ttl, attr)) = self.said_of(request, parent, name, is_there) {
                        reply.entry(&ttl, &attr, Generation(0));
                        return;
                    }
                    let attr = attributes.map_or_else(missing, |found| self.attr(&found));
                    reply.entry(&self.entry_ttl(parent, name), &attr, Generation(0));
                    let touches = &self.adapter.touches;
                    touches.name(request.pid(), parent.0, name.as_bytes(), is_there);
                    if attributes.is_some_and(|found| found.kind != Kind::Directory) {
                        self.interest.asked(parent.0);
                    }
                }
                Err(error) => {
                    if matches!(error, VfsError::Pack(_)) {
                        // Whoever lists it again learns that it cannot be read, and may remove it.
                        let _ = self.forget_pages.send(Forgotten::of(parent));
                    }
                    reply.error(self.failed(&error));
                }
            }
        });
    }

    fn forget(&self, _: &fuser::Request, id: INodeNo, _: u64) {
        self.adapter.counters.count(Request::Forget);
        if let Ok(node) = self.node(id) {
            self.adapter.vfs.forget(node);
            self.adapter.touches.forgotten(id.0);
        }
    }

    fn getattr(
        &self,
        request: &fuser::Request,
        id: INodeNo,
        _: Option<FileHandle>,
        reply: ReplyAttr,
    ) {
        self.answer(Request::Getattr, || {
            self.adapter.touches.asked(request.pid(), id.0);
            if let Some(attr) = away_of(id) {
                reply.attr(&YEAR, &attr);
                return;
            }
            let found = self
                .node(id)
                .and_then(|node| self.adapter.vfs.attributes(node));
            match found {
                Ok(attributes) => reply.attr(&YEAR, &self.attr(&attributes)),
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
                    reply.data(&target);
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
                self.adapter.touches.contents.read(id.0);
                self.adapter.touches.asked(request.pid(), id.0);
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
        reply: ReplyDirectoryPlus,
    ) {
        self.answer(Request::Readdirplus, || {
            match self.list(request, id, offset, reply) {
                Ok(()) if offset == 0 => self.adapter.touches.listed(request.pid(), id.0),
                Ok(()) => {}
                Err((error, reply)) => reply.error(self.failed(&error)),
            }
        });
    }

    fn statfs(&self, _: &fuser::Request, _: INodeNo, reply: ReplyStatfs) {
        self.answer(Request::Statfs, || match self.adapter.vfs.space() {
            Ok(space) => reply.statfs(
                space.f_blocks,
                space.f_bfree,
                space.f_bavail,
                space.f_files,
                space.f_ffree,
                u32::try_from(space.f_bsize).unwrap_or(BLOCK_SIZE),
                NAME_BYTES_MAX as u32,
                u32::try_from(space.f_frsize).unwrap_or(BLOCK_SIZE),
            ),
            Err(error) => reply.error(self.failed(&error.into())),
        });
    }

    fn getxattr(
        &self,
        _: &fuser::Request,
        id: INodeNo,
        name: &OsStr,
        size: u32,
        reply: ReplyXattr,
    ) {
        self.answer_bytes(size, reply, |vfs| {
            vfs.attribute(self.node(id)?, name.as_bytes())
        });
    }

    fn listxattr(&self, _: &fuser::Request, id: INodeNo, size: u32, reply: ReplyXattr) {
        self.answer_bytes(size, reply, |vfs| vfs.attribute_names(self.node(id)?));
    }

    fn setxattr(
        &self,
        request: &fuser::Request,
        id: INodeNo,
        name: &OsStr,
        value: &[u8],
        flags: i32,
        _: u32,
        reply: ReplyEmpty,
    ) {
        self.answer_empty(Request::Xattr, reply, |vfs| {
            let flag = attribute_flag(flags)?;
            match vfs.set_attribute(self.node(id)?, name.as_bytes(), value, flag) {
                Err(VfsError::Exists) if is_again(request) => Ok(()),
                set => set,
            }
        });
    }

    fn removexattr(&self, request: &fuser::Request, id: INodeNo, name: &OsStr, reply: ReplyEmpty) {
        self.answer_empty(Request::Xattr, reply, |vfs| {
            match vfs.remove_attribute(self.node(id)?, name.as_bytes()) {
                Err(VfsError::NoAttribute) if is_again(request) => Ok(()),
                removed => removed,
            }
        });
    }

    fn access(&self, _: &fuser::Request, id: INodeNo, mask: AccessFlags, reply: ReplyEmpty) {
        self.answer_empty(Request::Access, reply, |vfs| {
            let executes = mask.contains(AccessFlags::X_OK);
            vfs.allows_root(self.node(id)?, executes)
        });
    }

    // After one ENOSYS the kernel does these by itself, as it does for a local file system.

    fn fsync(
        &self,
        _: &fuser::Request,
        id: INodeNo,
        _: FileHandle,
        data_only: bool,
        reply: ReplyEmpty,
    ) {
        self.answer_empty(Request::Fsync, reply, |vfs| {
            vfs.sync(self.node(id)?, data_only)
        });
    }

    fn fsyncdir(
        &self,
        _: &fuser::Request,
        id: INodeNo,
        _: FileHandle,
        data_only: bool,
        reply: ReplyEmpty,
    ) {
        self.answer_empty(Request::Fsync, reply, |vfs| {
            vfs.sync(self.node(id)?, data_only)
        });
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
        id: INodeNo,
        _: FileHandle,
        offset: i64,
        whence: i32,
        reply: ReplyLseek,
    ) {
        self.answer(Request::Lseek, || {
            let sought = sought(whence).and_then(|sought| {
                let offset = u64::try_from(offset).map_err(|_| VfsError::NoData)?;
                self.adapter.vfs.seek(self.node(id)?, offset, sought)
            });
            match sought {
                Ok(found) => reply.offset(i64::try_from(found).unwrap_or(i64::MAX)),
                Err(error) => reply.error(self.failed(&error)),
            }
        });
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

    fn setattr(
        &self,
        request: &fuser::Request,
        id: INodeNo,
        mode: Option<u32>,
        uid: Option<u32>,
        gid: Option<u32>,
        size: Option<u64>,
        accessed: Option<TimeOrNow>,
        modified: Option<TimeOrNow>,
        _: Option<SystemTime>,
        _: Option<FileHandle>,
        _: Option<SystemTime>,
        _: Option<SystemTime>,
        _: Option<SystemTime>,
        _: Option<BsdFileFlags>,
        reply: ReplyAttr,
    ) {
        self.answer(Request::Setattr, || {
            let new = NewAttributes {
                mode,
                uid,
                gid,
                size,
                accessed: new_time(accessed),
                modified: new_time(modified),
                drop_privileges: request.uid() != 0,
            };
            let vfs = &self.adapter.vfs;
            let set = self
                .node(id)
                .and_then(|node| self.room.with(|| vfs.set_attributes(node, &new)));
            if size.is_some() {
                self.adapter.touches.contents.settle(id.0);
            }
            match set {
                Ok(attributes) => reply.attr(&YEAR, &self.attr(&attributes)),
                Err(error) => reply.error(self.failed(&error)),
            }
        });
    }

    fn write(
        &self,
        _: &fuser::Request,
        id: INodeNo,
        handle: FileHandle,
        offset: u64,
        content: &[u8],
        flags: WriteFlags,
        _: OpenFlags,
        _: Option<LockOwner>,
        reply: ReplyWrite,
    ) {
        self.answer(Request::Write, || {
            let drop_privileges = flags.contains(WriteFlags::FUSE_WRITE_KILL_SUIDGID);
            let vfs = &self.adapter.vfs;
            let written = self.node(id).and_then(|node| {
                let write = || vfs.write(node, offset, content, drop_privileges);
                self.room.with(write)
            });
            match written {
                Ok(count) => {
                    self.adapter.counters.note_full(count < content.len());
                    self.adapter.touches.wrote(id.0);
                    self.wrote(id, handle, count, reply);
                }
                Err(error) => {
                    reply.error(self.failed(&error));
                    // What was put into a shared mapping stays in the page cache otherwise.
                    let _ = self.forget_pages.send(Forgotten::of(id));
                }
            }
        });
    }

    fn mknod(
        &self,
        request: &fuser::Request,
        parent: INodeNo,
        name: &OsStr,
        mode: u32,
        _: u32,
        device: u32,
        reply: ReplyEntry,
    ) {
        self.answer_made(request, (parent, name), reply, |vfs, parent, name| {
            let made = made(mode, device).ok_or(VfsError::Invalid)?;
            vfs.create(parent, name, made, mode, asker(request))
        });
    }

    fn mkdir(
        &self,
        request: &fuser::Request,
        parent: INodeNo,
        name: &OsStr,
        mode: u32,
        _: u32,
        reply: ReplyEntry,
    ) {
        self.answer_made(request, (parent, name), reply, |vfs, parent, name| {
            vfs.create(parent, name, Made::Directory, mode, asker(request))
        });
    }

    fn symlink(
        &self,
        request: &fuser::Request,
        parent: INodeNo,
        name: &OsStr,
        target: &Path,
        reply: ReplyEntry,
    ) {
        let target = target.as_os_str().as_bytes();
        let passes = self.passes_as(request, target);
        if matches!(passes, Ok(true)) {
            self.answer(Request::Change, || {
                self.passed(request, parent, name);
                reply.entry(&Duration::ZERO, &passing_link(), Generation(0));
            });
            return;
        }
        self.answer_made(request, (parent, name), reply, |vfs, parent, name| {
            if passes.is_err() {
                return Err(VfsError::Reserved);
            }
            vfs.create(parent, name, Made::Symlink(target), 0o777, asker(request))
        });
    }

    fn link(
        &self,
        request: &fuser::Request,
        id: INodeNo,
        parent: INodeNo,
        name: &OsStr,
        reply: ReplyEntry,
    ) {
        self.answer_made(request, (parent, name), reply, |vfs, parent, name| {
            vfs.link(self.node(id)?, parent, name)
        });
    }

    fn unlink(&self, request: &fuser::Request, parent: INodeNo, name: &OsStr, reply: ReplyEmpty) {
        self.answer_empty(Request::Change, reply, |vfs| {
            let removed = vfs.unlink(self.node(parent)?, name.as_bytes());
            self.after_removal(request, parent, unless_done(request, removed))
        });
    }

    fn rmdir(&self, request: &fuser::Request, parent: INodeNo, name: &OsStr, reply: ReplyEmpty) {
        self.answer_empty(Request::Change, reply, |vfs| {
            let removed = vfs.rmdir(self.node(parent)?, name.as_bytes());
            self.after_removal(request, parent, unless_done(request, removed))
        });
    }

    fn rename(
        &self,
        request: &fuser::Request,
        parent: INodeNo,
        name: &OsStr,
        new_parent: INodeNo,
        new_name: &OsStr,
        flags: RenameFlags,
        reply: ReplyEmpty,
    ) {
        self.answer_empty(Request::Change, reply, |vfs| {
            if self.passes_to(request, new_parent)? {
                self.passed(request, parent, name);
                return Ok(());
            }
            let from = (self.node(parent)?, name.as_bytes());
            let to = (self.node(new_parent)?, new_name.as_bytes());
            let replace = match flags {
                RenameFlags::RENAME_EXCHANGE => return vfs.exchange(from, to, number(request)),
                RenameFlags::RENAME_NOREPLACE => Replace::Refused,
                _ if flags.is_empty() => Replace::Allowed,
                _ => return Err(VfsError::Invalid),
            };
            let renamed = vfs.rename(from, to, replace);
            match &renamed {
                Err(VfsError::NotFound) if vfs.lookup(to.0, to.1)?.is_some() => {
                    unless_done(request, renamed)
                }
                _ => renamed,
            }
        });
    }

    fn create(
        &self,
        request: &fuser::Request,
        parent: INodeNo,
        name: &OsStr,
        mode: u32,
        _: u32,
        flags: i32,
        reply: ReplyCreate,
    ) {
        self.answer(Request::Change, || {
            if !self.writes_past_cache {
                reply.error(Errno::ENOSYS);
                return;
            }
            let made = self.make(request, (parent, name), |vfs, parent, name| {
                vfs.create(parent, name, Made::File, mode, asker(request))
            });
            match made {
                Ok(attributes) => {
                    let (handle, opened) = opened(flags);
                    let attr = self.attr(&attributes);
                    reply.created(&YEAR, &attr, Generation(0), handle, opened);
                }
                Err(error) => reply.error(self.failed(&error)),
            }
        });
    }

    fn fallocate(
        &self,
        _: &fuser::Request,
        id: INodeNo,
        _: FileHandle,
        offset: u64,
        bytes: u64,
        mode: i32,
        reply: ReplyEmpty,
    ) {
        self.answer_empty(Request::Change, reply, |vfs| {
            vfs.allocate(self.node(id)?, mode.cast_unsigned(), offset, bytes)?;
            self.adapter.touches.contents.settle(id.0);
            Ok(())
        });
    }
}
