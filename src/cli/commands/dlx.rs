//! `dlx` and `create`: a package in a directory of its own in the cache, and a command of it.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, SystemTime};

use serde_json::{Map, Value, json};
use sha2::{Digest, Sha256};

use crate::cli::arguments::{CreateArguments, DlxArguments, GlobalArguments};
use crate::cli::building::{InstallScripts, ProjectScripts};
use crate::cli::context::Context;
use crate::cli::failure::Failure;
use crate::cli::scripting::launcher;
use crate::cli::serving::make_directory;
use crate::cli::{Ending, interrupt, writing};
use crate::install::config::{AllowBuilds, Options, VirtualMode};
use crate::install::locked::Groups;
use crate::install::scripts::{ScriptEnd, ScriptManifest, ScriptOutput};
use crate::name::{BinName, PackageName, escaped, hexadecimal};

/// Written when a directory is complete.
const COMPLETE: &str = "complete";

/// `create`: `create x` is `dlx create-x`.
pub(in crate::cli) fn create(
    global: &GlobalArguments,
    arguments: &CreateArguments,
) -> Result<Ending, Failure> {
    let Some((name, rest)) = arguments.words.split_first() else {
        return Err(Failure::new(
            "ERR_PNPM_MISSING_ARGS",
            "Missing the template package name",
            Some("for example `pacquet create vite`"),
        ));
    };
    let mut words = vec![creator_of(name)];
    words.extend(rest.iter().cloned());
    let arguments = DlxArguments {
        package: Vec::new(),
        allow_build: arguments.allow_build.clone(),
        shell_mode: false,
        words,
    };
    dlx(global, &arguments)
}

/// `vite@1` is `create-vite@1`, `@s` is `@s/create`, and `@s/x` is `@s/create-x`.
fn creator_of(name: &str) -> String {
    let prefixed = |name: &str| match name.starts_with("create-") {
        true => name.to_owned(),
        false => format!("create-{name}"),
    };
    let Some(scoped) = name.strip_prefix('@') else {
        return prefixed(name);
    };
    match scoped.split_once('/') {
        Some((scope, rest)) if rest == "create" || rest.starts_with("create@") => {
            format!("@{scope}/{rest}")
        }
        Some((scope, rest)) => format!("@{scope}/{}", prefixed(rest)),
        None => match scoped.split_once('@') {
            Some((scope, version)) => format!("@{scope}/create@{version}"),
            None => format!("@{scoped}/create"),
        },
    }
}

/// `dlx`.
pub(in crate::cli) fn dlx(
    global: &GlobalArguments,
    arguments: &DlxArguments,
) -> Result<Ending, Failure> {
    let Some((command, rest)) = arguments.words.split_first() else {
        return Err(Failure::new(
            "ERR_PNPM_DLX_MISSING_COMMAND",
            "'pacquet dlx' requires a command to run",
            None,
        ));
    };
    let mut context = Context::load_anywhere(global, Options::default())?;
    let packages = match arguments.package.is_empty() {
        true => std::slice::from_ref(command),
        false => &arguments.package[..],
    };
    let wanted = packages
        .iter()
        .map(|text| wanted(text))
        .collect::<Result<Vec<_>, Failure>>()?;
    let called_in = context.called_in.clone();
    let directory = prepare(&mut context, &wanted, &arguments.allow_build)?;
    let program = match (arguments.shell_mode, arguments.package.is_empty()) {
        (true, _) => None,
        (false, false) => Some(command.clone()),
        (false, true) => Some(command_of(&directory, wanted.first())?),
    };
    let children = context.children.clone();
    interrupt::forward(&children)?;
    let launcher = launcher(&context, "exec", ScriptOutput::Terminal, &children);
    let environment = launcher.environment_of_command(&directory, None);
    let mut process = match &program {
        None => {
            let mut shell = Command::new("sh");
            shell.arg("-c").arg(arguments.words.join(" "));
            shell
        }
        Some(program) => {
            let mut process = Command::new(find(&directory, program)?);
            process.args(rest);
            process
        }
    };
    environment.apply(&mut process);
    process.env("PWD", &called_in).current_dir(called_in);
    let ended = launcher.run_on_terminal(&mut process).map_err(|cause| {
        let sentence = format!("The command {} cannot be started", escaped(command));
        Failure::io("ERR_PACQUET_EXEC", &sentence, cause)
    })?;
    Ok(match ended {
        Some(ScriptEnd::Code(0)) => Ending::Success,
        Some(end) => Ending::As(end),
        None => Ending::As(ScriptEnd::Code(1)),
    })
}

/// A package of a registry, and which version.
struct Wanted {
    name: PackageName,
    version: String,
}

fn wanted(text: &str) -> Result<Wanted, Failure> {
    let text = text.strip_prefix("npm:").unwrap_or(text);
    let at = text
        .char_indices()
        .skip(1)
        .find(|(_, character)| *character == '@');
    let (name, version) = match at {
        Some((at, _)) => (&text[..at], &text[at + 1..]),
        None => (text, "latest"),
    };
    let name = PackageName::new(name).map_err(|error| {
        let sentence = format!(
            "\"{}\" is no package of a registry: it {error}",
            escaped(text)
        );
        Failure::new("ERR_PNPM_INVALID_DEPENDENCY_NAME", sentence, None)
    })?;
    Ok(Wanted {
        name,
        version: version.to_owned(),
    })
}

