//! `--global`: packages that belong to no project.

use std::fs;
use std::process::Output;

use pacquet_test_registry::Package;
use serde_json::{Value, json};

use crate::project::Project;

/// A user whose directory of commands is in PATH.
struct User(Project);

impl User {
    fn new() -> Self {
        let project = Project::new();
        let script = |text: &str| format!("#!/bin/sh\necho {text}\n");
        for package in [
            Package::new("tool", "1.0.0").bin("tool", "x.sh"),
            Package::new("tool", "1.1.0").bin("tool", "x.sh"),
            Package::new("other", "1.0.0").bin("extra", "x.sh"),
            Package::new("third", "1.0.0").bin("extra", "x.sh"),
            Package::new("claims", "1.0.0").bin("tool", "x.sh"),
            Package::new("builds", "1.0.0").script("postinstall", "touch built"),
        ] {
            let text = script(&format!("{} {}", package.name(), package.version()));
            project
                .registry
                .publish(&package.executable("x.sh", text.as_bytes()));
        }
        let settings = format!("registry={}\n", project.registry.url());
        project.write_home(".npmrc", &settings);
        Self(project)
    }

    fn run(&self, arguments: &[&str]) -> Output {
        let commands = self.0.path("pnpm/bin");
        let path = std::env::var("PATH").unwrap_or_default();
        let mut command = self.0.command(arguments);
        command
            .env("PNPM_HOME", self.0.path("pnpm"))
            .env("PATH", format!("{}:{path}", commands.display()));
        command.output().expect("the program starts")
    }

    fn succeed(&self, arguments: &[&str]) -> String {
        let output = self.run(arguments);
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(output.status.success(), "{arguments:?}: {said}");
        String::from_utf8_lossy(&output.stdout).into_owned()
    }

    fn fail(&self, arguments: &[&str]) -> String {
        let output = self.run(arguments);
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!(output.status.code(), Some(1), "{arguments:?}: {said}");
        said
    }

    /// What the command of this name prints; `None`: there is none.
    fn said_by(&self, command: &str) -> Option<String> {
        let output = std::process::Command::new(self.0.path("pnpm/bin").join(command)).output();
        let output = output.ok()?;
        Some(String::from_utf8_lossy(&output.stdout).trim().to_owned())
    }

    /// How many groups there are, and how many symlinks to them.
    fn groups(&self) -> (usize, usize) {
        let entries = fs::read_dir(self.0.path("pnpm/global/v11")).expect("a directory");
        let kinds = entries.flatten().map(|entry| entry.file_type().unwrap());
        let (links, others): (Vec<_>, Vec<_>) = kinds.partition(|kind| kind.is_symlink());
        let groups = others.iter().filter(|kind| kind.is_dir());
        (groups.count(), links.len())
    }
}

#[test]
fn global_packages_are_added_updated_listed_and_removed() {
    let user = User::new();
    user.succeed(&["add", "-g", "tool@1.0.0", "other"]);
    assert_eq!(user.said_by("tool").as_deref(), Some("tool 1.0.0"));
    assert_eq!(user.said_by("extra").as_deref(), Some("other 1.0.0"));
    assert_eq!(user.groups(), (2, 2));
    let listed: Value = serde_json::from_str(&user.succeed(&["list", "-g", "--json"])).unwrap();
    assert_eq!(listed[0]["dependencies"]["tool"]["version"], "1.0.0");
    let tree = user.succeed(&["ls", "-g"]);
    assert!(
        tree.ends_with("├── other@1.0.0\n└── tool@1.0.0\n"),
        "{tree}"
    );
    user.succeed(&["update", "-g"]);
    assert_eq!(user.said_by("tool").as_deref(), Some("tool 1.0.0"));
    let outdated = user.run(&["outdated", "-g", "--no-table"]);
    assert_eq!(outdated.status.code(), Some(1));
    let outdated = String::from_utf8_lossy(&outdated.stdout).into_owned();
    assert_eq!(outdated, "tool\n1.0.0 => 1.1.0\n");
    assert_eq!(user.succeed(&["outdated", "-g", "other"]), "\n");
    user.succeed(&["update", "-g", "--latest", "tool"]);
    assert_eq!(user.said_by("tool").as_deref(), Some("tool 1.1.0"));
    user.succeed(&["install", "-g", "tool@1.0.0"]);
    assert_eq!(user.said_by("tool").as_deref(), Some("tool 1.0.0"));
    assert_eq!(user.groups(), (2, 2));
    user.succeed(&["remove", "-g", "other"]);
    assert_eq!(user.said_by("extra"), None);
    assert_eq!(user.groups(), (1, 1));
    let gone = user.fail(&["remove", "-g", "other"]);
    assert!(gone.contains("ERR_PNPM_GLOBAL_PKG_NOT_FOUND"), "{gone}");
    // The project where all that was called has nothing of it.
    assert!(!user.0.root().join("package.json").exists());
}

