use jiff::Timestamp;
use serde_json::{Value, json};

use super::*;
use crate::diagnostic::Diagnostic;
use crate::install::config::{ResolutionConfig, ResolutionMode, TrustPolicy};
use crate::install::metadata::Packument;
use crate::install::metadata::tests::{entry, packument_of, packument_with};

fn selector(text: &str) -> Selector {
    Selector::parse(text).expect(text)
}

fn preferred(list: &[(&str, u64)]) -> Preferred {
    let mut preferred = Preferred::none();
    for (text, weight) in list {
        preferred.insert(selector(text), *weight);
    }
    preferred
}

fn day(day: i64) -> Timestamp {
    Timestamp::from_second((day - 1) * 86_400).expect("a time")
}

fn chosen(
    packument: &Packument,
    text: &str,
    list: &[(&str, u64)],
    options: &PickOptions,
) -> String {
    match pick(packument, &selector(text), &preferred(list), options) {
        Ok(Some(index)) => packument.version(index).to_owned(),
        Ok(None) => "nothing".to_owned(),
        Err(error) => error.code().to_owned(),
    }
}

#[test]
fn the_highest_is_chosen_unless_latest_is_in_the_range() {
    let versions = ["1.0.0", "1.1.0", "1.2.0", "2.0.0", "2.1.0-rc.1", "3.0.0"];
    let packument = packument_with(
        &versions,
        json!({ "latest": "1.1.0", "next": "2.1.0-rc.1" }),
    );
    for (text, expected) in [
        ("1.0.0", "1.0.0"),
        ("9.0.0", "nothing"),
        ("latest", "1.1.0"),
        ("next", "2.1.0-rc.1"),
        ("none", "nothing"),
        ("^1.0.0", "1.1.0"),
        ("*", "1.1.0"),
        (">=1", "1.1.0"),
        ("^2.0.0", "2.0.0"),
        ("^2.1.0-rc.0", "2.1.0-rc.1"),
        (">=2", "3.0.0"),
        ("^4", "nothing"),
    ] {
        let options = PickOptions::default();
        assert_eq!(chosen(&packument, text, &[], &options), expected, "{text}");
    }
    let only_rc = packument_with(&["1.0.0-rc.1"], json!({ "latest": "1.0.0-rc.1" }));
    assert_eq!(
        chosen(&only_rc, "*", &[], &PickOptions::default()),
        "1.0.0-rc.1"
    );
    assert_eq!(
        chosen(&only_rc, ">=0", &[], &PickOptions::default()),
        "nothing"
    );
}

#[test]
fn the_lowest_is_chosen_on_demand() {
    let versions = ["1.0.0-rc.1", "1.0.0", "1.1.0", "2.0.0"];
    let packument = packument_with(&versions, json!({ "latest": "1.1.0" }));
    let options = PickOptions {
        lowest: true,
        ..PickOptions::default()
    };
    for (text, list, expected) in [
        ("^1.0.0", &[][..], "1.0.0"),
        ("*", &[], "1.0.0-rc.1"),
        ("latest", &[], "1.1.0"),
        ("^1.0.0", &[("1.1.0", 1)], "1.1.0"),
        ("^1.0.0", &[("2.0.0", 1)], "1.0.0"),
    ] {
        assert_eq!(
            chosen(&packument, text, list, &options),
            expected,
            "{text} {list:?}"
        );
    }
}

