//! `update`: dependencies to later versions, within what `package.json` allows or beyond.

use std::collections::BTreeMap;

use crate::cli::arguments::{GlobalArguments, UpdateArguments};
use crate::cli::commands::install;
use crate::cli::context::{Context, change_options};
use crate::cli::failure::Failure;
use crate::cli::relocking::Workspace;
use crate::install::layout::matches_name;
use crate::install::manifest_edit::{Field, ManifestEdit};
use crate::install::relock::{Named, Specifiers};
use crate::install::resolve::Update;
use crate::name::PackageName;

/// What the user named: patterns of names, and specifiers for some.
struct Wanted {
    patterns: Vec<Box<str>>,
    specifiers: BTreeMap<String, String>,
}

pub(in crate::cli) fn run(
    global: &GlobalArguments,
    arguments: &UpdateArguments,
) -> Result<(), Failure> {
    let context = Context::load(global, change_options(&arguments.change))?;
    let mut workspace = Workspace::read(&context)?;
    let specifiers = workspace.specifiers(&context)?;
    let wanted = wanted(&arguments.packages);
    let mut concerned = Vec::new();
    for at in workspace.targets(&context, &arguments.change)? {
        let edit = workspace.edit(at)?;
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
            workspace.widen(at, &names, &specifiers)?;
        }
    }
    workspace.write(&context)?;
    install::put_in_place(&context, arguments.change.lockfile_only)
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
