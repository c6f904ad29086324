//! `dlx` and `create`: a package in a directory of its own in the cache, and a command of it.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, SystemTime};

use serde_json::{Map, Value, json};
use sha2::{Digest, Sha256};

use super::global::absolute;
use crate::cli::arguments::{CreateArguments, DlxArguments, GlobalArguments};
use crate::cli::building::{InstallScripts, ProjectScripts};
use crate::cli::context::{Context, architectures};
use crate::cli::failure::Failure;
use crate::cli::scripting::launcher;
use crate::cli::serving::{make_directory, open_store};
use crate::cli::{Ending, interrupt, writing};
use crate::install::config::{AllowBuilds, Options};
use crate::install::locked::{Groups, Supply};
use crate::install::relock::{Named, specifiers};
use crate::install::scripts::{ScriptEnd, ScriptManifest, ScriptOutput};
use crate::name::{BinName, PackageName, escaped, hexadecimal};
use crate::store::Access;

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
        shell_mode: arguments.shell_mode,
        platforms: arguments.platforms.clone(),
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
            Some("name its package behind: `pacquet dlx PACKAGE [ARGUMENT]...`"),
        ));
    };
    let options = Options {
        supported_architectures: architectures(&arguments.platforms),
        ..Options::default()
    };
    let mut context = Context::load_anywhere(global, options)?;
    let called_in = context.called_in.clone();
    let packages = match arguments.package.is_empty() {
        true => std::slice::from_ref(command),
        false => &arguments.package[..],
    };
    let wanted = packages
        .iter()
        .map(|text| wanted(text, &called_in))
        .collect::<Result<Vec<_>, Failure>>()?;
    let directory = prepare(&mut context, &wanted, &arguments.allow_build)?;
    let program = match arguments.package.is_empty() {
        false => command.clone(),
        true => command_of(&directory)?,
    };
    let children = context.children.clone();
    interrupt::forward(&children)?;
    let launcher = launcher(&context, "exec", ScriptOutput::Terminal, &children);
    let environment = launcher.environment_of_command(&directory, None);
    let mut process = match arguments.shell_mode {
        true => {
            let words: Vec<&str> = [&program]
                .into_iter()
                .chain(rest)
                .map(|word| &**word)
                .collect();
            let mut shell = Command::new("sh");
            shell.arg("-c").arg(words.join(" "));
            shell
        }
        false => {
            let mut process = Command::new(find(&directory, &program)?);
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

/// What is installed: a package that is named, and which version, or an address.
struct Wanted {
    name: Option<PackageName>,
    specifier: String,
}

fn wanted(text: &str, called_in: &Path) -> Result<Wanted, Failure> {
    let text = text.strip_prefix("npm:").unwrap_or(text);
    let Named { alias, specifier } = Named::parse(text);
    if alias.is_some() {
        return Ok(Wanted {
            name: alias,
            specifier: specifier.unwrap_or_else(|| "latest".to_owned()),
        });
    }
    let is_address = text.contains([':', '/']) && !text.starts_with('@');
    if let Err(error) = PackageName::new(text).map(drop)
        && !is_address
    {
        let sentence = format!("\"{}\" is no package: it {error}", escaped(text));
        let code = "ERR_PNPM_INVALID_DEPENDENCY_NAME";
        return Err(Failure::new(code, sentence, None));
    }
    Ok(Wanted {
        name: None,
        specifier: absolute(text, called_in),
    })
}

/// The dependencies of the directory. What has an address is named as its package says.
fn dependencies(context: &Context, wanted: &[Wanted]) -> Result<Map<String, Value>, Failure> {
    let mut dependencies = Map::new();
    for one in wanted {
        let (name, specifier) = match &one.name {
            Some(name) => (name.clone(), one.specifier.clone()),
            None => {
                let config = &context.config;
                let store = open_store(config, Access::ReadWrite, Supply::Fetch)?;
                let (environment, reporter) = (&context.environment, &context.reporter);
                let specifiers = specifiers(config, environment, &store, reporter, None)?;
                let named = Named {
                    alias: None,
                    specifier: Some(one.specifier.clone()),
                };
                specifiers.added(&named, |_| None)?
            }
        };
        dependencies.insert(name.as_str().to_owned(), json!(specifier));
    }
    Ok(dependencies)
}

/// Installs the packages into a directory of the cache, unless that was done not long ago.
fn prepare(
    context: &mut Context,
    wanted: &[Wanted],
    allowed: &[String],
) -> Result<PathBuf, Failure> {
    let mut digest = Sha256::new();
    for one in wanted {
        digest.update(format!("{:?} {:?}\n", one.name, one.specifier));
    }
    digest.update(format!("{allowed:?} {:?}", context.config.registries));
    digest.update(format!("{:?}", context.config.supported_architectures));
    let name = hexadecimal(&digest.finalize()[..16]);
    let base = context.config.cache_directory.join("dlx");
    let directory = base.join(name);
    context.config.isolate(&directory);
    let allowed = allowed.iter().map(|name| (name.clone(), Some(true)));
    context.config.builds.allow_builds = AllowBuilds(allowed.collect());
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
    let dependencies = dependencies(context, wanted)?;
    let manifest = json!({ "private": true, "dependencies": dependencies });
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

/// The command of the package in the directory: the one that it has, or the one with its name.
fn command_of(directory: &Path) -> Result<String, Failure> {
    let no_command = |name: &str| {
        Failure::new(
            "ERR_PNPM_DLX_NO_BIN",
            format!("No binaries found in {}", escaped(name)),
            None,
        )
    };
    let installed = ScriptManifest::read(directory)?;
    let dependencies = installed
        .as_ref()
        .and_then(|manifest| manifest.fields().get("dependencies"));
    let alias = dependencies
        .and_then(Value::as_object)
        .and_then(|dependencies| dependencies.keys().next());
    let alias = alias.ok_or_else(|| no_command("nothing"))?;
    let package = directory.join("node_modules").join(alias);
    let manifest = ScriptManifest::read(&package)?.ok_or_else(|| no_command(alias))?;
    let name = manifest.fields().get("name").and_then(Value::as_str);
    let name = name.unwrap_or(alias);
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
