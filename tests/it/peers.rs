//! Peers that are missing or do not fit: what is told, and that a refused install changes nothing.

use std::fs;

use pacquet_test_registry::Package;

use crate::project::Project;

/// A project whose peers do not fit, with `settings`.
fn project(settings: &str) -> Project {
    let project = Project::new();
    for package in [
        Package::new("host", "1.0.0"),
        Package::new("host", "2.0.0-rc.1"),
        Package::new("plugin", "1.0.0")
            .peer_dependency("host", "^2.0.0 || ^3.0.0")
            .peer_dependency("gone", "*")
            .optional_peer_dependency("unneeded", "*"),
        Package::new("outer", "1.0.0")
            .dependency("inner", "1.0.0")
            .peer_dependency("split", "^1.0.0"),
        Package::new("inner", "1.0.0").peer_dependency("split", ">=2.0.0"),
    ] {
        project.registry.publish(&package);
    }
    project.write(
        "package.json",
        r#"{"dependencies":{"host":"1.0.0","outer":"1.0.0","plugin":"1.0.0"}}"#,
    );
    project.write("pnpm-workspace.yaml", settings);
    project
}

const REPORT: &str = r#"Unmet peer dependencies

✕ unmet peer host
  Installed: 1.0.0
  Wanted:
    "^2.0.0 || ^3.0.0":
      plugin@1.0.0

✕ missing peer gone
  Wanted:
    "*":
      plugin@1.0.0

✕ conflicting peer split
  Wanted:
    >=2.0.0:
      inner@1.0.0
    ^1.0.0:
      outer@1.0.0
"#;

const STRICT: &str = "strictPeerDependencies: true\nautoInstallPeers: false\n";

#[test]
fn strict_peers_are_refused_with_a_report_and_nothing_changes() {
    let project = project(STRICT);
    for words in [&["install", "--no-virtual"][..], &["add", "host@1.0.0"]] {
        let before = fs::read(project.root().join("package.json")).expect("it is there");
        let failed = project.fail(words);
        assert!(failed.contains("ERR_PNPM_PEER_DEP_ISSUES"), "{failed}");
        assert!(failed.contains(REPORT), "{failed}");
        assert!(failed.contains("  autoInstallPeers: true\n"), "{failed}");
        let after = fs::read(project.root().join("package.json")).expect("it is there");
        assert_eq!(before, after, "{words:?}");
        assert!(!project.root().join("pnpm-lock.yaml").exists(), "{words:?}");
        assert!(!project.node_modules().exists(), "{words:?}");
    }
}

#[test]
fn peers_that_do_not_fit_are_a_warning_unless_they_are_refused() {
    let project = project("autoInstallPeers: false\n");
    let output = project.run(&["install", "--lockfile-only"]);
    let told = [output.stdout, output.stderr].concat();
    let told = String::from_utf8_lossy(&told).into_owned();
    assert!(output.status.success(), "{told}");
    let warning = "Issues with peer dependencies found";
    assert_eq!(told.matches(warning).count(), 1, "{told}");
}

#[test]
fn rules_allow_what_would_be_an_issue() {
    let rules = "peerDependencyRules:\n  ignoreMissing: [gone, 's*']\n  allowedVersions:\n    ";
    for allowed in ["host: '1'", "plugin>host: '1'", "plugin@1>host: ^1.0.0"] {
        let project = project(&format!("{STRICT}{rules}{allowed}\n"));
        project.succeed(&["install", "--lockfile-only"]);
    }
    for other in ["host: '3'", "outer>host: '1'", "plugin@2>host: '1'"] {
        let project = project(&format!("{STRICT}{rules}{other}\n"));
        let failed = project.fail(&["install", "--lockfile-only"]);
        assert!(failed.contains("unmet peer host"), "{other}: {failed}");
        assert!(!failed.contains("missing peer"), "{other}: {failed}");
    }
    let any = "peerDependencyRules:\n  ignoreMissing: ['*']\n  allowAny: ['ho*']\n";
    project(&format!("{STRICT}{any}")).succeed(&["install", "--lockfile-only"]);
}

