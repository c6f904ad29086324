//! `node_modules/.package-lock.json`, in which npm records what it installed.

use serde_json::{Map, Value, json};

use super::graph::Graph;
use super::read::{Entry, Flags};

/// The fields of an entry that npm knows, in no order, but for what the package is there for.
const FIELDS: [&str; 24] = [
    "name",
    "version",
    "resolved",
    "integrity",
    "link",
    "inBundle",
    "hasShrinkwrap",
    "hasInstallScript",
    "dependencies",
    "devDependencies",
    "peerDependencies",
    "peerDependenciesMeta",
    "optionalDependencies",
    "bundleDependencies",
    "acceptDependencies",
    "funding",
    "engines",
    "os",
    "cpu",
    "libc",
    "license",
    "bin",
    "deprecated",
    "workspaces",
];

/// The text, with what is installed.
pub(super) fn text(graph: &Graph<'_>, is_there: &[bool], flags: &[Flags]) -> Vec<u8> {
    let lock = graph.lock;
    let mut packages = Map::new();
    for index in (1..graph.len()).filter(|index| is_there[*index]) {
        let entry = graph.entry(index);
        let value = entry_value(entry, flags[index]);
        packages.insert(graph.location(index).to_owned(), value);
    }
    let mut top = Map::new();
    if let Some(name) = &lock.name {
        top.insert("name".to_owned(), json!(name));
    }
    if let Some(version) = &lock.version {
        top.insert("version".to_owned(), json!(version));
    }
    top.insert("lockfileVersion".to_owned(), json!(3));
    top.insert("requires".to_owned(), json!(true));
    top.insert("packages".to_owned(), Value::Object(packages));
    let mut text = serde_json::to_vec_pretty(&Value::Object(top))
        .expect("invariant: a tree of JSON values can be written");
    text.push(b'\n');
    text
}

fn entry_value(entry: &Entry, flags: Flags) -> Value {
    let mut value = Map::new();
    let flag_fields = [
        ("dev", flags.dev),
        ("devOptional", flags.dev_optional),
        ("optional", flags.optional),
        ("peer", flags.peer),
    ];
    for (field, content) in &entry.fields {
        let name = field.as_str();
        let flag = flag_fields.iter().find(|(flag, _)| *flag == name);
        if FIELDS.contains(&name) || flag.is_some_and(|(_, is_set)| *is_set) {
            value.insert(field.clone(), content.clone());
        }
    }
    for (name, is_set) in flag_fields {
        if is_set && !value.contains_key(name) && !entry.is_link {
            value.insert(name.to_owned(), Value::Bool(true));
        }
    }
    Value::Object(value)
}
