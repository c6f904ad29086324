//! `view`: what a registry says of a package.

use std::fmt::Write as _;
use std::time::{SystemTime, UNIX_EPOCH};

use serde_json::{Map, Value};

use crate::cli::arguments::{GlobalArguments, ViewArguments};
use crate::cli::context::Context;
use crate::cli::failure::Failure;
use crate::cli::print;
use crate::cli::report::human_bytes;
use crate::install::config::Options;
use crate::install::manifest::ManifestError;
use crate::install::metadata::WholeDocument;
use crate::install::relock::Named;
use crate::install::scripts::ScriptManifest;
use crate::name::{PackageName, escaped};

type Fields = Map<String, Value>;

pub(in crate::cli) fn run(
    global: &GlobalArguments,
    arguments: &ViewArguments,
) -> Result<(), Failure> {
    let context = Context::load_anywhere(global, Options::default())?;
    let (package, fields) = match arguments.words.split_first() {
        Some((package, fields)) => (package.clone(), fields),
        None => (own_name(&context)?, &[][..]),
    };
    let mut named = Named::parse(&package);
    if let Some(other) = named
        .specifier
        .as_ref()
        .and_then(|text| text.strip_prefix("npm:"))
    {
        named = Named::parse(other);
    }
    let name = named.alias;
    let name: PackageName = name.ok_or_else(|| {
        Failure::new(
            "ERR_PNPM_INVALID_PACKAGE_NAME",
            format!("Invalid package name: \"{}\"", escaped(&package)),
            Some("this command is about packages of registries: NAME or NAME@VERSION"),
        )
    })?;
    let config = &context.config;
    let temporary = std::env::temp_dir();
    let document = WholeDocument::fetch(&name, config, temporary, &context.reporter)?;
    let selector = named.specifier.unwrap_or_else(|| "latest".to_owned());
    let version = document.version(&selector).ok_or_else(|| {
        Failure::new(
            "ERR_PNPM_PACKAGE_NOT_FOUND",
            format!("No matching version found for {}", escaped(&package)),
            Some("`pacquet view NAME versions` has those that there are"),
        )
    })?;
    let said = document.of_version(version);
    print(&match (fields, arguments.json) {
        ([], true) => format!("{:#}\n", Value::Object(said)),
        ([], false) => summary(&said),
        (fields, is_json) => shown(&said, fields, is_json),
    });
    Ok(())
}

/// The name of the project in which the command is called.
fn own_name(context: &Context) -> Result<String, Failure> {
    let directory = context.config.directory.clone();
    let manifest = ScriptManifest::read(&directory)?;
    let name = manifest.as_ref().and_then(ScriptManifest::name);
    match name {
        Some(name) => Ok(name.to_owned()),
        None => Err(ManifestError::Missing { directory }.into()),
    }
}

/// What stands in `fields` under a path of names with dots between them; names may have some too.
fn find<'v>(fields: &'v Fields, path: &str) -> Option<&'v Value> {
    if let Some(value) = fields.get(path) {
        return Some(value);
    }
    let dots = path.match_indices('.').map(|(at, _)| at);
    let mut splits = dots.map(|at| (&path[..at], &path[at + 1..]));
    splits.find_map(|(name, rest)| find(fields.get(name)?.as_object()?, rest))
}

/// The values at these paths. What is nowhere is said to be nothing where there are several.
fn shown(said: &Fields, paths: &[String], is_json: bool) -> String {
    let found = || paths.iter().map(|path| (path, find(said, path)));
    if is_json {
        let found: Vec<_> = found()
            .filter_map(|(path, value)| Some((path, value?)))
            .collect();
        return match (&*found, paths) {
            ([], _) => String::new(),
            ([(_, value)], [_]) => format!("{value:#}\n"),
            (found, _) => {
                let copy = |(path, value): &(&String, &Value)| ((*path).clone(), (*value).clone());
                format!("{:#}\n", Value::Object(found.iter().map(copy).collect()))
            }
        };
    }
    if let [path] = paths {
        return match find(said, path) {
            None => String::new(),
            Some(Value::String(text)) => format!("{}\n", escaped(text)),
            Some(value) => format!("{value:#}\n"),
        };
    }
    let line = |(path, value): (&String, Option<&Value>)| {
        let path = escaped(path);
        match value {
            None => format!("{path} = \n"),
            Some(Value::String(text)) => format!("{path} = '{}'\n", escaped(text)),
            Some(value) => format!("{path} = {value}\n"),
        }
    };
    found().map(line).collect()
}