#[test]
fn in_a_workspace_issues_stand_below_their_project() {
    let project = project(&format!("packages: [member]\n{STRICT}"));
    project.write("package.json", "{}");
    project.write(
        "member/package.json",
        r#"{"dependencies":{"host":"2.0.0-rc.1","inner":"1.0.0"}}"#,
    );
    let failed = project.fail(&["install", "--lockfile-only"]);
    let report =
        "\n\nmember\n  ✕ missing peer split\n    Wanted:\n      >=2.0.0:\n        inner@1.0.0";
    assert!(failed.contains(report), "{failed}");
}

/// Dependency paths of what `project` resolves to, with the names in `packages` left out.
fn snapshots(project: &Project) -> Vec<String> {
    project.succeed(&["install", "--lockfile-only"]);
    let text = fs::read_to_string(project.root().join("pnpm-lock.yaml")).expect("it was written");
    let (_, snapshots) = text.split_once("\nsnapshots:\n").expect("it has snapshots");
    let lines = snapshots.lines().filter_map(|line| line.strip_prefix("  "));
    let keys = lines.filter(|line| !line.starts_with(' '));
    keys.map(|line| {
        line.trim_end_matches(" {}")
            .trim_end_matches(':')
            .replace('\'', "")
    })
    .collect()
}

