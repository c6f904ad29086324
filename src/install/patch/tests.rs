use super::*;

const INDEX: &str = "one\ntwo\nthree\nfour\nfive\n";

fn package() -> Vec<PackageFile> {
    [
        ("index.js", INDEX),
        ("LICENSE", "MIT\n"),
        ("crlf.js", "a\r\nb\r\nc\r\n"),
        ("open.js", "x\ny"),
    ]
    .map(|(path, content)| PackageFile {
        path: RelativePath::new(path).expect("a path"),
        executable: false,
        content: content.as_bytes().to_vec(),
    })
    .into()
}

fn patched(patch: &str) -> Result<Vec<PackageFile>, PatchError> {
    let mut files = package();
    apply_patch(&mut files, patch.as_bytes()).map(|()| files)
}

/// The content of `path` after `patch`.
fn content(patch: &str, path: &str) -> Option<String> {
    let files = patched(patch).expect("a patch that applies");
    let file = files.into_iter().find(|file| file.path.as_str() == path)?;
    Some(String::from_utf8(file.content).expect("text"))
}

fn edit(path: &str, hunks: &str) -> String {
    format!("diff --git a/{path} b/{path}\nindex 1..2 100644\n--- a/{path}\n+++ b/{path}\n{hunks}")
}

#[test]
fn hunks_apply_where_they_fit() {
    for (hunk, expected) in [
        (
            "@@ -2,3 +2,3 @@ text\n two\n-three\n+3\n four\n",
            "one\ntwo\n3\nfour\nfive\n",
        ),
        // Moved, with the nearest place first.
        (
            "@@ -9,3 +9,3 @@\n two\n-three\n+3\n four\n",
            "one\ntwo\n3\nfour\nfive\n",
        ),
        (
            "@@ -23,3 +23,3 @@\n three\n-four\n+4\n five\n",
            "one\ntwo\nthree\n4\nfive\n",
        ),
        // White space at the end of lines.
        (
            "@@ -1,2 +1,2 @@\n one  \n-two\t\n+2\n",
            "one\n2\nthree\nfour\nfive\n",
        ),
        // No context.
        ("@@ -3 +3,0 @@\n-three\n", "one\ntwo\nfour\nfive\n"),
        (
            "@@ -3,0 +4 @@\n+new\n",
            "one\ntwo\nthree\nnew\nfour\nfive\n",
        ),
        (
            "@@ -5,0 +6 @@\n+six\n",
            "one\ntwo\nthree\nfour\nfive\nsix\n",
        ),
        // Two hunks.
        (
            "@@ -1,1 +1,2 @@\n one\n+1.5\n@@ -5 +6 @@\n-five\n+5\n",
            "one\n1.5\ntwo\nthree\nfour\n5\n",
        ),
        // The end of the file.
        (
            "@@ -5 +5 @@\n-five\n+5\n\\ No newline at end of file\n",
            "one\ntwo\nthree\nfour\n5",
        ),
        // Applied already.
        ("@@ -2,2 +2,2 @@\n two\n-drei\n+three\n", INDEX),
    ] {
        assert_eq!(
            content(&edit("index.js", hunk), "index.js").as_deref(),
            Some(expected)
        );
        let crlf = edit("index.js", hunk).replace('\n', "\r\n");
        assert_eq!(content(&crlf, "index.js").as_deref(), Some(expected));
    }
}

#[test]
fn the_line_feed_at_the_end_follows_the_patch() {
    let no_newline = "\\ No newline at end of file\n";
    let added = edit("open.js", &format!("@@ -2 +2 @@\n-y\n{no_newline}+y\n"));
    assert_eq!(content(&added, "open.js").as_deref(), Some("x\ny\n"));
    let kept = edit(
        "open.js",
        &format!("@@ -2 +2 @@\n-y\n{no_newline}+z\n{no_newline}"),
    );
    assert_eq!(content(&kept, "open.js").as_deref(), Some("x\nz"));
}

#[test]
fn lines_with_carriage_returns_stay_as_they_are() {
    let patch = edit("crlf.js", "@@ -1,3 +1,3 @@\n a\n-b\n+B\n c\n");
    assert_eq!(content(&patch, "crlf.js").as_deref(), Some("a\r\nB\nc\r\n"));
}

