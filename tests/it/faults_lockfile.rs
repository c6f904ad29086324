//! Lockfiles and manifests that must be refused, seen from outside: before anything is fetched,
//! and with the lockfile left as it is.

use std::fs;
use std::os::unix::fs::symlink;

use pacquet_test_registry::Package;
use serde_json::{Value, json};

use crate::project::{Project, can_mount};

const NAME: &str = "ERR_PNPM_INVALID_DEPENDENCY_NAME";
const BROKEN: &str = "ERR_PNPM_BROKEN_LOCKFILE";
const MISSING: &str = "ERR_PNPM_LOCKFILE_MISSING_DEPENDENCY";
const SHAPE: &str = "ERR_PNPM_RESOLUTION_SHAPE_MISMATCH";
const VERSION: &str = "ERR_PNPM_LOCKFILE_BREAKING_CHANGE";

fn manifest() -> Value {
    json!({ "name": "app", "version": "1.0.0", "dependencies": { "left": "1.0.0" } })
}

fn packages() -> [Package; 2] {
    [
        Package::new("left", "1.0.0").dependency("deep", "1.0.0"),
        Package::new("deep", "1.0.0").file("index.js", "1"),
    ]
}

fn project() -> Project {
    Project::locked(&manifest(), &packages())
}

fn lockfile(project: &Project) -> String {
    fs::read_to_string(project.root().join("pnpm-lock.yaml")).unwrap()
}

/// Insists that an install of this lockfile fails with one of `code`, asks the network for
/// nothing, and leaves the file and the store alone.
fn refuse(project: &Project, what: &str, text: impl AsRef<[u8]>, code: &str) {
    let path = project.root().join("pnpm-lock.yaml");
    fs::write(&path, &text).unwrap();
    let said = project.refuse();
    assert!(said.contains(code), "{what}: wanted {code} in {said}");
    let unprintable = |letter: char| letter.is_control() && letter != '\n';
    assert!(!said.contains(unprintable), "{what}: {said:?}");
    assert!(project.registry.take_requests().is_empty(), "{what}");
    assert_eq!(fs::read(&path).unwrap(), text.as_ref(), "{what}");
    assert!(
        fs::symlink_metadata(project.node_modules()).is_err(),
        "{what}"
    );
    project.assert_store_is_empty(what);
}

#[test]
fn names_that_are_no_package_names_are_refused_wherever_they_stand() {
    let project = project();
    let text = lockfile(&project);
    for name in [
        "..",
        "../../x",
        "a/b",
        "a\\\\b",
        ".bin",
        ".pnpm",
        ".pacquet",
        "node_modules",
        "",
        "@scope/..",
        "@/x",
        "@scope",
        "a\\u001b[2J",
        "C:x",
        ".modules.yaml",
    ] {
        let alias = text.replace(
            "      deep: 1.0.0",
            &format!("      \"{name}\": deep@1.0.0"),
        );
        assert_ne!(alias, text, "the alias is there");
        refuse(&project, &format!("alias {name}"), alias, "ERR_PNPM_");
        let direct = text.replace("      left:\n", &format!("      \"{name}\":\n"));
        assert_ne!(direct, text, "the direct dependency is there");
        refuse(&project, &format!("direct {name}"), direct, "ERR_PNPM_");
        let key = text.replace("  deep@1.0.0:", &format!("  \"{name}@1.0.0\":"));
        assert_ne!(key, text, "the key is there");
        refuse(&project, &format!("key {name}"), key, "ERR_PNPM_");
        let reference = text.replace("version: 1.0.0", &format!("version: \"{name}@1.0.0\""));
        assert_ne!(reference, text, "the reference is there");
        refuse(
            &project,
            &format!("reference {name}"),
            reference,
            "ERR_PNPM_",
        );
    }
    let alias = text.replace("      deep: 1.0.0", "      ../x: deep@1.0.0");
    refuse(&project, "alias with its code", alias, NAME);
}

