//! Removing a `node_modules` that is mounted, as people do it: by `rm -rf`, by git, by programs.

use std::fs::{self, OpenOptions};
use std::io::{Read, Seek, Write};
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use pacquet_test_registry::Package;
use serde_json::json;

use crate::project::{Killed, Project, can_mount};

fn project() -> Project {
    let manifest = json!({ "name": "app", "dependencies": { "left": "1.0.0" } });
    let left = Package::new("left", "1.0.0").file("index.js", "module.exports = 'left';\n");
    Project::locked(&manifest, &[left])
}

fn names(project: &Project) -> Vec<String> {
    let entries = fs::read_dir(project.node_modules()).into_iter().flatten();
    let names = entries.map(|entry| entry.unwrap().file_name().into_string().unwrap());
    let mut names: Vec<String> = names.collect();
    names.sort();
    names
}

fn shell(directory: &Path, script: &str) -> bool {
    let mut command = Command::new("sh");
    let command = command.args(["-c", script]).current_dir(directory);
    command.stderr(Stdio::null()).status().unwrap().success()
}

fn wait_until(what: impl Fn() -> bool) {
    let began = Instant::now();
    while !what() {
        assert!(began.elapsed() < Duration::from_secs(60));
        std::thread::sleep(Duration::from_millis(5));
    }
}

/// Whether nothing is left of what was known of mounts.
fn is_forgotten(project: &Project) -> bool {
    let mut left = fs::read_dir(project.path("run/pacquet")).unwrap().flatten();
    !left.any(|entry| entry.path().extension().is_some_and(|name| name != "log"))
}

#[test]
fn removing_a_mounted_tree_removes_its_directory_and_the_next_install_mounts_it() {
    if !can_mount("removing_a_mounted_tree_removes_its_directory_and_the_next_install_mounts_it") {
        return;
    }
    let project = project();
    project.install();
    let before = names(&project);
    let user = "-c user.name=a -c user.email=a@example.com";
    let begun = format!("git init -q . && git {user} commit -q --allow-empty -m begun");
    assert!(shell(&project.root(), &begun));
    for script in [
        "rm -rf node_modules",
        "rm -r ../project/node_modules/",
        "git clean -xfdq -e /.npmrc -e /package.json -e /pnpm-lock.yaml",
    ] {
        project.write("node_modules/.cache/written", "one");
        project.write("node_modules/left/index.js", "changed");
        fs::remove_file(project.node_modules().join(".cache/written")).unwrap();
        assert!(shell(&project.root(), script), "{script}");
        assert!(!project.is_mounted(), "{script}");
        assert!(!project.node_modules().exists(), "{script}");
        project.install();
        assert_eq!(names(&project), before, "{script}");
        let content = fs::read_to_string(project.node_modules().join("left/index.js"));
        assert_eq!(content.unwrap(), "module.exports = 'left';\n", "{script}");
        assert_eq!(project.status()["health"], "healthy");
    }
    fs::remove_dir_all(project.node_modules()).unwrap();
    assert!(!project.is_mounted() && !project.node_modules().exists());
    wait_until(|| is_forgotten(&project));
}

#[test]
fn a_worktree_with_a_mounted_tree_is_removed() {
    if !can_mount("a_worktree_with_a_mounted_tree_is_removed") {
        return;
    }
    let project = project();
    project.install();
    let user = "-c user.name=a -c user.email=a@example.com";
    let script = format!(
        "git init -q ../main && cd ../main && git {user} commit -q --allow-empty -m begun && \
         git worktree add -q ../tree && cd ../project && \
         mv .npmrc package.json pnpm-lock.yaml ../tree"
    );
    assert!(shell(&project.root(), &script));
    let tree = project.path("tree");
    let directory = tree.to_str().unwrap();
    project.succeed(&["install", "--virtual", "--dir", directory]);
    assert!(tree.join("node_modules/left/index.js").exists());
    let main = project.path("main");
    assert!(shell(&main, "git worktree remove --force ../tree"));
    assert!(!tree.exists());
}

