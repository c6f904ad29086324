//! `outdated`: which direct dependencies have later versions.

use std::cmp::Ordering;
use std::collections::BTreeMap;
use std::path::PathBuf;

use serde_json::{Map, Value, json};

use crate::cli::Ending;
use crate::cli::apart::{self, Concerns};
use crate::cli::arguments::{
    GlobalArguments, GroupArguments, ListArguments, OutdatedArguments, OutdatedFormat,
    OutdatedOrder,
};
use crate::cli::commands::global as globally;
use crate::cli::context::{Context, network_options};
use crate::cli::failure::Failure;
use crate::cli::installed::{Source, read_in_time};
use crate::cli::print;
use crate::cli::serving::open_store;
use crate::cli::table::drawn;
use crate::install::config::{Config, Options};
use crate::install::inspect::Group;
use crate::install::layout::{IncludedGroups, matches_name};
use crate::install::locked::Supply;
use crate::install::lockfile::{Importer, Lockfile, Reference, read_lockfile};
use crate::install::relock::{Reach, specifiers};
use crate::install::resolve::of_alias;
use crate::install::scripts::ScriptEnd;
use crate::install::semver::Version;
use crate::install::workspace::Project;
use crate::name::{PackageName, escaped};
use crate::store::Access;

/// A direct dependency that comes from a registry.
struct Direct<'a> {
    project: &'a Project,
    group: Group,
    alias: &'a PackageName,
    specifier: &'a str,
    /// The name in the registry.
    name: String,
    current: String,
}

/// A dependency that has a later version, or that nobody should use.
struct Outdated {
    name: String,
    group: Group,
    current: String,
    latest: String,
    deprecated: Option<Box<str>>,
    homepage: Option<String>,
    /// Projects: name and directory.
    dependents: Vec<(String, PathBuf)>,
}

/// How what was found is shown.
#[derive(Clone, Copy)]
struct Style {
    is_recursive: bool,
    is_long: bool,
}

/// Ends with 1 where something is outdated.
pub(in crate::cli) fn run(
    global: &GlobalArguments,
    arguments: &OutdatedArguments,
) -> Result<Ending, Failure> {
    let groups = &arguments.groups;
    let listed = ListArguments {
        groups: GroupArguments {
            no_optional: groups.no_optional || !groups.included().production,
            ..groups.clone()
        },
        ..ListArguments::default()
    };
    let is_recursive = global.workspace.is_recursive();
    let style = Style {
        is_recursive,
        is_long: arguments.long,
    };
    let sources = match arguments.global {
        true => globally::sources(global, &listed)?,
        false => Source::read_all(global, &listed, Concerns::Called)?,
    };
    let mut outdated = Vec::new();
    let mut is_any_meant = arguments.patterns.is_empty();
    for source in sources {
        let (more, is_meant) = of_source(source, (global, arguments), &listed, style)?;
        is_any_meant |= is_meant;
        join(&mut outdated, more);
    }
    if !is_any_meant {
        return Err(Failure::new(
            "ERR_PNPM_NO_PACKAGE_IN_DEPENDENCIES",
            "None of the specified packages were found in the dependencies.",
            Some("`pacquet list` has the dependencies"),
        ));
    }
    match arguments.sort_by {
        Some(OutdatedOrder::Name) => outdated.sort_by(|one, two| one.name.cmp(&two.name)),
        None => outdated.sort_by(order),
    }
    print(&match arguments.format() {
        OutdatedFormat::Table => table(&outdated, style),
        OutdatedFormat::List => list(&outdated, style),
        OutdatedFormat::Json => object(&outdated, style),
    });
    Ok(match outdated.is_empty() {
        true => Ending::Success,
        false => Ending::As(ScriptEnd::Code(1)),
    })
}

