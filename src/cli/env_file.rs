//! `--env-file`: variables out of files in the form that Node reads too (`node --env-file`).

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use super::failure::Failure;
use crate::sys::process;

/// Sets what `files` say, the later ones first. What is in the environment stays. No thread may
/// have been started yet.
pub(super) fn load(files: &[PathBuf]) -> Result<(), Failure> {
    let mut variables = BTreeMap::new();
    for path in files {
        variables.extend(parsed(&read(path)?));
    }
    variables.retain(|name, _| std::env::var_os(name).is_none());
    process::set_variables(&variables).map_err(|cause| {
        let sentence = "The variables of --env-file cannot be set";
        Failure::io("ERR_PNPM_ENV_FILE_READ", sentence, cause)
    })
}

fn read(path: &Path) -> Result<String, Failure> {
    fs::read_to_string(path).map_err(|cause| {
        let sentence = format!("Failed to read env file '{}'", path.display());
        Failure::io("ERR_PNPM_ENV_FILE_READ", &sentence, cause)
    })
}

/// `NAME=value`, one a line. A value in quotes may have several lines; `\n` is a line feed in
/// double quotes. Nothing is put in the place of `$NAME`.
fn parsed(text: &str) -> Vec<(String, String)> {
    let text = text.replace('\r', "");
    let mut rest = text.as_str();
    let mut found = Vec::new();
    while !rest.is_empty() {
        let line = rest.split('\n').next().unwrap_or_default();
        let begin = line.trim_start();
        let Some((name, _)) = line.split_once('=').filter(|_| !begin.starts_with('#')) else {
            rest = after_line(rest);
            continue;
        };
        let (value, after) = value(&rest[name.len() + 1..]);
        rest = after;
        let name = name.trim();
        let name = name.strip_prefix("export ").unwrap_or(name).trim();
        if !name.is_empty() && !name.contains('\0') && !value.contains('\0') {
            found.push((name.to_owned(), value));
        }
    }
    found
}

/// What follows the first line.
fn after_line(text: &str) -> &str {
    text.split_once('\n').map_or("", |(_, rest)| rest)
}

/// The value at the beginning of `text`, and what follows its line.
fn value(text: &str) -> (String, &str) {
    let begin = text.trim_start_matches([' ', '\t']);
    let quote = begin.chars().next().filter(|one| "\"'`".contains(*one));
    let quoted = quote.and_then(|quote| begin[1..].split_once(quote));
    if let (Some(quote), Some((inside, after))) = (quote, quoted) {
        let value = match quote {
            '"' => inside.replace("\\n", "\n"),
            _ => inside.to_owned(),
        };
        return (value, after_line(after));
    }
    let line = text.split('\n').next().unwrap_or_default();
    let value = line.split('#').next().unwrap_or_default().trim();
    (value.to_owned(), after_line(text))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_are_read_as_node_reads_them() {
        let text = "# a comment\nA=1\nexport B = two words # after\n\nQ=\"quo\\nted ${A}\" x\n\
                    M='single $A \\n'\nX=a#b\nEMPTY=\nbad line\nY=`tick`\nZ=\"multi\nline\"\r\n\
                    W=${A}-$A\nOPEN=\"x\n =no name\nLAST= end ";
        let expected = [
            ("A", "1"),
            ("B", "two words"),
            ("Q", "quo\nted ${A}"),
            ("M", "single $A \\n"),
            ("X", "a"),
            ("EMPTY", ""),
            ("Y", "tick"),
            ("Z", "multi\nline"),
            ("W", "${A}-$A"),
            ("OPEN", "\"x"),
            ("LAST", "end"),
        ];
        let found = parsed(text);
        let found: Vec<_> = found
            .iter()
            .map(|(name, value)| (&**name, &**value))
            .collect();
        assert_eq!(found, expected);
    }
}
