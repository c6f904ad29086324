//! `why`: who depends on a package.

use serde_json::{Map, Value, json};

use crate::cli::arguments::{GlobalArguments, ListArguments};
use crate::cli::failure::Failure;
use crate::cli::installed::{Details, Source, TextTree, depth, draw};
use crate::cli::print;
use crate::install::inspect::{Dependent, Dependents, DependentsOptions, Installed, Search};
use crate::name::escaped;

pub(in crate::cli) fn run(global: &GlobalArguments, flags: &ListArguments) -> Result<(), Failure> {
    let Some(search) = Search::new(&flags.words) else {
        return Err(Failure::new(
            "ERR_PNPM_MISSING_PACKAGE_NAME",
            "`pacquet why` requires the package name",
            None,
        ));
    };
    let levels = depth(flags, None)?;
    let source = Source::read(global, flags)?;
    let installed = Installed::new(
        &source.lockfile,
        &source.context.config,
        &source.projects,
        source.modules.as_deref(),
    );
    let found = installed.dependents(DependentsOptions {
        search: &search,
        depth: levels.map(|levels| usize::try_from(levels).unwrap_or_default()),
        groups: flags.groups.included(),
    });
    print(&if flags.json {
        let objects: Vec<Value> = found.iter().map(|one| object(one, flags.long)).collect();
        format!(
            "{}\n",
            serde_json::to_string_pretty(&objects).unwrap_or_default()
        )
    } else if flags.parseable {
        lines(&found)
    } else {
        text(&found, flags.long)
    });
    Ok(())
}

fn text(found: &[Dependents], is_long: bool) -> String {
    let mut out = String::new();
    for one in found {
        out.push_str(&escaped(&format!("{}@{}", one.name, one.version)));
        out.push('\n');
        if is_long {
            for line in Details::read(&one.path).lines(&one.path) {
                out.push_str(&format!("│ {line}\n"));
            }
        }
        draw(&mut out, &text_trees(&one.dependents), "", true);
        out.push('\n');
    }
    let mut names: Vec<(&str, usize)> = Vec::new();
    for one in found {
        match names.last_mut() {
            Some((name, count)) if *name == one.name => *count += 1,
            _ => names.push((&one.name, 1)),
        }
    }
    for (name, count) in names {
        let plural = if count == 1 { "" } else { "s" };
        out.push_str(&format!(
            "Found {count} version{plural} of {}\n",
            escaped(name)
        ));
    }
    out
}

fn text_trees(dependents: &[Dependent]) -> Vec<TextTree> {
    let tree = |one: &Dependent| {
        let mut line = named(one);
        if let Some(group) = one.group {
            line.push_str(&format!(" ({})", group.field()));
        }
        if one.is_circular {
            line.push_str(" [circular]");
        }
        if one.is_repeated {
            line.push_str(" [deduped]");
        }
        TextTree {
            lines: vec![line],
            below: text_trees(&one.dependents),
        }
    };
    dependents.iter().map(tree).collect()
}

fn named(one: &Dependent) -> String {
    escaped(&match one.version.is_empty() {
        true => one.name.clone(),
        false => format!("{}@{}", one.name, one.version),
    })
}

fn object(one: &Dependents, is_long: bool) -> Value {
    let mut map = Map::new();
    let mut put = |key: &str, value: Value| map.insert(key.to_owned(), value);
    put("name", json!(one.name));
    put("version", json!(one.version));
    if let Some(hash) = &one.peers_hash {
        put("peersSuffixHash", json!(hash));
    }
    if is_long {
        for (name, value) in Details::read(&one.path).fields() {
            put(name, value);
        }
    }
    put("path", json!(one.path));
    put("dependents", objects(&one.dependents));
    Value::Object(map)
}

fn objects(dependents: &[Dependent]) -> Value {
    let object = |one: &Dependent| {
        let mut map = Map::new();
        let mut put = |key: &str, value: Value| map.insert(key.to_owned(), value);
        put("name", json!(one.name));
        put("version", json!(one.version));
        if let Some(hash) = &one.peers_hash {
            put("peersSuffixHash", json!(hash));
        }
        if one.is_circular {
            put("circular", json!(true));
        }
        if one.is_repeated {
            put("deduped", json!(true));
        }
        if !one.dependents.is_empty() {
            put("dependents", objects(&one.dependents));
        }
        if let Some(group) = one.group {
            put("depField", json!(group.field()));
        }
        Value::Object(map)
    };
    Value::Array(dependents.iter().map(object).collect())
}

/// One line a way from a project to the package.
fn lines(found: &[Dependents]) -> String {
    let mut out = String::new();
    for one in found {
        let mut way = vec![escaped(&format!("{}@{}", one.name, one.version))];
        ways(&one.dependents, &mut way, &mut out);
    }
    out
}

fn ways(dependents: &[Dependent], way: &mut Vec<String>, out: &mut String) {
    for one in dependents {
        way.push(named(one));
        if one.dependents.is_empty() {
            let words: Vec<&str> = way.iter().rev().map(String::as_str).collect();
            out.push_str(&words.join(" > "));
            out.push('\n');
        } else {
            ways(&one.dependents, way, out);
        }
        way.pop();
    }
}
