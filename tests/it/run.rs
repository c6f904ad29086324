//! `run` and `exec` from the outside: which scripts run, where, in which order, with which
//! environment, and how the program ends.

use std::collections::BTreeMap;
use std::fs;
use std::io::Write as _;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};
use std::os::unix::process::ExitStatusExt;
use std::process::{Output, Stdio};
use std::time::{Duration, Instant};

use pacquet_test_registry::Package;
use serde_json::json;

use crate::project::{Killed, Project, can_mount};

fn project(scripts: &serde_json::Value) -> Project {
    let project = Project::new();
    let manifest = json!({
        "name": "@s/app", "version": "1.2.3", "description": "not seen",
        "bin": { "a-b": "x.js" }, "config": { "port": 8080, "deep": { "list": [true, null] } },
        "engines": { "node": ">=1" }, "scripts": scripts,
    });
    project.write("package.json", &manifest.to_string());
    project
}

/// `a` needs `b` and `c`, `b` needs `c`, `d` stands alone.
fn workspace(scripts: &[(&str, serde_json::Value)]) -> Project {
    let project = Project::new();
    // However many processors there are.
    let settings = "packages: ['packages/*']\nworkspaceConcurrency: 4\n";
    project.write("pnpm-workspace.yaml", settings);
    project.write(
        "package.json",
        r#"{"name":"root","scripts":{"build":"echo root"}}"#,
    );
    let needs = BTreeMap::from([("a", vec!["b", "c"]), ("b", vec!["c"])]);
    for name in ["a", "b", "c", "d"] {
        let dependencies: serde_json::Map<_, _> = needs
            .get(name)
            .into_iter()
            .flatten()
            .map(|other| ((*other).to_owned(), json!("workspace:*")))
            .collect();
        let own = scripts
            .iter()
            .find(|(of, _)| *of == name)
            .map(|(_, scripts)| scripts);
        let manifest = json!({
            "name": name, "version": "1.0.0", "dependencies": dependencies,
            "scripts": own.cloned().unwrap_or_else(|| json!({ "build": format!("echo {name}") })),
        });
        project.write(
            &format!("packages/{name}/package.json"),
            &manifest.to_string(),
        );
    }
    project
}

fn said(output: &Output) -> (String, String) {
    (
        String::from_utf8_lossy(&output.stdout).into_owned(),
        String::from_utf8_lossy(&output.stderr).into_owned(),
    )
}

#[test]
fn what_is_not_installed_at_all_is_installed_before_something_runs() {
    let project = Project::new();
    let leaf = Package::new("leaf", "1.0.0").file("index.js", "console.log('leaf')");
    project.registry.publish(&leaf);
    project.write(
        "package.json",
        r#"{"scripts":{"show":"node node_modules/leaf/index.js","prepare":"echo aside"},
            "dependencies":{"leaf":"1.0.0"}}"#,
    );
    let said = project.fail(&["--config.verifyDepsBeforeRun=error", "run", "show"]);
    assert!(said.contains("ERR_PNPM_VERIFY_DEPS_BEFORE_RUN"), "{said}");
    assert_eq!(project.succeed(&["run", "show"]), "leaf\n");
    assert!(project.root().join("pnpm-lock.yaml").exists());
    // As with pnpm, nobody looks whether every package is still there.
    fs::remove_dir_all(project.node_modules().join("leaf")).ok();
    fs::remove_file(project.node_modules().join("leaf")).ok();
    project.fail(&["run", "show"]);
}

#[test]
fn variables_come_out_of_files_where_the_environment_has_none() {
    let project = Project::new();
    project.write(
        "package.json",
        r#"{"scripts":{"tell":"echo $FIRST $SECOND $SET"}}"#,
    );
    project.write("one.env", "FIRST=1\nSECOND='of one'\nSET=file\n");
    project.write("two.env", "SECOND=\"of two\"\n");
    let mut command = project.command(&["--env-file=one.env", "--env-file", "two.env", "tell"]);
    let output = command.env("SET", "before").output();
    let output = output.expect("the program starts");
    assert_eq!(String::from_utf8_lossy(&output.stdout), "1 of two before\n");
    let said = project.fail(&["--env-file", "none.env", "tell"]);
    assert!(said.contains("ERR_PNPM_ENV_FILE_READ"), "{said}");
}

