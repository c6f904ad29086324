//! What a node must be, and where it is if it is not.

use indexmap::IndexMap;
use serde_json::Value as Json;

use crate::install::lockfile::yaml::{self, Entry, Node, Plain, Value, resolve_plain};
use crate::install::lockfile::{DepPathError, LockfileError};
use crate::name::{NameError, PackageName, escaped};

/// Knows the text, so that errors can name lines.
pub(super) struct Reader<'a> {
    text: &'a str,
    /// Where in `text` the document starts that is read.
    start: usize,
}

impl<'a> Reader<'a> {
    /// For the document that starts at byte `start`.
    pub(super) fn new(text: &'a str, start: usize) -> Self {
        Self { text, start }
    }

    pub(super) fn parse<'d>(&self, document: &'d str) -> Result<Node<'d>, LockfileError> {
        yaml::parse(document).map_err(|error| LockfileError::Syntax {
            line: self.line(error.at),
            fault: error.fault,
        })
    }

    /// The line of a byte of the document.
    pub(super) fn line(&self, at: usize) -> usize {
        let before = &self.text.as_bytes()[..self.start + at];
        1 + memchr::memchr_iter(b'\n', before).count()
    }

    pub(super) fn shape(&self, at: usize, what: &'static str, key: &str) -> LockfileError {
        LockfileError::Shape {
            line: self.line(at),
            what,
            key: escaped(key),
        }
    }

    pub(super) fn name_error(&self, at: usize, name: &str, source: NameError) -> LockfileError {
        LockfileError::Name {
            line: self.line(at),
            name: escaped(name),
            source,
        }
    }

    pub(super) fn dep_path_error(
        &self,
        at: usize,
        key: &str,
        source: DepPathError,
    ) -> LockfileError {
        match source {
            DepPathError::Name(source) => self.name_error(at, key, source),
            source => LockfileError::DepPath {
                line: self.line(at),
                key: escaped(key),
                source,
            },
        }
    }

    pub(super) fn package_name(&self, at: usize, name: &str) -> Result<PackageName, LockfileError> {
        PackageName::new(name).map_err(|source| self.name_error(at, name, source))
    }

    pub(super) fn mapping<'n>(
        &self,
        node: &'n Node<'a>,
        key: &str,
    ) -> Result<&'n [Entry<'a>], LockfileError> {
        match &node.value {
            Value::Mapping(entries) => Ok(entries),
            _ => Err(self.shape(node.at, "a mapping", key)),
        }
    }

    /// Text; what YAML reads as a number, a boolean or null is not.
    pub(super) fn text<'n>(&self, node: &'n Node<'a>, key: &str) -> Result<&'n str, LockfileError> {
        match &node.value {
            Value::Text(text) => Ok(text),
            Value::Plain(text) if matches!(resolve_plain(text), Plain::Text | Plain::Special) => {
                Ok(text)
            }
            Value::Plain(_) => {
                Err(self.shape(node.at, "text (in quotes, if it looks like a number)", key))
            }
            _ => Err(self.shape(node.at, "text", key)),
        }
    }

    pub(super) fn boolean(&self, node: &Node<'a>, key: &str) -> Result<bool, LockfileError> {
        if let Value::Plain(text) = &node.value
            && let Plain::Boolean(value) = resolve_plain(text)
        {
            return Ok(value);
        }
        Err(self.shape(node.at, "`true` or `false`", key))
    }

    pub(super) fn text_list(
        &self,
        node: &Node<'a>,
        key: &str,
    ) -> Result<Vec<Box<str>>, LockfileError> {
        match &node.value {
            Value::Sequence(items) => {
                let items = items.iter().map(|item| Ok(self.text(item, key)?.into()));
                items.collect()
            }
            _ => Err(self.shape(node.at, "a list", key)),
        }
    }

    pub(super) fn text_mapping(
        &self,
        node: &Node<'a>,
        key: &str,
    ) -> Result<IndexMap<Box<str>, Box<str>>, LockfileError> {
        let entries = self.mapping(node, key)?.iter();
        let entries = entries.map(|entry| {
            Ok((
                (&*entry.key).into(),
                self.text(&entry.value, &entry.key)?.into(),
            ))
        });
        entries.collect()
    }

    pub(super) fn json_mapping(
        &self,
        node: &Node<'a>,
        key: &str,
    ) -> Result<IndexMap<Box<str>, Json>, LockfileError> {
        let entries = self.mapping(node, key)?.iter();
        let entries = entries.map(|entry| ((&*entry.key).into(), self.json(&entry.value)));
        Ok(entries.collect())
    }

    /// Anything, as YAML's types say. Its depth is limited by the parser.
    pub(super) fn json(&self, node: &Node<'a>) -> Json {
        match &node.value {
            Value::Empty => Json::Null,
            Value::Text(text) => Json::String(text.to_string()),
            Value::Plain(text) => plain_json(text),
            Value::Sequence(items) => items.iter().map(|item| self.json(item)).collect(),
            Value::Mapping(entries) => {
                let entries = entries.iter();
                entries
                    .map(|entry| (entry.key.to_string(), self.json(&entry.value)))
                    .collect::<serde_json::Map<_, _>>()
                    .into()
            }
        }
    }
}

fn plain_json(text: &str) -> Json {
    match resolve_plain(text) {
        Plain::Null => Json::Null,
        Plain::Boolean(value) => Json::Bool(value),
        // Numbers that JSON cannot write (hexadecimal, infinite) stay as their text.
        Plain::Number => match serde_json::from_str(text) {
            Ok(number @ Json::Number(_)) => number,
            _ => Json::String(text.to_owned()),
        },
        Plain::Special | Plain::Text => Json::String(text.to_owned()),
    }
}
