//! Of which files the kernel may have contents.
//!
//! The kernel puts what is pushed over what it has, and asks nobody before a file is written
//! through a mapping, nor before it copies a write into its pages. So what it may have is never
//! pushed: what was read or pushed since the kernel forgot the file. A file that it forgot is open
//! nowhere, and none of its pages are left.
//!
//! What is written past the page cache makes old what the kernel has, if it has anything, and then
//! it is told.

use std::collections::HashMap;
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

/// How long a truncation waits for a push of the file. A push takes microseconds; one that takes
/// longer may wait for a READ that nobody is there to answer.
const PATIENCE: Duration = Duration::from_millis(50);

/// What the kernel has of a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Has {
    Nothing,
    /// Nothing since the file was last written past the page cache.
    NothingSince,
    /// What is being pushed.
    Pushed,
    /// Anything.
    Something,
}

impl Has {
    fn is_some(self) -> bool {
        matches!(self, Self::Pushed | Self::Something)
    }
}

/// What the kernel has of each file. Ids are node ids of the mount.
#[derive(Default)]
pub(crate) struct Contents {
    known: Mutex<Known>,
    settled: Condvar,
}

#[derive(Default)]
struct Known {
    /// Whether nothing is known of what was before this server.
    is_resumed: bool,
    /// What differs from that.
    files: HashMap<u64, Has>,
}

impl Known {
    fn of(&self, id: u64) -> Has {
        let other = match self.is_resumed {
            true => Has::Something,
            false => Has::Nothing,
        };
        self.files.get(&id).copied().unwrap_or(other)
    }
}

impl Contents {
    /// The kernel may have contents of any file from an earlier server.
    pub(super) fn resume(&self) {
        self.lock().is_resumed = true;
    }

    /// The kernel asks for contents of a file.
    pub(crate) fn read(&self, id: u64) {
        self.lock().files.insert(id, Has::Something);
    }

    /// The kernel has sent what was written, and keeps it.
    pub(crate) fn wrote(&self, id: u64) {
        self.read(id);
    }

    /// The kernel has sent what was written, and keeps none of it; what it asks for from now on is
    /// new. Returns whether it may have what the file was before.
    pub(crate) fn wrote_past(&self, id: u64) -> bool {
        let mut known = self.lock();
        let has_old = known.of(id).is_some();
        known.files.insert(id, Has::NothingSince);
        has_old
    }

    /// Whether the kernel may have contents of a file.
    pub(super) fn may_be_known(&self, id: u64) -> bool {
        self.lock().of(id).is_some()
    }

    /// The kernel has forgotten a file.
    pub(crate) fn forgotten(&self, id: u64) {
        let mut known = self.lock();
        match known.is_resumed {
            true => known.files.insert(id, Has::Nothing),
            false => known.files.remove(&id),
        };
    }

    /// Waits until nobody pushes a file that was just changed, so that nothing of what it was
    /// comes after the change.
    pub(crate) fn settle(&self, id: u64) {
        let known = self.lock();
        // When time is up, whoever pushes it makes the kernel forget it again.
        drop(
            self.settled
                .wait_timeout_while(known, PATIENCE, |known| known.of(id) == Has::Pushed),
        );
    }

    /// Whether a file can be pushed, which then is nobody else's to push.
    pub(super) fn claim(&self, id: u64) -> bool {
        let mut known = self.lock();
        let can = known.of(id) == Has::Nothing;
        if can {
            known.files.insert(id, Has::Pushed);
        }
        can
    }

    /// Whether nobody has asked for the file since it was claimed.
    pub(super) fn is_claimed(&self, id: u64) -> bool {
        self.lock().of(id) == Has::Pushed
    }

    /// The push of a file has ended; where the kernel did not know the file, it has nothing.
    pub(super) fn release(&self, id: u64, is_known: bool) {
        match is_known {
            true => self.read(id),
            false => self.forgotten(id),
        }
        self.settled.notify_all();
    }

    fn lock(&self) -> MutexGuard<'_, Known> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_the_kernel_may_have_is_not_pushed() {
        let contents = Contents::default();
        assert!(contents.claim(1));
        assert!(!contents.claim(1));
        contents.release(1, true);
        assert!(!contents.claim(1));
        contents.forgotten(1);
        assert!(contents.claim(1));
        contents.release(1, false);
        assert!(contents.claim(1));
        contents.read(1);
        assert!(!contents.is_claimed(1));
        contents.read(2);
        assert!(!contents.claim(2));
    }

    #[test]
    fn of_what_an_earlier_server_gave_only_what_was_forgotten_is_pushed() {
        let contents = Contents::default();
        contents.resume();
        assert!(!contents.claim(1));
        contents.forgotten(1);
        assert!(contents.claim(1));
        contents.read(1);
        assert!(!contents.claim(1));
    }

    #[test]
    fn what_is_written_past_the_cache_makes_only_old_what_was_read_before() {
        let contents = Contents::default();
        assert!(!contents.wrote_past(1));
        contents.read(1);
        assert!(contents.may_be_known(1));
        assert!(contents.wrote_past(1));
        assert!(!contents.may_be_known(1));
        assert!(!contents.wrote_past(1));
        // It may be open, so nothing is pushed.
        assert!(!contents.claim(1));
        contents.wrote(1);
        assert!(contents.wrote_past(1));

        let resumed = Contents::default();
        resumed.resume();
        assert!(resumed.wrote_past(1));
        assert!(!resumed.wrote_past(1));
    }

    #[test]
    fn who_changes_a_file_waits_for_its_push() {
        let contents = Contents::default();
        assert!(contents.claim(1));
        std::thread::scope(|scope| {
            scope.spawn(|| contents.release(1, true));
            contents.settle(1);
        });
        assert!(!contents.is_claimed(1));
        contents.settle(2);
    }
}
