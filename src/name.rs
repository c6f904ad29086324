//! Names from outside become path components only through the types of this module.
//!
//! **Architecture Invariant:** nothing else in the crate joins a string that came from a lockfile,
//! a manifest, an archive or the network to a path. The types refuse and never repair: there is no
//! constructor that drops, replaces or resolves a part of its input.

use std::borrow::Borrow;
use std::fmt;

use crate::limits::{NAME_BYTES_MAX, PATH_BYTES_MAX, PATH_DEPTH_MAX};

/// Why a name or path was refused. `Display` continues a sentence: "… contains a control
/// character".
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum NameError {
    /// There is nothing between two separators, or nothing at all.
    #[error("is empty or has an empty component")]
    Empty,
    /// A component is `.` or `..`.
    #[error("has a component `.` or `..`")]
    Dots,
    /// It starts with `/`, or with a drive letter and a colon.
    #[error("is absolute")]
    Absolute,
    /// It contains `/` where a single component is wanted, or `\` anywhere.
    #[error("contains a path separator")]
    Separator,
    /// It contains a control character, NUL among them.
    #[error("contains a control character")]
    Control,
    /// A component is longer than [`NAME_BYTES_MAX`].
    #[error("has a component of more than {NAME_BYTES_MAX} bytes")]
    TooLong,
    /// The whole path is longer than [`PATH_BYTES_MAX`].
    #[error("is longer than {PATH_BYTES_MAX} bytes")]
    PathTooLong,
    /// More than [`PATH_DEPTH_MAX`] components.
    #[error("is nested deeper than {PATH_DEPTH_MAX} directories")]
    TooDeep,
    /// It is not UTF-8.
    #[error("is not UTF-8")]
    Encoding,
    /// It is a name that the layout of `node_modules` keeps for itself.
    #[error("is reserved")]
    Reserved,
    /// It is not a valid name of this kind by the rules of npm.
    #[error("is not a valid package name")]
    Grammar,
}

/// Bytes, a digest for example, in lower-case hexadecimal: fit for the name of a file.
pub fn hexadecimal(bytes: &[u8]) -> String {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    let mut text = String::with_capacity(bytes.len() * 2);
    for byte in bytes {
        text.push(char::from(DIGITS[usize::from(byte >> 4)]));
        text.push(char::from(DIGITS[usize::from(byte & 15)]));
    }
    text
}

/// The name in a key of `patchedDependencies` or `allowBuilds`: `name`, `name@version` or
/// `name@range`.
pub(crate) fn name_in_key(key: &str) -> &str {
    let mut places = key.char_indices().skip(1);
    let at = places.find(|(_, letter)| *letter == '@');
    at.map_or(key, |(at, _)| &key[..at])
}

/// Foreign text made safe to print: control, format and bidirectional characters are written as
/// `\u{…}`.
pub fn escaped(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for character in text.chars() {
        if character.is_control() || is_format(character) {
            out.extend(character.escape_unicode());
        } else {
            out.push(character);
        }
    }
    out
}

/// Unicode format characters that change how the text around them is shown (general category Cf
/// as far as terminals act on it).
fn is_format(character: char) -> bool {
    matches!(
        character,
        '\u{ad}'
            | '\u{600}'..='\u{605}'
            | '\u{61c}'
            | '\u{180e}'
            | '\u{200b}'..='\u{200f}'
            | '\u{2028}'..='\u{202e}'
            | '\u{2060}'..='\u{206f}'
            | '\u{feff}'
            | '\u{fff9}'..='\u{fffb}'
            | '\u{e0000}'..='\u{e007f}'
    )
}

fn check_component(name: &str) -> Result<(), NameError> {
    if name.is_empty() {
        return Err(NameError::Empty);
    }
    if name == "." || name == ".." {
        return Err(NameError::Dots);
    }
    if name.len() > NAME_BYTES_MAX {
        return Err(NameError::TooLong);
    }
    if name.bytes().any(|byte| byte == b'/' || byte == b'\\') {
        return Err(NameError::Separator);
    }
    if name.chars().any(char::is_control) {
        return Err(NameError::Control);
    }
    Ok(())
}

