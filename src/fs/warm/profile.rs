//! A profile: what the runs of a project touched, as text that people can read and commit.
//!
//! ```text
//! pacquet-profile 1
//! runs 12                          runs that it was made from
//! d node_modules-relative path     the directory that the following names are in; "." is the root
//! D                                it was listed
//! f name                           the name was found
//! r name                           and read (a file's contents, a symlink's target)
//! m name                           the name is missing
//! ```
//!
//! A digit after the letter says how often in a row a run did without it. What was touched in
//! advance on a guess has one less than would drop it: no program needs to ask for it, so it is not
//! known whether it is wanted until it is left out once. Lines are in the order of the first touch.
//! On disk it is compressed with gzip; both forms are read.

use std::collections::HashSet;
use std::fs::{self, File};
use std::io::{self, Read, Write};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

use flate2::Compression;
use flate2::read::GzDecoder;
use flate2::write::GzEncoder;
use indexmap::IndexMap;

use crate::diagnostic::Diagnostic;

const FIRST_LINE: &str = "pacquet-profile 1";

/// Touches that a profile holds.
pub(super) const TOUCHES_MAX: usize = 20_000;

/// Listings among them. Who lists more goes through the whole tree, which needs no profile.
const LISTINGS_MAX: usize = 2_000;

/// Largest profile that is read, in bytes of text.
const TEXT_BYTES_MAX: u64 = 16 << 20;

/// A touch that this many runs did without is dropped.
const STRIKES_MAX: u8 = 3;

/// One touch in this many is left out of a replay, to see whether programs still make it.
const SAMPLE: u32 = 32;

/// Why a profile could not be read or written.
#[derive(Debug, thiserror::Error)]
pub enum ProfileError {
    /// The file is not a profile.
    #[error("{} is not a profile: line {line}", path.display())]
    Format {
        /// The file.
        path: PathBuf,
        /// The line, from 1.
        line: usize,
    },
    /// The file cannot be read or written.
    #[error("cannot access the profile at {}", path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// What the system said.
        #[source]
        source: io::Error,
    },
}

impl Diagnostic for ProfileError {
    fn code(&self) -> &'static str {
        match self {
            Self::Format { .. } => "ERR_PACQUET_PROFILE_FORMAT",
            Self::Io { .. } => "ERR_PACQUET_PROFILE_IO",
        }
    }

    fn hint(&self) -> Option<String> {
        match self {
            Self::Format { .. } => {
                Some("Write one with \"pacquet profile export <file>\"".to_owned())
            }
            Self::Io { .. } => None,
        }
    }
}

/// What is known of one name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Use {
    pub(super) kind: UseKind,
    /// Runs in a row that did without it.
    pub(super) strikes: u8,
}

/// How a name was used.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum UseKind {
    /// It is missing.
    Missing,
    /// It was found.
    Found,
    /// It was found and read.
    Read,
}

/// What is known of one directory.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct DirectoryUse {
    /// Whether it was listed.
    pub(super) listed: bool,
    pub(super) names: IndexMap<Box<str>, Use>,
}

/// What runs touched, in the order of the first touch.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Profile {
    /// By path relative to `node_modules`; the root is empty.
    pub(super) directories: IndexMap<Box<str>, DirectoryUse>,
    /// Runs that it was made from. Decides what the next replay leaves out.
    pub(super) runs: u32,
    touches: usize,
    listings: usize,
}

impl Profile {
    /// Number of touches in it.
    pub fn len(&self) -> usize {
        self.touches
    }

    /// Whether nothing was touched.
    pub fn is_empty(&self) -> bool {
        self.touches == 0
    }

    /// Remembers that `directory` was listed.
    pub(super) fn listed(&mut self, directory: &str) {
        if self.touches < TOUCHES_MAX
            && self.listings < LISTINGS_MAX
            && !std::mem::replace(&mut self.directory(directory).listed, true)
        {
            self.touches += 1;
            self.listings += 1;
        }
    }

    /// Remembers the use of a name. A name that was read stays read.
    pub(super) fn used(&mut self, directory: &str, name: &str, kind: UseKind) {
        let full = self.touches >= TOUCHES_MAX;
        let names = &mut self.directory(directory).names;
        if let Some(known) = names.get_mut(name) {
            known.strikes = 0;
            if !(known.kind == UseKind::Read && kind == UseKind::Found) {
                known.kind = kind;
            }
        } else if !full {
            names.insert(name.into(), Use { kind, strikes: 0 });
            self.touches += 1;
        }
    }

