//! `install` without a mount: real files.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};
use std::path::Path;
use std::process::Command;

use pacquet_test_registry::{Package, generate, lockfile};
use serde_json::{Value, json};

use crate::project::{Project, can_mount, tree};

const INSTALL: [&str; 4] = [
    "install",
    "--no-virtual",
    "--frozen-lockfile",
    "--ignore-scripts",
];
const LINKERS: [&str; 2] = ["isolated", "hoisted"];

/// Installs, and gives what was said.
fn install_with(project: &Project, more: &[&str]) -> String {
    let arguments: Vec<&str> = INSTALL.iter().chain(more).copied().collect();
    let output = project.run(&arguments);
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(output.status.success(), "{arguments:?}: {said}");
    said
}

fn packages() -> Vec<Package> {
    vec![
        Package::new("left", "1.0.0")
            .file("index.js", "module.exports = 'left';\n")
            .executable("cli.js", "#!/bin/sh\necho left ran\n")
            .bin("left", "cli.js")
            .dependency("deep", "1.0.0"),
        Package::new("left", "2.0.0")
            .file("lib/new.js", "2")
            .dependency("deep", "2.0.0"),
        Package::new("@scope/right", "2.0.0")
            .file("index.js", "module.exports = 'right';\n")
            .dependency("deep", "1.0.0"),
        Package::new("deep", "1.0.0").file("a/b/c.js", "deep"),
        Package::new("deep", "2.0.0").file("a/b/c.js", "deeper"),
    ]
}

/// A project with one dependency list; `lock` writes another.
fn project(dependencies: Value) -> Project {
    let project = Project::new();
    for package in packages() {
        project.registry.publish(&package);
    }
    lock(&project, dependencies);
    project
}

fn lock(project: &Project, dependencies: Value) {
    let manifest = json!({ "name": "app", "version": "1.0.0", "dependencies": dependencies });
    project.write("package.json", &manifest.to_string());
    let text = lockfile::write(&manifest, &packages()).expect("the dependencies are there");
    project.write("pnpm-lock.yaml", &text);
}

fn first() -> Value {
    json!({ "left": "1.0.0", "@scope/right": "2.0.0" })
}

fn second() -> Value {
    json!({ "left": "2.0.0", "deep": "1.0.0" })
}

/// The tree without the files that tell the time.
fn plain(mut tree: BTreeMap<String, String>) -> BTreeMap<String, String> {
    tree.remove(".modules.yaml");
    tree.remove(".pnpm-workspace-state-v1.json");
    tree
}

fn inode(path: &Path) -> u64 {
    fs::symlink_metadata(path).expect("there").ino()
}

#[test]
fn the_written_tree_is_the_one_that_would_be_served() {
    if !can_mount("the_written_tree_is_the_one_that_would_be_served") {
        return;
    }
    for linker in LINKERS {
        let project = Project::new();
        let generated = generate::project(77, 60, 4);
        generated.publish(&project.registry);
        generated
            .write(&project.root(), &project.registry)
            .expect("written");
        let linker = ["--node-linker", linker];
        install_with(&project, &linker);
        assert!(!project.is_mounted());
        let written = plain(project.tree());
        fs::remove_dir_all(project.node_modules()).expect("removed");
        let mut serve = vec![
            "install",
            "--virtual",
            "--frozen-lockfile",
            "--ignore-scripts",
        ];
        serve.extend(linker);
        project.succeed(&serve);
        assert!(project.is_mounted());
        assert!(plain(project.tree()) == written, "{linker:?}");
    }
}

#[test]
fn commands_run_and_modes_are_those_of_pnpm() {
    let project = project(first());
    install_with(&project, &[]);
    let modules = project.node_modules();
    let output = Command::new(modules.join(".bin/left"))
        .output()
        .expect("it starts");
    assert_eq!(String::from_utf8_lossy(&output.stdout), "left ran\n");
    let mode = |path: &str| {
        let facts = fs::symlink_metadata(modules.join(path)).expect("there");
        facts.permissions().mode() & 0o777
    };
    assert_eq!(mode("left/cli.js"), 0o755);
    assert_eq!(mode("left/index.js"), 0o644);
    assert_eq!(mode(".pnpm/left@1.0.0"), 0o755);
    assert_eq!(mode(".modules.yaml"), 0o644);
}