#[test]
fn files_are_created_deleted_renamed_and_made_executable() {
    let create = "diff --git a/new/x b/new/x\nnew file mode 100755\n--- /dev/null\n+++ b/new/x\n\
                  @@ -0,0 +1 @@\n+hello\n\\ No newline at end of file\n";
    let files = patched(create).expect("a patch");
    let file = files.last().expect("a file");
    assert_eq!((file.path.as_str(), file.executable), ("new/x", true));
    assert_eq!(file.content, b"hello");

    let empty = "diff --git a/e b/e\nnew file mode 100644\nindex 0..1\n";
    assert_eq!(content(empty, "e").as_deref(), Some(""));

    let delete = "diff --git a/LICENSE b/LICENSE\ndeleted file mode 100644\n--- a/LICENSE\n\
                  +++ /dev/null\n@@ -1 +0,0 @@\n-MIT\n";
    assert_eq!(content(delete, "LICENSE"), None);
    let gone = delete.replace("LICENSE", "GONE");
    assert_eq!(patched(&gone).expect("a patch"), package());

    let rename = "diff --git a/LICENSE b/COPYING\nsimilarity index 100%\nrename from LICENSE\n\
                  rename to COPYING\n";
    assert_eq!(content(rename, "COPYING").as_deref(), Some("MIT\n"));
    assert_eq!(content(rename, "LICENSE"), None);
    let both = format!("{rename}--- a/LICENSE\n+++ b/COPYING\n@@ -1 +1 @@\n-MIT\n+BSD\n");
    assert_eq!(content(&both, "COPYING").as_deref(), Some("BSD\n"));

    let mode = "diff --git a/index.js b/index.js\nold mode 100644\nnew mode 100755\n";
    assert!(patched(mode).expect("a patch")[0].executable);

    let quoted = "diff --git \"a/\\303\\251 1\" \"b/\\303\\251 1\"\nnew file mode 100644\n\
                  --- /dev/null\n+++ \"b/\\303\\251 1\"\n@@ -0,0 +1 @@\n+e\n";
    assert_eq!(content(quoted, "é 1").as_deref(), Some("e\n"));

    let mail = format!(
        "Hello\n\n{}-- \n2.39.0\n",
        edit("index.js", "@@ -1 +1 @@\n-one\n+1\n")
    );
    assert!(
        content(&mail, "index.js")
            .expect("a file")
            .starts_with("1\n")
    );
}

/// Patches that are none, or do not fit, and the code of the refusal.
fn refused_patches() -> Vec<(String, &'static str)> {
    let existing = "diff --git a/index.js b/index.js\nnew file mode 100644\n--- /dev/null\n\
                    +++ b/index.js\n@@ -0,0 +1 @@\n+x\n";
    let partial = "diff --git a/index.js b/index.js\ndeleted file mode 100644\n--- a/index.js\n\
                   +++ /dev/null\n@@ -1,2 +0,0 @@\n-one\n-two\n";
    let over = "diff --git a/LICENSE b/index.js\nrename from LICENSE\nrename to index.js\n";
    let mut refused = vec![
        (
            edit("index.js", "@@ -1,2 +1,2 @@\n one\n-zwei\n+2\n"),
            "ERR_PNPM_PATCH_FAILED",
        ),
        (
            edit("index.js", "@@ -1,2 +1,2 @@\n  one\n-two\n+2\n"),
            "ERR_PNPM_PATCH_FAILED",
        ),
        (
            edit("index.js", "@@ -24,2 +24,2 @@\n two\n-three\n+3\n"),
            "ERR_PNPM_PATCH_FAILED",
        ),
        (
            edit("nope.js", "@@ -1 +1 @@\n-one\n+1\n"),
            "ERR_PNPM_PATCH_FAILED",
        ),
        (existing.to_owned(), "ERR_PNPM_PATCH_FAILED"),
        (partial.to_owned(), "ERR_PNPM_PATCH_FAILED"),
        (over.to_owned(), "ERR_PNPM_PATCH_FAILED"),
        (over.replace("LICENSE", "NOPE"), "ERR_PNPM_PATCH_FAILED"),
        (over.replace("rename", "copy"), "ERR_PNPM_INVALID_PATCH"),
        (
            edit("../x", "@@ -1 +1 @@\n-one\n+1\n"),
            "ERR_PNPM_PATCH_FAILED",
        ),
        (
            edit("/x", "@@ -1 +1 @@\n-one\n+1\n"),
            "ERR_PNPM_PATCH_FAILED",
        ),
        (
            edit("a/../../x", "@@ -1 +1 @@\n-one\n+1\n"),
            "ERR_PNPM_PATCH_FAILED",
        ),
        (
            edit("x\\y", "@@ -1 +1 @@\n-one\n+1\n"),
            "ERR_PNPM_PATCH_FAILED",
        ),
        (
            "diff --git a/l b/l\nnew file mode 120000\n--- /dev/null\n+++ b/l\n@@ -0,0 +1 @@\n+x\n"
                .to_owned(),
            "ERR_PNPM_PATCH_FAILED",
        ),
        (
            "diff --git a/x b/x\nnew file mode 100644\nBinary files /dev/null and b/x differ\n"
                .to_owned(),
            "ERR_PNPM_PATCH_FAILED",
        ),
    ];
    refused.extend(malformed_patches());
    refused
}

