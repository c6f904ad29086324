//! `${NAME}`, `${NAME-default}` and `${NAME:-default}`.

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

/// Replaces every placeholder of `text`. `\${NAME}` stands for itself.
pub(super) fn expand(text: &str, environment: &Environment) -> Expanded {
    let mut out = Expanded {
        text: String::with_capacity(text.len()),
        unresolved: Vec::new(),
    };
    let mut rest = text;
    while let Some(found) = next_placeholder(rest) {
        let before = &rest[..found.start];
        if let Some(unescaped) = before.strip_suffix('\\') {
            out.text.push_str(unescaped);
            out.text.push_str(&rest[found.start..found.end]);
        } else {
            out.text.push_str(before);
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

fn next_placeholder(text: &str) -> Option<Placeholder<'_>> {
    let mut from = 0;
    loop {
        let start = from + text[from..].find("${")?;
        let end = start + text[start..].find('}')?;
        let body = &text[start + 2..end];
        let name_end = body.find(['-', ':']).unwrap_or(body.len());
        let name = &body[..name_end];
        let is_name = !name.is_empty()
            && name
                .bytes()
                .all(|byte| byte.is_ascii_alphanumeric() || byte == b'_');
        let tail = &body[name_end..];
        if is_name && (tail.is_empty() || tail.starts_with('-') || tail.starts_with(":-")) {
            return Some(Placeholder {
                start,
                end: end + 1,
                body,
            });
        }
        from = start + 2;
    }
}

/// `-` gives the default when the variable is not set, `:-` also when it is empty. Variables that
/// are set to nothing count as not set here, so that the two agree.
fn value_of<'a>(body: &'a str, environment: &'a Environment) -> Option<&'a str> {
    let (name, default) = match body.split_once(":-") {
        Some((name, default)) if !name.contains('-') => (name, Some(default)),
        _ => match body.split_once('-') {
            Some((name, default)) => (name, Some(default)),
            None => (body, None),
        },
    };
    environment.variable(name).or(default)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn placeholders_are_replaced_once_and_others_left_alone() {
        let environment = Environment::new(
            [("A", "1"), ("EMPTY", ""), ("NESTED", "${A}")]
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
            ("${A:-3}", "1", 0),
            ("${B-}", "", 0),
            ("\\${A}", "${A}", 0),
            ("${}", "${}", 0),
            ("${A", "${A", 0),
            ("$A", "$A", 0),
            ("${A B}", "${A B}", 0),
            ("${A:x}", "${A:x}", 0),
            ("${é}", "${é}", 0),
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
