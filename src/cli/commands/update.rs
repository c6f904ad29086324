//! `update`: dependencies to later versions, within what `package.json` allows or beyond.

mod catalogs;
mod link;

use std::collections::{BTreeMap, HashSet};

use crate::cli::apart::{self, Concerns};
use crate::cli::arguments::{GlobalArguments, UpdateArguments};
use crate::cli::building::ProjectScripts;
use crate::cli::commands::add::catalog::decide_entries;
use crate::cli::commands::{global as globally, install};
use crate::cli::context::{Context, architectures, change_options};
use crate::cli::failure::Failure;
use crate::cli::relocking::{CatalogEntries, Workspace, entry_of};
use crate::cli::scripting::Root;
use crate::cli::{print, prompt, recorded};
use crate::fs::mount::RealFiles;
use crate::install::layout::matches_name;
use crate::install::locked::Groups;
use crate::install::manifest_edit::{Field, ManifestEdit};
use crate::install::relock::{Named, Reach, Specifiers};
use crate::install::resolve::{Update, of_alias};
use crate::install::semver::{Range, Version};
use crate::name::{PackageName, escaped};
use crate::report::Event;

/// What the user named: patterns of names, and specifiers for some.
struct Wanted {
    patterns: Vec<Box<str>>,
    specifiers: BTreeMap<String, String>,
}

pub(in crate::cli) fn run(
    global: &GlobalArguments,
    arguments: &UpdateArguments,
) -> Result<(), Failure> {
    if arguments.global {
        return globally::update(global, arguments);
    }
    let mut options = change_options(&arguments.change);
    options.save_exact = arguments.save_exact.then_some(true);
    options.supported_architectures = architectures(&arguments.platforms);
    let mut context = Context::load_to_install(global, options)?;
    if let Some(projects) = apart::projects(&context, global, Concerns::Called, Root::Kept)? {
        return apart::each(global, projects, |global| run(global, arguments));
    }
    if arguments.workspace {
        link::refuse(&context, arguments)?;
    }
    let mut workspace = Workspace::read(&context)?;
    let mut wanted = wanted(&arguments.packages);
    if arguments.packages.is_empty() {
        wanted.patterns = all_but(&context.config.save.held);
    }
    let latest = goes_to_latest(&context, arguments, &mut wanted)?;
    if arguments.interactive {
        let targets =
            workspace.targets(&context, (&global.workspace, &arguments.change), Root::Kept)?;
        let specifiers = workspace.specifiers(&context)?;
        wanted = chosen(
            &context,
            &mut workspace,
            &targets,
            arguments,
            &wanted,
            specifiers,
        )?;
        if wanted.patterns.is_empty() {
            print("Nothing is updated.\n");
            return Ok(());
        }
    }
    let targets =
        workspace.targets(&context, (&global.workspace, &arguments.change), Root::Kept)?;
    if targets.is_empty() || !context.narrow_change(global)? {
        return Ok(());
    }
    let specifiers = workspace.specifiers(&context)?;
    let mut concerned = Vec::new();
    let mut entries = CatalogEntries::new();
    let provided = match arguments.workspace && !arguments.no_save {
        true => link::provided(&workspace),
        false => BTreeMap::new(),
    };
    // Of one project, the command is about the whole lockfile: what is named moves for the others,
    // too, within what they ask for.
    let is_about_some = global.workspace.is_recursive() || arguments.change.recursive;
    let projects: Vec<usize> = (0..workspace.projects().len()).collect();
    let reached = |at| match is_about_some {
        true => vec![at],
        false => projects.clone(),
    };
    for at in targets {
        let edit = workspace.edit(&context, at)?;
        let mut names = names(edit, arguments, &wanted);
        if names.is_empty() && !wanted.patterns.is_empty() && latest {
            continue;
        }
        let linked = link::put(edit, &names, &wanted, &provided, &specifiers)?;
        if !linked.is_empty() {
            let depth = arguments.depth.and_then(|depth| i32::try_from(depth).ok());
            let update = Update::Packages(linked.into_iter().collect(), depth);
            workspace.update(&reached(at), &update);
            continue;
        }
        let preferred = preferred(edit, &wanted);
        let before = catalogs::texts(edit, &names);
        let typed = change(edit, latest, &wanted, &names, &specifiers)?;
        if latest {
            latest_entries(&context, edit, &names, &specifiers, &mut entries)?;
            catalogs::put(&context, edit, (&names, &before), &mut entries)?;
        }
        for (name, version) in preferred {
            workspace.prefer(&name, &version);
        }
        let update = update((&workspace, at), arguments, &wanted, (&names, latest));
        workspace.update(&reached(at), &update);
        names.retain(|(_, name)| !typed.contains(name));
        concerned.push((at, names));
    }
    drop(specifiers);
    // What is named and nobody depends on has no latest version to go to.
    if latest && !workspace.has_updates() {
        return Ok(());
    }
    show(&entries, &mut context);
    let groups = groups(&context, arguments);
    // Which group needs a package is not known while it is chosen.
    if !arguments.change.lockfile_only && groups == Groups::ALL {
        workspace.install_afterwards();
    }
    workspace.resolve(&context)?;
    if !arguments.no_save {
        widen(&mut workspace, &mut context, &concerned, entries)?;
    }
    workspace.forget_undecided(&context)?;
    workspace.decide(&context)?;
    let is_plain = arguments.packages.is_empty() && !latest && !arguments.interactive;
    let scripts = match is_plain {
        true => ProjectScripts::Always,
        false => ProjectScripts::BeforeResolution,
    };
    if arguments.change.lockfile_only {
        return install::settle(&context);
    }
    install::put_groups_in_place(&context, (groups, RealFiles::Refuse), scripts)
}

