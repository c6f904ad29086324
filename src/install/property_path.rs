//! Paths into JSON as commands name them: `scripts.build`, `files[0]`, `a["b.c"]`.

use serde_json::{Map, Value};

use crate::diagnostic::Diagnostic;
use crate::name::escaped;

/// Deeper than this no manifest is read.
const DEPTH_MAX: usize = 100;

/// Longer lists are not made by naming a place behind their end.
const LENGTH_MAX: usize = 10_000;

/// Names that are something else than a field in JavaScript.
const UNSAFE: [&str; 3] = ["__proto__", "constructor", "prototype"];

/// Why a text is no path.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PropertyPathError {
    /// Nothing is named.
    #[error("Cannot use an empty property path")]
    Empty,
    /// A character has no meaning where it stands.
    #[error(
        "Invalid property path: Unexpected token \"{}\" in property path",
        escaped(token)
    )]
    Token {
        /// Which.
        token: String,
    },
    /// It ends where more is wanted.
    #[error("Invalid property path: The property path does not end properly")]
    End,
    /// Letters behind a number.
    #[error(
        "Invalid property path: Numeric suffix \"{}\" is not supported",
        escaped(suffix)
    )]
    Suffix {
        /// Which.
        suffix: String,
    },
    /// A name with a meaning of its own.
    #[error("Key \"{key}\" is not allowed in a property path")]
    Unsafe {
        /// Which.
        key: String,
    },
    /// It names too many fields, or a place too far behind the end of a list.
    #[error("Invalid property path: it is too deep, or names a place too far behind a list's end")]
    TooFar,
}

impl Diagnostic for PropertyPathError {
    fn code(&self) -> &'static str {
        match self {
            Self::Empty => "ERR_PNPM_PKG_EMPTY_PROPERTY_PATH",
            Self::Unsafe { .. } => "ERR_PNPM_UNSAFE_PROPERTY_PATH_KEY",
            _ => "ERR_PNPM_PKG_INVALID_PROPERTY_PATH",
        }
    }

    fn hint(&self) -> Option<String> {
        match self {
            Self::Token { .. } | Self::Suffix { .. } => {
                Some("put names with other characters into brackets: scripts[\"a:b\"]".to_owned())
            }
            _ => None,
        }
    }
}

/// One step of a path.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Step {
    Key(String),
    Index(usize),
}

/// A path to a value in JSON.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PropertyPath(Vec<Step>);

impl PropertyPath {
    /// Reads `text`.
    ///
    /// # Errors
    /// It is none.
    pub fn parse(text: &str) -> Result<Self, PropertyPathError> {
        let mut steps = Vec::new();
        let mut rest = text;
        while !rest.is_empty() {
            let (step, after) = match rest.strip_prefix('[') {
                Some(inside) => in_brackets(inside)?,
                None => match rest.strip_prefix('.') {
                    Some("") => return Err(PropertyPathError::End),
                    Some(after) => bare(after)?,
                    None if steps.is_empty() => bare(rest)?,
                    None => return Err(token(rest)),
                },
            };
            if let Step::Key(key) = &step
                && UNSAFE.contains(&&**key)
            {
                return Err(PropertyPathError::Unsafe { key: key.clone() });
            }
            let is_far = matches!(step, Step::Index(at) if at >= LENGTH_MAX);
            if is_far || steps.len() == DEPTH_MAX {
                return Err(PropertyPathError::TooFar);
            }
            steps.push(step);
            rest = after;
        }
        match steps.is_empty() {
            true => Err(PropertyPathError::Empty),
            false => Ok(Self(steps)),
        }
    }

    /// The value at this path of the object with `fields`.
    pub fn get<'v>(&self, fields: &'v Map<String, Value>) -> Option<&'v Value> {
        let (first, rest) = self.0.split_first()?;
        let value = match first {
            Step::Key(key) => fields.get(key)?,
            Step::Index(at) => fields.get(&at.to_string())?,
        };
        rest.iter().try_fold(value, |value, step| match step {
            Step::Key(key) => value.get(key),
            Step::Index(at) => value.get(at),
        })
    }

    /// Puts `value` there. What is in the way is replaced.
    pub fn set(&self, fields: &mut Map<String, Value>, value: Value) {
        let mut root = Value::Object(std::mem::take(fields));
        let mut place = &mut root;
        for step in &self.0 {
            place = match step {
                Step::Index(at) if place.is_array() || !place.is_object() => {
                    if !place.is_array() {
                        *place = Value::Array(Vec::new());
                    }
                    let list = place.as_array_mut().expect("invariant: it is a list");
                    if list.len() <= *at {
                        list.resize(at + 1, Value::Null);
                    }
                    &mut list[*at]
                }
                Step::Index(at) => &mut place[at.to_string()],
                Step::Key(key) => {
                    if !place.is_object() {
                        *place = Value::Object(Map::new());
                    }
                    &mut place[key]
                }
            };
        }
        *place = value;
        if let Value::Object(changed) = root {
            *fields = changed;
        }
    }

    /// Takes the value out that is there, if there is one.
    pub fn remove(&self, fields: &mut Map<String, Value>) -> Option<Value> {
        let (last, around) = self.0.split_last()?;
        let mut root = Value::Object(std::mem::take(fields));
        let place = around.iter().try_fold(&mut root, |place, step| match step {
            Step::Key(key) => place.get_mut(key),
            Step::Index(at) => place.get_mut(at),
        });
        let removed = match (place, last) {
            (Some(Value::Object(map)), Step::Key(key)) => map.shift_remove(key),
            (Some(Value::Object(map)), Step::Index(at)) => map.shift_remove(&at.to_string()),
            (Some(Value::Array(list)), Step::Index(at)) if *at < list.len() => {
                Some(list.remove(*at))
            }
            _ => None,
        };
        if let Value::Object(changed) = root {
            *fields = changed;
        }
        removed
    }
}

