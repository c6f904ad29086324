//! Patches of packages (`patchedDependencies`): git's unified diffs, applied to the files of a
//! package before they are stored; and which patch a package gets.
//!
//! The rules are those of pnpm 12.21, found by experiment: a hunk may have moved by up to
//! [`OFFSET_LINES_MAX`] lines, white space at the end of lines does not count, all else must match;
//! a file that is already as the patch would make it stays as it is.
//!
//! **Architecture Invariant:** nothing here touches the disk. A path of a patch becomes a path only
//! as a [`RelativePath`], and a patch that fails leaves the files as they were.

use std::borrow::Cow;

use crate::diagnostic::Diagnostic;
use crate::install::semver::{Range, Version};
use crate::name::{NameError, RelativePath, escaped};

/// How far a hunk may be from where its header says.
const OFFSET_LINES_MAX: isize = 20;

/// A regular file of a package.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PackageFile {
    /// Where it is in the package.
    pub path: RelativePath,
    /// Its one mode bit.
    pub executable: bool,
    /// What is in it.
    pub content: Vec<u8>,
}

/// Why a patch cannot be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PatchError {
    /// There is no `diff --git` in it.
    #[error("it contains no patch made by git")]
    Empty,
    /// A header or hunk that does not follow the format.
    #[error("line {line} is malformed: {what}")]
    Malformed {
        /// Where in the patch, from 1.
        line: usize,
        /// What is wrong.
        what: &'static str,
    },
    /// A path that leaves the package.
    #[error("it changes {path:?}, which {source}")]
    Path {
        /// Which, made safe to print.
        path: String,
        /// Why.
        #[source]
        source: NameError,
    },
    /// Something of git that is not applied here.
    #[error("it {what} {path:?}, which is not supported")]
    Unsupported {
        /// Of which file.
        path: String,
        /// What.
        what: &'static str,
    },
    /// The file is not there.
    #[error("it changes {path:?}, which the package does not have")]
    MissingFile {
        /// Which.
        path: String,
    },
    /// The file is there already, and is not what the patch makes.
    #[error("it creates {path:?}, which the package has already")]
    ExistingFile {
        /// Which.
        path: String,
    },
    /// A file that is deleted has content that the patch does not know of.
    #[error("it deletes {path:?}, of which something would be left")]
    Remainder {
        /// Which.
        path: String,
    },
    /// A hunk fits nowhere.
    #[error("hunk {hunk} for {path:?}, at line {line}, does not match the file")]
    Mismatch {
        /// In which file.
        path: String,
        /// Which hunk of it, from 1.
        hunk: usize,
        /// Where it should have been.
        line: usize,
    },
}

impl Diagnostic for PatchError {
    fn code(&self) -> &'static str {
        match self {
            Self::Empty | Self::Malformed { .. } => "ERR_PNPM_INVALID_PATCH",
            _ => "ERR_PNPM_PATCH_FAILED",
        }
    }

    fn hint(&self) -> Option<String> {
        matches!(self, Self::Mismatch { .. } | Self::MissingFile { .. })
            .then(|| "The patch was probably made for another version of the package".to_owned())
    }
}

/// Applies `patch` to the files of a package.
///
/// # Errors
/// [`PatchError`]; `files` is unchanged then.
pub fn apply_patch(files: &mut Vec<PackageFile>, patch: &[u8]) -> Result<(), PatchError> {
    let patch: Cow<'_, [u8]> = match memchr::memchr(b'\r', patch) {
        Some(_) => Cow::Owned(without_carriage_returns(patch)),
        None => Cow::Borrowed(patch),
    };
    let changes = parse(&patch)?;
    let mut patched = files.clone();
    for change in &changes {
        apply_change(&mut patched, change)?;
    }
    *files = patched;
    Ok(())
}

fn without_carriage_returns(text: &[u8]) -> Vec<u8> {
    let mut result = Vec::with_capacity(text.len());
    for (index, byte) in text.iter().enumerate() {
        if *byte != b'\r' || text.get(index + 1) != Some(&b'\n') {
            result.push(*byte);
        }
    }
    result
}

