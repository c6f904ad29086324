//! Which files of a directory make a package: the rules of `npm pack` as pnpm applies them to git
//! packages and to `file:` directories.
//!
//! With `files` in `package.json`, only what it names, else everything but what the root's
//! `.npmignore` (else `.gitignore`) names. Some files always come (the manifest, readme, licence,
//! `main`, `browser`, bins), some never. Ignore files of directories below always apply.

use std::path::{Path, PathBuf};

use globset::{GlobBuilder, GlobMatcher};
use serde_json::{Map, Value};

use crate::diagnostic::Diagnostic;
use crate::limits::{CONFIG_BYTES_MAX, MANIFEST_BYTES_MAX, PACKAGE_ENTRIES_MAX};
use crate::name::{NameError, RelativePath, escaped};

/// Why the files of a package could not be listed.
#[derive(Debug, thiserror::Error)]
pub enum PackListError {
    /// Something cannot be read.
    #[error("Cannot read {}", path.display())]
    Read {
        /// What.
        path: PathBuf,
        /// Why.
        #[source]
        source: std::io::Error,
    },
    /// The manifest is not a JSON object.
    #[error("{} is not a JSON object", path.display())]
    Manifest {
        /// The file.
        path: PathBuf,
    },
    /// A name that no package may have.
    #[error(
        "The file \"{}\" in {} cannot be packed: its path {source}",
        escaped(name),
        directory.display()
    )]
    Name {
        /// The name.
        name: String,
        /// Where.
        directory: PathBuf,
        /// What is wrong.
        source: NameError,
    },
    /// More than [`PACKAGE_ENTRIES_MAX`] files.
    #[error("{} has more than {PACKAGE_ENTRIES_MAX} files", directory.display())]
    TooMany {
        /// The directory.
        directory: PathBuf,
    },
}

impl Diagnostic for PackListError {
    fn code(&self) -> &'static str {
        match self {
            Self::Read { .. } => "ERR_PACQUET_PACK_READ",
            Self::Manifest { .. } => "ERR_PNPM_BAD_PACKAGE_JSON",
            Self::Name { .. } => "ERR_PACQUET_PACK_NAME",
            Self::TooMany { .. } => "ERR_PACQUET_PACK_SIZE",
        }
    }
}

/// The files of a package, sorted.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct PackList {
    /// Regular files.
    pub files: Vec<RelativePath>,
    /// Symlinks that the rules would include. A package has only regular files; these are for a
    /// message.
    pub links: Vec<RelativePath>,
}

/// Lists what of `directory` makes a package. Symlinks are not followed.
///
/// # Errors
/// Something cannot be read, or has a name that no package may have.
pub fn pack_list(directory: &Path) -> Result<PackList, PackListError> {
    let manifest = read_manifest(directory)?;
    let selection = Selection::of(&manifest);
    let mut walk = Walk {
        root: directory,
        selection,
        out: PackList::default(),
    };
    let mut rules = vec![never_packed()];
    if walk.selection.files.is_none() {
        rules.extend(ignore_rules(directory, "")?);
    }
    walk.enter("", &mut rules)?;
    walk.out.files.sort();
    walk.out.links.sort();
    Ok(walk.out)
}

fn read_manifest(directory: &Path) -> Result<Map<String, Value>, PackListError> {
    let path = directory.join("package.json");
    let Some(text) = read_bounded(&path, MANIFEST_BYTES_MAX)? else {
        return Ok(Map::new());
    };
    let text = text.strip_prefix('\u{feff}').unwrap_or(&text);
    match serde_json::from_str(text) {
        Ok(Value::Object(map)) => Ok(map),
        _ => Err(PackListError::Manifest { path }),
    }
}

