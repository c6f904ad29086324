//! `list`: what is installed, as a tree, as JSON or as lines.

use std::collections::HashSet;
use std::path::{Path, PathBuf};

use serde_json::{Map, Value, json};

use crate::cli::apart::Concerns;
use crate::cli::arguments::{GlobalArguments, ListArguments};
use crate::cli::commands::global as globally;
use crate::cli::failure::Failure;
use crate::cli::installed::{
    Details, PeerVariations, Source, TextTree, depth, draw, message_lines,
};
use crate::cli::print;
use crate::install::inspect::{Dependency, Group, Installed, ListedProject, Search, TreeOptions};
use crate::install::workspace::Project;
use crate::lexical;
use crate::name::escaped;

const LEGEND: &str = "Legend: production dependency, optional only, dev only\n\n";

/// How it is shown.
struct View<'a> {
    source: &'a Source,
    is_long: bool,
    is_searching: bool,
    /// No project's dependencies are shown.
    is_bare: bool,
    only_projects: bool,
}

pub(in crate::cli) fn run(
    global: &GlobalArguments,
    flags: &ListArguments,
    is_long: bool,
) -> Result<(), Failure> {
    if flags.global {
        if !flags.find_by.is_empty() {
            let sentence = "--find-by is for projects: global packages have no pnpmfile";
            return Err(Failure::usage(sentence));
        }
        return globally::list(global, flags, is_long);
    }
    let levels = depth(flags, Some(0))?;
    let sources = Source::read_all(global, flags, Concerns::Called)?;
    let mut shown: Vec<Shown> = Vec::new();
    for source in &sources {
        shown.push(of_source(source, flags, is_long, levels)?);
    }
    let is_bare = levels.is_some_and(|levels| levels < 0);
    print(&joined(shown, if is_bare { "" } else { "\n" }));
    Ok(())
}

/// What is shown of a lockfile.
enum Shown {
    Text(String),
    Objects(Vec<Value>),
}

/// One below the other; objects in one list.
fn joined(shown: Vec<Shown>, between: &str) -> String {
    let mut texts = Vec::new();
    let mut objects = None;
    for one in shown {
        match one {
            Shown::Text(text) if text.is_empty() => {}
            Shown::Text(text) => texts.push(text),
            Shown::Objects(more) => objects.get_or_insert_with(Vec::new).extend(more),
        }
    }
    match objects {
        Some(objects) => format!(
            "{}\n",
            serde_json::to_string_pretty(&objects).unwrap_or_default()
        ),
        None => texts.join(between),
    }
}

fn of_source(
    source: &Source,
    flags: &ListArguments,
    is_long: bool,
    levels: Option<i64>,
) -> Result<Shown, Failure> {
    let search = Search::new(&flags.words, source.finders(flags)?);
    let is_bare = levels.is_some_and(|levels| levels < 0);
    let installed = Installed::new(
        &source.lockfile,
        &source.context.config,
        &source.projects,
        source.modules.as_deref(),
    );
    let chosen: Vec<&Project> = source
        .chosen
        .iter()
        .map(|place| &source.projects[*place])
        .collect();
    let options = TreeOptions {
        depth: levels.map(|levels| usize::try_from(levels).unwrap_or_default()),
        groups: flags.groups.included(),
        search: search.as_ref(),
        only_projects: flags.only_projects,
    };
    let mut trees = match is_bare {
        true => chosen
            .into_iter()
            .map(|project| ListedProject {
                project,
                groups: Vec::new(),
            })
            .collect(),
        false => installed.trees(chosen, options),
    };
    if flags.exclude_peers {
        let groups = trees.iter_mut().flat_map(|tree| &mut tree.groups);
        groups.for_each(|(_, dependencies)| leave_out_peers(dependencies));
    }
    let view = View {
        source,
        is_long,
        is_searching: search.is_some(),
        is_bare,
        only_projects: flags.only_projects,
    };
    search.map_or(Ok(()), Search::finish)?;
    Ok(if flags.parseable {
        Shown::Text(view.lines(&trees))
    } else if flags.json {
        Shown::Objects(view.json(&trees))
    } else {
        Shown::Text(view.text(&trees))
    })
}

/// Leaves out peers below which nothing is shown.
fn leave_out_peers(dependencies: &mut Vec<Dependency>) {
    for dependency in dependencies.iter_mut() {
        leave_out_peers(&mut dependency.dependencies);
    }
    dependencies.retain(|one| !one.is_peer || !one.dependencies.is_empty());
}