/// Texts that are no patches by the format.
fn malformed_patches() -> Vec<(String, &'static str)> {
    vec![
        (String::new(), "ERR_PNPM_INVALID_PATCH"),
        ("garbage\n".to_owned(), "ERR_PNPM_INVALID_PATCH"),
        (
            "--- index.js\n+++ index.js\n@@ -1 +1 @@\n-one\n+1\n".to_owned(),
            "ERR_PNPM_INVALID_PATCH",
        ),
        (
            edit("index.js", "@@ -1,3 +1,2 @@\n one\n-two\n"),
            "ERR_PNPM_INVALID_PATCH",
        ),
        (
            edit("index.js", "@@ -1,1 +1,1 @@\n-one\n+1\n two\n"),
            "ERR_PNPM_INVALID_PATCH",
        ),
        (
            edit("index.js", "@@ -1,9 +1,9 @@\n one\n*two\n"),
            "ERR_PNPM_INVALID_PATCH",
        ),
        (
            edit("index.js", "@@ -x +1 @@\n-one\n+1\n"),
            "ERR_PNPM_INVALID_PATCH",
        ),
        (
            edit("index.js", "@@ -1,-1 +1 @@\n-one\n+1\n"),
            "ERR_PNPM_INVALID_PATCH",
        ),
        (
            edit(
                "index.js",
                "@@ -4 +4 @@\n-four\n+4\n@@ -1 +1 @@\n-one\n+1\n",
            ),
            "ERR_PNPM_INVALID_PATCH",
        ),
    ]
}

#[test]
fn patches_that_do_not_fit_are_refused() {
    for (patch, code) in refused_patches() {
        let mut files = package();
        let error = apply_patch(&mut files, patch.as_bytes()).expect_err(&patch);
        assert_eq!(error.code(), code, "{patch}\n{error}");
        assert_eq!(files, package(), "{patch}");
    }
}

#[test]
fn the_most_exact_key_wins() {
    let keys = [
        "a", "a@1.0.0", "a@^1.2.0", "b@1 || 2", "b@^2.1.0", "@s/a@*", "ab@1.0.0",
    ];
    for (name, version, expected) in [
        ("a", "1.0.0", Some("a@1.0.0")),
        ("a", "1.2.5", Some("a@^1.2.0")),
        ("a", "3.0.0", Some("a")),
        ("b", "1.0.0", Some("b@1 || 2")),
        ("b", "3.0.0", None),
        ("@s/a", "9.0.0", Some("@s/a@*")),
        ("c", "1.0.0", None),
    ] {
        assert_eq!(
            patch_key(keys, name, version),
            Ok(expected),
            "{name}@{version}"
        );
    }
    let conflict = patch_key(keys, "b", "2.1.0").expect_err("two ranges");
    assert_eq!(conflict.code(), "ERR_PNPM_PATCH_KEY_CONFLICT");
    let range = patch_key(["a@latest"], "a", "1.0.0").expect_err("a tag");
    assert_eq!(range.code(), "ERR_PNPM_PATCH_NON_SEMVER_RANGE");
}

/// Lines of patches, whole and broken.
const LINES: &str = "(diff --git a/index.js b/index.js\n|--- a/index.js\n|\\+\\+\\+ b/index.js\n|\
                     @@ -[0-9]{1,2},[0-9] \\+[0-9],[0-9] @@\n|[ +\\\\-](one|two|three)\n|\
                     rename from index.js\n|\n){0,12}";

proptest::proptest! {
    #[test]
    fn no_patch_makes_it_panic(text in LINES) {
        let _ = patched(&text);
    }
}