#[test]
fn preferences_count_by_weight() {
    let versions = ["1.0.0", "1.1.0", "1.2.0", "1.3.0", "2.0.0"];
    let packument = packument_with(&versions, json!({ "latest": "1.2.0", "old": "1.0.0" }));
    let locked = WEIGHT_LOCKED;
    for (text, list, expected) in [
        ("^1.0.0", &[("1.0.0", 1)][..], "1.0.0"),
        ("^1.0.0", &[("1.0.0", 1), ("1.1.0", 1)], "1.1.0"),
        (
            "^1.0.0",
            &[("1.0.0", locked), ("1.1.0", WEIGHT_DIRECT)],
            "1.1.0",
        ),
        ("^1.0.0", &[("2.0.0", locked), ("1.1.0", 1)], "1.1.0"),
        ("^1.0.0", &[("2.0.0", locked)], "1.2.0"),
        ("^1.0.0", &[("9.9.9", locked)], "1.2.0"),
        ("^1.0.0", &[("old", 1)], "1.0.0"),
        ("^1.0.0", &[("~1.1.0", 1)], "1.1.0"),
        ("^1.0.0", &[(">=1.1.0", 1)], "1.2.0"),
        ("^1.0.0", &[("^1.0.0", 1)], "1.2.0"),
        (">=1.3.0", &[("1.0.0", 1)], "2.0.0"),
        ("~1.3.0", &[("~1.0.0", 2), ("1.3.0", 1)], "1.3.0"),
        ("latest", &[("1.0.0", locked)], "1.2.0"),
        ("1.1.0", &[("1.0.0", locked)], "1.1.0"),
    ] {
        let options = PickOptions::default();
        assert_eq!(
            chosen(&packument, text, list, &options),
            expected,
            "{text} {list:?}"
        );
    }
}

#[test]
fn deprecated_versions_are_chosen_last() {
    let deprecated = |version: &str| {
        let mut entry = entry(version);
        entry["deprecated"] = json!("old");
        entry
    };
    let packument = |tags: Value| {
        packument_of(&json!({ "name": "a", "dist-tags": tags, "versions": {
            "1.0.0": entry("1.0.0"), "1.1.0": deprecated("1.1.0"), "2.0.0": deprecated("2.0.0"),
        } }))
    };
    let none = PickOptions::default();
    let without_latest = packument(json!({}));
    assert_eq!(chosen(&without_latest, "^1.0.0", &[], &none), "1.0.0");
    assert_eq!(chosen(&without_latest, "*", &[], &none), "1.0.0");
    assert_eq!(chosen(&without_latest, "^2.0.0", &[], &none), "2.0.0");
    // As long as it is not all that is preferred.
    for (list, expected) in [
        (&[("1.1.0", 1)][..], "1.1.0"),
        (&[("~1", 1)], "1.0.0"),
        (&[("1.1.0", WEIGHT_DIRECT), ("1.0.0", 1)], "1.1.0"),
        (&[("^1.0.0", WEIGHT_DIRECT)], "1.0.0"),
    ] {
        assert_eq!(
            chosen(&without_latest, "^1.0.0", list, &none),
            expected,
            "{list:?}"
        );
    }
    let with_latest = packument(json!({ "latest": "1.1.0" }));
    assert_eq!(chosen(&with_latest, "^1.0.0", &[], &none), "1.0.0");
    assert_eq!(chosen(&with_latest, "~1.1.0", &[], &none), "1.1.0");
    assert_eq!(chosen(&with_latest, "latest", &[], &none), "1.1.0");
}

#[test]
fn young_versions_are_hidden() {
    let versions = ["1.0.0", "1.1.0", "2.0.0-rc.1", "2.0.0", "1.2.0"];
    let tags = json!({ "latest": "2.0.0", "next": "2.0.0-rc.1", "one": "1.2.0" });
    let packument = packument_with(&versions, tags);
    let until = |time: i64, exclude: &[&str]| PickOptions {
        published_by: Some(day(time)),
        published_by_exclude: PackagePatterns::parse(exclude, PatternSetting::ReleaseAge)
            .expect("patterns"),
        ..PickOptions::default()
    };
    for (text, options, expected) in [
        ("*", until(5, &[]), "2.0.0"),
        ("*", until(2, &[]), "1.1.0"),
        ("latest", until(2, &[]), "1.1.0"),
        ("latest", until(1, &[]), "1.0.0"),
        ("one", until(3, &[]), "1.1.0"),
        ("next", until(2, &[]), "2.0.0-rc.1"),
        ("^1.0.0", until(2, &[]), "1.1.0"),
        ("^1.0.0", until(4, &["a"]), "1.2.0"),
        ("^1.0.0", until(1, &["a@1.2.0"]), "1.2.0"),
        ("^1.0.0", until(1, &["a@1.1.0 || 9.0.0"]), "1.1.0"),
        ("^1.0.0", until(1, &["b", "@a/*"]), "1.0.0"),
        ("^1.0.0", until(1, &["*"]), "1.2.0"),
        ("2.0.0", until(1, &[]), "2.0.0"),
        // Nothing that is old enough: the lowest of the others.
        (">=1.1.0", until(1, &[]), "1.1.0"),
        ("^9", until(1, &[]), "nothing"),
    ] {
        assert_eq!(
            chosen(&packument, text, &[], &options),
            expected,
            "{text} {options:?}"
        );
    }
    let index = |version| packument.find(version).expect("the version");
    assert!(is_immature(&packument, index("2.0.0"), &until(2, &[])));
    assert!(!is_immature(&packument, index("2.0.0"), &until(4, &[])));
    assert!(!is_immature(
        &packument,
        index("2.0.0"),
        &until(2, &["a@2.0.0"])
    ));
    assert!(!is_immature(
        &packument,
        index("2.0.0"),
        &PickOptions::default()
    ));
}

