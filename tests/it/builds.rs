//! Scripts of packages and of projects during an install: which run, where, in which order, and
//! what is kept of them.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::symlink;
use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use pacquet_test_registry::{Package, program};
use serde_json::{Value, json};

use crate::project::{Killed, Project, can_mount, peak_resident_bytes, tree};

/// `top` needs `middle`, `middle` needs `leaf`; `top` and `leaf` have scripts, which append to the
/// file `$LOG`.
fn packages() -> Vec<Package> {
    let log = |what: &str| format!("echo {what} $npm_lifecycle_event >> $LOG");
    vec![
        Package::new("top", "1.0.0")
            .dependency("middle", "1.0.0")
            .file("changed.txt", "as published")
            .file("gone.txt", "x")
            .file("kept.txt", "x")
            .script("preinstall", &log("top"))
            .script("install", &log("top"))
            .script(
                "postinstall",
                "echo top $npm_lifecycle_event >> $LOG; echo made > made.txt; \
                 echo changed > changed.txt; rm gone.txt; mkdir -p deep/er; \
                 printf '#!/bin/sh\\necho ran\\n' > deep/er/tool; chmod +x deep/er/tool; \
                 cp node_modules/../../middle/index.js from-middle.js; touch $TMPDIR/x",
            ),
        Package::new("middle", "1.0.0")
            .dependency("leaf", "1.0.0")
            .file("index.js", "middle"),
        Package::new("leaf", "1.0.0").script("postinstall", &log("leaf")),
    ]
}

fn locked(settings: &str) -> Project {
    let manifest = json!({
        "name": "app", "version": "1.0.0", "dependencies": { "top": "1.0.0" }
    });
    let project = Project::locked(&manifest, &packages());
    project.write("pnpm-workspace.yaml", settings);
    project
}

/// How long a test waits for what is bound to come, on a busy machine too.
const PATIENCE: Duration = Duration::from_secs(60);

const ALLOWED: &str = "allowBuilds:\n  top: true\n  leaf: true\n";

fn log_of(project: &Project) -> Vec<String> {
    let text = fs::read_to_string(project.path("log")).unwrap_or_default();
    text.lines().map(str::to_owned).collect()
}

/// Runs the program with `$LOG` set.
fn run(project: &Project, arguments: &[&str]) -> (Option<i32>, String) {
    let mut command = project.command(arguments);
    let output = command.env("LOG", project.path("log")).output().unwrap();
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    (output.status.code(), said)
}

fn top(project: &Project) -> BTreeMap<String, String> {
    tree(
        &project
            .node_modules()
            .join(".pnpm/top@1.0.0/node_modules/top"),
    )
}

fn assert_built(project: &Project, how: &str) {
    let top = top(project);
    assert_eq!(top["made.txt"], "f false made\n", "{how}");
    assert_eq!(top["changed.txt"], "f false changed\n", "{how}");
    assert_eq!(top["from-middle.js"], "f false middle", "{how}");
    assert_eq!(top["kept.txt"], "f false x", "{how}");
    assert!(top["deep/er/tool"].starts_with("f true"), "{how}");
    assert!(!top.contains_key("gone.txt"), "{how}");
}

const ORDER: [&str; 4] = [
    "leaf postinstall",
    "top preinstall",
    "top install",
    "top postinstall",
];

#[test]
fn packages_are_built_in_the_mount_and_never_again() {
    if !can_mount("packages_are_built_in_the_mount_and_never_again") {
        return;
    }
    let project = locked(ALLOWED);
    let (code, said) = run(&project, &["install", "--virtual"]);
    assert_eq!(code, Some(0), "{said}");
    assert_eq!(log_of(&project), ORDER, "{said}");
    assert_built(&project, "built");
    assert!(
        !project.node_modules().join(".pacquet").exists(),
        "nothing was discarded"
    );
    let packs = project.packages_in_store();
    assert_eq!(packs, 5, "three packages and two built ones");
    // Nothing of it is left in the real directory.
    project.unmount();
    let left = tree(&project.node_modules());
    let left: Vec<&String> = left
        .keys()
        .filter(|path| !path.starts_with(".pacquet"))
        .collect();
    assert!(left.is_empty(), "{left:?}");
    // Neither this project nor another builds again.
    let (code, _) = run(&project, &["install", "--virtual"]);
    assert_eq!((code, log_of(&project).len()), (Some(0), ORDER.len()));
    assert_built(&project, "mounted again");
    let other = locked(ALLOWED);
    let mut command = other.command(&["install", "--virtual"]);
    command
        .env("PACQUET_STORE_DIR", project.store())
        .env("LOG", other.path("log"));
    assert!(command.status().unwrap().success());
    assert_eq!(log_of(&other), [""; 0]);
    assert_built(&other, "another project");
    project.succeed(&["store", "verify"]);
}

