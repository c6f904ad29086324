//! `init`: a `package.json` to begin with.

use std::fs::OpenOptions;
use std::io::{ErrorKind, Write};
use std::path::Path;

use serde_json::{Map, Value, json};

use crate::cli::arguments::{GlobalArguments, InitArguments, InitType};
use crate::cli::context::Context;
use crate::cli::failure::Failure;
use crate::cli::print;
use crate::install::config::{InitialType, Options};

pub(in crate::cli) fn run(
    global: &GlobalArguments,
    arguments: &InitArguments,
) -> Result<(), Failure> {
    let context = Context::load(global, Options::default())?;
    let directory = &context.called_in;
    let mut manifest = match arguments.bare {
        true => Map::new(),
        false => beginning(directory),
    };
    let initial = &context.config.flags.initial;
    let said = [
        ("version", &initial.version),
        ("license", &initial.license),
        ("author", &initial.author),
    ];
    for (field, text) in said {
        if let Some(text) = text {
            manifest.insert(field.to_owned(), json!(text));
        }
    }
    // What says nothing is read with `require`.
    let of_setting = context.config.flags.initial_type;
    let is_module = match arguments.init_type {
        Some(named) => named == InitType::Module,
        None => of_setting != Some(InitialType::Commonjs),
    };
    if is_module {
        manifest.insert("type".to_owned(), json!("module"));
    }
    let text = format!("{:#}\n", Value::Object(manifest));
    let path = directory.join("package.json");
    let opened = OpenOptions::new().write(true).create_new(true).open(&path);
    let mut file = opened.map_err(|error| match error.kind() {
        ErrorKind::AlreadyExists => Failure::new(
            "ERR_PNPM_PACKAGE_JSON_EXISTS",
            "package.json already exists",
            Some("the directory already has a package.json; it stays as it is"),
        ),
        _ => Failure::io("ERR_PACQUET_WRITE", "package.json cannot be written", error),
    })?;
    file.write_all(text.as_bytes()).map_err(|error| {
        Failure::io("ERR_PACQUET_WRITE", "package.json cannot be written", error)
    })?;
    print(&format!("Wrote to {}\n\n{text}\n", path.display()));
    Ok(())
}

/// The fields of a project that begins in `directory`.
pub(super) fn beginning(directory: &Path) -> Map<String, Value> {
    let name = directory.file_name().unwrap_or_default().to_string_lossy();
    let fields = [
        ("name", json!(name)),
        ("version", json!("1.0.0")),
        ("description", json!("")),
        ("main", json!("index.js")),
        (
            "scripts",
            json!({ "test": "echo \"Error: no test specified\" && exit 1" }),
        ),
        ("keywords", json!([])),
        ("author", json!("")),
        ("license", json!("ISC")),
    ];
    fields
        .map(|(field, value)| (field.to_owned(), value))
        .into_iter()
        .collect()
}
