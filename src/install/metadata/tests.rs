use serde_json::{Value, json};

use super::document;
use super::image::{Image, Validators};
use super::packument::Origin;
use super::packuments::{PackumentFault, read_packument};
use super::*;
use crate::diagnostic::Diagnostic;
use crate::install::registry::Url;
use crate::name::PackageName;

fn name(text: &str) -> PackageName {
    PackageName::new(text).expect(text)
}

fn image(text: &str) -> Result<Image, String> {
    let read = read_packument(text.as_bytes(), &name("a"), &Validators::default());
    read.map_err(|fault| format!("{fault:?}"))
}

fn packument_from(text: &str, registry: &str) -> Result<Packument, String> {
    let origin = Origin {
        name: name("a"),
        registry: Url::parse(registry).expect(registry),
        form: Form::Full,
    };
    let path = "/does/not/exist".into();
    Ok(Packument::new(origin, image(text)?, path, None))
}

/// The packument `value` of the package `a`.
pub(crate) fn packument_of(value: &Value) -> Packument {
    packument_from(&value.to_string(), "https://r.test/").expect("a packument")
}

/// A packument of `a` with these versions, published one a day from the first of January 1970 on.
pub(crate) fn packument_with(versions: &[&str], tags: Value) -> Packument {
    let time: serde_json::Map<String, Value> = versions
        .iter()
        .enumerate()
        .map(|(day, version)| {
            let time = format!("1970-01-{:02}T00:00:00.000Z", day + 1);
            ((*version).to_owned(), json!(time))
        })
        .collect();
    let entries: serde_json::Map<String, Value> = versions
        .iter()
        .map(|version| ((*version).to_owned(), entry(version)))
        .collect();
    packument_of(&json!({ "name": "a", "dist-tags": tags, "versions": entries, "time": time }))
}

/// What stands in `versions` for a version.
pub(crate) fn entry(version: &str) -> Value {
    json!({
        "name": "a",
        "version": version,
        "dist": { "tarball": format!("https://r.test/a/-/a-{version}.tgz") },
    })
}

fn manifest_of(fields: Value) -> Result<std::sync::Arc<VersionManifest>, MetadataError> {
    let mut entry = entry("1.0.0");
    let object = entry.as_object_mut().expect("an object");
    for (key, value) in fields.as_object().expect("fields") {
        object.insert(key.clone(), value.clone());
    }
    let packument = packument_of(&json!({ "name": "a", "versions": { "1.0.0": entry } }));
    packument.manifest(packument.find("1.0.0").expect("the version"))
}

#[test]
fn versions_are_in_order_and_found() {
    let versions = [
        "10.0.0",
        "1.0.0-rc.1",
        "2.0.0",
        "1.0.0",
        "not-one",
        "0.1.0",
        "1.0.0+b",
    ];
    let packument = packument_with(&versions, json!({ "latest": "2.0.0", "old": "0.0.9" }));
    let texts: Vec<&str> = packument.versions().map(|(_, text)| text).collect();
    let expected = [
        "0.1.0",
        "1.0.0-rc.1",
        "1.0.0",
        "1.0.0+b",
        "2.0.0",
        "10.0.0",
        "not-one",
    ];
    assert_eq!(texts, expected);
    assert_eq!(packument.ordered().count(), 6);
    for version in versions {
        let index = packument.find(version).expect(version);
        assert_eq!(packument.version(index), version);
        let manifest = packument.manifest(index).expect(version);
        assert_eq!(&*manifest.version, version);
    }
    for absent in ["3.0.0", "1.0.0+c", "none", ""] {
        assert_eq!(packument.find(absent), None, "{absent}");
    }
    assert_eq!(packument.dist_tag("latest"), Some("2.0.0"));
    assert_eq!(packument.dist_tag("old"), Some("0.0.9"));
    assert_eq!(packument.dist_tag("none"), None);
    let first = packument.find("10.0.0").expect("the version");
    assert_eq!(packument.time(first).map(|time| time.as_second()), Some(0));
}

