//! `add`: packages into `package.json`, the lockfile and `node_modules`.

use crate::cli::arguments::{AddArguments, GlobalArguments};
use crate::cli::commands::install;
use crate::cli::context::{Context, change_options};
use crate::cli::failure::Failure;
use crate::cli::relocking::Workspace;
use crate::install::manifest_edit::Field;
use crate::install::relock::Named;

pub(in crate::cli) fn run(
    global: &GlobalArguments,
    arguments: &AddArguments,
) -> Result<(), Failure> {
    let mut options = change_options(&arguments.change);
    options.save_exact = arguments.save_exact.then_some(true);
    let context = Context::load(global, options)?;
    refuse_the_root_of_a_workspace(&context, arguments)?;
    let mut workspace = Workspace::read(&context)?;
    let targets = workspace.targets(&context, &arguments.change)?;
    let specifiers = workspace.specifiers(&context)?;
    for at in targets {
        for text in &arguments.packages {
            let named = Named::parse(text);
            let edit = workspace.edit(at)?;
            let previous = |name: &str| edit.find(name).map(|(_, text)| text.to_owned());
            let (alias, specifier) = specifiers.added(&named, previous)?;
            match field(arguments) {
                Some(field) => edit.put(field, &alias, &specifier),
                None => match edit.find(alias.as_str()).map(|(field, _)| field) {
                    Some(Field::Peer) => {}
                    Some(field) => edit.put(field, &alias, &specifier),
                    None => edit.put(Field::Production, &alias, &specifier),
                },
            }
            if arguments.save_peer {
                edit.put(Field::Peer, &alias, &specifier);
            }
        }
    }
    if !arguments.change.lockfile_only {
        workspace.install_afterwards();
    }
    workspace.relock(&context)?;
    install::put_in_place(&context, arguments.change.lockfile_only)
}

fn field(arguments: &AddArguments) -> Option<Field> {
    if arguments.save_optional {
        Some(Field::Optional)
    } else if arguments.save_dev || (arguments.save_peer && !arguments.save_prod) {
        Some(Field::Development)
    } else if arguments.save_prod {
        Some(Field::Production)
    } else {
        None
    }
}

/// The root of a workspace seldom is what was meant.
fn refuse_the_root_of_a_workspace(
    context: &Context,
    arguments: &AddArguments,
) -> Result<(), Failure> {
    let config = &context.config;
    let has_projects = config
        .package_globs
        .as_ref()
        .is_some_and(|globs| !globs.is_empty());
    let is_root = config.workspace_root.as_deref() == Some(&*config.directory);
    let is_meant = arguments.change.workspace_root
        || arguments.change.recursive
        || arguments.ignore_workspace_root_check;
    if !has_projects || !is_root || is_meant {
        return Ok(());
    }
    Err(Failure::new(
        "ERR_PNPM_ADDING_TO_ROOT",
        "Running this command will add the dependency to the workspace root, which might not be \
         what you want",
        Some("if you really meant it, make it explicit with --workspace-root (-w)"),
    ))
}
