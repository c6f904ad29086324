//! Runtimes that a lockfile has: installed like packages, and found by scripts.

use std::fs;
use std::os::unix::fs::PermissionsExt;

use pacquet_test_registry::Package;
use serde_json::json;

use crate::project::{Project, can_mount};

const CPU: &str = if cfg!(target_arch = "aarch64") {
    "arm64"
} else {
    "x64"
};

/// A project whose runtime says of itself that it is Node 22.1.0, in one variant for this machine
/// and others that nobody serves.
fn project(cpu: &str) -> Project {
    let project = Project::new();
    let archive = Package::new("node", "22.1.0")
        .executable("bin/node", "#!/bin/sh\necho runtime \"$@\"\n")
        .executable("bin/npm", "#!/bin/sh\n")
        .file("lib/node_modules/npm/index.js", "")
        .file("LICENSE", "free")
        .build();
    let path = "/dist/v22.1.0/node-v22.1.0.tar.gz";
    let registry = &project.registry;
    let url = registry.serve(path, "application/gzip", archive.tarball.clone());
    project.registry.publish(&Package::new("other", "1.0.0"));
    let manifest = json!({
        "name": "app",
        "scripts": { "say": "node hello" },
        "devEngines": {
            "runtime": { "name": "node", "version": "22.1.0", "onFail": "download" }
        },
    });
    project.write("package.json", &manifest.to_string());
    let variant = |cpu: &str, url: &str| {
        format!(
            "        - resolution:
            archive: tarball
            bin:
              node: bin/node
            integrity: {}
            type: binary
            url: {url}
          targets:
            - cpu: {cpu}
              os: linux
",
            archive.integrity
        )
    };
    let lockfile = format!(
        "lockfileVersion: '9.0'

settings:
  autoInstallPeers: true
  excludeLinksFromLockfile: false

importers:

  .:
    devDependencies:
      node:
        specifier: runtime:22.1.0
        version: runtime:22.1.0

packages:

  node@runtime:22.1.0:
    resolution:
      type: variations
      variants:
{}{}    version: 22.1.0
    hasBin: true

snapshots:

  node@runtime:22.1.0: {{}}
",
        variant("s390x", "http://127.0.0.1:9/none.tar.gz"),
        variant(cpu, &url)
    );
    project.write("pnpm-lock.yaml", &lockfile);
    project
}

fn check_tree(project: &Project) {
    let modules = project.node_modules();
    let package = modules.join("node");
    let manifest = fs::read_to_string(package.join("package.json")).unwrap();
    let expected = r#"{"name":"node","version":"22.1.0","bin":{"node":"bin/node"}}"#;
    assert_eq!(manifest, expected);
    assert!(package.join("LICENSE").exists());
    assert!(!package.join("bin/npm").exists() && !package.join("lib").exists());
    let command = fs::read_link(modules.join(".bin/node")).unwrap();
    assert!(command.ends_with("node/bin/node"), "{command:?}");
    assert!(
        modules
            .join(".pnpm/node@runtime+22.1.0/node_modules/node")
            .exists()
    );
    let said = project.succeed(&["run", "say"]);
    assert!(said.contains("runtime hello"), "{said}");
    assert_eq!(project.succeed(&["exec", "node", "x"]), "runtime x\n");
}

#[test]
fn a_runtime_is_installed_and_runs_scripts() {
    let project = project(CPU);
    let locked = fs::read_to_string(project.root().join("pnpm-lock.yaml")).unwrap();
    project.succeed(&["install", "--frozen-lockfile"]);
    check_tree(&project);
    assert!(project.registry.requests_for("/node").is_empty());
    project.succeed(&["install", "--prod", "--frozen-lockfile"]);
    assert!(!project.node_modules().join("node").exists());
    // It stays locked where something else changes.
    project.succeed(&["add", "other@1.0.0"]);
    let changed = fs::read_to_string(project.root().join("pnpm-lock.yaml")).unwrap();
    let entry = locked.split("packages:\n").nth(1).unwrap();
    let entry = entry.split("snapshots:").next().unwrap().trim();
    assert!(changed.contains(entry), "{changed}");
    let manifest = fs::read_to_string(project.root().join("package.json")).unwrap();
    assert!(!manifest.contains("devDependencies"), "{manifest}");
    check_tree(&project);
}

#[test]
fn runtimes_are_left_out_where_somebody_says_so() {
    let project = project(CPU);
    let locked = fs::read_to_string(project.root().join("pnpm-lock.yaml")).unwrap();
    for command in ["install", "ci"] {
        project.succeed(&["install", "--frozen-lockfile"]);
        assert!(project.node_modules().join("node").exists());
        project.succeed(&[command, "--no-runtime"]);
        assert!(!project.node_modules().join("node").exists(), "{command}");
        let after = fs::read_to_string(project.root().join("pnpm-lock.yaml")).unwrap();
        assert_eq!(after, locked, "{command}");
    }
    project.write("pnpm-workspace.yaml", "runtime: false\n");
    project.forget_everything();
    project.succeed(&["fetch"]);
    assert_eq!(project.packages_in_store(), 0);
    project.succeed(&["install", "--frozen-lockfile"]);
    // A script that runs installs none either.
    project.run(&["run", "say"]);
    assert!(!project.node_modules().join("node").exists());
}

