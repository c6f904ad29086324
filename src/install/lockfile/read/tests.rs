use super::super::{Reference, SyntaxFault};
use super::*;
use crate::diagnostic::Diagnostic;

const LOCKFILE: &str = "\
lockfileVersion: '9.0'

importers:

  .:
    dependencies:
      a:
        specifier: ^1.0.0
        version: 1.0.0

packages:

  a@1.0.0:
    resolution: {integrity: sha512-AA==}

snapshots:

  a@1.0.0: {}
";

fn code(text: &str) -> &'static str {
    match read_lockfile(text) {
        Ok(_) => "none",
        Err(error) => error.code(),
    }
}

#[test]
fn unsafe_names_are_refused_wherever_they_stand() {
    let names = [
        "..",
        "../x",
        "a/b",
        "a\\b",
        ".bin",
        ".pnpm",
        ".pacquet",
        "node_modules",
        "@s/..",
        "@/a",
        "@s/.bin",
        "@s/node_modules",
        "a b",
        "é",
        "a%2fb",
        "favicon.ico",
        "@s",
    ];
    for name in names {
        let name = name.replace('\'', "''");
        for text in [
            // A key of packages, of snapshots, and both.
            LOCKFILE.replace("  a@1.0.0:", &format!("  '{name}@1.0.0':")),
            LOCKFILE.replacen("  a@1.0.0: {}", &format!("  '{name}@1.0.0': {{}}"), 1),
            // An alias of a project.
            LOCKFILE.replace("      a:\n", &format!("      '{name}':\n")),
            // What an alias stands for.
            LOCKFILE.replace("version: 1.0.0\n", &format!("version: '{name}@1.0.0'\n")),
            // An alias of a package, and what it stands for.
            LOCKFILE.replace(
                "a@1.0.0: {}",
                &format!("a@1.0.0:\n    dependencies:\n      '{name}': a@1.0.0"),
            ),
            LOCKFILE.replace(
                "a@1.0.0: {}",
                &format!("a@1.0.0:\n    optionalDependencies:\n      b: '{name}@1.0.0'"),
            ),
        ] {
            assert!(text != LOCKFILE);
            let error = read_lockfile(&text).expect_err(&text);
            let is_named = matches!(
                error,
                LockfileError::Name { .. } | LockfileError::DepPath { .. }
            ) || matches!(error, LockfileError::DanglingReference { .. } if name == "a/b");
            assert!(is_named, "{name}: {error}");
        }
    }
}

#[test]
fn projects_outside_of_the_workspace_are_refused() {
    for id in [
        "../a", "a/../b", "/a", "./a", "a//b", "a\\b", "''", "C:a", "..", "a/",
    ] {
        let text = LOCKFILE.replace("  .:", &format!("  {id}:"));
        assert_eq!(code(&text), "ERR_PNPM_INVALID_DEPENDENCY_NAME", "{id}");
    }
    assert_eq!(code(&LOCKFILE.replace("  .:", "  packages/a b:")), "none");
}

#[test]
fn digests_of_patches_may_be_those_of_earlier_lockfiles() {
    let hex = "0123456789abcdef".repeat(4);
    for hash in [hex.as_str(), "abcdefghijklmnopqrstuv2347"] {
        let key = format!("  'a@1.0.0(patch_hash={hash})': {{}}");
        let text = LOCKFILE.replace("  a@1.0.0: {}", &format!("  a@1.0.0: {{}}\n{key}"));
        let lockfile = read_lockfile(&text).expect("both are digests");
        let hashes = lockfile
            .snapshots
            .keys()
            .filter_map(|path| path.patch_hash());
        assert_eq!(hashes.collect::<Vec<_>>(), [hash]);
    }
}

#[test]
fn keys_that_are_none_are_refused() {
    for key in [
        "a",
        "a@",
        "@s/a",
        "a@1.0.0/../x",
        "a@../x",
        "a@.",
        "a@1.0.0 ",
        "a@1.0.0()",
        "a@1.0.0(b@1.0.0",
        "a@1.0.0)",
        "a@1.0.0(b@1.0.0))",
        "a@1.0.0(patch_hash=xyz)",
        "a@1.0.0(patch_hash=)",
        "a@1.0.0(patch_hash=abcdefghijklmnopqrstuvwxy1)",
        "a@github.com/x/y",
        "a@1.0.0\\x",
    ] {
        let text = LOCKFILE.replace("  a@1.0.0: {}", &format!("  '{key}': {{}}"));
        let error = read_lockfile(&text).expect_err(key);
        assert!(
            matches!(error, LockfileError::DepPath { .. }),
            "{key}: {error}"
        );
    }
    // A key of packages has no suffix.
    let text = LOCKFILE.replacen("  a@1.0.0:", "  a@1.0.0(b@1.0.0):", 1);
    assert!(matches!(
        read_lockfile(&text),
        Err(LockfileError::DepPath { line: 13, .. })
    ));
}