/// What is outdated of what one lockfile has, and whether it has anything that is meant.
fn of_source(
    source: Source,
    (global, arguments): (&GlobalArguments, &OutdatedArguments),
    listed: &ListArguments,
    style: Style,
) -> Result<(Vec<Outdated>, bool), Failure> {
    let mut options = Options::default();
    network_options(&arguments.network, &mut options);
    let global = apart::alone(global, source.context.config.directory.clone());
    let mut context = Context::load_again(&global, options, &source.context)?;
    // What is too young to be installed is later all the same.
    context.config.resolution.minimum_release_age = None;
    let path = context.config.lockfile_to_read();
    let locked = match read_in_time(path)? {
        Some(text) => read_lockfile(&text)?,
        None => source.lockfile.clone(),
    };
    let is_concerned =
        |project: &&Project| style.is_recursive || project.directory == context.config.directory;
    let projects = source.chosen.iter().map(|at| &source.projects[*at]);
    let mut direct: Vec<Direct<'_>> = projects
        .filter(is_concerned)
        .flat_map(|project| direct(&context.config, project, listed.groups.included(), &locked))
        .collect();
    if !arguments.patterns.is_empty() {
        let patterns = arguments.patterns.iter().map(|one| one.as_str().into());
        let patterns: Vec<Box<str>> = patterns.collect();
        direct.retain(|one| matches_name(&patterns, one.alias.as_str()));
    }
    let is_meant = !direct.is_empty();
    let held = context.config.save.held.iter();
    let held: Vec<Box<str>> = held.map(|pattern| pattern.as_str().into()).collect();
    direct.retain(|one| !matches_name(&held, one.alias.as_str()));
    let found = find(&context, &direct, arguments.compatible, style)?;
    Ok((found, is_meant))
}

/// Joins what another lockfile has: a dependency that both have is one.
fn join(outdated: &mut Vec<Outdated>, more: Vec<Outdated>) {
    for one in more {
        let is_same = |other: &&mut Outdated| {
            (&other.name, &other.current, other.group) == (&one.name, &one.current, one.group)
        };
        match outdated.iter_mut().find(is_same) {
            Some(same) => same.dependents.extend(one.dependents),
            None => outdated.push(one),
        }
    }
}

/// The direct dependencies of a project that have a version.
fn direct<'a>(
    config: &'a Config,
    project: &'a Project,
    included: IncludedGroups,
    locked: &Lockfile,
) -> Vec<Direct<'a>> {
    let manifest = &project.manifest;
    let importer = locked.importers.get(&project.id);
    let mut found = Vec::new();
    for (group, is_included, declared) in [
        (
            Group::Production,
            included.production,
            &manifest.dependencies,
        ),
        (
            Group::Development,
            included.development,
            &manifest.dev_dependencies,
        ),
        (
            Group::Optional,
            included.optional,
            &manifest.optional_dependencies,
        ),
    ] {
        for (alias, specifier) in declared.iter().filter(|_| is_included) {
            let specifier = declared_in_catalog(config, alias, specifier);
            let locked = importer.and_then(|importer| locked_version(importer, group, alias));
            let Some((name, current)) = locked.or_else(|| lowest(importer, alias, specifier))
            else {
                continue;
            };
            found.push(Direct {
                project,
                group,
                alias,
                specifier,
                name,
                current,
            });
        }
    }
    found
}

/// Name and version of what the lockfile has for a dependency.
fn locked_version(
    importer: &Importer,
    group: Group,
    alias: &PackageName,
) -> Option<(String, String)> {
    let list = match group {
        Group::Production => &importer.dependencies,
        Group::Development => &importer.dev_dependencies,
        Group::Optional => &importer.optional_dependencies,
    };
    match &list.get(alias)?.reference {
        Reference::Package(path) if Version::parse(path.version()).is_some() => {
            Some((path.name_str().to_owned(), path.version().to_owned()))
        }
        _ => None,
    }
}

