//! What projects of one workspace choose for each other: versions, peers, and copies of projects.

use std::fs;

use pacquet_test_registry::Package;
use serde_json::json;

use crate::project::Project;

/// The lockfile after an install.
fn resolved(project: &Project) -> String {
    project.succeed(&["install", "--lockfile-only", "--no-frozen-lockfile"]);
    fs::read_to_string(project.root().join("pnpm-lock.yaml")).expect("it was written")
}

#[test]
fn a_workspace_without_projects_has_nothing_to_install() {
    let project = Project::new();
    project.write("pnpm-workspace.yaml", "packages:\n  - packages/*\n");
    for command in [&["install"][..], &["install", "--frozen-lockfile"], &["ci"]] {
        project.succeed(command);
    }
    project.write("packages/a/package.json", r#"{"name":"a"}"#);
    project.write("others/b/package.json", r#"{"name":"b"}"#);
    let listed = project.succeed(&["-r", "exec", "--workspace-packages=others/*", "pwd"]);
    assert!(listed.ends_with("/others/b\n"), "{listed}");
}

#[test]
fn entries_of_catalogs_that_nobody_names_go_where_that_is_set() {
    let packages = [Package::new("left", "1.0.0"), Package::new("top", "1.0.0")];
    let catalogs = "# before\ncatalog:\n  left: ^1.0.0\n  # after\n  gone: ^1.0.0\ncatalogs:\n  \
                    named:\n    top: 1.0.0\n    gone: 1.0.0\n  unused:\n    top: 1.0.0\n";
    let manifest = r#"{"dependencies":{"left":"catalog:","top":"catalog:named"}}"#;
    let settings = format!("cleanupUnusedCatalogs: true\n{catalogs}");
    let project = Project::workspace(&packages, &settings, &[("a", manifest)]);
    resolved(&project);
    let settings = || fs::read_to_string(project.root().join("pnpm-workspace.yaml")).unwrap();
    let kept = "# before\ncatalog:\n  left: ^1.0.0\ncatalogs:\n  named:\n    top: 1.0.0\n";
    let said = settings();
    assert!(said.contains("left: ^1.0.0") && said.contains("named:\n    top: 1.0.0\n"));
    assert!(!said.contains("gone") && !said.contains("unused"), "{said}");
    assert!(kept.lines().all(|line| said.contains(line)), "{said}");
    project.succeed(&["install", "--no-virtual"]);
    project.succeed(&["--filter", "./packages/a", "remove", "left"]);
    assert!(!settings().contains("left"), "{}", settings());
    project.succeed(&["install", "--frozen-lockfile", "--no-virtual"]);
}

#[test]
fn a_project_that_no_pattern_means_stands_for_itself() {
    let packages = [Package::new("leaf", "1.0.0"), Package::new("leaf", "1.1.0")];
    let settings = "overrides:\n  leaf: 1.0.0\n";
    let inside = r#"{"dependencies":{"leaf":"^1.0.0"}}"#;
    let project = Project::workspace(&packages, settings, &[("a", inside)]);
    // Of what stands at the root of the workspace nothing is read.
    let registry = format!("registry={}\n", project.registry.url());
    project.write_home(".npmrc", &registry);
    project.write("examples/b/package.json", inside);
    project.write("examples/b/src/file", "");
    let there = |path: &str| project.root().join(path).exists();
    project.succeed(&["-C", "examples/b", "install", "--no-virtual"]);
    let lockfile = project.root().join("examples/b/pnpm-lock.yaml");
    let lockfile = fs::read_to_string(lockfile).expect("it was written");
    assert!(lockfile.contains("leaf@1.1.0"), "{lockfile}");
    assert!(!lockfile.contains("overrides"), "{lockfile}");
    assert!(!there("node_modules") && there("examples/b/node_modules/leaf"));
    let below = project.root().join("examples/b/src");
    let mut command = project.command(&["remove", "leaf", "--virtual=false"]);
    assert!(command.current_dir(below).status().unwrap().success());
    assert!(!there("examples/b/node_modules/leaf"));
    let said = project.fail(&["-C", "examples/b", "-w", "root"]);
    assert!(said.contains("ERR_PNPM_NOT_IN_WORKSPACE"), "{said}");

    project.succeed(&["-C", "packages/a", "install", "--no-virtual"]);
    assert!(there("pnpm-lock.yaml") && !there("packages/a/pnpm-lock.yaml"));
    // Where nothing but settings is in the file, the workspace is its root alone.
    project.write("pnpm-workspace.yaml", settings);
    project.succeed(&["-C", "packages/a", "install", "--no-virtual"]);
    assert!(there("packages/a/pnpm-lock.yaml"));
}

#[test]
fn what_a_project_had_goes_with_the_last_of_its_dependencies() {
    let packages = [Package::new("leaf", "1.0.0")
        .bin("leaf", "x.js")
        .file("x.js", "#!x")];
    let manifest = r#"{"name":"a","dependencies":{"leaf":"1.0.0"}}"#;
    let project = Project::workspace(&packages, "", &[("a", manifest)]);
    project.succeed(&["install", "--no-virtual"]);
    let modules = project.root().join("packages/a/node_modules");
    fs::write(modules.join("own"), "").expect("written");
    assert!(modules.join("leaf").symlink_metadata().is_ok());
    project.succeed(&["--filter", "a", "remove", "leaf"]);
    let left: Vec<_> = fs::read_dir(&modules).expect("there").flatten().collect();
    assert_eq!(left.len(), 1, "{left:?}");
    assert_eq!(left[0].file_name(), "own");
}

#[test]
fn the_lockfile_may_stand_in_another_directory_than_the_project() {
    let project = Project::new();
    project.registry.publish(&Package::new("leaf", "1.0.0"));
    let registry = format!("registry={}\n", project.registry.url());
    project.write_home(".npmrc", &registry);
    project.write("a/package.json", r#"{"dependencies":{"leaf":"1.0.0"}}"#);
    project.succeed(&["-C", "a", "install", "--lockfile-dir=..", "--no-virtual"]);
    let lockfile = fs::read_to_string(project.root().join("pnpm-lock.yaml")).expect("written");
    assert!(lockfile.contains("\n  a:\n"), "{lockfile}");
    assert!(project.root().join("a/node_modules/leaf").exists());
}

#[test]
fn the_project_that_meets_a_dependency_first_decides_for_those_after_it() {
    let packages = [
        Package::new("deep", "1.0.0"),
        Package::new("deep", "2.0.0"),
        Package::new("first", "1.0.0").dependency("deep", "*"),
        Package::new("second", "1.0.0").dependency("deep", "*"),
        Package::new("other", "1.0.0").dependency("deep", ">=1"),
    ];
    let prefers = r#"{"dependencies":{"deep":"^1.0.0","first":"*"}}"#;
    let follows = r#"{"dependencies":{"second":"*"}}"#;
    let project = Project::workspace(&packages, "", &[("a", prefers), ("b", follows)]);
    let lockfile = resolved(&project);
    assert!(!lockfile.contains("deep@2.0.0"), "{lockfile}");

    // Of another specifier nothing was known, and what came before is not chosen again.
    for manifests in [
        [("a", prefers), ("b", r#"{"dependencies":{"other":"*"}}"#)],
        [("a", follows), ("b", prefers)],
    ] {
        let project = Project::workspace(&packages, "", &manifests);
        let lockfile = resolved(&project);
        assert!(lockfile.contains("deep@2.0.0"), "{lockfile}");
    }
}

#[test]
fn a_copy_that_comes_to_what_the_project_has_is_a_link() {
    let packages = [
        Package::new("tool", "1.0.0"),
        Package::new("host", "1.0.0").dependency("middle", "*"),
        Package::new("middle", "1.0.0").optional_peer_dependency("tool", "*"),
        Package::new("plugin", "1.0.0").peer_dependency("host", "*"),
    ];
    let manifests = [
        (
            "a",
            r#"{"name":"a","version":"1.0.0","dependencies":{"plugin":"*","tool":"*"}}"#,
        ),
        ("b", r#"{"dependencies":{"a":"workspace:*"}}"#),
    ];
    let project = Project::workspace(&packages, "injectWorkspacePackages: true\n", &manifests);
    let lockfile = resolved(&project);
    assert!(lockfile.contains("version: link:../a\n"), "{lockfile}");
    assert!(!lockfile.contains("file:packages"), "{lockfile}");
}

#[test]
fn a_copy_is_a_link_where_the_project_takes_on_what_the_copy_has() {
    let packages = [
        Package::new("host", "2.0.0"),
        Package::new("plugin", "1.0.0").optional_peer_dependency("host", "3"),
    ];
    let copied = r#"{"name":"a","version":"1.0.0","dependencies":{"plugin":"*"}}"#;
    let copies = r#"{"dependencies":{"a":"workspace:*","host":"*"}}"#;
    for (dedupes, version) in [
        ("true", "link:../a"),
        ("false", "file:packages/a(host@2.0.0)"),
    ] {
        let settings = format!("injectWorkspacePackages: true\ndedupePeerDependents: {dedupes}\n");
        let manifests = [("a", copied), ("b", copies)];
        let lockfile = resolved(&Project::workspace(&packages, &settings, &manifests));
        let expected = format!("version: {version}\n");
        assert!(lockfile.contains(&expected), "{lockfile}");
    }
}

#[test]
fn links_of_a_copy_are_those_of_the_project_where_their_texts_are() {
    let copied = r#"{"name":"a","version":"1.0.0","dependencies":{"b":"workspace:../b"}}"#;
    let beside = r#"{"name":"b","version":"1.0.0"}"#;
    for (specifier, version) in [("workspace:../b", "link"), ("workspace:*", "file")] {
        let copied = copied.replace("workspace:../b", specifier);
        let project = Project::workspace(&[], "", &[("a", &copied), ("b", beside)]);
        project.write(
            "package.json",
            r#"{"dependencies":{"a":"file:packages/a"}}"#,
        );
        let lockfile = resolved(&project);
        let expected = format!("version: {version}:packages/a\n");
        assert!(lockfile.contains(&expected), "{lockfile}");
    }
}

#[test]
fn a_link_becomes_a_copy_when_its_peers_become_others() {
    let packages = [
        Package::new("host", "1.0.0"),
        Package::new("host", "2.0.0"),
        Package::new("plugin", "1.0.0").peer_dependency("host", "*"),
    ];
    let copied = concat!(
        r#"{"name":"a","version":"1.0.0","dependencies":{"plugin":"*"},"#,
        r#""devDependencies":{"host":"2.0.0"},"peerDependencies":{"host":"*"}}"#
    );
    let copying = concat!(
        r#"{"dependencies":{"a":"workspace:*","host":"2.0.0"},"#,
        r#""dependenciesMeta":{"a":{"injected":true}}}"#
    );
    let project = Project::workspace(&packages, "", &[("a", copied), ("b", copying)]);
    let lockfile = resolved(&project);
    assert!(lockfile.contains("version: link:../a\n"), "{lockfile}");
    project.write_projects(&[("b", &copying.replace("2.0.0", "1.0.0"))]);
    let lockfile = resolved(&project);
    assert!(
        lockfile.contains("version: file:packages/a(host@1.0.0)\n"),
        "{lockfile}"
    );
}

#[test]
fn what_a_copy_depends_on_keeps_its_version() {
    let packages = [
        Package::new("deep", "1.0.0"),
        Package::new("deep", "2.0.0"),
        Package::new("host", "1.0.0"),
        Package::new("host", "2.0.0"),
    ];
    let copied = concat!(
        r#"{"name":"a","version":"1.0.0","dependencies":{"deep":"*","host":"2.0.0"},"#,
        r#""peerDependencies":{"host":"^1.0.0"}}"#
    );
    let copying = concat!(
        r#"{"dependencies":{"a":"workspace:*"},"#,
        r#""dependenciesMeta":{"a":{"injected":true}}}"#
    );
    let project = Project::workspace(&packages, "", &[("a", copied), ("b", copying)]);
    let lockfile = resolved(&project);
    let copy = "a@file:packages/a(host@1.0.0):\n    dependencies:\n      deep: 2.0.0\n";
    assert!(lockfile.contains(copy), "{lockfile}");
    let more = copying.replace(
        r#""a":"workspace:*""#,
        r#""a":"workspace:*","deep":"^1.0.0""#,
    );
    project.write_projects(&[("b", &more)]);
    let lockfile = resolved(&project);
    assert!(lockfile.contains("deep@1.0.0"), "{lockfile}");
    assert!(lockfile.contains(copy), "{lockfile}");
}

#[test]
fn a_locked_pre_release_stays_for_as_long_as_the_words_do() {
    let packages = [
        Package::new("early", "2.0.0"),
        Package::new("early", "2.1.0-rc.1"),
    ];
    let manifest = r#"{"dependencies":{"early":"^2.1.0-rc.1"}}"#;
    let project = Project::workspace(&packages, "", &[("a", manifest)]);
    assert!(resolved(&project).contains("early@2.1.0-rc.1"));
    project.write_projects(&[("a", &manifest.replace("^2.1.0-rc.1", "2.x"))]);
    let lockfile = resolved(&project);
    assert!(lockfile.contains("early@2.0.0"), "{lockfile}");
    assert!(!lockfile.contains("rc.1"), "{lockfile}");
}

#[test]
fn what_a_project_took_the_place_of_comes_back_when_it_is_taken_away() {
    let packages = [
        Package::new("shared", "2.0.0"),
        Package::new("shared", "3.0.0"),
        Package::new("owner", "1.0.0")
            .dependency("shared", "^2.0.0")
            .optional_peer_dependency("shared", "*"),
        Package::new("outer", "1.0.0").dependency("owner", "*"),
    ];
    let manifest = r#"{"dependencies":{"outer":"*","shared":"3.0.0"}}"#;
    let project = Project::workspace(&packages, "", &[("a", manifest)]);
    let lockfile = resolved(&project);
    assert!(lockfile.contains("outer@1.0.0(shared@3.0.0)"), "{lockfile}");
    project.write_projects(&[("a", r#"{"dependencies":{"outer":"*"}}"#)]);
    let lockfile = resolved(&project);
    assert!(lockfile.contains("  shared@2.0.0"), "{lockfile}");
    assert!(!lockfile.contains("shared@3.0.0"), "{lockfile}");
}

const COPY_OF_A: &str = r#"{"name":"b","dependencies":{"a":"workspace:../a"},
    "dependenciesMeta":{"a":{"injected":true}}}"#;

#[test]
fn links_of_a_copy_begin_at_the_project_whose_copy_it_is() {
    let a = r#"{"name":"a","dependencies":{"c":"workspace:../c"}}"#;
    let projects = [("a", a), ("b", COPY_OF_A), ("c", r#"{"name":"c"}"#)];
    let project = Project::workspace(&[], "", &projects);
    let root = r#"{"dependencies":{"b":"file:packages/b"}}"#;
    project.write("package.json", root);
    let lockfile = resolved(&project);
    let copy = "  a@file:packages/a:\n    dependencies:\n      c: link:packages/c\n";
    assert!(lockfile.contains(copy), "{lockfile}");
}

#[test]
fn what_is_left_out_in_one_place_cannot_be_needed_in_another() {
    // `catalog:` has a meaning in a project and in its copies, not in a directory.
    let packages = [Package::new("leaf", "1.0.0")];
    let a = r#"{"name":"a","dependencies":{"leaf":"catalog:"}}"#;
    let directory = r#"{"optionalDependencies":{"a":"file:../a"}}"#;
    let project = |b: &str| {
        let projects = [("a", a), ("b", b), ("0", directory)];
        Project::workspace(&packages, "catalog:\n  leaf: ^1.0.0\n", &projects)
    };
    let needed = project(COPY_OF_A);
    let failed = needed.fail(&["install", "--lockfile-only"]);
    let code = "ERR_PNPM_SPEC_NOT_SUPPORTED_BY_ANY_RESOLVER  leaf asks for catalog:";
    assert!(failed.contains(code), "{failed}");
    let optional = project(&COPY_OF_A.replace("\"dependencies\"", "\"optionalDependencies\""));
    let lockfile = resolved(&optional);
    assert!(!lockfile.contains("file:packages/a"), "{lockfile}");
}

#[test]
fn a_project_in_another_version_is_told_of_where_no_registry_has_the_package() {
    let a = r#"{"name":"a","version":"2.1.0"}"#;
    let b = r#"{"name":"b","dependencies":{"a":"^1.0.0"}}"#;
    let settings = "linkWorkspacePackages: true\n";
    let project = Project::workspace(&[], settings, &[("a", a), ("b", b)]);
    let failed = project.fail(&["install", "--lockfile-only"]);
    for told in ["ERR_PNPM_NO_MATCHING_VERSION_INSIDE_WORKSPACE", "2.1.0"] {
        assert!(failed.contains(told), "{failed}");
    }
}

#[test]
fn a_project_that_begins_with_what_is_locked_asks_nobody_when_it_was_published() {
    let outer = Package::new("outer", "1.0.0").dependency("inner", "1.0.0");
    let packages = [outer, Package::new("inner", "1.0.0")];
    let a = r#"{"dependencies":{"outer":"^1.0.0"}}"#;
    let settings = "resolutionMode: time-based\n";
    let project = Project::workspace(&packages, settings, &[("a", a), ("b", "{}")]);
    let dated = |lockfile: &str, id: &str| lockfile.contains(&format!("\n  {id}: '"));
    assert!(dated(&resolved(&project), "outer@1.0.0"));
    let b = r#"{"dependencies":{"inner":"1.0.0"}}"#;
    project.write("packages/b/package.json", b);
    project.registry.take_requests();
    let lockfile = resolved(&project);
    assert!(project.registry.take_requests().is_empty());
    let importer = "  packages/b:\n    dependencies:\n      inner:\n";
    assert!(lockfile.contains(importer), "{lockfile}");
    assert!(!dated(&lockfile, "inner@1.0.0"), "{lockfile}");
}

#[test]
fn scripts_that_are_required_are_in_every_project_that_a_run_is_about() {
    let project = Project::workspace(
        &[],
        "requiredScripts: [build]\n",
        &[
            (
                "a",
                r#"{"name":"a","scripts":{"build":"echo a","lint":"echo lint"}}"#,
            ),
            ("b", r#"{"name":"@s/b","scripts":{"lint":"echo lint"}}"#),
            ("c", "{}"),
        ],
    );
    project.succeed(&["install", "--no-virtual"]);
    let without_name = project.root().join("packages/c");
    for flags in [
        &["-r", "run", "build"][..],
        &["-r", "run", "--if-present", "build"],
    ] {
        let said = project.fail(flags);
        let missing = format!(
            "ERR_PNPM_RECURSIVE_RUN_NO_SCRIPT  Missing script \"build\" in packages: @s/b, {}",
            without_name.display()
        );
        assert!(said.contains(&missing) && said.contains("hint: "), "{said}");
    }
    project.succeed(&["--filter", "a", "run", "build"]);
    project.succeed(&["-r", "run", "lint"]);
}

/// `modulesDir` is where the virtual store is too: what the links of a project lead to is there.
#[test]
fn links_of_projects_lead_to_the_directory_of_modules_that_is_set() {
    let package = Package::new("one", "1.0.0").bin("tool", "tool.js");
    let package = package.file("tool.js", "#!/usr/bin/env node\n");
    for modules in ["nm", "deep/modules"] {
        let project = Project::workspace(
            std::slice::from_ref(&package),
            &format!("modulesDir: {modules}\ndedupeInjectedDeps: false\n"),
            &[
                ("b", r#"{"name":"b","dependencies":{"one":"1.0.0"}}"#),
                (
                    "a",
                    r#"{"dependencies":{"one":"1.0.0","b":"workspace:*"},
                        "dependenciesMeta":{"b":{"injected":true}}}"#,
                ),
            ],
        );
        project.write("package.json", r#"{"dependencies":{"one":"1.0.0"}}"#);
        project.succeed(&["install", "--no-virtual"]);
        for place in ["", "packages/a/", "packages/b/"] {
            for path in ["one/package.json", ".bin/tool"] {
                let path = project.root().join(format!("{place}{modules}/{path}"));
                assert!(path.exists(), "{}", path.display());
            }
        }
        let copy = project
            .root()
            .join(format!("packages/a/{modules}/b/package.json"));
        assert!(copy.exists(), "{modules}");
        let state = project.root().join(modules).join(".modules.yaml");
        let state = fs::read_to_string(state).expect("there");
        let place = format!("\"{modules}/.pnpm/b@file+packages+b/node_modules/b\"");
        assert!(state.contains(&place), "{state}");
    }
}

#[test]
fn a_patch_may_be_for_one_project_of_those_that_have_lockfiles_of_their_own() {
    let patch = "diff --git a/n.txt b/n.txt\nnew file mode 100644\nindex 0000000..3e75765\n\
                 --- /dev/null\n+++ b/n.txt\n@@ -0,0 +1 @@\n+new\n";
    let project = Project::workspace(
        &[Package::new("one", "1.0.0")],
        "sharedWorkspaceLockfile: false\npatchedDependencies:\n  one: one.patch\n",
        &[
            ("a", r#"{"name":"a","dependencies":{"one":"1.0.0"}}"#),
            ("b", r#"{"name":"b"}"#),
        ],
    );
    project.write("one.patch", patch);
    project.succeed(&["install", "--no-virtual"]);
    let patched = project.root().join("packages/a/node_modules/one/n.txt");
    assert!(patched.exists());
    project.succeed(&["install", "--no-virtual", "--frozen-lockfile"]);
}

#[test]
fn patterns_of_hoisting_are_given_one_a_flag() {
    let packages = ["one", "two", "three"].map(|name| Package::new(name, "1.0.0"));
    let top = packages
        .iter()
        .fold(Package::new("top", "1.0.0"), |top, package| {
            top.dependency(package.name(), "1.0.0")
        });
    let project = Project::new();
    for package in packages.iter().chain([&top]) {
        project.registry.publish(package);
    }
    project.write("package.json", r#"{"dependencies":{"top":"1.0.0"}}"#);
    let flags = [
        "install",
        "--no-virtual",
        "--public-hoist-pattern=one",
        "--public-hoist-pattern=t*o",
    ];
    project.succeed(&flags);
    let there = |name: &str| project.node_modules().join(name).exists();
    assert_eq!(["one", "two", "three"].map(there), [true, true, false]);
}

#[test]
fn what_a_project_asks_for_itself_counts_below_the_peers_that_it_is_given() {
    let packages = [
        Package::new("deep", "1.0.0"),
        Package::new("deep", "2.0.0"),
        Package::new("first", "1.0.0").dependency("deep", "*"),
        Package::new("host", "1.0.0").dependency("middle", "1"),
        Package::new("middle", "1.0.0").dependency("deep", "*"),
        Package::new("plugin", "1.0.0").peer_dependency("host", "1"),
    ];
    let first = r#"{"dependencies":{"first":"1"}}"#;
    for (own, expected) in [(r#""deep":"1.0.0","#, "1.0.0"), ("", "2.0.0")] {
        let given = format!(r#"{{"dependencies":{{{own}"plugin":"1"}}}}"#);
        let project = Project::workspace(&packages, "", &[("a", first), ("b", &given)]);
        let lockfile = resolved(&project);
        let expected = format!("  middle@1.0.0:\n    dependencies:\n      deep: {expected}\n");
        assert!(lockfile.contains(&expected), "{lockfile}");
    }
}

#[test]
fn a_peer_that_is_to_be_of_the_workspace_is_no_package_of_the_registry() {
    let packages = [
        Package::new("tool", "1.0.0"),
        Package::new("has-tool", "1.0.0").dependency("tool", "1"),
        Package::new("asks", "1.0.0").peer_dependency("tool", "workspace:*"),
        Package::new("may", "1.0.0").optional_peer_dependency("tool", "workspace:^1.0.0"),
        Package::new("plain", "1.0.0").peer_dependency("tool", "^1.0.0"),
    ];
    let root = json!({ "dependencies": {
        "asks": "1.0.0", "has-tool": "1.0.0", "may": "1.0.0", "plain": "1.0.0"
    } });
    for (installs, expected) in [(true, "(tool@packages+tool)"), (false, "")] {
        let settings = format!("autoInstallPeers: {installs}\n");
        let tool = r#"{"name":"tool","version":"1.2.0"}"#;
        let project = Project::workspace(&packages, &settings, &[("tool", tool)]);
        project.write("package.json", &root.to_string());
        let locked = resolved(&project);
        for name in ["asks", "plain"] {
            let key = format!("\n  {name}@1.0.0{expected}:");
            assert!(locked.contains(&key), "{installs}: {locked}");
        }
    }
    let root = json!({ "dependencies": { "has-tool": "1.0.0", "may": "1.0.0" } });
    let project = Project::workspace(&packages, "", &[]);
    project.write("package.json", &root.to_string());
    let locked = resolved(&project);
    assert!(locked.contains("\n  may@1.0.0: {}\n"), "{locked}");
}

#[test]
fn what_other_installers_know_as_a_workspace_becomes_one() {
    let project = Project::new();
    project.registry.publish(&Package::new("leaf", "1.0.0"));
    let manifest = r#"{"workspaces":["packages/*","!packages/b"],"pnpm":{"overrides":{},"app":1}}"#;
    project.write("package.json", manifest);
    for name in ["a", "b"] {
        let manifest = r#"{"dependencies":{"leaf":"1.0.0"}}"#;
        project.write(&format!("packages/{name}/package.json"), manifest);
    }
    let file = project.root().join("pnpm-workspace.yaml");
    let said = project.fail(&["add", "absent"]);
    assert!(said.contains("404") && !file.exists(), "{said}");
    project.succeed(&["install", "--no-virtual", "--ignore-workspace"]);
    assert!(!file.exists() && !project.root().join("packages/a/node_modules").exists());
    let told = project.run(&["install", "--no-virtual"]);
    let told = String::from_utf8_lossy(&told.stderr).into_owned();
    assert!(told.contains("is the place of: overrides ["), "{told}");
    let written = fs::read_to_string(&file).expect("it was written");
    assert_eq!(written, "packages:\n  - packages/*\n  - '!packages/b'\n");
    assert!(project.root().join("packages/a/node_modules/leaf").exists());
    assert!(!project.root().join("packages/b/node_modules").exists());
}

#[test]
fn entries_of_catalogs_may_be_projects_and_directories_relative_to_the_root() {
    for (entry, version) in [
        ("workspace:*", "link:../b"),
        ("workspace:./packages/b", "link:../b"),
        ("link:packages/b", "link:../b"),
        ("link:outside", "link:../../outside"),
        ("file:packages/b", "link:../b"),
    ] {
        let settings = format!("catalog:\n  b: {entry}\n");
        let asks = r#"{"name":"a","dependencies":{"b":"catalog:"}}"#;
        let is_asked = r#"{"name":"b","version":"1.0.0"}"#;
        let project = Project::workspace(&[], &settings, &[("a", asks), ("b", is_asked)]);
        project.write("outside/package.json", is_asked);
        let locked = resolved(&project);
        let recorded = format!("catalogs:\n  default:\n    b:\n      specifier: {entry}\n");
        assert!(
            locked.contains(&format!("{recorded}      version: {entry}\n")),
            "{locked}"
        );
        let dependency = format!("        specifier: 'catalog:'\n        version: {version}\n");
        assert!(locked.contains(&dependency), "{locked}");
        project.succeed(&["install", "--frozen-lockfile", "--lockfile-only"]);
    }
}

#[test]
fn a_tag_behind_the_protocol_of_workspaces_is_of_any_version() {
    let inner = r#"{"name":"inner","version":"1.2.3-beta.1"}"#;
    let outer = r#"{"name":"outer","dependencies":{"inner":"workspace:next"}}"#;
    let project = Project::workspace(&[], "", &[("inner", inner), ("outer", outer)]);
    let lockfile = resolved(&project);
    let entry = "specifier: workspace:next\n        version: link:../inner";
    assert!(lockfile.contains(entry), "{lockfile}");
    project.succeed(&["install", "--frozen-lockfile", "--no-virtual"]);
}
