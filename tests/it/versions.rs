//! `version`: the next version of a project, and the commit and the tag that note it.

use std::fs;
use std::process::Command;

use serde_json::{Value, json};

use crate::project::Project;

const MANIFEST: &str = "{\n  \"name\": \"one\",\n  \"version\": \"1.2.3\"\n}\n";

/// A project in a repository of its own, all of which is committed.
fn repository(files: &[(&str, &str)]) -> Project {
    let project = Project::new();
    project.write_home(
        ".gitconfig",
        "[user]\n\tname = Jo\n\temail = jo@x.test\n[init]\n\tdefaultBranch = main\n",
    );
    project.write("package.json", MANIFEST);
    for (path, text) in files {
        project.write(path, text);
    }
    git(&project, &["init", "--quiet"]);
    git(&project, &["add", "--all"]);
    git(&project, &["commit", "--quiet", "--message", "first"]);
    project
}

fn git(project: &Project, words: &[&str]) -> String {
    let output = Command::new("git")
        .args(words)
        .current_dir(project.root())
        .env("HOME", project.path("home"))
        .env("GIT_CONFIG_NOSYSTEM", "1")
        .output()
        .unwrap();
    assert!(output.status.success(), "{words:?}: {output:?}");
    String::from_utf8(output.stdout).unwrap().trim().to_owned()
}

fn version(project: &Project, path: &str) -> Value {
    let text = fs::read_to_string(project.root().join(path)).unwrap();
    serde_json::from_str::<Value>(&text).unwrap()["version"].clone()
}

#[test]
fn a_version_is_written_committed_and_tagged() {
    for (words, settings, expected, tag, message) in [
        (&["patch"][..], "", "1.2.4", "v1.2.4", "1.2.4"),
        (&["5.0.0"], "", "5.0.0", "v5.0.0", "5.0.0"),
        (
            &["preminor", "--preid", "beta"],
            "",
            "1.3.0-beta.0",
            "v1.3.0-beta.0",
            "1.3.0-beta.0",
        ),
        (
            &["major", "-m", "now %s"],
            "",
            "2.0.0",
            "v2.0.0",
            "now 2.0.0",
        ),
        (
            &["minor", "--tag-version-prefix", ""],
            "",
            "1.3.0",
            "1.3.0",
            "1.3.0",
        ),
        (
            &["minor"],
            "tagVersionPrefix: rel-\n",
            "1.3.0",
            "rel-1.3.0",
            "1.3.0",
        ),
    ] {
        let project = repository(&[("pnpm-workspace.yaml", settings)]);
        let said = project.succeed(&[&["version"], words].concat());
        let line = format!("Version bumped successfully:\none: 1.2.3 → {expected}\n");
        assert_eq!(said, line, "{words:?}");
        let written = fs::read_to_string(project.root().join("package.json")).unwrap();
        assert_eq!(written, MANIFEST.replace("1.2.3", expected), "{words:?}");
        assert_eq!(git(&project, &["status", "--porcelain"]), "", "{words:?}");
        assert_eq!(
            git(&project, &["describe", "--exact-match"]),
            tag,
            "{words:?}"
        );
        assert_eq!(
            git(&project, &["log", "-1", "--format=%s"]),
            message,
            "{words:?}"
        );
    }
}

#[test]
fn nothing_is_noted_where_that_is_not_wanted() {
    for (words, settings, is_written) in [
        (&["patch", "--no-git-tag-version"][..], "", true),
        (&["patch"], "gitTagVersion: false\n", true),
        (&["patch", "--dry-run"], "", false),
    ] {
        let project = repository(&[("pnpm-workspace.yaml", settings)]);
        project.succeed(&[&["version"], words].concat());
        let expected = if is_written { "1.2.4" } else { "1.2.3" };
        assert_eq!(version(&project, "package.json"), expected, "{words:?}");
        assert_eq!(git(&project, &["tag"]), "", "{words:?}");
    }
    let project = Project::new();
    project.write("package.json", MANIFEST);
    project.succeed(&["version", "patch"]);
    assert_eq!(version(&project, "package.json"), "1.2.4");
}

