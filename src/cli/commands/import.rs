//! `import`: a lockfile with the versions that another installer has locked.

use serde_json::Value;

use crate::cli::arguments::GlobalArguments;
use crate::cli::context::Context;
use crate::cli::failure::Failure;
use crate::cli::relocking::Workspace;
use crate::install::config::Options;
use crate::install::foreign;
use crate::report::Event;

pub(in crate::cli) fn run(global: &GlobalArguments) -> Result<(), Failure> {
    let mut context = Context::load(global, Options::default())?;
    if carry_overrides(&context)? {
        context = Context::load_again(global, Options::default(), &context)?;
    }
    let mut workspace = Workspace::import(&context)?;
    let mut projects = workspace.projects().iter();
    let has_workspaces = projects
        .find(|project| project.id.0.is_none())
        .is_some_and(|root| !root.manifest.workspaces.is_empty());
    if has_workspaces && context.config.workspace_root.is_none() {
        context.reporter.report(&Event::Warning {
            code: "WORKSPACES_FIELD",
            message: "\"workspaces\" of package.json counts for nothing here, and only the root is \
                      imported: list the projects as \"packages\" in pnpm-workspace.yaml",
        });
    }
    workspace.relock(&context)?;
    context.settle()
}

/// Writes into the settings what the lockfile says that packages are replaced by, but for packages
/// of which the settings say something. Whether there is anything new.
fn carry_overrides(context: &Context) -> Result<bool, Failure> {
    let config = &context.config;
    let mut file = context.settings_file(config.root())?;
    let mut is_new = false;
    for (name, specifier) in foreign::overrides(&config.directory)? {
        if !config.graph.overrides.contains_key(name.as_str()) {
            file.set(&["overrides", name.as_str()], &Value::from(specifier))?;
            is_new = true;
        }
    }
    if is_new {
        context.draft(file.draft())?;
    }
    Ok(is_new)
}
