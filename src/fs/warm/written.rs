//! Files that were written, of which the kernel knows half.
//!
//! After a write the kernel doubts size and times of the file, and does not have what was written
//! past its pages, nor the rest of a page that was written in part: the next who reads the file
//! pays a GETATTR and a READ. What a tool keeps in its cache is read like that, file by file, by
//! the next run of the tool. So where many files are written, the walker reads what the kernel
//! lacks of all but the last of them, many at a time, and has itself told what became of them; of
//! the rest once nothing was written for a moment, or a program begins to read them.
//!
//! The contents come by READ, which holds the page from question to answer. What is pushed would
//! not: it could come after a write that the kernel has taken already, and put an older content
//! over it.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use indexmap::IndexSet;

use super::contents::Contents;
use super::plan::Step;
use crate::fs::attributes::Kind;
use crate::fs::node::Node;
use crate::fs::vfs::Vfs;

/// How long nothing must have been written.
const QUIET: Duration = Duration::from_millis(300);

/// Files below this number are not worth a walker.
const FILES_MIN: usize = 8;

/// Files that are made known at a time while others are written.
const FILES_AT_A_TIME: usize = 128;

/// Files that were written last, which may be written again: they are left alone meanwhile.
const FILES_LEFT: usize = 16;

/// Files that are remembered; what is written after them is not.
const FILES_MAX: usize = 8192;

/// Files that a program asked about, one after the other with no write between them, before it is
/// believed that it asks about all.
const QUESTIONS_MIN: usize = 4;

/// The usual page. Where pages are larger, a few more files end within one.
const PAGE_BYTES: u64 = 4096;

/// Ends of files that are read in one step.
const ENDS_PER_STEP: usize = 32;

/// Largest file that is read from its beginning, and bytes of such that are read at a time: what is
/// larger may be read by nobody, and takes memory that it has taken once already.
const FILE_BYTES_MAX: u64 = 256 << 10;
const BYTES_MAX: u64 = 8 << 20;

/// Files that were written since somebody last asked about them. Ids are node ids of the mount.
#[derive(Default)]
pub(super) struct Written {
    state: Mutex<State>,
    /// Whether there may be any.
    has_files: AtomicBool,
}

#[derive(Default)]
struct State {
    /// Whether somebody takes them.
    wanted: bool,
    /// Files of which the kernel knows nothing new, in the order of their first write.
    files: IndexSet<u64>,
    last: Option<Instant>,
    questions: usize,
}

/// What is to be done about written files.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Due {
    /// Nothing, until another is written.
    Nothing,
    /// Nothing before this time has gone by.
    In(Duration),
    /// To make these known.
    Now(Vec<u64>),
}

impl Written {
    /// Somebody takes them from now on, or nobody any more.
    pub(super) fn want(&self, wanted: bool) {
        let mut state = self.lock();
        state.wanted = wanted;
        state.files.clear();
    }

    /// A file was written. Returns whether those who wait for written files have to be told.
    pub(super) fn wrote(&self, id: u64) -> bool {
        let mut state = self.lock();
        if !state.wanted || state.files.len() >= FILES_MAX {
            return false;
        }
        state.last = Some(Instant::now());
        state.questions = 0;
        self.has_files.store(true, Ordering::Relaxed);
        let count = state.files.len() + 1;
        state.files.insert(id) && (count == FILES_MIN || count == FILES_AT_A_TIME + FILES_LEFT)
    }

    /// A program has asked about a file, or its contents. Returns whether those who wait have to
    /// be told.
    pub(super) fn asked(&self, id: u64) -> bool {
        if !self.has_files.load(Ordering::Relaxed) {
            return false;
        }
        let mut state = self.lock();
        if !state.files.shift_remove(&id) {
            return false;
        }
        state.questions += 1;
        state.questions == QUESTIONS_MIN
    }

    /// The kernel has forgotten a file.
    pub(super) fn forgotten(&self, id: u64) {
        if self.has_files.load(Ordering::Relaxed) {
            self.lock().files.shift_remove(&id);
        }
    }