#[test]
fn a_script_runs_between_those_before_and_after_it() {
    let project = project(&json!({
        "prebuild": "echo before", "build": "echo main", "postbuild": "echo after",
        "preown": "echo twice", "own": "echo preown", "empty": "",
    }));
    let output = project.run(&["run", "build", "it's", "a b", "--if-present"]);
    let (out, error) = said(&output);
    assert_eq!(out, "before\nmain it's a b --if-present\nafter\n");
    assert_eq!(
        error,
        "$ echo before\n$ echo main 'it'\"'\"'s' 'a b' --if-present\n$ echo after\n"
    );
    assert_eq!(project.succeed(&["build"]), "before\nmain\nafter\n");
    assert_eq!(project.succeed(&["run", "own"]), "preown\n");
    let without = ["--config.enablePrePostScripts=false", "run", "build"];
    assert_eq!(project.succeed(&without), "main\n");
    assert_eq!(
        project.succeed(&["--silent", "run", "build"]),
        "before\nmain\nafter\n"
    );
    assert!(
        said(&project.run(&["--silent", "run", "build"]))
            .1
            .is_empty()
    );
}

#[test]
fn the_program_ends_as_the_script_did() {
    let project = project(&json!({
        "seven": "exit 7", "killed": "kill -9 $$", "test": "exit 3", "postseven": "echo never",
    }));
    for (script, code, signal, sentence) in [
        (
            "seven",
            Some(7),
            None,
            "[ELIFECYCLE] Command failed with exit code 7.",
        ),
        (
            "killed",
            None,
            Some(9),
            "[ELIFECYCLE] Command failed with signal SIGKILL.",
        ),
        (
            "test",
            Some(3),
            None,
            "[ELIFECYCLE] Test failed. See above for more details.",
        ),
    ] {
        let output = project.run(&[script]);
        let (out, error) = said(&output);
        assert_eq!(
            (output.status.code(), output.status.signal()),
            (code, signal),
            "{error}"
        );
        assert!(out.is_empty() && error.contains(sentence), "{error}");
    }
    let output = project.run(&["exec", "sh", "-c", "exit 5"]);
    assert_eq!(output.status.code(), Some(5));
}

#[test]
fn what_is_no_script_is_a_program_or_nothing() {
    let project = project(&json!({ ".hidden": "echo hidden", "calls": "$npm_execpath .hidden" }));
    for (arguments, code, word) in [
        (&["run", "nope"][..], "ERR_PNPM_NO_SCRIPT", "nope"),
        (&["stop"], "ERR_PNPM_NO_SCRIPT", "stop"),
        (&["start"], "ERR_PNPM_NO_SCRIPT_OR_SERVER", "server.js"),
        (&["nope"], "ERR_PNPM_RECURSIVE_EXEC_FIRST_FAIL", "nope"),
        (
            &["exec", "nope"],
            "ERR_PNPM_RECURSIVE_EXEC_FIRST_FAIL",
            "nope",
        ),
        (&["exec"], "ERR_PNPM_EXEC_MISSING_COMMAND", "command"),
        (&["run", ".hidden"], "ERR_PNPM_HIDDEN_SCRIPT", ".hidden"),
        (
            &["run", "/x/i"],
            "ERR_PNPM_UNSUPPORTED_SCRIPT_COMMAND_FORMAT",
            "flags",
        ),
        (
            &["-w", "run", "x"],
            "ERR_PNPM_NOT_IN_WORKSPACE",
            "workspace",
        ),
    ] {
        let said = project.fail(arguments);
        assert!(
            said.contains(code) && said.contains(word),
            "{arguments:?}: {said}"
        );
    }
    assert_eq!(project.succeed(&["run", "--if-present", "nope"]), "");
    assert_eq!(project.succeed(&["printf", "%s", "x y"]), "x y");
    assert_eq!(project.succeed(&["calls"]), "hidden\n");
    project.write("server.js", "console.log('served');");
    assert_eq!(project.succeed(&["start"]), "served\n");
    fs::remove_file(project.root().join("package.json")).unwrap();
    assert!(
        project
            .fail(&["run", "x"])
            .contains("ERR_PNPM_NO_IMPORTER_MANIFEST_FOUND")
    );
    assert_eq!(project.succeed(&["printf", "x"]), "x");
}