fn summary(said: &Fields) -> String {
    let mut out = head(said);
    out.push_str("\ndist\n");
    for field in ["tarball", "shasum", "integrity"] {
        if let Some(text) = text(said, &format!("dist.{field}")) {
            let _ = writeln!(out, ".{field}: {text}");
        }
    }
    if let Some(size) = find(said, "dist.unpackedSize").and_then(Value::as_u64) {
        let _ = writeln!(out, ".unpackedSize: {}", human_bytes(size));
    }
    for (field, between) in [("dependencies", ", "), ("dist-tags", "\n")] {
        let pairs = pairs(said, field);
        if !pairs.is_empty() {
            let _ = writeln!(out, "\n{field}:\n{}", pairs.join(between));
        }
    }
    let version = said.get("version").and_then(Value::as_str);
    if let Some(published) = version.and_then(|version| published(said, version)) {
        let _ = writeln!(out, "\n{published}");
    }
    out
}

/// What the package says of itself.
fn head(said: &Fields) -> String {
    let number = |path: &str| find(said, path).and_then(Value::as_u64).unwrap_or_default();
    let licence = text(said, "license").map(|text| format!(" | {text}"));
    let dependencies = match number("depsCount") {
        0 => "none".to_owned(),
        count => count.to_string(),
    };
    let mut out = format!(
        "{}@{}{} | deps: {dependencies} | versions: {}\n",
        text(said, "name").unwrap_or_default(),
        text(said, "version").unwrap_or_default(),
        licence.unwrap_or_default(),
        number("versionsCount"),
    );
    for field in ["description", "homepage"] {
        if let Some(text) = text(said, field) {
            let _ = writeln!(out, "{text}");
        }
    }
    if let Some(reason) = text(said, "deprecated") {
        let _ = writeln!(out, "\nDEPRECATED! - {reason}");
    }
    let keywords = find(said, "keywords").and_then(Value::as_array);
    let keywords = keywords.into_iter().flatten().filter_map(Value::as_str);
    let keywords: Vec<String> = keywords.map(escaped).collect();
    let commands: Vec<String> = match find(said, "bin") {
        Some(Value::String(_)) => text(said, "name").into_iter().collect(),
        Some(Value::Object(map)) => map.keys().map(|name| escaped(name)).collect(),
        _ => Vec::new(),
    };
    for (title, words) in [("keywords", keywords), ("bin", commands)] {
        if !words.is_empty() {
            let _ = writeln!(out, "\n{title}: {}", words.join(", "));
        }
    }
    out
}

fn text(said: &Fields, path: &str) -> Option<String> {
    find(said, path).and_then(Value::as_str).map(escaped)
}

/// The texts of a map, each with its name.
fn pairs(said: &Fields, path: &str) -> Vec<String> {
    let map = find(said, path).and_then(Value::as_object);
    let entries = map.into_iter().flatten();
    let texts = entries.filter_map(|(name, value)| Some((name, value.as_str()?)));
    texts
        .map(|(name, text)| escaped(&format!("{name}: {text}")))
        .collect()
}

/// When the version was published, and by whom.
fn published(said: &Fields, version: &str) -> Option<String> {
    let time = said.get("time")?.get(version)?.as_str()?;
    let time: jiff::Timestamp = time.parse().ok()?;
    let now = SystemTime::now().duration_since(UNIX_EPOCH).ok()?.as_secs();
    let seconds = now.saturating_sub(u64::try_from(time.as_second()).unwrap_or_default());
    let by = match said.get("author") {
        Some(Value::String(author)) => Some(escaped(author)),
        Some(Value::Object(author)) => author.get("name").and_then(Value::as_str).map(|name| {
            let email = author.get("email").and_then(Value::as_str);
            let email = email.map(|email| format!(" <{email}>")).unwrap_or_default();
            escaped(&format!("{name}{email}"))
        }),
        _ => None,
    };
    let by = by.map(|by| format!(" by {by}")).unwrap_or_default();
    Some(format!("published {}{by}", ago(seconds)))
}

/// How long ago something was, in the largest unit of which there is one.
fn ago(seconds: u64) -> String {
    const DAY: u64 = 24 * 3600;
    for (unit, length) in [
        ("year", 365 * DAY),
        ("month", 30 * DAY),
        ("day", DAY),
        ("hour", 3600),
        ("minute", 60),
    ] {
        match seconds / length {
            0 => {}
            1 => return format!("1 {unit} ago"),
            count => return format!("{count} {unit}s ago"),
        }
    }
    "just now".to_owned()
}
