//! Commands that fail, or are killed, and what they leave of the project's files: what was there.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::{PermissionsExt, chown};
use std::path::Path;
use std::process::Command;

use pacquet_test_registry::{Fault, Package, When, tarball_path};
use serde_json::json;

use crate::project::{Project, can_mount};

/// An installed project. `gone` has an archive that cannot be had, and so has the newest `left`.
fn project(mode: &str) -> Project {
    let project = Project::new();
    let packages = [
        Package::new("left", "1.0.0"),
        Package::new("left", "1.1.0"),
        Package::new("right", "1.0.0"),
        Package::new("gone", "1.0.0"),
        Package::new("below", "1.0.0").dependency("gone", "1.0.0"),
        Package::new("failing", "1.0.0").script("install", "exit 3"),
        Package::new("meddling", "1.0.0").script(
            "install",
            "printf '{\"name\":\"mine\"}' > \"$INIT_CWD/package.json\"",
        ),
    ];
    for package in &packages {
        project.registry.publish(package);
    }
    project.registry.set_dist_tag("left", "latest", "1.1.0");
    project.write(
        "package.json",
        &json!({
            "name": "app", "version": "1.0.0",
            "dependencies": { "left": "1.0.0", "right": "1.0.0" }
        })
        .to_string(),
    );
    project.succeed(&["install", &format!("--virtual={mode}")]);
    for (name, version) in [("gone", "1.0.0"), ("left", "1.1.0")] {
        let path = tarball_path(name, version);
        project
            .registry
            .fault(&path, When::Always, Fault::Status(404));
    }
    project
}

/// Every file of the project, but for `node_modules`.
fn files(project: &Project) -> BTreeMap<String, Vec<u8>> {
    fn collect(files: &mut BTreeMap<String, Vec<u8>>, root: &Path, directory: &Path) {
        for entry in fs::read_dir(directory).expect("listed") {
            let path = entry.expect("read").path();
            if path.ends_with("node_modules") {
                continue;
            }
            if path.is_dir() {
                collect(files, root, &path);
            } else {
                let name = path.strip_prefix(root).expect("below").to_string_lossy();
                files.insert(name.into_owned(), fs::read(&path).expect("read"));
            }
        }
    }
    let mut files = BTreeMap::new();
    collect(&mut files, &project.root(), &project.root());
    files
}

fn version_of(project: &Project, package: &str) -> String {
    let path = project.node_modules().join(package).join("package.json");
    fs::read_to_string(path).unwrap_or_default()
}

/// Lets the manifest ask for something else.
fn depend_on(project: &Project, dependencies: &serde_json::Value) {
    let manifest = json!({ "name": "app", "version": "1.0.0", "dependencies": dependencies });
    project.write("package.json", &manifest.to_string());
}

fn fail_and_compare(project: &Project, arguments: &[&str], code: &str) {
    let before = files(project);
    let said = project.fail(arguments);
    assert!(said.contains(code), "{arguments:?}: {said}");
    let after = files(project);
    assert_eq!(after, before, "{arguments:?} changed files");
    assert!(
        version_of(project, "left").contains("1.0.0"),
        "{arguments:?}: left is no longer there"
    );
}

fn failing_downloads_change_nothing(mode: &str) {
    let project = project(mode);
    fs::create_dir(project.path("linked")).expect("made");
    let linked = json!({ "name": "linked", "version": "1.0.0" });
    fs::write(project.path("linked/package.json"), linked.to_string()).expect("written");
    for arguments in [
        &["add", "gone"][..],
        &["add", "below"],
        &["add", "-D", "gone"],
        &["add", "--save-catalog", "gone"],
        &["add", "--allow-build=gone", "gone"],
        &["install", "gone"],
        &["update", "--latest"],
        &["update", "left@1.1.0"],
    ] {
        fail_and_compare(&project, arguments, "ERR_PNPM_FETCH_404");
    }
    assert!(!project.node_modules().join("gone").exists());
    depend_on(
        &project,
        &json!({ "left": "1.0.0", "right": "1.0.0", "gone": "1.0.0" }),
    );
    for arguments in [
        &["install"][..],
        &["dedupe"],
        &["remove", "right"],
        &["add", "right@1.0.0"],
        &["link", "../linked"],
        &["prune"],
    ] {
        fail_and_compare(&project, arguments, "ERR_PNPM_FETCH_404");
    }
    // It can be had now.
    project.registry.clear_faults();
    project.succeed(&["remove", "right"]);
    assert!(!project.node_modules().join("right").exists());
    assert!(project.node_modules().join("gone").exists());
    assert!(
        files(&project)["pnpm-lock.yaml"]
            .windows(4)
            .any(|text| text == b"gone")
    );
}

