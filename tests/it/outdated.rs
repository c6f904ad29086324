//! `outdated`: which dependencies have later versions, and how the command ends.

use pacquet_test_registry::Package;
use serde_json::{Value, json};

use crate::project::Project;

fn project() -> Project {
    let project = Project::new();
    for (name, version) in [
        ("left", "1.0.0"),
        ("left", "1.2.0"),
        ("left", "2.0.0"),
        ("fresh", "1.0.0"),
        ("tool", "1.0.0"),
        ("tool", "1.1.0"),
    ] {
        let mut package = Package::new(name, version);
        if name == "left" {
            package = package.manifest(json!({ "homepage": "https://left.test/" }));
        }
        project.registry.publish(&package);
    }
    let manifest = |left: &str| {
        json!({
            "name": "app", "version": "1.0.0",
            "dependencies": { "left": left, "fresh": "^1.0.0" },
            "devDependencies": { "tool": "1.0.0" }
        })
    };
    project.write("package.json", &manifest("1.0.0").to_string());
    project.succeed(&["install", "--no-virtual"]);
    project.write("package.json", &manifest("^1.0.0").to_string());
    project
}

/// What is said by a command that ends with 1.
fn said(project: &Project, words: &[&str]) -> String {
    let output = project.run(words);
    let errors = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(1), "{words:?}: {errors}");
    String::from_utf8_lossy(&output.stdout).into_owned()
}

const TABLE: &str = "\
┌────────────┬─────────┬────────┐
│ Package    │ Current │ Latest │
├────────────┼─────────┼────────┤
│ tool (dev) │ 1.0.0   │ 1.1.0  │
├────────────┼─────────┼────────┤
│ left       │ 1.0.0   │ 2.0.0  │
└────────────┴─────────┴────────┘
";

#[test]
fn later_versions_are_shown_and_end_the_command_with_one() {
    let project = project();
    assert_eq!(said(&project, &["outdated"]), TABLE);
    let list = said(&project, &["outdated", "--no-table", "--prod"]);
    assert_eq!(list, "left\n1.0.0 => 2.0.0\n");
    let object = said(&project, &["outdated", "--json", "--compatible"]);
    let object: Value = serde_json::from_str(&object).expect("JSON");
    let expected = json!({ "left": {
        "current": "1.0.0", "latest": "1.2.0", "wanted": "1.0.0", "isDeprecated": false,
        "dependencyType": "dependencies"
    } });
    assert_eq!(object, expected);
    let long = said(&project, &["outdated", "--long", "--json", "left"]);
    let long: Value = serde_json::from_str(&long).expect("JSON");
    let latest = json!({
        "name": "left", "version": "2.0.0", "deprecated": null, "homepage": "https://left.test/"
    });
    assert_eq!(long["left"]["latestManifest"], latest);
    let sorted = said(
        &project,
        &["outdated", "--no-table", "--long", "--sort-by=name"],
    );
    let expected = "left\n1.0.0 => 2.0.0\nhttps://left.test/\n\ntool (dev)\n1.0.0 => 1.1.0\n";
    assert_eq!(sorted, expected);
    let everywhere = said(&project, &["-r", "outdated", "l*"]);
    assert!(everywhere.contains("│ Dependents │"), "{everywhere}");
    assert!(everywhere.contains("│ app        │"), "{everywhere}");
}

#[test]
fn what_is_up_to_date_is_no_failure_and_unknown_names_are() {
    let project = project();
    assert_eq!(project.succeed(&["outdated", "fresh"]), "\n");
    assert_eq!(project.succeed(&["outdated", "--json", "f*"]), "{}\n");
    assert_eq!(
        project.succeed(&["outdated", "--dev", "--compatible"]),
        "\n"
    );
    let failed = project.fail(&["outdated", "nobody"]);
    assert!(
        failed.contains("ERR_PNPM_NO_PACKAGE_IN_DEPENDENCIES"),
        "{failed}"
    );
}

#[test]
fn without_a_lockfile_the_lowest_version_of_a_range_is_the_present_one() {
    let project = project();
    for path in [
        project.root().join("pnpm-lock.yaml"),
        project.node_modules(),
    ] {
        let _ = std::fs::remove_file(&path);
        let _ = std::fs::remove_dir_all(&path);
    }
    let list = said(&project, &["outdated", "--no-table"]);
    assert_eq!(list, "tool (dev)\n1.0.0 => 1.1.0\n\nleft\n1.0.0 => 2.0.0\n");
}