#[test]
fn the_repository_of_the_project_is_found_from_within_the_mount() {
    if !can_mount("the_repository_of_the_project_is_found_from_within_the_mount") {
        return;
    }
    let looking = "git rev-parse --show-toplevel > $LOG";
    let project = one(
        Package::new("one", "1.0.0").script("install", looking),
        false,
    );
    let made = Command::new("git")
        .args(["init", "--quiet"])
        .arg(project.root())
        .status();
    assert!(made.unwrap().success());
    let (code, said) = run(&project, &["install", "--virtual"]);
    assert_eq!(code, Some(0), "{said}");
    let found = fs::read_to_string(project.path("log")).unwrap();
    assert_eq!(
        Path::new(found.trim()),
        project.root().canonicalize().unwrap()
    );
}

#[test]
fn what_was_built_before_another_failed_is_nobodys_change() {
    if !can_mount("what_was_built_before_another_failed_is_nobodys_change") {
        return;
    }
    let good = Package::new("good", "1.0.0").script("postinstall", "echo made > made.txt");
    let bad = Package::new("bad", "1.0.0")
        .dependency("good", "1.0.0")
        .script("postinstall", "test -e $LOG");
    let manifest = json!({ "name": "app", "version": "1.0.0", "dependencies": { "bad": "1.0.0" } });
    let project = Project::locked(&manifest, &[bad, good]);
    let allowed = "allowBuilds:\n  bad: true\n  good: true\n";
    project.write("pnpm-workspace.yaml", allowed);
    let (code, said) = run(&project, &["install", "--virtual"]);
    assert_eq!(code, Some(1), "{said}");
    fs::write(project.path("log"), "").unwrap();
    let (code, said) = run(&project, &["install", "--virtual"]);
    assert_eq!(code, Some(0), "{said}");
    assert!(!said.contains("WRITES_DISCARDED"), "{said}");
    let modules = project.node_modules();
    let made = modules.join(".pnpm/good@1.0.0/node_modules/good/made.txt");
    assert_eq!(fs::read_to_string(made).unwrap(), "made\n");
    assert!(!modules.join(".pacquet/discarded").exists());
}

#[test]
fn what_was_built_takes_its_place_under_those_who_use_the_tree() {
    if !can_mount("what_was_built_takes_its_place_under_those_who_use_the_tree") {
        return;
    }
    let project = locked("strictDepBuilds: false\n");
    let (code, said) = run(&project, &["install", "--virtual"]);
    assert_eq!(code, Some(0), "{said}");
    let supervisor = |project: &Project| project.status()["supervisor_pid"].clone();
    let before = supervisor(&project);
    assert!(before.is_number(), "{:?}", project.status());
    // One works in the package, and has a file open that the build writes.
    let package = project
        .node_modules()
        .join(".pnpm/top@1.0.0/node_modules/top");
    let opened = fs::File::open(package.join("changed.txt")).unwrap();
    let mut inside = Command::new("sh")
        .args(["-c", "read line; cat kept.txt"])
        .current_dir(&package)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    fs::write(project.node_modules().join("mine.txt"), "mine").unwrap();
    project.write("pnpm-workspace.yaml", ALLOWED);
    let (code, said) = run(&project, &["install", "--virtual"]);
    assert_eq!(code, Some(0), "{said}");
    assert_built(&project, "built");
    assert_eq!(supervisor(&project), before, "it stayed mounted: {said}");
    assert_eq!(std::io::read_to_string(opened).unwrap(), "changed\n");
    drop(inside.stdin.take());
    let output = inside.wait_with_output().unwrap();
    assert!(output.status.success());
    assert_eq!(output.stdout, b"x");
    let mine = fs::read_to_string(project.node_modules().join("mine.txt")).unwrap();
    assert_eq!(mine, "mine");
    project.unmount();
    let left = tree(&project.node_modules());
    let left: Vec<&String> = left
        .keys()
        .filter(|path| !path.starts_with(".pacquet"))
        .collect();
    assert_eq!(left, ["mine.txt"]);
}

