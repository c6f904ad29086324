//! Files that were written, of which the kernel knows half.
//!
//! After a write the kernel doubts size and times of the file, and does not have what was written
//! past its pages, nor the rest of a page that was written in part: the next who reads the file
//! pays a GETATTR and a READ. What a tool keeps in its cache is read like that, file by file, by
//! the next run of the tool. So where many files are written, the walker has itself told what
//! became of all but the last of them, many at a time, and once nothing was written for a moment
//! it reads what the kernel lacks of them and has itself told of the rest. Where a program begins
//! to read them before that, it does without their contents.
//!
//! The contents come by READ, which holds the page from question to answer. What is pushed would
//! not: it could come after a write that the kernel has taken already, and put an older content
//! over it.

use std::collections::{BTreeMap, HashSet};
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
const FILE_BYTES_MAX: u64 = 1 << 20;
const BYTES_MAX: u64 = 32 << 20;

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
    /// Files of which it knows all but their ends.
    told: HashSet<u64>,
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
    /// To make these known, with or without their ends.
    Now { files: Vec<u64>, with_ends: bool },
}

impl Written {
    /// Somebody takes them from now on, or nobody any more.
    pub(super) fn want(&self, wanted: bool) {
        let mut state = self.lock();
        state.wanted = wanted;
        state.files.clear();
        state.told.clear();
    }

    /// A file was written. Returns whether those who wait for written files have to be told.
    pub(super) fn wrote(&self, id: u64) -> bool {
        let mut state = self.lock();
        if !state.wanted || state.files.len() + state.told.len() >= FILES_MAX {
            return false;
        }
        state.last = Some(Instant::now());
        state.questions = 0;
        self.has_files.store(true, Ordering::Relaxed);
        state.told.remove(&id);
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
        state.told.remove(&id);
        if !state.files.shift_remove(&id) {
            return false;
        }
        state.questions += 1;
        state.questions == QUESTIONS_MIN
    }

    /// The kernel has forgotten a file.
    pub(super) fn forgotten(&self, id: u64) {
        if self.has_files.load(Ordering::Relaxed) {
            let mut state = self.lock();
            state.told.remove(&id);
            state.files.shift_remove(&id);
        }
    }

    /// What is due at `now`.
    pub(super) fn due(&self, now: Instant) -> Due {
        if !self.has_files.load(Ordering::Relaxed) {
            return Due::Nothing;
        }
        let mut state = self.lock();
        if state.files.len() >= FILES_AT_A_TIME + FILES_LEFT {
            let files: Vec<u64> = state.files.drain(..FILES_AT_A_TIME).collect();
            state.told.extend(&files);
            return Due::Now {
                files,
                with_ends: false,
            };
        }
        let count = state.files.len() + state.told.len();
        let Some(last) = state.last.filter(|_| count >= FILES_MIN) else {
            return Due::Nothing;
        };
        if state.questions >= QUESTIONS_MIN {
            state.questions = 0;
            return Due::Now {
                files: state.files.drain(..).collect(),
                with_ends: false,
            };
        }
        let rest = QUIET.saturating_sub(now.saturating_duration_since(last));
        if !rest.is_zero() {
            return Due::In(rest);
        }
        self.has_files.store(false, Ordering::Relaxed);
        let mut files: Vec<u64> = state.files.drain(..).collect();
        files.extend(state.told.drain());
        Due::Now {
            files,
            with_ends: true,
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What makes files known that were written, with their ends where it is said of what the kernel
/// has contents.
pub(super) fn steps(vfs: &Vfs, root: u32, files: &[u64], contents: Option<&Contents>) -> Vec<Step> {
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
            let end = contents.and_then(|contents| {
                end(attributes.size, contents.may_be_known(id), &mut bytes_left)
            });
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
        let Due::Now { files, with_ends } = written.due(later) else {
            panic!("they are due");
        };
        assert_eq!((files.len(), with_ends), (FILES_MIN, true));
        assert_eq!(written.due(later), Due::Nothing);
    }

    #[test]
    fn of_many_all_but_the_last_are_made_known_while_others_are_written() {
        let before = Instant::now();
        let written = with_files(FILES_AT_A_TIME + FILES_LEFT - 1);
        assert_eq!(written.due(before), Due::In(QUIET));
        assert!(written.wrote(FILES_MAX as u64));
        let known: Vec<u64> = (0..FILES_AT_A_TIME as u64).collect();
        let due = Due::Now {
            files: known.clone(),
            with_ends: false,
        };
        assert_eq!(written.due(before), due);
        // One is written once more, and the end of another is read.
        written.wrote(known[0]);
        written.asked(known[1]);
        let Due::Now { files, with_ends } = written.due(Instant::now() + QUIET) else {
            panic!("they are due");
        };
        assert!(with_ends && !files.contains(&known[1]));
        assert_eq!(files.len(), FILES_AT_A_TIME + FILES_LEFT - 1);
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
        let Due::Now { files, with_ends } = written.due(Instant::now()) else {
            panic!("they are due");
        };
        assert_eq!((files.len(), with_ends), (FILES_MIN, false));
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
