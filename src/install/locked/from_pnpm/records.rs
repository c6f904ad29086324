//! Rows of pnpm's store: MessagePack with the records of msgpackr, of which only the files are
//! wanted.
//!
//! A record is a list of names that is given once, under a number (0x40 to 0x7f), and from then on
//! the values alone. Everything else is plain MessagePack.

use std::collections::HashMap;

/// Nothing in such a row is nested more deeply.
const DEPTH_MAX: usize = 32;

/// A file of a package.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct StoredFile {
    /// Relative to the package, as it stands.
    pub(super) path: String,
    /// SHA-512, hexadecimal, as it stands.
    pub(super) digest: String,
    /// Whether one of the bits for execution is set.
    pub(super) is_executable: bool,
}

/// The files of a row, `None` where it is not what pnpm writes.
pub(super) fn files(row: &[u8]) -> Option<Vec<StoredFile>> {
    let mut reader = Reader {
        rest: row,
        shapes: HashMap::new(),
    };
    let value = reader.value(0)?;
    if value.get("algo")?.text()? != "sha512" {
        return None;
    }
    let Value::Map(entries) = value.get("files")? else {
        return None;
    };
    let file = |(path, facts): &(Value<'_>, Value<'_>)| {
        let Some(Value::Number(mode)) = facts.get("mode") else {
            return None;
        };
        Some(StoredFile {
            path: path.text()?.to_owned(),
            digest: facts.get("digest")?.text()?.to_owned(),
            is_executable: *mode & 0o111 != 0,
        })
    };
    entries.iter().map(file).collect()
}

#[derive(Debug, Clone)]
enum Value<'a> {
    /// What nobody here asks about.
    Other,
    Number(u64),
    Text(&'a str),
    List,
    Map(Vec<(Value<'a>, Value<'a>)>),
}

impl<'a> Value<'a> {
    fn get(&self, name: &str) -> Option<&Value<'a>> {
        let Self::Map(entries) = self else {
            return None;
        };
        let found = entries.iter().find(|(key, _)| key.text() == Some(name));
        found.map(|(_, value)| value)
    }

    fn text(&self) -> Option<&'a str> {
        match self {
            Self::Text(text) => Some(text),
            _ => None,
        }
    }
}

struct Reader<'a> {
    rest: &'a [u8],
    shapes: HashMap<u8, Vec<&'a str>>,
}

