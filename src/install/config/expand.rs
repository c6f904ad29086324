//! `${NAME}`, `${NAME-default}`, `${NAME:-default}` and `${NAME?}`.

use super::environment::Environment;

/// A text with its placeholders replaced.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Expanded {
    /// The text; a placeholder without a value has become nothing.
    pub(super) text: String,
    /// Names that had neither a value nor a default.
    pub(super) unresolved: Vec<String>,
}

/// Whether `text` has a placeholder.
pub(super) fn has_placeholder(text: &str) -> bool {
    next_placeholder(text).is_some()
}

/// Replaces every placeholder of `text`, once. An odd number of backslashes before one makes it
/// stand for itself; two stand for one.
pub(super) fn expand(text: &str, environment: &Environment) -> Expanded {
    let mut out = Expanded {
        text: String::with_capacity(text.len()),
        unresolved: Vec::new(),
    };
    let mut rest = text;
    while let Some(found) = next_placeholder(rest) {
        let before = &rest[..found.start];
        let plain = before.trim_end_matches('\\');
        let backslashes = before.len() - plain.len();
        out.text.push_str(plain);
        out.text.extend(std::iter::repeat_n('\\', backslashes / 2));
        if backslashes % 2 == 1 {
            out.text.push_str(&rest[found.start..found.end]);
        } else {
            match value_of(found.body, environment) {
                Some(value) => out.text.push_str(value),
                None => out.unresolved.push(found.body.to_owned()),
            }
        }
        rest = &rest[found.end..];
    }
    out.text.push_str(rest);
    out
}

struct Placeholder<'a> {
    start: usize,
    end: usize,
    body: &'a str,
}

/// The innermost braces count: `${A-${B}}` has one placeholder, for `B`.
fn next_placeholder(text: &str) -> Option<Placeholder<'_>> {
    let mut from = 0;
    loop {
        let start = from + text[from..].find("${")?;
        let body = &text[start + 2..];
        let end = body.find(['$', '{', '}'])?;
        if end > 0 && body[end..].starts_with('}') {
            return Some(Placeholder {
                start,
                end: start + 2 + end + 1,
                body: &body[..end],
            });
        }
        from = start + 2;
    }
}

/// `-` gives the default when the variable is not set, `:-` also when it is empty; `?` says that
/// it need not be set.
fn value_of<'a>(body: &'a str, environment: &'a Environment) -> Option<&'a str> {
    let name_end = body.find([':', '-']).unwrap_or(body.len());
    let (name, tail) = body.split_at(name_end);
    let (unless_empty, default) = match tail.strip_prefix(':') {
        Some(tail) => (true, tail.strip_prefix('-')),
        None => (false, tail.strip_prefix('-')),
    };
    let Some(default) = default.filter(|_| !name.is_empty()) else {
        return match body.strip_suffix('?') {
            Some(name) => Some(environment.set_variable(name).unwrap_or_default()),
            None => environment.set_variable(body),
        };
    };
    match environment.set_variable(name) {
        Some(value) if !(unless_empty && value.is_empty()) => Some(value),
        _ => Some(default),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn placeholders_are_replaced_once_and_others_left_alone() {
        let environment = Environment::new(
            [("A", "1"), ("EMPTY", ""), ("NESTED", "${A}"), ("D.T", "4")]
                .map(|(name, value)| (name.into(), value.into())),
            "/".into(),
        );
        for (text, expected, unresolved) in [
            ("plain", "plain", 0),
            ("${A}", "1", 0),
            ("x${A}y${A}z", "x1y1z", 0),
            ("${NESTED}", "${A}", 0),
            ("${B}", "", 1),
            ("${B-2}", "2", 0),
            ("${B:-2}", "2", 0),
            ("${B:-a-b}", "a-b", 0),
            ("${B-a:-b}", "a:-b", 0),
            ("${EMPTY:-3}", "3", 0),
            ("${EMPTY-3}", "", 0),
            ("${EMPTY}", "", 0),
            ("${A:-3}", "1", 0),
            ("${B-}", "", 0),
            ("${A?}${B?}", "1", 0),
            ("${D.T}", "4", 0),
            ("${B:-${A}}", "${B:-1}", 0),
            ("\\${A}", "${A}", 0),
            ("\\\\${A}", "\\1", 0),
            ("\\\\\\${A}", "\\${A}", 0),
            ("\\A${A}", "\\A1", 0),
            ("${}", "${}", 0),
            ("${A", "${A", 0),
            ("$A", "$A", 0),
            ("${A B}", "", 1),
            ("${A:x}", "", 1),
            ("${é}", "", 1),
        ] {
            let expanded = expand(text, &environment);
            assert_eq!(expanded.text, expected, "{text}");
            assert_eq!(expanded.unresolved.len(), unresolved, "{text}");
        }
    }

    #[test]
    fn a_placeholder_is_found_where_expand_would_replace_one() {
        for (text, expected) in [
            ("${A}", true),
            ("x${A-b}", true),
            ("$A", false),
            ("${}", false),
            ("${ ${A}", true),
        ] {
            assert_eq!(has_placeholder(text), expected, "{text}");
        }
    }
}
