//! Which peers projects are given that do not declare them.

use std::fs;

use pacquet_test_registry::Package;

use crate::project::Project;

fn project(packages: &[Package], settings: &str) -> Project {
    let project = Project::new();
    for package in packages {
        project.registry.publish(package);
    }
    project.write("pnpm-workspace.yaml", settings);
    project
}

fn write_manifest(project: &Project, directory: &str, dependencies: &str) {
    let manifest = format!(r#"{{"dependencies":{dependencies}}}"#);
    project.write(&format!("{directory}/package.json"), &manifest);
}

/// What is locked for the dependencies of the projects, in order.
fn versions(project: &Project) -> Vec<String> {
    let text = fs::read_to_string(project.root().join("pnpm-lock.yaml")).unwrap();
    let versions = text
        .lines()
        .filter_map(|line| line.strip_prefix("        version: "));
    versions.map(str::to_owned).collect()
}

/// A package that `user` may have as a peer, and what that needs itself.
fn offered() -> [Package; 6] {
    [
        Package::new("user", "1.0.0").optional_peer_dependency("offered", "1"),
        Package::new("offered", "1.0.0").peer_dependency("host", "1"),
        Package::new("host", "1.0.0"),
        Package::new("host", "2.0.0"),
        Package::new("other", "5.0.0"),
        Package::new("apart", "1.0.0"),
    ]
}

#[test]
fn nothing_is_given_whose_peers_would_be_overridden_with_what_does_not_fit() {
    for (range, given) in [("^5", "1.0.0"), ("^1", "1.0.0(offered@1.0.0(other@1.0.0))")] {
        let settings = format!("packages: [packages/*]\noverrides:\n  host: npm:other@{range}\n");
        let project = project(&offered(), &settings);
        project.registry.publish(&Package::new("other", "1.0.0"));
        project.write("package.json", "{}");
        write_manifest(&project, "packages/a", r#"{"user":"1"}"#);
        write_manifest(&project, "packages/b", r#"{"offered":"1"}"#);
        project.succeed(&["install", "--lockfile-only"]);
        assert_eq!(versions(&project)[0], given, "{range}");
    }
}

#[test]
fn nothing_is_given_whose_peers_are_another_package_of_the_root_that_does_not_fit() {
    for (version, given) in [
        ("2.0.0", "1.0.0"),
        ("1.0.0", "1.0.0(offered@1.0.0(host@1.0.0))"),
    ] {
        let project = project(&offered(), "packages: [packages/*]\n");
        let root = format!(r#"{{"renamed":"npm:host@{version}"}}"#);
        write_manifest(&project, ".", &root);
        write_manifest(&project, "packages/a", r#"{"user":"1"}"#);
        write_manifest(&project, "packages/b", r#"{"offered":"1","host":"1"}"#);
        project.succeed(&["install", "--lockfile-only"]);
        assert_eq!(versions(&project)[1], given, "{version}");
    }
}

#[test]
fn what_is_only_locked_is_not_given_where_its_peers_do_not_fit_any_more() {
    for (host, given) in [("2", "1.0.0"), ("1", "1.0.0(offered@1.0.0(host@1.0.0))")] {
        let project = project(&offered(), "packages: []\n");
        write_manifest(
            &project,
            ".",
            r#"{"user":"1","offered":"1","host":"1","apart":"1"}"#,
        );
        project.succeed(&["install", "--lockfile-only"]);
        write_manifest(&project, ".", &format!(r#"{{"user":"1","host":"{host}"}}"#));
        project.succeed(&["install", "--lockfile-only", "--no-frozen-lockfile"]);
        let versions = versions(&project);
        assert_eq!(versions.last().map(String::as_str), Some(given), "{host}");
    }
}

#[test]
fn what_one_project_is_given_is_there_for_others_only_afterwards() {
    for (first, second) in [("a", "b"), ("b", "a")] {
        let packages = [
            Package::new("user", "1.0.0").optional_peer_dependency("given", "*"),
            Package::new("given", "1.0.0").dependency("base", "2.0.0"),
            Package::new("other", "1.0.0").optional_peer_dependency("base", "*"),
            Package::new("base", "1.0.0"),
            Package::new("base", "2.0.0"),
            Package::new("apart", "1.0.0"),
        ];
        let project = project(&packages, "packages: [packages/*]\n");
        project.write("package.json", "{}");
        write_manifest(&project, &format!("packages/{first}"), r#"{"user":"1"}"#);
        write_manifest(&project, &format!("packages/{second}"), r#"{"other":"1"}"#);
        write_manifest(&project, "packages/c", r#"{"base":"1"}"#);
        write_manifest(&project, "packages/d", r#"{"given":"1"}"#);
        project.succeed(&["install", "--lockfile-only"]);
        write_manifest(&project, "packages/d", r#"{"apart":"1"}"#);
        project.succeed(&["install", "--lockfile-only", "--no-frozen-lockfile"]);
        let mut versions = versions(&project);
        versions.sort_unstable();
        let expected = ["1.0.0", "1.0.0", "1.0.0(base@1.0.0)", "1.0.0(given@1.0.0)"];
        assert_eq!(versions, expected, "{first}");
    }
}

#[test]
fn what_a_catalog_has_for_a_project_counts_below_the_peers_that_it_is_given() {
    for asked in ["catalog:", "~1.0.0"] {
        let packages = [
            Package::new("user", "1.0.0").peer_dependency("given", "*"),
            Package::new("given", "1.0.0").dependency("base", "^1.0.0"),
            Package::new("base", "1.0.0"),
            Package::new("base", "1.1.0"),
        ];
        let project = project(&packages, "packages: []\ncatalog:\n  base: ~1.0.0\n");
        let asks = format!(r#"{{"base":"{asked}","user":"1"}}"#);
        write_manifest(&project, ".", &asks);
        project.succeed(&["install", "--lockfile-only"]);
        let text = fs::read_to_string(project.root().join("pnpm-lock.yaml")).unwrap();
        assert!(!text.contains("base@1.1.0"), "{text}");
    }
}