    /// Remembers that a name was touched in advance because a program may want it. Names come from
    /// what files say: one that cannot be in a tree is not remembered.
    pub(super) fn guessed(&mut self, directory: &str, name: &str, kind: UseKind) {
        let is_path = directory.is_empty() || directory_path(directory).is_some();
        if !is_path || !is_name(name) {
            return;
        }
        let full = self.touches >= TOUCHES_MAX;
        let names = &mut self.directory(directory).names;
        if let Some(known) = names.get_mut(name) {
            if known.strikes > 0 && known.kind == UseKind::Found {
                known.kind = kind;
            }
        } else if !full {
            let strikes = STRIKES_MAX - 1;
            names.insert(name.into(), Use { kind, strikes });
            self.touches += 1;
        }
    }

    fn directory(&mut self, path: &str) -> &mut DirectoryUse {
        if !self.directories.contains_key(path) {
            self.directories
                .insert(path.into(), DirectoryUse::default());
        }
        &mut self.directories[path]
    }

    /// Whether a replay leaves this name out, so that it is seen whether it is still used.
    /// Which names are left out changes with `round`.
    pub(super) fn is_sampled(directory: &str, name: &str, round: u32) -> bool {
        // FNV-1a: spread evenly, and the same in every build.
        let mut hash = 0x811c_9dc5_u32;
        for byte in directory.bytes().chain([b'/']).chain(name.bytes()) {
            hash = (hash ^ u32::from(byte)).wrapping_mul(0x0100_0193);
        }
        (hash >> 8) % SAMPLE == round % SAMPLE
    }

    /// Which of the directories has the file at `path`, if that is read.
    pub(super) fn has_read(&self, path: &str) -> Option<usize> {
        let (directory, name) = path.rsplit_once('/').unwrap_or(("", path));
        let (index, _, directory) = self.directories.get_full(directory)?;
        let known = directory.names.get(name)?;
        (known.kind == UseKind::Read).then_some(index)
    }

    /// Takes over what a run touched. Where there is no room for it, names go that it did without:
    /// first those that others did without too, and of those the ones that are touched last.
    pub(super) fn add(&mut self, run: &Self) {
        let mut new = run.touches;
        let mut others = Vec::new();
        for (path, directory) in &self.directories {
            let run = run.directories.get(path);
            new -= usize::from(directory.listed && run.is_some_and(|run| run.listed));
            for (name, known) in &directory.names {
                if run.is_some_and(|run| run.names.contains_key(name)) {
                    new -= 1;
                } else {
                    others.push((known.strikes, others.len()));
                }
            }
        }
        let excess = (self.touches + new).saturating_sub(TOUCHES_MAX);
        if excess > 0 {
            others.sort_unstable_by(|one, other| other.cmp(one));
            others.truncate(excess);
            self.drop_others(run, &others.iter().map(|(_, number)| *number).collect());
        }
        for (path, directory) in &run.directories {
            if directory.listed {
                self.listed(path);
            }
            for (name, seen) in &directory.names {
                match seen.strikes {
                    0 => self.used(path, name, seen.kind),
                    _ => self.guessed(path, name, seen.kind),
                }
            }
        }
    }

    /// Drops names that `run` did without, by their numbers among those.
    fn drop_others(&mut self, run: &Self, dropped: &HashSet<usize>) {
        let mut number = 0;
        for (path, directory) in &mut self.directories {
            let run = run.directories.get(path);
            directory.names.retain(|name, _| {
                if run.is_some_and(|run| run.names.contains_key(name)) {
                    return true;
                }
                number += 1;
                !dropped.contains(&(number - 1))
            });
        }
        self.count();
    }

