//! `view`: what a registry says of a package.

use pacquet_test_registry::Package;
use serde_json::{Value, json};

use crate::project::Project;

fn project() -> Project {
    let project = Project::new();
    for version in ["1.0.0", "1.2.0", "2.0.0"] {
        let package = Package::new("one", version).dependency("two", "^1.0.0");
        let more =
            json!({ "license": "MIT", "description": "the first", "homepage": "http://h.test" });
        project.registry.publish(&package.manifest(more));
    }
    project.registry.publish(&Package::new("@x/two", "1.0.0"));
    project
}

#[test]
fn fields_of_versions_are_printed_as_they_are() {
    let project = project();
    for (words, expected) in [
        (&["one", "version"][..], "2.0.0\n"),
        (&["one@1", "version"], "1.2.0\n"),
        (&["one@1.0.0", "version"], "1.0.0\n"),
        (&["one@latest", "version", "--json"], "\"2.0.0\"\n"),
        (&["one", "dependencies.two"], "^1.0.0\n"),
        (&["one", "dependencies"], "{\n  \"two\": \"^1.0.0\"\n}\n"),
        (&["one", "dist-tags.latest"], "2.0.0\n"),
        (&["one", "nothing"], ""),
        (&["one", "name", "nothing"], "name = 'one'\nnothing = \n"),
        (
            &["@x/two", "name", "dependencies"],
            "name = '@x/two'\ndependencies = \n",
        ),
        (&["other@npm:one", "name"], "one\n"),
    ] {
        for command in ["view", "info"] {
            let said = project.succeed(&[&[command], words].concat());
            let said = said.replace("{}", "");
            assert_eq!(said, expected, "{words:?}");
        }
    }
    let said = project.succeed(&["view", "one", "versions", "--json"]);
    let said: Value = serde_json::from_str(&said).unwrap();
    assert_eq!(said, json!(["1.0.0", "1.2.0", "2.0.0"]));
    let said = project.succeed(&["view", "one", "--json"]);
    let said: Value = serde_json::from_str(&said).unwrap();
    assert_eq!(
        (&said["version"], &said["versionsCount"]),
        (&json!("2.0.0"), &json!(3))
    );
}

#[test]
fn a_package_is_shown_to_a_person() {
    let project = project();
    project.write("package.json", r#"{"name":"one"}"#);
    for words in [&["view", "one"][..], &["view"]] {
        let said = project.succeed(words);
        let first = "one@2.0.0 | MIT | deps: 1 | versions: 3\nthe first\nhttp://h.test\n\ndist\n";
        assert!(said.starts_with(first), "{said}");
        assert!(said.contains("\ndependencies:\ntwo: ^1.0.0\n"), "{said}");
        assert!(said.contains("\ndist-tags:\nlatest: 2.0.0\n"), "{said}");
    }
}

#[test]
fn what_cannot_be_shown_is_refused() {
    let project = project();
    for (package, code) in [
        ("nothing", "ERR_PNPM_FETCH_404"),
        ("one@9", "ERR_PNPM_PACKAGE_NOT_FOUND"),
        ("../x", "ERR_PNPM_INVALID_PACKAGE_NAME"),
    ] {
        let said = project.fail(&["view", package]);
        assert!(said.contains(code), "{package}: {said}");
    }
}