/// What happens to one file.
#[derive(Debug, Default)]
struct Change<'a> {
    /// Its path before, or `None` where it is created.
    old: Option<RelativePath>,
    /// Its path after, or `None` where it is deleted.
    new: Option<RelativePath>,
    executable: Option<bool>,
    hunks: Vec<Hunk<'a>>,
}

impl Change<'_> {
    fn path(&self) -> String {
        let path = self.new.as_ref().or(self.old.as_ref());
        path.map_or_else(String::new, ToString::to_string)
    }
}

#[derive(Debug)]
struct Hunk<'a> {
    old_start: usize,
    new_start: usize,
    lines: Vec<HunkLine<'a>>,
}

#[derive(Debug, Clone, Copy)]
struct HunkLine<'a> {
    kind: LineKind,
    text: &'a [u8],
    /// `\ No newline at end of file` follows.
    ends_file: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum LineKind {
    Context,
    Deletion,
    Insertion,
}

// ---- Reading -------------------------------------------------------------------------------

struct PatchReader<'a> {
    lines: Vec<&'a [u8]>,
    at: usize,
}

fn parse(patch: &[u8]) -> Result<Vec<Change<'_>>, PatchError> {
    let mut lines: Vec<&[u8]> = patch.split(|byte| *byte == b'\n').collect();
    if lines.last().is_some_and(|line| line.is_empty()) {
        lines.pop();
    }
    let mut reader = PatchReader { lines, at: 0 };
    let mut changes = Vec::new();
    while let Some(line) = reader.peek() {
        reader.at += 1;
        if let Some(paths) = line.strip_prefix(b"diff --git ") {
            changes.push(reader.change(paths)?);
        }
    }
    if changes.is_empty() {
        return Err(PatchError::Empty);
    }
    Ok(changes)
}

/// What the lines between `diff --git` and the first hunk said.
#[derive(Debug, Default)]
struct Header<'a> {
    old: Option<&'a [u8]>,
    new: Option<&'a [u8]>,
    rename_from: Option<&'a [u8]>,
    rename_to: Option<&'a [u8]>,
    mode: Option<&'a [u8]>,
    is_created: bool,
    is_deleted: bool,
    is_copied: bool,
    is_binary: bool,
}

impl Header<'_> {
    /// The path before and after; `first_line` is what follows `diff --git`.
    fn paths(&self, first_line: &[u8]) -> Option<(Vec<u8>, Vec<u8>)> {
        if let (Some(old), Some(new)) = (self.rename_from, self.rename_to) {
            return Some((unquote(old)?, unquote(new)?));
        }
        if let (Some(old), Some(new)) = (self.old, self.new) {
            return Some((stripped(&unquote(old)?), stripped(&unquote(new)?)));
        }
        let path = common_path(first_line)?;
        Some((path.clone(), path))
    }
}