#[test]
fn without_times_the_last_change_must_be_old_enough() {
    let at = |modified: Option<&str>| {
        let mut value = json!({ "name": "a", "versions": { "1.0.0": entry("1.0.0") } });
        if let Some(modified) = modified {
            value["modified"] = json!(modified);
        }
        packument_of(&value)
    };
    let options = PickOptions {
        published_by: Some(day(2)),
        ..PickOptions::default()
    };
    let old = at(Some("1970-01-02T00:00:00.000Z"));
    assert_eq!(chosen(&old, "*", &[], &options), "1.0.0");
    for unknown in [None, Some("1970-01-02T00:00:00.001Z"), Some("soon")] {
        assert_eq!(
            chosen(&at(unknown), "*", &[], &options),
            "ERR_PNPM_MISSING_TIME"
        );
    }
}

#[test]
fn packages_without_versions_say_so() {
    let gone = json!({ "name": "a", "time": { "unpublished": { "versions": ["1.0.0"] } } });
    for (value, code) in [
        (json!({ "name": "a" }), "ERR_PNPM_NO_VERSIONS"),
        (
            json!({ "name": "a", "versions": {} }),
            "ERR_PNPM_NO_VERSIONS",
        ),
        (gone, "ERR_PNPM_UNPUBLISHED_PKG"),
    ] {
        assert_eq!(
            chosen(&packument_of(&value), "*", &[], &PickOptions::default()),
            code
        );
    }
}

#[test]
fn latest_may_be_taken_into_account() {
    let packument = packument_with(&["1.0.0", "2.0.0", "3.0.0"], json!({ "latest": "2.0.0" }));
    let options = PickOptions {
        include_latest_tag: true,
        ..PickOptions::default()
    };
    for (text, expected) in [("^1", "2.0.0"), ("^3", "3.0.0"), ("^9", "2.0.0")] {
        assert_eq!(chosen(&packument, text, &[], &options), expected, "{text}");
    }
}

#[test]
fn patterns_with_ranges_are_refused() {
    for pattern in ["a@^1", "a@1.0.0 || latest", "a*@1.0.0"] {
        for (setting, code) in [
            (
                PatternSetting::ReleaseAge,
                "ERR_PNPM_INVALID_MINIMUM_RELEASE_AGE_EXCLUDE",
            ),
            (
                PatternSetting::Trust,
                "ERR_PNPM_INVALID_TRUST_POLICY_EXCLUDE",
            ),
        ] {
            let refusal = PackagePatterns::parse(&[pattern], setting).expect_err(pattern);
            assert_eq!(refusal.code(), code);
        }
    }
}