#[test]
fn only_what_changed_is_written_and_what_is_gone_is_removed() {
    for linker in LINKERS {
        let linker = ["--node-linker", linker];
        let project = project(first());
        install_with(&project, &linker);
        let deep = fs::canonicalize(match linker[1] {
            "hoisted" => project.node_modules().join("deep"),
            _ => project
                .node_modules()
                .join(".pnpm/deep@1.0.0/node_modules/deep"),
        })
        .expect("there");
        let before = inode(&deep);
        lock(&project, second());
        install_with(&project, &linker);
        let changed = plain(project.tree());
        assert_eq!(
            inode(&deep),
            before,
            "{linker:?}: what stays is not written again"
        );
        fs::remove_dir_all(project.node_modules()).expect("removed");
        install_with(&project, &linker);
        assert!(plain(project.tree()) == changed, "{linker:?}");
        assert!(
            !changed.keys().any(|path| path.contains("right")),
            "{linker:?}"
        );
        lock(&project, first());
        install_with(&project, &linker);
        let back = plain(project.tree());
        fs::remove_dir_all(project.node_modules()).expect("removed");
        install_with(&project, &linker);
        assert!(plain(project.tree()) == back, "{linker:?}");
    }
}

#[test]
fn a_second_install_has_nothing_to_do_until_something_is_missing() {
    let project = project(first());
    install_with(&project, &[]);
    let modules = inode(&project.node_modules().join(".modules.yaml"));
    assert!(install_with(&project, &[]).contains("Already up to date"));
    assert_eq!(
        inode(&project.node_modules().join(".modules.yaml")),
        modules
    );
    let expected = plain(project.tree());
    for path in ["left", "@scope/right", ".pnpm/lock.yaml"] {
        fs::remove_file(project.node_modules().join(path)).expect("removed");
        install_with(&project, &[]);
        assert!(plain(project.tree()) == expected, "{path}");
    }
    fs::remove_dir_all(project.node_modules().join(".pnpm/deep@1.0.0")).expect("removed");
    fs::remove_file(project.node_modules().join("left")).expect("removed");
    install_with(&project, &[]);
    assert!(plain(project.tree()) == expected);
}

#[test]
fn one_linker_follows_the_other_and_the_mount_both() {
    let project = project(first());
    let mut trees = BTreeMap::new();
    for linker in LINKERS {
        let _ = fs::remove_dir_all(project.node_modules());
        install_with(&project, &["--node-linker", linker]);
        trees.insert(linker, plain(project.tree()));
    }
    for linker in ["isolated", "hoisted", "isolated"] {
        install_with(&project, &["--node-linker", linker]);
        assert!(plain(project.tree()) == trees[linker], "{linker}");
        if can_mount("one_linker_follows_the_other_and_the_mount_both") {
            project.install();
            assert!(project.is_mounted());
            assert!(plain(project.tree()) == trees["isolated"], "served");
            install_with(&project, &["--node-linker", linker]);
            assert!(!project.is_mounted());
            assert!(
                plain(project.tree()) == trees[linker],
                "{linker} after the mount"
            );
        }
    }
}

#[test]
fn what_is_not_an_installers_stays() {
    for linker in LINKERS {
        let project = project(first());
        let modules = project.node_modules();
        project.write("node_modules/left/mine.js", "mine");
        project.write("node_modules/other/a.js", "other");
        project.write("node_modules/.cache/tool", "cache");
        project.write("outside/a.js", "outside");
        symlink("../outside", modules.join("linked")).expect("linked");
        symlink("../../outside", modules.join("other/link")).expect("linked");
        let install = ["--node-linker", linker];
        for dependencies in [first(), second()] {
            lock(&project, dependencies);
            install_with(&project, &install);
            let read = |path: &str| fs::read_to_string(modules.join(path)).expect("there");
            assert_eq!(read(".ignored_left/mine.js"), "mine", "{linker}");
            assert_eq!(read("other/a.js"), "other");
            assert_eq!(read(".cache/tool"), "cache");
            assert_eq!(read("linked/a.js"), "outside");
            assert!(!modules.join("left/mine.js").exists());
        }
    }
}

#[test]
fn nothing_is_written_through_a_symlink() {
    for (link, at) in [
        ("node_modules/.pnpm", ".pnpm"),
        ("node_modules/@scope", "@scope"),
        ("node_modules/.bin", ".bin"),
    ] {
        for linker in LINKERS {
            let project = project(first());
            project.write("outside/keep.js", "keep");
            fs::create_dir(project.node_modules()).expect("made");
            symlink("../outside", project.root().join(link)).expect("linked");
            install_with(&project, &["--node-linker", linker]);
            let outside: Vec<_> = tree(&project.root().join("outside")).into_keys().collect();
            assert_eq!(outside, ["keep.js"], "{link} {linker}");
            let kind = fs::symlink_metadata(project.node_modules().join(at)).expect("there");
            assert!(kind.is_dir(), "{link} {linker}");
        }
    }
    let project = project(first());
    project.write("outside/keep.js", "keep");
    symlink("outside", project.node_modules()).expect("linked");
    let said = project.fail(&INSTALL);
    assert!(said.contains("ERR_PACQUET_IN_THE_WAY"), "{said}");
    assert_eq!(
        fs::read_dir(project.root().join("outside"))
            .expect("there")
            .count(),
        1
    );
}

