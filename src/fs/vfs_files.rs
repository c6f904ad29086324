//! Changes of what is in files, and of what `stat` says of them.

use std::fs::File;
use std::sync::Arc;

use rustix::fs::{FallocateFlags, SeekFrom, XattrFlags};
use rustix::io::Errno;

use super::attributes::{Attributes, Kind};
use super::node::Node;
use super::upper::{NewTime, write_at};
use super::vfs::Vfs;
use super::vfs_error::VfsError;

/// Set-user-ID and set-group-ID of a file that its group can execute.
const SET_USER_ID: u32 = 0o4000;
const SET_GROUP_ID: u32 = 0o2000;
const GROUP_EXECUTES: u32 = 0o010;

/// Extended attributes that can be kept begin with this.
const USER_ATTRIBUTES: &[u8] = b"user.";

/// What `stat` shall say from now on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct NewAttributes {
    /// Permission bits.
    pub mode: Option<u32>,
    /// User id.
    pub uid: Option<u32>,
    /// Group id.
    pub gid: Option<u32>,
    /// Bytes.
    pub size: Option<u64>,
    /// When it was last read.
    pub accessed: NewTime,
    /// When its content last changed.
    pub modified: NewTime,
    /// Set-user-ID and set-group-ID go, as they do when somebody else than root writes.
    pub drop_privileges: bool,
}

/// What to look for in a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Sought {
    /// Data.
    Data,
    /// A hole.
    Hole,
}

/// Whether an extended attribute must be there already.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AttributeFlag {
    /// It does not matter.
    Any,
    /// It must be new.
    Create,
    /// It must be there.
    Replace,
}

impl Vfs {
    /// The real file of `node`, copied up where it was not real.
    fn writable(&self, node: Node) -> Result<Arc<File>, VfsError> {
        if let Some(file) = self.real_file(node)? {
            if self.problem().is_some() {
                return Err(VfsError::ReadOnly);
            }
            return Ok(file);
        }
        let mut change = self.change()?;
        match self.attributes(node)?.kind {
            Kind::File => {}
            Kind::Directory => return Err(VfsError::IsDirectory),
            _ => return Err(VfsError::Invalid),
        }
        change.copy_up(node, None)?;
        drop(change);
        self.real_file(node)?.ok_or(VfsError::Stale)
    }

    /// Writes `content` into a file at `offset`. Returns how much of it fitted.
    ///
    /// # Errors
    /// When nothing of it could be written.
    pub fn write(
        &self,
        node: Node,
        offset: u64,
        content: &[u8],
        drop_privileges: bool,
    ) -> Result<usize, VfsError> {
        let file = self.writable(node)?;
        let written = write_at(&file, content, offset)?;
        if drop_privileges {
            drop_privileges_of(&file)?;
        }
        Ok(written)
    }

    /// Changes what `stat` says.
    ///
    /// # Errors
    /// When the file system under the mount refuses.
    pub fn set_attributes(&self, node: Node, new: &NewAttributes) -> Result<Attributes, VfsError> {
        let mut change = self.change()?;
        // What is refused later must not have cut it short.
        let is_size_alone = (new.uid, new.gid, new.mode) == (None, None, None);
        let path = change.copy_up(node, new.size.filter(|_| is_size_alone))?;
        let host = &self.host;
        if new.uid.is_some() || new.gid.is_some() {
            host.set_owner(&path, new.uid, new.gid)?;
        }
        let is_symlink = self.attributes(node)?.kind == Kind::Symlink;
        if let Some(mode) = new.mode {
            if is_symlink {
                return Err(VfsError::Unsupported);
            }
            host.set_mode(&path, mode)?;
        }
        if let Some(size) = new.size {
            let file = self.real_file(node)?.ok_or(VfsError::Stale)?;
            rustix::fs::ftruncate(&*file, size)?;
            if new.drop_privileges {
                drop_privileges_of(&file)?;
            }
        }
        if (new.accessed, new.modified) != (NewTime::Keep, NewTime::Keep) {
            host.set_times(&path, new.accessed, new.modified)?;
        }
        drop(change);
        self.attributes(node)
    }

    /// Reserves or frees space of a file; `mode` is that of fallocate(2).
    ///
    /// # Errors
    /// When the file system under the mount refuses.
    pub fn allocate(&self, node: Node, mode: u32, offset: u64, bytes: u64) -> Result<(), VfsError> {
        let flags = FallocateFlags::from_bits(mode).ok_or(VfsError::Unsupported)?;
        let file = self.writable(node)?;
        Ok(rustix::fs::fallocate(&*file, flags, offset, bytes)?)
    }

    /// The next place from `offset` on where a file has data, or a hole.
    ///
    /// # Errors
    /// When there is none.
    pub fn seek(&self, node: Node, offset: u64, sought: Sought) -> Result<u64, VfsError> {
        if let Some(file) = self.real_file(node)? {
            let sought = match sought {
                Sought::Data => SeekFrom::Data(offset),
                Sought::Hole => SeekFrom::Hole(offset),
            };
            return match rustix::fs::seek(&*file, sought) {
                Err(Errno::NXIO) => Err(VfsError::NoData),
                found => Ok(found?),
            };
        }
        let size = self.attributes(node)?.size;
        match sought {
            _ if offset >= size => Err(VfsError::NoData),
            Sought::Data => Ok(offset),
            Sought::Hole => Ok(size),
        }
    }