#[test]
fn what_is_not_pinned_or_pinned_otherwise_is_refused() {
    let project = project();
    let text = lockfile(&project);
    let at = text.find("  deep@1.0.0:\n    resolution: ").unwrap() + "  deep@1.0.0:\n".len();
    let end = at + text[at..].find('\n').unwrap();
    let resolved = |resolution: &str| {
        format!(
            "{}    resolution: {resolution}{}",
            &text[..at],
            &text[end..]
        )
    };
    let commit = "0123456789012345678901234567890123456789";
    for (what, resolution, code) in [
        ("nothing", "{}", "ERR_PNPM_"),
        (
            "no integrity",
            "{tarball: 'http://127.0.0.1:9/x.tgz'}",
            "ERR_PNPM_MISSING_TARBALL_INTEGRITY",
        ),
        ("empty integrity", "{integrity: ''}", "ERR_P"),
        ("a directory", "{directory: /etc, type: directory}", SHAPE),
        (
            "a directory above",
            "{directory: ../../.., type: directory}",
            SHAPE,
        ),
        (
            "a local archive",
            "{integrity: sha512-AAAA, tarball: 'file:../../x.tgz'}",
            SHAPE,
        ),
        (
            "a repository",
            &format!("{{type: git, repo: 'https://h/r.git', commit: '{commit}'}}"),
            SHAPE,
        ),
        ("an unknown kind", "{type: custom}", "ERR_P"),
    ] {
        refuse(&project, what, resolved(resolution), code);
    }
}

#[test]
fn commits_and_repositories_that_could_be_options_are_refused() {
    let project = project();
    let text = lockfile(&project);
    let key = "deep@git+https://example.com/r.git#0123456789012345678901234567890123456789";
    let git = |repo: &str, commit: &str| {
        let text = text.replace("      deep: 1.0.0", &format!("      deep: {}", &key[5..]));
        let start = text.find("  deep@1.0.0:\n    resolution").unwrap();
        let end = start + text[start..].find("\n\n").unwrap();
        let entry = format!(
            "  {key}:\n    resolution: {{commit: '{commit}', repo: '{repo}', type: git}}\n    \
             version: 1.0.0"
        );
        let text = format!("{}{entry}{}", &text[..start], &text[end..]);
        text.replace("  deep@1.0.0:", &format!("  {key}:"))
    };
    let repo = "https://example.com/r.git";
    for commit in ["--upload-pack=touch x", "", "HEAD", "-x", "0123", "../../x"] {
        let text = git(repo, commit);
        refuse(&project, commit, text, "ERR_PNPM_INVALID_GIT_COMMIT");
    }
    for repo in ["--upload-pack=touch x", "ext::sh -c id", "-x", ""] {
        let text = git(repo, "0123456789012345678901234567890123456789");
        refuse(&project, repo, text, "ERR_P");
    }
}

#[test]
fn runtimes_are_refused_with_what_to_do() {
    let project = project();
    let text = lockfile(&project);
    let text = text.replace("      deep: 1.0.0", "      deep: runtime:22.0.0");
    let start = text.find("  deep@1.0.0:\n    resolution").unwrap();
    let end = start + text[start..].find("\n\n").unwrap();
    let entry = "  deep@runtime:22.0.0:\n    resolution:\n      type: variations\n      \
                 variants: []\n    version: 22.0.0";
    let text = format!("{}{entry}{}", &text[..start], &text[end..]);
    let text = text.replace("  deep@1.0.0:", "  deep@runtime:22.0.0:");
    for said in ["ERR_PNPM_UNSUPPORTED_RESOLUTION_TYPE", "devEngines.runtime"] {
        refuse(&project, "runtime", &text, said);
    }
}

