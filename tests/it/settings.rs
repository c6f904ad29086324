//! Settings that stand for flags or have two names, and what they do to commands.

use std::fs;

use pacquet::install::config::{CliOverrides, Config, Environment};
use pacquet_test_registry::Package;
use serde_json::{Value, json};

use crate::project::Project;

fn project(settings: &str, manifest: &str) -> Project {
    let project = Project::new();
    for version in ["1.0.0", "2.0.0"] {
        project.registry.publish(&Package::new("one", version));
    }
    project.write("pnpm-workspace.yaml", settings);
    project.write("package.json", manifest);
    project
}

fn manifest(project: &Project) -> Value {
    let text = fs::read_to_string(project.root().join("package.json")).unwrap();
    serde_json::from_str(&text).unwrap()
}

#[test]
fn what_is_added_goes_to_peers_too_where_that_is_set() {
    for (words, is_peer) in [
        (&["add", "one"][..], true),
        (&["add", "one", "--no-save-peer"], false),
    ] {
        let project = project("savePeer: true\n", "{}");
        project.succeed(&[words, &["--lockfile-only"]].concat());
        let written = manifest(&project);
        let field = if is_peer {
            "devDependencies"
        } else {
            "dependencies"
        };
        assert_eq!(written[field], json!({ "one": "^2.0.0" }), "{words:?}");
        assert_eq!(written["peerDependencies"].is_null(), !is_peer, "{words:?}");
    }
}

#[test]
fn a_manifest_begins_with_what_is_set() {
    for (settings, field, expected) in [
        ("initVersion: 0.1.0", "version", "0.1.0"),
        ("initLicense: MIT", "license", "MIT"),
        ("initAuthorName: Jo", "author", "Jo"),
        ("initAuthorEmail: jo@x.test", "author", "<jo@x.test>"),
        (
            "initAuthorName: Jo\ninitAuthorUrl: https://x.test\ninitAuthorEmail: jo@x.test",
            "author",
            "Jo <jo@x.test> (https://x.test)",
        ),
    ] {
        let project = project(settings, "{}");
        fs::remove_file(project.root().join("package.json")).unwrap();
        project.succeed(&["init"]);
        assert_eq!(manifest(&project)[field], expected, "{settings}");
    }
}

#[test]
fn what_is_held_back_is_not_outdated() {
    let dependencies = r#"{"dependencies":{"one":"1.0.0"}}"#;
    for (settings, code) in [("", 1), ("update:\n  ignoreDeps: [one]\n", 0)] {
        let project = project(settings, dependencies);
        project.succeed(&["install", "--lockfile-only"]);
        for words in [&["outdated"][..], &["outdated", "one"]] {
            assert_eq!(
                project.run(words).status.code(),
                Some(code),
                "{settings} {words:?}"
            );
        }
    }
}

#[test]
fn who_forces_an_install_has_packages_that_do_not_fit() {
    let project = project(
        "engineStrict: true\n",
        r#"{"dependencies":{"unfit":"1.0.0"}}"#,
    );
    let unfit = Package::new("unfit", "1.0.0").manifest(json!({ "os": ["none"] }));
    project.registry.publish(&unfit);
    let said = project.fail(&["install", "--no-virtual"]);
    assert!(said.contains("ERR_PNPM_UNSUPPORTED_PLATFORM"), "{said}");
    project.succeed(&["install", "--no-virtual", "--force"]);
}

#[test]
fn entries_of_catalogs_go_under_the_other_name_of_the_setting() {
    let project = project("catalogPrune: true\ncatalog:\n  one: ^1.0.0\n", "{}");
    project.succeed(&["install", "--lockfile-only", "--no-frozen-lockfile"]);
    let settings = fs::read_to_string(project.root().join("pnpm-workspace.yaml")).unwrap();
    assert!(!settings.contains("one"), "{settings}");
}

