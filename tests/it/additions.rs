//! Dependencies that are added to a project whose lockfile fits: what is asked for, and that the
//! result is what a resolution of everything finds.

use std::collections::BTreeSet;
use std::fs;

use pacquet_test_registry::Package;

use crate::project::Project;

const BEFORE: &str = concat!(
    r#"{"dependencies":{"host":"^1.0.0","plugin":"^1.0.0","ring":"^1.0.0"},"#,
    r#""optionalDependencies":{"maybe":"^1.0.0"}}"#
);

fn packages() -> Vec<Package> {
    vec![
        Package::new("host", "1.0.0"),
        Package::new("plugin", "1.0.0")
            .peer_dependency("host", "^1.0.0")
            .optional_peer_dependency("extra", "*"),
        Package::new("ring", "1.0.0").dependency("link", "^1.0.0"),
        Package::new("link", "1.0.0")
            .dependency("ring", "^1.0.0")
            .dependency("plugin", "^1.0.0"),
        Package::new("maybe", "1.0.0").dependency("deep", "^1.0.0"),
        Package::new("deep", "1.0.0").dependency("deeper", "^1.0.0"),
        Package::new("deeper", "1.0.0"),
        Package::new("extra", "1.0.0"),
        Package::new("apart", "1.0.0").dependency("beside", "~1.0.0"),
        Package::new("beside", "1.0.0").optional_dependency("leaf", "1.0.0"),
        Package::new("leaf", "1.0.0"),
        Package::new("needs-deep", "1.0.0").dependency("deep", "1"),
        Package::new("needs-direct", "1.0.0").dependency("ring", "1"),
        Package::new("peering", "1.0.0").peer_dependency("host", "1"),
        Package::new("has-extra", "1.0.0").dependency("extra", "1"),
        Package::new("loop-a", "1.0.0").dependency("loop-b", "1"),
        Package::new("loop-b", "1.0.0").dependency("loop-a", "1"),
        Package::new("inner", "1.0.0")
            .dependency("peering", "1")
            .dependency("host", "1"),
    ]
}

fn project(manifest: &str) -> Project {
    let project = Project::new();
    for package in packages() {
        project.registry.publish(&package);
    }
    project.write("package.json", manifest);
    project.succeed(&["install", "--lockfile-only"]);
    project
}

fn lockfile(project: &Project) -> String {
    fs::read_to_string(project.root().join("pnpm-lock.yaml")).expect("it was written")
}

/// The packuments that were asked for since the last question.
fn asked(project: &Project) -> BTreeSet<String> {
    let requests = project.registry.take_requests();
    let paths = requests
        .iter()
        .map(|request| request.path.trim_start_matches('/'));
    let names = paths.filter(|path| !path.ends_with(".tgz"));
    names.map(str::to_owned).collect()
}

/// What `added` in a project gives, which must be what everything at once gives. Returns what was
/// asked for.
fn add(added: &[&str]) -> BTreeSet<String> {
    let one_by_one = project(BEFORE);
    one_by_one.registry.take_requests();
    let words = [&["add", "--lockfile-only"], added].concat();
    one_by_one.succeed(&words);
    let asked = asked(&one_by_one);
    let manifest = fs::read_to_string(one_by_one.root().join("package.json"));
    let at_once = project(&manifest.expect("it is there"));
    assert_eq!(lockfile(&one_by_one), lockfile(&at_once), "{added:?}");
    asked
}

fn names(list: &[&str]) -> BTreeSet<String> {
    list.iter().map(|name| (*name).to_owned()).collect()
}

#[test]
fn what_has_nothing_to_do_with_the_rest_is_all_that_is_asked_for() {
    for (added, expected) in [
        (&["apart"][..], &["apart", "beside", "leaf"][..]),
        (&["apart", "-D"], &["apart", "beside", "leaf"]),
        (&["apart", "-O"], &["apart", "beside", "leaf"]),
        (&["leaf", "loop-a"], &["leaf", "loop-a", "loop-b"]),
        (&["needs-deep"], &["needs-deep"]),
        (&["needs-deep", "-O"], &["needs-deep"]),
    ] {
        assert_eq!(add(added), names(expected), "{added:?}");
    }
}