#[test]
fn what_is_no_packument_is_refused() {
    let deep = format!("{}1{}", "[".repeat(10_000), "]".repeat(10_000));
    for (text, reason) in [
        (String::new(), "EOF"),
        ("<html>".to_owned(), "expected value"),
        ("[]".to_owned(), "a packument"),
        ("{}".to_owned(), "no name"),
        (r#"{"name":"b"}"#.to_owned(), "OtherName(\"b\")"),
        (r#"{"name":1}"#.to_owned(), "a string"),
        (r#"{"name":"a"} x"#.to_owned(), "trailing"),
        (r#"{"name":"a","name":"a"}"#.to_owned(), "duplicate field"),
        (
            r#"{"name":"a","versions":{},"versions":{}}"#.to_owned(),
            "duplicate field",
        ),
        (
            r#"{"name":"a","dist-tags":{},"dist-tags":{}}"#.to_owned(),
            "duplicate field",
        ),
        (
            r#"{"name":"a","versions":{"1.0.0":{},"1.0.0":{}}}"#.to_owned(),
            "version is there twice",
        ),
        (
            r#"{"name":"a","versions":{"x":{},"1.0.0":{},"x":{}}}"#.to_owned(),
            "there twice",
        ),
        (
            r#"{"name":"a","dist-tags":{"l":"1","l":"2"}}"#.to_owned(),
            "a tag is there twice",
        ),
        (
            r#"{"name":"a","time":{"1":"","1":""}}"#.to_owned(),
            "a time is there twice",
        ),
        (
            r#"{"name":"a","dist-tags":{"latest":1}}"#.to_owned(),
            "a string",
        ),
        (
            r#"{"name":"a","dist-tags":[]}"#.to_owned(),
            "an object of tags",
        ),
        (
            r#"{"name":"a","versions":{"1.0.0":1}}"#.to_owned(),
            "a manifest",
        ),
        (
            r#"{"name":"a","versions":["1.0.0"]}"#.to_owned(),
            "an object of versions",
        ),
        (
            format!(r#"{{"name":"a","versions":{deep}}}"#),
            "an object of versions",
        ),
    ] {
        let refusal = image(&text).expect_err(&text);
        assert!(refusal.contains(reason), "{text}: {refusal}");
    }
    assert!(image("{\"name\":\"a\",\"x\":\"\u{fffd}\"}").is_ok());
    let bytes = b"{\"name\":\"a\",\"x\":\"\xff\"}";
    let refusal = read_packument(bytes, &name("a"), &Validators::default());
    let refusal = refusal.expect_err("no UTF-8");
    assert!(matches!(refusal, PackumentFault::Refused(reason) if reason.contains("UTF-8")));
}

#[test]
fn depth_is_harmless_wherever_it_is() {
    let deep = format!("{}1{}", "[".repeat(100_000), "]".repeat(100_000));
    let dist = r#""dist":{"tarball":"https://r.test/a.tgz"}"#;
    for field in [
        "readme",
        "bin",
        "engines",
        "bundledDependencies",
        "deprecated",
        "os",
    ] {
        let entry = format!(r#"{{"version":"1.0.0",{dist},"{field}":{deep}}}"#);
        let text = format!(r#"{{"name":"a","x":{deep},"versions":{{"1.0.0":{entry}}}}}"#);
        let packument = packument_from(&text, "https://r.test/").expect(field);
        let index = packument.find("1.0.0").expect("the version");
        assert!(packument.manifest(index).is_ok(), "{field}");
    }
    let entry = format!(r#"{{"version":{deep},{dist}}}"#);
    let text = format!(r#"{{"name":"a","versions":{{"1.0.0":{entry}}}}}"#);
    let packument = packument_from(&text, "https://r.test/").expect("an index");
    let index = packument.find("1.0.0").expect("the version");
    let refusal = packument.manifest(index).expect_err("no version");
    assert_eq!(refusal.code(), "ERR_PACQUET_PACKUMENT");
}

#[test]
fn manifests_that_cannot_be_trusted_are_refused() {
    let dist = |dist: Value| json!({ "dist": dist });
    for (fields, code) in [
        (json!({ "version": 1 }), "ERR_PACQUET_PACKUMENT"),
        (json!({ "version": "2.0.0" }), "ERR_PACQUET_PACKUMENT"),
        (json!({ "version": null }), "ERR_PACQUET_PACKUMENT"),
        (json!({ "dist": null }), "ERR_PACQUET_PACKUMENT"),
        (dist(json!({})), "ERR_PACQUET_PACKUMENT"),
        (dist(json!({ "tarball": 1 })), "ERR_PACQUET_PACKUMENT"),
        (
            dist(json!({ "tarball": "file:///etc/passwd" })),
            "ERR_PACQUET_TARBALL_URL",
        ),
        (
            dist(json!({ "tarball": "a-1.0.0.tgz" })),
            "ERR_PACQUET_TARBALL_URL",
        ),
        (
            dist(json!({ "tarball": "http://r.test/a.tgz" })),
            "ERR_PACQUET_TARBALL_URL",
        ),
        (
            dist(json!({ "tarball": "https://u:p@r.test/a.tgz" })),
            "ERR_PACQUET_TARBALL_URL",
        ),
        (
            dist(json!({ "tarball": "https://r.test/a", "integrity": "sha512-AAAA" })),
            "ERR_PNPM_INVALID_TARBALL_INTEGRITY",
        ),
        (
            dist(json!({ "tarball": "https://r.test/a", "integrity": "sha999-AAAA" })),
            "ERR_PNPM_INVALID_TARBALL_INTEGRITY",
        ),
        (
            dist(json!({ "tarball": "https://r.test/a", "shasum": "xyz" })),
            "ERR_PNPM_INVALID_TARBALL_INTEGRITY",
        ),
        (
            json!({ "dependencies": { "../x": "1" } }),
            "ERR_PNPM_INVALID_DEPENDENCY_NAME",
        ),
        (
            json!({ "dependencies": { "node_modules": "1" } }),
            "ERR_PNPM_INVALID_DEPENDENCY_NAME",
        ),
        (
            json!({ "optionalDependencies": { "": "1" } }),
            "ERR_PNPM_INVALID_DEPENDENCY_NAME",
        ),
        (
            json!({ "peerDependencies": { "a b": "1" } }),
            "ERR_PNPM_INVALID_DEPENDENCY_NAME",
        ),
    ] {
        let refusal = manifest_of(fields.clone()).expect_err(&fields.to_string());
        assert_eq!(refusal.code(), code, "{fields}: {refusal}");
        assert!(!refusal.to_string().contains("u:p"), "{refusal}");
    }
    for twice in [
        r#""version":"1.0.0","version":"1.0.0""#,
        r#""version":"1.0.0","dependencies":{"b":"1","b":"2"}"#,
        r#""version":"1.0.0","dependencies":{},"dependencies":{}"#,
        r#""version":"1.0.0","dist":{"tarball":"https://r.test/a","tarball":"https://r.test/b"}"#,
    ] {
        let text = format!(r#"{{"name":"a","versions":{{"1.0.0":{{{twice}}}}}}}"#);
        let packument = packument_from(&text, "https://r.test/").expect("an index");
        let index = packument.find("1.0.0").expect("the version");
        assert!(packument.manifest(index).is_err(), "{twice}");
    }
}

#[test]
fn odd_manifests_of_old_packages_are_read() {
    let manifest = manifest_of(json!({
        "dependencies": { "b": "^1", "__proto__": "1", "JSONStream": "*", "odd": 1, "list": [] },
        "optionalDependencies": [],
        "peerDependencies": null,
        "peerDependenciesMeta": { "p": { "optional": true }, "q": {}, "r": true },
        "engines": ["node >= 0.2.0"],
        "os": "linux",
        "cpu": ["x64", 1],
        "libc": "musl",
        "bin": { "x": "y" },
        "deprecated": false,
        "bundleDependencies": ["b", 2],
        "bundledDependencies": null,
        "hasInstallScript": "yes",
        "directories": "none",
    }));
    let manifest = manifest.expect("a manifest");
    let names: Vec<&str> = manifest
        .dependencies
        .keys()
        .map(PackageName::as_str)
        .collect();
    assert_eq!(names, ["b", "__proto__", "JSONStream"]);
    assert!(manifest.optional_dependencies.is_empty());
    let optional: Vec<bool> = manifest.peer_dependencies_meta.values().copied().collect();
    assert_eq!(optional, [true, false, false]);
    assert!(manifest.engines.is_empty());
    assert_eq!(manifest.platforms.os, None);
    assert_eq!(manifest.platforms.cpu, Some(vec!["x64".into()]));
    assert_eq!(manifest.platforms.libc, Some(vec!["musl".into()]));
    assert!(manifest.platforms.libc_is_scalar);
    assert!(manifest.has_bin && !manifest.has_install_script);
    assert_eq!(manifest.deprecated, None);
    assert_eq!(manifest.bundled, Bundled::Names(vec!["b".into()]));
    for (fields, has_bin) in [
        (json!({ "bin": "x.js" }), true),
        (json!({ "bin": "" }), false),
        (json!({ "bin": {} }), false),
        (json!({ "bin": true }), false),
        (json!({ "directories": { "bin": "./bin" } }), true),
        (json!({ "directories": { "lib": "./lib" } }), false),
    ] {
        assert_eq!(
            manifest_of(fields.clone()).expect("read").has_bin,
            has_bin,
            "{fields}"
        );
    }
    let all = manifest_of(json!({ "bundledDependencies": true, "deprecated": "gone" }));
    let all = all.expect("a manifest");
    assert_eq!(
        (&all.bundled, all.deprecated.as_deref()),
        (&Bundled::All, Some("gone"))
    );
}

#[test]
fn an_integrity_is_what_the_registry_has_best() {
    let sha1 = "0000000000000000000000000000000000000001";
    let integrity = |dist: Value| {
        let mut dist = dist;
        dist["tarball"] = json!("https://r.test/a.tgz");
        let manifest = manifest_of(json!({ "dist": dist })).expect("a manifest");
        manifest
            .dist
            .as_ref()
            .and_then(|dist| dist.integrity.clone())
    };
    let strong = format!("sha512-{}==", "A".repeat(86));
    let both = json!({ "integrity": strong, "shasum": sha1 });
    assert_eq!(integrity(both).as_deref(), Some(strong.as_str()));
    let weak = "sha1-AAAAAAAAAAAAAAAAAAAAAAAAAAE=";
    assert_eq!(integrity(json!({ "shasum": sha1 })).as_deref(), Some(weak));
    assert_eq!(
        integrity(json!({ "integrity": "", "shasum": sha1 })).as_deref(),
        Some(weak)
    );
    let several = json!({ "integrity": format!("{weak}  {strong}") });
    assert_eq!(
        integrity(several).as_deref(),
        Some(format!("{strong} {weak}").as_str())
    );
    assert_eq!(integrity(json!({})), None);
}

#[test]
fn evidence_of_origin_is_told_from_the_full_form() {
    let provenance = json!({ "attestations": { "provenance": { "predicateType": "x" } } });
    let publisher = json!({ "trustedPublisher": { "id": "x", "oidcConfigId": "y" } });
    for (user, dist, expected) in [
        (json!({}), json!({}), TrustEvidence::None),
        (publisher.clone(), json!({}), TrustEvidence::None),
        (json!({}), provenance.clone(), TrustEvidence::Provenance),
        (publisher, provenance, TrustEvidence::TrustedPublisher),
        (
            json!({ "approver": {} }),
            json!({}),
            TrustEvidence::StagedPublish,
        ),
        (
            json!("text"),
            json!({ "attestations": [] }),
            TrustEvidence::None,
        ),
    ] {
        let entry = json!({ "version": "1.0.0", "_npmUser": user, "dist": dist });
        let packument = packument_of(&json!({ "name": "a", "versions": { "1.0.0": entry } }));
        let index = packument.find("1.0.0").expect("the version");
        assert_eq!(packument.trust(index), expected, "{entry}");
    }
}

#[test]
fn an_image_with_any_byte_changed_is_no_image_or_says_the_same() {
    let value = json!({
        "name": "a", "dist-tags": { "latest": "2.0.0" }, "modified": "2020-01-01T00:00:00.000Z",
        "versions": { "1.0.0": entry("1.0.0"), "2.0.0": entry("2.0.0") },
    });
    let text = value.to_string();
    let draft = document::read(&text).expect("a draft");
    let validators = Validators {
        etag: Some("\"x\"".into()),
        last_modified: None,
    };
    let whole = Image::build(&draft, &validators).expect("an image");
    assert_eq!(whole.validators(), validators);
    let bytes = whole.bytes().to_vec();
    let total = bytes.len() as u64;
    for position in 0..bytes.len() {
        for change in [1, 0x80, 0xff] {
            let mut changed = bytes.clone();
            changed[position] ^= change;
            let Some(image) = Image::open(changed, total) else {
                continue;
            };
            // Then it is a manifest that changed, and its checksum tells.
            let records = (0..image.version_count()).filter_map(|index| image.record(index));
            let damaged = records.filter(|record| {
                let json = image.manifest(record).expect("in memory");
                crc32fast::hash(json) != record.checksum
            });
            assert_eq!(damaged.count(), 1, "byte {position}");
        }
    }
    for length in 0..bytes.len() {
        assert!(
            Image::open(bytes[..length].to_vec(), length as u64).is_none(),
            "{length}"
        );
    }
    assert!(Image::open(bytes, total).is_some());
}

#[test]
fn times_have_the_words_of_the_registry() {
    let text = "2026-10-23T07:04:16+00:00";
    let packument = packument_of(&json!({
        "name": "a", "versions": { "1.0.0": entry("1.0.0") }, "time": { "1.0.0": text },
    }));
    let version = packument.find("1.0.0").expect("the version");
    assert_eq!(packument.time_text(version).as_deref(), Some(text));
}
