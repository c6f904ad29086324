//! `pkg` and `set-script`: fields of `package.json` as they are, whatever they mean.

use std::io;
use std::path::Path;

use serde_json::{Map, Value};

use crate::cli::arguments::{GlobalArguments, PkgArguments, PkgCommand, SetScriptArguments};
use crate::cli::context::Context;
use crate::cli::failure::Failure;
use crate::cli::print;
use crate::cli::scripting::{Root, choose};
use crate::install::config::Options;
use crate::install::drafts::{Draft, DraftKind, Drafts};
use crate::install::manifest::{Manifest, ManifestError};
use crate::install::manifest_edit::written_like;
use crate::install::property_path::PropertyPath;
use crate::name::escaped;

pub(super) type Fields = Map<String, Value>;

pub(in crate::cli) fn run(
    global: &GlobalArguments,
    arguments: &PkgArguments,
) -> Result<(), Failure> {
    match &arguments.command {
        PkgCommand::Get { keys } => get(global, keys, arguments.json),
        PkgCommand::Set { pairs } => {
            let pairs: Vec<_> = pairs
                .iter()
                .map(|pair| assignment(pair, arguments.json))
                .collect::<Result<_, _>>()?;
            change(global, |fields| {
                for (path, value) in &pairs {
                    path.set(fields, value.clone());
                }
            })
        }
        PkgCommand::Delete { keys } => {
            let paths = parsed(keys)?;
            change(global, |fields| {
                for path in &paths {
                    path.remove(fields);
                }
            })
        }
    }
}

/// `set-script`.
pub(in crate::cli) fn set_script(
    global: &GlobalArguments,
    arguments: &SetScriptArguments,
) -> Result<(), Failure> {
    let (name, command) = match arguments.words.split_first() {
        Some((name, command)) if !command.is_empty() => (name, command.join(" ")),
        _ => {
            return Err(Failure::new(
                "ERR_PNPM_SET_SCRIPT_MISSING_ARGS",
                "Missing script name or command",
                Some("for example `pacquet set-script build tsc`"),
            ));
        }
    };
    change(global, |fields| {
        let scripts = fields.entry("scripts");
        let scripts = scripts.or_insert_with(|| Value::Object(Map::new()));
        if !scripts.is_object() {
            *scripts = Value::Object(Map::new());
        }
        scripts[name] = Value::from(&*command);
    })
}

/// `KEY=VALUE`.
fn assignment(pair: &str, is_json: bool) -> Result<(PropertyPath, Value), Failure> {
    let (key, text) = pair.split_once('=').ok_or_else(|| {
        Failure::new(
            "ERR_PNPM_PKG_SET_INVALID_ARG",
            format!(
                "Invalid argument \"{}\". Expected key=value format",
                escaped(pair)
            ),
            Some("for example `pacquet pkg set scripts.build=tsc`"),
        )
    })?;
    let value = match is_json {
        false => Value::from(text),
        true => serde_json::from_str(text).map_err(|_| {
            Failure::new(
                "ERR_PNPM_PKG_SET_JSON_PARSE",
                format!("Failed to parse value as JSON: \"{}\"", escaped(text)),
                Some("put strings into quotes: 'key=\"value\"'"),
            )
        })?,
    };
    Ok((PropertyPath::parse(key)?, value))
}

fn parsed(keys: &[String]) -> Result<Vec<PropertyPath>, Failure> {
    let paths = keys.iter().map(|key| PropertyPath::parse(key));
    Ok(paths.collect::<Result<_, _>>()?)
}

fn get(global: &GlobalArguments, keys: &[String], is_json: bool) -> Result<(), Failure> {
    let paths = parsed(keys)?;
    let context = Context::load_anywhere(global, Options::default())?;
    if !global.workspace.is_recursive() {
        let (_, fields) = read(&context.config.directory)?;
        return match (&paths[..], is_json) {
            ([only], _) => {
                if let Some(value) = only.get(&fields) {
                    let text = match value {
                        Value::String(text) if !is_json => escaped(text),
                        value => format!("{value:#}"),
                    };
                    print(&format!("{text}\n"));
                }
                Ok(())
            }
            _ => {
                print(&format!("{:#}\n", picked(fields, keys, &paths)));
                Ok(())
            }
        };
    }
    let chosen = choose(&context, &global.workspace, Root::Kept)?;
    let mut all = Map::new();
    for position in 0..chosen.selection.projects.len() {
        let project = chosen.project(position);
        let (_, fields) = read(&project.directory)?;
        let directory = project.directory.to_string_lossy().into_owned();
        let name = project.manifest.name.as_ref().map(|name| name.to_string());
        all.insert(name.unwrap_or(directory), picked(fields, keys, &paths));
    }
    print(&format!("{:#}\n", Value::Object(all)));
    Ok(())
}

/// The values at `paths` by `keys`; all fields where there are none.
fn picked(fields: Fields, keys: &[String], paths: &[PropertyPath]) -> Value {
    if paths.is_empty() {
        return Value::Object(fields);
    }
    let found = keys.iter().zip(paths);
    let found = found.filter_map(|(key, path)| Some((key.clone(), path.get(&fields)?.clone())));
    Value::Object(found.collect())
}

/// Changes the manifest of the project, or of all that flags choose: all of them, or none.
fn change(global: &GlobalArguments, change: impl Fn(&mut Fields)) -> Result<(), Failure> {
    let context = Context::load_anywhere(global, Options::default())?;
    let mut drafts = Drafts::default();
    if global.workspace.is_recursive() {
        let chosen = choose(&context, &global.workspace, Root::Kept)?;
        for position in 0..chosen.selection.projects.len() {
            change_one(&chosen.project(position).directory, &change, &mut drafts)?;
        }
    } else {
        change_one(&context.config.directory, &change, &mut drafts)?;
    }
    Ok(drafts.write()?)
}

pub(super) fn change_one(
    directory: &Path,
    change: impl Fn(&mut Fields),
    drafts: &mut Drafts,
) -> Result<(), Failure> {
    let (text, mut fields) = read(directory)?;
    let before = fields.clone();
    change(&mut fields);
    if before == fields {
        return Ok(());
    }
    for name in before.keys() {
        let is_empty = |value: &Value| value.as_object().is_some_and(Map::is_empty);
        let is_of_dependencies = name.ends_with("ependencies");
        if is_of_dependencies && !is_empty(&before[name]) && fields.get(name).is_some_and(is_empty)
        {
            fields.shift_remove(name);
        }
    }
    drafts.put(Draft {
        path: directory.join("package.json"),
        kind: DraftKind::Manifest,
        after: Some(written_like(&text, fields).into_bytes()),
        before: Some(text.into_bytes()),
    })?;
    Ok(())
}

/// The text and the fields of a manifest, whatever is in them.
pub(super) fn read(directory: &Path) -> Result<(String, Fields), Failure> {
    let path = directory.join("package.json");
    let bytes = Manifest::read_bytes(directory)?.ok_or_else(|| {
        let directory = directory.to_owned();
        let missing = Failure::from(ManifestError::Missing { directory });
        missing.coded("ERR_PNPM_NO_IMPORTER_MANIFEST_FOUND")
    })?;
    let text = String::from_utf8(bytes).map_err(|error| ManifestError::Read {
        path: path.clone(),
        source: io::Error::new(io::ErrorKind::InvalidData, error),
    })?;
    let bare = text.strip_prefix('\u{feff}').unwrap_or(&text);
    let fields =
        serde_json::from_str(bare).map_err(|source| ManifestError::Json { path, source })?;
    Ok((text, fields))
}
