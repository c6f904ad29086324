//! YAML as pnpm emits it: js-yaml's rules of when to quote, with pnpm's choice of what is written
//! in flow style.

use serde_json::Value as Json;

use crate::install::lockfile::yaml::{Plain, resolve_plain};

/// Where a scalar stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Place {
    /// A key of a block mapping.
    Key,
    /// A value, whose own key is indented by so many spaces.
    Block(usize),
    /// Inside `[…]` or `{…}`.
    Flow,
}

/// Longer keys are written as `? key`, for YAML allows no more in front of a colon.
const IMPLICIT_KEY_LENGTH_MAX: usize = 1024;

/// Makes text. Indentation is counted in spaces.
#[derive(Debug, Default)]
pub(super) struct Emitter {
    pub(super) out: String,
    /// Keys that come before all others, in this order, however deep. Where a dependency has such
    /// a name, it comes first too.
    pub(super) first_keys: &'static [&'static str],
}

/// What comes first in entries of `importers`.
pub(super) const IMPORTER_KEYS: [&str; 9] = [
    "lockfileVersion",
    "settings",
    "catalogs",
    "overrides",
    "packageExtensionsChecksum",
    "pnpmfileChecksum",
    "patchedDependencies",
    "importers",
    "packages",
];

/// What comes first in entries of `packages` and `snapshots`.
pub(super) const PACKAGE_KEYS: [&str; 20] = [
    "resolution",
    "id",
    "name",
    "version",
    "engines",
    "cpu",
    "os",
    "libc",
    "deprecated",
    "hasBin",
    "prepare",
    "requiresBuild",
    "bundleDependencies",
    "peerDependencies",
    "peerDependenciesMeta",
    "dependencies",
    "optionalDependencies",
    "transitivePeerDependencies",
    "dev",
    "optional",
];

impl Emitter {
    pub(super) fn indent(&mut self, spaces: usize) {
        self.out.extend(std::iter::repeat_n(' ', spaces));
    }

    /// `key:` and a line feed.
    pub(super) fn section(&mut self, indent: usize, key: &str) {
        self.indent(indent);
        self.scalar(key, Place::Key);
        self.out.push_str(":\n");
    }

    /// `key: text` and a line feed.
    pub(super) fn field(&mut self, indent: usize, key: &str, text: &str) {
        self.indent(indent);
        self.scalar(key, Place::Key);
        self.out.push_str(": ");
        self.scalar(text, Place::Block(indent));
        self.out.push('\n');
    }

    /// `key: true` or the like, and a line feed.
    pub(super) fn literal(&mut self, indent: usize, key: &str, literal: &str) {
        self.indent(indent);
        self.scalar(key, Place::Key);
        self.out.push_str(": ");
        self.out.push_str(literal);
        self.out.push('\n');
    }

    /// A key whose value is a block mapping, up to where the first key of that is to be written
    /// by [`Emitter::first_indent`].
    pub(super) fn entry_start(&mut self, indent: usize, key: &str) -> EntryStart {
        let start = self.out.len();
        self.indent(indent);
        self.scalar(key, Place::Key);
        let written = &self.out[start + indent..];
        let length = if written.is_ascii() {
            written.len()
        } else {
            written.encode_utf16().count()
        };
        if length <= IMPLICIT_KEY_LENGTH_MAX {
            self.out.push(':');
            return EntryStart::Implicit;
        }
        self.out.insert_str(start + indent, "? ");
        self.out.push('\n');
        self.indent(indent);
        self.out.push(':');
        EntryStart::Explicit
    }

    /// A value of any kind after `key`, and a line feed.
    pub(super) fn json(&mut self, indent: usize, key: &str, value: &Json) {
        self.indent(indent);
        self.json_entry(indent, key, value);
    }

    /// As [`Emitter::json`], where the indentation is written already.
    pub(super) fn json_entry(&mut self, indent: usize, key: &str, value: &Json) {
        self.scalar(key, Place::Key);
        self.out.push(':');
        match value {
            Json::Object(fields) if !fields.is_empty() && !is_flow(key, value) => {
                self.out.push('\n');
                self.json_fields(indent + 2, value, true);
            }
            Json::Array(items) if !items.is_empty() && !is_flow(key, value) => {
                self.out.push('\n');
                self.json_items(indent + 2, items);
            }
            _ => {
                self.out.push(' ');
                self.json_inline(value, Place::Block(indent));
                self.out.push('\n');
            }
        }
    }

