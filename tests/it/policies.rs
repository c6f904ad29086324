//! `minimumReleaseAge` and `trustPolicy` on what is locked already.

use std::fs;

use jiff::{SignedDuration, Timestamp};
use pacquet_test_registry::{Package, Registry};
use serde_json::{Value, json};

use crate::project::Project;

const CODE: &str = "ERR_PNPM_MINIMUM_RELEASE_AGE_VIOLATION";

fn hours_ago(hours: i64) -> String {
    let time = Timestamp::now() - SignedDuration::from_hours(hours);
    format!("{time:.3}")
}

/// An hour ago, as HTTP writes times.
fn recently() -> String {
    let time = Timestamp::now() - SignedDuration::from_hours(1);
    time.strftime("%a, %d %b %Y %H:%M:%S GMT").to_string()
}

/// Archives tell when they were published.
fn tell_times(project: &Project) {
    let long_ago = "Wed, 01 Jan 2020 00:00:00 GMT";
    let registry = &project.registry;
    registry.set_last_modified("/old/-/old-1.0.0.tgz", long_ago);
    registry.set_last_modified("/young/-/young-1.0.0.tgz", &recently());
}

/// Locked to `old`, which is old, and `young`, which is an hour old.
fn project() -> Project {
    let manifest = json!({ "name": "app", "dependencies": { "old": "1.0.0", "young": "1.0.0" } });
    let young = Package::new("young", "1.0.0").time(&hours_ago(1));
    Project::locked(&manifest, &[Package::new("old", "1.0.0"), young])
}

fn settings(project: &Project) -> String {
    fs::read_to_string(project.root().join("pnpm-workspace.yaml")).unwrap_or_default()
}

#[test]
fn an_age_that_was_set_holds_for_what_is_locked() {
    for command in [
        &["install", "--frozen-lockfile"][..],
        &["install"],
        &["install", "--lockfile-only"],
        &["install", "--lockfile-only", "--no-prefer-frozen-lockfile"],
        &["fetch"],
        &["add", "old@1.0.0"],
    ] {
        let project = project();
        project.write("pnpm-workspace.yaml", "minimumReleaseAge: 1440\n");
        let before = fs::read(project.root().join("pnpm-lock.yaml")).unwrap();
        let said = project.fail(command);
        assert!(said.contains(CODE), "{command:?}: {said}");
        assert!(said.contains("young@1.0.0 was published at"), "{said}");
        assert!(!said.contains("old@1.0.0 was"), "{said}");
        let after = fs::read(project.root().join("pnpm-lock.yaml")).unwrap();
        assert_eq!(before, after, "{command:?}");
        assert!(!project.node_modules().exists(), "{command:?}");
    }
}

#[test]
fn what_is_excluded_or_trusted_is_installed_and_found_out_once() {
    let project = project();
    let excluded = "minimumReleaseAge: 1440\nminimumReleaseAgeExclude: ['young@1.0.0']\n";
    project.write("pnpm-workspace.yaml", excluded);
    project.succeed(&["install", "--frozen-lockfile"]);
    assert!(!project.registry.requests_for("/old").is_empty());
    assert!(project.registry.requests_for("/young").is_empty());
    fs::remove_dir_all(project.node_modules()).unwrap();
    project.registry.take_requests();
    project.succeed(&["install", "--frozen-lockfile"]);
    assert!(project.registry.take_requests().is_empty());
    project.write("pnpm-workspace.yaml", "minimumReleaseAge: 1440\n");
    let said = project.fail(&["install", "--frozen-lockfile"]);
    assert!(said.contains(CODE), "{said}");
    project.succeed(&["install", "--frozen-lockfile", "--trust-lockfile"]);
    // What was installed on trust is not verified by it.
    let said = project.fail(&["install", "--frozen-lockfile"]);
    assert!(said.contains(CODE), "{said}");
}

#[test]
fn the_age_that_nobody_set_holds_for_what_is_fetched_and_asks_about_nothing_old() {
    let project = project();
    tell_times(&project);
    let said = project.fail(&["install", "--frozen-lockfile"]);
    assert!(said.contains(CODE), "{said}");
    assert!(project.registry.requests_for("/old").is_empty());
    // It was not stored either, so trying again is no way around.
    let said = project.fail(&["install", "--frozen-lockfile"]);
    assert!(said.contains(CODE), "{said}");
    project.write("pnpm-workspace.yaml", "minimumReleaseAgeExclude: [young]\n");
    project.succeed(&["install", "--frozen-lockfile"]);
    let other = self::project();
    tell_times(&other);
    other.write("pnpm-workspace.yaml", "minimumReleaseAge: 0\n");
    other.succeed(&["install", "--frozen-lockfile"]);
}

