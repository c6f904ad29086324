//! `licenses`: under which licences the installed packages are.

mod homepage;

use std::cmp::Ordering;
use std::collections::{BTreeMap, HashSet};
use std::path::{Path, PathBuf};

use indexmap::IndexMap;
use regex::Regex;
use serde_json::{Map, Value, json};

use homepage::homepage_of;

use crate::cli::arguments::{GlobalArguments, LicensesArguments, ListArguments};
use crate::cli::failure::Failure;
use crate::cli::installed::{Source, read_in_time};
use crate::cli::print;
use crate::cli::table::drawn;
use crate::install::inspect::Installed;
use crate::install::layout::IncludedGroups;
use crate::install::locked::platforms;
use crate::install::lockfile::{DepPath, ImporterId, Lockfile, Reference, read_lockfile};
use crate::install::select::SupportedPlatforms;
use crate::name::escaped;

/// Files that may have a licence, the first of which counts.
const FILES: [&str; 9] = [
    "LICENSE",
    "LICENCE",
    "LICENSE.md",
    "LICENCE.md",
    "LICENSE.txt",
    "LICENCE.txt",
    "MIT-LICENSE.txt",
    "MIT-LICENSE.md",
    "MIT-LICENSE",
];

/// Names of licences that are looked for in such a file.
const NAMES: &str = concat!(
    r"(?i)\b(Apache[ -]?1[._]1|Apache[ -]?2(?:\.0)?|BSD-[234]-Clause|BSD Zero Clause License|0BSD",
    r"|New ?BSD|Simplified ?BSD|BSD|CC0[- ]?1(?:\.0)?|CDDL-?1(?:\.0)?",
    r"|Common Development and Distribution License 1\.0|EPL-?1(?:\.0)?",
    r"|Eclipse Public License 1\.0|LGPL-[23]\.[01]-only|LGPL2_1|LGPL|GPL-[23]\.0-only|GPLv[23]",
    r"|ISC|MIT|MPL-?[12](?:[._][01])?|Mozilla Public License [12]\.[01]|OFL-?1\.1|OFL",
    r"|SIL OPEN FONT LICENSE Version 1\.1|PSF-2\.0|Python Software Foundation License|Python|Ruby",
    r"|WTFPL|zlib/libpng license|Zlib)\b"
);

/// A package, or several versions of it, under one licence.
#[derive(Default)]
struct Licensed {
    versions: Vec<String>,
    paths: Vec<PathBuf>,
    is_development: bool,
    author: Option<String>,
    homepage: Option<String>,
    description: Option<String>,
}

pub(in crate::cli) fn run(
    global: &GlobalArguments,
    arguments: &LicensesArguments,
) -> Result<(), Failure> {
    match arguments.words.first().map(String::as_str) {
        Some("list" | "ls") => {}
        Some(_) => {
            return Err(Failure::new(
                "ERR_PNPM_LICENSES_UNKNOWN_SUBCOMMAND",
                "This subcommand is not known",
                Some("`pacquet licenses list` lists them"),
            ));
        }
        None => {
            return Err(Failure::new(
                "ERR_PNPM_LICENCES_NO_SUBCOMMAND",
                "Please specify the subcommand",
                Some("`pacquet licenses list` lists them"),
            ));
        }
    }
    let source = Source::read(global, &ListArguments::default())?;
    let config = &source.context.config;
    let lockfile = match read_in_time(config.lockfile_to_read())? {
        Some(text) => read_lockfile(&text)?,
        None if !source.lockfile.importers.is_empty() => source.lockfile.clone(),
        None => {
            let shown = config.lockfile_directory.display();
            return Err(Failure::new(
                "ERR_PNPM_LICENSES_NO_LOCKFILE",
                format!(
                    "No pnpm-lock.yaml found in \"{shown}\": Cannot check a project without a \
                     lockfile"
                ),
                Some("run `pacquet install` to make one"),
            ));
        }
    };
    let is_recursive = global.workspace.is_recursive();
    let projects = source.chosen.iter().map(|at| &source.projects[*at]);
    let projects = projects.filter(|one| is_recursive || one.directory == config.directory);
    let importers: Vec<ImporterId> = projects.map(|project| project.id.clone()).collect();
    let modules = source.modules.as_deref();
    let installed = Installed::new(&lockfile, config, &source.projects, modules);
    let graph = Graph {
        lockfile: &lockfile,
        platforms: platforms(config),
    };
    let found = find(&graph, &installed, &importers, included(arguments));
    print(&match (arguments.json, found.is_empty()) {
        (true, _) => object(&found),
        (false, true) => "No licenses in packages found\n".to_owned(),
        (false, false) => table(&found, arguments.long),
    });
    Ok(())
}

fn included(arguments: &LicensesArguments) -> IncludedGroups {
    match arguments.optional {
        true => IncludedGroups {
            production: false,
            development: false,
            optional: true,
        },
        false => IncludedGroups {
            production: !arguments.dev,
            development: !arguments.prod,
            optional: !arguments.prod && !arguments.no_optional,
        },
    }
}

