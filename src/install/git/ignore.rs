//! Patterns: of ignore files, of the `files` field, and of what is never packed.

use globset::{GlobBuilder, GlobMatcher};

/// A pattern in the language of `.gitignore`.
pub(super) struct Rule {
    /// Where its file is: a path with a slash at its end, or nothing for the root.
    base: String,
    matcher: GlobMatcher,
    negated: bool,
    directories_only: bool,
}

impl Rule {
    /// A line of an ignore file in `base`. `None`: nothing, a comment, or no valid pattern.
    pub(super) fn parse(line: &str, base: &str) -> Option<Self> {
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

    pub(super) fn matches(&self, path: &str, is_directory: bool) -> bool {
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
pub(super) fn files_rule(entry: &str) -> Option<Rule> {
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
pub(super) fn never_packed() -> Vec<Rule> {
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

pub(super) fn plain_path(path: &str) -> String {
    path.trim_start_matches("./")
        .trim_start_matches('/')
        .to_owned()
}

/// The first rules are those of [`never_packed`].
pub(super) fn is_never(path: &str, rules: &[Vec<Rule>]) -> bool {
    let never = rules.first().map(Vec::as_slice).unwrap_or_default();
    never.iter().any(|rule| rule.matches(path, true))
}

/// By the last rule that matches, deeper files being later.
pub(super) fn is_ignored(path: &str, is_directory: bool, rules: &[Vec<Rule>]) -> bool {
    let last = rules
        .iter()
        .flatten()
        .rev()
        .find(|rule| rule.matches(path, is_directory));
    last.is_some_and(|rule| !rule.negated)
}

/// By the last entry of `files` that matches the file or a directory that it is in.
pub(super) fn is_selected(path: &str, files: &[Rule]) -> bool {
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
