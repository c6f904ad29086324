//! Projects without a fitting lockfile, and the commands that change one.

use std::fs;

use pacquet_test_registry::Package;
use serde_json::json;

use crate::project::{Project, can_mount};

/// A project with `manifest`, a registry with `packages`, and no lockfile.
fn unlocked(manifest: &str, packages: &[Package]) -> Project {
    let project = Project::new();
    for package in packages {
        project.registry.publish(package);
    }
    project.write("package.json", manifest);
    project
}

fn read(project: &Project, path: &str) -> String {
    fs::read_to_string(project.root().join(path)).unwrap()
}

/// The lockfile without the lines that have digests.
fn lockfile(project: &Project) -> String {
    let text = read(project, "pnpm-lock.yaml");
    let lines = text.lines().filter(|line| !line.contains("resolution:"));
    lines.map(|line| format!("{line}\n")).collect()
}

/// What a directory has, by name.
fn names(project: &Project) -> Vec<String> {
    let mut names: Vec<String> = fs::read_dir(project.root())
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    names.sort();
    names
}

/// What pnpm writes for the project of the following test.
const NEAREST_INSTANCE: &str = "\
lockfileVersion: '9.0'

settings:
  autoInstallPeers: true
  excludeLinksFromLockfile: false

importers:

  .:
    dependencies:
      plugin:
        specifier: ^1.0.0
        version: 1.2.0(host@1.0.0)
      round:
        specifier: '*'
        version: 1.0.0
    devDependencies:
      host:
        specifier: ~1.0.0
        version: 1.0.0
    optionalDependencies:
      extra:
        specifier: '1'
        version: 1.0.0

packages:

  about@1.0.0:

  extra@1.0.0:
    os: [none]

  host@1.0.0:

  plugin@1.2.0:
    peerDependencies:
      host: ^1.0.0

  round@1.0.0:

snapshots:

  about@1.0.0:
    dependencies:
      host: 1.0.0
      round: 1.0.0

  extra@1.0.0:
    optional: true

  host@1.0.0: {}

  plugin@1.2.0(host@1.0.0):
    dependencies:
      host: 1.0.0

  round@1.0.0:
    dependencies:
      about: 1.0.0
";

#[test]
fn versions_are_chosen_once_and_peers_get_the_nearest_instance() {
    let packages = [
        Package::new("plugin", "1.2.0").peer_dependency("host", "^1.0.0"),
        Package::new("plugin", "1.3.0-rc.1"),
        Package::new("host", "1.0.0"),
        Package::new("host", "1.1.0"),
        Package::new("host", "2.0.0"),
        Package::new("round", "1.0.0").dependency("about", "^1.0.0"),
        Package::new("about", "1.0.0")
            .dependency("round", "1.0.0")
            .dependency("host", "1"),
        Package::new("extra", "1.0.0").os("none"),
    ];
    let manifest = json!({
        "dependencies": { "plugin": "^1.0.0", "round": "*" },
        "devDependencies": { "host": "~1.0.0" },
        "optionalDependencies": { "extra": "1", "gone": "1" }
    });
    let project = unlocked(&manifest.to_string(), &packages);
    project.succeed(&["install", "--lockfile-only"]);
    assert_eq!(lockfile(&project), NEAREST_INSTANCE);
    assert_eq!(
        names(&project),
        [".npmrc", "package.json", "pnpm-lock.yaml"],
        "nothing else is made"
    );
}

#[test]
fn what_is_locked_stays_when_something_newer_appears() {
    let project = unlocked(
        r#"{"dependencies":{"old":"^1.0.0"}}"#,
        &[Package::new("old", "1.0.0"), Package::new("new", "1.0.0")],
    );
    project.succeed(&["install", "--lockfile-only"]);
    project.registry.publish(&Package::new("old", "1.1.0"));
    project.write(
        "package.json",
        r#"{"dependencies":{"old":"^1.0.0","new":"1"}}"#,
    );
    project.succeed(&["install", "--lockfile-only", "--no-frozen-lockfile"]);
    let locked = lockfile(&project);
    assert!(locked.contains("old@1.0.0:"), "{locked}");
    assert!(locked.contains("new@1.0.0:"), "{locked}");
    let _ = fs::remove_dir_all(project.path("cache"));
    project.succeed(&["update", "--lockfile-only"]);
    let updated = lockfile(&project);
    assert!(updated.contains("old@1.1.0:"), "{updated}");
    assert!(!updated.contains("old@1.0.0:"), "{updated}");
}

