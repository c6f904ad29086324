//! `patch-commit`: the difference between a package and an edited directory, as a patch.

use std::fs;
use std::io::ErrorKind;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Component, Path, PathBuf};
use std::process::Command;

use serde_json::Value;

use super::state::EditState;
use super::{Target, current_lockfile, published, reinstall, target, unwritten, write_files};
use crate::cli::arguments::{GlobalArguments, PatchCommitArguments};
use crate::cli::context::Context;
use crate::cli::failure::Failure;
use crate::cli::print;
use crate::cli::serving::modules_of;
use crate::install::config::Options;
use crate::install::drafts::{Draft, DraftKind};
use crate::install::git::pack_list;
use crate::install::lockfile::{Lockfile, PackageId};
use crate::install::manifest::Manifest;
use crate::install::patch::PackageFile;
use crate::name::{PackageName, escaped};

/// Directories that no package has, so that they can be told from its own in what git says.
const BEFORE: &str = "before-9f1c5ad2";
const AFTER: &str = "after-9f1c5ad2";

pub(in crate::cli) fn commit(
    global: &GlobalArguments,
    arguments: &PatchCommitArguments,
) -> Result<(), Failure> {
    let context = Context::load(global, Options::default())?;
    let directory = context
        .environment
        .current_directory()
        .join(&arguments.directory);
    let directory = directory.canonicalize().unwrap_or(directory);
    let Some(state) = EditState::of(&modules_of(&context, "."), &directory)? else {
        return Err(Failure::new(
            "ERR_PNPM_INVALID_PATCH_DIR",
            format!("{} is not a valid patch directory", directory.display()),
            Some("a valid patch directory should be created by `pacquet patch`"),
        ));
    };
    let lockfile = current_lockfile(&context)?;
    let (name, version) = name_and_version(&directory)?;
    let target = found(&state, &name, &version, &lockfile)?;
    let before = published(&context, &lockfile, &target.id)?;
    let after = edited(&directory)?;
    let patch = difference(&before, &after)?;
    if patch.is_empty() {
        let shown = directory.display();
        print(&format!(
            "No changes were found to the following directory: {shown}\n"
        ));
        return Ok(());
    }
    let key = match state.applies_to_all {
        true => name.as_str().to_owned(),
        false => format!("{}@{version}", name.as_str()),
    };
    let wanted = arguments.patches_dir.as_deref();
    let wanted = wanted.or(context.config.graph.patches_directory.as_deref());
    let folder = plain(wanted.unwrap_or("patches"));
    let file = format!("{}/{}.patch", folder.display(), key.replace('/', "__"));
    let mut settings = context.settings_file(context.config.root())?;
    settings.set(&["patchedDependencies", &key], &Value::from(&*file))?;
    decide_patch(&context, Path::new(&file), patch)?;
    context.draft(settings.draft())?;
    reinstall(global, &context)
}

fn name_and_version(directory: &Path) -> Result<(PackageName, String), Failure> {
    let manifest =
        Manifest::read(directory).map_err(crate::install::workspace::WorkspaceError::from)?;
    let missing = |field: &str| {
        let path = directory.join("package.json");
        Failure::new(
            "ERR_PNPM_PATCH_COMMIT_MISSING_MANIFEST_FIELD",
            format!(
                "Missing package manifest field `{field}` in {}",
                path.display()
            ),
            None,
        )
    };
    let name = manifest.name.as_deref();
    let name = name.and_then(|name| PackageName::new(name).ok());
    let name = name.ok_or_else(|| missing("name"))?;
    let version = manifest
        .version
        .as_deref()
        .ok_or_else(|| missing("version"))?;
    Ok((name, version.to_owned()))
}

/// The package of the lockfile that was edited.
fn found(
    state: &EditState,
    name: &PackageName,
    version: &str,
    lockfile: &Lockfile,
) -> Result<Target, Failure> {
    let noted = state.id.as_deref().and_then(|id| PackageId::new(id).ok());
    match noted.filter(|id| lockfile.packages.contains_key(id)) {
        Some(id) => Ok(Target {
            id,
            applies_to_all: state.applies_to_all,
        }),
        None => target(&format!("{}@{version}", name.as_str()), lockfile),
    }
}

/// What of the edited directory would be published.
fn edited(directory: &Path) -> Result<Vec<PackageFile>, Failure> {
    let list = pack_list(directory)?;
    let mut files = Vec::new();
    for path in list.files {
        let full = directory.join(path.as_str());
        let failed = |cause| {
            let sentence = format!("Cannot read {}", full.display());
            Failure::io("ERR_PACQUET_READ", &sentence, cause)
        };
        let mode = fs::metadata(&full).map_err(failed)?.permissions().mode();
        files.push(PackageFile {
            content: fs::read(&full).map_err(failed)?,
            executable: mode & 0o111 != 0,
            path,
        });
    }
    Ok(files)
}