impl<'a> PatchReader<'a> {
    fn peek(&self) -> Option<&'a [u8]> {
        self.lines.get(self.at).copied()
    }

    fn malformed(&self, what: &'static str) -> PatchError {
        PatchError::Malformed {
            line: self.at + 1,
            what,
        }
    }

    /// Everything of one file, after its `diff --git` line.
    fn change(&mut self, paths: &'a [u8]) -> Result<Change<'a>, PatchError> {
        let header_line = self.at;
        let header = self.header();
        let mut change = Change {
            executable: header.mode.map(|mode| mode.ends_with(b"755")),
            ..Change::default()
        };
        let (old, new) = header.paths(paths).ok_or(PatchError::Malformed {
            line: header_line,
            what: "it does not name the path before and after",
        })?;
        if !header.is_created && old != b"/dev/null" {
            change.old = Some(relative_path(&old)?);
        }
        if !header.is_deleted && new != b"/dev/null" {
            change.new = Some(relative_path(&new)?);
        }
        let unsupported = |what| {
            Err(PatchError::Unsupported {
                path: change.path(),
                what,
            })
        };
        if header.is_copied {
            return unsupported("copies to");
        }
        if header.is_binary {
            return unsupported("has a binary change of");
        }
        if header.mode.is_some_and(|mode| !mode.starts_with(b"100")) {
            return unsupported("makes something else than a regular file of");
        }
        if change.old.is_none() && change.new.is_none() {
            return Err(self.malformed("it neither creates, changes nor deletes a file"));
        }
        while self.peek().is_some_and(|line| line.starts_with(b"@@ ")) {
            let hunk = self.hunk()?;
            let is_ordered = change.hunks.last().is_none_or(|last: &Hunk<'_>| {
                last.old_start + last.old_lines() <= hunk.old_start.max(1)
            });
            if !is_ordered {
                return Err(self.malformed("the hunk overlaps the one before it"));
            }
            change.hunks.push(hunk);
        }
        Ok(change)
    }

    fn header(&mut self) -> Header<'a> {
        let mut header = Header::default();
        while let Some(line) = self.peek() {
            if line.starts_with(b"@@ ") || line.starts_with(b"diff --git ") {
                break;
            }
            // The text after the last patch of a mail looks like `--- ` no more than this.
            if let Some(path) = line.strip_prefix(b"--- ") {
                header.old = Some(path);
            } else if let Some(path) = line.strip_prefix(b"+++ ") {
                header.new = Some(path);
            } else if let Some(path) = line.strip_prefix(b"rename from ") {
                header.rename_from = Some(path);
            } else if let Some(path) = line.strip_prefix(b"rename to ") {
                header.rename_to = Some(path);
            } else if let Some(mode) = line.strip_prefix(b"new mode ") {
                header.mode = Some(mode);
            } else if let Some(mode) = line.strip_prefix(b"new file mode ") {
                header.mode = Some(mode);
                header.is_created = true;
            } else if line.starts_with(b"deleted file mode ") {
                header.is_deleted = true;
            } else if line.starts_with(b"copy from ") {
                header.is_copied = true;
            } else if line.starts_with(b"Binary files ") || line == b"GIT binary patch" {
                header.is_binary = true;
            }
            self.at += 1;
        }
        header
    }

    /// `@@ -1,2 +3,4 @@` and as many lines as that promises.
    fn hunk(&mut self) -> Result<Hunk<'a>, PatchError> {
        let header = self.peek().and_then(parse_hunk_header);
        let Some((old, new)) = header else {
            return Err(self.malformed("`@@ -line,count +line,count @@` is wanted"));
        };
        self.at += 1;
        let mut hunk = Hunk {
            old_start: old.start,
            new_start: new.start,
            lines: Vec::new(),
        };
        let (mut old_left, mut new_left) = (old.count, new.count);
        while old_left > 0 || new_left > 0 {
            let Some(line) = self.peek() else {
                return Err(self.malformed("the hunk has fewer lines than its header says"));
            };
            let (kind, text) = match line.split_first() {
                Some((b' ', text)) => (LineKind::Context, text),
                // Editors and mail strip the space of empty lines.
                None => (LineKind::Context, line),
                Some((b'-', text)) => (LineKind::Deletion, text),
                Some((b'+', text)) => (LineKind::Insertion, text),
                Some((b'\\', _)) => {
                    self.mark_end_of_file(&mut hunk);
                    continue;
                }
                Some(_) => return Err(self.malformed("a line of a hunk starts with none of ` +-`")),
            };
            let counts = (kind != LineKind::Insertion, kind != LineKind::Deletion);
            let left = (
                old_left.checked_sub(usize::from(counts.0)),
                new_left.checked_sub(usize::from(counts.1)),
            );
            let (Some(old), Some(new)) = left else {
                return Err(self.malformed("the hunk has more lines than its header says"));
            };
            (old_left, new_left) = (old, new);
            hunk.lines.push(HunkLine {
                kind,
                text,
                ends_file: false,
            });
            self.at += 1;
        }
        if self.peek().is_some_and(|line| line.starts_with(b"\\")) {
            self.mark_end_of_file(&mut hunk);
        }
        let is_longer = self.peek().is_some_and(|line| {
            matches!(line.first(), Some(b' ' | b'+')) && !line.starts_with(b"+++ ")
        });
        if is_longer {
            return Err(self.malformed("the hunk has more lines than its header says"));
        }
        Ok(hunk)
    }

    fn mark_end_of_file(&mut self, hunk: &mut Hunk<'a>) {
        if let Some(last) = hunk.lines.last_mut() {
            last.ends_file = true;
        }
        self.at += 1;
    }
}

#[derive(Debug, Clone, Copy)]
struct LineRange {
    start: usize,
    count: usize,
}