/// Which groups of dependencies are installed afterwards: those that are, and those that the flags
/// name; of nothing, what the flags leave.
fn groups(context: &Context, arguments: &UpdateArguments) -> Groups {
    let (prod, dev) = (arguments.prod, arguments.dev);
    let groups = match recorded::groups(context) {
        Some(present) => Groups {
            production: present.production || prod,
            development: present.development || dev,
            optional: present.optional || arguments.optional,
        },
        None => Groups {
            production: true,
            development: dev || !prod,
            optional: true,
        },
    };
    Groups {
        optional: groups.optional && !arguments.no_optional,
        ..groups
    }
}

/// Whether later versions are wanted than the manifest allows. Where it keeps its ranges, none can
/// be had.
fn goes_to_latest(
    context: &Context,
    arguments: &UpdateArguments,
    wanted: &mut Wanted,
) -> Result<bool, Failure> {
    if arguments.latest && !wanted.specifiers.is_empty() {
        return Err(latest_with_versions(wanted));
    }
    if !arguments.no_save {
        return Ok(arguments.latest);
    }
    wanted.specifiers.clear();
    if arguments.latest {
        context.reporter.report(&Event::Warning {
            code: "ERR_PACQUET_LATEST_WITHOUT_SAVING",
            message: "--latest is ignored: package.json keeps its ranges with --no-save, so \
                      dependencies are updated within them",
        });
    }
    Ok(false)
}

/// Writes what was chosen into manifests and catalogs.
fn widen(
    workspace: &mut Workspace,
    context: &mut Context,
    concerned: &[(usize, Vec<(Field, String)>)],
    mut entries: CatalogEntries,
) -> Result<(), Failure> {
    let specifiers = workspace.specifiers(context)?;
    for (at, names) in concerned {
        workspace.widen(context, *at, names, &specifiers, &mut entries)?;
    }
    drop(specifiers);
    show(&entries, context);
    let entries = entries.iter();
    let entries = entries.map(|((catalog, alias), range)| (&**catalog, &**alias, &**range));
    decide_entries(context, entries)
}

/// What entries of catalogs become that dependencies stand for.
fn latest_entries(
    context: &Context,
    edit: &ManifestEdit,
    names: &[(Field, String)],
    specifiers: &Specifiers<'_>,
    entries: &mut CatalogEntries,
) -> Result<(), Failure> {
    for (_, name) in names {
        let specifier = edit.find(name).map_or("", |(_, specifier)| specifier);
        if let Some((catalog, known)) = entry_of(context, specifier, name)
            && let Some(new) = specifiers.latest(name, known)?
        {
            entries.insert((catalog.to_owned(), name.clone()), new);
        }
    }
    Ok(())
}

/// Lets the configuration have these entries.
fn show(entries: &CatalogEntries, context: &mut Context) {
    let catalogs = &mut context.config.graph.catalogs;
    for ((catalog, alias), range) in entries {
        let catalog = catalogs.entry(catalog.clone()).or_default();
        catalog.insert(alias.clone(), range.clone());
    }
}

