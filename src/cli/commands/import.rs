//! `import`: a lockfile with the versions that another installer has locked.

use crate::cli::arguments::GlobalArguments;
use crate::cli::context::Context;
use crate::cli::failure::Failure;
use crate::cli::relocking::Workspace;
use crate::install::config::Options;
use crate::report::Event;

pub(in crate::cli) fn run(global: &GlobalArguments) -> Result<(), Failure> {
    let context = Context::load(global, Options::default())?;
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
