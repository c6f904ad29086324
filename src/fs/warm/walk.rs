//! The process that asks for names in advance.
//!
//! ```text
//! standard input: words, each ended by NUL
//!     "w"                  several threads shall do what follows; comes first or not at all
//!     "d" path             the directory of what follows, below the mountpoint
//!     "c" offset " " count reads so many entries of it from this offset
//!     "n" name             one of them: asked for where nothing was shown
//!     "s" name             asked for
//!     "l"                  lists the directory to its end
//!     "o" offset, "e" name reads the file from this offset on
//!     "k" name             reads the symlink
//!     "v" device number, and for each directory "m" name that is moved away and "g" name that is
//!                          made, of which watchers shall be told
//!     "." number           what was given at a time ends
//! standard output: words, each ended by NUL
//!     "t" number           of a thread that takes part
//!     "." number           what was given is done
//! ```
//!
//! Where several threads ask, some of them ask while another waits for its answer, and a server
//! that is asked without a pause need not be woken: a replay takes half of the time, and three
//! quarters of the processor time, that it takes with one.

use std::fmt::Display;
use std::fs::File;
use std::io::{self, BufRead, BufReader, Stdin, Write};
use std::mem::MaybeUninit;
use std::os::fd::OwnedFd;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::process;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};
use std::thread;

use rustix::fs::{Advice, AtFlags, CWD, Mode, OFlags, RawDir, SeekFrom};

use super::shortage::is_memory_short;
use crate::fs::swap::Passage;

/// The first argument of a walker's process.
pub const WALK: &str = "walk";

/// Priority below that of the programs that wait for files.
const NICE: i32 = 10;

/// Times of steps between two looks at the memory.
const TIMES_BETWEEN_LOOKS: usize = 8;

/// Threads of a walker that does what it is given by several.
pub(super) const THREADS: usize = 3;

/// Room for the entries of a listing: as much as the kernel asks a file system for at a time.
const ENTRIES_BYTES: usize = 64 << 10;

/// What the walker is told, in its own words.
#[derive(Debug, Default)]
pub(super) struct Words(Vec<u8>);

impl Words {
    /// What a walker of several threads is told first.
    pub(super) const START: &[u8] = b"w\0";

    pub(super) fn directory(&mut self, path: &str) {
        self.word(b'd', path);
    }

    pub(super) fn selected(&mut self, offset: u64, names: &[&str]) {
        self.word(b'c', &format!("{offset} {}", names.len()));
        names.iter().for_each(|name| self.word(b'n', name));
    }

    pub(super) fn name(&mut self, name: &str) {
        self.word(b's', name);
    }

    pub(super) fn listing(&mut self) {
        self.word(b'l', "");
    }

    pub(super) fn end(&mut self, name: &str, offset: u64) {
        self.word(b'o', &offset.to_string());
        self.word(b'e', name);
    }

    pub(super) fn link(&mut self, name: &str) {
        self.word(b'k', name);
    }

    /// All that was said, which is given at a time and has this number.
    pub(super) fn done(mut self, number: u32) -> Vec<u8> {
        self.word(b'.', &number.to_string());
        self.0
    }

    fn word(&mut self, letter: u8, text: &str) {
        self.0.push(letter);
        self.0.extend_from_slice(text.as_bytes());
        self.0.push(0);
    }
}

/// Does the steps that come on standard input in the tree at `mountpoint`.
///
/// # Errors
/// When the steps cannot be read or nobody listens any more.
pub fn walk(mountpoint: &Path) -> io::Result<()> {
    rustix::process::nice(NICE)?;
    let mut input = BufReader::new(io::stdin());
    let is_team = input.fill_buf()?.starts_with(Words::START);
    if is_team {
        input.consume(Words::START.len());
    }
    let threads = if is_team { THREADS } else { 1 };
    let team = Team {
        mountpoint,
        input: Mutex::new(input),
        is_over: AtomicBool::new(false),
        done: AtomicUsize::new(0),
    };
    thread::scope(|scope| {
        // Nobody takes anything before all are there.
        let taking = team.input.lock();
        for _ in 1..threads {
            let begun = thread::Builder::new().spawn_scoped(scope, || team.work());
            begun.inspect_err(|_| team.is_over.store(true, Ordering::Relaxed))?;
        }
        drop(taking);
        team.work()
    })
}

/// What threads do together.
struct Team<'mount> {
    mountpoint: &'mount Path,
    input: Mutex<BufReader<Stdin>>,
    is_over: AtomicBool,
    done: AtomicUsize,
}

