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