#[test]
fn what_was_refused_is_not_chosen_again() {
    let versions = ["1.0.0", "1.1.0", "1.2.0", "2.0.0"];
    let packument = packument_with(&versions, json!({ "latest": "1.1.0", "one": "1.2.0" }));
    let index = |version: &&str| packument.find(version).expect("the version");
    for (text, refused, expected) in [
        ("^1.0.0", &["1.1.0"][..], "1.2.0"),
        ("^1.0.0", &["1.1.0", "1.2.0"], "1.0.0"),
        ("one", &["1.2.0"], "1.1.0"),
        ("latest", &["1.1.0"], "2.0.0"),
        ("1.0.0", &["1.0.0"], "nothing"),
        ("^1.0.0", &["1.0.0", "1.1.0", "1.2.0"], "nothing"),
    ] {
        let refused: Vec<_> = refused.iter().map(index).collect();
        let (none, options) = (Preferred::none(), PickOptions::default());
        let chosen = pick_without(&packument, &selector(text), &none, &options, &refused);
        let chosen = chosen
            .expect("a choice")
            .map(|index| packument.version(index));
        assert_eq!(chosen.unwrap_or("nothing"), expected, "{text} {refused:?}");
    }
}

#[test]
fn less_evidence_than_before_is_a_downgrade() {
    let with = |version: &str, has_provenance: bool| {
        let mut entry = entry(version);
        if has_provenance {
            entry["dist"]["attestations"] = json!({ "provenance": {} });
        }
        entry
    };
    let packument = packument_of(&json!({
        "name": "a",
        "versions": {
            "1.0.0": with("1.0.0", false), "1.1.0": with("1.1.0", true),
            "1.2.0": with("1.2.0", false), "1.3.0": with("1.3.0", true),
            "2.0.0-rc.1": with("2.0.0-rc.1", false), "3.0.0": with("3.0.0", false),
        },
        "time": {
            "1.0.0": "1970-01-01", "1.1.0": "1970-01-02", "1.2.0": "1970-01-03",
            "1.3.0": "1970-01-04", "2.0.0-rc.1": "1970-01-05",
        },
    }));
    let check = |version: &str, exclude: &[&str], ignore_after_days: Option<u64>| {
        let config = ResolutionConfig {
            default_tag: "latest".to_owned(),
            mode: ResolutionMode::Highest,
            registry_supports_time_field: false,
            minimum_release_age: None,
            minimum_release_age_is_implied: false,
            minimum_release_age_exclude: Vec::new(),
            minimum_release_age_ignore_missing_time: true,
            minimum_release_age_strict: false,
            trust_policy: TrustPolicy::NoDowngrade,
            minimum_release_age_exclude_prune: false,
            trust_policy_exclude_prune: false,
            trust_policy_exclude: exclude.iter().map(|text| (*text).to_owned()).collect(),
            trust_policy_ignore_after: ignore_after_days
                .map(|days| std::time::Duration::from_secs(days * 86_400)),
        };
        let check = TrustCheck::new(&config, day(10))
            .expect("patterns")
            .expect("a check");
        let index = packument.find(version).expect(version);
        match check.check(&packument, index) {
            Ok(()) => "trusted",
            Err(error) => error.code(),
        }
    };
    for (version, exclude, days, expected) in [
        ("1.0.0", &[][..], None, "trusted"),
        ("1.1.0", &[], None, "trusted"),
        ("1.2.0", &[], None, "ERR_PNPM_TRUST_DOWNGRADE"),
        ("1.3.0", &[], None, "trusted"),
        ("2.0.0-rc.1", &[], None, "ERR_PNPM_TRUST_DOWNGRADE"),
        ("3.0.0", &[], None, "ERR_PNPM_TRUST_CHECK_FAIL"),
        ("1.2.0", &["a"], None, "trusted"),
        ("1.2.0", &["a@1.2.0"], None, "trusted"),
        ("1.2.0", &["a@1.0.0"], None, "ERR_PNPM_TRUST_DOWNGRADE"),
        ("1.2.0", &[], Some(5), "trusted"),
        ("1.2.0", &[], Some(8), "ERR_PNPM_TRUST_DOWNGRADE"),
    ] {
        assert_eq!(
            check(version, exclude, days),
            expected,
            "{version} {exclude:?} {days:?}"
        );
    }
}
