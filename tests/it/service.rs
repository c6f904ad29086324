//! The unit that mounts at login.

use std::fs;
use std::process::{Command, Output};

use pacquet_test_registry::Package;
use serde_json::json;

use crate::project::{Project, can_mount};

fn project() -> Project {
    let manifest = json!({
        "name": "app", "version": "1.0.0", "dependencies": { "one": "1.0.0" }
    });
    Project::locked(
        &manifest,
        &[Package::new("one", "1.0.0").file("index.js", "one")],
    )
}

/// The units of the user: the files and the links that start them.
fn units(project: &Project) -> Vec<String> {
    let units = project.path("home/.config/systemd/user");
    let mut found = Vec::new();
    for (prefix, directory) in [
        ("", units.clone()),
        ("at login: ", units.join("default.target.wants")),
    ] {
        for entry in fs::read_dir(directory).into_iter().flatten() {
            let entry = entry.unwrap();
            if !entry.file_type().unwrap().is_dir() {
                found.push(format!("{prefix}{}", entry.file_name().to_str().unwrap()));
            }
        }
    }
    found.sort();
    found
}

/// Runs a line of the unit, as the user manager does.
fn start(project: &Project, unit: &str, what: &str) -> Output {
    let line = unit
        .lines()
        .find_map(|line| line.strip_prefix(what))
        .unwrap();
    let program = project.command(&[]);
    let environment = program.get_envs();
    let environment = environment.filter_map(|(name, value)| Some((name, value?)));
    Command::new("sh")
        .args(["-c", line])
        .current_dir("/")
        .env_clear()
        .envs(environment.filter(|(name, _)| *name != "PACQUET_STORE_DIR"))
        .output()
        .unwrap()
}

#[test]
fn a_unit_mounts_at_login_and_unmounts_at_logout() {
    if !can_mount("a_unit_mounts_at_login_and_unmounts_at_logout") {
        return;
    }
    let project = project();
    project.succeed(&["install", "--virtual"]);
    project.succeed(&["service", "install"]);
    project.succeed(&["service", "install"]);
    let found = units(&project);
    let [link, name] = &found[..] else {
        panic!("{found:?}");
    };
    assert_eq!(*link, format!("at login: {name}"));
    let path = project.path("home/.config/systemd/user").join(name);
    let unit = fs::read_to_string(&path).unwrap();
    let verified = Command::new("systemd-analyze")
        .args(["verify", "--user", "--man=no"])
        .arg(&path)
        .env("XDG_RUNTIME_DIR", project.path("run"))
        .output();
    if let Ok(verified) = verified {
        let said = String::from_utf8_lossy(&verified.stderr).into_owned();
        assert!(!said.contains(name.as_str()), "{said}");
    }
    // What is mounted stays as it is; what a power cut left is mounted again.
    let server = project.status()["server_pid"].clone();
    assert!(start(&project, &unit, "ExecStart=").status.success());
    assert_eq!(project.status()["server_pid"], server);
    let stopped = start(&project, &unit, "ExecStop=");
    assert!(stopped.status.success(), "{stopped:?}");
    assert!(!project.is_mounted());
    let started = start(&project, &unit, "ExecStart=");
    assert!(started.status.success(), "{started:?}");
    let file = project.node_modules().join("one/index.js");
    assert_eq!(fs::read_to_string(&file).unwrap(), "one");
    project.unmount();
    project.succeed(&["service", "remove"]);
    assert_eq!(units(&project), [""; 0]);
    assert!(
        project
            .fail(&["service", "remove"])
            .contains("ERR_PACQUET_NO_SERVICE")
    );
}

#[test]
fn what_is_served_stays_served_when_dependencies_change() {
    if !can_mount("what_is_served_stays_served_when_dependencies_change") {
        return;
    }
    let project = project();
    project.succeed(&["install", "--virtual"]);
    project
        .registry
        .publish(&Package::new("two", "1.0.0").file("index.js", "two"));
    let supervisor = project.status()["supervisor_pid"].clone();
    let held = fs::File::open(project.node_modules().join("one/index.js")).unwrap();
    project.succeed(&["add", "two@1.0.0"]);
    let added = fs::read_to_string(project.node_modules().join("two/index.js"));
    assert_eq!(added.unwrap(), "two");
    assert_eq!(project.status()["supervisor_pid"], supervisor);
    project.succeed(&["remove", "one"]);
    assert!(fs::symlink_metadata(project.node_modules().join("one")).is_err());
    assert_eq!(project.status()["supervisor_pid"], supervisor);
    assert_eq!(std::io::read_to_string(held).unwrap(), "one");
    project.succeed(&["install"]);
    project.succeed(&["rebuild"]);
    assert_eq!(project.status()["supervisor_pid"], supervisor);
    project.succeed(&["install", "--no-virtual"]);
    assert!(!project.is_mounted());
    project.succeed(&["install", "--virtual"]);
    project.unmount();
    project.succeed(&["install"]);
    assert!(!project.is_mounted());
}

#[test]
fn what_a_reboot_left_is_mounted_by_the_next_command() {
    if !can_mount("what_a_reboot_left_is_mounted_by_the_next_command") {
        return;
    }
    let project = project();
    project.succeed(&["install", "--virtual"]);
    let run = project.path("run/pacquet");
    // What nobody takes away when the power goes: states of processes, and what was served.
    let state = |project: &Project| {
        let entries = ["run/pacquet", "cache/choices"].map(|path| fs::read_dir(project.path(path)));
        let entries = entries.into_iter().flat_map(|entries| entries.unwrap());
        let paths = entries.map(|entry| entry.unwrap().path());
        paths
            .filter(|path| path.extension().is_some_and(|end| end == "json"))
            .map(|path| (path.clone(), fs::read(path).unwrap()))
            .collect::<Vec<_>>()
    };
    project.write("node_modules/written", "kept");
    let commands: [&[&str]; 5] = [
        &["install"],
        &["exec", "cat", "node_modules/one/index.js"],
        &["run", "look"],
        &["mount"],
        &["install", "--virtual"],
    ];
    let mut manifest: serde_json::Value =
        serde_json::from_str(&fs::read_to_string(project.root().join("package.json")).unwrap())
            .unwrap();
    manifest["scripts"] = json!({ "look": "cat node_modules/one/index.js" });
    project.write("package.json", &manifest.to_string());
    for command in commands {
        let before = state(&project);
        assert_eq!(before.len(), 2, "{}", run.display());
        project.unmount();
        for (path, text) in before {
            fs::write(path, text).unwrap();
        }
        project.succeed(command);
        let file = project.node_modules().join("one/index.js");
        assert_eq!(fs::read_to_string(file).unwrap(), "one", "{command:?}");
        let written = fs::read_to_string(project.node_modules().join("written"));
        assert_eq!(written.unwrap(), "kept", "{command:?}");
    }
    project.unmount();
}
