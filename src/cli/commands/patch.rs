//! `patch`, `patch-commit` and `patch-remove`: changes of packages that the project keeps.

mod commit;
mod remove;
mod state;

use std::fs;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

use crate::cli::arguments::{ChangeArguments, GlobalArguments, PatchArguments};
use crate::cli::building::ProjectScripts;
use crate::cli::commands::install;
use crate::cli::context::{Context, change_options};
use crate::cli::failure::Failure;
use crate::cli::installed::read_in_time;
use crate::cli::serving::{modules_of, open_store};
use crate::cli::{print, prompt};
use crate::install::config::Options;
use crate::install::locked::{Groups, Inputs, Supply, pristine};
use crate::install::lockfile::{Lockfile, PackageId, read_lockfile};
use crate::install::patch::{PackageFile, apply_patch};
use crate::name::escaped;
use crate::store::Access;

pub(in crate::cli) use commit::commit;
pub(in crate::cli) use remove::remove;

use state::EditState;

/// Where edit directories are, below `node_modules`.
const EDIT_DIRECTORY: &str = ".pnpm_patches";

/// What is patched.
#[derive(Debug, Clone)]
struct Target {
    id: PackageId,
    /// The patch will be for every version.
    applies_to_all: bool,
}

/// `patch`.
pub(in crate::cli) fn patch(
    global: &GlobalArguments,
    arguments: &PatchArguments,
) -> Result<(), Failure> {
    let Some(package) = &arguments.package else {
        return Err(Failure::new(
            "ERR_PNPM_MISSING_PACKAGE_NAME",
            "`pacquet patch` requires the package name",
            Some("name a dependency: `pacquet patch NAME[@VERSION]`"),
        ));
    };
    let context = Context::load(global, Options::default())?;
    let own = arguments.edit_dir.as_ref();
    let own = own.map(|path| context.environment.current_directory().join(path));
    if let Some(path) = own.as_ref().filter(|path| !is_free(path)) {
        return Err(Failure::new(
            "ERR_PNPM_PATCH_EDIT_DIR_EXISTS",
            format!("The target directory already exists: '{}'", path.display()),
            Some("remove it, or name another one with --edit-dir"),
        ));
    }
    let lockfile = current_lockfile(&context)?;
    let target = target(package, &lockfile)?;
    let directory = match own {
        Some(path) => path,
        None => edit_directory(&context, &target.id)?,
    };
    let mut files = published(&context, &lockfile, &target.id)?;
    if !arguments.ignore_existing {
        apply_existing(&context, &target, &mut files)?;
    }
    write_files(&directory, &files).map_err(|cause| unwritten(&directory, cause))?;
    let directory = directory.canonicalize().unwrap_or(directory);
    let state = EditState {
        patched_package: package.clone(),
        applies_to_all: target.applies_to_all,
        id: Some(target.id.as_str().to_owned()),
    };
    state.keep(&modules_of(&context, "."), &directory)?;
    let shown = directory.display().to_string();
    print(&format!(
        "Patch: You can now edit the package at:\n\n  {shown}\n\nTo commit your changes, run:\n\n  \
         pacquet patch-commit '{}'\n\n",
        shown.replace('\'', r"'\''")
    ));
    Ok(())
}

/// What is installed.
fn current_lockfile(context: &Context) -> Result<Lockfile, Failure> {
    let path = modules_of(context, ".").join(".pnpm/lock.yaml");
    match read_in_time(path)? {
        Some(text) => Ok(read_lockfile(&text)?),
        None => Err(Failure::new(
            "ERR_PNPM_PATCH_NO_LOCKFILE",
            "The modules directory is not ready for patching",
            Some("run `pacquet install` first"),
        )),
    }
}

/// What of the lockfile `wanted` (a name, or a name and a version) means.
fn target(wanted: &str, lockfile: &Lockfile) -> Result<Target, Failure> {
    let at = wanted.char_indices().skip(1).find(|(_, one)| *one == '@');
    let (name, version) = match at {
        Some((at, _)) => (&wanted[..at], Some(&wanted[at + 1..])),
        None => (wanted, None),
    };
    let mut there: Vec<&PackageId> = lockfile
        .packages
        .keys()
        .filter(|id| id.name_str() == name)
        .collect();
    there.sort_by_key(|id| node_semver::Version::parse(id.version()).ok());
    let version_of = |id: &PackageId| -> String {
        let info = lockfile.packages.get(id);
        let version = info.and_then(|info| info.version.as_deref());
        version.unwrap_or(id.version()).to_owned()
    };
    let meant: Vec<&PackageId> = there
        .iter()
        .copied()
        .filter(|id| version.is_none_or(|text| id.version() == text || version_of(id) == text))
        .collect();
    match meant.as_slice() {
        [] => {
            let versions: Vec<String> = there.iter().map(|id| version_of(id)).collect();
            let what = match versions.is_empty() {
                true => format!("did you forget to install {}?", escaped(wanted)),
                false => format!(
                    "you can specify currently installed version: {}.",
                    escaped(&versions.join(", "))
                ),
            };
            let wanted = escaped(wanted);
            Err(Failure::new(
                "ERR_PNPM_PATCH_VERSION_NOT_FOUND",
                format!("Can not find {wanted} in the current lockfile, {what}"),
                None,
            ))
        }
        [only] => Ok(Target {
            id: (*only).clone(),
            applies_to_all: version.is_none(),
        }),
        several => ask_which(several),
    }
}

