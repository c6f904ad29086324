//! `deploy`: one project of a workspace, whole, somewhere else.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::Path;
use std::process::Command;

use pacquet_test_registry::{Fault, Package, When, tarball_path};
use serde_json::{Value, json};

use crate::project::Project;

/// `a` needs `b`, which needs `c` and packages; `c` has a peer that `a` has in another version than
/// `c` is developed with.
fn workspace(settings: &str) -> Project {
    let project = Project::new();
    for package in [
        Package::new("one", "1.0.0").file("index.js", "module.exports = 'one 1.0.0'"),
        Package::new("one", "1.1.0").file("index.js", "module.exports = 'one 1.1.0'"),
        Package::new("two", "1.0.0").file("index.js", "module.exports = 'two'"),
        Package::new("dev", "1.0.0"),
        Package::new("opt", "1.0.0"),
    ] {
        project.registry.publish(&package);
    }
    project.write(
        "pnpm-workspace.yaml",
        &format!("packages:\n  - packages/*\n{settings}"),
    );
    project.write("package.json", r#"{"name":"root","private":true}"#);
    let manifest = json!({
        "name": "a", "version": "1.0.0", "files": ["src"],
        "dependencies": { "b": "workspace:*", "one": "1.1.0", "alias": "npm:two@1.0.0" },
        "devDependencies": { "dev": "1.0.0" },
        "optionalDependencies": { "opt": "1.0.0" }
    });
    project.write("packages/a/package.json", &manifest.to_string());
    project.write(
        "packages/a/src/main.js",
        "console.log([require('b'), require('alias'), require('one')].join())",
    );
    project.write("packages/a/secret.txt", "not published");
    let manifest = json!({
        "name": "b", "version": "1.2.0", "dependencies": { "c": "workspace:^" }
    });
    project.write("packages/b/package.json", &manifest.to_string());
    project.write(
        "packages/b/index.js",
        "module.exports = 'b ' + require('c')",
    );
    let manifest = json!({
        "name": "c", "version": "2.0.0", "bin": "index.js",
        "devDependencies": { "one": "1.0.0" }, "peerDependencies": { "one": "^1.0.0" }
    });
    project.write("packages/c/package.json", &manifest.to_string());
    project.write(
        "packages/c/index.js",
        "module.exports = 'c ' + require('one')",
    );
    project.succeed(&["install", "--no-virtual"]);
    project
}

fn says(project: &Project, path: &str) -> String {
    let mut command = Command::new("node");
    let output = command
        .arg("src/main.js")
        .current_dir(project.path(path))
        .output();
    let output = output.expect("node runs");
    let both = [output.stdout, output.stderr].concat();
    String::from_utf8_lossy(&both).trim().to_owned()
}

fn deploys(settings: &str) {
    let project = workspace(settings);
    let target = project.path("out");
    let shown = target.to_str().expect("UTF-8");
    project.succeed(&["--filter", "a", "deploy", "--prod", shown]);
    // The workspace is not needed any more.
    fs::rename(project.root(), project.path("elsewhere")).expect("moved");
    assert_eq!(says(&project, "out"), "b c one 1.1.0,two,one 1.1.0");
    let real = target.join("node_modules/b").canonicalize().expect("there");
    assert!(real.starts_with(target.canonicalize().expect("there")));
    assert!(!target.join("secret.txt").exists());
    assert!(!target.join("node_modules/dev").exists());
    assert!(target.join("node_modules/opt").exists());
    let manifest = fs::read(target.join("package.json")).expect("there");
    let manifest: Value = serde_json::from_slice(&manifest).expect("JSON");
    assert_eq!(manifest["dependencies"]["one"], "1.1.0");
    assert_eq!(manifest["dependencies"]["alias"], "npm:two@1.0.0");
    assert_eq!(manifest["devDependencies"], json!({}));
    fs::rename(project.path("elsewhere"), project.root()).expect("moved back");
    // What is there is what is locked there.
    let mut command = project.command(&["install", "--frozen-lockfile", "--no-virtual"]);
    let output = command.current_dir(&target).output().expect("it starts");
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(output.status.success(), "{said}");
}

#[test]
fn a_project_is_deployed_with_what_it_links() {
    deploys("");
}

#[test]
fn a_project_is_deployed_with_what_is_injected() {
    deploys("injectWorkspacePackages: true\n");
}

#[test]
fn a_project_is_deployed_as_a_flat_tree() {
    deploys("nodeLinker: hoisted\n");
}

#[test]
fn patches_and_overrides_of_the_workspace_are_in_what_is_deployed() {
    let project = workspace("");
    let patch = "diff --git a/n.txt b/n.txt\nnew file mode 100644\nindex 0000000..3e75765\n\
                 --- /dev/null\n+++ b/n.txt\n@@ -0,0 +1 @@\n+new\n";
    project.write("patches/two.patch", patch);
    project.write(
        "pnpm-workspace.yaml",
        "packages:\n  - packages/*\npatchedDependencies:\n  two: patches/two.patch\n\
         overrides:\n  one: 1.0.0\n  b>two: 3.0.0\n",
    );
    project.registry.publish(&Package::new("two", "3.0.0"));
    let manifest = r#"{"name":"b","dependencies":{"c":"workspace:^","two":"^1.0.0"}}"#;
    project.write("packages/b/package.json", manifest);
    project.succeed(&["install", "--no-virtual"]);
    project.succeed(&["--filter", "a", "deploy", "out"]);
    let modules = project.root().join("out/node_modules");
    assert_eq!(
        fs::read_to_string(modules.join("alias/n.txt")).expect("there"),
        "new\n"
    );
    assert!(modules.join("dev").exists());
    let manifest = fs::read_to_string(modules.join("one/package.json")).expect("there");
    assert!(manifest.contains("1.0.0"), "{manifest}");
}

#[test]
fn a_project_is_deployed_without_a_lockfile_of_all() {
    let settings = "sharedWorkspaceLockfile: false\n";
    let project = workspace(settings);
    project.succeed(&["install", "--no-virtual"]);
    let out = project.root().join("out");
    let deploy = |flags: &[&str]| {
        let words = [&["--filter", "a", "deploy", "--prod", "out"], flags].concat();
        project.succeed(&words);
        let copied = fs::canonicalize(out.join("node_modules/b")).expect("there");
        assert!(copied.starts_with(out.canonicalize().expect("there")));
        assert!(!out.join("pnpm-lock.yaml").exists());
        assert!(!out.join("node_modules/dev").exists());
        let manifest = fs::read_to_string(out.join("package.json")).expect("there");
        // Its style is that of the project's own, which is in one line.
        assert!(manifest.contains(r#""injected":true"#), "{manifest}");
    };
    deploy(&[]);
    let project_lockfile = project.root().join("packages/a/pnpm-lock.yaml");
    let before = fs::read(&project_lockfile).expect("there");
    project.write("pnpm-workspace.yaml", "packages:\n  - packages/*\n");
    fs::remove_file(project.root().join("pnpm-lock.yaml")).expect("was there");
    deploy(&["--force"]);
    assert_eq!(fs::read(&project_lockfile).expect("there"), before);
}

#[test]
fn everything_is_deployed_where_that_is_set() {
    let project = workspace("deployAllFiles: true\n");
    project.write("packages/b/.npmignore", "index.ts\n");
    project.write("packages/b/index.ts", "source");
    project.write("packages/a/node_modules/own/mine.js", "");
    symlink("secret.txt", project.root().join("packages/a/link")).expect("linked");
    project.succeed(&["--filter", "a", "deploy", "out"]);
    let there = |path: &str| project.root().join("out").join(path).exists();
    assert!(there("secret.txt") && there("node_modules/b/index.ts"));
    assert!(!there("node_modules/own") && !there("node_modules/b/node_modules/c"));
    let link = project.root().join("out/link");
    assert_eq!(
        fs::read_link(link).expect("a link"),
        Path::new("secret.txt")
    );
}

#[test]
fn what_is_deployed_is_not_made_ready_again() {
    let project = workspace("");
    project.write(
        "packages/a/package.json",
        r#"{"name":"a","scripts":{"postinstall":"touch installed","prepare":"touch prepared"}}"#,
    );
    project.succeed(&["install", "--no-virtual"]);
    fs::remove_file(project.root().join("packages/a/installed")).expect("it ran");
    fs::remove_file(project.root().join("packages/a/prepared")).expect("it ran");
    project.succeed(&["--filter", "a", "deploy", "out"]);
    assert!(project.root().join("out/installed").exists());
    assert!(!project.root().join("out/prepared").exists());
}

#[test]
fn what_cannot_be_deployed_is_told_and_leaves_nothing() {
    let project = workspace("");
    project.write("full/file", "");
    for (arguments, code) in [
        (&["deploy", "out"][..], "ERR_PNPM_CANNOT_DEPLOY_MANY"),
        (
            &["--filter", "x", "deploy", "out"],
            "ERR_PNPM_NOTHING_TO_DEPLOY",
        ),
        (
            &["--filter", "a", "deploy"],
            "ERR_PNPM_INVALID_DEPLOY_TARGET",
        ),
        (
            &["--filter", "a", "deploy", "full"],
            "ERR_PNPM_DEPLOY_DIR_NOT_EMPTY",
        ),
        (
            &["--filter", "a", "deploy", "--force", "packages"],
            "ERR_PNPM_DEPLOY_DIR_NOT_EMPTY",
        ),
        (
            &["--ignore-workspace", "deploy", "out"],
            "ERR_PNPM_CANNOT_DEPLOY",
        ),
    ] {
        let said = project.fail(arguments);
        assert!(said.contains(code), "{arguments:?}: {said}");
    }
    assert!(project.root().join("packages/a/package.json").exists());
    project.forget_everything();
    let path = tarball_path("two", "1.0.0");
    project
        .registry
        .fault(&path, When::Always, Fault::Status(404));
    project.fail(&["--filter", "a", "deploy", "out"]);
    assert!(!project.root().join("out").exists());
    project.registry.clear_faults();
    project.succeed(&["--filter", "a", "deploy", "--force", "full"]);
    assert!(!project.root().join("full/file").exists());
    assert!(project.root().join("full/node_modules/b").exists());
    let before = fs::read(project.root().join("pnpm-lock.yaml")).expect("there");
    project.write(
        "packages/a/package.json",
        r#"{"name":"a","dependencies":{"one":"1.0.0"}}"#,
    );
    let said = project.fail(&["--filter", "a", "deploy", "out"]);
    assert!(said.contains("ERR_PNPM_OUTDATED_LOCKFILE"), "{said}");
    assert_eq!(
        fs::read(project.root().join("pnpm-lock.yaml")).expect("there"),
        before
    );
}
