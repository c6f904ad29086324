//! `--global`: packages that belong to no project, laid out as pnpm 12 lays them out, so that both
//! programs find what the other has installed.
//!
//! ```text
//! <globalDir>/v11/<process>-<time>-<number>   what was added together, a project of its own
//! <globalDir>/v11/<digest>                    a symlink to it, named after what was asked for
//! <globalBinDir>/<command>                    what starts a command of a group
//! ```
//!
//! A group is made anew beside the one that it replaces, and takes its place by a rename.

mod group;
mod listing;

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use crate::cli::arguments::{
    AddArguments, ChangeArguments, GlobalArguments, ListArguments, RemoveArguments,
    UpdateArguments, VirtualMode, WorkspaceArguments,
};
use crate::cli::commands::add as adding;
use crate::cli::context::Context;
use crate::cli::failure::Failure;
use crate::cli::installed::Source;
use crate::cli::print;
use crate::cli::serving::make_directory;
use crate::install::config::{GlobalPlaces, Options};
use crate::install::settings_file::WORKSPACE_FILE_NAME;
use crate::name::escaped;

use group::Group;
pub(in crate::cli) use listing::list;

/// Where everything is.
pub(in crate::cli) struct Places {
    pub(in crate::cli) packages: PathBuf,
    pub(in crate::cli) commands: PathBuf,
    /// The default registry, which is part of what groups are named after.
    registry: String,
}

impl Places {
    /// For commands that only look.
    fn readable(global: &GlobalArguments) -> Result<Self, Failure> {
        let config = Context::load_anywhere(global, Options::default())?.config;
        let GlobalPlaces { packages, commands } = config.global.ok_or_else(|| {
            Failure::new(
                "ERR_PNPM_NO_GLOBAL_BIN_DIR",
                "Unable to find the global bin directory",
                Some("set PNPM_HOME, or the setting globalBinDir; it should be in PATH"),
            )
        })?;
        let registry = config.registries.default_registry();
        Ok(Self {
            packages,
            commands,
            registry: registry.map_or_else(|_| String::new(), |url| url.to_string()),
        })
    }

    /// For commands that change something: what they install has to be found.
    pub(in crate::cli) fn mutable(global: &GlobalArguments) -> Result<Self, Failure> {
        let places = Self::readable(global)?;
        let path = std::env::var_os("PATH").unwrap_or_default();
        if !std::env::split_paths(&path).any(|directory| directory == places.commands) {
            let sentence = format!(
                "The configured global bin directory \"{}\" is not in PATH",
                places.commands.display()
            );
            let hint = "add it to PATH in the start-up file of your shell";
            let code = "ERR_PNPM_GLOBAL_BIN_DIR_NOT_IN_PATH";
            return Err(Failure::new(code, sentence, Some(hint)));
        }
        make_directory(&places.commands)?;
        make_directory(&places.packages)?;
        Ok(places)
    }
}

/// `add --global`: a group for each argument, several packages of which have commas between them.
pub(in crate::cli) fn add(
    global: &GlobalArguments,
    arguments: &AddArguments,
) -> Result<(), Failure> {
    let context = Context::load_anywhere(global, Options::default())?;
    let from = &context.called_in;
    let places = Places::mutable(global)?;
    for text in &arguments.packages {
        let packages = together(text, from);
        if packages.iter().any(|one| is_itself(one)) {
            return Err(Failure::new(
                "ERR_PACQUET_ABSENT",
                "pnpm is not installed globally by pacquet",
                Some("install it as its own documents say"),
            ));
        }
        let group = install(global, &places, arguments, packages)?;
        let aliases = group.aliases();
        let replaces = |other: &Group| aliases.iter().any(|alias| other.has(alias));
        let digest = group::digest(&aliases, &places.registry);
        activate(&places, &group, &digest, replaces)?;
    }
    Ok(())
}

/// `update --global`.
pub(in crate::cli) fn update(
    global: &GlobalArguments,
    arguments: &UpdateArguments,
) -> Result<(), Failure> {
    let places = Places::mutable(global)?;
    let all = group::all(&places.packages)?;
    let is_meant = |group: &Group| {
        let wanted = &arguments.packages;
        wanted.is_empty() || wanted.iter().any(|alias| group.has(alias))
    };
    let chosen: Vec<&Group> = all.iter().filter(|group| is_meant(group)).collect();
    if chosen.is_empty() {
        print(match all.is_empty() {
            true => "No global packages found\n",
            false => "No matching global packages found\n",
        });
        return Ok(());
    }
    for old in chosen {
        // What says where a package comes from cannot be left out.
        let text = |(alias, specifier): &(String, String)| match arguments.latest {
            true if !specifier.contains(':') => alias.clone(),
            _ => format!("{alias}@{specifier}"),
        };
        let packages = old.dependencies.iter().map(text).collect();
        let adding = AddArguments {
            save_exact: arguments.save_exact,
            change: arguments.change.clone(),
            ..AddArguments::default()
        };
        let group = install(global, &places, &adding, packages)?;
        activate(&places, &group, &old.digest, |other| {
            other.digest == old.digest
        })?;
    }
    Ok(())
}

