//! `import`: the versions of other installers' lockfiles become those of a pnpm-lock.yaml.

use std::fs;

use pacquet_test_registry::Package;

use crate::project::{Project, tree};

const YARN: &str = "# yarn lockfile v1\n\n\n";
const BERRY: &str = "__metadata:\n  version: 8\n  cacheKey: 10c0\n\n";

/// `left` and `deep` in three versions each, and a project that takes any first of them.
fn project() -> Project {
    let project = Project::new();
    for version in ["1.0.0", "1.1.0", "1.2.0"] {
        let left = Package::new("left", version).dependency("@s/deep", "^1.0.0");
        project.registry.publish(&left);
        project.registry.publish(&Package::new("@s/deep", version));
    }
    project.write(
        "package.json",
        r#"{"name":"app","version":"1.0.0","dependencies":{"left":"^1.0.0"}}"#,
    );
    project
}

fn lockfile(project: &Project) -> String {
    fs::read_to_string(project.root().join("pnpm-lock.yaml")).unwrap_or_default()
}

/// Keys of `packages`.
fn locked(project: &Project) -> Vec<String> {
    let text = lockfile(project);
    let packages = text.split("\npackages:\n").nth(1).unwrap_or_default();
    let packages = packages.split("\nsnapshots:\n").next().unwrap_or_default();
    let keys = packages.lines().filter_map(|line| {
        let key = line.strip_prefix("  ")?.strip_suffix(':')?;
        (!key.starts_with(' ')).then(|| key.trim_matches('\'').to_owned())
    });
    keys.collect()
}