#[test]
fn without_a_name_the_scripts_are_listed() {
    let project = project(&json!({
        "build": "echo b", "test": "echo t", ".hidden": "echo h"
    }));
    assert_eq!(
        project.succeed(&["run"]),
        "Lifecycle scripts:\n  test\n    echo t\n\n\
         Commands available via \"pacquet run\":\n  build\n    echo b\n"
    );
    project.write("package.json", "{}");
    assert_eq!(
        project.succeed(&["run"]),
        "There are no scripts specified.\n"
    );
}

#[test]
fn a_script_sees_its_package_and_no_credentials() {
    let project = project(&json!({ "env": "env", "path": "echo $PATH" }));
    let output = project
        .command(&["run", "env"])
        .env("npm_package_left", "1")
        .env("npm_config__authToken", "secret")
        .env("npm_config_//h/:_password", "secret")
        .env("npm_config_kept", "1")
        .env("NODE_OPTIONS", "--trace-warnings")
        .env("PNPM_CONFIG_NODE_OPTIONS", "--max-old-space-size=900")
        .output()
        .unwrap();
    let (out, _) = said(&output);
    let seen: BTreeMap<&str, &str> = out
        .lines()
        .filter_map(|line| line.split_once('='))
        .collect();
    let root = project.root().to_string_lossy().into_owned();
    let manifest = format!("{root}/package.json");
    for (name, value) in [
        ("npm_package_name", "@s/app"),
        ("npm_package_version", "1.2.3"),
        ("npm_package_bin_a_b", "x.js"),
        ("npm_package_config_port", "8080"),
        ("npm_package_config_deep_list_0", "true"),
        ("npm_package_config_deep_list_1", ""),
        ("npm_package_engines_node", ">=1"),
        ("npm_package_json", manifest.as_str()),
        ("npm_lifecycle_event", "env"),
        ("npm_lifecycle_script", "env"),
        ("npm_command", "run-script"),
        ("npm_config_kept", "1"),
        ("npm_execpath", env!("CARGO_BIN_EXE_pacquet")),
        ("INIT_CWD", root.as_str()),
        ("PNPM_SCRIPT_SRC_DIR", root.as_str()),
        ("pnpm_config_verify_deps_before_run", "false"),
        ("NODE_OPTIONS", "--max-old-space-size=900"),
    ] {
        assert_eq!(seen.get(name), Some(&value), "{name}");
    }
    for name in [
        "npm_package_left",
        "npm_package_description",
        "npm_config__authToken",
    ] {
        assert_eq!(seen.get(name), None, "{name}");
    }
    assert!(!out.contains("secret"), "{out}");
    let path = project.succeed(&["--silent", "path"]);
    assert!(
        path.starts_with(&format!("{root}/node_modules/.bin:")),
        "{path}"
    );
}

#[test]
fn the_shell_is_the_one_that_is_configured() {
    let project = project(&json!({ "x": "echo $0" }));
    let with = |shell: &str| format!("--config.scriptShell={shell}");
    assert_eq!(
        project.succeed(&[&with("/bin/bash"), "run", "x"]),
        "/bin/bash\n"
    );
    let said = project.fail(&[&with("/does/not/exist"), "run", "x"]);
    assert!(said.contains("ERR_PNPM_SCRIPT_SHELL_NOT_FOUND"), "{said}");
    let output = project.run(&["--config.shellEmulator=true", "--silent", "run", "x"]);
    assert!(output.status.success());
}