fn parse_hunk_header(line: &[u8]) -> Option<(LineRange, LineRange)> {
    // The text after the second `@@` may be in any encoding.
    let ranges = line.strip_prefix(b"@@ -")?;
    let ranges = &ranges[..memchr::memmem::find(ranges, b" @@")?];
    let (old, new) = std::str::from_utf8(ranges).ok()?.split_once(" +")?;
    Some((parse_range(old)?, parse_range(new)?))
}

fn parse_range(text: &str) -> Option<LineRange> {
    let (start, count) = text.split_once(',').unwrap_or((text, "1"));
    Some(LineRange {
        start: start.parse().ok()?,
        count: count.parse().ok()?,
    })
}

/// A path as git writes it: in double quotes with C's escapes where it has odd characters.
fn unquote(path: &[u8]) -> Option<Vec<u8>> {
    let path = path.split(|byte| *byte == b'\t').next().unwrap_or(path);
    let inner = path
        .strip_prefix(b"\"")
        .and_then(|path| path.strip_suffix(b"\""));
    let Some(inner) = inner else {
        return Some(path.to_vec());
    };
    let mut result = Vec::with_capacity(inner.len());
    let mut rest = inner;
    while let Some((&byte, after)) = rest.split_first() {
        rest = after;
        if byte != b'\\' {
            result.push(byte);
            continue;
        }
        let octal = rest
            .iter()
            .take(3)
            .take_while(|byte| (b'0'..=b'7').contains(*byte))
            .count();
        if octal > 0 {
            let digits = rest[..octal].iter();
            let code = digits.fold(0_u32, |code, digit| code * 8 + u32::from(digit - b'0'));
            result.push(u8::try_from(code).ok()?);
            rest = &rest[octal..];
            continue;
        }
        let (&escape, after) = rest.split_first()?;
        rest = after;
        result.push(match escape {
            b'n' => b'\n',
            b't' => b'\t',
            b'r' => b'\r',
            b'a' => 7,
            b'b' => 8,
            b'v' => 11,
            b'f' => 12,
            other => other,
        });
    }
    Some(result)
}

/// Without the `a/` or `b/` that git puts in front.
fn stripped(path: &[u8]) -> Vec<u8> {
    let without = path
        .strip_prefix(b"a/")
        .or_else(|| path.strip_prefix(b"b/"));
    without.unwrap_or(path).to_vec()
}

/// The path of `a/path b/path`, where both are the same.
fn common_path(paths: &[u8]) -> Option<Vec<u8>> {
    if paths.starts_with(b"\"") {
        let end = memchr::memmem::find(paths, b"\" \"")?;
        let old = stripped(&unquote(&paths[..=end])?);
        let new = stripped(&unquote(&paths[end + 2..])?);
        return (old == new).then_some(old);
    }
    // The path may contain spaces, but both halves are of one length.
    let half = paths.len() / 2;
    let old = stripped(&paths[..half]);
    let new = stripped(paths.get(half + 1..)?);
    (old == new && paths[half] == b' ').then_some(old)
}

fn relative_path(path: &[u8]) -> Result<RelativePath, PatchError> {
    let text = String::from_utf8_lossy(path);
    let error = |source| PatchError::Path {
        path: escaped(&text),
        source,
    };
    let path = std::str::from_utf8(path).map_err(|_| error(NameError::Encoding))?;
    RelativePath::new(path).map_err(error)
}

// ---- Applying ------------------------------------------------------------------------------