#[test]
fn versions_and_forms_that_are_not_known_are_refused() {
    let version = |version: &str| LOCKFILE.replace("'9.0'", version);
    for (text, expected) in [
        (version("'9.7'"), "none"),
        (version("9.0"), "none"),
        (version("'6.0'"), "ERR_PNPM_LOCKFILE_BREAKING_CHANGE"),
        (version("5.4"), "ERR_PNPM_LOCKFILE_BREAKING_CHANGE"),
        (version("'10.0'"), "ERR_PNPM_LOCKFILE_BREAKING_CHANGE"),
        (version("'9'"), "ERR_PNPM_LOCKFILE_BREAKING_CHANGE"),
        (version("'9.x'"), "ERR_PNPM_LOCKFILE_BREAKING_CHANGE"),
        (version("{}"), "ERR_PNPM_BROKEN_LOCKFILE"),
        (
            LOCKFILE.replace("lockfileVersion: '9.0'", ""),
            "ERR_PNPM_BROKEN_LOCKFILE",
        ),
        (
            "{\n\t\"lockfileVersion\": \"13.0\",\n}".to_owned(),
            "ERR_PNPM_LOCKFILE_BREAKING_CHANGE",
        ),
        (String::new(), "ERR_PNPM_NO_LOCKFILE"),
        (
            "\u{feff}\r\n# nothing\r\n".to_owned(),
            "ERR_PNPM_NO_LOCKFILE",
        ),
        (
            "---\nlockfileVersion: '9.0'\n".to_owned(),
            "ERR_PNPM_NO_LOCKFILE",
        ),
        ("[]".to_owned(), "ERR_PNPM_BROKEN_LOCKFILE"),
        (LOCKFILE.replace(": {}", ": {"), "ERR_PNPM_BROKEN_LOCKFILE"),
        (
            LOCKFILE.replace("a@1.0.0: {}", "a@1.0.0: []"),
            "ERR_PNPM_BROKEN_LOCKFILE",
        ),
        (
            LOCKFILE.replace("a@1.0.0: {}", "a@1.0.0:"),
            "ERR_PNPM_BROKEN_LOCKFILE",
        ),
        (
            LOCKFILE.replace("version: 1.0.0", "version: 1.0"),
            "ERR_PNPM_BROKEN_LOCKFILE",
        ),
        (
            LOCKFILE.replace("        version: 1.0.0\n", ""),
            "ERR_PNPM_BROKEN_LOCKFILE",
        ),
        (
            LOCKFILE.replace("specifier: ^1", "spec: ^1"),
            "ERR_PNPM_BROKEN_LOCKFILE",
        ),
    ] {
        assert_eq!(code(&text), expected, "{text}");
    }
    let newer = read_lockfile(&version("'9.7'")).expect("a lockfile");
    let warning = newer.compatibility_warning().expect("a warning");
    assert!(warning.message.contains("9.7"), "{}", warning.message);
    assert_eq!(
        read_lockfile(LOCKFILE)
            .expect("a lockfile")
            .compatibility_warning(),
        None
    );
}

#[test]
fn faults_are_told_of_with_their_line() {
    let environment = "---\nlockfileVersion: '9.0'\n---\n";
    for (text, line) in [
        (
            LOCKFILE.replace("    dependencies:", "    dependencies: &x"),
            6,
        ),
        (
            format!("{environment}{}", LOCKFILE.replace("  .:", "  .: [")),
            9,
        ),
        (LOCKFILE.replace('\n', "\r\n").replace("  .:", "  .: !x"), 5),
    ] {
        let error = read_lockfile(&text).expect_err(&text);
        assert!(
            matches!(error, LockfileError::Syntax { line: found, .. } if found == line),
            "{error}"
        );
    }
    let conflict = LOCKFILE.replace("packages:", "<<<<<<< HEAD\n=======\n>>>>>>> x\npackages:");
    assert_eq!(
        read_lockfile(&conflict).expect_err("a conflict"),
        LockfileError::MergeConflict { line: 11 }
    );
    // Truncated anywhere, it is refused or lacks what it refers to, and never read as whole.
    let whole = read_lockfile(LOCKFILE);
    for end in 0..LOCKFILE.len() - "a@1.0.0: {}\n".len() {
        assert_ne!(read_lockfile(&LOCKFILE[..end]), whole, "{end}");
    }
}

