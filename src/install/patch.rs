//! `patchedDependencies`: reading patch files, choosing the one of a package, applying it.
//!
//! A patch is a git-style unified diff with paths one level deep (`a/…`, `b/…`). Hunks may have
//! moved within the file; their context must be the same to the letter.

use std::path::{Path, PathBuf};

use indexmap::IndexMap;
use sha2::{Digest, Sha256};

use crate::diagnostic::Diagnostic;
use crate::name::{NameError, RelativePath, escaped};
use crate::store::PendingFile;

/// Why a patch cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum PatchError {
    /// The patch file cannot be read.
    #[error("Cannot read the patch {} of {}", path.display(), escaped(key))]
    Read {
        /// Key of `patchedDependencies`.
        key: Box<str>,
        /// The patch file.
        path: PathBuf,
        /// Why.
        #[source]
        source: std::io::Error,
    },
    /// Two ranges fit one version, and no exact version decides.
    #[error("Both {} and {} of patchedDependencies fit {}", escaped(first), escaped(second), escaped(package))]
    KeyConflict {
        /// `name@version`.
        package: String,
        /// A key that fits.
        first: Box<str>,
        /// Another.
        second: Box<str>,
    },
    /// The patch is no unified diff.
    #[error("The patch is not a unified diff, near line {line}")]
    Syntax {
        /// Counted from 1.
        line: usize,
    },
    /// A path in the patch would leave the package.
    #[error("The patch names {}, which {reason}", escaped(path))]
    Path {
        /// As written.
        path: String,
        /// What is wrong.
        reason: NameError,
    },
    /// A file that should be changed is not there.
    #[error("The patch changes {path}, which the package does not have")]
    Missing {
        /// Which.
        path: RelativePath,
    },
    /// A file that should be made is there.
    #[error("The patch makes {path}, which the package has already")]
    Exists {
        /// Which.
        path: RelativePath,
    },
    /// A hunk does not fit.
    #[error("The patch does not fit {path}: {reason}")]
    Apply {
        /// Which file.
        path: RelativePath,
        /// Which hunk.
        reason: String,
    },
    /// A file cannot be read back.
    #[error("Cannot read {path} of the package")]
    Content {
        /// Which.
        path: RelativePath,
        /// Why.
        #[source]
        source: std::io::Error,
    },
}

impl Diagnostic for PatchError {
    fn code(&self) -> &'static str {
        match self {
            Self::KeyConflict { .. } => "ERR_PNPM_PATCH_KEY_CONFLICT",
            Self::Read { .. } => "ERR_PNPM_PATCH_NOT_FOUND",
            _ => "ERR_PNPM_PATCH_FAILED",
        }
    }

    fn hint(&self) -> Option<String> {
        match self {
            Self::KeyConflict { package, .. } => {
                Some(format!("add an entry for exactly {} to patchedDependencies", escaped(package)))
            }
            Self::Read { .. } => Some("correct the path in patchedDependencies".to_owned()),
            _ => Some("make the patch again for this version of the package".to_owned()),
        }
    }
}

/// A patch file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Patch {
    /// Its key in `patchedDependencies`: `name`, `name@version` or `name@range`.
    pub key: Box<str>,
    /// Its content.
    pub text: Vec<u8>,
    /// SHA-256 of its content with LF line ends, hexadecimal, as the lockfile has it.
    pub hash: Box<str>,
}

/// All patches of a project.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Patches(Vec<Patch>);

impl Patches {
    /// Reads the files that `patchedDependencies` names, relative to `directory`.
    ///
    /// # Errors
    /// [`PatchError::Read`].
    pub fn read(
        patched_dependencies: &IndexMap<String, String>,
        directory: &Path,
    ) -> Result<Self, PatchError> {
        let read = |(key, path): (&String, &String)| {
            let path = directory.join(path);
            let text = std::fs::read(&path).map_err(|source| PatchError::Read {
                key: key.as_str().into(),
                path,
                source,
            })?;
            let hash = hash(&text);
            Ok(Patch { key: key.as_str().into(), text, hash })
        };
        patched_dependencies.iter().map(read).collect::<Result<_, _>>().map(Self)
    }

    /// The patches, in the order of the configuration.
    pub fn iter(&self) -> impl Iterator<Item = &Patch> {
        self.0.iter()
    }

    /// The patch whose file has this hash, which is how a depPath names it.
    pub fn by_hash(&self, hash: &str) -> Option<&Patch> {
        self.0.iter().find(|patch| *patch.hash == *hash)
    }