#[test]
fn projects_run_after_those_that_they_need() {
    let project = workspace(&[]);
    let one = "--workspace-concurrency=1";
    for (arguments, expected) in [
        (&["-r", one, "--silent", "run", "build"][..], "c d b a"),
        (&["-r", one, "--silent", "build"], "c d b a"),
        (&["recursive", one, "--silent", "run", "build"], "c d b a"),
        (
            &["-r", one, "--silent", "--reverse", "run", "build"],
            "a d b c",
        ),
        (
            &["-r", one, "--silent", "--no-sort", "run", "build"],
            "a b c d",
        ),
        (
            &["-r", one, "--silent", "--resume-from", "b", "run", "build"],
            "b d a",
        ),
        (&["--filter", "b...", "--silent", "run", "build"], "c b"),
        (&["-F", "b", "--silent", "build"], "b"),
        (&["-w", "--silent", "build"], "root"),
        (
            &["-r", one, "--silent", "--include-workspace-root", "build"],
            "root c d b a",
        ),
    ] {
        let said = project.succeed(arguments);
        let lines: Vec<&str> = said
            .lines()
            .filter(|line| !line.starts_with("Scope"))
            .collect();
        let expected: Vec<&str> = expected.split(' ').collect();
        assert_eq!(lines, expected, "{arguments:?}");
    }
    let directories = project.succeed(&["-r", one, "exec", "pwd"]);
    let names = directories
        .lines()
        .filter_map(|line| line.rsplit('/').next());
    assert_eq!(names.collect::<String>(), "cdba");
    let name = [
        "--filter",
        "a",
        "exec",
        "sh",
        "-c",
        "echo $PNPM_PACKAGE_NAME",
    ];
    assert_eq!(project.succeed(&name), "a\n");
}

#[test]
fn short_forms_tell_no_scope_and_only_one_project_is_restarted() {
    let scripts = json!({ "start": "echo start", "stop": "echo stop" });
    let project = workspace(&[("a", scripts.clone()), ("b", scripts.clone())]);
    let one = "--workspace-concurrency=1";
    assert_eq!(project.succeed(&["-r", one, "stop"]), "stop\nstop\n");
    let said = project.succeed(&["-r", one, "test"]);
    assert_eq!(said, "Scope: 4 of 5 workspace projects\n");
    for flag in ["--help", "-r", "--silent", "--filter"] {
        let said = project.succeed(&["-C", "packages/a", "stop", flag, "x"]);
        assert_eq!(said, format!("stop {flag} x\n"));
    }
    let said = project.succeed(&["--prefix", "packages/a", "run", "stop"]);
    assert_eq!(said, "stop\n");
    let said = project.fail(&["--filter", "a", "restart"]);
    assert!(said.contains("ERR_PNPM_NO_SCRIPT"), "{said}");
    let manifest = json!({ "name": "root", "scripts": scripts });
    project.write("package.json", &manifest.to_string());
    assert_eq!(project.succeed(&["-r", "restart"]), "stop\nstart\n");
}

#[test]
fn lines_of_several_projects_have_the_project_in_front() {
    let project = workspace(&[]);
    let said = project.succeed(&["-r", "run", "build"]);
    assert!(
        said.starts_with("Scope: 4 of 5 workspace projects\n"),
        "{said}"
    );
    for name in ["a", "b", "c", "d"] {
        let own: Vec<&str> = said
            .lines()
            .filter(|line| line.contains(&format!("/{name} ")))
            .collect();
        let place = format!("packages/{name} build");
        let expected = [
            format!("{place}$ echo {name}"),
            format!("{place}: {name}"),
            format!("{place}: Done"),
        ];
        assert_eq!(own, expected);
    }
    let events = project.succeed(&["--reporter=ndjson", "-r", "run", "build"]);
    let line = events
        .lines()
        .find(|line| line.contains("\"line\":\"d\""))
        .unwrap();
    let event: serde_json::Value = serde_json::from_str(line).unwrap();
    assert_eq!(event["name"], "pnpm:lifecycle");
    assert_eq!(
        (&event["stage"], &event["stdio"]),
        (&json!("build"), &json!("stdout"))
    );
}