impl View<'_> {
    /// Whether projects of which nothing is shown are named.
    fn shows_empty(&self) -> bool {
        !self.source.is_recursive || self.is_bare || self.only_projects
    }

    fn text(&self, trees: &[ListedProject<'_>]) -> String {
        let is_shown = |tree: &&ListedProject<'_>| self.shows_empty() || !tree.groups.is_empty();
        let shown: Vec<&ListedProject<'_>> = trees.iter().filter(is_shown).collect();
        if shown.is_empty() {
            return String::new();
        }
        let mut variations = PeerVariations::default();
        let groups = shown.iter().flat_map(|tree| &tree.groups);
        groups.for_each(|(_, dependencies)| note(&mut variations, dependencies));
        let mut out = String::new();
        if !self.is_bare {
            out.push_str(LEGEND);
        }
        for (place, tree) in shown.iter().enumerate() {
            if place > 0 {
                out.push('\n');
            }
            out.push_str(&heading(tree.project));
            for (number, (group, dependencies)) in tree.groups.iter().enumerate() {
                out.push_str(&format!("│\n│   {}:\n", group.field()));
                let is_end = number + 1 == tree.groups.len();
                let trees = self.text_trees(dependencies, &variations);
                draw(&mut out, &trees, "", is_end);
            }
        }
        if !self.is_bare {
            let count: usize = shown
                .iter()
                .flat_map(|tree| &tree.groups)
                .map(|(_, dependencies)| nodes(dependencies))
                .sum();
            let plural = if count == 1 { "" } else { "s" };
            out.push_str(&format!("\n{count} package{plural}"));
            if trees.len() > 1 {
                out.push_str(&format!(" in {} projects", trees.len()));
            }
            out.push('\n');
        }
        out
    }

    fn text_trees(
        &self,
        dependencies: &[Dependency],
        variations: &PeerVariations,
    ) -> Vec<TextTree> {
        let mut sorted: Vec<&Dependency> = dependencies.iter().collect();
        sorted.sort_by_key(|dependency| &dependency.name);
        let tree = |dependency: &Dependency| {
            let mut first = label(dependency, "@");
            if dependency.is_peer {
                first.push_str(" peer");
            }
            let Dependency { name, version, .. } = dependency;
            let hash = dependency.peers_hash.as_deref();
            first.push_str(&variations.suffix(name, version, hash));
            if dependency.repeated.is_some() {
                first.push_str(" [deduped]");
            }
            let mut lines = vec![first];
            lines.extend(message_lines(dependency.message.as_deref()));
            if self.is_long {
                lines.extend(Details::read(&dependency.path).lines(&dependency.path));
            }
            TextTree {
                lines,
                below: self.text_trees(&dependency.dependencies, variations),
            }
        };
        sorted.into_iter().map(tree).collect()
    }

    fn json(&self, trees: &[ListedProject<'_>]) -> Vec<Value> {
        trees.iter().map(|tree| self.project(tree)).collect()
    }

    fn project(&self, tree: &ListedProject<'_>) -> Value {
        let project = tree.project;
        let manifest = &project.manifest;
        let mut map = Map::new();
        let mut put = |key: &str, value: Value| map.insert(key.to_owned(), value);
        if let Some(name) = &manifest.name {
            put("name", json!(name));
        }
        if let Some(version) = &manifest.version {
            put("version", json!(version));
        }
        put("path", json!(project.directory));
        put("private", json!(manifest.private));
        for (group, dependencies) in &tree.groups {
            put(group.field(), self.objects(dependencies));
        }
        let unsaved = self.unsaved(project);
        if !unsaved.is_empty() {
            put("unsavedDependencies", self.objects(&unsaved));
        }
        Value::Object(map)
    }

    fn objects(&self, dependencies: &[Dependency]) -> Value {
        let object = |dependency: &Dependency| {
            let mut map = Map::new();
            let mut put = |key: &str, value: Value| map.insert(key.to_owned(), value);
            put("from", json!(dependency.name));
            put("version", json!(dependency.version));
            if let Some(resolved) = &dependency.resolved {
                put("resolved", json!(resolved));
            }
            if self.is_long {
                for (name, value) in Details::read(&dependency.path).fields() {
                    put(name, value);
                }
            }
            put("path", json!(dependency.path));
            if !dependency.dependencies.is_empty() {
                put("dependencies", self.objects(&dependency.dependencies));
            }
            if let Some(count) = dependency.repeated {
                put("deduped", json!(true));
                put("dedupedDependenciesCount", json!(count));
            }
            (dependency.alias.clone(), Value::Object(map))
        };
        Value::Object(dependencies.iter().map(object).collect())
    }

    /// What the root's `node_modules` links and the project does not depend on, as pnpm lists it.
    fn unsaved(&self, project: &Project) -> Vec<Dependency> {
        if self.is_searching || self.is_bare || self.only_projects {
            return Vec::new();
        }
        let config = &self.source.context.config;
        let modules = config.lockfile_directory.join(&config.modules_directory);
        let importer = self.source.lockfile.importers.get(&project.id);
        let is_saved = |alias: &str| importer.is_some_and(|importer| importer.get(alias).is_some());
        let unsaved = |alias: String| {
            let path = std::fs::canonicalize(modules.join(&alias));
            let path = path.ok().filter(|_| !is_saved(&alias))?;
            Some(Dependency {
                name: alias.clone(),
                version: format!(
                    "link:{}",
                    lexical::relative(&project.directory, &path).display()
                ),
                alias,
                resolved: None,
                path,
                is_peer: false,
                peers_hash: None,
                message: None,
                dependencies: Vec::new(),
                repeated: None,
            })
        };
        links(&modules).into_iter().filter_map(unsaved).collect()
    }

    fn lines(&self, trees: &[ListedProject<'_>]) -> String {
        let mut seen: HashSet<PathBuf> = HashSet::new();
        let mut out = String::new();
        for tree in trees {
            let project = tree.project;
            if !self.shows_empty() && tree.groups.is_empty() {
                continue;
            }
            if seen.insert(project.directory.clone()) {
                out.push_str(&project.directory.display().to_string());
                if self.is_long {
                    out.push_str(&project_words(project));
                }
                out.push('\n');
            }
            // What is optional comes first: where it is a dependency of others too, it stays there.
            let (optional, others): (Vec<_>, Vec<_>) = tree
                .groups
                .iter()
                .partition(|(group, _)| *group == Group::Optional);
            let mut flat = Vec::new();
            for (_, dependencies) in optional.into_iter().chain(others) {
                flatten(dependencies, &mut flat);
            }
            let unsaved = self.unsaved(project);
            let saved = flat.len();
            flat.extend(&unsaved);
            let mut lines = Vec::new();
            for (place, dependency) in flat.into_iter().enumerate() {
                if !seen.insert(dependency.path.clone()) {
                    continue;
                }
                let mut line = dependency.path.display().to_string();
                if self.is_long && place < saved {
                    line.push_str(&format!(":{}", label(dependency, " ")));
                } else if self.is_long {
                    line.push_str(&format!(":{}", escaped(&dependency.version)));
                }
                lines.push((&dependency.name, line));
            }
            lines.sort_by_key(|(name, _)| *name);
            for (_, line) in lines {
                out.push_str(&line);
                out.push('\n');
            }
        }
        out
    }
}

/// The first line of a project.
fn heading(project: &Project) -> String {
    let manifest = &project.manifest;
    let mut words = Vec::new();
    match (&manifest.name, &manifest.version) {
        (Some(name), Some(version)) => {
            words.push(format!("{}@{}", escaped(name), escaped(version)))
        }
        (Some(name), None) => words.push(escaped(name)),
        _ => {}
    }
    words.push(project.directory.display().to_string());
    if manifest.private {
        words.push("(PRIVATE)".to_owned());
    }
    format!("{}\n", words.join(" "))
}

/// What `--parseable --long` adds to a project.
fn project_words(project: &Project) -> String {
    let manifest = &project.manifest;
    let mut words = String::new();
    if let Some(name) = &manifest.name {
        words.push_str(&format!(":{}", escaped(name)));
        if let Some(version) = &manifest.version {
            words.push_str(&format!("@{}", escaped(version)));
        }
        if manifest.private {
            words.push_str(":PRIVATE");
        }
    }
    words
}

/// `alias@version`, or for another name `alias@npm:name@version`, with `between` for the first `@`.
fn label(dependency: &Dependency, between: &str) -> String {
    let Dependency {
        alias,
        name,
        version,
        ..
    } = dependency;
    escaped(&if alias == name {
        format!("{alias}@{version}")
    } else if version.contains('@') {
        format!("{alias}{between}{version}")
    } else {
        format!("{alias}{between}npm:{name}@{version}")
    })
}

fn note(variations: &mut PeerVariations, dependencies: &[Dependency]) {
    for one in dependencies {
        variations.note(&one.name, &one.version, one.peers_hash.as_deref());
        note(variations, &one.dependencies);
    }
}

fn nodes(dependencies: &[Dependency]) -> usize {
    let below = dependencies.iter().map(|one| 1 + nodes(&one.dependencies));
    below.sum()
}

fn flatten<'d>(dependencies: &'d [Dependency], flat: &mut Vec<&'d Dependency>) {
    for dependency in dependencies {
        flat.push(dependency);
        flatten(&dependency.dependencies, flat);
    }
}

/// The names in a `node_modules` that may be packages, sorted.
fn links(modules: &Path) -> Vec<String> {
    let names = |directory: &Path| {
        let entries = std::fs::read_dir(directory).into_iter().flatten().flatten();
        let names = entries.filter_map(|entry| entry.file_name().into_string().ok());
        names
            .filter(|name| !name.starts_with('.'))
            .collect::<Vec<_>>()
    };
    let mut found = Vec::new();
    for name in names(modules) {
        if name.starts_with('@') {
            let inner = names(&modules.join(&name));
            found.extend(inner.into_iter().map(|inner| format!("{name}/{inner}")));
        } else {
            found.push(name);
        }
    }
    found.sort();
    found
}
