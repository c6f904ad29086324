//! `bun.lock`: JSON with comments and commas at the end of lists.

use serde_json::Value;

use super::error::ForeignFault;
use super::versions::{Versions, split};
use crate::install::package_lock::json_object;
use crate::name::PackageName;

/// What the project's `overrides` or `resolutions` asked for when it was locked. Those that are
/// about one dependant alone have no form here.
pub(super) fn overrides(text: &str) -> Result<Vec<(PackageName, String)>, ForeignFault> {
    let top = json_object(&plain(text))?;
    let Some(overrides) = top.get("overrides") else {
        return Ok(Vec::new());
    };
    let shape = || ForeignFault::shape("overrides", "an object");
    let mut all = Vec::new();
    for (name, specifier) in overrides.as_object().ok_or_else(shape)? {
        let name = PackageName::new(name).map_err(|source| ForeignFault::Name {
            name: name.clone(),
            source,
        })?;
        if let Some(specifier) = specifier.as_str() {
            all.push((name, specifier.to_owned()));
        }
    }
    Ok(all)
}

pub(super) fn read(text: &str) -> Result<Versions, ForeignFault> {
    let top = json_object(&plain(text))?;
    let Some(Value::Object(packages)) = top.get("packages") else {
        return Err(ForeignFault::shape("packages", "an object"));
    };
    let mut versions = Versions::default();
    for (key, entry) in packages {
        // `"a/b": ["b@1.0.0", registry, { … }, digest]`: the key is a place.
        let id = entry.get(0).and_then(Value::as_str).and_then(split);
        let (name, version) = id.ok_or_else(|| ForeignFault::shape(key, "a name and a version"))?;
        versions.add(name, version)?;
    }
    Ok(versions)
}

/// The same with blanks instead of comments and of commas at the end of lists, so that errors
/// still name the right place.
fn plain(text: &str) -> String {
    let bytes = text.as_bytes();
    let mut plain = bytes.to_vec();
    let mut comma = None;
    let mut at = 0;
    while let Some(byte) = bytes.get(at) {
        let end = match (byte, bytes.get(at + 1)) {
            (b'"', _) => {
                comma = None;
                at = end_of_string(bytes, at);
                continue;
            }
            (b'/', Some(b'/')) => find(bytes, at, b"\n").unwrap_or(bytes.len()),
            (b'/', Some(b'*')) => find(bytes, at + 2, b"*/").map_or(bytes.len(), |end| end + 2),
            _ => at,
        };
        if end > at {
            blank(&mut plain[at..end]);
            at = end;
            continue;
        }
        match byte {
            b',' => comma = Some(at),
            b'}' | b']' => {
                if let Some(comma) = comma.take() {
                    plain[comma] = b' ';
                }
            }
            byte if byte.is_ascii_whitespace() => {}
            _ => comma = None,
        }
        at += 1;
    }
    // Only whole comments and single ASCII letters were replaced.
    String::from_utf8_lossy(&plain).into_owned()
}

/// The place behind the string that begins at `at`.
fn end_of_string(bytes: &[u8], at: usize) -> usize {
    let mut at = at + 1;
    while let Some(byte) = bytes.get(at) {
        match byte {
            b'"' => return at + 1,
            b'\\' => at += 2,
            _ => at += 1,
        }
    }
    bytes.len()
}

fn find(bytes: &[u8], from: usize, what: &[u8]) -> Option<usize> {
    let rest = bytes.get(from..)?;
    let found = rest.windows(what.len()).position(|window| window == what)?;
    Some(from + found)
}

fn blank(bytes: &mut [u8]) {
    for byte in bytes.iter_mut().filter(|byte| **byte != b'\n') {
        *byte = b' ';
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn comments_and_last_commas_are_blank_and_strings_stay() {
        for (text, expected) in [
            ("[1, 2,]", "[1, 2 ]"),
            ("{\"a\": [1,\n],\n}", "{\"a\": [1 \n] \n}"),
            ("[1, // x,]\n 2]", "[1,       \n 2]"),
            ("[1, /* é */]", "[1          ]"),
            (r#"["//,]", "\",]", "\\",]"#, r#"["//,]", "\",]", "\\" ]"#),
            ("\"open", "\"open"),
            ("\"open\\", "\"open\\"),
            ("/* open", "       "),
            ("/*/", "   "),
        ] {
            assert_eq!(plain(text), expected, "{text}");
        }
    }
}
