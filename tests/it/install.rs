//! `install --virtual` from the outside: the program, a registry, a real mount.

use std::fs;
use std::process::Command;

use pacquet_test_registry::tarball::{Entry, TarballBuilder};
use pacquet_test_registry::{Fault, Package, When};
use serde_json::{Value, json};

use crate::project::{Project, can_mount};

fn simple() -> Project {
    let manifest = json!({
        "name": "app", "version": "1.0.0",
        "dependencies": { "left": "1.0.0", "@scope/right": "2.0.0" }
    });
    let packages = [
        Package::new("left", "1.0.0")
            .file("index.js", "module.exports = 'left';\n")
            .executable("cli.js", "#!/usr/bin/env node\nconsole.log('left ran');\n")
            .bin("left", "cli.js")
            .dependency("deep", "1.0.0"),
        Package::new("@scope/right", "2.0.0").file("index.js", "module.exports = 'right';\n"),
        Package::new("deep", "1.0.0").file("index.js", "module.exports = 'deep';\n"),
    ];
    Project::locked(&manifest, &packages)
}

#[test]
fn a_locked_project_is_installed_served_used_and_taken_down() {
    if !can_mount("a_locked_project_is_installed_served_used_and_taken_down") {
        return;
    }
    let project = simple();
    project.install();
    assert!(project.is_mounted());
    let tree = project.tree();
    assert_eq!(tree["left"], "l .pnpm/left@1.0.0/node_modules/left");
    assert_eq!(
        tree["@scope/right"],
        "l ../.pnpm/@scope+right@2.0.0/node_modules/@scope/right"
    );
    assert_eq!(
        tree[".pnpm/left@1.0.0/node_modules/deep"],
        "l ../../deep@1.0.0/node_modules/deep"
    );
    let lock = fs::read_to_string(project.root().join("pnpm-lock.yaml")).unwrap();
    assert_eq!(tree[".pnpm/lock.yaml"], format!("f false {lock}"));
    let output = Command::new(project.node_modules().join(".bin/left"))
        .output()
        .unwrap();
    assert_eq!(String::from_utf8_lossy(&output.stdout), "left ran\n");
    let status = project.status();
    assert_eq!(
        status["mountpoint"],
        project.node_modules().to_str().unwrap()
    );
    assert!(
        status["server_pid"].as_u64().is_some_and(|pid| pid > 1),
        "{status}"
    );
    project.unmount();
    assert!(!project.is_mounted());
    assert_eq!(
        fs::read_dir(project.node_modules()).map_or(0, Iterator::count),
        0
    );
}

#[test]
fn a_second_install_asks_the_network_for_nothing() {
    if !can_mount("a_second_install_asks_the_network_for_nothing") {
        return;
    }
    let project = simple();
    project.install();
    assert_eq!(project.registry.take_requests().len(), 3);
    project.install();
    project.unmount();
    project.install();
    assert!(project.registry.take_requests().is_empty());
    project.unmount();
    project.succeed(&["mount"]);
    assert!(project.is_mounted());
    project.succeed(&["mount"]);
}

#[test]
fn offline_works_with_everything_in_the_store_and_names_what_is_missing() {
    if !can_mount("offline_works_with_everything_in_the_store_and_names_what_is_missing") {
        return;
    }
    let project = simple();
    let said = project.fail(&["install", "--virtual", "--offline", "--ignore-scripts"]);
    assert!(
        said.contains("ERR_PNPM_NO_OFFLINE_TARBALL") && said.contains("deep@1.0.0"),
        "{said}"
    );
    assert!(!project.is_mounted());
    let said = project.fail(&["mount"]);
    assert!(
        said.contains("deep@1.0.0") && said.contains("hint:"),
        "{said}"
    );
    project.install();
    project.unmount();
    project.succeed(&["install", "--virtual", "--offline", "--ignore-scripts"]);
    assert!(project.registry.take_requests().len() == 3);
}

#[test]
fn a_body_that_is_not_what_the_lockfile_pins_is_refused_and_leaves_no_trace() {
    let project = simple();
    let other = TarballBuilder::with_manifest("deep", "1.0.0").finish();
    project.registry.replace_tarball("deep", "1.0.0", other);
    let lock = fs::read(project.root().join("pnpm-lock.yaml")).unwrap();
    let said = project.refuse();
    assert!(said.contains("ERR_PNPM_TARBALL_INTEGRITY"), "{said}");
    assert!(
        said.contains("deep@1.0.0") && said.contains("sha512-"),
        "{said}"
    );
    assert_eq!(
        fs::read(project.root().join("pnpm-lock.yaml")).unwrap(),
        lock
    );
    assert!(!project.node_modules().join("left").exists());
    let report = project.succeed(&["store", "verify"]);
    assert!(!report.contains("deep@1.0.0"), "{report}");
}