#[test]
fn what_a_script_makes_beside_its_package_is_made_in_every_project() {
    if !can_mount("what_a_script_makes_beside_its_package_is_made_in_every_project") {
        return;
    }
    let generates = "mkdir -p ../../.made && echo made > ../../.made/index.js; echo x > own.txt";
    let client = || Package::new("@scope/client", "1.0.0").script("postinstall", generates);
    let manifest = json!({ "name": "app", "dependencies": { "@scope/client": "1.0.0" } });
    let shared = Project::locked(&manifest, &[client()]);
    for flags in [&["install", "--virtual"][..], &["install"]] {
        let project = Project::locked(&manifest, &[client()]);
        project.write(
            "pnpm-workspace.yaml",
            "allowBuilds:\n  '@scope/client': true\n",
        );
        for _ in 0..2 {
            let mut command = project.command(flags);
            command.env("PACQUET_STORE_DIR", shared.store());
            assert!(command.status().unwrap().success());
            let modules = project
                .node_modules()
                .join(".pnpm/@scope+client@1.0.0/node_modules");
            let made = fs::read_to_string(modules.join(".made/index.js")).unwrap();
            assert_eq!(made, "made\n", "{flags:?}");
            let own = fs::read_to_string(modules.join("@scope/client/own.txt")).unwrap();
            assert_eq!(own, "x\n", "{flags:?}");
            if project.is_mounted() {
                project.unmount();
            }
            fs::remove_dir_all(project.node_modules()).unwrap();
        }
    }
}

#[test]
fn packages_are_built_in_real_files_and_never_again() {
    let project = locked(ALLOWED);
    let (code, said) = run(&project, &["install"]);
    assert_eq!(code, Some(0), "{said}");
    assert_eq!(log_of(&project), ORDER, "{said}");
    assert_built(&project, "built");
    fs::remove_dir_all(project.node_modules()).unwrap();
    let (code, said) = run(&project, &["install"]);
    assert_eq!(
        (code, log_of(&project).len()),
        (Some(0), ORDER.len()),
        "{said}"
    );
    assert_built(&project, "written again");
}

#[test]
fn what_was_ignored_is_built_when_it_is_allowed() {
    let project = locked("strictDepBuilds: false\n");
    let (code, said) = run(&project, &["install"]);
    assert_eq!(code, Some(0), "{said}");
    assert!(
        said.contains("Ignored build scripts: leaf@1.0.0, top@1.0.0"),
        "{said}"
    );
    assert!(said.contains("  leaf: true\n  top: true"), "{said}");
    assert!(log_of(&project).is_empty());
    project.write("pnpm-workspace.yaml", ALLOWED);
    let (code, said) = run(&project, &["install"]);
    assert_eq!(
        (code, log_of(&project)),
        (Some(0), ORDER.map(str::to_owned).to_vec()),
        "{said}"
    );
    assert_built(&project, "allowed later");
    // Where another project has built it meanwhile, its files take the place.
    let other = locked("strictDepBuilds: false\n");
    let install = || {
        let mut command = other.command(&["install"]);
        command
            .env("PACQUET_STORE_DIR", project.store())
            .env("LOG", other.path("log"));
        assert!(command.status().unwrap().success());
    };
    install();
    other.write("pnpm-workspace.yaml", ALLOWED);
    install();
    assert!(log_of(&other).is_empty());
    assert_built(&other, "built elsewhere");
}

#[test]
fn undecided_scripts_fail_the_install_and_denied_ones_do_not() {
    for virtual_flag in [&["install"][..], &["install", "--virtual"]] {
        if virtual_flag.len() > 1 && !can_mount("undecided_scripts_fail_the_install") {
            return;
        }
        let project = locked("allowBuilds:\n  top: true\n");
        for _ in 0..2 {
            let (code, said) = run(&project, virtual_flag);
            assert_eq!(code, Some(1), "{said}");
            assert!(said.contains("ERR_PNPM_IGNORED_BUILDS"), "{said}");
            assert!(
                said.contains("Ignored build scripts: leaf@1.0.0\n"),
                "{said}"
            );
        }
        // The tree is there all the same.
        assert_built(&project, "top is allowed");
        let state = fs::read(project.node_modules().join(".modules.yaml")).unwrap();
        let state: Value = serde_json::from_slice(&state).unwrap();
        assert_eq!(state["ignoredBuilds"], json!(["leaf@1.0.0"]));
        project.write(
            "pnpm-workspace.yaml",
            "allowBuilds:\n  top: true\n  leaf: false\n",
        );
        let (code, said) = run(&project, virtual_flag);
        assert_eq!(code, Some(0), "{said}");
        assert!(!said.contains("gnored"), "{said}");
    }
}

