use super::*;

fn json(node: &Node<'_>) -> serde_json::Value {
    match &node.value {
        Value::Empty => serde_json::Value::Null,
        // Plain scalars are marked, so that it shows what was quoted.
        Value::Plain(text) => format!("={text}").into(),
        Value::Text(text) => text.to_string().into(),
        Value::Sequence(items) => items.iter().map(json).collect(),
        Value::Mapping(entries) => entries
            .iter()
            .map(|entry| (entry.key.to_string(), json(&entry.value)))
            .collect::<serde_json::Map<_, _>>()
            .into(),
    }
}

/// A text, and what it says.
const READ: [(&str, &str); 30] = [
    ("", "null"),
    ("# only a comment\n\n", "null"),
    ("a: b", r#"{"a":"=b"}"#),
    ("a: b # c\n# d\nc: 'd' # e\n", r#"{"a":"=b","c":"d"}"#),
    (
        "a:\n  b:\n    c: 1\n  d: e\nf: g\n",
        r#"{"a":{"b":{"c":"=1"},"d":"=e"},"f":"=g"}"#,
    ),
    ("a:\n- b\n- c\nd: e\n", r#"{"a":["=b","=c"],"d":"=e"}"#),
    (
        "a:\n  - b\n  - c: d\n    e: f\n  -\n    - g\n",
        r#"{"a":["=b",{"c":"=d","e":"=f"},["=g"]]}"#,
    ),
    ("- - a\n  - b\n- c\n", r#"[["=a","=b"],"=c"]"#),
    ("a:\nb:\n", r#"{"a":null,"b":null}"#),
    (
        "? a\n: b\n? 'c'\n:\n  d: e\n? f\n: g: h\n  i: j\n",
        r#"{"a":"=b","c":{"d":"=e"},"f":{"g":"=h","i":"=j"}}"#,
    ),
    (
        "'a b': c\n\"d\\n\": e\n'@x/y@1.0.0': {}\n",
        r#"{"a b":"=c","d\n":"=e","@x/y@1.0.0":{}}"#,
    ),
    (
        "a: {b: c, 'd': [e, \"f\"], g: {}, h: []}\n",
        r#"{"a":{"b":"=c","d":["=e","f"],"g":{},"h":[]}}"#,
    ),
    (
        "a: {\n  b: c, # d\n\n  e: f,\n}\ng: [\n  h,\n  i\n]\n",
        r#"{"a":{"b":"=c","e":"=f"},"g":["=h","=i"]}"#,
    ),
    (
        "a: {\n\tb:\tc,\n\td: e\n}\n",
        r#"{"a":{"b":"=c","d":"=e"}}"#,
    ),
    ("a: {\"b\":c, d: }\n", r#"{"a":{"b":"=c","d":null}}"#),
    (
        "a: [https://x/y:z#w, b:c]\n",
        r#"{"a":["=https://x/y:z#w","=b:c"]}"#,
    ),
    ("a: b:c#d\n", r#"{"a":"=b:c#d"}"#),
    ("a: 'it''s'\n", r#"{"a":"it's"}"#),
    ("a: 'one\n  two\n\n  three'\n", r#"{"a":"one two\nthree"}"#),
    (
        "a: \"one \\\n  two\\x41\\u00e9\\_\\ud83d\\ude00\"\n",
        "{\"a\":\"one twoA\u{e9}\u{a0}\u{1f600}\"}",
    ),
    (
        "a: one\n  two\n\n  three\nb: c\n",
        r#"{"a":"=one two\nthree","b":"=c"}"#,
    ),
    (
        "a: |\n  one\n   two\n\n  three\nb: c\n",
        r#"{"a":"one\n two\n\nthree\n","b":"=c"}"#,
    ),
    ("a: |-\n  one\n\nb: c\n", r#"{"a":"one","b":"=c"}"#),
    ("a: |+\n  one\n\nb: c\n", r#"{"a":"one\n\n","b":"=c"}"#),
    ("a: |2-\n   one\n  two\n", r#"{"a":" one\ntwo"}"#),
    (
        "a: >\n  one\n  two\n\n  three\n",
        r#"{"a":"one two\nthree\n"}"#,
    ),
    (
        "a: >-\n  one\n    two\n  three\n",
        r#"{"a":"one\n  two\nthree"}"#,
    ),
    ("a: |\nb: c\n", r#"{"a":"","b":"=c"}"#),
    (
        "a: -1\nb: -x\nc: ?y\nd: :z\n",
        r#"{"a":"=-1","b":"=-x","c":"=?y","d":"=:z"}"#,
    ),
    ("a: é\nü: 'ß'\n", r#"{"a":"=é","ü":"ß"}"#),
];

#[test]
fn what_lockfiles_use_is_read() {
    for (text, expected) in READ {
        let node = parse(text).unwrap_or_else(|error| panic!("{text:?}: {error:?}"));
        let expected: serde_json::Value = serde_json::from_str(expected).expect(expected);
        assert_eq!(json(&node), expected, "{text:?}");
    }
}

/// A text, and why it is refused.
const REFUSED: [(&str, SyntaxFault); 57] = [
    ("a: &x b\n", SyntaxFault::Anchor),
    ("a: *x\n", SyntaxFault::Anchor),
    ("a: [*x]\n", SyntaxFault::Anchor),
    ("&x a: b\n", SyntaxFault::Anchor),
    ("a: !!str b\n", SyntaxFault::Tag),
    ("!x a: b\n", SyntaxFault::Tag),
    ("%YAML 1.2\n", SyntaxFault::Reserved),
    ("a: @b\n", SyntaxFault::Reserved),
    ("a: `b`\n", SyntaxFault::Reserved),
    ("a: {b: >=1}\n", SyntaxFault::Reserved),
    ("\ta: b\n", SyntaxFault::Tab),
    ("a:\n\tb: c\n", SyntaxFault::Tab),
    ("a: b\tc\n", SyntaxFault::Tab),
    ("a:\tb\n", SyntaxFault::Tab),
    ("a: b\u{0}\n", SyntaxFault::Control),
    ("a: 'b\u{1b}'\n", SyntaxFault::Control),
    ("a: b\rc: d\n", SyntaxFault::Control),
    ("a: b\n---\nc: d\n", SyntaxFault::Document),
    ("a: b\n...\n", SyntaxFault::Document),
    ("a: b\n  c: d\n", SyntaxFault::NestedMapping),
    ("a:\n    b: c\n  d: e\n", SyntaxFault::Indentation),
    ("  a: b\nc: d\n", SyntaxFault::Indentation),
    ("- a\n  - b: c\n", SyntaxFault::NestedMapping),
    ("a: 'b'\n  c: d\n", SyntaxFault::Indentation),
    ("a: 'b' c\n", SyntaxFault::Trailing),
    ("a: {b: c} d\n", SyntaxFault::Trailing),
    ("a: {b: c}: d\n", SyntaxFault::Trailing),
    ("a: b\nc\n", SyntaxFault::KeyWanted),
    ("a: b\n- c\n", SyntaxFault::KeyWanted),
    ("? a\nb: c\n", SyntaxFault::KeyWanted),
    ("a: b: c\n", SyntaxFault::NestedMapping),
    ("a: b:\n", SyntaxFault::NestedMapping),
    ("a: [b: c]\n", SyntaxFault::OtherMapping),
    ("a: {b}\n", SyntaxFault::OtherMapping),
    ("a: {[b]: c}\n", SyntaxFault::OtherMapping),
    ("? [a]\n: b\n", SyntaxFault::OtherMapping),
    ("a:\n  <<: b\n", SyntaxFault::OtherMapping),
    ("a: {<<: b}\n", SyntaxFault::OtherMapping),
    ("a: b\na: c\n", SyntaxFault::DuplicateKey),
    ("a: b\n'a': c\n", SyntaxFault::DuplicateKey),
    ("a: {b: c, b: d}\n", SyntaxFault::DuplicateKey),
    ("a: 'b\n", SyntaxFault::OpenQuote),
    ("a: \"b\\\"\n", SyntaxFault::OpenQuote),
    ("'a: b\n", SyntaxFault::OpenQuote),
    ("a: \"\\q\"\n", SyntaxFault::Escape),
    ("a: \"\\x4\"\n", SyntaxFault::Escape),
    ("a: \"\\ud800\"\n", SyntaxFault::Escape),
    ("a: \"\\ud800\\u0041\"\n", SyntaxFault::Escape),
    ("a: \"\\U00110000\"\n", SyntaxFault::Escape),
    ("a: [b\n", SyntaxFault::OpenFlow),
    ("a: {b: c\n", SyntaxFault::OpenFlow),
    ("a: [b c: d\n", SyntaxFault::OtherMapping),
    ("a: {b: c d: e}\n", SyntaxFault::OpenFlow),
    ("a: {", SyntaxFault::OpenFlow),
    ("a: |x\n  b\n", SyntaxFault::BlockHeader),
    ("a: |++\n  b\n", SyntaxFault::BlockHeader),
    ("a: >0\n  b\n", SyntaxFault::BlockHeader),
];

#[test]
fn the_rest_of_yaml_is_refused_by_name() {
    for (text, fault) in REFUSED {
        assert_eq!(
            parse(text).map_err(|error| error.fault),
            Err(fault),
            "{text:?}"
        );
    }
}

#[test]
fn nesting_has_a_limit() {
    for (open, close) in [("[", "]"), ("{a: ", "}"), ("- ", "")] {
        let nested = |depth: usize| format!("{}b{}", open.repeat(depth), close.repeat(depth));
        assert!(parse(&nested(LOCKFILE_DEPTH_MAX)).is_ok(), "{open}");
        for depth in [LOCKFILE_DEPTH_MAX + 1, 100_000] {
            let text = nested(depth);
            let fault = parse(&text).map_err(|error| error.fault);
            assert_eq!(fault, Err(SyntaxFault::TooDeep), "{open}");
        }
    }
}

#[test]
fn many_keys_are_told_apart() {
    let mut text: String = (0..1000).map(|index| format!("k{index}: v\n")).collect();
    assert!(parse(&text).is_ok());
    text += "k7: v\n";
    let error = parse(&text).expect_err("a duplicate");
    assert_eq!(
        (error.fault, &text[error.at..]),
        (SyntaxFault::DuplicateKey, "k7: v\n")
    );
}

#[test]
fn plain_scalars_have_the_types_of_yaml() {
    for text in ["", "~", "null", "Null", "NULL"] {
        assert_eq!(resolve_plain(text), Plain::Null, "{text:?}");
    }
    for text in [
        "0", "7", "-1", "+1", "1_000", "0b11", "0o17", "0x1F", "7.4", "2.0", "1.", ".5", "1e3",
        "1.5e-3", ".inf", "-.INF", ".nan", "007", "1_0.5", "0_1",
    ] {
        assert_eq!(resolve_plain(text), Plain::Number, "{text:?}");
    }
    for text in [
        "<<",
        "2001-12-14",
        "2024-12-04T21:35:35.147000+00:00",
        "2001-12-14t21:59:43.10-05:00",
        "2001-12-14 21:59:43.10 -5",
        "2001-1-1 1:00:00Z",
    ] {
        assert_eq!(resolve_plain(text), Plain::Special, "{text:?}");
    }
    for text in [
        "7.4.0",
        "1.0.0-rc.1",
        "-",
        "+",
        ".",
        "_1",
        "1_",
        "0b",
        "0x",
        "0o8",
        "1e",
        "1ex",
        "-.5",
        ".nanx",
        "-.nan",
        "2001-12-1",
        "2001-12-14T",
        "2001-12-14T21:59",
        "+x",
        "tRUE",
        "nil",
        "yes",
        "1.0.0",
        "17.0.2(react@17.0.2)",
        "2001-12-14T21:59:43Zx",
        "1:30",
    ] {
        assert_eq!(resolve_plain(text), Plain::Text, "{text:?}");
    }
    assert_eq!(resolve_plain("True"), Plain::Boolean(true));
    assert_eq!(resolve_plain("false"), Plain::Boolean(false));
}
