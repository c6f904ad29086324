//! `link` and `unlink`: directories of this machine in the place of packages.

use std::path::{Path, PathBuf};

use serde_json::Value;

use crate::cli::arguments::{ChangeArguments, GlobalArguments, LinkArguments, UnlinkArguments};
use crate::cli::building::ProjectScripts;
use crate::cli::commands::install;
use crate::cli::context::{Context, change_options};
use crate::cli::failure::Failure;
use crate::cli::print;
use crate::cli::relocking::Workspace;
use crate::cli::scripting::Root;
use crate::install::manifest::Manifest;
use crate::install::manifest_edit::{Field, ManifestEdit};
use crate::install::resolve::relative_text;
use crate::install::settings_file::SettingsFile;
use crate::name::{PackageName, escaped};

/// Fields whose entries are linked as they stand.
const FIELDS: [Field; 3] = [Field::Optional, Field::Production, Field::Development];

/// `link`.
pub(in crate::cli) fn link(
    global: &GlobalArguments,
    arguments: &LinkArguments,
) -> Result<(), Failure> {
    if arguments.directories.is_empty() {
        return Err(Failure::new(
            "ERR_PNPM_LINK_BAD_PARAMS",
            "You must provide a parameter. Usage: pacquet link <dir>",
            Some("name the directory of a package: `pacquet link ../package`"),
        ));
    }
    if let Some(name) = arguments.directories.iter().find(|text| !is_path(text)) {
        let name = escaped(name);
        return Err(Failure::new(
            "ERR_PNPM_LINK_BAD_PARAMS",
            format!(
                "Cannot link by package name. Use a relative or absolute path instead, e.g. \
                 \"pacquet link ./{name}\""
            ),
            Some("`pacquet add NAME` is for packages of registries and of the workspace"),
        ));
    }
    change(global, |change| {
        for text in &arguments.directories {
            let target = change.context.called_in.join(expanded(change, text));
            let name = name_of(&target)?;
            let own = link_to(&change.context.config.directory, &target);
            let edit = change.workspace.edit(&change.context, change.at)?;
            let is_declared = edit.find(name.as_str());
            if is_declared.is_none_or(|(field, _)| !FIELDS.contains(&field)) {
                edit.put(Field::Production, &name, &own);
            }
            let specifier = link_to(&change.root, &target);
            let key = ["overrides", name.as_str()];
            change.settings.set(&key, &Value::from(&*specifier))?;
            let overrides = &mut change.context.config.graph.overrides;
            overrides.insert(name.as_str().to_owned(), specifier);
        }
        Ok(true)
    })
}

/// `unlink`.
pub(in crate::cli) fn unlink(
    global: &GlobalArguments,
    arguments: &UnlinkArguments,
) -> Result<(), Failure> {
    change(global, |change| {
        let overrides = &change.context.config.graph.overrides;
        if overrides.is_empty() {
            print("Nothing to unlink\n");
            return Ok(false);
        }
        let is_meant = |name: &String, specifier: &String| {
            let is_named = arguments.names.is_empty() || arguments.names.contains(name);
            is_named && specifier.starts_with("link:")
        };
        let linked: Vec<(String, String)> = overrides
            .iter()
            .filter(|(name, specifier)| is_meant(name, specifier))
            .map(|(name, specifier)| (name.clone(), specifier.clone()))
            .collect();
        for (name, specifier) in linked {
            let overrides = &mut change.context.config.graph.overrides;
            overrides.shift_remove(&name);
            change.settings.remove(&["overrides", &name])?;
            let target = change.root.join(&specifier["link:".len()..]);
            let own = link_to(&change.context.config.directory, &target);
            let edit = change.workspace.edit(&change.context, change.at)?;
            take_link(edit, &name, &own);
        }
        Ok(true)
    })
}

/// A dependency that is nothing but the link goes with it.
fn take_link(edit: &mut ManifestEdit, name: &str, specifier: &str) {
    for field in FIELDS {
        let is_link = edit
            .entries(field)
            .any(|(alias, text)| alias == name && text == specifier);
        if is_link {
            edit.take(field, name);
        }
    }
}

/// What a change works with.
struct Change {
    context: Context,
    workspace: Workspace,
    settings: SettingsFile,
    /// Whose `pnpm-workspace.yaml` it is.
    root: PathBuf,
    /// The project.
    at: usize,
}

/// Makes a change, resolves, puts `node_modules` in place, and writes everything. Nothing is
/// written where the change says so, or where something fails.
fn change(
    global: &GlobalArguments,
    make: impl FnOnce(&mut Change) -> Result<bool, Failure>,
) -> Result<(), Failure> {
    let flags = ChangeArguments::default();
    let context = Context::load(global, change_options(&flags))?;
    let workspace = Workspace::read(&context)?;
    let at = workspace.targets(&context, (&global.workspace, &flags), Root::Kept)?;
    let config = &context.config;
    let root = config.root().to_owned();
    let mut change = Change {
        settings: context.settings_file(&root)?,
        root,
        at: at.first().copied().unwrap_or_default(),
        context,
        workspace,
    };
    if !make(&mut change)? {
        return Ok(());
    }
    change.workspace.resolve(&change.context)?;
    change.context.draft(change.settings.draft())?;
    change.workspace.decide(&change.context)?;
    let context = Context::load_again(global, change_options(&flags), &change.context)?;
    install::put_in_place(&context, false, ProjectScripts::BeforeResolution)
}

/// Whether a word is a path and no name.
fn is_path(text: &str) -> bool {
    text.starts_with(['.', '/']) || text.starts_with("~/")
}

/// `~/` is the user's home.
fn expanded(change: &Change, text: &str) -> PathBuf {
    match (text.strip_prefix("~/"), change.context.environment.home()) {
        (Some(rest), Some(home)) => home.join(rest),
        _ => PathBuf::from(text),
    }
}

fn name_of(directory: &Path) -> Result<PackageName, Failure> {
    let failed = |sentence: String| {
        let hint = "what is linked needs a package.json with a name";
        Failure::new("ERR_PNPM_LINK_BAD_PARAMS", sentence, Some(hint))
    };
    let shown = directory.display();
    let manifest = Manifest::read(directory).map_err(|error| {
        failed(format!("No package.json found in {shown}")).because(Some(error.to_string()))
    })?;
    let name = manifest.name.as_deref();
    let name =
        name.ok_or_else(|| failed(format!("The package in {shown} does not have a name")))?;
    PackageName::new(name)
        .map_err(|error| failed(format!("The name of the package in {shown} {error}")))
}

/// `link:` and the path that leads from `base` to `target`.
fn link_to(base: &Path, target: &Path) -> String {
    format!("link:{}", relative_text(base, target))
}