#[test]
fn with_scripts_ignored_nothing_runs() {
    let project = locked(ALLOWED);
    let scripts = json!({
        "name": "app", "version": "1.0.0", "dependencies": { "top": "1.0.0" },
        "scripts": { "postinstall": "echo project >> $LOG" },
    });
    project.write("package.json", &scripts.to_string());
    let (code, said) = run(&project, &["install", "--ignore-scripts"]);
    assert_eq!(code, Some(0), "{said}");
    assert!(log_of(&project).is_empty());
    let state = fs::read(project.node_modules().join(".modules.yaml")).unwrap();
    let state: Value = serde_json::from_slice(&state).unwrap();
    assert_eq!(
        state["pendingBuilds"],
        json!([".", "leaf@1.0.0", "top@1.0.0"])
    );
}

fn one(package: Package, optional: bool) -> Project {
    let group = if optional {
        "optionalDependencies"
    } else {
        "dependencies"
    };
    let manifest = json!({ "name": "app", "version": "1.0.0", group: { "one": "1.0.0" } });
    let project = Project::locked(&manifest, &[package]);
    project.write("pnpm-workspace.yaml", "allowBuilds:\n  one: true\n");
    project
}

#[test]
fn a_script_that_fails_fails_the_install_unless_it_is_optional() {
    let failing =
        || Package::new("one", "1.0.0").script("postinstall", "echo spoke; echo built > x; exit 3");
    let project = one(failing(), false);
    let (code, said) = run(&project, &["install"]);
    assert_eq!(code, Some(1), "{said}");
    assert!(
        said.contains("ERR_PNPM_EXECUTOR_LIFECYCLE_SCRIPT_FAILED"),
        "{said}"
    );
    assert!(
        said.contains("one@1.0.0 postinstall") && said.contains("exit code 3"),
        "{said}"
    );
    assert!(said.contains("one@1.0.0 postinstall: spoke"), "{said}");
    // Nothing of it is kept, so the next install tries again.
    assert_eq!(project.packages_in_store(), 1);
    assert_eq!(run(&project, &["install"]).0, Some(1));
    let project = one(failing(), true);
    let (code, said) = run(&project, &["install"]);
    assert_eq!(code, Some(0), "{said}");
    assert!(
        said.contains("one@1.0.0") && said.contains("optional"),
        "{said}"
    );
    assert_eq!(project.packages_in_store(), 1);
}

#[test]
fn native_code_without_a_script_is_built_and_only_allow_is_passed_over() {
    let native = Package::new("one", "1.0.0").file("binding.gyp", "{}");
    let project = one(native, false);
    let bin = project.path("bin");
    fs::create_dir(&bin).unwrap();
    let gyp = "#!/bin/sh\necho \"$@\" > built\n";
    program::write(&bin.join("node-gyp"), gyp);
    let path = format!("{}:{}", bin.display(), std::env::var("PATH").unwrap());
    let mut command = project.command(&["install"]);
    let output = command.env("PATH", path).output().unwrap();
    assert!(output.status.success(), "{output:?}");
    let built = project.node_modules().join("one/built");
    assert_eq!(fs::read_to_string(built).unwrap(), "rebuild\n");
    let prebuilt = Package::new("one", "1.0.0")
        .file("binding.gyp", "{}")
        .manifest(json!({ "gypfile": false }));
    let project = one(prebuilt, false);
    let (code, said) = run(&project, &["install"]);
    assert_eq!(code, Some(0), "{said}");
    assert!(!said.contains("one@1.0.0 install"), "{said}");
    let guarded = Package::new("one", "1.0.0").script("preinstall", "npx only-allow pnpm");
    let project = one(guarded, false);
    let (code, said) = run(&project, &["install"]);
    assert_eq!(code, Some(0), "{said}");
}

