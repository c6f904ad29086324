//! `config`, `licenses` and `doctor`: what they tell, and where settings are written.

use std::fs;
use std::os::unix::fs::PermissionsExt;

use pacquet_test_registry::Package;
use serde_json::{Value, json};

use crate::project::Project;

fn read(project: &Project, path: &str) -> String {
    fs::read_to_string(project.path(path)).unwrap_or_default()
}

#[test]
fn settings_are_written_where_pnpm_has_them() {
    let project = Project::new();
    project.write("package.json", "{}");
    project.write("pnpm-workspace.yaml", "# mine\nsavePrefix: '~' # why\n");
    for words in [
        &["config", "set", "fetch-retries", "5"][..],
        &["config", "set", "storeDir=/x/y"],
        &["set", "@s:registry", "https://s.test/"],
        &[
            "config",
            "set",
            "//r.test/:_authToken",
            "secret",
            "--location=global",
        ],
        &[
            "config",
            "set",
            "--location=project",
            "node-linker",
            "hoisted",
        ],
        &[
            "config",
            "set",
            "--location=project",
            "--json",
            "overrides",
            "{\"a\":\"1\"}",
        ],
        &["config", "--location=project", "set", "save-prefix", "^"],
        &[
            "config",
            "set",
            "--location",
            "project",
            "//r.test/:_authToken",
            "own",
        ],
    ] {
        assert_eq!(project.succeed(words), "", "{words:?}");
    }
    let user = "home/.config/pnpm";
    let settings = "fetchRetries: 5\nstoreDir: /x/y\n";
    assert_eq!(read(&project, &format!("{user}/config.yaml")), settings);
    let lines = "@s:registry=https://s.test/\n//r.test/:_authToken=secret\n";
    assert_eq!(read(&project, &format!("{user}/auth.ini")), lines);
    let facts = fs::metadata(project.path(user).join("auth.ini")).expect("it is there");
    assert_eq!(
        facts.permissions().mode() & 0o77,
        0,
        "it is for the user alone"
    );
    let settings = "nodeLinker: hoisted\n# mine\noverrides:\n  a: '1'\nsavePrefix: ^ # why\n";
    assert_eq!(read(&project, "project/pnpm-workspace.yaml"), settings);
    let npmrc = read(&project, "project/.npmrc");
    assert!(npmrc.ends_with("/\n//r.test/:_authToken=own\n"), "{npmrc}");

    settings_are_told(&project);
    settings_are_taken_back(&project);
}

fn settings_are_told(project: &Project) {
    for (words, expected) in [
        (&["config", "get", "node-linker"][..], "hoisted\n"),
        (&["get", "fetchRetries"], "5\n"),
        (&["config", "get", "overrides.a"], "1\n"),
        (&["config", "get", "overrides[\"a\"]"], "1\n"),
        (&["config", "get", "overrides"], "{\n  \"a\": \"1\"\n}\n"),
        (&["config", "get", "savePrefix", "--json"], "\"^\"\n"),
        (&["config", "get", "nothing"], "undefined\n"),
        (&["config", "get", "@s:registry"], "https://s.test/\n"),
        (
            &["config", "get", "nodeLinker", "--location=global"],
            "undefined\n",
        ),
    ] {
        assert_eq!(project.succeed(words), expected, "{words:?}");
    }
    let listed = project.succeed(&["config", "list"]);
    let listed: Value = serde_json::from_str(&listed).expect("JSON");
    assert_eq!(listed["//r.test/:_authToken"], "(protected)");
    assert_eq!(listed["registry"].as_str(), Some(&*project.registry.url()));
}

fn settings_are_taken_back(project: &Project) {
    let user = "home/.config/pnpm";
    for words in [
        &["config", "delete", "fetch-retries"][..],
        &["config", "delete", "storeDir"],
        &["config", "delete", "@s:registry"],
        &["config", "delete", "--location=project", "overrides"],
    ] {
        assert_eq!(project.succeed(words), "", "{words:?}");
    }
    assert!(!project.path(user).join("config.yaml").exists());
    let lines = "//r.test/:_authToken=secret\n";
    assert_eq!(read(project, &format!("{user}/auth.ini")), lines);
    let settings = "nodeLinker: hoisted\n# mine\nsavePrefix: ^ # why\n";
    assert_eq!(read(project, "project/pnpm-workspace.yaml"), settings);
}