/// A workspace of projects with the dependencies `projects`.
fn workspace(packages: &[Package], projects: &[(&str, &str)]) -> Project {
    let project = Project::new();
    for package in packages {
        project.registry.publish(package);
    }
    project.write("package.json", "{}");
    project.write("pnpm-workspace.yaml", "packages: [packages/*]\n");
    for (name, dependencies) in projects {
        let path = format!("packages/{name}/package.json");
        project.write(&path, &format!(r#"{{"dependencies":{dependencies}}}"#));
    }
    project
}

#[test]
fn what_tells_apart_peers_on_a_cycle_stands_beside_them() {
    let packages = [
        Package::new("one", "1.0.0")
            .peer_dependency("two", "1")
            .peer_dependency("split", "*")
            .peer_dependency("same", "1"),
        Package::new("two", "1.0.0").peer_dependency("one", "1"),
        Package::new("user", "1.0.0").peer_dependency("one", "1"),
        Package::new("same", "1.0.0"),
        Package::new("split", "1.0.0"),
        Package::new("split", "2.0.0"),
    ];
    let dependencies =
        |split: u8| format!(r#"{{"one":"1","two":"1","user":"1","same":"1","split":"{split}"}}"#);
    let projects = [("a", dependencies(1)), ("b", dependencies(2))];
    let projects = projects
        .each_ref()
        .map(|(name, text)| (*name, text.as_str()));
    assert_eq!(
        snapshots(&workspace(&packages, &projects)),
        [
            "one@1.0.0(same@1.0.0)(split@1.0.0)(two@1.0.0)",
            "one@1.0.0(same@1.0.0)(split@2.0.0)(two@1.0.0)",
            "same@1.0.0",
            "split@1.0.0",
            "split@2.0.0",
            "two@1.0.0(one@1.0.0)(split@1.0.0)",
            "two@1.0.0(one@1.0.0)(split@2.0.0)",
            "user@1.0.0(one@1.0.0)(split@1.0.0)(two@1.0.0)",
            "user@1.0.0(one@1.0.0)(split@2.0.0)(two@1.0.0)",
        ]
    );
    assert_eq!(
        snapshots(&workspace(&packages, &projects[..1])),
        [
            "one@1.0.0(same@1.0.0)(split@1.0.0)(two@1.0.0)",
            "same@1.0.0",
            "split@1.0.0",
            "two@1.0.0(one@1.0.0)",
            "user@1.0.0(one@1.0.0)",
        ]
    );
}

#[test]
fn a_cycle_goes_through_the_other_name_of_a_package() {
    let plus = Package::new("plus", "1.0.0").optional_peer_dependency("cover", "*");
    let cover = Package::new("cover", "1.0.0").peer_dependency("host", "*");
    let projects = [("a", r#"{"cover":"1","host":"npm:plus@1","plus":"1"}"#)];
    assert_eq!(
        snapshots(&workspace(&[plus, cover], &projects)),
        ["cover@1.0.0(plus@1.0.0)", "plus@1.0.0(cover@1.0.0)"]
    );
}

#[test]
fn a_peer_further_along_a_cycle_gives_each_project_its_own_instances() {
    let packages = [
        Package::new("one", "1.0.0").peer_dependency("two", "1"),
        Package::new("two", "1.0.0")
            .peer_dependency("one", "1")
            .peer_dependency("split", "*"),
        Package::new("user", "1.0.0").peer_dependency("one", "1"),
        Package::new("split", "1.0.0"),
        Package::new("split", "2.0.0"),
    ];
    let projects = [
        ("a", r#"{"one":"1","two":"1","user":"1","split":"1"}"#),
        ("b", r#"{"one":"1","two":"1","user":"1","split":"2"}"#),
    ];
    assert_eq!(
        snapshots(&workspace(&packages, &projects)),
        [
            "one@1.0.0(split@1.0.0)(two@1.0.0)",
            "one@1.0.0(split@2.0.0)(two@1.0.0)",
            "split@1.0.0",
            "split@2.0.0",
            "two@1.0.0(one@1.0.0)(split@1.0.0)",
            "two@1.0.0(one@1.0.0)(split@2.0.0)",
            "user@1.0.0(one@1.0.0)(split@1.0.0)(two@1.0.0)",
            "user@1.0.0(one@1.0.0)(split@2.0.0)(two@1.0.0)",
        ]
    );
}

#[test]
fn another_version_of_a_package_among_the_peers_of_its_peers_tells_its_instances_apart() {
    let packages = [
        Package::new("host", "1.0.0"),
        Package::new("host", "2.0.0").peer_dependency("plugin", "1"),
        Package::new("plugin", "1.0.0").peer_dependency("host", "*"),
        Package::new("wrap", "1.0.0").dependency("host", "2"),
    ];
    let projects = [
        ("a", r#"{"host":"2","plugin":"1"}"#),
        ("b", r#"{"host":"1","plugin":"1","wrap":"1"}"#),
    ];
    assert_eq!(
        snapshots(&workspace(&packages, &projects)),
        [
            "host@1.0.0",
            "host@2.0.0(host@1.0.0)(plugin@1.0.0)",
            "host@2.0.0(plugin@1.0.0)",
            "plugin@1.0.0(host@1.0.0)",
            "plugin@1.0.0(host@2.0.0)",
            "wrap@1.0.0(host@1.0.0)(plugin@1.0.0)",
        ]
    );
}

#[test]
fn a_peer_is_not_offered_by_what_another_project_chooses_the_dependencies_of() {
    let packages = [
        Package::new("host", "2.0.0").dependency("below", "1"),
        Package::new("below", "1.0.0").optional_peer_dependency("host", "*"),
        Package::new("brings", "1.0.0").dependency("host", "2"),
        Package::new("user", "1.0.0").optional_peer_dependency("host", "1"),
    ];
    let using = ("a", r#"{"brings":"1","user":"1"}"#);
    let offered = snapshots(&workspace(&packages, &[using]));
    assert!(offered.contains(&"user@1.0.0(host@2.0.0)".to_owned()));
    let others = workspace(&packages, &[using, ("b", r#"{"host":"2"}"#)]);
    assert!(snapshots(&others).contains(&"user@1.0.0".to_owned()));
}

/// `a` is given the runner that `b` depends on, and is before `b`: what the runner misses far below
/// is looked for in `a` too.
#[test]
fn a_package_that_an_earlier_project_is_given_is_its_own_with_all_that_is_below() {
    let packages = [
        Package::new("types", "4.0.0"),
        Package::new("types", "7.0.0"),
        Package::new("runner", "1.0.0").dependency("core", "1"),
        Package::new("core", "1.0.0").dependency("settings", "1"),
        Package::new("settings", "1.0.0").optional_peer_dependency("loader", "*"),
        Package::new("loader", "1.0.0").peer_dependency("types", "*"),
        Package::new("rules", "1.0.0")
            .optional_peer_dependency("runner", "*")
            .peer_dependency("types", "^7"),
    ];
    let ruled = ("a", r#"{"rules":"1"}"#);
    let running = |name| (name, r#"{"runner":"1","loader":"1","types":"^4"}"#);
    let given = |types: &str| {
        format!("rules@1.0.0(runner@1.0.0(loader@1.0.0(types@{types})))(types@7.0.0)")
    };
    let before = snapshots(&workspace(&packages, &[ruled, running("b")]));
    assert!(before.contains(&given("7.0.0")), "{before:?}");
    let after = snapshots(&workspace(&packages, &[running("Z"), ruled]));
    assert!(after.contains(&given("4.0.0")), "{after:?}");
}

/// Projects with a linter, of which one has a loader too; and one that has another loader alone.
const LINTED: [(&str, &str); 4] = [
    ("a", r#"{"linter":"1","loader":"1.0.0"}"#),
    ("b", r#"{"linter":"1"}"#),
    ("c", r#"{"linter":"1"}"#),
    ("d", r#"{"loader":"1.1.0"}"#),
];

/// `linter` is a peer of what it depends on itself, as `eslint` is.
#[test]
fn every_project_has_the_optional_peer_that_others_have() {
    let packages = [
        Package::new("linter", "1.0.0")
            .dependency("utils", "1")
            .optional_peer_dependency("loader", "*"),
        Package::new("utils", "1.0.0").peer_dependency("linter", "1"),
        Package::new("loader", "1.0.0"),
        Package::new("loader", "1.1.0"),
    ];
    let expected = [
        "linter@1.0.0(loader@1.0.0)",
        "linter@1.0.0(loader@1.1.0)",
        "loader@1.0.0",
        "loader@1.1.0",
        "utils@1.0.0(linter@1.0.0(loader@1.0.0))",
        "utils@1.0.0(linter@1.0.0(loader@1.1.0))",
    ];
    let project = workspace(&packages, &LINTED);
    assert_eq!(snapshots(&project), expected);
    project.write(
        "pnpm-workspace.yaml",
        "packages: [packages/*]\nprojectScopedOptionalPeers: true\n",
    );
    let own = ["linter@1.0.0", "linter@1.0.0(loader@1.0.0)", "loader@1.0.0"];
    let found = snapshots(&project);
    assert!(
        own.iter().all(|one| found.iter().any(|path| path == one)),
        "{found:?}"
    );
    assert!(
        !found
            .iter()
            .any(|path| path == "linter@1.0.0(loader@1.1.0)"),
        "{found:?}"
    );
    let text = fs::read_to_string(project.root().join("pnpm-lock.yaml"));
    let text = text.expect("it was written");
    assert!(
        text.contains("\n  projectScopedOptionalPeers: true\n"),
        "{text}"
    );
}

#[test]
fn instances_on_a_cycle_become_those_with_more_and_suffixes_name_these() {
    let packages = [
        Package::new("linter", "1.0.0")
            .dependency("utils", "1")
            .dependency("reader", "1"),
        Package::new("reader", "1.0.0").optional_peer_dependency("loader", "*"),
        Package::new("utils", "1.0.0").peer_dependency("linter", "1"),
        Package::new("loader", "1.0.0"),
        Package::new("loader", "1.1.0"),
    ];
    let expected = [
        "linter@1.0.0(loader@1.0.0)",
        "loader@1.0.0",
        "loader@1.1.0",
        "reader@1.0.0(loader@1.0.0)",
        "utils@1.0.0(linter@1.0.0(loader@1.0.0))",
    ];
    assert_eq!(snapshots(&workspace(&packages, &LINTED)), expected);
}

#[test]
fn an_optional_peer_that_comes_later_is_given_to_what_is_locked() {
    let packages = [
        Package::new("tool", "1.0.0")
            .dependency("reader", "1")
            .peer_dependency("host", "1"),
        Package::new("reader", "1.0.0").optional_peer_dependency("loader", "*"),
        Package::new("host", "1.0.0"),
        Package::new("other", "1.0.0").dependency("loader", "1"),
        Package::new("loader", "1.0.0"),
    ];
    let tool = r#"{"tool":"1","host":"1"}"#;
    let project = workspace(&packages, &[("a", tool), ("b", r#"{"host":"1"}"#)]);
    assert!(snapshots(&project).contains(&"tool@1.0.0(host@1.0.0)".to_owned()));
    project.write(
        "packages/b/package.json",
        r#"{"dependencies":{"other":"1"}}"#,
    );
    let expected = "tool@1.0.0(host@1.0.0)(loader@1.0.0)".to_owned();
    assert!(snapshots(&project).contains(&expected));
}

#[test]
fn what_is_given_as_a_peer_has_the_peers_of_its_manifest_and_not_those_of_the_lockfile() {
    let packages = [
        Package::new("kit", "1.0.0").dependency("reader", "1"),
        Package::new("reader", "1.0.0").optional_peer_dependency("loader", "*"),
        Package::new("builder", "1.0.0").optional_peer_dependency("reader", "1"),
        Package::new("loader", "1.0.0"),
        Package::new("other", "1.0.0").peer_dependency("loader", "1"),
    ];
    let project = workspace(&packages, &[]);
    let manifest = r#"{"dependencies":{"kit":"1","builder":"1","loader":"1"}}"#;
    project.write("package.json", manifest);
    let expected = snapshots(&project);
    assert!(expected.contains(&"reader@1.0.0(loader@1.0.0)".to_owned()));
    let path = project.root().join("pnpm-lock.yaml");
    let locked = fs::read_to_string(&path).unwrap();
    // As if the package had had no peers when it was locked.
    let peers = "    peerDependencies:\n      loader: '*'\n    \
                 peerDependenciesMeta:\n      loader:\n        optional: true\n";
    let given = "(loader@1.0.0)':\n    optionalDependencies:\n      loader: 1.0.0\n";
    assert!(locked.contains(peers), "{locked}");
    let earlier = locked
        .replace(peers, "")
        .replace(&given.replace('\'', ""), ": {}\n")
        .replace("(loader@1.0.0)", "");
    fs::write(&path, earlier).unwrap();
    project.succeed(&["add", "other", "--lockfile-only"]);
    let mut now = snapshots(&project);
    now.retain(|key| !key.starts_with("other@"));
    assert_eq!(now, expected);
}

#[test]
fn an_override_by_an_alias_says_nothing_of_a_declared_peer() {
    let packages = [
        Package::new("tool", "1.0.0").peer_dependency("host", "1"),
        Package::new("host", "1.0.0"),
        Package::new("else", "2.0.0"),
    ];
    let project = workspace(&packages, &[]);
    project.write(
        "pnpm-workspace.yaml",
        "overrides: {host: 'npm:else@2.0.0'}\n",
    );
    let manifest = r#"{"dependencies":{"tool":"1"},"peerDependencies":{"host":"1"}}"#;
    project.write("package.json", manifest);
    assert_eq!(
        snapshots(&project),
        ["host@1.0.0", "tool@1.0.0(host@1.0.0)"]
    );
}

#[test]
fn what_an_override_takes_away_is_no_optional_peer_either() {
    let packages = [
        Package::new("host", "1.0.0"),
        Package::new("ranged", "1.0.0").optional_peer_dependency("host", "^1"),
        Package::new("named", "1.0.0").optional_peer("host"),
    ];
    for selector in ["host", "host@1"] {
        let project = workspace(&packages, &[]);
        let settings = format!("overrides: {{'{selector}': '-'}}\n");
        project.write("pnpm-workspace.yaml", &settings);
        let manifest = r#"{"dependencies":{"ranged":"1","named":"1"}}"#;
        project.write("package.json", manifest);
        assert_eq!(snapshots(&project), ["named@1.0.0", "ranged@1.0.0"]);
        let locked = fs::read_to_string(project.root().join("pnpm-lock.yaml")).unwrap();
        assert!(!locked.contains("peerDependencies"), "{locked}");
    }
}

#[test]
fn a_peer_of_a_project_is_as_the_catalogs_of_others_have_it() {
    let versions = ["1.0.0", "2.0.0", "3.0.0"].map(|version| Package::new("host", version));
    let settings = "catalog:\n  host: ^2.0.0\ncatalogs:\n  old:\n    host: 1.0.0\n";
    for (known, expected) in [
        ("catalog:", "2.0.0"),
        ("catalog:old", "1.0.0"),
        ("*", "3.0.0"),
    ] {
        let app = format!(r#"{{"dependencies":{{"host":"{known}"}}}}"#);
        let lib = r#"{"peerDependencies":{"host":">=1"}}"#;
        let project = Project::workspace(&versions, settings, &[("app", &app), ("lib", lib)]);
        project.succeed(&["install", "--lockfile-only"]);
        let text = fs::read_to_string(project.root().join("pnpm-lock.yaml")).unwrap();
        let peer = format!("specifier: '>=1'\n        version: {expected}\n");
        assert!(text.contains(&peer), "{known}: {text}");
    }
}

#[test]
fn dependencies_are_chosen_again_only_where_a_peer_takes_the_place_of_one_below_them() {
    let packages = |extra: Package| {
        [
            Package::new("value", "1.0.0"),
            Package::new("value", "1.1.0"),
            Package::new("host", "1.0.0"),
            // What it depends on may be offered to it.
            Package::new("doubled", "1.0.0")
                .dependency("host", "1")
                .optional_peer_dependency("host", "1"),
            Package::new("other", "1.0.0").dependency("doubled", "1"),
            extra.dependency("value", "^1.0.0"),
            Package::new("near", "1.0.0").dependency("shared", "1"),
            Package::new("peer", "1.0.0").dependency("shared", "1"),
            // The project gets the peers, and meets what is shared again, without 1.0.0 above it.
            Package::new("root", "1.0.0")
                .dependency("near", "1")
                .dependency("value", "1.0.0")
                .peer_dependency("peer", "1")
                .peer_dependency("host", "1"),
        ]
    };
    let shared = || Package::new("shared", "1.0.0");
    let below = shared().dependency("doubled", "1");
    let alone = ("a", r#"{"root":"1"}"#);
    let beside = ("a", r#"{"root":"1","other":"1"}"#);
    for (shared, project, again) in [
        (shared(), beside, false),
        (below, alone, true),
        // Its dependencies are chosen nearer to the project.
        (shared().dependency("doubled", "1"), beside, false),
    ] {
        let found = snapshots(&workspace(&packages(shared), &[project]));
        let is_newer = found.contains(&"value@1.1.0".to_owned());
        assert_eq!(is_newer, again, "{found:?}");
    }
}

#[test]
fn all_ranges_of_a_missing_peer_count_where_a_package_is_met_again() {
    let packages = [
        Package::new("host", "7.0.0"),
        Package::new("host", "7.1.0"),
        Package::new("host", "8.0.0"),
        Package::new("inner", "1.0.0").peer_dependency("host", "<7.1.0"),
        Package::new("preset", "1.0.0")
            .dependency("inner", "1")
            .peer_dependency("host", "*"),
        Package::new("modern", "1.0.0").peer_dependency("host", "^8.0.0"),
    ];
    let projects = [
        // Nothing fits both.
        ("a", r#"{"preset":"1","modern":"1"}"#),
        ("b", r#"{"preset":"1"}"#),
    ];
    assert_eq!(
        snapshots(&workspace(&packages, &projects)),
        [
            "host@7.0.0",
            "inner@1.0.0(host@7.0.0)",
            "modern@1.0.0",
            "preset@1.0.0(host@7.0.0)",
        ]
    );
}

/// Two packages that bring a host each, with peers that these offer to the project.
fn offering(host: impl Fn(Package) -> Package) -> Vec<Package> {
    vec![
        host(Package::new("host", "1.0.0")),
        host(Package::new("host", "2.0.0")),
        Package::new("plain", "1.0.0"),
        Package::new("inner", "1.0.0").peer_dependency("host", "*"),
        Package::new("first", "1.0.0")
            .dependency("host", "1.0.0")
            .dependency("inner", "1"),
        Package::new("second", "1.0.0")
            .dependency("host", "2.0.0")
            .dependency("inner", "1"),
        Package::new("old", "1.0.0").peer_dependency("host", "^1 || ^2"),
        Package::new("new", "1.0.0").peer_dependency("host", "^3"),
        Package::new("user", "1.0.0").optional_peer_dependency("host", "*"),
        Package::new("added", "1.0.0").optional_peer_dependency("missing", "*"),
    ]
}

#[test]
fn dependencies_are_sorted_only_where_they_are_written() {
    let project = Project::new();
    for package in offering(|host| host) {
        project.registry.publish(&package);
    }
    let dependencies = r#""second":"1","first":"1","old":"1","new":"1""#;
    project.write(
        "package.json",
        &format!(r#"{{"dependencies":{{{dependencies}}}}}"#),
    );
    // The last one offers its host to all.
    let offered = "new@1.0.0(host@1.0.0)".to_owned();
    assert!(snapshots(&project).contains(&offered));
    project.succeed(&["add", "added@1", "--lockfile-only"]);
    let locked = fs::read_to_string(project.root().join("pnpm-lock.yaml")).expect("it is there");
    assert!(locked.contains(&offered), "{locked}");
    let written = fs::read_to_string(project.root().join("package.json")).expect("it is there");
    let place = |name: &str| written.find(name);
    assert!(place("first") < place("second"), "{written}");
}

#[test]
fn a_locked_peer_that_has_peers_follows_what_is_offered() {
    let with_peer = |host: Package| host.optional_peer_dependency("plain", "1");
    let dependencies = |order: &str| format!(r#"{{"plain":"1",{order},"user":"1"}}"#);
    for (host, kept) in [
        (offering(with_peer), "user@1.0.0(host@1.0.0(plain@1.0.0))"),
        (offering(|host| host), "user@1.0.0(host@2.0.0)"),
    ] {
        let before = dependencies(r#""first":"1","second":"1""#);
        let project = workspace(&host, &[("a", &before)]);
        let found = snapshots(&project);
        assert!(
            found
                .iter()
                .any(|path| path.starts_with("user@1.0.0(host@2.0.0")),
            "{found:?}"
        );
        let after = dependencies(r#""second":"1","first":"1","added":"1""#);
        project.write(
            "packages/a/package.json",
            &format!(r#"{{"dependencies":{after}}}"#),
        );
        let found = snapshots(&project);
        assert!(found.contains(&kept.to_owned()), "{found:?}");
    }
}

#[test]
fn an_update_keeps_what_is_met_again_nearer_to_the_project() {
    let project = Project::new();
    for package in [
        Package::new("value", "1.0.0"),
        Package::new("value", "1.1.0"),
        Package::new("user", "1.0.0").dependency("value", "^1.0.0"),
        Package::new("peer", "1.0.0").dependency("user", "1"),
        Package::new("inner", "1.0.0").dependency("peer", "1"),
        Package::new("root", "1.0.0")
            .dependency("value", "1.0.0")
            .dependency("inner", "1")
            .peer_dependency("peer", "1"),
    ] {
        project.registry.publish(&package);
    }
    project.write("package.json", r#"{"dependencies":{"root":"1"}}"#);
    let found = snapshots(&project);
    for words in [
        &["update"][..],
        &["update", "value"],
        &["update", "--latest"],
    ] {
        project.succeed(&[words, &["--lockfile-only"]].concat());
        assert_eq!(snapshots(&project), found, "{words:?}");
    }
}

#[test]
fn a_missing_peer_takes_what_is_there_and_not_what_another_project_asks_for() {
    let packages = [
        Package::new("host", "1.0.0"),
        Package::new("host", "3.0.0"),
        Package::new("user", "1.0.0").peer_dependency("host", "^1"),
        Package::new("brings", "1.0.0").dependency("host", "1.0.0"),
    ];
    let projects = [
        (
            "a",
            r#"{"user":"1","brings":"1"},"peerDependencies":{"host":"^3"}"#,
        ),
        ("b", r#"{"host":"^3"}"#),
    ];
    let project = workspace(&packages, &projects);
    let settings = "packages: [packages/*]\nautoInstallPeers: false\n";
    project.write("pnpm-workspace.yaml", settings);
    let expected = [
        "brings@1.0.0",
        "host@1.0.0",
        "host@3.0.0",
        "user@1.0.0(host@1.0.0)",
    ];
    assert_eq!(snapshots(&project), expected);
}

#[test]
fn bounds_of_peers_that_leave_a_part_out_have_all_of_it() {
    let packages = [
        Package::new("host", "22.7.0"),
        Package::new("host", "24.0.6"),
        Package::new("older", "1.0.0").peer_dependency("host", ">= 20 <= 22"),
        Package::new("newer", "1.0.0").peer_dependency("host", ">= 22 <= 24 || ^23.0.0-0"),
        Package::new("optional", "1.0.0").optional_peer_dependency("host", "<=24"),
        Package::new("brings", "1.0.0")
            .dependency("first", "npm:host@22.7.0")
            .dependency("second", "npm:host@24.0.6"),
    ];
    for (dependencies, expected) in [
        (r#"{"older":"1","newer":"1"}"#, "newer@1.0.0(host@22.7.0)"),
        (r#"{"newer":"1"}"#, "newer@1.0.0(host@24.0.6)"),
        (
            r#"{"optional":"1","brings":"1"}"#,
            "optional@1.0.0(host@24.0.6)",
        ),
    ] {
        let found = snapshots(&workspace(&packages, &[("a", dependencies)]));
        assert!(found.contains(&expected.to_owned()), "{found:?}");
    }
}

/// What a change of the manifest to `after` makes of what was locked for `before`.
fn changed(packages: &[Package], before: &str, after: &str) -> Vec<String> {
    let project = workspace(packages, &[]);
    let manifest = |dependencies| format!(r#"{{"dependencies":{dependencies}}}"#);
    project.write("package.json", &manifest(before));
    snapshots(&project);
    project.write("package.json", &manifest(after));
    snapshots(&project)
}

#[test]
fn peers_are_chosen_again_when_one_that_has_peers_is_let_go_of() {
    let packages = [
        Package::new("asks", "1.0.0").dependency("shared", "*"),
        Package::new("goes", "1.0.0")
            .peer_dependency("shared", "*")
            .peer_dependency("base", "3.0.0"),
        Package::new("shared", "1.0.0").peer_dependency("base", "^2.0.0"),
        Package::new("base", "2.0.0"),
    ];
    // Nothing is `^2.0.0` and `3.0.0`; without the one, the other can be had.
    let both = r#"{"asks":"*","goes":"*"}"#;
    let expected = [
        "asks@1.0.0(base@2.0.0)",
        "base@2.0.0",
        "shared@1.0.0(base@2.0.0)",
    ];
    assert_eq!(changed(&packages, both, r#"{"asks":"*"}"#), expected);
}

#[test]
fn an_optional_peer_that_is_offered_is_not_given_in_another_version() {
    let packages = [
        Package::new("asks", "1.0.0").optional_peer_dependency("core", "*"),
        Package::new("core", "3.0.0").dependency("outer", "*"),
        Package::new("outer", "1.0.0").dependency("asks", "*"),
        Package::new("brings", "1.0.0")
            .dependency("core", "2.0.0")
            .dependency("asks", "*"),
        Package::new("core", "2.0.0"),
    ];
    let project = workspace(&packages, &[("later", r#"{"core":"3.0.0"}"#)]);
    let root = r#"{"dependencies":{"outer":"*","brings":"*"}}"#;
    project.write("package.json", root);
    let expected = [
        "asks@1.0.0(core@2.0.0)",
        "asks@1.0.0(core@3.0.0)",
        "brings@1.0.0",
        "core@2.0.0",
        "core@3.0.0",
        "outer@1.0.0(core@2.0.0)",
        "outer@1.0.0(core@3.0.0)",
    ];
    assert_eq!(snapshots(&project), expected);
}

#[test]
fn what_an_earlier_project_is_given_offers_it_what_is_below() {
    let packages = [
        Package::new("brings", "1.0.0")
            .dependency("core", "2.0.0")
            .dependency("asks", "*"),
        Package::new("core", "2.0.0"),
        Package::new("core", "3.0.0").dependency("outer", "*"),
        Package::new("asks", "1.0.0").optional_peer_dependency("core", "*"),
        Package::new("outer", "1.0.0").dependency("asks", "*"),
        Package::new("wants", "1.0.0").peer_dependency("brings", "*"),
        Package::new("other", "1.0.0").peer_dependency("core", "~3.0.0"),
    ];
    let project = workspace(&packages, &[("later", r#"{"other":"*","brings":"*"}"#)]);
    let root = r#"{"dependencies":{"outer":"*","wants":"*"}}"#;
    project.write("package.json", root);
    let found = snapshots(&project);
    let expected = "outer@1.0.0(core@2.0.0)".to_owned();
    assert!(found.contains(&expected), "{found:?}");
}

#[test]
fn another_version_of_a_package_is_a_peer_below_it_as_any_other() {
    let packages = [
        Package::new("host", "1.0.0").dependency("plugin", "1"),
        Package::new("host", "2.0.0"),
        Package::new("plugin", "1.0.0").peer_dependency("host", "1.0.0"),
        Package::new("brings", "1.0.0").dependency("host", "1.0.0"),
    ];
    let own = r#""old":"npm:host@1.0.0","zbrings":"npm:brings@1.0.0""#;
    let below = |version: &str| format!("plugin@1.0.0(host@{version})");
    for (version, old) in [("1.0.0", "host@1.0.0"), ("2.0.0", "host@1.0.0(host@2.0.0)")] {
        let project = workspace(&packages, &[]);
        let manifest = format!(r#"{{"dependencies":{{"host":"{version}",{own}}}}}"#);
        project.write("package.json", &manifest);
        let found = snapshots(&project);
        for expected in [old, "host@1.0.0", &below("1.0.0"), &below(version)] {
            assert!(found.iter().any(|one| one == expected), "{found:?}");
        }
    }
}
