//! Block mappings and sequences: structure by indentation.

use std::borrow::Cow;
use std::collections::HashSet;

use super::{Entry, Node, Parser, SyntaxError, SyntaxFault, Value};

/// Up to this many keys are compared pairwise; a set is made for more.
const PAIRWISE_KEYS_MAX: usize = 12;

impl<'a> Parser<'a> {
    /// Skips blank lines and comments up to the first character of content, and returns its
    /// column; `None` at the end of the text. Stands still if it is on that character already.
    pub(super) fn next_line(&mut self) -> Result<Option<usize>, SyntaxError> {
        loop {
            self.skip_spaces();
            match self.peek() {
                None => return Ok(None),
                Some(b'\n') => self.start_line(),
                Some(b'#') => self.at = self.line_end(),
                Some(b'\t') => return Err(self.fault(SyntaxFault::Tab)),
                Some(byte) => {
                    let column = self.at - self.line_start;
                    if column == 0 && self.is_document_marker(byte) {
                        return Err(self.fault(SyntaxFault::Document));
                    }
                    return Ok(Some(column));
                }
            }
        }
    }

    fn is_document_marker(&self, first: u8) -> bool {
        (first == b'-' || first == b'.')
            && self.bytes[self.at..].starts_with(&[first; 3])
            && self.is_blank_at(self.at + 3)
    }

    /// Steps over spaces, a comment and the line feed after a value.
    pub(super) fn end_of_line(&mut self) -> Result<(), SyntaxError> {
        let had_space = self.peek() == Some(b' ');
        self.skip_spaces();
        match self.peek() {
            None => Ok(()),
            Some(b'\n') => {
                self.start_line();
                Ok(())
            }
            Some(b'#') if had_space || self.bytes[self.at - 1] == b' ' => {
                self.at = self.line_end();
                self.end_of_line()
            }
            Some(b'\t') => Err(self.fault(SyntaxFault::Tab)),
            Some(_) => Err(self.fault(SyntaxFault::Trailing)),
        }
    }

