//! Versions of the user's programs, found without running them where that is possible.

use std::ffi::OsStr;
use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use crate::install::config::{Config, Environment};
use crate::install::semver::Version;

/// The version of `node`, `deno` or `bun` that `PATH` finds; `None` where there is none or it does
/// not say one.
pub fn program_version(name: &str, config: &Config, environment: &Environment) -> Option<String> {
    let path = environment.variable("PATH").map(AsRef::as_ref);
    let memory = config.cache_directory.join(format!("{name}-version"));
    version_of(name, path, &memory)
}

/// The same of the `PATH` `path`. Running Node costs 40 ms, so the answer is remembered in `memory`
/// together with the identity of the program file.
fn version_of(name: &str, path: Option<&OsStr>, memory: &Path) -> Option<String> {
    let program = find_program(name, path?)?;
    let facts = fs::metadata(&program).ok()?;
    let identity = format!(
        "{}\t{}\t{}\t{}\t{}",
        program.display(),
        facts.ino(),
        facts.size(),
        facts.mtime(),
        facts.mtime_nsec(),
    );
    let remembered = fs::read_to_string(memory).unwrap_or_default();
    if let Some((known, version)) = remembered.trim_end().split_once('\n')
        && known == identity
    {
        return Some(version.to_owned());
    }
    let output = Command::new(&program)
        .arg("--version")
        .stdin(Stdio::null())
        .output()
        .ok()?;
    let text = String::from_utf8(output.stdout).ok()?;
    // `v22.0.0`, `1.2.0`, and of Deno `deno 2.0.0 (…)`.
    let words = text.trim_start().trim_start_matches("deno ");
    let version = words.split_whitespace().next()?.trim_start_matches('v');
    Version::parse(version)?;
    remember(memory, &format!("{identity}\n{version}\n"));
    Some(version.to_owned())
}

/// Losing the memory costs one run of Node, so a failure to write it is no failure.
fn remember(memory: &Path, text: &str) {
    let Some(directory) = memory.parent() else {
        return;
    };
    if crate::sys::directory::make(directory).is_err() {
        return;
    }
    let _ = crate::sys::file::replace(memory, text.as_bytes(), None);
}

fn find_program(name: &str, path: &OsStr) -> Option<PathBuf> {
    std::env::split_paths(path)
        .map(|directory| directory.join(name))
        .find(|candidate| {
            fs::metadata(candidate).is_ok_and(|facts| facts.mode() & 0o111 != 0 && facts.is_file())
        })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn node_is_asked_once_for_each_program_file() {
        let scratch = tempfile::tempdir().expect("scratch");
        let program = scratch.path().join("node");
        let script = "#!/bin/sh\necho run >> \"$0.runs\"\necho v20.1.0\n";
        pacquet_test_registry::program::write(&program, script);
        let memory = scratch.path().join("cache/node");
        for _ in 0..3 {
            let version = version_of("node", Some(scratch.path().as_os_str()), &memory);
            assert_eq!(version.as_deref(), Some("20.1.0"));
        }
        let runs = fs::read_to_string(scratch.path().join("node.runs")).expect("a log");
        assert_eq!(runs, "run\n");
    }

    #[test]
    fn without_node_there_is_no_version() {
        let scratch = tempfile::tempdir().expect("scratch");
        assert!(version_of("node", Some(scratch.path().as_os_str()), scratch.path()).is_none());
        assert!(version_of("node", None, scratch.path()).is_none());
    }
}
