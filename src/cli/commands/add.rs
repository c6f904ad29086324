//! `add`: packages into `package.json`, the lockfile and `node_modules`.

pub(in crate::cli) mod catalog;
mod configuration;
pub(in crate::cli) mod provider;

use serde_json::{Map, Value};

use crate::cli::apart::{self, Concerns};
use crate::cli::arguments::{AddArguments, GlobalArguments};
use crate::cli::building::ProjectScripts;
use crate::cli::commands::{global as globally, init, install};
use crate::cli::context::{Context, architectures, change_options, flag};
use crate::cli::failure::Failure;
use crate::cli::relocking::Workspace;
use crate::cli::scripting::Root;
use crate::fs::mount::RealFiles;
use crate::install::drafts::{Draft, DraftKind};
use crate::install::locked::Groups;
use crate::install::manifest_edit::{Field, ManifestEdit};
use crate::install::relock::{Named, Specifiers};
use crate::install::resolve::Update;
use crate::install::semver::{Range, Version};
use crate::install::settings_file::WORKSPACE_FILE_NAME;
use crate::name::{PackageName, escaped};

use catalog::Catalog;
use provider::Provider;

pub(in crate::cli) fn run(
    global: &GlobalArguments,
    arguments: &AddArguments,
) -> Result<(), Failure> {
    if arguments.global {
        return globally::add(global, arguments);
    }
    let mut options = change_options(&arguments.change);
    options.save_exact = arguments.save_exact.then_some(true);
    let prefix = arguments.save_prefix.clone();
    options.save_prefix = prefix.or_else(|| arguments.tilde.then(|| "~".to_owned()));
    options.save_peer = flag(arguments.save_peer, arguments.no_save_peer);
    options.save_types = flag(arguments.save_types, arguments.no_save_types);
    options.ignore_workspace_root_check = arguments.ignore_workspace_root_check.then_some(true);
    options.supported_architectures = architectures(&arguments.platforms);
    if arguments.configuration {
        return configuration::run(global, arguments, options);
    }
    let mut context = Context::load_to_install(global, options)?;
    if let Some(projects) = apart::projects(&context, global, Concerns::Called, Root::LeftOut)? {
        return apart::each(global, projects, |global| run(global, arguments));
    }
    let arguments = &AddArguments {
        save_peer: context.config.save.peer,
        ..arguments.clone()
    };
    refuse_root(&context, global, arguments)?;
    begin_project(&context)?;
    if arguments.force {
        context.config.force();
    }
    install::allow(&mut context, &arguments.allow_build);
    let mut catalog = Catalog::new(&context.config, arguments);
    let mut workspace = Workspace::read(&context)?;
    let flags = (&global.workspace, &arguments.change);
    let targets = workspace.targets(&context, flags, Root::LeftOut)?;
    if targets.is_empty() || !context.narrow_change(global)? {
        return Ok(());
    }
    let specifiers = workspace.specifiers(&context)?;
    let mut packages = arguments.packages.clone();
    if arguments.workspace {
        for text in &mut packages {
            *text = provider::of_workspace(&context, &workspace, text)?;
        }
    }
    let packages: Vec<Named> = packages.iter().map(|text| Named::parse(text)).collect();
    for at in targets {
        for named in &packages {
            refuse_nameless(named)?;
            let asked = overridden(&specifiers, &workspace, at, named);
            let provider = match asked {
                Some(_) => None,
                None => Provider::find(&context, &workspace, named),
            };
            let common = asked
                .map(|range| (range, None))
                .or_else(|| common(&workspace, named));
            if let (Some(alias), Some((range, None))) = (&named.alias, &common) {
                workspace.prefer(alias, range.trim_start_matches('='));
            }
            let edit = workspace.edit(&context, at)?;
            let previous = |name: &str| edit.find(name).map(|(_, text)| text.to_owned());
            let (alias, specifier) = match (&named.alias, provider) {
                (Some(alias), Some(provider)) => {
                    let previous = previous(alias.as_str());
                    let written = provider.specifier(&specifiers, alias, previous.as_deref());
                    (alias.clone(), written)
                }
                _ => added(&specifiers, named, common, previous)?,
            };
            let types = match context.config.save.types {
                true => specifiers.types(&alias, &specifier),
                false => None,
            };
            let is_known = edit.find(alias.as_str()).is_some();
            let specifier = catalog.written(&context, named, &alias, specifier, is_known)?;
            put(edit, arguments, &alias, &specifier);
            let types = types.filter(|(name, _)| {
                let is_named = packages
                    .iter()
                    .any(|named| named.alias.as_ref() == Some(name));
                !is_named && edit.find(name.as_str()).is_none()
            });
            if let Some((name, specifier)) = types {
                let named = Named {
                    alias: Some(name.clone()),
                    specifier: None,
                };
                let specifier = catalog.written(&context, &named, &name, specifier, false)?;
                edit.put(Field::Development, &name, &specifier);
            }
            move_entry(
                &context,
                &mut workspace,
                &specifiers,
                &mut catalog,
                (at, &alias),
            );
            workspace.add(alias);
        }
    }
    drop(specifiers);
    catalog.show(&mut context.config);
    let groups = Groups {
        production: !arguments.dev,
        development: !arguments.prod,
        optional: !arguments.no_optional,
    };
    // Which group needs a package is not known while it is chosen.
    if !arguments.change.lockfile_only && groups == Groups::ALL {
        workspace.install_afterwards();
    }
    workspace.resolve(&context)?;
    catalog.decide(&context)?;
    workspace.forget_undecided(&context)?;
    workspace.decide(&context)?;
    install::decide_allowed(&context, &arguments.allow_build)?;
    if arguments.change.lockfile_only {
        return install::settle(&context);
    }
    let real_files = match arguments.force {
        true => RealFiles::MoveAside,
        false => RealFiles::Refuse,
    };
    let scripts = ProjectScripts::BeforeResolution;
    install::put_groups_in_place(&context, (groups, real_files), scripts)
}

