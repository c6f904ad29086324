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