#[test]
fn a_failure_ends_the_others_or_only_those_that_need_it() {
    let slow = json!({ "build": "sleep 300" });
    let project = workspace(&[("c", json!({ "build": "exit 3" })), ("d", slow)]);
    let started = Instant::now();
    let said = project.fail(&["-r", "run", "build"]);
    assert!(said.contains("ERR_PNPM_RECURSIVE_RUN_FIRST_FAIL"), "{said}");
    assert!(said.contains("packages/c"), "{said}");
    assert!(started.elapsed() < Duration::from_secs(30));
    let project = workspace(&[("c", json!({ "build": "exit 3" }))]);
    let output = project.run(&["-r", "--no-bail", "--report-summary", "run", "build"]);
    let (out, error) = said_of(&output);
    assert!(error.contains("ERR_PNPM_RECURSIVE_FAIL") && error.contains("in 1 packages"));
    assert!(
        out.contains("packages/d build: Done") && !out.contains("packages/a"),
        "{out}"
    );
    let text = fs::read_to_string(project.root().join("pnpm-exec-summary.json")).unwrap();
    let summary: serde_json::Value = serde_json::from_str(&text).unwrap();
    let of = |name: &str| {
        let directory = project.root().join("packages").join(name);
        summary["executionStatus"][directory.to_str().unwrap()].clone()
    };
    assert_eq!(of("a")["status"], "skipped");
    assert_eq!(of("d")["status"], "passed");
    assert_eq!(of("c")["message"], "command failed with exit code 3");
    assert!(of("c")["duration"].is_f64());
}

fn said_of(output: &Output) -> (String, String) {
    assert_eq!(output.status.code(), Some(1));
    said(output)
}

#[test]
fn no_project_and_no_script_are_told_apart() {
    let project = workspace(&[]);
    let root = project.root().display().to_string();
    let nothing = format!("No projects matched the filters in \"{root}\"\n");
    assert_eq!(project.succeed(&["-F", "nope", "exec", "true"]), nothing);
    let strict = ["-F", "nope", "--fail-if-no-match", "exec", "true"];
    assert_eq!(project.fail(&strict), "");
    let said = project.fail(&["-r", "run", "nope"]);
    assert!(said.contains("ERR_PNPM_RECURSIVE_RUN_NO_SCRIPT"), "{said}");
    project.succeed(&["-r", "run", "--if-present", "nope"]);
    project.succeed(&["-r", "test"]);
    let said = project.fail(&["-r", "run"]);
    assert!(said.contains("ERR_PNPM_SCRIPT_NAME_IS_REQUIRED"), "{said}");
    let said = project.fail(&["-r", "--resume-from", "nope", "run", "build"]);
    assert!(said.contains("ERR_PNPM_RESUME_FROM_NOT_FOUND"), "{said}");
}

#[test]
fn scripts_of_a_pattern_run_together_or_one_after_the_other() {
    let project = project(&json!({
        "x:one": "sleep 1; echo one", "x:two": "echo two", "y": "echo y"
    }));
    assert_eq!(
        project.succeed(&["--silent", "run", "-s", "/^x:/"]),
        "one\ntwo\n"
    );
    let said = project.succeed(&["run", "/^x:/"]);
    let two = said.find(". x:two: two").unwrap();
    assert!(two < said.find(". x:one: one").unwrap(), "{said}");
}

#[test]
fn input_reaches_a_script() {
    let project = workspace(&[("d", json!({ "build": "cat" }))]);
    for arguments in [
        &["-F", "d", "--silent", "build"][..],
        &["-F", "d", "exec", "cat"],
    ] {
        let mut command = project.command(arguments);
        let mut child = command
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        child.stdin.take().unwrap().write_all(b"hello").unwrap();
        let output = child.wait_with_output().unwrap();
        assert_eq!(
            String::from_utf8_lossy(&output.stdout),
            "hello",
            "{arguments:?}"
        );
    }
}