/// Where no lockfile knows the project: the lowest version that its range allows.
fn lowest(
    importer: Option<&Importer>,
    alias: &PackageName,
    specifier: &str,
) -> Option<(String, String)> {
    if importer.is_some() {
        return None;
    }
    let (name, range) = of_alias(specifier).unwrap_or((alias.as_str(), specifier));
    let lowest = node_semver::Range::parse(range).ok()?.min_version()?;
    Some((name.to_owned(), lowest.to_string()))
}

/// What stands in `package.json`, or in the catalog that it names.
fn declared_in_catalog<'a>(config: &'a Config, alias: &PackageName, specifier: &'a str) -> &'a str {
    let Some(catalog) = specifier.strip_prefix("catalog:") else {
        return specifier;
    };
    let catalog = match catalog.trim() {
        "" => "default",
        name => name,
    };
    let entries = config.graph.catalogs.get(catalog);
    let entry = entries.and_then(|entries| entries.get(alias.as_str()));
    entry.map_or(specifier, String::as_str)
}

fn find(
    context: &Context,
    direct: &[Direct<'_>],
    is_compatible: bool,
    style: Style,
) -> Result<Vec<Outdated>, Failure> {
    let config = &context.config;
    if direct.is_empty() {
        return Ok(Vec::new());
    }
    let store = open_store(config, Access::ReadWrite, Supply::Fetch)?;
    let mut specifiers = specifiers(
        config,
        &context.environment,
        &store,
        &context.reporter,
        None,
    )?;
    let asked: Vec<(&PackageName, &str)> = direct
        .iter()
        .map(|one| (one.alias, one.specifier))
        .collect();
    let reach = match is_compatible {
        true => Reach::Compatible,
        false => Reach::Latest,
    };
    let newest = specifiers.newest(&asked, reach, style.is_long)?;
    let mut found: Vec<Outdated> = Vec::new();
    for (one, newest) in direct.iter().zip(newest) {
        let Some(newest) = newest else { continue };
        if !is_later(&newest.version, &one.current) && newest.deprecated.is_none() {
            continue;
        }
        let directory = one.project.directory.clone();
        let name = match &one.project.manifest.name {
            Some(name) => name.to_string(),
            None => directory.display().to_string(),
        };
        let same = found.iter_mut().find(|other| {
            (&other.name, &other.current, other.group) == (&one.name, &one.current, one.group)
        });
        match same {
            Some(same) => same.dependents.push((name, directory)),
            None => found.push(Outdated {
                name: one.name.clone(),
                group: one.group,
                current: one.current.clone(),
                latest: newest.version.to_string(),
                deprecated: newest.deprecated,
                homepage: newest.homepage,
                dependents: vec![(name, directory)],
            }),
        }
    }
    Ok(found)
}

fn is_later(version: &str, than: &str) -> bool {
    match (Version::parse(version), Version::parse(than)) {
        (Some(version), Some(than)) => version > than,
        _ => false,
    }
}

/// Small changes first, then by name, version and group.
fn order(one: &Outdated, two: &Outdated) -> Ordering {
    let rank = |group| match group {
        Group::Optional => 0,
        Group::Production => 1,
        Group::Development => 2,
    };
    let key = |one: &Outdated| {
        (
            one.change(),
            one.name.clone(),
            one.current.clone(),
            rank(one.group),
        )
    };
    key(one).cmp(&key(two))
}

impl Outdated {
    /// How large the change is: 0 none, 1 patch, 2 minor, 3 major, 4 of another kind.
    fn change(&self) -> u8 {
        let parsed = (
            node_semver::Version::parse(&self.current),
            node_semver::Version::parse(&self.latest),
        );
        let (Ok(from), Ok(to)) = parsed else {
            return 4;
        };
        match (from == to, from.major == to.major, from.minor == to.minor) {
            (true, ..) => 0,
            (_, false, _) => 3,
            (_, _, false) => 2,
            _ if from.patch != to.patch => 1,
            _ => 4,
        }
    }

    fn label(&self) -> String {
        let name = escaped(&self.name);
        match self.group {
            Group::Production => name,
            Group::Development => format!("{name} (dev)"),
            Group::Optional => format!("{name} (optional)"),
        }
    }

    fn shown_latest(&self) -> String {
        match self.deprecated.is_some() {
            true => format!("{} (deprecated)", escaped(&self.latest)),
            false => escaped(&self.latest),
        }
    }

    fn shown_dependents(&self) -> String {
        let names = self.dependents.iter().map(|(name, _)| escaped(name));
        let mut names: Vec<String> = names.collect();
        names.sort();
        names.join(", ")
    }

    /// What `--long` adds.
    fn details(&self) -> Vec<String> {
        let texts = [self.deprecated.as_deref(), self.homepage.as_deref()];
        texts.into_iter().flatten().map(escaped).collect()
    }

    /// The key of the object: the name, and what tells it from others where there are others.
    fn key(&self, has_others: bool) -> String {
        let suffix = match self.group {
            Group::Production => "",
            Group::Development => " (dev)",
            Group::Optional => " (optional)",
        };
        match has_others {
            true => format!("{}@{}{suffix}", self.name, self.current),
            false => self.name.clone(),
        }
    }
}

fn table(outdated: &[Outdated], style: Style) -> String {
    if outdated.is_empty() {
        return "\n".to_owned();
    }
    let row = |name: String, current: String, latest: String| vec![name, current, latest];
    let text = |text: &str| text.to_owned();
    let mut head = row(text("Package"), text("Current"), text("Latest"));
    head.extend(style.is_recursive.then(|| text("Dependents")));
    head.extend(style.is_long.then(|| text("Details")));
    let mut rows = vec![head];
    for one in outdated {
        let mut line = row(one.label(), escaped(&one.current), one.shown_latest());
        line.extend(style.is_recursive.then(|| one.shown_dependents()));
        line.extend(style.is_long.then(|| one.details().join("\n")));
        rows.push(line);
    }
    format!("{}\n", drawn(&rows))
}

fn list(outdated: &[Outdated], style: Style) -> String {
    let paragraph = |one: &Outdated| {
        let mut lines = vec![
            one.label(),
            format!("{} => {}", escaped(&one.current), one.shown_latest()),
        ];
        if style.is_recursive {
            let plural = if one.dependents.len() == 1 { "" } else { "s" };
            lines.push(format!("Dependent{plural}: {}", one.shown_dependents()));
        }
        if style.is_long {
            lines.extend(one.details());
        }
        lines.join("\n")
    };
    let paragraphs: Vec<String> = outdated.iter().map(paragraph).collect();
    format!("{}\n", paragraphs.join("\n\n"))
}

fn object(outdated: &[Outdated], style: Style) -> String {
    let mut counts: BTreeMap<&str, usize> = BTreeMap::new();
    for one in outdated {
        *counts.entry(&one.name).or_default() += 1;
    }
    let mut all = Map::new();
    for one in outdated {
        let mut map = Map::new();
        let mut put = |key: &str, value: Value| map.insert(key.to_owned(), value);
        put("current", json!(one.current));
        put("latest", json!(one.latest));
        put("wanted", json!(one.current));
        put("isDeprecated", json!(one.deprecated.is_some()));
        put("dependencyType", json!(one.group.field()));
        if style.is_recursive {
            let dependents = one.dependents.iter();
            let dependents =
                dependents.map(|(name, location)| json!({ "name": name, "location": location }));
            put("dependentPackages", dependents.collect());
        }
        if style.is_long {
            let latest = json!({
                "name": one.name,
                "version": one.latest,
                "deprecated": one.deprecated,
                "homepage": one.homepage,
            });
            put("latestManifest", latest);
        }
        all.insert(one.key(counts[&*one.name] > 1), Value::Object(map));
    }
    let text = serde_json::to_string_pretty(&all).unwrap_or_default();
    format!("{text}\n")
}