#[test]
fn what_is_not_committed_and_what_is_tagged_is_in_the_way() {
    for (words, code) in [
        (&["patch"][..], "ERR_PNPM_UNCLEAN_WORKING_TREE"),
        (&["1.2.9", "--no-git-checks"], "ERR_PNPM_GIT_COMMAND_FAILED"),
        (
            &["1.2.3", "--no-git-checks"],
            "ERR_PNPM_VERSION_NOT_CHANGED",
        ),
        (
            &["nonsense", "--no-git-checks"],
            "ERR_PNPM_INVALID_VERSION_BUMP",
        ),
        (&[], "ERR_PNPM_INVALID_VERSION_BUMP"),
        (
            &["from-git", "--no-git-checks"],
            "ERR_PNPM_GIT_COMMAND_FAILED",
        ),
    ] {
        let project = repository(&[]);
        git(&project, &["tag", "v1.2.9"]);
        project.write("other", "");
        let said = project.fail(&[&["version"], words].concat());
        assert!(said.contains(code), "{words:?}: {said}");
        assert_eq!(version(&project, "package.json"), "1.2.3", "{words:?}");
        assert_eq!(git(&project, &["log", "--format=%s"]), "first", "{words:?}");
    }
    let project = repository(&[("package.json", "{}")]);
    let said = project.fail(&["version", "patch"]);
    assert!(said.contains("ERR_PNPM_NO_PACKAGES_TO_VERSION"), "{said}");
}

#[test]
fn scripts_run_around_it_and_what_they_stage_is_committed() {
    let scripts = json!({
        "preversion": "test \"$npm_package_version\" = 1.2.3",
        "version": "echo \"$npm_package_version\" > made && git add made",
        "postversion": "git describe --exact-match",
    });
    let manifest = json!({ "name": "one", "version": "1.2.3", "scripts": scripts }).to_string();
    let project = repository(&[("package.json", &manifest)]);
    project.succeed(&["version", "patch"]);
    assert_eq!(git(&project, &["show", "HEAD:made"]), "1.2.4");
    // The first one fails where the version is another: then nothing is written.
    let manifest = manifest.replace(r#""version":"1.2.3""#, r#""version":"7.0.0""#);
    let project = repository(&[("package.json", &manifest)]);
    let said = project.fail(&["version", "patch"]);
    assert!(
        said.contains("ERR_PNPM_EXECUTOR_LIFECYCLE_SCRIPT_FAILED"),
        "{said}"
    );
    assert_eq!(version(&project, "package.json"), "7.0.0");
    project.succeed(&["version", "patch", "--ignore-scripts"]);
}

#[test]
fn projects_of_a_workspace_are_written_and_not_noted() {
    let project = repository(&[
        ("pnpm-workspace.yaml", "packages: [p/*]\n"),
        ("p/a/package.json", r#"{"name":"a","version":"0.1.0"}"#),
        ("p/b/package.json", r#"{"name":"b"}"#),
    ]);
    let said = project.succeed(&["version", "minor", "--filter", "a", "--json"]);
    let said: Value = serde_json::from_str(&said).unwrap();
    let path = project.root().join("p/a");
    let expected = json!([{
        "name": "a",
        "currentVersion": "0.1.0",
        "newVersion": "0.2.0",
        "path": path.to_string_lossy(),
    }]);
    assert_eq!(said, expected);
    git(
        &project,
        &["commit", "--quiet", "--all", "--message", "second"],
    );
    project.succeed(&["version", "patch", "-r"]);
    assert_eq!(version(&project, "package.json"), "1.2.4");
    assert_eq!(version(&project, "p/a/package.json"), "0.2.1");
    assert_eq!(git(&project, &["tag"]), "");
    let said = project.fail(&["version", "-r"]);
    assert!(said.contains("ERR_PACQUET_ABSENT"), "{said}");
}
