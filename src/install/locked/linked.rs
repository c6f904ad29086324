//! The commands of directories that are linked and not stored: workspace projects and `link:`s.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::Read;
use std::path::Path;

use serde_json::Value;

use crate::install::manifest::Manifest;
use crate::name::{BinName, RelativePath};
use crate::store::{Bin, BinRunner};

/// The commands that the manifest of `directory` declares, sorted by name.
///
/// These directories are the user's own and change while they are worked on, so a command with an
/// unusable name or target is left out instead of ending the install; a target that is not there
/// yet is linked, as pnpm does for what a build will make.
pub(super) fn commands(manifest: &Manifest, directory: &Path) -> Vec<Bin> {
    let mut found = BTreeMap::new();
    let mut add = |name: &str, target: &str| {
        let name = name.rsplit_once('/').map_or(name, |(_, bare)| bare);
        let target = target.trim_start_matches("./");
        if let (Ok(name), Ok(target)) = (BinName::new(name), RelativePath::new(target)) {
            let runner = runner(directory, &target);
            found.insert(
                name.clone(),
                Bin {
                    name,
                    target,
                    runner,
                },
            );
        }
    };
    match &manifest.bin {
        Some(Value::String(target)) => {
            if let Some(name) = &manifest.name {
                add(name, target);
            }
        }
        Some(Value::Object(commands)) => {
            for (name, target) in commands {
                if let Value::String(target) = target {
                    add(name, target);
                }
            }
        }
        _ => {
            for (name, target) in files_of(manifest.bin_directory.as_deref(), directory) {
                add(&name, &target);
            }
        }
    }
    found.into_values().collect()
}

/// The regular files directly in `directories.bin`.
fn files_of(bin_directory: Option<&str>, directory: &Path) -> Vec<(String, String)> {
    let Some(bin_directory) = bin_directory else {
        return Vec::new();
    };
    let bin_directory = bin_directory.trim_start_matches("./").trim_end_matches('/');
    if RelativePath::new(bin_directory).is_err() {
        return Vec::new();
    }
    let Ok(entries) = std::fs::read_dir(directory.join(bin_directory)) else {
        return Vec::new();
    };
    entries
        .flatten()
        .filter(|entry| entry.file_type().is_ok_and(|kind| kind.is_file()))
        .filter_map(|entry| entry.file_name().into_string().ok())
        .map(|name| (name.clone(), format!("{bin_directory}/{name}")))
        .collect()
}

fn runner(directory: &Path, target: &RelativePath) -> BinRunner {
    let mut start = Vec::with_capacity(BinRunner::START_BYTES);
    let read = File::open(directory.join(target.as_str())).and_then(|file| {
        file.take(BinRunner::START_BYTES as u64)
            .read_to_end(&mut start)
    });
    if read.is_err() {
        start.clear();
    }
    BinRunner::of(&start, target.as_str())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(bin: Value) -> Vec<(String, String, BinRunner)> {
        let scratch = tempfile::tempdir().expect("scratch");
        std::fs::write(scratch.path().join("cli.js"), "#!/usr/bin/env node\n").expect("a file");
        let manifest = Manifest {
            name: Some("@scope/tool".into()),
            bin: Some(bin),
            ..Manifest::default()
        };
        commands(&manifest, scratch.path())
            .into_iter()
            .map(|bin| (bin.name.to_string(), bin.target.to_string(), bin.runner))
            .collect()
    }

    #[test]
    fn a_single_command_has_the_name_of_the_package() {
        let expected = vec![("tool".into(), "cli.js".into(), BinRunner::Shebang)];
        assert_eq!(names(Value::from("./cli.js")), expected);
    }

    #[test]
    fn unusable_commands_are_left_out_and_missing_targets_are_not() {
        let bin = serde_json::json!({
            "a": "missing.js", "..": "x", "b": "../x", "c": 1, "@s/d": "/abs", "e": "run"
        });
        let expected = vec![
            (
                "a".into(),
                "missing.js".into(),
                BinRunner::Program("node".into()),
            ),
            ("e".into(), "run".into(), BinRunner::Direct),
        ];
        assert_eq!(names(bin), expected);
    }
}