#[test]
fn what_has_to_do_with_the_rest_changes_it() {
    for added in [
        &["extra"][..],
        &["has-extra"],
        &["peering"],
        &["inner"],
        &["needs-direct"],
        &["deep"],
        &["link"],
        &["other@npm:apart@1.0.0"],
        &["extra@npm:leaf@1.0.0"],
        &["apart", "peering"],
    ] {
        add(added);
    }
}

#[test]
fn what_is_there_keeps_its_version_when_a_newer_one_was_published() {
    let project = project(BEFORE);
    for name in ["deeper", "host", "link"] {
        project.registry.publish(&Package::new(name, "1.1.0"));
    }
    let before = lockfile(&project);
    project.succeed(&["add", "--lockfile-only", "needs-deep", "apart"]);
    let after = lockfile(&project);
    assert!(!after.contains("1.1.0"), "{after}");
    let is_lost = |line: &&str| !after.contains(*line);
    let lost: Vec<&str> = before.lines().filter(is_lost).collect();
    assert!(lost.is_empty(), "{lost:?}\n{after}");
    assert!(before.contains("optional: true"), "{before}");
    let (_, deep) = after
        .split_once("\n  deep@1.0.0:\n    dep")
        .expect("it is there");
    let (deep, _) = deep.split_once("\n\n").expect("others come after it");
    assert!(!deep.contains("optional: true"), "{after}");
}

/// What an edit of the manifest gives where everything has been published anew.
fn edited(project: &Project, locked: &str, manifest: &str) -> (BTreeSet<String>, String) {
    project.write("pnpm-lock.yaml", locked);
    project.write("package.json", manifest);
    project.registry.take_requests();
    project.succeed(&["install", "--lockfile-only"]);
    (asked(project), lockfile(project))
}

#[test]
fn where_nothing_has_to_be_chosen_nobody_is_asked_and_every_version_stays() {
    let before = BEFORE.replace(r#""ring":"^1.0.0""#, r#""ring":"latest""#);
    let project = project(&before);
    let locked = lockfile(&project);
    for package in packages() {
        project
            .registry
            .publish(&Package::new(package.name(), "1.1.0"));
    }
    let with = |from: &str, to: &str| before.replace(from, to);
    for (manifest, gone, new) in [
        (
            with(r#","ring":"latest""#, ""),
            "\n  link@",
            "\n      plugin:\n",
        ),
        (
            with(r#""plugin":"^1.0.0","#, ""),
            "\n      plugin:\n",
            "\n  plugin@",
        ),
        (
            with("optionalDependencies", "devDependencies"),
            "\n    optional: true",
            "devDependencies:",
        ),
        (
            with("^1.0.0", ">=1 <2"),
            "specifier: ^1.0.0",
            "specifier: '>=1 <2'",
        ),
        (
            with(r#""host""#, r#""deep":"1","host""#),
            "never",
            "\n      deep:\n",
        ),
    ] {
        let (asked, after) = edited(&project, &locked, &manifest);
        assert!(asked.is_empty(), "{manifest}: {asked:?}");
        assert!(!after.contains("1.1.0"), "{manifest}\n{after}");
        assert!(
            !after.contains(gone) && after.contains(new),
            "{manifest}\n{after}"
        );
    }
    // It stands in the keys of others.
    let (_, after) = edited(&project, &locked, &with(r#""host":"^1.0.0","#, ""));
    assert!(
        !after.contains("\n      host:\n") && after.contains("(host@"),
        "{after}"
    );
}

#[test]
fn what_cannot_be_found_is_told_and_changes_nothing() {
    let project = project(BEFORE);
    let before = lockfile(&project);
    let failed = project.fail(&["add", "--lockfile-only", "nobody"]);
    assert!(failed.contains("ERR_PNPM_FETCH_404"), "{failed}");
    project
        .registry
        .publish(&Package::new("needs-nobody", "1.0.0").dependency("nobody", "1"));
    let failed = project.fail(&["add", "--lockfile-only", "needs-nobody"]);
    assert!(failed.contains("needs-nobody@1.0.0"), "{failed}");
    assert_eq!(lockfile(&project), before);
}