/// `left` 1.1.0 and `@s/deep` 1.0.0, as every installer writes it.
fn sources() -> Vec<(&'static str, String)> {
    let packages = r#"{"":{"name":"app"},"node_modules/left":{"version":"1.1.0"},
        "node_modules/left/node_modules/@s/deep":{"version":"1.0.0"}}"#;
    let three = format!(r#"{{"lockfileVersion":3,"packages":{packages}}}"#);
    let tree = r#"{"left":{"version":"1.1.0","requires":{"@s/deep":"^1.0.0"},
        "dependencies":{"@s/deep":{"version":"1.0.0"}}}}"#;
    vec![
        ("package-lock.json", three.clone()),
        ("npm-shrinkwrap.json", three),
        (
            "package-lock.json",
            format!(r#"{{"lockfileVersion":2,"packages":{{}},"dependencies":{tree}}}"#),
        ),
        (
            "package-lock.json",
            format!(r#"{{"lockfileVersion":1,"dependencies":{tree}}}"#),
        ),
        (
            "yarn.lock",
            format!(
                "{YARN}\"@s/deep@^1.0.0\":\n  version \"1.0.0\"\n  resolved \"x#y\"\n\n\
                 left@1.x, left@^1.0.0:\n  version \"1.1.0\"\n  dependencies:\n    \
                 \"@s/deep\" \"^1.0.0\"\n"
            ),
        ),
        (
            "yarn.lock",
            format!(
                "{BERRY}\"@s/deep@npm:^1.0.0\":\n  version: 1.0.0\n\n\"app@workspace:.\":\n  \
                 version: 0.0.0-use.local\n\n\"left@npm:1.x, left@npm:^1.0.0\":\n  version: \
                 1.1.0\n  dependencies:\n    \"@s/deep\": \"npm:^1.0.0\"\n"
            ),
        ),
        (
            "bun.lock",
            "{\n  \"lockfileVersion\": 1, // text\n  \"packages\": {\n    \"left\": \
             [\"left@1.1.0\", \"\", { \"dependencies\": { \"@s/deep\": \"^1.0.0\", }, }, \"\"],\n \
             \"left/@s/deep\": [\"@s/deep@1.0.0\", \"\", {}, \"\"],\n  },\n}\n"
                .to_owned(),
        ),
    ]
}

#[test]
fn versions_of_every_lockfile_are_kept_and_can_be_installed() {
    for (name, text) in sources() {
        let project = project();
        project.write(name, &text);
        project.succeed(&["import"]);
        assert_eq!(locked(&project), ["@s/deep@1.0.0", "left@1.1.0"], "{name}");
        assert!(!project.node_modules().exists(), "{name}");
        let kept = fs::read_to_string(project.root().join(name)).unwrap();
        assert_eq!(kept, text, "{name}");
        project.succeed(&["install", "--no-virtual", "--frozen-lockfile"]);
        assert!(project.node_modules().join(".pnpm/left@1.1.0").exists());
    }
}

#[test]
fn ranges_of_the_manifest_decide_what_is_eligible() {
    let project = project();
    let (name, text) = &sources()[0];
    project.write(name, text);
    project.write(
        "package.json",
        r#"{"name":"app","version":"1.0.0","dependencies":{"left":"^1.1.1"}}"#,
    );
    project.succeed(&["import"]);
    assert_eq!(locked(&project), ["@s/deep@1.0.0", "left@1.2.0"]);
}

#[test]
fn a_version_that_a_level_above_has_goes_before_other_pinned_ones() {
    let project = project();
    let manifest = r#"{"name":"app","dependencies":{"left":"1.0.0","@s/deep":"1.0.0"}}"#;
    project.write("package.json", manifest);
    let own = "\"@s/deep@1.0.0\":\n  version \"1.0.0\"\n";
    let other = "\"@s/deep@^1.0.0\":\n  version \"1.1.0\"\n";
    project.write("yarn.lock", &format!("{YARN}{own}\n{other}"));
    project.succeed(&["import"]);
    assert_eq!(locked(&project), ["@s/deep@1.0.0", "left@1.0.0"]);
}

#[test]
fn a_missing_peer_is_one_that_is_chosen_and_else_a_pinned_one() {
    let project = project();
    let host = Package::new("host", "1.0.0").optional_peer_dependency("left", "*");
    project.registry.publish(&host);
    let user = Package::new("user", "1.0.0").dependency("left", "1.0.0");
    project.registry.publish(&user);
    let of_left = "left@1.0.0:\n  version \"1.0.0\"\n\nleft@^1.0.0:\n  version \"1.1.0\"\n";
    project.write("yarn.lock", &format!("{YARN}{of_left}"));
    for (dependencies, left) in [
        (r#"{"host":"1.0.0"}"#, "left@1.1.0"),
        (r#"{"host":"1.0.0","user":"1.0.0"}"#, "left@1.0.0"),
    ] {
        let manifest = format!(r#"{{"name":"app","dependencies":{dependencies}}}"#);
        project.write("package.json", &manifest);
        project.succeed(&["import"]);
        let locked = locked(&project);
        let found: Vec<_> = locked
            .iter()
            .filter(|key| key.starts_with("left@"))
            .collect();
        assert_eq!(found, [left], "{dependencies}");
    }
}

#[test]
fn a_dist_tag_is_asked_for_unless_bun_has_pinned_it() {
    let project = project();
    let manifest = r#"{"name":"app","dependencies":{"@s/deep":"latest"}}"#;
    project.write("package.json", manifest);
    project.write("bun.lock", r#"{"packages":{"@s/deep":["@s/deep@1.1.0"]}}"#);
    project.succeed(&["import"]);
    assert_eq!(locked(&project), ["@s/deep@1.1.0"]);
    assert!(lockfile(&project).contains("specifier: latest"));
    let of_yarn = "\"@s/deep@latest\":\n  version \"1.1.0\"\n";
    project.write("yarn.lock", &format!("{YARN}{of_yarn}"));
    project.succeed(&["import"]);
    assert_eq!(locked(&project), ["@s/deep@1.2.0"]);
}

#[test]
fn a_lockfile_that_is_there_counts_for_nothing_and_is_replaced() {
    let project = project();
    project.succeed(&["install", "--lockfile-only"]);
    assert_eq!(locked(&project), ["@s/deep@1.2.0", "left@1.2.0"]);
    let (name, text) = &sources()[0];
    project.write(name, text);
    project.succeed(&["import"]);
    assert_eq!(locked(&project), ["@s/deep@1.0.0", "left@1.1.0"]);
    project.write("pnpm-lock.yaml", "not: [a lockfile");
    project.succeed(&["import"]);
    assert_eq!(locked(&project), ["@s/deep@1.0.0", "left@1.1.0"]);
}

#[test]
fn of_several_lockfiles_the_first_in_order_counts() {
    let project = project();
    let of_npm = |version: &str| {
        let package = format!(r#""node_modules/left":{{"version":"{version}"}}"#);
        format!(r#"{{"lockfileVersion":3,"packages":{{"":{{}},{package}}}}}"#)
    };
    let of_bun = r#"{"packages":{"left":["left@1.2.0"]}}"#;
    let of_yarn = format!("{YARN}left@^1.0.0:\n  version \"1.0.0\"\n");
    for (name, text, expected) in [
        ("bun.lock", of_bun.to_owned(), "left@1.2.0"),
        ("npm-shrinkwrap.json", of_npm("1.1.0"), "left@1.1.0"),
        ("package-lock.json", of_npm("1.0.0"), "left@1.0.0"),
        ("package-lock.json", of_npm("1.2.0"), "left@1.2.0"),
        ("yarn.lock", of_yarn, "left@1.0.0"),
    ] {
        project.write(name, &text);
        project.succeed(&["import"]);
        let locked = locked(&project);
        assert!(locked.contains(&expected.to_owned()), "{name}: {locked:?}");
    }
}

#[test]
fn every_project_of_a_workspace_is_imported_with_a_yarn_lock_of_its_own_before_the_roots() {
    let project = project();
    project.write("pnpm-workspace.yaml", "packages:\n  - a\n  - b\n");
    let manifest = r#"{"name":"one","version":"1.0.0","dependencies":{"@s/deep":"^1.0.0"}}"#;
    project.write("a/package.json", manifest);
    project.write("b/package.json", &manifest.replace("one", "two"));
    project.write(
        "yarn.lock",
        &format!(
            "{YARN}\"@s/deep@^1.0.0\":\n  version \"1.0.0\"\n\nleft@^1.0.0:\n  version \"1.0.0\"\n"
        ),
    );
    project.write(
        "b/yarn.lock",
        &format!("{YARN}\"@s/deep@^1.0.0\":\n  version \"1.1.0\"\n"),
    );
    project.succeed(&["import"]);
    assert_eq!(
        locked(&project),
        ["@s/deep@1.0.0", "@s/deep@1.1.0", "left@1.0.0"]
    );
    let text = lockfile(&project);
    let of_b = text.split("\n  b:\n").nth(1).unwrap();
    let version = of_b.lines().find(|line| line.contains("version:"));
    assert_eq!(version.unwrap().trim(), "version: 1.1.0", "{text}");
    // Where the command is run there must be a lockfile.
    let said = project.fail(&["-C", "a", "import"]);
    assert!(said.contains("ERR_PNPM_LOCKFILE_NOT_FOUND"), "{said}");
}

#[test]
fn workspaces_that_only_npm_knows_are_told_of() {
    let project = project();
    let (name, text) = &sources()[0];
    project.write(name, text);
    project.write(
        "package.json",
        r#"{"name":"app","workspaces":["a"],"dependencies":{"left":"^1.0.0"}}"#,
    );
    let output = project.run(&["import"]);
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{said}");
    assert!(said.contains("pnpm-workspace.yaml"), "{said}");
}

#[test]
fn without_a_lockfile_there_is_nothing_to_import() {
    let project = project();
    let said = project.fail(&["import"]);
    assert!(said.contains("ERR_PNPM_LOCKFILE_NOT_FOUND"), "{said}");
    assert!(said.contains("hint:"), "{said}");
    project.write("bun.lockb", "#!/usr/bin/env bun\nbun-lockfile-format-v0\n");
    let said = project.fail(&["import"]);
    assert!(said.contains("ERR_PNPM_LOCKFILE_NOT_FOUND"), "{said}");
    assert!(said.contains("--save-text-lockfile"), "{said}");
    assert!(project.registry.take_requests().is_empty());
}

const BROKEN: &str = "ERR_PNPM_BROKEN_LOCKFILE";
const BROKEN_YARN: &str = "ERR_PNPM_YARN_LOCKFILE_PARSE_FAILED";
const UNSAFE: &str = "ERR_PNPM_INVALID_DEPENDENCY_NAME";

/// Contents that are refused, with the code.
type Cases = Vec<(&'static str, String, &'static str)>;

/// Half of each lockfile, and each with a conflict. Half of a berry's is one.
fn damaged() -> Cases {
    let mut cases = Cases::new();
    for (name, text) in sources() {
        let code = if name == "yarn.lock" {
            BROKEN_YARN
        } else {
            BROKEN
        };
        let conflict = format!("<<<<<<< HEAD\n{text}\n=======\n{text}\n>>>>>>> other\n");
        cases.push((name, conflict, code));
        if !text.starts_with(BERRY) {
            let end = text.rfind("1.0.0\"").unwrap() + 2;
            cases.push((name, text[..end].to_owned(), code));
        }
    }
    cases
}

fn broken_of_npm() -> Cases {
    let at = |location: &str| {
        format!(r#"{{"lockfileVersion":3,"packages":{{"{location}":{{"version":"1.0.0"}}}}}}"#)
    };
    let tree = r#"{"lockfileVersion":1,"dependencies":{"../out":{"version":"1.0.0"}}}"#;
    let cases = [
        (String::new(), BROKEN),
        ("[]".to_owned(), BROKEN),
        (r#"{"packages":[]}"#.to_owned(), BROKEN),
        (r#"{"packages":{"node_modules/a":1}}"#.to_owned(), BROKEN),
        (r#"{"a":1,"a":2}"#.to_owned(), BROKEN),
        (at("node_modules/../../out"), UNSAFE),
        (at("/node_modules/left"), UNSAFE),
        (at("node_modules/.bin"), UNSAFE),
        (tree.to_owned(), UNSAFE),
    ];
    let case = |(text, code)| ("package-lock.json", text, code);
    cases.into_iter().map(case).collect()
}

fn broken_of_yarn() -> Cases {
    let version = "  version \"1.0.0\"\n";
    let of_classic = [
        (format!("\"../out@^1.0.0\":\n{version}"), UNSAFE),
        ("left@^1.0.0:\n".to_owned(), BROKEN_YARN),
        (format!("left:\n{version}"), BROKEN_YARN),
        (version.to_owned(), BROKEN_YARN),
        (format!("\"left@^1.0.0:\n{version}"), BROKEN_YARN),
        (format!("left@^1.0.0:\n {version}"), BROKEN_YARN),
        (format!("left@1:\n{version}{version}"), BROKEN_YARN),
        (format!("left@1:\n{version}  resolved\n"), BROKEN_YARN),
        ("{ not : [yarn\n".to_owned(), BROKEN_YARN),
    ];
    let of_berry = [
        ("\"left@npm:^1.0.0\": 1\n", BROKEN_YARN),
        ("\"left@npm:^1.0.0\":\n  resolution: x\n", BROKEN_YARN),
        ("\"left@npm:^1.0.0\":\n - [1\n", BROKEN_YARN),
        ("\"left\":\n  version: 1.0.0\n", BROKEN_YARN),
        ("\"../out@npm:^1.0.0\":\n  version: 1.0.0\n", UNSAFE),
    ];
    let of_classic = of_classic.map(|(text, code)| ("yarn.lock", format!("{YARN}{text}"), code));
    let of_berry = of_berry.map(|(text, code)| ("yarn.lock", format!("{BERRY}{text}"), code));
    of_classic.into_iter().chain(of_berry).collect()
}

fn broken_of_bun() -> Cases {
    let cases = [
        ("{}", BROKEN),
        (r#"{"packages":{"left":[]}}"#, BROKEN),
        (r#"{"packages":{"left":["left"]}}"#, BROKEN),
        (r#"{"packages":{"left":["../out@1.0.0"]}}"#, UNSAFE),
        (r#"{"packages":{},,}"#, BROKEN),
        (r#"{"packages":{},"overrides":[]}"#, BROKEN),
        (r#"{"packages":{},"overrides":{"../out":"1"}}"#, UNSAFE),
    ];
    let case = |(text, code): (&str, _)| ("bun.lock", text.to_owned(), code);
    cases.into_iter().map(case).collect()
}

#[test]
fn what_is_broken_is_refused_and_changes_nothing() {
    let project = project();
    project.write("pnpm-lock.yaml", "what was there\n");
    for cases in [
        damaged(),
        broken_of_npm(),
        broken_of_yarn(),
        broken_of_bun(),
    ] {
        for (name, text, code) in cases {
            project.write(name, &text);
            let before = tree(&project.root());
            let output = project.run(&["import"]);
            let said = String::from_utf8_lossy(&output.stderr);
            assert_eq!(output.status.code(), Some(1), "{name}: {text}\n{said}");
            assert!(said.contains(code), "{name}: {text}\n{said}");
            assert!(said.contains(name) && said.contains("hint:"), "{said}");
            assert_eq!(tree(&project.root()), before, "{name}: {text}");
            fs::remove_file(project.root().join(name)).unwrap();
        }
    }
    assert!(project.registry.take_requests().is_empty());
}

#[test]
fn a_failed_resolution_changes_nothing() {
    let project = project();
    let (name, text) = &sources()[0];
    project.write(name, text);
    project.write(
        "package.json",
        r#"{"name":"app","dependencies":{"left":"^1.0.0","missing":"1.0.0"}}"#,
    );
    project.write("pnpm-lock.yaml", "what was there\n");
    let before = tree(&project.root());
    let said = project.fail(&["import"]);
    assert!(said.contains("ERR_PNPM_FETCH_404"), "{said}");
    assert_eq!(tree(&project.root()), before);
}

#[test]
fn what_bun_has_replaced_stays_replaced() {
    let project = project();
    project.write("pnpm-workspace.yaml", "# mine\noverrides:\n  left: 1.1.0\n");
    let text = r#"{"overrides":{"@s/deep":"1.0.0","left":"1.0.0","of":{"one":"1"}},
        "packages":{"left":["left@1.0.0"],"@s/deep":["@s/deep@1.0.0"]}}"#;
    project.write("bun.lock", text);
    project.succeed(&["import"]);
    assert_eq!(locked(&project), ["@s/deep@1.0.0", "left@1.1.0"]);
    let settings = fs::read_to_string(project.root().join("pnpm-workspace.yaml")).unwrap();
    let wanted = "# mine\noverrides:\n  '@s/deep': 1.0.0\n  left: 1.1.0\n";
    assert_eq!(settings, wanted);
    project.succeed(&["install", "--no-virtual", "--frozen-lockfile"]);
}
