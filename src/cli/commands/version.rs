//! `version`: the next version of a project, and the commit and the tag that note it.

use std::path::PathBuf;

use serde_json::{Value, json};

use super::pkg::{change_one, read};
use crate::cli::absent;
use crate::cli::apart::sorted;
use crate::cli::arguments::{GlobalArguments, VersionArguments};
use crate::cli::context::Context;
use crate::cli::failure::Failure;
use crate::cli::interrupt;
use crate::cli::print;
use crate::cli::scripting::{Order, Root, choose, launcher, nothing_chosen, run_own_scripts};
use crate::install::config::Options;
use crate::install::drafts::Drafts;
use crate::install::git::{Releases, Tag};
use crate::install::scripts::ScriptOutput;
use crate::install::semver::{Bump, Version};
use crate::name::escaped;

/// What becomes of a project.
struct Step {
    directory: PathBuf,
    name: String,
    from: String,
    to: String,
}

pub(in crate::cli) fn run(
    global: &GlobalArguments,
    arguments: &VersionArguments,
) -> Result<(), Failure> {
    let options = Options {
        ignore_scripts: arguments.ignore_scripts.then_some(true),
        git_checks: arguments.no_git_checks.then_some(false),
        git_tag_version: arguments.no_git_tag_version.then_some(false),
        tag_version_prefix: arguments.tag_version_prefix.clone(),
        ..Options::default()
    };
    let is_recursive = global.workspace.is_recursive();
    let word = match &arguments.version {
        Some(word) => word,
        None if is_recursive => return Err(absent::releases()),
        None => return Err(no_bump("")),
    };
    let context = Context::load_anywhere(global, options)?;
    let publishing = &context.config.publishing;
    let repository = Releases::around(&context.config.directory, &context.environment);
    if let Some(repository) = repository.as_ref().filter(|_| publishing.checks_repository) {
        repository.refuse_changes()?;
    }
    let wanted = match word.as_str() {
        "from-git" => from_git(repository.as_ref())?,
        word => word.to_owned(),
    };
    let steps = steps(&context, global, (&wanted, arguments))?;
    if arguments.dry_run {
        tell(&steps, arguments, "Version bump plan:");
        return Ok(());
    }
    // Several projects have no version in common that a commit could be called by.
    let repository = repository.filter(|_| publishing.tags_versions && !is_recursive);
    apply(&context, &steps, repository.as_ref(), arguments)?;
    tell(&steps, arguments, "Version bumped successfully:");
    Ok(())
}

fn no_bump(word: &str) -> Failure {
    Failure::new(
        "ERR_PNPM_INVALID_VERSION_BUMP",
        format!(
            "\"{}\" is no version, nor a way to the next one",
            escaped(word)
        ),
        Some(
            "give a version, or one of major, minor, patch, premajor, preminor, prepatch, \
             prerelease and from-git",
        ),
    )
}

fn from_git(repository: Option<&Releases<'_>>) -> Result<String, Failure> {
    let tag = repository.and_then(Releases::last_tag);
    let version = tag.as_deref().and_then(Version::parse);
    version.map(|version| version.to_string()).ok_or_else(|| {
        let sentence = "The last tag of the repository is no version";
        Failure::new("ERR_PNPM_INVALID_VERSION_FROM_GIT", sentence, None)
    })
}

/// What becomes of the projects that the command is about, as far as they have a version.
fn steps(
    context: &Context,
    global: &GlobalArguments,
    (word, arguments): (&str, &VersionArguments),
) -> Result<Vec<Step>, Failure> {
    let directories = match global.workspace.is_recursive() {
        false => vec![context.config.directory.clone()],
        true => {
            let chosen = choose(context, &global.workspace, Root::Kept)?;
            if chosen.selection.projects.is_empty() {
                nothing_chosen(context, &chosen);
                return Ok(Vec::new());
            }
            let order = Order::new(context, &global.workspace, &chosen)?;
            sorted(&chosen, &order.waits_for)
        }
    };
    let mut steps = Vec::new();
    for directory in directories {
        let (_, fields) = read(&directory)?;
        let text = |field: &str| Some(fields.get(field)?.as_str()?.to_owned());
        let (Some(name), Some(from)) = (text("name"), text("version")) else {
            continue;
        };
        let to = next(&from, word, arguments)?;
        steps.push(Step {
            directory,
            name,
            from,
            to,
        });
    }
    match steps.is_empty() {
        false => Ok(steps),
        true => Err(Failure::new(
            "ERR_PNPM_NO_PACKAGES_TO_VERSION",
            "No package has a name and a version",
            None,
        )),
    }
}

fn next(from: &str, word: &str, arguments: &VersionArguments) -> Result<String, Failure> {
    let to = match (Bump::parse(word), Version::parse(word)) {
        (Some(bump), _) => {
            let from = Version::parse(from).ok_or_else(|| {
                let sentence = format!("\"{}\" is no version", escaped(from));
                Failure::new("ERR_PNPM_INVALID_VERSION", sentence, None)
            })?;
            from.bumped(bump, arguments.preid.as_deref())
        }
        (None, Some(version)) => version,
        (None, None) => return Err(no_bump(word)),
    };
    let to = to.to_string();
    match to == from && !arguments.allow_same_version {
        false => Ok(to),
        true => Err(Failure::new(
            "ERR_PNPM_VERSION_NOT_CHANGED",
            format!("The version is {} already", escaped(&to)),
            Some("use --allow-same-version to note it again"),
        )),
    }
}

/// Writes the versions, and notes the one of a single project.
fn apply(
    context: &Context,
    steps: &[Step],
    repository: Option<&Releases<'_>>,
    arguments: &VersionArguments,
) -> Result<(), Failure> {
    interrupt::forward(&context.children)?;
    let launcher = launcher(context, "version", ScriptOutput::Lines, &context.children);
    let prefix = &context.config.publishing.tag_prefix;
    for step in steps {
        let tag = format!("{prefix}{}", step.to);
        if let Some(repository) = repository {
            repository.refuse_tag(&tag)?;
        }
        let run = |name: &str| run_own_scripts(context, &launcher, &step.directory, &[name]);
        run("preversion")?;
        let mut drafts = Drafts::default();
        let set = |fields: &mut super::pkg::Fields| {
            fields.insert("version".to_owned(), json!(step.to));
        };
        change_one(&step.directory, set, &mut drafts)?;
        drafts.write()?;
        run("version")?;
        if let Some(repository) = repository {
            let message = arguments.message.as_deref().unwrap_or("%s");
            let tag = Tag {
                name: &tag,
                message: &message.replace("%s", &step.to),
                runs_hooks: !arguments.no_commit_hooks,
                is_signed: arguments.sign_git_tag,
            };
            repository.note(&step.directory.join("package.json"), tag)?;
        }
        run("postversion")?;
    }
    Ok(())
}

fn tell(steps: &[Step], arguments: &VersionArguments, title: &str) {
    let object = |step: &Step| {
        json!({
            "name": step.name,
            "currentVersion": step.from,
            "newVersion": step.to,
            "path": step.directory.to_string_lossy(),
        })
    };
    let line = |step: &Step| escaped(&format!("{}: {} → {}", step.name, step.from, step.to));
    print(&match (arguments.json, steps) {
        (true, steps) => format!("{:#}\n", steps.iter().map(object).collect::<Value>()),
        (false, []) => String::new(),
        (false, steps) => {
            let lines: Vec<String> = steps.iter().map(line).collect();
            format!("{title}\n{}\n", lines.join("\n"))
        }
    });
}