#[test]
fn every_way_of_importing_gives_the_same_tree() {
    let project = project(first());
    install_with(&project, &[]);
    let expected = plain(project.tree());
    let file = project
        .node_modules()
        .join(".pnpm/deep@1.0.0/node_modules/deep/a/b/c.js");
    assert_eq!(
        fs::metadata(&file).expect("there").nlink(),
        2,
        "linked to the store"
    );
    for (method, links) in [("hardlink", 2), ("copy", 1), ("clone-or-copy", 1)] {
        fs::remove_dir_all(project.node_modules()).expect("removed");
        project.write(
            "pnpm-workspace.yaml",
            &format!("packageImportMethod: {method}\n"),
        );
        install_with(&project, &[]);
        assert!(plain(project.tree()) == expected, "{method}");
        assert_eq!(
            fs::metadata(&file).expect("there").nlink(),
            links,
            "{method}"
        );
    }
}

#[test]
fn what_a_program_wrote_through_a_hard_link_reaches_no_other_project() {
    let project = project(first());
    install_with(&project, &[]);
    let expected = plain(project.tree());
    let file = project
        .node_modules()
        .join(".pnpm/deep@1.0.0/node_modules/deep/a/b/c.js");
    for change in ["changed", "deep"] {
        fs::write(&file, change).expect("written");
        fs::remove_dir_all(project.node_modules()).expect("removed");
        install_with(&project, &[]);
        assert!(plain(project.tree()) == expected, "{change}");
    }
    project.succeed(&["store", "verify"]);
}

#[test]
fn packages_with_scripts_share_no_file() {
    let project = Project::new();
    let package = Package::new("built", "1.0.0")
        .file("index.js", "x")
        .script("install", "exit 0");
    project.registry.publish(&package);
    let manifest = json!({ "name": "app", "dependencies": { "built": "1.0.0" } });
    project.write("package.json", &manifest.to_string());
    let text = lockfile::write(&manifest, &[package]).expect("locked");
    project.write("pnpm-lock.yaml", &text);
    install_with(&project, &[]);
    let file = project.node_modules().join("built/index.js");
    assert_eq!(fs::metadata(file).expect("there").nlink(), 1);
}

#[test]
fn a_workspace_has_a_tree_for_each_project() {
    for linker in LINKERS {
        let project = Project::new();
        for package in packages() {
            project.registry.publish(&package);
        }
        let root = json!({ "name": "root", "dependencies": { "left": "1.0.0" } });
        let one = json!({ "name": "one", "dependencies": { "left": "2.0.0" } });
        project.write("package.json", &root.to_string());
        project.write("packages/one/package.json", &one.to_string());
        project.write("pnpm-workspace.yaml", "packages:\n  - packages/*\n");
        let importers = [(".", root), ("packages/one", one)];
        let text = lockfile::write_workspace(&importers, &packages()).expect("locked");
        project.write("pnpm-lock.yaml", &text);
        install_with(&project, &["--node-linker", linker]);
        let read = |path: &str| fs::read_to_string(project.root().join(path)).expect("there");
        assert_eq!(
            read("packages/one/node_modules/left/lib/new.js"),
            "2",
            "{linker}"
        );
        assert!(
            read("node_modules/left/index.js").contains("left"),
            "{linker}"
        );
        let said = install_with(&project, &["--node-linker", linker]);
        assert!(said.contains("Already up to date"), "{said}");
    }
}