#[test]
fn a_runtime_is_served() {
    if !can_mount("a_runtime_is_served") {
        return;
    }
    let project = project(CPU);
    project.succeed(&["install", "--virtual", "--frozen-lockfile"]);
    check_tree(&project);
    project.unmount();
}

#[test]
fn a_runtime_for_other_machines_or_with_other_content_is_refused() {
    let elsewhere = project("s390x");
    let said = elsewhere.fail(&["install", "--frozen-lockfile"]);
    assert!(
        said.contains("ERR_PNPM_UNSUPPORTED_RESOLUTION_TYPE"),
        "{said}"
    );
    assert!(said.contains("none is for this machine"), "{said}");
    let other = project(CPU);
    let bytes = Package::new("node", "22.1.0").build().tarball;
    let path = "/dist/v22.1.0/node-v22.1.0.tar.gz";
    other.registry.serve(path, "application/gzip", bytes);
    let said = other.fail(&["install", "--frozen-lockfile"]);
    assert!(said.contains("ERR_PNPM_TARBALL_INTEGRITY"), "{said}");
    assert!(!other.node_modules().join("node").exists());
}

#[test]
fn what_is_not_to_be_downloaded_is_no_dependency() {
    let project = Project::new();
    let manifest = json!({
        "name": "app",
        "devEngines": { "runtime": { "name": "node", "version": "22", "onFail": "ignore" } },
    });
    project.write("package.json", &manifest.to_string());
    project.succeed(&["install"]);
    let manifest = json!({
        "name": "app",
        "engines": { "runtime": [{ "name": "node", "version": "22", "onFail": "download" }] },
    });
    project.write("package.json", &manifest.to_string());
    let said = project.fail(&["install"]);
    assert!(said.contains("runtime:22"), "{said}");
}

#[test]
fn a_runtime_that_is_another_one_is_told_of_as_the_project_or_the_setting_says() {
    const CODE: &str = "ERR_PNPM_BAD_RUNTIME_VERSION";
    let project = Project::new();
    let program = project.path("bin/deno");
    fs::create_dir(project.path("bin")).unwrap();
    fs::write(&program, "#!/bin/sh\necho 'deno 2.1.0 (stable)'\n").unwrap();
    fs::set_permissions(&program, PermissionsExt::from_mode(0o755)).unwrap();
    let path = std::env::var("PATH").unwrap_or_default();
    let path = format!("{}:{path}", project.path("bin").display());
    for (version, reaction, set, is_told, is_refused) in [
        ("^2", "error", "", false, false),
        ("^1", "error", "", true, true),
        ("^1", "warn", "", true, false),
        ("^1", "ignore", "", false, false),
        ("^1", "error", "runtimeOnFail: ignore", false, false),
        ("^1", "error", "runtimeOnFail: warn", true, false),
        ("^1", "ignore", "runtimeOnFail: error", true, true),
        ("of old", "error", "", true, true),
    ] {
        let runtime = json!({ "name": "deno", "version": version, "onFail": reaction });
        let manifest = json!({ "name": "app", "devEngines": { "runtime": [runtime] } });
        project.write("package.json", &manifest.to_string());
        project.write("pnpm-workspace.yaml", &format!("{set}\n"));
        let output = project.command(&["list"]).env("PATH", &path).output();
        let output = output.unwrap();
        let said = String::from_utf8_lossy(&output.stderr);
        let case = format!("{version} {reaction} {set}: {said}");
        assert_eq!(said.contains(CODE), is_told, "{case}");
        assert_eq!(!output.status.success(), is_refused, "{case}");
    }
}

#[test]
fn runtimes_to_download_are_dependencies_only_where_the_setting_lets_them() {
    let project = Project::new();
    project.registry.publish(&Package::new("one", "1.0.0"));
    let runtime = json!({ "name": "node", "version": "22.0.0", "onFail": "download" });
    let manifest = json!({
        "name": "app", "dependencies": { "one": "1.0.0" }, "devEngines": { "runtime": runtime }
    });
    project.write("package.json", &manifest.to_string());
    let said = project.fail(&["install"]);
    assert!(said.contains("runtime:22.0.0"), "{said}");
    project.write("pnpm-workspace.yaml", "runtimeOnFail: ignore\n");
    project.succeed(&["install"]);
    let lockfile = fs::read_to_string(project.root().join("pnpm-lock.yaml")).unwrap();
    assert!(!lockfile.contains("node"), "{lockfile}");
    project.succeed(&["install", "--frozen-lockfile"]);
}

#[test]
fn the_setting_decides_about_other_package_managers() {
    let project = Project::new();
    project.write(
        "package.json",
        r#"{"name":"app","packageManager":"yarn@1.22.0"}"#,
    );
    let said = project.fail(&["install"]);
    assert!(said.contains("ERR_PNPM_OTHER_PM_EXPECTED"), "{said}");
    for (reaction, is_told) in [("warn", true), ("ignore", false)] {
        project.write("pnpm-workspace.yaml", &format!("pmOnFail: {reaction}\n"));
        let output = project.run(&["install"]);
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{said}");
        assert_eq!(
            said.contains("ERR_PNPM_OTHER_PM_EXPECTED"),
            is_told,
            "{said}"
        );
    }
}
