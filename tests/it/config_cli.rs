//! Configuration from files and environment, seen from outside: whom secrets go to, what a
//! project may not decide, and what is said of what cannot be used.

use std::fs;
use std::os::unix::fs::PermissionsExt;

use pacquet_test_registry::{Package, Registry};
use serde_json::json;

use crate::project::{Project, can_mount};

const INSTALL: [&str; 3] = ["install", "--virtual", "--ignore-scripts"];

fn project() -> Project {
    let manifest = json!({
        "name": "app",
        "dependencies": { "left": "1.0.0", "@scope/right": "1.0.0" }
    });
    let package = |name| Package::new(name, "1.0.0").file("index.js", "1");
    Project::locked(&manifest, &[package("left"), package("@scope/right")])
}

/// A token in the environment, and one in the user's own file.
fn run(project: &Project, extra: &[(&str, &str)]) -> (Option<i32>, String) {
    let mut command = project.command(&INSTALL);
    command.env("CI_TOKEN", "secret-of-the-environment");
    for (name, value) in extra {
        command.env(name, value);
    }
    let output = command.output().unwrap();
    let said = [output.stdout, output.stderr].concat();
    (output.status.code(), String::from_utf8(said).unwrap())
}

#[test]
fn a_project_cannot_send_the_environment_anywhere() {
    for line in [
        "//HOST/:_authToken=${CI_TOKEN}",
        "//HOST/:_password=${CI_TOKEN}",
        "registry=http://HOST/${CI_TOKEN}/",
        "@scope:registry=http://HOST/${CI_TOKEN}/",
        "proxy=http://HOST/?${CI_TOKEN}",
        "https-proxy=http://${CI_TOKEN}@HOST/",
    ] {
        let project = project();
        let host = project.registry.address().to_string();
        let line = line.replace("HOST", &host);
        project.write(
            ".npmrc",
            &format!("registry={}\n{line}\n", project.registry.url()),
        );
        let (_, said) = run(&project, &[]);
        assert!(
            !said.contains("secret-of-the-environment"),
            "{line}: {said}"
        );
        assert!(
            said.contains("environment variable") || said.contains("_ENV_"),
            "{line}: {said}"
        );
        for request in project.registry.take_requests() {
            let all = format!("{request:?}");
            assert!(!all.contains("secret-of-the-environment"), "{line}: {all}");
        }
    }
}

#[test]
fn the_user_may_use_the_environment() {
    if !can_mount("the_user_may_use_the_environment") {
        return;
    }
    let project = project();
    project
        .registry
        .require_bearer("/left", "secret-of-the-environment");
    let line = format!(
        "{}:_authToken=${{CI_TOKEN}}\n",
        project.registry.nerf_dart()
    );
    project.write_home(".npmrc", &line);
    let (code, said) = run(&project, &[]);
    assert_eq!(code, Some(0), "{said}");
}

#[test]
fn a_token_without_a_host_is_not_for_the_registry_that_a_project_chooses() {
    let project = project();
    let chosen = Registry::start();
    project.write_home(
        ".npmrc",
        &format!(
            "registry={}\n_authToken=secret-of-the-user\n",
            project.registry.url()
        ),
    );
    project.write(".npmrc", &format!("registry={}\n", chosen.url()));
    let (code, said) = run(&project, &[]);
    assert_eq!(code, Some(1), "{said}");
    let requests = chosen.take_requests();
    assert!(!requests.is_empty(), "{said}");
    assert!(
        requests
            .iter()
            .all(|request| request.header("authorization").is_none())
    );
    assert!(!said.contains("secret-of-the-user"), "{said}");
}

#[test]
fn a_project_decides_on_no_program_and_no_mount_option() {
    if !can_mount("a_project_decides_on_no_program_and_no_mount_option") {
        return;
    }
    let project = project();
    let marker = project.path("ran");
    let helper = project.path("helper");
    fs::write(
        &helper,
        format!("#!/bin/sh\ntouch {}\necho token\n", marker.display()),
    )
    .unwrap();
    fs::set_permissions(&helper, PermissionsExt::from_mode(0o755)).unwrap();
    project.write(
        "pnpm-workspace.yaml",
        &format!(
            "allowOther: true\nmountHelper: {0}\ndangerouslyAllowAllBuilds: true\n",
            helper.display()
        ),
    );
    project.write(
        ".npmrc",
        &format!(
            "registry={}\n{}:tokenHelper={}\n",
            project.registry.url(),
            project.registry.nerf_dart(),
            helper.display()
        ),
    );
    let (code, said) = run(&project, &[]);
    assert_eq!(code, Some(1), "{said}");
    assert!(
        said.contains("ERR_PNPM_TOKEN_HELPER_IN_PROJECT_CONFIG"),
        "{said}"
    );
    assert!(!marker.exists(), "{said}");
    project.write(".npmrc", &format!("registry={}\n", project.registry.url()));
    let (code, said) = run(&project, &[]);
    assert_eq!(code, Some(0), "{said}");
    assert!(!marker.exists(), "{said}");
    assert!(
        said.contains("allowOther") && said.contains("mountHelper"),
        "{said}"
    );
    assert_eq!(project.status()["access"], "owner");
}