impl Team<'_> {
    /// Does what is given at a time, until no more is given.
    fn work(&self) -> io::Result<()> {
        let mut walker = Walker::at(self.mountpoint);
        let mut given = Vec::new();
        say('t', &rustix::thread::gettid())?;
        while self.take(&mut given)? {
            let words = given.split(|byte| *byte == 0);
            for (letter, text) in words.filter_map(<[u8]>::split_first) {
                let Ok(text) = std::str::from_utf8(text) else {
                    continue;
                };
                if *letter == b'.' {
                    let _ = walker.leave();
                    say('.', &text)?;
                    continue;
                }
                // What fails here fails for the program that touches it too, or never comes to it.
                let _ = walker.step(*letter, text);
            }
            let done = self.done.fetch_add(1, Ordering::Relaxed) + 1;
            if done.is_multiple_of(TIMES_BETWEEN_LOOKS) && is_memory_short() {
                process::exit(0);
            }
        }
        Ok(())
    }

    /// Takes what is given at one time. Returns whether there is something.
    fn take(&self, given: &mut Vec<u8>) -> io::Result<bool> {
        given.clear();
        let mut input = self.input.lock().unwrap_or_else(PoisonError::into_inner);
        if self.is_over.load(Ordering::Relaxed) {
            return Ok(false);
        }
        loop {
            let from = given.len();
            if input.read_until(0, given)? == 0 {
                return Ok(!given.is_empty());
            }
            if given[from] == b'.' {
                return Ok(true);
            }
        }
    }
}

fn say(letter: char, number: &impl Display) -> io::Result<()> {
    let mut output = io::stdout().lock();
    write!(output, "{letter}{number}\0")?;
    output.flush()
}

/// Where the walker is.
struct Walker<'mount> {
    mountpoint: &'mount Path,
    path: PathBuf,
    /// The directory, once something in it was wanted.
    directory: Option<OwnedFd>,
    /// Whether entries of it were read, of which the kernel makes a new access time.
    has_read: bool,
    /// Whether the names of a selection were shown.
    is_shown: bool,
    offset: u64,
    passage: Option<Passage<'mount>>,
    entries: Box<[MaybeUninit<u8>]>,
}

impl<'mount> Walker<'mount> {
    fn at(mountpoint: &'mount Path) -> Self {
        Self {
            mountpoint,
            path: mountpoint.to_owned(),
            directory: None,
            has_read: false,
            is_shown: false,
            offset: 0,
            passage: None,
            entries: vec![MaybeUninit::uninit(); ENTRIES_BYTES].into(),
        }
    }

    fn step(&mut self, letter: u8, text: &str) -> io::Result<()> {
        match letter {
            b'd' => {
                self.leave()?;
                self.path = match text {
                    "" => self.mountpoint.to_owned(),
                    text => self.mountpoint.join(text),
                };
            }
            b'c' => {
                self.is_shown = false;
                let (offset, count) = text.split_once(' ').unwrap_or_default();
                let from = offset.parse().unwrap_or_default();
                self.is_shown = self.read(from, count.parse().unwrap_or_default())? > 0;
            }
            b'n' if self.is_shown => {}
            b'n' | b's' => self.ask(text)?,
            b'l' => drop(self.read(0, usize::MAX)?),
            b'o' => self.offset = text.parse().unwrap_or_default(),
            b'e' => self.read_end(text)?,
            b'k' => drop(rustix::fs::readlinkat(self.directory()?, text, Vec::new())?),
            b'v' => self.passage = Passage::of(self.mountpoint, text),
            b'm' | b'g' => match &mut self.passage {
                Some(passage) if letter == b'm' => passage.pass(&self.path, text)?,
                Some(passage) => passage.come(&self.path, text)?,
                None => {}
            },
            _ => {}
        }
        Ok(())
    }

    fn directory(&mut self) -> io::Result<&OwnedFd> {
        let opened = match self.directory.take() {
            Some(opened) => opened,
            None => {
                let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
                rustix::fs::openat(CWD, &self.path, flags, Mode::empty())?
            }
        };
        Ok(self.directory.insert(opened))
    }

    /// Goes out of the directory. Reading entries makes the kernel doubt its access time
    /// (`fuse_invalidate_atime` in `fs/fuse/dir.c`): the next stat would cost a GETATTR.
    fn leave(&mut self) -> io::Result<()> {
        let left = self.directory.take();
        if let Some(left) = left.filter(|_| std::mem::take(&mut self.has_read)) {
            rustix::fs::fstat(left)?;
        }
        Ok(())
    }

    fn ask(&mut self, name: &str) -> io::Result<()> {
        rustix::fs::statat(self.directory()?, name, AtFlags::SYMLINK_NOFOLLOW)?;
        Ok(())
    }

    /// Reads so many entries from this offset on, or all where there are fewer. Returns how many
    /// there were.
    fn read(&mut self, from: u64, count: usize) -> io::Result<usize> {
        self.directory()?;
        let (Some(directory), entries) = (&self.directory, &mut self.entries) else {
            return Ok(0);
        };
        self.has_read = true;
        rustix::fs::seek(directory, SeekFrom::Start(from))?;
        let mut listing = RawDir::new(directory, entries);
        let mut shown = 0;
        while shown < count
            && let Some(entry) = listing.next()
        {
            entry?;
            shown += 1;
        }
        Ok(shown)
    }

    /// Makes the kernel read pages of a regular file.
    fn read_end(&mut self, name: &str) -> io::Result<()> {
        // What is no file by now must not make this wait.
        let flags = OFlags::RDONLY | OFlags::NONBLOCK | OFlags::CLOEXEC;
        let file = rustix::fs::openat(self.directory()?, name, flags, Mode::empty())?;
        rustix::fs::fadvise(&file, self.offset, None, Advice::WillNeed)?;
        File::from(file).read_exact_at(&mut [0], self.offset)
    }
}
