//! `add`: packages into `package.json`, the lockfile and `node_modules`.

mod catalog;

use std::fs::{self, File};
use std::io::{ErrorKind, Write as _};
use std::path::PathBuf;

use crate::cli::arguments::{AddArguments, GlobalArguments};
use crate::cli::commands::install;
use crate::cli::context::{Context, change_options};
use crate::cli::failure::Failure;
use crate::cli::relocking::Workspace;
use crate::install::manifest_edit::Field;
use crate::install::relock::Named;
use crate::name::escaped;

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
    let mut manifest = NewManifest::make(&context)?;
    install::allow(&mut context, &arguments.allow_build);
    let mut catalog = Catalog::new(&context.config, arguments);
    let mut workspace = Workspace::read(&context)?;
    let targets = workspace.targets(&context, &global.workspace, &arguments.change)?;
    if targets.is_empty() {
        return Ok(());
    }
    let specifiers = workspace.specifiers(&context)?;
    let mut packages = arguments.packages.clone();
    if arguments.workspace {
        for text in &mut packages {
            *text = of_workspace(&workspace, text)?;
        }
    }
    for at in targets {
        for text in &packages {
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
    manifest.keep();
    install::write_allowed(&context, &arguments.allow_build)?;
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

/// A `package.json` for a directory that has none, which goes again where the command fails.
struct NewManifest(Option<PathBuf>);

impl NewManifest {
    fn make(context: &Context) -> Result<Self, Failure> {
        let path = context.config.directory.join("package.json");
        match File::create_new(&path).and_then(|mut file| file.write_all(b"{}\n")) {
            Ok(()) => Ok(Self(Some(path))),
            Err(error) if error.kind() == ErrorKind::AlreadyExists => Ok(Self(None)),
            Err(cause) => {
                let sentence = format!("{} cannot be written", path.display());
                Err(Failure::io("ERR_PACQUET_MANIFEST_WRITE", &sentence, cause))
            }
        }
    }

    fn keep(&mut self) {
        self.0 = None;
    }
}

impl Drop for NewManifest {
    fn drop(&mut self) {
        if let Some(path) = &self.0 {
            // It has nothing in it: nobody misses it, and it harms nobody.
            let _ = fs::remove_file(path);
        }
    }
}

/// The specifier that links a project of the workspace by its name.
fn of_workspace(workspace: &Workspace, text: &str) -> Result<String, Failure> {
    let named = Named::parse(text);
    let name = named.alias.as_ref().map_or(text, |alias| alias.as_str());
    let mut projects = workspace.projects().iter();
    if !projects.any(|project| project.manifest.name.as_deref() == Some(name)) {
        return Err(Failure::new(
            "ERR_PNPM_WORKSPACE_PACKAGE_NOT_FOUND",
            format!("\"{}\" is not in the workspace", escaped(text)),
            Some("leave out --workspace to have it from the registry"),
        ));
    }
    Ok(
        match text
            .strip_prefix(name)
            .and_then(|rest| rest.strip_prefix('@'))
        {
            Some(range) if !range.is_empty() => format!("{name}@workspace:{range}"),
            _ => format!("{name}@workspace:^"),
        },
    )
}