impl<'a> Reader<'a> {
    fn bytes(&mut self, count: usize) -> Option<&'a [u8]> {
        let (taken, rest) = self.rest.split_at_checked(count)?;
        self.rest = rest;
        Some(taken)
    }

    fn unsigned(&mut self, bytes: usize) -> Option<u64> {
        let taken = self.bytes(bytes)?;
        Some(
            taken
                .iter()
                .fold(0, |sum, byte| sum << 8 | u64::from(*byte)),
        )
    }

    fn count(&mut self, bytes: usize) -> Option<usize> {
        usize::try_from(self.unsigned(bytes)?).ok()
    }

    fn value(&mut self, depth: usize) -> Option<Value<'a>> {
        if depth > DEPTH_MAX {
            return None;
        }
        let [tag] = *self.bytes(1)? else {
            return None;
        };
        match tag {
            0x00..=0x3f => Some(Value::Number(u64::from(tag))),
            0x40..=0x7f => self.record(tag, depth),
            0x80..=0x8f => self.map(usize::from(tag & 0x0f), depth),
            0x90..=0x9f => self.list(usize::from(tag & 0x0f), depth),
            0xa0..=0xbf => self.text(usize::from(tag & 0x1f)),
            0xc0 | 0xc2 | 0xc3 | 0xe0..=0xff => Some(Value::Other),
            0xcc..=0xcf => Some(Value::Number(self.unsigned(1 << (tag - 0xcc))?)),
            0xd0..=0xd3 => self.skip(1 << (tag - 0xd0)),
            0xca => self.skip(4),
            0xcb => {
                let float = f64::from_bits(self.unsigned(8)?);
                let is_whole = float.fract() == 0.0 && (0.0..9e15).contains(&float);
                #[expect(
                    clippy::cast_possible_truncation,
                    clippy::cast_sign_loss,
                    reason = "it is whole and within the range"
                )]
                Some(if is_whole {
                    Value::Number(float as u64)
                } else {
                    Value::Other
                })
            }
            0xd9..=0xdb => {
                let count = self.count(1 << (tag - 0xd9))?;
                self.text(count)
            }
            0xc4..=0xc6 => {
                let count = self.count(1 << (tag - 0xc4))?;
                self.skip(count)
            }
            0xdc | 0xdd => {
                let count = self.count(2 << (tag - 0xdc))?;
                self.list(count, depth)
            }
            0xde | 0xdf => {
                let count = self.count(2 << (tag - 0xde))?;
                self.map(count, depth)
            }
            0xd4 => self.shape(depth),
            0xd5..=0xd8 => self.skip(1 + (2 << (tag - 0xd5))),
            0xc7..=0xc9 => {
                let count = self.count(1 << (tag - 0xc7))?;
                self.skip(count.checked_add(1)?)
            }
            0xc1 => None,
        }
    }

    fn skip(&mut self, count: usize) -> Option<Value<'a>> {
        self.bytes(count)?;
        Some(Value::Other)
    }

    fn text(&mut self, count: usize) -> Option<Value<'a>> {
        let text = std::str::from_utf8(self.bytes(count)?).ok()?;
        Some(Value::Text(text))
    }

    fn list(&mut self, count: usize, depth: usize) -> Option<Value<'a>> {
        for _ in 0..count {
            self.value(depth + 1)?;
        }
        Some(Value::List)
    }

    fn map(&mut self, count: usize, depth: usize) -> Option<Value<'a>> {
        // What is announced may be more than there is.
        let mut entries = Vec::new();
        for _ in 0..count {
            entries.push((self.value(depth + 1)?, self.value(depth + 1)?));
        }
        Some(Value::Map(entries))
    }

    /// The names of a record, and the first of its kind.
    fn shape(&mut self, depth: usize) -> Option<Value<'a>> {
        let [kind, slot] = *self.bytes(2)? else {
            return None;
        };
        if kind != b'r' {
            // Another extension of one byte.
            return Some(Value::Other);
        }
        let count = match *self.bytes(1)? {
            [tag @ 0x90..=0x9f] => usize::from(tag & 0x0f),
            [0xdc] => self.count(2)?,
            _ => return None,
        };
        let mut names = Vec::new();
        for _ in 0..count {
            names.push(self.value(depth + 1)?.text()?);
        }
        self.shapes.insert(slot, names);
        self.record(slot, depth)
    }

    fn record(&mut self, slot: u8, depth: usize) -> Option<Value<'a>> {
        let names = self.shapes.get(&slot)?.clone();
        let mut entries = Vec::new();
        for name in names {
            entries.push((Value::Text(name), self.value(depth + 1)?));
        }
        Some(Value::Map(entries))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(text: &str) -> Vec<u8> {
        let mut out = vec![0xd9, u8::try_from(text.len()).expect("short")];
        out.extend(text.as_bytes());
        out
    }

    /// As pnpm 12.21 writes it: two files of one shape.
    fn row() -> Vec<u8> {
        let mut row = vec![0xd4, 0x72, 0x40, 0x93];
        row.extend([text("algo"), text("requiresBuild"), text("files")].concat());
        row.extend(text("sha512"));
        row.extend([0xc2, 0x82]);
        row.extend(text("a"));
        row.extend([0xd4, 0x72, 0x41, 0x94]);
        row.extend(
            [
                text("digest"),
                text("mode"),
                text("size"),
                text("checkedAt"),
            ]
            .concat(),
        );
        row.extend(text("aa"));
        row.extend([0xcd, 0x01, 0xa4, 0x05]);
        row.extend([0xcb]);
        row.extend(1.7e12_f64.to_be_bytes());
        row.extend(text("bin/b"));
        row.push(0x41);
        row.extend(text("bb"));
        row.extend([0xcd, 0x01, 0xed, 0xcc, 0x50, 0xc0]);
        row
    }

    #[test]
    fn files_are_read_from_records() {
        let file = |path: &str, digest: &str, is_executable| StoredFile {
            path: path.to_owned(),
            digest: digest.to_owned(),
            is_executable,
        };
        let expected = vec![file("a", "aa", false), file("bin/b", "bb", true)];
        assert_eq!(files(&row()), Some(expected));
    }

    #[test]
    fn what_is_cut_off_or_odd_is_nothing() {
        let row = row();
        for end in 0..row.len() {
            assert_eq!(files(&row[..end]), None, "{end}");
        }
        for odd in [
            &[0xdf, 0xff, 0xff, 0xff, 0xff][..],
            &[0x91; 100],
            &[0x45],
            &[0xd4, 0x72, 0x40, 0x91, 0x01],
            &[0xc1],
        ] {
            assert_eq!(files(odd), None, "{odd:?}");
        }
    }
}