#[test]
fn lockfiles_that_cannot_be_read_are_refused() {
    let project = project();
    let text = lockfile(&project);
    let half = &text[..text.len() / 2];
    let bomb: String = (0..40).fold("a0: &a0 [x, x]\n".to_owned(), |bomb, level| {
        let (name, inner) = (level + 1, level);
        format!("{bomb}a{name}: &a{name} [*a{inner}, *a{inner}]\n")
    });
    let deep = format!("lockfileVersion: '9.0'\nimporters: {}", "[".repeat(100_000));
    let dangling = text.replace("  deep@1.0.0: {}\n", "");
    assert_ne!(dangling, text);
    let stranger = text.replace("      deep: 1.0.0", "      deep: 3.0.0");
    let peers = text.replace("      deep: 1.0.0", "      deep: 1.0.0(left@1.0.0");
    let old = text.replace("'9.0'", "'6.0'");
    let new = text.replace("'9.0'", "'10.0'");
    let no_version = text.replace("lockfileVersion: '9.0'\n", "");
    for (what, text, code) in [
        ("older", old.as_str(), VERSION),
        ("newer", new.as_str(), VERSION),
        ("without a version", no_version.as_str(), "ERR_PNPM_"),
        (
            "conflict",
            "<<<<<<< ours\nlockfileVersion: '9.0'\n=======\n>>>>>>> theirs\n",
            "conflict",
        ),
        ("truncated", half, "ERR_PNPM_"),
        ("empty", "", "ERR_PNPM_NO_LOCKFILE"),
        ("a list", "- a\n", BROKEN),
        ("a scalar", "text", BROKEN),
        ("anchors", bomb.as_str(), BROKEN),
        ("deep", deep.as_str(), BROKEN),
        ("no snapshot", dangling.as_str(), MISSING),
        ("no such version", stranger.as_str(), MISSING),
        ("open parenthesis", peers.as_str(), "ERR_PNPM_"),
        ("JSON", "{\"lockfileVersion\": \"9.0\"", "ERR_PNPM_"),
    ] {
        refuse(&project, what, text, code);
    }
    refuse(
        &project,
        "not UTF-8",
        b"lockfileVersion: '9.0'\n\xff\xfe",
        "ERR_P",
    );
}

#[test]
fn byte_order_marks_carriage_returns_and_cycles_are_fine() {
    if !can_mount("byte_order_marks_carriage_returns_and_cycles_are_fine") {
        return;
    }
    let packages = [
        Package::new("left", "1.0.0").dependency("deep", "1.0.0"),
        Package::new("deep", "1.0.0").dependency("left", "1.0.0"),
    ];
    let project = Project::locked(&manifest(), &packages);
    let text = lockfile(&project);
    let marked = format!("\u{feff}{text}");
    for (what, text) in [("mark", marked), ("CRLF", text.replace('\n', "\r\n"))] {
        project.write("pnpm-lock.yaml", &text);
        project.install();
        let tree = project.tree();
        assert!(
            tree.contains_key(".pnpm/deep@1.0.0/node_modules/left"),
            "{what}"
        );
        assert_eq!(lockfile(&project), text, "{what}");
        project.unmount();
    }
}

/// Manifests and settings that the lockfile does not fit, and what the message shows.
fn drifts() -> Vec<(&'static str, Value, &'static str, &'static str)> {
    vec![
        (
            "added",
            json!({ "dependencies": { "left": "1.0.0", "new": "^2" } }),
            "",
            "new@^2",
        ),
        ("removed", json!({ "dependencies": {} }), "", "left@1.0.0"),
        (
            "changed",
            json!({ "dependencies": { "left": "^1.0.0" } }),
            "",
            "^1.0.0",
        ),
        (
            "moved",
            json!({ "devDependencies": { "left": "1.0.0" } }),
            "",
            "left",
        ),
        (
            "overridden",
            manifest(),
            "overrides:\n  left: 2.0.0\n",
            "2.0.0",
        ),
        (
            "override",
            manifest(),
            "overrides:\n  other: 2.0.0\n",
            "overrides",
        ),
        (
            "patched",
            manifest(),
            "patchedDependencies:\n  left: left.patch\n",
            "patchedDependencies",
        ),
        (
            "extended",
            manifest(),
            "packageExtensions:\n  left:\n    dependencies:\n      x: '1'\n",
            "packageExtensionsChecksum",
        ),
        (
            "ignored",
            manifest(),
            "ignoredOptionalDependencies: [left]\n",
            "ignoredOptionalDependencies",
        ),
        (
            "peers",
            manifest(),
            "autoInstallPeers: false\n",
            "autoInstallPeers",
        ),
        (
            "links",
            manifest(),
            "excludeLinksFromLockfile: true\n",
            "excludeLinksFromLockfile",
        ),
    ]
}

