//! Lockfiles that pnpm wrote: read, written back, selected from.

use std::fs;

use pacquet::diagnostic::Diagnostic;
use pacquet::install::lockfile::{
    ImporterId, read_current_lockfile, read_lockfile, write_lockfile,
};
use pacquet::install::select::{
    Host, IncludedGroups, Incompatible, SelectionOptions, SupportedArchitectures,
    SupportedPlatforms, current_lockfile, select,
};
use pacquet_test_registry::Package;
use proptest::prelude::*;

use crate::project::Project;

/// Written by pnpm 12.21 for the projects of the specification.
const LOCKFILES: [(&str, &str); 4] = [
    ("isolated", include_str!("../data/lockfile/isolated.yaml")),
    ("workspace", include_str!("../data/lockfile/workspace.yaml")),
    ("local", include_str!("../data/lockfile/local.yaml")),
    ("settings", include_str!("../data/lockfile/settings.yaml")),
];

/// `node_modules/.pnpm/lock.yaml` of one project, installed with all groups and with some.
const CURRENT_FULL: &str = include_str!("../data/lockfile/current/full.yaml");
const CURRENT_PRODUCTION: &str = include_str!("../data/lockfile/current/prod.yaml");
const CURRENT_DEVELOPMENT: &str = include_str!("../data/lockfile/current/dev.yaml");
const CURRENT_NO_OPTIONAL: &str = include_str!("../data/lockfile/current/nooptional.yaml");

fn linux() -> SupportedPlatforms {
    let host = Host {
        os: "linux".into(),
        cpu: "x64".into(),
        libc: Some("glibc".into()),
    };
    SupportedPlatforms::new(&host, &SupportedArchitectures::default())
}

#[test]
fn lockfiles_are_written_back_byte_for_byte() {
    for (name, text) in LOCKFILES {
        let lockfile = read_lockfile(text).expect(name);
        assert_eq!(write_lockfile(&lockfile), text, "{name}");
        // What a Windows checkout or an editor may have done to it does not count.
        let windows = format!("\u{feff}{}", text.replace('\n', "\r\n"));
        assert_eq!(read_lockfile(&windows).expect(name), lockfile, "{name}");
        let environment = "lockfileVersion: '9.0'\n\nimporters:\n\n  .: {}";
        let with_environment = format!("---\n{environment}\n---\n{text}");
        let lockfile = read_lockfile(&with_environment).expect(name);
        assert_eq!(lockfile.environment_document.as_deref(), Some(environment));
        assert_eq!(write_lockfile(&lockfile), with_environment, "{name}");
    }
}

#[test]
fn the_current_lockfile_is_what_pnpm_keeps() {
    let lockfile = read_lockfile(CURRENT_FULL).expect("a lockfile");
    let all = IncludedGroups::ALL;
    for (included, expected) in [
        (all, CURRENT_FULL),
        (
            IncludedGroups {
                development: false,
                ..all
            },
            CURRENT_PRODUCTION,
        ),
        (
            IncludedGroups {
                production: false,
                ..all
            },
            CURRENT_DEVELOPMENT,
        ),
        (
            IncludedGroups {
                optional: false,
                ..all
            },
            CURRENT_NO_OPTIONAL,
        ),
    ] {
        let current = current_lockfile(&lockfile, None, included).expect("a lockfile");
        assert_eq!(write_lockfile(&current), expected, "{included:?}");
        assert_eq!(
            read_current_lockfile(expected).as_ref(),
            Ok(&current),
            "{included:?}"
        );
    }
    // It lacks optional dependencies that it names, which a project's own lockfile must not.
    let error = read_lockfile(CURRENT_NO_OPTIONAL).expect_err("dangling references");
    assert_eq!(error.code(), "ERR_PNPM_LOCKFILE_MISSING_DEPENDENCY");
}

#[test]
fn what_pnpm_skips_is_skipped() {
    let platforms = linux();
    for (name, skipped) in [
        (
            "isolated",
            include_str!("../data/lockfile/isolated.skipped.json"),
        ),
        (
            "workspace",
            include_str!("../data/lockfile/workspace.skipped.json"),
        ),
    ] {
        let (_, text) = LOCKFILES
            .into_iter()
            .find(|(found, _)| *found == name)
            .expect(name);
        let lockfile = read_lockfile(text).expect(name);
        let options = SelectionOptions {
            importers: None,
            included: IncludedGroups::ALL,
            platforms: &platforms,
            node_version: Some("20.20.2"),
            incompatible: Incompatible::Refuse,
            node_linker: pacquet::install::config::NodeLinker::Isolated,
        };
        let selection = select(&lockfile, &options).expect(name);
        let expected: Vec<String> = serde_json::from_str(skipped).expect("a list");
        let found: Vec<&str> = selection
            .skipped
            .iter()
            .map(|dep_path| dep_path.as_str())
            .collect();
        assert_eq!(found, expected, "{name}");
        let total = selection.packages.len() + selection.skipped.len();
        assert_eq!(total, lockfile.snapshots.len(), "{name}");
    }
}

