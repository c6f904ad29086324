//! Flow collections: `[a, b]` and `{a: b}`, on one line or several.

use std::borrow::Cow;
use std::collections::HashSet;

use super::block::is_new_key;
use super::{Entry, Node, Parser, SyntaxError, SyntaxFault, Value};

impl<'a> Parser<'a> {
    /// The collection whose bracket is at `at`.
    pub(super) fn flow(&mut self) -> Result<Value<'a>, SyntaxError> {
        self.enter()?;
        let is_mapping = self.peek() == Some(b'{');
        self.at += 1;
        let value = if is_mapping {
            self.flow_mapping()?
        } else {
            self.flow_sequence()?
        };
        self.leave();
        Ok(value)
    }

    fn flow_sequence(&mut self) -> Result<Value<'a>, SyntaxError> {
        let mut items = Vec::new();
        loop {
            self.skip_flow_space()?;
            if self.peek() == Some(b']') {
                break;
            }
            items.push(self.flow_node()?);
            self.skip_flow_space()?;
            match self.peek() {
                Some(b',') => self.at += 1,
                Some(b']') => break,
                Some(b':') => return Err(self.fault(SyntaxFault::OtherMapping)),
                _ => return Err(self.fault(SyntaxFault::OpenFlow)),
            }
        }
        self.at += 1;
        Ok(Value::Sequence(items))
    }

    fn flow_mapping(&mut self) -> Result<Value<'a>, SyntaxError> {
        let mut entries: Vec<Entry<'a>> = Vec::new();
        let mut seen = HashSet::new();
        loop {
            self.skip_flow_space()?;
            if self.peek() == Some(b'}') {
                break;
            }
            let entry = self.flow_entry()?;
            if !is_new_key(&entries, &mut seen, &entry.key) {
                return Err(SyntaxError {
                    fault: SyntaxFault::DuplicateKey,
                    at: entry.at,
                });
            }
            entries.push(entry);
            self.skip_flow_space()?;
            match self.peek() {
                Some(b',') => self.at += 1,
                Some(b'}') => break,
                _ => return Err(self.fault(SyntaxFault::OpenFlow)),
            }
        }
        self.at += 1;
        Ok(Value::Mapping(entries))
    }

    fn flow_entry(&mut self) -> Result<Entry<'a>, SyntaxError> {
        let at = self.at;
        if matches!(self.peek(), Some(b'[' | b'{')) {
            return Err(self.fault(SyntaxFault::OtherMapping));
        }
        let key = match self.flow_node()?.value {
            Value::Plain(key) | Value::Text(key) => key,
            _ => return Err(self.fault(SyntaxFault::OtherMapping)),
        };
        self.skip_flow_space()?;
        if self.peek() != Some(b':') || key == "<<" {
            return Err(self.fault(SyntaxFault::OtherMapping));
        }
        self.at += 1;
        self.skip_flow_space()?;
        let value = if matches!(self.peek(), Some(b',' | b'}')) {
            Node {
                at: self.at,
                value: Value::Empty,
            }
        } else {
            self.flow_node()?
        };
        Ok(Entry { at, key, value })
    }

    fn flow_node(&mut self) -> Result<Node<'a>, SyntaxError> {
        let at = self.at;
        let value = match self.peek() {
            None => return Err(self.fault(SyntaxFault::OpenFlow)),
            Some(b'[' | b'{') => self.flow()?,
            Some(b'\'' | b'"') => Value::Text(self.quoted()?),
            Some(_) => Value::Plain(Cow::Borrowed(self.flow_plain()?)),
        };
        Ok(Node { at, value })
    }

    /// A plain scalar on one line; it ends at the characters that structure the collection.
    fn flow_plain(&mut self) -> Result<&'a str, SyntaxError> {
        self.check_plain_start()?;
        let start = self.at;
        // Only these can end a scalar; the rest, which is nearly everything, is passed over fast.
        let ends = |byte: &u8| b",[]{}\n:#\t".contains(byte);
        while let Some(offset) = self.bytes[self.at..].iter().position(ends) {
            self.at += offset;
            match self.bytes[self.at] {
                b',' | b'[' | b']' | b'{' | b'}' | b'\n' => break,
                b':' if self.ends_flow_key() => break,
                b'#' if self.bytes[self.at - 1] == b' ' => break,
                b'\t' => return Err(self.fault(SyntaxFault::Tab)),
                _ => self.at += 1,
            }
        }
        let text = self.text[start..self.at].trim_end_matches(' ');
        if text.is_empty() {
            return Err(self.fault(SyntaxFault::OpenFlow));
        }
        Ok(text)
    }

    fn ends_flow_key(&self) -> bool {
        let next = self.bytes.get(self.at + 1);
        self.is_blank_at(self.at + 1) || matches!(next, Some(b',' | b'[' | b']' | b'{' | b'}'))
    }

    /// Steps over white space and comments. Tabs indent nothing here, and JSON has them.
    fn skip_flow_space(&mut self) -> Result<(), SyntaxError> {
        loop {
            match self.peek() {
                Some(b' ' | b'\t') => self.at += 1,
                Some(b'\n') => self.start_line(),
                Some(b'#') if matches!(self.bytes[self.at - 1], b' ' | b'\n' | b'\t') => {
                    self.at = self.line_end();
                }
                _ => return Ok(()),
            }
        }
    }
}