#[test]
fn scripts_show_their_output_as_it_is_set() {
    let line = "packages/one hi: said";
    for (settings, expected) in [
        ("", line),
        ("reporterHidePrefix: true\n", "said"),
        ("aggregateOutput: true\n", line),
    ] {
        let script = r#"{"name":"NAME","scripts":{"hi":"echo said"}}"#;
        let manifests = ["one", "two"].map(|name| script.replace("NAME", name));
        let projects = [("one", &*manifests[0]), ("two", &*manifests[1])];
        let project = Project::workspace(&[], settings, &projects);
        let said = project.succeed(&["-r", "--stream", "run", "hi"]);
        assert!(
            said.lines().any(|one| one == expected),
            "{settings}: {said}"
        );
    }
}

fn config(settings: &str, variables: &[(&str, &str)]) -> Config {
    let home = tempfile::tempdir().unwrap();
    let file = home.path().join(".config/pnpm/config.yaml");
    fs::create_dir_all(file.parent().unwrap()).unwrap();
    fs::write(file, settings).unwrap();
    let own = [("HOME".into(), home.path().into())];
    let all = variables
        .iter()
        .map(|(name, value)| ((*name).into(), (*value).into()));
    let environment = Environment::new(own.into_iter().chain(all), home.path().to_owned());
    Config::load(&environment, &CliOverrides::default(), home.path()).unwrap()
}

#[test]
fn hosts_without_a_proxy_are_named_as_npm_names_them_too() {
    let of = |config: Config| config.network.no_proxy;
    assert_eq!(
        of(config("noproxy: one.test\n", &[])).as_deref(),
        Some("one.test")
    );
    let variable = ("pnpm_config_noproxy", "two.test");
    assert_eq!(of(config("", &[variable])).as_deref(), Some("two.test"));
}

#[test]
fn the_variable_proxy_is_about_http_alone() {
    let network = config("", &[("PROXY", "http://one.test")]).network;
    assert!(network.http_proxy.is_some() && network.https_proxy.is_none());
    let network = config("", &[("HTTPS_PROXY", "http://one.test")]).network;
    assert!(network.http_proxy.is_some() && network.https_proxy.is_some());
}

#[test]
fn a_user_says_whether_this_is_continuous_integration() {
    for (settings, variables, is_frozen) in [
        ("", &[][..], None),
        ("", &[("CI", "true")], Some(true)),
        ("ci: true\n", &[], Some(true)),
        ("ci: false\n", &[("CI", "true")], None),
    ] {
        assert_eq!(
            config(settings, variables).lockfile.frozen,
            is_frozen,
            "{settings}"
        );
    }
}

