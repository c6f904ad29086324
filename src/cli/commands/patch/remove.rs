//! `patch-remove`: patches out of the settings, and their files.

use std::fs;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use super::reinstall;
use crate::cli::arguments::{GlobalArguments, PatchRemoveArguments};
use crate::cli::context::Context;
use crate::cli::failure::Failure;
use crate::cli::prompt;
use crate::install::config::Options;
use crate::install::drafts::{Draft, DraftKind};
use crate::lexical;
use crate::name::escaped;

pub(in crate::cli) fn remove(
    global: &GlobalArguments,
    arguments: &PatchRemoveArguments,
) -> Result<(), Failure> {
    let context = Context::load(global, Options::default())?;
    let patched = &context.config.graph.patched_dependencies;
    let keys = match arguments.patches.is_empty() {
        false => arguments.patches.clone(),
        true => asked(patched.keys().cloned().collect())?,
    };
    if let Some(key) = keys.iter().find(|key| !patched.contains_key(*key)) {
        return Err(Failure::new(
            "ERR_PNPM_PATCH_NOT_FOUND",
            format!(
                "Patch \"{}\" not found in patched dependencies",
                escaped(key)
            ),
            Some("name it as patchedDependencies does"),
        ));
    }
    let folder = context.config.graph.patches_directory.as_deref();
    let root = context.config.root();
    let folder = lexical::normal(&root.join(folder.unwrap_or("patches")));
    let mut gone = Vec::new();
    let mut kept = Vec::new();
    for (key, file) in patched {
        let path = lexical::normal(&root.join(file));
        match keys.contains(key) {
            true => gone.push(checked(root, &folder, path, file)?),
            false => kept.push(path),
        }
    }
    let mut settings = context.settings_file(root)?;
    for key in &keys {
        settings.remove(&["patchedDependencies", key])?;
    }
    context.draft(settings.draft())?;
    gone.retain(|path| !kept.contains(path));
    for path in &gone {
        decide_removal(&context, path)?;
    }
    reinstall(global, &context)?;
    for parent in gone.iter().filter_map(|path| path.parent()) {
        // It stays where it is not empty.
        let _ = fs::remove_dir(parent);
    }
    Ok(())
}

fn asked(all: Vec<String>) -> Result<Vec<String>, Failure> {
    let none = || {
        Failure::new(
            "ERR_PNPM_NO_PATCHES_TO_REMOVE",
            "There are no patches that need to be removed",
            Some("patchedDependencies of pnpm-workspace.yaml has those that there are"),
        )
    };
    if all.is_empty() {
        return Err(none());
    }
    let Some(chosen) = prompt::choose("Select the patch to be removed", &all) else {
        return Err(Failure::new(
            "ERR_PNPM_PATCH_REMOVE_CANCELED",
            "Canceled",
            Some("name the patches: `pacquet patch-remove name@version`"),
        ));
    };
    let chosen: Vec<String> = chosen.into_iter().map(|at| all[at].clone()).collect();
    match chosen.is_empty() {
        true => Err(none()),
        false => Ok(chosen),
    }
}

/// Refuses what is no file in the directory of patches.
fn checked(root: &Path, folder: &Path, path: PathBuf, file: &str) -> Result<PathBuf, Failure> {
    let is_inside = |path: &Path, root: &Path| {
        let real = (path.canonicalize().ok(), root.canonicalize().ok());
        match real {
            (Some(path), Some(root)) => path.starts_with(root),
            _ => true,
        }
    };
    if !folder.starts_with(root) || !is_inside(folder, root) {
        return Err(Failure::new(
            "ERR_PNPM_PATCHES_DIR_OUTSIDE_PROJECT",
            format!(
                "The configured patches directory is outside the project: {}",
                folder.display()
            ),
            None,
        ));
    }
    let parent = path.parent().unwrap_or(root);
    if path == *folder || !path.starts_with(folder) || !is_inside(parent, folder) {
        return Err(Failure::new(
            "ERR_PNPM_PATCH_FILE_OUTSIDE_PATCHES_DIR",
            format!(
                "Patch file \"{}\" is outside the configured patches directory",
                escaped(file)
            ),
            Some("remove its line from patchedDependencies, and the file"),
        ));
    }
    match fs::symlink_metadata(&path).is_ok_and(|facts| facts.is_dir()) {
        true => Err(Failure::new(
            "ERR_PNPM_PATCH_FILE_IS_DIRECTORY",
            format!("Patch file \"{}\" is a directory", escaped(file)),
            None,
        )),
        false => Ok(path),
    }
}

fn decide_removal(context: &Context, path: &Path) -> Result<(), Failure> {
    let before = match fs::read(path) {
        Ok(content) => Some(content),
        Err(error) if error.kind() == ErrorKind::NotFound => None,
        Err(error) => {
            let sentence = format!("Failed to remove patch file {}", path.display());
            return Err(Failure::io(
                "ERR_PNPM_PATCH_REMOVE_UNLINK_PATCH_FILE",
                &sentence,
                error,
            ));
        }
    };
    context.draft(Draft {
        path: path.to_owned(),
        kind: DraftKind::Other,
        before,
        after: None,
    })
}
