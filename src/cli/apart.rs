//! Workspaces whose projects have lockfiles of their own (`sharedWorkspaceLockfile: false`): what a
//! command does to several projects it does to one after the other, each as if it were alone.

use std::path::PathBuf;

use super::arguments::{GlobalArguments, WorkspaceArguments};
use super::context::Context;
use super::failure::Failure;
use super::scripting::{self, Chosen, Order, Root};

/// What a command is about where no flag names projects.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Concerns {
    /// Every project, wherever it is called.
    All,
    /// The project in which it is called.
    Called,
}

/// Directories of the projects that a command goes through, dependencies first; `None` where it is
/// about one lockfile.
pub(super) fn projects(
    context: &Context,
    global: &GlobalArguments,
    concerns: Concerns,
    of_root: Root,
) -> Result<Option<Vec<PathBuf>>, Failure> {
    let arguments = &global.workspace;
    let is_about_one = concerns == Concerns::Called && !arguments.is_recursive();
    if !context.config.has_lockfiles_apart() || arguments.is_alone || is_about_one {
        return Ok(None);
    }
    let chosen = scripting::choose(context, arguments, of_root)?;
    if chosen.selection.projects.is_empty() {
        scripting::nothing_chosen(context, &chosen);
    }
    let order = Order::new(context, arguments, &chosen)?;
    Ok(Some(sorted(&chosen, &order.waits_for)))
}

/// The chosen projects, each after those that it waits for. There are no circles.
pub(super) fn sorted(chosen: &Chosen, waits_for: &[Vec<usize>]) -> Vec<PathBuf> {
    let mut is_put = vec![false; waits_for.len()];
    let mut out = Vec::new();
    while out.len() < waits_for.len() {
        for (position, others) in waits_for.iter().enumerate() {
            if !is_put[position] && others.iter().all(|other| is_put[*other]) {
                is_put[position] = true;
                out.push(chosen.project(position).directory.clone());
            }
        }
    }
    out
}

/// Calls `run` for each of `directories`, with the flags that are about that project alone.
pub(super) fn each(
    global: &GlobalArguments,
    directories: Vec<PathBuf>,
    mut run: impl FnMut(&GlobalArguments) -> Result<(), Failure>,
) -> Result<(), Failure> {
    for directory in directories {
        run(&alone(global, directory))?;
    }
    Ok(())
}

/// The flags of a command that is about the project in `directory` alone.
pub(super) fn alone(global: &GlobalArguments, directory: PathBuf) -> GlobalArguments {
    GlobalArguments {
        dir: Some(directory),
        workspace: WorkspaceArguments {
            is_alone: true,
            ..WorkspaceArguments::default()
        },
        ..global.clone()
    }
}