fn read_bounded(path: &Path, limit: u64) -> Result<Option<String>, PackListError> {
    let failed = |source| PackListError::Read {
        path: path.to_path_buf(),
        source,
    };
    let metadata = match std::fs::symlink_metadata(path) {
        Ok(metadata) if metadata.is_file() => metadata,
        Ok(_) => return Ok(None),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(failed(error)),
    };
    if metadata.len() > limit {
        return Err(failed(std::io::ErrorKind::FileTooLarge.into()));
    }
    std::fs::read_to_string(path).map(Some).map_err(failed)
}

/// What the manifest says.
struct Selection {
    /// `files`, as rules in reverse: what they match is included.
    files: Option<Vec<Rule>>,
    /// `main`, `browser` and bins.
    always: Vec<String>,
}

impl Selection {
    fn of(manifest: &Map<String, Value>) -> Self {
        let files = manifest.get("files").and_then(Value::as_array).map(|list| {
            list.iter()
                .filter_map(Value::as_str)
                .filter_map(files_rule)
                .collect()
        });
        let mut always = Vec::new();
        for field in ["main", "browser"] {
            always.extend(manifest.get(field).and_then(Value::as_str).map(plain_path));
        }
        match manifest.get("bin") {
            Some(Value::String(path)) => always.push(plain_path(path)),
            Some(Value::Object(map)) => {
                always.extend(map.values().filter_map(Value::as_str).map(plain_path));
            }
            _ => {}
        }
        Self { files, always }
    }

    fn is_always_packed(&self, path: &str) -> bool {
        self.always.iter().any(|always| always == path) || is_document(path)
    }
}

fn plain_path(path: &str) -> String {
    path.trim_start_matches("./")
        .trim_start_matches('/')
        .to_owned()
}

/// The manifest, and readme, licence and copying of the root, in any case and with any ending.
fn is_document(path: &str) -> bool {
    if path.contains('/') {
        return false;
    }
    let lower = path.to_ascii_lowercase();
    let stem = lower.split('.').next().unwrap_or_default();
    path == "package.json" || matches!(stem, "readme" | "license" | "licence" | "copying")
}

/// A pattern in the language of `.gitignore`.
struct Rule {
    /// Where its file is: a path with a slash at its end, or nothing for the root.
    base: String,
    matcher: GlobMatcher,
    negated: bool,
    directories_only: bool,
}

impl Rule {
    /// A line of an ignore file in `base`. `None`: nothing, a comment, or no valid pattern.
    fn parse(line: &str, base: &str) -> Option<Self> {
        let line = line.trim_end();
        if line.is_empty() || line.starts_with('#') {
            return None;
        }
        let (negated, line) = match line.strip_prefix('!') {
            Some(rest) => (true, rest),
            None => (false, line),
        };
        let (directories_only, line) = match line.strip_suffix('/') {
            Some(rest) => (true, rest),
            None => (false, line),
        };
        let pattern = match line.strip_prefix('/') {
            Some(rooted) => rooted.to_owned(),
            None if line.contains('/') => line.to_owned(),
            None => format!("**/{line}"),
        };
        Some(Self {
            base: base.to_owned(),
            matcher: matcher(&pattern)?,
            negated,
            directories_only,
        })
    }

    fn matches(&self, path: &str, is_directory: bool) -> bool {
        if self.directories_only && !is_directory {
            return false;
        }
        path.strip_prefix(&self.base)
            .is_some_and(|rest| self.matcher.is_match(rest))
    }
}

fn matcher(pattern: &str) -> Option<GlobMatcher> {
    let glob = GlobBuilder::new(pattern)
        .literal_separator(true)
        .backslash_escape(true)
        .build();
    glob.ok().map(|glob| glob.compile_matcher())
}

/// An entry of `files`: rooted, whether it begins with a slash or not.
fn files_rule(entry: &str) -> Option<Rule> {
    let (negated, entry) = match entry.strip_prefix('!') {
        Some(rest) => (true, rest),
        None => (false, entry),
    };
    let pattern = plain_path(entry);
    let pattern = pattern.trim_end_matches('/');
    if pattern.is_empty() || pattern == "." {
        return None;
    }
    let matcher = matcher(pattern)?;
    Some(Rule {
        base: String::new(),
        matcher,
        negated,
        directories_only: false,
    })
}