#[test]
fn hostile_archives_are_refused_at_install_time() {
    let hostile = [
        ("../../escape", Entry::file("package/../../escape", "x")),
        ("absolute", Entry::file("/absolute", "x")),
        ("device", Entry::character_device("package/device")),
        ("fifo", Entry::fifo("package/fifo")),
        ("control", Entry::file("package/con\u{1b}trol", "x")),
    ];
    for (what, entry) in hostile {
        let bytes = TarballBuilder::with_manifest("bad", "1.0.0")
            .entry(entry)
            .finish();
        let package = Package::new("bad", "1.0.0").tarball(bytes);
        let manifest = json!({ "name": "app", "dependencies": { "bad": "1.0.0" } });
        let project = Project::locked(&manifest, &[package]);
        let said = project.refuse();
        assert!(said.contains("bad@1.0.0"), "{what}: {said}");
        assert!(!said.contains('\u{1b}'), "{what}: {said:?}");
        assert_eq!(project.packages_in_store(), 0, "{what}");
    }
}

#[test]
fn links_in_an_archive_are_left_out() {
    if !can_mount("links_in_an_archive_are_left_out") {
        return;
    }
    let bytes = TarballBuilder::with_manifest("links", "1.0.0")
        .entry(Entry::symlink("package/passwd", "/etc/passwd"))
        .entry(Entry::hard_link("package/shadow", "/etc/shadow"))
        .file("package/index.js", "1")
        .finish();
    let manifest = json!({ "name": "app", "dependencies": { "links": "1.0.0" } });
    let project = Project::locked(&manifest, &[Package::new("links", "1.0.0").tarball(bytes)]);
    project.install();
    let tree = project.tree();
    assert!(tree.contains_key(".pnpm/links@1.0.0/node_modules/links/index.js"));
    assert!(
        !tree
            .keys()
            .any(|path| path.ends_with("passwd") || path.ends_with("shadow"))
    );
}

#[test]
fn passing_faults_of_the_network_are_tried_again() {
    if !can_mount("passing_faults_of_the_network_are_tried_again") {
        return;
    }
    for fault in [
        Fault::Status(503),
        Fault::ResetAfter(10),
        Fault::ContentLengthTooLong(5),
    ] {
        let project = simple();
        project
            .registry
            .fault("/deep/-/deep-1.0.0.tgz", When::First(2), fault.clone());
        project.install();
        assert_eq!(
            project
                .registry
                .requests_for("/deep/-/deep-1.0.0.tgz")
                .len(),
            3,
            "{fault:?}"
        );
    }
}

#[test]
fn lasting_faults_of_the_network_are_told_with_their_code() {
    for (fault, code, attempts) in [
        (Fault::Status(404), "ERR_PNPM_FETCH_404", 1),
        (Fault::Status(401), "ERR_PNPM_FETCH_401", 1),
        (Fault::Status(500), "ERR_PNPM_FETCH_500", 3),
    ] {
        let project = simple();
        project
            .registry
            .fault("/deep/-/deep-1.0.0.tgz", When::Always, fault);
        let said = project.refuse();
        assert!(said.contains(code) && said.contains("deep"), "{said}");
        assert_eq!(
            project
                .registry
                .requests_for("/deep/-/deep-1.0.0.tgz")
                .len(),
            attempts
        );
    }
}

#[test]
fn an_optional_dependency_that_is_not_locked_is_left_out_where_the_lockfile_is_frozen() {
    let project = simple();
    let text = fs::read(project.root().join("package.json")).unwrap();
    let mut locked: Value = serde_json::from_slice(&text).unwrap();
    locked["optionalDependencies"] = json!({ "nowhere": "1.0.0" });
    project.write("package.json", &locked.to_string());
    project.succeed(&["install", "--frozen-lockfile", "--ignore-scripts"]);
    assert!(project.node_modules().join("left").exists());
    assert!(!project.node_modules().join("nowhere").exists());
    locked["devDependencies"] = json!({ "nowhere": "1.0.0" });
    project.write("package.json", &locked.to_string());
    project.succeed(&["install", "--frozen-lockfile", "--lockfile-only"]);
    locked["optionalDependencies"] = json!({});
    project.write("package.json", &locked.to_string());
    let said = project.fail(&["install", "--frozen-lockfile", "--ignore-scripts"]);
    assert!(said.contains("ERR_PNPM_OUTDATED_LOCKFILE"), "{said}");
}