/// By licence and name.
type Found = IndexMap<String, BTreeMap<String, Licensed>>;

/// What may be installed on this machine.
struct Graph<'a> {
    lockfile: &'a Lockfile,
    platforms: SupportedPlatforms,
}

fn find(
    graph: &Graph<'_>,
    installed: &Installed<'_>,
    importers: &[ImporterId],
    included: IncludedGroups,
) -> Found {
    let lockfile = graph.lockfile;
    let reached = graph.reachable(importers, included);
    let every: Vec<ImporterId> = lockfile.importers.keys().cloned().collect();
    let groups = |production, development| IncludedGroups {
        production,
        development,
        optional: production,
    };
    let in_production = graph.reachable(&every, groups(true, false));
    let mut packages: Vec<(&str, String, &DepPath)> = reached
        .iter()
        .map(|path| {
            let info = lockfile.packages.get(path.package_id_str());
            let version = info.and_then(|info| info.version.as_deref());
            let version = version.unwrap_or(path.version()).to_owned();
            (path.name_str(), version, *path)
        })
        .collect();
    let parsed = |text: &str| node_semver::Version::parse(text).ok();
    packages.sort_by(|one, two| {
        by_name(one.0, two.0)
            .then_with(|| parsed(&one.1).cmp(&parsed(&two.1)))
            .then_with(|| one.2.cmp(two.2))
    });
    let detector = Regex::new(NAMES).ok();
    let mut found = Found::new();
    for (name, version, path) in packages {
        let directory = installed.path(path);
        let manifest = manifest_of(&directory);
        let license = license_of(&manifest, &directory, detector.as_ref());
        let of_license = found.entry(license).or_default();
        let entry = of_license.entry(name.to_owned()).or_default();
        // Versions come in order: the newest has the last word.
        entry.is_development = !in_production.contains(path);
        entry.author = author_of(&manifest);
        entry.homepage = homepage_of(&manifest);
        entry.description = text(&manifest, "description");
        entry.paths.push(directory);
        if !entry.versions.contains(&version) {
            entry.versions.push(version);
        }
    }
    found
}

impl<'a> Graph<'a> {
    fn reachable(
        &self,
        importers: &[ImporterId],
        included: IncludedGroups,
    ) -> HashSet<&'a DepPath> {
        let mut seen = HashSet::new();
        let mut waiting: Vec<&Reference> = Vec::new();
        let known = importers
            .iter()
            .filter_map(|id| self.lockfile.importers.get(id));
        for importer in known {
            for (is_included, list) in [
                (included.production, &importer.dependencies),
                (included.development, &importer.dev_dependencies),
                (included.optional, &importer.optional_dependencies),
            ] {
                let list = list.values().filter(|_| is_included);
                waiting.extend(list.map(|dependency| &dependency.reference));
            }
        }
        while let Some(reference) = waiting.pop() {
            let Reference::Package(path) = reference else {
                continue;
            };
            if !self.is_for_this_machine(path) || !seen.insert(path) {
                continue;
            }
            if let Some(snapshot) = self.lockfile.snapshots.get(path) {
                waiting.extend(snapshot.dependencies.values());
                if included.optional || !included.production {
                    waiting.extend(snapshot.optional_dependencies.values());
                }
            }
        }
        seen
    }

    fn is_for_this_machine(&self, path: &DepPath) -> bool {
        let is_optional = |path| {
            let snapshot = self.lockfile.snapshots.get(path);
            snapshot.is_some_and(|snapshot| snapshot.optional)
        };
        let info = self.lockfile.packages.get(path.package_id_str());
        info.is_none_or(|info| {
            !is_optional(path) || self.platforms.fits(&info.name, &info.platforms)
        })
    }
}

/// As people sort names: letters of either case side by side, marks before them.
fn by_name(one: &str, two: &str) -> Ordering {
    let weight = |byte: u8| match b"_-.@/~".iter().position(|mark| *mark == byte) {
        Some(place) => u8::try_from(place).unwrap_or_default(),
        None => byte.to_ascii_lowercase().saturating_add(6),
    };
    let weights = one.bytes().map(weight).cmp(two.bytes().map(weight));
    weights.then_with(|| one.cmp(two))
}

fn manifest_of(directory: &Path) -> Map<String, Value> {
    let text = read_in_time(directory.join("package.json")).ok().flatten();
    text.and_then(|text| serde_json::from_str(&text).ok())
        .unwrap_or_default()
}

fn text(manifest: &Map<String, Value>, field: &str) -> Option<String> {
    manifest.get(field)?.as_str().map(str::to_owned)
}