#[test]
fn what_is_emptied_but_for_names_with_a_dot_or_from_within_stays_mounted() {
    if !can_mount("what_is_emptied_but_for_names_with_a_dot_or_from_within_stays_mounted") {
        return;
    }
    let project = project();
    project.install();
    assert!(shell(&project.root(), "rm -rf node_modules/*"));
    project.write("node_modules/left/index.js", "filled");
    assert!(project.is_mounted());
    let written = || fs::read_to_string(project.node_modules().join("left/index.js"));
    project.unmount();
    assert_eq!(written().unwrap(), "filled");
    project.install();
    assert_eq!(written().unwrap(), "filled");
    let emptied = "find . -mindepth 1 -delete && echo filled again > file";
    assert!(shell(&project.node_modules(), emptied));
    assert!(project.is_mounted());
    assert_eq!(names(&project), ["file"]);
}

#[test]
fn what_is_written_after_everything_was_removed_is_in_the_real_directory() {
    if !can_mount("what_is_written_after_everything_was_removed_is_in_the_real_directory") {
        return;
    }
    let project = project();
    project.install();
    let script = "find node_modules/ -mindepth 1 -delete && echo filled > node_modules/file";
    assert!(shell(&project.root(), script));
    assert!(!project.is_mounted());
    assert_eq!(names(&project), ["file"]);
    let said = project.refuse();
    assert!(said.contains("ERR_PACQUET_MOUNTPOINT_REAL_FILES"), "{said}");
}

#[test]
fn what_is_above_a_mounted_tree_is_removed_at_the_second_time() {
    if !can_mount("what_is_above_a_mounted_tree_is_removed_at_the_second_time") {
        return;
    }
    let project = project();
    project.install();
    let above = project.path(".");
    assert!(!shell(&above, "rm -rf project"));
    // Everything else is gone, and the mount goes as soon as rm has ended.
    assert_eq!(fs::read_dir(project.root()).unwrap().count(), 1);
    wait_until(|| !project.is_mounted());
    assert!(shell(&above, "rm -rf project"));
    assert!(!project.root().exists());
}

#[test]
fn who_is_in_it_for_a_moment_keeps_no_emptied_mount() {
    if !can_mount("who_is_in_it_for_a_moment_keeps_no_emptied_mount") {
        return;
    }
    let project = project();
    project.install();
    let mut visitor = Command::new("sleep");
    let mut visitor = visitor.arg("1").current_dir(project.node_modules()).spawn();
    assert!(!shell(&project.path("."), "rm -rf project"));
    assert!(project.is_mounted());
    visitor.as_mut().unwrap().wait().unwrap();
    wait_until(|| !project.is_mounted());
}

#[test]
fn who_removes_the_directory_before_its_entries_removes_nothing() {
    if !can_mount("who_removes_the_directory_before_its_entries_removes_nothing") {
        return;
    }
    let project = project();
    project.install();
    let before = names(&project);
    // As `fs.rm` of Node does, which goes on only where the directory is said to have entries.
    let error = fs::remove_dir(project.node_modules()).unwrap_err();
    assert_eq!(error.raw_os_error(), Some(libc::EBUSY));
    assert!(project.is_mounted());
    assert_eq!(names(&project), before);
}

#[test]
fn what_is_served_from_a_store_that_was_removed_can_be_removed_too() {
    if !can_mount("what_is_served_from_a_store_that_was_removed_can_be_removed_too") {
        return;
    }
    let manifest = json!({ "name": "app", "dependencies": { "left": "1.0.0", "deep": "1.0.0" } });
    let left = Package::new("left", "1.0.0").file("lib/index.js", "module.exports = 'left';\n");
    let deep = Package::new("deep", "1.0.0").dependency("left", "1.0.0");
    let project = Project::locked(&manifest, &[left, deep]);
    // Nothing shall be open when the store goes.
    project.write("pnpm-workspace.yaml", "mountProfile: false\n");
    project.install();
    fs::remove_dir_all(project.store()).unwrap();
    let server = project.status()["server_pid"].as_u64().unwrap();
    assert!(shell(&project.root(), &format!("kill -KILL {server}")));
    // The next server begins without the store, and fails what is in it alone.
    let installed = project.node_modules().join("left/lib/index.js");
    let error = fs::read(&installed).unwrap_err();
    assert_eq!(error.raw_os_error(), Some(libc::EIO));
    project.write("node_modules/.cache/written", "one");
    project.write("node_modules/.pnpm/node_modules/written", "two");
    assert!(fs::remove_dir(project.node_modules().join(".cache")).is_err());
    assert!(shell(&project.root(), "rm -rf node_modules"));
    assert!(!project.is_mounted() && !project.node_modules().exists());
    project.install();
    let content = fs::read_to_string(installed).unwrap();
    assert_eq!(content, "module.exports = 'left';\n");
}