    /// The node that starts at `at`; the lines of a scalar that goes on must be indented by
    /// `indent_min`.
    pub(super) fn block_node(&mut self, indent_min: usize) -> Result<Node<'a>, SyntaxError> {
        let at = self.at;
        let column = at - self.line_start;
        let value = match self.peek() {
            Some(b'-') if self.is_blank_at(at + 1) => self.sequence(column)?,
            Some(b'?') if self.is_blank_at(at + 1) => self.mapping(column)?,
            _ if self.implicit_key()?.is_some() => {
                self.at = at;
                self.mapping(column)?
            }
            _ => self.inline_value(indent_min)?,
        };
        Ok(Node { at, value })
    }

    fn sequence(&mut self, column: usize) -> Result<Value<'a>, SyntaxError> {
        self.enter()?;
        let mut items = Vec::new();
        loop {
            self.at += 1;
            items.push(self.value_after_indicator(column, ItemPlace::InSequence)?);
            match self.next_line()? {
                Some(next) if next > column => return Err(self.fault(SyntaxFault::Indentation)),
                Some(next)
                    if next == column
                        && self.peek() == Some(b'-')
                        && self.is_blank_at(self.at + 1) => {}
                _ => break,
            }
        }
        self.leave();
        Ok(Value::Sequence(items))
    }

    fn mapping(&mut self, column: usize) -> Result<Value<'a>, SyntaxError> {
        self.enter()?;
        let mut entries: Vec<Entry<'a>> = Vec::new();
        let mut seen = HashSet::new();
        loop {
            let at = self.at;
            let (key, place) = if self.peek() == Some(b'?') && self.is_blank_at(at + 1) {
                (self.explicit_key(column)?, ItemPlace::AfterExplicitKey)
            } else {
                let key = self.implicit_key()?;
                let key = key.ok_or(SyntaxError {
                    fault: SyntaxFault::KeyWanted,
                    at,
                })?;
                (key, ItemPlace::AfterKey)
            };
            let error = |fault| Err(SyntaxError { fault, at });
            if key == "<<" {
                return error(SyntaxFault::OtherMapping);
            }
            if !is_new_key(&entries, &mut seen, &key) {
                return error(SyntaxFault::DuplicateKey);
            }
            let value = self.value_after_indicator(column, place)?;
            entries.push(Entry { at, key, value });
            match self.next_line()? {
                Some(next) if next > column => return Err(self.fault(SyntaxFault::Indentation)),
                Some(next) if next == column => {}
                _ => break,
            }
        }
        self.leave();
        Ok(Value::Mapping(entries))
    }

    /// What follows `-`, `key:` or the `:` of an explicit key, in a collection at `column`.
    fn value_after_indicator(
        &mut self,
        column: usize,
        place: ItemPlace,
    ) -> Result<Node<'a>, SyntaxError> {
        self.skip_spaces();
        let at = self.at;
        if !matches!(self.peek(), None | Some(b'\n' | b'#')) {
            return match place {
                ItemPlace::AfterKey => {
                    let value = self.inline_value(column + 1)?;
                    Ok(Node { at, value })
                }
                ItemPlace::InSequence | ItemPlace::AfterExplicitKey => self.block_node(column + 1),
            };
        }
        self.end_of_line()?;
        match self.next_line()? {
            Some(next) if next > column => self.block_node(column + 1),
            Some(next)
                if next == column
                    && place != ItemPlace::InSequence
                    && self.peek() == Some(b'-')
                    && self.is_blank_at(self.at + 1) =>
            {
                self.block_node(column + 1)
            }
            _ => Ok(Node {
                at,
                value: Value::Empty,
            }),
        }
    }

    /// `? key`, then on a line of its own `:`; stands after that.
    fn explicit_key(&mut self, column: usize) -> Result<Cow<'a, str>, SyntaxError> {
        self.at += 1;
        self.skip_spaces();
        let at = self.at;
        if matches!(self.peek(), Some(b'[' | b'{' | b'|' | b'>')) {
            return Err(self.fault(SyntaxFault::OtherMapping));
        }
        let key = match self.inline_value(column + 1)? {
            Value::Plain(key) | Value::Text(key) => key,
            _ => {
                return Err(SyntaxError {
                    fault: SyntaxFault::OtherMapping,
                    at,
                });
            }
        };
        let is_colon = self.next_line()? == Some(column)
            && self.peek() == Some(b':')
            && self.is_blank_at(self.at + 1);
        if !is_colon {
            return Err(self.fault(SyntaxFault::KeyWanted));
        }
        self.at += 1;
        Ok(key)
    }

    /// `key:` at `at`, and stands after the colon; stays where it is if there is none.
    fn implicit_key(&mut self) -> Result<Option<Cow<'a, str>>, SyntaxError> {
        let start = self.at;
        if matches!(self.peek(), Some(b'\'' | b'"')) {
            let line_start = self.line_start;
            let key = self.quoted()?;
            self.skip_spaces();
            let is_key = self.peek() == Some(b':')
                && self.is_blank_at(self.at + 1)
                && self.line_start == line_start;
            if is_key {
                self.at += 1;
                return Ok(Some(key));
            }
            self.at = start;
            self.line_start = line_start;
            return Ok(None);
        }
        let line = &self.text[start..self.line_end()];
        let Some(end) = key_end(line) else {
            return Ok(None);
        };
        self.check_plain_start()?;
        let key = line[..end].trim_end_matches(' ');
        if let Some(offset) = key.find('\t') {
            self.at += offset;
            return Err(self.fault(SyntaxFault::Tab));
        }
        self.at = start + end + 1;
        Ok(Some(Cow::Borrowed(key)))
    }
}

/// Where a value stands, which says what it may be.
#[derive(Clone, Copy, PartialEq, Eq)]
enum ItemPlace {
    /// After `-`: anything may start on the same line.
    InSequence,
    /// After `key:`: a block collection starts on the next line only.
    AfterKey,
    /// After the `:` of an explicit key: as in a sequence, and a sequence may stand below it.
    AfterExplicitKey,
}

/// Where the colon is that makes the start of `line` a plain key.
fn key_end(line: &str) -> Option<usize> {
    let bytes = line.as_bytes();
    if matches!(bytes.first(), Some(b'[' | b'{' | b'#' | b'|' | b'>')) {
        return None;
    }
    let ends_key = |&at: &usize| matches!(bytes.get(at + 1), None | Some(b' ' | b'\t'));
    let end = memchr::memchr_iter(b':', bytes).find(ends_key)?;
    let comment = memchr::memmem::find(&bytes[..end], b" #");
    comment.is_none().then_some(end)
}

pub(super) fn is_new_key<'a>(
    entries: &[Entry<'a>],
    seen: &mut HashSet<Cow<'a, str>>,
    key: &str,
) -> bool {
    if entries.len() < PAIRWISE_KEYS_MAX {
        return entries.iter().all(|entry| entry.key != key);
    }
    if seen.is_empty() {
        seen.extend(entries.iter().map(|entry| entry.key.clone()));
    }
    seen.insert(Cow::Owned(key.to_owned()))
}