#[test]
fn a_lockfile_that_does_not_fit_says_how_and_changes_nothing() {
    let project = project();
    let text = lockfile(&project);
    let workspace = project.root().join("pnpm-workspace.yaml");
    for (what, manifest, settings, shown) in drifts() {
        project.write("package.json", &manifest.to_string());
        project.write("left.patch", "");
        let _ = fs::remove_file(&workspace);
        if !settings.is_empty() {
            fs::write(&workspace, settings).unwrap();
        }
        let code = match manifest == self::manifest() {
            true => "ERR_PNPM_LOCKFILE_CONFIG_MISMATCH",
            false => "ERR_PNPM_OUTDATED_LOCKFILE",
        };
        refuse(&project, what, &text, code);
        let said = project.refuse();
        assert!(said.contains(shown), "{what}: wanted {shown} in {said}");
    }
}

#[test]
fn overrides_and_catalogs_that_fit_are_no_obstacle() {
    if !can_mount("overrides_and_catalogs_that_fit_are_no_obstacle") {
        return;
    }
    let project = project();
    let text = lockfile(&project);
    let text = text.replace(
        "importers:\n",
        "catalogs:\n  default:\n    left:\n      specifier: 1.0.0\n      version: 1.0.0\n\n\
         overrides:\n  deep: 1.0.0\n  left>deep: 1.0.0\n\nimporters:\n",
    );
    let text = text.replacen(
        "specifier: 1.0.0\n        version",
        "specifier: 'catalog:'\n        version",
        1,
    );
    project.write("pnpm-lock.yaml", &text);
    let manifest = json!({ "name": "app", "dependencies": { "left": "catalog:" } });
    project.write("package.json", &manifest.to_string());
    project.write(
        "pnpm-workspace.yaml",
        "catalog:\n  left: 1.0.0\n  unused: ^3\noverrides:\n  deep: 1.0.0\n  left>deep: 1.0.0\n",
    );
    project.install();
    project.unmount();
    project.write("pnpm-workspace.yaml", "catalog:\n  left: 1.1.0\n");
    assert!(
        project
            .refuse()
            .contains("ERR_PNPM_LOCKFILE_CONFIG_MISMATCH")
    );
}

#[test]
fn manifests_with_names_that_are_none_are_refused() {
    let project = project();
    let long = "n".repeat(300);
    for name in [
        "..",
        "../x",
        ".bin",
        "",
        "a/b",
        "@s/..",
        "a\u{1b}[2J",
        "node_modules",
        &long,
    ] {
        let manifest = json!({ "dependencies": { name: "1.0.0" } });
        project.write("package.json", &manifest.to_string());
        let said = project.refuse();
        assert!(said.contains("ERR_PNPM_"), "{name:?}: {said}");
        assert!(!said.contains('\u{1b}'), "{name:?}: {said:?}");
    }
    for (text, code) in [
        ("{", "ERR_PNPM_JSON_PARSE"),
        ("[]", "ERR_PNPM_INVALID_PACKAGE_JSON"),
        ("{\"dependencies\": []}", "ERR_PNPM_INVALID_PACKAGE_JSON"),
        (
            "{\"dependencies\": {\"a\": 1}}",
            "ERR_PNPM_INVALID_PACKAGE_JSON",
        ),
    ] {
        project.write("package.json", text);
        assert!(project.refuse().contains(code), "{text}");
    }
    assert!(project.registry.take_requests().is_empty());
}