/// A directory of commands with nothing but a shell and an npm that brings a `node-gyp` along, as
/// npm 7 and newer have it: its command knows its program only from the environment.
fn npm_with_node_gyp(project: &Project) -> PathBuf {
    let command = "npm/node_modules/@npmcli/run-script/lib/node-gyp-bin/node-gyp";
    project.write(command, "#!/bin/sh\n. \"$npm_config_node_gyp\"\n");
    let mode = std::os::unix::fs::PermissionsExt::from_mode(0o755);
    fs::set_permissions(project.root().join(command), mode).unwrap();
    let program = "npm/node_modules/node-gyp/bin/node-gyp.js";
    project.write(program, "echo \"$@\" > built\n");
    project.write("npm/bin/npm-cli.js", "");
    let bin = project.root().join("bin");
    fs::create_dir(&bin).unwrap();
    symlink("../npm/bin/npm-cli.js", bin.join("npm")).unwrap();
    symlink("/bin/sh", bin.join("sh")).unwrap();
    bin
}

#[test]
fn native_code_is_built_with_the_node_gyp_of_npm() {
    let native = Package::new("one", "1.0.0").file("binding.gyp", "{}");
    let project = one(native, false);
    let bin = npm_with_node_gyp(&project);
    let with_npm = |arguments: &[&str]| {
        let mut command = project.command(arguments);
        let output = command.env("PATH", &bin).output().unwrap();
        assert!(output.status.success(), "{output:?}");
    };
    with_npm(&["install"]);
    let built = project.node_modules().join("one/built");
    assert_eq!(fs::read_to_string(built).unwrap(), "rebuild\n");
    // The project's own scripts have it too.
    let manifest = fs::read_to_string(project.root().join("package.json")).unwrap();
    let mut manifest: Value = serde_json::from_str(&manifest).unwrap();
    manifest["scripts"] = json!({ "native": "node-gyp build" });
    project.write("package.json", &manifest.to_string());
    with_npm(&["run", "native"]);
    let built = fs::read_to_string(project.root().join("built")).unwrap();
    assert_eq!(built, "build\n");
}

#[test]
fn what_no_package_can_have_stays_in_the_tree() {
    let linking = "ln -s package.json link; echo ran >> $LOG";
    let project = one(
        Package::new("one", "1.0.0").script("install", linking),
        false,
    );
    let (code, said) = run(&project, &["install"]);
    assert_eq!(code, Some(0), "{said}");
    assert!(project.node_modules().join("one/link").is_symlink());
    assert_eq!(project.packages_in_store(), 1);
    let (code, said) = run(&project, &["install"]);
    assert_eq!((code, log_of(&project).len()), (Some(0), 1), "{said}");
}

#[test]
fn a_build_is_shared_only_where_the_settings_say_so() {
    let project = locked(&format!("{ALLOWED}sideEffectsCache: false\n"));
    assert_eq!(run(&project, &["install"]).0, Some(0));
    let other = locked(ALLOWED);
    let mut command = other.command(&["install"]);
    command
        .env("PACQUET_STORE_DIR", project.store())
        .env("LOG", other.path("log"));
    assert!(command.status().unwrap().success());
    assert_eq!(log_of(&other), ORDER);
    // Nor does the first one use what the other shares; its own it has.
    fs::remove_dir_all(project.node_modules()).unwrap();
    fs::remove_file(project.path("log")).unwrap();
    assert_eq!(run(&project, &["install"]).0, Some(0));
    assert!(log_of(&project).is_empty());
    assert_built(&project, "its own");
}

#[test]
fn another_graph_or_patch_is_another_build() {
    let project = locked(ALLOWED);
    assert_eq!(run(&project, &["install"]).0, Some(0));
    let mut packages = packages();
    packages[2] = Package::new("leaf", "1.0.0")
        .file("new.txt", "new")
        .script("postinstall", "echo other leaf >> $LOG");
    let manifest = json!({
        "name": "app", "version": "1.0.0", "dependencies": { "top": "1.0.0" }
    });
    let other = Project::locked(&manifest, &packages);
    other.write("pnpm-workspace.yaml", ALLOWED);
    let mut command = other.command(&["install"]);
    command
        .env("PACQUET_STORE_DIR", project.store())
        .env("LOG", other.path("log"));
    assert!(command.status().unwrap().success());
    assert_eq!(log_of(&other)[0], "other leaf");
    assert_eq!(log_of(&other)[1..], ORDER[1..]);
}