#[test]
fn a_chain_of_two_hundred_thousand_packages_needs_no_recursion() {
    let count = 200_000;
    let mut text = String::from(
        "lockfileVersion: '9.0'\n\nimporters:\n\n  .:\n    dependencies:\n      p:\n        \
         specifier: 1.0.0\n        version: 1.0.0\n\npackages:\n",
    );
    for index in 0..count {
        text += &format!("\n  p@1.0.{index}:\n    resolution: {{integrity: sha512-AA==}}\n");
    }
    text += "\nsnapshots:\n";
    for index in 0..count {
        // The last one closes a cycle.
        let next = (index + 1) % count;
        text += &format!("\n  p@1.0.{index}:\n    dependencies:\n      p: 1.0.{next}\n");
    }
    let lockfile = read_lockfile(&text).expect("a lockfile");
    let platforms = linux();
    let options = SelectionOptions {
        importers: Some(&[ImporterId(None)]),
        included: IncludedGroups::ALL,
        platforms: &platforms,
        node_version: None,
        incompatible: Incompatible::Warn,
        node_linker: pacquet::install::config::NodeLinker::Isolated,
    };
    let selection = select(&lockfile, &options).expect("a selection");
    assert_eq!(selection.packages.len(), count);
    let current = current_lockfile(&lockfile, None, IncludedGroups::ALL).expect("a lockfile");
    assert_eq!(current.snapshots.len(), count);
}

proptest! {
    #[test]
    fn no_text_makes_the_reader_panic(text in ".*") {
        let _ = read_lockfile(&text);
    }

    #[test]
    fn no_text_of_yaml_makes_the_reader_panic(
        text in "([-?:,\\[\\]{}#&*!|>'\"%@` \n\ta-c0-9+\\\\]|  |: |- |\n  ){0,60}"
    ) {
        let _ = read_lockfile(&format!("lockfileVersion: '9.0'\n{text}"));
    }

    /// A lockfile with a piece cut out and another put in is refused, or is one that reads back.
    #[test]
    fn no_damage_makes_the_reader_panic_or_the_writer_lie(
        which in 0..LOCKFILES.len(),
        start in 0.0..1.0_f64,
        length in 0..40_usize,
        inserted in "[-?:,\\[\\]{}#|>'\" \na-z0-9@()/.]{0,6}",
    ) {
        let (_, text) = LOCKFILES[which];
        let start = (text.len() as f64 * start) as usize;
        let end = (start + length).min(text.len());
        let damaged = format!("{}{inserted}{}", &text[..start], &text[end..]);
        if let Ok(lockfile) = read_current_lockfile(&damaged) {
            let written = write_lockfile(&lockfile);
            prop_assert_eq!(read_current_lockfile(&written), Ok(lockfile));
        }
    }
}

#[test]
fn an_empty_lockfile_is_none() {
    let project = Project::new();
    project.registry.publish(&Package::new("leaf", "1.0.0"));
    project.write("package.json", r#"{"dependencies":{"leaf":"1.0.0"}}"#);
    for text in ["", "\n \n"] {
        project.write("pnpm-lock.yaml", text);
        let said = project.fail(&["install", "--frozen-lockfile"]);
        assert!(said.contains("ERR_PNPM_NO_LOCKFILE"), "{said}");
        let mut command = project.command(&["install", "--no-virtual"]);
        if text.is_empty() {
            command.env("CI", "true");
        }
        assert!(command.status().expect("it ran").success());
        let written = fs::read_to_string(project.root().join("pnpm-lock.yaml")).expect("written");
        assert!(written.contains("leaf@1.0.0"), "{written}");
    }
}

#[test]
fn what_refers_to_nothing_is_mended_where_that_is_asked_for() {
    let project = Project::new();
    for package in [
        Package::new("top", "1.0.0").dependency("leaf", "^1.0.0"),
        Package::new("leaf", "1.0.0"),
        Package::new("leaf", "1.1.0"),
        Package::new("other", "1.0.0"),
    ] {
        project.registry.publish(&package);
    }
    let manifest = r#"{"dependencies":{"top":"^1.0.0","leaf":"1.0.0","other":"1.0.0"}}"#;
    project.write("package.json", manifest);
    project.succeed(&["install", "--lockfile-only"]);
    let path = project.root().join("pnpm-lock.yaml");
    let whole = fs::read_to_string(&path).expect("written");
    let (front, back) = whole.split_once("snapshots:").expect("snapshots");
    let dangling = format!(
        "{front}snapshots:{}",
        back.replace("  leaf@1.0.0: {}\n\n", "")
    );
    for flags in [&["--lockfile-only"][..], &["--no-virtual"]] {
        fs::write(&path, &dangling).expect("written");
        let said = project.fail(&[&["install"], flags].concat());
        assert!(
            said.contains("ERR_PNPM_LOCKFILE_MISSING_DEPENDENCY"),
            "{said}"
        );
        assert!(said.contains("--fix-lockfile"), "{said}");
        project.succeed(&[&["install", "--fix-lockfile"], flags].concat());
        assert_eq!(fs::read_to_string(&path).expect("written"), whole);
    }
}
