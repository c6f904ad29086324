//! A registry that misbehaves, seen from outside: what is tried again, what is refused, and what
//! is said.

use std::fs;
use std::time::{Duration, Instant};

use pacquet_test_registry::{Fault, Package, Registry, TarballBuilder, When};
use serde_json::json;

use crate::project::{Project, can_mount};

const TARBALL: &str = "/left/-/left-1.0.0.tgz";

fn left() -> Package {
    Package::new("left", "1.0.0").file("index.js", "module.exports = 'left';\n")
}

fn project() -> Project {
    let manifest = json!({ "name": "app", "dependencies": { "left": "1.0.0" } });
    Project::locked(&manifest, &[left()])
}

fn integrity_line(project: &Project) -> String {
    let lock = fs::read_to_string(project.root().join("pnpm-lock.yaml")).unwrap();
    let line = lock
        .lines()
        .find(|line| line.contains("{integrity: "))
        .unwrap();
    line.trim().to_owned()
}

/// Replaces the resolution of the only package in the lockfile.
fn resolve_to(project: &Project, resolution: &str) {
    let lock = fs::read_to_string(project.root().join("pnpm-lock.yaml")).unwrap();
    let lock = lock.replace(
        &integrity_line(project),
        &format!("resolution: {resolution}"),
    );
    project.write("pnpm-lock.yaml", &lock);
}

#[test]
fn other_bytes_than_pinned_change_nothing() {
    let others: [(&str, Fault); 3] = [
        ("one byte", Fault::FlipByte),
        ("compressed twice", Fault::CompressedTwice),
        ("a page", Fault::Html),
    ];
    for (what, fault) in others {
        let project = project();
        project.registry.fault(TARBALL, When::Always, fault);
        let lock = fs::read(project.root().join("pnpm-lock.yaml")).unwrap();
        let said = project.refuse();
        let codes = ["ERR_PNPM_TARBALL_INTEGRITY", "ERR_PACQUET_NOT_AN_ARCHIVE"];
        assert!(
            codes.iter().any(|code| said.contains(code)),
            "{what}: {said}"
        );
        assert!(said.contains("left@1.0.0"), "{what}: {said}");
        project.assert_store_is_empty(what);
        assert_eq!(
            fs::read(project.root().join("pnpm-lock.yaml")).unwrap(),
            lock,
            "{what}"
        );
        assert!(
            fs::symlink_metadata(project.node_modules()).is_err(),
            "{what}"
        );
    }
}

#[test]
fn a_version_that_was_published_anew_is_told_with_both_digests() {
    let project = project();
    let other = TarballBuilder::with_manifest("left", "1.0.0")
        .file("package/evil", "1")
        .finish();
    let actual = pacquet_test_registry::integrity::sha512(&other);
    project.registry.replace_tarball("left", "1.0.0", other);
    let said = project.refuse();
    let line = integrity_line(&project);
    let expected = line
        .split("integrity: ")
        .nth(1)
        .unwrap()
        .trim_end_matches('}');
    assert!(said.contains(expected) && said.contains(&actual), "{said}");
    assert!(said.contains("hint:"), "{said}");
}