#[test]
fn an_archive_that_is_younger_than_its_version_is_installed() {
    let manifest = json!({ "name": "app", "dependencies": { "old": "1.0.0" } });
    let project = Project::locked(&manifest, &[Package::new("old", "1.0.0")]);
    let registry = &project.registry;
    registry.set_last_modified("/old/-/old-1.0.0.tgz", &recently());
    project.succeed(&["install", "--frozen-lockfile"]);
    assert!(project.node_modules().join("old/package.json").exists());
    assert_eq!(project.registry.requests_for("/old").len(), 1);
}

#[test]
fn versions_that_are_chosen_for_want_of_older_ones_are_written_down_as_exceptions() {
    let project = Project::new();
    for version in ["1.0.0", "2.0.0"] {
        let package = Package::new("young", version).time(&hours_ago(1));
        project.registry.publish(&package);
    }
    let manifest = json!({
        "name": "app",
        "dependencies": { "young": "1.0.0", "other": "npm:young@2.0.0" },
    });
    project.write("package.json", &manifest.to_string());
    project.write(
        "pnpm-workspace.yaml",
        "# mine\nminimumReleaseAgeExclude:\n  - zeta\n",
    );
    let output = project.run(&["install"]);
    assert!(output.status.success());
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(
        said.contains("Added 1 entry to minimumReleaseAgeExclude"),
        "{said}"
    );
    assert!(said.contains("young@1.0.0 || 2.0.0"), "{said}");
    let text = settings(&project);
    let expected = "# mine\nminimumReleaseAgeExclude:\n  - zeta\n  - young@1.0.0 || 2.0.0\n";
    assert_eq!(text, expected);
    project.succeed(&["install", "--frozen-lockfile"]);
    assert_eq!(settings(&project), text);
}

/// A packument whose version 1.1.0 has no evidence of its origin, and 1.0.0 has.
fn downgraded(registry: &Registry, name: &str) {
    let mut packument: Value = registry.packument(name);
    packument["versions"]["1.0.0"]["dist"]["attestations"] =
        json!({ "provenance": { "predicateType": "https://slsa.dev/provenance/v1" } });
    packument["time"] = json!({ "1.0.0": "2020-01-01T00:00:00.000Z",
        "1.1.0": "2021-01-01T00:00:00.000Z" });
    registry.replace_packument(name, packument);
}

#[test]
fn less_evidence_of_origin_than_before_is_refused_in_what_is_locked() {
    let manifest = json!({ "name": "app", "dependencies": { "lib": "1.1.0" } });
    let packages = [Package::new("lib", "1.1.0")];
    let project = Project::locked(&manifest, &packages);
    project.registry.publish(&Package::new("lib", "1.0.0"));
    project.registry.publish(&packages[0]);
    downgraded(&project.registry, "lib");
    project.write("pnpm-workspace.yaml", "trustPolicy: no-downgrade\n");
    let said = project.fail(&["install", "--frozen-lockfile"]);
    assert!(said.contains("ERR_PNPM_TRUST_DOWNGRADE"), "{said}");
    assert!(
        said.contains("lib@1.1.0 High-risk trust downgrade"),
        "{said}"
    );
    for settings in [
        "trustPolicyExclude: ['lib@1.1.0']\n",
        "trustPolicyIgnoreAfter: 1440\n",
    ] {
        let settings = format!("trustPolicy: no-downgrade\n{settings}");
        project.write("pnpm-workspace.yaml", &settings);
        project.succeed(&["install", "--frozen-lockfile"]);
        fs::remove_dir_all(project.node_modules()).unwrap();
    }
}

#[test]
fn a_version_that_its_registry_does_not_have_is_told_of_once() {
    let manifest = json!({ "name": "app", "dependencies": { "lib": "1.1.0" } });
    let project = Project::locked(&manifest, &[Package::new("lib", "1.1.0")]);
    let mut packument: Value = project.registry.packument("lib");
    let version = packument["versions"]["1.1.0"].take();
    packument["versions"] = json!({ "1.0.0": version });
    packument["time"] = json!({ "1.0.0": "2020-01-01T00:00:00.000Z" });
    project.registry.replace_packument("lib", packument);
    for (settings, code) in [
        ("trustPolicy: no-downgrade\n", CODE),
        ("trustPolicy: no-downgrade\nminimumReleaseAge: 60\n", CODE),
        (
            "trustPolicy: no-downgrade\nminimumReleaseAge: 0\n",
            "ERR_PNPM_TRUST_CHECK_FAIL",
        ),
    ] {
        project.write("pnpm-workspace.yaml", settings);
        let said = project.fail(&["install", "--frozen-lockfile"]);
        assert!(said.contains(code), "{settings}: {said}");
        assert!(said.contains("1 lockfile entries failed"), "{said}");
    }
}

#[test]
fn offline_what_the_cache_does_not_know_is_let_through() {
    let project = project();
    project.succeed(&["fetch"]);
    project.write("pnpm-workspace.yaml", "minimumReleaseAge: 1440\n");
    project.succeed(&["install", "--frozen-lockfile", "--offline"]);
    project.fail(&["install", "--frozen-lockfile"]);
}
