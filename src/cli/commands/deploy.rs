//! `deploy`: a project of the workspace, with everything that it needs, as real files in a
//! directory of its own.

mod unlocked;

use std::fs;
use std::io::ErrorKind;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};

use serde_json::{Map, Value};

use crate::cli::arguments::{DeployArguments, GlobalArguments};
use crate::cli::building::{InstallScripts, ProjectScripts};
use crate::cli::commands::install;
use crate::cli::context::{Context, deploy_options, groups};
use crate::cli::failure::Failure;
use crate::cli::interrupt;
use crate::cli::scripting::{self, Root};
use crate::cli::writing;
use crate::install::config::{BranchLockfiles, Config, LOCKFILE_NAME, VirtualMode};
use crate::install::deploy::{Deploy, Deployed};
use crate::install::git::copied_files;
use crate::install::locked::{Groups, InstallError, MayLack, fits};
use crate::install::lockfile::{PEERS_SUFFIX_LENGTH_DEFAULT, read_lockfile};
use crate::install::manifest_edit::written_like;
use crate::install::relock::whole_text;
use crate::install::resolve::relative_text;
use crate::install::settings_file::SettingsFile;
use crate::install::workspace::Project;
use crate::lexical;

const MANIFEST_NAME: &str = "package.json";

pub(in crate::cli) fn run(
    global: &GlobalArguments,
    arguments: &DeployArguments,
) -> Result<(), Failure> {
    let mut context = Context::load(global, deploy_options(arguments))?;
    if context.config.workspace_root.is_none() {
        return Err(Failure::new(
            "ERR_PNPM_CANNOT_DEPLOY",
            "A deploy is only possible from inside a workspace",
            Some("a workspace has a pnpm-workspace.yaml at its root"),
        ));
    }
    let chosen = scripting::choose(&context, &global.workspace, Root::Kept)?;
    let project = match &*chosen.selection.projects {
        [one] => &chosen.projects[*one],
        [] => {
            let sentence = "No project was selected for deployment";
            return Err(Failure::new("ERR_PNPM_NOTHING_TO_DEPLOY", sentence, None));
        }
        _ => {
            return Err(Failure::new(
                "ERR_PNPM_CANNOT_DEPLOY_MANY",
                "Cannot deploy more than 1 project",
                Some("choose one with --filter"),
            ));
        }
    };
    let [directory] = &*arguments.directories else {
        return Err(Failure::new(
            "ERR_PNPM_INVALID_DEPLOY_TARGET",
            "This command requires one parameter",
            Some("pacquet --filter=<project> deploy <directory>"),
        ));
    };
    let target = lexical::normal(&context.called_in.join(directory));
    install::allow(&mut context, &arguments.allow_build);
    let groups = groups(&arguments.selection);
    if unlocked::is_due(&context) {
        let place = Target::make(&target, &chosen.projects, arguments.force)?;
        copy_files(&context.config, project, &target)?;
        unlocked::install(&mut context, project, &target, groups)?;
        place.keep();
        return Ok(());
    }
    let deployed = deployed(&context, &chosen.projects, project, &target, groups)?;
    let lockfile_text = whole_text(&deployed.lockfile)?;
    let place = Target::make(&target, &chosen.projects, arguments.force)?;
    copy_files(&context.config, project, &target)?;
    write_manifest(project, &target, &deployed.manifest_fields, Style::Anew)?;
    move_config(&mut context.config, &target, &deployed);
    write_settings(&context.config)?;
    let path = target.join(LOCKFILE_NAME);
    fs::write(&path, lockfile_text).map_err(|cause| unwritten(&path, cause))?;
    let children = context.children.clone();
    interrupt::watch(&context.config.store_directory, &children)?;
    let scripts = InstallScripts::new(&context, &children, ProjectScripts::All);
    let scripts = scripts.of_deployed(groups);
    writing::install(&context, groups, &scripts)?;
    place.keep();
    Ok(())
}

