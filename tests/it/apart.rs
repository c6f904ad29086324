//! Workspaces whose projects have lockfiles of their own (`sharedWorkspaceLockfile: false`).

use std::fs;

use pacquet_test_registry::Package;

use crate::project::{Project, can_mount};

const APART: &str = "sharedWorkspaceLockfile: false\n";

fn project() -> Project {
    let packages = [
        Package::new("leaf", "1.0.0"),
        Package::new("leaf", "1.1.0"),
        Package::new("other", "1.0.0").dependency("leaf", "^1.0.0"),
    ];
    let manifests = [
        (
            "a",
            r#"{"name":"a","version":"1.0.0","dependencies":{"b":"workspace:*"}}"#,
        ),
        (
            "b",
            r#"{"name":"b","version":"1.0.0","dependencies":{"other":"*"}}"#,
        ),
    ];
    let project = Project::workspace(&packages, APART, &manifests);
    project.write(
        "package.json",
        r#"{"name":"root","dependencies":{"leaf":"1.0.0"}}"#,
    );
    project
}

fn text(project: &Project, path: &str) -> String {
    let path = project.root().join(path);
    fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

fn is_there(project: &Project, path: &str) -> bool {
    project.root().join(path).symlink_metadata().is_ok()
}

#[test]
fn every_project_is_locked_and_installed_beside_its_manifest() {
    let project = project();
    project.succeed(&["install", "--no-virtual"]);
    let locked = text(&project, "packages/a/pnpm-lock.yaml");
    assert!(locked.contains("\n  .:\n"), "{locked}");
    assert!(locked.contains("version: link:../b\n"), "{locked}");
    assert!(!locked.contains("leaf"), "{locked}");
    let locked = text(&project, "packages/b/pnpm-lock.yaml");
    assert!(locked.contains("leaf@1.1.0"), "{locked}");
    let locked = text(&project, "pnpm-lock.yaml");
    assert!(!locked.contains("packages/"), "{locked}");
    for path in [
        "node_modules/.pnpm/leaf@1.0.0",
        "packages/a/node_modules/b",
        "packages/b/node_modules/.pnpm/leaf@1.1.0",
        "packages/b/node_modules/.modules.yaml",
    ] {
        assert!(is_there(&project, path), "{path}");
    }
    assert!(!is_there(&project, "node_modules/.pnpm/other@1.0.0"));

    project.succeed(&["ci", "--no-virtual"]);
    project.succeed(&["-C", "packages/b", "install", "--frozen-lockfile"]);
    assert!(is_there(&project, "packages/a/node_modules/b"));
}

#[test]
fn commands_are_about_the_project_or_those_that_flags_name() {
    let project = project();
    project.succeed(&["install", "--no-virtual"]);
    // The version that another project asks for is taken over, whichever lockfile it is in.
    project.succeed(&["-C", "packages/a", "add", "leaf"]);
    let manifest = text(&project, "packages/a/package.json");
    assert!(manifest.contains(r#""leaf":"^1.0.0""#), "{manifest}");
    let locked = text(&project, "packages/a/pnpm-lock.yaml");
    assert!(locked.contains("leaf@1.0.0"), "{locked}");
    assert!(!text(&project, "pnpm-lock.yaml").contains("1.1.0"));

    project.succeed(&["--filter", "a", "update", "--latest"]);
    assert!(text(&project, "packages/a/pnpm-lock.yaml").contains("leaf@1.1.0"));
    assert!(text(&project, "pnpm-lock.yaml").contains("leaf@1.0.0"));

    let listed = project.succeed(&["list", "-r", "--parseable"]);
    let places = ["/leaf@1.0.0/", "packages/a/", "packages/b/"];
    assert!(
        places.iter().all(|place| listed.contains(place)),
        "{listed}"
    );
    let why = project.succeed(&["why", "leaf"]);
    for part in ["leaf@1.0.0", "leaf@1.1.0", "a@1.0.0", "b@1.0.0"] {
        assert!(why.contains(part), "{why}");
    }
    let outdated = project.run(&["outdated", "-r", "--no-table"]);
    let outdated = String::from_utf8_lossy(&outdated.stdout).into_owned();
    assert!(outdated.contains("1.0.0 => 1.1.0"), "{outdated}");
    assert!(outdated.contains("root"), "{outdated}");

    project.succeed(&["--filter", "a", "remove", "leaf"]);
    assert!(!text(&project, "packages/a/pnpm-lock.yaml").contains("leaf"));
    assert!(is_there(&project, "node_modules/leaf"));
    project.succeed(&["clean"]);
    assert!(!is_there(&project, "packages/b/node_modules"));
}

#[test]
fn every_project_is_served_by_itself() {
    if !can_mount("every_project_is_served_by_itself") {
        return;
    }
    let project = project();
    project.succeed(&["install", "--virtual"]);
    let leaf = "packages/b/node_modules/.pnpm/leaf@1.1.0/node_modules/leaf/package.json";
    assert!(is_there(&project, leaf));
    assert!(is_there(&project, "node_modules/leaf/package.json"));
    project.succeed(&["-C", "packages/a", "add", "other"]);
    assert!(is_there(
        &project,
        "packages/a/node_modules/other/package.json"
    ));
    project.succeed(&["unmount"]);
    assert!(!is_there(&project, leaf));
    project.succeed(&["mount"]);
    assert!(is_there(&project, leaf));
    project.succeed(&["unmount"]);
}