/// The patch that makes `after` of `before`, by `git diff`.
fn difference(before: &[PackageFile], after: &[PackageFile]) -> Result<Vec<u8>, Failure> {
    let failed = |cause| {
        let sentence = "Unable to compare the directory with the package by git";
        Failure::io("ERR_PNPM_PATCH_COMMIT_DIFF", sentence, cause)
    };
    let scratch = tempfile::tempdir().map_err(failed)?;
    write_files(&scratch.path().join(BEFORE), before).map_err(failed)?;
    write_files(&scratch.path().join(AFTER), after).map_err(failed)?;
    let output = Command::new("git")
        .args([
            "-c",
            "core.safecrlf=false",
            "-c",
            "core.quotePath=false",
            "diff",
        ])
        .args(["--src-prefix=a/", "--dst-prefix=b/", "--ignore-cr-at-eol"])
        .args([
            "--irreversible-delete",
            "--full-index",
            "--no-index",
            "--text",
        ])
        .args(["--no-ext-diff", "--no-color", "--", BEFORE, AFTER])
        .current_dir(scratch.path())
        .env("GIT_CONFIG_NOSYSTEM", "1")
        .env("GIT_CONFIG_GLOBAL", "/dev/null")
        .env_remove("GIT_DIR")
        .env_remove("GIT_EXTERNAL_DIFF")
        .output()
        .map_err(failed)?;
    match output.status.code() {
        Some(0 | 1) if output.stderr.is_empty() => Ok(of_package(&output.stdout)),
        _ => {
            let said = escaped(String::from_utf8_lossy(&output.stderr).trim());
            Err(failed(std::io::Error::other(said)))
        }
    }
}

/// What git said, with paths of the package in the place of those of the two directories.
fn of_package(said: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(said.len());
    let mut is_header = true;
    for line in said.split_inclusive(|byte| *byte == b'\n') {
        is_header = match line {
            _ if line.starts_with(b"diff --git ") => true,
            _ if line.starts_with(b"@@ ") => false,
            _ => is_header,
        };
        match std::str::from_utf8(line) {
            Ok(text) if is_header => {
                let text = text.replace(&format!("/{BEFORE}/"), "/");
                out.extend_from_slice(text.replace(&format!("/{AFTER}/"), "/").as_bytes());
            }
            _ => out.extend_from_slice(line),
        }
    }
    out
}

/// The directory of patches as it is written into settings: below the root, without `.` and `..`.
fn plain(text: &str) -> PathBuf {
    let mut plain = PathBuf::new();
    for component in Path::new(text).components() {
        match component {
            Component::ParentDir => {
                plain.pop();
            }
            Component::Normal(part) => plain.push(part),
            _ => {}
        }
    }
    match plain.as_os_str().is_empty() {
        true => PathBuf::from("."),
        false => plain,
    }
}

fn decide_patch(context: &Context, file: &Path, patch: Vec<u8>) -> Result<(), Failure> {
    let root = context.config.root();
    let path = root.join(file);
    let parent = path.parent().unwrap_or(root);
    let real_root = root
        .canonicalize()
        .map_err(|cause| unwritten(&path, cause))?;
    // What is not there yet is made below what is.
    let mut existing = parent
        .ancestors()
        .filter_map(|path| path.canonicalize().ok());
    if !existing
        .next()
        .is_some_and(|real| real.starts_with(&real_root))
    {
        return Err(Failure::new(
            "ERR_PNPM_PATCHES_DIR_OUTSIDE_PROJECT",
            format!(
                "The configured patches directory is outside the project: {}",
                parent.display()
            ),
            None,
        ));
    }
    let before = match fs::read(&path) {
        Ok(content) => Some(content),
        Err(error) if error.kind() == ErrorKind::NotFound => None,
        Err(cause) => return Err(unwritten(&path, cause)),
    };
    context.draft(Draft {
        path,
        kind: DraftKind::Other,
        before,
        after: Some(patch),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_directory_of_patches_stays_below_the_root() {
        for (text, expected) in [
            ("patches", "patches"),
            ("./a/../b/", "b"),
            ("../../x", "x"),
            ("/abs", "abs"),
            ("..", "."),
        ] {
            assert_eq!(plain(text), Path::new(expected), "{text}");
        }
    }

    #[test]
    fn only_headers_are_changed() {
        let said = format!(
            "diff --git a/{BEFORE}/x b/{AFTER}/x\n--- a/{BEFORE}/x\n+++ b/{AFTER}/x\n@@ -1 +1 @@\n\
             -a/{BEFORE}/x\n+y\n"
        );
        let expected =
            format!("diff --git a/x b/x\n--- a/x\n+++ b/x\n@@ -1 +1 @@\n-a/{BEFORE}/x\n+y\n");
        assert_eq!(of_package(said.as_bytes()), expected.as_bytes());
    }
}
