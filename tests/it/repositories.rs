//! Packages of repositories: what of a commit becomes a package, and who decides on its scripts.

use std::fs;
use std::process::Command;

use pacquet_test_registry::{TarballBuilder, integrity};

use crate::project::Project;

/// Builds `built.js`, which is published; `source.js` is not.
const MANIFEST: &str = r#"{"name":"source","version":"1.2.3","main":"built.js","files":["built.js"],
    "scripts":{"prepare":"cat source.js > built.js","prepack":"echo packed >> built.js"}}"#;

fn write_lockfile(project: &Project, specifier: &str, id: &str, resolution: &str) {
    let manifest = serde_json::json!({"name": "app", "dependencies": {"source": specifier}});
    project.write("package.json", &manifest.to_string());
    let text = format!(
        "lockfileVersion: '9.0'\n\nsettings:\n  autoInstallPeers: true\n  \
         excludeLinksFromLockfile: false\n\nimporters:\n\n  .:\n    dependencies:\n      \
         source:\n        specifier: {specifier}\n        version: {id}\n\npackages:\n\n  \
         source@{id}:\n    resolution: {resolution}\n    version: 1.2.3\n\nsnapshots:\n\n  \
         source@{id}: {{}}\n"
    );
    project.write("pnpm-lock.yaml", &text);
}

fn allow(project: &Project, key: &str) {
    project.write(
        "pnpm-workspace.yaml",
        &format!("allowBuilds:\n  '{key}': true\n"),
    );
}

/// Files of the package, and what `built.js` says.
fn package(project: &Project) -> (Vec<String>, Option<String>) {
    let directory = fs::canonicalize(project.node_modules().join("source")).unwrap();
    let names = fs::read_dir(&directory).unwrap();
    let mut names: Vec<String> = names
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    names.sort();
    (names, fs::read_to_string(directory.join("built.js")).ok())
}

const INSTALL: [&str; 3] = ["install", "--no-virtual", "--frozen-lockfile"];

/// Not without being allowed by its key; as published when allowed; as it is without scripts.
fn check_gate(project: &Project, id: &str) {
    let key = format!("source@{id}");
    let said = project.fail(&INSTALL);
    assert!(
        said.contains("ERR_PNPM_GIT_DEP_PREPARE_NOT_ALLOWED"),
        "{said}"
    );
    assert!(said.contains(&key), "the key is named: {said}");
    assert!(!project.node_modules().join("source").exists());
    project.assert_no_temporary_files("refused");
    allow(project, "source");
    let said = project.fail(&INSTALL);
    assert!(
        said.contains("ERR_PNPM_GIT_DEP_PREPARE_NOT_ALLOWED"),
        "{said}"
    );
    project.succeed(&[&INSTALL[..], &["--ignore-scripts"]].concat());
    let (names, built) = package(project);
    assert_eq!((names, built), (vec!["package.json".to_owned()], None));
    fs::remove_dir_all(project.node_modules()).unwrap();
    allow(project, &key);
    project.succeed(&INSTALL);
    let (names, built) = package(project);
    assert_eq!(names, ["built.js", "package.json"]);
    assert_eq!(built.as_deref(), Some("one\npacked\n"));
    project.assert_no_temporary_files("prepared");
}

#[test]
fn a_commit_is_prepared_where_its_key_is_allowed() {
    let project = Project::new();
    let origin = project.path("origin");
    fs::create_dir(&origin).unwrap();
    fs::write(origin.join("package.json"), MANIFEST).unwrap();
    fs::write(origin.join("source.js"), "one\n").unwrap();
    let script = "git init -q . && git add -A && git -c user.name=n -c user.email=e@e.test \
                  commit -qm one && git rev-parse HEAD";
    let output = Command::new("sh")
        .args(["-c", script])
        .current_dir(&origin)
        .output();
    let commit = String::from_utf8(output.unwrap().stdout).unwrap();
    let (commit, repo) = (commit.trim(), format!("file://{}", origin.display()));
    let id = format!("git+{repo}#{commit}");
    let resolution = format!("{{commit: {commit}, repo: {repo}, type: git}}");
    write_lockfile(&project, &id, &id, &resolution);
    check_gate(&project, &id);
}

fn archive() -> Vec<u8> {
    TarballBuilder::new()
        .file("repository-0123/package.json", MANIFEST)
        .file("repository-0123/source.js", "one\n")
        .finish()
}

#[test]
fn an_archive_of_a_commit_is_prepared_where_its_key_is_allowed() {
    let project = Project::new();
    let bytes = archive();
    let digest = integrity::sha512(&bytes);
    let url = project
        .registry
        .serve("/o/r/tar.gz/0123", "application/gzip", bytes);
    let resolution = format!("{{gitHosted: true, integrity: {digest}, tarball: {url}}}");
    write_lockfile(&project, &url, &url, &resolution);
    check_gate(&project, &url);
}

#[test]
fn an_archive_that_nothing_pins_is_refused_when_frozen_and_else_pinned_and_told_of() {
    let project = Project::new();
    let bytes = archive();
    let digest = integrity::sha512(&bytes);
    let url = project
        .registry
        .serve("/o/r/tar.gz/0123", "application/gzip", bytes);
    let resolution = format!("{{gitHosted: true, tarball: {url}}}");
    write_lockfile(&project, &url, &url, &resolution);
    let path = project.root().join("pnpm-lock.yaml");
    let before = fs::read_to_string(&path).unwrap();
    let said = project.fail(&[&INSTALL[..], &["--ignore-scripts"]].concat());
    assert!(
        said.contains("ERR_PNPM_MISSING_TARBALL_INTEGRITY"),
        "{said}"
    );
    assert_eq!(fs::read_to_string(&path).unwrap(), before);
    let install = [
        "install",
        "--no-virtual",
        "--no-frozen-lockfile",
        "--ignore-scripts",
    ];
    let output = project.run(&install);
    let said = String::from_utf8_lossy(&output.stderr) + String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success(), "{said}");
    assert!(said.contains(&digest), "the digest is told: {said}");
    let after = fs::read_to_string(&path).unwrap();
    let pinned = format!("{{gitHosted: true, integrity: {digest}, tarball: ");
    assert!(after.contains(&pinned), "{after}");
    assert_eq!(after.replace(&format!("integrity: {digest}, "), ""), before);
    project.succeed(&[&INSTALL[..], &["--ignore-scripts"]].concat());
}
