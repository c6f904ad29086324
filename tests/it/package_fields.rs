//! `pkg` and `set-script`.

use std::fs;

use crate::project::Project;

const MANIFEST: &str = r#"{
    "name": "own",
    "version": "1.2.3",
    "files": [
        "a"
    ]
}"#;

const CHANGED: &str = r#"{
    "name": "own",
    "files": [
        "a",
        "b"
    ],
    "scripts": {
        "build": "tsc",
        "test": "node --test"
    },
    "private": true
}"#;

fn project() -> Project {
    let project = Project::new();
    project.write("package.json", MANIFEST);
    project
}

fn manifest(project: &Project) -> String {
    fs::read_to_string(project.root().join("package.json")).unwrap()
}

fn printed(project: &Project, arguments: &[&str]) -> String {
    let output = project.run(arguments);
    assert!(output.status.success(), "{arguments:?}");
    String::from_utf8(output.stdout).unwrap()
}

#[test]
fn fields_are_printed_as_pnpm_prints_them() {
    let project = project();
    for (arguments, expected) in [
        (&["pkg", "get", "name"][..], "own\n"),
        (&["pkg", "get", "name", "--json"], "\"own\"\n"),
        (&["pkg", "get", "files[0]"], "a\n"),
        (&["pkg", "get", "files"], "[\n  \"a\"\n]\n"),
        (&["pkg", "get", "missing"], ""),
        (
            &["pkg", "get", "missing", "version"],
            "{\n  \"version\": \"1.2.3\"\n}\n",
        ),
        (&["pkg", "get", "[\"name\"]"], "own\n"),
    ] {
        assert_eq!(printed(&project, arguments), expected, "{arguments:?}");
    }
    let all = printed(&project, &["pkg", "get"]);
    assert!(all.starts_with("{\n  \"name\": \"own\",\n"), "{all}");
    assert_eq!(manifest(&project), MANIFEST);
}

#[test]
fn fields_are_changed_in_the_style_of_the_file() {
    let project = project();
    project.succeed(&["pkg", "set", "scripts.build=tsc", "files[1]=b"]);
    project.succeed(&["pkg", "set", "--json", "private=true"]);
    project.succeed(&["set-script", "test", "node", "--test"]);
    project.succeed(&["pkg", "delete", "version", "missing"]);
    assert_eq!(manifest(&project), CHANGED);
    // A name that is none does not keep it from being mended.
    project.succeed(&["pkg", "set", "name=../own"]);
    project.succeed(&["pkg", "set", "name=own"]);
    assert_eq!(manifest(&project), CHANGED);
    project.succeed(&["pkg", "set", "dependencies.b=1", "dependencies.a=1"]);
    assert!(manifest(&project).contains("\"a\": \"1\",\n        \"b\": \"1\"\n"));
    project.succeed(&["pkg", "delete", "dependencies.a", "dependencies.b"]);
    assert_eq!(manifest(&project), CHANGED);
}

#[test]
fn what_cannot_be_done_changes_nothing() {
    let project = project();
    for (arguments, code) in [
        (&["pkg", "set", "x"][..], "ERR_PNPM_PKG_SET_INVALID_ARG"),
        (&["pkg", "set", "=1"], "ERR_PNPM_PKG_EMPTY_PROPERTY_PATH"),
        (
            &["pkg", "set", "version=2", "a..b=1"],
            "ERR_PNPM_PKG_INVALID_PROPERTY_PATH",
        ),
        (
            &["pkg", "set", "files[4000000000]=1"],
            "ERR_PNPM_PKG_INVALID_PROPERTY_PATH",
        ),
        (
            &["pkg", "set", "__proto__.a=1"],
            "ERR_PNPM_UNSAFE_PROPERTY_PATH_KEY",
        ),
        (
            &["pkg", "set", "--json", "a={"],
            "ERR_PNPM_PKG_SET_JSON_PARSE",
        ),
        (&["set-script", "x"], "ERR_PNPM_SET_SCRIPT_MISSING_ARGS"),
    ] {
        let said = project.fail(arguments);
        assert!(said.contains(code), "{arguments:?}: {said}");
        assert_eq!(manifest(&project), MANIFEST);
    }
    project.write("package.json", "[");
    let said = project.fail(&["pkg", "set", "a=1"]);
    assert!(said.contains("is not valid JSON"), "{said}");
    assert_eq!(manifest(&project), "[");
    fs::remove_file(project.root().join("package.json")).unwrap();
    let said = project.fail(&["pkg", "get", "name"]);
    assert!(
        said.contains("ERR_PNPM_NO_IMPORTER_MANIFEST_FOUND"),
        "{said}"
    );
}

#[test]
fn all_projects_are_asked_and_changed() {
    let project = Project::new();
    project.write("pnpm-workspace.yaml", "packages: [a, b]\n");
    project.write("package.json", "{}");
    project.write("a/package.json", "{\"name\":\"a\"}");
    project.write("b/package.json", "{\"name\":\"b\"}");
    project.succeed(&["-r", "pkg", "set", "license=MIT"]);
    assert_eq!(manifest(&project), "{\n  \"license\": \"MIT\"\n}");
    let got = printed(&project, &["--filter", "a", "pkg", "get", "license"]);
    assert_eq!(got, "{\n  \"a\": {\n    \"license\": \"MIT\"\n  }\n}\n");
}