/// What is never packed, wherever it is.
fn never_packed() -> Vec<Rule> {
    const PATTERNS: [&str; 21] = [
        ".git",
        ".svn",
        ".hg",
        "CVS",
        ".gitignore",
        ".npmignore",
        ".npmrc",
        ".DS_Store",
        "._*",
        "*.orig",
        ".*.swp",
        ".lock-wscript",
        ".wafpickle-*",
        "npm-debug.log",
        "archived-packages/",
        "**/build/config.gypi",
        "/node_modules",
        "/package-lock.json",
        "/yarn.lock",
        "/pnpm-lock.yaml",
        "/bun.lockb",
    ];
    PATTERNS
        .iter()
        .filter_map(|pattern| Rule::parse(pattern, ""))
        .collect()
}

/// The rules of `.npmignore`, else of `.gitignore`, of one directory.
fn ignore_rules(root: &Path, base: &str) -> Result<Option<Vec<Rule>>, PackListError> {
    for name in [".npmignore", ".gitignore"] {
        let path = root.join(base).join(name);
        if let Some(text) = read_bounded(&path, CONFIG_BYTES_MAX)? {
            return Ok(Some(
                text.lines()
                    .filter_map(|line| Rule::parse(line, base))
                    .collect(),
            ));
        }
    }
    Ok(None)
}

struct Walk<'a> {
    root: &'a Path,
    selection: Selection,
    out: PackList,
}

impl Walk<'_> {
    /// Lists the directory `base` (a path with a slash at its end, or nothing).
    fn enter(&mut self, base: &str, rules: &mut Vec<Vec<Rule>>) -> Result<(), PackListError> {
        let directory = self.root.join(base);
        let failed = |source| PackListError::Read {
            path: directory.clone(),
            source,
        };
        for entry in std::fs::read_dir(&directory).map_err(failed)? {
            let entry = entry.map_err(failed)?;
            let kind = entry.file_type().map_err(failed)?;
            let refused = |name: &str, source| PackListError::Name {
                name: name.to_owned(),
                directory: directory.clone(),
                source,
            };
            let name = entry.file_name();
            let Some(name) = name.to_str() else {
                return Err(refused(&name.to_string_lossy(), NameError::Encoding));
            };
            let path = format!("{base}{name}");
            if kind.is_dir() {
                self.descend(&path, rules)?;
                continue;
            }
            if !self.is_packed(&path, rules) {
                continue;
            }
            let packed = RelativePath::new(&path).map_err(|source| refused(name, source))?;
            if kind.is_file() {
                self.out.files.push(packed);
            } else if kind.is_symlink() {
                self.out.links.push(packed);
            }
            if self.out.files.len() > PACKAGE_ENTRIES_MAX {
                return Err(PackListError::TooMany {
                    directory: self.root.to_path_buf(),
                });
            }
        }
        Ok(())
    }

    fn descend(&mut self, path: &str, rules: &mut Vec<Vec<Rule>>) -> Result<(), PackListError> {
        let inside = format!("{path}/");
        let has_always = self
            .selection
            .always
            .iter()
            .any(|always| always.starts_with(&inside));
        let ignored = is_ignored(path, true, rules);
        if is_never(path, rules) || (ignored && !has_always) {
            return Ok(());
        }
        if ignored {
            // Only what is always packed comes out of it.
            rules.push(Rule::parse("*", &inside).into_iter().collect());
        }
        let own = ignore_rules(self.root, &inside)?.unwrap_or_default();
        rules.push(own);
        let result = self.enter(&inside, rules);
        rules.pop();
        if ignored {
            rules.pop();
        }
        result
    }

    fn is_packed(&self, path: &str, rules: &[Vec<Rule>]) -> bool {
        if is_never(path, rules) {
            return false;
        }
        if self.selection.is_always_packed(path) {
            return true;
        }
        let selected = self
            .selection
            .files
            .as_ref()
            .is_none_or(|files| is_selected(path, files));
        selected && !is_ignored(path, false, rules)
    }
}