/// Lets the entry of a catalog be of the version that was named, where the lockfile has another.
fn move_entry(
    context: &Context,
    workspace: &mut Workspace,
    specifiers: &Specifiers<'_>,
    catalog: &mut Catalog,
    (at, alias): (usize, &PackageName),
) {
    let Some(version) = catalog.moves(alias, workspace.previous()) else {
        return;
    };
    let known = catalog.entry(context, alias);
    let range = known.and_then(|known| specifiers.updated(alias.as_str(), known, &version));
    if let Some(range) = range {
        catalog.put(alias, range);
    }
    workspace.prefer(alias, &version);
    let names = [alias.as_str().into()].into_iter().collect();
    workspace.update(&[at], &Update::Packages(names, Some(0)));
}

/// Writes a dependency into the manifest, where the arguments want it or where it is.
fn put(edit: &mut ManifestEdit, arguments: &AddArguments, alias: &PackageName, specifier: &str) {
    match field(arguments) {
        Some(field) => edit.put(field, alias, specifier),
        None => match edit.find(alias.as_str()).map(|(field, _)| field) {
            Some(Field::Peer) => {}
            Some(field) => edit.put(field, alias, specifier),
            None => edit.put(Field::Production, alias, specifier),
        },
    }
    if arguments.save_peer {
        edit.put(Field::Peer, alias, specifier);
    }
}

/// The range that other projects have for a package that was named without a version, and the
/// version that is locked for them.
fn common(workspace: &Workspace, named: &Named) -> Option<(String, Option<Box<str>>)> {
    let alias = named.alias.as_ref().filter(|_| named.specifier.is_none())?;
    let range = workspace.common_range(alias)?;
    Some((range.to_owned(), workspace.locked_version(alias)))
}

/// What the overrides ask for of a package that was named without a version.
fn overridden(
    specifiers: &Specifiers<'_>,
    workspace: &Workspace,
    at: usize,
    named: &Named,
) -> Option<String> {
    let alias = named.alias.as_ref().filter(|_| named.specifier.is_none())?;
    specifiers.overridden(workspace.projects(), at, alias)
}

