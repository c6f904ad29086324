//! Installs that are about some projects of a workspace: `--filter`, and `recursiveInstall`.

use std::fs;

use pacquet_test_registry::Package;
use serde_json::Value;

use crate::project::{Project, can_mount};

/// Two projects, of which `app` needs `library`, a third one, and a root with a dependency.
fn workspace(settings: &str) -> Project {
    let packages = ["common", "inner", "used", "other"].map(|name| Package::new(name, "1.0.0"));
    let manifest = |name: &str, dependencies: &str| {
        let scripts = r#"{"postinstall":"pwd >> $INIT_CWD/ran","hi":"echo hi"}"#;
        format!(r#"{{"name":"{name}","scripts":{scripts},"dependencies":{{{dependencies}}}}}"#)
    };
    let projects = [
        (
            "app",
            manifest("app", r#""used":"1","library":"workspace:*""#),
        ),
        ("library", manifest("library", r#""inner":"1""#)),
        ("third", manifest("third", r#""other":"1""#)),
    ];
    let projects: Vec<(&str, &str)> = projects
        .iter()
        .map(|(name, text)| (*name, &**text))
        .collect();
    let project = Project::workspace(&packages, settings, &projects);
    project.write("package.json", &manifest("root", r#""common":"1""#));
    project.succeed(&["install", "--lockfile-only"]);
    project
}

/// What is there of the projects' dependencies.
fn there(project: &Project) -> Vec<&'static str> {
    let places = [
        ("root", "node_modules/common"),
        ("app", "packages/app/node_modules/used"),
        ("library", "packages/library/node_modules/inner"),
        ("third", "packages/third/node_modules/other"),
    ];
    let is_there =
        |place: &&(&str, &str)| project.root().join(place.1).join("package.json").exists();
    places
        .iter()
        .filter(is_there)
        .map(|(name, _)| *name)
        .collect()
}

fn state(project: &Project) -> Value {
    let path = project.node_modules().join(".pnpm-workspace-state-v1.json");
    serde_json::from_str(&fs::read_to_string(path).unwrap()).unwrap()
}

#[test]
fn a_filter_installs_the_projects_that_it_chooses_and_the_root() {
    for linker in ["isolated", "hoisted"] {
        let project = workspace("");
        let install = |filter: &str| {
            let _ = fs::remove_file(project.root().join("ran"));
            let linker = format!("--node-linker={linker}");
            project.succeed(&["install", "--no-virtual", &linker, "--filter", filter]);
            let ran = fs::read_to_string(project.root().join("ran")).unwrap_or_default();
            ran.lines().count()
        };
        assert_eq!(install("library"), 2, "{linker}");
        assert_eq!(project.packages_in_store(), 2, "{linker}");
        assert_eq!(state(&project)["filteredInstall"], true);
        // What is there stays there, and its scripts do not run again.
        assert_eq!(install("third"), 2, "{linker}");
        assert_eq!(project.packages_in_store(), 3, "{linker}");
        if linker == "isolated" {
            assert_eq!(there(&project), ["root", "library", "third"]);
            let current = fs::read_to_string(project.node_modules().join(".pnpm/lock.yaml"));
            let current = current.unwrap();
            assert!(current.contains("packages/third:"), "{current}");
            assert!(!current.contains("packages/app:"), "{current}");
        }
        assert_eq!(install("no-such"), 0, "{linker}");
        assert_eq!(install("app..."), 3, "{linker}");
        assert_eq!(state(&project)["filteredInstall"], false);
        assert_eq!(project.packages_in_store(), 4, "{linker}");
    }
}

#[test]
fn the_lockfile_has_to_fit_the_projects_that_are_installed() {
    let project = workspace("");
    project.write(
        "packages/third/package.json",
        r#"{"name":"third","dependencies":{"used":"1"}}"#,
    );
    let frozen = ["install", "--no-virtual", "--frozen-lockfile", "--filter"];
    project.succeed(&[&frozen[..], &["library"]].concat());
    let said = project.fail(&[&frozen[..], &["third"]].concat());
    assert!(said.contains("ERR_PNPM_OUTDATED_LOCKFILE"), "{said}");
    // Without the flag it is left as it is, too.
    let before = fs::read_to_string(project.root().join("pnpm-lock.yaml")).unwrap();
    project.succeed(&["install", "--no-virtual", "--filter", "library"]);
    let after = fs::read_to_string(project.root().join("pnpm-lock.yaml")).unwrap();
    assert_eq!(before, after);
}

#[test]
fn an_install_that_is_not_recursive_is_about_the_project_where_it_is_called() {
    let project = workspace("recursiveInstall: false\n");
    let in_project = |name: &str, words: &[&str]| {
        let directory = project.root().join("packages").join(name);
        let directory = directory.to_string_lossy().into_owned();
        project.succeed(&[&["-C", &directory], words].concat());
    };
    for command in ["install", "ci", "dedupe"] {
        let _ = fs::remove_dir_all(project.node_modules());
        in_project("library", &[command]);
        assert_eq!(there(&project), ["root", "library"], "{command}");
    }
    in_project("app", &["install"]);
    assert_eq!(there(&project), ["root", "app", "library"]);
    in_project("app", &["install", "--recursive"]);
    assert_eq!(there(&project), ["root", "app", "library", "third"]);
    project.succeed(&["clean"]);
    in_project("app", &["install", "--recursive-install"]);
    assert_eq!(there(&project), ["root", "app", "library", "third"]);
}

#[test]
fn commands_that_change_a_chosen_project_install_it() {
    let project = workspace("");
    project.succeed(&["add", "other@1", "--filter", "library"]);
    assert_eq!(there(&project), ["root", "library"]);
    project.succeed(&["update", "--filter", "third"]);
    assert_eq!(there(&project), ["root", "library", "third"]);
    project.succeed(&["add", "-w", "other@1"]);
    assert_eq!(there(&project), ["root", "app", "library", "third"]);
}

#[test]
fn scripts_need_only_their_own_project_installed() {
    let project = workspace("");
    project.succeed(&["install", "--no-virtual", "--filter", "library"]);
    project.succeed(&["--filter", "library", "run", "hi"]);
    project.succeed(&["run", "hi"]);
    assert_eq!(there(&project), ["root", "library"]);
    project.succeed(&["--filter", "third", "exec", "true"]);
    assert_eq!(there(&project), ["root", "app", "library", "third"]);
}

#[test]
fn some_projects_can_be_served() {
    if !can_mount("some_projects_can_be_served") {
        return;
    }
    let project = workspace("");
    project.succeed(&["install", "--virtual", "--filter", "library"]);
    assert_eq!(there(&project), ["root", "library"]);
    project.succeed(&["run", "hi"]);
    project.unmount();
    project.succeed(&["mount"]);
    assert_eq!(there(&project), ["root", "library"]);
    project.succeed(&["install", "--filter", "app"]);
    assert!(project.is_mounted());
    assert_eq!(there(&project), ["root", "app", "library"]);
    project.succeed(&["install"]);
    assert_eq!(there(&project), ["root", "app", "library", "third"]);
    project.unmount();
}

/// Beside a root that is served, the trees of projects hold links.
#[test]
fn links_of_projects_take_the_place_of_those_of_real_files() {
    if !can_mount("links_of_projects_take_the_place_of_those_of_real_files") {
        return;
    }
    let project = workspace("");
    project.succeed(&["install", "--no-virtual"]);
    project.succeed(&["install", "--virtual"]);
    assert_eq!(there(&project), ["root", "app", "library", "third"]);
    project.unmount();
}

#[test]
fn why_is_about_the_projects_that_filters_choose() {
    let project = workspace("");
    project.succeed(&["install", "--no-virtual"]);
    let whole = project.succeed(&["why", "inner"]);
    assert!(whole.contains("library"), "{whole}");
    let said = project.succeed(&["--filter", "library", "why", "inner"]);
    assert!(said.contains("library"), "{said}");
    let said = project.succeed(&["--filter", "app", "why", "inner"]);
    assert!(said.contains("library"), "{said}");
    let said = project.succeed(&["--filter", "third", "why", "inner"]);
    assert!(!said.contains("library"), "{said}");
}

/// A copy of a project is not that project.
#[test]
fn why_follows_links_of_projects_and_not_copies() {
    let copied = workspace("injectWorkspacePackages: true\ndedupeInjectedDeps: false\n");
    copied.succeed(&["install", "--no-virtual", "--ignore-scripts"]);
    let said = copied.succeed(&["--filter", "app", "why", "inner"]);
    assert!(said.contains("library@file:packages/library"), "{said}");
    assert!(!said.contains("library (dependencies)"), "{said}");

    // The root has a name in any case.
    copied.write("package.json", r#"{"dependencies":{"common":"1"}}"#);
    copied.succeed(&["install", "--no-virtual", "--ignore-scripts"]);
    let said = copied.succeed(&["why", "common"]);
    assert!(said.contains("the root project (dependencies)"), "{said}");
}

/// Lines begin with the way from where the command is called.
#[test]
fn projects_are_shown_from_where_one_is() {
    let project = workspace("verifyDepsBeforeRun: false\n");
    let directory = project.root().join("packages/library");
    let mut command = project.command(&["-r", "--stream", "run", "hi"]);
    let output = command.current_dir(&directory).output().unwrap();
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    for line in [". hi: hi", "../app hi: hi", "../third hi: hi"] {
        assert!(said.lines().any(|one| one == line), "{line}: {said}");
    }
    // What may run beside others is told from them, also where it is alone.
    let said = project.succeed(&["--parallel", "--filter", "third", "run", "hi"]);
    assert!(
        said.lines().any(|one| one == "packages/third hi: hi"),
        "{said}"
    );
}

#[test]
fn install_test_tests_what_was_installed() {
    let test = |name: &str| {
        let script = format!("echo {name} >> $INIT_CWD/tested");
        format!(r#"{{"name":"{name}","scripts":{{"test":"{script}"}}}}"#)
    };
    let (one, two) = (test("one"), test("two"));
    let project = Project::workspace(&[], "", &[("one", &*one), ("two", &*two)]);
    project.write("package.json", &test("root"));
    let tested = |arguments: &[&str]| {
        project.succeed(arguments);
        let path = project.root().join("tested");
        let text = fs::read_to_string(&path).unwrap();
        fs::remove_file(path).unwrap();
        let mut names: Vec<String> = text.lines().map(str::to_owned).collect();
        names.sort();
        names
    };
    assert_eq!(tested(&["install-test", "--no-virtual"]), ["one", "two"]);
    let alone = [
        "install-test",
        "--no-virtual",
        "--config.recursive-install=false",
    ];
    assert_eq!(tested(&alone), ["root"]);
    let filtered = ["--filter", "two", "install-test", "--no-virtual"];
    assert_eq!(tested(&filtered), ["two"]);

    // Nobody needs to have tests.
    for name in ["one", "two"] {
        let manifest = format!(r#"{{"name":"{name}"}}"#);
        project.write(&format!("packages/{name}/package.json"), &manifest);
    }
    project.succeed(&["install-test", "--no-virtual"]);
}