fn license_of(manifest: &Map<String, Value>, directory: &Path, detector: Option<&Regex>) -> String {
    let declared = manifest.get("license").and_then(declared);
    let declared = declared.or_else(|| manifest.get("licenses").and_then(self::declared));
    let says = |text: &String| !text.to_ascii_lowercase().contains("see license");
    if let Some(license) = declared.clone().filter(says) {
        return license;
    }
    let files = FILES.iter().map(|name| directory.join(name));
    let mut texts = files.filter_map(|path| read_in_time(path).ok().flatten());
    let Some(text) = texts.next() else {
        return declared.unwrap_or_else(|| "Unknown".to_owned());
    };
    let mut names: Vec<&str> = Vec::new();
    for found in detector
        .into_iter()
        .flat_map(|detector| detector.find_iter(&text))
    {
        if !names.contains(&found.as_str()) {
            names.push(found.as_str());
        }
    }
    match names.is_empty() {
        true => "Unknown".to_owned(),
        false => names.join(" OR "),
    }
}

/// What a manifest declares: a text, an object with its kind, or a list of those.
fn declared(value: &Value) -> Option<String> {
    match value {
        Value::String(text) => Some(text.clone()).filter(|text| !text.is_empty()),
        Value::Object(map) => {
            let name = map.get("type").or_else(|| map.get("name"))?;
            name.as_str().map(str::to_owned)
        }
        Value::Array(list) => {
            let names: Vec<String> = list.iter().filter_map(declared).collect();
            match names.as_slice() {
                [] => None,
                [only] => Some(only.clone()),
                several => Some(format!("({})", several.join(" OR "))),
            }
        }
        _ => None,
    }
}

fn author_of(manifest: &Map<String, Value>) -> Option<String> {
    match manifest.get("author")? {
        // One that is said to be nobody is said.
        Value::String(author) if author.is_empty() => Some(String::new()),
        Value::String(author) => {
            let end = author.find(['(', '<']).unwrap_or(author.len());
            Some(author[..end].trim().to_owned()).filter(|name| !name.is_empty())
        }
        author => author.get("name")?.as_str().map(str::to_owned),
    }
}

fn table(found: &Found, is_long: bool) -> String {
    let mut all: Vec<(&String, &String, &Licensed)> = found
        .iter()
        .flat_map(|(license, group)| group.iter().map(move |(name, one)| (name, license, one)))
        .collect();
    all.sort_by(|one, two| by_name(one.0, two.0));
    let head = ["Package", "License", "Details"].into_iter();
    let columns = if is_long { 3 } else { 2 };
    let mut rows = vec![head.take(columns).map(str::to_owned).collect()];
    for (name, license, one) in all {
        let suffix = if one.is_development { " (dev)" } else { "" };
        let mut row = vec![format!("{}{suffix}", escaped(name)), escaped(license)];
        if is_long {
            let details = [&one.author, &one.description, &one.homepage];
            let details = details.into_iter().flatten();
            let details: Vec<String> = details.map(|text| escaped(text)).collect();
            row.push(details.join("\n"));
        }
        rows.push(row);
    }
    format!("{}\n", drawn(&rows))
}

fn object(found: &Found) -> String {
    let mut all = Map::new();
    for (license, group) in found {
        let mut group: Vec<(&String, &Licensed)> = group.iter().collect();
        group.sort_by(|one, two| by_name(one.0, two.0));
        let list = group.into_iter().map(|(name, one)| {
            let mut map = Map::new();
            map.insert("name".to_owned(), json!(name));
            map.insert("versions".to_owned(), json!(one.versions));
            map.insert("paths".to_owned(), json!(one.paths));
            map.insert("license".to_owned(), json!(license));
            for (key, text) in [
                ("author", &one.author),
                ("homepage", &one.homepage),
                ("description", &one.description),
            ] {
                if let Some(text) = text {
                    map.insert(key.to_owned(), json!(text));
                }
            }
            Value::Object(map)
        });
        all.insert(license.clone(), list.collect());
    }
    format!(
        "{}\n",
        serde_json::to_string_pretty(&all).unwrap_or_default()
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_author_is_a_name() {
        for (author, expected) in [
            (json!("Ann <a@a.test> (https://a.test)"), Some("Ann")),
            (json!({ "name": "Ann" }), Some("Ann")),
            (json!(""), Some("")),
            (json!("<a@a.test>"), None),
            (json!(3), None),
        ] {
            let manifest = Map::from_iter([("author".to_owned(), author.clone())]);
            assert_eq!(author_of(&manifest).as_deref(), expected, "{author}");
        }
    }

    #[test]
    fn licences_are_declared_in_many_forms() {
        for (value, expected) in [
            (json!("MIT"), Some("MIT")),
            (json!({ "type": "ISC", "url": "x" }), Some("ISC")),
            (json!([{ "type": "MIT" }, "ISC"]), Some("(MIT OR ISC)")),
            (json!([]), None),
            (json!(""), None),
            (json!(3), None),
        ] {
            assert_eq!(declared(&value).as_deref(), expected, "{value}");
        }
    }
}