/// Name and specifier of what is added; a name that is new here is as it is elsewhere (`common`).
fn added(
    specifiers: &Specifiers<'_>,
    named: &Named,
    common: Option<(String, Option<Box<str>>)>,
    previous: impl Fn(&str) -> Option<String>,
) -> Result<(PackageName, String), Failure> {
    let (Some(alias), Some((range, version))) = (&named.alias, common) else {
        return Ok(specifiers.added(named, previous)?);
    };
    if previous(alias.as_str()).is_some() {
        return Ok(specifiers.added(named, previous)?);
    }
    // As an override says where packages come from.
    if range.contains(':') {
        return Ok((alias.clone(), range));
    }
    // A version alone says which one, and nothing of how wide ranges are.
    if Version::parse(range.trim_start_matches('=')).is_some() {
        let version = range.trim_start_matches('=');
        return Ok((alias.clone(), specifiers.new_range(version)));
    }
    let Some(version) = version else {
        let named = Named {
            alias: named.alias.clone(),
            specifier: Some(range.clone()),
        };
        return Ok(specifiers.added(&named, |_| Some(range.clone()))?);
    };
    let written = specifiers.updated(alias.as_str(), &range, &version);
    Ok((alias.clone(), written.unwrap_or(range)))
}

/// Whoever adds to the root of a workspace of several projects has to say so: they may have meant
/// one of the others.
fn refuse_root(
    context: &Context,
    global: &GlobalArguments,
    arguments: &AddArguments,
) -> Result<(), Failure> {
    let config = &context.config;
    let workspace = &global.workspace;
    let is_said = workspace.is_recursive()
        || workspace.is_alone
        || workspace.workspace_root
        || arguments.change.recursive
        || arguments.change.workspace_root
        || config.selection.adds_to_root;
    let is_root = config.workspace_root.as_deref() == Some(&*config.directory);
    let has_several = config
        .package_globs
        .as_ref()
        .is_some_and(|globs| globs.len() > 1);
    // Where this command makes the workspace, nobody could have said so.
    let is_there = config.directory.join(WORKSPACE_FILE_NAME).exists();
    if is_said || !is_root || !has_several || !is_there {
        return Ok(());
    }
    Err(Failure::new(
        "ERR_PNPM_ADDING_TO_ROOT",
        "This would add the dependency to the root of the workspace, which may not be what was \
         meant",
        Some("say so with -w, or set ignoreWorkspaceRootCheck"),
    ))
}

/// What stands behind `npm:` begins with the name of a package.
fn refuse_nameless(named: &Named) -> Result<(), Failure> {
    let specifier = named.specifier.as_deref();
    let Some(target) = specifier.and_then(|text| text.strip_prefix("npm:")) else {
        return Ok(());
    };
    let name = match target
        .char_indices()
        .skip(1)
        .find(|(_, letter)| *letter == '@')
    {
        Some((at, _)) => &target[..at],
        None => target,
    };
    // A version alone is of the package that has the alias's name.
    let is_version = named.alias.is_some() && !name.is_empty() && Range::parse(name).is_some();
    match is_version || PackageName::new(name).is_ok_and(|_| !name.starts_with('.')) {
        true => Ok(()),
        false => Err(Failure::new(
            "ERR_PNPM_INVALID_PACKAGE_NAME",
            format!("\"npm:{}\" names no package", escaped(target)),
            Some("name one: `npm:NAME[@VERSION]`"),
        )),
    }
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

/// Decides on a `package.json` for a directory that has none: what `init` begins with, but for
/// projects of a workspace.
fn begin_project(context: &Context) -> Result<(), Failure> {
    let path = context.config.directory.join("package.json");
    // One that cannot be looked at is told of by who reads it.
    if path.symlink_metadata().is_ok() {
        return Ok(());
    }
    let manifest = match context.config.workspace_root {
        Some(_) => Map::new(),
        None => init::beginning(&context.config.directory),
    };
    context.draft(Draft {
        path,
        kind: DraftKind::Manifest,
        before: None,
        after: Some(format!("{:#}\n", Value::Object(manifest)).into_bytes()),
    })
}
