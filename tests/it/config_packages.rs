//! Packages that configuration is made of.

use std::fs;

use pacquet_test_registry::Package;

use crate::project::{Project, can_mount};

const PLUGIN: &str = "module.exports = { hooks: {
  updateConfig (config) {
    config.catalogs = { default: { top: '1.0.0' } }
    config.extraEnv.FROM_PLUGIN = 'said'
    return config
  },
  readPackage (manifest) {
    if (manifest.name === 'top') manifest.dependencies = { middle: '1.0.0' }
    return manifest
  },
} }
";

const PATCH: &str = "diff --git a/index.js b/index.js
--- a/index.js
+++ b/index.js
@@ -1 +1 @@
-before
+after
";

/// What a lockfile of it begins with.
const PINNED: &str = "---
lockfileVersion: '9.0'

importers:

  .:
    configDependencies:
      '@own/patches':
        specifier: 2.0.0
        version: 2.0.0
      pnpm-plugin-own:
        specifier: ^1.0.0
        version: 1.2.0
";

/// A project whose catalog, hooks and patch are of packages of configuration.
fn project() -> Project {
    let project = Project::new();
    let packages = [
        Package::new("top", "1.0.0").file("index.js", "before\n"),
        Package::new("middle", "1.0.0"),
        Package::new("pnpm-plugin-own", "1.0.0"),
        Package::new("pnpm-plugin-own", "1.2.0")
            .file("pnpmfile.cjs", PLUGIN)
            .dependency("never", "1.0.0"),
        Package::new("@own/patches", "2.0.0").file("top.patch", PATCH),
    ];
    for package in &packages {
        project.registry.publish(package);
    }
    let manifest = r#"{"dependencies":{"top":"catalog:"},"scripts":{"say":"echo $FROM_PLUGIN"}}"#;
    project.write("package.json", manifest);
    project.write(
        "pnpm-workspace.yaml",
        "configDependencies:\n  '@own/patches': 2.0.0\n  pnpm-plugin-own: ^1.0.0\n\
         patchedDependencies:\n  top: node_modules/.pnpm-config/@own/patches/top.patch\n",
    );
    project
}

fn lockfile(project: &Project) -> String {
    fs::read_to_string(project.root().join("pnpm-lock.yaml")).unwrap()
}

#[test]
fn catalogs_hooks_and_patches_are_those_of_packages_of_configuration() {
    let project = project();
    let said = project.fail(&["install", "--frozen-lockfile"]);
    let code = "ERR_PNPM_FROZEN_LOCKFILE_WITH_OUTDATED_LOCKFILE";
    assert!(said.contains(code), "{said}");
    assert!(!project.root().join("pnpm-lock.yaml").exists());

    project.succeed(&["install"]);
    let locked = lockfile(&project);
    assert!(locked.starts_with(PINNED), "{locked}");
    assert!(locked.contains("  top@1.0.0(patch_hash="), "{locked}");
    assert!(locked.contains("      middle: 1.0.0\n"), "{locked}");
    let modules = project.node_modules();
    let read = |path: &str| fs::read_to_string(modules.join(path)).unwrap();
    assert_eq!(read("top/index.js"), "after\n");
    assert_eq!(read(".pnpm-config/pnpm-plugin-own/pnpmfile.cjs"), PLUGIN);
    assert_eq!(read(".pnpm-config/@own/patches/top.patch"), PATCH);
    assert!(read(".pnpm-workspace-state-v1.json").contains("\"pnpm-plugin-own\": \"^1.0.0\""));
    assert_eq!(project.succeed(&["run", "-s", "say"]).trim(), "said");

    let output = project.run(&["install", "--frozen-lockfile"]);
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(said.contains("Already up to date"), "{said}");
    project.forget_everything();
    project.succeed(&["install", "--frozen-lockfile"]);
    assert_eq!(lockfile(&project), locked);
    assert_eq!(read("top/index.js"), "after\n");

    project.write("package.json", "{}");
    project.write("pnpm-workspace.yaml", "nodeLinker: isolated\n");
    project.succeed(&["install"]);
    assert!(lockfile(&project).contains("    configDependencies: {}\n"));
    assert!(!modules.join(".pnpm-config/pnpm-plugin-own").exists());
}

