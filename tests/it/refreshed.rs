//! Which versions of the lockfile give way to what projects ask for.

use std::fs;

use pacquet_test_registry::Package;

use crate::project::Project;

/// A workspace with `settings`, and packages that depend on any version of `base`.
fn project(settings: &str) -> Project {
    let project = Project::new();
    for package in [
        Package::new("base", "1.0.0"),
        Package::new("base", "1.1.0"),
        Package::new("base", "2.0.0"),
        Package::new("above", "1.0.0").dependency("base", "*"),
        Package::new("other", "1.0.0").dependency("base", "*"),
    ] {
        project.registry.publish(&package);
    }
    project.write("pnpm-workspace.yaml", settings);
    project.write("package.json", "{}");
    project
}

fn write_manifest(project: &Project, name: &str, dependencies: &str) {
    let manifest = format!(r#"{{"dependencies":{dependencies}}}"#);
    project.write(&format!("packages/{name}/package.json"), &manifest);
}

/// What the lockfile has for `base` below `package`.
fn below(project: &Project, package: &str) -> String {
    let text = fs::read_to_string(project.root().join("pnpm-lock.yaml")).unwrap();
    let (_, snapshots) = text.split_once("\nsnapshots:").unwrap();
    let (_, snapshot) = snapshots
        .split_once(&format!("\n  {package}@1.0.0:"))
        .unwrap();
    let (_, version) = snapshot.split_once("base: ").unwrap();
    version.lines().next().unwrap().to_owned()
}

const SETTINGS: &str = "packages: [packages/*]\n";

#[test]
fn what_another_project_asks_for_in_other_words_comes_before_what_is_locked_lower() {
    let project = project(SETTINGS);
    let lock = |first: &str, second: &str| {
        write_manifest(&project, "a", first);
        write_manifest(&project, "b", second);
        project.succeed(&["install", "--lockfile-only", "--no-frozen-lockfile"]);
        below(&project, "above")
    };
    let low = r#"{"base":"1.0.0","above":"1"}"#;
    assert_eq!(lock(r#"{"base":"1.0.0"}"#, low), "1.0.0");
    // A project with one of its own keeps that.
    assert_eq!(lock(r#"{"base":"1.1.0"}"#, low), "1.0.0");
    assert_eq!(lock(r#"{"base":"1.0.0"}"#, r#"{"above":"1"}"#), "1.0.0");
    assert_eq!(lock(r#"{"base":"^1.1.0"}"#, r#"{"above":"1"}"#), "1.1.0");
    // A lower one is no reason.
    assert_eq!(lock(r#"{"base":"1.0.0"}"#, r#"{"above":"1"}"#), "1.1.0");
}

#[test]
fn an_added_dependency_comes_before_what_is_locked_lower_below_others() {
    let project = project(SETTINGS);
    write_manifest(&project, "a", "{}");
    write_manifest(&project, "b", r#"{"base":"1.0.0","above":"1"}"#);
    project.succeed(&["install", "--lockfile-only"]);
    write_manifest(&project, "b", r#"{"above":"1"}"#);
    project.succeed(&["install", "--lockfile-only", "--no-frozen-lockfile"]);
    assert_eq!(below(&project, "above"), "1.0.0");
    let directory = project.root().join("packages/a").display().to_string();
    project.succeed(&["-C", &directory, "add", "base@1.1.0", "--lockfile-only"]);
    assert_eq!(below(&project, "above"), "1.1.0");
}

#[test]
fn what_an_override_that_is_gone_was_about_is_chosen_for_each_project_that_has_it() {
    let overrides = "overrides:\n  base: 1.0.0\n";
    let project = project(&format!("{SETTINGS}{overrides}"));
    write_manifest(&project, "a", r#"{"base":"^1.0.0","other":"1"}"#);
    write_manifest(&project, "b", r#"{"above":"1"}"#);
    project.succeed(&["install", "--lockfile-only"]);
    project.write("pnpm-workspace.yaml", SETTINGS);
    project.succeed(&["install", "--lockfile-only", "--no-frozen-lockfile"]);
    assert_eq!(below(&project, "other"), "1.1.0");
    assert_eq!(below(&project, "above"), "2.0.0");
}
