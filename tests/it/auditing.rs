//! `audit` and `peers check` against advisories of the loopback registry.

use std::fs;

use pacquet_test_registry::Package;
use serde_json::{Value, json};

use crate::project::Project;

const ENDPOINT: &str = "/-/npm/v1/security/advisories/bulk";

fn project() -> Project {
    let project = Project::new();
    for package in [
        Package::new("top", "1.0.0").dependency("low", "^1.0.0"),
        Package::new("low", "1.0.0"),
        Package::new("low", "1.0.2"),
        Package::new("tool", "1.0.0").peer_dependency("low", "^2.0.0"),
    ] {
        project.registry.publish(&package);
    }
    let manifest = json!({
        "name": "app", "version": "1.0.0",
        "dependencies": { "top": "1.0.0", "low": "1.0.0" },
        "devDependencies": { "tool": "1.0.0" }
    });
    project.write("package.json", &manifest.to_string());
    let settings = "overrides:\n  top>low: 1.0.0\n";
    project.write("pnpm-workspace.yaml", settings);
    project.succeed(&["install", "--lockfile-only"]);
    project
}

fn answer(project: &Project, severity: &str) {
    let advisories = json!({
        "low": [{
            "id": 7, "url": "https://advisories.test/GHSA-aaaa-bbbb-cccc", "title": "Bad\u{1b}",
            "severity": severity, "vulnerable_versions": "<1.0.1"
        }],
        "elsewhere": []
    });
    project
        .registry
        .serve(ENDPOINT, "application/json", advisories.to_string());
}

fn run(project: &Project, words: &[&str]) -> (Option<i32>, String, String) {
    let output = project.run(words);
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    (
        output.status.code(),
        text(&output.stdout),
        text(&output.stderr),
    )
}

#[test]
fn vulnerabilities_are_told_with_the_ways_to_them_and_overrides_end_them() {
    let project = project();
    answer(&project, "high");
    let (code, text, errors) = run(&project, &["audit", "--json"]);
    assert_eq!(code, Some(1), "{errors}");
    let report: Value = serde_json::from_str(&text).expect("JSON");
    let advisory = &report["advisories"]["7"];
    let paths = json!([".>low", ".>top>low", ".>tool>low"]);
    assert_eq!(advisory["findings"][0]["paths"], paths, "{report}");
    // 1.0.1 was never published.
    assert_eq!(advisory["patched_versions"], ">=1.0.2", "{report}");
    assert_eq!(report["metadata"]["totalDependencies"], 3, "{report}");
    let requests = project.registry.requests_for(ENDPOINT);
    let asked: Value = serde_json::from_slice(&requests[0].body).expect("JSON");
    let expected = json!({ "low": ["1.0.0"], "tool": ["1.0.0"], "top": ["1.0.0"] });
    assert_eq!((requests[0].method.as_str(), asked), ("POST", expected));

    let (code, text, _) = run(&project, &["audit"]);
    assert_eq!(code, Some(1), "{text}");
    assert!(
        text.contains("│ high ") && !text.contains('\u{1b}'),
        "{text}"
    );
    assert!(
        text.ends_with("1 vulnerabilities found\nSeverity: 1 high\n"),
        "{text}"
    );
    let quiet = ["audit", "--audit-level", "critical"];
    assert_eq!(run(&project, &quiet).0, Some(0));

    project.succeed(&["audit", "--fix"]);
    let settings = fs::read_to_string(project.root().join("pnpm-workspace.yaml")).unwrap();
    assert!(settings.contains("low@<1.0.1: ^1.0.2\n"), "{settings}");
    let settings = settings.replace("  top>low: 1.0.0\n", "");
    project.write("pnpm-workspace.yaml", &settings);
    project.succeed(&["install", "--lockfile-only", "--no-frozen-lockfile"]);
    assert_eq!(run(&project, &["audit"]).0, Some(0));

    let (code, text, _) = run(&project, &["peers", "check", "--json"]);
    let issues: Value = serde_json::from_str(&text).expect("JSON");
    let bad = &issues["."]["bad"]["low"][0];
    let parents = json!([{ "name": "tool", "version": "1.0.0" }]);
    assert_eq!((code, &bad["parents"]), (Some(1), &parents), "{issues}");
    assert_eq!(bad["foundVersion"], "1.0.2", "{issues}");
}

