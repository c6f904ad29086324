//! Dependencies that are added to a project whose lockfile fits: what is asked for, and that the
//! result is what a resolution of everything finds.

use std::collections::BTreeSet;
use std::fs;

use pacquet_test_registry::Package;
use serde_json::{Value, json};

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
        Package::new("asks", "1.0.0").optional_peer_dependency("extra", "*"),
        Package::new("needs-asks", "1.0.0").dependency("asks", "1"),
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
fn groups_are_left_out_of_node_modules_where_add_is_told_to() {
    let packages = ["kept", "tool", "extra", "new"].map(|name| Package::new(name, "1.0.0"));
    let manifest = r#"{"dependencies":{"kept":"1.0.0"},"devDependencies":{"tool":"1.0.0"},
        "optionalDependencies":{"extra":"1.0.0"}}"#;
    for (flags, there) in [
        (&["--prod"][..], &["extra", "kept", "new"][..]),
        (&["--dev"], &["tool"]),
        (&["--no-optional", "-D"], &["kept", "new", "tool"]),
    ] {
        let project = Project::new();
        for package in &packages {
            project.registry.publish(package);
        }
        project.write("package.json", manifest);
        project.succeed(&[&["add", "new", "--virtual=false"], flags].concat());
        let entries = fs::read_dir(project.node_modules()).expect("a directory");
        let names = entries
            .flatten()
            .filter_map(|entry| entry.file_name().into_string().ok());
        let mut names: Vec<String> = names.filter(|name| !name.starts_with('.')).collect();
        names.sort();
        assert_eq!(names, there, "{flags:?}");
        let manifest = fs::read_to_string(project.root().join("package.json")).unwrap();
        assert!(manifest.contains("new") && manifest.contains("tool"));
    }
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

fn manifest(project: &Project, path: &str) -> Value {
    let text = fs::read_to_string(project.root().join(path)).expect("a manifest");
    serde_json::from_str(&text).expect("JSON")
}

#[test]
fn a_project_that_begins_with_a_dependency_has_what_init_writes() {
    let project = Project::new();
    project.registry.publish(&Package::new("one", "1.0.0"));
    project.succeed(&["add", "one", "--lockfile-only"]);
    let begun = manifest(&project, "package.json");
    let root = project.root();
    let name = root.file_name().expect("a name");
    assert_eq!(begun["name"], json!(name.to_string_lossy()));
    assert_eq!(begun["main"], "index.js");
    assert_eq!(begun["type"], Value::Null);
    assert_eq!(begun["dependencies"], json!({ "one": "^1.0.0" }));
    // The root of a workspace begins with nothing.
    fs::remove_file(project.root().join("package.json")).expect("it was there");
    project.write("pnpm-workspace.yaml", "packages: ['p/*']\n");
    project.succeed(&["add", "one", "--lockfile-only"]);
    let begun = manifest(&project, "package.json");
    assert_eq!(begun, json!({ "dependencies": { "one": "^1.0.0" } }));
}