#[test]
fn names_that_only_look_dangerous_are_served() {
    if !can_mount("names_that_only_look_dangerous_are_served") {
        return;
    }
    let long = "n".repeat(214);
    let names = [
        "__proto__",
        "constructor",
        "JSONStream",
        "toString",
        long.as_str(),
    ];
    let mut dependencies = serde_json::Map::new();
    for name in names {
        dependencies.insert(name.to_owned(), json!("1.0.0"));
    }
    let manifest = json!({ "name": "app", "dependencies": dependencies });
    let packages = names.map(|name| Package::new(name, "1.0.0").file("index.js", name));
    let project = Project::locked(&manifest, &packages);
    project.install();
    for name in names {
        let content = fs::read_to_string(project.node_modules().join(name).join("index.js"));
        assert_eq!(content.unwrap(), name);
    }
}

#[test]
fn of_two_commands_of_one_name_one_wins_every_time() {
    if !can_mount("of_two_commands_of_one_name_one_wins_every_time") {
        return;
    }
    let tool = |name: &str| {
        let script = format!("#!/bin/sh\necho {name}\n");
        Package::new(name, "1.0.0")
            .bin("tool", "cli.sh")
            .executable("cli.sh", script)
    };
    let packages = [
        tool("beta").dependency("inner", "1.0.0"),
        tool("alpha"),
        tool("inner"),
        tool("tool"),
    ];
    let manifest = json!({ "name": "app", "dependencies": { "beta": "1.0.0", "alpha": "1.0.0" } });
    let project = Project::locked(&manifest, &packages);
    let run = || {
        let output = project.run(&["install", "--virtual", "--ignore-scripts"]);
        assert!(output.status.success());
        let warned = [output.stdout, output.stderr].concat();
        let command = project.node_modules().join(".bin/tool");
        let output = std::process::Command::new(command).output().unwrap();
        (
            String::from_utf8(warned).unwrap(),
            String::from_utf8(output.stdout).unwrap(),
        )
    };
    let (warned, winner) = run();
    assert!(warned.contains("ERR_PACQUET_BIN_CONFLICT"), "{warned}");
    assert!(
        winner == "alpha\n" || winner == "beta\n",
        "a direct dependency wins: {winner}"
    );
    for _ in 0..2 {
        project.forget_everything();
        assert_eq!(run().1, winner);
    }
}

