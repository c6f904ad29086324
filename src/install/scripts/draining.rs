//! The output of a script, to its end or, where something else holds it open, a little longer than
//! the script runs.

use std::io::{self, PipeReader, Read};
use std::os::fd::AsFd;
use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::sys::watch::{Watch, wait};

/// How long more output of an ended script is waited for: a daemon may hold it open.
const DRAIN: Duration = Duration::from_millis(200);

/// What a pipe can hold when the script ends (pipe(7), `pipe-max-size`). It is read however long
/// that takes on a busy machine: the last lines say why a script failed.
const PIPE_BYTES_MAX: usize = 1 << 20;

/// Reads a pipe until it ends, or until the script has ended and nothing comes any more.
pub(super) struct Draining {
    source: PipeReader,
    /// Ends with the script.
    ended: Arc<PipeReader>,
    /// Until when more is waited for, once the script has ended.
    deadline: Option<Instant>,
    /// What is read after that, in bytes.
    left: usize,
}

impl Draining {
    pub(super) fn new(source: PipeReader, ended: Arc<PipeReader>) -> Self {
        Self {
            source,
            ended,
            deadline: None,
            left: PIPE_BYTES_MAX,
        }
    }

    /// Whether there is something to read, the end included.
    fn wait(&mut self) -> io::Result<bool> {
        loop {
            let output = Watch::Readable(self.source.as_fd());
            let Some(deadline) = self.deadline else {
                let seen = wait(&[output, Watch::Readable(self.ended.as_fd())], None)?;
                self.deadline = seen[1].then(|| Instant::now() + DRAIN);
                match seen[0] {
                    true => return Ok(true),
                    false => continue,
                }
            };
            let patience = deadline.saturating_duration_since(Instant::now());
            if patience.is_zero() && self.left == 0 {
                return Ok(false);
            }
            if wait(&[output], Some(patience))? == [true] {
                return Ok(true);
            }
            if Instant::now() >= deadline {
                return Ok(false);
            }
        }
    }
}

impl Read for Draining {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if !self.wait()? {
            return Ok(0);
        }
        let taken = self.source.read(buffer)?;
        if self.deadline.is_some() {
            self.left = self.left.saturating_sub(taken);
        }
        Ok(taken)
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write;
    use std::sync::atomic::{AtomicBool, Ordering};
    use std::thread;

    use super::*;

    #[test]
    fn what_was_written_is_read_however_slowly_and_who_holds_it_open_is_not_waited_for() {
        let (source, mut held) = io::pipe().unwrap();
        let (ended, running) = io::pipe().unwrap();
        held.write_all(&[b'x'; 60_000]).unwrap();
        drop(running);
        let mut source = Draining::new(source, Arc::new(ended));
        let mut buffer = [0; 10_000];
        let mut read = 0;
        loop {
            match source.read(&mut buffer).unwrap() {
                0 => break,
                taken => read += taken,
            }
            thread::sleep(DRAIN / 2);
        }
        assert_eq!(read, 60_000);
        drop(held);
    }

    #[test]
    fn nothing_is_cut_off_while_the_script_runs() {
        let (source, mut theirs) = io::pipe().unwrap();
        let (ended, running) = io::pipe().unwrap();
        let writer = thread::spawn(move || {
            for _ in 0..3 {
                thread::sleep(DRAIN / 2 * 3);
                theirs.write_all(b"x").unwrap();
            }
            drop((theirs, running));
        });
        let mut read = String::new();
        let mut source = Draining::new(source, Arc::new(ended));
        source.read_to_string(&mut read).unwrap();
        assert_eq!(read, "xxx");
        writer.join().unwrap();
    }

    #[test]
    fn who_writes_without_end_after_the_script_is_left() {
        let (source, mut theirs) = io::pipe().unwrap();
        let (ended, running) = io::pipe().unwrap();
        let is_over = Arc::new(AtomicBool::new(false));
        let over = is_over.clone();
        let writer = thread::spawn(move || {
            while !over.load(Ordering::Relaxed) && theirs.write_all(&[b'x'; 4096]).is_ok() {}
        });
        drop(running);
        let mut source = Draining::new(source, Arc::new(ended));
        let read = io::copy(&mut source, &mut io::sink()).unwrap();
        assert!(read > 0);
        is_over.store(true, Ordering::Relaxed);
        drop(source);
        writer.join().unwrap();
    }
}