/// Sends `signal` to the program when `marker` is there, and waits for its end.
fn interrupt(project: &Project, arguments: &[&str], signal: &str) -> std::process::ExitStatus {
    let marker = project.path("marker");
    let _ = fs::remove_file(&marker);
    let mut command = project.command(arguments);
    let mut child = Killed(
        command
            .env("MARKER", &marker)
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap(),
    );
    let deadline = Instant::now() + Duration::from_secs(30);
    while !marker.exists() && Instant::now() < deadline {
        std::thread::sleep(Duration::from_millis(5));
    }
    let pid = child.0.id().to_string();
    let sent = std::process::Command::new("kill")
        .args([signal, &pid])
        .status()
        .unwrap();
    assert!(sent.success());
    let started = Instant::now();
    let status = child.0.wait().unwrap();
    assert!(
        started.elapsed() < Duration::from_secs(60),
        "{arguments:?} {signal}"
    );
    status
}

#[test]
fn signals_reach_the_script_and_decide_the_end() {
    let scripts = json!({
        "slow": "touch $MARKER; sleep 300; echo never",
        "handles": "trap 'exit 9' TERM; touch $MARKER; sleep 300 & wait",
    });
    let one = project(&scripts);
    assert_eq!(
        interrupt(&one, &["run", "slow"], "-TERM").signal(),
        Some(15)
    );
    assert_eq!(interrupt(&one, &["run", "slow"], "-HUP").signal(), Some(1));
    assert_eq!(
        interrupt(&one, &["run", "handles"], "-TERM").code(),
        Some(9)
    );
    let many = workspace(&[("c", scripts.clone()), ("d", scripts)]);
    for signal in [("-TERM", 15), ("-INT", 2), ("-HUP", 1)] {
        let status = interrupt(&many, &["-r", "run", "slow"], signal.0);
        assert_eq!(status.signal(), Some(signal.1));
    }
}

/// A locked project that is to be served, with a script that runs the tool which it depends on.
fn served_with_tool(but: impl FnOnce(Package) -> Package) -> Project {
    let manifest = json!({
        "name": "app", "version": "1.0.0", "dependencies": { "tool": "1.0.0" },
        "scripts": { "use": "tool" },
    });
    let tool = Package::new("tool", "1.0.0")
        .executable("cli.js", "#!/bin/sh\necho used\n")
        .bin("tool", "cli.js");
    let project = Project::locked(&manifest, &[but(tool)]);
    project.write("pnpm-workspace.yaml", "virtual: true\n");
    project
}

#[test]
fn a_served_project_is_served_before_its_scripts_run() {
    if !can_mount("a_served_project_is_served_before_its_scripts_run") {
        return;
    }
    let project = served_with_tool(|tool| tool);
    let never = ["--config.verifyDepsBeforeRun=false", "run", "use"];
    assert_eq!(project.run(&never).status.code(), Some(127));
    let error = ["--config.verifyDepsBeforeRun=error", "run", "use"];
    assert!(
        project
            .fail(&error)
            .contains("ERR_PNPM_VERIFY_DEPS_BEFORE_RUN")
    );
    assert!(!project.is_mounted());
    assert_eq!(project.succeed(&["run", "use"]), "used\n");
    assert!(project.is_mounted());
    let again = project.run(&["exec", "tool"]);
    assert_eq!(said(&again), ("used\n".to_owned(), String::new()));
    project.unmount();
    assert_eq!(project.succeed(&["exec", "tool"]), "used\n");
    assert!(project.is_mounted());
}

#[test]
fn scripts_run_though_builds_of_packages_were_ignored() {
    if !can_mount("scripts_run_though_builds_of_packages_were_ignored") {
        return;
    }
    let project = served_with_tool(|tool| tool.script("install", "exit 1"));
    assert!(
        project
            .fail(&["install"])
            .contains("ERR_PNPM_IGNORED_BUILDS")
    );
    project.unmount();
    let (out, err) = said(&project.run(&["run", "use"]));
    assert!(out.contains("used\n"), "{out} {err}");
    assert!(err.contains("ERR_PNPM_IGNORED_BUILDS"), "{err}");
}