fn has_drive(path: &str) -> bool {
    let bytes = path.as_bytes();
    bytes.len() >= 2 && bytes[0].is_ascii_alphabetic() && bytes[1] == b':'
}

macro_rules! text_newtype {
    ($type:ident) => {
        impl $type {
            /// The text.
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl fmt::Display for $type {
            fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
                formatter.write_str(&escaped(&self.0))
            }
        }

        impl fmt::Debug for $type {
            fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
                fmt::Debug::fmt(&*self.0, formatter)
            }
        }

        impl Borrow<str> for $type {
            fn borrow(&self) -> &str {
                &self.0
            }
        }

        impl AsRef<str> for $type {
            fn as_ref(&self) -> &str {
                &self.0
            }
        }
    };
}

/// One component of a path: not empty, not `.` or `..`, no `/`, `\` or control character, at most
/// [`NAME_BYTES_MAX`] bytes.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct EntryName(Box<str>);
text_newtype!(EntryName);

impl EntryName {
    /// Checks `name`.
    ///
    /// # Errors
    /// The first rule of the type that `name` breaks.
    pub fn new(name: &str) -> Result<Self, NameError> {
        check_component(name)?;
        Ok(Self(name.into()))
    }
}

/// A relative path of one or more [`EntryName`]s joined with `/`, at most [`PATH_BYTES_MAX`] bytes
/// and [`PATH_DEPTH_MAX`] components.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RelativePath(Box<str>);
text_newtype!(RelativePath);

impl RelativePath {
    /// Checks `path`.
    ///
    /// # Errors
    /// The first rule of the type that `path` breaks.
    pub fn new(path: &str) -> Result<Self, NameError> {
        Self::check(path)?;
        Ok(Self(path.into()))
    }

    /// The check of [`RelativePath::new`] alone, for tables that keep their paths in one piece.
    ///
    /// # Errors
    /// As [`RelativePath::new`].
    pub fn check(path: &str) -> Result<(), NameError> {
        if path.starts_with('/') || has_drive(path) {
            return Err(NameError::Absolute);
        }
        if path.len() > PATH_BYTES_MAX {
            return Err(NameError::PathTooLong);
        }
        let mut depth = 0;
        for component in path.split('/') {
            check_component(component)?;
            depth += 1;
        }
        if depth > PATH_DEPTH_MAX {
            return Err(NameError::TooDeep);
        }
        Ok(())
    }

    /// The components, in order.
    pub fn components(&self) -> impl DoubleEndedIterator<Item = &str> {
        self.0.split('/')
    }
}

/// The name under which a package is found in `node_modules`: `name` or `@scope/name`.
///
/// Old registry names are allowed (upper case, up to 214 bytes and beyond what npm accepts for new
/// packages); what could leave or shadow a directory of the layout is not: a leading dot,
/// `node_modules`, separators other than the one of the scope, control characters.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PackageName(Box<str>);
text_newtype!(PackageName);

impl PackageName {
    /// Checks `name`.
    ///
    /// # Errors
    /// The first rule of the type that `name` breaks.
    pub fn new(name: &str) -> Result<Self, NameError> {
        let (scope, bare) = match name.strip_prefix('@') {
            Some(rest) => {
                let (scope, bare) = rest.split_once('/').ok_or(NameError::Grammar)?;
                (Some(scope), bare)
            }
            None => (None, name),
        };
        for part in scope.into_iter().chain([bare]) {
            check_component(part)?;
            if part.starts_with('.') || part == "node_modules" || part == "favicon.ico" {
                return Err(NameError::Reserved);
            }
            if !part.bytes().all(is_name_byte) {
                return Err(NameError::Grammar);
            }
        }
        Ok(Self(name.into()))
    }

    /// The scope without `@`, where there is one.
    pub fn scope(&self) -> Option<&str> {
        Some(self.0.strip_prefix('@')?.split_once('/')?.0)
    }

    /// The name without its scope.
    pub fn unscoped(&self) -> &str {
        match self.0.split_once('/') {
            Some((_, bare)) => bare,
            None => &self.0,
        }
    }

    /// One or two path components.
    pub fn components(&self) -> impl DoubleEndedIterator<Item = EntryName> {
        self.0.split('/').map(|part| EntryName(part.into()))
    }
}