#[test]
fn the_strongest_digest_counts_and_unknown_ones_are_refused() {
    if !can_mount("the_strongest_digest_counts_and_unknown_ones_are_refused") {
        return;
    }
    let built = left().build();
    let hexadecimal = built.shasum.as_bytes().chunks(2);
    let digits = |pair: &[u8]| u8::from_str_radix(std::str::from_utf8(pair).unwrap(), 16).unwrap();
    let digest: Vec<u8> = hexadecimal.map(digits).collect();
    let sha1 = format!("sha1-{}", base64(&digest));
    let strong = &built.integrity;
    let wrong_weak = format!("sha1-{} {strong}", base64(&[7; 20]));
    let wrong_strong = format!("{sha1} sha512-{}", base64(&[7; 64]));
    let with_md5 = format!("md5-{} {strong}", base64(&[7; 16]));
    for (integrity, refusal) in [
        (sha1.as_str(), None),
        (wrong_weak.as_str(), None),
        (with_md5.as_str(), None),
        (wrong_strong.as_str(), Some("ERR_PNPM_TARBALL_INTEGRITY")),
        ("sha999-AAAA", Some("ERR_PACQUET_INTEGRITY_SYNTAX")),
        ("sha512-@@@@", Some("ERR_PACQUET_INTEGRITY_SYNTAX")),
        ("sha512-AAAA", Some("ERR_PACQUET_INTEGRITY_SYNTAX")),
        (
            "md5-AAAAAAAAAAAAAAAAAAAAAA==",
            Some("ERR_PACQUET_INTEGRITY_SYNTAX"),
        ),
        ("gibberish", Some("ERR_PACQUET_INTEGRITY_SYNTAX")),
    ] {
        let project = project();
        resolve_to(&project, &format!("{{integrity: '{integrity}'}}"));
        match refusal {
            None => {
                project.install();
                project.unmount();
            }
            Some(code) => {
                let said = project.refuse();
                assert!(said.contains(code), "{integrity}: {said}");
                project.assert_store_is_empty(integrity);
            }
        }
    }
}

fn base64(bytes: &[u8]) -> String {
    use base64::Engine as _;
    base64::engine::general_purpose::STANDARD.encode(bytes)
}

#[test]
fn addresses_of_other_kinds_are_refused_before_a_request() {
    for (address, code) in [
        ("ftp://127.0.0.1/x.tgz", "ERR_P"),
        ("git+ssh://127.0.0.1/x.tgz", "ERR_P"),
        ("javascript:alert(1)", "ERR_P"),
        ("http://", "ERR_P"),
    ] {
        let project = project();
        let integrity = integrity_line(&project);
        let integrity = integrity
            .split("integrity: ")
            .nth(1)
            .unwrap()
            .trim_end_matches('}');
        resolve_to(
            &project,
            &format!("{{integrity: {integrity}, tarball: '{address}'}}"),
        );
        let said = project.refuse();
        assert!(
            said.contains(code) && said.contains("left@1.0.0"),
            "{address}: {said}"
        );
        assert!(project.registry.take_requests().is_empty(), "{address}");
    }
}

#[test]
fn credentials_stay_with_the_registry_that_they_are_for() {
    if !can_mount("credentials_stay_with_the_registry_that_they_are_for") {
        return;
    }
    let project = project();
    let other = Registry::with(&[left()]);
    project.registry.require_bearer("/left", "secret-token");
    project.write_home(
        ".npmrc",
        &format!("{}:_authToken=secret-token\n", project.registry.nerf_dart()),
    );
    // As an address of its own in the lockfile, on another host.
    let integrity = integrity_line(&project);
    let integrity = integrity
        .split("integrity: ")
        .nth(1)
        .unwrap()
        .trim_end_matches('}')
        .to_owned();
    let elsewhere = format!("{}left/-/left-1.0.0.tgz", other.url());
    let lock = fs::read_to_string(project.root().join("pnpm-lock.yaml")).unwrap();
    resolve_to(
        &project,
        &format!("{{integrity: {integrity}, tarball: {elsewhere}}}"),
    );
    let said = project.refuse();
    assert!(said.contains("ERR_PNPM_TARBALL_URL_MISMATCH"), "{said}");
    assert!(other.take_requests().is_empty());
    project.assert_store_is_empty("an address that the registry does not have");
    project.write("pnpm-workspace.yaml", "trustLockfile: true\n");
    project.install();
    project.unmount();
    assert!(
        other
            .take_requests()
            .iter()
            .all(|request| request.header("authorization").is_none())
    );
    // By a redirect to another host.
    project.write("pnpm-lock.yaml", &lock);
    project.forget_everything();
    let redirect = Fault::Redirect {
        status: 302,
        location: elsewhere,
    };
    project.registry.fault(TARBALL, When::Always, redirect);
    project.install();
    let own = project.registry.requests_for(TARBALL);
    assert_eq!(own[0].header("authorization"), Some("Bearer secret-token"));
    let foreign = other.take_requests();
    assert_eq!(foreign.len(), 1);
    assert!(foreign[0].header("authorization").is_none());
}

