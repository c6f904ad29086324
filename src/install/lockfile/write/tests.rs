use super::super::read_lockfile;
use super::emit::{Emitter, Place};
use super::*;

fn emitted(text: &str, place: Place) -> String {
    let mut emitter = Emitter::default();
    emitter.scalar(text, place);
    emitter.out
}

#[test]
fn scalars_are_quoted_as_in_pnpm() {
    for (text, expected) in [
        ("", "''"),
        ("7.4", "'7.4'"),
        ("7.4.0", "7.4.0"),
        ("2.0", "'2.0'"),
        (">=12", "'>=12'"),
        ("*", "'*'"),
        ("@x/y", "'@x/y'"),
        ("^1", "^1"),
        ("~1.2", "~1.2"),
        ("~", "'~'"),
        ("catalog:", "'catalog:'"),
        ("workspace:*", "workspace:*"),
        ("1_000", "'1_000'"),
        ("true", "'true'"),
        ("it's", "it's"),
        ("'it's", "'''it''s'"),
        ("a # b", "'a # b'"),
        ("a#b", "a#b"),
        ("a: b", "'a: b'"),
        ("a:b", "a:b"),
        (" a", "' a'"),
        ("a ", "'a '"),
        ("-a", "'-a'"),
        ("<<", "'<<'"),
        ("<1", "<1"),
        (
            "2024-12-04T21:35:35.147000+00:00",
            "'2024-12-04T21:35:35.147000+00:00'",
        ),
        ("a, b [c] {d}", "a, b [c] {d}"),
        ("a\u{a0}\"b", "\"a\\_\\\"b\""),
        ("a\tb", "\"a\\tb\""),
        ("\u{1f600}é", "\u{1f600}é"),
        ("\u{feff}\u{7f}", "\"\\uFEFF\\x7F\""),
        ("a\nb", "|-\n      a\n      b"),
        ("a\n\nb\n", "|\n      a\n\n      b"),
        ("a\n\n", "|+\n      a\n"),
        (" a\nb", "|2-\n       a\n      b"),
    ] {
        assert_eq!(emitted(text, Place::Block(4)), expected, "{text:?}");
    }
    assert_eq!(emitted("a, b", Place::Flow), "'a, b'");
    assert_eq!(emitted("a\nb", Place::Flow), "\"a\\nb\"");
    assert_eq!(emitted("a\nb", Place::Key), "\"a\\nb\"");
}

const ODD: &str = "\
lockfileVersion: '9.0'

importers:

  .: {}

  packages/+a:
    unknown:
      b: 1
      list:
        - x
        - y: z
          z: []

packages:

  a@https://example.org/a.tgz:
    resolution: {gitHosted: true, path: sub, revision: 2, tarball: https://example.org/a.tgz}
    version: 1.0.0
    engines: {node: '>=4'}
    cpu: [x64]
    os: ['!win32']
    libc: musl
    deprecated: |-
      two
      lines
    hasBin: true
    prepare: true
    peerDependencies:
      '@s/p': '*'
      b: ^1
    peerDependenciesMeta:
      b:
        optional: true
    bundledDependencies:
      - c

  node@runtime:22.0.0:
    resolution:
      type: variations
      variants:
        - resolution:
            archive: tarball
            integrity: sha256-AA==
            type: binary
          targets:
            - cpu: x64
              os: linux

snapshots:

  a@https://example.org/a.tgz:
    id: x
    dependencies:
      b: link:../b
    transitivePeerDependencies:
      - p
    optional: true
    patched: true

  node@runtime:22.0.0: {}

unknown:
  nested:
    deep: true
";

#[test]
fn what_is_seldom_is_kept_and_what_pnpm_does_not_know_of_packages_is_dropped() {
    let known = read_lockfile(ODD).expect("a lockfile");
    assert_eq!(write_lockfile(&known), ODD);
    let (packages, snapshots) = ODD.split_once("\nsnapshots:").expect("two parts");
    let packages = packages.replacen("    hasBin: true\n", "    hasBin: true\n    zzz: {}\n", 1);
    let snapshots = snapshots.replacen("    id: x\n", "    id: x\n    dev: true\n", 1);
    let unknown = format!("{packages}\nsnapshots:{snapshots}");
    assert_ne!(unknown, ODD);
    let unknown = read_lockfile(&unknown).expect("a lockfile");
    assert_eq!(unknown, known);
}

#[test]
fn keys_too_long_for_a_line_are_written_as_such() {
    let name = format!("a@file:{}", "x".repeat(1100));
    let text = format!(
        "lockfileVersion: '9.0'\n\nimporters:\n\n  .: {{}}\n\npackages:\n\n  ? {name}\n  : \
         resolution: {{directory: d, type: directory}}\n    hasBin: true\n\nsnapshots:\n\n  ? \
         {name}\n  : {{}}\n"
    );
    let lockfile = read_lockfile(&text).expect("a lockfile");
    assert_eq!(write_lockfile(&lockfile), text);
}

#[test]
fn order_is_that_of_pnpm_whatever_it_was() {
    let text = "lockfileVersion: '9.0'\nsnapshots:\n  b@1.0.0: {}\n  B@1.0.0: {}\n  '@s/b@1.0.0': \
                {}\npackages:\n  b@1.0.0: {resolution: {integrity: sha512-BB==}}\n  \
                B@1.0.0: {resolution: {integrity: sha512-AA==}}\n  \
                '@s/b@1.0.0': {hasBin: true, resolution: {integrity: sha512-CC==}}\n\
                importers:\n  .: {}\n";
    let written = write_lockfile(&read_lockfile(text).expect("a lockfile"));
    let expected = "lockfileVersion: '9.0'\n\nimporters:\n\n  .: {}\n\npackages:\n\n  \
                    '@s/b@1.0.0':\n    resolution: {integrity: sha512-CC==}\n    hasBin: true\n\n  \
                    B@1.0.0:\n    resolution: {integrity: sha512-AA==}\n\n  b@1.0.0:\n    \
                    resolution: {integrity: sha512-BB==}\n\nsnapshots:\n\n  '@s/b@1.0.0': {}\n\n  \
                    B@1.0.0: {}\n\n  b@1.0.0: {}\n";
    assert_eq!(written, expected);
}
