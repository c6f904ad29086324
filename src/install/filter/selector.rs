//! The grammar of one `--filter`: `!...^name{directory}[since]^...`.

use std::path::{Path, PathBuf};

/// What a `--filter` says.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Selector {
    /// `!`: what matches is taken away.
    pub exclude: bool,
    /// `^` beside the dots: not the matching projects themselves.
    pub exclude_self: bool,
    /// `...` behind: also what the matching projects depend on.
    pub with_dependencies: bool,
    /// `...` in front: also what depends on the matching projects.
    pub with_dependents: bool,
    /// A pattern of names.
    pub name: Option<Box<str>>,
    /// A pattern of directories.
    pub directory: Option<DirectoryPattern>,
    /// `[…]`: changed since this revision.
    pub since: Option<Box<str>>,
}

/// A pattern of directories: what it was relative to, taken literally, and a glob below that.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DirectoryPattern {
    /// Absolute.
    pub base: PathBuf,
    /// Without `.` and `..`; empty for `base` itself.
    pub glob: Box<str>,
}

impl DirectoryPattern {
    /// `pattern`, relative to `prefix`. An absolute one is below `prefix` too, as in pnpm.
    pub fn new(prefix: &Path, pattern: &str) -> Self {
        let mut base = prefix.to_path_buf();
        let mut kept: Vec<&str> = Vec::new();
        for component in pattern.split('/') {
            match component {
                "" | "." => {}
                ".." => {
                    if kept.pop().is_none() {
                        base.pop();
                    }
                }
                name => kept.push(name),
            }
        }
        Self {
            base,
            glob: kept.join("/").into(),
        }
    }

    /// Whether it stands for more than one directory.
    pub fn has_wildcards(&self) -> bool {
        self.glob.contains(is_wildcard)
    }

    /// The directory that all that fits is in.
    pub fn literal(&self) -> PathBuf {
        let names = self.glob.split('/');
        let literal = names.take_while(|name| !name.contains(is_wildcard));
        self.base.join(literal.collect::<PathBuf>())
    }

    /// As an absolute path, for messages and for git.
    pub fn path(&self) -> PathBuf {
        if self.glob.is_empty() {
            return self.base.clone();
        }
        self.base.join(&*self.glob)
    }
}

fn is_wildcard(letter: char) -> bool {
    matches!(letter, '*' | '?' | '[' | '{')
}

impl Selector {
    /// Reads `text`. Paths in it are relative to `prefix`, which is absolute.
    ///
    /// Every text means something: what is no selector of another form is a pattern of names.
    pub fn parse(text: &str, prefix: &Path) -> Self {
        let mut out = Self::default();
        let mut rest = text;
        if let Some(inner) = rest.strip_prefix('!') {
            out.exclude = true;
            rest = inner;
        }
        if let Some(inner) = rest.strip_suffix("...") {
            out.with_dependencies = true;
            rest = inner.strip_suffix('^').unwrap_or(inner);
            out.exclude_self |= rest.len() < inner.len();
        }
        if let Some(inner) = rest.strip_prefix("...") {
            out.with_dependents = true;
            rest = inner.strip_prefix('^').unwrap_or(inner);
            out.exclude_self |= rest.len() < inner.len();
        }
        if let Some((name, directory, since)) = parts(rest) {
            out.name = name.map(Into::into);
            out.directory = directory.map(|pattern| DirectoryPattern::new(prefix, pattern));
            out.since = since.map(Into::into);
            return out;
        }
        // As in pnpm, what surrounds a bare path or an odd name counts no further.
        if is_location(rest) {
            return Self {
                exclude: out.exclude,
                directory: Some(DirectoryPattern::new(prefix, rest)),
                ..Self::default()
            };
        }
        Self {
            name: Some(rest.into()),
            ..Self::default()
        }
    }
}

type Parts<'a> = (Option<&'a str>, Option<&'a str>, Option<&'a str>);

/// `name{directory}[since]`, each of which may be missing; a name begins with no dot. `None` where
/// the text has another form.
fn parts(text: &str) -> Option<Parts<'_>> {
    if text.starts_with('.') {
        return None;
    }
    // The first character of a name may be a bracket, but only where the text fits in no other way.
    let first = text.chars().next().map_or(0, char::len_utf8);
    let name_end = text[first..]
        .find(['{', '}', '[', ']'])
        .map_or(text.len(), |at| first + at);
    [name_end, 0].into_iter().find_map(|end| {
        let (name, rest) = text.split_at(end);
        let (directory, rest) = group(rest, '{', '}')?;
        let (since, rest) = group(rest, '[', ']')?;
        let name = (!name.is_empty()).then_some(name);
        rest.is_empty().then_some((name, directory, since))
    })
}

/// A group in brackets at the beginning of `text`, and what is behind it. `None`: the group is not
/// closed or empty.
fn group(text: &str, open: char, close: char) -> Option<(Option<&str>, &str)> {
    let Some(inner) = text.strip_prefix(open) else {
        return Some((None, text));
    };
    let (inner, rest) = inner.split_once(close)?;
    (!inner.is_empty()).then_some((Some(inner), rest))
}

fn is_location(text: &str) -> bool {
    let first = text.split('/').next();
    matches!(first, Some("." | ".."))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn directory(path: &str) -> Option<DirectoryPattern> {
        Some(DirectoryPattern::new(Path::new("/w"), path))
    }

    #[test]
    fn what_surrounds_a_selector_is_told_apart() {
        for (text, exclude, exclude_self, with_dependencies, with_dependents) in [
            ("a", false, false, false, false),
            ("a...", false, false, true, false),
            ("...a", false, false, false, true),
            ("...a...", false, false, true, true),
            ("a^...", false, true, true, false),
            ("...^a", false, true, false, true),
            ("!a", true, false, false, false),
            ("!...a", true, false, false, true),
        ] {
            let expected = Selector {
                exclude,
                exclude_self,
                with_dependencies,
                with_dependents,
                name: Some("a".into()),
                ..Selector::default()
            };
            assert_eq!(Selector::parse(text, Path::new("/w")), expected, "{text}");
        }
    }

    #[test]
    fn every_form_is_told_apart() {
        for (text, name, path, since) in [
            ("@s/*", Some("@s/*"), None, None),
            ("./a", None, Some("a"), None),
            ("../a", None, Some("../a"), None),
            (".", None, Some(""), None),
            ("..", None, Some(".."), None),
            ("{a/*}", None, Some("a/*"), None),
            ("{/a}", None, Some("a"), None),
            ("[main]", None, None, Some("main")),
            ("{a}[main]", None, Some("a"), Some("main")),
            ("b{a}[main]", Some("b"), Some("a"), Some("main")),
            // pnpm forgets what surrounds these two.
            ("./a...", None, Some("a"), None),
            ("!.a", Some(".a"), None, None),
            ("a[", Some("a["), None, None),
            ("a{}", Some("a{}"), None, None),
            ("[]", Some("[]"), None, None),
        ] {
            let expected = Selector {
                name: name.map(Into::into),
                directory: path.and_then(directory),
                since: since.map(Into::into),
                ..Selector::default()
            };
            assert_eq!(Selector::parse(text, Path::new("/w")), expected, "{text}");
        }
    }

    #[test]
    fn paths_are_joined_by_their_letters() {
        for (pattern, expected) in [
            ("a/../b", "/w/p/b"),
            ("../../x", "/x"),
            ("../../../x", "/x"),
        ] {
            let path = DirectoryPattern::new(Path::new("/w/p"), pattern).path();
            assert_eq!(path, Path::new(expected), "{pattern}");
        }
    }
}