#[test]
fn a_modules_directory_outside_the_project_is_refused() {
    for value in ["../elsewhere", "/etc", "."] {
        let project = project();
        project.write("pnpm-workspace.yaml", &format!("modulesDir: {value}\n"));
        let said = project.refuse();
        assert!(
            said.contains("ERR_PACQUET_CONFIG_UNSUPPORTED"),
            "{value}: {said}"
        );
        assert!(said.contains("modulesDir"), "{value}: {said}");
        assert!(project.registry.take_requests().is_empty(), "{value}");
    }
}

#[test]
fn flags_win_over_environment_over_project_over_user() {
    let project = project();
    let registries: [Registry; 4] = std::array::from_fn(|_| Registry::start());
    let [flag, environment, workspace, user] = &registries;
    project.write(".npmrc", "");
    project.write_home(".npmrc", &format!("registry={}\n", user.url()));
    let asked = |said: &str| -> Vec<bool> {
        assert!(said.contains("ERR_PNPM_FETCH_404"), "{said}");
        // What failed names the registry. Their logs would race: a request that was under way when
        // the program ended is logged after it.
        registries
            .iter()
            .map(|registry| said.contains(&registry.url()))
            .collect()
    };
    let (_, said) = run(&project, &[]);
    assert_eq!(asked(&said), [false, false, false, true]);
    project.write(".npmrc", &format!("registry={}\n", workspace.url()));
    let (_, said) = run(&project, &[]);
    assert_eq!(asked(&said), [false, false, true, false]);
    let variable = [("PNPM_CONFIG_REGISTRY", environment.url())];
    let variable = variable
        .each_ref()
        .map(|(name, value)| (*name, value.as_str()));
    let (_, said) = run(&project, &variable);
    assert_eq!(asked(&said), [false, true, false, false]);
    let argument = format!("--registry={}", flag.url());
    let mut command = project.command(&[INSTALL.as_slice(), &[&argument]].concat());
    command.env("PNPM_CONFIG_REGISTRY", environment.url());
    let output = command.output().unwrap();
    assert_eq!(
        asked(&String::from_utf8_lossy(&output.stderr)),
        [true, false, false, false]
    );
}

#[test]
fn what_cannot_be_used_is_named_with_its_file() {
    let project = project();
    for (file, text, shown) in [
        ("pnpm-workspace.yaml", "hoist: [\n", "pnpm-workspace.yaml"),
        ("pnpm-workspace.yaml", "- a\n", "pnpm-workspace.yaml"),
        ("pnpm-workspace.yaml", "hoist: maybe\n", "hoist"),
        (
            "pnpm-workspace.yaml",
            "nodeLinker: sideways\n",
            "nodeLinker",
        ),
        ("pnpm-workspace.yaml", "overrides: 3\n", "overrides"),
        (".npmrc", "registry=not an address\n", "registry"),
        (".npmrc", "//h/:_auth=@@@\n", "_auth"),
    ] {
        let _ = fs::remove_file(project.root().join("pnpm-workspace.yaml"));
        project.write(".npmrc", &format!("registry={}\n", project.registry.url()));
        project.write(file, text);
        let said = project.refuse();
        assert!(said.contains(shown), "{text}: {said}");
        assert!(project.registry.take_requests().is_empty(), "{text}");
    }
}

#[test]
fn a_missing_home_matters_only_where_it_is_needed() {
    if !can_mount("a_missing_home_matters_only_where_it_is_needed") {
        return;
    }
    let project = project();
    let mut command = project.command(&INSTALL);
    let output = command.env_remove("HOME").output().unwrap();
    assert!(
        output.status.success(),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
    let mut command = project.command(&["store", "path"]);
    let output = command
        .env("HOME", "relative")
        .env_remove("PACQUET_STORE_DIR")
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(1), "{said}");
    assert!(
        said.contains("ERR_PACQUET_NO_HOME") && said.contains("HOME"),
        "{said}"
    );
}