/// A name or a number without brackets, and what comes after it.
fn bare(text: &str) -> Result<(Step, &str), PropertyPathError> {
    let is_of_name = |one: char| one.is_ascii_alphanumeric() || matches!(one, '_' | '-' | '$');
    let end = text.find(|one| !is_of_name(one)).unwrap_or(text.len());
    let (name, after) = text.split_at(end);
    if name.is_empty() {
        return Err(token(text));
    }
    if !name.starts_with(|one: char| one.is_ascii_digit()) {
        return Ok((Step::Key(name.to_owned()), after));
    }
    let suffix = name.trim_start_matches(|one: char| one.is_ascii_digit());
    match suffix.is_empty() {
        true => Ok((index(name)?, after)),
        false => Err(PropertyPathError::Suffix {
            suffix: suffix.to_owned(),
        }),
    }
}

/// What stands behind an opening bracket, and what comes after the closing one.
fn in_brackets(text: &str) -> Result<(Step, &str), PropertyPathError> {
    let quote = text.chars().next().filter(|one| matches!(one, '"' | '\''));
    if let Some(quote) = quote {
        let (key, after) = text[1..].split_once(quote).ok_or(PropertyPathError::End)?;
        let after = after.strip_prefix(']').ok_or_else(|| token(after))?;
        return Ok((Step::Key(key.to_owned()), after));
    }
    let end = text.find(|one: char| !one.is_ascii_digit());
    let (number, after) = text.split_at(end.unwrap_or(text.len()));
    if number.is_empty() {
        return Err(token(text));
    }
    let after = after.strip_prefix(']').ok_or_else(|| token(after))?;
    Ok((index(number)?, after))
}

fn index(text: &str) -> Result<Step, PropertyPathError> {
    let number = text.parse().map_err(|_| PropertyPathError::TooFar)?;
    Ok(Step::Index(number))
}

fn token(text: &str) -> PropertyPathError {
    match text.chars().next() {
        Some(one) => PropertyPathError::Token {
            token: one.to_string(),
        },
        None => PropertyPathError::End,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fields(text: &str) -> Map<String, Value> {
        serde_json::from_str(text).unwrap()
    }

    #[test]
    fn what_pnpm_sets_is_set() {
        for (path, expected) in [
            ("name.a", r#"{"name":{"a":"x"},"arr":[1,2]}"#),
            ("arr[0]", r#"{"name":"x","arr":["x",2]}"#),
            ("arr[3]", r#"{"name":"x","arr":[1,2,null,"x"]}"#),
            ("arr.k", r#"{"name":"x","arr":{"k":"x"}}"#),
            ("new[1]", r#"{"name":"x","arr":[1,2],"new":[null,"x"]}"#),
            ("a[\"x.y\"]", r#"{"name":"x","arr":[1,2],"a":{"x.y":"x"}}"#),
            ("['q'].r", r#"{"name":"x","arr":[1,2],"q":{"r":"x"}}"#),
            (".a-b.c_d", r#"{"name":"x","arr":[1,2],"a-b":{"c_d":"x"}}"#),
        ] {
            let mut fields = fields(r#"{"name":"x","arr":[1,2]}"#);
            let parsed = PropertyPath::parse(path).unwrap();
            parsed.set(&mut fields, Value::from("x"));
            assert_eq!(
                Value::Object(fields.clone()).to_string(),
                expected,
                "{path}"
            );
            assert_eq!(parsed.get(&fields), Some(&Value::from("x")), "{path}");
        }
    }

    #[test]
    fn what_is_removed_is_gone_and_nothing_else() {
        for (path, expected) in [
            ("arr[0]", r#"{"name":"x","arr":[2]}"#),
            ("arr[9]", r#"{"name":"x","arr":[1,2]}"#),
            ("name.x", r#"{"name":"x","arr":[1,2]}"#),
            ("name", r#"{"arr":[1,2]}"#),
            ("a.b.c", r#"{"name":"x","arr":[1,2]}"#),
        ] {
            let mut fields = fields(r#"{"name":"x","arr":[1,2]}"#);
            PropertyPath::parse(path).unwrap().remove(&mut fields);
            assert_eq!(Value::Object(fields).to_string(), expected, "{path}");
        }
    }

    #[test]
    fn what_is_no_path_is_refused() {
        let deep = "a.".repeat(200) + "a";
        for path in [
            "",
            ".",
            "a.",
            "a..b",
            "a[",
            "a[]",
            "a[0",
            "a['b",
            "a['b'",
            "a['b'x",
            "1x",
            "a:b",
            "a b",
            "a[-1]",
            "__proto__.x",
            "a.constructor",
            "a[99999999999999999999]",
            "a[4000000000]",
            &deep,
            "ä",
            "a]b",
        ] {
            assert!(PropertyPath::parse(path).is_err(), "{path}");
        }
    }
}
