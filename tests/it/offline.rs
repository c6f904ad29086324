//! Installing without the network.

use std::fs;

use pacquet_test_registry::Package;
use serde_json::json;

use crate::project::{Project, can_mount};

const OFFLINE: [&str; 4] = ["install", "--virtual", "--offline", "--ignore-scripts"];

fn project() -> Project {
    let manifest = json!({ "name": "app", "dependencies": { "one": "1.0.0", "two": "1.0.0" } });
    let package = |name| Package::new(name, "1.0.0").file("index.js", name);
    Project::locked(&manifest, &[package("one"), package("two")])
}

#[test]
fn with_everything_in_the_store_it_works_and_asks_for_nothing() {
    if !can_mount("with_everything_in_the_store_it_works_and_asks_for_nothing") {
        return;
    }
    let project = project();
    project.install();
    project.unmount();
    project.registry.take_requests();
    // Nor may a saved layer be what makes it work.
    fs::remove_dir_all(project.path("cache")).unwrap();
    project.succeed(&OFFLINE);
    assert!(project.is_mounted());
    assert_eq!(
        project.tree()[".pnpm/one@1.0.0/node_modules/one/index.js"],
        "f false one"
    );
    project.unmount();
    project.succeed(&["install", "--virtual", "--prefer-offline"]);
    assert!(project.registry.take_requests().is_empty());
}

#[test]
fn every_missing_package_is_listed_and_nothing_changes() {
    let project = project();
    let lock = fs::read(project.root().join("pnpm-lock.yaml")).unwrap();
    let said = project.fail(&OFFLINE);
    assert!(said.contains("ERR_PNPM_NO_OFFLINE_TARBALL"), "{said}");
    assert!(
        said.contains("one@1.0.0") && said.contains("two@1.0.0"),
        "{said}"
    );
    assert!(project.registry.take_requests().is_empty());
    project.assert_store_is_empty("offline");
    assert_eq!(
        fs::read(project.root().join("pnpm-lock.yaml")).unwrap(),
        lock
    );
    assert!(fs::symlink_metadata(project.node_modules()).is_err());
}

#[test]
fn a_package_that_is_not_there_keeps_the_mount_that_is() {
    if !can_mount("a_package_that_is_not_there_keeps_the_mount_that_is") {
        return;
    }
    let project = project();
    project.install();
    let before = project.status();
    let tree = project.tree();
    let manifest = json!({ "name": "app", "dependencies": { "three": "1.0.0" } });
    let three = Package::new("three", "1.0.0");
    let lock = pacquet_test_registry::lockfile::write(&manifest, &[three]).unwrap();
    project.write("package.json", &manifest.to_string());
    project.write("pnpm-lock.yaml", &lock);
    assert!(project.fail(&OFFLINE).contains("three@1.0.0"));
    assert_eq!(project.status()["server_pid"], before["server_pid"]);
    assert_eq!(project.tree(), tree);
}

#[test]
fn offline_the_full_form_of_metadata_does_for_the_abbreviated_one() {
    let project = Project::new();
    for version in ["1.0.0", "1.1.0"] {
        let package = Package::new("one", version).time("2020-01-01T00:00:00.000Z");
        project.registry.publish(&package);
    }
    project.write("package.json", r#"{"dependencies":{"one":"^1.0.0"}}"#);
    // Only the full form has what a policy is held against.
    project.write("pnpm-workspace.yaml", "trustPolicy: no-downgrade\n");
    project.succeed(&["install", "--lockfile-only"]);
    fs::remove_file(project.root().join("pnpm-workspace.yaml")).unwrap();
    for flag in ["--offline", "--prefer-offline"] {
        fs::remove_file(project.root().join("pnpm-lock.yaml")).unwrap();
        project.registry.take_requests();
        project.succeed(&["install", "--lockfile-only", flag]);
        assert!(project.registry.take_requests().is_empty(), "{flag}");
        let lockfile = fs::read_to_string(project.root().join("pnpm-lock.yaml")).unwrap();
        assert!(lockfile.contains("one@1.1.0:"), "{lockfile}");
    }
}