/// What the target has, of a workspace whose lockfile fits.
fn deployed(
    context: &Context,
    projects: &[Project],
    project: &Project,
    target: &Path,
    groups: Groups,
) -> Result<Deployed, Failure> {
    let config = &context.config;
    let inputs = context.inputs(Groups::ALL)?;
    if inputs.lockfile.is_of_npm {
        let path = config.lockfile_path();
        return Err(InstallError::NoLockfile { path }.into());
    }
    let lockfile = read_lockfile(&inputs.lockfile_text)?;
    fits(
        &lockfile,
        &inputs.projects,
        &inputs.patches,
        config,
        MayLack::Optional,
        &context.reporter,
    )?;
    let deploy = Deploy {
        lockfile: &lockfile,
        root: &config.lockfile_directory,
        projects,
        project,
        target,
        groups,
    };
    Ok(deploy.run()?)
}

fn unwritten(path: &Path, cause: std::io::Error) -> Failure {
    let sentence = format!("Cannot write {}", path.display());
    Failure::io("ERR_PACQUET_WRITE", &sentence, cause)
}

/// The directory that is deployed to: empty, and empty again where the command fails.
struct Target {
    path: PathBuf,
    was_there: bool,
    is_kept: bool,
}

impl Target {
    fn make(path: &Path, projects: &[Project], force: bool) -> Result<Self, Failure> {
        let mut around = projects.iter();
        if around.any(|project| project.directory.starts_with(path)) {
            return Err(Failure::new(
                "ERR_PNPM_DEPLOY_DIR_NOT_EMPTY",
                format!(
                    "Deploy path {} has a project of the workspace",
                    path.display()
                ),
                Some("deploy to another directory"),
            ));
        }
        let was_there = match fs::read_dir(path) {
            Ok(mut entries) => {
                if entries.next().is_some() && !force {
                    return Err(Failure::new(
                        "ERR_PNPM_DEPLOY_DIR_NOT_EMPTY",
                        format!("Deploy path {} is not empty", path.display()),
                        Some("empty it first, or use --force, which does so"),
                    ));
                }
                empty(path).map_err(|cause| unwritten(path, cause))?;
                true
            }
            Err(error) if error.kind() == ErrorKind::NotFound => {
                fs::create_dir_all(path).map_err(|cause| unwritten(path, cause))?;
                false
            }
            Err(cause) => return Err(unwritten(path, cause)),
        };
        Ok(Self {
            path: path.to_owned(),
            was_there,
            is_kept: false,
        })
    }

    fn keep(mut self) {
        self.is_kept = true;
    }
}

impl Drop for Target {
    fn drop(&mut self) {
        if self.is_kept {
            return;
        }
        // The failure of the command is what is told.
        let _ = match self.was_there {
            true => empty(&self.path),
            false => fs::remove_dir_all(&self.path),
        };
    }
}

/// Removes what is in a directory. No symlink is followed.
fn empty(directory: &Path) -> std::io::Result<()> {
    for entry in fs::read_dir(directory)? {
        let entry = entry?;
        match entry.file_type()?.is_dir() {
            true => fs::remove_dir_all(entry.path())?,
            false => fs::remove_file(entry.path())?,
        }
    }
    Ok(())
}

/// Copies what of the project would be published, or everything (`deployAllFiles`).
fn copy_files(config: &Config, project: &Project, target: &Path) -> Result<(), Failure> {
    let list = copied_files(&project.directory, config)?;
    let copy = |from: &Path, to: &Path| fs::copy(from, to).map(drop);
    let link = |from: &Path, to: &Path| symlink(fs::read_link(from)?, to);
    let links = list.links.iter().filter(|_| config.copies_every_file);
    let files = list.files.iter().map(|path| (path, false));
    for (path, is_link) in files.chain(links.map(|path| (path, true))) {
        let (from, to) = (
            project.directory.join(path.as_str()),
            target.join(path.as_str()),
        );
        fs::create_dir_all(to.parent().unwrap_or(target))
            .and_then(|()| match is_link {
                true => link(&from, &to),
                false => copy(&from, &to),
            })
            .map_err(|cause| unwritten(&to, cause))?;
    }
    Ok(())
}