#[test]
fn a_download_that_fails_changes_nothing_beside_real_files() {
    failing_downloads_change_nothing("false");
}

#[test]
fn a_download_that_fails_changes_nothing_beside_a_mount() {
    if !can_mount("a_download_that_fails_changes_nothing_beside_a_mount") {
        return;
    }
    failing_downloads_change_nothing("true");
}

fn failing_scripts_change_nothing(mode: &str) {
    let project = project(mode);
    project.write(
        "pnpm-workspace.yaml",
        "allowBuilds:\n  failing: true\n  meddling: true\n",
    );
    fail_and_compare(&project, &["add", "failing"], "ELIFECYCLE");
    if project.is_mounted() {
        // What was served is served again.
        assert!(!project.node_modules().join("failing").exists());
    }
    // A script of a package changes the manifest: that is not written over.
    let before = files(&project);
    let said = project.fail(&["add", "meddling"]);
    assert!(said.contains("ERR_PACQUET_CHANGED_MEANWHILE"), "{said}");
    if project.is_mounted() {
        assert!(!project.node_modules().join("meddling").exists());
    }
    let after = files(&project);
    assert_eq!(after["pnpm-lock.yaml"], before["pnpm-lock.yaml"]);
    assert_eq!(after["package.json"], b"{\"name\":\"mine\"}");
    assert_eq!(after.len(), before.len());
}

#[test]
fn a_script_that_fails_changes_nothing_beside_real_files() {
    failing_scripts_change_nothing("false");
}

#[test]
fn a_script_that_fails_changes_nothing_beside_a_mount() {
    if !can_mount("a_script_that_fails_changes_nothing_beside_a_mount") {
        return;
    }
    failing_scripts_change_nothing("true");
}

#[test]
fn the_projects_own_scripts_run_when_all_is_written_and_not_for_packages_by_name() {
    let project = project("false");
    let manifest = json!({
        "name": "app", "version": "1.0.0",
        "scripts": {
            "preinstall": "echo pre >> ran.txt",
            "postinstall": "grep -q left pnpm-lock.yaml && echo post >> ran.txt && exit 4"
        },
        "dependencies": { "left": "1.0.0" }
    });
    project.write("package.json", &manifest.to_string());
    let ran = || fs::read_to_string(project.root().join("ran.txt")).unwrap_or_default();
    project.succeed(&["add", "right@1.0.0"]);
    project.succeed(&["remove", "right"]);
    assert_eq!(ran(), "");
    fs::remove_file(project.root().join("pnpm-lock.yaml")).expect("removed");
    project.fail(&["install"]);
    assert_eq!(ran(), "pre\npost\n");
    assert!(project.root().join("pnpm-lock.yaml").exists());
}

#[test]
fn a_script_before_the_first_install_is_not_in_the_way_of_a_mount() {
    if !can_mount("a_script_before_the_first_install_is_not_in_the_way_of_a_mount") {
        return;
    }
    let project = Project::new();
    project.registry.publish(&Package::new("left", "1.0.0"));
    let manifest = json!({
        "name": "app", "scripts": { "preinstall": "test -z \"$TMPDIR\" || ls \"$TMPDIR\"" },
        "dependencies": { "left": "1.0.0" }
    });
    project.write("package.json", &manifest.to_string());
    project.succeed(&["install", "--virtual"]);
    assert!(project.is_mounted());
}

#[test]
fn a_command_that_is_killed_while_it_fetches_changes_nothing() {
    let project = project("false");
    let path = tarball_path("gone", "1.0.0");
    project.registry.clear_faults();
    project.registry.fault(&path, When::Always, Fault::Hang);
    for signal in ["INT", "KILL"] {
        let before = files(&project);
        project.registry.take_requests();
        let mut child = project
            .command(&["add", "gone"])
            .spawn()
            .expect("it starts");
        let asked = (0..6000).any(|_| {
            std::thread::sleep(std::time::Duration::from_millis(10));
            !project.registry.requests_for(&path).is_empty()
        });
        let number = child.id().to_string();
        let kill = Command::new("kill").args(["-s", signal, &number]).status();
        assert!(kill.expect("kill runs").success());
        let end = child.wait().expect("it ends");
        assert!(asked && !end.success());
        assert_eq!(files(&project), before, "{signal}");
    }
}

