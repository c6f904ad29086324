//! What a lockfile of npm can lack: integrities, and packages for other machines.

use std::fs;

use pacquet_test_registry::{Package, TarballBuilder};
use serde_json::{Value, json};

use super::{install, locked, manifest, places, refused, write};
use crate::project::Project;

fn without(mut entry: Value, fields: &[&str]) -> Value {
    for field in fields {
        entry.as_object_mut().unwrap().remove(*field);
    }
    entry
}

#[test]
fn what_the_lockfile_does_not_pin_is_what_the_registry_says() {
    let project = Project::new();
    let deep = Package::new("deep", "1.0.0");
    let left = Package::new("left", "1.0.0").dependency("deep", "1.0.0");
    let pinned = locked(&project, &deep, json!({}));
    let entries = [
        ("node_modules/deep", pinned.clone()),
        (
            "node_modules/left",
            without(locked(&project, &left, json!({})), &["integrity"]),
        ),
        (
            "node_modules/left/node_modules/deep",
            without(pinned, &["integrity", "resolved"]),
        ),
    ];
    let manifest = manifest(json!({ "dependencies": { "deep": "1.0.0", "left": "1.0.0" } }));
    write(&project, &manifest, &entries);
    let there = ["deep", "left", "left/node_modules/deep"];
    assert_eq!(places(&install(&project, &[])), there);
    let listed = project.succeed(&["licenses", "list", "--json"]);
    assert!(listed.contains("left"), "{listed}");

    // What is known of a version stays true.
    fs::remove_dir_all(project.node_modules()).unwrap();
    assert_eq!(places(&install(&project, &["--offline"])), there);
}

#[test]
fn an_archive_that_is_not_what_the_registry_says_is_refused() {
    let project = Project::new();
    let entry = locked(&project, &Package::new("left", "1.0.0"), json!({}));
    let entry = without(entry, &["integrity", "resolved"]);
    let changed = TarballBuilder::with_manifest("left", "1.0.0").finish();
    project.registry.replace_tarball("left", "1.0.0", changed);
    let manifest = manifest(json!({ "dependencies": { "left": "1.0.0" } }));
    write(&project, &manifest, &[("node_modules/left", entry)]);
    let said = refused(&project);
    assert!(said.contains("ERR_PNPM_TARBALL_INTEGRITY"), "{said}");
}

#[test]
fn what_a_workspace_brings_along_may_lack_what_is_for_other_machines() {
    let brings = Package::new("left", "1.0.0").optional_dependency("elsewhere", "1.0.0");
    let of_workspace = Project::new();
    let one = json!({
        "name": "one", "version": "1.0.0", "dependencies": { "left": "1.0.0" },
    });
    let entries = [
        (
            "node_modules/left",
            locked(&of_workspace, &brings, json!({})),
        ),
        (
            "node_modules/one",
            json!({ "resolved": "packages/one", "link": true }),
        ),
        ("packages/one", one.clone()),
    ];
    of_workspace.write("packages/one/package.json", &one.to_string());
    let root = manifest(json!({ "workspaces": ["packages/*"] }));
    write(&of_workspace, &root, &entries);
    assert_eq!(places(&install(&of_workspace, &[])), ["left"]);

    // What the project itself brings along is asked about.
    let of_project = Project::new();
    let root = manifest(json!({ "dependencies": { "left": "1.0.0" } }));
    let entry = locked(&of_project, &brings, json!({}));
    write(&of_project, &root, &[("node_modules/left", entry)]);
    let said = refused(&of_project);
    assert!(
        said.contains("Missing: elsewhere@1.0.0 from lock file"),
        "{said}"
    );
}
