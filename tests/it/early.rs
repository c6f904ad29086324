//! Downloads that begin while versions are still being chosen.

use std::thread::sleep;
use std::time::{Duration, Instant};

use pacquet_test_registry::{Fault, Package, When, tarball_path};
use serde_json::json;

use crate::project::{Project, tree};

const INSTALL: [&str; 3] = ["install", "--no-virtual", "--ignore-scripts"];

/// `first` depends on `second`. There is no lockfile.
fn project() -> Project {
    let project = Project::new();
    let packages = [
        Package::new("first", "1.0.0")
            .file("index.js", "first")
            .dependency("second", "^1.0.0"),
        Package::new("second", "1.0.0").file("index.js", "second"),
    ];
    for package in &packages {
        project.registry.publish(package);
    }
    let manifest = json!({ "name": "app", "version": "1.0.0", "dependencies": { "first": "1" } });
    project.write("package.json", &manifest.to_string());
    project.write("pnpm-workspace.yaml", "minimumReleaseAge: 0\n");
    project
}

#[test]
fn what_is_chosen_is_fetched_while_the_rest_is_not_known() {
    let project = project();
    project.registry.fault("/second", When::Always, Fault::Hang);
    let mut install = project.command(&INSTALL).spawn().expect("it starts");
    let tarball = tarball_path("first", "1.0.0");
    let deadline = Instant::now() + Duration::from_secs(60);
    while project.registry.requests_for(&tarball).is_empty() {
        assert!(Instant::now() < deadline, "nothing was fetched early");
        sleep(Duration::from_millis(20));
    }
    install.kill().expect("it runs until it is killed");
    install.wait().expect("it ends");
    assert!(!project.root().join("pnpm-lock.yaml").exists());
    assert!(!project.node_modules().exists());
    project.registry.clear_faults();
    project.succeed(&INSTALL);
    let tree = tree(&project.node_modules());
    assert!(
        tree.keys().any(|path| path.ends_with("second/index.js")),
        "{tree:?}"
    );
}

#[test]
fn a_failure_on_the_way_is_one_only_where_it_stays() {
    let project = project();
    let tarball = tarball_path("first", "1.0.0");
    let (once, broken) = (When::First(1), Fault::FlipByte);
    project.registry.fault(&tarball, once, broken.clone());
    project.succeed(&INSTALL);
    project.forget_everything();
    std::fs::remove_dir_all(project.node_modules()).expect("removed");
    std::fs::remove_file(project.root().join("pnpm-lock.yaml")).expect("removed");
    project.registry.clear_faults();
    project.registry.fault(&tarball, When::Always, broken);
    let said = project.fail(&INSTALL);
    assert!(said.contains("ERR_PNPM_TARBALL_INTEGRITY"), "{said}");
    assert!(!project.node_modules().join("first").exists());
}

#[test]
fn what_does_not_run_here_is_not_fetched() {
    let project = Project::new();
    let packages = [
        Package::new("elsewhere", "1.0.0").os("aix"),
        Package::new("plain", "1.0.0").file("index.js", "plain"),
    ];
    for package in &packages {
        project.registry.publish(package);
    }
    let manifest = json!({
        "name": "app",
        "version": "1.0.0",
        "dependencies": { "plain": "1.0.0" },
        "optionalDependencies": { "elsewhere": "1.0.0" },
    });
    project.write("package.json", &manifest.to_string());
    project.write("pnpm-workspace.yaml", "minimumReleaseAge: 0\n");
    project.succeed(&INSTALL);
    let asked = |name: &str| project.registry.requests_for(&tarball_path(name, "1.0.0"));
    assert_eq!(asked("elsewhere").len(), 0);
    assert_eq!(asked("plain").len(), 1);
}