#[test]
fn projects_are_linked_by_ranges_as_wide_as_what_is_there_or_asked_for() {
    let a = |known: &str, settings: &str, words: &[&str]| {
        let project = Project::new();
        project.registry.publish(&Package::new("b", "1.0.0"));
        project.registry.publish(&Package::new("b", "3.0.0"));
        let settings = format!("packages: ['p/*']\n{settings}\n");
        project.write("pnpm-workspace.yaml", &settings);
        project.write("package.json", "{}");
        let known = match known {
            "" => json!({ "name": "a" }),
            known => json!({ "name": "a", "dependencies": { "b": known } }),
        };
        project.write("p/a/package.json", &known.to_string());
        project.write("p/b/package.json", r#"{"name":"b","version":"1.2.0"}"#);
        project.succeed(&[&["-C", "p/a", "--lockfile-only"], words].concat());
        manifest(&project, "p/a/package.json")["dependencies"]["b"].clone()
    };
    let (plain, on, links) = (
        "",
        "saveWorkspaceProtocol: true",
        "linkWorkspacePackages: true",
    );
    for (known, settings, words, expected) in [
        ("", plain, &["add", "--workspace", "b"][..], "workspace:*"),
        ("~1.0.0", plain, &["add", "--workspace", "b"], "workspace:~"),
        ("", plain, &["add", "b@workspace:^1.0.0"], "workspace:^"),
        ("", plain, &["add", "b@workspace:1.2.0"], "workspace:*"),
        ("", on, &["add", "b@workspace:*"], "workspace:^1.2.0"),
        ("~1.0.0", on, &["add", "b@workspace:*"], "workspace:~1.2.0"),
        ("", plain, &["add", "b"], "^3.0.0"),
        ("", links, &["add", "b"], "workspace:^"),
        ("", links, &["add", "b@1.2.0"], "workspace:*"),
        ("", links, &["add", "b@3"], "^3.0.0"),
        ("~1.0.0", plain, &["update", "--workspace"], "workspace:~"),
        (
            "^1.0.0",
            plain,
            &["update", "--workspace", "b"],
            "workspace:^",
        ),
        ("^1.0.0", plain, &["update", "--workspace", "x"], "^1.0.0"),
        ("^1.0.0", plain, &["update"], "^1.0.0"),
    ] {
        assert_eq!(
            a(known, settings, words),
            expected,
            "{known} {settings} {words:?}"
        );
    }
}

#[test]
fn what_is_new_is_as_it_is_in_other_projects() {
    for (known, words, expected) in [
        ("~1.0.0", &["add", "b"][..], "~1.0.0"),
        (">=1", &["add", "b"], ">=1"),
        ("1.0.0", &["add", "b"], "^1.0.0"),
        ("=1.0.0", &["add", "b"], "^1.0.0"),
        ("1.0.0", &["add", "-E", "b"], "1.0.0"),
        ("1.0.0", &["add", "--tilde", "b"], "~1.0.0"),
        ("1.0.0", &["add", "b@latest"], "^2.0.0"),
    ] {
        let versions = ["1.0.0", "2.0.0"].map(|version| Package::new("b", version));
        let other = json!({ "dependencies": { "b": known } }).to_string();
        let project = Project::workspace(&versions, "", &[("other", &other), ("new", "{}")]);
        project.succeed(&["install", "--lockfile-only"]);
        project.succeed(&[&["-C", "packages/new", "--lockfile-only"], words].concat());
        let new = manifest(&project, "packages/new/package.json");
        assert_eq!(new["dependencies"]["b"], expected, "{known} {words:?}");
    }
}

#[test]
fn what_cannot_be_linked_is_refused() {
    let project = Project::new();
    project.write("package.json", r#"{"name":"a","dependencies":{"b":"1"}}"#);
    let outside = project.fail(&["update", "--workspace"]);
    let code = "ERR_PNPM_WORKSPACE_OPTION_OUTSIDE_WORKSPACE";
    assert!(outside.contains(code), "{outside}");
    project.write("pnpm-workspace.yaml", "packages: ['p/*']\n");
    let unknown = project.fail(&["update", "--workspace", "b"]);
    let code = "ERR_PNPM_WORKSPACE_PACKAGE_NOT_FOUND";
    assert!(unknown.contains(code), "{unknown}");
    let both = project.fail(&["update", "--workspace", "--latest"]);
    assert!(both.contains("ERR_PNPM_BAD_OPTIONS"), "{both}");
}

#[test]
fn types_are_added_for_what_has_none_of_its_own() {
    let project = Project::new();
    let typed = |name: &str, fields: Value| Package::new(name, "1.0.0").manifest(fields);
    for package in [
        Package::new("bare", "1.0.0"),
        Package::new("@s/bare", "1.0.0"),
        typed("field", json!({ "typings": "./index.d.ts" })),
        typed(
            "main",
            json!({ "exports": { ".": { "import": { "types": "./x.d.ts" } } } }),
        ),
        typed(
            "deep",
            json!({ "exports": { ".": "./x.js", "./deep": { "types": "./x.d.ts" } } }),
        ),
        Package::new("gone", "1.0.0"),
        Package::new("none", "1.0.0"),
        Package::new("@types/bare", "3.0.0"),
        Package::new("@types/s__bare", "3.0.0"),
        Package::new("@types/field", "3.0.0"),
        Package::new("@types/main", "3.0.0"),
        Package::new("@types/deep", "3.0.0"),
        Package::new("@types/gone", "3.0.0").deprecated("it has types"),
    ] {
        project.registry.publish(&package);
    }
    let added = [
        "bare",
        "@s/bare",
        "field",
        "main",
        "deep",
        "gone",
        "none",
        "also@npm:bare",
    ];
    project.write("package.json", "{}");
    project.succeed(&[&["add", "--save-types", "--lockfile-only"], &added[..]].concat());
    let expected = json!({
        "@types/also": "npm:@types/bare@^3.0.0",
        "@types/bare": "^3.0.0",
        "@types/deep": "^3.0.0",
        "@types/s__bare": "^3.0.0",
    });
    assert_eq!(
        manifest(&project, "package.json")["devDependencies"],
        expected
    );
    project.write("package.json", "{}");
    project.write("pnpm-workspace.yaml", "saveTypes: true\n");
    project.succeed(&["add", "bare", "@types/bare@3.0.0", "--lockfile-only"]);
    let begun = manifest(&project, "package.json");
    assert_eq!(
        begun,
        json!({ "dependencies": { "@types/bare": "3.0.0", "bare": "^1.0.0" } })
    );
}

#[test]
fn directories_are_written_without_dots() {
    let project = Project::new();
    project.write("package.json", r#"{"name":"app"}"#);
    project.write("lib/package.json", r#"{"name":"lib"}"#);
    project.succeed(&["add", ".", "./lib"]);
    let expected = json!({ "app": "link:", "lib": "link:lib" });
    assert_eq!(manifest(&project, "package.json")["dependencies"], expected);
    assert!(lockfile(&project).contains("specifier: 'link:'"));
    project.succeed(&["install", "--frozen-lockfile"]);
    for (added, written) in [
        ("link:./lib/", "link:lib"),
        ("file:./lib/../lib", "file:lib"),
        ("./lib/.", "link:lib"),
        ("lib@link:./lib", "link:./lib"),
    ] {
        project.succeed(&["add", added, "--lockfile-only"]);
        let found = &manifest(&project, "package.json")["dependencies"]["lib"];
        assert_eq!(found, written, "{added}");
    }
}

/// As pnpm left it before it gave optional peers what is there.
fn without_extra(locked: &str) -> String {
    let below = "\n    optionalDependencies:\n      extra: 1.0.0\n";
    assert!(locked.contains(below), "{locked}");
    let locked = locked.replace("(extra@1.0.0)", "");
    let alone = format!("  asks@1.0.0:{below}");
    let locked = locked.replace(&alone, "  asks@1.0.0: {}\n");
    locked.replace(below, "\n")
}

#[test]
fn what_an_older_lockfile_does_not_give_to_peers_is_given_with_the_next_addition() {
    let manifest = concat!(
        r#"{"dependencies":{"has-extra":"^1.0.0","host":"^1.0.0","plugin":"^1.0.0","#,
        r#""needs-asks":"^1.0.0"}}"#
    );
    let project = project(manifest);
    let today = lockfile(&project);
    let older = without_extra(&today);
    for (added, expected) in [
        ("has-extra@^1.0.0", &older),
        ("has-extra@1.0.0", &older),
        ("host@^1.0.0", &today),
        ("asks@1.0.0", &today),
        ("apart", &today),
    ] {
        project.write("package.json", manifest);
        project.write("pnpm-lock.yaml", &older);
        project.succeed(&["add", added, "--lockfile-only"]);
        let path = |locked: &str| locked.contains("plugin@1.0.0(extra@1.0.0)(host@1.0.0)");
        let written = lockfile(&project);
        assert_eq!(path(&written), path(expected), "{added}: {written}");
    }
}

#[test]
fn what_is_there_already_leaves_an_older_lockfile_where_a_project_has_peers() {
    let root = json!({ "dependencies": {
        "has-extra": "^1.0.0", "host": "^1.0.0", "plugin": "^1.0.0", "needs-asks": "^1.0.0"
    } });
    let member = json!({
        "dependencies": { "has-extra": "^1.0.0" },
        "peerDependencies": { "apart": "^1.0.0" }
    });
    let project = Project::workspace(&packages(), "", &[("member", &member.to_string())]);
    project.write("package.json", &root.to_string());
    project.succeed(&["install", "--lockfile-only"]);
    let older = without_extra(&lockfile(&project));
    for command in [
        &["-C", "packages/member", "add", "has-extra@^1.0.0"][..],
        &["-C", "packages/member", "add", "has-extra"],
        &["-r", "add", "has-extra@^1.0.0"],
        &["update", "--latest", "nothing"],
        &["-r", "update", "--latest", "nothing"],
    ] {
        project.write("pnpm-lock.yaml", &older);
        project.succeed(&[command, &["--lockfile-only"]].concat());
        assert_eq!(lockfile(&project), older, "{command:?}");
    }
}

#[test]
fn of_a_range_that_is_added_the_lowest_version_is_chosen_where_that_is_configured() {
    for (mode, expected) in [("lowest-direct", "^1.0.0"), ("highest", "^1.1.0")] {
        let project = Project::new();
        for version in ["1.0.0", "1.1.0"] {
            project.registry.publish(&Package::new("one", version));
        }
        project.write("package.json", "{}");
        project.write("pnpm-workspace.yaml", &format!("resolutionMode: {mode}\n"));
        project.succeed(&["add", "one@1", "--lockfile-only"]);
        let written = manifest(&project, "package.json");
        assert_eq!(written["dependencies"]["one"], expected, "{mode}");
    }
}

#[test]
fn where_an_override_changes_what_a_project_depends_on_an_older_lockfile_is_not_edited() {
    let manifest = |deep: &str| {
        let plain = r#""has-extra":"^1.0.0","host":"^1.0.0","plugin":"^1.0.0""#;
        let rest = format!(r#""needs-asks":"^1.0.0","deeper":"{deep}""#);
        format!(r#"{{"name":"app","dependencies":{{{plain},{rest}}}}}"#)
    };
    for (settings, is_chosen_anew) in [
        ("overrides:\n  leaf: 1.0.0\n", false),
        ("overrides:\n  has-extra: ^1.0.0\n", false),
        ("overrides:\n  has-extra: 1.0.0\n", true),
        ("overrides:\n  has-extra@^1: 1.0.0\n", true),
        (
            "packageExtensions:\n  app:\n    dependencies:\n      leaf: 1.0.0\n",
            false,
        ),
    ] {
        let project = project(&manifest("1.0.0"));
        project.write("pnpm-workspace.yaml", settings);
        project.succeed(&["install", "--lockfile-only", "--no-frozen-lockfile"]);
        project.write("pnpm-lock.yaml", &without_extra(&lockfile(&project)));
        project.write("package.json", &manifest("^1.0.0"));
        project.succeed(&["install", "--lockfile-only", "--no-frozen-lockfile"]);
        let locked = lockfile(&project);
        project.succeed(&["install", "--lockfile-only", "--frozen-lockfile"]);
        let is_given = locked.contains("plugin@1.0.0(extra@1.0.0)(host@1.0.0)");
        assert_eq!(is_given, is_chosen_anew, "{settings}{locked}");
    }
}

#[test]
fn a_version_within_the_entry_of_a_catalog_moves_it_and_another_range_goes_beside_it() {
    for (entry, asked, written, entry_after, version) in [
        ("^1.0.0", "one@1.1.0", "catalog:", "^1.1.0", "1.1.0"),
        ("^1.0.0", "one@1.0.0", "catalog:", "^1.0.0", "1.0.0"),
        ("^1.0.0", "one@^1.0.0", "catalog:", "^1.0.0", "1.0.0"),
        ("^1.0.0", "one@^1.1.0", "^1.2.0", "^1.0.0", "1.2.0"),
        (">=1.0.0", "one@1.1.0", "catalog:", ">=1.0.0", "1.1.0"),
        ("1.0.0", "one@1.1.0", "1.1.0", "1.0.0", "1.1.0"),
    ] {
        let project = Project::new();
        for version in ["1.0.0", "1.1.0", "1.2.0"] {
            project.registry.publish(&Package::new("one", version));
        }
        let settings = format!("catalogMode: prefer\ncatalog:\n  one: '{entry}'\n");
        project.write("pnpm-workspace.yaml", &settings);
        project.write("package.json", r#"{"dependencies":{"one":"1.0.0"}}"#);
        project.succeed(&["install", "--lockfile-only"]);
        project.write("package.json", r#"{"dependencies":{"one":"catalog:"}}"#);
        project.succeed(&["install", "--lockfile-only"]);
        project.succeed(&["add", asked, "--lockfile-only"]);
        let found = &manifest(&project, "package.json")["dependencies"]["one"];
        assert_eq!(found, written, "{entry} {asked}");
        let settings = fs::read_to_string(project.root().join("pnpm-workspace.yaml")).unwrap();
        let settings = settings.replace('\'', "");
        assert!(
            settings.ends_with(&format!("one: {entry_after}\n")),
            "{settings}"
        );
        let locked = lockfile(&project);
        assert!(
            locked.contains(&format!("\n  one@{version}: {{}}")),
            "{entry} {asked} {locked}"
        );
    }
}

#[test]
fn what_is_added_of_the_workspace_goes_into_the_catalog_where_that_is_preferred() {
    for (mode, before, entry, asked, written, entry_after) in [
        (
            "prefer",
            "{}",
            "",
            &["b@workspace:*"][..],
            "catalog:",
            "workspace:*",
        ),
        (
            "prefer",
            "{}",
            "",
            &["--workspace", "b"],
            "catalog:",
            "workspace:*",
        ),
        (
            "strict",
            r#"{"b":"workspace:^"}"#,
            "",
            &["b"],
            "catalog:",
            "workspace:^",
        ),
        (
            "manual",
            r#"{"b":"workspace:^"}"#,
            "",
            &["b"],
            "workspace:^",
            "",
        ),
        (
            "prefer",
            "{}",
            "workspace:^",
            &["b@workspace:*"],
            "workspace:*",
            "workspace:^",
        ),
    ] {
        let project = Project::new();
        let settings = match entry {
            "" => String::new(),
            entry => format!("catalog:\n  b: {entry}\n"),
        };
        let settings = format!("packages: [b]\ncatalogMode: {mode}\n{settings}");
        project.write("pnpm-workspace.yaml", &settings);
        project.write("package.json", &format!(r#"{{"dependencies":{before}}}"#));
        project.write("b/package.json", r#"{"name":"b","version":"1.0.0"}"#);
        project.succeed(&[&["add", "--lockfile-only", "-w"], asked].concat());
        let found = &manifest(&project, "package.json")["dependencies"]["b"];
        assert_eq!(found, written, "{mode} {before} {asked:?}");
        let settings = fs::read_to_string(project.root().join("pnpm-workspace.yaml")).unwrap();
        let entry = settings.lines().find_map(|line| line.strip_prefix("  b: "));
        let entry = entry.unwrap_or_default().trim_matches('\'');
        assert_eq!(entry, entry_after, "{mode} {before} {asked:?}");
    }
}

#[test]
fn what_is_added_without_a_version_is_what_an_override_says() {
    let project = Project::new();
    for version in ["1.0.0", "1.1.0", "2.0.0"] {
        project.registry.publish(&Package::new("one", version));
    }
    project.registry.publish(&Package::new("two", "1.0.0"));
    for (override_, exact, written) in [
        ("one: 1.0.0", false, "^1.0.0"),
        ("one: 1.0.0", true, "1.0.0"),
        ("one: ^1.0.0", true, "^1.1.0"),
        ("one@1: ~1.0.0", false, "~1.0.0"),
        ("one: '>=1 <2'", false, ">=1 <2"),
        ("one: npm:two@1", false, "npm:two@1"),
        ("one: link:./here", false, "link:here"),
        ("one: '*'", true, "2.0.0"),
        ("one: '-'", false, "^2.0.0"),
        ("two>one: 1.0.0", false, "^2.0.0"),
        ("root>one: 1.0.0", false, "^1.0.0"),
    ] {
        project.write("here/package.json", r#"{"name":"one","version":"1.5.0"}"#);
        project.write("package.json", r#"{"name":"root"}"#);
        fs::remove_file(project.root().join("pnpm-lock.yaml")).ok();
        project.write(
            "pnpm-workspace.yaml",
            &format!("overrides:\n  {override_}\n"),
        );
        let flag = if exact {
            "--save-exact"
        } else {
            "--save-prefix=^"
        };
        project.succeed(&["add", "--lockfile-only", flag, "one"]);
        let manifest = fs::read(project.root().join("package.json")).expect("a manifest");
        let manifest: Value = serde_json::from_slice(&manifest).expect("JSON");
        assert_eq!(manifest["dependencies"]["one"], written, "{override_}");
    }
}