    /// Makes a file, or a directory's entries, survive a power cut.
    ///
    /// # Errors
    /// When the file system under the mount cannot.
    pub fn sync(&self, node: Node, data_only: bool) -> Result<(), VfsError> {
        if !self.layers().state.is_real(node) {
            return Ok(());
        }
        if !self.is_retired() {
            self.change()?.sync_journal()?;
        }
        match self.real_file(node) {
            Ok(Some(file)) if data_only => Ok(file.sync_data()?),
            Ok(Some(file)) => Ok(file.sync_all()?),
            Ok(None) => Ok(()),
            Err(VfsError::IsDirectory) => {
                let layers = self.layers();
                match layers.real_path(self.root, node)? {
                    Some(path) => Ok(self.host.sync_directory(&path)?),
                    None => Ok(()),
                }
            }
            Err(error) => Err(error),
        }
    }

    /// An extended attribute.
    ///
    /// # Errors
    /// When there is none of this name.
    pub fn attribute(&self, node: Node, name: &[u8]) -> Result<Vec<u8>, VfsError> {
        if !name.starts_with(USER_ATTRIBUTES) || !self.layers().state.is_real(node) {
            return Err(VfsError::NoAttribute);
        }
        let mut value = Vec::with_capacity(1 << 16);
        let found = self.with_descriptor(node, |file| {
            rustix::fs::fgetxattr(file, name, rustix::buffer::spare_capacity(&mut value))
        });
        found.map_err(attribute_error)?;
        Ok(value)
    }

    /// The names of all extended attributes, each ended by a zero byte.
    ///
    /// # Errors
    /// When the file system under the mount refuses.
    pub fn attribute_names(&self, node: Node) -> Result<Vec<u8>, VfsError> {
        let mut names = Vec::new();
        if !self.layers().state.is_real(node) {
            return Ok(names);
        }
        let mut all = Vec::with_capacity(1 << 16);
        let listed = self.with_descriptor(node, |file| {
            rustix::fs::flistxattr(file, rustix::buffer::spare_capacity(&mut all))
        });
        match listed {
            Ok(_) => {}
            Err(VfsError::Upper(error)) if is(&error, Errno::OPNOTSUPP) => return Ok(names),
            Err(error) => return Err(error),
        }
        let own = all.split_inclusive(|byte| *byte == 0);
        for name in own.filter(|name| name.starts_with(USER_ATTRIBUTES)) {
            names.extend_from_slice(name);
        }
        Ok(names)
    }

    /// Sets an extended attribute.
    ///
    /// # Errors
    /// When its name does not begin with `user.`, or the file system under the mount refuses.
    pub fn set_attribute(
        &self,
        node: Node,
        name: &[u8],
        value: &[u8],
        flag: AttributeFlag,
    ) -> Result<(), VfsError> {
        let flags = match flag {
            AttributeFlag::Any => XattrFlags::empty(),
            AttributeFlag::Create => XattrFlags::CREATE,
            AttributeFlag::Replace => XattrFlags::REPLACE,
        };
        self.change_attribute(node, name, |file| {
            rustix::fs::fsetxattr(file, name, value, flags)
        })
    }

    /// Removes an extended attribute.
    ///
    /// # Errors
    /// When there is none of this name.
    pub fn remove_attribute(&self, node: Node, name: &[u8]) -> Result<(), VfsError> {
        self.change_attribute(node, name, |file| rustix::fs::fremovexattr(file, name))
    }

    fn change_attribute(
        &self,
        node: Node,
        name: &[u8],
        act: impl FnOnce(&File) -> Result<(), Errno>,
    ) -> Result<(), VfsError> {
        if !name.starts_with(USER_ATTRIBUTES) {
            return Err(VfsError::Unsupported);
        }
        self.change()?.copy_up(node, None)?;
        self.with_descriptor(node, act).map_err(attribute_error)
    }

    /// Does something with the open real file or directory of `node`.
    fn with_descriptor<T>(
        &self,
        node: Node,
        act: impl FnOnce(&File) -> Result<T, Errno>,
    ) -> Result<T, VfsError> {
        match self.real_file(node) {
            Ok(Some(file)) => Ok(act(&file)?),
            Ok(None) => Err(VfsError::NoAttribute),
            Err(VfsError::IsDirectory) => {
                let layers = self.layers();
                let path = layers.real_path(self.root, node)?;
                let path = path.ok_or(VfsError::NoAttribute)?;
                let directory = self.host.open_directory(&path)?;
                Ok(act(&directory.into())?)
            }
            // Neither symlinks nor pipes have such attributes.
            Err(VfsError::Invalid) => Err(Errno::OPNOTSUPP.into()),
            Err(error) => Err(error),
        }
    }
}

fn is(error: &std::io::Error, errno: Errno) -> bool {
    error.raw_os_error() == Some(errno.raw_os_error())
}

fn attribute_error(error: VfsError) -> VfsError {
    match error {
        VfsError::Upper(error) if is(&error, Errno::NODATA) => VfsError::NoAttribute,
        error => error,
    }
}

/// As the kernel does when somebody else than root writes.
fn drop_privileges_of(file: &File) -> Result<(), VfsError> {
    let mode = rustix::fs::fstat(file)?.st_mode & 0o7777;
    let mut kept = mode & !SET_USER_ID;
    if mode & GROUP_EXECUTES != 0 {
        kept &= !SET_GROUP_ID;
    }
    if kept != mode {
        rustix::fs::fchmod(file, rustix::fs::Mode::from_raw_mode(kept))?;
    }
    Ok(())
}
