//! Commands and flags in places where they have little or nothing to work with.

use std::fs;

use pacquet_test_registry::Package;
use serde_json::json;

use crate::project::{Project, can_mount};

fn said(project: &Project, arguments: &[&str]) -> (bool, String) {
    let output = project.run(arguments);
    let both = [output.stdout, output.stderr].concat();
    let text = String::from_utf8_lossy(&both).into_owned();
    (output.status.success(), text)
}

fn with_packages(names: &[&str]) -> Project {
    let project = Project::new();
    for name in names {
        for version in ["1.0.0", "1.1.0"] {
            project.registry.publish(&Package::new(name, version));
        }
    }
    project
}

fn manifest(project: &Project) -> String {
    fs::read_to_string(project.root().join("package.json")).unwrap_or_default()
}

#[test]
fn without_a_project_commands_end_as_those_of_pnpm() {
    let project = with_packages(&["one"]);
    for command in [
        &["update"][..],
        &["dedupe"],
        &["rebuild"],
        &["prune"],
        &["list"],
        &["why", "one"],
        &["outdated"],
        &["unlink"],
        &["peers", "check"],
        &["fetch"],
        &["prefix"],
    ] {
        let (is_success, text) = said(&project, command);
        assert!(is_success, "{command:?}: {text}");
    }
    for (command, code) in [
        (&["install"][..], "ERR_PNPM_NO_PKG_MANIFEST"),
        (&["ci"], "ERR_PNPM_NO_PKG_MANIFEST"),
        (&["run", "x"], "ERR_PNPM_NO_IMPORTER_MANIFEST_FOUND"),
        (&["test"], "ERR_PNPM_NO_IMPORTER_MANIFEST_FOUND"),
        (&["remove", "x"], "ERR_PNPM_CANNOT_REMOVE_MISSING_DEPS"),
        (&["import"], "ERR_PNPM_LOCKFILE_NOT_FOUND"),
        (&["licenses", "list"], "ERR_PNPM_LICENSES_NO_LOCKFILE"),
        (&["completion"], "ERR_PNPM_MISSING_SHELL_NAME"),
        (&["completion", "none"], "ERR_PNPM_UNSUPPORTED_SHELL"),
    ] {
        let text = project.fail(command);
        assert!(text.contains(code), "{command:?}: {text}");
    }
    let left: Vec<_> = fs::read_dir(project.root()).unwrap().collect();
    assert_eq!(left.len(), 1, "nothing but .npmrc: {left:?}");
    assert!(said(&project, &["completion", "pwsh"]).0);
}

#[test]
fn add_begins_a_project_and_install_adds() {
    let project = with_packages(&["one", "two"]);
    project.fail(&["add", "absent"]);
    assert!(!project.root().join("package.json").exists());
    project.succeed(&["add", "one"]);
    let expected =
        "\n  \"license\": \"ISC\",\n  \"dependencies\": {\n    \"one\": \"^1.1.0\"\n  }\n}\n";
    assert!(manifest(&project).ends_with(expected));
    project.succeed(&["install", "-D", "two@1.0.0"]);
    assert!(manifest(&project).contains("\"devDependencies\": {\n    \"two\": \"1.0.0\""));
    assert!(project.node_modules().join("two/package.json").exists());
}