fn ask_which(ids: &[&PackageId]) -> Result<Target, Failure> {
    let labels: Vec<String> = ids.iter().map(|id| id.version().to_owned()).collect();
    let chosen = prompt::choose("Choose which version to patch", &labels);
    let id = chosen
        .and_then(|chosen| chosen.first().copied())
        .and_then(|at| ids.get(at));
    let all = id.and_then(|_| prompt::confirm("Apply this patch to all versions?"));
    match (id, all) {
        (Some(id), Some(applies_to_all)) => Ok(Target {
            id: (*id).clone(),
            applies_to_all,
        }),
        _ => Err(Failure::new(
            "ERR_PNPM_PATCH_CANCELED",
            "Canceled",
            Some("name the version: `pacquet patch name@version`"),
        )),
    }
}

/// The directory that nobody chose. It must be empty, and no link may lead it elsewhere.
fn edit_directory(context: &Context, id: &PackageId) -> Result<PathBuf, Failure> {
    let root = modules_of(context, ".").join(EDIT_DIRECTORY);
    let mut version = String::new();
    for letter in id.version().chars() {
        let is_special = r#"\/:*?"<>|"#.contains(letter);
        if !is_special {
            version.push(letter);
        } else if !version.ends_with('+') {
            version.push('+');
        }
    }
    let directory = root.join(format!("{}@{version}", id.name_str()));
    let mut above = directory.as_path();
    while above.starts_with(&root) {
        if above.is_symlink() {
            return Err(Failure::new(
                "ERR_PNPM_PATCH_EDIT_DIR_SYMLINK",
                format!(
                    "The default patch edit directory must not use a symbolic link: '{}'",
                    above.display()
                ),
                None,
            ));
        }
        above = above.parent().unwrap_or(Path::new("/"));
    }
    match is_free(&directory) {
        true => Ok(directory),
        false => Err(Failure::new(
            "ERR_PNPM_EDIT_DIR_NOT_EMPTY",
            format!("The directory {} is not empty", directory.display()),
            None,
        )),
    }
}

/// Whether there is nothing, or a directory with nothing in it.
fn is_free(path: &Path) -> bool {
    match fs::read_dir(path) {
        Ok(mut entries) => entries.next().is_none() && !path.is_symlink(),
        Err(error) => error.kind() == std::io::ErrorKind::NotFound && !path.is_symlink(),
    }
}

/// The files of a package without any patch.
fn published(
    context: &Context,
    lockfile: &Lockfile,
    id: &PackageId,
) -> Result<Vec<PackageFile>, Failure> {
    let config = &context.config;
    let mut inputs = Inputs::read(config, &context.environment, Groups::ALL)?;
    inputs.children = context.children.clone();
    let store = open_store(config, Access::ReadWrite, Supply::Fetch)?;
    let reporter = &context.reporter;
    Ok(pristine(&inputs, config, &store, lockfile, id, reporter)?)
}

/// Applies the patch that the project has for the package already.
fn apply_existing(
    context: &Context,
    target: &Target,
    files: &mut Vec<PackageFile>,
) -> Result<(), Failure> {
    let patches = &context.config.graph.patched_dependencies;
    let of_version = patches.get(target.id.as_str());
    let of_all = patches
        .get(target.id.name_str())
        .filter(|_| target.applies_to_all);
    let Some(path) = of_version.or(of_all) else {
        return Ok(());
    };
    let path = context.config.root().join(path);
    let patch = fs::read(&path).map_err(|cause| {
        let sentence = format!("Unable to find patch file {}", path.display());
        Failure::io("ERR_PNPM_PATCH_FILE_NOT_FOUND", &sentence, cause)
    })?;
    Ok(apply_patch(files, &patch)?)
}

/// Writes the files of a package into a directory.
fn write_files(directory: &Path, files: &[PackageFile]) -> std::io::Result<()> {
    fs::create_dir_all(directory)?;
    for file in files {
        let path = directory.join(file.path.as_str());
        fs::create_dir_all(path.parent().unwrap_or(directory))?;
        let mode = if file.executable { 0o755 } else { 0o644 };
        let mut options = fs::OpenOptions::new();
        let mut to = options
            .write(true)
            .create_new(true)
            .mode(mode)
            .open(&path)?;
        std::io::Write::write_all(&mut to, &file.content)?;
    }
    Ok(())
}

fn unwritten(path: &Path, cause: std::io::Error) -> Failure {
    let sentence = format!("Cannot write to {}", path.display());
    Failure::io("ERR_PACQUET_WRITE", &sentence, cause)
}

/// Installs with the settings that `before` has decided on.
fn reinstall(global: &GlobalArguments, before: &Context) -> Result<(), Failure> {
    let options = change_options(&ChangeArguments::default());
    let context = Context::load_again(global, options, before)?;
    install::put_in_place(&context, false, ProjectScripts::All)
}