/// Installs the packages into a directory of the cache, unless that was done not long ago.
fn prepare(
    context: &mut Context,
    wanted: &[Wanted],
    allowed: &[String],
) -> Result<PathBuf, Failure> {
    let entries = wanted
        .iter()
        .map(|one| (one.name.as_str().to_owned(), json!(one.version)));
    let dependencies: Map<String, Value> = entries.collect();
    let manifest = json!({ "private": true, "dependencies": dependencies });
    let mut digest = Sha256::new();
    digest.update(manifest.to_string());
    digest.update(format!("{allowed:?} {:?}", context.config.registries));
    let name = hexadecimal(&digest.finalize()[..16]);
    let base = context.config.cache_directory.join("dlx");
    let directory = base.join(name);
    isolate(context, &directory, allowed);
    let max_age = Duration::from_secs(context.config.dlx_cache_max_age_minutes.saturating_mul(60));
    if is_fresh(&directory.join(COMPLETE), max_age) {
        return Ok(directory);
    }
    make_directory(&directory)?;
    let failed = |cause| {
        let sentence = format!("The directory {} cannot be written", directory.display());
        Failure::io("ERR_PACQUET_WRITE", &sentence, cause)
    };
    // An old lockfile would hold the versions of then.
    for old in ["pnpm-lock.yaml", COMPLETE] {
        match fs::remove_file(directory.join(old)) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
                return Err(failed(error));
            }
            _ => {}
        }
    }
    write(&directory.join("package.json"), &manifest.to_string()).map_err(failed)?;
    let children = context.children.clone();
    let scripts = InstallScripts::new(context, &children, ProjectScripts::All);
    writing::install(context, Groups::ALL, &scripts)?;
    write(&directory.join(COMPLETE), "").map_err(failed)?;
    Ok(directory)
}

fn write(path: &Path, text: &str) -> std::io::Result<()> {
    use std::io::Write as _;
    fs::File::create(path).and_then(|mut file| file.write_all(text.as_bytes()))
}

fn is_fresh(path: &Path, max_age: Duration) -> bool {
    let modified = fs::metadata(path).and_then(|facts| facts.modified());
    modified.is_ok_and(|time| {
        let age = SystemTime::now().duration_since(time);
        age.is_ok_and(|age| age <= max_age)
    })
}

/// What a project decides about its own packages is nothing to this directory.
fn isolate(context: &mut Context, directory: &Path, allowed: &[String]) {
    let config = &mut context.config;
    config.directory = directory.to_owned();
    config.lockfile_directory = directory.to_owned();
    config.workspace_root = None;
    config.package_globs = None;
    config.modules_directory = PathBuf::from("node_modules");
    config.virtual_mode = VirtualMode::Off;
    config.lockfile.frozen = None;
    config.lockfile.enabled = true;
    config.graph.overrides.clear();
    config.graph.package_extensions.clear();
    config.graph.patched_dependencies.clear();
    config.graph.catalogs.clear();
    config.graph.ignored_optional_dependencies.clear();
    let allowed = allowed.iter().map(|name| (name.clone(), Some(true)));
    config.builds.allow_builds = AllowBuilds(allowed.collect());
    config.builds.strict = false;
}

/// The command of a package: the one that it has, or the one with its name.
fn command_of(directory: &Path, wanted: Option<&Wanted>) -> Result<String, Failure> {
    let no_command = |name: &str| {
        Failure::new(
            "ERR_PNPM_DLX_NO_BIN",
            format!("No binaries found in {}", escaped(name)),
            None,
        )
    };
    let Some(wanted) = wanted else {
        return Err(no_command("nothing"));
    };
    let name = wanted.name.as_str();
    let package = directory.join("node_modules").join(name);
    let manifest = ScriptManifest::read(&package)?.ok_or_else(|| no_command(name))?;
    let bare = name.rsplit_once('/').map_or(name, |(_, bare)| bare);
    let commands: Vec<String> = match manifest.fields().get("bin") {
        Some(Value::String(_)) => vec![bare.to_owned()],
        Some(Value::Object(map)) => map.keys().cloned().collect(),
        _ => Vec::new(),
    };
    match commands.as_slice() {
        [] => Err(no_command(name)),
        [only] => Ok(only.clone()),
        several if several.iter().any(|one| one == bare) => Ok(bare.to_owned()),
        several => Err(Failure::new(
            "ERR_PNPM_DLX_MULTIPLE_BINS",
            format!(
                "Could not determine executable to run. {} has multiple binaries: {}",
                escaped(name),
                escaped(&several.join(", "))
            ),
            Some("name the package with --package and then one of them"),
        )),
    }
}

/// The program of a command: linked in the directory, or one that the user has.
fn find(directory: &Path, command: &str) -> Result<PathBuf, Failure> {
    let bare = command.rsplit_once('/').map_or(command, |(_, bare)| bare);
    let linked = BinName::new(bare).ok();
    let linked = linked.map(|name| directory.join("node_modules/.bin").join(name.as_str()));
    match linked {
        Some(path) if path.exists() => Ok(path),
        _ => Err(Failure::new(
            "ERR_PNPM_DLX_COMMAND_NOT_FOUND",
            format!("Command \"{}\" not found", escaped(command)),
            None,
        )),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn creators_are_named_as_npm_names_them() {
        for (name, expected) in [
            ("vite", "create-vite"),
            ("vite@1", "create-vite@1"),
            ("create-vite", "create-vite"),
            ("@s", "@s/create"),
            ("@s@1", "@s/create@1"),
            ("@s/x", "@s/create-x"),
            ("@s/x@1", "@s/create-x@1"),
            ("@s/create-x", "@s/create-x"),
            ("@s/create", "@s/create"),
        ] {
            assert_eq!(creator_of(name), expected, "{name}");
        }
    }
}