    /// A run is over. Names that were left out of its replay (`round`) and that it did without come
    /// nearer to being dropped, unless the run was not like the ones before: then it says nothing
    /// about them. It says nothing either about those that it guessed.
    pub(super) fn judge(&mut self, run: &Self, round: u32) {
        self.runs = self.runs.wrapping_add(1);
        let was_used = |path: &str, name: &str| {
            let directory = run.directories.get(path);
            let seen = directory.and_then(|directory| directory.names.get(name));
            match seen.map(|seen| seen.strikes) {
                Some(0) => Some(true),
                Some(_) => None,
                None => Some(false),
            }
        };
        let (mut left_out, mut used) = (0, 0);
        for (path, directory) in &self.directories {
            for name in directory.names.keys() {
                if Self::is_sampled(path, name, round)
                    && let Some(was_used) = was_used(path, name)
                {
                    left_out += 1;
                    used += usize::from(was_used);
                }
            }
        }
        if used * 2 < left_out {
            return;
        }
        for (path, directory) in &mut self.directories {
            directory.names.retain(|name, known| {
                if Self::is_sampled(path, name, round) && was_used(path, name) == Some(false) {
                    known.strikes += 1;
                }
                known.strikes < STRIKES_MAX
            });
        }
        self.count();
    }

    fn count(&mut self) {
        self.directories
            .retain(|_, directory| directory.listed || !directory.names.is_empty());
        let directories = self.directories.values();
        let names: usize = directories
            .clone()
            .map(|directory| directory.names.len())
            .sum();
        self.listings = directories.filter(|directory| directory.listed).count();
        self.touches = names + self.listings;
    }

    /// As text.
    pub fn to_text(&self) -> String {
        let mut text = format!("{FIRST_LINE}\nruns {}\n", self.runs);
        for (path, directory) in &self.directories {
            let path = if path.is_empty() { "." } else { path };
            text.push_str(&format!("d {path}\n"));
            if directory.listed {
                text.push_str("D\n");
            }
            for (name, known) in &directory.names {
                let letter = match known.kind {
                    UseKind::Missing => 'm',
                    UseKind::Found => 'f',
                    UseKind::Read => 'r',
                };
                match known.strikes {
                    0 => text.push_str(&format!("{letter} {name}\n")),
                    strikes => text.push_str(&format!("{letter}{strikes} {name}\n")),
                }
            }
        }
        text
    }

    /// Reads text that [`Self::to_text`] wrote; otherwise the number of the line that is wrong.
    ///
    /// # Errors
    /// When a line is not one of a profile, or names something that cannot be in a tree.
    pub fn from_text(text: &str) -> Result<Self, usize> {
        let mut lines = text.lines().enumerate();
        if lines.next().is_none_or(|(_, line)| line != FIRST_LINE) {
            return Err(1);
        }
        let mut profile = Self::default();
        let mut current: Option<Box<str>> = None;
        for (index, line) in lines {
            let wrong = index + 1;
            let (letters, rest) = line.split_once(' ').unwrap_or((line, ""));
            match (letters.as_bytes(), &current) {
                (b"runs", None) => profile.runs = rest.parse().map_err(|_| wrong)?,
                (b"d", _) => current = Some(directory_path(rest).ok_or(wrong)?),
                (b"D", Some(path)) if rest.is_empty() => profile.listed(&path.clone()),
                ([letter, digits @ ..], Some(path)) => {
                    let kind = match letter {
                        b'm' => UseKind::Missing,
                        b'f' => UseKind::Found,
                        b'r' => UseKind::Read,
                        _ => return Err(wrong),
                    };
                    let strikes = match digits {
                        [] => 0,
                        [digit @ b'1'..=b'9'] => digit - b'0',
                        _ => return Err(wrong),
                    };
                    if !is_name(rest) {
                        return Err(wrong);
                    }
                    let path = path.clone();
                    profile.used(&path, rest, kind);
                    if let Some(known) = profile.directory(&path).names.get_mut(rest) {
                        known.strikes = strikes.min(STRIKES_MAX - 1);
                    }
                }
                _ => return Err(wrong),
            }
        }
        Ok(profile)
    }

    /// Reads the profile at `path`, compressed or not.
    ///
    /// # Errors
    /// When it cannot be read or is none.
    pub fn load(path: &Path) -> Result<Self, ProfileError> {
        let failed = |source| ProfileError::Io {
            path: path.to_owned(),
            source,
        };
        let mut bytes = Vec::new();
        let file = File::open(path).map_err(failed)?;
        file.take(TEXT_BYTES_MAX)
            .read_to_end(&mut bytes)
            .map_err(failed)?;
        if bytes.starts_with(&[0x1f, 0x8b]) {
            let mut text = Vec::new();
            GzDecoder::new(&bytes[..])
                .take(TEXT_BYTES_MAX)
                .read_to_end(&mut text)
                .map_err(failed)?;
            bytes = text;
        }
        let text = std::str::from_utf8(&bytes).map_err(|_| ProfileError::Format {
            path: path.to_owned(),
            line: 1,
        })?;
        Self::from_text(text).map_err(|line| ProfileError::Format {
            path: path.to_owned(),
            line,
        })
    }