#[test]
fn vulnerable_packages_are_updated_as_far_as_ranges_allow() {
    let project = project();
    answer(&project, "high");
    let manifest = r#"{"name":"app","dependencies":{"low":"^1.0.0","top":"1.0.0"}}"#;
    project.write("package.json", manifest);
    project.succeed(&["install", "--lockfile-only", "--no-frozen-lockfile"]);
    let (code, text, errors) = run(&project, &["audit", "--fix=update"]);
    // The override keeps the other one where it is.
    let remains = "0 vulnerabilities were fixed, 1 vulnerability remains.\n\n\
                   The remaining vulnerabilities are:\n- (high) \"Bad";
    assert!(text.starts_with(remains), "{text}{errors}");
    assert_eq!(code, Some(1));

    project.write("pnpm-workspace.yaml", "");
    let (code, text, errors) = run(&project, &["audit", "--fix=update"]);
    let fixed = "1 vulnerability was fixed, 0 vulnerabilities remain.\n\n\
                 The fixed vulnerabilities are:\n- (high) \"Bad";
    assert!(text.starts_with(fixed), "{text}{errors}");
    assert_eq!(code, Some(0));
    let lockfile = fs::read_to_string(project.root().join("pnpm-lock.yaml")).unwrap();
    assert!(!lockfile.contains("low@1.0.0"), "{lockfile}");
    let manifest = fs::read_to_string(project.root().join("package.json")).unwrap();
    assert!(manifest.contains(r#""low":"^1.0.2""#), "{manifest}");
    let (code, text, _) = run(&project, &["audit", "--fix=update"]);
    assert_eq!(code, Some(0));
    assert_eq!(
        text,
        "0 vulnerabilities were fixed, 0 vulnerabilities remain.\n"
    );
}

#[test]
fn a_registry_without_advisories_fails_unless_that_is_ignored() {
    let project = project();
    for (route, code) in [
        (None, "ERR_PNPM_AUDIT_ENDPOINT_NOT_EXISTS"),
        (Some("{"), "ERR_PNPM_AUDIT_BAD_RESPONSE"),
        (Some("[]"), "ERR_PNPM_AUDIT_BAD_RESPONSE"),
        (Some(r#"{"low":[{}]}"#), "ERR_PNPM_AUDIT_BAD_RESPONSE"),
    ] {
        if let Some(body) = route {
            project.registry.serve(ENDPOINT, "application/json", body);
        }
        let said = project.fail(&["audit"]);
        assert!(said.contains(code), "{route:?}: {said}");
        let ignoring = ["audit", "--ignore-registry-errors"];
        let (code, _, said) = run(&project, &ignoring);
        assert_eq!(code, Some(0), "{route:?}");
        assert!(said.contains("The audit endpoint"), "{route:?}: {said}");
    }
    answer(&project, "low");
    let ignoring = ["audit", "--ignore", "ghsa-AAAA-bbbb-cccc"];
    assert_eq!(run(&project, &ignoring).0, Some(0));
    let (code, text, _) = run(&project, &["audit"]);
    assert_eq!(code, Some(0));
    assert!(text.contains("1 ignored: 1 low"), "{text}");
    let said = project.fail(&["audit", "signatures"]);
    assert!(said.contains("hint:"), "{said}");
    let said = project.fail(&["audit", "--fix=nope"]);
    assert!(said.contains("ERR_PNPM_INVALID_FIX_OPTION"), "{said}");
    fs::remove_file(project.root().join("pnpm-lock.yaml")).unwrap();
    let said = project.fail(&["audit"]);
    assert!(said.contains("ERR_PNPM_AUDIT_NO_LOCKFILE"), "{said}");
}

#[test]
fn new_dependencies_go_into_catalogs_where_that_is_asked_for() {
    let project = project();
    let settings = || fs::read_to_string(project.root().join("pnpm-workspace.yaml")).unwrap();
    let manifest = || fs::read_to_string(project.root().join("package.json")).unwrap();
    project.write("package.json", r#"{"name":"app"}"#);
    project.write("pnpm-workspace.yaml", "");
    project.succeed(&["add", "--lockfile-only", "--save-catalog", "low@1.0.0"]);
    project.succeed(&["add", "--lockfile-only", "--save-catalog-name=old", "top"]);
    let said = settings();
    assert!(said.contains("catalog:\n  low: 1.0.0\n"), "{said}");
    assert!(
        said.contains("catalogs:\n  old:\n    top: ^1.0.0\n"),
        "{said}"
    );
    assert!(manifest().contains(r#""low":"catalog:""#), "{}", manifest());
    assert!(
        manifest().contains(r#""top":"catalog:old""#),
        "{}",
        manifest()
    );
    project.succeed(&["install", "--lockfile-only", "--frozen-lockfile"]);

    project.write(
        "pnpm-workspace.yaml",
        &format!("{said}catalogMode: strict\n"),
    );
    let before = manifest();
    let refused = project.fail(&["add", "--lockfile-only", "low@1.0.2"]);
    assert!(
        refused.contains("ERR_PNPM_CATALOG_VERSION_MISMATCH"),
        "{refused}"
    );
    assert_eq!(manifest(), before);
    project.write(
        "pnpm-workspace.yaml",
        &format!("{said}catalogMode: prefer\n"),
    );
    project.succeed(&["add", "--lockfile-only", "low@1.0.2", "tool"]);
    assert!(manifest().contains(r#""low":"1.0.2""#), "{}", manifest());
    assert!(settings().contains("  tool: ^1.0.0\n"), "{}", settings());

    project.succeed(&["update", "--interactive"]);
    let manifest = r#"{"name":"app","dependencies":{"low":"^1.0.0"}}"#;
    project.write("package.json", manifest);
    fs::remove_file(project.root().join("pnpm-lock.yaml")).expect("removed");
    let said = project.fail(&["update", "--interactive"]);
    assert!(said.contains("ERR_PACQUET_NO_TERMINAL"), "{said}");
    for (field, name) in [
        (r#""packageManager":"yarn@1.22.0""#, "yarn"),
        (r#""devEngines":{"packageManager":{"name":"npm"}}"#, "npm"),
    ] {
        project.write("package.json", &format!(r#"{{"name":"app",{field}}}"#));
        for words in [
            &["add", "low"][..],
            &["import"],
            &["install"],
            &["run", "x"],
            &["list"],
            &["root"],
        ] {
            let said = project.fail(words);
            let expected = format!("This project is configured to use {name}");
            assert!(said.contains("ERR_PNPM_OTHER_PM_EXPECTED"), "{said}");
            assert!(said.contains(&expected), "{said}");
        }
    }
}

#[test]
fn entries_of_catalogs_are_updated_with_the_dependencies_that_name_them() {
    let project = project();
    let settings = || fs::read_to_string(project.root().join("pnpm-workspace.yaml")).unwrap();
    project.write("pnpm-workspace.yaml", "catalog:\n  low: ^1.0.0\n");
    project.write(
        "package.json",
        r#"{"name":"app","dependencies":{"low":"catalog:","top":"^1.0.0"}}"#,
    );
    project.succeed(&["update", "--lockfile-only", "top"]);
    assert_eq!(settings(), "catalog:\n  low: ^1.0.0\n");
    project.succeed(&["update", "--lockfile-only"]);
    assert_eq!(settings(), "catalog:\n  low: ^1.0.2\n");
    project.succeed(&["remove", "--lockfile-only", "low"]);
    project.succeed(&["add", "--lockfile-only", "npm:low"]);
    let manifest = fs::read_to_string(project.root().join("package.json")).unwrap();
    assert!(manifest.contains(r#""low":"catalog:""#), "{manifest}");
    project.succeed(&["install", "--lockfile-only", "--frozen-lockfile"]);
}