#[test]
fn aliases_cannot_make_a_bomb() {
    let bomb = "a: &a [x, x]\nb: &b [*a, *a]\nc: [*b, *b]\n";
    let error = read_lockfile(&format!("{LOCKFILE}{bomb}")).expect_err("a bomb");
    assert!(matches!(
        error,
        LockfileError::Syntax {
            fault: SyntaxFault::Anchor,
            ..
        }
    ));
}

#[test]
fn registry_keys_must_have_registry_content() {
    let with = |resolution: &str| LOCKFILE.replace("{integrity: sha512-AA==}", resolution);
    let commit = "0123456789012345678901234567890123456789";
    for resolution in [
        "{directory: d, type: directory}".to_owned(),
        format!("{{commit: '{commit}', repo: x, type: git}}"),
        "{integrity: sha512-AA==, tarball: file:x.tgz}".to_owned(),
        "{integrity: sha512-AA==, tarball: x.tgz}".to_owned(),
        "{gitHosted: true, integrity: sha512-AA==, tarball: https://example.org/x.tgz}".to_owned(),
        format!(
            "{{integrity: sha512-AA==, tarball: https://codeload.github.com/o/r/tar.gz/{commit}}}"
        ),
    ] {
        assert_eq!(
            code(&with(&resolution)),
            "ERR_PNPM_RESOLUTION_SHAPE_MISMATCH",
            "{resolution}"
        );
    }
    let elsewhere = with("{integrity: sha512-AA==, tarball: https://example.org/x.tgz}");
    assert_eq!(code(&elsewhere), "none");
}

#[test]
fn only_whole_commits_and_harmless_addresses_pass() {
    let with = |commit: &str, repo: &str| {
        let resolution = format!("{{commit: {commit}, repo: {repo}, type: git}}");
        LOCKFILE
            .replace("{integrity: sha512-AA==}", &resolution)
            .replace("a@1.0.0:", "a@git+https://example.org/a:")
            .replace("version: 1.0.0", "version: git+https://example.org/a")
    };
    let commit = "abcdef0123456789abcdef0123456789abcdef01";
    assert_eq!(code(&with(commit, "https://example.org/a")), "none");
    for commit in [
        "--upload-pack=x",
        "HEAD",
        "abcdef0",
        "''",
        "main",
        "abcdef0123456789abcdef0123456789abcdef0g",
        "abcdef0123456789abcdef0123456789abcdef012",
    ] {
        let expected = "ERR_PNPM_INVALID_GIT_COMMIT";
        assert_eq!(
            code(&with(commit, "https://example.org/a")),
            expected,
            "{commit}"
        );
    }
    for repo in ["--upload-pack=x", "-x", "''", "\"a\\nb\""] {
        assert_eq!(
            code(&with(commit, repo)),
            "ERR_PNPM_BROKEN_LOCKFILE",
            "{repo}"
        );
    }
}

#[test]
fn references_to_nothing_are_refused() {
    for text in [
        LOCKFILE.replace("version: 1.0.0", "version: 1.0.1"),
        LOCKFILE.replace("version: 1.0.0", "version: 1.0.0(b@1.0.0)"),
        LOCKFILE.replace("a@1.0.0: {}", "a@1.0.0:\n    dependencies:\n      b: 1.0.0"),
        LOCKFILE.replace(
            "a@1.0.0: {}",
            "a@1.0.0:\n    optionalDependencies:\n      b: 1.0.0",
        ),
    ] {
        assert_eq!(
            code(&text),
            "ERR_PNPM_LOCKFILE_MISSING_DEPENDENCY",
            "{text}"
        );
    }
    let itself = LOCKFILE.replace("a@1.0.0: {}", "a@1.0.0:\n    dependencies:\n      a: 1.0.0");
    assert_eq!(code(&itself), "none");
}

#[test]
fn what_nobody_depends_on_may_refer_to_nothing() {
    for left_behind in [
        "b@1.0.0: {}",
        "b@1.0.0:\n    dependencies:\n      c: 1.0.0",
        concat!(
            "b@1.0.0:\n    dependencies:\n      c: 1.0.0\n  ",
            "c@1.0.0:\n    dependencies:\n      b: 1.0.0"
        ),
    ] {
        let text = LOCKFILE.replace("a@1.0.0: {}", &format!("a@1.0.0: {{}}\n  {left_behind}"));
        let lockfile = read_lockfile(&text).expect(left_behind);
        assert!(lockfile.leaves_out);
        let rest = Lockfile {
            leaves_out: false,
            ..lockfile
        };
        assert_eq!(rest, read_lockfile(LOCKFILE).expect("a lockfile"));
    }
}