fn apply_change(files: &mut Vec<PackageFile>, change: &Change<'_>) -> Result<(), PatchError> {
    let find = |files: &[PackageFile], path: &RelativePath| {
        files.iter().position(|file| file.path == *path)
    };
    match (&change.old, &change.new) {
        (None, None) => Ok(()),
        (None, Some(new)) => match find(files, new) {
            Some(index) => keep_existing(&files[index], change),
            None => {
                let mut content = Vec::new();
                patch_content(&mut content, change)?;
                files.push(PackageFile {
                    path: new.clone(),
                    executable: change.executable.unwrap_or(false),
                    content,
                });
                Ok(())
            }
        },
        (Some(old), None) => {
            // It may be gone in this version already.
            let Some(index) = find(files, old) else {
                return Ok(());
            };
            let mut content = std::mem::take(&mut files[index].content);
            patch_content(&mut content, change)?;
            // A patch without what was in the file (git's --irreversible-delete) deletes it whole.
            if !content.is_empty() && !change.hunks.is_empty() {
                return Err(PatchError::Remainder {
                    path: change.path(),
                });
            }
            files.remove(index);
            Ok(())
        }
        (Some(old), Some(new)) => {
            let index = find(files, old).ok_or_else(|| PatchError::MissingFile {
                path: old.to_string(),
            })?;
            if old != new && find(files, new).is_some() {
                return Err(PatchError::ExistingFile {
                    path: new.to_string(),
                });
            }
            let file = &mut files[index];
            patch_content(&mut file.content, change)?;
            file.path = new.clone();
            file.executable = change.executable.unwrap_or(file.executable);
            Ok(())
        }
    }
}

/// A file that the patch creates may be there if it is what the patch makes.
fn keep_existing(file: &PackageFile, change: &Change<'_>) -> Result<(), PatchError> {
    let mut created = Vec::new();
    patch_content(&mut created, change)?;
    if created == file.content {
        return Ok(());
    }
    Err(PatchError::ExistingFile {
        path: file.path.to_string(),
    })
}

/// Applies the hunks of `change`; where they do not fit but their reverse does, the content is
/// patched already.
fn patch_content(content: &mut Vec<u8>, change: &Change<'_>) -> Result<(), PatchError> {
    if change.hunks.is_empty() {
        return Ok(());
    }
    let lines: Vec<&[u8]> = content.split(|byte| *byte == b'\n').collect();
    match patched_lines(&lines, &change.hunks) {
        Ok(patched) => {
            *content = patched.join(&b'\n');
            Ok(())
        }
        Err(hunk) => {
            let reversed: Vec<Hunk<'_>> = change.hunks.iter().map(Hunk::reversed).collect();
            if patched_lines(&lines, &reversed).is_ok() {
                return Ok(());
            }
            Err(PatchError::Mismatch {
                path: change.path(),
                hunk: hunk + 1,
                line: change.hunks[hunk].old_start,
            })
        }
    }
}

/// The lines after all hunks, or which of them fits nowhere.
fn patched_lines<'t>(lines: &[&'t [u8]], hunks: &[Hunk<'t>]) -> Result<Vec<&'t [u8]>, usize> {
    let mut patched = Vec::with_capacity(lines.len());
    let mut copied = 0;
    let mut ends = EndOfFile::Kept;
    for (index, hunk) in hunks.iter().enumerate() {
        let start = hunk.place(lines, copied).ok_or(index)?;
        patched.extend_from_slice(&lines[copied..start]);
        copied = start;
        for line in &hunk.lines {
            match line.kind {
                LineKind::Insertion => patched.push(line.text),
                // What stays is as it was in the file, with its white space.
                LineKind::Context => patched.push(lines[copied]),
                LineKind::Deletion => {}
            }
            copied += usize::from(line.kind != LineKind::Insertion);
            ends = ends.after(*line);
        }
    }
    patched.extend_from_slice(&lines[copied..]);
    match ends {
        EndOfFile::Kept => {}
        EndOfFile::Added => patched.push(b""),
        EndOfFile::Removed => {
            patched.pop();
        }
    }
    Ok(patched)
}

/// What a patch does to the line feed at the end of a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum EndOfFile {
    Kept,
    Added,
    Removed,
}

impl EndOfFile {
    fn after(self, line: HunkLine<'_>) -> Self {
        match (line.ends_file, line.kind, self) {
            (true, LineKind::Deletion, Self::Kept) => Self::Added,
            (true, LineKind::Insertion, Self::Kept) => Self::Removed,
            // Neither side has it.
            (true, LineKind::Insertion, Self::Added) => Self::Kept,
            _ => self,
        }
    }
}

impl<'a> Hunk<'a> {
    fn old_lines(&self) -> usize {
        let lines = self.lines.iter();
        lines
            .filter(|line| line.kind != LineKind::Insertion)
            .count()
    }