#[test]
fn redirects_that_lead_astray_are_refused() {
    for location in [
        "file:///etc/passwd",
        "ftp://127.0.0.1/x",
        "//",
        "/left/-/left-1.0.0.tgz",
    ] {
        let project = project();
        let fault = Fault::Redirect {
            status: 302,
            location: location.to_owned(),
        };
        project.registry.fault(TARBALL, When::Always, fault);
        let said = project.refuse();
        assert!(
            said.contains("ERR_P") && said.contains("left@1.0.0"),
            "{location}: {said}"
        );
        project.assert_store_is_empty(location);
    }
}

#[test]
fn bodies_that_lie_about_their_length_are_found_out() {
    for (fault, code) in [
        (Fault::ContentLengthTooLong(7), "ERR_PNPM_BAD_TARBALL_SIZE"),
        (
            Fault::ContentLengthTooShort(7),
            "ERR_PNPM_TARBALL_INTEGRITY",
        ),
        (Fault::ContentLength(u64::MAX), "ERR_PNPM_FETCH_ERROR"),
        (Fault::UnfinishedChunks, "ERR_PNPM_FETCH_ERROR"),
        (Fault::ResetAfter(20), "ERR_PNPM_"),
        (Fault::CloseAfter(20), "ERR_PNPM_BAD_TARBALL_SIZE"),
        (Fault::Reset, "ERR_PNPM_FETCH_ERROR"),
    ] {
        let project = project();
        let what = format!("{fault:?}");
        project.registry.fault(TARBALL, When::Always, fault);
        let said = project.refuse();
        assert!(said.contains(code), "{what}: {said}");
        assert!(said.contains("left"), "{what}: {said}");
        project.assert_store_is_empty(&what);
    }
}

#[test]
fn what_was_damaged_on_its_way_is_fetched_again() {
    for (when, requests) in [(When::First(2), 3), (When::Always, 3)] {
        let project = project();
        project
            .registry
            .fault(TARBALL, when.clone(), Fault::FlipByte);
        let arguments = ["install", "--ignore-scripts", "--reporter=append-only"];
        if when == When::Always {
            let said = project.fail(&arguments);
            assert!(said.contains("ERR_PNPM_TARBALL_INTEGRITY"), "{said}");
        } else {
            project.succeed(&arguments);
        }
        assert_eq!(project.registry.requests_for(TARBALL).len(), requests);
    }
}

#[test]
fn what_was_compressed_for_the_way_is_what_it_was() {
    for fault in [Fault::CompressedForTheWay, Fault::FalseContentEncoding] {
        let project = project();
        project.registry.fault(TARBALL, When::Always, fault);
        project.succeed(&["install", "--ignore-scripts"]);
        assert_eq!(project.registry.requests_for(TARBALL).len(), 1);
    }
}

#[test]
fn a_server_that_drips_or_hangs_is_given_up_in_time() {
    for fault in [
        Fault::SlowLoris(Duration::from_secs(30)),
        Fault::StallHalfWay,
        Fault::Hang,
    ] {
        let project = project();
        let what = format!("{fault:?}");
        project.registry.fault(TARBALL, When::Always, fault);
        let started = Instant::now();
        let said = project.fail(&[
            "install",
            "--virtual",
            "--ignore-scripts",
            "--fetch-timeout=300",
            "--fetch-retries=1",
        ]);
        assert!(said.contains("ERR_PACQUET_FETCH_STALLED"), "{what}: {said}");
        assert!(started.elapsed() < Duration::from_secs(20), "{what}");
        project.assert_store_is_empty(&what);
    }
}