#[test]
fn a_failure_names_the_chain_of_dependants_and_changes_nothing() {
    let packages = [
        Package::new("top", "1.0.0").dependency("middle", "1.0.0"),
        Package::new("middle", "1.0.0").dependency("bottom", "^7.0.0"),
        Package::new("bottom", "1.0.0"),
        Package::new("fine", "1.0.0"),
    ];
    let manifest = "{\n\t\"dependencies\": { \"fine\": \"1.0.0\" }\n}";
    let project = unlocked(manifest, &packages);
    let said = project.fail(&["add", "top", "--lockfile-only"]);
    assert!(said.contains("top@1.0.0 > middle@1.0.0"), "{said}");
    assert_eq!(read(&project, "package.json"), manifest);
    assert_eq!(names(&project), [".npmrc", "package.json"]);

    project.succeed(&["install", "--lockfile-only"]);
    let locked = read(&project, "pnpm-lock.yaml");
    for arguments in [
        ["add", "top", "--lockfile-only"],
        ["add", "nothing-of-this-name", "--lockfile-only"],
        ["remove", "bottom", "--lockfile-only"],
    ] {
        project.fail(&arguments);
        assert_eq!(read(&project, "package.json"), manifest, "{arguments:?}");
        assert_eq!(read(&project, "pnpm-lock.yaml"), locked, "{arguments:?}");
    }
}