#[test]
fn whether_to_serve_can_be_set_in_every_place() {
    if !can_mount("whether_to_serve_can_be_set_in_every_place") {
        return;
    }
    let project = project(first());
    let npmrc = format!("registry={}\n", project.registry.url());
    let install = ["install", "--frozen-lockfile", "--ignore-scripts"];
    for (place, served) in [
        ("nowhere", false),
        ("pnpm-workspace.yaml", true),
        // What is served stays served, and what is not stays real.
        ("nowhere", true),
        ("flag", false),
        ("nowhere", false),
        (".npmrc", true),
        ("environment", true),
        ("flag", false),
    ] {
        let workspace = project.root().join("pnpm-workspace.yaml");
        let _ = fs::remove_file(&workspace);
        project.write(".npmrc", &npmrc);
        let mut command = project.command(&install);
        match place {
            "pnpm-workspace.yaml" => project.write(place, "virtual: true\n"),
            ".npmrc" => project.write(place, &format!("{npmrc}virtual=true\n")),
            "environment" => {
                command.env("PACQUET_VIRTUAL", "true");
            }
            "flag" => {
                command.env("PACQUET_VIRTUAL", "true").arg("--no-virtual");
            }
            _ => {}
        }
        let output = command.output().expect("it starts");
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{place}: {said}");
        assert_eq!(project.is_mounted(), served, "{place}: {said}");
        assert!(
            project.node_modules().join("left/index.js").exists(),
            "{place}"
        );
    }
}

/// Runs the program where `/dev` is empty.
fn without_devices(project: &Project, more: &[&str]) -> Option<String> {
    let program = project.command(&[]);
    let script = "mount -t tmpfs none /dev && exec \"$0\" \"$@\"";
    let mut command = Command::new("unshare");
    command
        .args(["--mount", "sh", "-c", script])
        .arg(program.get_program());
    command
        .args(["install", "--frozen-lockfile", "--ignore-scripts"])
        .args(more);
    command.current_dir(project.root()).env_clear();
    let variables = program.get_envs();
    command.envs(variables.filter_map(|(name, value)| Some((name, value?))));
    let output = command.output().expect("it starts");
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    if said.contains("unshare:") {
        eprintln!("skipped: {said}");
        return None;
    }
    assert!(output.status.success(), "{said}");
    Some(said)
}

#[test]
fn auto_writes_real_files_where_nothing_can_be_served_and_says_why() {
    let project = project(first());
    let Some(said) = without_devices(&project, &["--virtual=auto"]) else {
        return;
    };
    let lines: Vec<&str> = said
        .lines()
        .filter(|line| line.contains("/dev/fuse"))
        .collect();
    assert_eq!(lines.len(), 1, "{said}");
    assert!(lines[0].contains("real files"), "{said}");
    assert!(!project.is_mounted());
    assert!(project.node_modules().join("left/index.js").is_file());
}

#[test]
fn what_was_nested_goes_with_the_reason_for_it() {
    let project = Project::new();
    for package in [
        Package::new("outer", "1.0.0").dependency("inner", "1.0.0"),
        Package::new("inner", "1.0.0")
            .file("tool.js", "#!/usr/bin/env node\n")
            .bin("tool", "tool.js"),
        Package::new("inner", "2.0.0"),
    ] {
        project.registry.publish(&package);
    }
    project.write("pnpm-workspace.yaml", "nodeLinker: hoisted\n");
    project.write(
        "package.json",
        r#"{"dependencies":{"outer":"1.0.0"},"devDependencies":{"inner":"2.0.0"}}"#,
    );
    project.succeed(&["install", "--no-virtual"]);
    let nested = project.node_modules().join("outer/node_modules");
    assert!(nested.join("inner/package.json").exists());
    fs::write(project.node_modules().join("outer/own.txt"), "kept").expect("written");
    project.succeed(&["install", "--no-virtual", "--prod"]);
    let hoisted = project.node_modules().join("inner/package.json");
    let hoisted = fs::read_to_string(hoisted).expect("there");
    assert!(hoisted.contains("1.0.0"), "{hoisted}");
    assert!(!nested.exists());
    assert!(project.node_modules().join("outer/own.txt").exists());
}

/// A copy of a project that is put away for the link to it has its place again at the next install.
#[test]
fn a_copy_that_a_link_puts_aside_is_put_aside_once() {
    let copied = r#"{ "dependencies": { "b": "workspace:*" },
        "dependenciesMeta": { "b": { "injected": true } } }"#;
    let project = Project::workspace(
        &[],
        "nodeLinker: hoisted\ndedupeInjectedDeps: false\n",
        &[
            ("a", copied),
            ("b", r#"{ "name": "b", "version": "1.0.0" }"#),
        ],
    );
    project.write(
        "package.json",
        r#"{ "dependencies": { "b": "workspace:*" } }"#,
    );
    let names = || {
        let names = fs::read_dir(project.node_modules()).expect("a directory");
        let names = names.map(|entry| entry.expect("an entry").file_name().into_string());
        let mut names: Vec<_> = names.map(|name| name.expect("a name")).collect();
        names.retain(|name| name.starts_with(".ignored_"));
        names
    };
    for turn in 0..3 {
        project.succeed(&["install", "--no-virtual"]);
        assert_eq!(names(), [".ignored_b"], "{turn}");
    }
}
