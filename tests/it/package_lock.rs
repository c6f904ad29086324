//! Projects that npm has locked: the tree is the one that the lockfile lays out.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::process::Command;

use pacquet_test_registry::{Package, TarballBuilder, integrity};
use serde_json::{Map, Value, json};

use crate::project::{Project, can_mount, tree};

mod gaps;

const LOCKFILE: &str = "package-lock.json";

/// The fields of a manifest that npm repeats in its lockfile.
const REPEATED: [&str; 10] = [
    "dependencies",
    "optionalDependencies",
    "peerDependencies",
    "peerDependenciesMeta",
    "bundleDependencies",
    "bin",
    "os",
    "cpu",
    "libc",
    "engines",
];

/// Publishes a package. The answer is what npm writes for it, with `more` in it.
fn locked(project: &Project, package: &Package, more: Value) -> Value {
    let built = project.registry.publish(package);
    let registry = project.registry.url();
    let mut entry = json!({
        "version": built.version,
        "resolved": format!("{}{}", registry.trim_end_matches('/'), built.tarball_path()),
        "integrity": built.integrity,
    });
    for field in REPEATED {
        if let Some(value) = built.manifest.get(field) {
            entry[field] = value.clone();
        }
    }
    for (key, value) in more.as_object().into_iter().flatten() {
        entry[key] = value.clone();
    }
    entry
}

/// The text of a lockfile: the manifest is the project's, and `entries` follow it.
fn text(version: u8, manifest: &Value, entries: &[(&str, Value)]) -> String {
    let mut packages = Map::from_iter([(String::new(), manifest.clone())]);
    for (location, entry) in entries {
        packages.insert((*location).to_owned(), entry.clone());
    }
    let mut lock = json!({
        "name": manifest["name"], "version": manifest["version"],
        "lockfileVersion": version, "requires": true, "packages": packages,
    });
    if version == 2 {
        lock["dependencies"] = json!({ "old": { "version": "1.0.0" } });
    }
    format!("{lock:#}\n")
}

fn write(project: &Project, manifest: &Value, entries: &[(&str, Value)]) {
    project.write("package.json", &manifest.to_string());
    project.write(LOCKFILE, &text(3, manifest, entries));
}

fn manifest(more: Value) -> Value {
    let mut manifest = json!({ "name": "app", "version": "1.0.0" });
    for (key, value) in more.as_object().into_iter().flatten() {
        manifest[key] = value.clone();
    }
    manifest
}

/// What is there besides npm's own record.
fn places(tree: &BTreeMap<String, String>) -> Vec<&str> {
    let is_place = |path: &&str| path.ends_with("/package.json") || !path.contains('.');
    let all = tree.keys().map(String::as_str).filter(is_place);
    let mut places: Vec<&str> = all
        .filter_map(|path| path.strip_suffix("/package.json"))
        .collect();
    places.sort_unstable();
    places
}

/// A field of a manifest in the tree.
fn field(tree: &BTreeMap<String, String>, place: &str, field: &str) -> Value {
    let text = tree[&format!("{place}/package.json")].as_str();
    let manifest: Value = serde_json::from_str(text.strip_prefix("f false ").unwrap()).unwrap();
    manifest[field].clone()
}

const INSTALL: [&str; 3] = ["install", "--no-virtual", "--ignore-scripts"];

fn install(project: &Project, more: &[&str]) -> BTreeMap<String, String> {
    project.succeed(&[&INSTALL[..], more].concat());
    project.tree()
}

/// What goes wrong, with nothing left behind.
fn refused(project: &Project) -> String {
    let said = project.fail(&INSTALL);
    assert!(!project.node_modules().exists(), "{said}");
    assert!(!project.root().join("pnpm-lock.yaml").exists(), "{said}");
    said
}