#[test]
fn answers_have_their_code_and_only_passing_ones_are_asked_for_again() {
    for (status, attempts) in [
        (401, 1),
        (403, 1),
        (404, 1),
        (410, 1),
        (408, 3),
        (429, 3),
        (500, 3),
        (503, 3),
    ] {
        let project = project();
        project
            .registry
            .fault(TARBALL, When::Always, Fault::Status(status));
        let said = project.refuse();
        assert!(said.contains(&format!("ERR_PNPM_FETCH_{status}")), "{said}");
        assert_eq!(
            project.registry.requests_for(TARBALL).len(),
            attempts,
            "{status}"
        );
    }
}

#[test]
fn a_registry_that_asks_for_patience_gets_it() {
    if !can_mount("a_registry_that_asks_for_patience_gets_it") {
        return;
    }
    let project = project();
    let fault = Fault::RetryAfter {
        status: 429,
        seconds: 1,
    };
    project.registry.fault(TARBALL, When::First(1), fault);
    project.install();
    assert_eq!(project.registry.requests_for(TARBALL).len(), 2);
}

#[test]
fn secrets_in_addresses_are_never_shown() {
    let project = project();
    let address = project
        .registry
        .url()
        .replace("http://", "http://user:hunter2@");
    project.write(".npmrc", &format!("registry={address}\n"));
    project
        .registry
        .fault(TARBALL, When::Always, Fault::Status(404));
    let output = project.run(&["install", "--virtual", "--reporter=ndjson"]);
    let said = [output.stdout, output.stderr].concat();
    let said = String::from_utf8_lossy(&said);
    assert!(said.contains("ERR_PNPM_FETCH_404"), "{said}");
    assert!(!said.contains("hunter2"), "{said}");
}

/// Whatever a registry answers to the question which versions there are, what is said tells what to
/// do about it, and nothing is written.
#[test]
fn answers_that_no_registry_gives_are_told_with_what_to_do() {
    let page = |text: &str| Fault::Body {
        content_type: "application/json".to_owned(),
        bytes: text.as_bytes().to_vec(),
    };
    let nowhere = Fault::Redirect {
        status: 302,
        location: "file:///etc/passwd".to_owned(),
    };
    for (fault, code) in [
        (Fault::Status(503), "ERR_PNPM_FETCH_503"),
        (Fault::Status(304), "ERR_PNPM_FETCH_ERROR"),
        (Fault::Status(418), "ERR_PNPM_FETCH_ERROR"),
        (nowhere, "ERR_PACQUET_REDIRECT"),
        (page(""), "ERR_PACQUET_PACKUMENT"),
        (page("[]"), "ERR_PACQUET_PACKUMENT"),
        (page(&"[".repeat(100_000)), "ERR_PACQUET_PACKUMENT"),
        (
            page(r#"{"name":"other"}"#),
            "ERR_PNPM_REGISTRY_NAME_MISMATCH",
        ),
        (page(r#"{"name":"left"}"#), "ERR_PNPM_NO_VERSIONS"),
        (
            page(r#"{"name":"left","versions":{"0.1.0":{"name":"left","version":"0.1.0"}}}"#),
            "ERR_PNPM_NO_MATCHING_VERSION",
        ),
        (
            page(r#"{"name":"left","versions":{"1.0.0":{"version":"2.0.0"}}}"#),
            "ERR_PACQUET_PACKUMENT",
        ),
    ] {
        let project = Project::new();
        let what = format!("{fault:?}");
        project.registry.publish(&left());
        project.registry.fault("/left", When::Always, fault);
        project.write("package.json", r#"{"dependencies":{"left":"1.0.0"}}"#);
        let said = project.fail(&["install", "--no-virtual"]);
        assert!(said.contains(code), "{what}: {said}");
        let is_bare = |hint: &str| hint.trim().is_empty();
        let hints: Vec<&str> = said
            .lines()
            .filter_map(|line| line.strip_prefix("hint:"))
            .collect();
        let may_lack = code.starts_with("ERR_PNPM_NO_");
        assert!(may_lack || !hints.is_empty(), "{what}: {said}");
        assert!(!hints.into_iter().any(is_bare), "{what}: {said}");
        assert!(!project.root().join("pnpm-lock.yaml").exists(), "{what}");
        assert!(!project.node_modules().exists(), "{what}");
    }
}
