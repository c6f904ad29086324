//! The words of the command line before clap reads them.
//!
//! Beyond it are `--config.KEY=VALUE`, `-s`, `help` as a command, and that nothing behind the name
//! of a script is for this program.

use std::cell::OnceCell;
use std::ffi::OsString;

use clap::{Arg, ArgAction, Command};

use super::arguments::ServeArguments;
use super::arguments::deferred::alone;
use super::setting_flags::{Meaning, meaning};

/// Commands whose first word is the name of a script or program.
const TAKES_NAME: [&str; 5] = ["run", "run-script", "exec", "dlx", "create"];

/// Commands that are the name of a script.
const IS_NAME: [&str; 6] = ["test", "t", "tst", "start", "stop", "restart"];

/// The one of them that has flags of its own, as with pnpm: behind the others all is the script's.
const HAS_FLAGS: &str = "restart";

/// Other ways to say `-r`.
const RECURSIVE: [&str; 3] = ["recursive", "multi", "m"];

/// The words, the first of which is the program: `--config.KEY=VALUE` as `--config=KEY=VALUE`, and
/// `recursive` as `-r`. `command` knows the flags.
pub(super) fn prepared(command: &Command, words: impl Iterator<Item = OsString>) -> Vec<OsString> {
    let mut state = Before::Command;
    let mut is_value = false;
    let mut out = Vec::new();
    let words: Vec<OsString> = words.collect();
    let is_help = words.get(1).is_some_and(|word| word == "help");
    let words = behind_command(command, with_help(command, words));
    let own = OnceCell::new();
    let own = || own.get_or_init(|| own_flags(command, &words)).as_ref();
    let mut setting = None;
    for (place, word) in words.iter().cloned().enumerate() {
        let Some(text) = word
            .to_str()
            .filter(|_| place > 0 && state != Before::Nothing)
        else {
            out.push(word);
            continue;
        };
        if std::mem::take(&mut is_value) {
            out.push(word);
        } else if let Some(name) = setting.take() {
            out.push(format!("--config={name}={text}").into());
        } else if let Some(pair) = text.strip_prefix("--config.") {
            out.push(format!("--config={pair}").into());
        } else if text == "--config" && state == Before::Words {
            // With a name behind a dot it is a setting.
            out.push("--config-dependency".into());
        } else if text == "-v" && state == Before::Command {
            out.push("--version".into());
        } else if text == "-s" && matches!(state, Before::Command | Before::Words) {
            // `run` has another one.
            out.push("--silent".into());
        } else if let Some(meaning) = meant(command, own, text) {
            match meaning {
                Meaning::Word(word) => out.extend(word.map(OsString::from)),
                Meaning::Setting(name) => setting = Some(name),
            }
        } else if text.starts_with('-') && text.len() > 1 {
            is_value = takes_value(command, text);
            out.push(word);
        } else if state == Before::Command && RECURSIVE.contains(&text) {
            out.push("-r".into());
        } else {
            let is_name = state == Before::Command && IS_NAME.contains(&text);
            let is_rest_of_script = is_name && text != HAS_FLAGS && !is_help;
            state = state.after(command, text);
            out.push(word);
            out.extend(is_rest_of_script.then(|| "--".into()));
        }
    }
    out
}

/// What a flag means that is none of those that every command takes as they are.
fn meant<'c>(
    command: &'c Command,
    own: impl FnOnce() -> Option<&'c Command>,
    text: &str,
) -> Option<Meaning> {
    let is_plain = !text.contains('=') && is_known(command, text);
    match text.starts_with("--") && !is_plain {
        true => meaning(command, own, text),
        false => None,
    }
}

/// The command that the words name, with its flags.
fn own_flags(command: &Command, words: &[OsString]) -> Option<Command> {
    let mut words = words.iter().skip(1).filter_map(|word| word.to_str());
    let name = words.find_map(|word| command.find_subcommand(word))?;
    let alone = alone(name.get_name())?;
    alone.get_subcommands().next().cloned()
}

/// `help COMMAND` as `COMMAND --help`.
fn with_help(command: &Command, mut words: Vec<OsString>) -> Vec<OsString> {
    if words.get(1).is_some_and(|word| word == "help") {
        let named = words.get(2).and_then(|word| word.to_str());
        if named.is_none_or(|word| command.find_subcommand(word).is_some()) {
            words.remove(1);
            words.truncate(2);
            words.push("--help".into());
        }
    }
    words
}

/// Flags in front of the command that only the command knows, put behind it, as pnpm takes them.
fn behind_command(command: &Command, mut words: Vec<OsString>) -> Vec<OsString> {
    let mut held: Vec<usize> = Vec::new();
    let mut at = 1;
    let own = loop {
        let Some(word) = words.get(at).and_then(|word| word.to_str()) else {
            return words;
        };
        let next = words.get(at + 1).and_then(|word| word.to_str());
        if let Some(own) = command.find_subcommand(word) {
            break own;
        } else if word == "--" || !(word.starts_with('-') || RECURSIVE.contains(&word)) {
            return words;
        } else if word == "-s" || word.starts_with("--config.") || RECURSIVE.contains(&word) {
        } else if takes_value(command, word) {
            at += 1;
        } else if !is_known(command, word) {
            held.push(at);
            let is_value =
                |next: &str| !next.starts_with('-') && command.find_subcommand(next).is_none();
            if !word.contains('=') && next.is_some_and(is_value) {
                at += 1;
                held.push(at);
            }
        }
        at += 1;
    };
    if held.is_empty() {
        return words;
    }
    let Some(own) = alone(own.get_name()) else {
        return words;
    };
    // What does not belong to a flag is the name of a script.
    let own = own.get_subcommands().next();
    let is_flag = |place: &usize| words[*place].to_string_lossy().starts_with('-');
    let belongs = |place: &usize| {
        let flag = words[*place - 1].to_string_lossy();
        own.is_some_and(|own| takes_value(own, &flag))
    };
    if !held.iter().all(|place| is_flag(place) || belongs(place)) {
        return words;
    }
    let moved: Vec<OsString> = held.iter().map(|place| words[*place].clone()).collect();
    words.splice(at + 1..at + 1, moved);
    for place in held.iter().rev() {
        words.remove(*place);
    }
    words
}

