//! Signals that end a process, as messages.

use std::fs::File;
use std::io;
use std::os::fd::{AsRawFd, FromRawFd, IntoRawFd};
use std::sync::atomic::{AtomicI32, Ordering};

/// The writing end of the pipe that [`on_signal`] writes to.
static PIPE: AtomicI32 = AtomicI32::new(-1);

/// Does only what signal-safety(7) allows.
extern "C" fn on_signal(number: libc::c_int) {
    let byte = u8::try_from(number).unwrap_or(0);
    // SAFETY: write(2) and the location of errno may be used in a handler; the pointer is to a
    // live byte, and the interrupted code finds errno as it was.
    unsafe {
        let errno = *libc::__errno_location();
        libc::write(PIPE.load(Ordering::Relaxed), (&raw const byte).cast(), 1);
        *libc::__errno_location() = errno;
    }
}

/// From now on the first SIGINT, SIGTERM and SIGHUP each put their number as a byte into the file
/// that is returned; a second one of the kind ends the process at once (sigaction(2)). Programs
/// that the process starts have the usual signals.
pub(crate) fn end_signals_as_bytes() -> io::Result<File> {
    let mut ends = [0; 2];
    // SAFETY: the pointer is to two descriptors.
    if unsafe { libc::pipe2(ends.as_mut_ptr(), libc::O_CLOEXEC) } != 0 {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: pipe2 has just made both.
    let (reader, writer) = unsafe { (File::from_raw_fd(ends[0]), File::from_raw_fd(ends[1])) };
    PIPE.store(writer.as_raw_fd(), Ordering::Relaxed);
    // The handler may run until the process ends, so the descriptor stays open.
    let _ = writer.into_raw_fd();
    for signal in [libc::SIGINT, libc::SIGTERM, libc::SIGHUP] {
        // SAFETY: all-zero bytes are a valid sigaction, the handler has the right type, and the
        // pointers are to live values.
        let result = unsafe {
            let mut action: libc::sigaction = std::mem::zeroed();
            action.sa_sigaction = on_signal as extern "C" fn(libc::c_int) as usize;
            action.sa_flags = libc::SA_RESTART | libc::SA_RESETHAND;
            libc::sigaction(signal, &raw const action, std::ptr::null_mut())
        };
        if result != 0 {
            return Err(io::Error::last_os_error());
        }
    }
    Ok(reader)
}

/// Ends the process without running anything that waits for its other threads (_exit(2)).
pub(crate) fn exit_now(code: i32) -> ! {
    // SAFETY: it does not return.
    unsafe { libc::_exit(code) }
}