    /// What is due at `now`.
    pub(super) fn due(&self, now: Instant) -> Due {
        if !self.has_files.load(Ordering::Relaxed) {
            return Due::Nothing;
        }
        let mut state = self.lock();
        if state.files.len() >= FILES_AT_A_TIME + FILES_LEFT {
            return Due::Now(state.files.drain(..FILES_AT_A_TIME).collect());
        }
        let is_worth_it = state.files.len() >= FILES_MIN;
        let Some(last) = state.last.filter(|_| is_worth_it) else {
            return Due::Nothing;
        };
        if state.questions >= QUESTIONS_MIN {
            state.questions = 0;
            return Due::Now(state.files.drain(..).collect());
        }
        let rest = QUIET.saturating_sub(now.saturating_duration_since(last));
        if !rest.is_zero() {
            return Due::In(rest);
        }
        self.has_files.store(false, Ordering::Relaxed);
        Due::Now(state.files.drain(..).collect())
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What makes files known that were written, where the kernel has these contents.
pub(super) fn steps(vfs: &Vfs, root: u32, files: &[u64], contents: &Contents) -> Vec<Step> {
    let mut bytes_left = BYTES_MAX;
    let mut directories = BTreeMap::<String, Vec<(Box<str>, Option<u64>)>>::new();
    let nodes = files
        .iter()
        .filter_map(|id| Some((*id, Node::from_id(*id, root)?)));
    for (id, node) in nodes {
        let path = vfs.path(node).and_then(|path| String::from_utf8(path).ok());
        let (Some(path), Ok(attributes)) = (path, vfs.attributes(node)) else {
            continue;
        };
        if attributes.kind == Kind::File {
            let (directory, name) = path.rsplit_once('/').unwrap_or(("", &path));
            let in_it = directories.entry(directory.to_owned()).or_default();
            let is_known = contents.may_be_known(id);
            let end = end(attributes.size, is_known, &mut bytes_left);
            in_it.push((name.into(), end));
        }
    }
    let mut steps = Vec::new();
    for (directory, files) in directories {
        let ends = files.iter();
        let ends: Vec<(Box<str>, u64)> = ends
            .filter_map(|(name, end)| Some((name.clone(), (*end)?)))
            .collect();
        steps.extend(ends.chunks(ENDS_PER_STEP).map(|ends| Step {
            directory: directory.clone(),
            ends: ends.to_vec(),
            ..Step::default()
        }));
        steps.push(Step {
            renewed: files.into_iter().map(|(name, _)| name).collect(),
            directory,
            ..Step::default()
        });
    }
    steps
}

/// From where on a file of `size` bytes is read, if it is: of what the kernel has it lacks at most
/// the last page.
fn end(size: u64, is_known: bool, bytes_left: &mut u64) -> Option<u64> {
    if is_known {
        return (!size.is_multiple_of(PAGE_BYTES)).then(|| size - 1);
    }
    let fits = (1..=FILE_BYTES_MAX.min(*bytes_left)).contains(&size);
    fits.then(|| {
        *bytes_left -= size;
        0
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn of_what_the_kernel_has_the_last_page_is_read_and_all_of_what_is_not_too_large() {
        let mut left = PAGE_BYTES + 2;
        assert_eq!(end(0, true, &mut left), None);
        assert_eq!(end(PAGE_BYTES, true, &mut left), None);
        assert_eq!(end(PAGE_BYTES + 2, true, &mut left), Some(PAGE_BYTES + 1));
        assert_eq!(end(0, false, &mut left), None);
        assert_eq!(end(PAGE_BYTES, false, &mut left), Some(0));
        assert_eq!(end(3, false, &mut left), None);
        assert_eq!(end(2, false, &mut left), Some(0));
        assert_eq!(end(FILE_BYTES_MAX + 1, false, &mut { BYTES_MAX }), None);
    }

    fn with_files(count: usize) -> Written {
        let written = Written::default();
        written.want(true);
        for id in 0..count as u64 {
            assert_eq!(written.wrote(id), id + 1 == FILES_MIN as u64);
        }
        written
    }

    #[test]
    fn written_files_are_due_once_nothing_was_written_for_a_moment() {
        let before = Instant::now();
        let written = with_files(FILES_MIN);
        let later = Instant::now() + QUIET;
        assert_eq!(written.due(before), Due::In(QUIET));
        assert_eq!(
            written.due(later),
            Due::Now((0..FILES_MIN as u64).collect())
        );
        assert_eq!(written.due(later), Due::Nothing);
    }

    #[test]
    fn of_many_all_but_the_last_are_made_known_while_others_are_written() {
        let before = Instant::now();
        let written = with_files(FILES_AT_A_TIME + FILES_LEFT - 1);
        assert_eq!(written.due(before), Due::In(QUIET));
        assert!(written.wrote(FILES_MAX as u64));
        let known: Vec<u64> = (0..FILES_AT_A_TIME as u64).collect();
        assert_eq!(written.due(before), Due::Now(known.clone()));
        // One is written once more.
        written.wrote(known[0]);
        let Due::Now(files) = written.due(Instant::now() + QUIET) else {
            panic!("they are due");
        };
        assert!(files.contains(&known[0]) && !files.contains(&known[1]));
        assert_eq!(files.len(), FILES_LEFT + 1);
    }

    #[test]
    fn who_writes_and_looks_at_it_goes_through_nothing() {
        let before = Instant::now();
        let written = with_files(FILES_MIN + 2 * QUESTIONS_MIN);
        for id in 0..QUESTIONS_MIN as u64 - 1 {
            assert!(!written.asked(id));
        }
        written.wrote(100);
        assert_eq!(written.due(before), Due::In(QUIET));
        let mut asked = (0..).skip(QUESTIONS_MIN).take(QUESTIONS_MIN);
        assert!(asked.any(|id| written.asked(id)));
        written.wrote(101);
        assert_eq!(written.due(before), Due::In(QUIET));
    }

    #[test]
    fn those_who_ask_need_not_wait() {
        let written = with_files(FILES_MIN + QUESTIONS_MIN);
        let told = (0..QUESTIONS_MIN as u64).filter(|id| written.asked(*id));
        assert_eq!(told.count(), 1);
        let Due::Now(files) = written.due(Instant::now()) else {
            panic!("they are due");
        };
        assert_eq!(files.len(), FILES_MIN);
    }

    #[test]
    fn few_files_and_those_that_nobody_takes_are_left_alone() {
        let written = with_files(FILES_MIN - 1);
        let later = Instant::now() + QUIET;
        assert_eq!(written.due(later), Due::Nothing);
        written.wrote(100);
        written.forgotten(100);
        assert_eq!(written.due(later), Due::Nothing);
        written.want(false);
        for id in 0..=FILES_MIN as u64 {
            assert!(!written.wrote(id));
        }
        assert_eq!(written.due(later), Due::Nothing);
    }
}