fn latest_with_versions(wanted: &Wanted) -> Failure {
    let named = wanted.specifiers.iter();
    let named: Vec<String> = named
        .map(|(name, specifier)| escaped(&format!("{name}@{specifier}")))
        .collect();
    Failure::new(
        "ERR_PNPM_LATEST_WITH_SPEC",
        format!(
            "Specs are not allowed to be used with --latest ({})",
            named.join(", ")
        ),
        Some("leave out the versions, or --latest"),
    )
}

/// Asks which of the dependencies with later versions are updated.
fn chosen(
    context: &Context,
    workspace: &mut Workspace,
    targets: &[usize],
    arguments: &UpdateArguments,
    wanted: &Wanted,
    mut specifiers: Specifiers<'_>,
) -> Result<Wanted, Failure> {
    let mut declared: BTreeMap<PackageName, String> = BTreeMap::new();
    for at in targets {
        let edit = workspace.edit(context, *at)?;
        for (_, name) in names(edit, arguments, wanted) {
            let Some((_, specifier)) = edit.find(&name) else {
                continue;
            };
            if let Ok(alias) = PackageName::new(&name) {
                declared
                    .entry(alias)
                    .or_insert_with(|| specifier.to_owned());
            }
        }
    }
    let asked: Vec<(&PackageName, &str)> = declared
        .iter()
        .map(|(alias, text)| (alias, &**text))
        .collect();
    let reach = match arguments.latest {
        true => Reach::Latest,
        false => Reach::Compatible,
    };
    let newest = specifiers.newest(&asked, reach, false)?;
    let (mut labels, mut names) = (Vec::new(), Vec::new());
    for ((alias, _), newest) in asked.iter().zip(newest) {
        let current = workspace.locked_version(alias);
        if let Some(newest) = newest.filter(|newest| current.as_deref() != Some(&newest.version)) {
            let current = current.unwrap_or_else(|| "nothing".into());
            labels.push(format!(
                "{} {current} -> {}",
                alias.as_str(),
                newest.version
            ));
            names.push(alias.as_str());
        }
    }
    let chosen = match names.is_empty() {
        true => Vec::new(),
        false => {
            prompt::require()?;
            prompt::choose_some("Choose which packages to update", &labels)?
        }
    };
    let specifiers = wanted.specifiers.iter();
    let specifiers = specifiers.map(|(name, text)| (name.clone(), text.clone()));
    Ok(Wanted {
        patterns: chosen.into_iter().map(|at| names[at].into()).collect(),
        specifiers: specifiers.collect(),
    })
}

fn wanted(packages: &[String]) -> Wanted {
    let mut wanted = Wanted {
        patterns: Vec::new(),
        specifiers: BTreeMap::new(),
    };
    for text in packages {
        let named = Named::parse(text);
        match (named.alias, named.specifier) {
            (Some(alias), Some(specifier)) => {
                wanted.patterns.push(alias.as_str().into());
                wanted
                    .specifiers
                    .insert(alias.as_str().to_owned(), specifier);
            }
            _ => wanted.patterns.push(text.as_str().into()),
        }
    }
    wanted
}

/// Patterns of all but what these mean; none where that is everything.
fn all_but(held: &[String]) -> Vec<Box<str>> {
    let mut patterns: Vec<Box<str>> = Vec::new();
    if !held.is_empty() {
        patterns.push("*".into());
        patterns.extend(held.iter().map(|pattern| format!("!{pattern}").into()));
    }
    patterns
}

/// Direct dependencies that are concerned.
fn names(
    edit: &ManifestEdit,
    arguments: &UpdateArguments,
    wanted: &Wanted,
) -> Vec<(Field, String)> {
    let (prod, dev, optional) = (arguments.prod, arguments.dev, arguments.optional);
    let fields = [
        (Field::Production, prod || !(dev || optional)),
        (Field::Development, dev || !(prod || optional)),
        (Field::Optional, optional || !(prod || dev)),
        (Field::Peer, arguments.peer),
    ];
    let fields = fields.into_iter().filter(|(_, is_wanted)| *is_wanted);
    fields
        .flat_map(|(field, _)| edit.entries(field).map(move |(alias, _)| (field, alias)))
        .filter(|(_, alias)| wanted.patterns.is_empty() || matches_name(&wanted.patterns, alias))
        .map(|(field, alias)| (field, alias.to_owned()))
        .collect()
}

