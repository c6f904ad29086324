//! What `run` and `exec` do before something runs, where real files may be out of date, and what a
//! dry run tells.

use pacquet_test_registry::Package;

use crate::project::Project;

/// A project with a leaf installed as real files.
fn installed(flags: &[&str]) -> Project {
    let project = Project::new();
    for name in ["leaf", "late", "tool"] {
        let says = format!("console.log('{name}')");
        let package = Package::new(name, "1.0.0").file("index.js", &says);
        project.registry.publish(&package);
    }
    project.write("package.json", &manifest(r#""leaf":"1.0.0""#));
    project.succeed(&[&["install"], flags].concat());
    project
}

fn manifest(dependencies: &str) -> String {
    format!(
        r#"{{"scripts":{{"show":"ls node_modules","path":"echo $NODE_PATH"}},
            "dependencies":{{{dependencies}}},"devDependencies":{{"tool":"1.0.0"}}}}"#
    )
}

#[test]
fn real_files_that_are_out_of_date_are_brought_up_to_date_before_something_runs() {
    let project = installed(&[]);
    // What was touched and says the same is up to date.
    let strict = ["--config.verifyDepsBeforeRun=error", "run", "show"];
    project.write("package.json", &manifest(r#""leaf":"1.0.0""#));
    assert_eq!(project.succeed(&strict), "leaf\ntool\n");
    project.write(
        "package.json",
        &manifest(r#""leaf":"1.0.0","late":"1.0.0""#),
    );
    let said = project.fail(&strict);
    assert!(said.contains("ERR_PNPM_VERIFY_DEPS_BEFORE_RUN"), "{said}");
    let never = ["--config.verifyDepsBeforeRun=false", "run", "show"];
    assert_eq!(project.succeed(&never), "leaf\ntool\n");
    assert_eq!(project.succeed(&["run", "show"]), "late\nleaf\ntool\n");
    assert_eq!(project.succeed(&strict), "late\nleaf\ntool\n");
    // So is a tree that does not have what is locked by now.
    project.write("package.json", &manifest(r#""leaf":"1.0.0""#));
    project.succeed(&["install", "--lockfile-only"]);
    project.fail(&strict);
    assert_eq!(
        project.succeed(&["exec", "ls", "node_modules"]),
        "leaf\ntool\n"
    );
}

#[test]
fn groups_that_are_left_out_stay_left_out_when_something_runs() {
    let project = installed(&["--prod"]);
    project.write(
        "package.json",
        &manifest(r#""leaf":"1.0.0","late":"1.0.0""#),
    );
    assert_eq!(project.succeed(&["run", "show"]), "late\nleaf\n");
}

#[test]
fn what_runs_does_so_though_real_files_cannot_be_brought_up_to_date() {
    let project = installed(&[]);
    project.write("package.json", &manifest(r#""leaf":"1.0.0","nowhere":"1""#));
    let output = project.run(&["run", "show"]);
    let shown = String::from_utf8_lossy(&output.stdout);
    let told = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{told}");
    assert_eq!(shown, "leaf\ntool\n");
    assert!(told.contains("ERR_PNPM_FETCH_404"), "{told}");
}

#[test]
fn scripts_find_what_is_hoisted_where_commands_are_symlinks() {
    let project = installed(&[]);
    assert_eq!(project.succeed(&["run", "path"]), "\n");
    project.write("pnpm-workspace.yaml", "preferSymlinkedExecutables: true\n");
    let hoisted = project.node_modules().join(".pnpm/node_modules");
    let expected = format!("{}\n", hoisted.display());
    assert_eq!(project.succeed(&["run", "path"]), expected);
    let printed = project.succeed(&["exec", "sh", "-c", "echo $NODE_PATH"]);
    assert_eq!(printed, expected);
}

#[test]
fn a_dry_run_lists_what_would_run() {
    let project = Project::new();
    project.write("pnpm-workspace.yaml", "packages: ['packages/*']\n");
    project.write("package.json", r#"{"scripts":{"hi":"echo root"}}"#);
    let below = r#"{"name":"x","scripts":{"hi":"echo x"},"dependencies":{"y":"workspace:*"}}"#;
    project.write("packages/x/package.json", below);
    project.write(
        "packages/y/package.json",
        r#"{"name":"y","version":"1.0.0"}"#,
    );
    assert_eq!(
        project.succeed(&["-r", "run", "--dry-run", "hi"]),
        "Scope: 2 of 3 workspace projects\n\
         packages/y#hi (skipped: no such script)\npackages/x#hi\n"
    );
    let printed = project.succeed(&["--filter", "x...", "run", "--dry-run", "--json", "hi"]);
    let (_, printed) = printed.split_once('\n').expect("two lines");
    let printed: serde_json::Value = serde_json::from_str(printed).expect("JSON");
    let task = |name: &str, is_missing: bool, waits_for: serde_json::Value| {
        serde_json::json!({
            "project": name, "script": "hi", "missingScript": is_missing, "dependsOn": waits_for
        })
    };
    let waits_for = serde_json::json!([{"project": "packages/y", "script": "hi"}]);
    let tasks = [
        task("packages/x", false, waits_for),
        task("packages/y", true, serde_json::json!([])),
    ];
    assert_eq!(printed, serde_json::json!({ "tasks": tasks }));
    let said = project.fail(&["run", "--dry-run", "hi"]);
    assert!(said.contains("ERR_PNPM_DRY_RUN_NOT_RECURSIVE"), "{said}");
}

#[test]
fn what_is_there_to_change_the_lockfile_does_so_under_continuous_integration() {
    for (arguments, is_allowed) in [
        (&["install"][..], false),
        (&["install", "--prefer-frozen-lockfile"], false),
        (&["install", "--lockfile-only", "--frozen-lockfile"], false),
        (&["install", "--lockfile-only"], true),
        (&["install", "--no-prefer-frozen-lockfile"], true),
        (&["install", "--fix-lockfile"], true),
        (&["install", "--dry-run"], true),
        (&["prune"], true),
    ] {
        let project = installed(&["--lockfile-only"]);
        let changed = manifest(r#""leaf":"1.0.0","late":"1.0.0""#);
        project.write("package.json", &changed);
        let output = project.command(arguments).env("CI", "true").output();
        let output = output.unwrap();
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!(output.status.success(), is_allowed, "{arguments:?}: {said}");
        let refused = said.contains("ERR_PNPM_OUTDATED_LOCKFILE");
        assert_eq!(refused, !is_allowed, "{arguments:?}: {said}");
        let lockfile = std::fs::read_to_string(project.root().join("pnpm-lock.yaml")).unwrap();
        let is_written = is_allowed && !arguments.contains(&"--dry-run");
        assert_eq!(lockfile.contains("late@1.0.0"), is_written, "{arguments:?}");
    }
}