#[test]
fn what_was_listed_before_its_store_was_removed_can_be_removed() {
    if !can_mount("what_was_listed_before_its_store_was_removed_can_be_removed") {
        return;
    }
    let manifest = json!({ "name": "app", "dependencies": { "left": "1.0.0", "deep": "1.0.0" } });
    let left = Package::new("left", "1.0.0")
        .file("lib/far/index.js", "module.exports = 'left';\n")
        .file("lib/written.js", "");
    let deep = Package::new("deep", "1.0.0").dependency("left", "1.0.0");
    let project = Project::locked(&manifest, &[left, deep]);
    project.write("pnpm-workspace.yaml", "mountProfile: false\n");
    project.install();
    // The kernel keeps what it was shown.
    assert!(shell(
        &project.root(),
        "find node_modules/.pnpm -ls > ../shown; ls -lR node_modules"
    ));
    fs::remove_dir_all(project.store()).unwrap();
    let server = project.status()["server_pid"].as_u64().unwrap();
    assert!(shell(&project.root(), &format!("kill -KILL {server}")));
    let lib = project.node_modules().join("left/lib");
    assert!(shell(&lib, "rm -r far"));
    assert!(!lib.join("far").exists());
    assert!(shell(&project.root(), "rm -rf node_modules"));
    assert!(!project.is_mounted() && !project.node_modules().exists());
    project.install();
    let content = fs::read_to_string(lib.join("far/index.js")).unwrap();
    assert_eq!(content, "module.exports = 'left';\n");
}

#[test]
fn who_uses_a_tree_that_is_removed_goes_on_beside_the_next_one() {
    if !can_mount("who_uses_a_tree_that_is_removed_goes_on_beside_the_next_one") {
        return;
    }
    let project = project();
    project.install();
    let path = project.node_modules().join(".written");
    let mut options = OpenOptions::new();
    let held = options.read(true).write(true).create(true).truncate(true);
    let mut held = held.open(&path).unwrap();
    held.write_all(b"one").unwrap();
    let inside = Command::new("sleep")
        .arg("60")
        .current_dir(project.node_modules().join("left"))
        .spawn();
    let inside = Killed(inside.unwrap());
    fs::remove_dir_all(project.node_modules()).unwrap();
    assert!(!project.is_mounted());
    held.write_all(b"two").unwrap();
    held.sync_all().unwrap();
    project.install();
    held.write_all(b"three").unwrap();
    held.rewind().unwrap();
    let mut text = String::new();
    held.read_to_string(&mut text).unwrap();
    assert_eq!(text, "onetwothree");
    let metadata = held.metadata().unwrap();
    assert_eq!((metadata.len(), metadata.nlink()), (11, 0));
    // Nothing that is made in the old tree gets into the new one.
    let old = format!("/proc/{}/cwd/made", inside.0.id());
    assert!(fs::write(&old, "x").is_err());
    assert!(!path.exists());
    assert_eq!(project.status()["health"], "healthy");
    project.unmount();
}

#[test]
fn a_project_of_a_workspace_is_removed_and_mounted_again() {
    if !can_mount("a_project_of_a_workspace_is_removed_and_mounted_again") {
        return;
    }
    let dependencies = r#""dependencies":{"left":"1.0.0"}}"#;
    let manifests = ["one", "two"].map(|name| {
        let path = format!("packages/{name}/package.json");
        (path, format!(r#"{{"name":"{name}",{dependencies}"#))
    });
    let project = Project::new();
    project.registry.publish(&Package::new("left", "1.0.0"));
    project.write("pnpm-workspace.yaml", "packages: ['packages/*']\n");
    project.write(
        "package.json",
        &format!(r#"{{"name":"root",{dependencies}"#),
    );
    for (path, text) in &manifests {
        project.write(path, text);
    }
    let install = || project.succeed(&["install", "--virtual", "--ignore-scripts"]);
    install();
    for place in ["node_modules", "packages/one/node_modules"] {
        assert!(shell(&project.root(), &format!("rm -rf {place}")));
        assert!(!project.root().join(place).exists());
        install();
        for place in ["", "packages/one/", "packages/two/"] {
            let package = project.root().join(place).join("node_modules/left");
            assert!(package.join("package.json").exists(), "{place}");
        }
    }
    assert!(shell(
        &project.root(),
        "rm -rf node_modules packages/*/node_modules"
    ));
    wait_until(|| is_forgotten(&project));
}
