//! Writing decisions into `pnpm-workspace.yaml`, of which everything else stays as it is.

use std::collections::BTreeMap;

use super::BuildError;

const KEY: &str = "allowBuilds:";

/// `text`, the content of the file, with these decisions.
///
/// # Errors
/// `allowBuilds` is there in a form that is not one line a package.
pub fn set_allowed(text: &str, decisions: &BTreeMap<String, bool>) -> Result<String, BuildError> {
    let mut lines: Vec<String> = text.lines().map(str::to_owned).collect();
    let is_key = |line: &String| line.starts_with(KEY);
    let Some(at) = lines.iter().position(is_key) else {
        lines.push(KEY.to_owned());
        lines.extend(
            decisions
                .iter()
                .map(|(key, allowed)| entry("  ", key, *allowed)),
        );
        return Ok(joined(&lines));
    };
    let rest = lines[at][KEY.len()..].trim();
    if rest == "{}" {
        lines[at] = KEY.to_owned();
    } else if !rest.is_empty() && !rest.starts_with('#') {
        return Err(BuildError::AllowBuildsForm);
    }
    let is_inside = |line: &&String| line.starts_with([' ', '\t']) || line.trim().is_empty();
    let mut end = at + 1 + lines[at + 1..].iter().take_while(is_inside).count();
    while end > at + 1 && lines[end - 1].trim().is_empty() {
        end -= 1;
    }
    let first = lines.get(at + 1).filter(|_| end > at + 1);
    let indent: String = first.map_or_else(
        || "  ".to_owned(),
        |line| {
            line.chars()
                .take_while(|character| character.is_whitespace())
                .collect()
        },
    );
    for (key, allowed) in decisions {
        let line = entry(&indent, key, *allowed);
        match (at + 1..end).find(|place| key_of(&lines[*place]) == Some(key.as_str())) {
            Some(place) => lines[place] = line,
            None => {
                lines.insert(end, line);
                end += 1;
            }
        }
    }
    Ok(joined(&lines))
}

fn joined(lines: &[String]) -> String {
    let mut text = lines.join("\n");
    text.push('\n');
    text
}

fn entry(indent: &str, key: &str, allowed: bool) -> String {
    let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-_./".contains(&byte);
    let begins_plain = key.as_bytes().first().is_some_and(u8::is_ascii_alphabetic);
    if begins_plain && key.bytes().all(is_plain) {
        return format!("{indent}{key}: {allowed}");
    }
    format!("{indent}'{}': {allowed}", key.replace('\'', "''"))
}

/// The key of a line `key: value`, without its quotes.
fn key_of(line: &str) -> Option<&str> {
    let (key, _) = line.trim().rsplit_once(": ")?;
    let key = key.trim();
    let quoted = |quote: char| key.strip_prefix(quote)?.strip_suffix(quote);
    Some(quoted('\'').or_else(|| quoted('"')).unwrap_or(key))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn decisions_are_added_and_replaced_and_the_rest_stays() {
        let decisions = BTreeMap::from([("@s/a".to_owned(), true), ("b".to_owned(), false)]);
        for (text, expected) in [
            ("", "allowBuilds:\n  '@s/a': true\n  b: false\n"),
            (
                "# x\nhoist: true\n",
                "# x\nhoist: true\nallowBuilds:\n  '@s/a': true\n  b: false\n",
            ),
            (
                "allowBuilds: {}\nx: 1\n",
                "allowBuilds:\n  '@s/a': true\n  b: false\nx: 1\n",
            ),
            (
                "allowBuilds:\n    b: set this to true or false\n    c: true # why\n\nx: 1\n",
                "allowBuilds:\n    b: false\n    c: true # why\n    '@s/a': true\n\nx: 1\n",
            ),
            (
                "allowBuilds:\n  \"@s/a\": false",
                "allowBuilds:\n  '@s/a': true\n  b: false\n",
            ),
        ] {
            let written = set_allowed(text, &decisions).expect(text);
            assert_eq!(written, expected, "{text}");
        }
        assert!(set_allowed("allowBuilds: {a: true}\n", &decisions).is_err());
    }
}