#[test]
fn a_lockfile_that_does_not_fit_is_refused_before_anything_is_done() {
    let project = simple();
    project.write(
        "package.json",
        &json!({ "name": "app", "dependencies": { "left": "^2.0.0" } }).to_string(),
    );
    let said = project.refuse();
    assert!(said.contains("ERR_PNPM_OUTDATED_LOCKFILE"), "{said}");
    assert!(said.contains("left"), "{said}");
    fs::remove_file(project.root().join("pnpm-lock.yaml")).unwrap();
    assert!(project.refuse().contains("ERR_PNPM_NO_LOCKFILE"));
    project.write("pnpm-lock.yaml", "lockfileVersion: '7.0'\n");
    assert!(
        project
            .refuse()
            .contains("ERR_PNPM_LOCKFILE_BREAKING_CHANGE")
    );
    project.write("pnpm-lock.yaml", "<<<<<<< ours\nlockfileVersion: '9.0'\n");
    assert!(project.refuse().contains("conflict"));
    fs::remove_file(project.root().join("package.json")).unwrap();
    assert!(project.refuse().contains("ERR_PNPM_NO_PKG_MANIFEST"));
    assert!(project.registry.take_requests().is_empty());
}

#[test]
fn real_files_of_another_installer_are_not_covered_unless_forced() {
    if !can_mount("real_files_of_another_installer_are_not_covered_unless_forced") {
        return;
    }
    let project = simple();
    project.write("node_modules/old/index.js", "1");
    project.write("node_modules/.package-lock.json", "{}");
    let said = project.refuse();
    assert!(said.contains("--force") && said.contains("npm"), "{said}");
    project.succeed(&[
        "install",
        "--virtual",
        "--frozen-lockfile",
        "--ignore-scripts",
        "--force",
    ]);
    assert!(project.is_mounted());
    assert!(!project.tree().contains_key("old"));
    project.unmount();
    let kept = fs::read_dir(project.root())
        .unwrap()
        .flatten()
        .any(|entry| entry.path().join("node_modules/old/index.js").exists());
    assert!(kept, "the real files are still somewhere in the project");
}

#[test]
fn groups_are_left_out_on_request() {
    if !can_mount("groups_are_left_out_on_request") {
        return;
    }
    let manifest = json!({
        "name": "app",
        "dependencies": { "used": "1.0.0" },
        "devDependencies": { "tool": "1.0.0" },
        "optionalDependencies": { "extra": "1.0.0", "elsewhere": "1.0.0" }
    });
    let packages = [
        Package::new("used", "1.0.0"),
        Package::new("tool", "1.0.0"),
        Package::new("extra", "1.0.0"),
        Package::new("elsewhere", "1.0.0").os("win32"),
    ];
    let project = Project::locked(&manifest, &packages);
    let names = |project: &Project| {
        let tree = project.tree();
        let keep = |path: &&String| !path.contains('/') && !path.starts_with('.');
        tree.keys().filter(keep).cloned().collect::<Vec<_>>()
    };
    for (flag, expected) in [
        (
            "--prefer-frozen-lockfile",
            ["extra", "tool", "used"].as_slice(),
        ),
        ("--prod", ["extra", "used"].as_slice()),
        ("--no-optional", ["tool", "used"].as_slice()),
        ("--dev", ["tool"].as_slice()),
    ] {
        project.succeed(&["install", "--virtual", "--ignore-scripts", flag]);
        assert_eq!(names(&project), expected, "{flag}");
        project.unmount();
    }
}

#[test]
fn a_patch_is_applied_when_the_package_is_stored_and_keyed_by_its_hash() {
    if !can_mount("a_patch_is_applied_when_the_package_is_stored_and_keyed_by_its_hash") {
        return;
    }
    let manifest = json!({ "name": "app", "dependencies": { "patched": "1.0.0" } });
    let package = Package::new("patched", "1.0.0").file("index.js", "one\ntwo\nthree\n");
    let project = Project::locked(&manifest, &[package]);
    let patch = "diff --git a/index.js b/index.js\n--- a/index.js\n+++ b/index.js\n\
                 @@ -1,3 +1,3 @@\n one\n-two\n+TWO\n three\n";
    project.write("fix.patch", patch);
    project.write(
        "pnpm-workspace.yaml",
        "patchedDependencies:\n  patched: fix.patch\n",
    );
    let hash = pacquet::install::lockfile::patch_file_hash(patch.as_bytes());
    let lock = fs::read_to_string(project.root().join("pnpm-lock.yaml")).unwrap();
    let lock = lock
        .replace(
            "importers:\n",
            &format!("patchedDependencies:\n  patched: {hash}\n\nimporters:\n"),
        )
        .replace(
            "version: 1.0.0\n",
            &format!("version: 1.0.0(patch_hash={hash})\n"),
        );
    let (packages, snapshots) = lock.split_once("snapshots:\n").unwrap();
    let suffixed = format!("patched@1.0.0(patch_hash={hash}):");
    let snapshots = snapshots.replace("patched@1.0.0:", &suffixed);
    project.write(
        "pnpm-lock.yaml",
        &format!("{packages}snapshots:\n{snapshots}"),
    );
    project.install();
    let file = project.node_modules().join("patched/index.js");
    assert_eq!(fs::read_to_string(file).unwrap(), "one\nTWO\nthree\n");
    project.unmount();
    project.write("fix.patch", &patch.replace("+TWO", "+2"));
    assert!(
        project
            .refuse()
            .contains("ERR_PNPM_LOCKFILE_CONFIG_MISMATCH")
    );
}