#[test]
fn packages_of_configuration_are_there_in_a_mount() {
    if !can_mount("packages_of_configuration_are_there_in_a_mount") {
        return;
    }
    let project = project();
    // What was written is taken away for it.
    project.succeed(&["install"]);
    project.succeed(&["install", "--virtual"]);
    assert!(project.is_mounted());
    let modules = project.node_modules();
    let read = |path: &str| fs::read_to_string(modules.join(path)).unwrap();
    assert_eq!(read("top/index.js"), "after\n");
    assert_eq!(read(".pnpm-config/@own/patches/top.patch"), PATCH);
    project.unmount();
}

#[test]
fn what_cannot_be_configuration_is_refused_and_changes_nothing() {
    let bad = "ERR_PNPM_BAD_CONFIG_DEP";
    for (name, specifier, code) in [
        ("../../up", "1.0.0", bad),
        ("pnpm-plugin-own", "file:../own", bad),
        ("pnpm-plugin-own", "npm:top@1.0.0", bad),
        ("pnpm-plugin-own", "7", bad),
        ("missing", "1.0.0", bad),
        ("top", "1.0.0+sha512-AAAA", "ERR_PACQUET_INTEGRITY_SYNTAX"),
    ] {
        let project = project();
        let text = format!("configDependencies:\n  '{name}': '{specifier}'\n");
        project.write("pnpm-workspace.yaml", &text);
        let said = project.fail(&["install"]);
        assert!(said.contains(code), "{name}@{specifier}: {said}");
        assert!(!project.root().join("pnpm-lock.yaml").exists(), "{name}");
        assert!(!project.node_modules().exists(), "{name}");
    }
}

#[test]
fn a_digest_behind_the_version_pins_it() {
    let project = project();
    let package = Package::new("own-settings", "3.0.0");
    let digest = project.registry.publish(&package).integrity;
    let text = format!("configDependencies:\n  own-settings: 3.0.0+{digest}\n");
    project.write("pnpm-workspace.yaml", &text);
    project.write("package.json", "{}");
    project.succeed(&["install"]);
    let locked = lockfile(&project);
    assert!(locked.contains("        specifier: 3.0.0\n"), "{locked}");
    assert!(locked.contains(&digest), "{locked}");
}

#[test]
fn packages_are_added_to_configuration() {
    let project = project();
    project.write("pnpm-workspace.yaml", "# ours\nnodeLinker: isolated\n");
    project.write("package.json", r#"{"dependencies":{"top":"1.0.0"}}"#);
    project.succeed(&["add", "--config", "pnpm-plugin-own", "@own/patches@2.0.0"]);
    let settings = fs::read_to_string(project.root().join("pnpm-workspace.yaml")).unwrap();
    assert!(
        settings.ends_with("# ours\nnodeLinker: isolated\n"),
        "{settings}"
    );
    assert!(
        settings.contains("  pnpm-plugin-own: ^1.2.0\n"),
        "{settings}"
    );
    assert!(settings.contains("  '@own/patches': 2.0.0\n"), "{settings}");
    let manifest = fs::read_to_string(project.root().join("package.json")).unwrap();
    assert_eq!(manifest, r#"{"dependencies":{"top":"1.0.0"}}"#);
    let locked = lockfile(&project);
    assert!(
        locked.ends_with("  pnpm-plugin-own@1.2.0: {}\n\n---\n"),
        "{locked}"
    );
    for package in ["missing", "./here", "top@https://example.invalid/top.tgz"] {
        project.fail(&["add", "--config", package]);
        assert_eq!(lockfile(&project), locked, "{package}");
    }
    // What there is of a lockfile so far is no lockfile of the project.
    project.succeed(&["install"]);
    assert!(lockfile(&project).contains("\n---\nlockfileVersion: '9.0'\n\nsettings:\n"));
    project.succeed(&["install", "--frozen-lockfile"]);
}

#[test]
fn packages_are_added_to_the_store_alone() {
    let project = project();
    project.registry.publish(&Package::new("middle", "2.0.0"));
    project.succeed(&["store", "add", "middle@^1", "@own/patches"]);
    assert_eq!(project.packages_in_store(), 2);
    let said = project.fail(&["store", "add", "missing", "./here", "middle"]);
    assert!(said.contains("ERR_PNPM_STORE_ADD_FAILURE"), "{said}");
    assert!(
        said.contains("ERR_PNPM_STORE_ADD_UNSUPPORTED_SPEC"),
        "{said}"
    );
    assert_eq!(project.packages_in_store(), 3);
    assert!(!project.root().join("pnpm-lock.yaml").exists());
}