#[test]
fn settings_that_cannot_be_made_are_refused() {
    let project = Project::new();
    for (words, code) in [
        (&["config", "set"][..], "ERR_PNPM_CONFIG_NO_PARAMS"),
        (&["config", "delete"], "ERR_PNPM_CONFIG_NO_PARAMS"),
        (
            &["config", "set", "hoist", "false"],
            "ERR_PNPM_CONFIG_SET_UNSUPPORTED_YAML_CONFIG_KEY",
        ),
        (
            &["config", "set", "--location=project", "overrides.a", "1"],
            "ERR_PNPM_CONFIG_SET_DEEP_KEY",
        ),
        (
            &[
                "config",
                "set",
                "--location=project",
                "--json",
                "hoist",
                "{",
            ],
            "ERR_PNPM_CONFIG_INVALID_JSON",
        ),
        (
            &["config", "set", "--json", "//r.test/:_authToken", "1"],
            "ERR_PNPM_CONFIG_SET_AUTH_NON_STRING",
        ),
        (
            &["config", "set", "//r.test/:_authToken", "a\nregistry=x"],
            "ERR_PNPM_CLI_CONFIG_SET_INVALID_CONTROL_CHARACTER",
        ),
    ] {
        let said = project.fail(words);
        assert!(said.contains(code), "{words:?}: {said}");
    }
    assert!(!project.path("home/.config").exists());
    assert!(!project.root().join("pnpm-workspace.yaml").exists());
}

fn licensed() -> Project {
    let manifest = json!({
        "name": "app",
        "dependencies": { "left": "1.0.0" },
        "devDependencies": { "tool": "1.0.0" }
    });
    let package = |name, fields| Package::new(name, "1.0.0").manifest(fields);
    let left = json!({
        "license": "MIT", "author": "Ann <a@a.test>", "description": "Left.",
        "repository": "github:ann/left"
    });
    let left = package("left", left).dependency("deep", "1.0.0");
    let deep = package("deep", json!({})).file("LICENSE", "The ISC License\n");
    let tool = package(
        "tool",
        json!({ "licenses": [{ "type": "MIT" }, { "type": "ISC" }] }),
    );
    Project::locked(&manifest, &[left, deep, tool])
}