#[test]
fn missing_integrity_is_refused_only_when_asked() {
    let lockfile = read_lockfile(LOCKFILE).expect("a lockfile");
    assert_eq!(check_integrity(&lockfile), Ok(()));
    let text = LOCKFILE.replace(
        "integrity: sha512-AA==",
        "tarball: https://example.org/a.tgz",
    );
    let lockfile = read_lockfile(&text).expect("a lockfile");
    let error = check_integrity(&lockfile).expect_err("no integrity");
    assert_eq!(error.code(), "ERR_PNPM_MISSING_TARBALL_INTEGRITY");
}

#[test]
fn references_are_read_as_pnpm_reads_them() {
    for (alias, text, expected) in [
        ("a", "1.0.0", "a@1.0.0"),
        ("a", "1.0.0(b@2.0.0(c@3.0.0))", "a@1.0.0(b@2.0.0(c@3.0.0))"),
        ("a", "b@1.0.0", "b@1.0.0"),
        ("a", "@s/b@1.0.0", "@s/b@1.0.0"),
        ("@s/a", "1.0.0(@t/c@1.0.0)", "@s/a@1.0.0(@t/c@1.0.0)"),
        ("a", "file:d", "a@file:d"),
        ("a", "b@file:b-1.0.0.tgz", "b@file:b-1.0.0.tgz"),
        (
            "a",
            "git+ssh://git@example.org/a",
            "a@git+ssh://git@example.org/a",
        ),
        (
            "a",
            "https://example.org/@x/a.tgz",
            "a@https://example.org/@x/a.tgz",
        ),
        ("node", "runtime:22.1.0", "node@runtime:22.1.0"),
        ("a", "work:1.0.0", "a@work:1.0.0"),
    ] {
        let alias = crate::name::PackageName::new(alias).expect(alias);
        let reference = Reference::parse(&alias, text).expect(text);
        let Reference::Package(dep_path) = &reference else {
            panic!("{text}");
        };
        assert_eq!(dep_path.as_str(), expected);
        assert_eq!(reference.to_text(&alias), text);
    }
    let alias = crate::name::PackageName::new("a").expect("a name");
    assert_eq!(
        Reference::parse(&alias, "link:../b"),
        Ok(Reference::Link("../b".into()))
    );
}

#[test]
fn a_lockfile_may_be_json() {
    let text = "{\n\t\"lockfileVersion\":\t\"9.0\",\n\"importers\":{\".\":{\"dependencies\":{\"a\":\
                {\"specifier\":\"^1.0.0\",\"version\":\"1.0.0\"}}}},\"packages\":{\"a@1.0.0\":\
                {\"resolution\":{\"integrity\":\"sha512-AA==\"}}},\
                \"snapshots\":{\"a@1.0.0\":{}}}\n";
    assert_eq!(read_lockfile(text), read_lockfile(LOCKFILE));
    let thirteen = text.replace("9.0", "13.0");
    assert_eq!(read_lockfile(&thirteen), Err(LockfileError::FormatThirteen));
    let broken = [
        text.trim_end_matches("}\n").to_owned(),
        format!("{} x", text.trim_end()),
        text.replacen('{', "{\"lockfileVersion\": \"9.0\",", 1),
    ];
    for text in broken {
        assert_eq!(code(&text), "ERR_PNPM_BROKEN_LOCKFILE", "{text}");
    }
}

#[test]
fn a_broken_environment_document_is_refused() {
    let with = |environment: &str| format!("---\n{environment}\n---\n{LOCKFILE}");
    for whole in [
        "lockfileVersion: '7.0'\nunknown: 1\nimporters:\n  .: {}\n",
        "lockfileVersion: '9.0'\nimporters:\n  .:\n    configDependencies: {}\n",
    ] {
        assert_eq!(code(&with(whole)), "none", "{whole}");
    }
    for broken in [
        "",
        "# nothing\n",
        "foo\n",
        "{}",
        "importers: {}\n",
        "lockfileVersion: '9.0'\nimporters: []\n",
        "lockfileVersion: '9.0'\nimporters: [\n",
        "lockfileVersion: '9.0'\npackages: []\n",
        "lockfileVersion: '9.0'\nlockfileVersion: '9.0'\n",
        "lockfileVersion: '9.0'\nimporters:\n  .:\n    configDependencies: x\n",
    ] {
        assert_eq!(code(&with(broken)), "ERR_PNPM_BROKEN_LOCKFILE", "{broken}");
    }
    let line = read_lockfile(&with("lockfileVersion: '9.0'\npackages: []\n"));
    assert!(matches!(line, Err(LockfileError::Shape { line: 3, .. })));
}
