//! `remove`: packages out of `package.json`, the lockfile and `node_modules`.

use crate::cli::apart::{self, Concerns};
use crate::cli::arguments::{GlobalArguments, RemoveArguments};
use crate::cli::building::ProjectScripts;
use crate::cli::commands::{global as globally, install};
use crate::cli::context::{Context, change_options};
use crate::cli::failure::Failure;
use crate::cli::relocking::Workspace;
use crate::cli::scripting::Root;
use crate::install::manifest_edit::{Field, ManifestEdit};
use crate::name::escaped;

pub(in crate::cli) fn run(
    global: &GlobalArguments,
    arguments: &RemoveArguments,
) -> Result<(), Failure> {
    if arguments.global {
        return globally::remove(global, arguments);
    }
    if arguments.names.is_empty() {
        return Err(Failure::new(
            "ERR_PNPM_MUST_REMOVE_SOMETHING",
            "At least one dependency name should be specified for removal",
            Some("name what is to go: `pacquet remove NAME...`"),
        ));
    }
    let mut context = Context::load_to_install(global, change_options(&arguments.change))?;
    context.clears = true;
    if let Some(projects) = apart::projects(&context, global, Concerns::Called, Root::Kept)? {
        return apart::each(global, projects, |global| run(global, arguments));
    }
    let mut workspace = Workspace::read(&context)?;
    let fields = fields(arguments);
    let targets =
        workspace.targets(&context, (&global.workspace, &arguments.change), Root::Kept)?;
    if targets.is_empty() || !context.narrow_change(global)? {
        return Ok(());
    }
    let mut there = Vec::new();
    for at in &targets {
        let edit = workspace.edit(&context, *at)?;
        there.extend(declared(edit, &fields));
    }
    refuse_what_is_not_there(&there, &arguments.names)?;
    for at in targets {
        let edit = workspace.edit(&context, at)?;
        for name in &arguments.names {
            let mut was_there = false;
            for field in &fields {
                was_there |= edit.take(*field, name);
            }
            if was_there {
                edit.take_meta(name);
            }
        }
    }
    if !arguments.change.lockfile_only {
        workspace.install_afterwards();
    }
    workspace.resolve(&context)?;
    workspace.forget_undecided(&context)?;
    workspace.decide(&context)?;
    let scripts = ProjectScripts::BeforeResolution;
    install::put_in_place(&context, arguments.change.lockfile_only, scripts)
}

fn fields(arguments: &RemoveArguments) -> Vec<Field> {
    if arguments.save_dev {
        vec![Field::Development]
    } else if arguments.save_optional {
        vec![Field::Optional]
    } else if arguments.save_prod {
        vec![Field::Production]
    } else {
        Field::ALL.to_vec()
    }
}

/// The names of dependencies in `fields`. What is a peer alone is none, as with pnpm.
fn declared(edit: &ManifestEdit, fields: &[Field]) -> Vec<String> {
    let fields = fields.iter().filter(|field| **field != Field::Peer);
    let entries = fields.flat_map(|field| edit.entries(*field));
    entries.map(|(alias, _)| alias.to_owned()).collect()
}

/// Refuses names that no project has.
fn refuse_what_is_not_there(there: &[String], names: &[String]) -> Result<(), Failure> {
    let missing: Vec<&str> = names
        .iter()
        .map(String::as_str)
        .filter(|name| !there.iter().any(|alias| alias == name))
        .collect();
    if missing.is_empty() {
        return Ok(());
    }
    let named: Vec<String> = missing
        .iter()
        .map(|name| format!("'{}'", escaped(name)))
        .collect();
    let what = if named.len() == 1 {
        "no such dependency"
    } else {
        "no such dependencies"
    };
    let hint = format!("Available dependencies: {}", there.join(", "));
    Err(Failure::new(
        "ERR_PNPM_CANNOT_REMOVE_MISSING_DEPS",
        format!("Cannot remove {}: {what} found", named.join(", ")),
        (!there.is_empty()).then_some(&*hint),
    ))
}