#[test]
fn a_command_below_a_project_is_about_the_project() {
    let packages = [Package::new("tool", "1.0.0")
        .executable("cli.js", "#!/bin/sh\necho \"used in $PWD\"\n")
        .bin("tool", "cli.js")];
    let manifest = json!({
        "name": "app", "version": "1.0.0", "dependencies": { "tool": "1.0.0" },
        "scripts": { "where": "pwd && echo $INIT_CWD" },
    });
    let project = Project::locked(&manifest, &packages);
    project.write("a/b/file", "");
    project.write(
        "a/other/package.json",
        r#"{"name":"other","version":"1.0.0"}"#,
    );
    let root = fs::canonicalize(project.root()).expect("there");
    let below = root.join("a/b");
    let run = |arguments: &[&str]| {
        let mut command = project.command(arguments);
        let output = command.current_dir(&below).output().expect("it starts");
        (output.status.success(), said(&output).0)
    };
    let (root, below_text) = (root.display(), below.display());
    assert!(run(&["install", "--no-virtual"]).0);
    assert!(project.node_modules().join("tool").exists());
    for words in [
        &["run", "where"][..],
        &["where"],
        &["--silent", "run", "where"],
    ] {
        let expected = format!("{root}\n{below_text}\n");
        assert_eq!(run(words), (true, expected), "{words:?}");
    }
    // A program has the commands of the project, and runs where it was called.
    for words in [&["exec", "tool"][..], &["tool"]] {
        assert_eq!(run(words), (true, format!("used in {below_text}\n")));
    }
    assert_eq!(run(&["root"]).1, format!("{root}/node_modules\n"));
    assert!(run(&["list"]).1.contains("tool@1.0.0"));
    assert!(run(&["link", "../other"]).0);
    let manifest = fs::read_to_string(project.root().join("package.json")).expect("there");
    assert!(manifest.contains("link:a/other"), "{manifest}");
    // What everybody may write to is nobody's project, unless somebody is right there.
    let shared = fs::Permissions::from_mode(0o1777);
    fs::set_permissions(project.root(), shared).expect("its owner may");
    assert!(!run(&["run", "where"]).0);
    assert!(project.run(&["run", "where"]).status.success());
    // Where a directory is named, it is that one.
    assert!(!run(&["-C", ".", "run", "where"]).0);
    assert!(run(&["init"]).0);
    assert!(below.join("package.json").exists());
}

#[test]
fn a_user_without_home_in_the_environment_has_one_all_the_same() {
    let user = fs::metadata("/proc/self").expect("Linux").uid().to_string();
    let mut known = std::process::Command::new("getent");
    let known = known.arg("passwd").arg(user).output();
    let Some(home) = known.ok().and_then(|entry| {
        let entry = String::from_utf8(entry.stdout).ok()?;
        entry.split(':').nth(5).map(str::to_owned)
    }) else {
        eprintln!("skipped: the system knows nothing of this user");
        return;
    };
    let project = project(&json!({}));
    let mut command = project.command(&["store", "path"]);
    let output = command.env_remove("HOME").env_remove("PACQUET_STORE_DIR");
    let (path, error) = said(&output.output().expect("it starts"));
    assert!(
        path.starts_with(&home) && path.contains("pacquet"),
        "{path}{error}"
    );
}

#[test]
fn a_result_that_cannot_be_written_is_a_failure() {
    let project = project(&json!({ "t": "true" }));
    let full = fs::File::create("/dev/full").expect("Linux has it");
    let mut command = project.command(&["root"]);
    let output = command.stdout(full).output().expect("it starts");
    assert_eq!(output.status.code(), Some(1));
    let (_, error) = said(&output);
    assert!(error.contains("ERR_PACQUET_OUTPUT"), "{error}");
}