#[test]
fn groups_of_global_packages_are_one_and_what_fails_leaves_nothing() {
    let user = User::new();
    user.succeed(&["add", "-g", "tool,other"]);
    assert_eq!(user.groups(), (1, 1));
    let conflict = user.fail(&["add", "-g", "third"]);
    assert!(
        conflict.contains("ERR_PNPM_GLOBAL_BIN_CONFLICT"),
        "{conflict}"
    );
    user.fail(&["add", "-g", "absent"]);
    assert_eq!(user.groups(), (1, 1));
    // A command belongs to the package that has its name.
    user.succeed(&["add", "-g", "claims"]);
    assert_eq!(user.said_by("tool").as_deref(), Some("tool 1.1.0"));
    user.succeed(&["remove", "-g", "claims"]);
    assert_eq!(user.said_by("tool").as_deref(), Some("tool 1.1.0"));
    user.succeed(&["remove", "-g", "other"]);
    assert_eq!((user.said_by("tool"), user.groups()), (None, (0, 0)));
}

#[test]
fn scripts_of_global_packages_are_decided_on_once() {
    let user = User::new();
    let built = || {
        let packages = user.0.path("pnpm/global/v11");
        let groups = fs::read_dir(&packages).expect("a directory").flatten();
        let mut groups = groups.filter(|entry| entry.path().is_dir());
        groups.any(|entry| entry.path().join("node_modules/builds/built").exists())
    };
    user.succeed(&["add", "-g", "builds"]);
    assert!(!built());
    user.succeed(&["add", "-g", "--allow-build=builds", "builds"]);
    assert!(built());
    user.succeed(&["update", "-g"]);
    assert!(built());
    let settings = user.0.path("pnpm/global/v11/pnpm-workspace.yaml");
    let settings = fs::read_to_string(settings).expect("it was written");
    assert_eq!(settings, "allowBuilds:\n  builds: true\n");
}

#[test]
fn global_places_are_told_and_have_to_be_in_path() {
    let user = User::new();
    let home = user.0.path("pnpm");
    let told = |path: &str| format!("{}\n", home.join(path).display());
    assert_eq!(user.succeed(&["bin", "-g"]), told("bin"));
    assert_eq!(user.succeed(&["root", "-g"]), told("global/v11"));
    assert_eq!(user.succeed(&["prefix", "-g"]), told("global"));
    assert_eq!(user.succeed(&["ls", "-g"]), "No global packages found\n");
    let empty = json!([{ "path": home.join("global/v11"), "private": true, "dependencies": {} }]);
    let listed: Value = serde_json::from_str(&user.succeed(&["ls", "-g", "--json"])).unwrap();
    assert_eq!(listed, empty);
    let failed = user.0.fail(&["add", "-g", "tool"]);
    let code = "ERR_PNPM_GLOBAL_BIN_DIR_NOT_IN_PATH";
    assert!(failed.contains(code), "{failed}");
    // A repository does not decide it.
    user.0
        .write("pnpm-workspace.yaml", "globalBinDir: /elsewhere\n");
    assert_eq!(user.succeed(&["bin", "-g"]), told("bin"));
}
