//! Entries of a map as text.

use serde_json::Value;

/// A text as a scalar: in quotes only where it needs them.
pub(super) fn scalar(text: &str) -> String {
    yaml(&Value::from(text))
}

/// `key: value` in lines, `indent` spaces in.
pub(super) fn entry(indent: usize, key: &str, value: &Value) -> String {
    let margin = " ".repeat(indent);
    let key = scalar(key);
    let is_empty = match value {
        Value::Array(list) => list.is_empty(),
        Value::Object(map) => map.is_empty(),
        _ => true,
    };
    if is_empty {
        return format!("{margin}{key}: {}\n", yaml(value));
    }
    let mut text = format!("{margin}{key}:\n");
    for line in yaml(value).lines() {
        if !line.is_empty() {
            text.push_str(&margin);
            text.push_str("  ");
            text.push_str(line);
        }
        text.push('\n');
    }
    text
}

fn yaml(value: &Value) -> String {
    // A value of JSON is always one of YAML.
    let text = serde_norway::to_string(value).unwrap_or_default();
    text.trim_end().to_owned()
}
