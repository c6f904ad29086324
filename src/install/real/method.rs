//! How the content of a file comes to its place: a hard link, a reflink, or a copy.

use std::fs::File;
use std::os::fd::AsFd;
use std::sync::atomic::{AtomicU8, Ordering};

use rustix::fs::{AtFlags, Mode, OFlags, ioctl_ficlone, linkat, openat};
use rustix::io::Errno;

use super::directory::{Directory, NEW_FILE, file_mode};
use super::error::RealError;
use crate::install::config::PackageImportMethod;
use crate::store::{Pack, PackReader, Store, StoreError, Unpacked};

/// Unpacked copies that may go away while one file is put in its place.
const COPIES_MAX: usize = 8;

/// One way.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Method {
    /// A link to the file of the unpacked copy.
    Link,
    /// Shared extents of the file of the unpacked copy.
    Clone,
    /// The bytes, out of the pack.
    Copy,
}

impl Method {
    fn bit(self) -> u8 {
        1 << self as u8
    }
}

/// The ways that a setting allows, best first, and which of them still works here. A way that the
/// file system turns out not to have is not tried again.
#[derive(Debug)]
pub(super) struct Methods {
    allowed: &'static [Method],
    /// A bit for each that does not work.
    failed: AtomicU8,
}

impl Methods {
    pub(super) fn of(setting: PackageImportMethod) -> Self {
        let allowed: &[Method] = match setting {
            PackageImportMethod::Auto => &[Method::Link, Method::Clone, Method::Copy],
            PackageImportMethod::Hardlink => &[Method::Link, Method::Copy],
            PackageImportMethod::Clone => &[Method::Clone],
            PackageImportMethod::CloneOrCopy => &[Method::Clone, Method::Copy],
            PackageImportMethod::Copy => &[Method::Copy],
        };
        let failed = AtomicU8::new(0);
        Self { allowed, failed }
    }

    /// The best way that still works. What is `private` shares no inode with anything.
    pub(super) fn current(&self, private: bool) -> Method {
        let failed = self.failed.load(Ordering::Relaxed);
        let is_usable =
            |method: &&Method| failed & method.bit() == 0 && !(private && **method == Method::Link);
        let best = self.allowed.iter().find(is_usable);
        best.copied().unwrap_or(Method::Copy)
    }

    /// Notes that `method` does not work here. `false` where the setting allows no other.
    pub(super) fn give_up(&self, method: Method) -> bool {
        let before = self.failed.fetch_or(method.bit(), Ordering::Relaxed);
        let failed = before | method.bit();
        self.allowed.iter().any(|one| failed & one.bit() == 0)
    }
}

/// The files of one pack, ready to be put somewhere.
pub(super) struct Source<'a> {
    pub(super) pack: &'a Pack,
    package: &'a str,
    reader: PackReader<'a>,
    unpacked: Option<Unpacked>,
    store: &'a Store,
    methods: &'a Methods,
    private: bool,
    /// `verifyStoreIntegrity`.
    verify: bool,
}

/// How a [`Source`] works.
#[derive(Clone, Copy)]
pub(super) struct SourceOptions<'a> {
    /// Its depPath.
    pub(super) package: &'a str,
    pub(super) store: &'a Store,
    pub(super) methods: &'a Methods,
    pub(super) private: bool,
    pub(super) verify: bool,
}

impl<'a> Source<'a> {
    pub(super) fn new(pack: &'a Pack, options: SourceOptions<'a>) -> Result<Self, StoreError> {
        let mut source = Self {
            pack,
            package: options.package,
            reader: pack.reader(),
            unpacked: None,
            store: options.store,
            methods: options.methods,
            private: options.private,
            verify: options.verify,
        };
        if source.method() != Method::Copy {
            match options.store.unpacked(pack) {
                Ok(unpacked) => source.unpacked = Some(unpacked),
                // Without a copy there is nothing to link or clone.
                Err(StoreError::ReadOnly { .. }) => source.private = true,
                Err(error) => return Err(error),
            }
        }
        Ok(source)
    }

    fn failed(&self, source: StoreError) -> RealError {
        let package = self.package.into();
        RealError::Store { package, source }
    }

    fn method(&self) -> Method {
        self.methods.current(self.private)
    }

