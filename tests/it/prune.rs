//! `store prune`: what is used stays, and where that is not known nothing goes.

use std::fs;
use std::os::unix::fs::symlink;

use pacquet_test_registry::{Package, lockfile};
use serde_json::{Value, json};

use crate::project::{Project, can_mount};

fn packages() -> Vec<Package> {
    ["one", "two"]
        .into_iter()
        .map(|name| Package::new(name, "1.0.0").file("index.js", name))
        .collect()
}

fn lock(project: &Project, name: &str) {
    let manifest = json!({ "name": "app", "dependencies": { name: "1.0.0" } });
    project.write("package.json", &manifest.to_string());
    let text = lockfile::write(&manifest, &packages()).expect("locked");
    project.write("pnpm-lock.yaml", &text);
}

fn project() -> Project {
    let project = Project::new();
    for package in packages() {
        project.registry.publish(&package);
    }
    lock(&project, "one");
    project
}

fn write_files(project: &Project) {
    project.succeed(&[
        "install",
        "--no-virtual",
        "--frozen-lockfile",
        "--ignore-scripts",
    ]);
}

fn prune(project: &Project, more: &[&str]) -> Value {
    let arguments: Vec<&str> = ["store", "prune", "--json"]
        .iter()
        .chain(more)
        .copied()
        .collect();
    serde_json::from_str(&project.succeed(&arguments)).expect("JSON")
}

fn forget_layers(project: &Project) {
    let _ = fs::remove_dir_all(project.path("cache/layers"));
}

#[test]
fn what_a_project_no_longer_needs_goes_and_the_rest_stays() {
    let project = project();
    write_files(&project);
    lock(&project, "two");
    write_files(&project);
    assert_eq!(project.packages_in_store(), 2);
    let planned = prune(&project, &["--dry-run"]);
    assert_eq!(planned["packages"], json!(["one@1.0.0"]));
    assert_eq!(
        (&planned["packs"], &planned["unpacked"]),
        (&json!(1), &json!(1))
    );
    assert_eq!(project.packages_in_store(), 2);
    let done = prune(&project, &[]);
    assert_eq!(done["packages"], planned["packages"]);
    assert_eq!(done["bytes"], planned["bytes"]);
    assert_eq!(project.packages_in_store(), 1);
    project.succeed(&["store", "verify"]);
    assert!(project.node_modules().join("two/index.js").is_file());
    project.registry.take_requests();
    fs::remove_dir_all(project.node_modules()).expect("removed");
    write_files(&project);
    assert!(
        project.registry.take_requests().is_empty(),
        "nothing that is used is gone"
    );
}

#[test]
fn copies_that_nothing_is_linked_to_go_and_packs_stay() {
    let project = project();
    write_files(&project);
    fs::remove_dir_all(project.node_modules()).expect("removed");
    let done = prune(&project, &[]);
    assert_eq!((&done["packs"], &done["unpacked"]), (&json!(0), &json!(1)));
    assert_eq!(prune(&project, &[])["unpacked"], 0);
    write_files(&project);
    assert_eq!(project.registry.take_requests().len(), 1);
}

#[test]
fn a_project_that_is_gone_needs_nothing() {
    let project = project();
    write_files(&project);
    fs::rename(project.root(), project.path("moved")).expect("moved");
    let mut command = project.command(&["store", "prune", "--json"]);
    let output = command
        .current_dir(project.path("home"))
        .output()
        .expect("it starts");
    let done: Value = serde_json::from_slice(&output.stdout).expect("JSON");
    assert_eq!(done["packages"], json!(["one@1.0.0"]));
    assert_eq!(
        fs::read_dir(project.store().join("roots"))
            .expect("there")
            .count(),
        0
    );
}

#[test]
fn what_is_served_and_what_a_saved_layer_shows_stays() {
    if !can_mount("what_is_served_and_what_a_saved_layer_shows_stays") {
        return;
    }
    let project = project();
    project.install();
    assert_eq!(prune(&project, &[])["packs"], 0);
    project.unmount();
    lock(&project, "two");
    project.install();
    assert_eq!(
        prune(&project, &[])["packs"],
        0,
        "the layer of the first install is saved"
    );
    forget_layers(&project);
    let said = project.fail(&["store", "prune"]);
    assert!(said.contains("ERR_PACQUET_PRUNE_REFUSED"), "{said}");
    assert!(
        said.contains(project.root().to_str().expect("text")),
        "{said}"
    );
    project.unmount();
    assert_eq!(prune(&project, &[])["packages"], json!(["one@1.0.0"]));
    project.install();
    assert_eq!(
        fs::read_to_string(project.node_modules().join("two/index.js")).expect("there"),
        "two"
    );
}