#[test]
fn a_mount_serves_what_the_last_install_chose() {
    if !can_mount("a_mount_serves_what_the_last_install_chose") {
        return;
    }
    let packages = [
        Package::new("for-production", "1.0.0").file("index.js", "1\n"),
        Package::new("for-development", "1.0.0").file("index.js", "2\n"),
        Package::new("with-script", "1.0.0").manifest(json!({"scripts": {"install": "exit 1"}})),
    ];
    let manifest = json!({
        "name": "project",
        "dependencies": {"for-production": "1.0.0", "with-script": "1.0.0"},
        "devDependencies": {"for-development": "1.0.0"},
    });
    let project = Project::locked(&manifest, &packages);
    let state = |project: &Project| {
        let text = fs::read_to_string(project.node_modules().join(".modules.yaml"));
        let mut state: Value = serde_json::from_str(&text.unwrap()).unwrap();
        state["prunedAt"] = Value::Null;
        state
    };
    let installs: [&[&str]; 4] = [
        &["--prod"],
        &[],
        &["--dev", "--node-linker", "hoisted"],
        &["--config.publicHoistPattern=*", "--no-optional"],
    ];
    for flags in installs {
        let install = [
            "install",
            "--virtual",
            "--frozen-lockfile",
            "--ignore-scripts",
        ];
        project.succeed(&[&install[..], flags].concat());
        let (tree, before) = (project.tree(), state(&project));
        let server = project.status()[0]["server_pid"].clone();
        project.succeed(&["mount"]);
        let again = project.status()[0]["server_pid"].clone();
        assert_eq!(server, again, "{flags:?}: the same server goes on");
        project.unmount();
        project.succeed(&["mount"]);
        assert_eq!(
            project.tree().keys().collect::<Vec<_>>(),
            tree.keys().collect::<Vec<_>>()
        );
        assert_eq!(state(&project), before, "{flags:?}");
        project.unmount();
    }
    project.succeed(&["mount", "--prod"]);
    let tree = project.tree();
    assert!(tree.contains_key("for-production") && !tree.contains_key("for-development"));
    project.unmount();
}

/// `enableModulesDir: false`: the lockfile and the store are brought up to date, and nothing else.
#[test]
fn without_a_node_modules_packages_come_into_the_store_alone() {
    let project = Project::new();
    for package in ["one", "two"] {
        project.registry.publish(&Package::new(package, "1.0.0"));
    }
    let manifest = r#"{"name":"app","dependencies":{"one":"1.0.0"},
        "scripts":{"postinstall":"touch ran","hello":"echo hello"}}"#;
    project.write("package.json", manifest);
    project.write("pnpm-workspace.yaml", "enableModulesDir: false\n");
    let is_there = || project.node_modules().exists() || project.root().join("ran").exists();
    for (count, command) in [
        (1, &["install"][..]),
        (1, &["install", "--frozen-lockfile"]),
        (2, &["add", "two"]),
        (2, &["install", "--virtual"]),
    ] {
        project.succeed(command);
        assert!(!is_there(), "{command:?}");
        assert_eq!(project.packages_in_store(), count, "{command:?}");
    }
    project.succeed(&["run", "hello"]);
    assert!(project.succeed(&["list"]).contains("two@1.0.0") && !is_there());
    project.write("package.json", r#"{"dependencies":{"one":"1.0.0"}}"#);
    let said = project.fail(&["install", "--frozen-lockfile"]);
    assert!(said.contains("ERR_PNPM_OUTDATED_LOCKFILE"), "{said}");
    project.succeed(&["install", "--no-virtual", "--enable-modules-dir"]);
    assert!(project.node_modules().join("one").exists());
}
