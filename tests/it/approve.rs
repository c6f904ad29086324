//! Deciding on scripts, running them again, and commands of packages that are no dependencies.

use std::fs;

use pacquet_test_registry::Package;
use serde_json::json;

use crate::project::{Project, can_mount};

fn project(settings: &str) -> Project {
    let manifest = json!({
        "name": "app", "version": "1.0.0", "dependencies": { "one": "1.0.0", "@s/two": "1.0.0" }
    });
    let log = |name: &str| format!("echo {name} >> $INIT_CWD/log; echo made > made");
    let packages = [
        Package::new("one", "1.0.0").script("install", &log("one")),
        Package::new("@s/two", "1.0.0").script("install", &log("two")),
    ];
    let project = Project::locked(&manifest, &packages);
    project.write("pnpm-workspace.yaml", settings);
    project
}

fn log(project: &Project) -> String {
    fs::read_to_string(project.root().join("log"))
        .unwrap_or_default()
        .replace('\n', " ")
}

#[test]
fn ignored_builds_are_listed_approved_and_built() {
    let project = project("# mine\nhoist: true\n");
    let said = project.succeed(&["ignored-builds"]);
    assert!(
        said.contains("Cannot identify as no node_modules found"),
        "{said}"
    );
    assert!(
        project
            .fail(&["install"])
            .contains("ERR_PNPM_IGNORED_BUILDS")
    );
    let said = project.succeed(&["ignored-builds"]);
    assert!(
        said.contains("\n  @s/two\n  one\n") && said.contains("allowBuilds"),
        "{said}"
    );
    let said = project.fail(&["approve-builds"]);
    assert!(
        said.contains("ERR_PNPM_APPROVE_BUILDS_NEEDS_TERMINAL"),
        "{said}"
    );
    let settings = || fs::read_to_string(project.root().join("pnpm-workspace.yaml")).unwrap();
    project.succeed(&["approve-builds", "one"]);
    assert!(
        settings().contains("allowBuilds:\n  one: true\n"),
        "{}",
        settings()
    );
    let output = project.run(&["approve-builds", "!@s/two", "other"]);
    assert!(output.status.success());
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(said.contains("not awaiting approval: other"), "{said}");
    let sorted = "allowBuilds:\n  '@s/two': false\n  one: true\n  other: true\n";
    assert!(settings().contains(sorted), "{}", settings());
    assert_eq!(log(&project), "one ");
    assert!(project.node_modules().join("one/made").exists());
    let said = project.succeed(&["ignored-builds"]);
    let denied = "  None\n\nExplicitly ignored package builds (via allowBuilds):\n  @s/two\n";
    assert!(said.contains(denied), "{said}");
    let said = project.succeed(&["approve-builds", "--all"]);
    assert!(said.contains("no packages awaiting"), "{said}");
    project.succeed(&["install"]);
}

#[test]
fn rebuild_runs_scripts_again_of_all_or_of_those_that_are_named() {
    let project = project("allowBuilds:\n  one: true\n  '@s/two': true\nchildConcurrency: 1\n");
    project.succeed(&["install"]);
    assert_eq!(log(&project), "two one ");
    project.succeed(&["install"]);
    assert_eq!(log(&project), "two one ");
    project.succeed(&["rebuild", "one"]);
    assert_eq!(log(&project), "two one one ");
    project.succeed(&["rebuild"]);
    assert_eq!(log(&project), "two one one two one ");
    let later = self::project("allowBuilds:\n  one: true\n  '@s/two': true\nchildConcurrency: 1\n");
    later.succeed(&["install", "--ignore-scripts"]);
    assert_eq!(log(&later), "");
    later.succeed(&["rebuild"]);
    assert_eq!(log(&later), "two one ");
}

#[test]
fn a_package_that_is_no_dependency_is_run_from_the_cache() {
    let project = Project::new();
    let tool = |version: &str| {
        Package::new("tool", version)
            .executable(
                "cli.sh",
                format!("#!/bin/sh\npwd; echo {version} \"$@\"; exit 4\n"),
            )
            .bin("tool", "cli.sh")
            .bin("other", "cli.sh")
    };
    for version in ["1.0.0", "2.0.0"] {
        project.registry.publish(&tool(version));
    }
    let creator = Package::new("create-thing", "1.0.0")
        .executable("cli.sh", "#!/bin/sh\necho created \"$@\"\n")
        .bin("create-thing", "cli.sh");
    project.registry.publish(&creator);
    project.registry.publish(&Package::new("plain", "1.0.0"));
    let here = project.root().display().to_string();
    for (arguments, expected) in [
        (&["dlx", "tool", "a b", "--c"][..], "2.0.0 a b --c"),
        (&["dlx", "tool@1.0.0"], "1.0.0"),
        (&["dlx", "--package", "tool@1.0.0", "other"], "1.0.0"),
        (
            &[
                "dlx",
                "--cpu=x64",
                "--os=linux",
                "--libc=musl",
                "tool@1.0.0",
            ],
            "1.0.0",
        ),
    ] {
        let output = project.run(arguments);
        let said = String::from_utf8_lossy(&output.stdout).into_owned();
        let error = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(4), "{arguments:?}: {error}");
        assert_eq!(said, format!("{here}\n{expected}\n"), "{arguments:?}");
    }
    let asked = project.registry.requests().len();
    project.run(&["dlx", "tool", "again"]);
    assert_eq!(
        project.registry.requests().len(),
        asked,
        "it is in the cache"
    );
    assert_eq!(project.succeed(&["create", "thing", "x"]), "created x\n");
    let create = ["create", "--cpu=x64", "-c", "thing", "x"];
    assert_eq!(project.succeed(&create), "created x\n");
    assert!(!project.root().join("package.json").exists());
    assert!(!project.node_modules().exists());
    for (arguments, code) in [
        (&["dlx"][..], "ERR_PNPM_DLX_MISSING_COMMAND"),
        (&["dlx", "plain"], "ERR_PNPM_DLX_NO_BIN"),
        (
            &["dlx", "--package", "plain", "nothing"],
            "ERR_PNPM_DLX_COMMAND_NOT_FOUND",
        ),
        (&["dlx", "a b"], "ERR_PNPM_INVALID_DEPENDENCY_NAME"),
        (&["dlx", "../x"], "ERR_PNPM_LINKED_PKG_DIR_NOT_FOUND"),
        (&["create"], "ERR_PNPM_MISSING_ARGS"),
    ] {
        let said = project.fail(arguments);
        assert!(said.contains(code), "{arguments:?}: {said}");
    }
}