    /// The patch for a package: an exact version before a range before the bare name.
    ///
    /// # Errors
    /// [`PatchError::KeyConflict`] where two ranges fit.
    pub fn choose(&self, name: &str, version: &str) -> Result<Option<&Patch>, PatchError> {
        let exact = format!("{name}@{version}");
        if let Some(patch) = self.0.iter().find(|patch| *patch.key == *exact) {
            return Ok(Some(patch));
        }
        let parsed = node_semver::Version::parse(version).ok();
        let fits = |patch: &&Patch| {
            let range = patch.key.strip_prefix(name).and_then(|rest| rest.strip_prefix('@'));
            let range = range.and_then(|range| node_semver::Range::parse(range).ok());
            range.zip(parsed.as_ref()).is_some_and(|(range, version)| range.satisfies(version))
        };
        let mut fitting = self.0.iter().filter(fits);
        match (fitting.next(), fitting.next()) {
            (Some(first), Some(second)) => Err(PatchError::KeyConflict {
                package: exact,
                first: first.key.clone(),
                second: second.key.clone(),
            }),
            (Some(only), None) => Ok(Some(only)),
            _ => Ok(self.0.iter().find(|patch| *patch.key == *name)),
        }
    }
}

/// SHA-256 of a patch with its line ends made LF, hexadecimal.
fn hash(text: &[u8]) -> Box<str> {
    let mut digest = Sha256::new();
    let mut rest = text;
    while let Some(at) = memchr::memmem::find(rest, b"\r\n") {
        digest.update(&rest[..at]);
        rest = &rest[at + 1..];
    }
    digest.update(rest);
    digest.finalize().iter().map(|byte| format!("{byte:02x}")).collect::<String>().into()
}

/// What a patch does to one file.
#[derive(Debug, Default)]
struct FilePatch<'a> {
    from: Option<RelativePath>,
    to: Option<RelativePath>,
    executable: Option<bool>,
    hunks: Vec<&'a [u8]>,
}

/// Applies a patch to the files of a package.
///
/// # Errors
/// Where it does not fit; the files may then have been changed in part and must be dropped.
pub fn apply(patch: &[u8], files: &mut Vec<PendingFile<'_>>) -> Result<(), PatchError> {
    for file_patch in parse(patch)? {
        apply_to_file(&file_patch, files)?;
    }
    Ok(())
}

fn apply_to_file(
    patch: &FilePatch<'_>,
    files: &mut Vec<PendingFile<'_>>,
) -> Result<(), PatchError> {
    let position = |files: &[PendingFile<'_>], path: &RelativePath| {
        files.iter().position(|file| file.path == *path)
    };
    match (&patch.from, &patch.to) {
        (None, Some(to)) => {
            if position(files, to).is_some() {
                return Err(PatchError::Exists { path: to.clone() });
            }
            let content = apply_hunks(b"", patch, to)?;
            files.push(PendingFile::new(to.clone(), patch.executable.unwrap_or(false), content));
        }
        (Some(from), to) => {
            let at = position(files, from)
                .ok_or_else(|| PatchError::Missing { path: from.clone() })?;
            let before = files[at]
                .read()
                .map_err(|source| PatchError::Content { path: from.clone(), source })?;
            let after = apply_hunks(&before, patch, from)?;
            let Some(to) = to else {
                files.remove(at);
                return Ok(());
            };
            if to != from && position(files, to).is_some() {
                return Err(PatchError::Exists { path: to.clone() });
            }
            let executable = patch.executable.unwrap_or(files[at].executable);
            files[at] = PendingFile::new(to.clone(), executable, after);
        }
        (None, None) => {}
    }
    Ok(())
}

fn apply_hunks(
    before: &[u8],
    patch: &FilePatch<'_>,
    path: &RelativePath,
) -> Result<Vec<u8>, PatchError> {
    if patch.hunks.is_empty() {
        return Ok(before.to_vec());
    }
    let failed = |reason: String| PatchError::Apply { path: path.clone(), reason };
    let mut text = b"--- a\n+++ b\n".to_vec();
    for line in &patch.hunks {
        text.extend_from_slice(line);
    }
    let parsed = diffy::Patch::from_bytes(&text).map_err(|error| failed(error.to_string()))?;
    diffy::apply_bytes(before, &parsed).map_err(|error| failed(error.to_string()))
}