#[test]
fn licences_are_of_every_place_of_a_package() {
    let packages = [
        Package::new("host", "1.0.0"),
        Package::new("host", "2.0.0"),
        Package::new("asks", "1.0.0")
            .manifest(json!({ "license": "MIT" }))
            .peer_dependency("host", "*"),
    ];
    let manifest = |name: &str, host: &str| {
        format!(r#"{{"name":"{name}","dependencies":{{"asks":"1.0.0","host":"{host}"}}}}"#)
    };
    let (one, two) = (manifest("one", "1.0.0"), manifest("two", "2.0.0"));
    let project = Project::workspace(&packages, "", &[("one", &one), ("two", &two)]);
    project.succeed(&["install", "--no-virtual"]);
    let said = project.succeed(&["licenses", "list", "-r", "--json"]);
    let said: Value = serde_json::from_str(&said).expect("JSON");
    let asks = &said["MIT"][0];
    assert_eq!(asks["versions"], json!(["1.0.0"]), "{said}");
    assert_eq!(asks["paths"].as_array().map(Vec::len), Some(2), "{said}");
}

#[test]
fn licences_are_listed() {
    let project = licensed();
    project.succeed(&["install", "--no-virtual"]);
    let table = "\
┌────────────┬──────────────┐
│ Package    │ License      │
├────────────┼──────────────┤
│ deep       │ ISC          │
├────────────┼──────────────┤
│ left       │ MIT          │
├────────────┼──────────────┤
│ tool (dev) │ (MIT OR ISC) │
└────────────┴──────────────┘
";
    assert_eq!(project.succeed(&["licenses", "list"]), table);
    let production = project.succeed(&["licenses", "ls", "--prod", "--json"]);
    let production: Value = serde_json::from_str(&production).expect("JSON");
    let modules = project.node_modules();
    let path = |name: &str| modules.join(format!(".pnpm/{name}@1.0.0/node_modules/{name}"));
    let expected = json!({
        "ISC": [{
            "name": "deep", "versions": ["1.0.0"], "paths": [path("deep")], "license": "ISC"
        }],
        "MIT": [{
            "name": "left", "versions": ["1.0.0"], "paths": [path("left")], "license": "MIT",
            "author": "Ann", "homepage": "https://github.com/ann/left#readme",
            "description": "Left."
        }]
    });
    assert_eq!(production, expected);
    let long = project.succeed(&["licenses", "list", "--long", "--prod"]);
    assert!(long.contains("│ Ann "), "{long}");
    let failed = project.fail(&["licenses"]);
    assert!(
        failed.contains("ERR_PNPM_LICENCES_NO_SUBCOMMAND"),
        "{failed}"
    );
    let failed = project.fail(&["licenses", "sell"]);
    assert!(
        failed.contains("ERR_PNPM_LICENSES_UNKNOWN_SUBCOMMAND"),
        "{failed}"
    );
}

#[test]
fn without_a_lockfile_no_licence_is_known() {
    let project = Project::new();
    project.write("package.json", "{}");
    let failed = project.fail(&["licenses", "list"]);
    assert!(failed.contains("ERR_PNPM_LICENSES_NO_LOCKFILE"), "{failed}");
}

#[test]
fn the_doctor_tells_what_is_wrong() {
    let project = Project::new();
    project.write("package.json", "{}");
    let output = project.run(&["doctor", "--json"]);
    let list: Value = serde_json::from_slice(&output.stdout).expect("JSON");
    let list = list.as_array().expect("a list");
    let bad = list.iter().any(|one| one["status"] == "error");
    assert_eq!(output.status.code(), Some(i32::from(bad)), "{list:?}");
    for check in [
        "kernel",
        "fuse device",
        "mounting",
        "open files",
        "mounts",
        "store",
    ] {
        assert!(
            list.iter().any(|one| one["check"] == check),
            "{check}: {list:?}"
        );
    }
    let store = project.store();
    fs::create_dir_all(&store).expect("made");
    fs::write(store.join("version"), "99\n").expect("written");
    let output = project.run(&["doctor"]);
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    assert_eq!(output.status.code(), Some(1), "{said}");
    assert!(said.contains("\nerror   store: "), "{said}");
}

#[test]
fn what_a_setting_is_includes_variables_flags_and_paths() {
    let project = Project::new();
    let settings = "fetchRetries: 3\nscriptShell: ${PLACE}/sh\nhoistPattern: ['${PLACE}']\n\
                    patchedDependencies: {a: ./a.patch}\n";
    project.write("pnpm-workspace.yaml", settings);
    fs::create_dir_all(project.path("home/.config/pnpm")).expect("a directory");
    project.write_home(
        ".config/pnpm/config.yaml",
        "nodeLinker: hoisted\nfetchTimeout: 5\n",
    );
    let get = |arguments: &[&str]| {
        let mut command = project.command(&[&["config", "get"], arguments].concat());
        command
            .env("PLACE", "/here")
            .env("PNPM_CONFIG_FETCH_RETRY_FACTOR", "4");
        let output = command.output().expect("it ran");
        String::from_utf8_lossy(&output.stdout).trim().to_owned()
    };
    let patch = project.root().join("./a.patch").display().to_string();
    for (arguments, value) in [
        (&["fetchRetries"][..], "3"),
        (&["fetchRetries", "--config.fetch-retries=7"], "7"),
        (&["fetchRetryFactor"], "4"),
        (&["scriptShell"], "/here/sh"),
        (&["hoistPattern[0]"], "${PLACE}"),
        (&["patchedDependencies.a"], &patch),
        (&["nodeLinker"], "undefined"),
        (&["fetchTimeout"], "5"),
    ] {
        assert_eq!(get(arguments), value, "{arguments:?}");
    }
}
