//! What `update` moves, and what it and `add` write into the manifest.

use std::fs;

use pacquet_test_registry::Package;

use crate::project::Project;

/// A project that was locked with the `first` packages, when the registry had no others, and could
/// have `later` ones now.
fn outdated(manifest: &str, first: &[Package], later: &[Package]) -> Project {
    let project = Project::new();
    for package in first {
        project.registry.publish(package);
    }
    project.write("package.json", manifest);
    project.succeed(&["install", "--lockfile-only"]);
    for package in later {
        project.registry.publish(package);
    }
    let _ = fs::remove_dir_all(project.path("cache"));
    project
}

fn lockfile(project: &Project) -> String {
    fs::read_to_string(project.root().join("pnpm-lock.yaml")).unwrap()
}

#[test]
fn an_optional_peer_that_moves_goes_on_being_given() {
    let host = |version: &str| Package::new("host", version);
    let first = [
        host("1.0.0"),
        Package::new("brings", "1.0.0").dependency("host", "1"),
        Package::new("user", "1.0.0").optional_peer_dependency("host", "1"),
    ];
    let manifest = r#"{"dependencies":{"brings":"1","user":"1"}}"#;
    for command in [&["update"][..], &["update", "host"]] {
        let project = outdated(manifest, &first, &[host("1.1.0")]);
        assert!(lockfile(&project).contains("user@1.0.0(host@1.0.0)"));
        project.succeed(&[command, &["--lockfile-only"]].concat());
        let moved = lockfile(&project);
        assert!(moved.contains("user@1.0.0(host@1.1.0)"), "{moved}");
    }
}

#[test]
fn an_optional_peer_stays_where_it_is_locked_and_there() {
    let host = |version: &str| Package::new("host", version);
    let first = [
        host("1.0.0"),
        Package::new("brings", "1.0.0").dependency("host", "1.0.0"),
        Package::new("user", "1.0.0").optional_peer_dependency("host", "*"),
    ];
    let later = [
        host("2.0.0"),
        Package::new("brings", "1.1.0")
            .dependency("host", "1.0.0")
            .dependency("other", "1"),
        Package::new("other", "1.0.0").dependency("host", "2"),
    ];
    let project = outdated(
        r#"{"dependencies":{"brings":"1","user":"1"}}"#,
        &first,
        &later,
    );
    project.succeed(&["update", "--lockfile-only"]);
    let locked = lockfile(&project);
    assert!(locked.contains("host@2.0.0:"), "{locked}");
    assert!(locked.contains("user@1.0.0(host@1.0.0)"), "{locked}");
}

