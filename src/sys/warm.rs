//! Priority and processor time of this process.

use std::io;
use std::time::Duration;

/// Adds `nice` to the priority number of this process (setpriority(2)).
pub(crate) fn lower_priority(nice: i32) -> io::Result<()> {
    // SAFETY: takes no pointers.
    let result = unsafe { libc::setpriority(libc::PRIO_PROCESS, 0, nice) };
    if result == 0 {
        Ok(())
    } else {
        Err(io::Error::last_os_error())
    }
}

/// Processor time that this process has used (clock_gettime(2), `CLOCK_PROCESS_CPUTIME_ID`).
pub(crate) fn processor_time() -> io::Result<Duration> {
    let mut time = libc::timespec {
        tv_sec: 0,
        tv_nsec: 0,
    };
    // SAFETY: `time` lives until the end of this function.
    let result = unsafe { libc::clock_gettime(libc::CLOCK_PROCESS_CPUTIME_ID, &raw mut time) };
    if result != 0 {
        return Err(io::Error::last_os_error());
    }
    let seconds = u64::try_from(time.tv_sec).unwrap_or(0);
    let nanoseconds = u32::try_from(time.tv_nsec).unwrap_or(0);
    Ok(Duration::new(seconds, nanoseconds))
}