/// Splits a patch into files. What stands before the first file and between files is prose.
fn parse(patch: &[u8]) -> Result<Vec<FilePatch<'_>>, PatchError> {
    let mut files: Vec<FilePatch<'_>> = Vec::new();
    let mut hunk_lines_left = (0_usize, 0_usize);
    let mut in_git_header = false;
    for (number, line) in patch.split_inclusive(|byte| *byte == b'\n').enumerate() {
        let syntax = || PatchError::Syntax { line: number + 1 };
        let in_hunk = hunk_lines_left != (0, 0) || line.starts_with(b"\\");
        if in_hunk {
            let file = files.last_mut().ok_or_else(syntax)?;
            file.hunks.push(line);
            count_line(line, &mut hunk_lines_left).ok_or_else(syntax)?;
            continue;
        }
        let text = String::from_utf8_lossy(line);
        let text = text.trim_end_matches(['\n', '\r']);
        if let Some(paths) = text.strip_prefix("diff --git ") {
            let mut file = FilePatch::default();
            if let Some((from, to)) = paths.split_once(" b/") {
                file.from = Some(path_of(from)?);
                file.to = Some(path_of(&format!("b/{to}"))?);
            }
            files.push(file);
            in_git_header = true;
        } else if let Some(path) = text.strip_prefix("--- ") {
            if !in_git_header {
                files.push(FilePatch::default());
            }
            let file = files.last_mut().ok_or_else(syntax)?;
            file.from = header_path(path)?;
        } else if let Some(path) = text.strip_prefix("+++ ") {
            files.last_mut().ok_or_else(syntax)?.to = header_path(path)?;
            in_git_header = false;
        } else if text.starts_with("@@ ") {
            hunk_lines_left = hunk_lengths(text).ok_or_else(syntax)?;
            files.last_mut().ok_or_else(syntax)?.hunks.push(line);
        } else if let Some(file) = files.last_mut().filter(|_| in_git_header) {
            extended_header(text, file)?;
        }
    }
    if hunk_lines_left == (0, 0) {
        Ok(files)
    } else {
        Err(PatchError::Syntax { line: patch.split(|byte| *byte == b'\n').count() })
    }
}

/// The lines between `diff --git` and the first hunk (git-diff(1), "extended header lines").
fn extended_header(text: &str, file: &mut FilePatch<'_>) -> Result<(), PatchError> {
    let executable = |mode: &str| Some(mode.ends_with("755"));
    if let Some(mode) = text.strip_prefix("new file mode ") {
        file.from = None;
        file.executable = executable(mode);
    } else if text.starts_with("deleted file mode ") {
        file.to = None;
    } else if let Some(mode) = text.strip_prefix("new mode ") {
        file.executable = executable(mode);
    } else if let Some(path) = text.strip_prefix("rename from ") {
        file.from = Some(path_without_prefix(path)?);
    } else if let Some(path) = text.strip_prefix("rename to ") {
        file.to = Some(path_without_prefix(path)?);
    }
    Ok(())
}

/// `a/path`, `b/path` (with a tab and a time after it in plain diffs), or `/dev/null`.
fn header_path(text: &str) -> Result<Option<RelativePath>, PatchError> {
    let path = text.split('\t').next().unwrap_or(text);
    if path == "/dev/null" { Ok(None) } else { path_of(path).map(Some) }
}

fn path_of(text: &str) -> Result<RelativePath, PatchError> {
    let stripped = text.split_once('/').map_or(text, |(_, rest)| rest);
    path_without_prefix(stripped)
}

fn path_without_prefix(text: &str) -> Result<RelativePath, PatchError> {
    RelativePath::new(text).map_err(|reason| PatchError::Path { path: text.to_owned(), reason })
}

/// The two lengths of `@@ -start,length +start,length @@`; a missing length is 1.
fn hunk_lengths(text: &str) -> Option<(usize, usize)> {
    let mut words = text.split(' ').skip(1);
    let mut length = |sign: char| {
        let range = words.next()?.strip_prefix(sign)?;
        match range.split_once(',') {
            Some((_, length)) => length.parse().ok(),
            None => range.parse::<usize>().ok().map(|_| 1),
        }
    };
    Some((length('-')?, length('+')?))
}

/// Counts a line of a hunk against what its header announced. An empty line is an empty line of
/// context whose space an editor has taken away.
fn count_line(line: &[u8], left: &mut (usize, usize)) -> Option<()> {
    let (old, new) = match line.first() {
        Some(b'-') => (1, 0),
        Some(b'+') => (0, 1),
        Some(b' ' | b'\n' | b'\r') => (1, 1),
        Some(b'\\') => (0, 0),
        _ => return None,
    };
    *left = (left.0.checked_sub(old)?, left.1.checked_sub(new)?);
    Some(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn files(list: &[(&str, &str)]) -> Vec<PendingFile<'static>> {
        list.iter()
            .map(|(path, text)| {
                let path = RelativePath::new(path).expect("a path");
                PendingFile::new(path, false, text.as_bytes().to_vec())
            })
            .collect()
    }

    fn applied(patch: &str, list: &[(&str, &str)]) -> Result<Vec<(String, bool, String)>, String> {
        let mut files = files(list);
        apply(patch.as_bytes(), &mut files).map_err(|error| error.to_string())?;
        let describe = |file: &PendingFile<'_>| {
            let text = String::from_utf8_lossy(&file.read().expect("content")).into_owned();
            (file.path.as_str().to_owned(), file.executable, text)
        };
        let mut described: Vec<_> = files.iter().map(describe).collect();
        described.sort();
        Ok(described)
    }

    const CHANGE: &str = "\
diff --git a/index.js b/index.js
index 1..2 100644
--- a/index.js
+++ b/index.js
@@ -1,3 +1,3 @@
 one