#[test]
fn an_optional_peer_moves_to_what_is_there_when_what_brought_it_is_taken_away() {
    let packages = [
        Package::new("host", "1.0.0"),
        Package::new("host", "2.0.0"),
        Package::new("old", "1.0.0").dependency("host", "1.0.0"),
        Package::new("new", "1.0.0").dependency("host", "2.0.0"),
        Package::new("user", "1.0.0").optional_peer_dependency("host", "*"),
    ];
    for (before, after, expected) in [
        (r#""old":"1""#, r#""new":"1""#, "host@2.0.0"),
        (r#""old":"1","new":"1""#, r#""old":"1""#, "host@1.0.0"),
        // Nothing brings it any more: then it stays.
        (r#""old":"1""#, "", "host@1.0.0"),
    ] {
        let manifest = |others: &str| {
            let all = [r#""user":"1""#, others].join(",");
            format!(r#"{{"dependencies":{{{}}}}}"#, all.trim_end_matches(','))
        };
        let project = outdated(&manifest(before), &packages, &[]);
        project.write("package.json", &manifest(after));
        project.succeed(&["install", "--lockfile-only"]);
        let locked = lockfile(&project);
        let key = format!("user@1.0.0({expected})");
        assert!(locked.contains(&key), "{before} to {after}: {locked}");
    }
}

/// A lockfile may have several versions of one peer in one project.
#[test]
fn every_place_keeps_the_peer_that_the_lockfile_has_for_it() {
    let packages = [
        Package::new("host", "1.0.0"),
        Package::new("host", "2.0.0"),
        Package::new("old", "1.0.0").dependency("host", "1.0.0"),
        Package::new("new", "1.0.0").dependency("host", "2.0.0"),
        Package::new("first", "1.0.0").peer_dependency("host", "*"),
        Package::new("second", "1.0.0").optional_peer_dependency("host", "*"),
        Package::new("deep", "1.0.0").dependency("second", "1"),
        Package::new("other", "1.0.0"),
        Package::new("other", "2.0.0"),
    ];
    let manifest = |other: &str| {
        let own = r#""old":"1","new":"1","first":"1","deep":"1","host":"2""#;
        format!(r#"{{"dependencies":{{{own},"other":"{other}"}}}}"#)
    };
    let both = ["first@1.0.0(host@", "second@1.0.0(host@"];
    // What depends on something itself is not the same everywhere.
    let mut deeper = packages.clone();
    deeper[0] = Package::new("host", "1.0.0").dependency("other", "1");
    for (packages, words, kept) in [
        (&packages, &["install", "--lockfile-only"][..], "1.0.0"),
        (&packages, &["update", "--lockfile-only"], "2.0.0"),
        (&deeper, &["install", "--lockfile-only"], "2.0.0"),
    ] {
        let project = outdated(&manifest("1"), packages, &[]);
        let mut locked = lockfile(&project).replace("(host@2.0.0)", "(host@1.0.0)");
        for group in ["dependencies", "optionalDependencies"] {
            let below = |version: &str| format!("):\n    {group}:\n      host: {version}\n");
            locked = locked.replace(&below("2.0.0"), &below("1.0.0"));
        }
        project.write("pnpm-lock.yaml", &locked);
        project.write("package.json", &manifest("2"));
        project.succeed(words);
        let locked = lockfile(&project);
        for key in both {
            assert!(locked.contains(&format!("  {key}{kept}):")), "{locked}");
        }
    }
}

/// The peer that is locked counts where it is optional and its user is asked for in the same words.
#[test]
fn a_peer_that_is_locked_gives_way_to_a_higher_one_that_is_there() {
    let host = |version: &str| Package::new("host", version).dependency("below", "1");
    let others = [
        host("1.0.0"),
        host("2.0.0"),
        Package::new("below", "1.0.0"),
        Package::new("old", "1.0.0").dependency("host", "1.0.0"),
        Package::new("new", "1.0.0").dependency("host", "2.0.0"),
    ];
    let user = Package::new("user", "1.0.0");
    let optional = user.clone().optional_peer_dependency("host", "*");
    let required = user.peer_dependency("host", "*");
    for (user, specifier, expected) in [
        (&optional, "^1.0.0", "host@1.0.0"),
        (&optional, "1.0.0", "host@2.0.0"),
        (&required, "^1.0.0", "host@2.0.0"),
    ] {
        let packages = [&others[..], std::slice::from_ref(user)].concat();
        let manifest = r#"{"dependencies":{"old":"1","user":"^1.0.0"}}"#;
        let project = outdated(manifest, &packages, &[]);
        assert!(lockfile(&project).contains("user@1.0.0(host@1.0.0)"));
        let more = format!(r#"{{"dependencies":{{"old":"1","new":"1","user":"{specifier}"}}}}"#);
        project.write("package.json", &more);
        project.succeed(&["install", "--lockfile-only"]);
        let locked = lockfile(&project);
        let key = format!("user@1.0.0({expected})");
        assert!(locked.contains(&key), "{specifier}: {locked}");
        project.succeed(&["dedupe", "--lockfile-only"]);
        assert_eq!(lockfile(&project), locked, "{specifier}");
    }
}

#[test]
fn what_is_higher_than_the_latest_version_goes_no_lower() {
    let one = |version: &str| Package::new("one", version);
    let versions = ["1.0.0", "1.1.0", "2.0.0-beta.1", "2.0.0-beta.2"].map(one);
    for (before, after) in [
        ("^1.0.0", "^1.1.0"),
        ("2.0.0-beta.1", "2.0.0-beta.1"),
        ("^2.0.0-beta.1", "^2.0.0-beta.2"),
        (">=2.0.0-beta.1", ">=2.0.0-beta.1"),
    ] {
        let manifest = |range: &str| format!(r#"{{"dependencies":{{"one":"{range}"}}}}"#);
        let project = outdated(&manifest(before), &versions, &[]);
        project.succeed(&["update", "--latest", "--lockfile-only"]);
        let written = fs::read_to_string(project.root().join("package.json")).unwrap();
        assert_eq!(written, manifest(after));
    }
}

#[test]
fn what_is_on_a_circle_stays_as_it_is_locked() {
    let packages = [
        Package::new("one", "1.0.0")
            .dependency("two", "1")
            .dependency("leaf", "1"),
        Package::new("two", "1.0.0").dependency("three", "1"),
        Package::new("three", "1.0.0").dependency("one", "1"),
        Package::new("leaf", "1.0.0"),
        Package::new("other", "1.0.0"),
        Package::new("other", "2.0.0").dependency("leaf", "1"),
    ];
    let manifest =
        |other: &str| format!(r#"{{"dependencies":{{"one":"1","leaf":"1","other":"{other}"}}}}"#);
    let project = outdated(&manifest("1"), &packages, &[]);
    // As of a manifest that the registry had then.
    let snapshot = "  one@1.0.0:\n    dependencies:\n";
    let locked = lockfile(&project).replace(&format!("{snapshot}      leaf: 1.0.0\n"), snapshot);
    project.write("pnpm-lock.yaml", &locked);
    project.write("package.json", &manifest("2"));
    project.succeed(&["install", "--lockfile-only"]);
    let kept = format!("{snapshot}      two: 1.0.0\n");
    assert!(lockfile(&project).contains(&kept), "{}", lockfile(&project));
}

#[test]
fn what_is_below_a_dependency_moves_with_latest_alone() {
    let all = |version: &str| ["below", "peer", "own"].map(|name| Package::new(name, version));
    let user = Package::new("user", "1.0.0")
        .dependency("below", "1")
        .dependency("own", "1")
        .peer_dependency("peer", "1");
    let other = Package::new("other", "1.0.0").dependency("below", "1");
    let first = [&all("1.0.0")[..], &[user, other]].concat();
    let manifest = r#"{"dependencies":{"user":"1","other":"1","own":"1"}}"#;
    for (command, moves) in [
        (&["update", "user"][..], false),
        (&["update", "--latest", "--depth", "0", "user"], false),
        (&["update", "--latest", "user"], true),
    ] {
        let project = outdated(manifest, &first, &all("1.1.0"));
        project.succeed(&[command, &["--lockfile-only"]].concat());
        let locked = lockfile(&project);
        assert_eq!(locked.contains("below@1.1.0:"), moves, "{locked}");
        assert_eq!(locked.contains("below@1.0.0:"), !moves, "{locked}");
        // Peers, and what the project has itself, are not what was named.
        assert!(!locked.contains("peer@1.1.0"), "{locked}");
        assert!(!locked.contains("own@1.1.0"), "{locked}");
    }
}

#[test]
fn what_is_written_is_as_wide_as_what_was_there_or_asked_for() {
    let one = |version: &str| Package::new("one", version);
    for (before, command, after) in [
        ("^1.0.0", &["add", "one@1.1.0"][..], "1.1.0"),
        ("1.0.0", &["add", "one@^1"], "^1.0.0"),
        ("~1.0.0", &["add", "one@*"], "^1.0.0"),
        ("*", &["add", "one@latest"], "^1.1.0"),
        ("*", &["update"], "^1.1.0"),
        (">=1", &["update"], ">=1"),
        ("0 || 1", &["update", "--latest"], "0 || 1"),
        ("0 || 1", &["update", "one@1.1.0"], "0 || 1"),
        ("latest", &["update", "--latest"], "latest"),
        ("latest", &["update", "one@1.1.0"], "1.1.0"),
        ("^1.0.0", &["update", "one@1.1.0"], "^1.1.0"),
    ] {
        let manifest = format!(r#"{{"dependencies":{{"one":"{before}"}},"devDependencies":{{}}}}"#);
        let project = outdated(&manifest, &[one("1.0.0")], &[one("1.1.0")]);
        project.succeed(&[command, &["--lockfile-only"]].concat());
        let written = fs::read_to_string(project.root().join("package.json")).unwrap();
        let expected = manifest.replace(before, after);
        assert_eq!(written, expected, "{before} {command:?}");
        let specifier = match after.starts_with('>') {
            true => format!("specifier: '{after}'"),
            false => format!("specifier: {after}"),
        };
        assert!(lockfile(&project).contains(&specifier), "{specifier}");
    }
}

#[test]
fn what_stands_in_two_fields_stays_there_unless_it_is_moved() {
    for (known, words, production, development) in [
        (">=0", &["update"][..], Some("^1.1.0"), Some(">=0")),
        ("1.0.0", &["update", "--latest"], None, Some("1.1.0")),
        ("1.0.0", &["update", "one@1.1.0"], None, Some("1.1.0")),
        ("1.0.0", &["update", "--latest", "-P"], Some("^1.1.0"), None),
    ] {
        let versions = ["1.0.0", "1.1.0"].map(|version| Package::new("one", version));
        let manifest = serde_json::json!({
            "dependencies": { "one": "^1.0.0" },
            "devDependencies": { "one": known },
        });
        let project = outdated(&manifest.to_string(), &versions, &[]);
        project.succeed(&[words, &["--lockfile-only"]].concat());
        let text = fs::read_to_string(project.root().join("package.json")).unwrap();
        let written: serde_json::Value = serde_json::from_str(&text).unwrap();
        let of = |field: &str| written[field]["one"].as_str().map(str::to_owned);
        let both = (of("dependencies"), of("devDependencies"));
        assert_eq!(
            (both.0.as_deref(), both.1.as_deref()),
            (production, development),
            "{words:?}"
        );
    }
}

#[test]
fn an_update_installs_the_groups_that_are_there_and_those_that_it_is_about() {
    let shown = |before: &[&[&str]], update: &[&str]| {
        let project = Project::new();
        for name in ["prod", "dev", "opt"] {
            project.registry.publish(&Package::new(name, "1.0.0"));
        }
        project.write(
            "package.json",
            r#"{"dependencies":{"prod":"1"},"devDependencies":{"dev":"1"},
                "optionalDependencies":{"opt":"1"}}"#,
        );
        for command in before {
            project.succeed(command);
        }
        project.succeed(&[&["update"], update].concat());
        let names = ["dev", "opt", "prod"];
        names.map(|name| project.node_modules().join(name).exists())
    };
    assert_eq!(shown(&[], &[]), [true, true, true]);
    assert_eq!(shown(&[], &["--prod"]), [false, true, true]);
    assert_eq!(shown(&[], &["--dev"]), [true, true, true]);
    assert_eq!(shown(&[], &["--no-optional"]), [true, false, true]);
    let production: &[&str] = &["install", "--prod"];
    assert_eq!(shown(&[production], &[]), [false, true, true]);
    assert_eq!(shown(&[production], &["--dev"]), [true, true, true]);
    assert_eq!(shown(&[&["install"]], &["--prod"]), [true, true, true]);
    let development: &[&str] = &["install", "--dev"];
    assert!(!shown(&[development], &["--optional"])[2]);
    assert_eq!(shown(&[production, &["rebuild"]], &[]), [false, true, true]);
}

/// `a` is offered the host that is below `brings`, on which `b` depends too; `other` has another.
#[test]
fn what_another_project_updates_is_offered_as_before() {
    let packages = [
        Package::new("host", "1.0.0"),
        Package::new("host", "2.0.0"),
        Package::new("plugin", "1.0.0").optional_peer_dependency("host", "*"),
        Package::new("brings", "1.0.0")
            .dependency("host", "1")
            .dependency("plugin", "1"),
        Package::new("user", "1.0.0").optional_peer_dependency("host", ">=1"),
        Package::new("other", "1.0.0").dependency("host", "2"),
        Package::new("moves", "1.0.0"),
    ];
    let manifests = [
        ("a", r#"{"dependencies":{"brings":"1","user":"1"}}"#),
        (
            "b",
            r#"{"dependencies":{"brings":"^1.0.0","moves":"^1.0.0","other":"1"}}"#,
        ),
    ];
    for updated in ["moves", "brings"] {
        let project = Project::workspace(&packages, "", &manifests);
        project.succeed(&["install", "--lockfile-only"]);
        let known = lockfile(&project);
        assert!(known.contains("user@1.0.0(host@1.0.0)"), "{known}");
        project.succeed(&["-C", "packages/b", "update", updated, "--lockfile-only"]);
        assert_eq!(lockfile(&project), known, "{updated}");
    }
}

/// The lockfile is one: what one project updates moves for the others, too, unless the command is
/// about chosen projects. Their manifests stay.
#[test]
fn an_update_of_one_project_moves_what_others_have() {
    let manifest = r#"{"dependencies":{"one":"^1.0.0","two":"^1.0.0"}}"#;
    let version = |name: &str, version: &str| Package::new(name, version);
    for (arguments, one, two) in [
        (&["-C", "packages/a", "update"][..], "1.1.0", "1.1.0"),
        (&["-C", "packages/a", "update", "one"], "1.1.0", "1.0.0"),
        (&["--filter", "./packages/a", "update"], "1.0.0", "1.0.0"),
    ] {
        let packages = [version("one", "1.0.0"), version("two", "1.0.0")];
        let projects = [("a", manifest), ("b", manifest)];
        let project = Project::workspace(&packages, "", &projects);
        project.succeed(&["install", "--lockfile-only"]);
        project.registry.publish(&version("one", "1.1.0"));
        project.registry.publish(&version("two", "1.1.0"));
        let _ = fs::remove_dir_all(project.path("cache"));
        project.succeed(&[arguments, &["--lockfile-only"]].concat());
        let locked = lockfile(&project);
        let (_, of_b) = locked.split_once("  packages/b:").unwrap();
        let entry = |name: &str, version: &str| {
            format!("      {name}:\n        specifier: ^1.0.0\n        version: {version}\n")
        };
        let expected = [entry("one", one), entry("two", two)].concat();
        assert!(of_b.contains(&expected), "{arguments:?}: {locked}");
        let file = project.root().join("packages/b/package.json");
        assert_eq!(fs::read_to_string(file).unwrap(), manifest);
    }
}

#[test]
fn what_is_no_longer_asked_for_but_is_a_peer_is_chosen_anew_below() {
    let first = [
        Package::new("host", "1.0.0").dependency("leaf", "^1.0.0"),
        Package::new("plugin", "1.0.0").peer_dependency("host", "1"),
        Package::new("leaf", "1.0.0"),
    ];
    let later = [
        Package::new("host", "1.1.0").dependency("leaf", "^1.0.0"),
        Package::new("other", "1.0.0").dependency("leaf", "^1.1.0"),
        Package::new("leaf", "1.1.0"),
    ];
    let manifest = r#"{"dependencies":{"host":"^1.0.0","plugin":"1.0.0"}}"#;
    let project = outdated(manifest, &first, &later);
    project.succeed(&["add", "other", "--lockfile-only"]);
    assert!(lockfile(&project).contains("leaf@1.0.0:"));
    project.succeed(&["remove", "host", "--lockfile-only"]);
    let locked = lockfile(&project);
    assert!(locked.contains("plugin@1.0.0(host@1.0.0)"), "{locked}");
    assert!(!locked.contains("leaf@1.0.0:"), "{locked}");
}

#[test]
fn what_an_override_is_about_stays_as_it_is_written() {
    let versions = ["1.0.0", "1.1.0", "2.0.0"].map(|version| Package::new("one", version));
    let manifest = |range: &str| format!(r#"{{"dependencies":{{"one":"{range}"}}}}"#);
    let manifests = [("a", manifest("2")), ("b", manifest("^1.0.0"))];
    let [a, b] = &manifests;
    let settings = "overrides:\n  one: ^1.0.0\n";
    let project = Project::workspace(&versions, settings, &[(a.0, &a.1), (b.0, &b.1)]);
    project.succeed(&["-r", "update", "--lockfile-only"]);
    for (name, before) in &manifests {
        let file = project.root().join(format!("packages/{name}/package.json"));
        let written = fs::read_to_string(file).unwrap();
        let group = before.trim_matches(['{', '}']);
        assert!(written.contains(group), "{written}");
    }
    let locked = lockfile(&project);
    assert!(!locked.contains("specifier: ^1.1.0"), "{locked}");
    assert!(
        locked.contains("specifier: ^1.0.0\n        version: 1.1.0"),
        "{locked}"
    );
}

#[test]
fn what_goes_to_the_latest_version_goes_into_the_catalog_where_that_is_preferred() {
    let versions = ["1.0.0", "2.0.0"].map(|version| Package::new("one", version));
    let two = ["1.0.0", "2.0.0"].map(|version| Package::new("two", version));
    let packages = [versions, two].concat();
    let manifests = [(
        "a",
        r#"{"dependencies":{"one":"1.0.0","two":"^1.0.0"},"devDependencies":{}}"#,
    )];
    let settings = "catalog:\n  two: ^1.0.0\n";
    for (mode, one, two) in [
        ("manual", "2.0.0", "^2.0.0"),
        ("prefer", "catalog:", "^2.0.0"),
    ] {
        let settings = format!("catalogMode: {mode}\n{settings}");
        let project = Project::workspace(&packages, &settings, &manifests);
        project.succeed(&["-r", "update", "--latest", "--lockfile-only"]);
        let manifest = project.root().join("packages/a/package.json");
        let written = fs::read_to_string(manifest).unwrap();
        let expected = format!(r#""one":"{one}","two":"{two}""#);
        assert!(written.contains(&expected), "{mode}: {written}");
        let workspace = fs::read_to_string(project.root().join("pnpm-workspace.yaml")).unwrap();
        assert_eq!(
            workspace.contains("one: 2.0.0"),
            mode == "prefer",
            "{workspace}"
        );
    }
    let settings = format!("catalogMode: strict\n{settings}");
    let project = Project::workspace(&packages, &settings, &manifests);
    let output = project.run(&["-r", "update", "--latest", "--lockfile-only"]);
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(said.contains("ERR_PNPM_CATALOG_VERSION_MISMATCH"), "{said}");
}

#[test]
fn a_package_that_is_asked_for_by_its_own_name_as_an_alias_keeps_that_but_for_the_latest() {
    let versions = ["1.0.0", "2.0.0"].map(|version| Package::new("one", version));
    for (specifier, words, expected) in [
        ("npm:one@^1.0.0", &["update"][..], "npm:one@^1.0.0"),
        ("npm:one@*", &["update"], "npm:one@^2.0.0"),
        (
            "npm:one@^1.0.0",
            &["add", "one@npm:one@2"],
            "npm:one@^2.0.0",
        ),
        ("npm:one@^1.0.0", &["update", "--latest"], "^2.0.0"),
    ] {
        let manifest = format!(r#"{{"dependencies":{{"one":"{specifier}"}}}}"#);
        let project = outdated(&manifest, &versions, &[]);
        project.succeed(&[words, &["--lockfile-only"]].concat());
        let written = fs::read_to_string(project.root().join("package.json")).unwrap();
        let expected = format!(r#""{expected}""#);
        assert!(written.contains(&expected), "{words:?}: {written}");
    }
}

/// Peers are asked about where `--peer` says so. What is there for development alone does not widen
/// a peer, and what nothing else asks for is locked as a dependency.
#[test]
fn peers_are_updated_where_that_is_asked_for() {
    let both = |name: &str| ["1.0.0", "1.1.0", "2.0.0"].map(|version| Package::new(name, version));
    let packages: Vec<Package> = ["alone", "used", "tried"]
        .iter()
        .flat_map(|name| both(name))
        .collect();
    let manifest = r#"{
  "dependencies": { "used": "^1.0.0" },
  "devDependencies": { "tried": "^1.0.0" },
  "peerDependencies": { "alone": "^1.0.0", "tried": "^1.0.0", "used": "^1.0.0" }
}"#;
    for (words, peers) in [
        (&["update"][..], ["^1.0.0", "^1.0.0", "^1.0.0"]),
        (&["update", "--peer"], ["^1.1.0", "^1.0.0", "^1.1.0"]),
        (
            &["update", "--peer", "--latest"],
            ["^2.0.0", "^2.0.0", "^2.0.0"],
        ),
        (
            &["update", "--peer", "alone"],
            ["^1.1.0", "^1.0.0", "^1.0.0"],
        ),
        (
            &["update", "--peer", "tried@1.1.0"],
            ["^1.0.0", "^1.1.0", "^1.0.0"],
        ),
    ] {
        for settings in ["", "autoInstallPeers: false\n"] {
            let project = outdated(manifest, &packages, &[]);
            project.write("pnpm-workspace.yaml", settings);
            project.succeed(&[words, &["--lockfile-only"]].concat());
            let written = fs::read_to_string(project.root().join("package.json")).unwrap();
            let written: serde_json::Value = serde_json::from_str(&written).unwrap();
            for (name, range) in ["alone", "tried", "used"].iter().zip(peers) {
                assert_eq!(written["peerDependencies"][name], range, "{words:?} {name}");
            }
            project.succeed(&["install", "--frozen-lockfile", "--lockfile-only"]);
        }
    }
}

/// `update.ignoreDeps` holds back what is not named, at every depth.
#[test]
fn what_is_held_back_is_updated_where_it_is_named() {
    let both = |name: &str| ["1.0.0", "1.1.0"].map(|version| Package::new(name, version));
    let first: Vec<Package> = ["held", "free"]
        .map(|name| Package::new(name, "1.0.0"))
        .into();
    let later: Vec<Package> = ["held", "free"]
        .iter()
        .flat_map(|name| both(name))
        .collect();
    let manifest = r#"{"dependencies":{"free":"1"},"devDependencies":{"held":"1"}}"#;
    let held = "update:\n  ignoreDeps: ['he*']\n";
    let old = "updateConfig:\n  ignoreDependencies: [held]\n";
    let both = "update:\n  ignoreDeps: [held]\nupdateConfig:\n  ignoreDependencies: [free]\n";
    for (settings, words, moved) in [
        ("", &["update"][..], ["free@1.1.0", "held@1.1.0"]),
        (held, &["update"], ["free@1.1.0", "held@1.0.0"]),
        (held, &["update", "--latest"], ["free@1.1.0", "held@1.0.0"]),
        (held, &["update", "--dev"], ["free@1.0.0", "held@1.0.0"]),
        (held, &["update", "held"], ["free@1.0.0", "held@1.1.0"]),
        (old, &["update"], ["free@1.1.0", "held@1.0.0"]),
        (both, &["update"], ["free@1.1.0", "held@1.0.0"]),
    ] {
        let project = outdated(manifest, &first, &later);
        project.write("pnpm-workspace.yaml", settings);
        project.succeed(&[words, &["--lockfile-only"]].concat());
        let locked = lockfile(&project);
        for key in moved {
            assert!(
                locked.contains(&format!("  {key}:")),
                "{settings} {words:?}: {locked}"
            );
        }
    }
}

#[test]
fn an_optional_peer_is_of_the_version_that_the_root_project_asks_for_where_that_fits() {
    let packages = [
        Package::new("host", "1.0.0"),
        Package::new("host", "1.1.0"),
        Package::new("host", "2.0.0"),
        Package::new("host", "2.1.0-rc.1"),
        Package::new("brings", "1.0.0").dependency("host", "1.1.0"),
        Package::new("first", "1.0.0").optional_peer_dependency("host", "1"),
        Package::new("any", "1.0.0").optional_peer_dependency("host", "*"),
    ];
    // What the root project asks for at first and then, and the peer with the one and the other.
    for (user, first, then, before, after) in [
        ("first", "2.0.0", "2.0.0", "1.1.0", "1.1.0"),
        ("first", ">=1.2.0 <2.1.0", "1.0.0", "2.0.0", "1.0.0"),
        ("any", "2.0.0", "1.0.0", "2.0.0", "1.0.0"),
        ("any", "2.1.0-rc.1", "2.0.0", "2.1.0-rc.1", "2.0.0"),
        ("first", "", "1.0.0", "1.1.0", "1.0.0"),
        ("any", "", "2.0.0", "1.1.0", "2.0.0"),
    ] {
        let uses = format!(r#"{{"dependencies":{{"{user}":"1"}}}}"#);
        let brings = r#"{"dependencies":{"brings":"1"}}"#;
        let project = Project::workspace(&packages, "", &[("a", &uses), ("b", brings)]);
        for (asked, expected) in [(first, before), (then, after)] {
            let manifest = format!(r#"{{"dependencies":{{"host":"{asked}"}}}}"#);
            let manifest = if asked.is_empty() { "{}" } else { &manifest };
            project.write("package.json", manifest);
            project.succeed(&["install", "--lockfile-only"]);
            let locked = lockfile(&project);
            let expected = format!("{user}@1.0.0(host@{expected})");
            assert!(locked.contains(&expected), "{user}, {asked}: {locked}");
        }
    }
}

#[test]
fn what_another_project_chooses_has_the_peers_that_it_has_there_whatever_was_locked_here() {
    let packages = [
        Package::new("host", "1.0.0"),
        Package::new("host", "1.1.0"),
        Package::new("host", "1.2.0"),
        Package::new("outer", "1.0.0").dependency("inner", "1"),
        Package::new("inner", "1.0.0").optional_peer_dependency("host", "1"),
    ];
    let manifests = [
        ("a", r#"{"dependencies":{"host":"1.0.0","outer":"1"}}"#),
        ("b", r#"{"dependencies":{"host":"1.1.0"}}"#),
        ("c", r#"{"dependencies":{"host":"1.2.0","outer":"1"}}"#),
    ];
    let project = Project::workspace(&packages, "", &manifests);
    project.succeed(&["install", "--lockfile-only"]);
    assert!(lockfile(&project).contains("outer@1.0.0(host@1.2.0)"));
    project.write(
        "packages/c/package.json",
        r#"{"dependencies":{"outer":"1"}}"#,
    );
    project.succeed(&["install", "--lockfile-only"]);
    let locked = lockfile(&project);
    assert_eq!(
        locked.matches("version: 1.0.0(host@1.0.0)").count(),
        2,
        "{locked}"
    );
}