#[test]
fn a_directory_that_changed_is_built_anew() {
    if !can_mount("a_directory_that_changed_is_built_anew") {
        return;
    }
    for how in ["--virtual", "--no-virtual"] {
        let project = Project::new();
        project.write(
            "package.json",
            r#"{"name":"app","dependencies":{"local":"file:./local"}}"#,
        );
        project.write(
            "pnpm-workspace.yaml",
            "allowBuilds:\n  local@file:local: true\n",
        );
        project.write(
            "local/package.json",
            r#"{"name":"local","version":"1.0.0","scripts":{"postinstall":"cp from made"}}"#,
        );
        for content in ["one", "two", "one"] {
            project.write("local/from", content);
            project.succeed(&["install", how]);
            for name in ["from", "made"] {
                let path = project.node_modules().join("local").join(name);
                assert_eq!(fs::read_to_string(path).unwrap(), content, "{how}: {name}");
            }
        }
    }
}

#[test]
fn scripts_of_projects_run_around_the_install() {
    let stages = [
        "pnpm:devPreinstall",
        "preinstall",
        "install",
        "postinstall",
        "preprepare",
        "prepare",
        "postprepare",
    ];
    let scripts: serde_json::Map<String, Value> = stages
        .iter()
        .map(|stage| {
            let script = format!("echo {stage} $(test -e node_modules/top && echo there) >> $LOG");
            ((*stage).to_owned(), json!(script))
        })
        .collect();
    let project = locked(ALLOWED);
    let manifest = json!({
        "name": "app", "version": "1.0.0", "dependencies": { "top": "1.0.0" },
        "scripts": scripts,
    });
    project.write("package.json", &manifest.to_string());
    let (code, said) = run(&project, &["install"]);
    assert_eq!(code, Some(0), "{said}");
    let expected = [
        &["pnpm:devPreinstall", "preinstall"][..],
        &ORDER,
        &["install there", "postinstall there", "preprepare there"],
        &["prepare there", "postprepare there"],
    ];
    assert_eq!(log_of(&project), expected.concat(), "{said}");
    assert!(
        said.contains(". postinstall$ echo") && said.contains(". postinstall: Done"),
        "{said}"
    );
    let (code, said) = run(&project, &["install"]);
    assert_eq!((code, log_of(&project).len()), (Some(0), 11), "{said}");
    // As with pnpm, these run though everything is in place.
    for (command, count) in [("update", 18), ("dedupe", 25), ("prune", 32)] {
        let (code, said) = run(&project, &[command]);
        assert_eq!((code, log_of(&project).len()), (Some(0), count), "{said}");
    }

    // Without what the project is developed with there is nothing to develop.
    let (code, said) = run(&project, &["install", "--prod"]);
    assert_eq!(code, Some(0), "{said}");
    let log = log_of(&project);
    assert_eq!(
        log[32..],
        ["preinstall there", "install there", "postinstall there"]
    );
}

/// M6.
#[test]
fn a_script_out_of_bounds_is_ended_and_nothing_of_it_is_kept() {
    let daemon = "sleep 300 & echo $! > $LOG; sleep 300";
    for (script, flag, sentence) in [
        (daemon, "--config.buildTimeoutSeconds=1", "time-out"),
        ("kill -9 $$", "--config.buildTimeoutSeconds=60", "SIGKILL"),
    ] {
        let project = one(
            Package::new("one", "1.0.0").script("install", script),
            false,
        );
        let started = Instant::now();
        let (code, said) = run(&project, &["install", flag]);
        assert!(started.elapsed() < PATIENCE, "{said}");
        assert_eq!(code, Some(1), "{said}");
        assert!(said.contains(sentence), "{said}");
        assert_eq!(project.packages_in_store(), 1);
        if let Some(pid) = log_of(&project).first() {
            assert_ends(pid);
        }
    }
    // A daemon that its script left behind does not keep the install waiting, and ends with it.
    let leaving = "sleep 300 & echo $! > $LOG";
    let project = one(
        Package::new("one", "1.0.0").script("install", leaving),
        false,
    );
    let (code, said) = run(&project, &["install"]);
    assert_eq!(code, Some(0), "{said}");
    assert_ends(&log_of(&project)[0]);
}