-two
+TWO
 three
";

    #[test]
    fn a_line_is_changed_even_where_it_has_moved() {
        let expected = Ok(vec![("index.js".into(), false, "one\nTWO\nthree\n".into())]);
        assert_eq!(applied(CHANGE, &[("index.js", "one\ntwo\nthree\n")]), expected);
        let moved = applied(CHANGE, &[("index.js", "zero\none\ntwo\nthree\n")]);
        assert_eq!(moved.expect("applied")[0].2, "zero\none\nTWO\nthree\n");
    }

    #[test]
    fn files_are_made_removed_renamed_and_made_executable() {
        let patch = "\
diff --git a/new.sh b/new.sh
new file mode 100755
index 0..1
--- /dev/null
+++ b/new.sh
@@ -0,0 +1 @@
+#!/bin/sh
\\ No newline at end of file
diff --git a/old.js b/old.js
deleted file mode 100644
--- a/old.js
+++ /dev/null
@@ -1 +0,0 @@
-gone
diff --git a/from.js b/lib/to.js
similarity index 100%
rename from from.js
rename to lib/to.js
diff --git a/run.js b/run.js
old mode 100644
new mode 100755
";
        let before = [("old.js", "gone\n"), ("from.js", "kept\n"), ("run.js", "run\n")];
        let expected = vec![
            ("lib/to.js".into(), false, "kept\n".into()),
            ("new.sh".into(), true, "#!/bin/sh".into()),
            ("run.js".into(), true, "run\n".into()),
        ];
        assert_eq!(applied(patch, &before), Ok(expected));
    }

    #[test]
    fn what_does_not_fit_is_refused() {
        for (patch, files) in [
            (CHANGE, [("index.js", "one\nother\nthree\n")].as_slice()),
            (CHANGE, &[("other.js", "one\ntwo\nthree\n")]),
            ("--- a/../x\n+++ b/../x\n@@ -1 +1 @@\n-a\n+b\n", &[("x", "a\n")]),
            ("--- a/x\n+++ b/x\n@@ -1,2 +1 @@\n-a\n", &[("x", "a\n")]),
            ("--- a/x\n+++ b/x\n@@ nonsense @@\n", &[("x", "a\n")]),
            ("@@ -1 +1 @@\n-a\n+b\n", &[("x", "a\n")]),
            ("--- /dev/null\n+++ b/x\n@@ -0,0 +1 @@\n+b\n", &[("x", "a\n")]),
        ] {
            assert!(applied(patch, files).is_err(), "{patch}");
        }
    }

    #[test]
    fn a_line_that_looks_like_a_header_inside_a_hunk_is_content() {
        let patch = "--- a/x\n+++ b/x\n@@ -1,2 +1,1 @@\n--- sql comment\n kept\n";
        let result = applied(patch, &[("x", "-- sql comment\nkept\n")]);
        assert_eq!(result.expect("applied")[0].2, "kept\n");
    }

    #[test]
    fn an_exact_version_goes_before_a_range_and_a_range_before_the_name() {
        let patch = |key: &str| Patch { key: key.into(), text: Vec::new(), hash: key.into() };
        let patches = Patches(vec![patch("a"), patch("a@^1.0.0"), patch("a@1.2.3")]);
        let chosen = |version| {
            let patch = patches.choose("a", version).expect("no conflict");
            patch.map(|patch| patch.key.to_string())
        };
        assert_eq!(chosen("1.2.3").as_deref(), Some("a@1.2.3"));
        assert_eq!(chosen("1.3.0").as_deref(), Some("a@^1.0.0"));
        assert_eq!(chosen("2.0.0").as_deref(), Some("a"));
        assert!(patches.choose("b", "1.0.0").expect("no conflict").is_none());
        let conflicting = Patches(vec![patch("a@^1.0.0"), patch("a@>=1.1.0")]);
        assert!(conflicting.choose("a", "1.2.0").is_err());
    }

    #[test]
    fn line_ends_do_not_change_the_hash() {
        assert_eq!(hash(b"a\r\nb\r\n"), hash(b"a\nb\n"));
        assert_ne!(hash(b"a\rb"), hash(b"a\nb"));
    }
}