#[test]
fn tasks_do_not_wait_for_each_other_in_a_circle() {
    let project = Project::new();
    project.write("pnpm-workspace.yaml", "packages: [a, b]\n");
    project.write("package.json", "{}");
    for (name, other) in [("a", "b"), ("b", "a")] {
        let manifest = format!(
            r#"{{"name":"{name}","version":"1.0.0","scripts":{{"say":"echo {name}"}},
                "dependencies":{{"{other}":"workspace:*"}}}}"#
        );
        project.write(&format!("{name}/package.json"), &manifest);
    }
    project.succeed(&["install"]);
    let circle = "ERR_PNPM_TASK_CYCLE  The tasks form a dependency cycle: ";
    for (arguments, tasks) in [
        (&["-r", "run", "say"][..], "a#say → b#say → a#say"),
        (&["-r", "exec", "true"], "a#true → b#true → a#true"),
        (&["-r", "run", "--dry-run", "say"], "a#say → b#say → a#say"),
    ] {
        let said = project.fail(arguments);
        assert!(said.contains(&format!("{circle}{tasks}")), "{said}");
    }
    for arguments in [
        &["-r", "--no-sort", "run", "say"][..],
        &["-r", "--parallel", "run", "say"],
        &["-r", "--resume-from", "b", "run", "say"],
        &["--filter", "a", "run", "say"],
        &["-r", "--config.ignore-workspace-cycles=true", "run", "say"],
    ] {
        project.succeed(arguments);
    }
    let refused = ["install", "--config.disallow-workspace-cycles=true"];
    let said = project.fail(&refused);
    let code = "ERR_PNPM_DISALLOW_WORKSPACE_CYCLES";
    assert!(said.contains(code), "{said}");
    project.succeed(&[&["--filter", "a"], &refused[..]].concat());
    project.write("b/package.json", r#"{"name":"b","version":"1.0.0"}"#);
    project.succeed(&refused);
}

#[test]
fn settings_stand_for_the_flags_of_recursive_runs() {
    let project = Project::new();
    project.write("package.json", "{}");
    let manifest = |name: &str, script: &str, other: &str| {
        format!(
            r#"{{"name":"{name}","version":"1.0.0","scripts":{{"say":"{script}"}},
                "dependencies":{{{other}}}}}"#
        )
    };
    let needs_b = r#""b":"workspace:*""#;
    project.write("a/package.json", &manifest("a", "echo a", needs_b));
    project.write("b/package.json", &manifest("b", "sleep 0.1; echo b", ""));
    let run = |settings: &str| {
        let text = format!("packages: [a, b]\n{settings}");
        project.write("pnpm-workspace.yaml", &text);
        let output = project.run(&["-r", "--workspace-concurrency", "1", "run", "say"]);
        String::from_utf8(output.stdout).unwrap()
    };
    project.write("pnpm-workspace.yaml", "packages: [a, b]\n");
    project.succeed(&["install"]);
    assert_eq!(run(""), "Scope: 2 of 3 workspace projects\nb\na\n");
    assert_eq!(
        run("reverse: true\n"),
        "Scope: 2 of 3 workspace projects\na\nb\n"
    );
    assert_eq!(
        run("sort: false\n"),
        "Scope: 2 of 3 workspace projects\na\nb\n"
    );
    assert_eq!(run("reporter: silent\n"), "b\na\n");
    assert!(run("stream: true\n").contains("b say: b\n"));
    let failing = manifest("a", "exit 3", "");
    project.write("a/package.json", &failing);
    project.write("b/package.json", &manifest("b", "echo b", ""));
    assert_eq!(run(""), "Scope: 2 of 3 workspace projects\n");
    assert_eq!(
        run("bail: false\n"),
        "Scope: 2 of 3 workspace projects\nb\n"
    );
    project.write("pnpm-workspace.yaml", "packages: [a, b]\nreporter: loud\n");
    let said = project.fail(&["-r", "run", "say"]);
    assert!(said.contains("ERR_PNPM_INVALID_SETTING"), "{said}");
}

#[test]
fn a_package_begins_with_the_type_of_the_settings() {
    for (settings, flags, is_module) in [
        ("", &["init"][..], true),
        ("initType: commonjs\n", &["init"], false),
        (
            "initType: commonjs\n",
            &["init", "--init-type", "module"],
            true,
        ),
    ] {
        let project = Project::new();
        project.write("pnpm-workspace.yaml", settings);
        let said = project.succeed(flags);
        let shown = said.contains("\"type\": \"module\"");
        assert_eq!(shown, is_module, "{settings}{flags:?}: {said}");
    }
}
