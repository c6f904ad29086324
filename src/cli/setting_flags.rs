//! Settings as flags (`--shamefully-hoist`, `--hoist-pattern=x`), and `--flag=false`: pnpm takes
//! both of every command.

use clap::{ArgAction, Command};

use super::absent;
use super::words::argument;
use crate::install::config::{SettingForm, camel_case, setting_form};

/// What is meant by a flag.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Meaning {
    /// This word, where there is one.
    Word(Option<String>),
    /// This setting, of which the next word is the value.
    Setting(String),
}

/// What is meant by `word`, where that is not what it says. `program` has the flags that every
/// command takes, `own` those of the command, which are made only where they are asked for.
pub(super) fn meaning<'c>(
    program: &'c Command,
    own: impl FnOnce() -> Option<&'c Command>,
    word: &str,
) -> Option<Meaning> {
    let rest = word.strip_prefix("--").filter(|rest| !rest.is_empty())?;
    let (name, value) = match rest.split_once('=') {
        Some((name, value)) => (name, Some(value)),
        None => (rest, None),
    };
    let as_setting = setting(name, value);
    let is_said = matches!(value, Some("true" | "false"));
    if as_setting.is_none() && !is_said {
        return None;
    }
    let own = own();
    let find = |name: &str| {
        let flag = format!("--{name}");
        let known = argument(program, &flag);
        known.or_else(|| own.and_then(|own| argument(own, &flag)))
    };
    let Some(known) = find(name) else {
        return as_setting.filter(|_| absent::flag(word).is_none());
    };
    if !is_said || !matches!(known.get_action(), ArgAction::SetTrue) {
        return None;
    }
    let opposite = match name.strip_prefix("no-") {
        Some(positive) => positive.to_owned(),
        None => format!("no-{name}"),
    };
    Some(Meaning::Word(match value {
        Some("true") => Some(format!("--{name}")),
        _ => find(&opposite).map(|_| format!("--{opposite}")),
    }))
}

fn setting(name: &str, value: Option<&str>) -> Option<Meaning> {
    let written = |name: &str, value: &str| Meaning::Word(Some(format!("--config={name}={value}")));
    match (setting_form(&camel_case(name)), value) {
        (Some(_), Some(value)) => Some(written(name, value)),
        (Some(SettingForm::Value), None) => Some(Meaning::Setting(name.to_owned())),
        (Some(SettingForm::Switch), None) => Some(written(name, "true")),
        (None, _) => {
            let positive = name.strip_prefix("no-").filter(|_| value.is_none())?;
            let form = setting_form(&camel_case(positive))?;
            (form == SettingForm::Switch).then(|| written(positive, "false"))
        }
    }
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;
    use crate::cli::arguments::Arguments;

    #[test]
    fn settings_are_flags_and_switches_may_be_said_to_be_off() {
        let program = Arguments::command();
        let install = program.find_subcommand("install").unwrap();
        let word = |text: &str| Some(Meaning::Word(Some(text.to_owned())));
        for (flag, expected) in [
            ("--shamefully-hoist", word("--config=shamefully-hoist=true")),
            (
                "--no-strict-peer-dependencies",
                word("--config=strict-peer-dependencies=false"),
            ),
            (
                "--strict-peer-dependencies=false",
                word("--config=strict-peer-dependencies=false"),
            ),
            ("--modules-dir=x", word("--config=modules-dir=x")),
            (
                "--hoist-pattern",
                Some(Meaning::Setting("hoist-pattern".to_owned())),
            ),
            ("--frozen-lockfile=false", word("--no-frozen-lockfile")),
            ("--no-frozen-lockfile=false", word("--frozen-lockfile")),
            ("--recursive=true", word("--recursive")),
            ("--prod=false", Some(Meaning::Word(None))),
            ("--prod", None),
            ("--store-dir=x", None),
            ("--store-dir", None),
            ("--frozen-store", word("--config=frozen-store=true")),
            ("--nothing", None),
            ("--no-modules-dir", None),
            ("--", None),
        ] {
            assert_eq!(
                meaning(&program, || Some(install), flag),
                expected,
                "{flag}"
            );
        }
    }
}