    /// Where in `lines`, from `start_min` on, this hunk fits: nearest to what its header says.
    fn place(&self, lines: &[&[u8]], start_min: usize) -> Option<usize> {
        let wanted = isize::try_from(self.old_start.max(1) - 1).ok()?;
        // A hunk that only inserts, and has no context, stands after the line that it names.
        let wanted = wanted + isize::from(self.old_lines() == 0 && self.old_start > 0);
        let offsets = (0..=OFFSET_LINES_MAX).flat_map(|distance| [-distance, distance]);
        let starts = offsets.filter_map(|offset| usize::try_from(wanted + offset).ok());
        let mut starts = starts.filter(|start| *start >= start_min);
        starts.find(|start| self.fits(lines, *start))
    }

    fn fits(&self, lines: &[&[u8]], start: usize) -> bool {
        let Some(lines) = lines.get(start..) else {
            return false;
        };
        let old = self
            .lines
            .iter()
            .filter(|line| line.kind != LineKind::Insertion);
        let mut lines = lines.iter();
        old.into_iter().all(|wanted| {
            let line = lines.next();
            line.is_some_and(|line| line.trim_ascii_end() == wanted.text.trim_ascii_end())
        })
    }

    fn reversed(&self) -> Self {
        let lines = self.lines.iter().map(|line| HunkLine {
            kind: match line.kind {
                LineKind::Context => LineKind::Context,
                LineKind::Deletion => LineKind::Insertion,
                LineKind::Insertion => LineKind::Deletion,
            },
            ..*line
        });
        Self {
            old_start: self.new_start,
            new_start: self.old_start,
            lines: lines.collect(),
        }
    }
}

// ---- Which patch ---------------------------------------------------------------------------

/// Why no patch can be chosen.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PatchKeyError {
    /// Two ranges match.
    #[error("the patches {keys:?} all match {package:?}")]
    Conflict {
        /// `name@version`.
        package: String,
        /// The keys of `patchedDependencies`.
        keys: Vec<String>,
    },
    /// What follows the name is neither a version nor a range.
    #[error("the key {key:?} of patchedDependencies has no valid version or range")]
    Range {
        /// The key.
        key: String,
    },
}

impl Diagnostic for PatchKeyError {
    fn code(&self) -> &'static str {
        match self {
            Self::Conflict { .. } => "ERR_PNPM_PATCH_KEY_CONFLICT",
            Self::Range { .. } => "ERR_PNPM_PATCH_NON_SEMVER_RANGE",
        }
    }

    fn hint(&self) -> Option<String> {
        match self {
            Self::Conflict { package, .. } => Some(format!(
                "Add a patch for exactly {package} to say which it is"
            )),
            Self::Range { .. } => None,
        }
    }
}

/// The key of `patchedDependencies` whose patch the package gets: that of exactly its version,
/// else that of a range, else that of the bare name.
///
/// # Errors
/// [`PatchKeyError`].
pub fn patch_key<'k>(
    keys: impl IntoIterator<Item = &'k str>,
    name: &str,
    version: &str,
) -> Result<Option<&'k str>, PatchKeyError> {
    let parsed_version = Version::parse(version);
    let mut in_range = Vec::new();
    let mut of_name = None;
    for key in keys {
        let Some(rest) = key.strip_prefix(name) else {
            continue;
        };
        let range = match rest.strip_prefix('@') {
            None if rest.is_empty() => {
                of_name = Some(key);
                continue;
            }
            None => continue,
            Some(range) => range.trim(),
        };
        if range == version {
            return Ok(Some(key));
        }
        if range == "*" {
            of_name = Some(key);
            continue;
        }
        if Version::parse(range).is_some() {
            continue;
        }
        let range =
            Range::parse(range).ok_or_else(|| PatchKeyError::Range { key: escaped(key) })?;
        let is_match = parsed_version
            .as_ref()
            .is_some_and(|version| range.contains(version));
        in_range.extend(is_match.then_some(key));
    }
    match in_range[..] {
        [] => Ok(of_name),
        [key] => Ok(Some(key)),
        _ => Err(PatchKeyError::Conflict {
            package: escaped(&format!("{name}@{version}")),
            keys: in_range.into_iter().map(escaped).collect(),
        }),
    }
}

#[cfg(test)]
#[path = "patch/tests.rs"]
mod tests;
