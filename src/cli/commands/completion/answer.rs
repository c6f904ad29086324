//! The words that complete a command line: commands, flags and their values, and of the project
//! its scripts, dependencies and commands, and the projects beside it.

use std::fs;
use std::path::{Path, PathBuf};

use clap::{Arg, ArgAction, Command, CommandFactory};

use crate::cli::arguments::Arguments;
use crate::cli::print;
use crate::cli::words::argument;
use crate::install::config::{CliOverrides, Config, Environment};
use crate::install::drafts::Drafts;
use crate::install::manifest::Manifest;
use crate::install::workspace::{all_projects, find_project_directory};

/// Flags of which the value names a project.
const OF_PROJECTS: [&str; 3] = ["filter", "filter-prod", "resume-from"];

/// Flags of which the value is a directory.
const OF_DIRECTORIES: [&str; 5] = [
    "dir",
    "store-dir",
    "state-dir",
    "lockfile-dir",
    "modules-dir",
];

/// Commands about dependencies of the project.
const OF_DEPENDENCIES: [&str; 8] = [
    "remove", "update", "outdated", "why", "list", "rebuild", "patch", "unlink",
];

/// Prints what completes the last of `words`, the first of which is the program. Nothing is said of
/// what goes wrong: somebody is typing.
pub(in crate::cli) fn answer(words: &[String]) {
    let Some((current, before)) = words.split_last() else {
        return;
    };
    let program = Arguments::command();
    let line = Line::read(&program, before.get(1..).unwrap_or_default());
    let mut found = line.answers(current);
    found.retain(|word| word.starts_with(&**current));
    found.sort();
    found.dedup();
    found.iter().for_each(|word| print(&format!("{word}\n")));
}

/// What stands in front of the word.
struct Line<'c> {
    program: &'c Command,
    /// The command, or the command below it.
    command: Option<&'c Command>,
    /// The command above it.
    above: Option<&'c str>,
    /// The flag of which the word is the value.
    flag: Option<&'c Arg>,
    /// How many words stand behind the command.
    behind: usize,
    /// Where the command works.
    directory: PathBuf,
}

impl<'c> Line<'c> {
    fn read(program: &'c Command, words: &[String]) -> Self {
        let mut line = Self {
            program,
            command: None,
            above: None,
            flag: None,
            behind: 0,
            directory: std::env::current_dir().unwrap_or_default(),
        };
        for word in words {
            line.go_on(word);
        }
        line
    }

    fn go_on(&mut self, word: &str) {
        if let Some(flag) = self.flag.take() {
            if flag.get_long() == Some("dir") {
                self.directory = self.directory.join(word);
            }
        } else if word.starts_with('-') {
            self.flag = self.known(word).filter(|flag| takes_value(flag));
        } else {
            let known = self.command.unwrap_or(self.program);
            match known.find_subcommand(word) {
                Some(below) if self.behind == 0 => {
                    self.above = self.command.map(Command::get_name);
                    self.command = Some(below);
                }
                _ => self.behind += 1,
            }
        }
    }

    fn known(&self, flag: &str) -> Option<&'c Arg> {
        let own = self.command.and_then(|command| argument(command, flag));
        own.or_else(|| argument(self.program, flag))
    }

    fn answers(&self, current: &str) -> Vec<String> {
        if let Some(flag) = self.flag {
            return self.values(flag, current);
        }
        if current.starts_with('-') {
            let own = self.command.into_iter().flat_map(Command::get_arguments);
            return own
                .chain(self.program.get_arguments())
                .filter(|argument| !argument.is_hide_set())
                .flat_map(written)
                .collect();
        }
        let below = self.command.unwrap_or(self.program).get_subcommands();
        let below = below.filter(|command| !command.is_hide_set());
        let mut found: Vec<String> = match self.behind {
            0 => below
                .flat_map(|command| command.get_name_and_visible_aliases())
                .map(str::to_owned)
                .collect(),
            _ => Vec::new(),
        };
        match self.command.map(Command::get_name) {
            None if self.behind == 0 => found.extend(self.scripts()),
            Some("run") if self.behind == 0 => found.extend(self.scripts()),
            Some("exec") if self.behind == 0 => found.extend(self.commands()),
            Some(name) if self.above.is_none() && OF_DEPENDENCIES.contains(&name) => {
                found.extend(self.dependencies());
            }
            _ => {}
        }
        found
    }

    /// What a flag may have as its value.
    fn values(&self, flag: &Arg, current: &str) -> Vec<String> {
        match flag.get_long() {
            Some(name) if OF_PROJECTS.contains(&name) => self.projects(),
            Some(name) if OF_DIRECTORIES.contains(&name) => directories(current),
            _ => flag
                .get_possible_values()
                .iter()
                .map(|value| value.get_name().to_owned())
                .collect(),
        }
    }

    fn project(&self) -> &Path {
        find_project_directory(&self.directory)
    }

    fn manifest(&self) -> Manifest {
        let read = Manifest::read_optional(self.project()).ok().flatten();
        read.unwrap_or_default()
    }

    fn scripts(&self) -> Vec<String> {
        let scripts = self.manifest().scripts;
        scripts.keys().map(ToString::to_string).collect()
    }

    fn dependencies(&self) -> Vec<String> {
        let manifest = self.manifest();
        let groups = [
            &manifest.dependencies,
            &manifest.dev_dependencies,
            &manifest.optional_dependencies,
        ];
        let names = groups.into_iter().flat_map(|group| group.keys());
        names.map(|name| name.as_str().to_owned()).collect()
    }

    /// The commands that dependencies offer.
    fn commands(&self) -> Vec<String> {
        let entries = fs::read_dir(self.project().join("node_modules/.bin"));
        let names = entries.into_iter().flatten().flatten();
        names
            .filter_map(|entry| entry.file_name().into_string().ok())
            .collect()
    }

    fn projects(&self) -> Vec<String> {
        let current = std::env::current_dir().unwrap_or_default();
        let environment = Environment::of_process(current);
        let config = Config::load(&environment, &CliOverrides::default(), self.project());
        let projects = config
            .ok()
            .and_then(|config| all_projects(&config, &Drafts::default()).ok());
        let names = projects.into_iter().flatten();
        names
            .filter_map(|project| project.manifest.name.as_deref().map(str::to_owned))
            .collect()
    }
}

fn takes_value(flag: &Arg) -> bool {
    matches!(flag.get_action(), ArgAction::Set | ArgAction::Append) && !flag.is_require_equals_set()
}

/// A flag as it is written.
fn written(flag: &Arg) -> Vec<String> {
    let long = flag.get_long_and_visible_aliases().unwrap_or_default();
    let long = long.into_iter().map(|name| format!("--{name}"));
    let short = flag.get_short().map(|name| format!("-{name}"));
    long.chain(short).collect()
}

/// Directories that begin as `current` does.
fn directories(current: &str) -> Vec<String> {
    let base = current.rsplit_once('/').map_or("", |(base, _)| base);
    let shown = match (base, current.starts_with('/')) {
        ("", false) => String::new(),
        _ => format!("{base}/"),
    };
    let place = if shown.is_empty() { "." } else { &shown };
    let entries = fs::read_dir(place).into_iter().flatten().flatten();
    entries
        .filter(|entry| entry.path().is_dir())
        .filter_map(|entry| entry.file_name().into_string().ok())
        .filter(|name| !name.starts_with('.'))
        .map(|name| format!("{shown}{name}/"))
        .collect()
}