/// Whether every command takes this flag.
fn is_known(command: &Command, flag: &str) -> bool {
    let name = flag.split('=').next().unwrap_or(flag);
    let is_built_in = ["--help", "-h", "--version", "-V", "-v"].contains(&name);
    is_built_in || argument(command, name).is_some()
}

/// The arguments of a server or supervisor, as this program starts them. Two of them are between an
/// install and its mount, and to make clap ready takes a millisecond each time.
pub(super) fn as_server(mut words: impl Iterator<Item = OsString>) -> Option<ServeArguments> {
    if words.next()? != "serve" {
        return None;
    }
    let mut verify_reads = false;
    let mut next = words.next()?;
    if next == "--verify-reads" {
        verify_reads = true;
        next = words.next()?;
    }
    (next == "--").then(|| ServeArguments {
        verify_reads,
        arguments: words.collect(),
    })
}

/// The words of `completion-server`, which scripts of `completion` call: they are somebody else's
/// command line.
pub(super) fn to_complete(mut words: impl Iterator<Item = OsString>) -> Option<Vec<String>> {
    if words.next()? != "completion-server" || words.next()? != "--" {
        return None;
    }
    Some(
        words
            .map(|word| word.to_string_lossy().into_owned())
            .collect(),
    )
}

/// What comes next that is no flag.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Before {
    /// The command.
    Command,
    /// The name of a script or program.
    Name,
    /// Words of a command of this program.
    Words,
    /// Nothing for this program.
    Nothing,
}

impl Before {
    fn after(self, command: &Command, word: &str) -> Self {
        match self {
            Self::Command if TAKES_NAME.contains(&word) => Self::Name,
            Self::Command if IS_NAME.contains(&word) => Self::Nothing,
            Self::Command if command.find_subcommand(word).is_some() => Self::Words,
            Self::Words => Self::Words,
            Self::Command | Self::Name | Self::Nothing => Self::Nothing,
        }
    }
}

/// Whether the next word belongs to this flag.
fn takes_value(command: &Command, flag: &str) -> bool {
    argument(command, flag)
        .is_some_and(|argument| matches!(argument.get_action(), ArgAction::Set | ArgAction::Append))
}

/// The argument of this name, which has its hyphens.
pub(super) fn argument<'a>(command: &'a Command, flag: &str) -> Option<&'a Arg> {
    command.get_arguments().find(|argument| {
        let longs = argument.get_long_and_visible_aliases().unwrap_or_default();
        let long = longs.iter().any(|long| flag == format!("--{long}"));
        let short = argument
            .get_short()
            .is_some_and(|short| flag == format!("-{short}"));
        long || short
    })
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;
    use crate::cli::arguments::Arguments;

    #[test]
    fn generic_settings_are_rewritten_up_to_the_name_of_a_script() {
        for (line, expected) in [
            ("p --config.a=b install", "p --config=a=b install"),
            ("p install --config.a=b", "p install --config=a=b"),
            (
                "p run --config.a=b x --config.c=d",
                "p run --config=a=b x --config.c=d",
            ),
            ("p x --config.c=d", "p x --config.c=d"),
            ("p test --config.c=d", "p test -- --config.c=d"),
            ("p -r t --help", "p -r t -- --help"),
            ("p start -- x", "p start -- -- x"),
            ("p restart --if-present", "p restart --if-present"),
            ("p help test", "p test --help"),
            ("p run test --help", "p run test --help"),
            (
                "p -C run --config.a=b run x --config.c=d",
                "p -C run --config=a=b run x --config.c=d",
            ),
            ("p --filter a --config.a=b x", "p --filter a --config=a=b x"),
            ("p recursive run x", "p -r run x"),
            ("p run recursive", "p run recursive"),
            ("p m x m", "p -r x m"),
            ("p help", "p --help"),
            ("p help add", "p add --help"),
            ("p help nothing", "p help nothing"),
            ("p run help", "p run help"),
            ("p -s install -s", "p --silent install --silent"),
            ("p --json ls", "p ls --json"),
            (
                "p -r --depth 1 --json -C ls ls x",
                "p -r -C ls ls --depth 1 --json x",
            ),
            ("p --if-present -r run x --y", "p -r run --if-present x --y"),
            ("p --json x ls", "p --json x ls"),
            ("p --nope", "p --nope"),
            (
                "p install --shamefully-hoist --hoist-pattern x --prod=false -r",
                "p install --config=shamefully-hoist=true --config=hoist-pattern=x -r",
            ),
            (
                "p exec --no-hoist x --no-hoist",
                "p exec --config=hoist=false x --no-hoist",
            ),
            ("p -v", "p --version"),
            ("p run -s x", "p run -s x"),
            ("p", "p"),
        ] {
            let words = line.split(' ').map(OsString::from);
            let words = prepared(&Arguments::command(), words);
            let words: Vec<_> = words.iter().map(|word| word.to_string_lossy()).collect();
            assert_eq!(words.join(" "), expected);
        }
    }
}
