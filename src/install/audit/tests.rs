use serde_json::{Value, json};

use super::*;
use crate::install::layout::IncludedGroups;
use crate::install::lockfile::read_lockfile;

const LOCKFILE: &str = "lockfileVersion: '9.0'

importers:
  .:
    dependencies:
      a:
        specifier: ^1.0.0
        version: 1.0.0
      d:
        specifier: ^1.0.0
        version: 1.0.0
    devDependencies:
      b:
        specifier: ^1.0.0
        version: 1.0.0
  p/q:
    optionalDependencies:
      c:
        specifier: ^1.0.0
        version: 1.0.0

packages:
  a@1.0.0:
    resolution: {integrity: sha512-AAAA}
  b@1.0.0:
    resolution: {integrity: sha512-AAAA}
  c@1.0.0:
    resolution: {integrity: sha512-AAAA}
  c@2.0.0-beta.1:
    resolution: {integrity: sha512-AAAA}
  d@1.0.0:
    resolution: {integrity: sha512-AAAA}

snapshots:
  a@1.0.0:
    dependencies:
      c: 1.0.0
      d: 1.0.0
  b@1.0.0:
    dependencies:
      c: 2.0.0-beta.1
  c@1.0.0: {}
  c@2.0.0-beta.1: {}
  d@1.0.0:
    dependencies:
      a: 1.0.0
";

fn graph(groups: IncludedGroups) -> AuditGraph {
    let lockfile = read_lockfile(LOCKFILE).expect("a lockfile");
    AuditGraph::new(&lockfile, None, groups).expect("a graph")
}

fn advisory(id: u64, range: &str) -> Value {
    json!({
        "id": id, "severity": "high", "vulnerable_versions": range,
        "url": "https://example.com/advisories/ghsa-AAAA-bbbb-cccc?x"
    })
}

#[test]
fn versions_are_counted_for_what_they_are_there_for() {
    let all = graph(IncludedGroups::ALL);
    let counts = all.counts();
    assert_eq!((counts.production, counts.development), (3, 2));
    assert_eq!((counts.optional, counts.all), (0, 5));
    let production = graph(IncludedGroups {
        development: false,
        ..IncludedGroups::ALL
    });
    assert_eq!(production.request()["c"], ["1.0.0"]);
    assert_eq!(production.counts().all, 3);
}

#[test]
fn findings_are_versions_in_the_range_with_all_ways_to_them() {
    let graph = graph(IncludedGroups::ALL);
    let answer = json!({ "c": [advisory(1, "<2.0.0"), advisory(2, "<1.0.0")], "x": [] });
    let report = Report::new(&answer, &graph).expect("an answer");
    let [one] = report.advisories.as_slice() else {
        panic!("{report:?}");
    };
    let found: Vec<(&str, Vec<&str>, bool)> = one
        .findings
        .iter()
        .map(|one| {
            let paths = one.paths.iter().map(String::as_str).collect();
            (&*one.version, paths, one.is_development)
        })
        .collect();
    assert_eq!(
        found,
        [
            ("1.0.0", vec![".>a>c", ".>d>a>c", "p__q>c"], false),
            ("2.0.0-beta.1", vec![".>b>c"], true)
        ]
    );
    assert_eq!(one.ghsa, "GHSA-aaaa-bbbb-cccc");
    assert_eq!(one.patched, Patched::Since(">=2.0.0".to_owned()));
}

#[test]
fn answers_of_another_form_are_none() {
    let graph = graph(IncludedGroups::ALL);
    for wrong in [json!([]), json!({ "c": {} }), json!({ "c": [{ "id": 1 }] })] {
        assert!(Report::new(&wrong, &graph).is_none(), "{wrong}");
    }
    let odd = json!({ "c": [
        { "id": 1, "severity": "new", "vulnerable_versions": "*" },
        { "severity": "low", "vulnerable_versions": "*" },
        { "id": 2, "severity": "low", "vulnerable_versions": "no range" },
    ] });
    let report = Report::new(&odd, &graph).expect("an answer");
    assert!(report.advisories.is_empty(), "{report:?}");
}

#[test]
fn one_override_is_enough_for_what_it_covers() {
    let graph = graph(IncludedGroups::ALL);
    for (ranges, expected) in [
        (vec!["<1.2.0", "<=1.2.3"], vec![("c@<=1.2.3", "^1.2.4")]),
        (vec!["<1.2.0", "<1.2.0"], vec![("c@<1.2.0", "^1.2.0")]),
        (vec![">=1.0.0"], vec![]),
        (
            vec!["<=1.0.0 || >1.0.1 <2.0.0"],
            vec![("c@<=1.0.0 || >1.0.1 <2.0.0", "^2.0.0")],
        ),
        (
            vec![">=0.5.0 <1.1.0", "<1.0.1"],
            vec![("c@<1.0.1", "^1.0.1"), ("c@>=0.5.0 <1.1.0", "^1.1.0")],
        ),
    ] {
        let list = ranges
            .iter()
            .zip(1..)
            .map(|(range, id)| advisory(id, range));
        let answer = json!({ "c": list.collect::<Vec<_>>() });
        let report = Report::new(&answer, &graph).expect("an answer");
        let found = overrides(&report.advisories, "^");
        let found: Vec<(&str, &str)> = found.iter().map(|(key, to)| (&**key, &**to)).collect();
        assert_eq!(found, expected, "{ranges:?}");
    }
}