/// Who was killed needs a moment until it is gone.
fn assert_ends(pid: &str) {
    let is_there = || {
        let state = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
        let state = state.rsplit_once(')');
        state.is_some_and(|(_, state)| !state.trim_start().starts_with('Z'))
    };
    let began = Instant::now();
    while is_there() {
        assert!(began.elapsed() < PATIENCE, "{pid} is still there");
        std::thread::sleep(Duration::from_millis(5));
    }
}

/// M6.
#[test]
fn much_output_takes_little_memory_and_its_end_is_shown() {
    let loud = "head -c 300000000 /dev/zero | tr '\\0' 'x'; yes line | head -n 5000000; \
                echo the end; exit 1";
    let project = one(Package::new("one", "1.0.0").script("install", loud), false);
    let (output, peak) = peak_resident_bytes(project.command(&["install"]));
    let said = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(1));
    assert!(
        said.contains("one@1.0.0 install: the end"),
        "{} bytes",
        said.len()
    );
    assert!(said.len() < 16 << 20, "{} bytes", said.len());
    assert!(peak < 128 << 20, "{peak} bytes");
}

/// K8.
#[test]
fn an_interrupted_build_is_ended_and_not_kept() {
    let slow = "sleep 300 & echo $! > $LOG; wait";
    for (signal, code) in [("-INT", 130), ("-TERM", 143)] {
        let project = one(Package::new("one", "1.0.0").script("install", slow), false);
        let log = project.path("log");
        let mut command = project.command(&["install"]);
        command
            .env("LOG", &log)
            .stdout(Stdio::null())
            .stderr(Stdio::null());
        let mut child = Killed(command.spawn().unwrap());
        let deadline = Instant::now() + PATIENCE;
        while log_of(&project).is_empty() && Instant::now() < deadline {
            std::thread::sleep(Duration::from_millis(5));
        }
        let pid = child.0.id().to_string();
        Command::new("kill").args([signal, &pid]).status().unwrap();
        let started = Instant::now();
        let status = child.0.wait().unwrap();
        assert!(started.elapsed() < PATIENCE, "{:?}", started.elapsed());
        assert_eq!((status.code(), status.signal()), (Some(code), None));
        assert_ends(&log_of(&project)[0]);
        project.assert_no_temporary_files(signal);
        assert_eq!(project.packages_in_store(), 1);
    }
}

/// M5: the name that an archive gives itself allows nothing.
#[test]
fn an_approved_name_does_not_cover_an_archive() {
    let package = Package::new("one", "1.0.0").script("install", "echo ran >> $LOG");
    let project = Project::new();
    fs::write(project.root().join("one.tgz"), &package.build().tarball).unwrap();
    project.write(
        "package.json",
        r#"{"name":"app","version":"1.0.0","dependencies":{"one":"file:one.tgz"}}"#,
    );
    let integrity = package.build().integrity;
    let lockfile = [
        "lockfileVersion: '9.0'",
        "settings:\n  autoInstallPeers: true\n  excludeLinksFromLockfile: false",
        "importers:\n\n  .:\n    dependencies:\n      one:",
        "        specifier: file:one.tgz\n        version: file:one.tgz",
        "packages:\n\n  one@file:one.tgz:\n    version: 1.0.0",
        &format!("    resolution: {{integrity: {integrity}, tarball: file:one.tgz}}"),
        "snapshots:\n\n  one@file:one.tgz: {}\n",
    ];
    project.write("pnpm-lock.yaml", &lockfile.join("\n"));
    project.write("pnpm-workspace.yaml", "allowBuilds:\n  one: true\n");
    let (code, said) = run(&project, &["install"]);
    assert_eq!(code, Some(1), "{said}");
    assert!(
        said.contains("ERR_PNPM_IGNORED_BUILDS") && said.contains("one@file:one.tgz"),
        "{said}"
    );
    assert!(log_of(&project).is_empty());
    project.write(
        "pnpm-workspace.yaml",
        "allowBuilds:\n  'one@file:one.tgz': true\n",
    );
    let (code, said) = run(&project, &["install"]);
    assert_eq!((code, log_of(&project).len()), (Some(0), 1), "{said}");
    assert!(Path::new(&project.root()).exists());
}
