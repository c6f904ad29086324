//! System calls and C functions of the store.

use std::ffi::c_void;
use std::fs::{File, OpenOptions};
use std::io;
use std::os::fd::{AsRawFd, FromRawFd};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;
use std::ptr::NonNull;

use libdeflate_sys::{
    libdeflate_alloc_decompressor, libdeflate_decompressor, libdeflate_free_decompressor,
    libdeflate_gzip_decompress_ex, libdeflate_result_LIBDEFLATE_INSUFFICIENT_SPACE,
    libdeflate_result_LIBDEFLATE_SUCCESS,
};

/// Opens `path` for reading without following a symlink in its last component and without waiting
/// for the other end of a fifo: open(2), `O_NOFOLLOW` and `O_NONBLOCK`.
pub(crate) fn open_no_follow(path: &Path) -> io::Result<File> {
    OpenOptions::new()
        .read(true)
        .custom_flags(libc::O_NOFOLLOW | libc::O_NONBLOCK)
        .open(path)
}

/// Whether `error` is what [`open_no_follow`] gives for a symlink (`ELOOP`) a socket (`ENXIO`)
/// or, on the way to a file, a symlink (`ENOTDIR`).
pub(crate) fn is_not_regular_refusal(error: &io::Error) -> bool {
    matches!(
        error.raw_os_error(),
        Some(libc::ELOOP | libc::ENXIO | libc::ENOTDIR)
    )
}

/// Opens the directory `path`, which must not be a symlink itself, to be used with
/// [`open_beneath`].
pub(crate) fn open_directory(path: &Path) -> io::Result<File> {
    OpenOptions::new()
        .read(true)
        .custom_flags(libc::O_DIRECTORY | libc::O_NOFOLLOW)
        .open(path)
}

/// Opens a file below `directory` for reading without following any symlink on the way: openat(2)
/// for one component after the other, with `O_NOFOLLOW`.
pub(crate) fn open_beneath(directory: &File, path: &str) -> io::Result<File> {
    let (mut lead, name) = match path.rsplit_once('/') {
        Some((lead, name)) => (Some(lead), name),
        None => (None, path),
    };
    let mut current = None;
    while let Some(rest) = lead {
        let (component, tail) = match rest.split_once('/') {
            Some((component, tail)) => (component, Some(tail)),
            None => (rest, None),
        };
        let above = current.as_ref().unwrap_or(directory);
        current = Some(open_component(above, component, libc::O_DIRECTORY)?);
        lead = tail;
    }
    open_component(
        current.as_ref().unwrap_or(directory),
        name,
        libc::O_NONBLOCK,
    )
}

fn open_component(directory: &File, name: &str, flags: libc::c_int) -> io::Result<File> {
    let name = std::ffi::CString::new(name)?;
    let flags = flags | libc::O_RDONLY | libc::O_NOFOLLOW | libc::O_CLOEXEC;
    // SAFETY: the descriptor and the NUL-terminated name live until the call returns.
    let descriptor = unsafe { libc::openat(directory.as_raw_fd(), name.as_ptr(), flags) };
    if descriptor < 0 {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: the descriptor was just opened and nobody else has it.
    Ok(unsafe { File::from_raw_fd(descriptor) })
}

/// Flushes the whole file system on which `file` lies: syncfs(2).
pub(crate) fn sync_file_system(file: &File) -> io::Result<()> {
    // SAFETY: the descriptor is open for as long as `file` is borrowed.
    let result = unsafe { libc::syncfs(file.as_raw_fd()) };
    if result == 0 {
        Ok(())
    } else {
        Err(io::Error::last_os_error())
    }
}

/// Whether this process may create entries in the directory `path`: faccessat(2) with the
/// effective ids. Read-only file systems say no.
pub(crate) fn is_writable(path: &Path) -> bool {
    use std::os::unix::ffi::OsStrExt;
    let Ok(path) = std::ffi::CString::new(path.as_os_str().as_bytes()) else {
        return false;
    };
    let mode = libc::W_OK | libc::X_OK;
    // SAFETY: `path` is a NUL-terminated string that lives until the call returns.
    let result = unsafe { libc::faccessat(libc::AT_FDCWD, path.as_ptr(), mode, libc::AT_EACCESS) };
    result == 0
}

/// What became of one gzip member.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum GzipMember {
    /// It was whole and its checksum right.
    Done {
        /// Bytes of the input that belong to it.
        consumed: usize,
        /// Bytes that it gave.
        produced: usize,
    },
    /// The output does not fit.
    OutputFull,
    /// It is truncated, no gzip, or its checksum is wrong.
    Bad,
}

/// libdeflate's decompressor, by its C interface because only that tells how much of the input a
/// member took.
pub(crate) struct GzipDecompressor(NonNull<libdeflate_decompressor>);

// SAFETY: libdeflate's decompressor is plain memory without thread affinity.
unsafe impl Send for GzipDecompressor {}

impl GzipDecompressor {
    /// A decompressor, or `None` where there is no memory for one.
    pub(crate) fn new() -> Option<Self> {
        // SAFETY: the function takes nothing; null is handled.
        NonNull::new(unsafe { libdeflate_alloc_decompressor() }).map(Self)
    }

    /// Decompresses the gzip member at the beginning of `input` to the beginning of `output`, and
    /// checks its CRC and length.
    pub(crate) fn member(&mut self, input: &[u8], output: &mut [u8]) -> GzipMember {
        let mut consumed = 0;
        let mut produced = 0;
        // SAFETY: both buffers are valid for the lengths given with them, `output` is exclusively
        // borrowed, and the decompressor is owned by `self`.
        let result = unsafe {
            libdeflate_gzip_decompress_ex(
                self.0.as_ptr(),
                input.as_ptr().cast::<c_void>(),
                input.len(),
                output.as_mut_ptr().cast::<c_void>(),
                output.len(),
                &mut consumed,
                &mut produced,
            )
        };
        #[allow(non_upper_case_globals)]
        match result {
            libdeflate_result_LIBDEFLATE_SUCCESS => GzipMember::Done { consumed, produced },
            libdeflate_result_LIBDEFLATE_INSUFFICIENT_SPACE => GzipMember::OutputFull,
            _ => GzipMember::Bad,
        }
    }
}

impl Drop for GzipDecompressor {
    fn drop(&mut self) {
        // SAFETY: the pointer came from the allocation function and is freed once.
        unsafe { libdeflate_free_decompressor(self.0.as_ptr()) }
    }
}