#[test]
fn a_patch_whose_install_fails_is_not_written() {
    let project = project("false");
    project.succeed(&["patch", "left"]);
    let edit = project.node_modules().join(".pnpm_patches/left@1.0.0");
    fs::write(edit.join("new.txt"), "new\n").expect("written");
    depend_on(
        &project,
        &json!({ "left": "1.0.0", "right": "1.0.0", "gone": "1.0.0" }),
    );
    let edit = edit.to_string_lossy().into_owned();
    fail_and_compare(&project, &["patch-commit", &edit], "ERR_PNPM_FETCH_404");
    assert!(!project.root().join("patches").exists());
    depend_on(&project, &json!({ "left": "1.0.0", "right": "1.0.0" }));
    project.succeed(&["patch-commit", &edit]);
    assert!(project.node_modules().join("left/new.txt").exists());
    depend_on(
        &project,
        &json!({ "left": "1.0.0", "right": "1.0.0", "gone": "1.0.0" }),
    );
    let before = files(&project);
    project.fail(&["patch-remove", "left"]);
    assert_eq!(files(&project), before);
    depend_on(&project, &json!({ "left": "1.0.0", "right": "1.0.0" }));
    project.succeed(&["patch-remove", "left"]);
    assert!(!project.root().join("patches").exists());
    assert!(!project.node_modules().join("left/new.txt").exists());
}

#[test]
fn a_directory_that_cannot_be_written_is_told_with_its_owner() {
    const NOBODY: u32 = 65534;
    let name = "a_directory_that_cannot_be_written_is_told_with_its_owner";
    let project = project("false");
    project.registry.clear_faults();
    for directory in [project.path(""), project.root()] {
        fs::set_permissions(directory, PermissionsExt::from_mode(0o755)).expect("set");
    }
    for directory in ["store2", "cache2", "home", "run"] {
        let path = project.path(directory);
        let _ = fs::create_dir(&path);
        if chown(&path, Some(NOBODY), Some(NOBODY)).is_err() {
            eprintln!("skipped: {name}: files cannot be given away");
            return;
        }
    }
    let program = project.command(&[]);
    let mut command = Command::new("setpriv");
    let user = ["--reuid=65534", "--regid=65534", "--clear-groups", "--"];
    command
        .args(user)
        .arg(program.get_program())
        .args(["add", "gone"]);
    command.current_dir(project.root()).env_clear();
    let variables = program.get_envs();
    command.envs(variables.filter_map(|(name, value)| Some((name, value?))));
    command.env("PACQUET_STORE_DIR", project.path("store2"));
    command.env("PACQUET_CACHE_DIR", project.path("cache2"));
    let before = files(&project);
    let output = command.output().expect("setpriv runs");
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    if said.contains("setpriv") {
        eprintln!("skipped: {name}: {said}");
        return;
    }
    assert_eq!(output.status.code(), Some(1), "{said}");
    for part in ["ERR_PACQUET_LOCKFILE_WRITE", "user 0", "hint:"] {
        assert!(said.contains(part), "{part}: {said}");
    }
    assert_eq!(files(&project), before);
}

#[test]
fn an_install_ends_well_where_the_cache_cannot_be_written() {
    let project = project("false");
    fs::write(project.path("file"), "").expect("written");
    depend_on(&project, &json!({ "left": "1.0.0" }));
    for _ in 0..2 {
        let mut command = project.command(&["install", "--offline"]);
        command.env("PACQUET_CACHE_DIR", project.path("file/cache"));
        let output = command.output().expect("it runs");
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(output.status.success(), "{said}");
        assert!(!project.node_modules().join("right").exists());
    }
}

/// Makes a file immutable, for as long as it lives.
struct Immutable(std::path::PathBuf);

impl Immutable {
    fn make(path: std::path::PathBuf) -> Option<Self> {
        chattr("+i", &path).then_some(Self(path))
    }
}

impl Drop for Immutable {
    fn drop(&mut self) {
        chattr("-i", &self.0);
    }
}

fn chattr(flag: &str, path: &Path) -> bool {
    let output = Command::new("chattr").arg(flag).arg(path).output();
    output.is_ok_and(|output| output.status.success())
}

#[test]
fn what_nothing_can_take_the_place_of_is_found_before_anything_changes() {
    let project = project("false");
    project.registry.clear_faults();
    for name in [
        "pnpm-lock.yaml",
        "package.json",
        "node_modules",
        "node_modules/.modules.yaml",
        "node_modules/.pnpm-workspace-state-v1.json",
        "node_modules/.pnpm",
        "node_modules/.pnpm/lock.yaml",
    ] {
        let Some(_immutable) = Immutable::make(project.root().join(name)) else {
            eprintln!("skipped: files cannot be made immutable here");
            return;
        };
        let before = (files(&project), project.tree());
        let said = project.fail(&["add", "gone"]);
        assert!(said.contains(name) && said.contains("hint:"), "{said}");
        assert!((files(&project), project.tree()) == before, "{name}");
    }
    project.succeed(&["add", "gone"]);
}
