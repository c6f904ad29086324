//! What programs touched for the first time, as the adapter sees it.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::time::Duration;

use rustix::io::Errno;
use rustix::process::{Pid, test_kill_process};

use super::contents::Contents;
use super::plan::Step;
use super::selection::Selections;
use super::stream::Streams;
use super::walk::THREADS;
use super::written::Written;
use crate::fs::swap::PASSING;

/// Touches that are kept until they are taken; what comes after them is not remembered.
const PENDING_MAX: usize = 40_000;

/// Longest name that is remembered, in bytes.
const NAME_BYTES_MAX: usize = 255;

/// One first touch. Ids are node ids of the mount.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Touch {
    /// A name was looked up: where, and whether it was found.
    Name {
        directory: u64,
        name: Box<str>,
        found: bool,
    },
    /// A directory was listed.
    Listed(u64),
    /// A file's contents or a symlink's target were read.
    Read(u64),
    /// Something was touched in advance that no profile has.
    Guessed(Box<Step>),
}

/// Files that were read and wait to be looked through.
const READS_MAX: usize = 1024;

#[derive(Default)]
struct Pending {
    touches: Vec<Touch>,
    ended: bool,
}

#[derive(Default)]
struct Reads {
    nodes: VecDeque<u64>,
    /// Whether somebody takes them.
    wanted: bool,
    /// Whether there is something else to do for those who take them.
    stirred: bool,
    ended: bool,
}

/// Collects touches from the threads that answer requests.
#[derive(Default)]
pub struct Touches {
    pending: Mutex<Pending>,
    changed: Condvar,
    reads: Mutex<Reads>,
    was_read: Condvar,
    /// Threads whose touches are the replay itself; 0: none.
    walkers: [AtomicU32; THREADS],
    /// Thread that touched something last; 0: none, or one that is known to have ended.
    asker: AtomicU32,
    /// Of which files the kernel may have contents.
    pub(in crate::fs) contents: Contents,
    /// Who reads whole directories.
    pub(in crate::fs) streams: Arc<Streams>,
    /// What the walker wants to be shown.
    pub(in crate::fs) selections: Arc<Selections>,
    /// What was written and not asked about since.
    pub(super) written: Written,
}

impl Touches {
    /// A name was looked up by the process `pid`.
    pub fn name(&self, pid: u32, directory: u64, name: &[u8], found: bool) {
        let Ok(name) = std::str::from_utf8(name) else {
            return;
        };
        // A name with control characters is nobody's file; it would break the profile's lines.
        let passes = name.as_bytes() == PASSING;
        if !passes && name.len() <= NAME_BYTES_MAX && !name.chars().any(char::is_control) {
            self.add(pid, || Touch::Name {
                directory,
                name: name.into(),
                found,
            });
        }
    }

    /// A directory was listed by the process `pid`, from its beginning.
    pub fn listed(&self, pid: u32, directory: u64) {
        self.add(pid, || Touch::Listed(directory));
    }

    /// A file or a symlink was read by the process `pid`. The kernel reads ahead as nobody: 0.
    pub fn read(&self, pid: u32, node: u64) {
        if !self.is_walker(pid) {
            self.streams.read(node);
            // Who reads everything follows no names in it, and needs no profile.
            if self.streams.is_on() {
                return;
            }
            self.add(pid, || Touch::Read(node));
            let mut reads = self.reads.lock().unwrap_or_else(PoisonError::into_inner);
            if reads.wanted && reads.nodes.len() < READS_MAX {
                reads.nodes.push_back(node);
                drop(reads);
                self.was_read.notify_one();
            }
        }
    }

    /// A file was written.
    pub fn wrote(&self, node: u64) {
        if self.written.wrote(node) {
            self.stir();
        }
    }

    /// The process `pid` has asked about a file, or for its contents.
    pub fn asked(&self, pid: u32, node: u64) {
        if !self.is_walker(pid) && self.written.asked(node) {
            self.stir();
        }
    }

    /// The kernel has forgotten a node.
    pub fn forgotten(&self, node: u64) {
        self.contents.forgotten(node);
        self.written.forgotten(node);
    }

    fn stir(&self) {
        let mut reads = self.reads.lock().unwrap_or_else(PoisonError::into_inner);
        reads.stirred = true;
        self.was_read.notify_one();
    }

    /// Whether the thread `pid` is one of the replay.
    pub fn is_walker(&self, pid: u32) -> bool {
        let mut walkers = self.walkers.iter();
        pid != 0 && walkers.any(|walker| walker.load(Ordering::Relaxed) == pid)
    }

    /// Takes what was read since the last time. Waits as long as `patience` says for something to
    /// do, and returns `None` when the end has come.
    pub(super) fn take_reads(&self, patience: Duration) -> Option<VecDeque<u64>> {
        let mut reads = self.reads.lock().unwrap_or_else(PoisonError::into_inner);
        reads.wanted = true;
        if !patience.is_zero() {
            reads = self
                .was_read
                .wait_timeout_while(reads, patience, |reads| {
                    reads.nodes.is_empty() && !reads.stirred && !reads.ended
                })
                .unwrap_or_else(PoisonError::into_inner)
                .0;
        }
        reads.stirred = false;
        (!reads.ended).then(|| std::mem::take(&mut reads.nodes))
    }

