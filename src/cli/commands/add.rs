//! `add`: packages into `package.json`, the lockfile and `node_modules`.

mod catalog;

use crate::cli::arguments::{AddArguments, GlobalArguments};
use crate::cli::commands::install;
use crate::cli::context::{Context, change_options};
use crate::cli::failure::Failure;
use crate::cli::relocking::Workspace;
use crate::install::manifest_edit::Field;
use crate::install::relock::Named;

use catalog::Catalog;

pub(in crate::cli) fn run(
    global: &GlobalArguments,
    arguments: &AddArguments,
) -> Result<(), Failure> {
    let mut options = change_options(&arguments.change);
    options.save_exact = arguments.save_exact.then_some(true);
    let prefix = arguments.save_prefix.clone();
    options.save_prefix = prefix.or_else(|| arguments.tilde.then(|| "~".to_owned()));
    let mut context = Context::load(global, options)?;
    let mut catalog = Catalog::new(&context.config, arguments);
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
            let is_known = edit.find(alias.as_str()).is_some();
            let specifier = catalog.written(&context, &named, &alias, specifier, is_known)?;
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
    drop(specifiers);
    catalog.show(&mut context.config);
    if !arguments.change.lockfile_only {
        workspace.install_afterwards();
    }
    workspace.resolve(&context)?;
    catalog.write(&context.config)?;
    workspace.write(&context)?;
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