#[test]
fn archives_and_directories_that_changed_since_they_were_locked_are_refused() {
    let test = "archives_and_directories_that_changed_since_they_were_locked_are_refused";
    if !can_mount(test) {
        return;
    }
    let archive = Package::new("archive", "1.0.0")
        .file("index.js", "1\n")
        .build();
    let dependency = Package::new("dependency", "1.2.0");
    let project = Project::new();
    project.registry.publish(&dependency);
    project.write(
        "package.json",
        r#"{"name": "app", "dependencies": {"archive": "file:./a.tgz", "local": "file:./local"}}"#,
    );
    let directory = |dependencies: &str| {
        let text = format!(r#"{{"name": "local", "version": "1.0.0", {dependencies}}}"#);
        project.write("local/package.json", &text);
    };
    let lockfile = format!(
        "lockfileVersion: '9.0'\n\nsettings:\n  autoInstallPeers: true\n  \
         excludeLinksFromLockfile: false\n\nimporters:\n\n  .:\n    dependencies:\n      \
         archive:\n        specifier: file:./a.tgz\n        version: file:a.tgz\n      \
         local:\n        specifier: file:./local\n        version: file:local\n\npackages:\n\n  \
         archive@file:a.tgz:\n    resolution: {{integrity: {}, tarball: file:a.tgz}}\n    \
         version: 1.0.0\n\n  dependency@1.2.0:\n    resolution: {{integrity: {}}}\n\n  \
         local@file:local:\n    resolution: {{directory: local, type: directory}}\n\n\
         snapshots:\n\n  archive@file:a.tgz: {{}}\n\n  dependency@1.2.0: {{}}\n\n  \
         local@file:local:\n    \
         dependencies:\n      dependency: 1.2.0\n",
        archive.integrity,
        dependency.build().integrity,
    );
    project.write("pnpm-lock.yaml", &lockfile);
    fs::write(project.root().join("a.tgz"), &archive.tarball).unwrap();
    directory(r#""dependencies": {"dependency": "^1.0.0"}"#);
    project.install();
    project.unmount();
    for (what, dependencies) in [
        (
            "another range",
            r#""dependencies": {"dependency": "^2.0.0"}"#,
        ),
        (
            "one more",
            r#""dependencies": {"dependency": "1.2.0", "more": "1.0.0"}"#,
        ),
        ("none", r#""keywords": []"#),
        ("a peer", r#""peerDependencies": {"dependency": "1"}"#),
    ] {
        directory(dependencies);
        let said = project.refuse();
        assert!(
            said.contains("ERR_PNPM_OUTDATED_LOCKFILE"),
            "{what}: {said}"
        );
        assert!(said.contains("local/package.json"), "{what}: {said}");
    }
    directory(r#""dependencies": {"dependency": "1"}, "devDependencies": {"more": "1.0.0"}"#);
    project.install();
    project.unmount();
    let other = Package::new("archive", "1.0.0")
        .file("index.js", "2\n")
        .build();
    fs::write(project.root().join("a.tgz"), &other.tarball).unwrap();
    let said = project.refuse();
    assert!(said.contains("ERR_PNPM_TARBALL_INTEGRITY"), "{said}");
    fs::write(project.root().join("a.tgz"), &archive.tarball).unwrap();
    project.install();
    project.unmount();
}

/// Written anew, a lockfile is as one would be written today; what says the same stays.
#[test]
fn lockfiles_that_fit_are_written_again_only_where_they_would_be_written_otherwise() {
    let packages = [
        Package::new("left", "1.0.0").dependency("deep", "1.0.0"),
        Package::new("deep", "1.0.0"),
        Package::new("right", "1.0.0"),
    ];
    let project = Project::locked(&manifest(), &packages);
    let text = lockfile(&project);
    let commented = format!("# by hand\n{text}");
    let later = text.replace("'9.0'", "'9.1'");
    // As merges leave it behind: nothing depends on it, and a part of it is missing.
    let merged = text.replace("snapshots:\n", "snapshots:\n\n  gone@1.0.0: {}\n");
    let (marked, windows) = (format!("\u{feff}{text}"), text.replace('\n', "\r\n"));
    for (before, expected) in [
        (&marked, &marked),
        (&windows, &windows),
        (&commented, &text),
        (&later, &text),
        (&merged, &merged),
    ] {
        project.write("pnpm-lock.yaml", before);
        project.succeed(&["install", "--lockfile-only"]);
        assert_eq!(lockfile(&project), *expected);
    }
    project.write("pnpm-lock.yaml", &merged);
    project.succeed(&["add", "right", "--lockfile-only"]);
    let written = lockfile(&project);
    assert!(written.contains("\n  right@1.0.0: {}\n"), "{written}");
    assert!(!written.contains("gone@1.0.0"), "{written}");
}

#[test]
fn a_manifest_without_end_is_refused() {
    for target in ["/dev/zero", "."] {
        let project = Project::new();
        symlink(target, project.root().join("package.json")).unwrap();
        for command in [&["install"][..], &["add", "deep"], &["run", "build"]] {
            let said = project.fail(command);
            assert!(
                said.contains("ERR_PACQUET_MANIFEST_READ"),
                "{target}: {said}"
            );
            assert!(said.contains("hint:"), "{target}: {said}");
        }
    }
}
