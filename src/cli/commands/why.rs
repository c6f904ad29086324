//! `why`: who depends on a package.

use std::borrow::Cow;

use serde_json::{Map, Value, json};

use crate::cli::apart::Concerns;
use crate::cli::arguments::{GlobalArguments, ListArguments};
use crate::cli::failure::Failure;
use crate::cli::installed::{
    Details, PeerVariations, Source, TextTree, depth, draw, message_lines,
};
use crate::cli::print;
use crate::install::inspect::{Dependent, Dependents, DependentsOptions, Installed, Search};
use crate::install::locked::leave_out_others;
use crate::install::lockfile::Lockfile;
use crate::install::semver::Version;
use crate::name::escaped;

pub(in crate::cli) fn run(global: &GlobalArguments, flags: &ListArguments) -> Result<(), Failure> {
    if flags.global {
        let sentence = "why looks at projects: run it in the directory of a global package";
        return Err(Failure::usage(sentence));
    }
    if flags.words.is_empty() && flags.find_by.is_empty() {
        return Err(missing_name());
    }
    if flags.only_projects {
        return Err(Failure::usage(
            "`pacquet why` does not take --only-projects",
        ));
    }
    let levels = depth(flags, None)?;
    let mut found = Vec::new();
    for source in Source::read_all(global, flags, Concerns::All)? {
        let search = Search::new(&flags.words, source.finders(flags)?);
        let search = search.ok_or_else(missing_name)?;
        let lockfile = of_chosen(&source, global);
        let installed = Installed::new(
            &lockfile,
            &source.context.config,
            &source.projects,
            source.modules.as_deref(),
        );
        let more = installed.dependents(DependentsOptions {
            search: &search,
            depth: levels.map(|levels| usize::try_from(levels).unwrap_or_default()),
            groups: flags.groups.included(),
        });
        search.finish()?;
        join(&mut found, more);
    }
    print(&if flags.parseable {
        lines(&found)
    } else if flags.json {
        let objects: Vec<Value> = found.iter().map(|one| object(one, flags.long)).collect();
        format!(
            "{}\n",
            serde_json::to_string_pretty(&objects).unwrap_or_default()
        )
    } else {
        text(&found, flags.long)
    });
    Ok(())
}

/// The lockfile, with what filters leave of its projects and what these are linked to.
fn of_chosen<'s>(source: &'s Source, global: &GlobalArguments) -> Cow<'s, Lockfile> {
    if !global.workspace.is_filtered() {
        return Cow::Borrowed(&source.lockfile);
    }
    let projects = &source.projects;
    let config = &source.context.config;
    let chosen = source.chosen.iter().map(|at| &projects[*at].id);
    let kept = Installed::new(&source.lockfile, config, projects, None).with_linked(chosen);
    let mut lockfile = source.lockfile.clone();
    leave_out_others(&mut lockfile, &kept);
    Cow::Owned(lockfile)
}

fn missing_name() -> Failure {
    Failure::new(
        "ERR_PNPM_MISSING_PACKAGE_NAME",
        "`pacquet why` requires the package name or --find-by=<finder-name>",
        Some("name a package: `pacquet why NAME[@VERSION]`"),
    )
}

/// Joins what was found in another lockfile: a package that is in both is one.
fn join(found: &mut Vec<Dependents>, more: Vec<Dependents>) {
    if found.is_empty() {
        *found = more;
        return;
    }
    for one in more {
        let is_same = |other: &&mut Dependents| {
            (&other.name, &other.version, &other.peers_hash)
                == (&one.name, &one.version, &one.peers_hash)
        };
        match found.iter_mut().find(is_same) {
            Some(same) => same.dependents.extend(one.dependents),
            None => found.push(one),
        }
    }
    let version = |one: &Dependents| Version::parse(&one.version);
    found.sort_by(|one, two| (&one.name, version(one)).cmp(&(&two.name, version(two))));
}

fn text(found: &[Dependents], is_long: bool) -> String {
    let mut variations = PeerVariations::default();
    for one in found {
        variations.note(&one.name, &one.version, one.peers_hash.as_deref());
        note(&mut variations, &one.dependents);
    }
    let mut out = String::new();
    for one in found {
        out.push_str(&escaped(&format!("{}@{}", one.name, one.version)));
        out.push_str(&variations.suffix(&one.name, &one.version, one.peers_hash.as_deref()));
        out.push('\n');
        let mut lines = message_lines(one.message.as_deref());
        if is_long {
            lines.extend(Details::read(&one.path).lines(&one.path));
        }
        for line in lines {
            out.push_str(&format!("│ {line}\n"));
        }
        let trees = text_trees(&one.dependents, &variations);
        draw(&mut out, &trees, "", true);
        out.push('\n');
    }
    out.push_str(&counts(found));
    out
}

fn note(variations: &mut PeerVariations, dependents: &[Dependent]) {
    for one in dependents {
        variations.note(&one.name, &one.version, one.peers_hash.as_deref());
        note(variations, &one.dependents);
    }
}

/// How many versions were found of each name, and how many instances where those are more.
fn counts(found: &[Dependents]) -> String {
    let mut out = String::new();
    for of_name in found.chunk_by(|one, other| one.name == other.name) {
        let of_version = of_name.chunk_by(|one, other| one.version == other.version);
        let versions = of_version.count();
        let plural = if versions == 1 { "" } else { "s" };
        out.push_str(&format!("Found {versions} version{plural}"));
        if of_name.len() > versions {
            out.push_str(&format!(", {} instances", of_name.len()));
        }
        let name = of_name.first().map_or("", |one| &one.name);
        out.push_str(&format!(" of {}\n", escaped(name)));
    }
    out
}

fn text_trees(dependents: &[Dependent], variations: &PeerVariations) -> Vec<TextTree> {
    let tree = |one: &Dependent| {
        let mut line = named(one);
        if let Some(group) = one.group {
            line.push_str(&format!(" ({})", group.field()));
        }
        line.push_str(&variations.suffix(&one.name, &one.version, one.peers_hash.as_deref()));
        if one.is_circular {
            line.push_str(" [circular]");
        }
        if one.is_repeated {
            line.push_str(" [deduped]");
        }
        TextTree {
            lines: vec![line],
            below: text_trees(&one.dependents, variations),
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
    put("path", json!(one.path));
    put("dependents", objects(&one.dependents));
    if let Some(message) = &one.message {
        put("searchMessage", json!(message));
    }
    if is_long {
        // pnpm tells less here than `list` does.
        let fields = Details::read(&one.path).fields();
        for field in ["description", "repository", "homepage"] {
            let value = fields.iter().find(|(name, _)| *name == field);
            value.map(|(name, value)| put(name, value.clone()));
        }
    }
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
