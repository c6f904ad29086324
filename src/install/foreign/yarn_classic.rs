//! `yarn.lock` of yarn 1: keys and values by indentation.
//!
//! ```text
//! # yarn lockfile v1
//!
//! "@s/a@^1.0.0", "@s/a@^1.2.0":
//!   version "1.2.3"
//!   dependencies:
//!     b "^2.0.0"
//! ```

use super::error::ForeignFault;
use super::versions::{Versions, split};

/// An entry that is being read.
struct Entry<'t> {
    /// The number of its first line.
    number: usize,
    keys: Vec<String>,
    version: Option<&'t str>,
}

pub(super) fn read(text: &str) -> Result<Versions, ForeignFault> {
    let mut versions = Versions::default();
    let mut entry: Option<Entry<'_>> = None;
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    for (number, line) in text.lines().enumerate().map(|(at, line)| (at + 1, line)) {
        let line = line.trim_end();
        let content = line.trim_start_matches(' ');
        if content.is_empty() || content.starts_with('#') {
            continue;
        }
        let wrong = |why| ForeignFault::Line { number, why };
        match line.len() - content.len() {
            0 => {
                finish(entry.take(), &mut versions)?;
                let keys = content
                    .strip_suffix(':')
                    .ok_or_else(|| wrong("a key of an entry ends with a colon"))?;
                entry = Some(Entry {
                    number,
                    keys: keys_of(keys).map_err(wrong)?,
                    version: None,
                });
            }
            2 => {
                let Some(entry) = &mut entry else {
                    return Err(wrong("it is below no entry"));
                };
                if let Some(("version", version)) = pair(content).map_err(wrong)?
                    && entry.version.replace(version).is_some()
                {
                    return Err(wrong("the entry has a second version"));
                }
            }
            4 if entry.is_some() => {
                pair(content).map_err(wrong)?;
            }
            _ => return Err(wrong("it is indented as nothing here is")),
        }
    }
    finish(entry, &mut versions)?;
    Ok(versions)
}

/// Adds an entry that is complete.
fn finish(entry: Option<Entry<'_>>, versions: &mut Versions) -> Result<(), ForeignFault> {
    let Some(entry) = entry else {
        return Ok(());
    };
    let wrong = |why| ForeignFault::Line {
        number: entry.number,
        why,
    };
    let version = entry
        .version
        .ok_or_else(|| wrong("the entry has no version"))?;
    for key in &entry.keys {
        let (name, range) = split(key).ok_or_else(|| wrong("a key has no range"))?;
        // An alias has another name in its range, and pins nothing of its own name.
        let version = if range.contains(':') { "" } else { version };
        versions.add(name, version)?;
    }
    Ok(())
}

/// The keys of an entry: with quotes where they have letters that a bare word has not.
fn keys_of(text: &str) -> Result<Vec<String>, &'static str> {
    let mut keys = Vec::new();
    let mut rest = text;
    loop {
        let (key, after) = match rest.starts_with('"') {
            true => {
                let end = end_of_quotes(rest).ok_or("a quotation mark is missing")?;
                (serde_json::from_str(&rest[..end]).ok(), &rest[end..])
            }
            false => {
                let end = rest.find(',').unwrap_or(rest.len());
                (Some(rest[..end].to_owned()), &rest[end..])
            }
        };
        let key: String = key.ok_or("a text is not as JSON has it")?;
        if key.is_empty() || (!rest.starts_with('"') && key.contains([' ', '"', ':'])) {
            return Err("a key is no word");
        }
        keys.push(key);
        match after.strip_prefix(',') {
            Some(next) => rest = next.trim_start(),
            None if after.is_empty() => return Ok(keys),
            None => return Err("keys are separated by commas"),
        }
    }
}

/// The place behind the text in quotes with which `text` begins.
fn end_of_quotes(text: &str) -> Option<usize> {
    let mut is_escaped = false;
    for (at, byte) in text.bytes().enumerate().skip(1) {
        match byte {
            _ if is_escaped => is_escaped = false,
            b'\\' => is_escaped = true,
            b'"' => return Some(at + 1),
            _ => {}
        }
    }
    None
}

/// A key with its value; `None` for one with more below it.
fn pair(content: &str) -> Result<Option<(&str, &str)>, &'static str> {
    let end = match content.starts_with('"') {
        true => end_of_quotes(content).ok_or("a quotation mark is missing")?,
        false => content.find([' ', ':']).unwrap_or(content.len()),
    };
    let (key, rest) = content.split_at(end);
    match rest.strip_prefix(' ') {
        Some(value) => Ok(Some((unquoted(key)?, unquoted(value)?))),
        None if rest == ":" => Ok(None),
        None => Err("it has no value"),
    }
}

fn unquoted(text: &str) -> Result<&str, &'static str> {
    let Some(rest) = text.strip_prefix('"') else {
        return match text.contains(['"', ' ']) {
            true => Err("a value is no word"),
            false => Ok(text),
        };
    };
    match rest.strip_suffix('"') {
        Some(inner) if !inner.contains(['"', '\\']) => Ok(inner),
        _ => Err("a quotation mark is missing"),
    }
}
