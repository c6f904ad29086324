//! The YAML that lockfiles are written in.
//!
//! pnpm writes a small part of YAML, and people who resolve a merge by hand write a little more of
//! it. This parser reads that: block mappings and sequences, flow mappings and sequences over one
//! or several lines, every style of scalar, comments, and `? key` with a scalar as key. What else
//! YAML has (anchors, aliases, tags, directives, mappings as keys, tabs that could indent) is
//! refused by name, never guessed at.
//!
//! **Architecture Invariant:** no input makes it panic, recurse deeper than
//! [`LOCKFILE_DEPTH_MAX`](crate::limits::LOCKFILE_DEPTH_MAX), or use more memory than a constant
//! times the input. A mapping that exists has no key twice.

mod block;
mod flow;
mod scalar;
#[cfg(test)]
mod tests;

use std::borrow::Cow;

use crate::limits::LOCKFILE_DEPTH_MAX;

pub(super) use scalar::{Plain, resolve_plain};

/// What is wrong with a text as YAML. `Display` is a sentence's object: "a tab …".
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum SyntaxFault {
    /// A tab where only spaces may separate.
    #[error("a tab is used as white space, which YAML forbids for indentation")]
    Tab,
    /// A control character.
    #[error("a control character stands in the text")]
    Control,
    /// `&name`, `*name`.
    #[error("an anchor or alias is used, which lockfiles never contain")]
    Anchor,
    /// `!tag`.
    #[error("a tag is used, which lockfiles never contain")]
    Tag,
    /// `%YAML`, or a plain scalar that starts with `@` or a backtick.
    #[error("a scalar starts with a character that YAML reserves; put it in quotes")]
    Reserved,
    /// `---` or `...` inside.
    #[error("a document marker stands inside the document")]
    Document,
    /// Indentation that belongs to nothing.
    #[error("the indentation fits no mapping or sequence that is open here")]
    Indentation,
    /// Something after a value.
    #[error("there is text after the end of the value")]
    Trailing,
    /// A line of a mapping without a key.
    #[error("`key: value` is wanted here")]
    KeyWanted,
    /// `a: b: c`.
    #[error("a mapping starts inside a value; put the value in quotes")]
    NestedMapping,
    /// `[a: b]`, `{a}`, `? [a]`, `<<`.
    #[error("this form of mapping is not used in lockfiles")]
    OtherMapping,
    /// The same key again.
    #[error("a key stands twice in one mapping")]
    DuplicateKey,
    /// End of the text in a quoted scalar.
    #[error("a quoted scalar is not closed")]
    OpenQuote,
    /// `"\q"`, or half of a surrogate pair.
    #[error("an escape sequence is not one of YAML's")]
    Escape,
    /// End of the text in a flow collection, or a missing comma.
    #[error("`,` or the closing bracket is missing")]
    OpenFlow,
    /// `|x`.
    #[error("the header of a block scalar is malformed")]
    BlockHeader,
    /// Deeper than the limit.
    #[error("it is nested more than {LOCKFILE_DEPTH_MAX} levels deep")]
    TooDeep,
}

/// A [`SyntaxFault`] and the byte where it was seen.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct SyntaxError {
    pub(super) fault: SyntaxFault,
    pub(super) at: usize,
}

/// A value, and the byte where it starts.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Node<'a> {
    pub(super) at: usize,
    pub(super) value: Value<'a>,
}

/// The kinds of values.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Value<'a> {
    /// Nothing stood there (`key:` and no more).
    Empty,
    /// Text without quotes; YAML may read it as a number, a boolean or null.
    Plain(Cow<'a, str>),
    /// Text in quotes or in a block: always text.
    Text(Cow<'a, str>),
    Mapping(Vec<Entry<'a>>),
    Sequence(Vec<Node<'a>>),
}

/// A line of a mapping.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Entry<'a> {
    pub(super) at: usize,
    pub(super) key: Cow<'a, str>,
    pub(super) value: Node<'a>,
}

/// Parses one document.
///
/// # Errors
/// The first thing in `text` that is not YAML, or not the part of it that is read here.
pub(super) fn parse(text: &str) -> Result<Node<'_>, SyntaxError> {
    check_characters(text)?;
    let mut parser = Parser::new(text);
    if parser.next_line()?.is_none() {
        return Ok(Node {
            at: 0,
            value: Value::Empty,
        });
    }
    let root = parser.block_node(0)?;
    match parser.next_line()? {
        None => Ok(root),
        Some(_) => Err(parser.fault(SyntaxFault::Indentation)),
    }
}

/// YAML allows no control characters but tab and line breaks, quoted or not.
fn check_characters(text: &str) -> Result<(), SyntaxError> {
    let is_control =
        |byte: &u8| (*byte < 0x20 && *byte != b'\n' && *byte != b'\t') || *byte == 0x7f;
    match text.as_bytes().iter().position(is_control) {
        None => Ok(()),
        Some(at) => Err(SyntaxError {
            fault: SyntaxFault::Control,
            at,
        }),
    }
}

/// Where the parser stands.
struct Parser<'a> {
    text: &'a str,
    bytes: &'a [u8],
    /// The next byte to read.
    at: usize,
    /// The first byte of the line that `at` is in.
    line_start: usize,
    /// How many collections are open.
    depth: usize,
}

impl<'a> Parser<'a> {
    fn new(text: &'a str) -> Self {
        Self {
            text,
            bytes: text.as_bytes(),
            at: 0,
            line_start: 0,
            depth: 0,
        }
    }

    fn fault(&self, fault: SyntaxFault) -> SyntaxError {
        SyntaxError { fault, at: self.at }
    }

    fn peek(&self) -> Option<u8> {
        self.bytes.get(self.at).copied()
    }

    /// Whether the byte at `at` ends a token: white space or the end of the text.
    fn is_blank_at(&self, at: usize) -> bool {
        matches!(self.bytes.get(at), None | Some(b' ' | b'\n' | b'\t'))
    }

    /// The end of the line that `at` is in: its line feed or the end of the text.
    fn line_end(&self) -> usize {
        let rest = &self.bytes[self.at..];
        memchr::memchr(b'\n', rest).map_or(self.bytes.len(), |offset| self.at + offset)
    }

    /// Steps over a line feed at `at`.
    fn start_line(&mut self) {
        self.at += 1;
        self.line_start = self.at;
    }

    fn skip_spaces(&mut self) {
        while self.peek() == Some(b' ') {
            self.at += 1;
        }
    }

    fn enter(&mut self) -> Result<(), SyntaxError> {
        self.depth += 1;
        if self.depth > LOCKFILE_DEPTH_MAX {
            return Err(self.fault(SyntaxFault::TooDeep));
        }
        Ok(())
    }

    fn leave(&mut self) {
        self.depth -= 1;
    }
}