    fn json_fields(&mut self, indent: usize, value: &Json, indents_first: bool) {
        for (index, (key, value)) in sorted_fields(value, self.first_keys)
            .into_iter()
            .enumerate()
        {
            if index > 0 || indents_first {
                self.indent(indent);
            }
            self.json_entry(indent, key, value);
        }
    }

    fn json_items(&mut self, indent: usize, items: &[Json]) {
        for item in items {
            self.indent(indent);
            self.out.push_str("- ");
            match item {
                Json::Object(fields) if !fields.is_empty() => {
                    self.json_fields(indent + 2, item, false);
                }
                _ => {
                    self.json_inline(item, Place::Block(indent));
                    self.out.push('\n');
                }
            }
        }
    }

    /// A value on one line.
    pub(super) fn json_inline(&mut self, value: &Json, place: Place) {
        match value {
            Json::Null => self.out.push_str("null"),
            Json::Bool(value) => self.out.push_str(if *value { "true" } else { "false" }),
            Json::Number(number) => self.out.push_str(&number.to_string()),
            Json::String(text) => self.scalar(text, place),
            Json::Array(items) => {
                self.out.push('[');
                for (index, item) in items.iter().enumerate() {
                    self.separator(index);
                    self.json_inline(item, Place::Flow);
                }
                self.out.push(']');
            }
            Json::Object(_) => {
                self.out.push('{');
                for (index, (key, value)) in sorted_fields(value, self.first_keys)
                    .into_iter()
                    .enumerate()
                {
                    self.separator(index);
                    self.scalar(key, Place::Flow);
                    self.out.push_str(": ");
                    self.json_inline(value, Place::Flow);
                }
                self.out.push('}');
            }
        }
    }

    /// What stands between the items of a flow collection, before the one at `index`.
    pub(super) fn separator(&mut self, index: usize) {
        if index > 0 {
            self.out.push_str(", ");
        }
    }

    pub(super) fn scalar(&mut self, text: &str, place: Place) {
        match style(text, place) {
            Style::Plain => self.out.push_str(text),
            Style::Single => {
                self.out.push('\'');
                for (index, part) in text.split('\'').enumerate() {
                    if index > 0 {
                        self.out.push_str("''");
                    }
                    self.out.push_str(part);
                }
                self.out.push('\'');
            }
            Style::Double => self.double_quoted(text),
            Style::Literal => {
                let indent = match place {
                    Place::Block(indent) => indent + 2,
                    Place::Key | Place::Flow => 0,
                };
                self.literal_block(text, indent);
            }
        }
    }

    fn double_quoted(&mut self, text: &str) {
        self.out.push('"');
        for character in text.chars() {
            match short_escape(character) {
                Some(escape) => {
                    self.out.push('\\');
                    self.out.push(escape);
                }
                None if is_printable(character) => self.out.push(character),
                None => {
                    let code = u32::from(character);
                    let escape = match code {
                        0..=0xff => format!("\\x{code:02X}"),
                        0x100..=0xffff => format!("\\u{code:04X}"),
                        _ => format!("\\U{code:08X}"),
                    };
                    self.out.push_str(&escape);
                }
            }
        }
        self.out.push('"');
    }

    /// `|` and its lines; without the line feed at its end, which the caller writes.
    fn literal_block(&mut self, text: &str, indent: usize) {
        self.out.push('|');
        if text.trim_start_matches('\n').starts_with(' ') {
            self.out.push('2');
        }
        let body = match text.strip_suffix('\n') {
            None => {
                self.out.push('-');
                text
            }
            Some(body) if body.is_empty() || body.ends_with('\n') => {
                self.out.push('+');
                body
            }
            Some(body) => body,
        };
        for line in body.split('\n') {
            self.out.push('\n');
            if !line.is_empty() {
                self.indent(indent);
                self.out.push_str(line);
            }
        }
    }
}

/// How a mapping's entry was begun.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum EntryStart {
    /// `key:`; a mapping starts on the next line.
    Implicit,
    /// `? key`, `:`; a mapping starts on the same line.
    Explicit,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Style {
    Plain,
    Single,
    Double,
    Literal,
}