/// The first rules are those of [`never_packed`].
fn is_never(path: &str, rules: &[Vec<Rule>]) -> bool {
    let never = rules.first().map(Vec::as_slice).unwrap_or_default();
    never.iter().any(|rule| rule.matches(path, true))
}

/// By the last rule that matches, deeper files being later.
fn is_ignored(path: &str, is_directory: bool, rules: &[Vec<Rule>]) -> bool {
    let last = rules
        .iter()
        .flatten()
        .rev()
        .find(|rule| rule.matches(path, is_directory));
    last.is_some_and(|rule| !rule.negated)
}

/// By the last entry of `files` that matches the file or a directory that it is in.
fn is_selected(path: &str, files: &[Rule]) -> bool {
    let ends = path
        .match_indices('/')
        .map(|(at, _)| at)
        .chain([path.len()]);
    let prefixes: Vec<&str> = ends.map(|end| &path[..end]).collect();
    let matches = |rule: &&Rule| prefixes.iter().any(|prefix| rule.matches(prefix, true));
    files
        .iter()
        .rev()
        .find(matches)
        .is_some_and(|rule| !rule.negated)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The files packed of a directory with these files (each with its content).
    fn packed(files: &[(&str, &str)]) -> Vec<String> {
        let root = tempfile::tempdir().expect("a directory");
        for (path, content) in files {
            let path = root.path().join(path);
            std::fs::create_dir_all(path.parent().expect("a parent")).expect("created");
            std::fs::write(path, content).expect("written");
        }
        let list = pack_list(root.path()).expect("a list");
        list.files
            .iter()
            .map(|path| path.as_str().to_owned())
            .collect()
    }

    fn with_manifest(manifest: &str, files: &[&str], ignores: &[(&str, &str)]) -> Vec<String> {
        let mut all = vec![("package.json", manifest)];
        all.extend(files.iter().map(|path| (*path, "x")));
        all.extend(ignores);
        packed(&all)
    }

    // The expectations of these three tests are what pnpm 12.21 made of the same directories.

    #[test]
    fn the_files_field_is_rooted_and_directories_come_whole() {
        let manifest = r#"{"files":["b.js","sub/*","!sub/no.js","*.md","/abs","./dot",
            "deep/**/*.js"],"bin":{"x":"./cli/x.js"},"browser":"br.js","main":"./m"}"#;
        let files = [
            "b.js",
            "lib/b.js",
            "sub/a.js",
            "sub/no.js",
            "sub/in/c.js",
            "top.md",
            "lib/top.md",
            "abs/1",
            "dot/2",
            "deep/1/2.js",
            "deep/1/2.ts",
            "cli/x.js",
            "br.js",
            "m.js",
            "m/index.js",
            "CHANGELOG.md",
            "COPYING",
            "LICENSE.txt",
            "readme",
            "lib/README.md",
            "license",
            "sub/ign",
            "NOTICE",
            "HISTORY.md",
            "npm-shrinkwrap.json",
        ];
        assert_eq!(
            with_manifest(manifest, &files, &[("sub/.npmignore", "ign")]),
            [
                "CHANGELOG.md",
                "COPYING",
                "HISTORY.md",
                "LICENSE.txt",
                "abs/1",
                "b.js",
                "br.js",
                "cli/x.js",
                "deep/1/2.js",
                "dot/2",
                "license",
                "package.json",
                "readme",
                "sub/a.js",
                "sub/in/c.js",
                "top.md",
            ]
        );
    }

    #[test]
    fn what_is_never_packed_stays_out_of_named_directories() {
        let manifest = r#"{"files":["lib/","src/*.js","test"],"bundledDependencies":["bb"]}"#;
        let files = [
            "lib/a",
            "lib/x/a",
            "lib/.npmrc",
            "lib/node_modules/q/i.js",
            "src/a.js",
            "src/x/a.js",
            "test/ig",
            "test/keep",
            "node_modules/bb/i.js",
            "lib/package-lock.json",
            "yarn.lock",
            "lib/a.orig",
            "lib/.x.swp",
            "lib/._y",
            "CVS/x",
            "lib/CVS/y",
        ];
        assert_eq!(
            with_manifest(manifest, &files, &[("test/.gitignore", "ig")]),
            [
                "lib/a",
                "lib/node_modules/q/i.js",
                "lib/package-lock.json",
                "lib/x/a",
                "package.json",
                "src/a.js",
                "test/keep",
            ]
        );
        assert_eq!(
            with_manifest(r#"{"files":["."]}"#, &["a", "b/c"], &[]),
            ["package.json"]
        );
    }

    #[test]
    fn ignore_files_mean_what_they_mean_to_git() {
        let ignore = "# c\n*.log\n!keep.log\n/rooted\nsub/\nfoo/bar\nREADME.md\n**/zz\nend \n";
        let files = [
            "a.log",
            "keep.log",
            "x/a.log",
            "rooted",
            "x/rooted",
            "sub/a",
            "x/sub/b",
            "foo/bar",
            "x/foo/bar",
            "README.md",
            "y/zz",
            "yarn.lock",
            "package-lock.json",
            "pnpm-lock.yaml",
            "bun.lockb",
            "npm-shrinkwrap.json",
            "npm-debug.log",
            "config.gypi",
            ".lock-wscript",
            ".wafpickle-3",
            ".eslintrc",
            "archived-packages/x",
            "build/config.gypi",
            "x/node_modules/k",
            ".hg/x",
            "x/end",
            "x/package-lock.json",
            "bun.lock",
        ];
        assert_eq!(
            with_manifest("{}", &files, &[(".gitignore", ignore)]),
            [
                ".eslintrc",
                "README.md",
                "bun.lock",
                "config.gypi",
                "keep.log",
                "npm-shrinkwrap.json",
                "package.json",
                "x/foo/bar",
                "x/node_modules/k",
                "x/package-lock.json",
                "x/rooted",
            ]
        );
    }

    #[test]
    fn npmignore_stands_before_gitignore_and_bins_before_both() {
        let manifest = r#"{"bin":"out/cli.js"}"#;
        let ignores = [(".npmignore", "out"), (".gitignore", "*")];
        assert_eq!(
            with_manifest(manifest, &["a", "out/cli.js", "out/b"], &ignores),
            ["a", "out/cli.js", "package.json"]
        );
    }

    #[test]
    fn links_are_named_and_never_followed() {
        let root = tempfile::tempdir().expect("a directory");
        std::os::unix::fs::symlink("/etc", root.path().join("link")).expect("linked");
        std::os::unix::fs::symlink("/etc/passwd", root.path().join("README")).expect("linked");
        let list = pack_list(root.path()).expect("a list");
        assert!(list.files.is_empty());
        let links: Vec<_> = list.links.iter().map(RelativePath::as_str).collect();
        assert_eq!(links, ["README", "link"]);
    }

    #[test]
    fn what_cannot_be_a_package_is_refused() {
        for manifest in ["", "[]", "{", "1"] {
            let root = tempfile::tempdir().expect("a directory");
            std::fs::write(root.path().join("package.json"), manifest).expect("written");
            assert!(pack_list(root.path()).is_err(), "{manifest}");
        }
        for name in ["a\\b", "a\nb", "\u{1b}[2J"] {
            let root = tempfile::tempdir().expect("a directory");
            std::fs::write(root.path().join(name), "x").expect("written");
            assert!(
                matches!(pack_list(root.path()), Err(PackListError::Name { .. })),
                "{name:?}"
            );
        }
        assert!(matches!(
            pack_list(Path::new("/does/not/exist")),
            Err(PackListError::Read { .. })
        ));
    }
}
