//! Files that were written, of which the kernel knows half.
//!
//! After a write the kernel doubts size and times of the file, and of a page that was written in
//! part it does not know the rest: the next who reads the file pays a GETATTR and a READ. What a
//! tool keeps in its cache is read like that, file by file, by the next run of the tool. So once
//! nothing was written for a moment, the walker reads the ends of such files and lists their
//! directories, which tells of all files at once. Where a program begins to read them before that,
//! the listings come at once.
//!
//! The contents come by READ, which holds the page from question to answer. What is pushed would
//! not: it could come after a write that the kernel has taken already, and put an older content
//! over it.

use std::collections::{BTreeMap, HashSet};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use super::plan::{LISTED_ENTRIES, Step, count_entries};
use crate::fs::attributes::Kind;
use crate::fs::node::Node;
use crate::fs::vfs::Vfs;

/// How long nothing must have been written.
const QUIET: Duration = Duration::from_millis(300);

/// Files below this number are not worth a walker.
const FILES_MIN: usize = 8;

/// Files that are remembered; what is written after them is not.
const FILES_MAX: usize = 8192;

/// Files that a program asked about, one after the other with no write between them, before it is
/// believed that it asks about all.
const QUESTIONS_MIN: usize = 4;

/// The usual page. Where pages are larger, a few more files end within one.
const PAGE_BYTES: u64 = 4096;

/// Ends of files that are read in one step.
const ENDS_PER_STEP: usize = 32;

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
    files: HashSet<u64>,
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
    /// To make these known. `is_urgent`: a program asks about them already.
    Now { files: Vec<u64>, is_urgent: bool },
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
        state.files.insert(id) && state.files.len() == FILES_MIN
    }

    /// A program has asked about a file, or its contents. Returns whether those who wait have to
    /// be told.
    pub(super) fn asked(&self, id: u64) -> bool {
        if !self.has_files.load(Ordering::Relaxed) {
            return false;
        }
        let mut state = self.lock();
        if !state.files.remove(&id) {
            return false;
        }
        state.questions += 1;
        state.questions == QUESTIONS_MIN
    }

    /// The kernel has forgotten a file.
    pub(super) fn forgotten(&self, id: u64) {
        if self.has_files.load(Ordering::Relaxed) {
            self.lock().files.remove(&id);
        }
    }

    /// What is due at `now`.
    pub(super) fn due(&self, now: Instant) -> Due {
        if !self.has_files.load(Ordering::Relaxed) {
            return Due::Nothing;
        }
        let mut state = self.lock();
        let (Some(last), true) = (state.last, state.files.len() >= FILES_MIN) else {
            return Due::Nothing;
        };
        let is_urgent = state.questions >= QUESTIONS_MIN;
        let rest = QUIET.saturating_sub(now.saturating_duration_since(last));
        if !is_urgent && !rest.is_zero() {
            return Due::In(rest);
        }
        state.questions = 0;
        self.has_files.store(false, Ordering::Relaxed);
        Due::Now {
            files: state.files.drain().collect(),
            is_urgent,
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What makes files known that were written.
pub(super) fn steps(vfs: &Vfs, root: u32, files: &[u64], is_urgent: bool) -> Vec<Step> {
    let mut directories = BTreeMap::<String, Vec<(Box<str>, u64)>>::new();
    let nodes = files.iter().filter_map(|id| Node::from_id(*id, root));
    for node in nodes {
        let path = vfs.path(node).and_then(|path| String::from_utf8(path).ok());
        let (Some(path), Ok(attributes)) = (path, vfs.attributes(node)) else {
            continue;
        };
        if attributes.kind == Kind::File {
            let (directory, name) = path.rsplit_once('/').unwrap_or(("", &path));
            let in_it = directories.entry(directory.to_owned()).or_default();
            in_it.push((name.into(), attributes.size));
        }
    }
    let mut steps = Vec::new();
    for (directory, files) in directories {
        // Who reads them already reads their ends as soon as the walker would.
        if !is_urgent {
            let ends: Vec<(Box<str>, u64)> = files
                .iter()
                .filter(|(_, size)| size % PAGE_BYTES != 0)
                .map(|(name, size)| (name.clone(), size - 1))
                .collect();
            steps.extend(ends.chunks(ENDS_PER_STEP).map(|ends| Step {
                directory: directory.clone(),
                ends: ends.to_vec(),
                ..Step::default()
            }));
        }
        let count = find(vfs, root, &directory)
            .and_then(|node| count_entries(vfs, node))
            .unwrap_or(0);
        let is_listed = files.len() > 1 && count <= LISTED_ENTRIES * files.len() as u32;
        steps.push(Step {
            // Reading a file outdates its access time, so they are asked about last; the kernel may
            // have a listing from before they were written.
            entries: if is_listed { count } else { 0 },
            names: files.into_iter().map(|(name, _)| name).collect(),
            directory,
            ..Step::default()
        });
    }
    steps
}

/// The directory at `path`, as it is shown now.
fn find(vfs: &Vfs, root: u32, path: &str) -> Option<Node> {
    let mut node = Node::Layer(root);
    for name in path.split('/').filter(|name| !name.is_empty()) {
        node = vfs.lookup(node, name.as_bytes()).ok()??.node;
    }
    Some(node)
}

#[cfg(test)]
mod tests {
    use super::*;

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
        let Due::Now { files, is_urgent } = written.due(later) else {
            panic!("they are due");
        };
        assert_eq!((files.len(), is_urgent), (FILES_MIN, false));
        assert_eq!(written.due(later), Due::Nothing);
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
        let Due::Now { files, is_urgent } = written.due(Instant::now()) else {
            panic!("they are due");
        };
        assert_eq!((files.len(), is_urgent), (FILES_MIN, true));
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
