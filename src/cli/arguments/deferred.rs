//! Commands whose flags are made only where somebody asks for them.
//!
//! To make what clap knows of the flags of some fifty commands takes 2.5 ms and 3 MB, a third of
//! an install that has nothing to do. So a run makes those of its own command, and only help,
//! completion and what cannot be understood make all.

use std::cell::RefCell;
use std::ops::Deref;

use clap::{ArgMatches, Args, Command, CommandFactory, Error, FromArgMatches, Subcommand};

use super::{Arguments, GlobalArguments};

/// The arguments of a command, the flags of which are made where they are asked for.
#[derive(Debug)]
pub(in crate::cli) struct Deferred<T>(T);

/// Which commands get their flags.
enum Made {
    All,
    Nothing,
    Only(String),
}

thread_local! {
    // The traits of clap take nothing but the command that is being made.
    static MADE: RefCell<Made> = const { RefCell::new(Made::All) };
}

/// This program with the names of all its commands, and the flags that every command takes.
pub(in crate::cli) fn names() -> Command {
    commands(Made::Nothing)
}

/// This program as if the command of this name were the only one. `None` where there is none.
pub(in crate::cli) fn alone(name: &str) -> Option<Command> {
    let all = commands(Made::Only(name.to_owned()));
    let command = all.find_subcommand(name)?.clone();
    let program = Command::new(env!("CARGO_PKG_NAME"))
        .subcommand_required(true)
        .disable_help_subcommand(true);
    Some(GlobalArguments::augment_args(program).subcommand(command))
}

fn commands(made: Made) -> Command {
    MADE.set(made);
    let command = Arguments::command();
    MADE.set(Made::All);
    command
}

fn is_made(command: &Command) -> bool {
    MADE.with_borrow(|made| match made {
        Made::All => true,
        Made::Nothing => false,
        Made::Only(name) => name == command.get_name(),
    })
}

fn made(command: Command, augment: fn(Command) -> Command) -> Command {
    if is_made(&command) {
        augment(command)
    } else {
        command
    }
}

impl<T> Deref for Deferred<T> {
    type Target = T;

    fn deref(&self) -> &T {
        &self.0
    }
}

impl<T: FromArgMatches> FromArgMatches for Deferred<T> {
    fn from_arg_matches(matches: &ArgMatches) -> Result<Self, Error> {
        T::from_arg_matches(matches).map(Self)
    }

    fn from_arg_matches_mut(matches: &mut ArgMatches) -> Result<Self, Error> {
        T::from_arg_matches_mut(matches).map(Self)
    }

    fn update_from_arg_matches(&mut self, matches: &ArgMatches) -> Result<(), Error> {
        self.0.update_from_arg_matches(matches)
    }
}

impl<T: Args> Args for Deferred<T> {
    fn augment_args(command: Command) -> Command {
        made(command, T::augment_args)
    }

    fn augment_args_for_update(command: Command) -> Command {
        made(command, T::augment_args_for_update)
    }
}

impl<T: Subcommand> Subcommand for Deferred<T> {
    fn augment_subcommands(command: Command) -> Command {
        made(command, T::augment_subcommands)
    }

    fn augment_subcommands_for_update(command: Command) -> Command {
        made(command, T::augment_subcommands_for_update)
    }

    fn has_subcommand(name: &str) -> bool {
        T::has_subcommand(name)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn help(program: &mut Command, name: &str) -> String {
        program.build();
        let command = program.find_subcommand_mut(name);
        command.map_or_else(String::new, |command| {
            command.render_long_help().to_string()
        })
    }

    #[test]
    fn a_command_takes_alone_what_it_takes_among_all() {
        for command in Arguments::command().get_subcommands() {
            let name = command.get_name();
            let alone = help(&mut alone(name).unwrap(), name);
            assert!(!alone.is_empty(), "{name}");
            assert_eq!(alone, help(&mut Arguments::command(), name), "{name}");
        }
    }

    #[test]
    fn every_command_is_known_by_its_names() {
        let names = names();
        for command in Arguments::command().get_subcommands() {
            for name in std::iter::once(command.get_name()).chain(command.get_all_aliases()) {
                assert!(names.find_subcommand(name).is_some(), "{name}");
            }
        }
        assert!(alone("i-am-none").is_none());
    }
}