#[test]
fn a_project_that_depends_on_nothing_needs_no_lockfile() {
    let project = Project::new();
    project.write("package.json", r#"{"name":"app"}"#);
    project.succeed(&["install", "--frozen-lockfile"]);
    project.succeed(&["ci"]);
    project.write("package.json", r#"{"name":"app","dependencies":{"a":"1"}}"#);
    let text = project.fail(&["install", "--frozen-lockfile"]);
    assert!(text.contains("ERR_PNPM_NO_LOCKFILE"), "{text}");
}

#[test]
fn ci_begins_anew_and_removes_nothing_where_it_cannot() {
    let project = with_packages(&["one"]);
    project.write(
        "package.json",
        r#"{"name":"app","dependencies":{"one":"1.0.0"}}"#,
    );
    project.succeed(&["install"]);
    let stray = project.node_modules().join("stray");
    fs::write(&stray, "").unwrap();
    project.write(
        "package.json",
        r#"{"name":"app","dependencies":{"one":"1.1.0"}}"#,
    );
    let text = project.fail(&["ci"]);
    assert!(text.contains("ERR_PNPM_OUTDATED_LOCKFILE"), "{text}");
    assert!(stray.exists());
    project.succeed(&["install", "--lockfile-only"]);
    project.succeed(&["ci"]);
    assert!(!stray.exists());
    assert!(project.node_modules().join("one/package.json").exists());
    project.succeed(&["clean", "--lockfile"]);
    assert!(!project.node_modules().exists());
    assert!(!project.root().join("pnpm-lock.yaml").exists());
}

#[test]
fn ci_takes_down_what_is_served_and_serves_it_again() {
    if !can_mount("ci_takes_down_what_is_served_and_serves_it_again") {
        return;
    }
    let one = Package::new("one", "1.0.0");
    let dependent = json!({ "name": "app", "dependencies": { "one": "1.0.0" } });
    let project = Project::locked(&dependent, &[one]);
    project.install();
    fs::write(project.node_modules().join("stray"), "").unwrap();
    project.succeed(&["ci", "--virtual"]);
    assert!(project.is_mounted());
    assert!(!project.node_modules().join("stray").exists());
    project.succeed(&["clean"]);
    assert!(!project.is_mounted());
    assert!(!project.node_modules().exists());
}

#[test]
fn a_filter_chooses_the_projects_that_are_changed() {
    let project = with_packages(&["one"]);
    project.write("pnpm-workspace.yaml", "packages: ['p/*']\n");
    project.write("package.json", r#"{"name":"root"}"#);
    project.write("p/a/package.json", r#"{"name":"a"}"#);
    project.write("p/b/package.json", r#"{"name":"b","version":"1.0.0"}"#);
    let text = |name: &str| {
        fs::read_to_string(project.root().join(format!("p/{name}/package.json"))).unwrap()
    };
    project.succeed(&["--filter", "a", "add", "one@1.0.0", "--lockfile-only"]);
    assert!(text("a").contains("one"), "{}", text("a"));
    assert!(!text("b").contains("one") && !manifest(&project).contains("one"));
    project.succeed(&[
        "--filter",
        "a",
        "add",
        "--workspace",
        "b",
        "--lockfile-only",
    ]);
    assert!(text("a").contains("workspace:*"), "{}", text("a"));
    let failed = project.fail(&["--filter", "a", "add", "--workspace", "one"]);
    assert!(
        failed.contains("ERR_PNPM_WORKSPACE_PACKAGE_NOT_FOUND"),
        "{failed}"
    );
    project.succeed(&["add", "-w", "one@1.0.0", "--lockfile-only"]);
    project.succeed(&["update", "-r", "-w", "--latest", "--lockfile-only"]);
    assert!(text("a").contains("1.0.0"), "{}", text("a"));
    assert!(manifest(&project).contains("1.1.0"));
    project.succeed(&["remove", "-r", "-w", "one", "--lockfile-only"]);
    assert!(text("a").contains("one") && !manifest(&project).contains("one"));
    project.succeed(&["--filter", "a", "remove", "one", "b", "--lockfile-only"]);
    assert!(!text("a").contains("one"), "{}", text("a"));
    let (is_success, none) = said(&project, &["--filter", "none", "add", "one"]);
    assert!(is_success && none.contains("No projects matched"), "{none}");
    project.succeed(&["add", "one", "--lockfile-only"]);
    assert!(manifest(&project).contains("one"));
}

#[test]
fn a_dry_run_tells_and_writes_nothing() {
    let project = with_packages(&["one", "two"]);
    project.write(
        "package.json",
        r#"{"name":"app","dependencies":{"one":"1.0.0"}}"#,
    );
    let text = project.succeed(&["install", "--dry-run"]);
    assert!(
        text.ends_with("\nImporters\n.\n  + one 1.0.0\n\nPackages\n+ one@1.0.0\n"),
        "{text}"
    );
    assert!(!project.root().join("pnpm-lock.yaml").exists());
    project.succeed(&["install", "--lockfile-only"]);
    let text = project.succeed(&["install", "--dry-run"]);
    assert!(text.contains("Already up to date"), "{text}");
    project.write(
        "package.json",
        r#"{"name":"app","dependencies":{"one":"1.1.0","two":"1.0.0"}}"#,
    );
    let text = project.succeed(&["install", "--dry-run"]);
    let importers = "Importers\n.\n  one 1.0.0 -> 1.1.0\n  + two 1.0.0\n";
    let packages = "Packages\n+ one@1.1.0\n+ two@1.0.0\n- one@1.0.0\n";
    assert!(
        text.contains(importers) && text.ends_with(packages),
        "{text}"
    );
    let frozen = project.fail(&["install", "--dry-run", "--frozen-lockfile"]);
    assert!(frozen.contains("ERR_PNPM_OUTDATED_LOCKFILE"), "{frozen}");
}

#[test]
fn what_pnpm_has_and_this_program_does_not_is_refused_with_what_to_do() {
    let project = Project::new();
    project.write(
        "package.json",
        r#"{"name":"app","scripts":{"stage":"exit 0"}}"#,
    );
    for words in [
        &["publish"][..],
        &["self-update"],
        &["cat-file", "x"],
        &["login"],
        &["outdated", "--include-github-actions"],
        &["add", "x", "--save-build"],
    ] {
        let text = project.fail(words);
        assert!(text.contains("ERR_PACQUET_ABSENT"), "{words:?}: {text}");
        assert!(text.contains("\n\nhint: "), "{words:?}: {text}");
    }
    assert!(project.fail(&["sbom"]).contains("`pnpm sbom`"));
    // A script of the name is meant.
    project.succeed(&["stage"]);
}

#[test]
fn what_is_added_again_has_the_range_that_was_asked_for() {
    let project = with_packages(&["one"]);
    for (known, added, expected) in [
        ("^1.0.0", "one@1.0.0", "1.0.0"),
        ("^1.0.0", "one@~1.0.0", "~1.0.0"),
        ("1.0.0", "one@^1.0.0", "^1.0.0"),
        ("1.0.0", "one@latest", "1.1.0"),
        ("~1.0.0", "one@latest", "~1.1.0"),
        ("~1.0.0", "one@*", "^1.0.0"),
        ("*", "one@latest", "^1.1.0"),
        ("^1.0.0", "npm:one", "^1.0.0"),
        ("npm:one@1.0.0", "one@npm:one", "npm:one@1.0.0"),
    ] {
        let _ = fs::remove_file(project.root().join("pnpm-lock.yaml"));
        let text = json!({ "name": "app", "dependencies": { "one": known } }).to_string();
        project.write("package.json", &text);
        project.succeed(&["install", "--lockfile-only"]);
        project.succeed(&["add", "--lockfile-only", added]);
        let text = manifest(&project);
        let expected = format!(r#""one":"{expected}""#);
        assert!(text.contains(&expected), "{known} {added}: {text}");
    }
}

#[test]
fn flags_that_change_nothing_here_are_taken() {
    let project = with_packages(&["one"]);
    project.write("package.json", r#"{"name":"app"}"#);
    for words in [
        &["add", "-y", "--no-save-types", "--no-save-peer", "one"][..],
        &["--no-color", "list"],
        &["--color=always", "list"],
        &["install", "--use-stderr", "--loglevel=warn"],
        &["prune", "--dev", "--no-ignore-scripts"],
    ] {
        project.succeed(words);
    }
    project.succeed(&["install", "--modules-dir=other", "--frozen-lockfile=false"]);
    assert!(project.root().join("other/one").exists());
    project.succeed(&["install"]);
    project.succeed(&["install", "--modules-dir=third"]);
    assert!(project.root().join("third/one").exists());
    let output = project.run(&["add", "--loglevel=error", "one@1.0.0"]);
    assert!(output.status.success());
    assert_eq!([output.stdout, output.stderr].concat(), b"");
    let elsewhere = project.registry.url();
    project.write(".npmrc", "registry=http://127.0.0.1:9/\n");
    project.write("pnpm-workspace.yaml", "fetchRetries: 0\n");
    project.write("cached/package.json", "{}");
    project.fail(&["dlx", "npm:one"]);
    let said = project.fail(&["dlx", "--registry", &elsewhere, "npm:one"]);
    assert!(said.contains("ERR_PNPM_DLX_NO_BIN"), "{said}");
    let of = ["dlx", "--registry", &elsewhere, "--package=one", "two"];
    let said = project.fail(&of);
    assert!(said.contains("ERR_PNPM_DLX_COMMAND_NOT_FOUND"), "{said}");
}

#[test]
fn without_a_lockfile_none_is_read_and_none_is_written() {
    let project = with_packages(&["one"]);
    let version = || {
        let text = fs::read_to_string(project.node_modules().join("one/package.json")).unwrap();
        let manifest: serde_json::Value = serde_json::from_str(&text).unwrap();
        manifest["version"].as_str().unwrap().to_owned()
    };
    let lockfile = project.root().join("pnpm-lock.yaml");
    project.write("package.json", r#"{"dependencies":{"one":"1.0.0"}}"#);
    project.succeed(&["install", "--no-lockfile"]);
    assert_eq!(version(), "1.0.0");
    project.write("pnpm-workspace.yaml", "lockfile: false\n");
    project.write("package.json", r#"{"dependencies":{"one":"^1.0.0"}}"#);
    project.succeed(&["install"]);
    assert_eq!(version(), "1.0.0", "what is installed is kept");
    project.succeed(&["update"]);
    assert_eq!(version(), "1.1.0");
    project.succeed(&["add", "one@1.0.0"]);
    assert_eq!(version(), "1.0.0");
    let said = project.succeed(&["list"]);
    assert!(said.contains("one@1.0.0"), "{said}");
    assert!(!lockfile.exists());
    let said = project.fail(&["install", "--lockfile-only"]);
    assert!(said.contains("LOCKFILE_ONLY_WITH_NO_LOCKFILE"), "{said}");
    project.write("pnpm-lock.yaml", "nothing that could be read");
    project.succeed(&["remove", "one"]);
    assert_eq!(fs::read(&lockfile).unwrap(), b"nothing that could be read");
}

#[test]
fn a_project_that_needs_another_pnpm_is_refused() {
    let project = Project::new();
    let with = |range: &str| format!(r#"{{"name":"app","engines":{{"pnpm":"{range}"}}}}"#);
    project.write("package.json", &with(">=99"));
    let text = project.fail(&["install"]);
    assert!(text.contains("ERR_PNPM_UNSUPPORTED_ENGINE"), "{text}");
    project.write("package.json", &with(">=9"));
    project.succeed(&["install"]);
}

#[test]
fn packages_are_allowed_to_build_with_the_command_that_brings_them() {
    let project = Project::new();
    let built = Package::new("built", "1.0.0").script("postinstall", "echo done > made");
    project.registry.publish(&built);
    project.write("package.json", r#"{"name":"app"}"#);
    project.succeed(&["add", "built", "--allow-build=built"]);
    assert!(project.node_modules().join("built/made").exists());
    let settings = fs::read_to_string(project.root().join("pnpm-workspace.yaml")).unwrap();
    assert!(
        settings.contains("allowBuilds:\n  built: true\n"),
        "{settings}"
    );
}

#[test]
fn settings_that_contradict_themselves_or_the_machine_are_refused() {
    let project = Project::new();
    project.write(
        "package.json",
        r#"{"name":"app","engines":{"node":">=99"}}"#,
    );
    project.succeed(&["install"]);
    for (settings, code) in [
        ("engineStrict: true\n", "ERR_PNPM_UNSUPPORTED_ENGINE"),
        ("overrides: { 'a>b>': '1' }\n", "ERR_PNPM_INVALID_SELECTOR"),
        (
            "catalog: { a: '1' }\ncatalogs: { default: { a: '1' } }\n",
            "ERR_PNPM_INVALID_CATALOGS_CONFIGURATION",
        ),
    ] {
        project.write("pnpm-workspace.yaml", settings);
        let text = project.fail(&["install", "--no-frozen-lockfile"]);
        assert!(text.contains(code), "{settings}: {text}");
        assert!(text.contains("\n\nhint: "), "{settings}: {text}");
    }
}

#[test]
fn fetching_needs_a_lockfile_where_something_is_depended_on() {
    let project = Project::new();
    project.succeed(&["fetch"]);
    project.write("package.json", r#"{"name":"app","dependencies":{"a":"1"}}"#);
    let text = project.fail(&["fetch"]);
    assert!(text.contains("ERR_PNPM_NO_LOCKFILE"), "{text}");
}

#[test]
fn wrong_arguments_end_as_with_pnpm() {
    let project = with_packages(&["one"]);
    project.write(
        "package.json",
        r#"{"name":"app","dependencies":{"one":"1.0.0"}}"#,
    );
    project.succeed(&["install"]);
    for arguments in [
        &["add"][..],
        &["add", "--nothing", "one"],
        &["dedupe", "one"],
        &["list", "--depth", "x"],
        &["run", "--workspace-concurrency", "x", "y"],
    ] {
        let output = project.run(arguments);
        assert_eq!(output.status.code(), Some(2), "{arguments:?}");
    }
    for (arguments, code) in [
        (
            &["remove", "-r", "two"][..],
            "ERR_PNPM_CANNOT_REMOVE_MISSING_DEPS",
        ),
        (
            &["update", "--latest", "one@1.0.0"],
            "ERR_PNPM_LATEST_WITH_SPEC",
        ),
        (
            &["add", "--workspace", "one"],
            "ERR_PNPM_WORKSPACE_OPTION_OUTSIDE_WORKSPACE",
        ),
        (&["add", "jsr:one"], "ERR_PNPM_INVALID_JSR_SPECIFIER"),
        (&["add", "jsr:@one"], "ERR_PNPM_INVALID_JSR_PACKAGE_NAME"),
        (&["install-test"], "ERR_PNPM_NO_SCRIPT"),
    ] {
        let said = project.fail(arguments);
        assert!(said.contains(code), "{arguments:?}: {said}");
    }
    project.write("pnpm-workspace.yaml", "packages: [a]\n");
    let filtered = ["--fail-if-no-match", "--filter", "x", "list"];
    assert_eq!(project.fail(&filtered), "");
    assert!(project.succeed(&["help", "add"]).contains("pacquet add"));
    assert!(project.succeed(&["help"]).contains("Commands:"));
    assert_eq!(project.succeed(&["install", "-s"]), "");
}

#[test]
fn checksums_become_those_that_registries_have_now() {
    let project = with_packages(&["one"]);
    let dependencies = r#"{"name":"app","dependencies":{"one":"1.0.0"}}"#;
    project.write("package.json", dependencies);
    project.succeed(&["install", "--lockfile-only"]);
    let path = project.root().join("pnpm-lock.yaml");
    let right = fs::read_to_string(&path).unwrap();
    let at = right.find("sha512-").unwrap() + "sha512-".len();
    let other = if right[at..].starts_with('A') {
        "B"
    } else {
        "A"
    };
    let wrong = format!("{}{other}{}", &right[..at], &right[at + 1..]);
    fs::write(&path, &wrong).unwrap();
    project.fail(&["install"]);
    assert_eq!(fs::read_to_string(&path).unwrap(), wrong);
    let said = project.fail(&["install", "--frozen-lockfile", "--update-checksums"]);
    let code = "ERR_PNPM_CONFIG_CONFLICT_FROZEN_LOCKFILE_WITH_UPDATE_CHECKSUMS";
    assert!(said.contains(code), "{said}");
    project.succeed(&["install", "--update-checksums"]);
    assert_eq!(fs::read_to_string(&path).unwrap(), right);
    assert!(project.node_modules().join("one/package.json").exists());
    fs::write(&path, &wrong).unwrap();
    project.succeed(&["install", "--update-checksums", "--lockfile-only"]);
    assert_eq!(fs::read_to_string(&path).unwrap(), right);
}

#[test]
fn a_frozen_lockfile_is_installed_whatever_manifests_say_where_that_is_wanted() {
    let project = with_packages(&["one", "two"]);
    project.write(
        "package.json",
        r#"{"name":"app","dependencies":{"one":"1.0.0"}}"#,
    );
    project.succeed(&["install", "--lockfile-only"]);
    project.write(
        "package.json",
        r#"{"name":"app","dependencies":{"one":"1.1.0","two":"1.0.0"}}"#,
    );
    let frozen = ["install", "--no-virtual", "--frozen-lockfile"];
    let ignoring = [&frozen[..], &["--ignore-manifest-check"]].concat();
    project.succeed(&ignoring);
    let one = project.node_modules().join("one/package.json");
    assert!(fs::read_to_string(one).unwrap().contains("1.0.0"));
    assert!(!project.node_modules().join("two").exists());
    let said = project.fail(&frozen);
    assert!(said.contains("ERR_PNPM_OUTDATED_LOCKFILE"), "{said}");
}

#[test]
fn a_virtual_store_alone_needs_a_node_modules() {
    let project = with_packages(&["one"]);
    project.write("package.json", r#"{"dependencies":{"one":"1.0.0"}}"#);
    project.write(
        "pnpm-workspace.yaml",
        "virtualStoreOnly: true\nenableModulesDir: false\n",
    );
    let said = project.fail(&["install"]);
    let code = "ERR_PNPM_CONFIG_CONFLICT_VIRTUAL_STORE_ONLY_WITH_NO_MODULES_DIR";
    assert!(said.contains(code) && said.contains("hint: "), "{said}");
}