fn style(text: &str, place: Place) -> Style {
    let (Some(first), Some(last)) = (text.chars().next(), text.chars().next_back()) else {
        return Style::Single;
    };
    let mut is_plain = is_plain_first(first) && !is_white_space(last) && last != ':';
    let mut has_line_feed = false;
    let is_flow = place == Place::Flow;
    let mut previous = None;
    for character in text.chars() {
        if character == '\n' && matches!(place, Place::Block(_)) {
            has_line_feed = true;
        } else if !is_printable(character) || character == '\n' {
            return Style::Double;
        }
        is_plain = is_plain && is_plain_safe(character, previous, is_flow);
        previous = Some(character);
    }
    if has_line_feed {
        Style::Literal
    } else if is_plain && resolve_plain(text) == Plain::Text {
        Style::Plain
    } else {
        Style::Single
    }
}

fn is_plain_first(character: char) -> bool {
    is_printable(character)
        && !is_white_space(character)
        && !"-?:,[]{}#&*!|=>'\"%@`".contains(character)
}

fn is_plain_safe(character: char, previous: Option<char>, is_flow: bool) -> bool {
    let is_content = !is_white_space(character);
    let is_allowed = !is_flow || !",[]{}".contains(character);
    match (previous, character) {
        // A colon ends a key only before a space.
        (Some(':'), _) if is_content => true,
        (Some(':'), _) => false,
        (Some(before), '#') => !is_white_space(before),
        (None, '#') => false,
        _ => is_allowed,
    }
}

fn is_white_space(character: char) -> bool {
    matches!(character, ' ' | '\t')
}

/// What YAML calls printable, without the byte-order mark and the separators of lines, which are
/// always escaped.
fn is_printable(character: char) -> bool {
    matches!(character,
        '\u{20}'..='\u{7e}'
        | '\u{a1}'..='\u{2027}'
        | '\u{202a}'..='\u{d7ff}'
        | '\u{e000}'..='\u{fefe}'
        | '\u{ff00}'..='\u{fffd}'
        | '\u{10000}'..='\u{10ffff}')
}

fn short_escape(character: char) -> Option<char> {
    Some(match character {
        '\0' => '0',
        '\u{7}' => 'a',
        '\u{8}' => 'b',
        '\t' => 't',
        '\n' => 'n',
        '\u{b}' => 'v',
        '\u{c}' => 'f',
        '\r' => 'r',
        '\u{1b}' => 'e',
        '"' => '"',
        '\\' => '\\',
        '\u{85}' => 'N',
        '\u{a0}' => '_',
        '\u{2028}' => 'L',
        '\u{2029}' => 'P',
        _ => return None,
    })
}

/// Whether pnpm writes the value of `key` on one line.
fn is_flow(key: &str, value: &Json) -> bool {
    match key {
        "cpu" | "engines" | "os" | "libc" => true,
        "resolution" => !matches!(value["type"].as_str(), Some("variations" | "binary")),
        _ => false,
    }
}

/// Entries, sorted by their keys, in the order in which pnpm writes them.
pub(super) fn put_first<T>(entries: &mut [T], first_keys: &[&str], key: impl Fn(&T) -> &str) {
    let rank = |entry: &T| {
        let place = first_keys.iter().position(|first| *first == key(entry));
        place.unwrap_or(first_keys.len())
    };
    if entries.iter().any(|entry| rank(entry) < first_keys.len()) {
        entries.sort_by_key(rank);
    }
}

/// The fields of an object in the order in which pnpm writes them.
pub(super) fn sorted_fields<'v>(value: &'v Json, first_keys: &[&str]) -> Vec<(&'v str, &'v Json)> {
    let Json::Object(fields) = value else {
        return Vec::new();
    };
    let mut fields: Vec<(&str, &Json)> = fields
        .iter()
        .map(|(key, value)| (key.as_str(), value))
        .collect();
    fields.sort_by(|left, right| compare_code_units(left.0, right.0));
    put_first(&mut fields, first_keys, |field| field.0);
    fields
}

/// JavaScript's order of strings.
pub(super) fn compare_code_units(left: &str, right: &str) -> std::cmp::Ordering {
    if left.is_ascii() && right.is_ascii() {
        left.cmp(right)
    } else {
        left.encode_utf16().cmp(right.encode_utf16())
    }
}