#[test]
fn nothing_goes_while_anything_cannot_be_read() {
    let project = project();
    write_files(&project);
    lock(&project, "two");
    write_files(&project);
    let roots = project.store().join("roots");
    let root = fs::read_dir(&roots)
        .expect("there")
        .next()
        .expect("one")
        .expect("read")
        .path();
    let text = fs::read(&root).expect("read");
    for damage in [
        &b""[..],
        b"{}",
        b"{\"path\":\"/x\",\"packs\":[\"zz\"]}",
        &text[..text.len() / 2],
    ] {
        fs::write(&root, damage).expect("written");
        let said = project.fail(&["store", "prune"]);
        assert!(said.contains("ERR_PACQUET_STORE_ROOT"), "{said}");
        assert!(said.contains("roots/"), "{said}");
        assert_eq!(project.packages_in_store(), 2);
        fs::write(&root, &text).expect("written");
    }
    fs::create_dir_all(project.path("cache/layers")).expect("made");
    fs::write(project.path("cache/layers/x.layer"), "damaged").expect("written");
    let said = project.fail(&["store", "prune"]);
    assert!(
        said.contains("ERR_PACQUET_PRUNE_REFUSED") && said.contains("x.layer"),
        "{said}"
    );
    assert_eq!(project.packages_in_store(), 2);
}

#[test]
fn what_does_not_belong_to_the_store_is_told_of_and_stays() {
    let project = project();
    write_files(&project);
    let outside = project.path("outside");
    fs::create_dir(&outside).expect("made");
    fs::write(outside.join("keep"), "keep").expect("written");
    let links = ["roots/link", "packs/zz", "unpacked/00"];
    for link in links {
        let path = project.store().join(link);
        let _ = fs::remove_dir_all(&path);
        symlink(&outside, path).expect("linked");
    }
    let done = prune(&project, &[]);
    let foreign = done["foreign"].to_string();
    for link in links {
        assert!(foreign.contains(link), "{link}: {foreign}");
        assert!(project.store().join(link).is_symlink(), "{link}");
    }
    assert!(outside.join("keep").exists());
}

#[test]
fn prune_waits_for_an_install_and_an_install_for_it() {
    let project = project();
    write_files(&project);
    lock(&project, "two");
    let mut children: Vec<_> = (0..6)
        .map(|number| {
            let arguments: &[&str] = match number % 2 {
                0 => &[
                    "install",
                    "--no-virtual",
                    "--frozen-lockfile",
                    "--ignore-scripts",
                ],
                _ => &["store", "prune"],
            };
            project.command(arguments).spawn().expect("it starts")
        })
        .collect();
    for child in &mut children {
        assert!(child.wait().expect("ended").success());
    }
    assert!(project.node_modules().join("two/index.js").is_file());
    project.succeed(&["store", "verify"]);
}

/// Where this project's servers have their sockets.
fn run_directory(project: &Project) -> std::path::PathBuf {
    let mut entries = fs::read_dir(project.path("run")).expect("there");
    entries.next().expect("one").expect("read").path()
}

#[test]
fn layers_beside_the_sockets_count_too() {
    if !can_mount("layers_beside_the_sockets_count_too") {
        return;
    }
    let project = project();
    project.install();
    let beside = run_directory(&project).join("layers");
    fs::rename(project.path("cache/layers"), &beside).expect("moved");
    assert_eq!(prune(&project, &[])["packs"], 0, "it is served");
    project.unmount();
    lock(&project, "two");
    write_files(&project);
    assert_eq!(prune(&project, &[])["packs"], 0, "its layer is saved");
    let layer = fs::read_dir(&beside).expect("there").find_map(|entry| {
        let path = entry.expect("read").path();
        (path.extension()? == "layer").then_some(path)
    });
    fs::write(layer.expect("one"), "damaged").expect("written");
    let said = project.fail(&["store", "prune"]);
    assert!(said.contains("ERR_PACQUET_PRUNE_REFUSED"), "{said}");
    fs::remove_dir_all(&beside).expect("removed");
    assert_eq!(prune(&project, &[])["packages"], json!(["one@1.0.0"]));
}

#[test]
fn a_project_that_is_moved_while_it_is_served_keeps_what_is_served() {
    if !can_mount("a_project_that_is_moved_while_it_is_served_keeps_what_is_served") {
        return;
    }
    let project = project();
    project.install();
    fs::rename(project.root(), project.path("moved")).expect("moved");
    let mut command = project.command(&["store", "prune", "--json"]);
    let output = command.current_dir(project.path("home")).output();
    let done: Value = serde_json::from_slice(&output.expect("it starts").stdout).expect("JSON");
    let index = fs::read_to_string(project.path("moved/node_modules/one/index.js"));
    fs::rename(project.path("moved"), project.root()).expect("moved back");
    assert_eq!(done["packs"], 0);
    assert_eq!(index.expect("served"), "one");
}