#[test]
fn dependencies_without_an_end_are_refused() {
    let packages: Vec<Package> = (0..1_100)
        .map(|at| Package::new(&format!("p{at}"), "1.0.0"))
        .enumerate()
        .map(|(at, package)| package.dependency(&format!("p{}", at + 1), "1.0.0"))
        .collect();
    let project = unlocked(r#"{"dependencies":{"p0":"1"}}"#, &packages);
    let said = project.fail(&["install", "--lockfile-only"]);
    assert!(said.contains("ERR_PACQUET_RESOLVE_DEPTH"), "{said}");
    assert!(said.len() < 2_000, "{said}");
    assert_eq!(names(&project), [".npmrc", "package.json"]);
}

#[test]
fn commands_keep_the_form_of_the_manifest() {
    let packages = [
        Package::new("b", "1.2.3"),
        Package::new("a", "2.0.0"),
        Package::new("c", "3.0.0"),
    ];
    let manifest = "{\n\t\"name\": \"x\",\n\t\"dependencies\": {\n\t\t\"b\": \"1.2.3\"\n\t},\n\
                    \t\"keep\": [1, 2]\n}";
    let project = unlocked(manifest, &packages);
    project.succeed(&["add", "a", "--lockfile-only"]);
    let added = read(&project, "package.json");
    assert!(
        added
            .contains("\n\t\"dependencies\": {\n\t\t\"a\": \"^2.0.0\",\n\t\t\"b\": \"1.2.3\"\n\t}"),
        "{added}"
    );
    assert!(!added.ends_with('\n'), "{added}");
    project.succeed(&["add", "-D", "-E", "c", "--lockfile-only"]);
    let added = read(&project, "package.json");
    assert!(
        added.contains("\"devDependencies\": {\n\t\t\"c\": \"3.0.0\"\n\t}"),
        "{added}"
    );
    project.succeed(&["remove", "b", "--lockfile-only"]);
    assert!(!read(&project, "package.json").contains("\"b\""));
    assert!(!lockfile(&project).contains("b@1.2.3"));
}

#[test]
fn a_project_without_a_lockfile_is_installed_and_mounted() {
    if !can_mount("a_project_without_a_lockfile_is_installed_and_mounted") {
        return;
    }
    let project = unlocked(
        r#"{"dependencies":{"left":"^1.0.0"}}"#,
        &[
            Package::new("left", "1.0.0")
                .file("index.js", "module.exports = 'left';\n")
                .dependency("deep", "1"),
            Package::new("deep", "1.4.0").file("index.js", ""),
        ],
    );
    project.succeed(&["install", "--virtual", "--ignore-scripts"]);
    assert!(project.is_mounted());
    let tree = project.tree();
    assert_eq!(tree["left"], "l .pnpm/left@1.0.0/node_modules/left");
    let lock = read(&project, "pnpm-lock.yaml");
    assert_eq!(tree[".pnpm/lock.yaml"], format!("f false {lock}"));
    project.unmount();
}

#[test]
fn an_optional_dependency_is_left_out_where_something_below_it_cannot_be_resolved() {
    let packages = [
        Package::new("deep", "1.0.0").dependency("unfit", "1"),
        Package::new("unfit", "1.0.0").dependency("good", "9"),
        Package::new("odd", "1.0.0").dependency("good", "catalog:"),
        Package::new("holder", "1.0.0")
            .dependency("good", "1")
            .optional_dependency("deep", "1"),
        Package::new("good", "1.0.0"),
    ];
    let manifest = r#"{"optionalDependencies":{"deep":"1","odd":"1","holder":"1"}}"#;
    let project = unlocked(manifest, &packages);
    project.succeed(&["install", "--lockfile-only"]);
    let wanted = "\
importers:

  .:
    optionalDependencies:
      holder:
        specifier: '1'
        version: 1.0.0

packages:

  good@1.0.0:

  holder@1.0.0:

snapshots:

  good@1.0.0:
    optional: true

  holder@1.0.0:
    dependencies:
      good: 1.0.0
    optional: true
";
    let locked = lockfile(&project);
    assert!(locked.ends_with(wanted), "{locked}");
    // It is needed by what is not optional as well.
    project.write(
        "package.json",
        r#"{"dependencies":{"unfit":"1"},"optionalDependencies":{"deep":"1"}}"#,
    );
    let said = project.fail(&["install", "--lockfile-only"]);
    assert!(said.contains("ERR_PNPM_NO_MATCHING_VERSION"), "{said}");
}

#[test]
fn resolutions_are_no_overrides() {
    let packages = [Package::new("a", "1.0.0"), Package::new("a", "2.0.0")];
    let manifest = r#"{"dependencies":{"a":"^1.0.0"},"resolutions":{"a":"2.0.0"}}"#;
    let project = unlocked(manifest, &packages);
    project.succeed(&["install", "--lockfile-only"]);
    let locked = lockfile(&project);
    assert!(!locked.contains("overrides"), "{locked}");
    assert!(locked.contains("        version: 1.0.0\n"), "{locked}");
}

#[test]
fn peers_are_asked_for_by_ranges_or_with_a_protocol() {
    for valid in [
        "^1.0.0",
        " 1 || 2 ",
        "workspace:^",
        "npm:a@1",
        "^1 || catalog:",
    ] {
        let manifest = json!({
            "peerDependencies": {"a": valid},
            "peerDependenciesMeta": {"a": {"optional": true}},
        });
        let project = unlocked(&manifest.to_string(), &[Package::new("a", "1.0.0")]);
        project.write("pnpm-workspace.yaml", "autoInstallPeers: false\n");
        project.succeed(&["install", "--lockfile-only"]);
    }
    for invalid in ["latest", "", "one two", "a@1", "./a"] {
        let manifest = json!({"name": "app", "peerDependencies": {"a": invalid}});
        let project = unlocked(&manifest.to_string(), &[Package::new("a", "1.0.0")]);
        let said = project.fail(&["install", "--lockfile-only"]);
        let code = "ERR_PNPM_INVALID_PEER_DEPENDENCY_SPECIFICATION";
        assert!(said.contains(code), "{invalid}: {said}");
        let names = format!("field named 'a' of package 'app' has an invalid value: '{invalid}'");
        assert!(said.contains(&names), "{invalid}: {said}");
    }
}

#[test]
fn a_project_chooses_by_its_own_ranges_unless_versions_are_to_be_few() {
    let packages = [
        Package::new("a", "1.2.0"),
        Package::new("a", "2.0.0"),
        Package::new("user", "1.0.0").dependency("a", "*"),
    ];
    let project = unlocked(r#"{"dependencies":{"user":"1"}}"#, &packages);
    project.write("pnpm-workspace.yaml", "packages: [packages/*]\n");
    project.write(
        "packages/old/package.json",
        r#"{"dependencies":{"a":"~1.2.0"}}"#,
    );
    project.write(
        "packages/peer/package.json",
        r#"{"peerDependencies":{"a":"*"}}"#,
    );
    project.succeed(&["install", "--lockfile-only"]);
    let locked = lockfile(&project);
    for wanted in [
        "        specifier: '*'\n        version: 1.2.0\n",
        "  user@1.0.0:\n    dependencies:\n      a: 2.0.0\n",
    ] {
        assert!(locked.contains(wanted), "{locked}");
    }
    project.succeed(&["dedupe", "--lockfile-only"]);
    let locked = lockfile(&project);
    assert!(!locked.contains("2.0.0"), "{locked}");
}

#[test]
fn an_optional_peer_of_others_is_not_given_where_its_own_peers_do_not_fit() {
    let packages = [
        Package::new("user", "1.0.0").optional_peer_dependency("old", "*"),
        Package::new("old", "1.0.0").peer_dependency("host", "2"),
        Package::new("host", "2.0.0"),
        Package::new("host", "3.0.0"),
    ];
    let project = unlocked("{}", &packages);
    project.write("pnpm-workspace.yaml", "packages: [packages/*]\n");
    for (name, dependencies) in [
        ("new", r#"{"user":"1","host":"3"}"#),
        ("old", r#"{"old":"1","host":"2","user":"1"}"#),
    ] {
        let manifest = format!(r#"{{"dependencies":{dependencies}}}"#);
        project.write(&format!("packages/{name}/package.json"), &manifest);
    }
    project.succeed(&["install", "--lockfile-only"]);
    let locked = lockfile(&project);
    let versions: Vec<&str> = locked
        .lines()
        .filter_map(|line| line.strip_prefix("        version: "))
        .collect();
    let with_old = "1.0.0(old@1.0.0(host@2.0.0))";
    assert_eq!(
        versions,
        ["3.0.0", "1.0.0", "2.0.0", "1.0.0(host@2.0.0)", with_old],
        "{locked}"
    );
}

#[test]
fn a_publish_directory_that_is_not_linked_is_recorded() {
    let publish =
        |more: &str| format!(r#"{{"name":"it","publishConfig":{{"directory":"dist"{more}}}}}"#);
    let project = unlocked(&publish(r#","linkDirectory":false"#), &[]);
    project.succeed(&["install", "--lockfile-only"]);
    let recorded = "\n  .:\n    linkDirectory: false\n    publishDirectory: dist\n";
    assert!(
        lockfile(&project).contains(recorded),
        "{}",
        lockfile(&project)
    );
    project.succeed(&["install", "--frozen-lockfile", "--no-virtual"]);
    project.write("package.json", &publish(""));
    let said = project.fail(&["install", "--frozen-lockfile", "--no-virtual"]);
    assert!(
        said.contains("`linkDirectory` is false in the lockfile"),
        "{said}"
    );
    project.succeed(&["install", "--lockfile-only"]);
    assert!(!lockfile(&project).contains("linkDirectory"));
}

#[test]
fn what_an_override_that_is_gone_was_about_is_chosen_anew() {
    let manifest = r#"{"dependencies":{"direct":"*","user":"1"}}"#;
    let packages = [
        Package::new("direct", "1.0.0"),
        Package::new("direct", "2.0.0"),
        Package::new("deep", "1.0.0"),
        Package::new("deep", "2.0.0"),
        Package::new("other", "1.0.0"),
        Package::new("user", "1.0.0")
            .dependency("deep", "*")
            .dependency("other", "*")
            .peer_dependency("peer", "*"),
        Package::new("peer", "1.0.0"),
        Package::new("peer", "2.0.0"),
    ];
    let project = unlocked(manifest, &packages);
    let settings = "overrides: {direct: 1.0.0, deep: 1.0.0, peer: 1.0.0}\n";
    project.write("pnpm-workspace.yaml", settings);
    project.succeed(&["install", "--lockfile-only"]);
    for name in ["direct", "deep", "peer"] {
        assert!(
            lockfile(&project).contains(&format!("\n  {name}@1.0.0:")),
            "{name}"
        );
    }
    project.registry.publish(&Package::new("other", "1.1.0"));
    project.write("pnpm-workspace.yaml", "");
    project.succeed(&["install", "--lockfile-only"]);
    for name in ["direct", "deep", "peer"] {
        assert!(
            lockfile(&project).contains(&format!("\n  {name}@2.0.0:")),
            "{name}"
        );
        assert!(
            !lockfile(&project).contains(&format!("\n  {name}@1.0.0")),
            "{name}"
        );
    }
    assert!(lockfile(&project).contains("\n  other@1.0.0: {}"));
}

/// The snapshot of `package` in the project's lockfile.
fn snapshot(project: &Project, package: &str) -> String {
    let locked = read(project, "pnpm-lock.yaml");
    let (_, snapshots) = locked.split_once("\nsnapshots:\n").unwrap();
    let entries = snapshots
        .split("\n\n")
        .map(|entry| entry.trim_matches('\n'));
    let mut entries = entries.filter(|entry| entry.starts_with(&format!("  {package}:")));
    entries.next().unwrap_or_default().to_owned()
}

#[test]
fn what_is_above_a_dependency_comes_before_what_is_locked_elsewhere() {
    let packages = [
        Package::new("x", "1.0.0"),
        Package::new("x", "2.0.0"),
        Package::new("x", "3.0.0"),
        Package::new("other", "1.0.0").dependency("x", "*"),
        Package::new("middle", "1.0.0")
            .dependency("x", "2")
            .dependency("leaf", "1"),
        Package::new("leaf", "1.0.0").dependency("x", "*"),
    ];
    // What is added, and the version that `leaf` then has: of the level above it, of the project.
    for (added, version) in [
        (r#""middle":"1""#, "2.0.0"),
        (r#""middle":"1","alias":"npm:x@1""#, "1.0.0"),
        (r#""middle":"1","x":"1""#, "1.0.0"),
        (r#""leaf":"1""#, "3.0.0"),
    ] {
        let project = unlocked(r#"{"dependencies":{"other":"1"}}"#, &packages);
        project.succeed(&["install", "--lockfile-only"]);
        project.write(
            "package.json",
            &format!(r#"{{"dependencies":{{"other":"1",{added}}}}}"#),
        );
        project.succeed(&["install", "--lockfile-only"]);
        let expected = format!("  leaf@1.0.0:\n    dependencies:\n      x: {version}");
        assert_eq!(snapshot(&project, "leaf@1.0.0"), expected, "{added}");
    }
}

#[test]
fn an_optional_peer_is_offered_where_dependencies_were_chosen_and_stays_as_it_is_locked() {
    let packages = [
        Package::new("colour", "4.0.0"),
        Package::new("colour", "7.0.0"),
        Package::new("has-new", "1.0.0").dependency("colour", "7"),
        Package::new("debug", "1.0.0").optional_peer_dependency("colour", "*"),
        Package::new("between", "1.0.0").dependency("debug", "1"),
        Package::new("a-user", "1.0.0").dependency("between", "1"),
        Package::new("z-user", "1.0.0")
            .dependency("colour", "4")
            .dependency("between", "1"),
        Package::new("z-user", "2.0.0")
            .dependency("colour", "4")
            .dependency("debug", "1"),
    ];
    let manifest = |old: &str| {
        format!(r#"{{"dependencies":{{"a-user":"1","has-new":"1","z-user":"{old}"}}}}"#)
    };
    let new = "  between@1.0.0(colour@7.0.0):\n    dependencies:\n      debug: 1.0.0(colour@7.0.0)";
    let project = unlocked(&manifest("1"), &packages);
    project.succeed(&["install", "--lockfile-only"]);
    let between = |project: &Project, version: &str| {
        let found = snapshot(project, &format!("between@1.0.0(colour@{version})"));
        found.lines().take(3).collect::<Vec<_>>().join("\n")
    };
    assert_eq!(between(&project, "7.0.0"), new);
    // Now the older one is offered, but the lockfile has the other.
    project.write("package.json", &manifest("2"));
    project.succeed(&["install", "--lockfile-only"]);
    assert_eq!(between(&project, "7.0.0"), new);
    fs::remove_file(project.root().join("pnpm-lock.yaml")).unwrap();
    project.succeed(&["install", "--lockfile-only"]);
    assert_eq!(between(&project, "7.0.0"), "");
    assert_eq!(between(&project, "4.0.0"), new.replace("7.0.0", "4.0.0"));
}

#[test]
fn a_required_peer_is_what_something_else_brings_before_what_is_locked_for_it_alone() {
    let packages = [
        Package::new("host", "1.0.0"),
        Package::new("host", "2.0.0"),
        Package::new("user", "1.0.0").peer_dependency("host", "*"),
        Package::new("brings", "1.0.0").dependency("host", "1"),
        Package::new("other", "1.0.0"),
    ];
    for (added, version) in [("other", "2.0.0"), ("brings", "1.0.0")] {
        let project = unlocked(r#"{"dependencies":{"user":"1"}}"#, &packages);
        project.succeed(&["install", "--lockfile-only"]);
        project.write(
            "package.json",
            &format!(r#"{{"dependencies":{{"user":"1","{added}":"1"}}}}"#),
        );
        project.succeed(&["install", "--lockfile-only"]);
        let key = format!("user@1.0.0(host@{version})");
        assert!(lockfile(&project).contains(&key), "{}", lockfile(&project));
    }
}

#[test]
fn an_update_leaves_what_was_taken_from_the_lockfile_its_dependencies() {
    let packages = [
        Package::new("deep", "1.0.0"),
        Package::new("shared", "1.0.0").dependency("deep", "1"),
        Package::new("moves", "1.0.0").dependency("shared", "1"),
        Package::new("stays", "1.0.0").dependency("shared", "1"),
    ];
    let manifest = r#"{"dependencies":{"moves":"^1.0.0","stays":"^1.0.0"}}"#;
    let project = unlocked(manifest, &packages);
    project.succeed(&["install", "--lockfile-only"]);
    let moved = Package::new("moves", "1.1.0").dependency("shared", "1");
    project.registry.publish(&moved);
    let _ = fs::remove_dir_all(project.path("cache"));
    project.succeed(&["update", "moves", "--lockfile-only"]);
    assert!(lockfile(&project).contains("moves@1.1.0"));
    let expected = "  shared@1.0.0:\n    dependencies:\n      deep: 1.0.0";
    assert_eq!(snapshot(&project, "shared@1.0.0"), expected);
}

#[test]
fn dependencies_with_the_names_of_fields_come_first() {
    let packages = [
        Package::new("a", "1.0.0"),
        Package::new("optional", "1.0.0"),
        Package::new("version", "1.0.0"),
        Package::new("user", "1.0.0")
            .dependency("a", "1")
            .dependency("optional", "1")
            .dependency("version", "1"),
    ];
    let project = unlocked(r#"{"dependencies":{"user":"1"}}"#, &packages);
    project.succeed(&["install", "--lockfile-only"]);
    let dependencies = "version: 1.0.0\n      optional: 1.0.0\n      a: 1.0.0";
    let expected = format!("  user@1.0.0:\n    dependencies:\n      {dependencies}");
    assert_eq!(snapshot(&project, "user@1.0.0"), expected);
}

#[test]
fn an_optional_peer_that_is_offered_later_takes_the_place_of_a_dependency_far_below() {
    let packages = [
        Package::new("host", "1.0.0"),
        Package::new("formats", "1.0.0")
            .dependency("host", "1")
            .optional_peer_dependency("host", "1"),
        Package::new("words", "1.0.0").peer_dependency("host", "1"),
        Package::new("schema", "1.0.0")
            .dependency("formats", "1")
            .dependency("host", "1")
            .dependency("words", "1"),
        Package::new("bundler", "1.0.0").dependency("schema", "1"),
        Package::new("tool", "1.0.0").dependency("bundler", "1"),
        Package::new("loader", "1.0.0").peer_dependency("bundler", "1"),
    ];
    let locked = |dependencies: &str| {
        let project = unlocked(
            &format!(r#"{{"dependencies":{{{dependencies}}}}}"#),
            &packages,
        );
        project.succeed(&["install", "--lockfile-only"]);
        lockfile(&project)
    };
    let alone = locked(r#""tool":"1""#);
    assert!(alone.contains("  formats@1.0.0:"), "{alone}");
    // The loader misses the bundler, which the project gets when it has been given the host.
    let with_loader = locked(r#""tool":"1","loader":"1""#);
    assert!(
        with_loader.contains("  formats@1.0.0(host@1.0.0):"),
        "{with_loader}"
    );
}