#[test]
fn what_has_an_address_or_another_name_is_run_too() {
    let project = Project::new();
    let tool = Package::new("@s/tool", "1.0.0")
        .executable("cli.sh", "#!/bin/sh\necho tool \"$@\"\n")
        .bin("tool", "cli.sh")
        .bin("other", "cli.sh");
    project.registry.publish(&tool);
    let registry = project.registry.url();
    let address = format!(
        "{}/@s/tool/-/tool-1.0.0.tgz",
        registry.trim_end_matches('/')
    );
    project.write("lib/package.json", r#"{"name":"lib","bin":"cli.sh"}"#);
    project.write("lib/cli.sh", "#!/bin/sh\necho lib \"$@\"\n");
    for (arguments, expected) in [
        (&["dlx", &address, "x"][..], "tool x\n"),
        (&["dlx", "mine@npm:@s/tool@1", "x"], "tool x\n"),
        (&["dlx", "--package", &address, "other", "x"], "tool x\n"),
        (
            &["dlx", "-c", "@s/tool@1.0.0", "x; echo $0"],
            "tool x\nsh\n",
        ),
        (
            &["dlx", "-c", "--package=@s/tool", "other x | cat"],
            "tool x\n",
        ),
        (&["dlx", "file:lib", "x"], "lib x\n"),
    ] {
        assert_eq!(project.succeed(arguments), expected, "{arguments:?}");
    }
}

/// What has run needs no leave any more: only an install without the flag takes it back.
#[test]
fn what_a_flag_let_run_stays_built_for_what_runs_and_for_the_next_mount() {
    if !can_mount("what_a_flag_let_run_stays_built_for_what_runs_and_for_the_next_mount") {
        return;
    }
    let project = project("");
    let is_built = || {
        let made = |name: &str| project.node_modules().join(name).join("made").exists();
        (made("one"), made("@s/two"))
    };
    project.succeed(&["install", "--virtual", "--dangerously-allow-all-builds"]);
    assert_eq!(is_built(), (true, true));
    let said = project.succeed(&["exec", "true"]);
    assert_eq!((is_built(), said.as_str()), ((true, true), ""));
    project.unmount();
    project.succeed(&["mount"]);
    assert_eq!(is_built(), (true, true));
    project.succeed(&["exec", "true"]);
    assert_eq!(is_built(), (true, true));
    assert_eq!(
        log(&project)
            .split(' ')
            .filter(|ran| !ran.is_empty())
            .count(),
        2
    );
    project.fail(&["install"]);
    assert_eq!(is_built(), (false, false));
    project.succeed(&["exec", "true"]);
    assert_eq!(is_built(), (false, false));
}

#[test]
fn what_waits_for_a_decision_on_a_package_that_is_gone_goes() {
    let project = Project::new();
    for name in ["one", "two"] {
        project.registry.publish(&Package::new(name, "1.0.0"));
    }
    let undecided = "set this to true or false";
    let settings = format!(
        "# why\nallowBuilds:\n  one: {undecided}\n  two@1.0.0: {undecided}\n  gone: {undecided}\n  \
         decided: false\n"
    );
    let manifest = r#"{"dependencies":{"one":"1.0.0","two":"1.0.0"}}"#;
    let read = || fs::read_to_string(project.root().join("pnpm-workspace.yaml")).expect("settings");
    let without = |name: &str, text: &str| {
        let lines = text.lines().filter(|line| !line.contains(name));
        lines.map(|line| format!("{line}\n")).collect::<String>()
    };
    for command in [&["update"][..], &["add", "one"], &["remove", "two"]] {
        project.write("package.json", manifest);
        project.write("pnpm-workspace.yaml", &settings);
        project.succeed(&["install", "--lockfile-only"]);
        assert_eq!(read(), settings);
        project.succeed(&[command, &["--lockfile-only"]].concat());
        let mut expected = without("gone", &settings);
        if command[0] == "remove" {
            expected = without("two", &expected);
        }
        assert_eq!(read(), expected, "{command:?}");
    }
}