/// Writes what the user asked for into the manifest. Gives the names of what then stays as it is,
/// whatever version is chosen.
fn change(
    edit: &mut ManifestEdit,
    latest: bool,
    wanted: &Wanted,
    names: &[(Field, String)],
    specifiers: &Specifiers<'_>,
) -> Result<Vec<String>, Failure> {
    let mut typed = Vec::new();
    // What stands in several fields is taken out of the others, and was read before.
    let known = |(field, name): &(Field, String)| {
        let mut entries = edit.entries(*field);
        let (_, known) = entries.find(|(alias, _)| alias == name)?;
        Some(known.to_owned())
    };
    let known: Vec<Option<String>> = names.iter().map(known).collect();
    for ((field, name), known) in names.iter().zip(&known) {
        let Some(known) = known.as_deref() else {
            continue;
        };
        let new = match wanted.specifiers.get(name) {
            Some(specifier) => match reading(known, specifier) {
                Reading::Typed => {
                    typed.push(name.clone());
                    Some(specifier.clone())
                }
                Reading::Nothing => {
                    typed.push(name.clone());
                    None
                }
                Reading::Version(asked) => match PackageName::new(name) {
                    Ok(alias) => specifiers.moved(&alias, known, &asked)?,
                    Err(_) => None,
                },
            },
            None if latest => specifiers.latest(name, known)?,
            None => None,
        };
        if let (Some(new), Ok(alias)) = (new, PackageName::new(name)) {
            edit.put(*field, &alias, &new);
        }
    }
    Ok(typed)
}

/// The packages of which the user named versions, and these.
fn preferred(edit: &ManifestEdit, wanted: &Wanted) -> Vec<(PackageName, String)> {
    let named = wanted.specifiers.iter().filter_map(|(name, specifier)| {
        let known = edit.find(name).map_or("", |(_, known)| known);
        let meant = match reading(known, specifier) {
            Reading::Version(meant) => meant,
            Reading::Typed | Reading::Nothing => specifier.clone(),
        };
        let (package, version) = match meant.strip_prefix("npm:") {
            Some(target) => target.rsplit_once('@')?,
            None => (&**name, &*meant),
        };
        Some((PackageName::new(package).ok()?, version.to_owned()))
    });
    named.collect()
}

/// What is meant by a specifier on the command line.
enum Reading {
    /// What is written into the manifest.
    Typed,
    /// A version or a tag; the range is made for what it is.
    Version(String),
    /// Nothing: what the manifest has leads elsewhere.
    Nothing,
}

/// How `specifier` is read for a dependency that the manifest has as `known`.
fn reading(known: &str, specifier: &str) -> Reading {
    let is_version = Version::parse(specifier).is_some();
    let is_range = !is_version && Range::parse(specifier).is_some();
    let is_tag = !is_version && !is_range && !specifier.contains(':');
    let target = of_alias(known).map(|(name, _)| name);
    let has_tag = !known.is_empty() && !known.contains(':') && Range::parse(known).is_none();
    match target {
        _ if specifier.starts_with("npm:") || is_range => Reading::Typed,
        None if is_tag && has_tag => Reading::Typed,
        Some(_) if is_tag => Reading::Nothing,
        Some(target) if is_version => Reading::Version(format!("npm:{target}@{specifier}")),
        None if is_tag && known.starts_with("catalog:") => Reading::Nothing,
        _ => Reading::Version(specifier.to_owned()),
    }
}

/// What moves in the lockfile of a project: what was named, wherever it is, and with `latest`
/// whatever is below it.
fn update(
    (workspace, at): (&Workspace, usize),
    arguments: &UpdateArguments,
    wanted: &Wanted,
    (names, latest): (&[(Field, String)], bool),
) -> Update {
    let depth = arguments.depth.and_then(|depth| i32::try_from(depth).ok());
    let is_partial = arguments.prod || arguments.dev || arguments.optional;
    if wanted.patterns.is_empty() && !is_partial {
        return Update::Everything(depth);
    }
    // Of some groups, all but what is held back is direct dependencies of theirs.
    let is_named = !arguments.packages.is_empty() || arguments.interactive;
    let goes_deep = !wanted.patterns.is_empty() && (is_named || !is_partial);
    let direct = names.iter().map(|(_, name)| name.as_str().into());
    let deep = workspace
        .locked_names()
        .into_iter()
        .filter(|name| goes_deep && matches_name(&wanted.patterns, name));
    let below = match latest && depth.is_none() {
        true => workspace.locked_names_below(at, names),
        false => HashSet::new(),
    };
    Update::Packages(direct.chain(deep).chain(below).collect(), depth)
}