/// `remove --global`: the groups in which the packages are.
pub(in crate::cli) fn remove(
    global: &GlobalArguments,
    arguments: &RemoveArguments,
) -> Result<(), Failure> {
    let places = Places::mutable(global)?;
    let all = group::all(&places.packages)?;
    for name in &arguments.names {
        if !all.iter().any(|group| group.has(name)) {
            return Err(Failure::new(
                "ERR_PNPM_GLOBAL_PKG_NOT_FOUND",
                format!(
                    "Cannot remove '{}': not found in global packages",
                    escaped(name)
                ),
                Some("see what is there with `pacquet list --global`"),
            ));
        }
    }
    let is_meant = |group: &&Group| arguments.names.iter().any(|name| group.has(name));
    let (gone, kept): (Vec<&Group>, Vec<&Group>) = all.iter().partition(is_meant);
    let kept: BTreeSet<String> = kept.iter().flat_map(|group| group.commands()).collect();
    for group in gone {
        take_away(&places, group, &kept, None)?;
    }
    Ok(())
}

/// The arguments of a command about the group in `directory`, which nothing of the project decides
/// where it is called.
fn of_group(global: &GlobalArguments, directory: &Path) -> GlobalArguments {
    GlobalArguments {
        dir: Some(directory.to_owned()),
        workspace: WorkspaceArguments::default(),
        ..global.clone()
    }
}

/// What is installed in each group.
pub(in crate::cli) fn sources(
    global: &GlobalArguments,
    listed: &ListArguments,
) -> Result<Vec<Source>, Failure> {
    let places = Places::readable(global)?;
    let groups = group::all(&places.packages)?;
    let read = |group: &Group| Source::read(&of_group(global, &group.directory), listed);
    groups.iter().map(read).collect()
}

/// Installs `packages` as a new group.
fn install(
    global: &GlobalArguments,
    places: &Places,
    arguments: &AddArguments,
    packages: Vec<String>,
) -> Result<Group, Failure> {
    let directory = group::create(&places.packages)?;
    let result = install_in(global, places, arguments, (&directory, packages));
    if result.is_err() {
        // Why it failed is what matters.
        let _ = fs::remove_dir_all(&directory);
    }
    result?;
    Group::read(&directory, "").ok_or_else(|| {
        Failure::new(
            "ERR_PACQUET_GLOBAL",
            format!("Nothing was installed in {}", directory.display()),
            None,
        )
    })
}

fn install_in(
    global: &GlobalArguments,
    places: &Places,
    arguments: &AddArguments,
    (directory, packages): (&Path, Vec<String>),
) -> Result<(), Failure> {
    // Which packages may run scripts is decided once for all groups.
    let decided = places.packages.join(WORKSPACE_FILE_NAME);
    let own = directory.join(WORKSPACE_FILE_NAME);
    let copy = |from: &Path, to: &Path| match fs::copy(from, to) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => fs::write(to, ""),
        copied => copied.map(drop),
    };
    copy(&decided, &own).map_err(|error| group::cannot("write", &own, error))?;
    let mut global = of_group(global, directory);
    global.config.push("strictDepBuilds=false".to_owned());
    let arguments = AddArguments {
        packages,
        save_exact: arguments.save_exact,
        save_prefix: arguments.save_prefix.clone(),
        tilde: arguments.tilde,
        allow_build: arguments.allow_build.clone(),
        ignore_workspace_root_check: true,
        change: ChangeArguments {
            virtual_mode: Some(VirtualMode::False),
            workspace_root: false,
            recursive: false,
            lockfile_only: false,
            no_lockfile: false,
            lockfile_dir: None,
            ..arguments.change.clone()
        },
        ..AddArguments::default()
    };
    adding::run(&global, &arguments)?;
    if !arguments.allow_build.is_empty() {
        copy(&own, &decided).map_err(|error| group::cannot("write", &decided, error))?;
    }
    fs::remove_file(&own).map_err(|error| group::cannot("remove", &own, error))
}