/// The characters that `encodeURIComponent` leaves alone, which is npm's rule for names (package
/// `validate-npm-package-name`, "legacy" names included).
fn is_name_byte(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"-_.!~*'()".contains(&byte)
}

/// The name of a command in `.bin`.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct BinName(Box<str>);
text_newtype!(BinName);

impl BinName {
    /// Checks `name`, from which a scope has been taken away already.
    ///
    /// # Errors
    /// The first rule of the type that `name` breaks: one path component of characters that
    /// `encodeURIComponent` leaves alone, or exactly `$`.
    pub fn new(name: &str) -> Result<Self, NameError> {
        check_component(name)?;
        if name != "$" && !name.bytes().all(is_name_byte) {
            return Err(NameError::Grammar);
        }
        Ok(Self(name.into()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn entry_names_refuse_what_could_leave_a_directory() {
        for (name, why) in [
            ("", NameError::Empty),
            (".", NameError::Dots),
            ("..", NameError::Dots),
            ("a/b", NameError::Separator),
            ("a\\b", NameError::Separator),
            ("a\0", NameError::Control),
            ("\u{1b}[2J", NameError::Control),
        ] {
            assert_eq!(EntryName::new(name), Err(why), "{name:?}");
        }
        assert_eq!(EntryName::new(&"x".repeat(256)), Err(NameError::TooLong));
        assert!(EntryName::new(&"x".repeat(255)).is_ok());
        assert!(EntryName::new("...").is_ok());
        assert!(EntryName::new("é").is_ok());
    }

    #[test]
    fn relative_paths_refuse_what_could_leave_the_root() {
        for (path, why) in [
            ("", NameError::Empty),
            ("/abs", NameError::Absolute),
            ("C:x", NameError::Absolute),
            ("C:..\\x", NameError::Absolute),
            ("a//b", NameError::Empty),
            ("a/", NameError::Empty),
            ("../x", NameError::Dots),
            ("a/../../x", NameError::Dots),
            ("./a", NameError::Dots),
            ("..\\x", NameError::Separator),
        ] {
            assert_eq!(RelativePath::new(path), Err(why), "{path:?}");
        }
        assert_eq!(RelativePath::new(&"a/".repeat(300)), Err(NameError::Empty));
        assert_eq!(
            RelativePath::new(&vec!["a"; 300].join("/")),
            Err(NameError::TooDeep)
        );
        assert_eq!(
            RelativePath::new(&vec!["a".repeat(200); 30].join("/")),
            Err(NameError::PathTooLong)
        );
        assert!(RelativePath::new("a/b.js").is_ok());
    }

    #[test]
    fn package_names_keep_old_ones_and_refuse_paths() {
        for name in [
            "a",
            "@a/b",
            "JSONStream",
            "lodash.get",
            "x(y)",
            "-",
            "__proto__",
        ] {
            assert!(PackageName::new(name).is_ok(), "{name}");
        }
        for name in [
            "",
            "@a",
            "@/a",
            "@a/",
            "a/b",
            "@a/b/c",
            "../a",
            "@../a",
            "@a/..",
            ".bin",
            ".pnpm",
            ".pacquet",
            "node_modules",
            "@a/node_modules",
            "a\\b",
            "a b",
            "a%2fb",
            "é",
        ] {
            assert!(PackageName::new(name).is_err(), "{name}");
        }
    }

    #[test]
    fn bin_names_are_one_harmless_component() {
        for name in [
            "",
            ".",
            "..",
            "a/b",
            "a\\b",
            "@s/../../x",
            "a b",
            "a;b",
            "\u{7}",
        ] {
            assert!(BinName::new(name).is_err(), "{name:?}");
        }
        assert!(BinName::new(&"b".repeat(300)).is_err());
        assert!(BinName::new("$").is_ok());
        assert!(BinName::new("tsc").is_ok());
    }

    #[test]
    fn escaping_hides_no_text_and_keeps_no_control() {
        assert_eq!(escaped("a\u{1b}[2Jb\u{202e}c"), "a\\u{1b}[2Jb\\u{202e}c");
    }
}