/// What the manifest of the target looks like.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Style {
    /// As pnpm writes one from a lockfile: two spaces, and groups without dependencies too.
    Anew,
    /// As the project's.
    Kept,
}

fn write_manifest(
    project: &Project,
    target: &Path,
    changed: &Map<String, Value>,
    style: Style,
) -> Result<(), Failure> {
    let failed = |cause| {
        let path = project.directory.join(MANIFEST_NAME);
        let sentence = format!("Cannot read {}", path.display());
        Failure::io("ERR_PACQUET_MANIFEST_READ", &sentence, cause)
    };
    let text = fs::read_to_string(project.directory.join(MANIFEST_NAME)).map_err(failed)?;
    let bare = text.strip_prefix('\u{feff}').unwrap_or(&text);
    let mut fields: Map<String, Value> =
        serde_json::from_str(bare).map_err(|error| failed(error.into()))?;
    for (name, group) in changed {
        match style == Style::Kept && group.as_object().is_none_or(Map::is_empty) {
            true => {
                fields.shift_remove(name);
            }
            false => {
                fields.insert(name.clone(), group.clone());
            }
        }
    }
    let path = target.join(MANIFEST_NAME);
    let text = match style {
        Style::Anew => format!("{:#}\n", Value::Object(fields)),
        Style::Kept => written_like(&text, fields),
    };
    fs::write(&path, text).map_err(|cause| unwritten(&path, cause))
}

/// Lets the settings be those of the target, which is locked already.
fn move_config(config: &mut Config, target: &Path, deployed: &Deployed) {
    let root = config.workspace_root.take();
    let root = root.unwrap_or_else(|| config.lockfile_directory.clone());
    for path in config.graph.patched_dependencies.values_mut() {
        *path = relative_text(target, &lexical::normal(&root.join(&*path)));
    }
    config.directory = target.to_owned();
    config.lockfile_directory = target.to_owned();
    config.lockfile.branches = BranchLockfiles::default();
    config.workspace_root = Some(target.to_owned());
    config.package_globs = Some(vec![".".to_owned()]);
    config.virtual_mode = VirtualMode::Off;
    config.graph.overrides.clear();
    config.graph.package_extensions.clear();
    config.graph.ignored_optional_dependencies.clear();
    config.graph.catalogs.clear();
    config.graph.allow_unused_patches = true;
    config.pnpmfile.ignored = true;
    config.lockfile.frozen = Some(true);
    config.lockfile.frozen_is_implied = false;
    config.lockfile.inject_workspace_packages = false;
    config.lockfile.dedupe_peers = false;
    config.lockfile.adds_peer_types = false;
    config.lockfile.scoped_optional_peers = false;
    config.lockfile.peers_suffix_max_length = PEERS_SUFFIX_LENGTH_DEFAULT.into();
    let allowed = &mut config.builds.allow_builds.0;
    for id in &deployed.own_packages {
        allowed.entry(id.to_string()).or_insert(Some(true));
    }
}

/// Writes the settings without which the next command there would do something else.
fn write_settings(config: &Config) -> Result<(), Failure> {
    let mut file = SettingsFile::of_workspace(&config.directory)?;
    file.set(&["packages"], &Value::from(vec!["."]))?;
    file.set(&["ignorePnpmfile"], &Value::Bool(true))?;
    file.set(
        &["autoInstallPeers"],
        &Value::Bool(config.lockfile.auto_install_peers),
    )?;
    for (key, path) in &config.graph.patched_dependencies {
        file.set(&["patchedDependencies", key], &Value::from(path.as_str()))?;
    }
    for (key, may) in &config.builds.allow_builds.0 {
        if let Some(may) = may {
            file.set(&["allowBuilds", key], &Value::Bool(*may))?;
        }
    }
    Ok(file.write()?)
}