/// Puts a group in its place, links its commands, and takes away what it replaces.
fn activate(
    places: &Places,
    group: &Group,
    digest: &str,
    replaces: impl Fn(&Group) -> bool,
) -> Result<(), Failure> {
    let others = group::all(&places.packages)?;
    let (old, kept): (Vec<&Group>, Vec<&Group>) = others.iter().partition(|other| replaces(other));
    let linked = match commands_to_link(group, &kept) {
        Ok(linked) => linked,
        Err(failure) => {
            let _ = fs::remove_dir_all(&group.directory);
            return Err(failure);
        }
    };
    let name = group.directory.file_name().unwrap_or_default();
    group::link(Path::new(name), &places.packages.join(digest))?;
    for command in &linked {
        let target = places.packages.join(digest).join("node_modules/.bin");
        group::link(&target.join(command), &places.commands.join(command))?;
    }
    let mut used: BTreeSet<String> = kept.iter().flat_map(|group| group.commands()).collect();
    used.extend(linked);
    for old in old {
        take_away(places, old, &used, Some(digest))?;
    }
    Ok(())
}

/// The commands of a group, without those that belong to another one: a command belongs to the
/// package that has its name.
fn commands_to_link(group: &Group, others: &[&Group]) -> Result<Vec<String>, Failure> {
    let others = others.iter().map(|other| (other, other.commands()));
    let others: Vec<(&&Group, BTreeSet<String>)> = others.collect();
    let mut linked = Vec::new();
    for command in group.commands() {
        let mut others = others.iter();
        let other = others.find(|(_, commands)| commands.contains(&command));
        let is_own = group.owns(&command);
        match other.map(|(other, _)| (other, other.owns(&command))) {
            Some((_, true)) if !is_own => {}
            Some((other, is_theirs)) if is_own == is_theirs => {
                let alias = other.aliases().into_iter().next().unwrap_or_default();
                let sentence = format!(
                    "Cannot install: binary \"{}\" would conflict with \"{}\" that is already \
                     installed globally",
                    escaped(&command),
                    escaped(&alias)
                );
                let hint = format!("remove it first: pacquet remove --global {alias}");
                let code = "ERR_PNPM_GLOBAL_BIN_CONFLICT";
                return Err(Failure::new(code, sentence, Some(&hint)));
            }
            _ => linked.push(command),
        }
    }
    Ok(linked)
}

/// Removes a group, and its commands but for those that are used. The symlink of the digest that is
/// kept leads to another group now.
fn take_away(
    places: &Places,
    group: &Group,
    used: &BTreeSet<String>,
    kept: Option<&str>,
) -> Result<(), Failure> {
    for command in group.commands().difference(used) {
        group::remove_link(&places.commands.join(command))?;
    }
    if kept != Some(&*group.digest) {
        group::remove_link(&places.packages.join(&group.digest))?;
    }
    let directory = &group.directory;
    fs::remove_dir_all(directory).map_err(|error| group::cannot("remove", directory, error))
}

/// The packages of an argument, with paths that mean the same anywhere.
fn together(text: &str, from: &Path) -> Vec<String> {
    let is_one = text.contains("://") || text.starts_with(['.', '/']);
    let parts = match is_one {
        true => vec![text],
        false => text.split(',').filter(|part| !part.is_empty()).collect(),
    };
    parts.into_iter().map(|part| absolute(part, from)).collect()
}

/// What is named, with a path that means the same anywhere.
pub(super) fn absolute(text: &str, from: &Path) -> String {
    let protocols = ["file:", "link:"];
    let protocol = protocols.into_iter().find(|one| text.starts_with(one));
    let path = &text[protocol.map_or(0, str::len)..];
    let is_relative = match protocol {
        Some(_) => !path.starts_with(['/', '~']),
        None => path == "." || path == ".." || path.starts_with("./") || path.starts_with("../"),
    };
    match is_relative {
        true => {
            let path: PathBuf = from.join(path).components().collect();
            format!("{}{}", protocol.unwrap_or(""), path.display())
        }
        false => text.to_owned(),
    }
}

fn is_itself(text: &str) -> bool {
    ["pnpm", "@pnpm/exe"].iter().any(|name| {
        let rest = text.strip_prefix(name);
        rest.is_some_and(|rest| rest.is_empty() || rest.starts_with('@'))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn packages_that_are_added_together_have_commas_between_them() {
        let of = |text: &str| together(text, Path::new("/from"));
        assert_eq!(of("a@1,@s/b"), ["a@1", "@s/b"]);
        assert_eq!(of("./a,b"), ["/from/a,b"]);
        assert_eq!(of("file:a"), ["file:/from/a"]);
        assert_eq!(of("link:../a"), ["link:/from/../a"]);
        assert_eq!(of("/a"), ["/a"]);
        assert!(is_itself("pnpm@9") && is_itself("pnpm") && !is_itself("pnpm-x"));
    }
}