    /// Puts the file of this number at `name`, where nothing is.
    pub(super) fn place(
        &mut self,
        number: u32,
        (size, executable): (u64, bool),
        directory: &Directory,
        name: &str,
    ) -> Result<(), RealError> {
        let mut copies = 0;
        loop {
            let method = self.method();
            let failed = match (method, &self.unpacked) {
                (Method::Copy, _) | (_, None) => {
                    return self.copy(number, executable, directory, name);
                }
                (method, Some(unpacked)) => {
                    if self.verify && !unpacked.is_unchanged(number, size) {
                        let again = self.store.unpack_again(self.pack);
                        self.unpacked = Some(again.map_err(|source| self.failed(source))?);
                        continue;
                    }
                    match method {
                        Method::Link => link(unpacked, number, directory, name),
                        _ => clone(unpacked, number, executable, directory, name),
                    }
                }
            };
            match failed {
                Ok(()) => return Ok(()),
                // Somebody else put another copy in the place of this one.
                Err(Errno::NOENT) if copies < COPIES_MAX => {
                    copies += 1;
                    let there = self.store.unpacked(self.pack);
                    self.unpacked = Some(there.map_err(|source| self.failed(source))?);
                }
                // One file has as many links as the file system allows.
                Err(Errno::MLINK) => return self.copy(number, executable, directory, name),
                Err(error) if is_missing_ability(method, error) => {
                    if !self.methods.give_up(method) {
                        let path = directory.path().join(name);
                        return Err(RealError::NoReflink { path });
                    }
                }
                Err(error) => return Err(directory.failed("write", name, error)),
            }
        }
    }

    fn copy(
        &mut self,
        number: u32,
        executable: bool,
        directory: &Directory,
        name: &str,
    ) -> Result<(), RealError> {
        let file = openat(directory, name, NEW_FILE, file_mode(executable))
            .map_err(|error| directory.failed("write", name, error))?;
        let path = || directory.path().join(name);
        self.reader
            .copy(number, File::from(file))
            .map_err(|error| RealError::io("write", path())(error))
    }
}

fn link(unpacked: &Unpacked, number: u32, directory: &Directory, name: &str) -> Result<(), Errno> {
    let from = number.to_string();
    linkat(unpacked, from, directory, name, AtFlags::empty())
}

fn clone(
    unpacked: &Unpacked,
    number: u32,
    executable: bool,
    directory: &Directory,
    name: &str,
) -> Result<(), Errno> {
    let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let from = openat(unpacked, number.to_string(), flags, Mode::empty())?;
    let to = openat(directory, name, NEW_FILE, file_mode(executable))?;
    let cloned = ioctl_ficlone(to.as_fd(), from);
    if cloned.is_err() {
        let _ = rustix::fs::unlinkat(directory, name, AtFlags::empty());
    }
    cloned
}

/// Whether the file system, not this file, is why it did not work.
fn is_missing_ability(method: Method, error: Errno) -> bool {
    let everywhere = matches!(
        error,
        Errno::XDEV | Errno::OPNOTSUPP | Errno::NOSYS | Errno::PERM
    );
    everywhere || (method == Method::Clone && matches!(error, Errno::INVAL | Errno::NOTTY))
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;
    use crate::store::{Access, IngestOptions, PackageKey, ROOT};

    #[test]
    fn a_copy_that_others_replaced_is_looked_up_again() {
        let scratch = tempfile::tempdir().unwrap();
        let package = scratch.path().join("package");
        fs::create_dir(&package).unwrap();
        fs::write(package.join("package.json"), "{}").unwrap();
        let store = Store::open(&scratch.path().join("store"), Access::ReadWrite).unwrap();
        let options = IngestOptions::new(PackageKey::new("pin", "x@1.0.0", None));
        let id = store
            .ingest_directory(&package, &options)
            .unwrap()
            .record
            .pack;
        let pack = store.open_pack(&id).unwrap();
        let methods = Methods::of(PackageImportMethod::Hardlink);
        let options = SourceOptions {
            package: "x@1.0.0",
            store: &store,
            methods: &methods,
            private: false,
            verify: false,
        };
        let mut source = Source::new(&pack, options).unwrap();
        store.unpack_again(&pack).unwrap();
        fs::remove_dir_all(store.path().join("unpacked")).unwrap();
        let target = Directory::open(scratch.path()).unwrap();
        let number = pack.table().lookup(ROOT, b"package.json").unwrap();
        source.place(number, (2, false), &target, "placed").unwrap();
        assert_eq!(fs::read(scratch.path().join("placed")).unwrap(), b"{}");
    }

    #[test]
    fn a_way_that_does_not_work_is_not_tried_again() {
        let methods = Methods::of(PackageImportMethod::Auto);
        assert_eq!(methods.current(false), Method::Link);
        assert_eq!(methods.current(true), Method::Clone);
        assert!(methods.give_up(Method::Link));
        assert_eq!(methods.current(false), Method::Clone);
        assert!(methods.give_up(Method::Clone));
        assert!(methods.give_up(Method::Link));
        assert_eq!(methods.current(false), Method::Copy);
        let clone = Methods::of(PackageImportMethod::Clone);
        assert!(!clone.give_up(Method::Clone));
    }
}
