//! Entries of a map as text.

use serde_json::Value;

/// A text as a scalar: in quotes only where it needs them.
pub(super) fn scalar(text: &str) -> String {
    yaml(&Value::from(text))
}

/// A value that has no others in it.
pub(super) fn plain(value: &Value) -> Option<String> {
    (!value.is_array() && !value.is_object()).then(|| yaml(value))
}

/// `key: value` in lines, `indent` spaces in.
pub(super) fn entry(indent: usize, key: &str, value: &Value) -> String {
    below(indent, &scalar(key), value)
}

/// The same below a key as it is written.
pub(super) fn below(indent: usize, key: &str, value: &Value) -> String {
    let margin = " ".repeat(indent);
    let head = format!("{margin}{key}:\n");
    match value {
        Value::Object(map) if !map.is_empty() => {
            let entries = map.iter().map(|(key, value)| entry(indent + 2, key, value));
            head + &entries.collect::<String>()
        }
        Value::Array(list) if !list.is_empty() => {
            let text = yaml(value);
            let lines = text.lines().map(|line| match line {
                "" => "\n".to_owned(),
                line => format!("{margin}  {line}\n"),
            });
            head + &lines.collect::<String>()
        }
        _ => format!("{margin}{key}: {}\n", yaml(value)),
    }
}

fn yaml(value: &Value) -> String {
    // A value of JSON is always one of YAML.
    let text = serde_norway::to_string(value).unwrap_or_default();
    text.trim_end().to_owned()
}
