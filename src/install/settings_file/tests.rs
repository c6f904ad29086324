use serde_json::json;

use super::*;

fn file(text: &str) -> SettingsFile {
    SettingsFile {
        path: PathBuf::from("/w/pnpm-workspace.yaml"),
        before: Some(text.to_owned()),
        text: text.to_owned(),
    }
}

#[test]
fn settings_are_put_where_they_belong_and_the_rest_stays() {
    for (text, path, value, expected) in [
        ("", &["a", "b"][..], json!("^1"), "a:\n  b: ^1\n"),
        (
            "# top\npackages:\n  - \".\"\n\n# why\nhoist: true # x\n",
            &["patchedDependencies", "@s/a"],
            json!("p/a.patch"),
            "# top\npackages:\n  - \".\"\n\n# why\nhoist: true # x\n\npatchedDependencies:\n  \
             '@s/a': p/a.patch\n",
        ),
        ("a: 1\nc: 2\n", &["b"], json!(true), "a: 1\nb: true\nc: 2\n"),
        (
            "c: 1\na: 2",
            &["b"],
            json!([1, "x"]),
            "c: 1\na: 2\nb:\n  - 1\n  - x\n",
        ),
        (
            "a: 1 # why\nb: '#' # that\n",
            &["b"],
            json!("y"),
            "a: 1 # why\nb: y # that\n",
        ),
        (
            "overrides:\n    b: 1\n    'd': 2\n\nx: 1\n",
            &["overrides", "c"],
            json!("3"),
            "overrides:\n    b: 1\n    c: '3'\n    'd': 2\n\nx: 1\n",
        ),
        (
            "overrides: {b: 1}\n",
            &["overrides", "a"],
            json!(2),
            "overrides:\n  b: 1\n  a: 2\n",
        ),
        (
            "catalogs:\n  x: {a: 1, b: 2}\n",
            &["catalogs", "x", "a"],
            json!("3"),
            "catalogs:\n  x:\n    a: '3'\n    b: 2\n",
        ),
        (
            "packages:\n- a\n- b\n",
            &["zoo"],
            json!(1),
            "packages:\n- a\n- b\nzoo: 1\n",
        ),
        (
            "overrides:\n",
            &["overrides", "a"],
            json!("1"),
            "overrides:\n  a: '1'\n",
        ),
        (
            "list:\n  # one\n  - a@1 # why\n\n  - 'b'\n# after\nz: 1\n",
            &["list"],
            json!(["a@1 || 2", "b", "c"]),
            "list:\n  # one\n  - a@1 || 2 # why\n\n  - 'b'\n  - c\n# after\nz: 1\n",
        ),
    ] {
        let mut file = file(text);
        assert!(file.set(path, &value).expect(text), "{text}");
        assert_eq!(file.text, expected, "{text}");
        assert!(!file.set(path, &value).expect(text), "{text}");
    }
}

#[test]
fn what_is_removed_leaves_no_empty_map_and_nothing_else_goes() {
    for (text, path, expected) in [
        ("overrides:\n  a: 1\n", &["overrides", "a"][..], ""),
        (
            "overrides:\n  a: 1\n  b: 2\n",
            &["overrides", "a"],
            "overrides:\n  b: 2\n",
        ),
        (
            "overrides: {a: 1, b: 2}\n",
            &["overrides", "a"],
            "overrides:\n  b: 2\n",
        ),
        ("# t\na: 1\n\n# of b\nb: 2\n", &["a"], "# t\n# of b\nb: 2\n"),
        ("a: 1\nb:\n  - c\n  # d\n", &["b"], "a: 1\n"),
    ] {
        let mut file = file(text);
        assert!(file.remove(path).expect(text), "{text}");
        assert_eq!(file.text, expected, "{text}");
        assert!(!file.remove(path).expect(text), "{text}");
    }
}

#[test]
fn what_cannot_be_changed_line_by_line_is_refused() {
    let mut shared = file("a: &x\n  b: 1\nc: *x\n");
    assert!(shared.remove(&["a"]).is_err());
    let mut braces = file("{a: 1, b: 2}\n");
    assert!(braces.remove(&["a"]).is_err());
    let mut fine = file("a: 1\n");
    assert!(fine.set(&["b\n"], &json!(1)).is_err());
    assert!(fine.set(&["b"], &json!("x\u{1b}")).is_err());
}

#[test]
fn a_key_stays_as_it_is_written() {
    for (text, path, value, expected) in [
        (
            "catalog:\n  'a': '^1'\n  \"@s/b\": ^1 # why\n",
            &["catalog", "@s/b"],
            json!("^2"),
            "catalog:\n  'a': '^1'\n  \"@s/b\": ^2 # why\n",
        ),
        (
            "'catalog' :\n  'a': '^1'\n",
            &["catalog", "a"],
            json!("^2"),
            "'catalog' :\n  'a': ^2\n",
        ),
    ] {
        let mut file = file(text);
        assert!(file.set(path, &value).expect("a value"), "{text}");
        assert_eq!(file.text, expected);
    }
}