    /// Saves it at `path`, compressed: written beside it, then renamed.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn save(&self, path: &Path) -> Result<(), ProfileError> {
        self.save_all(&[path])
    }

    /// Saves it at each of `paths`, as [`Self::save`] does.
    ///
    /// # Errors
    /// When it cannot be written.
    pub(super) fn save_all(&self, paths: &[&Path]) -> Result<(), ProfileError> {
        let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
        let compressed = encoder
            .write_all(self.to_text().as_bytes())
            .and_then(|()| encoder.finish());
        for path in paths {
            let failed = |source| ProfileError::Io {
                path: (*path).to_owned(),
                source,
            };
            let bytes = compressed.as_deref();
            bytes
                .map_err(|error| io::Error::other(error.to_string()))
                .and_then(|bytes| write_beside(path, bytes))
                .map_err(failed)?;
        }
        Ok(())
    }
}

/// Writes `bytes` beside `path`, and puts them there when they are whole.
fn write_beside(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let mut temporary = path.as_os_str().to_owned();
    temporary.push(format!(".{}.tmp", std::process::id()));
    let temporary = PathBuf::from(temporary);
    let mut options = File::options();
    options.create(true).write(true).truncate(true);
    let written = options
        .mode(0o644)
        .open(&temporary)
        .and_then(|mut file| file.write_all(bytes))
        .and_then(|()| fs::rename(&temporary, path));
    if written.is_err() {
        let _ = fs::remove_file(&temporary);
    }
    written
}

fn is_name(name: &str) -> bool {
    !matches!(name, "" | "." | "..")
        && name.len() <= crate::limits::NAME_BYTES_MAX
        && !name.chars().any(|c| c == '/' || c.is_control())
}

