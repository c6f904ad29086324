//! `list --global`: what was asked for, of all groups together.

use std::path::Path;

use serde_json::{Map, Value, json};

use super::group::{self, Group, Installed};
use super::{Places, of_group};
use crate::cli::arguments::{GlobalArguments, ListArguments};
use crate::cli::commands::list as listing;
use crate::cli::failure::Failure;
use crate::cli::print;
use crate::install::layout::matches_name;

pub(in crate::cli) fn list(
    global: &GlobalArguments,
    arguments: &ListArguments,
    is_long: bool,
) -> Result<(), Failure> {
    let places = Places::readable(global)?;
    let groups = group::all(&places.packages)?;
    let patterns: Vec<Box<str>> = arguments.words.iter().map(|word| (**word).into()).collect();
    let is_meant = |alias: &str| patterns.is_empty() || matches_name(&patterns, alias);
    if arguments.depth.as_deref().is_some_and(|depth| depth != "0") {
        return list_deep(global, arguments, &groups, is_meant, is_long);
    }
    let installed = groups.iter().flat_map(Group::installed);
    let mut installed: Vec<Installed> = installed.filter(|one| is_meant(&one.alias)).collect();
    installed.sort_by(|one, other| one.alias.cmp(&other.alias));
    let root = &places.packages;
    print(&if arguments.json {
        as_json(root, &installed, is_long)
    } else if arguments.parseable {
        as_lines(root, &installed, is_long)
    } else if installed.is_empty() {
        let which = if patterns.is_empty() { "" } else { "matching " };
        format!("No {which}global packages found\n")
    } else {
        as_tree(root, &installed, is_long)
    });
    Ok(())
}

/// Trees of several groups cannot be put together.
fn list_deep(
    global: &GlobalArguments,
    arguments: &ListArguments,
    groups: &[Group],
    is_meant: impl Fn(&str) -> bool,
    is_long: bool,
) -> Result<(), Failure> {
    let has_any = |group: &&Group| group.aliases().iter().any(|alias| is_meant(alias));
    let meant: Vec<&Group> = groups.iter().filter(has_any).collect();
    let [group] = meant.as_slice() else {
        return Err(Failure::new(
            "ERR_PNPM_GLOBAL_LS_DEPTH_NOT_SUPPORTED",
            "Cannot list a merged dependency tree across multiple global packages",
            Some("name a single global package, or leave out --depth"),
        ));
    };
    let arguments = ListArguments {
        global: false,
        words: Vec::new(),
        ..arguments.clone()
    };
    listing::run(&of_group(global, &group.directory), &arguments, is_long)
}

fn text<'m>(manifest: &'m Value, field: &str) -> &'m str {
    manifest.get(field).and_then(Value::as_str).unwrap_or("")
}

fn repository(manifest: &Value) -> Option<&str> {
    let repository = manifest.get("repository")?;
    repository
        .as_str()
        .or_else(|| repository.get("url")?.as_str())
}

impl Installed {
    fn name(&self) -> &str {
        match text(&self.manifest, "name") {
            "" => &self.alias,
            name => name,
        }
    }

    fn label(&self) -> String {
        let (name, version) = (self.name(), text(&self.manifest, "version"));
        match self.alias == name {
            true => format!("{name}@{version}"),
            false => format!("{}@npm:{name}@{version}", self.alias),
        }
    }
}

fn as_json(root: &Path, installed: &[Installed], is_long: bool) -> String {
    let mut dependencies = Map::new();
    for one in installed {
        let mut entry = Map::new();
        let mut put = |field: &str, value: &str| {
            entry.insert(field.to_owned(), json!(value));
        };
        put("from", one.name());
        put("version", text(&one.manifest, "version"));
        if is_long {
            for field in ["description", "license", "homepage"] {
                if let Some(value) = one.manifest.get(field).and_then(Value::as_str) {
                    put(field, value);
                }
            }
            if let Some(url) = repository(&one.manifest) {
                put("repository", url);
            }
        }
        put("path", &one.directory.to_string_lossy());
        dependencies.insert(one.alias.clone(), Value::Object(entry));
    }
    let root = json!([{ "path": root, "private": true, "dependencies": dependencies }]);
    format!("{root:#}\n")
}

fn as_lines(root: &Path, installed: &[Installed], is_long: bool) -> String {
    let mut out = format!("{}\n", root.display());
    for one in installed {
        out.push_str(&one.directory.to_string_lossy());
        if is_long {
            let label = one.label().replacen("@npm:", " npm:", 1);
            out.push_str(&format!(":{label}"));
        }
        out.push('\n');
    }
    out
}

fn as_tree(root: &Path, installed: &[Installed], is_long: bool) -> String {
    let legend = "Legend: production dependency, optional only, dev only";
    let root = root.display();
    let mut out = format!("{legend}\n\n{root} (PRIVATE)\n│\n│   dependencies:\n");
    for (number, one) in installed.iter().enumerate() {
        let is_last = number + 1 == installed.len();
        let (branch, stem) = if is_last {
            ("└── ", "  ")
        } else {
            ("├── ", "│ ")
        };
        out.push_str(&format!("{branch}{}\n", one.label()));
        let manifest = &one.manifest;
        let path = one.directory.to_string_lossy();
        let told = [
            Some(text(manifest, "description")),
            repository(manifest),
            Some(text(manifest, "homepage")),
            Some(&path),
        ];
        for line in told
            .into_iter()
            .flatten()
            .filter(|line| is_long && !line.is_empty())
        {
            out.push_str(&format!("{stem}  {line}\n"));
        }
    }
    out
}
