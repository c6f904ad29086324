//! `update`: dependencies to later versions, within what `package.json` allows or beyond.

use std::collections::BTreeMap;

use crate::cli::arguments::{GlobalArguments, UpdateArguments};
use crate::cli::building::ProjectScripts;
use crate::cli::commands::install;
use crate::cli::context::{Context, change_options};
use crate::cli::failure::Failure;
use crate::cli::relocking::Workspace;
use crate::cli::scripting::Root;
use crate::cli::{print, prompt};
use crate::install::layout::matches_name;
use crate::install::manifest_edit::{Field, ManifestEdit};
use crate::install::relock::{Named, Reach, Specifiers};
use crate::install::resolve::Update;
use crate::name::{PackageName, escaped};

/// What the user named: patterns of names, and specifiers for some.
struct Wanted {
    patterns: Vec<Box<str>>,
    specifiers: BTreeMap<String, String>,
}

pub(in crate::cli) fn run(
    global: &GlobalArguments,
    arguments: &UpdateArguments,
) -> Result<(), Failure> {
    let mut options = change_options(&arguments.change);
    options.save_exact = arguments.save_exact.then_some(true);
    let context = Context::load(global, options)?;
    let mut workspace = Workspace::read(&context)?;
    let mut wanted = wanted(&arguments.packages);
    if arguments.latest && !wanted.specifiers.is_empty() {
        return Err(latest_with_versions(&wanted));
    }
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
    if targets.is_empty() {
        return Ok(());
    }
    let specifiers = workspace.specifiers(&context)?;
    let mut concerned = Vec::new();
    for at in targets {
        let edit = workspace.edit(&context, at)?;
        let names = names(edit, arguments, &wanted);
        if names.is_empty() && !wanted.patterns.is_empty() && arguments.latest {
            continue;
        }
        change(edit, arguments, &wanted, &names, &specifiers)?;
        for (name, specifier) in &wanted.specifiers {
            if let Ok(name) = PackageName::new(name) {
                workspace.prefer(&name, specifier);
            }
        }
        let update = update(&workspace, arguments, &wanted, &names);
        workspace.update(at, update);
        concerned.push((at, names));
    }
    if !arguments.change.lockfile_only {
        workspace.install_afterwards();
    }
    workspace.resolve(&context)?;
    if !arguments.no_save {
        for (at, names) in concerned {
            workspace.widen(&context, at, &names, &specifiers)?;
        }
    }
    workspace.decide(&context)?;
    let is_plain = arguments.packages.is_empty() && !arguments.latest && !arguments.interactive;
    let scripts = match is_plain {
        true => ProjectScripts::All,
        false => ProjectScripts::BeforeResolution,
    };
    install::put_in_place(&context, arguments.change.lockfile_only, scripts)
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
        None,
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

/// Direct dependencies that are concerned.
fn names(
    edit: &ManifestEdit,
    arguments: &UpdateArguments,
    wanted: &Wanted,
) -> Vec<(Field, String)> {
    let fields = [
        (Field::Production, !arguments.dev),
        (Field::Development, !arguments.prod),
        (Field::Optional, !arguments.dev && !arguments.no_optional),
    ];
    let fields = fields.into_iter().filter(|(_, is_wanted)| *is_wanted);
    fields
        .flat_map(|(field, _)| edit.entries(field).map(move |(alias, _)| (field, alias)))
        .filter(|(_, alias)| wanted.patterns.is_empty() || matches_name(&wanted.patterns, alias))
        .map(|(field, alias)| (field, alias.to_owned()))
        .collect()
}

/// Writes what the user asked for into the manifest.
fn change(
    edit: &mut ManifestEdit,
    arguments: &UpdateArguments,
    wanted: &Wanted,
    names: &[(Field, String)],
    specifiers: &Specifiers<'_>,
) -> Result<(), Failure> {
    for (field, name) in names {
        let Some((_, known)) = edit.find(name) else {
            continue;
        };
        let new = match wanted.specifiers.get(name) {
            Some(specifier) => {
                let named = Named {
                    alias: PackageName::new(name).ok(),
                    specifier: Some(specifier.clone()),
                };
                let known = known.to_owned();
                Some(specifiers.added(&named, |_| Some(known.clone()))?.1)
            }
            None if arguments.latest => specifiers.latest(name, known)?,
            None => None,
        };
        if let (Some(new), Ok(alias)) = (new, PackageName::new(name)) {
            edit.put(*field, &alias, &new);
        }
    }
    Ok(())
}

fn update(
    workspace: &Workspace,
    arguments: &UpdateArguments,
    wanted: &Wanted,
    names: &[(Field, String)],
) -> Update {
    let depth = arguments.depth.and_then(|depth| i32::try_from(depth).ok());
    let is_partial = arguments.prod || arguments.dev || arguments.no_optional;
    if wanted.patterns.is_empty() && !is_partial {
        return Update::Everything(depth);
    }
    let direct = names.iter().map(|(_, name)| name.as_str().into());
    let deep = workspace
        .locked_names()
        .into_iter()
        .filter(|name| !wanted.patterns.is_empty() && matches_name(&wanted.patterns, name));
    Update::Packages(direct.chain(deep).collect(), depth)
}