/// The path of a `d` line: relative, of names alone.
fn directory_path(path: &str) -> Option<Box<str>> {
    if path == "." {
        return Some("".into());
    }
    let is_path = path.len() <= crate::limits::PATH_BYTES_MAX && path.split('/').all(is_name);
    is_path.then(|| path.into())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn profile(uses: &[(&str, &str, UseKind)]) -> Profile {
        let mut profile = Profile::default();
        for (directory, name, kind) in uses {
            profile.used(directory, name, *kind);
        }
        profile
    }

    #[test]
    fn text_comes_back() {
        let mut whole = profile(&[
            ("", "a b", UseKind::Found),
            (".pnpm/x@1.0.0/node_modules/x", "index.js", UseKind::Read),
            ("", "none", UseKind::Missing),
        ]);
        whole.listed(".pnpm");
        assert_eq!(Profile::from_text(&whole.to_text()), Ok(whole.clone()));
        let place = tempfile::tempdir().unwrap();
        let path = place.path().join("p");
        whole.save(&path).unwrap();
        assert_eq!(Profile::load(&path).unwrap(), whole);
        fs::write(&path, whole.to_text()).unwrap();
        assert_eq!(Profile::load(&path).unwrap(), whole);
    }

    #[test]
    fn what_is_no_profile_is_refused_with_its_line() {
        for (text, line) in [
            ("", 1),
            ("pacquet-profile 2\n", 1),
            ("pacquet-profile 1\nf a\n", 2),
            ("pacquet-profile 1\nd ../x\n", 2),
            ("pacquet-profile 1\nd /x\n", 2),
            ("pacquet-profile 1\nd a//b\n", 2),
            ("pacquet-profile 1\nd .\nf a/b\n", 3),
            ("pacquet-profile 1\nd .\nf ..\n", 3),
            ("pacquet-profile 1\nd .\nz a\n", 3),
            ("pacquet-profile 1\nd .\nf77 a\n", 3),
            ("pacquet-profile 1\nd .\nD x\n", 3),
        ] {
            assert_eq!(Profile::from_text(text), Err(line), "{text:?}");
        }
    }

    #[test]
    fn what_runs_do_without_is_dropped_after_some() {
        let names: Vec<String> = (0..2000).map(|number| format!("n{number}")).collect();
        let mut known = Profile::default();
        let mut run = Profile::default();
        for (index, name) in names.iter().enumerate() {
            known.used("", name, UseKind::Found);
            if index % 4 != 0 {
                run.used("", name, UseKind::Found);
            }
        }
        for round in 0..SAMPLE * u32::from(STRIKES_MAX) {
            known.add(&run);
            known.judge(&run, round);
        }
        assert_eq!(known.len(), run.len());
    }

    #[test]
    fn what_was_guessed_is_kept_until_a_run_does_without() {
        let names: Vec<String> = (0..640).map(|number| format!("n{number}")).collect();
        let (mut first, mut next) = (Profile::default(), Profile::default());
        for (index, name) in names.iter().enumerate() {
            first.guessed("", name, UseKind::Found);
            first.guessed("", name, UseKind::Read);
            match index % 4 {
                0 => {}
                1 => next.guessed("", name, UseKind::Read),
                _ => next.used("", name, UseKind::Found),
            }
        }
        let mut known = Profile::default();
        known.add(&first);
        known.judge(&first, 0);
        assert_eq!(known.len(), names.len());
        for round in 0..SAMPLE {
            known.add(&next);
            known.judge(&next, round);
        }
        assert_eq!(known.len(), names.len() * 3 / 4);
        let strikes = |name: &str| known.directories[""].names[name].strikes;
        assert_eq!((strikes("n1"), strikes("n2")), (STRIKES_MAX - 1, 0));
        assert_eq!(known.directories[""].names["n2"].kind, UseKind::Read);
    }

    #[test]
    fn guesses_that_are_no_names_are_not_remembered() {
        let mut known = Profile::default();
        for (directory, name) in [
            ("a/", "b"),
            ("a", "b/c"),
            ("a", "b\nc"),
            ("..", "b"),
            ("a", ""),
        ] {
            known.guessed(directory, name, UseKind::Missing);
        }
        assert!(known.is_empty());
        assert_eq!(Profile::from_text(&known.to_text()), Ok(known));
    }

    #[test]
    fn another_kind_of_run_drops_nothing() {
        let names: Vec<String> = (0..2000).map(|number| format!("n{number}")).collect();
        let mut known = Profile::default();
        for name in &names {
            known.used("", name, UseKind::Read);
        }
        for round in 0..200 {
            let other = profile(&[("x", "y", UseKind::Found)]);
            known.add(&other);
            known.judge(&other, round);
        }
        assert_eq!(known.len(), names.len() + 1);
    }

    #[test]
    fn it_is_bounded() {
        let mut known = Profile::default();
        for number in 0..TOUCHES_MAX + 10 {
            known.used("", &number.to_string(), UseKind::Missing);
        }
        assert_eq!(known.len(), TOUCHES_MAX);
        let mut known = Profile::default();
        for number in 0..LISTINGS_MAX + 10 {
            known.listed(&number.to_string());
        }
        assert_eq!(known.len(), LISTINGS_MAX);
        known.used("x", "y", UseKind::Found);
        assert_eq!(known.len(), LISTINGS_MAX + 1);
    }

    #[test]
    fn a_full_one_takes_what_the_last_run_touched() {
        let mut known = Profile::default();
        for number in 0..TOUCHES_MAX {
            known.used("full", &number.to_string(), UseKind::Found);
        }
        let strike = |known: &mut Profile, name: &str, strikes| {
            known.directories["full"].names[name].strikes = strikes;
        };
        strike(&mut known, "7", 1);
        strike(&mut known, "8", 2);
        let last = (TOUCHES_MAX - 1).to_string();
        let run = profile(&[
            ("new", "a", UseKind::Found),
            ("full", &last, UseKind::Read),
            ("new", "b", UseKind::Missing),
            ("new", "c", UseKind::Read),
        ]);
        known.add(&run);
        assert_eq!(known.len(), TOUCHES_MAX);
        assert_eq!(known.directories["new"].names.len(), 3);
        let names = &known.directories["full"].names;
        assert!(!names.contains_key("7") && !names.contains_key("8"));
        assert!(!names.contains_key(&*(TOUCHES_MAX - 2).to_string()));
        assert_eq!(names[&*last].kind, UseKind::Read);
    }
}