#[test]
fn a_proxy_that_is_no_address_has_pnpms_code() {
    let project = project("", r#"{"dependencies":{"one":"1"}}"#);
    let said = project.fail(&["install", "--config.http-proxy=::::"]);
    assert!(said.contains("ERR_PNPM_INVALID_PROXY"), "{said}");
}

#[test]
fn what_commands_write_into_files_is_said_there_alone() {
    let variables = [
        ("pnpm_config_catalog", r#"{"one":"1"}"#),
        ("PNPM_CONFIG_CATALOGS", r#"{"a":{"one":"1"}}"#),
        ("pnpm_config_patched_dependencies", r#"{"one":"x.patch"}"#),
        ("pnpm_config_config_dependencies", r#"{"one":"1.0.0"}"#),
        ("pnpm_config_overrides", r#"{"one":"2"}"#),
    ];
    let config = config("", &variables);
    assert!(config.graph.catalogs.is_empty() && config.graph.patched_dependencies.is_empty());
    assert!(config.packages.declared.0.is_empty());
    assert_eq!(config.graph.overrides["one"], "2");
}

#[test]
fn how_much_is_said_is_a_flag_and_a_setting() {
    let manifest = r#"{"scripts":{"postinstall":"echo said"},"dependencies":{"one":"1"}}"#;
    for (level, warns, informs) in [
        ("error", false, false),
        ("warn", true, false),
        ("info", true, true),
    ] {
        for is_flag in [true, false] {
            let setting = if is_flag {
                String::new()
            } else {
                format!("loglevel: {level}\n")
            };
            let project = project(&format!("{setting}noSuchSetting: 1\n"), manifest);
            let flag = format!("--loglevel={level}");
            let flags = if is_flag { &[&*flag][..] } else { &[] };
            let output = project.run(&[&["install", "--no-virtual"], flags].concat());
            let said = String::from_utf8_lossy(&output.stderr);
            assert!(output.status.success(), "{said}");
            assert_eq!(said.contains("noSuchSetting"), warns, "{level}: {said}");
            assert_eq!(said.contains("packages are in"), informs, "{level}: {said}");
            assert_eq!(said.contains("postinstall"), informs, "{level}: {said}");
        }
    }
    let project = project("loglevel: loud\n", manifest);
    let said = project.fail(&["install"]);
    assert!(said.contains("ERR_PNPM_INVALID_SETTING"), "{said}");
}

#[test]
fn a_store_that_is_frozen_gives_what_it_has_and_takes_nothing() {
    let dependencies = r#"{"dependencies":{"one":"1.0.0"}}"#;
    let project = project("", dependencies);
    project.succeed(&["install", "--no-virtual"]);
    fs::remove_dir_all(project.node_modules()).unwrap();
    let stored = project.succeed(&["store", "status"]);
    project.succeed(&["install", "--no-virtual", "--frozen-store"]);
    assert!(project.node_modules().join("one/package.json").exists());
    project.write("pnpm-workspace.yaml", "frozenStore: true\n");
    project.write("package.json", r#"{"dependencies":{"one":"2.0.0"}}"#);
    let install = ["install", "--no-virtual", "--no-frozen-lockfile"];
    let said = project.fail(&install);
    assert!(said.contains("ERR_PNPM_FROZEN_STORE_WRITE"), "{said}");
    let said = project.fail(&["install", "--force"]);
    let code = "ERR_PNPM_CONFIG_CONFLICT_FROZEN_STORE_WITH_FORCE";
    assert!(said.contains(code), "{said}");
    assert_eq!(project.succeed(&["store", "status"]), stored);
    project.succeed(&[&install[..], &["--no-frozen-store"]].concat());
    assert_ne!(project.succeed(&["store", "status"]), stored);
}

#[test]
fn a_virtual_store_alone_has_nothing_of_projects_until_they_are_installed() {
    let manifest = r#"{"dependencies":{"one":"1.0.0"},"scripts":{"postinstall":"touch ran"}}"#;
    let project = project("virtualStoreOnly: true\n", manifest);
    project.succeed(&["install", "--no-virtual"]);
    let modules = project.node_modules();
    let package = modules.join(".pnpm/one@1.0.0/node_modules/one/package.json");
    assert!(package.exists());
    assert!(!modules.join("one").exists());
    assert!(!project.root().join("ran").exists());
    let recorded = fs::read_to_string(modules.join(".modules.yaml")).unwrap();
    assert!(
        recorded.contains("\"virtualStoreOnly\": true"),
        "{recorded}"
    );
    project.write("pnpm-workspace.yaml", "");
    project.succeed(&["install", "--no-virtual"]);
    assert!(modules.join("one/package.json").exists());
    assert!(project.root().join("ran").exists());
}

#[test]
fn a_setting_that_cannot_be_had_is_refused_with_what_to_do() {
    let project = project("virtualStoreDir: ../elsewhere\n", "{}");
    let said = project.fail(&["install"]);
    assert!(said.contains("ERR_PACQUET_CONFIG_UNSUPPORTED"), "{said}");
    assert!(
        said.contains("hint: Leave \"virtualStoreDir\" out"),
        "{said}"
    );
}

/// What a failing command says, which must have a hint.
fn refused(project: &Project, words: &[&str], code: &str) {
    let said = project.fail(words);
    assert!(said.contains(code), "{words:?}: {said}");
    assert!(said.contains("\nhint: "), "{words:?}: {said}");
}

#[test]
fn settings_that_are_wrong_are_refused_with_what_to_do() {
    const SETTING: &str = "ERR_PNPM_INVALID_SETTING";
    for (settings, code) in [
        ("networkConcurrency: 0", SETTING),
        ("hoist: maybe", SETTING),
        ("nodeLinker: pnp", SETTING),
        ("packageExtensions: {a: {dependencies: x}}", SETTING),
        ("supportedArchitectures: {os: linux}", SETTING),
        ("registry: nowhere", SETTING),
        ("- a", SETTING),
        ("a: [b", SETTING),
        ("gitShallowHosts: one", SETTING),
        ("modulesCacheMaxAge: long", SETTING),
        ("packages: ['[']", "ERR_PNPM_WORKSPACE_INVALID_GLOB"),
        ("nodeVersion: '>=20'", "ERR_PNPM_INVALID_NODE_VERSION"),
        (
            "minimumReleaseAgeExclude: ['a@^1']",
            "ERR_PNPM_INVALID_MINIMUM_RELEASE_AGE_EXCLUDE",
        ),
        (
            "trustPolicyExclude: ['a*@1.0.0']",
            "ERR_PNPM_INVALID_TRUST_POLICY_EXCLUDE",
        ),
        (
            "overrides: {one: $two}",
            "ERR_PNPM_CANNOT_RESOLVE_OVERRIDE_VERSION",
        ),
        (
            "packageExtensions: {'one@': {dependencies: {two: '1'}}}",
            "ERR_PNPM_INVALID_PACKAGE_EXTENSION_SELECTOR",
        ),
        ("pnpmfile: nowhere.cjs", "ERR_PNPM_PNPMFILE_NOT_FOUND"),
    ] {
        let project = project(settings, r#"{"dependencies":{"one":"1.0.0"}}"#);
        refused(&project, &["install"], code);
        assert!(!project.node_modules().exists(), "{settings}");
    }
}

#[test]
fn numbers_are_specifiers_without_quotes() {
    let project = project(
        "catalog:\n  one: 1.0\nsaveExact: \"true\"\n",
        r#"{"dependencies":{"one":"catalog:"}}"#,
    );
    project.succeed(&["install", "--lockfile-only"]);
    let lockfile = fs::read_to_string(project.root().join("pnpm-lock.yaml")).unwrap();
    assert!(lockfile.contains("specifier: '1.0'\n"), "{lockfile}");
}

#[test]
fn commands_that_lack_something_say_what() {
    let project = project("", r#"{"dependencies":{"one":"1.0.0"}}"#);
    for (words, code) in [
        (&["remove"][..], "ERR_PNPM_MUST_REMOVE_SOMETHING"),
        (&["why"], "ERR_PNPM_MISSING_PACKAGE_NAME"),
        (&["exec"], "ERR_PNPM_EXEC_MISSING_COMMAND"),
        (&["dlx"], "ERR_PNPM_DLX_MISSING_COMMAND"),
        (&["patch"], "ERR_PNPM_MISSING_PACKAGE_NAME"),
        (&["patch-remove"], "ERR_PNPM_NO_PATCHES_TO_REMOVE"),
        (&["config", "set"], "ERR_PNPM_CONFIG_NO_PARAMS"),
        (&["link"], "ERR_PNPM_LINK_BAD_PARAMS"),
        (
            &["add", "one@@"],
            "ERR_PNPM_SPEC_NOT_SUPPORTED_BY_ANY_RESOLVER",
        ),
        (
            &["add", "two@file:nowhere"],
            "ERR_PNPM_LINKED_PKG_DIR_NOT_FOUND",
        ),
        (
            &["add", "two@catalog:"],
            "ERR_PNPM_CATALOG_ENTRY_NOT_FOUND_FOR_SPEC",
        ),
        (&["-C", "nowhere", "install"], "ERR_PACQUET_DIRECTORY"),
        (
            &["install", "--lockfile-dir", "below"],
            "ERR_PACQUET_WORKSPACE",
        ),
    ] {
        refused(&project, words, code);
    }
    fs::create_dir(project.root().join("pnpm-lock.yaml")).unwrap();
    refused(&project, &["install"], "ERR_PNPM_LOCKFILE_READ_FILE");
}

#[test]
fn archives_unpack_to_as_much_as_is_set() {
    let project = project(
        "maxTarballUnpackedSize: 2000\n",
        r#"{"dependencies":{"large":"1.0.0"}}"#,
    );
    let large = Package::new("large", "1.0.0").file("text", "x".repeat(2000));
    project.registry.publish(&large);
    let said = project.fail(&["install"]);
    assert!(said.contains("ERR_PACQUET_PACKAGE_TOO_LARGE"), "{said}");
    assert!(said.contains("maxTarballUnpackedSize"), "{said}");
    project.write("pnpm-workspace.yaml", "maxTarballUnpackedSize: 2500\n");
    project.succeed(&["install"]);
}

#[test]
fn exceptions_for_what_is_not_locked_go_where_that_is_set() {
    let exceptions = "minimumReleaseAgeExclude:\n  # first\n  - gone\n  - one\n  # of gone\n  \
                      - gone@1.0.0\n  - 'two*'\n  - one@1.0.0 || 3.0.0 # some\n\
                      trustPolicyExclude:\n  - gone\n";
    let project = project(exceptions, r#"{"dependencies":{"one":"1.0.0"}}"#);
    let settings = || fs::read_to_string(project.root().join("pnpm-workspace.yaml")).unwrap();
    project.succeed(&["install"]);
    assert_eq!(settings(), exceptions);
    let switches = "minimumReleaseAgeExcludePrune: true\ntrustPolicyExcludePrune: true\n";
    project.write("pnpm-workspace.yaml", &format!("{switches}{exceptions}"));
    project.succeed(&["install", "--frozen-lockfile"]);
    let left = "minimumReleaseAgeExclude:\n  # first\n  - one\n  - 'two*'\n  - one@1.0.0 # some\n";
    assert_eq!(settings(), format!("{switches}{left}"));
}

#[test]
fn who_forces_an_install_has_packages_of_all_platforms_where_that_is_set() {
    let project = project(
        "forceIgnoresPlatform: true\n",
        r#"{"optionalDependencies":{"elsewhere":"1.0.0"}}"#,
    );
    let elsewhere = Package::new("elsewhere", "1.0.0").manifest(json!({ "os": ["none"] }));
    project.registry.publish(&elsewhere);
    let package = project.node_modules().join("elsewhere/package.json");
    project.succeed(&["install", "--no-virtual"]);
    assert!(!package.exists());
    project.succeed(&["install", "--no-virtual", "--force"]);
    assert!(package.exists());
}

#[test]
fn packages_see_the_types_of_their_peers_where_that_is_set() {
    let project = project(
        "addMissingPeerTypes: true\n",
        r#"{"dependencies":{"one":"1.0.0","@types/one":"1.0.0","plug":"1.0.0","own":"1.0.0"}}"#,
    );
    let registry = &project.registry;
    registry.publish(&Package::new("@types/one", "1.0.0"));
    let plug = Package::new("plug", "1.0.0").peer_dependency("one", "*");
    registry.publish(&plug.optional_peer_dependency("@s/other", "*"));
    let own = Package::new("own", "1.0.0").peer_dependency("one", "*");
    registry.publish(&own.dependency("@types/one", "1.0.0"));
    project.succeed(&["install"]);
    let lockfile = || fs::read_to_string(project.root().join("pnpm-lock.yaml")).unwrap();
    let (with, setting) = (lockfile(), "\n  addMissingPeerTypes: true\n");
    let peers = "peerDependencies:\n      '@s/other': '*'\n      '@types/one': '*'\n      \
                 '@types/s__other': '*'\n      one: '*'\n    peerDependenciesMeta:";
    assert!(with.contains(setting) && with.contains(peers), "{with}");
    assert!(
        with.contains("plug@1.0.0(@types/one@1.0.0)(one@1.0.0):"),
        "{with}"
    );
    assert!(with.contains("own@1.0.0(one@1.0.0):"), "{with}");
    project.succeed(&["install", "--frozen-lockfile"]);
    project.write("pnpm-workspace.yaml", "");
    let said = project.fail(&["install", "--frozen-lockfile"]);
    assert!(said.contains("settings.addMissingPeerTypes"), "{said}");
    project.succeed(&["install"]);
    let without = lockfile();
    assert!(!without.contains("addMissingPeerTypes"), "{without}");
    assert!(without.contains("plug@1.0.0(one@1.0.0):"), "{without}");
}

#[test]
fn projects_with_lockfiles_of_their_own_have_settings_of_their_own() {
    let configs = "packageConfigs:\n  - match: [a]\n    savePrefix: '~'\n    modulesDir: other\n\
                   \x20 - match: [a, c]\n    saveExact: false\n    overrides: {one: 1.0.0}\n";
    let manifests =
        ["a", "b"].map(|name| json!({ "name": name, "dependencies": { "one": "*" } }).to_string());
    let projects = [("a", &*manifests[0]), ("b", &*manifests[1])];
    let packages = ["1.0.0", "2.0.0"].map(|version| Package::new("one", version));
    let project = Project::workspace(&packages, configs, &projects);
    for name in ["of-a", "of-b"] {
        project.registry.publish(&Package::new(name, "1.1.0"));
    }
    let text = |path: &str| {
        let path = project.root().join("packages").join(path);
        fs::read_to_string(path).unwrap_or_default()
    };
    let said = project.run(&["install", "--lockfile-only"]).stderr;
    let said = String::from_utf8_lossy(&said);
    assert!(
        said.contains("\"a.savePrefix\", \"a.modulesDir\""),
        "{said}"
    );
    fs::remove_file(project.root().join("pnpm-lock.yaml")).unwrap();
    let apart = format!("packages:\n  - packages/*\nsharedWorkspaceLockfile: false\n{configs}");
    project.write("pnpm-workspace.yaml", &apart);
    project.succeed(&["install", "--no-virtual"]);
    assert!(text("a/other/one/package.json").contains("1.0.0"));
    assert!(text("b/node_modules/one/package.json").contains("2.0.0"));
    assert!(text("a/pnpm-lock.yaml").contains("\noverrides:\n  one: 1.0.0\n"));
    assert!(!text("b/pnpm-lock.yaml").contains("overrides"));
    for name in ["a", "b"] {
        let directory = format!("packages/{name}");
        project.succeed(&["-C", &directory, "add", &format!("of-{name}")]);
    }
    assert!(text("a/package.json").contains("~1.1.0"));
    assert!(text("b/package.json").contains("^1.1.0"));
    project.write(
        "pnpm-workspace.yaml",
        "packageConfigs: {a: {hoistPattern: []}}\n",
    );
    refused(&project, &["install"], "ERR_PNPM_INVALID_SETTING");
}

#[test]
fn scripts_wait_for_what_tasks_says() {
    let script = |name: &str| format!("echo $npm_package_name-{name} >> $LOG");
    let manifest = |name: &str, scripts: &[&str], on: &str| {
        let scripts = scripts
            .iter()
            .map(|name| ((*name).to_owned(), json!(script(name))));
        let scripts: serde_json::Map<_, _> = scripts.collect();
        let dependencies = if on.is_empty() {
            json!({})
        } else {
            json!({ on: "workspace:*" })
        };
        json!({ "name": name, "scripts": scripts, "dependencies": dependencies }).to_string()
    };
    let manifests = [
        manifest("a", &["build", "gen"], ""),
        manifest("b", &["build", "test", "gen"], "a"),
        manifest("c", &["test", "gen"], "b"),
    ];
    let projects = [
        ("a", &*manifests[0]),
        ("b", &*manifests[1]),
        ("c", &*manifests[2]),
    ];
    let project = Project::workspace(&[], "", &projects);
    let settings = |tasks: &str| {
        let text = format!("packages: ['packages/*']\nverifyDepsBeforeRun: false\n{tasks}");
        project.write("pnpm-workspace.yaml", &text);
    };
    let log = project.path("log");
    let run = |words: &[&str]| {
        let _ = fs::remove_file(&log);
        let output = project.command(words).env("LOG", &log).output().unwrap();
        assert!(output.status.success(), "{words:?}: {output:?}");
        let text = fs::read_to_string(&log).unwrap_or_default();
        let lines: Vec<String> = text.lines().map(str::to_owned).collect();
        lines
    };
    let one_by_one = ["-r", "--workspace-concurrency=1", "run", "test"];
    assert_eq!(run(&one_by_one), ["b-test", "c-test"]);
    settings("tasks: {test: {dependsOn: [gen, '^build']}, gen: {dependsOn: []}}\n");
    let lines = run(&one_by_one);
    let place = |line: &str| lines.iter().position(|one| one == line).expect(line);
    assert_eq!(lines.len(), 7, "{lines:?}");
    for (first, second) in [
        ("a-build", "b-build"),
        ("b-gen", "b-test"),
        ("a-build", "b-test"),
        ("b-build", "c-test"),
        ("c-gen", "c-test"),
    ] {
        assert!(place(first) < place(second), "{lines:?}");
    }
    assert_eq!(run(&["--filter", "c", "run", "test"]), ["c-gen", "c-test"]);
    let plan = project.succeed(&["-r", "run", "--dry-run", "test"]);
    assert!(
        plan.contains("packages/a#test (skipped: no such script)"),
        "{plan}"
    );
    assert!(plan.contains("packages/a#build\n"), "{plan}");
    settings("tasks: {test: {dependsOn: [gen]}, gen: {dependsOn: [test]}}\n");
    let said = project.fail(&one_by_one);
    assert!(said.contains("ERR_PNPM_TASK_CYCLE"), "{said}");
    settings("tasks: {test: {dependsOn: gen}}\n");
    refused(&project, &one_by_one, "ERR_PNPM_INVALID_SETTING");
}

#[test]
fn what_a_lockfile_or_a_tree_is_does_not_depend_on_the_user() {
    let loaded = config(
        "autoInstallPeers: false\nnodeLinker: hoisted\nallowBuilds: {a: true}\nfetchRetries: 7\n",
        &[],
    );
    assert!(loaded.lockfile.auto_install_peers);
    assert_eq!(loaded.network.retry.retries, 7);
    let ignored: Vec<&str> = loaded.warnings.iter().map(|one| one.code).collect();
    assert_eq!(ignored, ["ERR_PACQUET_PROJECT_SETTING_IGNORED"; 3]);
}

#[test]
fn a_prefix_that_is_none_is_the_default_and_none_at_all_is_one() {
    for (written, prefix) in [
        ("'~'", "~"),
        ("''", ""),
        ("=", "="),
        ("'>='", "^"),
        ("x", "^"),
    ] {
        let loaded = config(&format!("savePrefix: {written}\n"), &[]);
        assert_eq!(loaded.save.prefix, prefix, "{written}");
    }
    let empty = [("PNPM_CONFIG_SAVE_PREFIX", ""), ("PNPM_CONFIG_TAG", "")];
    assert_eq!(config("", &empty).save.prefix, "");
}