/// `left` and its own `deep`, and another `deep` for everybody else.
fn nested(project: &Project) -> (Value, Vec<(&'static str, Value)>) {
    let manifest = manifest(json!({ "dependencies": { "left": "^1.0.0", "@s/right": "2.0.0" } }));
    let left = Package::new("left", "1.2.0")
        .executable("cli.js", "#!/bin/sh\necho left ran\n")
        .bin("left", "cli.js")
        .dependency("deep", "^2.0.0");
    let right = Package::new("@s/right", "2.0.0").dependency("deep", "^1.0.0");
    let entries = vec![
        ("node_modules/@s/right", locked(project, &right, json!({}))),
        (
            "node_modules/deep",
            locked(project, &Package::new("deep", "1.0.0"), json!({})),
        ),
        ("node_modules/left", locked(project, &left, json!({}))),
        (
            "node_modules/left/node_modules/deep",
            locked(project, &Package::new("deep", "2.0.0"), json!({})),
        ),
    ];
    (manifest, entries)
}

#[test]
fn packages_are_where_the_lockfile_has_them() {
    if !can_mount("packages_are_where_the_lockfile_has_them") {
        return;
    }
    for (name, version) in [(LOCKFILE, 2), (LOCKFILE, 3), ("npm-shrinkwrap.json", 3)] {
        let project = Project::new();
        let (manifest, entries) = nested(&project);
        project.write("package.json", &manifest.to_string());
        let lock = text(version, &manifest, &entries);
        project.write(name, &lock);
        let written = install(&project, &[]);
        assert_eq!(
            places(&written),
            ["@s/right", "deep", "left", "left/node_modules/deep"]
        );
        assert_eq!(field(&written, "deep", "version"), "1.0.0");
        assert_eq!(
            field(&written, "left/node_modules/deep", "version"),
            "2.0.0"
        );
        assert_eq!(written[".bin/left"], "l ../left/cli.js");
        let record = written[".package-lock.json"]
            .strip_prefix("f false ")
            .unwrap();
        let record: Value = serde_json::from_str(record).unwrap();
        let recorded: Map<String, Value> = entries
            .iter()
            .map(|(location, entry)| ((*location).to_owned(), entry.clone()))
            .collect();
        assert_eq!(record["packages"], Value::Object(recorded));
        fs::remove_dir_all(project.node_modules()).unwrap();
        project.succeed(&["install", "--virtual", "--ignore-scripts"]);
        assert!(project.is_mounted());
        assert_eq!(project.tree(), written);
        let command = project.node_modules().join(".bin/left");
        let output = Command::new(command).output().unwrap();
        assert_eq!(output.stdout, b"left ran\n");
        assert_eq!(
            fs::read_to_string(project.root().join(name)).unwrap(),
            lock,
            "the lockfile stays"
        );
        assert!(!project.root().join("pnpm-lock.yaml").exists());
    }
}

#[test]
fn another_lockfile_changes_the_tree_that_is_served_and_the_one_that_is_written() {
    if !can_mount("another_lockfile_changes_the_tree_that_is_served_and_the_one_that_is_written") {
        return;
    }
    for mode in ["--virtual", "--no-virtual"] {
        let project = Project::new();
        let (before, mut entries) = nested(&project);
        write(&project, &before, &entries);
        project.succeed(&["install", mode, "--ignore-scripts"]);
        let after = manifest(json!({ "dependencies": { "deep": "1.x" } }));
        entries.retain(|(location, _)| *location == "node_modules/deep");
        write(&project, &after, &entries);
        project.succeed(&["install", mode, "--ignore-scripts"]);
        let tree = project.tree();
        assert_eq!(places(&tree), ["deep"], "{mode}");
        assert!(!tree.contains_key("left"), "{mode}: {tree:?}");
        assert!(!tree.contains_key(".bin/left"), "{mode}: {tree:?}");
    }
}

#[test]
fn a_second_install_asks_the_network_for_nothing() {
    let project = Project::new();
    let (manifest, entries) = nested(&project);
    write(&project, &manifest, &entries);
    let first = install(&project, &[]);
    // The archives, and no list of versions.
    assert_eq!(project.registry.take_requests().len(), 4);
    assert_eq!(install(&project, &[]), first);
    fs::remove_dir_all(project.node_modules()).unwrap();
    assert_eq!(install(&project, &["--offline"]), first);
    assert!(project.registry.take_requests().is_empty());
}

#[test]
fn a_lockfile_of_pnpm_counts_before_one_of_npm() {
    let project = Project::new();
    let (manifest, entries) = nested(&project);
    write(&project, &manifest, &entries);
    project.write("package.json", r#"{"name":"app","version":"1.0.0"}"#);
    project.write(
        "pnpm-lock.yaml",
        "lockfileVersion: '9.0'\n\nsettings:\n  autoInstallPeers: true\n  \
         excludeLinksFromLockfile: false\n\nimporters:\n\n  .: {}\n",
    );
    project.succeed(&INSTALL);
    assert!(!project.node_modules().join("left").exists());
}

#[test]
fn workspaces_and_directories_are_linked_with_what_they_have_of_their_own() {
    if !can_mount("workspaces_and_directories_are_linked_with_what_they_have_of_their_own") {
        return;
    }
    let project = Project::new();
    let manifest = manifest(json!({
        "workspaces": ["packages/*"],
        "dependencies": { "linked": "file:vendor/linked", "deep": "1.0.0" },
    }));
    let one = json!({
        "name": "@s/one", "version": "1.0.0", "dependencies": { "deep": "2.0.0" },
        "bin": { "one": "one.js", "gone": "gone.js" },
    });
    let linked_manifest = json!({ "name": "linked", "version": "3.0.0" });
    project.write("packages/one/package.json", &one.to_string());
    project.write("packages/one/one.js", "#!/bin/sh\necho one ran\n");
    project.write("vendor/linked/package.json", &linked_manifest.to_string());
    let two = Package::new("deep", "2.0.0");
    let entries = [
        (
            "node_modules/@s/one",
            json!({ "resolved": "packages/one", "link": true }),
        ),
        (
            "node_modules/deep",
            locked(&project, &Package::new("deep", "1.0.0"), json!({})),
        ),
        (
            "node_modules/linked",
            json!({ "resolved": "vendor/linked", "link": true }),
        ),
        ("packages/one", one.clone()),
        (
            "packages/one/node_modules/deep",
            locked(&project, &two, json!({})),
        ),
        ("vendor/linked", json!({ "version": "3.0.0" })),
    ];
    write(&project, &manifest, &entries);
    let own = project.root().join("packages/one/node_modules");
    for mode in ["--no-virtual", "--virtual"] {
        project.succeed(&["install", mode, "--ignore-scripts"]);
        let tree = project.tree();
        assert_eq!(tree["@s/one"], "l ../../packages/one", "{mode}");
        assert_eq!(tree["linked"], "l ../vendor/linked", "{mode}");
        assert_eq!(tree[".bin/one"], "l ../@s/one/one.js", "{mode}");
        assert!(!tree.contains_key(".bin/gone"), "{mode}");
        let version = |path: &Path| {
            let text = fs::read_to_string(path.join("deep/package.json")).unwrap();
            serde_json::from_str::<Value>(&text).unwrap()["version"].clone()
        };
        assert_eq!(version(&project.node_modules()), "1.0.0", "{mode}");
        assert_eq!(version(&own), "2.0.0", "{mode}");
    }
}

#[test]
fn what_an_archive_brings_along_is_not_fetched() {
    let project = Project::new();
    let inner = Package::new("inner", "1.0.0")
        .file("cli.js", "#!/bin/sh\n")
        .bin("inner", "cli.js");
    let outer = Package::new("outer", "1.0.0").bundled(&inner);
    let manifest = manifest(json!({ "dependencies": { "outer": "1.0.0" } }));
    let inner = json!({ "version": "1.0.0", "inBundle": true, "bin": { "inner": "cli.js" } });
    let entries = [
        ("node_modules/outer", locked(&project, &outer, json!({}))),
        ("node_modules/outer/node_modules/inner", inner),
    ];
    write(&project, &manifest, &entries);
    let tree = install(&project, &[]);
    assert_eq!(places(&tree), ["outer", "outer/node_modules/inner"]);
    assert_eq!(tree["outer/node_modules/.bin/inner"], "l ../inner/cli.js");
    assert_eq!(project.registry.take_requests().len(), 1);
}

#[test]
fn groups_leave_out_what_only_they_need() {
    let project = Project::new();
    let manifest = manifest(json!({
        "dependencies": { "prod": "1.0.0" },
        "devDependencies": { "dev": "1.0.0" },
        "optionalDependencies": { "maybe": "1.0.0" },
    }));
    let plain = |name: &str| Package::new(name, "1.0.0");
    let prod = plain("prod").peer_dependency("peer", "*");
    let (dev, maybe) = (
        plain("dev").dependency("both", "1.0.0"),
        plain("maybe").dependency("both", "1.0.0"),
    );
    let lock = |package: &Package, flags: Value| locked(&project, package, flags);
    let entries = [
        (
            "node_modules/both",
            lock(&plain("both"), json!({ "devOptional": true })),
        ),
        ("node_modules/dev", lock(&dev, json!({ "dev": true }))),
        (
            "node_modules/maybe",
            lock(&maybe, json!({ "optional": true })),
        ),
        (
            "node_modules/peer",
            lock(&plain("peer"), json!({ "peer": true })),
        ),
        ("node_modules/prod", lock(&prod, json!({}))),
    ];
    write(&project, &manifest, &entries);
    for (flags, expected) in [
        (&[][..], &["both", "dev", "maybe", "peer", "prod"][..]),
        (&["--prod"], &["both", "maybe", "peer", "prod"]),
        (&["--no-optional"], &["both", "dev", "peer", "prod"]),
        (&["--prod", "--no-optional"], &["peer", "prod"]),
        (&["--dev"], &["both", "dev"]),
    ] {
        let tree = install(&project, flags);
        assert_eq!(places(&tree), expected, "{flags:?}");
    }
}

#[test]
fn optional_peers_that_nobody_needs_are_left_out_with_what_only_they_need() {
    let project = Project::new();
    let plain = |name: &str| Package::new(name, "1.0.0");
    let lock = |package: &Package, more: Value| locked(&project, package, more);
    let host = plain("host")
        .optional_peer_dependency("alone", "*")
        .optional_peer_dependency("shared", "*");
    let alone = plain("alone").dependency("below", "*");
    let unneeded = json!({ "optional": true, "peer": true });
    let entries = [
        ("node_modules/alone", lock(&alone, unneeded.clone())),
        (
            "node_modules/alone/node_modules/below",
            lock(&plain("below"), unneeded.clone()),
        ),
        ("node_modules/host", lock(&host, json!({}))),
        ("node_modules/shared", lock(&plain("shared"), json!({}))),
    ];
    let shown = |manifest: &Value| {
        write(&project, manifest, &entries);
        let tree = install(&project, &[]);
        let shown = places(&tree).into_iter().map(str::to_owned);
        shown.collect::<Vec<_>>()
    };
    let both = manifest(json!({ "dependencies": { "host": "1.0.0", "shared": "*" } }));
    assert_eq!(shown(&both), ["host", "shared"]);
    let all = manifest(json!({ "dependencies": { "alone": "*", "host": "*", "shared": "*" } }));
    let expected = ["alone", "alone/node_modules/below", "host", "shared"];
    assert_eq!(shown(&all), expected);
}

#[test]
fn optional_packages_of_other_machines_are_left_out_with_what_only_they_need() {
    let project = Project::new();
    let manifest = manifest(json!({ "optionalDependencies": {
        "os": "1.0.0", "cpu": "1.0.0", "libc": "1.0.0", "own": "1.0.0",
    } }));
    let plain = |name: &str| Package::new(name, "1.0.0").dependency("below", "1.0.0");
    let foreign = [
        plain("os").os("win32").dependency("only", "1.0.0"),
        plain("cpu").cpu("s390"),
        plain("libc").os("linux").libc("none"),
    ];
    let optional = || json!({ "optional": true });
    let own = plain("own").os("linux");
    let mut entries: Vec<(&str, Value)> = ["os", "cpu", "libc"]
        .iter()
        .zip(&foreign)
        .map(|(name, package)| {
            let location: &str = match *name {
                "os" => "node_modules/os",
                "cpu" => "node_modules/cpu",
                _ => "node_modules/libc",
            };
            (location, locked(&project, package, optional()))
        })
        .collect();
    let (below, only) = (
        Package::new("below", "1.0.0"),
        Package::new("only", "1.0.0"),
    );
    entries.push(("node_modules/own", locked(&project, &own, optional())));
    entries.push(("node_modules/below", locked(&project, &below, optional())));
    entries.push(("node_modules/only", locked(&project, &only, optional())));
    write(&project, &manifest, &entries);
    assert_eq!(places(&install(&project, &[])), ["below", "own"]);
}

#[test]
fn a_required_package_of_another_machine_is_told_of_or_refused() {
    let project = Project::new();
    let manifest = manifest(json!({ "dependencies": { "left": "1.0.0" } }));
    let left = Package::new("left", "1.0.0").os("win32");
    let entries = [("node_modules/left", locked(&project, &left, json!({})))];
    write(&project, &manifest, &entries);
    project.write("pnpm-workspace.yaml", "engineStrict: true\n");
    let said = refused(&project);
    assert!(said.contains("ERR_PNPM_UNSUPPORTED_PLATFORM"), "{said}");
    fs::remove_file(project.root().join("pnpm-workspace.yaml")).unwrap();
    let output = project.run(&INSTALL);
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(
        output.status.success() && said.contains("left@1.0.0"),
        "{said}"
    );
    assert_eq!(places(&project.tree()), ["left"]);
}

/// The address of a repository with the package `source`, and its commit.
fn repository(project: &Project) -> (String, String) {
    let origin = project.path("origin");
    fs::create_dir(&origin).unwrap();
    let manifest = r#"{"name":"source","version":"1.0.0"}"#;
    fs::write(origin.join("package.json"), manifest).unwrap();
    let script = "git init -q . && git add -A && git -c user.name=n -c user.email=e@e.test \
                  commit -qm one && git rev-parse HEAD";
    let mut command = Command::new("sh");
    let output = command.args(["-c", script]).current_dir(&origin).output();
    let commit = String::from_utf8(output.unwrap().stdout).unwrap();
    let address = format!("git+file://{}", origin.display());
    (address, commit.trim().to_owned())
}

#[test]
fn aliases_archives_repositories_and_packed_directories_are_installed() {
    let project = Project::new();
    let archive = |name: &str| TarballBuilder::with_manifest(name, "1.0.0").finish();
    let remote = archive("remote");
    let url = project
        .registry
        .serve("/elsewhere/remote.tgz", "application/gzip", remote.clone());
    fs::create_dir(project.root().join("vendor")).unwrap();
    fs::write(project.root().join("vendor/local.tgz"), archive("local")).unwrap();
    project.write(
        "vendor/packed/package.json",
        r#"{"name":"packed","version":"1.0.0"}"#,
    );
    let (repository, commit) = repository(&project);
    let manifest = manifest(json!({ "dependencies": {
        "alias": "npm:real@^1.0.0", "remote": url, "local": "file:vendor/local.tgz",
        "packed": "file:vendor/packed", "source": repository,
    } }));
    let real = locked(
        &project,
        &Package::new("real", "1.1.0"),
        json!({ "name": "real" }),
    );
    let entries = [
        ("node_modules/alias", real),
        (
            "node_modules/local",
            json!({
                "version": "1.0.0", "resolved": "file:vendor/local.tgz",
                "integrity": integrity::sha512(&archive("local")),
            }),
        ),
        (
            "node_modules/packed",
            json!({
                "version": "1.0.0", "resolved": "file:vendor/packed",
            }),
        ),
        (
            "node_modules/remote",
            json!({
                "version": "1.0.0", "resolved": url, "integrity": integrity::sha512(&remote),
            }),
        ),
        (
            "node_modules/source",
            json!({
                "version": "1.0.0", "resolved": format!("{repository}#{commit}"),
            }),
        ),
    ];
    write(&project, &manifest, &entries);
    let tree = install(&project, &[]);
    assert_eq!(
        places(&tree),
        ["alias", "local", "packed", "remote", "source"]
    );
    assert_eq!(field(&tree, "alias", "name"), "real");
    assert_eq!(field(&tree, "source", "name"), "source");
}

#[test]
fn an_archive_that_is_not_the_pinned_one_and_one_that_nothing_pins_are_refused() {
    let left = Package::new("left", "1.0.0");
    let manifest = manifest(json!({ "dependencies": { "left": "1.0.0" } }));
    let project = Project::new();
    let entry = locked(&project, &left, json!({}));
    let other = TarballBuilder::with_manifest("left", "1.0.0").finish();
    project.registry.replace_tarball("left", "1.0.0", other);
    write(&project, &manifest, &[("node_modules/left", entry.clone())]);
    let said = refused(&project);
    assert!(said.contains("ERR_PNPM_TARBALL_INTEGRITY"), "{said}");
    // The registry has it elsewhere.
    let mut unpinned = entry;
    unpinned.as_object_mut().unwrap().remove("integrity");
    let elsewhere = unpinned["resolved"]
        .as_str()
        .unwrap()
        .replace("/-/", "/files/");
    unpinned["resolved"] = json!(elsewhere);
    write(&project, &manifest, &[("node_modules/left", unpinned)]);
    let said = refused(&project);
    assert!(
        said.contains("ERR_PNPM_MISSING_TARBALL_INTEGRITY"),
        "{said}"
    );
    assert!(
        said.contains("node_modules/left") && said.contains("hint:"),
        "{said}"
    );
}

#[test]
fn a_package_that_is_pinned_by_hashes_of_two_kinds_is_held_against_the_stronger() {
    let project = Project::new();
    let built = project.registry.publish(&Package::new("deep", "1.0.0"));
    let weak = integrity::sha1(&built.tarball);
    let left = Package::new("left", "1.0.0").dependency("deep", "1.0.0");
    let left = locked(&project, &left, json!({}));
    let deep = |integrity: &str| {
        let deep = Package::new("deep", "1.0.0");
        locked(&project, &deep, json!({ "integrity": integrity }))
    };
    let manifest = manifest(json!({ "dependencies": { "deep": "1.0.0", "left": "1.0.0" } }));
    let entries = |first: &str, second: &str| {
        [
            ("node_modules/deep", deep(first)),
            ("node_modules/left", left.clone()),
            ("node_modules/left/node_modules/deep", deep(second)),
        ]
    };
    let strong = &*built.integrity;
    for (first, second) in [(&*weak, strong), (strong, &*weak)] {
        write(&project, &manifest, &entries(first, second));
        let tree = install(&project, &[]);
        assert!(
            tree.contains_key("left/node_modules/deep/package.json"),
            "{tree:?}"
        );
    }
    let lie = integrity::sha512(b"something else");
    write(&project, &manifest, &entries(&lie, &weak));
    let said = project.fail(&INSTALL);
    assert!(said.contains("ERR_PNPM_TARBALL_INTEGRITY"), "{said}");
    write(&project, &manifest, &entries(&lie, strong));
    let said = project.fail(&INSTALL);
    assert!(
        said.contains("other content for the same version"),
        "{said}"
    );
}

#[test]
fn places_that_lead_elsewhere_are_refused() {
    for (location, code) in [
        ("node_modules/../../out", "ERR_PNPM_INVALID_DEPENDENCY_NAME"),
        ("node_modules/..", "ERR_PNPM_INVALID_DEPENDENCY_NAME"),
        (
            "node_modules/left/../../../out",
            "ERR_PNPM_INVALID_DEPENDENCY_NAME",
        ),
        ("/node_modules/left", "ERR_PNPM_INVALID_DEPENDENCY_NAME"),
        ("/tmp/node_modules/left", "ERR_PNPM_INVALID_DEPENDENCY_NAME"),
        ("node_modules/.bin", "ERR_PNPM_INVALID_DEPENDENCY_NAME"),
        (
            "node_modules/.package-lock.json",
            "ERR_PNPM_INVALID_DEPENDENCY_NAME",
        ),
        ("../out/node_modules/left", "ERR_PNPM_BROKEN_LOCKFILE"),
        ("src/node_modules/left", "ERR_PNPM_BROKEN_LOCKFILE"),
        (
            "node_modules/a/node_modules/left",
            "ERR_PNPM_BROKEN_LOCKFILE",
        ),
        (
            "node_modules/link/node_modules/left",
            "ERR_PNPM_BROKEN_LOCKFILE",
        ),
    ] {
        let project = Project::new();
        let manifest = manifest(json!({ "dependencies": { "left": "1.0.0" } }));
        let left = locked(&project, &Package::new("left", "1.0.0"), json!({}));
        project.write("lib/package.json", "{}");
        let entries = [
            ("lib", json!({})),
            ("node_modules/left", left.clone()),
            (
                "node_modules/link",
                json!({ "resolved": "lib", "link": true }),
            ),
            (location, left),
        ];
        write(&project, &manifest, &entries);
        let said = refused(&project);
        assert!(said.contains(code), "{location}: {said}");
        assert!(!project.path("out").exists(), "{location}");
        assert!(project.registry.take_requests().is_empty(), "{location}");
    }
}

#[test]
fn links_to_what_is_not_of_the_lockfile_are_refused() {
    for target in [
        "/etc",
        "../../etc",
        "lib/../..",
        "nothing",
        "node_modules/link",
    ] {
        let project = Project::new();
        let manifest = manifest(json!({ "dependencies": { "link": "file:lib" } }));
        let link = json!({ "resolved": target, "link": true });
        write(&project, &manifest, &[("node_modules/link", link)]);
        let said = refused(&project);
        assert!(
            said.contains("ERR_PNPM_BROKEN_LOCKFILE"),
            "{target}: {said}"
        );
    }
}

#[test]
fn what_is_no_lockfile_is_refused() {
    let (project, left) = (Project::new(), Package::new("left", "1.0.0"));
    let manifest = manifest(json!({ "dependencies": { "left": "1.0.0" } }));
    let entry = locked(&project, &left, json!({}));
    let good = text(3, &manifest, &[("node_modules/left", entry)]);
    project.write("package.json", &manifest.to_string());
    let conflict = format!("<<<<<<< HEAD\n{good}=======\n{good}>>>>>>> other\n");
    let twice = good.replacen("\"version\"", "\"version\": \"9.9.9\", \"version\"", 1);
    let first = good.replace("\"lockfileVersion\": 3", "\"lockfileVersion\": 1");
    let later = good.replace("\"lockfileVersion\": 3", "\"lockfileVersion\": 4");
    for (what, lock, code) in [
        ("half", &good[..good.len() / 2], "ERR_PNPM_BROKEN_LOCKFILE"),
        ("empty", "", "ERR_PNPM_BROKEN_LOCKFILE"),
        ("a list", "[]", "ERR_PNPM_BROKEN_LOCKFILE"),
        ("a conflict", &conflict, "ERR_PNPM_BROKEN_LOCKFILE"),
        ("a key twice", &twice, "ERR_PNPM_BROKEN_LOCKFILE"),
        ("version 1", &first, "ERR_PNPM_LOCKFILE_BREAKING_CHANGE"),
        ("version 4", &later, "ERR_PNPM_LOCKFILE_BREAKING_CHANGE"),
    ] {
        project.write(LOCKFILE, lock);
        let said = refused(&project);
        assert!(said.contains(code), "{what}: {said}");
    }
    project.write(LOCKFILE, &good);
    assert_eq!(places(&install(&project, &[])), ["left"]);
}

#[test]
fn a_manifest_that_no_longer_fits_is_refused_with_what_does_not() {
    let project = Project::new();
    let (_, entries) = nested(&project);
    let now = manifest(json!({ "dependencies": {
        "left": "^2.0.0", "@s/right": "2.0.0", "new": "1.0.0",
    } }));
    write(&project, &now, &entries);
    let said = refused(&project);
    assert!(said.contains("ERR_PNPM_OUTDATED_LOCKFILE"), "{said}");
    // In npm's words.
    for problem in [
        "Missing: new@1.0.0 from lock file",
        "Invalid: lock file's left@1.2.0 does not satisfy left@^2.0.0",
    ] {
        assert!(said.contains(problem), "{said}");
    }
    assert!(said.contains("hint:"), "{said}");
    assert!(project.registry.take_requests().is_empty());
}

#[test]
fn scripts_run_as_allow_builds_says() {
    let project = Project::new();
    let manifest = manifest(json!({ "dependencies": { "left": "1.0.0", "right": "1.0.0" } }));
    let package =
        |name: &str| Package::new(name, "1.0.0").script("postinstall", "echo made > made.txt");
    let script = || json!({ "hasInstallScript": true });
    let entries = [
        (
            "node_modules/left",
            locked(&project, &package("left"), script()),
        ),
        (
            "node_modules/right",
            locked(&project, &package("right"), script()),
        ),
    ];
    write(&project, &manifest, &entries);
    project.write(
        "pnpm-workspace.yaml",
        "allowBuilds:\n  left: true\n  right: false\n",
    );
    project.succeed(&["install", "--no-virtual"]);
    let tree = tree(&project.node_modules());
    assert_eq!(tree["left/made.txt"], "f false made\n");
    assert!(!tree.contains_key("right/made.txt"));
}

#[test]
fn what_would_change_the_lockfile_is_refused_and_changes_nothing() {
    let project = Project::new();
    let (manifest, entries) = nested(&project);
    write(&project, &manifest, &entries);
    let before = tree(&project.root());
    for arguments in [
        &["add", "deep"][..],
        &["remove", "left"],
        &["update"],
        &["dedupe"],
        &["install", "--lockfile-only"],
    ] {
        let said = project.fail(arguments);
        assert!(
            said.contains("ERR_PACQUET_LOCKED_BY_NPM"),
            "{arguments:?}: {said}"
        );
        assert!(said.contains("hint:"), "{arguments:?}: {said}");
        assert_eq!(tree(&project.root()), before, "{arguments:?}");
    }
}

#[test]
fn list_and_why_tell_of_what_is_installed() {
    let project = Project::new();
    let (manifest, entries) = nested(&project);
    write(&project, &manifest, &entries);
    install(&project, &[]);
    let listed = project.succeed(&["list", "--depth", "1"]);
    assert!(
        listed.contains("left@1.2.0") && listed.contains("deep@2.0.0"),
        "{listed}"
    );
    let why = project.succeed(&["why", "deep"]);
    assert!(
        why.contains("deep@1.0.0") && why.contains("deep@2.0.0"),
        "{why}"
    );
}