    /// Nobody takes reads any more.
    pub(super) fn end_reads(&self) {
        let mut reads = self.reads.lock().unwrap_or_else(PoisonError::into_inner);
        (reads.wanted, reads.ended) = (false, true);
        self.was_read.notify_all();
    }

    fn add(&self, pid: u32, touch: impl FnOnce() -> Touch) {
        if self.is_walker(pid) {
            return;
        }
        if pid != 0 {
            self.asker.store(pid, Ordering::Relaxed);
        }
        self.keep(touch);
    }

    /// Something is touched in advance that no profile has.
    pub(super) fn guessed(&self, step: &Step) {
        self.keep(|| Touch::Guessed(Box::new(step.clone())));
    }

    fn keep(&self, touch: impl FnOnce() -> Touch) {
        let mut pending = self.pending.lock().unwrap_or_else(PoisonError::into_inner);
        if pending.touches.len() >= PENDING_MAX || pending.ended {
            return;
        }
        pending.touches.push(touch());
        // Only a recorder that sleeps has to be told.
        if pending.touches.len() == 1 {
            self.changed.notify_one();
        }
    }

    /// Whether who touched something last has ended since: said until [`Touches::forget_asker`].
    pub(super) fn asker_has_ended(&self) -> bool {
        let asker = i32::try_from(self.asker.load(Ordering::Relaxed)).ok();
        asker
            .and_then(Pid::from_raw)
            .is_some_and(|asker| test_kill_process(asker) == Err(Errno::SRCH))
    }

    /// Nobody has touched anything.
    pub(super) fn forget_asker(&self) {
        self.asker.store(0, Ordering::Relaxed);
    }

    /// What this thread touches is the replay.
    pub(super) fn add_walker(&self, thread: u32) {
        let free = |walker: &&AtomicU32| walker.load(Ordering::Relaxed) == 0;
        if let Some(walker) = self.walkers.iter().find(free) {
            walker.store(thread, Ordering::Relaxed);
        }
    }

    /// Nobody replays any more.
    pub(super) fn forget_walkers(&self) {
        for walker in &self.walkers {
            walker.store(0, Ordering::Relaxed);
        }
    }

    /// Nothing more is wanted.
    pub(super) fn end(&self) {
        let mut pending = self.pending.lock().unwrap_or_else(PoisonError::into_inner);
        pending.ended = true;
        self.changed.notify_all();
    }

    /// Whether nothing is noted any more.
    pub(super) fn has_ended(&self) -> bool {
        let pending = self.pending.lock().unwrap_or_else(PoisonError::into_inner);
        pending.ended
    }

    /// Waits for touches, then until there was none for `quiet`, and takes them. `None` when the
    /// end has come and nothing is left.
    pub(super) fn take(&self, quiet: Duration) -> Option<Vec<Touch>> {
        let mut pending = self.pending.lock().unwrap_or_else(PoisonError::into_inner);
        while pending.touches.is_empty() {
            if pending.ended {
                return None;
            }
            pending = self
                .changed
                .wait(pending)
                .unwrap_or_else(PoisonError::into_inner);
        }
        let mut before = 0;
        while !pending.ended && pending.touches.len() > before {
            before = pending.touches.len();
            pending = self
                .changed
                .wait_timeout_while(pending, quiet, |pending| !pending.ended)
                .unwrap_or_else(PoisonError::into_inner)
                .0;
        }
        Some(std::mem::take(&mut pending.touches))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_replay_and_unspeakable_names_are_not_remembered() {
        let touches = Touches::default();
        touches.add_walker(7);
        touches.add_walker(9);
        touches.name(7, 1, b"a", false);
        touches.listed(7, 1);
        touches.read(9, 2);
        touches.name(8, 1, b"a\nb", false);
        touches.name(8, 1, b"\xff", false);
        touches.name(8, 1, &[b'x'; 256], false);
        touches.read(8, 3);
        touches.end();
        assert_eq!(touches.take(Duration::ZERO), Some(vec![Touch::Read(3)]));
        assert_eq!(touches.take(Duration::ZERO), None);
    }

    #[test]
    fn it_is_known_whether_who_asked_last_has_ended() {
        let touches = Touches::default();
        assert!(!touches.asker_has_ended());
        touches.read(std::process::id(), 1);
        assert!(!touches.asker_has_ended());
        let mut child = std::process::Command::new("true").spawn().unwrap();
        touches.read(child.id(), 2);
        child.wait().unwrap();
        touches.read(0, 3);
        assert!(touches.asker_has_ended());
        touches.forget_asker();
        assert!(!touches.asker_has_ended());
    }

    #[test]
    fn there_is_a_limit() {
        let touches = Touches::default();
        for id in 0..PENDING_MAX as u64 + 10 {
            touches.read(1, id);
        }
        assert_eq!(touches.take(Duration::ZERO).unwrap().len(), PENDING_MAX);
    }
}
